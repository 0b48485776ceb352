/* Writing a journal file: header, frames, index, end mark. Frames are whole or not there: one write() each, cut away
 * again when the disk refuses it. Thread: any; a lock orders the frames. */
#ifndef VMRR_REPLAY_JOURNAL_WRITER_H
#define VMRR_REPLAY_JOURNAL_WRITER_H

#include "replay/journal_format.h"

struct journal_writer;

struct journal_writer_options {
    const char *path;
    int zstd_level; /* 0: 3 */
};

/* Opens path with O_TRUNC, takes the advisory lock that says "being recorded", and writes the file header. */
struct journal_writer *journal_writer_create(const struct journal_writer_options *options, struct error *error);

/* What a frame says of itself besides its content. */
struct journal_frame_info {
    enum journal_frame_kind kind;
    uint8_t flags;
    struct position first, last;
    uint32_t events, delivers;
};

/* raw_bytes at most JOURNAL_FRAME_RAW_MAX. After a failed write nothing is written any more and the same status comes
 * back. STATUS_NO_SPACE comes while there is still a reserve for the frames in memory: they may yet be written. */
enum status journal_writer_frame(struct journal_writer *writer, const struct journal_frame_info *info, const void *raw,
                                 size_t raw_bytes) MUST_CHECK;
/* STATUS_OK, or the first failure. */
enum status journal_writer_status(struct journal_writer *writer);
/* Position up to which the frames written so far go; for the frames that have none of their own. */
struct position journal_writer_last(struct journal_writer *writer);
/* Index and end mark (stop: enum machine_stop). Also after STATUS_NO_SPACE, as far as the reserve goes. */
enum status journal_writer_finish(struct journal_writer *writer, uint32_t stop, struct error *error) MUST_CHECK;
void journal_writer_destroy(struct journal_writer *writer);

#endif
