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
 * (5) A request that cannot be served (range, read-only) never reaches the image and ends after REFUSED_NS.
 * (6) A request that may go is asked about in this order: limits, then what goes wrong with it. One that has to wait for
 *     either, or that failed and stopped the machine, is paused until due_ns, and waits again from then on.
 * (7) Writes that the drive kept (BLOCK_FAULT_REORDER) overlap each other and any earlier request nowhere: a write that
 *     overlaps one carries it out first, a read takes the drive's data over the image's. */
#include "block/block.h"
#include "block/executor.h"
#include "block/fault.h"
#include "block/latency.h"
#include "block/throttle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define REFUSED_NS 10000u
#define RETRY_NS 1000000u /* after the machine goes on */
#define BUFFER_ALIGN 4096u

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

struct slot {
    STATE_MEMBERS(SLOT_STATE)
    struct block_request *request; /* null: abandoned, or loaded and not reattached */
    uint8_t *buffer;               /* the data of a write, and what a read puts in before it is the device's */
    size_t buffer_bytes;
    struct block_job job;
    uint64_t submitted_ns; /* for the statistics */
    struct block_activity activity;
};
STATE_TABLE(slot_fields, struct slot, SLOT_STATE);

#define KEPT_STATE(S, A, N, T)                                                                                         \
    S(T, uint64_t, sector)                                                                                             \
    S(T, uint32_t, sectors)                                                                                            \
    S(T, uint64_t, data_hash)

/* A write that the drive keeps; sectors 0: none. */
struct kept {
    STATE_MEMBERS(KEPT_STATE)
    uint8_t *buffer;
    size_t buffer_bytes;
};
STATE_TABLE(kept_fields, struct kept, KEPT_STATE);

#define DRIVE_STATE(S, A, N, T)                                                                                        \
    S(T, uint32_t, next_tag)                                                                                           \
    N(T, struct block_latency, latency, 1, block_latency_fields)                                                       \
    N(T, struct block_throttle, throttle, 1, block_throttle_fields)                                                    \
    N(T, struct kept, kept, BLOCK_KEPT_MAX, kept_fields)                                                               \
    N(T, struct slot, slot, BLOCK_PENDING_MAX, slot_fields)

struct block_drive {
    struct device device;
    STATE_MEMBERS(DRIVE_STATE)
    struct block_image *image;
    struct block_queue_options options;
    struct vtimer timer;
    struct block_stats stats;
    void (*on_error)(void *opaque, const struct block_error_event *event);
    void *on_error_opaque;
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

static uint8_t *grow_buffer(uint8_t **buffer, size_t *buffer_bytes, size_t size_bytes)
{
    if (*buffer_bytes < size_bytes) {
        size_t rounded = (size_bytes + BUFFER_ALIGN - 1) & ~(size_t)(BUFFER_ALIGN - 1);
        free(*buffer);
        *buffer = aligned_alloc(BUFFER_ALIGN, rounded);
        CHECK(*buffer);
        *buffer_bytes = rounded;
    }
    return *buffer;
}

static uint8_t *slot_buffer(struct slot *slot, size_t size_bytes)
{
    return grow_buffer(&slot->buffer, &slot->buffer_bytes, size_bytes);
}

static void slot_free(struct slot *slot)
{
    struct slot kept = {.buffer = slot->buffer, .buffer_bytes = slot->buffer_bytes, .activity = slot->activity};
    memset(slot, 0, sizeof *slot); /* all fields: equal states must have equal digests */
    slot->buffer = kept.buffer;
    slot->buffer_bytes = kept.buffer_bytes;
    slot->activity = kept.activity;
}

static bool ranges_overlap(uint64_t a, uint32_t a_sectors, uint64_t b, uint32_t b_sectors)
{
    return a < b + b_sectors && b < a + a_sectors;
}

static bool overlap(const struct slot *a, const struct slot *b)
{
    return ranges_overlap(a->sector, a->sectors, b->sector, b->sectors);
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

/* Goes on by the timer, not by the executor. */
static bool slot_timed(const struct block_drive *drive, const struct slot *slot)
{
    return slot->refused || slot->state == SLOT_PAUSED || timing_model(drive);
}

static bool slot_fua(const struct block_drive *drive, const struct slot *slot)
{
    return slot->fua || drive->options.policy.write_through;
}

/* Does nothing on the image, by what the drive is told to do. */
static bool passes_by(const struct block_drive *drive, const struct slot *slot)
{
    enum block_fault_kind kind = block_fault_kind(slot->fault);
    return kind == BLOCK_FAULT_LOST || kind == BLOCK_FAULT_REORDER ||
           (slot->op == TRACE_BLOCK_DISCARD && drive->options.policy.keep_discarded);
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

/* Where the request comes from: the device's command, the CPU, the scatter list. */
static void trace_origin(struct block_drive *drive, const struct slot *slot, const struct block_request *request)
{
    struct machine *machine = drive->device.machine;
    if (machine_traces(machine, TRACE_BLOCK_ORIGIN))
        machine_trace_origin(machine, (struct trace_event){.drive = drive->options.drive,
                                                           .tag = slot->tag,
                                                           .op = request->command & 0xFFFFFF,
                                                           .flags = request->fua ? TRACE_ORIGIN_FUA : 0});
    block_trace_segments(drive, slot->tag, request->segment, request->segment_count);
}

void block_trace_segments(struct block_drive *drive, uint32_t tag, const struct block_segment *segment, uint32_t count)
{
    struct machine *machine = drive->device.machine;
    if (!machine_traces(machine, TRACE_BLOCK_SEGMENT))
        return;
    for (uint32_t n = 0; n < count && n < BLOCK_SEGMENTS_TRACED; n++)
        machine_trace(machine, &(struct trace_event){.kind = TRACE_BLOCK_SEGMENT,
                                                     .address = segment[n].gpa,
                                                     .size_bytes = segment[n].size_bytes,
                                                     .drive = drive->options.drive,
                                                     .tag = tag});
}

/* The log of a request's image work; null: nobody looks. */
static struct block_activity *slot_activity(const struct block_drive *drive, struct slot *slot)
{
    return drive->options.watcher.done ? &slot->activity : NULL;
}

static void report_activity(struct block_drive *drive, struct slot *slot)
{
    if (drive->options.watcher.done && !slot->refused)
        drive->options.watcher.done(drive->options.watcher.opaque, drive->options.drive, slot->tag, &slot->activity);
    block_activity_clear(&slot->activity);
}

/* ---- the timer ---- */

static void arm_timer(struct block_drive *drive)
{
    uint64_t due_ns = VTIME_NEVER;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct slot *slot = &drive->slot[n];
        bool timed = slot->state == SLOT_PAUSED || (slot->state == SLOT_RUNNING && slot_timed(drive, slot));
        if (timed && slot->due_ns < due_ns)
            due_ns = slot->due_ns;
    }
    vtimer_arm(&drive->timer, due_ns);
}

/* ---- what goes wrong on purpose ---- */

struct question {
    struct block_drive *drive;
    const struct slot *slot;
};

static uint64_t ask_rules(void *opaque)
{
    const struct question *question = opaque;
    const struct block_queue_options *options = &question->drive->options;
    const struct slot *slot = question->slot;
    return block_fault_ask(options->fault_rules, options->fault_rule_count, options->drive,
                           (enum trace_block_op)slot->op, slot->sector, slot->sectors);
}

static struct kept *free_kept(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        if (!drive->kept[n].sectors)
            return &drive->kept[n];
    }
    return NULL;
}

/* For all that are to be kept and are not yet. */
static bool room_to_keep(const struct block_drive *drive)
{
    int room = 0;
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++)
        room += !drive->kept[n].sectors;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++)
        room -= drive->slot[n].state != SLOT_FREE && block_fault_kind(drive->slot[n].fault) == BLOCK_FAULT_REORDER;
    return room >= 0;
}

/* The same again undoes it. False: the bit is not in the data. */
static bool flip_bit(uint8_t *data, size_t size_bytes, uint64_t fault)
{
    uint64_t bit = block_fault_argument(fault);
    if (block_fault_kind(fault) != BLOCK_FAULT_FLIP || bit / 8 >= size_bytes)
        return false;
    data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    return true;
}

static void flip_write(struct slot *slot)
{
    if (slot->op == TRACE_BLOCK_WRITE && flip_bit(slot->buffer, slot_bytes(slot), slot->fault))
        slot->data_hash = XXH3_64bits(slot->buffer, slot_bytes(slot));
}

/* A number from outside: only what can happen to this request does. */
static uint64_t sound_fault(const struct slot *slot, uint64_t fault)
{
    enum block_fault_kind kind = block_fault_kind(fault);
    bool write = slot->op == TRACE_BLOCK_WRITE, read = slot->op == TRACE_BLOCK_READ;
    bool possible = kind == BLOCK_FAULT_TORN || kind == BLOCK_FAULT_REORDER ? write
                    : kind == BLOCK_FAULT_LOST                              ? !read
                    : kind == BLOCK_FAULT_FLIP                              ? read || write
                                                                            : true;
    return possible && kind != BLOCK_FAULT_NONE ? fault : 0;
}

static void ask_fault(struct block_drive *drive, struct slot *slot)
{
    struct question question = {drive, slot};
    slot->asked = true;
    if (!drive->options.policy.asks_faults)
        return;
    slot->fault = sound_fault(slot, machine_pull(drive->device.machine, INPUT_BLOCK_FAULT, ask_rules, &question));
    if (block_fault_kind(slot->fault) == BLOCK_FAULT_REORDER && !room_to_keep(drive))
        slot->fault = 0;
    flip_write(slot);
}

/* ---- writes that the drive keeps ---- */

static bool kept_concerns(const struct kept *kept, const struct slot *slot)
{
    return kept->sectors &&
           (slot->op == TRACE_BLOCK_FLUSH || ranges_overlap(kept->sector, kept->sectors, slot->sector, slot->sectors));
}

/* What the job does first. A request that does nothing itself leaves them where they are, but for a write that is to be
 * kept: it replaces what it overlaps. */
static void list_kept(struct block_drive *drive, const struct slot *slot, struct block_job *job)
{
    bool passes = passes_by(drive, slot) && block_fault_kind(slot->fault) != BLOCK_FAULT_REORDER;
    if (slot->op == TRACE_BLOCK_READ || passes)
        return;
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        const struct kept *kept = &drive->kept[n];
        if (kept_concerns(kept, slot))
            job->kept[job->kept_count++] = (struct block_kept_write){kept->sector, kept->sectors, kept->buffer};
    }
}

static void free_kept_of(struct block_drive *drive, const struct slot *slot, const struct block_job *job)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX && job->kept_count; n++) {
        if (kept_concerns(&drive->kept[n], slot)) {
            drive->kept[n].sector = drive->kept[n].data_hash = 0;
            drive->kept[n].sectors = 0;
        }
    }
}

static void keep_write(struct block_drive *drive, struct slot *slot)
{
    struct kept *kept = free_kept(drive);
    uint8_t *buffer = kept->buffer;
    size_t buffer_bytes = kept->buffer_bytes;
    *kept = (struct kept){.sector = slot->sector,
                          .sectors = slot->sectors,
                          .data_hash = slot->data_hash,
                          .buffer = slot->buffer,
                          .buffer_bytes = slot->buffer_bytes};
    slot->buffer = buffer;
    slot->buffer_bytes = buffer_bytes;
}

/* A read gives what the drive keeps. */
static void read_kept(const struct block_drive *drive, const struct slot *slot, uint8_t *data)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        const struct kept *kept = &drive->kept[n];
        if (!kept_concerns(kept, slot))
            continue;
        uint64_t first = kept->sector > slot->sector ? kept->sector : slot->sector;
        uint64_t kept_end = kept->sector + kept->sectors, end = slot->sector + slot->sectors;
        end = kept_end < end ? kept_end : end;
        memcpy(data + (first - slot->sector) * BLOCK_SECTOR_BYTES,
               kept->buffer + (first - kept->sector) * BLOCK_SECTOR_BYTES, (end - first) * BLOCK_SECTOR_BYTES);
    }
}

/* ---- starting ---- */

static bool all_zero(const uint8_t *data, size_t size_bytes)
{
    return !data[0] && !memcmp(data, data + 1, size_bytes - 1);
}

/* What the image is asked to do: zeros may be written as such, or given back. */
static enum trace_block_op job_op(const struct block_drive *drive, const struct slot *slot)
{
    enum block_detect_zeroes detect = drive->options.detect_zeroes;
    if (slot->op != TRACE_BLOCK_WRITE || detect == BLOCK_DETECT_OFF || slot->fault ||
        !all_zero(slot->buffer, slot_bytes(slot)))
        return (enum trace_block_op)slot->op;
    return detect == BLOCK_DETECT_UNMAP ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES;
}

static void fill_job(struct block_drive *drive, struct slot *slot)
{
    slot->job = (struct block_job){.image = drive->image,
                                   .op = job_op(drive, slot),
                                   .sector = slot->sector,
                                   .sectors = slot->sectors,
                                   .fua = slot_fua(drive, slot),
                                   .activity = slot_activity(drive, slot),
                                   .drive = drive->options.drive,
                                   .tag = slot->tag,
                                   .aio = drive->options.aio,
                                   .fault = slot->fault};
    if (passes_by(drive, slot) && block_fault_kind(slot->fault) != BLOCK_FAULT_REORDER)
        slot->job.fault = block_fault_make(BLOCK_FAULT_LOST, 0);
    if (carries_data(slot->op))
        slot->job.data = slot_buffer(slot, slot_bytes(slot));
    list_kept(drive, slot, &slot->job);
}

static void start_job(struct block_drive *drive, struct slot *slot)
{
    fill_job(drive, slot);
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
                                                       slot->sectors, slot_fua(drive, slot));
    else
        start_job(drive, slot);
}

static void pause_slot(struct slot *slot, uint64_t until_ns)
{
    slot->state = SLOT_PAUSED;
    slot->due_ns = until_ns;
}

/* Limits and faults: false when the request has to wait for one of them. */
static bool let_go(struct block_drive *drive, struct slot *slot)
{
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    if (!slot->admitted) {
        uint64_t ready_ns = block_throttle_admit_ns(drive->throttle, &drive->options.policy.throttle,
                                                    (enum trace_block_op)slot->op, slot_bytes(slot), now_ns);
        slot->admitted = ready_ns <= now_ns;
        if (!slot->admitted) {
            pause_slot(slot, ready_ns);
            return false;
        }
    }
    if (slot->asked)
        return true;
    ask_fault(drive, slot);
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

/* Starts what may go; the timer follows. */
static void start_ready(struct block_drive *drive)
{
    struct slot *waiting[BLOCK_PENDING_MAX], *ready[BLOCK_PENDING_MAX];
    unsigned waiting_count = list_slots(drive, SLOT_WAITING, waiting), ready_count = 0;
    for (unsigned n = 0; n < waiting_count; n++) {
        struct slot *slot = waiting[n];
        if (slot->refused)
            start_slot(drive, slot);
        else if (!may_start(drive, slot) || !let_go(drive, slot))
            continue;
        else if (timing_model(drive))
            ready[ready_count++] = slot;
        else
            start_slot(drive, slot);
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

/* Last of all the slot is free and complete is called, which may submit again. told: what the device hears. */
static void end_slot(struct block_drive *drive, struct slot *slot, enum status status, enum status told,
                     const void *data)
{
    uint64_t hash = 0;
    if (slot->op == TRACE_BLOCK_READ && !status)
        hash = XXH3_64bits(data, slot_bytes(slot));
    report_activity(drive, slot);
    if (slot->op != TRACE_BLOCK_READ && !status && !passes_by(drive, slot))
        trace_slot(drive, slot, TRACE_HOST_WRITE, 0, status);
    trace_slot(drive, slot, TRACE_BLOCK_COMPLETION, hash, status);
    account(drive, slot, status);
    struct block_request *request = slot->request;
    slot_free(slot);
    if (request)
        request->complete(request->opaque, request, told);
}

/* ---- errors ---- */

static enum block_on_error action_of(const struct block_drive *drive, const struct slot *slot, enum status status)
{
    const struct block_policy *policy = &drive->options.policy;
    uint8_t action = slot->op == TRACE_BLOCK_READ ? policy->rerror : policy->werror;
    if (action == BLOCK_ON_ERROR_ENOSPC)
        action = status == STATUS_NO_SPACE ? BLOCK_ON_ERROR_STOP : BLOCK_ON_ERROR_REPORT;
    if (action == BLOCK_ON_ERROR_STOP && !slot->request)
        action = BLOCK_ON_ERROR_REPORT; /* nobody waits for it any more */
    return (enum block_on_error)action;
}

/* From the start again, when the machine goes on: a new fault is asked for. */
static void stop_and_retry(struct block_drive *drive, struct slot *slot)
{
    flip_write(slot);
    slot->fault = 0;
    slot->asked = false;
    pause_slot(slot, vtime_now_ns(drive->device.machine) + RETRY_NS);
    machine_request_stop(drive->device.machine, MACHINE_STOP_IO_ERROR, 0);
}

static void tell_error(struct block_drive *drive, const struct slot *slot, enum status status,
                       enum block_on_error action)
{
    struct block_error_event event = {.drive = drive->options.drive,
                                      .tag = slot->tag,
                                      .op = (enum trace_block_op)slot->op,
                                      .sector = slot->sector,
                                      .sectors = slot->sectors,
                                      .status = status,
                                      .action = action};
    if (drive->on_error)
        drive->on_error(drive->on_error_opaque, &event);
}

/* The image work is done, with this outcome. */
static void conclude(struct block_drive *drive, struct slot *slot, enum status status, void *data)
{
    enum block_on_error action = status ? action_of(drive, slot, status) : BLOCK_ON_ERROR_REPORT;
    if (status)
        tell_error(drive, slot, status, action);
    else
        free_kept_of(drive, slot, &slot->job);
    if (action == BLOCK_ON_ERROR_STOP) {
        stop_and_retry(drive, slot);
        return;
    }
    if (slot->op == TRACE_BLOCK_READ && !status) {
        read_kept(drive, slot, data);
        (void)flip_bit(data, slot_bytes(slot), slot->fault);
    }
    struct kept *kept = free_kept(drive);
    if (block_fault_kind(slot->fault) == BLOCK_FAULT_REORDER && !status && kept)
        keep_write(drive, slot);
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
    end_slot(drive, slot, status, status, NULL);
}

static enum status perform_inline(struct block_drive *drive, struct slot *slot)
{
    struct block_executor *executor = drive->options.executor;
    fill_job(drive, slot);
    return executor ? executor->ops->perform(executor, &slot->job) : block_job_perform(&slot->job);
}

static void finish_model(struct block_drive *drive, struct slot *slot)
{
    if (!slot->asked)
        ask_fault(drive, slot);
    enum status outcome = perform_inline(drive, slot);
    enum status status = outcome_of(machine_pull(drive->device.machine, INPUT_IO_STATUS, fetch_outcome, &outcome));
    conclude(drive, slot, status, deliver_read(slot, status));
}

static void finish_timed(struct block_drive *drive, struct slot *slot)
{
    if (slot->refused)
        finish_refused(drive, slot);
    else
        finish_model(drive, slot);
}

/* The one that is due first; of those due together, the one submitted first. */
static struct slot *next_due(struct block_drive *drive, uint64_t now_ns)
{
    struct slot *next = NULL;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct slot *slot = &drive->slot[n];
        bool timed = slot->state == SLOT_PAUSED || (slot->state == SLOT_RUNNING && slot_timed(drive, slot));
        if (!timed || slot->due_ns > now_ns)
            continue;
        if (!next || slot->due_ns < next->due_ns || (slot->due_ns == next->due_ns && tag_before(slot->tag, next->tag)))
            next = slot;
    }
    return next;
}

static void timer_fired(void *opaque)
{
    struct block_drive *drive = opaque;
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    for (;;) {
        struct slot *next = next_due(drive, now_ns);
        if (!next)
            break;
        if (next->state == SLOT_PAUSED)
            next->state = SLOT_WAITING;
        else
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
        conclude(drive, slot, status, deliver_read(slot, status));
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
    trace_origin(drive, slot, request);
    slot->activity.stacks = drive->options.watcher.stacks;
    if (slot->activity.stacks.capture)
        block_activity_add(&slot->activity, (struct block_step){.kind = BLOCK_STEP_SUBMIT});
    start_ready(drive);
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
        struct slot *list[BLOCK_PENDING_MAX];
        unsigned count = list_slots(drive, states[s], list);
        for (unsigned n = 0; n < count; n++) {
            if (list[n]->refused || timing_model(drive))
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

static bool kept_sound(const struct block_drive *drive, const struct kept *kept)
{
    uint64_t size = drive->image->size_sectors;
    return kept->sectors <= BLOCK_REQUEST_SECTORS_MAX && kept->sector <= size && kept->sectors <= size - kept->sector &&
           kept->buffer_bytes >= (size_t)kept->sectors * BLOCK_SECTOR_BYTES;
}

static void check_loaded_kept(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        struct kept *kept = &drive->kept[n];
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
    check_loaded_kept(drive);
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
        block_activity_free(&slot->activity);
    }
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++)
        free(drive->kept[n].buffer);
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
        struct kept *kept = &drive->kept[n - BLOCK_PENDING_MAX];
        size_t sectors = kept->sectors <= BLOCK_REQUEST_SECTORS_MAX ? kept->sectors : 0;
        return (struct payload){kept->data_hash, sectors * BLOCK_SECTOR_BYTES, &kept->buffer, &kept->buffer_bytes};
    }
    struct slot *slot = &drive->slot[n];
    if (slot->state != SLOT_FREE && slot->op == TRACE_BLOCK_WRITE && slot->sectors <= BLOCK_REQUEST_SECTORS_MAX)
        payload = (struct payload){slot->data_hash, slot_bytes(slot), &slot->buffer, &slot->buffer_bytes};
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
        memcpy(grow_buffer(payload.buffer, payload.buffer_bytes, payload.size_bytes), in, payload.size_bytes);
        in += payload.size_bytes;
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
