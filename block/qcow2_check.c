/* Checking a qcow2 image: every reference that header, tables, snapshots and bitmaps make to a cluster is counted and
 * held against the refcounts. Findings are worded as qemu-img check words them. The work is bounded by the file: an L2
 * table is walked once however many L1 entries name it, a refcount block is compared once.
 * A leak is a refcount above the references, a corruption all else. */
#include "block/qcow2_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void qcow2_check_say(struct qcow2_check *check, const char *format, ...)
{
    char line[256];
    va_list arguments;
    if (!check->say)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    check->say(check->opaque, line);
}

/* ---- counters ---- */

static enum status tally_init(struct qcow2_tally *tally, uint64_t clusters)
{
    tally->pages = clusters / TALLY_PAGE + 1;
    tally->page = calloc(tally->pages, sizeof *tally->page);
    return tally->page ? STATUS_OK : STATUS_NO_MEMORY;
}

static void tally_free(struct qcow2_tally *tally)
{
    for (uint64_t n = 0; tally->page && n < tally->pages; n++)
        free(tally->page[n]);
    free(tally->page);
    *tally = (struct qcow2_tally){0};
}

uint32_t qcow2_tally_get(const struct qcow2_tally *tally, uint64_t cluster)
{
    uint64_t page = cluster / TALLY_PAGE;
    return page < tally->pages && tally->page[page] ? tally->page[page][cluster % TALLY_PAGE] : 0;
}

static enum status tally_add(struct qcow2_tally *tally, uint64_t cluster, uint32_t weight)
{
    uint32_t **page = &tally->page[cluster / TALLY_PAGE];
    if (!*page)
        *page = calloc(TALLY_PAGE, sizeof **page);
    if (!*page)
        return STATUS_NO_MEMORY;
    uint32_t *counter = &(*page)[cluster % TALLY_PAGE];
    *counter = *counter > UINT32_MAX - weight ? UINT32_MAX : *counter + weight;
    return STATUS_OK;
}

void qcow2_count_free(struct qcow2_count *count)
{
    tally_free(&count->refs);
    tally_free(&count->tables);
}

static enum status add_weight(struct qcow2_count *count, uint64_t offset, uint64_t bytes, uint32_t weight)
{
    struct qcow2_image *image = count->image;
    uint64_t file_bytes = image->file->size_bytes;
    enum status status = STATUS_OK;
    if (!bytes)
        return STATUS_OK;
    if (offset > file_bytes + image->cluster_bytes || bytes > file_bytes + image->cluster_bytes - offset ||
        offset + bytes >= file_bytes + image->cluster_bytes) {
        qcow2_check_say(count->check,
                        "ERROR: counting reference for region exceeding the end of the file by one cluster or more: "
                        "offset 0x%" PRIx64 " size 0x%" PRIx64,
                        offset, bytes);
        count->check->corruptions++;
        return STATUS_OK;
    }
    uint64_t last = (offset + bytes - 1) >> image->cluster_bits;
    for (uint64_t n = offset >> image->cluster_bits; n <= last && !status; n++)
        status = tally_add(&count->refs, n, weight);
    return status;
}

static enum status add(void *opaque, uint64_t offset, uint64_t bytes)
{
    return add_weight(opaque, offset, bytes, 1);
}

/* ---- L1 and L2 ---- */

static enum status count_l1(struct qcow2_count *count, const struct qcow2_top *l1, uint64_t offset)
{
    struct qcow2_image *image = count->image;
    enum status status = add(count, offset, (uint64_t)l1->count * 8);
    for (uint32_t n = 0; n < l1->count && !status; n++) {
        uint64_t table = l1->entry[n] & QCOW2_OFFSET_MASK;
        if (!table)
            continue;
        if (l1->entry[n] & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED)) {
            qcow2_check_say(count->check, "ERROR found L1 entry with reserved bits set: %" PRIx64, l1->entry[n]);
            count->check->corruptions++;
        }
        if (qcow2_in_cluster(image, table)) {
            qcow2_check_say(count->check,
                            "ERROR l2_offset=%" PRIx64 ": Table is not cluster aligned; L1 entry corrupted", table);
            count->check->corruptions++;
            continue;
        }
        status = add(count, table, image->cluster_bytes);
        if (!status && table < image->file->size_bytes)
            status = tally_add(&count->tables, table >> image->cluster_bits, 1);
    }
    return status;
}

/* An entry that can't be: zeros take its place when all is to be mended, as QEMU does. */
static void bad_entry(struct qcow2_count *count, uint8_t *at, const char *what, uint64_t host)
{
    struct qcow2_image *image = count->image;
    bool fix = count->repair == QCOW2_REPAIR_ALL;
    qcow2_check_say(count->check, "%s offset=%" PRIx64 ": %s; L2 entry corrupted.", fix ? "Repairing" : "ERROR", host,
                    what);
    if (!fix) {
        count->check->corruptions++;
        return;
    }
    qcow2_put64(at, image->subclusters == 1 && image->header.version >= 3 ? QCOW2_ZERO : 0);
    if (image->subclusters > 1)
        qcow2_put64(at + 8, 0xffffffffull << 32);
    count->check->corruptions_fixed++;
}

static enum status count_entry(struct qcow2_count *count, uint8_t *at, uint32_t weight)
{
    struct qcow2_image *image = count->image;
    uint64_t raw = qcow2_get64(at), host = raw & QCOW2_OFFSET_MASK;
    uint64_t bitmap = image->subclusters > 1 ? qcow2_get64(at + 8) : 0;
    if (raw & QCOW2_COMPRESSED) {
        uint32_t bytes;
        qcow2_entry_unpack_range(image, raw, &host, &bytes);
        if (raw & QCOW2_COPIED || image->data_file) {
            qcow2_check_say(count->check,
                            "ERROR: coffset=0x%" PRIx64 ": copied flag must never be set for compressed "
                            "clusters, nor may they be in an image with a data file",
                            host);
            count->check->corruptions++;
        }
        return add_weight(count, host, bytes, weight);
    }
    if (image->subclusters > 1 && ((bitmap >> 32) & bitmap & UINT32_MAX)) {
        bad_entry(count, at, "Cluster has corrupted subcluster allocation status", host);
        return STATUS_OK;
    }
    if (!host && !(image->data_file && raw & QCOW2_COPIED)) {
        if (bitmap & UINT32_MAX)
            bad_entry(count, at, "Subclusters are allocated in a cluster without an offset", host);
        return STATUS_OK;
    }
    if (qcow2_in_cluster(image, host)) {
        bad_entry(count, at, "Data cluster is not cluster aligned", host);
        return STATUS_OK;
    }
    return image->data_file ? STATUS_OK : add_weight(count, host, image->cluster_bytes, weight);
}

static enum status count_table(struct qcow2_count *count, uint64_t table, uint32_t weight, uint8_t *copy)
{
    struct qcow2_image *image = count->image;
    uint64_t fixed = count->check->corruptions_fixed;
    enum status status = qcow2_file_read(image, table, copy, image->cluster_bytes);
    if (status) {
        count->check->errors++;
        return STATUS_OK;
    }
    for (uint64_t at = 0; at < image->cluster_bytes && !status; at += image->entry_bytes)
        status = count_entry(count, copy + at, weight);
    if (!status && count->check->corruptions_fixed != fixed)
        status = qcow2_file_write(image, table, copy, image->cluster_bytes, UINT32_MAX);
    return status;
}

static enum status count_tables(struct qcow2_count *count)
{
    uint8_t *copy = malloc(count->image->cluster_bytes);
    enum status status = copy ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint64_t n = 0; n < count->limit && !status; n++) {
        if (!count->tables.page[n / TALLY_PAGE]) {
            n |= TALLY_PAGE - 1;
            continue;
        }
        uint32_t weight = qcow2_tally_get(&count->tables, n);
        if (weight)
            status = count_table(count, n << count->image->cluster_bits, weight, copy);
    }
    free(copy);
    return status;
}

static enum status count_snapshots(struct qcow2_count *count)
{
    struct qcow2_image *image = count->image;
    enum status status = STATUS_OK;
    if (image->snapshot_count)
        status = add(count, image->header.snapshot_offset, image->snapshot_table_bytes);
    for (size_t n = 0; n < image->snapshot_count && !status; n++) {
        const struct qcow2_snapshot *snapshot = &image->snapshot[n];
        struct qcow2_top l1 = {0};
        status = qcow2_top_load(image, &l1, snapshot->l1_offset, snapshot->l1_size);
        if (!status)
            status = count_l1(count, &l1, snapshot->l1_offset);
        qcow2_top_free(&l1);
    }
    return status;
}

static enum status count_refcounts(struct qcow2_count *count)
{
    struct qcow2_image *image = count->image;
    enum status status =
        add(count, image->header.reftable_offset, (uint64_t)image->header.reftable_clusters << image->cluster_bits);
    for (uint32_t n = 0; n < image->reftable.count && !status; n++) {
        uint64_t offset = image->reftable.entry[n] & QCOW2_REFTABLE_MASK;
        bool aligned = !qcow2_in_cluster(image, offset);
        if (!offset)
            continue;
        if (!aligned || offset >= image->file->size_bytes) {
            qcow2_check_say(count->check,
                            aligned ? "ERROR refcount block %u is outside image"
                                    : "ERROR refcount block %u is not cluster aligned; refcount table "
                                      "entry corrupted",
                            n);
            count->check->corruptions++;
            count->rebuild = true;
            continue;
        }
        status = add(count, offset, image->cluster_bytes);
        if (!status && qcow2_tally_get(&count->refs, offset >> image->cluster_bits) != 1) {
            qcow2_check_say(count->check, "ERROR refcount block %u refcount=%u", n,
                            qcow2_tally_get(&count->refs, offset >> image->cluster_bits));
            count->check->corruptions++;
            count->rebuild = true;
        }
    }
    return status;
}

/* All references, in the order that findings are told: header, map, snapshots, bitmaps, refcount structures. */
enum status qcow2_count_all(struct qcow2_count *count, struct error *error)
{
    struct qcow2_image *image = count->image;
    count->clusters = qcow2_clusters_of(image, image->file->size_bytes);
    count->limit = count->clusters + 1;
    if (count->limit > TALLY_CLUSTERS_MAX)
        return error_status(error, STATUS_UNSUPPORTED, "%s: %" PRIu64 " clusters: too large to check",
                            image->image.name, count->clusters);
    enum status status = tally_init(&count->refs, count->limit);
    if (!status)
        status = tally_init(&count->tables, count->limit);
    if (!status)
        status = add(count, 0, image->cluster_bytes);
    if (!status)
        status = count_l1(count, &image->l1, image->header.l1_offset);
    if (!status)
        status = count_snapshots(count);
    if (!status)
        status = count_tables(count);
    if (!status && image->header.has_bitmaps) {
        status = qcow2_bitmaps_walk(image, add, count);
        if (status == STATUS_CORRUPT) {
            qcow2_check_say(count->check, "ERROR the bitmap directory is damaged");
            count->check->corruptions++;
            status = STATUS_OK;
        }
    }
    if (!status && !count->refcounts_only)
        status = count_refcounts(count);
    return status ? error_status(error, status, "%s: cannot be checked: %s", image->image.name, status_name(status))
                  : STATUS_OK;
}

/* ---- comparing ---- */

/* One cluster whose refcount is not the references that it has. */
static void mismatch(struct qcow2_count *count, uint64_t cluster, uint64_t is, uint64_t should, bool has_block)
{
    bool leak = is > should;
    bool fix = leak ? count->repair != QCOW2_REPAIR_NONE : count->repair == QCOW2_REPAIR_ALL;
    qcow2_check_say(count->check, "%s cluster %" PRIu64 " refcount=%" PRIu64 " reference=%" PRIu64,
                    fix    ? "Repairing"
                    : leak ? "Leaked"
                           : "ERROR",
                    cluster, is, should);
    if (fix && has_block && !qcow2_set_refcount(count->image, cluster, should)) {
        *(leak ? &count->check->leaks_fixed : &count->check->corruptions_fixed) += 1;
        return;
    }
    count->rebuild |= !leak;
    *(leak ? &count->check->leaks : &count->check->corruptions) += 1;
}

/* The clusters of one block of refcounts (null: there is none). */
static void compare_block(struct qcow2_count *count, uint64_t first, const uint8_t *block)
{
    struct qcow2_image *image = count->image;
    unsigned order = image->header.refcount_order;
    uint64_t entries = 1ull << image->refblock_bits, per_word = 64u >> order;
    for (uint64_t n = 0; n < entries; n++) {
        uint64_t cluster = first + n, word = 0;
        if (n % per_word == 0) { /* a word of zeros that nobody points to */
            if (block)
                memcpy(&word, block + n / per_word * 8, 8);
            uint64_t page = cluster / TALLY_PAGE;
            if (!word && (page >= count->refs.pages || !count->refs.page[page])) {
                n += per_word - 1;
                continue;
            }
        }
        uint64_t is = block ? qcow2_refcount_in(block, order, n) : 0;
        uint64_t should = qcow2_tally_get(&count->refs, cluster);
        if (cluster >= count->clusters && !should)
            break; /* counts behind the end of the file: nobody looks at them, QEMU neither */
        if ((is || should) && (cluster + 1) << image->cluster_bits > count->check->image_end)
            count->check->image_end = (cluster + 1) << image->cluster_bits;
        if (is != should)
            mismatch(count, cluster, is, should, block);
    }
}

static bool any_referenced(const struct qcow2_count *count, uint64_t first, uint64_t clusters)
{
    uint64_t last = (first + clusters - 1) / TALLY_PAGE;
    for (uint64_t page = first / TALLY_PAGE; page <= last && page < count->refs.pages; page++) {
        if (count->refs.page[page])
            return true;
    }
    return false;
}

static enum status compare(struct qcow2_count *count)
{
    struct qcow2_image *image = count->image;
    uint64_t blocks = (count->limit >> image->refblock_bits) + 1;
    uint8_t *copy = malloc(image->cluster_bytes);
    enum status status = copy ? STATUS_OK : STATUS_NO_MEMORY;
    if (blocks < image->reftable.count)
        blocks = image->reftable.count;
    for (uint64_t n = 0; n < blocks && !status; n++) {
        uint64_t offset = n < image->reftable.count ? image->reftable.entry[n] & QCOW2_REFTABLE_MASK : 0;
        uint64_t first = n << image->refblock_bits;
        bool good = offset && !qcow2_in_cluster(image, offset) && offset < image->file->size_bytes &&
                    qcow2_tally_get(&count->refs, offset >> image->cluster_bits) == 1;
        if (!good && !any_referenced(count, first, 1ull << image->refblock_bits))
            continue;
        uint8_t *block;
        if (good)
            status = qcow2_cache_get(image, &image->refcount_cache, offset, &block);
        if (!status && good)
            memcpy(copy, block, image->cluster_bytes);
        if (!status)
            compare_block(count, first, good ? copy : NULL);
    }
    free(copy);
    return status;
}

/* ---- copied flags, and how the active map looks ---- */

static void check_copied(struct qcow2_count *count, uint64_t offset, uint64_t raw, const char *what)
{
    uint64_t refcount = 0;
    if (qcow2_refcount_get(count->image, offset >> count->image->cluster_bits, &refcount)) {
        count->check->errors++;
        return;
    }
    if ((refcount == 1) == (raw >> 63))
        return;
    qcow2_check_say(count->check, "%s OFLAG_COPIED %s: %s=%" PRIx64 " refcount=%" PRIu64,
                    count->repair == QCOW2_REPAIR_ALL ? "Repairing" : "ERROR", what,
                    *what == 'L' ? "l1_entry" : "l2_entry", raw, refcount);
    count->check->corruptions++;
    count->flag_errors++;
}

static void look_at_entry(struct qcow2_count *count, const uint8_t *at, uint64_t *next)
{
    struct qcow2_image *image = count->image;
    uint64_t raw = qcow2_get64(at), host = raw & QCOW2_OFFSET_MASK;
    if (raw & QCOW2_COMPRESSED) {
        count->check->compressed_clusters++;
        count->check->allocated_clusters++;
        count->check->fragmented_clusters++;
        return;
    }
    if ((!host && !(image->data_file && raw & QCOW2_COPIED)) || qcow2_in_cluster(image, host))
        return;
    count->check->allocated_clusters++;
    count->check->fragmented_clusters += *next && host != *next;
    *next = host + image->cluster_bytes;
    if (!image->data_file)
        check_copied(count, host, raw, "data cluster");
}

static enum status look_at_map(struct qcow2_count *count)
{
    struct qcow2_image *image = count->image;
    uint8_t *copy = malloc(image->cluster_bytes);
    enum status status = copy ? STATUS_OK : STATUS_NO_MEMORY;
    for (uint32_t n = 0; n < image->l1.count && !status; n++) {
        uint64_t table = image->l1.entry[n] & QCOW2_OFFSET_MASK, next = 0;
        if (!table || qcow2_in_cluster(image, table) || table >= image->file->size_bytes)
            continue;
        check_copied(count, table, image->l1.entry[n], "L2 cluster");
        if (qcow2_tally_get(&count->tables, table >> image->cluster_bits) > image->snapshot_count + 1)
            continue; /* named by more L1 entries than there are tables: said before, by its refcount */
        status = qcow2_file_read(image, table, copy, image->cluster_bytes);
        for (uint64_t at = 0; at < image->cluster_bytes && !status; at += image->entry_bytes)
            look_at_entry(count, copy + at, &next);
    }
    free(copy);
    return status;
}

/* ---- the whole ---- */

static enum status pass(struct qcow2_image *image, struct qcow2_check *check, enum qcow2_repair repair,
                        uint64_t *flag_errors, struct error *error)
{
    struct qcow2_count count = {.image = image, .check = check, .repair = repair};
    enum status status = qcow2_count_all(&count, error);
    if (!status)
        status = compare(&count);
    if (!status && repair != QCOW2_REPAIR_NONE)
        status = qcow2_flush_all(image);
    if (!status && repair == QCOW2_REPAIR_ALL && count.rebuild) {
        qcow2_count_free(&count);
        struct qcow2_check quiet = {0};
        count = (struct qcow2_count){.image = image, .check = &quiet, .refcounts_only = true};
        qcow2_check_say(check, "Rebuilding refcount structure");
        status = qcow2_count_all(&count, error);
        if (!status)
            status = qcow2_rebuild(image, &count);
    } else if (!status) {
        status = look_at_map(&count);
    }
    *flag_errors = count.flag_errors;
    qcow2_count_free(&count);
    return status ? error_status(error, status, "%s: cannot be checked: %s", image->image.name, status_name(status))
                  : STATUS_OK;
}

/* What a second look, without mending, still finds is what is left. */
static enum status mend(struct qcow2_image *image, enum qcow2_repair repair, struct qcow2_check *check,
                        struct error *error)
{
    struct qcow2_check first = *check, last = {.say = check->say, .opaque = check->opaque};
    uint64_t flag_errors = 0, ignored;
    enum status status = pass(image, &first, repair, &flag_errors, error);
    if (!status && (repair == QCOW2_REPAIR_ALL || (flag_errors && flag_errors == first.corruptions)))
        status = qcow2_refresh_copied(image);
    if (!status)
        status = qcow2_flush_all(image);
    if (!status)
        status = pass(image, &last, QCOW2_REPAIR_NONE, &ignored, error);
    if (status)
        return status;
    uint64_t corruptions = first.corruptions + first.corruptions_fixed, leaks = first.leaks + first.leaks_fixed;
    last.corruptions_fixed = corruptions > last.corruptions ? corruptions - last.corruptions : 0;
    last.leaks_fixed = leaks > last.leaks ? leaks - last.leaks : 0;
    *check = last;
    return STATUS_OK;
}

static enum status clear_marks(struct qcow2_image *image)
{
    uint64_t marks = QCOW2_DIRTY | QCOW2_CORRUPT;
    if (!(image->header.incompatible & marks))
        return STATUS_OK;
    image->header.incompatible &= ~marks;
    enum status status = qcow2_header_put64(image, QCOW2_AT_INCOMPATIBLE, image->header.incompatible);
    return status ? status : qcow2_file_flush(image);
}

enum status block_qcow2_check(struct block_image *block, enum qcow2_repair repair, struct qcow2_check *check,
                              struct error *error)
{
    struct qcow2_image *image = qcow2_of(block);
    struct qcow2_info info;
    uint64_t ignored;
    enum status status = STATUS_OK;
    if (!block_qcow2_info(block, &info))
        return error_status(error, STATUS_UNSUPPORTED, "%s: format %s: has nothing to check", block->name,
                            block->ops->format);
    if (repair != QCOW2_REPAIR_NONE && block->read_only)
        return error_status(error, STATUS_READ_ONLY, "%s: cannot be mended read-only", block->name);
    if (image->changed)
        status = qcow2_flush_all(image);
    if (status)
        return error_status(error, status, "%s: %s", block->name, status_name(status));
    status =
        repair == QCOW2_REPAIR_NONE ? pass(image, check, repair, &ignored, error) : mend(image, repair, check, error);
    check->total_clusters = qcow2_clusters_of(image, image->header.size_bytes);
    if (!status && repair == QCOW2_REPAIR_ALL && !check->corruptions && !check->errors)
        status = clear_marks(image);
    return status;
}
