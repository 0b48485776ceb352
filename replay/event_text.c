/* Events as people read them. */
#include "core/machine.h"
#include "replay/journal_event.h"

#include <inttypes.h>
#include <stdio.h>

static void trace_text(const struct journal_event *event, char *out, size_t size)
{
    const struct trace_event *t = &event->trace;
    const char *name = trace_kind_name(t->kind);
    switch (t->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        snprintf(out, size, "%s %" PRIx64 "/%u = %0*" PRIx64, name, t->address, t->size_bytes, (int)t->size_bytes * 2,
                 t->value);
        break;
    case TRACE_IRQ: snprintf(out, size, "%s vector %" PRIx64, name, t->value); break;
    case TRACE_HALT: snprintf(out, size, "%s %" PRIu64 " ns", name, t->value); break;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE:
        snprintf(out, size, "%s drive %u tag %u %s sector %" PRIu64 "+%u status %d hash %016" PRIx64, name, t->drive,
                 t->tag, trace_block_op_name((enum trace_block_op)t->op), t->address, t->sectors, t->status, t->value);
        break;
    case TRACE_DIGEST:
        snprintf(out, size, "%s %s%0*" PRIx64, name, event->digest_bits == 8 ? ".." : "",
                 event->digest_bits == 8 ? 2 : 16, t->value);
        break;
    case TRACE_CHECKPOINT:
        snprintf(out, size, "%s state %016" PRIx64 " memory %016" PRIx64, name, t->address, t->value);
        break;
    case TRACE_END:
        snprintf(out, size, "%s %s digest %016" PRIx64, name,
                 t->address < MACHINE_STOP_COUNT ? machine_stop_name((enum machine_stop)t->address) : "?", t->value);
        break;
    case TRACE_BLOCK_ORIGIN:
        snprintf(out, size, "%s drive %u tag %u command %02x%s rip %" PRIx64 " cr3 %" PRIx64 " cpl %u %s", name,
                 t->drive, t->tag, t->op, t->flags & TRACE_ORIGIN_FUA ? " fua" : "", t->address, t->value,
                 t->flags & TRACE_ORIGIN_CPL, trace_origin_mode(t->flags));
        break;
    case TRACE_BLOCK_SEGMENT:
        snprintf(out, size, "%s drive %u tag %u gpa %" PRIx64 " bytes %u", name, t->drive, t->tag, t->address,
                 t->size_bytes);
        break;
    case TRACE_RESET: snprintf(out, size, "%s%s", name, t->value ? " of the CPU (INIT)" : ""); break;
    case TRACE_KIND_COUNT:
    default: snprintf(out, size, "%s", name);
    }
}

char *journal_event_text(const struct journal_event *event, char *out, size_t size)
{
    const struct input_row *row = event->type == JOURNAL_EVENT_TRACE ? NULL : input_row(event->input.id);
    const char *name = row ? row->name : "?";
    switch (event->type) {
    case JOURNAL_EVENT_TRACE: trace_text(event, out, size); break;
    case JOURNAL_EVENT_PULL: snprintf(out, size, "pull %s = %" PRIx64, name, event->input.a); break;
    case JOURNAL_EVENT_DELIVER:
        snprintf(out, size, "deliver %s target %u a %" PRIx64 " b %" PRIx64, name, event->input.target, event->input.a,
                 event->input.b);
        break;
    }
    return out;
}
