/* Breakpoints and watchpoints of core/debug.h. Internal to accel-interp.
 *
 * Breakpoints. Where any breakpoint has the same offset in its page, by whatever mapping, an instruction is a block of its
 * own, decoded with BLOCK_BREAK, whose first function asks run_control_breaks and then goes on or leaves the chain: so no
 * way into a block needs a check. The run loop asks run_control_stops before anything of the step has happened.
 *
 * Watchpoints. Pages with watchpoints, linear or physical, stay out of the TLB views, as those with the guest's own data
 * breakpoints do; a hit is taken by an instruction that runs alone (interp_redo_single).
 *
 * cpu->control has bits CONTROL_*, so that all of it costs nothing while there are none. None of it is guest state. */
#ifndef VMRR_ACCEL_INTERP_RUN_CONTROL_H
#define VMRR_ACCEL_INTERP_RUN_CONTROL_H

#include "accel-interp/interp.h"
#include "core/debug.h"

#define CONTROL_BREAK 0x01u   /* there are breakpoints */
#define CONTROL_CUT 0x02u     /* some offsets begin a block of their own */
#define CONTROL_WATCH 0x04u   /* there are watchpoints */
#define CONTROL_HIT 0x08u     /* the run loop is to stop */
#define CONTROL_IN_STEP 0x10u /* stopped between two iterations of a step */
#define CONTROL_ITERATE 0x20u /* the instruction that runs alone is to stop after an iteration */

#define CONTROL_STEP 0x40u /* stop after one step */

#define CONTROL_OWN 0x80000000u /* flag of a breakpoint: of the run loop's, which looks for itself: no stop */

void run_control_create(struct interp *cpu);
void run_control_destroy(struct interp *cpu);

/* The accelerator's operations. */
enum status run_control_insert(struct accel *accel, const struct debug_point *point);
enum status run_control_remove(struct accel *accel, const struct debug_point *point);
const struct debug_stop *run_control_stop(const struct accel *accel);
bool run_control_hit_waits(const struct accel *accel);
void run_control_go_past(struct accel *accel);
void run_control_forget_hits(struct accel *accel);
void run_control_mute(struct accel *accel, bool mute);
void run_control_step(struct accel *accel);
void run_control_run_until(struct accel *accel, uint64_t icount);
bool run_control_until_met(struct accel *accel);
bool run_control_in_step(const struct accel *accel);
/* run ends with ACCEL_EXIT_DEBUG. */
void run_control_reported(struct interp *cpu);

/* For the run loop, no chain running. */
/* A breakpoint that has not been passed is at cpu->rip: notes the hit. Sets CONTROL_ITERATE for one passed. */
bool run_control_stops(struct interp *cpu);
/* The step that was asked for has been executed. */
bool run_control_stepped(struct interp *cpu, uint64_t icount);
/* Where it is asked for, the run loop stops: icount, or POSITION_NEVER. */
uint64_t run_control_until(const struct interp *cpu);
/* It is there. */
bool run_control_meets_until(struct interp *cpu, uint64_t icount);
/* Before a step is finished that stopped between two iterations. */
void run_control_resume_step(struct interp *cpu);
/* The registers are others now: nothing is half done, no hit waits. */
void run_control_forget(struct interp *cpu);
/* Registers and memory are others now: where watched ranges are mapped is looked up anew. */
void run_control_look_again(struct interp *cpu);
/* The instruction faulted: what it had read does not count. */
void run_control_faulted(struct interp *cpu);

/* For the block cache. */
bool run_control_cuts(const struct interp *cpu, unsigned page_offset);
/* Is a breakpoint that must stop here at linear, where `icount` steps have been executed? */
bool run_control_breaks(const struct interp *cpu, uint64_t linear, uint64_t icount);

/* For mmu.c: one page's part of an access, before it is made. Abandons the instruction when it hits and is not alone.
 * CONTROL_WILL_WRITE: does only that, for an instruction that reads first. */
enum run_control_access { CONTROL_READS, CONTROL_WRITES, CONTROL_WILL_WRITE };
void run_control_check(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t gpa, unsigned size_bytes,
                       enum run_control_access access);
/* Must accesses to this page come by? Notes where it is mapped, for DMA; flags: the page's, null for none. */
bool run_control_watches(struct interp *cpu, uint64_t linear, uint64_t gpa, uint8_t *flags);
void run_control_dma(struct interp *cpu, uint64_t gpa, uint64_t size_bytes);

/* For repeated string instructions: must the slice be left after this iteration, if it is not its last? */
static inline bool run_control_pauses(const struct interp *cpu)
{
    return __builtin_expect(cpu->control & (CONTROL_HIT | CONTROL_ITERATE), 0);
}
static inline bool run_control_iterates(const struct interp *cpu)
{
    return __builtin_expect(cpu->control & CONTROL_ITERATE, 0);
}
/* Leaves the chain between two iterations of instruction i, which does not retire: registers say how far it is. */
const struct insn *run_control_pause(struct interp *cpu, const struct insn *i);

#endif
