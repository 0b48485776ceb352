/* PIIX3 IDE at 00:01.1: two ATA channels at the compatibility ports, and the bus master. */
#ifndef VMRR_DEVICES_IDE_H
#define VMRR_DEVICES_IDE_H

#include "block/block.h"
#include "core/irq.h"
#include "devices/pci_bus.h"

/* What is at one place of a channel. */
struct ide_unit {
    struct block_drive *drive; /* null: a disk: absent; a CD-ROM drive: one that never has a medium */
    bool cdrom;
    const char *serial; /* copied, at most 20 characters; null or empty: made of the drive's index */
};

/* units: primary master, primary slave, secondary master, secondary slave. irq: 14 and 15. Registers the devices "ide0",
 * "ide1" (channels) and "ide" (PCI function). */
struct device *ide_piix3_create(struct machine *machine, struct pci_bus *bus, const struct ide_unit units[4],
                                const struct irq_line irq[2]);

#endif
