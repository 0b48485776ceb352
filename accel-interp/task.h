/* Hardware task switching, task.c (Intel SDM vol. 3, chapter 7). */
#ifndef VMRR_ACCEL_INTERP_TASK_H
#define VMRR_ACCEL_INTERP_TASK_H

#include "accel-interp/segment.h"

enum task_switch { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_GATE /* interrupt or exception through a task gate */ };

/* Switches to the TSS of selector, whose descriptor has been fetched and whose type, privilege and presence have been
 * checked. next_rip is saved as the old task's EIP. Afterwards cpu is the new task; faults of its loading are raised in
 * it. has_error: pushes the error code on the new stack. */
void task_switch(struct interp *cpu, const struct insn *i, uint16_t selector, struct descriptor *d,
                 enum task_switch how, uint64_t next_rip, bool has_error, uint32_t error);

/* SS and ESP for an inner level from the present TSS; raises #TS. Outside long mode. */
void task_inner_stack(struct interp *cpu, const struct insn *i, unsigned dpl, uint16_t *ss, uint32_t *esp);
/* RSP0..2, or IST n (1..7). Long mode. */
uint64_t task_inner_stack_long(struct interp *cpu, const struct insn *i, unsigned dpl, unsigned ist);

#endif
