/* A host file in memory that keeps a log of what reached it, so that a test can say what the disk holds after a cut of
 * power: struct memory_disk outlives the files opened on it. */
#ifndef VMRR_TESTS_BLOCK_MEMORY_FILE_H
#define VMRR_TESTS_BLOCK_MEMORY_FILE_H

#include "block/host_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_DISK_MAX (1ull << 30) /* a file longer than this is a full disk */

enum memory_event_kind { MEMORY_WRITE, MEMORY_ZERO, MEMORY_RESIZE, MEMORY_FLUSH };

struct memory_event {
    enum memory_event_kind kind;
    uint64_t offset, bytes;
    uint8_t *data; /* of a write */
};

struct memory_disk {
    uint8_t *bytes;
    uint64_t size, capacity;
    bool logging;
    struct memory_event *event;
    size_t events, event_capacity;
    uint64_t fail_after; /* so many more writes succeed; UINT64_MAX: all */
    enum status fail_status;
};

struct memory_file {
    struct host_file file;
    struct memory_disk *disk;
    char path[256];
};

static inline struct memory_disk *memory_disk_of(struct host_file *file)
{
    return ((struct memory_file *)(void *)file)->disk;
}

/* False: too long. New bytes are zero. */
static inline bool memory_disk_reach(struct memory_disk *disk, uint64_t size)
{
    if (size > MEMORY_DISK_MAX)
        return false;
    if (size > disk->capacity) {
        uint64_t capacity = disk->capacity * 2 > size ? disk->capacity * 2 : size;
        disk->bytes = realloc(disk->bytes, capacity);
        CHECK(disk->bytes);
        memset(disk->bytes + disk->capacity, 0, capacity - disk->capacity);
        disk->capacity = capacity;
    }
    if (size > disk->size)
        disk->size = size;
    return true;
}

static inline void memory_disk_resize(struct memory_disk *disk, uint64_t size)
{
    if (size < disk->size)
        memset(disk->bytes + size, 0, disk->size - size);
    else
        CHECK(memory_disk_reach(disk, size));
    disk->size = size;
}

static inline void memory_disk_apply(struct memory_disk *disk, const struct memory_event *event)
{
    if (event->kind == MEMORY_FLUSH)
        return;
    if (event->kind == MEMORY_RESIZE) {
        memory_disk_resize(disk, event->offset);
        return;
    }
    CHECK(memory_disk_reach(disk, event->offset + event->bytes));
    if (event->kind == MEMORY_WRITE)
        memcpy(disk->bytes + event->offset, event->data, event->bytes);
    else
        memset(disk->bytes + event->offset, 0, event->bytes);
}

static inline enum status memory_disk_do(struct memory_disk *disk, enum memory_event_kind kind, uint64_t offset,
                                         const void *data, uint64_t bytes)
{
    struct memory_event event = {kind, offset, bytes, NULL};
    if (kind != MEMORY_FLUSH && offset + bytes > MEMORY_DISK_MAX)
        return STATUS_NO_SPACE;
    if (disk->fail_after != UINT64_MAX && disk->fail_after-- == 0) {
        disk->fail_after = 0;
        return disk->fail_status;
    }
    if (kind == MEMORY_WRITE) {
        event.data = (uint8_t *)(uintptr_t)data;
    }
    memory_disk_apply(disk, &event);
    if (!disk->logging)
        return STATUS_OK;
    if (disk->events == disk->event_capacity) {
        disk->event_capacity = disk->event_capacity ? disk->event_capacity * 2 : 1024;
        disk->event = realloc(disk->event, disk->event_capacity * sizeof *disk->event);
        CHECK(disk->event);
    }
    if (kind == MEMORY_WRITE) {
        event.data = malloc(bytes ? bytes : 1);
        CHECK(event.data);
        memcpy(event.data, data, bytes);
    }
    disk->event[disk->events++] = event;
    return STATUS_OK;
}

static inline enum status memory_file_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t bytes)
{
    struct memory_disk *disk = memory_disk_of(file);
    if (offset > disk->size || bytes > disk->size - offset)
        return STATUS_IO;
    if (bytes)
        memcpy(buffer, disk->bytes + offset, bytes);
    return STATUS_OK;
}
static inline enum status memory_file_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t bytes)
{
    return memory_disk_do(memory_disk_of(file), MEMORY_WRITE, offset, buffer, bytes);
}
static inline enum status memory_file_flush(struct host_file *file)
{
    return memory_disk_do(memory_disk_of(file), MEMORY_FLUSH, 0, NULL, 0);
}
static inline enum status memory_file_zero(struct host_file *file, uint64_t offset, uint64_t bytes, bool unmap)
{
    (void)unmap;
    return memory_disk_do(memory_disk_of(file), MEMORY_ZERO, offset, NULL, bytes);
}
static inline enum status memory_file_resize(struct host_file *file, uint64_t size,
                                             enum host_preallocation preallocation)
{
    (void)preallocation;
    return memory_disk_do(memory_disk_of(file), MEMORY_RESIZE, size, NULL, 0);
}
static inline enum status memory_file_extent(struct host_file *file, uint64_t offset, uint64_t *bytes, bool *data)
{
    *bytes = memory_disk_of(file)->size - offset;
    *data = true;
    return STATUS_OK;
}
static inline void memory_file_close(struct host_file *file)
{
    free(file);
}

/* path: what the image believes to be called; backing files are looked for beside it. */
static inline struct host_file *memory_file_open(struct memory_disk *disk, const char *path, bool read_only)
{
    static const struct host_file_ops ops = {.read = memory_file_read,
                                             .write = memory_file_write,
                                             .flush = memory_file_flush,
                                             .zero = memory_file_zero,
                                             .resize = memory_file_resize,
                                             .extent = memory_file_extent,
                                             .close = memory_file_close};
    struct memory_file *memory = calloc(1, sizeof *memory);
    CHECK(memory);
    snprintf(memory->path, sizeof memory->path, "%s", path);
    memory->file =
        (struct host_file){.ops = &ops, .path = memory->path, .size_bytes = disk->size, .read_only = read_only};
    memory->disk = disk;
    return &memory->file;
}

static inline void memory_disk_init(struct memory_disk *disk)
{
    *disk = (struct memory_disk){.fail_after = UINT64_MAX};
}

static inline void memory_disk_forget(struct memory_disk *disk) /* the log */
{
    for (size_t n = 0; n < disk->events; n++)
        free(disk->event[n].data);
    disk->events = 0;
}

static inline void memory_disk_fini(struct memory_disk *disk)
{
    memory_disk_forget(disk);
    free(disk->event);
    free(disk->bytes);
    memory_disk_init(disk);
}

static inline void memory_disk_copy(struct memory_disk *to, const struct memory_disk *from)
{
    if (from->size < to->size)
        memory_disk_resize(to, from->size);
    CHECK(memory_disk_reach(to, from->size));
    if (from->size)
        memcpy(to->bytes, from->bytes, from->size);
}

static inline bool memory_disk_save(const struct memory_disk *disk, const char *path)
{
    FILE *out = fopen(path, "wb");
    bool fine = out && fwrite(disk->bytes, 1, disk->size, out) == disk->size;
    return out && !fclose(out) && fine;
}

#endif
