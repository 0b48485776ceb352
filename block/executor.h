/* Who does the image work under --timing=host. Calls: machine thread. */
#ifndef VMRR_BLOCK_EXECUTOR_H
#define VMRR_BLOCK_EXECUTOR_H

#include "block/block.h"

/* One request's image work; embedded in a queue's slot, which must not move or go before the work is collected. */
struct block_job {
    struct block_image *image;
    enum trace_block_op op;
    uint64_t sector;
    uint32_t sectors;
    bool fua;
    void *data; /* the queue's own buffer */
    uint32_t drive, tag;
    /* The executor's. */
    enum status status;
    bool done;
    struct block_job *next;
};

struct block_executor_ops {
    void (*start)(struct block_executor *executor, struct block_job *job);
    /* When the completion is delivered: returns with the work done. The outcome of the host. */
    enum status (*collect)(struct block_executor *executor, struct block_job *job);
    /* The drive goes: returns when the executor will not touch the job again. Work may have been done or not. */
    void (*cancel)(struct block_executor *executor, struct block_job *job);
    void (*destroy)(struct block_executor *executor);
};

/* First member of every implementation. */
struct block_executor {
    const struct block_executor_ops *ops;
};

#endif
