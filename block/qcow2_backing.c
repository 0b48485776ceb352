/* What a qcow2 image names beside itself: the image behind it and the data file. A backing file without a format is
 * looked at, as QEMU does; making one without a format is refused by the tools. */
#include "block/open.h"
#include "block/qcow2_internal.h"

#include <stdlib.h>

enum status qcow2_open_backing(struct qcow2_image *image, const struct block_open_options *options,
                               const struct block_open_context *context, struct error *error)
{
    struct block_open_options behind = {
        .format = image->header.backing_format, .read_only = true, .host = options->host};
    if (!image->header.backing_name)
        return STATUS_OK;
    image->backing_path = block_path_beside(image->image.name, image->header.backing_name);
    if (!image->backing_path)
        return error_status(error, STATUS_NO_MEMORY, "%s: out of memory", image->image.name);
    image->backing = block_open_chained(image->backing_path, &behind, context, error);
    if (image->backing)
        return STATUS_OK;
    if (context->depth) /* whoever asked for the chain says which it is */
        return STATUS_IO;
    struct error inner = *error;
    error_clear(error);
    return error_status(error, STATUS_IO, "%.100s: backing file: %.380s", image->image.name, inner.text);
}

enum status qcow2_open_data_file(struct qcow2_image *image, const struct block_open_options *options,
                                 const struct block_open_context *context, struct error *error)
{
    struct block_open_options file_options = {.read_only = options->read_only, .host = options->host};
    if (!(image->header.incompatible & QCOW2_DATA_FILE))
        return STATUS_OK;
    image->data_file = block_open_file(image->header.data_file, &file_options, context, error);
    return image->data_file ? STATUS_OK : STATUS_IO;
}
