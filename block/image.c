/* The image vtable, seen from above. */
#include "block/image.h"

#include <string.h>

#define ZERO_SECTORS 128u

void block_image_destroy(struct block_image *image)
{
    if (image)
        image->ops->destroy(image);
}

static enum status write_zeros(struct block_image *image, uint64_t sector, uint32_t sectors)
{
    static const uint8_t zeros[ZERO_SECTORS * BLOCK_SECTOR_BYTES];
    enum status status = STATUS_OK;
    while (sectors && !status) {
        uint32_t part = sectors < ZERO_SECTORS ? sectors : ZERO_SECTORS;
        status = image->ops->write(image, sector, part, zeros, false);
        sector += part;
        sectors -= part;
    }
    return status;
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
    case TRACE_BLOCK_DISCARD:
        status =
            image->ops->discard ? image->ops->discard(image, sector, sectors) : write_zeros(image, sector, sectors);
        break;
    }
    return status;
}
