/* RTC: the date against the C library's, register formats, update cycle, the three interrupts at exact times. */
#include "devices/rtc_calendar.h"
#include "devices/rtc_mc146818.h"
#include "tests/devices/device_test.h"

#include <time.h>

#define SECOND_NS 1000000000ull

static void build(struct rig *rig)
{
    rig->device = rtc_mc146818_create(rig->fake->machine, fake_line(&rig->line[0]));
}

static uint8_t get(struct rig *rig, uint8_t index)
{
    fake_outb(rig->fake, 0x70, index);
    return fake_inb(rig->fake, 0x71);
}

static void set(struct rig *rig, uint8_t index, uint8_t value)
{
    fake_outb(rig->fake, 0x70, index);
    fake_outb(rig->fake, 0x71, value);
}

/* hour, minute, second, day, month, year, century as raw bytes. */
static void expect_time(struct rig *rig, uint64_t hhmmss, uint64_t ddmmyycc)
{
    ck_assert_uint_eq((uint64_t)get(rig, 4) << 16 | get(rig, 2) << 8 | get(rig, 0), hhmmss);
    ck_assert_uint_eq((uint64_t)get(rig, 7) << 24 | get(rig, 8) << 16 | get(rig, 9) << 8 | get(rig, 0x32), ddmmyycc);
}

START_TEST(calendar_agrees_with_libc)
{
    for (int64_t seconds = -30000000000ll; seconds < 90000000000ll; seconds += 86400 * 13 + 12347) {
        time_t when = (time_t)seconds;
        struct tm tm;
        ck_assert_ptr_nonnull(gmtime_r(&when, &tm));
        struct rtc_calendar calendar = rtc_calendar_from_seconds(seconds);
        ck_assert_int_eq(calendar.year, tm.tm_year + 1900);
        ck_assert_int_eq(calendar.month, tm.tm_mon + 1);
        ck_assert_int_eq(calendar.day, tm.tm_mday);
        ck_assert_int_eq(calendar.hour, tm.tm_hour);
        ck_assert_int_eq(calendar.minute, tm.tm_min);
        ck_assert_int_eq(calendar.second, tm.tm_sec);
        ck_assert_int_eq(rtc_calendar_to_seconds(&calendar), seconds);
    }
}
END_TEST

START_TEST(calendar_every_day_of_four_centuries)
{
    int32_t year = 1999, month = 1, day = 1;
    for (int64_t days = 10592; days < 10592 + 146097; days++) {
        struct rtc_calendar calendar = rtc_calendar_from_seconds(days * 86400);
        ck_assert_int_eq(calendar.year, year);
        ck_assert_int_eq(calendar.month, month);
        ck_assert_int_eq(calendar.day, day);
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        static const int lengths[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        if (++day > lengths[month - 1] + (month == 2 && leap)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
}
END_TEST

START_TEST(starts_at_the_wall_clock_and_goes_with_virtual_time)
{
    struct rig *rig = rig_create(build);
    expect_time(rig, 0x221320, 0x14112320);
    ck_assert_uint_eq(get(rig, 6), 3); /* a Tuesday */
    rig_advance_to(rig, 39 * SECOND_NS + 999999999);
    expect_time(rig, 0x221359, 0x14112320);
    rig_advance_to(rig, 40 * SECOND_NS);
    expect_time(rig, 0x221400, 0x14112320);
    machine_reset(rig->fake->machine); /* the battery keeps it */
    expect_time(rig, 0x221400, 0x14112320);
    ck_assert_uint_eq(get(rig, 0x0D), 0x80);
    rig_destroy(rig);
}
END_TEST

START_TEST(binary_and_12_hour_formats)
{
    struct rig *rig = rig_create(build);
    set(rig, 0x0B, 0x06);
    expect_time(rig, 22 << 16 | 13 << 8 | 20, 14 << 24 | 11 << 16 | 23 << 8 | 0x20);
    set(rig, 0x0B, 0x00);
    ck_assert_uint_eq(get(rig, 4), 0x80 | 0x10);
    set(rig, 4, 0x12); /* midnight */
    set(rig, 0x0B, 0x02);
    ck_assert_uint_eq(get(rig, 4), 0x00);
    set(rig, 0x0B, 0x00);
    set(rig, 4, 0x92); /* noon */
    set(rig, 0x0B, 0x02);
    ck_assert_uint_eq(get(rig, 4), 0x12);
    rig_destroy(rig);
}
END_TEST

START_TEST(setting_the_time)
{
    struct rig *rig = rig_create(build);
    set(rig, 0x0B, 0x82);
    rig_advance_to(rig, 2 * SECOND_NS + 300000000);
    ck_assert_uint_eq(get(rig, 0), 0x20); /* stands still */
    set(rig, 0, 0x58);
    set(rig, 2, 0x59);
    set(rig, 4, 0x23);
    set(rig, 6, 0x05);
    set(rig, 7, 0x28);
    set(rig, 8, 0x02);
    set(rig, 9, 0x24);
    set(rig, 0x32, 0x20);
    set(rig, 0x0B, 0x02);
    expect_time(rig, 0x235958, 0x28022420);
    rig_advance_to(rig, 3 * SECOND_NS); /* the divider chain went on */
    expect_time(rig, 0x235959, 0x28022420);
    rig_advance_to(rig, 4 * SECOND_NS);
    expect_time(rig, 0x000000, 0x29022420);
    ck_assert_uint_eq(get(rig, 6), 0x06); /* counts on from what was set */
    rig_destroy(rig);
}
END_TEST

START_TEST(divider_reset_restarts_the_second)
{
    struct rig *rig = rig_create(build);
    rig_advance_to(rig, 100000000);
    set(rig, 0x0A, 0x70);
    rig_advance_to(rig, 5 * SECOND_NS);
    ck_assert_uint_eq(get(rig, 0), 0x20);
    set(rig, 0x0A, 0x26);
    rig_advance_to(rig, 5 * SECOND_NS + 499999999);
    ck_assert_uint_eq(get(rig, 0), 0x20);
    rig_advance_to(rig, 5 * SECOND_NS + 500000000);
    ck_assert_uint_eq(get(rig, 0), 0x21);
    rig_destroy(rig);
}
END_TEST

START_TEST(update_in_progress)
{
    struct rig *rig = rig_create(build);
    rig_advance_to(rig, SECOND_NS - 244001);
    ck_assert_uint_eq(get(rig, 0x0A), 0x26);
    rig_advance_to(rig, SECOND_NS - 244000);
    ck_assert_uint_eq(get(rig, 0x0A), 0xA6);
    rig_advance_to(rig, SECOND_NS - 1);
    ck_assert_uint_eq(get(rig, 0x0A), 0xA6);
    ck_assert_uint_eq(get(rig, 0), 0x20);
    rig_advance_to(rig, SECOND_NS);
    ck_assert_uint_eq(get(rig, 0x0A), 0x26);
    ck_assert_uint_eq(get(rig, 0), 0x21);
    rig_destroy(rig);
}
END_TEST

START_TEST(update_ended_interrupt)
{
    struct rig *rig = rig_create(build);
    set(rig, 0x0B, 0x12);
    rig_advance_to(rig, SECOND_NS - 1);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, SECOND_NS);
    ck_assert(rig->line[0].level);
    rig_advance_to(rig, 2 * SECOND_NS);
    ck_assert_uint_eq(rig->line[0].rises, 1);
    ck_assert_uint_eq(get(rig, 0x0C), 0xD0); /* the periodic flag is set too, though not enabled */
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(get(rig, 0x0C), 0x00);
    rig_advance_to(rig, 3 * SECOND_NS);
    ck_assert_uint_eq(rig->line[0].rises, 2);
    rig_destroy(rig);
}
END_TEST

START_TEST(periodic_interrupt_does_not_drift)
{
    struct rig *rig = rig_create(build);
    set(rig, 0x0A, 0x26); /* 1024 Hz */
    set(rig, 0x0B, 0x42);
    for (uint64_t n = 1; n <= 3000; n++) {
        uint64_t due_ns = (n * SECOND_NS + 1023) / 1024;
        rig_advance_to(rig, due_ns - 1);
        ck_assert(!rig->line[0].level);
        rig_advance_to(rig, due_ns);
        ck_assert(rig->line[0].level);
        ck_assert_uint_eq(get(rig, 0x0C) & 0xC0, 0xC0);
    }
    set(rig, 0x0A, 0x2F); /* 2 Hz */
    get(rig, 0x0C);
    rig_advance_to(rig, 3 * SECOND_NS - 1);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, 3 * SECOND_NS);
    ck_assert(rig->line[0].level);
    get(rig, 0x0C);
    set(rig, 0x0A, 0x20); /* off */
    rig_advance_to(rig, 5 * SECOND_NS);
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(periodic_rates)
{
    for (unsigned rate = 1; rate < 16; rate++) {
        struct rig *rig = rig_create(build);
        unsigned hz = rate == 1 ? 256 : rate == 2 ? 128 : 32768u >> (rate - 1);
        set(rig, 0x0A, (uint8_t)(0x20 | rate));
        set(rig, 0x0B, 0x42);
        uint64_t due_ns = (SECOND_NS + hz - 1) / hz;
        rig_advance_to(rig, due_ns - 1);
        ck_assert(!rig->line[0].level);
        rig_advance_to(rig, due_ns);
        ck_assert(rig->line[0].level);
        rig_destroy(rig);
    }
}
END_TEST

START_TEST(alarm_interrupt)
{
    struct rig *rig = rig_create(build);
    set(rig, 1, 0x05);
    set(rig, 3, 0x15);
    set(rig, 5, 0xFF); /* any hour: 22:15:05 is 105 s away */
    set(rig, 0x0B, 0x22);
    rig_advance_to(rig, 105 * SECOND_NS - 1);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, 105 * SECOND_NS);
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(get(rig, 0x0C) & 0xA0, 0xA0);
    set(rig, 1, 0x61); /* never */
    rig_advance_to(rig, 200 * SECOND_NS);
    ck_assert(!rig->line[0].level);
    set(rig, 1, 0xC0); /* each second of 22:17 */
    set(rig, 3, 0x17);
    rig_advance_to(rig, 220 * SECOND_NS);
    ck_assert(rig->line[0].level);
    get(rig, 0x0C);
    rig_advance_to(rig, 221 * SECOND_NS);
    ck_assert(rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(flags_without_interrupts)
{
    struct rig *rig = rig_create(build);
    set(rig, 0x0A, 0x20);
    set(rig, 1, 0x22);
    set(rig, 3, 0xFF);
    set(rig, 5, 0xFF);
    get(rig, 0x0C);
    rig_advance_to(rig, SECOND_NS + 5);
    ck_assert_uint_eq(get(rig, 0x0C), 0x10);
    rig_advance_to(rig, SECOND_NS + 10);
    ck_assert_uint_eq(get(rig, 0x0C), 0x00);
    rig_advance_to(rig, 3 * SECOND_NS);
    ck_assert_uint_eq(get(rig, 0x0C), 0x30);
    set(rig, 0x0B, 0x92);
    ck_assert_uint_eq(get(rig, 0x0B), 0x82); /* SET clears UIE */
    rig_advance_to(rig, 5 * SECOND_NS);
    ck_assert_uint_eq(get(rig, 0x0C), 0x00);
    rig_destroy(rig);
}
END_TEST

START_TEST(memory_and_nmi_mask)
{
    struct rig *rig = rig_create(build);
    rtc_cmos_set(rig->device, 0x34, 0x5A);
    ck_assert_uint_eq(get(rig, 0x34), 0x5A);
    set(rig, 0x8F, 0x77);
    ck_assert(rtc_nmi_masked(rig->device));
    ck_assert_uint_eq(rtc_cmos_get(rig->device, 0x0F), 0x77);
    ck_assert_uint_eq(get(rig, 0x0F), 0x77);
    ck_assert(!rtc_nmi_masked(rig->device));
    set(rig, 0x0D, 0x00);
    ck_assert_uint_eq(get(rig, 0x0D), 0x80);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    set(rig, 0x0A, 0x2A);
    set(rig, 0x0B, 0x42);
    rig_advance_to(rig, 1234567890);
    get(rig, 0x0C);
    set(rig, 2, 0x59);
    set(rig, 1, 0x30);
    set(rig, 3, 0xC0);
    set(rig, 5, 0xC0);
    fake_outb(rig->fake, 0x70, 0x8C);
}

static void after_load(struct rig *rig)
{
    rig_log(rig, rtc_nmi_masked(rig->device));
    for (unsigned i = 0; i < 30; i++) {
        fake_machine_advance_ns(rig->fake, 333333333);
        rig_log(rig, rig->line[0].rises);
        rig_log(rig, get(rig, 0));
        rig_log(rig, get(rig, 2));
        rig_log(rig, get(rig, 4));
        rig_log(rig, get(rig, 0x0A));
        rig_log(rig, get(rig, 0x0C));
        if (i == 10)
            set(rig, 0x0B, 0x32);
    }
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("rtc_mc146818", calendar_agrees_with_libc, calendar_every_day_of_four_centuries,
         starts_at_the_wall_clock_and_goes_with_virtual_time, binary_and_12_hour_formats, setting_the_time,
         divider_reset_restarts_the_second, update_in_progress, update_ended_interrupt,
         periodic_interrupt_does_not_drift, periodic_rates, alarm_interrupt, flags_without_interrupts,
         memory_and_nmi_mask, state_is_whole)
