/* Where a request lies in one file as it is, so that its transfer may run beside the image's functions (block.h, locate).
 *
 * Invariant: while a transfer that was located is under way, its clusters stay where they are, and are no other's. Why:
 * 1. Located are clusters of the active map that hold data, are not compressed, and have the copied flag, in the L2 entry and
 *    in the L1 entry of its table: nobody else points to them. A place changes by a write to a cluster without that flag or
 *    without data, or by a discard or zeroing of all of it (qcow2_write.c, qcow2_zero.c). The first is not located, the second
 *    overlaps the request, and the queue keeps them apart (executor.h).
 * 2. A write beside it in the same cluster or subcluster is made in place and copies nothing: copying along happens only to
 *    subclusters without data, in which nothing was located.
 * 3. The flag of a cluster goes when a snapshot is made, and places move when one is applied, or the size changes. Those are
 *    calls of tools, on an image without a queue; a queue in front would have to be empty.
 * 4. A cluster is freed when the map does not name it any more, and handed out again only after that (qcow2_sync.c).
 * 5. A write is held against the guard when it is located. Structures that are made later are in clusters with a refcount of
 *    0, which none of 1 has, unless the image is corrupt already; then it is as if the write had come first.
 * 6. What a transfer wrote counts as unflushed from its end on (qcow2_transferred), and a flush of the guest starts after it.
 * 7. A backing image is never written: a read of what lies there alone is located there. */
#include "block/qcow2_internal.h"

/* The cluster's part of the request, [from, to), lies at *host. */
static bool cluster_there(struct qcow2_image *image, uint64_t guest_cluster, uint64_t from, uint64_t to, uint64_t *host)
{
    uint64_t index = guest_cluster >> image->l2_bits;
    uint32_t mask = qcow2_subclusters(image, from, to);
    struct qcow2_entry entry;
    uint8_t *table;
    if (index >= image->l1.count || !(image->l1.entry[index] & QCOW2_COPIED))
        return false;
    if (qcow2_map_table(image, guest_cluster, &table) || !table ||
        qcow2_entry_decode(image, guest_cluster, table, &entry))
        return false;
    *host = entry.host + from;
    return entry.has_host && entry.copied && !entry.packed_bytes && (entry.allocated & mask) == mask;
}

static bool all_there(struct qcow2_image *image, uint64_t guest, uint64_t bytes, uint64_t *host)
{
    uint64_t end = guest + bytes, here = 0;
    for (uint64_t at = guest, stop; at < end; at = stop) {
        uint64_t start = at & ~(image->cluster_bytes - 1);
        stop = start + image->cluster_bytes < end ? start + image->cluster_bytes : end;
        if (!cluster_there(image, at >> image->cluster_bits, at - start, stop - start, &here))
            return false;
        if (at == guest)
            *host = here;
        else if (here != *host + (at - guest))
            return false;
    }
    return true;
}

/* Nothing of the range is in this image, and all of it in the one behind, which can say where. */
static bool locate_behind(struct qcow2_image *image, uint64_t sector, uint32_t sectors, struct block_place *place)
{
    struct block_image *backing = image->backing;
    struct qcow2_run run;
    if (!backing || !backing->ops->locate || sector + sectors > backing->size_sectors)
        return false;
    if (qcow2_map_run(image, sector * BLOCK_SECTOR_BYTES, (uint64_t)sectors * BLOCK_SECTOR_BYTES, &run) ||
        run.kind != QCOW2_RUN_HOLE || run.bytes < (uint64_t)sectors * BLOCK_SECTOR_BYTES)
        return false;
    return backing->ops->locate(backing, sector, sectors, false, place);
}

bool qcow2_locate(struct block_image *block, uint64_t sector, uint32_t sectors, bool write, struct block_place *place)
{
    struct qcow2_image *image = qcow2_of(block);
    uint64_t guest = sector * BLOCK_SECTOR_BYTES, bytes = (uint64_t)sectors * BLOCK_SECTOR_BYTES, host = 0;
    if (write && (block->read_only || image->broken || !image->changed)) /* the first change does more */
        return false;
    if (!all_there(image, guest, bytes, &host))
        return !write && locate_behind(image, sector, sectors, place);
    if (write && !image->data_file && qcow2_guard_check(image, host, bytes, 0))
        return false;
    *place = (struct block_place){qcow2_data(image), host};
    return true;
}

void qcow2_transferred(struct block_image *block, uint64_t sector, uint32_t sectors, bool write, void *buffer)
{
    (void)sector;
    (void)sectors;
    (void)buffer;
    if (write)
        qcow2_of(block)->unflushed = true;
}
