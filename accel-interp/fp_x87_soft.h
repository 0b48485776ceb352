/* What fp_x87_soft.c and fp_soft_x87.c share: memory operands, and the transcendental functions in software
 * (fp_x87_transcendental.c). */
#ifndef VMRR_ACCEL_INTERP_FP_X87_SOFT_H
#define VMRR_ACCEL_INTERP_FP_X87_SOFT_H

#include "accel-interp/fp.h"
#include "accel-interp/soft_float.h"

/* Memory operands of 2, 4 or 8 bytes. */
static inline uint64_t fp_soft_load(const void *memory, unsigned size_bytes)
{
    uint64_t v = 0;
    for (unsigned n = 0; n < size_bytes; n++)
        v |= (uint64_t)((const uint8_t *)memory)[n] << 8 * n;
    return v;
}
static inline void fp_soft_store(void *memory, uint64_t v, unsigned size_bytes)
{
    for (unsigned n = 0; n < size_bytes; n++)
        ((uint8_t *)memory)[n] = (uint8_t)(v >> 8 * n);
}

enum fp_transcendental { FP_F2XM1, FP_FYL2X, FP_FPTAN, FP_FPATAN, FP_FYL2XP1, FP_FSINCOS, FP_FSIN, FP_FCOS };

/* ST1 is an operand, and popped before the result is stored. */
static inline bool fp_transcendental_pops(enum fp_transcendental function)
{
    return function == FP_FYL2X || function == FP_FPATAN || function == FP_FYL2XP1;
}
/* A second result is pushed: the cosine, or 1. */
static inline bool fp_transcendental_pushes(enum fp_transcendental function)
{
    return function == FP_FPTAN || function == FP_FSINCOS;
}

struct fp_transcendental_result {
    struct cpu_x87_register value[2];
    bool out_of_range; /* C2: nothing was done */
};

/* Correct to within one unit of the last place, by the precision of 64 bits that the silicon uses too; which of the two
 * neighbours it is may differ from any silicon. C1 in f->rounded_up. */
struct fp_transcendental_result fp_transcendental_compute(struct soft_float *f, enum fp_transcendental function,
                                                          struct cpu_x87_register st0, struct cpu_x87_register st1);

#endif
