/* The image file below a qcow2 image: every write guarded, short files read as zeros past their end (QEMU leaves the
 * tail of the last cluster out). */
#include "block/qcow2_internal.h"

enum status qcow2_read_padded(struct host_file *file, uint64_t offset, void *buffer, uint64_t bytes)
{
    uint64_t there = offset >= file->size_bytes ? 0 : file->size_bytes - offset;
    if (there > bytes)
        there = bytes;
    memset((uint8_t *)buffer + there, 0, bytes - there);
    return there ? host_file_read(file, offset, buffer, there) : STATUS_OK;
}

enum status qcow2_file_read(struct qcow2_image *image, uint64_t offset, void *buffer, uint64_t bytes)
{
    return qcow2_read_padded(image->file, offset, buffer, bytes);
}

enum status qcow2_file_write(struct qcow2_image *image, uint64_t offset, const void *buffer, uint64_t bytes,
                             unsigned allowed)
{
    enum status status = qcow2_guard_check(image, offset, bytes, allowed);
    if (status)
        return status;
    image->unflushed = true;
    return host_file_write(image->file, offset, buffer, bytes);
}

enum status qcow2_file_flush(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    /* Before the flush: a transfer that ends meanwhile is not in it for sure. */
    if (!atomic_exchange(&image->unflushed, false))
        return STATUS_OK;
    if (image->data_file)
        status = host_file_flush(image->data_file);
    if (!status)
        status = host_file_flush(image->file);
    if (status)
        image->unflushed = true;
    return status;
}

enum status qcow2_header_write(struct qcow2_image *image, unsigned at, const void *bytes, unsigned size)
{
    qcow2_step(image, BLOCK_STEP_HEADER, at, size, 0);
    return qcow2_file_write(image, at, bytes, size, QCOW2_IS_HEADER);
}

enum status qcow2_header_put64(struct qcow2_image *image, unsigned at, uint64_t value)
{
    uint8_t bytes[8];
    qcow2_put64(bytes, value);
    return qcow2_header_write(image, at, bytes, sizeof bytes);
}
