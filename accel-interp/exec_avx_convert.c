/* VEX forms of the conversions, and F16C (Intel SDM vol. 1, 14.1 and 14.4; vol. 2). */
#include "accel-interp/avx_fp.h"
#include "accel-interp/mmu.h"

/* 256 bits to 256. */
#define SAME_WIDTH(op)                                                                                                 \
    AVX_FP_SAFE_LOW(v##op##128, V16U, fp_##op(src, src))                                                               \
    AVX_FP_SAFE_WHOLE(v##op##256, V32U, fp_##op(src.lane[0], src.lane[0]), fp_##op(src.lane[1], src.lane[1]))
SAME_WIDTH(cvtdq2ps)
SAME_WIDTH(cvtps2dq)
SAME_WIDTH(cvttps2dq)

static inline __m128i upper_half(__m128i v)
{
    return _mm_unpackhi_epi64(v, v);
}
/* 64 bits to 128, 128 to 256. */
#define WIDENING(op)                                                                                                   \
    AVX_FP_SAFE_LOW(v##op##128, V8, fp_##op(src, src))                                                                 \
    AVX_FP_SAFE_WHOLE(v##op##256, V16U, fp_##op(src, src), fp_##op(src, upper_half(src)))
WIDENING(cvtps2pd)
WIDENING(cvtdq2pd)

/* 128 bits to 64, 256 to 128. */
#define NARROWING(op, ranged)                                                                                          \
    AVX_FP_LOW(v##op##128, V16U, fp_##op(src, src), ranged)                                                            \
    AVX_FP_LOW_(v##op##256, V32U,                                                                                      \
                _mm_unpacklo_epi64(fp_##op(src.lane[0], src.lane[0]), fp_##op(src.lane[1], src.lane[1])), ranged,      \
                AVX_EXACT_BOTH(ranged, src.lane[0], src.lane[1]))
NARROWING(cvtpd2ps, FP_NARROW | FP_PS)
NARROWING(cvtpd2dq, FP_SAFE)
NARROWING(cvttpd2dq, FP_SAFE)

AVX_FP_SAFE_LOW(vcvtss2sd, V4, fp_cvtss2sd(AVX_H, src))
AVX_FP_LOW(vcvtsd2ss, V8, fp_cvtsd2ss(AVX_H, src), FP_NARROW | FP_SS)

/* ---- general registers ------------------------------------------------------------------------------------------ */

#define AVX_FP_TYPE_R32 __m128i
#define AVX_FP_TYPE_R64 __m128i
#define AVX_FP_REG_R32(cpu, n) _mm_cvtsi32_si128((int)reg_get32(cpu, n))
#define AVX_FP_REG_R64(cpu, n) _mm_cvtsi64_si128((long long)reg_get64(cpu, n))
#define AVX_FP_LOAD_R32 sse_load4
#define AVX_FP_LOAD_R64 sse_load8
#define AVX_FP_HOST_R32 host_get_v4
#define AVX_FP_HOST_R64 host_get_v8
#define AVX_FP_BYTES_R32 4
#define AVX_FP_BYTES_R64 8
#define FROM_INTEGER(op)                                                                                               \
    AVX_FP(v##op, R32, const __m128i result = fp_##op##_32(AVX_H, src), false, (void)0,                                \
           ymm_set_low(cpu, i->reg, result))                                                                           \
    AVX_FP(v##op##_w, R64, const __m128i result = fp_##op##_64(AVX_H, src), false, (void)0,                            \
           ymm_set_low(cpu, i->reg, result))                                                                           \
    AVX_FP_FORMS_W(forms_v##op, v##op, v##op##_w);
FROM_INTEGER(cvtsi2ss)
FROM_INTEGER(cvtsi2sd)

#define TO_INTEGER(op, kind)                                                                                           \
    AVX_FP(v##op, kind, const __m128i result = fp_##op##_32(src, src), false, (void)0,                                 \
           reg_set32(cpu, i->reg, (uint32_t)_mm_cvtsi128_si32(result)))                                                \
    AVX_FP(v##op##_w, kind, const __m128i result = fp_##op##_64(src, src), false, (void)0,                             \
           reg_set64(cpu, i->reg, (uint64_t)_mm_cvtsi128_si64(result)))                                                \
    AVX_FP_FORMS_W(forms_v##op, v##op, v##op##_w);
TO_INTEGER(cvtss2si, V4)
TO_INTEGER(cvttss2si, V4)
TO_INTEGER(cvtsd2si, V8)
TO_INTEGER(cvttsd2si, V8)

/* ---- F16C -------------------------------------------------------------------------------------------------------- */

#define HALVES_TO_SINGLES(v) fp_cvtph2ps(cpu->host_features, (v))
/* V8 that is never #AC. */
static __m128i load_halves(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    return _mm_cvtsi64_si128((long long)mmu_read(cpu, i, linear, 8, (enum tlb_view)(cpu->tlb - cpu->views)));
}
#define AVX_FP_TYPE_V8H __m128i
#define AVX_FP_REG_V8H xmm_get
#define AVX_FP_LOAD_V8H load_halves
#define AVX_FP_HOST_V8H host_get_v8
#define AVX_FP_BYTES_V8H 8
AVX_FP_SAFE_LOW(vcvtph2ps128, V8H, HALVES_TO_SINGLES(src))
AVX_FP_SAFE_WHOLE(vcvtph2ps256, V16U, HALVES_TO_SINGLES(src), HALVES_TO_SINGLES(upper_half(src)))

/* The rounding is chosen by imm8. */
static __m128i singles_to_halves(struct interp *cpu, const struct insn *i, bool whole)
{
    const unsigned imm8 = insn_imm8(i);
    __m128i result;

    fp_trap_begin(cpu);
    result = fp_cvtps2ph(cpu->host_features, xmm_get(cpu, i->reg), imm8);
    if (whole)
        result = _mm_unpacklo_epi64(result, fp_cvtps2ph(cpu->host_features, xmm_get_high(cpu, i->reg), imm8));
    if (fp_trap_lacks_pe(cpu, fp_is_tiny_ph(result))) {
        fp_exact_ph(cpu, xmm_get(cpu, i->reg), imm8);
        if (whole)
            fp_exact_ph(cpu, xmm_get_high(cpu, i->reg), imm8);
    }
    fp_trap_end(cpu, i, fp_is_tiny_ph(result));
    return result;
}
/* The flags stay set when the store faults, as on the processor. */
static void store_halves(struct interp *cpu, const struct insn *i, bool whole)
{
    const __m128i result = singles_to_halves(cpu, i, whole);
    const uint64_t low = (uint64_t)_mm_cvtsi128_si64(result);

    if (whole)
        sse_store16(cpu, i, ea_general(cpu, i, 16, TLB_WRITE), result);
    else
        mem_write_unaligned(cpu, i, ea_general(cpu, i, 8, TLB_WRITE), &low, 8); /* never #AC */
}
#define TO_HALVES(name, whole)                                                                                         \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        ymm_set_low(cpu, i->rm, singles_to_halves(cpu, i, whole));                                                     \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        store_halves(cpu, i, whole);                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_RM(forms_##name, name##_reg, name##_mem);
TO_HALVES(vcvtps2ph128, false)
TO_HALVES(vcvtps2ph256, true)
