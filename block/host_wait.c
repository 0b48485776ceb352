/* CLOCK_MONOTONIC: see host_wait.h. */
#include "block/host_wait.h"
#include "core/status.h"

#include <time.h>

#define SECOND_NS 1000000000u

uint64_t host_wait_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

void host_wait_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    CHECK(!pthread_condattr_init(&attributes) && !pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    CHECK(!pthread_cond_init(condition, &attributes));
    pthread_condattr_destroy(&attributes);
}

void host_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / SECOND_NS), .tv_nsec = (long)(until_ns % SECOND_NS)};
    (void)pthread_cond_timedwait(condition, lock, &until);
}
