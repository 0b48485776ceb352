/* vmrr blktrace: a drive's writes as a dm-log-writes log, or all its requests as lines of blkparse. The journal has only hashes
 * of what was written: for the log the run is replayed, which gives the data. */
#include "tools/blktrace_text.h"
#include "tools/help.h"
#include "tools/log_writes.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct blktrace {
    const char *path, *output;
    bool text, has_drive;
    uint64_t drive;
    struct session *session;
    struct log_writes *log;
    struct trace_event asked; /* waits for its origin; kind 0: nothing does */
    uint8_t *data;            /* of the write that is being submitted */
    size_t data_bytes, data_capacity;
};

/* Returns -1 to go on. */
static int parse_options(struct blktrace *blktrace, int argc, char **argv)
{
    static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"drive", required_argument, NULL, 'd'},
        {"text", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
        switch (option) {
        case 'o': blktrace->output = optarg; break;
        case 't': blktrace->text = true; break;
        case 'h': help_print("blktrace"); return EXIT_CODE_OK;
        case 'd':
            blktrace->has_drive = true;
            if (parse_u64(optarg, &blktrace->drive) == STATUS_OK && blktrace->drive < JOURNAL_DRIVES)
                break;
            tool_error("blktrace: --drive: %s: expected 0 .. %d", optarg, JOURNAL_DRIVES - 1);
            return EXIT_CODE_USAGE;
        default: return EXIT_CODE_USAGE;
        }
    }
    if (optind + 1 != argc || (!blktrace->output && !blktrace->text)) {
        tool_error("blktrace: expected one journal, and -o FILE or --text; see vmrr blktrace --help");
        return EXIT_CODE_USAGE;
    }
    blktrace->path = argv[optind];
    return -1;
}

/* ---- text ---- */

static enum status write_text(struct blktrace *blktrace, struct journal_reader *reader, struct error *error)
{
    FILE *out = blktrace->output ? fopen(blktrace->output, "we") : stdout;
    if (!out)
        return error_status(error, STATUS_IO, "%s: %s", blktrace->output, strerror(errno));
    enum status status =
        blktrace_text(reader, blktrace->has_drive ? (uint32_t)blktrace->drive : UINT32_MAX, out, error);
    bool failed = ferror(out) || fflush(out) != 0;
    if (out != stdout)
        failed |= fclose(out) != 0;
    if (!status && failed && out != stdout)
        status = error_status(error, STATUS_IO, "%s: can't write", blktrace->output);
    return status;
}

static int run_text(struct blktrace *blktrace)
{
    struct error error = {{0}};
    struct journal_reader *reader = journal_reader_open(blktrace->path, &error);
    enum status status = reader ? write_text(blktrace, reader, &error) : STATUS_CORRUPT;
    if (status)
        tool_error("%s", error.text[0] ? error.text : status_name(status));
    else if (journal_reader_torn(reader))
        tool_error("%s: torn: %s", blktrace->path, journal_reader_torn(reader));
    journal_reader_destroy(reader);
    return status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
}

/* ---- log: what the replay shows ---- */

static void submit_asked(struct blktrace *blktrace, bool fua)
{
    struct trace_event *asked = &blktrace->asked;
    if (!asked->kind)
        return;
    bool has_data =
        asked->op == TRACE_BLOCK_WRITE && blktrace->data_bytes == (size_t)asked->sectors * BLOCK_SECTOR_BYTES;
    log_writes_submit(blktrace->log, asked->tag, (enum trace_block_op)asked->op, asked->address, asked->sectors, fua,
                      has_data ? blktrace->data : NULL);
    asked->kind = 0;
    blktrace->data_bytes = 0;
}

/* What the sectors of a failed request hold is in the drive's overlay by now. */
static void take_failure(struct blktrace *blktrace, const struct trace_event *event)
{
    struct block_image *image = block_drive_image(blktrace->session->drive[blktrace->drive]);
    bool writes = event->op != TRACE_BLOCK_FLUSH && event->op != TRACE_BLOCK_READ;
    bool inside =
        image && event->address < image->size_sectors && event->sectors <= image->size_sectors - event->address;
    uint8_t *data = writes && inside && event->sectors ? malloc((size_t)event->sectors * BLOCK_SECTOR_BYTES) : NULL;
    if (data && image->ops->read(image, event->address, event->sectors, data) != STATUS_OK) {
        free(data);
        data = NULL;
    }
    log_writes_fail(blktrace->log, event->tag, data);
    free(data);
}

static void observe_event(void *opaque, const struct trace_event *event)
{
    struct blktrace *blktrace = opaque;
    if (!blktrace->log)
        return;
    submit_asked(blktrace, event->kind == TRACE_BLOCK_ORIGIN && (event->flags & TRACE_ORIGIN_FUA));
    if (event->drive != blktrace->drive)
        return;
    if (event->kind == TRACE_BLOCK_REQUEST)
        blktrace->asked = *event;
    else if (event->kind == TRACE_BLOCK_COMPLETION && event->status)
        take_failure(blktrace, event);
    else if (event->kind == TRACE_BLOCK_COMPLETION)
        log_writes_complete(blktrace->log, event->tag);
}

static void observe_data(void *opaque, uint32_t drive, uint64_t sector, const void *data, size_t size_bytes)
{
    struct blktrace *blktrace = opaque;
    (void)sector;
    if (drive != blktrace->drive)
        return;
    if (blktrace->data_capacity < size_bytes) {
        blktrace->data = realloc(blktrace->data, size_bytes);
        CHECK(blktrace->data);
        blktrace->data_capacity = size_bytes;
    }
    memcpy(blktrace->data, data, size_bytes);
    blktrace->data_bytes = size_bytes;
}

/* ---- log: the run ---- */

static bool choose_drive(struct blktrace *blktrace)
{
    unsigned count = 0;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (!blktrace->session->drive[n])
            continue;
        if (!blktrace->has_drive)
            blktrace->drive = n;
        count++;
    }
    if (blktrace->has_drive ? blktrace->session->drive[blktrace->drive] != NULL : count == 1)
        return true;
    tool_error("blktrace: %s has %u drives: which one? Give --drive=N", blktrace->path, count);
    return false;
}

static int finish_log(struct blktrace *blktrace, int code)
{
    struct error error = {{0}};
    submit_asked(blktrace, false);
    uint64_t entries = log_writes_entries(blktrace->log) + 1; /* the mark at the end */
    enum status status = log_writes_close(blktrace->log, &error);
    blktrace->log = NULL;
    if (status) {
        tool_error("%s", error.text);
        return EXIT_CODE_FAILED;
    }
    fprintf(stderr, "blktrace: %s: %" PRIu64 " entries\n", blktrace->output, entries);
    return code;
}

static int run_log(struct blktrace *blktrace)
{
    static const struct trace_sink_ops ops = {.emit = observe_event, .block_data = observe_data};
    char *argv[] = {(char[]){"replay"}, (char[]){"-q"},         (char[]){"-serial"},
                    (char[]){"none"},   strdup(blktrace->path), NULL};
    struct session session;
    struct error error = {{0}};
    blktrace->session = &session;
    int code = session_open_observed(&session, OPTIONS_REPLAY, 5, argv, (struct trace_sink){&ops, blktrace});
    if (code < 0 && !choose_drive(blktrace))
        code = EXIT_CODE_USAGE;
    if (code < 0 && !(blktrace->log = log_writes_create(blktrace->output, &error))) {
        tool_error("%s", error.text);
        code = EXIT_CODE_FAILED;
    }
    if (code < 0)
        code = finish_log(blktrace, session_judge_replay(&session, session_run(&session)));
    code = session_close(&session, code);
    free(argv[4]);
    free(blktrace->data);
    return code;
}

int cmd_blktrace(int argc, char **argv)
{
    struct blktrace blktrace = {0};
    int code = parse_options(&blktrace, argc, argv);
    if (code >= 0)
        return code;
    return blktrace.text ? run_text(&blktrace) : run_log(&blktrace);
}
