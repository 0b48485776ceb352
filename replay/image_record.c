/* An image whose first contents go to the journal. Functions may run on a block worker. */
#include "replay/recorder.h"

#include <stdlib.h>

struct record_image {
    struct block_image image;
    struct block_image *below;
    struct replay_recorder *recorder;
    uint32_t drive;
};

static struct record_image *image_of(struct block_image *image)
{
    return (struct record_image *)(void *)image;
}

/* A read that fails stores nothing: its outcome is an input, and the guest sees no data. */
static enum status record_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct record_image *self = image_of(image);
    enum status status = self->below->ops->read(self->below, sector, sectors, buffer);
    if (status == STATUS_OK)
        recorder_note(self->recorder,
                      sector_store_note_read(self->recorder->sectors, self->drive, sector, sectors, buffer));
    return status;
}

/* Known from before the write on: were it to fail half-way, nobody could say what the sectors held. */
static enum status record_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                                bool fua)
{
    struct record_image *self = image_of(image);
    enum status status = self->below->ops->write(self->below, sector, sectors, buffer, fua);
    sector_store_note_write(self->recorder->sectors, self->drive, sector, sectors);
    return status;
}

static enum status record_flush(struct block_image *image)
{
    struct record_image *self = image_of(image);
    return self->below->ops->flush(self->below);
}

static enum status record_discard(struct block_image *image, uint64_t sector, uint32_t sectors)
{
    struct record_image *self = image_of(image);
    enum status status = self->below->ops->discard(self->below, sector, sectors);
    sector_store_note_write(self->recorder->sectors, self->drive, sector, sectors);
    return status;
}

static void record_destroy(struct block_image *image)
{
    struct record_image *self = image_of(image);
    block_image_destroy(self->below);
    free(self);
}

static const struct block_image_ops record_ops = {
    .format = "record",
    .read = record_read,
    .write = record_write,
    .flush = record_flush,
    .discard = record_discard,
    .destroy = record_destroy,
};

/* Below has no discard: nor has this one, so that the block layer does what it would have done. */
static const struct block_image_ops record_ops_without_discard = {
    .format = "record",
    .read = record_read,
    .write = record_write,
    .flush = record_flush,
    .destroy = record_destroy,
};

struct block_image *replay_recorder_image(struct replay_recorder *recorder, uint32_t drive, struct block_image *image,
                                          struct error *error)
{
    struct record_image *self = calloc(1, sizeof *self);
    if (!self || drive >= JOURNAL_DRIVES || !sector_store_add_drive(recorder->sectors, drive, image->size_sectors)) {
        error_set(error, "%s: no memory to record it", image->name ? image->name : "drive");
        free(self);
        block_image_destroy(image);
        return NULL;
    }
    self->image = *image;
    self->image.ops = image->ops->discard ? &record_ops : &record_ops_without_discard;
    self->below = image;
    self->recorder = recorder;
    self->drive = drive;
    return &self->image;
}
