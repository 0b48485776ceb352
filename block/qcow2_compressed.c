/* Compressed clusters: docs/interop/qcow2, "Compressed Clusters Descriptor". zlib: a raw deflate stream with a window of
 * 4 KiB; zstd: one frame. The data need not fill their last sector, and what follows them there is another cluster's.
 * The last cluster unpacked stays, so that reading one in pieces unpacks it once. */
#include "block/qcow2_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define DEFLATE_WINDOW_BITS (-12)
#define DEFLATE_MEMORY_LEVEL 9
#define ZSTD_WINDOW_LOG 24 /* a hostile frame may not ask for more memory than 16 MiB */

static bool buffers(struct qcow2_image *image)
{
    if (!image->cluster_buffer)
        image->cluster_buffer = malloc(image->cluster_bytes);
    if (!image->packed_buffer) /* a descriptor names up to twice a cluster */
        image->packed_buffer = malloc(2 * image->cluster_bytes);
    return image->cluster_buffer && image->packed_buffer;
}

/* Whole cluster out, or false. Input left over is fine. */
static bool inflate_cluster(uint8_t *out, uint64_t out_bytes, uint8_t *in, uint32_t in_bytes)
{
    z_stream stream = {.next_in = in, .avail_in = in_bytes, .next_out = out, .avail_out = (uInt)out_bytes};
    if (inflateInit2(&stream, DEFLATE_WINDOW_BITS) != Z_OK)
        return false;
    int result = inflate(&stream, Z_FINISH);
    bool whole = (result == Z_STREAM_END || result == Z_BUF_ERROR) && !stream.avail_out;
    inflateEnd(&stream);
    return whole;
}

static bool unzstd_cluster(uint8_t *out, uint64_t out_bytes, const uint8_t *in, uint32_t in_bytes)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_outBuffer output = {out, (size_t)out_bytes, 0};
    ZSTD_inBuffer input = {in, in_bytes, 0};
    size_t result = context ? ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG) : 1;
    /* Frame by frame: QEMU's clusters are one, and the format does not say so. */
    while (context && output.pos < output.size && input.pos < input.size && !ZSTD_isError(result)) {
        size_t before = output.pos + input.pos;
        result = ZSTD_decompressStream(context, &output, &input);
        if (output.pos + input.pos == before)
            break;
    }
    ZSTD_freeDCtx(context);
    return output.pos == output.size && !ZSTD_isError(result);
}

enum status qcow2_unpack_cluster(struct qcow2_image *image, uint64_t offset, uint32_t bytes)
{
    if (!buffers(image))
        return STATUS_NO_MEMORY;
    if (image->cluster_buffer_offset == offset)
        return STATUS_OK;
    image->cluster_buffer_offset = UINT64_MAX;
    enum status status = qcow2_file_read(image, offset, image->packed_buffer, bytes);
    if (status)
        return status;
    qcow2_step(image, BLOCK_STEP_DECOMPRESS, offset, bytes, 0);
    bool whole = image->header.compression_type == QCOW2_ZSTD
                     ? unzstd_cluster(image->cluster_buffer, image->cluster_bytes, image->packed_buffer, bytes)
                     : inflate_cluster(image->cluster_buffer, image->cluster_bytes, image->packed_buffer, bytes);
    if (!whole) {
        error_set(&image->fault, "%s: compressed data at offset 0x%" PRIx64 ": do not make a cluster",
                  image->image.name, offset);
        return STATUS_IO;
    }
    image->cluster_buffer_offset = offset;
    return STATUS_OK;
}

bool qcow2_pack(struct qcow2_image *image, const uint8_t *data, uint32_t *bytes)
{
    size_t limit = image->cluster_bytes - 1;
    if (!buffers(image))
        return false;
    if (image->header.compression_type == QCOW2_ZSTD) {
        size_t size = ZSTD_compress(image->packed_buffer, limit, data, image->cluster_bytes, ZSTD_CLEVEL_DEFAULT);
        *bytes = (uint32_t)size;
        return !ZSTD_isError(size);
    }
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)image->cluster_bytes;
    stream.next_out = image->packed_buffer;
    stream.avail_out = (uInt)limit;
    bool smaller = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    *bytes = (uint32_t)(limit - stream.avail_out);
    deflateEnd(&stream);
    return smaller;
}
