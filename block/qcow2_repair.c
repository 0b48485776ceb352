/* Mending the refcounts of a qcow2 image, where they are or, when their own structure can't be believed, anew. The
 * guard is of no help here: it knows only what the tables of the damaged image say. New structures lie behind the end
 * of the file, where nothing else is. */
#include "block/qcow2_check.h"

#include <stdlib.h>

enum status qcow2_set_refcount(struct qcow2_image *image, uint64_t cluster, uint64_t value)
{
    uint64_t offset = image->reftable.entry[cluster >> image->refblock_bits] & QCOW2_REFTABLE_MASK;
    uint8_t *block;
    if (value > qcow2_refcount_max(image))
        return STATUS_NO_SPACE;
    enum status status = qcow2_cache_get(image, &image->refcount_cache, offset, &block);
    if (status)
        return status;
    qcow2_refcount_put(block, image->header.refcount_order, cluster & ((1ull << image->refblock_bits) - 1), value);
    qcow2_cache_touch(&image->refcount_cache, offset);
    image->changed = true;
    return STATUS_OK;
}

struct plan {
    uint64_t first;          /* cluster of the first new block; the table comes behind the last */
    uint64_t blocks, tables; /* clusters */
    uint64_t indices;        /* table entries in use */
};

/* How many pages of the tally are in use in a block's range. */
static bool block_needed(const struct qcow2_image *image, const struct qcow2_count *count, const struct plan *plan,
                         uint64_t index)
{
    uint64_t first = index << image->refblock_bits, last = ((index + 1) << image->refblock_bits) - 1;
    if (last >= plan->first && first < plan->first + plan->blocks + plan->tables)
        return true;
    for (uint64_t n = first / TALLY_PAGE; n <= last / TALLY_PAGE && n < count->refs.pages; n++) {
        if (count->refs.page[n])
            return true;
    }
    return false;
}

/* The new structure counts itself: until its size no longer changes. */
static enum status make_plan(struct qcow2_image *image, const struct qcow2_count *count, struct plan *plan)
{
    for (unsigned tries = 0; tries < 64; tries++) {
        struct plan next = {.first = count->clusters};
        next.indices = ((plan->first + plan->blocks + plan->tables) >> image->refblock_bits) + 1;
        next.tables = qcow2_clusters_of(image, next.indices * 8);
        if (next.tables << image->cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
            return STATUS_NO_SPACE;
        for (uint64_t n = 0; n < next.indices; n++)
            next.blocks += block_needed(image, count, plan, n);
        if (next.blocks == plan->blocks && next.tables == plan->tables)
            return STATUS_OK;
        next.blocks = next.blocks < plan->blocks ? plan->blocks : next.blocks;
        *plan = next;
    }
    return STATUS_NO_SPACE;
}

static enum status write_block(struct qcow2_image *image, const struct qcow2_count *count, const struct plan *plan,
                               uint64_t index, uint64_t offset, uint8_t *block)
{
    uint64_t first = index << image->refblock_bits, end = plan->first + plan->blocks + plan->tables;
    memset(block, 0, image->cluster_bytes);
    for (uint64_t n = 0; n < 1ull << image->refblock_bits; n++) {
        uint64_t cluster = first + n;
        uint64_t value = qcow2_tally_get(&count->refs, cluster) + (cluster >= plan->first && cluster < end);
        if (value > qcow2_refcount_max(image))
            return STATUS_NO_SPACE;
        if (value)
            qcow2_refcount_put(block, image->header.refcount_order, n, value);
    }
    image->unflushed = true;
    return host_file_write(image->file, offset, block, image->cluster_bytes);
}

static enum status write_blocks(struct qcow2_image *image, const struct qcow2_count *count, const struct plan *plan,
                                struct qcow2_top *table)
{
    uint8_t *block = malloc(image->cluster_bytes);
    uint64_t next = plan->first << image->cluster_bits;
    enum status status = block ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t n = 0; n < plan->indices && !status; n++) {
        if (!block_needed(image, count, plan, n))
            continue;
        CHECK(next < (plan->first + plan->blocks) << image->cluster_bits);
        qcow2_top_set(table, (uint32_t)n, next);
        status = write_block(image, count, plan, n, next, block);
        next += image->cluster_bytes;
    }
    free(block);
    return status;
}

/* The header changes over when all of the new structure is in the file. */
static enum status change_over(struct qcow2_image *image, const struct plan *plan, struct qcow2_top *table)
{
    uint8_t field[12];
    enum status status = qcow2_file_flush(image);
    qcow2_put64(field, table->offset);
    qcow2_put32(field + 8, (uint32_t)plan->tables);
    if (!status)
        status = qcow2_header_write(image, QCOW2_AT_REFTABLE, field, sizeof field);
    if (!status)
        status = qcow2_file_flush(image);
    if (status)
        return status;
    image->header.reftable_offset = table->offset;
    image->header.reftable_clusters = (uint32_t)plan->tables;
    qcow2_cache_drop(&image->refcount_cache);
    qcow2_top_free(&image->reftable);
    image->reftable = *table;
    *table = (struct qcow2_top){0};
    return STATUS_OK;
}

enum status qcow2_rebuild(struct qcow2_image *image, const struct qcow2_count *count)
{
    struct plan plan = {.first = count->clusters};
    struct qcow2_top table = {0};
    enum status status = make_plan(image, count, &plan);
    image->guarded = false;
    if (!status)
        status = qcow2_top_init(&table, (uint32_t)((plan.tables << image->cluster_bits) / 8));
    if (!status) {
        table.offset = (plan.first + plan.blocks) << image->cluster_bits;
        status = write_blocks(image, count, &plan, &table);
    }
    if (!status)
        status = qcow2_top_write(image, &table, true, QCOW2_IS_REFTABLE);
    if (!status)
        status = change_over(image, &plan, &table);
    qcow2_top_free(&table);
    return status;
}
