/* Far transfers: JMP, CALL and RET far, INT n, IRET, in all modes (Intel SDM vol. 2; vol. 3, 5.8, 6.12, 7.3, 20.2).
 *
 * Each checks and reads (and, for CALL, writes stacks) first and changes registers last, so that a fault finds the CPU as
 * it was. */
#include "accel-interp/block.h"
#include "accel-interp/debug.h"
#include "accel-interp/event_fast.h"
#include "accel-interp/exceptions.h"
#include "accel-interp/exec.h"
#include "accel-interp/task.h"

static bool code64(const struct interp *cpu)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64;
}
static bool unprotected(const struct interp *cpu)
{
    return cpu->mode & (MODE_REAL | MODE_VM86);
}

static uint64_t next_rip(const struct interp *cpu, const struct insn *i)
{
    uint64_t rip = interp_rip_next(cpu, i);
    return code64(cpu) ? rip : (uint32_t)rip;
}

/* A far pointer operand: in the instruction, or in memory. */
struct far_pointer {
    uint64_t offset;
    uint16_t selector;
};

static struct far_pointer far_immediate(const struct insn *i)
{
    return (struct far_pointer){insn_osize(i) == 1 ? i->imm & 0xFFFFu : i->imm & 0xFFFFFFFFu, (uint16_t)(i->imm >> 32)};
}

static struct far_pointer far_memory(struct interp *cpu, const struct insn *i)
{
    unsigned size = insn_osize_bytes(i);
    uint64_t linear = ea_general(cpu, i, size + 2, TLB_READ);
    struct far_pointer p;

    p.offset = size == 2 ? ld16(cpu, i, linear) : size == 4 ? ld32(cpu, i, linear) : ld64(cpu, i, linear);
    p.selector = ld16(cpu, i, linear + size);
    return p;
}

/* The target's offset within its segment. */
static void check_offset(struct interp *cpu, const struct insn *i, const struct descriptor *code, uint64_t offset)
{
    bool inside = (cpu->mode & MODE_LONG) && (code->attributes & SEG_L) ? mmu_canonical(offset) : offset <= code->limit;

    if (!inside)
        interp_raise_error(cpu, i, EXC_GP, 0);
}

static void check_long_code(struct interp *cpu, const struct insn *i, uint16_t selector, const struct descriptor *code)
{
    if ((cpu->mode & MODE_LONG) && (code->attributes & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB))
        raise_selector(cpu, i, EXC_GP, selector);
}

static void load_code(struct interp *cpu, uint16_t selector, const struct descriptor *code, unsigned cpl, uint64_t rip)
{
    seg_set(cpu, CPU_CS, (uint16_t)((selector & 0xFFFCu) | cpl), code);
    cpu->rip = rip;
    cpu_update_mode(cpu);
}

static void load_code_unprotected(struct interp *cpu, uint16_t selector, uint64_t rip)
{
    if (cpu->mode & MODE_REAL)
        seg_set_real(cpu, CPU_CS, selector);
    else
        seg_set_vm86(cpu, CPU_CS, selector);
    cpu->rip = rip;
    cpu_update_mode(cpu);
}

static void check_offset_unprotected(struct interp *cpu, const struct insn *i, uint64_t offset)
{
    if (offset > cpu->seg[CPU_CS].limit)
        interp_raise_error(cpu, i, EXC_GP, 0);
}

/* Direct transfer to a code segment at the present level (JMP, CALL). */
static void check_direct(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *code)
{
    bool good =
        desc_conforming(code) ? desc_dpl(code) <= cpu->cpl : (selector & 3u) <= cpu->cpl && desc_dpl(code) == cpu->cpl;

    if (!good)
        raise_selector(cpu, i, EXC_GP, selector);
    check_long_code(cpu, i, selector, code);
    if (!desc_present(code))
        raise_selector(cpu, i, EXC_NP, selector);
    descriptor_set_accessed(cpu, i, code);
}

/* ---- gates and tasks ------------------------------------------------------------------------------------------------ */

struct call_gate {
    unsigned size_bytes; /* of what is pushed: 2, 4, 8 */
    uint16_t selector;
    uint64_t offset;
    unsigned parameters;
    struct descriptor code;
};

static void check_gate_access(struct interp *cpu, const struct insn *i, uint16_t selector, const struct descriptor *d)
{
    if (desc_dpl(d) < cpu->cpl || desc_dpl(d) < (selector & 3u))
        raise_selector(cpu, i, EXC_GP, selector);
}

static void read_call_gate(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                           struct call_gate *gate)
{
    bool wide = desc_type(d) == SYS_CALL_GATE32;

    check_gate_access(cpu, i, selector, d);
    if (!desc_present(d))
        raise_selector(cpu, i, EXC_NP, selector);
    gate->selector = (uint16_t)(d->low >> 16);
    gate->size_bytes = wide ? 4 : 2;
    gate->offset = (d->low & 0xFFFFu) | (wide ? d->high & 0xFFFF0000u : 0);
    gate->parameters = d->high & 31;
    if (cpu->mode & MODE_LONG) {
        uint32_t high;
        descriptor_get_upper(cpu, i, selector, d, &high);
        gate->offset |= (uint64_t)high << 32;
        gate->size_bytes = 8;
    }
    if (selector_null(gate->selector))
        interp_raise_error(cpu, i, EXC_GP, 0);
    descriptor_get(cpu, i, gate->selector, EXC_GP, &gate->code);
    if (!desc_code(&gate->code) || desc_dpl(&gate->code) > cpu->cpl)
        raise_selector(cpu, i, EXC_GP, gate->selector);
    if ((cpu->mode & MODE_LONG) && (gate->code.attributes & (SEG_L | SEG_DB)) != SEG_L)
        raise_selector(cpu, i, EXC_GP, gate->selector);
    if (!desc_present(&gate->code))
        raise_selector(cpu, i, EXC_NP, gate->selector);
    check_offset(cpu, i, &gate->code, gate->offset);
    descriptor_set_accessed(cpu, i, &gate->code);
}

/* JMP or CALL to a TSS, or through a task gate. */
static void far_task(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                     enum task_switch how)
{
    check_gate_access(cpu, i, selector, d);
    if (desc_type(d) == SYS_TASK_GATE) {
        if (!desc_present(d))
            raise_selector(cpu, i, EXC_NP, selector);
        selector = (uint16_t)(d->low >> 16);
        if (selector & 4)
            raise_selector(cpu, i, EXC_GP, selector);
        descriptor_get(cpu, i, selector, EXC_GP, d);
        if (!desc_system(d) || (desc_type(d) != SYS_TSS16 && desc_type(d) != SYS_TSS32))
            raise_selector(cpu, i, EXC_GP, selector);
    } else if (selector & 4) {
        raise_selector(cpu, i, EXC_GP, selector);
    }
    if (!desc_present(d))
        raise_selector(cpu, i, EXC_NP, selector);
    task_switch(cpu, i, selector, d, how, next_rip(cpu, i), false, 0);
}

/* What a system descriptor is to JMP and CALL. */
enum target { TARGET_GATE, TARGET_TASK };
static enum target system_target(struct interp *cpu, const struct insn *i, uint16_t selector,
                                 const struct descriptor *d)
{
    unsigned type = desc_type(d);

    if (type == SYS_CALL_GATE32 || (type == SYS_CALL_GATE16 && !(cpu->mode & MODE_LONG)))
        return TARGET_GATE;
    if ((cpu->mode & MODE_LONG) || (type != SYS_TASK_GATE && type != SYS_TSS16 && type != SYS_TSS32))
        raise_selector(cpu, i, EXC_GP, selector);
    return TARGET_TASK;
}

/* ---- JMP ------------------------------------------------------------------------------------------------------------ */

static void far_jump(struct interp *cpu, const struct insn *i, struct far_pointer to)
{
    struct descriptor d;
    struct call_gate gate;

    if (unprotected(cpu)) {
        check_offset_unprotected(cpu, i, to.offset);
        load_code_unprotected(cpu, to.selector, to.offset);
        return;
    }
    descriptor_get(cpu, i, to.selector, EXC_GP, &d);
    if (desc_code(&d)) {
        check_direct(cpu, i, to.selector, &d);
        check_offset(cpu, i, &d, to.offset);
        load_code(cpu, to.selector, &d, cpu->cpl, to.offset);
    } else if (!desc_system(&d)) {
        raise_selector(cpu, i, EXC_GP, to.selector);
    } else if (system_target(cpu, i, to.selector, &d) == TARGET_TASK) {
        far_task(cpu, i, to.selector, &d, TASK_JUMP);
    } else {
        read_call_gate(cpu, i, to.selector, &d, &gate);
        if (!desc_conforming(&gate.code) && desc_dpl(&gate.code) != cpu->cpl)
            raise_selector(cpu, i, EXC_GP, gate.selector);
        load_code(cpu, gate.selector, &gate.code, cpu->cpl, gate.offset);
    }
}

/* ---- CALL ----------------------------------------------------------------------------------------------------------- */

static struct stack push_return(struct interp *cpu, const struct insn *i, unsigned size_bytes)
{
    struct stack stack = stack_current(cpu, i);

    stack_push(&stack, cpu->seg[CPU_CS].selector, size_bytes);
    stack_push(&stack, next_rip(cpu, i), size_bytes);
    return stack;
}

static void call_inner_long(struct interp *cpu, const struct insn *i, const struct call_gate *gate)
{
    unsigned dpl = desc_dpl(&gate->code);
    struct stack stack = stack_long(cpu, i, task_inner_stack_long(cpu, i, dpl, 0), dpl);

    stack_push(&stack, cpu->seg[CPU_SS].selector, 8);
    stack_push(&stack, cpu->r[CPU_RSP].q, 8);
    stack_push(&stack, cpu->seg[CPU_CS].selector, 8);
    stack_push(&stack, next_rip(cpu, i), 8);
    seg_set_null(cpu, CPU_SS, (uint16_t)dpl);
    stack_commit(cpu, &stack);
    load_code(cpu, gate->selector, &gate->code, dpl, gate->offset);
}

static void call_inner(struct interp *cpu, const struct insn *i, const struct call_gate *gate)
{
    unsigned dpl = desc_dpl(&gate->code), size = gate->size_bytes;
    struct stack stack, old = stack_current(cpu, i);
    struct descriptor ss_descriptor;
    uint64_t parameter[31];
    uint16_t ss_selector;
    struct seg ss;
    uint32_t esp;

    task_inner_stack(cpu, i, dpl, &ss_selector, &esp);
    seg_check_stack(cpu, i, ss_selector, dpl, EXC_TS, &ss_descriptor);
    seg_from_descriptor(&ss, ss_selector, &ss_descriptor);
    stack = stack_of(cpu, i, &ss, esp, dpl);
    stack.error = ss_selector;
    for (unsigned n = 0; n < gate->parameters; n++)
        parameter[n] = stack_pop(&old, size);
    stack_push(&stack, cpu->seg[CPU_SS].selector, size);
    stack_push(&stack, cpu->r[CPU_RSP].q, size);
    for (unsigned n = gate->parameters; n-- > 0;)
        stack_push(&stack, parameter[n], size);
    stack_push(&stack, cpu->seg[CPU_CS].selector, size);
    stack_push(&stack, next_rip(cpu, i), size);
    seg_set(cpu, CPU_SS, ss_selector, &ss_descriptor);
    stack_commit(cpu, &stack);
    load_code(cpu, gate->selector, &gate->code, dpl, gate->offset);
}

static void call_gate(struct interp *cpu, const struct insn *i, const struct call_gate *gate)
{
    struct stack stack;

    if (!desc_conforming(&gate->code) && desc_dpl(&gate->code) < cpu->cpl) {
        if (cpu->mode & MODE_LONG)
            call_inner_long(cpu, i, gate);
        else
            call_inner(cpu, i, gate);
        return;
    }
    stack = push_return(cpu, i, gate->size_bytes);
    stack_commit(cpu, &stack);
    load_code(cpu, gate->selector, &gate->code, cpu->cpl, gate->offset);
}

static void far_call(struct interp *cpu, const struct insn *i, struct far_pointer to)
{
    struct descriptor d;
    struct call_gate gate;
    struct stack stack;

    if (unprotected(cpu)) {
        check_offset_unprotected(cpu, i, to.offset);
        stack = push_return(cpu, i, insn_osize_bytes(i));
        stack_commit(cpu, &stack);
        load_code_unprotected(cpu, to.selector, to.offset);
        return;
    }
    descriptor_get(cpu, i, to.selector, EXC_GP, &d);
    if (desc_code(&d)) {
        check_direct(cpu, i, to.selector, &d);
        check_offset(cpu, i, &d, to.offset);
        stack = push_return(cpu, i, insn_osize_bytes(i));
        stack_commit(cpu, &stack);
        load_code(cpu, to.selector, &d, cpu->cpl, to.offset);
    } else if (!desc_system(&d)) {
        raise_selector(cpu, i, EXC_GP, to.selector);
    } else if (system_target(cpu, i, to.selector, &d) == TARGET_TASK) {
        far_task(cpu, i, to.selector, &d, TASK_CALL);
    } else {
        read_call_gate(cpu, i, to.selector, &d, &gate);
        call_gate(cpu, i, &gate);
    }
}

/* ---- returns -------------------------------------------------------------------------------------------------------- */

/* The code segment that RET or IRET goes back to. */
static void check_return(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *code)
{
    unsigned rpl = selector & 3u;
    bool good;

    descriptor_get(cpu, i, selector, EXC_GP, code);
    good =
        rpl >= cpu->cpl && desc_code(code) && (desc_conforming(code) ? desc_dpl(code) <= rpl : desc_dpl(code) == rpl);
    if (!good)
        raise_selector(cpu, i, EXC_GP, selector);
    check_long_code(cpu, i, selector, code);
    if (!desc_present(code))
        raise_selector(cpu, i, EXC_NP, selector);
    descriptor_set_accessed(cpu, i, code);
}

/* The stack that goes with it. */
struct return_stack {
    uint16_t selector;
    uint64_t pointer;
    bool null;
    struct descriptor ss;
};

static void check_return_stack(struct interp *cpu, const struct insn *i, const struct descriptor *code, unsigned cpl,
                               struct return_stack *to)
{
    to->null = selector_null(to->selector);
    if (to->null && !((cpu->mode & MODE_LONG) && (code->attributes & SEG_L) && cpl != 3))
        interp_raise_error(cpu, i, EXC_GP, 0);
    if (!to->null)
        seg_check_stack(cpu, i, to->selector, cpl, EXC_GP, &to->ss);
}

static void load_return_stack(struct interp *cpu, const struct return_stack *to, const struct descriptor *code,
                              unsigned cpl)
{
    struct seg *ss = &cpu->seg[CPU_SS];

    if (to->null) {
        seg_set_null(cpu, CPU_SS, (uint16_t)cpl);
        ss->selector = to->selector;
    } else {
        seg_set(cpu, CPU_SS, to->selector, &to->ss);
    }
    if ((cpu->mode & MODE_LONG) && (code->attributes & SEG_L))
        cpu->r[CPU_RSP].q = to->pointer;
    else if (ss->attributes & SEG_DB)
        cpu->r[CPU_RSP].q = (uint32_t)to->pointer;
    else
        cpu->r[CPU_RSP].w = (uint16_t)to->pointer;
}

static void far_return(struct interp *cpu, const struct insn *i, uint64_t release)
{
    unsigned size = insn_osize_bytes(i), cpl;
    struct stack stack = stack_current(cpu, i);
    uint64_t rip = stack_pop(&stack, size);
    uint16_t selector = (uint16_t)stack_pop(&stack, size);
    struct return_stack to;
    struct descriptor code;

    stack.pointer = (stack.pointer + release) & stack.mask;
    if (unprotected(cpu)) {
        check_offset_unprotected(cpu, i, rip);
        stack_commit(cpu, &stack);
        load_code_unprotected(cpu, selector, rip);
        return;
    }
    check_return(cpu, i, selector, &code);
    cpl = selector & 3u;
    if (cpl == cpu->cpl) {
        check_offset(cpu, i, &code, rip);
        stack_commit(cpu, &stack);
        load_code(cpu, selector, &code, cpl, rip);
        return;
    }
    to.pointer = stack_pop(&stack, size) + release;
    to.selector = (uint16_t)stack_pop(&stack, size);
    check_return_stack(cpu, i, &code, cpl, &to);
    check_offset(cpu, i, &code, rip);
    load_return_stack(cpu, &to, &code, cpl);
    load_code(cpu, selector, &code, cpl, rip);
    seg_clear_outer(cpu);
    cpu_update_mode(cpu);
}

/* ---- IRET ----------------------------------------------------------------------------------------------------------- */

/* Flags that IRET takes from the stack at a privilege level. */
static uint32_t iret_mask(const struct interp *cpu, unsigned size_bytes)
{
    unsigned iopl = (cpu->sysflags & FLAG_IOPL) >> 12;
    uint32_t mask = FLAG_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

    if (cpu->mode & MODE_VM86)
        mask |= FLAG_IF; /* IOPL is 3 */
    else
        mask |= (cpu->cpl <= iopl ? FLAG_IF : 0) | (cpu->cpl == 0 ? FLAG_IOPL : 0);
    if (size_bytes > 2)
        mask |= FLAG_RF | FLAG_AC | FLAG_ID | (cpu->cpl == 0 && !unprotected(cpu) ? FLAG_VIF | FLAG_VIP : 0);
    return mask;
}

static void iret_unprotected(struct interp *cpu, const struct insn *i)
{
    unsigned size = insn_osize_bytes(i);
    struct stack stack = stack_current(cpu, i);
    uint64_t rip, flags;
    uint16_t selector;

    bool virtual_if = (cpu->mode & MODE_VM86) && (cpu->sysflags & FLAG_IOPL) != FLAG_IOPL;
    uint32_t mask = iret_mask(cpu, size);

    if (virtual_if && (!(cpu->cr4 & CR4_VME) || size != 2))
        RAISE_ERROR(EXC_GP, 0);
    rip = stack_pop(&stack, size);
    selector = (uint16_t)stack_pop(&stack, size);
    flags = stack_pop(&stack, size);
    check_offset_unprotected(cpu, i, rip);
    if (virtual_if) { /* IF means VIF */
        if ((flags & FLAG_TF) || ((flags & FLAG_IF) && (cpu->sysflags & FLAG_VIP)))
            RAISE_ERROR(EXC_GP, 0);
        mask = (mask & ~FLAG_IF) | FLAG_VIF;
        flags |= flags & FLAG_IF ? FLAG_VIF : 0;
    }
    stack_commit(cpu, &stack);
    flags_write_masked(cpu, flags, mask);
    load_code_unprotected(cpu, selector, rip);
}

static void iret_task(struct interp *cpu, const struct insn *i)
{
    uint16_t selector = (uint16_t)sys_read(cpu, i, cpu->seg[CPU_TR].base, 2);
    struct descriptor d;

    if (selector & 4)
        raise_selector(cpu, i, EXC_TS, selector);
    descriptor_get(cpu, i, selector, EXC_TS, &d);
    if (!desc_system(&d) || (desc_type(&d) != SYS_TSS16_BUSY && desc_type(&d) != SYS_TSS32_BUSY))
        raise_selector(cpu, i, EXC_TS, selector);
    if (!desc_present(&d))
        raise_selector(cpu, i, EXC_NP, selector);
    task_switch(cpu, i, selector, &d, TASK_IRET, next_rip(cpu, i), false, 0);
}

static void iret_to_vm86(struct interp *cpu, const struct insn *i, struct stack *stack, uint64_t rip, uint16_t selector,
                         uint64_t flags)
{
    static const uint8_t order[] = {CPU_SS, CPU_ES, CPU_DS, CPU_FS, CPU_GS};
    uint32_t esp = (uint32_t)stack_pop(stack, 4);
    uint16_t value[sizeof order];

    for (unsigned n = 0; n < sizeof order; n++)
        value[n] = (uint16_t)stack_pop(stack, 4);
    if (rip > 0xFFFF)
        interp_raise_error(cpu, i, EXC_GP, 0);
    for (unsigned n = 0; n < sizeof order; n++)
        seg_set_vm86(cpu, order[n], value[n]);
    seg_set_vm86(cpu, CPU_CS, selector);
    cpu->r[CPU_RSP].q = esp;
    cpu->rip = rip;
    cpu_write_rflags(cpu, flags);
    cpu_update_mode(cpu);
}

static void iret_protected(struct interp *cpu, const struct insn *i)
{
    unsigned size = insn_osize_bytes(i), cpl;
    struct stack stack = stack_current(cpu, i);
    struct return_stack to;
    struct descriptor code;
    uint64_t rip, flags;
    uint16_t selector;
    uint32_t mask;
    bool with_stack;

    rip = stack_pop(&stack, size);
    selector = (uint16_t)stack_pop(&stack, size);
    flags = stack_pop(&stack, size);
    if (size == 4 && (flags & FLAG_VM) && cpu->cpl == 0 && !(cpu->mode & MODE_LONG)) {
        iret_to_vm86(cpu, i, &stack, rip, selector, flags);
        return;
    }
    check_return(cpu, i, selector, &code);
    cpl = selector & 3u;
    with_stack = code64(cpu) || cpl > cpu->cpl;
    if (with_stack) {
        to.pointer = stack_pop(&stack, size);
        to.selector = (uint16_t)stack_pop(&stack, size);
        check_return_stack(cpu, i, &code, cpl, &to);
    }
    check_offset(cpu, i, &code, rip);
    mask = iret_mask(cpu, size);
    if (with_stack)
        load_return_stack(cpu, &to, &code, cpl);
    else
        stack_commit(cpu, &stack);
    bool outer = cpl > cpu->cpl;
    cpu_write_rflags(cpu, (cpu_read_rflags(cpu) & ~(uint64_t)mask) | (flags & mask));
    load_code(cpu, selector, &code, cpl, rip);
    if (outer) {
        seg_clear_outer(cpu);
        cpu_update_mode(cpu);
    }
}

/* Goes on in the chain at cpu->rip, in whatever mode; nothing was done that the run loop would have to look at. */
static const struct insn *end_at_rip(struct interp *cpu, const struct insn *i)
{
    block_update_mode(cpu);
    return END_JUMP(cpu->rip);
}

/* Could an event have become deliverable by new flags, or by the end of an NMI's handler? */
static bool event_possible(const struct interp *cpu)
{
    return interp_attention(cpu) || cpu->s.nmi_pending || debug_active(cpu);
}

EXEC_STATIC(exec_iret)
{
    cpu->s.nmi_blocked = false; /* even if it faults (SDM vol. 3, 6.7.1) */
    if (!(cpu->sysflags & FLAG_NT) && event_fast_iret(cpu, i, iret_mask(cpu, insn_osize_bytes(i))))
        return event_possible(cpu) ? END_LEAVE() : end_at_rip(cpu, i);
    if (unprotected(cpu)) {
        iret_unprotected(cpu, i);
    } else if (cpu->sysflags & FLAG_NT) {
        if (cpu->mode & MODE_LONG)
            RAISE_ERROR(EXC_GP, 0);
        iret_task(cpu, i);
    } else {
        iret_protected(cpu, i);
    }
    return END_LEAVE();
}

/* ---- instructions --------------------------------------------------------------------------------------------------- */

EXEC_STATIC(exec_jmp_far)
{
    far_jump(cpu, i, far_immediate(i));
    return END_LEAVE();
}

EXEC_STATIC(exec_jmp_far_mem)
{
    far_jump(cpu, i, far_memory(cpu, i));
    return END_LEAVE();
}

EXEC_STATIC(exec_call_far)
{
    far_call(cpu, i, far_immediate(i));
    return END_LEAVE();
}

EXEC_STATIC(exec_call_far_mem)
{
    far_call(cpu, i, far_memory(cpu, i));
    return END_LEAVE();
}

EXEC_STATIC(exec_retf)
{
    far_return(cpu, i, 0);
    return END_LEAVE();
}

EXEC_STATIC(exec_retf_imm)
{
    far_return(cpu, i, i->imm & 0xFFFFu);
    return END_LEAVE();
}

EXEC_STATIC(exec_int3)
{
    return exception_software(cpu, i, EXC_BP, next_rip(cpu, i), false) ? end_at_rip(cpu, i) : END_LEAVE();
}

EXEC_STATIC(exec_int)
{
    if ((cpu->mode & MODE_VM86) && (cpu->cr4 & CR4_VME) && exception_redirect(cpu, i, (uint8_t)i->imm))
        return END_LEAVE();
    if ((cpu->mode & MODE_VM86) && (cpu->sysflags & FLAG_IOPL) != FLAG_IOPL)
        RAISE_ERROR(EXC_GP, 0);
    return exception_software(cpu, i, (uint8_t)i->imm, next_rip(cpu, i), false) ? end_at_rip(cpu, i) : END_LEAVE();
}

EXEC_STATIC(exec_into)
{
    if (!flag_of(cpu))
        return END_FALL();
    return exception_software(cpu, i, EXC_OF, next_rip(cpu, i), false) ? end_at_rip(cpu, i) : END_LEAVE();
}

EXEC_STATIC(exec_int1)
{
    exception_software(cpu, i, EXC_DB, next_rip(cpu, i), true);
    return END_LEAVE();
}

FORMS_ANY(forms_iret, exec_iret);
FORMS_ANY(forms_jmp_far, exec_jmp_far);
FORMS_ANY(forms_jmp_far_mem, exec_jmp_far_mem);
FORMS_ANY(forms_call_far, exec_call_far);
FORMS_ANY(forms_call_far_mem, exec_call_far_mem);
FORMS_ANY(forms_retf, exec_retf);
FORMS_ANY(forms_retf_imm, exec_retf_imm);
FORMS_ANY(forms_int3, exec_int3);
FORMS_ANY(forms_int, exec_int);
FORMS_ANY(forms_into, exec_into);
FORMS_ANY(forms_int1, exec_int1);
