/* Stopping at an instruction: KVM_SET_GUEST_DEBUG, Documentation/virt/kvm/api.rst 4.87; Intel SDM vol. 3B 18.2. */
#include "accel-kvm/probe_learn.h"

#include <sys/ioctl.h>

#define DR7_FIRST_EXECUTE 0x401u /* L0, an instruction; bit 10 reads as one */
#define FLAGS_RF 0x10000u
#define STEPS 3

static bool set_debug(struct probe_vm *vm, uint32_t control, uint64_t address)
{
    struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | control};
    if (control & KVM_GUESTDBG_USE_HW_BP) {
        debug.arch.debugreg[0] = address;
        debug.arch.debugreg[7] = DR7_FIRST_EXECUTE;
    }
    return !ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug);
}

/* Not stopped: was it the guest that saw the #DB? */
static enum kvm_answer judge_miss(const struct probe_outcome *outcome)
{
    if (outcome->end == PROBE_KILLED)
        return KVM_UNKNOWN;
    return outcome->end == PROBE_EXCEPTION && outcome->vector == 1 ? KVM_WRONG : KVM_NO;
}

static enum kvm_answer steps(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_nops, &start))
        return KVM_UNKNOWN;
    if (!set_debug(vm, KVM_GUESTDBG_SINGLESTEP, 0))
        return KVM_NO;
    for (unsigned n = 1; n <= STEPS; n++) {
        probe_vm_enter(vm, &outcome);
        if (outcome.end != PROBE_STOPPED) {
            vm->spoiled = true; /* with an access under way, perhaps */
            return judge_miss(&outcome);
        }
        if (outcome.regs.rip != PROBE_CODE + n)
            return KVM_WRONG;
    }
    return KVM_YES;
}

static enum kvm_answer breaks(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_nops, &start))
        return KVM_UNKNOWN;
    if (!set_debug(vm, KVM_GUESTDBG_USE_HW_BP, PROBE_CODE + 2))
        return KVM_NO;
    probe_vm_enter(vm, &outcome);
    if (outcome.end != PROBE_STOPPED) {
        vm->spoiled = true;
        return judge_miss(&outcome);
    }
    return outcome.regs.rip == PROBE_CODE + 2 ? KVM_YES : KVM_WRONG;
}

/* Stopped at a breakpoint, RF set: does the guest go on to its end? */
static enum kvm_answer passes_with_rf(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_nops, &start) || !set_debug(vm, KVM_GUESTDBG_USE_HW_BP, PROBE_CODE + 2))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    if (outcome.end != PROBE_STOPPED)
        return KVM_UNKNOWN;
    outcome.regs.rflags |= FLAGS_RF;
    if (ioctl(vm->vcpu, KVM_SET_REGS, &outcome.regs))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    if (outcome.end == PROBE_ENDED)
        probe_vm_complete(vm);
    return outcome.end == PROBE_ENDED ? KVM_YES : outcome.end == PROBE_STOPPED ? KVM_NO : KVM_UNKNOWN;
}

void probe_learn_stops(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    if (result->cap_guest_debug != KVM_YES)
        return;
    result->step_cpl0 = steps(&rig->all, PROBE_CPL0);
    result->step_cpl3 = steps(&rig->all, PROBE_CPL3);
    result->step_compat = steps(&rig->all, PROBE_COMPAT_CPL3);
    result->breakpoint_cpl0 = breaks(&rig->all, PROBE_CPL0);
    result->breakpoint_cpl3 = breaks(&rig->all, PROBE_CPL3);
    if (result->breakpoint_cpl0 == KVM_YES)
        result->breakpoint_rf = passes_with_rf(&rig->all);
    result->breakpoint_compat = breaks(&rig->all, PROBE_COMPAT_CPL3);
}
