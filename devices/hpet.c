/* High precision event timers. IA-PC HPET specification 1.0a. The main counter is virtual time in units of 10 ns.
 *
 * Not modelled: FSB (MSI) delivery (not announced). An access of 8 bytes, or of 4 bytes at a multiple of 4, works;
 * smaller ones, which the specification forbids, read zero and write nothing. */
#include "devices/hpet.h"

#include "core/bus.h"
#include "core/machine.h"

#define HPET_BYTES 1024u
#define NS_PER_TICK (HPET_PERIOD_FS / 1000000u)

#define CAPABILITIES ((uint64_t)HPET_PERIOD_FS << 32 | HPET_ID)
_Static_assert((HPET_ID >> 8 & 31) == HPET_TIMERS - 1, "number of the last timer");

#define CONFIG_ENABLE 0x1u
#define CONFIG_LEGACY 0x2u
#define TIMER_LEVEL 0x0002u
#define TIMER_ENABLE 0x0004u
#define TIMER_PERIODIC 0x0008u
#define TIMER_CAN_PERIODIC 0x0010u
#define TIMER_IS_64BIT 0x0020u
#define TIMER_SET_VALUE 0x0040u
#define TIMER_32BIT 0x0100u
#define TIMER_ROUTE_SHIFT 9
#define TIMER_ROUTE_MASK 31u
#define TIMER_WRITABLE 0x3F4Eu
#define TIMER_ROUTES 0x00F00000ull /* I/O APIC pins 20 to 23 */

#define HPET_TIMER_STATE(S, A, N, T)                                                                                   \
    S(T, uint32_t, config) /* writable bits */                                                                         \
    S(T, uint64_t, comparator)                                                                                         \
    S(T, uint64_t, period)                                                                                             \
    S(T, bool, edge_high) /* edge-triggered: has matched; high until the next match or disabling */                    \
    S(T, uint64_t, deadline_ns)
struct hpet_timer {
    STATE_MEMBERS(HPET_TIMER_STATE)
};
STATE_TABLE(hpet_timer_fields, struct hpet_timer, HPET_TIMER_STATE);

#define HPET_STATE(S, A, N, T)                                                                                         \
    S(T, uint8_t, config)                                                                                              \
    S(T, uint32_t, status)                                                                                             \
    S(T, uint64_t, counter) /* at base_ns; the value while halted */                                                   \
    S(T, uint64_t, base_ns)                                                                                            \
    S(T, bool, pit_level) /* what the PIT and the RTC drive */                                                         \
    S(T, bool, rtc_level)                                                                                              \
    S(T, uint32_t, gsi_levels) /* what is driven at the I/O APIC, by pin */                                            \
    N(T, struct hpet_timer, timer, HPET_TIMERS, hpet_timer_fields)
struct hpet;
struct hpet_alarm {
    struct hpet *hpet;
    struct vtimer vtimer;
};
struct hpet {
    struct device device;
    STATE_MEMBERS(HPET_STATE)
    struct irq_line irq0, irq8, gsi;
    struct hpet_alarm alarm[HPET_TIMERS];
};
STATE_TABLE(hpet_fields, struct hpet, HPET_STATE);

static uint64_t hpet_now_ns(const struct hpet *hpet)
{
    return vtime_now_ns(hpet->device.machine);
}

static bool hpet_enabled(const struct hpet *hpet)
{
    return hpet->config & CONFIG_ENABLE;
}

static uint64_t hpet_counter(const struct hpet *hpet)
{
    return hpet_enabled(hpet) ? hpet->counter + (hpet_now_ns(hpet) - hpet->base_ns) / NS_PER_TICK : hpet->counter;
}

static uint64_t timer_mask(const struct hpet_timer *timer)
{
    return timer->config & TIMER_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

static bool timer_is_legacy(const struct hpet *hpet, unsigned index)
{
    return (hpet->config & CONFIG_LEGACY) && index < 2;
}

static bool timer_level(const struct hpet *hpet, unsigned index)
{
    const struct hpet_timer *timer = &hpet->timer[index];
    if (!(timer->config & TIMER_ENABLE))
        return false;
    return timer->config & TIMER_LEVEL ? hpet->status >> index & 1 : timer->edge_high;
}

static unsigned timer_route(const struct hpet_timer *timer)
{
    return timer->config >> TIMER_ROUTE_SHIFT & TIMER_ROUTE_MASK;
}

static void hpet_set_gsi(struct hpet *hpet, unsigned pin, bool level)
{
    struct irq_line line = hpet->gsi;
    line.pin = pin;
    irq_set(line, level);
}

/* Drives all lines with what holds now. */
static void hpet_update_lines(struct hpet *hpet)
{
    uint32_t levels = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        if (!timer_is_legacy(hpet, i) && timer_level(hpet, i))
            levels |= 1u << timer_route(&hpet->timer[i]);
    levels &= (uint32_t)TIMER_ROUTES;
    uint32_t changed = levels ^ hpet->gsi_levels;
    hpet->gsi_levels = levels;
    for (; changed; changed &= changed - 1) {
        unsigned pin = (unsigned)__builtin_ctz(changed);
        hpet_set_gsi(hpet, pin, levels >> pin & 1);
    }
    bool legacy = hpet->config & CONFIG_LEGACY;
    irq_set(hpet->irq0, legacy ? timer_level(hpet, 0) : hpet->pit_level);
    irq_set(hpet->irq8, legacy ? timer_level(hpet, 1) : hpet->rtc_level);
}

/* An edge is a low line going high and staying so, since the 8259 forgets a request whose line falls. */
static void timer_interrupt(struct hpet *hpet, unsigned index)
{
    struct hpet_timer *timer = &hpet->timer[index];
    if (timer->config & TIMER_LEVEL) {
        hpet->status |= 1u << index;
    } else {
        timer->edge_high = false;
        hpet_update_lines(hpet);
        timer->edge_high = true;
    }
    hpet_update_lines(hpet);
}

static void hpet_set_source(void *opaque, unsigned pin, bool level)
{
    struct hpet *hpet = opaque;
    if (pin == 0)
        hpet->pit_level = level;
    else
        hpet->rtc_level = level;
    if (!(hpet->config & CONFIG_LEGACY))
        irq_set(pin == 0 ? hpet->irq0 : hpet->irq8, level);
}

/* --- matches ------------------------------------------------------------------------------------------------------ */

/* Arms for the comparator's next match. now_matches: a comparator equal to the counter has yet to match; otherwise it
 * has, and waits a whole turn of the counter. */
static void timer_arm(struct hpet *hpet, unsigned index, bool now_matches)
{
    struct hpet_timer *timer = &hpet->timer[index];
    timer->deadline_ns = VTIME_NEVER;
    if (hpet_enabled(hpet)) {
        uint64_t mask = timer_mask(timer);
        uint64_t since_base = (hpet_now_ns(hpet) - hpet->base_ns) / NS_PER_TICK;
        uint64_t ahead = (timer->comparator - hpet->counter - since_base) & mask;
        if (ahead == 0 && !now_matches)
            ahead = mask == UINT64_MAX ? mask : mask + 1;
        uint64_t ticks;
        if (!__builtin_add_overflow(since_base, ahead, &ticks) && ticks < (UINT64_MAX - hpet->base_ns) / NS_PER_TICK)
            timer->deadline_ns = hpet->base_ns + ticks * NS_PER_TICK;
    }
    vtimer_arm(&hpet->alarm[index].vtimer, timer->deadline_ns);
}

/* Periods that passed at once count as one match. */
static void timer_advance(struct hpet *hpet, struct hpet_timer *timer)
{
    uint64_t mask = timer_mask(timer);
    uint64_t late = (hpet_counter(hpet) - timer->comparator) & mask;
    timer->comparator = (timer->comparator + (late / timer->period + 1) * timer->period) & mask;
}

static void timer_fire(void *opaque)
{
    struct hpet_alarm *alarm = opaque;
    struct hpet *hpet = alarm->hpet;
    unsigned index = (unsigned)(alarm - hpet->alarm);
    struct hpet_timer *timer = &hpet->timer[index];
    if ((timer->config & TIMER_PERIODIC) && timer->period != 0)
        timer_advance(hpet, timer);
    timer_arm(hpet, index, false);
    timer_interrupt(hpet, index);
}

/* --- registers ---------------------------------------------------------------------------------------------------- */

static void hpet_write_config(struct hpet *hpet, uint64_t value)
{
    uint64_t counter = hpet_counter(hpet);
    hpet->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    hpet->counter = counter;
    hpet->base_ns = hpet_now_ns(hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_arm(hpet, i, false);
    hpet_update_lines(hpet);
}

static void hpet_write_counter(struct hpet *hpet, uint64_t value)
{
    hpet->counter = value;
    hpet->base_ns = hpet_now_ns(hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_arm(hpet, i, false);
}

static void timer_write_config(struct hpet *hpet, unsigned index, uint64_t value)
{
    struct hpet_timer *timer = &hpet->timer[index];
    timer->config = (uint32_t)value & TIMER_WRITABLE;
    if (timer->config & TIMER_32BIT) {
        timer->comparator &= UINT32_MAX;
        timer->period &= UINT32_MAX;
    }
    if (!(timer->config & TIMER_LEVEL))
        hpet->status &= ~(1u << index);
    if ((timer->config & TIMER_LEVEL) || !(timer->config & TIMER_ENABLE))
        timer->edge_high = false;
    timer_arm(hpet, index, false);
    hpet_update_lines(hpet);
}

/* In periodic mode a write sets the period; with TIMER_SET_VALUE before it, first the comparator alone. */
static void timer_write_comparator(struct hpet *hpet, unsigned index, uint64_t value, uint64_t write_mask)
{
    struct hpet_timer *timer = &hpet->timer[index];
    uint64_t mask = timer_mask(timer);
    bool periodic = timer->config & TIMER_PERIODIC;
    if (!periodic || (timer->config & TIMER_SET_VALUE))
        timer->comparator = ((timer->comparator & ~write_mask) | (value & write_mask)) & mask;
    if (periodic)
        timer->period = ((timer->period & ~write_mask) | (value & write_mask)) & mask;
    timer->config &= ~TIMER_SET_VALUE;
    timer_arm(hpet, index, true);
}

static uint64_t timer_read(const struct hpet_timer *timer, unsigned reg)
{
    if (reg == 0x00)
        return TIMER_ROUTES << 32 | timer->config | TIMER_CAN_PERIODIC | TIMER_IS_64BIT;
    return reg == 0x08 ? timer->comparator : 0;
}

static uint64_t hpet_read_register(const struct hpet *hpet, unsigned reg)
{
    switch (reg) {
    case 0x00: return CAPABILITIES;
    case 0x10: return hpet->config;
    case 0x20: return hpet->status;
    case 0xF0: return hpet_counter(hpet);
    default:
        if (reg >= 0x100 && reg < 0x100 + HPET_TIMERS * 0x20)
            return timer_read(&hpet->timer[(reg - 0x100) >> 5], reg & 0x1F);
        return 0;
    }
}

/* value in place, mask: the half or halves written. */
static void hpet_write_register(struct hpet *hpet, unsigned reg, uint64_t value, uint64_t mask)
{
    uint64_t merged = (hpet_read_register(hpet, reg) & ~mask) | (value & mask);
    unsigned index = (reg - 0x100) >> 5;
    if (reg == 0x10) {
        hpet_write_config(hpet, merged);
    } else if (reg == 0x20) {
        hpet->status &= ~(uint32_t)(value & mask);
        hpet_update_lines(hpet);
    } else if (reg == 0xF0) {
        hpet_write_counter(hpet, merged);
    } else if (reg >= 0x100 && index < HPET_TIMERS) {
        if ((reg & 0x1F) == 0x00)
            timer_write_config(hpet, index, merged);
        else if ((reg & 0x1F) == 0x08)
            timer_write_comparator(hpet, index, value, mask);
    }
}

static uint64_t hpet_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    if (size_bytes < 4 || (address & 3))
        return 0;
    uint64_t value = hpet_read_register(opaque, (unsigned)address & ~7u);
    return address & 4 ? value >> 32 : value;
}

static void hpet_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    if (size_bytes < 4 || (address & 3))
        return;
    unsigned shift = address & 4 ? 32 : 0;
    uint64_t mask = size_bytes == 8 ? UINT64_MAX : (uint64_t)UINT32_MAX << shift;
    hpet_write_register(opaque, (unsigned)address & ~7u, value << shift, mask);
}

static const struct bus_ops hpet_ops = {.read = hpet_read, .write = hpet_write, .max_size_bytes = 8};

/* --- the device --------------------------------------------------------------------------------------------------- */

static void hpet_reset(struct device *device)
{
    struct hpet *hpet = device_of(device, struct hpet);
    hpet->config = 0;
    hpet->status = 0;
    hpet->counter = 0;
    hpet->base_ns = hpet_now_ns(hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->timer[i] = (struct hpet_timer){.comparator = UINT64_MAX};
        timer_arm(hpet, i, false);
    }
    hpet_update_lines(hpet);
}

static void hpet_post_load(struct device *device)
{
    struct hpet *hpet = device_of(device, struct hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        vtimer_arm(&hpet->alarm[i].vtimer, hpet->timer[i].deadline_ns);
}

static void hpet_destroy(struct device *device)
{
    struct hpet *hpet = device_of(device, struct hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        vtimer_disarm(&hpet->alarm[i].vtimer);
}

const struct device_class hpet_class = {.name = "hpet",
                                        .version = 1,
                                        .size = sizeof(struct hpet),
                                        .fields = hpet_fields,
                                        .reset = hpet_reset,
                                        .post_load = hpet_post_load,
                                        .destroy = hpet_destroy};

struct irq_line hpet_pit_line(struct device *device)
{
    return (struct irq_line){.set = hpet_set_source, .opaque = device_of(device, struct hpet), .pin = 0};
}

struct irq_line hpet_rtc_line(struct device *device)
{
    return (struct irq_line){.set = hpet_set_source, .opaque = device_of(device, struct hpet), .pin = 8};
}

struct device *hpet_create(struct machine *machine, struct irq_line irq0, struct irq_line irq8, struct irq_line gsi)
{
    struct hpet *hpet = device_alloc(&hpet_class, machine, "hpet");
    hpet->irq0 = irq0;
    hpet->irq8 = irq8;
    hpet->gsi = gsi;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->alarm[i].hpet = hpet;
        vtimer_init(&hpet->alarm[i].vtimer, machine, timer_fire, &hpet->alarm[i]);
    }
    hpet_reset(&hpet->device);
    bus_map_mmio(machine_bus(machine), HPET_BASE, HPET_BYTES, &hpet_ops, hpet, "hpet");
    machine_add_device(machine, &hpet->device);
    return &hpet->device;
}
