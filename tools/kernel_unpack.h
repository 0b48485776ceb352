/* The vmlinux inside a bzImage, and RDTSC in it. Thread: any. */
#ifndef VMRR_TOOLS_KERNEL_UNPACK_H
#define VMRR_TOOLS_KERNEL_UNPACK_H

#include "replay/replay.h"

/* The payload of a bzImage (boot protocol 2.08 and up), unpacked: gzip, xz, zstd, LZ4. A vmlinux stays as it is. name: for
 * errors. On failure the blob is as it was. */
enum status kernel_unpack(struct journal_blob *kernel, const char *name, struct error *error) MUST_CHECK;

/* Replaces every RDTSC in the executable sections of a vmlinux by IN EAX, MACHINE_TSC_PORT, every RDRAND and RDSEED by CLC (the
 * processor has no number at the moment), and lists where they were
 * (allocated; at most JOURNAL_TSC_SITES_MAX). STATUS_NOT_FOUND: there is none. */
enum status kernel_trap_tsc(struct journal_blob *vmlinux, const char *name, uint64_t **sites, uint32_t *count,
                            struct error *error) MUST_CHECK;

#endif
