/* I/O APIC with 24 pins at FEC00000h. Thread: machine thread.
 *
 * Lines carry "asserted", whatever the polarity on the board: the polarity bit of a redirection entry is storage. */
#ifndef VMRR_DEVICES_IOAPIC_H
#define VMRR_DEVICES_IOAPIC_H

#include "core/device.h"
#include "core/irq.h"

#define IOAPIC_BASE 0xFEC00000ull
#define IOAPIC_PINS 24u
#define IOAPIC_ID 1u /* what the MADT says */

extern const struct device_class ioapic_class;

/* Registers itself for lapic's EOIs. */
struct device *ioapic_create(struct machine *machine, struct device *lapic);
struct irq_line ioapic_irq_line(struct device *device, unsigned pin);

#endif
