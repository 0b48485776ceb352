/* Requests of the virtio block device: Virtual I/O Device 1.2, 5.2.6. Types are told apart as QEMU does: with T_OUT masked
 * off, so that what a type does not care for does not matter. */
#include "devices/virtio_blk_internal.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 16u
#define RANGE_BYTES 16u

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

STATE_TABLE_KEPT(scatter_fields, struct virtio_blk_scatter, uint64_t, word, VIRTIO_BLK_SCATTER_WORDS);
const struct state_field virtio_blk_slot_fields[] = {
    VIRTIO_BLK_SLOT_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct virtio_blk_slot){.name = NULL}};

struct header {
    uint32_t type;
    uint64_t sector;
};

/* One of DISCARD and WRITE ZEROES. */
struct range {
    uint64_t sector;
    uint32_t sectors, flags;
};

static uint64_t get_le(const uint8_t *bytes, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)bytes[n] << (8 * n);
    return value;
}

/* ---- answers ---- */

static uint64_t status_gpa(const struct virtio_chain *chain)
{
    const struct virtio_segment *last = &chain->segment[chain->out_count + chain->in_count - 1];
    return last->gpa + last->bytes - 1;
}

static void answer(struct virtio_blk *blk, uint16_t head, uint64_t status_at, uint8_t status, uint64_t bytes_written)
{
    if (!virtio_pci_running(blk->transport, VIRTIO_BLK_QUEUE))
        return;
    memory_write(virtio_blk_memory(blk), status_at, &status, 1);
    uint32_t length = (uint32_t)(bytes_written > UINT32_MAX ? UINT32_MAX : bytes_written);
    virtio_pci_return(blk->transport, VIRTIO_BLK_QUEUE, head, length);
}

static void answer_now(struct virtio_blk *blk, uint8_t status)
{
    answer(blk, blk->chain.head, status_gpa(&blk->chain), status, 1);
}

/* ---- requests in flight ---- */

static struct virtio_blk_slot *free_slot(struct virtio_blk *blk)
{
    for (unsigned n = 0; n < VIRTIO_BLK_SLOTS; n++) {
        if (!blk->slot[n].busy)
            return &blk->slot[n];
    }
    return NULL;
}

void virtio_blk_drop_slot(struct virtio_blk_slot *slot)
{
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

static uint64_t slot_bytes(const struct virtio_blk_slot *slot)
{
    return (uint64_t)slot->sectors * BLOCK_SECTOR_BYTES;
}

static void scatter(struct virtio_blk *blk, const struct virtio_blk_slot *slot, const void *data)
{
    struct virtio_segment segment[VIRTQUEUE_SIZE_MAX];
    const uint64_t *word = slot->scatter->word;
    for (unsigned n = 0; n < slot->segments; n++)
        segment[n] = (struct virtio_segment){word[2 * n], (uint32_t)word[2 * n + 1]};
    (void)virtio_segments_write(segment, slot->segments, virtio_blk_memory(blk), data, slot_bytes(slot));
}

static void request_complete(void *opaque, struct block_request *request, enum status status)
{
    struct virtio_blk_slot *slot = opaque;
    struct virtio_blk *blk = slot->blk;
    bool read = request->op == TRACE_BLOCK_READ && !status;
    uint16_t head = slot->head;
    uint64_t status_at = slot->status_gpa;
    uint64_t bytes_written = read ? slot_bytes(slot) + 1 : 1;
    if (read && virtio_pci_running(blk->transport, VIRTIO_BLK_QUEUE))
        scatter(blk, slot, request->data);
    virtio_blk_drop_slot(slot);
    answer(blk, head, status_at, status ? S_IOERR : S_OK, bytes_written);
    if (blk->held)
        virtio_blk_take_ring(blk);
}

static void keep_scatter(struct virtio_blk_slot *slot, const struct virtio_chain *chain)
{
    slot->segments = (uint16_t)chain->in_count;
    for (unsigned n = 0; n < chain->in_count; n++) {
        slot->scatter->word[2 * n] = chain->segment[chain->out_count + n].gpa;
        slot->scatter->word[2 * n + 1] = chain->segment[chain->out_count + n].bytes;
    }
    state_kept_touch(&slot->scatter->kept);
}

/* The scatter list of the chain's data: what lies behind the header, or before the status. Returns how many. */
static unsigned data_segments(const struct virtio_chain *chain, bool read, struct block_segment *out)
{
    const struct virtio_segment *in = chain->segment + (read ? chain->out_count : 0);
    unsigned count = read ? chain->in_count : chain->out_count, used = 0;
    uint64_t skip = read ? 0 : HEADER_BYTES, left = (read ? chain->in_bytes - 1 : chain->out_bytes) - skip;
    for (unsigned n = 0; n < count && left; n++) {
        uint64_t before = skip < in[n].bytes ? skip : in[n].bytes;
        uint64_t bytes = in[n].bytes - before < left ? in[n].bytes - before : left;
        skip -= before;
        left -= bytes;
        if (bytes)
            out[used++] = (struct block_segment){in[n].gpa + before, (uint32_t)bytes};
    }
    return used;
}

static struct block_request make_request(struct virtio_blk_slot *slot, void *data)
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

/* The chain at hand becomes a request; range and room have been looked at. data: of a write. */
static void submit(struct virtio_blk *blk, uint32_t type, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                   void *data)
{
    struct virtio_blk_slot *slot = free_slot(blk);
    CHECK(slot);
    slot->busy = true;
    slot->op = (uint8_t)op;
    slot->head = blk->chain.head;
    slot->sector = op == TRACE_BLOCK_FLUSH ? 0 : sector;
    slot->sectors = op == TRACE_BLOCK_FLUSH ? 0 : sectors;
    slot->status_gpa = status_gpa(&blk->chain);
    if (op == TRACE_BLOCK_READ)
        keep_scatter(slot, &blk->chain);
    struct block_segment segment[VIRTQUEUE_SIZE_MAX];
    slot->request = make_request(slot, data);
    slot->request.command = type & ~T_BARRIER;
    if (op == TRACE_BLOCK_READ || op == TRACE_BLOCK_WRITE) {
        slot->request.segment_count = data_segments(&blk->chain, op == TRACE_BLOCK_READ, segment);
        slot->request.segment = segment;
        slot->request.cut = op == TRACE_BLOCK_WRITE && slot->request.segment_count >= VIRTIO_BLK_SEGMENTS_MAX;
    }
    block_submit(blk->options.drive, &slot->request);
    slot->tag = slot->request.tag;
    slot->request.segment = NULL;
}

/* ---- requests as the driver makes them ---- */

static bool in_range(const struct virtio_blk *blk, uint64_t sector, uint64_t sectors)
{
    uint64_t size = block_drive_sectors(blk->options.drive);
    return sectors <= BLOCK_REQUEST_SECTORS_MAX && sector <= size && sectors <= size - sector;
}

static void *gather(struct virtio_blk *blk, uint64_t size_bytes)
{
    void *data = block_write_buffer(blk->options.drive, size_bytes);
    (void)virtio_chain_read(&blk->chain, virtio_blk_memory(blk), HEADER_BYTES, data, size_bytes);
    return data;
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
        submit(blk, header->type, TRACE_BLOCK_WRITE, header->sector, (uint32_t)sectors, gather(blk, bytes));
    else
        submit(blk, header->type, TRACE_BLOCK_READ, header->sector, (uint32_t)sectors, NULL);
}

static void do_get_id(struct virtio_blk *blk)
{
    const struct virtio_chain *chain = &blk->chain;
    uint64_t room = chain->in_bytes - 1;
    (void)virtio_segments_write(chain->segment + chain->out_count, chain->in_count, virtio_blk_memory(blk), blk->serial,
                                room < VIRTIO_BLK_ID_BYTES ? room : VIRTIO_BLK_ID_BYTES);
    answer(blk, chain->head, status_gpa(chain), S_OK,
           chain->in_bytes <= VIRTIO_BLK_ID_BYTES + 1 ? chain->in_bytes : VIRTIO_BLK_ID_BYTES);
}

/* UNMAP says that the space of the zeros may be given back; of DISCARD it means nothing, and is refused (5.2.6.2). */
static void do_range(struct virtio_blk *blk, const struct range *range, bool zeroes)
{
    bool unmap = range->flags & RANGE_UNMAP;
    uint64_t feature = zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD;
    if (!(blk->transport->offered & feature) || (range->flags & ~RANGE_UNMAP) || (unmap && !zeroes)) {
        answer_now(blk, S_UNSUPP);
        return;
    }
    if (!in_range(blk, range->sector, range->sectors)) {
        answer_now(blk, S_IOERR);
        return;
    }
    bool give_back = !zeroes || (unmap && !blk->options.no_discard && block_drive_discards(blk->options.drive));
    if (!range->sectors)
        answer_now(blk, S_OK);
    else
        submit(blk, zeroes ? T_WRITE_ZEROES | T_OUT : T_DISCARD | T_OUT,
               give_back ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES, range->sector, range->sectors, NULL);
}

/* One range a request, as max_..._seg say. False: shorter than one. */
static bool take_range(struct virtio_blk *blk, const struct header *header, bool zeroes)
{
    uint8_t bytes[RANGE_BYTES];
    if (!(header->type & T_OUT) || blk->chain.out_bytes > HEADER_BYTES + RANGE_BYTES) {
        answer_now(blk, S_UNSUPP);
        return true;
    }
    if (virtio_chain_read(&blk->chain, virtio_blk_memory(blk), HEADER_BYTES, bytes, sizeof bytes) != sizeof bytes)
        return false;
    struct range range = {get_le(bytes, 8), (uint32_t)get_le(bytes + 8, 4), (uint32_t)get_le(bytes + 12, 4)};
    do_range(blk, &range, zeroes);
    return true;
}

/* False: the driver has broken the rules of the device. */
bool virtio_blk_execute(struct virtio_blk *blk)
{
    uint8_t bytes[HEADER_BYTES];
    if (!blk->chain.in_count ||
        virtio_chain_read(&blk->chain, virtio_blk_memory(blk), 0, bytes, sizeof bytes) != sizeof bytes)
        return false;
    struct header header = {(uint32_t)get_le(bytes, 4), get_le(bytes + 8, 8)};
    switch (header.type & ~(T_OUT | T_BARRIER)) {
    case T_READ_WRITE: do_read_write(blk, &header); return true;
    case T_FLUSH: submit(blk, header.type, TRACE_BLOCK_FLUSH, 0, 0, NULL); return true;
    case T_GET_ID: do_get_id(blk); return true;
    case T_DISCARD: return take_range(blk, &header, false);
    case T_WRITE_ZEROES: return take_range(blk, &header, true);
    default: answer_now(blk, S_UNSUPP); return true;
    }
}

/* ---- loaded state ---- */

static bool slot_sound(const struct virtio_blk_slot *slot)
{
    uint64_t bytes = 0;
    if (slot->op >= TRACE_BLOCK_OPS || slot->sectors > BLOCK_REQUEST_SECTORS_MAX || slot->segments > VIRTQUEUE_SIZE_MAX)
        return false;
    for (unsigned n = 0; n < slot->segments; n++)
        bytes += (uint32_t)slot->scatter->word[2 * n + 1];
    return slot->op != TRACE_BLOCK_READ || bytes == slot_bytes(slot) + 1;
}

void virtio_blk_reattach(struct virtio_blk_slot *slot)
{
    state_kept_touch(&slot->scatter->kept);
    if (slot->busy && slot_sound(slot)) {
        slot->request = make_request(slot, NULL);
        slot->busy = block_reattach(slot->blk->options.drive, &slot->request);
    } else {
        slot->busy = false;
    }
    if (!slot->busy)
        virtio_blk_drop_slot(slot);
}
