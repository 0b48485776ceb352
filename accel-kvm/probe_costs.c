/* What an exit, a step and a kick cost: medians over a few repetitions on CLOCK_MONOTONIC. For the reader; nothing follows from
 * them but how patient he must be. */
#include "accel-kvm/probe_learn.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#define EXITS 33
#define KICKS 9
#define KICK_DELAY_NS 300000u

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t median(uint32_t *values, size_t count)
{
    if (!count)
        return 0;
    qsort(values, count, sizeof values[0], compare);
    return values[count / 2];
}

static uint32_t elapsed(uint64_t since_ns)
{
    uint64_t ns = probe_now_ns() - since_ns;
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* KVM_RUN to KVM_RUN of a guest that exits for ever. One timer for all of them. */
static uint32_t exit_cost(struct probe_vm *vm, enum probe_guest_id guest, enum probe_mode mode, uint32_t exit_reason)
{
    struct probe_start start = {.mode = mode};
    uint32_t values[EXITS];
    size_t count = 0;
    if (probe_now_ns() + PROBE_GUEST_LIMIT_NS > vm->timer->end_ns || !probe_vm_start(vm, guest, &start))
        return 0;
    probe_timer_arm(vm->timer, probe_now_ns() + PROBE_GUEST_LIMIT_NS);
    while (count < EXITS) {
        uint64_t since = probe_now_ns();
        if (ioctl(vm->vcpu, KVM_RUN, 0) || vm->run->exit_reason != exit_reason)
            break;
        values[count++] = elapsed(since);
    }
    probe_timer_arm(vm->timer, 0);
    if (count == EXITS)
        probe_vm_complete(vm);
    else
        vm->spoiled = true;
    return count == EXITS ? median(values, count) : 0;
}

static uint32_t step_cost(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL0, .rcx = EXITS};
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
    struct probe_outcome outcome;
    uint32_t values[EXITS];
    if (!probe_vm_start(vm, PROBE_GUEST_loop, &start) || ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug))
        return 0;
    probe_vm_enter(vm, &outcome);
    for (size_t n = 0; n < EXITS; n++) {
        uint64_t since = probe_now_ns();
        if (outcome.end != PROBE_STOPPED || ioctl(vm->vcpu, KVM_RUN, 0))
            return 0;
        values[n] = elapsed(since);
    }
    return median(values, EXITS);
}

/* From the timer's expiry to the return of KVM_RUN. */
static uint32_t kick_cost(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    uint32_t values[KICKS];
    if (!probe_vm_start(vm, PROBE_GUEST_spin, &start))
        return 0;
    for (size_t n = 0; n < KICKS; n++) {
        uint64_t when = probe_now_ns() + KICK_DELAY_NS;
        probe_timer_arm(vm->timer, when);
        int result = ioctl(vm->vcpu, KVM_RUN, 0);
        values[n] = elapsed(when);
        probe_timer_arm(vm->timer, 0);
        if (result >= 0)
            return 0;
    }
    return median(values, KICKS);
}

void probe_learn_costs(struct probe_rig *rig)
{
    struct kvm_probe_costs *costs = &rig->result->costs;
    struct probe_vm *vm = &rig->all;
    costs->pio_exit_cpl0_ns = exit_cost(vm, PROBE_GUEST_out_for_ever, PROBE_CPL0, KVM_EXIT_IO);
    costs->pio_exit_cpl3_ns = exit_cost(vm, PROBE_GUEST_out_for_ever, PROBE_CPL3, KVM_EXIT_IO);
    costs->mmio_exit_cpl0_ns = exit_cost(vm, PROBE_GUEST_mmio_for_ever, PROBE_CPL0, KVM_EXIT_MMIO);
    if (rig->result->step_cpl0 == KVM_YES)
        costs->step_cpl0_ns = step_cost(vm);
    if (rig->result->kick == KVM_YES)
        costs->kick_ns = kick_cost(vm);
}
