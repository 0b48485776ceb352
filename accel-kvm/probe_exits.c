/* Which modes run, where RIP is at an exit, and what enters the guest's kernel. Intel SDM vol. 3A 6 (events), vol. 2
 * (INT n, SYSCALL); for the exits, Documentation/virt/kvm/api.rst 5. */
#include "accel-kvm/probe_learn.h"

#include <sys/ioctl.h>

enum kvm_answer probe_judge(const struct probe_outcome *outcome, uint64_t value)
{
    switch (outcome->end) {
    case PROBE_ENDED: return value == PROBE_ANY || outcome->regs.rax == value ? KVM_YES : KVM_WRONG;
    case PROBE_EXCEPTION: return outcome->vector == PROBE_UD ? KVM_NO : KVM_WRONG;
    case PROBE_FAILS: return KVM_FAILS;
    case PROBE_SHUTDOWN:
    case PROBE_REFUSED: return KVM_NO;
    default: return KVM_UNKNOWN;
    }
}

enum kvm_answer probe_judge_fault(const struct probe_outcome *outcome, uint8_t vector)
{
    switch (outcome->end) {
    case PROBE_ENDED: return KVM_NO;
    case PROBE_EXCEPTION: return outcome->vector == vector ? KVM_YES : KVM_WRONG;
    case PROBE_FAILS: return KVM_FAILS;
    default: return KVM_UNKNOWN;
    }
}

static enum kvm_answer mode_runs(struct probe_rig *rig, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    probe_vm_run(&rig->all, mode == PROBE_REAL ? PROBE_GUEST_real_mode : PROBE_GUEST_constant, &start, &outcome);
    return probe_judge(&outcome, mode == PROBE_REAL ? 0x1234 : 0x12345678);
}

void probe_learn_modes(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    result->real_mode = mode_runs(rig, PROBE_REAL);
    result->unpaged_protected = mode_runs(rig, PROBE_PROTECTED);
    result->paging_32 = mode_runs(rig, PROBE_PAGING_32);
    result->paging_pae = mode_runs(rig, PROBE_PAGING_PAE);
    result->long_cpl0 = mode_runs(rig, PROBE_CPL0);
    result->long_cpl3 = mode_runs(rig, PROBE_CPL3);
    result->compat_cpl3 = mode_runs(rig, PROBE_COMPAT_CPL3);
}

/* ---- RIP at an exit ---- */

static enum kvm_answer rip_past(struct probe_vm *vm, enum probe_guest_id guest, uint32_t exit_reason,
                                uint32_t size_bytes)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, guest, &start))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    if (vm->spoiled || outcome.end == PROBE_KILLED || vm->run->exit_reason != exit_reason)
        return outcome.end == PROBE_FAILS ? KVM_FAILS : KVM_UNKNOWN;
    probe_vm_complete(vm);
    if (outcome.regs.rip == PROBE_CODE + size_bytes)
        return KVM_YES;
    return outcome.regs.rip == PROBE_CODE ? KVM_NO : KVM_WRONG;
}

/* ---- what enters the kernel ---- */

static enum kvm_answer reaches(struct probe_vm *vm, enum probe_guest_id guest, enum probe_mode mode, uint8_t vector)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    probe_vm_run(vm, guest, &start, &outcome);
    enum kvm_answer answer = probe_judge_fault(&outcome, vector);
    return answer == KVM_WRONG && outcome.vector == PROBE_UD ? KVM_NO : answer;
}

static enum kvm_answer syscall_enters(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL3};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_syscall, &start, &outcome);
    if (outcome.end == PROBE_ENDED) /* at LSTAR: EAX is CS */
        return (outcome.regs.rax & 3) == 0 ? KVM_YES : KVM_WRONG;
    return probe_judge(&outcome, PROBE_ANY);
}

/* A guest that makes no exits must be ended by the timer, and by nothing else. */
static enum kvm_answer can_kick(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    if (!probe_vm_start(vm, PROBE_GUEST_spin, &start))
        return KVM_UNKNOWN;
    probe_timer_arm(vm->timer, probe_now_ns() + 1000000);
    int result = ioctl(vm->vcpu, KVM_RUN, 0);
    bool signalled = probe_timer_take(vm->timer);
    probe_timer_arm(vm->timer, 0);
    return result < 0 && signalled ? KVM_YES : KVM_WRONG;
}

void probe_learn_exits(struct probe_rig *rig)
{
    struct probe_vm *vm = &rig->all;
    struct kvm_probe *result = rig->result;
    result->out_rip_past = rip_past(vm, PROBE_GUEST_out, KVM_EXIT_IO, 2);
    result->in_rip_past = rip_past(vm, PROBE_GUEST_in, KVM_EXIT_IO, 2);
    result->mmio_write_rip_past = rip_past(vm, PROBE_GUEST_mmio_write, KVM_EXIT_MMIO, 11);
    result->mmio_read_rip_past = rip_past(vm, PROBE_GUEST_mmio_read, KVM_EXIT_MMIO, 7);
    result->hlt_exit = rip_past(vm, PROBE_GUEST_hlt, KVM_EXIT_HLT, 1);
    result->int3_cpl0 = reaches(vm, PROBE_GUEST_int3, PROBE_CPL0, 3);
    result->int3_cpl3 = reaches(vm, PROBE_GUEST_int3, PROBE_CPL3, 3);
    result->int_n_cpl0 = reaches(vm, PROBE_GUEST_int_n, PROBE_CPL0, 0x40);
    result->int_n_cpl3 = reaches(vm, PROBE_GUEST_int_n, PROBE_CPL3, 0x40);
    result->int_n_compat = reaches(vm, PROBE_GUEST_int_n, PROBE_COMPAT_CPL3, 0x40);
    result->syscall = syscall_enters(vm);
    result->kick = can_kick(vm, PROBE_CPL0);
    result->kick_cpl3 = can_kick(vm, PROBE_CPL3);
}
