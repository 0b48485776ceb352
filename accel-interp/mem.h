/* Guest memory from instruction functions: linear addresses, through the software TLB. A hit is one compare and one add;
 * everything else (miss, page crossing, MMIO, code page, watchpoint, non-canonical) is the slow path in mmu.c, which may
 * raise, or abandon the instruction (invariant 3 of interp.h).
 *
 * OF bit 62: see flags.h. Unaligned accesses within a page are hits.
 *
 * ld8..ld64(cpu, i, linear), st8..st64(cpu, i, linear, value); user-mode view: the current one. Read-modify-write:
 *     struct rmw m; uint32_t v = rmw_ld32(cpu, i, lin, &m);  ...  rmw_st32(cpu, i, &m, new);
 * rmw_ld checks for write permission first (a fault says W=1), so rmw_st can't fault. */
#ifndef VMRR_ACCEL_INTERP_MEM_H
#define VMRR_ACCEL_INTERP_MEM_H

#include "accel-interp/interp.h"

#include <string.h>

#define TLB_INDEX(linear) (((linear) >> MEMORY_PAGE_SHIFT) & (TLB_ENTRIES - 1))
#define TLB_PAGE(linear) ((linear) & ~0xFFFull)

/* In the slow function of an instruction that ends in NEXT whatever its accesses do, before the first of them: it need not be
 * abandoned for a device (invariant 3 of interp.h). */
static inline void mem_goes_on(struct interp *cpu, const struct insn *i)
{
    cpu->goes_on = i;
}

/* Slow paths, mmu.c. size_bytes 1..8 for the integers; any up to 64 for the buffers. */
uint64_t mem_read_slow(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes);
void mem_write_slow(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes);
void mem_read_buffer_slow(struct interp *cpu, const struct insn *i, uint64_t linear, void *out, unsigned size_bytes);
void mem_write_buffer_slow(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in,
                           unsigned size_bytes);

static inline uint8_t *mem_hit(struct interp *cpu, uint64_t linear, unsigned size_bytes, enum tlb_access access)
{
    const struct tlb_entry *entry = &cpu->tlb->entry[access][TLB_INDEX(linear)];
    if (__builtin_expect(entry->tag == TLB_PAGE(linear + size_bytes - 1), 1)) {
        uint8_t *host = (uint8_t *)(uintptr_t)(linear + entry->addend);
        if (!host)
            __builtin_unreachable(); /* spares the caller's test on this path */
        return host;
    }
    return NULL;
}

#define MEM_ACCESSORS_(bits, type)                                                                                     \
    static inline type ld##bits(struct interp *cpu, const struct insn *i, uint64_t linear)                             \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, linear, (bits) / 8, TLB_READ);                                              \
        type value;                                                                                                    \
        if (__builtin_expect(!host, 0))                                                                                \
            return (type)mem_read_slow(cpu, i, linear, (bits) / 8);                                                    \
        memcpy(&value, host, sizeof value);                                                                            \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void st##bits(struct interp *cpu, const struct insn *i, uint64_t linear, type value)                 \
    {                                                                                                                  \
        uint8_t *host = mem_hit(cpu, linear, (bits) / 8, TLB_WRITE);                                                   \
        if (__builtin_expect(!host, 0)) {                                                                              \
            mem_write_slow(cpu, i, linear, value, (bits) / 8);                                                         \
            return;                                                                                                    \
        }                                                                                                              \
        memcpy(host, &value, sizeof value);                                                                            \
    }

MEM_ACCESSORS_(8, uint8_t)
MEM_ACCESSORS_(16, uint16_t)
MEM_ACCESSORS_(32, uint32_t)
MEM_ACCESSORS_(64, uint64_t)

/* 10, 16, 28, 108, 512 bytes...: any size; faults before anything is written. Chunks of up to 64. */
void mem_read_buffer(struct interp *cpu, const struct insn *i, uint64_t linear, void *out, unsigned size_bytes);
void mem_write_buffer(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in, unsigned size_bytes);

/* #AC if it is on and linear is no multiple of `alignment`; an address that is not canonical comes first. */
void mem_check_alignment(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned alignment);
/* The same whatever EFLAGS.AC says. */
void mem_write_unaligned(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in,
                         unsigned size_bytes);
/* Raises what a write of 1, 2, 4 or 8 bytes would raise, and touches nothing. */
void mem_probe_write(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes);

struct rmw {
    uint8_t *host; /* null: slow */
    uint64_t linear;
};
/* Slow half: verifies write access, reads; then writes. */
uint64_t rmw_read_slow(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes);

#define RMW_ACCESSORS_(bits, type)                                                                                     \
    static inline type rmw_ld##bits(struct interp *cpu, const struct insn *i, uint64_t linear, struct rmw *m)          \
    {                                                                                                                  \
        type value;                                                                                                    \
        m->host = mem_hit(cpu, linear, (bits) / 8, TLB_WRITE);                                                         \
        m->linear = linear;                                                                                            \
        if (__builtin_expect(!m->host, 0))                                                                             \
            return (type)rmw_read_slow(cpu, i, linear, (bits) / 8);                                                    \
        memcpy(&value, m->host, sizeof value);                                                                         \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void rmw_st##bits(struct interp *cpu, const struct insn *i, const struct rmw *m, type value)         \
    {                                                                                                                  \
        if (__builtin_expect(!m->host, 0)) {                                                                           \
            mem_write_slow(cpu, i, m->linear, value, (bits) / 8);                                                      \
            return;                                                                                                    \
        }                                                                                                              \
        memcpy(m->host, &value, sizeof value);                                                                         \
    }
RMW_ACCESSORS_(8, uint8_t)
RMW_ACCESSORS_(16, uint16_t)
RMW_ACCESSORS_(32, uint32_t)
RMW_ACCESSORS_(64, uint64_t)

/* Address of the memory operand. */
static inline uint64_t ea_offset(const struct interp *cpu, const struct insn *i) /* before the segment, unmasked */
{
    return cpu->r[i->base].q + (cpu->r[i->scaled].q << i->scale) + (uint64_t)(int64_t)i->disp;
}
static inline uint64_t ea_mask(uint64_t offset, unsigned asize) /* asize as insn_asize */
{
    return asize == 3 ? offset : asize == 2 ? (uint32_t)offset : (uint16_t)offset;
}
/* MEM64: 64-bit code, no FS/GS. MEM32: flat segments, 32-bit addresses. */
static inline uint64_t ea64(const struct interp *cpu, const struct insn *i)
{
    return ea_offset(cpu, i);
}
static inline uint64_t ea_base64(const struct interp *cpu, const struct insn *i) /* as ea64, where there is no index */
{
    return cpu->r[i->base].q + (uint64_t)(int64_t)i->disp;
}
static inline uint64_t ea32(const struct interp *cpu, const struct insn *i)
{
    return (uint32_t)ea_offset(cpu, i);
}
/* Everything else: address size, segment checks (raises #GP or #SS), base. Also right for the two above. */
uint64_t ea_general(struct interp *cpu, const struct insn *i, unsigned size_bytes, enum tlb_access access);

/* Segment offset to linear, with checks; seg == CPU_SS raises #SS. Inline fast path in segment.h. */
uint64_t seg_linear(struct interp *cpu, const struct insn *i, unsigned seg, uint64_t offset, unsigned size_bytes,
                    enum tlb_access access);

/* Supervisor-view accesses for descriptor tables, TSS and interrupt stacks, whatever CPL is (mmu.c): #PF as a
 * supervisor access. i may be null. */
uint64_t sys_read(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes);
void sys_write(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes);

/* mmu.c, for others */
void mmu_flush_all(struct interp *cpu); /* every entry, and the jump cache */
void mmu_flush_non_global(struct interp *cpu);
void mmu_flush_page(struct interp *cpu, uint64_t linear);
void mmu_protect_all(struct interp *cpu);                /* drop write entries */
void mmu_protect_page(struct interp *cpu, uint64_t gpa); /* drop write entries that map this physical page (now code) */
/* Fetch translation for the block cache: physical address of code at linear, raising #PF (i is null: cpu->rip faults).
 * MMIO or unmapped physical memory: page.host null. */
uint64_t mmu_fetch(struct interp *cpu, uint64_t linear, struct memory_page *page);
bool mmu_translate_debug(struct interp *cpu, uint64_t linear, uint64_t *gpa);
/* PAE: reads the four PDPTEs; raises #GP(0) on reserved bits. */
void mmu_load_pdptes(struct interp *cpu, const struct insn *i, uint64_t cr3);

/* block.c, for mmu.c: a write of size bytes at gpa, to a page that is MEMORY_PAGE_WATCHED. In a chain that is not single and whose
 * running block overlaps, interp_touch comes first (i not null). Returns after dropping overlapped blocks. */
void block_code_written(struct interp *cpu, const struct insn *i, uint64_t gpa, unsigned size_bytes);
void block_jump_cache_flush(struct interp *cpu);
void block_forget_entered(struct interp *cpu, uint64_t page, uint64_t gpa);
void block_drop_all(struct interp *cpu);

#endif
