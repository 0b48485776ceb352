/* The native instruction check: one instruction, run by the host's CPU in this process and by the interpreter on a fake
 * machine, from the same registers, flags and memory; everything that comes out is compared.
 *
 * The host side enters and leaves through signal frames: a handler puts the case's registers (general, RFLAGS, x87,
 * SSE and AVX in the frame's XSAVE area, and CS, so 32-bit code runs too) into the frame it returns through, and the INT3
 * behind the instruction, or its fault, brings what came out. The interpreter runs it at CPL 3 with page tables that map the same linear addresses in
 * the same way.
 *
 * Linear layout, the same on both sides; all else is not present:
 * NATIVE_CODE two pages, read only, filled with INT3; the instruction lies anywhere in the first, or runs into the
 * second
 *   NATIVE_DATA   NATIVE_DATA_BYTES, read and write, between two pages that are not present
 *   NATIVE_RODATA one page, read only, behind the second of them
 */
#ifndef VMRR_TOOLS_FUZZ_NATIVE_H
#define VMRR_TOOLS_FUZZ_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

struct opcode_row; /* accel-interp/opcodes.h */
struct cpu_model;  /* core/cpu_model.h */

#define NATIVE_CODE 0x10000000u
#define NATIVE_CODE_BYTES 0x2000u
#define NATIVE_DATA 0x10010000u
#define NATIVE_DATA_BYTES 0x4000u
#define NATIVE_RODATA 0x10015000u
#define NATIVE_RODATA_BYTES 0x1000u

#define NATIVE_CODE_MAX 1024u

#define NATIVE_SYSCALL 254 /* the same: the sandbox caught a system call */
#define NATIVE_ENDLESS 255 /* a vector of the host side: it did not end */

#define NATIVE_FX_BYTES 416u /* FXSAVE image up to XMM15 */
#define NATIVE_FX_FCW 0u
#define NATIVE_FX_FSW 2u
#define NATIVE_FX_FTW 4u
#define NATIVE_FX_FOP 6u
#define NATIVE_FX_FIP 8u
#define NATIVE_FX_FDP 16u
#define NATIVE_FX_MXCSR 24u
#define NATIVE_FX_MXCSR_MASK 28u
#define NATIVE_FX_ST 32u   /* 16 bytes each, ST0 first */
#define NATIVE_FX_XMM 160u /* 16 bytes each */
#define NATIVE_VECTORS 16u

struct native_state {
    uint64_t gpr[16]; /* enum cpu_gpr */
    uint64_t rip;
    uint64_t rflags;
    int vector; /* of the fault, -1: none */
    uint32_t error;
    uint64_t cr2; /* of a #PF */
    uint8_t fx[NATIVE_FX_BYTES];
    uint8_t high[NATIVE_VECTORS][16]; /* bits 255:128 of YMM0.. */
};

struct native_case {
    const struct opcode_row *row;
    uint64_t seed;
    uint64_t random; /* state of the generator */
    unsigned bits;   /* 64; 32 and 16: compatibility mode (16: IP 0 is NATIVE_CODE, the stack's segment is 32-bit) */
    uint8_t code[NATIVE_CODE_MAX]; /* one instruction, or what native_interp_run has */
    unsigned length;
    unsigned offset; /* of the instruction in NATIVE_CODE */
    uint16_t placed; /* registers, a bit each, that were given a value so that a memory operand lies where it shall */
    unsigned rip_disp_at; /* where in code a RIP-relative displacement is; 0: none */
    bool memory;          /* has a ModRM memory operand */
    uint64_t target;      /* its address as the generator meant it */
    struct native_state in;
    uint8_t data[NATIVE_DATA_BYTES];
};

/* How a group of rows wants its cases. Zero means the default in every field. */
struct native_profile {
    unsigned bits;          /* 64 */
    unsigned iterations;    /* cases a row: 200 */
    uint64_t ignore_rflags; /* never compared beside RF and ID */
    bool ignore_fx;         /* do not compare x87 and SSE state */
    unsigned memory_bytes;  /* a memory operand's size, for placing it; 0: from the operands */
    bool faults;            /* every case may fault: privileged, or broken on purpose */
    bool aligned;           /* memory operands at multiples of 16 most of the time */
    bool aligned64;         /* of 64 */
    /* Changes the state of a generated case: floating-point operands, ranges. May be null. */
    void (*prepare)(struct native_case *c);
    /* Called before comparison: takes out of both states what can't be compared. May be null. */
    void (*normalise)(const struct native_case *c, struct native_state *host, struct native_state *interp);
};

struct native_harness;

/* The interpreter's side, at CPL 3. */
struct native_harness *native_interp_create(void);
/* The same machine at another level, or with another accelerator. */
struct accel;
struct error;
struct input;
struct machine;
/* The host's cases are of long mode. */
enum native_paging { NATIVE_PAGING_LONG, NATIVE_PAGING_PAE, NATIVE_PAGING_32 };
struct native_make {
    enum native_paging paging; /* PAE, 32: legacy protected mode, for 16- and 32-bit code (native_legacy.c) */
    unsigned level; /* 0: faults come to a stack of their own, and most of what is privileged runs; 3 */
    bool counts_exits;
    bool halts; /* what is behind a case's code is HLT instead of INT3: KVM executes that itself; at level 3 it is #GP */
    struct input *input;                                               /* borrowed; null: one of its own */
    struct accel *(*accel)(struct machine *machine, struct error *error); /* null: the interpreter */
};
struct native_harness *native_harness_create(const struct native_make *make, struct error *error);
struct machine *native_machine(struct native_harness *h);
void native_interp_destroy(struct native_harness *h); /* null allowed */
/* One instruction. data_out: NATIVE_DATA afterwards. */
void native_interp_step(struct native_harness *h, const struct native_case *c, struct native_state *out,
                        uint8_t *data_out);
/* Code of any length, to the INT3 or HLT behind it (vector -1, RIP there) or its first fault; NATIVE_ENDLESS: not within so many
 * steps (core/position.h). */
void native_interp_run(struct native_harness *h, const struct native_case *c, uint64_t steps, struct native_state *out,
                       uint8_t *data_out);

/* Both sides, one case at a time in this process (tests/support/native.c). */
struct native_harness *native_create(void);
void native_destroy(struct native_harness *h);

/* Can this host run 16-bit code (modify_ldt)? */
bool native_host_has16(void);
/* Does this host set FDP at every memory operand? The interpreter does with an unmasked exception only. */
bool native_host_fdp_moves(void);
const struct cpu_model *native_cpu_model(const struct native_harness *h);
/* MODE_* (accel-interp/interp.h) of a case's code. */
uint8_t native_mode(unsigned bits);
/* One side alone. */
void native_run_host(const struct native_case *c, struct native_state *out);
void native_run_interp(struct native_harness *h, const struct native_case *c, struct native_state *out);

/* What came out of a case, and where two sides do not agree: name of the place, what was there before. */
struct native_outcome {
    struct native_state state;
    uint8_t data[NATIVE_DATA_BYTES];
};
typedef void native_differ_fn(void *opaque, const char *name, uint64_t in, uint64_t host, uint64_t interp);
/* Takes out what no program is meant to see. */
void native_normalise(struct native_state *s, uint64_t ignore_rflags);
/* A summary (FSW.ES, B) that does not go with the exceptions that it sums up, as a random state may have, stays so on TCG and, where nobody
 * loads it, on KVM (XSAVES does not write what was not changed); processors make it anew when it is loaded, and so does this. */
void native_sum_up(struct native_state *s);
/* Of two normalised outcomes; report may be null. */
bool native_differ(const struct native_case *c, bool ignore_fx, const struct native_outcome *a,
                   const struct native_outcome *b, native_differ_fn *report, void *opaque);

/* What the instruction did to the pages of NATIVE_DATA that are memory-mapped I/O. */
struct native_access {
    uint64_t address; /* linear */
    uint64_t value;
    unsigned size_bytes;
    bool write;
};
#define NATIVE_ACCESSES_MAX 256u
struct native_accesses {
    unsigned count; /* may be more than are listed */
    struct native_access access[NATIVE_ACCESSES_MAX];
};
/* The interpreter with page n of NATIVE_DATA behind the bus, as a device with the same content, where bit n of devices is
 * set; the instruction and the INT3 that ends it are one block. data_out: NATIVE_DATA afterwards. */
void native_run_devices(struct native_harness *h, const struct native_case *c, unsigned devices,
                        struct native_state *out, uint8_t *data_out, struct native_accesses *log);

/* Deterministic numbers for prepare. native_value prefers edges (0, 1, -1, sign bits, small). */
uint64_t native_random(struct native_case *c);
uint64_t native_value(struct native_case *c);

/* A case: the caller gives code, length, in and data behind this. */
void native_case_init(struct native_case *c, uint64_t seed, unsigned bits);

/* What kind of row it is, by the opcodes_*.def file that it stands in: a file that no group knows ends the program. */
enum native_group {
    NATIVE_GROUP_INTEGER,
    NATIVE_GROUP_BRANCH,
    NATIVE_GROUP_SYSTEM,
    NATIVE_GROUP_X87,
    NATIVE_GROUP_SSE,
    NATIVE_GROUP_AVX,
    NATIVE_GROUP_BMI,
    NATIVE_GROUP_XSAVE,
    NATIVE_GROUP_COUNT
};
enum native_group native_group_of(const struct opcode_row *row);
/* "opcodes_int.def:12": where a row stands. */
const char *native_row_place(const struct opcode_row *row);

#endif
