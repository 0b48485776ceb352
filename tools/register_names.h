/* Registers as people call them. */
#ifndef VMRR_TOOLS_REGISTER_NAMES_H
#define VMRR_TOOLS_REGISTER_NAMES_H

#include <stddef.h>

/* The path of a field of struct cpu_state: "gpr[3]" as "rbx", "segment[1].base" as "cs.base", others as they are. */
void register_name(const char *path, char *out, size_t size_bytes);

#endif
