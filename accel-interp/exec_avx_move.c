/* AVX moves (Intel SDM vol. 2), and what all exec_avx_*.c share of slow paths. */
#include "accel-interp/avx.h"

_Noreturn void avx_raise_unusable(struct interp *cpu, const struct insn *i)
{
    RAISE(!(cpu->cr4 & CR4_OSXSAVE) || (~cpu->xcr0 & (XCR0_SSE | XCR0_AVX)) ? EXC_UD : EXC_NM);
}

__attribute__((noinline)) void avx_store32(struct interp *cpu, const struct insn *i, uint64_t linear, __m128i low,
                                           __m128i high)
{
    __m128i both[2] = {low, high};

    mem_write_buffer(cpu, i, linear, both, sizeof both);
}

/* Whole registers. */
AVX_REG(vmov_vw128, ymm_set_low(cpu, i->reg, src))
AVX_REG(vmov_wv128, ymm_set_low(cpu, i->rm, xmm_get(cpu, i->reg)); (void)src)
AVX_REG256(vmov_vw256, ymm_set(cpu, i->reg, src))
AVX_REG256(vmov_wv256, ymm_set(cpu, i->rm, ymm_get(cpu, i->reg)); (void)src)
AVX_LOAD(vmova_vw128, V16, ymm_set_low(cpu, i->reg, src))
AVX_LOAD(vmovu_vw128, V16U, ymm_set_low(cpu, i->reg, src))
AVX_LOAD256(vmova_vw256, V32, ymm_set(cpu, i->reg, src))
AVX_LOAD256(vmovu_vw256, V32U, ymm_set(cpu, i->reg, src))
AVX_STORE(vmova_wv128, V16, xmm_get(cpu, i->reg))
AVX_STORE(vmovu_wv128, V16U, xmm_get(cpu, i->reg))
AVX_STORE256(vmova_wv256, V32, i->reg)
AVX_STORE256(vmovu_wv256, V32U, i->reg)
#define MOVE_ROW(reg, mem)                                                                                             \
    {                                                                                                                  \
        reg##_reg, mem##_m64, mem##_m32, mem##_seg                                                                     \
    }
#define MOVE_FORMS(table, reg, mem)                                                                                    \
    SSE_FORMS_4_(table, MOVE_ROW(reg, mem), MOVE_ROW(reg, mem), MOVE_ROW(reg, mem), MOVE_ROW(reg, mem))
MOVE_FORMS(forms_vmova_vw128, vmov_vw128, vmova_vw128);
MOVE_FORMS(forms_vmova_vw256, vmov_vw256, vmova_vw256);
MOVE_FORMS(forms_vmova_wv128, vmov_wv128, vmova_wv128);
MOVE_FORMS(forms_vmova_wv256, vmov_wv256, vmova_wv256);
MOVE_FORMS(forms_vmovu_vw128, vmov_vw128, vmovu_vw128);
MOVE_FORMS(forms_vmovu_vw256, vmov_vw256, vmovu_vw256);
MOVE_FORMS(forms_vmovu_wv128, vmov_wv128, vmovu_wv128);
MOVE_FORMS(forms_vmovu_wv256, vmov_wv256, vmovu_wv256);

/* Functions of memory alone, of registers alone. */
#define MEM_FORMS(table, mem) SSE_FORMS_MEM(table, mem)
#define REG_FORMS(table, reg) SSE_FORMS_REG(table, reg)
MEM_FORMS(forms_vmovnt_wv128, vmova_wv128);
MEM_FORMS(forms_vmovnt_wv256, vmova_wv256);
MEM_FORMS(forms_vmovntdqa128, vmova_vw128);
MEM_FORMS(forms_vmovntdqa256, vmova_vw256);
MEM_FORMS(forms_vlddqu128, vmovu_vw128);
MEM_FORMS(forms_vlddqu256, vmovu_vw256);

#define LOW_QUAD(v) ((uint64_t)_mm_cvtsi128_si64(v))
#define VVVV xmm_get(cpu, insn_vvvv(i))

/* Scalars: a load clears the rest of the register, a move between registers takes it from vvvv. */
AVX_LOAD(vmovss_vm, V4, ymm_set_low(cpu, i->reg, src))
AVX_LOAD(vmovsd_vm, V8, ymm_set_low(cpu, i->reg, src))
AVX_STORE(vmovss_mv, V4, xmm_get(cpu, i->reg))
AVX_STORE(vmovsd_mv, V8, xmm_get(cpu, i->reg))
AVX_REG(vmovss_vhw, ymm_set_low(cpu, i->reg, _mm_blend_epi16(VVVV, src, 0x03)))
AVX_REG(vmovss_whv, ymm_set_low(cpu, i->rm, _mm_blend_epi16(VVVV, xmm_get(cpu, i->reg), 0x03)); (void)src)
AVX_REG(vmovsd_vhw, ymm_set_low(cpu, i->reg, _mm_blend_epi16(VVVV, src, 0x0F)))
AVX_REG(vmovsd_whv, ymm_set_low(cpu, i->rm, _mm_blend_epi16(VVVV, xmm_get(cpu, i->reg), 0x0F)); (void)src)
MEM_FORMS(forms_vmovss_vm, vmovss_vm);
MEM_FORMS(forms_vmovsd_vm, vmovsd_vm);
MEM_FORMS(forms_vmovss_mv, vmovss_mv);
MEM_FORMS(forms_vmovsd_mv, vmovsd_mv);
REG_FORMS(forms_vmovss_vhw, vmovss_vhw);
REG_FORMS(forms_vmovss_whv, vmovss_whv);
REG_FORMS(forms_vmovsd_vhw, vmovsd_vhw);
REG_FORMS(forms_vmovsd_whv, vmovsd_whv);

/* Halves. */
AVX_LOAD(vmovlps, V8, ymm_set_low(cpu, i->reg, _mm_blend_epi16(VVVV, src, 0x0F)))
AVX_LOAD(vmovhps, V8, ymm_set_low(cpu, i->reg, _mm_unpacklo_epi64(VVVV, src)))
AVX_STORE(vmovhps_mv, V8, _mm_cvtsi64_si128((long long)cpu->s.vector[i->reg].q[1]))
AVX_REG(vmovhlps, ymm_set_low(cpu, i->reg, _mm_unpackhi_epi64(src, VVVV)))
AVX_REG(vmovlhps, ymm_set_low(cpu, i->reg, _mm_unpacklo_epi64(VVVV, src)))
MEM_FORMS(forms_vmovlps, vmovlps);
MEM_FORMS(forms_vmovhps, vmovhps);
MEM_FORMS(forms_vmovhps_mv, vmovhps_mv);
REG_FORMS(forms_vmovhlps, vmovhlps);
REG_FORMS(forms_vmovlhps, vmovlhps);

/* Elements doubled. */
#define DUPLICATE_EVEN(v) _mm_shuffle_epi32(v, 0xA0)
#define DUPLICATE_ODD(v) _mm_shuffle_epi32(v, 0xF5)
#define DUPLICATE_LOW(v) _mm_unpacklo_epi64(v, v)
AVX_UNARY(vmovsldup, DUPLICATE_EVEN)
AVX_UNARY(vmovshdup, DUPLICATE_ODD)
AVX_BOTH(vmovddup128, V8, ymm_set_low(cpu, i->reg, DUPLICATE_LOW(src)))
AVX_BOTH256(vmovddup256, V32U, ymm_set(cpu, i->reg, ymm_make(DUPLICATE_LOW(src.lane[0]), DUPLICATE_LOW(src.lane[1]))))
AVX_FORMS_BOTH(vmovsldup);
AVX_FORMS_BOTH(vmovshdup);
AVX_FORMS_BOTH(vmovddup);

/* MOVQ between vectors, MOVD and MOVQ with general registers. */
AVX_REG(vmovq_vw, ymm_set_low(cpu, i->reg, _mm_move_epi64(src)))
AVX_REG(vmovq_wv, ymm_set_low(cpu, i->rm, _mm_move_epi64(xmm_get(cpu, i->reg))); (void)src)
MOVE_FORMS(forms_vmovq_vw, vmovq_vw, vmovsd_vm);
MOVE_FORMS(forms_vmovq_wv, vmovq_wv, vmovsd_mv);
#define CHECKED_REG(name, ...)                                                                                         \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
CHECKED_REG(vmovd_ve, ymm_set_low(cpu, i->reg, _mm_cvtsi32_si128((int)reg_get32(cpu, i->rm))))
CHECKED_REG(vmovd_ve64, ymm_set_low(cpu, i->reg, _mm_cvtsi64_si128((long long)reg_get64(cpu, i->rm))))
CHECKED_REG(vmovd_ev, reg_set32(cpu, i->rm, (uint32_t)cpu->s.vector[i->reg].q[0]))
CHECKED_REG(vmovd_ev64, reg_set64(cpu, i->rm, cpu->s.vector[i->reg].q[0]))
#define MOVD_FORMS(table, name, mem32, mem64)                                                                          \
    SSE_FORMS_4_(table, MOVE_ROW(name, mem32), MOVE_ROW(name, mem32), MOVE_ROW(name, mem32), MOVE_ROW(name##64, mem64))
MOVD_FORMS(forms_vmovd_ve, vmovd_ve, vmovss_vm, vmovsd_vm);
MOVD_FORMS(forms_vmovd_ev, vmovd_ev, vmovss_mv, vmovsd_mv);

/* Sign bits to a general register. */
#define SIGNS_PS(v) (uint32_t) _mm_movemask_ps(_mm_castsi128_ps(v))
#define SIGNS_PD(v) (uint32_t) _mm_movemask_pd(_mm_castsi128_pd(v))
#define SIGNS_B(v) (uint32_t) _mm_movemask_epi8(v)
AVX_REG(vmovmskps128, reg_set32(cpu, i->reg, SIGNS_PS(src)))
AVX_REG(vmovmskpd128, reg_set32(cpu, i->reg, SIGNS_PD(src)))
AVX_REG(vpmovmskb128, reg_set32(cpu, i->reg, SIGNS_B(src)))
AVX_REG256(vmovmskps256, reg_set32(cpu, i->reg, SIGNS_PS(src.lane[0]) | SIGNS_PS(src.lane[1]) << 4))
AVX_REG256(vmovmskpd256, reg_set32(cpu, i->reg, SIGNS_PD(src.lane[0]) | SIGNS_PD(src.lane[1]) << 2))
AVX_REG256(vpmovmskb256, reg_set32(cpu, i->reg, SIGNS_B(src.lane[0]) | SIGNS_B(src.lane[1]) << 16))
REG_FORMS(forms_vmovmskps128, vmovmskps128);
REG_FORMS(forms_vmovmskpd128, vmovmskpd128);
REG_FORMS(forms_vpmovmskb128, vpmovmskb128);
REG_FORMS(forms_vmovmskps256, vmovmskps256);
REG_FORMS(forms_vmovmskpd256, vmovmskpd256);
REG_FORMS(forms_vpmovmskb256, vpmovmskb256);

/* MXCSR. */
EXEC_STATIC(vldmxcsr)
{
    AVX_CHECK();
    sse_load_mxcsr(cpu, i);
    NEXT;
}
EXEC_STATIC(vstmxcsr)
{
    AVX_CHECK();
    fp_merge_mxcsr(cpu);
    st32(cpu, i, ea_general(cpu, i, 4, TLB_WRITE), cpu->s.mxcsr);
    NEXT;
}
FORMS_RM(forms_vldmxcsr, 0, vldmxcsr);
FORMS_RM(forms_vstmxcsr, 0, vstmxcsr);

/* VZEROUPPER, VZEROALL: outside 64-bit code the first eight registers only. */
static void clear_registers(struct interp *cpu, unsigned first_word)
{
    unsigned count = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? 16 : 8;

    for (unsigned n = 0; n < count; n++)
        memset(&cpu->s.vector[n].q[first_word], 0, (4 - first_word) * 8);
}
EXEC_STATIC(vzeroupper)
{
    AVX_CHECK();
    clear_registers(cpu, 2);
    NEXT;
}
EXEC_STATIC(vzeroall)
{
    AVX_CHECK();
    clear_registers(cpu, 0);
    NEXT;
}
FORMS_ANY(forms_vzeroupper, vzeroupper);
FORMS_ANY(forms_vzeroall, vzeroall);
