/* Run control for debuggers (the gdb stub of a later issue) and tools: look at a stopped machine without changing it.
 * Addresses are linear unless said otherwise. Thread: machine thread, machine not running. */
#ifndef VMRR_CORE_DEBUG_H
#define VMRR_CORE_DEBUG_H

#include "core/machine.h"

/* Reads guest memory through the present page tables, without access bits and without touching MMIO. Returns the bytes
 * read before the first unmapped one. */
size_t debug_read_linear(struct machine *machine, uint64_t linear, void *buffer, size_t size_bytes);
/* Text of the registers, several lines. */
void debug_print_registers(struct machine *machine, FILE *out);
/* Linear address of the next instruction, and the CPU's mode as 16, 32 or 64. */
uint64_t debug_code_address(struct machine *machine, unsigned *bits);

#endif
