/* Who does not come to an exit is stopped: a thread that looks at a counter. It touches the machine by machine_interrupt alone. */
#include "tools/lockstep/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct lockstep_watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool over;
    struct machine *running; /* null: none */
    uint64_t stall_ms, progress;
};

static struct timespec in_ms(uint64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    uint64_t ns = (uint64_t)at.tv_nsec + ms % 1000 * 1000000u;
    at.tv_sec += (time_t)(ms / 1000 + ns / 1000000000u);
    at.tv_nsec = (long)(ns % 1000000000u);
    return at;
}

static void *watch_main(void *opaque)
{
    struct lockstep_watch *watch = opaque;
    uint64_t seen = 0;
    pthread_mutex_lock(&watch->lock);
    while (!watch->over) {
        struct timespec at = in_ms(watch->stall_ms);
        while (!watch->over && pthread_cond_timedwait(&watch->end, &watch->lock, &at) == 0)
            ;
        if (!watch->over && watch->running && watch->progress == seen)
            machine_interrupt(watch->running);
        seen = watch->progress;
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

struct lockstep_watch *lockstep_watch_create(uint64_t stall_ms)
{
    struct lockstep_watch *watch = calloc(1, sizeof *watch);
    pthread_condattr_t attributes;
    CHECK(watch);
    watch->stall_ms = stall_ms;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->end, &attributes);
    pthread_condattr_destroy(&attributes);
    CHECK(!pthread_create(&watch->thread, NULL, watch_main, watch));
    return watch;
}

void lockstep_watch_destroy(struct lockstep_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->over = true;
    pthread_cond_signal(&watch->end);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->end);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void lockstep_watch_run(struct lockstep_watch *watch, struct machine *machine)
{
    pthread_mutex_lock(&watch->lock);
    watch->running = machine;
    watch->progress++;
    pthread_mutex_unlock(&watch->lock);
}
