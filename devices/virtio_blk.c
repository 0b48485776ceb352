/* virtio block device: Virtual I/O Device 1.2, 5.2, with the features and numbers of QEMU's virtio-blk-pci: one queue of
 * 256, SEG_MAX, GEOMETRY, BLK_SIZE, TOPOLOGY, FLUSH, CONFIG_WCE, RO, DISCARD, WRITE_ZEROES.
 *
 * A request is gathered into a buffer of its own when it is taken from the ring, and scattered where its descriptors said
 * then when it ends: what the driver does to the descriptors in between makes no difference. What the drive has no room
 * for stays in the ring, in order, and is taken when a request ends.
 * The write cache: without it (CONFIG_WCE, or a driver that does not know FLUSH) a write ends when it is durable.
 * A request of more than BLOCK_REQUEST_SECTORS_MAX sectors fails, as does one that is no whole number of sectors or lies
 * beyond the end; the length in the used ring counts what the device wrote: all of the writable part, or the status alone.
 * Not modelled: SIZE_MAX (QEMU does not offer it), SCSI commands, several queues, lifetime, secure erase, zones. */
#include "devices/virtio_blk.h"

#include "devices/virtio_pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 0u
#define SLOTS BLOCK_PENDING_MAX
#define FLIGHT_SECTORS_MAX (2 * BLOCK_REQUEST_SECTORS_MAX)
#define RETRY_NS 100000u
#define HEADER_BYTES 16u
#define RANGE_BYTES 16u
#define ID_BYTES 20u

#define F_SEG_MAX (1ull << 2)
#define F_GEOMETRY (1ull << 4)
#define F_RO (1ull << 5)
#define F_BLK_SIZE (1ull << 6)
#define F_FLUSH (1ull << 9)
#define F_TOPOLOGY (1ull << 10)
#define F_CONFIG_WCE (1ull << 11)
#define F_DISCARD (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

#define T_OUT 1u
#define T_BARRIER 0x80000000u /* legacy; requests that conflict keep their order anyway */
#define T_READ_WRITE 0u       /* the types without T_OUT, as QEMU compares them */
#define T_FLUSH 4u
#define T_GET_ID 8u
#define T_DISCARD 10u
#define T_WRITE_ZEROES 12u
#define RANGE_UNMAP 1u

#define S_OK 0u
#define S_IOERR 1u
#define S_UNSUPP 2u

#define CONFIG_BYTES 60u
#define CONFIG_WRITEBACK 32u
#define GEOMETRY_HEADS 16u
#define GEOMETRY_SECTORS 63u
#define GEOMETRY_CYLINDERS_MIN 2u
#define GEOMETRY_CYLINDERS_MAX 16383u

/* Where a request's answer goes: address, length of each writable segment. */
#define SCATTER_WORDS (2 * VIRTQUEUE_SIZE_MAX)
struct scatter {
    uint64_t word[SCATTER_WORDS];
    struct state_kept kept;
};
STATE_TABLE_KEPT(scatter_fields, struct scatter, uint64_t, word, SCATTER_WORDS);

#define SLOT_STATE(S, A, N, T)                                                                                         \
    S(T, bool, busy)                                                                                                   \
    S(T, uint8_t, op)                                                                                                  \
    S(T, uint16_t, head)                                                                                               \
    S(T, uint16_t, segments) /* of the scatter list that a read needs */                                               \
    S(T, uint32_t, tag)                                                                                                \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint64_t, status_gpa)                                                                                         \
    N(T, struct scatter, scatter, 1, scatter_fields)

struct slot {
    STATE_MEMBERS(SLOT_STATE)
    struct block_request request;
    uint8_t *data; /* of a read */
    struct virtio_blk *blk;
};
STATE_TABLE(slot_fields, struct slot, SLOT_STATE);

#define VIRTIO_BLK_STATE(S, A, N, T)                                                                                   \
    N(T, struct virtio_pci, transport, 1, virtio_pci_fields)                                                           \
    N(T, struct virtqueue, queue, 1, virtqueue_fields)                                                                 \
    N(T, struct slot, slot, SLOTS, slot_fields)                                                                        \
    S(T, bool, write_cache)                                                                                            \
    S(T, bool, held)         /* there is more in the ring than there was room for */                                   \
    S(T, uint64_t, retry_ns) /* when to look for room that no end of a request will tell of; 0: never */

struct virtio_blk {
    struct device device;
    STATE_MEMBERS(VIRTIO_BLK_STATE)
    struct virtio_blk_options options;
    char id[24];
    uint8_t serial[ID_BYTES];
    struct vtimer retry;
    struct virtio_chain chain; /* no state: taken, looked at and dropped at one position */
    uint8_t *gather;           /* the same for a write's data */
    size_t gather_bytes;
};
STATE_TABLE(virtio_blk_fields, struct virtio_blk, VIRTIO_BLK_STATE);

struct header {
    uint32_t type;
    uint64_t sector;
};

/* One of DISCARD and WRITE ZEROES. */
struct range {
    uint64_t sector;
    uint32_t sectors, flags;
};

static struct memory *memory_of(const struct virtio_blk *blk)
{
    return machine_memory(blk->device.machine);
}

static uint64_t get_le(const uint8_t *bytes, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)bytes[n] << (8 * n);
    return value;
}

static void put_le(uint8_t *bytes, unsigned size_bytes, uint64_t value)
{
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[n] = (uint8_t)(value >> (8 * n));
}

/* ---- answers ---- */

static uint64_t status_gpa(const struct virtio_chain *chain)
{
    const struct virtio_segment *last = &chain->segment[chain->out_count + chain->in_count - 1];
    return last->gpa + last->bytes - 1;
}

static void answer(struct virtio_blk *blk, uint16_t head, uint64_t status_at, uint8_t status, uint64_t bytes_written)
{
    if (!virtio_pci_running(blk->transport, QUEUE))
        return;
    memory_write(memory_of(blk), status_at, &status, 1);
    uint32_t length = (uint32_t)(bytes_written > UINT32_MAX ? UINT32_MAX : bytes_written);
    virtio_pci_return(blk->transport, QUEUE, head, length);
}

static void answer_now(struct virtio_blk *blk, uint8_t status)
{
    answer(blk, blk->chain.head, status_gpa(&blk->chain), status, 1);
}

/* ---- requests in flight ---- */

static struct slot *free_slot(struct virtio_blk *blk)
{
    for (unsigned n = 0; n < SLOTS; n++) {
        if (!blk->slot[n].busy)
            return &blk->slot[n];
    }
    return NULL;
}

static void drop_slot(struct slot *slot)
{
    free(slot->data);
    slot->data = NULL;
    slot->busy = false;
    slot->op = 0;
    slot->tag = slot->sectors = 0;
    slot->sector = slot->status_gpa = 0;
    if (slot->segments) {
        memset(slot->scatter->word, 0, sizeof slot->scatter->word);
        state_kept_touch(&slot->scatter->kept);
    }
    slot->head = slot->segments = 0;
}

static uint64_t slot_bytes(const struct slot *slot)
{
    return (uint64_t)slot->sectors * BLOCK_SECTOR_BYTES;
}

static void scatter(struct virtio_blk *blk, const struct slot *slot)
{
    struct virtio_segment segment[VIRTQUEUE_SIZE_MAX];
    const uint64_t *word = slot->scatter->word;
    for (unsigned n = 0; n < slot->segments; n++)
        segment[n] = (struct virtio_segment){word[2 * n], (uint32_t)word[2 * n + 1]};
    (void)virtio_segments_write(segment, slot->segments, memory_of(blk), slot->data, slot_bytes(slot));
}

static void take_ring(struct virtio_blk *blk);

static void request_complete(void *opaque, struct block_request *request, enum status status)
{
    struct slot *slot = opaque;
    struct virtio_blk *blk = slot->blk;
    bool read = request->op == TRACE_BLOCK_READ && !status;
    uint16_t head = slot->head;
    uint64_t status_at = slot->status_gpa;
    uint64_t bytes_written = read ? slot_bytes(slot) + 1 : 1;
    if (read && virtio_pci_running(blk->transport, QUEUE))
        scatter(blk, slot);
    drop_slot(slot);
    answer(blk, head, status_at, status ? S_IOERR : S_OK, bytes_written);
    if (blk->held)
        take_ring(blk);
}

static void keep_scatter(struct slot *slot, const struct virtio_chain *chain)
{
    slot->segments = (uint16_t)chain->in_count;
    for (unsigned n = 0; n < chain->in_count; n++) {
        slot->scatter->word[2 * n] = chain->segment[chain->out_count + n].gpa;
        slot->scatter->word[2 * n + 1] = chain->segment[chain->out_count + n].bytes;
    }
    state_kept_touch(&slot->scatter->kept);
}

static struct block_request make_request(struct slot *slot, void *data)
{
    return (struct block_request){.op = (enum trace_block_op)slot->op,
                                  .sector = slot->sector,
                                  .sectors = slot->sectors,
                                  .fua = !slot->blk->write_cache,
                                  .data = data,
                                  .complete = request_complete,
                                  .opaque = slot,
                                  .tag = slot->tag};
}

static void *read_buffer(struct slot *slot)
{
    slot->data = malloc(slot_bytes(slot));
    CHECK(slot->data);
    return slot->data;
}

/* The chain at hand becomes a request; range and room have been looked at. data: of a write. */
static void submit(struct virtio_blk *blk, enum trace_block_op op, uint64_t sector, uint32_t sectors, void *data)
{
    struct slot *slot = free_slot(blk);
    CHECK(slot);
    slot->busy = true;
    slot->op = (uint8_t)op;
    slot->head = blk->chain.head;
    slot->sector = op == TRACE_BLOCK_FLUSH ? 0 : sector;
    slot->sectors = op == TRACE_BLOCK_FLUSH ? 0 : sectors;
    slot->status_gpa = status_gpa(&blk->chain);
    if (op == TRACE_BLOCK_READ) {
        keep_scatter(slot, &blk->chain);
        data = read_buffer(slot);
    }
    slot->request = make_request(slot, data);
    block_submit(blk->options.drive, &slot->request);
    slot->tag = slot->request.tag;
}

/* ---- requests as the driver makes them ---- */

static bool in_range(const struct virtio_blk *blk, uint64_t sector, uint64_t sectors)
{
    uint64_t size = block_drive_sectors(blk->options.drive);
    return sectors <= BLOCK_REQUEST_SECTORS_MAX && sector <= size && sectors <= size - sector;
}

static void *gather(struct virtio_blk *blk, uint64_t size_bytes)
{
    if (blk->gather_bytes < size_bytes) {
        free(blk->gather);
        blk->gather = malloc(size_bytes);
        CHECK(blk->gather);
        blk->gather_bytes = size_bytes;
    }
    (void)virtio_chain_read(&blk->chain, memory_of(blk), HEADER_BYTES, blk->gather, size_bytes);
    return blk->gather;
}

static void do_read_write(struct virtio_blk *blk, const struct header *header)
{
    bool out = header->type & T_OUT;
    uint64_t bytes = out ? blk->chain.out_bytes - HEADER_BYTES : blk->chain.in_bytes - 1;
    uint64_t sectors = bytes / BLOCK_SECTOR_BYTES;
    if (bytes % BLOCK_SECTOR_BYTES || !in_range(blk, header->sector, sectors)) {
        answer_now(blk, S_IOERR);
        return;
    }
    if (!sectors)
        answer_now(blk, S_OK);
    else if (out)
        submit(blk, TRACE_BLOCK_WRITE, header->sector, (uint32_t)sectors, gather(blk, bytes));
    else
        submit(blk, TRACE_BLOCK_READ, header->sector, (uint32_t)sectors, NULL);
}

static void do_get_id(struct virtio_blk *blk)
{
    const struct virtio_chain *chain = &blk->chain;
    uint64_t room = chain->in_bytes - 1;
    (void)virtio_segments_write(chain->segment + chain->out_count, chain->in_count, memory_of(blk), blk->serial,
                                room < ID_BYTES ? room : ID_BYTES);
    answer(blk, chain->head, status_gpa(chain), S_OK, chain->in_bytes <= ID_BYTES + 1 ? chain->in_bytes : ID_BYTES);
}

/* UNMAP says that the space of the zeros may be given back; of DISCARD it means nothing, and is refused (5.2.6.2). */
static void do_range(struct virtio_blk *blk, const struct range *range, bool zeroes)
{
    bool unmap = range->flags & RANGE_UNMAP;
    uint64_t feature = zeroes ? F_WRITE_ZEROES : F_DISCARD;
    if (!(blk->transport->offered & feature) || (range->flags & ~RANGE_UNMAP) || (unmap && !zeroes)) {
        answer_now(blk, S_UNSUPP);
        return;
    }
    if (!in_range(blk, range->sector, range->sectors)) {
        answer_now(blk, S_IOERR);
        return;
    }
    bool give_back = !zeroes || (unmap && !blk->options.no_discard);
    if (!range->sectors)
        answer_now(blk, S_OK);
    else
        submit(blk, give_back ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES, range->sector, range->sectors, NULL);
}

/* One range a request, as max_..._seg say. False: shorter than one. */
static bool take_range(struct virtio_blk *blk, const struct header *header, bool zeroes)
{
    uint8_t bytes[RANGE_BYTES];
    if (!(header->type & T_OUT) || blk->chain.out_bytes > HEADER_BYTES + RANGE_BYTES) {
        answer_now(blk, S_UNSUPP);
        return true;
    }
    if (virtio_chain_read(&blk->chain, memory_of(blk), HEADER_BYTES, bytes, sizeof bytes) != sizeof bytes)
        return false;
    struct range range = {get_le(bytes, 8), (uint32_t)get_le(bytes + 8, 4), (uint32_t)get_le(bytes + 12, 4)};
    do_range(blk, &range, zeroes);
    return true;
}

/* False: the driver has broken the rules of the device. */
static bool execute(struct virtio_blk *blk)
{
    uint8_t bytes[HEADER_BYTES];
    if (!blk->chain.in_count || virtio_chain_read(&blk->chain, memory_of(blk), 0, bytes, sizeof bytes) != sizeof bytes)
        return false;
    struct header header = {(uint32_t)get_le(bytes, 4), get_le(bytes + 8, 8)};
    switch (header.type & ~(T_OUT | T_BARRIER)) {
    case T_READ_WRITE: do_read_write(blk, &header); return true;
    case T_FLUSH: submit(blk, TRACE_BLOCK_FLUSH, 0, 0, NULL); return true;
    case T_GET_ID: do_get_id(blk); return true;
    case T_DISCARD: return take_range(blk, &header, false);
    case T_WRITE_ZEROES: return take_range(blk, &header, true);
    default: answer_now(blk, S_UNSUPP); return true;
    }
}

/* ---- the ring ---- */

static unsigned busy_slots(const struct virtio_blk *blk, uint64_t *sectors)
{
    unsigned count = 0;
    *sectors = 0;
    for (unsigned n = 0; n < SLOTS; n++) {
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
    return busy < SLOTS && sectors < FLIGHT_SECTORS_MAX && block_drive_room(blk->options.drive);
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
    struct memory *memory = memory_of(blk);
    blk->held = false;
    if (!virtio_pci_running(blk->transport, QUEUE))
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
        sound = result == VIRTQUEUE_CHAIN && execute(blk);
    }
    if (!sound)
        virtio_pci_break(blk->transport);
    else if (virtio_pci_has(blk->transport, VIRTIO_F_EVENT_IDX))
        virtqueue_expect(blk->queue, memory);
}

static void retry_fire(void *opaque)
{
    struct virtio_blk *blk = opaque;
    blk->retry_ns = 0;
    if (blk->held)
        take_ring(blk);
}

/* ---- transport ---- */

static void kicked(void *opaque, unsigned queue)
{
    struct virtio_blk *blk = opaque;
    (void)queue;
    if (!blk->held)
        take_ring(blk);
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
    put_le(bytes + 12, 4, VIRTQUEUE_SIZE_MAX - 2); /* header and status take one each */
    put_geometry(bytes, block_drive_sectors(blk->options.drive));
    put_le(bytes + 20, 4, BLOCK_SECTOR_BYTES);
    bytes[CONFIG_WRITEBACK] = blk->write_cache;
    put_le(bytes + 34, 2, 1); /* queues */
    if (blk->transport->offered & F_DISCARD) {
        put_le(bytes + 36, 4, BLOCK_REQUEST_SECTORS_MAX);
        put_le(bytes + 40, 4, 1); /* ranges a request */
        put_le(bytes + 44, 4, 1); /* alignment in sectors */
    }
    if (blk->transport->offered & F_WRITE_ZEROES) {
        put_le(bytes + 48, 4, BLOCK_REQUEST_SECTORS_MAX);
        put_le(bytes + 52, 4, 1);
        bytes[56] = blk->transport->offered & F_DISCARD ? 1 : 0; /* may unmap */
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
    for (unsigned n = 0; n < SLOTS; n++)
        drop_slot(&blk->slot[n]);
    blk->write_cache = !blk->options.no_write_cache;
    blk->held = false;
    blk->retry_ns = 0;
    vtimer_disarm(&blk->retry);
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

static bool slot_sound(const struct slot *slot)
{
    uint64_t bytes = 0;
    if (slot->op >= TRACE_BLOCK_OPS || slot->sectors > BLOCK_REQUEST_SECTORS_MAX || slot->segments > VIRTQUEUE_SIZE_MAX)
        return false;
    for (unsigned n = 0; n < slot->segments; n++)
        bytes += (uint32_t)slot->scatter->word[2 * n + 1];
    return slot->op != TRACE_BLOCK_READ || bytes == slot_bytes(slot) + 1;
}

/* Finds the requests in flight again; one that the drive does not know is gone. */
static void virtio_blk_post_load(struct device *device)
{
    struct virtio_blk *blk = blk_of(device);
    for (unsigned n = 0; n < SLOTS; n++) {
        struct slot *slot = &blk->slot[n];
        state_kept_touch(&slot->scatter->kept);
        free(slot->data);
        slot->data = NULL;
        if (slot->busy && slot_sound(slot)) {
            slot->request = make_request(slot, slot->op == TRACE_BLOCK_READ ? read_buffer(slot) : NULL);
            slot->busy = block_reattach(blk->options.drive, &slot->request);
        } else {
            slot->busy = false;
        }
        if (!slot->busy)
            drop_slot(slot);
    }
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
    for (unsigned n = 0; n < SLOTS; n++)
        free(blk->slot[n].data);
    free(blk->gather);
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
    return features | F_WRITE_ZEROES | (options->no_discard ? 0 : F_DISCARD);
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
    memcpy(blk->serial, serial, strnlen(serial, ID_BYTES));
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
    for (unsigned n = 0; n < SLOTS; n++)
        blk->slot[n].blk = blk;
    vtimer_init(&blk->retry, machine, retry_fire, blk);
    virtio_pci_init(blk->transport, bus, slot, &identity, features_of(options), blk->queue, 1, &ops, blk);
    machine_add_device(machine, &blk->device);
    return &blk->device;
}
