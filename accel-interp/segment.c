/* Segmentation (Intel SDM vol. 3, 3.4, 5.3 to 5.7; vol. 2 MOV). See segment.h.
 *
 * The privilege level is the DPL of SS, so loading SS always leaves CPL there, null selectors included. In real mode a load
 * changes selector and base alone: limit and attributes of the last protected-mode load stay ("unreal" mode). */
#include "accel-interp/segment.h"

#include "accel-interp/fp.h"

_Noreturn void raise_selector(struct interp *cpu, const struct insn *i, uint8_t vector, uint16_t selector)
{
    interp_raise_error(cpu, i, vector, (selector & 0xFFFCu) | cpu->event_external);
}

bool descriptor_fetch(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d)
{
    uint64_t base = cpu->gdtr_base, raw;
    uint32_t limit = cpu->gdtr_limit, offset = selector & 0xFFF8u;

    if (selector_null(selector))
        return false;
    if (selector & 4) {
        if (cpu->seg[CPU_LDTR].attributes & CPU_SEGMENT_UNUSABLE)
            return false;
        base = cpu->seg[CPU_LDTR].base;
        limit = cpu->seg[CPU_LDTR].limit;
    }
    if (offset + 7 > limit)
        return false;
    d->linear = base + offset;
    raw = sys_read(cpu, i, d->linear, 8);
    d->low = (uint32_t)raw;
    d->high = (uint32_t)(raw >> 32);
    desc_decode(d);
    return true;
}

void descriptor_get(struct interp *cpu, const struct insn *i, uint16_t selector, uint8_t vector, struct descriptor *d)
{
    if (!descriptor_fetch(cpu, i, selector, d))
        raise_selector(cpu, i, vector, selector);
}

void descriptor_get_upper(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                          uint32_t *base_high)
{
    uint32_t limit = selector & 4 ? cpu->seg[CPU_LDTR].limit : cpu->gdtr_limit;
    uint64_t upper;

    if ((selector & 0xFFF8u) + 15u > limit)
        raise_selector(cpu, i, EXC_GP, selector);
    upper = sys_read(cpu, i, d->linear + 8, 8);
    if (upper & 0x1F0000000000ull) /* the type field must say none */
        raise_selector(cpu, i, EXC_GP, selector);
    *base_high = (uint32_t)upper;
}

void descriptor_set_accessed(struct interp *cpu, const struct insn *i, struct descriptor *d)
{
    if (d->attributes & SEG_ACCESSED)
        return;
    d->attributes |= SEG_ACCESSED;
    d->high |= SEG_ACCESSED << 8;
    sys_write(cpu, i, d->linear + 5, d->attributes & 0xFFu, 1);
}

/* ---- registers --------------------------------------------------------------------------------------------------- */

static void update_limits(struct seg *seg, bool protected_mode)
{
    bool data = (seg->attributes & (SEG_S | SEG_CODE)) == SEG_S;

    seg->low = 0;
    seg->high = seg->limit;
    seg->readable = seg->writable = true;
    if (!protected_mode)
        return;
    seg->writable = data && (seg->attributes & SEG_WRITABLE);
    seg->readable = data || (seg->attributes & SEG_READABLE);
    if (data && (seg->attributes & SEG_EXPAND_DOWN)) {
        seg->high = seg->attributes & SEG_DB ? UINT32_MAX : 0xFFFFu;
        seg->low = seg->limit + 1;
        if (seg->limit >= seg->high) {
            seg->low = 1;
            seg->high = 0;
        }
    }
    if (seg->attributes & CPU_SEGMENT_UNUSABLE) {
        seg->readable = seg->writable = false;
        seg->low = 1;
        seg->high = 0;
    }
}

void seg_update(struct seg *seg, bool protected_mode)
{
    update_limits(seg, protected_mode);
    uint64_t end = seg->low == 0 ? (uint64_t)seg->high + 1 : 0;
    seg->end[TLB_READ] = seg->readable ? end : 0;
    seg->end[TLB_WRITE] = seg->writable ? end : 0;
}

static bool is_protected(const struct interp *cpu)
{
    return (cpu->cr0 & CR0_PE) && !(cpu->sysflags & FLAG_VM);
}

void seg_update_all(struct interp *cpu)
{
    for (unsigned n = 0; n < 8; n++)
        seg_update(&cpu->seg[n], is_protected(cpu));
}

void seg_from_descriptor(struct seg *seg, uint16_t selector, const struct descriptor *d)
{
    seg->selector = selector;
    seg->attributes = d->attributes;
    seg->limit = d->limit;
    seg->base = d->base;
    seg_update(seg, true);
}

void seg_set(struct interp *cpu, unsigned index, uint16_t selector, const struct descriptor *d)
{
    seg_from_descriptor(&cpu->seg[index], selector, d);
}

void seg_set_null(struct interp *cpu, unsigned index, uint16_t selector)
{
    /* DPL = RPL: for SS that is the CPL */
    struct descriptor d = {.attributes = (uint16_t)(CPU_SEGMENT_UNUSABLE | SEG_S | ((selector & 3u) << 5))};

    seg_set(cpu, index, selector, &d);
}

void seg_set_real(struct interp *cpu, unsigned index, uint16_t selector)
{
    struct seg *seg = &cpu->seg[index];

    seg->selector = selector;
    seg->base = (uint32_t)selector << 4;
    seg->attributes &= (uint16_t)~CPU_SEGMENT_UNUSABLE;
    seg_update(seg, false);
}

void seg_set_vm86(struct interp *cpu, unsigned index, uint16_t selector)
{
    struct seg *seg = &cpu->seg[index];

    *seg = (struct seg){.selector = selector, .base = (uint32_t)selector << 4, .limit = 0xFFFF, .attributes = 0xF3};
    seg_update(seg, false);
}

void seg_check_stack(struct interp *cpu, const struct insn *i, uint16_t selector, unsigned cpl, uint8_t vector,
                     struct descriptor *d)
{
    if (selector_null(selector))
        raise_selector(cpu, i, vector, 0);
    descriptor_get(cpu, i, selector, vector, d);
    if ((selector & 3) != cpl || desc_dpl(d) != cpl || !desc_writable_data(d))
        raise_selector(cpu, i, vector, selector);
    if (!desc_present(d))
        raise_selector(cpu, i, EXC_SS, selector);
    descriptor_set_accessed(cpu, i, d);
}

void seg_check_data(struct interp *cpu, const struct insn *i, uint16_t selector, unsigned cpl, uint8_t vector,
                    struct descriptor *d)
{
    descriptor_get(cpu, i, selector, vector, d);
    if (desc_system(d) || (desc_code(d) && !(d->attributes & SEG_READABLE)))
        raise_selector(cpu, i, vector, selector);
    if (!desc_conforming(d) && ((selector & 3u) > desc_dpl(d) || cpl > desc_dpl(d)))
        raise_selector(cpu, i, vector, selector);
    if (!desc_present(d))
        raise_selector(cpu, i, EXC_NP, selector);
    descriptor_set_accessed(cpu, i, d);
}

void seg_load(struct interp *cpu, const struct insn *i, unsigned index, uint16_t selector)
{
    struct descriptor d;

    if (cpu->mode & MODE_REAL) {
        seg_set_real(cpu, index, selector);
    } else if (cpu->mode & MODE_VM86) {
        seg_set_vm86(cpu, index, selector);
    } else if (index == CPU_SS) {
        bool null_allowed = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 && cpu->cpl < 3 && (selector & 3) == cpu->cpl;

        if (selector_null(selector) && null_allowed) {
            seg_set_null(cpu, index, selector);
        } else {
            seg_check_stack(cpu, i, selector, cpu->cpl, EXC_GP, &d);
            seg_set(cpu, index, selector, &d);
        }
    } else if (selector_null(selector)) {
        seg_set_null(cpu, index, selector);
    } else {
        seg_check_data(cpu, i, selector, cpu->cpl, EXC_GP, &d);
        seg_set(cpu, index, selector, &d);
    }
}

void seg_clear_outer(struct interp *cpu)
{
    static const uint8_t data[] = {CPU_ES, CPU_DS, CPU_FS, CPU_GS};

    for (unsigned n = 0; n < sizeof data; n++) {
        struct seg *seg = &cpu->seg[data[n]];
        bool conforming = (seg->attributes & (SEG_CODE | SEG_CONFORMING)) == (SEG_CODE | SEG_CONFORMING);
        if (!(seg->attributes & CPU_SEGMENT_UNUSABLE) && !conforming && SEG_DPL(seg->attributes) < cpu->cpl)
            seg_set_null(cpu, data[n], 0);
    }
}

/* ---- mode ---------------------------------------------------------------------------------------------------------- */

static bool flat_segment(const struct seg *seg, bool code)
{
    return seg->base == 0 && seg->low == 0 && seg->high == UINT32_MAX && seg->readable && (code || seg->writable);
}

static bool flat(const struct interp *cpu)
{
    return flat_segment(&cpu->seg[CPU_CS], true) && flat_segment(&cpu->seg[CPU_DS], false) &&
           flat_segment(&cpu->seg[CPU_ES], false) && flat_segment(&cpu->seg[CPU_SS], false);
}

static void update_view(struct interp *cpu)
{
    bool check = cpu->cpl == 3 && (cpu->sysflags & FLAG_AC) && (cpu->cr0 & CR0_AM);

    cpu->tlb = &cpu->views[mmu_view(cpu, cpu->cpl)];
    if (check && !cpu->alignment_check) {
        cpu->alignment_check = true;
        mmu_drop_views(cpu);
    }
    cpu->alignment_check = check;
}

void cpu_update_mode(struct interp *cpu)
{
    uint16_t code = cpu->seg[CPU_CS].attributes;
    bool long_mode = cpu->efer & EFER_LMA;
    uint8_t mode = long_mode ? MODE_LONG : 0;

    if (!(cpu->cr0 & CR0_PE)) {
        mode |= MODE_REAL;
        cpu->cpl = 0;
    } else if (cpu->sysflags & FLAG_VM) {
        mode |= MODE_VM86;
        cpu->cpl = 3;
    } else {
        cpu->cpl = (uint8_t)SEG_DPL(cpu->seg[CPU_SS].attributes);
    }
    if (long_mode && (code & SEG_L)) {
        mode |= MODE_CODE64 | MODE_FLAT | MODE_STACK32;
    } else {
        mode |= (code & SEG_DB ? MODE_CODE32 : MODE_CODE16) | (cpu->seg[CPU_SS].attributes & SEG_DB ? MODE_STACK32 : 0);
        if (!(mode & (MODE_REAL | MODE_VM86)) && flat(cpu))
            mode |= MODE_FLAT;
    }
    if (cpu->cpl == 3)
        mode |= MODE_USER;
    cpu->mode = mode;
    update_view(cpu);
    cpu_update_usable(cpu);
}

void cpu_update_usable(struct interp *cpu)
{
    bool sse = !(cpu->cr0 & (CR0_EM | CR0_TS)) && (cpu->cr4 & CR4_OSFXSR);
    bool avx = !(cpu->cr0 & CR0_TS) && (cpu->cr4 & CR4_OSXSAVE) && !(~cpu->xcr0 & (XCR0_SSE | XCR0_AVX));
    unsigned usable = (sse ? USABLE_SSE : 0) | (avx ? USABLE_AVX : 0);
    bool masked = !(~cpu->s.mxcsr & MXCSR_MASKS);

    cpu->usable = (uint8_t)(usable | (masked ? usable * (READY_SSE / USABLE_SSE) : 0));
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

uint64_t seg_linear(struct interp *cpu, const struct insn *i, unsigned seg, uint64_t offset, unsigned size_bytes,
                    enum tlb_access access)
{
    const struct seg *s = &cpu->seg[seg];

    if ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64)
        return seg < CPU_FS ? offset : s->base + offset;
    if (!(access == TLB_WRITE ? s->writable : s->readable) || !seg_inside(s, offset, size_bytes))
        interp_raise_error(cpu, i, seg == CPU_SS ? EXC_SS : EXC_GP, 0);
    return (uint32_t)(s->base + offset);
}

uint64_t ea_general(struct interp *cpu, const struct insn *i, unsigned size_bytes, enum tlb_access access)
{
    return seg_linear_inline(cpu, i, i->seg, ea_mask(ea_offset(cpu, i), insn_asize(i)), size_bytes, access);
}

/* ---- stacks -------------------------------------------------------------------------------------------------------- */

struct stack stack_of(struct interp *cpu, const struct insn *i, const struct seg *seg, uint64_t pointer, unsigned cpl)
{
    uint64_t mask = seg->attributes & SEG_DB ? UINT32_MAX : 0xFFFFu;

    return (struct stack){
        .cpu = cpu, .i = i, .seg = seg, .pointer = pointer & mask, .mask = mask, .view = mmu_view(cpu, cpl)};
}

struct stack stack_long(struct interp *cpu, const struct insn *i, uint64_t pointer, unsigned cpl)
{
    return (struct stack){.cpu = cpu, .i = i, .pointer = pointer, .mask = UINT64_MAX, .view = mmu_view(cpu, cpl)};
}

struct stack stack_current(struct interp *cpu, const struct insn *i)
{
    struct stack stack = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64
                             ? stack_long(cpu, i, cpu->r[CPU_RSP].q, cpu->cpl)
                             : stack_of(cpu, i, &cpu->seg[CPU_SS], cpu->r[CPU_RSP].q, cpu->cpl);

    stack.aligned = cpu->alignment_check;
    return stack;
}

static uint64_t stack_linear(const struct stack *stack, unsigned size_bytes)
{
    bool inside = stack->seg ? seg_inside(stack->seg, stack->pointer, size_bytes) && stack->seg->writable
                             : mmu_canonical(stack->pointer) && mmu_canonical(stack->pointer + size_bytes - 1);

    if (!inside)
        raise_selector(stack->cpu, stack->i, EXC_SS, stack->error);
    if (stack->aligned && (stack->pointer & (size_bytes - 1)))
        interp_raise_error(stack->cpu, stack->i, EXC_AC, 0);
    return stack->seg ? (uint32_t)(stack->seg->base + stack->pointer) : stack->pointer;
}

void stack_push(struct stack *stack, uint64_t value, unsigned size_bytes)
{
    stack->pointer = (stack->pointer - size_bytes) & stack->mask;
    mmu_write(stack->cpu, stack->i, stack_linear(stack, size_bytes), value, size_bytes, stack->view);
}

uint64_t stack_pop(struct stack *stack, unsigned size_bytes)
{
    uint64_t value = mmu_read(stack->cpu, stack->i, stack_linear(stack, size_bytes), size_bytes, stack->view);

    stack->pointer = (stack->pointer + size_bytes) & stack->mask;
    return value;
}

void stack_commit(struct interp *cpu, const struct stack *stack)
{
    union reg *rsp = &cpu->r[CPU_RSP];

    if (stack->mask == 0xFFFFu)
        rsp->w = (uint16_t)stack->pointer;
    else
        rsp->q = stack->pointer;
}
