/* See event_json.h. */
#include "tools/event_json.h"

#include <inttypes.h>

static json_t *hex(uint64_t value, int digits)
{
    char text[24];
    snprintf(text, sizeof text, "0x%0*" PRIx64, digits, value);
    return json_string(text);
}

static void set_number(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

static void json_block(json_t *object, const struct trace_event *event)
{
    set_number(object, "drive", event->drive);
    set_number(object, "tag", event->tag);
    json_object_set_new(object, "op", json_string(trace_block_op_name((enum trace_block_op)event->op)));
    set_number(object, "sector", (int64_t)event->address);
    set_number(object, "sectors", event->sectors);
    set_number(object, "status", event->status);
    json_object_set_new(object, "hash", hex(event->value, 16));
}

static void json_trace(json_t *object, const struct journal_event *event)
{
    const struct trace_event *t = &event->trace;
    switch (t->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        json_object_set_new(object, "address", hex(t->address, 1));
        set_number(object, "size", t->size_bytes);
        json_object_set_new(object, "value", hex(t->value, 1));
        break;
    case TRACE_IRQ: json_object_set_new(object, "vector", hex(t->value, 1)); break;
    case TRACE_HALT: set_number(object, "skipped_ns", (int64_t)t->value); break;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE: json_block(object, t); break;
    case TRACE_DIGEST:
        set_number(object, "bits", event->digest_bits);
        json_object_set_new(object, "value", hex(t->value, event->digest_bits / 4));
        break;
    case TRACE_CHECKPOINT:
        json_object_set_new(object, "state", hex(t->address, 16));
        json_object_set_new(object, "memory", hex(t->value, 16));
        break;
    case TRACE_END:
        json_object_set_new(object, "stop", hex(t->address, 1));
        json_object_set_new(object, "digest", hex(t->value, 16));
        break;
    case TRACE_BLOCK_ORIGIN:
        set_number(object, "drive", t->drive);
        set_number(object, "tag", t->tag);
        json_object_set_new(object, "command", hex(t->op, 1));
        json_object_set_new(object, "rip", hex(t->address, 1));
        json_object_set_new(object, "cr3", hex(t->value, 1));
        json_object_set_new(object, "flags", hex(t->flags, 1));
        break;
    case TRACE_BLOCK_SEGMENT:
        set_number(object, "drive", t->drive);
        set_number(object, "tag", t->tag);
        json_object_set_new(object, "gpa", hex(t->address, 1));
        set_number(object, "size", t->size_bytes);
        break;
    case TRACE_RESET: json_object_set_new(object, "value", hex(t->value, 1)); break;
    case TRACE_KIND_COUNT:
    default: break;
    }
}

static void json_input(json_t *object, const struct journal_event *event)
{
    const struct input_row *row = input_row(event->input.id);
    json_object_set_new(object, "input", json_string(row ? row->name : "?"));
    if (event->type == JOURNAL_EVENT_PULL) {
        json_object_set_new(object, "value", hex(event->input.a, 1));
        return;
    }
    set_number(object, "target", event->input.target);
    json_object_set_new(object, "a", hex(event->input.a, 1));
    json_object_set_new(object, "b", hex(event->input.b, 1));
}

static const char *event_kind_name(const struct journal_event *event)
{
    switch (event->type) {
    case JOURNAL_EVENT_PULL: return "pull";
    case JOURNAL_EVENT_DELIVER: return "deliver";
    case JOURNAL_EVENT_TRACE: break;
    }
    return trace_kind_name(event->trace.kind);
}

json_t *event_json(const struct journal_event *event)
{
    json_t *object = json_object();
    set_number(object, "icount", (int64_t)event->trace.position.icount);
    set_number(object, "vtime_ns", (int64_t)event->trace.position.vtime_ns);
    json_object_set_new(object, "kind", json_string(event_kind_name(event)));
    if (event->type == JOURNAL_EVENT_TRACE)
        json_trace(object, event);
    else
        json_input(object, event);
    return object;
}
