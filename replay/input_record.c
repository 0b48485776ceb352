/* The recording input: passes everything on to the live one and writes down what crosses. */
#include "replay/recorder.h"

static struct replay_recorder *recorder_of(struct input *input)
{
    return (struct replay_recorder *)(void *)input;
}

static uint64_t record_pull(struct input *input, enum input_id id, struct position position,
                            uint64_t (*fetch)(void *opaque), void *opaque)
{
    struct replay_recorder *recorder = recorder_of(input);
    uint64_t value = recorder->live->ops->pull(recorder->live, id, position, fetch, opaque);
    journal_encoder_pull(recorder->encoder, position, id, value);
    return value;
}

static bool record_next(struct input *input, struct position position, struct input_message *message)
{
    struct replay_recorder *recorder = recorder_of(input);
    if (!recorder->live->ops->next(recorder->live, position, message))
        return false;
    journal_encoder_deliver(recorder->encoder, position, message);
    return true;
}

static bool record_more(struct input *input, struct position position)
{
    struct input *live = recorder_of(input)->live;
    return live->ops->more && live->ops->more(live, position);
}

static struct position record_horizon(struct input *input, struct position position)
{
    struct replay_recorder *recorder = recorder_of(input);
    return recorder->live->ops->horizon(recorder->live, position);
}

static uint64_t record_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct replay_recorder *recorder = recorder_of(input);
    recorder_release(recorder);
    uint64_t until = recorder->live->ops->wait(recorder->live, position, deadline_ns);
    recorder_take_back(recorder);
    return until;
}

static bool record_due(struct input *input, struct position position, uint64_t next_timer_ns)
{
    struct input *live = recorder_of(input)->live;
    return live->ops->due && live->ops->due(live, position, next_timer_ns);
}

static bool record_offer(struct input *input, struct position position, const struct input_message *message)
{
    struct replay_recorder *recorder = recorder_of(input);
    if (!recorder->live->ops->offer || !recorder->live->ops->offer(recorder->live, position, message))
        return false;
    journal_encoder_deliver(recorder->encoder, position, message);
    return true;
}

static void record_destroy(struct input *input)
{
    (void)input; /* part of the recorder, which its maker destroys */
}

const struct input_ops recorder_input_ops = {
    .pull = record_pull,
    .next = record_next,
    .more = record_more,
    .horizon = record_horizon,
    .wait = record_wait,
    .due = record_due,
    .offer = record_offer,
    .destroy = record_destroy,
};
