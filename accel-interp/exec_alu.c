/* Integer arithmetic and logic: ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT (Intel SDM vol. 2), one function a
 * size and operand shape. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

/* OP r/m, r    OP r, r/m    OP r/m, imm */
#define ALU_FUNCTIONS(bits, op)                                                                                        \
    EXEC_REG(op##_eg##bits,                                                                                            \
             reg_set##bits(cpu, i->rm, alu_##op##bits(cpu, reg_get##bits(cpu, i->rm), reg_get##bits(cpu, i->reg))))    \
    EXEC_MODIFY(op##_eg##bits, bits, alu_##op##bits(cpu, dst, reg_get##bits(cpu, i->reg)), )                           \
    EXEC_REG(op##_ge##bits,                                                                                            \
             reg_set##bits(cpu, i->reg, alu_##op##bits(cpu, reg_get##bits(cpu, i->reg), reg_get##bits(cpu, i->rm))))   \
    EXEC_LOAD(op##_ge##bits, bits, reg_set##bits(cpu, i->reg, alu_##op##bits(cpu, reg_get##bits(cpu, i->reg), src)))   \
    EXEC_REG(op##_ei##bits,                                                                                            \
             reg_set##bits(cpu, i->rm, alu_##op##bits(cpu, reg_get##bits(cpu, i->rm), (uint##bits##_t)i->imm)))        \
    EXEC_MODIFY(op##_ei##bits, bits, alu_##op##bits(cpu, dst, (uint##bits##_t)i->imm), )

#define ALU_OPERATION(op)                                                                                              \
    EXEC_ALL_SIZES(ALU_FUNCTIONS, op)                                                                                  \
    FORMS_SIZES(forms_##op##_eg, op##_eg);                                                                             \
    FORMS_SIZES(forms_##op##_ge, op##_ge);                                                                             \
    FORMS_SIZES(forms_##op##_ei, op##_ei)

ALU_OPERATION(add);
ALU_OPERATION(or);
ALU_OPERATION(adc);
ALU_OPERATION(sbb);
ALU_OPERATION(and);
ALU_OPERATION(sub);
ALU_OPERATION(xor);

/* CMP and TEST: flags only. */
#define COMPARE_FUNCTIONS(bits, op, alu)                                                                               \
    EXEC_REG(op##_eg##bits, alu_##alu##bits(cpu, reg_get##bits(cpu, i->rm), reg_get##bits(cpu, i->reg)))               \
    EXEC_LOAD(op##_eg##bits, bits, alu_##alu##bits(cpu, src, reg_get##bits(cpu, i->reg)))                              \
    EXEC_REG(op##_ei##bits, alu_##alu##bits(cpu, reg_get##bits(cpu, i->rm), (uint##bits##_t)i->imm))                   \
    EXEC_LOAD(op##_ei##bits, bits, alu_##alu##bits(cpu, src, (uint##bits##_t)i->imm))
#define CMP_GE_FUNCTIONS(bits, op)                                                                                     \
    EXEC_REG(op##_ge##bits, alu_sub##bits(cpu, reg_get##bits(cpu, i->reg), reg_get##bits(cpu, i->rm)))                 \
    EXEC_LOAD(op##_ge##bits, bits, alu_sub##bits(cpu, reg_get##bits(cpu, i->reg), src))

EXEC_ALL_SIZES(COMPARE_FUNCTIONS, cmp, sub)
EXEC_ALL_SIZES(CMP_GE_FUNCTIONS, cmp)
EXEC_ALL_SIZES(COMPARE_FUNCTIONS, test, and)
FORMS_SIZES(forms_cmp_eg, cmp_eg);
FORMS_SIZES(forms_cmp_ge, cmp_ge);
FORMS_SIZES(forms_cmp_ei, cmp_ei);
FORMS_SIZES(forms_test_eg, test_eg);
FORMS_SIZES(forms_test_ei, test_ei);

#define UNARY_FUNCTIONS(bits, op)                                                                                      \
    EXEC_REG(op##bits, reg_set##bits(cpu, i->rm, alu_##op##bits(cpu, reg_get##bits(cpu, i->rm))))                      \
    EXEC_MODIFY(op##bits, bits, alu_##op##bits(cpu, dst), )
#define UNARY_OPERATION(op)                                                                                            \
    EXEC_ALL_SIZES(UNARY_FUNCTIONS, op)                                                                                \
    FORMS_SIZES(forms_##op, op)

UNARY_OPERATION(inc);
UNARY_OPERATION(dec);
UNARY_OPERATION(neg);
UNARY_OPERATION(not );

/* 40..4F: the register is in the opcode. */
#define STEP_OPREG(bits, op)                                                                                           \
    EXEC_REG(op##_z##bits, reg_set##bits(cpu, i->reg, alu_##op##bits(cpu, reg_get##bits(cpu, i->reg))))
EXEC_ALL_SIZES(STEP_OPREG, inc)
EXEC_ALL_SIZES(STEP_OPREG, dec)
FORMS_SIZES_REG(forms_inc_z, inc_z);
FORMS_SIZES_REG(forms_dec_z, dec_z);
