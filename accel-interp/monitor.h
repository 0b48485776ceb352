/* MONITOR and MWAIT: the watched line of memory (monitor.c). The CPU's state has monitor_armed and monitor_gpa; the page of
 * an armed line carries MEMORY_PAGE_MONITOR, so that all writes to it come to block_code_written. */
#ifndef VMRR_ACCEL_INTERP_MONITOR_H
#define VMRR_ACCEL_INTERP_MONITOR_H

#include "accel-interp/interp.h"

#define MONITOR_LINE_BYTES 64u /* as CPUID leaf 5 says */

void monitor_arm(struct interp *cpu, uint64_t gpa);
void monitor_disarm(struct interp *cpu);
/* A write of size_bytes at gpa is about to be made. */
void monitor_written(struct interp *cpu, uint64_t gpa, unsigned size_bytes);
/* Around a change of all state, or of the memory map: the page's flag follows the state. */
void monitor_unwatch(struct interp *cpu);
void monitor_watch(struct interp *cpu);
/* The CPU is in MWAIT: goes it on? Then it is no longer halted. */
bool monitor_wait_ended(struct interp *cpu);

#endif
