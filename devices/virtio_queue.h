/* Split virtqueues (OASIS Virtual I/O Device 1.2, 2.7) from the device's side. Thread: machine thread.
 *
 * A queue is state of the chip that has it: N(T, struct virtqueue, queue, COUNT, virtqueue_fields). Descriptors and rings
 * lie in guest memory and are hostile: nothing read there is used unchecked, no call follows more descriptors than the
 * queue has entries, and a ring that breaks the rules gives VIRTQUEUE_BROKEN: the transport then asks for a reset. */
#ifndef VMRR_DEVICES_VIRTIO_QUEUE_H
#define VMRR_DEVICES_VIRTIO_QUEUE_H

#include "core/machine.h"

#define VIRTQUEUE_SIZE_MAX 256u
#define VIRTIO_NO_VECTOR 0xFFFFu

#define VIRTQUEUE_STATE(S, A, N, T)                                                                                    \
    S(T, uint64_t, descriptors) /* guest physical addresses */                                                         \
    S(T, uint64_t, available)                                                                                          \
    S(T, uint64_t, used)                                                                                               \
    S(T, uint16_t, size) /* entries: a power of two, at most VIRTQUEUE_SIZE_MAX */                                     \
    S(T, uint16_t, vector)                                                                                             \
    S(T, uint16_t, next_available) /* free-running indices, as in the rings */                                         \
    S(T, uint16_t, next_used)                                                                                          \
    S(T, uint16_t, signalled_used) /* next_used when an interrupt was last considered */                               \
    S(T, bool, signalled)          /* signalled_used is valid */                                                       \
    S(T, bool, enabled)

struct virtqueue {
    STATE_MEMBERS(VIRTQUEUE_STATE)
};
extern const struct state_field virtqueue_fields[];

struct virtio_segment {
    uint64_t gpa;
    uint32_t bytes; /* never 0 */
};

/* A request as the driver made it: what the device may read, then what it may write. */
struct virtio_chain {
    uint16_t head;
    unsigned out_count, in_count; /* segments; together 1..VIRTQUEUE_SIZE_MAX */
    uint64_t out_bytes, in_bytes;
    struct virtio_segment segment[VIRTQUEUE_SIZE_MAX];
};

enum virtqueue_result { VIRTQUEUE_EMPTY, VIRTQUEUE_CHAIN, VIRTQUEUE_BROKEN };

void virtqueue_reset(struct virtqueue *queue);
/* Numbers of a saved state that no queue could have had: false. */
bool virtqueue_sound(const struct virtqueue *queue);
/* How many chains the driver has made available and nobody has taken; more than the size: the ring is broken. */
unsigned virtqueue_waiting(const struct virtqueue *queue, struct memory *memory);
/* Takes the next chain. */
enum virtqueue_result virtqueue_take(struct virtqueue *queue, struct memory *memory, struct virtio_chain *chain);
/* Puts the last chain taken back: the next virtqueue_take gives it again. */
void virtqueue_put_back(struct virtqueue *queue);
/* With VIRTIO_F_EVENT_IDX, after taking: the driver shall say when there is more. */
void virtqueue_expect(const struct virtqueue *queue, struct memory *memory);
/* Gives a chain back with the count of bytes written to it. */
void virtqueue_return(struct virtqueue *queue, struct memory *memory, uint16_t head, uint32_t bytes_written);
/* After virtqueue_return: does the driver want an interrupt? */
bool virtqueue_wants_interrupt(struct virtqueue *queue, struct memory *memory, bool event_index);

/* Copies from the readable part, from byte `from` on; returns what there was. */
uint64_t virtio_chain_read(const struct virtio_chain *chain, struct memory *memory, uint64_t from, void *buffer,
                           uint64_t size_bytes);
/* Copies into segments, from their first byte; returns what had room. */
uint64_t virtio_segments_write(const struct virtio_segment *segments, unsigned count, struct memory *memory,
                               const void *data, uint64_t size_bytes);

#endif
