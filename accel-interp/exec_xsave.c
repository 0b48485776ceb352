/* XCR0: XGETBV, XSETBV (Intel SDM vol. 1, 13.3; vol. 2). */
#include "accel-interp/system.h"

static void require_osxsave(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        RAISE(EXC_UD);
}

static bool has(const struct interp *cpu, const char *feature)
{
    return cpu_model_has(machine_cpu_model(cpu->accel.machine), feature);
}

/* ECX = 1: XINUSE and XCR0. */
static uint64_t read_xcr(struct interp *cpu, const struct insn *i, uint32_t index)
{
    if (index == 0)
        return cpu->xcr0;
    if (index == 1 && has(cpu, "xgetbv1"))
        return cpu->xcr0;
    RAISE_ERROR(EXC_GP, 0);
}

EXEC_STATIC(exec_xgetbv)
{
    require_osxsave(cpu, i);
    uint64_t value = read_xcr(cpu, i, cpu->r[CPU_RCX].d);
    cpu->r[CPU_RAX].q = (uint32_t)value;
    cpu->r[CPU_RDX].q = value >> 32;
    NEXT;
}

EXEC_STATIC(exec_xsetbv)
{
    uint64_t value = (cpu->r[CPU_RDX].q << 32) | cpu->r[CPU_RAX].d;
    uint64_t known = cpu_model_xsave_components(machine_cpu_model(cpu->accel.machine));

    require_osxsave(cpu, i);
    require_cpl0(cpu, i);
    if (cpu->r[CPU_RCX].d != 0 || !(value & XCR0_X87) || (value & ~known) ||
        ((value & XCR0_AVX) && !(value & XCR0_SSE)))
        RAISE_ERROR(EXC_GP, 0);
    cpu->xcr0 = value;
    return END_FALL();
}

FORMS_ANY(forms_xgetbv, exec_xgetbv);
FORMS_ANY(forms_xsetbv, exec_xsetbv);
