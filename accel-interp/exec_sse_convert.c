/* SSE and SSE2 conversions between vectors, and with general registers (Intel SDM vol. 1, 11.4.1.6). Those with MMX
 * registers are in exec_mmx.c. */
#include "accel-interp/sse.h"

#define CONVERT(op, kind, tiny)                                                                                        \
    SSE_ARITH(op, fp_##op, kind, tiny, xmm_set(cpu, i->reg, result))                                                   \
    SSE_FORMS(forms_##op, op);
CONVERT(cvtps2pd, V8, FP_SAFE)
CONVERT(cvtpd2ps, V16, FP_NARROW | FP_PS)
CONVERT(cvtss2sd, V4, FP_SAFE)
CONVERT(cvtsd2ss, V8, FP_NARROW | FP_SS)
CONVERT(cvtdq2ps, V16, FP_SAFE)
CONVERT(cvtps2dq, V16, FP_SAFE)
CONVERT(cvttps2dq, V16, FP_SAFE)
CONVERT(cvtdq2pd, V8, FP_SAFE)
CONVERT(cvtpd2dq, V16, FP_SAFE)
CONVERT(cvttpd2dq, V16, FP_SAFE)

/* From a general register or an integer in memory. */
#define FROM_REG_(name, op, bits, get)                                                                                 \
    EXEC_STATIC(name##_reg_trapping)                                                                                   \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        xmm_set(cpu, i->reg, fp_sse_trapping(cpu, i, fp_##op##_##bits, xmm_get(cpu, i->reg), get, FP_SAFE));           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        if (UNLIKELY(!sse_ready(cpu)))                                                                                 \
            return name##_reg_trapping(cpu, i);                                                                        \
        xmm_set(cpu, i->reg, fp_##op##_##bits(xmm_get(cpu, i->reg), get));                                             \
        NEXT;                                                                                                          \
    }
#define FROM_INTEGER(op)                                                                                               \
    FROM_REG_(op, op, 32, _mm_cvtsi32_si128((int)reg_get32(cpu, i->rm)))                                               \
    FROM_REG_(op##_w, op, 64, _mm_cvtsi64_si128((long long)reg_get64(cpu, i->rm)))                                     \
    SSE_ARITH_MEM(op, fp_##op##_32, V4, FP_SAFE, xmm_set(cpu, i->reg, result))                                         \
    SSE_ARITH_MEM(op##_w, fp_##op##_64, V8, FP_SAFE, xmm_set(cpu, i->reg, result))                                     \
    SSE_FORMS_W(forms_##op, op, op##_w);
FROM_INTEGER(cvtsi2ss)
FROM_INTEGER(cvtsi2sd)

/* To a general register. */
#define TO_INTEGER(op, kind)                                                                                           \
    SSE_ARITH(op, fp_##op##_32, kind, FP_SAFE, reg_set32(cpu, i->reg, (uint32_t)_mm_cvtsi128_si32(result)))            \
    SSE_ARITH(op##_w, fp_##op##_64, kind, FP_SAFE, reg_set64(cpu, i->reg, (uint64_t)_mm_cvtsi128_si64(result)))        \
    SSE_FORMS_W(forms_##op, op, op##_w);
TO_INTEGER(cvtss2si, V4)
TO_INTEGER(cvttss2si, V4)
TO_INTEGER(cvtsd2si, V8)
TO_INTEGER(cvttsd2si, V8)
