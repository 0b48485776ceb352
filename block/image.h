/* What the queue and the executors do to an image. */
#ifndef VMRR_BLOCK_IMAGE_H
#define VMRR_BLOCK_IMAGE_H

#include "block/block.h"

/* Performs a request whose range lies in the image and whose image may be written if it writes. A read that fails
 * leaves zeros. An image without discard gets zeros written: discarded sectors read as zeros, whatever lies below. */
enum status block_image_perform(struct block_image *image, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                                void *data, bool fua);

#endif
