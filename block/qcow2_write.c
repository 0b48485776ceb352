/* Writing to a qcow2 image. A piece of a request is a run of guest clusters that are treated alike:
 *   in place   the clusters are this image's own and hold data where the write goes: nothing of the map changes
 *   fill       they have a place of their own, but (some of) it reads as zeros or from behind: what lies beside the
 *              write in its first and last subcluster is written too, then the map
 *   allocate   they have no place, share it with a snapshot, or are compressed: the same with new clusters
 * The map changes when the data are written; see qcow2_sync.c for when it reaches the file. */
#include "block/qcow2_internal.h"

#include <stdlib.h>

#define COMPOSE_BYTES_MAX (1u << 20)

enum action { IN_PLACE, FILL, ALLOCATE };

struct piece {
    enum action action;
    uint64_t guest, bytes;  /* what is written */
    uint64_t host;          /* of guest */
    uint64_t before, after; /* bytes beside it that are copied along */
    bool untouched;         /* the place never held anything: zero without being written */
};

/* What a write of [from, to) of the cluster has to do. */
static enum action classify(const struct qcow2_image *image, const struct qcow2_entry *entry, uint64_t from,
                            uint64_t to)
{
    uint32_t mask = qcow2_subclusters(image, from, to);
    if (!entry->has_host || !entry->copied || entry->packed_bytes)
        return ALLOCATE;
    return (entry->allocated & mask) == mask ? IN_PLACE : FILL;
}

/* How much of the cluster is copied along before and behind a write of [from, to). */
static void copy_range(const struct qcow2_image *image, const struct qcow2_entry *entry, enum action action,
                       uint64_t from, uint64_t to, uint64_t *low, uint64_t *high)
{
    uint64_t unit = image->subcluster_bytes;
    *low = from;
    *high = to;
    if (action == IN_PLACE)
        return;
    if (action == FILL) { /* subclusters that hold data stay as they are */
        *low = entry->allocated & qcow2_subclusters(image, from, from + 1) ? from : from & ~(unit - 1);
        *high = entry->allocated & qcow2_subclusters(image, to - 1, to) ? to : (to + unit - 1) & ~(unit - 1);
        return;
    }
    *low = from & ~(unit - 1);
    *high = (to + unit - 1) & ~(unit - 1);
    if (entry->packed_bytes) {
        *low = 0;
        *high = image->cluster_bytes;
    } else if (entry->allocated && image->subclusters > 1) { /* all that is in the old place moves */
        uint64_t first = (uint64_t)__builtin_ctz(entry->allocated) * unit;
        uint64_t end = (uint64_t)(32 - __builtin_clz(entry->allocated)) * unit;
        *low = first < *low ? first : *low;
        *high = end > *high ? end : *high;
    }
}

static uint64_t cluster_start(const struct qcow2_image *image, uint64_t guest)
{
    return guest & ~(image->cluster_bytes - 1);
}

/* The first piece of the request: how far its clusters are alike. */
static enum status plan(struct qcow2_image *image, uint64_t guest, uint64_t bytes, struct piece *piece)
{
    uint64_t first = guest >> image->cluster_bits, end = guest + bytes;
    uint64_t table_end = (first + qcow2_guest_clusters_in_table(image, first)) << image->cluster_bits;
    struct qcow2_entry entry;
    uint8_t *table;
    enum status status = qcow2_map_table_for_write(image, first, &table);
    if (end > table_end)
        end = table_end;
    *piece = (struct piece){.guest = guest};
    for (uint64_t at = guest, stop; at < end && !status; at = stop) {
        uint64_t start = cluster_start(image, at), low, high;
        stop = start + image->cluster_bytes < end ? start + image->cluster_bytes : end;
        if ((status = qcow2_entry_decode(image, at >> image->cluster_bits, table, &entry)))
            break;
        enum action action = classify(image, &entry, at - start, stop - start);
        copy_range(image, &entry, action, at - start, stop - start, &low, &high);
        if (at == guest) {
            *piece = (struct piece){.action = action, .guest = guest, .host = entry.host + (at - start)};
            piece->before = at - start - low;
        } else if (action != piece->action || start + low < at || piece->after ||
                   (action != ALLOCATE && entry.host != piece->host + (at - guest))) {
            break;
        }
        piece->bytes = stop - guest;
        piece->after = start + high - stop;
    }
    return piece->bytes ? STATUS_OK : status;
}

/* New clusters for the piece, which becomes shorter if there are fewer in a row. */
static enum status place(struct qcow2_image *image, struct piece *piece)
{
    uint64_t start = cluster_start(image, piece->guest), offset = start, count;
    uint64_t most = qcow2_clusters_of(image, piece->guest + piece->bytes - start);
    struct host_file *file = qcow2_data(image);
    if (piece->action == ALLOCATE && !image->data_file) {
        enum status status = qcow2_allocate(image, 1, most, &offset, &count);
        if (status)
            return status;
        if (count < most) {
            piece->bytes = start + (count << image->cluster_bits) - piece->guest;
            piece->after = 0;
        }
    }
    if (piece->action == ALLOCATE)
        piece->host = offset + (piece->guest - start);
    piece->untouched = piece->action == ALLOCATE && offset >= file->size_bytes;
    return STATUS_OK;
}

static enum status write_data(struct qcow2_image *image, uint64_t host, const uint8_t *buffer, uint64_t bytes)
{
    if (!image->data_file)
        return qcow2_file_write(image, host, buffer, bytes, 0);
    image->unflushed = true;
    return host_file_write(image->data_file, host, buffer, bytes);
}

/* Data with what is copied along around them, in one write. */
static enum status write_around(struct qcow2_image *image, const struct piece *piece, const uint8_t *buffer)
{
    uint64_t total = piece->before + piece->bytes + piece->after;
    uint8_t *whole = malloc(total);
    enum status status = whole ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status && piece->before)
        status = qcow2_read_bytes(image, piece->guest - piece->before, whole, piece->before);
    if (!status && piece->after)
        status =
            qcow2_read_bytes(image, piece->guest + piece->bytes, whole + piece->before + piece->bytes, piece->after);
    if (!status) {
        qcow2_step(image, BLOCK_STEP_COPY_ON_WRITE, piece->guest - piece->before, piece->before + piece->after, 0);
        memcpy(whole + piece->before, buffer, piece->bytes);
        status = write_data(image, piece->host - piece->before, whole, total);
    }
    free(whole);
    return status;
}

/* True: what would be copied along is zero, and so is the place already. */
static enum status nothing_around(struct qcow2_image *image, const struct piece *piece, bool *nothing)
{
    bool low = true, high = true;
    enum status status = STATUS_OK;
    *nothing = !piece->before && !piece->after;
    if (*nothing || !piece->untouched)
        return STATUS_OK;
    status = qcow2_known_zero(image, piece->guest - piece->before, piece->before, &low);
    if (!status && low)
        status = qcow2_known_zero(image, piece->guest + piece->bytes, piece->after, &high);
    *nothing = low && high;
    return status;
}

/* A long piece is written as it is but for its ends. */
static enum status write_ends_apart(struct qcow2_image *image, const struct piece *piece, const uint8_t *buffer)
{
    uint64_t unit = image->cluster_bytes, half = unit < piece->bytes ? unit : piece->bytes / 2;
    struct piece first = *piece, last = *piece;
    first.bytes = half;
    first.after = 0;
    last.guest += piece->bytes - half;
    last.host += piece->bytes - half;
    last.bytes = half;
    last.before = 0;
    enum status status = write_around(image, &first, buffer);
    if (!status && piece->bytes > 2 * half)
        status = write_data(image, piece->host + half, buffer + half, piece->bytes - 2 * half);
    return status ? status : write_around(image, &last, buffer + piece->bytes - half);
}

static enum status write_piece(struct qcow2_image *image, const struct piece *piece, const uint8_t *buffer)
{
    bool nothing = false;
    enum status status = nothing_around(image, piece, &nothing);
    if (status)
        return status;
    if (nothing)
        return write_data(image, piece->host, buffer, piece->bytes);
    if (piece->bytes > COMPOSE_BYTES_MAX && piece->bytes > 4 * image->cluster_bytes)
        return write_ends_apart(image, piece, buffer);
    return write_around(image, piece, buffer);
}

enum status qcow2_entry_release(struct qcow2_image *image, const struct qcow2_entry *old, bool discard)
{
    if (!old->has_host || image->data_file)
        return STATUS_OK;
    if (old->packed_bytes)
        return qcow2_free_later(image, old->host, old->packed_bytes, false);
    return qcow2_free_later(image, old->host, image->cluster_bytes, discard);
}

/* The map of one cluster, whose bytes [from, to) are in the file now. */
static enum status link_cluster(struct qcow2_image *image, const struct piece *piece, uint64_t cluster, uint64_t host,
                                uint64_t from, uint64_t to)
{
    struct qcow2_entry old, entry;
    uint8_t *table;
    uint32_t mask = qcow2_subclusters(image, from, to);
    enum status status = qcow2_map_entry_for_write(image, cluster, &table, &old);
    if (status)
        return status;
    entry = (struct qcow2_entry){.host = host,
                                 .has_host = true,
                                 .copied = true,
                                 .allocated = mask | (piece->action == FILL ? old.allocated : 0),
                                 .zero = old.zero & ~mask};
    qcow2_entry_encode(image, cluster, table, &entry);
    return piece->action == ALLOCATE ? qcow2_entry_release(image, &old, false) : STATUS_OK;
}

static enum status link_piece(struct qcow2_image *image, const struct piece *piece)
{
    uint64_t low = piece->guest - piece->before, high = piece->guest + piece->bytes + piece->after;
    uint64_t host = piece->host - piece->before - qcow2_in_cluster(image, low);
    enum status status = STATUS_OK;
    for (uint64_t at = low; at < high && !status; host += image->cluster_bytes) {
        uint64_t start = cluster_start(image, at), end = start + image->cluster_bytes;
        if (end > high)
            end = high;
        status = link_cluster(image, piece, at >> image->cluster_bits, host, at - start, end - start);
        at = end;
    }
    return status;
}

static enum status write_one(struct qcow2_image *image, struct piece *piece, const uint8_t *buffer)
{
    enum status status = place(image, piece);
    if (status)
        return status;
    status = write_piece(image, piece, buffer);
    if (status && piece->action == ALLOCATE && !image->data_file)
        qcow2_free_now(image, cluster_start(image, piece->host), piece->bytes + qcow2_in_cluster(image, piece->host));
    return status || piece->action == IN_PLACE ? status : link_piece(image, piece);
}

enum status qcow2_write_bytes(struct qcow2_image *image, uint64_t guest, const uint8_t *buffer, uint64_t bytes)
{
    enum status status = STATUS_OK;
    while (bytes && !status) {
        struct piece piece;
        status = plan(image, guest, bytes, &piece);
        if (!status)
            status = write_one(image, &piece, buffer);
        guest += piece.bytes;
        buffer += piece.bytes;
        bytes -= piece.bytes;
    }
    return status;
}

/* ---- compressed ---- */

/* Room for compressed data: behind the last ones, over into the next cluster if that is free, or in a new one. */
static enum status place_packed(struct qcow2_image *image, uint32_t bytes, uint64_t *offset)
{
    uint64_t next = image->packed_next, room = next ? image->cluster_bytes - qcow2_in_cluster(image, next) : 0;
    uint64_t old_cluster = next >> image->cluster_bits, shared = 0, fresh, count;
    enum status status = STATUS_OK;
    image->packed_next = 0;
    if (room)
        status = qcow2_refcount_get(image, old_cluster, &shared);
    if (!status && room && (!shared || shared == qcow2_refcount_max(image)))
        room = 0; /* it was freed meanwhile, or has no count left */
    if (!status && room >= bytes) {
        status = qcow2_refcount_add(image, old_cluster, 1, 1);
        *offset = next;
    } else if (!status) {
        status = qcow2_allocate(image, 1, 1, &fresh, &count);
        *offset = fresh;
        if (!status && room && fresh == (old_cluster + 1) << image->cluster_bits) {
            status = qcow2_refcount_add(image, old_cluster, 1, 1);
            *offset = next;
        }
    }
    if (!status && qcow2_in_cluster(image, *offset + bytes))
        image->packed_next = *offset + bytes;
    return status;
}

static enum status link_packed(struct qcow2_image *image, uint64_t cluster, uint64_t offset, uint32_t bytes)
{
    struct qcow2_entry old, entry = {.host = offset, .has_host = true};
    uint8_t *table;
    enum status status = qcow2_map_entry_for_write(image, cluster, &table, &old);
    if (status)
        return status;
    entry.packed_bytes = (uint32_t)(((offset & 511) + bytes + 511) / 512 * 512 - (offset & 511));
    qcow2_entry_encode(image, cluster, table, &entry);
    return qcow2_entry_release(image, &old, false);
}

enum status block_qcow2_write_compressed(struct block_image *block, uint64_t sector, uint32_t sectors,
                                         const void *buffer)
{
    struct qcow2_image *image = qcow2_of(block);
    uint64_t guest = sector * BLOCK_SECTOR_BYTES, bytes = (uint64_t)sectors * BLOCK_SECTOR_BYTES, offset = 0;
    uint32_t packed = 0;
    struct qcow2_info info;
    if (!block_qcow2_info(block, &info) || image->data_file)
        return STATUS_UNSUPPORTED;
    if (qcow2_in_cluster(image, guest) || !bytes || bytes > image->cluster_bytes ||
        (bytes < image->cluster_bytes && sector + sectors != block->size_sectors))
        return STATUS_INVALID;
    enum status status = qcow2_begin_change(image);
    uint8_t *whole = status ? NULL : calloc(1, image->cluster_bytes);
    if (status || !whole)
        return status ? status : STATUS_NO_MEMORY;
    memcpy(whole, buffer, bytes);
    bool smaller = qcow2_pack(image, whole, &packed);
    free(whole);
    if (!smaller)
        return qcow2_write_bytes(image, guest, buffer, bytes);
    if ((status = place_packed(image, packed, &offset)))
        return status;
    image->cluster_buffer_offset = UINT64_MAX;
    status = qcow2_file_write(image, offset, image->packed_buffer, packed, 0);
    return status ? status : link_packed(image, guest >> image->cluster_bits, offset, packed);
}
