/* Worker threads: jobs wait in one list, in order of start; a worker takes the first whose image no other worker has,
 * does the work, and posts INPUT_BLOCK_COMPLETION. Jobs of one image therefore run one at a time and in order.
 * Invariants: (1) a job is in the list, or at one worker, or done; (2) once done is set, under the lock, no worker
 * touches the job again; (3) the message is posted after done is set. */
#include "block/executor.h"
#include "block/image.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS_MAX 64u

struct worker {
    struct executor_threads *owner;
    pthread_t thread;
    struct block_image *image; /* at work on it; null: idle */
};

struct executor_threads {
    struct block_executor executor;
    struct input_mailbox *mailbox;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct block_job *first, **last;
    bool stop;
    unsigned worker_count;
    struct worker worker[THREADS_MAX];
};

static bool image_busy(const struct executor_threads *threads, const struct block_image *image)
{
    for (unsigned n = 0; n < threads->worker_count; n++) {
        if (threads->worker[n].image == image)
            return true;
    }
    return false;
}

static void unlink_at(struct executor_threads *threads, struct block_job **link)
{
    struct block_job *job = *link;
    *link = job->next;
    if (threads->last == &job->next)
        threads->last = link;
    job->next = NULL;
}

static struct block_job *take_job(struct executor_threads *threads)
{
    for (struct block_job **link = &threads->first; *link; link = &(*link)->next) {
        struct block_job *job = *link;
        if (image_busy(threads, job->image))
            continue;
        unlink_at(threads, link);
        return job;
    }
    return NULL;
}

static void perform(struct executor_threads *threads, struct worker *worker, struct block_job *job)
{
    worker->image = job->image;
    pthread_mutex_unlock(&threads->lock);
    enum status status = block_image_perform(job->image, job->op, job->sector, job->sectors, job->data, job->fua);
    struct input_message message = {
        .id = INPUT_BLOCK_COMPLETION, .target = job->drive, .a = job->tag, .b = (uint64_t)(int64_t)status};
    pthread_mutex_lock(&threads->lock);
    job->status = status;
    job->done = true;
    worker->image = NULL;
    pthread_cond_broadcast(&threads->done);
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    input_mailbox_post(threads->mailbox, message);
    pthread_mutex_lock(&threads->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct executor_threads *threads = worker->owner;
    pthread_mutex_lock(&threads->lock);
    for (;;) {
        struct block_job *job = take_job(threads);
        if (job)
            perform(threads, worker, job);
        else if (threads->stop)
            break;
        else
            pthread_cond_wait(&threads->work, &threads->lock);
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

static void threads_start(struct block_executor *executor, struct block_job *job)
{
    struct executor_threads *threads = (struct executor_threads *)(void *)executor;
    pthread_mutex_lock(&threads->lock);
    job->done = false;
    job->next = NULL;
    *threads->last = job;
    threads->last = &job->next;
    pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}

static enum status threads_collect(struct block_executor *executor, struct block_job *job)
{
    struct executor_threads *threads = (struct executor_threads *)(void *)executor;
    pthread_mutex_lock(&threads->lock);
    while (!job->done)
        pthread_cond_wait(&threads->done, &threads->lock);
    enum status status = job->status;
    pthread_mutex_unlock(&threads->lock);
    return status;
}

/* What was started is carried out: a write that the guest has seen accepted is not taken back by its machine's end. */
static void threads_cancel(struct block_executor *executor, struct block_job *job)
{
    (void)threads_collect(executor, job);
}

static void threads_destroy(struct block_executor *executor)
{
    struct executor_threads *threads = (struct executor_threads *)(void *)executor;
    pthread_mutex_lock(&threads->lock);
    threads->stop = true;
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
    for (unsigned n = 0; n < threads->worker_count; n++)
        pthread_join(threads->worker[n].thread, NULL);
    pthread_cond_destroy(&threads->work);
    pthread_cond_destroy(&threads->done);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

static const struct block_executor_ops threads_ops = {
    .start = threads_start,
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
    threads->last = &threads->first;
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work, NULL);
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
