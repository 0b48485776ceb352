/* Inside of a timeline: timeline.c (checkpoints and going forwards), timeline_reverse.c, timeline_diversion.c, timeline_journal.c
 * (checkpoints of the journal's own), timeline_file.c. */
#ifndef VMRR_REPLAY_TIMELINE_INTERNAL_H
#define VMRR_REPLAY_TIMELINE_INTERNAL_H

#include "replay/checkpoint_frames.h"
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
    struct checkpoint_frames *frames; /* null: a followed journal's */
    bool *bad;                        /* by number in frames: it was tried, and is none */
    uint64_t loaded;                  /* of them, how often */
    struct error dropped;             /* why the first bad one is, of these or of those in memory */
    bool has_only;
    struct debug_point only; /* timeline_only */
    struct checkpoint left;  /* where a diversion has begun; no snapshot: there is none */
    bool left_arrived;       /* `arrived` there */
};

/* Restores the last one that is not after icount, of those in memory and the journal's, and gives where the machine stands then. One
 * that fails (it came from a file) is dropped, and the one before it is next; the first one failed: false, and the error is kept. */
bool timeline_restore(struct timeline *timeline, uint64_t icount, uint64_t *from);
/* Takes it over; one at the same position is dropped. Those that are too many go. */
void timeline_insert(struct timeline *timeline, struct checkpoint *checkpoint);
/* Restores it, with what belongs to its position. */
enum status timeline_restore_checkpoint(struct timeline *timeline, const struct checkpoint *checkpoint);
/* Restored at the beginning of this instant, before what is due there, or a step before it: to the arrival. Whoever wants the
 * machine thread waits. False: the run does not get there. */
bool timeline_arrive(struct timeline *timeline, uint64_t icount);

/* timeline_journal.c */
void timeline_journal_open(struct timeline *timeline);
void timeline_journal_close(struct timeline *timeline);
/* Where the machine can be brought to by the last one of the journal's that serves for icount, for a position; 0: none. */
uint64_t timeline_journal_before(const struct timeline *timeline, uint64_t icount);
uint64_t timeline_journal_before_position(const struct timeline *timeline, struct position position);
/* Brings it there, if that is after `than`, and lays a checkpoint; *from: where it stands. False: there is none that is good. */
bool timeline_journal_restore(struct timeline *timeline, uint64_t icount, uint64_t than, uint64_t *from);

enum timeline_result timeline_broken(struct timeline *timeline, const char *why);
/* machine_run over what does not end a run; THERE: at icount, or where hit, which is called at points, said true. Null: no
 * point stops. */
enum timeline_result timeline_go(struct timeline *timeline, uint64_t icount,
                                 bool (*hit)(void *opaque, struct timeline *timeline), void *opaque);

#endif
