/* Admin commands (NVM Express 1.4, 5): queues, abort, and the way to the others.
 *
 * Abort and Delete I/O Submission Queue answer at once what they end; the drive works on at it unseen (its data, if it
 * was a write, may reach the medium). Commands that are still in their submission queue are not found by Abort.
 * Not supported, and invalid opcodes: firmware download and commit, format, security, namespace management, self-test,
 * directives, virtualization, doorbell buffers, keep alive. */
#include "devices/nvme_internal.h"

#define ABORT_NOT_FOUND 1u
#define QUEUE_CONTIGUOUS 1u
#define CQ_INTERRUPTS 2u
#define IOSQES_64 6u
#define IOCQES_16 4u

/* ---- ending commands ---- */

static void answer_early(struct nvme *nvme, struct nvme_command *command, unsigned status)
{
    command->owner = NVME_ANSWERED;
    nvme_post(nvme, command->sqid, command->cid, 0, status);
}

static bool abort_held(struct nvme *nvme, uint16_t cid)
{
    for (unsigned n = 0; n < nvme->held_count; n++) {
        if (nvme->held_cid[n] != cid || nvme_cq_room(nvme, 0) < 2) /* its entry, and that of Abort */
            continue;
        nvme->held_count--;
        for (unsigned k = n; k < nvme->held_count; k++)
            nvme->held_cid[k] = nvme->held_cid[k + 1];
        nvme->held_cid[nvme->held_count] = 0;
        nvme_post(nvme, 0, cid, 0, NVME_ABORT_REQUESTED);
        return true;
    }
    return false;
}

static unsigned abort_command(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result)
{
    uint16_t sqid = (uint16_t)sqe->dword[0], cid = (uint16_t)(sqe->dword[0] >> 16);
    *result = ABORT_NOT_FOUND;
    if (sqid >= NVME_QUEUES || !nvme->sq[sqid].size)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX && *result; n++) {
        struct nvme_command *command = &nvme->command[n];
        if (command->owner != NVME_GUEST || command->sqid != sqid || command->cid != cid)
            continue;
        answer_early(nvme, command, NVME_ABORT_REQUESTED);
        *result = 0;
    }
    if (*result && !sqid)
        *result = abort_held(nvme, cid) ? 0 : ABORT_NOT_FOUND;
    return NVME_SUCCESS;
}

/* ---- queues ---- */

static bool io_queue(uint32_t qid)
{
    return qid && qid < NVME_QUEUES;
}

static unsigned check_queue(const struct nvme *nvme, const struct nvme_sqe *sqe, bool exists)
{
    uint32_t entries = (sqe->dword[0] >> 16) + 1;
    if (!io_queue(sqe->dword[0] & 0xFFFF) || exists)
        return NVME_INVALID_QUEUE_ID | NVME_DO_NOT_RETRY;
    if (entries < 2 || entries > NVME_QUEUE_ENTRIES_MAX)
        return NVME_INVALID_QUEUE_SIZE | NVME_DO_NOT_RETRY;
    if (sqe->prp[0] & ((1ull << nvme_page_shift(nvme)) - 1))
        return NVME_INVALID_PRP_OFFSET | NVME_DO_NOT_RETRY;
    return sqe->dword[1] & QUEUE_CONTIGUOUS ? NVME_SUCCESS : NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
}

static unsigned create_cq(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->dword[0] & 0xFFFF, vector = sqe->dword[1] >> 16;
    unsigned status = check_queue(nvme, sqe, qid < NVME_QUEUES && nvme->cq[qid].size);
    if (status)
        return status;
    if (vector >= NVME_QUEUES || (vector && !pci_msix_enabled(nvme->msix)))
        return NVME_INVALID_VECTOR | NVME_DO_NOT_RETRY;
    if ((nvme->cc >> 20 & 15) != IOCQES_16)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    nvme->cq[qid] = (struct nvme_cq){.base = sqe->prp[0],
                                     .size = (sqe->dword[0] >> 16) + 1,
                                     .vector = (uint16_t)vector,
                                     .interrupts = sqe->dword[1] & CQ_INTERRUPTS,
                                     .phase = true};
    return NVME_SUCCESS;
}

static unsigned create_sq(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->dword[0] & 0xFFFF, cqid = sqe->dword[1] >> 16;
    if (!io_queue(cqid) || !nvme->cq[cqid].size)
        return NVME_INVALID_COMPLETION_QUEUE | NVME_DO_NOT_RETRY;
    unsigned status = check_queue(nvme, sqe, qid < NVME_QUEUES && nvme->sq[qid].size);
    if (status)
        return status;
    if ((nvme->cc >> 16 & 15) != IOSQES_64)
        return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
    nvme->sq[qid] = (struct nvme_sq){.base = sqe->prp[0], .size = (sqe->dword[0] >> 16) + 1, .cqid = cqid};
    return NVME_SUCCESS;
}

static unsigned delete_sq(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->dword[0] & 0xFFFF;
    if (!io_queue(qid) || !nvme->sq[qid].size)
        return NVME_INVALID_QUEUE_ID | NVME_DO_NOT_RETRY;
    for (unsigned n = 0; n < NVME_COMMANDS_MAX; n++) {
        if (nvme->command[n].owner == NVME_GUEST && nvme->command[n].sqid == qid)
            answer_early(nvme, &nvme->command[n], NVME_ABORTED_SQ_DELETION);
    }
    nvme->sq[qid] = (struct nvme_sq){.size = 0};
    return NVME_SUCCESS;
}

static unsigned delete_cq(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    uint32_t qid = sqe->dword[0] & 0xFFFF;
    if (!io_queue(qid) || !nvme->cq[qid].size)
        return NVME_INVALID_QUEUE_ID | NVME_DO_NOT_RETRY;
    for (unsigned n = 0; n < NVME_QUEUES; n++) {
        if (nvme->sq[n].size && nvme->sq[n].cqid == qid)
            return NVME_INVALID_QUEUE_DELETION | NVME_DO_NOT_RETRY;
    }
    nvme->cq[qid] = (struct nvme_cq){.size = 0};
    nvme_update_intx(nvme);
    return NVME_SUCCESS;
}

static unsigned hold_event_request(struct nvme *nvme, const struct nvme_sqe *sqe)
{
    if (nvme->held_count == NVME_HELD_MAX)
        return NVME_EVENT_LIMIT_EXCEEDED | NVME_DO_NOT_RETRY;
    nvme->held_cid[nvme->held_count++] = sqe->cid;
    return NVME_PENDING;
}

/* ---- all ---- */

bool nvme_admin_needs_flush(const struct nvme *nvme, const struct nvme_sqe *sqe)
{
    return sqe->opcode == NVME_ADMIN_SET_FEATURES && nvme_features_need_flush(nvme, sqe);
}

unsigned nvme_admin_execute(struct nvme *nvme, const struct nvme_sqe *sqe, uint32_t *result)
{
    switch (sqe->opcode) {
    case NVME_ADMIN_DELETE_SQ: return delete_sq(nvme, sqe);
    case NVME_ADMIN_CREATE_SQ: return create_sq(nvme, sqe);
    case NVME_ADMIN_GET_LOG_PAGE: return nvme_get_log_page(nvme, sqe);
    case NVME_ADMIN_DELETE_CQ: return delete_cq(nvme, sqe);
    case NVME_ADMIN_CREATE_CQ: return create_cq(nvme, sqe);
    case NVME_ADMIN_IDENTIFY: return nvme_identify(nvme, sqe);
    case NVME_ADMIN_ABORT: return abort_command(nvme, sqe, result);
    case NVME_ADMIN_SET_FEATURES: return nvme_set_features(nvme, sqe, result);
    case NVME_ADMIN_GET_FEATURES: return nvme_get_features(nvme, sqe, result);
    case NVME_ADMIN_ASYNC_EVENT: return hold_event_request(nvme, sqe);
    default: return NVME_INVALID_OPCODE | NVME_DO_NOT_RETRY;
    }
}
