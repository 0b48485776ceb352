/* Reading checkpoints of a journal: see checkpoint_frames.h. */
#include "replay/checkpoint_frames.h"

#include "replay/journal_event.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD_VERSION 1u

struct pages_frame {
    size_t frame;
    uint64_t first; /* number of its first page */
    uint32_t count;
};

struct checkpoint_frames {
    struct journal_reader *reader;
    struct checkpoint_entry *entry;
    size_t count, capacity;
    struct pages_frame *pages;
    size_t pages_count, pages_capacity;
    uint8_t *raw; /* of a frame */
    struct error fault;
};

/* ---- the head ---- */

void checkpoint_head_put(struct byte_sink *sink, const struct checkpoint_head *head)
{
    const uint64_t field[] = {HEAD_VERSION, MACHINE_SNAPSHOT_VERSION, head->position.icount, head->position.vtime_ns,
                              head->steps,  head->state_bytes,        head->pages,           head->stream_bytes};
    for (size_t n = 0; n < sizeof field / sizeof field[0]; n++)
        byte_sink_put_varint(sink, field[n]);
    for (unsigned n = 0; n < CHECKPOINT_WORDS; n++)
        byte_sink_put_varint(sink, head->word[n]);
}

/* Null, or what is wrong. */
static const char *get_head(struct checkpoint_head *head, const uint8_t *raw, size_t raw_bytes)
{
    struct byte_source source = {.at = raw, .end = raw + raw_bytes};
    uint64_t version = byte_source_varint(&source), snapshot = byte_source_varint(&source);
    if (!source.failed && (version != HEAD_VERSION || snapshot != MACHINE_SNAPSHOT_VERSION))
        return "a checkpoint of another vmrr";
    head->position.icount = byte_source_varint(&source);
    head->position.vtime_ns = byte_source_varint(&source);
    head->steps = byte_source_varint(&source);
    head->state_bytes = byte_source_varint(&source);
    head->pages = byte_source_varint(&source);
    head->stream_bytes = byte_source_varint(&source);
    for (unsigned n = 0; n < CHECKPOINT_WORDS; n++)
        head->word[n] = byte_source_varint(&source);
    if (source.failed || source.at != source.end)
        return "not the fields of a checkpoint";
    if (head->stream_bytes > CHECKPOINT_STREAM_MAX || head->state_bytes > head->stream_bytes ||
        head->pages > head->stream_bytes - head->state_bytes)
        return "sizes that can't be";
    return head->steps < JOURNAL_POSITION_LIMIT ? NULL : "a position that can't be";
}

/* ---- listing ---- */

static void *grow(void *list, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return list;
    *capacity = *capacity ? 2 * *capacity : 64;
    list = realloc(list, *capacity * size);
    CHECK(list);
    return list;
}

static uint64_t pages_listed(const struct checkpoint_frames *frames)
{
    const struct pages_frame *last = frames->pages_count ? &frames->pages[frames->pages_count - 1] : NULL;
    return last ? last->first + last->count - 1 : 0;
}

static const char *list_pages(struct checkpoint_frames *frames, size_t index)
{
    uint32_t raw_bytes = journal_reader_frame(frames->reader, index)->raw_bytes, count = raw_bytes / PAGE_STORE_BYTES;
    uint64_t before = pages_listed(frames);
    if (!count || raw_bytes % PAGE_STORE_BYTES || before + count > UINT32_MAX)
        return "not a number of pages";
    frames->pages = grow(frames->pages, &frames->pages_capacity, frames->pages_count, sizeof *frames->pages);
    frames->pages[frames->pages_count++] = (struct pages_frame){index, before + 1, count};
    return NULL;
}

/* stream_bytes: of the state frames from first on. */
static const char *list_head(struct checkpoint_frames *frames, size_t index, size_t first, uint64_t stream_bytes)
{
    struct checkpoint_entry entry = {.frame = index, .first_frame = first, .pages_before = pages_listed(frames)};
    const struct journal_frame *frame = journal_reader_frame(frames->reader, index);
    const struct checkpoint_entry *before = frames->count ? &frames->entry[frames->count - 1] : NULL;
    if (journal_reader_load(frames->reader, index, frames->raw, NULL))
        return "its checksum is wrong";
    const char *fault = get_head(&entry.head, frames->raw, frame->raw_bytes);
    if (fault)
        return fault;
    if (entry.head.stream_bytes != stream_bytes)
        return "its state is not there, or more than that";
    if (!position_equal(entry.head.position, frame->last) ||
        (before &&
         (entry.head.steps <= before->head.steps || entry.head.position.icount < before->head.position.icount)))
        return "not the position of here";
    frames->entry = grow(frames->entry, &frames->capacity, frames->count, sizeof *frames->entry);
    frames->entry[frames->count++] = entry;
    return NULL;
}

static void blame(struct checkpoint_frames *frames, size_t index, const char *fault)
{
    const struct journal_frame *frame = journal_reader_frame(frames->reader, index);
    error_set(&frames->fault, "%s: frame %llu at offset %llu, %s: %s", journal_reader_path(frames->reader),
              (unsigned long long)frame->sequence, (unsigned long long)frame->offset,
              journal_frame_kind_name(frame->kind), fault);
}

static void list_all(struct checkpoint_frames *frames)
{
    size_t first = 0;
    uint64_t stream_bytes = 0;
    for (size_t n = 0; n < journal_reader_count(frames->reader); n++) {
        const struct journal_frame *frame = journal_reader_frame(frames->reader, n);
        const char *fault = NULL;
        if (frame->kind == JOURNAL_FRAME_PAGES)
            fault = list_pages(frames, n);
        if (frame->kind == JOURNAL_FRAME_STATE)
            stream_bytes += frame->raw_bytes;
        if (frame->kind == JOURNAL_FRAME_CHECKPOINT) {
            fault = list_head(frames, n, first, stream_bytes);
            first = n + 1;
            stream_bytes = 0;
        }
        if (fault)
            blame(frames, n, fault);
    }
}

struct checkpoint_frames *checkpoint_frames_create(struct journal_reader *reader)
{
    struct checkpoint_frames *frames = calloc(1, sizeof *frames);
    CHECK(frames);
    frames->reader = reader;
    frames->raw = malloc(JOURNAL_FRAME_RAW_MAX);
    CHECK(frames->raw);
    list_all(frames);
    return frames;
}

void checkpoint_frames_destroy(struct checkpoint_frames *frames)
{
    if (!frames)
        return;
    free(frames->entry);
    free(frames->pages);
    free(frames->raw);
    free(frames);
}

size_t checkpoint_frames_count(const struct checkpoint_frames *frames)
{
    return frames->count;
}

const struct checkpoint_entry *checkpoint_frames_entry(const struct checkpoint_frames *frames, size_t n)
{
    return &frames->entry[n];
}

const char *checkpoint_frames_fault(const struct checkpoint_frames *frames)
{
    return frames->fault.text[0] ? frames->fault.text : NULL;
}

/* ---- one of them, in memory ---- */

struct unpacked {
    const struct checkpoint_entry *entry;
    uint8_t *stream;
    uint32_t *number; /* of the pages that the state names; when they are loaded, the store's */
    uint32_t *page;   /* by number, held; 0: not needed */
    uint8_t *needed;  /* by number */
    uint64_t needed_count;
};

static void unpacked_free(struct unpacked *unpacked, struct page_store *store)
{
    for (uint64_t n = 1; unpacked->page && n <= unpacked->entry->pages_before; n++)
        page_store_drop(store, unpacked->page[n]);
    free(unpacked->stream);
    free(unpacked->number);
    free(unpacked->page);
    free(unpacked->needed);
}

static enum status wrong(const struct checkpoint_frames *frames, const struct checkpoint_entry *entry, const char *what,
                         struct error *error)
{
    return error_status(error, STATUS_CORRUPT, "%s: checkpoint at %llu: %s", journal_reader_path(frames->reader),
                        (unsigned long long)entry->head.position.icount, what);
}

static enum status load_stream(struct checkpoint_frames *frames, struct unpacked *unpacked, struct error *error)
{
    const struct checkpoint_entry *entry = unpacked->entry;
    uint64_t at = 0;
    unpacked->stream = malloc(entry->head.stream_bytes + 1);
    if (!unpacked->stream)
        return error_status(error, STATUS_NO_MEMORY, "a checkpoint: no memory");
    for (size_t n = entry->first_frame; n < entry->frame; n++) {
        const struct journal_frame *frame = journal_reader_frame(frames->reader, n);
        if (frame->kind != JOURNAL_FRAME_STATE)
            continue;
        CHECK(frame->raw_bytes <= entry->head.stream_bytes - at); /* the list has added them up */
        enum status status = journal_reader_load(frames->reader, n, frames->raw, error);
        if (status)
            return status;
        memcpy(unpacked->stream + at, frames->raw, frame->raw_bytes);
        at += frame->raw_bytes;
    }
    return STATUS_OK;
}

static enum status load_numbers(struct checkpoint_frames *frames, struct unpacked *unpacked, struct error *error)
{
    const struct checkpoint_entry *entry = unpacked->entry;
    struct byte_source source = {.at = unpacked->stream + entry->head.state_bytes,
                                 .end = unpacked->stream + entry->head.stream_bytes};
    uint64_t number = 0;
    unpacked->number = malloc((entry->head.pages + 1) * sizeof *unpacked->number);
    unpacked->needed = calloc(entry->pages_before + 1, 1);
    if (!unpacked->number || !unpacked->needed)
        return error_status(error, STATUS_NO_MEMORY, "a checkpoint: no memory");
    for (uint64_t n = 0; n < entry->head.pages; n++) {
        number += unzigzag(byte_source_varint(&source));
        if (source.failed || number > entry->pages_before)
            return wrong(frames, entry, "a page that is not there", error);
        unpacked->number[n] = (uint32_t)number;
        unpacked->needed_count += number && !unpacked->needed[number];
        unpacked->needed[number] = 1;
    }
    return source.at == source.end ? STATUS_OK : wrong(frames, entry, "more than its pages", error);
}

static enum status unpack(struct checkpoint_frames *frames, size_t n, struct unpacked *unpacked, struct error *error)
{
    *unpacked = (struct unpacked){.entry = &frames->entry[n]};
    enum status status = load_stream(frames, unpacked, error);
    return status ? status : load_numbers(frames, unpacked, error);
}

enum status checkpoint_frames_check(struct checkpoint_frames *frames, size_t n, struct error *error)
{
    struct unpacked unpacked;
    enum status status = unpack(frames, n, &unpacked, error);
    unpacked_free(&unpacked, NULL);
    return status;
}

/* ---- its pages ---- */

static bool any_needed(const struct unpacked *unpacked, const struct pages_frame *pages)
{
    return pages->first + pages->count - 1 <= unpacked->entry->pages_before &&
           memchr(unpacked->needed + pages->first, 1, pages->count);
}

static enum status load_pages(struct checkpoint_frames *frames, struct unpacked *unpacked, struct page_store *store,
                              struct error *error)
{
    unpacked->page = calloc(unpacked->entry->pages_before + 1, sizeof *unpacked->page);
    if (!unpacked->page)
        return error_status(error, STATUS_NO_MEMORY, "a checkpoint: no memory");
    for (size_t n = 0; n < frames->pages_count; n++) {
        const struct pages_frame *pages = &frames->pages[n];
        if (!any_needed(unpacked, pages))
            continue;
        enum status status = journal_reader_load(frames->reader, pages->frame, frames->raw, error);
        if (status)
            return status;
        for (uint32_t at = 0; at < pages->count; at++) {
            if (unpacked->needed[pages->first + at])
                unpacked->page[pages->first + at] = page_store_put(store, frames->raw + (size_t)at * PAGE_STORE_BYTES);
        }
    }
    for (uint64_t n = 0; n < unpacked->entry->head.pages; n++)
        unpacked->number[n] = unpacked->page[unpacked->number[n]];
    return STATUS_OK;
}

/* ---- the journal's own word ---- */

static bool is_checkpoint_at(const struct journal_event *event, struct position position)
{
    return event->type == JOURNAL_EVENT_TRACE && event->trace.kind == TRACE_CHECKPOINT &&
           position_equal(event->trace.position, position);
}

/* The last event before the checkpoint. */
static enum status last_event(struct checkpoint_frames *frames, const struct checkpoint_entry *entry,
                              struct journal_event *event, struct error *error)
{
    struct journal_decoder *decoder = journal_decoder_create();
    struct journal_event next;
    size_t n = entry->frame;
    while (n && journal_reader_frame(frames->reader, n)->kind != JOURNAL_FRAME_EVENTS)
        n--;
    const struct journal_frame frame = *journal_reader_frame(frames->reader, n);
    enum status status = decoder ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status && frame.kind != JOURNAL_FRAME_EVENTS)
        status = wrong(frames, entry, "there are no events before it", error);
    if (!status)
        status = journal_reader_load(frames->reader, n, frames->raw, error);
    if (!status)
        status = journal_decoder_start(decoder, frames->raw, frame.raw_bytes, &frame, error);
    while (!status && !(status = journal_decoder_next(decoder, &next, error)))
        *event = next;
    journal_decoder_destroy(decoder);
    return status == STATUS_END ? STATUS_OK : status;
}

static enum status get_digests(struct checkpoint_frames *frames, const struct checkpoint_entry *entry,
                               struct checkpoint *checkpoint, struct error *error)
{
    struct journal_event event = {.type = JOURNAL_EVENT_PULL};
    enum status status = last_event(frames, entry, &event, error);
    if (status)
        return status;
    if (!is_checkpoint_at(&event, entry->head.position))
        return wrong(frames, entry, "the event before it is no checkpoint's", error);
    checkpoint->digest = event.trace.address;
    checkpoint->memory = event.trace.value;
    checkpoint->has_memory = true;
    return STATUS_OK;
}

/* ---- the whole ---- */

static enum status get_snapshot(struct checkpoint_frames *frames, const struct unpacked *unpacked,
                                struct machine *machine, struct page_store *store, struct checkpoint *checkpoint,
                                struct error *error)
{
    const struct checkpoint_head *head = &unpacked->entry->head;
    struct content_reader reader = {.store = store,
                                    .at = unpacked->stream,
                                    .end = unpacked->stream + head->state_bytes,
                                    .page = unpacked->number,
                                    .page_end = unpacked->number + head->pages};
    checkpoint->snapshot = machine_snapshot_read(machine, &reader);
    if (!checkpoint->snapshot)
        return wrong(frames, unpacked->entry, "not of this machine", error);
    bool same = reader.at == reader.end && reader.page == reader.page_end &&
                position_equal(machine_snapshot_position(checkpoint->snapshot), head->position);
    if (same)
        return STATUS_OK;
    checkpoint_free(checkpoint);
    return wrong(frames, unpacked->entry, "not the state that it says", error);
}

enum status checkpoint_frames_load(struct checkpoint_frames *frames, size_t n, struct machine *machine,
                                   struct page_store *store, uint64_t pages_max, struct checkpoint *checkpoint,
                                   struct error *error)
{
    const struct checkpoint_entry *entry = &frames->entry[n];
    struct unpacked unpacked;
    *checkpoint = (struct checkpoint){
        .position = entry->head.position, .icount = entry->head.steps, .place = {.frame = entry->frame + 1}};
    memcpy(checkpoint->word, entry->head.word, sizeof checkpoint->word);
    enum status status = get_digests(frames, entry, checkpoint, error);
    if (status)
        return status;
    status = unpack(frames, n, &unpacked, error);
    if (!status && unpacked.needed_count > pages_max)
        status = wrong(frames, entry, "more pages than such a machine has", error);
    if (!status)
        status = load_pages(frames, &unpacked, store, error);
    if (!status)
        status = get_snapshot(frames, &unpacked, machine, store, checkpoint, error);
    unpacked_free(&unpacked, store);
    return status;
}
