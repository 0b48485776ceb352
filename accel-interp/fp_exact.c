/* PE beside an unmasked overflow or underflow of SSE and AVX arithmetic: is the result, rounded with an exponent without bounds,
 * inexact? (Intel SDM vol. 1, 4.9.1.4 to 4.9.1.6 and 11.5.2.) Found by soft_float.h; the result itself is of no use. */
#include "accel-interp/fp_sse.h"
#include "accel-interp/soft_float.h"

union elements {
    __m128i v;
    uint32_t s[4];
    uint64_t d[2];
};

static uint64_t get(const union elements *e, unsigned n, bool is_double)
{
    return is_double ? e->d[n] : e->s[n];
}

static void compute(struct soft_float *f, enum fp_ranged operation, const struct soft_format *format, uint64_t a,
                    uint64_t b, bool odd)
{
    switch (operation) {
    case FP_ADD: (void)soft_add(f, format, a, b); break;
    case FP_SUB: (void)soft_sub(f, format, a, b); break;
    case FP_MUL: (void)soft_mul(f, format, a, b); break;
    case FP_DIV: (void)soft_div(f, format, a, b); break;
    case FP_ADDSUB: (void)(odd ? soft_add(f, format, a, b) : soft_sub(f, format, a, b)); break;
    default: break;
    }
}

/* Neighbours of d, then of s. */
static void compute_neighbours(struct soft_float *f, enum fp_ranged operation, bool is_double, const union elements *d,
                               const union elements *s)
{
    const struct soft_format *format = is_double ? &soft_f64 : &soft_f32;
    const unsigned pairs = is_double ? 1 : 2;

    for (unsigned n = 0; n < 2 * pairs; n++) {
        const union elements *e = n < pairs ? d : s;
        const unsigned first = 2 * (n % pairs);
        const uint64_t a = get(e, first, is_double), b = get(e, first + 1, is_double);
        compute(f, operation == FP_HADD ? FP_ADD : FP_SUB, format, a, b, false);
    }
}

void fp_exact(const struct interp *cpu, enum fp_ranged ranged, __m128i d, __m128i s)
{
    const enum fp_ranged operation = ranged & FP_OPERATION, elements = ranged & FP_ELEMENTS;
    const bool is_double = elements == FP_SD || elements == FP_PD, scalar = elements == FP_SS || elements == FP_SD;
    const union elements left = {.v = d}, right = {.v = s};
    struct soft_float f = soft_from_mxcsr(cpu->s.mxcsr);

    if (operation == FP_HADD || operation == FP_HSUB) {
        compute_neighbours(&f, operation, is_double, &left, &right);
    } else if (operation == FP_NARROW) {
        for (unsigned n = 0; n < (scalar ? 1 : 2); n++)
            (void)soft_convert(&f, &soft_f64, &soft_f32, right.d[n]);
    } else {
        for (unsigned n = 0; n < (scalar ? 1 : is_double ? 2 : 4); n++)
            compute(&f, operation, is_double ? &soft_f64 : &soft_f32, get(&left, n, is_double),
                    get(&right, n, is_double), n & 1);
    }
    fp_unit_set_mxcsr(fp_unit_mxcsr() | (f.flags & SOFT_PE));
}
