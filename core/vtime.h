/* Virtual time: the only clock a device can name, and the timers that run on it. Thread: machine thread.
 *
 * Unit: nanoseconds since the machine was made. On the interpreter a step takes VTIME_NS_PER_STEP and HLT skips to the
 * next deadline. Timers fire in order of (deadline, order of vtimer_init), so that a machine restored from saved
 * state, whose timers were re-armed in another order, fires them alike. */
#ifndef VMRR_CORE_VTIME_H
#define VMRR_CORE_VTIME_H

#include "core/position.h"

#include <stdbool.h>
#include <stdint.h>

#define VTIME_NS_PER_STEP 1u
#define VTIME_NEVER UINT64_MAX
#define VTIME_TSC_HZ 1000000000ull /* the guest's TSC: one tick a nanosecond */

struct machine;
struct vtime_queue;

/* Embedded in its device. The deadline of an armed timer is derivable from the device's fields: post_load re-arms. */
struct vtimer {
    void (*fire)(void *opaque); /* runs with virtual time >= deadline_ns; may re-arm */
    void *opaque;
    struct vtime_queue *queue;
    uint64_t deadline_ns; /* VTIME_NEVER when not armed */
    uint64_t order;       /* of vtimer_init in its machine */
    int heap_index;       /* -1 when not armed */
};

/* Where exits are counted, the first call in an access asks for a clock sample. */
uint64_t vtime_now_ns(struct machine *machine);

void vtimer_init(struct vtimer *timer, struct machine *machine, void (*fire)(void *opaque), void *opaque);
/* Arms or re-arms; a deadline in the past fires at the next boundary. VTIME_NEVER disarms. */
void vtimer_arm(struct vtimer *timer, uint64_t deadline_ns);
void vtimer_disarm(struct vtimer *timer);
static inline bool vtimer_armed(const struct vtimer *timer)
{
    return timer->heap_index >= 0;
}

/* For machine.c. */
struct vtime_queue *vtime_queue_create(void);
void vtime_queue_destroy(struct vtime_queue *queue);
uint64_t vtime_queue_next_ns(const struct vtime_queue *queue);     /* VTIME_NEVER when empty */
const uint64_t *vtime_queue_next(const struct vtime_queue *queue); /* where that stands */
/* Fires all timers due at now_ns, including those armed by the ones fired. A device that re-arms at a time not after
 * now_ns without end is a broken invariant: CHECK after 1,000,000 in one call. */
void vtime_queue_run(struct vtime_queue *queue, uint64_t now_ns);

#endif
