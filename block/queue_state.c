/* The drive as a device of the machine: made, reset, saved, restored; what it says of itself. */
#include "block/queue_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

STATE_TABLE(slot_fields, struct queue_slot, SLOT_STATE);
STATE_TABLE(kept_fields, struct queue_kept, KEPT_STATE);
STATE_TABLE(drive_fields, struct block_drive, DRIVE_STATE);

static void drive_reset(struct device *device)
{
    block_drive_abandon(device_of(device, struct block_drive));
}

static bool slot_sound(const struct block_drive *drive, const struct queue_slot *slot)
{
    return slot->state < SLOT_STATES && slot->op < TRACE_BLOCK_OPS && slot->sectors <= BLOCK_REQUEST_SECTORS_MAX &&
           (slot->refused || (drive->image && queue_in_range(drive, slot))) &&
           (slot->op != TRACE_BLOCK_WRITE || slot->refused || slot->buffer_bytes >= queue_slot_bytes(slot));
}

static bool kept_sound(const struct block_drive *drive, const struct queue_kept *kept)
{
    uint64_t size = drive->sectors;
    return kept->sectors <= BLOCK_REQUEST_SECTORS_MAX && kept->sector <= size && kept->sectors <= size - kept->sector &&
           kept->buffer_bytes >= (size_t)kept->sectors * BLOCK_SECTOR_BYTES;
}

static void check_loaded_kept(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        struct queue_kept *kept = &drive->kept[n];
        if (kept->sectors && !kept_sound(drive, kept)) {
            kept->sector = kept->data_hash = 0;
            kept->sectors = 0;
        }
    }
}

/* Running requests go on: by their due time, or at the executor from the start. */
static void drive_post_load(struct device *device)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    queue_media_post_load(drive);
    check_loaded_kept(drive);
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        slot->request = NULL;
        slot->submitted_ns = vtime_now_ns(device->machine);
        if (slot->state == SLOT_FREE || !slot_sound(drive, slot))
            queue_slot_free(slot);
        else if (slot->state == SLOT_RUNNING && !queue_slot_timed(drive, slot))
            queue_start_job(drive, slot);
    }
    queue_arm_timer(drive);
}

/* What the image has in memory only: nobody else would say that it was lost. */
static void settle(struct block_drive *drive)
{
    enum status status = block_image_settle(drive->image);
    struct block_error_event event = {
        .drive = drive->options.drive, .op = TRACE_BLOCK_FLUSH, .status = status, .closing = true};
    if (!status || !drive->on_error)
        return;
    event.has_corruption = block_image_corruption(drive->image, &event.corruption);
    drive->on_error(drive->on_error_opaque, &event);
}

static void drive_destroy(struct device *device)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    vtimer_disarm(&drive->timer);
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        if (queue_slot_at_host(drive, slot))
            drive->options.executor->ops->cancel(drive->options.executor, &slot->job);
        free(slot->buffer);
        block_activity_free(&slot->activity);
    }
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++)
        free(drive->kept[n].buffer);
    settle(drive);
    queue_media_fini(drive);
}

/* ---- what is not in the fields ---- */

static bool drive_ready(struct device *device)
{
    return queue_media_ready(device_of(device, struct block_drive));
}

static bool drive_restorable(struct device *device)
{
    const struct block_drive *drive = device_of(device, struct block_drive);
    const struct block_executor *executor = drive->options.executor;
    return (!executor || executor->ops->inert) && (!drive->image || drive->image->ops->content_load);
}

/* The image's content, and the data of requests in flight, which the host may be reading. */
static void drive_save(struct device *device, struct content_writer *writer)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    size_t payload = block_drive_payload_bytes(drive);
    if (drive->image)
        drive->image->ops->content_save(drive->image, writer);
    content_put_u64(writer, payload);
    block_drive_payload_save(drive, content_room(writer, payload));
}

static enum status drive_load(struct device *device, struct content_reader *reader)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    enum status status = queue_media_restore(drive);
    if (!status && drive->image)
        status = drive->image->ops->content_load ? drive->image->ops->content_load(drive->image, reader)
                                                 : STATUS_UNSUPPORTED;
    if (status)
        return status;
    uint64_t size = content_get_u64(reader);
    const uint8_t *payload = content_get_bytes(reader, size);
    return payload ? block_drive_payload_load(drive, payload, size) : STATUS_CORRUPT;
}

static const struct device_content drive_content = {drive_ready, drive_restorable, drive_save, drive_load};

static const struct device_class block_drive_class = {
    .name = "block_drive",
    .version = 1,
    .size = sizeof(struct block_drive),
    .fields = drive_fields,
    .reset = drive_reset,
    .post_load = drive_post_load,
    .destroy = drive_destroy,
    .content = &drive_content,
};

struct block_drive *block_drive_create(struct machine *machine, const struct block_queue_options *options,
                                       struct block_image *image, struct error *error)
{
    uint64_t sectors = image ? image->size_sectors : 1;
    if (!sectors || sectors > (uint64_t)INT64_MAX / BLOCK_SECTOR_BYTES ||
        (options->timing == BLOCK_TIMING_HOST && !options->executor)) {
        error_set(error, "%s: a drive needs 1 to 2^54 sectors, and an executor under host timing",
                  image ? image->name : "empty");
        block_image_destroy(image);
        return NULL;
    }
    struct block_drive *drive = device_alloc(&block_drive_class, machine, NULL);
    snprintf(drive->id, sizeof drive->id, "drive%u", options->drive);
    drive->device.id = drive->id;
    drive->options = *options;
    drive->image = image;
    block_latency_init(drive->latency, options->seed, options->drive);
    vtimer_init(&drive->timer, machine, queue_timer_fired, drive);
    if (!queue_timing_model(drive))
        machine_set_receiver(machine, INPUT_BLOCK_COMPLETION, options->drive, queue_completion_delivered, drive);
    queue_media_init(drive);
    machine_add_device(machine, &drive->device);
    return drive;
}

uint64_t block_drive_sectors(const struct block_drive *drive)
{
    return drive->sectors;
}

bool block_drive_read_only(const struct block_drive *drive)
{
    return !drive->image || drive->image->read_only;
}

uint32_t block_drive_index(const struct block_drive *drive)
{
    return drive->options.drive;
}

const struct block_stats *block_drive_stats(const struct block_drive *drive)
{
    return &drive->stats;
}

bool block_drive_write_cache(const struct block_drive *drive)
{
    return !drive->options.policy.write_through;
}

bool block_drive_discards(const struct block_drive *drive)
{
    return !drive->options.policy.keep_discarded;
}

void block_drive_on_error(struct block_drive *drive, void (*hook)(void *opaque, const struct block_error_event *event),
                          void *opaque)
{
    drive->on_error = hook;
    drive->on_error_opaque = opaque;
}

struct block_image *block_drive_image(struct block_drive *drive)
{
    return drive->image;
}

unsigned block_drive_room(const struct block_drive *drive)
{
    unsigned room = 0;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++)
        room += drive->slot[n].state == SLOT_FREE;
    return room;
}

/* ---- restoring ---- */

/* The data that a slot or a kept write has, if any: slots first. */
#define PAYLOADS (BLOCK_PENDING_MAX + BLOCK_KEPT_MAX)

struct payload {
    uint64_t hash;
    size_t size_bytes; /* 0: none */
    uint8_t **buffer;
    size_t *buffer_bytes;
};

static struct payload payload_of(struct block_drive *drive, unsigned n)
{
    struct payload payload = {0};
    if (n >= BLOCK_PENDING_MAX) {
        struct queue_kept *kept = &drive->kept[n - BLOCK_PENDING_MAX];
        size_t sectors = kept->sectors <= BLOCK_REQUEST_SECTORS_MAX ? kept->sectors : 0;
        return (struct payload){kept->data_hash, sectors * BLOCK_SECTOR_BYTES, &kept->buffer, &kept->buffer_bytes};
    }
    struct queue_slot *slot = &drive->slot[n];
    if (slot->state != SLOT_FREE && slot->op == TRACE_BLOCK_WRITE && slot->sectors <= BLOCK_REQUEST_SECTORS_MAX)
        payload = (struct payload){slot->data_hash, queue_slot_bytes(slot), &slot->buffer, &slot->buffer_bytes};
    return payload;
}

size_t block_drive_payload_bytes(struct block_drive *drive)
{
    size_t bytes = 0;
    for (unsigned n = 0; n < PAYLOADS; n++)
        bytes += payload_of(drive, n).size_bytes;
    return bytes;
}

void block_drive_payload_save(struct block_drive *drive, uint8_t *out)
{
    for (unsigned n = 0; n < PAYLOADS; n++) {
        struct payload payload = payload_of(drive, n);
        if (payload.size_bytes)
            memcpy(out, *payload.buffer, payload.size_bytes);
        out += payload.size_bytes;
    }
}

enum status block_drive_payload_load(struct block_drive *drive, const uint8_t *in, size_t size)
{
    if (size != block_drive_payload_bytes(drive))
        return STATUS_CORRUPT;
    for (unsigned n = 0; n < PAYLOADS; n++) {
        struct payload payload = payload_of(drive, n);
        if (!payload.size_bytes)
            continue;
        if (XXH3_64bits(in, payload.size_bytes) != payload.hash)
            return STATUS_CORRUPT;
        memcpy(queue_grow_buffer(payload.buffer, payload.buffer_bytes, payload.size_bytes), in, payload.size_bytes);
        in += payload.size_bytes;
    }
    return STATUS_OK;
}

bool block_reattach(struct block_drive *drive, struct block_request *request)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        if (slot->state == SLOT_FREE || slot->abandoned || slot->tag != request->tag || slot->op != request->op ||
            slot->sectors != request->sectors || slot->sector != request->sector)
            continue;
        slot->request = request;
        return true;
    }
    return false;
}
