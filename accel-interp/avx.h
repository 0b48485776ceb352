/* What the exec_avx_*.c files share: VEX-encoded vector instructions (Intel SDM vol. 1, 14; vol. 2, 2.4 for the exception
 * classes). As sse.h: name_reg, name_m64, name_m32 and name_seg make an instruction, of which the middle two do only the
 * frequent case; no local whose address is taken may live across NEXT. The forms tables are sse.h's.
 *
 * A YMM register is two XMM lanes, and most 256-bit instructions are the 128-bit kernel on each of them. Memory operands need
 * no alignment but where the kind says so. */
#ifndef VMRR_ACCEL_INTERP_AVX_H
#define VMRR_ACCEL_INTERP_AVX_H

#include "accel-interp/sse.h"

struct ymm {
    __m128i lane[2];
};

/* ---- checks --------------------------------------------------------------------------------------------------- */

/* CR4.OSXSAVE, SSE and AVX state in XCR0, CR0.TS clear. */
static inline bool avx_usable(const struct interp *cpu)
{
    return cpu->usable & USABLE_AVX;
}
/* #UD when the operating system has not enabled AVX, else #NM. */
_Noreturn void avx_raise_unusable(struct interp *cpu, const struct insn *i);
#define AVX_CHECK()                                                                                                    \
    do {                                                                                                               \
        if (UNLIKELY(!avx_usable(cpu)))                                                                                \
            avx_raise_unusable(cpu, i);                                                                                \
    } while (0)
/* For fast functions of arithmetic: usable and all exceptions masked. */
static inline bool avx_ready(const struct interp *cpu)
{
    return cpu->usable & READY_AVX;
}

/* ---- registers ------------------------------------------------------------------------------------------------ */

static inline __m128i xmm_get_high(const struct interp *cpu, unsigned n)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(cpu->s.vector[n].q + 2));
}
static inline void xmm_set_high(struct interp *cpu, unsigned n, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)(cpu->s.vector[n].q + 2), v);
}
static inline struct ymm ymm_get(const struct interp *cpu, unsigned n)
{
    return (struct ymm){{xmm_get(cpu, n), xmm_get_high(cpu, n)}};
}
static inline void ymm_set(struct interp *cpu, unsigned n, struct ymm v)
{
    xmm_set(cpu, n, v.lane[0]);
    xmm_set_high(cpu, n, v.lane[1]);
}
static inline struct ymm ymm_make(__m128i low, __m128i high)
{
    return (struct ymm){{low, high}};
}
/* Result of a VEX.128 or scalar instruction: bits 255:128 become 0. */
static inline void ymm_set_low(struct interp *cpu, unsigned n, __m128i v)
{
    xmm_set(cpu, n, v);
    xmm_set_high(cpu, n, _mm_setzero_si128());
}

/* ---- memory operands ------------------------------------------------------------------------------------------ */

/* 32 bytes, any state of TLB. All checks before the first byte is written. */
static inline struct ymm avx_load32(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    __m128i low = sse_load16(cpu, i, linear);

    return ymm_make(low, sse_load16(cpu, i, linear + 16));
}
void avx_store32(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i low, __m128i high);
static inline struct ymm avx_load32_aligned(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    if (linear & 31)
        RAISE_ERROR(EXC_GP, 0);
    return avx_load32(cpu, i, linear);
}
static inline void avx_store32_aligned(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i low,
                                       __m128i high)
{
    if (linear & 31)
        RAISE_ERROR(EXC_GP, 0);
    avx_store32(cpu, i, linear, low, high);
}
static inline __m128i sse_load2(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    return _mm_cvtsi32_si128(ld16(cpu, i, linear));
}
static inline __m128i sse_load1(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    return _mm_cvtsi32_si128(ld8(cpu, i, linear));
}
static inline __m128i host_get_v2(const uint8_t *host)
{
    return _mm_cvtsi32_si128(host_get16(host));
}
static inline __m128i host_get_v1(const uint8_t *host)
{
    return _mm_cvtsi32_si128(*host);
}
static inline struct ymm host_get_v32(const uint8_t *host)
{
    return ymm_make(host_get_v16(host), host_get_v16(host + 16));
}
static inline void host_set_v32(uint8_t *host, struct ymm v)
{
    host_set_v16(host, v.lane[0]);
    host_set_v16(host + 16, v.lane[1]);
}

/* Further operand kinds of sse.h's shapes (V2, V1: low part of a vector), and V32, V32U for the 256-bit ones. */
#define SSE_BYTES_V2 2
#define SSE_BYTES_V1 1
#define SSE_ALIGN_V2 0u
#define SSE_ALIGN_V1 0u
#define SSE_LOAD_V2 sse_load2
#define SSE_LOAD_V1 sse_load1
#define SSE_HOST_GET_V2 host_get_v2
#define SSE_HOST_GET_V1 host_get_v1
#define AVX_ALIGN_V32 31u
#define AVX_ALIGN_V32U 0u
#define AVX_LOAD_V32 avx_load32_aligned
#define AVX_LOAD_V32U avx_load32
#define AVX_STORE_V32 avx_store32_aligned
#define AVX_STORE_V32U avx_store32

/* ---- instruction shapes --------------------------------------------------------------------------------------- */

/* The statements see `src`, an __m128i: the r/m operand. */
#define AVX_REG(name, ...)                                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const __m128i src = xmm_get(cpu, i->rm);                                                                       \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define AVX_LOAD(name, kind, ...)                                                                                      \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const __m128i src = SSE_LOAD_##kind(cpu, i, ea_general(cpu, i, SSE_BYTES_##kind, TLB_READ));                   \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    SSE_LOAD_(name, kind, avx_usable, 64, __VA_ARGS__)                                                                 \
    SSE_LOAD_(name, kind, avx_usable, 32, __VA_ARGS__)
#define AVX_STORE_(name, kind, value, abits)                                                                           \
    EXEC_STATIC(name##_m##abits)                                                                                       \
    {                                                                                                                  \
        const uint64_t linear = ea##abits(cpu, i);                                                                     \
        uint8_t *host = mem_hit(cpu, linear, SSE_BYTES_##kind, TLB_WRITE);                                             \
        if (UNLIKELY(!host || (linear & SSE_ALIGN_##kind) || !avx_usable(cpu)))                                        \
            return name##_seg(cpu, i);                                                                                 \
        SSE_HOST_SET_##kind(host, value);                                                                              \
        NEXT;                                                                                                          \
    }
#define AVX_STORE(name, kind, value)                                                                                   \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        SSE_STORE_##kind(cpu, i, ea_general(cpu, i, SSE_BYTES_##kind, TLB_WRITE), value);                              \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    AVX_STORE_(name, kind, value, 64)                                                                                  \
    AVX_STORE_(name, kind, value, 32)
#define AVX_BOTH(name, kind, ...)                                                                                      \
    AVX_REG(name, __VA_ARGS__)                                                                                         \
    AVX_LOAD(name, kind, __VA_ARGS__)

/* The same with 256 bits: `src` is a struct ymm. */
#define AVX_REG256(name, ...)                                                                                          \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const struct ymm src = ymm_get(cpu, i->rm);                                                                    \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define AVX_LOAD256_(name, kind, ready, abits, ...)                                                                    \
    EXEC_STATIC(name##_m##abits)                                                                                       \
    {                                                                                                                  \
        const uint64_t linear = ea##abits(cpu, i);                                                                     \
        const uint8_t *host = mem_hit(cpu, linear, 32, TLB_READ);                                                      \
        if (UNLIKELY(!host || (linear & AVX_ALIGN_##kind) || !ready(cpu)))                                             \
            return name##_seg(cpu, i);                                                                                 \
        const struct ymm src = host_get_v32(host);                                                                     \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define AVX_LOAD256(name, kind, ...)                                                                                   \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        const struct ymm src = AVX_LOAD_##kind(cpu, i, ea_general(cpu, i, 32, TLB_READ));                              \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    AVX_LOAD256_(name, kind, avx_usable, 64, __VA_ARGS__)                                                              \
    AVX_LOAD256_(name, kind, avx_usable, 32, __VA_ARGS__)
/* Stores register `number`, whole. */
#define AVX_STORE256_(name, kind, number, abits)                                                                       \
    EXEC_STATIC(name##_m##abits)                                                                                       \
    {                                                                                                                  \
        const uint64_t linear = ea##abits(cpu, i);                                                                     \
        uint8_t *host = mem_hit(cpu, linear, 32, TLB_WRITE);                                                           \
        if (UNLIKELY(!host || (linear & AVX_ALIGN_##kind) || !avx_usable(cpu)))                                        \
            return name##_seg(cpu, i);                                                                                 \
        host_set_v32(host, ymm_get(cpu, number));                                                                      \
        NEXT;                                                                                                          \
    }
#define AVX_STORE256(name, kind, number)                                                                               \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        AVX_STORE_##kind(cpu, i, ea_general(cpu, i, 32, TLB_WRITE), xmm_get(cpu, number), xmm_get_high(cpu, number));  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    AVX_STORE256_(name, kind, number, 64)                                                                              \
    AVX_STORE256_(name, kind, number, 32)
#define AVX_BOTH256(name, kind, ...)                                                                                   \
    AVX_REG256(name, __VA_ARGS__)                                                                                      \
    AVX_LOAD256(name, kind, __VA_ARGS__)

/* dst = kernel(vvvv, r/m), lane by lane: functions name128_* (kind: V16U, or V8, V4 for less memory) and name256_*. */
#define AVX_BINARY(name, kernel)                                                                                       \
    AVX_BOTH(name##128, V16U, ymm_set_low(cpu, i->reg, kernel(xmm_get(cpu, insn_vvvv(i)), src)))                       \
    AVX_BINARY256(name, kernel)
#define AVX_BINARY256(name, kernel)                                                                                    \
    AVX_BOTH256(name##256, V32U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));                                      \
                ymm_set(cpu, i->reg, ymm_make(kernel(h.lane[0], src.lane[0]), kernel(h.lane[1], src.lane[1]))))
/* dst = kernel(r/m), lane by lane. */
#define AVX_UNARY(name, kernel)                                                                                        \
    AVX_BOTH(name##128, V16U, ymm_set_low(cpu, i->reg, kernel(src)))                                                   \
    AVX_BOTH256(name##256, V32U, ymm_set(cpu, i->reg, ymm_make(kernel(src.lane[0]), kernel(src.lane[1]))))
/* Tables forms_name128 and forms_name256 of the functions name128_* and name256_*. */
#define AVX_FORMS_BOTH(name)                                                                                           \
    SSE_FORMS(forms_##name##128, name##128);                                                                           \
    SSE_FORMS(forms_##name##256, name##256)

#endif
