/* What the block layer did for each request, on its way into the journal (FORMAT.md, "Steps frame"). Thread: whoever owns
 * the recorder's encoder. */
#ifndef VMRR_REPLAY_STEPS_STORE_H
#define VMRR_REPLAY_STEPS_STORE_H

#include "block/block.h"
#include "replay/journal_writer.h"

struct steps_store;

/* Host stacks by number, as names of their frames, innermost first. Returns how many, at most max; texts are borrowed until
 * the next call. */
struct steps_stacks {
    size_t (*frames)(void *opaque, uint32_t stack, const char **text, size_t max); /* null: there are none */
    void *opaque;
};

struct steps_store *steps_store_create(struct journal_writer *writer, struct steps_stacks stacks);
void steps_store_destroy(struct steps_store *store); /* null allowed */
/* The log of one request. Before the event of its completion is handed to the encoder. */
enum status steps_store_note(struct steps_store *store, uint32_t drive, uint32_t tag,
                             const struct block_activity *activity) MUST_CHECK;
/* Writes what was noted so far. */
enum status steps_store_flush(struct steps_store *store) MUST_CHECK;

#endif
