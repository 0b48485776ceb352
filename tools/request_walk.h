/* The requests of a journal's guest, one by one: what the guest asked for and from where, what the block layer of the
 * recording did for it, and how it ended. For writes and blktrace. */
#ifndef VMRR_TOOLS_REQUEST_WALK_H
#define VMRR_TOOLS_REQUEST_WALK_H

#include "block/block.h"
#include "replay/journal_reader.h"
#include "replay/replay.h"

/* A step with its texts; stack: innermost frame first. */
struct guest_step {
    struct block_step step; /* stack: 0 */
    char *file;             /* path; empty: not known */
    char **stack;
    size_t depth;
};

struct guest_request {
    uint32_t drive, tag, op, sectors;
    uint64_t sector, hash;
    struct position submit, end;
    bool has_origin, completed;
    int32_t status; /* completed */
    struct trace_event origin;
    struct block_segment *segment;
    size_t segment_count, segment_capacity;
    struct guest_step *step;
    size_t step_count, step_capacity;
    uint64_t steps_lost;
    bool has_steps; /* the journal says what the block layer did, if only that it did nothing */
    uint64_t fault; /* what went wrong with it on purpose (block/policy.h), where that can be told; else 0 */
    /* The walk's own. */
    bool submitted, fault_asked;
    struct guest_request *next, *next_in_bucket;
};

/* Calls each for every request, in order of submission, when it is over or the journal is; false stops the walk. config:
 * borrowed, to be read before the first call of each. */
struct request_walk {
    struct journal_config config;
    bool (*each)(void *opaque, const struct request_walk *walk, const struct guest_request *request);
    void *opaque;
};
enum status request_walk(struct request_walk *walk, struct journal_reader *reader, struct error *error) MUST_CHECK;

#endif
