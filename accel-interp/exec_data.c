/* Data movement: MOV (but segment, control and debug registers), MOVZX MOVSX MOVSXD, LEA, XCHG, XLAT, BSWAP, CMOVcc,
 * SETcc, the sign extensions of the accumulator, CMPXCHG, CMPXCHG8B/16B, XADD, MOVNTI. The accesses of a locked
 * instruction are atomic by themselves: there is one CPU, and DMA happens between steps. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"

/* MOV */
#define MOV_FUNCTIONS(bits, unused)                                                                                    \
    EXEC_REG(mov_eg##bits, reg_set##bits(cpu, i->rm, reg_get##bits(cpu, i->reg)))                                      \
    EXEC_STORE(mov_eg##bits, bits, reg_get##bits(cpu, i->reg))                                                         \
    EXEC_REG(mov_ge##bits, reg_set##bits(cpu, i->reg, reg_get##bits(cpu, i->rm)))                                      \
    EXEC_LOAD(mov_ge##bits, bits, reg_set##bits(cpu, i->reg, src))                                                     \
    EXEC_REG(mov_ei##bits, reg_set##bits(cpu, i->rm, (uint##bits##_t)i->imm))                                          \
    EXEC_STORE(mov_ei##bits, bits, i->imm)                                                                             \
    EXEC_REG(mov_zi##bits, reg_set##bits(cpu, i->reg, (uint##bits##_t)i->imm))                                         \
    EXEC_REG(mov_ao##bits, reg_set##bits(cpu, 0, ld##bits(cpu, i, moffs_linear(cpu, i, (bits) / 8, TLB_READ))))        \
    EXEC_REG(mov_oa##bits, st##bits(cpu, i, moffs_linear(cpu, i, (bits) / 8, TLB_WRITE), reg_get##bits(cpu, 0)))

/* A0..A3: the offset is the immediate. */
static uint64_t moffs_linear(struct interp *cpu, const struct insn *i, unsigned size_bytes, enum tlb_access access)
{
    return seg_linear(cpu, i, i->seg, ea_mask(i->imm, insn_asize(i)), size_bytes, access);
}

EXEC_ALL_SIZES(MOV_FUNCTIONS, )
FORMS_SIZES(forms_mov_eg, mov_eg);
FORMS_SIZES(forms_mov_ge, mov_ge);
FORMS_SIZES(forms_mov_ei, mov_ei);
FORMS_SIZES_REG(forms_mov_zi, mov_zi);
#define FORMS_MOFFS(table, name)                                                                                       \
    const struct insn_forms table = {                                                                                  \
        .fn = {FORMS_ROW_(name##8_reg, name##8_reg), FORMS_ROW_(name##16_reg, name##16_reg),                           \
               FORMS_ROW_(name##32_reg, name##32_reg), FORMS_ROW_(name##64_reg, name##64_reg)}}
FORMS_MOFFS(forms_mov_ao, mov_ao);
FORMS_MOFFS(forms_mov_oa, mov_oa);

/* MOVNTI: no cache here to be bypassed. */
const struct insn_forms forms_movnti = {.fn = {{0}, {0}, FORMS_ENTRY_MEM_(mov_eg32), FORMS_ENTRY_MEM_(mov_eg64)}};

/* MOVZX, MOVSX, MOVSXD: source width `from`; rm is a byte offset when it is 8. */
#define EXTEND_FUNCTIONS(bits, from)                                                                                   \
    EXEC_REG(movzx_##from##_##bits, reg_set##bits(cpu, i->reg, reg_get##from(cpu, i->rm)))                             \
    EXEC_LOAD(movzx_##from##_##bits, from, reg_set##bits(cpu, i->reg, src))                                            \
    EXEC_REG(movsx_##from##_##bits,                                                                                    \
             reg_set##bits(cpu, i->reg, (uint##bits##_t)(int##from##_t)reg_get##from(cpu, i->rm)))                     \
    EXEC_LOAD(movsx_##from##_##bits, from, reg_set##bits(cpu, i->reg, (uint##bits##_t)(int##from##_t)src))
EXEC_SIZES_NOT8(EXTEND_FUNCTIONS, 8)
EXEC_SIZES_NOT8(EXTEND_FUNCTIONS, 16)
EXEC_REG(movsx_32_64, reg_set64(cpu, i->reg, (uint64_t)(int32_t)reg_get32(cpu, i->rm)))
EXEC_LOAD(movsx_32_64, 32, reg_set64(cpu, i->reg, (uint64_t)(int32_t)src))
FORMS_SIZES_NOT8(forms_movzx_b, movzx_8_);
FORMS_SIZES_NOT8(forms_movzx_w, movzx_16_);
FORMS_SIZES_NOT8(forms_movsx_b, movsx_8_);
FORMS_SIZES_NOT8(forms_movsx_w, movsx_16_);
/* MOVSXD without REX.W is a move. */
const struct insn_forms forms_movsxd = {
    .fn = {{0}, FORMS_ENTRY_(mov_ge16), FORMS_ENTRY_(mov_ge32), FORMS_ENTRY_(movsx_32_64)}};

/* LEA */
#define LEA_FUNCTIONS(bits, unused)                                                                                    \
    EXEC_STATIC(lea##bits##_b64)                                                                                       \
    {                                                                                                                  \
        reg_set##bits(cpu, i->reg, (uint##bits##_t)ea_base64(cpu, i));                                                 \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(lea##bits##_m64)                                                                                       \
    {                                                                                                                  \
        reg_set##bits(cpu, i->reg, (uint##bits##_t)ea64(cpu, i));                                                      \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(lea##bits##_m32)                                                                                       \
    {                                                                                                                  \
        reg_set##bits(cpu, i->reg, (uint##bits##_t)ea32(cpu, i));                                                      \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(lea##bits##_seg)                                                                                       \
    {                                                                                                                  \
        reg_set##bits(cpu, i->reg, (uint##bits##_t)ea_mask(ea_offset(cpu, i), insn_asize(i)));                         \
        NEXT;                                                                                                          \
    }
EXEC_SIZES_NOT8(LEA_FUNCTIONS, )
const struct insn_forms forms_lea = {
    .fn = {{0}, FORMS_ENTRY_MEM_(lea16), FORMS_ENTRY_MEM_(lea32), FORMS_ENTRY_MEM_(lea64)}};

/* XCHG, XADD: the register changes once the store is certain. */
#define EXCHANGE_FUNCTIONS(bits, unused)                                                                               \
    EXEC_STATIC(xchg##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint##bits##_t value = reg_get##bits(cpu, i->rm);                                                              \
        reg_set##bits(cpu, i->rm, reg_get##bits(cpu, i->reg));                                                         \
        reg_set##bits(cpu, i->reg, value);                                                                             \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_MODIFY(xchg##bits, bits, reg_get##bits(cpu, i->reg), reg_set##bits(cpu, i->reg, dst))                         \
    EXEC_STATIC(xadd##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                                \
        uint##bits##_t sum = alu_add##bits(cpu, dst, reg_get##bits(cpu, i->reg));                                      \
        reg_set##bits(cpu, i->reg, dst);                                                                               \
        reg_set##bits(cpu, i->rm, sum);                                                                                \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_MODIFY(xadd##bits, bits, alu_add##bits(cpu, dst, reg_get##bits(cpu, i->reg)), reg_set##bits(cpu, i->reg, dst))
EXEC_ALL_SIZES(EXCHANGE_FUNCTIONS, )
FORMS_SIZES(forms_xchg, xchg);
FORMS_SIZES(forms_xadd, xadd);

/* 90..97 XCHG rAX, r: 90 without REX.B is NOP, so that it does not clear the upper half of RAX. */
#define XCHG_ACCUMULATOR(bits, unused)                                                                                 \
    EXEC_STATIC(xchg_az##bits##_reg)                                                                                   \
    {                                                                                                                  \
        uint##bits##_t value = reg_get##bits(cpu, i->reg);                                                             \
        if (i->reg != CPU_RAX) {                                                                                       \
            reg_set##bits(cpu, i->reg, reg_get##bits(cpu, CPU_RAX));                                                   \
            reg_set##bits(cpu, CPU_RAX, value);                                                                        \
        }                                                                                                              \
        NEXT;                                                                                                          \
    }
EXEC_ALL_SIZES(XCHG_ACCUMULATOR, )
FORMS_SIZES_REG(forms_xchg_az, xchg_az);

/* CMPXCHG: the accumulator is compared with the destination; the destination is written in any case. */
#define CMPXCHG_FUNCTIONS(bits, unused)                                                                                \
    EXEC_STATIC(cmpxchg##bits##_reg)                                                                                   \
    {                                                                                                                  \
        uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                                \
        if (alu_sub##bits(cpu, reg_get##bits(cpu, CPU_RAX), dst) == 0)                                                 \
            reg_set##bits(cpu, i->rm, reg_get##bits(cpu, i->reg));                                                     \
        else                                                                                                           \
            reg_set##bits(cpu, CPU_RAX, dst);                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_MODIFY(cmpxchg##bits, bits,                                                                                   \
                alu_sub##bits(cpu, reg_get##bits(cpu, CPU_RAX), dst) == 0 ? reg_get##bits(cpu, i->reg) : dst,          \
                if (!flag_zf(cpu)) reg_set##bits(cpu, CPU_RAX, dst))
EXEC_ALL_SIZES(CMPXCHG_FUNCTIONS, )
FORMS_SIZES(forms_cmpxchg, cmpxchg);

static void put_zf(struct interp *cpu, bool zf)
{
    flags_set_arith(cpu, (flags_arith(cpu) & ~FLAG_ZF) | (zf ? FLAG_ZF : 0));
}

EXEC_STATIC(cmpxchg8b)
{
    struct rmw m;
    uint64_t old = rmw_ld64(cpu, i, ea_general(cpu, i, 8, TLB_WRITE), &m);
    uint64_t compare = cpu->r[CPU_RAX].d | ((uint64_t)cpu->r[CPU_RDX].d << 32);
    uint64_t exchange = cpu->r[CPU_RBX].d | ((uint64_t)cpu->r[CPU_RCX].d << 32);
    bool equal = old == compare;

    rmw_st64(cpu, i, &m, equal ? exchange : old);
    if (!equal) {
        cpu->r[CPU_RAX].q = (uint32_t)old;
        cpu->r[CPU_RDX].q = old >> 32;
    }
    put_zf(cpu, equal);
    NEXT;
}

/* Of its own, so that `new` does not keep NEXT from being a tail call. */
static __attribute__((noinline)) void compare_exchange16(struct interp *cpu, const struct insn *i)
{
    uint64_t linear = ea_general(cpu, i, 16, TLB_WRITE), old[2];
    struct rmw m;

    if (linear & 15)
        RAISE_ERROR(EXC_GP, 0);
    old[0] = rmw_ld64(cpu, i, linear, &m); /* aligned: one page, so both halves are checked by the first */
    old[1] = ld64(cpu, i, linear + 8);
    bool equal = old[0] == cpu->r[CPU_RAX].q && old[1] == cpu->r[CPU_RDX].q;
    uint64_t new[2] = {equal ? cpu->r[CPU_RBX].q : old[0], equal ? cpu->r[CPU_RCX].q : old[1]};
    mem_write_buffer(cpu, i, linear, new, 16);
    if (!equal) {
        cpu->r[CPU_RAX].q = old[0];
        cpu->r[CPU_RDX].q = old[1];
    }
    put_zf(cpu, equal);
}

EXEC_STATIC(cmpxchg16b)
{
    compare_exchange16(cpu, i);
    NEXT;
}
const struct insn_forms forms_cmpxchg8b = {.fn = {{0},
                                                  {0, cmpxchg8b, cmpxchg8b, cmpxchg8b},
                                                  {0, cmpxchg8b, cmpxchg8b, cmpxchg8b},
                                                  {0, cmpxchg16b, cmpxchg16b, cmpxchg16b}}};

/* SETcc and CMOVcc. CMOV reads its source, and a 32-bit one clears the upper half, whatever the condition. */
#define CONDITION_FUNCTIONS(cc, code, condition)                                                                       \
    EXEC_REG(set##cc, reg_set8(cpu, i->rm, (condition)))                                                               \
    EXEC_STORE(set##cc, 8, (condition))                                                                                \
    FORMS_SET_(set##cc);                                                                                               \
    CMOV_FUNCTIONS(16, cc, condition)                                                                                  \
    CMOV_FUNCTIONS(32, cc, condition)                                                                                  \
    CMOV_FUNCTIONS(64, cc, condition)                                                                                  \
    FORMS_SIZES_NOT8(forms_cmov##cc, cmov##cc##_);
#define FORMS_SET_(name) const struct insn_forms forms_##name = {.fn = {FORMS_ENTRY_(name)}}
#define CMOV_FUNCTIONS(bits, cc, condition)                                                                            \
    EXEC_STATIC(cmov##cc##_##bits##_reg)                                                                               \
    {                                                                                                                  \
        uint##bits##_t src = reg_get##bits(cpu, i->rm), dst = reg_get##bits(cpu, i->reg);                              \
        reg_set##bits(cpu, i->reg, (condition) ? src : dst);                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_LOAD(cmov##cc##_##bits, bits, reg_set##bits(cpu, i->reg, (condition) ? src : reg_get##bits(cpu, i->reg)))
FLAG_CONDITIONS(CONDITION_FUNCTIONS)

/* CBW CWDE CDQE (98), CWD CDQ CQO (99) */
EXEC_REG(cbw16, cpu->r[CPU_RAX].w = (uint16_t)(int8_t)cpu->r[CPU_RAX].b)
EXEC_REG(cbw32, cpu->r[CPU_RAX].q = (uint32_t)(int16_t)cpu->r[CPU_RAX].w)
EXEC_REG(cbw64, cpu->r[CPU_RAX].q = (uint64_t)(int32_t)cpu->r[CPU_RAX].d)
EXEC_REG(cwd16, cpu->r[CPU_RDX].w = (uint16_t)((int16_t)cpu->r[CPU_RAX].w >> 15))
EXEC_REG(cwd32, cpu->r[CPU_RDX].q = (uint32_t)((int32_t)cpu->r[CPU_RAX].d >> 31))
EXEC_REG(cwd64, cpu->r[CPU_RDX].q = (uint64_t)((int64_t)cpu->r[CPU_RAX].q >> 63))
#define FORMS_ACCUMULATOR(table, name)                                                                                 \
    const struct insn_forms table = {.fn = {{0}, {name##16_reg}, {name##32_reg}, {name##64_reg}}}
FORMS_ACCUMULATOR(forms_cbw, cbw);
FORMS_ACCUMULATOR(forms_cwd, cwd);

/* XLAT: AL = [rBX + AL] */
EXEC_STATIC(xlat)
{
    uint64_t offset = ea_mask(cpu->r[CPU_RBX].q + cpu->r[CPU_RAX].b, insn_asize(i));
    cpu->r[CPU_RAX].b = ld8(cpu, i, seg_linear(cpu, i, i->seg, offset, 1, TLB_READ));
    NEXT;
}
FORMS_ANY(forms_xlat, xlat);

/* BSWAP; of a 16-bit register (undefined): Intel's give zero. */
EXEC_REG(bswap16, cpu->r[i->reg].w = 0)
EXEC_REG(bswap32, cpu->r[i->reg].q = __builtin_bswap32(cpu->r[i->reg].d))
EXEC_REG(bswap64, cpu->r[i->reg].q = __builtin_bswap64(cpu->r[i->reg].q))
FORMS_ACCUMULATOR(forms_bswap, bswap);
