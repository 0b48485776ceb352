/* The small ones: 8237 registers, POST code, debug console, isa-debug-exit. */
#include "devices/debugcon.h"
#include "devices/dma_8237.h"
#include "devices/isa_debug_exit.h"
#include "devices/port_80.h"
#include "tests/devices/device_test.h"

static void keep_sent(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct rig *rig = opaque;
    ck_assert_uint_le(rig->sent_count + size_bytes, RIG_LOG_MAX);
    memcpy(rig->sent + rig->sent_count, bytes, size_bytes);
    rig->sent_count += size_bytes;
}

static void build(struct rig *rig)
{
    struct char_sink sink = {.write = keep_sent, .opaque = rig};
    dma_8237_create(rig->fake->machine);
    rig->device = port_80_create(rig->fake->machine);
    debugcon_create(rig->fake->machine, sink);
    isa_debug_exit_create(rig->fake->machine);
}

START_TEST(debug_console)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x402), 0xE9);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xE9), 0xE9);
    fake_outb(rig->fake, 0x402, 'a');
    fake_outb(rig->fake, 0xE9, 'b');
    ck_assert_uint_eq(rig->sent_count, 2);
    ck_assert_int_eq(memcmp(rig->sent, "ab", 2), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(debug_exit)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, 0xF4, 0x10);
    struct machine *machine = rig->fake->machine;
    ck_assert_int_eq(machine_run(machine, machine_position(machine)), MACHINE_STOP_DEBUG_EXIT);
    ck_assert_int_eq(machine_exit_code(machine), 0x21);
    rig_destroy(rig);
}
END_TEST

START_TEST(post_code)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, 0x80, 0x5A);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x80), 0x5A);
    ck_assert_uint_eq(port_80_code(rig->device), 0x5A);
    rig_destroy(rig);
}
END_TEST

START_TEST(dma_registers)
{
    static const uint16_t base[2] = {0x00, 0xC0};
    struct rig *rig = rig_create(build);
    for (unsigned chip = 0; chip < 2; chip++) {
        for (unsigned reg = 0; reg < 8; reg++) {
            uint16_t port = (uint16_t)(base[chip] + (reg << chip));
            fake_outb(rig->fake, (uint16_t)(base[chip] + (0x0C << chip)), 0); /* clear the byte pointer */
            fake_outb(rig->fake, port, (uint8_t)(0x11 * reg));
            fake_outb(rig->fake, port, (uint8_t)(0x80 + reg));
        }
        for (unsigned reg = 0; reg < 8; reg++) {
            uint16_t port = (uint16_t)(base[chip] + (reg << chip));
            ck_assert_uint_eq(fake_inb(rig->fake, port), 0x11 * reg);
            ck_assert_uint_eq(fake_inb(rig->fake, port), 0x80 + reg);
        }
        uint16_t mask = (uint16_t)(base[chip] + (0x0F << chip));
        ck_assert_uint_eq(fake_inb(rig->fake, mask) & 0x0F, 0x0F);
        fake_outb(rig->fake, (uint16_t)(base[chip] + (0x0A << chip)), 0x02);
        ck_assert_uint_eq(fake_inb(rig->fake, mask) & 0x0F, 0x0B);
        fake_outb(rig->fake, (uint16_t)(base[chip] + (0x09 << chip)), 0x05);
        ck_assert_uint_eq(fake_inb(rig->fake, (uint16_t)(base[chip] + (0x08 << chip))), 0x20);
        fake_outb(rig->fake, (uint16_t)(base[chip] + (0x0D << chip)), 0);
        ck_assert_uint_eq(fake_inb(rig->fake, mask) & 0x0F, 0x0F);
    }
    for (uint16_t port = 0x81; port < 0x90; port++)
        fake_outb(rig->fake, port, (uint8_t)(port ^ 0x5A));
    for (uint16_t port = 0x81; port < 0x90; port++)
        ck_assert_uint_eq(fake_inb(rig->fake, port), port ^ 0x5A);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    fake_outb(rig->fake, 0x80, 0x77);
    fake_outb(rig->fake, 0x02, 0x34); /* half of an address */
    fake_outb(rig->fake, 0x8A, 0x12);
}

static void after_load(struct rig *rig)
{
    fake_outb(rig->fake, 0x02, 0x56);
    rig_log(rig, fake_inb(rig->fake, 0x80));
    rig_log(rig, fake_inb(rig->fake, 0x8A));
    rig_log(rig, fake_inb(rig->fake, 0x02));
    rig_log(rig, fake_inb(rig->fake, 0x02));
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("small_ports", debug_console, debug_exit, post_code, dma_registers, state_is_whole)
