/* 8254: every mode at exact virtual times, latching and read-back, the gate of channel 2, port 61h. */
#include "devices/pit_8254.h"
#include "devices/ticks.h"
#include "tests/devices/device_test.h"

static void build(struct rig *rig)
{
    rig->device = pit_8254_create(rig->fake->machine, fake_line(&rig->line[0]));
}

static void out(struct rig *rig, uint16_t port, uint8_t value)
{
    fake_outb(rig->fake, port, value);
}

static void program(struct rig *rig, unsigned channel, unsigned mode, uint16_t count)
{
    out(rig, 0x43, (uint8_t)(channel << 6 | 0x30 | mode << 1));
    out(rig, (uint16_t)(0x40 + channel), (uint8_t)count);
    out(rig, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8));
}

static uint16_t count_of(struct rig *rig, unsigned channel)
{
    out(rig, 0x43, (uint8_t)(channel << 6));
    uint8_t low = fake_inb(rig->fake, (uint16_t)(0x40 + channel));
    return (uint16_t)(low | fake_inb(rig->fake, (uint16_t)(0x40 + channel)) << 8);
}

static uint8_t status_of(struct rig *rig, unsigned channel)
{
    out(rig, 0x43, (uint8_t)(0xE0 | 2u << channel));
    return fake_inb(rig->fake, (uint16_t)(0x40 + channel));
}

static uint64_t tick_ns(uint64_t tick)
{
    return ticks_to_ns(tick, PIT_8254_HZ);
}

/* The tick that comes next. */
static uint64_t next_tick(struct rig *rig)
{
    return ticks_from_ns(fake_machine_now_ns(rig->fake), PIT_8254_HZ) + 1;
}

static void expect_level(struct rig *rig, uint64_t tick, bool before, bool at)
{
    rig_advance_to(rig, tick_ns(tick) - 1);
    ck_assert_msg(rig->line[0].level == before, "before tick %llu", (unsigned long long)tick);
    rig_advance_to(rig, tick_ns(tick));
    ck_assert_msg(rig->line[0].level == at, "at tick %llu", (unsigned long long)tick);
}

START_TEST(ticks_are_exact)
{
    /* 1193182 ticks are one second, however far away. */
    for (uint64_t second = 0; second < 18000000000ull; second = second * 7 + 1) {
        ck_assert_uint_eq(ticks_from_ns(second * 1000000000ull, PIT_8254_HZ), second * PIT_8254_HZ);
        ck_assert_uint_eq(ticks_to_ns(second * PIT_8254_HZ, PIT_8254_HZ), second * 1000000000ull);
    }
    for (uint64_t tick = 0; tick < 3000000; tick += 997) {
        uint64_t ns = ticks_to_ns(tick, PIT_8254_HZ);
        ck_assert_uint_eq(ticks_from_ns(ns, PIT_8254_HZ), tick);
        if (ns)
            ck_assert_uint_eq(ticks_from_ns(ns - 1, PIT_8254_HZ), tick - 1);
    }
}
END_TEST

START_TEST(mode_0_rises_once)
{
    struct rig *rig = rig_create(build);
    rig_advance_to(rig, 5000);
    program(rig, 0, 0, 1000);
    uint64_t load = next_tick(rig);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, tick_ns(load + 10));
    ck_assert_uint_eq(count_of(rig, 0), 990);
    expect_level(rig, load + 1000, false, true);
    ck_assert_uint_eq(count_of(rig, 0), 0);
    rig_advance_to(rig, tick_ns(load + 1003));
    ck_assert_uint_eq(count_of(rig, 0), 0xFFFD);
    ck_assert(rig->line[0].level);
    program(rig, 0, 0, 5);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, tick_ns(load + 200000));
    ck_assert_uint_eq(rig->line[0].rises, 2);
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_0_first_byte_stops_the_count)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 0, 100);
    rig_advance_to(rig, tick_ns(50));
    out(rig, 0x40, 20);
    rig_advance_to(rig, tick_ns(500));
    ck_assert(!rig->line[0].level);
    out(rig, 0x40, 0);
    uint64_t load = next_tick(rig);
    expect_level(rig, load + 20, false, true);
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_2_pulses_low_for_one_tick)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 2, 11932);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 5));
    ck_assert_uint_eq(count_of(rig, 0), 11927);
    for (uint64_t n = 1; n <= 5; n++) {
        expect_level(rig, load + n * 11932 - 1, true, false);
        ck_assert_uint_eq(count_of(rig, 0), 1);
        expect_level(rig, load + n * 11932, false, true);
        ck_assert_uint_eq(count_of(rig, 0), 11932);
    }
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_2_new_count_takes_over_at_the_cycle_end)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 2, 1000);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 300));
    out(rig, 0x40, 100);
    out(rig, 0x40, 0);
    ck_assert_uint_eq(status_of(rig, 0) & 0x40, 0x40); /* null count */
    ck_assert_uint_eq(count_of(rig, 0), 700);
    expect_level(rig, load + 1000, false, true);
    ck_assert_uint_eq(status_of(rig, 0), 0x80 | 0x30 | 2 << 1);
    expect_level(rig, load + 1100, false, true);
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_3_square_waves)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 3, 101); /* odd: 51 high, 50 low */
    uint64_t load = next_tick(rig);
    expect_level(rig, load + 51, true, false);
    expect_level(rig, load + 101, false, true);
    expect_level(rig, load + 152, true, false);
    program(rig, 0, 3, 0); /* 65536 */
    load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 3));
    ck_assert_uint_eq(count_of(rig, 0), 65536 - 6);
    expect_level(rig, load + 32768, true, false);
    rig_advance_to(rig, tick_ns(load + 32769));
    ck_assert_uint_eq(count_of(rig, 0), 65536 - 2);
    expect_level(rig, load + 65536, false, true);
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_3_new_count_takes_over_at_the_half_cycle)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 3, 1000);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 100));
    out(rig, 0x40, 200);
    out(rig, 0x40, 0);
    expect_level(rig, load + 500, true, false);
    expect_level(rig, load + 600, false, true);
    expect_level(rig, load + 700, true, false);
    rig_destroy(rig);
}
END_TEST

START_TEST(mode_4_strobes_once)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 4, 50);
    uint64_t load = next_tick(rig);
    expect_level(rig, load + 50, true, false);
    expect_level(rig, load + 51, false, true);
    rig->line[0].rises = 0;
    rig_advance_to(rig, tick_ns(load + 200000));
    ck_assert_uint_eq(rig->line[0].rises, 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(gate_of_channel_2)
{
    struct rig *rig = rig_create(build);
    program(rig, 2, 0, 1000); /* gate low: does not count */
    rig_advance_to(rig, tick_ns(5000));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0);
    out(rig, 0x61, 0x01);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 400));
    ck_assert_uint_eq(count_of(rig, 2), 600);
    out(rig, 0x61, 0x00);
    rig_advance_to(rig, tick_ns(load + 3000));
    ck_assert_uint_eq(count_of(rig, 2), 600);
    out(rig, 0x61, 0x01);
    rig_advance_to(rig, tick_ns(load + 3000 + 599));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0);
    rig_advance_to(rig, tick_ns(load + 3000 + 600));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x21, 0x21);
    rig_destroy(rig);
}
END_TEST

START_TEST(triggered_modes)
{
    struct rig *rig = rig_create(build);
    program(rig, 2, 1, 100);
    rig_advance_to(rig, tick_ns(1000));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0x20);
    out(rig, 0x61, 0x01);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 60));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0);
    out(rig, 0x61, 0x00); /* a falling gate changes nothing, the next rise starts anew */
    out(rig, 0x61, 0x01);
    load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 99));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0);
    rig_advance_to(rig, tick_ns(load + 100));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0x20);
    program(rig, 2, 5, 10);
    out(rig, 0x61, 0x00);
    out(rig, 0x61, 0x01);
    load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 10));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0);
    rig_advance_to(rig, tick_ns(load + 11));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0x20, 0x20);
    rig_destroy(rig);
}
END_TEST

START_TEST(latch_holds_until_read)
{
    struct rig *rig = rig_create(build);
    program(rig, 0, 2, 0x8000);
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 0x100));
    out(rig, 0x43, 0x00);
    rig_advance_to(rig, tick_ns(load + 0x200));
    out(rig, 0x43, 0x00); /* the first latch stays */
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x00);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x7F);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x00); /* live again */
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x7E);
    out(rig, 0x43, 0xC2); /* read-back: status and count; status comes first */
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x80 | 0x30 | 2 << 1);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x00);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x7E);
    rig_destroy(rig);
}
END_TEST

START_TEST(bcd_and_single_byte_access)
{
    struct rig *rig = rig_create(build);
    out(rig, 0x43, 0x00 | 0x30 | 0 << 1 | 1);
    out(rig, 0x40, 0x00);
    out(rig, 0x40, 0x10); /* one thousand */
    uint64_t load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 1));
    ck_assert_uint_eq(count_of(rig, 0), 0x0999);
    expect_level(rig, load + 1000, false, true);
    rig_advance_to(rig, tick_ns(load + 1001));
    ck_assert_uint_eq(count_of(rig, 0), 0x9999);
    out(rig, 0x43, 0x10 | 2 << 1); /* low byte only */
    out(rig, 0x40, 0x20);
    load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 1));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x1F);
    out(rig, 0x43, 0x20 | 2 << 1); /* high byte only */
    out(rig, 0x40, 0x20);
    load = next_tick(rig);
    rig_advance_to(rig, tick_ns(load + 1));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x40), 0x1F);
    rig_destroy(rig);
}
END_TEST

START_TEST(port_61)
{
    struct rig *rig = rig_create(build);
    out(rig, 0x61, 0xFE);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x61) & 0xCF, 0x0E);
    unsigned changes = 0;
    uint8_t last = fake_inb(rig->fake, 0x61) & 0x10;
    for (unsigned i = 0; i < 100; i++) {
        fake_machine_advance_ns(rig->fake, 1000);
        uint8_t refresh = fake_inb(rig->fake, 0x61) & 0x10;
        changes += refresh != last;
        last = refresh;
    }
    ck_assert_uint_eq(changes, 6); /* each 15.085 us */
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    program(rig, 0, 3, 1001);
    program(rig, 1, 2, 18);
    program(rig, 2, 0, 5000);
    out(rig, 0x61, 0x01);
    rig_advance_to(rig, 777777);
    out(rig, 0x61, 0x00);
    out(rig, 0x40, 50); /* half of a new count */
    out(rig, 0x43, 0x80);
    fake_inb(rig->fake, 0x42);
}

static void after_load(struct rig *rig)
{
    rig_log(rig, fake_inb(rig->fake, 0x42));
    out(rig, 0x40, 0);
    for (unsigned i = 0; i < 40; i++) {
        fake_machine_advance_ns(rig->fake, 12345);
        rig_log(rig, rig->line[0].rises);
        rig_log(rig, count_of(rig, 0));
        rig_log(rig, count_of(rig, 1));
        rig_log(rig, count_of(rig, 2));
        rig_log(rig, fake_inb(rig->fake, 0x61));
        if (i == 20)
            out(rig, 0x61, 0x01);
    }
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("pit_8254", ticks_are_exact, mode_0_rises_once, mode_0_first_byte_stops_the_count,
         mode_2_pulses_low_for_one_tick, mode_2_new_count_takes_over_at_the_cycle_end, mode_3_square_waves,
         mode_3_new_count_takes_over_at_the_half_cycle, mode_4_strobes_once, gate_of_channel_2, triggered_modes,
         latch_holds_until_read, bcd_and_single_byte_access, port_61, state_is_whole)
