/* The map of a qcow2 image, L1 and L2 tables: docs/interop/qcow2, "Cluster mapping" and "Extended L2 Entries". An image
 * without extended entries is one with one subcluster a cluster: bit 0 of the allocated mask is a normal cluster, bit 0
 * of the zero mask the zero flag. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>

uint32_t qcow2_all_subclusters(const struct qcow2_image *image)
{
    return image->subclusters == 32 ? UINT32_MAX : 1;
}

uint32_t qcow2_subclusters(const struct qcow2_image *image, uint64_t from, uint64_t to)
{
    if (image->subclusters == 1)
        return 1;
    uint64_t first = from / image->subcluster_bytes, last = (to - 1) / image->subcluster_bytes;
    return (uint32_t)(((2ull << last) - 1) & ~((1ull << first) - 1));
}

static uint64_t index_in_table(const struct qcow2_image *image, uint64_t guest_cluster)
{
    return guest_cluster & ((1ull << image->l2_bits) - 1);
}

uint64_t qcow2_guest_clusters_in_table(const struct qcow2_image *image, uint64_t guest_cluster)
{
    return (1ull << image->l2_bits) - index_in_table(image, guest_cluster);
}

/* ---- entries ---- */

void qcow2_entry_unpack_range(const struct qcow2_image *image, uint64_t raw, uint64_t *offset, uint32_t *bytes)
{
    unsigned shift = 62 - (image->cluster_bits - 8);
    uint64_t sectors = (raw >> shift & ((1ull << (image->cluster_bits - 8)) - 1)) + 1;
    *offset = raw & ((1ull << shift) - 1);
    *bytes = (uint32_t)(sectors * 512 - (*offset & 511));
}

static enum status decode_packed(struct qcow2_image *image, uint64_t guest_cluster, uint64_t raw,
                                 struct qcow2_entry *entry)
{
    qcow2_entry_unpack_range(image, raw, &entry->host, &entry->packed_bytes);
    if (image->data_file)
        return qcow2_corrupt(image, "guest cluster %" PRIu64 ": compressed, in an image with a data file",
                             guest_cluster);
    if (entry->host >> 56)
        return qcow2_corrupt(
            image, "guest cluster %" PRIu64 ": compressed data at offset 0x%" PRIx64 ", expected an offset of 56 bits",
            guest_cluster, entry->host);
    entry->has_host = true;
    entry->copied = false;
    return STATUS_OK;
}

static void decode_subclusters(struct qcow2_image *image, uint64_t raw, uint64_t bitmap, struct qcow2_entry *entry)
{
    if (image->subclusters > 1) {
        entry->allocated = (uint32_t)bitmap;
        entry->zero = (uint32_t)(bitmap >> 32);
    } else if (raw & QCOW2_ZERO) {
        entry->zero = 1;
    } else {
        entry->allocated = entry->has_host;
    }
}

enum status qcow2_entry_decode(struct qcow2_image *image, uint64_t guest_cluster, const uint8_t *table,
                               struct qcow2_entry *entry)
{
    const uint8_t *at = table + index_in_table(image, guest_cluster) * image->entry_bytes;
    uint64_t raw = qcow2_get64(at), bitmap = image->subclusters > 1 ? qcow2_get64(at + 8) : 0;
    *entry = (struct qcow2_entry){.host = raw & QCOW2_OFFSET_MASK, .copied = raw >> 63};
    if (raw & QCOW2_COMPRESSED)
        return decode_packed(image, guest_cluster, raw, entry);
    entry->has_host = entry->host || (image->data_file && entry->copied);
    decode_subclusters(image, raw, bitmap, entry);
    if (qcow2_in_cluster(image, entry->host))
        return qcow2_corrupt(
            image, "guest cluster %" PRIu64 ": data at offset 0x%" PRIx64 ", expected a multiple of the cluster size",
            guest_cluster, entry->host);
    if (entry->has_host && image->data_file && entry->host != guest_cluster << image->cluster_bits)
        return qcow2_corrupt(image,
                             "guest cluster %" PRIu64 ": data at offset 0x%" PRIx64
                             " of the data file, expected the guest's own offset",
                             guest_cluster, entry->host);
    if (entry->zero & entry->allocated || (entry->allocated && !entry->has_host))
        return qcow2_corrupt(image,
                             "guest cluster %" PRIu64 ": subcluster bitmap 0x%" PRIx64
                             ", expected no subcluster both allocated and zero, and none without a cluster",
                             guest_cluster, bitmap);
    if (raw & QCOW2_ZERO && image->subclusters == 1 && image->header.version < 3)
        return qcow2_corrupt(image, "guest cluster %" PRIu64 ": has the zero flag, expected none in version 2",
                             guest_cluster);
    return STATUS_OK;
}

void qcow2_entry_encode(struct qcow2_image *image, uint64_t guest_cluster, uint8_t *table,
                        const struct qcow2_entry *entry)
{
    uint64_t index = index_in_table(image, guest_cluster), raw = entry->has_host ? entry->host : 0;
    uint8_t *at = table + index * image->entry_bytes;
    uint64_t l2_offset = image->l1.entry[guest_cluster >> image->l2_bits] & QCOW2_OFFSET_MASK;
    if (entry->packed_bytes) {
        uint64_t sectors = ((entry->host & 511) + entry->packed_bytes - 1) >> 9; /* beyond the first */
        raw |= QCOW2_COMPRESSED | sectors << (62 - (image->cluster_bits - 8));
    } else if (entry->has_host && entry->copied) {
        raw |= QCOW2_COPIED;
    }
    if (image->subclusters == 1)
        raw |= entry->zero ? QCOW2_ZERO : 0;
    else
        qcow2_put64(at + 8, entry->packed_bytes ? 0 : (uint64_t)entry->zero << 32 | entry->allocated);
    qcow2_put64(at, raw);
    qcow2_cache_touch(&image->l2_cache, l2_offset);
    qcow2_step(image, BLOCK_STEP_MAP_UPDATE, l2_offset + index * image->entry_bytes, image->entry_bytes, raw);
}

/* ---- tables ---- */

static enum status check_l1_entry(struct qcow2_image *image, uint64_t index, uint64_t *offset)
{
    *offset = image->l1.entry[index] & QCOW2_OFFSET_MASK;
    if (qcow2_in_cluster(image, *offset))
        return qcow2_corrupt(
            image, "L1 entry %" PRIu64 ": table at offset 0x%" PRIx64 ", expected a multiple of the cluster size",
            index, *offset);
    return STATUS_OK;
}

enum status qcow2_map_table(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table)
{
    uint64_t index = guest_cluster >> image->l2_bits, offset = 0;
    enum status status = index < image->l1.count ? check_l1_entry(image, index, &offset) : STATUS_OK;
    *table = NULL;
    return status || !offset ? status : qcow2_cache_get(image, &image->l2_cache, offset, table);
}

static enum status copy_of_table(struct qcow2_image *image, uint64_t offset, uint8_t **copy)
{
    uint8_t *from;
    enum status status = qcow2_cache_get(image, &image->l2_cache, offset, &from);
    if (status)
        return status;
    *copy = malloc(image->cluster_bytes);
    if (!*copy)
        return STATUS_NO_MEMORY;
    memcpy(*copy, from, image->cluster_bytes);
    return STATUS_OK;
}

/* A table of this image's own: new, or a copy of one that a snapshot shares. */
static enum status own_table(struct qcow2_image *image, uint64_t index, uint64_t old_offset)
{
    uint64_t offset, count;
    uint8_t *copy = NULL, *table;
    enum status status = old_offset ? copy_of_table(image, old_offset, &copy) : STATUS_OK;
    if (!status)
        status = qcow2_allocate(image, 1, 1, &offset, &count);
    if (!status)
        status = qcow2_guard_add(image, offset, image->cluster_bytes, QCOW2_IS_L2);
    if (!status)
        status = qcow2_cache_new(image, &image->l2_cache, offset, &table);
    if (!status && copy)
        memcpy(table, copy, image->cluster_bytes);
    free(copy);
    if (status)
        return status;
    qcow2_top_set(&image->l1, (uint32_t)index, offset | QCOW2_COPIED);
    qcow2_step(image, BLOCK_STEP_TABLE_UPDATE, image->l1.offset + index * 8, 8, offset | QCOW2_COPIED);
    if (!old_offset)
        return STATUS_OK;
    qcow2_guard_remove(image, old_offset, image->cluster_bytes, QCOW2_IS_L2);
    return qcow2_free_later(image, old_offset, image->cluster_bytes, false);
}

enum status qcow2_map_table_for_write(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table)
{
    uint64_t index = guest_cluster >> image->l2_bits, offset;
    if (index >= image->l1.count)
        return qcow2_corrupt(image, "L1 table: %u entries, expected more than %" PRIu64, image->l1.count, index);
    enum status status = check_l1_entry(image, index, &offset);
    if (!status && (!offset || !(image->l1.entry[index] & QCOW2_COPIED)))
        status = own_table(image, index, offset);
    return status ? status
                  : qcow2_cache_get(image, &image->l2_cache, image->l1.entry[index] & QCOW2_OFFSET_MASK, table);
}

enum status qcow2_map_entry_for_write(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table,
                                      struct qcow2_entry *entry)
{
    enum status status = qcow2_map_table_for_write(image, guest_cluster, table);
    return status ? status : qcow2_entry_decode(image, guest_cluster, *table, entry);
}

/* ---- runs ---- */

static void subcluster_run(const struct qcow2_image *image, const struct qcow2_entry *entry, uint64_t in_cluster,
                           struct qcow2_run *run)
{
    unsigned sub = image->subclusters == 1 ? 0 : (unsigned)(in_cluster / image->subcluster_bytes);
    run->kind = entry->packed_bytes           ? QCOW2_RUN_PACKED
                : entry->allocated >> sub & 1 ? QCOW2_RUN_DATA
                : entry->zero >> sub & 1      ? QCOW2_RUN_ZERO
                                              : QCOW2_RUN_HOLE;
    run->packed_bytes = entry->packed_bytes;
    run->has_host = entry->has_host;
    run->host = entry->host + (entry->packed_bytes ? 0 : in_cluster);
    run->bytes = entry->packed_bytes ? image->cluster_bytes - in_cluster
                                     : image->subcluster_bytes - (in_cluster & (image->subcluster_bytes - 1));
}

static bool continues(const struct qcow2_run *run, const struct qcow2_run *next)
{
    return run->kind == next->kind && run->kind != QCOW2_RUN_PACKED && run->has_host == next->has_host &&
           (!run->has_host || run->host + run->bytes == next->host);
}

enum status qcow2_map_run(struct qcow2_image *image, uint64_t guest, uint64_t bytes, struct qcow2_run *run)
{
    uint64_t cluster = guest >> image->cluster_bits, end = guest + bytes;
    uint64_t table_end = (cluster + qcow2_guest_clusters_in_table(image, cluster)) << image->cluster_bits;
    uint8_t *table;
    struct qcow2_entry entry;
    struct qcow2_run next;
    enum status status = qcow2_map_table(image, cluster, &table);
    if (end > table_end)
        end = table_end;
    *run = (struct qcow2_run){.kind = QCOW2_RUN_HOLE, .bytes = end - guest};
    if (status || !table)
        return status;
    for (uint64_t at = guest; at < end; at += next.bytes) {
        if (at == guest || !qcow2_in_cluster(image, at)) {
            if ((status = qcow2_entry_decode(image, at >> image->cluster_bits, table, &entry)))
                return at == guest ? status : STATUS_OK; /* the next call says it */
        }
        subcluster_run(image, &entry, qcow2_in_cluster(image, at), &next);
        if (at == guest)
            *run = (struct qcow2_run){next.kind, 0, next.host, next.packed_bytes, next.has_host};
        else if (!continues(run, &next))
            break;
        run->bytes += next.bytes;
    }
    if (run->bytes > end - guest)
        run->bytes = end - guest;
    return STATUS_OK;
}
