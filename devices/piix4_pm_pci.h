/* 82371AB (PIIX4), function 3 at 00:01.3: the configuration space of piix4_pm.c. */
#ifndef VMRR_DEVICES_PIIX4_PM_PCI_H
#define VMRR_DEVICES_PIIX4_PM_PCI_H

#include "devices/pci_bus.h"

/* pm: from piix4_pm_create; its register blocks appear and move as the guest programs PMBA and SMBBA. */
struct device *piix4_pm_pci_create(struct machine *machine, struct pci_bus *bus, struct device *pm);

/* Registers that a boot without firmware programs. */
#define PIIX4_PCI_PMBASE 0x40
#define PIIX4_PCI_PMREGMISC 0x80
#define PIIX4_PCI_SMBBA 0x90
#define PIIX4_PCI_SMBHSTCFG 0xD2

#endif
