/* MMX, with the SSE, SSE2 and SSSE3 instructions on MMX registers (Intel SDM vol. 1, chapter 9; vol. 3, 12.5). MMn is the
 * significand of physical register Rn. Every MMX instruction sets TOP to 0 and all tags to valid; a written register gets
 * sign and exponent of all ones. FIP, FDP and FOP stay. */
#include "accel-interp/simd.h"
#include "accel-interp/sse.h"
#include "accel-interp/x87.h"

/* True: FERR#'s interrupt comes first (x87_wait_pending). */
static inline bool mmx_wait(struct interp *cpu, const struct insn *i)
{
    if (UNLIKELY(cpu->cr0 & (CR0_EM | CR0_TS)))
        RAISE((cpu->cr0 & CR0_EM) ? EXC_UD : EXC_NM);
    return UNLIKELY(cpu->s.fsw & FSW_ES) && x87_wait_pending(cpu, i);
}

static inline void mmx_enter(struct interp *cpu)
{
    cpu->x87_top = 0;
    cpu->s.ftw = 0xFF;
}

static inline __m128i mmx_get(const struct interp *cpu, unsigned n)
{
    return _mm_cvtsi64_si128((long long)cpu->s.fpr[n & 7].significand);
}
static inline void mmx_set(struct interp *cpu, unsigned n, __m128i v)
{
    cpu->s.fpr[n & 7].significand = (uint64_t)_mm_cvtsi128_si64(v);
    cpu->s.fpr[n & 7].sign_exponent = 0xFFFF;
}

#define MMX_WAIT()                                                                                                     \
    do {                                                                                                               \
        if (UNLIKELY(mmx_wait(cpu, i)))                                                                                \
            return END_LEAVE();                                                                                        \
    } while (0)
/* `use` comes after the instruction can't fault any more. */
#define MMX_REG(name, ...)                                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        MMX_WAIT();                                                                                                    \
        const __m128i src = mmx_get(cpu, i->rm);                                                                       \
        (void)src;                                                                                                     \
        mmx_enter(cpu);                                                                                                \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define MMX_LOAD(name, bytes, ...)                                                                                     \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        MMX_WAIT();                                                                                                    \
        const __m128i src = sse_load##bytes(cpu, i, ea_general(cpu, i, bytes, TLB_READ));                              \
        mmx_enter(cpu);                                                                                                \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define MMX_STORE(name, bytes)                                                                                         \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        MMX_WAIT();                                                                                                    \
        sse_store##bytes(cpu, i, ea_general(cpu, i, bytes, TLB_WRITE), mmx_get(cpu, i->reg));                          \
        mmx_enter(cpu);                                                                                                \
        NEXT;                                                                                                          \
    }
#define MMX_FORMS(name) FORMS_RM(forms_##name##_mmx, name##_reg, name##_mem)

/* ---- arithmetic ------------------------------------------------------------------------------------------------- */

#define BINARY_(name, bytes, fn)                                                                                       \
    MMX_REG(name, mmx_set(cpu, i->reg, fn(mmx_get(cpu, i->reg), src)))                                                 \
    MMX_LOAD(name, bytes, mmx_set(cpu, i->reg, fn(mmx_get(cpu, i->reg), src)))                                         \
    MMX_FORMS(name);
#define BINARY(name, fn) BINARY_(name, 8, fn)
SIMD_LANEWISE(BINARY)
SIMD_SHIFTS(BINARY)
BINARY(packsswb, simd_packsswb_mmx)
BINARY(packssdw, simd_packssdw_mmx)
BINARY(packuswb, simd_packuswb_mmx)
BINARY(punpckhbw, simd_punpckhbw_mmx)
BINARY(punpckhwd, simd_punpckhwd_mmx)
BINARY(punpckhdq, simd_punpckhdq_mmx)
/* The low unpacks read only 32 bits of memory. */
BINARY_(punpcklbw, 4, _mm_unpacklo_epi8)
BINARY_(punpcklwd, 4, _mm_unpacklo_epi16)
BINARY_(punpckldq, 4, _mm_unpacklo_epi32)
/* Of SSSE3. */
BINARY(pshufb, simd_pshufb_mmx)
BINARY(phaddw, simd_phaddw_mmx)
BINARY(phaddd, simd_phaddd_mmx)
BINARY(phaddsw, simd_phaddsw_mmx)
BINARY(phsubw, simd_phsubw_mmx)
BINARY(phsubd, simd_phsubd_mmx)
BINARY(phsubsw, simd_phsubsw_mmx)

#define UNARY(name, fn)                                                                                                \
    MMX_REG(name, mmx_set(cpu, i->reg, fn(src)))                                                                       \
    MMX_LOAD(name, 8, mmx_set(cpu, i->reg, fn(src)))                                                                   \
    MMX_FORMS(name);
SIMD_UNARY(UNARY)

MMX_REG(palignr, mmx_set(cpu, i->reg, simd_palignr_mmx(mmx_get(cpu, i->reg), src, insn_imm8(i))))
MMX_LOAD(palignr, 8, mmx_set(cpu, i->reg, simd_palignr_mmx(mmx_get(cpu, i->reg), src, insn_imm8(i))))
MMX_FORMS(palignr);

#define SHIFT(name, fn)                                                                                                \
    MMX_REG(name##_imm, mmx_set(cpu, i->rm, fn(src, _mm_cvtsi32_si128((int)i->imm))))                                  \
    FORMS_RM(forms_##name##_imm_mmx, name##_imm_reg, 0);
SIMD_SHIFTS(SHIFT)

/* ---- moves ------------------------------------------------------------------------------------------------------ */

MMX_REG(movd_pe, mmx_set(cpu, i->reg, _mm_cvtsi32_si128((int)reg_get32(cpu, i->rm))))
MMX_REG(movd_pe64, mmx_set(cpu, i->reg, _mm_cvtsi64_si128((long long)reg_get64(cpu, i->rm))))
MMX_LOAD(movd_pe, 4, mmx_set(cpu, i->reg, src))
MMX_LOAD(movd_pe64, 8, mmx_set(cpu, i->reg, src))
MMX_REG(movd_ep, reg_set32(cpu, i->rm, (uint32_t)cpu->s.fpr[i->reg & 7].significand))
MMX_REG(movd_ep64, reg_set64(cpu, i->rm, cpu->s.fpr[i->reg & 7].significand))
MMX_STORE(movd_ep, 4)
MMX_STORE(movd_ep64, 8)
#define MOVD_FORMS(table, name)                                                                                        \
    const struct insn_forms table = {.fn = {FORMS_ROW_(name##_reg, name##_mem), FORMS_ROW_(name##_reg, name##_mem),    \
                                            FORMS_ROW_(name##_reg, name##_mem),                                        \
                                            FORMS_ROW_(name##64_reg, name##64_mem)}}
MOVD_FORMS(forms_movd_pe, movd_pe);
MOVD_FORMS(forms_movd_ep, movd_ep);

MMX_REG(movq_pq, mmx_set(cpu, i->reg, src))
MMX_REG(movq_qp, mmx_set(cpu, i->rm, mmx_get(cpu, i->reg)))
FORMS_RM(forms_movq_pq, movq_pq_reg, movd_pe64_mem);
FORMS_RM(forms_movq_qp, movq_qp_reg, movd_ep64_mem);
FORMS_RM(forms_movntq, 0, movd_ep64_mem);

/* ---- of SSE ----------------------------------------------------------------------------------------------------- */

MMX_REG(pshufw, mmx_set(cpu, i->reg,
                        _mm_cvtsi64_si128((long long)simd_shuffle_words((uint64_t)_mm_cvtsi128_si64(src), i->imm))))
MMX_LOAD(pshufw, 8,
         mmx_set(cpu, i->reg,
                 _mm_cvtsi64_si128((long long)simd_shuffle_words((uint64_t)_mm_cvtsi128_si64(src), i->imm))))
MMX_FORMS(pshufw);

static inline void insert_word(struct interp *cpu, const struct insn *i, uint16_t value)
{
    unsigned shift = 16 * (unsigned)(i->imm & 3);
    uint64_t q = cpu->s.fpr[i->reg & 7].significand;

    q = (q & ~(0xFFFFull << shift)) | (uint64_t)value << shift;
    mmx_set(cpu, i->reg, _mm_cvtsi64_si128((long long)q));
}
MMX_REG(pinsrw, insert_word(cpu, i, reg_get16(cpu, i->rm)))
EXEC_STATIC(pinsrw_mem)
{
    MMX_WAIT();
    uint16_t value = ld16(cpu, i, ea_general(cpu, i, 2, TLB_READ));
    mmx_enter(cpu);
    insert_word(cpu, i, value);
    NEXT;
}
MMX_FORMS(pinsrw);
MMX_REG(pextrw, reg_set32(cpu, i->reg, cpu->s.fpr[i->rm & 7].significand >> (16 * (i->imm & 3)) & 0xFFFF))
FORMS_RM(forms_pextrw_mmx, pextrw_reg, 0);
MMX_REG(pmovmskb, reg_set32(cpu, i->reg, (uint32_t)_mm_movemask_epi8(src) & 0xFF))
FORMS_RM(forms_pmovmskb_mmx, pmovmskb_reg, 0);

__attribute__((noinline)) static void maskmovq_execute(struct interp *cpu, const struct insn *i)
{
    uint64_t data = cpu->s.fpr[i->reg & 7].significand, mask = cpu->s.fpr[i->rm & 7].significand;

    sse_masked_store(cpu, i, (const uint8_t *)&data, (const uint8_t *)&mask, 8);
}
EXEC_STATIC(maskmovq)
{
    MMX_WAIT();
    maskmovq_execute(cpu, i);
    mmx_enter(cpu);
    NEXT;
}
FORMS_RM(forms_maskmovq, maskmovq, 0);

EXEC_STATIC(emms)
{
    MMX_WAIT();
    mmx_enter(cpu);
    cpu->s.ftw = 0;
    NEXT;
}
FORMS_RM(forms_emms, emms, 0);

/* ---- between MMX and XMM: subject to both sets of rules -------------------------------------------------------------- */

#define BOTH_WAIT()                                                                                                    \
    SSE_CHECK();                                                                                                       \
    MMX_WAIT()

EXEC_STATIC(movq2dq)
{
    BOTH_WAIT();
    xmm_set(cpu, i->reg, mmx_get(cpu, i->rm));
    mmx_enter(cpu);
    NEXT;
}
EXEC_STATIC(movdq2q)
{
    BOTH_WAIT();
    mmx_set(cpu, i->reg, xmm_get(cpu, i->rm));
    mmx_enter(cpu);
    NEXT;
}
FORMS_RM(forms_movq2dq, movq2dq, 0);
FORMS_RM(forms_movdq2q, movdq2q, 0);

static inline __m128i convert(struct interp *cpu, const struct insn *i, fp_sse_fn *fn, __m128i d, __m128i s)
{
    return sse_all_masked(cpu) ? fn(d, s) : fp_sse_trapping(cpu, i, fn, d, s, FP_SAFE);
}
/* CVTPI2PS writes the lower half and keeps the upper. */
static __m128i convert_pi2ps(__m128i d, __m128i s)
{
    return _mm_unpacklo_epi64(fp_cvtdq2ps(d, _mm_move_epi64(s)), _mm_unpackhi_epi64(d, d));
}
/* The unused upper half must raise nothing. */
static __m128i convert_ps2pi(__m128i d, __m128i s)
{
    return fp_cvtps2dq(d, _mm_move_epi64(s));
}
static __m128i convert_tps2pi(__m128i d, __m128i s)
{
    return fp_cvttps2dq(d, _mm_move_epi64(s));
}

/* From memory no MMX register takes part, and nothing of the x87 state is touched or looked at. */
#define FROM_MMX(name, fn)                                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        BOTH_WAIT();                                                                                                   \
        const __m128i result = convert(cpu, i, fn, xmm_get(cpu, i->reg), mmx_get(cpu, i->rm));                         \
        mmx_enter(cpu);                                                                                                \
        xmm_set(cpu, i->reg, result);                                                                                  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        const __m128i src = sse_load8(cpu, i, ea_general(cpu, i, 8, TLB_READ));                                        \
        const __m128i result = convert(cpu, i, fn, xmm_get(cpu, i->reg), src);                                         \
        xmm_set(cpu, i->reg, result);                                                                                  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_RM(forms_##name, name##_reg, name##_mem);
FROM_MMX(cvtpi2ps, convert_pi2ps)
FROM_MMX(cvtpi2pd, fp_cvtdq2pd)

#define TO_MMX(name, fn, load, bytes)                                                                                  \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        BOTH_WAIT();                                                                                                   \
        const __m128i result = convert(cpu, i, fn, _mm_setzero_si128(), xmm_get(cpu, i->rm));                          \
        mmx_enter(cpu);                                                                                                \
        mmx_set(cpu, i->reg, result);                                                                                  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        BOTH_WAIT();                                                                                                   \
        const __m128i src = load(cpu, i, ea_general(cpu, i, bytes, TLB_READ));                                         \
        const __m128i result = convert(cpu, i, fn, _mm_setzero_si128(), src);                                          \
        mmx_enter(cpu);                                                                                                \
        mmx_set(cpu, i->reg, result);                                                                                  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_RM(forms_##name, name##_reg, name##_mem);
TO_MMX(cvtps2pi, convert_ps2pi, sse_load8, 8)
TO_MMX(cvttps2pi, convert_tps2pi, sse_load8, 8)
TO_MMX(cvtpd2pi, fp_cvtpd2dq, sse_load16_aligned, 16)
TO_MMX(cvttpd2pi, fp_cvttpd2dq, sse_load16_aligned, 16)
