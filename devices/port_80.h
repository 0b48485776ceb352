/* POST code port (80h). Thread: machine thread. */
#ifndef VMRR_DEVICES_PORT_80_H
#define VMRR_DEVICES_PORT_80_H

#include "core/device.h"

extern const struct device_class port_80_class;

struct device *port_80_create(struct machine *machine);
/* The last code, for tools that show how far firmware came. */
uint8_t port_80_code(struct device *device);

#endif
