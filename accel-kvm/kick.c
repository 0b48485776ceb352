/* Stopping a guest that makes no exits: a timer of the host whose signal ends KVM_RUN (immediate_exit is set by its handler, so
 * that one that comes just before KVM_RUN is not lost).
 *
 * The timer is set for the machine's next deadline, and a little later, so that a guest that makes exits anyway is not
 * stopped for it: an interrupt at an exit costs nothing, one between two costs a landmark. A second timer is set by whoever
 * posts a message (kvm_kick_post), from his thread. */
#include "accel-kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLACK_NS 300000ull   /* after a deadline */
#define SOON_NS 20000ull
#define POST_NS 100000ull /* after a message came: the next exit may be sooner */
#define PERIOD_NS 20000000ull /* at most: requests that come from other threads (a full disk, Ctrl-C) */
#define KICK_SIGNAL (SIGRTMAX - 1)

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void on_kick(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    struct kvm_accel *cpu = info->si_value.sival_ptr;
    if (!cpu)
        return;
    atomic_store_explicit(&cpu->posted, false, memory_order_relaxed); /* whichever of the two it was: the guest stops */
    atomic_store_explicit(&cpu->kicked, true, memory_order_relaxed);
    cpu->run->immediate_exit = 1;
}

bool kvm_kick_setup(struct kvm_accel *cpu, struct error *error)
{
    struct sigaction action = {.sa_sigaction = on_kick, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL};
    event.sigev_value.sival_ptr = cpu;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (sigaction(KICK_SIGNAL, &action, NULL) == 0) {
        cpu->has_timer = timer_create(CLOCK_MONOTONIC, &event, &cpu->timer) == 0;
        cpu->has_post_timer = timer_create(CLOCK_MONOTONIC, &event, &cpu->post_timer) == 0;
    }
    if (!cpu->has_post_timer)
        error_set(error, "accel kvm: timer: %s", strerror(errno));
    return cpu->has_post_timer;
}

void kvm_kick_free(struct kvm_accel *cpu)
{
    if (cpu->has_timer)
        timer_delete(cpu->timer);
    if (cpu->has_post_timer)
        timer_delete(cpu->post_timer);
    cpu->has_timer = cpu->has_post_timer = false;
}

uint64_t kvm_thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void arm_in(timer_t timer, uint64_t in_ns)
{
    struct itimerspec at = {.it_value = {(time_t)(in_ns / 1000000000u), (long)(in_ns % 1000000000u)}};
    timer_settime(timer, 0, &at, NULL);
}

void kvm_kick_post(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    if (!atomic_exchange(&cpu->posted, true))
        arm_in(cpu->post_timer, POST_NS);
}

/* Virtual time runs with the host's: a deadline is as far away for both, give or take the age of the last sample, by which the
 * kick comes late at most. */
static uint64_t deadline_in(const struct kvm_accel *cpu, uint64_t deadline)
{
    uint64_t now = machine_position(cpu->accel.machine).vtime_ns;
    uint64_t in_ns = deadline > now ? deadline - now : 0;
    return in_ns < PERIOD_NS / cpu->slower ? in_ns * cpu->slower : PERIOD_NS;
}

void kvm_kick_arm(struct kvm_accel *cpu)
{
    uint64_t deadline = *machine_next_timer_ns(cpu->accel.machine);
    if (cpu->armed && cpu->armed_ns == deadline)
        return;
    cpu->armed = true;
    cpu->armed_ns = deadline;
    arm_in(cpu->timer, deadline_in(cpu, deadline) + SLACK_NS);
}

void kvm_kick_in(struct kvm_accel *cpu, uint64_t in_ns)
{
    cpu->armed = true;
    cpu->armed_ns = *machine_next_timer_ns(cpu->accel.machine);
    atomic_store(&cpu->kicked, false);
    arm_in(cpu->timer, in_ns);
}

void kvm_kick_soon(struct kvm_accel *cpu)
{
    kvm_kick_in(cpu, SOON_NS << (cpu->unclean < 8 ? cpu->unclean : 8)); /* to enter the guest at all may take the host long */
}
