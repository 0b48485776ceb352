/* RFLAGS: the six arithmetic flags between their lazy form (flags.h) and their bits, and the register as a whole. */
#include "accel-interp/flags.h"

uint32_t flags_arith(const struct interp *cpu)
{
    return (flag_cf(cpu) ? FLAG_CF : 0) | (flag_pf(cpu) ? FLAG_PF : 0) | (flag_af(cpu) ? FLAG_AF : 0) |
           (flag_zf(cpu) ? FLAG_ZF : 0) | (flag_sf(cpu) ? FLAG_SF : 0) | (flag_of(cpu) ? FLAG_OF : 0);
}

void flags_set_arith(struct interp *cpu, uint32_t rflags)
{
    bool cf = rflags & FLAG_CF, of = rflags & FLAG_OF;

    cpu->lf_result = rflags & FLAG_ZF ? 0 : 0x100; /* positive, low byte of even parity: aux corrects both */
    cpu->lf_aux = ((uint64_t)cf << 63) | ((uint64_t)(cf != of) << 62) | (rflags & FLAG_PF ? 0 : 0x100) |
                  (rflags & FLAG_AF ? 8 : 0) | (rflags & FLAG_SF ? 1 : 0);
}

uint64_t cpu_read_rflags(const struct interp *cpu)
{
    return cpu->sysflags | flags_arith(cpu) | FLAG_FIXED;
}

void cpu_write_rflags(struct interp *cpu, uint64_t value)
{
    const uint32_t system =
        FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;
    uint32_t changed = ((uint32_t)value & system) ^ cpu->sysflags;

    flags_set_arith(cpu, (uint32_t)value);
    cpu->sysflags = (uint32_t)value & system;
    if (changed & (FLAG_VM | FLAG_AC)) /* code size and privilege; SMAP's TLB view */
        cpu_update_mode(cpu);
}
