/* Task-state segments: stacks of inner levels, and hardware task switches (Intel SDM vol. 3, chapter 7).
 *
 * Order of a switch: check the new TSS and touch it; save the old task; busy bits, NT and link; TR and CR0.TS; then load
 * the new task. From the load of TR on, exceptions belong to the new task (its CS:EIP is what their handler sees).
 * Not modelled: nothing known; long mode has no task switches (#GP, as there). */
#include "accel-interp/task.h"

#include "accel-interp/debug.h"

/* Offsets in the 32-bit and the 16-bit TSS. */
#define TSS32_BYTES 104u
#define TSS16_BYTES 44u
#define TSS_LINK 0u
#define TSS32_CR3 28u
#define TSS32_EIP 32u
#define TSS32_EFLAGS 36u
#define TSS32_GPR 40u
#define TSS32_SEGMENTS 72u
#define TSS32_LDT 96u
#define TSS32_TRAP 100u
#define TSS16_IP 14u
#define TSS16_FLAGS 16u
#define TSS16_GPR 18u
#define TSS16_SEGMENTS 34u
#define TSS16_LDT 42u

/* Image of a task. */
struct task {
    uint32_t cr3, eip, eflags, gpr[8];
    uint16_t segment[6]; /* ES CS SS DS FS GS, as enum cpu_segment_index */
    uint16_t ldt;
    bool trap;
};

static bool tss_wide(const struct seg *tr)
{
    return tr->attributes & 8;
}

void task_inner_stack(struct interp *cpu, const struct insn *i, unsigned dpl, uint16_t *ss, uint32_t *esp)
{
    const struct seg *tr = &cpu->seg[CPU_TR];
    bool wide = tss_wide(tr);
    unsigned at = wide ? 4 + 8 * dpl : 2 + 4 * dpl, size = wide ? 4 : 2;

    if (at + 2 * size - 1 > tr->limit)
        raise_selector(cpu, i, EXC_TS, tr->selector);
    *esp = (uint32_t)sys_read(cpu, i, tr->base + at, size);
    *ss = (uint16_t)sys_read(cpu, i, tr->base + at + size, 2);
}

uint64_t task_inner_stack_long(struct interp *cpu, const struct insn *i, unsigned dpl, unsigned ist)
{
    const struct seg *tr = &cpu->seg[CPU_TR];
    unsigned at = ist ? 36 + 8 * (ist - 1) : 4 + 8 * dpl;
    uint64_t rsp;

    if (at + 7 > tr->limit)
        raise_selector(cpu, i, EXC_TS, tr->selector);
    rsp = sys_read(cpu, i, tr->base + at, 8);
    if (!mmu_canonical(rsp))
        raise_selector(cpu, i, EXC_SS, 0);
    return rsp;
}

/* ---- images -------------------------------------------------------------------------------------------------------- */

static void read_task32(struct interp *cpu, const struct insn *i, uint64_t base, struct task *t)
{
    t->cr3 = (uint32_t)sys_read(cpu, i, base + TSS32_CR3, 4);
    t->eip = (uint32_t)sys_read(cpu, i, base + TSS32_EIP, 4);
    t->eflags = (uint32_t)sys_read(cpu, i, base + TSS32_EFLAGS, 4);
    for (unsigned n = 0; n < 8; n++)
        t->gpr[n] = (uint32_t)sys_read(cpu, i, base + TSS32_GPR + 4 * n, 4);
    for (unsigned n = 0; n < 6; n++)
        t->segment[n] = (uint16_t)sys_read(cpu, i, base + TSS32_SEGMENTS + 4 * n, 2);
    t->ldt = (uint16_t)sys_read(cpu, i, base + TSS32_LDT, 2);
    t->trap = sys_read(cpu, i, base + TSS32_TRAP, 1) & 1;
}

static void read_task16(struct interp *cpu, const struct insn *i, uint64_t base, struct task *t)
{
    *t = (struct task){.cr3 = (uint32_t)cpu->cr3};
    t->eip = (uint32_t)sys_read(cpu, i, base + TSS16_IP, 2);
    t->eflags = (uint32_t)sys_read(cpu, i, base + TSS16_FLAGS, 2);
    for (unsigned n = 0; n < 8; n++)
        t->gpr[n] = 0xFFFF0000u | (uint32_t)sys_read(cpu, i, base + TSS16_GPR + 2 * n, 2);
    for (unsigned n = 0; n < 4; n++)
        t->segment[n] = (uint16_t)sys_read(cpu, i, base + TSS16_SEGMENTS + 2 * n, 2);
    t->ldt = (uint16_t)sys_read(cpu, i, base + TSS16_LDT, 2);
}

static void save_task(struct interp *cpu, const struct insn *i, uint32_t eip, uint32_t eflags)
{
    const struct seg *tr = &cpu->seg[CPU_TR];
    uint64_t base = tr->base;

    if (tss_wide(tr)) {
        sys_write(cpu, i, base + TSS32_EIP, eip, 4);
        sys_write(cpu, i, base + TSS32_EFLAGS, eflags, 4);
        for (unsigned n = 0; n < 8; n++)
            sys_write(cpu, i, base + TSS32_GPR + 4 * n, cpu->r[n].d, 4);
        for (unsigned n = 0; n < 6; n++)
            sys_write(cpu, i, base + TSS32_SEGMENTS + 4 * n, cpu->seg[n].selector, 2);
    } else {
        sys_write(cpu, i, base + TSS16_IP, eip, 2);
        sys_write(cpu, i, base + TSS16_FLAGS, eflags, 2);
        for (unsigned n = 0; n < 8; n++)
            sys_write(cpu, i, base + TSS16_GPR + 2 * n, cpu->r[n].w, 2);
        for (unsigned n = 0; n < 4; n++)
            sys_write(cpu, i, base + TSS16_SEGMENTS + 2 * n, cpu->seg[n].selector, 2);
    }
}

static void set_busy(struct interp *cpu, const struct insn *i, uint64_t descriptor_linear, bool busy)
{
    uint64_t type = sys_read(cpu, i, descriptor_linear + 5, 1);

    sys_write(cpu, i, descriptor_linear + 5, busy ? type | 2 : type & ~2ull, 1);
}

/* ---- loading the new task ------------------------------------------------------------------------------------------- */

static void load_ldt(struct interp *cpu, uint16_t selector)
{
    struct descriptor d;

    if (selector_null(selector))
        return;
    if ((selector & 4) || !descriptor_fetch(cpu, NULL, selector, &d) || !desc_system(&d) || desc_type(&d) != SYS_LDT ||
        !desc_present(&d))
        raise_selector(cpu, NULL, EXC_TS, selector);
    seg_set(cpu, CPU_LDTR, selector, &d);
}

static void load_code(struct interp *cpu, uint16_t selector)
{
    struct descriptor d;
    bool good;

    descriptor_get(cpu, NULL, selector, EXC_TS, &d);
    good = desc_code(&d) && (desc_conforming(&d) ? desc_dpl(&d) <= (selector & 3u) : desc_dpl(&d) == (selector & 3u));
    if (!good)
        raise_selector(cpu, NULL, EXC_TS, selector);
    if (!desc_present(&d))
        raise_selector(cpu, NULL, EXC_NP, selector);
    descriptor_set_accessed(cpu, NULL, &d);
    seg_set(cpu, CPU_CS, selector, &d);
}

static void load_segments(struct interp *cpu, const struct task *t)
{
    static const uint8_t data[] = {CPU_ES, CPU_DS, CPU_FS, CPU_GS};
    unsigned cpl = t->segment[CPU_CS] & 3u;
    struct descriptor d;

    seg_check_stack(cpu, NULL, t->segment[CPU_SS], cpl, EXC_TS, &d);
    seg_set(cpu, CPU_SS, t->segment[CPU_SS], &d);
    load_code(cpu, t->segment[CPU_CS]);
    for (unsigned n = 0; n < sizeof data; n++) {
        uint16_t selector = t->segment[data[n]];
        if (selector_null(selector))
            continue;
        seg_check_data(cpu, NULL, selector, cpl, EXC_TS, &d);
        seg_set(cpu, data[n], selector, &d);
    }
}

/* Selectors first, all of them unusable, so that a fault on the way finds the new task's selectors and nothing of the
 * old task's bases. */
static void load_selectors(struct interp *cpu, const struct task *t)
{
    for (unsigned n = 0; n < 6; n++) {
        seg_set_null(cpu, n, t->segment[n]);
        if (t->eflags & FLAG_VM)
            seg_set_vm86(cpu, n, t->segment[n]);
    }
    /* until CS and SS are checked the CPL is the new CS's RPL */
    cpu->seg[CPU_SS].attributes = (uint16_t)((cpu->seg[CPU_SS].attributes & ~0x60u) | ((t->segment[CPU_CS] & 3u) << 5));
    seg_set_null(cpu, CPU_LDTR, t->ldt);
}

static void load_registers(struct interp *cpu, const struct task *t, bool wide)
{
    if (wide && (cpu->cr0 & CR0_PG)) {
        if (cpu->cr4 & CR4_PAE)
            mmu_load_pdptes(cpu, NULL, t->cr3);
        cpu->cr3 = t->cr3;
        mmu_flush_non_global(cpu);
    }
    cpu->rip = t->eip;
    for (unsigned n = 0; n < 8; n++)
        cpu->r[n].q = t->gpr[n];
    load_selectors(cpu, t);
    cpu_write_rflags(cpu, t->eflags);
    cpu_update_mode(cpu);
}

static void push_error(struct interp *cpu, bool wide, uint32_t error)
{
    struct stack stack = stack_current(cpu, NULL);

    stack_push(&stack, error, wide ? 4 : 2);
    stack_commit(cpu, &stack);
}

static void check_new(struct interp *cpu, const struct insn *i, uint16_t selector, const struct descriptor *d)
{
    bool wide = d->attributes & 8;
    unsigned bytes = wide ? TSS32_BYTES : TSS16_BYTES;
    const struct seg *old = &cpu->seg[CPU_TR];

    if (d->limit < bytes - 1)
        raise_selector(cpu, i, EXC_TS, selector);
    /* everything that will be written must be writable before anything is */
    mmu_probe(cpu, i, d->base, bytes, TLB_WRITE, TLB_SUPERVISOR);
    mmu_probe(cpu, i, old->base, tss_wide(old) ? TSS32_BYTES : TSS16_BYTES, TLB_WRITE, TLB_SUPERVISOR);
}

void task_switch(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                 enum task_switch how, uint64_t next_rip, bool has_error, uint32_t error)
{
    bool wide = d->attributes & 8, nested = how == TASK_CALL || how == TASK_GATE;
    uint32_t old_flags = (uint32_t)cpu_read_rflags(cpu);
    uint16_t old_selector = cpu->seg[CPU_TR].selector;
    bool in_delivery = cpu->in_delivery;
    struct task t;

    check_new(cpu, i, selector, d);
    if (wide)
        read_task32(cpu, i, d->base, &t);
    else
        read_task16(cpu, i, d->base, &t);
    if (how == TASK_IRET)
        old_flags &= ~FLAG_NT;
    save_task(cpu, i, (uint32_t)next_rip, old_flags);
    if (!nested)
        set_busy(cpu, i, cpu->gdtr_base + (old_selector & 0xFFF8u), false);
    if (how != TASK_IRET)
        set_busy(cpu, i, d->linear, true);
    if (nested) {
        sys_write(cpu, i, d->base + TSS_LINK, old_selector, 2);
        t.eflags |= FLAG_NT;
    }
    d->attributes |= 2;
    seg_set(cpu, CPU_TR, selector, d);
    cpu->cr0 |= CR0_TS;
    cpu_update_usable(cpu);
    debug_write_register(cpu, 7, cpu->dr[7] & ~0x155ull); /* local breakpoints are the old task's */
    cpu->in_delivery = true; /* what is raised now belongs to the step that switched, at the new task's EIP */
    load_registers(cpu, &t, wide);
    load_ldt(cpu, t.ldt);
    if (!(cpu->sysflags & FLAG_VM)) {
        load_segments(cpu, &t);
        cpu_update_mode(cpu);
    }
    if (has_error)
        push_error(cpu, wide, error);
    if (cpu->rip > cpu->seg[CPU_CS].limit)
        raise_selector(cpu, NULL, EXC_GP, 0);
    cpu->in_delivery = in_delivery;
    if (t.trap)
        cpu->s.pending_debug |= DR6_BT;
}
