/* Shifts and rotates: SHL SHR SAR ROL ROR RCL RCR by 1, CL and an immediate, SHLD SHRD.
 *
 * Flags where the SDM leaves them undefined are as measured on Intel processors (Cascade Lake): AF is 0 after shifts;
 * OF is that of the first one-bit step, whatever the count, but for ROL and ROR of a register by an immediate of 2 or
 * more, which keep OF. A masked count of 0 (for RCL and RCR: modulo the width plus one) changes no flag. */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"
#include "accel-interp/system.h"

static inline void shift_flags(struct interp *cpu, uint64_t sext_result, unsigned cf, unsigned of)
{
    cpu->lf_result = sext_result;
    cpu->lf_aux = ((uint64_t)cf << 63) | ((uint64_t)(cf ^ of) << 62);
}

/* Each: a shifted by n, which is masked and not 0; imm: of a register by an immediate. */
/* After a rotation by an immediate of 2 or more. one_bit: what one by CL would give (core/machine.h, MACHINE_WAY_ROTATES_BY_CL). */
static inline unsigned rotate_of(struct interp *cpu, unsigned one_bit)
{
    if (UNLIKELY(cpu->rotates_by_cl) && !(cpu->cpl == 3 && in_code64(cpu)))
        return one_bit;
    return flag_of(cpu);
}

#define SHIFT_PRIMITIVES(bits, unused)                                                                                 \
    static inline unsigned msb##bits(uint##bits##_t a)                                                                 \
    {                                                                                                                  \
        return (unsigned)(a >> ((bits)-1));                                                                            \
    }                                                                                                                  \
    static inline unsigned msb_flip##bits(uint##bits##_t a) /* top two bits differ */                                  \
    {                                                                                                                  \
        return (unsigned)((a ^ (a >> 1)) >> ((bits)-2)) & 1;                                                           \
    }                                                                                                                  \
    static inline uint##bits##_t shift_shl##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        uint64_t before_last = (uint64_t)a << (n - 1);                                                                 \
        uint##bits##_t result = (uint##bits##_t)(before_last << 1);                                                    \
        (void)imm;                                                                                                     \
        shift_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)result, (before_last >> ((bits)-1)) & 1,                    \
                    msb_flip##bits(a));                                                                                \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_shr##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        uint64_t before_last = (uint64_t)a >> (n - 1);                                                                 \
        uint##bits##_t result = (uint##bits##_t)(before_last >> 1);                                                    \
        (void)imm;                                                                                                     \
        shift_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)result, before_last & 1, msb##bits(a));                     \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_sar##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        int64_t before_last = (int64_t)(int##bits##_t)a >> (n - 1);                                                    \
        int##bits##_t result = (int##bits##_t)(before_last >> 1);                                                      \
        (void)imm;                                                                                                     \
        shift_flags(cpu, (uint64_t)(int64_t)result, before_last & 1, 0);                                               \
        return (uint##bits##_t)result;                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_rol##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        unsigned m = n & ((bits)-1);                                                                                   \
        uint##bits##_t result = (uint##bits##_t)((a << m) | (a >> ((0u - m) & ((bits)-1))));                           \
        flags_put_cf_of(cpu, result & 1, imm && n > 1 ? rotate_of(cpu, msb_flip##bits(a)) : msb_flip##bits(a));        \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_ror##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        unsigned m = n & ((bits)-1);                                                                                   \
        uint##bits##_t result = (uint##bits##_t)((a >> m) | (a << ((0u - m) & ((bits)-1))));                           \
        flags_put_cf_of(cpu, msb##bits(result), imm && n > 1 ? rotate_of(cpu, msb##bits(a) ^ (a & 1)) : msb##bits(a) ^ (a & 1)); \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_rcl##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        unsigned m = n % ((bits) + 1);                                                                                 \
        (void)imm;                                                                                                     \
        if (m == 0)                                                                                                    \
            return a;                                                                                                  \
        uint64_t value = a, low = flag_cf(cpu);                                                                        \
        uint64_t result = (value << (m - 1) << 1) | (low << (m - 1)) | (m > 1 ? value >> ((bits) + 1 - m) : 0);        \
        flags_put_cf_of(cpu, (value >> ((bits)-m)) & 1, msb_flip##bits(a));                                            \
        return (uint##bits##_t)result;                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_rcr##bits(struct interp *cpu, uint##bits##_t a, unsigned n, bool imm)           \
    {                                                                                                                  \
        unsigned m = n % ((bits) + 1);                                                                                 \
        (void)imm;                                                                                                     \
        if (m == 0)                                                                                                    \
            return a;                                                                                                  \
        uint64_t value = a, high = flag_cf(cpu);                                                                       \
        uint64_t result = (value >> (m - 1) >> 1) | (high << ((bits)-m)) | (m > 1 ? value << ((bits) + 1 - m) : 0);    \
        flags_put_cf_of(cpu, (value >> (m - 1)) & 1, (unsigned)high ^ msb##bits(a));                                   \
        return (uint##bits##_t)result;                                                                                 \
    }
EXEC_ALL_SIZES(SHIFT_PRIMITIVES, )

#define COUNT_MASK(bits) ((bits) == 64 ? 63u : 31u)
#define SHIFT_BY(bits, op, dst, count, imm) ((count) ? shift_##op##bits(cpu, (dst), (count), (imm)) : (dst))
#define SHIFT_FUNCTIONS(bits, op)                                                                                      \
    EXEC_REG(op##_e1_##bits, reg_set##bits(cpu, i->rm, shift_##op##bits(cpu, reg_get##bits(cpu, i->rm), 1, true)))     \
    EXEC_MODIFY(op##_e1_##bits, bits, shift_##op##bits(cpu, dst, 1, true), )                                           \
    EXEC_REG(op##_ei_##bits, unsigned count = (unsigned)i->imm & COUNT_MASK(bits);                                     \
             uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                           \
             reg_set##bits(cpu, i->rm, SHIFT_BY(bits, op, dst, count, true)))                                          \
    EXEC_MODIFY(op##_ei_##bits, bits, SHIFT_BY(bits, op, dst, (unsigned)i->imm &COUNT_MASK(bits), false), )            \
    EXEC_REG(op##_ec_##bits, unsigned count = cpu->r[CPU_RCX].b & COUNT_MASK(bits);                                    \
             uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                           \
             reg_set##bits(cpu, i->rm, SHIFT_BY(bits, op, dst, count, false)))                                         \
    EXEC_MODIFY(op##_ec_##bits, bits, SHIFT_BY(bits, op, dst, cpu->r[CPU_RCX].b &COUNT_MASK(bits), false), )

#define SHIFT_OPERATION(op)                                                                                            \
    EXEC_ALL_SIZES(SHIFT_FUNCTIONS, op)                                                                                \
    FORMS_SIZES(forms_##op##_e1, op##_e1_);                                                                            \
    FORMS_SIZES(forms_##op##_ei, op##_ei_);                                                                            \
    FORMS_SIZES(forms_##op##_ec, op##_ec_)

SHIFT_OPERATION(rol);
SHIFT_OPERATION(ror);
SHIFT_OPERATION(rcl);
SHIFT_OPERATION(rcr);
SHIFT_OPERATION(shl);
SHIFT_OPERATION(shr);
SHIFT_OPERATION(sar);

/* SHLD, SHRD: dst:src shifted, n masked and not 0. A 16-bit shift by more than 16 (undefined) goes on with dst behind
 * src, as Intel's processors do. */
#define DOUBLE_PRIMITIVES(bits, unused)                                                                                \
    static inline uint##bits##_t shift_shld##bits(struct interp *cpu, uint##bits##_t dst, uint##bits##_t src,          \
                                                  unsigned n)                                                          \
    {                                                                                                                  \
        uint##bits##_t result = (uint##bits##_t)((dst << n) | (src >> ((bits)-n)));                                    \
        shift_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)result, (unsigned)(dst >> ((bits)-n)) & 1,                  \
                    msb_flip##bits(dst));                                                                              \
        return result;                                                                                                 \
    }                                                                                                                  \
    static inline uint##bits##_t shift_shrd##bits(struct interp *cpu, uint##bits##_t dst, uint##bits##_t src,          \
                                                  unsigned n)                                                          \
    {                                                                                                                  \
        uint##bits##_t result = (uint##bits##_t)((dst >> n) | (src << ((bits)-n)));                                    \
        shift_flags(cpu, (uint64_t)(int64_t)(int##bits##_t)result, (unsigned)(dst >> (n - 1)) & 1,                     \
                    msb##bits(dst) ^ (src & 1));                                                                       \
        return result;                                                                                                 \
    }
DOUBLE_PRIMITIVES(32, )
DOUBLE_PRIMITIVES(64, )

static inline uint16_t shift_shld16(struct interp *cpu, uint16_t dst, uint16_t src, unsigned n)
{
    uint64_t triple = ((uint64_t)dst << 32) | ((uint64_t)src << 16) | dst;
    uint16_t result = (uint16_t)(triple << n >> 32);

    shift_flags(cpu, (uint64_t)(int64_t)(int16_t)result, (triple >> (48 - n)) & 1, msb_flip16(dst));
    return result;
}

static inline uint16_t shift_shrd16(struct interp *cpu, uint16_t dst, uint16_t src, unsigned n)
{
    uint64_t triple = ((uint64_t)dst << 32) | ((uint64_t)src << 16) | dst;
    uint16_t result = (uint16_t)(triple >> n);

    shift_flags(cpu, (uint64_t)(int64_t)(int16_t)result, (triple >> (n - 1)) & 1, msb16(dst) ^ (src & 1));
    return result;
}

#define DOUBLE_BY(bits, op, dst, count)                                                                                \
    ((count) ? shift_##op##bits(cpu, (dst), reg_get##bits(cpu, i->reg), (count)) : (dst))
#define DOUBLE_FUNCTIONS(bits, op)                                                                                     \
    EXEC_REG(op##_ei_##bits, unsigned count = (unsigned)i->imm & COUNT_MASK(bits);                                     \
             uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                           \
             reg_set##bits(cpu, i->rm, DOUBLE_BY(bits, op, dst, count)))                                               \
    EXEC_MODIFY(op##_ei_##bits, bits, DOUBLE_BY(bits, op, dst, (unsigned)i->imm &COUNT_MASK(bits)), )                  \
    EXEC_REG(op##_ec_##bits, unsigned count = cpu->r[CPU_RCX].b & COUNT_MASK(bits);                                    \
             uint##bits##_t dst = reg_get##bits(cpu, i->rm);                                                           \
             reg_set##bits(cpu, i->rm, DOUBLE_BY(bits, op, dst, count)))                                               \
    EXEC_MODIFY(op##_ec_##bits, bits, DOUBLE_BY(bits, op, dst, cpu->r[CPU_RCX].b &COUNT_MASK(bits)), )
EXEC_SIZES_NOT8(DOUBLE_FUNCTIONS, shld)
EXEC_SIZES_NOT8(DOUBLE_FUNCTIONS, shrd)
FORMS_SIZES_NOT8(forms_shld_ei, shld_ei_);
FORMS_SIZES_NOT8(forms_shld_ec, shld_ec_);
FORMS_SIZES_NOT8(forms_shrd_ei, shrd_ei_);
FORMS_SIZES_NOT8(forms_shrd_ec, shrd_ec_);
