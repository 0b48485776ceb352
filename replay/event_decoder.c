/* Decoder of events frames (FORMAT.md, "Events frame"): streams, takes no memory beyond its own struct, and believes
 * nothing that it reads. */
#include "replay/event_model.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

struct journal_decoder {
    struct byte_source column[EVENT_COLUMN_COUNT];
    uint64_t tokens_left, implied_left;
    uint64_t digest_steps, next_digest;
    uint64_t run; /* of tokens without a mask still to come */
    bool run_read;
    uint64_t last_definition_address;
    struct event_token token;
    bool token_ready;
    uint64_t skip_before; /* as expected before the ready token */
    uint64_t frame_offset, frame_sequence;
    struct event_model model; /* last, and its shapes last: a copy ends with those that are defined */
};

struct journal_decoder *journal_decoder_create(void)
{
    return calloc(1, sizeof(struct journal_decoder));
}

void journal_decoder_destroy(struct journal_decoder *decoder)
{
    free(decoder);
}

static size_t used_bytes(const struct journal_decoder *decoder)
{
    return offsetof(struct journal_decoder, model.shape) + decoder->model.shape_count * sizeof(struct event_shape);
}

struct journal_decoder *journal_decoder_copy(const struct journal_decoder *decoder)
{
    struct journal_decoder *copy = malloc(used_bytes(decoder));
    if (copy)
        memcpy(copy, decoder, used_bytes(decoder));
    return copy;
}

void journal_decoder_set(struct journal_decoder *decoder, const struct journal_decoder *copy)
{
    memcpy(decoder, copy, used_bytes(copy));
}

static enum status corrupt(const struct journal_decoder *decoder, struct error *error, const char *what)
{
    return error_status(error, STATUS_CORRUPT, "frame %llu at offset %llu: %s",
                        (unsigned long long)decoder->frame_sequence, (unsigned long long)decoder->frame_offset, what);
}

static bool split_columns(struct journal_decoder *decoder, struct byte_source *source)
{
    uint64_t count = byte_source_varint(source);
    if (source->failed || count < EVENT_COLUMN_COUNT || count > 64)
        return false;
    uint64_t size[64];
    for (uint64_t i = 0; i < count; i++)
        size[i] = byte_source_varint(source);
    for (uint64_t i = 0; i < count; i++) {
        if (size[i] > byte_source_left(source))
            return false;
        const uint8_t *at = byte_source_take(source, size[i]);
        if (!at)
            return false;
        if (i < EVENT_COLUMN_COUNT)
            decoder->column[i] = (struct byte_source){.at = at, .end = at + size[i]};
    }
    return !source->failed && byte_source_left(source) == 0;
}

enum status journal_decoder_start(struct journal_decoder *decoder, const uint8_t *raw, size_t raw_bytes,
                                  const struct journal_frame *frame, struct error *error)
{
    struct byte_source source = {.at = raw, .end = raw + raw_bytes};
    decoder->frame_offset = frame->offset;
    decoder->frame_sequence = frame->sequence;
    decoder->tokens_left = byte_source_varint(&source);
    decoder->implied_left = byte_source_varint(&source);
    decoder->digest_steps = byte_source_varint(&source);
    decoder->next_digest = byte_source_varint(&source);
    decoder->run_read = false;
    decoder->token_ready = false;
    decoder->last_definition_address = 0;
    event_model_reset(&decoder->model, frame->first);
    decoder->skip_before = decoder->model.skip;
    if (source.failed || decoder->tokens_left > EVENT_FRAME_EVENTS_MAX ||
        decoder->implied_left > EVENT_FRAME_EVENTS_MAX || decoder->tokens_left + decoder->implied_left != frame->events)
        return corrupt(decoder, error, "event count: expected as in the frame's header and at most 1048576");
    if (decoder->digest_steps == 0 || decoder->digest_steps >= JOURNAL_POSITION_LIMIT ||
        decoder->next_digest >= JOURNAL_POSITION_LIMIT)
        return corrupt(decoder, error, "digest steps: expected 1 .. 2^63 - 1");
    if (decoder->implied_left && decoder->next_digest == 0)
        return corrupt(decoder, error, "next digest: expected not 0, since the frame has implied digests");
    if (!split_columns(decoder, &source))
        return corrupt(decoder, error, "column sizes: expected at least 12 columns that fill the frame");
    return STATUS_OK;
}

static const char *read_definition(struct journal_decoder *decoder)
{
    struct event_model *model = &decoder->model;
    struct byte_source *source = &decoder->column[EVENT_COLUMN_DEFINITION];
    if (model->shape_count == EVENT_SHAPES_MAX)
        return "shapes: expected at most 4096";
    struct event_shape *shape = &model->shape[model->shape_count];
    *shape = (struct event_shape){.confidence = EVENT_CONFIDENCE_START};
    shape->code = byte_source_u8(source);
    shape->flags = byte_source_u8(source);
    shape->format = byte_source_u8(source);
    shape->extras = byte_source_u8(source);
    shape->address = decoder->last_definition_address + unzigzag(byte_source_varint(source));
    decoder->last_definition_address = shape->address;
    if (source->failed)
        return "shape definition: expected more bytes";
    if (shape->code == 0 || !event_format_valid(shape->format) || shape->extras > EVENT_EXTRAS_MAX)
        return "shape definition: expected code 1 .. 255, format 0, 1, 2, 4, 8 or 64, and at most 8 extras";
    model->shape_count++;
    return NULL;
}

static inline const char *read_shape(struct journal_decoder *decoder, uint8_t mask, uint32_t next_slot, uint32_t *index)
{
    struct event_model *model = &decoder->model;
    if (!(mask & EVENT_MASK_SHAPE)) {
        *index = model->next[next_slot];
        return *index < model->shape_count ? NULL : "shape: predicted before any is defined";
    }
    uint64_t value = byte_source_varint(&decoder->column[EVENT_COLUMN_SHAPE]);
    if (decoder->column[EVENT_COLUMN_SHAPE].failed || value > model->shape_count)
        return "shape: expected a defined one or the next";
    *index = (uint32_t)value;
    return value == model->shape_count ? read_definition(decoder) : NULL;
}

static uint64_t read_value(struct journal_decoder *decoder, const struct event_shape *shape)
{
    switch (shape->format) {
    case EVENT_FORMAT_U8: return byte_source_u8(&decoder->column[EVENT_COLUMN_VALUE8]);
    case EVENT_FORMAT_U16: return byte_source_u16(&decoder->column[EVENT_COLUMN_VALUE16]);
    case EVENT_FORMAT_HASH: return byte_source_u64(&decoder->column[EVENT_COLUMN_HASH]);
    case EVENT_FORMAT_U32:
        return (uint32_t)(shape->value + unzigzag(byte_source_varint(&decoder->column[EVENT_COLUMN_VALUE])));
    default: return shape->value + unzigzag(byte_source_varint(&decoder->column[EVENT_COLUMN_VALUE]));
    }
}

/* Of the predicted width: a slot is shared by shapes, so a value may be too wide for this one. */
static inline bool value_fits(const struct event_shape *shape, uint64_t value)
{
    return shape->format >= 8 || value >> shape->format * 8 == 0;
}

static inline const char *read_mask(struct journal_decoder *decoder, uint8_t *mask)
{
    struct byte_source *runs = &decoder->column[EVENT_COLUMN_RUN];
    if (!decoder->run_read) {
        decoder->run = byte_source_varint(runs);
        decoder->run_read = true;
        if (runs->failed)
            return "runs: expected more bytes";
    }
    *mask = 0;
    if (decoder->run) {
        decoder->run--;
        return NULL;
    }
    decoder->run_read = false;
    *mask = byte_source_u8(&decoder->column[EVENT_COLUMN_MASK]);
    if (*mask == 0 || *mask & ~EVENT_MASK_ALL ||
        (*mask & (EVENT_MASK_DELTA | EVENT_MASK_DELTA_PAIR)) == (EVENT_MASK_DELTA | EVENT_MASK_DELTA_PAIR))
        return "mask: expected 1 .. 31, not with both delta bits";
    return NULL;
}

static const char *read_rest(struct journal_decoder *decoder, uint8_t mask, uint32_t index, uint64_t *value)
{
    struct event_model *model = &decoder->model;
    struct event_shape *shape = &model->shape[index];
    *value = 0;
    if (shape->format != EVENT_FORMAT_NONE) {
        uint32_t slot = event_slot_value(model, index);
        *value = model->value[slot];
        if (mask & EVENT_MASK_VALUE || !event_value_predicted(shape))
            *value = read_value(decoder, shape);
        if (!value_fits(shape, *value))
            return "value: predicted wider than its shape";
        event_model_value(model, index, slot, *value);
    } else if (mask & EVENT_MASK_VALUE) {
        return "mask: value bit of a shape without value";
    }
    for (unsigned i = 0; i < shape->extras; i++)
        shape->extra[i] += unzigzag(byte_source_varint(&decoder->column[EVENT_COLUMN_EXTRA]));
    return NULL;
}

static bool columns_failed(const struct journal_decoder *decoder)
{
    bool failed = false;
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++)
        failed |= decoder->column[i].failed;
    return failed;
}

static const char *read_token(struct journal_decoder *decoder)
{
    struct event_model *model = &decoder->model;
    struct event_token *token = &decoder->token;
    uint8_t mask;
    uint32_t index;
    const char *fault = read_mask(decoder, &mask);
    if (fault)
        return fault;
    uint32_t next_slot = event_slot_next(model);
    fault = read_shape(decoder, mask, next_slot, &index);
    if (fault)
        return fault;
    struct event_shape *shape = &model->shape[index];

    uint32_t pair_slot = event_slot_pair(model, index);
    uint64_t delta =
        mask & EVENT_MASK_DELTA_PAIR ? model->pair_delta[pair_slot] : model->delta[event_slot_delta(model, pair_slot)];
    if (mask & EVENT_MASK_DELTA)
        delta = byte_source_varint(&decoder->column[EVENT_COLUMN_DELTA]);
    uint64_t skip = model->skip;
    decoder->skip_before = skip;
    if (mask & EVENT_MASK_SKIP)
        skip += unzigzag(byte_source_varint(&decoder->column[EVENT_COLUMN_SKIP]));
    uint64_t value;
    fault = read_rest(decoder, mask, index, &value);
    if (fault)
        return fault;
    if (mask | shape->extras | shape->format && columns_failed(decoder))
        return "column: expected more bytes";

    event_model_step(model, next_slot, pair_slot, index, delta);
    if (delta >= JOURNAL_POSITION_LIMIT || model->icount + delta >= JOURNAL_POSITION_LIMIT ||
        model->icount + delta + skip >= JOURNAL_POSITION_LIMIT)
        return "position: expected below 2^63";
    model->icount += delta;
    model->skip = shape->code == TRACE_HALT ? skip + value : skip;
    token->icount = model->icount;
    token->skip = skip;
    token->address = shape->address;
    token->value = value;
    token->code = shape->code;
    token->flags = shape->flags;
    token->format = shape->format;
    token->extras = shape->extras;
    memcpy(token->extra, shape->extra, sizeof token->extra);
    return NULL;
}

static enum status next_implied(struct journal_decoder *decoder, struct journal_event *event, struct error *error)
{
    struct byte_source *source = &decoder->column[EVENT_COLUMN_DIGEST];
    uint64_t at = decoder->next_digest;
    uint64_t skip = decoder->token_ready ? decoder->skip_before : decoder->model.skip;
    bool whole = at / decoder->digest_steps % EVENT_DIGEST_FULL_EVERY == 0;
    memset(event, 0, sizeof *event);
    event->type = JOURNAL_EVENT_TRACE;
    event->digest_bits = whole ? 64 : 8;
    event->trace.kind = TRACE_DIGEST;
    event->trace.position = (struct position){at, at + skip};
    event->trace.value = whole ? byte_source_u64(source) : byte_source_u8(source);
    if (source->failed)
        return corrupt(decoder, error, "digests: expected more bytes");
    if (at + decoder->digest_steps >= JOURNAL_POSITION_LIMIT || at + skip >= JOURNAL_POSITION_LIMIT)
        return corrupt(decoder, error, "digest position: expected below 2^63");
    decoder->next_digest = at + decoder->digest_steps;
    decoder->implied_left--;
    return STATUS_OK;
}

static enum status end_of_frame(struct journal_decoder *decoder, struct error *error)
{
    if (!decoder->run_read) {
        decoder->run = byte_source_varint(&decoder->column[EVENT_COLUMN_RUN]);
        decoder->run_read = true;
    }
    for (unsigned i = 0; i < EVENT_COLUMN_COUNT; i++)
        if (byte_source_left(&decoder->column[i]) != 0 || decoder->column[i].failed || decoder->run != 0)
            return corrupt(decoder, error, "columns: expected to end with the last event");
    return STATUS_END;
}

enum status journal_decoder_next(struct journal_decoder *decoder, struct journal_event *event, struct error *error)
{
    for (;;) {
        if (!decoder->token_ready && decoder->tokens_left) {
            const char *fault = read_token(decoder);
            if (fault)
                return corrupt(decoder, error, fault);
            decoder->tokens_left--;
            decoder->token_ready = true;
        }
        if (decoder->implied_left && (!decoder->token_ready || decoder->next_digest < decoder->token.icount))
            return next_implied(decoder, event, error);
        if (!decoder->token_ready)
            return end_of_frame(decoder, error);
        decoder->token_ready = false;
        if (decoder->token.code == TRACE_DIGEST && decoder->next_digest)
            decoder->next_digest = (decoder->token.icount / decoder->digest_steps + 1) * decoder->digest_steps;
        if (event_token_to_event(&decoder->token, event))
            return STATUS_OK;
        if (!(decoder->token.flags & EVENT_SHAPE_SKIPPABLE)) {
            char what[96];
            snprintf(what, sizeof what, "event code %u: unknown to this version and not skippable",
                     decoder->token.code);
            (void)corrupt(decoder, error, what);
            return STATUS_UNSUPPORTED;
        }
    }
}
