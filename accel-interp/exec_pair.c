/* Instruction functions that peephole.h puts in other ones' places: quiet arithmetic, and pairs of instructions.
 *
 * A pair does the first instruction and the second. What the first one's fast form does not do (a TLB miss) goes to that
 * instruction's own function, which goes on to the second one's slot by itself; likewise the second one's, to its own slot. */
#include "accel-interp/peephole.h"

#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

#if INTERP_TAIL_CALLS
#define GO_(insn) (insn)->fn(cpu, (insn))
#else
#define GO_(insn) (insn)
#endif

/* ---- what quiet instructions compute -------------------------------------------------------------------------- */

#define VALUE_add(bits, a, b) ((a) + (b))
#define VALUE_sub(bits, a, b) ((a) - (b))
#define VALUE_and(bits, a, b) ((a) & (b))
#define VALUE_or(bits, a, b) ((a) | (b))
#define VALUE_xor(bits, a, b) ((a) ^ (b))
#define COUNT_(bits, b) ((unsigned)(b) & ((bits) == 64 ? 63u : 31u))
#define VALUE_shl(bits, a, b) ((uint64_t)(a) << COUNT_(bits, b))
#define VALUE_shr(bits, a, b) ((uint64_t)(a) >> COUNT_(bits, b))
#define VALUE_sar(bits, a, b) ((int64_t)(int##bits##_t)(a) >> COUNT_(bits, b))
#define VALUE_imul(bits, a, b) ((uint64_t)(a) * (b))

#define SET_(bits, n, value) reg_set##bits(cpu, n, (uint##bits##_t)(value))
#define QUIET_EG_(op, bits, p)                                                                                         \
    SET_(bits, p->rm, VALUE_##op(bits, reg_get##bits(cpu, p->rm), reg_get##bits(cpu, p->reg)))
#define QUIET_GE_(op, bits, p)                                                                                         \
    SET_(bits, p->reg, VALUE_##op(bits, reg_get##bits(cpu, p->reg), reg_get##bits(cpu, p->rm)))
#define QUIET_EI_(op, bits, p) SET_(bits, p->rm, VALUE_##op(bits, reg_get##bits(cpu, p->rm), (uint##bits##_t)p->imm))

/* Q(name of the function that it is like, its forms, bits, size code, what it does to instruction p) */
#define QUIET_SIZE_(Q, bits, size)                                                                                     \
    QUIET_ALU_(Q, add, bits, size)                                                                                     \
    QUIET_ALU_(Q, sub, bits, size)                                                                                     \
    QUIET_ALU_(Q, and, bits, size)                                                                                     \
    QUIET_ALU_(Q, or, bits, size)                                                                                      \
    QUIET_ALU_(Q, xor, bits, size) QUIET_SHIFT_(Q, shl, bits, size) QUIET_SHIFT_(Q, shr, bits, size)                   \
        QUIET_SHIFT_(Q, sar, bits, size) Q(imul_ge##bits##_reg, forms_imul_ge, bits, size, QUIET_GE_(imul, bits, p))   \
            Q(inc##bits##_reg, forms_inc, bits, size, SET_(bits, p->rm, reg_get##bits(cpu, p->rm) + 1u))               \
                Q(dec##bits##_reg, forms_dec, bits, size, SET_(bits, p->rm, reg_get##bits(cpu, p->rm) - 1u)) Q(        \
                    inc_z##bits##_reg, forms_inc_z, bits, size, SET_(bits, p->reg, reg_get##bits(cpu, p->reg) + 1u))   \
                    Q(dec_z##bits##_reg, forms_dec_z, bits, size, SET_(bits, p->reg, reg_get##bits(cpu, p->reg) - 1u)) \
                        Q(neg##bits##_reg, forms_neg, bits, size, SET_(bits, p->rm, 0u - reg_get##bits(cpu, p->rm)))
#define QUIET_ALU_(Q, op, bits, size)                                                                                  \
    Q(op##_eg##bits##_reg, forms_##op##_eg, bits, size, QUIET_EG_(op, bits, p))                                        \
    Q(op##_ge##bits##_reg, forms_##op##_ge, bits, size, QUIET_GE_(op, bits, p))                                        \
    Q(op##_ei##bits##_reg, forms_##op##_ei, bits, size, QUIET_EI_(op, bits, p))
#define QUIET_SHIFT_(Q, op, bits, size) Q(op##_ei_##bits##_reg, forms_##op##_ei, bits, size, QUIET_EI_(op, bits, p))
#define QUIET_ALL_(Q) QUIET_SIZE_(Q, 16, 1) QUIET_SIZE_(Q, 32, 2) QUIET_SIZE_(Q, 64, 3)

#define QUIET_FORMS_(op) extern const struct insn_forms forms_##op##_eg, forms_##op##_ge, forms_##op##_ei;
QUIET_FORMS_(add)
QUIET_FORMS_(sub)
QUIET_FORMS_(and)
QUIET_FORMS_(or)
QUIET_FORMS_(xor)
extern const struct insn_forms forms_shl_ei, forms_shr_ei, forms_sar_ei, forms_imul_ge, forms_inc, forms_dec,
    forms_inc_z, forms_dec_z, forms_neg;

/* do_name: instruction p done; false: it is not one for here, and nothing has changed. op_name: which function it is. */
#define DO_(name)                                                                                                      \
    static inline __attribute__((always_inline, unused)) bool do_##name(struct interp *cpu, const struct insn *p)
#define OP_(name, ...) static const struct peephole_op op_##name __attribute__((unused)) = {__VA_ARGS__};

#define QUIET_FUNCTION_(name, table, bits, code, ...)                                                                  \
    DO_(quiet_##name)                                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    EXEC_STATIC(quiet_##name)                                                                                          \
    {                                                                                                                  \
        do_quiet_##name(cpu, i);                                                                                       \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    OP_(quiet_##name, &table, code, FORM_REG, quiet_##name)
QUIET_ALL_(QUIET_FUNCTION_)
#define QUIET_ROW_(name, table, bits, code, ...) {&table, code, FORM_REG, quiet_##name},
const struct peephole_op peephole_quiet[] = {QUIET_ALL_(QUIET_ROW_)};
const unsigned peephole_quiet_count = sizeof peephole_quiet / sizeof peephole_quiet[0];

/* ---- what pairs are made of ----------------------------------------------------------------------------------- */

#define REGISTER_(name, table, code, form, ...)                                                                        \
    DO_(name)                                                                                                          \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    OP_(name, &table, code, form, NULL)

/* Over host: memory operand of `bits`, with and without an index. */
#define MEMORY_(name, table, code, bits, access, ...)                                                                  \
    MEMORY_KIND_(name##_b64, table, code, FORM_BASE64, ea_base64, bits, access, __VA_ARGS__)                           \
    MEMORY_KIND_(name##_m64, table, code, FORM_MEM64, ea64, bits, access, __VA_ARGS__)
#define MEMORY_KIND_(name, table, code, form, address, bits, access, ...)                                              \
    DO_(name)                                                                                                          \
    {                                                                                                                  \
        uint8_t *host = mem_hit(cpu, address(cpu, p), (bits) / 8, access);                                             \
        if (UNLIKELY(!host))                                                                                           \
            return false;                                                                                              \
        __VA_ARGS__;                                                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    OP_(name, &table, code, form, NULL)

extern const struct insn_forms forms_mov_eg, forms_mov_ge, forms_mov_ei, forms_mov_zi, forms_lea, forms_movzx_b,
    forms_movzx_w, forms_movsx_b, forms_movsx_w, forms_movsxd, forms_cmp_eg, forms_cmp_ge, forms_cmp_ei, forms_test_eg,
    forms_test_ei;

#define MOVES_(bits, code)                                                                                             \
    REGISTER_(mov_eg##bits##_reg, forms_mov_eg, code, FORM_REG, SET_(bits, p->rm, reg_get##bits(cpu, p->reg)))         \
    REGISTER_(mov_ge##bits##_reg, forms_mov_ge, code, FORM_REG, SET_(bits, p->reg, reg_get##bits(cpu, p->rm)))         \
    REGISTER_(mov_zi##bits##_reg, forms_mov_zi, code, FORM_REG, SET_(bits, p->reg, p->imm))                            \
    MEMORY_(mov_ge##bits, forms_mov_ge, code, bits, TLB_READ, SET_(bits, p->reg, host_get##bits(host)))                \
    MEMORY_(mov_eg##bits, forms_mov_eg, code, bits, TLB_WRITE, host_set##bits(host, reg_get##bits(cpu, p->reg)))       \
    MEMORY_(mov_ei##bits, forms_mov_ei, code, bits, TLB_WRITE, host_set##bits(host, (uint##bits##_t)p->imm))
MOVES_(8, 0)
MOVES_(16, 1)
MOVES_(32, 2)
MOVES_(64, 3)
#define WIDE_MOVES_(bits, code)                                                                                        \
    REGISTER_(lea##bits##_b64, forms_lea, code, FORM_BASE64, SET_(bits, p->reg, ea_base64(cpu, p)))                    \
    REGISTER_(lea##bits##_m64, forms_lea, code, FORM_MEM64, SET_(bits, p->reg, ea64(cpu, p)))                          \
    EXTENSIONS_(8, b, bits, code) EXTENSIONS_(16, w, bits, code)
#define EXTENSIONS_(from, letter, bits, code)                                                                          \
    REGISTER_(movzx_##from##_##bits##_reg, forms_movzx_##letter, code, FORM_REG,                                       \
              SET_(bits, p->reg, reg_get##from(cpu, p->rm)))                                                           \
    REGISTER_(movsx_##from##_##bits##_reg, forms_movsx_##letter, code, FORM_REG,                                       \
              SET_(bits, p->reg, (int##from##_t)reg_get##from(cpu, p->rm)))                                            \
    MEMORY_(movzx_##from##_##bits, forms_movzx_##letter, code, from, TLB_READ,                                         \
            SET_(bits, p->reg, host_get##from(host)))                                                                  \
    MEMORY_(movsx_##from##_##bits, forms_movsx_##letter, code, from, TLB_READ,                                         \
            SET_(bits, p->reg, (int##from##_t)host_get##from(host)))
WIDE_MOVES_(32, 2)
WIDE_MOVES_(64, 3)
REGISTER_(movsx_32_64_reg, forms_movsxd, 3, FORM_REG, SET_(64, p->reg, (int32_t)reg_get32(cpu, p->rm)))
MEMORY_(movsx_32_64, forms_movsxd, 3, 32, TLB_READ, SET_(64, p->reg, (int32_t)host_get32(host)))

/* 64-bit code's own PUSH and POP of a register. */
#define STACK_(name, access, rsp, ...)                                                                                 \
    extern const struct insn_forms forms_##name;                                                                       \
    DO_(name##64_flat)                                                                                                 \
    {                                                                                                                  \
        uint64_t pointer = (rsp);                                                                                      \
        uint8_t *host = mem_hit(cpu, pointer, 8, access);                                                              \
        if (UNLIKELY(!host))                                                                                           \
            return false;                                                                                              \
        __VA_ARGS__;                                                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    OP_(name##64_flat, &forms_##name, 3, PEEPHOLE_CODE64, NULL)
STACK_(push_z, TLB_WRITE, cpu->r[CPU_RSP].q - 8, host_set64(host, cpu->r[p->reg].q); cpu->r[CPU_RSP].q = pointer)
STACK_(pop_z, TLB_READ, cpu->r[CPU_RSP].q, uint64_t value = host_get64(host); cpu->r[CPU_RSP].q = pointer + 8;
       cpu->r[p->reg].q = value)

#define ARITHMETIC_(op, bits, code)                                                                                    \
    REGISTER_(op##_eg##bits##_reg, forms_##op##_eg, code, FORM_REG,                                                    \
              SET_(bits, p->rm, alu_##op##bits(cpu, reg_get##bits(cpu, p->rm), reg_get##bits(cpu, p->reg))))           \
    REGISTER_(op##_ge##bits##_reg, forms_##op##_ge, code, FORM_REG,                                                    \
              SET_(bits, p->reg, alu_##op##bits(cpu, reg_get##bits(cpu, p->reg), reg_get##bits(cpu, p->rm))))          \
    REGISTER_(op##_ei##bits##_reg, forms_##op##_ei, code, FORM_REG,                                                    \
              SET_(bits, p->rm, alu_##op##bits(cpu, reg_get##bits(cpu, p->rm), (uint##bits##_t)p->imm)))               \
    MEMORY_(op##_ge##bits, forms_##op##_ge, code, bits, TLB_READ,                                                      \
            SET_(bits, p->reg, alu_##op##bits(cpu, reg_get##bits(cpu, p->reg), host_get##bits(host))))
#define COMPARISONS_(bits, code)                                                                                       \
    REGISTER_(cmp_eg##bits##_reg, forms_cmp_eg, code, FORM_REG,                                                        \
              alu_sub##bits(cpu, reg_get##bits(cpu, p->rm), reg_get##bits(cpu, p->reg)))                               \
    REGISTER_(cmp_ei##bits##_reg, forms_cmp_ei, code, FORM_REG,                                                        \
              alu_sub##bits(cpu, reg_get##bits(cpu, p->rm), (uint##bits##_t)p->imm))                                   \
    REGISTER_(test_eg##bits##_reg, forms_test_eg, code, FORM_REG,                                                      \
              alu_and##bits(cpu, reg_get##bits(cpu, p->rm), reg_get##bits(cpu, p->reg)))                               \
    MEMORY_(cmp_ge##bits, forms_cmp_ge, code, bits, TLB_READ,                                                          \
            alu_sub##bits(cpu, reg_get##bits(cpu, p->reg), host_get##bits(host)))                                      \
    MEMORY_(cmp_eg##bits, forms_cmp_eg, code, bits, TLB_READ,                                                          \
            alu_sub##bits(cpu, host_get##bits(host), reg_get##bits(cpu, p->reg)))
#define ARITHMETICS_(bits, code)                                                                                       \
    ARITHMETIC_(add, bits, code)                                                                                       \
    ARITHMETIC_(sub, bits, code)                                                                                       \
    ARITHMETIC_(and, bits, code)                                                                                       \
    ARITHMETIC_(or, bits, code)                                                                                        \
    ARITHMETIC_(xor, bits, code)                                                                                       \
    COMPARISONS_(bits, code)
ARITHMETICS_(32, 2)
ARITHMETICS_(64, 3)

#define CMOV_(cc, code, condition)                                                                                     \
    extern const struct insn_forms forms_cmov##cc;                                                                     \
    REGISTER_(cmov##cc##_32_reg, forms_cmov##cc, 2, FORM_REG,                                                          \
              SET_(32, p->reg, (condition) ? reg_get32(cpu, p->rm) : reg_get32(cpu, p->reg)))                          \
    REGISTER_(cmov##cc##_64_reg, forms_cmov##cc, 3, FORM_REG,                                                          \
              SET_(64, p->reg, (condition) ? reg_get64(cpu, p->rm) : reg_get64(cpu, p->reg)))
FLAG_CONDITIONS(CMOV_)

/* ---- pairs ---------------------------------------------------------------------------------------------------- */

#define PAIR(first, second)                                                                                            \
    EXEC_STATIC(pair_##first##_and_##second)                                                                           \
    {                                                                                                                  \
        if (UNLIKELY(!do_##first(cpu, i)))                                                                             \
            return peephole_own(&op_##first)(cpu, i);                                                                  \
        if (UNLIKELY(!do_##second(cpu, i + 1)))                                                                        \
            return GO_(i + 1);                                                                                         \
        return GO_(i + 2);                                                                                             \
    }
#include "accel-interp/pairs.def"
#undef PAIR
#define PAIR(first, second) {&op_##first, &op_##second, pair_##first##_and_##second},
const struct peephole_pair peephole_pairs[] = {
#include "accel-interp/pairs.def"
};
const unsigned peephole_pairs_count = sizeof peephole_pairs / sizeof peephole_pairs[0];
