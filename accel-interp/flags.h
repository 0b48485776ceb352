/* Lazy arithmetic flags. Two words say all six:
 *   lf_result  the result, sign-extended to 64 bits
 *   lf_aux     carry-outs: bit 63 = CF, bit 62 = CF ^ OF, bit 3 = AF; bits 15:8 are XORed onto the result's low byte for
 *              PF, bit 0 onto the sign for SF (both zero after ALU operations; they let any flag word be set)
 * ZF = (lf_result == 0); SF = bit 63 of lf_result ^ bit 0 of lf_aux; PF = even parity of low byte ^ aux 15:8;
 * CF = bit 63; OF = bit 63 ^ bit 62 of lf_aux; AF = bit 3. The other bits of lf_aux mean nothing and may hold anything.
 * (The idea of deferred carry-out vectors is Bochs' and Valgrind's; the encoding is ours.) */
#ifndef VMRR_ACCEL_INTERP_FLAGS_H
#define VMRR_ACCEL_INTERP_FLAGS_H

#include "accel-interp/interp.h"

#define FLAG_CF 0x0001u
#define FLAG_FIXED 0x0002u
#define FLAG_PF 0x0004u
#define FLAG_AF 0x0010u
#define FLAG_ZF 0x0040u
#define FLAG_SF 0x0080u
#define FLAG_TF 0x0100u
#define FLAG_IF 0x0200u
#define FLAG_DF 0x0400u
#define FLAG_OF 0x0800u
#define FLAG_IOPL 0x3000u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define FLAG_VIF 0x80000u
#define FLAG_VIP 0x100000u
#define FLAG_ID 0x200000u
#define FLAG_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

#define LF_CF (1ull << 63)
#define LF_PO (1ull << 62)
#define LF_KEEP (LF_CF | LF_PO | 8u)

static inline bool flag_cf(const struct interp *cpu)
{
    return cpu->lf_aux >> 63;
}
static inline bool flag_zf(const struct interp *cpu)
{
    return cpu->lf_result == 0;
}
static inline bool flag_sf(const struct interp *cpu)
{
    return ((cpu->lf_result >> 63) ^ cpu->lf_aux) & 1;
}
static inline bool flag_of(const struct interp *cpu)
{
    return ((cpu->lf_aux ^ (cpu->lf_aux << 1)) >> 63) & 1;
}
static inline bool flag_af(const struct interp *cpu)
{
    return (cpu->lf_aux >> 3) & 1;
}
static inline bool flag_pf(const struct interp *cpu)
{
    return !__builtin_parity((uint8_t)(cpu->lf_result ^ (cpu->lf_aux >> 8)));
}

/* carries: vector of carry-outs of an addition or borrow-outs of a subtraction at the operation's width. */
static inline void flags_carries_(struct interp *cpu, uint64_t sext_result, uint64_t carries, unsigned bits)
{
    cpu->lf_result = sext_result;
    cpu->lf_aux = ((carries << (64 - bits)) & (LF_CF | LF_PO)) | (carries & 8u);
}
#define LF_ADD_CARRIES(a, b, r) (((a) & (b)) | (((a) | (b)) & ~(r)))
#define LF_SUB_BORROWS(a, b, r) ((~(a) & (b)) | ((~(a) | (b)) & (r)))

/* All six given; result only for ZF SF PF. */
static inline void flags_set_logic(struct interp *cpu, uint64_t sext_result)
{
    cpu->lf_result = sext_result;
    cpu->lf_aux = 0;
}
static inline void flags_set(struct interp *cpu, uint64_t sext_result, bool cf, bool of, bool af)
{
    cpu->lf_result = sext_result;
    cpu->lf_aux = ((uint64_t)cf << 63) | ((uint64_t)(cf != of) << 62) | ((uint64_t)af << 3);
}

/* ZF and CF given, the others 0: PTEST and its like. */
static inline void flags_set_zf_cf(struct interp *cpu, bool zf, bool cf)
{
    cpu->lf_result = !zf;
    cpu->lf_aux = ((uint64_t)cf << 63) | ((uint64_t)cf << 62) | ((uint64_t)zf << 8); /* 1 << 8: no even parity of 0 */
}

/* The 16 conditions of Jcc, SETcc and CMOVcc, in the order of the opcode's low 4 bits. */
static inline bool flag_be(const struct interp *cpu)
{
    return flag_cf(cpu) || flag_zf(cpu);
}
static inline bool flag_l(const struct interp *cpu)
{
    return ((cpu->lf_result >> 63) ^ cpu->lf_aux ^ (cpu->lf_aux >> 63) ^ (cpu->lf_aux >> 62)) & 1;
}
static inline bool flag_le(const struct interp *cpu)
{
    return flag_zf(cpu) || flag_l(cpu);
}
#define FLAG_CONDITIONS(X)                                                                                             \
    X(o, 0x0, flag_of(cpu))                                                                                            \
    X(no, 0x1, !flag_of(cpu))                                                                                          \
    X(b, 0x2, flag_cf(cpu)) X(ae, 0x3, !flag_cf(cpu)) X(e, 0x4, flag_zf(cpu)) X(ne, 0x5, !flag_zf(cpu))                \
        X(be, 0x6, flag_be(cpu)) X(a, 0x7, !flag_be(cpu)) X(s, 0x8, flag_sf(cpu)) X(ns, 0x9, !flag_sf(cpu))            \
            X(p, 0xA, flag_pf(cpu)) X(np, 0xB, !flag_pf(cpu)) X(l, 0xC, flag_l(cpu)) X(ge, 0xD, !flag_l(cpu))          \
                X(le, 0xE, flag_le(cpu)) X(g, 0xF, !flag_le(cpu))

/* One flag changed, the others kept. */
static inline void flags_put_cf(struct interp *cpu, bool cf)
{
    uint64_t change = (uint64_t)(cf != flag_cf(cpu));
    cpu->lf_aux ^= (change << 63) | (change << 62); /* OF is relative to CF */
}
static inline void flags_put_cf_of(struct interp *cpu, bool cf, bool of)
{
    cpu->lf_aux = (cpu->lf_aux & ~(LF_CF | LF_PO)) | ((uint64_t)cf << 63) | ((uint64_t)(cf != of) << 62);
}

uint32_t flags_arith(const struct interp *cpu);            /* the six, as in RFLAGS */
void flags_set_arith(struct interp *cpu, uint32_t rflags); /* from the six */

#endif
