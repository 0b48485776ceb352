/* Making a qcow2 image. First one of no size by hand (header, one cluster of refcount table, one refcount block), which
 * the rest of this program then opens and makes as large as it should be. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define HEADER_BYTES 112u /* version 3, with the compression type */

struct writer {
    uint8_t *cluster;
    uint32_t at, size;
    bool full;
};

static void put_extension(struct writer *writer, uint32_t type, const void *data, uint32_t bytes)
{
    uint32_t padded = (bytes + 7) & ~7u;
    if (writer->size - writer->at < 8 + padded) {
        writer->full = true;
        return;
    }
    qcow2_put32(writer->cluster + writer->at, type);
    qcow2_put32(writer->cluster + writer->at + 4, bytes);
    if (bytes)
        memcpy(writer->cluster + writer->at + 8, data, bytes);
    writer->at += 8 + padded;
}

/* For programs that meet a feature which they do not know; left out where the cluster has no room. */
static void put_feature_names(struct writer *writer, size_t reserved)
{
    static const struct {
        uint8_t type, bit;
        char name[46];
    } features[] = {
        {0, 0, "dirty bit"},        {0, 1, "corrupt bit"},         {0, 2, "external data file"},
        {0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
        {2, 0, "bitmaps"},          {2, 1, "raw external data"},
    };
    if (!writer->full && writer->size - writer->at >= sizeof features + 16 + reserved)
        put_extension(writer, QCOW2_EXT_FEATURE_NAMES, features, sizeof features);
}

static uint64_t incompatible_of(const struct qcow2_create_options *options)
{
    return (options->data_file ? QCOW2_DATA_FILE : 0u) |
           (options->compression == QCOW2_ZSTD ? QCOW2_COMPRESSION_TYPE : 0u) |
           (options->extended_l2 ? QCOW2_EXTENDED_L2 : 0u);
}

static void put_header(struct writer *writer, const struct qcow2_create_options *options)
{
    uint8_t *header = writer->cluster;
    uint64_t cluster_bytes = writer->size;
    qcow2_put32(header, QCOW2_MAGIC);
    qcow2_put32(header + 4, options->version);
    qcow2_put32(header + 20, options->cluster_bits);
    qcow2_put64(header + 40, 3 * cluster_bytes); /* of no entries */
    qcow2_put64(header + QCOW2_AT_REFTABLE, cluster_bytes);
    qcow2_put32(header + QCOW2_AT_REFTABLE + 8, 1);
    writer->at = 72;
    if (options->version < 3)
        return;
    qcow2_put64(header + QCOW2_AT_INCOMPATIBLE, incompatible_of(options));
    qcow2_put64(header + 80, options->lazy_refcounts ? QCOW2_LAZY_REFCOUNTS : 0);
    qcow2_put64(header + QCOW2_AT_AUTOCLEAR, options->data_file_raw ? QCOW2_DATA_FILE_RAW : 0);
    qcow2_put32(header + 96, (uint32_t)__builtin_ctz(options->refcount_bits));
    qcow2_put32(header + 100, HEADER_BYTES);
    header[104] = (uint8_t)options->compression;
    writer->at = HEADER_BYTES;
}

static bool build_header(struct writer *writer, const struct qcow2_create_options *options)
{
    put_header(writer, options);
    if (options->backing_format)
        put_extension(writer, QCOW2_EXT_BACKING_FORMAT, options->backing_format,
                      (uint32_t)strlen(options->backing_format));
    if (options->data_file)
        put_extension(writer, QCOW2_EXT_DATA_FILE, options->data_file, (uint32_t)strlen(options->data_file));
    if (options->version >= 3)
        put_feature_names(writer, options->backing_name ? strlen(options->backing_name) : 0);
    put_extension(writer, QCOW2_EXT_END, NULL, 0);
    if (options->backing_name && !writer->full) {
        uint32_t bytes = (uint32_t)strlen(options->backing_name);
        if (writer->size - writer->at < bytes)
            return false;
        qcow2_put64(writer->cluster + 8, writer->at);
        qcow2_put32(writer->cluster + 16, bytes);
        memcpy(writer->cluster + writer->at, options->backing_name, bytes);
    }
    return !writer->full;
}

/* ---- options ---- */

static enum status refuse(const struct host_file *file, struct error *error, const char *text)
{
    return error_status(error, STATUS_INVALID, "%s: %s", file->path, text);
}

static enum status check_numbers(const struct host_file *file, const struct qcow2_create_options *options,
                                 struct error *error)
{
    unsigned bits = options->refcount_bits;
    if (options->version != 2 && options->version != 3)
        return refuse(file, error, "compat: expected 0.10 (v2) or 1.1 (v3)");
    if (options->cluster_bits < QCOW2_CLUSTER_BITS_MIN || options->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return refuse(file, error, "cluster size: expected a power of two between 512 and 2048k");
    if (!bits || bits > 64 || bits & (bits - 1))
        return refuse(file, error, "refcount width: expected a power of two between 1 and 64 bits");
    if (options->size_bytes > INT64_MAX - 512)
        return refuse(file, error, "size: expected less than 8 EiB");
    if (options->version < 3 && bits != 16)
        return refuse(file, error, "refcount widths other than 16 bits require compatibility level 1.1 or above");
    if (options->extended_l2 && options->cluster_bits < 14)
        return refuse(file, error, "extended L2 entries are only supported with cluster sizes of at least 16384 bytes");
    return STATUS_OK;
}

static enum status check_together(const struct host_file *file, const struct qcow2_create_options *options,
                                  struct error *error)
{
    if (options->version < 3 &&
        (options->lazy_refcounts || options->extended_l2 || options->data_file || options->compression == QCOW2_ZSTD))
        return refuse(file, error,
                      "lazy refcounts, extended L2 entries, a data file and zstd are only supported with compatibility "
                      "level 1.1 and above (use version=v3 or greater)");
    if (options->data_file_raw && !options->data_file)
        return refuse(file, error, "data_file_raw requires data_file");
    if (options->data_file_raw && options->backing_name)
        return refuse(file, error, "backing file and data_file_raw cannot be used at the same time");
    if (options->preallocation != QCOW2_PREALLOC_OFF && options->backing_name && !options->extended_l2)
        return refuse(file, error,
                      "backing file and preallocation can only be used at the same time if extended_l2 is enabled");
    if ((options->backing_name && (!*options->backing_name || strlen(options->backing_name) > QCOW2_NAME_MAX)) ||
        (options->backing_format && strlen(options->backing_format) > 15) ||
        (options->data_file && (!*options->data_file || strlen(options->data_file) > QCOW2_NAME_MAX)))
        return refuse(file, error, "backing file, its format or data file: the name is empty or too long");
    return STATUS_OK;
}

/* ---- writing ---- */

static enum status write_start(struct host_file *file, const struct qcow2_create_options *options, struct error *error)
{
    uint64_t cluster_bytes = 1ull << options->cluster_bits;
    unsigned order = (unsigned)__builtin_ctz(options->refcount_bits);
    uint8_t *clusters = calloc(3, cluster_bytes);
    struct writer writer = {.cluster = clusters, .size = (uint32_t)cluster_bytes};
    enum status status = clusters ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status && !build_header(&writer, options))
        status = refuse(file, error, "the names do not fit into the header's cluster: use a larger cluster size");
    if (!status) {
        qcow2_put64(clusters + cluster_bytes, 2 * cluster_bytes);
        for (uint64_t n = 0; n < 3; n++)
            qcow2_refcount_put(clusters + 2 * cluster_bytes, order, n, 1);
        status = host_file_write(file, 0, clusters, 3 * cluster_bytes);
    }
    free(clusters);
    return status ? error_status(error, status, "%s: cannot be written: %s", file->path, status_name(status))
                  : STATUS_OK;
}

/* The new image, over the caller's file. */
static enum status fill(struct qcow2_image *image, const struct qcow2_create_options *options, struct error *error)
{
    uint64_t size_bytes = (options->size_bytes + 511) & ~511ull;
    enum qcow2_preallocation preallocation = options->preallocation;
    enum status status = qcow2_resize(image, size_bytes, error);
    if (preallocation == QCOW2_PREALLOC_OFF && options->data_file_raw) /* the map must name all that may be in it */
        preallocation = QCOW2_PREALLOC_METADATA;
    if (!status)
        status = qcow2_preallocate(image, 0, preallocation);
    if (!status)
        status = qcow2_flush_all(image);
    if (!status) /* counts of what was freed */
        status = qcow2_flush_all(image);
    return status ? error_status(error, status, "%s: %s", image->image.name,
                                 image->fault.text[0] ? image->fault.text : status_name(status))
                  : STATUS_OK;
}

/* The caller keeps the file; an image closes its own. */
struct lent_file {
    struct host_file file;
    struct host_file *lender;
};
static struct host_file *lender_of(struct host_file *file)
{
    return ((struct lent_file *)(void *)file)->lender;
}
static enum status lent_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t bytes)
{
    return host_file_read(lender_of(file), offset, buffer, bytes);
}
static enum status lent_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t bytes)
{
    return host_file_write(lender_of(file), offset, buffer, bytes);
}
static enum status lent_flush(struct host_file *file)
{
    return host_file_flush(lender_of(file));
}
static enum status lent_zero(struct host_file *file, uint64_t offset, uint64_t bytes, bool unmap)
{
    return host_file_zero(lender_of(file), offset, bytes, unmap);
}
static enum status lent_resize(struct host_file *file, uint64_t bytes, enum host_preallocation preallocation)
{
    return host_file_resize(lender_of(file), bytes, preallocation);
}
static enum status lent_extent(struct host_file *file, uint64_t offset, uint64_t *bytes, bool *data)
{
    return host_file_extent(lender_of(file), offset, bytes, data);
}
static void lent_close(struct host_file *file)
{
    free(file);
}

static struct host_file *lend(struct host_file *file)
{
    static const struct host_file_ops ops = {.read = lent_read,
                                             .write = lent_write,
                                             .flush = lent_flush,
                                             .zero = lent_zero,
                                             .resize = lent_resize,
                                             .extent = lent_extent,
                                             .close = lent_close};
    struct lent_file *lent = calloc(1, sizeof *lent);
    if (!lent)
        return NULL;
    lent->file = (struct host_file){.ops = &ops, .path = file->path, .size_bytes = file->size_bytes};
    lent->lender = file;
    return &lent->file;
}

enum status block_qcow2_create(struct host_file *file, const struct qcow2_create_options *given, struct error *error)
{
    struct qcow2_create_options options = *given;
    options.version = options.version ? options.version : 3;
    options.cluster_bits = options.cluster_bits ? options.cluster_bits : 16;
    options.refcount_bits = options.refcount_bits ? options.refcount_bits : 16;
    enum status status = check_numbers(file, &options, error);
    if (!status)
        status = check_together(file, &options, error);
    if (!status)
        status = write_start(file, &options, error);
    if (status)
        return status;
    struct host_file *lent = lend(file);
    if (!lent)
        return error_status(error, STATUS_NO_MEMORY, "%s: out of memory", file->path);
    struct block_image *image = block_qcow2_open(lent, &(struct block_open_options){.no_backing = true}, NULL, error);
    if (!image)
        return STATUS_IO;
    status = fill(qcow2_of(image), &options, error);
    block_image_destroy(image);
    return status;
}
