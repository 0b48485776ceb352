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
#define RATE_ATTEMPTS 4

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

/* A guest's RDTSC, and the host's before and after it. */
struct sample {
    uint64_t before, guest, after;
};

static bool take_sample(struct probe_vm *vm, struct sample *sample)
{
    sample->before = __rdtsc();
    bool taken = guest_tsc(vm, &sample->guest);
    sample->after = __rdtsc();
    return taken;
}

/* Guest cycles for 1000 of the host's: the least and the most that two samples allow. False: not learned. A host under load makes
 * them part, and then it is tried again. */
static bool measure_rate(struct probe_vm *vm, uint64_t *least, uint64_t *most)
{
    struct sample first, last;
    for (unsigned attempt = 0; attempt < RATE_ATTEMPTS; attempt++) {
        if (!take_sample(vm, &first))
            return false;
        wait_ns(RATE_INTERVAL_NS);
        if (!take_sample(vm, &last) || last.before <= first.after)
            return false;
        *least = (last.guest - first.guest) * 1000 / (last.after - first.before);
        *most = (last.guest - first.guest) * 1000 / (last.before - first.after);
        if (*most - *least < *most / 4)
            return true;
    }
    return false;
}

static enum kvm_answer try_rate(struct probe_vm *vm)
{
    int khz = ioctl(vm->vcpu, KVM_GET_TSC_KHZ, 0);
    uint64_t least, most, least_half, most_half;
    if (khz <= 0 || !measure_rate(vm, &least, &most))
        return KVM_UNKNOWN;
    if (ioctl(vm->vcpu, KVM_SET_TSC_KHZ, (unsigned long)khz / 2))
        return KVM_NO;
    if (!measure_rate(vm, &least_half, &most_half))
        return KVM_UNKNOWN;
    return most_half < least * 3 / 4 ? KVM_YES : KVM_NO;
}

static enum kvm_answer try_tsd(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode, .cr4 = CR4_TSD};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_rdtsc, &start, &outcome);
    return probe_judge_fault(&outcome, PROBE_GP);
}

void probe_learn_tsc(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    result->tsd_cpl3 = try_tsd(&rig->all, PROBE_CPL3);
    result->tsd_compat = try_tsd(&rig->all, PROBE_COMPAT_CPL3);
    result->tsc_write = probe_in_own_vm(rig, try_write);
    result->tsc_offset = probe_in_own_vm(rig, try_offset);
    result->tsc_scaling = probe_in_own_vm(rig, try_rate);
}
