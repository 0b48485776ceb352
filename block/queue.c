/* Drive = image + request queue: order, timing, completion. See block.h.
 *
 * Invariants:
 * (1) A request that conflicts with an earlier one (overlap with a write or discard among the two; a flush on either
 *     side) starts after the earlier one has completed.
 * (2) With timing=model the drive serves one request at a time; which of those that may go is the oldest, or, with a
 *     seed, drawn. It ends when the timer fires; the image work is done then, and its outcome is pulled.
 * (3) With timing=host all that may go are at the executor; each ends when its INPUT_BLOCK_COMPLETION is delivered.
 * (4) All trace events, and all writes to a device's buffer, happen on the machine thread at submit or at the end:
 *     their sequence depends on the guest and its inputs alone.
 * (5) A request that cannot be served (range, read-only) never reaches the image and ends after REFUSED_NS. */
#include "block/block.h"
#include "block/executor.h"
#include "block/image.h"
#include "block/latency.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define REFUSED_NS 10000u

enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_RUNNING, SLOT_STATES };

#define SLOT_STATE(S, A, N, T)                                                                                         \
    S(T, uint8_t, state)                                                                                               \
    S(T, uint8_t, op)                                                                                                  \
    S(T, bool, fua)                                                                                                    \
    S(T, bool, abandoned)                                                                                              \
    S(T, int32_t, refused)                                                                                             \
    S(T, uint32_t, tag)                                                                                                \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint64_t, due_ns)                                                                                             \
    S(T, uint64_t, data_hash)

struct slot {
    STATE_MEMBERS(SLOT_STATE)
    struct block_request *request; /* null: abandoned, or loaded and not reattached */
    uint8_t *buffer;               /* the data of a write, and what a read puts in before it is the device's */
    size_t buffer_bytes;
    struct block_job job;
    uint64_t submitted_ns; /* for the statistics */
};
STATE_TABLE(slot_fields, struct slot, SLOT_STATE);

#define DRIVE_STATE(S, A, N, T)                                                                                        \
    S(T, uint32_t, next_tag)                                                                                           \
    N(T, struct block_latency, latency, 1, block_latency_fields)                                                       \
    N(T, struct slot, slot, BLOCK_PENDING_MAX, slot_fields)

struct block_drive {
    struct device device;
    STATE_MEMBERS(DRIVE_STATE)
    struct block_image *image;
    struct block_queue_options options;
    struct vtimer timer;
    struct block_stats stats;
    char id[16];
};
STATE_TABLE(drive_fields, struct block_drive, DRIVE_STATE);

/* ---- slots ---- */

static size_t slot_bytes(const struct slot *slot)
{
    return (size_t)slot->sectors * BLOCK_SECTOR_BYTES;
}

static bool carries_data(uint8_t op)
{
    return op == TRACE_BLOCK_READ || op == TRACE_BLOCK_WRITE;
}

static bool tag_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static uint8_t *slot_buffer(struct slot *slot, size_t size_bytes)
{
    if (slot->buffer_bytes < size_bytes) {
        free(slot->buffer);
        slot->buffer = malloc(size_bytes);
        CHECK(slot->buffer);
        slot->buffer_bytes = size_bytes;
    }
    return slot->buffer;
}

static void slot_free(struct slot *slot)
{
    uint8_t *buffer = slot->buffer;
    size_t buffer_bytes = slot->buffer_bytes;
    memset(slot, 0, sizeof *slot); /* all fields: equal states must have equal digests */
    slot->buffer = buffer;
    slot->buffer_bytes = buffer_bytes;
}

static bool overlap(const struct slot *a, const struct slot *b)
{
    return a->sector < b->sector + b->sectors && b->sector < a->sector + a->sectors;
}

static bool conflict(const struct slot *earlier, const struct slot *later)
{
    if (earlier->refused || later->refused)
        return false;
    if (earlier->op == TRACE_BLOCK_FLUSH || later->op == TRACE_BLOCK_FLUSH)
        return true;
    return (earlier->op != TRACE_BLOCK_READ || later->op != TRACE_BLOCK_READ) && overlap(earlier, later);
}

static bool may_start(const struct block_drive *drive, const struct slot *slot)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct slot *other = &drive->slot[n];
        if (other->state != SLOT_FREE && tag_before(other->tag, slot->tag) && conflict(other, slot))
            return false;
    }
    return true;
}

/* The slots in a state, in order of tag; returns how many. */
static unsigned list_slots(struct block_drive *drive, enum slot_state state, struct slot *list[BLOCK_PENDING_MAX])
{
    unsigned count = 0;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        if (slot->state != state)
            continue;
        unsigned at = count++;
        for (; at && tag_before(slot->tag, list[at - 1]->tag); at--)
            list[at] = list[at - 1];
        list[at] = slot;
    }
    return count;
}

static bool timing_model(const struct block_drive *drive)
{
    return drive->options.timing == BLOCK_TIMING_MODEL;
}

/* Ends by the timer, not by the executor. */
static bool slot_timed(const struct block_drive *drive, const struct slot *slot)
{
    return slot->refused || timing_model(drive);
}

/* ---- trace ---- */

static void trace_slot(struct block_drive *drive, const struct slot *slot, enum trace_kind kind, uint64_t value,
                       enum status status)
{
    struct trace_event event = {.kind = kind,
                                .address = slot->sector,
                                .value = value,
                                .sectors = slot->sectors,
                                .drive = drive->options.drive,
                                .tag = slot->tag,
                                .op = slot->op,
                                .status = (int32_t)status};
    machine_trace(drive->device.machine, &event);
}

/* ---- starting ---- */

static void arm_timer(struct block_drive *drive)
{
    uint64_t due_ns = VTIME_NEVER;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct slot *slot = &drive->slot[n];
        if (slot->state == SLOT_RUNNING && slot_timed(drive, slot) && slot->due_ns < due_ns)
            due_ns = slot->due_ns;
    }
    vtimer_arm(&drive->timer, due_ns);
}

static void start_job(struct block_drive *drive, struct slot *slot)
{
    slot->job = (struct block_job){.image = drive->image,
                                   .op = (enum trace_block_op)slot->op,
                                   .sector = slot->sector,
                                   .sectors = slot->sectors,
                                   .fua = slot->fua,
                                   .drive = drive->options.drive,
                                   .tag = slot->tag};
    if (carries_data(slot->op))
        slot->job.data = slot_buffer(slot, slot_bytes(slot));
    drive->options.executor->ops->start(drive->options.executor, &slot->job);
}

static void start_slot(struct block_drive *drive, struct slot *slot)
{
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    slot->state = SLOT_RUNNING;
    if (slot->refused)
        slot->due_ns = now_ns + REFUSED_NS;
    else if (timing_model(drive))
        slot->due_ns = now_ns + block_latency_serve_ns(drive->latency, (enum trace_block_op)slot->op, slot->sector,
                                                       slot->sectors, slot->fua);
    else
        start_job(drive, slot);
}

static bool serving(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (drive->slot[n].state == SLOT_RUNNING && !drive->slot[n].refused)
            return true;
    }
    return false;
}

/* Starts what may go; the timer follows. */
static void start_ready(struct block_drive *drive)
{
    struct slot *waiting[BLOCK_PENDING_MAX], *ready[BLOCK_PENDING_MAX];
    unsigned waiting_count = list_slots(drive, SLOT_WAITING, waiting), ready_count = 0;
    for (unsigned n = 0; n < waiting_count; n++) {
        struct slot *slot = waiting[n];
        if (slot->refused || (!timing_model(drive) && may_start(drive, slot)))
            start_slot(drive, slot);
        else if (timing_model(drive) && may_start(drive, slot))
            ready[ready_count++] = slot;
    }
    if (ready_count && !serving(drive))
        start_slot(drive, ready[block_latency_choose(drive->latency, ready_count)]);
    arm_timer(drive);
}

/* ---- ending ---- */

static void account(struct block_drive *drive, const struct slot *slot, enum status status)
{
    struct block_operations *operation = &drive->stats.operation[slot->op];
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    if (slot->refused) {
        operation->invalid++;
        return;
    }
    drive->stats.active = true;
    drive->stats.last_ns = now_ns;
    operation->total_time_ns += now_ns - slot->submitted_ns;
    if (status) {
        operation->failed++;
        return;
    }
    operation->operations++;
    operation->bytes += slot_bytes(slot);
    uint64_t end = (slot->sector + slot->sectors) * BLOCK_SECTOR_BYTES;
    if (slot->op == TRACE_BLOCK_WRITE && end > drive->stats.write_highest_bytes)
        drive->stats.write_highest_bytes = end;
}

/* Last of all the slot is free and complete is called, which may submit again. */
static void end_slot(struct block_drive *drive, struct slot *slot, enum status status, const void *data)
{
    uint64_t hash = 0;
    if (slot->op == TRACE_BLOCK_READ && !status)
        hash = XXH3_64bits(data, slot_bytes(slot));
    if (slot->op != TRACE_BLOCK_READ && !status)
        trace_slot(drive, slot, TRACE_HOST_WRITE, 0, status);
    trace_slot(drive, slot, TRACE_BLOCK_COMPLETION, hash, status);
    account(drive, slot, status);
    struct block_request *request = slot->request;
    slot_free(slot);
    if (request)
        request->complete(request->opaque, request, status);
}

static uint64_t fetch_outcome(void *opaque)
{
    const enum status *outcome = opaque;
    return (uint64_t)(int64_t)*outcome;
}

/* What an input said: only 0 and the negative enum are outcomes. */
static enum status outcome_of(uint64_t value)
{
    int64_t status = (int64_t)value;
    return status == 0 ? STATUS_OK : status >= STATUS_INTERRUPTED && status < 0 ? (enum status)status : STATUS_IO;
}

/* Puts a read's data, or zeros after an error, where the device wants them. */
static void *deliver_read(struct slot *slot, enum status status)
{
    if (slot->op != TRACE_BLOCK_READ)
        return NULL;
    uint8_t *to = slot->request ? slot->request->data : slot_buffer(slot, slot_bytes(slot));
    if (status)
        memset(to, 0, slot_bytes(slot));
    else if (to != slot->buffer)
        memcpy(to, slot->buffer, slot_bytes(slot));
    return to;
}

static void finish_refused(struct block_drive *drive, struct slot *slot)
{
    enum status status = (enum status)slot->refused;
    if (slot->op == TRACE_BLOCK_READ && slot->request)
        memset(slot->request->data, 0, slot_bytes(slot));
    end_slot(drive, slot, status, NULL);
}

static void finish_model(struct block_drive *drive, struct slot *slot)
{
    void *data = slot->buffer;
    if (slot->op == TRACE_BLOCK_READ)
        data = slot->request ? slot->request->data : slot_buffer(slot, slot_bytes(slot));
    CHECK(data || !carries_data(slot->op));
    enum status outcome =
        block_image_perform(drive->image, (enum trace_block_op)slot->op, slot->sector, slot->sectors, data, slot->fua);
    enum status status = outcome_of(machine_pull(drive->device.machine, INPUT_IO_STATUS, fetch_outcome, &outcome));
    if (slot->op == TRACE_BLOCK_READ && status)
        memset(data, 0, slot_bytes(slot));
    end_slot(drive, slot, status, data);
}

static void finish_timed(struct block_drive *drive, struct slot *slot)
{
    if (slot->refused)
        finish_refused(drive, slot);
    else
        finish_model(drive, slot);
}

static void timer_fired(void *opaque)
{
    struct block_drive *drive = opaque;
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    for (;;) {
        struct slot *running[BLOCK_PENDING_MAX], *next = NULL;
        unsigned count = list_slots(drive, SLOT_RUNNING, running);
        for (unsigned n = 0; n < count; n++) {
            if (slot_timed(drive, running[n]) && running[n]->due_ns <= now_ns &&
                (!next || running[n]->due_ns < next->due_ns))
                next = running[n];
        }
        if (!next)
            break;
        finish_timed(drive, next);
    }
    start_ready(drive);
}

/* INPUT_BLOCK_COMPLETION. One for a request that is not at the executor cannot come from this machine's host: the run
 * is not what its inputs were made for. */
static void completion_delivered(void *opaque, const struct input_message *message)
{
    struct block_drive *drive = opaque;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        if (slot->state != SLOT_RUNNING || slot->refused || slot->tag != message->a)
            continue;
        (void)drive->options.executor->ops->collect(drive->options.executor, &slot->job);
        enum status status = outcome_of(message->b);
        end_slot(drive, slot, status, deliver_read(slot, status));
        start_ready(drive);
        return;
    }
    machine_fail(drive->device.machine, MACHINE_STOP_ERROR);
}

/* ---- submitting ---- */

static enum status refuse(const struct block_drive *drive, const struct block_request *request)
{
    uint64_t size = drive->image->size_sectors;
    if (request->op == TRACE_BLOCK_FLUSH)
        return STATUS_OK;
    if (!request->sectors || request->sector >= size || request->sectors > size - request->sector)
        return STATUS_INVALID;
    return request->op != TRACE_BLOCK_READ && drive->image->read_only ? STATUS_READ_ONLY : STATUS_OK;
}

static void take_write_data(struct block_drive *drive, struct slot *slot, const void *data)
{
    memcpy(slot_buffer(slot, slot_bytes(slot)), data, slot_bytes(slot));
    slot->data_hash = XXH3_64bits(slot->buffer, slot_bytes(slot));
    machine_trace_block_data(drive->device.machine, drive->options.drive, slot->sector, slot->buffer, slot_bytes(slot));
}

unsigned block_drive_room(const struct block_drive *drive)
{
    unsigned room = 0;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++)
        room += drive->slot[n].state == SLOT_FREE;
    return room;
}

static struct slot *free_slot(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (drive->slot[n].state == SLOT_FREE)
            return &drive->slot[n];
    }
    return NULL;
}

void block_submit(struct block_drive *drive, struct block_request *request)
{
    struct slot *slot = free_slot(drive);
    CHECK(slot && request->complete && request->sectors <= BLOCK_REQUEST_SECTORS_MAX);
    request->tag = drive->next_tag++;
    slot->state = SLOT_WAITING;
    slot->op = (uint8_t)request->op;
    slot->fua = request->fua;
    slot->tag = request->tag;
    slot->sector = request->op == TRACE_BLOCK_FLUSH ? 0 : request->sector;
    slot->sectors = request->op == TRACE_BLOCK_FLUSH ? 0 : request->sectors;
    slot->refused = refuse(drive, request);
    slot->request = request;
    slot->submitted_ns = vtime_now_ns(drive->device.machine);
    if (slot->op == TRACE_BLOCK_WRITE)
        take_write_data(drive, slot, request->data);
    trace_slot(drive, slot, TRACE_BLOCK_REQUEST, slot->data_hash, STATUS_OK);
    start_ready(drive);
}

void block_drive_abandon(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        drive->slot[n].request = NULL;
        drive->slot[n].abandoned = drive->slot[n].state != SLOT_FREE;
    }
    /* In order of tag, which is an order that the conflicts allow. */
    for (int state = SLOT_RUNNING; state >= SLOT_WAITING; state--) {
        struct slot *list[BLOCK_PENDING_MAX];
        unsigned count = list_slots(drive, (enum slot_state)state, list);
        for (unsigned n = 0; n < count; n++) {
            if (slot_timed(drive, list[n]))
                finish_timed(drive, list[n]);
        }
    }
    start_ready(drive);
}

/* ---- the device ---- */

static void drive_reset(struct device *device)
{
    block_drive_abandon(device_of(device, struct block_drive));
}

static bool slot_sound(const struct block_drive *drive, const struct slot *slot)
{
    uint64_t size = drive->image->size_sectors;
    return slot->state < SLOT_STATES && slot->op < TRACE_BLOCK_OPS && slot->sectors <= BLOCK_REQUEST_SECTORS_MAX &&
           (slot->refused || (slot->sector <= size && slot->sectors <= size - slot->sector)) &&
           (slot->op != TRACE_BLOCK_WRITE || slot->refused || slot->buffer_bytes >= slot_bytes(slot));
}

/* Running requests go on: by their due time, or at the executor from the start. */
static void drive_post_load(struct device *device)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        slot->request = NULL;
        slot->submitted_ns = vtime_now_ns(device->machine);
        if (slot->state == SLOT_FREE || !slot_sound(drive, slot))
            slot_free(slot);
        else if (slot->state == SLOT_RUNNING && !slot_timed(drive, slot))
            start_job(drive, slot);
    }
    arm_timer(drive);
}

static void drive_destroy(struct device *device)
{
    struct block_drive *drive = device_of(device, struct block_drive);
    vtimer_disarm(&drive->timer);
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        if (slot->state == SLOT_RUNNING && !slot_timed(drive, slot))
            drive->options.executor->ops->cancel(drive->options.executor, &slot->job);
        free(slot->buffer);
    }
    block_image_destroy(drive->image);
}

static const struct device_class block_drive_class = {
    .name = "block_drive",
    .version = 1,
    .size = sizeof(struct block_drive),
    .fields = drive_fields,
    .reset = drive_reset,
    .post_load = drive_post_load,
    .destroy = drive_destroy,
};

struct block_drive *block_drive_create(struct machine *machine, const struct block_queue_options *options,
                                       struct block_image *image, struct error *error)
{
    if (!image->size_sectors || image->size_sectors > (uint64_t)INT64_MAX / BLOCK_SECTOR_BYTES ||
        (options->timing == BLOCK_TIMING_HOST && !options->executor)) {
        error_set(error, "%s: a drive needs 1 to 2^54 sectors, and an executor under host timing", image->name);
        block_image_destroy(image);
        return NULL;
    }
    struct block_drive *drive = device_alloc(&block_drive_class, machine, NULL);
    snprintf(drive->id, sizeof drive->id, "drive%u", options->drive);
    drive->device.id = drive->id;
    drive->options = *options;
    drive->image = image;
    block_latency_init(drive->latency, options->seed, options->drive);
    vtimer_init(&drive->timer, machine, timer_fired, drive);
    if (!timing_model(drive))
        machine_set_receiver(machine, INPUT_BLOCK_COMPLETION, options->drive, completion_delivered, drive);
    machine_add_device(machine, &drive->device);
    return drive;
}

uint64_t block_drive_sectors(const struct block_drive *drive)
{
    return drive->image->size_sectors;
}

bool block_drive_read_only(const struct block_drive *drive)
{
    return drive->image->read_only;
}

uint32_t block_drive_index(const struct block_drive *drive)
{
    return drive->options.drive;
}

const struct block_stats *block_drive_stats(const struct block_drive *drive)
{
    return &drive->stats;
}

struct block_image *block_drive_image(struct block_drive *drive)
{
    return drive->image;
}

/* ---- restoring ---- */

static bool has_payload(const struct slot *slot)
{
    return slot->state != SLOT_FREE && slot->op == TRACE_BLOCK_WRITE && slot->sectors <= BLOCK_REQUEST_SECTORS_MAX;
}

size_t block_drive_payload_bytes(const struct block_drive *drive)
{
    size_t bytes = 0;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++)
        bytes += has_payload(&drive->slot[n]) ? slot_bytes(&drive->slot[n]) : 0;
    return bytes;
}

void block_drive_payload_save(const struct block_drive *drive, uint8_t *out)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct slot *slot = &drive->slot[n];
        if (!has_payload(slot))
            continue;
        memcpy(out, slot->buffer, slot_bytes(slot));
        out += slot_bytes(slot);
    }
}

enum status block_drive_payload_load(struct block_drive *drive, const uint8_t *in, size_t size)
{
    if (size != block_drive_payload_bytes(drive))
        return STATUS_CORRUPT;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        if (!has_payload(slot))
            continue;
        if (XXH3_64bits(in, slot_bytes(slot)) != slot->data_hash)
            return STATUS_CORRUPT;
        memcpy(slot_buffer(slot, slot_bytes(slot)), in, slot_bytes(slot));
        in += slot_bytes(slot);
    }
    return STATUS_OK;
}

bool block_reattach(struct block_drive *drive, struct block_request *request)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        if (slot->state == SLOT_FREE || slot->abandoned || slot->tag != request->tag || slot->op != request->op ||
            slot->sectors != request->sectors || slot->sector != request->sector)
            continue;
        slot->request = request;
        return true;
    }
    return false;
}
