/* fp.h's control side: MXCSR and FCW while guest code runs. */
#include "accel-interp/fp.h"

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
    cpu_update_usable(cpu);
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
