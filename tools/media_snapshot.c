/* A live snapshot: from now on writes go to a new qcow2 image, whose backing file is the present one.
 *
 * The two can't be open at once: a file that is written has locks that a reader of the chain, which the new image opens
 * for itself, would not get. So all that can be known beforehand is tried first, without locks; then the present image is
 * closed and the new one opened with its chain. Should that fail all the same, the present one is opened again. */
#include "tools/media.h"

#include "block/host_file.h"
#include "block/open.h"
#include "block/qcow2.h"
#include "tools/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct step {
    struct session *session;
    unsigned drive;
    struct medium *medium;
    const struct media_snapshot *snapshot;
    struct host_file_options look; /* to look at files that others, we too, have open */
};

/* ---- what can be known beforehand ---- */

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return !stat(a, &one) && !stat(b, &other) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool in_chain(struct block_image *image, const char *path)
{
    for (; image; image = block_qcow2_backing(image)) {
        if (same_file(image->name, path))
            return true;
    }
    return false;
}

static enum status check_target(const struct step *step, struct error *error)
{
    const struct media *media = &step->session->media;
    const char *path = step->snapshot->path, *device = media_device_name(step->session, step->drive);
    if (strcmp(step->snapshot->format, "qcow2") && strcmp(step->snapshot->format, "raw"))
        return error_status(error, STATUS_INVALID, "Unknown file format '%.64s'", step->snapshot->format);
    if (strcmp(step->snapshot->format, "qcow2"))
        return error_status(error, STATUS_UNSUPPORTED, "Backing file not supported for file format '%s'",
                            step->snapshot->format);
    if (!block_drive_has_medium(step->session->drive[step->drive]) || !step->medium->top)
        return error_status(error, STATUS_INVALID, "Device '%s' has no medium", device);
    if (step->medium->thrown_away)
        return error_status(error, STATUS_UNSUPPORTED,
                            "Device '%s' has snapshot=on: what is written to it is in no file", device);
    if (step->medium->internal)
        return error_status(error, STATUS_UNSUPPORTED,
                            "Device '%s' reads an internal snapshot, which can be no backing file", device);
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (step->session->drive[n] && block_drive_has_medium(step->session->drive[n]) &&
            in_chain(media->drive[n].top, path))
            return error_status(error, STATUS_INVALID, "'%s' is in use by device '%s'", path,
                                media_device_name(step->session, n));
    }
    return STATUS_OK;
}

/* ---- the new file ---- */

static enum status create_file(const struct step *step, struct error *error)
{
    struct qcow2_create_options options = {.size_bytes = step->medium->top->size_sectors * BLOCK_SECTOR_BYTES,
                                           .backing_format = step->medium->format};
    struct host_file_options host = {.create = true, .locking = step->look.locking};
    char *backing = realpath(step->medium->path, NULL);
    if (!backing)
        return error_status(error, STATUS_IO, "'%s' is no longer there", step->medium->path);
    bool fresh = access(step->snapshot->path, F_OK) != 0;
    struct host_file *file = host_file_open(step->snapshot->path, &host, error);
    options.backing_name = backing;
    enum status status = file ? block_qcow2_create(file, &options, error) : STATUS_IO;
    if (!status)
        status = host_file_flush(file);
    host_file_close(file);
    free(backing);
    if (status && file && fresh)
        (void)unlink(step->snapshot->path);
    return status;
}

/* It is an overlay of just the present image, and as large. */
static enum status check_file(const struct step *step, struct error *error)
{
    const char *path = step->snapshot->path;
    struct block_open_options open = {.format = "qcow2", .read_only = true, .no_backing = true, .host = &step->look};
    struct block_image *image = block_image_open(path, &open, error);
    struct qcow2_info info = {0};
    if (!image)
        return STATUS_IO;
    char *backing =
        block_qcow2_info(image, &info) && info.backing_name ? block_path_beside(path, info.backing_name) : NULL;
    enum status status = STATUS_OK;
    if (!backing || !same_file(backing, step->medium->path))
        status = error_status(error, STATUS_INVALID, "'%s': its backing file is not '%s'", path, step->medium->path);
    else if (image->size_sectors != step->medium->top->size_sectors)
        status = error_status(error, STATUS_INVALID, "'%s' has another size than '%s'", path, step->medium->path);
    free(backing);
    block_image_destroy(image);
    return status;
}

/* ---- the exchange ---- */

/* The devices hear of what the host has done, and may go on with requests that they have in pieces: the guest does not run,
 * so that comes to an end. */
static void drain(struct session *session, unsigned drive)
{
    while (block_drive_quiesce(session->drive[drive]))
        machine_deliver(session->machine);
}

static struct block_image *open_for_drive(const struct step *step, const char *path, const char *format,
                                          struct error *error)
{
    const struct drive_option *option = &step->session->options.drive[step->drive];
    struct block_open_options open = {.format = format, .read_only = step->medium->read_only, .host = &option->host};
    if (!strcmp(format, "qcow2"))
        media_set_format_options(&open, option);
    return block_image_open(path, &open, error);
}

/* Stands in while neither is open: nothing asks it for anything. */
static struct block_image *stand_in(uint64_t sectors, struct error *error)
{
    return block_overlay_create(NULL, sectors, error);
}

static struct block_image *exchange(const struct step *step, struct block_image *image)
{
    struct block_drive *drive = step->session->drive[step->drive];
    return step->session->recorder ? replay_recorder_exchange(block_drive_image(drive), image)
                                   : block_drive_exchange(drive, image);
}

static enum status put_over(const struct step *step, struct error *error)
{
    struct medium *medium = step->medium;
    struct error again = {0};
    struct block_image *nothing = stand_in(medium->top->size_sectors, error);
    if (!nothing)
        return STATUS_NO_MEMORY;
    struct block_image *before = exchange(step, nothing);
    bool settled = !block_image_settle(before);
    block_image_destroy(before);
    medium->top = settled ? open_for_drive(step, step->snapshot->path, "qcow2", error) : NULL;
    if (!settled)
        error_set(error, "'%s' could not be written to its end", medium->path);
    bool done = medium->top && medium->top->size_sectors == nothing->size_sectors;
    if (!done) {
        block_image_destroy(medium->top);
        medium->top = open_for_drive(step, medium->path, medium->format, &again);
    }
    if (!medium->top) { /* there is nothing left to go on with */
        medium->top = nothing;
        machine_fail(step->session->machine, MACHINE_STOP_ERROR);
        return error_status(error, STATUS_IO, "%s; the run ends", again.text);
    }
    block_image_destroy(exchange(step, medium->top));
    return done ? STATUS_OK : STATUS_IO;
}

static void say_so(const struct step *step)
{
    struct medium *medium = step->medium;
    struct media_node *behind = medium->node;
    medium->node = NULL;
    struct medium alone = {.top = NULL};
    media_name_nodes(step->session, &alone, step->snapshot->node_name);
    medium->node = alone.node;
    medium->node->backing = behind;
    free(medium->path);
    free(medium->format);
    medium->path = strdup(step->snapshot->path);
    medium->format = strdup("qcow2");
    CHECK(medium->path && medium->format);
}

enum status media_take_snapshot(struct session *session, unsigned drive, const struct media_snapshot *snapshot,
                                struct error *error)
{
    struct step step = {session, drive, &session->media.drive[drive], snapshot, session->options.drive[drive].host};
    step.look.share = true;
    enum status status = check_target(&step, error);
    if (status)
        return status;
    drain(session, drive);
    if (!step.medium->read_only && step.medium->top->ops->flush(step.medium->top))
        return error_status(error, STATUS_IO, "'%s' could not be flushed", step.medium->path);
    if (!snapshot->existing)
        status = create_file(&step, error);
    if (!status)
        status = check_file(&step, error);
    if (!status)
        status = put_over(&step, error);
    if (!status)
        say_so(&step);
    return status;
}
