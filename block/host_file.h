/* A file or block device of the host, for images. The only door of this room to the host: everything above it is a
 * function of its arguments. All calls retry EINTR and short transfers; errors come back as STATUS_IO or
 * STATUS_NO_SPACE. Thread: any, one call at a time. */
#ifndef VMRR_BLOCK_HOST_FILE_H
#define VMRR_BLOCK_HOST_FILE_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct host_file;

/* Regular files and block devices only. Null on failure, with the path and the reason in error. */
struct host_file *host_file_open(const char *path, bool read_only, struct error *error);
void host_file_close(struct host_file *file);                /* null allowed; no flush */
uint64_t host_file_size_bytes(const struct host_file *file); /* when it was opened */
const char *host_file_path(const struct host_file *file);

/* Whole ranges. A read past the end of the file (it shrank) is STATUS_IO. */
enum status host_file_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes) MUST_CHECK;
enum status host_file_write(struct host_file *file, uint64_t offset, const void *buffer,
                            uint64_t size_bytes) MUST_CHECK;
/* Data and the metadata needed to read it are on stable storage. */
enum status host_file_flush(struct host_file *file) MUST_CHECK;
/* The range reads as zeros afterwards; space is given back where the host can. */
enum status host_file_zero(struct host_file *file, uint64_t offset, uint64_t size_bytes) MUST_CHECK;

#endif
