/* Submission and completion queues (NVM Express 1.4, 4.1, 4.6, 4.13 round robin arbitration, 3.1.16 doorbells).
 *
 * Commands are fetched within the doorbell write that brings them, at most FETCH_BATCH at once; more are fetched by a
 * timer, or, where all places are taken, by the completion that frees one. Requests of before a reset may hold places at the
 * drive, and nobody says when they end: then the timer looks again. Each queue in turn gives one command.
 * A doorbell that rings for no queue, or with a value beyond it, changes nothing and is an asynchronous event.
 * Not modelled: arbitration burst and weights (stored), interrupt coalescing (none is done), shadow doorbells. */
#include "devices/nvme_internal.h"

#define FETCH_BATCH 32u
#define FETCH_PAUSE_NS 1000u
#define ABANDONED_PAUSE_NS 100000u
#define DOORBELL_BYTES 4u
#define EVENT_INVALID_DOORBELL 0x00u
#define EVENT_INVALID_DOORBELL_VALUE 0x01u
#define FLAGS_FUSE_PSDT 0xC3u

static bool running(const struct nvme *nvme)
{
    return (nvme->csts & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY;
}

/* ---- completions ---- */

static bool cq_empty(const struct nvme_cq *cq)
{
    return cq->head == cq->tail;
}

unsigned nvme_cq_room(const struct nvme *nvme, unsigned cqid)
{
    const struct nvme_cq *cq = &nvme->cq[cqid];
    unsigned taken = (cq->tail + cq->size - cq->head) % cq->size + 1;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        const struct nvme_command *command = &nvme->command[n];
        taken += command->owner == NVME_GUEST && nvme->sq[command->sqid].cqid == cqid;
    }
    return taken < cq->size ? cq->size - taken : 0;
}

void nvme_post(struct nvme *nvme, unsigned sqid, uint16_t cid, uint32_t result, unsigned status)
{
    const struct nvme_sq *sq = &nvme->sq[sqid];
    struct nvme_cq *cq = &nvme->cq[sq->cqid];
    uint8_t entry[NVME_CQE_BYTES] = {0};
    nvme_put(entry, 0, 4, result);
    nvme_put(entry, 8, 2, sq->head);
    nvme_put(entry, 10, 2, sqid);
    nvme_put(entry, 12, 2, cid);
    nvme_put(entry, 14, 2, status << 1 | cq->phase);
    if (!nvme_dma_write(nvme, cq->base + (uint64_t)cq->tail * NVME_CQE_BYTES, entry, sizeof entry)) {
        nvme_fail(nvme);
        return;
    }
    if (++cq->tail == cq->size) {
        cq->tail = 0;
        cq->phase = !cq->phase;
    }
    nvme_interrupt(nvme, sq->cqid);
}

/* ---- fetching ---- */

static void decode(struct nvme_sqe *sqe, const uint8_t *entry)
{
    sqe->opcode = entry[0];
    sqe->flags = entry[1];
    sqe->cid = (uint16_t)nvme_get(entry, 2, 2);
    sqe->nsid = (uint32_t)nvme_get(entry, 4, 4);
    sqe->prp[0] = nvme_get(entry, 24, 8);
    sqe->prp[1] = nvme_get(entry, 32, 8);
    for (unsigned n = 0; n < 6; n++)
        sqe->dword[n] = (uint32_t)nvme_get(entry, 40 + 4 * n, 4);
}

static void execute(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint32_t result = 0;
    unsigned status;
    if (sqe->flags & FLAGS_FUSE_PSDT)
        status = NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    else if (sqe->sqid)
        status = nvme_io_execute(nvme, sqe);
    else
        status = nvme_admin_execute(nvme, sqe, &result);
    if (status == NVME_PENDING)
        return;
    if (status) {
        nvme_log_error(nvme, sqe, status);
        status |= NVME_MORE;
    }
    nvme_post(nvme, sqe->sqid, sqe->cid, result, status);
}

/* One command of a queue; false: none, or it must wait. */
static bool fetch(struct nvme *nvme, unsigned sqid)
{
    struct nvme_sq *sq = &nvme->sq[sqid];
    uint8_t entry[NVME_SQE_BYTES];
    struct nvme_sqe sqe = {.sqid = (uint16_t)sqid};
    if (!sq->size || sq->head == sq->tail || !nvme_cq_room(nvme, sq->cqid) || (sqid && !nvme_command_free(nvme)))
        return false;
    if (!nvme_dma_read(nvme, sq->base + (uint64_t)sq->head * NVME_SQE_BYTES, entry, sizeof entry)) {
        nvme_fail(nvme);
        return false;
    }
    decode(&sqe, entry);
    if (!sqid && nvme_admin_needs_flush(nvme, &sqe) && !nvme_command_free(nvme))
        return false;
    sq->head = sq->head + 1 == sq->size ? 0 : sq->head + 1;
    execute(nvme, &sqe);
    return true;
}

static void shut_down(struct nvme *nvme)
{
    if ((nvme->csts & NVME_CSTS_SHST) != NVME_CSTS_SHST_OCCURRING || !nvme_command_free(nvme))
        return;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        if (nvme->command[n].owner == NVME_SHUTDOWN)
            return;
    }
    nvme_flush(nvme, &(struct nvme_sqe){.cid = 0}, NVME_SHUTDOWN);
}

static uint64_t next_fetch_ns(const struct nvme *nvme, unsigned fetched)
{
    uint64_t now_ns = vtime_now_ns(nvme->device.machine);
    if (fetched == FETCH_BATCH)
        return now_ns + FETCH_PAUSE_NS;
    if (block_drive_room(nvme->drive))
        return VTIME_NEVER;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        if (nvme->command[n].owner == NVME_FREE)
            return now_ns + ABANDONED_PAUSE_NS;
    }
    return VTIME_NEVER;
}

void nvme_process(struct nvme *nvme)
{
    unsigned fetched = 0, idle = 0;
    block_hold(nvme->drive);
    shut_down(nvme);
    while (running(nvme) && fetched < FETCH_BATCH && idle < NVME_QUEUES) {
        bool got = fetch(nvme, nvme->next_sq);
        nvme->next_sq = (nvme->next_sq + 1) % NVME_QUEUES;
        fetched += got;
        idle = got ? 0 : idle + 1;
    }
    block_release(nvme->drive);
    if (running(nvme))
        nvme_events_deliver(nvme);
    nvme->fetch_due_ns = next_fetch_ns(nvme, fetched);
    vtimer_arm(&nvme->fetch_timer, nvme->fetch_due_ns);
}

/* ---- doorbells ---- */

static void ring_sq(struct nvme *nvme, unsigned sqid, uint32_t tail)
{
    if (sqid >= NVME_QUEUES || !nvme->sq[sqid].size)
        nvme_event_raise(nvme, NVME_EVENT_ERROR, EVENT_INVALID_DOORBELL);
    else if (tail >= nvme->sq[sqid].size)
        nvme_event_raise(nvme, NVME_EVENT_ERROR, EVENT_INVALID_DOORBELL_VALUE);
    else
        nvme->sq[sqid].tail = tail;
}

/* The head moves over what has been posted, not beyond. */
static void ring_cq(struct nvme *nvme, unsigned cqid, uint32_t head)
{
    if (cqid >= NVME_QUEUES || !nvme->cq[cqid].size) {
        nvme_event_raise(nvme, NVME_EVENT_ERROR, EVENT_INVALID_DOORBELL);
        return;
    }
    struct nvme_cq *cq = &nvme->cq[cqid];
    uint32_t posted = (cq->tail + cq->size - cq->head) % cq->size;
    if (head >= cq->size || (head + cq->size - cq->head) % cq->size > posted) {
        nvme_event_raise(nvme, NVME_EVENT_ERROR, EVENT_INVALID_DOORBELL_VALUE);
        return;
    }
    cq->head = head;
    if (cq_empty(cq))
        nvme_update_intx(nvme);
}

void nvme_doorbell(struct nvme *nvme, uint32_t offset, uint32_t value)
{
    unsigned qid = offset / (2 * DOORBELL_BYTES);
    if (!running(nvme))
        return;
    if (offset / DOORBELL_BYTES % 2)
        ring_cq(nvme, qid, value & 0xFFFF);
    else
        ring_sq(nvme, qid, value & 0xFFFF);
    nvme_process(nvme);
}
