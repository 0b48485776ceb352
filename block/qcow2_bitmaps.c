/* Persistent bitmaps: docs/interop/qcow2, "Bitmaps". This program does not keep them: an image that is only read keeps
 * them as they are; before the first change the autoclear bit goes, which says that they are stale (to QEMU too), and
 * then their clusters. Not modelled: reading or updating a bitmap. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define DIRECTORY_ENTRY_BYTES 24u
#define BITMAP_ENTRIES_MAX (8u << 20) /* of all bitmaps; QEMU's limit for one */

static enum status walk_table(struct qcow2_image *image, uint64_t offset, uint32_t entries, qcow2_bitmap_visit visit,
                              void *opaque)
{
    struct qcow2_top table = {0};
    enum status status = visit(opaque, offset, (uint64_t)entries * 8);
    if (!status)
        status = qcow2_top_load(image, &table, offset, entries);
    for (uint32_t n = 0; n < table.count && !status; n++) {
        uint64_t data = table.entry[n] & QCOW2_OFFSET_MASK;
        if (data && qcow2_in_cluster(image, data))
            status = STATUS_CORRUPT;
        else if (data)
            status = visit(opaque, data, image->cluster_bytes);
    }
    qcow2_top_free(&table);
    return status;
}

static enum status walk_directory(struct qcow2_image *image, const uint8_t *directory, qcow2_bitmap_visit visit,
                                  void *opaque)
{
    uint64_t at = 0, size = image->header.bitmap_directory_bytes, total = 0;
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < image->header.bitmap_count && !status; n++) {
        if (size - at < DIRECTORY_ENTRY_BYTES)
            return STATUS_CORRUPT;
        const uint8_t *entry = directory + at;
        uint64_t table = qcow2_get64(entry), bytes;
        uint32_t entries = qcow2_get32(entry + 8);
        bytes = (DIRECTORY_ENTRY_BYTES + (uint64_t)qcow2_get16(entry + 18) + qcow2_get32(entry + 20) + 7) & ~7ull;
        if (bytes > size - at || qcow2_in_cluster(image, table) || !table || table > INT64_MAX / 2 ||
            (total += entries) > BITMAP_ENTRIES_MAX)
            return STATUS_CORRUPT;
        status = walk_table(image, table, entries, visit, opaque);
        at += bytes;
    }
    return status;
}

enum status qcow2_bitmaps_walk(struct qcow2_image *image, qcow2_bitmap_visit visit, void *opaque)
{
    const struct qcow2_header *header = &image->header;
    uint8_t *directory = malloc(header->bitmap_directory_bytes);
    enum status status = directory ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status)
        status = qcow2_file_read(image, header->bitmap_directory_offset, directory, header->bitmap_directory_bytes);
    if (!status)
        status = visit(opaque, header->bitmap_directory_offset, header->bitmap_directory_bytes);
    if (!status)
        status = walk_directory(image, directory, visit, opaque);
    free(directory);
    return status;
}

static enum status drop(void *opaque, uint64_t offset, uint64_t bytes)
{
    return qcow2_free_later(opaque, offset, bytes, false);
}

enum status qcow2_bitmaps_drop(struct qcow2_image *image)
{
    enum status status = qcow2_bitmaps_walk(image, drop, image);
    qcow2_guard_remove(image, image->header.bitmap_directory_offset, image->header.bitmap_directory_bytes,
                       QCOW2_IS_BITMAPS);
    image->header.has_bitmaps = false;
    return status == STATUS_CORRUPT ? STATUS_OK : status; /* then some of their clusters stay lost */
}
