/* Exact conversion between virtual time and the ticks of a chip's clock. Tick n of a clock of hz is at the first whole
 * nanosecond not before n / hz seconds; both directions are exact for hz up to 4 GHz, without drift, for 584 years. */
#ifndef VMRR_DEVICES_TICKS_H
#define VMRR_DEVICES_TICKS_H

#include <stdint.h>

#define TICKS_NS_PER_SECOND 1000000000ull

/* Ticks that have happened by time_ns. */
static inline uint64_t ticks_from_ns(uint64_t time_ns, uint32_t hz)
{
    return time_ns / TICKS_NS_PER_SECOND * hz + time_ns % TICKS_NS_PER_SECOND * hz / TICKS_NS_PER_SECOND;
}

/* The instant of a tick: the smallest t with ticks_from_ns(t, hz) >= ticks. */
static inline uint64_t ticks_to_ns(uint64_t ticks, uint32_t hz)
{
    return ticks / hz * TICKS_NS_PER_SECOND + (ticks % hz * TICKS_NS_PER_SECOND + hz - 1) / hz;
}

#endif
