/* 8254 timer (ports 40h-43h) and system control port B (61h). Thread: machine thread. */
#ifndef VMRR_DEVICES_PIT_8254_H
#define VMRR_DEVICES_PIT_8254_H

#include "core/device.h"
#include "core/irq.h"

#define PIT_8254_HZ 1193182u

extern const struct device_class pit_8254_class;

/* irq0 follows OUT of channel 0. */
struct device *pit_8254_create(struct machine *machine, struct irq_line irq0);

#endif
