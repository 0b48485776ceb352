/* Raw images: sector n lies at byte n * 512 of the file. The size is that of the file when it was opened, rounded
 * down. */
#include "block/block.h"
#include "block/host_file.h"

#include <stdlib.h>

struct raw_image {
    struct block_image image;
    struct host_file *file;
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

static enum status raw_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer, bool fua)
{
    if (image->read_only)
        return STATUS_READ_ONLY;
    enum status status = host_file_write(raw_of(image)->file, sector * BLOCK_SECTOR_BYTES, buffer,
                                         (uint64_t)sectors * BLOCK_SECTOR_BYTES);
    return status || !fua ? status : host_file_flush(raw_of(image)->file);
}

static enum status raw_flush(struct block_image *image)
{
    return image->read_only ? STATUS_OK : host_file_flush(raw_of(image)->file);
}

static enum status raw_discard(struct block_image *image, uint64_t sector, uint32_t sectors)
{
    if (image->read_only)
        return STATUS_READ_ONLY;
    return host_file_zero(raw_of(image)->file, sector * BLOCK_SECTOR_BYTES, (uint64_t)sectors * BLOCK_SECTOR_BYTES);
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
    .discard = raw_discard,
    .destroy = raw_destroy,
};

struct block_image *block_raw_open(const char *path, bool read_only, struct error *error)
{
    struct host_file *file = host_file_open(path, read_only, error);
    if (!file)
        return NULL;
    uint64_t sectors = host_file_size_bytes(file) / BLOCK_SECTOR_BYTES;
    struct raw_image *raw = sectors ? calloc(1, sizeof *raw) : NULL;
    if (!raw) {
        if (sectors)
            error_set(error, "%s: out of memory", path);
        else
            error_set(error, "%s: is smaller than a sector (%u bytes)", path, BLOCK_SECTOR_BYTES);
        host_file_close(file);
        return NULL;
    }
    raw->image = (struct block_image){&raw_ops, sectors, read_only, host_file_path(file)};
    raw->file = file;
    return &raw->image;
}
