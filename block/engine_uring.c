/* aio=io_uring: io_uring_enter(2) through liburing. The submission side is used under the caller's lock, the completion
 * side by the engine's thread alone.
 * Not done: registered files and buffers, polled queues. */
#include "block/engine.h"

#include <errno.h>
#include <string.h>

#ifdef VMRR_HAVE_LIBURING

#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>

struct engine_uring {
    struct block_engine engine;
    struct io_uring ring;
    pthread_t thread;
    pthread_mutex_t lock; /* the submission side */
};

static struct engine_uring *uring_of(struct block_engine *engine)
{
    return (struct engine_uring *)(void *)engine;
}

/* With the lock. An entry that the kernel does not take at once stays in the queue, and goes with the next. */
static void submit_entries(struct engine_uring *uring)
{
    int result;
    do {
        result = io_uring_submit(&uring->ring);
    } while (result == -EINTR || result == -EAGAIN || result == -EBUSY);
    CHECK(result >= 0);
}

static bool prepare_locked(struct engine_uring *uring, struct block_job *job, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (!sqe)
        return false;
    if (!job)
        io_uring_prep_nop(sqe);
    else if (job->op == TRACE_BLOCK_READ)
        io_uring_prep_read(sqe, fd, job->data, job->sectors * BLOCK_SECTOR_BYTES, job->place.offset);
    else
        io_uring_prep_write(sqe, fd, job->data, job->sectors * BLOCK_SECTOR_BYTES, job->place.offset);
    io_uring_sqe_set_data(sqe, job);
    return true;
}

static bool uring_prepare(struct block_engine *engine, struct block_job *job, int fd)
{
    struct engine_uring *uring = uring_of(engine);
    pthread_mutex_lock(&uring->lock);
    bool prepared = prepare_locked(uring, job, fd);
    pthread_mutex_unlock(&uring->lock);
    return prepared;
}

static void uring_commit(struct block_engine *engine)
{
    struct engine_uring *uring = uring_of(engine);
    pthread_mutex_lock(&uring->lock);
    if (io_uring_sq_ready(&uring->ring))
        submit_entries(uring);
    pthread_mutex_unlock(&uring->lock);
}

static void *uring_main(void *argument)
{
    struct engine_uring *uring = argument;
    for (;;) {
        struct io_uring_cqe *cqe = NULL;
        int result = io_uring_wait_cqe(&uring->ring, &cqe);
        if (result == -EINTR || result == -EAGAIN)
            continue;
        CHECK(!result && cqe);
        struct block_job *job = io_uring_cqe_get_data(cqe);
        int64_t transferred = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        if (!job)
            return NULL;
        /* The lock that it was submitted under: what was written to the job before is seen here. */
        pthread_mutex_lock(&uring->lock);
        pthread_mutex_unlock(&uring->lock);
        uring->engine.done(uring->engine.opaque, job, transferred);
    }
}

static void uring_destroy(struct block_engine *engine)
{
    struct engine_uring *uring = uring_of(engine);
    CHECK(uring_prepare(engine, NULL, -1));
    uring_commit(engine);
    pthread_join(uring->thread, NULL);
    io_uring_queue_exit(&uring->ring);
    pthread_mutex_destroy(&uring->lock);
    free(uring);
}

static const struct block_engine_ops uring_ops = {
    .prepare = uring_prepare, .commit = uring_commit, .destroy = uring_destroy};

struct block_engine *block_engine_uring_create(block_engine_done *done, void *opaque, struct error *error)
{
    struct engine_uring *uring = calloc(1, sizeof *uring);
    CHECK(uring);
    uring->engine = (struct block_engine){&uring_ops, done, opaque};
    int result = io_uring_queue_init(BLOCK_ENGINE_DEPTH, &uring->ring, 0);
    if (result < 0) {
        error_set(error, "aio=io_uring: not on this host: io_uring_setup: %s", strerror(-result));
        free(uring);
        return NULL;
    }
    pthread_mutex_init(&uring->lock, NULL);
    if (pthread_create(&uring->thread, NULL, uring_main, uring)) {
        error_set(error, "aio=io_uring: cannot start a thread");
        io_uring_queue_exit(&uring->ring);
        pthread_mutex_destroy(&uring->lock);
        free(uring);
        return NULL;
    }
    return &uring->engine;
}

#else

struct block_engine *block_engine_uring_create(block_engine_done *done, void *opaque, struct error *error)
{
    (void)done;
    (void)opaque;
    error_set(error, "aio=io_uring: this vmrr was built without liburing");
    return NULL;
}

#endif
