/* MSRs denied by default: KVM_X86_SET_MSR_FILTER and KVM_CAP_X86_USER_SPACE_MSR, Documentation/virt/kvm/api.rst 4.97, 7.21. */
#include "accel-kvm/probe_learn.h"

#include <sys/ioctl.h>

#define MSR_IA32_BIOS_SIGN_ID 0x8bu /* the guests' own: KVM knows it, and would answer by itself */
#define MSR_ALLOWED 0xc0000081u     /* a filter without a range is refused */

static bool deny_all(struct probe_vm *vm)
{
    uint8_t allowed = 1;
    struct kvm_enable_cap exits = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER}};
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY,
                                    .ranges = {{.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                                                .nmsrs = 1,
                                                .base = MSR_ALLOWED,
                                                .bitmap = &allowed}}};
    return !ioctl(vm->vm, KVM_ENABLE_CAP, &exits) && !ioctl(vm->vm, KVM_X86_SET_MSR_FILTER, &filter);
}

static enum kvm_answer denied(struct probe_vm *vm, enum probe_guest_id guest, uint32_t exit_reason)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    if (!deny_all(vm) || !probe_vm_start(vm, guest, &start))
        return KVM_NO;
    probe_vm_enter(vm, &outcome);
    if (outcome.end == PROBE_KILLED)
        return KVM_UNKNOWN;
    if (vm->run->exit_reason != exit_reason)
        return outcome.end == PROBE_FAILS ? KVM_FAILS : KVM_NO;
    return vm->run->msr.index == MSR_IA32_BIOS_SIGN_ID && vm->run->msr.reason == KVM_MSR_EXIT_REASON_FILTER ? KVM_YES
                                                                                                            : KVM_WRONG;
}

static enum kvm_answer try_read(struct probe_vm *vm)
{
    return denied(vm, PROBE_GUEST_rdmsr, KVM_EXIT_X86_RDMSR);
}

static enum kvm_answer try_write(struct probe_vm *vm)
{
    return denied(vm, PROBE_GUEST_wrmsr, KVM_EXIT_X86_WRMSR);
}

void probe_learn_msrs(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    if (result->cap_msr_filter != KVM_YES || result->cap_msr_exits != KVM_YES)
        return;
    result->msr_read_exits = probe_in_own_vm(rig, try_read);
    result->msr_write_exits = probe_in_own_vm(rig, try_write);
}
