/* fp.h's kernels in integers: what its lists are expanded with when FP_SOFT is 1. The functions are in fp_soft_sse.c and
 * fp_soft_x87.c; the control registers of the host that fp.h speaks of are those of struct fp_soft_unit, one a thread. */
#ifndef VMRR_ACCEL_INTERP_FP_SOFT_H
#define VMRR_ACCEL_INTERP_FP_SOFT_H

struct fp_soft_unit {
    uint32_t mxcsr;
    uint16_t fcw;
};
extern _Thread_local struct fp_soft_unit fp_soft_unit;

static inline void fp_unit_set_mxcsr(uint32_t value)
{
    fp_soft_unit.mxcsr = value;
}
static inline uint32_t fp_unit_mxcsr(void)
{
    return fp_soft_unit.mxcsr;
}
static inline void fp_unit_set_fcw(uint16_t value)
{
    fp_soft_unit.fcw = value;
}
/* The functions return their own flags only: nothing is held. */
static inline void fp_unit_clear_x87(void) {}

#define FP80_BINARY_(name, insn)                                                                                       \
    uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a,                                 \
                         const struct cpu_x87_register *b);
#define FP80_MEMORY_(name, insn, bytes)                                                                                \
    uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a, const void *b);
#define FP80_COMPARE_(name, insn)                                                                                      \
    uint16_t fp80_##name(const struct cpu_x87_register *a, const struct cpu_x87_register *b);
#define FP80_COMPARE_MEMORY_(name, insn, bytes) uint16_t fp80_##name(const struct cpu_x87_register *a, const void *b);
#define FP80_COMPARE_FLAGS_(name, insn)                                                                                \
    struct fp_order fp80_##name(const struct cpu_x87_register *a, const struct cpu_x87_register *b);
#define FP80_UNARY_(name, insn) uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a);
#define FP80_CONSTANT_(name) void fp80_##name(struct cpu_x87_register *d);
#define FP80_FROM_(name, insn, bytes) uint16_t fp80_from_##name(struct cpu_x87_register *d, const void *v);
#define FP80_TO_(name, insn, bytes) uint16_t fp80_to_##name(const struct cpu_x87_register *a, void *out);
#define FP80_TEST_(name) uint16_t fp80_##name(const struct cpu_x87_register *a);

#define FP_SSE_ARITH_(insn) __m128i fp_##insn(__m128i d, __m128i s);
#define FP_SSE_COMPARE_(insn, n) __m128i fp_##insn##_##n(__m128i d, __m128i s);
#define FP_SSE_ORDER_(insn) __m128i fp_##insn(__m128i d, __m128i s);
#define FP_SSE_FROM_(name, insn, type, get) __m128i fp_##name(__m128i d, __m128i s);
#define FP_SSE_TO_(name, insn, type) __m128i fp_##name(__m128i d, __m128i s);

#endif
