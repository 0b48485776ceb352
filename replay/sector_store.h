/* First contents of sectors on their way into the journal: which sectors are known already, and what content was stored
 * before. Any thread. */
#ifndef VMRR_REPLAY_SECTOR_STORE_H
#define VMRR_REPLAY_SECTOR_STORE_H

#include "replay/journal_writer.h"

struct sector_store;

struct sector_store *sector_store_create(struct journal_writer *writer);
void sector_store_destroy(struct sector_store *store);
/* Media have numbers: that of the drive for the one it starts with. One must be added before it is used. False: out of
 * memory. */
bool sector_store_add_medium(struct sector_store *store, uint32_t medium, uint64_t size_sectors);
/* It is, or was for a time, no larger: what lies behind is zeros until it is written. */
void sector_store_limit(struct sector_store *store, uint32_t medium, uint64_t size_sectors);
/* data was read from the medium: notes the content of the sectors not known so far. */
enum status sector_store_note_read(struct sector_store *store, uint32_t medium, uint64_t sector, uint32_t sectors,
                                   const uint8_t *data) MUST_CHECK;
/* What was there before is nobody's business any more. */
void sector_store_note_write(struct sector_store *store, uint32_t medium, uint64_t sector, uint32_t sectors);
/* Writes what was noted so far. */
/* What the sectors of a write or discard hold now that it failed. */
enum status sector_store_note_failed(struct sector_store *store, uint32_t drive, uint32_t tag, uint64_t sector,
                                     uint32_t sectors, const uint8_t *data) MUST_CHECK;
enum status sector_store_flush(struct sector_store *store) MUST_CHECK;

#endif
