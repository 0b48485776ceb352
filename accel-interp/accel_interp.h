/* The interpreter as the rest of vmrr sees it. */
#ifndef VMRR_ACCEL_INTERP_ACCEL_INTERP_H
#define VMRR_ACCEL_INTERP_ACCEL_INTERP_H

#include "core/accel.h"

struct interp_options {
    uint64_t cache_bytes; /* decoded blocks; 0: 48 MiB */
    unsigned block_steps; /* longest block in instructions; 0: the default. 1: one instruction a block (tests) */
};

/* The machine takes it over with machine_set_accel. */
struct accel *interp_create(struct machine *machine, const struct interp_options *options, struct error *error);

#endif
