/* Event delivery and IRET where nothing is out of the ordinary, event_fast.c. What these do is what exceptions.c and exec_far.c
 * would do; where that could be anything but a few loads and stores of memory that the views hold, they do nothing and return
 * false. */
#ifndef VMRR_ACCEL_INTERP_EVENT_FAST_H
#define VMRR_ACCEL_INTERP_EVENT_FAST_H

#include "accel-interp/segment.h"

/* An event on its way: what the gates ask about it. */
struct event {
    const struct insn *i; /* of INT n; null otherwise */
    uint8_t vector;
    bool software; /* gate DPL is checked */
    bool has_error;
    uint32_t error;
    uint64_t return_rip;
    uint32_t flags; /* as pushed */
};

/* In real mode, through a 32-bit gate without change of level, flat, or through a gate of long mode without IST to the same
 * or an inner level. */
bool event_fast_deliver(struct interp *cpu, const struct event *e);
/* IRET of 16 bits in real mode, of 32 bits to the same level, flat, or of 64 bits from and to 64-bit code; NT is clear.
 * mask: flags that it may change. */
bool event_fast_iret(struct interp *cpu, const struct insn *i, uint32_t mask);

#endif
