/* Reading a qcow2 image: run by run of the map; what is not in this image comes from the one behind it, or is zero. */
#include "block/qcow2_internal.h"

static enum status read_behind(struct qcow2_image *image, uint64_t guest, uint8_t *out, uint64_t bytes)
{
    struct block_image *backing = image->backing;
    uint64_t end = backing ? backing->size_sectors * BLOCK_SECTOR_BYTES : 0;
    uint64_t there = guest >= end ? 0 : end - guest;
    if (there > bytes)
        there = bytes;
    memset(out + there, 0, bytes - there);
    return there ? backing->ops->read(backing, guest / BLOCK_SECTOR_BYTES, (uint32_t)(there / BLOCK_SECTOR_BYTES), out)
                 : STATUS_OK;
}

static enum status read_packed(struct qcow2_image *image, const struct qcow2_run *run, uint64_t guest, uint8_t *out,
                               uint64_t bytes)
{
    enum status status = qcow2_unpack_cluster(image, run->host, run->packed_bytes);
    if (!status)
        memcpy(out, image->cluster_buffer + qcow2_in_cluster(image, guest), bytes);
    return status;
}

static enum status read_run(struct qcow2_image *image, const struct qcow2_run *run, uint64_t guest, uint8_t *out)
{
    switch (run->kind) {
    case QCOW2_RUN_DATA: return qcow2_read_padded(qcow2_data(image), run->host, out, run->bytes);
    case QCOW2_RUN_PACKED: return read_packed(image, run, guest, out, run->bytes);
    case QCOW2_RUN_ZERO: memset(out, 0, run->bytes); return STATUS_OK;
    case QCOW2_RUN_HOLE: break;
    }
    return read_behind(image, guest, out, run->bytes);
}

enum status qcow2_read_bytes(struct qcow2_image *image, uint64_t guest, void *buffer, uint64_t bytes)
{
    uint8_t *out = buffer;
    while (bytes) {
        struct qcow2_run run;
        enum status status = qcow2_map_run(image, guest, bytes, &run);
        if (!status)
            status = read_run(image, &run, guest, out);
        if (status)
            return status;
        guest += run.bytes;
        out += run.bytes;
        bytes -= run.bytes;
    }
    return STATUS_OK;
}

/* A hole over a backing image counts as unknown, but for the part behind its end. */
enum status qcow2_known_zero(struct qcow2_image *image, uint64_t guest, uint64_t bytes, bool *zero)
{
    uint64_t backed = image->backing ? image->backing->size_sectors * BLOCK_SECTOR_BYTES : 0;
    *zero = true;
    while (bytes && *zero) {
        struct qcow2_run run;
        enum status status = qcow2_map_run(image, guest, bytes, &run);
        if (status)
            return status;
        *zero = run.kind == QCOW2_RUN_ZERO || (run.kind == QCOW2_RUN_HOLE && guest >= backed);
        guest += run.bytes;
        bytes -= run.bytes;
    }
    return STATUS_OK;
}
