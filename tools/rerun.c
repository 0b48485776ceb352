/* See rerun.h. The image of a drive is two: what the replay uses, and the scratch image, each call on both. Reads are
 * compared; where they differ the replay's data count. */
#include "tools/rerun.h"

#include "block/host_file.h"
#include "block/qcow2.h"
#include "replay/journal_reader.h"
#include "replay/sector_index.h"
#include "tools/rerun_steps.h"
#include "tools/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REPORTS_MAX 10u
#define STACK_FRAMES 64u
#define FILL_SECTORS 2048u

struct rerun_drive {
    struct block_image image;
    struct rerun *owner;
    uint32_t drive;
    struct block_image *replayed, *scratch; /* null after destroy */
    struct block_activity activity;
    FILE *steps;
    uint8_t *buffer;
    size_t buffer_bytes;
    char path[512];
    uint64_t reads, writes, differences, failures, calls;
    struct block_step *made; /* since the last completion */
    size_t made_count, made_capacity;
    uint64_t verdicts[RERUN_STEPS_VERDICTS];
};

struct rerun {
    char *directory;
    const struct journal_config *config; /* of the player: borrowed */
    struct block_stacks stacks;
    size_t (*frames)(void *opaque, uint32_t stack, const char **text, size_t max);
    void *frames_opaque;
    struct journal_reader *reader;
    struct sector_index *contents;
    struct rerun_steps *recorded;
    uint8_t *raw;
    struct rerun_drive *drive[JOURNAL_DRIVES];
};

static struct rerun_drive *drive_of(struct block_image *image)
{
    return (struct rerun_drive *)(void *)image;
}

/* ---- the log of steps ---- */

static void print_stack(const struct rerun_drive *drive, uint32_t stack)
{
    const char *text[STACK_FRAMES];
    const struct rerun *rerun = drive->owner;
    size_t depth = stack && rerun->frames ? rerun->frames(rerun->frames_opaque, stack, text, STACK_FRAMES) : 0;
    for (size_t n = 0; n < depth; n++)
        fprintf(drive->steps, "    #%-3zu %s\n", n, text[n]);
}

static void keep_step(struct rerun_drive *drive, const struct block_step *step)
{
    if (drive->made_count == drive->made_capacity) {
        drive->made_capacity = drive->made_capacity ? drive->made_capacity * 2 : 64;
        drive->made = realloc(drive->made, drive->made_capacity * sizeof *drive->made);
        CHECK(drive->made);
    }
    drive->made[drive->made_count++] = *step;
}

static void print_steps(struct rerun_drive *drive, enum trace_block_op op, uint64_t sector, uint32_t sectors)
{
    fprintf(drive->steps, "%" PRIu64 " %s %" PRIu64 "+%u\n", drive->calls++, trace_block_op_name(op), sector, sectors);
    for (size_t n = 0; n < drive->activity.count; n++) {
        const struct block_step *step = &drive->activity.step[n];
        fprintf(drive->steps, "  %-13s file %u offset %" PRIu64 ", %" PRIu64 " bytes, value %" PRIx64 ": %s\n",
                block_step_name((enum block_step_kind)step->kind), step->file, step->offset, step->size_bytes,
                step->value, step->status ? status_name((enum status)step->status) : "ok");
        print_stack(drive, step->stack);
        keep_step(drive, step);
    }
    block_activity_clear(&drive->activity);
}

/* ---- both images ---- */

static void complain(struct rerun_drive *drive, const char *operation, uint64_t sector, uint32_t sectors,
                     const char *what)
{
    if (drive->differences + drive->failures <= REPORTS_MAX)
        tool_error("rerun: drive %u: %s of %" PRIu64 "+%u: %s", drive->drive, operation, sector, sectors, what);
}

static void note_status(struct rerun_drive *drive, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                        enum status status)
{
    print_steps(drive, op, sector, sectors);
    if (!status)
        return;
    drive->failures++;
    complain(drive, trace_block_op_name(op), sector, sectors, status_name(status));
}

static void compare(struct rerun_drive *drive, uint64_t sector, uint32_t sectors, const uint8_t *expected)
{
    char what[96];
    uint32_t n = 0;
    while (n < sectors && !memcmp(expected + (size_t)n * BLOCK_SECTOR_BYTES,
                                  drive->buffer + (size_t)n * BLOCK_SECTOR_BYTES, BLOCK_SECTOR_BYTES))
        n++;
    if (n == sectors)
        return;
    drive->differences++;
    snprintf(what, sizeof what, "sector %" PRIu64 " is not what the journal has", sector + n);
    complain(drive, "read", sector, sectors, what);
}

static uint8_t *buffer_of(struct rerun_drive *drive, uint32_t sectors)
{
    size_t bytes = (size_t)sectors * BLOCK_SECTOR_BYTES;
    if (drive->buffer_bytes < bytes) {
        free(drive->buffer);
        drive->buffer = malloc(bytes);
        CHECK(drive->buffer);
        drive->buffer_bytes = bytes;
    }
    return drive->buffer;
}

static enum status rerun_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct rerun_drive *drive = drive_of(image);
    enum status status = drive->replayed->ops->read(drive->replayed, sector, sectors, buffer);
    uint8_t *again = buffer_of(drive, sectors);
    enum status outcome = drive->scratch->ops->read(drive->scratch, sector, sectors, again);
    drive->reads++;
    note_status(drive, TRACE_BLOCK_READ, sector, sectors, outcome);
    if (!status && !outcome)
        compare(drive, sector, sectors, buffer);
    return status;
}

static enum status rerun_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                               bool fua)
{
    struct rerun_drive *drive = drive_of(image);
    drive->writes++;
    note_status(drive, TRACE_BLOCK_WRITE, sector, sectors,
                drive->scratch->ops->write(drive->scratch, sector, sectors, buffer, fua));
    return drive->replayed->ops->write(drive->replayed, sector, sectors, buffer, fua);
}

static enum status rerun_flush(struct block_image *image)
{
    struct rerun_drive *drive = drive_of(image);
    note_status(drive, TRACE_BLOCK_FLUSH, 0, 0, drive->scratch->ops->flush(drive->scratch));
    return drive->replayed->ops->flush(drive->replayed);
}

static enum status rerun_zero(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap)
{
    struct rerun_drive *drive = drive_of(image);
    drive->writes++;
    note_status(drive, unmap ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES, sector, sectors,
                block_image_zero(drive->scratch, sector, sectors, unmap));
    return block_image_zero(drive->replayed, sector, sectors, unmap);
}

static enum status rerun_resize(struct block_image *image, uint64_t size_sectors, struct error *error)
{
    struct rerun_drive *drive = drive_of(image);
    struct error again = {0};
    enum status status = drive->replayed->ops->resize(drive->replayed, size_sectors, error);
    enum status outcome = drive->scratch->ops->resize(drive->scratch, size_sectors, &again);
    block_activity_clear(&drive->activity);
    if (outcome) {
        drive->failures++;
        complain(drive, "resize", 0, 0, again.text);
    }
    image->size_sectors = size_sectors;
    return status;
}

/* The drive's own memory stays for the report. */
static void rerun_image_destroy(struct block_image *image)
{
    struct rerun_drive *drive = drive_of(image);
    block_image_destroy(drive->replayed);
    block_image_destroy(drive->scratch);
    drive->replayed = drive->scratch = NULL;
    if (drive->steps)
        fclose(drive->steps);
    drive->steps = NULL;
    block_activity_free(&drive->activity);
}

static const struct block_image_ops rerun_ops = {
    .format = "rerun",
    .read = rerun_read,
    .write = rerun_write,
    .flush = rerun_flush,
    .zero = rerun_zero,
    .resize = rerun_resize,
    .destroy = rerun_image_destroy,
};

/* ---- first contents ---- */

static enum status add_frame(struct rerun *rerun, size_t index, const struct journal_config *config,
                             struct error *error)
{
    if (journal_reader_frame(rerun->reader, index)->kind != JOURNAL_FRAME_SECTORS)
        return STATUS_OK;
    enum status status = journal_reader_load(rerun->reader, index, rerun->raw, error);
    return status ? status : sector_index_add(rerun->contents, config, index, rerun->raw, error);
}

/* What is zero may have been nowhere in the recorded image: it is left out. */
static enum status put_known(struct rerun_drive *drive, uint64_t sector, uint32_t sectors, const uint8_t *data)
{
    static const uint8_t zeros[BLOCK_SECTOR_BYTES];
    enum status status = STATUS_OK;
    for (uint32_t n = 0, run; n < sectors && !status; n += run) {
        const uint8_t *at = data + (size_t)n * BLOCK_SECTOR_BYTES;
        bool zero = !memcmp(at, zeros, sizeof zeros);
        for (run = 1; n + run < sectors; run++) {
            if (!memcmp(at + (size_t)run * BLOCK_SECTOR_BYTES, zeros, sizeof zeros) != zero)
                break;
        }
        if (!zero)
            status = drive->scratch->ops->write(drive->scratch, sector + n, run, at, false);
    }
    return status;
}

/* All that the journal knows of the drive, sector by sector where a run ends. What it does not know reads as zeros. */
static enum status fill(struct rerun *rerun, struct rerun_drive *drive, struct error *error)
{
    uint64_t sector = 0, size = drive->scratch->size_sectors;
    uint8_t *data = malloc((size_t)FILL_SECTORS * BLOCK_SECTOR_BYTES);
    enum status status = data ? STATUS_OK : STATUS_NO_MEMORY;
    while (sector < size && !status) {
        bool known;
        uint32_t max = size - sector < FILL_SECTORS ? (uint32_t)(size - sector) : FILL_SECTORS;
        uint32_t run = sector_index_run(rerun->contents, drive->drive, sector, max, &known);
        if (known) {
            status = sector_index_read(rerun->contents, drive->drive, sector, run, data, error);
            if (!status)
                status = put_known(drive, sector, run, data);
        }
        sector += run;
    }
    free(data);
    return status ? status : drive->scratch->ops->flush(drive->scratch);
}

/* ---- making the images ---- */

static enum status make_raw(struct host_file *file, uint64_t size_bytes, struct error *error)
{
    enum status status = host_file_resize(file, size_bytes, HOST_PREALLOC_OFF);
    return status ? error_status(error, status, "%s: %s", file->path, status_name(status)) : STATUS_OK;
}

/* As the recorded one was made; older journals do not say, and it gets the format's defaults. A data file or a backing file
 * it does not get: what was in them is in the image. */
static enum status make_qcow2(struct host_file *file, uint64_t size_bytes, const struct journal_image_make *make,
                              struct error *error)
{
    struct qcow2_create_options options = {.size_bytes = size_bytes,
                                           .version = make->version,
                                           .cluster_bits = make->cluster_bits,
                                           .refcount_bits = make->refcount_bits,
                                           .lazy_refcounts = make->flags & JOURNAL_IMAGE_LAZY_REFCOUNTS,
                                           .extended_l2 = make->flags & JOURNAL_IMAGE_EXTENDED_L2,
                                           .compression = make->flags & JOURNAL_IMAGE_ZSTD ? QCOW2_ZSTD : QCOW2_ZLIB};
    return block_qcow2_create(file, &options, error);
}

static enum status make_image(const char *path, const char *format, const struct journal_drive *config,
                              struct error *error)
{
    struct host_file_options options = {.create = true};
    struct host_file *file = host_file_open(path, &options, error);
    uint64_t size_bytes = config->size_sectors * BLOCK_SECTOR_BYTES;
    enum status status = STATUS_IO;
    if (file)
        status = !strcmp(format, "raw") ? make_raw(file, size_bytes, error)
                                        : make_qcow2(file, size_bytes, &config->make, error);
    host_file_close(file);
    return status;
}

static enum status make_scratch(struct rerun_drive *drive, const struct journal_drive *config, struct error *error)
{
    const char *format = config->format ? config->format : "raw";
    struct stat old;
    snprintf(drive->path, sizeof drive->path, "%s/drive%u.%s", drive->owner->directory, drive->drive, format);
    if (stat(drive->path, &old) == 0)
        return error_status(error, STATUS_INVALID, "%s: is there already: expected a name of its own for this run",
                            drive->path);
    if (strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
        return error_status(error, STATUS_UNSUPPORTED,
                            "--block=rerun: drive %u was recorded on a %s image: expected raw or qcow2", drive->drive,
                            format);
    enum status status = make_image(drive->path, format, config, error);
    if (status)
        return status;
    struct block_open_options options = {.format = format};
    drive->scratch = block_image_open(drive->path, &options, error);
    return drive->scratch ? fill(drive->owner, drive, error) : STATUS_IO;
}

static bool open_steps(struct rerun_drive *drive, struct error *error)
{
    char path[sizeof drive->path + 16];
    snprintf(path, sizeof path, "%s/drive%u.steps", drive->owner->directory, drive->drive);
    drive->steps = fopen(path, "we");
    if (!drive->steps)
        error_set(error, "%s: %s", path, strerror(errno));
    return drive->steps != NULL;
}

struct block_image *rerun_image(struct rerun *rerun, uint32_t number, struct block_image *image, struct error *error)
{
    struct rerun_drive *drive = calloc(1, sizeof *drive);
    CHECK(drive && number < JOURNAL_DRIVES && !rerun->drive[number]);
    rerun->drive[number] = drive;
    drive->owner = rerun;
    drive->drive = number;
    drive->replayed = image;
    drive->image = (struct block_image){&rerun_ops, image->size_sectors, image->read_only, image->name};
    if (make_scratch(drive, &rerun->config->drive[number], error) != STATUS_OK || !open_steps(drive, error)) {
        rerun_image_destroy(&drive->image);
        return NULL;
    }
    drive->activity.stacks = rerun->stacks;
    block_image_watch(drive->scratch, &drive->activity);
    return &drive->image;
}

/* ---- completions ---- */

/* The steps of a request's image work, which came just before, against those of the recording. */
static void judge_steps(struct rerun *rerun, struct rerun_drive *drive, const struct trace_event *event)
{
    enum rerun_steps_verdict verdict =
        rerun_steps_judge(rerun->recorded, event->drive, event->tag, drive->made, drive->made_count);
    drive->made_count = 0;
    drive->verdicts[verdict]++;
    if (verdict == RERUN_STEPS_OTHER && drive->steps) {
        fprintf(drive->steps, "request %u.%u: recorded were\n", (unsigned)event->drive, (unsigned)event->tag);
        rerun_steps_print(rerun->recorded, event->drive, event->tag, drive->steps);
    }
}

/* After a request that failed in the recording the scratch image gets what the sectors held then. */
static void take_failed(struct rerun_drive *drive, const struct trace_event *event)
{
    bool changes =
        event->op == TRACE_BLOCK_WRITE || event->op == TRACE_BLOCK_DISCARD || event->op == TRACE_BLOCK_WRITE_ZEROES;
    if (!event->status || !changes || event->address >= drive->image.size_sectors ||
        event->sectors > drive->image.size_sectors - event->address)
        return;
    uint8_t *data = buffer_of(drive, event->sectors);
    if (drive->replayed->ops->read(drive->replayed, event->address, event->sectors, data) == STATUS_OK)
        (void)drive->scratch->ops->write(drive->scratch, event->address, event->sectors, data, false);
    block_activity_clear(&drive->activity);
}

static void observe(void *opaque, const struct trace_event *event)
{
    struct rerun *rerun = opaque;
    struct rerun_drive *drive = event->drive < JOURNAL_DRIVES ? rerun->drive[event->drive] : NULL;
    if (event->kind != TRACE_BLOCK_COMPLETION || !drive || !drive->scratch)
        return;
    judge_steps(rerun, drive, event);
    take_failed(drive, event);
}

struct trace_sink rerun_observer(struct rerun *rerun)
{
    static const struct trace_sink_ops ops = {.emit = observe};
    return (struct trace_sink){&ops, rerun};
}

/* ---- life ---- */

static enum status open_contents(struct rerun *rerun, const struct rerun_options *options, struct error *error)
{
    if (mkdir(options->directory, 0777) != 0 && errno != EEXIST)
        return error_status(error, STATUS_IO, "%s: %s", options->directory, strerror(errno));
    rerun->reader = journal_reader_open(options->journal, error);
    if (!rerun->reader)
        return STATUS_CORRUPT;
    rerun->contents = sector_index_create(rerun->reader);
    rerun->raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status = rerun->contents && rerun->raw ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t n = 0; !status && n < journal_reader_count(rerun->reader); n++)
        status = add_frame(rerun, n, options->config, error);
    if (!status && !(rerun->recorded = rerun_steps_create(rerun->reader, rerun->raw, error)))
        status = STATUS_CORRUPT;
    return status;
}

struct rerun *rerun_create(const struct rerun_options *options, struct error *error)
{
    struct rerun *rerun = calloc(1, sizeof *rerun);
    CHECK(rerun);
    rerun->directory = strdup(options->directory);
    rerun->config = options->config;
    rerun->stacks = options->stacks;
    rerun->frames = options->frames;
    rerun->frames_opaque = options->frames_opaque;
    if (!rerun->directory || open_contents(rerun, options, error) != STATUS_OK) {
        rerun_destroy(rerun);
        return NULL;
    }
    return rerun;
}

bool rerun_report(const struct rerun *rerun)
{
    bool good = true;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        const struct rerun_drive *drive = rerun->drive[n];
        if (!drive)
            continue;
        fprintf(stderr,
                "rerun: drive %u: %s: %" PRIu64 " reads, %" PRIu64 " not as in the journal; %" PRIu64
                " writes; %" PRIu64 " calls failed\n",
                n, drive->path, drive->reads, drive->differences, drive->writes, drive->failures);
        fprintf(stderr,
                "rerun: drive %u: steps of %" PRIu64 " requests as recorded, of %" PRIu64
                " at other places, of %" PRIu64 " others (see drive%u.steps); %" PRIu64 " not recorded\n",
                n, drive->verdicts[RERUN_STEPS_SAME], drive->verdicts[RERUN_STEPS_ELSEWHERE],
                drive->verdicts[RERUN_STEPS_OTHER], n, drive->verdicts[RERUN_STEPS_UNKNOWN]);
        good = good && !drive->differences && !drive->failures;
    }
    return good;
}

void rerun_destroy(struct rerun *rerun)
{
    if (!rerun)
        return;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (rerun->drive[n]) {
            free(rerun->drive[n]->buffer);
            free(rerun->drive[n]->made);
        }
        free(rerun->drive[n]);
    }
    rerun_steps_destroy(rerun->recorded);
    sector_index_destroy(rerun->contents);
    journal_reader_destroy(rerun->reader);
    free(rerun->raw);
    free(rerun->directory);
    free(rerun);
}
