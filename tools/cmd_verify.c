/* vmrr verify: every frame of a journal: both checksums, and that its content can be decoded. */
#include "replay/checkpoint_frames.h"
#include "replay/journal_config.h"
#include "replay/journal_steps.h"
#include "replay/sector_index.h"
#include "tools/help.h"
#include "tools/journal_walk.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct verify {
    struct journal_reader *reader;
    struct journal_config_reader config;
    struct sector_index *sectors;
    struct journal_decoder *decoder;
    uint8_t *raw;
    uint64_t events, bad_frames;
};

static enum status verify_events(struct verify *verify, const struct journal_frame *frame, struct error *error)
{
    struct journal_event event;
    enum status status = journal_decoder_start(verify->decoder, verify->raw, frame->raw_bytes, frame, error);
    while (!status && (status = journal_decoder_next(verify->decoder, &event, error)) == STATUS_OK)
        verify->events++;
    return status == STATUS_END ? STATUS_OK : journal_walk_blame(verify->reader, status, error);
}

static enum status verify_steps(const struct verify *verify, const struct journal_frame *frame, struct error *error)
{
    struct journal_steps steps;
    const char *fault = journal_steps_parse(&steps, verify->raw, frame->raw_bytes);
    journal_steps_free(&steps);
    return fault ? error_status(error, STATUS_CORRUPT, "%s: frame %" PRIu64 " at offset %" PRIu64 ": %s",
                                journal_reader_path(verify->reader), frame->sequence, frame->offset, fault)
                 : STATUS_OK;
}

static enum status verify_frame(struct verify *verify, size_t index, struct error *error)
{
    const struct journal_frame *frame = journal_reader_frame(verify->reader, index);
    const char *path = journal_reader_path(verify->reader);
    enum status status = journal_reader_load(verify->reader, index, verify->raw, error);
    if (status)
        return status;
    switch (frame->kind) {
    case JOURNAL_FRAME_CONFIG:
        if (index)
            return error_status(error, STATUS_CORRUPT, "%s: offset %" PRIu64 ": a second configuration", path,
                                frame->offset);
        return journal_config_parse(&verify->config, verify->raw, frame->raw_bytes, path, frame->offset, error);
    case JOURNAL_FRAME_BLOB:
        return journal_config_add_blob(&verify->config, verify->raw, frame->raw_bytes, path, frame->offset, error);
    case JOURNAL_FRAME_EVENTS: return verify_events(verify, frame, error);
    case JOURNAL_FRAME_SECTORS:
        return sector_index_add(verify->sectors, &verify->config.config, index, verify->raw, error);
    case JOURNAL_FRAME_STEPS: return verify_steps(verify, frame, error);
    default: return STATUS_OK;
    }
}

static void verify_frames(struct verify *verify)
{
    for (size_t i = 0; i < journal_reader_count(verify->reader); i++) {
        struct error error = {{0}};
        enum status status = verify_frame(verify, i, &error);
        if (!status)
            continue;
        verify->bad_frames++;
        tool_error("%s", error.text[0] ? error.text : status_name(status));
    }
}

static bool verify_blobs(struct verify *verify)
{
    struct error error = {{0}};
    if (!journal_config_complete(&verify->config))
        error_set(&error, "%s: firmware, kernel, initrd or module missing or not complete",
                  journal_reader_path(verify->reader));
    else if (journal_config_check_blobs(&verify->config, journal_reader_path(verify->reader), &error) == STATUS_OK)
        return true;
    tool_error("%s", error.text);
    return false;
}

/* That there are as many bytes as each says, and the pages that it names. */
static void verify_checkpoints(struct verify *verify)
{
    struct checkpoint_frames *frames = checkpoint_frames_create(verify->reader);
    struct error error = {{0}};
    if (checkpoint_frames_fault(frames)) {
        verify->bad_frames++;
        tool_error("%s", checkpoint_frames_fault(frames));
    }
    for (size_t n = 0; n < checkpoint_frames_count(frames); n++) {
        error_clear(&error);
        if (!checkpoint_frames_check(frames, n, &error))
            continue;
        verify->bad_frames++;
        tool_error("%s", error.text);
    }
    checkpoint_frames_destroy(frames);
}

/* The index and the count of events in the end mark, against what a scan found. */
static bool verify_end(struct verify *verify)
{
    const char *path = journal_reader_path(verify->reader);
    const char *torn = journal_reader_torn(verify->reader);
    struct journal_end end;
    struct error error = {{0}};
    if (torn) {
        tool_error("%s: torn: %s", path, torn);
        return false;
    }
    if (journal_reader_end(verify->reader, &end) && !verify->bad_frames && end.total_events != verify->events) {
        tool_error("%s: end mark: %" PRIu64 " events expected, found %" PRIu64, path, end.total_events, verify->events);
        return false;
    }
    struct journal_reader *indexed = journal_reader_open(path, &error);
    bool good = indexed && journal_reader_indexed(indexed) &&
                journal_reader_count(indexed) == journal_reader_count(verify->reader);
    for (size_t i = 0; good && i < journal_reader_count(indexed); i++)
        good = journal_reader_frame(indexed, i)->offset == journal_reader_frame(verify->reader, i)->offset;
    if (!good)
        tool_error("%s: the index does not list the frames that are there", path);
    journal_reader_destroy(indexed);
    return good;
}

static int verify_journal(struct verify *verify)
{
    verify_frames(verify);
    if (!verify->bad_frames)
        verify_checkpoints(verify);
    bool good = verify->bad_frames == 0;
    if (good)
        good = verify_blobs(verify);
    good = verify_end(verify) && good;
    printf("%s: %zu frames, %" PRIu64 " bytes, %" PRIu64 " events: %s\n", journal_reader_path(verify->reader),
           journal_reader_count(verify->reader), journal_reader_size(verify->reader), verify->events,
           good                 ? "whole"
           : verify->bad_frames ? "damaged"
                                : "torn or damaged");
    return good ? EXIT_CODE_OK : EXIT_CODE_USAGE;
}

int cmd_verify(int argc, char **argv)
{
    struct verify verify = {0};
    struct error error = {{0}};
    if (argc == 2 && !strcmp(argv[1], "--help")) {
        help_print("verify");
        return EXIT_CODE_OK;
    }
    if (argc != 2 || argv[1][0] == '-') {
        tool_error("verify: expected one journal; see vmrr verify --help");
        return EXIT_CODE_USAGE;
    }
    int code = EXIT_CODE_USAGE;
    verify.reader = journal_reader_open_scanning(argv[1], &error);
    if (verify.reader) {
        verify.sectors = sector_index_create(verify.reader);
        verify.decoder = journal_decoder_create();
        verify.raw = malloc(JOURNAL_FRAME_RAW_MAX);
    }
    if (!verify.reader || !verify.sectors || !verify.decoder || !verify.raw)
        tool_error("%s", error.text[0] ? error.text : "out of memory");
    else
        code = verify_journal(&verify);
    sector_index_destroy(verify.sectors);
    journal_decoder_destroy(verify.decoder);
    free(verify.raw);
    journal_config_free(&verify.config.config);
    journal_reader_destroy(verify.reader);
    return code;
}
