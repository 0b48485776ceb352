/* Timer of the local APIC: one-shot, periodic and TSC-deadline. Intel SDM vol. 3, "APIC timer". It counts at 1 GHz, the
 * rate of virtual time and of the TSC. The count is computed from when it was started; the one vtimer is armed for its
 * end. Not modelled: the data sheets' undefined start-up phase of the divider (it starts anew when written). */
#include "devices/lapic_internal.h"

_Static_assert(VTIME_TSC_HZ == 1000000000ull, "the deadline timer takes TSC ticks as nanoseconds");

static unsigned timer_shift(const struct lapic *lapic)
{
    unsigned code = (lapic->timer_divide & 3) | (lapic->timer_divide >> 1 & 4);
    return (code + 1) & 7; /* 111b divides by one */
}

static uint64_t timer_now(const struct lapic *lapic)
{
    return vtime_now_ns(lapic->device.machine);
}

void lapic_timer_arm(struct lapic *lapic)
{
    uint64_t deadline = VTIME_NEVER;
    if (lapic_timer_mode(lapic) == TIMER_DEADLINE) {
        if (lapic->tsc_deadline != 0)
            deadline = lapic->tsc_deadline;
    } else if (lapic->timer_count != 0) {
        deadline = lapic->timer_start_ns + ((uint64_t)lapic->timer_count << timer_shift(lapic));
    }
    vtimer_arm(&lapic->timer, deadline);
}

uint32_t lapic_timer_current(const struct lapic *lapic)
{
    uint64_t ticks = (timer_now(lapic) - lapic->timer_start_ns) >> timer_shift(lapic);
    if (lapic_timer_mode(lapic) == TIMER_DEADLINE)
        return 0;
    if (ticks < lapic->timer_count)
        return lapic->timer_count - (uint32_t)ticks;
    if (lapic_timer_mode(lapic) != TIMER_PERIODIC || lapic->timer_count == 0 || lapic->timer_initial == 0)
        return 0;
    return lapic->timer_initial - (uint32_t)((ticks - lapic->timer_count) % lapic->timer_initial);
}

/* Re-bases the count on the latest tick, before something that it depends on changes. */
void lapic_timer_rebase(struct lapic *lapic)
{
    uint64_t now = timer_now(lapic);
    uint64_t into_tick = (now - lapic->timer_start_ns) & ((1ull << timer_shift(lapic)) - 1);
    lapic->timer_count = lapic_timer_current(lapic);
    lapic->timer_start_ns = now - into_tick;
}

void lapic_timer_fire(void *opaque)
{
    struct lapic *lapic = opaque;
    if (lapic_timer_mode(lapic) == TIMER_DEADLINE) {
        lapic->tsc_deadline = 0;
    } else if (lapic_timer_mode(lapic) == TIMER_PERIODIC && lapic->timer_initial != 0) {
        unsigned shift = timer_shift(lapic);
        uint64_t ticks = (timer_now(lapic) - lapic->timer_start_ns) >> shift;
        uint64_t periods = (ticks - lapic->timer_count) / lapic->timer_initial; /* missed ones merge in IRR */
        lapic->timer_start_ns += (lapic->timer_count + periods * lapic->timer_initial) << shift;
        lapic->timer_count = lapic->timer_initial;
        lapic_timer_arm(lapic);
    } else {
        lapic->timer_count = 0;
    }
    lapic_local(lapic, LVT_TIMER);
}

void lapic_timer_write_initial(struct lapic *lapic, uint32_t value)
{
    if (lapic_timer_mode(lapic) == TIMER_DEADLINE)
        return;
    lapic->timer_initial = value;
    lapic->timer_count = value;
    lapic->timer_start_ns = timer_now(lapic);
    lapic_timer_arm(lapic);
}

void lapic_timer_write_divide(struct lapic *lapic, uint32_t value)
{
    lapic_timer_rebase(lapic);
    lapic->timer_divide = value & 0x0B;
    lapic_timer_arm(lapic);
}

/* A change from or to TSC-deadline mode disarms the timer. */
void lapic_timer_mode_changed(struct lapic *lapic, uint32_t old_mode)
{
    uint32_t mode = lapic_timer_mode(lapic);
    if (old_mode == TIMER_DEADLINE || mode == TIMER_DEADLINE) {
        lapic->tsc_deadline = 0;
        lapic->timer_count = 0;
        lapic->timer_initial = 0;
    }
    lapic_timer_arm(lapic);
}
