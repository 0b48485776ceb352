/* Packed-integer arithmetic: one list for MMX and SSE2, and the operations as functions of 128-bit values. An MMX operand is
 * the low half; upper halves of inputs may then hold anything. */
#ifndef VMRR_ACCEL_INTERP_SIMD_H
#define VMRR_ACCEL_INTERP_SIMD_H

#include "accel-interp/simd_host.h"

#include <stdint.h>

/* X(name, intrinsic): lane by lane, so that the MMX form is the low half of the SSE2 form. */
#define SIMD_LANEWISE(X)                                                                                               \
    X(paddb, _mm_add_epi8)                                                                                             \
    X(paddw, _mm_add_epi16)                                                                                            \
    X(paddd, _mm_add_epi32)                                                                                            \
    X(paddq, _mm_add_epi64)                                                                                            \
    X(paddsb, _mm_adds_epi8)                                                                                           \
    X(paddsw, _mm_adds_epi16)                                                                                          \
    X(paddusb, _mm_adds_epu8)                                                                                          \
    X(paddusw, _mm_adds_epu16)                                                                                         \
    X(psubb, _mm_sub_epi8)                                                                                             \
    X(psubw, _mm_sub_epi16)                                                                                            \
    X(psubd, _mm_sub_epi32)                                                                                            \
    X(psubq, _mm_sub_epi64)                                                                                            \
    X(psubsb, _mm_subs_epi8)                                                                                           \
    X(psubsw, _mm_subs_epi16)                                                                                          \
    X(psubusb, _mm_subs_epu8)                                                                                          \
    X(psubusw, _mm_subs_epu16)                                                                                         \
    X(pmullw, _mm_mullo_epi16)                                                                                         \
    X(pmulhw, _mm_mulhi_epi16)                                                                                         \
    X(pmulhuw, _mm_mulhi_epu16)                                                                                        \
    X(pmaddwd, _mm_madd_epi16)                                                                                         \
    X(pmuludq, _mm_mul_epu32)                                                                                          \
    X(psadbw, _mm_sad_epu8)                                                                                            \
    X(pavgb, _mm_avg_epu8)                                                                                             \
    X(pavgw, _mm_avg_epu16)                                                                                            \
    X(pminub, _mm_min_epu8)                                                                                            \
    X(pmaxub, _mm_max_epu8)                                                                                            \
    X(pminsw, _mm_min_epi16)                                                                                           \
    X(pmaxsw, _mm_max_epi16)                                                                                           \
    X(pcmpeqb, _mm_cmpeq_epi8)                                                                                         \
    X(pcmpeqw, _mm_cmpeq_epi16)                                                                                        \
    X(pcmpeqd, _mm_cmpeq_epi32)                                                                                        \
    X(pcmpgtb, _mm_cmpgt_epi8)                                                                                         \
    X(pcmpgtw, _mm_cmpgt_epi16)                                                                                        \
    X(pcmpgtd, _mm_cmpgt_epi32)                                                                                        \
    X(pand, _mm_and_si128)                                                                                             \
    X(pandn, _mm_andnot_si128)                                                                                         \
    X(por, _mm_or_si128)                                                                                               \
    X(pxor, _mm_xor_si128)                                                                                             \
    X(psllw, _mm_sll_epi16)                                                                                            \
    X(pslld, _mm_sll_epi32)                                                                                            \
    X(psllq, _mm_sll_epi64)                                                                                            \
    X(psrlw, _mm_srl_epi16)                                                                                            \
    X(psrld, _mm_srl_epi32)                                                                                            \
    X(psrlq, _mm_srl_epi64)                                                                                            \
    X(psraw, _mm_sra_epi16)                                                                                            \
    X(psrad, _mm_sra_epi32)

/* X(name, intrinsic) for SSE2, whose MMX form is made otherwise or does not exist. */
#define SIMD_CROSSING(X)                                                                                               \
    X(packsswb, _mm_packs_epi16)                                                                                       \
    X(packssdw, _mm_packs_epi32)                                                                                       \
    X(packuswb, _mm_packus_epi16)                                                                                      \
    X(punpcklbw, _mm_unpacklo_epi8)                                                                                    \
    X(punpcklwd, _mm_unpacklo_epi16)                                                                                   \
    X(punpckldq, _mm_unpacklo_epi32)                                                                                   \
    X(punpcklqdq, _mm_unpacklo_epi64)                                                                                  \
    X(punpckhbw, _mm_unpackhi_epi8)                                                                                    \
    X(punpckhwd, _mm_unpackhi_epi16)                                                                                   \
    X(punpckhdq, _mm_unpackhi_epi32)                                                                                   \
    X(punpckhqdq, _mm_unpackhi_epi64)

/* The shifts by an immediate: as by a register that holds it. */
#define SIMD_SHIFTS(X)                                                                                                 \
    X(psllw, _mm_sll_epi16)                                                                                            \
    X(pslld, _mm_sll_epi32)                                                                                            \
    X(psllq, _mm_sll_epi64)                                                                                            \
    X(psrlw, _mm_srl_epi16)                                                                                            \
    X(psrld, _mm_srl_epi32)                                                                                            \
    X(psrlq, _mm_srl_epi64)                                                                                            \
    X(psraw, _mm_sra_epi16)                                                                                            \
    X(psrad, _mm_sra_epi32)

/* MMX forms of what crosses lanes: both halves side by side, then as SSE2. */
static inline __m128i simd_packsswb_mmx(__m128i d, __m128i s)
{
    __m128i both = _mm_unpacklo_epi64(d, s);
    return _mm_packs_epi16(both, both);
}
static inline __m128i simd_packssdw_mmx(__m128i d, __m128i s)
{
    __m128i both = _mm_unpacklo_epi64(d, s);
    return _mm_packs_epi32(both, both);
}
static inline __m128i simd_packuswb_mmx(__m128i d, __m128i s)
{
    __m128i both = _mm_unpacklo_epi64(d, s);
    return _mm_packus_epi16(both, both);
}
static inline __m128i simd_punpckhbw_mmx(__m128i d, __m128i s)
{
    return _mm_srli_si128(_mm_unpacklo_epi8(d, s), 8);
}
static inline __m128i simd_punpckhwd_mmx(__m128i d, __m128i s)
{
    return _mm_srli_si128(_mm_unpacklo_epi16(d, s), 8);
}
static inline __m128i simd_punpckhdq_mmx(__m128i d, __m128i s)
{
    return _mm_srli_si128(_mm_unpacklo_epi32(d, s), 8);
}

/* Four words of q in the order that control names, two bits each. */
static inline uint64_t simd_shuffle_words(uint64_t q, uint64_t control)
{
    uint64_t out = 0;

    for (unsigned n = 0; n < 4; n++)
        out |= (q >> (16 * (control >> (2 * n) & 3)) & 0xFFFF) << (16 * n);
    return out;
}

#endif
