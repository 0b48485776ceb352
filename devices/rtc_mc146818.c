/* MC146818A real-time clock with 128 bytes of CMOS memory. Motorola MC146818A data sheet; the century byte at 32h.
 *
 * The clock is base_seconds at base_ns, the latest second boundary that anything was changed at; registers are computed
 * when asked for. Flags in register C are collected when it is read or when an enabled one is due: no timer runs for
 * what nobody has enabled. Registers change at once at a second boundary, UIP is set for the 244 us before.
 * Not modelled: daylight saving (DSE is storage), square wave output, dividers other than 32.768 kHz (but reset), the
 * second bank at ports 72h, 73h (off after reset in the PIIX4), battery failure. */
#include "devices/rtc_mc146818.h"

#include "core/bus.h"
#include "core/machine.h"
#include "devices/rtc_calendar.h"
#include "devices/ticks.h"

#include <string.h>

enum rtc_register {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_WEEKDAY,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
};

#define A_UIP 0x80u
#define A_DIVIDER 0x70u
#define A_DIVIDER_RESET 0x60u /* 11x */
#define A_RATE 0x0Fu
#define B_SET 0x80u
#define B_PIE 0x40u
#define B_AIE 0x20u
#define B_UIE 0x10u
#define B_SQWE 0x08u
#define B_BINARY 0x04u
#define B_24H 0x02u
#define C_IRQ 0x80u
#define C_PF 0x40u
#define C_AF 0x20u
#define C_UF 0x10u
#define C_FLAGS (C_PF | C_AF | C_UF)
#define D_VALID 0x80u
#define HOUR_PM 0x80u
#define ALARM_ANY 0xC0u
#define RTC_HZ 32768u
#define UIP_NS 244000
#define SECOND_NS 1000000000ll
#define TIME_NEVER INT64_MAX
#define SECONDS_MAX 1000000000000ll /* 31,000 years: beyond any setting of the registers */

#define RTC_STATE(S, A, N, T)                                                                                          \
    S(T, uint8_t, index)                                                                                               \
    S(T, bool, nmi_masked)                                                                                             \
    A(T, uint8_t, cmos, RTC_CMOS_BYTES) /* time registers: as last computed, or as set while stopped */                \
    S(T, int64_t, base_seconds)         /* since 1970, what the registers say at base_ns */                            \
    S(T, int64_t, base_ns)              /* a second boundary of the divider chain; may lie before 0 */                 \
    S(T, uint8_t, weekday_shift)        /* the weekday counts on its own: days by which it is set off */               \
    S(T, int64_t, collected_ns)         /* events up to here are in register C */                                      \
    S(T, uint64_t, deadline_ns)         /* of the timer */
struct rtc {
    struct device device;
    STATE_MEMBERS(RTC_STATE)
    struct irq_line irq8;
    struct vtimer timer;
};
STATE_TABLE(rtc_fields, struct rtc, RTC_STATE);

static int64_t rtc_now(const struct rtc *rtc)
{
    return (int64_t)vtime_now_ns(rtc->device.machine);
}

static bool rtc_divider_held(const struct rtc *rtc)
{
    return (rtc->cmos[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* The time registers are plain storage. */
static bool rtc_stopped(const struct rtc *rtc)
{
    return (rtc->cmos[RTC_B] & B_SET) || rtc_divider_held(rtc);
}

static int64_t rtc_seconds_at(const struct rtc *rtc, int64_t now_ns)
{
    return rtc->base_seconds + rtc_calendar_floor_div(now_ns - rtc->base_ns, SECOND_NS);
}

static uint8_t rtc_encode(const struct rtc *rtc, unsigned value)
{
    return (uint8_t)(rtc->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static uint8_t rtc_decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->cmos[RTC_B] & B_BINARY ? value : (uint8_t)((value >> 4) * 10 + (value & 15));
}

static uint8_t rtc_encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->cmos[RTC_B] & B_24H)
        return rtc_encode(rtc, hour);
    return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint8_t rtc_decode_hour(const struct rtc *rtc, uint8_t value)
{
    if (rtc->cmos[RTC_B] & B_24H)
        return rtc_decode(rtc, value);
    return (uint8_t)(rtc_decode(rtc, value & 0x7F) % 12 + (value & HOUR_PM ? 12 : 0));
}

static unsigned weekday_of(int64_t seconds)
{
    int64_t days = rtc_calendar_floor_div(seconds, 86400);
    return (unsigned)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday; Sunday is 0 */
}

/* Computes the time registers. */
static void rtc_fill(struct rtc *rtc, int64_t now_ns)
{
    if (rtc_stopped(rtc))
        return;
    int64_t seconds = rtc_seconds_at(rtc, now_ns);
    struct rtc_calendar calendar = rtc_calendar_from_seconds(seconds);
    unsigned century = (unsigned)(calendar.year / 100) % 100;
    rtc->cmos[RTC_SECONDS] = rtc_encode(rtc, calendar.second);
    rtc->cmos[RTC_MINUTES] = rtc_encode(rtc, calendar.minute);
    rtc->cmos[RTC_HOURS] = rtc_encode_hour(rtc, calendar.hour);
    rtc->cmos[RTC_WEEKDAY] = rtc_encode(rtc, (weekday_of(seconds) + rtc->weekday_shift) % 7 + 1);
    rtc->cmos[RTC_DAY] = rtc_encode(rtc, calendar.day);
    rtc->cmos[RTC_MONTH] = rtc_encode(rtc, calendar.month);
    rtc->cmos[RTC_YEAR] = rtc_encode(rtc, (unsigned)calendar.year % 100);
    rtc->cmos[RTC_CMOS_CENTURY] = (uint8_t)(century / 10 << 4 | century % 10);
}

/* The clock goes on from what the registers say, at the divider's present phase. */
static void rtc_take_registers(struct rtc *rtc, int64_t now_ns)
{
    uint8_t century = rtc->cmos[RTC_CMOS_CENTURY];
    struct rtc_calendar calendar = {
        .year = ((century >> 4) * 10 + (century & 15)) * 100 + rtc_decode(rtc, rtc->cmos[RTC_YEAR]),
        .month = rtc_decode(rtc, rtc->cmos[RTC_MONTH]),
        .day = rtc_decode(rtc, rtc->cmos[RTC_DAY]),
        .hour = rtc_decode_hour(rtc, rtc->cmos[RTC_HOURS]),
        .minute = rtc_decode(rtc, rtc->cmos[RTC_MINUTES]),
        .second = rtc_decode(rtc, rtc->cmos[RTC_SECONDS]),
    };
    rtc->base_seconds = rtc_calendar_to_seconds(&calendar);
    rtc->base_ns += rtc_calendar_floor_div(now_ns - rtc->base_ns, SECOND_NS) * SECOND_NS;
    unsigned shown = (rtc_decode(rtc, rtc->cmos[RTC_WEEKDAY]) + 6u) % 7;
    rtc->weekday_shift = (uint8_t)((shown + 7 - weekday_of(rtc->base_seconds)) % 7);
}

/* Ticks of 32.768 kHz between interrupts; 0: off. */
static uint32_t rtc_rate_ticks(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[RTC_A] & A_RATE;
    if (rate == 0 || rtc_divider_held(rtc))
        return 0;
    return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* Instant of the first periodic event after from_ns. */
static int64_t rtc_next_periodic(const struct rtc *rtc, int64_t from_ns)
{
    uint32_t ticks = rtc_rate_ticks(rtc);
    if (!ticks)
        return TIME_NEVER;
    int64_t second_ns = rtc->base_ns + rtc_calendar_floor_div(from_ns - rtc->base_ns, SECOND_NS) * SECOND_NS;
    uint64_t done = ticks_from_ns((uint64_t)(from_ns - second_ns), RTC_HZ);
    return second_ns + (int64_t)ticks_to_ns((done / ticks + 1) * ticks, RTC_HZ);
}

static int64_t rtc_next_update(const struct rtc *rtc, int64_t from_ns)
{
    if (rtc_stopped(rtc))
        return TIME_NEVER;
    return rtc->base_ns + (rtc_calendar_floor_div(from_ns - rtc->base_ns, SECOND_NS) + 1) * SECOND_NS;
}

static bool alarm_matches(const struct rtc *rtc, enum rtc_register alarm, unsigned value)
{
    uint8_t wanted = rtc->cmos[alarm];
    if (wanted >= ALARM_ANY)
        return true;
    return (alarm == RTC_HOURS_ALARM ? rtc_encode_hour(rtc, value) : rtc_encode(rtc, value)) == wanted;
}

/* First second of the day at or after second_of_day that matches; -1: none. */
static int32_t rtc_alarm_in_day(const struct rtc *rtc, int32_t second_of_day)
{
    for (int32_t second = second_of_day; second < 86400;) {
        if (!alarm_matches(rtc, RTC_HOURS_ALARM, (unsigned)second / 3600))
            second = (second / 3600 + 1) * 3600;
        else if (!alarm_matches(rtc, RTC_MINUTES_ALARM, (unsigned)second / 60 % 60))
            second = (second / 60 + 1) * 60;
        else if (!alarm_matches(rtc, RTC_SECONDS_ALARM, (unsigned)second % 60))
            second++;
        else
            return second;
    }
    return -1;
}

static int64_t rtc_next_alarm(const struct rtc *rtc, int64_t from_ns)
{
    if (rtc_stopped(rtc))
        return TIME_NEVER;
    int64_t next = rtc_seconds_at(rtc, from_ns) + 1;
    int64_t midnight = rtc_calendar_floor_div(next, 86400) * 86400;
    int32_t found = rtc_alarm_in_day(rtc, (int32_t)(next - midnight));
    if (found < 0) {
        midnight += 86400;
        found = rtc_alarm_in_day(rtc, 0);
    }
    return found < 0 ? TIME_NEVER : rtc->base_ns + (midnight + found - rtc->base_seconds) * SECOND_NS;
}

static void rtc_collect(struct rtc *rtc, int64_t now_ns)
{
    int64_t from_ns = rtc->collected_ns;
    uint8_t flags = 0;
    if (rtc_next_periodic(rtc, from_ns) <= now_ns)
        flags |= C_PF;
    if (rtc_next_update(rtc, from_ns) <= now_ns) {
        flags |= C_UF;
        if (rtc_next_alarm(rtc, from_ns) <= now_ns)
            flags |= C_AF;
    }
    rtc->cmos[RTC_C] |= flags;
    rtc->collected_ns = now_ns;
}

/* After a change: the IRQ line, and the timer for the next enabled event. */
static void rtc_update(struct rtc *rtc, int64_t now_ns)
{
    uint8_t enabled = rtc->cmos[RTC_B] & C_FLAGS;
    bool level = rtc->cmos[RTC_C] & enabled;
    rtc->cmos[RTC_C] = (uint8_t)((rtc->cmos[RTC_C] & C_FLAGS) | (level ? C_IRQ : 0));
    irq_set(rtc->irq8, level);
    int64_t deadline = TIME_NEVER;
    if (!level) { /* once high it stays so until register C is read */
        int64_t periodic = enabled & B_PIE ? rtc_next_periodic(rtc, now_ns) : TIME_NEVER;
        int64_t update = enabled & B_UIE ? rtc_next_update(rtc, now_ns) : TIME_NEVER;
        int64_t alarm = enabled & B_AIE ? rtc_next_alarm(rtc, now_ns) : TIME_NEVER;
        deadline = periodic < update ? periodic : update;
        deadline = alarm < deadline ? alarm : deadline;
    }
    rtc->deadline_ns = deadline == TIME_NEVER ? VTIME_NEVER : (uint64_t)deadline;
    vtimer_arm(&rtc->timer, rtc->deadline_ns);
}

static void rtc_timer_fire(void *opaque)
{
    struct rtc *rtc = opaque;
    int64_t now_ns = rtc_now(rtc);
    rtc_collect(rtc, now_ns);
    rtc_update(rtc, now_ns);
}

static void rtc_write_a(struct rtc *rtc, uint8_t value, int64_t now_ns)
{
    bool was_held = rtc_divider_held(rtc);
    bool was_stopped = rtc_stopped(rtc);
    rtc_fill(rtc, now_ns);
    rtc->cmos[RTC_A] = value & (A_DIVIDER | A_RATE);
    if (was_held && !rtc_divider_held(rtc))
        rtc->base_ns = now_ns - SECOND_NS / 2; /* the first update comes half a second after release */
    if (was_stopped && !rtc_stopped(rtc))
        rtc_take_registers(rtc, now_ns);
}

static void rtc_write_b(struct rtc *rtc, uint8_t value, int64_t now_ns)
{
    bool was_stopped = rtc_stopped(rtc);
    rtc_fill(rtc, now_ns);
    rtc->cmos[RTC_B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
    if (was_stopped && !rtc_stopped(rtc))
        rtc_take_registers(rtc, now_ns);
}

static bool is_time_register(unsigned index)
{
    return index == RTC_SECONDS || index == RTC_MINUTES || index == RTC_HOURS ||
           (index >= RTC_WEEKDAY && index <= RTC_YEAR) || index == RTC_CMOS_CENTURY;
}

static void rtc_write_time(struct rtc *rtc, unsigned index, uint8_t value, int64_t now_ns)
{
    rtc_fill(rtc, now_ns);
    rtc->cmos[index] = value;
    if (!rtc_stopped(rtc))
        rtc_take_registers(rtc, now_ns);
}

static void rtc_write_register(struct rtc *rtc, unsigned index, uint8_t value)
{
    int64_t now_ns = rtc_now(rtc);
    if (index > RTC_D && index != RTC_CMOS_CENTURY) {
        rtc->cmos[index] = value;
        return;
    }
    rtc_collect(rtc, now_ns);
    if (is_time_register(index))
        rtc_write_time(rtc, index, value, now_ns);
    else if (index == RTC_A)
        rtc_write_a(rtc, value, now_ns);
    else if (index == RTC_B)
        rtc_write_b(rtc, value, now_ns);
    else if (index < RTC_A)
        rtc->cmos[index] = value; /* alarms; C and D are read-only */
    rtc_update(rtc, now_ns);
}

static uint8_t rtc_read_c(struct rtc *rtc, int64_t now_ns)
{
    rtc_collect(rtc, now_ns);
    uint8_t value = rtc->cmos[RTC_C] & C_FLAGS;
    if (value & rtc->cmos[RTC_B] & C_FLAGS)
        value |= C_IRQ;
    rtc->cmos[RTC_C] = 0;
    rtc_update(rtc, now_ns);
    return value;
}

static uint8_t rtc_read_register(struct rtc *rtc, unsigned index)
{
    int64_t now_ns = rtc_now(rtc);
    if (is_time_register(index))
        rtc_fill(rtc, now_ns);
    if (index == RTC_A) {
        bool updating = !rtc_stopped(rtc) && rtc_next_update(rtc, now_ns) - now_ns <= UIP_NS;
        return rtc->cmos[RTC_A] | (updating ? A_UIP : 0);
    }
    if (index == RTC_C)
        return rtc_read_c(rtc, now_ns);
    return index == RTC_D ? D_VALID : rtc->cmos[index];
}

static uint64_t rtc_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct rtc *rtc = opaque;
    (void)size_bytes;
    return address == 0 ? 0xFF : rtc_read_register(rtc, rtc->index);
}

static void rtc_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct rtc *rtc = opaque;
    (void)size_bytes;
    if (address == 0) {
        rtc->index = value & 0x7F;
        rtc->nmi_masked = value & 0x80;
    } else {
        rtc_write_register(rtc, rtc->index, (uint8_t)value);
    }
}

static const struct bus_ops rtc_ops = {.read = rtc_read, .write = rtc_write, .max_size_bytes = 1};

/* RESET# clears the interrupt enables and flags; the battery keeps the rest. */
static void rtc_reset(struct device *device)
{
    struct rtc *rtc = device_of(device, struct rtc);
    int64_t now_ns = rtc_now(rtc);
    rtc->cmos[RTC_B] &= (uint8_t) ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->cmos[RTC_C] = 0;
    rtc->collected_ns = now_ns;
    rtc->index = 0;
    rtc->nmi_masked = false;
    rtc_update(rtc, now_ns);
}

/* Loaded state may come from a damaged file: within the arrays, and within the calendar. */
static void rtc_post_load(struct device *device)
{
    struct rtc *rtc = device_of(device, struct rtc);
    int64_t now_ns = rtc_now(rtc);
    rtc->index &= RTC_CMOS_BYTES - 1;
    rtc->weekday_shift %= 7;
    if (rtc->base_seconds < -SECONDS_MAX || rtc->base_seconds > SECONDS_MAX)
        rtc->base_seconds = 0;
    if (rtc->base_ns < -SECOND_NS || rtc->base_ns > now_ns)
        rtc->base_ns = now_ns;
    if (rtc->collected_ns < 0 || rtc->collected_ns > now_ns)
        rtc->collected_ns = now_ns;
    vtimer_arm(&rtc->timer, rtc->deadline_ns);
}

static void rtc_destroy(struct device *device)
{
    vtimer_disarm(&device_of(device, struct rtc)->timer);
}

const struct device_class rtc_mc146818_class = {.name = "rtc_mc146818",
                                                .version = 1,
                                                .size = sizeof(struct rtc),
                                                .fields = rtc_fields,
                                                .reset = rtc_reset,
                                                .post_load = rtc_post_load,
                                                .destroy = rtc_destroy};

void rtc_cmos_set(struct device *device, unsigned index, uint8_t value)
{
    CHECK(index >= RTC_CMOS_FIRST_FREE && index < RTC_CMOS_BYTES && index != RTC_CMOS_CENTURY);
    device_of(device, struct rtc)->cmos[index] = value;
}

uint8_t rtc_cmos_get(struct device *device, unsigned index)
{
    CHECK(index < RTC_CMOS_BYTES);
    return device_of(device, struct rtc)->cmos[index];
}

bool rtc_nmi_masked(struct device *device)
{
    return device_of(device, struct rtc)->nmi_masked;
}

struct device *rtc_mc146818_create(struct machine *machine, struct irq_line irq8)
{
    struct rtc *rtc = device_alloc(&rtc_mc146818_class, machine, "rtc");
    rtc->irq8 = irq8;
    vtimer_init(&rtc->timer, machine, rtc_timer_fire, rtc);
    rtc->base_ns = rtc_now(rtc);
    /* A hostile journal's clock must not leave the calendar's range: 9999-12-31 is the last day with two centuries'
     * digits. */
    rtc->base_seconds = (int64_t)(machine_pull(machine, INPUT_WALL_CLOCK, NULL, NULL) % 253402300800ull);
    rtc->cmos[RTC_A] = 0x26;
    rtc->cmos[RTC_B] = B_24H;
    rtc_reset(&rtc->device);
    bus_map_io(machine_bus(machine), 0x70, 2, &rtc_ops, rtc, "rtc");
    machine_add_device(machine, &rtc->device);
    return &rtc->device;
}
