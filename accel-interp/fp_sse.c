/* Kernels of fp_sse.h that are more than one host instruction, and the report of unmasked exceptions (Intel SDM vol. 1, 11.5;
 * vol. 2, CMPPD, VCMPPD, DPPS, ROUNDPD). */
#include "accel-interp/fp_sse.h"
#include "accel-interp/system_bits.h"

/* ---- unmasked exceptions --------------------------------------------------------------------------------------- */

/* The host computes masked; what an unmasked exception would have reported is worked out from flags and result. Masked
 * underflow is flagged only when inexact, unmasked for every tiny result; flush-to-zero holds only while it is masked;
 * and an unmasked exception found before the computation (invalid, denormal, divide by zero) hides those found after. */
static uint32_t unmasked_flags(const struct interp *cpu)
{
    return (~cpu->s.mxcsr & MXCSR_MASKS) >> MXCSR_MASKS_SHIFT;
}

void fp_trap_begin(struct interp *cpu)
{
    uint32_t control;

    fp_merge_mxcsr(cpu);
    control = (cpu->s.mxcsr & MXCSR_MASK & ~MXCSR_FLAGS) | MXCSR_MASKS;
    if (unmasked_flags(cpu) & FSW_UE)
        control &= ~MXCSR_FTZ;
    fp_unit_set_mxcsr(control);
}

bool fp_trap_lacks_pe(struct interp *cpu, bool tiny)
{
    const uint32_t control = fp_unit_mxcsr();
    const uint32_t out_of_range = (control | (tiny ? FSW_UE : 0)) & unmasked_flags(cpu) & (FSW_OE | FSW_UE);

    if (!out_of_range || !(control & FSW_PE))
        return false;
    fp_unit_set_mxcsr(control & ~(uint32_t)FSW_PE);
    return true;
}

void fp_trap_end(struct interp *cpu, const struct insn *i, bool tiny)
{
    const uint32_t before_mask = FSW_IE | FSW_DE | FSW_ZE, unmasked = unmasked_flags(cpu);
    uint32_t flags = fp_unit_mxcsr() & MXCSR_FLAGS;

    if ((unmasked & FSW_UE) && tiny)
        flags |= FSW_UE;
    if (flags & unmasked & before_mask)
        flags &= before_mask;
    cpu->s.mxcsr |= flags;
    fp_load_mxcsr(cpu);
    if (flags & unmasked)
        RAISE((cpu->cr4 & CR4_OSXMMEXCPT) ? EXC_XM : EXC_UD);
}

static bool tiny_f32(uint32_t bits)
{
    return !(bits & 0x7F800000u) && (bits & 0x007FFFFFu);
}
static bool tiny_f64(uint64_t bits)
{
    return !(bits & 0x7FF0000000000000ull) && (bits & 0x000FFFFFFFFFFFFFull);
}

bool fp_is_tiny(__m128i result, enum fp_ranged ranged)
{
    uint64_t q[2];

    _mm_storeu_si128((__m128i *)q, result);
    switch (ranged & FP_ELEMENTS) {
    case FP_SS: return tiny_f32((uint32_t)q[0]);
    case FP_PS:
        return tiny_f32((uint32_t)q[0]) || tiny_f32((uint32_t)(q[0] >> 32)) || tiny_f32((uint32_t)q[1]) ||
               tiny_f32((uint32_t)(q[1] >> 32));
    case FP_SD: return tiny_f64(q[0]);
    case FP_PD: return tiny_f64(q[0]) || tiny_f64(q[1]);
    }
    return false;
}

__m128i fp_sse_trapping(struct interp *cpu, const struct insn *i, fp_sse_fn *fn, __m128i d, __m128i s,
                        enum fp_ranged ranged)
{
    __m128i result;

    fp_trap_begin(cpu);
    result = fn(d, s);
    if (fp_trap_lacks_pe(cpu, fp_is_tiny(result, ranged)))
        fp_exact(cpu, ranged, d, s);
    fp_trap_end(cpu, i, fp_is_tiny(result, ranged));
    return result;
}

/* ---- ROUNDxx ---------------------------------------------------------------------------------------------------- */

/* imm8: bits 1:0 the rounding unless bit 2 says MXCSR's, bit 3 keeps PE away; the others are not looked at. */
#if !FP_SOFT /* else in fp_soft_sse.c */
#define ROUND_CASE(insn, n)                                                                                            \
    case n:                                                                                                            \
        __asm__ volatile(#insn " $" #n ", %1, %0" : "+x"(d) : "x"(s));                                                 \
        break;
#define ROUND(insn)                                                                                                    \
    __m128i fp_##insn(__m128i d, __m128i s, unsigned imm8)                                                             \
    {                                                                                                                  \
        switch (imm8 & 4 ? imm8 & 12 : imm8 & 11) {                                                                    \
            ROUND_CASE(insn, 0)                                                                                        \
            ROUND_CASE(insn, 1)                                                                                        \
            ROUND_CASE(insn, 2)                                                                                        \
            ROUND_CASE(insn, 3)                                                                                        \
            ROUND_CASE(insn, 4)                                                                                        \
            ROUND_CASE(insn, 8)                                                                                        \
            ROUND_CASE(insn, 9)                                                                                        \
            ROUND_CASE(insn, 10)                                                                                       \
            ROUND_CASE(insn, 11)                                                                                       \
            ROUND_CASE(insn, 12)                                                                                       \
        }                                                                                                              \
        return d;                                                                                                      \
    }
ROUND(roundps)
ROUND(roundpd)
ROUND(roundss)
ROUND(roundsd)
#endif

/* ---- DPPS, DPPD -------------------------------------------------------------------------------------------------- */

/* Each step is an operation of its own to the exceptions: when one is raised, later steps have flagged nothing. Each element
 * of the result has its own sum, whose order of addends shows where several are NaNs. */
static void dot_step(struct interp *cpu, const struct insn *i, fp_sse_fn *fn, __m128i *d, const __m128i *s,
                     unsigned lanes, enum fp_ranged ranged)
{
    const bool masked = !(~cpu->s.mxcsr & MXCSR_MASKS);
    const __m128i before[2] = {d[0], d[lanes - 1]};
    bool tiny = false;

    if (!masked)
        fp_trap_begin(cpu);
    for (unsigned n = 0; n < lanes; n++) {
        d[n] = fn(d[n], s[n]);
        tiny = tiny || (!masked && fp_is_tiny(d[n], ranged));
    }
    if (masked)
        return;
    if (fp_trap_lacks_pe(cpu, tiny)) {
        for (unsigned n = 0; n < lanes; n++)
            fp_exact(cpu, ranged, before[n], s[n]);
    }
    fp_trap_end(cpu, i, tiny);
}

void fp_dpps(struct interp *cpu, const struct insn *i, __m128i *d, const __m128i *s, unsigned lanes)
{
    const __m128i in = fp_mask_ps((unsigned)i->imm >> 4), out = fp_mask_ps((unsigned)i->imm);
    __m128i left[2] = {0}, right[2] = {0};
    unsigned n;

    for (n = 0; n < lanes; n++) { /* an element left out counts as +0 */
        left[n] = _mm_and_si128(d[n], in);
        right[n] = _mm_and_si128(s[n], in);
    }
    dot_step(cpu, i, fp_mulps, left, right, lanes, FP_MUL | FP_PS);
    for (n = 0; n < lanes; n++) {
        right[n] = left[n];
        left[n] = _mm_shuffle_epi32(left[n], 0xB1); /* 1 0 3 2 */
    }
    dot_step(cpu, i, fp_addps, left, right, lanes, FP_ADD | FP_PS);
    for (n = 0; n < lanes; n++) {
        right[n] = _mm_shuffle_epi32(left[n], 0x4E); /* 2 3 0 1 */
    }
    dot_step(cpu, i, fp_addps, left, right, lanes, FP_ADD | FP_PS);
    for (n = 0; n < lanes; n++)
        d[n] = _mm_and_si128(left[n], out);
}

void fp_dppd(struct interp *cpu, const struct insn *i, __m128i *d, const __m128i *s, unsigned lanes)
{
    const __m128i in = fp_mask_pd((unsigned)i->imm >> 4), out = fp_mask_pd((unsigned)i->imm);
    __m128i left[2] = {0}, right[2] = {0};
    unsigned n;

    for (n = 0; n < lanes; n++) {
        left[n] = _mm_and_si128(d[n], in);
        right[n] = _mm_and_si128(s[n], in);
    }
    dot_step(cpu, i, fp_mulpd, left, right, lanes, FP_MUL | FP_PD);
    for (n = 0; n < lanes; n++) {
        right[n] = _mm_shuffle_epi32(left[n], 0x4E);
    }
    dot_step(cpu, i, fp_addpd, left, right, lanes, FP_ADD | FP_PD);
    for (n = 0; n < lanes; n++)
        d[n] = _mm_and_si128(left[n], out);
}

/* ---- VCMPxx ------------------------------------------------------------------------------------------------------ */

/* Predicates 0..7 are the legacy ones, 8..15 others, 16..31 the same sixteen relations, signalling where the first are quiet
 * and the other way round. By relation: 1 less, 2 equal, 4 greater, 8 unordered. */
static const uint8_t relations[16] = {2, 1, 3, 8, 13, 14, 12, 7, 10, 9, 11, 0, 5, 6, 4, 15};
#define SIGNALLING_PREDICATES 0x99996666u /* LT LE NLT NLE NGE NGT GE GT, and the quiet ones' counterparts */

/* With unordered pairs put aside first, so that the comparisons that follow find no quiet NaN. */
#define VCMP_ANY(type)                                                                                                 \
    static __m128i vcmp_any_##type(__m128i d, __m128i s, unsigned predicate)                                           \
    {                                                                                                                  \
        const __m128i unordered = fp_cmp##type##_3(d, s), ones = _mm_set1_epi32(-1);                                   \
        const unsigned relation = relations[predicate & 15];                                                           \
        __m128i left = _mm_andnot_si128(unordered, d), right = _mm_andnot_si128(unordered, s), result;                 \
        if (SIGNALLING_PREDICATES >> predicate & 1)                                                                    \
            (void)fp_cmp##type##_1(d, s);                                                                              \
        const __m128i less = fp_cmp##type##_1(left, right); /* those put aside are 0 = 0 */                            \
        const __m128i equal = _mm_andnot_si128(unordered, fp_cmp##type##_0(left, right));                              \
        const __m128i greater = _mm_andnot_si128(_mm_or_si128(_mm_or_si128(less, equal), unordered), ones);            \
        result = _mm_and_si128(less, relation & 1 ? ones : _mm_setzero_si128());                                       \
        result = _mm_or_si128(result, _mm_and_si128(equal, relation & 2 ? ones : _mm_setzero_si128()));                \
        result = _mm_or_si128(result, _mm_and_si128(greater, relation & 4 ? ones : _mm_setzero_si128()));              \
        return _mm_or_si128(result, _mm_and_si128(unordered, relation & 8 ? ones : _mm_setzero_si128()));              \
    }
#define VCMP_PACKED(type)                                                                                              \
    VCMP_ANY(type)                                                                                                     \
    __m128i fp_vcmp##type(__m128i d, __m128i s, unsigned predicate)                                                    \
    {                                                                                                                  \
        switch (predicate & 31) {                                                                                      \
        case 0: return fp_cmp##type##_0(d, s);                                                                         \
        case 1: return fp_cmp##type##_1(d, s);                                                                         \
        case 2: return fp_cmp##type##_2(d, s);                                                                         \
        case 3: return fp_cmp##type##_3(d, s);                                                                         \
        case 4: return fp_cmp##type##_4(d, s);                                                                         \
        case 5: return fp_cmp##type##_5(d, s);                                                                         \
        case 6: return fp_cmp##type##_6(d, s);                                                                         \
        case 7: return fp_cmp##type##_7(d, s);                                                                         \
        case 9: return fp_cmp##type##_6(s, d);                                                                         \
        case 10: return fp_cmp##type##_5(s, d);                                                                        \
        case 13: return fp_cmp##type##_2(s, d);                                                                        \
        case 14: return fp_cmp##type##_1(s, d);                                                                        \
        default: return vcmp_any_##type(d, s, predicate & 31);                                                         \
        }                                                                                                              \
    }
VCMP_PACKED(ps)
VCMP_PACKED(pd)

/* Scalars: as packed with nothing to find in the other elements. */
__m128i fp_vcmpss(__m128i d, __m128i s, unsigned predicate)
{
    const __m128i zero = _mm_setzero_si128();
    const __m128i result = fp_vcmpps(_mm_blend_epi16(zero, d, 3), _mm_blend_epi16(zero, s, 3), predicate);

    return _mm_blend_epi16(d, result, 3);
}
__m128i fp_vcmpsd(__m128i d, __m128i s, unsigned predicate)
{
    const __m128i result = fp_vcmppd(_mm_move_epi64(d), _mm_move_epi64(s), predicate);

    return _mm_blend_epi16(d, result, 15);
}
