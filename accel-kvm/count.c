/* KVM's own count of the instructions that its emulator executed (statistic insn_emulation; Documentation/virt/kvm/api.rst,
 * KVM_GET_STATS_FD). On hosts whose guests' kernel code runs in that emulator it says how far a guest is between two exits; that
 * is all it is used for, so that it need not be exact (a repeated string instruction counts by its turns). Elsewhere it hardly
 * moves, and is as good as none. */
#include "accel-kvm/kvm.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NAME "insn_emulation"
#define STATS_MAX 4096u
#define NAME_BYTES_MAX 256u

static bool find(int fd, uint64_t *offset)
{
    struct kvm_stats_header header;
    union {
        struct kvm_stats_desc desc; /* the name follows */
        char room[sizeof(struct kvm_stats_desc) + NAME_BYTES_MAX];
    } row;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header || header.num_desc > STATS_MAX ||
        header.name_size > NAME_BYTES_MAX)
        return false;
    size_t bytes = sizeof row.desc + header.name_size;
    for (uint32_t n = 0; n < header.num_desc; n++) {
        if (pread(fd, &row, bytes, (off_t)(header.desc_offset + n * bytes)) != (ssize_t)bytes)
            return false;
        if (strncmp(row.room + sizeof row.desc, NAME, header.name_size) == 0 && row.desc.size == 1) {
            *offset = header.data_offset + row.desc.offset;
            return true;
        }
    }
    return false;
}

void kvm_count_setup(struct kvm_accel *cpu)
{
    cpu->stats = ioctl(cpu->vcpu, KVM_GET_STATS_FD, NULL);
    if (cpu->stats < 0 || find(cpu->stats, &cpu->stats_offset))
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
