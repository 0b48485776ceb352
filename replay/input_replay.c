/* The replaying input and trace sink: gives back what crossed, at its position, and holds every trace event against the
 * journal. */
#include "replay/player.h"

static struct replay_player *player_of(struct input *input)
{
    return (struct replay_player *)(void *)input;
}

/* A torn journal ends before the run does: what comes at its last position is not covered any more. */
static bool journal_is_over(const struct replay_player *player)
{
    struct journal_end end;
    return player->status || !journal_reader_end(player->reader, &end);
}

static uint64_t replay_pull(struct input *input, enum input_id id, struct position position,
                            uint64_t (*fetch)(void *opaque), void *opaque)
{
    (void)fetch;
    (void)opaque;
    struct replay_player *player = player_of(input);
    const struct journal_event *head = player_head(player);
    struct journal_event actual = {.type = JOURNAL_EVENT_PULL, .trace = {.position = position}, .input = {.id = id}};
    if (!head) {
        if (!journal_is_over(player))
            player_diverge(player, position, &actual, "an input was asked for after the end of the journal");
        return 0;
    }
    if (head->type != JOURNAL_EVENT_PULL || head->input.id != id) {
        player_diverge(player, position, &actual, "an input was asked for that the journal does not have here");
        return 0;
    }
    if (!position_equal(head->trace.position, position)) {
        player_diverge(player, position, &actual, "an input was asked for at another position");
        return 0;
    }
    uint64_t value = head->input.a;
    player_accept_head(player);
    return value;
}

/* One that next hands out here: an interrupt waits to be asked for (replay_offer). */
static bool is_message(const struct journal_event *head, struct position position)
{
    return head->type == JOURNAL_EVENT_DELIVER && head->input.id != INPUT_INTERRUPT &&
           position_equal(head->trace.position, position);
}

static bool replay_offer(struct input *input, struct position position, const struct input_message *message)
{
    struct replay_player *player = player_of(input);
    const struct journal_event *head = player->status ? NULL : player_head(player);
    if (!head || head->type != JOURNAL_EVENT_DELIVER || head->input.id != message->id ||
        head->input.a != message->a || !position_equal(head->trace.position, position))
        return false;
    player_accept_head(player);
    return true;
}

static bool replay_next(struct input *input, struct position position, struct input_message *message)
{
    struct replay_player *player = player_of(input);
    if (player->follow)
        player_follow_beyond(player, position);
    if (player->status)
        return false;
    const struct journal_event *head = player_head(player);
    if (!head)
        return false;
    if (!position_reached(head->trace.position, position)) {
        player_diverge(player, position, NULL, "an event of the journal did not come");
        return false;
    }
    if (!is_message(head, position))
        return false;
    *message = head->input;
    player_accept_head(player);
    return true;
}

static bool replay_more(struct input *input, struct position position)
{
    struct replay_player *player = player_of(input);
    const struct journal_event *head = player->status ? NULL : player_head(player);
    return head && is_message(head, position);
}

static struct position smaller(struct position a, struct position b)
{
    return position_reached(a, b) ? b : a;
}

static struct position replay_horizon(struct input *input, struct position position)
{
    (void)position;
    struct replay_player *player = player_of(input);
    struct position horizon = player_next_deliver(player);
    if (player->follow && !player->ended)
        horizon = smaller(horizon, player_listed_end(player));
    return horizon;
}

static uint64_t replay_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct position horizon = replay_horizon(input, position);
    struct replay_player *player = player_of(input);
    const struct journal_event *head = player_head(player);
    /* The host may have broken off the wait for a reason of its own. */
    if (head && head->type == JOURNAL_EVENT_TRACE && head->trace.kind == TRACE_HALT &&
        position_equal(head->trace.position, position) && head->trace.value < deadline_ns - position.vtime_ns)
        return position.vtime_ns + head->trace.value;
    if (horizon.icount == position.icount && horizon.vtime_ns < deadline_ns && horizon.vtime_ns >= position.vtime_ns)
        return horizon.vtime_ns;
    return deadline_ns;
}

static void replay_destroy(struct input *input)
{
    (void)input; /* part of the player, which its maker destroys */
}

const struct input_ops player_input_ops = {
    .pull = replay_pull,
    .next = replay_next,
    .more = replay_more,
    .horizon = replay_horizon,
    .wait = replay_wait,
    .offer = replay_offer,
    .destroy = replay_destroy,
};

static void replay_emit(void *opaque, const struct trace_event *event)
{
    struct replay_player *player = opaque;
    if (player->diversion.on)
        return;
    const struct journal_event *head = player_head(player);
    const char *difference;
    if (!head) {
        if (journal_is_over(player))
            return;
        difference = "an event came after the end of the journal";
    } else {
        difference = divergence_in_event(head, event);
    }
    if (!difference) {
        player_accept_head(player);
        if (event->kind == TRACE_BLOCK_COMPLETION && event->status)
            player_correct_failed(player, event);
        return;
    }
    struct journal_event actual = {.type = JOURNAL_EVENT_TRACE, .digest_bits = 64, .trace = *event};
    player_diverge(player, event->position, &actual, difference);
}

const struct trace_sink_ops player_trace_ops = {.emit = replay_emit};
