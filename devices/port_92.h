/* System control port A (92h): fast A20 gate and fast reset. Thread: machine thread. */
#ifndef VMRR_DEVICES_PORT_92_H
#define VMRR_DEVICES_PORT_92_H

#include "core/device.h"

extern const struct device_class port_92_class;

struct device *port_92_create(struct machine *machine);

#endif
