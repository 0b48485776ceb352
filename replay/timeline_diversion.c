/* Leaving the journal and coming back to it: see timeline.h. */
#include "replay/timeline_internal.h"

enum status timeline_divert(struct timeline *timeline, struct replay_host host, struct error *error)
{
    const struct timeline_options *options = &timeline->options;
    CHECK(!timeline_diverted(timeline));
    if (machine_counts_exits(options->machine))
        return error_status(error, STATUS_UNSUPPORTED, "a run whose positions are exits has no diversions");
    if (!checkpoint_take(&timeline->left, options->machine, options->player, timeline->store)) {
        timeline->left.snapshot = NULL;
        return error_status(error, STATUS_INVALID,
                            debug_in_step(options->machine)
                                ? "not within a repeated string instruction: step on first"
                                : "not here, where the machine is about to stop: step back first");
    }
    if (options->save)
        options->save(options->opaque, timeline->left.word);
    timeline->left_arrived = timeline->arrived;
    timeline->arrived = false;
    replay_player_divert(options->player, host);
    return STATUS_OK;
}

bool timeline_diverted(const struct timeline *timeline)
{
    return timeline->left.snapshot;
}

enum timeline_result timeline_rejoin(struct timeline *timeline)
{
    const struct timeline_options *options = &timeline->options;
    if (!timeline_diverted(timeline))
        return TIMELINE_THERE;
    error_clear(&timeline->error);
    if (options->leaves)
        options->leaves(options->opaque);
    replay_player_rejoin(options->player);
    enum status status = checkpoint_restore(&timeline->left, options->machine, options->player, &timeline->error);
    if (!status && options->restore)
        options->restore(options->opaque, timeline->left.word);
    timeline->arrived = timeline->left_arrived;
    checkpoint_free(&timeline->left);
    return status ? TIMELINE_BROKEN : TIMELINE_THERE;
}
