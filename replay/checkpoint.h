/* A checkpoint: a machine in a replay at a position, with its place in the journal, from which the run can go on. Thread: machine
 * thread, machine not running. */
#ifndef VMRR_REPLAY_CHECKPOINT_H
#define VMRR_REPLAY_CHECKPOINT_H

#include "core/snapshot.h"
#include "replay/replay.h"

/* What the user of a timeline wants back at a position (timeline.h). */
#define CHECKPOINT_WORDS REPLAY_WORDS

struct checkpoint {
    struct position position;
    uint64_t icount; /* steps that the accelerator has executed: the position's, unless that counts exits */
    uint64_t digest; /* machine_digest_state */
    uint64_t memory; /* memory_digest, where it is known: of what comes out of a journal */
    bool has_memory;
    struct replay_place place;
    uint64_t word[CHECKPOINT_WORDS];
    struct machine_snapshot *snapshot;
};

uint64_t checkpoint_icount(struct machine *machine); /* of where it stands */
/* False: not here (core/snapshot.h). word: to be filled by the caller. */
bool checkpoint_take(struct checkpoint *checkpoint, struct machine *machine, struct replay_player *player,
                     struct page_store *store);
/* The machine is held against the digests; STATUS_CORRUPT with the reason: it could not be brought there. */
enum status checkpoint_restore(const struct checkpoint *checkpoint, struct machine *machine,
                               struct replay_player *player, struct error *error) MUST_CHECK;
void checkpoint_free(struct checkpoint *checkpoint);

#endif
