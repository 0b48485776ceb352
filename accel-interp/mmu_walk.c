/* Page table walks: 2-level with PSE, PAE, 4-level (Intel SDM vol. 3, chapter 4).
 *
 * Accessed and dirty bits are set after the whole walk has succeeded and the access is allowed; a walk that faults leaves
 * no trace. Page tables outside memory read as all ones and so end in a reserved-bit fault.
 * Not modelled: 5-level paging, cacheability (PWT, PCD, PAT are ignored). */
#include "accel-interp/mmu.h"

#define PTE_PRESENT 0x001u
#define PTE_WRITABLE 0x002u
#define PTE_USER 0x004u
#define PTE_ACCESSED 0x020u
#define PTE_DIRTY 0x040u
#define PTE_LARGE 0x080u
#define PTE_GLOBAL 0x100u
#define PTE_KEY_SHIFT 59
#define PTE_NO_EXECUTE (1ull << 63)
#define PTE_ADDRESS (PHYSICAL_MASK & ~0xFFFull)

/* The entries that a walk went through. */
struct trail {
    uint64_t a20_mask;
    unsigned levels;
    bool wide;    /* 8-byte entries */
    uint64_t all; /* bits that all of them have */
    uint64_t gpa[4], entry[4];
};

static void trail_begin(struct interp *cpu, struct trail *trail)
{
    trail->a20_mask = mmu_a20(cpu, UINT64_MAX);
    trail->levels = 0;
    trail->wide = false;
    trail->all = UINT64_MAX;
}

static inline uint64_t read_entry(struct interp *cpu, const struct trail *trail, uint64_t gpa)
{
    gpa &= trail->a20_mask;
    const struct memory_range *range = mmu_range(cpu, &cpu->mmu.tables, gpa);
    const uint8_t *host;
    uint64_t value;
    uint32_t narrow;

    if (!range->host)
        return trail->wide ? UINT64_MAX : UINT32_MAX;
    host = range->host + (gpa - range->start);
    if (trail->wide) {
        memcpy(&value, host, 8);
        return value;
    }
    memcpy(&narrow, host, 4);
    return narrow;
}

static void write_entry(struct interp *cpu, const struct insn *i, uint64_t gpa, uint64_t value, bool wide)
{
    struct memory_page page;

    gpa = mmu_a20(cpu, gpa);
    page = memory_lookup(machine_memory(cpu->accel.machine), gpa);
    if (!page.host || !page.writable)
        return;
    if (*page.flags & MEMORY_PAGE_WATCHED)
        block_code_written(cpu, i, gpa, wide ? 8 : 4);
    *page.flags |= MEMORY_PAGE_DIRTY;
    memcpy(page.host + (gpa & 0xFFF), &value, wide ? 8 : 4);
}

static inline bool step(struct interp *cpu, struct trail *trail, uint64_t gpa, uint64_t *entry)
{
    *entry = read_entry(cpu, trail, gpa);
    trail->gpa[trail->levels] = gpa;
    trail->entry[trail->levels++] = *entry;
    trail->all &= *entry;
    return *entry & PTE_PRESENT;
}

/* Walks of the three formats: gpa, shift and rights of the page, or false with present or reserved error bits. */
static bool walk_2level(struct interp *cpu, uint64_t linear, struct mmu_walk *walk, struct trail *trail)
{
    uint64_t entry, rights;

    if (!step(cpu, trail, (cpu->cr3 & 0xFFFFF000u) + ((linear >> 22) & 0x3FF) * 4, &entry))
        return false;
    rights = entry;
    if ((entry & PTE_LARGE) && (cpu->cr4 & CR4_PSE)) {
        if (entry & (cpu->features.pse36 ? 0x200000u : 0x3FE000u)) {
            walk->error = PF_PRESENT | PF_RESERVED;
            return false;
        }
        walk->shift = 22;
        walk->gpa = (entry & 0xFFC00000u) | ((entry & 0x1FE000u) << 19) | (linear & 0x3FF000u);
    } else {
        if (!step(cpu, trail, (entry & 0xFFFFF000u) + ((linear >> 12) & 0x3FF) * 4, &entry))
            return false;
        rights &= entry;
        walk->shift = 12;
        walk->gpa = entry & 0xFFFFF000u;
    }
    walk->rights = (uint8_t)((rights & PTE_WRITABLE ? MMU_WRITABLE : 0) | (rights & PTE_USER ? MMU_USER : 0));
    return true;
}

/* 8-byte entries from the level whose index starts at linear bit `shift` downwards. */
static bool walk_wide(struct interp *cpu, uint64_t linear, uint64_t table, unsigned shift, bool pae,
                      struct mmu_walk *walk, struct trail *trail)
{
    uint64_t reserved = ~PHYSICAL_MASK & (pae ? 0x7FFFFFFFFFFFFFFFull : 0x000FFFFFFFFFFFFFull);
    uint64_t rights = PTE_WRITABLE | PTE_USER, no_execute = 0, entry;

    if (!(cpu->efer & EFER_NXE))
        reserved |= PTE_NO_EXECUTE;
    for (;; shift -= 9) {
        uint64_t bad = reserved;

        if (!step(cpu, trail, table + ((linear >> shift) & 0x1FF) * 8, &entry))
            return false;
        if (shift == 39)
            bad |= PTE_LARGE;
        else if (shift > 12 && (entry & PTE_LARGE))
            bad |= ((1ull << shift) - 1) & ~0x1FFFull; /* bit 12 is PAT */
        if (entry & bad) {
            walk->error = PF_PRESENT | PF_RESERVED;
            return false;
        }
        rights &= entry;
        no_execute |= entry & PTE_NO_EXECUTE;
        if (shift == 12 || (shift < 39 && (entry & PTE_LARGE)))
            break;
        table = entry & PTE_ADDRESS;
    }
    walk->shift = (uint8_t)shift;
    walk->gpa = (entry & PTE_ADDRESS & ~((1ull << shift) - 1)) | (linear & ((1ull << shift) - 1) & ~0xFFFull);
    walk->rights = (uint8_t)((rights & PTE_WRITABLE ? MMU_WRITABLE : 0) | (rights & PTE_USER ? MMU_USER : 0) |
                             (no_execute ? MMU_NO_EXECUTE : 0));
    return true;
}

static bool walk_format(struct interp *cpu, uint64_t linear, struct mmu_walk *walk, struct trail *trail)
{
    if (!(cpu->cr4 & CR4_PAE))
        return walk_2level(cpu, linear, walk, trail);
    trail->wide = true;
    if (cpu->efer & EFER_LMA)
        return walk_wide(cpu, linear, cpu->cr3 & PTE_ADDRESS, 39, false, walk, trail);
    uint64_t pdpte = cpu->pdpte[(linear >> 30) & 3];
    return (pdpte & PTE_PRESENT) && walk_wide(cpu, linear, pdpte & PTE_ADDRESS, 21, true, walk, trail);
}

static void set_bits(struct interp *cpu, const struct insn *i, const struct trail *trail, bool dirty)
{
    for (unsigned n = 0; n < trail->levels; n++) {
        uint64_t bits = PTE_ACCESSED | (dirty && n + 1 == trail->levels ? PTE_DIRTY : 0);

        if (bits & ~trail->entry[n])
            write_entry(cpu, i, trail->gpa[n], trail->entry[n] | bits, trail->wide);
    }
}

bool mmu_walk(struct interp *cpu, const struct insn *i, uint64_t linear, enum tlb_access access, enum tlb_view view,
              bool commit, struct mmu_walk *walk)
{
    struct trail trail;
    uint64_t leaf;
    bool good;

    trail_begin(cpu, &trail);
    walk->error = 0;
    good = walk_format(cpu, linear, walk, &trail);
    if (good) {
        walk->key = (trail.entry[trail.levels - 1] >> PTE_KEY_SHIFT) & 15;
        bool key_allows = mmu_key_allows(cpu, walk->rights, walk->key, access, view);
        good = mmu_allowed(cpu, walk->rights, access, view) && key_allows;
        walk->error = good ? 0 : PF_PRESENT | (key_allows ? 0 : PF_KEY);
    }
    if (!good) {
        bool fetch_bit = (cpu->cr4 & CR4_SMEP) || ((cpu->cr4 & CR4_PAE) && (cpu->efer & EFER_NXE));
        walk->error |= (access == TLB_WRITE ? PF_WRITE : 0) | (view == TLB_USER ? PF_USER : 0) |
                       (access == TLB_FETCH && fetch_bit ? PF_FETCH : 0);
        return false;
    }
    leaf = trail.entry[trail.levels - 1];
    if (commit && (!(trail.all & PTE_ACCESSED) || (access == TLB_WRITE && !(leaf & PTE_DIRTY))))
        set_bits(cpu, i, &trail, access == TLB_WRITE);
    if (access == TLB_WRITE || (leaf & PTE_DIRTY))
        walk->rights |= MMU_DIRTY;
    if ((leaf & PTE_GLOBAL) && (cpu->cr4 & CR4_PGE))
        walk->rights |= MMU_GLOBAL;
    return true;
}

void mmu_load_pdptes(struct interp *cpu, const struct insn *i, uint64_t cr3)
{
    const uint64_t reserved = (~PHYSICAL_MASK) | 0x1E6u;
    struct trail trail;
    uint64_t pdpte[4];

    trail_begin(cpu, &trail);
    trail.wide = true;
    for (unsigned n = 0; n < 4; n++) {
        pdpte[n] = read_entry(cpu, &trail, (cr3 & 0xFFFFFFE0u) + 8 * n);
        if ((pdpte[n] & PTE_PRESENT) && (pdpte[n] & reserved))
            interp_raise_error(cpu, i, EXC_GP, 0);
    }
    memcpy(cpu->pdpte, pdpte, sizeof pdpte);
}
