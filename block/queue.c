/* Drive = image + request queue: a request's way from submit to completion. Invariants: queue_internal.h; what devices
 * and tools may expect: block.h. */
#include "block/queue_internal.h"

#include <string.h>
#include <xxhash.h>

#define REFUSED_NS 10000u
#define RETRY_NS 1000000u /* after the machine goes on */

/* ---- the timer ---- */

void queue_arm_timer(struct block_drive *drive)
{
    uint64_t due_ns = VTIME_NEVER;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct queue_slot *slot = &drive->slot[n];
        bool timed = slot->state == SLOT_PAUSED || (slot->state == SLOT_RUNNING && queue_slot_timed(drive, slot));
        if (timed && slot->due_ns < due_ns)
            due_ns = slot->due_ns;
    }
    vtimer_arm(&drive->timer, due_ns);
}

/* ---- starting ---- */

static bool all_zero(const uint8_t *data, size_t size_bytes)
{
    return !data[0] && !memcmp(data, data + 1, size_bytes - 1);
}

static bool carries_data(uint8_t op)
{
    return op == TRACE_BLOCK_READ || op == TRACE_BLOCK_WRITE;
}

/* What the image is asked to do: zeros may be written as such, or given back. */
static enum trace_block_op job_op(const struct block_drive *drive, const struct queue_slot *slot)
{
    enum block_detect_zeroes detect = drive->options.detect_zeroes;
    if (slot->op != TRACE_BLOCK_WRITE || detect == BLOCK_DETECT_OFF || slot->fault ||
        !all_zero(slot->buffer, queue_slot_bytes(slot)))
        return (enum trace_block_op)slot->op;
    return detect == BLOCK_DETECT_UNMAP ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES;
}

static void fill_job(struct block_drive *drive, struct queue_slot *slot)
{
    slot->job = (struct block_job){.image = drive->image,
                                   .op = job_op(drive, slot),
                                   .sector = slot->sector,
                                   .sectors = slot->sectors,
                                   .fua = queue_slot_fua(drive, slot),
                                   .cut = slot->request && slot->request->cut,
                                   .activity = queue_activity(drive, slot),
                                   .drive = drive->options.drive,
                                   .tag = slot->tag,
                                   .aio = drive->options.aio,
                                   .fault = slot->fault};
    if (queue_passes_by(drive, slot) && block_fault_kind(slot->fault) != BLOCK_FAULT_REORDER)
        slot->job.fault = block_fault_make(BLOCK_FAULT_LOST, 0);
    if (carries_data(slot->op))
        slot->job.data = queue_slot_buffer(slot, queue_slot_bytes(slot));
    queue_list_kept(drive, slot, &slot->job);
}

void queue_start_job(struct block_drive *drive, struct queue_slot *slot)
{
    fill_job(drive, slot);
    drive->options.executor->ops->start(drive->options.executor, &slot->job);
}

static void start_slot(struct block_drive *drive, struct queue_slot *slot)
{
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    slot->state = SLOT_RUNNING;
    if (slot->refused)
        slot->due_ns = now_ns + REFUSED_NS;
    else if (queue_timing_model(drive))
        slot->due_ns = now_ns + block_latency_serve_ns(drive->latency, (enum trace_block_op)slot->op, slot->sector,
                                                       slot->sectors, queue_slot_fua(drive, slot));
    else
        queue_start_job(drive, slot);
}

static void pause_slot(struct queue_slot *slot, uint64_t until_ns)
{
    slot->state = SLOT_PAUSED;
    slot->due_ns = until_ns;
}

/* Limits and faults: false when the request has to wait for one of them. */
static bool let_go(struct block_drive *drive, struct queue_slot *slot)
{
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    if (!slot->admitted) {
        uint64_t ready_ns = block_throttle_admit_ns(drive->throttle, &drive->options.policy.throttle,
                                                    (enum trace_block_op)slot->op, queue_slot_bytes(slot), now_ns);
        slot->admitted = ready_ns <= now_ns;
        if (!slot->admitted) {
            pause_slot(slot, ready_ns);
            return false;
        }
    }
    if (slot->asked)
        return true;
    queue_ask_fault(drive, slot);
    if (block_fault_kind(slot->fault) == BLOCK_FAULT_DELAY)
        pause_slot(slot, now_ns + block_fault_argument(slot->fault));
    return slot->state != SLOT_PAUSED;
}

static bool serving(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (drive->slot[n].state == SLOT_RUNNING && !drive->slot[n].refused)
            return true;
    }
    return false;
}

void queue_start_ready(struct block_drive *drive)
{
    struct queue_slot *waiting[BLOCK_PENDING_MAX], *ready[BLOCK_PENDING_MAX];
    unsigned waiting_count = queue_list_slots(drive, SLOT_WAITING, waiting), ready_count = 0;
    for (unsigned n = 0; n < waiting_count; n++) {
        struct queue_slot *slot = waiting[n];
        if (slot->refused)
            start_slot(drive, slot);
        else if (!queue_may_start(drive, slot) || !let_go(drive, slot))
            continue;
        else if (queue_timing_model(drive))
            ready[ready_count++] = slot;
        else
            start_slot(drive, slot);
    }
    if (ready_count && !serving(drive))
        start_slot(drive, ready[block_latency_choose(drive->latency, ready_count)]);
    queue_arm_timer(drive);
}

/* ---- ending ---- */

/* Last of all the slot is free and complete is called, which may submit again. told: what the device hears. */
static void end_slot(struct block_drive *drive, struct queue_slot *slot, enum status status, enum status told,
                     void *data)
{
    uint64_t hash = 0;
    if (slot->op == TRACE_BLOCK_READ && !status && machine_traces(drive->device.machine, TRACE_BLOCK_COMPLETION))
        hash = XXH3_64bits(data, queue_slot_bytes(slot));
    queue_report_activity(drive, slot);
    if (slot->op != TRACE_BLOCK_READ && !status && !queue_passes_by(drive, slot))
        queue_trace_slot(drive, slot, TRACE_HOST_WRITE, 0, status);
    queue_trace_slot(drive, slot, TRACE_BLOCK_COMPLETION, hash, status);
    queue_account(drive, slot, status);
    struct block_request *request = slot->request;
    if (request && slot->op == TRACE_BLOCK_READ && !request->data)
        request->data = data; /* lent: the buffer stays the slot's */
    queue_slot_free(slot);
    if (request)
        request->complete(request->opaque, request, told);
}

/* ---- errors ---- */

static enum block_on_error action_of(const struct block_drive *drive, const struct queue_slot *slot, enum status status)
{
    const struct block_policy *policy = &drive->options.policy;
    uint8_t action = slot->op == TRACE_BLOCK_READ ? policy->rerror : policy->werror;
    if (status == STATUS_CORRUPT)
        return BLOCK_ON_ERROR_STOP;
    if (action == BLOCK_ON_ERROR_ENOSPC)
        action = status == STATUS_NO_SPACE ? BLOCK_ON_ERROR_STOP : BLOCK_ON_ERROR_REPORT;
    if (action == BLOCK_ON_ERROR_STOP && !slot->request)
        action = BLOCK_ON_ERROR_REPORT; /* nobody waits for it any more */
    return (enum block_on_error)action;
}

/* From the start again, when the machine goes on: a new fault is asked for. */
static void stop_and_retry(struct block_drive *drive, struct queue_slot *slot)
{
    queue_flip_write(slot);
    slot->fault = 0;
    slot->asked = false;
    pause_slot(slot, vtime_now_ns(drive->device.machine) + RETRY_NS);
    machine_request_stop(drive->device.machine, MACHINE_STOP_IO_ERROR, 0);
}

/* The image work is done, with this outcome. */
static void conclude(struct block_drive *drive, struct queue_slot *slot, enum status status, void *data)
{
    enum block_on_error action = status ? action_of(drive, slot, status) : BLOCK_ON_ERROR_REPORT;
    if (status)
        queue_tell_error(drive, slot, status, action);
    else
        queue_free_kept(drive, slot, &slot->job);
    if (status == STATUS_CORRUPT) {
        machine_request_stop(drive->device.machine, MACHINE_STOP_IO_ERROR, 0);
    } else if (action == BLOCK_ON_ERROR_STOP) {
        stop_and_retry(drive, slot);
        return;
    }
    if (slot->op == TRACE_BLOCK_READ && !status) {
        queue_read_kept(drive, slot, data);
        (void)queue_flip_bit(data, queue_slot_bytes(slot), slot->fault);
    }
    if (block_fault_kind(slot->fault) == BLOCK_FAULT_REORDER && !status)
        queue_keep_write(drive, slot);
    end_slot(drive, slot, status, action == BLOCK_ON_ERROR_IGNORE ? STATUS_OK : status, data);
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
static void *deliver_read(struct queue_slot *slot, enum status status)
{
    if (slot->op != TRACE_BLOCK_READ)
        return NULL;
    uint8_t *own = queue_slot_buffer(slot, queue_slot_bytes(slot));
    uint8_t *to = slot->request && slot->request->data ? slot->request->data : own;
    if (status)
        memset(to, 0, queue_slot_bytes(slot));
    else if (to != own)
        memcpy(to, own, queue_slot_bytes(slot));
    return to;
}

static void finish_refused(struct block_drive *drive, struct queue_slot *slot)
{
    enum status status = (enum status)slot->refused;
    if (slot->op == TRACE_BLOCK_READ && slot->request && slot->request->data)
        memset(slot->request->data, 0, queue_slot_bytes(slot));
    end_slot(drive, slot, status, status, NULL);
}

static enum status perform_inline(struct block_drive *drive, struct queue_slot *slot)
{
    struct block_executor *executor = drive->options.executor;
    fill_job(drive, slot);
    return executor ? executor->ops->perform(executor, &slot->job) : block_job_perform(&slot->job);
}

static void finish_model(struct block_drive *drive, struct queue_slot *slot)
{
    if (!slot->asked)
        queue_ask_fault(drive, slot);
    enum status outcome = perform_inline(drive, slot);
    enum status status = outcome_of(machine_pull(drive->device.machine, INPUT_IO_STATUS, fetch_outcome, &outcome));
    conclude(drive, slot, status, deliver_read(slot, status));
}

static void finish_timed(struct block_drive *drive, struct queue_slot *slot)
{
    if (slot->refused)
        finish_refused(drive, slot);
    else
        finish_model(drive, slot);
}

/* The one that is due first; of those due together, the one submitted first. */
static struct queue_slot *next_due(struct block_drive *drive, uint64_t now_ns)
{
    struct queue_slot *next = NULL;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        bool timed = slot->state == SLOT_PAUSED || (slot->state == SLOT_RUNNING && queue_slot_timed(drive, slot));
        if (!timed || slot->due_ns > now_ns)
            continue;
        if (!next || slot->due_ns < next->due_ns ||
            (slot->due_ns == next->due_ns && queue_tag_before(slot->tag, next->tag)))
            next = slot;
    }
    return next;
}

void queue_timer_fired(void *opaque)
{
    struct block_drive *drive = opaque;
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    for (;;) {
        struct queue_slot *next = next_due(drive, now_ns);
        if (!next)
            break;
        if (next->state == SLOT_PAUSED)
            next->state = SLOT_WAITING;
        else
            finish_timed(drive, next);
    }
    queue_start_ready(drive);
}

/* INPUT_BLOCK_COMPLETION. One for a request that is not at the executor cannot come from this machine's host: the run
 * is not what its inputs were made for. */
void queue_completion_delivered(void *opaque, const struct input_message *message)
{
    struct block_drive *drive = opaque;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        if (slot->state != SLOT_RUNNING || slot->refused || slot->tag != message->a)
            continue;
        (void)drive->options.executor->ops->collect(drive->options.executor, &slot->job);
        enum status status = outcome_of(message->b);
        if (slot->job.image == drive->image && !queue_in_range(drive, slot))
            status = STATUS_INVALID; /* the drive has become smaller */
        conclude(drive, slot, status, deliver_read(slot, status));
        queue_media_release(drive);
        queue_start_ready(drive);
        return;
    }
    machine_fail(drive->device.machine, MACHINE_STOP_ERROR);
}

/* ---- submitting ---- */

static enum status refuse(const struct block_drive *drive, const struct block_request *request)
{
    uint64_t size = drive->sectors;
    if (request->op == TRACE_BLOCK_FLUSH)
        return drive->image ? STATUS_OK : STATUS_INVALID;
    if (!request->sectors || request->sector >= size || request->sectors > size - request->sector)
        return STATUS_INVALID;
    return request->op != TRACE_BLOCK_READ && drive->image->read_only ? STATUS_READ_ONLY : STATUS_OK;
}

static void take_write_data(struct block_drive *drive, struct queue_slot *slot, const void *data)
{
    uint8_t *own = queue_slot_buffer(slot, queue_slot_bytes(slot));
    if (data != own)
        memcpy(own, data, queue_slot_bytes(slot));
    slot->data_hash = XXH3_64bits(slot->buffer, queue_slot_bytes(slot));
    machine_trace_block_data(drive->device.machine, drive->options.drive, slot->sector, slot->buffer,
                             queue_slot_bytes(slot));
}

static struct queue_slot *free_slot(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (drive->slot[n].state == SLOT_FREE)
            return &drive->slot[n];
    }
    return NULL;
}

void *block_write_buffer(struct block_drive *drive, size_t size_bytes)
{
    struct queue_slot *slot = free_slot(drive);
    CHECK(size_bytes <= (size_t)BLOCK_REQUEST_SECTORS_MAX * BLOCK_SECTOR_BYTES);
    return slot ? queue_slot_buffer(slot, size_bytes) : NULL;
}

void block_submit(struct block_drive *drive, struct block_request *request)
{
    struct queue_slot *slot = free_slot(drive);
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
    queue_trace_slot(drive, slot, TRACE_BLOCK_REQUEST, slot->data_hash, STATUS_OK);
    queue_trace_origin(drive, slot, request);
    slot->activity.stacks = drive->options.watcher.stacks;
    if (slot->activity.stacks.capture)
        block_activity_add(&slot->activity, (struct block_step){.kind = BLOCK_STEP_SUBMIT});
    queue_start_ready(drive);
}

void block_hold(struct block_drive *drive)
{
    struct block_executor *executor = drive->options.executor;
    if (executor && executor->ops->hold)
        executor->ops->hold(executor);
}

void block_release(struct block_drive *drive)
{
    struct block_executor *executor = drive->options.executor;
    if (executor && executor->ops->release)
        executor->ops->release(executor);
}

void block_drive_abandon(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        drive->slot[n].request = NULL;
        drive->slot[n].abandoned = drive->slot[n].state != SLOT_FREE;
    }
    /* In order of tag, which is an order that the conflicts allow. */
    static const enum slot_state states[] = {SLOT_RUNNING, SLOT_PAUSED, SLOT_WAITING};
    for (unsigned s = 0; s < 3; s++) {
        struct queue_slot *list[BLOCK_PENDING_MAX];
        unsigned count = queue_list_slots(drive, states[s], list);
        for (unsigned n = 0; n < count; n++) {
            if (list[n]->refused || queue_timing_model(drive))
                finish_timed(drive, list[n]);
        }
    }
    queue_start_ready(drive);
}
