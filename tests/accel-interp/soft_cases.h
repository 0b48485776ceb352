/* Operands for the soft-float tests, and how many of them: VMRR_SOFT_CASES (default 20000 an operation) and VMRR_SOFT_SEED. */
#ifndef VMRR_TESTS_ACCEL_INTERP_SOFT_CASES_H
#define VMRR_TESTS_ACCEL_INTERP_SOFT_CASES_H

#include "accel-interp/soft_float.h"

#include <stdlib.h>

static inline uint64_t soft_setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, 0, 0) : otherwise;
}
static inline uint64_t soft_cases(void)
{
    return soft_setting("VMRR_SOFT_CASES", 20000);
}

struct soft_random {
    uint64_t state;
};
static inline uint64_t soft_random(struct soft_random *r)
{
    uint64_t v = r->state += 0x9E3779B97F4A7C15ull;
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9ull;
    v = (v ^ v >> 27) * 0x94D049BB133111EBull;
    return v ^ v >> 31;
}
static inline unsigned soft_pick(struct soft_random *r, unsigned n)
{
    return (unsigned)(soft_random(r) % n);
}

/* As TestFloat chooses significands: few ones or few zeros at either end, or anything. */
static inline uint64_t soft_fraction(struct soft_random *r, unsigned bits)
{
    const uint64_t mask = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    uint64_t v = soft_random(r);

    switch (soft_pick(r, 7)) {
    case 0: v = 0; break;
    case 1: v = UINT64_MAX; break;
    case 2: v = 1ull << soft_pick(r, bits); break;
    case 3: v = UINT64_MAX << soft_pick(r, bits); break;
    case 4: v = ~(UINT64_MAX << soft_pick(r, bits)); break;
    case 5: v = (UINT64_MAX << soft_pick(r, bits)) ^ (1ull << soft_pick(r, bits)); break;
    default: break;
    }
    return v & mask;
}

static inline uint64_t soft_operand(struct soft_random *r, const struct soft_format *t)
{
    const unsigned max = (1u << t->exponent_bits) - 1, half = max / 2;
    uint64_t fraction = soft_fraction(r, t->fraction_bits), sign = soft_random(r) & 1;
    unsigned exponent = soft_pick(r, max + 1);

    switch (soft_pick(r, 14)) {
    case 0: exponent = 0; break;
    case 1: exponent = max; break;
    case 2: exponent = 1 + soft_pick(r, 3); break;
    case 3: exponent = max - 1 - soft_pick(r, 3); break;
    case 4: exponent = half + soft_pick(r, t->fraction_bits + 2); break;
    case 5: exponent = half / 2 + soft_pick(r, 4); break; /* whose squares are denormal */
    case 6: exponent = half + half / 2 + soft_pick(r, 4); break;
    case 7: exponent = half + 29 + soft_pick(r, 4); break; /* edges of integers */
    case 8: exponent = half + 61 + soft_pick(r, 4); break;
    case 9: exponent = half + soft_pick(r, 20) - 14; break;
    case 10: exponent = half - 127 + soft_pick(r, 20) + 254 * soft_pick(r, 2) - 10; break; /* binary32's ends */
    case 11: exponent = half - 15 + soft_pick(r, 6) + 28 * soft_pick(r, 2); break;         /* binary16's */
    default: break;
    }
    exponent &= max;
    return sign << (t->fraction_bits + t->exponent_bits) | (uint64_t)exponent << t->fraction_bits | fraction;
}

static inline struct cpu_x87_register soft_operand80(struct soft_random *r)
{
    struct cpu_x87_register v = {.significand = 1ull << 63 | soft_fraction(r, 63)};
    unsigned exponent = soft_pick(r, 0x8000);

    switch (soft_pick(r, 17)) {
    case 0: exponent = 0; break; /* pseudo-denormal */
    case 1:
        exponent = 0;
        v.significand = soft_fraction(r, 63); /* denormal, or zero */
        break;
    case 2: exponent = 0x7FFF; break;
    case 3: v.significand &= UINT64_MAX >> 1; break; /* unnormal */
    case 4: exponent = 1 + soft_pick(r, 70); break;
    case 5: exponent = 0x7FFE - soft_pick(r, 70); break;
    case 6: exponent = 0x3FFF + soft_pick(r, 66); break;
    case 7: exponent = 0x1FFF + soft_pick(r, 4); break;
    case 8: exponent = 0x5FFD + soft_pick(r, 4); break;
    case 9: exponent = 0x3FFF - 1023 + soft_pick(r, 20) - 10; break;
    case 10: exponent = 0x3FFF + 1023 + soft_pick(r, 4) - 2; break;
    case 11: exponent = 0x3FFF - 127 + soft_pick(r, 20) - 10; break;
    case 12: exponent = 0x3FFF + 127 + soft_pick(r, 4) - 2; break;
    case 13: exponent = 0x3FFF + 55 + soft_pick(r, 10); break; /* integers and BCD */
    default: exponent = 0x3FFF - 30 + soft_pick(r, 60); break;
    }
    v.sign_exponent = (uint16_t)(soft_pick(r, 2) << 15 | exponent);
    return v;
}

#endif
