/* An image whose first contents go to the journal. Functions may run on a block worker.
 *
 * Where checkpoints are wanted, what was written lies in an overlay too, the shadow, which is saved in the image's place: a replay
 * that begins there has it in its own. A write that is under way may be in it already, in part: the replay makes it again when
 * it completes, or, of one that failed, puts there what was read back. */
#include "replay/recorder.h"

#include <pthread.h>
#include <stdlib.h>

struct record_image {
    struct block_image image;
    struct block_image_ops ops; /* what below has */
    struct block_image *below;
    struct replay_recorder *recorder;
    uint32_t drive, medium;
    pthread_mutex_t shadow_lock;
    struct block_image *shadow; /* null: no checkpoints */
};

static struct record_image *image_of(struct block_image *image)
{
    return (struct record_image *)(void *)image;
}

/* ---- the shadow ---- */

/* data null: zeros. */
static void shadow_write(struct record_image *self, uint64_t sector, uint32_t sectors, const void *data)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&self->shadow_lock);
    struct block_image *shadow = self->shadow;
    if (shadow && !checkpoint_writer_over(self->recorder->checkpoints))
        status = data ? shadow->ops->write(shadow, sector, sectors, data, false)
                      : shadow->ops->zero(shadow, sector, sectors, false);
    pthread_mutex_unlock(&self->shadow_lock);
    recorder_note(self->recorder, status);
}

static void record_content_save(struct block_image *image, struct content_writer *writer)
{
    struct record_image *self = image_of(image);
    pthread_mutex_lock(&self->shadow_lock);
    self->shadow->ops->content_save(self->shadow, writer);
    pthread_mutex_unlock(&self->shadow_lock);
}

/* ---- the image ---- */

/* A read that fails stores nothing: its outcome is an input, and the guest sees no data. */
static enum status record_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct record_image *self = image_of(image);
    enum status status = self->below->ops->read(self->below, sector, sectors, buffer);
    if (status == STATUS_OK)
        recorder_note(self->recorder,
                      sector_store_note_read(self->recorder->sectors, self->medium, sector, sectors, buffer));
    return status;
}

/* After a failure half of the data may be there: what the sectors hold is read back. What can't be read is zeros. */
static void note_failed(struct record_image *self, uint64_t sector, uint32_t sectors)
{
    struct recorder_failed *failed = calloc(1, sizeof *failed + (size_t)sectors * BLOCK_SECTOR_BYTES);
    if (!failed) {
        recorder_note(self->recorder, STATUS_NO_MEMORY);
        return;
    }
    failed->drive = self->drive;
    failed->sector = sector;
    failed->sectors = sectors;
    if (self->below->ops->read(self->below, sector, sectors, failed->data) != STATUS_OK) {
        for (uint32_t i = 0; i < sectors; i++) {
            uint8_t *data = failed->data + (size_t)i * BLOCK_SECTOR_BYTES;
            if (self->below->ops->read(self->below, sector + i, 1, data) != STATUS_OK)
                memset(data, 0, BLOCK_SECTOR_BYTES);
        }
    }
    shadow_write(self, sector, sectors, failed->data);
    recorder_add_failed(self->recorder, failed);
}

/* Known from before the write on: were it to fail half-way, nobody could say what the sectors held. */
static enum status record_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                                bool fua)
{
    struct record_image *self = image_of(image);
    recorder_drop_failed(self->recorder, self->drive, sector, sectors);
    enum status status = self->below->ops->write(self->below, sector, sectors, buffer, fua);
    sector_store_note_write(self->recorder->sectors, self->medium, sector, sectors);
    if (status)
        note_failed(self, sector, sectors);
    else
        shadow_write(self, sector, sectors, buffer);
    return status;
}

static enum status record_flush(struct block_image *image)
{
    struct record_image *self = image_of(image);
    return self->below->ops->flush(self->below);
}

static enum status record_zero(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap)
{
    struct record_image *self = image_of(image);
    recorder_drop_failed(self->recorder, self->drive, sector, sectors);
    enum status status = self->below->ops->zero(self->below, sector, sectors, unmap);
    sector_store_note_write(self->recorder->sectors, self->medium, sector, sectors);
    if (status)
        note_failed(self, sector, sectors);
    else
        shadow_write(self, sector, sectors, NULL);
    return status;
}

static bool record_locate(struct block_image *image, uint64_t sector, uint32_t sectors, bool write,
                          struct block_place *place)
{
    struct block_image *below = image_of(image)->below;
    return below->ops->locate && below->ops->locate(below, sector, sectors, write, place);
}

static void record_transferred(struct block_image *image, uint64_t sector, uint32_t sectors, bool write, void *buffer)
{
    struct record_image *self = image_of(image);
    if (self->below->ops->transferred)
        self->below->ops->transferred(self->below, sector, sectors, write, buffer);
    if (write) {
        recorder_drop_failed(self->recorder, self->drive, sector, sectors);
        sector_store_note_write(self->recorder->sectors, self->medium, sector, sectors);
        shadow_write(self, sector, sectors, buffer);
    } else {
        recorder_note(self->recorder,
                      sector_store_note_read(self->recorder->sectors, self->medium, sector, sectors, buffer));
    }
}

static enum status record_resize(struct block_image *image, uint64_t size_sectors, struct error *error)
{
    struct record_image *self = image_of(image);
    enum status status = self->below->ops->resize(self->below, size_sectors, error);
    if (status)
        return status;
    sector_store_limit(self->recorder->sectors, self->medium, size_sectors);
    image->size_sectors = size_sectors;
    pthread_mutex_lock(&self->shadow_lock);
    if (self->shadow)
        status = self->shadow->ops->resize(self->shadow, size_sectors, error);
    pthread_mutex_unlock(&self->shadow_lock);
    return status;
}

static bool record_corruption(struct block_image *image, struct block_corruption *corruption)
{
    return block_image_corruption(image_of(image)->below, corruption);
}

static enum status record_settle(struct block_image *image)
{
    return block_image_settle(image_of(image)->below);
}

static void record_watch(struct block_image *image, struct block_activity *activity)
{
    block_image_watch(image_of(image)->below, activity);
}

static void record_destroy(struct block_image *image)
{
    struct record_image *self = image_of(image);
    block_image_destroy(self->below);
    block_image_destroy(self->shadow);
    pthread_mutex_destroy(&self->shadow_lock);
    free(self);
}

static const struct block_image_ops record_ops = {
    .format = "record",
    .read = record_read,
    .write = record_write,
    .flush = record_flush,
    .locate = record_locate,
    .transferred = record_transferred,
    .zero = record_zero,
    .resize = record_resize,
    .corruption = record_corruption,
    .settle = record_settle,
    .watch = record_watch,
    .content_save = record_content_save,
    .destroy = record_destroy,
};

/* So that the block layer does what it would have done. */
static void put_over(struct record_image *self, struct block_image *below)
{
    self->image.size_sectors = below->size_sectors;
    self->image.name = below->name;
    self->ops = record_ops;
    self->ops.flat = below->ops->flat;
    if (!below->ops->zero)
        self->ops.zero = NULL;
    if (!below->ops->locate)
        self->ops.locate = NULL;
    if (!below->ops->resize)
        self->ops.resize = NULL;
    if (!self->recorder->checkpoints)
        self->ops.content_save = NULL;
    self->below = below;
}

struct block_image *replay_recorder_exchange(struct block_image *recorded, struct block_image *below)
{
    struct record_image *self = image_of(recorded);
    struct block_image *before = self->below;
    CHECK(recorded->ops == &self->ops && below->size_sectors == recorded->size_sectors);
    put_over(self, below);
    return before;
}

struct block_image *replay_recorder_medium(struct replay_recorder *recorder, uint32_t drive, uint32_t number,
                                           struct block_image *image, struct error *error)
{
    struct record_image *self = calloc(1, sizeof *self);
    if (self && recorder->checkpoints)
        self->shadow = checkpoint_shadow_create(image->size_sectors);
    if (!self || number >= JOURNAL_MEDIA_MAX || (recorder->checkpoints && !self->shadow) ||
        !sector_store_add_medium(recorder->sectors, number, image->size_sectors)) {
        error_set(error, "%s: no memory to record it", image->name ? image->name : "drive");
        if (self)
            block_image_destroy(self->shadow);
        free(self);
        block_image_destroy(image);
        return NULL;
    }
    self->image.read_only = image->read_only;
    pthread_mutex_init(&self->shadow_lock, NULL);
    self->image.ops = &self->ops;
    self->recorder = recorder;
    self->drive = drive;
    self->medium = number;
    put_over(self, image);
    return &self->image;
}

struct block_image *replay_recorder_image(struct replay_recorder *recorder, uint32_t drive, struct block_image *image,
                                          struct error *error)
{
    return replay_recorder_medium(recorder, drive, drive, image, error);
}
