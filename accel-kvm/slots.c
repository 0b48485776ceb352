/* Guest memory as KVM's slots, one a range of the machine's map, and the log of what the guest wrote
 * (Documentation/virt/kvm/api.rst, KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG).
 *
 * All writable slots are logged always: who digests memory asks by memory_protect_all. A slot that stays as it was over a
 * change of the map is left alone.
 * Not modelled: A20 off (the guest sees memory as with A20 on). */
#include "accel-kvm/kvm.h"

#include "core/memory_range.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct plan {
    struct kvm_accel *cpu;
    struct kvm_slot slot[KVM_SLOTS_MAX];
    unsigned count;
};

static void plan_range(void *opaque, const struct memory_view *view)
{
    struct plan *plan = opaque;
    struct memory_range range = memory_lookup_range(machine_memory(plan->cpu->accel.machine), view->start);
    CHECK(plan->count < KVM_SLOTS_MAX && range.host);
    plan->slot[plan->count++] = (struct kvm_slot){.start = view->start,
                                                  .size_bytes = view->end - view->start,
                                                  .host = range.host + (view->start - range.start),
                                                  .flags = range.flags + ((view->start - range.start) >> MEMORY_PAGE_SHIFT),
                                                  .writable = view->writable};
}

static bool same(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->start == b->start && a->size_bytes == b->size_bytes && a->host == b->host && a->writable == b->writable;
}

static void set_slot(struct kvm_accel *cpu, unsigned index, const struct kvm_slot *slot)
{
    struct kvm_userspace_memory_region region = {
        .slot = index,
        .flags = slot->size_bytes == 0 ? 0 : slot->writable ? KVM_MEM_LOG_DIRTY_PAGES : KVM_MEM_READONLY,
        .guest_phys_addr = slot->start,
        .memory_size = slot->size_bytes,
        .userspace_addr = (uintptr_t)slot->host,
    };
    if (ioctl(cpu->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        (void)kvm_trouble(cpu, "KVM_SET_USER_MEMORY_REGION");
}

static void fetch_slot(struct kvm_accel *cpu, unsigned index)
{
    struct kvm_slot *slot = &cpu->slot[index];
    size_t pages = slot->size_bytes >> MEMORY_PAGE_SHIFT;
    struct kvm_dirty_log log = {.slot = index, .dirty_bitmap = cpu->dirty};
    if (!slot->size_bytes || !slot->writable)
        return;
    if (ioctl(cpu->vm, KVM_GET_DIRTY_LOG, &log) < 0) {
        (void)kvm_trouble(cpu, "KVM_GET_DIRTY_LOG");
        return;
    }
    for (size_t word = 0; word < (pages + 63) / 64; word++) {
        for (uint64_t bits = cpu->dirty[word]; bits; bits &= bits - 1)
            slot->flags[word * 64 + (unsigned)__builtin_ctzll(bits)] |= MEMORY_PAGE_DIRTY;
    }
}

void kvm_slots_fetch_dirty(struct kvm_accel *cpu)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++)
        fetch_slot(cpu, n);
}

static bool planned(const struct plan *plan, const struct kvm_slot *slot)
{
    for (unsigned n = 0; n < plan->count; n++) {
        if (same(&plan->slot[n], slot))
            return true;
    }
    return false;
}

static unsigned free_slot(const struct kvm_accel *cpu)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        if (!cpu->slot[n].size_bytes)
            return n;
    }
    CHECK(!"more ranges of memory than slots");
    return 0;
}

static bool present(const struct kvm_accel *cpu, const struct kvm_slot *slot)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        if (cpu->slot[n].size_bytes && same(&cpu->slot[n], slot))
            return true;
    }
    return false;
}

static void make_dirty_map(struct kvm_accel *cpu, uint64_t size_bytes)
{
    size_t bytes = ((size_bytes >> MEMORY_PAGE_SHIFT) + 63) / 64 * 8;
    if (bytes <= cpu->dirty_bytes)
        return;
    free(cpu->dirty);
    cpu->dirty = malloc(bytes);
    CHECK(cpu->dirty);
    cpu->dirty_bytes = bytes;
}

void kvm_slots_rebuild(struct kvm_accel *cpu)
{
    struct plan plan = {.cpu = cpu};
    memory_each_range(machine_memory(cpu->accel.machine), plan_range, &plan);
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        struct kvm_slot *slot = &cpu->slot[n];
        if (!slot->size_bytes || planned(&plan, slot))
            continue;
        fetch_slot(cpu, n);
        kvm_copy_free(slot);
        cpu->mark.set = false;
        slot->size_bytes = 0;
        set_slot(cpu, n, slot);
    }
    for (unsigned n = 0; n < plan.count; n++) {
        if (present(cpu, &plan.slot[n]))
            continue;
        unsigned index = free_slot(cpu);
        make_dirty_map(cpu, plan.slot[n].size_bytes);
        cpu->slot[index] = plan.slot[n];
        set_slot(cpu, index, &plan.slot[n]);
    }
}

void kvm_slots_renew(struct kvm_accel *cpu)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        struct kvm_slot gone = cpu->slot[n];
        if (!gone.size_bytes)
            continue;
        fetch_slot(cpu, n);
        gone.size_bytes = 0;
        set_slot(cpu, n, &gone);
        set_slot(cpu, n, &cpu->slot[n]);
    }
}

void kvm_slots_free(struct kvm_accel *cpu)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++)
        kvm_copy_free(&cpu->slot[n]);
    free(cpu->dirty);
}
