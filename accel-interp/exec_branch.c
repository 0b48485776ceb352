/* Near branches (Intel SDM vol. 2: Jcc, JMP, CALL, RET, LOOP, JrCXZ).
 *
 * Three kinds of function: `_page` for flat code and a target in the block's page (no check at all), `_flat` for flat code and
 * any target (checked against linear address and generation), `_segmented` for everything else. A function finds out
 * whether the target may be entered first, then changes state, then goes; what can't be entered at once goes through
 * the run loop. A target beyond the limit of CS, or not canonical, is a fault of the branch.
 * Not modelled: the 66 prefix truncating RIP in 64-bit code (AMD; Intel ignores it, as here). */
#include "accel-interp/block.h"
#include "accel-interp/exec.h"
#include "accel-interp/segment.h"

/* ---- targets -------------------------------------------------------------------------------------------------- */

static void check_flat(struct interp *cpu, const struct insn *i, uint64_t rip)
{
    if ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64 && !mmu_canonical(rip))
        RAISE_ERROR(EXC_GP, 0);
}

static void check_stack(struct interp *cpu, const struct insn *i, uint64_t pointer)
{
    if ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64 && !(mmu_canonical(pointer) && mmu_canonical(pointer + 7)))
        RAISE_ERROR(EXC_SS, 0);
}

static uint64_t direct_target(const struct interp *cpu, const struct insn *i)
{
    return cpu->r[REG_RIP].q + i->imm;
}

/* The slow ends: state is not yet changed by the branch, which has nothing else to do. */
static const struct insn *take_slowly(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = direct_target(cpu, i);

    check_flat(cpu, i, rip);
    return block_leave_to(cpu, i, rip, 0);
}

static const struct insn *fall_slowly(struct interp *cpu, const struct insn *i)
{
    return block_leave_to(cpu, i, interp_rip_next(cpu, i), 1);
}

static inline const struct insn *take_flat(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = direct_target(cpu, i);
    struct block *target = block_linked_flat(cpu, i, rip, 0);

    return target ? block_enter(cpu, target, rip) : take_slowly(cpu, i);
}

static inline const struct insn *fall_flat(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = interp_rip_next(cpu, i);
    struct block *target = block_linked_flat(cpu, i, rip, 1);

    return target ? block_enter(cpu, target, rip) : fall_slowly(cpu, i);
}

/* As block_target_segmented, but without its check: the fast functions leave a fault to a function of its own, so that they
 * need no frame. */
static inline uint64_t target_segmented(const struct interp *cpu, const struct insn *i)
{
    uint64_t rip = direct_target(cpu, i);

    return insn_osize(i) == 1 ? (uint16_t)rip : (uint32_t)rip;
}

EXEC_STATIC(beyond_limit)
{
    RAISE_ERROR(EXC_GP, 0);
}

static inline const struct insn *fall_segmented(struct interp *cpu, const struct insn *i)
{
    return block_go_segmented(cpu, i, interp_rip_next(cpu, i), 1);
}

/* ---- conditional branches and JMP ----------------------------------------------------------------------------- */

/* Flat functions for both 32- and 64-bit operand size; the general ones for all. */
#define BRANCH_FORMS_(name, page, flat, segmented)                                                                     \
    static const struct insn_forms name##_other = {.fn = {[2] = {flat}, [3] = {flat}}};                                \
    static const struct insn_forms name##_near = {.fn = {[2] = {page}, [3] = {page}}, .other_page = &name##_other};    \
    const struct insn_forms name = {                                                                                   \
        .fn = {[1] = {segmented}, [2] = {segmented}}, .code64 = &name##_near, .flat32 = &name##_near};

/* condition: over cpu, before anything is changed. commit: what the branch changes besides RIP. */
#define CONDITIONAL_(name, condition, commit)                                                                          \
    EXEC_STATIC(name##_page)                                                                                           \
    {                                                                                                                  \
        bool taken = (condition);                                                                                      \
        commit;                                                                                                        \
        if (taken)                                                                                                     \
            return block_chain_page(cpu, i, i->imm, 0);                                                                \
        return block_chain_page(cpu, i, (uint64_t)i->off + i->len, 1);                                                 \
    }                                                                                                                  \
    EXEC_STATIC(name##_flat)                                                                                           \
    {                                                                                                                  \
        bool taken = (condition);                                                                                      \
        if (taken)                                                                                                     \
            check_flat(cpu, i, direct_target(cpu, i));                                                                 \
        commit;                                                                                                        \
        return taken ? take_flat(cpu, i) : fall_flat(cpu, i);                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_segmented)                                                                                      \
    {                                                                                                                  \
        bool taken = (condition);                                                                                      \
        uint64_t rip = target_segmented(cpu, i);                                                                       \
        if (UNLIKELY(taken && rip > cpu->rip_limit))                                                                   \
            return beyond_limit(cpu, i);                                                                               \
        commit;                                                                                                        \
        return taken ? block_go_segmented(cpu, i, rip, 0) : fall_segmented(cpu, i);                                    \
    }                                                                                                                  \
    BRANCH_FORMS_(name##_forms, name##_page, name##_flat, name##_segmented)

#define JCC_(name, condition) CONDITIONAL_(name, condition, (void)0)
#define LESS_(cpu) (flag_sf(cpu) != flag_of(cpu))

JCC_(jo, flag_of(cpu))
JCC_(jno, !flag_of(cpu))
JCC_(jb, flag_cf(cpu))
JCC_(jnb, !flag_cf(cpu))
JCC_(jz, flag_zf(cpu))
JCC_(jnz, !flag_zf(cpu))
JCC_(jbe, flag_cf(cpu) || flag_zf(cpu))
JCC_(jnbe, !flag_cf(cpu) && !flag_zf(cpu))
JCC_(js, flag_sf(cpu))
JCC_(jns, !flag_sf(cpu))
JCC_(jp, flag_pf(cpu))
JCC_(jnp, !flag_pf(cpu))
JCC_(jl, LESS_(cpu))
JCC_(jnl, !LESS_(cpu))
JCC_(jle, flag_zf(cpu) || LESS_(cpu))
JCC_(jnle, !flag_zf(cpu) && !LESS_(cpu))

/* rCX as wide as the address size says. */
static inline uint64_t count_get(const struct interp *cpu, const struct insn *i)
{
    return ea_mask(cpu->r[CPU_RCX].q, insn_asize(i));
}
static inline void count_down(struct interp *cpu, const struct insn *i)
{
    union reg *rcx = &cpu->r[CPU_RCX];

    if (insn_asize(i) == 3)
        rcx->q--;
    else if (insn_asize(i) == 2)
        rcx->q = rcx->d - 1u;
    else
        reg_set16(cpu, CPU_RCX, (uint16_t)(rcx->w - 1));
}
CONDITIONAL_(loop, count_get(cpu, i) != 1, count_down(cpu, i))
CONDITIONAL_(loope, count_get(cpu, i) != 1 && flag_zf(cpu), count_down(cpu, i))
CONDITIONAL_(loopne, count_get(cpu, i) != 1 && !flag_zf(cpu), count_down(cpu, i))
CONDITIONAL_(jcxz, count_get(cpu, i) == 0, (void)0)

EXEC_STATIC(jmp_page)
{
    return block_chain_page(cpu, i, i->imm, 0);
}
EXEC_STATIC(jmp_flat)
{
    return take_flat(cpu, i);
}
EXEC_STATIC(jmp_segmented)
{
    uint64_t rip = target_segmented(cpu, i);

    return UNLIKELY(rip > cpu->rip_limit) ? beyond_limit(cpu, i) : block_go_segmented(cpu, i, rip, 0);
}
BRANCH_FORMS_(jmp_forms, jmp_page, jmp_flat, jmp_segmented)

/* ---- the stack ------------------------------------------------------------------------------------------------ */

/* In segmented code, of operand-size words: where the stack's pointer will be, which the caller sets. */
static uint64_t push_segmented(struct interp *cpu, const struct insn *i, uint64_t value)
{
    unsigned size_bytes = insn_osize_bytes(i);
    uint64_t pointer = exec_stack_offset(cpu, cpu->r[CPU_RSP].q - size_bytes);
    uint64_t linear = seg_linear_inline(cpu, i, CPU_SS, pointer, size_bytes, TLB_WRITE);

    if (size_bytes == 2)
        st16(cpu, i, linear, (uint16_t)value);
    else
        st32(cpu, i, linear, (uint32_t)value);
    return pointer;
}

/* Of a CALL in segmented code; as in flat code, the target is looked at when the return address has been pushed. */
static uint64_t push_and_check(struct interp *cpu, const struct insn *i, uint64_t rip)
{
    uint64_t pointer = push_segmented(cpu, i, interp_rip_next(cpu, i));

    rip = block_target_segmented(cpu, i, rip);
    exec_stack_set(cpu, pointer);
    return rip;
}

/* ---- CALL ----------------------------------------------------------------------------------------------------- */

/* Flat CALL: the target is known to be enterable, or null: by way of the run loop. */
#define CALL_FLAT_(bits, pointer_less)                                                                                 \
    static const struct insn *call_slowly##bits(struct interp *cpu, const struct insn *i, uint64_t rip, unsigned slot) \
    {                                                                                                                  \
        uint64_t pointer = (pointer_less);                                                                             \
        check_stack(cpu, i, pointer);                                                                                  \
        st##bits(cpu, i, pointer, (uint##bits##_t)interp_rip_next(cpu, i));                                            \
        check_flat(cpu, i, rip); /* Intel's processors have pushed before they look at the target */                   \
        cpu->r[CPU_RSP].q = pointer;                                                                                   \
        if (slot == 0)                                                                                                 \
            return block_leave_to(cpu, i, rip, slot);                                                                  \
        return interp_end_jump(cpu, i, rip);                                                                           \
    }                                                                                                                  \
    static inline const struct insn *call_flat##bits(struct interp *cpu, const struct insn *i, struct block *target,   \
                                                     uint64_t rip, unsigned slot)                                      \
    {                                                                                                                  \
        uint64_t pointer = (pointer_less);                                                                             \
        uint8_t *host = mem_hit(cpu, pointer, (bits) / 8, TLB_WRITE);                                                  \
        if (UNLIKELY(!target || !host))                                                                                \
            return call_slowly##bits(cpu, i, rip, slot);                                                               \
        host_set##bits(host, (uint##bits##_t)interp_rip_next(cpu, i));                                                 \
        cpu->r[CPU_RSP].q = pointer;                                                                                   \
        return block_enter(cpu, target, rip);                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(call_direct##bits)                                                                                     \
    {                                                                                                                  \
        uint64_t rip = direct_target(cpu, i);                                                                          \
        return call_flat##bits(cpu, i, block_linked_flat(cpu, i, rip, 0), rip, 0);                                     \
    }                                                                                                                  \
    EXEC_STATIC(call_register##bits)                                                                                   \
    {                                                                                                                  \
        uint64_t rip = reg_get##bits(cpu, i->rm);                                                                      \
        return call_flat##bits(cpu, i, block_cached_flat(cpu, rip), rip, 1);                                           \
    }                                                                                                                  \
    EXEC_STATIC(call_memory##bits)                                                                                     \
    {                                                                                                                  \
        uint64_t rip = ld##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_READ));                                     \
        return call_flat##bits(cpu, i, block_cached_flat(cpu, rip), rip, 1);                                           \
    }                                                                                                                  \
    EXEC_STATIC(call_memory_fast##bits)                                                                                \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, ea##bits(cpu, i), (bits) / 8, TLB_READ);                                    \
        if (UNLIKELY(!host))                                                                                           \
            return call_memory##bits(cpu, i);                                                                          \
        uint64_t rip = host_get##bits(host);                                                                           \
        return call_flat##bits(cpu, i, block_cached_flat(cpu, rip), rip, 1);                                           \
    }
CALL_FLAT_(64, cpu->r[CPU_RSP].q - 8)
CALL_FLAT_(32, (uint32_t)(cpu->r[CPU_RSP].d - 4))

EXEC_STATIC(call_segmented)
{
    uint64_t rip = push_and_check(cpu, i, direct_target(cpu, i));

    return block_go_segmented(cpu, i, rip, 0);
}

#define CALL_SEGMENTED_(bits, unused)                                                                                  \
    EXEC_STATIC(call_segmented##bits)                                                                                  \
    {                                                                                                                  \
        uint64_t rip = (uint##bits##_t)direct_target(cpu, i), pointer = cpu->r[CPU_RSP].q - (bits) / 8;                \
        struct block *target = block_linked_segmented(cpu, i, rip, 0);                                                 \
        uint8_t *host = exec_stack_hit(cpu, pointer, (bits) / 8, TLB_WRITE);                                           \
        if (UNLIKELY(!target || !host || rip > cpu->rip_limit))                                                        \
            return call_segmented(cpu, i);                                                                             \
        host_set##bits(host, (uint##bits##_t)interp_rip_next(cpu, i));                                                 \
        exec_stack_set(cpu, pointer);                                                                                  \
        return block_enter(cpu, target, rip);                                                                          \
    }
CALL_SEGMENTED_(16, )
CALL_SEGMENTED_(32, )

static const struct insn_forms call_forms64 = {.fn = {[3] = {call_direct64}}};
static const struct insn_forms call_forms32 = {.fn = {[2] = {call_direct32}}};
const struct insn_forms call_forms = {
    .fn = {[1] = {call_segmented16}, [2] = {call_segmented32}}, .code64 = &call_forms64, .flat32 = &call_forms32};

/* ---- indirect JMP and CALL ------------------------------------------------------------------------------------ */

#define JMP_INDIRECT_(bits)                                                                                            \
    static const struct insn *jmp_slowly##bits(struct interp *cpu, const struct insn *i, uint64_t rip)                 \
    {                                                                                                                  \
        check_flat(cpu, i, rip);                                                                                       \
        return END_JUMP(rip);                                                                                          \
    }                                                                                                                  \
    static inline const struct insn *jmp_flat##bits(struct interp *cpu, const struct insn *i, uint64_t rip)            \
    {                                                                                                                  \
        struct block *target = block_cached_flat(cpu, rip);                                                            \
        return target ? block_enter(cpu, target, rip) : jmp_slowly##bits(cpu, i, rip);                                 \
    }                                                                                                                  \
    EXEC_STATIC(jmp_register##bits)                                                                                    \
    {                                                                                                                  \
        return jmp_flat##bits(cpu, i, reg_get##bits(cpu, i->rm));                                                      \
    }                                                                                                                  \
    EXEC_STATIC(jmp_memory##bits)                                                                                      \
    {                                                                                                                  \
        return jmp_flat##bits(cpu, i, ld##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_READ)));                     \
    }                                                                                                                  \
    EXEC_STATIC(jmp_memory_fast##bits)                                                                                 \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, ea##bits(cpu, i), (bits) / 8, TLB_READ);                                    \
        return UNLIKELY(!host) ? jmp_memory##bits(cpu, i) : jmp_flat##bits(cpu, i, host_get##bits(host));              \
    }
JMP_INDIRECT_(64)
JMP_INDIRECT_(32)

/* Not yet looked at. */
static uint64_t indirect_target(struct interp *cpu, const struct insn *i)
{
    if (i->modrm >= 0xC0)
        return cpu->r[i->rm].q;
    unsigned size_bytes = insn_osize_bytes(i);
    uint64_t linear = ea_general(cpu, i, size_bytes, TLB_READ);
    return size_bytes == 2 ? ld16(cpu, i, linear) : ld32(cpu, i, linear);
}

EXEC_STATIC(jmp_indirect_segmented)
{
    return END_JUMP(block_target_segmented(cpu, i, indirect_target(cpu, i)));
}

EXEC_STATIC(call_indirect_segmented)
{
    return END_JUMP(push_and_check(cpu, i, indirect_target(cpu, i)));
}

#define INDIRECT_FORMS_(name)                                                                                          \
    static const struct insn_forms name##_indirect64 = {                                                               \
        .fn = {[3] = {name##_register64, name##_memory_fast64, name##_memory64, name##_memory64}}};                    \
    static const struct insn_forms name##_indirect32 = {                                                               \
        .fn = {[2] = {name##_register32, name##_memory32, name##_memory_fast32, name##_memory32}}};                    \
    const struct insn_forms name##_indirect_forms = {                                                                  \
        .fn = {[1] = FORMS_ROW_(name##_indirect_segmented, name##_indirect_segmented),                                 \
               [2] = FORMS_ROW_(name##_indirect_segmented, name##_indirect_segmented)},                                \
        .code64 = &name##_indirect64,                                                                                  \
        .flat32 = &name##_indirect32};
INDIRECT_FORMS_(jmp)
INDIRECT_FORMS_(call)

/* ---- RET ------------------------------------------------------------------------------------------------------ */

#define RET_FLAT_(bits, pointer_now, pointer_more)                                                                     \
    EXEC_STATIC(ret_slowly##bits)                                                                                      \
    {                                                                                                                  \
        check_stack(cpu, i, (pointer_now));                                                                            \
        uint64_t rip = ld##bits(cpu, i, (pointer_now));                                                                \
        check_flat(cpu, i, rip);                                                                                       \
        cpu->r[CPU_RSP].q = (pointer_more);                                                                            \
        return END_JUMP(rip);                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(ret_flat##bits)                                                                                        \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, (pointer_now), (bits) / 8, TLB_READ);                                       \
        if (UNLIKELY(!host))                                                                                           \
            return ret_slowly##bits(cpu, i);                                                                           \
        uint64_t rip = host_get##bits(host);                                                                           \
        struct block *target = block_cached_flat(cpu, rip);                                                            \
        if (UNLIKELY(!target))                                                                                         \
            return ret_slowly##bits(cpu, i);                                                                           \
        cpu->r[CPU_RSP].q = (pointer_more);                                                                            \
        return block_enter(cpu, target, rip);                                                                          \
    }
RET_FLAT_(64, cpu->r[CPU_RSP].q, cpu->r[CPU_RSP].q + 8 + i->imm)
RET_FLAT_(32, cpu->r[CPU_RSP].d, (uint32_t)(cpu->r[CPU_RSP].d + 4u + (uint32_t)i->imm))

EXEC_STATIC(ret_segmented)
{
    unsigned size_bytes = insn_osize_bytes(i);
    uint64_t pointer = exec_stack_offset(cpu, cpu->r[CPU_RSP].q);
    uint64_t linear = seg_linear_inline(cpu, i, CPU_SS, pointer, size_bytes, TLB_READ);
    uint64_t rip = block_target_segmented(cpu, i, size_bytes == 2 ? ld16(cpu, i, linear) : ld32(cpu, i, linear));

    exec_stack_set(cpu, cpu->r[CPU_RSP].q + size_bytes + i->imm);
    return END_JUMP(rip);
}

#define RET_SEGMENTED_(bits, unused)                                                                                   \
    EXEC_STATIC(ret_segmented##bits)                                                                                   \
    {                                                                                                                  \
        uint64_t pointer = cpu->r[CPU_RSP].q;                                                                          \
        const uint8_t *host = exec_stack_hit(cpu, pointer, (bits) / 8, TLB_READ);                                      \
        if (UNLIKELY(!host))                                                                                           \
            return ret_segmented(cpu, i);                                                                              \
        uint64_t rip = host_get##bits(host);                                                                           \
        struct block *target = block_cached_segmented(cpu, rip);                                                       \
        if (UNLIKELY(!target || rip > cpu->rip_limit))                                                                 \
            return ret_segmented(cpu, i);                                                                              \
        exec_stack_set(cpu, pointer + (bits) / 8 + i->imm);                                                            \
        return block_enter(cpu, target, rip);                                                                          \
    }
RET_SEGMENTED_(16, )
RET_SEGMENTED_(32, )

static const struct insn_forms ret_forms64 = {.fn = {[3] = {ret_flat64}}};
static const struct insn_forms ret_forms32 = {.fn = {[2] = {ret_flat32}}};
const struct insn_forms ret_forms = {
    .fn = {[1] = {ret_segmented16}, [2] = {ret_segmented32}}, .code64 = &ret_forms64, .flat32 = &ret_forms32};
