/* Two machines in this process, with the same inputs, held against each other at every exit, and step by step where they part.
 * Thread: the caller's, one at a time.
 *
 * Both count exits (core/position.h), and nothing that reaches them comes of the host: virtual time is a function of the count,
 * entropy of a seed. Side 0 is a, side 1 is b. One leads: it runs to its next exit first, what its accelerator chose (where
 * an interrupt was taken, landmarks) goes to the script, and the other follows the script. When they differ both are made
 * anew and follow it again, to the last exit at which they were alike; from there both make single steps. */
#ifndef VMRR_TOOLS_LOCKSTEP_LOCKSTEP_H
#define VMRR_TOOLS_LOCKSTEP_LOCKSTEP_H

#include "core/machine.h"

#include <jansson.h>

/* ---- the script ---- */

#define LOCKSTEP_NS_PER_EXIT 1000u
#define LOCKSTEP_ENTRIES_MAX (16u << 20)

struct lockstep_clock {
    uint64_t wall_clock_seconds, entropy_seed;
};
struct lockstep_script;
struct lockstep_script *lockstep_script_create(void);
void lockstep_script_destroy(struct lockstep_script *script); /* null allowed */
size_t lockstep_script_length(const struct lockstep_script *script);
bool lockstep_script_full(const struct lockstep_script *script);
/* An input over it: from its first entry on. leads: makes the entries. Script and clock outlive it; what the clock says may be
 * filled in until the machine is made. */
struct input *lockstep_input_create(struct lockstep_script *script, const struct lockstep_clock *clock, bool leads);
/* The leader's machine, whose timers say when a tick is due. */
void lockstep_input_attach(struct input *input, struct machine *machine);

/* ---- what happened ---- */

#define LOCKSTEP_LAST_EVENTS 16u
#define LOCKSTEP_PENDING_MAX 65536u /* events of one side that the other has not made */
#define LOCKSTEP_FIELDS_MAX 64u
#define LOCKSTEP_RANGES_MAX 16u
#define LOCKSTEP_RANGE_BYTES 16u
#define LOCKSTEP_CODE_BYTES 15u

struct lockstep_field {
    char name[96];
    bool has_before;
    uint64_t before, value[2];
};
struct lockstep_fields {
    struct lockstep_field field[LOCKSTEP_FIELDS_MAX];
    uint64_t count; /* may be more than are listed */
};
/* Bytes of memory that are not the same, from the first that is not. */
struct lockstep_range {
    char block[16];
    uint64_t gpa, size_bytes;
    uint8_t bytes[2][LOCKSTEP_RANGE_BYTES];
};
struct lockstep_ranges {
    struct lockstep_range range[LOCKSTEP_RANGES_MAX];
    uint64_t count;
};
struct lockstep_insn {
    uint64_t linear;
    unsigned bits, size; /* of code: bytes that could be read */
    uint8_t code[LOCKSTEP_CODE_BYTES];
};

enum lockstep_what {
    LOCKSTEP_REGISTERS,
    LOCKSTEP_EVENT,   /* an access, an interrupt, a request */
    LOCKSTEP_MEMORY,  /* RAM */
    LOCKSTEP_DEVICES, /* fields of devices, or of the machine itself */
    LOCKSTEP_EXITS,   /* they do not stop at the same exit */
    LOCKSTEP_END,     /* one ends and the other does not, or ends for another reason */
    LOCKSTEP_WHATS
};
const char *lockstep_what_name(enum lockstep_what what);

/* The first difference. */
struct lockstep_difference {
    enum lockstep_what what;
    uint64_t equal_exits, exits; /* alike at the first, not at the second */
    enum machine_stop stop[2];
    bool has_event[2];
    struct trace_event event[2];
    struct lockstep_fields registers, devices;
    struct lockstep_ranges memory;
    struct trace_event last[LOCKSTEP_LAST_EVENTS]; /* that both made, oldest first */
    unsigned last_count;
    /* The steps. */
    bool reproduced; /* the second pass parted there too */
    bool has_insn;
    bool matched;      /* found by matching states: what the side that makes no steps has behind it is not known */
    unsigned searches; /* so many runs for that */
    uint64_t steps;    /* alike since equal_exits */
    struct lockstep_insn insn;
    struct cpu_state before, after[2];
    struct lockstep_fields step_registers;
    struct lockstep_ranges step_memory;
    char why[600]; /* there is no instruction */
};

enum lockstep_verdict { LOCKSTEP_EQUAL, LOCKSTEP_DIFFERENT, LOCKSTEP_NOT_COMPARED };
struct lockstep_result {
    enum lockstep_verdict verdict;
    char reason[600]; /* NOT_COMPARED */
    uint64_t exits, register_looks, digest_looks, events;
    uint64_t interp_steps; /* of a side that is the interpreter, up to the last exit: instructions and repetitions; 0: neither is */
    /* Against a remote target (lockstep_run_remote): positions are steps. taken: so often what the machine had was given to the
     * target, which then went on by it: values that devices gave, or the CPU's own (CPUID, clocks); flags that the manual leaves
     * undefined; RF in flags that a fault has pushed; registers before the first step; KiB that a port write made a device write. */
    bool remote;
    uint64_t steps, taken_device, taken_own, taken_flags, taken_start, taken_rf, taken_memory, memory_bytes;
    struct position end;
    enum machine_stop stop; /* how both ended */
    struct lockstep_difference difference;
};

/* ---- running ---- */

struct lockstep_options {
    /* A machine over this input and sink, reset; borrowed by the maker until unmake, which is called before the input goes.
     * side may be made again after unmake. counts_exits must be set in its options, trace_kinds is the maker's. Null: error. */
    struct machine *(*make)(void *opaque, unsigned side, struct input *input, struct trace_sink trace,
                            struct error *error);
    void (*unmake)(void *opaque, unsigned side);
    /* Can this side make single steps where it stands? Null: always. */
    bool (*can_step)(void *opaque, unsigned side);
    /* Asked between two exits (steps): true, and that is the end; the verdict is then NOT_COMPARED, unless they differ. Null: no. */
    bool (*over)(void *opaque);
    void *opaque;
    unsigned leader;
    struct lockstep_clock clock;
    uint64_t until_exits; /* POSITION_NEVER */
    uint64_t every;       /* exits between looks at devices and memory: 1 .. */
    uint64_t stall_ms;    /* of host time without an exit: that side is stuck */
    uint64_t steps_max;   /* single steps at most */
};
#define LOCKSTEP_EVERY_DEFAULT 64u
#define LOCKSTEP_STALL_MS_DEFAULT 30000u
#define LOCKSTEP_STEPS_MAX_DEFAULT 2000000u

/* script: empty; afterwards it leads through the run again (lockstep_input_create, not leading). */
void lockstep_run(const struct lockstep_options *options, struct lockstep_script *script,
                  struct lockstep_result *result);

/* A machine and a remote target, step by step: registers after each, and at each `every`-th and at the end the memory that the
 * machine wrote. The machine takes no interrupts. Ends at HLT. remote_side: 0 or 1; make is called for the other. exits of options
 * and differences are steps. */
struct remote;
void lockstep_run_remote(const struct lockstep_options *options, struct remote *remote, unsigned remote_side,
                         struct lockstep_result *result);

/* What is to be known of an instruction for that. */
struct lockstep_kind {
    bool own;                 /* gives what is the processor's own: CPUID, clocks, random numbers, MSRs */
    bool device, output;      /* reads a port; writes one */
    bool input_string, halts; /* INS; HLT */
    uint64_t undefined_flags; /* RFLAGS bits */
};
struct lockstep_kind lockstep_kind_of(const struct lockstep_insn *insn);

/* ---- for people ---- */

json_t *lockstep_json(const struct lockstep_result *result);
void lockstep_print(const struct lockstep_result *result, const char *const name[2], FILE *out);

#endif
