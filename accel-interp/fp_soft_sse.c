/* SSE kernels of fp.h and fp_sse.h by soft_float.h (fp_soft.h). Empty when the host's units compute. */
#include "accel-interp/fp_sse.h"

#if FP_SOFT
#include "accel-interp/soft_float.h"

#include <string.h>

_Thread_local struct fp_soft_unit fp_soft_unit;

union lanes {
    uint32_t d[4];
    uint64_t q[2];
};
static union lanes lanes_of(__m128i v)
{
    union lanes l;
    memcpy(&l, &v, sizeof l);
    return l;
}
static __m128i vector_of(union lanes l)
{
    __m128i v;
    memcpy(&v, &l, sizeof v);
    return v;
}

static struct soft_float begin(void)
{
    return soft_from_mxcsr(fp_soft_unit.mxcsr);
}
static void end(const struct soft_float *f)
{
    fp_soft_unit.mxcsr |= f->flags;
}

/* use: statements over f, d and s, with the result in d. */
#define KERNEL(name, use)                                                                                              \
    __m128i fp_##name(__m128i destination, __m128i source)                                                             \
    {                                                                                                                  \
        union lanes d = lanes_of(destination), s = lanes_of(source);                                                   \
        struct soft_float f = begin();                                                                                 \
        use;                                                                                                           \
        end(&f);                                                                                                       \
        return vector_of(d);                                                                                           \
    }
#define EACH_D(use)                                                                                                    \
    for (unsigned n = 0; n < 4; n++)                                                                                   \
    use
#define EACH_Q(use)                                                                                                    \
    for (unsigned n = 0; n < 2; n++)                                                                                   \
    use
#define D(n) d.d[n] = (uint32_t)

#define BINARY(op)                                                                                                     \
    KERNEL(op##ps, EACH_D(D(n) soft_##op(&f, &soft_f32, d.d[n], s.d[n])))                                              \
    KERNEL(op##pd, EACH_Q(d.q[n] = soft_##op(&f, &soft_f64, d.q[n], s.q[n])))                                          \
    KERNEL(op##ss, D(0) soft_##op(&f, &soft_f32, d.d[0], s.d[0]))                                                      \
    KERNEL(op##sd, d.q[0] = soft_##op(&f, &soft_f64, d.q[0], s.q[0]))
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
BINARY(min)
BINARY(max)
KERNEL(sqrtps, EACH_D(D(n) soft_sqrt(&f, &soft_f32, s.d[n])))
KERNEL(sqrtpd, EACH_Q(d.q[n] = soft_sqrt(&f, &soft_f64, s.q[n])))
KERNEL(sqrtss, D(0) soft_sqrt(&f, &soft_f32, s.d[0]))
KERNEL(sqrtsd, d.q[0] = soft_sqrt(&f, &soft_f64, s.q[0]))

/* Of neighbours, d's in the lower half and s's in the upper. */
#define PAIR_D(n) (n < 2 ? d : s).d[2 * (n & 1)], (n < 2 ? d : s).d[2 * (n & 1) + 1]
#define HORIZONTAL(name, op)                                                                                           \
    __m128i fp_##name##ps(__m128i destination, __m128i source)                                                         \
    {                                                                                                                  \
        union lanes d = lanes_of(destination), s = lanes_of(source), r;                                                \
        struct soft_float f = begin();                                                                                 \
        for (unsigned n = 0; n < 4; n++)                                                                               \
            r.d[n] = (uint32_t)soft_##op(&f, &soft_f32, PAIR_D(n));                                                    \
        end(&f);                                                                                                       \
        return vector_of(r);                                                                                           \
    }                                                                                                                  \
    KERNEL(name##pd, d.q[0] = soft_##op(&f, &soft_f64, d.q[0], d.q[1]);                                                \
           d.q[1] = soft_##op(&f, &soft_f64, s.q[0], s.q[1]))
HORIZONTAL(hadd, add)
HORIZONTAL(hsub, sub)
KERNEL(addsubps, EACH_D(D(n)(n & 1 ? soft_add : soft_sub)(&f, &soft_f32, d.d[n], s.d[n])))
KERNEL(addsubpd, EACH_Q(d.q[n] = (n & 1 ? soft_add : soft_sub)(&f, &soft_f64, d.q[n], s.q[n])))

/* imm8: bits 1:0 the rounding unless bit 2 says MXCSR's, bit 3 keeps PE away. */
#define ROUND(name, use)                                                                                               \
    __m128i fp_##name(__m128i destination, __m128i source, unsigned imm8)                                              \
    {                                                                                                                  \
        union lanes d = lanes_of(destination), s = lanes_of(source);                                                   \
        struct soft_float f = begin();                                                                                 \
        if (!(imm8 & 4))                                                                                               \
            f.rounding = imm8 & 3;                                                                                     \
        use;                                                                                                           \
        if (imm8 & 8)                                                                                                  \
            f.flags &= (uint8_t)~SOFT_PE;                                                                              \
        end(&f);                                                                                                       \
        return vector_of(d);                                                                                           \
    }
ROUND(roundps, EACH_D(D(n) soft_round(&f, &soft_f32, s.d[n])))
ROUND(roundpd, EACH_Q(d.q[n] = soft_round(&f, &soft_f64, s.q[n])))
ROUND(roundss, D(0) soft_round(&f, &soft_f32, s.d[0]))
ROUND(roundsd, d.q[0] = soft_round(&f, &soft_f64, s.q[0]))

/* Conversions. A result of half the width leaves zeros above it. */
KERNEL(cvtps2pd, EACH_Q(d.q[n] = soft_convert(&f, &soft_f32, &soft_f64, s.d[n])))
KERNEL(cvtpd2ps, EACH_Q(D(n) soft_convert(&f, &soft_f64, &soft_f32, s.q[n])); d.q[1] = 0)
KERNEL(cvtss2sd, d.q[0] = soft_convert(&f, &soft_f32, &soft_f64, s.d[0]))
KERNEL(cvtsd2ss, D(0) soft_convert(&f, &soft_f64, &soft_f32, s.q[0]))
KERNEL(cvtdq2ps, EACH_D(D(n) soft_from_integer(&f, &soft_f32, (int32_t)s.d[n])))
KERNEL(cvtdq2pd, EACH_Q(d.q[n] = soft_from_integer(&f, &soft_f64, (int32_t)s.d[n])))
KERNEL(cvtps2dq, EACH_D(D(n) soft_to_integer(&f, &soft_f32, s.d[n], 32)))
KERNEL(cvtpd2dq, EACH_Q(D(n) soft_to_integer(&f, &soft_f64, s.q[n], 32)); d.q[1] = 0)
#define CHOP f.rounding = SOFT_CHOP
KERNEL(cvttps2dq, CHOP; EACH_D(D(n) soft_to_integer(&f, &soft_f32, s.d[n], 32)))
KERNEL(cvttpd2dq, CHOP; EACH_Q(D(n) soft_to_integer(&f, &soft_f64, s.q[n], 32)); d.q[1] = 0)

#define FROM(name, t, to, bits, from) KERNEL(name##_##bits, to soft_from_integer(&f, &t, (int##bits##_t)from))
FROM(cvtsi2ss, soft_f32, D(0), 32, s.d[0])
FROM(cvtsi2ss, soft_f32, D(0), 64, s.q[0])
FROM(cvtsi2sd, soft_f64, d.q[0] =, 32, s.d[0])
FROM(cvtsi2sd, soft_f64, d.q[0] =, 64, s.q[0])
#define TO(name, t, from, bits) KERNEL(name##_##bits, d.q[0] = soft_to_integer(&f, &t, from, bits); d.q[1] = 0)
TO(cvtss2si, soft_f32, s.d[0], 32)
TO(cvtss2si, soft_f32, s.d[0], 64)
TO(cvtsd2si, soft_f64, s.q[0], 32)
TO(cvtsd2si, soft_f64, s.q[0], 64)
#define TO_CHOP(name, t, from, bits)                                                                                   \
    KERNEL(name##_##bits, CHOP; d.q[0] = soft_to_integer(&f, &t, from, bits); d.q[1] = 0)
TO_CHOP(cvttss2si, soft_f32, s.d[0], 32)
TO_CHOP(cvttss2si, soft_f32, s.d[0], 64)
TO_CHOP(cvttsd2si, soft_f64, s.q[0], 32)
TO_CHOP(cvttsd2si, soft_f64, s.q[0], 64)

#define COMPARE(n_)                                                                                                    \
    KERNEL(cmpps_##n_, EACH_D(D(n) - soft_predicate(&f, &soft_f32, d.d[n], s.d[n], n_)))                               \
    KERNEL(cmppd_##n_, EACH_Q(d.q[n] = 0 - (uint64_t)soft_predicate(&f, &soft_f64, d.q[n], s.q[n], n_)))               \
    KERNEL(cmpss_##n_, D(0) - soft_predicate(&f, &soft_f32, d.d[0], s.d[0], n_))                                       \
    KERNEL(cmpsd_##n_, d.q[0] = 0 - (uint64_t)soft_predicate(&f, &soft_f64, d.q[0], s.q[0], n_))
COMPARE(0)
COMPARE(1)
COMPARE(2)
COMPARE(3)
COMPARE(4)
COMPARE(5)
COMPARE(6)
COMPARE(7)

/* ZF, PF, CF in bits 0, 1, 2. */
static uint64_t order_bits(enum soft_order order)
{
    static const uint8_t bits[] = {4, 1, 0, 7};
    return bits[order];
}
#define ORDER(name, t, lane, signalling)                                                                               \
    KERNEL(name, d.q[0] = order_bits(soft_compare(&f, &t, d.lane[0], s.lane[0], signalling)); d.q[1] = 0)
ORDER(comiss, soft_f32, d, true)
ORDER(ucomiss, soft_f32, d, false)
ORDER(comisd, soft_f64, q, true)
ORDER(ucomisd, soft_f64, q, false)
#else
typedef int fp_soft_sse_is_empty;
#endif
