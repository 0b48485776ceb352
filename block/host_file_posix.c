/* Files and block devices of a Linux host: pread, pwrite, fdatasync, fallocate and lseek, in full. O_DIRECT: what is not
 * aligned goes through host_direct.c. */
#define _GNU_SOURCE
#include "block/host_direct.h"
#include "block/host_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZERO_CHUNK_BYTES 65536u

struct posix_file {
    struct host_file file;
    int fd;
    bool device; /* a block device: its size stays */
    bool no_flush;
    struct host_direct *direct; /* null: the page cache takes any alignment */
};

static struct posix_file *posix_of(struct host_file *file)
{
    return (struct posix_file *)(void *)file;
}

static enum status status_of_errno(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

static int open_retry(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags, 0644);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Size of what can hold an image; -1 with error filled for everything else. */
static int64_t image_size(int fd, const char *path, bool *device, struct error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        error_set(error, "%s: is neither a regular file nor a block device", path);
        return -1;
    }
    *device = S_ISBLK(st.st_mode);
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        error_set(error, "%s: cannot find its size: %s", path, strerror(errno));
    return end;
}

static int open_flags(const struct host_file_options *options)
{
    /* O_NONBLOCK: a FIFO given by mistake must be refused, not waited for. It has no effect on files and disks. */
    return (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
           (options->create ? O_CREAT : 0) | (options->direct ? O_DIRECT : 0);
}

static enum status posix_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    struct posix_file *posix = posix_of(file);
    uint8_t *out = buffer;
    if (posix->direct && !host_direct_fits(posix->direct, offset, buffer, size_bytes))
        return host_direct_read(posix->direct, offset, buffer, size_bytes);
    while (size_bytes) {
        ssize_t got = pread(posix->fd, out, size_bytes < SSIZE_MAX ? size_bytes : SSIZE_MAX, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return STATUS_IO;
        out += got;
        offset += (uint64_t)got;
        size_bytes -= (uint64_t)got;
    }
    return STATUS_OK;
}

static enum status posix_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    struct posix_file *posix = posix_of(file);
    const uint8_t *in = buffer;
    if (posix->direct && !host_direct_fits(posix->direct, offset, buffer, size_bytes))
        return host_direct_write(posix->direct, offset, buffer, size_bytes, file->size_bytes);
    while (size_bytes) {
        ssize_t put = pwrite(posix->fd, in, size_bytes < SSIZE_MAX ? size_bytes : SSIZE_MAX, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? status_of_errno(errno) : STATUS_IO;
        in += put;
        offset += (uint64_t)put;
        size_bytes -= (uint64_t)put;
    }
    return STATUS_OK;
}

static enum status posix_transfer(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                                  unsigned count)
{
    int fd = posix_of(file)->fd;
    size_t size_bytes = 0;
    ssize_t moved;
    for (unsigned n = 0; n < count; n++)
        size_bytes += piece[n].iov_len;
    do {
        moved = write ? pwritev(fd, piece, (int)count, (off_t)offset) : preadv(fd, piece, (int)count, (off_t)offset);
    } while (moved < 0 && errno == EINTR);
    return moved >= 0 && (size_t)moved == size_bytes ? STATUS_OK : STATUS_IO;
}

static enum status posix_flush(struct host_file *file)
{
    int result;
    if (posix_of(file)->no_flush)
        return STATUS_OK;
    do {
        result = fdatasync(posix_of(file)->fd);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? status_of_errno(errno) : STATUS_OK;
}

static int fallocate_retry(int fd, int mode, uint64_t offset, uint64_t size_bytes)
{
    int result;
    do {
        result = fallocate(fd, mode, (off_t)offset, (off_t)size_bytes);
    } while (result < 0 && errno == EINTR);
    return result;
}

static enum status write_zeros(struct host_file *file, uint64_t offset, uint64_t size_bytes)
{
    static const _Alignas(4096) uint8_t zeros[ZERO_CHUNK_BYTES];
    while (size_bytes) {
        uint64_t part = size_bytes < ZERO_CHUNK_BYTES ? size_bytes : ZERO_CHUNK_BYTES;
        enum status status = posix_write(file, offset, zeros, part);
        if (status)
            return status;
        offset += part;
        size_bytes -= part;
    }
    return STATUS_OK;
}

/* Past the end a hole can't be punched: the file is made longer first. */
static enum status reach(struct host_file *file, uint64_t end)
{
    if (end <= file->size_bytes || posix_of(file)->device)
        return STATUS_OK;
    return ftruncate(posix_of(file)->fd, (off_t)end) < 0 ? status_of_errno(errno) : STATUS_OK;
}

static enum status posix_zero(struct host_file *file, uint64_t offset, uint64_t size_bytes, bool unmap)
{
    int fd = posix_of(file)->fd;
    enum status status = reach(file, offset + size_bytes);
    if (status || !size_bytes)
        return status;
    if (unmap && !fallocate_retry(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size_bytes))
        return STATUS_OK;
    if (!fallocate_retry(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size_bytes))
        return STATUS_OK;
    return write_zeros(file, offset, size_bytes);
}

static enum status posix_resize(struct host_file *file, uint64_t size_bytes, enum host_preallocation preallocation)
{
    uint64_t old_bytes = file->size_bytes;
    if (posix_of(file)->device)
        return size_bytes <= old_bytes ? STATUS_OK : STATUS_NO_SPACE;
    if (ftruncate(posix_of(file)->fd, (off_t)size_bytes) < 0)
        return status_of_errno(errno);
    if (preallocation == HOST_PREALLOC_OFF || size_bytes <= old_bytes)
        return STATUS_OK;
    if (preallocation == HOST_PREALLOC_FULL)
        return write_zeros(file, old_bytes, size_bytes - old_bytes);
    return fallocate_retry(posix_of(file)->fd, 0, old_bytes, size_bytes - old_bytes) ? status_of_errno(errno)
                                                                                     : STATUS_OK;
}

/* A host that can't tell says that all is data. */
static enum status posix_extent(struct host_file *file, uint64_t offset, uint64_t *size_bytes, bool *data)
{
    int fd = posix_of(file)->fd;
    off_t at = (off_t)offset, next = lseek(fd, at, SEEK_DATA);
    *data = next < 0 ? errno != ENXIO : next == at;
    off_t end = next < 0 ? -1 : *data ? lseek(fd, at, SEEK_HOLE) : next;
    *size_bytes = (end > at && (uint64_t)end < file->size_bytes ? (uint64_t)end : file->size_bytes) - offset;
    return STATUS_OK;
}

static int posix_descriptor(const struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    const struct posix_file *posix = (const struct posix_file *)(const void *)file;
    bool fits = !posix->direct || host_direct_fits(posix->direct, offset, buffer, size_bytes);
    return fits ? posix->fd : -1;
}

static uint64_t posix_allocated(struct host_file *file)
{
    struct stat st;
    return posix_of(file)->device || fstat(posix_of(file)->fd, &st) < 0 ? file->size_bytes
                                                                        : (uint64_t)st.st_blocks * 512;
}

static void posix_close(struct host_file *file)
{
    host_direct_destroy(posix_of(file)->direct);
    close(posix_of(file)->fd);
    free((void *)(uintptr_t)file->path);
    free(file);
}

static const struct host_file_ops posix_ops = {
    .read = posix_read,
    .write = posix_write,
    .flush = posix_flush,
    .transfer = posix_transfer,
    .zero = posix_zero,
    .resize = posix_resize,
    .extent = posix_extent,
    .descriptor = posix_descriptor,
    .allocated = posix_allocated,
    .close = posix_close,
};

static void open_failed(const char *path, const struct host_file_options *options, struct error *error)
{
    if (errno == EINVAL && options->direct)
        error_set(error, "%s: cannot open with O_DIRECT (cache=none, directsync): its file system has none", path);
    else
        error_set(error, "%s: cannot open%s: %s", path, options->read_only ? "" : " for writing", strerror(errno));
}

/* The locks come before anything changes the file. */
static bool prepare(struct posix_file *posix, const char *path, const struct host_file_options *options,
                    struct error *error)
{
    int64_t size = image_size(posix->fd, path, &posix->device, error);
    if (size < 0 || host_lock_take(posix->fd, path, options, error))
        return false;
    if (options->create && !posix->device) {
        if (ftruncate(posix->fd, 0) < 0) {
            error_set(error, "%s: cannot be emptied: %s", path, strerror(errno));
            return false;
        }
        size = 0;
    }
    if (options->direct && !(posix->direct = host_direct_create(posix->fd, path, options->align_bytes, error)))
        return false;
    posix->no_flush = options->no_flush;
    posix->file.size_bytes = (uint64_t)size;
    posix->file.read_only = options->read_only;
    posix->file.path = strdup(path);
    if (!posix->file.path)
        error_set(error, "%s: out of memory", path);
    return posix->file.path;
}

struct host_file *host_file_open(const char *path, const struct host_file_options *options, struct error *error)
{
    struct posix_file *posix = calloc(1, sizeof *posix);
    if (!posix) {
        error_set(error, "%s: out of memory", path);
        return NULL;
    }
    posix->file.ops = &posix_ops;
    posix->fd = open_retry(path, open_flags(options));
    if (posix->fd < 0) {
        open_failed(path, options, error);
        free(posix);
        return NULL;
    }
    if (prepare(posix, path, options, error))
        return &posix->file;
    posix_close(&posix->file);
    return NULL;
}
