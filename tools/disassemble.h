/* Disassembly of guest code by capstone. */
#ifndef VMRR_TOOLS_DISASSEMBLE_H
#define VMRR_TOOLS_DISASSEMBLE_H

#include "core/machine.h"

#include <stdio.h>

/* A few instructions from the next one on. */
void disassemble_around(struct machine *machine, FILE *out);

#endif
