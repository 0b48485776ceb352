/* Fields of the journal file: frame headers, integers, hashes. */
#include "replay/journal_format.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

static const char *const frame_kind_names[JOURNAL_FRAME_KIND_COUNT] = {
    [JOURNAL_FRAME_CONFIG] = "config",
    [JOURNAL_FRAME_BLOB] = "blob",
    [JOURNAL_FRAME_EVENTS] = "events",
    [JOURNAL_FRAME_SECTORS] = "sectors",
    [JOURNAL_FRAME_CHECKPOINT] = "checkpoint",
    [JOURNAL_FRAME_INDEX] = "index",
    [JOURNAL_FRAME_END] = "end",
    [JOURNAL_FRAME_STEPS] = "steps",
    [JOURNAL_FRAME_PAGES] = "pages",
    [JOURNAL_FRAME_STATE] = "state",
};

const char *journal_frame_kind_name(unsigned kind)
{
    if (kind >= JOURNAL_FRAME_KIND_COUNT || !frame_kind_names[kind])
        return "unknown";
    return frame_kind_names[kind];
}

void journal_frame_header_write(uint8_t out[JOURNAL_FRAME_HEADER_BYTES], const struct journal_frame *frame)
{
    le32_put(out, JOURNAL_FRAME_MAGIC);
    out[4] = frame->kind;
    out[5] = frame->flags;
    le16_put(out + 6, JOURNAL_FRAME_HEADER_BYTES);
    le64_put(out + 8, frame->sequence);
    le64_put(out + 16, frame->first.icount);
    le64_put(out + 24, frame->first.vtime_ns);
    le64_put(out + 32, frame->last.icount);
    le64_put(out + 40, frame->last.vtime_ns);
    le32_put(out + 48, frame->raw_bytes);
    le32_put(out + 52, frame->packed_bytes);
    le32_put(out + 56, frame->events);
    le32_put(out + 60, frame->delivers);
    le64_put(out + 64, frame->raw_hash);
    le64_put(out + 72, frame->disk_hash);
}

static const char *frame_header_fault(const uint8_t *in, const struct journal_frame *frame)
{
    if (le32_get(in) != JOURNAL_FRAME_MAGIC)
        return "magic: expected \"VFRM\"";
    if (le16_get(in + 6) != JOURNAL_FRAME_HEADER_BYTES)
        return "header size: expected 80";
    if (frame->kind == 0)
        return "kind: expected 1 or more";
    if (frame->flags & ~(JOURNAL_FLAG_SKIPPABLE | JOURNAL_FLAG_STORED))
        return "flags: expected bits 0 and 1 only";
    if (frame->raw_bytes > JOURNAL_FRAME_RAW_MAX)
        return "raw size: expected at most 1048576";
    if (frame->packed_bytes > JOURNAL_FRAME_PACKED_MAX)
        return "packed size: expected at most 1064960";
    if (frame->first.icount >= JOURNAL_POSITION_LIMIT || frame->first.vtime_ns >= JOURNAL_POSITION_LIMIT ||
        frame->last.icount >= JOURNAL_POSITION_LIMIT || frame->last.vtime_ns >= JOURNAL_POSITION_LIMIT)
        return "position: expected below 2^63";
    if (!position_reached(frame->last, frame->first))
        return "last position: expected not before the first";
    return NULL;
}

bool journal_frame_header_read(const uint8_t in[JOURNAL_FRAME_HEADER_BYTES], struct journal_frame *frame,
                               const char **field)
{
    frame->kind = in[4];
    frame->flags = in[5];
    frame->sequence = le64_get(in + 8);
    frame->first = (struct position){le64_get(in + 16), le64_get(in + 24)};
    frame->last = (struct position){le64_get(in + 32), le64_get(in + 40)};
    frame->raw_bytes = le32_get(in + 48);
    frame->packed_bytes = le32_get(in + 52);
    frame->events = le32_get(in + 56);
    frame->delivers = le32_get(in + 60);
    frame->raw_hash = le64_get(in + 64);
    frame->disk_hash = le64_get(in + 72);
    *field = frame_header_fault(in, frame);
    return *field == NULL;
}

void byte_sink_free(struct byte_sink *sink)
{
    free(sink->bytes);
    *sink = (struct byte_sink){0};
}

bool byte_sink_reserve(struct byte_sink *sink, size_t more)
{
    if (sink->failed)
        return false;
    if (sink->capacity - sink->used >= more)
        return true;
    size_t capacity = sink->capacity ? sink->capacity : 256;
    while (capacity - sink->used < more)
        capacity *= 2;
    uint8_t *bytes = realloc(sink->bytes, capacity);
    if (!bytes) {
        sink->failed = true;
        return false;
    }
    sink->bytes = bytes;
    sink->capacity = capacity;
    return true;
}

void byte_sink_put(struct byte_sink *sink, const void *bytes, size_t size)
{
    if (size == 0 || !byte_sink_reserve(sink, size))
        return;
    memcpy(sink->bytes + sink->used, bytes, size);
    sink->used += size;
}

void byte_sink_put_u8(struct byte_sink *sink, uint8_t value)
{
    byte_sink_put(sink, &value, 1);
}

void byte_sink_put_u64(struct byte_sink *sink, uint64_t value)
{
    uint8_t bytes[8];
    le64_put(bytes, value);
    byte_sink_put(sink, bytes, sizeof bytes);
}

void byte_sink_put_varint(struct byte_sink *sink, uint64_t value)
{
    uint8_t bytes[10];
    byte_sink_put(sink, bytes, varint_put(bytes, value));
}

const uint8_t *byte_source_take(struct byte_source *source, size_t size)
{
    if (source->failed || byte_source_left(source) < size) {
        source->failed = true;
        source->at = source->end;
        return NULL;
    }
    const uint8_t *at = source->at;
    source->at += size;
    return at;
}

uint8_t byte_source_u8(struct byte_source *source)
{
    const uint8_t *at = byte_source_take(source, 1);
    return at ? *at : 0;
}

uint16_t byte_source_u16(struct byte_source *source)
{
    const uint8_t *at = byte_source_take(source, 2);
    return at ? le16_get(at) : 0;
}

uint64_t byte_source_u64(struct byte_source *source)
{
    const uint8_t *at = byte_source_take(source, 8);
    return at ? le64_get(at) : 0;
}

uint64_t byte_source_varint_slow(struct byte_source *source)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = byte_source_u8(source);
        if (source->failed)
            return 0;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    source->failed = true;
    source->at = source->end;
    return 0;
}

uint64_t journal_hash64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

uint64_t journal_hash64_pair(const void *a, size_t a_size, const void *b, size_t b_size)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, a, a_size);
    XXH3_64bits_update(&state, b, b_size);
    return XXH3_64bits_digest(&state);
}

struct journal_hash journal_hash128(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(bytes, size);
    return (struct journal_hash){hash.low64, hash.high64};
}
