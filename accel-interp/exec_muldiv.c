/* MUL, IMUL (one, two and three operands), DIV, IDIV. Undefined flags as measured on Intel processors: after MUL and
 * IMUL ZF and AF are 0, SF and PF those of the low half; DIV and IDIV change none. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

__extension__ typedef unsigned __int128 muldiv_u128;
__extension__ typedef __int128 muldiv_s128;

/* ZF is 0 even if the low half is: lf_result then is a number with its SF and PF. */
static inline void mul_flags(struct interp *cpu, uint64_t sext_low, bool overflow)
{
    cpu->lf_result = sext_low ? sext_low : 0x300;
    cpu->lf_aux = (uint64_t)overflow << 63 | 0; /* OF = CF */
}

/* One operand: rDX:rAX (AX) = accumulator * src. */
#define MUL_PRIMITIVES(bits, wide_bits)                                                                                \
    static inline void muldiv_mul##bits(struct interp *cpu, uint##bits##_t src)                                        \
    {                                                                                                                  \
        uint##wide_bits##_t product = (uint##wide_bits##_t)((uint##wide_bits##_t)reg_get##bits(cpu, 0) * src);         \
        put_product##bits(cpu, product);                                                                               \
        mul_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)product, product >> (bits));                                  \
    }                                                                                                                  \
    static inline void muldiv_imul##bits(struct interp *cpu, uint##bits##_t src)                                       \
    {                                                                                                                  \
        int##wide_bits##_t product =                                                                                   \
            (int##wide_bits##_t)((int##wide_bits##_t)(int##bits##_t)reg_get##bits(cpu, 0) * (int##bits##_t)src);       \
        put_product##bits(cpu, (uint##wide_bits##_t)product);                                                          \
        mul_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)product, product != (int##bits##_t)product);                  \
    }
static inline void put_product8(struct interp *cpu, uint16_t product)
{
    cpu->r[CPU_RAX].w = product;
}
static inline void put_product16(struct interp *cpu, uint32_t product)
{
    cpu->r[CPU_RAX].w = (uint16_t)product;
    cpu->r[CPU_RDX].w = (uint16_t)(product >> 16);
}
static inline void put_product32(struct interp *cpu, uint64_t product)
{
    cpu->r[CPU_RAX].q = (uint32_t)product;
    cpu->r[CPU_RDX].q = product >> 32;
}
MUL_PRIMITIVES(8, 16)
MUL_PRIMITIVES(16, 32)
MUL_PRIMITIVES(32, 64)

static inline void muldiv_mul64(struct interp *cpu, uint64_t src)
{
    muldiv_u128 product = (muldiv_u128)cpu->r[CPU_RAX].q * src;
    cpu->r[CPU_RAX].q = (uint64_t)product;
    cpu->r[CPU_RDX].q = (uint64_t)(product >> 64);
    mul_flags(cpu, (uint64_t)product, product >> 64);
}
static inline void muldiv_imul64(struct interp *cpu, uint64_t src)
{
    muldiv_s128 product = (muldiv_s128)(int64_t)cpu->r[CPU_RAX].q * (int64_t)src;
    cpu->r[CPU_RAX].q = (uint64_t)product;
    cpu->r[CPU_RDX].q = (uint64_t)((muldiv_u128)product >> 64);
    mul_flags(cpu, (uint64_t)product, product != (int64_t)product);
}

/* Two and three operands: the product's low half. */
#define IMUL_PRIMITIVE(bits, unused)                                                                                   \
    static inline uint##bits##_t muldiv_imul_low##bits(struct interp *cpu, uint##bits##_t a, uint##bits##_t b)         \
    {                                                                                                                  \
        int##bits##_t low;                                                                                             \
        bool overflow = __builtin_mul_overflow((int##bits##_t)a, (int##bits##_t)b, &low);                              \
        mul_flags(cpu, (uint64_t)(int64_t)low, overflow);                                                              \
        return (uint##bits##_t)low;                                                                                    \
    }
EXEC_SIZES_NOT8(IMUL_PRIMITIVE, )

/* DIV, IDIV: false says #DE, nothing changed. */
#define DIV_PRIMITIVES(bits, wide_bits)                                                                                \
    static inline bool muldiv_div##bits(struct interp *cpu, uint##bits##_t divisor)                                    \
    {                                                                                                                  \
        uint##wide_bits##_t dividend = get_dividend##bits(cpu);                                                        \
        if (divisor == 0)                                                                                              \
            return false;                                                                                              \
        uint##wide_bits##_t quotient = dividend / divisor;                                                             \
        if (quotient >> (bits))                                                                                        \
            return false;                                                                                              \
        put_quotient##bits(cpu, (uint##bits##_t)quotient, (uint##bits##_t)(dividend % divisor));                       \
        return true;                                                                                                   \
    }                                                                                                                  \
    static inline bool muldiv_idiv##bits(struct interp *cpu, uint##bits##_t src)                                       \
    {                                                                                                                  \
        int##wide_bits##_t dividend = (int##wide_bits##_t)get_dividend##bits(cpu), divisor = (int##bits##_t)src;       \
        if (divisor == 0 || (divisor == -1 && dividend == INT##wide_bits##_MIN))                                       \
            return false;                                                                                              \
        int##wide_bits##_t quotient = (int##wide_bits##_t)(dividend / divisor);                                        \
        if (quotient != (int##bits##_t)quotient)                                                                       \
            return false;                                                                                              \
        put_quotient##bits(cpu, (uint##bits##_t)quotient, (uint##bits##_t)(dividend % divisor));                       \
        return true;                                                                                                   \
    }
static inline uint16_t get_dividend8(const struct interp *cpu)
{
    return cpu->r[CPU_RAX].w;
}
static inline uint32_t get_dividend16(const struct interp *cpu)
{
    return cpu->r[CPU_RAX].w | ((uint32_t)cpu->r[CPU_RDX].w << 16);
}
static inline uint64_t get_dividend32(const struct interp *cpu)
{
    return cpu->r[CPU_RAX].d | ((uint64_t)cpu->r[CPU_RDX].d << 32);
}
static inline void put_quotient8(struct interp *cpu, uint8_t quotient, uint8_t remainder)
{
    cpu->r[CPU_RAX].w = (uint16_t)(quotient | (remainder << 8));
}
#define PUT_QUOTIENT(bits)                                                                                             \
    static inline void put_quotient##bits(struct interp *cpu, uint##bits##_t quotient, uint##bits##_t remainder)       \
    {                                                                                                                  \
        reg_set##bits(cpu, CPU_RAX, quotient);                                                                         \
        reg_set##bits(cpu, CPU_RDX, remainder);                                                                        \
    }
PUT_QUOTIENT(16)
PUT_QUOTIENT(32)
DIV_PRIMITIVES(8, 16)
DIV_PRIMITIVES(16, 32)
DIV_PRIMITIVES(32, 64)

/* high:low / divisor with high < divisor: the quotient fits. */
static inline uint64_t divide_128(uint64_t high, uint64_t low, uint64_t divisor, uint64_t *remainder)
{
#if defined(__x86_64__)
    uint64_t quotient;
    __asm__("divq %4" : "=a"(quotient), "=d"(*remainder) : "a"(low), "d"(high), "r"(divisor) : "cc");
    return quotient;
#else
    muldiv_u128 dividend = ((muldiv_u128)high << 64) | low;
    *remainder = (uint64_t)(dividend % divisor);
    return (uint64_t)(dividend / divisor);
#endif
}

static inline bool muldiv_div64(struct interp *cpu, uint64_t divisor)
{
    uint64_t remainder;

    if (cpu->r[CPU_RDX].q >= divisor) /* so too when it is 0 */
        return false;
    cpu->r[CPU_RAX].q = divide_128(cpu->r[CPU_RDX].q, cpu->r[CPU_RAX].q, divisor, &remainder);
    cpu->r[CPU_RDX].q = remainder;
    return true;
}

static inline bool muldiv_idiv64(struct interp *cpu, uint64_t divisor)
{
    muldiv_s128 dividend = (muldiv_s128)(((muldiv_u128)cpu->r[CPU_RDX].q << 64) | cpu->r[CPU_RAX].q);
    bool minus = dividend < 0, minus_quotient = minus != ((int64_t)divisor < 0);
    muldiv_u128 magnitude = minus ? -(muldiv_u128)dividend : (muldiv_u128)dividend;
    uint64_t by = (int64_t)divisor < 0 ? 0 - divisor : divisor, remainder;

    if ((uint64_t)(magnitude >> 64) >= by)
        return false;
    uint64_t quotient = divide_128((uint64_t)(magnitude >> 64), (uint64_t)magnitude, by, &remainder);
    if (quotient > (uint64_t)INT64_MAX + minus_quotient)
        return false;
    cpu->r[CPU_RAX].q = minus_quotient ? 0 - quotient : quotient;
    cpu->r[CPU_RDX].q = minus ? 0 - remainder : remainder;
    return true;
}

#define MULDIV_FUNCTIONS(bits, unused)                                                                                 \
    EXEC_REG(mul##bits, muldiv_mul##bits(cpu, reg_get##bits(cpu, i->rm)))                                              \
    EXEC_LOAD(mul##bits, bits, muldiv_mul##bits(cpu, src))                                                             \
    EXEC_REG(imul##bits, muldiv_imul##bits(cpu, reg_get##bits(cpu, i->rm)))                                            \
    EXEC_LOAD(imul##bits, bits, muldiv_imul##bits(cpu, src))                                                           \
    EXEC_REG(div##bits, if (!muldiv_div##bits(cpu, reg_get##bits(cpu, i->rm))) RAISE(EXC_DE))                          \
    EXEC_LOAD(div##bits, bits, if (!muldiv_div##bits(cpu, src)) RAISE(EXC_DE))                                         \
    EXEC_REG(idiv##bits, if (!muldiv_idiv##bits(cpu, reg_get##bits(cpu, i->rm))) RAISE(EXC_DE))                        \
    EXEC_LOAD(idiv##bits, bits, if (!muldiv_idiv##bits(cpu, src)) RAISE(EXC_DE))
EXEC_ALL_SIZES(MULDIV_FUNCTIONS, )
FORMS_SIZES(forms_mul, mul);
FORMS_SIZES(forms_imul, imul);
FORMS_SIZES(forms_div, div);
FORMS_SIZES(forms_idiv, idiv);

#define IMUL_FUNCTIONS(bits, unused)                                                                                   \
    EXEC_REG(                                                                                                          \
        imul_ge##bits,                                                                                                 \
        reg_set##bits(cpu, i->reg, muldiv_imul_low##bits(cpu, reg_get##bits(cpu, i->reg), reg_get##bits(cpu, i->rm)))) \
    EXEC_LOAD(imul_ge##bits, bits,                                                                                     \
              reg_set##bits(cpu, i->reg, muldiv_imul_low##bits(cpu, reg_get##bits(cpu, i->reg), src)))                 \
    EXEC_REG(                                                                                                          \
        imul_gei##bits,                                                                                                \
        reg_set##bits(cpu, i->reg, muldiv_imul_low##bits(cpu, reg_get##bits(cpu, i->rm), (uint##bits##_t)i->imm)))     \
    EXEC_LOAD(imul_gei##bits, bits, reg_set##bits(cpu, i->reg, muldiv_imul_low##bits(cpu, src, (uint##bits##_t)i->imm)))
EXEC_SIZES_NOT8(IMUL_FUNCTIONS, )
FORMS_SIZES_NOT8(forms_imul_ge, imul_ge);
FORMS_SIZES_NOT8(forms_imul_gei, imul_gei);
