/* Another size of a qcow2 image. Larger: the L1 table moves if it must, then the size. Smaller: what lies behind the
 * new end goes, then the size. Not modelled: an L1 table that becomes smaller; version 2 with snapshots, as QEMU. */
#include "block/qcow2_internal.h"

#include <inttypes.h>

enum status qcow2_grow_l1(struct qcow2_image *image, uint32_t count)
{
    uint64_t old_offset = image->header.l1_offset, old_bytes = (uint64_t)image->header.l1_size * 8, offset, found;
    uint64_t clusters = qcow2_clusters_of(image, (uint64_t)count * 8);
    struct qcow2_top larger, old = image->l1;
    uint8_t field[12];
    if (count <= image->l1.count)
        return STATUS_OK;
    if (count > QCOW2_L1_BYTES_MAX / 8)
        return STATUS_INVALID;
    enum status status = qcow2_allocate(image, clusters, clusters, &offset, &found);
    if (!status)
        status = qcow2_guard_add(image, offset, clusters << image->cluster_bits, QCOW2_IS_L1);
    if (!status)
        status = qcow2_top_init(&larger, count);
    if (status)
        return status;
    memcpy(larger.entry, old.entry, (size_t)old.count * 8);
    larger.offset = offset;
    status = qcow2_flush_all(image); /* counts, and L2 tables that the entries name */
    if (!status)
        status = qcow2_top_write(image, &larger, true, QCOW2_IS_L1);
    if (!status)
        status = qcow2_file_flush(image);
    qcow2_put32(field, count);
    qcow2_put64(field + 4, offset);
    if (!status)
        status = qcow2_header_write(image, QCOW2_AT_L1, field, sizeof field);
    if (!status)
        status = qcow2_file_flush(image);
    if (status) {
        qcow2_top_free(&larger);
        return status;
    }
    image->l1 = larger;
    image->header.l1_size = count;
    image->header.l1_offset = offset;
    qcow2_top_free(&old);
    if (old_bytes) {
        qcow2_guard_remove(image, old_offset, old_bytes, QCOW2_IS_L1);
        qcow2_free_now(image, old_offset, old_bytes);
    }
    return STATUS_OK;
}

static enum status set_size(struct qcow2_image *image, uint64_t size_bytes)
{
    enum status status = qcow2_flush_all(image);
    if (!status)
        status = qcow2_header_put64(image, QCOW2_AT_SIZE, size_bytes);
    if (!status)
        status = qcow2_file_flush(image);
    if (status)
        return status;
    image->header.size_bytes = size_bytes;
    image->image.size_sectors = size_bytes / BLOCK_SECTOR_BYTES;
    return STATUS_OK;
}

/* A backing image longer than this one would show in the new part. */
static enum status grow(struct qcow2_image *image, uint64_t size_bytes)
{
    uint64_t old_bytes = image->image.size_sectors * BLOCK_SECTOR_BYTES;
    uint64_t behind = image->backing ? image->backing->size_sectors * BLOCK_SECTOR_BYTES : 0;
    enum status status = qcow2_grow_l1(image, (uint32_t)qcow2_l1_entries_for(image, size_bytes));
    if (!status && image->data_file && image->data_file->size_bytes < size_bytes)
        status = host_file_resize(image->data_file, size_bytes, HOST_PREALLOC_OFF);
    if (!status)
        status = set_size(image, size_bytes);
    if (behind > size_bytes)
        behind = size_bytes;
    if (!status && behind > old_bytes)
        status = qcow2_zero_bytes(image, old_bytes, behind - old_bytes, false);
    return status;
}

enum status qcow2_cut_tail(struct qcow2_image *image)
{
    uint64_t clusters = qcow2_clusters_of(image, image->file->size_bytes), count = 0;
    enum status status = STATUS_OK;
    while (clusters && !status && !count) {
        status = qcow2_refcount_get(image, clusters - 1, &count);
        clusters -= !status && !count;
    }
    uint64_t end = clusters << image->cluster_bits;
    if (status || end >= image->file->size_bytes)
        return status;
    return host_file_resize(image->file, end, HOST_PREALLOC_OFF);
}

static enum status shrink(struct qcow2_image *image, uint64_t size_bytes)
{
    uint64_t old_bytes = image->header.size_bytes;
    uint64_t first = qcow2_clusters_of(image, size_bytes), last = qcow2_clusters_of(image, old_bytes);
    uint64_t edge = first << image->cluster_bits;
    enum status status = STATUS_OK;
    if (edge > old_bytes)
        edge = old_bytes & ~511ull;
    if (edge > size_bytes) /* the rest of the last cluster: it may come back */
        status = qcow2_zero_bytes(image, size_bytes, edge - size_bytes, false);
    if (!status && last > first)
        status = qcow2_unmap_clusters(image, first, last - first);
    if (!status)
        status = set_size(image, size_bytes);
    if (!status && image->data_file && image->header.autoclear & QCOW2_DATA_FILE_RAW) /* it may not come back */
        status = host_file_resize(image->data_file, size_bytes, HOST_PREALLOC_OFF);
    for (unsigned pass = 0; pass < 2 && !status; pass++) /* the first frees, and what it freed is in the file then */
        status = qcow2_flush_all(image);
    return status ? status : qcow2_cut_tail(image);
}

enum status qcow2_resize(struct qcow2_image *image, uint64_t size_bytes, struct error *error)
{
    enum status status = qcow2_begin_change(image);
    if (!status && qcow2_l1_entries_for(image, size_bytes) > QCOW2_L1_BYTES_MAX / 8)
        return error_status(error, STATUS_INVALID,
                            "%s: %" PRIu64 " bytes: too large for its cluster size (the L1 table would be over 32 MiB)",
                            image->image.name, size_bytes);
    if (!status && image->header.version < 3 && image->snapshot_count)
        return error_status(error, STATUS_UNSUPPORTED, "%s: version 2 with snapshots cannot be resized",
                            image->image.name);
    if (!status)
        status = size_bytes >= image->header.size_bytes ? grow(image, size_bytes) : shrink(image, size_bytes);
    return status ? error_status(error, status, "%s: cannot be resized: %s", image->image.name,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}
