/* Changes of a whole qcow2 image that tools ask for: another backing file, nothing in it any more. The header's cluster is
 * written anew with the same fields, extensions and their order; only the backing format and name are others. Not safe
 * against a cut within that write where header, extensions and name need more than one sector of the disk, as with QEMU. */
#include "block/qcow2_internal.h"

#include <stdlib.h>

struct rewriting {
    const uint8_t *old;
    uint8_t *new;
    uint32_t at, size; /* in new */
};

static bool put_extension(struct rewriting *rewriting, uint32_t type, const void *data, uint32_t bytes)
{
    uint32_t padded = (bytes + 7) & ~7u;
    if (rewriting->size - rewriting->at < 8 || rewriting->size - rewriting->at - 8 < padded)
        return false;
    qcow2_put32(rewriting->new + rewriting->at, type);
    qcow2_put32(rewriting->new + rewriting->at + 4, bytes);
    if (bytes)
        memcpy(rewriting->new + rewriting->at + 8, data, bytes);
    rewriting->at += 8 + padded;
    return true;
}

/* As they were read when the image was opened, and found good then. */
static bool copy_extensions(struct rewriting *rewriting, uint32_t at, uint32_t end)
{
    while (end > at && end - at >= 8) {
        uint32_t type = qcow2_get32(rewriting->old + at), bytes = qcow2_get32(rewriting->old + at + 4);
        if (type == QCOW2_EXT_END || bytes > end - at - 8)
            break;
        if (type != QCOW2_EXT_BACKING_FORMAT && !put_extension(rewriting, type, rewriting->old + at + 8, bytes))
            return false;
        uint64_t next = (uint64_t)at + 8 + ((bytes + 7ull) & ~7ull);
        at = next > end ? end : (uint32_t)next;
    }
    return true;
}

static bool rewrite(struct rewriting *rewriting, const struct qcow2_header *header, const char *name,
                    const char *format)
{
    uint32_t end = header->backing_offset ? (uint32_t)header->backing_offset : rewriting->size;
    uint32_t bytes = name ? (uint32_t)strlen(name) : 0;
    memcpy(rewriting->new, rewriting->old, header->header_bytes);
    rewriting->at = header->header_bytes;
    if (name && format && !put_extension(rewriting, QCOW2_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format)))
        return false;
    if (!copy_extensions(rewriting, header->header_bytes, end) || !put_extension(rewriting, QCOW2_EXT_END, NULL, 0) ||
        rewriting->size - rewriting->at < bytes)
        return false;
    qcow2_put64(rewriting->new + 8, name ? rewriting->at : 0);
    qcow2_put32(rewriting->new + 16, bytes);
    if (name)
        memcpy(rewriting->new + rewriting->at, name, bytes);
    return true;
}

static enum status write_backing(struct qcow2_image *image, const char *name, const char *format)
{
    uint8_t *bytes = calloc(2, image->cluster_bytes);
    struct rewriting rewriting = {
        .old = bytes, .new = bytes ? bytes + image->cluster_bytes : NULL, .size = (uint32_t)image->cluster_bytes};
    enum status status = bytes ? qcow2_file_read(image, 0, bytes, image->cluster_bytes) : STATUS_NO_MEMORY;
    if (!status && !rewrite(&rewriting, &image->header, name, format))
        status = STATUS_NO_SPACE;
    if (!status) {
        qcow2_step(image, BLOCK_STEP_HEADER, 0, image->cluster_bytes, 0);
        status = qcow2_file_write(image, 0, rewriting.new, image->cluster_bytes, QCOW2_IS_HEADER);
    }
    free(bytes);
    return status ? status : qcow2_file_flush(image);
}

enum status qcow2_set_backing(struct qcow2_image *image, const char *name, const char *format, struct error *error)
{
    const char *path = image->image.name;
    if (name && (strlen(name) > QCOW2_NAME_MAX || (format && strlen(format) > 15)))
        return error_status(error, STATUS_INVALID, "%s: backing file or its format: the name is too long", path);
    if (name && image->header.autoclear & QCOW2_DATA_FILE_RAW)
        return error_status(error, STATUS_INVALID, "%s: has a raw data file: no backing file", path);
    enum status status = qcow2_begin_change(image);
    if (!status)
        status = qcow2_flush_all(image);
    if (!status)
        status = write_backing(image, name, format);
    return status ? error_status(error, status, "%s: cannot get another backing file: %s", path,
                                 image->fault.text[0]        ? image->fault.text
                                 : status == STATUS_NO_SPACE ? "no space left in the header"
                                                             : status_name(status))
                  : STATUS_OK;
}

enum status qcow2_empty(struct qcow2_image *image, struct error *error)
{
    enum status status = qcow2_begin_change(image);
    if (!status)
        status = qcow2_unmap_clusters(image, 0, qcow2_clusters_of(image, image->header.size_bytes));
    for (unsigned pass = 0; pass < 2 && !status; pass++) /* the second: what the first freed */
        status = qcow2_flush_all(image);
    if (!status)
        status = qcow2_cut_tail(image);
    return status ? error_status(error, status, "%s: cannot be emptied: %s", image->image.name,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}
