/* Layout and limits of a journal file, and the primitives to read and write its fields. The text that binds is
 * replay/FORMAT.md; the names here follow it. All integers little-endian, no raw structs. */
#ifndef VMRR_REPLAY_JOURNAL_FORMAT_H
#define VMRR_REPLAY_JOURNAL_FORMAT_H

#include "core/position.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JOURNAL_MAJOR 1u
#define JOURNAL_MINOR 6u

#define JOURNAL_MAGIC "\x89VMRR\r\n\x1a"
#define JOURNAL_MAGIC_BYTES 8u
#define JOURNAL_FILE_HEADER_BYTES 32u

#define JOURNAL_FRAME_MAGIC 0x4D524656u /* "VFRM" */
#define JOURNAL_FRAME_HEADER_BYTES 80u
#define JOURNAL_FRAME_RAW_MAX (1u << 20)
#define JOURNAL_FRAME_PACKED_MAX ((1u << 20) + (1u << 14))
#define JOURNAL_END_BYTES 24u

#define JOURNAL_POSITION_LIMIT (UINT64_C(1) << 63) /* icount and vtime lie below */

enum journal_frame_kind {
    JOURNAL_FRAME_CONFIG = 1,
    JOURNAL_FRAME_BLOB = 2,
    JOURNAL_FRAME_EVENTS = 3,
    JOURNAL_FRAME_SECTORS = 4,
    JOURNAL_FRAME_CHECKPOINT = 5, /* head of a full machine state: skippable, as are the two that it is made of */
    JOURNAL_FRAME_INDEX = 6,
    JOURNAL_FRAME_END = 7,
    JOURNAL_FRAME_STEPS = 8, /* what the block layer did: skippable */
    JOURNAL_FRAME_PAGES = 9,
    JOURNAL_FRAME_STATE = 10,
    JOURNAL_FRAME_KIND_COUNT
};

#define JOURNAL_FLAG_SKIPPABLE 0x01u
#define JOURNAL_FLAG_STORED 0x02u /* content lies there as it is, not as a zstd frame */

struct journal_frame {
    uint64_t offset; /* of the header, in the file */
    uint8_t kind;
    uint8_t flags;
    uint64_t sequence;
    struct position first, last;
    uint32_t raw_bytes, packed_bytes;
    uint32_t events, delivers;
    uint64_t raw_hash, disk_hash;
};

void journal_frame_header_write(uint8_t out[JOURNAL_FRAME_HEADER_BYTES], const struct journal_frame *frame);
/* False, with the name of the field and what it should be, when the bytes can't be a header of this format. */
bool journal_frame_header_read(const uint8_t in[JOURNAL_FRAME_HEADER_BYTES], struct journal_frame *frame,
                               const char **field);
const char *journal_frame_kind_name(unsigned kind);

/* ---- integers ---- */

static inline void le16_put(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

static inline void le32_put(uint8_t *out, uint32_t value)
{
    le16_put(out, (uint16_t)value);
    le16_put(out + 2, (uint16_t)(value >> 16));
}

static inline void le64_put(uint8_t *out, uint64_t value)
{
    le32_put(out, (uint32_t)value);
    le32_put(out + 4, (uint32_t)(value >> 32));
}

static inline uint16_t le16_get(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

static inline uint32_t le32_get(const uint8_t *in)
{
    return (uint32_t)le16_get(in) | (uint32_t)le16_get(in + 2) << 16;
}

static inline uint64_t le64_get(const uint8_t *in)
{
    return (uint64_t)le32_get(in) | (uint64_t)le32_get(in + 4) << 32;
}

static inline uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t) - (difference >> 63);
}

static inline uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (uint64_t) - (value & 1);
}

/* ---- a growing or fixed run of bytes to write to ---- */

struct byte_sink {
    uint8_t *bytes;
    size_t used, capacity;
    bool failed; /* out of memory; what follows is dropped */
};

void byte_sink_free(struct byte_sink *sink);
bool byte_sink_reserve(struct byte_sink *sink, size_t more);
void byte_sink_put(struct byte_sink *sink, const void *bytes, size_t size);
void byte_sink_put_u8(struct byte_sink *sink, uint8_t value);
void byte_sink_put_u64(struct byte_sink *sink, uint64_t value);
void byte_sink_put_varint(struct byte_sink *sink, uint64_t value);

/* Writes at most 10 bytes; returns how many. */
static inline size_t varint_put(uint8_t *out, uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (uint8_t)value;
    return n;
}

/* ---- a run of bytes to read from, never past its end ---- */

struct byte_source {
    const uint8_t *at, *end;
    bool failed; /* something was not there or not canonical; all reads since gave zero */
};

static inline size_t byte_source_left(const struct byte_source *source)
{
    return (size_t)(source->end - source->at);
}

const uint8_t *byte_source_take(struct byte_source *source, size_t size); /* null when not there */
uint8_t byte_source_u8(struct byte_source *source);
uint16_t byte_source_u16(struct byte_source *source);
uint64_t byte_source_u64(struct byte_source *source);
/* At most 10 bytes, value below 2^64, else failed. */
uint64_t byte_source_varint_slow(struct byte_source *source);

static inline uint64_t byte_source_varint(struct byte_source *source)
{
    if (source->at < source->end && *source->at < 0x80)
        return *source->at++;
    return byte_source_varint_slow(source);
}

/* ---- content hashes: XXH3-64 for checksums, XXH3-128 for content ---- */

struct journal_hash {
    uint64_t low, high;
};

uint64_t journal_hash64(const void *bytes, size_t size);
/* Of two runs of bytes as one. */
uint64_t journal_hash64_pair(const void *a, size_t a_size, const void *b, size_t b_size);
struct journal_hash journal_hash128(const void *bytes, size_t size);

#endif
