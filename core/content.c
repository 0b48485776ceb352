/* Bytes and pages to and from a snapshot: see content.h. */
#include "core/content.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX 64u

/* ---- out ---- */

void content_writer_free(struct content_writer *writer)
{
    for (size_t n = 0; n < writer->page_count; n++)
        page_store_drop(writer->store, writer->page[n]);
    free(writer->page);
    free(writer->bytes);
    *writer = (struct content_writer){.store = writer->store};
}

uint8_t *content_room(struct content_writer *writer, size_t size_bytes)
{
    size_t needed = writer->size_bytes + size_bytes;
    if (needed > writer->capacity) {
        writer->capacity = needed > 2 * writer->capacity ? needed : 2 * writer->capacity;
        writer->bytes = realloc(writer->bytes, writer->capacity);
        CHECK(writer->bytes);
    }
    uint8_t *room = writer->bytes + writer->size_bytes;
    writer->size_bytes = needed;
    return room;
}

void content_put_bytes(struct content_writer *writer, const void *bytes, size_t size_bytes)
{
    if (size_bytes)
        memcpy(content_room(writer, size_bytes), bytes, size_bytes);
}

static void put_le(struct content_writer *writer, uint64_t value, unsigned size_bytes)
{
    uint8_t *out = content_room(writer, size_bytes);
    for (unsigned n = 0; n < size_bytes; n++)
        out[n] = (uint8_t)(value >> (8 * n));
}

void content_put_u32(struct content_writer *writer, uint32_t value)
{
    put_le(writer, value, 4);
}

void content_put_u64(struct content_writer *writer, uint64_t value)
{
    put_le(writer, value, 8);
}

void content_put_text(struct content_writer *writer, const char *text)
{
    size_t length = strlen(text);
    CHECK(length <= TEXT_BYTES_MAX);
    content_put_u32(writer, (uint32_t)length);
    content_put_bytes(writer, text, length);
}

void content_put_page(struct content_writer *writer, uint32_t page)
{
    if (writer->page_count == writer->page_capacity) {
        writer->page_capacity = writer->page_capacity ? 2 * writer->page_capacity : 64;
        writer->page = realloc(writer->page, writer->page_capacity * sizeof *writer->page);
        CHECK(writer->page);
    }
    page_store_hold(writer->store, page);
    writer->page[writer->page_count++] = page;
}

/* ---- in ---- */

const uint8_t *content_get_bytes(struct content_reader *reader, size_t size_bytes)
{
    if (reader->failed || (size_t)(reader->end - reader->at) < size_bytes) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += size_bytes;
    return bytes;
}

static uint64_t get_le(struct content_reader *reader, unsigned size_bytes)
{
    const uint8_t *in = content_get_bytes(reader, size_bytes);
    uint64_t value = 0;
    for (unsigned n = 0; in && n < size_bytes; n++)
        value |= (uint64_t)in[n] << (8 * n);
    return value;
}

uint32_t content_get_u32(struct content_reader *reader)
{
    return (uint32_t)get_le(reader, 4);
}

uint64_t content_get_u64(struct content_reader *reader)
{
    return get_le(reader, 8);
}

bool content_get_text(struct content_reader *reader, const char *expected)
{
    size_t length = content_get_u32(reader);
    const uint8_t *text = length == strlen(expected) ? content_get_bytes(reader, length) : NULL;
    if (!text || memcmp(text, expected, length) != 0)
        reader->failed = true;
    return !reader->failed;
}

uint32_t content_get_page(struct content_reader *reader)
{
    if (reader->failed || reader->page == reader->page_end) {
        reader->failed = true;
        return PAGE_REF_ZERO;
    }
    return *reader->page++;
}
