/* Inside of a branch: shared by branch.c, input_branch.c and image_branch.c. */
#ifndef VMRR_REPLAY_BRANCH_INTERNAL_H
#define VMRR_REPLAY_BRANCH_INTERNAL_H

#include "replay/branch.h"
#include "replay/player.h"
#include "replay/recorder.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the guest asked for and nobody knows: the first of it. */
struct branch_missing {
    _Atomic bool set; /* after the rest */
    uint32_t medium;
    uint64_t sector;
};

struct replay_branch {
    struct input input; /* first: what the machine, or a recorder, sees */
    struct replay_player *player;
    struct input *live;
    struct replay_recorder *recorder; /* null: none */
    struct machine *machine;
    bool entropy_follows, asks_faults; /* the second: drives of the parent do */
    bool is_live;
    /* Contents of sectors, apart from the player's: block workers read them. */
    struct journal_reader *reader;
    struct sector_index *contents; /* under the lock */
    pthread_mutex_t lock;
    struct branch_missing missing;
};

extern const struct input_ops branch_input_ops;      /* input_branch.c */
extern const struct trace_sink_ops branch_trace_ops; /* the same */

#endif
