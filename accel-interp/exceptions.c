/* Exceptions and interrupts: IVT, IDT gates of all sizes, stack switches, double and triple faults (Intel SDM vol. 3,
 * 6.10 to 6.15, 20.3, 6.14 for 64-bit mode; vol. 2 INT n).
 *
 * Nothing of the CPU changes before the last check has passed (but a task switch, which has a point of no return).
 * Not modelled: machine checks. */
#include "accel-interp/exceptions.h"

#include "accel-interp/event_fast.h"
#include "accel-interp/monitor.h"
#include "accel-interp/task.h"

_Noreturn static void raise(struct interp *cpu, const struct insn *i, uint8_t vector, bool has_error, uint32_t error)
{
    cpu->current = i;
    cpu->raise_vector = vector;
    cpu->raise_has_error = has_error;
    cpu->raise_error = error;
    longjmp(cpu->unwind, UNWIND_RAISE);
}

void interp_raise(struct interp *cpu, const struct insn *i, uint8_t vector)
{
    raise(cpu, i, vector, false, 0);
}

void interp_raise_error(struct interp *cpu, const struct insn *i, uint8_t vector, uint32_t error)
{
    raise(cpu, i, vector, true, error);
}

void flags_write_masked(struct interp *cpu, uint64_t value, uint64_t mask)
{
    cpu_write_rflags(cpu, (cpu_read_rflags(cpu) & ~mask) | (value & mask));
}

/* Error code that names the vector's gate. */
_Noreturn static void raise_gate(struct interp *cpu, const struct event *e, uint8_t vector)
{
    interp_raise_error(cpu, e->i, vector, e->vector * 8u + 2u + cpu->event_external);
}

/* ---- real mode ------------------------------------------------------------------------------------------------------ */

static void deliver_real(struct interp *cpu, const struct event *e)
{
    struct stack stack = stack_current(cpu, e->i);
    uint32_t entry;

    if (e->vector * 4u + 3u > cpu->idtr_limit)
        raise_gate(cpu, e, EXC_GP);
    entry = (uint32_t)sys_read(cpu, e->i, cpu->idtr_base + e->vector * 4u, 4);
    stack_push(&stack, e->flags, 2);
    stack_push(&stack, cpu->seg[CPU_CS].selector, 2);
    stack_push(&stack, e->return_rip, 2);
    stack_commit(cpu, &stack);
    seg_set_real(cpu, CPU_CS, (uint16_t)(entry >> 16));
    cpu->rip = entry & 0xFFFFu;
    flags_write_masked(cpu, 0, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    cpu_update_mode(cpu);
}

/* ---- protected mode ------------------------------------------------------------------------------------------------- */

/* The checks on a gate that all kinds share. */
static void check_gate(struct interp *cpu, const struct event *e, const struct descriptor *gate, bool good_type)
{
    if (!desc_system(gate) || !good_type)
        raise_gate(cpu, e, EXC_GP);
    if (e->software && desc_dpl(gate) < cpu->cpl)
        raise_gate(cpu, e, EXC_GP);
    if (!desc_present(gate))
        raise_gate(cpu, e, EXC_NP);
}

static void read_gate(struct interp *cpu, const struct event *e, unsigned size_bytes, struct descriptor *gate)
{
    uint64_t raw;

    if (e->vector * size_bytes + size_bytes - 1 > cpu->idtr_limit)
        raise_gate(cpu, e, EXC_GP);
    gate->linear = cpu->idtr_base + e->vector * size_bytes;
    raw = sys_read(cpu, e->i, gate->linear, 8);
    gate->low = (uint32_t)raw;
    gate->high = (uint32_t)(raw >> 32);
    gate->attributes = (uint16_t)((gate->high >> 8) & 0xFFu);
}

/* The handler's code segment; its CPL is the result. */
static unsigned check_handler(struct interp *cpu, const struct event *e, uint16_t selector, struct descriptor *code)
{
    if (selector_null(selector))
        raise_selector(cpu, e->i, EXC_GP, 0);
    descriptor_get(cpu, e->i, selector, EXC_GP, code);
    if (!desc_code(code) || desc_dpl(code) > cpu->cpl)
        raise_selector(cpu, e->i, EXC_GP, selector);
    if ((cpu->mode & MODE_LONG) && (code->attributes & (SEG_L | SEG_DB)) != SEG_L)
        raise_selector(cpu, e->i, EXC_GP, selector);
    if (!desc_present(code))
        raise_selector(cpu, e->i, EXC_NP, selector);
    if ((cpu->mode & MODE_VM86) && (desc_conforming(code) || desc_dpl(code) != 0))
        raise_selector(cpu, e->i, EXC_GP, selector);
    descriptor_set_accessed(cpu, e->i, code);
    return desc_conforming(code) ? cpu->cpl : desc_dpl(code);
}

/* Nothing raises from here on. */
static void enter_handler(struct interp *cpu, uint16_t selector, const struct descriptor *code, unsigned cpl,
                          uint64_t rip, bool interrupt_gate)
{
    seg_set(cpu, CPU_CS, (uint16_t)((selector & 0xFFFCu) | cpl), code);
    cpu->rip = rip;
    flags_write_masked(cpu, 0, FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF | (interrupt_gate ? FLAG_IF : 0));
    cpu_update_mode(cpu);
}

static void task_gate(struct interp *cpu, const struct event *e, uint16_t selector)
{
    struct descriptor d;

    if (selector_null(selector) || (selector & 4))
        raise_selector(cpu, e->i, EXC_GP, selector);
    descriptor_get(cpu, e->i, selector, EXC_GP, &d);
    if (!desc_system(&d) || (desc_type(&d) != SYS_TSS16 && desc_type(&d) != SYS_TSS32))
        raise_selector(cpu, e->i, EXC_GP, selector);
    if (!desc_present(&d))
        raise_selector(cpu, e->i, EXC_NP, selector);
    cpu->sysflags |= e->flags & FLAG_RF; /* in the image that the old TSS gets, as it is pushed elsewhere */
    task_switch(cpu, e->i, selector, &d, TASK_GATE, e->return_rip, e->has_error, e->error);
}

static void push_frame(struct interp *cpu, const struct event *e, struct stack *stack, unsigned size)
{
    stack_push(stack, e->flags, size);
    stack_push(stack, cpu->seg[CPU_CS].selector, size);
    stack_push(stack, e->return_rip, size);
    if (e->has_error)
        stack_push(stack, e->error, size);
}

static void push_vm86_segments(struct interp *cpu, struct stack *stack, unsigned size)
{
    stack_push(stack, cpu->seg[CPU_GS].selector, size);
    stack_push(stack, cpu->seg[CPU_FS].selector, size);
    stack_push(stack, cpu->seg[CPU_DS].selector, size);
    stack_push(stack, cpu->seg[CPU_ES].selector, size);
}

static void leave_vm86(struct interp *cpu)
{
    seg_set_null(cpu, CPU_GS, 0);
    seg_set_null(cpu, CPU_FS, 0);
    seg_set_null(cpu, CPU_DS, 0);
    seg_set_null(cpu, CPU_ES, 0);
}

static void enter_inner(struct interp *cpu, const struct event *e, uint16_t selector, struct descriptor *code,
                        uint32_t rip, bool interrupt_gate, unsigned size)
{
    unsigned dpl = desc_dpl(code);
    bool vm86 = cpu->mode & MODE_VM86;
    struct descriptor ss_descriptor;
    struct stack stack;
    struct seg ss;
    uint16_t ss_selector;
    uint32_t esp;

    task_inner_stack(cpu, e->i, dpl, &ss_selector, &esp);
    seg_check_stack(cpu, e->i, ss_selector, dpl, EXC_TS, &ss_descriptor);
    seg_from_descriptor(&ss, ss_selector, &ss_descriptor);
    stack = stack_of(cpu, e->i, &ss, esp, dpl);
    stack.error = ss_selector;
    if (rip > code->limit)
        raise_selector(cpu, e->i, EXC_GP, 0);
    if (vm86)
        push_vm86_segments(cpu, &stack, size);
    stack_push(&stack, cpu->seg[CPU_SS].selector, size);
    stack_push(&stack, cpu->r[CPU_RSP].q, size);
    push_frame(cpu, e, &stack, size);
    if (vm86)
        leave_vm86(cpu);
    seg_set(cpu, CPU_SS, ss_selector, &ss_descriptor);
    stack_commit(cpu, &stack);
    enter_handler(cpu, selector, code, dpl, rip, interrupt_gate);
}

static void deliver_protected(struct interp *cpu, const struct event *e)
{
    struct descriptor gate, code;
    struct stack stack;
    uint16_t selector;
    uint32_t rip;
    unsigned type, size, cpl;

    read_gate(cpu, e, 8, &gate);
    type = desc_type(&gate);
    check_gate(cpu, e, &gate, type == SYS_TASK_GATE || (type & 6) == 6);
    selector = (uint16_t)(gate.low >> 16);
    if (type == SYS_TASK_GATE) {
        task_gate(cpu, e, selector);
        return;
    }
    size = type & 8 ? 4 : 2;
    rip = size == 4 ? (gate.low & 0xFFFFu) | (gate.high & 0xFFFF0000u) : gate.low & 0xFFFFu;
    cpl = check_handler(cpu, e, selector, &code);
    if (cpl < cpu->cpl) {
        enter_inner(cpu, e, selector, &code, rip, !(type & 1), size);
        return;
    }
    stack = stack_current(cpu, e->i);
    if (rip > code.limit)
        raise_selector(cpu, e->i, EXC_GP, 0);
    push_frame(cpu, e, &stack, size);
    stack_commit(cpu, &stack);
    enter_handler(cpu, selector, &code, cpl, rip, !(type & 1));
}

static void deliver_long(struct interp *cpu, const struct event *e)
{
    struct descriptor gate, code;
    uint16_t selector;
    uint64_t rip, rsp = cpu->r[CPU_RSP].q;
    struct stack stack;
    unsigned cpl, ist;

    read_gate(cpu, e, 16, &gate);
    check_gate(cpu, e, &gate, desc_type(&gate) == SYS_INTERRUPT_GATE32 || desc_type(&gate) == SYS_TRAP_GATE32);
    selector = (uint16_t)(gate.low >> 16);
    rip = (gate.low & 0xFFFFu) | (gate.high & 0xFFFF0000u) | sys_read(cpu, e->i, gate.linear + 8, 4) << 32;
    ist = gate.high & 7;
    cpl = check_handler(cpu, e, selector, &code);
    if (ist || cpl < cpu->cpl)
        rsp = task_inner_stack_long(cpu, e->i, cpl, ist);
    if (!mmu_canonical(rip))
        raise_selector(cpu, e->i, EXC_GP, 0);
    stack = stack_long(cpu, e->i, rsp & ~15ull, cpl);
    stack_push(&stack, cpu->seg[CPU_SS].selector, 8);
    stack_push(&stack, cpu->r[CPU_RSP].q, 8);
    push_frame(cpu, e, &stack, 8);
    if (cpl < cpu->cpl)
        seg_set_null(cpu, CPU_SS, (uint16_t)cpl);
    stack_commit(cpu, &stack);
    enter_handler(cpu, selector, &code, cpl, rip, !(desc_type(&gate) & 1));
}

/* True: the chain may go on at the handler. */
static bool deliver(struct interp *cpu, const struct event *e)
{
    monitor_disarm(cpu);
    if (event_fast_deliver(cpu, e))
        return true;
    if (cpu->mode & MODE_REAL)
        deliver_real(cpu, e);
    else if (cpu->mode & MODE_LONG)
        deliver_long(cpu, e);
    else
        deliver_protected(cpu, e);
    return false;
}

/* ---- the two entries ------------------------------------------------------------------------------------------------ */

static enum event_class classify(uint8_t vector)
{
    switch (vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP: return EVENT_CONTRIBUTORY;
    case EXC_PF: return EVENT_PAGE_FAULT;
    case EXC_DF: return EVENT_DOUBLE_FAULT;
    default: return EVENT_BENIGN;
    }
}

/* What becomes of a fault of class `second` met while delivering one of class `first` (SDM table 6-5). */
static enum event_class combine(enum event_class first, enum event_class second)
{
    bool serious = second == EVENT_CONTRIBUTORY || second == EVENT_PAGE_FAULT;

    if ((first == EVENT_CONTRIBUTORY && second == EVENT_CONTRIBUTORY) || (first == EVENT_PAGE_FAULT && serious) ||
        (first == EVENT_DOUBLE_FAULT && serious))
        return EVENT_DOUBLE_FAULT;
    return second;
}

static void shut_down(struct interp *cpu)
{
    cpu->delivering = EVENT_NONE;
    cpu->event_external = 0;
    cpu->s.shutdown = true;
}

void exception_deliver(struct interp *cpu, uint8_t vector, enum exception_source source, bool has_error, uint32_t error)
{
    struct event e = {.vector = vector,
                      .has_error = has_error,
                      .error = error,
                      .return_rip = cpu->rip,
                      .software = source == EXCEPTION_SOFTWARE};
    enum event_class class = source == EXCEPTION_FAULT ? classify(vector) : EVENT_BENIGN;

    if (source == EXCEPTION_FAULT && cpu->delivering) {
        enum event_class both = combine(cpu->delivering, class);
        if (both == EVENT_DOUBLE_FAULT && cpu->delivering == EVENT_DOUBLE_FAULT) {
            shut_down(cpu);
            return;
        }
        if (both == EVENT_DOUBLE_FAULT) {
            e.vector = EXC_DF;
            e.has_error = true;
            e.error = 0;
        }
        class = both;
    }
    cpu->delivering = class;
    cpu->event_external = !e.software;
    cpu->s.halted = cpu->s.mwaiting = false;
    e.flags = (uint32_t)cpu_read_rflags(cpu);
    if (source == EXCEPTION_FAULT && e.vector != EXC_DB) {
        e.flags |= FLAG_RF;
        cpu->s.pending_debug = 0; /* breakpoints that the faulting instruction hit: it runs again */
    }
    if (vector == EXC_DB)
        cpu->s.debug_control &= ~(uint64_t)DEBUG_CONTROL_BTF;
    if (cpu->mode & MODE_REAL)
        e.has_error = false;
    if (source == EXCEPTION_EXTERNAL && vector == EXC_NMI)
        cpu->s.nmi_blocked = true;
    deliver(cpu, &e);
    cpu->s.interrupt_shadow = cpu->s.mov_ss_shadow = false;
    cpu->step_trap = false;
    cpu->delivering = EVENT_NONE;
    cpu->event_external = 0;
}

bool exception_software(struct interp *cpu, const struct insn *i, uint8_t vector, uint64_t next_rip, bool icebp)
{
    struct event e = {.i = i,
                      .vector = vector,
                      .return_rip = next_rip,
                      .software = !icebp,
                      .flags = (uint32_t)cpu_read_rflags(cpu) & ~FLAG_RF};
    bool fast;

    cpu->event_external = icebp;
    if (icebp)
        cpu->s.debug_control &= ~(uint64_t)DEBUG_CONTROL_BTF;
    fast = deliver(cpu, &e);
    cpu->event_external = 0;
    cpu->step_trap = false;
    return fast;
}

/* ---- VME ------------------------------------------------------------------------------------------------------------ */

static bool redirected(struct interp *cpu, const struct insn *i, uint8_t vector)
{
    const struct seg *tss = &cpu->seg[CPU_TR];
    uint32_t map;

    if (!(tss->attributes & 8) || tss->limit < 0x67)
        RAISE_ERROR(EXC_GP, 0);
    map = (uint32_t)sys_read(cpu, i, tss->base + 0x66, 2) - 32u + vector / 8u; /* 32 bytes below the I/O bitmap */
    if (map > tss->limit)
        RAISE_ERROR(EXC_GP, 0);
    return !((sys_read(cpu, i, tss->base + map, 1) >> (vector & 7)) & 1);
}

bool exception_redirect(struct interp *cpu, const struct insn *i, uint8_t vector)
{
    uint32_t flags = (uint32_t)cpu_read_rflags(cpu), image = flags, entry;
    bool iopl3 = (flags & FLAG_IOPL) == FLAG_IOPL;
    struct stack stack;

    if (!redirected(cpu, i, vector))
        return false;
    if (!iopl3)
        image = (flags & ~FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    stack = stack_current(cpu, i);
    entry = (uint32_t)mmu_read(cpu, i, vector * 4u, 4, TLB_USER);
    stack_push(&stack, image, 2);
    stack_push(&stack, cpu->seg[CPU_CS].selector, 2);
    stack_push(&stack, interp_rip_next(cpu, i), 2);
    stack_commit(cpu, &stack);
    seg_set_vm86(cpu, CPU_CS, (uint16_t)(entry >> 16));
    cpu->rip = entry & 0xFFFFu;
    flags_write_masked(cpu, 0, FLAG_TF | FLAG_RF | (iopl3 ? FLAG_IF : FLAG_VIF));
    cpu_update_mode(cpu);
    cpu->step_trap = false;
    return true;
}
