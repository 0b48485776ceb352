/* Who does the image work under --timing=host, and how the host is asked. Calls: machine thread, one at a time. */
#ifndef VMRR_BLOCK_EXECUTOR_H
#define VMRR_BLOCK_EXECUTOR_H

#include "block/block.h"

/* A write that the drive kept back (BLOCK_FAULT_REORDER) and that goes first. */
struct block_kept_write {
    uint64_t sector;
    uint32_t sectors;
    const void *data;
};
#define BLOCK_KEPT_MAX 8u

enum block_job_phase {
    BLOCK_JOB_PERFORM,  /* block_job_perform, one at a time for an image */
    BLOCK_JOB_LOCATE,   /* the image's locate, one at a time; then transfer or perform */
    BLOCK_JOB_TRANSFER, /* from or to the place found, at any time */
    BLOCK_JOB_FLUSH,    /* the flush after a transfer that must be durable, one at a time */
};

/* One request's image work; embedded in a queue's slot, which must not move or go before the work is collected. */
struct block_job {
    struct block_image *image;
    enum trace_block_op op;
    uint64_t sector;
    uint32_t sectors;
    bool fua;
    bool cut;   /* as in struct block_request */
    void *data; /* the queue's own buffer, aligned to 4 KiB */
    uint32_t drive, tag;
    enum block_aio aio;
    uint64_t fault;                               /* block/policy.h: of kinds that change what is done */
    struct block_kept_write kept[BLOCK_KEPT_MAX]; /* carried out before it */
    unsigned kept_count;
    struct block_activity *activity; /* gets the steps; null: nobody wants them */
    /* The executor's. */
    enum status status;
    bool done;
    bool quiet; /* no message */
    uint8_t phase;
    uint64_t await_until_ns; /* of the host: goes earlier only with the one behind it; 0: does not wait */
    struct block_place place;
    struct block_job *next;
};

/* job.c: the whole of the work, on this thread. A read that fails leaves zeros. */
enum status block_job_perform(struct block_job *job);
/* It may go around the image's read and write, if the image can locate it. */
bool block_job_may_transfer(const struct block_job *job);
/* Notes a transfer that went around host_file's log. */
void block_job_note_transfer(const struct block_job *job);

struct block_executor_ops {
    bool inert; /* between start and collect nothing is under way: a job may be forgotten */
    /* What is started between them goes to the host at the release, together where it can. They nest. Null: no difference. */
    void (*hold)(struct block_executor *executor);
    void (*release)(struct block_executor *executor);
    void (*start)(struct block_executor *executor, struct block_job *job);
    /* All of it at once: returns with the work done, and posts nothing. */
    enum status (*perform)(struct block_executor *executor, struct block_job *job);
    /* Returns when the host has done what it will do before the completion is delivered. */
    void (*wait)(struct block_executor *executor, struct block_job *job);
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
