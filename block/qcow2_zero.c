/* Zeros, discards and preallocation in a qcow2 image. Version 3 has a flag for what reads as zeros; version 2 has
 * zeros written where something lies behind. As QEMU, a discarded cluster keeps the flag, so that a backing file given
 * to the image later does not show through. */
#include "block/qcow2_internal.h"

#define ZERO_BYTES 65536u

static enum status write_zeros(struct qcow2_image *image, uint64_t guest, uint64_t bytes)
{
    static const uint8_t zeros[ZERO_BYTES];
    enum status status = STATUS_OK;
    while (bytes && !status) {
        uint64_t part = bytes < ZERO_BYTES ? bytes : ZERO_BYTES;
        bool already = false;
        status = qcow2_known_zero(image, guest, part, &already);
        if (!status && !already)
            status = qcow2_write_bytes(image, guest, zeros, part);
        guest += part;
        bytes -= part;
    }
    return status;
}

/* All of [from, to) in the cluster, whole subclusters. plain: a flag can't say it, the data must. */
static enum status zero_cluster(struct qcow2_image *image, uint64_t cluster, uint64_t from, uint64_t to, bool unmap)
{
    uint32_t mask = qcow2_subclusters(image, from, to);
    bool whole = mask == qcow2_all_subclusters(image);
    struct qcow2_entry old, entry;
    uint8_t *table;
    enum status status = qcow2_map_entry_for_write(image, cluster, &table, &old);
    if (status)
        return status;
    if (old.packed_bytes && !whole)
        return write_zeros(image, (cluster << image->cluster_bits) + from, to - from);
    entry = old;
    entry.packed_bytes = 0;
    entry.allocated &= ~mask;
    entry.zero |= mask;
    bool release = whole && old.has_host && (unmap || old.packed_bytes || !old.copied);
    if (release)
        entry.has_host = entry.copied = false;
    if (entry.has_host == old.has_host && entry.zero == old.zero && entry.allocated == old.allocated &&
        !old.packed_bytes)
        return STATUS_OK;
    qcow2_entry_encode(image, cluster, table, &entry);
    if (release && image->data_file && unmap) {
        image->unflushed = true;
        return host_file_zero(image->data_file, old.host, image->cluster_bytes, true);
    }
    return release ? qcow2_entry_release(image, &old, unmap) : STATUS_OK;
}

/* Version 2: nothing in the map can say zero over a backing file. */
static enum status zero_without_flag(struct qcow2_image *image, uint64_t cluster, bool unmap)
{
    uint64_t guest = cluster << image->cluster_bits;
    uint64_t behind = image->backing ? image->backing->size_sectors * BLOCK_SECTOR_BYTES : 0;
    uint64_t left = image->image.size_sectors * BLOCK_SECTOR_BYTES - guest;
    if (unmap && guest >= behind)
        return qcow2_unmap_clusters(image, cluster, 1);
    return write_zeros(image, guest, left < image->cluster_bytes ? left : image->cluster_bytes);
}

/* A raw data file must hold the zeros itself. */
static enum status zero_raw_data(struct qcow2_image *image, uint64_t guest, uint64_t bytes, bool unmap)
{
    enum status status = STATUS_OK;
    image->unflushed = true;
    status = host_file_zero(image->data_file, guest, bytes, unmap);
    for (uint64_t at = guest; at < guest + bytes && !status; at = (at | (image->cluster_bytes - 1)) + 1) {
        uint64_t cluster = at >> image->cluster_bits;
        uint8_t *table;
        struct qcow2_entry entry = {.host = cluster << image->cluster_bits,
                                    .has_host = true,
                                    .copied = true,
                                    .allocated = qcow2_all_subclusters(image)},
                           old;
        status = qcow2_map_entry_for_write(image, cluster, &table, &old);
        if (!status && (old.allocated != entry.allocated || !old.copied))
            qcow2_entry_encode(image, cluster, table, &entry);
    }
    return status;
}

/* Whole subclusters. */
static enum status zero_aligned(struct qcow2_image *image, uint64_t guest, uint64_t end, bool unmap)
{
    uint64_t behind = image->backing ? image->backing->size_sectors * BLOCK_SECTOR_BYTES : 0;
    enum status status = STATUS_OK;
    if (image->data_file && image->header.autoclear & QCOW2_DATA_FILE_RAW)
        return zero_raw_data(image, guest, end - guest, unmap);
    while (guest < end && !status) {
        uint64_t cluster = guest >> image->cluster_bits, start = cluster << image->cluster_bits;
        uint64_t stop = start + image->cluster_bytes < end ? start + image->cluster_bytes : end;
        struct qcow2_run run;
        status = qcow2_map_run(image, guest, end - guest, &run);
        if (status)
            break;
        if (unmap && run.kind == QCOW2_RUN_HOLE && !run.has_host && guest >= behind)
            stop = guest + run.bytes; /* there is nothing to give back */
        else if (image->header.version < 3)
            status = zero_without_flag(image, cluster, unmap);
        else
            status = zero_cluster(image, cluster, guest - start, stop - start, unmap);
        guest = stop;
    }
    return status;
}

enum status qcow2_zero_bytes(struct qcow2_image *image, uint64_t guest, uint64_t bytes, bool unmap)
{
    uint64_t unit = image->subcluster_bytes, end = guest + bytes;
    uint64_t image_end = image->image.size_sectors * BLOCK_SECTOR_BYTES;
    uint64_t first = (guest + unit - 1) & ~(unit - 1);
    uint64_t last = end == image_end ? (end + unit - 1) & ~(unit - 1) : end & ~(unit - 1);
    if (first >= last)
        return write_zeros(image, guest, bytes);
    if (image->data_file && image->header.autoclear & QCOW2_DATA_FILE_RAW && last > image_end)
        last = image_end; /* the raw file ends there */
    enum status status = write_zeros(image, guest, first - guest);
    if (!status)
        status = zero_aligned(image, first, last, unmap);
    return status || end <= last ? status : write_zeros(image, last, end - last);
}

enum status qcow2_unmap_clusters(struct qcow2_image *image, uint64_t guest_cluster, uint64_t count)
{
    enum status status = STATUS_OK;
    for (uint64_t cluster = guest_cluster; cluster < guest_cluster + count && !status; cluster++) {
        struct qcow2_entry old;
        uint8_t *table;
        status = qcow2_map_table(image, cluster, &table);
        if (status)
            break;
        if (!table) {
            cluster += qcow2_guest_clusters_in_table(image, cluster) - 1;
            continue;
        }
        status = qcow2_map_entry_for_write(image, cluster, &table, &old);
        if (status || (!old.has_host && !old.zero))
            continue;
        qcow2_entry_encode(image, cluster, table, &(struct qcow2_entry){0});
        status = qcow2_entry_release(image, &old, true);
    }
    return status;
}

/* ---- preallocation ---- */

static enum status fill_place(struct qcow2_image *image, uint64_t host, uint64_t bytes,
                              enum qcow2_preallocation preallocation)
{
    static const uint8_t zeros[ZERO_BYTES];
    struct host_file *file = qcow2_data(image);
    enum status status = STATUS_OK;
    image->unflushed = true;
    if (preallocation == QCOW2_PREALLOC_FALLOC)
        return host_file_zero(file, host, bytes, false);
    for (uint64_t at = 0; preallocation == QCOW2_PREALLOC_FULL && at < bytes && !status; at += ZERO_BYTES)
        status = host_file_write(file, host + at, zeros, bytes - at < ZERO_BYTES ? bytes - at : ZERO_BYTES);
    return status;
}

/* Clusters that were used before hold what they held: what is to read as zeros is made so. */
static enum status clear_place(struct qcow2_image *image, uint64_t host, uint64_t bytes,
                               enum qcow2_preallocation preallocation)
{
    struct host_file *file = qcow2_data(image);
    uint64_t there = host < file->size_bytes ? file->size_bytes - host : 0;
    if (preallocation != QCOW2_PREALLOC_METADATA || !there)
        return STATUS_OK;
    image->unflushed = true;
    return host_file_zero(file, host, there < bytes ? there : bytes, true);
}

/* How many clusters from this one on have no place, up to the end of the L2 table; of one that has: 0. */
static enum status without_place(struct qcow2_image *image, uint64_t cluster, uint64_t most, uint64_t *count)
{
    uint64_t room = qcow2_guest_clusters_in_table(image, cluster);
    struct qcow2_entry entry;
    uint8_t *table;
    enum status status = qcow2_map_table_for_write(image, cluster, &table);
    most = most < room ? most : room;
    for (*count = 0; *count < most && !status; ++*count) {
        status = qcow2_entry_decode(image, cluster + *count, table, &entry);
        if (!status && (entry.has_host || entry.packed_bytes))
            break;
    }
    return status;
}

static enum status link_place(struct qcow2_image *image, uint64_t cluster, uint64_t host)
{
    struct qcow2_entry old,
        entry = {.host = host, .has_host = true, .copied = true, .allocated = image->subclusters == 1};
    uint8_t *table;
    enum status status = qcow2_map_entry_for_write(image, cluster, &table, &old);
    if (status)
        return status;
    if (image->subclusters > 1) /* the rest is a hole: from behind, where something is */
        entry.zero = old.zero;
    qcow2_entry_encode(image, cluster, table, &entry);
    return STATUS_OK;
}

/* Up to the end of the L2 table, as many clusters as there are in a row. */
static enum status preallocate_run(struct qcow2_image *image, uint64_t cluster, uint64_t *count,
                                   enum qcow2_preallocation preallocation)
{
    uint64_t host = cluster << image->cluster_bits;
    enum status status = without_place(image, cluster, *count, count);
    if (!status && !*count) {
        *count = 1;
        return STATUS_OK;
    }
    if (!status && !image->data_file)
        status = qcow2_allocate(image, 1, *count, &host, count);
    if (!status)
        status = clear_place(image, host, *count << image->cluster_bits, preallocation);
    if (!status)
        status = fill_place(image, host, *count << image->cluster_bits, preallocation);
    for (uint64_t n = 0; n < *count && !status; n++)
        status = link_place(image, cluster + n, host + (n << image->cluster_bits));
    uint64_t end = host + (*count << image->cluster_bits);
    if (!status && qcow2_data(image)->size_bytes < end) /* the file may not end before what the map names */
        status = host_file_resize(qcow2_data(image), end, HOST_PREALLOC_OFF);
    return status;
}

enum status qcow2_preallocate(struct qcow2_image *image, uint64_t from_bytes, enum qcow2_preallocation preallocation)
{
    uint64_t clusters = qcow2_clusters_of(image, image->header.size_bytes), count;
    enum status status = preallocation == QCOW2_PREALLOC_OFF ? STATUS_OK : qcow2_begin_change(image);
    uint64_t first = qcow2_clusters_of(image, from_bytes);
    for (uint64_t at = first; preallocation != QCOW2_PREALLOC_OFF && at < clusters && !status; at += count) {
        count = clusters - at;
        status = preallocate_run(image, at, &count, preallocation);
    }
    return status;
}
