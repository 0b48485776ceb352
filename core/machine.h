/* The machine: one guest PC. Owns CPU backend, memory, bus, devices, virtual clock; runs them on one thread.
 *
 * Run loop (machine_run), at each boundary: fire due timers; ask the input for messages at this position, once; compute
 * the stop = min(next timer, input horizon, next slice, the caller's limit); run the accelerator to it, or, halted, skip
 * virtual time to it. Slices are multiples of MACHINE_SLICE_STEPS of icount: there the digest is traced and host threads
 * and the caller are looked at.
 *
 * Creation (tools/): machine_create -> machine_set_accel -> board_pc_create (devices/board_pc.h) -> loaders ->
 * machine_reset -> machine_run. */
#ifndef VMRR_CORE_MACHINE_H
#define VMRR_CORE_MACHINE_H

#include "core/accel.h"
#include "core/bus.h"
#include "core/cpu_model.h"
#include "core/device.h"
#include "core/input.h"
#include "core/irq.h"
#include "core/memory.h"
#include "core/position.h"
#include "core/trace.h"
#include "core/vtime.h"

#define MACHINE_SLICE_STEPS 65536u
#define MACHINE_CHECKPOINT_STEPS_DEFAULT 250000000ull

enum machine_stop {
    MACHINE_STOP_NONE,
    MACHINE_STOP_POWER_OFF,  /* ACPI S5 */
    MACHINE_STOP_RESET,      /* reset with -no-reboot */
    MACHINE_STOP_DEBUG_EXIT, /* isa-debug-exit; machine_exit_code */
    MACHINE_STOP_SHUTDOWN,   /* triple fault with -no-reboot (else it resets) */
    MACHINE_STOP_LIMIT,      /* the caller's icount limit */
    MACHINE_STOP_HOST,       /* Ctrl-C or a full disk: machine_interrupt */
    MACHINE_STOP_IDLE,       /* halted with interrupts off and nothing due, for ever */
    MACHINE_STOP_DIVERGED,   /* a trace sink or input asked for it with machine_fail */
    MACHINE_STOP_ERROR,
    MACHINE_STOP_DEBUG,    /* core/debug.h */
    MACHINE_STOP_IO_ERROR, /* a drive with rerror= or werror=stop; goes on where it was, and tries again */
    MACHINE_STOP_COUNT
};
const char *machine_stop_name(enum machine_stop stop);

/* What a run does otherwise than a PC because of the host that it was made on: every accelerator that runs it does the same. */
enum machine_way {
    /* The kernel's RDTSC instructions were replaced by IN EAX, MACHINE_TSC_PORT (two bytes as well), which gives EDX:EAX. */
    MACHINE_WAY_TSC_PORT = 1,
    /* A host whose SYSCALL at CPL3 ends in a page fault on the handler's page (KVM-NOTES): it leaves LSTAR in CR2 and wrote an
     * exception's frame to the stack of TSS.RSP0. So SYSCALL sets CR2 to LSTAR and clears the MACHINE_FRAME_BYTES below RSP0
     * (aligned to 16), where no program can rely on what there was. */
    MACHINE_WAY_SYSCALL_FAULTS = 2,
    /* A host whose KVM emulates code at CPL0 and compatibility code, and its ROL and ROR by an immediate as if the count were in CL: OF
     * as after one bit. Recent Intel processors leave it for counts of 2 and more. */
    MACHINE_WAY_ROTATES_BY_CL = 4,
    /* The TSC stands still between two stops of the run loop: RDTSC gives the virtual time of the last one, and the CPU's offset. */
    MACHINE_WAY_TSC_FROZEN = 8,
    /* A host whose KVM emulates FXSAVE in 64-bit code at CPL0 and writes the whole image, zeroes behind the last XMM register:
     * processors leave bytes 416 to 511 alone. */
    MACHINE_WAY_FXSAVE_FILLS = 16,
    /* RDTSC without a prefix at CPL0, at one of machine_options' linear addresses, is such a read of MACHINE_TSC_PORT too, whatever
     * is at that port, and gives EDX:EAX. When LSTAR is not 0 only the first MACHINE_TSC_SITES_SYSCALL of them are meant: hosts
     * have four breakpoints, one is for landmarks and one may be needed to mend SYSCALL. */
    MACHINE_WAY_TSC_SITES = 32,
};
#define MACHINE_WAYS_ALL 63u
#define MACHINE_TSC_PORT 0xE0u
#define MACHINE_TSC_SITES_MAX 4u
#define MACHINE_TSC_SITES_SYSCALL 2u
#define MACHINE_FRAME_BYTES 48u

struct machine_options {
    uint64_t ram_bytes; /* multiple of 1 MiB, 1 MiB .. MEMORY_RAM_MAX_BYTES */
    struct cpu_model cpu;
    struct input *input;                      /* borrowed */
    struct trace_sink trace;                  /* borrowed */
    uint64_t checkpoint_steps;                /* 0: MACHINE_CHECKPOINT_STEPS_DEFAULT; rounded up to whole slices */
    bool counts_exits;                        /* position.h; digests are made where a CHECKPOINT message says */
    uint32_t ways;                            /* enum machine_way */
    uint64_t tsc_site[MACHINE_TSC_SITES_MAX]; /* MACHINE_WAY_TSC_SITES: linear addresses */
    unsigned tsc_sites;
    bool no_reboot;
    uint32_t trace_kinds; /* bit TRACE_*: emit these only; 0: all. Digests, checkpoints: if digests too */
    bool digests;         /* emit TRACE_DIGEST and TRACE_CHECKPOINT */
};

struct machine *machine_create(const struct machine_options *options, struct error *error);
void machine_destroy(struct machine *machine); /* with accelerator and devices */

void machine_set_accel(struct machine *machine, struct accel *accel); /* takes it over */
void machine_add_device(struct machine *machine, struct device *device);
void machine_set_cpu_link(struct machine *machine, struct cpu_link link);
struct cpu_link machine_cpu_link(const struct machine *machine);

struct memory *machine_memory(struct machine *machine);
struct bus *machine_bus(struct machine *machine);
struct accel *machine_accel(struct machine *machine);
struct vtime_queue *machine_vtime(struct machine *machine);
const struct cpu_model *machine_cpu_model(const struct machine *machine);
uint64_t machine_ram_bytes(const struct machine *machine); /* of the options: the board makes it and maps it */
struct device *machine_device_first(struct machine *machine);
struct device *machine_device_find(struct machine *machine, const char *id); /* null: none */

/* Exact at any call. */
struct position machine_position(const struct machine *machine);
/* Virtual time in TSC ticks, before the CPU's offset. Counting exits: asks for a clock sample. */
uint64_t machine_tsc(struct machine *machine);
/* For accel run: where to stop (may shrink during a device call; POSITION_NEVER where exits are counted), the INTR pin, and
 * requests. */
uint64_t machine_stop_icount(const struct machine *machine);
bool machine_intr_pending(const struct machine *machine);
bool machine_nmi_take(struct machine *machine);              /* an NMI has arrived: takes it */
bool machine_request_pending(const struct machine *machine); /* stop, reset or INIT requested: leave run */
/* One flag word that is nonzero if any of intr, nmi, request is pending: what a fast path tests. */
enum machine_attention_bit { ATTENTION_INTR = 1, ATTENTION_NMI = 2, ATTENTION_REQUEST = 4 };
const volatile uint32_t *machine_attention(const struct machine *machine);
/* Where the time of the next timer stands: while it is the same, so is machine_stop_icount within one call of run. */
const uint64_t *machine_next_timer_ns(const struct machine *machine);
/* For the accelerator: an interrupt was accepted (traces TRACE_IRQ). */
void machine_trace_irq(struct machine *machine, uint32_t vector);

/* ---- machines that count exits (position.h); core/machine_exits.c ---- */

bool machine_counts_exits(const struct machine *machine);
/* Around each access that is an exit: by the bus. */
void machine_exit_begin(struct machine *machine);
void machine_exit_end(struct machine *machine);
/* For an accelerator that runs the guest faster than it can be looked at: should it come to its next exit, or stop between
 * two, for the run loop? Cheap. */
bool machine_wanted(struct machine *machine);
/* It may want to at all: its input does not only follow a journal or another machine. Fixed when the machine is made. */
bool machine_may_want(const struct machine *machine);
/* May a repeated instruction stop here, after an iteration that was an exit? Where the input or a request wants it; for the caller's
 * limit too, unless whole steps were asked for: the limit then stops the run after the step that reaches it, so that steps are the
 * same however a run is cut into calls. */
bool machine_cuts_step(const struct machine *machine);
void machine_keep_steps_whole(struct machine *machine);
bool machine_interrupted(const struct machine *machine); /* machine_interrupt was called and not yet answered */
/* The CPU could take INTR (or NMI) now: right after an exit's instruction, or at a landmark, and before anything else is
 * executed. True: it must. */
bool machine_offer_interrupt(struct machine *machine, bool nmi);
/* The accelerator has stopped between two exits and would have the run loop act here: an exit from now on. count: of
 * instructions since the exit before, by the host's own rules; 0: not known. False: the input has no such stop here, and the run loop
 * acts at the next exit. */
bool machine_stop_between(struct machine *machine, const struct cpu_state *state, uint64_t count);
/* The next stop is a landmark, to be met before the next exit: null: it is not. registers: 32 bits of the hash. When the
 * accelerator stands there, it calls machine_landmark_met and returns ACCEL_EXIT_STEPS. */
struct machine_landmark {
    uint64_t rip, all;
    uint32_t registers;
    uint64_t count; /* about so many instructions after the exit before; 0: not known */
    uint64_t hits, matches; /* stops at rip; those with these registers */
};
/* So many stops at its RIP in vain: who looks for it gives up (machine_fail with MACHINE_STOP_DIVERGED). */
#define LANDMARK_HITS_MAX 20000000u
struct machine_landmark *machine_landmark(struct machine *machine);
void machine_landmark_met(struct machine *machine);
/* The guest asks for a value that this kind of run does not control (RDTSC, ...): noted, for who wonders later why it went
 * another way. Returns what to give it. */
uint64_t machine_uncontrolled(struct machine *machine, const char *what);
struct machine_uncontrolled {
    const char *what; /* null: none yet */
    struct accel_where where;
    struct position position;
    uint64_t count; /* of all */
};
const struct machine_uncontrolled *machine_uncontrolled_first(const struct machine *machine);

bool machine_goes(const struct machine *machine, enum machine_way way);
/* MACHINE_WAY_TSC_FROZEN: what the TSC stands at, before the CPU's offset. */
uint64_t machine_frozen_tsc(const struct machine *machine);
/* MACHINE_WAY_TSC_PORT: a read of the port, and what the accelerator then puts into EDX. */
uint32_t machine_read_tsc_port(struct machine *machine);
uint32_t machine_tsc_port_high(const struct machine *machine);
/* MACHINE_WAY_TSC_SITES. How many are meant with this LSTAR: the first; 0 without the way. */
unsigned machine_tsc_sites(const struct machine *machine, uint64_t lstar);
uint64_t machine_tsc_site(const struct machine *machine, unsigned index);
bool machine_at_tsc_site(const struct machine *machine, uint64_t linear, uint64_t lstar);
/* RDTSC there: an exit, as a read of the port is. Returns the TSC before the CPU's offset. */
uint64_t machine_read_tsc_site(struct machine *machine);

void machine_trace(struct machine *machine, const struct trace_event *event); /* fills the position */
/* The same for an access of the guest, by kind, address, value and size alone. */
void machine_trace_access(struct machine *machine, enum trace_kind kind, uint64_t address, uint64_t value,
                          uint32_t size_bytes);
/* Somebody looks at events of this kind: whoever would have to gather one asks first. */
bool machine_traces(const struct machine *machine, enum trace_kind kind);
/* A TRACE_BLOCK_ORIGIN, of which drive, tag, op and TRACE_ORIGIN_FUA are given: adds where the CPU is. */
void machine_trace_origin(struct machine *machine, struct trace_event event);
void machine_trace_block_data(struct machine *machine, uint32_t drive, uint64_t sector, const void *data,
                              size_t size_bytes);
uint64_t machine_pull(struct machine *machine, enum input_id id, uint64_t (*fetch)(void *opaque), void *opaque);
/* Who receives DELIVER messages of a row: one receiver a (row, target), or target UINT32_MAX for all. */
void machine_set_receiver(struct machine *machine, enum input_id id, uint32_t target,
                          void (*receive)(void *opaque, const struct input_message *message), void *opaque);

/* By devices. The run loop acts at the next boundary. */
void machine_request_stop(struct machine *machine, enum machine_stop stop, int exit_code);
void machine_request_reset(struct machine *machine);
/* By trace sinks and inputs: the run can't go on (divergence, full disk). The first reason wins. */
void machine_fail(struct machine *machine, enum machine_stop stop);

void machine_reset(struct machine *machine); /* devices in creation order, then the CPU; RAM stays */
/* Called at each reset after devices and CPU: a loader that sets registers for a boot without firmware. */
void machine_set_boot_hook(struct machine *machine, void (*boot)(void *opaque, struct machine *machine), void *opaque);

/* Called after each reset that the guest or a button made, for whoever is told of it. */
void machine_set_reset_hook(struct machine *machine, void (*hook)(void *opaque), void *opaque);

/* Runs until something stops it. limit: stop when this position is reached, after the timers and messages due there and
 * before its step (MACHINE_NO_LIMIT: none). May be called again after LIMIT, HOST and DEBUG: where a run was cut into
 * calls can't be seen by the guest. */
#define MACHINE_NO_LIMIT ((struct position){POSITION_NEVER, VTIME_NEVER})
enum machine_stop machine_run(struct machine *machine, struct position limit);
/* Between two calls of machine_run: gives the machine, where it stands, the messages that are there by now, as if they
 * had come before it was left. What that asks for (a stop) the next machine_run returns. */
void machine_deliver(struct machine *machine);
/* Ends the run: emits the final checkpoint and TRACE_END. Once. */
void machine_finish(struct machine *machine, enum machine_stop stop);
/* Any thread, async-signal-safe: makes machine_run return MACHINE_STOP_HOST at the next slice. */
void machine_interrupt(struct machine *machine);
int machine_exit_code(const struct machine *machine);
/* Called at each slice with the position, for progress lines; host time may be looked at there. */
void machine_set_slice_hook(struct machine *machine, void (*hook)(void *opaque, struct position position),
                            void *opaque);

/* Digests: CPU and devices (field lists, creation order), and everything with memory. */
/* Number of the definition of the digests: state.h's and what is gathered. Goes up when either changes. */
#define MACHINE_DIGEST_VERSION 8u
uint64_t machine_digest_state(struct machine *machine);
uint64_t machine_digest_all(struct machine *machine);
void machine_dump_state(struct machine *machine, FILE *out);

#endif
