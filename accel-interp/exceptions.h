/* Delivery of exceptions and interrupts (Intel SDM vol. 3, chapter 6), and returns from them. */
#ifndef VMRR_ACCEL_INTERP_EXCEPTIONS_H
#define VMRR_ACCEL_INTERP_EXCEPTIONS_H

#include "accel-interp/interp.h"

enum exception_source {
    EXCEPTION_FAULT,    /* of an instruction (or a debug trap after it): cpu->rip is what the handler returns to */
    EXCEPTION_SOFTWARE, /* INT n, INT3, INTO */
    EXCEPTION_EXTERNAL, /* INTR or NMI (vector 2) */
};

/* What an event does to the events raised while it is being delivered. */
enum event_class { EVENT_NONE, EVENT_BENIGN, EVENT_CONTRIBUTORY, EVENT_PAGE_FAULT, EVENT_DOUBLE_FAULT };

/* By the run loop, no chain running. May raise again (longjmp): the run loop then calls it with the new exception, and
 * it makes a double fault of the two, or on a third sets s.shutdown and returns. Leaves HLT. For vector 2 from outside,
 * NMIs are blocked until IRET. */
void exception_deliver(struct interp *cpu, uint8_t vector, enum exception_source source, bool has_error,
                       uint32_t error);

/* INT n, INT3, INTO, INT1 at insn i, whose successor's offset is next_rip. icebp: INT1, no privilege check, EXT set.
 * True: nothing was out of the ordinary, the chain may go on at cpu->rip in the present mode. */
bool exception_software(struct interp *cpu, const struct insn *i, uint8_t vector, uint64_t next_rip, bool icebp);

/* INT n in virtual-8086 mode with CR4.VME: true when the TSS's redirection bitmap sent it to the task's own handler. */
bool exception_redirect(struct interp *cpu, const struct insn *i, uint8_t vector);

/* RFLAGS as pushed and popped: cpu_write_rflags with only the bits in mask taken from value. */
void flags_write_masked(struct interp *cpu, uint64_t value, uint64_t mask);

#endif
