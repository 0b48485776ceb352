/* dm-log-writes: a super block of one sector, then entries of one sector each, a write's data behind it. All fields are
 * little-endian; sectors are of 512 bytes.
 *
 * Order, as in the kernel's target: a write or discard is noted when it completes, and goes to the log with the flush that
 * was submitted after that, when that flush completes; the flush's own entry comes behind. A FUA write goes to the log when
 * it completes. So every prefix that ends with a flush or a FUA write is what a disk may hold when the power fails.
 * Write zeroes, which the target does not know, are writes of zeros. Data of writes that wait lie in a spool file.
 * Invariant: a request is in flight, noted, with a flush, or in the log. */
#include "tools/log_writes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x6a736677736872ull
#define VERSION 1u
#define FLAG_FLUSH 1u
#define FLAG_FUA 2u
#define FLAG_DISCARD 4u
#define FLAG_MARK 8u
#define COPY_BYTES (64u << 10)
#define NO_DATA UINT64_MAX

struct entry {
    struct entry *next;
    struct entry *flushed; /* of a flush: what goes to the log before it */
    uint64_t sector, spool_at;
    uint32_t sectors, tag, flags;
};

struct log_writes {
    char *path;
    FILE *file, *spool;
    uint64_t spool_end, entries;
    struct entry *in_flight, *noted, **last_noted;
    uint64_t spooled; /* entries whose data are in the spool */
    int failed;       /* errno of the first failure */
};

static void put_le(uint8_t *out, unsigned size, uint64_t value)
{
    for (unsigned n = 0; n < size; n++)
        out[n] = (uint8_t)(value >> (8 * n));
}

static void note_errno(struct log_writes *log)
{
    if (!log->failed)
        log->failed = errno ? errno : EIO;
}

static void write_bytes(struct log_writes *log, FILE *file, const void *bytes, size_t size)
{
    if (!log->failed && fwrite(bytes, 1, size, file) != size)
        note_errno(log);
}

static void seek(struct log_writes *log, FILE *file, uint64_t at, int whence)
{
    if (!log->failed && fseeko(file, (off_t)at, whence) != 0)
        note_errno(log);
}

/* ---- the log ---- */

static void put_header(struct log_writes *log, uint64_t sector, uint64_t sectors, uint64_t flags, const char *mark)
{
    uint8_t block[BLOCK_SECTOR_BYTES] = {0};
    put_le(block, 8, sector);
    put_le(block + 8, 8, sectors);
    put_le(block + 16, 8, flags);
    if (mark) {
        size_t size = strlen(mark);
        put_le(block + 24, 8, size);
        memcpy(block + 32, mark, size);
    }
    write_bytes(log, log->file, block, sizeof block);
    log->entries++;
}

static void put_mark(struct log_writes *log, const char *text)
{
    put_header(log, 0, 0, FLAG_MARK, text);
}

/* Zeros are a hole. */
static void put_data(struct log_writes *log, const struct entry *entry)
{
    uint8_t copy[COPY_BYTES];
    uint64_t left = (uint64_t)entry->sectors * BLOCK_SECTOR_BYTES;
    if (entry->spool_at == NO_DATA) {
        seek(log, log->file, left, SEEK_CUR);
        return;
    }
    seek(log, log->spool, entry->spool_at, SEEK_SET);
    while (left && !log->failed) {
        size_t part = left < sizeof copy ? (size_t)left : sizeof copy;
        if (fread(copy, 1, part, log->spool) != part)
            note_errno(log);
        write_bytes(log, log->file, copy, part);
        left -= part;
    }
}

static void put_entry(struct log_writes *log, struct entry *entry)
{
    put_header(log, entry->sector, entry->sectors, entry->flags, NULL);
    if (!(entry->flags & FLAG_DISCARD) && entry->sectors)
        put_data(log, entry);
}

static void entry_free(struct log_writes *log, struct entry *entry)
{
    if (entry->spool_at != NO_DATA && --log->spooled == 0)
        log->spool_end = 0; /* nobody needs what is there */
    free(entry);
}

static void put_list(struct log_writes *log, struct entry *entry)
{
    while (entry) {
        struct entry *next = entry->next;
        put_entry(log, entry);
        entry_free(log, entry);
        entry = next;
    }
}

/* ---- requests ---- */

static uint64_t spool(struct log_writes *log, const void *data, uint64_t size)
{
    uint64_t at = log->spool_end;
    seek(log, log->spool, at, SEEK_SET);
    write_bytes(log, log->spool, data, (size_t)size);
    log->spool_end += size;
    log->spooled++;
    return at;
}

static uint32_t flags_of(enum trace_block_op op, bool fua)
{
    if (op == TRACE_BLOCK_FLUSH)
        return FLAG_FLUSH;
    return op == TRACE_BLOCK_DISCARD ? FLAG_DISCARD : fua ? FLAG_FUA : 0;
}

void log_writes_submit(struct log_writes *log, uint32_t tag, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                       bool fua, const void *data)
{
    if (op == TRACE_BLOCK_READ)
        return;
    struct entry *entry = calloc(1, sizeof *entry);
    CHECK(entry);
    *entry = (struct entry){.sector = sector, .sectors = sectors, .tag = tag, .flags = flags_of(op, fua)};
    entry->spool_at = data ? spool(log, data, (uint64_t)sectors * BLOCK_SECTOR_BYTES) : NO_DATA;
    if (op == TRACE_BLOCK_FLUSH) {
        entry->flushed = log->noted;
        log->noted = NULL;
        log->last_noted = &log->noted;
    }
    entry->next = log->in_flight;
    log->in_flight = entry;
}

static struct entry *take(struct log_writes *log, uint32_t tag)
{
    struct entry **link = &log->in_flight;
    while (*link && (*link)->tag != tag)
        link = &(*link)->next;
    struct entry *entry = *link;
    if (entry)
        *link = entry->next;
    if (entry)
        entry->next = NULL;
    return entry;
}

static void note(struct log_writes *log, struct entry *entry)
{
    *log->last_noted = entry;
    while (*log->last_noted)
        log->last_noted = &(*log->last_noted)->next;
}

static void finish(struct log_writes *log, struct entry *entry)
{
    if (entry->flags & FLAG_FLUSH) {
        put_list(log, entry->flushed);
        put_entry(log, entry);
        entry_free(log, entry);
    } else if (entry->flags & FLAG_FUA) {
        put_entry(log, entry);
        entry_free(log, entry);
    } else {
        note(log, entry);
    }
}

void log_writes_complete(struct log_writes *log, uint32_t tag)
{
    struct entry *entry = take(log, tag);
    if (entry)
        finish(log, entry);
}

/* What a failed flush would have made durable waits for the next one, before what completed since. */
static void give_back(struct log_writes *log, struct entry *flush)
{
    struct entry *since = log->noted;
    log->noted = NULL;
    log->last_noted = &log->noted;
    if (flush->flushed)
        note(log, flush->flushed);
    if (since)
        note(log, since);
}

void log_writes_fail(struct log_writes *log, uint32_t tag, const void *data)
{
    char text[64];
    struct entry *entry = take(log, tag);
    if (!entry)
        return;
    snprintf(text, sizeof text, "failed %" PRIu32, tag);
    put_mark(log, text);
    if (entry->flags & FLAG_FLUSH)
        give_back(log, entry);
    uint64_t bytes = (uint64_t)entry->sectors * BLOCK_SECTOR_BYTES;
    struct entry now = {.sector = entry->sector, .sectors = entry->sectors, .tag = tag};
    entry_free(log, entry);
    if (!data)
        return;
    entry = calloc(1, sizeof *entry);
    CHECK(entry);
    *entry = now;
    entry->spool_at = spool(log, data, bytes);
    note(log, entry);
}

/* ---- open and close ---- */

static void put_super(struct log_writes *log)
{
    uint8_t block[BLOCK_SECTOR_BYTES] = {0};
    put_le(block, 8, MAGIC);
    put_le(block + 8, 8, VERSION);
    put_le(block + 16, 8, log->entries);
    put_le(block + 24, 4, BLOCK_SECTOR_BYTES);
    write_bytes(log, log->file, block, sizeof block);
}

static void discard_list(struct log_writes *log, struct entry *entry)
{
    while (entry) {
        struct entry *next = entry->next;
        discard_list(log, entry->flushed);
        entry_free(log, entry);
        entry = next;
    }
}

static void log_free(struct log_writes *log)
{
    discard_list(log, log->in_flight);
    discard_list(log, log->noted);
    if (log->spool)
        fclose(log->spool);
    if (log->file)
        fclose(log->file);
    free(log->path);
    free(log);
}

struct log_writes *log_writes_create(const char *path, struct error *error)
{
    struct log_writes *log = calloc(1, sizeof *log);
    CHECK(log);
    log->last_noted = &log->noted;
    log->path = strdup(path);
    log->file = fopen(path, "we");
    log->spool = log->file ? tmpfile() : NULL;
    if (!log->path || !log->file || !log->spool) {
        error_set(error, "%s: %s", log->file ? "a file for waiting writes" : path, strerror(errno));
        log_free(log);
        return NULL;
    }
    put_super(log); /* no entries yet: what is broken off is an empty log */
    return log;
}

uint64_t log_writes_entries(const struct log_writes *log)
{
    return log->entries;
}

/* Flushes that were still under way never made anything durable: what they took is written like the rest. */
static void put_unflushed(struct log_writes *log)
{
    for (struct entry *entry = log->in_flight; entry; entry = entry->next) {
        put_list(log, entry->flushed);
        entry->flushed = NULL;
    }
    put_list(log, log->noted);
    log->noted = NULL;
    log->last_noted = &log->noted;
}

enum status log_writes_close(struct log_writes *log, struct error *error)
{
    put_unflushed(log);
    put_mark(log, "dm-log-writes-end");
    seek(log, log->file, 0, SEEK_SET);
    put_super(log);
    if (fclose(log->file) != 0)
        note_errno(log);
    log->file = NULL;
    enum status status = log->failed == ENOSPC ? STATUS_NO_SPACE : log->failed ? STATUS_IO : STATUS_OK;
    if (status)
        error_set(error, "%s: %s", log->path, strerror(log->failed));
    log_free(log);
    return status;
}
