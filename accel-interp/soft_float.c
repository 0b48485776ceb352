/* soft_float.h's binary16, binary32 and binary64, by SSE's rules (Intel SDM vol. 1, 4.8.3.5, 11.5, appendix E.4). */
#include "accel-interp/soft_float_core.h"

const struct soft_format soft_f16 = {10, 5}, soft_f32 = {23, 8}, soft_f64 = {52, 11};

static unsigned exponent_max(const struct soft_format *t)
{
    return (1u << t->exponent_bits) - 1;
}
static int32_t bias(const struct soft_format *t)
{
    return (int32_t)(exponent_max(t) >> 1);
}
static uint64_t fraction_mask(const struct soft_format *t)
{
    return (1ull << t->fraction_bits) - 1;
}
static uint64_t encode(const struct soft_format *t, bool sign, uint64_t magnitude)
{
    return (uint64_t)sign << (t->fraction_bits + t->exponent_bits) | magnitude;
}
static uint64_t infinity(const struct soft_format *t)
{
    return (uint64_t)exponent_max(t) << t->fraction_bits;
}
/* The QNaN floating-point indefinite. */
static uint64_t indefinite(const struct soft_format *t)
{
    return encode(t, true, infinity(t) | 1ull << (t->fraction_bits - 1));
}

struct soft_number soft_unpack(const struct soft_format *t, uint64_t bits)
{
    uint64_t fraction = bits & fraction_mask(t);
    unsigned exponent = (unsigned)(bits >> t->fraction_bits) & exponent_max(t);
    struct soft_number n = {.kind = SOFT_FINITE, .sign = bits >> (t->fraction_bits + t->exponent_bits) & 1};

    n.exponent = (int32_t)exponent - bias(t);
    n.significand = (soft_u128)fraction << (127 - t->fraction_bits);
    if (exponent == exponent_max(t)) {
        n.kind = fraction ? SOFT_NAN : SOFT_INFINITE;
        n.signalling = fraction && !(n.significand & SOFT_QUIET);
        n.significand |= SOFT_TOP;
    } else if (exponent) {
        n.significand |= SOFT_TOP;
    } else {
        n.denormal = fraction != 0;
        n.exponent++;
        soft_normalise(&n);
    }
    return n;
}

static struct soft_number operand(const struct soft_float *f, const struct soft_format *t, uint64_t bits)
{
    struct soft_number n = soft_unpack(t, bits);
    if (n.denormal && f->daz) {
        n.kind = SOFT_ZERO;
        n.denormal = false;
    }
    return n;
}

static uint64_t pack_nan(const struct soft_format *t, struct soft_number n)
{
    uint64_t fraction = (uint64_t)((n.significand | SOFT_QUIET) >> (127 - t->fraction_bits));
    return encode(t, n.sign, infinity(t) | (fraction & fraction_mask(t)));
}

static uint64_t pack_overflow(struct soft_float *f, const struct soft_format *t, bool sign, struct soft_rounded r)
{
    f->flags |= SOFT_OE;
    if (!(f->unmasked & SOFT_OE) || r.inexact)
        f->flags |= SOFT_PE;
    f->rounded_up = soft_overflow_is_infinite(f->rounding, sign);
    return encode(t, sign, infinity(t) - !f->rounded_up);
}

static uint64_t pack_tiny(struct soft_float *f, const struct soft_format *t, struct soft_number n, bool inexact)
{
    const unsigned below = (unsigned)(1 - bias(t) - n.exponent);
    struct soft_rounded r;

    if (f->unmasked & SOFT_UE) {
        f->flags |= SOFT_UE | (inexact ? SOFT_PE : 0);
        return encode(t, n.sign, 0);
    }
    if (f->ftz) {
        f->flags |= SOFT_UE | SOFT_PE;
        return encode(t, n.sign, 0);
    }
    r = soft_round_at(f->rounding, n.sign, soft_shift_sticky(n.significand, below), t->fraction_bits + 1u);
    f->rounded_up = r.up;
    if (r.inexact)
        f->flags |= SOFT_UE | SOFT_PE;
    return encode(t, n.sign, (uint64_t)r.kept);
}

uint64_t soft_pack(struct soft_float *f, const struct soft_format *t, struct soft_number n)
{
    struct soft_rounded r;
    int32_t exponent = n.exponent;

    f->rounded_up = false;
    switch (n.kind) {
    case SOFT_ZERO: return encode(t, n.sign, 0);
    case SOFT_INFINITE: return encode(t, n.sign, infinity(t));
    case SOFT_NAN: return pack_nan(t, n);
    case SOFT_UNSUPPORTED: return indefinite(t);
    default: break;
    }
    r = soft_round_at(f->rounding, n.sign, n.significand, t->fraction_bits + 1u);
    exponent += r.kept >> (t->fraction_bits + 1) != 0;
    if (exponent < 1 - bias(t))
        return pack_tiny(f, t, n, r.inexact);
    if (exponent > bias(t))
        return pack_overflow(f, t, n.sign, r);
    f->rounded_up = r.up;
    if (r.inexact)
        f->flags |= SOFT_PE;
    /* the integer bit, and a carry out of the fraction, count the exponent up */
    return encode(t, n.sign, ((uint64_t)(n.exponent + bias(t) - 1) << t->fraction_bits) + (uint64_t)r.kept);
}

static uint64_t invalid(struct soft_float *f, const struct soft_format *t)
{
    f->flags |= SOFT_IE;
    return indefinite(t);
}

/* True: *result is the NaN that comes out of an operation with operands n[0..count-1]. */
static bool nans(struct soft_float *f, const struct soft_format *t, const struct soft_number *n, unsigned count,
                 uint64_t *result)
{
    const struct soft_number *first = 0;

    for (unsigned k = 0; k < count; k++) {
        if (n[k].kind != SOFT_NAN)
            continue;
        if (n[k].signalling)
            f->flags |= SOFT_IE;
        if (!first)
            first = &n[k];
    }
    if (!first)
        return false;
    *result = pack_nan(t, *first);
    return true;
}

static void denormals(struct soft_float *f, const struct soft_number *n, unsigned count)
{
    for (unsigned k = 0; k < count; k++)
        if (n[k].denormal)
            f->flags |= SOFT_DE;
}

static uint64_t add(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, bool subtract)
{
    struct soft_number n[2] = {operand(f, t, a), operand(f, t, b)}, r;
    uint64_t result;
    bool no_result;

    if (nans(f, t, n, 2, &result))
        return result;
    n[1].sign ^= subtract;
    if (!soft_special_add(f, n[0], n[1], &r, &no_result))
        r = soft_number_add(f, n[0], n[1]);
    if (no_result)
        return invalid(f, t);
    denormals(f, n, 2);
    return soft_stopped(f) ? 0 : soft_pack(f, t, r);
}

uint64_t soft_add(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    return add(f, t, a, b, false);
}
uint64_t soft_sub(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    return add(f, t, a, b, true);
}

uint64_t soft_mul(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    struct soft_number n[2] = {operand(f, t, a), operand(f, t, b)}, r = {0};
    uint64_t result;
    bool no_result;

    if (nans(f, t, n, 2, &result))
        return result;
    if (!soft_special_mul(n[0], n[1], &r, &no_result))
        r = soft_number_mul(n[0], n[1]);
    if (no_result)
        return invalid(f, t);
    denormals(f, n, 2);
    return soft_stopped(f) ? 0 : soft_pack(f, t, r);
}

uint64_t soft_div(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    struct soft_number n[2] = {operand(f, t, a), operand(f, t, b)}, r = {0};
    uint64_t result;
    bool no_result;

    if (nans(f, t, n, 2, &result))
        return result;
    if (!soft_special_div(f, n[0], n[1], &r, &no_result))
        r = soft_number_div(n[0], n[1]);
    if (no_result)
        return invalid(f, t);
    if (n[0].kind != SOFT_FINITE || n[1].kind != SOFT_ZERO) /* a division by zero hides the denormal */
        denormals(f, n, 2);
    return soft_stopped(f) ? 0 : soft_pack(f, t, r);
}

uint64_t soft_sqrt(struct soft_float *f, const struct soft_format *t, uint64_t a)
{
    struct soft_number n = operand(f, t, a);
    uint64_t result;

    if (nans(f, t, &n, 1, &result))
        return result;
    if (n.sign && n.kind != SOFT_ZERO)
        return invalid(f, t);
    denormals(f, &n, 1);
    if (soft_stopped(f))
        return 0;
    return soft_pack(f, t, n.kind == SOFT_FINITE ? soft_number_sqrt(n) : n);
}

static uint64_t choose(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b,
                       enum soft_order wanted)
{
    struct soft_number n[2] = {operand(f, t, a), operand(f, t, b)};
    bool first = false;

    if (n[0].kind == SOFT_NAN || n[1].kind == SOFT_NAN) {
        f->flags |= SOFT_IE;
    } else {
        denormals(f, n, 2);
        first = soft_number_compare(n[0], n[1]) == wanted;
    }
    if (n[!first].kind == SOFT_ZERO) /* DAZ's zero too */
        return encode(t, n[!first].sign, 0);
    return (first ? a : b) & (encode(t, true, 0) | (encode(t, true, 0) - 1));
}
uint64_t soft_min(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    return choose(f, t, a, b, SOFT_LESS);
}
uint64_t soft_max(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b)
{
    return choose(f, t, a, b, SOFT_GREATER);
}

uint64_t soft_fma(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, uint64_t c,
                  unsigned negate)
{
    struct soft_number n[3] = {operand(f, t, a), operand(f, t, b), operand(f, t, c)}, product = {0}, r;
    uint64_t result;
    bool no_product, no_sum;

    if (nans(f, t, n, 3, &result))
        return result;
    if (!soft_special_mul(n[0], n[1], &product, &no_product))
        product = soft_number_mul(n[0], n[1]);
    product.sign ^= (negate & SOFT_NEGATE_PRODUCT) != 0;
    r = n[2];
    r.sign ^= (negate & SOFT_NEGATE_ADDEND) != 0;
    if (no_product)
        return invalid(f, t);
    if (!soft_special_add(f, product, r, &r, &no_sum))
        r = soft_number_add(f, product, r);
    if (no_sum)
        return invalid(f, t);
    denormals(f, n, 3);
    return soft_stopped(f) ? 0 : soft_pack(f, t, r);
}

uint64_t soft_round(struct soft_float *f, const struct soft_format *t, uint64_t a)
{
    struct soft_number n = operand(f, t, a);
    struct soft_integer whole;
    uint64_t result;

    if (nans(f, t, &n, 1, &result))
        return result;
    if (n.kind != SOFT_FINITE || n.exponent >= t->fraction_bits)
        return soft_pack(f, t, n);
    whole = soft_number_to_integer(f->rounding, n);
    f->flags |= whole.inexact ? SOFT_PE : 0;
    n.exponent = 127;
    n.significand = whole.magnitude;
    soft_normalise(&n);
    return soft_pack(f, t, n);
}

static enum soft_order compare(struct soft_float *f, struct soft_number a, struct soft_number b, bool signalling)
{
    if (a.kind == SOFT_NAN || b.kind == SOFT_NAN) {
        if (signalling || (a.kind == SOFT_NAN && a.signalling) || (b.kind == SOFT_NAN && b.signalling))
            f->flags |= SOFT_IE;
        return SOFT_UNORDERED;
    }
    if (a.denormal || b.denormal)
        f->flags |= SOFT_DE;
    return soft_number_compare(a, b);
}

enum soft_order soft_compare(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, bool signalling)
{
    return compare(f, operand(f, t, a), operand(f, t, b), signalling);
}

/* Bits of enum soft_order for which predicate 0..15 is true: EQ LT LE UNORD NEQ NLT NLE ORD, EQ_UQ NGE NGT FALSE NEQ_OQ GE GT
 * TRUE; 16..31 are the same with the other answer to quiet NaNs. */
bool soft_predicate(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, unsigned predicate)
{
    enum { LT = 1 << SOFT_LESS, EQ = 1 << SOFT_EQUAL, GT = 1 << SOFT_GREATER, UN = 1 << SOFT_UNORDERED };
    static const uint8_t truth[16] = {
        EQ,      LT,      LT | EQ,      UN, LT | GT | UN, EQ | GT | UN, GT | UN, LT | EQ | GT,
        EQ | UN, LT | UN, LT | EQ | UN, 0,  LT | GT,      EQ | GT,      GT,      LT | EQ | GT | UN};
    bool signalling = (0x6666u >> (predicate & 15) & 1) != (predicate >> 4 & 1);

    return truth[predicate & 15] >> soft_compare(f, t, a, b, signalling) & 1;
}

uint64_t soft_convert(struct soft_float *f, const struct soft_format *from, const struct soft_format *to, uint64_t a)
{
    struct soft_number n = operand(f, from, a);

    if (n.kind == SOFT_NAN) {
        f->flags |= n.signalling ? SOFT_IE : 0;
        return pack_nan(to, n);
    }
    denormals(f, &n, 1);
    return soft_stopped(f) ? 0 : soft_pack(f, to, n);
}

uint64_t soft_to_integer(struct soft_float *f, const struct soft_format *t, uint64_t a, unsigned bits)
{
    return soft_number_to_signed(f, operand(f, t, a), bits);
}

uint64_t soft_from_integer(struct soft_float *f, const struct soft_format *t, int64_t value)
{
    struct soft_number n = {.kind = SOFT_FINITE, .sign = value < 0, .exponent = 127};

    n.significand = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    soft_normalise(&n);
    return soft_pack(f, t, n);
}
