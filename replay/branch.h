/* Branches: a run that replays a journal up to an instant and goes on from there with inputs of its own. Up to the instant
 * its input, trace sink and images are a player's, and every event is held against the journal; from there on pulled values
 * and messages are a live input's, and nothing is compared any more. A recorder may lie over it: the branch's journal then
 * has the parent's events too, and replays from the start by itself.
 *
 * Make it of an open player, whose own input, sink and images then serve nobody else; create the machine with the branch's
 * (or the recorder's over it); run to the instant; go live between two calls of machine_run. Thread: machine thread, but
 * for images after that, which may run on block workers. */
#ifndef VMRR_REPLAY_BRANCH_H
#define VMRR_REPLAY_BRANCH_H

#include "replay/replay.h"

struct replay_branch;
struct replay_branch_options {
    struct replay_player *player; /* borrowed */
    const char *path;             /* the player's journal, which is read a second time */
    struct input *live;           /* borrowed; before the instant it is asked for entropy alone: */
    bool entropy_follows;         /* its stream is the parent's, and is taken along */
};
/* Reads the first contents of all sectors that the journal has. STATUS in error: not a run that can be branched. */
struct replay_branch *replay_branch_create(const struct replay_branch_options *options, struct error *error);
struct input *replay_branch_input(struct replay_branch *branch);
struct trace_sink replay_branch_trace(struct replay_branch *branch);
void replay_branch_attach(struct replay_branch *branch, struct machine *machine);
/* The recorder over the branch's input: gets its events too. Before the first event. */
void replay_branch_record(struct replay_branch *branch, struct replay_recorder *recorder);

/* The drive as it was: what was written since stays in memory. What the journal does not know comes from original, the
 * image that the parent began with, which is never written; null: a guest that reads it after the instant ends the run, see
 * replay_branch_missing. Owns original, also on failure: another size, or another content where the journal knows it. */
struct block_image *replay_branch_image(struct replay_branch *branch, uint32_t drive, struct block_image *original,
                                        struct error *error);
/* A medium that was put in later. */
struct block_image *replay_branch_medium(struct replay_branch *branch, uint32_t number, uint64_t size_sectors,
                                         struct error *error);

/* The machine stands where the branch begins. The player is not asked any more. STATUS_DIVERGED, or what else the player
 * met on the way. */
enum status replay_branch_go_live(struct replay_branch *branch, struct error *error) MUST_CHECK;
bool replay_branch_live(const struct replay_branch *branch);
/* The run ended (MACHINE_STOP_ERROR) because the guest wants a sector that nobody knows. */
bool replay_branch_missing(const struct replay_branch *branch, uint32_t *medium, uint64_t *sector);
void replay_branch_destroy(struct replay_branch *branch); /* null allowed; after the machine, which owns the images */

/* What names the journal that a branch at this position comes from: a hash of the checksums of its frames up to there. It
 * stays as it is when the journal grows. */
enum status replay_branch_identity(const struct replay_player *player, struct position position, uint64_t hash[2],
                                   struct error *error) MUST_CHECK;

#endif
