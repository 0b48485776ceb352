/* FMA (Intel SDM vol. 1, 14.5): kernels by the rules of fp_sse.h. Each has the host's form, for hosts with HOST_FMA, and the
 * portable one that soft_float.h makes; they give the same bits and flags. */
#ifndef VMRR_ACCEL_INTERP_FP_FMA_H
#define VMRR_ACCEL_INTERP_FP_FMA_H

#include "accel-interp/fp_sse.h"
#include "accel-interp/host_features.h"

/* d, h, s: operands 1, 2, 3 of the instruction. Bits of `what`: */
#define FMA_132 0x00u /* d * s + h */
#define FMA_213 0x01u /* h * d + s */
#define FMA_231 0x02u /* h * s + d */
#define FMA_ORDER 0x03u
#define FMA_DOUBLE 0x04u
#define FMA_SCALAR 0x08u         /* element 0 alone, the others are d's */
#define FMA_NEGATE_PRODUCT 0x10u /* FNMADD, FNMSUB */
#define FMA_NEGATE_EVEN 0x20u    /* the addend of elements 0, 2: FMSUB, FNMSUB, FMADDSUB */
#define FMA_NEGATE_ODD 0x40u     /* of elements 1, 3: FMSUB, FNMSUB, FMSUBADD */
__m128i fp_fma_portable(__m128i d, __m128i h, __m128i s, unsigned what);
void fp_exact_fma(const struct interp *cpu, __m128i d, __m128i h, __m128i s, unsigned what); /* as fp_exact */

#define FMA_MADD 0u
#define FMA_MSUB (FMA_NEGATE_EVEN | FMA_NEGATE_ODD)
#define FMA_NMADD FMA_NEGATE_PRODUCT
#define FMA_NMSUB (FMA_NEGATE_PRODUCT | FMA_NEGATE_EVEN | FMA_NEGATE_ODD)
#define FMA_MADDSUB FMA_NEGATE_EVEN
#define FMA_MSUBADD FMA_NEGATE_ODD
#define FMA_PS 0u
#define FMA_PD FMA_DOUBLE
#define FMA_SS FMA_SCALAR
#define FMA_SD (FMA_SCALAR | FMA_DOUBLE)

/* X(name of the instruction without v, order, operation, elements) */
#define FMA_ORDERS_(X, op, OP, type, TYPE)                                                                             \
    X(op##132##type, FMA_132, FMA_##OP, FMA_##TYPE)                                                                    \
    X(op##213##type, FMA_213, FMA_##OP, FMA_##TYPE)                                                                    \
    X(op##231##type, FMA_231, FMA_##OP, FMA_##TYPE)
#define FMA_EACH_PS_(X, op, OP) FMA_ORDERS_(X, op, OP, ps, PS)
#define FMA_EACH_PD_(X, op, OP) FMA_ORDERS_(X, op, OP, pd, PD)
#define FMA_EACH_SS_(X, op, OP) FMA_ORDERS_(X, op, OP, ss, SS)
#define FMA_EACH_SD_(X, op, OP) FMA_ORDERS_(X, op, OP, sd, SD)
#define FMA_FOUR_(EACH, X) EACH(X, fmadd, MADD) EACH(X, fmsub, MSUB) EACH(X, fnmadd, NMADD) EACH(X, fnmsub, NMSUB)
#define FMA_LIST_PS(X) FMA_FOUR_(FMA_EACH_PS_, X) FMA_EACH_PS_(X, fmaddsub, MADDSUB) FMA_EACH_PS_(X, fmsubadd, MSUBADD)
#define FMA_LIST_PD(X) FMA_FOUR_(FMA_EACH_PD_, X) FMA_EACH_PD_(X, fmaddsub, MADDSUB) FMA_EACH_PD_(X, fmsubadd, MSUBADD)
#define FMA_LIST_SS(X) FMA_FOUR_(FMA_EACH_SS_, X)
#define FMA_LIST_SD(X) FMA_FOUR_(FMA_EACH_SD_, X)
#define FMA_LIST(X) FMA_LIST_PS(X) FMA_LIST_PD(X) FMA_LIST_SS(X) FMA_LIST_SD(X)

/* fp_host_vfmadd132ps and so on, and fp_vfmadd132ps, which asks for the host's features. */
#if !FP_SOFT
#define FMA_KERNEL_(name, order, op, type)                                                                             \
    static inline __m128i fp_host_v##name(__m128i d, __m128i h, __m128i s)                                             \
    {                                                                                                                  \
        __asm__ volatile("v" #name " %2, %1, %0" : "+x"(d) : "x"(h), "x"(s));                                          \
        return d;                                                                                                      \
    }                                                                                                                  \
    static inline __m128i fp_v##name(uint32_t host_features, __m128i d, __m128i h, __m128i s)                          \
    {                                                                                                                  \
        if (__builtin_expect(host_features & HOST_FMA, HOST_FMA))                                                      \
            return fp_host_v##name(d, h, s);                                                                           \
        return fp_fma_portable(d, h, s, (order) | (op) | (type));                                                      \
    }
#else
#define FMA_KERNEL_(name, order, op, type)                                                                             \
    static inline __m128i fp_v##name(uint32_t host_features, __m128i d, __m128i h, __m128i s)                          \
    {                                                                                                                  \
        (void)host_features;                                                                                           \
        return fp_fma_portable(d, h, s, (order) | (op) | (type));                                                      \
    }
#endif
FMA_LIST(FMA_KERNEL_)

#endif
