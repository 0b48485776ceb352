/* Coprocessor error register (F0h). Thread: machine thread. */
#ifndef VMRR_DEVICES_PORT_F0_H
#define VMRR_DEVICES_PORT_F0_H

#include "core/device.h"

extern const struct device_class port_f0_class;

struct device *port_f0_create(struct machine *machine);

#endif
