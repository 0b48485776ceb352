/* Between trace events and inputs on one side and the tokens of an events frame on the other: which field of which kind
 * goes where (FORMAT.md, "Kinds of event"). */
#include "replay/event_model.h"

#include <inttypes.h>
#include <stdio.h>

void event_model_reset(struct event_model *model, struct position base)
{
    model->shape_count = 0;
    model->previous = model->before_previous = 0;
    model->icount = base.icount;
    model->skip = base.vtime_ns - base.icount;
    memset(model->next, 0, sizeof model->next);
    model->last_delta = 0;
    memset(model->delta, 0, sizeof model->delta);
    memset(model->pair_delta, 0, sizeof model->pair_delta);
    memset(model->value, 0, sizeof model->value);
}

static uint64_t value_of_size(uint64_t value, uint32_t size_bytes)
{
    return size_bytes >= 8 ? value : value & ((UINT64_C(1) << size_bytes * 8) - 1);
}

static void block_token(struct event_token *token, const struct trace_event *event)
{
    token->address = (uint64_t)event->drive << 8 | (event->op & 0xff);
    token->format = EVENT_FORMAT_HASH;
    token->value = event->value;
    token->extras = 4;
    token->extra[0] = event->tag;
    token->extra[1] = event->address;
    token->extra[2] = event->sectors;
    token->extra[3] = (uint64_t)(int64_t)event->status;
}

/* Newer than the others: readers that do not know them may pass over them. */
static void origin_token(struct event_token *token, const struct trace_event *event)
{
    token->flags = EVENT_SHAPE_SKIPPABLE;
    token->address = (uint64_t)event->drive << 24 | (event->op & 0xFFFFFF);
    token->format = EVENT_FORMAT_U64;
    token->value = event->address;
    token->extras = 3;
    token->extra[0] = event->tag;
    token->extra[1] = event->value;
    token->extra[2] = event->flags;
}

static void segment_token(struct event_token *token, const struct trace_event *event)
{
    token->flags = EVENT_SHAPE_SKIPPABLE;
    token->address = event->drive;
    token->format = EVENT_FORMAT_U64;
    token->value = event->address;
    token->extras = 2;
    token->extra[0] = event->tag;
    token->extra[1] = event->size_bytes;
}

void event_token_from_trace(struct event_token *token, const struct trace_event *event)
{
    token->icount = event->position.icount;
    token->skip = event->position.vtime_ns - event->position.icount;
    token->code = (uint8_t)event->kind;
    token->flags = 0;
    token->format = EVENT_FORMAT_NONE;
    token->extras = 0;
    token->address = 0;
    token->value = 0;
    switch (event->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        CHECK(event->size_bytes == 1 || event->size_bytes == 2 || event->size_bytes == 4 || event->size_bytes == 8);
        token->address = event->address;
        token->format = (uint8_t)event->size_bytes;
        token->value = value_of_size(event->value, event->size_bytes);
        break;
    case TRACE_IRQ:
    case TRACE_RESET: token->address = event->value; break;
    case TRACE_HALT:
        token->format = EVENT_FORMAT_U64;
        token->value = event->value;
        break;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE: block_token(token, event); break;
    case TRACE_BLOCK_ORIGIN: origin_token(token, event); break;
    case TRACE_BLOCK_SEGMENT: segment_token(token, event); break;
    case TRACE_DIGEST:
        token->format = EVENT_FORMAT_HASH;
        token->value = event->value;
        break;
    case TRACE_CHECKPOINT:
    case TRACE_END:
        token->format = EVENT_FORMAT_HASH;
        token->value = event->value;
        token->extras = 1;
        token->extra[0] = event->address;
        break;
    case TRACE_KIND_COUNT:
    default: CHECK(event->kind < TRACE_KIND_COUNT);
    }
}

static bool token_to_origin(const struct event_token *token, struct trace_event *trace)
{
    trace->drive = (uint32_t)(token->address >> 24);
    trace->op = (uint32_t)(token->address & 0xFFFFFF);
    trace->address = token->value;
    trace->tag = (uint32_t)token->extra[0];
    trace->value = token->extra[1];
    trace->flags = (uint32_t)token->extra[2];
    return token->format == EVENT_FORMAT_U64 && token->extras == 3 && token->extra[2] <= TRACE_ORIGIN_FLAGS;
}

static bool token_to_segment(const struct event_token *token, struct trace_event *trace)
{
    trace->drive = (uint32_t)token->address;
    trace->address = token->value;
    trace->tag = (uint32_t)token->extra[0];
    trace->size_bytes = (uint32_t)token->extra[1];
    return token->format == EVENT_FORMAT_U64 && token->extras == 2;
}

static bool token_to_trace(const struct event_token *token, struct trace_event *trace)
{
    trace->kind = (enum trace_kind)token->code;
    switch (trace->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        trace->address = token->address;
        trace->size_bytes = token->format;
        trace->value = token->value;
        return token->format >= 1 && token->format <= 8 && token->extras == 0;
    case TRACE_IRQ:
    case TRACE_RESET: trace->value = token->address; return token->format == EVENT_FORMAT_NONE && token->extras == 0;
    case TRACE_HALT:
        trace->value = token->value;
        return token->format == EVENT_FORMAT_U64 && token->extras == 0 && token->value < JOURNAL_POSITION_LIMIT;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE:
        trace->drive = (uint32_t)(token->address >> 8);
        trace->op = (uint32_t)(token->address & 0xff);
        trace->value = token->value;
        trace->tag = (uint32_t)token->extra[0];
        trace->address = token->extra[1];
        trace->sectors = (uint32_t)token->extra[2];
        trace->status = (int32_t)token->extra[3];
        return token->format == EVENT_FORMAT_HASH && token->extras == 4 && trace->op < TRACE_BLOCK_OPS &&
               trace->address < JOURNAL_POSITION_LIMIT;
    case TRACE_DIGEST: trace->value = token->value; return token->format == EVENT_FORMAT_HASH && token->extras == 0;
    case TRACE_CHECKPOINT:
    case TRACE_END:
        trace->value = token->value;
        trace->address = token->extra[0];
        return token->format == EVENT_FORMAT_HASH && token->extras == 1;
    case TRACE_BLOCK_ORIGIN: return token_to_origin(token, trace);
    case TRACE_BLOCK_SEGMENT: return token_to_segment(token, trace);
    case TRACE_KIND_COUNT:
    default: return false;
    }
}

bool event_token_to_event(const struct event_token *token, struct journal_event *event)
{
    memset(event, 0, sizeof *event);
    event->trace.position = (struct position){token->icount, token->icount + token->skip};
    if (token->code >= JOURNAL_CODE_DELIVER) {
        event->type = JOURNAL_EVENT_DELIVER;
        event->input.id = (enum input_id)(token->code - JOURNAL_CODE_DELIVER);
        event->input.target = (uint32_t)token->extra[0];
        event->input.a = token->extra[1];
        event->input.b = token->extra[2];
        return event->input.id < INPUT_COUNT && token->format == EVENT_FORMAT_NONE && token->extras == 3;
    }
    if (token->code >= JOURNAL_CODE_PULL) {
        event->type = JOURNAL_EVENT_PULL;
        event->input.id = (enum input_id)(token->code - JOURNAL_CODE_PULL);
        event->input.a = token->value;
        return event->input.id < INPUT_COUNT && token->format == EVENT_FORMAT_U64 && token->extras == 0;
    }
    event->type = JOURNAL_EVENT_TRACE;
    event->digest_bits = token->code == TRACE_DIGEST ? 64 : 0;
    return token_to_trace(token, &event->trace);
}
