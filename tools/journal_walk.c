/* Events of a journal, frame by frame. */
#include "tools/journal_walk.h"

#include "replay/journal_config.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct journal_decoder *decoder;
    uint8_t *raw;
    uint64_t from, to;
    bool (*each)(void *opaque, const struct journal_event *event);
    void *opaque;
    bool stopped;
};

enum status journal_walk_blame(struct journal_reader *reader, enum status status, struct error *error)
{
    struct error what = *error;
    const char *path = journal_reader_path(reader);
    if (strncmp(what.text, path, strlen(path)) == 0)
        return status;
    error_clear(error);
    return error_status(error, status, "%s: %s", path, what.text[0] ? what.text : status_name(status));
}

static enum status walk_frame(struct walk *walk, struct journal_reader *reader, size_t index, struct error *error)
{
    const struct journal_frame *frame = journal_reader_frame(reader, index);
    struct journal_event event;
    enum status status = journal_reader_load(reader, index, walk->raw, error);
    if (!status)
        status = journal_decoder_start(walk->decoder, walk->raw, frame->raw_bytes, frame, error);
    while (!status && !walk->stopped && (status = journal_decoder_next(walk->decoder, &event, error)) == STATUS_OK) {
        uint64_t icount = event.trace.position.icount;
        if (icount > walk->to)
            walk->stopped = true;
        else if (icount >= walk->from)
            walk->stopped = !walk->each(walk->opaque, &event);
    }
    if (status == STATUS_END)
        return STATUS_OK;
    return status ? journal_walk_blame(reader, status, error) : status;
}

enum status journal_walk(struct journal_reader *reader, uint64_t from, uint64_t to,
                         bool (*each)(void *opaque, const struct journal_event *event), void *opaque,
                         struct error *error)
{
    struct walk walk = {.decoder = journal_decoder_create(),
                        .raw = malloc(JOURNAL_FRAME_RAW_MAX),
                        .from = from,
                        .to = to,
                        .each = each,
                        .opaque = opaque};
    enum status status = walk.decoder && walk.raw ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; !status && !walk.stopped && i < journal_reader_count(reader); i++) {
        const struct journal_frame *frame = journal_reader_frame(reader, i);
        if (frame->kind == JOURNAL_FRAME_EVENTS && frame->last.icount >= from)
            status = walk_frame(&walk, reader, i, error);
    }
    journal_decoder_destroy(walk.decoder);
    free(walk.raw);
    return status;
}

enum status journal_walk_config_reader(struct journal_reader *reader, struct journal_config_reader *parsed,
                                       struct error *error)
{
    const char *path = journal_reader_path(reader);
    *parsed = (struct journal_config_reader){0};
    if (!journal_reader_count(reader))
        return error_status(error, STATUS_TORN, "%s: no whole frame: %s", path, journal_reader_torn(reader));
    const struct journal_frame *frame = journal_reader_frame(reader, 0);
    if (frame->kind != JOURNAL_FRAME_CONFIG)
        return error_status(error, STATUS_CORRUPT, "%s: frame 0 at offset %llu: expected a configuration", path,
                            (unsigned long long)frame->offset);
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status = raw ? journal_reader_load(reader, 0, raw, error) : STATUS_NO_MEMORY;
    if (!status)
        status = journal_config_parse(parsed, raw, frame->raw_bytes, path, frame->offset, error);
    free(raw);
    return status;
}

enum status journal_walk_config(struct journal_reader *reader, struct journal_config *config, struct error *error)
{
    struct journal_config_reader *parsed = calloc(1, sizeof *parsed);
    CHECK(parsed);
    enum status status = journal_walk_config_reader(reader, parsed, error);
    if (status)
        journal_config_free(&parsed->config);
    else
        *config = parsed->config;
    free(parsed);
    return status;
}
