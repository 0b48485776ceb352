/* A journal's events one by one, for who goes through several at a time. One frame of each is in memory. */
#ifndef VMRR_TOOLS_EVENT_CURSOR_H
#define VMRR_TOOLS_EVENT_CURSOR_H

#include "replay/journal_event.h"
#include "replay/journal_reader.h"

#define EVENT_CURSOR_INPUTS 1u /* among bits TRACE_*: inputs asked for and arriving */

struct event_cursor;

/* Events of these kinds only. reader: borrowed. Never null (CHECK). */
struct event_cursor *event_cursor_create(struct journal_reader *reader, uint32_t kinds);
void event_cursor_destroy(struct event_cursor *cursor); /* null allowed */
/* STATUS_OK, STATUS_END, or why the journal can't be read. */
enum status event_cursor_next(struct event_cursor *cursor, struct journal_event *event, struct error *error) MUST_CHECK;

#endif
