/* PUSH and POP of registers, immediates and memory, PUSHA POPA, PUSHF POPF, ENTER, LEAVE. The common ones have
 * functions for 64-bit code and for flat 32-bit code of their own; the others ask for the stack's width and segment. */
#include "accel-interp/exec.h"
#include "accel-interp/segment.h"

/* The general stack: a pointer that wraps at the stack's width; nothing of the CPU changes before stack_set. */
static uint64_t stack_offset(const struct interp *cpu, int64_t delta)
{
    uint64_t offset = cpu->r[CPU_RSP].q + (uint64_t)delta;

    if ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64)
        return offset;
    return cpu->mode & MODE_STACK32 ? (uint32_t)offset : (uint16_t)offset;
}

static void stack_set(struct interp *cpu, uint64_t offset)
{
    if (cpu->mode & MODE_STACK32)
        cpu->r[CPU_RSP].q = offset;
    else
        reg_set16(cpu, CPU_RSP, (uint16_t)offset);
}

static uint64_t stack_linear(struct interp *cpu, const struct insn *i, int64_t delta, unsigned size_bytes,
                             enum tlb_access access)
{
    uint64_t offset = stack_offset(cpu, delta);

    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64)
        return seg_linear(cpu, i, CPU_SS, offset, size_bytes, access);
    if (!mmu_canonical(offset) || !mmu_canonical(offset + size_bytes - 1))
        RAISE_ERROR(EXC_SS, 0);
    return offset;
}

#define EXEC_ANY(name, ...)                                                                                            \
    EXEC_STATIC(name##_any)                                                                                            \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }

#define STACK_GENERAL(bits, unused)                                                                                    \
    /* Writes at RSP + delta; the caller moves RSP. */                                                                 \
    static inline void stack_write##bits(struct interp *cpu, const struct insn *i, int64_t delta, uint##bits##_t v)    \
    {                                                                                                                  \
        st##bits(cpu, i, stack_linear(cpu, i, delta, (bits) / 8, TLB_WRITE), v);                                       \
    }                                                                                                                  \
    static inline uint##bits##_t stack_read##bits(struct interp *cpu, const struct insn *i, int64_t delta)             \
    {                                                                                                                  \
        return ld##bits(cpu, i, stack_linear(cpu, i, delta, (bits) / 8, TLB_READ));                                    \
    }                                                                                                                  \
    static inline void stack_push##bits(struct interp *cpu, const struct insn *i, uint##bits##_t v)                    \
    {                                                                                                                  \
        stack_write##bits(cpu, i, -((bits) / 8), v);                                                                   \
        stack_set(cpu, stack_offset(cpu, -((bits) / 8)));                                                              \
    }                                                                                                                  \
    static inline uint##bits##_t stack_pop##bits(struct interp *cpu, const struct insn *i)                             \
    {                                                                                                                  \
        uint##bits##_t v = stack_read##bits(cpu, i, 0);                                                                \
        stack_set(cpu, stack_offset(cpu, (bits) / 8));                                                                 \
        return v;                                                                                                      \
    }                                                                                                                  \
    EXEC_ANY(push_z##bits, stack_push##bits(cpu, i, reg_get##bits(cpu, i->reg)))                                       \
    EXEC_ANY(push_i##bits, stack_push##bits(cpu, i, (uint##bits##_t)i->imm))                                           \
    EXEC_ANY(push_er##bits, stack_push##bits(cpu, i, reg_get##bits(cpu, i->rm)))                                       \
    EXEC_LOAD(push_e##bits, bits, stack_push##bits(cpu, i, src))                                                       \
    EXEC_ANY(pop_z##bits, uint##bits##_t v = stack_pop##bits(cpu, i); reg_set##bits(cpu, i->reg, v))                   \
    EXEC_ANY(pop_er##bits, uint##bits##_t v = stack_pop##bits(cpu, i); reg_set##bits(cpu, i->rm, v))                   \
    /* The address is computed with RSP as it will be after the pop. */                                                \
    EXEC_STATIC(pop_m##bits)                                                                                           \
    {                                                                                                                  \
        uint##bits##_t v = stack_read##bits(cpu, i, 0);                                                                \
        uint64_t offset = ea_offset(cpu, i) + (i->base == CPU_RSP ? (bits) / 8 : 0);                                   \
        st##bits(cpu, i, seg_linear(cpu, i, i->seg, ea_mask(offset, insn_asize(i)), (bits) / 8, TLB_WRITE), v);        \
        stack_set(cpu, stack_offset(cpu, (bits) / 8));                                                                 \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(leave##bits##_any)                                                                                     \
    {                                                                                                                  \
        int64_t delta = (int64_t)(cpu->r[CPU_RBP].q - cpu->r[CPU_RSP].q);                                              \
        uint##bits##_t v = stack_read##bits(cpu, i, delta);                                                            \
        stack_set(cpu, stack_offset(cpu, delta + (bits) / 8));                                                         \
        reg_set##bits(cpu, CPU_RBP, v);                                                                                \
        NEXT;                                                                                                          \
    }
EXEC_SIZES_NOT8(STACK_GENERAL, )

/* The fast ones: a TLB hit, or else the general function. Segmented code first, then 64-bit and flat 32-bit code, whose
 * stack pointer is as wide as the operand. */
#define STACK_PUSH_FAST(name, bits, value)                                                                             \
    EXEC_STATIC(name##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint64_t rsp = cpu->r[CPU_RSP].q - (bits) / 8;                                                                 \
        uint8_t *host = exec_stack_hit(cpu, rsp, (bits) / 8, TLB_WRITE);                                               \
        if (UNLIKELY(!host))                                                                                           \
            return name##bits##_any(cpu, i);                                                                           \
        host_set##bits(host, (uint##bits##_t)(value));                                                                 \
        exec_stack_set(cpu, rsp);                                                                                      \
        NEXT;                                                                                                          \
    }
#define STACK_POP_FAST(name, bits, from, to)                                                                           \
    EXEC_STATIC(name##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint64_t rsp = cpu->r[from].q;                                                                                 \
        const uint8_t *host = exec_stack_hit(cpu, rsp, (bits) / 8, TLB_READ);                                          \
        if (UNLIKELY(!host))                                                                                           \
            return name##bits##_any(cpu, i);                                                                           \
        uint##bits##_t v = host_get##bits(host);                                                                       \
        exec_stack_set(cpu, rsp + (bits) / 8);                                                                         \
        reg_set##bits(cpu, to, v);                                                                                     \
        NEXT;                                                                                                          \
    }
#define STACK_PUSH_FLAT(name, bits, value)                                                                             \
    EXEC_STATIC(name##bits##_flat)                                                                                     \
    {                                                                                                                  \
        uint64_t rsp = (uint##bits##_t)(cpu->r[CPU_RSP].q - (bits) / 8);                                               \
        uint8_t *host = mem_hit(cpu, rsp, (bits) / 8, TLB_WRITE);                                                      \
        if (UNLIKELY(!host))                                                                                           \
            return name##bits##_any(cpu, i);                                                                           \
        host_set##bits(host, (uint##bits##_t)(value));                                                                 \
        cpu->r[CPU_RSP].q = rsp;                                                                                       \
        NEXT;                                                                                                          \
    }
#define STACK_POP_FLAT(name, bits, from, to)                                                                           \
    EXEC_STATIC(name##bits##_flat)                                                                                     \
    {                                                                                                                  \
        uint64_t rsp = (uint##bits##_t)cpu->r[from].q;                                                                 \
        const uint8_t *host = mem_hit(cpu, rsp, (bits) / 8, TLB_READ);                                                 \
        if (UNLIKELY(!host))                                                                                           \
            return name##bits##_any(cpu, i);                                                                           \
        uint##bits##_t v = host_get##bits(host);                                                                       \
        cpu->r[CPU_RSP].q = (uint##bits##_t)(rsp + (bits) / 8);                                                        \
        reg_set##bits(cpu, to, v);                                                                                     \
        NEXT;                                                                                                          \
    }
#define STACK_FAST(bits, suffix)                                                                                       \
    STACK_PUSH_##suffix(push_z, bits, reg_get##bits(cpu, i->reg)) STACK_PUSH_##suffix(push_i, bits, i->imm)            \
        STACK_PUSH_##suffix(push_er, bits, reg_get##bits(cpu, i->rm)) STACK_POP_##suffix(pop_z, bits, CPU_RSP, i->reg) \
            STACK_POP_##suffix(pop_er, bits, CPU_RSP, i->rm) STACK_POP_##suffix(leave, bits, CPU_RBP, CPU_RBP)
STACK_FAST(16, FAST)
STACK_FAST(32, FAST)
STACK_FAST(32, FLAT)
STACK_FAST(64, FLAT)

#define STACK_FORMS(name)                                                                                              \
    static const struct insn_forms forms_##name##_code64 = {.fn = {{0}, {0}, {0}, {name##64_flat}}};                   \
    static const struct insn_forms forms_##name##_flat32 = {.fn = {{0}, {0}, {name##32_flat}, {0}}};                   \
    const struct insn_forms forms_##name = {.fn = {{0}, {name##16_reg}, {name##32_reg}, {0}},                          \
                                            .code64 = &forms_##name##_code64,                                          \
                                            .flat32 = &forms_##name##_flat32}
STACK_FORMS(push_z);
STACK_FORMS(push_i);
STACK_FORMS(pop_z);
STACK_FORMS(leave);
static const struct insn_forms forms_push_e_code64 = {.fn = {{0}, {0}, {0}, {push_er64_flat}}};
static const struct insn_forms forms_push_e_flat32 = {.fn = {{0}, {0}, {push_er32_flat}, {0}}};
const struct insn_forms forms_push_e = {.fn = {{0},
                                               {push_er16_reg, push_e16_m64, push_e16_m32, push_e16_seg, push_e16_b64},
                                               {push_er32_reg, push_e32_m64, push_e32_m32, push_e32_seg, push_e32_b64},
                                               FORMS_ENTRY_MEM_(push_e64)},
                                        .code64 = &forms_push_e_code64,
                                        .flat32 = &forms_push_e_flat32};
static const struct insn_forms forms_pop_e_code64 = {.fn = {{0}, {0}, {0}, {pop_er64_flat}}};
static const struct insn_forms forms_pop_e_flat32 = {.fn = {{0}, {0}, {pop_er32_flat}, {0}}};
const struct insn_forms forms_pop_e = {
    .fn = {{0}, FORMS_ROW_(pop_er16_reg, pop_m16), FORMS_ROW_(pop_er32_reg, pop_m32), FORMS_ROW_(0, pop_m64)},
    .code64 = &forms_pop_e_code64,
    .flat32 = &forms_pop_e_flat32};

/* PUSHA, POPA: RAX RCX RDX RBX RSP RBP RSI RDI from high to low. POPA skips RSP. */
#define STACK_ALL(bits)                                                                                                \
    EXEC_STATIC(pusha##bits)                                                                                           \
    {                                                                                                                  \
        for (unsigned n = 0; n < 8; n++)                                                                               \
            stack_write##bits(cpu, i, -((bits) / 8) * (int64_t)(n + 1), reg_get##bits(cpu, n));                        \
        stack_set(cpu, stack_offset(cpu, -(bits)));                                                                    \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(popa##bits)                                                                                            \
    {                                                                                                                  \
        uint##bits##_t value[8];                                                                                       \
        for (unsigned n = 8; n-- > 0;) /* as it pops: a fault is at the first one that is not there */                 \
            value[n] = stack_read##bits(cpu, i, ((bits) / 8) * (int64_t)(7 - n));                                      \
        stack_set(cpu, stack_offset(cpu, (bits)));                                                                     \
        for (unsigned n = 0; n < 8; n++)                                                                               \
            if (n != CPU_RSP)                                                                                          \
                reg_set##bits(cpu, n, value[n]);                                                                       \
        NEXT;                                                                                                          \
    }
STACK_ALL(16)
STACK_ALL(32)
const struct insn_forms forms_pusha = {.fn = {{0}, {pusha16}, {pusha32}, {0}}};
const struct insn_forms forms_popa = {.fn = {{0}, {popa16}, {popa32}, {0}}};

/* PUSHF, POPF. In virtual-8086 mode with an IOPL below 3 they are allowed with VME and 16 bits, and mean VIF by IF. */
static bool virtual_if(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->sysflags & FLAG_VM) || (cpu->sysflags & FLAG_IOPL) == FLAG_IOPL)
        return false;
    if (!(cpu->cr4 & CR4_VME) || insn_osize(i) != 1)
        RAISE_ERROR(EXC_GP, 0);
    return true;
}

static uint64_t pushf_image(struct interp *cpu, const struct insn *i)
{
    uint64_t flags = cpu_read_rflags(cpu) & ~(uint64_t)(FLAG_VM | FLAG_RF);

    if (virtual_if(cpu, i))
        flags = (flags & ~(uint64_t)FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
    return flags;
}

#define PUSHF_FUNCTION(bits, unused)                                                                                   \
    EXEC_STATIC(pushf##bits)                                                                                           \
    {                                                                                                                  \
        stack_push##bits(cpu, i, (uint##bits##_t)pushf_image(cpu, i));                                                 \
        NEXT;                                                                                                          \
    }
EXEC_SIZES_NOT8(PUSHF_FUNCTION, )
const struct insn_forms forms_pushf = {.fn = {{0}, {pushf16}, {pushf32}, {pushf64}}};

static void popf_write(struct interp *cpu, const struct insn *i, uint64_t value, bool upper_half)
{
    uint64_t old = cpu_read_rflags(cpu), may = FLAG_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

    if (virtual_if(cpu, i)) {
        if ((value & FLAG_TF) || ((value & FLAG_IF) && (old & FLAG_VIP)))
            RAISE_ERROR(EXC_GP, 0);
        old = (old & ~(uint64_t)FLAG_VIF) | (value & FLAG_IF ? FLAG_VIF : 0);
    }

    if (cpu->cpl == 0)
        may |= FLAG_IOPL;
    if (cpu->cpl <= (cpu->sysflags & FLAG_IOPL) >> 12)
        may |= FLAG_IF;
    if (upper_half) {
        may |= FLAG_AC | FLAG_ID;
        old &= ~(uint64_t)(FLAG_RF | (cpu->sysflags & FLAG_VM ? 0 : FLAG_VIF | FLAG_VIP));
    }
    cpu_write_rflags(cpu, (old & ~may) | (value & may));
}
#define POPF_FUNCTION(bits, unused)                                                                                    \
    EXEC_STATIC(popf##bits)                                                                                            \
    {                                                                                                                  \
        (void)virtual_if(cpu, i);                                                                                      \
        uint##bits##_t value = stack_read##bits(cpu, i, 0);                                                            \
        popf_write(cpu, i, value, (bits) > 16);                                                                        \
        stack_set(cpu, stack_offset(cpu, (bits) / 8));                                                                 \
        return END_FALL();                                                                                             \
    }
EXEC_SIZES_NOT8(POPF_FUNCTION, )
const struct insn_forms forms_popf = {.fn = {{0}, {popf16}, {popf32}, {popf64}}};

/* ENTER: imm is the frame's size, and the nesting level above it. The old frame pointers are read at RBP, downwards;
 * the new top of the stack must be writable. */
#define ENTER_FUNCTION(bits, unused)                                                                                   \
    EXEC_STATIC(enter##bits)                                                                                           \
    {                                                                                                                  \
        unsigned allocate = i->imm & 0xFFFF, level = (i->imm >> 16) & 31;                                              \
        int64_t delta = -((bits) / 8);                                                                                 \
        uint64_t frame = stack_offset(cpu, delta);                                                                     \
        stack_write##bits(cpu, i, delta, reg_get##bits(cpu, CPU_RBP));                                                 \
        for (unsigned n = 1; n < level; n++) {                                                                         \
            int64_t from = (int64_t)(cpu->r[CPU_RBP].q - cpu->r[CPU_RSP].q) - (int64_t)n * ((bits) / 8);               \
            uint##bits##_t pointer = stack_read##bits(cpu, i, from);                                                   \
            delta -= (bits) / 8;                                                                                       \
            stack_write##bits(cpu, i, delta, pointer);                                                                 \
        }                                                                                                              \
        if (level) {                                                                                                   \
            delta -= (bits) / 8;                                                                                       \
            stack_write##bits(cpu, i, delta, (uint##bits##_t)frame);                                                   \
        }                                                                                                              \
        delta -= (int64_t)allocate;                                                                                    \
        struct rmw probe;                                                                                              \
        (void)rmw_ld##bits(cpu, i, stack_linear(cpu, i, delta, (bits) / 8, TLB_WRITE), &probe);                        \
        stack_set(cpu, stack_offset(cpu, delta));                                                                      \
        reg_set##bits(cpu, CPU_RBP, (uint##bits##_t)frame);                                                            \
        NEXT;                                                                                                          \
    }
EXEC_SIZES_NOT8(ENTER_FUNCTION, )
const struct insn_forms forms_enter = {.fn = {{0}, {enter16}, {enter32}, {enter64}}};
