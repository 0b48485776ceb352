/* Checkpoints that a journal has (FORMAT.md, "Checkpoints"): listed, and read. Nothing in them is believed: a list has what its
 * frames' headers bear out, a checkpoint is one only when the machine that was restored by it has the digests of the journal's
 * checkpoint event. Thread: the owner's. */
#ifndef VMRR_REPLAY_CHECKPOINT_FRAMES_H
#define VMRR_REPLAY_CHECKPOINT_FRAMES_H

#include "replay/checkpoint.h"
#include "replay/journal_reader.h"

#define CHECKPOINT_GROUP_PAGES 64u         /* in a pages frame, at most */
#define CHECKPOINT_STREAM_MAX (1ull << 30) /* bytes of a checkpoint's state frames */

/* What a checkpoint frame says. */
struct checkpoint_head {
    struct position position; /* of the checkpoint event before it */
    uint64_t steps;           /* that the accelerator has executed */
    uint64_t state_bytes;     /* of the machine */
    uint64_t pages;           /* that they name */
    uint64_t stream_bytes;    /* of the state frames before it */
    uint64_t word[CHECKPOINT_WORDS];
};
void checkpoint_head_put(struct byte_sink *sink, const struct checkpoint_head *head);

struct checkpoint_entry {
    struct checkpoint_head head;
    size_t frame, first_frame; /* its own, and the first one in which its state may lie */
    uint64_t pages_before;     /* pages have numbers up to this one */
};

struct checkpoint_frames;

/* The reader is borrowed. Never null. What is not a checkpoint of this format, or of another program's, is not listed. */
struct checkpoint_frames *checkpoint_frames_create(struct journal_reader *reader);
void checkpoint_frames_destroy(struct checkpoint_frames *frames); /* null allowed */
size_t checkpoint_frames_count(const struct checkpoint_frames *frames);
const struct checkpoint_entry *checkpoint_frames_entry(const struct checkpoint_frames *frames,
                                                       size_t n); /* ascending */
/* Why the first one that is not listed is not; null: all are. */
const char *checkpoint_frames_fault(const struct checkpoint_frames *frames);
/* Are the frames of one right: are there as many bytes as it says, and only pages that there are? */
enum status checkpoint_frames_check(struct checkpoint_frames *frames, size_t n, struct error *error) MUST_CHECK;
/* One of this machine, with the digests of the journal's event, to be restored and freed. pages_max: of different ones. */
enum status checkpoint_frames_load(struct checkpoint_frames *frames, size_t n, struct machine *machine,
                                   struct page_store *store, uint64_t pages_max, struct checkpoint *checkpoint,
                                   struct error *error) MUST_CHECK;

#endif
