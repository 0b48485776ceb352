/* What the exec_*.c files of system instructions share. */
#ifndef VMRR_ACCEL_INTERP_SYSTEM_H
#define VMRR_ACCEL_INTERP_SYSTEM_H

#include "accel-interp/debug.h"
#include "accel-interp/exec.h"
#include "accel-interp/segment.h"

static inline bool in_code64(const struct interp *cpu)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64;
}

static inline void require_cpl0(struct interp *cpu, const struct insn *i)
{
    if (cpu->cpl != 0)
        interp_raise_error(cpu, i, EXC_GP, 0);
}

/* SGDT, SIDT, SLDT, STR, SMSW. */
static inline void require_umip(struct interp *cpu, const struct insn *i)
{
    if ((cpu->cr4 & CR4_UMIP) && cpu->cpl != 0)
        interp_raise_error(cpu, i, EXC_GP, 0);
}

/* Before an instruction touches a device otherwise than by memory: it must be alone in its chain. */
static inline void require_single(struct interp *cpu, const struct insn *i)
{
    if (!cpu->single)
        interp_redo_single(cpu, i);
    interp_sync_position(cpu, i);
    cpu->stop_chain = true;
}

/* A general register as an operand of the instruction's size (16, 32, 64 bits). */
static inline void reg_set_osize(struct interp *cpu, const struct insn *i, unsigned n, uint64_t value)
{
    if (insn_osize(i) == 1)
        cpu->r[n].w = (uint16_t)value;
    else
        cpu->r[n].q = insn_osize(i) == 3 ? value : (uint32_t)value;
}

static inline bool insn_has_register(const struct insn *i)
{
    return i->modrm >= 0xC0;
}

/* An r/m operand of 16 bits. */
static inline uint16_t rm_read16(struct interp *cpu, const struct insn *i)
{
    return insn_has_register(i) ? cpu->r[i->rm].w : ld16(cpu, i, ea_general(cpu, i, 2, TLB_READ));
}
/* A result of 16 bits: memory takes 16, a register its operand size (high bits as given). */
static inline void rm_write_selector(struct interp *cpu, const struct insn *i, uint64_t value)
{
    if (insn_has_register(i))
        reg_set_osize(cpu, i, i->rm, value);
    else
        st16(cpu, i, ea_general(cpu, i, 2, TLB_WRITE), (uint16_t)value);
}

static inline void flags_put_zf(struct interp *cpu, bool zf)
{
    flags_set_arith(cpu, (flags_arith(cpu) & ~FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

/* The guest's TSC at instruction i. */
static inline uint64_t cpu_tsc(struct interp *cpu, const struct insn *i)
{
    interp_sync_position(cpu, i);
    return machine_tsc(cpu->accel.machine) + cpu->s.tsc_offset;
}

#endif
