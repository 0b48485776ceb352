/* Workers, and the engines that hand transfers to the host. Jobs wait in one list, in order of start; a worker takes the
 * first that may go, brings it one phase further, and posts INPUT_BLOCK_COMPLETION when it is done.
 *
 * Writes that must be durable and whose transfers are over share a flush, which begins after the last of these.
 *
 * A read or write of an image that can locate it becomes a transfer: pread or pwrite on a worker, or an engine's. That of a
 * flat image is found where it is started, and submitted there; another's on a worker. Transfers that wait for a worker and
 * lie one behind the other in a file are one call of the host; one that was cut from a larger one waits a moment for the next
 * piece, which the guest may tell of separately. A transfer that did not go well, or not in full, is performed
 * by the image's own functions, whose outcome counts.
 *
 * Invariants: (1) a job is in the list, or at one worker, or at an engine, or done; (2) once done is set, under the lock,
 * nobody touches the job again; (3) the message is posted after done is set; (4) one image function of an image runs at a
 * time, but for locate of a flat one and transferred; (5) of the queue: jobs under way at the same time do not overlap. */
#include "block/engine.h"
#include "block/host_file.h"
#include "block/host_wait.h"
#include "block/job_list.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64u
/* A driver has the next piece some 8,000 instructions later: much less, unless the host has other things to do. Whose pieces
 * did not come so often in a row gets the wait for one in so many only, until one comes. */
#define AWAIT_NS 1000000u
#define AWAIT_IN_VAIN_MAX 8u
#define AWAIT_ONE_IN 16u

struct worker {
    struct executor_threads *owner;
    pthread_t thread;
    struct block_image *image; /* runs a function of it; null: of none */
};

struct executor_threads {
    struct block_executor executor;
    struct input_mailbox *mailbox;
    struct block_engine *engine[BLOCK_AIO_KINDS]; /* null: none */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct job_list list;
    uint64_t await_ns;
    unsigned in_vain, skipped; /* waits that nothing came of, in a row; jobs that did not wait therefore */
    bool stop;
    unsigned held_depth; /* the machine thread's, as held */
    struct block_job *held, **held_last;
    unsigned worker_count;
    struct worker worker[THREADS_MAX];
};

static struct executor_threads *threads_of(struct block_executor *executor)
{
    return (struct executor_threads *)(void *)executor;
}

/* ---- the list; all under the lock ---- */

static bool image_busy(const struct executor_threads *threads, const struct block_image *image)
{
    for (unsigned n = 0; n < threads->worker_count; n++) {
        if (threads->worker[n].image == image)
            return true;
    }
    return false;
}

static uint64_t job_bytes(const struct block_job *job)
{
    return (uint64_t)job->sectors * BLOCK_SECTOR_BYTES;
}

static void append(struct executor_threads *threads, struct block_job *job)
{
    if (job->await_until_ns && threads->in_vain >= AWAIT_IN_VAIN_MAX && ++threads->skipped % AWAIT_ONE_IN)
        job->await_until_ns = 0;
    job_list_append(&threads->list, job);
    pthread_cond_signal(&threads->work);
}

static bool may_go(struct executor_threads *threads, const struct block_job *job, uint64_t *wake_ns)
{
    uint64_t until_ns = job_list_awaits_until_ns(&threads->list, job);
    if (job->phase != BLOCK_JOB_TRANSFER && image_busy(threads, job->image))
        return false;
    if (!until_ns || threads->stop || host_wait_now_ns() >= until_ns)
        return true;
    *wake_ns = until_ns < *wake_ns ? until_ns : *wake_ns;
    return false;
}

static void note_awaited(struct executor_threads *threads, const struct block_job *job)
{
    if (job->await_until_ns)
        threads->in_vain = job_list_awaits_until_ns(&threads->list, job) ? threads->in_vain + 1 : 0;
}

/* Null: none may go, one that awaits another may at *wake_ns. */
static struct block_job *take_job(struct executor_threads *threads, uint64_t *wake_ns)
{
    *wake_ns = UINT64_MAX;
    for (struct block_job **link = &threads->list.first; *link; link = &(*link)->next) {
        struct block_job *job = *link;
        if (!may_go(threads, job, wake_ns))
            continue;
        note_awaited(threads, job);
        job_list_unlink(&threads->list, link);
        if (job->phase == BLOCK_JOB_TRANSFER)
            job_list_join(&threads->list, job);
        if (job_list_has_awaiting(&threads->list))
            pthread_cond_signal(&threads->work); /* somebody else looks at the time */
        return job;
    }
    return NULL;
}

/* ---- phases; without the lock ---- */

static void finish(struct executor_threads *threads, struct block_job *job, enum status status)
{
    struct input_message message = {
        .id = INPUT_BLOCK_COMPLETION, .target = job->drive, .a = job->tag, .b = (uint64_t)(int64_t)status};
    bool quiet = job->quiet;
    pthread_mutex_lock(&threads->lock);
    job->status = status;
    job->done = true;
    pthread_cond_broadcast(&threads->done);
    pthread_mutex_unlock(&threads->lock);
    if (!quiet)
        input_mailbox_post(threads->mailbox, message);
}

/* All of a chain, each as its phase says. */
static void go_on(struct executor_threads *threads, struct block_job *job)
{
    pthread_mutex_lock(&threads->lock);
    while (job) {
        struct block_job *next = job->next;
        append(threads, job);
        job = next;
    }
    pthread_mutex_unlock(&threads->lock);
}

static void note_transfer(struct block_job *job)
{
    block_job_note_transfer(job);
    if (job->image->ops->transferred)
        job->image->ops->transferred(job->image, job->sector, job->sectors, job->op == TRACE_BLOCK_WRITE, job->data);
}

/* Of a chain. Those that go on do so at once: a flush serves all of them. */
static void transfer_ended(struct executor_threads *threads, struct block_job *job, bool whole)
{
    struct block_job *going_on = NULL, **last = &going_on;
    while (job) {
        struct block_job *next = job->next;
        job->next = NULL;
        if (whole)
            note_transfer(job);
        job->phase = whole ? BLOCK_JOB_FLUSH : BLOCK_JOB_PERFORM;
        if (!whole || (job->op == TRACE_BLOCK_WRITE && job->fua)) {
            *last = job;
            last = &job->next;
        } else {
            finish(threads, job, STATUS_OK);
        }
        job = next;
    }
    go_on(threads, going_on);
}

static void engine_done(void *opaque, struct block_job *job, int64_t result)
{
    transfer_ended(opaque, job, result == (int64_t)job_bytes(job));
}

static bool locate(struct block_job *job)
{
    bool write = job->op == TRACE_BLOCK_WRITE;
    return block_job_may_transfer(job) &&
           job->image->ops->locate(job->image, job->sector, job->sectors, write, &job->place);
}

/* An image that is not flat may read its tables: steps of the request. */
static bool locate_watched(struct block_job *job)
{
    if (job->activity)
        block_image_watch(job->image, job->activity);
    bool found = locate(job);
    if (job->activity)
        block_image_watch(job->image, NULL);
    return found;
}

static int descriptor(const struct block_job *job)
{
    return host_file_descriptor(job->place.file, job->place.offset, job->data, job_bytes(job));
}

/* What becomes of a job that was located: true: an engine has it, and is to commit. */
static bool hand_over(struct executor_threads *threads, struct block_job *job, enum block_job_phase *phase)
{
    int fd = descriptor(job);
    struct block_engine *engine = threads->engine[job->aio];
    *phase = fd < 0 ? BLOCK_JOB_PERFORM : BLOCK_JOB_TRANSFER;
    return fd >= 0 && engine && engine->ops->prepare(engine, job, fd);
}

/* A bit for each enum block_aio. */
static void commit(struct executor_threads *threads, unsigned prepared)
{
    for (unsigned n = 0; n < BLOCK_AIO_KINDS; n++) {
        if (prepared & 1u << n)
            threads->engine[n]->ops->commit(threads->engine[n]);
    }
}

static enum status flush_image(struct block_job *job)
{
    if (job->activity)
        block_image_watch(job->image, job->activity);
    enum status status = job->image->ops->flush(job->image);
    if (job->activity)
        block_image_watch(job->image, NULL);
    return status;
}

/* What another job did is logged for this one too. */
static void share_steps(const struct block_activity *from, size_t first, struct block_activity *to)
{
    for (size_t n = first; from && to && n < from->count; n++) {
        const struct block_step *step = &from->step[n];
        block_activity_add_in(to, step->file < BLOCK_ACTIVITY_FILES ? from->path[step->file] : NULL, *step);
    }
}

/* One flush for this job and those linked to it; the others are finished here. */
static enum status flush_after(struct executor_threads *threads, struct block_job *job)
{
    struct block_job *other = job->next;
    size_t first = job->activity ? job->activity->count : 0;
    enum status status = flush_image(job);
    while (other) {
        struct block_job *next = other->next;
        share_steps(job->activity, first, other->activity);
        finish(threads, other, status);
        other = next;
    }
    return status;
}

static void transfer_here(struct executor_threads *threads, struct block_job *first)
{
    struct iovec piece[HOST_PIECES_MAX];
    unsigned count = 0;
    for (const struct block_job *job = first; job; job = job->next)
        piece[count++] = (struct iovec){job->data, job_bytes(job)};
    bool write = first->op == TRACE_BLOCK_WRITE;
    struct block_place place = first->place;
    enum status status = count > 1 ? host_file_transfer_pieces(place.file, write, place.offset, piece, count)
                                   : host_file_transfer(place.file, write, place.offset, first->data, job_bytes(first));
    transfer_ended(threads, first, !status);
}

/* ---- workers ---- */

/* With the lock. One more job may go now: this worker takes the first that may, another the other. */
static void leave_image(struct executor_threads *threads, struct worker *worker)
{
    worker->image = NULL;
    if (threads->list.first)
        pthread_cond_signal(&threads->work);
}

/* True: a write was done that must be durable. Its flush is a phase of its own, to be shared. */
static bool perform(struct block_job *job, enum status *status)
{
    bool flush = job->op == TRACE_BLOCK_WRITE && job->fua && !job->fault;
    job->fua = job->fua && !flush;
    *status = block_job_perform(job);
    job->phase = BLOCK_JOB_FLUSH;
    return flush && !*status;
}

/* True: an engine has it, and is to commit; else the job has its next phase. */
typedef bool hand_out_fn(struct executor_threads *threads, struct block_job *job);

/* A chain. What is left of it, each with its next phase; the rest an engine has. */
static struct block_job *hand_out(struct executor_threads *threads, struct block_job *job, hand_out_fn *try)
{
    struct block_job *going_on = NULL, **last = &going_on;
    unsigned prepared = 0;
    while (job) {
        struct block_job *next = job->next;
        enum block_aio aio = job->aio;
        job->next = NULL;
        if (try(threads, job)) {
            prepared |= 1u << aio;
        } else {
            *last = job;
            last = &job->next;
        }
        job = next;
    }
    commit(threads, prepared);
    return going_on;
}

static bool locate_and_hand_over(struct executor_threads *threads, struct block_job *job)
{
    enum block_job_phase phase = BLOCK_JOB_PERFORM;
    if (locate_watched(job) && hand_over(threads, job, &phase))
        return true;
    job->phase = (uint8_t)phase;
    return false;
}

/* The part of the work that has the image for itself. Who goes on, each by its phase; *ended with *status does not. */
static struct block_job *work_inside(struct executor_threads *threads, struct block_job *job, struct block_job **ended,
                                     enum status *status)
{
    if (job->phase == BLOCK_JOB_LOCATE) {
        job = hand_out(threads, job, locate_and_hand_over);
        if (!job || job->next || job->phase == BLOCK_JOB_TRANSFER)
            return job;
    }
    if (job->phase == BLOCK_JOB_FLUSH)
        *status = flush_after(threads, job);
    else if (perform(job, status))
        return job;
    *ended = job;
    return NULL;
}

/* Enters and leaves with the lock. */
static void work_on(struct executor_threads *threads, struct worker *worker, struct block_job *job)
{
    enum status status = STATUS_OK;
    struct block_job *ended = NULL;
    bool transfer = job->phase == BLOCK_JOB_TRANSFER;
    if (!transfer) {
        worker->image = job->image;
        if (job->phase != BLOCK_JOB_PERFORM)
            job->next = job_list_take_alike(&threads->list, job);
        pthread_mutex_unlock(&threads->lock);
        job = work_inside(threads, job, &ended, &status);
        transfer = job && !job->next && job->phase == BLOCK_JOB_TRANSFER;
        pthread_mutex_lock(&threads->lock);
        leave_image(threads, worker);
    }
    pthread_mutex_unlock(&threads->lock);
    if (ended)
        finish(threads, ended, status);
    else if (transfer)
        transfer_here(threads, job);
    else if (job)
        go_on(threads, job);
    pthread_mutex_lock(&threads->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct executor_threads *threads = worker->owner;
    pthread_mutex_lock(&threads->lock);
    for (;;) {
        uint64_t wake_ns;
        struct block_job *job = take_job(threads, &wake_ns);
        if (job)
            work_on(threads, worker, job);
        else if (threads->stop)
            break;
        else if (wake_ns != UINT64_MAX)
            host_wait_until(&threads->work, &threads->lock, wake_ns);
        else
            pthread_cond_wait(&threads->work, &threads->lock);
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* ---- the outside ---- */

/* A flat image's transfer is found here, another's on a worker. */
static bool begin(struct executor_threads *threads, struct block_job *job)
{
    enum block_job_phase phase = block_job_may_transfer(job) ? BLOCK_JOB_LOCATE : BLOCK_JOB_PERFORM;
    if (phase == BLOCK_JOB_LOCATE && job->image->ops->flat) {
        phase = BLOCK_JOB_PERFORM;
        if (locate(job) && hand_over(threads, job, &phase))
            return true;
    }
    job->phase = (uint8_t)phase;
    if (phase == BLOCK_JOB_PERFORM)
        job->await_until_ns = 0;
    return false;
}

/* A chain. */
static void send(struct executor_threads *threads, struct block_job *job)
{
    job = hand_out(threads, job, begin);
    if (job)
        go_on(threads, job);
}

static void threads_start(struct block_executor *executor, struct block_job *job)
{
    struct executor_threads *threads = threads_of(executor);
    job->done = false;
    job->next = NULL;
    job->await_until_ns = job->cut ? host_wait_now_ns() + threads->await_ns : 0;
    if (threads->held_depth) {
        *threads->held_last = job;
        threads->held_last = &job->next;
    } else {
        send(threads, job);
    }
}

static void threads_hold(struct block_executor *executor)
{
    threads_of(executor)->held_depth++;
}

static void threads_release(struct block_executor *executor)
{
    struct executor_threads *threads = threads_of(executor);
    struct block_job *job = threads->held;
    CHECK(threads->held_depth);
    if (--threads->held_depth || !job)
        return;
    threads->held = NULL;
    threads->held_last = &threads->held;
    send(threads, job);
}

static enum status threads_collect(struct block_executor *executor, struct block_job *job)
{
    struct executor_threads *threads = threads_of(executor);
    pthread_mutex_lock(&threads->lock);
    while (!job->done)
        pthread_cond_wait(&threads->done, &threads->lock);
    enum status status = job->status;
    pthread_mutex_unlock(&threads->lock);
    return status;
}

static void threads_wait(struct block_executor *executor, struct block_job *job)
{
    (void)threads_collect(executor, job);
}

/* On this thread, unless an engine is to be asked. */
static enum status threads_perform(struct block_executor *executor, struct block_job *job)
{
    if (!threads_of(executor)->engine[job->aio])
        return block_job_perform(job);
    job->quiet = true;
    job->done = false;
    job->next = NULL;
    job->await_until_ns = 0;
    send(threads_of(executor), job);
    return threads_collect(executor, job);
}

/* What was started is carried out: a write that the guest has seen accepted is not taken back by its machine's end. */
static void threads_cancel(struct block_executor *executor, struct block_job *job)
{
    (void)threads_collect(executor, job);
}

static void threads_destroy(struct block_executor *executor)
{
    struct executor_threads *threads = threads_of(executor);
    pthread_mutex_lock(&threads->lock);
    threads->stop = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    for (unsigned n = 0; n < threads->worker_count; n++)
        pthread_join(threads->worker[n].thread, NULL);
    for (unsigned n = 0; n < BLOCK_AIO_KINDS; n++) {
        if (threads->engine[n])
            threads->engine[n]->ops->destroy(threads->engine[n]);
    }
    pthread_cond_destroy(&threads->work);
    pthread_cond_destroy(&threads->done);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

static const struct block_executor_ops threads_ops = {
    .hold = threads_hold,
    .release = threads_release,
    .start = threads_start,
    .perform = threads_perform,
    .wait = threads_wait,
    .collect = threads_collect,
    .cancel = threads_cancel,
    .destroy = threads_destroy,
};

struct block_executor *block_executor_threads_create(struct input_mailbox *mailbox, unsigned thread_count)
{
    struct executor_threads *threads = calloc(1, sizeof *threads);
    CHECK(threads && thread_count >= 1 && thread_count <= THREADS_MAX);
    threads->executor.ops = &threads_ops;
    threads->mailbox = mailbox;
    job_list_init(&threads->list);
    threads->await_ns = AWAIT_NS;
    threads->held_last = &threads->held;
    pthread_mutex_init(&threads->lock, NULL);
    host_wait_init(&threads->work);
    pthread_cond_init(&threads->done, NULL);
    /* Under the lock: a worker must not look at the others before worker_count is final. */
    pthread_mutex_lock(&threads->lock);
    while (threads->worker_count < thread_count) {
        struct worker *worker = &threads->worker[threads->worker_count];
        worker->owner = threads;
        if (pthread_create(&worker->thread, NULL, worker_main, worker))
            break;
        threads->worker_count++;
    }
    pthread_mutex_unlock(&threads->lock);
    CHECK(threads->worker_count); /* fewer workers than asked for only cost speed */
    return &threads->executor;
}

void block_executor_threads_await(struct block_executor *executor, uint64_t await_ns)
{
    threads_of(executor)->await_ns = await_ns;
}

enum status block_executor_threads_enable(struct block_executor *executor, enum block_aio aio, struct error *error)
{
    struct executor_threads *threads = threads_of(executor);
    if (aio == BLOCK_AIO_NATIVE && !threads->engine[aio])
        threads->engine[aio] = block_engine_native_create(engine_done, threads, error);
    else if (aio == BLOCK_AIO_IO_URING && !threads->engine[aio])
        threads->engine[aio] = block_engine_uring_create(engine_done, threads, error);
    return aio == BLOCK_AIO_THREADS || threads->engine[aio] ? STATUS_OK : STATUS_UNSUPPORTED;
}
