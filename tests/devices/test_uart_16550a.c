/* 16550A: identification, both directions, FIFO and its interrupts, loopback, overrun. */
#include "devices/uart_16550a.h"
#include "tests/devices/device_test.h"

#define BASE 0x3F8

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
    rig->device = uart_16550a_create(rig->fake->machine, 0, BASE, fake_line(&rig->line[0]), sink);
}

static void out(struct rig *rig, unsigned reg, uint8_t value)
{
    fake_outb(rig->fake, (uint16_t)(BASE + reg), value);
}

static uint8_t in(struct rig *rig, unsigned reg)
{
    return fake_inb(rig->fake, (uint16_t)(BASE + reg));
}

static void post(struct rig *rig, const char *text)
{
    for (; *text; text++)
        rig_post(rig, INPUT_SERIAL_BYTE, 0, (uint8_t)*text, 0);
    fake_machine_advance_ns(rig->fake, 1);
}

/* 115200 8N1, FIFO with trigger 8, OUT2. */
static void open_port(struct rig *rig)
{
    out(rig, 3, 0x83);
    out(rig, 0, 1);
    out(rig, 1, 0);
    out(rig, 3, 0x03);
    out(rig, 2, 0x81);
    out(rig, 4, 0x0B);
}

START_TEST(registers_after_reset)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(in(rig, 1), 0x00);
    ck_assert_uint_eq(in(rig, 2), 0x01);
    ck_assert_uint_eq(in(rig, 3), 0x00);
    ck_assert_uint_eq(in(rig, 4), 0x00);
    ck_assert_uint_eq(in(rig, 5), 0x60);
    ck_assert_uint_eq(in(rig, 6), 0xB0);
    out(rig, 7, 0x5A);
    ck_assert_uint_eq(in(rig, 7), 0x5A);
    out(rig, 1, 0xFF);
    ck_assert_uint_eq(in(rig, 1), 0x0F);
    rig_destroy(rig);
}
END_TEST

START_TEST(is_a_16550a)
{
    struct rig *rig = rig_create(build);
    out(rig, 2, 0x01);
    ck_assert_uint_eq(in(rig, 2), 0xC1);
    out(rig, 2, 0x00);
    ck_assert_uint_eq(in(rig, 2), 0x01);
    out(rig, 3, 0x80);
    out(rig, 0, 0x34);
    out(rig, 1, 0x12);
    ck_assert_uint_eq(in(rig, 0), 0x34);
    ck_assert_uint_eq(in(rig, 1), 0x12);
    out(rig, 3, 0x03);
    ck_assert_uint_eq(in(rig, 1), 0x00); /* IER again */
    rig_destroy(rig);
}
END_TEST

START_TEST(transmits_in_order)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    for (const char *text = "hello\n"; *text; text++) {
        ck_assert_uint_eq(in(rig, 5) & 0x60, 0x60);
        out(rig, 0, (uint8_t)*text);
    }
    ck_assert_uint_eq(rig->sent_count, 6);
    ck_assert_int_eq(memcmp(rig->sent, "hello\n", 6), 0);
    out(rig, 3, 0x00); /* five bits, as after reset: all eight go out even so */
    out(rig, 0, 0xC1);
    ck_assert_uint_eq(rig->sent[6], 0xC1);
    rig_destroy(rig);
}
END_TEST

START_TEST(transmitter_interrupt)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    ck_assert(!rig->line[0].level);
    out(rig, 1, 0x02); /* enabling it with an empty transmitter raises it */
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(in(rig, 2), 0xC2);
    ck_assert(!rig->line[0].level); /* reading IIR took it back */
    ck_assert_uint_eq(in(rig, 2), 0xC1);
    out(rig, 0, 'x');
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(rig->line[0].rises, 2);
    out(rig, 4, 0x03); /* OUT2 gates the line */
    ck_assert(!rig->line[0].level);
    out(rig, 4, 0x0B);
    out(rig, 1, 0x00);
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(receives_with_trigger_and_timeout)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    out(rig, 1, 0x01);
    post(rig, "abcdefg"); /* one short of the trigger */
    uint64_t last_ns = fake_machine_now_ns(rig->fake) - 1;
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(in(rig, 5) & 1, 1);
    uint64_t timeout_ns = 4 * 10 * 16 * 1000000000ull / 1843200;
    rig_advance_to(rig, last_ns + timeout_ns - 1);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, last_ns + timeout_ns);
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(in(rig, 2), 0xCC);
    ck_assert_uint_eq(in(rig, 0), 'a');
    ck_assert(!rig->line[0].level);
    post(rig, "hi");
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(in(rig, 2), 0xC4);
    for (const char *text = "bcdefghi"; *text; text++)
        ck_assert_uint_eq(in(rig, 0), (uint8_t)*text);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(in(rig, 5), 0x60);
    fake_machine_advance_ns(rig->fake, 10000000); /* nothing left to time out */
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(without_fifo_one_byte_at_a_time)
{
    struct rig *rig = rig_create(build);
    out(rig, 3, 0x03);
    out(rig, 4, 0x08);
    out(rig, 1, 0x01);
    post(rig, "xy");
    ck_assert_uint_eq(in(rig, 2), 0x04);
    ck_assert_uint_eq(in(rig, 0), 'x');
    ck_assert_uint_eq(in(rig, 2), 0x04); /* the second one waited outside */
    ck_assert_uint_eq(in(rig, 0), 'y');
    ck_assert_uint_eq(in(rig, 2), 0x01);
    ck_assert_uint_eq(in(rig, 0), 'y');
    rig_destroy(rig);
}
END_TEST

START_TEST(a_long_paste_is_not_lost)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    for (unsigned i = 0; i < 4096 + 16; i++)
        rig_post(rig, INPUT_SERIAL_BYTE, 0, (uint8_t)(i * 7), 0);
    rig_post(rig, INPUT_SERIAL_BYTE, 1, 0xEE, 0); /* not ours */
    fake_machine_advance_ns(rig->fake, 1);
    ck_assert_uint_eq(in(rig, 5), 0x61);
    rig_post(rig, INPUT_SERIAL_BYTE, 0, 0xEE, 0); /* one too many */
    fake_machine_advance_ns(rig->fake, 1);
    ck_assert_uint_eq(in(rig, 5), 0x63);
    ck_assert_uint_eq(in(rig, 5), 0x61); /* reading cleared the overrun */
    for (unsigned i = 0; i < 4096 + 16; i++)
        ck_assert_uint_eq(in(rig, 0), (uint8_t)(i * 7));
    ck_assert_uint_eq(in(rig, 5), 0x60);
    rig_destroy(rig);
}
END_TEST

START_TEST(line_status_interrupt_comes_first)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    out(rig, 1, 0x07);
    for (unsigned i = 0; i < 4096 + 17; i++)
        rig_post(rig, INPUT_SERIAL_BYTE, 0, 0x55, 0);
    fake_machine_advance_ns(rig->fake, 1);
    ck_assert_uint_eq(in(rig, 2), 0xC6);
    in(rig, 5);
    ck_assert_uint_eq(in(rig, 2), 0xC4);
    rig_destroy(rig);
}
END_TEST

START_TEST(loopback)
{
    struct rig *rig = rig_create(build);
    out(rig, 3, 0x03);
    out(rig, 1, 0x0F);
    out(rig, 4, 0x1A); /* what Linux probes with: RTS and OUT2 */
    ck_assert_uint_eq(in(rig, 6) & 0xF0, 0x90);
    out(rig, 0, 0x42);
    ck_assert_uint_eq(rig->sent_count, 0);
    ck_assert(!rig->line[0].level); /* OUT2 is held inactive */
    ck_assert_uint_eq(in(rig, 0), 0x42);
    ck_assert_uint_eq(in(rig, 6), 0x90);
    out(rig, 4, 0x14); /* OUT1 alone: RI; DCD and CTS went */
    ck_assert_uint_eq(in(rig, 6), 0x40 | 0x09);
    out(rig, 4, 0x10);
    ck_assert_uint_eq(in(rig, 6), 0x04); /* the trailing edge of RI */
    rig_destroy(rig);
}
END_TEST

START_TEST(fifo_clear)
{
    struct rig *rig = rig_create(build);
    open_port(rig);
    post(rig, "abc");
    out(rig, 2, 0x83);
    ck_assert_uint_eq(in(rig, 5), 0x60);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    open_port(rig);
    out(rig, 1, 0x03);
    post(rig, "0123456789abcdefghij");
    for (unsigned i = 0; i < 15; i++)
        in(rig, 0);
    out(rig, 7, 0x99);
    out(rig, 0, 'z');
}

static void after_load(struct rig *rig)
{
    rig_log(rig, in(rig, 2));
    fake_machine_advance_ns(rig->fake, 400000);
    rig_log(rig, in(rig, 2));
    rig_log(rig, rig->line[0].rises);
    for (unsigned i = 0; i < 8; i++) {
        rig_log(rig, in(rig, 5));
        rig_log(rig, in(rig, 0));
    }
    rig_log(rig, in(rig, 7));
    out(rig, 0, 'q');
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("uart_16550a", registers_after_reset, is_a_16550a, transmits_in_order, transmitter_interrupt,
         receives_with_trigger_and_timeout, without_fifo_one_byte_at_a_time, a_long_paste_is_not_lost,
         line_status_interrupt_comes_first, loopback, fifo_clear, state_is_whole)
