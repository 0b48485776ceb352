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
