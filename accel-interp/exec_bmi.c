/* BMI1, BMI2, LZCNT (Intel SDM vol. 2). Undefined flags as measured on Intel processors: whatever flag the manual leaves open
 * is 0 afterwards (AF and PF always, SF of BEXTR, TZCNT and LZCNT). */
#include "accel-interp/exec.h"

/* OF AF PF are 0. */
static inline void bmi_flags(struct interp *cpu, bool zf, bool sf, bool cf)
{
    cpu->lf_result = zf ? 0 : (uint64_t)sf << 63 | 1;
    cpu->lf_aux = (uint64_t)cf << 63 | (uint64_t)cf << 62 | (uint64_t)zf << 8;
}

/* One operation of both widths; src is the r/m operand, v the register in vvvv. */
#define BMI_WIDTH(name, bits, ...)                                                                                     \
    static inline void name##_do##bits(struct interp *cpu, const struct insn *i, uint##bits##_t src)                   \
    {                                                                                                                  \
        const uint##bits##_t v = reg_get##bits(cpu, insn_vvvv(i));                                                     \
        (void)v;                                                                                                       \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    EXEC_REG(name##bits, name##_do##bits(cpu, i, reg_get##bits(cpu, i->rm)))                                           \
    EXEC_LOAD(name##bits, bits, name##_do##bits(cpu, i, src))
#define BMI(name, body)                                                                                                \
    BMI_WIDTH(name, 32, body(32))                                                                                      \
    BMI_WIDTH(name, 64, body(64))                                                                                      \
    const struct insn_forms forms_##name = {.fn = {[2] = FORMS_ENTRY_(name##32), [3] = FORMS_ENTRY_(name##64)}}

#define SIGN(value, bits) ((value) >> ((bits)-1))
#define ANDN(bits)                                                                                                     \
    const uint##bits##_t result = ~v & src;                                                                            \
    reg_set##bits(cpu, i->reg, result);                                                                                \
    bmi_flags(cpu, !result, SIGN(result, bits), false)
#define BLSR(bits)                                                                                                     \
    const uint##bits##_t result = src & (src - 1);                                                                     \
    reg_set##bits(cpu, insn_vvvv(i), result);                                                                          \
    bmi_flags(cpu, !result, SIGN(result, bits), !src)
#define BLSMSK(bits)                                                                                                   \
    const uint##bits##_t result = src ^ (src - 1);                                                                     \
    reg_set##bits(cpu, insn_vvvv(i), result);                                                                          \
    bmi_flags(cpu, !result, SIGN(result, bits), !src)
#define BLSI(bits)                                                                                                     \
    const uint##bits##_t result = src & (0 - src);                                                                     \
    reg_set##bits(cpu, insn_vvvv(i), result);                                                                          \
    bmi_flags(cpu, !result, SIGN(result, bits), src != 0)
/* src shifted right by start, length bits of it. */
static inline uint64_t field(uint64_t src, unsigned start, unsigned length)
{
    uint64_t shifted = start < 64 ? src >> start : 0;

    return length < 64 ? shifted & ((1ull << length) - 1) : shifted;
}
#define BEXTR(bits)                                                                                                    \
    const uint##bits##_t result = (uint##bits##_t)field(src, v & 0xFF, v >> 8 & 0xFF);                                 \
    reg_set##bits(cpu, i->reg, result);                                                                                \
    bmi_flags(cpu, !result, false, false)
#define BZHI(bits)                                                                                                     \
    const unsigned index = v & 0xFF;                                                                                   \
    const uint##bits##_t result = (uint##bits##_t)field(src, 0, index);                                                \
    reg_set##bits(cpu, i->reg, result);                                                                                \
    bmi_flags(cpu, !result, SIGN(result, bits), index >= (bits))
BMI(andn, ANDN);
BMI(blsr, BLSR);
BMI(blsmsk, BLSMSK);
BMI(blsi, BLSI);
BMI(bextr, BEXTR);
BMI(bzhi, BZHI);

/* ---- no flags ------------------------------------------------------------------------------------------------- */

static uint64_t deposit(uint64_t src, uint64_t mask)
{
    uint64_t result = 0;

    for (; mask; mask &= mask - 1, src >>= 1)
        if (src & 1)
            result |= mask & (0 - mask);
    return result;
}
static uint64_t extract(uint64_t src, uint64_t mask)
{
    uint64_t result = 0;

    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        if (src & mask & (0 - mask))
            result |= 1ull << n;
    return result;
}
#define PDEP(bits) reg_set##bits(cpu, i->reg, (uint##bits##_t)deposit(v, src))
#define PEXT(bits) reg_set##bits(cpu, i->reg, (uint##bits##_t)extract(v, src))
#define RORX(bits)                                                                                                     \
    const unsigned count = insn_imm8(i) & ((bits)-1);                                                                  \
    reg_set##bits(cpu, i->reg, count ? src >> count | src << ((bits)-count) : src)
#define SARX(bits) reg_set##bits(cpu, i->reg, (uint##bits##_t)((int##bits##_t)src >> (v & ((bits)-1))))
#define SHLX(bits) reg_set##bits(cpu, i->reg, src << (v & ((bits)-1)))
#define SHRX(bits) reg_set##bits(cpu, i->reg, src >> (v & ((bits)-1)))
__extension__ typedef unsigned __int128 bmi_u128;
typedef uint64_t bmi_u64;
#define WIDE_32 bmi_u64
#define WIDE_64 bmi_u128
/* The low half first: when both destinations are one register it is the high half. */
#define MULX(bits)                                                                                                     \
    const WIDE_##bits product = (WIDE_##bits)reg_get##bits(cpu, CPU_RDX) * src;                                        \
    reg_set##bits(cpu, insn_vvvv(i), (uint##bits##_t)product);                                                         \
    reg_set##bits(cpu, i->reg, (uint##bits##_t)(product >> (bits)))
BMI(pdep, PDEP);
BMI(pext, PEXT);
BMI(rorx, RORX);
BMI(sarx, SARX);
BMI(shlx, SHLX);
BMI(shrx, SHRX);
BMI(mulx, MULX);

/* ---- TZCNT, LZCNT --------------------------------------------------------------------------------------------- */

#define COUNT_WIDTH(bits, name)                                                                                        \
    static inline void name##_do##bits(struct interp *cpu, const struct insn *i, uint##bits##_t src)                   \
    {                                                                                                                  \
        const unsigned count = src ? name(src, bits) : (bits);                                                         \
        reg_set##bits(cpu, i->reg, (uint##bits##_t)count);                                                             \
        bmi_flags(cpu, !count, false, !src);                                                                           \
    }                                                                                                                  \
    EXEC_REG(name##bits, name##_do##bits(cpu, i, reg_get##bits(cpu, i->rm)))                                           \
    EXEC_LOAD(name##bits, bits, name##_do##bits(cpu, i, src))
static inline unsigned tzcnt(uint64_t value, unsigned bits)
{
    (void)bits;
    return (unsigned)__builtin_ctzll(value);
}
static inline unsigned lzcnt(uint64_t value, unsigned bits)
{
    return (unsigned)__builtin_clzll(value) - (64 - bits);
}
EXEC_SIZES_NOT8(COUNT_WIDTH, tzcnt)
EXEC_SIZES_NOT8(COUNT_WIDTH, lzcnt)
FORMS_SIZES_NOT8(forms_tzcnt, tzcnt);
FORMS_SIZES_NOT8(forms_lzcnt, lzcnt);
