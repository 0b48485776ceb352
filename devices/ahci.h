/* An AHCI 1.3 controller (ICH9's, 8086:2922): six Serial ATA ports with disks and CD-ROM drives. */
#ifndef VMRR_DEVICES_AHCI_H
#define VMRR_DEVICES_AHCI_H

#include "block/block.h"
#include "devices/pci_bus.h"

#define AHCI_PORTS 6u

/* What is at one port. */
struct ahci_unit {
    struct block_drive *drive; /* null: a disk: absent; a CD-ROM drive: one that never has a medium */
    bool cdrom;
    const char *serial; /* copied, at most 20 characters; null or empty: made of the drive's index */
};

/* Registers the device "ahciN", N the slot. A port owns its drive's requests: nobody else may submit to it. */
struct device *ahci_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                           const struct ahci_unit units[AHCI_PORTS]);

#endif
