/* x87 arithmetic and comparison with all exceptions masked and no stack fault: the frequent case, one function an operand
 * shape. Anything else goes to x87_general. */
#include "accel-interp/x87.h"

#define BOTH x87_filled(cpu, top, 0) && x87_filled(cpu, top, rm)
#define ST(n) x87_st(cpu, top, (n))

/* FADD.. ST0, ST(i); ST(i), ST0; and with a pop. */
#define ARITH_REG(op)                                                                                                  \
    X87_REG(f##op##_st0_sti, d8, BOTH, x87_commit(cpu, i, fp80_##op(ST(0), ST(0), ST(rm)), 0))                         \
    X87_REG(f##op##_sti_st0, dc, BOTH, x87_commit(cpu, i, fp80_##op(ST(rm), ST(rm), ST(0)), 0))                        \
    X87_REG(f##op##p_sti_st0, de, BOTH, x87_commit(cpu, i, fp80_##op(ST(rm), ST(rm), ST(0)), 0); x87_pop(cpu, top))    \
    X87_FORMS_REG(forms_f##op##_st0_sti, f##op##_st0_sti);                                                             \
    X87_FORMS_REG(forms_f##op##_sti_st0, f##op##_sti_st0);                                                             \
    X87_FORMS_REG(forms_f##op##p_sti_st0, f##op##p_sti_st0);
ARITH_REG(add)
ARITH_REG(mul)
ARITH_REG(sub)
ARITH_REG(subr)
ARITH_REG(div)
ARITH_REG(divr)

#define ARITH_MEM_(name, type, op, bytes)                                                                              \
    X87_MEM(forms_f##name##_##type, f##name##_##type, op, bytes, TLB_READ, x87_filled(cpu, top, 0),                    \
            x87_commit(cpu, i, fp80_##name##_##type(ST(0), ST(0), host), 0));
#define ARITH_MEM(name)                                                                                                \
    ARITH_MEM_(name, f32, d8, 4)                                                                                       \
    ARITH_MEM_(name, f64, dc, 8)                                                                                       \
    ARITH_MEM_(name, i32, da, 4)                                                                                       \
    ARITH_MEM_(name, i16, de, 2)
ARITH_MEM(add)
ARITH_MEM(mul)
ARITH_MEM(sub)
ARITH_MEM(subr)
ARITH_MEM(div)
ARITH_MEM(divr)

#define CC (FSW_C0 | FSW_C2 | FSW_C3)

#define COMPARE_MEM_(type, op, bytes)                                                                                  \
    X87_MEM(forms_fcom_##type, fcom_##type, op, bytes, TLB_READ, x87_filled(cpu, top, 0),                              \
            x87_commit(cpu, i, fp80_com_##type(ST(0), host), CC));                                                     \
    X87_MEM(forms_fcomp_##type, fcomp_##type, op, bytes, TLB_READ, x87_filled(cpu, top, 0),                            \
            x87_commit(cpu, i, fp80_com_##type(ST(0), host), CC);                                                      \
            x87_pop(cpu, top));
COMPARE_MEM_(f32, d8, 4)
COMPARE_MEM_(f64, dc, 8)
COMPARE_MEM_(i32, da, 4)
COMPARE_MEM_(i16, de, 2)

/* The last two letters are the opcode: FCOM has aliases (DC D0, DC D8, DE D0). */
#define COMPARE_REG(name, kind, op, pop)                                                                               \
    X87_REG(name, op, BOTH, x87_commit(cpu, i, fp80_##kind(ST(0), ST(rm)), CC); pop)                                   \
    X87_FORMS_REG(forms_##name, name);
#define POP x87_pop(cpu, top)
#define POP2                                                                                                           \
    x87_pop(cpu, top);                                                                                                 \
    x87_pop(cpu, (top + 1) & 7)
COMPARE_REG(fcom_d8, com, d8, )
COMPARE_REG(fcomp_d8, com, d8, POP)
COMPARE_REG(fucom_dd, ucom, dd, )
COMPARE_REG(fucomp_dd, ucom, dd, POP)
COMPARE_REG(fcompp_de, com, de, POP2)
COMPARE_REG(fucompp_da, ucom, da, POP2)

#define COMPARE_FLAGS(name, kind, op, pop)                                                                             \
    X87_REG(name, op, BOTH, struct fp_order o = fp80_##kind(ST(0), ST(rm)); x87_commit_flags(cpu, i, o.sw);            \
            x87_set_order(cpu, o.zf, o.pf, o.cf); pop)                                                                 \
    X87_FORMS_REG(forms_##name, name);
COMPARE_FLAGS(fcomi_db, comi, db, )
COMPARE_FLAGS(fucomi_db, ucomi, db, )
COMPARE_FLAGS(fcomip_df, comi, df, POP)
COMPARE_FLAGS(fucomip_df, ucomi, df, POP)

X87_REG(ftst, d9, x87_filled(cpu, top, 0), x87_commit(cpu, i, fp80_tst(ST(0)), CC))
X87_FORMS_REG(forms_ftst, ftst);

#define UNARY(name, cc)                                                                                                \
    X87_REG(name, d9, x87_filled(cpu, top, 0), x87_commit(cpu, i, fp80_##name(ST(0), ST(0)), cc))                      \
    X87_FORMS_REG(forms_##name, name);
UNARY(fsqrt, 0)
UNARY(frndint, 0)

/* FSCALE, FPREM, FPREM1: ST0 with ST1. The two latter leave C0 and C3 alone with some special operands, so their fast
 * functions are for normal numbers only. */
static inline bool is_normal(const struct cpu_x87_register *r)
{
    unsigned exponent = r->sign_exponent & 0x7FFFu;
    return exponent - 1 < 0x7FFE && r->significand >> 63;
}
#define WITH_ST1(name, cc, ok)                                                                                         \
    X87_REG(f##name, d9, x87_filled(cpu, top, 0) && x87_filled(cpu, top, 1) && (ok),                                   \
            x87_commit(cpu, i, fp80_##name(ST(0), ST(0), ST(1)), cc))                                                  \
    X87_FORMS_REG(forms_f##name, f##name);
WITH_ST1(scale, 0, true)
WITH_ST1(prem, CC, is_normal(ST(0)) && is_normal(ST(1)))
WITH_ST1(prem1, CC, is_normal(ST(0)) && is_normal(ST(1)))

X87_REG(fchs, d9, x87_filled(cpu, top, 0), ST(0)->sign_exponent ^= 0x8000; x87_commit(cpu, i, 0, 0))
X87_REG(fabs_, d9, x87_filled(cpu, top, 0), ST(0)->sign_exponent &= 0x7FFF; x87_commit(cpu, i, 0, 0))
X87_FORMS_REG(forms_fchs, fchs);
X87_FORMS_REG(forms_fabs, fabs_);
