/* soft_float.h's 80-bit arithmetic, by the x87's rules (Intel SDM vol. 1, 4.8.3.5, 8.2.2, 8.5). Pseudo-denormals are values (and
 * DE); unnormals, pseudo-infinities and pseudo-NaNs are IE. */
#include "accel-interp/soft_float_core.h"

#define EXPONENT_MAX 0x7FFF
#define BIAS 0x3FFF
#define WRAP 24576 /* what the exponent is moved by when overflow or underflow is unmasked */
#define INTEGER_BIT (1ull << 63)

static struct cpu_x87_register make(bool sign, unsigned exponent, uint64_t significand)
{
    return (struct cpu_x87_register){.significand = significand, .sign_exponent = (uint16_t)(sign << 15 | exponent)};
}
static struct cpu_x87_register indefinite(void)
{
    return make(true, EXPONENT_MAX, 3ull << 62);
}
static struct cpu_x87_register invalid(struct soft_float *f)
{
    f->flags |= SOFT_IE;
    f->rounded_up = false;
    return indefinite();
}

struct soft_number soft80_unpack(struct cpu_x87_register r)
{
    unsigned exponent = r.sign_exponent & EXPONENT_MAX;
    struct soft_number n = {.kind = SOFT_FINITE, .sign = r.sign_exponent >> 15};

    n.exponent = (int32_t)exponent - BIAS;
    n.significand = (soft_u128)r.significand << 64;
    if (exponent == 0) {
        n.denormal = r.significand != 0;
        n.exponent++;
        soft_normalise(&n);
    } else if (!(r.significand & INTEGER_BIT)) {
        n.kind = SOFT_UNSUPPORTED;
    } else if (exponent == EXPONENT_MAX) {
        n.kind = r.significand << 1 ? SOFT_NAN : SOFT_INFINITE;
        n.signalling = n.kind == SOFT_NAN && !(n.significand & SOFT_QUIET);
    }
    return n;
}

static struct cpu_x87_register pack_rounded(struct soft_number n, int32_t exponent, soft_u128 kept, unsigned precision)
{
    if (kept >> precision) {
        kept >>= 1;
        exponent++;
    }
    return make(n.sign, (unsigned)(exponent + BIAS), (uint64_t)(kept << (64 - precision)));
}

static struct cpu_x87_register pack_overflow(struct soft_float *f, struct soft_number n, struct soft_rounded r,
                                             unsigned precision)
{
    f->flags |= SOFT_OE;
    if (f->unmasked & SOFT_OE) {
        f->flags |= r.inexact ? SOFT_PE : 0;
        f->rounded_up = r.up;
        if (n.exponent - WRAP > BIAS) { /* of FSCALE only: too large even so */
            f->flags |= SOFT_PE;
            f->rounded_up = true;
            return make(n.sign, EXPONENT_MAX, INTEGER_BIT);
        }
        return pack_rounded(n, n.exponent - WRAP, r.kept, precision);
    }
    f->flags |= SOFT_PE;
    f->rounded_up = soft_overflow_is_infinite(f->rounding, n.sign);
    if (f->rounded_up)
        return make(n.sign, EXPONENT_MAX, INTEGER_BIT);
    return make(n.sign, EXPONENT_MAX - 1, ~0ull << (64 - precision));
}

static struct cpu_x87_register pack_tiny(struct soft_float *f, struct soft_number n, struct soft_rounded r,
                                         unsigned precision)
{
    if (f->unmasked & SOFT_UE) {
        f->flags |= SOFT_UE | (r.inexact ? SOFT_PE : 0);
        f->rounded_up = r.up;
        if (n.exponent + WRAP < 1 - BIAS) {
            f->flags |= SOFT_PE;
            f->rounded_up = false;
            return make(n.sign, 0, 0);
        }
        return pack_rounded(n, n.exponent + WRAP, r.kept, precision);
    }
    r = soft_round_at(f->rounding, n.sign, soft_shift_sticky(n.significand, (unsigned)(1 - BIAS - n.exponent)),
                      precision);
    f->rounded_up = r.up;
    f->flags |= r.inexact ? SOFT_UE | SOFT_PE : 0;
    return make(n.sign, r.kept >> (precision - 1) != 0, (uint64_t)(r.kept << (64 - precision)));
}

struct cpu_x87_register soft80_pack(struct soft_float *f, struct soft_number n, unsigned precision)
{
    struct soft_rounded r;
    int32_t exponent;

    f->rounded_up = false;
    switch (n.kind) {
    case SOFT_ZERO: return make(n.sign, 0, 0);
    case SOFT_INFINITE: return make(n.sign, EXPONENT_MAX, INTEGER_BIT);
    case SOFT_NAN: return make(n.sign, EXPONENT_MAX, (uint64_t)((n.significand | SOFT_QUIET) >> 64));
    case SOFT_UNSUPPORTED: return indefinite();
    default: break;
    }
    r = soft_round_at(f->rounding, n.sign, n.significand, precision);
    exponent = n.exponent + (r.kept >> precision != 0);
    if (exponent < 1 - BIAS)
        return pack_tiny(f, n, r, precision);
    if (exponent > BIAS)
        return pack_overflow(f, n, r, precision);
    f->rounded_up = r.up;
    f->flags |= r.inexact ? SOFT_PE : 0;
    return pack_rounded(n, n.exponent, r.kept, precision);
}

/* The larger significand, of equal ones the positive; a quiet one before a signalling one. */
static struct soft_number larger_nan(struct soft_number a, struct soft_number b)
{
    if (b.kind != SOFT_NAN)
        return a;
    if (a.kind != SOFT_NAN)
        return b;
    if (a.signalling != b.signalling)
        return a.signalling ? b : a;
    if (a.significand != b.significand)
        return a.significand > b.significand ? a : b;
    return a.sign ? b : a;
}

/* True: *result is what an operation with such operands gives whatever it is. */
static bool nans(struct soft_float *f, struct soft_number a, struct soft_number b, struct cpu_x87_register *result)
{
    f->rounded_up = false;
    if (a.kind == SOFT_UNSUPPORTED || b.kind == SOFT_UNSUPPORTED) {
        *result = invalid(f);
        return true;
    }
    if (a.kind != SOFT_NAN && b.kind != SOFT_NAN)
        return false;
    if ((a.kind == SOFT_NAN && a.signalling) || (b.kind == SOFT_NAN && b.signalling))
        f->flags |= SOFT_IE;
    *result = soft80_pack(f, larger_nan(a, b), 64);
    return true;
}

static void denormals(struct soft_float *f, struct soft_number a, struct soft_number b)
{
    if (a.denormal || b.denormal)
        f->flags |= SOFT_DE;
}

struct cpu_x87_register soft80_number_add(struct soft_float *f, struct soft_number a, struct soft_number b,
                                          bool subtract)
{
    struct cpu_x87_register result;
    struct soft_number r;
    bool no_result;

    if (nans(f, a, b, &result))
        return result;
    b.sign ^= subtract;
    if (!soft_special_add(f, a, b, &r, &no_result))
        r = soft_number_add(f, a, b);
    if (no_result)
        return invalid(f);
    denormals(f, a, b);
    return soft_stopped(f) ? make(false, 0, 0) : soft80_pack(f, r, f->precision);
}

struct cpu_x87_register soft80_add(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b)
{
    return soft80_number_add(f, soft80_unpack(a), soft80_unpack(b), false);
}
struct cpu_x87_register soft80_sub(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b)
{
    return soft80_number_add(f, soft80_unpack(a), soft80_unpack(b), true);
}

struct cpu_x87_register soft80_mul(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b)
{
    return soft80_number_mul(f, soft80_unpack(a), soft80_unpack(b));
}

struct cpu_x87_register soft80_number_mul(struct soft_float *f, struct soft_number x, struct soft_number y)
{
    struct soft_number r = {0};
    struct cpu_x87_register result;
    bool no_result;

    if (nans(f, x, y, &result))
        return result;
    if (!soft_special_mul(x, y, &r, &no_result))
        r = soft_number_mul(x, y);
    if (no_result)
        return invalid(f);
    denormals(f, x, y);
    return soft_stopped(f) ? make(false, 0, 0) : soft80_pack(f, r, f->precision);
}

struct cpu_x87_register soft80_div(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b)
{
    return soft80_number_div(f, soft80_unpack(a), soft80_unpack(b));
}

struct cpu_x87_register soft80_number_div(struct soft_float *f, struct soft_number x, struct soft_number y)
{
    struct soft_number r = {0};
    struct cpu_x87_register result;
    bool no_result;

    if (nans(f, x, y, &result))
        return result;
    if (!soft_special_div(f, x, y, &r, &no_result))
        r = soft_number_div(x, y);
    if (no_result)
        return invalid(f);
    if (x.kind != SOFT_FINITE || y.kind != SOFT_ZERO) /* a division by zero hides the denormal */
        denormals(f, x, y);
    return soft_stopped(f) ? make(false, 0, 0) : soft80_pack(f, r, f->precision);
}

struct cpu_x87_register soft80_sqrt(struct soft_float *f, struct cpu_x87_register a)
{
    struct soft_number x = soft80_unpack(a);
    struct cpu_x87_register result;

    if (nans(f, x, x, &result))
        return result;
    if (x.sign && x.kind != SOFT_ZERO)
        return invalid(f);
    denormals(f, x, x);
    if (soft_stopped(f))
        return a;
    return soft80_pack(f, x.kind == SOFT_FINITE ? soft_number_sqrt(x) : x, f->precision);
}

struct cpu_x87_register soft80_round(struct soft_float *f, struct cpu_x87_register a)
{
    struct soft_number x = soft80_unpack(a);
    struct cpu_x87_register result;
    struct soft_integer whole;

    if (nans(f, x, x, &result))
        return result;
    denormals(f, x, x);
    if (soft_stopped(f))
        return a;
    if (x.kind != SOFT_FINITE || x.exponent >= 63)
        return soft80_pack(f, x, 64);
    whole = soft_number_to_integer(f->rounding, x);
    x.exponent = 127;
    x.significand = whole.magnitude;
    soft_normalise(&x);
    result = soft80_pack(f, x, 64);
    f->flags |= whole.inexact ? SOFT_PE : 0;
    f->rounded_up = whole.up;
    return result;
}

/* The operand as the result: exact, so that it is no underflow, unmasked or not. */
static struct cpu_x87_register unchanged(struct soft_float *f, struct soft_number x)
{
    struct soft_float masked = {.rounding = f->rounding};

    f->rounded_up = false;
    return soft80_pack(&masked, x, 64);
}

/* Scale counts beyond this are all the same. */
#define SCALE_MAX 0x10000

struct cpu_x87_register soft80_scale(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b)
{
    struct soft_number x = soft80_unpack(a), y = soft80_unpack(b);
    struct cpu_x87_register result;
    struct soft_integer count;

    if (nans(f, x, y, &result))
        return result;
    if (y.kind == SOFT_INFINITE) {
        if (y.sign ? x.kind == SOFT_INFINITE : x.kind == SOFT_ZERO)
            return invalid(f);
        denormals(f, x, y);
        if (soft_stopped(f))
            return a;
        x.kind = y.sign ? SOFT_ZERO : SOFT_INFINITE;
        return soft80_pack(f, x, 64);
    }
    denormals(f, x, y);
    if (soft_stopped(f))
        return a;
    if (y.kind == SOFT_ZERO)
        return unchanged(f, x);
    if (x.kind == SOFT_FINITE) {
        count = soft_number_to_integer(SOFT_CHOP, y);
        if (!count.fits || count.magnitude > SCALE_MAX)
            count.magnitude = SCALE_MAX;
        x.exponent += y.sign ? -(int32_t)count.magnitude : (int32_t)count.magnitude;
    }
    return soft80_pack(f, x, 64);
}

struct cpu_x87_register soft80_extract(struct soft_float *f, struct cpu_x87_register a,
                                       struct cpu_x87_register *significand)
{
    struct soft_number x = soft80_unpack(a);
    struct cpu_x87_register result;

    if (nans(f, x, x, &result)) {
        *significand = result;
        return result;
    }
    *significand = a;
    if (x.kind == SOFT_ZERO) {
        f->flags |= SOFT_ZE;
        return make(true, EXPONENT_MAX, INTEGER_BIT);
    }
    if (x.kind == SOFT_INFINITE)
        return make(false, EXPONENT_MAX, INTEGER_BIT);
    denormals(f, x, x);
    *significand = make(x.sign, BIAS, (uint64_t)(x.significand >> 64));
    return soft80_from_integer(x.exponent);
}

enum soft_order soft80_compare(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b,
                               bool signalling)
{
    return soft80_number_compare(f, soft80_unpack(a), soft80_unpack(b), signalling);
}

enum soft_order soft80_number_compare(struct soft_float *f, struct soft_number x, struct soft_number y, bool signalling)
{
    if (x.kind >= SOFT_NAN || y.kind >= SOFT_NAN) {
        if (signalling || x.kind == SOFT_UNSUPPORTED || y.kind == SOFT_UNSUPPORTED || x.signalling || y.signalling)
            f->flags |= SOFT_IE;
        return SOFT_UNORDERED;
    }
    denormals(f, x, y);
    return soft_number_compare(x, y);
}

/* a - q*b with q the quotient's integer part: distance exponents are reduced at once, the dividend a bit at a time.
 * Returns the low 64 bits of q. */
static uint64_t reduce(struct soft_number *a, struct soft_number b, int32_t steps)
{
    soft_u128 rest = a->significand >> 64;
    uint64_t quotient = soft_divide_long(&rest, b.significand >> 64, steps);

    a->exponent += 64 - steps;
    a->significand = rest;
    soft_normalise(a);
    return quotient;
}

/* FPREM1: the quotient to the nearest (even) integer. rest has the divisor's exponent scale. */
static void reduce_nearest(struct soft_number *rest, struct soft_number b, uint64_t *quotient)
{
    struct soft_float up = {.rounding = SOFT_NEAREST};
    struct soft_number half = b;
    enum soft_order order;
    bool sign = rest->sign;

    half.exponent--;
    half.sign = false;
    rest->sign = false;
    order = rest->kind == SOFT_ZERO ? SOFT_LESS : soft_number_compare(*rest, half);
    if (order == SOFT_GREATER || (order == SOFT_EQUAL && (*quotient & 1))) {
        b.sign = true;
        *rest = soft_number_add(&up, *rest, b);
        ++*quotient;
    }
    rest->sign ^= sign;
    if (rest->kind == SOFT_ZERO)
        rest->sign = sign;
}

struct soft80_remainder soft80_remainder(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b,
                                         bool nearest)
{
    struct soft_number x = soft80_unpack(a), y = soft80_unpack(b);
    struct soft80_remainder r = {.value = a};
    int32_t distance = x.exponent - y.exponent;
    uint64_t quotient = 0;

    if (nans(f, x, y, &r.value))
        return r;
    if (x.kind == SOFT_INFINITE || y.kind == SOFT_ZERO) {
        r.value = invalid(f);
        return r;
    }
    denormals(f, x, y);
    if (soft_stopped(f))
        return r;
    r.defined = true;
    if (y.kind == SOFT_INFINITE) {
        r.value = unchanged(f, x);
        return r;
    }
    if (x.kind == SOFT_FINITE && y.kind == SOFT_FINITE) {
        r.partial = distance >= 64;
        if (r.partial) {
            /* A multiple of b by a power of two is taken off: as many steps as the silicon takes. */
            y.exponent = x.exponent - ((distance & 31) | 32);
            distance = (distance & 31) | 32;
        }
        if (distance >= 0)
            quotient = reduce(&x, y, distance);
        if (nearest && distance >= -1 && !r.partial)
            reduce_nearest(&x, y, &quotient);
    }
    r.quotient = r.partial ? 0 : (uint8_t)(quotient & 7);
    r.value = soft80_pack(f, x, 64);
    return r;
}

/* ---- conversions ------------------------------------------------------------------------------------------------- */

struct cpu_x87_register soft80_from_float(struct soft_float *f, const struct soft_format *t, uint64_t a)
{
    struct soft_number n = soft_unpack(t, a);

    f->flags |= n.denormal ? SOFT_DE : 0;
    f->flags |= n.kind == SOFT_NAN && n.signalling ? SOFT_IE : 0;
    return soft80_pack(f, n, 64);
}

uint64_t soft80_to_float(struct soft_float *f, const struct soft_format *t, struct cpu_x87_register a)
{
    struct soft_number n = soft80_unpack(a);

    f->rounded_up = false;
    if (n.kind == SOFT_UNSUPPORTED || (n.kind == SOFT_NAN && n.signalling))
        f->flags |= SOFT_IE;
    return soft_pack(f, t, n);
}

struct cpu_x87_register soft80_from_integer(int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned zeros;

    if (!magnitude)
        return make(false, 0, 0);
    zeros = (unsigned)__builtin_clzll(magnitude);
    return make(value < 0, BIAS + 63 - zeros, magnitude << zeros);
}

uint64_t soft80_to_integer(struct soft_float *f, struct cpu_x87_register a, unsigned bits)
{
    return soft_number_to_signed(f, soft80_unpack(a), bits);
}

#define BCD_MAX 999999999999999999ull

struct cpu_x87_register soft80_from_bcd(const uint8_t bcd[10])
{
    uint64_t value = 0;
    struct cpu_x87_register r;

    for (unsigned n = 9; n-- > 0;)
        value = value * 100 + (bcd[n] >> 4) * 10u + (bcd[n] & 15u);
    r = soft80_from_integer((int64_t)value);
    r.sign_exponent |= (uint16_t)((bcd[9] & 0x80u) << 8);
    return r;
}

void soft80_to_bcd(struct soft_float *f, struct cpu_x87_register a, uint8_t bcd[10])
{
    static const uint8_t none[10] = {0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF};
    struct soft_number n = soft80_unpack(a);
    uint64_t magnitude;

    if (!soft_number_to_magnitude(f, n, BCD_MAX, &magnitude)) {
        for (unsigned k = 0; k < 10; k++)
            bcd[k] = none[k];
        return;
    }
    for (unsigned k = 0; k < 9; k++, magnitude /= 100)
        bcd[k] = (uint8_t)(magnitude / 10 % 10 << 4 | magnitude % 10);
    bcd[9] = n.sign ? 0x80 : 0;
}
