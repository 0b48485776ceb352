/* What the parts of the request queue share: a drive, its requests in flight, and the writes that it keeps. Nobody but
 * queue*.c includes this; block.h is the contract. All of it on the machine thread.
 *
 * Invariants:
 * (1) A request that conflicts with an earlier one (overlap with a write or discard among the two; a flush on either
 *     side) starts after the earlier one has completed.
 * (2) With timing=model the drive serves one request at a time; which of those that may go is the oldest, or, with a
 *     seed, drawn. It ends when the timer fires; the image work is done then, and its outcome is pulled.
 * (3) With timing=host all that may go are at the executor; each ends when its INPUT_BLOCK_COMPLETION is delivered.
 * (4) All trace events, and all writes to a device's buffer, happen on the machine thread at submit or at the end:
 *     their sequence depends on the guest and its inputs alone.
 * (5) A request that cannot be served (range, read-only) never reaches the image and ends after REFUSED_NS.
 * (6) A request that may go is asked about in this order: limits, then what goes wrong with it. One that has to wait for
 *     either, or that failed and stopped the machine, is paused until due_ns, and waits again from then on.
 * (7) Writes that the drive kept (BLOCK_FAULT_REORDER) overlap each other and any earlier request nowhere: a write that
 *     overlaps one carries it out first, a read takes the drive's data over the image's.
 * (8) A request sees the medium that was in the drive when it was given to the executor; one that was not, when its medium
 *     goes or no longer reaches so far, is refused. One that the executor has and that ends behind the new end fails. */
#ifndef VMRR_BLOCK_QUEUE_INTERNAL_H
#define VMRR_BLOCK_QUEUE_INTERNAL_H

#include "block/block.h"
#include "block/executor.h"
#include "block/fault.h"
#include "block/latency.h"
#include "block/throttle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_RUNNING, SLOT_PAUSED, SLOT_STATES };

#define SLOT_STATE(S, A, N, T)                                                                                         \
    S(T, uint8_t, state)                                                                                               \
    S(T, uint8_t, op)                                                                                                  \
    S(T, bool, fua)                                                                                                    \
    S(T, bool, abandoned)                                                                                              \
    S(T, bool, admitted)                                                                                               \
    S(T, bool, asked)                                                                                                  \
    S(T, int32_t, refused)                                                                                             \
    S(T, uint32_t, tag)                                                                                                \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint64_t, due_ns)                                                                                             \
    S(T, uint64_t, fault)                                                                                              \
    S(T, uint64_t, data_hash)

struct queue_slot {
    STATE_MEMBERS(SLOT_STATE)
    struct block_request *request; /* null: abandoned, or loaded and not reattached */
    uint8_t *buffer;               /* the data of a write, and what a read puts in before it is the device's */
    size_t buffer_bytes;
    struct block_job job;
    uint64_t submitted_ns; /* for the statistics */
    struct block_activity activity;
};

#define KEPT_STATE(S, A, N, T)                                                                                         \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, data_hash)

/* A write that the drive keeps; sectors 0: none. */
struct queue_kept {
    STATE_MEMBERS(KEPT_STATE)
    uint8_t *buffer;
    size_t buffer_bytes;
};

#define DRIVE_STATE(S, A, N, T)                                                                                        \
    S(T, uint32_t, next_tag)                                                                                           \
    S(T, uint32_t, medium)  /* its number; BLOCK_MEDIUM_NONE: there is none */                                         \
    S(T, uint64_t, sectors) /* of the medium, as the guest was told */                                                 \
    N(T, struct block_latency, latency, 1, block_latency_fields)                                                       \
    N(T, struct block_throttle, throttle, 1, block_throttle_fields)                                                    \
    N(T, struct queue_kept, kept, BLOCK_KEPT_MAX, kept_fields)                                                         \
    N(T, struct queue_slot, slot, BLOCK_PENDING_MAX, slot_fields)

struct block_drive {
    struct device device;
    STATE_MEMBERS(DRIVE_STATE)
    struct block_image *image;                      /* null: no medium */
    uint32_t image_medium;                          /* its number; the field says what it should be */
    struct block_image *retired[BLOCK_PENDING_MAX]; /* media that have gone, while the executor is at them */
    unsigned retired_count;
    struct block_queue_options options;
    struct block_listener listener;
    struct vtimer timer;
    struct block_stats stats;
    bool tray_open, tray_locked; /* for people */
    void (*on_tray)(void *opaque, uint32_t drive, bool open);
    void *on_tray_opaque;
    void (*on_error)(void *opaque, const struct block_error_event *event);
    void *on_error_opaque;
    char id[16];
};

/* ---- requests in flight: queue_slots.c ---- */

size_t queue_slot_bytes(const struct queue_slot *slot);
bool queue_tag_before(uint32_t a, uint32_t b);
/* At least so large; what was in it is gone. */
uint8_t *queue_grow_buffer(uint8_t **buffer, size_t *buffer_bytes, size_t size_bytes);
uint8_t *queue_slot_buffer(struct queue_slot *slot, size_t size_bytes);
void queue_slot_free(struct queue_slot *slot);
bool queue_ranges_overlap(uint64_t a, uint32_t a_sectors, uint64_t b, uint32_t b_sectors);
/* Nothing earlier is in its way. */
bool queue_may_start(const struct block_drive *drive, const struct queue_slot *slot);
/* Those in a state, in order of tag; returns how many. */
unsigned queue_list_slots(struct block_drive *drive, enum slot_state state, struct queue_slot *list[BLOCK_PENDING_MAX]);
bool queue_timing_model(const struct block_drive *drive);
/* Goes on by the timer, not by the executor. */
bool queue_slot_timed(const struct block_drive *drive, const struct queue_slot *slot);
bool queue_slot_fua(const struct block_drive *drive, const struct queue_slot *slot);
/* Does nothing on the image, by what the drive is told to do. */
bool queue_passes_by(const struct block_drive *drive, const struct queue_slot *slot);

/* ---- what others are told: queue_trace.c ---- */

void queue_trace_slot(struct block_drive *drive, const struct queue_slot *slot, enum trace_kind kind, uint64_t value,
                      enum status status);
/* Where it comes from: the device's command, the CPU, the scatter list. */
void queue_trace_origin(struct block_drive *drive, const struct queue_slot *slot, const struct block_request *request);
/* The log of its image work; null: nobody looks. */
struct block_activity *queue_activity(const struct block_drive *drive, struct queue_slot *slot);
void queue_report_activity(struct block_drive *drive, struct queue_slot *slot);
void queue_account(struct block_drive *drive, const struct queue_slot *slot, enum status status);
void queue_tell_error(struct block_drive *drive, const struct queue_slot *slot, enum status status,
                      enum block_on_error action);

/* ---- faults on purpose and kept writes: queue_fault.c ---- */

/* The same again undoes it. False: the bit is not in the data. */
bool queue_flip_bit(uint8_t *data, size_t size_bytes, uint64_t fault);
void queue_flip_write(struct queue_slot *slot);
/* Pulls INPUT_BLOCK_FAULT, where the drive has rules. */
void queue_ask_fault(struct block_drive *drive, struct queue_slot *slot);
/* What the job carries out first, and: it did. */
void queue_list_kept(struct block_drive *drive, const struct queue_slot *slot, struct block_job *job);
void queue_free_kept(struct block_drive *drive, const struct queue_slot *slot, const struct block_job *job);
/* The slot's data become a kept write's, where there is room. */
void queue_keep_write(struct block_drive *drive, struct queue_slot *slot);
/* Over what the image gave. */
void queue_read_kept(const struct block_drive *drive, const struct queue_slot *slot, uint8_t *data);

/* ---- their way: queue.c ---- */

void queue_arm_timer(struct block_drive *drive);
/* Starts what may go; the timer follows. */
void queue_start_ready(struct block_drive *drive);
/* The executor has it. */
bool queue_slot_at_host(const struct block_drive *drive, const struct queue_slot *slot);
bool queue_in_range(const struct block_drive *drive, const struct queue_slot *slot);
void queue_start_job(struct block_drive *drive, struct queue_slot *slot);
void queue_timer_fired(void *opaque);
void queue_completion_delivered(void *opaque, const struct input_message *message);

/* ---- the medium: queue_media.c ---- */

void queue_media_init(struct block_drive *drive);
void queue_media_fini(struct block_drive *drive);
/* Nothing is left of media that have gone. */
bool queue_media_ready(const struct block_drive *drive);
/* The fields say another medium than the one that is there: it is asked for. */
enum status queue_media_restore(struct block_drive *drive);
/* Loaded fields may not fit the image. */
void queue_media_post_load(struct block_drive *drive);
/* A request has left the executor: a medium that has gone may be closed. */
void queue_media_release(struct block_drive *drive);

#endif
