/* Encoder of events frames (FORMAT.md, "Events frame"). Appending takes neither lock nor allocation nor system call;
 * full frames are handed on from within. */
#include "replay/event_model.h"

#include <stdlib.h>

/* A frame ends when its columns have this much: one more event, with its definition, stays below the limit. */
#define ENCODER_LIMIT_BYTES (JOURNAL_FRAME_RAW_MAX - 4096u)
#define ENCODER_EVENT_BYTES_MAX 256u
#define ENCODER_BUCKETS 16384u

struct encoder_bucket {
    uint32_t generation;
    uint32_t shape;
};

struct journal_encoder {
    struct event_model model;
    uint64_t digest_steps;
    uint64_t next_digest; /* 0: digests are not implied in this frame */
    uint64_t first_next_digest;
    bool pending; /* a digest at next_digest - digest_steps waits: implied if the next event is later */
    uint64_t pending_value;
    bool digest_seen; /* in this frame */
    uint32_t tokens, implied, delivers;
    uint64_t run;
    uint64_t last_definition_address;
    struct position first, last;
    size_t used;
    uint32_t generation;
    uint8_t *column[EVENT_COLUMN_COUNT];
    size_t column_used[EVENT_COLUMN_COUNT];
    uint8_t *raw;
    struct encoder_bucket bucket[ENCODER_BUCKETS];
    void (*full)(void *opaque, const struct journal_encoder_frame *frame);
    void *opaque;
};

static void encoder_restart(struct journal_encoder *encoder, bool implied)
{
    encoder->tokens = encoder->implied = encoder->delivers = 0;
    encoder->run = 0;
    encoder->used = 0;
    encoder->last_definition_address = 0;
    encoder->pending = false;
    encoder->digest_seen = false;
    encoder->next_digest = implied ? 1 : 0; /* 1: to be set by the first event */
    memset(encoder->column_used, 0, sizeof encoder->column_used);
    if (++encoder->generation == 0) {
        memset(encoder->bucket, 0, sizeof encoder->bucket);
        encoder->generation = 1;
    }
}

struct journal_encoder *journal_encoder_create(uint64_t digest_steps,
                                               void (*full)(void *opaque, const struct journal_encoder_frame *frame),
                                               void *opaque)
{
    struct journal_encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return NULL;
    encoder->digest_steps = digest_steps;
    encoder->full = full;
    encoder->opaque = opaque;
    bool ok = (encoder->raw = malloc(JOURNAL_FRAME_RAW_MAX)) != NULL;
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++)
        ok = (encoder->column[i] = malloc(JOURNAL_FRAME_RAW_MAX)) != NULL && ok;
    if (!ok) {
        journal_encoder_destroy(encoder);
        return NULL;
    }
    encoder_restart(encoder, true);
    return encoder;
}

void journal_encoder_destroy(struct journal_encoder *encoder)
{
    if (!encoder)
        return;
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++)
        free(encoder->column[i]);
    free(encoder->raw);
    free(encoder);
}

bool journal_encoder_empty(const struct journal_encoder *encoder)
{
    return encoder->tokens == 0 && encoder->implied == 0 && !encoder->pending;
}

/* ---- columns ---- */

static inline void put_u8(struct journal_encoder *encoder, enum event_column column, uint8_t value)
{
    encoder->column[column][encoder->column_used[column]++] = value;
    encoder->used++;
}

static inline void put_varint(struct journal_encoder *encoder, enum event_column column, uint64_t value)
{
    size_t n = varint_put(encoder->column[column] + encoder->column_used[column], value);
    encoder->column_used[column] += n;
    encoder->used += n;
}

static inline void put_u64(struct journal_encoder *encoder, enum event_column column, uint64_t value)
{
    le64_put(encoder->column[column] + encoder->column_used[column], value);
    encoder->column_used[column] += 8;
    encoder->used += 8;
}

static void put_value(struct journal_encoder *encoder, const struct event_shape *shape, uint64_t value)
{
    switch (shape->format) {
    case EVENT_FORMAT_U8: put_u8(encoder, EVENT_COLUMN_VALUE8, (uint8_t)value); break;
    case EVENT_FORMAT_U16:
        put_u8(encoder, EVENT_COLUMN_VALUE16, (uint8_t)value);
        put_u8(encoder, EVENT_COLUMN_VALUE16, (uint8_t)(value >> 8));
        break;
    case EVENT_FORMAT_HASH: put_u64(encoder, EVENT_COLUMN_HASH, value); break;
    default: put_varint(encoder, EVENT_COLUMN_VALUE, zigzag(value - shape->value));
    }
}

/* ---- shapes ---- */

static inline bool shape_is(const struct event_shape *shape, const struct event_token *token)
{
    return shape->address == token->address && shape->code == token->code && shape->format == token->format;
}

static uint32_t shape_define(struct journal_encoder *encoder, const struct event_token *token)
{
    struct event_model *model = &encoder->model;
    uint32_t index = model->shape_count++;
    model->shape[index] = (struct event_shape){
        .address = token->address,
        .code = token->code,
        .flags = token->flags,
        .format = token->format,
        .extras = token->extras,
        .confidence = EVENT_CONFIDENCE_START,
    };
    put_u8(encoder, EVENT_COLUMN_DEFINITION, token->code);
    put_u8(encoder, EVENT_COLUMN_DEFINITION, token->flags);
    put_u8(encoder, EVENT_COLUMN_DEFINITION, token->format);
    put_u8(encoder, EVENT_COLUMN_DEFINITION, token->extras);
    put_varint(encoder, EVENT_COLUMN_DEFINITION, zigzag(token->address - encoder->last_definition_address));
    encoder->last_definition_address = token->address;
    return index;
}

/* Index of the token's shape, defined now if it is new. */
static uint32_t shape_find(struct journal_encoder *encoder, const struct event_token *token)
{
    uint64_t key = (token->address << 14 ^ token->address >> 50) + ((uint64_t)token->code << 7 | token->format);
    uint32_t at = (uint32_t)((key * 0x9E3779B97F4A7C15ull) >> 50);
    for (;; at = (at + 1) % ENCODER_BUCKETS) {
        struct encoder_bucket *bucket = &encoder->bucket[at];
        if (bucket->generation != encoder->generation) {
            bucket->generation = encoder->generation;
            bucket->shape = shape_define(encoder, token);
            return bucket->shape;
        }
        if (shape_is(&encoder->model.shape[bucket->shape], token))
            return bucket->shape;
    }
}

/* ---- tokens ---- */

static void encode_extras(struct journal_encoder *encoder, struct event_shape *shape, const struct event_token *token)
{
    for (unsigned i = 0; i < token->extras; i++) {
        put_varint(encoder, EVENT_COLUMN_EXTRA, zigzag(token->extra[i] - shape->extra[i]));
        shape->extra[i] = token->extra[i];
    }
}

static void encode_token(struct journal_encoder *encoder, const struct event_token *token)
{
    struct event_model *model = &encoder->model;
    CHECK(token->icount >= model->icount);
    uint8_t mask = 0;
    uint32_t next_slot = event_slot_next(model);
    uint32_t index = model->next[next_slot];
    if (index >= model->shape_count || !shape_is(&model->shape[index], token)) {
        mask |= EVENT_MASK_SHAPE;
        index = shape_find(encoder, token);
        put_varint(encoder, EVENT_COLUMN_SHAPE, index);
    }
    struct event_shape *shape = &model->shape[index];

    uint32_t pair_slot = event_slot_pair(model, index);
    uint64_t delta = token->icount - model->icount;
    if (delta != model->delta[event_slot_delta(model, pair_slot)]) {
        if (delta == model->pair_delta[pair_slot]) {
            mask |= EVENT_MASK_DELTA_PAIR;
        } else {
            mask |= EVENT_MASK_DELTA;
            put_varint(encoder, EVENT_COLUMN_DELTA, delta);
        }
    }
    if (token->skip != model->skip) {
        mask |= EVENT_MASK_SKIP;
        put_varint(encoder, EVENT_COLUMN_SKIP, zigzag(token->skip - model->skip));
    }
    if (shape->format != EVENT_FORMAT_NONE) {
        uint32_t value_slot = event_slot_value(model, index);
        if (!event_value_predicted(shape)) {
            put_value(encoder, shape, token->value);
        } else if (model->value[value_slot] != token->value) {
            mask |= EVENT_MASK_VALUE;
            put_value(encoder, shape, token->value);
        }
        event_model_value(model, index, value_slot, token->value);
    }
    if (token->extras)
        encode_extras(encoder, shape, token);
    if (mask) {
        put_varint(encoder, EVENT_COLUMN_RUN, encoder->run);
        put_u8(encoder, EVENT_COLUMN_MASK, mask);
        encoder->run = 0;
    } else {
        encoder->run++;
    }
    event_model_step(model, next_slot, pair_slot, index, delta);
    model->icount = token->icount;
    model->skip = token->code == TRACE_HALT ? token->skip + token->value : token->skip;
    encoder->tokens++;
    encoder->delivers += token->code >= JOURNAL_CODE_DELIVER;
}

/* ---- digests ---- */

static void put_implied_digest(struct journal_encoder *encoder, uint64_t icount, uint64_t value)
{
    if (icount / encoder->digest_steps % EVENT_DIGEST_FULL_EVERY == 0)
        put_u64(encoder, EVENT_COLUMN_DIGEST, value);
    else
        put_u8(encoder, EVENT_COLUMN_DIGEST, (uint8_t)value);
    encoder->implied++;
}

/* The digest that waits goes before an event at icount: as an implied one, or, when a reader could not tell the order,
 * as a token. */
static void settle_pending(struct journal_encoder *encoder, uint64_t icount)
{
    uint64_t at = encoder->next_digest - encoder->digest_steps;
    encoder->pending = false;
    if (icount > at) {
        put_implied_digest(encoder, at, encoder->pending_value);
        return;
    }
    struct event_token token = {.icount = at,
                                .skip = encoder->model.skip,
                                .value = encoder->pending_value,
                                .code = TRACE_DIGEST,
                                .format = EVENT_FORMAT_HASH};
    encode_token(encoder, &token);
}

static void first_event(struct journal_encoder *encoder, struct position position)
{
    encoder->first = position;
    event_model_reset(&encoder->model, position);
    if (encoder->next_digest) {
        uint64_t steps = encoder->digest_steps;
        encoder->next_digest = (position.icount + steps - 1) / steps * steps;
        if (encoder->next_digest == 0)
            encoder->next_digest = steps;
    }
    encoder->first_next_digest = encoder->next_digest;
}

static void flush(struct journal_encoder *encoder, bool implied)
{
    journal_encoder_flush(encoder);
    encoder_restart(encoder, implied);
}

static void append_token(struct journal_encoder *encoder, const struct event_token *token)
{
    struct position position = {token->icount, token->icount + token->skip};
    if (encoder->pending)
        settle_pending(encoder, token->icount);
    if (journal_encoder_empty(encoder))
        first_event(encoder, position);
    if (encoder->next_digest && encoder->next_digest < token->icount) {
        flush(encoder, false);
        first_event(encoder, position);
    }
    encode_token(encoder, token);
    encoder->last = position;
    if (encoder->used > ENCODER_LIMIT_BYTES || encoder->model.shape_count == EVENT_SHAPES_MAX ||
        encoder->tokens + encoder->implied >= EVENT_FRAME_EVENTS_MAX - 2)
        journal_encoder_flush(encoder);
}

static void append_digest(struct journal_encoder *encoder, const struct trace_event *event)
{
    if (journal_encoder_empty(encoder))
        first_event(encoder, event->position);
    else if (encoder->pending)
        settle_pending(encoder, event->position.icount);
    encoder->digest_seen = true;
    uint64_t skip = event->position.vtime_ns - event->position.icount;
    if (encoder->next_digest == event->position.icount && encoder->model.skip == skip &&
        encoder->model.icount <= event->position.icount) {
        encoder->pending = true;
        encoder->pending_value = event->value;
        encoder->next_digest += encoder->digest_steps;
        encoder->last = event->position;
        if (encoder->used > ENCODER_LIMIT_BYTES || encoder->tokens + encoder->implied >= EVENT_FRAME_EVENTS_MAX - 2)
            journal_encoder_flush(encoder);
        return;
    }
    struct event_token token;
    event_token_from_trace(&token, event);
    append_token(encoder, &token);
    encoder->digest_seen = true;
    if (encoder->next_digest > 1)
        encoder->next_digest = (event->position.icount / encoder->digest_steps + 1) * encoder->digest_steps;
}

void journal_encoder_trace(struct journal_encoder *encoder, const struct trace_event *event)
{
    if (event->kind == TRACE_DIGEST) {
        append_digest(encoder, event);
        return;
    }
    struct event_token token;
    event_token_from_trace(&token, event);
    append_token(encoder, &token);
}

void journal_encoder_pull(struct journal_encoder *encoder, struct position position, enum input_id id, uint64_t value)
{
    struct event_token token = {.icount = position.icount,
                                .skip = position.vtime_ns - position.icount,
                                .code = (uint8_t)(JOURNAL_CODE_PULL + id),
                                .format = EVENT_FORMAT_U64,
                                .value = value};
    append_token(encoder, &token);
}

void journal_encoder_deliver(struct journal_encoder *encoder, struct position position,
                             const struct input_message *message)
{
    struct event_token token = {.icount = position.icount,
                                .skip = position.vtime_ns - position.icount,
                                .code = (uint8_t)(JOURNAL_CODE_DELIVER + message->id),
                                .extras = 3,
                                .extra = {message->target, message->a, message->b}};
    append_token(encoder, &token);
}

/* ---- the end of a frame ---- */

static size_t assemble(struct journal_encoder *encoder)
{
    put_varint(encoder, EVENT_COLUMN_RUN, encoder->run);
    uint8_t *out = encoder->raw;
    size_t n = varint_put(out, encoder->tokens);
    n += varint_put(out + n, encoder->implied);
    n += varint_put(out + n, encoder->digest_steps);
    n += varint_put(out + n, encoder->first_next_digest);
    n += varint_put(out + n, EVENT_COLUMN_COUNT);
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++)
        n += varint_put(out + n, encoder->column_used[i]);
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++) {
        CHECK(n + encoder->column_used[i] <= JOURNAL_FRAME_RAW_MAX);
        memcpy(out + n, encoder->column[i], encoder->column_used[i]);
        n += encoder->column_used[i];
    }
    return n;
}

void journal_encoder_flush(struct journal_encoder *encoder)
{
    if (journal_encoder_empty(encoder))
        return;
    if (encoder->pending)
        settle_pending(encoder, UINT64_MAX);
    struct journal_encoder_frame frame = {
        .raw = encoder->raw,
        .raw_bytes = assemble(encoder),
        .first = encoder->first,
        .last = encoder->last,
        .events = encoder->tokens + encoder->implied,
        .delivers = encoder->delivers,
    };
    bool implied = encoder->next_digest != 0 || encoder->digest_seen;
    encoder_restart(encoder, implied);
    encoder->full(encoder->opaque, &frame);
}
