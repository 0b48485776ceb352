/* What all host files share: range checks, the size, the log of steps. */
#include "block/host_file.h"

static bool range_fits(uint64_t offset, uint64_t size_bytes)
{
    return offset <= INT64_MAX && size_bytes <= (uint64_t)INT64_MAX - offset;
}

static enum status note(struct host_file *file, enum block_step_kind kind, uint64_t offset, uint64_t size_bytes,
                        uint64_t value, enum status status)
{
    block_activity_add_in(file->activity, file->path,
                          (struct block_step){.kind = (uint8_t)kind,
                                              .file = file->index,
                                              .status = (int16_t)status,
                                              .offset = offset,
                                              .size_bytes = size_bytes,
                                              .value = value});
    return status;
}

static void grown_to(struct host_file *file, uint64_t end, enum status status)
{
    if (!status && end > file->size_bytes)
        file->size_bytes = end;
}

void host_file_close(struct host_file *file)
{
    if (file)
        file->ops->close(file);
}

enum status host_file_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    enum status status = range_fits(offset, size_bytes) ? file->ops->read(file, offset, buffer, size_bytes) : STATUS_IO;
    return note(file, BLOCK_STEP_HOST_READ, offset, size_bytes, 0, status);
}

enum status host_file_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    enum status status = file->read_only                  ? STATUS_READ_ONLY
                         : range_fits(offset, size_bytes) ? file->ops->write(file, offset, buffer, size_bytes)
                                                          : STATUS_IO;
    grown_to(file, offset + size_bytes, status);
    return note(file, BLOCK_STEP_HOST_WRITE, offset, size_bytes, 0, status);
}

enum status host_file_flush(struct host_file *file)
{
    return note(file, BLOCK_STEP_HOST_FLUSH, 0, 0, 0, file->ops->flush(file));
}

enum status host_file_zero(struct host_file *file, uint64_t offset, uint64_t size_bytes, bool unmap)
{
    enum status status = file->read_only                  ? STATUS_READ_ONLY
                         : range_fits(offset, size_bytes) ? file->ops->zero(file, offset, size_bytes, unmap)
                                                          : STATUS_IO;
    grown_to(file, offset + size_bytes, status);
    return note(file, BLOCK_STEP_HOST_ZERO, offset, size_bytes, unmap, status);
}

enum status host_file_resize(struct host_file *file, uint64_t size_bytes, enum host_preallocation preallocation)
{
    enum status status = file->read_only             ? STATUS_READ_ONLY
                         : range_fits(0, size_bytes) ? file->ops->resize(file, size_bytes, preallocation)
                                                     : STATUS_IO;
    if (!status)
        file->size_bytes = size_bytes;
    return note(file, BLOCK_STEP_HOST_RESIZE, size_bytes, 0, 0, status);
}

enum status host_file_extent(struct host_file *file, uint64_t offset, uint64_t *size_bytes, bool *data)
{
    return offset < file->size_bytes ? file->ops->extent(file, offset, size_bytes, data) : STATUS_END;
}

int host_file_descriptor(const struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    bool inside = offset <= file->size_bytes && size_bytes <= file->size_bytes - offset;
    return inside && file->ops->descriptor ? file->ops->descriptor(file, offset, buffer, size_bytes) : -1;
}

enum status host_file_transfer(struct host_file *file, bool write, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    if (!range_fits(offset, size_bytes))
        return STATUS_IO;
    if (!write)
        return file->ops->read(file, offset, buffer, size_bytes);
    return file->read_only ? STATUS_READ_ONLY : file->ops->write(file, offset, buffer, size_bytes);
}

static enum status piece_by_piece(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                                  unsigned count)
{
    enum status status = STATUS_OK;
    for (unsigned n = 0; n < count && !status; n++) {
        status = host_file_transfer(file, write, offset, piece[n].iov_base, piece[n].iov_len);
        offset += piece[n].iov_len;
    }
    return status;
}

enum status host_file_transfer_pieces(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                                      unsigned count)
{
    uint64_t size_bytes = 0;
    for (unsigned n = 0; n < count; n++)
        size_bytes += piece[n].iov_len;
    if (!range_fits(offset, size_bytes))
        return STATUS_IO;
    if (write && file->read_only)
        return STATUS_READ_ONLY;
    return file->ops->transfer ? file->ops->transfer(file, write, offset, piece, count)
                               : piece_by_piece(file, write, offset, piece, count);
}

uint64_t host_file_allocated_bytes(struct host_file *file)
{
    return file->ops->allocated ? file->ops->allocated(file) : file->size_bytes;
}
