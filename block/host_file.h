/* A file or block device of the host, for images: the only door of this room to the host. Everything above it is a
 * function of its arguments, so a test may put a file of its own behind these functions (struct host_file_ops), which
 * keeps a log of what reached the disk, or fails on demand. host_file_posix.c is the real one.
 *
 * Ranges are in bytes, whole: short transfers and EINTR are retried below. Failures are STATUS_IO or STATUS_NO_SPACE.
 * Thread: any, one call at a time for a file; host_file_transfer and host_file_flush at the same time as any other. */
#ifndef VMRR_BLOCK_HOST_FILE_H
#define VMRR_BLOCK_HOST_FILE_H

#include "block/activity.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct host_file;

enum host_preallocation { HOST_PREALLOC_OFF, HOST_PREALLOC_FALLOC, HOST_PREALLOC_FULL };

struct host_file_ops {
    enum status (*read)(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes);
    enum status (*write)(struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes);
    enum status (*flush)(struct host_file *file);
    enum status (*zero)(struct host_file *file, uint64_t offset, uint64_t size_bytes, bool unmap);
    enum status (*resize)(struct host_file *file, uint64_t size_bytes, enum host_preallocation preallocation);
    /* The run that starts at offset: true when it holds data, false for a hole. size_bytes > 0 while offset is inside. */
    enum status (*extent)(struct host_file *file, uint64_t offset, uint64_t *size_bytes, bool *data);
    /* All of the range or STATUS_IO, in one call. Null: piece by piece. */
    enum status (*transfer)(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                            unsigned count);
    /* See host_file_descriptor. Null: none. */
    int (*descriptor)(const struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes);
    /* Bytes that the host has given to the file. Null: its size. */
    uint64_t (*allocated)(struct host_file *file);
    void (*close)(struct host_file *file); /* frees it */
};

/* First member of every implementation. */
struct host_file {
    const struct host_file_ops *ops;
    const char *path;    /* for messages; the implementation's */
    uint64_t size_bytes; /* now: as it was opened, then by what this file did to it */
    bool read_only;
    uint8_t index;                   /* struct block_step file */
    struct block_activity *activity; /* null: nobody looks */
};

/* Locks as QEMU puts them on images: see host_lock.h. */
enum host_locking {
    HOST_LOCKING_AUTO, /* where the host's file system can */
    HOST_LOCKING_ON,
    HOST_LOCKING_OFF,
};

struct host_file_options {
    bool read_only;
    bool create;   /* a new regular file, mode 0644, or an old one emptied */
    bool direct;   /* O_DIRECT: past the host's page cache. Callers need not align anything */
    bool no_flush; /* flushes succeed and do nothing */
    bool share;    /* for a look only: others may write at the same time */
    enum host_locking locking;
    uint32_t align_bytes; /* of direct transfers: a power of two up to 64 KiB; 0: what the host asks for */
};

struct block_open_options;
/* open.c: how a file of an image is opened, by what was asked for the image. */
struct host_file_options block_host_options(const struct block_open_options *options, bool read_only);

/* Regular files and block devices only. Null on failure, with the path and the reason in error; when the reason is a
 * lock, what the other holds or does not share. */
struct host_file *host_file_open(const char *path, const struct host_file_options *options, struct error *error);
void host_file_close(struct host_file *file); /* null allowed; no flush */

/* A read past the end of the file is STATUS_IO: formats that allow it ask size_bytes first. A write past the end makes
 * the file longer (a block device: STATUS_NO_SPACE). */
enum status host_file_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes) MUST_CHECK;
enum status host_file_write(struct host_file *file, uint64_t offset, const void *buffer,
                            uint64_t size_bytes) MUST_CHECK;
/* Data and the metadata needed to read it are on stable storage. */
enum status host_file_flush(struct host_file *file) MUST_CHECK;
/* The range reads as zeros afterwards. unmap: space is given back where the host can; else the range stays allocated. It
 * may reach past the end, which then becomes the end of the range. */
enum status host_file_zero(struct host_file *file, uint64_t offset, uint64_t size_bytes, bool unmap) MUST_CHECK;
enum status host_file_resize(struct host_file *file, uint64_t size_bytes,
                             enum host_preallocation preallocation) MUST_CHECK;
enum status host_file_extent(struct host_file *file, uint64_t offset, uint64_t *size_bytes, bool *data) MUST_CHECK;
uint64_t host_file_allocated_bytes(struct host_file *file);

/* The file's descriptor, if a transfer of this range (inside the file) from or to this buffer can be handed to the host
 * as it is; else -1, and the functions above do it. */
int host_file_descriptor(const struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes);
/* host_file_read or host_file_write of a range with a descriptor, without a step in the log. */
enum status host_file_transfer(struct host_file *file, bool write, uint64_t offset, void *buffer,
                               uint64_t size_bytes) MUST_CHECK;
/* The same for a range whose parts, each with a descriptor, lie in several buffers: at most HOST_PIECES_MAX. After a failure
 * any of it may have been transferred. */
#define HOST_PIECES_MAX 32u
enum status host_file_transfer_pieces(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                                      unsigned count) MUST_CHECK;

#endif
