/* The timer that ends a KVM_RUN: timer_create(2) with SIGEV_THREAD_ID, and KVM_SET_SIGNAL_MASK in probe_vm.c. */
#include "accel-kvm/probe_vm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

uint64_t probe_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void only(int signal, sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, signal);
}

enum status probe_timer_init(struct probe_timer *timer, struct error *error)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID};
    sigset_t set;
    timer->signal = SIGRTMAX - 2;
    timer->end_ns = probe_now_ns() + PROBE_TOTAL_LIMIT_NS;
    only(timer->signal, &set);
    event.sigev_signo = timer->signal;
    event.sigev_notify_thread_id = gettid();
    if (timer_create(CLOCK_MONOTONIC, &event, &timer->id))
        return error_status(error, STATUS_IO, "timer_create: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &set, &timer->before);
    return STATUS_OK;
}

bool probe_timer_take(struct probe_timer *timer)
{
    const struct timespec now = {0};
    sigset_t set;
    only(timer->signal, &set);
    return sigtimedwait(&set, NULL, &now) == timer->signal;
}

void probe_timer_arm(struct probe_timer *timer, uint64_t when_ns)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(when_ns / 1000000000u), .tv_nsec = (long)(when_ns % 1000000000u)}};
    timer_settime(timer->id, TIMER_ABSTIME, &when, NULL);
    if (!when_ns)
        probe_timer_take(timer);
}

void probe_timer_fini(struct probe_timer *timer)
{
    probe_timer_arm(timer, 0);
    timer_delete(timer->id);
    pthread_sigmask(SIG_SETMASK, &timer->before, NULL);
}
