/* Reading a journal file frame by frame. Nothing in the file is believed: sizes are bounded before memory is taken, and a
 * frame's content is given out only when both its checksums are right. Thread: the owner's. */
#ifndef VMRR_REPLAY_JOURNAL_READER_H
#define VMRR_REPLAY_JOURNAL_READER_H

#include "replay/journal_format.h"

struct journal_reader;

/* Opens the file and lists its frames: by the index if the end mark leads to a right one, else by going from header to
 * header. A file that is torn is open; one without a good file header is not. */
struct journal_reader *journal_reader_open(const char *path, struct error *error);
/* The same without a look at the index. */
struct journal_reader *journal_reader_open_scanning(const char *path, struct error *error);
/* Too short for a file header, and someone is recording to it. */
bool journal_being_made(const char *path);
void journal_reader_destroy(struct journal_reader *reader);
/* Lists the frames that were written since; returns how many. */
size_t journal_reader_refresh(struct journal_reader *reader);

const char *journal_reader_path(const struct journal_reader *reader);
uint16_t journal_reader_minor(const struct journal_reader *reader);
uint64_t journal_reader_size(const struct journal_reader *reader);
size_t journal_reader_count(const struct journal_reader *reader);
const struct journal_frame *journal_reader_frame(const struct journal_reader *reader, size_t index);
bool journal_reader_indexed(const struct journal_reader *reader); /* the index was there and right */

struct journal_end {
    uint64_t index_offset, total_events;
    uint32_t stop;
};
/* False when the file has no end mark: torn, or still being recorded. */
bool journal_reader_end(const struct journal_reader *reader, struct journal_end *end);
/* Null when the file is whole; else why it is not, with the offset. */
const char *journal_reader_torn(const struct journal_reader *reader);
/* Another process is recording to the file at this moment. */
bool journal_reader_writer_lives(const struct journal_reader *reader);

/* The checksum that the frame's header ends with, out of the file: the index has it not. */
enum status journal_reader_checksum(struct journal_reader *reader, size_t index, uint64_t *sum) MUST_CHECK;
/* Content of a frame, checked and unpacked, into out (at least JOURNAL_FRAME_RAW_MAX bytes). */
enum status journal_reader_load(struct journal_reader *reader, size_t index, uint8_t *out,
                                struct error *error) MUST_CHECK;

#endif
