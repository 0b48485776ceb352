/* Reader of journal files (FORMAT.md). */
#include "replay/journal_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define INDEX_ENTRY_BYTES 64u

struct journal_reader {
    int file;
    char *path;
    uint16_t minor;
    uint64_t size;    /* of the file, when last looked */
    uint64_t scanned; /* up to here frames are listed */
    struct journal_frame *frame;
    size_t frame_count, frame_capacity;
    bool have_end, indexed;
    struct journal_end end;
    char torn[256];
    uint8_t *packed;
    ZSTD_DCtx *zstd;
};

/* ---- the file ---- */

static bool read_at(const struct journal_reader *reader, uint64_t offset, void *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(reader->file, (uint8_t *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool look_at_size(struct journal_reader *reader)
{
    struct stat stat;
    if (fstat(reader->file, &stat) != 0 || !S_ISREG(stat.st_mode))
        return false;
    reader->size = (uint64_t)stat.st_size;
    return true;
}

static bool open_file(struct journal_reader *reader, struct error *error)
{
    reader->file = open(reader->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (reader->file < 0) {
        error_set(error, "%s: can't open: %s", reader->path, strerror(errno));
        return false;
    }
    if (!look_at_size(reader)) {
        error_set(error, "%s: not a regular file", reader->path);
        return false;
    }
    return true;
}

static bool check_file_header(struct journal_reader *reader, struct error *error)
{
    uint8_t header[JOURNAL_FILE_HEADER_BYTES];
    if (reader->size < sizeof header || !read_at(reader, 0, header, sizeof header)) {
        error_set(error, "%s: offset 0, file header: expected 32 bytes, the file has %llu", reader->path,
                  (unsigned long long)reader->size);
        return false;
    }
    if (memcmp(header, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES) != 0) {
        error_set(error, "%s: offset 0, magic: expected 89 56 4d 52 52 0d 0a 1a; not a vmrr journal", reader->path);
        return false;
    }
    if (le16_get(header + 8) != JOURNAL_MAJOR) {
        error_set(error, "%s: offset 8, major version: expected %u, the journal has %u.%u; another vmrr is needed",
                  reader->path, JOURNAL_MAJOR, le16_get(header + 8), le16_get(header + 10));
        return false;
    }
    if (le32_get(header + 12) != JOURNAL_FILE_HEADER_BYTES || le64_get(header + 24) != journal_hash64(header, 24)) {
        error_set(error, "%s: offset 24, checksum of the file header: expected %016llx", reader->path,
                  (unsigned long long)journal_hash64(header, 24));
        return false;
    }
    reader->minor = le16_get(header + 10);
    reader->scanned = JOURNAL_FILE_HEADER_BYTES;
    return true;
}

/* ---- listing the frames ---- */

static bool add_frame(struct journal_reader *reader, const struct journal_frame *frame)
{
    if (reader->frame_count == reader->frame_capacity) {
        size_t capacity = reader->frame_capacity ? reader->frame_capacity * 2 : 64;
        struct journal_frame *grown = realloc(reader->frame, capacity * sizeof *grown);
        if (!grown)
            return false;
        reader->frame = grown;
        reader->frame_capacity = capacity;
    }
    reader->frame[reader->frame_count++] = *frame;
    return true;
}

static const struct journal_frame *last_frame(const struct journal_reader *reader)
{
    return reader->frame_count ? &reader->frame[reader->frame_count - 1] : NULL;
}

/* What a header must be, given the one before. */
static const char *sequel_fault(const struct journal_reader *reader, const struct journal_frame *frame)
{
    const struct journal_frame *before = last_frame(reader);
    if (frame->sequence != (before ? before->sequence + 1 : 0))
        return "sequence number: expected one more than the frame before";
    if (before && !position_reached(frame->first, before->last))
        return "first position: expected not before the last one of the frame before";
    return NULL;
}

static void set_torn(struct journal_reader *reader, uint64_t offset, const char *why)
{
    snprintf(reader->torn, sizeof reader->torn, "frame %zu at offset %llu: %s", reader->frame_count,
             (unsigned long long)offset, why);
}

static bool packed_is_whole(struct journal_reader *reader, const struct journal_frame *frame, const uint8_t *header)
{
    return read_at(reader, frame->offset + JOURNAL_FRAME_HEADER_BYTES, reader->packed, frame->packed_bytes) &&
           frame->disk_hash ==
               journal_hash64_pair(header, JOURNAL_FRAME_HEADER_BYTES - 8, reader->packed, frame->packed_bytes);
}

/* Lists the frame at reader->scanned; false when there is none, and torn says why. The last frame of a file may have
 * been cut by a power failure without a change of size: its content is looked at too. */
static bool scan_one(struct journal_reader *reader)
{
    uint8_t header[JOURNAL_FRAME_HEADER_BYTES];
    struct journal_frame frame = {.offset = reader->scanned};
    uint64_t left = reader->size - reader->scanned;
    const char *fault = NULL;
    if (left == 0) {
        set_torn(reader, reader->scanned, "no end mark: the file ends here");
        return false;
    }
    if (left < sizeof header || !read_at(reader, reader->scanned, header, sizeof header)) {
        set_torn(reader, reader->scanned, "header: cut off");
        return false;
    }
    if (!journal_frame_header_read(header, &frame, &fault) || (fault = sequel_fault(reader, &frame)) != NULL) {
        set_torn(reader, reader->scanned, fault);
        return false;
    }
    uint64_t size = sizeof header + frame.packed_bytes;
    if (left < size) {
        set_torn(reader, reader->scanned, "content: cut off");
        return false;
    }
    if (left == size && !packed_is_whole(reader, &frame, header)) {
        set_torn(reader, reader->scanned, "checksum: the last frame is not whole");
        return false;
    }
    if (!add_frame(reader, &frame)) {
        set_torn(reader, reader->scanned, "out of memory");
        return false;
    }
    reader->scanned += size;
    reader->torn[0] = 0;
    return true;
}

static bool read_end(struct journal_reader *reader)
{
    const struct journal_frame *frame = last_frame(reader);
    uint8_t raw[JOURNAL_FRAME_HEADER_BYTES + JOURNAL_END_BYTES];
    if (!frame || frame->kind != JOURNAL_FRAME_END)
        return false;
    if (frame->packed_bytes != JOURNAL_END_BYTES || !(frame->flags & JOURNAL_FLAG_STORED) ||
        !read_at(reader, frame->offset, raw, sizeof raw) || !packed_is_whole(reader, frame, raw)) {
        set_torn(reader, frame->offset, "end mark: not whole");
        return false;
    }
    const uint8_t *at = raw + JOURNAL_FRAME_HEADER_BYTES;
    reader->end = (struct journal_end){le64_get(at), le64_get(at + 8), le32_get(at + 16)};
    reader->have_end = true;
    reader->torn[0] = 0;
    if (reader->scanned != reader->size)
        snprintf(reader->torn, sizeof reader->torn, "offset %llu: expected nothing after the end mark",
                 (unsigned long long)reader->scanned);
    return true;
}

static size_t scan(struct journal_reader *reader)
{
    size_t before = reader->frame_count;
    while (!reader->have_end && scan_one(reader))
        if (last_frame(reader)->kind == JOURNAL_FRAME_END && !read_end(reader)) {
            reader->scanned = last_frame(reader)->offset;
            reader->frame_count--;
            break;
        }
    return reader->frame_count - before;
}

/* ---- by the index ---- */

static void index_entry_read(const uint8_t *in, struct journal_frame *frame)
{
    frame->offset = le64_get(in);
    frame->kind = in[8];
    frame->flags = in[9];
    frame->packed_bytes = le32_get(in + 12);
    frame->raw_bytes = le32_get(in + 16);
    frame->events = le32_get(in + 20);
    frame->delivers = le32_get(in + 24);
    frame->first = (struct position){le64_get(in + 32), le64_get(in + 40)};
    frame->last = (struct position){le64_get(in + 48), le64_get(in + 56)};
}

/* The index lists all frames before itself without a gap, in order; what else it says is checked against the frame's own
 * header when that is loaded. */
static bool index_add(struct journal_reader *reader, const uint8_t *raw, size_t size)
{
    for (size_t at = 0; at + INDEX_ENTRY_BYTES <= size; at += INDEX_ENTRY_BYTES) {
        struct journal_frame frame = {.sequence = reader->frame_count};
        index_entry_read(raw + at, &frame);
        bool right = frame.offset == reader->scanned && frame.packed_bytes <= JOURNAL_FRAME_PACKED_MAX &&
                     frame.raw_bytes <= JOURNAL_FRAME_RAW_MAX && frame.first.icount < JOURNAL_POSITION_LIMIT &&
                     frame.last.icount < JOURNAL_POSITION_LIMIT && frame.last.vtime_ns < JOURNAL_POSITION_LIMIT &&
                     position_reached(frame.last, frame.first) && !sequel_fault(reader, &frame);
        if (!right || !add_frame(reader, &frame))
            return false;
        reader->scanned += JOURNAL_FRAME_HEADER_BYTES + frame.packed_bytes;
    }
    return size % INDEX_ENTRY_BYTES == 0;
}

static enum status load_frame(struct journal_reader *reader, const struct journal_frame *expected, uint8_t *out,
                              struct error *error);

static bool index_frames(struct journal_reader *reader, uint64_t offset, uint64_t end_offset)
{
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    struct journal_frame frames[64]; /* of the index itself: a million listed frames */
    size_t count = 0;
    bool right = raw != NULL;
    while (right && offset < end_offset && count < 64) {
        uint8_t header[JOURNAL_FRAME_HEADER_BYTES];
        const char *fault;
        frames[count] = (struct journal_frame){.offset = offset};
        right = read_at(reader, offset, header, sizeof header) &&
                journal_frame_header_read(header, &frames[count], &fault) &&
                frames[count].kind == JOURNAL_FRAME_INDEX &&
                load_frame(reader, &frames[count], raw, NULL) == STATUS_OK &&
                index_add(reader, raw, frames[count].raw_bytes);
        offset += JOURNAL_FRAME_HEADER_BYTES + (uint64_t)frames[count].packed_bytes;
        count++;
    }
    free(raw);
    if (!right || offset != end_offset)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (frames[i].offset != reader->scanned || sequel_fault(reader, &frames[i]) || !add_frame(reader, &frames[i]))
            return false;
        reader->scanned += JOURNAL_FRAME_HEADER_BYTES + (uint64_t)frames[i].packed_bytes;
    }
    return true;
}

static bool try_index(struct journal_reader *reader)
{
    uint64_t end_size = JOURNAL_FRAME_HEADER_BYTES + JOURNAL_END_BYTES;
    uint8_t raw[JOURNAL_FRAME_HEADER_BYTES + JOURNAL_END_BYTES];
    struct journal_frame frame = {0};
    const char *fault;
    if (reader->size < JOURNAL_FILE_HEADER_BYTES + end_size)
        return false;
    frame.offset = reader->size - end_size;
    if (!read_at(reader, frame.offset, raw, sizeof raw) || !journal_frame_header_read(raw, &frame, &fault) ||
        frame.kind != JOURNAL_FRAME_END || frame.packed_bytes != JOURNAL_END_BYTES ||
        !packed_is_whole(reader, &frame, raw))
        return false;
    uint64_t index_offset = le64_get(raw + JOURNAL_FRAME_HEADER_BYTES);
    if (index_offset < JOURNAL_FILE_HEADER_BYTES || index_offset > frame.offset ||
        !index_frames(reader, index_offset, frame.offset) || frame.offset != reader->scanned ||
        sequel_fault(reader, &frame) || !add_frame(reader, &frame))
        return false;
    reader->scanned = reader->size;
    return read_end(reader);
}

static struct journal_reader *open_reader(const char *path, bool by_index, struct error *error)
{
    struct journal_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        error_set(error, "%s: out of memory", path);
        return NULL;
    }
    reader->file = -1;
    reader->path = strdup(path);
    reader->packed = malloc(JOURNAL_FRAME_PACKED_MAX);
    reader->zstd = ZSTD_createDCtx();
    if (!reader->path || !reader->packed || !reader->zstd)
        error_set(error, "%s: out of memory", path);
    else if (open_file(reader, error) && check_file_header(reader, error)) {
        reader->indexed = by_index && try_index(reader);
        if (!reader->indexed) {
            reader->frame_count = 0;
            reader->scanned = JOURNAL_FILE_HEADER_BYTES;
            scan(reader);
        }
        return reader;
    }
    journal_reader_destroy(reader);
    return NULL;
}

struct journal_reader *journal_reader_open(const char *path, struct error *error)
{
    return open_reader(path, true, error);
}

struct journal_reader *journal_reader_open_scanning(const char *path, struct error *error)
{
    return open_reader(path, false, error);
}

bool journal_being_made(const char *path)
{
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return false;
    bool short_file =
        fstat(file, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size < (off_t)JOURNAL_FILE_HEADER_BYTES;
    bool making = short_file && flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(file);
    return making;
}

void journal_reader_destroy(struct journal_reader *reader)
{
    if (!reader)
        return;
    if (reader->file >= 0)
        close(reader->file);
    ZSTD_freeDCtx(reader->zstd);
    free(reader->packed);
    free(reader->frame);
    free(reader->path);
    free(reader);
}

size_t journal_reader_refresh(struct journal_reader *reader)
{
    if (reader->have_end || !look_at_size(reader) || reader->size < reader->scanned)
        return 0;
    return scan(reader);
}

const char *journal_reader_path(const struct journal_reader *reader)
{
    return reader->path;
}

uint16_t journal_reader_minor(const struct journal_reader *reader)
{
    return reader->minor;
}

uint64_t journal_reader_size(const struct journal_reader *reader)
{
    return reader->size;
}

size_t journal_reader_count(const struct journal_reader *reader)
{
    return reader->frame_count;
}

const struct journal_frame *journal_reader_frame(const struct journal_reader *reader, size_t index)
{
    CHECK(index < reader->frame_count);
    return &reader->frame[index];
}

bool journal_reader_indexed(const struct journal_reader *reader)
{
    return reader->indexed;
}

bool journal_reader_end(const struct journal_reader *reader, struct journal_end *end)
{
    if (reader->have_end)
        *end = reader->end;
    return reader->have_end;
}

const char *journal_reader_torn(const struct journal_reader *reader)
{
    return reader->torn[0] ? reader->torn : NULL;
}

bool journal_reader_writer_lives(const struct journal_reader *reader)
{
    if (flock(reader->file, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK;
    flock(reader->file, LOCK_UN);
    return false;
}

/* ---- content ---- */

static enum status frame_corrupt(const struct journal_reader *reader, const struct journal_frame *frame,
                                 struct error *error, const char *what)
{
    return error_status(error, STATUS_CORRUPT, "%s: frame %llu (%s) at offset %llu: %s", reader->path,
                        (unsigned long long)frame->sequence, journal_frame_kind_name(frame->kind),
                        (unsigned long long)frame->offset, what);
}

static bool same_frame(const struct journal_frame *a, const struct journal_frame *b)
{
    return a->kind == b->kind && a->flags == b->flags && a->sequence == b->sequence &&
           position_equal(a->first, b->first) && position_equal(a->last, b->last) && a->raw_bytes == b->raw_bytes &&
           a->packed_bytes == b->packed_bytes && a->events == b->events && a->delivers == b->delivers;
}

static enum status unpack(struct journal_reader *reader, const struct journal_frame *frame, uint8_t *out,
                          struct error *error)
{
    if (frame->flags & JOURNAL_FLAG_STORED) {
        if (frame->raw_bytes != frame->packed_bytes)
            return frame_corrupt(reader, frame, error, "raw size: expected the packed size, as the frame is stored");
        memcpy(out, reader->packed, frame->raw_bytes);
        return STATUS_OK;
    }
    size_t n = ZSTD_decompressDCtx(reader->zstd, out, frame->raw_bytes, reader->packed, frame->packed_bytes);
    if (ZSTD_isError(n) || n != frame->raw_bytes)
        return frame_corrupt(reader, frame, error, "content: expected one zstd frame of the raw size");
    return STATUS_OK;
}

static enum status load_frame(struct journal_reader *reader, const struct journal_frame *expected, uint8_t *out,
                              struct error *error)
{
    uint8_t header[JOURNAL_FRAME_HEADER_BYTES];
    struct journal_frame frame = {.offset = expected->offset};
    const char *fault;
    if (!read_at(reader, expected->offset, header, sizeof header))
        return frame_corrupt(reader, expected, error, "header: can't be read");
    if (!journal_frame_header_read(header, &frame, &fault))
        return frame_corrupt(reader, expected, error, fault);
    if (!same_frame(&frame, expected))
        return frame_corrupt(reader, expected, error, "header: expected as the index says");
    if (!packed_is_whole(reader, &frame, header))
        return frame_corrupt(reader, expected, error, "checksum of what lies on disk: wrong");
    enum status status = unpack(reader, &frame, out, error);
    if (!status && journal_hash64(out, frame.raw_bytes) != frame.raw_hash)
        status = frame_corrupt(reader, expected, error, "checksum of the content: wrong");
    return status;
}

enum status journal_reader_load(struct journal_reader *reader, size_t index, uint8_t *out, struct error *error)
{
    return load_frame(reader, journal_reader_frame(reader, index), out, error);
}

enum status journal_reader_checksum(struct journal_reader *reader, size_t index, uint64_t *sum)
{
    uint8_t bytes[8];
    if (!read_at(reader, journal_reader_frame(reader, index)->offset + JOURNAL_FRAME_HEADER_BYTES - 8, bytes,
                 sizeof bytes))
        return STATUS_IO;
    *sum = le64_get(bytes);
    return STATUS_OK;
}
