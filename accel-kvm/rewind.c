/* An instant to which the vCPU can be put back: registers by struct cpu_state, memory by copies of the slots, of which those
 * pages are brought up to date at a mark that were written since the one before.
 *
 * A copy costs as much memory as the guest has written of its own; only runs that meet landmarks make any.
 *  1. A page whose copy is not what memory held at the last look is stale, or its flags say dirty. Flags are cleared by
 *     memory_digest alone, which asks for the dirty log first (kvm_copies_note).
 *  2. KVM's shadows of guest page tables don't know of what user space writes: after memory was put back they are made anew. */
#include "accel-kvm/kvm.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define DISCARDS_MAX 4096 /* parts of one access */

static size_t pages_of(const struct kvm_slot *slot)
{
    return slot->size_bytes >> MEMORY_PAGE_SHIFT;
}

void kvm_copy_free(struct kvm_slot *slot)
{
    if (slot->copy)
        munmap(slot->copy, slot->size_bytes);
    free(slot->stale);
    slot->copy = NULL;
    slot->stale = NULL;
}

static bool copy_make(struct kvm_accel *cpu, struct kvm_slot *slot)
{
    if (slot->copy)
        return true;
    size_t words = (pages_of(slot) + 63) / 64;
    void *copy =
        mmap(NULL, slot->size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    slot->stale = malloc(words * 8);
    if (copy == MAP_FAILED || !slot->stale) {
        free(slot->stale);
        slot->stale = NULL;
        (void)kvm_trouble(cpu, "memory for a copy of the guest's");
        return false;
    }
    memset(slot->stale, 0xFF, words * 8);
    slot->copy = copy;
    return true;
}

static void note_dirty(struct kvm_slot *slot)
{
    for (size_t page = 0; slot->copy && page < pages_of(slot); page++) {
        if (slot->flags[page] & MEMORY_PAGE_DIRTY)
            slot->stale[page / 64] |= 1ull << page % 64;
    }
}

void kvm_copies_note(struct kvm_accel *cpu)
{
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++)
        note_dirty(&cpu->slot[n]);
}

/* Of the pages that may differ: calls move for each that does. */
static bool each_difference(struct kvm_slot *slot, void (*move)(struct kvm_slot *slot, size_t page))
{
    bool any = false;
    note_dirty(slot);
    for (size_t word = 0; word < (pages_of(slot) + 63) / 64; word++) {
        for (uint64_t bits = slot->stale[word]; bits; bits &= bits - 1) {
            size_t page = word * 64 + (unsigned)__builtin_ctzll(bits), at = page << MEMORY_PAGE_SHIFT;
            if (page < pages_of(slot) && memcmp(slot->copy + at, slot->host + at, MEMORY_PAGE_BYTES) != 0) {
                move(slot, page);
                any = true;
            }
        }
        slot->stale[word] = 0;
    }
    return any;
}

static void to_copy(struct kvm_slot *slot, size_t page)
{
    size_t at = page << MEMORY_PAGE_SHIFT;
    memcpy(slot->copy + at, slot->host + at, MEMORY_PAGE_BYTES);
}

static void from_copy(struct kvm_slot *slot, size_t page)
{
    size_t at = page << MEMORY_PAGE_SHIFT;
    memcpy(slot->host + at, slot->copy + at, MEMORY_PAGE_BYTES);
    slot->flags[page] |= MEMORY_PAGE_DIRTY;
}

void kvm_mark(struct kvm_accel *cpu, uint64_t done)
{
    cpu->mark.set = false;
    kvm_state_fetch(cpu);
    kvm_slots_fetch_dirty(cpu);
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        struct kvm_slot *slot = &cpu->slot[n];
        if (!slot->size_bytes || !slot->writable)
            continue;
        if (!copy_make(cpu, slot))
            return;
        (void)each_difference(slot, to_copy);
    }
    cpu->mark.state = cpu->state;
    cpu->mark.halted = cpu->halted;
    cpu->mark.done = done;
    cpu->mark.set = true;
}

/* An access that nobody carries out: KVM wants it completed, with whatever is in the page. */
static void discard_access(struct kvm_accel *cpu)
{
    cpu->run->immediate_exit = 1;
    for (unsigned n = 0; n < DISCARDS_MAX && kvm_enter(cpu) == 0; n++)
        ;
    cpu->run->immediate_exit = 0;
}

void kvm_rewind(struct kvm_accel *cpu)
{
    bool any = false;
    CHECK(cpu->mark.set);
    discard_access(cpu);
    kvm_slots_fetch_dirty(cpu);
    for (unsigned n = 0; n < KVM_SLOTS_MAX; n++) {
        if (cpu->slot[n].copy)
            any |= each_difference(&cpu->slot[n], from_copy);
    }
    if (any)
        kvm_slots_renew(cpu);
    cpu->state = cpu->mark.state;
    cpu->halted = cpu->mark.halted;
    cpu->state_valid = cpu->state_changed = true;
    cpu->held_valid = false;
    cpu->taken = cpu->at_breakpoint = false;
    kvm_site_forget(cpu);
    cpu->count_at_exit = kvm_count(cpu) - cpu->mark.done;
    cpu->statistics.rewinds++;
}
