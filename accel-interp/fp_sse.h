/* SSE3, SSE4.1, AVX, FMA and F16C floating point: kernels beside those of fp.h, by the same rules (flags collect in the host's
 * MXCSR, which is the guest's with all exceptions masked), and what instructions of several kernels do when exceptions are
 * unmasked. */
#ifndef VMRR_ACCEL_INTERP_FP_SSE_H
#define VMRR_ACCEL_INTERP_FP_SSE_H

#include "accel-interp/flags.h"
#include "accel-interp/fp.h"

/* ---- unmasked exceptions --------------------------------------------------------------------------------------- */

/* Around the kernels of one instruction, in any state of MXCSR's masks: what they flag counts as one report. fp_trap_end raises
 * #XM (or #UD) with the flags set, or returns; then the results stand. tiny: some result is (fp_is_tiny). No exception
 * may leave between the two.
 *
 * Beside an unmasked overflow or underflow PE says whether the result, rounded with an exponent without bounds, is inexact:
 * the kernels have not found that. fp_trap_lacks_pe is asked between the two: true (seldom): PE is taken back, and fp_exact
 * for each vector, fp_exact_fma or fp_exact_ph, flags it where it is due. */
void fp_trap_begin(struct interp *cpu);
bool fp_trap_lacks_pe(struct interp *cpu, bool tiny);
void fp_trap_end(struct interp *cpu, const struct insn *i, bool tiny);
bool fp_is_tiny(__m128i result, enum fp_ranged ranged);
void fp_exact(const struct interp *cpu, enum fp_ranged ranged, __m128i d, __m128i s);

/* ---- SSE3, SSE4.1 ----------------------------------------------------------------------------------------------- */

FP_SSE_ARITH_(addsubps)
FP_SSE_ARITH_(addsubpd)
FP_SSE_ARITH_(haddps)
FP_SSE_ARITH_(haddpd)
FP_SSE_ARITH_(hsubps)
FP_SSE_ARITH_(hsubpd)

/* imm8 as ROUNDxx has it; scalar ones keep d's upper part. */
__m128i fp_roundps(__m128i d, __m128i s, unsigned imm8);
__m128i fp_roundpd(__m128i d, __m128i s, unsigned imm8);
__m128i fp_roundss(__m128i d, __m128i s, unsigned imm8);
__m128i fp_roundsd(__m128i d, __m128i s, unsigned imm8);

/* DPPS, DPPD of `lanes` (1 or 2) 128-bit lanes, in place in d: product, then sums, each of which may raise. */
void fp_dpps(struct interp *cpu, const struct insn *i, __m128i *d, const __m128i *s, unsigned lanes);
void fp_dppd(struct interp *cpu, const struct insn *i, __m128i *d, const __m128i *s, unsigned lanes);

/* Elements by number, or by bits: 1 takes s's. */
static inline __m128i fp_mask_ps(unsigned bits)
{
    return _mm_set_epi32(-(int)(bits >> 3 & 1), -(int)(bits >> 2 & 1), -(int)(bits >> 1 & 1), -(int)(bits & 1));
}
static inline __m128i fp_mask_pd(unsigned bits)
{
    return _mm_set_epi64x(-(long long)(bits >> 1 & 1), -(long long)(bits & 1));
}
static inline __m128i fp_select(__m128i d, __m128i s, __m128i mask)
{
    return _mm_or_si128(_mm_andnot_si128(mask, d), _mm_and_si128(mask, s));
}
static inline __m128i fp_blendps(__m128i d, __m128i s, unsigned imm8)
{
    return fp_select(d, s, fp_mask_ps(imm8));
}
static inline __m128i fp_blendpd(__m128i d, __m128i s, unsigned imm8)
{
    return fp_select(d, s, fp_mask_pd(imm8));
}
static inline __m128i fp_signs_pd(__m128i v)
{
    return _mm_shuffle_epi32(_mm_srai_epi32(v, 31), 0xF5);
}
static inline __m128i fp_blendvps(__m128i d, __m128i s, __m128i mask)
{
    return fp_select(d, s, _mm_srai_epi32(mask, 31));
}
static inline __m128i fp_blendvpd(__m128i d, __m128i s, __m128i mask)
{
    return fp_select(d, s, fp_signs_pd(mask));
}
/* Element n as the low one. */
static inline __m128i fp_element(__m128i s, unsigned n)
{
    return _mm_srl_epi64(n & 2 ? _mm_unpackhi_epi64(s, s) : s, _mm_cvtsi32_si128((int)(n & 1) * 32));
}
/* s's low element to where imm8[5:4] says, then zeros where imm8[3:0] does. */
static inline __m128i fp_insertps(__m128i d, __m128i s, unsigned imm8)
{
    return _mm_andnot_si128(fp_mask_ps(imm8), fp_select(d, _mm_shuffle_epi32(s, 0), fp_mask_ps(1u << (imm8 >> 4 & 3))));
}

/* ---- comparison with one of VCMPxx's 32 predicates (0..7 are CMPxx's) ------------------------------------------- */

__m128i fp_vcmpps(__m128i d, __m128i s, unsigned predicate);
__m128i fp_vcmppd(__m128i d, __m128i s, unsigned predicate);
__m128i fp_vcmpss(__m128i d, __m128i s, unsigned predicate);
__m128i fp_vcmpsd(__m128i d, __m128i s, unsigned predicate);

/* result: bit 0 ZF, bit 1 PF, bit 2 CF; SF OF AF are cleared. See flags.h for the encoding. */
static inline void sse_set_order(struct interp *cpu, __m128i result)
{
    uint32_t order = (uint32_t)_mm_cvtsi128_si32(result);

    cpu->lf_result = !(order & 1);
    cpu->lf_aux = ((order & 4) ? LF_CF | LF_PO : 0) | ((order & 3) == 1 ? 0x100u : 0);
}
/* ---- approximations: the same bits on every host (fp_approximate.c) --------------------------------------------- */

__m128i fp_approximate_rcpps(__m128i d, __m128i s);
__m128i fp_approximate_rcpss(__m128i d, __m128i s);
__m128i fp_approximate_rsqrtps(__m128i d, __m128i s);
__m128i fp_approximate_rsqrtss(__m128i d, __m128i s);
/* One element. */
uint32_t fp_rcp_f32(uint32_t a);
uint32_t fp_rsqrt_f32(uint32_t a);

/* ---- F16C: portable when the host's features (host_features.h) have not HOST_F16C ------------------------------- */

/* Four halves in the low quadword, from and to. */
__m128i fp_cvtph2ps(uint32_t host_features, __m128i s);
__m128i fp_cvtps2ph(uint32_t host_features, __m128i s, unsigned imm8);
void fp_exact_ph(const struct interp *cpu, __m128i s, unsigned imm8); /* as fp_exact */
bool fp_is_tiny_ph(__m128i result);

#endif
