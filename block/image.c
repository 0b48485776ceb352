/* The image vtable, seen from above. */
#include "block/image.h"

#include <string.h>

#define ZERO_SECTORS 128u
#define PART_SECTORS_MAX (1u << 20)

const char *block_attach_name(enum block_attach kind)
{
    static const char *const names[BLOCK_ATTACH_KINDS] = {"ide-hd", "ide-cd",  "virtio-blk",
                                                          "nvme",   "ahci-hd", "ahci-cd"};
    return kind < BLOCK_ATTACH_KINDS ? names[kind] : "?";
}

void block_image_destroy(struct block_image *image)
{
    if (image)
        image->ops->destroy(image);
}

void block_image_watch(struct block_image *image, struct block_activity *activity)
{
    if (image && image->ops->watch)
        image->ops->watch(image, activity);
}

bool block_image_corruption(struct block_image *image, struct block_corruption *corruption)
{
    return image && image->ops->corruption && image->ops->corruption(image, corruption);
}

const char *block_image_fault(struct block_image *image)
{
    struct block_corruption corruption;
    return block_image_corruption(image, &corruption) ? corruption.text : NULL;
}

enum status block_image_settle(struct block_image *image)
{
    return image && image->ops->settle ? image->ops->settle(image) : STATUS_OK;
}

static enum status write_zeros(struct block_image *image, uint64_t sector, uint64_t sectors)
{
    static const uint8_t zeros[ZERO_SECTORS * BLOCK_SECTOR_BYTES];
    enum status status = STATUS_OK;
    while (sectors && !status) {
        uint32_t part = sectors < ZERO_SECTORS ? (uint32_t)sectors : ZERO_SECTORS;
        status = image->ops->write(image, sector, part, zeros, false);
        sector += part;
        sectors -= part;
    }
    return status;
}

enum status block_image_zero(struct block_image *image, uint64_t sector, uint64_t sectors, bool unmap)
{
    enum status status = STATUS_OK;
    if (!image->ops->zero)
        return write_zeros(image, sector, sectors);
    while (sectors && !status) {
        uint32_t part = sectors < PART_SECTORS_MAX ? (uint32_t)sectors : PART_SECTORS_MAX;
        status = image->ops->zero(image, sector, part, unmap);
        sector += part;
        sectors -= part;
    }
    return status;
}

enum status block_image_map(struct block_image *image, uint64_t sector, uint64_t sectors, struct block_extent *extent)
{
    if (sector >= image->size_sectors)
        return STATUS_END;
    if (sectors > image->size_sectors - sector)
        sectors = image->size_sectors - sector;
    if (image->ops->map)
        return image->ops->map(image, sector, sectors, extent);
    *extent = (struct block_extent){.sectors = sectors, .flags = BLOCK_EXTENT_DATA | BLOCK_EXTENT_ALLOCATED};
    return STATUS_OK;
}

enum status block_image_perform(struct block_image *image, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                                void *data, bool fua)
{
    enum status status = STATUS_INVALID;
    switch (op) {
    case TRACE_BLOCK_READ:
        status = image->ops->read(image, sector, sectors, data);
        if (status)
            memset(data, 0, (size_t)sectors * BLOCK_SECTOR_BYTES);
        break;
    case TRACE_BLOCK_WRITE: status = image->ops->write(image, sector, sectors, data, fua); break;
    case TRACE_BLOCK_FLUSH: status = image->ops->flush(image); break;
    case TRACE_BLOCK_DISCARD: status = block_image_zero(image, sector, sectors, true); break;
    case TRACE_BLOCK_WRITE_ZEROES:
        status = block_image_zero(image, sector, sectors, false);
        if (!status && fua)
            status = image->ops->flush(image);
        break;
    case TRACE_BLOCK_OPS: break;
    }
    return status;
}
