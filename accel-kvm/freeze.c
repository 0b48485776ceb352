/* A TSC that stands still between two stops of the run loop (MACHINE_WAY_TSC_FROZEN), on hosts whose KVM scales and offsets it
 * (Intel SDM vol. 3C 26.5.3, 26.6.5; AMD APM vol. 2 15.30.5; Linux Documentation/virt/kvm/devices/vcpu.rst 4).
 *
 * The guest's counter runs at 1 kHz, the slowest that there is, and before each entry its offset is moved by what it is away from
 * where it shall stand: what it says and its offset are asked for, so the host's counter and its phase need not be known.
 * IA32_TSC can't be used for it: KVM takes a write near to what it expects for an attempt to synchronize, and gives another value.
 * A tick can fall into a stretch all the same, once in a millisecond of guest time. That shows behind the stretch, and is
 * counted; whether the guest read the counter before or behind it does not.
 * Not done: RDTSCP's and RDPID's IA32_TSC_AUX (hidden from the guest); IA32_TSC_ADJUST. */
#include "accel-kvm/kvm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_IA32_TSC 0x10u
#define RATE_KHZ 1ul
#ifndef KVM_VCPU_TSC_CTRL
#define KVM_VCPU_TSC_CTRL 0
#define KVM_VCPU_TSC_OFFSET 0
#endif

static bool reach_offset(struct kvm_accel *cpu, unsigned long request, uint64_t *offset)
{
    struct kvm_device_attr attribute = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset};
    return ioctl(cpu->vcpu, request, &attribute) == 0;
}

static bool read_tsc(struct kvm_accel *cpu, uint64_t *tsc)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = {.index = MSR_IA32_TSC}};
    if (ioctl(cpu->vcpu, KVM_GET_MSRS, &one.head) != 1)
        return false;
    *tsc = one.entry.data;
    return true;
}

bool kvm_freeze_setup(struct kvm_accel *cpu, struct error *error)
{
    uint64_t offset, tsc;
    if (!machine_goes(cpu->accel.machine, MACHINE_WAY_TSC_FROZEN))
        return true;
    cpu->freeze.on = ioctl(cpu->vcpu, KVM_SET_TSC_KHZ, RATE_KHZ) == 0 &&
                     reach_offset(cpu, KVM_GET_DEVICE_ATTR, &offset) && read_tsc(cpu, &tsc);
    if (!cpu->freeze.on)
        error_set(error, "accel kvm: the TSC can't be made to stand still: %s", strerror(errno));
    return cpu->freeze.on;
}

void kvm_freeze_at(struct kvm_accel *cpu, uint64_t tsc)
{
    uint64_t offset, now;
    if (!cpu->freeze.on)
        return;
    cpu->freeze.at = tsc;
    if (!read_tsc(cpu, &now)) {
        (void)kvm_trouble(cpu, "KVM_GET_MSRS");
        return;
    }
    if (now == tsc)
        return;
    if (!reach_offset(cpu, KVM_GET_DEVICE_ATTR, &offset)) {
        (void)kvm_trouble(cpu, "KVM_GET_DEVICE_ATTR");
        return;
    }
    offset += tsc - now;
    if (!reach_offset(cpu, KVM_SET_DEVICE_ATTR, &offset))
        (void)kvm_trouble(cpu, "KVM_SET_DEVICE_ATTR");
}

void kvm_freeze_look(struct kvm_accel *cpu)
{
    uint64_t now;
    if (cpu->freeze.on && read_tsc(cpu, &now) && now != cpu->freeze.at)
        cpu->statistics.tsc_ticks++;
}
