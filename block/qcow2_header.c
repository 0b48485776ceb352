/* The header of a qcow2 file and its extensions: docs/interop/qcow2, "Header" to "Bitmaps extension". Limits are QEMU's.
 * Refused by name: encryption (AES, LUKS) and incompatible features that this file does not know. Not modelled: the
 * encryption header; unknown extensions are left as they are. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER_V2_BYTES 72u
#define HEADER_V3_BYTES 104u
#define EXTENSION_NAME_MAX 1023u
#define FEATURE_ENTRY_BYTES 48u

struct reading {
    struct host_file *file;
    struct qcow2_header *header;
    struct error *error;
    uint8_t *bytes; /* the first cluster, as far as the file has it */
    uint32_t size;
};

static enum status wrong(struct reading *reading, enum status status, unsigned at, const char *field, uint64_t value,
                         const char *expected)
{
    return error_status(reading->error, status, "%s: qcow2 header, %s at offset %u: 0x%" PRIx64 ", expected %s",
                        reading->file->path, field, at, value, expected);
}

static void take_fields(struct qcow2_header *header, const uint8_t *bytes)
{
    header->backing_offset = qcow2_get64(bytes + 8);
    header->backing_bytes = qcow2_get32(bytes + 16);
    header->size_bytes = qcow2_get64(bytes + 24);
    header->crypt_method = qcow2_get32(bytes + 32);
    header->l1_size = qcow2_get32(bytes + 36);
    header->l1_offset = qcow2_get64(bytes + 40);
    header->reftable_offset = qcow2_get64(bytes + 48);
    header->reftable_clusters = qcow2_get32(bytes + 56);
    header->snapshot_count = qcow2_get32(bytes + 60);
    header->snapshot_offset = qcow2_get64(bytes + 64);
    header->refcount_order = 4;
    header->header_bytes = HEADER_V2_BYTES;
    if (header->version < 3)
        return;
    header->incompatible = qcow2_get64(bytes + 72);
    header->compatible = qcow2_get64(bytes + 80);
    header->autoclear = qcow2_get64(bytes + 88);
    header->refcount_order = qcow2_get32(bytes + 96);
    header->header_bytes = qcow2_get32(bytes + 100);
}

/* Magic, version and cluster size: what must be known to read the rest. */
static enum status read_start(struct reading *reading)
{
    uint8_t start[24];
    struct host_file *file = reading->file;
    struct qcow2_header *header = reading->header;
    if (file->size_bytes < HEADER_V2_BYTES)
        return error_status(reading->error, STATUS_CORRUPT, "%s: %" PRIu64 " bytes, expected a qcow2 header of %u",
                            file->path, file->size_bytes, HEADER_V2_BYTES);
    if (host_file_read(file, 0, start, sizeof start))
        return error_status(reading->error, STATUS_IO, "%s: offset 0: cannot be read", file->path);
    if (qcow2_get32(start) != QCOW2_MAGIC)
        return wrong(reading, STATUS_CORRUPT, 0, "magic", qcow2_get32(start), "0x514649fb");
    header->version = qcow2_get32(start + 4);
    if (header->version < 2 || header->version > 3)
        return wrong(reading, STATUS_UNSUPPORTED, 4, "version", header->version, "2 or 3");
    header->cluster_bits = qcow2_get32(start + 20);
    if (header->cluster_bits < QCOW2_CLUSTER_BITS_MIN || header->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return wrong(reading, STATUS_UNSUPPORTED, 20, "cluster_bits", header->cluster_bits, "9 to 21");
    return STATUS_OK;
}

static enum status read_cluster(struct reading *reading)
{
    uint64_t cluster_bytes = 1ull << reading->header->cluster_bits;
    uint64_t size = reading->file->size_bytes < cluster_bytes ? reading->file->size_bytes : cluster_bytes;
    reading->bytes = calloc(1, cluster_bytes); /* fields past the end are absent: zero */
    reading->size = (uint32_t)cluster_bytes;
    if (!reading->bytes)
        return error_status(reading->error, STATUS_NO_MEMORY, "%s: out of memory", reading->file->path);
    if (host_file_read(reading->file, 0, reading->bytes, size))
        return error_status(reading->error, STATUS_IO, "%s: offset 0: cannot be read", reading->file->path);
    return STATUS_OK;
}

/* What the image itself calls a feature, from its table; else null. */
static const char *feature_name(const struct reading *reading, const uint8_t *table, uint32_t bytes, unsigned bit,
                                char name[FEATURE_ENTRY_BYTES])
{
    (void)reading;
    for (uint32_t at = 0; table && at + FEATURE_ENTRY_BYTES <= bytes; at += FEATURE_ENTRY_BYTES) {
        if (table[at] != 0 || table[at + 1] != bit)
            continue;
        memcpy(name, table + at + 2, FEATURE_ENTRY_BYTES - 2);
        name[FEATURE_ENTRY_BYTES - 2] = 0;
        for (char *c = name; *c; c++)
            *c = *c < 0x20 || *c > 0x7e ? '?' : *c; /* it ends up on a terminal */
        return name;
    }
    return NULL;
}

static enum status refuse_unknown(struct reading *reading, const uint8_t *table, uint32_t table_bytes)
{
    uint64_t unknown = reading->header->incompatible & ~(uint64_t)QCOW2_INCOMPATIBLE_KNOWN;
    char text[256] = "", name[FEATURE_ENTRY_BYTES];
    size_t used = 0;
    if (!unknown)
        return STATUS_OK;
    for (unsigned bit = 0; bit < 64 && used < sizeof text; bit++) {
        if (!(unknown >> bit & 1))
            continue;
        const char *found = feature_name(reading, table, table_bytes, bit, name);
        int more = found ? snprintf(text + used, sizeof text - used, "%s%s", used ? ", " : "", found)
                         : snprintf(text + used, sizeof text - used, "%sbit %u", used ? ", " : "", bit);
        used += more > 0 ? (size_t)more : 0;
    }
    return error_status(reading->error, STATUS_UNSUPPORTED,
                        "%s: qcow2 header, incompatible_features at offset 72: unsupported features: %s",
                        reading->file->path, text);
}

static enum status take_string(struct reading *reading, const uint8_t *data, uint32_t bytes, char **string)
{
    free(*string);
    *string = strndup((const char *)data, bytes);
    return *string ? STATUS_OK
                   : error_status(reading->error, STATUS_NO_MEMORY, "%s: out of memory", reading->file->path);
}

static enum status take_bitmaps(struct reading *reading, uint32_t at, const uint8_t *data, uint32_t bytes)
{
    struct qcow2_header *header = reading->header;
    if (!(header->autoclear & QCOW2_BITMAPS))
        return STATUS_OK; /* stale: somebody wrote to the image without them */
    if (bytes != 24)
        return wrong(reading, STATUS_CORRUPT, at, "bitmaps extension length", bytes, "24");
    header->bitmap_count = qcow2_get32(data);
    header->bitmap_directory_bytes = qcow2_get64(data + 8);
    header->bitmap_directory_offset = qcow2_get64(data + 16);
    header->has_bitmaps = true;
    if (!header->bitmap_count || header->bitmap_count > 65535)
        return wrong(reading, STATUS_CORRUPT, at + 8, "nb_bitmaps", header->bitmap_count, "1 to 65535");
    if (!header->bitmap_directory_bytes || header->bitmap_directory_bytes > 65535ull * 1064)
        return wrong(reading, STATUS_CORRUPT, at + 16, "bitmap_directory_size", header->bitmap_directory_bytes,
                     "1 to 69729240");
    if (header->bitmap_directory_offset & (reading->size - 1) || !header->bitmap_directory_offset ||
        header->bitmap_directory_offset > INT64_MAX / 2)
        return wrong(reading, STATUS_CORRUPT, at + 24, "bitmap_directory_offset", header->bitmap_directory_offset,
                     "a multiple of the cluster size");
    return STATUS_OK;
}

static enum status take_extension(struct reading *reading, uint32_t at, uint32_t type, uint32_t bytes)
{
    const uint8_t *data = reading->bytes + at + 8;
    switch (type) {
    case QCOW2_EXT_BACKING_FORMAT:
        if (bytes > 15)
            return wrong(reading, STATUS_CORRUPT, at + 4, "length of the backing format", bytes, "at most 15");
        return take_string(reading, data, bytes, &reading->header->backing_format);
    case QCOW2_EXT_DATA_FILE:
        if (bytes > EXTENSION_NAME_MAX)
            return wrong(reading, STATUS_CORRUPT, at + 4, "length of the data file's name", bytes, "at most 1023");
        return take_string(reading, data, bytes, &reading->header->data_file);
    case QCOW2_EXT_BITMAPS: return take_bitmaps(reading, at, data, bytes);
    case QCOW2_EXT_ENCRYPTION:
        return error_status(reading->error, STATUS_UNSUPPORTED, "%s: is encrypted (LUKS): not supported",
                            reading->file->path);
    default: return STATUS_OK;
    }
}

/* From the end of the header to the backing name or the end of the cluster. */
static enum status read_extensions(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    uint32_t at = header->header_bytes, names_bytes = 0;
    uint32_t end = header->backing_offset ? (uint32_t)header->backing_offset : reading->size;
    const uint8_t *names = NULL;
    while (end > at && end - at >= 8) {
        uint32_t type = qcow2_get32(reading->bytes + at), bytes = qcow2_get32(reading->bytes + at + 4);
        if (type == QCOW2_EXT_END)
            break;
        if (bytes > end - at - 8)
            return wrong(reading, STATUS_CORRUPT, at + 4, "length of a header extension", bytes,
                         "no more than fits before the backing name or the end of the cluster");
        if (type == QCOW2_EXT_FEATURE_NAMES) {
            names = reading->bytes + at + 8;
            names_bytes = bytes;
        }
        enum status status = take_extension(reading, at, type, bytes);
        if (status)
            return status;
        uint64_t next = (uint64_t)at + 8 + ((bytes + 7ull) & ~7ull);
        at = next > end ? end : (uint32_t)next;
    }
    return refuse_unknown(reading, names, names_bytes);
}

static enum status check_backing_name(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    if (!header->backing_offset)
        return STATUS_OK;
    if (header->backing_offset > reading->size || header->backing_offset < header->header_bytes)
        return wrong(reading, STATUS_CORRUPT, 8, "backing_file_offset", header->backing_offset,
                     "an offset behind the header, in the first cluster");
    if (header->backing_bytes > QCOW2_NAME_MAX || header->backing_bytes > reading->size - header->backing_offset)
        return wrong(reading, STATUS_CORRUPT, 16, "backing_file_size", header->backing_bytes,
                     "at most 1023, and within the first cluster");
    return STATUS_OK;
}

static enum status check_version_3(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    if (header->header_bytes < (header->version < 3 ? HEADER_V2_BYTES : HEADER_V3_BYTES) ||
        header->header_bytes > reading->size)
        return wrong(reading, STATUS_CORRUPT, 100, "header_length", header->header_bytes,
                     "104 to the size of a cluster");
    if (header->refcount_order > 6)
        return wrong(reading, STATUS_CORRUPT, 96, "refcount_order", header->refcount_order, "0 to 6");
    if (header->header_bytes > 104 && header->version >= 3)
        header->compression_type = reading->bytes[104];
    if (header->compression_type > QCOW2_ZSTD)
        return wrong(reading, STATUS_UNSUPPORTED, 104, "compression_type", header->compression_type,
                     "0 (zlib) or 1 (zstd)");
    if (!header->compression_type != !(header->incompatible & QCOW2_COMPRESSION_TYPE))
        return wrong(reading, STATUS_CORRUPT, 72, "incompatible_features", header->incompatible,
                     "bit 3 as compression_type says");
    if (header->incompatible & QCOW2_EXTENDED_L2 && header->cluster_bits < 14)
        return wrong(reading, STATUS_CORRUPT, 20, "cluster_bits", header->cluster_bits,
                     "at least 14 with extended L2 entries");
    return STATUS_OK;
}

static enum status check_tables(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    uint64_t mask = reading->size - 1;
    if (header->crypt_method)
        return error_status(reading->error, STATUS_UNSUPPORTED,
                            "%s: qcow2 header, crypt_method at offset 32: is encrypted (%s): not supported",
                            reading->file->path,
                            header->crypt_method == 1   ? "AES"
                            : header->crypt_method == 2 ? "LUKS"
                                                        : "unknown method");
    if (header->l1_size > QCOW2_L1_BYTES_MAX / 8)
        return wrong(reading, STATUS_CORRUPT, 36, "l1_size", header->l1_size, "at most 4194304");
    if (header->l1_offset & mask || header->l1_offset > INT64_MAX / 2)
        return wrong(reading, STATUS_CORRUPT, 40, "l1_table_offset", header->l1_offset,
                     "a multiple of the cluster size");
    if (header->reftable_offset & mask || header->reftable_offset > INT64_MAX / 2)
        return wrong(reading, STATUS_CORRUPT, 48, "refcount_table_offset", header->reftable_offset,
                     "a multiple of the cluster size");
    if (header->reftable_clusters > QCOW2_REFTABLE_BYTES_MAX / reading->size || !header->reftable_clusters)
        return wrong(reading, STATUS_CORRUPT, 56, "refcount_table_clusters", header->reftable_clusters,
                     "1 cluster to 8 MiB");
    if (header->snapshot_count > QCOW2_SNAPSHOTS_MAX)
        return wrong(reading, STATUS_CORRUPT, 60, "nb_snapshots", header->snapshot_count, "at most 65536");
    if (header->snapshot_count && (header->snapshot_offset & mask || header->snapshot_offset > INT64_MAX / 2))
        return wrong(reading, STATUS_CORRUPT, 64, "snapshots_offset", header->snapshot_offset,
                     "a multiple of the cluster size");
    if (header->size_bytes > INT64_MAX)
        return wrong(reading, STATUS_CORRUPT, 24, "size", header->size_bytes, "less than 8 EiB");
    return STATUS_OK;
}

static enum status check_data_file(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    bool external = header->incompatible & QCOW2_DATA_FILE;
    if (header->autoclear & QCOW2_DATA_FILE_RAW && external && header->backing_offset)
        return wrong(reading, STATUS_CORRUPT, 88, "autoclear_features", header->autoclear,
                     "no raw data file in an image with a backing file");
    if (external && !header->data_file)
        return error_status(reading->error, STATUS_CORRUPT,
                            "%s: qcow2 header: has an external data file, expected its name in an extension",
                            reading->file->path);
    return STATUS_OK;
}

static enum status parse(struct reading *reading)
{
    struct qcow2_header *header = reading->header;
    enum status status = read_start(reading);
    if (!status)
        status = read_cluster(reading);
    if (status)
        return status;
    take_fields(header, reading->bytes);
    if ((status = check_backing_name(reading)) || (header->header_bytes > reading->size))
        return status ? status
                      : wrong(reading, STATUS_CORRUPT, 100, "header_length", header->header_bytes,
                              "104 to the size of a cluster");
    if ((status = read_extensions(reading)) || (status = check_version_3(reading)) ||
        (status = check_tables(reading)) || (status = check_data_file(reading)))
        return status;
    if (header->backing_offset && header->backing_bytes)
        return take_string(reading, reading->bytes + header->backing_offset, header->backing_bytes,
                           &header->backing_name);
    return STATUS_OK;
}

enum status qcow2_header_read(struct host_file *file, struct qcow2_header *header, struct error *error)
{
    struct reading reading = {.file = file, .header = header, .error = error};
    *header = (struct qcow2_header){0};
    enum status status = parse(&reading);
    free(reading.bytes);
    if (status)
        qcow2_header_free(header);
    return status;
}

void qcow2_header_free(struct qcow2_header *header)
{
    free(header->backing_name);
    free(header->backing_format);
    free(header->data_file);
    *header = (struct qcow2_header){0};
}
