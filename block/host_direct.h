/* Transfers on a descriptor with O_DIRECT whose range or buffer is not aligned as the host wants it: through a buffer of
 * one's own, and by reading, changing and writing back blocks that are covered in part. Two such writes of one file may
 * share a block, so they are made one at a time (host_file.h); one that fits covers all its blocks whole, and so never
 * shares one with a range that it does not overlap. */
#ifndef VMRR_BLOCK_HOST_DIRECT_H
#define VMRR_BLOCK_HOST_DIRECT_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct host_direct;

/* align_bytes: 0: statx(2) STATX_DIOALIGN, or found by trying. The descriptor stays the caller's. */
struct host_direct *host_direct_create(int fd, const char *path, uint32_t align_bytes, struct error *error);
void host_direct_destroy(struct host_direct *direct); /* null allowed */
bool host_direct_fits(const struct host_direct *direct, uint64_t offset, const void *buffer, uint64_t size_bytes);
enum status host_direct_read(struct host_direct *direct, uint64_t offset, void *buffer, uint64_t size_bytes) MUST_CHECK;
/* file_bytes: how long the file is; what whole blocks made it longer than this or the range's end is cut off again. */
enum status host_direct_write(struct host_direct *direct, uint64_t offset, const void *buffer, uint64_t size_bytes,
                              uint64_t file_bytes) MUST_CHECK;

#endif
