/* BT BTS BTR BTC (with memory bit strings), BSF BSR. Undefined flags as measured on Intel processors: the BT family
 * changes CF only; BSF and BSR clear CF OF SF AF and set PF by the result, and with a source of 0 leave the
 * destination. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

/* What becomes of the bit. */
#define BIT_bt(value, mask) (value)
#define BIT_bts(value, mask) ((value) | (mask))
#define BIT_btr(value, mask) ((value) & ~(mask))
#define BIT_btc(value, mask) ((value) ^ (mask))

#define BIT_PRIMITIVE(bits, op)                                                                                        \
    static inline uint##bits##_t bit_##op##bits(struct interp *cpu, uint##bits##_t value, unsigned index)              \
    {                                                                                                                  \
        uint##bits##_t mask = (uint##bits##_t)((uint##bits##_t)1 << (index & ((bits)-1)));                             \
        flags_put_cf(cpu, value &mask);                                                                                \
        return (uint##bits##_t)BIT_##op(value, mask);                                                                  \
    }

/* Linear address of the element that a register's bit offset selects: the offset is signed, of any size. */
#define BIT_ADDRESS(bits, log2_bits)                                                                                   \
    static inline uint64_t bit_linear##bits(struct interp *cpu, const struct insn *i, enum tlb_access access)          \
    {                                                                                                                  \
        int64_t index = (int##bits##_t)reg_get##bits(cpu, i->reg);                                                     \
        uint64_t offset = ea_offset(cpu, i) + (uint64_t)((index >> (log2_bits)) * ((bits) / 8));                       \
        return seg_linear(cpu, i, i->seg, ea_mask(offset, insn_asize(i)), (bits) / 8, access);                         \
    }
BIT_ADDRESS(16, 4)
BIT_ADDRESS(32, 5)
BIT_ADDRESS(64, 6)

/* E, G: register, and memory of any address form. */
#define BIT_MODIFY_EG(bits, op)                                                                                        \
    BIT_PRIMITIVE(bits, op)                                                                                            \
    EXEC_REG(op##_eg##bits, unsigned index = reg_get##bits(cpu, i->reg) & 63;                                          \
             reg_set##bits(cpu, i->rm, bit_##op##bits(cpu, reg_get##bits(cpu, i->rm), index)))                         \
    EXEC_STATIC(op##_eg##bits##_mem)                                                                                   \
    {                                                                                                                  \
        struct rmw m;                                                                                                  \
        uint##bits##_t value = rmw_ld##bits(cpu, i, bit_linear##bits(cpu, i, TLB_WRITE), &m);                          \
        unsigned index = reg_get##bits(cpu, i->reg) & ((bits)-1);                                                      \
        uint##bits##_t mask = (uint##bits##_t)((uint##bits##_t)1 << index);                                            \
        rmw_st##bits(cpu, i, &m, (uint##bits##_t)BIT_##op(value, mask));                                               \
        flags_put_cf(cpu, value &mask);                                                                                \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_REG(op##_ei##bits, unsigned index = (uint8_t)i->imm;                                                          \
             reg_set##bits(cpu, i->rm, bit_##op##bits(cpu, reg_get##bits(cpu, i->rm), index)))                         \
    EXEC_MODIFY(op##_ei##bits, bits, bit_##op##bits(cpu, dst, (uint8_t)i->imm), )
EXEC_SIZES_NOT8(BIT_MODIFY_EG, bts)
EXEC_SIZES_NOT8(BIT_MODIFY_EG, btr)
EXEC_SIZES_NOT8(BIT_MODIFY_EG, btc)

/* BT only reads. */
#define BIT_TEST(bits, unused)                                                                                         \
    BIT_PRIMITIVE(bits, bt)                                                                                            \
    EXEC_REG(bt_eg##bits, bit_bt##bits(cpu, reg_get##bits(cpu, i->rm), reg_get##bits(cpu, i->reg) & 63))               \
    EXEC_STATIC(bt_eg##bits##_mem)                                                                                     \
    {                                                                                                                  \
        uint##bits##_t value = ld##bits(cpu, i, bit_linear##bits(cpu, i, TLB_READ));                                   \
        bit_bt##bits(cpu, value, reg_get##bits(cpu, i->reg) & 63);                                                     \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_REG(bt_ei##bits, bit_bt##bits(cpu, reg_get##bits(cpu, i->rm), (uint8_t)i->imm))                               \
    EXEC_LOAD(bt_ei##bits, bits, bit_bt##bits(cpu, src, (uint8_t)i->imm))
EXEC_SIZES_NOT8(BIT_TEST, )

#define BIT_FORMS(op)                                                                                                  \
    const struct insn_forms forms_##op##_eg = {.fn = {{0},                                                             \
                                                      FORMS_ROW_(op##_eg16_reg, op##_eg16_mem),                        \
                                                      FORMS_ROW_(op##_eg32_reg, op##_eg32_mem),                        \
                                                      FORMS_ROW_(op##_eg64_reg, op##_eg64_mem)}};                      \
    FORMS_SIZES_NOT8(forms_##op##_ei, op##_ei)
BIT_FORMS(bt);
BIT_FORMS(bts);
BIT_FORMS(btr);
BIT_FORMS(btc);

/* ZF says that the source was 0; PF is that of the result (even for 0). */
static inline void scan_flags(struct interp *cpu, uint64_t index)
{
    cpu->lf_result = index | 0x100;
    cpu->lf_aux = 0;
}
#define SCAN_FUNCTIONS(bits, unused)                                                                                   \
    static inline void scan_forward##bits(struct interp *cpu, unsigned reg, uint##bits##_t src)                        \
    {                                                                                                                  \
        if (src) {                                                                                                     \
            unsigned index = (unsigned)__builtin_ctzll(src);                                                           \
            reg_set##bits(cpu, reg, (uint##bits##_t)index);                                                            \
            scan_flags(cpu, index);                                                                                    \
        } else {                                                                                                       \
            flags_set_logic(cpu, 0);                                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void scan_reverse##bits(struct interp *cpu, unsigned reg, uint##bits##_t src)                        \
    {                                                                                                                  \
        if (src) {                                                                                                     \
            unsigned index = 63 - (unsigned)__builtin_clzll(src);                                                      \
            reg_set##bits(cpu, reg, (uint##bits##_t)index);                                                            \
            scan_flags(cpu, index);                                                                                    \
        } else {                                                                                                       \
            flags_set_logic(cpu, 0);                                                                                   \
        }                                                                                                              \
    }                                                                                                                  \
    EXEC_REG(bsf##bits, scan_forward##bits(cpu, i->reg, reg_get##bits(cpu, i->rm)))                                    \
    EXEC_LOAD(bsf##bits, bits, scan_forward##bits(cpu, i->reg, src))                                                   \
    EXEC_REG(bsr##bits, scan_reverse##bits(cpu, i->reg, reg_get##bits(cpu, i->rm)))                                    \
    EXEC_LOAD(bsr##bits, bits, scan_reverse##bits(cpu, i->reg, src))
EXEC_SIZES_NOT8(SCAN_FUNCTIONS, )
FORMS_SIZES_NOT8(forms_bsf, bsf);
FORMS_SIZES_NOT8(forms_bsr, bsr);

/* POPCNT: all flags but ZF are cleared. */
#define POPCNT_FUNCTIONS(bits, unused)                                                                                 \
    static inline void count_ones##bits(struct interp *cpu, unsigned reg, uint##bits##_t src)                          \
    {                                                                                                                  \
        reg_set##bits(cpu, reg, (uint##bits##_t)__builtin_popcountll(src));                                            \
        cpu->lf_result = src ? 0x100 : 0;                                                                              \
        cpu->lf_aux = 0x100; /* PF */                                                                                  \
    }                                                                                                                  \
    EXEC_REG(popcnt##bits, count_ones##bits(cpu, i->reg, reg_get##bits(cpu, i->rm)))                                   \
    EXEC_LOAD(popcnt##bits, bits, count_ones##bits(cpu, i->reg, src))
EXEC_SIZES_NOT8(POPCNT_FUNCTIONS, )
FORMS_SIZES_NOT8(forms_popcnt, popcnt);
