/* Lines as blkparse prints them (blktrace's blkparse(1), default format): device, CPU, sequence, time, process, action, RWBS,
 * sectors, and the device's name where a process would stand. Actions: Q and D where the device submits the request (nothing
 * lies between the guest's driver and the drive), C where it completes, with the status in brackets. */
#include "tools/blktrace_text.h"

#include "replay/replay.h"
#include "tools/device_names.h"
#include "tools/journal_walk.h"
#include "tools/request_walk.h"

#include <inttypes.h>
#include <string.h>

#define MAJOR 8u /* drives as sda, sdb, ... */
#define MINORS 16u
#define PENDING_MAX (JOURNAL_DRIVES * BLOCK_PENDING_MAX)

struct text {
    FILE *out;
    uint32_t drive;
    uint64_t sequence;
    struct journal_config config;
    struct trace_event asked; /* waits for its origin; kind 0: nothing does */
    struct {
        uint32_t drive, tag;
        bool fua;
    } pending[PENDING_MAX];
    unsigned pending_count;
};

static const char *rwbs(uint32_t op, bool fua)
{
    switch ((enum trace_block_op)op) {
    case TRACE_BLOCK_READ: return "R";
    case TRACE_BLOCK_WRITE: return fua ? "WF" : "W";
    case TRACE_BLOCK_FLUSH: return "FN";
    case TRACE_BLOCK_DISCARD: return "D";
    case TRACE_BLOCK_WRITE_ZEROES: return fua ? "WZF" : "WZ";
    case TRACE_BLOCK_OPS: break;
    }
    return "N";
}

static void line(struct text *text, const struct trace_event *event, char action, bool fua)
{
    char name[32] = "?";
    uint64_t ns = event->position.vtime_ns;
    if (event->drive < JOURNAL_DRIVES)
        device_name(&text->config.drive[event->drive].at, name, sizeof name);
    fprintf(text->out, "%3u,%-3u %2u %8" PRIu64 " %5" PRIu64 ".%09" PRIu64 " %5u  %c %3s ", MAJOR,
            event->drive * MINORS, 0u, ++text->sequence, ns / 1000000000u, ns % 1000000000u, 0u, action,
            rwbs(event->op, fua));
    if (event->sectors)
        fprintf(text->out, "%" PRIu64 " + %u ", event->address, event->sectors);
    if (action == 'C')
        fprintf(text->out, "[%d]\n", event->status);
    else
        fprintf(text->out, "[%s]\n", name);
}

static void print_asked(struct text *text, bool fua)
{
    struct trace_event *asked = &text->asked;
    if (!asked->kind)
        return;
    line(text, asked, 'Q', fua);
    line(text, asked, 'D', fua);
    asked->kind = 0;
    if (text->pending_count == PENDING_MAX)
        return; /* no run has so many: a journal that lies */
    text->pending[text->pending_count].drive = asked->drive;
    text->pending[text->pending_count].tag = asked->tag;
    text->pending[text->pending_count++].fua = fua;
}

static bool take_pending(struct text *text, const struct trace_event *event)
{
    for (unsigned n = 0; n < text->pending_count; n++) {
        if (text->pending[n].drive != event->drive || text->pending[n].tag != event->tag)
            continue;
        bool fua = text->pending[n].fua;
        text->pending[n] = text->pending[--text->pending_count];
        return fua;
    }
    return false;
}

static bool take_event(void *opaque, const struct journal_event *event)
{
    struct text *text = opaque;
    const struct trace_event *trace = &event->trace;
    bool origin = event->type == JOURNAL_EVENT_TRACE && trace->kind == TRACE_BLOCK_ORIGIN;
    print_asked(text, origin && (trace->flags & TRACE_ORIGIN_FUA));
    if (event->type != JOURNAL_EVENT_TRACE || (text->drive != UINT32_MAX && trace->drive != text->drive))
        return true;
    if (trace->kind == TRACE_BLOCK_REQUEST)
        text->asked = *trace;
    else if (trace->kind == TRACE_BLOCK_COMPLETION)
        line(text, trace, 'C', take_pending(text, trace));
    return !ferror(text->out);
}

enum status blktrace_text(struct journal_reader *reader, uint32_t drive, FILE *out, struct error *error)
{
    struct text text = {.out = out, .drive = drive};
    enum status status = journal_walk_config(reader, &text.config, error);
    if (!status)
        status = journal_walk(reader, 0, UINT64_MAX, take_event, &text, error);
    print_asked(&text, false);
    journal_config_free(&text.config);
    return status;
}
