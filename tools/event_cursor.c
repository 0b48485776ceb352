/* See event_cursor.h. */
#include "tools/event_cursor.h"

#include "tools/journal_walk.h"

#include <stdlib.h>

struct event_cursor {
    struct journal_reader *reader;
    struct journal_decoder *decoder;
    uint8_t *raw;
    uint32_t kinds;
    size_t next_frame;
    bool in_frame;
};

struct event_cursor *event_cursor_create(struct journal_reader *reader, uint32_t kinds)
{
    struct event_cursor *cursor = calloc(1, sizeof *cursor);
    CHECK(cursor);
    *cursor = (struct event_cursor){
        .reader = reader, .kinds = kinds, .decoder = journal_decoder_create(), .raw = malloc(JOURNAL_FRAME_RAW_MAX)};
    CHECK(cursor->decoder && cursor->raw);
    return cursor;
}

void event_cursor_destroy(struct event_cursor *cursor)
{
    if (!cursor)
        return;
    journal_decoder_destroy(cursor->decoder);
    free(cursor->raw);
    free(cursor);
}

/* STATUS_END: there are no more. */
static enum status enter_frame(struct event_cursor *cursor, struct error *error)
{
    while (cursor->next_frame < journal_reader_count(cursor->reader)) {
        size_t index = cursor->next_frame++;
        const struct journal_frame *frame = journal_reader_frame(cursor->reader, index);
        if (frame->kind != JOURNAL_FRAME_EVENTS)
            continue;
        enum status status = journal_reader_load(cursor->reader, index, cursor->raw, error);
        if (!status)
            status = journal_decoder_start(cursor->decoder, cursor->raw, frame->raw_bytes, frame, error);
        cursor->in_frame = !status;
        return status ? journal_walk_blame(cursor->reader, status, error) : STATUS_OK;
    }
    return STATUS_END;
}

static bool wanted(const struct event_cursor *cursor, const struct journal_event *event)
{
    return cursor->kinds >> (event->type == JOURNAL_EVENT_TRACE ? event->trace.kind : 0) & 1;
}

enum status event_cursor_next(struct event_cursor *cursor, struct journal_event *event, struct error *error)
{
    for (;;) {
        enum status status = cursor->in_frame ? STATUS_OK : enter_frame(cursor, error);
        if (status)
            return status;
        status = journal_decoder_next(cursor->decoder, event, error);
        if (status == STATUS_END)
            cursor->in_frame = false;
        else if (status)
            return journal_walk_blame(cursor->reader, status, error);
        else if (wanted(cursor, event))
            return STATUS_OK;
    }
}
