/* qcow2 images: opening, closing, the vtable of block.h. The parts: qcow2_internal.h. */
#include "block/open.h"
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static enum status qcow2_read(struct block_image *block, uint64_t sector, uint32_t sectors, void *buffer)
{
    return qcow2_read_bytes(qcow2_of(block), sector * BLOCK_SECTOR_BYTES, buffer,
                            (uint64_t)sectors * BLOCK_SECTOR_BYTES);
}

static enum status qcow2_write(struct block_image *block, uint64_t sector, uint32_t sectors, const void *buffer,
                               bool fua)
{
    struct qcow2_image *image = qcow2_of(block);
    enum status status = qcow2_begin_change(image);
    if (!status)
        status = qcow2_write_bytes(image, sector * BLOCK_SECTOR_BYTES, buffer, (uint64_t)sectors * BLOCK_SECTOR_BYTES);
    return status || !fua ? status : qcow2_flush_all(image);
}

static enum status qcow2_flush(struct block_image *block)
{
    struct qcow2_image *image = qcow2_of(block);
    return block->read_only || !image->changed ? STATUS_OK : qcow2_flush_all(image);
}

static enum status qcow2_zero(struct block_image *block, uint64_t sector, uint32_t sectors, bool unmap)
{
    struct qcow2_image *image = qcow2_of(block);
    enum status status = qcow2_begin_change(image);
    return status ? status
                  : qcow2_zero_bytes(image, sector * BLOCK_SECTOR_BYTES, (uint64_t)sectors * BLOCK_SECTOR_BYTES, unmap);
}

static enum status map_behind(struct qcow2_image *image, uint64_t sector, uint64_t sectors, struct block_extent *extent)
{
    *extent = (struct block_extent){.sectors = sectors, .flags = BLOCK_EXTENT_ZERO};
    if (!image->backing || sector >= image->backing->size_sectors)
        return STATUS_OK;
    enum status status = block_image_map(image->backing, sector, sectors, extent);
    extent->depth++;
    return status;
}

/* Clusters in use, and bytes of the file that the host has: far fewer bytes mean preallocated clusters, whose holes
 * are zeros. As QEMU guesses it; asked once. */
static bool has_holes(struct qcow2_image *image)
{
    uint64_t used = 0, count, clusters = qcow2_clusters_of(image, image->file->size_bytes);
    uint64_t real = host_file_allocated_bytes(image->file) >> image->cluster_bits;
    if (image->holes)
        return image->holes > 0;
    image->holes = -1;
    uint64_t threshold = real * 10 / 9 > real + 2 ? real * 10 / 9 : real + 2;
    if (clusters <= threshold)
        return false;
    for (uint64_t n = 0; n < clusters && used <= threshold; n++) {
        if (qcow2_refcount_get(image, n, &count))
            return false;
        used += count != 0;
    }
    image->holes = used > threshold ? 1 : -1;
    return image->holes > 0;
}

/* The part of a run of data that is in one kind of host extent; a hole reads as zeros. */
static void look_below(struct qcow2_image *image, struct block_extent *extent)
{
    uint64_t bytes = extent->sectors * BLOCK_SECTOR_BYTES, run = bytes;
    bool data = true;
    if (extent->file_offset >= extent->file->size_bytes)
        data = false;
    else if (!has_holes(image) || host_file_extent(extent->file, extent->file_offset, &run, &data))
        return;
    if (run < bytes && run >= BLOCK_SECTOR_BYTES)
        extent->sectors = (data ? run + BLOCK_SECTOR_BYTES - 1 : run) / BLOCK_SECTOR_BYTES;
    if (!data && run >= BLOCK_SECTOR_BYTES)
        extent->flags |= BLOCK_EXTENT_ZERO;
}

static enum status qcow2_map(struct block_image *block, uint64_t sector, uint64_t sectors, struct block_extent *extent)
{
    struct qcow2_image *image = qcow2_of(block);
    struct qcow2_run run;
    enum status status = qcow2_map_run(image, sector * BLOCK_SECTOR_BYTES, sectors * BLOCK_SECTOR_BYTES, &run);
    if (status)
        return status;
    sectors = run.bytes / BLOCK_SECTOR_BYTES;
    if (run.kind == QCOW2_RUN_HOLE) {
        status = map_behind(image, sector, sectors, extent);
        if (!status && run.has_host && extent->flags == BLOCK_EXTENT_ZERO) {
            extent->flags |= BLOCK_EXTENT_OFFSET; /* a place without data */
            extent->file = qcow2_data(image);
            extent->file_offset = run.host;
        }
        return status;
    }
    *extent = (struct block_extent){.sectors = sectors, .flags = BLOCK_EXTENT_ALLOCATED};
    extent->flags |= run.kind == QCOW2_RUN_ZERO ? BLOCK_EXTENT_ZERO : BLOCK_EXTENT_DATA;
    if (run.kind == QCOW2_RUN_PACKED)
        extent->flags |= BLOCK_EXTENT_COMPRESSED;
    if (run.kind == QCOW2_RUN_PACKED || run.has_host) {
        extent->flags |= BLOCK_EXTENT_OFFSET;
        extent->file = qcow2_data(image);
        extent->file_offset = run.host;
    }
    if (run.kind == QCOW2_RUN_DATA)
        look_below(image, extent);
    return STATUS_OK;
}

static enum status qcow2_resize_sectors(struct block_image *block, uint64_t size_sectors, struct error *error)
{
    return qcow2_resize(qcow2_of(block), size_sectors * BLOCK_SECTOR_BYTES, error);
}

static void qcow2_watch(struct block_image *block, struct block_activity *activity)
{
    struct qcow2_image *image = qcow2_of(block);
    image->file->activity = activity;
    if (image->data_file)
        image->data_file->activity = activity;
    block_image_watch(image->backing, activity);
}

/* ---- trouble ---- */

/* The mark is the one write that is still made. Version 2 has none. */
static void mark_corrupt(struct qcow2_image *image)
{
    struct qcow2_header *header = &image->header;
    uint8_t field[8];
    if (image->image.read_only || header->version < 3 || header->incompatible & QCOW2_CORRUPT || image->for_check)
        return;
    header->incompatible |= QCOW2_CORRUPT;
    qcow2_put64(field, header->incompatible);
    if (host_file_write(image->file, QCOW2_AT_INCOMPATIBLE, field, sizeof field) || host_file_flush(image->file))
        image->mark_failed = true;
}

static enum status found_corrupt(struct qcow2_image *image, const struct qcow2_refused_write *write, const char *text)
{
    const struct qcow2_refused_write none = {.offset = UINT64_MAX};
    const struct qcow2_refused_write *at = write ? write : &none;
    image->broken = true;
    block_activity_add(image->file->activity, (struct block_step){.kind = BLOCK_STEP_CORRUPT,
                                                                  .file = image->file->index,
                                                                  .status = STATUS_CORRUPT,
                                                                  .offset = write ? at->offset : 0,
                                                                  .size_bytes = at->size_bytes,
                                                                  .value = at->structure});
    if (atomic_load(&image->found))
        return STATUS_CORRUPT;
    mark_corrupt(image);
    error_set(&image->fault, "%s: %s%s", image->image.name, text,
              image->mark_failed ? " (and the image could not be marked corrupt)" : "");
    image->fault_offset = at->offset;
    image->fault_bytes = at->size_bytes;
    atomic_store(&image->found, true);
    return STATUS_CORRUPT;
}

enum status qcow2_corrupt(struct qcow2_image *image, const char *format, ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return found_corrupt(image, NULL, text);
}

enum status qcow2_corrupt_write(struct qcow2_image *image, const struct qcow2_refused_write *write, const char *format,
                                ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return found_corrupt(image, write, text);
}

static bool qcow2_corruption(struct block_image *block, struct block_corruption *corruption)
{
    struct qcow2_image *image = qcow2_of(block);
    if (!atomic_load(&image->found))
        return block_image_corruption(image->backing, corruption);
    *corruption = (struct block_corruption){image->fault.text, image->fault_offset, image->fault_bytes};
    return true;
}

static enum status qcow2_settle(struct block_image *block)
{
    struct qcow2_image *image = qcow2_of(block);
    enum status status = image->changed && !image->broken ? qcow2_clean(image) : STATUS_OK;
    image->changed = false;
    image->broken |= status != STATUS_OK;
    return status;
}

static void qcow2_destroy(struct block_image *block)
{
    struct qcow2_image *image = qcow2_of(block);
    (void)qcow2_settle(block);
    block_image_destroy(image->backing);
    host_file_close(image->data_file);
    qcow2_cache_free(&image->l2_cache);
    qcow2_cache_free(&image->refcount_cache);
    qcow2_top_free(&image->l1);
    qcow2_top_free(&image->reftable);
    qcow2_guard_free(&image->guard);
    qcow2_snapshots_free(image);
    qcow2_header_free(&image->header);
    free(image->backing_path);
    free(image->freed);
    free(image->cluster_buffer);
    free(image->packed_buffer);
    host_file_close(image->file);
    free(image);
}

static const struct block_image_ops qcow2_ops = {
    .format = "qcow2",
    .read = qcow2_read,
    .write = qcow2_write,
    .flush = qcow2_flush,
    .zero = qcow2_zero,
    .map = qcow2_map,
    .locate = qcow2_locate,
    .transferred = qcow2_transferred,
    .resize = qcow2_resize_sectors,
    .corruption = qcow2_corruption,
    .settle = qcow2_settle,
    .watch = qcow2_watch,
    .destroy = qcow2_destroy,
};

enum status qcow2_begin_change(struct qcow2_image *image)
{
    uint64_t known = QCOW2_DATA_FILE_RAW;
    if (image->image.read_only)
        return STATUS_READ_ONLY;
    if (image->broken)
        return STATUS_CORRUPT;
    if (image->changed)
        return STATUS_OK;
    enum status status = qcow2_guard_build(image);
    if (!status && image->header.autoclear & ~known) {
        image->header.autoclear &= known;
        status = qcow2_header_put64(image, QCOW2_AT_AUTOCLEAR, image->header.autoclear);
        if (!status)
            status = qcow2_file_flush(image);
        if (!status && image->header.has_bitmaps)
            status = qcow2_bitmaps_drop(image);
    }
    image->changed = !status;
    return status;
}

/* ---- opening ---- */

uint64_t qcow2_l1_entries_for(const struct qcow2_image *image, uint64_t size_bytes)
{
    unsigned shift = image->cluster_bits + image->l2_bits;
    return (size_bytes >> shift) + ((size_bytes & ((1ull << shift) - 1)) != 0);
}

static void set_geometry(struct qcow2_image *image)
{
    const struct qcow2_header *header = &image->header;
    bool extended = header->incompatible & QCOW2_EXTENDED_L2;
    image->cluster_bits = header->cluster_bits;
    image->cluster_bytes = 1ull << header->cluster_bits;
    image->entry_bytes = extended ? 16 : 8;
    image->l2_bits = header->cluster_bits - (extended ? 4 : 3);
    image->subclusters = extended ? 32 : 1;
    image->subcluster_bytes = image->cluster_bytes / image->subclusters;
    image->refblock_bits = header->cluster_bits + 3 - header->refcount_order;
    image->image.size_sectors = header->size_bytes / BLOCK_SECTOR_BYTES;
    image->cluster_buffer_offset = UINT64_MAX;
}

static enum status load_tables(struct qcow2_image *image, struct error *error)
{
    const struct qcow2_header *header = &image->header;
    uint64_t needed = qcow2_l1_entries_for(image, header->size_bytes);
    if (needed > header->l1_size)
        return error_status(error, STATUS_CORRUPT,
                            "%s: qcow2 header, l1_size at offset 36: %u, expected at least %" PRIu64
                            " for the image's size",
                            image->image.name, header->l1_size, needed);
    enum status status = qcow2_caches_init(image);
    if (!status)
        status = qcow2_top_load(image, &image->l1, header->l1_offset, header->l1_size);
    if (!status)
        status = qcow2_top_load(image, &image->reftable, header->reftable_offset,
                                (uint32_t)(((uint64_t)header->reftable_clusters << image->cluster_bits) / 8));
    if (status)
        error_set(error, "%s: L1 table at offset 0x%" PRIx64 " or refcount table at offset 0x%" PRIx64 ": %s",
                  image->image.name, header->l1_offset, header->reftable_offset, status_name(status));
    return status ? status : qcow2_snapshots_load(image, error);
}

static enum status refuse_state(struct qcow2_image *image, struct error *error)
{
    if (image->header.incompatible & QCOW2_CORRUPT && !image->image.read_only && !image->for_check)
        return error_status(error, STATUS_CORRUPT,
                            "%s: is marked corrupt, expected to be mended (image check -r all) before it is written",
                            image->image.name);
    return STATUS_OK;
}

/* Another L1 table, and nothing may be written. */
static enum status choose_snapshot(struct qcow2_image *image, const char *name, struct error *error)
{
    const struct qcow2_snapshot *snapshot = qcow2_snapshot_select(image, name);
    if (!snapshot)
        return error_status(error, STATUS_NOT_FOUND, "%s: snapshot %s: not found", image->image.name, name);
    if (!image->image.read_only)
        return error_status(error, STATUS_READ_ONLY, "%s: snapshot %s: can only be opened read-only", image->image.name,
                            name);
    if (qcow2_l1_entries_for(image, snapshot->size_bytes) > snapshot->l1_size)
        return error_status(error, STATUS_CORRUPT, "%s: snapshot %s: its L1 table has %u entries, too few for its size",
                            image->image.name, name, snapshot->l1_size);
    qcow2_top_free(&image->l1);
    enum status status = qcow2_top_load(image, &image->l1, snapshot->l1_offset, snapshot->l1_size);
    image->image.size_sectors = snapshot->size_bytes / BLOCK_SECTOR_BYTES;
    return status ? error_status(error, status, "%s: snapshot %s: L1 table at offset 0x%" PRIx64 ": %s",
                                 image->image.name, name, snapshot->l1_offset, status_name(status))
                  : STATUS_OK;
}

static enum status mend_dirty(struct qcow2_image *image, struct error *error)
{
    struct qcow2_check check = {0};
    if (!(image->header.incompatible & QCOW2_DIRTY) || image->image.read_only || image->for_check)
        return STATUS_OK;
    image->for_check = true;
    enum status status = block_qcow2_check(&image->image, QCOW2_REPAIR_ALL, &check, error);
    image->for_check = false;
    if (!status && (check.corruptions || check.errors))
        status = error_status(error, STATUS_CORRUPT, "%s: is dirty and could not be mended", image->image.name);
    return status;
}

static enum status open_all(struct qcow2_image *image, const struct block_open_options *options,
                            const struct block_open_context *context, struct error *error)
{
    enum status status = qcow2_header_read(image->file, &image->header, error);
    if (status)
        return status;
    set_geometry(image);
    if ((status = refuse_state(image, error)) || (status = load_tables(image, error)))
        return status;
    if (options->snapshot && (status = choose_snapshot(image, options->snapshot, error)))
        return status;
    if ((status = qcow2_open_data_file(image, options, context, error)) || (status = mend_dirty(image, error)))
        return status;
    return options->no_backing ? STATUS_OK : qcow2_open_backing(image, options, context, error);
}

struct block_image *block_qcow2_open(struct host_file *file, const struct block_open_options *options,
                                     const struct block_open_context *context, struct error *error)
{
    struct qcow2_image *image = calloc(1, sizeof *image);
    if (!image) {
        error_set(error, "%s: out of memory", file->path);
        host_file_close(file);
        return NULL;
    }
    image->image = (struct block_image){.ops = &qcow2_ops, .read_only = file->read_only, .name = file->path};
    image->file = file;
    image->for_check = options->check;
    image->cache_limit.l2_bytes = options->l2_cache_bytes;
    image->cache_limit.refcount_bytes = options->refcount_cache_bytes;
    image->cache_limit.bytes = options->cache_bytes;
    image->unguarded = options->unguarded;
    uint8_t next_file = 1;
    struct block_open_context alone = {.path = file->path, .next_file = &next_file};
    if (open_all(image, options, context ? context : &alone, error)) {
        error_set(error, "%s: %s", file->path, image->fault.text[0] ? image->fault.text : "cannot be opened");
        qcow2_destroy(&image->image);
        return NULL;
    }
    return &image->image;
}

/* ---- for tools ---- */

static struct qcow2_image *if_qcow2(struct block_image *block)
{
    return block && block->ops == &qcow2_ops ? qcow2_of(block) : NULL;
}

bool block_qcow2_info(struct block_image *block, struct qcow2_info *info)
{
    struct qcow2_image *image = if_qcow2(block);
    if (!image)
        return false;
    const struct qcow2_header *header = &image->header;
    *info = (struct qcow2_info){
        .version = header->version,
        .cluster_bits = header->cluster_bits,
        .refcount_bits = 1u << header->refcount_order,
        .lazy_refcounts = header->compatible & QCOW2_LAZY_REFCOUNTS,
        .extended_l2 = header->incompatible & QCOW2_EXTENDED_L2,
        .dirty = header->incompatible & QCOW2_DIRTY,
        .corrupt = header->incompatible & QCOW2_CORRUPT,
        .data_file_raw = image->data_file && header->autoclear & QCOW2_DATA_FILE_RAW,
        .compression = (enum qcow2_compression)header->compression_type,
        .backing_name = header->backing_name,
        .backing_format = header->backing_format,
        .data_file = header->data_file,
        .backing_path = image->backing_path,
        .size_bytes = header->size_bytes,
    };
    return true;
}

static enum status not_qcow2(struct block_image *block, struct error *error)
{
    return error_status(error, STATUS_UNSUPPORTED, "%s: format %s: expected qcow2", block->name, block->ops->format);
}

enum status block_qcow2_preallocate(struct block_image *block, uint64_t from_bytes,
                                    enum qcow2_preallocation preallocation, struct error *error)
{
    struct qcow2_image *image = if_qcow2(block);
    if (!image)
        return not_qcow2(block, error);
    enum status status = qcow2_preallocate(image, from_bytes, preallocation);
    if (!status)
        status = qcow2_flush_all(image);
    return status ? error_status(error, status, "%s: cannot be preallocated: %s", block->name,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}

enum status block_qcow2_set_backing(struct block_image *block, const char *name, const char *format,
                                    struct error *error)
{
    struct qcow2_image *image = if_qcow2(block);
    return image ? qcow2_set_backing(image, name, format, error) : not_qcow2(block, error);
}

enum status block_qcow2_empty(struct block_image *block, struct error *error)
{
    struct qcow2_image *image = if_qcow2(block);
    return image ? qcow2_empty(image, error) : not_qcow2(block, error);
}

struct block_image *block_qcow2_backing(struct block_image *block)
{
    struct qcow2_image *image = if_qcow2(block);
    return image ? image->backing : NULL;
}

const struct qcow2_snapshot *block_qcow2_snapshots(struct block_image *block, size_t *count)
{
    struct qcow2_image *image = if_qcow2(block);
    *count = image ? image->snapshot_count : 0;
    return image ? image->snapshot : NULL;
}
