/* virtio block device: Virtual I/O Device 1.2, 5.2, with the features and numbers of QEMU's virtio-blk-pci: one queue of
 * 256, SEG_MAX, GEOMETRY, BLK_SIZE, TOPOLOGY, FLUSH, CONFIG_WCE, RO, DISCARD, WRITE_ZEROES.
 *
 * A request is gathered into the drive's buffer when it is taken from the ring, and scattered where its descriptors said
 * then when it ends: what the driver does to the descriptors in between makes no difference. What the drive has no room
 * for stays in the ring, in order, and is taken when a request ends.
 * The write cache: without it (CONFIG_WCE, or a driver that does not know FLUSH) a write ends when it is durable.
 * A request of more than BLOCK_REQUEST_SECTORS_MAX sectors fails, as does one that is no whole number of sectors or lies
 * beyond the end; the length in the used ring counts what the device wrote: all of the writable part, or the status alone.
 * Not modelled: SIZE_MAX (QEMU does not offer it), SCSI commands, several queues, lifetime, secure erase, zones. */
#include "devices/virtio_blk_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIGHT_SECTORS_MAX (2 * BLOCK_REQUEST_SECTORS_MAX)
#define RETRY_NS 100000u

#define F_SEG_MAX (1ull << 2)
#define F_GEOMETRY (1ull << 4)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_TOPOLOGY (1ull << 10)
#define F_CONFIG_WCE (1ull << 11)

#define CONFIG_BYTES 60u
#define CONFIG_WRITEBACK 32u
#define GEOMETRY_HEADS 16u
#define GEOMETRY_SECTORS 63u
#define GEOMETRY_CYLINDERS_MIN 2u
#define GEOMETRY_CYLINDERS_MAX 16383u

STATE_TABLE(virtio_blk_fields, struct virtio_blk, VIRTIO_BLK_STATE);

static void put_le(uint8_t *bytes, unsigned size_bytes, uint64_t value)
{
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[n] = (uint8_t)(value >> (8 * n));
}

/* ---- the ring ---- */

static unsigned busy_slots(const struct virtio_blk *blk, uint64_t *sectors)
{
    unsigned count = 0;
    *sectors = 0;
    for (unsigned n = 0; n < VIRTIO_BLK_SLOTS; n++) {
        count += blk->slot[n].busy;
        *sectors += blk->slot[n].sectors;
    }
    return count;
}

/* Few at a time of the largest requests: what a guest can make us hold is bounded. */
static bool room(const struct virtio_blk *blk)
{
    uint64_t sectors;
    unsigned busy = busy_slots(blk, &sectors);
    return busy < VIRTIO_BLK_SLOTS && sectors < FLIGHT_SECTORS_MAX && block_drive_room(blk->options.drive);
}

/* The drive may be full of requests from before a reset, whose end nobody will tell us. */
static void hold(struct virtio_blk *blk)
{
    uint64_t sectors;
    blk->held = true;
    if (busy_slots(blk, &sectors))
        return;
    blk->retry_ns = vtime_now_ns(blk->device.machine) + RETRY_NS;
    vtimer_arm(&blk->retry, blk->retry_ns);
}

/* What is there now, and no more: answers may lie where the ring does. */
static void take_ring(struct virtio_blk *blk)
{
    struct memory *memory = virtio_blk_memory(blk);
    blk->held = false;
    if (!virtio_pci_running(blk->transport, VIRTIO_BLK_QUEUE))
        return;
    unsigned waiting = virtqueue_waiting(blk->queue, memory);
    bool sound = waiting <= blk->queue->size;
    for (unsigned n = 0; n < waiting && sound; n++) {
        if (!room(blk)) {
            hold(blk);
            return;
        }
        enum virtqueue_result result = virtqueue_take(blk->queue, memory, &blk->chain);
        if (result == VIRTQUEUE_EMPTY)
            break;
        sound = result == VIRTQUEUE_CHAIN && virtio_blk_execute(blk);
    }
    if (!sound)
        virtio_pci_break(blk->transport);
    else if (virtio_pci_has(blk->transport, VIRTIO_F_EVENT_IDX))
        virtqueue_expect(blk->queue, memory);
}

void virtio_blk_take_ring(struct virtio_blk *blk)
{
    block_hold(blk->options.drive);
    take_ring(blk);
    block_release(blk->options.drive);
}

static void retry_fire(void *opaque)
{
    struct virtio_blk *blk = opaque;
    blk->retry_ns = 0;
    if (blk->held)
        virtio_blk_take_ring(blk);
}

/* ---- transport ---- */

static void kicked(void *opaque, unsigned queue)
{
    struct virtio_blk *blk = opaque;
    (void)queue;
    if (!blk->held)
        virtio_blk_take_ring(blk);
}

static void put_geometry(uint8_t *bytes, uint64_t sectors)
{
    uint64_t cylinders = sectors / (GEOMETRY_HEADS * GEOMETRY_SECTORS);
    cylinders = cylinders < GEOMETRY_CYLINDERS_MIN ? GEOMETRY_CYLINDERS_MIN : cylinders;
    put_le(bytes + 16, 2, cylinders > GEOMETRY_CYLINDERS_MAX ? GEOMETRY_CYLINDERS_MAX : cylinders);
    bytes[18] = GEOMETRY_HEADS;
    bytes[19] = GEOMETRY_SECTORS;
}

static void read_config(void *opaque, uint8_t bytes[VIRTIO_CONFIG_BYTES_MAX])
{
    const struct virtio_blk *blk = opaque;
    put_le(bytes, 8, block_drive_sectors(blk->options.drive));
    put_le(bytes + 12, 4, VIRTIO_BLK_SEGMENTS_MAX);
    put_geometry(bytes, block_drive_sectors(blk->options.drive));
    put_le(bytes + 20, 4, BLOCK_SECTOR_BYTES);
    bytes[CONFIG_WRITEBACK] = blk->write_cache;
    put_le(bytes + 34, 2, 1); /* queues */
    if (blk->transport->offered & VIRTIO_BLK_F_DISCARD) {
        put_le(bytes + 36, 4, BLOCK_REQUEST_SECTORS_MAX);
        put_le(bytes + 40, 4, 1); /* ranges a request */
        put_le(bytes + 44, 4, 1); /* alignment in sectors */
    }
    if (blk->transport->offered & VIRTIO_BLK_F_WRITE_ZEROES) {
        put_le(bytes + 48, 4, BLOCK_REQUEST_SECTORS_MAX);
        put_le(bytes + 52, 4, 1);
        bytes[56] = blk->transport->offered & VIRTIO_BLK_F_DISCARD ? 1 : 0; /* may unmap */
    }
}

static void write_config(void *opaque, unsigned offset, uint8_t value)
{
    struct virtio_blk *blk = opaque;
    if (offset == CONFIG_WRITEBACK && virtio_pci_has(blk->transport, F_CONFIG_WCE))
        blk->write_cache = value & 1;
}

/* A driver that can't flush must not need to. */
static void started(void *opaque)
{
    struct virtio_blk *blk = opaque;
    if (!virtio_pci_has(blk->transport, F_CONFIG_WCE))
        blk->write_cache = virtio_pci_has(blk->transport, F_FLUSH);
}

static void transport_reset(void *opaque)
{
    struct virtio_blk *blk = opaque;
    uint64_t sectors;
    if (busy_slots(blk, &sectors))
        block_drive_abandon(blk->options.drive);
    for (unsigned n = 0; n < VIRTIO_BLK_SLOTS; n++)
        virtio_blk_drop_slot(&blk->slot[n]);
    blk->write_cache = !blk->options.no_write_cache;
    blk->held = false;
    blk->retry_ns = 0;
    vtimer_disarm(&blk->retry);
}

static void resized(void *opaque)
{
    struct virtio_blk *blk = opaque;
    virtio_pci_config_changed(blk->transport);
}

/* ---- the device ---- */

static struct virtio_blk *blk_of(struct device *device)
{
    return device_of(device, struct virtio_blk);
}

static void virtio_blk_reset(struct device *device)
{
    virtio_pci_reset(blk_of(device)->transport);
}

/* Finds the requests in flight again; one that the drive does not know is gone. */
static void virtio_blk_post_load(struct device *device)
{
    struct virtio_blk *blk = blk_of(device);
    for (unsigned n = 0; n < VIRTIO_BLK_SLOTS; n++)
        virtio_blk_reattach(&blk->slot[n]);
    if (!virtio_pci_post_load(blk->transport))
        return;
    vtimer_arm(&blk->retry, blk->retry_ns ? blk->retry_ns : VTIME_NEVER);
    if (blk->held && !blk->retry_ns)
        hold(blk); /* in case that the requests whose end it waits for are gone */
}

static void virtio_blk_destroy(struct device *device)
{
    struct virtio_blk *blk = blk_of(device);
    vtimer_disarm(&blk->retry);
}

static const struct device_class virtio_blk_class = {
    .name = "virtio_blk",
    .version = 1,
    .size = sizeof(struct virtio_blk),
    .fields = virtio_blk_fields,
    .reset = virtio_blk_reset,
    .post_load = virtio_blk_post_load,
    .destroy = virtio_blk_destroy,
};

static uint64_t features_of(const struct virtio_blk_options *options)
{
    uint64_t features = F_SEG_MAX | F_GEOMETRY | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE;
    if (block_drive_read_only(options->drive))
        return features | F_RO;
    return features | VIRTIO_BLK_F_WRITE_ZEROES | (options->no_discard ? 0 : VIRTIO_BLK_F_DISCARD);
}

static void make_names(struct virtio_blk *blk)
{
    const char *serial = blk->options.serial;
    char made[24];
    unsigned index = (unsigned)block_drive_index(blk->options.drive);
    snprintf(blk->id, sizeof blk->id, "virtio-blk%u", index);
    snprintf(made, sizeof made, "VMRR%05u", index);
    if (!serial || !*serial)
        serial = made;
    memcpy(blk->serial, serial, strnlen(serial, VIRTIO_BLK_ID_BYTES));
}

struct device *virtio_blk_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                                 const struct virtio_blk_options *options)
{
    static const struct virtio_pci_ops ops = {kicked, read_config, write_config, started, transport_reset};
    struct virtio_pci_identity identity = {.device_type = 2,
                                           .transitional_device = 0x1001,
                                           .class_base = 0x01,
                                           .config_bytes = CONFIG_BYTES,
                                           .no_legacy = options->no_legacy,
                                           .no_modern = options->no_modern};
    struct virtio_blk *blk = device_alloc(&virtio_blk_class, machine, NULL);
    blk->options = *options;
    make_names(blk);
    blk->device.id = blk->id;
    for (unsigned n = 0; n < VIRTIO_BLK_SLOTS; n++)
        blk->slot[n].blk = blk;
    vtimer_init(&blk->retry, machine, retry_fire, blk);
    virtio_pci_init(blk->transport, bus, slot, &identity, features_of(options), blk->queue, 1, &ops, blk);
    block_drive_listen(options->drive, (struct block_listener){.resized = resized, .opaque = blk});
    machine_add_device(machine, &blk->device);
    return &blk->device;
}
