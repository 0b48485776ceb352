/* See request_walk.h. Requests are kept by drive and tag from the first that is heard of them (a steps frame lies before the
 * events that it belongs to) until all before them are over. */
#include "tools/request_walk.h"

#include "replay/journal_event.h"
#include "replay/journal_steps.h"
#include "tools/journal_walk.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u
#define LOOK_MAX 4096u /* requests under way, as many as any sound journal has */

struct walk {
    struct request_walk *out;
    struct journal_reader *reader;
    struct journal_decoder *decoder;
    uint8_t *raw;
    struct guest_request *bucket[BUCKETS];
    struct guest_request *first, **last; /* submitted, in order */
    bool stopped;
};

/* ---- requests by name ---- */

static struct guest_request **bucket_of(struct walk *walk, uint32_t drive, uint32_t tag)
{
    return &walk->bucket[(drive * 977u + tag) % BUCKETS];
}

static struct guest_request *find(struct walk *walk, uint32_t drive, uint32_t tag)
{
    struct guest_request *request = *bucket_of(walk, drive, tag);
    while (request && (request->drive != drive || request->tag != tag))
        request = request->next_in_bucket;
    return request;
}

static struct guest_request *find_or_make(struct walk *walk, uint32_t drive, uint32_t tag)
{
    struct guest_request *request = find(walk, drive, tag);
    if (request)
        return request;
    request = calloc(1, sizeof *request);
    CHECK(request);
    request->drive = drive;
    request->tag = tag;
    request->next_in_bucket = *bucket_of(walk, drive, tag);
    *bucket_of(walk, drive, tag) = request;
    return request;
}

static void request_free(struct guest_request *request)
{
    for (size_t n = 0; n < request->step_count; n++) {
        struct guest_step *step = &request->step[n];
        for (size_t frame = 0; frame < step->depth; frame++)
            free(step->stack[frame]);
        free(step->stack);
        free(step->file);
    }
    free(request->step);
    free(request->segment);
    free(request);
}

static void forget(struct walk *walk, struct guest_request *request)
{
    struct guest_request **link = bucket_of(walk, request->drive, request->tag);
    while (*link != request)
        link = &(*link)->next_in_bucket;
    *link = request->next_in_bucket;
    request_free(request);
}

static void give_first(struct walk *walk)
{
    struct guest_request *request = walk->first;
    walk->first = request->next;
    if (!walk->first)
        walk->last = &walk->first;
    if (!walk->stopped)
        walk->stopped = !walk->out->each(walk->out->opaque, walk->out, request);
    forget(walk, request);
}

static void give_completed(struct walk *walk)
{
    while (walk->first && walk->first->completed)
        give_first(walk);
}

/* ---- events ---- */

/* The drive asks when it starts a request. Which one that is can be told where only one is left to be started. */
static void take_fault(struct walk *walk, uint64_t fault)
{
    struct guest_request *waiting = NULL;
    unsigned count = 0, looked = 0;
    for (struct guest_request *request = walk->first; request && looked < LOOK_MAX; request = request->next, looked++) {
        if (request->completed || request->fault_asked)
            continue;
        request->fault_asked = true;
        waiting = request;
        count++;
    }
    if (count == 1)
        waiting->fault = fault;
}

static void take_request(struct walk *walk, const struct trace_event *event)
{
    struct guest_request *request = find_or_make(walk, event->drive, event->tag);
    if (request->submitted)
        return;
    request->submitted = true;
    request->op = event->op;
    request->sector = event->address;
    request->sectors = event->sectors;
    request->hash = event->value;
    request->submit = event->position;
    *walk->last = request;
    walk->last = &request->next;
}

static void take_segment(struct guest_request *request, const struct trace_event *event)
{
    if (request->segment_count == request->segment_capacity) {
        request->segment_capacity = request->segment_capacity ? request->segment_capacity * 2 : 8;
        request->segment = realloc(request->segment, request->segment_capacity * sizeof *request->segment);
        CHECK(request->segment);
    }
    request->segment[request->segment_count++] = (struct block_segment){event->address, event->size_bytes};
}

static void take_completion(struct guest_request *request, const struct trace_event *event)
{
    request->completed = true;
    request->status = event->status;
    request->end = event->position;
    if (event->op == TRACE_BLOCK_READ)
        request->hash = event->value;
}

static void take_event(struct walk *walk, const struct trace_event *event)
{
    struct guest_request *request = NULL;
    if (event->kind != TRACE_BLOCK_SEGMENT) /* segments may follow the completion */
        give_completed(walk);
    if (event->kind == TRACE_BLOCK_REQUEST)
        take_request(walk, event);
    else if (event->kind == TRACE_BLOCK_ORIGIN || event->kind == TRACE_BLOCK_SEGMENT ||
             event->kind == TRACE_BLOCK_COMPLETION)
        request = find(walk, event->drive, event->tag);
    if (!request || !request->submitted)
        return;
    if (event->kind == TRACE_BLOCK_ORIGIN) {
        request->origin = *event;
        request->has_origin = true;
    } else if (event->kind == TRACE_BLOCK_SEGMENT) {
        take_segment(request, event);
    } else {
        take_completion(request, event);
    }
}

static enum status walk_events(struct walk *walk, const struct journal_frame *frame, struct error *error)
{
    struct journal_event event;
    enum status status = journal_decoder_start(walk->decoder, walk->raw, frame->raw_bytes, frame, error);
    while (!status && !walk->stopped && (status = journal_decoder_next(walk->decoder, &event, error)) == STATUS_OK) {
        if (event.type == JOURNAL_EVENT_TRACE)
            take_event(walk, &event.trace);
        else if (event.type == JOURNAL_EVENT_PULL && event.input.id == INPUT_BLOCK_FAULT)
            take_fault(walk, event.input.a);
    }
    return status == STATUS_END ? STATUS_OK : status ? journal_walk_blame(walk->reader, status, error) : STATUS_OK;
}

/* ---- steps ---- */

static char *copy_text(const struct journal_text *text)
{
    char *copy = malloc(text->size + 1);
    CHECK(copy);
    memcpy(copy, text->at, text->size);
    copy[text->size] = 0;
    return copy;
}

static void take_stack(struct guest_step *to, const struct journal_steps *steps, uint32_t number)
{
    if (!number)
        return;
    const struct journal_steps_stack *stack = &steps->stack[number - 1];
    to->stack = calloc(stack->depth + 1, sizeof *to->stack);
    CHECK(to->stack);
    for (to->depth = 0; to->depth < stack->depth; to->depth++)
        to->stack[to->depth] = copy_text(&steps->name[steps->frame[stack->first + to->depth]]);
}

static void take_step(struct guest_request *request, const struct journal_steps *steps, const struct journal_step *from)
{
    if (request->step_count == request->step_capacity) {
        request->step_capacity = request->step_capacity ? request->step_capacity * 2 : 4;
        request->step = realloc(request->step, request->step_capacity * sizeof *request->step);
        CHECK(request->step);
    }
    struct guest_step *to = &request->step[request->step_count++];
    *to = (struct guest_step){.file = copy_text(&steps->file[from->file].path)};
    to->step = (struct block_step){.kind = from->kind,
                                   .file = (uint8_t)steps->file[from->file].index,
                                   .status = (int16_t)from->status,
                                   .offset = from->offset,
                                   .size_bytes = from->size_bytes,
                                   .value = from->value};
    take_stack(to, steps, from->stack);
}

static enum status walk_steps(struct walk *walk, const struct journal_frame *frame, struct error *error)
{
    struct journal_steps steps;
    const char *fault = journal_steps_parse(&steps, walk->raw, frame->raw_bytes);
    for (size_t n = 0; !fault && n < steps.request_count; n++) {
        const struct journal_steps_request *from = &steps.request[n];
        struct guest_request *request = find_or_make(walk, from->drive, from->tag);
        request->has_steps = true;
        request->steps_lost += from->lost;
        for (size_t at = from->first; at < from->first + from->count; at++)
            take_step(request, &steps, &steps.step[at]);
    }
    journal_steps_free(&steps);
    return fault ? error_status(error, STATUS_CORRUPT, "%s: frame %llu at offset %llu: %s",
                                journal_reader_path(walk->reader), (unsigned long long)frame->sequence,
                                (unsigned long long)frame->offset, fault)
                 : STATUS_OK;
}

/* ---- the journal ---- */

static enum status walk_frame(struct walk *walk, size_t index, struct error *error)
{
    const struct journal_frame *frame = journal_reader_frame(walk->reader, index);
    if (frame->kind != JOURNAL_FRAME_EVENTS && frame->kind != JOURNAL_FRAME_STEPS)
        return STATUS_OK;
    enum status status = journal_reader_load(walk->reader, index, walk->raw, error);
    if (status)
        return status;
    return frame->kind == JOURNAL_FRAME_EVENTS ? walk_events(walk, frame, error) : walk_steps(walk, frame, error);
}

static void forget_all(struct walk *walk)
{
    for (unsigned n = 0; n < BUCKETS; n++) {
        while (walk->bucket[n]) {
            struct guest_request *request = walk->bucket[n];
            walk->bucket[n] = request->next_in_bucket;
            request_free(request);
        }
    }
}

enum status request_walk(struct request_walk *out, struct journal_reader *reader, struct error *error)
{
    struct walk *walk = calloc(1, sizeof *walk);
    CHECK(walk);
    walk->out = out;
    walk->reader = reader;
    walk->last = &walk->first;
    walk->decoder = journal_decoder_create();
    walk->raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status =
        walk->decoder && walk->raw ? journal_walk_config(reader, &out->config, error) : STATUS_NO_MEMORY;
    for (size_t n = 0; !status && !walk->stopped && n < journal_reader_count(reader); n++)
        status = walk_frame(walk, n, error);
    while (walk->first && !status)
        give_first(walk);
    forget_all(walk);
    journal_config_free(&out->config);
    journal_decoder_destroy(walk->decoder);
    free(walk->raw);
    free(walk);
    return status;
}
