/* KVM's own count of the instructions that its emulator executed (statistic insn_emulation; Documentation/virt/kvm/api.rst,
 * KVM_GET_STATS_FD). On hosts whose guests' kernel code runs in that emulator it says how far a guest is between two exits; that
 * is all it is used for, so that it need not be exact (a repeated string instruction counts by its turns). Elsewhere it hardly
 * moves, and is as good as none. */
#include "accel-kvm/kvm.h"
#include "accel-kvm/statistic.h"

#include <sys/ioctl.h>
#include <unistd.h>

void kvm_count_setup(struct kvm_accel *cpu)
{
    cpu->stats = ioctl(cpu->vcpu, KVM_GET_STATS_FD, NULL);
    if (cpu->stats < 0 || kvm_statistic_find(cpu->stats, "insn_emulation", &cpu->stats_offset))
        return;
    close(cpu->stats);
    cpu->stats = -1;
}

uint64_t kvm_count(struct kvm_accel *cpu)
{
    uint64_t value;
    if (cpu->stats < 0 || pread(cpu->stats, &value, sizeof value, (off_t)cpu->stats_offset) != (ssize_t)sizeof value)
        return 0;
    return value;
}
