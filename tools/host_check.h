/* Is this processor the one that vmrr was compiled for? */
#ifndef VMRR_TOOLS_HOST_CHECK_H
#define VMRR_TOOLS_HOST_CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* The name of a feature of x86-64-v2 that CPUID lacks, or null. ecx: of leaf 1. */
const char *host_check_missing(uint32_t ecx);

/* False, with a message on standard error: the interpreter can't run here. */
bool host_check(void);

#endif
