/* virtio block device on PCI: a drive of its own. Thread: machine thread. */
#ifndef VMRR_DEVICES_VIRTIO_BLK_H
#define VMRR_DEVICES_VIRTIO_BLK_H

#include "block/block.h"
#include "devices/pci_bus.h"

struct virtio_blk_options {
    struct block_drive *drive;
    const char *serial;        /* 20 bytes count; null or empty: made up of the drive's index */
    bool no_legacy, no_modern; /* not both */
    bool no_write_cache;       /* it starts with the write cache off */
    bool no_discard;           /* not offered */
};

/* The device is "virtio-blkN", N the drive's index. */
struct device *virtio_blk_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                                 const struct virtio_blk_options *options);

#endif
