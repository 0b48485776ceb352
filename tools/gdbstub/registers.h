/* The registers as gdb sees them: one description in every CPU mode (x86-64), in the order of its XML. */
#ifndef VMRR_TOOLS_GDBSTUB_REGISTERS_H
#define VMRR_TOOLS_GDBSTUB_REGISTERS_H

#include "core/machine.h"

#define GDB_REGISTER_BYTES_MAX 16

/* The XML document, and its length. Owned by the caller. long_mode: gdb is to begin as for 64-bit code. */
char *gdb_registers_xml(bool long_mode, size_t *size_bytes);
unsigned gdb_register_count(void);
unsigned gdb_register_bytes(unsigned number);
/* cr8: of the local APIC, which is not in the state. */
void gdb_register_get(const struct cpu_state *state, uint8_t cr8, unsigned number, uint8_t *bytes);
/* False: the bytes are another value than the register has, and it is one that cannot be written (segments, control
 * registers). Bits of RFLAGS and MXCSR that the CPU has not are left as they are. */
bool gdb_register_set(struct cpu_state *state, uint8_t cr8, unsigned number, const uint8_t *bytes);
/* Those that can be written have the same values. */
bool gdb_registers_same(const struct cpu_state *a, const struct cpu_state *b);

#endif
