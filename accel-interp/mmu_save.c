/* The architectural TLB, saved and restored (struct mmu_entry in interp.h): what it holds decides when a walk sets accessed and
 * dirty bits, and what a guest sees that changed its page tables without a flush.
 *
 * The bytes: what the run loop has in mind (HIDDEN_*); the number of entries; each: its slot (bit 15: of code), tag, page, rights, shift, key. */
#include "accel-interp/mmu.h"

#define HEAD_BYTES 5u
#define ENTRY_BYTES 21u
#define SLOT_CODE 0x8000u
#define HIDDEN_STEP_TRAP 1u
#define HIDDEN_AT_STOP 2u
#define HIDDEN_DEBUG_LEFT 4u
#define RIGHTS_ALL (MMU_WRITABLE | MMU_USER | MMU_NO_EXECUTE | MMU_DIRTY | MMU_GLOBAL)

static bool held(const struct interp *cpu, const struct mmu_entry *entry)
{
    uint64_t generation = entry->rights & MMU_GLOBAL ? cpu->mmu.global_generation : cpu->mmu.generation;

    return (entry->tag & 1) && entry->generation == generation;
}

static const struct mmu_entry *entry_at(const struct interp *cpu, unsigned n)
{
    return n < MMU_DATA_ENTRIES ? &cpu->mmu.data[n] : &cpu->mmu.code[n - MMU_DATA_ENTRIES];
}

static unsigned count_held(const struct interp *cpu)
{
    unsigned count = 0;

    for (unsigned n = 0; n < MMU_DATA_ENTRIES + MMU_CODE_ENTRIES; n++)
        count += held(cpu, entry_at(cpu, n));
    return count;
}

static void put_le(uint8_t **out, uint64_t value, unsigned size_bytes)
{
    for (unsigned n = 0; n < size_bytes; n++)
        *(*out)++ = (uint8_t)(value >> (8 * n));
}

static uint64_t get_le(const uint8_t **in, unsigned size_bytes)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t) * (*in)++ << (8 * n);
    return value;
}

size_t mmu_hidden_bytes(struct accel *accel)
{
    return HEAD_BYTES + (size_t)count_held(interp_of(accel)) * ENTRY_BYTES;
}

void mmu_hidden_save(struct accel *accel, uint8_t *out)
{
    const struct interp *cpu = interp_of(accel);

    put_le(&out,
           (cpu->step_trap ? HIDDEN_STEP_TRAP : 0) | (cpu->at_stop ? HIDDEN_AT_STOP : 0) |
               (cpu->debug_left ? HIDDEN_DEBUG_LEFT : 0),
           1);
    put_le(&out, count_held(cpu), 4);
    for (unsigned n = 0; n < MMU_DATA_ENTRIES + MMU_CODE_ENTRIES; n++) {
        const struct mmu_entry *entry = entry_at(cpu, n);
        if (!held(cpu, entry))
            continue;
        put_le(&out, n < MMU_DATA_ENTRIES ? n : SLOT_CODE | (n - MMU_DATA_ENTRIES), 2);
        put_le(&out, entry->tag, 8);
        put_le(&out, entry->gpa, 8);
        put_le(&out, entry->rights, 1);
        put_le(&out, entry->shift, 1);
        put_le(&out, entry->key, 1);
    }
}

/* A translation that a walk could have made, in the slot of its page. */
static bool sound(const struct mmu_entry *entry, unsigned slot, unsigned slots)
{
    bool shift = entry->shift == 12 || entry->shift == 21 || entry->shift == 22 || entry->shift == 30;
    bool place = slot < slots && ((entry->tag >> MEMORY_PAGE_SHIFT) & (slots - 1)) == slot;

    return place && shift && (entry->tag & 0xFFF) == 1 && !(entry->gpa & 0xFFF) && !(entry->rights & ~RIGHTS_ALL) &&
           entry->key < 16;
}

/* False: it can't be one. */
static bool load_entry(struct interp *cpu, const uint8_t **in)
{
    unsigned slot = (unsigned)get_le(in, 2);
    bool code = slot & SLOT_CODE;
    struct mmu_entry entry = {.tag = get_le(in, 8)};

    slot &= ~SLOT_CODE;
    entry.gpa = get_le(in, 8);
    entry.rights = (uint8_t)get_le(in, 1);
    entry.shift = (uint8_t)get_le(in, 1);
    entry.key = (uint8_t)get_le(in, 1);
    entry.generation = entry.rights & MMU_GLOBAL ? cpu->mmu.global_generation : cpu->mmu.generation;
    if (!sound(&entry, slot, code ? MMU_CODE_ENTRIES : MMU_DATA_ENTRIES))
        return false;
    mmu_note_large(cpu, entry.tag, entry.shift);
    cpu->mmu.keyed |= entry.key != 0;
    *(code ? &cpu->mmu.code[slot] : &cpu->mmu.data[slot]) = entry;
    return true;
}

enum status mmu_hidden_load(struct accel *accel, const uint8_t *in, size_t size)
{
    struct interp *cpu = interp_of(accel);

    if (size < HEAD_BYTES)
        return STATUS_CORRUPT;
    uint64_t flags = get_le(&in, 1);
    cpu->step_trap = flags & HIDDEN_STEP_TRAP;
    cpu->at_stop = flags & HIDDEN_AT_STOP;
    cpu->debug_left = flags & HIDDEN_DEBUG_LEFT;
    uint64_t count = get_le(&in, 4);
    if (count > MMU_DATA_ENTRIES + MMU_CODE_ENTRIES || size != HEAD_BYTES + count * ENTRY_BYTES)
        return STATUS_CORRUPT;
    mmu_flush_all(cpu);
    for (uint64_t n = 0; n < count; n++) {
        if (!load_entry(cpu, &in))
            return STATUS_CORRUPT;
    }
    return STATUS_OK;
}
