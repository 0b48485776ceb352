/* Going about in the run of a journal: to any position, a step back, back to where a debugger's point was hit last. Thread: machine
 * thread, machine not running, not from within machine_run.
 *
 * Instants are counted in steps that the accelerator has executed (icount); that is the position, unless the machine counts exits. An
 * icount that is gone to is the instant at which the machine first arrives there: what is due there (timers, messages) has
 * happened (of a machine that counts exits: has not), an interrupt that waits has not been taken. The way to it is exact execution from a checkpoint before it, never an
 * approximation; every event on the way is held against the journal as in any replay, and every checkpoint against its digest.
 *
 * Checkpoints that the journal has serve from the start: one is loaded when what is gone to lies behind it. Others are laid while the run goes on, and more densely before a place that was gone to. When they take more memory than
 * they may, those go whose neighbours stand near, by how far they are from where the machine is: their number grows with the
 * logarithm of the distance. */
#ifndef VMRR_REPLAY_TIMELINE_H
#define VMRR_REPLAY_TIMELINE_H

#include "core/debug.h"
#include "replay/checkpoint.h"
#include "replay/diversion.h"
#include "replay/replay.h"

struct timeline;

struct timeline_options {
    struct machine *machine; /* reset and not yet run; borrowed, as is the player */
    struct replay_player *player;
    uint64_t memory_bytes; /* that checkpoints may take, about; the first one stays whatever it takes */
    /* Something wants the machine thread: is it to leave what it is doing? May be null. */
    bool (*interrupted)(void *opaque);
    /* What else belongs to a position: taken at checkpoints, given back where the machine is set back; leaves: it is about to be.
     * May be null, each. */
    void (*leaves)(void *opaque);
    void (*save)(void *opaque, uint64_t word[CHECKPOINT_WORDS]);
    void (*restore)(void *opaque, const uint64_t word[CHECKPOINT_WORDS]);
    void *opaque;
};

/* Null with the reason: this run cannot be set back (its journal is followed, a part of the machine can't be saved). Destroyed
 * after its machine. */
struct timeline *timeline_create(const struct timeline_options *options, struct error *error);
void timeline_destroy(struct timeline *timeline); /* null allowed */

/* machine_run, with checkpoints laid on the way. */
enum machine_stop timeline_run(struct timeline *timeline, struct position limit);

enum timeline_result {
    TIMELINE_THERE,
    TIMELINE_AT_START,    /* the machine stands at the beginning, and there is nothing before it */
    TIMELINE_AT_END,      /* the run ends before: timeline_stop */
    TIMELINE_INTERRUPTED, /* the machine stands where it stood, or, of a seek, on the way */
    TIMELINE_BROKEN       /* timeline_error; the machine is in no state of the run */
};

uint64_t timeline_icount(const struct timeline *timeline);
/* To where icount first is this one. Points do not stop it. */
enum timeline_result timeline_seek(struct timeline *timeline, uint64_t icount);
/* To where machine_run with this limit stops: of machines that count exits, after what is due there. */
enum timeline_result timeline_seek_position(struct timeline *timeline, struct position position);
/* To the instant before the step done last; from within what belongs to a position (a breakpoint after an interrupt was taken, a
 * step half done) to its beginning. */
enum timeline_result timeline_step_back(struct timeline *timeline);
/* Back to the last instant before this one at which an inserted point hits, as a debugger wants to see it: breakpoints, where a run
 * forwards stops; watchpoints, before the step that makes the access. stop: the hits. */
enum timeline_result timeline_reverse_continue(struct timeline *timeline, struct debug_stop *stop);

/* The machine leaves the journal where it stands, and what a debugger changes from then on is forgotten when it is set back
 * (diversion.h). In between timeline_run goes on from there, without checkpoints; all that goes about sets it back first.
 * STATUS_UNSUPPORTED, STATUS_INVALID with the reason: not in this run, not at this instant; nothing has happened then. */
enum status timeline_divert(struct timeline *timeline, struct replay_host host, struct error *error) MUST_CHECK;
bool timeline_diverted(const struct timeline *timeline);
/* Back to the very instant that was left: THERE, also when it was not left, or BROKEN. */
enum timeline_result timeline_rejoin(struct timeline *timeline);

/* From now on reverse-continue sees this one of the inserted points alone; null: all of them. */
void timeline_only(struct timeline *timeline, const struct debug_point *point);

/* A file of checkpoints, with which a later timeline of the same journal begins. Load: STATUS_NOT_FOUND: there is no such file;
 * STATUS_INVALID, STATUS_CORRUPT with the reason: it is another journal's or program's, or damaged; nothing of it is used then.
 * What it says is checked again wherever a checkpoint is gone to. Save replaces the file, once it is whole: about so many
 * checkpoints as `most`, spread over the run. */
enum status timeline_load(struct timeline *timeline, const char *path, struct error *error) MUST_CHECK;
enum status timeline_save(struct timeline *timeline, const char *path, unsigned most, struct error *error) MUST_CHECK;

/* How the run ended, when that stopped the last one of the above. */
enum machine_stop timeline_stop(const struct timeline *timeline);
const char *timeline_error(const struct timeline *timeline);

/* A checkpoint here, by name of a person: false: not at this instant. */
bool timeline_lay(struct timeline *timeline);
struct timeline_statistics {
    size_t checkpoints;
    uint64_t bytes, pages; /* of the store: different ones */
    uint64_t restored;     /* how often */
    uint64_t loaded;       /* of them, out of the journal */
};
/* Why the first checkpoint that was refused was; null: none was. */
const char *timeline_dropped(const struct timeline *timeline);
struct timeline_statistics timeline_statistics(const struct timeline *timeline);

#endif
