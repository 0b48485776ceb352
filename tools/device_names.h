/* How drives and their devices' commands are called. */
#ifndef VMRR_TOOLS_DEVICE_NAMES_H
#define VMRR_TOOLS_DEVICE_NAMES_H

#include "block/block.h"

/* "ide0.1", "virtio-blk@5", "ahci@6.2": the controller, its PCI slot, the unit. Returns out. */
char *device_name(const struct block_attachment *at, char *out, size_t size);
/* "WRITE DMA EXT"; a command without a name in hexadecimal. Returns out. */
char *device_command_name(const struct block_attachment *at, uint32_t command, char *out, size_t size);

#endif
