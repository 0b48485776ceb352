/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE, RDPID, RDPKRU, WRPKRU, INVPCID (Intel SDM vol. 2; vol. 3, 4.6.2, 4.10.4).
 *
 * Not modelled: translations kept apart by PCID. MOV to CR3 drops them with every PCID and with bit 63 as well, as the
 * manual allows, so that none of another PCID is ever there. */
#include "accel-interp/system.h"

/* ---- segment bases -------------------------------------------------------------------------------------------------- */

static void require_fsgsbase(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->cr4 & CR4_FSGSBASE))
        RAISE(EXC_UD);
}

static void read_base(struct interp *cpu, const struct insn *i, unsigned segment)
{
    uint64_t base = cpu->seg[segment].base;

    require_fsgsbase(cpu, i);
    cpu->r[i->rm].q = insn_osize(i) == 3 ? base : (uint32_t)base;
}

static void write_base(struct interp *cpu, const struct insn *i, unsigned segment)
{
    uint64_t base = insn_osize(i) == 3 ? cpu->r[i->rm].q : cpu->r[i->rm].d;

    require_fsgsbase(cpu, i);
    if (!mmu_canonical(base))
        RAISE_ERROR(EXC_GP, 0);
    cpu->seg[segment].base = base;
}

#define BASE_FUNCTIONS_(name, segment)                                                                                 \
    EXEC_STATIC(exec_rd##name##base)                                                                                   \
    {                                                                                                                  \
        read_base(cpu, i, segment);                                                                                    \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(exec_wr##name##base)                                                                                   \
    {                                                                                                                  \
        write_base(cpu, i, segment);                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_ANY(forms_rd##name##base, exec_rd##name##base);                                                              \
    FORMS_ANY(forms_wr##name##base, exec_wr##name##base);
BASE_FUNCTIONS_(fs, CPU_FS)
BASE_FUNCTIONS_(gs, CPU_GS)

EXEC_STATIC(exec_rdpid)
{
    cpu->r[i->rm].q = (uint32_t)cpu->s.tsc_aux;
    NEXT;
}
FORMS_ANY(forms_rdpid, exec_rdpid);

/* ---- protection keys ------------------------------------------------------------------------------------------------ */

static void require_pke(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->cr4 & CR4_PKE))
        RAISE(EXC_UD);
    if (cpu->r[CPU_RCX].d)
        RAISE_ERROR(EXC_GP, 0);
}

EXEC_STATIC(exec_rdpkru)
{
    require_pke(cpu, i);
    cpu->r[CPU_RAX].q = cpu->s.pkru;
    cpu->r[CPU_RDX].q = 0;
    NEXT;
}

EXEC_STATIC(exec_wrpkru)
{
    require_pke(cpu, i);
    if (cpu->r[CPU_RDX].d)
        RAISE_ERROR(EXC_GP, 0);
    mmu_write_pkru(cpu, cpu->r[CPU_RAX].d);
    NEXT;
}
FORMS_ANY(forms_rdpkru, exec_rdpkru);
FORMS_ANY(forms_wrpkru, exec_wrpkru);

/* ---- INVPCID -------------------------------------------------------------------------------------------------------- */

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_NOT_GLOBAL };

static void invalidate(struct interp *cpu, uint64_t type, uint64_t pcid, uint64_t linear)
{
    bool current = !(cpu->cr4 & CR4_PCIDE) || (cpu->cr3 & CR3_PCID) == pcid;

    switch (type) {
    case INVPCID_ADDRESS:
        if (current)
            mmu_flush_page(cpu, linear);
        break;
    case INVPCID_CONTEXT:
        if (current)
            mmu_flush_non_global(cpu);
        break;
    case INVPCID_ALL: mmu_flush_all(cpu); break;
    default: mmu_flush_non_global(cpu);
    }
}

static __attribute__((noinline)) void invpcid(struct interp *cpu, const struct insn *i)
{
    uint64_t type = in_code64(cpu) ? cpu->r[i->reg].q : cpu->r[i->reg].d, descriptor[2];

    require_cpl0(cpu, i);
    mem_read_buffer(cpu, i, ea_general(cpu, i, sizeof descriptor, TLB_READ), descriptor, sizeof descriptor);
    if (type > INVPCID_ALL_NOT_GLOBAL || (descriptor[0] & ~(uint64_t)CR3_PCID))
        RAISE_ERROR(EXC_GP, 0);
    if (type <= INVPCID_CONTEXT && !(cpu->cr4 & CR4_PCIDE) && descriptor[0])
        RAISE_ERROR(EXC_GP, 0);
    if (type == INVPCID_ADDRESS && !mmu_canonical(descriptor[1]))
        RAISE_ERROR(EXC_GP, 0);
    invalidate(cpu, type, descriptor[0], descriptor[1]);
}

EXEC_STATIC(exec_invpcid)
{
    invpcid(cpu, i);
    return END_FALL();
}
FORMS_ANY(forms_invpcid, exec_invpcid);
