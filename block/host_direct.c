/* See host_direct.h. Alignment: open(2), O_DIRECT; statx(2), STATX_DIOALIGN (Linux 6.1). A block at the end of the file
 * may be there in part: the rest counts as zeros. Not done: a host whose memory alignment is larger than 4 KiB. */
#define _GNU_SOURCE
#include "block/host_direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOUNCE_BYTES (1u << 20)
#define ALIGN_MIN 512u
#define ALIGN_MAX 65536u
#define MEMORY_ALIGN 4096u

struct host_direct {
    int fd;
    uint32_t align_bytes, memory_align_bytes;
    uint8_t *bounce; /* BOUNCE_BYTES */
};

static ssize_t pread_retry(int fd, void *buffer, size_t size_bytes, uint64_t offset)
{
    ssize_t got;
    do {
        got = pread(fd, buffer, size_bytes, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    return got;
}

static bool ask_host(struct host_direct *direct)
{
#ifdef STATX_DIOALIGN
    struct statx st = {0};
    if (statx(direct->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 && st.stx_mask & STATX_DIOALIGN &&
        st.stx_dio_offset_align && st.stx_dio_offset_align <= ALIGN_MAX && st.stx_dio_mem_align <= MEMORY_ALIGN) {
        direct->align_bytes = st.stx_dio_offset_align;
        direct->memory_align_bytes = st.stx_dio_mem_align ? st.stx_dio_mem_align : 1;
        return true;
    }
#endif
    return false;
}

/* An empty file takes any read: then nothing was learnt, and 4 KiB are safe. */
static bool try_sizes(struct host_direct *direct)
{
    direct->memory_align_bytes = MEMORY_ALIGN;
    for (uint32_t align = ALIGN_MIN; align <= ALIGN_MAX; align *= 2) {
        ssize_t got = pread_retry(direct->fd, direct->bounce, align, 0);
        if (got < 0)
            continue;
        direct->align_bytes = got || align > MEMORY_ALIGN ? align : MEMORY_ALIGN;
        return true;
    }
    return false;
}

static bool find_alignment(struct host_direct *direct, uint32_t align_bytes)
{
    if (align_bytes) {
        direct->align_bytes = align_bytes;
        direct->memory_align_bytes = MEMORY_ALIGN;
        return align_bytes <= ALIGN_MAX && !(align_bytes & (align_bytes - 1));
    }
    return ask_host(direct) || try_sizes(direct);
}

struct host_direct *host_direct_create(int fd, const char *path, uint32_t align_bytes, struct error *error)
{
    struct host_direct *direct = calloc(1, sizeof *direct);
    uint8_t *bounce = aligned_alloc(MEMORY_ALIGN, BOUNCE_BYTES);
    if (!direct || !bounce) {
        error_set(error, "%s: out of memory", path);
        free(direct);
        free(bounce);
        return NULL;
    }
    direct->fd = fd;
    direct->bounce = bounce;
    if (find_alignment(direct, align_bytes))
        return direct;
    error_set(error, "%s: cannot find out how O_DIRECT wants its transfers aligned", path);
    host_direct_destroy(direct);
    return NULL;
}

void host_direct_destroy(struct host_direct *direct)
{
    if (!direct)
        return;
    free(direct->bounce);
    free(direct);
}

bool host_direct_fits(const struct host_direct *direct, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    return !((offset | size_bytes) & (direct->align_bytes - 1)) &&
           !((uintptr_t)buffer & (direct->memory_align_bytes - 1));
}

/* ---- pieces of at most one bounce buffer ---- */

struct piece {
    uint64_t start;          /* in the file, aligned */
    size_t span;             /* whole blocks */
    size_t skip, size_bytes; /* of the caller's data in them */
};

static struct piece first_piece(const struct host_direct *direct, uint64_t offset, uint64_t size_bytes)
{
    uint64_t mask = direct->align_bytes - 1u;
    struct piece piece = {.start = offset & ~mask, .skip = (size_t)(offset & mask)};
    size_t room = BOUNCE_BYTES - piece.skip;
    piece.size_bytes = size_bytes < room ? (size_t)size_bytes : room;
    piece.span = (piece.skip + piece.size_bytes + (size_t)mask) & ~(size_t)mask;
    return piece;
}

/* Blocks into the bounce buffer at the same place as in the piece; zeros from the end of the file on. *got: how many
 * bytes were there. */
static enum status read_blocks(struct host_direct *direct, uint64_t start, uint8_t *to, size_t span, size_t *got)
{
    *got = 0;
    while (*got < span) {
        ssize_t part = pread_retry(direct->fd, to + *got, span - *got, start + *got);
        if (part < 0)
            return STATUS_IO;
        *got += (size_t)part;
        if (!part || *got & (direct->align_bytes - 1)) /* the end of the file */
            break;
    }
    memset(to + *got, 0, span - *got);
    return STATUS_OK;
}

enum status host_direct_read(struct host_direct *direct, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    uint8_t *out = buffer;
    while (size_bytes) {
        struct piece piece = first_piece(direct, offset, size_bytes);
        size_t got;
        enum status status = read_blocks(direct, piece.start, direct->bounce, piece.span, &got);
        if (status || got < piece.skip + piece.size_bytes)
            return STATUS_IO;
        memcpy(out, direct->bounce + piece.skip, piece.size_bytes);
        out += piece.size_bytes;
        offset += piece.size_bytes;
        size_bytes -= piece.size_bytes;
    }
    return STATUS_OK;
}

/* What the first and the last block of the piece hold beside the caller's data. */
static enum status read_edges(struct host_direct *direct, const struct piece *piece)
{
    size_t align = direct->align_bytes, end = piece->skip + piece->size_bytes, last = piece->span - align, got;
    enum status status = STATUS_OK;
    if (piece->skip || end < align)
        status = read_blocks(direct, piece->start, direct->bounce, align, &got);
    if (!status && end < piece->span && last)
        status = read_blocks(direct, piece->start + last, direct->bounce + last, align, &got);
    return status;
}

static enum status status_of_errno(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

static enum status write_blocks(struct host_direct *direct, uint64_t start, size_t span)
{
    size_t done = 0;
    while (done < span) {
        ssize_t put = pwrite(direct->fd, direct->bounce + done, span - done, (off_t)(start + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? status_of_errno(errno) : STATUS_IO;
        done += (size_t)put;
    }
    return STATUS_OK;
}

/* A block device never gets here: its size is whole blocks. */
static enum status cut_at(struct host_direct *direct, uint64_t reached, uint64_t end)
{
    if (reached <= end)
        return STATUS_OK;
    return ftruncate(direct->fd, (off_t)end) < 0 ? status_of_errno(errno) : STATUS_OK;
}

enum status host_direct_write(struct host_direct *direct, uint64_t offset, const void *buffer, uint64_t size_bytes,
                              uint64_t file_bytes)
{
    const uint8_t *in = buffer;
    enum status status = STATUS_OK;
    while (size_bytes && !status) {
        struct piece piece = first_piece(direct, offset, size_bytes);
        status = read_edges(direct, &piece);
        if (status)
            break;
        memcpy(direct->bounce + piece.skip, in, piece.size_bytes);
        status = write_blocks(direct, piece.start, piece.span);
        in += piece.size_bytes;
        offset += piece.size_bytes;
        size_bytes -= piece.size_bytes;
        if (offset > file_bytes)
            file_bytes = offset;
        if (!status)
            status = cut_at(direct, piece.start + piece.span, file_bytes);
    }
    return status;
}
