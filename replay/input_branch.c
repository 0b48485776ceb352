/* A branch's input and trace sink: the player's up to where it begins, the live input's from there on. */
#include "replay/branch_internal.h"

static struct replay_branch *branch_of(struct input *input)
{
    return (struct replay_branch *)(void *)input;
}

/* The one that is asked now. */
static struct input *present(struct replay_branch *branch)
{
    return branch->is_live ? branch->live : &branch->player->input;
}

/* A torn journal has nothing more at its last position: what is asked for there is the branch's already. */
static bool journal_is_over(struct replay_branch *branch)
{
    struct journal_end end;
    return !player_head(branch->player) && !branch->player->status && !journal_reader_end(branch->player->reader, &end);
}

/* A sector that nobody knows: what the request gave must not reach the guest. */
static bool lacks_content(struct replay_branch *branch)
{
    if (!atomic_load(&branch->missing.set))
        return false;
    if (branch->machine)
        machine_fail(branch->machine, MACHINE_STOP_ERROR);
    return true;
}

static uint64_t branch_pull(struct input *input, enum input_id id, struct position position,
                            uint64_t (*fetch)(void *opaque), void *opaque)
{
    struct replay_branch *branch = branch_of(input);
    struct input *live = branch->live;
    if (branch->is_live) {
        uint64_t value = live->ops->pull(live, id, position, fetch, opaque);
        (void)lacks_content(branch);
        return value;
    }
    if (id == INPUT_BLOCK_FAULT && !branch->asks_faults)
        return 0; /* drives ask in the branch: in the parent nothing went wrong on purpose */
    if (journal_is_over(branch))
        return live->ops->pull(live, id, position, fetch, opaque);
    uint64_t value = branch->player->input.ops->pull(&branch->player->input, id, position, fetch, opaque);
    if (id == INPUT_ENTROPY && branch->entropy_follows)
        (void)live->ops->pull(live, id, position, fetch, opaque);
    return value;
}

/* A worker says that a sector is missing before it says that the request is done. */
static bool branch_next(struct input *input, struct position position, struct input_message *message)
{
    struct replay_branch *branch = branch_of(input);
    struct input *now = present(branch);
    if (!now->ops->next(now, position, message))
        return false;
    return !branch->is_live || message->id != INPUT_BLOCK_COMPLETION || !lacks_content(branch);
}

static bool branch_more(struct input *input, struct position position)
{
    struct input *now = present(branch_of(input));
    return now->ops->more && now->ops->more(now, position);
}

static struct position branch_horizon(struct input *input, struct position position)
{
    struct input *now = present(branch_of(input));
    return now->ops->horizon(now, position);
}

static uint64_t branch_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct input *now = present(branch_of(input));
    return now->ops->wait(now, position, deadline_ns);
}

static void branch_destroy(struct input *input)
{
    (void)input; /* part of the branch, which its maker destroys */
}

const struct input_ops branch_input_ops = {
    .pull = branch_pull,
    .next = branch_next,
    .more = branch_more,
    .horizon = branch_horizon,
    .wait = branch_wait,
    .destroy = branch_destroy,
};

/* ---- trace ---- */

static void branch_emit(void *opaque, const struct trace_event *event)
{
    struct replay_branch *branch = opaque;
    if (!branch->is_live) {
        player_trace_ops.emit(branch->player, event);
        if (branch->player->status)
            return;
    }
    if (branch->recorder) {
        struct trace_sink sink = replay_recorder_trace(branch->recorder);
        sink.ops->emit(sink.opaque, event);
    }
}

const struct trace_sink_ops branch_trace_ops = {.emit = branch_emit};
