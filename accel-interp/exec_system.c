/* SYSCALL and SYSENTER families, interrupt flag, HLT, CPUID, time stamps, random numbers, MSR instructions, undefined
 * opcodes (Intel SDM vol. 2). */
#include "accel-interp/block.h"
#include "accel-interp/msr.h"
#include "accel-interp/system.h"

/* ---- interrupt flag, halt ------------------------------------------------------------------------------------------- */

/* Which flag CLI and STI mean: IF, or with VME or PVI and too little privilege VIF (SDM vol. 3, 20.3, 20.4). */
static uint32_t interrupt_flag(struct interp *cpu, const struct insn *i)
{
    unsigned iopl = (cpu->sysflags & FLAG_IOPL) >> 12;

    if ((cpu->mode & MODE_REAL) || cpu->cpl <= iopl)
        return FLAG_IF;
    if (cpu->cpl != 3 || !(cpu->cr4 & (cpu->mode & MODE_VM86 ? CR4_VME : CR4_PVI)))
        RAISE_ERROR(EXC_GP, 0);
    return FLAG_VIF;
}

EXEC_STATIC(exec_cli)
{
    cpu->sysflags &= ~interrupt_flag(cpu, i);
    NEXT;
}

EXEC_STATIC(exec_sti)
{
    uint32_t flag = interrupt_flag(cpu, i);

    if (flag == FLAG_VIF) {
        if (cpu->sysflags & FLAG_VIP)
            RAISE_ERROR(EXC_GP, 0);
        cpu->sysflags |= FLAG_VIF;
    } else if (!(cpu->sysflags & FLAG_IF)) {
        cpu->sysflags |= FLAG_IF;
        cpu->s.interrupt_shadow = true;
    }
    return END_FALL();
}

EXEC_STATIC(exec_hlt)
{
    require_cpl0(cpu, i);
    cpu->rip = in_code64(cpu) ? interp_rip_next(cpu, i) : (uint32_t)interp_rip_next(cpu, i);
    cpu->s.halted = true;
    return END_LEAVE();
}

static void set_ac(struct interp *cpu, const struct insn *i, bool ac)
{
    if (cpu->cpl != 0)
        RAISE(EXC_UD);
    cpu->sysflags = ac ? cpu->sysflags | FLAG_AC : cpu->sysflags & ~FLAG_AC;
    cpu->tlb = &cpu->views[mmu_view(cpu, 0)];
}

EXEC_STATIC(exec_clac)
{
    set_ac(cpu, i, false);
    NEXT;
}

EXEC_STATIC(exec_stac)
{
    set_ac(cpu, i, true);
    NEXT;
}

/* ---- fast system calls ---------------------------------------------------------------------------------------------- */

static void set_flat(struct interp *cpu, unsigned index, uint16_t selector, uint16_t attributes)
{
    struct descriptor d = {.limit = UINT32_MAX, .attributes = attributes};

    seg_set(cpu, index, selector, &d);
}

static void set_flat_code(struct interp *cpu, uint16_t selector, unsigned cpl, bool code64)
{
    set_flat(cpu, CPU_CS, (uint16_t)((selector & 0xFFFCu) | cpl),
             (uint16_t)(0x809B | (cpl << 5) | (code64 ? SEG_L : SEG_DB)));
}

static void set_flat_stack(struct interp *cpu, uint16_t selector, unsigned cpl)
{
    set_flat(cpu, CPU_SS, (uint16_t)((selector & 0xFFFCu) | cpl), (uint16_t)(0xC093 | (cpl << 5)));
}

/* What a host leaves that comes to the handler by a page fault (core/machine.h, MACHINE_WAY_SYSCALL_FAULTS). */
static void leave_frame(struct interp *cpu, const struct insn *i)
{
    uint64_t stack = sys_read(cpu, i, cpu->seg[CPU_TR].base + 4, 8) & ~15ull;

    for (unsigned at = 8; at <= MACHINE_FRAME_BYTES; at += 8)
        sys_write(cpu, i, stack - at, 0, 8);
    cpu->cr2 = cpu->s.lstar;
}

EXEC_STATIC(exec_syscall)
{
    uint16_t selector = (uint16_t)(cpu->s.star >> 32);

    if (!in_code64(cpu) || !(cpu->efer & EFER_SCE))
        RAISE(EXC_UD);
    if (UNLIKELY(cpu->cpl == 3 && machine_goes(cpu->accel.machine, MACHINE_WAY_SYSCALL_FAULTS)))
        leave_frame(cpu, i);
    cpu->r[CPU_RCX].q = interp_rip_next(cpu, i);
    cpu->r[11].q = cpu_read_rflags(cpu) & ~(uint64_t)FLAG_RF;
    cpu->rip = cpu->s.lstar;
    set_flat_code(cpu, selector, 0, true);
    set_flat_stack(cpu, (uint16_t)((selector & 0xFFFCu) + 8), 0);
    cpu_write_rflags(cpu, cpu->r[11].q & ~cpu->s.sfmask);
    cpu_update_mode(cpu);
    cpu->step_trap = cpu->step_trap && (cpu->sysflags & FLAG_TF);
    return END_LEAVE();
}

EXEC_STATIC(exec_sysret)
{
    uint16_t selector = (uint16_t)(cpu->s.star >> 48);
    bool to64 = insn_osize(i) == 3;

    if (!in_code64(cpu) || !(cpu->efer & EFER_SCE))
        RAISE(EXC_UD);
    require_cpl0(cpu, i);
    if (to64 && !mmu_canonical(cpu->r[CPU_RCX].q))
        RAISE_ERROR(EXC_GP, 0);
    cpu->rip = to64 ? cpu->r[CPU_RCX].q : cpu->r[CPU_RCX].d;
    set_flat_code(cpu, (uint16_t)(selector + (to64 ? 16 : 0)), 3, to64);
    set_flat_stack(cpu, (uint16_t)(selector + 8), 3);
    cpu_write_rflags(cpu, cpu->r[11].q & 0x3C7FD7);
    cpu_update_mode(cpu);
    return END_LEAVE();
}

EXEC_STATIC(exec_sysenter)
{
    uint16_t selector = (uint16_t)cpu->s.sysenter_cs;
    bool long_mode = cpu->mode & MODE_LONG;

    if ((cpu->mode & MODE_REAL) || selector_null(selector))
        RAISE_ERROR(EXC_GP, 0);
    cpu->sysflags &= ~(FLAG_VM | FLAG_IF | FLAG_RF);
    cpu->r[CPU_RSP].q = long_mode ? cpu->s.sysenter_esp : (uint32_t)cpu->s.sysenter_esp;
    cpu->rip = long_mode ? cpu->s.sysenter_eip : (uint32_t)cpu->s.sysenter_eip;
    set_flat_code(cpu, selector, 0, long_mode);
    set_flat_stack(cpu, (uint16_t)((selector & 0xFFFCu) + 8), 0);
    cpu_update_mode(cpu);
    return END_LEAVE();
}

EXEC_STATIC(exec_sysexit)
{
    uint16_t selector = (uint16_t)cpu->s.sysenter_cs & 0xFFFCu;
    bool to64 = insn_osize(i) == 3;

    if ((cpu->mode & MODE_REAL) || selector_null(selector) || cpu->cpl != 0)
        RAISE_ERROR(EXC_GP, 0);
    if (to64 && (!mmu_canonical(cpu->r[CPU_RCX].q) || !mmu_canonical(cpu->r[CPU_RDX].q)))
        RAISE_ERROR(EXC_GP, 0);
    cpu->r[CPU_RSP].q = to64 ? cpu->r[CPU_RCX].q : cpu->r[CPU_RCX].d;
    cpu->rip = to64 ? cpu->r[CPU_RDX].q : cpu->r[CPU_RDX].d;
    set_flat_code(cpu, (uint16_t)(selector + (to64 ? 32 : 16)), 3, to64);
    set_flat_stack(cpu, (uint16_t)(selector + (to64 ? 40 : 24)), 3);
    cpu_update_mode(cpu);
    return END_LEAVE();
}

EXEC_STATIC(exec_swapgs)
{
    uint64_t base = cpu->seg[CPU_GS].base;

    require_cpl0(cpu, i);
    cpu->seg[CPU_GS].base = cpu->s.kernel_gs_base;
    cpu->s.kernel_gs_base = base;
    NEXT;
}

/* ---- identification, time, entropy ---------------------------------------------------------------------------------- */

static __attribute__((noinline)) void identify(struct interp *cpu)
{
    uint32_t leaf = cpu->r[CPU_RAX].d, out[4];

    cpu_model_query(machine_cpu_model(cpu->accel.machine), leaf, cpu->r[CPU_RCX].d, out);
    if (leaf == 1) {
        struct cpu_link link = machine_cpu_link(cpu->accel.machine);
        uint64_t apic_base = 0;

        if (cpu->cr4 & CR4_OSXSAVE)
            out[2] |= 1u << 27;
        if (!(cpu->s.misc_enable & MISC_ENABLE_MONITOR))
            out[2] &= ~(1u << 3);
        if (!link.ops || !link.ops->read_msr(link.opaque, MSR_APIC_BASE, &apic_base) || !(apic_base & 0x800))
            out[3] &= ~(1u << 9);
    }
    if (leaf == 7 && cpu->r[CPU_RCX].d == 0 && (cpu->cr4 & CR4_PKE))
        out[2] |= 1u << 4;
    if (leaf == 0xD && cpu->r[CPU_RCX].d == 0 && out[0])
        out[1] = cpu_model_xsave_bytes(cpu->xcr0, false);
    if (leaf == 0xD && cpu->r[CPU_RCX].d == 1 && (out[0] & 0xA)) /* XSAVEC, XSAVES */
        out[1] = cpu_model_xsave_bytes(cpu->xcr0 | cpu->s.xss, true);
    cpu->r[CPU_RAX].q = out[0];
    cpu->r[CPU_RBX].q = out[1];
    cpu->r[CPU_RCX].q = out[2];
    cpu->r[CPU_RDX].q = out[3];
}

/* Two functions, so that `out` does not keep NEXT from being a tail call. */
EXEC_STATIC(exec_cpuid)
{
    identify(cpu);
    NEXT;
}

static void read_tsc(struct interp *cpu, const struct insn *i)
{
    uint64_t tsc;

    if ((cpu->cr4 & CR4_TSD) && cpu->cpl != 0)
        RAISE_ERROR(EXC_GP, 0);
    interp_sync_position(cpu, i);
    if (cpu->freezes_tsc)
        tsc = machine_frozen_tsc(cpu->accel.machine) + cpu->s.tsc_offset;
    else
        tsc = cpu->counts_exits ? machine_uncontrolled(cpu->accel.machine, "rdtsc") : cpu_tsc(cpu, i);
    cpu->r[CPU_RAX].q = (uint32_t)tsc;
    cpu->r[CPU_RDX].q = tsc >> 32;
}

/* Is it one that the machine has as an input (core/machine.h, MACHINE_WAY_TSC_SITES)? */
static bool at_tsc_site(const struct interp *cpu, const struct insn *i)
{
    uint64_t rip = interp_rip(cpu, i);

    return i->len == 2 && cpu->cpl == 0 &&
           machine_at_tsc_site(cpu->accel.machine,
                               (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? rip : block_linear(cpu, rip),
                               cpu->s.lstar);
}

EXEC_STATIC(read_tsc_site)
{
    uint64_t tsc;

    interp_sync_position(cpu, i);
    tsc = machine_read_tsc_site(cpu->accel.machine) + cpu->s.tsc_offset;
    cpu->r[CPU_RAX].q = (uint32_t)tsc;
    cpu->r[CPU_RDX].q = tsc >> 32;
    return END_FALL(); /* an access: the run loop looks */
}

EXEC_STATIC(exec_rdtsc)
{
    if (UNLIKELY(cpu->traps_tsc) && at_tsc_site(cpu, i))
        return read_tsc_site(cpu, i);
    read_tsc(cpu, i);
    NEXT;
}

EXEC_STATIC(exec_rdtscp)
{
    read_tsc(cpu, i);
    cpu->r[CPU_RCX].q = (uint32_t)cpu->s.tsc_aux;
    NEXT;
}

/* There are no performance counters. */
EXEC_STATIC(exec_rdpmc)
{
    RAISE_ERROR(EXC_GP, 0);
}

/* RDRAND, RDSEED: always successful. */
EXEC_STATIC(exec_rdrand)
{
    uint64_t value;

    if (i->bits & (INSN_REP | INSN_REPNE))
        RAISE(EXC_UD);
    interp_sync_position(cpu, i);
    value = machine_pull(cpu->accel.machine, INPUT_ENTROPY, NULL, NULL);
    reg_set_osize(cpu, i, i->rm, value);
    flags_set_arith(cpu, FLAG_CF);
    NEXT;
}

/* ---- model-specific registers --------------------------------------------------------------------------------------- */

EXEC_STATIC(exec_rdmsr)
{
    uint64_t value;

    require_cpl0(cpu, i);
    value = msr_read(cpu, i, cpu->r[CPU_RCX].d);
    cpu->r[CPU_RAX].q = (uint32_t)value;
    cpu->r[CPU_RDX].q = value >> 32;
    NEXT;
}

EXEC_STATIC(exec_wrmsr)
{
    require_cpl0(cpu, i);
    msr_write(cpu, i, cpu->r[CPU_RCX].d, (cpu->r[CPU_RDX].q << 32) | cpu->r[CPU_RAX].d);
    return END_FALL();
}

/* UD0, UD1, UD2, and RSM outside SMM. */
EXEC_STATIC(exec_undefined)
{
    RAISE(EXC_UD);
}

FORMS_ANY(forms_cli, exec_cli);
FORMS_ANY(forms_sti, exec_sti);
FORMS_ANY(forms_hlt, exec_hlt);
FORMS_ANY(forms_clac, exec_clac);
FORMS_ANY(forms_stac, exec_stac);
FORMS_ANY(forms_syscall, exec_syscall);
FORMS_ANY(forms_sysret, exec_sysret);
FORMS_ANY(forms_sysenter, exec_sysenter);
FORMS_ANY(forms_sysexit, exec_sysexit);
FORMS_ANY(forms_swapgs, exec_swapgs);
FORMS_ANY(forms_cpuid, exec_cpuid);
FORMS_ANY(forms_rdtsc, exec_rdtsc);
FORMS_ANY(forms_rdtscp, exec_rdtscp);
FORMS_ANY(forms_rdpmc, exec_rdpmc);
FORMS_ANY(forms_rdrand, exec_rdrand);
FORMS_ANY(forms_rdmsr, exec_rdmsr);
FORMS_ANY(forms_wrmsr, exec_wrmsr);
FORMS_ANY(forms_undefined, exec_undefined);
