/* Raw images: sector n lies at byte n * 512 of the file. The size is that of the file when it was opened, rounded
 * down. */
#include "block/block.h"
#include "block/host_file.h"

#include <stdlib.h>
#include <string.h>

struct raw_image {
    struct block_image image;
    struct host_file *file;
    bool guessed; /* raw, because its first bytes said nothing else */
};

static struct raw_image *raw_of(struct block_image *image)
{
    return (struct raw_image *)(void *)image;
}

static enum status raw_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    return host_file_read(raw_of(image)->file, sector * BLOCK_SECTOR_BYTES, buffer,
                          (uint64_t)sectors * BLOCK_SECTOR_BYTES);
}

/* A guest that writes another format's magic could make the next run follow names of its choice. As QEMU: where the
 * format was guessed, such a write fails. */
static bool would_change_format(const struct raw_image *raw, uint64_t sector, const void *buffer)
{
    static const uint8_t qcow2[4] = {'Q', 'F', 'I', 0xfb};
    return raw->guessed && !sector && !memcmp(buffer, qcow2, sizeof qcow2);
}

void block_raw_guessed(struct block_image *image)
{
    raw_of(image)->guessed = true;
}

static enum status raw_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer, bool fua)
{
    if (would_change_format(raw_of(image), sector, buffer))
        return STATUS_READ_ONLY;
    enum status status = host_file_write(raw_of(image)->file, sector * BLOCK_SECTOR_BYTES, buffer,
                                         (uint64_t)sectors * BLOCK_SECTOR_BYTES);
    return status || !fua ? status : host_file_flush(raw_of(image)->file);
}

static enum status raw_flush(struct block_image *image)
{
    return image->read_only ? STATUS_OK : host_file_flush(raw_of(image)->file);
}

static enum status raw_zero(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap)
{
    return host_file_zero(raw_of(image)->file, sector * BLOCK_SECTOR_BYTES, (uint64_t)sectors * BLOCK_SECTOR_BYTES,
                          unmap);
}

/* Holes begin and end where the host's file system likes: a sector that is not whole in one is data. */
static enum status raw_map(struct block_image *image, uint64_t sector, uint64_t sectors, struct block_extent *extent)
{
    struct host_file *file = raw_of(image)->file;
    uint64_t run_bytes = 0;
    bool data = true;
    enum status status = host_file_extent(file, sector * BLOCK_SECTOR_BYTES, &run_bytes, &data);
    if (status)
        return status;
    uint64_t run = data ? (run_bytes + BLOCK_SECTOR_BYTES - 1) / BLOCK_SECTOR_BYTES : run_bytes / BLOCK_SECTOR_BYTES;
    if (!run) {
        data = true;
        run = 1;
    }
    *extent = (struct block_extent){.sectors = run < sectors ? run : sectors,
                                    .flags = BLOCK_EXTENT_ALLOCATED | BLOCK_EXTENT_OFFSET |
                                             (unsigned)(data ? BLOCK_EXTENT_DATA : BLOCK_EXTENT_ZERO),
                                    .file = file,
                                    .file_offset = sector * BLOCK_SECTOR_BYTES};
    return STATUS_OK;
}

/* Holes too: the host fills them. What raw_write has to look at goes through it. */
static bool raw_locate(struct block_image *image, uint64_t sector, uint32_t sectors, bool write,
                       struct block_place *place)
{
    (void)sectors;
    *place = (struct block_place){raw_of(image)->file, sector * BLOCK_SECTOR_BYTES};
    return !write || !(image->read_only || (raw_of(image)->guessed && !sector));
}

static enum status raw_resize(struct block_image *image, uint64_t size_sectors, struct error *error)
{
    enum status status = host_file_resize(raw_of(image)->file, size_sectors * BLOCK_SECTOR_BYTES, HOST_PREALLOC_OFF);
    if (status)
        return error_status(error, status, "%s: cannot be resized: %s", image->name, status_name(status));
    image->size_sectors = size_sectors;
    return STATUS_OK;
}

static void raw_watch(struct block_image *image, struct block_activity *activity)
{
    raw_of(image)->file->activity = activity;
}

static void raw_destroy(struct block_image *image)
{
    host_file_close(raw_of(image)->file);
    free(image);
}

static const struct block_image_ops raw_ops = {
    .format = "raw",
    .read = raw_read,
    .write = raw_write,
    .flush = raw_flush,
    .zero = raw_zero,
    .map = raw_map,
    .locate = raw_locate,
    .flat = true,
    .resize = raw_resize,
    .watch = raw_watch,
    .destroy = raw_destroy,
};

struct block_image *block_raw_open(struct host_file *file, struct error *error)
{
    uint64_t sectors = file->size_bytes / BLOCK_SECTOR_BYTES;
    struct raw_image *raw = sectors ? calloc(1, sizeof *raw) : NULL;
    if (!raw) {
        if (sectors)
            error_set(error, "%s: out of memory", file->path);
        else
            error_set(error, "%s: is smaller than a sector (%u bytes)", file->path, BLOCK_SECTOR_BYTES);
        host_file_close(file);
        return NULL;
    }
    raw->image = (struct block_image){&raw_ops, sectors, file->read_only, file->path};
    raw->file = file;
    return &raw->image;
}
