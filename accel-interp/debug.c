/* Debug registers, single stepping and #DB (Intel SDM vol. 3, chapter 17). See debug.h for the hooks.
 *
 * Pages with enabled data breakpoints stay out of the TLB views, so that the accesses come by here.
 * Not modelled: LBR, BTS, RTM; with BTF a branch to the instruction that follows it does not trap. */
#include "accel-interp/debug.h"

#include "accel-interp/mmu.h"

enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_ACCESS };

static bool enabled(const struct interp *cpu, unsigned n)
{
    return (cpu->dr[7] >> (2 * n)) & 3;
}
static unsigned kind(const struct interp *cpu, unsigned n)
{
    return (cpu->dr[7] >> (16 + 4 * n)) & 3;
}
static unsigned length(const struct interp *cpu, unsigned n)
{
    static const uint8_t bytes[] = {1, 2, 8, 4};
    return bytes[(cpu->dr[7] >> (18 + 4 * n)) & 3];
}

static bool overlaps(const struct interp *cpu, unsigned n, uint64_t address, unsigned size_bytes)
{
    uint64_t start = cpu->dr[n] & ~(uint64_t)(length(cpu, n) - 1);

    return address < start + length(cpu, n) && start < address + size_bytes;
}

bool debug_watches_page(const struct interp *cpu, uint64_t page)
{
    for (unsigned n = 0; n < 4; n++) {
        bool data = kind(cpu, n) == BREAK_WRITE || kind(cpu, n) == BREAK_ACCESS;
        if (enabled(cpu, n) && data && TLB_PAGE(cpu->dr[n]) == page)
            return true;
    }
    return false;
}

static void note_hits(struct interp *cpu, const struct insn *i, uint64_t hits)
{
    if (!hits)
        return;
    if (i && !cpu->single)
        interp_redo_single(cpu, i);
    cpu->s.pending_debug |= hits;
    cpu->stop_chain = true;
}

void debug_check_data(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, bool write)
{
    uint64_t hits = 0;

    for (unsigned n = 0; n < 4; n++) {
        bool fits = kind(cpu, n) == BREAK_ACCESS || (write && kind(cpu, n) == BREAK_WRITE);
        if (enabled(cpu, n) && fits && overlaps(cpu, n, linear, size_bytes))
            hits |= 1u << n;
    }
    note_hits(cpu, i, hits);
}

void debug_check_io(struct interp *cpu, const struct insn *i, uint16_t port, unsigned size_bytes)
{
    uint64_t hits = 0;

    if (!(cpu->cr4 & CR4_DE))
        return;
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(cpu, n) && kind(cpu, n) == BREAK_IO && overlaps(cpu, n, port, size_bytes))
            hits |= 1u << n;
    }
    note_hits(cpu, i, hits);
}

_Noreturn static void raise_debug(struct interp *cpu, uint64_t bits)
{
    cpu->dr[6] = (cpu->dr[6] & ~0xFull) | bits;
    cpu->dr[7] &= ~(uint64_t)DR7_GD;
    cpu->s.pending_debug = 0;
    cpu->step_trap = false;
    interp_raise(cpu, NULL, EXC_DB);
}

static uint64_t execution_hits(const struct interp *cpu)
{
    uint64_t linear = cpu->rip, hits = 0;

    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64)
        linear = (uint32_t)(cpu->seg[CPU_CS].base + cpu->rip);
    for (unsigned n = 0; n < 4; n++) {
        if (enabled(cpu, n) && kind(cpu, n) == BREAK_EXECUTE && cpu->dr[n] == linear)
            hits |= 1u << n;
    }
    return hits;
}

/* An interrupt that VME or PVI has kept waiting is wanted now (SDM vol. 3, 20.3.2). */
static bool virtual_interrupt(const struct interp *cpu)
{
    bool pending = (cpu->sysflags & (FLAG_VIF | FLAG_VIP)) == (FLAG_VIF | FLAG_VIP);

    return pending && cpu->cpl == 3 && (cpu->sysflags & FLAG_IOPL) != FLAG_IOPL &&
           (cpu->cr4 & (cpu->mode & MODE_VM86 ? CR4_VME : CR4_PVI));
}

void debug_before_step(struct interp *cpu)
{
    bool resumed = cpu->sysflags & FLAG_RF;

    cpu->sysflags &= ~FLAG_RF;           /* a fault sets it again in the image it pushes */
    if (cpu->s.pending_debug & DR6_BT) { /* task switch: before the new task's first instruction, no step of its own */
        cpu->in_delivery = true;
        raise_debug(cpu, cpu->s.pending_debug);
    }
    if (virtual_interrupt(cpu))
        interp_raise_error(cpu, NULL, EXC_GP, 0);
    cpu->step_trap = cpu->sysflags & FLAG_TF;
    if (!resumed && (cpu->dr[7] & DR7_ENABLED) && !cpu->s.mov_ss_shadow) {
        uint64_t hits = execution_hits(cpu);
        if (hits)
            raise_debug(cpu, hits | (cpu->s.pending_debug & ~0xFull));
    }
}

/* With IA32_DEBUGCTL.BTF only branches trap. A repeated string instruction that goes on is none. */
static bool step_traps(const struct interp *cpu, uint64_t start_rip, uint64_t next_rip)
{
    bool repeats = cpu->rip == start_rip && (cpu->sysflags & FLAG_RF);

    if (!cpu->step_trap || !(cpu->s.debug_control & DEBUG_CONTROL_BTF))
        return cpu->step_trap;
    return cpu->rip != next_rip && !repeats;
}

void debug_after_step(struct interp *cpu, uint64_t start_rip, uint64_t next_rip)
{
    uint64_t bits = cpu->s.pending_debug | (step_traps(cpu, start_rip, next_rip) ? DR6_BS : 0);

    if (cpu->s.mov_ss_shadow) {
        cpu->s.pending_debug = bits & ~(uint64_t)DR6_BS; /* MOV SS: a step trap is lost, a data breakpoint waits */
        cpu->step_trap = false;
        return;
    }
    if (bits)
        raise_debug(cpu, bits);
}

void debug_write_register(struct interp *cpu, unsigned number, uint64_t value)
{
    if (number == 6)
        cpu->dr[6] = (value & 0xE00Full) | DR6_FIXED;
    else if (number == 7)
        cpu->dr[7] = (value & 0xFFFF2BFFull) | DR7_FIXED;
    else
        cpu->dr[number] = value;
    if (number != 6)
        mmu_drop_views(cpu);
}
