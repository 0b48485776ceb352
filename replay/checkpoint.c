/* Checkpoints: see checkpoint.h. */
#include "replay/checkpoint.h"

uint64_t checkpoint_icount(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    return accel->ops->icount(accel);
}

bool checkpoint_take(struct checkpoint *checkpoint, struct machine *machine, struct replay_player *player,
                     struct page_store *store)
{
    struct machine_snapshot *snapshot = machine_snapshot_take(machine, store);
    if (!snapshot)
        return false;
    *checkpoint = (struct checkpoint){.position = machine_position(machine),
                                      .icount = checkpoint_icount(machine),
                                      .digest = machine_digest_state(machine),
                                      .place = replay_player_place(player),
                                      .snapshot = snapshot};
    return true;
}

enum status checkpoint_restore(const struct checkpoint *checkpoint, struct machine *machine,
                               struct replay_player *player, struct error *error)
{
    unsigned long long icount = checkpoint->icount;
    enum status status = machine_snapshot_restore(machine, checkpoint->snapshot);
    if (status)
        return error_status(error, status, "checkpoint at %llu: not of this machine, or damaged", icount);
    status = replay_player_return(player, &checkpoint->place);
    if (status)
        return error_status(error, status, "checkpoint at %llu: the journal has no such place", icount);
    bool same = position_equal(machine_position(machine), checkpoint->position) &&
                checkpoint_icount(machine) == checkpoint->icount && machine_digest_state(machine) == checkpoint->digest &&
                (!checkpoint->has_memory || memory_digest(machine_memory(machine)) == checkpoint->memory);
    return same ? STATUS_OK
                : error_status(error, STATUS_CORRUPT, "checkpoint at %llu: what was restored has another digest",
                               icount);
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    machine_snapshot_destroy(checkpoint->snapshot);
    *checkpoint = (struct checkpoint){.snapshot = NULL};
}
