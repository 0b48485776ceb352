/* Writer of journal files (FORMAT.md). Keeps a reserve of disk space allocated ahead of the end, where the file system
 * can do that: a full disk is then noticed while the frames in memory, the index and the end mark still fit. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fallocate */
#endif
#include "replay/journal_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <zstd.h>

#define WRITER_RESERVE_BYTES (8ull << 20)
#define WRITER_LEVEL_DEFAULT 3
#define WRITER_LEVEL_FAST 1 /* of blobs: kernels and initrds are compressed already; and of pages, which the guest waits for */
#define INDEX_ENTRY_BYTES 64u

struct journal_writer {
    pthread_mutex_t lock;
    int file;
    char *path;
    ZSTD_CCtx *zstd;
    int level;
    uint8_t *buffer; /* header and packed content of one frame */
    uint64_t size, reserved_to;
    bool reserve_works;
    uint64_t sequence, total_events;
    struct position last;
    enum status failed; /* a write failed: no more */
    enum status warned; /* STATUS_NO_SPACE: the reserve can't be renewed */
    struct byte_sink index;
};

static enum status status_of_errno(int error_number)
{
    return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ? STATUS_NO_SPACE : STATUS_IO;
}

/* Where the reserve can't be had but for lack of space (no fallocate; a limit for the file's size, which tmpfs holds against
 * it), the first failing write tells. */
static void writer_reserve(struct journal_writer *writer, uint64_t more)
{
    if (!writer->reserve_works || writer->size + more + WRITER_RESERVE_BYTES / 2 <= writer->reserved_to)
        return;
    uint64_t to = writer->size + more + WRITER_RESERVE_BYTES;
    if (fallocate(writer->file, FALLOC_FL_KEEP_SIZE, (off_t)writer->size, (off_t)(to - writer->size)) == 0)
        writer->reserved_to = to;
    else if (errno == ENOSPC || errno == EDQUOT)
        writer->warned = STATUS_NO_SPACE;
    else
        writer->reserve_works = false;
}

/* All or nothing. */
static enum status writer_append(struct journal_writer *writer, const uint8_t *bytes, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pwrite(writer->file, bytes + done, size - done, (off_t)(writer->size + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            writer->failed = n < 0 ? status_of_errno(errno) : STATUS_IO;
            if (ftruncate(writer->file, (off_t)writer->size) != 0)
                return STATUS_IO;
            return writer->failed;
        }
        done += (size_t)n;
    }
    writer->size += size;
    return STATUS_OK;
}

static enum status write_file_header(struct journal_writer *writer)
{
    uint8_t header[JOURNAL_FILE_HEADER_BYTES] = {0};
    memcpy(header, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
    le16_put(header + 8, JOURNAL_MAJOR);
    le16_put(header + 10, JOURNAL_MINOR);
    le32_put(header + 12, JOURNAL_FILE_HEADER_BYTES);
    le64_put(header + 24, journal_hash64(header, 24));
    return writer_append(writer, header, sizeof header);
}

static bool writer_open(struct journal_writer *writer, struct error *error)
{
    writer->file = open(writer->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (writer->file < 0) {
        error_set(error, "%s: can't create: %s", writer->path, strerror(errno));
        return false;
    }
    if (flock(writer->file, LOCK_EX | LOCK_NB) != 0) {
        error_set(error, "%s: in use: it is being recorded or followed by another process", writer->path);
        return false;
    }
    if (ftruncate(writer->file, 0) != 0) {
        error_set(error, "%s: can't truncate: %s", writer->path, strerror(errno));
        return false;
    }
    writer_reserve(writer, 0);
    if (writer->warned || write_file_header(writer) != STATUS_OK) {
        error_set(error, "%s: can't write: no space left for a journal", writer->path);
        return false;
    }
    return true;
}

struct journal_writer *journal_writer_create(const struct journal_writer_options *options, struct error *error)
{
    struct journal_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        error_set(error, "%s: out of memory", options->path);
        return NULL;
    }
    writer->file = -1;
    writer->reserve_works = true;
    pthread_mutex_init(&writer->lock, NULL);
    writer->path = strdup(options->path);
    writer->zstd = ZSTD_createCCtx();
    writer->buffer = malloc(JOURNAL_FRAME_HEADER_BYTES + JOURNAL_FRAME_PACKED_MAX);
    if (!writer->path || !writer->zstd || !writer->buffer) {
        error_set(error, "%s: out of memory", options->path);
        journal_writer_destroy(writer);
        return NULL;
    }
    writer->level = options->zstd_level ? options->zstd_level : WRITER_LEVEL_DEFAULT;
    if (!writer_open(writer, error)) {
        journal_writer_destroy(writer);
        return NULL;
    }
    return writer;
}

static void index_add(struct journal_writer *writer, const struct journal_frame *frame)
{
    uint8_t entry[INDEX_ENTRY_BYTES];
    le64_put(entry, frame->offset);
    entry[8] = frame->kind;
    entry[9] = frame->flags;
    le16_put(entry + 10, 0);
    le32_put(entry + 12, frame->packed_bytes);
    le32_put(entry + 16, frame->raw_bytes);
    le32_put(entry + 20, frame->events);
    le32_put(entry + 24, frame->delivers);
    le32_put(entry + 28, 0);
    le64_put(entry + 32, frame->first.icount);
    le64_put(entry + 40, frame->first.vtime_ns);
    le64_put(entry + 48, frame->last.icount);
    le64_put(entry + 56, frame->last.vtime_ns);
    byte_sink_put(&writer->index, entry, sizeof entry);
}

static size_t pack(struct journal_writer *writer, int level, uint8_t *flags, const void *raw, size_t raw_bytes)
{
    uint8_t *out = writer->buffer + JOURNAL_FRAME_HEADER_BYTES;
    if (!(*flags & JOURNAL_FLAG_STORED)) {
        ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level);
        size_t n = ZSTD_compress2(writer->zstd, out, JOURNAL_FRAME_PACKED_MAX, raw, raw_bytes);
        if (!ZSTD_isError(n))
            return n;
        *flags |= JOURNAL_FLAG_STORED;
    }
    memcpy(out, raw, raw_bytes);
    return raw_bytes;
}

static enum status write_frame(struct journal_writer *writer, const struct journal_frame_info *info, const void *raw,
                               size_t raw_bytes)
{
    CHECK(raw_bytes <= JOURNAL_FRAME_RAW_MAX);
    if (writer->failed)
        return writer->failed;
    uint8_t flags = info->flags;
    bool fast = info->kind == JOURNAL_FRAME_BLOB || info->kind == JOURNAL_FRAME_PAGES;
    int level = fast && writer->level > WRITER_LEVEL_FAST ? WRITER_LEVEL_FAST : writer->level;
    size_t packed_bytes = pack(writer, level, &flags, raw, raw_bytes);
    struct journal_frame frame = {
        .offset = writer->size,
        .kind = (uint8_t)info->kind,
        .flags = flags,
        .sequence = writer->sequence,
        .first = info->first,
        .last = info->last,
        .raw_bytes = (uint32_t)raw_bytes,
        .packed_bytes = (uint32_t)packed_bytes,
        .events = info->events,
        .delivers = info->delivers,
        .raw_hash = journal_hash64(raw, raw_bytes),
    };
    journal_frame_header_write(writer->buffer, &frame);
    frame.disk_hash = journal_hash64_pair(writer->buffer, JOURNAL_FRAME_HEADER_BYTES - 8,
                                          writer->buffer + JOURNAL_FRAME_HEADER_BYTES, packed_bytes);
    le64_put(writer->buffer + JOURNAL_FRAME_HEADER_BYTES - 8, frame.disk_hash);
    size_t size = JOURNAL_FRAME_HEADER_BYTES + packed_bytes;
    writer_reserve(writer, size);
    enum status status = writer_append(writer, writer->buffer, size);
    if (status)
        return status;
    writer->sequence++;
    writer->total_events += info->events;
    writer->last = info->last;
    if (info->kind != JOURNAL_FRAME_INDEX && info->kind != JOURNAL_FRAME_END)
        index_add(writer, &frame);
    return STATUS_OK;
}

enum status journal_writer_frame(struct journal_writer *writer, const struct journal_frame_info *info, const void *raw,
                                 size_t raw_bytes)
{
    pthread_mutex_lock(&writer->lock);
    enum status status = write_frame(writer, info, raw, raw_bytes);
    if (!status)
        status = writer->warned;
    pthread_mutex_unlock(&writer->lock);
    return status;
}

enum status journal_writer_status(struct journal_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    enum status status = writer->failed ? writer->failed : writer->warned;
    pthread_mutex_unlock(&writer->lock);
    return status;
}

struct position journal_writer_last(struct journal_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    struct position last = writer->last;
    pthread_mutex_unlock(&writer->lock);
    return last;
}

static enum status write_index(struct journal_writer *writer)
{
    struct journal_frame_info info = {
        .kind = JOURNAL_FRAME_INDEX, .first = writer->last, .last = writer->last, .flags = JOURNAL_FLAG_SKIPPABLE};
    size_t per_frame = JOURNAL_FRAME_RAW_MAX / INDEX_ENTRY_BYTES * INDEX_ENTRY_BYTES;
    if (writer->index.failed)
        return STATUS_NO_MEMORY;
    for (size_t at = 0; at < writer->index.used; at += per_frame) {
        size_t left = writer->index.used - at;
        enum status status = write_frame(writer, &info, writer->index.bytes + at, left < per_frame ? left : per_frame);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status write_end(struct journal_writer *writer, uint64_t index_offset, uint32_t stop)
{
    uint8_t end[JOURNAL_END_BYTES];
    le64_put(end, index_offset);
    le64_put(end + 8, writer->total_events);
    le32_put(end + 16, stop);
    le32_put(end + 20, 0);
    struct journal_frame_info info = {
        .kind = JOURNAL_FRAME_END, .first = writer->last, .last = writer->last, .flags = JOURNAL_FLAG_STORED};
    return write_frame(writer, &info, end, sizeof end);
}

enum status journal_writer_finish(struct journal_writer *writer, uint32_t stop, struct error *error)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t index_offset = writer->size;
    enum status status = write_index(writer);
    if (!status)
        status = write_end(writer, index_offset, stop);
    if (ftruncate(writer->file, (off_t)writer->size) != 0 && !status)
        status = STATUS_IO; /* gives the reserve back */
    if (!status && fdatasync(writer->file) != 0 && errno != EINVAL && errno != EROFS)
        status = status_of_errno(errno);
    if (!status)
        status = writer->warned;
    if (status)
        error_set(error, "%s: %s; the %llu bytes written so far can be replayed", writer->path,
                  status == STATUS_NO_SPACE ? "no space left on the device" : "can't write",
                  (unsigned long long)writer->size);
    pthread_mutex_unlock(&writer->lock);
    return status;
}

void journal_writer_destroy(struct journal_writer *writer)
{
    if (!writer)
        return;
    if (writer->file >= 0)
        close(writer->file);
    ZSTD_freeCCtx(writer->zstd);
    byte_sink_free(&writer->index);
    pthread_mutex_destroy(&writer->lock);
    free(writer->buffer);
    free(writer->path);
    free(writer);
}
