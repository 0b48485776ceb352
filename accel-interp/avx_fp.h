/* Shapes of VEX-encoded floating-point arithmetic (exec_avx_fp.c, exec_avx_convert.c, exec_avx_fma.c), as sse.h's SSE_ARITH: the
 * functions name_reg and name_m64 are for "usable, everything masked, page at hand"; name_reg_trapping and name_seg for the
 * rest. Other addresses than plain 64-bit ones go to name_seg. */
#ifndef VMRR_ACCEL_INTERP_AVX_FP_H
#define VMRR_ACCEL_INTERP_AVX_FP_H

#include "accel-interp/avx.h"
#include "accel-interp/fp_sse.h"

/* Kinds of sse.h, and V32U (256 bits) here. */
#define AVX_FP_TYPE_V4 __m128i
#define AVX_FP_TYPE_V8 __m128i
#define AVX_FP_TYPE_V16U __m128i
#define AVX_FP_TYPE_V32U struct ymm
#define AVX_FP_REG_V4 xmm_get
#define AVX_FP_REG_V8 xmm_get
#define AVX_FP_REG_V16U xmm_get
#define AVX_FP_REG_V32U ymm_get
#define AVX_FP_LOAD_V4 sse_load4
#define AVX_FP_LOAD_V8 sse_load8
#define AVX_FP_LOAD_V16U sse_load16
#define AVX_FP_LOAD_V32U avx_load32
#define AVX_FP_HOST_V4 host_get_v4
#define AVX_FP_HOST_V8 host_get_v8
#define AVX_FP_HOST_V16U host_get_v16
#define AVX_FP_HOST_V32U host_get_v32
#define AVX_FP_BYTES_V4 4
#define AVX_FP_BYTES_V8 8
#define AVX_FP_BYTES_V16U 16
#define AVX_FP_BYTES_V32U 32

/* compute: declares `result` from `src`; tiny: condition over result; exact: flags PE anew (fp_trap_lacks_pe); out: statement
 * that puts the result where it belongs. */
#define AVX_FP(name, kind, compute, tiny, exact, out)                                                                  \
    EXEC_STATIC(name##_reg_trapping)                                                                                   \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const AVX_FP_TYPE_##kind src = AVX_FP_REG_##kind(cpu, i->rm);                                                  \
        fp_trap_begin(cpu);                                                                                            \
        compute;                                                                                                       \
        if (fp_trap_lacks_pe(cpu, tiny))                                                                               \
            exact;                                                                                                     \
        fp_trap_end(cpu, i, tiny);                                                                                     \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        if (UNLIKELY(!avx_ready(cpu)))                                                                                 \
            return name##_reg_trapping(cpu, i);                                                                        \
        const AVX_FP_TYPE_##kind src = AVX_FP_REG_##kind(cpu, i->rm);                                                  \
        compute;                                                                                                       \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const AVX_FP_TYPE_##kind src = AVX_FP_LOAD_##kind(cpu, i, ea_general(cpu, i, AVX_FP_BYTES_##kind, TLB_READ));  \
        fp_trap_begin(cpu);                                                                                            \
        compute;                                                                                                       \
        if (fp_trap_lacks_pe(cpu, tiny))                                                                               \
            exact;                                                                                                     \
        fp_trap_end(cpu, i, tiny);                                                                                     \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_m64)                                                                                            \
    {                                                                                                                  \
        const uint64_t linear = ea64(cpu, i);                                                                          \
        const uint8_t *host = mem_hit(cpu, linear, AVX_FP_BYTES_##kind, TLB_READ);                                     \
        if (UNLIKELY(!host || !avx_ready(cpu)))                                                                        \
            return name##_seg(cpu, i);                                                                                 \
        const AVX_FP_TYPE_##kind src = AVX_FP_HOST_##kind(host);                                                       \
        compute;                                                                                                       \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }

#define AVX_FP_ROW_(name)                                                                                              \
    {                                                                                                                  \
        name##_reg, name##_m64, name##_seg, name##_seg                                                                 \
    }
#define AVX_FP_FORMS(table, name)                                                                                      \
    SSE_FORMS_4_(table, AVX_FP_ROW_(name), AVX_FP_ROW_(name), AVX_FP_ROW_(name), AVX_FP_ROW_(name))
#define AVX_FP_FORMS_W(table, name, wide)                                                                              \
    SSE_FORMS_4_(table, AVX_FP_ROW_(name), AVX_FP_ROW_(name), AVX_FP_ROW_(name), AVX_FP_ROW_(wide))

/* The other sources. */
#define AVX_H xmm_get(cpu, insn_vvvv(i))
#define AVX_H_HIGH xmm_get_high(cpu, insn_vvvv(i))

/* Results: the low lane with the rest cleared, or both lanes. */
#define AVX_FP_LOW_(name, kind, value, ranged, exact)                                                                  \
    AVX_FP(name, kind, const __m128i result = (value), fp_is_tiny(result, ranged), exact,                              \
           ymm_set_low(cpu, i->reg, result))                                                                           \
    AVX_FP_FORMS(forms_##name, name);
#define AVX_FP_WHOLE_(name, kind, low, high, ranged, exact)                                                            \
    AVX_FP(name, kind, const __m128i result = (low); const __m128i upper = (high),                                     \
                                                     fp_is_tiny(result, ranged) || fp_is_tiny(upper, ranged), exact,   \
                                                     ymm_set(cpu, i->reg, ymm_make(result, upper)))                    \
    AVX_FP_FORMS(forms_##name, name);
#define AVX_FP_LOW(name, kind, value, ranged) AVX_FP_LOW_(name, kind, value, ranged, fp_exact(cpu, ranged, AVX_H, src))
#define AVX_FP_WHOLE(name, kind, low, high, ranged)                                                                    \
    AVX_FP_WHOLE_(name, kind, low, high, ranged, AVX_EXACT_BOTH(ranged, AVX_H, AVX_H_HIGH))
/* What can't leave the range. */
#define AVX_FP_SAFE_LOW(name, kind, value) AVX_FP_LOW_(name, kind, value, FP_SAFE, (void)0)
#define AVX_FP_SAFE_WHOLE(name, kind, low, high) AVX_FP_WHOLE_(name, kind, low, high, FP_SAFE, (void)0)

/* Of the lanes of a 256-bit src. */
#define AVX_EXACT_BOTH(ranged, low, high)                                                                              \
    (fp_exact(cpu, ranged, low, src.lane[0]), fp_exact(cpu, ranged, high, src.lane[1]))

/* kernel(vvvv, r/m): forms_name128 and forms_name256, or a scalar's forms_name. */
#define AVX_FP_PACKED(name, kernel, ranged)                                                                            \
    AVX_FP_LOW(name##128, V16U, kernel(AVX_H, src), ranged)                                                            \
    AVX_FP_WHOLE(name##256, V32U, kernel(AVX_H, src.lane[0]), kernel(AVX_H_HIGH, src.lane[1]), ranged)

#endif
