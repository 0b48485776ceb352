/* SSE2 packed integers, shifts and shuffles, and the SSE logic and unpack forms that are the same bits (Intel SDM vol. 1,
 * 11.4.2). */
#include "accel-interp/simd.h"
#include "accel-interp/sse.h"

/* Binary operations: XMM, XMM/m128. */
#define BINARY(name, fn)                                                                                               \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src)))                                                 \
    SSE_LOAD(name, V16, xmm_set(cpu, i->reg, fn(xmm_get(cpu, i->reg), src)))                                           \
    SSE_FORMS(forms_##name##_sse, name);
SIMD_LANEWISE(BINARY)
SIMD_CROSSING(BINARY)

/* Shifts by an immediate: ModRM.rm is the destination. */
#define SHIFT(name, fn)                                                                                                \
    SSE_REG(name##_imm, xmm_set(cpu, i->rm, fn(src, _mm_cvtsi32_si128((int)i->imm))))                                  \
    SSE_FORMS_REG(forms_##name##_imm_sse, name##_imm);
SIMD_SHIFTS(SHIFT)

/* By bytes. */
static inline __m128i shift_bytes(__m128i v, uint64_t count, bool left)
{
    unsigned __int128 value =
        (unsigned __int128)(uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v)) << 64 | (uint64_t)_mm_cvtsi128_si64(v);

    if (count > 15)
        return _mm_setzero_si128();
    value = left ? value << (8 * count) : value >> (8 * count);
    return _mm_set_epi64x((long long)(value >> 64), (long long)(uint64_t)value);
}
SSE_REG(psrldq, xmm_set(cpu, i->rm, shift_bytes(src, i->imm, false)))
SSE_REG(pslldq, xmm_set(cpu, i->rm, shift_bytes(src, i->imm, true)))
SSE_FORMS_REG(forms_psrldq, psrldq);
SSE_FORMS_REG(forms_pslldq, pslldq);

/* ---- shuffles by an immediate ----------------------------------------------------------------------------------- */

static inline uint64_t low_quad(__m128i v)
{
    return (uint64_t)_mm_cvtsi128_si64(v);
}
static inline uint64_t high_quad(__m128i v)
{
    return (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v));
}
static inline __m128i quads(uint64_t low, uint64_t high)
{
    return _mm_set_epi64x((long long)high, (long long)low);
}

/* Doubleword n (0..3) of the pair. */
static inline uint64_t dword_of(uint64_t low, uint64_t high, uint64_t n)
{
    uint64_t q = n & 2 ? high : low;
    return n & 1 ? q >> 32 : (uint32_t)q;
}
static inline uint64_t dword_pair(__m128i v, uint64_t control)
{
    uint64_t low = low_quad(v), high = high_quad(v);
    return dword_of(low, high, control & 3) | dword_of(low, high, control >> 2 & 3) << 32;
}

#define SHUFFLE(name, result)                                                                                          \
    SSE_REG(name, const __m128i d = xmm_get(cpu, i->reg); (void)d; xmm_set(cpu, i->reg, result))                       \
    SSE_LOAD(name, V16, const __m128i d = xmm_get(cpu, i->reg); (void)d; xmm_set(cpu, i->reg, result))                 \
    SSE_FORMS(forms_##name, name);
SHUFFLE(pshufd, quads(dword_pair(src, i->imm), dword_pair(src, i->imm >> 4)))
SHUFFLE(pshuflw, quads(simd_shuffle_words(low_quad(src), i->imm), high_quad(src)))
SHUFFLE(pshufhw, quads(low_quad(src), simd_shuffle_words(high_quad(src), i->imm)))
SHUFFLE(shufps, quads(dword_pair(d, i->imm), dword_pair(src, i->imm >> 4)))
SHUFFLE(shufpd, quads(i->imm & 1 ? high_quad(d) : low_quad(d), i->imm & 2 ? high_quad(src) : low_quad(src)))

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
