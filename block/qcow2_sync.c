/* In what order changes of a qcow2 image reach its file. Between stages the host flushes, so that a cut of power at any
 * instant, with any part of the writes since the last flush done, leaves refcounts that are no smaller than the
 * references:
 *   1. refcount blocks (their changes since the last sync only count up, or count down what the file forgot before it)
 *   2. refcount table entries of new blocks
 *   3. L2 tables (with them the data, written before, are on the disk)
 *   4. L1 entries of new or copied L2 tables
 *   5. only then the clusters that nothing points to any more are counted down, in memory: the next sync's stage 1
 * A dirty image (lazy refcounts) leaves 1 and 2 to its end: whoever opens it after a cut counts anew. So is an image of
 * version 3 while something is done to it that changes counts and copied flags together, which no order makes whole
 * (qcow2_hold_dirty). */
#include "block/qcow2_internal.h"

static enum status write_refcounts(struct qcow2_image *image)
{
    enum status status = qcow2_cache_write(image, &image->refcount_cache);
    if (!status && image->reftable.any_dirty) {
        status = qcow2_file_flush(image);
        if (!status)
            status = qcow2_top_write(image, &image->reftable, false, QCOW2_IS_REFTABLE);
    }
    return status;
}

static enum status write_map(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    if (!image->l2_cache.dirty_count && !image->l1.any_dirty)
        return STATUS_OK;
    status = qcow2_file_flush(image);
    if (!status)
        status = qcow2_cache_write(image, &image->l2_cache);
    if (!status && image->l1.any_dirty) {
        status = qcow2_file_flush(image);
        if (!status)
            status = qcow2_top_write(image, &image->l1, false, QCOW2_IS_L1);
    }
    return status;
}

static enum status sync_stages(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    if (!(image->header.incompatible & QCOW2_DIRTY) || image->for_check)
        status = write_refcounts(image);
    if (!status)
        status = write_map(image);
    if (!status && image->freed_count) {
        status = qcow2_file_flush(image);
        if (!status)
            status = qcow2_refcount_apply_freed(image);
    }
    return status;
}

enum status qcow2_sync(struct qcow2_image *image)
{
    if (image->broken)
        return STATUS_CORRUPT;
    CHECK(!image->syncing);
    image->syncing = true;
    enum status status = sync_stages(image);
    image->syncing = false;
    return status;
}

enum status qcow2_flush_all(struct qcow2_image *image)
{
    enum status status = qcow2_sync(image);
    return status ? status : qcow2_file_flush(image);
}

enum status qcow2_hold_dirty(struct qcow2_image *image)
{
    struct qcow2_header *header = &image->header;
    if (header->version < 3 || header->incompatible & QCOW2_DIRTY || image->for_check)
        return STATUS_OK;
    enum status status = qcow2_header_put64(image, QCOW2_AT_INCOMPATIBLE, header->incompatible | QCOW2_DIRTY);
    if (!status)
        status = qcow2_file_flush(image);
    if (status)
        return status;
    header->incompatible |= QCOW2_DIRTY;
    image->dirty_held = true;
    return STATUS_OK;
}

/* Refcounts of a dirty image are true again once all is in the file. */
enum status qcow2_clean(struct qcow2_image *image)
{
    uint64_t incompatible = image->header.incompatible;
    enum status status = qcow2_flush_all(image);
    if (!status && image->refcount_cache.dirty_count) /* what the last stage counted down */
        status = qcow2_flush_all(image);
    if (status || !(incompatible & QCOW2_DIRTY) || image->for_check)
        return status;
    image->header.incompatible = incompatible & ~(uint64_t)QCOW2_DIRTY;
    status = qcow2_flush_all(image);
    if (!status)
        status = qcow2_header_put64(image, QCOW2_AT_INCOMPATIBLE, image->header.incompatible);
    if (!status)
        status = qcow2_file_flush(image);
    return status;
}

enum status qcow2_release_dirty(struct qcow2_image *image)
{
    if (!image->dirty_held)
        return STATUS_OK;
    image->dirty_held = false;
    return qcow2_clean(image);
}
