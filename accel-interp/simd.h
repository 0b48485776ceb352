/* Packed-integer arithmetic: one list for MMX, SSE and AVX, and the operations as functions of 128-bit values. An MMX operand
 * is the low half; upper halves of inputs may then hold anything. A 256-bit operand is two lanes. The features that the
 * instructions belong to are in the opcodes_*.def files. */
#ifndef VMRR_ACCEL_INTERP_SIMD_H
#define VMRR_ACCEL_INTERP_SIMD_H

#include "accel-interp/simd_host.h"

#include <stdbool.h>
#include <stdint.h>

/* X(name, intrinsic) of destination and source: element by element, so that the MMX form is the low half of the SSE form. */
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
    X(pmulhrsw, _mm_mulhrs_epi16)                                                                                      \
    X(pmaddubsw, _mm_maddubs_epi16)                                                                                    \
    X(psignb, _mm_sign_epi8)                                                                                           \
    X(psignw, _mm_sign_epi16)                                                                                          \
    X(psignd, _mm_sign_epi32)

/* Those whose MMX form is made otherwise or does not exist. */
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
    X(punpckhqdq, _mm_unpackhi_epi64)                                                                                  \
    X(pshufb, _mm_shuffle_epi8)                                                                                        \
    X(phaddw, _mm_hadd_epi16)                                                                                          \
    X(phaddd, _mm_hadd_epi32)                                                                                          \
    X(phaddsw, _mm_hadds_epi16)                                                                                        \
    X(phsubw, _mm_hsub_epi16)                                                                                          \
    X(phsubd, _mm_hsub_epi32)                                                                                          \
    X(phsubsw, _mm_hsubs_epi16)                                                                                        \
    X(packusdw, _mm_packus_epi32)                                                                                      \
    X(pmulld, _mm_mullo_epi32)                                                                                         \
    X(pmuldq, _mm_mul_epi32)                                                                                           \
    X(pminsb, _mm_min_epi8)                                                                                            \
    X(pmaxsb, _mm_max_epi8)                                                                                            \
    X(pminuw, _mm_min_epu16)                                                                                           \
    X(pmaxuw, _mm_max_epu16)                                                                                           \
    X(pminsd, _mm_min_epi32)                                                                                           \
    X(pmaxsd, _mm_max_epi32)                                                                                           \
    X(pminud, _mm_min_epu32)                                                                                           \
    X(pmaxud, _mm_max_epu32)                                                                                           \
    X(pcmpeqq, _mm_cmpeq_epi64)                                                                                        \
    X(pcmpgtq, _mm_cmpgt_epi64)

/* Shifts by a count in the low quadword of the source; by an immediate as by a register that holds it. */
#define SIMD_SHIFTS(X)                                                                                                 \
    X(psllw, _mm_sll_epi16)                                                                                            \
    X(pslld, _mm_sll_epi32)                                                                                            \
    X(psllq, _mm_sll_epi64)                                                                                            \
    X(psrlw, _mm_srl_epi16)                                                                                            \
    X(psrld, _mm_srl_epi32)                                                                                            \
    X(psrlq, _mm_srl_epi64)                                                                                            \
    X(psraw, _mm_sra_epi16)                                                                                            \
    X(psrad, _mm_sra_epi32)

/* X(name, intrinsic) of the source alone, element by element. */
#define SIMD_UNARY(X)                                                                                                  \
    X(pabsb, _mm_abs_epi8)                                                                                             \
    X(pabsw, _mm_abs_epi16)                                                                                            \
    X(pabsd, _mm_abs_epi32)

/* X(name, intrinsic, bytes): widening of the lowest elements; bytes of memory that make 128 bits. */
#define SIMD_EXTEND(X)                                                                                                 \
    X(pmovsxbw, _mm_cvtepi8_epi16, 8)                                                                                  \
    X(pmovsxbd, _mm_cvtepi8_epi32, 4)                                                                                  \
    X(pmovsxbq, _mm_cvtepi8_epi64, 2)                                                                                  \
    X(pmovsxwd, _mm_cvtepi16_epi32, 8)                                                                                 \
    X(pmovsxwq, _mm_cvtepi16_epi64, 4)                                                                                 \
    X(pmovsxdq, _mm_cvtepi32_epi64, 8)                                                                                 \
    X(pmovzxbw, _mm_cvtepu8_epi16, 8)                                                                                  \
    X(pmovzxbd, _mm_cvtepu8_epi32, 4)                                                                                  \
    X(pmovzxbq, _mm_cvtepu8_epi64, 2)                                                                                  \
    X(pmovzxwd, _mm_cvtepu16_epi32, 8)                                                                                 \
    X(pmovzxwq, _mm_cvtepu16_epi64, 4)                                                                                 \
    X(pmovzxdq, _mm_cvtepu32_epi64, 8)

/* X(name, function) of the source and an immediate. */
#define SIMD_SHUFFLES(X)                                                                                               \
    X(pshufd, simd_pshufd)                                                                                             \
    X(pshuflw, simd_pshuflw)                                                                                           \
    X(pshufhw, simd_pshufhw)

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

/* Both halves side by side are one 128-bit operand, whose pairs are those of the two MMX operands. */
#define SIMD_HORIZONTAL_MMX_(name, fn)                                                                                 \
    static inline __m128i simd_##name##_mmx(__m128i d, __m128i s)                                                      \
    {                                                                                                                  \
        __m128i both = _mm_unpacklo_epi64(d, s);                                                                       \
        return fn(both, both);                                                                                         \
    }
SIMD_HORIZONTAL_MMX_(phaddw, _mm_hadd_epi16)
SIMD_HORIZONTAL_MMX_(phaddd, _mm_hadd_epi32)
SIMD_HORIZONTAL_MMX_(phaddsw, _mm_hadds_epi16)
SIMD_HORIZONTAL_MMX_(phsubw, _mm_hsub_epi16)
SIMD_HORIZONTAL_MMX_(phsubd, _mm_hsub_epi32)
SIMD_HORIZONTAL_MMX_(phsubsw, _mm_hsubs_epi16)
static inline __m128i simd_pshufb_mmx(__m128i d, __m128i s)
{
    return _mm_shuffle_epi8(d, _mm_and_si128(s, _mm_set1_epi8((char)0x87)));
}

/* Four words of q in the order that control names, two bits each. */
static inline uint64_t simd_shuffle_words(uint64_t q, uint64_t control)
{
    uint64_t out = 0;

    for (unsigned n = 0; n < 4; n++)
        out |= (q >> (16 * (control >> (2 * n) & 3)) & 0xFFFF) << (16 * n);
    return out;
}

/* ---- by an immediate -------------------------------------------------------------------------------------------- */

/* The four two-bit fields of an immediate in the four low bytes. */
static inline __m128i simd_fields(unsigned imm)
{
    uint32_t v = (imm | imm << 12) & 0x000F000Fu;

    return _mm_cvtsi32_si128((int)((v | v << 6) & 0x03030303u));
}
static inline __m128i simd_pshufd(__m128i s, unsigned imm)
{
    const __m128i spread = _mm_set_epi32(0x03030303, 0x02020202, 0x01010101, 0);
    __m128i first = _mm_slli_epi16(_mm_shuffle_epi8(simd_fields(imm), spread), 2);

    return _mm_shuffle_epi8(s, _mm_add_epi8(first, _mm_set1_epi32(0x03020100)));
}
static inline __m128i simd_pshuflw(__m128i s, unsigned imm)
{
    const __m128i spread = _mm_set_epi32(-1, -1, 0x03030202, 0x01010000); /* -1: 0 */
    __m128i first = _mm_slli_epi16(_mm_shuffle_epi8(simd_fields(imm), spread), 1);

    return _mm_shuffle_epi8(s, _mm_add_epi8(first, _mm_set_epi32(0x0F0E0D0C, 0x0B0A0908, 0x01000100, 0x01000100)));
}
static inline __m128i simd_pshufhw(__m128i s, unsigned imm)
{
    const __m128i spread = _mm_set_epi32(0x03030202, 0x01010000, -1, -1);
    __m128i first = _mm_slli_epi16(_mm_shuffle_epi8(simd_fields(imm), spread), 1);

    return _mm_shuffle_epi8(s, _mm_add_epi8(first, _mm_set_epi32(0x09080908, 0x09080908, 0x07060504, 0x03020100)));
}
static inline __m128i simd_shufps(__m128i d, __m128i s, unsigned imm)
{
    return _mm_blend_epi16(simd_pshufd(d, imm), simd_pshufd(s, imm), 0xF0);
}
static inline __m128i simd_shufpd(__m128i d, __m128i s, unsigned imm)
{
    __m128i low = imm & 1 ? _mm_srli_si128(d, 8) : d;

    return imm & 2 ? _mm_blend_epi16(low, s, 0xF0) : _mm_unpacklo_epi64(low, s);
}

/* PSHUFB controls that move bytes: 16 bytes from simd_window + 32 + n take byte n and those after it. */
static const uint8_t simd_window[96] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, /**/
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, /**/
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,   /**/
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, /**/
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, /**/
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
static inline __m128i simd_move_bytes(__m128i v, int n)
{
    return _mm_shuffle_epi8(v, _mm_loadu_si128((const __m128i *)(const void *)(simd_window + 32 + n)));
}
static inline __m128i simd_psrldq(__m128i s, unsigned imm)
{
    return simd_move_bytes(s, imm > 16 ? 16 : (int)imm);
}
static inline __m128i simd_pslldq(__m128i s, unsigned imm)
{
    return simd_move_bytes(s, imm > 16 ? -16 : -(int)imm);
}
static inline __m128i simd_palignr(__m128i d, __m128i s, unsigned imm)
{
    int n = imm > 32 ? 32 : (int)imm;

    return _mm_or_si128(simd_move_bytes(s, n), simd_move_bytes(d, n - 16));
}
static inline __m128i simd_palignr_mmx(__m128i d, __m128i s, unsigned imm)
{
    return simd_psrldq(_mm_unpacklo_epi64(s, d), imm);
}

/* Elements of s where the immediate has a 1. */
static inline __m128i simd_pblendw(__m128i d, __m128i s, unsigned imm)
{
    const __m128i bits = _mm_set_epi16(0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
    __m128i chosen = _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((short)imm), bits), bits);

    return _mm_blendv_epi8(d, s, chosen);
}
static inline __m128i simd_pblendd(__m128i d, __m128i s, unsigned imm)
{
    const __m128i bits = _mm_set_epi32(8, 4, 2, 1);
    __m128i chosen = _mm_cmpeq_epi32(_mm_and_si128(_mm_set1_epi32((int)imm), bits), bits);

    return _mm_blendv_epi8(d, s, chosen);
}
/* Bit 2: where in d the window begins; bits 1:0: which doubleword of s it is held against. */
static inline __m128i simd_mpsadbw(__m128i d, __m128i s, unsigned imm)
{
    return _mm_mpsadbw_epu8(imm & 4 ? _mm_srli_si128(d, 4) : d, simd_move_bytes(s, (int)(imm & 3) * 4), 0);
}

#endif
