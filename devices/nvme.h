/* An NVM Express 1.4 controller with one namespace, as a PCI function (class 01:08:02).
 *
 * BAR 0 (64-bit memory, 16 KiB): registers at 0, doorbells at 1000h, MSI-X table at 2000h, pending bits at 3000h. INTA
 * while MSI-X is off. Identifies itself as QEMU's (1B36:0010), so that drivers treat it as they treat that one.
 * Thread: machine thread. */
#ifndef VMRR_DEVICES_NVME_H
#define VMRR_DEVICES_NVME_H

#include "block/block.h"
#include "devices/pci_bus.h"

#define NVME_SERIAL_BYTES_MAX 20u

struct nvme_options {
    struct block_drive *drive; /* not shared with another device */
    const char *serial;   /* copied; at most NVME_SERIAL_BYTES_MAX count; null, empty: made of the drive's number */
    unsigned flags;       /* enum block_attach_flag: NO_WRITE_CACHE, NO_DISCARD */
    uint32_t block_bytes; /* 512 or 4096, the drive a multiple of it (what is left over is not shown); 0: 512 */
};

/* Function 0 of a slot. Registers the device "nvmeN", N being the drive's number. */
struct device *nvme_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                           const struct nvme_options *options);

#endif
