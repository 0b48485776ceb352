/* What the exec_x87*.c files and exec_mmx.c share: stack, status, and the way to the general path. */
#ifndef VMRR_ACCEL_INTERP_X87_H
#define VMRR_ACCEL_INTERP_X87_H

#include "accel-interp/exec.h"
#include "accel-interp/fp.h"
#include "accel-interp/system_bits.h"

/* Any non-control instruction of opcode D8..DF in any state: checks, stack faults, unmasked exceptions, memory operand by
 * ea_general. What the fast functions fall back to, before they changed anything. */
const struct insn *x87_general(struct interp *cpu, const struct insn *i, uint8_t opcode);

/* Before a waiting instruction: #NM, then a pending unmasked exception: #MF, or FERR# when CR0.NE is clear. True: the
 * CPU waits for the interrupt that FERR# asks for; leave the chain with cpu->rip already set. */
bool x87_wait(struct interp *cpu, const struct insn *i);
/* Only the second half, for MMX (whose #UD and #NM rules differ). */
bool x87_wait_pending(struct interp *cpu, const struct insn *i);

/* The state for fp_x87_execute, nothing pending; and what became of it, with FPU pointers and ES. */
void x87_state_get(const struct interp *cpu, struct fp_x87 *x);
void x87_state_put(struct interp *cpu, const struct insn *i, const struct fp_x87 *x, uint8_t opcode, uint64_t fdp);

static inline unsigned x87_top(const struct interp *cpu)
{
    return cpu->x87_top;
}
static inline void x87_set_top(struct interp *cpu, unsigned top)
{
    cpu->x87_top = top & 7;
}
static inline struct cpu_x87_register *x87_st(struct interp *cpu, unsigned top, unsigned n)
{
    return &cpu->s.fpr[(top + n) & 7];
}
static inline bool x87_filled(const struct interp *cpu, unsigned top, unsigned n)
{
    return cpu->s.ftw >> ((top + n) & 7) & 1;
}

/* Usable without a trap, and every exception masked (then none is pending: invariant 4 of fp.h). */
static inline bool x87_ready(const struct interp *cpu)
{
    return !((cpu->cr0 & (CR0_EM | CR0_TS)) | (~cpu->s.fcw & FCW_MASKS));
}

/* Takes exception flags, C1, and those of C0 C2 C3 that are in cc. */
static inline void x87_commit(struct interp *cpu, const struct insn *i, uint16_t sw, uint16_t cc)
{
    cpu->s.fsw = (uint16_t)((cpu->s.fsw & ~(FSW_C1 | cc)) | (sw & (FSW_FLAGS | FSW_C1 | cc)));
    cpu->s.fip = interp_rip(cpu, i);
}
/* Exception flags only: C1 stays as it was too. */
static inline void x87_commit_flags(struct interp *cpu, const struct insn *i, uint16_t sw)
{
    cpu->s.fsw |= sw & FSW_FLAGS;
    cpu->s.fip = interp_rip(cpu, i);
}
static inline void x87_pop(struct interp *cpu, unsigned top)
{
    cpu->s.ftw &= (uint8_t) ~(1u << top);
    x87_set_top(cpu, top + 1);
}
static inline void x87_push(struct interp *cpu, unsigned new_top)
{
    cpu->s.ftw |= (uint8_t)(1u << new_top);
    x87_set_top(cpu, new_top);
}

/* ZF PF CF of a comparison; OF SF AF clear. */
static inline void x87_set_order(struct interp *cpu, bool zf, bool pf, bool cf)
{
    cpu->lf_result = !zf;
    cpu->lf_aux = (cf ? LF_CF | LF_PO : 0) | (zf && !pf ? 0x100u : 0);
}

/* Fallbacks as instruction functions, for form tables. */
#define X87_GENERAL_DECLARE_(op) const struct insn *x87_general_##op(struct interp *cpu, const struct insn *i);
X87_GENERAL_DECLARE_(d8)
X87_GENERAL_DECLARE_(d9)
X87_GENERAL_DECLARE_(da)
X87_GENERAL_DECLARE_(db)
X87_GENERAL_DECLARE_(dc)
X87_GENERAL_DECLARE_(dd)
X87_GENERAL_DECLARE_(de)
X87_GENERAL_DECLARE_(df)

/* Register instruction: `ok` says whether the masked, fault-free path applies; `use` does the work over top. */
#define X87_REG(name, op, ok, ...)                                                                                     \
    EXEC_STATIC(name)                                                                                                  \
    {                                                                                                                  \
        const unsigned top = x87_top(cpu), rm = i->modrm & 7u;                                                         \
        (void)rm;                                                                                                      \
        if (UNLIKELY(!x87_ready(cpu) || !(ok)))                                                                        \
            return x87_general_##op(cpu, i);                                                                           \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define X87_FORMS_REG(table, name) const struct insn_forms table = {.fn = {{name}, {name}, {name}, {name}}}

/* Memory instruction: `use` over top and host. */
#define X87_MEM_(name, op, bytes, access, kind, hit, ok, ...)                                                          \
    EXEC_STATIC(name##_##kind)                                                                                         \
    {                                                                                                                  \
        const unsigned top = x87_top(cpu);                                                                             \
        uint8_t *host = hit(cpu, i, bytes, access);                                                                    \
        if (UNLIKELY(!host || !x87_ready(cpu) || !(ok)))                                                               \
            return x87_general_##op(cpu, i);                                                                           \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }
#define X87_MEM(table, name, op, bytes, access, ok, ...)                                                               \
    X87_MEM_(name, op, bytes, access, m64, exec_hit_64, ok, __VA_ARGS__)                                               \
    X87_MEM_(name, op, bytes, access, m32, exec_hit_32, ok, __VA_ARGS__)                                               \
    X87_MEM_(name, op, bytes, access, seg, exec_hit_seg, ok, __VA_ARGS__)                                              \
    X87_FORMS_MEM(table, name##_m64, name##_m32, name##_seg)
#define X87_FORMS_MEM(table, m64, m32, seg)                                                                            \
    const struct insn_forms table = {                                                                                  \
        .fn = {{0, m64, m32, seg}, {0, m64, m32, seg}, {0, m64, m32, seg}, {0, m64, m32, seg}}}

#endif
