/* What the qcow2_*.c files share; nobody else includes this. Offsets are bytes in the image file unless "guest" is said.
 *
 * Invariants
 * 1. In memory a refcount is changed before the reference that needs it appears, and after the one that needed it is
 *    gone from the file (struct qcow2_freed waits for that).
 * 2. An L2 entry is changed after the data it points to were written.
 * 3. Every write to the image file passes qcow2_guard_check with the one kind of structure it may touch.
 * 4. A table pointer from the cache is good until the next call that may load another table. */
#ifndef VMRR_BLOCK_QCOW2_INTERNAL_H
#define VMRR_BLOCK_QCOW2_INTERNAL_H

#include "block/qcow2.h"

#include <stdatomic.h>
#include <string.h>

#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull /* of L1 and L2 entries, bits 9 to 55 */
#define QCOW2_REFTABLE_MASK 0xfffffffffffffe00ull
#define QCOW2_COPIED (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull
#define QCOW2_L1_BYTES_MAX (32u << 20)
#define QCOW2_REFTABLE_BYTES_MAX (8u << 20)
#define QCOW2_SNAPSHOTS_MAX 65536u
#define QCOW2_SNAPSHOT_TABLE_BYTES_MAX (64u << 20) /* with the entries' names and extra data */
#define QCOW2_SNAPSHOT_EXTRA_MAX 1024u
#define QCOW2_INACTIVE_ENTRIES_MAX (4u << 20) /* L1 entries of all snapshots that one image may have */

enum qcow2_incompatible {
    QCOW2_DIRTY = 1,
    QCOW2_CORRUPT = 2,
    QCOW2_DATA_FILE = 4,
    QCOW2_COMPRESSION_TYPE = 8,
    QCOW2_EXTENDED_L2 = 16,
    QCOW2_INCOMPATIBLE_KNOWN = 31,
};
enum qcow2_compatible { QCOW2_LAZY_REFCOUNTS = 1 };
enum qcow2_autoclear { QCOW2_BITMAPS = 1, QCOW2_DATA_FILE_RAW = 2 };

enum qcow2_extension {
    QCOW2_EXT_END = 0,
    QCOW2_EXT_BACKING_FORMAT = 0xe2792aca,
    QCOW2_EXT_FEATURE_NAMES = 0x6803f857,
    QCOW2_EXT_BITMAPS = 0x23852875,
    QCOW2_EXT_ENCRYPTION = 0x0537be77,
    QCOW2_EXT_DATA_FILE = 0x44415441,
};

/* Offsets of header fields that change. */
enum qcow2_header_field {
    QCOW2_AT_SIZE = 24,
    QCOW2_AT_L1 = 36,
    QCOW2_AT_REFTABLE = 48,
    QCOW2_AT_SNAPSHOTS = 60,
    QCOW2_AT_INCOMPATIBLE = 72,
    QCOW2_AT_AUTOCLEAR = 88,
};

static inline uint64_t qcow2_get64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_bswap64(value);
}
static inline uint32_t qcow2_get32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_bswap32(value);
}
static inline uint16_t qcow2_get16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return __builtin_bswap16(value);
}
static inline void qcow2_put64(void *to, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(to, &value, sizeof value);
}
static inline void qcow2_put32(void *to, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(to, &value, sizeof value);
}
static inline void qcow2_put16(void *to, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(to, &value, sizeof value);
}

/* ---- qcow2_header.c ---- */

struct qcow2_header {
    uint32_t version, cluster_bits, crypt_method, l1_size, reftable_clusters, snapshot_count, refcount_order;
    uint32_t header_bytes, compression_type;
    uint64_t backing_offset, size_bytes, l1_offset, reftable_offset, snapshot_offset;
    uint32_t backing_bytes;
    uint64_t incompatible, compatible, autoclear;
    char *backing_name, *backing_format, *data_file; /* owned */
    bool has_bitmaps;
    uint32_t bitmap_count;
    uint64_t bitmap_directory_bytes, bitmap_directory_offset;
};
/* Reads and checks header, extensions and backing name. for_check: a corrupt image may be opened for writing. */
enum status qcow2_header_read(struct host_file *file, struct qcow2_header *header, struct error *error) MUST_CHECK;
void qcow2_header_free(struct qcow2_header *header);

/* ---- memory of tables ---- */

/* L1 or refcount table: all of it in memory, in host order. */
struct qcow2_top {
    uint64_t *entry;
    uint32_t count;
    uint64_t offset;
    uint8_t *dirty; /* one byte a sector of 64 entries */
    bool any_dirty;
};

/* L2 tables or refcount blocks. */
struct qcow2_table {
    uint64_t offset; /* 0: empty */
    uint8_t *bytes;
    bool dirty, used; /* used since the hand passed */
    uint32_t next;    /* in its bucket; index + 1 */
};
struct qcow2_cache {
    struct qcow2_table *table;
    uint32_t *bucket;
    uint32_t count, buckets, hand, dirty_count;
    unsigned kind; /* enum qcow2_guard */
};

/* ---- what lies where ---- */

struct qcow2_guard_slot {
    uint64_t cluster; /* + 1; 0: free */
    uint32_t kinds;
};
struct qcow2_guard_set {
    struct qcow2_guard_slot *slot;
    size_t capacity, count; /* capacity: a power of two */
};

struct qcow2_freed {
    uint64_t cluster, count;
    bool discard; /* the guest gave it up: the host may have it back */
};

struct qcow2_image {
    struct block_image image;
    struct host_file *file, *data_file; /* data_file: null when it is the same */
    struct block_image *backing;        /* null: none */
    char *backing_path;
    struct qcow2_header header;
    struct {
        uint64_t l2_bytes, refcount_bytes, bytes; /* struct block_open_options */
    } cache_limit;
    uint32_t unguarded; /* the same */
    unsigned cluster_bits, l2_bits, refblock_bits, entry_bytes, subclusters;
    uint64_t cluster_bytes, subcluster_bytes;
    struct qcow2_top l1, reftable;
    struct qcow2_cache l2_cache, refcount_cache;
    struct qcow2_guard_set guard;
    bool guarded; /* the set is built: before the first write */
    struct qcow2_freed *freed;
    size_t freed_count, freed_capacity;
    uint64_t free_hint;   /* no free cluster below this one */
    uint64_t packed_next; /* where the next compressed data may go on; 0: a new cluster */
    struct qcow2_snapshot *snapshot;
    size_t snapshot_count;
    uint64_t snapshot_table_bytes;
    uint8_t *cluster_buffer, *packed_buffer; /* last cluster decompressed; compressed data */
    uint64_t cluster_buffer_offset;          /* its compressed offset; UINT64_MAX: none */
    _Atomic bool unflushed;                  /* written since the last flush of the host */
    bool syncing;
    bool changed; /* before the first change: autoclear bits, dirty bit */
    bool for_check;
    int8_t holes; /* of the image file, for map: 1 some, -1 none, 0 not asked yet */
    bool broken;  /* no more writes */
    bool mark_failed;
    bool dirty_held; /* qcow2_hold_dirty */
    /* What was found first: written once, before found is set. */
    _Atomic bool found;
    struct error fault;
    uint64_t fault_offset, fault_bytes; /* struct block_corruption */
};

static inline struct qcow2_image *qcow2_of(struct block_image *image)
{
    return (struct qcow2_image *)(void *)image;
}
static inline struct host_file *qcow2_data(struct qcow2_image *image)
{
    return image->data_file ? image->data_file : image->file;
}
static inline uint64_t qcow2_clusters_of(const struct qcow2_image *image, uint64_t bytes)
{
    return (bytes >> image->cluster_bits) + ((bytes & (image->cluster_bytes - 1)) != 0);
}
static inline uint64_t qcow2_in_cluster(const struct qcow2_image *image, uint64_t offset)
{
    return offset & (image->cluster_bytes - 1);
}
static inline void qcow2_step(struct qcow2_image *image, enum block_step_kind kind, uint64_t offset,
                              uint64_t size_bytes, uint64_t value)
{
    block_activity_add(image->file->activity, (struct block_step){.kind = (uint8_t)kind,
                                                                  .file = image->file->index,
                                                                  .offset = offset,
                                                                  .size_bytes = size_bytes,
                                                                  .value = value});
}

/* ---- qcow2.c ---- */

/* The image contradicts itself: says so in the image, keeps the first text, stops all writes. STATUS_CORRUPT. */
enum status qcow2_corrupt(struct qcow2_image *image, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same of a write that was not made; structure: the offset of what it would have hit. */
struct qcow2_refused_write {
    uint64_t offset, size_bytes, structure;
};
enum status qcow2_corrupt_write(struct qcow2_image *image, const struct qcow2_refused_write *write, const char *format,
                                ...) __attribute__((format(printf, 3, 4)));
/* Before anything in the image changes: the guard set, bits that must not be set any more. */
enum status qcow2_begin_change(struct qcow2_image *image) MUST_CHECK;

/* ---- qcow2_io.c: the image file ---- */

enum status qcow2_file_read(struct qcow2_image *image, uint64_t offset, void *buffer, uint64_t bytes) MUST_CHECK;
/* allowed: the kinds of structure (enum qcow2_guard) that this write may touch. */
enum status qcow2_file_write(struct qcow2_image *image, uint64_t offset, const void *buffer, uint64_t bytes,
                             unsigned allowed) MUST_CHECK;
/* Image file and data file, if anything was written. */
enum status qcow2_file_flush(struct qcow2_image *image) MUST_CHECK;
/* A field of the header, at most 16 bytes inside one sector: atomic. */
enum status qcow2_header_write(struct qcow2_image *image, unsigned at, const void *bytes, unsigned size) MUST_CHECK;
enum status qcow2_header_put64(struct qcow2_image *image, unsigned at, uint64_t value) MUST_CHECK;
/* Reads zeros past the end. */
enum status qcow2_read_padded(struct host_file *file, uint64_t offset, void *buffer, uint64_t bytes) MUST_CHECK;

/* ---- qcow2_cache.c ---- */

/* Both caches, by cache_limit and what the header says. */
enum status qcow2_caches_init(struct qcow2_image *image) MUST_CHECK;
void qcow2_cache_free(struct qcow2_cache *cache);
void qcow2_cache_drop(struct qcow2_cache *cache); /* forgets all, changes too */
enum status qcow2_cache_get(struct qcow2_image *image, struct qcow2_cache *cache, uint64_t offset,
                            uint8_t **bytes) MUST_CHECK;
/* A new table of zeros at offset, dirty. */
enum status qcow2_cache_new(struct qcow2_image *image, struct qcow2_cache *cache, uint64_t offset,
                            uint8_t **bytes) MUST_CHECK;
void qcow2_cache_touch(struct qcow2_cache *cache, uint64_t offset); /* it was changed */
void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset);
enum status qcow2_cache_write(struct qcow2_image *image, struct qcow2_cache *cache) MUST_CHECK; /* all dirty ones */

enum status qcow2_top_init(struct qcow2_top *top, uint32_t count) MUST_CHECK;
void qcow2_top_free(struct qcow2_top *top);
void qcow2_top_set(struct qcow2_top *top, uint32_t index, uint64_t value);
enum status qcow2_top_load(struct qcow2_image *image, struct qcow2_top *top, uint64_t offset,
                           uint32_t count) MUST_CHECK;
/* Dirty sectors, or all. */
enum status qcow2_top_write(struct qcow2_image *image, struct qcow2_top *top, bool all, unsigned kind) MUST_CHECK;

/* ---- qcow2_sync.c ---- */

/* All changes of tables to the file, in order; afterwards what was freed may be used again. The last stage may still be
 * unflushed. */
enum status qcow2_sync(struct qcow2_image *image) MUST_CHECK;
/* sync, and all is on stable storage. */
enum status qcow2_flush_all(struct qcow2_image *image) MUST_CHECK;

/* All is in the file, counts too, and the image not dirty any more. */
enum status qcow2_clean(struct qcow2_image *image) MUST_CHECK;
/* Version 3: dirty until the release, which cleans it, unless it was before. All is in the file. */
enum status qcow2_hold_dirty(struct qcow2_image *image) MUST_CHECK;
enum status qcow2_release_dirty(struct qcow2_image *image) MUST_CHECK;

/* ---- qcow2_guard.c ---- */

enum status qcow2_guard_build(struct qcow2_image *image) MUST_CHECK;
enum status qcow2_guard_add(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned kind) MUST_CHECK;
void qcow2_guard_remove(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned kind);
enum status qcow2_guard_check(struct qcow2_image *image, uint64_t offset, uint64_t bytes, unsigned allowed) MUST_CHECK;
void qcow2_guard_free(struct qcow2_guard_set *set);

/* ---- qcow2_refcount.c ---- */

uint64_t qcow2_refcount_max(const struct qcow2_image *image);
uint64_t qcow2_refcount_in(const uint8_t *block, unsigned order, uint64_t index);
void qcow2_refcount_put(uint8_t *block, unsigned order, uint64_t index, uint64_t value);
enum status qcow2_refcount_get(struct qcow2_image *image, uint64_t cluster, uint64_t *count) MUST_CHECK;
/* Each by delta. STATUS_NO_SPACE: does not fit the width; then none has changed. */
enum status qcow2_refcount_add(struct qcow2_image *image, uint64_t cluster, uint64_t count, int delta) MUST_CHECK;
/* Between 1 and most clusters in a row, each with refcount 1 now; least: as many at least. fresh: past the end of the
 * file, where all is zero. */
enum status qcow2_allocate(struct qcow2_image *image, uint64_t least, uint64_t most, uint64_t *offset,
                           uint64_t *count) MUST_CHECK;
/* Gone from the map, but maybe not yet from the file's: given back by the next sync. */
enum status qcow2_free_later(struct qcow2_image *image, uint64_t offset, uint64_t bytes, bool discard) MUST_CHECK;
/* Was never in the map. */
void qcow2_free_now(struct qcow2_image *image, uint64_t offset, uint64_t bytes);
enum status qcow2_refcount_apply_freed(struct qcow2_image *image) MUST_CHECK;

/* ---- qcow2_map.c ---- */

struct qcow2_entry {          /* an L2 entry, in words */
    uint64_t host;            /* offset of the cluster, or of the compressed data */
    uint32_t packed_bytes;    /* to the end of the last sector; 0: not compressed */
    uint32_t allocated, zero; /* a bit a subcluster (one subcluster: bit 0) */
    bool has_host, copied;
};
enum qcow2_run_kind { QCOW2_RUN_HOLE, QCOW2_RUN_ZERO, QCOW2_RUN_DATA, QCOW2_RUN_PACKED };
struct qcow2_run {
    enum qcow2_run_kind kind;
    uint64_t bytes;
    uint64_t host; /* DATA, and ZERO with has_host: of the first byte; PACKED: of the compressed data */
    uint32_t packed_bytes;
    bool has_host;
};
uint32_t qcow2_all_subclusters(const struct qcow2_image *image);
/* Those that bytes [from, to) of a cluster touch. */
uint32_t qcow2_subclusters(const struct qcow2_image *image, uint64_t from, uint64_t to);
enum status qcow2_entry_decode(struct qcow2_image *image, uint64_t guest_cluster, const uint8_t *table,
                               struct qcow2_entry *entry) MUST_CHECK;
/* Into the table, which the caller got by qcow2_map_table_for_write. */
void qcow2_entry_encode(struct qcow2_image *image, uint64_t guest_cluster, uint8_t *table,
                        const struct qcow2_entry *entry);
void qcow2_entry_unpack_range(const struct qcow2_image *image, uint64_t raw, uint64_t *offset, uint32_t *bytes);
/* table: null when there is none. */
enum status qcow2_map_table(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table) MUST_CHECK;
enum status qcow2_map_table_for_write(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table) MUST_CHECK;
/* And what it says of the cluster. */
enum status qcow2_map_entry_for_write(struct qcow2_image *image, uint64_t guest_cluster, uint8_t **table,
                                      struct qcow2_entry *entry) MUST_CHECK;
/* The first run of guest bytes that have a kind in common (at most bytes). */
enum status qcow2_map_run(struct qcow2_image *image, uint64_t guest, uint64_t bytes, struct qcow2_run *run) MUST_CHECK;
uint64_t qcow2_guest_clusters_in_table(const struct qcow2_image *image, uint64_t guest_cluster); /* to its end */

/* ---- qcow2_read.c, qcow2_write.c, qcow2_zero.c ---- */

enum status qcow2_read_bytes(struct qcow2_image *image, uint64_t guest, void *buffer, uint64_t bytes) MUST_CHECK;
/* True: reads as zeros, known from the tables. */
enum status qcow2_known_zero(struct qcow2_image *image, uint64_t guest, uint64_t bytes, bool *zero) MUST_CHECK;
enum status qcow2_write_bytes(struct qcow2_image *image, uint64_t guest, const uint8_t *buffer,
                              uint64_t bytes) MUST_CHECK;
enum status qcow2_zero_bytes(struct qcow2_image *image, uint64_t guest, uint64_t bytes, bool unmap) MUST_CHECK;
/* Nothing of it is in this image afterwards; guest and bytes on clusters. */
enum status qcow2_unmap_clusters(struct qcow2_image *image, uint64_t guest_cluster, uint64_t count) MUST_CHECK;
/* Clusters with a place and no data, from this guest offset on: those that have none yet. */
enum status qcow2_preallocate(struct qcow2_image *image, uint64_t from_bytes,
                              enum qcow2_preallocation preallocation) MUST_CHECK;
/* What an old entry used goes. */
enum status qcow2_entry_release(struct qcow2_image *image, const struct qcow2_entry *old, bool discard) MUST_CHECK;

/* ---- qcow2_locate.c: functions of struct block_image_ops ---- */

bool qcow2_locate(struct block_image *block, uint64_t sector, uint32_t sectors, bool write, struct block_place *place);
void qcow2_transferred(struct block_image *block, uint64_t sector, uint32_t sectors, bool write, void *buffer);

/* ---- qcow2_compressed.c ---- */

enum status qcow2_unpack_cluster(struct qcow2_image *image, uint64_t offset, uint32_t bytes) MUST_CHECK;
/* True, and bytes, when data (a cluster) got smaller; in packed_buffer. */
bool qcow2_pack(struct qcow2_image *image, const uint8_t *data, uint32_t *bytes);

/* ---- qcow2_backing.c, qcow2_bitmaps.c ---- */

enum status qcow2_open_backing(struct qcow2_image *image, const struct block_open_options *options,
                               const struct block_open_context *context, struct error *error) MUST_CHECK;
enum status qcow2_open_data_file(struct qcow2_image *image, const struct block_open_options *options,
                                 const struct block_open_context *context, struct error *error) MUST_CHECK;
typedef enum status (*qcow2_bitmap_visit)(void *opaque, uint64_t offset, uint64_t bytes);
/* Every range of the file that bitmaps use; ends at the first status that is not 0. STATUS_CORRUPT: the directory. */
enum status qcow2_bitmaps_walk(struct qcow2_image *image, qcow2_bitmap_visit visit, void *opaque) MUST_CHECK;
enum status qcow2_bitmaps_drop(struct qcow2_image *image) MUST_CHECK;

/* ---- qcow2_amend.c ---- */

enum status qcow2_set_backing(struct qcow2_image *image, const char *name, const char *format,
                              struct error *error) MUST_CHECK;
enum status qcow2_empty(struct qcow2_image *image, struct error *error) MUST_CHECK;

/* ---- qcow2_resize.c, qcow2_snapshot.c, qcow2_check.c ---- */

/* The file ends behind its last cluster in use. All is in the file. */
enum status qcow2_cut_tail(struct qcow2_image *image) MUST_CHECK;

enum status qcow2_resize(struct qcow2_image *image, uint64_t size_bytes, struct error *error) MUST_CHECK;
/* The active L1 table becomes longer. */
enum status qcow2_grow_l1(struct qcow2_image *image, uint32_t count) MUST_CHECK;
enum status qcow2_snapshots_load(struct qcow2_image *image, struct error *error) MUST_CHECK;
enum status qcow2_refresh_copied(struct qcow2_image *image) MUST_CHECK; /* flags of the active map, as counts say */
void qcow2_snapshots_free(struct qcow2_image *image);
const struct qcow2_snapshot *qcow2_snapshot_find(struct qcow2_image *image, const char *name);
/* By struct block_open_options snapshot. */
const struct qcow2_snapshot *qcow2_snapshot_select(struct qcow2_image *image, const char *text);
/* Size of a walk over an L1 table of the image, checked. */
enum status qcow2_l1_check(const struct qcow2_image *image, const char *what, uint64_t offset, uint64_t entries,
                           struct error *error) MUST_CHECK;
uint64_t qcow2_l1_entries_for(const struct qcow2_image *image, uint64_t size_bytes);

#endif
