/* Control and debug registers, CLTS, LMSW, SMSW, INVLPG (Intel SDM vol. 2 MOV CR, MOV DR; vol. 3, 2.5, 4.10.4, 17.2).
 *
 * Not modelled: caches (CR0.CD and NW are storage), CR4.PCE's effect (RDPMC has no counters). */
#include "accel-interp/system.h"

/* CR0 bits that change what a translation gives. */
#define CR0_PAGING (CR0_PG | CR0_WP | CR0_PE)
#define CR4_PAGING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_PCIDE | CR4_PKE)

static bool pae_legacy(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static void check_cr0(struct interp *cpu, const struct insn *i, uint64_t value)
{
    bool bad = ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD));

    if ((value & CR0_PG) && !(cpu->cr0 & CR0_PG) && (cpu->efer & EFER_LME))
        bad |= !(cpu->cr4 & CR4_PAE) || (cpu->seg[CPU_CS].attributes & SEG_L);
    if (!(value & CR0_PG) && (in_code64(cpu) || (cpu->cr4 & CR4_PCIDE)))
        bad = true;
    if (bad)
        RAISE_ERROR(EXC_GP, 0);
}

static void write_cr0(struct interp *cpu, const struct insn *i, uint64_t value)
{
    uint64_t efer = cpu->efer & ~(uint64_t)EFER_LMA, changed;

    if (value >> 32)
        RAISE_ERROR(EXC_GP, 0);
    value = (value & CR0_ALL) | CR0_ET;
    check_cr0(cpu, i, value);
    if ((value & CR0_PG) && (efer & EFER_LME))
        efer |= EFER_LMA;
    changed = value ^ cpu->cr0;
    if ((changed & (CR0_PG | CR0_CD | CR0_NW)) && pae_legacy(value, cpu->cr4, efer))
        mmu_load_pdptes(cpu, i, cpu->cr3);
    cpu->cr0 = value;
    cpu->efer = efer;
    if (changed & CR0_PAGING)
        mmu_flush_all(cpu);
    if (changed & CR0_PE)
        seg_update_all(cpu);
    cpu_update_mode(cpu);
}

static void write_cr3(struct interp *cpu, const struct insn *i, uint64_t value)
{
    if (cpu->cr4 & CR4_PCIDE)
        value &= ~CR3_NO_FLUSH; /* "need not" flush: flushing is allowed */
    if ((cpu->mode & MODE_LONG) && (value & ~PHYSICAL_MASK))
        RAISE_ERROR(EXC_GP, 0);
    if (pae_legacy(cpu->cr0, cpu->cr4, cpu->efer))
        mmu_load_pdptes(cpu, i, value);
    cpu->cr3 = value;
    mmu_flush_non_global(cpu);
}

static void write_cr4(struct interp *cpu, const struct insn *i, uint64_t value)
{
    uint64_t changed = value ^ cpu->cr4;

    if ((changed && (value & ~cpu->features.cr4)) || ((cpu->mode & MODE_LONG) && !(value & CR4_PAE)))
        RAISE_ERROR(EXC_GP, 0);
    if ((changed & value & CR4_PCIDE) && (!(cpu->mode & MODE_LONG) || (cpu->cr3 & CR3_PCID)))
        RAISE_ERROR(EXC_GP, 0);
    if ((changed & CR4_PAGING) && pae_legacy(cpu->cr0, value, cpu->efer))
        mmu_load_pdptes(cpu, i, cpu->cr3);
    cpu->cr4 = value;
    if (changed & CR4_PAGING)
        mmu_flush_all(cpu);
    cpu_update_mode(cpu);
}

static void write_cr8(struct interp *cpu, const struct insn *i, uint64_t value)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);

    if (value > 15)
        RAISE_ERROR(EXC_GP, 0);
    require_single(cpu, i);
    if (link.ops)
        link.ops->write_cr8(link.opaque, (uint8_t)value);
}

static uint64_t read_cr8(struct interp *cpu, const struct insn *i)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);

    require_single(cpu, i);
    return link.ops ? link.ops->read_cr8(link.opaque) : 0;
}

/* A register that does not exist is #UD before the privilege is looked at. */
static void require_cr(struct interp *cpu, const struct insn *i)
{
    if (i->reg > 8 || !(0x11Du >> i->reg & 1))
        RAISE(EXC_UD);
    require_cpl0(cpu, i);
}

EXEC_STATIC(exec_mov_to_cr)
{
    uint64_t value = in_code64(cpu) ? cpu->r[i->rm].q : cpu->r[i->rm].d;

    require_cr(cpu, i);
    switch (i->reg) {
    case 0: write_cr0(cpu, i, value); break;
    case 2: cpu->cr2 = value; break;
    case 3: write_cr3(cpu, i, value); break;
    case 4: write_cr4(cpu, i, value); break;
    case 8: write_cr8(cpu, i, value); break;
    default: RAISE(EXC_UD);
    }
    return END_FALL();
}

EXEC_STATIC(exec_mov_from_cr)
{
    uint64_t value;

    require_cr(cpu, i);
    switch (i->reg) {
    case 0: value = cpu->cr0; break;
    case 2: value = cpu->cr2; break;
    case 3: value = cpu->cr3; break;
    case 4: value = cpu->cr4; break;
    case 8: value = read_cr8(cpu, i); break;
    default: RAISE(EXC_UD);
    }
    cpu->r[i->rm].q = in_code64(cpu) ? value : (uint32_t)value;
    NEXT;
}

/* Which register a DR operand means, after the checks. */
static unsigned debug_register(struct interp *cpu, const struct insn *i)
{
    unsigned number = i->reg;

    if (number > 7 || (number / 2 == 2 && (cpu->cr4 & CR4_DE)))
        RAISE(EXC_UD);
    require_cpl0(cpu, i);
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[7] &= ~(uint64_t)DR7_GD;
        cpu->dr[6] |= DR6_BD;
        cpu->sysflags |= FLAG_RF; /* a fault that no instruction breakpoint made: pushed as 1 */
        RAISE(EXC_DB);
    }
    return number / 2 == 2 ? number + 2 : number;
}

EXEC_STATIC(exec_mov_to_dr)
{
    unsigned number = debug_register(cpu, i);
    uint64_t value = in_code64(cpu) ? cpu->r[i->rm].q : cpu->r[i->rm].d;

    if (number >= 6 && (value >> 32))
        RAISE_ERROR(EXC_GP, 0);
    debug_write_register(cpu, number, value);
    return END_FALL();
}

EXEC_STATIC(exec_mov_from_dr)
{
    uint64_t value = cpu->dr[debug_register(cpu, i)];

    cpu->r[i->rm].q = in_code64(cpu) ? value : (uint32_t)value;
    NEXT;
}

EXEC_STATIC(exec_clts)
{
    require_cpl0(cpu, i);
    cpu->cr0 &= ~(uint64_t)CR0_TS;
    cpu_update_usable(cpu);
    return END_FALL();
}

EXEC_STATIC(exec_lmsw)
{
    uint64_t value;

    require_cpl0(cpu, i);
    value = rm_read16(cpu, i) & 0xFu;
    write_cr0(cpu, i, (cpu->cr0 & ~0xEull) | value); /* PE can be set, not cleared */
    return END_FALL();
}

EXEC_STATIC(exec_smsw)
{
    require_umip(cpu, i);
    rm_write_selector(cpu, i, cpu->cr0);
    NEXT;
}

EXEC_STATIC(exec_invlpg)
{
    uint64_t offset = ea_mask(ea_offset(cpu, i), insn_asize(i));

    require_cpl0(cpu, i);
    if (!in_code64(cpu))
        offset = (uint32_t)(cpu->seg[i->seg].base + offset);
    else if (i->seg >= CPU_FS)
        offset += cpu->seg[i->seg].base;
    mmu_flush_page(cpu, offset);
    return END_FALL();
}

/* WBINVD, INVD: there are no caches. */
EXEC_STATIC(exec_wbinvd)
{
    require_cpl0(cpu, i);
    NEXT;
}

FORMS_ANY(forms_mov_to_cr, exec_mov_to_cr);
FORMS_ANY(forms_mov_from_cr, exec_mov_from_cr);
FORMS_ANY(forms_mov_to_dr, exec_mov_to_dr);
FORMS_ANY(forms_mov_from_dr, exec_mov_from_dr);
FORMS_ANY(forms_clts, exec_clts);
FORMS_ANY(forms_lmsw, exec_lmsw);
FORMS_ANY(forms_smsw, exec_smsw);
FORMS_ANY(forms_invlpg, exec_invlpg);
FORMS_ANY(forms_wbinvd, exec_wbinvd);
