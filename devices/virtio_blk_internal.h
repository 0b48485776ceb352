/* The virtio block device's own struct, and what its files share: virtio_blk.c (device, configuration, the ring) and
 * virtio_blk_requests.c (what a chain asks for, and its answer). */
#ifndef VMRR_DEVICES_VIRTIO_BLK_INTERNAL_H
#define VMRR_DEVICES_VIRTIO_BLK_INTERNAL_H

#include "devices/virtio_blk.h"
#include "devices/virtio_pci.h"

#define VIRTIO_BLK_QUEUE 0u
#define VIRTIO_BLK_SLOTS BLOCK_PENDING_MAX
#define VIRTIO_BLK_ID_BYTES 20u
#define VIRTIO_BLK_SEGMENTS_MAX (VIRTQUEUE_SIZE_MAX - 2) /* of data: header and status take one each */

#define VIRTIO_BLK_F_DISCARD (1ull << 13)
#define VIRTIO_BLK_F_WRITE_ZEROES (1ull << 14)

/* Where a request's answer goes: address, length of each writable segment. */
#define VIRTIO_BLK_SCATTER_WORDS (2 * VIRTQUEUE_SIZE_MAX)
struct virtio_blk_scatter {
    uint64_t word[VIRTIO_BLK_SCATTER_WORDS];
    struct state_kept kept;
};

#define VIRTIO_BLK_SLOT_STATE(S, A, N, T)                                                                              \
    S(T, bool, busy)                                                                                                   \
    S(T, uint8_t, op)                                                                                                  \
    S(T, uint16_t, head)                                                                                               \
    S(T, uint16_t, segments) /* of the scatter list that a read needs */                                               \
    S(T, uint32_t, tag)                                                                                                \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint64_t, status_gpa)                                                                                         \
    N(T, struct virtio_blk_scatter, scatter, 1, scatter_fields)

struct virtio_blk_slot {
    STATE_MEMBERS(VIRTIO_BLK_SLOT_STATE)
    struct block_request request;
    struct virtio_blk *blk;
};

#define VIRTIO_BLK_STATE(S, A, N, T)                                                                                   \
    N(T, struct virtio_pci, transport, 1, virtio_pci_fields)                                                           \
    N(T, struct virtqueue, queue, 1, virtqueue_fields)                                                                 \
    N(T, struct virtio_blk_slot, slot, VIRTIO_BLK_SLOTS, virtio_blk_slot_fields)                                       \
    S(T, bool, write_cache)                                                                                            \
    S(T, bool, held)         /* there is more in the ring than there was room for */                                   \
    S(T, uint64_t, retry_ns) /* when to look for room that no end of a request will tell of; 0: never */

struct virtio_blk {
    struct device device;
    STATE_MEMBERS(VIRTIO_BLK_STATE)
    struct virtio_blk_options options;
    char id[24];
    uint8_t serial[VIRTIO_BLK_ID_BYTES];
    struct vtimer retry;
    struct virtio_chain chain; /* no state: taken, looked at and dropped at one position */
};

static inline struct memory *virtio_blk_memory(const struct virtio_blk *blk)
{
    return machine_memory(blk->device.machine);
}

/* virtio_blk.c: takes chains from the ring while there is room. */
void virtio_blk_take_ring(struct virtio_blk *blk);

/* virtio_blk_requests.c */
extern const struct state_field virtio_blk_slot_fields[];
/* Carries out the chain at hand (blk->chain), or submits what it asks for. False: it breaks the rules of the device. */
bool virtio_blk_execute(struct virtio_blk *blk);
void virtio_blk_drop_slot(struct virtio_blk_slot *slot);
/* After loading: finds the request in flight again, or frees the slot. */
void virtio_blk_reattach(struct virtio_blk_slot *slot);

#endif
