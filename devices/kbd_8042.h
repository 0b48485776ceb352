/* 8042 keyboard controller (ports 60h, 64h) with PS/2 keyboard and mouse. Thread: machine thread.
 *
 * Receives INPUT_KEY and INPUT_MOUSE. A mouse message's dy is positive downwards; bits 8 to 15 of its target are the
 * wheel's movement (int8, positive towards the person). */
#ifndef VMRR_DEVICES_KBD_8042_H
#define VMRR_DEVICES_KBD_8042_H

#include "core/device.h"
#include "core/irq.h"

extern const struct device_class kbd_8042_class;

struct device *kbd_8042_create(struct machine *machine, struct irq_line irq1, struct irq_line irq12);

#endif
