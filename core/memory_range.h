/* For an accelerator that looks up page after page: the whole range around one. Thread: machine thread. */
#ifndef VMRR_CORE_MEMORY_RANGE_H
#define VMRR_CORE_MEMORY_RANGE_H

#include "core/memory.h"

/* Guest physical addresses start..end - 1 (whole pages) lie at host one after the other. Good until the memory map
 * changes. host is null and the range empty for MMIO and for nothing. */
struct memory_range {
    uint64_t start, end;
    uint8_t *host;  /* of start */
    uint8_t *flags; /* of start's page: one byte a page */
    bool writable;  /* as in struct memory_page */
};
struct memory_range memory_lookup_range(struct memory *memory, uint64_t gpa);

#endif
