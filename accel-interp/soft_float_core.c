/* Arithmetic on numbers taken apart: exact but for a sticky bit, without formats and NaNs (soft_float_core.h). */
#include "accel-interp/soft_float_core.h"

struct soft_float soft_from_mxcsr(uint32_t mxcsr)
{
    return (struct soft_float){
        .rounding = mxcsr >> 13 & 3,
        .precision = 64,
        .daz = mxcsr & 0x40,
        .ftz = mxcsr & 0x8000,
        .unmasked = (uint8_t)(~mxcsr >> 7 & 0x3F),
    };
}

struct soft_float soft_from_fcw(uint16_t fcw)
{
    static const uint8_t precision[4] = {24, 64, 53, 64}; /* 1 is reserved, and is 64 */
    return (struct soft_float){
        .rounding = fcw >> 10 & 3,
        .precision = precision[fcw >> 8 & 3],
        .unmasked = (uint8_t)(~fcw & 0x3F),
    };
}

static bool zero_sign(const struct soft_float *f, bool a, bool b)
{
    return a == b ? a : f->rounding == SOFT_DOWN;
}

struct soft_number soft_number_add(const struct soft_float *f, struct soft_number a, struct soft_number b)
{
    unsigned distance;

    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        struct soft_number t = a;
        a = b;
        b = t;
    }
    distance = (unsigned)(a.exponent - b.exponent);
    if (a.sign == b.sign) {
        /* room for the carry */
        a.significand = soft_shift_sticky(a.significand, 1) + soft_shift_sticky(b.significand, distance + 1);
        a.exponent++;
    } else {
        a.significand -= soft_shift_sticky(b.significand, distance);
        if (!a.significand)
            a.sign = zero_sign(f, a.sign, b.sign);
    }
    soft_normalise(&a);
    return a;
}

struct soft_number soft_number_mul(struct soft_number a, struct soft_number b)
{
    struct soft_number r = {.kind = SOFT_FINITE, .sign = a.sign ^ b.sign, .exponent = a.exponent + b.exponent + 1};
    r.significand = (a.significand >> 64) * (b.significand >> 64);
    soft_normalise(&r);
    return r;
}

struct soft_number soft_number_div(struct soft_number a, struct soft_number b)
{
    struct soft_number r = {.kind = SOFT_FINITE, .sign = a.sign ^ b.sign, .exponent = a.exponent - b.exponent};
    uint64_t divisor = (uint64_t)(b.significand >> 64);
    soft_u128 dividend = a.significand >> 1, rest;

    r.significand = dividend / divisor << 64;
    rest = dividend % divisor << 64;
    r.significand |= rest / divisor;
    r.significand |= rest % divisor != 0;
    soft_normalise(&r); /* the quotient has 127 or 128 bits: the exponent is right when it has 128 */
    return r;
}

struct soft_number soft_number_sqrt(struct soft_number a)
{
    enum { ROOT_BITS = 68 };
    struct soft_number r = {.kind = SOFT_FINITE, .sign = false};
    bool odd = a.exponent & 1;
    soft_u128 radicand = odd ? a.significand : a.significand >> 1, root = 0, rest = 0;

    for (unsigned n = 0; n < ROOT_BITS; n++) {
        soft_u128 trial = root << 2 | 1;
        rest = rest << 2 | radicand >> 126;
        radicand <<= 2;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    r.exponent = (a.exponent - odd) / 2;
    r.significand = root << (128 - ROOT_BITS) | (rest != 0);
    return r;
}

struct soft_integer soft_number_to_integer(uint8_t rounding, struct soft_number a)
{
    struct soft_integer r = {.fits = true};
    struct soft_rounded kept;

    if (a.kind == SOFT_ZERO)
        return r;
    if (a.exponent > 63)
        return (struct soft_integer){0};
    /* 64 bits before the point, whatever the exponent */
    kept = soft_round_at(rounding, a.sign, soft_shift_sticky(a.significand, (unsigned)(63 - a.exponent)), 64);
    r.magnitude = (uint64_t)kept.kept;
    r.fits = !(kept.kept >> 64);
    r.inexact = kept.inexact;
    r.up = kept.up;
    return r;
}

bool soft_number_to_magnitude(struct soft_float *f, struct soft_number a, uint64_t limit, uint64_t *magnitude)
{
    struct soft_integer r = {0};

    f->rounded_up = false;
    if (a.kind <= SOFT_FINITE)
        r = soft_number_to_integer(f->rounding, a);
    if (!r.fits || r.magnitude > limit) {
        f->flags |= SOFT_IE;
        return false;
    }
    f->flags |= r.inexact ? SOFT_PE : 0;
    f->rounded_up = r.up;
    *magnitude = r.magnitude;
    return true;
}

uint64_t soft_number_to_signed(struct soft_float *f, struct soft_number a, unsigned bits)
{
    const uint64_t limit = 1ull << (bits - 1);
    uint64_t magnitude;

    if (!soft_number_to_magnitude(f, a, limit - !a.sign, &magnitude))
        return limit;
    return (a.sign ? 0 - magnitude : magnitude) & (limit | (limit - 1));
}

uint64_t soft_divide_long(soft_u128 *rest, soft_u128 divisor, int32_t steps)
{
    uint64_t quotient = 0;

    for (int32_t n = 0; n <= steps; n++) {
        if (n)
            *rest <<= 1;
        quotient <<= 1;
        if (*rest >= divisor) {
            *rest -= divisor;
            quotient |= 1;
        }
    }
    return quotient;
}

static int magnitude_compare(const struct soft_number *a, const struct soft_number *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1; /* zero, finite, infinite: in this order */
    if (a->kind != SOFT_FINITE)
        return 0;
    if (a->exponent != b->exponent)
        return a->exponent < b->exponent ? -1 : 1;
    return a->significand == b->significand ? 0 : a->significand < b->significand ? -1 : 1;
}

enum soft_order soft_number_compare(struct soft_number a, struct soft_number b)
{
    int order;

    if (a.kind == SOFT_ZERO && b.kind == SOFT_ZERO)
        return SOFT_EQUAL;
    if (a.sign != b.sign)
        return a.sign ? SOFT_LESS : SOFT_GREATER;
    order = magnitude_compare(&a, &b);
    if (order == 0)
        return SOFT_EQUAL;
    return (order < 0) != a.sign ? SOFT_LESS : SOFT_GREATER;
}

bool soft_special_add(const struct soft_float *f, struct soft_number a, struct soft_number b, struct soft_number *r,
                      bool *invalid)
{
    *invalid = a.kind == SOFT_INFINITE && b.kind == SOFT_INFINITE && a.sign != b.sign;
    if (a.kind == SOFT_FINITE && b.kind == SOFT_FINITE)
        return false;
    *r = a.kind > b.kind ? a : b;
    if (a.kind == SOFT_ZERO && b.kind == SOFT_ZERO)
        r->sign = zero_sign(f, a.sign, b.sign);
    return true;
}

bool soft_special_mul(struct soft_number a, struct soft_number b, struct soft_number *r, bool *invalid)
{
    *invalid = (a.kind == SOFT_INFINITE && b.kind == SOFT_ZERO) || (a.kind == SOFT_ZERO && b.kind == SOFT_INFINITE);
    if (a.kind == SOFT_FINITE && b.kind == SOFT_FINITE)
        return false;
    r->kind = a.kind == SOFT_INFINITE || b.kind == SOFT_INFINITE ? SOFT_INFINITE : SOFT_ZERO;
    r->sign = a.sign ^ b.sign;
    return true;
}

bool soft_special_div(struct soft_float *f, struct soft_number a, struct soft_number b, struct soft_number *r,
                      bool *invalid)
{
    *invalid = a.kind == b.kind && a.kind != SOFT_FINITE;
    if (a.kind == SOFT_FINITE && b.kind == SOFT_FINITE)
        return false;
    if (a.kind == SOFT_FINITE && b.kind == SOFT_ZERO)
        f->flags |= SOFT_ZE;
    r->kind = a.kind == SOFT_INFINITE || b.kind == SOFT_ZERO ? SOFT_INFINITE : SOFT_ZERO;
    r->sign = a.sign ^ b.sign;
    return true;
}
