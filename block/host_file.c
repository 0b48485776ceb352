/* Host files: pread, pwrite, fdatasync and fallocate, in full. Linux. No O_DIRECT, no locks against other processes. */
#define _GNU_SOURCE
#include "block/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZERO_CHUNK_BYTES 65536u

struct host_file {
    int fd;
    uint64_t size_bytes;
    char *path;
};

static enum status status_of_errno(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

static int open_retry(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* Size of what can hold an image; -1 with error filled for everything else. */
static int64_t image_size(int fd, const char *path, struct error *error)
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
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0)
        error_set(error, "%s: cannot find its size: %s", path, strerror(errno));
    return end;
}

struct host_file *host_file_open(const char *path, bool read_only, struct error *error)
{
    /* O_NONBLOCK: a FIFO given by mistake must be refused, not waited for. It has no effect on files and disks. */
    int fd = open_retry(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        error_set(error, "%s: cannot open%s: %s", path, read_only ? "" : " for writing", strerror(errno));
        return NULL;
    }
    int64_t size = image_size(fd, path, error);
    struct host_file *file = size < 0 ? NULL : calloc(1, sizeof *file);
    char *copy = file ? strdup(path) : NULL;
    if (!copy) {
        if (size >= 0)
            error_set(error, "%s: out of memory", path);
        free(file);
        close(fd);
        return NULL;
    }
    *file = (struct host_file){.fd = fd, .size_bytes = (uint64_t)size, .path = copy};
    return file;
}

void host_file_close(struct host_file *file)
{
    if (!file)
        return;
    close(file->fd);
    free(file->path);
    free(file);
}

uint64_t host_file_size_bytes(const struct host_file *file)
{
    return file->size_bytes;
}

const char *host_file_path(const struct host_file *file)
{
    return file->path;
}

static bool range_fits(uint64_t offset, uint64_t size_bytes)
{
    return offset <= INT64_MAX && size_bytes <= (uint64_t)INT64_MAX - offset;
}

enum status host_file_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    uint8_t *out = buffer;
    if (!range_fits(offset, size_bytes))
        return STATUS_IO;
    while (size_bytes) {
        ssize_t got = pread(file->fd, out, size_bytes < SSIZE_MAX ? size_bytes : SSIZE_MAX, (off_t)offset);
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

enum status host_file_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    const uint8_t *in = buffer;
    if (!range_fits(offset, size_bytes))
        return STATUS_IO;
    while (size_bytes) {
        ssize_t put = pwrite(file->fd, in, size_bytes < SSIZE_MAX ? size_bytes : SSIZE_MAX, (off_t)offset);
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

enum status host_file_flush(struct host_file *file)
{
    int result;
    do {
        result = fdatasync(file->fd);
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

enum status host_file_zero(struct host_file *file, uint64_t offset, uint64_t size_bytes)
{
    static const uint8_t zeros[ZERO_CHUNK_BYTES];
    if (!range_fits(offset, size_bytes))
        return STATUS_IO;
    if (!size_bytes || !fallocate_retry(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size_bytes) ||
        !fallocate_retry(file->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size_bytes))
        return STATUS_OK;
    while (size_bytes) {
        uint64_t part = size_bytes < ZERO_CHUNK_BYTES ? size_bytes : ZERO_CHUNK_BYTES;
        enum status status = host_file_write(file, offset, zeros, part);
        if (status)
            return status;
        offset += part;
        size_bytes -= part;
    }
    return STATUS_OK;
}
