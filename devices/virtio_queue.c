/* Split virtqueues: Virtual I/O Device 1.2, 2.7; indirect descriptors 2.7.5.3; notification suppression 2.7.7, 2.7.10.
 * The rules that a broken ring breaks: an index or a next beyond its table; a loop; more than VIRTQUEUE_SIZE_MAX segments;
 * an empty segment; something to read after something to write; an indirect table whose size is not a multiple of a
 * descriptor's, or inside another. An indirect table may have more entries than the queue, as QEMU allows.
 * Not modelled: packed rings, VIRTIO_F_IN_ORDER, VIRTIO_F_NOTIFICATION_DATA. */
#include "devices/virtio_queue.h"

#include <limits.h>

#define DESCRIPTOR_BYTES 16u
#define DESCRIPTOR_NEXT 1u
#define DESCRIPTOR_WRITE 2u
#define DESCRIPTOR_INDIRECT 4u
#define AVAILABLE_NO_INTERRUPT 1u
#define RING_INDEX 2u
#define RING_ENTRIES 4u
#define AVAILABLE_ENTRY_BYTES 2u
#define USED_ENTRY_BYTES 8u

const struct state_field virtqueue_fields[] = {
    VIRTQUEUE_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct virtqueue){.name = NULL}};

struct descriptor {
    uint64_t gpa;
    uint32_t bytes;
    uint16_t flags, next;
};

/* Where the walk stands: the queue's own table, or an indirect one. */
struct walk {
    uint64_t table;
    uint32_t entries;
    bool indirect;
};

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue){.size = VIRTQUEUE_SIZE_MAX, .vector = VIRTIO_NO_VECTOR};
}

bool virtqueue_sound(const struct virtqueue *queue)
{
    return queue->size && queue->size <= VIRTQUEUE_SIZE_MAX && !(queue->size & (queue->size - 1));
}

/* ---- rings ---- */

static uint64_t used_event_gpa(const struct virtqueue *queue)
{
    return queue->available + RING_ENTRIES + AVAILABLE_ENTRY_BYTES * (uint64_t)queue->size;
}

static uint64_t available_event_gpa(const struct virtqueue *queue)
{
    return queue->used + RING_ENTRIES + USED_ENTRY_BYTES * (uint64_t)queue->size;
}

unsigned virtqueue_waiting(const struct virtqueue *queue, struct memory *memory)
{
    return (uint16_t)(memory_read_u16(memory, queue->available + RING_INDEX) - queue->next_available);
}

void virtqueue_put_back(struct virtqueue *queue)
{
    queue->next_available--;
}

void virtqueue_expect(const struct virtqueue *queue, struct memory *memory)
{
    memory_write_u16(memory, available_event_gpa(queue), queue->next_available);
}

void virtqueue_return(struct virtqueue *queue, struct memory *memory, uint16_t head, uint32_t bytes_written)
{
    uint64_t entry = queue->used + RING_ENTRIES + USED_ENTRY_BYTES * (uint64_t)(queue->next_used % queue->size);
    memory_write_u32(memory, entry, head);
    memory_write_u32(memory, entry + 4, bytes_written);
    queue->next_used++;
    memory_write_u16(memory, queue->used + RING_INDEX, queue->next_used);
}

/* 2.7.7.2: with the event index, when used_event lies among the entries used since the last time. */
bool virtqueue_wants_interrupt(struct virtqueue *queue, struct memory *memory, bool event_index)
{
    if (!event_index)
        return !(memory_read_u16(memory, queue->available) & AVAILABLE_NO_INTERRUPT);
    uint16_t since = (uint16_t)(queue->next_used - queue->signalled_used);
    uint16_t event = memory_read_u16(memory, used_event_gpa(queue));
    bool wants = !queue->signalled || (uint16_t)(queue->next_used - event - 1) < since;
    queue->signalled = true;
    queue->signalled_used = queue->next_used;
    return wants;
}

/* ---- chains ---- */

static struct descriptor read_descriptor(struct memory *memory, uint64_t table, unsigned index)
{
    uint64_t gpa = table + (uint64_t)index * DESCRIPTOR_BYTES;
    return (struct descriptor){.gpa = memory_read_u64(memory, gpa),
                               .bytes = memory_read_u32(memory, gpa + 8),
                               .flags = memory_read_u16(memory, gpa + 12),
                               .next = memory_read_u16(memory, gpa + 14)};
}

static bool enter_indirect(struct walk *walk, const struct descriptor *descriptor)
{
    if (walk->indirect || !descriptor->bytes || descriptor->bytes % DESCRIPTOR_BYTES)
        return false;
    *walk = (struct walk){descriptor->gpa, descriptor->bytes / DESCRIPTOR_BYTES, true};
    return true;
}

static bool add_segment(struct virtio_chain *chain, const struct descriptor *descriptor)
{
    bool in = descriptor->flags & DESCRIPTOR_WRITE;
    unsigned count = chain->out_count + chain->in_count;
    if (!descriptor->bytes || (!in && chain->in_count) || count == VIRTQUEUE_SIZE_MAX)
        return false;
    chain->segment[count] = (struct virtio_segment){descriptor->gpa, descriptor->bytes};
    *(in ? &chain->in_count : &chain->out_count) += 1;
    *(in ? &chain->in_bytes : &chain->out_bytes) += descriptor->bytes;
    return true;
}

/* A chain that has as many descriptors as its table, and goes on, is a loop. */
static bool walk_chain(const struct virtqueue *queue, struct memory *memory, struct virtio_chain *chain)
{
    struct walk walk = {queue->descriptors, queue->size, false};
    unsigned index = chain->head;
    for (unsigned visited = 0; visited < walk.entries; visited++) {
        if (index >= walk.entries)
            return false;
        struct descriptor descriptor = read_descriptor(memory, walk.table, index);
        if (descriptor.flags & DESCRIPTOR_INDIRECT) {
            if (!enter_indirect(&walk, &descriptor))
                return false;
            visited = UINT_MAX; /* the count starts anew */
            index = 0;
            continue;
        }
        if (!add_segment(chain, &descriptor))
            return false;
        if (!(descriptor.flags & DESCRIPTOR_NEXT))
            return true;
        index = descriptor.next;
    }
    return false;
}

enum virtqueue_result virtqueue_take(struct virtqueue *queue, struct memory *memory, struct virtio_chain *chain)
{
    unsigned waiting = virtqueue_waiting(queue, memory);
    if (!waiting)
        return VIRTQUEUE_EMPTY;
    if (waiting > queue->size)
        return VIRTQUEUE_BROKEN;
    uint64_t entry = AVAILABLE_ENTRY_BYTES * (uint64_t)(queue->next_available % queue->size);
    chain->head = memory_read_u16(memory, queue->available + RING_ENTRIES + entry);
    chain->out_count = chain->in_count = 0;
    chain->out_bytes = chain->in_bytes = 0;
    if (!walk_chain(queue, memory, chain))
        return VIRTQUEUE_BROKEN;
    queue->next_available++;
    return VIRTQUEUE_CHAIN;
}

/* ---- data ---- */

uint64_t virtio_chain_read(const struct virtio_chain *chain, struct memory *memory, uint64_t from, void *buffer,
                           uint64_t size_bytes)
{
    uint8_t *to = buffer;
    uint64_t left = size_bytes;
    for (unsigned n = 0; n < chain->out_count && left; n++) {
        const struct virtio_segment *segment = &chain->segment[n];
        if (from >= segment->bytes) {
            from -= segment->bytes;
            continue;
        }
        uint64_t part = segment->bytes - from < left ? segment->bytes - from : left;
        memory_read(memory, segment->gpa + from, to, part);
        to += part;
        left -= part;
        from = 0;
    }
    return size_bytes - left;
}

uint64_t virtio_segments_write(const struct virtio_segment *segments, unsigned count, struct memory *memory,
                               const void *data, uint64_t size_bytes)
{
    const uint8_t *from = data;
    uint64_t left = size_bytes;
    for (unsigned n = 0; n < count && left; n++) {
        uint64_t part = segments[n].bytes < left ? segments[n].bytes : left;
        memory_write(memory, segments[n].gpa, from, part);
        from += part;
        left -= part;
    }
    return size_bytes - left;
}
