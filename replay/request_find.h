/* Looking a journal through, from a position on: which request wrote a sector last before it or first after it, and what
 * happened around it. A request's position is that of the instruction that handed it to the drive. Thread: the owner's of the
 * reader. */
#ifndef VMRR_REPLAY_REQUEST_FIND_H
#define VMRR_REPLAY_REQUEST_FIND_H

#include "replay/journal_event.h"
#include "replay/journal_reader.h"

#define REQUEST_FIND_ANY_DRIVE UINT32_MAX

/* Writes are requests that change the sector, had nothing gone wrong: write, discard, write zeroes. Found is the
 * TRACE_BLOCK_REQUEST event; STATUS_NOT_FOUND: there is none; else why the journal can't be read. Whoever stands at the
 * instruction that made one, which is still to be executed, is given another one. Costs the unpacking of the frames between
 * the position and the request. */
enum status request_find_last_write(struct journal_reader *reader, uint32_t drive, uint64_t sector,
                                    uint64_t before_icount, struct trace_event *found, struct error *error) MUST_CHECK;
enum status request_find_next_write(struct journal_reader *reader, uint32_t drive, uint64_t sector,
                                    uint64_t after_icount, struct trace_event *found, struct error *error) MUST_CHECK;

/* How the request of that drive and tag ended: its TRACE_BLOCK_COMPLETION, from the request's position on. */
enum status request_find_completion(struct journal_reader *reader, const struct trace_event *request,
                                    struct trace_event *found, struct error *error) MUST_CHECK;

/* The last `before` events with a smaller icount, and the first `after` ones with this or a larger one, in order. Digests are
 * left out. At most EVENTS_AROUND_MAX each. */
#define EVENTS_AROUND_MAX 1000u
enum status events_around(struct journal_reader *reader, uint64_t icount, unsigned before, unsigned after,
                          void (*each)(void *opaque, const struct journal_event *event), void *opaque,
                          struct error *error) MUST_CHECK;

#endif
