/* Fused pairs: see fuse.h. The first instruction's flags are set as ever, since the code after the branch may look at them;
 * the condition is computed from the operands. What the fast function does not handle (a TLB miss) goes to the first
 * instruction's own function, which goes on to the branch by itself.
 *
 * Conditions on PF and OF alone are not fused, nor anything else that is rare. */
#include "accel-interp/fuse.h"

#include "accel-interp/alu.h"
#include "accel-interp/block.h"
#include "accel-interp/exec.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline)) /* or else the pair is two jumps again */

/* ---- the branch ----------------------------------------------------------------------------------------------- */

ALWAYS_INLINE const struct insn *branch_page(struct interp *cpu, const struct insn *j, bool taken)
{
    if (taken)
        return block_chain_page(cpu, j, j->imm, 0);
    return block_chain_page(cpu, j, (uint64_t)j->off + j->len, 1);
}

ALWAYS_INLINE const struct insn *branch_segmented(struct interp *cpu, const struct insn *j, bool taken)
{
    if (taken)
        return block_go_segmented(cpu, j, block_target_segmented(cpu, j, cpu->r[REG_RIP].q + j->imm), 0);
    return block_go_segmented(cpu, j, interp_rip_next(cpu, j), 1);
}

static const struct insn *unfused(struct interp *cpu, const struct insn *i)
{
    return block_of(i)->entry_fn(cpu, i);
}

/* ---- operands: a, b, and where the result goes ---------------------------------------------------------------- */

#define HOST_(bits, abits)                                                                                             \
    const uint8_t *host = mem_hit(cpu, ea##abits(cpu, i), (bits) / 8, TLB_READ);                                       \
    if (UNLIKELY(!host))                                                                                               \
        return unfused(cpu, i);
#define LOAD_eg_reg(bits) uint##bits##_t a = reg_get##bits(cpu, i->rm), b = reg_get##bits(cpu, i->reg);
#define LOAD_ge_reg(bits) uint##bits##_t a = reg_get##bits(cpu, i->reg), b = reg_get##bits(cpu, i->rm);
#define LOAD_ei_reg(bits) uint##bits##_t a = reg_get##bits(cpu, i->rm), b = (uint##bits##_t)i->imm;
#define LOAD_eg_m64(bits) HOST_(bits, 64) uint##bits##_t a = host_get##bits(host), b = reg_get##bits(cpu, i->reg);
#define LOAD_ge_m64(bits) HOST_(bits, 64) uint##bits##_t a = reg_get##bits(cpu, i->reg), b = host_get##bits(host);
#define LOAD_ei_m64(bits) HOST_(bits, 64) uint##bits##_t a = host_get##bits(host), b = (uint##bits##_t)i->imm;
#define LOAD_eg_m32(bits) HOST_(bits, 32) uint##bits##_t a = host_get##bits(host), b = reg_get##bits(cpu, i->reg);
#define LOAD_ge_m32(bits) HOST_(bits, 32) uint##bits##_t a = reg_get##bits(cpu, i->reg), b = host_get##bits(host);
#define LOAD_ei_m32(bits) HOST_(bits, 32) uint##bits##_t a = host_get##bits(host), b = (uint##bits##_t)i->imm;

#define STORE_eg_reg(bits, value) reg_set##bits(cpu, i->rm, value)
#define STORE_ge_reg(bits, value) reg_set##bits(cpu, i->reg, value)
#define STORE_ei_reg(bits, value) reg_set##bits(cpu, i->rm, value)

/* ---- operations and conditions on a, b and the result r ------------------------------------------------------- */

#define DO_cmp(shape, bits)                                                                                            \
    uint##bits##_t r = alu_sub##bits(cpu, a, b);                                                                       \
    (void)r;
#define DO_sub(shape, bits)                                                                                            \
    uint##bits##_t r = alu_sub##bits(cpu, a, b);                                                                       \
    STORE_##shape(bits, r);
#define DO_add(shape, bits)                                                                                            \
    uint##bits##_t r = alu_add##bits(cpu, a, b);                                                                       \
    STORE_##shape(bits, r);
#define DO_and(shape, bits)                                                                                            \
    uint##bits##_t r = alu_and##bits(cpu, a, b);                                                                       \
    STORE_##shape(bits, r);
#define DO_test(shape, bits) uint##bits##_t r = alu_and##bits(cpu, a, b);
#define DO_inc(shape, bits)                                                                                            \
    uint##bits##_t r = alu_inc##bits(cpu, a);                                                                          \
    (void)b;                                                                                                           \
    STORE_##shape(bits, r);
#define DO_dec(shape, bits)                                                                                            \
    uint##bits##_t r = alu_dec##bits(cpu, a);                                                                          \
    (void)b;                                                                                                           \
    STORE_##shape(bits, r);

#define SIGNED_(bits, value) ((int##bits##_t)(value))
/* After a subtraction, by the operands. */
#define IF_SUB_b(bits) (a < b)
#define IF_SUB_nb(bits) (a >= b)
#define IF_SUB_z(bits) (a == b)
#define IF_SUB_nz(bits) (a != b)
#define IF_SUB_be(bits) (a <= b)
#define IF_SUB_nbe(bits) (a > b)
#define IF_SUB_s(bits) (SIGNED_(bits, r) < 0)
#define IF_SUB_ns(bits) (SIGNED_(bits, r) >= 0)
#define IF_SUB_l(bits) (SIGNED_(bits, a) < SIGNED_(bits, b))
#define IF_SUB_nl(bits) (SIGNED_(bits, a) >= SIGNED_(bits, b))
#define IF_SUB_le(bits) (SIGNED_(bits, a) <= SIGNED_(bits, b))
#define IF_SUB_nle(bits) (SIGNED_(bits, a) > SIGNED_(bits, b))
/* By the result: after a logical operation, and the four after any. */
#define IF_ANY_z(bits) (r == 0)
#define IF_ANY_nz(bits) (r != 0)
#define IF_ANY_s(bits) (SIGNED_(bits, r) < 0)
#define IF_ANY_ns(bits) (SIGNED_(bits, r) >= 0)
#define IF_ANY_l(bits) (SIGNED_(bits, r) < 0)
#define IF_ANY_nl(bits) (SIGNED_(bits, r) >= 0)
#define IF_ANY_le(bits) (SIGNED_(bits, r) <= 0)
#define IF_ANY_nle(bits) (SIGNED_(bits, r) > 0)

/* ---- the functions and their tables --------------------------------------------------------------------------- */

#define FUSED_(kind, op, shape, bits, rule, cc)                                                                        \
    EXEC_STATIC(kind##_##op##_##shape##_##bits##_##cc)                                                                 \
    {                                                                                                                  \
        LOAD_##shape(bits) DO_##op(shape, bits) return branch_##kind(cpu, i + 1, IF_##rule##_##cc(bits));              \
    }

#define FOUR_(M, ...) M(__VA_ARGS__, z) M(__VA_ARGS__, nz) M(__VA_ARGS__, s) M(__VA_ARGS__, ns)
#define SIGNED_FOUR_(M, ...) M(__VA_ARGS__, l) M(__VA_ARGS__, nl) M(__VA_ARGS__, le) M(__VA_ARGS__, nle)
#define EIGHT_(M, ...) FOUR_(M, __VA_ARGS__) SIGNED_FOUR_(M, __VA_ARGS__)
#define TWELVE_(M, ...)                                                                                                \
    M(__VA_ARGS__, b) M(__VA_ARGS__, nb) M(__VA_ARGS__, be) M(__VA_ARGS__, nbe) EIGHT_(M, __VA_ARGS__)

/* By the low nibble of the branch's opcode. */
enum { CC_b = 2, CC_nb, CC_z, CC_nz, CC_be, CC_nbe, CC_s, CC_ns, CC_l = 12, CC_nl, CC_le, CC_nle, CC_COUNT };
#define ENTRY_(kind, op, shape, bits, rule, cc) [CC_##cc] = kind##_##op##_##shape##_##bits##_##cc,

#define SET_(conditions, kind, op, shape, bits, rule)                                                                  \
    conditions(FUSED_, kind, op, shape, bits, rule) static insn_fn *const kind##_##op##_##shape##_##bits[CC_COUNT] = { \
        conditions(ENTRY_, kind, op, shape, bits, rule)};

/* All sets: SET(conditions, kind, op, shape, bits, size code, form, first instruction's forms, rule). */
#define SIZES_(SET, conditions, kind, op, shape, form, forms, rule)                                                    \
    SET(conditions, kind, op, shape, 8, 0, form, forms, rule)                                                          \
    SET(conditions, kind, op, shape, 16, 1, form, forms, rule)                                                         \
    SET(conditions, kind, op, shape, 32, 2, form, forms, rule)                                                         \
    SET(conditions, kind, op, shape, 64, 3, form, forms, rule)
#define WIDE_(SET, conditions, kind, op, shape, form, forms, rule)                                                     \
    SET(conditions, kind, op, shape, 32, 2, form, forms, rule)                                                         \
    SET(conditions, kind, op, shape, 64, 3, form, forms, rule)
#define NARROW_(SET, conditions, kind, op, shape, form, forms, rule)                                                   \
    SET(conditions, kind, op, shape, 8, 0, form, forms, rule) SET(conditions, kind, op, shape, 16, 1, form, forms, rule)

#define ALL_SETS_(SET)                                                                                                 \
    SIZES_(SET, TWELVE_, page, cmp, eg_reg, FORM_REG, forms_cmp_eg, SUB)                                               \
    SIZES_(SET, TWELVE_, page, cmp, ge_reg, FORM_REG, forms_cmp_ge, SUB)                                               \
    SIZES_(SET, TWELVE_, page, cmp, ei_reg, FORM_REG, forms_cmp_ei, SUB)                                               \
    SIZES_(SET, TWELVE_, page, cmp, eg_m64, FORM_MEM64, forms_cmp_eg, SUB)                                             \
    SIZES_(SET, TWELVE_, page, cmp, ge_m64, FORM_MEM64, forms_cmp_ge, SUB)                                             \
    SIZES_(SET, TWELVE_, page, cmp, ei_m64, FORM_MEM64, forms_cmp_ei, SUB)                                             \
    SIZES_(SET, TWELVE_, page, cmp, eg_m32, FORM_MEM32, forms_cmp_eg, SUB)                                             \
    SIZES_(SET, TWELVE_, page, cmp, ge_m32, FORM_MEM32, forms_cmp_ge, SUB)                                             \
    SIZES_(SET, TWELVE_, page, cmp, ei_m32, FORM_MEM32, forms_cmp_ei, SUB)                                             \
    SIZES_(SET, EIGHT_, page, test, eg_reg, FORM_REG, forms_test_eg, ANY)                                              \
    SIZES_(SET, EIGHT_, page, test, ei_reg, FORM_REG, forms_test_ei, ANY)                                              \
    SIZES_(SET, FOUR_, page, test, ei_m64, FORM_MEM64, forms_test_ei, ANY)                                             \
    SIZES_(SET, FOUR_, page, test, ei_m32, FORM_MEM32, forms_test_ei, ANY)                                             \
    WIDE_(SET, TWELVE_, page, sub, eg_reg, FORM_REG, forms_sub_eg, SUB)                                                \
    WIDE_(SET, TWELVE_, page, sub, ei_reg, FORM_REG, forms_sub_ei, SUB)                                                \
    WIDE_(SET, FOUR_, page, add, eg_reg, FORM_REG, forms_add_eg, ANY)                                                  \
    WIDE_(SET, FOUR_, page, add, ei_reg, FORM_REG, forms_add_ei, ANY)                                                  \
    WIDE_(SET, EIGHT_, page, and, eg_reg, FORM_REG, forms_and_eg, ANY)                                                 \
    WIDE_(SET, EIGHT_, page, and, ei_reg, FORM_REG, forms_and_ei, ANY)                                                 \
    WIDE_(SET, FOUR_, page, inc, ei_reg, FORM_REG, forms_inc, ANY)                                                     \
    WIDE_(SET, FOUR_, page, dec, ei_reg, FORM_REG, forms_dec, ANY)                                                     \
    WIDE_(SET, FOUR_, page, inc, ge_reg, FORM_REG, forms_inc_z, ANY)                                                   \
    WIDE_(SET, FOUR_, page, dec, ge_reg, FORM_REG, forms_dec_z, ANY)                                                   \
    NARROW_(SET, TWELVE_, segmented, cmp, eg_reg, FORM_REG, forms_cmp_eg, SUB)                                         \
    NARROW_(SET, TWELVE_, segmented, cmp, ge_reg, FORM_REG, forms_cmp_ge, SUB)                                         \
    NARROW_(SET, TWELVE_, segmented, cmp, ei_reg, FORM_REG, forms_cmp_ei, SUB)                                         \
    NARROW_(SET, EIGHT_, segmented, test, eg_reg, FORM_REG, forms_test_eg, ANY)                                        \
    NARROW_(SET, EIGHT_, segmented, test, ei_reg, FORM_REG, forms_test_ei, ANY)                                        \
    NARROW_(SET, FOUR_, segmented, inc, ge_reg, FORM_REG, forms_inc_z, ANY)                                            \
    NARROW_(SET, FOUR_, segmented, dec, ge_reg, FORM_REG, forms_dec_z, ANY)

#define DEFINE_SET_(conditions, kind, op, shape, bits, size, form, forms, rule)                                        \
    SET_(conditions, kind, op, shape, bits, rule)
ALL_SETS_(DEFINE_SET_)

extern const struct insn_forms forms_cmp_eg, forms_cmp_ge, forms_cmp_ei, forms_test_eg, forms_test_ei, forms_sub_eg,
    forms_sub_ei, forms_add_eg, forms_add_ei, forms_and_eg, forms_and_ei, forms_inc, forms_dec, forms_inc_z,
    forms_dec_z;

static const struct fused_set {
    const struct insn_forms *forms;
    insn_fn *const *by_condition;
    uint8_t size, form;
    bool flat;
} fused_sets[] = {
#define KIND_FLAT_page true
#define KIND_FLAT_segmented false
#define SET_ROW_(conditions, kind, op, shape, bits, size, form, forms, rule)                                           \
    {&forms, kind##_##op##_##shape##_##bits, size, form, KIND_FLAT_##kind},
    ALL_SETS_(SET_ROW_)};

static bool conditional_branch(const struct opcode_row *row)
{
    return (row->map == MAP_1 && (row->opcode & 0xF0) == 0x70) || (row->map == MAP_0F && (row->opcode & 0xF0) == 0x80);
}

insn_fn *fuse_pair(const struct decoded *first, const struct decoded *branch, bool flat)
{
    if (!conditional_branch(branch->row) || (flat && (branch->leaves_page || insn_osize(&branch->insn) == 1)))
        return NULL;
    for (unsigned n = 0; n < sizeof fused_sets / sizeof fused_sets[0]; n++) {
        const struct fused_set *set = &fused_sets[n];
        if (set->forms == first->row->forms && set->size == insn_osize(&first->insn) && set->flat == flat &&
            (set->forms->fn[set->size][set->form] == first->insn.fn ||
             (set->form == FORM_MEM64 && set->forms->fn[set->size][FORM_BASE64] == first->insn.fn)))
            return set->by_condition[branch->row->opcode & 15];
    }
    return NULL;
}
