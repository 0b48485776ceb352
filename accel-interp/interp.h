/* The interpreter's inner contract: the CPU structure, the predecoded instruction, and what an instruction function may
 * do. Internal to accel-interp. Thread: machine thread.
 *
 * How an instruction runs. A block is a straight run of predecoded instructions (struct insn) of one physical page and
 * one CPU mode. Each insn has its function; a function does its work and goes on to the next one with NEXT (a tail call:
 * direct-threaded dispatch), or ends the block.
 *
 * Invariants
 *  1. A fault leaves by interp_raise (longjmp), at any point *before* the instruction changed architectural state.
 *     Partial progress is allowed only for repeated string instructions (registers say how far), and ENTER's pushes.
 *  2. Position: at block entry the whole block's steps are taken from cpu->budget; interp_raise, interp_leave and every
 *     path to a device give back those not executed, so icount is exact wherever anyone can look.
 *  3. A device is touched only at an exact position, and no step follows in the chain before attention, deadline and the
 *     block's own validity have been looked at. Port I/O does both itself. For memory mem_* sees to it, in interp_touch: in
 *     the middle of a block the next instruction's function is replaced, once, by one that looks and then goes on or leaves
 *     the chain. Only for instructions that said so (mem_goes_on) since they end in NEXT; all others, and the last of a
 *     block, abandon the instruction and run it again alone (interp_redo_single), which is why invariant 1 holds for all.
 *     A store into decoded code of the running block is done likewise. An instruction that has touched is not abandoned.
 *  4. What changes mode, IF, segments' flatness, paging, or needs the run loop ends its block (BLOCK_END) and leaves the
 *     chain: interrupts are looked at before each step at which one could have become deliverable.
 *  5. Nothing here may depend on how code was cut into blocks.
 */
#ifndef VMRR_ACCEL_INTERP_INTERP_H
#define VMRR_ACCEL_INTERP_INTERP_H

#include "accel-interp/features.h"
#include "core/accel.h"

#include "core/machine.h"
#include "core/memory_range.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

struct interp;
struct insn;
struct block;
struct run_control;
struct tlb_set; /* tlb.h */

/* Returns the insn to go on with for a trampoline build, or null: leave the chain. */
typedef const struct insn *insn_fn(struct interp *cpu, const struct insn *insn);

/* Predecoded instruction, 32 bytes. Register numbers of 8-bit operands are byte offsets into the register file
 * (AL 0, AH 1, CL 8, ... R15B 120); of all others they are indices. */
struct insn {
    insn_fn *fn;
    uint64_t imm;  /* immediate, sign- or zero-extended as the operand says; branch: target's offset from block start;
                      VEX: imm8 in bits 7:0, vvvv in bits 11:8 */
    int32_t disp;  /* of a memory operand; RIP-relative ones have off + len added and base REG_RIP */
    uint16_t off;  /* of the instruction's first byte from the block's first byte */
    uint8_t len;   /* bytes; 1..15 */
    uint8_t index; /* in the block, counting from 0 */
    uint8_t base, scaled; /* registers of a memory operand: 0..15, REG_ZERO, REG_RIP; VSIB: scaled is a vector's */
    uint8_t scale;        /* 0..3 */
    uint8_t seg;          /* enum cpu_segment_index of a memory operand, overrides applied */
    uint8_t reg;          /* ModRM.reg (with REX.R), or the register in the opcode */
    uint8_t rm;           /* ModRM.rm (with REX.B) when it is a register; for x87/groups: ModRM byte in modrm */
    uint8_t bits;         /* INSN_* flags */
    uint8_t modrm;        /* the raw byte */
};

#define INSN_OSIZE_MASK 0x03u /* 0: 8, 1: 16, 2: 32, 3: 64 bits: effective operand size */
#define INSN_ASIZE_SHIFT 2    /* bits 3:2, 1: 16, 2: 32, 3: 64: effective address size */
#define INSN_ASIZE_MASK 0x0Cu
#define INSN_REP 0x10u   /* F3 */
#define INSN_REPNE 0x20u /* F2 */
#define INSN_LOCK 0x40u
#define INSN_REX 0x80u /* any REX prefix; not of VEX */

static inline unsigned insn_osize(const struct insn *i)
{
    return i->bits & INSN_OSIZE_MASK;
}
static inline unsigned insn_osize_bytes(const struct insn *i)
{
    return 1u << insn_osize(i);
}
static inline unsigned insn_asize(const struct insn *i)
{
    return (i->bits & INSN_ASIZE_MASK) >> INSN_ASIZE_SHIFT;
}

/* VEX: the register in vvvv (0 where the instruction names none there), and the one in imm8[7:4]. */
#define INSN_VVVV_SHIFT 8
static inline unsigned insn_vvvv(const struct insn *i)
{
    return (unsigned)(i->imm >> INSN_VVVV_SHIFT) & 15;
}
static inline unsigned insn_imm_register(const struct insn *i)
{
    return (unsigned)(i->imm >> 4) & 15;
}
static inline uint8_t insn_imm8(const struct insn *i)
{
    return (uint8_t)i->imm;
}

#define REG_ZERO 16u /* always 0: absent base or index */
#define REG_RIP 17u  /* RIP of the block's first byte, while the block runs */
#define REG_FAR 18u  /* always REG_FAR_VALUE: a RIP-relative displacement that is too long with off + len added */
#define REG_FAR_VALUE 0x2000
#define REG_COUNT 19u

union reg {
    uint64_t q;
    uint32_t d; /* write with q = (uint32_t)v: 32-bit results zero-extend */
    uint16_t w;
    uint8_t b;
};

/* A segment register: the architectural part, and what address checks need. */
struct seg {
    uint16_t selector;
    uint16_t attributes; /* as struct cpu_segment */
    uint32_t limit;
    uint64_t base;
    /* derived by seg_update (segment.c) */
    uint32_t low, high; /* offsets low..high are inside (expand-down applied); low > high: none */
    bool readable, writable;
    uint64_t
        end[2]; /* by TLB_READ, TLB_WRITE: an access that ends at or before it needs no other check; 0: none such */
};

/* A TLB entry of the software TLB: one compare, one add. */
struct tlb_entry {
    uint64_t tag;    /* linear page address, or TLB_EMPTY (never equals a page address), or that | TLB_DEVICE */
    uint64_t addend; /* host address = linear + addend; with TLB_DEVICE: physical address */
};
#define TLB_BITS 10u
#define TLB_ENTRIES (1u << TLB_BITS)
#define TLB_EMPTY 1ull
#define TLB_DEVICE 2ull /* accesses to the page go to the bus */
enum tlb_access { TLB_READ, TLB_WRITE, TLB_FETCH };
/* One set a privilege view: supervisor, user, supervisor with EFLAGS.AC (SMAP off). */
enum tlb_view { TLB_SUPERVISOR, TLB_USER, TLB_SUPERVISOR_AC, TLB_VIEWS };
struct tlb_set {
    struct tlb_entry entry[2][TLB_ENTRIES]; /* by TLB_READ, TLB_WRITE; entries of code pages (write), of pages
                                               with breakpoints are not installed, so that they take the slow path */
};

/* CPU mode bits that a block was decoded under. */
#define MODE_CODE16 0x00u
#define MODE_CODE32 0x01u
#define MODE_CODE64 0x02u
#define MODE_CODE_MASK 0x03u
#define MODE_FLAT 0x04u    /* CS DS ES SS: base 0, limit 4 GiB, usable and writable as their use needs (always in 64) */
#define MODE_STACK32 0x08u /* SS.B (64-bit mode: set) */
#define MODE_REAL 0x10u    /* CR0.PE = 0 */
#define MODE_VM86 0x20u
#define MODE_LONG 0x40u /* EFER.LMA */
#define MODE_USER 0x80u /* CPL 3: instructions may decode to privileged or user functions */

/* The architectural TLB: translations as a real CPU would hold them, until the guest flushes them or another page takes
 * their place. The views above, and the jump cache, hold only what is in here, so that dropping entries of theirs (dirty
 * tracking, code pages, a digest) never walks the page tables anew and the guest's accessed and dirty bits depend on the
 * guest alone. */
struct mmu_entry {
    uint64_t tag; /* linear page address | 1 */
    uint64_t gpa; /* page, before A20 */
    uint64_t generation;
    uint8_t rights; /* MMU_* of mmu.h */
    uint8_t shift;  /* log2 of the page's size */
    uint8_t key;    /* protection key */
    uint8_t views;  /* bit 2 * view + access: that entry of the views may be this page's */
};
#define MMU_DATA_ENTRIES 2048u
#define MMU_CODE_ENTRIES 1024u
#define MMU_FILLS_MAX 2048u
struct mmu_cache {
    struct mmu_entry data[MMU_DATA_ENTRIES], code[MMU_CODE_ENTRIES];
    uint64_t generation, global_generation; /* an entry of another generation is empty */
    uint64_t large[4], huge[4];             /* filters: a fragment of a large (1 GiB) page may be cached here */
    uint16_t fill[MMU_FILLS_MAX];           /* non-global entries of the views since the last flush */
    uint32_t fills;                         /* > MMU_FILLS_MAX: too many to list */
    struct memory_range tables, pages;      /* the last ones looked up; empty after a change of the memory map */
    bool keyed;                             /* the views may hold pages with a protection key other than 0 */
};

/* What CR0, CR4, XCR0 and MXCSR allow. */
#define USABLE_SSE 0x01u /* CR0.EM and TS clear, CR4.OSFXSR */
#define USABLE_AVX 0x02u /* CR0.TS clear, CR4.OSXSAVE, SSE and AVX state in XCR0 */
#define READY_SSE 0x04u  /* usable, and MXCSR masks all exceptions */
#define READY_AVX 0x08u

struct interp {
    struct accel accel; /* first */

    /* hot */
    union reg r[REG_COUNT];
    uint64_t lf_result; /* lazy flags: see flags.h */
    uint64_t lf_aux;
    int64_t budget;      /* steps left before stop, all of the running block already taken */
    struct tlb_set *tlb; /* the current view */
    uint32_t sysflags;   /* RFLAGS but CF PF AF ZF SF OF; DF here too */
    uint8_t mode;        /* MODE_*; cpu_update_mode after any change of CS, SS, CR0, EFER, VM, flatness */
    uint8_t cpl;
    uint8_t usable;             /* USABLE_*: cpu_update_usable */
    uint8_t control;            /* CONTROL_* of run_control.h */
    bool single;                /* the running chain is one instruction, alone: devices may be touched */
    bool stop_chain;            /* leave the chain at the end of this instruction (set by slow paths in single mode) */
    const struct insn *current; /* set by slow paths before anything that may raise or look at the position */
    /* interp_touch: the instruction whose function leads to after_touch, that function, jump_key of then; null: none */
    struct insn *touched_next;
    insn_fn *touched_fn;
    const struct insn *goes_on; /* mem_goes_on */
    uint32_t touched_key;

    struct seg seg[8]; /* enum cpu_segment_index */
    uint64_t gdtr_base, idtr_base;
    uint16_t gdtr_limit, idtr_limit;
    uint64_t cr0, cr2, cr3, cr4, xcr0, efer;
    uint64_t dr[8], pdpte[4];
    uint64_t rip; /* valid outside a chain (between blocks); inside one: interp_rip(cpu, insn) */

    /* the rest of cpu_state that no other field holds: MSRs, shadows, x87 and SSE in their architectural form */
    struct cpu_state s; /* used fields: star..bios_sign_id, halted.., pending_debug; fcw..fds, fpr, vector, mxcsr */

    /* x87/SSE (exec_x87.c, exec_sse*.c): registers live in s.fpr[], s.vector[], s.fcw, s.fsw, s.ftw, s.mxcsr. Between fp_enter
     * and fp_leave (fp.h) TOP is here and not in s.fsw, and flags may be in the host's MXCSR: fp_get_state has all. */
    uint8_t x87_top;
    bool fp_inside;
    uint32_t host_features; /* HOST_* of host_features.h: which kernels may be used, whatever the guest's CPU has */

    uint64_t stop_icount;  /* of the running call of run */
    struct tlb_set *views; /* TLB_VIEWS of them */
    jmp_buf unwind;        /* interp_raise, interp_redo_single -> run loop (interp.c): longjmp(unwind, UNWIND_*) */

    /* the engine (interp.c, block.c). icount = icount_end - budget between blocks; inside one, less what the running block
     * has not yet executed (current says how far it is). */
    uint64_t icount_end;
    struct block **jump_cache; /* by linear address of code */
    uint64_t rip_limit;        /* not in 64-bit code: the last offset that CS and the code size allow */
    uint32_t jump_key; /* generation of translations and mode: blocks found under another one are looked up anew */
    const volatile uint32_t *attention; /* machine_attention */
    const uint64_t *next_timer_ns;      /* machine_next_timer_ns */
    uint64_t planned_timer_ns;          /* what stood there when stop_icount was asked for */
    bool counts_exits;                  /* machine_counts_exits */
    bool rotates_by_cl;                 /* MACHINE_WAY_ROTATES_BY_CL */
    bool freezes_tsc;                   /* MACHINE_WAY_TSC_FROZEN, where exits are counted */
    bool traps_tsc;                     /* MACHINE_WAY_TSC_SITES */
    bool may_want;                      /* machine_may_want */
    uint64_t looked_icount;             /* counting exits: when it was last looked whether the machine wants to act */
    uint64_t stop_at_icount, stop_at_turns; /* when it last stood where the run loop had been */
    uint64_t exits_seen;                /* of the last exit that was such a place */
    bool each_iteration;                /* repeated string instructions stop after each */
    bool landmark_set;                  /* landmark.c: its breakpoint is in */
    uint64_t landmark_linear;
    bool at_stop;     /* nothing was executed since run was called */
    bool debug_left;  /* the last run ended with ACCEL_EXIT_DEBUG: at_stop is as it was then */
    bool in_delivery; /* the run loop called exception_deliver: a raise from there is no step */

    /* exception being raised (exceptions.c) */
    uint8_t raise_vector;
    bool raise_has_error;
    uint32_t raise_error;

    /* event delivery (exceptions.c) */
    uint8_t delivering;     /* enum event_class of the exception being delivered, for double faults; 0: none */
    uint8_t event_external; /* EXT bit of error codes raised meanwhile */
    /* debug.c */
    bool step_trap;       /* TF was set when the instruction began: #DB after it */
    bool alignment_check; /* CPL 3, RFLAGS.AC and CR0.AM: the user view stays empty */

    struct block_cache *cache;                   /* block.c */
    struct run_control *run_control;             /* run_control.c */
    struct decode_tables *tables;                /* decode.c: built from opcodes.def once per instance */
    struct unimplemented_log *unimplemented_log; /* interp.c */
    struct interp_features features;             /* of the CPU model */
    uint8_t *monitor_flags;                      /* of the page that monitor.c watches; null: none */
    struct accel_statistics statistics;
    uint64_t repeat_turns; /* of repeated string instructions: those that KVM's emulator counts besides, about */

    struct mmu_cache mmu; /* mmu.c */
};

/* Values of longjmp to unwind. interp_raise* set current (null: cpu->rip faults) and raise_*. */
enum { UNWIND_RAISE = 1, UNWIND_REDO = 2 };

static inline struct interp *interp_of(struct accel *accel)
{
    return (struct interp *)accel;
}

/* Where exits are counted, a repeated instruction stops after the iteration at which the run loop wants to look. */
static inline bool interp_exit_asked(const struct interp *cpu)
{
    return cpu->counts_exits && (*cpu->attention & ATTENTION_REQUEST) && machine_cuts_step(cpu->accel.machine);
}

/* ---- inside an instruction function -------------------------------------------------------------------------- */

/* Builds that can't promise tail calls (no optimisation, sanitizers) use the trampoline in interp.c: same functions. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                        \
    !defined(VMRR_TRAMPOLINE)
#define INTERP_TAIL_CALLS 1
#else
#define INTERP_TAIL_CALLS 0
#endif

#define EXEC(name)                                                                                                     \
    const struct insn *name(struct interp *cpu, const struct insn *i);                                                 \
    const struct insn *name(struct interp *cpu, const struct insn *i)
#if INTERP_TAIL_CALLS
#define NEXT return (i + 1)->fn(cpu, i + 1)
#else
#define NEXT return i + 1
#endif

/* RIP of insn i of the running block, and of the one after it (wrapped to the code size by the caller's use). */
static inline uint64_t interp_rip(const struct interp *cpu, const struct insn *i)
{
    return cpu->r[REG_RIP].q + i->off;
}
static inline uint64_t interp_rip_next(const struct interp *cpu, const struct insn *i)
{
    return cpu->r[REG_RIP].q + i->off + i->len;
}

/* Ends of a block (interp.c). Each is `return END_x(...)` in an instruction function:
 *   END_FALL    go on at the next instruction, by way of the run loop: mode, IF or mappings may have changed
 *   END_JUMP    go on at rip (offset in CS), staying in the chain when the block cache knows it: near branches
 *   END_CHAIN   near direct branch: target = RIP of block + insn->imm, slot 0 taken or 1 fallen through, block-to-block
 *               link kept in the block
 *   END_LEAVE   cpu->rip (and all else) is set: back to the run loop (far transfers, HLT, IRET)
 * In trampoline builds they return the first insn of the next block, or null. */
const struct insn *interp_end_fall(struct interp *cpu, const struct insn *i);
const struct insn *interp_end_jump(struct interp *cpu, const struct insn *i, uint64_t rip);
const struct insn *interp_end_leave(struct interp *cpu, const struct insn *i);
#define END_FALL() interp_end_fall(cpu, i)
#define END_JUMP(rip) interp_end_jump(cpu, i, (rip))
#define END_LEAVE() interp_end_leave(cpu, i)
/* END_CHAIN is an inline of block.h, for exec_branch.c. */

/* Exceptions: deliver at the current instruction (fault) and never return. Inside a chain cpu->current must be the
 * instruction: use the RAISE macros in instruction functions. */
enum {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_MC,
    EXC_XM
};
_Noreturn void interp_raise(struct interp *cpu, const struct insn *i, uint8_t vector);
_Noreturn void interp_raise_error(struct interp *cpu, const struct insn *i, uint8_t vector, uint32_t error);
#define RAISE(vector) interp_raise(cpu, i, (vector))
#define RAISE_ERROR(vector, error) interp_raise_error(cpu, i, (vector), (error))
/* i may be null where no block runs (interrupt delivery, fetch): cpu->rip then is the faulting RIP. */

/* Abandon the instruction and run it again as a chain of its own (invariant 3). */
_Noreturn void interp_redo_single(struct interp *cpu, const struct insn *i);
/* Before memory-mapped I/O or a store into the running block (invariant 3): returns when it may be done now. i not null. */
void interp_touch(struct interp *cpu, const struct insn *i);
/* Before any device is touched or time is read: makes machine_position exact at instruction i. */
void interp_sync_position(struct interp *cpu, const struct insn *i);
/* Names an instruction that is not implemented in the run's summary, and raises #UD. */
_Noreturn void interp_unimplemented(struct interp *cpu, const struct insn *i);

/* The whole state, no chain running. */
void interp_state(const struct interp *cpu, struct cpu_state *state);

/* Recomputes mode, cpl, tlb view. Call after changing what they derive from; then END_FALL or END_LEAVE. */
void cpu_update_mode(struct interp *cpu);
/* Recomputes usable, after a change of CR0, CR4, XCR0 or MXCSR's masks: cpu_update_mode and fp_load_mxcsr do. */
void cpu_update_usable(struct interp *cpu);

/* RFLAGS whole (flags.h has the lazy form). */
uint64_t cpu_read_rflags(const struct interp *cpu);
void cpu_write_rflags(struct interp *cpu, uint64_t value); /* all bits as given, reserved ones fixed; updates mode */

#endif
