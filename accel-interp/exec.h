/* What the exec_*.c files of the integer set share: register access by width, and the memory shapes.
 *
 * A memory instruction is four functions. `name_any` takes any address (ea_general) and the slow path of mem.h;
 * `name_b64`, `name_m64`, `name_m32` and `name_seg` do only the TLB hit in their kind of address and hand everything else to
 * name_any as a tail call, so that they need no stack frame. */
#ifndef VMRR_ACCEL_INTERP_EXEC_H
#define VMRR_ACCEL_INTERP_EXEC_H

#include "accel-interp/flags.h"
#include "accel-interp/forms.h"
#include "accel-interp/mem.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* An instruction function that only its own file names. */
#define EXEC_STATIC(name) static const struct insn *name(struct interp *cpu, const struct insn *i)

/* Register operands by width; 8-bit ones are byte offsets (interp.h). */
static inline uint8_t reg_get8(const struct interp *cpu, unsigned n)
{
    return ((const uint8_t *)cpu->r)[n];
}
static inline uint16_t reg_get16(const struct interp *cpu, unsigned n)
{
    return cpu->r[n].w;
}
static inline uint32_t reg_get32(const struct interp *cpu, unsigned n)
{
    return cpu->r[n].d;
}
static inline uint64_t reg_get64(const struct interp *cpu, unsigned n)
{
    return cpu->r[n].q;
}
static inline void reg_set8(struct interp *cpu, unsigned n, uint8_t v)
{
    ((uint8_t *)cpu->r)[n] = v;
}
/* Written whole: a store of 16 bits would make the host wait when the next instruction reads 64, as addresses do. */
static inline void reg_set16(struct interp *cpu, unsigned n, uint16_t v)
{
    cpu->r[n].q = (cpu->r[n].q & ~0xFFFFull) | v;
}
static inline void reg_set32(struct interp *cpu, unsigned n, uint32_t v)
{
    cpu->r[n].q = v;
}
static inline void reg_set64(struct interp *cpu, unsigned n, uint64_t v)
{
    cpu->r[n].q = v;
}

/* Byte offsets of the legacy 8-bit registers. */
enum { REG_AL = 0, REG_AH = 1, REG_CL = 8, REG_CH = 9 };

/* Host memory as guest values: no alignment, no aliasing rules. */
#define HOST_ACCESSORS_(bits)                                                                                          \
    static inline uint##bits##_t host_get##bits(const uint8_t *host)                                                   \
    {                                                                                                                  \
        uint##bits##_t value;                                                                                          \
        memcpy(&value, host, sizeof value);                                                                            \
        return value;                                                                                                  \
    }                                                                                                                  \
    static inline void host_set##bits(uint8_t *host, uint##bits##_t value)                                             \
    {                                                                                                                  \
        memcpy(host, &value, sizeof value);                                                                            \
    }
HOST_ACCESSORS_(8)
HOST_ACCESSORS_(16)
HOST_ACCESSORS_(32)
HOST_ACCESSORS_(64)

/* Host address of a memory operand that hits the TLB, else null: the kinds of address. */
static inline uint8_t *exec_hit_base64(struct interp *cpu, const struct insn *i, unsigned size_bytes,
                                       enum tlb_access access)
{
    return mem_hit(cpu, ea_base64(cpu, i), size_bytes, access);
}
static inline uint8_t *exec_hit_64(struct interp *cpu, const struct insn *i, unsigned size_bytes,
                                   enum tlb_access access)
{
    return mem_hit(cpu, ea64(cpu, i), size_bytes, access);
}
static inline uint8_t *exec_hit_32(struct interp *cpu, const struct insn *i, unsigned size_bytes,
                                   enum tlb_access access)
{
    return mem_hit(cpu, ea32(cpu, i), size_bytes, access);
}
/* Always inline: as a function of its own it costs its callers their tail call's frame. */
static const uint64_t exec_offset_mask[4] = {0xFF, 0xFFFF, UINT32_MAX, UINT64_MAX}; /* by insn_asize */
static inline __attribute__((always_inline)) uint8_t *exec_hit_seg(struct interp *cpu, const struct insn *i,
                                                                   unsigned size_bytes, enum tlb_access access)
{
    const struct seg *seg = &cpu->seg[i->seg];
    uint64_t offset = ea_offset(cpu, i) & exec_offset_mask[insn_asize(i)];
    uint64_t linear = seg->base + offset;

    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64) {
        if (UNLIKELY(offset + size_bytes > seg->end[access]))
            return NULL;
        linear = (uint32_t)linear;
    }
    return mem_hit(cpu, linear, size_bytes, access);
}

/* The stack of segmented code: pointers count modulo its width. In 64-bit code (16-bit PUSH and POP) there is no hit. */
static inline uint64_t exec_stack_offset(const struct interp *cpu, uint64_t pointer)
{
    return cpu->mode & MODE_STACK32 ? (uint32_t)pointer : (uint16_t)pointer;
}
static inline void exec_stack_set(struct interp *cpu, uint64_t pointer)
{
    if (cpu->mode & MODE_STACK32)
        cpu->r[CPU_RSP].q = (uint32_t)pointer;
    else
        reg_set16(cpu, CPU_RSP, (uint16_t)pointer);
}
static inline uint8_t *exec_stack_hit(struct interp *cpu, uint64_t pointer, unsigned size_bytes, enum tlb_access access)
{
    const struct seg *seg = &cpu->seg[CPU_SS];
    uint64_t offset = exec_stack_offset(cpu, pointer);

    if (UNLIKELY((cpu->mode & MODE_CODE_MASK) == MODE_CODE64 || offset + size_bytes > seg->end[access]))
        return NULL;
    return mem_hit(cpu, (uint32_t)(seg->base + offset), size_bytes, access);
}

/* Instruction with a memory source: `use` is an expression statement over `src`. */
#define EXEC_LOAD(name, bits, use)                                                                                     \
    EXEC_STATIC(name##_any)                                                                                            \
    {                                                                                                                  \
        mem_goes_on(cpu, i);                                                                                           \
        uint##bits##_t src = ld##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_READ));                               \
        use;                                                                                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_LOAD_FAST_(name, bits, use, b64, exec_hit_base64)                                                             \
    EXEC_LOAD_FAST_(name, bits, use, m64, exec_hit_64)                                                                 \
    EXEC_LOAD_FAST_(name, bits, use, m32, exec_hit_32)                                                                 \
    EXEC_LOAD_FAST_(name, bits, use, seg, exec_hit_seg)
#define EXEC_LOAD_FAST_(name, bits, use, kind, hit)                                                                    \
    EXEC_STATIC(name##_##kind)                                                                                         \
    {                                                                                                                  \
        const uint8_t *host = hit(cpu, i, (bits) / 8, TLB_READ);                                                       \
        if (UNLIKELY(!host))                                                                                           \
            return name##_any(cpu, i);                                                                                 \
        uint##bits##_t src = host_get##bits(host);                                                                     \
        use;                                                                                                           \
        NEXT;                                                                                                          \
    }

/* Memory destination, not read. */
#define EXEC_STORE(name, bits, value)                                                                                  \
    EXEC_STATIC(name##_any)                                                                                            \
    {                                                                                                                  \
        mem_goes_on(cpu, i);                                                                                           \
        uint64_t linear = ea_general(cpu, i, (bits) / 8, TLB_WRITE);                                                   \
        st##bits(cpu, i, linear, (uint##bits##_t)(value));                                                             \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STORE_FAST_(name, bits, value, b64, exec_hit_base64)                                                          \
    EXEC_STORE_FAST_(name, bits, value, m64, exec_hit_64)                                                              \
    EXEC_STORE_FAST_(name, bits, value, m32, exec_hit_32)                                                              \
    EXEC_STORE_FAST_(name, bits, value, seg, exec_hit_seg)
#define EXEC_STORE_FAST_(name, bits, value, kind, hit)                                                                 \
    EXEC_STATIC(name##_##kind)                                                                                         \
    {                                                                                                                  \
        uint8_t *host = hit(cpu, i, (bits) / 8, TLB_WRITE);                                                            \
        if (UNLIKELY(!host))                                                                                           \
            return name##_any(cpu, i);                                                                                 \
        host_set##bits(host, (uint##bits##_t)(value));                                                                 \
        NEXT;                                                                                                          \
    }

/* Memory destination, read and written: `result` is an expression over `dst`, evaluated once, flags included. `after`
 * is a statement for when the write can't be abandoned any more.
 *
 * A store into a page of decoded code may abandon the instruction after `result` was computed (block_code_written), so
 * the slow function holds the new flags back until the write is done. */
#define EXEC_MODIFY(name, bits, result, after)                                                                         \
    EXEC_STATIC(name##_any)                                                                                            \
    {                                                                                                                  \
        mem_goes_on(cpu, i);                                                                                           \
        struct rmw m;                                                                                                  \
        uint64_t linear = ea_general(cpu, i, (bits) / 8, TLB_WRITE);                                                   \
        uint##bits##_t dst = rmw_ld##bits(cpu, i, linear, &m);                                                         \
        uint64_t old_result = cpu->lf_result, old_aux = cpu->lf_aux;                                                   \
        uint##bits##_t out_ = (uint##bits##_t)(result);                                                                \
        uint64_t new_result = cpu->lf_result, new_aux = cpu->lf_aux;                                                   \
        cpu->lf_result = old_result;                                                                                   \
        cpu->lf_aux = old_aux;                                                                                         \
        rmw_st##bits(cpu, i, &m, out_);                                                                                \
        cpu->lf_result = new_result;                                                                                   \
        cpu->lf_aux = new_aux;                                                                                         \
        after;                                                                                                         \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_MODIFY_FAST_(name, bits, result, after, b64, exec_hit_base64)                                                 \
    EXEC_MODIFY_FAST_(name, bits, result, after, m64, exec_hit_64)                                                     \
    EXEC_MODIFY_FAST_(name, bits, result, after, m32, exec_hit_32)                                                     \
    EXEC_MODIFY_FAST_(name, bits, result, after, seg, exec_hit_seg)
#define EXEC_MODIFY_FAST_(name, bits, result, after, kind, hit)                                                        \
    EXEC_STATIC(name##_##kind)                                                                                         \
    {                                                                                                                  \
        uint8_t *host = hit(cpu, i, (bits) / 8, TLB_WRITE);                                                            \
        if (UNLIKELY(!host))                                                                                           \
            return name##_any(cpu, i);                                                                                 \
        uint##bits##_t dst = host_get##bits(host);                                                                     \
        host_set##bits(host, (uint##bits##_t)(result));                                                                \
        after;                                                                                                         \
        NEXT;                                                                                                          \
    }

#define EXEC_REG(name, ...)                                                                                            \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
        NEXT;                                                                                                          \
    }

/* Tables (forms.h) over the names made above: name8.. name64. */
#define FORMS_ENTRY_(name)                                                                                             \
    {                                                                                                                  \
        name##_reg, name##_m64, name##_m32, name##_seg, name##_b64                                                     \
    }
#define FORMS_ENTRY_MEM_(name)                                                                                         \
    {                                                                                                                  \
        0, name##_m64, name##_m32, name##_seg, name##_b64                                                              \
    }
#define FORMS_SIZES(table, name)                                                                                       \
    const struct insn_forms table = {                                                                                  \
        .fn = {FORMS_ENTRY_(name##8), FORMS_ENTRY_(name##16), FORMS_ENTRY_(name##32), FORMS_ENTRY_(name##64)}}
#define FORMS_SIZES_NOT8(table, name)                                                                                  \
    const struct insn_forms table = {                                                                                  \
        .fn = {{0}, FORMS_ENTRY_(name##16), FORMS_ENTRY_(name##32), FORMS_ENTRY_(name##64)}}
#define FORMS_SIZES_REG(table, name)                                                                                   \
    const struct insn_forms table = {.fn = {{name##8_reg}, {name##16_reg}, {name##32_reg}, {name##64_reg}}}

#define EXEC_ALL_SIZES(M, ...) M(8, __VA_ARGS__) M(16, __VA_ARGS__) M(32, __VA_ARGS__) M(64, __VA_ARGS__)
#define EXEC_SIZES_NOT8(M, ...) M(16, __VA_ARGS__) M(32, __VA_ARGS__) M(64, __VA_ARGS__)

#endif
