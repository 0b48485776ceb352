/* The overlap check: which clusters of the image file are structures of the format, and of which kind. Every write
 * asks before it goes; what may not be there is corruption of the image (or of this program), and nothing is written.
 * QEMU's overlap-check=all: header, L1, active L2, refcount table and blocks, snapshot table, L1 and L2 tables of
 * snapshots, bitmap directory; less where unguarded says so. A hash set by cluster number; asked by address only, its order is nobody's business. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static struct qcow2_guard_slot *slot_of(const struct qcow2_guard_set *set, uint64_t cluster)
{
    size_t at = (size_t)((cluster * 0x9e3779b97f4a7c15ull) >> 20) & (set->capacity - 1);
    while (set->slot[at].cluster && set->slot[at].cluster != cluster + 1)
        at = (at + 1) & (set->capacity - 1);
    return &set->slot[at];
}

static enum status grow(struct qcow2_guard_set *set)
{
    struct qcow2_guard_set larger = {.capacity = set->capacity ? set->capacity * 2 : 256};
    larger.slot = calloc(larger.capacity, sizeof *larger.slot);
    if (!larger.slot)
        return STATUS_NO_MEMORY;
    for (size_t n = 0; n < set->capacity; n++) {
        if (!set->slot[n].cluster || !set->slot[n].kinds)
            continue; /* what was removed goes for good */
        *slot_of(&larger, set->slot[n].cluster - 1) = set->slot[n];
        larger.count++;
    }
    free(set->slot);
    *set = larger;
    return STATUS_OK;
}

enum status qcow2_guard_add(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned kind)
{
    struct qcow2_guard_set *set = &image->guard;
    uint64_t first = offset >> image->cluster_bits, count = qcow2_clusters_of(image, bytes);
    for (uint64_t n = first; n < first + count; n++) {
        if (set->count * 2 >= set->capacity) {
            enum status status = grow(set);
            if (status)
                return status;
        }
        struct qcow2_guard_slot *slot = slot_of(set, n);
        set->count += !slot->cluster;
        slot->cluster = n + 1;
        slot->kinds |= kind;
    }
    return STATUS_OK;
}

void qcow2_guard_remove(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned kind)
{
    uint64_t first = offset >> image->cluster_bits, count = qcow2_clusters_of(image, bytes);
    for (uint64_t n = first; image->guard.capacity && n < first + count; n++)
        slot_of(&image->guard, n)->kinds &= ~kind;
}

static const char *kind_name(unsigned kinds)
{
    static const char *const names[] = {"header",         "active L1 table", "active L2 table",   "refcount table",
                                        "refcount block", "snapshot table",  "inactive L1 table", "inactive L2 table",
                                        "bitmaps"};
    return names[__builtin_ctz(kinds)];
}

enum status qcow2_guard_check(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned allowed)
{
    if (!image->guarded || !bytes)
        return STATUS_OK;
    for (uint64_t n = offset >> image->cluster_bits; n <= (offset + bytes - 1) >> image->cluster_bits; n++) {
        unsigned hit = slot_of(&image->guard, n)->kinds & ~allowed & ~image->unguarded;
        if (hit)
            return qcow2_corrupt_write(image, &(struct qcow2_refused_write){offset, bytes, n << image->cluster_bits},
                                       "a write of %" PRIu64 " bytes at offset 0x%" PRIx64
                                       " would overwrite the %s at offset 0x%" PRIx64,
                                       bytes, offset, kind_name(hit), n << image->cluster_bits);
    }
    return STATUS_OK;
}

static enum status add_tables(struct qcow2_image *image, const uint64_t *entry, uint64_t count, uint64_t mask,
                              unsigned kind)
{
    enum status status = STATUS_OK;
    for (uint64_t n = 0; n < count && !status; n++) {
        uint64_t offset = entry[n] & mask;
        if (offset)
            status = qcow2_guard_add(image, offset, image->cluster_bytes, kind);
    }
    return status;
}

static enum status add_snapshots(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    if (image->snapshot_count)
        status = qcow2_guard_add(image, image->header.snapshot_offset, image->snapshot_table_bytes, QCOW2_IS_SNAPSHOTS);
    for (size_t n = 0; n < image->snapshot_count && !status; n++) {
        const struct qcow2_snapshot *snapshot = &image->snapshot[n];
        struct qcow2_top l1 = {0};
        status = qcow2_guard_add(image, snapshot->l1_offset, (uint64_t)snapshot->l1_size * 8, QCOW2_IS_INACTIVE_L1);
        if (!status)
            status = qcow2_top_load(image, &l1, snapshot->l1_offset, snapshot->l1_size);
        if (!status)
            status = add_tables(image, l1.entry, l1.count, QCOW2_OFFSET_MASK, QCOW2_IS_INACTIVE_L2);
        qcow2_top_free(&l1);
    }
    return status;
}

enum status qcow2_guard_build(struct qcow2_image *image)
{
    const struct qcow2_header *header = &image->header;
    enum status status = qcow2_guard_add(image, 0, 1, QCOW2_IS_HEADER);
    if (!status)
        status = qcow2_guard_add(image, header->l1_offset, (uint64_t)header->l1_size * 8, QCOW2_IS_L1);
    if (!status)
        status = qcow2_guard_add(image, header->reftable_offset,
                                 (uint64_t)header->reftable_clusters << image->cluster_bits, QCOW2_IS_REFTABLE);
    if (!status)
        status = add_tables(image, image->l1.entry, image->l1.count, QCOW2_OFFSET_MASK, QCOW2_IS_L2);
    if (!status)
        status =
            add_tables(image, image->reftable.entry, image->reftable.count, QCOW2_REFTABLE_MASK, QCOW2_IS_REFBLOCK);
    if (!status)
        status = add_snapshots(image);
    if (!status && header->has_bitmaps)
        status =
            qcow2_guard_add(image, header->bitmap_directory_offset, header->bitmap_directory_bytes, QCOW2_IS_BITMAPS);
    image->guarded = !status;
    return status;
}

void qcow2_guard_free(struct qcow2_guard_set *set)
{
    free(set->slot);
    *set = (struct qcow2_guard_set){0};
}
