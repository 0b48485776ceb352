/* Images of guest memory: see memory_image.h.
 *
 * An image is a list of spans of 2 MiB, each a list of pages in the store, or null where all is zero. Spans are shared and
 * never changed. A page whose flags have neither MEMORY_PAGE_DIRTY nor MEMORY_PAGE_UNSAVED holds what the memory's base (the
 * image taken or restored last; none: zeros) says. */
#include "core/memory_image.h"

#include "core/machine.h"

#include <stdlib.h>
#include <string.h>

#define SPAN_PAGES 512u

struct span {
    uint32_t holders;
    uint32_t page[SPAN_PAGES];
};

struct memory_image {
    struct page_store *store;
    uint32_t holders;
    uint32_t span_count;
    struct span *span[]; /* of all digested blocks, one behind the other */
};

static uint64_t block_pages(const struct memory_block *block)
{
    return block->size_bytes >> MEMORY_PAGE_SHIFT;
}

static uint32_t block_spans(const struct memory_block *block)
{
    return block->digested ? (uint32_t)((block_pages(block) + SPAN_PAGES - 1) / SPAN_PAGES) : 0;
}

static struct memory_image *new_image(struct memory *memory, struct page_store *store)
{
    uint32_t count = 0;
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block))
        count += block_spans(block);
    struct memory_image *image = calloc(1, sizeof *image + count * sizeof(struct span *));
    CHECK(image);
    image->store = store;
    image->holders = 1;
    image->span_count = count;
    return image;
}

static struct span *hold_span(struct span *span)
{
    if (span)
        span->holders++;
    return span;
}

static void release_span(struct page_store *store, struct span *span)
{
    if (!span || --span->holders)
        return;
    for (unsigned n = 0; n < SPAN_PAGES; n++)
        page_store_drop(store, span->page[n]);
    free(span);
}

void memory_image_release(struct memory_image *image)
{
    if (!image || --image->holders)
        return;
    for (uint32_t n = 0; n < image->span_count; n++)
        release_span(image->store, image->span[n]);
    free(image);
}

uint64_t memory_image_bytes(const struct memory_image *image)
{
    uint64_t bytes = sizeof *image + image->span_count * sizeof(struct span *);
    for (uint32_t n = 0; n < image->span_count; n++)
        bytes += image->span[n] ? sizeof(struct span) / image->span[n]->holders : 0;
    return bytes;
}

static void set_base(struct memory *memory, struct memory_image *image)
{
    struct memory_image **base = memory_base(memory);
    image->holders++;
    memory_image_release(*base);
    *base = image;
}

/* ---- one span of a block ---- */

struct piece {
    struct memory_block *block;
    uint64_t first;
    unsigned pages;
};

static struct piece piece_of(struct memory_block *block, uint32_t span)
{
    struct piece piece = {block, (uint64_t)span * SPAN_PAGES, SPAN_PAGES};
    if (block_pages(block) - piece.first < SPAN_PAGES)
        piece.pages = (unsigned)(block_pages(block) - piece.first);
    return piece;
}

static bool piece_unsaved(const struct piece *piece)
{
    const uint8_t *flags = piece->block->page_flags + piece->first;
    uint8_t any = 0;
    for (unsigned n = 0; n < piece->pages; n++)
        any |= flags[n];
    return any & MEMORY_PAGE_UNSAVED;
}

static uint8_t *page_host(const struct piece *piece, unsigned page)
{
    return piece->block->host + ((piece->first + page) << MEMORY_PAGE_SHIFT);
}

/* base: null for zeros. */
static struct span *take_piece(struct page_store *store, const struct piece *piece, const struct span *base)
{
    struct span *span = calloc(1, sizeof *span);
    bool any = false;
    CHECK(span);
    span->holders = 1;
    for (unsigned n = 0; n < piece->pages; n++) {
        uint8_t *flags = &piece->block->page_flags[piece->first + n];
        if (*flags & MEMORY_PAGE_UNSAVED) {
            span->page[n] = page_store_put(store, page_host(piece, n));
            *flags &= (uint8_t)~MEMORY_PAGE_UNSAVED;
        } else if (base) {
            span->page[n] = base->page[n];
            page_store_hold(store, span->page[n]);
        }
        any |= span->page[n] != PAGE_REF_ZERO;
    }
    if (any)
        return span;
    free(span);
    return NULL;
}

static void restore_piece(struct accel *accel, struct page_store *store, const struct piece *piece,
                          const struct span *base, const struct span *wanted)
{
    for (unsigned n = 0; n < piece->pages; n++) {
        uint8_t *flags = &piece->block->page_flags[piece->first + n];
        uint32_t there = base ? base->page[n] : PAGE_REF_ZERO, ref = wanted ? wanted->page[n] : PAGE_REF_ZERO;
        if (!(*flags & MEMORY_PAGE_UNSAVED) && there == ref)
            continue;
        if (accel && (*flags & MEMORY_PAGE_WATCHED))
            accel->ops->page_replaced(accel, flags);
        page_store_read(store, ref, page_host(piece, n));
        *flags = (uint8_t)((*flags & ~MEMORY_PAGE_UNSAVED) | MEMORY_PAGE_UNHASHED);
    }
}

/* ---- as bytes and pages ---- */

void memory_image_write(const struct memory_image *image, struct content_writer *writer)
{
    content_put_u32(writer, image->span_count);
    for (uint32_t n = 0; n < image->span_count; n++) {
        const struct span *span = image->span[n];
        content_put_u32(writer, span != NULL);
        for (unsigned m = 0; span && m < SPAN_PAGES; m++)
            content_put_page(writer, span->page[m]);
    }
}

static struct span *read_span(struct content_reader *reader)
{
    struct span *span = calloc(1, sizeof *span);
    CHECK(span);
    span->holders = 1;
    for (unsigned m = 0; m < SPAN_PAGES; m++) {
        span->page[m] = content_get_page(reader);
        page_store_hold(reader->store, span->page[m]);
    }
    return span;
}

struct memory_image *memory_image_read(struct memory *memory, struct content_reader *reader)
{
    struct memory_image *image = new_image(memory, reader->store);
    reader->failed |= content_get_u32(reader) != image->span_count;
    for (uint32_t n = 0; n < image->span_count && !reader->failed; n++) {
        uint32_t some = content_get_u32(reader);
        reader->failed |= some > 1;
        if (some == 1)
            image->span[n] = read_span(reader);
    }
    if (!reader->failed)
        return image;
    memory_image_release(image);
    return NULL;
}

/* ---- all of it ---- */

struct memory_image *memory_image_take(struct memory *memory, struct page_store *store)
{
    const struct memory_image *base = *memory_base(memory);
    struct memory_image *image = new_image(memory, store);
    uint32_t at = 0;
    CHECK(!base || base->store == store);
    memory_note_written(memory);
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        for (uint32_t n = 0; n < block_spans(block); n++, at++) {
            struct piece piece = piece_of(block, n);
            struct span *before = base ? base->span[at] : NULL;
            image->span[at] = piece_unsaved(&piece) ? take_piece(store, &piece, before) : hold_span(before);
        }
    }
    set_base(memory, image);
    return image;
}

void memory_image_restore(struct memory *memory, struct memory_image *image)
{
    const struct memory_image *base = *memory_base(memory);
    struct accel *accel = machine_accel(memory_machine(memory));
    uint32_t at = 0;
    CHECK(!base || base->store == image->store);
    memory_note_written(memory);
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        for (uint32_t n = 0; n < block_spans(block); n++, at++) {
            struct piece piece = piece_of(block, n);
            struct span *before = base ? base->span[at] : NULL;
            if (before != image->span[at] || piece_unsaved(&piece))
                restore_piece(accel, image->store, &piece, before, image->span[at]);
        }
    }
    CHECK(at == image->span_count);
    set_base(memory, image);
}
