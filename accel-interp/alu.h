/* Additions and subtractions with their flags, at every width: shared by the arithmetic, string, compare-and-exchange
 * and decimal instructions. Up to 32 bits the carry (or borrow) into each bit position is a ^ b ^ result at 64 bits, so
 * that bit `bits` is the carry out; at 64 bits the carry vector of flags.h is used. Bits of lf_aux that have no meaning
 * are left as they fall (flags.h). */
#ifndef VMRR_ACCEL_INTERP_ALU_H
#define VMRR_ACCEL_INTERP_ALU_H

#include "accel-interp/flags.h"

static inline void alu_flags_narrow(struct interp *cpu, uint64_t sext_result, uint64_t carries_in, unsigned bits)
{
    cpu->lf_result = sext_result;
    cpu->lf_aux = (carries_in << (63 - bits)) | ((carries_in >> 1) & 8u);
}

#define ALU_NARROW_(bits)                                                                                              \
    static inline uint##bits##_t alu_adc_in##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b, unsigned cf) \
    {                                                                                                                  \
        uint64_t wide = (uint64_t)a + b + cf;                                                                          \
        alu_flags_narrow(cpu, (uint64_t)(int64_t)(int##bits##_t)wide, wide ^ a ^ b, bits);                             \
        return (uint##bits##_t)wide;                                                                                   \
    }                                                                                                                  \
    static inline uint##bits##_t alu_sbb_in##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b, unsigned cf) \
    {                                                                                                                  \
        uint64_t wide = (uint64_t)a - b - cf;                                                                          \
        alu_flags_narrow(cpu, (uint64_t)(int64_t)(int##bits##_t)wide, wide ^ a ^ b, bits);                             \
        return (uint##bits##_t)wide;                                                                                   \
    }
ALU_NARROW_(8)
ALU_NARROW_(16)
ALU_NARROW_(32)

static inline uint64_t alu_adc_in64(struct interp *cpu, uint64_t a, uint64_t b, unsigned cf)
{
    uint64_t result = a + b + cf;
    cpu->lf_result = result;
    cpu->lf_aux = LF_ADD_CARRIES(a, b, result) & LF_KEEP;
    return result;
}
static inline uint64_t alu_sbb_in64(struct interp *cpu, uint64_t a, uint64_t b, unsigned cf)
{
    uint64_t result = a - b - cf;
    cpu->lf_result = result;
    cpu->lf_aux = LF_SUB_BORROWS(a, b, result) & LF_KEEP;
    return result;
}

#define ALU_BINARY_(bits)                                                                                              \
    static inline uint##bits##_t alu_add##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_adc_in##bits(cpu, a, b, 0);                                                                         \
    }                                                                                                                  \
    static inline uint##bits##_t alu_sub##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_sbb_in##bits(cpu, a, b, 0);                                                                         \
    }                                                                                                                  \
    static inline uint##bits##_t alu_adc##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_adc_in##bits(cpu, a, b, flag_cf(cpu));                                                              \
    }                                                                                                                  \
    static inline uint##bits##_t alu_sbb##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_sbb_in##bits(cpu, a, b, flag_cf(cpu));                                                              \
    }                                                                                                                  \
    static inline uint##bits##_t alu_logic##bits(struct interp *cpu, uint##bits##_t result)                            \
    {                                                                                                                  \
        flags_set_logic(cpu, (uint64_t)(int64_t)(int##bits##_t)result);                                                \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t alu_and##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_logic##bits(cpu, a & b);                                                                            \
    }                                                                                                                  \
    static inline uint##bits##_t alu_or##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                  \
    {                                                                                                                  \
        return alu_logic##bits(cpu, a | b);                                                                            \
    }                                                                                                                  \
    static inline uint##bits##_t alu_xor##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)                 \
    {                                                                                                                  \
        return alu_logic##bits(cpu, a ^ b);                                                                            \
    }
ALU_BINARY_(8)
ALU_BINARY_(16)
ALU_BINARY_(32)
ALU_BINARY_(64)

/* INC and DEC keep CF. a ^ result has the carries into bits 1 and up, since the other operand is 1. */
static inline void alu_flags_step(struct interp *cpu, uint64_t sext_result, uint64_t changed, bool overflow)
{
    uint64_t cf = cpu->lf_aux & LF_CF;
    cpu->lf_result = sext_result;
    cpu->lf_aux = cf | ((cf >> 1) ^ ((uint64_t)overflow << 62)) | ((changed >> 1) & 8u);
}
#define ALU_STEP_(bits)                                                                                                \
    static inline uint##bits##_t alu_inc##bits(struct interp *cpu, uint##bits##_t a)                                   \
    {                                                                                                                  \
        uint##bits##_t result = (uint##bits##_t)(a + 1);                                                               \
        alu_flags_step(cpu, (uint64_t)(int64_t)(int##bits##_t)result, a ^ result, result == 1ull << ((bits)-1));       \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t alu_dec##bits(struct interp *cpu, uint##bits##_t a)                                   \
    {                                                                                                                  \
        uint##bits##_t result = (uint##bits##_t)(a - 1);                                                               \
        alu_flags_step(cpu, (uint64_t)(int64_t)(int##bits##_t)result, a ^ result, a == 1ull << ((bits)-1));            \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t alu_neg##bits(struct interp *cpu, uint##bits##_t a)                                   \
    {                                                                                                                  \
        return alu_sbb_in##bits(cpu, 0, a, 0);                                                                         \
    }                                                                                                                  \
    static inline uint##bits##_t alu_not##bits(struct interp *cpu, uint##bits##_t a)                                   \
    {                                                                                                                  \
        (void)cpu;                                                                                                     \
        return (uint##bits##_t) ~a;                                                                                    \
    }
ALU_STEP_(8)
ALU_STEP_(16)
ALU_STEP_(32)
ALU_STEP_(64)

#endif
