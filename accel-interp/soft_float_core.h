/* Inside soft_float.c and soft_float80.c: a number taken apart, rounding, putting together. */
#ifndef VMRR_ACCEL_INTERP_SOFT_FLOAT_CORE_H
#define VMRR_ACCEL_INTERP_SOFT_FLOAT_CORE_H

#include "accel-interp/soft_float.h"

typedef unsigned __int128 soft_u128;

enum soft_kind { SOFT_ZERO, SOFT_FINITE, SOFT_INFINITE, SOFT_NAN, SOFT_UNSUPPORTED };

/* Finite: significand * 2^(exponent - 127), bit 127 of the significand set; bit 0 may stand for all bits below it (sticky).
 * NaN: the significand left-aligned, integer bit (127) set, quiet bit 126. */
struct soft_number {
    uint8_t kind;
    bool sign, signalling;
    bool denormal; /* the operand was one (also when DAZ has made it 0) */
    int32_t exponent;
    soft_u128 significand;
};

#define SOFT_TOP ((soft_u128)1 << 127)
#define SOFT_QUIET ((soft_u128)1 << 126)
#define SOFT_BEFORE (SOFT_IE | SOFT_DE | SOFT_ZE) /* exceptions found before anything is computed */

/* An unmasked exception ends the operation before its result. */
static inline bool soft_stopped(const struct soft_float *f)
{
    return f->flags & f->unmasked & SOFT_BEFORE;
}

static inline unsigned soft_leading_zeros(soft_u128 v)
{
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;
    return high ? (unsigned)__builtin_clzll(high) : low ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

/* To the right, with all that falls out collected in bit 0. */
static inline soft_u128 soft_shift_sticky(soft_u128 v, unsigned count)
{
    if (count == 0)
        return v;
    if (count > 127)
        return v != 0;
    return v >> count | ((v << (128 - count)) != 0);
}

static inline void soft_normalise(struct soft_number *n)
{
    unsigned zeros = soft_leading_zeros(n->significand);
    if (zeros == 128) {
        n->kind = SOFT_ZERO;
        return;
    }
    n->significand <<= zeros;
    n->exponent -= (int32_t)zeros;
}

/* The first `precision` bits (1..64) of a left-aligned significand, rounded; may come out as 2^precision. */
struct soft_rounded {
    soft_u128 kept;
    bool inexact, up;
};
static inline struct soft_rounded soft_round_at(uint8_t rounding, bool sign, soft_u128 significand, unsigned precision)
{
    struct soft_rounded r = {.kept = significand >> (128 - precision)};
    soft_u128 rest = significand << precision;

    r.inexact = rest != 0;
    switch (rounding) {
    case SOFT_NEAREST: r.up = rest > SOFT_TOP || (rest == SOFT_TOP && (r.kept & 1)); break;
    case SOFT_DOWN: r.up = sign && rest; break;
    case SOFT_UP: r.up = !sign && rest; break;
    default: break;
    }
    r.kept += r.up;
    return r;
}

/* Does overflow give infinity (else the largest finite number)? */
static inline bool soft_overflow_is_infinite(uint8_t rounding, bool sign)
{
    return rounding == SOFT_NEAREST || rounding == (sign ? SOFT_DOWN : SOFT_UP);
}

/* Exact operations on finite numbers; results normalised, or SOFT_ZERO with the sign that x86 gives it. */
struct soft_number soft_number_add(const struct soft_float *f, struct soft_number a, struct soft_number b);
struct soft_number soft_number_mul(struct soft_number a, struct soft_number b); /* significands of 64 bits at most */
struct soft_number soft_number_div(struct soft_number a, struct soft_number b);
struct soft_number soft_number_sqrt(struct soft_number a);
/* |a| < 2^64 as an integer; false: larger. */
struct soft_integer {
    uint64_t magnitude;
    bool fits, inexact, up;
};
struct soft_integer soft_number_to_integer(uint8_t rounding, struct soft_number a);
/* |a| rounded as f says, with its flags; false and IE: a is none, or |a| is larger than limit. */
bool soft_number_to_magnitude(struct soft_float *f, struct soft_number a, uint64_t limit, uint64_t *magnitude);
/* A signed integer of so many bits (16, 32, 64), or the integer indefinite and IE. */
uint64_t soft_number_to_signed(struct soft_float *f, struct soft_number a, unsigned bits);
/* rest * 2^steps / divisor: the quotient's low 64 bits, and the remainder in *rest. At first *rest < 2 * divisor. */
uint64_t soft_divide_long(soft_u128 *rest, soft_u128 divisor, int32_t steps);
enum soft_order soft_number_compare(struct soft_number a, struct soft_number b); /* no NaNs */

/* Results of a + b, a * b, a / b where not both are finite and nonzero, NaNs aside: true when *r has it, false when it is
 * to be computed; *invalid when there is none. */
bool soft_special_add(const struct soft_float *f, struct soft_number a, struct soft_number b, struct soft_number *r,
                      bool *invalid);
bool soft_special_mul(struct soft_number a, struct soft_number b, struct soft_number *r, bool *invalid);
bool soft_special_div(struct soft_float *f, struct soft_number a, struct soft_number b, struct soft_number *r,
                      bool *invalid);

struct soft_number soft_unpack(const struct soft_format *t, uint64_t bits);
uint64_t soft_pack(struct soft_float *f, const struct soft_format *t, struct soft_number n); /* any kind, rounds */

struct soft_number soft80_unpack(struct cpu_x87_register r);
struct cpu_x87_register soft80_pack(struct soft_float *f, struct soft_number n, unsigned precision);
/* For operands that come from memory in another format: a signalling NaN is one still, and a denormal is DE. */
struct cpu_x87_register soft80_number_add(struct soft_float *f, struct soft_number a, struct soft_number b,
                                          bool subtract);
struct cpu_x87_register soft80_number_mul(struct soft_float *f, struct soft_number a, struct soft_number b);
struct cpu_x87_register soft80_number_div(struct soft_float *f, struct soft_number a, struct soft_number b);
enum soft_order soft80_number_compare(struct soft_float *f, struct soft_number a, struct soft_number b,
                                      bool signalling);

#endif
