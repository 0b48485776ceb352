/* The soft-float against the host's SSE, FMA and F16C: random operands that lie where results turn, every rounding mode, DAZ
 * and FTZ, all exceptions masked; results and flags. (x87 and unmasked exceptions: test_soft_x87.c and tests/insn.) On a
 * host that is not x86 there is nothing to compare with: skipped. VMRR_SOFT_CASES=2000000 is the long mode. */
#include "tests/accel-interp/soft_cases.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>

#if defined(__x86_64__)
#include <immintrin.h>

struct outcome {
    uint64_t bits;
    uint32_t flags;
};
struct operands {
    uint64_t a, b, c;
};
typedef uint64_t native_fn(struct operands o);
typedef uint64_t soft_fn(struct soft_float *f, const struct soft_format *t, struct operands o);

#define F32(v) _mm_cvtsi32_si128((int)(v))
#define F64(v) _mm_cvtsi64_si128((long long)(v))
#define LOW32(v) ((uint32_t)_mm_cvtsi128_si32(v))
#define LOW64(v) ((uint64_t)_mm_cvtsi128_si64(v))

#define BINARY_(insn, to, from)                                                                                        \
    static uint64_t native_##insn(struct operands o)                                                                   \
    {                                                                                                                  \
        __m128i d = to(o.a), s = to(o.b);                                                                              \
        __asm__ volatile(#insn " %1, %0" : "+x"(d) : "x"(s));                                                          \
        return from(d);                                                                                                \
    }
#define UNARY_(insn, to, from)                                                                                         \
    static uint64_t native_##insn(struct operands o)                                                                   \
    {                                                                                                                  \
        __m128i d = _mm_setzero_si128(), s = to(o.a);                                                                  \
        __asm__ volatile(#insn " %1, %0" : "+x"(d) : "x"(s));                                                          \
        return from(d);                                                                                                \
    }
#define BINARY(op) BINARY_(op##ss, F32, LOW32) BINARY_(op##sd, F64, LOW64)
BINARY(add)
BINARY(sub)
BINARY(mul)
BINARY(div)
BINARY(min)
BINARY(max)
UNARY_(sqrtss, F32, LOW32)
UNARY_(sqrtsd, F64, LOW64)
UNARY_(cvtss2sd, F32, LOW64)
UNARY_(cvtsd2ss, F64, LOW32)

#define SOFT2(op)                                                                                                      \
    static uint64_t try_##op(struct soft_float *f, const struct soft_format *t, struct operands o)                     \
    {                                                                                                                  \
        return soft_##op(f, t, o.a, o.b);                                                                              \
    }
SOFT2(add)
SOFT2(sub)
SOFT2(mul)
SOFT2(div)
SOFT2(min)
SOFT2(max)
static uint64_t try_sqrt(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    return soft_sqrt(f, t, o.a);
}
static uint64_t try_widen(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    return soft_convert(f, t, &soft_f64, o.a);
}
static uint64_t try_narrow(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    return soft_convert(f, t, &soft_f32, o.a);
}

#define TO_INTEGER(insn, to, bits, chop)                                                                               \
    static uint64_t native_##insn##bits(struct operands o)                                                             \
    {                                                                                                                  \
        uint##bits##_t v;                                                                                              \
        __m128i s = to(o.a);                                                                                           \
        __asm__ volatile(#insn " %1, %0" : "=r"(v) : "x"(s));                                                          \
        return v;                                                                                                      \
    }                                                                                                                  \
    static uint64_t try_##insn##bits(struct soft_float *f, const struct soft_format *t, struct operands o)             \
    {                                                                                                                  \
        if (chop)                                                                                                      \
            f->rounding = SOFT_CHOP;                                                                                   \
        return soft_to_integer(f, t, o.a, bits);                                                                       \
    }
TO_INTEGER(cvtss2si, F32, 32, false)
TO_INTEGER(cvtss2si, F32, 64, false)
TO_INTEGER(cvtsd2si, F64, 32, false)
TO_INTEGER(cvtsd2si, F64, 64, false)
TO_INTEGER(cvttss2si, F32, 32, true)
TO_INTEGER(cvttsd2si, F64, 64, true)

#define FROM_INTEGER(insn, bits, from)                                                                                 \
    static uint64_t native_##insn##bits(struct operands o)                                                             \
    {                                                                                                                  \
        uint##bits##_t v = (uint##bits##_t)(o.a >> (o.b & (bits - 1)));                                                \
        __m128i d = _mm_setzero_si128();                                                                               \
        __asm__ volatile(#insn " %1, %0" : "+x"(d) : "r"(v));                                                          \
        return from(d);                                                                                                \
    }                                                                                                                  \
    static uint64_t try_##insn##bits(struct soft_float *f, const struct soft_format *t, struct operands o)             \
    {                                                                                                                  \
        return soft_from_integer(f, t, (int##bits##_t)(o.a >> (o.b & (bits - 1))));                                    \
    }
FROM_INTEGER(cvtsi2ss, 32, LOW32)
FROM_INTEGER(cvtsi2ss, 64, LOW32)
FROM_INTEGER(cvtsi2sd, 64, LOW64)

#define ORDER(insn, to, signals)                                                                                       \
    static uint64_t native_##insn(struct operands o)                                                                   \
    {                                                                                                                  \
        __m128i a = to(o.a), b = to(o.b);                                                                              \
        bool zf, pf, cf;                                                                                               \
        __asm__ volatile(#insn " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(a), "x"(b));                    \
        return pf ? SOFT_UNORDERED : zf ? SOFT_EQUAL : cf ? SOFT_LESS : SOFT_GREATER;                                  \
    }                                                                                                                  \
    static uint64_t try_##insn(struct soft_float *f, const struct soft_format *t, struct operands o)                   \
    {                                                                                                                  \
        return soft_compare(f, t, o.a, o.b, signals);                                                                  \
    }
ORDER(comiss, F32, true)
ORDER(ucomiss, F32, false)
ORDER(comisd, F64, true)
ORDER(ucomisd, F64, false)

/* imm8 can't be a variable: all eight (or 32) at once, a bit each. */
#define PREDICATE_SSE(n)                                                                                               \
    {                                                                                                                  \
        __m128i d = F64(o.a), s = F64(o.b);                                                                            \
        if ((o.c & 31) == n)                                                                                           \
            __asm__ volatile("vcmpsd $" #n ", %1, %0, %0" : "+x"(d) : "x"(s));                                         \
        if ((o.c & 31) == n)                                                                                           \
            return LOW64(d) & 1;                                                                                       \
    }
__attribute__((target("avx"))) static uint64_t native_predicate(struct operands o)
{
    PREDICATE_SSE(0)
    PREDICATE_SSE(1)
    PREDICATE_SSE(2) PREDICATE_SSE(3) PREDICATE_SSE(4) PREDICATE_SSE(5) PREDICATE_SSE(6) PREDICATE_SSE(7)
        PREDICATE_SSE(8) PREDICATE_SSE(9) PREDICATE_SSE(10) PREDICATE_SSE(11) PREDICATE_SSE(12) PREDICATE_SSE(13)
            PREDICATE_SSE(14) PREDICATE_SSE(15) PREDICATE_SSE(16) PREDICATE_SSE(17) PREDICATE_SSE(18) PREDICATE_SSE(19)
                PREDICATE_SSE(20) PREDICATE_SSE(21) PREDICATE_SSE(22) PREDICATE_SSE(23) PREDICATE_SSE(24)
                    PREDICATE_SSE(25) PREDICATE_SSE(26) PREDICATE_SSE(27) PREDICATE_SSE(28) PREDICATE_SSE(29)
                        PREDICATE_SSE(30) PREDICATE_SSE(31) return 0;
}
static uint64_t try_predicate(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    return soft_predicate(f, t, o.a, o.b, o.c & 31);
}

/* ROUNDxx by MXCSR, and FMA, F16C where the host has them. */
#define ROUND(insn, to, from)                                                                                          \
    static uint64_t native_##insn(struct operands o)                                                                   \
    {                                                                                                                  \
        __m128i d = _mm_setzero_si128(), s = to(o.a);                                                                  \
        __asm__ volatile(#insn " $4, %1, %0" : "+x"(d) : "x"(s));                                                      \
        return from(d);                                                                                                \
    }
ROUND(roundss, F32, LOW32)
ROUND(roundsd, F64, LOW64)
static uint64_t try_round(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    return soft_round(f, t, o.a);
}

#define FMA_(insn, to, from, negate)                                                                                   \
    static uint64_t native_##insn(struct operands o)                                                                   \
    {                                                                                                                  \
        __m128i a = to(o.a), b = to(o.b), c = to(o.c);                                                                 \
        __asm__ volatile(#insn " %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));                                              \
        return from(c);                                                                                                \
    }                                                                                                                  \
    static uint64_t try_##insn(struct soft_float *f, const struct soft_format *t, struct operands o)                   \
    {                                                                                                                  \
        return soft_fma(f, t, o.a, o.b, o.c, negate);                                                                  \
    }
FMA_(vfmadd231ss, F32, LOW32, 0)
FMA_(vfmadd231sd, F64, LOW64, 0)
FMA_(vfmsub231sd, F64, LOW64, SOFT_NEGATE_ADDEND)
FMA_(vfnmadd231ss, F32, LOW32, SOFT_NEGATE_PRODUCT)
FMA_(vfnmsub231sd, F64, LOW64, SOFT_NEGATE_PRODUCT | SOFT_NEGATE_ADDEND)

static uint64_t native_ph2ps(struct operands o)
{
    __m128i d, s = F32(o.a & 0xFFFF);
    __asm__ volatile("vcvtph2ps %1, %0" : "=x"(d) : "x"(s));
    return LOW32(d);
}
static uint64_t try_ph2ps(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    struct soft_float own = *f;
    uint64_t r;
    own.daz = false;
    r = soft_convert(&own, t, &soft_f32, o.a);
    f->flags |= own.flags & (f->flags | (uint8_t)~SOFT_DE);
    return r;
}
static uint64_t native_ps2ph(struct operands o)
{
    __m128i d, s = F32(o.a);
    __asm__ volatile("vcvtps2ph $4, %1, %0" : "=x"(d) : "x"(s));
    return LOW32(d) & 0xFFFF;
}
static uint64_t try_ps2ph(struct soft_float *f, const struct soft_format *t, struct operands o)
{
    f->ftz = false;
    return soft_convert(f, t, &soft_f16, o.a);
}

static struct outcome run_native(native_fn *fn, struct operands o, uint32_t mxcsr)
{
    struct outcome r;
    uint32_t before, after;

    __asm__ volatile("stmxcsr %0" : "=m"(before));
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    r.bits = fn(o);
    __asm__ volatile("stmxcsr %0" : "=m"(after));
    __asm__ volatile("ldmxcsr %0" : : "m"(before));
    r.flags = after & 0x3F;
    return r;
}

static unsigned check(const char *name, native_fn *native, soft_fn *soft, const struct soft_format *t)
{
    struct soft_random r = {soft_setting("VMRR_SOFT_SEED", 1)};
    uint64_t cases = soft_cases();
    unsigned bad = 0;

    for (uint64_t n = 0; n < cases && bad < 8; n++) {
        struct operands o = {soft_operand(&r, t), soft_operand(&r, t), soft_operand(&r, t)};
        uint32_t mxcsr =
            0x1F80u | soft_pick(&r, 4) << 13 | (soft_pick(&r, 4) ? 0 : 0x40u) | (soft_pick(&r, 4) ? 0 : 0x8000u);
        /* flags that are there already must not matter */
        const uint32_t sticky = soft_pick(&r, 2) ? soft_pick(&r, 0x40) : 0;
        struct soft_float f = soft_from_mxcsr(mxcsr | sticky);
        struct outcome n_out = run_native(native, o, mxcsr | sticky), s_out;
        f.flags = (uint8_t)sticky;
        s_out.bits = soft(&f, t, o);
        s_out.flags = f.flags;
        if (n_out.bits == s_out.bits && n_out.flags == s_out.flags)
            continue;
        printf("%s a=%" PRIx64 " b=%" PRIx64 " c=%" PRIx64 " mxcsr=%x: host %" PRIx64 " flags %x, soft %" PRIx64
               " flags %x\n",
               name, o.a, o.b, o.c, mxcsr, n_out.bits, n_out.flags, s_out.bits, s_out.flags);
        bad++;
    }
    return bad;
}

#define CHECK_(name, native, soft, t)                                                                                  \
    START_TEST(test_##name)                                                                                            \
    {                                                                                                                  \
        ck_assert_uint_eq(check(#name, native, soft, t), 0);                                                           \
    }                                                                                                                  \
    END_TEST
#define EACH(X)                                                                                                        \
    X(addss, native_addss, try_add, &soft_f32)                                                                         \
    X(addsd, native_addsd, try_add, &soft_f64)                                                                         \
    X(subss, native_subss, try_sub, &soft_f32)                                                                         \
    X(subsd, native_subsd, try_sub, &soft_f64)                                                                         \
    X(mulss, native_mulss, try_mul, &soft_f32)                                                                         \
    X(mulsd, native_mulsd, try_mul, &soft_f64)                                                                         \
    X(divss, native_divss, try_div, &soft_f32)                                                                         \
    X(divsd, native_divsd, try_div, &soft_f64)                                                                         \
    X(minss, native_minss, try_min, &soft_f32)                                                                         \
    X(minsd, native_minsd, try_min, &soft_f64)                                                                         \
    X(maxss, native_maxss, try_max, &soft_f32)                                                                         \
    X(maxsd, native_maxsd, try_max, &soft_f64)                                                                         \
    X(sqrtss, native_sqrtss, try_sqrt, &soft_f32)                                                                      \
    X(sqrtsd, native_sqrtsd, try_sqrt, &soft_f64)                                                                      \
    X(cvtss2sd, native_cvtss2sd, try_widen, &soft_f32)                                                                 \
    X(cvtsd2ss, native_cvtsd2ss, try_narrow, &soft_f64)                                                                \
    X(cvtss2si, native_cvtss2si32, try_cvtss2si32, &soft_f32)                                                          \
    X(cvtss2si64, native_cvtss2si64, try_cvtss2si64, &soft_f32)                                                        \
    X(cvtsd2si, native_cvtsd2si32, try_cvtsd2si32, &soft_f64)                                                          \
    X(cvtsd2si64, native_cvtsd2si64, try_cvtsd2si64, &soft_f64)                                                        \
    X(cvttss2si, native_cvttss2si32, try_cvttss2si32, &soft_f32)                                                       \
    X(cvttsd2si64, native_cvttsd2si64, try_cvttsd2si64, &soft_f64)                                                     \
    X(cvtsi2ss, native_cvtsi2ss32, try_cvtsi2ss32, &soft_f32)                                                          \
    X(cvtsi2ss64, native_cvtsi2ss64, try_cvtsi2ss64, &soft_f32)                                                        \
    X(cvtsi2sd64, native_cvtsi2sd64, try_cvtsi2sd64, &soft_f64)                                                        \
    X(comiss, native_comiss, try_comiss, &soft_f32)                                                                    \
    X(ucomiss, native_ucomiss, try_ucomiss, &soft_f32)                                                                 \
    X(comisd, native_comisd, try_comisd, &soft_f64)                                                                    \
    X(ucomisd, native_ucomisd, try_ucomisd, &soft_f64)                                                                 \
    X(roundss, native_roundss, try_round, &soft_f32)                                                                   \
    X(roundsd, native_roundsd, try_round, &soft_f64)
#define EACH_AVX(X) X(vcmpsd, native_predicate, try_predicate, &soft_f64)
#define EACH_FMA(X)                                                                                                    \
    X(vfmaddss, native_vfmadd231ss, try_vfmadd231ss, &soft_f32)                                                        \
    X(vfmaddsd, native_vfmadd231sd, try_vfmadd231sd, &soft_f64)                                                        \
    X(vfmsubsd, native_vfmsub231sd, try_vfmsub231sd, &soft_f64)                                                        \
    X(vfnmaddss, native_vfnmadd231ss, try_vfnmadd231ss, &soft_f32)                                                     \
    X(vfnmsubsd, native_vfnmsub231sd, try_vfnmsub231sd, &soft_f64)
#define EACH_F16C(X)                                                                                                   \
    X(vcvtph2ps, native_ph2ps, try_ph2ps, &soft_f16)                                                                   \
    X(vcvtps2ph, native_ps2ph, try_ps2ph, &soft_f32)
EACH(CHECK_)
EACH_AVX(CHECK_)
EACH_FMA(CHECK_)
EACH_F16C(CHECK_)

int main(void)
{
    Suite *suite = suite_create("soft-float against the host's SSE");
    TCase *tc = tcase_create("operations");

#define ADD(name, native, soft, t) tcase_add_test(tc, test_##name);
    EACH(ADD)
    if (__builtin_cpu_supports("avx")) {
        EACH_AVX(ADD)
    }
    if (__builtin_cpu_supports("fma")) {
        EACH_FMA(ADD)
    }
    if (__builtin_cpu_supports("avx2")) { /* every processor with AVX2 has F16C */
        EACH_F16C(ADD)
    }
    tcase_set_timeout(tc, 600);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
#else
int main(void)
{
    puts("not an x86 host: nothing to compare with");
    return 77;
}
#endif
