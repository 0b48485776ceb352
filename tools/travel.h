/* Going about in a replay, for people: what monitors, gdb's `monitor` and QMP ask of the timeline (replay/timeline.h). Machine
 * thread, machine not running. */
#ifndef VMRR_TOOLS_TRAVEL_H
#define VMRR_TOOLS_TRAVEL_H

#include "core/debug.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct session;

#define TRAVEL_BOOKMARKS 64u
#define TRAVEL_NAME_BYTES 32u

struct travel_bookmark {
    char name[TRAVEL_NAME_BYTES];
    struct position position;
    uint64_t steps; /* that the accelerator has executed: where exits are counted, many instants have one position */
};
struct travel {
    struct travel_bookmark bookmark[TRAVEL_BOOKMARKS];
    unsigned bookmarks;
};

/* Text like "icount 12, virtual time 0.000000012 s, 34.56 %" with a line feed; where exits are counted "exit 12, step 345, ...". */
void travel_print_when(struct session *session, FILE *out);
/* What "P", "P%", "start", "end", "event N", "time S", "exit N" or a bookmark means. */
enum status travel_parse(struct session *session, const char *words, struct position *position, struct error *error);
/* Stops the machine and goes there. At the end of the run: there. */
enum status travel_go(struct session *session, struct position position, struct error *error);
/* To a bookmark's very instant, or as travel_parse and travel_go. */
enum status travel_goto(struct session *session, const char *words, struct error *error);
/* To before the step that makes the access of this position. */
enum status travel_go_before(struct session *session, struct position position, struct error *error);
/* Back to before the store, by the CPU or DMA, that changed these bytes last. STATUS_NOT_FOUND: there was none, and the machine stands
 * at the beginning. */
enum status travel_last_store(struct session *session, uint64_t gpa, uint64_t size_bytes, struct debug_hit *hit,
                              struct error *error);
enum status travel_set_bookmark(struct session *session, const char *name, struct error *error);

#endif
