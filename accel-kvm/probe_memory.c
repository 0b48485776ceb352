/* The dirty log: Documentation/virt/kvm/api.rst 4.8. The guest's page tables have their accessed and dirty bits set before, so that
 * nothing but its store writes. */
#include "accel-kvm/probe_learn.h"

#include <string.h>
#include <sys/ioctl.h>

#define PAGES (PROBE_RAM_BYTES / 4096)

static bool set_logging(struct probe_vm *vm)
{
    struct kvm_userspace_memory_region region = {
        .flags = KVM_MEM_LOG_DIRTY_PAGES, .memory_size = PROBE_RAM_BYTES, .userspace_addr = (uintptr_t)vm->memory};
    return !ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static bool fetch_log(struct probe_vm *vm, uint8_t bitmap[PAGES / 8])
{
    struct kvm_dirty_log log = {.dirty_bitmap = bitmap};
    memset(bitmap, 0, PAGES / 8);
    return !ioctl(vm->vm, KVM_GET_DIRTY_LOG, &log);
}

static enum kvm_answer judge(const uint8_t bitmap[PAGES / 8])
{
    const unsigned page = PROBE_DATA / 4096;
    bool others = false;
    for (unsigned n = 0; n < PAGES; n++)
        others |= n != page && bitmap[n / 8] >> (n % 8) & 1;
    if (!(bitmap[page / 8] >> (page % 8) & 1))
        return KVM_NO;
    return others ? KVM_WRONG : KVM_YES;
}

/* Twice: after the first time the log is clean, and the page must show again. */
static enum kvm_answer logs(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    uint8_t bitmap[PAGES / 8];
    enum kvm_answer answer = KVM_YES;
    if (!set_logging(vm))
        return KVM_NO;
    for (unsigned turn = 0; turn < 2 && answer == KVM_YES; turn++) {
        probe_vm_run(vm, PROBE_GUEST_store, &start, &outcome);
        if (outcome.end != PROBE_ENDED || !fetch_log(vm, bitmap))
            return KVM_UNKNOWN;
        answer = judge(bitmap);
    }
    return answer;
}

static enum kvm_answer logs_cpl0(struct probe_vm *vm)
{
    return logs(vm, PROBE_CPL0);
}

static enum kvm_answer logs_cpl3(struct probe_vm *vm)
{
    return logs(vm, PROBE_CPL3);
}

void probe_learn_memory(struct probe_rig *rig)
{
    rig->result->dirty_log_cpl0 = probe_in_own_vm(rig, logs_cpl0);
    rig->result->dirty_log_cpl3 = probe_in_own_vm(rig, logs_cpl3);
}
