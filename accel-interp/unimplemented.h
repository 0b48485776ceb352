/* What the guest executed and the interpreter does not have: named by capstone for the run's summary. */
#ifndef VMRR_ACCEL_INTERP_UNIMPLEMENTED_H
#define VMRR_ACCEL_INTERP_UNIMPLEMENTED_H

#include "accel-interp/interp.h"

struct unimplemented_log *unimplemented_log_create(void);
void unimplemented_log_destroy(struct unimplemented_log *log);
/* bytes: the instruction, as far as it can be read. bits: 16, 32 or 64. */
void unimplemented_log_add(struct unimplemented_log *log, const uint8_t *bytes, size_t size_bytes, unsigned bits,
                           uint64_t icount, uint64_t rip);
/* access: "RDMSR 0x123". The instruction exists, the register does not: the guest gets #GP, not #UD. */
void unimplemented_log_add_msr(struct unimplemented_log *log, const char *access, uint64_t icount, uint64_t rip);
/* Returns how many there are; fills list with at most max, most frequent first. */
size_t unimplemented_log_list(const struct unimplemented_log *log, struct accel_unimplemented *list, size_t max);

#endif
