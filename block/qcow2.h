/* qcow2 images, versions 2 and 3: QEMU's docs/interop/qcow2. The vtable of block.h over a file, and what only tools ask
 * for: making an image, checking and mending one, snapshots, compressed writes.
 *
 * Ordering. Changes of the map and of refcounts gather in memory (qcow2_cache.h) and reach the file in stages with a
 * flush of the host between them (qcow2_sync.c), so that at every instant the file's refcounts are at least its
 * references: a cut leaves lost clusters and nothing worse. Thread: that of the image functions; one call at a time. */
#ifndef VMRR_BLOCK_QCOW2_H
#define VMRR_BLOCK_QCOW2_H

#include "block/block.h"
#include "block/host_file.h"

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_NAME_MAX 1023u

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };
enum qcow2_preallocation { QCOW2_PREALLOC_OFF, QCOW2_PREALLOC_METADATA, QCOW2_PREALLOC_FALLOC, QCOW2_PREALLOC_FULL };

/* Structures of the format, as the overlap check tells them apart; by QEMU's names of overlap-check.*. */
enum qcow2_guard {
    QCOW2_IS_HEADER = 1,
    QCOW2_IS_L1 = 2,
    QCOW2_IS_L2 = 4,
    QCOW2_IS_REFTABLE = 8,
    QCOW2_IS_REFBLOCK = 16,
    QCOW2_IS_SNAPSHOTS = 32,
    QCOW2_IS_INACTIVE_L1 = 64,
    QCOW2_IS_INACTIVE_L2 = 128,
    QCOW2_IS_BITMAPS = 256,
};
/* What QEMU's overlap-check=constant and cached look at; all: everything. */
#define QCOW2_GUARD_CONSTANT (QCOW2_IS_HEADER | QCOW2_IS_L1 | QCOW2_IS_REFTABLE | QCOW2_IS_SNAPSHOTS | QCOW2_IS_BITMAPS)
#define QCOW2_GUARD_CACHED (QCOW2_GUARD_CONSTANT | QCOW2_IS_L2 | QCOW2_IS_REFBLOCK | QCOW2_IS_INACTIVE_L1)
#define QCOW2_GUARD_ALL 511u

struct block_open_context; /* block/open.h */

/* The image owns the file, also when this fails. The backing chain and the data file are opened by name, beside the
 * file. A dirty image that may be written is mended first. context: null for an image that nobody names as backing. */
struct block_image *block_qcow2_open(struct host_file *file, const struct block_open_options *options,
                                     const struct block_open_context *context, struct error *error);

struct qcow2_create_options {
    uint64_t size_bytes;                  /* rounded up to sectors */
    unsigned version;                     /* 2 or 3; 0: 3 */
    unsigned cluster_bits, refcount_bits; /* 0: 16 (64 KiB), 16 */
    bool lazy_refcounts, extended_l2, data_file_raw;
    enum qcow2_compression compression;
    enum qcow2_preallocation preallocation;
    const char *backing_name, *backing_format; /* null: none */
    const char *data_file;                     /* null: none; made, if the caller did not */
};
/* Writes a new image into an empty file, which stays the caller's. Options that do not go together: STATUS_INVALID. */
enum status block_qcow2_create(struct host_file *file, const struct qcow2_create_options *options,
                               struct error *error) MUST_CHECK;

/* What a header says. Strings belong to the image. */
struct qcow2_info {
    unsigned version, cluster_bits, refcount_bits;
    bool lazy_refcounts, extended_l2, dirty, corrupt, data_file_raw;
    enum qcow2_compression compression;
    const char *backing_name, *backing_format, *data_file; /* null: none */
    const char *backing_path;                              /* as it was opened */
    uint64_t size_bytes;
};
/* Null-safe casts: these take any image and fail with false, STATUS_UNSUPPORTED, ... when it is not qcow2. */
bool block_qcow2_info(struct block_image *image, struct qcow2_info *info);
struct block_image *block_qcow2_backing(struct block_image *image); /* null: none */
/* One cluster of data (the last one of an image may be shorter), compressed when that makes it smaller. sector: that of
 * the cluster's start. */
enum status block_qcow2_write_compressed(struct block_image *image, uint64_t sector, uint32_t sectors,
                                         const void *buffer) MUST_CHECK;

/* ---- changes by tools, on an image that nobody else uses ---- */

/* Clusters behind from_bytes get a place, as an image that was made so; those that have one stay. */
enum status block_qcow2_preallocate(struct block_image *image, uint64_t from_bytes,
                                    enum qcow2_preallocation preallocation, struct error *error) MUST_CHECK;
/* The backing file and format that the header names (null: none). The chain that is open stays the old one. */
enum status block_qcow2_set_backing(struct block_image *image, const char *name, const char *format,
                                    struct error *error) MUST_CHECK;
/* Nothing is in it any more: all reads come from behind. */
enum status block_qcow2_empty(struct block_image *image, struct error *error) MUST_CHECK;

/* ---- internal snapshots ---- */

struct qcow2_snapshot {
    char *id, *name;
    uint64_t l1_offset;
    uint32_t l1_size;
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_ns, vm_state_bytes, size_bytes;
    uint64_t icount; /* UINT64_MAX: none */
    uint8_t *extra;  /* as in the file, kept */
    uint32_t extra_bytes;
};
const struct qcow2_snapshot *block_qcow2_snapshots(struct block_image *image, size_t *count);
/* The clock is the caller's: this room has none. Names and ids: an id is tried before a name. */
enum status block_qcow2_snapshot_create(struct block_image *image, const char *name, uint32_t date_sec,
                                        uint32_t date_nsec, struct error *error) MUST_CHECK;
enum status block_qcow2_snapshot_apply(struct block_image *image, const char *name, struct error *error) MUST_CHECK;
enum status block_qcow2_snapshot_delete(struct block_image *image, const char *name, struct error *error) MUST_CHECK;

/* ---- check ---- */

enum qcow2_repair { QCOW2_REPAIR_NONE, QCOW2_REPAIR_LEAKS, QCOW2_REPAIR_ALL };
struct qcow2_check {
    uint64_t corruptions, leaks, errors; /* errors: could not be looked at */
    uint64_t corruptions_fixed, leaks_fixed;
    uint64_t total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
    uint64_t image_end;
    /* One line a finding, without newline; null: nobody listens. */
    void (*say)(void *opaque, const char *line);
    void *opaque;
};
/* Counts all references of the image and holds them against its refcounts; then mends, and counts again what is left.
 * STATUS_OK also when something was found. An image to be checked is opened with options->check. */
enum status block_qcow2_check(struct block_image *image, enum qcow2_repair repair, struct qcow2_check *check,
                              struct error *error) MUST_CHECK;

#endif
