/* What encoder and decoder of an events frame both predict (FORMAT.md, "Prediction"). Both sides make the same calls in
 * the same order, from zero at each frame. */
#ifndef VMRR_REPLAY_EVENT_MODEL_H
#define VMRR_REPLAY_EVENT_MODEL_H

#include "replay/journal_event.h"

#define EVENT_SLOTS 4096u
#define EVENT_SHAPES_MAX 4096u
#define EVENT_EXTRAS_MAX 8u
#define EVENT_FRAME_EVENTS_MAX (1u << 20)
#define EVENT_DIGEST_FULL_EVERY 256u

/* How the value of a shape lies in its column. */
enum event_format {
    EVENT_FORMAT_NONE = 0,
    EVENT_FORMAT_U8 = 1,
    EVENT_FORMAT_U16 = 2,
    EVENT_FORMAT_U32 = 4,
    EVENT_FORMAT_U64 = 8,
    EVENT_FORMAT_HASH = 64,
};

enum event_column {
    EVENT_COLUMN_RUN,
    EVENT_COLUMN_MASK,
    EVENT_COLUMN_SHAPE,
    EVENT_COLUMN_DEFINITION,
    EVENT_COLUMN_DELTA,
    EVENT_COLUMN_SKIP,
    EVENT_COLUMN_VALUE8,
    EVENT_COLUMN_VALUE16,
    EVENT_COLUMN_VALUE,
    EVENT_COLUMN_HASH,
    EVENT_COLUMN_EXTRA,
    EVENT_COLUMN_DIGEST,
    EVENT_COLUMN_COUNT
};

#define EVENT_MASK_SHAPE 0x01u
#define EVENT_MASK_DELTA_PAIR 0x02u
#define EVENT_MASK_DELTA 0x04u
#define EVENT_MASK_VALUE 0x08u
#define EVENT_MASK_SKIP 0x10u
#define EVENT_MASK_ALL 0x1fu

#define EVENT_SHAPE_SKIPPABLE 0x01u

struct event_shape {
    uint64_t address;
    uint8_t code, flags, format, extras;
    uint8_t confidence;
    uint64_t value; /* last one */
    uint64_t extra[EVENT_EXTRAS_MAX];
};

struct event_model {
    uint32_t shape_count;
    uint32_t previous, before_previous;
    uint64_t icount, skip; /* of the last event; skip with the time that a HALT skipped */
    uint64_t last_delta;
    uint16_t next[EVENT_SLOTS];
    uint64_t delta[EVENT_SLOTS];      /* by pair of shapes and the delta before */
    uint64_t pair_delta[EVENT_SLOTS]; /* by pair of shapes */
    uint64_t value[EVENT_SLOTS];
    struct event_shape shape[EVENT_SHAPES_MAX]; /* last: event_decoder.c */
};

static inline uint32_t event_slot(uint32_t a, uint32_t b)
{
    return (a * 0x9E3779B1u + b * 0x85EBCA77u) >> 20;
}

static inline uint32_t event_slot_next(const struct event_model *model)
{
    return event_slot(model->before_previous, model->previous);
}

static inline uint32_t event_slot_pair(const struct event_model *model, uint32_t shape)
{
    return event_slot(model->previous, shape);
}

static inline uint32_t event_slot_delta(const struct event_model *model, uint32_t pair_slot)
{
    return event_slot(pair_slot, (uint32_t)model->last_delta);
}

static inline uint32_t event_slot_value(const struct event_model *model, uint32_t shape)
{
    uint64_t value = model->shape[shape].value;
    return event_slot(shape, (uint32_t)value ^ (uint32_t)(value >> 32));
}

#define EVENT_CONFIDENCE_START 8u
#define EVENT_CONFIDENCE_MAX 15u
#define EVENT_CONFIDENCE_MIN 4u /* below: the value is always written */

static inline bool event_value_predicted(const struct event_shape *shape)
{
    return shape->confidence >= EVENT_CONFIDENCE_MIN;
}

/* After an event with this shape and value: was slot's prediction right? */
static inline void event_model_value(struct event_model *model, uint32_t index, uint32_t slot, uint64_t value)
{
    struct event_shape *shape = &model->shape[index];
    if (model->value[slot] == value) {
        if (shape->confidence < EVENT_CONFIDENCE_MAX)
            shape->confidence++;
    } else {
        shape->confidence = (uint8_t)(shape->confidence > 2 ? shape->confidence - 2 : 0);
        model->value[slot] = value;
    }
    shape->value = value;
}

static inline void event_model_step(struct event_model *model, uint32_t next_slot, uint32_t pair_slot, uint32_t shape,
                                    uint64_t delta)
{
    model->next[next_slot] = (uint16_t)shape;
    model->delta[event_slot_delta(model, pair_slot)] = delta;
    model->pair_delta[pair_slot] = delta;
    model->last_delta = delta;
    model->before_previous = model->previous;
    model->previous = shape;
}

void event_model_reset(struct event_model *model, struct position base);

/* An event as the frame knows it. */
struct event_token {
    uint64_t icount, skip;
    uint64_t address, value;
    uint8_t code, flags, format, extras;
    uint64_t extra[4];
};

/* Both directions between events and tokens (event_token.c). from: false for a kind that this version does not know. */
void event_token_from_trace(struct event_token *token, const struct trace_event *event);
bool event_token_to_event(const struct event_token *token, struct journal_event *event);

static inline bool event_format_valid(unsigned format)
{
    return format == EVENT_FORMAT_NONE || format == EVENT_FORMAT_U8 || format == EVENT_FORMAT_U16 ||
           format == EVENT_FORMAT_U32 || format == EVENT_FORMAT_U64 || format == EVENT_FORMAT_HASH;
}

#endif
