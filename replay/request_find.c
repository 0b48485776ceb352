/* See request_find.h. Frames are looked at from the position on, forwards or backwards; each is unpacked whole, and what is
 * wanted of it is kept as its events go by. */
#include "replay/request_find.h"

#include <stdlib.h>

/* What is done with an event of a frame; false: the rest is of no interest. */
typedef bool look_fn(void *opaque, const struct journal_event *event);

struct scan {
    struct journal_reader *reader;
    struct journal_decoder *decoder;
    uint8_t *raw;
    look_fn *look;
    void *opaque;
};

static enum status scan_open(struct scan *scan, struct journal_reader *reader, look_fn *look, void *opaque,
                             struct error *error)
{
    *scan = (struct scan){.reader = reader,
                          .decoder = journal_decoder_create(),
                          .raw = malloc(JOURNAL_FRAME_RAW_MAX),
                          .look = look,
                          .opaque = opaque};
    return scan->decoder && scan->raw ? STATUS_OK : error_status(error, STATUS_NO_MEMORY, "out of memory");
}

static void scan_close(struct scan *scan)
{
    journal_decoder_destroy(scan->decoder);
    free(scan->raw);
}

static enum status scan_frame(struct scan *scan, size_t index, struct error *error)
{
    const struct journal_frame *frame = journal_reader_frame(scan->reader, index);
    struct journal_event event;
    enum status status = journal_reader_load(scan->reader, index, scan->raw, error);
    if (!status)
        status = journal_decoder_start(scan->decoder, scan->raw, frame->raw_bytes, frame, error);
    while (!status) {
        status = journal_decoder_next(scan->decoder, &event, error);
        if (!status && !scan->look(scan->opaque, &event))
            break;
    }
    return status == STATUS_END ? STATUS_OK : status;
}

static bool is_events(const struct journal_frame *frame)
{
    return frame->kind == JOURNAL_FRAME_EVENTS;
}

/* From frame `index` on while *more; the frame that has both sides of the position is the first either way. */
static enum status scan_forwards(struct scan *scan, size_t index, const bool *more, struct error *error)
{
    enum status status = STATUS_OK;
    for (; !status && *more && index < journal_reader_count(scan->reader); index++) {
        if (is_events(journal_reader_frame(scan->reader, index)))
            status = scan_frame(scan, index, error);
    }
    return status;
}

static enum status scan_backwards(struct scan *scan, size_t end, const bool *more, struct error *error)
{
    enum status status = STATUS_OK;
    while (!status && *more && end-- > 0) {
        if (is_events(journal_reader_frame(scan->reader, end)))
            status = scan_frame(scan, end, error);
    }
    return status;
}

/* The first frame whose last position is not before icount; frames are in order of their positions. */
static size_t frame_at(const struct journal_reader *reader, uint64_t icount)
{
    size_t low = 0, high = journal_reader_count(reader);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal_reader_frame(reader, middle)->last.icount < icount)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* As above for what lies before icount: all later frames begin at it or behind it. */
static size_t frames_before(const struct journal_reader *reader, uint64_t icount)
{
    size_t count = frame_at(reader, icount);
    while (count < journal_reader_count(reader) && journal_reader_frame(reader, count)->first.icount < icount)
        count++;
    return count;
}

/* ---- writes ---- */

struct write_search {
    uint64_t sector, icount;
    uint32_t drive;
    bool wanted; /* not found yet */
    struct trace_event found;
};

static bool writes_sector(const struct write_search *search, const struct journal_event *event)
{
    const struct trace_event *trace = &event->trace;
    return event->type == JOURNAL_EVENT_TRACE && trace->kind == TRACE_BLOCK_REQUEST &&
           (trace->op == TRACE_BLOCK_WRITE || trace->op == TRACE_BLOCK_DISCARD ||
            trace->op == TRACE_BLOCK_WRITE_ZEROES) &&
           (search->drive == REQUEST_FIND_ANY_DRIVE || search->drive == trace->drive) &&
           search->sector >= trace->address && search->sector - trace->address < trace->sectors;
}

static bool look_for_last(void *opaque, const struct journal_event *event)
{
    struct write_search *search = opaque;
    if (event->trace.position.icount >= search->icount)
        return false;
    if (writes_sector(search, event)) {
        search->found = event->trace;
        search->wanted = false;
    }
    return true;
}

static bool look_for_next(void *opaque, const struct journal_event *event)
{
    struct write_search *search = opaque;
    if (event->trace.position.icount > search->icount && writes_sector(search, event)) {
        search->found = event->trace;
        search->wanted = false;
    }
    return search->wanted;
}

static enum status search_result(struct scan *scan, const struct write_search *search, enum status status,
                                 struct trace_event *found)
{
    scan_close(scan);
    if (!status && search->wanted)
        return STATUS_NOT_FOUND;
    *found = search->found;
    return status;
}

enum status request_find_last_write(struct journal_reader *reader, uint32_t drive, uint64_t sector,
                                    uint64_t before_icount, struct trace_event *found, struct error *error)
{
    struct scan scan;
    struct write_search search = {.sector = sector, .icount = before_icount, .drive = drive, .wanted = true};
    enum status status = scan_open(&scan, reader, look_for_last, &search, error);
    if (!status)
        status = scan_backwards(&scan, frames_before(reader, before_icount), &search.wanted, error);
    return search_result(&scan, &search, status, found);
}

enum status request_find_next_write(struct journal_reader *reader, uint32_t drive, uint64_t sector,
                                    uint64_t after_icount, struct trace_event *found, struct error *error)
{
    struct scan scan;
    struct write_search search = {.sector = sector, .icount = after_icount, .drive = drive, .wanted = true};
    enum status status = scan_open(&scan, reader, look_for_next, &search, error);
    if (!status)
        status = scan_forwards(&scan, frame_at(reader, after_icount), &search.wanted, error);
    return search_result(&scan, &search, status, found);
}

/* ---- completions ---- */

struct completion_search {
    const struct trace_event *request;
    bool wanted;
    struct trace_event found;
};

static bool look_for_completion(void *opaque, const struct journal_event *event)
{
    struct completion_search *search = opaque;
    const struct trace_event *trace = &event->trace;
    if (event->type == JOURNAL_EVENT_TRACE && trace->kind == TRACE_BLOCK_COMPLETION &&
        trace->drive == search->request->drive && trace->tag == search->request->tag &&
        position_reached(trace->position, search->request->position)) {
        search->found = *trace;
        search->wanted = false;
    }
    return search->wanted;
}

enum status request_find_completion(struct journal_reader *reader, const struct trace_event *request,
                                    struct trace_event *found, struct error *error)
{
    struct scan scan;
    struct completion_search search = {.request = request, .wanted = true};
    enum status status = scan_open(&scan, reader, look_for_completion, &search, error);
    if (!status)
        status = scan_forwards(&scan, frame_at(reader, request->position.icount), &search.wanted, error);
    scan_close(&scan);
    if (!status && search.wanted)
        return STATUS_NOT_FOUND;
    *found = search.found;
    return status;
}

/* ---- events around a position ---- */

/* Before: a ring of the last ones of a frame, put in front of what later frames gave. */
struct around {
    uint64_t icount;
    struct journal_event *before; /* the last before_count of before_max places are filled */
    size_t before_max, before_count;
    struct journal_event *ring;
    size_t ring_count; /* of this frame, all told */
    size_t after_left;
    bool wanted;
    void (*each)(void *opaque, const struct journal_event *event);
    void *opaque;
};

static bool is_digest(const struct journal_event *event)
{
    return event->type == JOURNAL_EVENT_TRACE && event->trace.kind == TRACE_DIGEST;
}

static bool look_before(void *opaque, const struct journal_event *event)
{
    struct around *around = opaque;
    if (event->trace.position.icount >= around->icount)
        return false;
    if (!is_digest(event))
        around->ring[around->ring_count++ % around->before_max] = *event;
    return true;
}

static void take_ring(struct around *around)
{
    size_t room = around->before_max - around->before_count;
    size_t there = around->ring_count < around->before_max ? around->ring_count : around->before_max;
    for (size_t n = 0; n < there && n < room; n++) {
        around->ring_count--;
        around->before_count++;
        around->before[around->before_max - around->before_count] =
            around->ring[around->ring_count % around->before_max];
    }
    around->ring_count = 0;
}

static enum status gather_before(struct around *around, struct journal_reader *reader, struct error *error)
{
    struct scan scan;
    size_t end = frames_before(reader, around->icount);
    enum status status = scan_open(&scan, reader, look_before, around, error);
    while (!status && around->before_count < around->before_max && end-- > 0) {
        if (!is_events(journal_reader_frame(reader, end)))
            continue;
        status = scan_frame(&scan, end, error);
        take_ring(around);
    }
    scan_close(&scan);
    return status;
}

static bool look_after(void *opaque, const struct journal_event *event)
{
    struct around *around = opaque;
    if (event->trace.position.icount < around->icount || is_digest(event))
        return true;
    around->each(around->opaque, event);
    around->wanted = --around->after_left > 0;
    return around->wanted;
}

static enum status give_after(struct around *around, struct journal_reader *reader, struct error *error)
{
    struct scan scan;
    enum status status = scan_open(&scan, reader, look_after, around, error);
    around->wanted = around->after_left > 0;
    if (!status)
        status = scan_forwards(&scan, frame_at(reader, around->icount), &around->wanted, error);
    scan_close(&scan);
    return status;
}

enum status events_around(struct journal_reader *reader, uint64_t icount, unsigned before, unsigned after,
                          void (*each)(void *opaque, const struct journal_event *event), void *opaque,
                          struct error *error)
{
    struct around around = {.icount = icount,
                            .before_max = before < EVENTS_AROUND_MAX ? before : EVENTS_AROUND_MAX,
                            .after_left = after < EVENTS_AROUND_MAX ? after : EVENTS_AROUND_MAX,
                            .each = each,
                            .opaque = opaque};
    enum status status = STATUS_OK;
    around.before = calloc(around.before_max + 1, sizeof *around.before);
    around.ring = calloc(around.before_max + 1, sizeof *around.ring);
    CHECK(around.before && around.ring);
    if (around.before_max)
        status = gather_before(&around, reader, error);
    for (size_t n = around.before_max - around.before_count; !status && n < around.before_max; n++)
        each(opaque, &around.before[n]);
    if (!status)
        status = give_after(&around, reader, error);
    free(around.before);
    free(around.ring);
    return status;
}
