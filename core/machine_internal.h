/* The machine's own structure, for machine*.c. */
#ifndef VMRR_CORE_MACHINE_INTERNAL_H
#define VMRR_CORE_MACHINE_INTERNAL_H

#include "core/machine.h"

#include <stdatomic.h>

#define MACHINE_RECEIVERS_MAX 128
#define MACHINE_LAST_EVENTS 16

struct machine_receiver {
    enum input_id id;
    uint32_t target;
    void (*receive)(void *opaque, const struct input_message *message);
    void *opaque;
};

/* What is guest-visible of the machine itself. */
#define MACHINE_STATE(S, A, N, T)                                                                                      \
    S(T, uint64_t, skipped_ns) /* virtual time = icount * VTIME_NS_PER_STEP + skipped_ns */                            \
    S(T, uint32_t, attention)                                                                                          \
    S(T, bool, a20)                                                                                                    \
    S(T, bool, ferr)                                                                                                   \
    S(T, bool, ignne)

struct machine {
    struct machine_options options;
    STATE_MEMBERS(MACHINE_STATE)
    struct memory *memory;
    struct bus *bus;
    struct vtime_queue *vtime;
    struct accel *accel;
    struct device *first_device, **last_device;
    struct cpu_link cpu_link;
    struct irq_line ferr_line;
    struct machine_receiver receivers[MACHINE_RECEIVERS_MAX];
    unsigned receiver_count;

    /* exits (machine_exits.c) */
    uint64_t exits;      /* of all, when they are counted */
    bool in_exit;        /* an access is under way */
    bool sampled;        /* in it the clock has been asked for */
    bool halt_counted;   /* the CPU is halted by an exit that has been counted */
    bool landmark_ahead; /* landmark is to be met */
    struct machine_landmark landmark;
    uint64_t port_tsc; /* of the last read of MACHINE_TSC_PORT; for the instruction that makes it */
    struct machine_uncontrolled uncontrolled;
    uint64_t uncontrolled_at, uncontrolled_run; /* since exit `at` */

    /* run loop (machine_run.c) */
    uint64_t stop_icount; /* of the present accelerator run, timers aside */
    uint64_t horizon_icount; /* the part of it that is the input's */
    bool whole_steps;
    struct position limit; /* of the present machine_run */
    struct position polled;
    bool polled_valid;
    uint64_t next_digest, next_checkpoint; /* icount */
    uint64_t digest_chain;
    struct state_gather *gather; /* null: to be made */
    struct cpu_state gathered_cpu;
    enum machine_stop requested_stop, failed;
    enum machine_stop kept_stop; /* of machine_deliver, for the next machine_run */
    bool reset_requested, init_requested, finished;
    int exit_code;
    atomic_bool interrupted;
    void (*boot)(void *opaque, struct machine *machine);
    void *boot_opaque;
    void (*was_reset)(void *opaque);
    void *reset_opaque;
    void (*slice)(void *opaque, struct position position);
    void *slice_opaque;

    /* for CHECK: the last events, oldest overwritten */
    struct trace_event last[MACHINE_LAST_EVENTS];
    uint64_t last_count;
};

extern const struct state_field *const machine_fields; /* machine.c */

void machine_request_attention(struct machine *machine);

/* machine_exits.c: a message of a machine that counts exits. False: it is another one. */
bool machine_exit_message(struct machine *machine, const struct input_message *message);
void machine_interrupt_taken(struct machine *machine); /* and traced */
bool machine_input_due(struct machine *machine);
void machine_sample_clock(struct machine *machine);
/* The CPU has halted, or is still so. */
void machine_exit_halt(struct machine *machine);
void machine_trace_checkpoint(struct machine *machine);
/* machine_run.c: stop_icount anew, for this position and the limit of the present run. */
void machine_compute_stop(struct machine *machine);

/* What a digest is made of, in its order: CPU, machine, devices. */
void machine_each_part(struct machine *machine,
                       void (*part)(void *opaque, const struct state_field *fields, void *object), void *opaque);

#endif
