/* RCPPS, RCPSS, RSQRTPS, RSQRTSS as Intel's processors have them, in integers (the manual gives an error bound only). Measured
 * on a Xeon of the Skylake generation over all floats: the result has 12 fraction bits and depends on the 11 upper fraction
 * bits of the operand (RSQRT: on 10, and on the exponent's parity); it is the reciprocal, or the reciprocal of the root, of
 * the middle of the interval that these bits name, rounded to nearest. MXCSR plays no part and no flag is set.
 * tests/accel-interp/test_approximate.c compares with the host's. */
#include "accel-interp/fp_sse.h"

#define F32_SIGN 0x80000000u
#define F32_EXPONENT 0x7F800000u
#define F32_FRACTION 0x007FFFFFu
#define F32_QUIET 0x00400000u
#define F32_INDEFINITE 0xFFC00000u
#define RESULT_SHIFT 11 /* 12 of 23 fraction bits */
#define RESULT_FRACTION 0xFFFu

uint32_t fp_rcp_f32(uint32_t a)
{
    uint32_t sign = a & F32_SIGN, exponent = (a & F32_EXPONENT) >> 23;

    if (exponent == 0) /* a denormal counts as zero */
        return sign | F32_EXPONENT;
    if (exponent == 255)
        return a & F32_FRACTION ? a | F32_QUIET : sign;
    if (exponent >= 253) /* would be denormal */
        return sign;
    uint32_t middle = ((a & F32_FRACTION) >> 12 | 0x800) << 1 | 1; /* times 2^-12: 1..2 */
    uint32_t result = ((1u << 25) + middle / 2) / middle;          /* times 2^-13: 1/2..1 */
    return sign | (253 - exponent) << 23 | (result & RESULT_FRACTION) << RESULT_SHIFT;
}

/* 64 * 8192 / sqrt(x) at the beginning of each of 32 parts of 1..2, then of 2..4, less half of the curve's sag, and how much
 * 8192 / sqrt(x) falls by in the part. Straight lines between these are right within 1. */
static const struct {
    uint32_t start, fall;
} rsqrt_parts[64] = {
    {524296, 125}, {516293, 120}, {508646, 114}, {501328, 110}, {494318, 105}, {487593, 101}, {481136, 97},
    {474929, 93},  {468956, 90},  {463202, 87},  {457656, 84},  {452304, 81},  {447135, 78},  {442140, 76},
    {437308, 73},  {432632, 71},  {428102, 69},  {423712, 67},  {419454, 65},  {415322, 63},  {411310, 61},
    {407412, 59},  {403622, 58},  {399937, 56},  {396350, 55},  {392859, 53},  {389458, 52},  {386143, 50},
    {382912, 49},  {379761, 48},  {376687, 47},  {373685, 46},  {370743, 88},  {365084, 85},  {359676, 81},
    {354502, 77},  {349545, 74},  {344790, 71},  {340224, 69},  {335835, 66},  {331611, 64},  {327543, 61},
    {323621, 59},  {319836, 57},  {316182, 55},  {312649, 53},  {309233, 52},  {305926, 50},  {302723, 49},
    {299619, 47},  {296608, 46},  {293686, 44},  {290849, 43},  {288093, 42},  {285413, 41},  {282807, 40},
    {280271, 39},  {277802, 38},  {275397, 37},  {273054, 36},  {270769, 35},  {268541, 34},  {266367, 33},
    {264245, 32},
};

uint32_t fp_rsqrt_f32(uint32_t a)
{
    uint32_t exponent = (a & F32_EXPONENT) >> 23;

    if (exponent == 0)
        return (a & F32_SIGN) | F32_EXPONENT;
    if (exponent == 255 && (a & F32_FRACTION))
        return a | F32_QUIET;
    if (a & F32_SIGN)
        return F32_INDEFINITE;
    if (exponent == 255)
        return 0;
    uint32_t even = ~exponent & 1; /* biased: the value's exponent is odd */
    uint32_t index = (a & F32_FRACTION) >> 13, part = even << 5 | index >> 5;
    uint64_t middle = (uint64_t)((index | 0x400) << 1 | 1) << even; /* times 2^-11: 1..4 */
    uint64_t result = (rsqrt_parts[part].start - ((index & 31) * 2 + 1) * rsqrt_parts[part].fall) >> 6;
    /* r is nearest to 8192 / sqrt(middle * 2^-11) if (2r - 1)^2 * middle <= 2^39 < (2r + 1)^2 * middle. */
    result += (2 * result + 1) * (2 * result + 1) * middle <= 1ull << 39;
    result -= (2 * result - 1) * (2 * result - 1) * middle > 1ull << 39;
    return (380 - exponent) >> 1 << 23 | (uint32_t)(result & RESULT_FRACTION) << RESULT_SHIFT;
}

static inline __m128i with_low(__m128i d, uint32_t low)
{
    return _mm_insert_epi32(d, (int)low, 0);
}
static inline __m128i each(__m128i s, uint32_t (*f)(uint32_t))
{
    return _mm_set_epi32((int)f((uint32_t)_mm_extract_epi32(s, 3)), (int)f((uint32_t)_mm_extract_epi32(s, 2)),
                         (int)f((uint32_t)_mm_extract_epi32(s, 1)), (int)f((uint32_t)_mm_cvtsi128_si32(s)));
}

__m128i fp_approximate_rcpps(__m128i d, __m128i s)
{
    (void)d;
    return each(s, fp_rcp_f32);
}
__m128i fp_approximate_rcpss(__m128i d, __m128i s)
{
    return with_low(d, fp_rcp_f32((uint32_t)_mm_cvtsi128_si32(s)));
}
__m128i fp_approximate_rsqrtps(__m128i d, __m128i s)
{
    (void)d;
    return each(s, fp_rsqrt_f32);
}
__m128i fp_approximate_rsqrtss(__m128i d, __m128i s)
{
    return with_low(d, fp_rsqrt_f32((uint32_t)_mm_cvtsi128_si32(s)));
}
