/* What the CPU model has, as the instructions ask for it: looked up by name once, when the interpreter is made. */
#ifndef VMRR_ACCEL_INTERP_FEATURES_H
#define VMRR_ACCEL_INTERP_FEATURES_H

#include "core/cpu_model.h"

#include <stdbool.h>
#include <stdint.h>

struct interp_features {
    uint64_t cr4;              /* bits that may be set */
    uint64_t efer;             /* likewise, EFER_LMA included */
    uint64_t xsave_components; /* likewise of XCR0 */
    bool pse36, mca, xsavec, xsaves, xgetbv1, rdtscp, tsc_adjust, arch_capabilities, monitor;
};

struct interp_features interp_features_of(const struct cpu_model *model);

#endif
