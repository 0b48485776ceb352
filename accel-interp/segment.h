/* Segments: descriptors, loading with all checks, limits, and stacks of any width (Intel SDM vol. 3, chapters 3, 5). */
#ifndef VMRR_ACCEL_INTERP_SEGMENT_H
#define VMRR_ACCEL_INTERP_SEGMENT_H

#include "accel-interp/flags.h"
#include "accel-interp/mmu.h"

/* Attribute bits (descriptor bits 40..55). */
#define SEG_TYPE 0x000Fu
#define SEG_ACCESSED 0x0001u
#define SEG_WRITABLE 0x0002u /* data */
#define SEG_READABLE 0x0002u /* code */
#define SEG_EXPAND_DOWN 0x0004u
#define SEG_CONFORMING 0x0004u
#define SEG_CODE 0x0008u
#define SEG_S 0x0010u
#define SEG_PRESENT 0x0080u
#define SEG_L 0x2000u
#define SEG_DB 0x4000u
#define SEG_G 0x8000u
#define SEG_DPL(attributes) (((attributes) >> 5) & 3u)

/* System descriptor types. */
enum {
    SYS_TSS16 = 1,
    SYS_LDT = 2,
    SYS_TSS16_BUSY = 3,
    SYS_CALL_GATE16 = 4,
    SYS_TASK_GATE = 5,
    SYS_INTERRUPT_GATE16 = 6,
    SYS_TRAP_GATE16 = 7,
    SYS_TSS32 = 9,
    SYS_TSS32_BUSY = 11,
    SYS_CALL_GATE32 = 12,
    SYS_INTERRUPT_GATE32 = 14,
    SYS_TRAP_GATE32 = 15
};

struct descriptor {
    uint64_t linear; /* where it lies */
    uint32_t low, high;
    uint64_t base;
    uint32_t limit;
    uint16_t attributes;
};

/* low and high are there: the fields that they hold. */
static inline void desc_decode(struct descriptor *d)
{
    d->base = (d->low >> 16) | ((d->high & 0xFFu) << 16) | (d->high & 0xFF000000u);
    d->limit = (d->low & 0xFFFFu) | (d->high & 0xF0000u);
    d->attributes = (uint16_t)((d->high >> 8) & 0xF0FFu);
    if (d->attributes & SEG_G)
        d->limit = (d->limit << 12) | 0xFFFu;
}
static inline unsigned desc_type(const struct descriptor *d)
{
    return d->attributes & SEG_TYPE;
}
static inline bool desc_system(const struct descriptor *d)
{
    return !(d->attributes & SEG_S);
}
static inline bool desc_code(const struct descriptor *d)
{
    return (d->attributes & (SEG_S | SEG_CODE)) == (SEG_S | SEG_CODE);
}
static inline bool desc_conforming(const struct descriptor *d)
{
    return desc_code(d) && (d->attributes & SEG_CONFORMING);
}
static inline bool desc_present(const struct descriptor *d)
{
    return d->attributes & SEG_PRESENT;
}
static inline unsigned desc_dpl(const struct descriptor *d)
{
    return SEG_DPL(d->attributes);
}
static inline bool desc_writable_data(const struct descriptor *d)
{
    return (d->attributes & (SEG_S | SEG_CODE | SEG_WRITABLE)) == (SEG_S | SEG_WRITABLE);
}
static inline bool selector_null(uint16_t selector)
{
    return !(selector & 0xFFFCu);
}

/* Raises with a selector as error code, EXT bit merged. */
_Noreturn void raise_selector(struct interp *cpu, const struct insn *i, uint8_t vector, uint16_t selector);

/* The 8 bytes of a selector's descriptor; false when null, or outside its table. */
bool descriptor_fetch(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d);
/* The same, raising vector(selector) instead. */
void descriptor_get(struct interp *cpu, const struct insn *i, uint16_t selector, uint8_t vector, struct descriptor *d);
/* LDT, TSS or call gate in long mode: the upper half of the 16 bytes; raises #GP(selector) when it is malformed. */
void descriptor_get_upper(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                          uint32_t *base_high);
void descriptor_set_accessed(struct interp *cpu, const struct insn *i, struct descriptor *d);

/* Puts a checked descriptor, or null, into a register; derived fields follow. */
void seg_set(struct interp *cpu, unsigned index, uint16_t selector, const struct descriptor *d);
void seg_set_null(struct interp *cpu, unsigned index, uint16_t selector);
void seg_set_real(struct interp *cpu, unsigned index, uint16_t selector); /* base = selector * 16, the rest stays */
void seg_set_vm86(struct interp *cpu, unsigned index, uint16_t selector);
void seg_update(struct seg *seg, bool protected_mode);
void seg_update_all(struct interp *cpu); /* after CR0.PE or a restored state */

/* Checks for a stack segment at cpl; null_vector: for null and outside; vector: the rest but not-present (#SS). */
void seg_check_stack(struct interp *cpu, const struct insn *i, uint16_t selector, unsigned cpl, uint8_t vector,
                     struct descriptor *d);
/* Checks for DS, ES, FS, GS with a selector that is not null. */
void seg_check_data(struct interp *cpu, const struct insn *i, uint16_t selector, unsigned cpl, uint8_t vector,
                    struct descriptor *d);
/* MOV Sreg, POP Sreg, LDS...: ES SS DS FS GS, in the present mode. Then update the mode. */
void seg_load(struct interp *cpu, const struct insn *i, unsigned index, uint16_t selector);
/* Return to an outer level: data segments that the new CPL may not use become null. */
void seg_clear_outer(struct interp *cpu);

/* Inline form of seg_linear. */
static inline bool seg_inside(const struct seg *s, uint64_t offset, unsigned size_bytes)
{
    return offset >= s->low && (offset + size_bytes - 1 <= s->high || (s->low == 0 && s->high == UINT32_MAX));
}
static inline uint64_t seg_linear_inline(struct interp *cpu, const struct insn *i, unsigned seg, uint64_t offset,
                                         unsigned size_bytes, enum tlb_access access)
{
    const struct seg *s = &cpu->seg[seg];

    if ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64)
        return seg < CPU_FS ? offset : s->base + offset;
    if (__builtin_expect((access == TLB_WRITE ? s->writable : s->readable) && seg_inside(s, offset, size_bytes), 1))
        return (uint32_t)(s->base + offset);
    return seg_linear(cpu, i, seg, offset, size_bytes, access);
}

/* A stack under construction or being read: nothing of the CPU changes until stack_commit. */
struct stack {
    struct interp *cpu;
    const struct insn *i;
    const struct seg *seg; /* null: 64-bit, flat */
    uint64_t pointer, mask;
    enum tlb_view view;
    uint16_t error; /* selector part of #SS */
    bool aligned;   /* the present stack with alignment checking on */
};
struct stack stack_current(struct interp *cpu, const struct insn *i);
struct stack stack_of(struct interp *cpu, const struct insn *i, const struct seg *seg, uint64_t pointer, unsigned cpl);
struct stack stack_long(struct interp *cpu, const struct insn *i, uint64_t pointer, unsigned cpl);
void stack_push(struct stack *stack, uint64_t value, unsigned size_bytes);
uint64_t stack_pop(struct stack *stack, unsigned size_bytes);
/* RSP by the stack's width. */
void stack_commit(struct interp *cpu, const struct stack *stack);

/* A new stack segment built outside the registers. */
void seg_from_descriptor(struct seg *seg, uint16_t selector, const struct descriptor *d);

#endif
