/* 82441FX (440FX PMC): host bridge at 00:00.0, and the shadowing of C0000h..FFFFFh by its PAM registers. */
#ifndef VMRR_DEVICES_I440FX_H
#define VMRR_DEVICES_I440FX_H

#include "core/memory.h"
#include "devices/pci_bus.h"

struct i440fx_options {
    struct memory_block *ram;  /* "ram": offset = address below 1 MiB */
    struct memory_block *bios; /* null: boot without firmware; its last 128 KiB (or all, if smaller) end at 1 MiB */
};

/* Maps RAM or ROM for each of the 13 segments from C0000h to FFFFFh with priority I440FX_MAP_PRIORITY, which must be
 * above that of the plain map of RAM. Without a BIOS all segments start as RAM (read and write). */
#define I440FX_MAP_PRIORITY 10
struct device *i440fx_create(struct machine *machine, struct pci_bus *bus, const struct i440fx_options *options);

#endif
