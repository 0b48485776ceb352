/* MONITOR and MWAIT (Intel SDM vol. 2; vol. 3, 8.10.4). See monitor.h.
 *
 * A line of 64 bytes of RAM is watched. A write to it (this CPU's stores, accessed and dirty bits that a page walk sets, DMA),
 * and the delivery of any exception or interrupt, INT n included, disarm the monitor; MWAIT without an armed monitor goes
 * on at once. MWAIT ends when the monitor is disarmed, or, with ECX bit 0, when an interrupt is wanted though IF is 0.
 * Hints (EAX) change nothing: all are C1. What may disarm it on a real CPU but need not, and here does not: writes to CR0,
 * CR3, CR4, far transfers, SYSCALL. A line of memory-mapped I/O is not watched: MWAIT goes on. */
#include "accel-interp/monitor.h"

#include "accel-interp/mmu.h"
#include "accel-interp/msr.h"
#include "accel-interp/system.h"

void monitor_unwatch(struct interp *cpu)
{
    if (cpu->monitor_flags)
        *cpu->monitor_flags &= (uint8_t)~MEMORY_PAGE_MONITOR;
    cpu->monitor_flags = NULL;
}

void monitor_watch(struct interp *cpu)
{
    struct memory_page page;

    if (!cpu->s.monitor_armed)
        return;
    page = memory_lookup(machine_memory(cpu->accel.machine), cpu->s.monitor_gpa);
    if (!page.host || !page.writable)
        return;
    cpu->monitor_flags = page.flags;
    *page.flags |= MEMORY_PAGE_MONITOR;
    mmu_protect_page(cpu, cpu->s.monitor_gpa);
}

void monitor_arm(struct interp *cpu, uint64_t gpa)
{
    uint64_t line = gpa & ~(uint64_t)(MONITOR_LINE_BYTES - 1);

    if (cpu->s.monitor_armed && cpu->s.monitor_gpa == line)
        return;
    monitor_unwatch(cpu);
    cpu->s.monitor_armed = true;
    cpu->s.monitor_gpa = line;
    monitor_watch(cpu);
}

void monitor_disarm(struct interp *cpu)
{
    monitor_unwatch(cpu);
    cpu->s.monitor_armed = false;
}

void monitor_written(struct interp *cpu, uint64_t gpa, unsigned size_bytes)
{
    if (cpu->s.monitor_armed && gpa < cpu->s.monitor_gpa + MONITOR_LINE_BYTES && cpu->s.monitor_gpa < gpa + size_bytes)
        monitor_disarm(cpu);
}

bool monitor_wait_ended(struct interp *cpu)
{
    bool interrupt = cpu->s.mwait_interrupts && machine_intr_pending(cpu->accel.machine);

    if (cpu->s.monitor_armed && !interrupt)
        return false;
    monitor_disarm(cpu);
    cpu->s.halted = cpu->s.mwaiting = false;
    return true;
}

/* ---- instructions --------------------------------------------------------------------------------------------------- */

static void require_monitor(struct interp *cpu, const struct insn *i)
{
    if (cpu->cpl != 0 || !(cpu->s.misc_enable & MISC_ENABLE_MONITOR))
        RAISE(EXC_UD);
}

static uint64_t extensions(const struct interp *cpu)
{
    return in_code64(cpu) ? cpu->r[CPU_RCX].q : cpu->r[CPU_RCX].d;
}

/* A load of one byte, as far as faults and accessed bits go. */
static bool locate(struct interp *cpu, const struct insn *i, uint64_t *gpa)
{
    uint64_t offset = ea_mask(cpu->r[CPU_RAX].q, insn_asize(i));
    uint64_t linear = seg_linear(cpu, i, i->seg, offset, 1, TLB_READ);

    return mmu_locate(cpu, i, linear, gpa);
}

static __attribute__((noinline)) void monitor(struct interp *cpu, const struct insn *i)
{
    uint64_t gpa;

    require_monitor(cpu, i);
    if (extensions(cpu))
        RAISE_ERROR(EXC_GP, 0);
    if (locate(cpu, i, &gpa))
        monitor_arm(cpu, gpa);
    else
        monitor_disarm(cpu);
}

EXEC_STATIC(exec_monitor)
{
    monitor(cpu, i);
    return END_FALL();
}

EXEC_STATIC(exec_mwait)
{
    require_monitor(cpu, i);
    if (extensions(cpu) & ~1ull)
        RAISE_ERROR(EXC_GP, 0);
    if (!cpu->s.monitor_armed)
        return END_FALL();
    cpu->rip = in_code64(cpu) ? interp_rip_next(cpu, i) : (uint32_t)interp_rip_next(cpu, i);
    cpu->s.halted = cpu->s.mwaiting = true;
    cpu->s.mwait_interrupts = cpu->r[CPU_RCX].d & 1;
    return END_LEAVE();
}

FORMS_ANY(forms_monitor, exec_monitor);
FORMS_ANY(forms_mwait, exec_mwait);
