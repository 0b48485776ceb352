/* SSE2, SSSE3 and SSE4 packed integers, shifts and shuffles, and the SSE logic and unpack forms that are the same bits (Intel
 * SDM vol. 1, 11.4.2, 12.6, 12.10). What does not have the shape of the lists of simd.h is in exec_sse4.c. */
#include "accel-interp/simd.h"
#include "accel-interp/sse.h"

/* Binary operations: XMM, XMM/m128. */
#define BINARY(name, fn)                                                                                               \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src)))                                                 \
    SSE_LOAD(name, V16, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src)))                                           \
    SSE_FORMS(forms_##name##_sse, name);
SIMD_LANEWISE(BINARY)
SIMD_CROSSING(BINARY)
SIMD_SHIFTS(BINARY)

/* Shifts by an immediate: ModRM.rm is the destination. */
#define SHIFT(name, fn)                                                                                                \
    SSE_REG(name##_imm, xmm_set(cpu, i->rm, fn(src, _mm_cvtsi32_si128((int)i->imm))))                                  \
    SSE_FORMS_REG(forms_##name##_imm_sse, name##_imm);
SIMD_SHIFTS(SHIFT)

/* By bytes. */
SSE_REG(psrldq, xmm_set(cpu, i->rm, simd_psrldq(src, insn_imm8(i))))
SSE_REG(pslldq, xmm_set(cpu, i->rm, simd_pslldq(src, insn_imm8(i))))
SSE_FORMS_REG(forms_psrldq, psrldq);
SSE_FORMS_REG(forms_pslldq, pslldq);

#define UNARY(name, fn)                                                                                                \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(src)))                                                                       \
    SSE_LOAD(name, V16, xmm_set(cpu, i->reg, fn(src)))                                                                 \
    SSE_FORMS(forms_##name##_sse, name);
SIMD_UNARY(UNARY)

/* ---- by an immediate -------------------------------------------------------------------------------------------- */

#define SHUFFLE(name, fn)                                                                                              \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(src, insn_imm8(i))))                                                         \
    SSE_LOAD(name, V16, xmm_set(cpu, i->reg, fn(src, insn_imm8(i))))                                                   \
    SSE_FORMS(forms_##name, name);
SIMD_SHUFFLES(SHUFFLE)

#define IMMEDIATE(name, fn)                                                                                            \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src, insn_imm8(i))))                                   \
    SSE_LOAD(name, V16, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src, insn_imm8(i))))                             \
    SSE_FORMS(forms_##name##_sse, name);
IMMEDIATE(shufps, simd_shufps)
IMMEDIATE(shufpd, simd_shufpd)
IMMEDIATE(palignr, simd_palignr)
IMMEDIATE(pblendw, simd_pblendw)
IMMEDIATE(mpsadbw, simd_mpsadbw)

/* ---- one word in and out ---------------------------------------------------------------------------------------- */

static inline void insert_word(struct interp *cpu, const struct insn *i, uint16_t value)
{
    uint64_t *q = &cpu->s.vector[i->reg].q[i->imm >> 2 & 1];
    unsigned shift = 16 * (unsigned)(i->imm & 3);

    *q = (*q & ~(0xFFFFull << shift)) | (uint64_t)value << shift;
}
EXEC_STATIC(pinsrw_reg)
{
    SSE_CHECK();
    insert_word(cpu, i, reg_get16(cpu, i->rm));
    NEXT;
}
EXEC_STATIC(pinsrw_mem)
{
    SSE_CHECK();
    insert_word(cpu, i, ld16(cpu, i, ea_general(cpu, i, 2, TLB_READ)));
    NEXT;
}
FORMS_RM(forms_pinsrw_sse, pinsrw_reg, pinsrw_mem);

EXEC_STATIC(pextrw_reg)
{
    SSE_CHECK();
    reg_set32(cpu, i->reg, cpu->s.vector[i->rm].q[i->imm >> 2 & 1] >> (16 * (i->imm & 3)) & 0xFFFF);
    NEXT;
}
SSE_FORMS_REG(forms_pextrw_sse, pextrw);
