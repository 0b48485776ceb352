/* fp.h's kernels on the host's x87 and SSE: what its lists are expanded with when FP_SOFT is 0. */
#ifndef VMRR_ACCEL_INTERP_FP_HOST_H
#define VMRR_ACCEL_INTERP_FP_HOST_H

static inline void fp_unit_set_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}
static inline uint32_t fp_unit_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}
static inline void fp_unit_set_fcw(uint16_t value)
{
    __asm__ volatile("fldcw %0" : : "m"(value));
}
static inline void fp_unit_clear_x87(void)
{
    __asm__ volatile("fnclex");
}

#define FP80_BINARY_(name, insn)                                                                                       \
    static inline uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a,                   \
                                       const struct cpu_x87_register *b)                                               \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %3\n\tfldt %2\n\t" insn "\n\tfnstsw %1\n\tfstpt %0\n\tfstp %%st(0)"                     \
                         : "=m"(*d), "=&a"(sw)                                                                         \
                         : "m"(*a), "m"(*b));                                                                          \
        return sw;                                                                                                     \
    }

/* Memory operands are unaligned host addresses of guest memory: a local variable used as an asm memory operand would cost
 * the callers their tail call. */
#define FP_MEMORY_(bytes) uint8_t(*)[bytes]
/* The other operand in memory: insn reads %3. */
#define FP80_MEMORY_(name, insn, bytes)                                                                                \
    static inline uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a, const void *b)    \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %2\n\t" insn " %3\n\tfnstsw %1\n\tfstpt %0"                                             \
                         : "=m"(*d), "=&a"(sw)                                                                         \
                         : "m"(*a), "m"(*(const FP_MEMORY_(bytes))b));                                                 \
        return sw;                                                                                                     \
    }

#define FP80_COMPARE_(name, insn)                                                                                      \
    static inline uint16_t fp80_##name(const struct cpu_x87_register *a, const struct cpu_x87_register *b)             \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %2\n\tfldt %1\n\t" insn " %%st(1)\n\tfnstsw %0\n\tfstp %%st(0)\n\tfstp %%st(0)"         \
                         : "=&a"(sw)                                                                                   \
                         : "m"(*a), "m"(*b));                                                                          \
        return sw;                                                                                                     \
    }

#define FP80_COMPARE_MEMORY_(name, insn, bytes)                                                                        \
    static inline uint16_t fp80_##name(const struct cpu_x87_register *a, const void *b)                                \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %1\n\t" insn " %2\n\tfnstsw %0\n\tfstp %%st(0)"                                         \
                         : "=&a"(sw)                                                                                   \
                         : "m"(*a), "m"(*(const FP_MEMORY_(bytes))b));                                                 \
        return sw;                                                                                                     \
    }

#define FP80_COMPARE_FLAGS_(name, insn)                                                                                \
    static inline struct fp_order fp80_##name(const struct cpu_x87_register *a, const struct cpu_x87_register *b)      \
    {                                                                                                                  \
        struct fp_order o;                                                                                             \
        __asm__ volatile("fldt %5\n\tfldt %4\n\t" insn " %%st(1),%%st\n\tfnstsw %0\n\tfstp %%st(0)\n\tfstp %%st(0)"    \
                         : "=&a"(o.sw), "=@ccz"(o.zf), "=@ccp"(o.pf), "=@ccc"(o.cf)                                    \
                         : "m"(*a), "m"(*b));                                                                          \
        return o;                                                                                                      \
    }

#define FP80_UNARY_(name, insn)                                                                                        \
    static inline uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a)                   \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %2\n\t" insn "\n\tfnstsw %1\n\tfstpt %0" : "=m"(*d), "=&a"(sw) : "m"(*a));              \
        return sw;                                                                                                     \
    }

#define FP80_CONSTANT_(name)                                                                                           \
    static inline void fp80_##name(struct cpu_x87_register *d)                                                         \
    {                                                                                                                  \
        __asm__ volatile(#name "\n\tfstpt %0" : "=m"(*d));                                                             \
    }

#define FP80_FROM_(name, insn, bytes)                                                                                  \
    static inline uint16_t fp80_from_##name(struct cpu_x87_register *d, const void *v)                                 \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile(insn " %2\n\tfnstsw %1\n\tfstpt %0"                                                           \
                         : "=m"(*d), "=&a"(sw)                                                                         \
                         : "m"(*(const FP_MEMORY_(bytes))v));                                                          \
        return sw;                                                                                                     \
    }

#define FP80_TO_(name, insn, bytes)                                                                                    \
    static inline uint16_t fp80_to_##name(const struct cpu_x87_register *a, void *out)                                 \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %2\n\t" insn " %0\n\tfnstsw %1" : "=m"(*(FP_MEMORY_(bytes))out), "=&a"(sw) : "m"(*a));  \
        return sw;                                                                                                     \
    }

#define FP_SSE_ARITH_(insn)                                                                                            \
    static inline __m128i fp_##insn(__m128i d, __m128i s)                                                              \
    {                                                                                                                  \
        __asm__ volatile(#insn " %1, %0" : "+x"(d) : "x"(s));                                                          \
        return d;                                                                                                      \
    }

#define FP_SSE_COMPARE_(insn, n)                                                                                       \
    static inline __m128i fp_##insn##_##n(__m128i d, __m128i s)                                                        \
    {                                                                                                                  \
        __asm__ volatile(#insn " $" #n ", %1, %0" : "+x"(d) : "x"(s));                                                 \
        return d;                                                                                                      \
    }

#define FP_SSE_ORDER_(insn)                                                                                            \
    static inline __m128i fp_##insn(__m128i d, __m128i s)                                                              \
    {                                                                                                                  \
        bool zf, pf, cf;                                                                                               \
        __asm__ volatile(#insn " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(d), "x"(s));                    \
        return _mm_cvtsi32_si128(zf | pf << 1 | cf << 2);                                                              \
    }

#define FP_SSE_FROM_(name, insn, type, get)                                                                            \
    static inline __m128i fp_##name(__m128i d, __m128i s)                                                              \
    {                                                                                                                  \
        type v = (type)get(s);                                                                                         \
        __asm__ volatile(insn " %1, %0" : "+x"(d) : "r"(v));                                                           \
        return d;                                                                                                      \
    }

#define FP_SSE_TO_(name, insn, type)                                                                                   \
    static inline __m128i fp_##name(__m128i d, __m128i s)                                                              \
    {                                                                                                                  \
        type v;                                                                                                        \
        (void)d;                                                                                                       \
        __asm__ volatile(insn " %1, %0" : "=r"(v) : "x"(s));                                                           \
        return _mm_cvtsi64_si128((long long)v);                                                                        \
    }

#define FP80_TEST_(name)                                                                                               \
    static inline uint16_t fp80_##name(const struct cpu_x87_register *a)                                               \
    {                                                                                                                  \
        uint16_t sw;                                                                                                   \
        __asm__ volatile("fldt %1\n\tftst\n\tfnstsw %0\n\tfstp %%st(0)" : "=&a"(sw) : "m"(*a));                        \
        return sw;                                                                                                     \
    }

#endif
