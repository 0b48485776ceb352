/* PIIX3 IDE at 00:01.1: two ATA channels at the compatibility ports, and the bus master. */
#ifndef VMRR_DEVICES_IDE_H
#define VMRR_DEVICES_IDE_H

#include "block/block.h"
#include "core/irq.h"
#include "devices/pci_bus.h"

/* drives: primary master, primary slave, secondary master, secondary slave; null: absent. irq: 14 and 15. Registers the
 * devices "ide0", "ide1" (channels) and "ide" (PCI function). */
struct device *ide_piix3_create(struct machine *machine, struct pci_bus *bus, struct block_drive *const drives[4],
                                const struct irq_line irq[2]);

#endif
