/* 82371SB (PIIX3): ISA bridge at 00:01.0, and the routing of PIRQA..D to ISA interrupts. */
#ifndef VMRR_DEVICES_PIIX3_ISA_H
#define VMRR_DEVICES_PIIX3_ISA_H

#include "devices/pci_bus.h"

/* lines: the 16 interrupt lines as PCI interrupts reach them (the board gives each to the 8259 pair and to the IOAPIC
 * pin of the same number). Becomes the router of the bus. */
struct device *piix3_isa_create(struct machine *machine, struct pci_bus *bus, const struct irq_line lines[16]);

#endif
