/* Changes of a whole qcow2 image that tools ask for: another backing file, nothing in it any more.
 *
 * The header's cluster is written anew with the same fields, extensions and their order; only the backing format and name are
 * others. A sector is what a disk writes whole or not at all, and header, extensions and name may need several. So:
 * 1. The name goes where nothing of the old header is, behind a flush as every step.
 * 2. The first sector is written, with header, format and all extensions but the table of feature names, which nobody needs:
 *    from here on the new backing file counts, and nothing behind the sector does but the name.
 * 3. The rest of the cluster is written as it shall be, then the first sector with all extensions.
 * Where it all fits in a sector, or the part of the extensions behind it stays as it is, the table does not go meanwhile. Not safe
 * against a cut, and written at once as QEMU does: names of data files that leave no room in the first sector, clusters without room
 * for both names. */
#include "block/qcow2_internal.h"

#include <stdlib.h>

#define WHOLE BLOCK_SECTOR_BYTES /* written in one piece */

struct rewriting {
    const uint8_t *old;
    uint8_t *new;
    uint32_t at, size; /* in new */
    uint32_t old_end;  /* of the extensions */
    bool no_features;  /* leave their names out */
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
        bool kept = type != QCOW2_EXT_BACKING_FORMAT && !(type == QCOW2_EXT_FEATURE_NAMES && rewriting->no_features);
        if (type == QCOW2_EXT_END || bytes > end - at - 8)
            break;
        if (kept && !put_extension(rewriting, type, rewriting->old + at + 8, bytes))
            return false;
        uint64_t next = (uint64_t)at + 8 + ((bytes + 7ull) & ~7ull);
        at = next > end ? end : (uint32_t)next;
    }
    rewriting->old_end = end - at < 8 ? end : at + 8;
    return true;
}

/* All but the name. */
static bool rewrite(struct rewriting *rewriting, const struct qcow2_header *header, const char *format)
{
    uint32_t end = header->backing_offset ? (uint32_t)header->backing_offset : rewriting->size;
    memcpy(rewriting->new, rewriting->old, header->header_bytes);
    rewriting->at = header->header_bytes;
    if (format && !put_extension(rewriting, QCOW2_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format)))
        return false;
    return copy_extensions(rewriting, header->header_bytes, end) && put_extension(rewriting, QCOW2_EXT_END, NULL, 0);
}

/* Where the name goes: with the header in one sector, or where nothing is that the old header needs. 0: there is no such place. */
static uint32_t safe_place(const struct rewriting *rewriting, const struct qcow2_header *header, uint32_t bytes)
{
    uint64_t old = header->backing_offset, old_end = old + header->backing_bytes;
    uint64_t at = rewriting->at > rewriting->old_end ? rewriting->at : rewriting->old_end;
    if (rewriting->at + bytes <= WHOLE)
        return rewriting->at;
    at = at < WHOLE ? WHOLE : at;
    if (old && at < old_end && old < at + bytes)
        at = (old_end + 7) & ~7ull;
    return at + bytes <= rewriting->size ? (uint32_t)at : 0;
}

static void point_at(uint8_t *header, uint32_t offset, uint32_t bytes)
{
    qcow2_put64(header + 8, bytes ? offset : 0);
    qcow2_put32(header + 16, bytes);
}

/* The first sector of step 2, in `first`: the new one itself where that will do. False: what must be in it has no room. */
static bool make_first(const struct rewriting *rewriting, const struct qcow2_header *header, const char *format,
                       uint8_t *first)
{
    struct rewriting bare = *rewriting;
    bare.new = first;
    bare.no_features = true;
    if (rewriting->at <= WHOLE || !memcmp(rewriting->old + WHOLE, rewriting->new + WHOLE, rewriting->at - WHOLE)) {
        memcpy(first, rewriting->new, WHOLE);
        return true;
    }
    if (!rewrite(&bare, header, format) || bare.at > WHOLE)
        return false;
    memcpy(first + 8, rewriting->new + 8, 12); /* the name's place and length */
    return true;
}

static enum status write_and_flush(struct qcow2_image *image, uint32_t at, const uint8_t *bytes, uint32_t size)
{
    enum status status = size ? qcow2_header_write(image, at, bytes, size) : STATUS_OK;
    return status ? status : qcow2_file_flush(image);
}

static enum status write_safely(struct qcow2_image *image, const uint8_t *new, uint32_t size, const uint8_t *first,
                                uint32_t name_at, uint32_t name_bytes)
{
    enum status status = STATUS_OK;
    if (name_at >= WHOLE)
        status = write_and_flush(image, name_at, new + name_at, name_bytes);
    if (!status)
        status = write_and_flush(image, 0, first, WHOLE);
    if (!status)
        status = write_and_flush(image, WHOLE, new + WHOLE, size - WHOLE);
    return status || !memcmp(first, new, WHOLE) ? status : write_and_flush(image, 0, new, WHOLE);
}

/* bytes: three clusters, for the old one, the new one, and what comes between. */
static enum status replace(struct qcow2_image *image, uint8_t *bytes, const char *name, const char *format)
{
    uint32_t size = (uint32_t)image->cluster_bytes, name_bytes = name ? (uint32_t)strlen(name) : 0;
    struct rewriting rewriting = {.old = bytes, .new = bytes + size, .size = size};
    uint8_t *first = bytes + 2 * (size_t)size;
    if (!rewrite(&rewriting, &image->header, name ? format : NULL) || size - rewriting.at < name_bytes)
        return STATUS_NO_SPACE;
    uint32_t place = safe_place(&rewriting, &image->header, name_bytes), at = place ? place : rewriting.at;
    point_at(rewriting.new, at, name_bytes);
    if (name)
        memcpy(rewriting.new + at, name, name_bytes);
    enum status status = place && make_first(&rewriting, &image->header, name ? format : NULL, first)
                             ? write_safely(image, rewriting.new, size, first, name ? at : 0, name_bytes)
                             : write_and_flush(image, 0, rewriting.new, size);
    if (!status) {
        image->header.backing_offset = name_bytes ? at : 0;
        image->header.backing_bytes = name_bytes;
    }
    return status;
}

static enum status write_backing(struct qcow2_image *image, const char *name, const char *format)
{
    uint8_t *bytes = calloc(3, image->cluster_bytes);
    enum status status = bytes ? qcow2_file_read(image, 0, bytes, image->cluster_bytes) : STATUS_NO_MEMORY;
    if (!status)
        status = replace(image, bytes, name, format);
    free(bytes);
    return status;
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
