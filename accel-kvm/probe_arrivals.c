/* What user space brings the guest: the end of an access, interrupts, NMIs. Documentation/virt/kvm/api.rst 4.16 (KVM_INTERRUPT),
 * 4.64 (KVM_NMI), 5 (immediate_exit, request_interrupt_window). No interrupt controller is KVM's. */
#include "accel-kvm/probe_learn.h"

#include <string.h>
#include <sys/ioctl.h>

#define FLAGS_IF 0x200u
#define VECTOR 0x41u
#define NMI_VECTOR 2u
#define IN_VALUE 0x5a

/* ---- completion ---- */

/* The access is over, and the next instruction has not begun. */
static enum kvm_answer completes(struct probe_vm *vm, enum probe_guest_id guest)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    struct kvm_regs regs;
    if (!probe_vm_start(vm, guest, &start))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    if (vm->spoiled || outcome.end == PROBE_KILLED || vm->run->exit_reason != KVM_EXIT_IO ||
        vm->run->io.data_offset >= vm->run_bytes)
        return KVM_UNKNOWN;
    ((uint8_t *)vm->run)[vm->run->io.data_offset] = IN_VALUE;
    probe_vm_complete(vm);
    if (ioctl(vm->vcpu, KVM_GET_REGS, &regs))
        return KVM_UNKNOWN;
    bool value = guest != PROBE_GUEST_in || (uint8_t)regs.rax == IN_VALUE;
    return regs.rip == PROBE_CODE + 2 && value ? KVM_YES : KVM_WRONG;
}

/* ---- interrupts ---- */

/* The return address of the handler's frame, which lies at the top of CPL0's stack. */
static uint64_t frame_rip(const struct probe_vm *vm, const struct probe_outcome *outcome)
{
    uint64_t rip = 0;
    if (outcome->regs.rsp <= PROBE_RAM_BYTES - sizeof rip)
        memcpy(&rip, vm->memory + outcome->regs.rsp, sizeof rip);
    return rip;
}

static enum kvm_answer judge_arrival(const struct probe_vm *vm, const struct probe_outcome *outcome, uint8_t vector,
                                     uint64_t rip)
{
    if (outcome->end == PROBE_KILLED)
        return KVM_UNKNOWN;
    if (outcome->end != PROBE_EXCEPTION || outcome->vector != vector)
        return outcome->end == PROBE_ENDED ? KVM_NO : KVM_WRONG;
    return frame_rip(vm, outcome) == rip ? KVM_YES : KVM_WRONG;
}

static enum kvm_answer interrupts(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode, .rflags = FLAGS_IF};
    struct kvm_interrupt interrupt = {.irq = VECTOR};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_nops, &start) || ioctl(vm->vcpu, KVM_INTERRUPT, &interrupt))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    if (!vm->spoiled)
        probe_vm_complete(vm);
    return judge_arrival(vm, &outcome, VECTOR, PROBE_CODE);
}

/* With IF clear no window; after STI there is one, sooner or later. */
static enum kvm_answer window_opens(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_sti, &start))
        return KVM_UNKNOWN;
    vm->run->request_interrupt_window = 1;
    probe_vm_enter(vm, &outcome);
    vm->run->request_interrupt_window = 0;
    if (outcome.end == PROBE_KILLED)
        return KVM_NO;
    return vm->run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN && vm->run->if_flag ? KVM_YES : KVM_WRONG;
}

static enum kvm_answer nmis(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    if (!probe_vm_start(vm, PROBE_GUEST_nops, &start) || ioctl(vm->vcpu, KVM_NMI))
        return KVM_UNKNOWN;
    probe_vm_enter(vm, &outcome);
    vm->spoiled = true; /* NMIs are blocked until an IRET that never comes */
    return judge_arrival(vm, &outcome, NMI_VECTOR, PROBE_CODE);
}

void probe_learn_arrivals(struct probe_rig *rig)
{
    struct probe_vm *vm = &rig->all;
    struct kvm_probe *result = rig->result;
    enum kvm_answer out = completes(vm, PROBE_GUEST_out), in = completes(vm, PROBE_GUEST_in);
    result->access_completes = out == KVM_YES ? in : out;
    result->interrupt_cpl0 = interrupts(vm, PROBE_CPL0);
    result->interrupt_cpl3 = interrupts(vm, PROBE_CPL3);
    result->interrupt_window = window_opens(vm);
    result->nmi = nmis(vm);
}
