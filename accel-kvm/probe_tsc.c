/* Who says what RDTSC gives: IA32_TSC, the vCPU's offset, its rate, CR4.TSD. Intel SDM vol. 3B 18.17; KVM's
 * Documentation/virt/kvm/devices/vcpu.rst 4. Each way has a VM of its own, since each leaves its mark on it. */
#include "accel-kvm/probe_learn.h"

#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#define MSR_IA32_TSC 0x10u
#define CR4_TSD 4u
#define FAR_AWAY (1ull << 50) /* cycles: no host has run as long */
#define NEAR (1ull << 40)
#define RATE_INTERVAL_NS 3000000u

static bool guest_tsc(struct probe_vm *vm, uint64_t *value)
{
    struct probe_start start = {.mode = PROBE_CPL0};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_rdtsc, &start, &outcome);
    *value = outcome.regs.rax;
    return outcome.end == PROBE_ENDED;
}

static enum kvm_answer is_near(struct probe_vm *vm, uint64_t expected)
{
    uint64_t value;
    if (!guest_tsc(vm, &value))
        return KVM_UNKNOWN;
    return value - expected < NEAR ? KVM_YES : KVM_NO;
}

static enum kvm_answer try_write(struct probe_vm *vm)
{
    uint64_t before;
    if (!guest_tsc(vm, &before))
        return KVM_UNKNOWN;
    if (!probe_vm_set_msr(vm, MSR_IA32_TSC, before + FAR_AWAY))
        return KVM_NO;
    return is_near(vm, before + FAR_AWAY);
}

static enum kvm_answer try_offset(struct probe_vm *vm)
{
    uint64_t offset = 0, before;
    struct kvm_device_attr attribute = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset};
    if (!guest_tsc(vm, &before))
        return KVM_UNKNOWN;
    if (ioctl(vm->vcpu, KVM_GET_DEVICE_ATTR, &attribute))
        return KVM_NO;
    offset += FAR_AWAY;
    if (ioctl(vm->vcpu, KVM_SET_DEVICE_ATTR, &attribute))
        return KVM_NO;
    return is_near(vm, before + FAR_AWAY);
}

static void wait_ns(uint64_t ns)
{
    uint64_t end = probe_now_ns() + ns;
    while (probe_now_ns() < end)
        continue;
}

/* Guest cycles for 1000 of the host's, over a few ms; 0: not learned. */
static uint64_t rate_per_mille(struct probe_vm *vm)
{
    uint64_t first, last;
    if (!guest_tsc(vm, &first))
        return 0;
    uint64_t host_first = __rdtsc();
    wait_ns(RATE_INTERVAL_NS);
    if (!guest_tsc(vm, &last))
        return 0;
    uint64_t host = __rdtsc() - host_first;
    return host ? (last - first) * 1000 / host : 0;
}

static enum kvm_answer try_rate(struct probe_vm *vm)
{
    int khz = ioctl(vm->vcpu, KVM_GET_TSC_KHZ, 0);
    if (khz <= 0)
        return KVM_UNKNOWN;
    uint64_t before = rate_per_mille(vm);
    if (!before)
        return KVM_UNKNOWN;
    if (ioctl(vm->vcpu, KVM_SET_TSC_KHZ, (unsigned long)khz / 2))
        return KVM_NO;
    uint64_t after = rate_per_mille(vm);
    if (after > before * 3 / 8 && after < before * 5 / 8)
        return KVM_YES;
    return after > before * 3 / 4 && after < before * 5 / 4 ? KVM_NO : KVM_UNKNOWN;
}

static enum kvm_answer try_tsd(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL3, .cr4 = CR4_TSD};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_rdtsc, &start, &outcome);
    return probe_judge_fault(&outcome, PROBE_GP);
}

static enum kvm_answer in_own_vm(struct probe_rig *rig, enum kvm_answer (*attempt)(struct probe_vm *vm))
{
    struct probe_vm *vm = &rig->own;
    enum kvm_answer answer = KVM_UNKNOWN;
    if (!probe_vm_init(vm, rig->all.kvm, &rig->timer, PROBE_TABLE_ALL, NULL))
        answer = attempt(vm);
    probe_vm_fini(vm);
    return answer;
}

void probe_learn_tsc(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    result->tsd_cpl3 = try_tsd(&rig->all);
    result->tsc_write = in_own_vm(rig, try_write);
    result->tsc_offset = in_own_vm(rig, try_offset);
    result->tsc_scaling = in_own_vm(rig, try_rate);
}
