/* fp.h's control side on the host's units: MXCSR and FCW while guest code runs, and SSE with unmasked exceptions
 * (Intel SDM vol. 1, 11.5). */
#include "accel-interp/fp.h"

#define CR4_OSXMMEXCPT 0x400u

void fp_clear_x87_flags(void)
{
    fp_unit_clear_x87();
}

void fp_load_fcw(struct interp *cpu)
{
    fp_unit_set_fcw(cpu->s.fcw | FCW_MASKS);
}

void fp_load_mxcsr(struct interp *cpu)
{
    fp_unit_set_mxcsr((cpu->s.mxcsr & MXCSR_MASK) | MXCSR_MASKS);
}

void fp_merge_mxcsr(struct interp *cpu)
{
    cpu->s.mxcsr |= fp_unit_mxcsr() & MXCSR_FLAGS;
}

void fp_enter(struct interp *cpu)
{
    fp_set_fsw(cpu, cpu->s.fsw);
    fp_update_summary(cpu);
    fp_clear_x87_flags();
    fp_load_fcw(cpu);
    fp_load_mxcsr(cpu);
    cpu->fp_inside = true;
}

void fp_get_state(const struct interp *cpu, struct cpu_state *state)
{
    if (!cpu->fp_inside)
        return;
    state->fsw = fp_fsw(cpu);
    state->mxcsr |= fp_unit_mxcsr() & MXCSR_FLAGS;
}

void fp_leave(struct interp *cpu)
{
    fp_get_state(cpu, &cpu->s);
    cpu->fp_inside = false;
    fp_unit_set_mxcsr(MXCSR_DEFAULT);
    fp_clear_x87_flags();
    fp_unit_set_fcw(FCW_DEFAULT);
}

static bool tiny_f32(uint32_t bits)
{
    return !(bits & 0x7F800000u) && (bits & 0x007FFFFFu);
}
static bool tiny_f64(uint64_t bits)
{
    return !(bits & 0x7FF0000000000000ull) && (bits & 0x000FFFFFFFFFFFFFull);
}

static bool result_is_tiny(__m128i result, enum fp_tiny tiny)
{
    uint64_t q[2];
    _mm_storeu_si128((__m128i *)q, result);
    switch (tiny) {
    case FP_TINY_NONE: return false;
    case FP_TINY_SS: return tiny_f32((uint32_t)q[0]);
    case FP_TINY_PS:
        return tiny_f32((uint32_t)q[0]) || tiny_f32((uint32_t)(q[0] >> 32)) || tiny_f32((uint32_t)q[1]) ||
               tiny_f32((uint32_t)(q[1] >> 32));
    case FP_TINY_SD: return tiny_f64(q[0]);
    case FP_TINY_PD: return tiny_f64(q[0]) || tiny_f64(q[1]);
    }
    return false;
}

/* The host computes masked; what an unmasked exception would have reported is worked out from flags and result. Masked
 * underflow is flagged only when inexact, unmasked for every tiny result; flush-to-zero holds only while it is masked;
 * and an unmasked exception found before the computation (invalid, denormal, divide by zero) hides those found after. */
__m128i fp_sse_trapping(struct interp *cpu, const struct insn *i, fp_sse_fn *fn, __m128i d, __m128i s,
                        enum fp_tiny tiny)
{
    const uint32_t before_mask = FSW_IE | FSW_DE | FSW_ZE;
    uint32_t unmasked, control, flags;
    __m128i result;

    fp_merge_mxcsr(cpu);
    unmasked = (~cpu->s.mxcsr & MXCSR_MASKS) >> MXCSR_MASKS_SHIFT;
    control = (cpu->s.mxcsr & MXCSR_MASK & ~MXCSR_FLAGS) | MXCSR_MASKS;
    if (unmasked & FSW_UE)
        control &= ~MXCSR_FTZ;
    fp_unit_set_mxcsr(control);
    result = fn(d, s);
    flags = fp_unit_mxcsr() & MXCSR_FLAGS;
    if ((unmasked & FSW_UE) && result_is_tiny(result, tiny))
        flags |= FSW_UE;
    if (flags & unmasked & before_mask)
        flags &= before_mask;
    cpu->s.mxcsr |= flags;
    fp_load_mxcsr(cpu);
    if (flags & unmasked)
        RAISE((cpu->cr4 & CR4_OSXMMEXCPT) ? EXC_XM : EXC_UD);
    return result;
}
