/* MOVS STOS LODS CMPS SCAS, single and repeated.
 *
 * A repeated instruction runs in slices (core/position.h): a slice ends where the count register is a multiple of
 * REP_SLICE_ITERATIONS, so where it ends is the same after a fault or an abandoned attempt in its middle. RIP stays
 * until the last slice. The registers are brought up to date before anything that may fault.
 *
 * Within a slice, runs of elements that lie in one page each and hit the TLB are done on host memory; anything else
 * goes element by element through mem.h. CMPS and SCAS set flags when the last slice is done: a fault leaves them as
 * they were (SDM vol. 2, CMPS). */
#include "accel-interp/alu.h"
#include "accel-interp/exec.h"
#include "accel-interp/run_control.h"
#include "accel-interp/segment.h"

static inline uint64_t string_mask(const struct insn *i)
{
    unsigned asize = insn_asize(i);
    return asize == 3 ? UINT64_MAX : asize == 2 ? UINT32_MAX : 0xFFFFu;
}

/* A register that counts or points, moved by delta at the address size. */
static inline void string_move(struct interp *cpu, const struct insn *i, unsigned reg, uint64_t delta)
{
    switch (insn_asize(i)) {
    case 3: cpu->r[reg].q += delta; break;
    case 2: cpu->r[reg].q = (uint32_t)(cpu->r[reg].q + delta); break;
    default: reg_set16(cpu, reg, (uint16_t)(cpu->r[reg].w + delta));
    }
}

/* With 32-bit addresses in 64-bit code a repeated instruction clears the upper half of its count, even if the count is
 * 0 or its first access faults; MOVS and STOS those of their pointers too. used: bit n for register n. */
static inline void string_truncate(struct interp *cpu, const struct insn *i, unsigned used)
{
    if (insn_asize(i) != 2)
        return;
    for (unsigned reg = 0; reg < 8; reg++)
        if (used & (1u << reg))
            cpu->r[reg].q = cpu->r[reg].d;
}
#define MOVS_CLEARS (1u << CPU_RCX | 1u << CPU_RSI | 1u << CPU_RDI)
#define STOS_CLEARS (1u << CPU_RCX | 1u << CPU_RDI)
#define LODS_CLEARS (1u << CPU_RCX)

static inline uint64_t string_linear(struct interp *cpu, const struct insn *i, unsigned reg, unsigned seg,
                                     unsigned size_bytes, enum tlb_access access)
{
    return seg_linear_inline(cpu, i, seg, cpu->r[reg].q & string_mask(i), size_bytes, access);
}

/* Where a run of elements can be done on host memory: shortens *count to what lies in one page, one segment and one
 * turn of the pointer, and gives the first element's host address. Null: do one element the general way. */
static uint8_t *string_run(struct interp *cpu, const struct insn *i, unsigned reg, unsigned seg, unsigned size_bytes,
                           enum tlb_access access, uint64_t *count)
{
    const struct seg *s = &cpu->seg[seg];
    uint64_t offset = cpu->r[reg].q & string_mask(i), linear, fits;
    bool code64 = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64;
    bool down = cpu->sysflags & FLAG_DF;
    uint8_t *host;

    if (code64)
        linear = seg < CPU_FS ? offset : s->base + offset;
    else
        linear = (uint32_t)(s->base + offset);
    if ((linear & 0xFFF) + size_bytes > MEMORY_PAGE_BYTES)
        return NULL;
    host = mem_hit(cpu, linear, size_bytes, access);
    if (!host)
        return NULL;
    fits = down ? (linear & 0xFFF) / size_bytes + 1 : (MEMORY_PAGE_BYTES - (linear & 0xFFF)) / size_bytes;
    if (*count > fits)
        *count = fits;
    uint64_t span = (*count - 1) * size_bytes;
    if (down ? offset < span : offset + span + size_bytes - 1 > string_mask(i) || offset + span < offset)
        return NULL;
    if (!code64 && !((access == TLB_WRITE ? s->writable : s->readable) &&
                     seg_inside(s, down ? offset - span : offset, (unsigned)(span + size_bytes))))
        return NULL;
    return host;
}

/* F3 is REPE, F2 REPNE, to CMPS and SCAS; all others take both as REP. */
static inline bool string_while_equal(const struct insn *i)
{
    return i->bits & INSN_REP;
}

/* Iterations that KVM's emulator does at a time: what it then counts is said where a run stops between two exits. */
#define KVM_TURN 1024u

/* Iterations of this slice, count not 0. Single-stepping traps after each. */
static inline uint64_t string_slice(const struct interp *cpu, uint64_t count)
{
    return UNLIKELY((cpu->sysflags & FLAG_TF) || cpu->each_iteration) ? 1 : ((count - 1) & (REP_SLICE_ITERATIONS - 1)) + 1;
}
_Static_assert((REP_SLICE_ITERATIONS & (REP_SLICE_ITERATIONS - 1)) == 0, "a power of two");

static const struct insn *string_end(struct interp *cpu, const struct insn *i, bool again)
{
    uint64_t rip = again ? interp_rip(cpu, i) : interp_rip_next(cpu, i);

    /* between two iterations RF is set (SDM vol. 3, 17.3.1.1) */
    cpu->sysflags = again ? cpu->sysflags | FLAG_RF : cpu->sysflags & ~FLAG_RF;
    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64)
        rip = (uint32_t)rip;
    return END_JUMP(rip);
}

static inline uint64_t string_delta(const struct interp *cpu, unsigned size_bytes)
{
    return cpu->sysflags & FLAG_DF ? 0 - (uint64_t)size_bytes : size_bytes;
}

/* REP MOVS, STOS, LODS: `run` tries some iterations on host memory and says how many it did; `one` does one. Both bring
 * the pointers up to date, here goes the count. */
#define STRING_REP(name, used, run, one)                                                                               \
    EXEC_STATIC(rep_##name)                                                                                            \
    {                                                                                                                  \
        uint64_t count = cpu->r[CPU_RCX].q & string_mask(i);                                                           \
        uint64_t left = count ? string_slice(cpu, count) : 0;                                                          \
        bool again = count != left;                                                                                    \
        cpu->repeat_turns += (left + KVM_TURN - 1) / KVM_TURN;                                                         \
        string_truncate(cpu, i, used);                                                                                 \
        while (left) {                                                                                                 \
            uint64_t done = run_control_iterates(cpu) ? 0 : run(cpu, i, left);                                         \
            if (!done) {                                                                                               \
                one(cpu, i);                                                                                           \
                done = 1;                                                                                              \
            }                                                                                                          \
            string_move(cpu, i, CPU_RCX, 0 - done);                                                                    \
            left -= done;                                                                                              \
            if (UNLIKELY(cpu->s.pending_debug || interp_exit_asked(cpu)) && left) { /* traps after its iteration */    \
                again = true;                                                                                          \
                break;                                                                                                 \
            }                                                                                                          \
            if (run_control_pauses(cpu) && left)                                                                       \
                return run_control_pause(cpu, i);                                                                      \
        }                                                                                                              \
        return string_end(cpu, i, again);                                                                              \
    }

/* REPE/REPNE CMPS, SCAS: they end early; pair is what was compared last. */
#define STRING_REP_COMPARE(name, bits, run, one)                                                                       \
    EXEC_STATIC(rep_##name)                                                                                            \
    {                                                                                                                  \
        uint64_t count = cpu->r[CPU_RCX].q & string_mask(i);                                                           \
        uint64_t left = count ? string_slice(cpu, count) : 0;                                                          \
        bool again = count != left, while_equal = string_while_equal(i);                                               \
        uint##bits##_t pair[2];                                                                                        \
        string_truncate(cpu, i, 1u << CPU_RCX);                                                                        \
        if (!count)                                                                                                    \
            return string_end(cpu, i, false);                                                                          \
        cpu->repeat_turns++; /* they mostly end early */                                                               \
        do {                                                                                                           \
            uint64_t done = run_control_iterates(cpu) ? 0 : run(cpu, i, left, while_equal, pair);                      \
            if (!done) {                                                                                               \
                one(cpu, i, pair);                                                                                     \
                done = 1;                                                                                              \
            }                                                                                                          \
            string_move(cpu, i, CPU_RCX, 0 - done);                                                                    \
            left -= done;                                                                                              \
            if (UNLIKELY(cpu->s.pending_debug || interp_exit_asked(cpu)) && left) { /* traps after its iteration */    \
                again = true;                                                                                          \
                break;                                                                                                 \
            }                                                                                                          \
            if (run_control_pauses(cpu) && left && (pair[0] == pair[1]) == while_equal)                                \
                return run_control_pause(cpu, i);                                                                      \
        } while (left && (pair[0] == pair[1]) == while_equal);                                                         \
        again = again && (pair[0] == pair[1]) == while_equal;                                                          \
        if (!again)                                                                                                    \
            alu_sub##bits(cpu, pair[0], pair[1]);                                                                      \
        return string_end(cpu, i, again);                                                                              \
    }

/* Forward copy in the order of the elements: overlapping ranges repeat a pattern, as the CPU does. */
#define STRING_COPY(bits, unused)                                                                                      \
    static void string_copy##bits(uint8_t *to, const uint8_t *from, uint64_t count, bool down)                         \
    {                                                                                                                  \
        uint64_t bytes = count * ((bits) / 8);                                                                         \
        if (!down && (to + bytes <= from || from + bytes <= to)) {                                                     \
            memcpy(to, from, bytes);                                                                                   \
            return;                                                                                                    \
        }                                                                                                              \
        int64_t step = down ? -((bits) / 8) : (bits) / 8;                                                              \
        for (; count; count--, to += step, from += step)                                                               \
            host_set##bits(to, host_get##bits(from));                                                                  \
    }                                                                                                                  \
    static void string_fill##bits(uint8_t *to, uint64_t count, uint##bits##_t value, bool down)                        \
    {                                                                                                                  \
        if (down)                                                                                                      \
            to -= (count - 1) * ((bits) / 8);                                                                          \
        if (value == (uint##bits##_t)((uint8_t)value * 0x0101010101010101ull)) {                                       \
            memset(to, (uint8_t)value, count *((bits) / 8));                                                           \
            return;                                                                                                    \
        }                                                                                                              \
        for (; count; count--, to += (bits) / 8)                                                                       \
            host_set##bits(to, value);                                                                                 \
    }
EXEC_ALL_SIZES(STRING_COPY, )

#define STRING_MOVE(bits, unused)                                                                                      \
    static inline void string_step##bits(struct interp *cpu, const struct insn *i, unsigned reg, uint64_t count)       \
    {                                                                                                                  \
        string_move(cpu, i, reg, string_delta(cpu, (bits) / 8) * count);                                               \
    }                                                                                                                  \
    static inline void movs_one##bits(struct interp *cpu, const struct insn *i)                                        \
    {                                                                                                                  \
        uint64_t from = string_linear(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ);                                  \
        uint64_t to = string_linear(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_WRITE);                                   \
        st##bits(cpu, i, to, ld##bits(cpu, i, from));                                                                  \
        string_step##bits(cpu, i, CPU_RSI, 1);                                                                         \
        string_step##bits(cpu, i, CPU_RDI, 1);                                                                         \
    }                                                                                                                  \
    static inline uint64_t movs_run##bits(struct interp *cpu, const struct insn *i, uint64_t count)                    \
    {                                                                                                                  \
        const uint8_t *from = string_run(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ, &count);                       \
        if (!from)                                                                                                     \
            return 0;                                                                                                  \
        uint8_t *to = string_run(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_WRITE, &count);                              \
        if (!to)                                                                                                       \
            return 0;                                                                                                  \
        string_copy##bits(to, from, count, cpu->sysflags &FLAG_DF);                                                    \
        string_step##bits(cpu, i, CPU_RSI, count);                                                                     \
        string_step##bits(cpu, i, CPU_RDI, count);                                                                     \
        return count;                                                                                                  \
    }                                                                                                                  \
    static inline void stos_one##bits(struct interp *cpu, const struct insn *i)                                        \
    {                                                                                                                  \
        uint64_t to = string_linear(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_WRITE);                                   \
        st##bits(cpu, i, to, reg_get##bits(cpu, CPU_RAX));                                                             \
        string_step##bits(cpu, i, CPU_RDI, 1);                                                                         \
    }                                                                                                                  \
    static inline uint64_t stos_run##bits(struct interp *cpu, const struct insn *i, uint64_t count)                    \
    {                                                                                                                  \
        uint8_t *to = string_run(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_WRITE, &count);                              \
        if (!to)                                                                                                       \
            return 0;                                                                                                  \
        string_fill##bits(to, count, reg_get##bits(cpu, CPU_RAX), cpu->sysflags &FLAG_DF);                             \
        string_step##bits(cpu, i, CPU_RDI, count);                                                                     \
        return count;                                                                                                  \
    }                                                                                                                  \
    static inline void lods_one##bits(struct interp *cpu, const struct insn *i)                                        \
    {                                                                                                                  \
        uint64_t from = string_linear(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ);                                  \
        reg_set##bits(cpu, CPU_RAX, ld##bits(cpu, i, from));                                                           \
        string_step##bits(cpu, i, CPU_RSI, 1);                                                                         \
    }                                                                                                                  \
    static inline uint64_t lods_run##bits(struct interp *cpu, const struct insn *i, uint64_t count)                    \
    {                                                                                                                  \
        const uint8_t *from = string_run(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ, &count);                       \
        if (!from)                                                                                                     \
            return 0;                                                                                                  \
        from += (int64_t)string_delta(cpu, (bits) / 8) * (int64_t)(count - 1);                                         \
        reg_set##bits(cpu, CPU_RAX, host_get##bits(from));                                                             \
        string_step##bits(cpu, i, CPU_RSI, count);                                                                     \
        return count;                                                                                                  \
    }                                                                                                                  \
    EXEC_REG(movs##bits, movs_one##bits(cpu, i))                                                                       \
    EXEC_REG(stos##bits, stos_one##bits(cpu, i))                                                                       \
    EXEC_REG(lods##bits, lods_one##bits(cpu, i))                                                                       \
    STRING_REP(movs##bits, MOVS_CLEARS, movs_run##bits, movs_one##bits)                                                \
    STRING_REP(stos##bits, STOS_CLEARS, stos_run##bits, stos_one##bits)                                                \
    STRING_REP(lods##bits, LODS_CLEARS, lods_run##bits, lods_one##bits)
EXEC_ALL_SIZES(STRING_MOVE, )

#define STRING_COMPARE(bits, unused)                                                                                   \
    static inline void cmps_one##bits(struct interp *cpu, const struct insn *i, uint##bits##_t pair[2])                \
    {                                                                                                                  \
        pair[1] = ld##bits(cpu, i, string_linear(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_READ));                      \
        pair[0] = ld##bits(cpu, i, string_linear(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ));                      \
        string_step##bits(cpu, i, CPU_RSI, 1);                                                                         \
        string_step##bits(cpu, i, CPU_RDI, 1);                                                                         \
    }                                                                                                                  \
    static inline uint64_t cmps_run##bits(struct interp *cpu, const struct insn *i, uint64_t count, bool while_equal,  \
                                          uint##bits##_t pair[2])                                                      \
    {                                                                                                                  \
        int64_t step = (int64_t)string_delta(cpu, (bits) / 8);                                                         \
        const uint8_t *a = string_run(cpu, i, CPU_RSI, i->seg, (bits) / 8, TLB_READ, &count);                          \
        if (!a)                                                                                                        \
            return 0;                                                                                                  \
        const uint8_t *b = string_run(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_READ, &count);                          \
        if (!b)                                                                                                        \
            return 0;                                                                                                  \
        uint64_t done = 0;                                                                                             \
        do {                                                                                                           \
            pair[0] = host_get##bits(a);                                                                               \
            pair[1] = host_get##bits(b);                                                                               \
            a += step;                                                                                                 \
            b += step;                                                                                                 \
        } while (++done < count && (pair[0] == pair[1]) == while_equal);                                               \
        string_step##bits(cpu, i, CPU_RSI, done);                                                                      \
        string_step##bits(cpu, i, CPU_RDI, done);                                                                      \
        return done;                                                                                                   \
    }                                                                                                                  \
    static inline void scas_one##bits(struct interp *cpu, const struct insn *i, uint##bits##_t pair[2])                \
    {                                                                                                                  \
        pair[0] = reg_get##bits(cpu, CPU_RAX);                                                                         \
        pair[1] = ld##bits(cpu, i, string_linear(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_READ));                      \
        string_step##bits(cpu, i, CPU_RDI, 1);                                                                         \
    }                                                                                                                  \
    static inline uint64_t scas_run##bits(struct interp *cpu, const struct insn *i, uint64_t count, bool while_equal,  \
                                          uint##bits##_t pair[2])                                                      \
    {                                                                                                                  \
        int64_t step = (int64_t)string_delta(cpu, (bits) / 8);                                                         \
        const uint8_t *b = string_run(cpu, i, CPU_RDI, CPU_ES, (bits) / 8, TLB_READ, &count);                          \
        if (!b)                                                                                                        \
            return 0;                                                                                                  \
        uint64_t done = 0;                                                                                             \
        pair[0] = reg_get##bits(cpu, CPU_RAX);                                                                         \
        do {                                                                                                           \
            pair[1] = host_get##bits(b);                                                                               \
            b += step;                                                                                                 \
        } while (++done < count && (pair[0] == pair[1]) == while_equal);                                               \
        string_step##bits(cpu, i, CPU_RDI, done);                                                                      \
        return done;                                                                                                   \
    }                                                                                                                  \
    EXEC_STATIC(cmps##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint##bits##_t pair[2];                                                                                        \
        cmps_one##bits(cpu, i, pair);                                                                                  \
        alu_sub##bits(cpu, pair[0], pair[1]);                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(scas##bits##_reg)                                                                                      \
    {                                                                                                                  \
        uint##bits##_t pair[2];                                                                                        \
        scas_one##bits(cpu, i, pair);                                                                                  \
        alu_sub##bits(cpu, pair[0], pair[1]);                                                                          \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    STRING_REP_COMPARE(cmps##bits, bits, cmps_run##bits, cmps_one##bits)                                               \
    STRING_REP_COMPARE(scas##bits, bits, scas_run##bits, scas_one##bits)
EXEC_ALL_SIZES(STRING_COMPARE, )

#define STRING_FORMS(op)                                                                                               \
    FORMS_SIZES_REG(forms_##op, op);                                                                                   \
    const struct insn_forms forms_rep_##op = {.fn = {{rep_##op##8}, {rep_##op##16}, {rep_##op##32}, {rep_##op##64}}}
STRING_FORMS(movs);
STRING_FORMS(stos);
STRING_FORMS(lods);
STRING_FORMS(cmps);
STRING_FORMS(scas);
