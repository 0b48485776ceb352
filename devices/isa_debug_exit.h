/* isa-debug-exit at port F4h: a guest ends the run with (value << 1) | 1. Thread: machine thread. */
#ifndef VMRR_DEVICES_ISA_DEBUG_EXIT_H
#define VMRR_DEVICES_ISA_DEBUG_EXIT_H

#include "core/device.h"

extern const struct device_class isa_debug_exit_class;

struct device *isa_debug_exit_create(struct machine *machine);

#endif
