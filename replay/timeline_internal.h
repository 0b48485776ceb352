/* Inside of a timeline: timeline.c (checkpoints and going forwards), timeline_reverse.c, timeline_diversion.c. */
#ifndef VMRR_REPLAY_TIMELINE_INTERNAL_H
#define VMRR_REPLAY_TIMELINE_INTERNAL_H

#include "replay/timeline.h"

struct timeline {
    struct timeline_options options;
    struct page_store *store;
    struct checkpoint *checkpoint; /* ascending; the first one is the beginning */
    size_t count, capacity;
    bool arrived; /* the machine stands where it first arrived at this position */
    enum machine_stop stop;
    struct error error;
    uint64_t restored;
    bool has_only;
    struct debug_point only; /* timeline_only */
    struct checkpoint left;  /* where a diversion has begun; no snapshot: there is none */
    bool left_arrived;       /* `arrived` there */
};

/* Restores the last one that is not after icount, and gives that of it. One that fails (it came from a file) is dropped, and the one
 * before it is next; the first one failed: false, and the error is kept. */
bool timeline_restore(struct timeline *timeline, uint64_t icount, uint64_t *from);
/* Takes it over; one at the same position is dropped. Those that are too many go. */
void timeline_insert(struct timeline *timeline, struct checkpoint *checkpoint);
enum timeline_result timeline_broken(struct timeline *timeline, const char *why);
/* machine_run over what does not end a run; THERE: at icount, or where hit, which is called at points, said true. Null: no
 * point stops. */
enum timeline_result timeline_go(struct timeline *timeline, uint64_t icount,
                                 bool (*hit)(void *opaque, struct timeline *timeline), void *opaque);

#endif
