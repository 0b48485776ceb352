/* Going through the events of a journal, for info, dump and diff. */
#ifndef VMRR_TOOLS_JOURNAL_WALK_H
#define VMRR_TOOLS_JOURNAL_WALK_H

#include "replay/journal_event.h"
#include "replay/journal_reader.h"
#include "replay/replay.h"

/* Calls each for every event whose icount lies in from .. to, in order. each returns false to stop. */
enum status journal_walk(struct journal_reader *reader, uint64_t from, uint64_t to,
                         bool (*each)(void *opaque, const struct journal_event *event), void *opaque,
                         struct error *error) MUST_CHECK;
/* The machine's configuration, without its blobs; to be freed. */
enum status journal_walk_config(struct journal_reader *reader, struct journal_config *config,
                                struct error *error) MUST_CHECK;
/* The same, with size and hash of each blob. config: to be freed, on failure too. */
struct journal_config_reader;
enum status journal_walk_config_reader(struct journal_reader *reader, struct journal_config_reader *parsed,
                                       struct error *error) MUST_CHECK;
/* The decoder knows the frame but not the file: puts its name before what is wrong. Returns status. */
enum status journal_walk_blame(struct journal_reader *reader, enum status status, struct error *error);

#endif
