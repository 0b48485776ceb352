/* Segment registers, descriptor tables, and the questions about selectors: MOV/PUSH/POP Sreg, LDS.., LGDT.., LAR, LSL,
 * VERR, VERW, ARPL (Intel SDM vol. 2; vol. 3, 5.10). */
#include "accel-interp/system.h"

/* ---- segment registers ---------------------------------------------------------------------------------------------- */

/* After a load: SS holds back interrupts and debug traps for one instruction. */
static void loaded(struct interp *cpu, unsigned index, bool shadow)
{
    cpu_update_mode(cpu);
    if (index == CPU_SS && shadow)
        cpu->s.mov_ss_shadow = true;
}

EXEC_STATIC(exec_mov_to_seg)
{
    unsigned index = i->reg & 7u;

    if (index == CPU_CS || index > CPU_GS)
        RAISE(EXC_UD);
    seg_load(cpu, i, index, rm_read16(cpu, i));
    loaded(cpu, index, true);
    return END_FALL();
}

EXEC_STATIC(exec_mov_from_seg)
{
    unsigned index = i->reg & 7u;

    if (index > CPU_GS)
        RAISE(EXC_UD);
    rm_write_selector(cpu, i, cpu->seg[index].selector);
    NEXT;
}

/* A push of 32 bits stores 16: what stands above them on the stack stays. */
static void push_segment(struct interp *cpu, const struct insn *i, unsigned index)
{
    struct stack stack = stack_current(cpu, i);
    unsigned size = insn_osize_bytes(i), stored = size == 4 ? 2 : size;

    stack.pointer = (stack.pointer - (size - stored)) & stack.mask;
    stack_push(&stack, cpu->seg[index].selector, stored);
    stack_commit(cpu, &stack);
}

static void pop_segment(struct interp *cpu, const struct insn *i, unsigned index)
{
    struct stack stack = stack_current(cpu, i);
    uint16_t selector = (uint16_t)stack_pop(&stack, 2);

    stack.pointer = (stack.pointer + insn_osize_bytes(i) - 2) & stack.mask;
    seg_load(cpu, i, index, selector);
    stack_commit(cpu, &stack);
    loaded(cpu, index, true);
}

static void load_far_pointer(struct interp *cpu, const struct insn *i, unsigned index)
{
    unsigned size = insn_osize_bytes(i);
    uint64_t linear = ea_general(cpu, i, size + 2, TLB_READ), offset;
    uint16_t selector;

    offset = size == 2 ? ld16(cpu, i, linear) : size == 4 ? ld32(cpu, i, linear) : ld64(cpu, i, linear);
    selector = ld16(cpu, i, linear + size);
    seg_load(cpu, i, index, selector);
    reg_set_osize(cpu, i, i->reg, offset);
    loaded(cpu, index, false);
}

#define SEGMENT_PUSH(name, index)                                                                                      \
    EXEC_STATIC(exec_push_##name)                                                                                      \
    {                                                                                                                  \
        push_segment(cpu, i, index);                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_ANY(forms_push_##name, exec_push_##name);
#define SEGMENT_POP(name, index)                                                                                       \
    EXEC_STATIC(exec_pop_##name)                                                                                       \
    {                                                                                                                  \
        pop_segment(cpu, i, index);                                                                                    \
        return END_FALL();                                                                                             \
    }                                                                                                                  \
    FORMS_ANY(forms_pop_##name, exec_pop_##name);
#define SEGMENT_LOAD(name, index)                                                                                      \
    EXEC_STATIC(exec_l##name)                                                                                          \
    {                                                                                                                  \
        load_far_pointer(cpu, i, index);                                                                               \
        return END_FALL();                                                                                             \
    }                                                                                                                  \
    FORMS_ANY(forms_l##name, exec_l##name);
SEGMENT_PUSH(es, CPU_ES)
SEGMENT_PUSH(cs, CPU_CS)
SEGMENT_PUSH(ss, CPU_SS)
SEGMENT_PUSH(ds, CPU_DS)
SEGMENT_PUSH(fs, CPU_FS)
SEGMENT_PUSH(gs, CPU_GS)
SEGMENT_POP(es, CPU_ES)
SEGMENT_POP(ss, CPU_SS)
SEGMENT_POP(ds, CPU_DS)
SEGMENT_POP(fs, CPU_FS)
SEGMENT_POP(gs, CPU_GS)
SEGMENT_LOAD(es, CPU_ES)
SEGMENT_LOAD(ss, CPU_SS)
SEGMENT_LOAD(ds, CPU_DS)
SEGMENT_LOAD(fs, CPU_FS)
SEGMENT_LOAD(gs, CPU_GS)

/* ---- table registers ------------------------------------------------------------------------------------------------ */

static void load_table(struct interp *cpu, const struct insn *i, uint64_t *base, uint16_t *limit)
{
    unsigned bytes = in_code64(cpu) ? 10 : 6;
    uint64_t address = 0;
    uint8_t image[10];

    require_cpl0(cpu, i);
    mem_read_buffer(cpu, i, ea_general(cpu, i, bytes, TLB_READ), image, bytes);
    memcpy(&address, image + 2, bytes - 2);
    if (bytes == 10 && !mmu_canonical(address))
        RAISE_ERROR(EXC_GP, 0);
    if (bytes == 6 && insn_osize(i) == 1)
        address &= 0xFFFFFFu;
    *base = address;
    memcpy(limit, image, 2);
}

static void store_table(struct interp *cpu, const struct insn *i, uint64_t base, uint16_t limit)
{
    unsigned bytes = in_code64(cpu) ? 10 : 6;
    uint64_t linear;
    uint8_t image[10];

    require_umip(cpu, i);
    memcpy(image, &limit, 2);
    memcpy(image + 2, &base, 8);
    linear = ea_general(cpu, i, bytes, TLB_WRITE);
    /* a word, then the base, each aligned by itself (SDM vol. 3, 3.5.1) */
    mem_check_alignment(cpu, i, linear, 2);
    mem_check_alignment(cpu, i, linear + 2, bytes - 2);
    mem_write_unaligned(cpu, i, linear, image, bytes);
}

EXEC_STATIC(exec_lgdt)
{
    load_table(cpu, i, &cpu->gdtr_base, &cpu->gdtr_limit);
    NEXT;
}

EXEC_STATIC(exec_lidt)
{
    load_table(cpu, i, &cpu->idtr_base, &cpu->idtr_limit);
    NEXT;
}

EXEC_STATIC(exec_sgdt)
{
    store_table(cpu, i, cpu->gdtr_base, cpu->gdtr_limit);
    NEXT;
}

EXEC_STATIC(exec_sidt)
{
    store_table(cpu, i, cpu->idtr_base, cpu->idtr_limit);
    NEXT;
}

/* LDT or TSS descriptor of LLDT and LTR, base completed. */
static void system_segment(struct interp *cpu, const struct insn *i, uint16_t selector, bool tss, struct descriptor *d)
{
    bool good;

    if (selector & 4)
        raise_selector(cpu, i, EXC_GP, selector);
    descriptor_get(cpu, i, selector, EXC_GP, d);
    if (tss)
        good = desc_type(d) == SYS_TSS32 || (desc_type(d) == SYS_TSS16 && !(cpu->mode & MODE_LONG));
    else
        good = desc_type(d) == SYS_LDT;
    if (!desc_system(d) || !good)
        raise_selector(cpu, i, EXC_GP, selector);
    if (!desc_present(d))
        raise_selector(cpu, i, EXC_NP, selector);
    if (cpu->mode & MODE_LONG) {
        uint32_t high;
        descriptor_get_upper(cpu, i, selector, d, &high);
        d->base |= (uint64_t)high << 32;
        if (!mmu_canonical(d->base))
            raise_selector(cpu, i, EXC_GP, selector);
    }
}

/* A local whose address is passed on would keep NEXT from being a tail call: hence functions of their own (the gate
 * tail_calls looks). */
static __attribute__((noinline)) void load_ldtr(struct interp *cpu, const struct insn *i)
{
    struct descriptor d;
    uint16_t selector;

    require_cpl0(cpu, i);
    selector = rm_read16(cpu, i);
    if (selector_null(selector)) {
        seg_set_null(cpu, CPU_LDTR, selector);
    } else {
        system_segment(cpu, i, selector, false, &d);
        seg_set(cpu, CPU_LDTR, selector, &d);
    }
}

static __attribute__((noinline)) void load_tr(struct interp *cpu, const struct insn *i)
{
    struct descriptor d;
    uint16_t selector;

    require_cpl0(cpu, i);
    selector = rm_read16(cpu, i);
    if (selector_null(selector))
        RAISE_ERROR(EXC_GP, 0);
    system_segment(cpu, i, selector, true, &d);
    d.attributes |= 2; /* busy */
    sys_write(cpu, i, d.linear + 5, d.attributes & 0xFFu, 1);
    seg_set(cpu, CPU_TR, selector, &d);
}

EXEC_STATIC(exec_lldt)
{
    load_ldtr(cpu, i);
    NEXT;
}

EXEC_STATIC(exec_ltr)
{
    load_tr(cpu, i);
    NEXT;
}

EXEC_STATIC(exec_sldt)
{
    require_umip(cpu, i);
    rm_write_selector(cpu, i, cpu->seg[CPU_LDTR].selector);
    NEXT;
}

EXEC_STATIC(exec_str)
{
    require_umip(cpu, i);
    rm_write_selector(cpu, i, cpu->seg[CPU_TR].selector);
    NEXT;
}

/* ---- questions ------------------------------------------------------------------------------------------------------ */

/* May CPL and RPL look at the descriptor? (conforming code: always) */
static bool visible(const struct interp *cpu, uint16_t selector, const struct descriptor *d)
{
    return desc_conforming(d) || (desc_dpl(d) >= cpu->cpl && desc_dpl(d) >= (selector & 3u));
}

static bool verify(struct interp *cpu, const struct insn *i, bool write)
{
    uint16_t selector = rm_read16(cpu, i);
    struct descriptor d;

    if (!descriptor_fetch(cpu, i, selector, &d) || desc_system(&d) || !visible(cpu, selector, &d))
        return false;
    if (write)
        return desc_writable_data(&d);
    return !desc_code(&d) || (d.attributes & SEG_READABLE);
}

EXEC_STATIC(exec_verr)
{
    flags_put_zf(cpu, verify(cpu, i, false));
    NEXT;
}

EXEC_STATIC(exec_verw)
{
    flags_put_zf(cpu, verify(cpu, i, true));
    NEXT;
}

/* System types that LAR (and of them LSL) answers for, as bit masks. */
#define LAR_TYPES 0x1A3Eu
#define LSL_TYPES 0x0A0Eu
#define LONG_TYPES 0x1A04u

static bool describe(struct interp *cpu, const struct insn *i, uint32_t types, struct descriptor *d)
{
    uint16_t selector = rm_read16(cpu, i);

    if (!descriptor_fetch(cpu, i, selector, d))
        return false;
    if (cpu->mode & MODE_LONG)
        types &= LONG_TYPES;
    if (desc_system(d) && !((types >> desc_type(d)) & 1))
        return false;
    return visible(cpu, selector, d);
}

static __attribute__((noinline)) void answer(struct interp *cpu, const struct insn *i, bool rights)
{
    struct descriptor d;
    bool good = describe(cpu, i, rights ? LAR_TYPES : LSL_TYPES, &d);

    if (good)
        reg_set_osize(cpu, i, i->reg, rights ? d.high & 0x00FFFF00u : d.limit);
    flags_put_zf(cpu, good);
}

EXEC_STATIC(exec_lar)
{
    answer(cpu, i, true);
    NEXT;
}

EXEC_STATIC(exec_lsl)
{
    answer(cpu, i, false);
    NEXT;
}

EXEC_STATIC(exec_arpl)
{
    uint16_t rpl = cpu->r[i->reg].w & 3u, value;
    bool memory = !insn_has_register(i);
    uint64_t linear = memory ? ea_general(cpu, i, 2, TLB_READ) : 0;

    value = memory ? ld16(cpu, i, linear) : cpu->r[i->rm].w;
    bool raise = (value & 3u) < rpl;
    value = (uint16_t)((value & ~3u) | rpl);
    if (raise && memory) /* written only when it changes */
        st16(cpu, i, ea_general(cpu, i, 2, TLB_WRITE), value);
    else if (raise)
        cpu->r[i->rm].w = value;
    flags_put_zf(cpu, raise);
    NEXT;
}

FORMS_ANY(forms_mov_to_seg, exec_mov_to_seg);
FORMS_ANY(forms_mov_from_seg, exec_mov_from_seg);
FORMS_ANY(forms_lgdt, exec_lgdt);
FORMS_ANY(forms_lidt, exec_lidt);
FORMS_ANY(forms_sgdt, exec_sgdt);
FORMS_ANY(forms_sidt, exec_sidt);
FORMS_ANY(forms_lldt, exec_lldt);
FORMS_ANY(forms_ltr, exec_ltr);
FORMS_ANY(forms_sldt, exec_sldt);
FORMS_ANY(forms_str, exec_str);
FORMS_ANY(forms_verr, exec_verr);
FORMS_ANY(forms_verw, exec_verw);
FORMS_ANY(forms_lar, exec_lar);
FORMS_ANY(forms_lsl, exec_lsl);
FORMS_ANY(forms_arpl, exec_arpl);
