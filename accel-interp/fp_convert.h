/* Conversions between memory formats and 80-bit registers for ordinary values, in integer arithmetic (Intel SDM vol. 1,
 * 4.8.4 and 8.5). On hosts that we looked at, the status word costs some twenty cycles after an x87 store, so this is also
 * the faster way. Each returns false for what is not ordinary (denormals, infinities, NaNs, what over- or underflows),
 * with nothing written; fp.h's functions then do it. */
#ifndef VMRR_ACCEL_INTERP_FP_CONVERT_H
#define VMRR_ACCEL_INTERP_FP_CONVERT_H

#include "accel-interp/fp.h"

#include <string.h>

#define FCW_RC_SHIFT 10
enum { FCW_RC_NEAREST, FCW_RC_DOWN, FCW_RC_UP, FCW_RC_CHOP };

/* Is the magnitude to be increased? rest: the bits cut off, left-aligned. */
static inline bool fp_round_up(uint16_t fcw, bool negative, bool odd, uint64_t rest)
{
    switch (fcw >> FCW_RC_SHIFT & 3) {
    case FCW_RC_NEAREST: return rest > 1ull << 63 || (rest == 1ull << 63 && odd);
    case FCW_RC_DOWN: return negative && rest;
    case FCW_RC_UP: return !negative && rest;
    default: return false;
    }
}

static inline bool fp80_is_zero(const struct cpu_x87_register *r)
{
    return !((r->sign_exponent & 0x7FFFu) | r->significand);
}

/* To a float of `fraction` fraction bits, exponent all ones being `exponent_max`. */
static inline bool fp80_to_float(const struct cpu_x87_register *a, uint16_t fcw, unsigned fraction,
                                 unsigned exponent_max, uint64_t *out, uint16_t *sw)
{
    const unsigned cut = 63 - fraction;
    const uint64_t sign = a->sign_exponent >> 15;
    const unsigned sign_shift = fraction + (exponent_max == 255 ? 8 : 11);
    unsigned exponent = (a->sign_exponent & 0x7FFFu) - 0x3FFFu + exponent_max / 2;
    uint64_t rest = a->significand << (64 - cut), kept = a->significand >> cut;
    bool up;

    if (fp80_is_zero(a)) {
        *out = sign << sign_shift;
        *sw = 0;
        return true;
    }
    if (exponent - 1 >= exponent_max - 2 || !(a->significand >> 63)) /* the largest exponent might round out of range */
        return false;
    up = fp_round_up(fcw, sign, kept & 1, rest);
    *out = sign << sign_shift | (((uint64_t)(exponent - 1) << fraction) + kept + up);
    *sw = (uint16_t)((rest ? FSW_PE : 0) | (up ? FSW_C1 : 0));
    return true;
}

/* To a signed integer of `bits`, in the low bits of *out. */
static inline bool fp80_to_integer(const struct cpu_x87_register *a, uint16_t fcw, unsigned bits, uint64_t *out,
                                   uint16_t *sw)
{
    const bool negative = a->sign_exponent >> 15;
    unsigned shift = 0x3FFFu + 63 - (a->sign_exponent & 0x7FFFu); /* wraps for the large */
    uint64_t rest, kept;
    bool up;

    if (fp80_is_zero(a)) {
        *out = 0;
        *sw = 0;
        return true;
    }
    if (!(a->significand >> 63) || shift == 0 || shift > 0x3FFFu + 62)
        return false;
    rest = shift < 64 ? a->significand << (64 - shift) : shift == 64 ? a->significand : 1;
    kept = shift < 64 ? a->significand >> shift : 0;
    up = fp_round_up(fcw, negative, kept & 1, rest);
    kept += up;
    if (kept > (1ull << (bits - 1)) - !negative)
        return false;
    *out = negative ? 0 - kept : kept;
    *sw = (uint16_t)((rest ? FSW_PE : 0) | (up ? FSW_C1 : 0));
    return true;
}

static inline bool fp80_from_float(struct cpu_x87_register *d, uint64_t bits, unsigned fraction, unsigned exponent_max)
{
    const unsigned sign_shift = fraction + (exponent_max == 255 ? 8 : 11);
    const uint16_t sign = (uint16_t)(bits >> sign_shift << 15);
    unsigned exponent = (unsigned)(bits >> fraction) & exponent_max;
    uint64_t rest = bits << (63 - fraction);

    if (exponent - 1 >= exponent_max - 1) {
        if (exponent || rest << 1)
            return false;
        d->significand = 0;
        d->sign_exponent = sign;
        return true;
    }
    d->significand = rest | 1ull << 63;
    d->sign_exponent = (uint16_t)(sign | (exponent + 0x3FFF - exponent_max / 2));
    return true;
}

/* Every integer is ordinary. */
static inline void fp80_from_integer(struct cpu_x87_register *d, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned zeros;

    if (!magnitude) {
        d->significand = 0;
        d->sign_exponent = 0;
        return;
    }
    zeros = (unsigned)__builtin_clzll(magnitude);
    d->significand = magnitude << zeros;
    d->sign_exponent = (uint16_t)((value < 0 ? 0x8000u : 0) | (0x3FFFu + 63 - zeros));
}

#endif
