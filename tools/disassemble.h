/* Disassembly of guest code by capstone. */
#ifndef VMRR_TOOLS_DISASSEMBLE_H
#define VMRR_TOOLS_DISASSEMBLE_H

#include "core/machine.h"

#include <stdio.h>

/* A few instructions from the next one on. */
void disassemble_around(struct machine *machine, FILE *out);
/* One line: the instruction at the start of code, with its bytes. bits: 16, 32 or 64. Returns its length; 0: none. */
size_t disassemble_one(const uint8_t *code, size_t size_bytes, uint64_t address, unsigned bits, FILE *out);

#endif
