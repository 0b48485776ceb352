/* Flag instructions (CLC STC CMC CLD STD LAHF SAHF SALC) and those that do nothing here: NOP in all its encodings, the
 * hint NOPs (PAUSE, ENDBR, PREFETCH), fences (one CPU, in order) and cache line hints. */
#include "accel-interp/exec.h"

EXEC_REG(clc, flags_put_cf(cpu, false))
EXEC_REG(stc, flags_put_cf(cpu, true))
EXEC_REG(cmc, flags_put_cf(cpu, !flag_cf(cpu)))
EXEC_REG(cld, cpu->sysflags &= ~FLAG_DF)
EXEC_REG(std, cpu->sysflags |= FLAG_DF)
FORMS_ANY(forms_clc, clc_reg);
FORMS_ANY(forms_stc, stc_reg);
FORMS_ANY(forms_cmc, cmc_reg);
FORMS_ANY(forms_cld, cld_reg);
FORMS_ANY(forms_std, std_reg);

EXEC_REG(lahf, reg_set8(cpu, REG_AH, (uint8_t)(flags_arith(cpu) | FLAG_FIXED)))
EXEC_REG(sahf, flags_set_arith(cpu, (flags_arith(cpu) & FLAG_OF) | reg_get8(cpu, REG_AH)))
EXEC_REG(salc, reg_set8(cpu, REG_AL, flag_cf(cpu) ? 0xFF : 0))
FORMS_ANY(forms_lahf, lahf_reg);
FORMS_ANY(forms_sahf, sahf_reg);
FORMS_ANY(forms_salc, salc_reg);

EXEC_REG(nop, (void)cpu)
FORMS_ANY(forms_nop, nop_reg);

/* CLFLUSH: nothing to flush, but the address is checked as a byte read. */
EXEC_STATIC(clflush)
{
    (void)ld8(cpu, i, ea_general(cpu, i, 1, TLB_READ));
    NEXT;
}
const struct insn_forms forms_clflush = {
    .fn = {{0}, {0, clflush, clflush, clflush}, {0, clflush, clflush, clflush}, {0, clflush, clflush, clflush}}};
