/* Rings that break the rules, and what is at the edge of them: the device asks for a reset, writes nothing more, and works
 * again after one. Indices that wrap, small queues, the window of configuration cycles, a function that is no bus master. */
#include "tests/devices/device_test.h"
#include "tests/devices/virtio_test.h"

#define T_IN 0u
#define OK 0

/* Each makes one chain available that it has broken; the request before it is sound. */
static void next_beyond(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 11, DATA_GPA, 512, D_NEXT | D_WRITE, 256);
}
static void loop_of_two(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 12, status_of(10), 1, D_NEXT | D_WRITE, 11);
}
static void loop_of_one(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 11, DATA_GPA, 512, D_NEXT | D_WRITE, 11);
}
static void empty_segment(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 11, DATA_GPA, 0, D_NEXT | D_WRITE, 12);
}
static void read_after_write(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, HEADER_GPA + 320, 16, D_NEXT | D_WRITE, 11);
    put_descriptor(bench, DESC_GPA, 11, DATA_GPA, 512, D_NEXT, 12);
}
static void no_status(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, HEADER_GPA + 320, 16, 0, 0);
}
static void short_header(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, HEADER_GPA + 320, 15, D_NEXT, 11);
}
static void indirect_empty(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 0, D_INDIRECT, 0);
}
static void indirect_odd(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 3 * 16 + 8, D_INDIRECT, 0);
}
static void indirect_in_indirect(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 32, D_INDIRECT, 0);
    put_descriptor(bench, TABLE_GPA, 0, HEADER_GPA + 320, 16, D_NEXT, 1);
    put_descriptor(bench, TABLE_GPA, 1, TABLE_GPA, 32, D_INDIRECT, 0);
}
static void indirect_itself(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, DESC_GPA + 160, 16, D_INDIRECT, 0);
}
static void indirect_next_beyond(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 32, D_INDIRECT, 0);
    put_descriptor(bench, TABLE_GPA, 0, HEADER_GPA + 320, 16, D_NEXT, 2);
}
static void indirect_loop(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 32, D_INDIRECT, 0);
    put_descriptor(bench, TABLE_GPA, 0, HEADER_GPA + 320, 16, D_NEXT, 1);
    put_descriptor(bench, TABLE_GPA, 1, DATA_GPA, 1, D_NEXT | D_WRITE, 1);
}
/* 257 segments, in a table that has room for them. */
static void too_many_segments(struct bench *bench)
{
    put_descriptor(bench, DESC_GPA, 10, TABLE_GPA, 0xFFFFFFF0, D_INDIRECT, 0);
    put_descriptor(bench, TABLE_GPA, 0, HEADER_GPA + 320, 16, D_NEXT, 1);
    for (unsigned n = 1; n < 257; n++)
        put_descriptor(bench, TABLE_GPA, n, DATA_GPA, 2, D_WRITE | (n < 256 ? D_NEXT : 0), n + 1);
}
static void head_beyond(struct bench *bench)
{
    memory_write_u16(ram(bench), AVAIL_GPA + 4 + 2 * 1, 256);
}
static void index_too_far(struct bench *bench)
{
    memory_write_u16(ram(bench), AVAIL_GPA + 2, 1 + 257); /* one was taken */
}

static void (*const breakages[])(struct bench *) = {
    next_beyond,   loop_of_two,   loop_of_one,       empty_segment,       read_after_write, no_status,
    short_header,  indirect_odd,  indirect_empty,    head_beyond,         indirect_itself,  indirect_in_indirect,
    indirect_loop, index_too_far, too_many_segments, indirect_next_beyond};
#define BREAKAGES (sizeof breakages / sizeof breakages[0])

static void break_once(struct bench *bench, unsigned kind, bool legacy)
{
    start(bench, legacy, F_INDIRECT);
    ck_assert_uint_eq(transfer(bench, T_IN, 3, DATA_GPA, 512), OK);
    take_isr(bench);
    request(bench, 10, T_IN, 9, DATA_GPA, 512, 512, false);
    breakages[kind](bench);
    uint8_t before[1024];
    memcpy(before, bench->fake->ram->host + DATA_GPA, sizeof before);
    unsigned reads = bench->probe->log_count;
    kick(bench);
    ck_assert_msg(status(bench) == (legacy ? 7 : 0x4F), "breakage %u: status %#x", kind, status(bench));
    ck_assert_msg(bench->level == !legacy, "breakage %u: interrupt", kind);
    ck_assert_uint_eq(take_isr(bench), legacy ? 0 : 3);
    request(bench, 20, T_IN, 9, DATA_GPA, 512, 512, false); /* a sound one finds no one */
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 1);
    ck_assert_int_eq(memcmp(before, bench->fake->ram->host + DATA_GPA, sizeof before), 0);
    ck_assert_uint_eq(bench->probe->log_count, reads);
}

START_TEST(breakages_ask_for_a_reset)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open();
        for (unsigned kind = 0; kind < BREAKAGES; kind++) {
            break_once(bench, kind, legacy);
            start(bench, legacy, 0);
            ck_assert_uint_eq(transfer(bench, T_IN, 4, DATA_GPA, 1024), OK);
            assert_memory(bench, DATA_GPA, 4, 1024);
        }
        bench_close(bench);
    }
}
END_TEST

/* What was under way when the ring broke is not answered: the driver must not look. */
START_TEST(broken_with_requests)
{
    struct bench *bench = bench_open();
    start(bench, false, 0);
    request(bench, 0, T_IN, 3, DATA_GPA, 512, 512, false);
    kick(bench);
    memory_write_u16(ram(bench), AVAIL_GPA + 2, 1000);
    kick(bench);
    ck_assert_uint_eq(status(bench), 0x4F);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 0);
    ck_assert_uint_eq(answer_of(bench, 0), UNTOUCHED);
    set_status(bench, 15); /* writing does not take it back */
    ck_assert_uint_eq(status(bench), 0x4F);
    bench_close(bench);
}
END_TEST

/* The longest chain that there may be; a chain of descriptors that ends in an indirect one; a table larger than the queue. */
START_TEST(long_chains)
{
    struct bench *bench = bench_open();
    start(bench, false, F_INDIRECT);
    request(bench, 0, T_IN, 3, DATA_GPA, 254 * 512, 512, false);
    kick(bench);
    pass(bench);
    assert_used(bench, 0, 254 * 512 + 1);
    assert_memory(bench, DATA_GPA, 3, 254 * 512);
    put_header(bench, 1, T_IN, 5);
    put_descriptor(bench, DESC_GPA, 1, HEADER_GPA + 32, 16, D_NEXT, 2);
    put_descriptor(bench, DESC_GPA, 2, DATA_GPA, 512, D_NEXT | D_WRITE, 3);
    put_descriptor(bench, DESC_GPA, 3, TABLE_GPA, 32, D_INDIRECT, 0);
    put_descriptor(bench, TABLE_GPA, 0, DATA_GPA + 512, 512, D_NEXT | D_WRITE, 1);
    put_descriptor(bench, TABLE_GPA, 1, status_of(1), 1, D_WRITE, 0);
    offer(bench, 1);
    kick(bench);
    pass(bench);
    assert_used(bench, 1, 1025);
    assert_memory(bench, DATA_GPA, 5, 1024);
    bench->size = 4;
    start(bench, false, F_INDIRECT);
    request(bench, 2, T_IN, 3, DATA_GPA, 20 * 512, 512, true);
    kick(bench);
    pass(bench);
    assert_used(bench, 2, 20 * 512 + 1);
    assert_memory(bench, DATA_GPA, 3, 20 * 512);
    bench_close(bench);
}
END_TEST

/* Indices run on past 65535, and a queue of four turns often. */
START_TEST(indices_wrap)
{
    struct bench *bench = bench_open();
    bench->size = 4;
    start(bench, false, F_EVENT);
    for (unsigned n = 0; n < 66000; n++) {
        put_header(bench, 0, 8, 0);
        put_descriptor(bench, DESC_GPA, 0, HEADER_GPA, 16, D_NEXT, 1);
        put_descriptor(bench, DESC_GPA, 1, DATA_GPA, 20, D_NEXT | D_WRITE, 2);
        put_descriptor(bench, DESC_GPA, 2, status_of(0), 1, D_WRITE, 0);
        offer(bench, 0);
        kick(bench);
        assert_used(bench, 0, 21);
        ck_assert_uint_eq(memory_read_u16(ram(bench), USED_GPA + 4 + 32), bench->offered);
    }
    bench_close(bench);
}
END_TEST

/* The used ring lies over the available one: each answer makes another chain available, in one kick not for ever. */
START_TEST(rings_over_each_other)
{
    struct bench *bench = bench_open();
    start(bench, false, 0);
    set_status(bench, 0);
    set_status(bench, 3);
    accept_features(bench, F_V1);
    set_status(bench, 11);
    mmio_write(bench, COMMON + 0x20, DESC_GPA, 8);
    mmio_write(bench, COMMON + 0x28, AVAIL_GPA, 8);
    mmio_write(bench, COMMON + 0x30, AVAIL_GPA, 8);
    mmio_write(bench, COMMON + 0x1C, 1, 2);
    set_status(bench, 15);
    request(bench, 0, 8, 0, DATA_GPA, 20, 20, false);
    for (unsigned n = 0; n < 300; n++)
        kick(bench);
    ck_assert_uint_eq(answer_of(bench, 0), OK);
    bench_close(bench);
}
END_TEST

/* Addresses that wrap, or where no memory is: reads are ones, writes vanish. */
START_TEST(addresses_of_nothing)
{
    struct bench *bench = bench_open();
    start(bench, false, 0);
    ck_assert_uint_eq(transfer(bench, T_IN, 3, 0xD0000000, 512), OK);
    ck_assert_uint_eq(transfer(bench, T_IN, 3, ~0ull - 100, 512), OK);
    ck_assert_uint_eq(transfer(bench, 1, 3, ~0ull - 100, 512), OK);
    ck_assert_uint_eq(bench->probe->bytes[3 * 512], 0xFF);
    set_status(bench, 0);
    set_status(bench, 3);
    accept_features(bench, F_V1);
    set_status(bench, 11);
    mmio_write(bench, COMMON + 0x20, ~0ull, 8);
    mmio_write(bench, COMMON + 0x28, ~0ull, 8);
    mmio_write(bench, COMMON + 0x30, ~0ull, 8);
    mmio_write(bench, COMMON + 0x1C, 1, 2);
    set_status(bench, 15);
    kick(bench);
    pass(bench);
    bench_close(bench);
}
END_TEST

START_TEST(no_bus_master)
{
    struct bench *bench = bench_open();
    start(bench, false, 0);
    config_write(bench, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    request(bench, 0, T_IN, 3, DATA_GPA, 512, 512, false);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 0);
    config_write(bench, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 1);
    bench_close(bench);
}
END_TEST

START_TEST(kicks_at_the_wrong_time)
{
    struct bench *bench = bench_open();
    start(bench, false, 0);
    set_status(bench, 11); /* not DRIVER_OK */
    request(bench, 0, T_IN, 3, DATA_GPA, 512, 512, false);
    kick(bench);
    mmio_write(bench, NOTIFY_GPA + 4, 1, 2); /* no such queue */
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 0);
    set_status(bench, 15);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 1);
    set_status(bench, 0);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 1);
    bench_close(bench);
}
END_TEST

/* ---- the window ---- */

static unsigned window(struct bench *bench)
{
    unsigned at = config_read(bench, 0x34, 1);
    while (config_read(bench, at, 1) != 9 || config_read(bench, at + 3, 1) != 5)
        at = config_read(bench, at + 1, 1);
    return at;
}

static void aim(struct bench *bench, unsigned bar, uint32_t offset, uint32_t size)
{
    unsigned at = window(bench);
    config_write(bench, at + 4, bar, 1);
    config_write(bench, at + 8, offset, 4);
    config_write(bench, at + 12, size, 4);
}

START_TEST(window_to_the_registers)
{
    struct bench *bench = bench_open();
    unsigned data = window(bench) + 16;
    config_write(bench, PCI_COMMAND, PCI_COMMAND_MASTER, 2); /* works with decoding off: what it is for */
    aim(bench, 4, 0x14, 1);
    config_write(bench, data, 3, 4);
    ck_assert_uint_eq(config_read(bench, data, 1), 3);
    aim(bench, 4, 0x2000, 4);
    ck_assert_uint_eq(config_read(bench, data, 4), SECTORS);
    aim(bench, 0, 20, 4);
    ck_assert_uint_eq(config_read(bench, data, 4), SECTORS);
    aim(bench, 0, 18, 1);
    ck_assert_uint_eq(config_read(bench, data, 1), 3);
    static const uint32_t bad[][3] = {{4, 0x4000, 4}, {4, 0xFFFFFFFC, 4}, {4, 0x3FFE, 4}, {1, 0, 4},
                                      {9, 0, 4},      {4, 0, 3},          {0, 128, 4},    {4, 0x14, 0}};
    for (unsigned n = 0; n < 8; n++) {
        aim(bench, bad[n][0], bad[n][1], bad[n][2]);
        config_write(bench, data, 0, 4);
        ck_assert_uint_eq(config_read(bench, data, 4), 0);
    }
    aim(bench, 4, 0x14, 1);
    ck_assert_uint_eq(config_read(bench, data, 1), 3); /* none of them reset it */
    bench_close(bench);
}
END_TEST

RIG_MAIN("virtio queue", breakages_ask_for_a_reset, broken_with_requests, long_chains, indices_wrap,
         rings_over_each_other, addresses_of_nothing, no_bus_master, kicks_at_the_wrong_time, window_to_the_registers)
