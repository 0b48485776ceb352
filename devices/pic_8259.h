/* 8259A pair of the PIIX (ports 20h, A0h, ELCR at 4D0h). Thread: machine thread.
 *
 * intr is driven with the level of the master's INT output; on the board it leads to LINT0 of the local APIC, whose
 * acknowledge comes back as pic_8259_acknowledge. */
#ifndef VMRR_DEVICES_PIC_8259_H
#define VMRR_DEVICES_PIC_8259_H

#include "core/device.h"
#include "core/irq.h"

extern const struct device_class pic_8259_class;

struct device *pic_8259_create(struct machine *machine, struct irq_line intr);
/* irq 0 to 15; 2 is the cascade and is unconnected. */
struct irq_line pic_8259_irq_line(struct device *device, unsigned irq);
/* The INTA sequence: always a vector (of IRQ7 or IRQ15 when the request has vanished). */
int pic_8259_acknowledge(struct device *device);

#endif
