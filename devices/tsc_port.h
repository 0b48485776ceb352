/* The port that stands for RDTSC in kernels that were changed so (core/machine.h, MACHINE_WAY_TSC_PORT). */
#ifndef VMRR_DEVICES_TSC_PORT_H
#define VMRR_DEVICES_TSC_PORT_H

#include "core/machine.h"

extern const struct device_class tsc_port_class;
struct device *tsc_port_create(struct machine *machine);

#endif
