/* aio=native: Linux AIO, io_submit(2) and io_getevents(2), through libaio. Real only for O_DIRECT: else io_submit waits. */
#include "block/engine.h"

#include <errno.h>
#include <string.h>

#ifdef VMRR_HAVE_LIBAIO

#include <libaio.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64
#define READY_MAX 64u /* prepared, not submitted */

struct engine_native {
    struct block_engine engine;
    io_context_t context;
    int stop; /* eventfd: what the last iocb waits for */
    pthread_t thread;
    struct iocb *free_list; /* linked by data */
    struct iocb *iocbs;
    pthread_mutex_t lock; /* free_list, submission */
    struct iocb *ready[READY_MAX];
    unsigned ready_count;
};

static struct engine_native *native_of(struct block_engine *engine)
{
    return (struct engine_native *)(void *)engine;
}

static struct iocb *take_iocb(struct engine_native *native)
{
    struct iocb *iocb = native->free_list;
    if (iocb)
        native->free_list = iocb->data;
    return iocb;
}

static void give_iocb(struct engine_native *native, struct iocb *iocb)
{
    iocb->data = native->free_list;
    native->free_list = iocb;
}

/* With the lock. The jobs of those that the host does not take are put into refused; returns how many. */
static unsigned submit_ready(struct engine_native *native, struct block_job *refused[READY_MAX])
{
    unsigned sent = 0, count = native->ready_count;
    int result = 1;
    while (sent < count && (result > 0 || result == -EINTR)) {
        result = io_submit(native->context, (long)(count - sent), native->ready + sent);
        sent += result > 0 ? (unsigned)result : 0;
    }
    for (unsigned n = sent; n < count; n++) {
        refused[n - sent] = native->ready[n]->data;
        give_iocb(native, native->ready[n]);
    }
    native->ready_count = 0;
    return count - sent;
}

static void native_commit(struct block_engine *engine)
{
    struct engine_native *native = native_of(engine);
    struct block_job *refused[READY_MAX];
    pthread_mutex_lock(&native->lock);
    unsigned count = submit_ready(native, refused);
    pthread_mutex_unlock(&native->lock);
    for (unsigned n = 0; n < count; n++)
        engine->done(engine->opaque, refused[n], -EAGAIN);
}

static bool prepare_locked(struct engine_native *native, struct block_job *job, int fd)
{
    struct iocb *iocb = native->ready_count < READY_MAX ? take_iocb(native) : NULL;
    size_t size_bytes = (size_t)job->sectors * BLOCK_SECTOR_BYTES;
    if (!iocb)
        return false;
    if (job->op == TRACE_BLOCK_READ)
        io_prep_pread(iocb, fd, job->data, size_bytes, (long long)job->place.offset);
    else
        io_prep_pwrite(iocb, fd, job->data, size_bytes, (long long)job->place.offset);
    iocb->data = job;
    native->ready[native->ready_count++] = iocb;
    return true;
}

static bool native_prepare(struct block_engine *engine, struct block_job *job, int fd)
{
    struct engine_native *native = native_of(engine);
    pthread_mutex_lock(&native->lock);
    bool prepared = prepare_locked(native, job, fd);
    pthread_mutex_unlock(&native->lock);
    return prepared;
}

static void *native_main(void *argument)
{
    struct engine_native *native = argument;
    struct io_event events[EVENTS_AT_ONCE];
    for (;;) {
        int count = io_getevents(native->context, 1, EVENTS_AT_ONCE, events, NULL);
        for (int n = 0; n < count; n++) {
            struct block_job *job = events[n].data;
            if (!job)
                return NULL;
            pthread_mutex_lock(&native->lock); /* it was submitted under it: what was written before is seen here */
            give_iocb(native, events[n].obj);
            pthread_mutex_unlock(&native->lock);
            native->engine.done(native->engine.opaque, job, (int64_t)events[n].res);
        }
        if (count < 0 && count != -EINTR)
            CHECK(!"io_getevents"); /* the context is ours, and good */
    }
}

static void native_free(struct engine_native *native)
{
    io_destroy(native->context);
    if (native->stop >= 0)
        close(native->stop);
    pthread_mutex_destroy(&native->lock);
    free(native->iocbs);
    free(native);
}

static void native_destroy(struct block_engine *engine)
{
    struct engine_native *native = native_of(engine);
    struct iocb *iocb = take_iocb(native);
    CHECK(iocb);
    io_prep_poll(iocb, native->stop, POLLIN);
    iocb->data = NULL;
    CHECK(io_submit(native->context, 1, &iocb) == 1);
    pthread_join(native->thread, NULL);
    native_free(native);
}

static const struct block_engine_ops native_ops = {
    .prepare = native_prepare, .commit = native_commit, .destroy = native_destroy};

struct block_engine *block_engine_native_create(block_engine_done *done, void *opaque, struct error *error)
{
    struct engine_native *native = calloc(1, sizeof *native);
    struct iocb *iocbs = calloc(BLOCK_ENGINE_DEPTH + 1, sizeof *iocbs);
    CHECK(native && iocbs);
    native->engine = (struct block_engine){&native_ops, done, opaque};
    native->iocbs = iocbs;
    pthread_mutex_init(&native->lock, NULL);
    for (unsigned n = 0; n <= BLOCK_ENGINE_DEPTH; n++)
        give_iocb(native, &iocbs[n]);
    native->stop = eventfd(1, EFD_CLOEXEC); /* ready from the start */
    int result = io_setup((int)BLOCK_ENGINE_DEPTH + 1, &native->context);
    if (result < 0 || native->stop < 0 || pthread_create(&native->thread, NULL, native_main, native)) {
        error_set(error, "aio=native: not on this host: io_setup: %s", result < 0 ? strerror(-result) : "no thread");
        native_free(native);
        return NULL;
    }
    return &native->engine;
}

#else

struct block_engine *block_engine_native_create(block_engine_done *done, void *opaque, struct error *error)
{
    (void)done;
    (void)opaque;
    error_set(error, "aio=native: this vmrr was built without libaio");
    return NULL;
}

#endif
