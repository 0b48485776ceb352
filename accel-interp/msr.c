/* Model-specific registers (Intel SDM vol. 4; vol. 3, 12.11 for MTRRs and 12.12 for PAT).
 *
 * MTRRs and PAT are storage: there are no caches. IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC block belong to the
 * local APIC behind the cpu_link, which counts in machine TSC ticks: the deadline is converted by the TSC offset.
 * Not modelled: microcode update (the trigger is ignored), IA32_DEBUGCTL but BTF (LBR and BTS: #GP). */
#include "accel-interp/msr.h"

#include "accel-interp/system.h"
#include "accel-interp/unimplemented.h"

#include <stdio.h>

/* Nothing here speculates: RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO,
 * FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO. */
#define ARCH_CAPABILITIES 0x0D10E179ull
#define MTRR_CAP 0x508ull /* 8 variable ranges, fixed ranges, write-combining */
/* Ratio 10 of a 100 MHz bus clock: the 1 GHz of the TSC. */
#define PLATFORM_INFO ((10ull << 8) | (10ull << 40))
#define MISC_ENABLE_FIXED 0x1800ull /* no BTS, no PEBS */

_Noreturn static void refuse(struct interp *cpu, const struct insn *i)
{
    interp_raise_error(cpu, i, EXC_GP, 0);
}

/* Registers that this CPU rightly does not have: refused without being named. */
static bool known_absent(uint32_t index)
{
    return index == MSR_MISC_FEATURES || (index >= MSR_AMD_FIRST && index <= MSR_AMD_LAST);
}

_Noreturn static void unknown(struct interp *cpu, const struct insn *i, uint32_t index, const char *verb)
{
    char name[48];

    if (known_absent(index))
        refuse(cpu, i);
    snprintf(name, sizeof name, "%s %#x", verb, index);
    interp_sync_position(cpu, i);
    unimplemented_log_add_msr(cpu->unimplemented_log, name, machine_position(cpu->accel.machine).icount,
                              interp_rip(cpu, i));
    refuse(cpu, i);
}

static bool in_apic(uint32_t index)
{
    return index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE ||
           (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST);
}

static uint64_t read_apic(struct interp *cpu, const struct insn *i, uint32_t index)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    uint64_t value;

    require_single(cpu, i);
    if (!link.ops || !link.ops->read_msr(link.opaque, index, &value))
        refuse(cpu, i);
    return index == MSR_TSC_DEADLINE && value ? value + cpu->s.tsc_offset : value;
}

static void write_apic(struct interp *cpu, const struct insn *i, uint32_t index, uint64_t value)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);

    require_single(cpu, i);
    if (index == MSR_TSC_DEADLINE && value)
        value -= cpu->s.tsc_offset;
    if (!link.ops || !link.ops->write_msr(link.opaque, index, value))
        refuse(cpu, i);
}

/* MSRs that are one field of the state, readable as they are. */
static uint64_t *storage(struct interp *cpu, uint32_t index)
{
    struct cpu_state *s = &cpu->s;

    switch (index) {
    case MSR_BIOS_SIGN_ID: return &s->bios_sign_id;
    case MSR_MCG_STATUS: return cpu->features.mca ? &s->mcg_status : NULL;
    case MSR_SYSENTER_CS: return &s->sysenter_cs;
    case MSR_SYSENTER_ESP: return &s->sysenter_esp;
    case MSR_SYSENTER_EIP: return &s->sysenter_eip;
    case MSR_PAT: return &s->pat;
    case MSR_MTRR_DEF_TYPE: return &s->mtrr_def_type;
    case MSR_MTRR_FIXED_64K: return &s->mtrr_fixed[0];
    case MSR_MTRR_FIXED_16K:
    case MSR_MTRR_FIXED_16K + 1: return &s->mtrr_fixed[1 + index - MSR_MTRR_FIXED_16K];
    case MSR_STAR: return &s->star;
    case MSR_LSTAR: return &s->lstar;
    case MSR_CSTAR: return &s->cstar;
    case MSR_SFMASK: return &s->sfmask;
    case MSR_FS_BASE: return &cpu->seg[CPU_FS].base;
    case MSR_GS_BASE: return &cpu->seg[CPU_GS].base;
    case MSR_KERNEL_GS_BASE: return &s->kernel_gs_base;
    case MSR_DEBUG_CONTROL: return &s->debug_control;
    case MSR_XSS: return cpu->features.xsaves ? &s->xss : NULL;
    case MSR_TSC_AUX: return cpu->features.rdtscp ? &s->tsc_aux : NULL;
    default: break;
    }
    if (index >= MSR_MTRR_FIXED_4K && index < MSR_MTRR_FIXED_4K + 8)
        return &s->mtrr_fixed[3 + index - MSR_MTRR_FIXED_4K];
    if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 16)
        return &s->mtrr_variable[index - MSR_MTRR_VARIABLE];
    return NULL;
}

uint64_t msr_read(struct interp *cpu, const struct insn *i, uint32_t index)
{
    const uint64_t *field = storage(cpu, index);

    if (field)
        return *field;
    if (in_apic(index))
        return read_apic(cpu, i, index);
    switch (index) {
    case MSR_TSC: return cpu_tsc(cpu, i);
    case MSR_TSC_ADJUST:
        if (cpu->features.tsc_adjust)
            return cpu->s.tsc_adjust;
        break;
    case MSR_PLATFORM_ID: return 0;
    case MSR_FEATURE_CONTROL: return 1; /* locked: no VMX */
    case MSR_PLATFORM_INFO: return PLATFORM_INFO;
    case MSR_MTRR_CAP: return MTRR_CAP;
    case MSR_ARCH_CAPABILITIES:
        if (cpu->features.arch_capabilities)
            return ARCH_CAPABILITIES;
        break;
    case MSR_MCG_CAP:
        if (cpu->features.mca)
            return 0; /* no banks: nothing here reports errors */
        break;
    case MSR_MISC_ENABLE: return cpu->s.misc_enable | MISC_ENABLE_FIXED;
    case MSR_EFER: return cpu->efer;
    default: break;
    }
    unknown(cpu, i, index, "RDMSR");
}

/* ---- writes --------------------------------------------------------------------------------------------------------- */

static bool memory_types_valid(uint64_t value, bool pat)
{
    for (unsigned n = 0; n < 8; n++) {
        uint8_t type = (uint8_t)(value >> (8 * n));
        if (type == 2 || type == 3 || type > (pat ? 7 : 6) || (!pat && type == 7))
            return false;
    }
    return true;
}

/* Is value allowed in a storage MSR? */
static bool storable(uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_SYSENTER_ESP:
    case MSR_SYSENTER_EIP:
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_KERNEL_GS_BASE: return mmu_canonical(value);
    case MSR_PAT: return memory_types_valid(value, true);
    case MSR_MTRR_DEF_TYPE: return !(value & ~0xCFFull) && memory_types_valid(value & 0xFF, false);
    case MSR_TSC_AUX:
    case MSR_SFMASK: return !(value >> 32);
    case MSR_DEBUG_CONTROL: return !(value & ~(uint64_t)DEBUG_CONTROL_BTF);
    case MSR_XSS: /* no supervisor components */
    case MSR_MCG_STATUS: return value == 0;
    default: break;
    }
    if (index >= MSR_MTRR_VARIABLE && index < MSR_MTRR_VARIABLE + 16) {
        uint64_t reserved = ~PHYSICAL_MASK | (index & 1 ? 0x7FFu : 0xF00u);
        return !(value & reserved) && (index & 1 || memory_types_valid(value & 0xFF, false));
    }
    if (index >= MSR_MTRR_FIXED_64K && index < MSR_MTRR_FIXED_4K + 8)
        return memory_types_valid(value, false);
    return true;
}

static void write_efer(struct interp *cpu, const struct insn *i, uint64_t value)
{
    uint64_t changed = value ^ cpu->efer;

    if ((value & ~cpu->features.efer) || ((changed & EFER_LME) && (cpu->cr0 & CR0_PG)))
        refuse(cpu, i);
    cpu->efer = (value & ~(uint64_t)EFER_LMA) | (cpu->efer & EFER_LMA);
    if (changed & EFER_NXE)
        mmu_flush_all(cpu);
    cpu_update_mode(cpu);
}

static void write_tsc_adjust(struct interp *cpu, uint64_t value)
{
    cpu->s.tsc_offset += value - cpu->s.tsc_adjust;
    cpu->s.tsc_adjust = value;
}

void msr_write(struct interp *cpu, const struct insn *i, uint32_t index, uint64_t value)
{
    uint64_t *field = storage(cpu, index);

    if (field) {
        if (!storable(index, value))
            refuse(cpu, i);
        *field = value;
        return;
    }
    if (in_apic(index)) {
        write_apic(cpu, i, index, value);
        return;
    }
    switch (index) {
    case MSR_TSC: write_tsc_adjust(cpu, cpu->s.tsc_adjust + value - cpu_tsc(cpu, i)); return;
    case MSR_TSC_ADJUST:
        if (cpu->features.tsc_adjust) {
            write_tsc_adjust(cpu, value);
            return;
        }
        break;
    case MSR_MISC_ENABLE:
        if ((value & MISC_ENABLE_MONITOR) && !cpu->features.monitor)
            refuse(cpu, i);
        cpu->s.misc_enable = value & ~MISC_ENABLE_FIXED;
        return;
    case MSR_EFER: write_efer(cpu, i, value); return;
    case MSR_BIOS_UPDATE_TRIGGER: return;
    case MSR_PLATFORM_ID:
    case MSR_FEATURE_CONTROL:
    case MSR_PLATFORM_INFO:
    case MSR_MTRR_CAP:
    case MSR_ARCH_CAPABILITIES: refuse(cpu, i);
    default: break;
    }
    unknown(cpu, i, index, "WRMSR");
}
