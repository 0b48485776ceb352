/* Virtual time, bus, memory, inputs and the run loop, on a machine with the idle accelerator. */
#include "tests/support/fake_machine.h"

#include <check.h>
#include <string.h>

static struct fake_machine *fake;

static void setup(void)
{
    fake = fake_machine_create(4 << 20);
    fake_machine_use_idle_accel(fake);
}

static void teardown(void)
{
    fake_machine_destroy(fake);
}

/* ---- virtual time ---- */

struct firing {
    struct vtimer timer;
    uint64_t at[8], period_ns;
    unsigned count;
    char name;
    char *order;
};

static void fired(void *opaque)
{
    struct firing *firing = opaque;
    firing->at[firing->count++ % 8] = fake_machine_now_ns(fake);
    if (firing->order)
        strncat(firing->order, &firing->name, 1);
    if (firing->period_ns)
        vtimer_arm(&firing->timer, fake_machine_now_ns(fake) + firing->period_ns);
}

START_TEST(timers_fire_exactly_when_due)
{
    struct firing firing = {.period_ns = 1001};
    vtimer_init(&firing.timer, fake->machine, fired, &firing);
    vtimer_arm(&firing.timer, 500);
    fake_machine_advance_ns(fake, 499);
    ck_assert_uint_eq(firing.count, 0);
    fake_machine_advance_ns(fake, 3000);
    ck_assert_uint_eq(firing.count, 3);
    ck_assert_uint_eq(firing.at[0], 500);
    ck_assert_uint_eq(firing.at[1], 1501);
    ck_assert_uint_eq(firing.at[2], 2502);
    vtimer_disarm(&firing.timer);
    fake_machine_advance_ns(fake, 100000);
    ck_assert_uint_eq(firing.count, 3);
}
END_TEST

START_TEST(equal_deadlines_fire_in_order_of_initialisation)
{
    char order[64] = "";
    struct firing firing[16];
    memset(firing, 0, sizeof firing);
    for (int n = 0; n < 16; n++) {
        firing[n].name = (char)('a' + n);
        firing[n].order = order;
        vtimer_init(&firing[n].timer, fake->machine, fired, &firing[n]);
    }
    for (int n = 15; n >= 0; n--)
        vtimer_arm(&firing[n].timer, 1000 + (n % 3 == 0 ? 1 : 0));
    fake_machine_advance_ns(fake, 2000);
    ck_assert_str_eq(order, "bcefhiklnoadgjmp");
}
END_TEST

/* ---- bus ---- */

struct registers {
    uint8_t byte[16];
    unsigned reads, writes, last_size;
};
static uint64_t registers_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct registers *registers = opaque;
    uint64_t value = 0;
    registers->reads++;
    registers->last_size = size_bytes;
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)registers->byte[(address + n) % 16] << (8 * n);
    return value;
}
static void registers_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct registers *registers = opaque;
    registers->writes++;
    registers->last_size = size_bytes;
    for (unsigned n = 0; n < size_bytes; n++)
        registers->byte[(address + n) % 16] = (uint8_t)(value >> (8 * n));
}
static const struct bus_ops byte_ops = {registers_read, registers_write, 1};
static const struct bus_ops wide_ops = {registers_read, registers_write, 8};

START_TEST(unclaimed_accesses_read_ones_and_are_traced)
{
    ck_assert_uint_eq(fake_inl(fake, 0x5658), 0xFFFFFFFF);
    fake_outb(fake, 0x5658, 1);
    ck_assert_uint_eq(bus_mmio_read(machine_bus(fake->machine), 0xD0000000, 8), UINT64_MAX);
    ck_assert_uint_eq(fake->event_count, 3);
    ck_assert_int_eq(fake->events[0].kind, TRACE_PIO_READ);
    ck_assert_uint_eq(fake->events[0].value, 0xFFFFFFFF);
    ck_assert_uint_eq(fake->events[0].size_bytes, 4);
    ck_assert_int_eq(fake->events[1].kind, TRACE_PIO_WRITE);
    ck_assert_int_eq(fake->events[2].kind, TRACE_MMIO_READ);
}
END_TEST

START_TEST(wide_accesses_to_narrow_devices_are_split_ascending_with_one_event)
{
    struct registers registers = {0};
    bus_map_io(machine_bus(fake->machine), 0x100, 16, &byte_ops, &registers, "bytes");
    fake_outl(fake, 0x104, 0x44332211);
    ck_assert_uint_eq(registers.writes, 4);
    ck_assert_uint_eq(registers.byte[4], 0x11);
    ck_assert_uint_eq(registers.byte[7], 0x44);
    ck_assert_uint_eq(fake_inw(fake, 0x105), 0x3322);
    ck_assert_uint_eq(fake->event_count, 2);
}
END_TEST

START_TEST(mappings_move_and_the_last_enabled_wins)
{
    struct registers low = {.byte = {1}}, high = {.byte = {2}};
    struct bus *bus = machine_bus(fake->machine);
    bus_map_mmio(bus, 0xD0000000, 0x1000, &wide_ops, &low, "low");
    struct bus_mapping *top = bus_map_mmio(bus, 0xD0000000, 0x100, &wide_ops, &high, "high");
    ck_assert_uint_eq(bus_mmio_read(bus, 0xD0000000, 1), 2);
    bus_mapping_set(top, 0xD0000000, false);
    ck_assert_uint_eq(bus_mmio_read(bus, 0xD0000000, 1), 1);
    bus_mapping_set(top, 0xE0000000, true);
    ck_assert_uint_eq(bus_mmio_read(bus, 0xD0000000, 1), 1);
    ck_assert_uint_eq(bus_mmio_read(bus, 0xE0000000, 1), 2);
    struct bus_mapping *io = bus_map_io(bus, 0x200, 8, &byte_ops, &low, "io");
    ck_assert_uint_eq(fake_inb(fake, 0x200), 1);
    bus_mapping_set(io, 0x300, true);
    ck_assert_uint_eq(fake_inb(fake, 0x200), 0xFF);
    ck_assert_uint_eq(fake_inb(fake, 0x300), 1);
}
END_TEST

/* ---- memory ---- */

START_TEST(memory_reads_back_across_pages_and_unmapped_reads_ones)
{
    struct memory *memory = machine_memory(fake->machine);
    uint8_t in[10000], out[10000];
    for (unsigned n = 0; n < sizeof in; n++)
        in[n] = (uint8_t)(n * 7);
    memory_write(memory, 4095, in, sizeof in);
    memory_read(memory, 4095, out, sizeof out);
    ck_assert_mem_eq(in, out, sizeof in);
    memory_write_u32(memory, (4 << 20) - 2, 0xA1B2C3D4);
    ck_assert_uint_eq(memory_read_u32(memory, (4 << 20) - 2), 0xFFFFC3D4);
}
END_TEST

START_TEST(rom_keeps_its_content_and_shadow_ram_covers_it)
{
    struct memory *memory = machine_memory(fake->machine);
    struct memory_block *rom = memory_add_block(memory, "bios", 0x10000, false, NULL);
    rom->host[0] = 0x5A;
    memory_map_block(memory, 0xF0000, 0x10000, rom, 0, MEMORY_ROM, 1);
    struct memory_map *shadow = memory_map_block(memory, 0xF0000, 0x10000, fake->ram, 0xF0000, MEMORY_RAM, 2);
    memory_map_set(memory, shadow, 0xF0000, MEMORY_RAM, false);
    memory_write_u16(memory, 0xF0000, 0xFFFF);
    ck_assert_uint_eq(memory_read_u16(memory, 0xF0000), 0x005A);
    ck_assert(!memory_lookup(memory, 0xF0000).writable);
    memory_map_set(memory, shadow, 0xF0000, MEMORY_RAM, true);
    memory_write_u16(memory, 0xF0000, 0x1234);
    ck_assert_uint_eq(memory_read_u16(memory, 0xF0000), 0x1234);
    memory_map_set(memory, shadow, 0xF0000, MEMORY_ROM, true);
    memory_write_u16(memory, 0xF0000, 0);
    ck_assert_uint_eq(memory_read_u16(memory, 0xF0000), 0x1234);
}
END_TEST

START_TEST(digest_is_a_function_of_content_alone)
{
    struct memory *memory = machine_memory(fake->machine);
    uint64_t empty = memory_digest(memory);
    memory_write_u32(memory, 0x5000, 77);
    uint64_t one = memory_digest(memory);
    ck_assert_uint_ne(empty, one);
    memory_write_u32(memory, 0x9000, 88);
    uint64_t two = memory_digest(memory);
    memory_write_u32(memory, 0x9000, 0);
    ck_assert_uint_eq(memory_digest(memory), one);
    memory_write_u32(memory, 0x5000, 0);
    ck_assert_uint_eq(memory_digest(memory), empty);
    memory_write_u32(memory, 0x9000, 88);
    memory_write_u32(memory, 0x5000, 77);
    ck_assert_uint_eq(memory_digest(memory), two);
    memory_write_u32(memory, 0x5000, 0);
    memory_write_u32(memory, 0x6000, 77);
    ck_assert_uint_ne(memory_digest(memory), two); /* the same content elsewhere is another memory */
}
END_TEST

/* ---- inputs and the run loop ---- */

static unsigned received;
static uint64_t received_at;
static void receive(void *opaque, const struct input_message *message)
{
    (void)opaque;
    ck_assert_uint_eq(message->a, received + 1);
    received++;
    received_at = fake_machine_now_ns(fake);
}

START_TEST(messages_arrive_in_order_at_a_slice)
{
    received = 0;
    machine_set_receiver(fake->machine, INPUT_SERIAL_BYTE, 0, receive, NULL);
    fake_machine_advance_ns(fake, 10);
    for (uint64_t n = 1; n <= 3; n++)
        input_mailbox_post(fake->mailbox, (struct input_message){.id = INPUT_SERIAL_BYTE, .a = n});
    input_mailbox_post(fake->mailbox, (struct input_message){.id = INPUT_SERIAL_BYTE, .target = 1, .a = 99});
    fake_machine_advance_ns(fake, 2 * MACHINE_SLICE_STEPS);
    ck_assert_uint_eq(received, 3);
    ck_assert_uint_eq(received_at, MACHINE_SLICE_STEPS);
}
END_TEST

START_TEST(messages_can_be_given_where_the_machine_stands)
{
    received = 0;
    machine_set_receiver(fake->machine, INPUT_SERIAL_BYTE, 0, receive, NULL);
    fake_machine_advance_ns(fake, 10);
    for (uint64_t n = 1; n <= 3; n++) {
        input_mailbox_post(fake->mailbox, (struct input_message){.id = INPUT_SERIAL_BYTE, .a = n});
        machine_deliver(fake->machine);
        ck_assert_uint_eq(received, n);
        ck_assert_uint_eq(received_at, 10);
    }
    ck_assert_uint_eq(machine_position(fake->machine).icount, 10);
}
END_TEST

static void stop_machine(void *opaque, const struct input_message *message)
{
    (void)opaque;
    machine_request_stop(fake->machine, MACHINE_STOP_POWER_OFF, (int)message->a);
}

START_TEST(a_stop_asked_for_meanwhile_comes_with_the_next_run)
{
    machine_set_receiver(fake->machine, INPUT_POWER_BUTTON, 0, stop_machine, NULL);
    fake_machine_advance_ns(fake, 10);
    input_mailbox_post(fake->mailbox, (struct input_message){.id = INPUT_POWER_BUTTON, .a = 7});
    machine_deliver(fake->machine);
    ck_assert_int_eq(machine_run(fake->machine, MACHINE_NO_LIMIT), MACHINE_STOP_POWER_OFF);
    ck_assert_int_eq(machine_exit_code(fake->machine), 7);
    ck_assert_uint_eq(machine_position(fake->machine).icount, 10);
    fake_machine_advance_ns(fake, 10); /* and once */
}
END_TEST

START_TEST(cutting_a_run_changes_nothing)
{
    struct firing firing = {.period_ns = 700};
    struct position end = {200000, 200000};
    vtimer_init(&firing.timer, fake->machine, fired, &firing);
    vtimer_arm(&firing.timer, 1);
    for (uint64_t part = 13; part < end.icount; part += 997)
        ck_assert_int_eq(machine_run(fake->machine, (struct position){part, part}), MACHINE_STOP_LIMIT);
    ck_assert_int_eq(machine_run(fake->machine, end), MACHINE_STOP_LIMIT);
    ck_assert_int_eq(machine_run(fake->machine, end), MACHINE_STOP_LIMIT);
    ck_assert_uint_eq(machine_position(fake->machine).icount, end.icount);
    ck_assert_uint_eq(firing.count, 200000 / 700 + 1);
}
END_TEST

START_TEST(stop_requests_end_the_run_with_their_code)
{
    machine_request_stop(fake->machine, MACHINE_STOP_DEBUG_EXIT, 35);
    ck_assert_int_eq(machine_run(fake->machine, MACHINE_NO_LIMIT), MACHINE_STOP_DEBUG_EXIT);
    ck_assert_int_eq(machine_exit_code(fake->machine), 35);
    machine_interrupt(fake->machine);
    ck_assert_int_eq(machine_run(fake->machine, MACHINE_NO_LIMIT), MACHINE_STOP_HOST);
    machine_request_reset(fake->machine); /* no_reboot */
    ck_assert_int_eq(machine_run(fake->machine, MACHINE_NO_LIMIT), MACHINE_STOP_RESET);
}
END_TEST

START_TEST(ram_sizes_out_of_range_are_refused)
{
    static const uint64_t sizes[] = {0, 4096, (1 << 20) + 1, (8ull << 30) + (1 << 20), UINT64_MAX};
    for (unsigned n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        struct error error = {0};
        struct machine_options options = {.ram_bytes = sizes[n], .input = fake->input};
        ck_assert_ptr_null(machine_create(&options, &error));
        ck_assert_ptr_nonnull(strstr(error.text, "1 MiB to 8 GiB"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("machine");
    TCase *tests = tcase_create("machine");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, timers_fire_exactly_when_due);
    tcase_add_test(tests, equal_deadlines_fire_in_order_of_initialisation);
    tcase_add_test(tests, unclaimed_accesses_read_ones_and_are_traced);
    tcase_add_test(tests, wide_accesses_to_narrow_devices_are_split_ascending_with_one_event);
    tcase_add_test(tests, mappings_move_and_the_last_enabled_wins);
    tcase_add_test(tests, memory_reads_back_across_pages_and_unmapped_reads_ones);
    tcase_add_test(tests, rom_keeps_its_content_and_shadow_ram_covers_it);
    tcase_add_test(tests, digest_is_a_function_of_content_alone);
    tcase_add_test(tests, messages_arrive_in_order_at_a_slice);
    tcase_add_test(tests, messages_can_be_given_where_the_machine_stands);
    tcase_add_test(tests, a_stop_asked_for_meanwhile_comes_with_the_next_run);
    tcase_add_test(tests, cutting_a_run_changes_nothing);
    tcase_add_test(tests, stop_requests_end_the_run_with_their_code);
    tcase_add_test(tests, ram_sizes_out_of_range_are_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
