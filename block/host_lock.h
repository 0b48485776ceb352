/* Locks on image files against other processes, on the same bytes as QEMU's (block/file-posix.c): so each of the two
 * sees the other's. Byte 100 + n is read-locked by who uses permission n; byte 200 + n by who does not let others use
 * it. The locks belong to the open file (OFD locks, fcntl(2)) and go when it is closed. */
#ifndef VMRR_BLOCK_HOST_LOCK_H
#define VMRR_BLOCK_HOST_LOCK_H

#include "block/host_file.h"

/* A reader lets others read; a writer nobody write or resize, nor a reader that wants its data to stay. share: takes
 * what it gets. STATUS_IO with the path, the permission and who refuses it. */
enum status host_lock_take(int fd, const char *path, const struct host_file_options *options,
                           struct error *error) MUST_CHECK;

#endif
