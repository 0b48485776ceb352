/* What the exec_sse*.c files and exec_mmx.c share. As in exec.h a memory instruction is three functions: name_m64 and
 * name_m32 do the frequent case only (usable, page at hand, aligned, everything masked) and hand over to name_seg, which
 * does any. No local whose address is taken may live across NEXT: it would cost the tail call. */
#ifndef VMRR_ACCEL_INTERP_SSE_H
#define VMRR_ACCEL_INTERP_SSE_H

#include "accel-interp/exec.h"
#include "accel-interp/fp.h"
#include "accel-interp/system_bits.h"

/* ---- checks --------------------------------------------------------------------------------------------------- */

static inline bool sse_usable(const struct interp *cpu)
{
    return cpu->usable & USABLE_SSE;
}
/* Raises: #UD for CR0.EM or no CR4.OSFXSR, else #NM. */
_Noreturn void sse_raise_unusable(struct interp *cpu, const struct insn *i);
#define SSE_CHECK()                                                                                                    \
    do {                                                                                                               \
        if (UNLIKELY(!sse_usable(cpu)))                                                                                \
            sse_raise_unusable(cpu, i);                                                                                \
    } while (0)

static inline bool sse_all_masked(const struct interp *cpu)
{
    return !(~cpu->s.mxcsr & MXCSR_MASKS);
}
/* For fast functions of arithmetic. */
static inline bool sse_ready(const struct interp *cpu)
{
    return cpu->usable & READY_SSE;
}

/* ---- operands ------------------------------------------------------------------------------------------------- */

static inline __m128i xmm_get(const struct interp *cpu, unsigned n)
{
    return _mm_loadu_si128((const __m128i *)(const void *)cpu->s.vector[n].q);
}
static inline void xmm_set(struct interp *cpu, unsigned n, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)cpu->s.vector[n].q, v);
}

/* Memory operand as the low part of a vector, upper part 0. */
static inline __m128i host_get_v16(const uint8_t *host)
{
    return _mm_loadu_si128((const __m128i *)(const void *)host);
}
static inline __m128i host_get_v8(const uint8_t *host)
{
    return _mm_cvtsi64_si128((long long)host_get64(host));
}
static inline __m128i host_get_v4(const uint8_t *host)
{
    return _mm_cvtsi32_si128((int)host_get32(host));
}
static inline void host_set_v16(uint8_t *host, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)host, v);
}
static inline void host_set_v8(uint8_t *host, __m128i v)
{
    host_set64(host, (uint64_t)_mm_cvtsi128_si64(v));
}
static inline void host_set_v4(uint8_t *host, __m128i v)
{
    host_set32(host, (uint32_t)_mm_cvtsi128_si32(v));
}

/* Slow halves, any state of TLB and alignment. The _aligned ones raise #GP(0). */
__m128i sse_load16(struct interp *cpu, const struct insn *i, uint64_t linear);
__m128i sse_load16_aligned(struct interp *cpu, const struct insn *i, uint64_t linear);
void sse_store16(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v);
void sse_store16_aligned(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v);
/* Bytes of data whose mask byte is negative, to the operand's segment and rDI (exec_sse_move.c). */
void sse_masked_store(struct interp *cpu, const struct insn *i, const uint8_t *data, const uint8_t *mask,
                      unsigned size_bytes);
/* An address in the middle of an operand: 32-bit linear addresses wrap. */
static inline uint64_t sse_wrap(const struct interp *cpu, uint64_t linear)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? linear : (uint32_t)linear;
}
/* LDMXCSR (exec_fxsave.c). */
void sse_load_mxcsr(struct interp *cpu, const struct insn *i);
static inline __m128i sse_load8(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    return _mm_cvtsi64_si128((long long)ld64(cpu, i, linear));
}
static inline __m128i sse_load4(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    return _mm_cvtsi32_si128((int)ld32(cpu, i, linear));
}
static inline void sse_store8(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v)
{
    st64(cpu, i, linear, (uint64_t)_mm_cvtsi128_si64(v));
}
static inline void sse_store4(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v)
{
    st32(cpu, i, linear, (uint32_t)_mm_cvtsi128_si32(v));
}

/* Operand kinds: bytes, mask of address bits that must be clear, slow halves. */
#define SSE_BYTES_V16 16
#define SSE_BYTES_V16U 16
#define SSE_BYTES_V8 8
#define SSE_BYTES_V4 4
#define SSE_ALIGN_V16 15u
#define SSE_ALIGN_V16U 0u
#define SSE_ALIGN_V8 0u
#define SSE_ALIGN_V4 0u
#define SSE_LOAD_V16 sse_load16_aligned
#define SSE_LOAD_V16U sse_load16
#define SSE_LOAD_V8 sse_load8
#define SSE_LOAD_V4 sse_load4
#define SSE_STORE_V16 sse_store16_aligned
#define SSE_STORE_V16U sse_store16
#define SSE_STORE_V8 sse_store8
#define SSE_STORE_V4 sse_store4
#define SSE_HOST_GET_V16 host_get_v16
#define SSE_HOST_GET_V16U host_get_v16
#define SSE_HOST_GET_V8 host_get_v8
#define SSE_HOST_GET_V4 host_get_v4
#define SSE_HOST_SET_V16 host_set_v16
#define SSE_HOST_SET_V16U host_set_v16
#define SSE_HOST_SET_V8 host_set_v8
#define SSE_HOST_SET_V4 host_set_v4

/* ---- instruction shapes --------------------------------------------------------------------------------------- */

/* `use` is a statement over src. */
#define SSE_REG(name, ...)                                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        const __m128i src = xmm_get(cpu, i->rm);                                                                       \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define SSE_LOAD_(name, kind, ready, abits, ...)                                                                       \
    EXEC_STATIC(name##_m##abits)                                                                                       \
    {                                                                                                                  \
        const uint64_t linear = ea##abits(cpu, i);                                                                     \
        const uint8_t *host = mem_hit(cpu, linear, SSE_BYTES_##kind, TLB_READ);                                        \
        if (UNLIKELY(!host || (linear & SSE_ALIGN_##kind) || !ready(cpu)))                                             \
            return name##_seg(cpu, i);                                                                                 \
        const __m128i src = SSE_HOST_GET_##kind(host);                                                                 \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define SSE_LOAD(name, kind, ...)                                                                                      \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        const __m128i src = SSE_LOAD_##kind(cpu, i, ea_general(cpu, i, SSE_BYTES_##kind, TLB_READ));                   \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    SSE_LOAD_(name, kind, sse_usable, 64, __VA_ARGS__)                                                                 \
    SSE_LOAD_(name, kind, sse_usable, 32, __VA_ARGS__)
/* value: an expression. */
#define SSE_STORE_(name, kind, value, abits)                                                                           \
    EXEC_STATIC(name##_m##abits)                                                                                       \
    {                                                                                                                  \
        const uint64_t linear = ea##abits(cpu, i);                                                                     \
        uint8_t *host = mem_hit(cpu, linear, SSE_BYTES_##kind, TLB_WRITE);                                             \
        if (UNLIKELY(!host || (linear & SSE_ALIGN_##kind) || !sse_usable(cpu)))                                        \
            return name##_seg(cpu, i);                                                                                 \
        SSE_HOST_SET_##kind(host, value);                                                                              \
        NEXT;                                                                                                          \
    }
#define SSE_STORE(name, kind, value)                                                                                   \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        SSE_STORE_##kind(cpu, i, ea_general(cpu, i, SSE_BYTES_##kind, TLB_WRITE), value);                              \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    SSE_STORE_(name, kind, value, 64)                                                                                  \
    SSE_STORE_(name, kind, value, 32)

/* Arithmetic: fn is a kernel of fp.h; `out` a statement over its `result`. The fast function has everything masked. */
#define SSE_ARITH_REG(name, fn, ranged, out)                                                                           \
    EXEC_STATIC(name##_reg_trapping)                                                                                   \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        const __m128i result = fp_sse_trapping(cpu, i, fn, xmm_get(cpu, i->reg), xmm_get(cpu, i->rm), ranged);         \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        if (UNLIKELY(!sse_ready(cpu)))                                                                                 \
            return name##_reg_trapping(cpu, i);                                                                        \
        const __m128i result = fn(xmm_get(cpu, i->reg), xmm_get(cpu, i->rm));                                          \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }
#define SSE_ARITH_MEM(name, fn, kind, ranged, out)                                                                     \
    EXEC_STATIC(name##_seg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        const __m128i src = SSE_LOAD_##kind(cpu, i, ea_general(cpu, i, SSE_BYTES_##kind, TLB_READ));                   \
        const __m128i d = xmm_get(cpu, i->reg);                                                                        \
        const __m128i result = sse_all_masked(cpu) ? fn(d, src) : fp_sse_trapping(cpu, i, fn, d, src, ranged);         \
        out;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    SSE_LOAD_(name, kind, sse_ready, 64, const __m128i result = fn(xmm_get(cpu, i->reg), src); out)                    \
    SSE_LOAD_(name, kind, sse_ready, 32, const __m128i result = fn(xmm_get(cpu, i->reg), src); out)
#define SSE_ARITH(name, fn, kind, ranged, out)                                                                         \
    SSE_ARITH_REG(name, fn, ranged, out)                                                                               \
    SSE_ARITH_MEM(name, fn, kind, ranged, out)

/* Tables. REG.W-dependent ones take two sets. */
#define SSE_ROW_(name)                                                                                                 \
    {                                                                                                                  \
        name##_reg, name##_m64, name##_m32, name##_seg                                                                 \
    }
#define SSE_ROW_MEM_(name)                                                                                             \
    {                                                                                                                  \
        0, name##_m64, name##_m32, name##_seg                                                                          \
    }
#define SSE_ROW_REG_(name)                                                                                             \
    {                                                                                                                  \
        name##_reg, 0, 0, 0                                                                                            \
    }
#define SSE_FORMS_4_(table, a, b, c, d) const struct insn_forms table = {.fn = {a, b, c, d}}
#define SSE_FORMS(table, name) SSE_FORMS_4_(table, SSE_ROW_(name), SSE_ROW_(name), SSE_ROW_(name), SSE_ROW_(name))
#define SSE_FORMS_MEM(table, name)                                                                                     \
    SSE_FORMS_4_(table, SSE_ROW_MEM_(name), SSE_ROW_MEM_(name), SSE_ROW_MEM_(name), SSE_ROW_MEM_(name))
#define SSE_FORMS_REG(table, name)                                                                                     \
    SSE_FORMS_4_(table, SSE_ROW_REG_(name), SSE_ROW_REG_(name), SSE_ROW_REG_(name), SSE_ROW_REG_(name))
#define SSE_FORMS_W(table, name, wide)                                                                                 \
    SSE_FORMS_4_(table, SSE_ROW_(name), SSE_ROW_(name), SSE_ROW_(name), SSE_ROW_(wide))

#endif
