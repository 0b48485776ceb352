/* 8254 programmable interval timer and port 61h. Intel 8254 data sheet (231164); port 61h as in the PIIX.
 *
 * Nothing counts: each channel knows the tick at which its counter was loaded, and counts and outputs are computed from
 * virtual time. Tick n is the n-th CLK pulse since the machine was made; a count written between ticks n and n+1 is
 * loaded at n+1, as the data sheet says.
 * Not modelled: reading a count while nothing has been loaded since the control word (the last count is held), a count
 * of 1 in modes 2 and 3 (illegal: taken as 2), NMI by IOCHK# and SERR# (bits 2, 3 of port 61h are storage), a sound. */
#include "devices/pit_8254.h"

#include "core/bus.h"
#include "core/machine.h"
#include "devices/ticks.h"

#define ACCESS_LOW 1u
#define ACCESS_HIGH 2u
#define ACCESS_BOTH 3u
#define STATUS_OUT 0x80u
#define STATUS_NULL_COUNT 0x40u
#define PORT61_GATE2 0x01u
#define PORT61_SPEAKER 0x02u
#define PORT61_STORED 0x0Fu
#define PORT61_REFRESH 0x10u
#define PORT61_OUT2 0x20u
#define REFRESH_TICKS 18u /* 15.085 us */
#define TICK_NEVER UINT64_MAX

#define PIT_CHANNEL_STATE(S, A, N, T)                                                                                  \
    S(T, uint8_t, mode)                                                                                                \
    S(T, bool, bcd)                                                                                                    \
    S(T, uint8_t, access)                                                                                              \
    S(T, bool, write_high) /* the next byte written is the high one of two */                                          \
    S(T, bool, read_high)                                                                                              \
    S(T, uint8_t, write_low) /* first byte of two */                                                                   \
    S(T, bool, gate)                                                                                                   \
    S(T, bool, programmed)    /* a count has been written since the control word */                                    \
    S(T, bool, running)       /* load_tick and period are in force */                                                  \
    S(T, bool, null_count)    /* the count written is not yet in the counting element */                               \
    S(T, uint32_t, reload)    /* count register: 1 .. 65536 */                                                         \
    S(T, uint32_t, period)    /* what the counting element was loaded with */                                          \
    S(T, uint64_t, load_tick) /* modulo 2^64: may lie in the future or, for a half cycle, before 0 */                  \
    S(T, bool, pending)       /* modes 2, 3: reload takes over at pending_tick */                                      \
    S(T, uint64_t, pending_tick)                                                                                       \
    S(T, uint64_t, paused_elapsed) /* modes 0, 4 with the gate low and not running: load_tick is this long ago */      \
    S(T, uint16_t, held)           /* count while not running */                                                       \
    S(T, bool, count_latched)                                                                                          \
    S(T, uint16_t, latch)                                                                                              \
    S(T, bool, status_latched)                                                                                         \
    S(T, uint8_t, status)
struct pit_channel {
    STATE_MEMBERS(PIT_CHANNEL_STATE)
};
STATE_TABLE(pit_channel_fields, struct pit_channel, PIT_CHANNEL_STATE);

#define PIT_STATE(S, A, N, T)                                                                                          \
    N(T, struct pit_channel, channel, 3, pit_channel_fields)                                                           \
    S(T, uint8_t, port61)                                                                                              \
    S(T, uint64_t, deadline_ns) /* of the timer */
struct pit {
    struct device device;
    STATE_MEMBERS(PIT_STATE)
    struct irq_line irq0;
    struct vtimer timer; /* next edge of channel 0's OUT */
};
STATE_TABLE(pit_fields, struct pit, PIT_STATE);

static uint64_t pit_tick(const struct pit *pit)
{
    return ticks_from_ns(vtime_now_ns(pit->device.machine), PIT_8254_HZ);
}

static bool mode_is_periodic(const struct pit_channel *channel)
{
    return channel->mode == 2 || channel->mode == 3;
}

/* Gate starts modes 1 and 5; in 0 and 4 it pauses. */
static bool mode_is_triggered(const struct pit_channel *channel)
{
    return channel->mode == 1 || channel->mode == 5;
}

static uint32_t high_half(uint32_t period)
{
    return (period + 1) / 2;
}

/* Brings the channel's fields up to the tick: what was written takes over. */
static void channel_sync(struct pit_channel *channel, uint64_t tick)
{
    if (channel->pending && tick >= channel->pending_tick) {
        bool low_half = channel->mode == 3 && (channel->pending_tick - channel->load_tick) % channel->period != 0;
        channel->period = channel->reload;
        channel->load_tick = channel->pending_tick - (low_half ? high_half(channel->period) : 0);
        channel->pending = false;
        channel->null_count = false;
    }
    if (channel->running && !channel->pending && !mode_is_triggered(channel) &&
        (int64_t)(tick - channel->load_tick) >= 0)
        channel->null_count = false;
}

static bool channel_out(const struct pit_channel *channel, uint64_t tick)
{
    int64_t elapsed = (int64_t)(tick - channel->load_tick);
    if (!channel->running) {
        if (channel->mode == 0)
            return channel->programmed && (int64_t)channel->paused_elapsed >= (int64_t)channel->period;
        return !(channel->mode == 4 && channel->programmed && channel->paused_elapsed == channel->period);
    }
    switch (channel->mode) {
    case 0:
    case 1: return elapsed >= (int64_t)channel->period;
    case 2: return elapsed < 0 || elapsed % channel->period != channel->period - 1;
    case 3: return elapsed < 0 || elapsed % channel->period < high_half(channel->period);
    default: return elapsed != (int64_t)channel->period;
    }
}

/* The next tick at which OUT may change. */
static uint64_t channel_next_edge(const struct pit_channel *channel, uint64_t tick)
{
    if (!channel->running)
        return TICK_NEVER;
    int64_t elapsed = (int64_t)(tick - channel->load_tick);
    int64_t period = channel->period;
    if (mode_is_periodic(channel)) {
        int64_t low_at = channel->mode == 2 ? period - 1 : high_half(channel->period);
        int64_t phase = elapsed < 0 ? elapsed : elapsed % period;
        return tick + (uint64_t)((phase < low_at ? low_at : period) - phase);
    }
    if (elapsed < period)
        return channel->load_tick + channel->period;
    if (elapsed == period && channel->mode >= 4)
        return tick + 1;
    return TICK_NEVER;
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint32_t value)
{
    return (value & 15) + (value >> 4 & 15) * 10 + (value >> 8 & 15) * 100 + (value >> 12 & 15) * 1000;
}

static int64_t mode3_count(uint32_t period, int64_t phase)
{
    int64_t in_half = phase < high_half(period) ? phase : phase - high_half(period);
    return (int64_t)(period & ~1u) - 2 * in_half;
}

static uint16_t channel_count(const struct pit_channel *channel, uint64_t tick)
{
    int64_t elapsed = (int64_t)(tick - channel->load_tick);
    if (!channel->running || elapsed < 0)
        return channel->held;
    int64_t modulus = channel->bcd ? 10000 : 65536;
    int64_t phase = mode_is_periodic(channel) ? elapsed % channel->period : elapsed;
    int64_t count = channel->mode == 3 ? mode3_count(channel->period, phase) : (int64_t)channel->period - phase;
    count = (count % modulus + modulus) % modulus;
    return channel->bcd ? to_bcd((uint32_t)count) : (uint16_t)count;
}

static void channel_stop(struct pit_channel *channel, uint64_t tick)
{
    channel->held = channel_count(channel, tick);
    channel->running = false;
    channel->pending = false;
}

static void channel_load(struct pit_channel *channel, uint64_t tick)
{
    channel->held = channel_count(channel, tick);
    channel->period = channel->reload;
    channel->load_tick = tick + 1;
    channel->running = true;
    channel->pending = false;
}

static void channel_write_count(struct pit_channel *channel, uint16_t value, uint64_t tick)
{
    uint32_t count = channel->bcd ? from_bcd(value) : value;
    if (count == 0)
        count = channel->bcd ? 10000 : 65536;
    if (count == 1 && mode_is_periodic(channel))
        count = 2;
    channel->reload = count;
    channel->programmed = true;
    channel->null_count = true;
    if (mode_is_triggered(channel))
        return;
    if (mode_is_periodic(channel)) {
        if (channel->running && (int64_t)(tick - channel->load_tick) >= 0) {
            uint64_t cycle_end = tick + channel->period - (tick - channel->load_tick) % channel->period;
            channel->pending_tick = channel->mode == 3 ? channel_next_edge(channel, tick) : cycle_end;
            channel->pending = true;
        } else if (channel->gate) {
            channel_load(channel, tick);
        }
        return;
    }
    if (channel->gate) {
        channel_load(channel, tick);
        return;
    }
    channel_stop(channel, tick);
    channel->period = count;
    channel->paused_elapsed = UINT64_MAX; /* the load takes one CLK once the gate opens */
}

static void channel_write(struct pit_channel *channel, uint8_t value, uint64_t tick)
{
    switch (channel->access) {
    case ACCESS_LOW: channel_write_count(channel, value, tick); break;
    case ACCESS_HIGH: channel_write_count(channel, (uint16_t)(value << 8), tick); break;
    default:
        if (channel->write_high) {
            channel_write_count(channel, (uint16_t)(value << 8 | channel->write_low), tick);
        } else {
            channel->write_low = value;
            if (channel->mode == 0) { /* the first byte stops the count */
                channel_stop(channel, tick);
                channel->programmed = false;
            }
        }
        channel->write_high = !channel->write_high;
        break;
    }
}

static uint8_t channel_read(struct pit_channel *channel, uint64_t tick)
{
    if (channel->status_latched) {
        channel->status_latched = false;
        return channel->status;
    }
    uint16_t count = channel->count_latched ? channel->latch : channel_count(channel, tick);
    bool high = channel->access == ACCESS_HIGH || (channel->access == ACCESS_BOTH && channel->read_high);
    if (channel->access == ACCESS_BOTH)
        channel->read_high = !channel->read_high;
    if (channel->access != ACCESS_BOTH || high)
        channel->count_latched = false;
    return (uint8_t)(high ? count >> 8 : count);
}

static void channel_latch_count(struct pit_channel *channel, uint64_t tick)
{
    if (channel->count_latched)
        return;
    channel->latch = channel_count(channel, tick);
    channel->count_latched = true;
}

static void channel_latch_status(struct pit_channel *channel, uint64_t tick)
{
    if (channel->status_latched)
        return;
    channel->status =
        (uint8_t)((channel_out(channel, tick) ? STATUS_OUT : 0) | (channel->null_count ? STATUS_NULL_COUNT : 0) |
                  channel->access << 4 | channel->mode << 1 | channel->bcd);
    channel->status_latched = true;
}

static void channel_write_control(struct pit_channel *channel, uint8_t value, uint64_t tick)
{
    unsigned access = value >> 4 & 3;
    if (access == 0) {
        channel_latch_count(channel, tick);
        return;
    }
    channel_stop(channel, tick);
    channel->access = (uint8_t)access;
    channel->mode = value >> 1 & 7;
    if (channel->mode > 5)
        channel->mode &= 3;
    channel->bcd = value & 1;
    channel->programmed = false;
    channel->null_count = true;
    channel->write_high = channel->read_high = false;
    channel->count_latched = channel->status_latched = false;
}

static void channel_gate_rises(struct pit_channel *channel, uint64_t tick)
{
    if (!channel->programmed)
        return;
    if (mode_is_triggered(channel)) {
        channel_load(channel, tick);
        channel->null_count = false;
    } else if (mode_is_periodic(channel)) {
        channel_load(channel, tick);
    } else if (!channel->running) {
        channel->load_tick = tick - channel->paused_elapsed;
        channel->running = true;
    }
}

static void channel_gate_falls(struct pit_channel *channel, uint64_t tick)
{
    if (!channel->running || mode_is_triggered(channel))
        return;
    if (!mode_is_periodic(channel))
        channel->paused_elapsed = tick - channel->load_tick;
    channel_stop(channel, tick);
}

static void pit_update_irq0(struct pit *pit, uint64_t tick)
{
    struct pit_channel *channel = &pit->channel[0];
    channel_sync(channel, tick);
    irq_set(pit->irq0, channel_out(channel, tick));
    uint64_t edge = channel_next_edge(channel, tick);
    pit->deadline_ns = edge == TICK_NEVER ? VTIME_NEVER : ticks_to_ns(edge, PIT_8254_HZ);
    vtimer_arm(&pit->timer, pit->deadline_ns);
}

static void pit_timer_fire(void *opaque)
{
    struct pit *pit = opaque;
    pit_update_irq0(pit, pit_tick(pit));
}

static void pit_read_back(struct pit *pit, uint8_t value, uint64_t tick)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!(value & 2u << i))
            continue;
        if (!(value & 0x20))
            channel_latch_count(&pit->channel[i], tick);
        if (!(value & 0x10))
            channel_latch_status(&pit->channel[i], tick);
    }
}

static void pit_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct pit *pit = opaque;
    uint64_t tick = pit_tick(pit);
    (void)size_bytes;
    for (unsigned i = 0; i < 3; i++)
        channel_sync(&pit->channel[i], tick);
    if (address < 3)
        channel_write(&pit->channel[address], (uint8_t)value, tick);
    else if ((value & 0xC0) == 0xC0)
        pit_read_back(pit, (uint8_t)value, tick);
    else
        channel_write_control(&pit->channel[value >> 6 & 3], (uint8_t)value, tick);
    pit_update_irq0(pit, tick);
}

static uint64_t pit_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct pit *pit = opaque;
    uint64_t tick = pit_tick(pit);
    (void)size_bytes;
    if (address == 3)
        return 0xFF;
    channel_sync(&pit->channel[address], tick);
    return channel_read(&pit->channel[address], tick);
}

static uint64_t port61_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct pit *pit = opaque;
    uint64_t tick = pit_tick(pit);
    (void)address;
    (void)size_bytes;
    channel_sync(&pit->channel[2], tick);
    return pit->port61 | (tick / REFRESH_TICKS & 1 ? PORT61_REFRESH : 0) |
           (channel_out(&pit->channel[2], tick) ? PORT61_OUT2 : 0);
}

static void port61_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct pit *pit = opaque;
    struct pit_channel *channel = &pit->channel[2];
    bool gate = value & PORT61_GATE2;
    uint64_t tick = pit_tick(pit);
    (void)address;
    (void)size_bytes;
    pit->port61 = value & PORT61_STORED;
    if (gate == channel->gate)
        return;
    channel_sync(channel, tick);
    channel->gate = gate;
    if (gate)
        channel_gate_rises(channel, tick);
    else
        channel_gate_falls(channel, tick);
}

static const struct bus_ops pit_ops = {.read = pit_read, .write = pit_write, .max_size_bytes = 1};
static const struct bus_ops port61_ops = {.read = port61_read, .write = port61_write, .max_size_bytes = 1};

static void pit_reset(struct device *device)
{
    struct pit *pit = device_of(device, struct pit);
    for (unsigned i = 0; i < 3; i++)
        pit->channel[i] =
            (struct pit_channel){.mode = 3, .access = ACCESS_BOTH, .gate = i != 2, .null_count = true, .period = 65536};
    pit->port61 = 0;
    pit->deadline_ns = VTIME_NEVER;
    vtimer_disarm(&pit->timer);
    irq_set(pit->irq0, false);
}

/* Loaded state may come from a damaged file: nothing that would divide by zero or look into the far future. */
static void channel_post_load(struct pit_channel *channel, uint64_t tick)
{
    channel->mode = channel->mode > 5 ? 0 : channel->mode;
    channel->period = channel->period ? channel->period : 65536;
    if (!channel->reload && (channel->programmed || channel->pending)) /* else it is not used before it is written */
        channel->reload = 65536;
    if ((int64_t)(channel->load_tick - tick) > 1)
        channel->load_tick = tick + 1;
}

static void pit_post_load(struct device *device)
{
    struct pit *pit = device_of(device, struct pit);
    for (unsigned i = 0; i < 3; i++)
        channel_post_load(&pit->channel[i], pit_tick(pit));
    vtimer_arm(&pit->timer, pit->deadline_ns);
}

static void pit_destroy(struct device *device)
{
    vtimer_disarm(&device_of(device, struct pit)->timer);
}

const struct device_class pit_8254_class = {.name = "pit_8254",
                                            .version = 1,
                                            .size = sizeof(struct pit),
                                            .fields = pit_fields,
                                            .reset = pit_reset,
                                            .post_load = pit_post_load,
                                            .destroy = pit_destroy};

struct device *pit_8254_create(struct machine *machine, struct irq_line irq0)
{
    struct pit *pit = device_alloc(&pit_8254_class, machine, "pit");
    struct bus *bus = machine_bus(machine);
    pit->irq0 = irq0;
    vtimer_init(&pit->timer, machine, pit_timer_fire, pit);
    pit_reset(&pit->device);
    bus_map_io(bus, 0x40, 4, &pit_ops, pit, "pit");
    bus_map_io(bus, 0x61, 1, &port61_ops, pit, "port-61");
    machine_add_device(machine, &pit->device);
    return &pit->device;
}
