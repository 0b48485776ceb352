/* The work of one request on its image: see executor.h. */
#include "block/executor.h"
#include "block/host_file.h"
#include "block/image.h"

#include <string.h>

static enum status put_kept(const struct block_job *job)
{
    enum status status = STATUS_OK;
    for (unsigned n = 0; n < job->kept_count && !status; n++) {
        const struct block_kept_write *kept = &job->kept[n];
        status = job->image->ops->write(job->image, kept->sector, kept->sectors, kept->data, false);
    }
    return status;
}

static enum status refuse_data(const struct block_job *job, enum status status)
{
    if (job->op == TRACE_BLOCK_READ)
        memset(job->data, 0, (size_t)job->sectors * BLOCK_SECTOR_BYTES);
    return status;
}

static enum status perform(const struct block_job *job)
{
    uint32_t sectors = job->sectors;
    enum status status = put_kept(job);
    if (status)
        return refuse_data(job, status);
    switch (block_fault_kind(job->fault)) {
    case BLOCK_FAULT_EIO: return refuse_data(job, STATUS_IO);
    case BLOCK_FAULT_ENOSPC: return refuse_data(job, STATUS_NO_SPACE);
    case BLOCK_FAULT_LOST:
    case BLOCK_FAULT_REORDER: return STATUS_OK;
    case BLOCK_FAULT_TORN:
        if (block_fault_argument(job->fault) < sectors)
            sectors = (uint32_t)block_fault_argument(job->fault);
        if (!sectors)
            return STATUS_OK;
        break;
    default: break;
    }
    return block_image_perform(job->image, job->op, job->sector, sectors, job->data, job->fua);
}

enum status block_job_perform(struct block_job *job)
{
    if (job->activity)
        block_image_watch(job->image, job->activity);
    enum status status = perform(job);
    if (job->activity)
        block_image_watch(job->image, NULL);
    return status;
}

bool block_job_may_transfer(const struct block_job *job)
{
    enum block_fault_kind kind = block_fault_kind(job->fault);
    return (job->op == TRACE_BLOCK_READ || job->op == TRACE_BLOCK_WRITE) && job->image->ops->locate &&
           !job->kept_count && (kind == BLOCK_FAULT_NONE || kind == BLOCK_FAULT_FLIP || kind == BLOCK_FAULT_DELAY);
}

void block_job_note_transfer(const struct block_job *job)
{
    bool read = job->op == TRACE_BLOCK_READ;
    block_activity_add_in(job->activity, job->place.file->path,
                          (struct block_step){.kind = read ? BLOCK_STEP_HOST_READ : BLOCK_STEP_HOST_WRITE,
                                              .file = job->place.file->index,
                                              .offset = job->place.offset,
                                              .size_bytes = (uint64_t)job->sectors * BLOCK_SECTOR_BYTES});
}
