/* accel.h: all that anyone knows of a CPU backend.
 *
 * Thread: machine thread. run executes guest instructions until machine_position reaches stop_icount exactly, or until
 * it has something for the run loop. It calls bus_*, machine_* and the cpu_link while it runs; the position that
 * machine_position reports during such a call is the step being executed. It looks at machine_intr_pending before every
 * step and delivers an interrupt at once when RFLAGS.IF and the shadows allow: when exactly is a function of the guest
 * alone, never of caching. After an instruction that touched a device, run re-reads machine->stop_icount, since the
 * device may have armed an earlier timer. */
#ifndef VMRR_CORE_ACCEL_H
#define VMRR_CORE_ACCEL_H

#include "core/cpu_state.h"
#include "core/position.h"
#include "core/status.h"

#include <stdint.h>
#include <stdio.h>

struct machine;
struct accel;
struct cpu_model;   /* accel-neutral CPUID table, core/cpu_model.h */
struct debug_point; /* core/debug.h */
struct debug_stop;

enum accel_exit {
    ACCEL_EXIT_STEPS,    /* stop_icount reached */
    ACCEL_EXIT_HALT,     /* HLT (or MWAIT); wakes by INTR with IF, NMI, INIT */
    ACCEL_EXIT_SHUTDOWN, /* triple fault */
    ACCEL_EXIT_REQUEST,  /* machine_request_* was called by a device */
    ACCEL_EXIT_DEBUG,    /* breakpoint or watchpoint of core/debug.h */
    ACCEL_EXIT_ERROR,    /* the host failed; ops->error has the text */
};

/* What was not done as a real CPU does it, named in the run's summary. */
struct accel_unimplemented {
    char name[48]; /* mnemonic by capstone, or bytes; RDMSR or WRMSR and the number */
    char fault[8]; /* what the guest got for it: "#UD", "#GP" */
    uint64_t count;
    uint64_t first_icount;
    uint64_t first_rip;
};

struct accel_statistics {
    uint64_t blocks_decoded, blocks_dropped, tlb_fills, tlb_flushes, exceptions, interrupts, cache_flushes;
    uint64_t block_searches; /* of code that the jump cache did not have */
};

/* Where the CPU is in its program, exact at any call from within run: the instruction being executed, between two the next
 * one. */
struct accel_where {
    uint64_t linear; /* CS base + RIP */
    uint64_t cr3;
    uint32_t flags; /* enum trace_origin_flag: the CPU's part */
};

struct accel_ops {
    const char *name; /* "interp", "kvm" */
    enum accel_exit (*run)(struct accel *accel);
    /* Steps executed so far, exact at any call from within run. */
    uint64_t (*icount)(const struct accel *accel);
    void (*where)(const struct accel *accel, struct accel_where *where); /* null: not known, all zero */
    void (*reset)(struct accel *accel);                                  /* CPU reset; icount goes on */
    void (*get_state)(struct accel *accel, struct cpu_state *state);
    /* Halted: interrupts can end it (RFLAGS.IF, or as MWAIT was asked to). Null: get_state says so; that may cost much more. */
    bool (*hears_interrupts)(struct accel *accel);
    void (*set_state)(struct accel *accel, const struct cpu_state *state);
    void (*set_icount)(struct accel *accel, uint64_t icount); /* restoring a checkpoint */
    /* From memory.c; may come from within run (a device write changed the map, DMA wrote code). */
    void (*memory_map_changed)(struct accel *accel);
    void (*memory_written)(struct accel *accel, uint64_t gpa, uint64_t size_bytes); /* page is MEMORY_PAGE_WATCHED */
    void (*memory_protect_all)(struct accel *accel); /* drop writable translations: dirty flags are to be set anew */
    void (*a20_changed)(struct accel *accel);
    /* Restoring (snapshot.h). What this CPU keeps beside its state and the guest can notice: its translations, which decide when
     * accessed and dirty bits are set. Saved between two calls of run, loaded after set_state; load checks all that it reads.
     * page_replaced: another content comes to the page with these flags, MEMORY_PAGE_WATCHED among them, and nobody wrote
     * it. Null, all of them: this accelerator can't be restored. */
    size_t (*hidden_bytes)(struct accel *accel);
    void (*hidden_save)(struct accel *accel, uint8_t *out);
    enum status (*hidden_load)(struct accel *accel, const uint8_t *in, size_t size);
    void (*page_replaced)(struct accel *accel, const uint8_t *flags);
    /* For debug.h: linear to physical with the CPU's present paging, no side effects; false if not mapped. */
    bool (*translate)(struct accel *accel, uint64_t linear, uint64_t *gpa);
    /* Run control of debug.h, with its contracts; null, all of them: none; with debug_step and debug_go_past alone: single
     * steps, no points. run ends with ACCEL_EXIT_DEBUG at a hit, and next
     * time goes on from there. debug_in_step: the last run ended within a step; run then finishes the step first,
     * whatever else is due, and machine_run calls it without a look at timers, messages and requests. */
    enum status (*debug_insert)(struct accel *accel, const struct debug_point *point);
    enum status (*debug_remove)(struct accel *accel, const struct debug_point *point);
    const struct debug_stop *(*debug_stop)(const struct accel *accel);
    bool (*debug_hit_waits)(const struct accel *accel);
    void (*debug_go_past)(struct accel *accel);
    void (*debug_step)(struct accel *accel);
    void (*debug_mute)(struct accel *accel, bool mute);
    void (*debug_run_until)(struct accel *accel, uint64_t icount);
    bool (*debug_until_met)(struct accel *accel);
    void (*debug_forget)(struct accel *accel); /* hits that were noted since run ended: a debugger's own writes */
    bool (*debug_in_step)(const struct accel *accel);
    size_t (*unimplemented)(struct accel *accel, struct accel_unimplemented *list, size_t max);
    void (*statistics)(struct accel *accel, struct accel_statistics *statistics);
    const char *(*error)(const struct accel *accel); /* after ACCEL_EXIT_ERROR; null: never */
    /* A message was posted: run, which does not look for one itself, comes to where it is taken before long. Any thread. Null:
     * it does. */
    void (*kick)(struct accel *accel);
    /* What another accelerator of the same machine has done for it. May be null. */
    /* Executes one instruction (of a repeated one, a slice) or delivers its fault, from the state given by set_state, whatever
     * interrupts, deadlines and requests there are. Memory may have changed since without a word. */
    void (*step)(struct accel *accel);
    /* RDMSR or WRMSR of an MSR, by what that state holds; false: #GP. */
    bool (*msr)(struct accel *accel, bool write, uint32_t index, uint64_t *value);
    void (*destroy)(struct accel *accel);
};

struct accel {
    const struct accel_ops *ops;
    struct machine *machine;
};

#endif
