/* Floating-point arithmetic in integers, as x86 does it: binary16, binary32, binary64 and the x87's 80 bits. What fp.h stands
 * on when the host's own units can't be used, and what the host's units are tested against (tests/accel-interp/
 * test_soft_float.c). Intel SDM vol. 1, chapters 4, 8, 11 and appendix D.
 *
 * Contract
 *  1. Pure: no host floating point, no state but *f. Everything is by value; bits of a format stand in the low bits of a
 *     uint64_t, the rest of it is ignored on the way in and 0 on the way out.
 *  2. f's control fields are read, f->flags is added to (the FSW_* numbers: IE 1, DE 2, ZE 4, OE 8, UE 10h, PE 20h, which are
 *     MXCSR's too). Start an operation, or all lanes of an instruction, with flags 0 to see only its own.
 *  3. `unmasked` has the same bits. It changes what comes out: an unmasked IE, DE or ZE hides what is found after it (the
 *     result then means nothing); an unmasked UE is set for every tiny result, and turns FTZ off; with x87 rules, unmasked OE
 *     and UE give the result with the exponent biased by 24576 where the destination is a register, and nothing of use
 *     where it is memory. 0 (all masked) is the ordinary case.
 *  4. Tininess is found after rounding. NaN results: SSE's rules for the interchange formats (first operand's if that is a
 *     NaN, else the second's), x87's for 80 bits (the larger significand). DAZ and FTZ hold for the interchange formats.
 *  5. A NaN that comes out is quiet. */
#ifndef VMRR_ACCEL_INTERP_SOFT_FLOAT_H
#define VMRR_ACCEL_INTERP_SOFT_FLOAT_H

#include "core/cpu_state.h"

#include <stdbool.h>
#include <stdint.h>

enum soft_rounding { SOFT_NEAREST, SOFT_DOWN, SOFT_UP, SOFT_CHOP }; /* as MXCSR.RC, FCW.RC and ROUNDPS's imm8 have it */

enum { SOFT_IE = 0x01, SOFT_DE = 0x02, SOFT_ZE = 0x04, SOFT_OE = 0x08, SOFT_UE = 0x10, SOFT_PE = 0x20 };

struct soft_float {
    uint8_t rounding;  /* enum soft_rounding */
    uint8_t precision; /* significand bits of what 80-bit add sub mul div sqrt give: 24, 53 or 64 */
    bool daz, ftz;
    uint8_t unmasked;
    uint8_t flags;
    bool rounded_up; /* the last result is larger in magnitude than the exact one (x87's C1) */
};

/* Control words, flags 0. `unmasked` is taken from them too. */
struct soft_float soft_from_mxcsr(uint32_t mxcsr);
struct soft_float soft_from_fcw(uint16_t fcw);

/* ---- binary16, binary32, binary64 -------------------------------------------------------------------------------- */

struct soft_format {
    uint8_t fraction_bits, exponent_bits;
};
extern const struct soft_format soft_f16, soft_f32, soft_f64;

uint64_t soft_add(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b);
uint64_t soft_sub(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b); /* a - b */
uint64_t soft_mul(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b);
uint64_t soft_div(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b); /* a / b */
uint64_t soft_sqrt(struct soft_float *f, const struct soft_format *t, uint64_t a);
/* MINxx, MAXxx with destination a and source b: b when either is a NaN (IE) or both are zeros. */
uint64_t soft_min(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b);
uint64_t soft_max(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b);

/* ±(a * b) ± c, rounded once. A NaN among them comes out, a before b before c (the multiplicands first, whichever operands of
 * the instruction they are); the signs are not applied to NaNs. */
enum { SOFT_NEGATE_PRODUCT = 1, SOFT_NEGATE_ADDEND = 2 };
uint64_t soft_fma(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, uint64_t c,
                  unsigned negate);

/* To an integral value, by f->rounding (set it from imm8 or MXCSR). PE when inexact: ROUNDxx with imm8 bit 3 drops it. */
uint64_t soft_round(struct soft_float *f, const struct soft_format *t, uint64_t a);

/* signalling: IE for quiet NaNs too (COMISx, CMPxx LT LE NLT NLE). */
enum soft_order { SOFT_LESS, SOFT_EQUAL, SOFT_GREATER, SOFT_UNORDERED };
enum soft_order soft_compare(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b,
                             bool signalling);
/* The truth of predicate 0..31 of VCMPxx (0..7: CMPxx), flags as it says. */
bool soft_predicate(struct soft_float *f, const struct soft_format *t, uint64_t a, uint64_t b, unsigned predicate);

/* Between formats. VCVTPH2PS: call with daz false and drop DE. VCVTPS2PH: call with ftz false. */
uint64_t soft_convert(struct soft_float *f, const struct soft_format *from, const struct soft_format *to, uint64_t a);
/* To a signed integer of 16, 32 or 64 bits, by f->rounding (CVTT: set SOFT_CHOP), low bits; 80..0 and IE when it does not
 * fit. */
uint64_t soft_to_integer(struct soft_float *f, const struct soft_format *t, uint64_t a, unsigned bits);
uint64_t soft_from_integer(struct soft_float *f, const struct soft_format *t, int64_t value);

/* ---- x87's 80 bits ----------------------------------------------------------------------------------------------- */

typedef struct cpu_x87_register soft80_binary_fn(struct soft_float *f, struct cpu_x87_register a,
                                                 struct cpu_x87_register b);
soft80_binary_fn soft80_add, soft80_sub, soft80_mul, soft80_div; /* a op b */
soft80_binary_fn soft80_scale;                                   /* a * 2^trunc(b) */
struct cpu_x87_register soft80_sqrt(struct soft_float *f, struct cpu_x87_register a);
struct cpu_x87_register soft80_round(struct soft_float *f, struct cpu_x87_register a);
/* FPREM (nearest false) and FPREM1: *quotient gets the low three bits, *partial is set when the reduction is not complete
 * (C2). *defined: false when the quotient's bits are not (then C0, C1, C3 stay as they were). */
struct soft80_remainder {
    struct cpu_x87_register value;
    uint8_t quotient;
    bool partial, defined;
};
struct soft80_remainder soft80_remainder(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b,
                                         bool nearest);
enum soft_order soft80_compare(struct soft_float *f, struct cpu_x87_register a, struct cpu_x87_register b,
                               bool signalling);
/* FXTRACT: the exponent, and the significand in *significand. */
struct cpu_x87_register soft80_extract(struct soft_float *f, struct cpu_x87_register a,
                                       struct cpu_x87_register *significand);

struct cpu_x87_register soft80_from_float(struct soft_float *f, const struct soft_format *t, uint64_t a);
uint64_t soft80_to_float(struct soft_float *f, const struct soft_format *t, struct cpu_x87_register a);
struct cpu_x87_register soft80_from_integer(int64_t value);
uint64_t soft80_to_integer(struct soft_float *f, struct cpu_x87_register a, unsigned bits);
/* Packed BCD: 10 bytes. */
struct cpu_x87_register soft80_from_bcd(const uint8_t bcd[10]);
void soft80_to_bcd(struct soft_float *f, struct cpu_x87_register a, uint8_t bcd[10]);

#endif
