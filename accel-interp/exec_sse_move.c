/* SSE and SSE2 moves, and what all exec_sse*.c share of slow memory paths (Intel SDM vol. 1, 10.4.1.1 and 11.4.1). Non-temporal
 * hints are plain stores: the memory model here has no write combining. */
#include "accel-interp/mmu.h"
#include "accel-interp/sse.h"

_Noreturn void sse_raise_unusable(struct interp *cpu, const struct insn *i)
{
    RAISE((cpu->cr0 & CR0_EM) || !(cpu->cr4 & CR4_OSFXSR) ? EXC_UD : EXC_NM);
}

__m128i sse_load16(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    __m128i v;
    mem_read_buffer(cpu, i, linear, &v, sizeof v);
    return v;
}

__m128i sse_load16_aligned(struct interp *cpu, const struct insn *i, uint64_t linear)
{
    if (linear & 15)
        RAISE_ERROR(EXC_GP, 0);
    return sse_load16(cpu, i, linear);
}

void sse_store16(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v)
{
    mem_write_buffer(cpu, i, linear, &v, sizeof v);
}

void sse_store16_aligned(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i v)
{
    if (linear & 15)
        RAISE_ERROR(EXC_GP, 0);
    sse_store16(cpu, i, linear, v);
}

#define LOW_QUAD(v) ((uint64_t)_mm_cvtsi128_si64(v))

/* Whole registers. */
SSE_REG(mov_vw, xmm_set(cpu, i->reg, src))
SSE_LOAD(movaps_vw, V16, xmm_set(cpu, i->reg, src))
SSE_LOAD(movups_vw, V16U, xmm_set(cpu, i->reg, src))
SSE_REG(mov_wv, xmm_set(cpu, i->rm, xmm_get(cpu, i->reg)); (void)src)
SSE_STORE(movaps_wv, V16, xmm_get(cpu, i->reg))
SSE_STORE(movups_wv, V16U, xmm_get(cpu, i->reg))
#define MOVE_FORMS(table, reg, mem)                                                                                    \
    const struct insn_forms table = {.fn = {{reg##_reg, mem##_m64, mem##_m32, mem##_seg},                              \
                                            {reg##_reg, mem##_m64, mem##_m32, mem##_seg},                              \
                                            {reg##_reg, mem##_m64, mem##_m32, mem##_seg},                              \
                                            {reg##_reg, mem##_m64, mem##_m32, mem##_seg}}}
MOVE_FORMS(forms_movaps_vw, mov_vw, movaps_vw);
MOVE_FORMS(forms_movups_vw, mov_vw, movups_vw);
MOVE_FORMS(forms_movaps_wv, mov_wv, movaps_wv);
MOVE_FORMS(forms_movups_wv, mov_wv, movups_wv);
SSE_FORMS_MEM(forms_movnt_wv, movaps_wv);

/* Scalars: a load clears the rest of the register, a move between registers keeps it. */
SSE_REG(movss_vw,
        cpu->s.vector[i->reg].q[0] = (cpu->s.vector[i->reg].q[0] & ~0xFFFFFFFFull) | (uint32_t)_mm_cvtsi128_si32(src))
SSE_LOAD(movss_vw, V4, xmm_set(cpu, i->reg, src))
SSE_REG(movss_wv,
        cpu->s.vector[i->rm].q[0] = (cpu->s.vector[i->rm].q[0] & ~0xFFFFFFFFull) | (uint32_t)cpu->s.vector[i->reg].q[0];
        (void)src)
SSE_STORE(movss_wv, V4, xmm_get(cpu, i->reg))
SSE_REG(movsd_vw, cpu->s.vector[i->reg].q[0] = LOW_QUAD(src))
SSE_LOAD(movsd_vw, V8, xmm_set(cpu, i->reg, src))
SSE_REG(movsd_wv, cpu->s.vector[i->rm].q[0] = cpu->s.vector[i->reg].q[0]; (void)src)
SSE_STORE(movsd_wv, V8, xmm_get(cpu, i->reg))
SSE_FORMS(forms_movss_vw, movss_vw);
SSE_FORMS(forms_movss_wv, movss_wv);
SSE_FORMS(forms_movsd_vw, movsd_vw);
SSE_FORMS(forms_movsd_wv, movsd_wv);

/* Halves. */
SSE_LOAD(movlps_vm, V8, cpu->s.vector[i->reg].q[0] = LOW_QUAD(src))
SSE_LOAD(movhps_vm, V8, cpu->s.vector[i->reg].q[1] = LOW_QUAD(src))
SSE_STORE(movhps_mv, V8, _mm_cvtsi64_si128((long long)cpu->s.vector[i->reg].q[1]))
SSE_REG(movhlps, cpu->s.vector[i->reg].q[0] = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(src, src)))
SSE_REG(movlhps, cpu->s.vector[i->reg].q[1] = LOW_QUAD(src))
SSE_FORMS_MEM(forms_movlps_vm, movlps_vm);
SSE_FORMS_MEM(forms_movlps_mv, movsd_wv);
SSE_FORMS_MEM(forms_movhps_vm, movhps_vm);
SSE_FORMS_MEM(forms_movhps_mv, movhps_mv);
SSE_FORMS_REG(forms_movhlps, movhlps);
SSE_FORMS_REG(forms_movlhps, movlhps);

/* MOVQ: always clears the rest. */
SSE_REG(movq_vw, xmm_set(cpu, i->reg, _mm_move_epi64(src)))
SSE_REG(movq_wv, xmm_set(cpu, i->rm, _mm_move_epi64(xmm_get(cpu, i->reg))); (void)src)
MOVE_FORMS(forms_movq_vw, movq_vw, movsd_vw);
MOVE_FORMS(forms_movq_wv, movq_wv, movsd_wv);

/* MOVD, MOVQ with general registers. */
#define CHECKED_REG(name, ...)                                                                                         \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
CHECKED_REG(movd_ve, xmm_set(cpu, i->reg, _mm_cvtsi32_si128((int)reg_get32(cpu, i->rm))))
CHECKED_REG(movd_ve64, xmm_set(cpu, i->reg, _mm_cvtsi64_si128((long long)reg_get64(cpu, i->rm))))
CHECKED_REG(movd_ev, reg_set32(cpu, i->rm, (uint32_t)cpu->s.vector[i->reg].q[0]))
CHECKED_REG(movd_ev64, reg_set64(cpu, i->rm, cpu->s.vector[i->reg].q[0]))
#define MOVD_FORMS(table, name, mem32, mem64)                                                                          \
    const struct insn_forms table = {.fn = {{name##_reg, mem32##_m64, mem32##_m32, mem32##_seg},                       \
                                            {name##_reg, mem32##_m64, mem32##_m32, mem32##_seg},                       \
                                            {name##_reg, mem32##_m64, mem32##_m32, mem32##_seg},                       \
                                            {name##64_reg, mem64##_m64, mem64##_m32, mem64##_seg}}}
MOVD_FORMS(forms_movd_ve, movd_ve, movss_vw, movsd_vw);
MOVD_FORMS(forms_movd_ev, movd_ev, movss_wv, movsd_wv);

CHECKED_REG(movmskps, reg_set32(cpu, i->reg, (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(xmm_get(cpu, i->rm)))))
CHECKED_REG(movmskpd, reg_set32(cpu, i->reg, (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(xmm_get(cpu, i->rm)))))
CHECKED_REG(pmovmskb, reg_set32(cpu, i->reg, (uint32_t)_mm_movemask_epi8(xmm_get(cpu, i->rm))))
SSE_FORMS_REG(forms_movmskps, movmskps);
SSE_FORMS_REG(forms_movmskpd, movmskpd);
SSE_FORMS_REG(forms_pmovmskb_sse, pmovmskb);

/* MASKMOVQ, MASKMOVDQU: the bytes whose mask has its sign bit, to DS:rDI. As on recent Intel processors, all of the operand
 * must be writable, whatever the mask says; its upper eight bytes are looked at first. */
__attribute__((noinline)) void sse_masked_store(struct interp *cpu, const struct insn *i, const uint8_t *data,
                                                const uint8_t *mask, unsigned size_bytes)
{
    enum tlb_view view = (enum tlb_view)(cpu->tlb - cpu->views);
    uint64_t linear[2]; /* of each eight bytes */

    for (unsigned half = size_bytes / 8; half--;) {
        uint64_t offset = ea_mask(cpu->r[CPU_RDI].q + 8 * half, insn_asize(i));
        linear[half] = seg_linear(cpu, i, i->seg, offset, 8, TLB_WRITE);
        mem_check_alignment(cpu, i, linear[half], 8);
        mmu_probe(cpu, i, linear[half], 8, TLB_WRITE, view);
    }
    for (unsigned n = 0; n < size_bytes; n++)
        if (mask[n] >> 7)
            st8(cpu, i, sse_wrap(cpu, linear[n / 8] + n % 8), data[n]);
}

__attribute__((noinline)) static void maskmovdqu_execute(struct interp *cpu, const struct insn *i)
{
    uint8_t data[16], mask[16];

    _mm_storeu_si128((__m128i *)data, xmm_get(cpu, i->reg));
    _mm_storeu_si128((__m128i *)mask, xmm_get(cpu, i->rm));
    sse_masked_store(cpu, i, data, mask, 16);
}
CHECKED_REG(maskmovdqu, maskmovdqu_execute(cpu, i))
SSE_FORMS_REG(forms_maskmovdqu, maskmovdqu);
