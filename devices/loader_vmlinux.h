/* vmlinux: Linux for x86-64 as an ELF64 file. Between loader_vmlinux.c, which reads the file, and loader_linux.c, which starts it. */
#ifndef VMRR_DEVICES_LOADER_VMLINUX_H
#define VMRR_DEVICES_LOADER_VMLINUX_H

#include "devices/loader.h"

struct vmlinux {
    const char *name;
    uint64_t start, end; /* guest-physical, of all segments */
    uint64_t entry;      /* guest-physical */
};
/* Adds the segments to the plan. */
enum status loader_vmlinux_read(const struct loader_options *options, struct vmlinux *kernel, struct boot_plan *plan,
                                struct error *error) MUST_CHECK;

#endif
