/* First contents of sectors as a journal has them: found again by drive and sector, unpacked when asked for. */
#ifndef VMRR_REPLAY_SECTOR_INDEX_H
#define VMRR_REPLAY_SECTOR_INDEX_H

#include "replay/journal_reader.h"
#include "replay/replay.h"

struct sector_index;

struct sector_index *sector_index_create(struct journal_reader *reader); /* borrowed */
void sector_index_destroy(struct sector_index *index);
/* Takes in a sectors frame, whose content is raw. */
enum status sector_index_add(struct sector_index *index, const struct journal_config *config, size_t frame,
                             const uint8_t *raw, struct error *error) MUST_CHECK;
/* How many of the next sectors, from 1 to max, are alike: known (*known) or not. */
uint32_t sector_index_run(const struct sector_index *index, uint32_t drive, uint64_t sector, uint32_t max, bool *known);
/* Reads sectors of which all are known. */
enum status sector_index_read(struct sector_index *index, uint32_t drive, uint64_t sector, uint32_t sectors,
                              uint8_t *out, struct error *error) MUST_CHECK;

/* Contents after a failed request: the next run of the drive's request tag, of those that lie in frames before `frame`;
 * false: there is none left. *cursor: 0 for the first. */
struct sector_failed {
    uint64_t sector, number;
    uint32_t drive, tag, count;
    size_t frame;
};
bool sector_index_next_failed(const struct sector_index *index, uint32_t drive, uint32_t tag, size_t frame,
                              size_t *cursor, struct sector_failed *failed);
enum status sector_index_read_failed(struct sector_index *index, const struct sector_failed *failed, uint8_t *out,
                                     struct error *error) MUST_CHECK;

/* Walks the entries of a sectors frame; used by the index and by verify. */
struct sector_entry {
    uint64_t sector, number;
    uint32_t drive, count; /* drive: or a medium that came later, JOURNAL_DRIVES and up */
    uint32_t tag;          /* failed */
    bool zero, failed;
};
struct sector_walk {
    struct byte_source source;
    uint64_t entries_left, next_new, new_end, next_number_after;
    size_t contents_offset;
    const char *fault;
};
/* next_number: contents stored in the frames before. */
void sector_walk_start(struct sector_walk *walk, const uint8_t *raw, size_t raw_bytes, uint64_t next_number);
bool sector_walk_next(struct sector_walk *walk, struct sector_entry *entry);

#endif
