/* struct journal_config in the journal: one config frame and the blob frames that it names (FORMAT.md). */
#ifndef VMRR_REPLAY_JOURNAL_CONFIG_H
#define VMRR_REPLAY_JOURNAL_CONFIG_H

#include "replay/journal_format.h"
#include "replay/journal_writer.h"
#include "replay/replay.h"

#define JOURNAL_STRING_MAX (64u << 10)
#define JOURNAL_BLOB_MAX (512ull << 20)
#define JOURNAL_BLOBS_MAX (1ull << 30) /* all together */
#define JOURNAL_BLOB_CHUNK (1016u << 10)
#define JOURNAL_BLOB_COUNT (4u + JOURNAL_MODULES)

/* Config frame, then each blob once, whatever number of places it is used at. */
enum status journal_config_write(struct journal_writer *writer, const struct journal_config *config,
                                 struct error *error) MUST_CHECK;

/* Reading: parse the config frame, add the blob frames, see that nothing is missing. */
struct journal_config_blob {
    struct journal_hash hash;
    uint64_t size_bytes, have_bytes, capacity;
    struct journal_blob *target;
};
struct journal_config_reader {
    struct journal_config config; /* owned until the caller takes it away (memset) */
    struct journal_config_blob blob[JOURNAL_BLOB_COUNT];
    unsigned blob_count;
};
/* name: of the file, offset: of the frame, for messages. */
enum status journal_config_parse(struct journal_config_reader *reader, const uint8_t *raw, size_t raw_bytes,
                                 const char *name, uint64_t offset, struct error *error) MUST_CHECK;
enum status journal_config_add_blob(struct journal_config_reader *reader, const uint8_t *raw, size_t raw_bytes,
                                    const char *name, uint64_t offset, struct error *error) MUST_CHECK;
bool journal_config_complete(const struct journal_config_reader *reader);
enum status journal_config_check_blobs(const struct journal_config_reader *reader, const char *name,
                                       struct error *error) MUST_CHECK;

#endif
