/* Deferred executor: nothing happens at the start; the work is done where its completion is delivered. For machines
 * whose completions come from somewhere else than the host's disk. */
#include "block/executor.h"

#include <stdlib.h>

static void deferred_start(struct block_executor *executor, struct block_job *job)
{
    (void)executor;
    (void)job;
}

static enum status deferred_collect(struct block_executor *executor, struct block_job *job)
{
    (void)executor;
    return block_job_perform(job);
}

static void deferred_destroy(struct block_executor *executor)
{
    free(executor);
}

static const struct block_executor_ops deferred_ops = {
    .inert = true,
    .start = deferred_start,
    .perform = deferred_collect,
    .wait = deferred_start,
    .collect = deferred_collect,
    .cancel = deferred_start,
    .destroy = deferred_destroy,
};

struct block_executor *block_executor_deferred_create(void)
{
    struct block_executor *executor = calloc(1, sizeof *executor);
    CHECK(executor);
    executor->ops = &deferred_ops;
    return executor;
}

void block_executor_destroy(struct block_executor *executor)
{
    if (executor)
        executor->ops->destroy(executor);
}
