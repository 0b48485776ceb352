/* Decimal adjustment (AAA AAS AAM AAD DAA DAS) and BOUND: not in 64-bit code. Undefined flags as measured on Intel
 * processors: AAA, AAS: SF = OF = 0, ZF and PF from AL; DAA, DAS: OF = 0; AAM: CF = AF = OF = 0; AAD: those of
 * its addition. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

static void bcd_flags(struct interp *cpu, uint8_t al, bool cf, bool af)
{
    flags_set(cpu, (uint64_t)(int64_t)(int8_t)al, cf, false, af);
}

static void ascii_adjust(struct interp *cpu, int direction)
{
    uint16_t ax = cpu->r[CPU_RAX].w;
    bool adjust = (ax & 0x0F) > 9 || flag_af(cpu);

    if (adjust)
        ax = (uint16_t)(ax + direction * 0x106);
    ax &= 0xFF0F;
    cpu->r[CPU_RAX].w = ax;
    flags_set(cpu, (uint8_t)ax, adjust, false, adjust);
}
EXEC_REG(aaa, ascii_adjust(cpu, 1))
EXEC_REG(aas, ascii_adjust(cpu, -1))

static void decimal_adjust(struct interp *cpu, int direction)
{
    uint8_t old = cpu->r[CPU_RAX].b, al = old;
    bool low = (old & 0x0F) > 9 || flag_af(cpu), high = old > 0x99 || flag_cf(cpu);
    bool cf = high;

    if (low) {
        cf = cf || (direction > 0 ? al > 0xFF - 6 : al < 6);
        al = (uint8_t)(al + direction * 6);
    }
    if (high)
        al = (uint8_t)(al + direction * 0x60);
    cpu->r[CPU_RAX].b = al;
    bcd_flags(cpu, al, cf, low);
}
EXEC_REG(daa, decimal_adjust(cpu, 1))
EXEC_REG(das, decimal_adjust(cpu, -1))

EXEC_STATIC(aam)
{
    uint8_t base = (uint8_t)i->imm, al = cpu->r[CPU_RAX].b;

    if (base == 0)
        RAISE(EXC_DE);
    cpu->r[CPU_RAX].w = (uint16_t)((al / base) << 8 | al % base);
    bcd_flags(cpu, cpu->r[CPU_RAX].b, false, false);
    NEXT;
}

EXEC_STATIC(aad)
{
    uint8_t tens = (uint8_t)(reg_get8(cpu, REG_AH) * (uint8_t)i->imm);

    cpu->r[CPU_RAX].w = alu_add8(cpu, reg_get8(cpu, REG_AL), tens);
    NEXT;
}
FORMS_ANY(forms_aaa, aaa_reg);
FORMS_ANY(forms_aas, aas_reg);
FORMS_ANY(forms_daa, daa_reg);
FORMS_ANY(forms_das, das_reg);
FORMS_ANY(forms_aam, aam);
FORMS_ANY(forms_aad, aad);

/* BOUND: signed index against a pair in memory. */
EXEC_STATIC(bound16)
{
    uint64_t linear = ea_general(cpu, i, 4, TLB_READ);
    int16_t index = (int16_t)cpu->r[i->reg].w, low = (int16_t)ld16(cpu, i, linear);

    if (index < low || index > (int16_t)ld16(cpu, i, linear + 2))
        RAISE(EXC_BR);
    NEXT;
}
EXEC_STATIC(bound32)
{
    uint64_t linear = ea_general(cpu, i, 8, TLB_READ);
    int32_t index = (int32_t)cpu->r[i->reg].d, low = (int32_t)ld32(cpu, i, linear);

    if (index < low || index > (int32_t)ld32(cpu, i, linear + 4))
        RAISE(EXC_BR);
    NEXT;
}
const struct insn_forms forms_bound = {
    .fn = {{0}, {0, bound16, bound16, bound16}, {0, bound32, bound32, bound32}, {0}}};
