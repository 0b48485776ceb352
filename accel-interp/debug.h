/* Debug registers and single stepping (Intel SDM vol. 3, chapter 17). */
#ifndef VMRR_ACCEL_INTERP_DEBUG_H
#define VMRR_ACCEL_INTERP_DEBUG_H

#include "accel-interp/flags.h"
#include "accel-interp/system_bits.h"

/* Must instructions run one a chain, with the two hooks around each? */
static inline bool debug_active(const struct interp *cpu)
{
    return ((cpu->sysflags & (FLAG_TF | FLAG_RF | FLAG_VIP)) | (cpu->dr[7] & DR7_ENABLED) | cpu->s.pending_debug) != 0;
}

/* Before an instruction at cpu->rip, no chain running: execution breakpoints (raises #DB as a fault), notes TF. A trap
 * that MOV SS held back is delivered by the after-hook of the instruction that follows it. */
void debug_before_step(struct interp *cpu);
/* After one instruction has retired: raises #DB as a trap (cpu->rip is the next instruction) when a data or I/O breakpoint
 * was hit or TF was set. start_rip: its own; next_rip: where it goes on without a branch. */
void debug_after_step(struct interp *cpu, uint64_t start_rip, uint64_t next_rip);

/* Slow paths of memory and port access: notes breakpoints hit in s.pending_debug; abandons the instruction when it is not
 * alone in its chain. */
void debug_check_data(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, bool write);
void debug_check_io(struct interp *cpu, const struct insn *i, uint16_t port, unsigned size_bytes);
bool debug_watches_page(const struct interp *cpu, uint64_t page);

/* MOV to DR0..DR7, 32 or 64 bits, checks done. */
void debug_write_register(struct interp *cpu, unsigned number, uint64_t value);

#endif
