/* PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM and their VEX forms (Intel SDM vol. 1, 12.11; vol. 2, 4.1). Their memory operand
 * needs no alignment in either encoding. */
#include "accel-interp/avx.h"

#define STRING_WORDS 0x01u
#define STRING_SIGNED 0x02u
#define STRING_OPERATION 0x0Cu
#define STRING_NEGATIVE 0x10u
#define STRING_MASKED 0x20u
#define STRING_HIGH 0x40u /* index: of the highest bit; mask: one element a bit */

static unsigned string_elements(unsigned imm)
{
    return imm & STRING_WORDS ? 8 : 16;
}

/* A comparison's elements as bits. */
static unsigned string_bits(__m128i compared, unsigned imm)
{
    if (imm & STRING_WORDS)
        compared = _mm_packs_epi16(compared, _mm_setzero_si128());
    return (unsigned)_mm_movemask_epi8(compared);
}
static unsigned string_low_bits(unsigned count)
{
    return (1u << count) - 1;
}

static __m128i string_equal(__m128i a, __m128i b, unsigned imm)
{
    return imm & STRING_WORDS ? _mm_cmpeq_epi16(a, b) : _mm_cmpeq_epi8(a, b);
}
static __m128i string_greater(__m128i a, __m128i b, unsigned imm)
{
    return imm & STRING_WORDS ? _mm_cmpgt_epi16(a, b) : _mm_cmpgt_epi8(a, b);
}
/* Element n everywhere. */
static __m128i string_broadcast(__m128i v, unsigned n, unsigned imm)
{
    return _mm_shuffle_epi8(v,
                            imm & STRING_WORDS ? _mm_set1_epi16((short)(n * 0x202 + 0x100)) : _mm_set1_epi8((char)n));
}

static unsigned string_equal_any(__m128i a, unsigned length, __m128i b, unsigned imm)
{
    __m128i found = _mm_setzero_si128();

    for (unsigned n = 0; n < length; n++)
        found = _mm_or_si128(found, string_equal(string_broadcast(a, n, imm), b, imm));
    return string_bits(found, imm);
}

static unsigned string_ranges(__m128i a, unsigned length, __m128i b, unsigned imm)
{
    __m128i found = _mm_setzero_si128();

    if (!(imm & STRING_SIGNED)) {
        const __m128i sign = imm & STRING_WORDS ? _mm_set1_epi16(INT16_MIN) : _mm_set1_epi8(INT8_MIN);
        a = _mm_xor_si128(a, sign);
        b = _mm_xor_si128(b, sign);
    }
    for (unsigned n = 0; n + 1 < length; n += 2) {
        __m128i below = string_greater(string_broadcast(a, n, imm), b, imm);
        __m128i above = string_greater(b, string_broadcast(a, n + 1, imm), imm);
        found = _mm_or_si128(found, _mm_andnot_si128(_mm_or_si128(below, above), _mm_set1_epi8(-1)));
    }
    return string_bits(found, imm);
}

/* Where a begins in b; what would lie behind the end of the register is taken for equal. */
static unsigned string_equal_ordered(__m128i a, unsigned length, __m128i b, unsigned valid, unsigned imm)
{
    const unsigned all = string_low_bits(string_elements(imm));
    unsigned found = all;

    for (unsigned n = 0; n < length; n++) {
        unsigned equal = string_bits(string_equal(string_broadcast(a, n, imm), b, imm), imm) & valid;
        found &= equal >> n | ~(all >> n);
    }
    return found;
}

/* IntRes2. */
__attribute__((noinline)) static unsigned string_compare(__m128i a, unsigned a_length, __m128i b, unsigned b_length,
                                                         unsigned imm)
{
    const unsigned all = string_low_bits(string_elements(imm)), valid = string_low_bits(b_length);
    unsigned a_valid = string_low_bits(a_length), found;

    switch (imm & STRING_OPERATION) {
    case 0x0: found = string_equal_any(a, a_length, b, imm) & valid; break;
    case 0x4: found = string_ranges(a, a_length, b, imm) & valid; break;
    case 0x8: found = (string_bits(string_equal(a, b, imm), imm) & a_valid & valid) | (all & ~(a_valid | valid)); break;
    default: found = string_equal_ordered(a, a_length, b, valid, imm); break;
    }
    if (imm & STRING_NEGATIVE)
        found ^= imm & STRING_MASKED ? valid : all;
    return found;
}

static inline unsigned string_implicit_length(__m128i v, unsigned imm)
{
    return (unsigned)__builtin_ctz(string_bits(string_equal(v, _mm_setzero_si128(), imm), imm) |
                                   1u << string_elements(imm));
}
static inline unsigned string_explicit_length(const struct interp *cpu, const struct insn *i, unsigned number,
                                              unsigned imm)
{
    int64_t value = insn_osize(i) == 3 ? (int64_t)reg_get64(cpu, number) : (int32_t)reg_get32(cpu, number);
    uint64_t length = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, most = string_elements(imm);

    return (unsigned)(length < most ? length : most);
}

static inline unsigned string_finish(struct interp *cpu, __m128i a, unsigned a_length, __m128i b, unsigned b_length,
                                     unsigned imm)
{
    unsigned found = string_compare(a, a_length, b, b_length, imm), most = string_elements(imm);

    flags_set_arith(cpu, (found ? FLAG_CF : 0) | (b_length < most ? FLAG_ZF : 0) | (a_length < most ? FLAG_SF : 0) |
                             (found & 1 ? FLAG_OF : 0));
    return found;
}
static inline unsigned string_implicit(struct interp *cpu, const struct insn *i, __m128i a, __m128i b)
{
    unsigned imm = insn_imm8(i);

    return string_finish(cpu, a, string_implicit_length(a, imm), b, string_implicit_length(b, imm), imm);
}
static inline unsigned string_explicit(struct interp *cpu, const struct insn *i, __m128i a, __m128i b)
{
    unsigned imm = insn_imm8(i);

    return string_finish(cpu, a, string_explicit_length(cpu, i, CPU_RAX, imm), b,
                         string_explicit_length(cpu, i, CPU_RDX, imm), imm);
}

static inline void string_set_index(struct interp *cpu, unsigned found, unsigned imm)
{
    unsigned index = string_elements(imm);

    if (found)
        index = imm & STRING_HIGH ? 31 - (unsigned)__builtin_clz(found) : (unsigned)__builtin_ctz(found);
    reg_set32(cpu, CPU_RCX, index);
}
static inline __m128i string_mask(unsigned found, unsigned imm)
{
    const __m128i words = _mm_set_epi16(0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
    const __m128i bytes = _mm_set1_epi64x((long long)0x8040201008040201ull);
    __m128i v = _mm_cvtsi32_si128((int)found);

    if (!(imm & STRING_HIGH))
        return v;
    if (imm & STRING_WORDS)
        return _mm_cmpeq_epi16(_mm_and_si128(_mm_set1_epi16((short)found), words), words);
    v = _mm_shuffle_epi8(v, _mm_set_epi32(0x01010101, 0x01010101, 0, 0));
    return _mm_cmpeq_epi8(_mm_and_si128(v, bytes), bytes);
}

#define STRING(name, kind, SET)                                                                                        \
    SSE_REG(name, SET(xmm_set, string_##kind(cpu, i, xmm_get(cpu, i->reg), src)))                                      \
    SSE_LOAD(name, V16U, SET(xmm_set, string_##kind(cpu, i, xmm_get(cpu, i->reg), src)))                               \
    SSE_FORMS(forms_##name##_sse, name);                                                                               \
    AVX_BOTH(v##name, V16U, SET(ymm_set_low, string_##kind(cpu, i, xmm_get(cpu, i->reg), src)))                        \
    SSE_FORMS(forms_v##name##128, v##name);
#define SET_INDEX(set, found) string_set_index(cpu, found, insn_imm8(i))
#define SET_MASK(set, found) set(cpu, 0, string_mask(found, insn_imm8(i)))
STRING(pcmpestri, explicit, SET_INDEX)
STRING(pcmpestrm, explicit, SET_MASK)
STRING(pcmpistri, implicit, SET_INDEX)
STRING(pcmpistrm, implicit, SET_MASK)
