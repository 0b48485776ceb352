/* VEX forms of the floating-point arithmetic, comparison, logic and blending of SSE to SSE4.1, and VTESTxx (Intel SDM vol. 1,
 * 14.1; vol. 2). */
#include "accel-interp/avx_fp.h"

#define ARITH_SET(op, of_ps, of_pd, of_ss, of_sd)                                                                      \
    AVX_FP_PACKED(v##op##ps, fp_##op##ps, of_ps)                                                                       \
    AVX_FP_PACKED(v##op##pd, fp_##op##pd, of_pd)                                                                       \
    AVX_FP_LOW(v##op##ss, V4, fp_##op##ss(AVX_H, src), of_ss)                                                          \
    AVX_FP_LOW(v##op##sd, V8, fp_##op##sd(AVX_H, src), of_sd)
#define ARITH(op, operation) ARITH_SET(op, operation | FP_PS, operation | FP_PD, operation | FP_SS, operation | FP_SD)
#define ARITH_SAFE(op) ARITH_SET(op, FP_SAFE, FP_SAFE, FP_SAFE, FP_SAFE)
ARITH(add, FP_ADD)
ARITH(sub, FP_SUB)
ARITH(mul, FP_MUL)
ARITH(div, FP_DIV)
ARITH_SAFE(min)
ARITH_SAFE(max)
ARITH_SAFE(sqrt) /* packed: vvvv is not looked at by the kernel */

#define NEIGHBOURS(op, operation)                                                                                      \
    AVX_FP_PACKED(v##op##ps, fp_##op##ps, operation | FP_PS)                                                           \
    AVX_FP_PACKED(v##op##pd, fp_##op##pd, operation | FP_PD)
NEIGHBOURS(addsub, FP_ADDSUB)
NEIGHBOURS(hadd, FP_HADD)
NEIGHBOURS(hsub, FP_HSUB)

#define IMM8 insn_imm8(i)
#define WITH_IMM8(op, prefix)                                                                                          \
    AVX_FP_SAFE_LOW(v##op##ps128, V16U, prefix##op##ps(AVX_H, src, IMM8))                                              \
    AVX_FP_SAFE_LOW(v##op##pd128, V16U, prefix##op##pd(AVX_H, src, IMM8))                                              \
    AVX_FP_SAFE_WHOLE(v##op##ps256, V32U, prefix##op##ps(AVX_H, src.lane[0], IMM8),                                    \
                      prefix##op##ps(AVX_H_HIGH, src.lane[1], IMM8))                                                   \
    AVX_FP_SAFE_WHOLE(v##op##pd256, V32U, prefix##op##pd(AVX_H, src.lane[0], IMM8),                                    \
                      prefix##op##pd(AVX_H_HIGH, src.lane[1], IMM8))                                                   \
    AVX_FP_SAFE_LOW(v##op##ss, V4, prefix##op##ss(AVX_H, src, IMM8))                                                   \
    AVX_FP_SAFE_LOW(v##op##sd, V8, prefix##op##sd(AVX_H, src, IMM8))
WITH_IMM8(round, fp_)
WITH_IMM8(cmp, fp_v)

/* Approximations, without exceptions. */
#define APPROXIMATE(op)                                                                                                \
    AVX_BOTH(v##op##ps128, V16U, ymm_set_low(cpu, i->reg, fp_approximate_##op##ps(src, src)))                          \
    AVX_BOTH256(v##op##ps256, V32U,                                                                                    \
                ymm_set(cpu, i->reg,                                                                                   \
                        ymm_make(fp_approximate_##op##ps(src.lane[0], src.lane[0]),                                    \
                                 fp_approximate_##op##ps(src.lane[1], src.lane[1]))))                                  \
    AVX_BOTH(v##op##ss, V4, ymm_set_low(cpu, i->reg, fp_approximate_##op##ss(AVX_H, src)))                             \
    AVX_FORMS_BOTH(v##op##ps);                                                                                         \
    SSE_FORMS(forms_v##op##ss, v##op##ss);
APPROXIMATE(rcp)
APPROXIMATE(rsqrt)

/* ---- DPPx -------------------------------------------------------------------------------------------------------- */

#define DOT128(op)                                                                                                     \
    __attribute__((noinline)) static void op##_low(struct interp *cpu, const struct insn *i, __m128i src)              \
    {                                                                                                                  \
        __m128i d = AVX_H;                                                                                             \
        fp_##op(cpu, i, &d, &src, 1);                                                                                  \
        ymm_set_low(cpu, i->reg, d);                                                                                   \
    }                                                                                                                  \
    AVX_BOTH(v##op##128, V16U, op##_low(cpu, i, src))                                                                  \
    SSE_FORMS(forms_v##op##128, v##op##128);
DOT128(dpps)
DOT128(dppd)

__attribute__((noinline)) static void dpps_whole(struct interp *cpu, const struct insn *i, __m128i low, __m128i high)
{
    __m128i d[2] = {AVX_H, AVX_H_HIGH}, s[2] = {low, high};

    fp_dpps(cpu, i, d, s, 2);
    ymm_set(cpu, i->reg, ymm_make(d[0], d[1]));
}
AVX_BOTH256(vdpps256, V32U, dpps_whole(cpu, i, src.lane[0], src.lane[1]))
SSE_FORMS(forms_vdpps256, vdpps256);

/* ---- comparison into flags -------------------------------------------------------------------------------------- */

#define ORDER(op, kind)                                                                                                \
    AVX_FP(v##op, kind, const __m128i result = fp_##op(xmm_get(cpu, i->reg), src), false, (void)0,                     \
           sse_set_order(cpu, result))                                                                                 \
    AVX_FP_FORMS(forms_v##op, v##op);
ORDER(comiss, V4)
ORDER(comisd, V8)
ORDER(ucomiss, V4)
ORDER(ucomisd, V8)

/* VTESTPS, VTESTPD: ZF when no sign bit is set in both, CF when none is set in the source alone. */
static inline void test_signs(struct interp *cpu, uint64_t both, uint64_t source_alone)
{
    sse_set_order(cpu, _mm_cvtsi32_si128((both ? 0 : 1) | (source_alone ? 0 : 4)));
}
#define SIGNS_PS (long long)0x8000000080000000ull
#define SIGNS_PD (long long)0x8000000000000000ull
static inline uint64_t any_bit(__m128i v, long long signs)
{
    return !_mm_testz_si128(v, _mm_set1_epi64x(signs));
}
#define TEST(op, signs)                                                                                                \
    AVX_BOTH(op##128, V16U,                                                                                            \
             test_signs(cpu, any_bit(_mm_and_si128(xmm_get(cpu, i->reg), src), signs),                                 \
                        any_bit(_mm_andnot_si128(xmm_get(cpu, i->reg), src), signs)))                                  \
    AVX_BOTH256(op##256, V32U, const struct ymm d = ymm_get(cpu, i->reg);                                              \
                test_signs(cpu,                                                                                        \
                           any_bit(_mm_and_si128(d.lane[0], src.lane[0]), signs) |                                     \
                               any_bit(_mm_and_si128(d.lane[1], src.lane[1]), signs),                                  \
                           any_bit(_mm_andnot_si128(d.lane[0], src.lane[0]), signs) |                                  \
                               any_bit(_mm_andnot_si128(d.lane[1], src.lane[1]), signs)))                              \
    AVX_FORMS_BOTH(op);
TEST(vtestps, SIGNS_PS)
TEST(vtestpd, SIGNS_PD)

/* ---- logic and blends ------------------------------------------------------------------------------------------- */

#define LOGIC(op, kernel)                                                                                              \
    AVX_BINARY(op, kernel)                                                                                             \
    AVX_FORMS_BOTH(op);
LOGIC(vandps, _mm_and_si128)
LOGIC(vandnps, _mm_andnot_si128)
LOGIC(vorps, _mm_or_si128)
LOGIC(vxorps, _mm_xor_si128)

/* low, high: by what each lane is blended. */
#define BLEND(op, kernel, low, high)                                                                                   \
    AVX_BOTH(op##128, V16U, ymm_set_low(cpu, i->reg, kernel(AVX_H, src, low)))                                         \
    AVX_BOTH256(                                                                                                       \
        op##256, V32U,                                                                                                 \
        ymm_set(cpu, i->reg, ymm_make(kernel(AVX_H, src.lane[0], low), kernel(AVX_H_HIGH, src.lane[1], high))))        \
    AVX_FORMS_BOTH(op);
BLEND(vblendps, fp_blendps, IMM8, IMM8 >> 4)
BLEND(vblendpd, fp_blendpd, IMM8, IMM8 >> 2)
BLEND(vblendvps, fp_blendvps, xmm_get(cpu, insn_imm_register(i)), xmm_get_high(cpu, insn_imm_register(i)))
BLEND(vblendvpd, fp_blendvpd, xmm_get(cpu, insn_imm_register(i)), xmm_get_high(cpu, insn_imm_register(i)))
