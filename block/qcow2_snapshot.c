/* Internal snapshots: docs/interop/qcow2, "Snapshots". Order of making one: counts up, copied flags off, both in the
 * file; then L1 copy, new snapshot table, header in one write. Of deleting one: header first, then counts down, then
 * copied flags on. Counts and flags can't change in one write: in between check would find fault with flags, so an image
 * of version 3 is dirty meanwhile, and mended when it is opened after a cut. In version 2, which has no such bit, a cut may
 * leave flags that are wrong and harm nobody: clusters that are copied once more than needed. Not modelled: the
 * machine's state inside a snapshot (kept, never made). */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_BYTES 40u
#define ENTRY_EXTRA_BYTES 24u /* what this program writes */

void qcow2_snapshots_free(struct qcow2_image *image)
{
    for (size_t n = 0; n < image->snapshot_count; n++) {
        free(image->snapshot[n].id);
        free(image->snapshot[n].name);
        free(image->snapshot[n].extra);
    }
    free(image->snapshot);
    image->snapshot = NULL;
    image->snapshot_count = 0;
}

enum status qcow2_l1_check(const struct qcow2_image *image, const char *what, uint64_t offset, uint64_t entries,
                           struct error *error)
{
    if (entries > QCOW2_L1_BYTES_MAX / 8 || offset & (image->cluster_bytes - 1) || offset > INT64_MAX / 2 ||
        (entries && !offset))
        return error_status(error, STATUS_CORRUPT,
                            "%s: %s: L1 table of %" PRIu64 " entries at offset 0x%" PRIx64
                            ", expected at most 4194304 at a multiple of the cluster size",
                            image->image.name, what, entries, offset);
    return STATUS_OK;
}

/* ---- the table ---- */

static enum status parse_fixed(struct qcow2_image *image, uint64_t at, struct qcow2_snapshot *snapshot,
                               uint16_t lengths[2], struct error *error)
{
    uint8_t raw[ENTRY_BYTES];
    enum status status = qcow2_file_read(image, at, raw, sizeof raw);
    if (status)
        return error_status(error, status, "%s: snapshot table at offset 0x%" PRIx64 ": cannot be read",
                            image->image.name, at);
    snapshot->l1_offset = qcow2_get64(raw);
    snapshot->l1_size = qcow2_get32(raw + 8);
    lengths[0] = qcow2_get16(raw + 12);
    lengths[1] = qcow2_get16(raw + 14);
    snapshot->date_sec = qcow2_get32(raw + 16);
    snapshot->date_nsec = qcow2_get32(raw + 20);
    snapshot->vm_clock_ns = qcow2_get64(raw + 24);
    snapshot->vm_state_bytes = qcow2_get32(raw + 32);
    snapshot->extra_bytes = qcow2_get32(raw + 36);
    snapshot->size_bytes = image->header.size_bytes;
    snapshot->icount = UINT64_MAX;
    if (snapshot->extra_bytes > QCOW2_SNAPSHOT_EXTRA_MAX)
        return error_status(error, STATUS_CORRUPT,
                            "%s: snapshot table at offset 0x%" PRIx64 ": %u bytes of extra data, expected at most 1024",
                            image->image.name, at + 36, snapshot->extra_bytes);
    return qcow2_l1_check(image, "snapshot table", snapshot->l1_offset, snapshot->l1_size, error);
}

static enum status parse_strings(struct qcow2_image *image, uint64_t at, struct qcow2_snapshot *snapshot,
                                 const uint16_t lengths[2])
{
    snapshot->extra = calloc(1, snapshot->extra_bytes + 1u);
    snapshot->id = calloc(1, lengths[0] + 1u);
    snapshot->name = calloc(1, lengths[1] + 1u);
    if (!snapshot->extra || !snapshot->id || !snapshot->name)
        return STATUS_NO_MEMORY;
    enum status status = qcow2_file_read(image, at, snapshot->extra, snapshot->extra_bytes);
    if (!status)
        status = qcow2_file_read(image, at + snapshot->extra_bytes, snapshot->id, lengths[0]);
    if (!status)
        status = qcow2_file_read(image, at + snapshot->extra_bytes + lengths[0], snapshot->name, lengths[1]);
    if (snapshot->extra_bytes >= 8)
        snapshot->vm_state_bytes = qcow2_get64(snapshot->extra);
    if (snapshot->extra_bytes >= 16)
        snapshot->size_bytes = qcow2_get64(snapshot->extra + 8);
    if (snapshot->extra_bytes >= 24)
        snapshot->icount = qcow2_get64(snapshot->extra + 16);
    return status;
}

static uint64_t entry_bytes(const struct qcow2_snapshot *snapshot, size_t id, size_t name)
{
    return (ENTRY_BYTES + snapshot->extra_bytes + id + name + 7) & ~7ull;
}

enum status qcow2_snapshots_load(struct qcow2_image *image, struct error *error)
{
    uint64_t at = image->header.snapshot_offset, entries = 0;
    uint32_t count = image->header.snapshot_count;
    enum status status = STATUS_OK;
    image->snapshot = calloc(count + 1u, sizeof *image->snapshot);
    if (!image->snapshot)
        return error_status(error, STATUS_NO_MEMORY, "%s: out of memory", image->image.name);
    for (uint32_t n = 0; n < count && !status; n++) {
        struct qcow2_snapshot *snapshot = &image->snapshot[image->snapshot_count++];
        uint16_t lengths[2] = {0};
        status = parse_fixed(image, at, snapshot, lengths, error);
        if (!status)
            status = parse_strings(image, at + ENTRY_BYTES, snapshot, lengths);
        at += entry_bytes(snapshot, lengths[0], lengths[1]);
        entries += snapshot->l1_size;
        if (!status && (at - image->header.snapshot_offset > QCOW2_SNAPSHOT_TABLE_BYTES_MAX ||
                        entries > QCOW2_INACTIVE_ENTRIES_MAX || snapshot->size_bytes > INT64_MAX))
            status =
                error_status(error, STATUS_CORRUPT,
                             "%s: snapshot table at offset 0x%" PRIx64 ": entry %u: too large a table, expected at "
                             "most 64 MiB, and 4194304 L1 entries of all snapshots",
                             image->image.name, image->header.snapshot_offset, n);
    }
    image->snapshot_table_bytes = at - image->header.snapshot_offset;
    return status ? error_status(error, status, "%s: snapshot table: %s", image->image.name, status_name(status))
                  : STATUS_OK;
}

const struct qcow2_snapshot *qcow2_snapshot_find(struct qcow2_image *image, const char *name)
{
    for (size_t n = 0; n < image->snapshot_count; n++) {
        if (!strcmp(image->snapshot[n].id, name))
            return &image->snapshot[n];
    }
    for (size_t n = 0; n < image->snapshot_count; n++) {
        if (!strcmp(image->snapshot[n].name, name))
            return &image->snapshot[n];
    }
    return NULL;
}

/* The text after key, up to a comma or the end; null: it is not there. */
static const char *value_of(const char *text, const char *key, size_t *length)
{
    const char *at = strstr(text, key);
    if (!at || (at != text && at[-1] != ','))
        return NULL;
    at += strlen(key);
    *length = strcspn(at, ",");
    return at;
}

static bool is_value(const char *string, const char *value, size_t length)
{
    return !value || (strlen(string) == length && !strncmp(string, value, length));
}

const struct qcow2_snapshot *qcow2_snapshot_select(struct qcow2_image *image, const char *text)
{
    size_t id_length = 0, name_length = 0;
    const char *id = value_of(text, "snapshot.id=", &id_length), *name = value_of(text, "snapshot.name=", &name_length);
    if (strncmp(text, "snapshot.", 9) || (!id && !name))
        return qcow2_snapshot_find(image, text);
    for (size_t n = 0; n < image->snapshot_count; n++) {
        if (is_value(image->snapshot[n].id, id, id_length) && is_value(image->snapshot[n].name, name, name_length))
            return &image->snapshot[n];
    }
    return NULL;
}

static void put_entry(uint8_t *at, const struct qcow2_snapshot *snapshot)
{
    size_t id = strlen(snapshot->id), name = strlen(snapshot->name);
    qcow2_put64(at, snapshot->l1_offset);
    qcow2_put32(at + 8, snapshot->l1_size);
    qcow2_put16(at + 12, (uint16_t)id);
    qcow2_put16(at + 14, (uint16_t)name);
    qcow2_put32(at + 16, snapshot->date_sec);
    qcow2_put32(at + 20, snapshot->date_nsec);
    qcow2_put64(at + 24, snapshot->vm_clock_ns);
    qcow2_put32(at + 32, snapshot->vm_state_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)snapshot->vm_state_bytes);
    qcow2_put32(at + 36, snapshot->extra_bytes);
    memcpy(at + ENTRY_BYTES, snapshot->extra, snapshot->extra_bytes);
    memcpy(at + ENTRY_BYTES + snapshot->extra_bytes, snapshot->id, id);
    memcpy(at + ENTRY_BYTES + snapshot->extra_bytes + id, snapshot->name, name);
}

/* Table of the image's list beside the old one; then the header; then the old one goes. */
static enum status write_table(struct qcow2_image *image)
{
    uint64_t bytes = 0, offset = 0, count, old_offset = image->header.snapshot_offset;
    uint64_t old_bytes = image->header.snapshot_count ? image->snapshot_table_bytes : 0;
    uint8_t field[12];
    for (size_t n = 0; n < image->snapshot_count; n++)
        bytes += entry_bytes(&image->snapshot[n], strlen(image->snapshot[n].id), strlen(image->snapshot[n].name));
    uint64_t clusters = qcow2_clusters_of(image, bytes);
    uint8_t *table = calloc(1, bytes + 1), *at = table;
    enum status status = table ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status && bytes)
        status = qcow2_allocate(image, clusters, clusters, &offset, &count);
    for (size_t n = 0; n < image->snapshot_count && !status; n++) {
        put_entry(at, &image->snapshot[n]);
        at += entry_bytes(&image->snapshot[n], strlen(image->snapshot[n].id), strlen(image->snapshot[n].name));
    }
    if (!status && bytes)
        status = qcow2_file_write(image, offset, table, bytes, 0);
    free(table);
    if (!status)
        status = qcow2_flush_all(image);
    qcow2_put32(field, (uint32_t)image->snapshot_count);
    qcow2_put64(field + 4, offset);
    if (!status)
        status = qcow2_header_write(image, QCOW2_AT_SNAPSHOTS, field, sizeof field);
    if (!status)
        status = qcow2_file_flush(image);
    if (status)
        return status;
    image->header.snapshot_count = (uint32_t)image->snapshot_count;
    image->header.snapshot_offset = offset;
    image->snapshot_table_bytes = bytes;
    if (bytes)
        status = qcow2_guard_add(image, offset, bytes, QCOW2_IS_SNAPSHOTS);
    if (old_bytes) {
        qcow2_guard_remove(image, old_offset, old_bytes, QCOW2_IS_SNAPSHOTS);
        qcow2_free_now(image, old_offset, old_bytes);
    }
    return status;
}

/* ---- counts ---- */

static enum status add_entry(struct qcow2_image *image, uint64_t raw, int delta)
{
    uint64_t offset = raw & QCOW2_OFFSET_MASK;
    if (raw & QCOW2_COMPRESSED) {
        uint32_t bytes;
        qcow2_entry_unpack_range(image, raw, &offset, &bytes);
        uint64_t first = offset >> image->cluster_bits, last = (offset + bytes - 1) >> image->cluster_bits;
        return qcow2_refcount_add(image, first, last - first + 1, delta);
    }
    if (qcow2_in_cluster(image, offset))
        return qcow2_corrupt(image, "a cluster's data at offset 0x%" PRIx64 ", expected a multiple of the cluster size",
                             offset);
    return offset ? qcow2_refcount_add(image, offset >> image->cluster_bits, 1, delta) : STATUS_OK;
}

static enum status add_l2(struct qcow2_image *image, uint64_t offset, int delta)
{
    enum status status = STATUS_OK;
    if (qcow2_in_cluster(image, offset))
        return qcow2_corrupt(image, "an L2 table at offset 0x%" PRIx64 ", expected a multiple of the cluster size",
                             offset);
    for (uint64_t at = 0; at < image->cluster_bytes && !status; at += image->entry_bytes) {
        uint8_t *table;
        status = qcow2_cache_get(image, &image->l2_cache, offset, &table);
        if (!status)
            status = add_entry(image, qcow2_get64(table + at), delta);
    }
    return status ? status : qcow2_refcount_add(image, offset >> image->cluster_bits, 1, delta);
}

/* Everything that an L1 table leads to; not the table itself. */
static enum status add_tree(struct qcow2_image *image, const struct qcow2_top *l1, int delta)
{
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < l1->count && !status; n++) {
        if (l1->entry[n] & QCOW2_OFFSET_MASK)
            status = add_l2(image, l1->entry[n] & QCOW2_OFFSET_MASK, delta);
    }
    return status;
}

static enum status is_single(struct qcow2_image *image, uint64_t offset, bool *single)
{
    uint64_t count;
    enum status status = qcow2_refcount_get(image, offset >> image->cluster_bits, &count);
    *single = count == 1;
    return status;
}

static enum status refresh_l2(struct qcow2_image *image, uint64_t offset)
{
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < image->cluster_bytes && !status; at += image->entry_bytes) {
        uint8_t *table;
        bool single = false;
        if ((status = qcow2_cache_get(image, &image->l2_cache, offset, &table)))
            break;
        uint64_t raw = qcow2_get64(table + at), host = raw & QCOW2_OFFSET_MASK;
        if (raw & QCOW2_COMPRESSED || !host)
            continue;
        status = is_single(image, host, &single);
        if (status || single == raw >> 63)
            continue;
        if (!(status = qcow2_cache_get(image, &image->l2_cache, offset, &table))) {
            qcow2_put64(table + at, raw ^ QCOW2_COPIED);
            qcow2_cache_touch(&image->l2_cache, offset);
        }
    }
    return status;
}

/* The copied flags of the active map as the counts say. */
enum status qcow2_refresh_copied(struct qcow2_image *image)
{
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < image->l1.count && !status; n++) {
        uint64_t offset = image->l1.entry[n] & QCOW2_OFFSET_MASK;
        bool single = false;
        if (!offset)
            continue;
        status = refresh_l2(image, offset);
        if (!status)
            status = is_single(image, offset, &single);
        if (!status && single != image->l1.entry[n] >> 63)
            qcow2_top_set(&image->l1, n, offset | (single ? QCOW2_COPIED : 0));
    }
    return status;
}

/* An L1 table of a snapshot: a copy of this one, in new clusters. */
static enum status copy_l1(struct qcow2_image *image, const struct qcow2_top *from, uint64_t *offset)
{
    uint64_t clusters = qcow2_clusters_of(image, (uint64_t)from->count * 8), count;
    struct qcow2_top copy;
    enum status status = STATUS_OK;
    if (!clusters) /* an image of no size: the format wants a place all the same */
        clusters = 1;
    status = qcow2_allocate(image, clusters, clusters, offset, &count);
    if (!status)
        status = qcow2_top_init(&copy, from->count);
    if (status)
        return status;
    for (uint32_t n = 0; n < from->count; n++)
        copy.entry[n] = from->entry[n] & ~QCOW2_COPIED;
    copy.offset = *offset;
    status = qcow2_guard_add(image, *offset, clusters << image->cluster_bits, QCOW2_IS_INACTIVE_L1);
    if (!status)
        status = qcow2_top_write(image, &copy, true, QCOW2_IS_INACTIVE_L1);
    for (uint32_t n = 0; n < copy.count && !status; n++) {
        if (copy.entry[n] & QCOW2_OFFSET_MASK)
            status =
                qcow2_guard_add(image, copy.entry[n] & QCOW2_OFFSET_MASK, image->cluster_bytes, QCOW2_IS_INACTIVE_L2);
    }
    qcow2_top_free(&copy);
    return status;
}

/* ---- the three commands ---- */

static enum status begin(struct qcow2_image *image, struct error *error)
{
    enum status status = qcow2_begin_change(image);
    if (!status && image->data_file)
        return error_status(error, STATUS_UNSUPPORTED, "%s: has a data file: no snapshots", image->image.name);
    for (unsigned pass = 0; pass < 2 && !status; pass++) /* the second: what the first freed */
        status = qcow2_flush_all(image);
    return status ? error_status(error, status, "%s: %s", image->image.name,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}

static enum status finish(struct qcow2_image *image, enum status status, const char *what, struct error *error)
{
    if (!status)
        status = qcow2_flush_all(image);
    if (!status) /* what that freed */
        status = qcow2_flush_all(image);
    enum status clean =
        image->broken ? STATUS_CORRUPT : qcow2_release_dirty(image); /* after a failure too: counts are no less */
    status = status ? status : clean;
    return status ? error_status(error, status, "%s: %s: %s", image->image.name, what,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}

/* The next number that no id is. */
static char *new_id(const struct qcow2_image *image)
{
    unsigned long highest = 0;
    char text[32];
    for (size_t n = 0; n < image->snapshot_count; n++) {
        unsigned long number = strtoul(image->snapshot[n].id, NULL, 10);
        highest = number > highest && number < 1ul << 62 ? number : highest;
    }
    snprintf(text, sizeof text, "%lu", highest + 1);
    return strdup(text);
}

static enum status fill_snapshot(struct qcow2_image *image, struct qcow2_snapshot *snapshot, const char *name)
{
    snapshot->id = new_id(image);
    snapshot->name = strdup(name);
    snapshot->extra = calloc(1, ENTRY_EXTRA_BYTES);
    snapshot->extra_bytes = ENTRY_EXTRA_BYTES;
    snapshot->l1_size = image->l1.count;
    snapshot->size_bytes = image->header.size_bytes;
    if (!snapshot->id || !snapshot->name || !snapshot->extra)
        return STATUS_NO_MEMORY;
    qcow2_put64(snapshot->extra + 8, snapshot->size_bytes);
    return STATUS_OK;
}

/* The image's list with one more. */
static enum status append(struct qcow2_image *image, const struct qcow2_snapshot *snapshot)
{
    struct qcow2_snapshot *larger = realloc(image->snapshot, (image->snapshot_count + 2) * sizeof *larger);
    if (!larger)
        return STATUS_NO_MEMORY;
    image->snapshot = larger;
    larger[image->snapshot_count++] = *snapshot;
    return STATUS_OK;
}

static void free_strings(struct qcow2_snapshot *snapshot)
{
    free(snapshot->id);
    free(snapshot->name);
    free(snapshot->extra);
}

/* Everything that the active map leads to is shared from now on, in the file too. */
static enum status share_all(struct qcow2_image *image)
{
    enum status status = add_tree(image, &image->l1, 1);
    if (!status)
        status = qcow2_sync(image);
    if (!status)
        status = qcow2_refresh_copied(image);
    return status ? status : qcow2_flush_all(image);
}

enum status block_qcow2_snapshot_create(struct block_image *block, const char *name, uint32_t date_sec,
                                        uint32_t date_nsec, struct error *error)
{
    struct qcow2_image *image = qcow2_of(block);
    struct qcow2_snapshot snapshot = {.date_sec = date_sec, .date_nsec = date_nsec};
    enum status status = begin(image, error);
    if (status)
        return status;
    if (strlen(name) > UINT16_MAX || image->snapshot_count >= QCOW2_SNAPSHOTS_MAX || qcow2_refcount_max(image) == 1)
        return error_status(error, STATUS_INVALID, "%s: snapshot %s: %s", block->name, name,
                            qcow2_refcount_max(image) == 1 ? "refcounts of one bit allow none"
                                                           : "too long a name, or too many snapshots");
    status = qcow2_hold_dirty(image);
    if (!status)
        status = share_all(image); /* a count that is full: what was added before is lost, not wrong */
    if (!status)
        status = fill_snapshot(image, &snapshot, name);
    if (!status)
        status = copy_l1(image, &image->l1, &snapshot.l1_offset);
    if (!status)
        status = append(image, &snapshot);
    if (status)
        free_strings(&snapshot);
    else
        status = write_table(image);
    return finish(image, status, name, error);
}

static enum status find_or_say(struct qcow2_image *image, const char *name, struct qcow2_snapshot **snapshot,
                               struct error *error)
{
    const struct qcow2_snapshot *found = qcow2_snapshot_find(image, name);
    if (!found)
        return error_status(error, STATUS_NOT_FOUND, "%s: snapshot %s: not found", image->image.name, name);
    *snapshot = &image->snapshot[found - image->snapshot];
    return STATUS_OK;
}

/* The active L1 gets the snapshot's entries. Both trees are counted until the old one is gone from the file. */
static enum status apply(struct qcow2_image *image, const struct qcow2_snapshot *snapshot)
{
    struct qcow2_top theirs = {0}, old = {0};
    enum status status = qcow2_top_load(image, &theirs, snapshot->l1_offset, snapshot->l1_size);
    if (!status && theirs.count > image->l1.count)
        status = qcow2_grow_l1(image, theirs.count);
    if (!status)
        status = qcow2_top_init(&old, image->l1.count);
    if (!status)
        memcpy(old.entry, image->l1.entry, (size_t)old.count * 8);
    if (!status)
        status = add_tree(image, &theirs, 1);
    if (!status)
        status = qcow2_flush_all(image);
    for (uint32_t n = 0; n < image->l1.count && !status; n++) {
        uint64_t offset = n < theirs.count ? theirs.entry[n] & QCOW2_OFFSET_MASK : 0;
        qcow2_guard_remove(image, old.entry[n] & QCOW2_OFFSET_MASK, image->cluster_bytes, QCOW2_IS_L2);
        qcow2_top_set(&image->l1, n, offset);
    }
    for (uint32_t n = 0; n < image->l1.count && !status; n++) {
        if (image->l1.entry[n])
            status = qcow2_guard_add(image, image->l1.entry[n], image->cluster_bytes, QCOW2_IS_L2);
    }
    if (!status)
        status = qcow2_flush_all(image);
    if (!status)
        status = add_tree(image, &old, -1);
    if (!status)
        status = qcow2_sync(image);
    if (!status)
        status = qcow2_refresh_copied(image);
    qcow2_top_free(&theirs);
    qcow2_top_free(&old);
    return status;
}

enum status block_qcow2_snapshot_apply(struct block_image *block, const char *name, struct error *error)
{
    struct qcow2_image *image = qcow2_of(block);
    struct qcow2_snapshot *snapshot = NULL;
    enum status status = begin(image, error);
    if (!status)
        status = find_or_say(image, name, &snapshot, error);
    if (status)
        return status;
    uint64_t size_bytes = snapshot->size_bytes;
    if (size_bytes != image->header.size_bytes && image->header.version < 3)
        return error_status(error, STATUS_UNSUPPORTED, "%s: snapshot %s: has another size than the image", block->name,
                            name);
    status = qcow2_hold_dirty(image);
    if (!status)
        status = apply(image, snapshot);
    if (!status && size_bytes != image->header.size_bytes) {
        status = qcow2_header_put64(image, QCOW2_AT_SIZE, size_bytes);
        image->header.size_bytes = size_bytes;
        block->size_sectors = size_bytes / BLOCK_SECTOR_BYTES;
    }
    return finish(image, status, name, error);
}

enum status block_qcow2_snapshot_delete(struct block_image *block, const char *name, struct error *error)
{
    struct qcow2_image *image = qcow2_of(block);
    struct qcow2_snapshot *snapshot = NULL;
    struct qcow2_top l1 = {0};
    enum status status = begin(image, error);
    if (!status)
        status = find_or_say(image, name, &snapshot, error);
    if (status)
        return status;
    if ((status = qcow2_hold_dirty(image)))
        return finish(image, status, name, error);
    struct qcow2_snapshot gone = *snapshot;
    image->snapshot_count--;
    memmove(snapshot, snapshot + 1, (size_t)(&image->snapshot[image->snapshot_count] - snapshot) * sizeof *snapshot);
    status = qcow2_top_load(image, &l1, gone.l1_offset, gone.l1_size);
    if (!status)
        status = write_table(image);
    if (!status)
        status = add_tree(image, &l1, -1);
    uint64_t clusters = qcow2_clusters_of(image, (uint64_t)gone.l1_size * 8);
    if (!status) {
        qcow2_guard_remove(image, gone.l1_offset, clusters << image->cluster_bits, QCOW2_IS_INACTIVE_L1);
        qcow2_free_now(image, gone.l1_offset, (clusters ? clusters : 1) << image->cluster_bits);
    }
    qcow2_top_free(&l1);
    free_strings(&gone);
    /* Which L2 tables other snapshots still have is found anew, before those that are the active map's alone now change. */
    qcow2_guard_free(&image->guard);
    image->guarded = false;
    enum status guarded = qcow2_guard_build(image);
    image->broken |= guarded != STATUS_OK; /* nothing is written unguarded */
    status = status ? status : guarded;
    if (!status)
        status = qcow2_sync(image);
    if (!status)
        status = qcow2_refresh_copied(image);
    return finish(image, status, name, error);
}
