/* FMA and F16C on soft_float.h's arithmetic, and F16C on the host's (Intel SDM vol. 1, 14.4 and 14.5). Control and flags are the
 * host's MXCSR, as for every kernel of fp_sse.h. */
#include "accel-interp/fp_fma.h"
#include "accel-interp/soft_float.h"

static void add_flags(uint32_t flags)
{
    fp_unit_set_mxcsr(fp_unit_mxcsr() | flags);
}

/* A vector as its elements. */
union elements {
    __m128i v;
    uint32_t s[4];
    uint64_t d[2];
    uint16_t h[8];
};

static uint64_t get(const union elements *e, unsigned n, bool is_double)
{
    return is_double ? e->d[n] : e->s[n];
}

static __m128i multiply_add(struct soft_float *f, __m128i d, __m128i h, __m128i s, unsigned what)
{
    const bool is_double = what & FMA_DOUBLE;
    const unsigned count = what & FMA_SCALAR ? 1 : is_double ? 2 : 4;
    const union elements one = {.v = d}, two = {.v = h}, three = {.v = s};
    union elements out = {.v = d};

    for (unsigned n = 0; n < count; n++) {
        const uint64_t a = get(&one, n, is_double), b = get(&two, n, is_double), c = get(&three, n, is_double);
        unsigned negate = what & FMA_NEGATE_PRODUCT ? SOFT_NEGATE_PRODUCT : 0;
        uint64_t result;
        if (what & (n & 1 ? FMA_NEGATE_ODD : FMA_NEGATE_EVEN))
            negate |= SOFT_NEGATE_ADDEND;
        const struct soft_format *format = is_double ? &soft_f64 : &soft_f32;
        switch (what & FMA_ORDER) {
        case FMA_132: result = soft_fma(f, format, a, c, b, negate); break;
        case FMA_213: result = soft_fma(f, format, b, a, c, negate); break;
        default: result = soft_fma(f, format, b, c, a, negate); break;
        }
        if (is_double)
            out.d[n] = result;
        else
            out.s[n] = (uint32_t)result;
    }
    return out.v;
}

__m128i fp_fma_portable(__m128i d, __m128i h, __m128i s, unsigned what)
{
    struct soft_float f = soft_from_mxcsr(fp_unit_mxcsr());
    const __m128i result = multiply_add(&f, d, h, s, what);

    add_flags(f.flags);
    return result;
}

void fp_exact_fma(const struct interp *cpu, __m128i d, __m128i h, __m128i s, unsigned what)
{
    struct soft_float f = soft_from_mxcsr(cpu->s.mxcsr);

    (void)multiply_add(&f, d, h, s, what);
    add_flags(f.flags & SOFT_PE);
}

/* ---- F16C -------------------------------------------------------------------------------------------------------- */

/* Denormal halves are ordinary numbers: neither DAZ nor the denormal exception know of them. */
static __m128i portable_cvtph2ps(__m128i s)
{
    struct soft_float f = soft_from_mxcsr(fp_unit_mxcsr());
    const union elements in = {.v = s};
    union elements out;

    f.daz = false;
    for (unsigned n = 0; n < 4; n++)
        out.s[n] = (uint32_t)soft_convert(&f, &soft_f16, &soft_f32, in.h[n]);
    add_flags(f.flags & (uint32_t)~SOFT_DE);
    return out.v;
}

/* Denormal results stay, whatever FTZ says. imm8: bits 1:0 the rounding unless bit 2 says MXCSR's. */
static __m128i convert_to_halves(struct soft_float *f, __m128i s, unsigned imm8)
{
    const union elements in = {.v = s};
    union elements out = {.d = {0, 0}};

    f->ftz = false;
    if (!(imm8 & 4))
        f->rounding = imm8 & 3;
    for (unsigned n = 0; n < 4; n++)
        out.h[n] = (uint16_t)soft_convert(f, &soft_f32, &soft_f16, in.s[n]);
    return out.v;
}

static __m128i portable_cvtps2ph(__m128i s, unsigned imm8)
{
    struct soft_float f = soft_from_mxcsr(fp_unit_mxcsr());
    const __m128i result = convert_to_halves(&f, s, imm8);

    add_flags(f.flags);
    return result;
}

void fp_exact_ph(const struct interp *cpu, __m128i s, unsigned imm8)
{
    struct soft_float f = soft_from_mxcsr(cpu->s.mxcsr);

    (void)convert_to_halves(&f, s, imm8);
    if (f.flags & SOFT_DE) /* for the silicon a denormal single is never exact as a half */
        f.flags |= SOFT_PE;
    add_flags(f.flags & SOFT_PE);
}

#if !FP_SOFT
static __m128i host_cvtph2ps(__m128i s)
{
    __asm__ volatile("vcvtph2ps %0, %0" : "+x"(s));
    return s;
}
static __m128i host_cvtps2ph(__m128i s, unsigned imm8)
{
    switch (imm8 & 4 ? 4 : imm8 & 3) {
    case 0: __asm__ volatile("vcvtps2ph $0, %0, %0" : "+x"(s)); break;
    case 1: __asm__ volatile("vcvtps2ph $1, %0, %0" : "+x"(s)); break;
    case 2: __asm__ volatile("vcvtps2ph $2, %0, %0" : "+x"(s)); break;
    case 3: __asm__ volatile("vcvtps2ph $3, %0, %0" : "+x"(s)); break;
    default: __asm__ volatile("vcvtps2ph $4, %0, %0" : "+x"(s)); break;
    }
    return s;
}
#else
#define host_cvtph2ps portable_cvtph2ps
#define host_cvtps2ph portable_cvtps2ph
#endif

__m128i fp_cvtph2ps(uint32_t host_features, __m128i s)
{
    return host_features & HOST_F16C ? host_cvtph2ps(s) : portable_cvtph2ps(s);
}
__m128i fp_cvtps2ph(uint32_t host_features, __m128i s, unsigned imm8)
{
    return host_features & HOST_F16C ? host_cvtps2ph(s, imm8) : portable_cvtps2ph(s, imm8);
}

bool fp_is_tiny_ph(__m128i result)
{
    const union elements e = {.v = result};
    bool tiny = false;

    for (unsigned n = 0; n < 8; n++)
        tiny = tiny || (!(e.h[n] & 0x7C00) && (e.h[n] & 0x03FF));
    return tiny;
}
