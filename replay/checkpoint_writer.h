/* Checkpoints on their way into the journal (FORMAT.md, "Checkpoints"): the machine that is being recorded, at checkpoint events.
 * Thread: machine thread. */
#ifndef VMRR_REPLAY_CHECKPOINT_WRITER_H
#define VMRR_REPLAY_CHECKPOINT_WRITER_H

#include "core/machine.h"
#include "core/page_store.h"
#include "replay/checkpoint.h"
#include "replay/journal_writer.h"

struct checkpoint_writer;

struct checkpoint_writer_options {
    struct journal_writer *writer; /* borrowed */
    uint64_t every;                /* position's icount from one to the next, at least */
    uint64_t memory_bytes;         /* that it may take: pages of the last one; 0: by the guest's RAM */
};

struct checkpoint_writer *checkpoint_writer_create(const struct checkpoint_writer_options *options);
/* After the machine, whose memory and images hold pages of its store. */
void checkpoint_writer_destroy(struct checkpoint_writer *writer); /* null allowed */
/* Is one due at this position? Then the events up to here go to the file first, whose last is the checkpoint event of here. */
bool checkpoint_writer_due(const struct checkpoint_writer *writer, struct position position);
/* Writes one, of a machine at its checkpoint event. word: of the user (checkpoint.h). A machine that can't be saved here is passed
 * over: the next event will do. The status of the journal. */
enum status checkpoint_writer_lay(struct checkpoint_writer *writer, struct machine *machine,
                                  const uint64_t word[CHECKPOINT_WORDS]) MUST_CHECK;
/* They have ended before the recording has: they take more memory than they may, or the journal can't be written. Any thread. */
bool checkpoint_writer_over(const struct checkpoint_writer *writer);

/* An overlay that holds what was written to an image of this size, to be saved in the image's place; null: no memory. */
struct block_image *checkpoint_shadow_create(uint64_t size_sectors);
/* The most memory that the pages of one may take: what a recorder keeps to, and a reader believes. */
uint64_t checkpoint_memory_default(const struct machine *machine);

#endif
