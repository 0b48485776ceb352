/* Floating point of SSE3 and SSE4.1, and their moves of floating-point elements (Intel SDM vol. 1, 12.3 and 12.10). */
#include "accel-interp/fp_sse.h"
#include "accel-interp/sse.h"

/* Arithmetic between neighbours. */
#define ARITH(op, ranged)                                                                                              \
    SSE_ARITH(op, fp_##op, V16, ranged, xmm_set(cpu, i->reg, result))                                                  \
    SSE_FORMS(forms_##op, op);
ARITH(addsubps, FP_ADDSUB | FP_PS)
ARITH(addsubpd, FP_ADDSUB | FP_PD)
ARITH(haddps, FP_HADD | FP_PS)
ARITH(haddpd, FP_HADD | FP_PD)
ARITH(hsubps, FP_HSUB | FP_PS)
ARITH(hsubpd, FP_HSUB | FP_PD)

/* ---- ROUNDxx, DPPx ---------------------------------------------------------------------------------------------- */

#define ROUND(op, kind)                                                                                                \
    static inline void op##_execute(struct interp *cpu, const struct insn *i, __m128i src)                             \
    {                                                                                                                  \
        __m128i result;                                                                                                \
        if (UNLIKELY(!sse_all_masked(cpu)))                                                                            \
            fp_trap_begin(cpu);                                                                                        \
        result = fp_##op(xmm_get(cpu, i->reg), src, (unsigned)i->imm);                                                 \
        if (UNLIKELY(!sse_all_masked(cpu)))                                                                            \
            fp_trap_end(cpu, i, false);                                                                                \
        xmm_set(cpu, i->reg, result);                                                                                  \
    }                                                                                                                  \
    SSE_REG(op, op##_execute(cpu, i, src))                                                                             \
    SSE_LOAD(op, kind, op##_execute(cpu, i, src))                                                                      \
    SSE_FORMS(forms_##op, op);
ROUND(roundps, V16)
ROUND(roundpd, V16)
ROUND(roundss, V4)
ROUND(roundsd, V8)

#define DOT(op)                                                                                                        \
    __attribute__((noinline)) static void op##_execute(struct interp *cpu, const struct insn *i, __m128i src)          \
    {                                                                                                                  \
        __m128i d = xmm_get(cpu, i->reg);                                                                              \
        fp_##op(cpu, i, &d, &src, 1);                                                                                  \
        xmm_set(cpu, i->reg, d);                                                                                       \
    }                                                                                                                  \
    SSE_REG(op, op##_execute(cpu, i, src))                                                                             \
    SSE_LOAD(op, V16, op##_execute(cpu, i, src))                                                                       \
    SSE_FORMS(forms_##op, op);
DOT(dpps)
DOT(dppd)

/* ---- moves ------------------------------------------------------------------------------------------------------ */

#define MOVE(op, kind, value)                                                                                          \
    SSE_REG(op, xmm_set(cpu, i->reg, value))                                                                           \
    SSE_LOAD(op, kind, xmm_set(cpu, i->reg, value))                                                                    \
    SSE_FORMS(forms_##op, op);
MOVE(movddup, V8, _mm_unpacklo_epi64(src, src))
MOVE(movsldup, V16, _mm_shuffle_epi32(src, 0xA0))
MOVE(movshdup, V16, _mm_shuffle_epi32(src, 0xF5))
SSE_LOAD(lddqu, V16U, xmm_set(cpu, i->reg, src))
SSE_FORMS_MEM(forms_lddqu, lddqu);

/* Blends by an immediate, and by the sign bits of XMM0. */
MOVE(blendps, V16, fp_blendps(xmm_get(cpu, i->reg), src, (unsigned)i->imm))
MOVE(blendpd, V16, fp_blendpd(xmm_get(cpu, i->reg), src, (unsigned)i->imm))
MOVE(blendvps, V16, fp_blendvps(xmm_get(cpu, i->reg), src, xmm_get(cpu, 0)))
MOVE(blendvpd, V16, fp_blendvpd(xmm_get(cpu, i->reg), src, xmm_get(cpu, 0)))

/* From memory there is one element to insert, whatever imm8[7:6] says. */
SSE_REG(insertps,
        xmm_set(cpu, i->reg,
                fp_insertps(xmm_get(cpu, i->reg), fp_element(src, (unsigned)i->imm >> 6 & 3), (unsigned)i->imm)))
SSE_LOAD(insertps, V4, xmm_set(cpu, i->reg, fp_insertps(xmm_get(cpu, i->reg), src, (unsigned)i->imm)))
SSE_FORMS(forms_insertps, insertps);
