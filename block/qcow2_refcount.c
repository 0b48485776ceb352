/* Refcounts and allocation: docs/interop/qcow2, "Host cluster management". Counts change in the cached blocks; the file
 * follows in qcow2_sync.c. New blocks and a larger table come as they are needed. A refcount is never trusted so far
 * that a structure would be overwritten: the guard looks at every cluster that is handed out. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define FREED_MAX 65536u

static unsigned order_of(const struct qcow2_image *image)
{
    return image->header.refcount_order;
}

uint64_t qcow2_refcount_max(const struct qcow2_image *image)
{
    unsigned bits = 1u << order_of(image);
    return bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
}

uint64_t qcow2_refcount_in(const uint8_t *block, unsigned order, uint64_t index)
{
    switch (order) {
    case 6: return qcow2_get64(block + index * 8);
    case 5: return qcow2_get32(block + index * 4);
    case 4: return qcow2_get16(block + index * 2);
    case 3: return block[index];
    default: {
        unsigned bits = 1u << order, shift = (unsigned)(index << order) & 7;
        return (unsigned)block[(index << order) >> 3] >> shift & ((1u << bits) - 1);
    }
    }
}

void qcow2_refcount_put(uint8_t *block, unsigned order, uint64_t index, uint64_t value)
{
    switch (order) {
    case 6: qcow2_put64(block + index * 8, value); break;
    case 5: qcow2_put32(block + index * 4, (uint32_t)value); break;
    case 4: qcow2_put16(block + index * 2, (uint16_t)value); break;
    case 3: block[index] = (uint8_t)value; break;
    default: {
        unsigned bits = 1u << order, shift = (unsigned)(index << order) & 7;
        uint8_t *byte = &block[(index << order) >> 3];
        *byte = (uint8_t)((*byte & ~(((1u << bits) - 1) << shift)) | (unsigned)value << shift);
    }
    }
}

/* The block that holds the cluster's count; null when there is none yet. */
static enum status get_block(struct qcow2_image *image, uint64_t cluster, uint8_t **block, uint64_t *offset)
{
    uint64_t index = cluster >> image->refblock_bits;
    *block = NULL;
    *offset = index < image->reftable.count ? image->reftable.entry[index] & QCOW2_REFTABLE_MASK : 0;
    if (!*offset)
        return STATUS_OK;
    if (qcow2_in_cluster(image, *offset) || *offset > INT64_MAX / 2)
        return qcow2_corrupt(image,
                             "refcount table entry %" PRIu64 ": block at offset 0x%" PRIx64
                             ", expected a multiple of the cluster size",
                             index, *offset);
    return qcow2_cache_get(image, &image->refcount_cache, *offset, block);
}

static uint64_t index_in_block(const struct qcow2_image *image, uint64_t cluster)
{
    return cluster & ((1ull << image->refblock_bits) - 1);
}

enum status qcow2_refcount_get(struct qcow2_image *image, uint64_t cluster, uint64_t *count)
{
    uint8_t *block;
    uint64_t offset;
    enum status status = get_block(image, cluster, &block, &offset);
    *count = status || !block ? 0 : qcow2_refcount_in(block, order_of(image), index_in_block(image, cluster));
    return status;
}

/* ---- new blocks and a larger table ---- */

static enum status find_free(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *cluster,
                             uint64_t *found);
static enum status find_counted(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *cluster,
                                uint64_t *found);

/* A table for more blocks: in memory first, so that its own clusters can be counted; then written whole beside the old
 * one, and the header changed over. */
static enum status move_table(struct qcow2_image *image, uint64_t offset, uint64_t clusters)
{
    uint64_t old_offset = image->header.reftable_offset;
    uint64_t old_bytes = (uint64_t)image->header.reftable_clusters << image->cluster_bits;
    uint8_t field[12];
    enum status status = qcow2_guard_add(image, offset, clusters << image->cluster_bits, QCOW2_IS_REFTABLE);
    if (!status)
        status = qcow2_cache_write(image, &image->refcount_cache);
    image->reftable.offset = offset;
    if (!status)
        status = qcow2_top_write(image, &image->reftable, true, QCOW2_IS_REFTABLE);
    if (!status)
        status = qcow2_file_flush(image);
    qcow2_put64(field, offset);
    qcow2_put32(field + 8, (uint32_t)clusters);
    if (!status)
        status = qcow2_header_write(image, QCOW2_AT_REFTABLE, field, sizeof field);
    if (!status)
        status = qcow2_file_flush(image);
    if (status)
        return status;
    image->header.reftable_offset = offset;
    image->header.reftable_clusters = (uint32_t)clusters;
    qcow2_guard_remove(image, old_offset, old_bytes, QCOW2_IS_REFTABLE);
    qcow2_free_now(image, old_offset, old_bytes);
    return STATUS_OK;
}

static enum status grow_table(struct qcow2_image *image, uint64_t index)
{
    uint64_t entries_per_cluster = image->cluster_bytes / 8;
    uint64_t want = index + 1 + index / 2 + 8; /* room for the blocks of the table itself */
    uint64_t clusters = (want + entries_per_cluster - 1) / entries_per_cluster, cluster, found;
    struct qcow2_top larger, old = image->reftable;
    if (clusters << image->cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
        clusters = QCOW2_REFTABLE_BYTES_MAX >> image->cluster_bits;
    if (index >= clusters * entries_per_cluster)
        return STATUS_NO_SPACE;
    enum status status = qcow2_top_init(&larger, (uint32_t)(clusters * entries_per_cluster));
    if (status)
        return status;
    memcpy(larger.entry, old.entry, (size_t)old.count * 8);
    larger.offset = old.offset;
    image->reftable = larger;
    qcow2_top_free(&old);
    status = find_counted(image, clusters, clusters, &cluster, &found);
    if (!status)
        status = qcow2_refcount_add(image, cluster, clusters, 1);
    if (!status)
        status = move_table(image, cluster << image->cluster_bits, clusters);
    if (status)
        qcow2_corrupt(image, "the refcount table could not be moved: %s", status_name(status));
    return status;
}

static enum status add_block(struct qcow2_image *image, uint64_t index, uint64_t cluster, bool counts_itself)
{
    uint64_t offset = cluster << image->cluster_bits;
    uint8_t *block;
    enum status status = qcow2_guard_check(image, offset, 1, 0);
    if (!status)
        status = qcow2_guard_add(image, offset, image->cluster_bytes, QCOW2_IS_REFBLOCK);
    if (!status)
        status = qcow2_cache_new(image, &image->refcount_cache, offset, &block);
    if (status)
        return status;
    if (counts_itself)
        qcow2_refcount_put(block, order_of(image), index_in_block(image, cluster), 1);
    qcow2_top_set(&image->reftable, (uint32_t)index, offset);
    qcow2_step(image, BLOCK_STEP_REFTABLE, image->reftable.offset + index * 8, 8, offset);
    return STATUS_OK;
}

/* There is a block for the cluster afterwards. Its own cluster is counted by an old block, or by itself. */
static enum status create_block(struct qcow2_image *image, uint64_t cluster)
{
    uint64_t index = cluster >> image->refblock_bits, where, found;
    for (unsigned tries = 0; tries < 4; tries++) {
        enum status status = STATUS_OK;
        if (index >= image->reftable.count)
            status = grow_table(image, index);
        if (status || image->reftable.entry[index])
            return status;
        if ((status = find_free(image, 1, 1, &where, &found)))
            return status;
        uint64_t counter = where >> image->refblock_bits;
        if (counter >= image->reftable.count) {
            status = grow_table(image, counter);
        } else if (!image->reftable.entry[counter]) {
            status = add_block(image, counter, where, true);
        } else if (!(status = qcow2_refcount_add(image, where, 1, 1))) {
            status = add_block(image, index, where, false);
        }
        if (status)
            return status;
    }
    return index < image->reftable.count && image->reftable.entry[index] ? STATUS_OK : STATUS_NO_SPACE;
}

/* ---- changing counts ---- */

/* Lazy refcounts: the mark is in the file before a count is wrong. */
static enum status mark_dirty(struct qcow2_image *image)
{
    struct qcow2_header *header = &image->header;
    if (!(header->compatible & QCOW2_LAZY_REFCOUNTS) || header->incompatible & QCOW2_DIRTY || image->for_check)
        return STATUS_OK;
    enum status status = qcow2_header_put64(image, QCOW2_AT_INCOMPATIBLE, header->incompatible | QCOW2_DIRTY);
    if (!status)
        status = qcow2_file_flush(image);
    if (!status)
        header->incompatible |= QCOW2_DIRTY;
    return status;
}

static enum status change_one(struct qcow2_image *image, uint64_t cluster, int delta)
{
    uint8_t *block;
    uint64_t offset, index = index_in_block(image, cluster);
    enum status status = get_block(image, cluster, &block, &offset);
    if (status)
        return status;
    uint64_t old = block ? qcow2_refcount_in(block, order_of(image), index) : 0;
    if (delta < 0 && !old)
        return qcow2_corrupt(image, "the cluster at offset 0x%" PRIx64 " is freed, expected a refcount above 0",
                             cluster << image->cluster_bits);
    if (delta > 0 && old == qcow2_refcount_max(image))
        return STATUS_NO_SPACE;
    if (!block)
        return qcow2_corrupt(image, "the cluster at offset 0x%" PRIx64 " is used, and has no refcount block",
                             cluster << image->cluster_bits);
    qcow2_refcount_put(block, order_of(image), index, delta > 0 ? old + 1 : old - 1);
    qcow2_cache_touch(&image->refcount_cache, offset);
    if (delta < 0 && old == 1 && cluster < image->free_hint)
        image->free_hint = cluster;
    if (delta < 0 && old == 1 && image->packed_next && cluster == image->packed_next >> image->cluster_bits)
        image->packed_next = 0;
    return STATUS_OK;
}

enum status qcow2_refcount_add(struct qcow2_image *image, uint64_t cluster, uint64_t count, int delta)
{
    enum status status = mark_dirty(image), undo;
    for (uint64_t n = 0; n < count && !status; n++) {
        status = change_one(image, cluster + n, delta);
        while (status && n--) {
            if ((undo = change_one(image, cluster + n, -delta)))
                return undo;
        }
        if (status)
            return status;
    }
    if (!status)
        qcow2_step(image, BLOCK_STEP_REFCOUNT, cluster << image->cluster_bits, count << image->cluster_bits,
                   (uint64_t)(int64_t)delta);
    return status;
}

/* ---- allocation ---- */

/* Clusters of a missing block are free. first: no free one lies between free_hint and it. */
static enum status find_free(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *cluster,
                             uint64_t *found)
{
    uint64_t at = image->free_hint, run = 0, first_free = UINT64_MAX;
    uint64_t limit = (INT64_MAX / 2) >> image->cluster_bits;
    while (run < most && at < limit) {
        uint64_t count;
        enum status status = qcow2_refcount_get(image, at, &count);
        if (status)
            return status;
        if (count && run >= least)
            break;
        run = count ? 0 : run + 1;
        if (run && first_free == UINT64_MAX)
            first_free = at;
        at++;
    }
    if (run < least)
        return STATUS_NO_SPACE;
    *cluster = at - run;
    *found = run;
    image->free_hint = first_free;
    return STATUS_OK;
}

/* find_free, with blocks for all that was found. A new block may take one of the clusters: then it looks again. */
static enum status find_counted(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *cluster,
                                uint64_t *found)
{
    for (;;) {
        enum status status = find_free(image, least, most, cluster, found);
        bool complete = true;
        for (uint64_t n = *cluster; !status && complete && n < *cluster + *found; n++) {
            uint64_t index = n >> image->refblock_bits;
            if (index >= image->reftable.count || !image->reftable.entry[index]) {
                complete = false;
                status = create_block(image, n);
            }
        }
        if (status || complete)
            return status;
    }
}

enum status qcow2_allocate(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *offset, uint64_t *count)
{
    uint64_t cluster = 0;
    enum status status = find_counted(image, least, most, &cluster, count);
    if (status)
        return status;
    *offset = cluster << image->cluster_bits;
    status = qcow2_guard_check(image, *offset, *count << image->cluster_bits, 0);
    if (!status && *offset + (*count << image->cluster_bits) - 1 > (QCOW2_OFFSET_MASK | 511))
        status = STATUS_NO_SPACE;
    if (!status)
        status = qcow2_refcount_add(image, cluster, *count, 1);
    if (status)
        return status;
    if (cluster == image->free_hint)
        image->free_hint = cluster + *count;
    qcow2_step(image, BLOCK_STEP_ALLOCATE, *offset, *count << image->cluster_bits, 0);
    return STATUS_OK;
}

/* ---- freeing ---- */

enum status qcow2_free_later(struct qcow2_image *image, uint64_t offset, uint64_t bytes, bool discard)
{
    uint64_t first = offset >> image->cluster_bits;
    uint64_t count = ((offset + bytes - 1) >> image->cluster_bits) - first + 1;
    struct qcow2_freed *last = image->freed_count ? &image->freed[image->freed_count - 1] : NULL;
    if (last && last->cluster + last->count == first && last->discard == discard) {
        last->count += count;
        return STATUS_OK;
    }
    if (image->freed_count == image->freed_capacity) {
        size_t capacity = image->freed_capacity ? image->freed_capacity * 2 : 64;
        struct qcow2_freed *larger = capacity > FREED_MAX ? NULL : realloc(image->freed, capacity * sizeof *larger);
        if (!larger) {
            enum status status = qcow2_sync(image); /* makes room */
            if (status || image->freed_count == image->freed_capacity)
                return status ? status : STATUS_NO_MEMORY;
        } else {
            image->freed = larger;
            image->freed_capacity = capacity;
        }
    }
    image->freed[image->freed_count++] = (struct qcow2_freed){first, count, discard};
    return STATUS_OK;
}

/* Data of a cluster that is free again, for the host to forget. Its failure costs space and nothing else. */
static void discard_free(struct qcow2_image *image, const struct qcow2_freed *freed)
{
    for (uint64_t n = 0; n < freed->count; n++) {
        uint64_t count = 1, run = 0;
        while (n + run < freed->count && !qcow2_refcount_get(image, freed->cluster + n + run, &count) && !count)
            run++;
        uint64_t offset = (freed->cluster + n) << image->cluster_bits, bytes = run << image->cluster_bits;
        if (offset + bytes > image->file->size_bytes)
            bytes = offset < image->file->size_bytes ? image->file->size_bytes - offset : 0;
        if (!bytes)
            continue;
        image->unflushed = true;
        if (qcow2_guard_check(image, offset, bytes, 0) || host_file_zero(image->file, offset, bytes, true))
            return;
        n += run;
    }
}

enum status qcow2_refcount_apply_freed(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    size_t done = 0;
    for (; done < image->freed_count && !status; done++) {
        const struct qcow2_freed *freed = &image->freed[done];
        status = qcow2_refcount_add(image, freed->cluster, freed->count, -1);
        if (status)
            break;
        qcow2_step(image, BLOCK_STEP_FREE, freed->cluster << image->cluster_bits, freed->count << image->cluster_bits,
                   0);
        if (freed->discard)
            discard_free(image, freed);
    }
    image->freed_count -= done;
    memmove(image->freed, image->freed + done, image->freed_count * sizeof *image->freed);
    return status;
}

void qcow2_free_now(struct qcow2_image *image, uint64_t offset, uint64_t bytes)
{
    if (qcow2_refcount_add(image, offset >> image->cluster_bits, qcow2_clusters_of(image, bytes), -1))
        return; /* they stay lost, which check says */
    qcow2_step(image, BLOCK_STEP_FREE, offset, bytes, 0);
}
