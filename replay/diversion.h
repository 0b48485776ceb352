/* Diversions: a replay's machine leaves its journal at an instant, so that a debugger may change it, and is set back to that
 * instant afterwards. In between the player gives it what nobody recorded, and takes its trace events without a word: no message
 * arrives, entropy comes from a generator that begins alike in every diversion, nothing goes wrong on purpose, requests are
 * carried out on the drives' overlays. So the same changes at the same instant give the same run.
 *
 * With host timing the requests that are at the (deferred) executor are completed at the next multiple of MACHINE_SLICE_STEPS, or
 * 100 us after the CPU has halted. A sector that no frame of the journal has ends the run (MACHINE_STOP_ERROR) before the next
 * instruction. Not for machines that count exits.
 *
 * Used through a timeline (timeline_divert), which keeps the machine and the place. Thread: machine thread, machine not running. */
#ifndef VMRR_REPLAY_DIVERSION_H
#define VMRR_REPLAY_DIVERSION_H

#include "replay/replay.h"

struct replay_host {
    /* The completion of a request that the executor has; false: it has none. Null: there is no such executor. */
    bool (*oldest)(void *opaque, struct input_message *completion);
    void *opaque;
};

/* Not for a followed journal. */
void replay_player_divert(struct replay_player *player, struct replay_host host);
bool replay_player_diverted(const struct replay_player *player);
/* It is no diversion any more; then replay_player_return, with the machine of that place. */
void replay_player_rejoin(struct replay_player *player);
/* The diversion is to stay: inputs are the live one's from now on (borrowed), but for the completions of requests. */
void replay_player_stay_diverted(struct replay_player *player, struct input *live);
/* The diverted guest asked for a sector that the journal does not have: the first of them. */
bool replay_player_missing(const struct replay_player *player, uint32_t *medium, uint64_t *sector);

#endif
