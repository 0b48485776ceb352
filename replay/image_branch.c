/* A drive of a branch: an overlay over what the journal knows, over the image that the parent began with, if that is there.
 * The journal's first contents are of that image wherever in the run they were read, so all of them serve. Image
 * functions may run on block workers, of several drives at once. */
#include "replay/branch_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COMPARE_SECTORS 2048u

struct branch_image {
    struct block_image image;
    struct replay_branch *branch;
    struct block_image *original; /* null: none */
    uint32_t medium;
    char name[32];
};

static struct branch_image *image_of(struct block_image *image)
{
    return (struct branch_image *)(void *)image;
}

/* Before the branch is live it is a request that failed in the parent: its outcome is in the journal. */
static enum status note_missing(struct branch_image *self, uint64_t sector)
{
    struct replay_branch *branch = self->branch;
    pthread_mutex_lock(&branch->lock);
    if (branch->is_live && !atomic_load(&branch->missing.set)) {
        branch->missing.medium = self->medium;
        branch->missing.sector = sector;
        atomic_store(&branch->missing.set, true);
    }
    pthread_mutex_unlock(&branch->lock);
    return STATUS_NOT_FOUND;
}

/* The first run of the range: known ones are read. */
static enum status read_known(struct branch_image *self, uint64_t sector, uint32_t sectors, uint8_t *out, uint32_t *run,
                              bool *known)
{
    struct replay_branch *branch = self->branch;
    struct error error = {0};
    enum status status = STATUS_OK;
    pthread_mutex_lock(&branch->lock);
    *run = sector_index_run(branch->contents, self->medium, sector, sectors, known);
    if (*known)
        status = sector_index_read(branch->contents, self->medium, sector, *run, out, &error);
    pthread_mutex_unlock(&branch->lock);
    return status;
}

static enum status branch_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct branch_image *self = image_of(image);
    uint8_t *out = buffer;
    while (sectors) {
        bool known;
        uint32_t run;
        enum status status = read_known(self, sector, sectors, out, &run, &known);
        if (!known)
            status = self->original ? self->original->ops->read(self->original, sector, run, out)
                                    : note_missing(self, sector);
        if (status)
            return status;
        out += (size_t)run * BLOCK_SECTOR_BYTES;
        sector += run;
        sectors -= run;
    }
    return STATUS_OK;
}

static void branch_watch(struct block_image *image, struct block_activity *activity)
{
    if (image_of(image)->original)
        block_image_watch(image_of(image)->original, activity);
}

static bool branch_corruption(struct block_image *image, struct block_corruption *corruption)
{
    struct block_image *original = image_of(image)->original;
    return original && block_image_corruption(original, corruption);
}

static void branch_image_destroy(struct block_image *image)
{
    block_image_destroy(image_of(image)->original);
    free(image_of(image));
}

static const struct block_image_ops branch_image_ops = {
    .format = "branch",
    .read = branch_read,
    .write = player_refuse_write,
    .flush = player_flush_nothing,
    .watch = branch_watch,
    .corruption = branch_corruption,
    .destroy = branch_image_destroy,
};

/* ---- is that the image? ---- */

static enum status compare_run(const struct branch_image *self, uint64_t sector, uint32_t sectors, const uint8_t *known,
                               uint8_t *buffer, struct error *error)
{
    struct block_image *original = self->original;
    enum status status = original->ops->read(original, sector, sectors, buffer);
    if (status)
        return error_status(error, status, "%s: can't read sector %" PRIu64 ": %s", original->name, sector,
                            status_name(status));
    for (uint32_t n = 0; n < sectors; n++) {
        size_t at = (size_t)n * BLOCK_SECTOR_BYTES;
        if (memcmp(known + at, buffer + at, BLOCK_SECTOR_BYTES) != 0)
            return error_status(error, STATUS_INVALID,
                                "%s: sector %" PRIu64
                                " is not what the recorded guest read there first: this is not the "
                                "image that drive %u began with, or the run itself wrote to it",
                                original->name, sector + n, (unsigned)self->medium);
    }
    return STATUS_OK;
}

static enum status compare_content(struct branch_image *self, struct error *error)
{
    uint64_t size = self->image.size_sectors;
    uint8_t *known = malloc((size_t)COMPARE_SECTORS * BLOCK_SECTOR_BYTES * 2);
    enum status status = known ? STATUS_OK : error_status(error, STATUS_NO_MEMORY, "out of memory");
    for (uint64_t sector = 0; !status && sector < size;) {
        uint32_t max = size - sector < UINT32_MAX ? (uint32_t)(size - sector) : UINT32_MAX, run;
        bool is_known;
        run = sector_index_run(self->branch->contents, self->medium, sector, max, &is_known);
        if (is_known) {
            run = run < COMPARE_SECTORS ? run : COMPARE_SECTORS;
            status = sector_index_read(self->branch->contents, self->medium, sector, run, known, error);
            if (!status)
                status = compare_run(self, sector, run, known, known + COMPARE_SECTORS * BLOCK_SECTOR_BYTES, error);
        }
        sector += run;
    }
    free(known);
    return status;
}

static enum status check_original(struct branch_image *self, struct error *error)
{
    struct block_image *original = self->original;
    if (original->size_sectors != self->image.size_sectors)
        return error_status(error, STATUS_INVALID, "%s: has %" PRIu64 " sectors, drive %u of the journal had %" PRIu64,
                            original->name, original->size_sectors, (unsigned)self->medium, self->image.size_sectors);
    return compare_content(self, error);
}

/* ---- making it ---- */

static struct branch_image *make(struct replay_branch *branch, uint32_t medium, uint64_t size_sectors,
                                 struct block_image *original)
{
    struct branch_image *self = calloc(1, sizeof *self);
    CHECK(self);
    snprintf(self->name, sizeof self->name, "medium %u of the journal", (unsigned)medium);
    self->image = (struct block_image){&branch_image_ops, size_sectors, true, self->name};
    self->branch = branch;
    self->medium = medium;
    self->original = original;
    return self;
}

static bool removable(const struct journal_drive *drive)
{
    return drive->at.kind == BLOCK_ATTACH_IDE_CD || drive->at.kind == BLOCK_ATTACH_AHCI_CD;
}

struct block_image *replay_branch_image(struct replay_branch *branch, uint32_t drive, struct block_image *original,
                                        struct error *error)
{
    const struct journal_config *config = replay_player_config(branch->player);
    if (drive >= JOURNAL_DRIVES || !config->drive[drive].present || !config->drive[drive].size_sectors) {
        error_set(error, "%s: drive %u: not in the journal", journal_reader_path(branch->reader), (unsigned)drive);
        block_image_destroy(original);
        return NULL;
    }
    struct branch_image *self = make(branch, drive, config->drive[drive].size_sectors, original);
    if (original && check_original(self, error)) {
        branch_image_destroy(&self->image);
        return NULL;
    }
    struct block_image *overlay = block_overlay_create(&self->image, self->image.size_sectors, error);
    if (!overlay)
        return NULL;
    overlay->read_only = config->drive[drive].read_only || removable(&config->drive[drive]);
    branch->player->overlay[drive] = removable(&config->drive[drive]) ? NULL : overlay;
    return overlay;
}

struct block_image *replay_branch_medium(struct replay_branch *branch, uint32_t number, uint64_t size_sectors,
                                         struct error *error)
{
    if (number < JOURNAL_DRIVES || number >= JOURNAL_MEDIA_MAX) {
        error_set(error, "%s: medium %u: expected %u to %u", journal_reader_path(branch->reader), (unsigned)number,
                  JOURNAL_DRIVES, JOURNAL_MEDIA_MAX - 1);
        return NULL;
    }
    struct branch_image *self = make(branch, number, size_sectors, NULL);
    struct block_image *overlay = block_overlay_create(&self->image, size_sectors, error);
    if (overlay)
        overlay->read_only = true;
    return overlay;
}
