/* FSIN FCOS FSINCOS FPTAN FPATAN F2XM1 FYL2X FYL2XP1 in integers (Intel SDM vol. 1, 8.3.6-8.3.10): for hosts without an x87.
 * Series on significands of 128 bits; what comes out is rounded to 64, so that it is nearly always the correctly rounded
 * result. Angles are reduced by the 66 bits of pi that Intel's processors have. */
#include "accel-interp/fp_x87_soft.h"
#include "accel-interp/soft_float_core.h"

#define NUMBER(e, high, low)                                                                                           \
    {                                                                                                                  \
        .kind = SOFT_FINITE, .exponent = (e), .significand = (soft_u128)(high) << 64 | (low)                           \
    }
static const struct soft_number number_pi = NUMBER(1, 0xC90FDAA22168C234ull, 0xC4C6628B80DC1CD1ull);
static const struct soft_number number_atan_half = NUMBER(-2, 0xED63382B0DDA7B45ull, 0x6FE445ECBC3A8D03ull);
static const struct soft_number number_ln2 = NUMBER(-1, 0xB17217F7D1CF79ABull, 0xC9E3B39803F2F6AFull);
static const struct soft_number number_log2e = NUMBER(0, 0xB8AA3B295C17F0BBull, 0xBE87FED0691D3E88ull);
static const struct soft_number number_one = NUMBER(0, 1ull << 63, 0);

/* Terms this far below the sum don't count any more. */
#define NEGLIGIBLE 120
#define TERMS_MAX 200

static struct soft_number add(struct soft_number a, struct soft_number b)
{
    static const struct soft_float nearest = {.rounding = SOFT_NEAREST};

    if (a.kind == SOFT_ZERO)
        return b;
    if (b.kind == SOFT_ZERO)
        return a;
    return soft_number_add(&nearest, a, b);
}
static struct soft_number negated(struct soft_number a)
{
    a.sign = !a.sign;
    return a;
}
static struct soft_number scaled(struct soft_number a, int32_t by)
{
    a.exponent += by;
    return a;
}

/* The upper 128 bits of a product of 256. */
static struct soft_number mul(struct soft_number a, struct soft_number b)
{
    const uint64_t ah = (uint64_t)(a.significand >> 64), al = (uint64_t)a.significand;
    const uint64_t bh = (uint64_t)(b.significand >> 64), bl = (uint64_t)b.significand;
    const soft_u128 cross =
        ((soft_u128)al * bl >> 64) + (uint64_t)((soft_u128)ah * bl) + (uint64_t)((soft_u128)al * bh);
    struct soft_number r = {.kind = SOFT_FINITE, .sign = a.sign ^ b.sign, .exponent = a.exponent + b.exponent + 1};

    if (a.kind == SOFT_ZERO || b.kind == SOFT_ZERO)
        return (struct soft_number){.kind = SOFT_ZERO, .sign = r.sign};
    r.significand = (soft_u128)ah * bh + ((soft_u128)ah * bl >> 64) + ((soft_u128)al * bh >> 64) + (cross >> 64);
    soft_normalise(&r);
    return r;
}

static struct soft_number divided(struct soft_number a, struct soft_number b)
{
    struct soft_number r = {.kind = SOFT_FINITE, .sign = a.sign ^ b.sign, .exponent = a.exponent - b.exponent};
    soft_u128 rest = a.significand;
    bool carry = false;

    if (a.kind == SOFT_ZERO)
        return a;
    for (unsigned n = 0; n < 128; n++) {
        bool fits = carry || rest >= b.significand;
        if (fits)
            rest -= b.significand;
        r.significand = r.significand << 1 | fits;
        carry = rest >> 127;
        rest <<= 1;
    }
    r.significand |= rest != 0;
    soft_normalise(&r);
    return r;
}

static struct soft_number divided_by(struct soft_number a, unsigned n)
{
    a.significand /= n;
    soft_normalise(&a);
    return a;
}

/* first * (1 + z/d(1) + z^2/(d(1) d(2)) + ...), d given by kind: factorials by one or by two, or the odd numbers. */
enum series { SERIES_EXPONENTIAL, SERIES_SINE, SERIES_COSINE, SERIES_ODD };
static struct soft_number series(enum series kind, struct soft_number first, struct soft_number z)
{
    struct soft_number power = first, sum = first;

    for (unsigned n = 1; n < TERMS_MAX && power.exponent > sum.exponent - NEGLIGIBLE; n++) {
        power = mul(power, z);
        if (power.kind == SOFT_ZERO)
            break;
        switch (kind) {
        case SERIES_EXPONENTIAL: power = divided_by(power, n + 1); break;
        case SERIES_SINE: power = divided_by(power, 2 * n * (2 * n + 1)); break;
        case SERIES_COSINE: power = divided_by(power, (2 * n - 1) * 2 * n); break;
        case SERIES_ODD: break;
        }
        sum = add(sum, kind == SERIES_ODD ? divided_by(power, 2 * n + 1) : power);
    }
    return sum;
}

/* x less a multiple of pi/2, in -pi/4..pi/4; the multiple modulo 4. |x| < 2^63. */
static struct soft_number reduce_angle(struct soft_number x, unsigned *quadrant)
{
    const soft_u128 divisor = (soft_u128)0xC << 64 | 0x90FDAA22168C234Cull; /* pi/2 in units of 2^-67 */
    struct soft_number r = x;
    unsigned quotient;
    soft_u128 rest;

    *quadrant = 0;
    if (x.kind == SOFT_ZERO || x.exponent < -1)
        return x;
    rest = x.significand >> (x.exponent < 0 ? 61 : 60); /* of the significand's 64 bits none is lost */
    quotient = (unsigned)soft_divide_long(&rest, divisor, x.exponent);
    if (rest * 2 > divisor) {
        rest = divisor - rest;
        quotient++;
        r.sign = !r.sign;
    }
    r.significand = rest;
    r.exponent = 127 - 67;
    soft_normalise(&r);
    *quadrant = (x.sign ? 0 - quotient : quotient) & 3;
    return r;
}

static struct soft_number sine(struct soft_number r, unsigned quadrant)
{
    struct soft_number square = mul(r, r), value;

    square.sign = true;
    value = quadrant & 1 ? series(SERIES_COSINE, number_one, square) : series(SERIES_SINE, r, square);
    value.sign ^= quadrant >> 1 & 1;
    return value;
}

/* atan(t) for 0 <= t <= 1: about 0, 1/2 or 1, whichever is nearest. */
static struct soft_number arc(struct soft_number t)
{
    static const struct soft_number half = NUMBER(-1, 1ull << 63, 0);
    struct soft_number centre = number_one, base = scaled(number_pi, -2), u, square;

    if (t.kind == SOFT_ZERO || t.exponent < -2) {
        square = mul(t, t);
        square.sign = true;
        return series(SERIES_ODD, t, square);
    }
    if (t.exponent < -1 || (t.exponent == -1 && t.significand < (soft_u128)3 << 126)) {
        centre = half;
        base = number_atan_half;
    }
    u = divided(add(t, negated(centre)), add(number_one, mul(t, centre)));
    if (u.kind == SOFT_ZERO)
        return base;
    square = mul(u, u);
    square.sign = true;
    return add(base, series(SERIES_ODD, u, square));
}

/* log2((1 + s) / (1 - s)) */
static struct soft_number log2_ratio(struct soft_number s)
{
    return scaled(mul(series(SERIES_ODD, s, mul(s, s)), number_log2e), 1);
}

static struct soft_number from_integer(int32_t v)
{
    struct soft_number n = {.kind = SOFT_FINITE, .sign = v < 0, .exponent = 127};
    n.significand = (uint32_t)(v < 0 ? -v : v);
    soft_normalise(&n);
    return n;
}

static struct soft_number log2_of(struct soft_number x)
{
    int32_t exponent = x.exponent;

    x.exponent = 0;
    if (x.significand > (soft_u128)0xB504F333F9DE6484ull << 64) { /* sqrt 2 */
        x.exponent = -1;
        exponent++;
    }
    return add(from_integer(exponent), log2_ratio(divided(add(x, negated(number_one)), add(x, number_one))));
}

/* ---- the functions, with what they do at the ends ---------------------------------------------------------------- */

static struct soft_number zero(bool sign)
{
    return (struct soft_number){.kind = SOFT_ZERO, .sign = sign};
}
static struct soft_number infinite(bool sign)
{
    return (struct soft_number){.kind = SOFT_INFINITE, .sign = sign};
}
static struct soft_number invalid(struct soft_float *f)
{
    f->flags |= SOFT_IE;
    return (struct soft_number){.kind = SOFT_UNSUPPORTED};
}
/* Inexact, whatever the 128 bits are. */
static struct soft_number inexact(struct soft_number n)
{
    n.significand |= 1;
    return n;
}

static struct soft_number two_to_x_minus_1(struct soft_number x)
{
    struct soft_number y;

    if (x.kind == SOFT_INFINITE)
        return x.sign ? negated(number_one) : x;
    if (x.kind == SOFT_ZERO || x.exponent > 0)
        return x;
    if (x.exponent == 0 && !(x.significand << 1)) /* 1, or -1/2 */
        return x.sign ? negated(scaled(number_one, -1)) : x;
    y = mul(x, number_ln2);
    return inexact(series(SERIES_EXPONENTIAL, y, y));
}

static struct soft_number arc_tangent(struct soft_number y, struct soft_number x)
{
    const bool sign = y.sign,
               swap = soft_number_compare(
                          (struct soft_number){.kind = y.kind, .exponent = y.exponent, .significand = y.significand},
                          (struct soft_number){.kind = x.kind, .exponent = x.exponent, .significand = x.significand}) ==
                      SOFT_GREATER;
    struct soft_number angle;

    if (x.kind == SOFT_INFINITE && y.kind == SOFT_INFINITE)
        angle = scaled(number_pi, -2);
    else if (y.kind == SOFT_ZERO || x.kind == SOFT_INFINITE)
        angle = zero(false);
    else if (x.kind == SOFT_ZERO || y.kind == SOFT_INFINITE)
        angle = zero(false); /* swapped: pi/2 */
    else {
        angle = swap ? divided(x, y) : divided(y, x);
        angle.sign = false;
        angle = arc(angle);
    }
    if (swap)
        angle = add(scaled(number_pi, -1), angle.kind == SOFT_ZERO || x.sign ? angle : negated(angle));
    else if (x.sign)
        angle = add(number_pi, angle.kind == SOFT_ZERO ? angle : negated(angle));
    angle.sign = sign;
    return angle.kind == SOFT_ZERO ? angle : inexact(angle);
}

/* y * logarithm, where that is known to be `log`; not both 0 and infinite. */
static struct soft_number product(struct soft_float *f, struct soft_number y, struct soft_number log)
{
    bool sign = y.sign ^ log.sign;

    if ((y.kind == SOFT_INFINITE && log.kind == SOFT_ZERO) || (y.kind == SOFT_ZERO && log.kind == SOFT_INFINITE))
        return invalid(f);
    if (y.kind == SOFT_INFINITE || log.kind == SOFT_INFINITE)
        return infinite(sign);
    if (y.kind == SOFT_ZERO || log.kind == SOFT_ZERO)
        return zero(sign);
    return mul(y, log);
}

static struct soft_number y_log2_x(struct soft_float *f, struct soft_number y, struct soft_number x)
{
    struct soft_number r;

    if (x.sign && x.kind != SOFT_ZERO)
        return invalid(f);
    if (x.kind == SOFT_ZERO) {
        if (y.kind == SOFT_FINITE)
            f->flags |= SOFT_ZE;
        return product(f, y, infinite(true));
    }
    if (x.kind == SOFT_INFINITE)
        return product(f, y, x);
    r = product(f, y, log2_of(x));
    return r.kind == SOFT_FINITE ? inexact(r) : r;
}

static struct soft_number y_log2_x_plus_1(struct soft_float *f, struct soft_number y, struct soft_number x)
{
    struct soft_number two = scaled(number_one, 1), r;

    if (x.kind == SOFT_INFINITE)
        return x.sign ? invalid(f) : product(f, y, x);
    if (x.kind == SOFT_ZERO)
        return product(f, y, x);
    if (x.sign && x.exponent >= 0) /* below -1 + something: not defined */
        return x.exponent == 0 && x.significand == SOFT_TOP ? product(f, y, infinite(true)) : invalid(f);
    r = product(f, y, x.exponent < -1 ? log2_ratio(divided(x, add(two, x))) : log2_of(add(x, number_one)));
    return r.kind == SOFT_FINITE ? inexact(r) : r;
}

/* Sine, cosine and tangent; false: out of range. */
static bool circular(struct soft_float *f, enum fp_transcendental function, struct soft_number x,
                     struct soft_number out[2])
{
    unsigned quadrant;
    struct soft_number r;

    if (x.kind == SOFT_INFINITE) {
        out[0] = out[1] = invalid(f);
        return true;
    }
    if (x.kind == SOFT_FINITE && x.exponent >= 63)
        return false;
    r = reduce_angle(x, &quadrant);
    out[0] = x.kind == SOFT_ZERO ? x : inexact(sine(r, quadrant));
    out[1] = x.kind == SOFT_ZERO ? number_one : inexact(sine(r, quadrant + 1));
    if (function == FP_FCOS)
        out[0] = out[1];
    if (function == FP_FPTAN) {
        if (x.kind != SOFT_ZERO)
            out[0] = inexact(divided(out[0], out[1]));
        out[1] = number_one;
    }
    return true;
}

static bool is_nan(struct soft_number n)
{
    return n.kind >= SOFT_NAN;
}

struct fp_transcendental_result fp_transcendental_compute(struct soft_float *f, enum fp_transcendental function,
                                                          struct cpu_x87_register st0, struct cpu_x87_register st1)
{
    const bool two = fp_transcendental_pops(function);
    struct soft_number x = soft80_unpack(st0), y = soft80_unpack(st1), out[2] = {{0}};
    struct fp_transcendental_result r = {0};
    bool up;

    f->rounded_up = false;
    if (is_nan(x) || (two && is_nan(y))) { /* addition has the same rules */
        r.value[0] = r.value[1] = soft80_number_add(f, two ? y : x, x, false);
        return r;
    }
    switch (function) {
    case FP_F2XM1: out[0] = two_to_x_minus_1(x); break;
    case FP_FYL2X: out[0] = y_log2_x(f, y, x); break;
    case FP_FYL2XP1: out[0] = y_log2_x_plus_1(f, y, x); break;
    case FP_FPATAN: out[0] = arc_tangent(y, x); break;
    default: r.out_of_range = !circular(f, function, x, out); break;
    }
    if (!(f->flags & (SOFT_IE | SOFT_ZE)) && !r.out_of_range && (x.denormal || (two && y.denormal)))
        f->flags |= SOFT_DE;
    if (r.out_of_range || soft_stopped(f))
        return r;
    r.value[0] = soft80_pack(f, out[0], 64);
    up = f->rounded_up;
    if (fp_transcendental_pushes(function)) {
        r.value[1] = soft80_pack(f, out[1], 64);
        f->rounded_up |= up;
    }
    return r;
}
