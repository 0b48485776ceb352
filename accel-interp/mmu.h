/* Address translation inside accel-interp: what mmu.c and mmu_walk.c share, and accesses with an explicit view. */
#ifndef VMRR_ACCEL_INTERP_MMU_H
#define VMRR_ACCEL_INTERP_MMU_H

#include "accel-interp/mem.h"
#include "accel-interp/system_bits.h"

/* Rights of a translation: of all levels together. */
#define MMU_WRITABLE 0x01u
#define MMU_USER 0x02u
#define MMU_NO_EXECUTE 0x04u
#define MMU_DIRTY 0x08u
#define MMU_GLOBAL 0x10u

/* Error code bits of a page fault. */
#define PF_PRESENT 0x01u
#define PF_WRITE 0x02u
#define PF_USER 0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH 0x10u
#define PF_KEY 0x20u

struct mmu_walk {
    uint64_t gpa; /* of the 4 KiB page */
    uint8_t rights;
    uint8_t shift;
    uint8_t key;    /* protection key */
    uint32_t error; /* of the page fault when the walk fails */
};

/* May an access be made with these rights? */
static inline bool mmu_allowed(const struct interp *cpu, unsigned rights, enum tlb_access access, enum tlb_view view)
{
    if (view == TLB_USER) {
        if (!(rights & MMU_USER) || (access == TLB_WRITE && !(rights & MMU_WRITABLE)))
            return false;
    } else {
        if (rights & MMU_USER) {
            if (access == TLB_FETCH ? (cpu->cr4 & CR4_SMEP) != 0
                                    : (cpu->cr4 & CR4_SMAP) != 0 && view != TLB_SUPERVISOR_AC)
                return false;
        }
        if (access == TLB_WRITE && !(rights & MMU_WRITABLE) && (cpu->cr0 & CR0_WP))
            return false;
    }
    return access != TLB_FETCH || !(rights & MMU_NO_EXECUTE);
}

/* May data be accessed by the page's protection key (SDM vol. 3, 4.6.2)? Supervisor pages have none. */
static inline bool mmu_key_allows(const struct interp *cpu, unsigned rights, unsigned key, enum tlb_access access,
                                  enum tlb_view view)
{
    if (!(cpu->cr4 & CR4_PKE) || !(rights & MMU_USER) || access == TLB_FETCH || !(cpu->mode & MODE_LONG))
        return true;
    unsigned denied = cpu->s.pkru >> (2 * key);
    return !(denied & 1) && !((denied & 2) && access == TLB_WRITE && (view == TLB_USER || (cpu->cr0 & CR0_WP)));
}
/* WRPKRU, XRSTOR. */
void mmu_write_pkru(struct interp *cpu, uint32_t value);

/* Walks the page tables (CR0.PG is set). commit: sets accessed and dirty bits; i as in mem_*, for a page table that is
 * decoded code. False: walk->error. */
bool mmu_walk(struct interp *cpu, const struct insn *i, uint64_t linear, enum tlb_access access, enum tlb_view view,
              bool commit, struct mmu_walk *walk);

/* Physical address as the A20 gate lets it through. */
static inline uint64_t mmu_a20(const struct interp *cpu, uint64_t gpa)
{
    return machine_a20(cpu->accel.machine) ? gpa : gpa & ~(1ull << 20);
}

/* The range around gpa, through one of the two that are kept. */
static inline const struct memory_range *mmu_range(struct interp *cpu, struct memory_range *kept, uint64_t gpa)
{
    if (__builtin_expect(gpa - kept->start >= kept->end - kept->start, 0))
        *kept = memory_lookup_range(machine_memory(cpu->accel.machine), gpa);
    return kept;
}

static inline bool mmu_canonical(uint64_t linear)
{
    return (uint64_t)((int64_t)(linear << 16) >> 16) == linear;
}

/* Data accesses with a view that is not the current one: sizes 1..8. */
uint64_t mmu_read(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, enum tlb_view view);
void mmu_write(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes,
               enum tlb_view view);
/* Raises what an access of this kind would raise, and does nothing else. */
void mmu_probe(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, enum tlb_access access,
               enum tlb_view view);
/* Where a byte that is to be read lies, with the faults and accessed bits of reading it; nothing is read. False: no memory. */
bool mmu_locate(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t *gpa);
/* The view of data accesses at a privilege level with the present SMAP and AC. */
enum tlb_view mmu_view(const struct interp *cpu, unsigned cpl);
/* Drops all entries of the views, keeping the architectural TLB: data breakpoints or alignment checking changed. */
void mmu_drop_views(struct interp *cpu);
/* A fragment of a page of this size is in the architectural TLB. */
void mmu_note_large(struct interp *cpu, uint64_t linear, unsigned shift);

/* mmu_save.c: operations of the accelerator. */
size_t mmu_hidden_bytes(struct accel *accel);
void mmu_hidden_save(struct accel *accel, uint8_t *out);
enum status mmu_hidden_load(struct accel *accel, const uint8_t *in, size_t size);

#endif
