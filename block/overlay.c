/* Overlay: what was written lies in memory, in chunks of 64 KiB made at the first write; the rest is the base's, or
 * zero. Each chunk knows which of its sectors it has, so a write never reads the base: a base need not be able to
 * give sectors that nobody asks for. Chunks are found by a hash table with linear probing (load at most one half), so
 * that the size of the disk costs nothing.
 *
 * Saved, it is a list of chunks whose pages lie in a store; a page that was not written since is not looked at again. */
#include "block/block.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SECTORS 128u
#define CHUNK_BYTES (CHUNK_SECTORS * BLOCK_SECTOR_BYTES)
#define CHUNK_PAGES (CHUNK_BYTES / PAGE_STORE_BYTES)
#define PAGE_SECTORS (PAGE_STORE_BYTES / BLOCK_SECTOR_BYTES)
#define PAGES_ALL ((1u << CHUNK_PAGES) - 1)
#define TABLE_SLOTS_MIN 64u

struct overlay_chunk {
    uint64_t index; /* first sector / CHUNK_SECTORS */
    uint64_t valid[CHUNK_SECTORS / 64];
    uint32_t page[CHUNK_PAGES]; /* in the overlay's store: what a page held when it was saved or loaded last */
    uint32_t changed;           /* bit n: page n is another one since, or was never saved */
    bool listed;                /* while a content is loaded: it is in it */
    uint8_t data[CHUNK_BYTES];
};

struct overlay_image {
    struct block_image image;
    struct block_image *base; /* null: zeros */
    uint64_t base_sectors;    /* what shows of it: it was smaller for a time, what lay behind is gone */
    struct overlay_chunk **slot;
    size_t slot_count, chunk_count; /* slot_count: a power of two */
    struct page_store *store;       /* null: nothing was saved or loaded yet */
};

static struct overlay_image *overlay_of(struct block_image *image)
{
    return (struct overlay_image *)(void *)image;
}

static size_t slot_of(struct overlay_chunk *const *slot, size_t slot_count, uint64_t index)
{
    size_t at = (size_t)((index * 0x9E3779B97F4A7C15ull) >> 32) & (slot_count - 1);
    while (slot[at] && slot[at]->index != index)
        at = (at + 1) & (slot_count - 1);
    return at;
}

static bool table_grow(struct overlay_image *overlay)
{
    size_t count = overlay->slot_count * 2;
    struct overlay_chunk **slot = calloc(count, sizeof(struct overlay_chunk *));
    if (!slot)
        return false;
    for (size_t n = 0; n < overlay->slot_count; n++) {
        if (overlay->slot[n])
            slot[slot_of(slot, count, overlay->slot[n]->index)] = overlay->slot[n];
    }
    free(overlay->slot);
    overlay->slot = slot;
    overlay->slot_count = count;
    return true;
}

static const struct overlay_chunk *chunk_find(const struct overlay_image *overlay, uint64_t index)
{
    return overlay->slot[slot_of(overlay->slot, overlay->slot_count, index)];
}

static struct overlay_chunk *chunk_make(struct overlay_image *overlay, uint64_t index)
{
    if (overlay->chunk_count * 2 >= overlay->slot_count && !table_grow(overlay))
        return NULL;
    struct overlay_chunk **slot = &overlay->slot[slot_of(overlay->slot, overlay->slot_count, index)];
    if (!*slot) {
        struct overlay_chunk *chunk = calloc(1, sizeof *chunk);
        if (!chunk)
            return NULL;
        chunk->index = index;
        chunk->changed = PAGES_ALL;
        *slot = chunk;
        overlay->chunk_count++;
    }
    return *slot;
}

static void chunk_free(struct overlay_image *overlay, struct overlay_chunk *chunk)
{
    for (unsigned n = 0; chunk && n < CHUNK_PAGES; n++) {
        if (overlay->store)
            page_store_drop(overlay->store, chunk->page[n]);
    }
    free(chunk);
}

static bool chunk_has(const struct overlay_chunk *chunk, uint32_t sector)
{
    return chunk && (chunk->valid[sector / 64] >> (sector % 64) & 1);
}

/* Reads what the base has of a range; beyond its end lie zeros. */
static enum status base_read(struct overlay_image *overlay, uint64_t sector, uint32_t sectors, uint8_t *out)
{
    uint64_t base_sectors = overlay->base_sectors;
    uint32_t there = sector >= base_sectors            ? 0
                     : base_sectors - sector < sectors ? (uint32_t)(base_sectors - sector)
                                                       : sectors;
    memset(out + (size_t)there * BLOCK_SECTOR_BYTES, 0, (size_t)(sectors - there) * BLOCK_SECTOR_BYTES);
    return there ? overlay->base->ops->read(overlay->base, sector, there, out) : STATUS_OK;
}

/* How many of the next sectors, at most max, have the same home (overlay or base); never past the end of a chunk that
 * exists, but over any number of chunks that don't. */
static uint32_t run_length(const struct overlay_image *overlay, uint64_t sector, uint32_t max, bool *mine)
{
    const struct overlay_chunk *chunk = chunk_find(overlay, sector / CHUNK_SECTORS);
    uint32_t at = (uint32_t)(sector % CHUNK_SECTORS), run = 0;
    *mine = chunk_has(chunk, at);
    while (run < max) {
        if (at == CHUNK_SECTORS) {
            if (*mine)
                break;
            chunk = chunk_find(overlay, (sector + run) / CHUNK_SECTORS);
            at = 0;
        }
        if (chunk_has(chunk, at) != *mine)
            break;
        at++;
        run++;
    }
    return run;
}

static enum status overlay_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct overlay_image *overlay = overlay_of(image);
    uint8_t *out = buffer;
    while (sectors) {
        bool mine;
        uint32_t run = run_length(overlay, sector, sectors, &mine);
        size_t bytes = (size_t)run * BLOCK_SECTOR_BYTES;
        if (mine) {
            const struct overlay_chunk *chunk = chunk_find(overlay, sector / CHUNK_SECTORS);
            memcpy(out, chunk->data + (sector % CHUNK_SECTORS) * BLOCK_SECTOR_BYTES, bytes);
        } else {
            enum status status = base_read(overlay, sector, run, out);
            if (status)
                return status;
        }
        out += bytes;
        sector += run;
        sectors -= run;
    }
    return STATUS_OK;
}

/* A null source: zeros. */
static enum status overlay_store(struct overlay_image *overlay, uint64_t sector, uint32_t sectors, const uint8_t *in)
{
    while (sectors) {
        struct overlay_chunk *chunk = chunk_make(overlay, sector / CHUNK_SECTORS);
        if (!chunk)
            return STATUS_NO_MEMORY;
        uint32_t at = (uint32_t)(sector % CHUNK_SECTORS);
        uint32_t part = CHUNK_SECTORS - at < sectors ? CHUNK_SECTORS - at : sectors;
        size_t bytes = (size_t)part * BLOCK_SECTOR_BYTES;
        uint8_t *to = chunk->data + (size_t)at * BLOCK_SECTOR_BYTES;
        if (in) {
            memcpy(to, in, bytes);
            in += bytes;
        } else {
            memset(to, 0, bytes);
        }
        for (uint32_t n = at; n < at + part; n++)
            chunk->valid[n / 64] |= 1ull << (n % 64);
        for (uint32_t n = at / PAGE_SECTORS; n <= (at + part - 1) / PAGE_SECTORS; n++)
            chunk->changed |= 1u << n;
        sector += part;
        sectors -= part;
    }
    return STATUS_OK;
}

/* A request that was under way when the image became smaller may reach behind its end: that part goes nowhere. */
static uint32_t inside(const struct block_image *image, uint64_t sector, uint32_t sectors)
{
    uint64_t there = sector < image->size_sectors ? image->size_sectors - sector : 0;
    return there < sectors ? (uint32_t)there : sectors;
}

static enum status overlay_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                                 bool fua)
{
    (void)fua;
    return overlay_store(overlay_of(image), sector, inside(image, sector, sectors), buffer);
}

static enum status overlay_flush(struct block_image *image)
{
    (void)image;
    return STATUS_OK;
}

static enum status overlay_zero(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap)
{
    (void)unmap;
    return overlay_store(overlay_of(image), sector, inside(image, sector, sectors), NULL);
}

/* What was written behind a nearer end is gone. */
static void forget_behind(struct overlay_image *overlay, uint64_t sectors)
{
    for (size_t n = 0; n < overlay->slot_count; n++) {
        struct overlay_chunk *chunk = overlay->slot[n];
        for (uint64_t at = 0; chunk && at < CHUNK_SECTORS; at++) {
            if (chunk->index * CHUNK_SECTORS + at >= sectors)
                chunk->valid[at / 64] &= ~(1ull << at % 64);
        }
    }
}

static enum status overlay_resize(struct block_image *image, uint64_t size_sectors, struct error *error)
{
    struct overlay_image *overlay = overlay_of(image);
    (void)error;
    if (size_sectors < image->size_sectors)
        forget_behind(overlay, size_sectors);
    if (overlay->base_sectors > size_sectors)
        overlay->base_sectors = size_sectors;
    image->size_sectors = size_sectors;
    return STATUS_OK;
}

static void overlay_watch(struct block_image *image, struct block_activity *activity)
{
    block_image_watch(overlay_of(image)->base, activity);
}

static bool overlay_corruption(struct block_image *image, struct block_corruption *corruption)
{
    return block_image_corruption(overlay_of(image)->base, corruption);
}

/* ---- saving and loading ---- */

static void save_chunk(struct overlay_chunk *chunk, struct content_writer *writer)
{
    content_put_u64(writer, chunk->index);
    for (unsigned n = 0; n < CHUNK_SECTORS / 64; n++)
        content_put_u64(writer, chunk->valid[n]);
    for (unsigned n = 0; n < CHUNK_PAGES; n++) {
        if (chunk->changed >> n & 1) {
            page_store_drop(writer->store, chunk->page[n]);
            chunk->page[n] = page_store_put(writer->store, chunk->data + n * PAGE_STORE_BYTES);
        }
        content_put_page(writer, chunk->page[n]);
    }
    chunk->changed = 0;
}

static void overlay_content_save(struct block_image *image, struct content_writer *writer)
{
    struct overlay_image *overlay = overlay_of(image);
    CHECK(!overlay->store || overlay->store == writer->store);
    overlay->store = writer->store;
    content_put_u64(writer, image->size_sectors);
    content_put_u64(writer, overlay->base_sectors);
    content_put_u64(writer, overlay->chunk_count);
    for (size_t n = 0; n < overlay->slot_count; n++) {
        if (overlay->slot[n])
            save_chunk(overlay->slot[n], writer);
    }
}

static enum status load_chunk(struct overlay_image *overlay, struct content_reader *reader)
{
    uint64_t index = content_get_u64(reader);
    if (reader->failed || index > (overlay->image.size_sectors - 1) / CHUNK_SECTORS)
        return STATUS_CORRUPT;
    struct overlay_chunk *chunk = chunk_make(overlay, index);
    if (!chunk)
        return STATUS_NO_MEMORY;
    if (chunk->listed)
        return STATUS_CORRUPT;
    chunk->listed = true;
    for (unsigned n = 0; n < CHUNK_SECTORS / 64; n++)
        chunk->valid[n] = content_get_u64(reader);
    for (unsigned n = 0; n < CHUNK_PAGES; n++) {
        uint32_t page = content_get_page(reader);
        if (!(chunk->changed >> n & 1) && chunk->page[n] == page)
            continue;
        page_store_hold(reader->store, page);
        page_store_drop(reader->store, chunk->page[n]);
        chunk->page[n] = page;
        page_store_read(reader->store, page, chunk->data + n * PAGE_STORE_BYTES);
    }
    chunk->changed = 0;
    return reader->failed ? STATUS_CORRUPT : STATUS_OK;
}

/* Those that are not in the content go. */
static bool keep_listed(struct overlay_image *overlay)
{
    struct overlay_chunk **slot = calloc(overlay->slot_count, sizeof(struct overlay_chunk *));
    if (!slot)
        return false;
    overlay->chunk_count = 0;
    for (size_t n = 0; n < overlay->slot_count; n++) {
        struct overlay_chunk *chunk = overlay->slot[n];
        if (!chunk || !chunk->listed) {
            chunk_free(overlay, chunk);
            continue;
        }
        chunk->listed = false;
        slot[slot_of(slot, overlay->slot_count, chunk->index)] = chunk;
        overlay->chunk_count++;
    }
    free(overlay->slot);
    overlay->slot = slot;
    return true;
}

static enum status overlay_content_load(struct block_image *image, struct content_reader *reader)
{
    struct overlay_image *overlay = overlay_of(image);
    uint64_t size = content_get_u64(reader), base = content_get_u64(reader), chunks = content_get_u64(reader);
    uint64_t base_most = overlay->base ? overlay->base->size_sectors : 0;
    enum status status = STATUS_OK;
    CHECK(!overlay->store || overlay->store == reader->store);
    if (reader->failed || !size || size > (uint64_t)INT64_MAX / BLOCK_SECTOR_BYTES || base > size || base > base_most)
        return STATUS_CORRUPT;
    overlay->store = reader->store;
    image->size_sectors = size;
    overlay->base_sectors = base;
    for (uint64_t n = 0; n < chunks && !status; n++)
        status = load_chunk(overlay, reader);
    return keep_listed(overlay) ? status : STATUS_NO_MEMORY;
}

static void overlay_destroy(struct block_image *image)
{
    struct overlay_image *overlay = overlay_of(image);
    for (size_t n = 0; n < overlay->slot_count; n++)
        chunk_free(overlay, overlay->slot[n]);
    free(overlay->slot);
    block_image_destroy(overlay->base);
    free(overlay);
}

static const struct block_image_ops overlay_ops = {
    .format = "overlay",
    .read = overlay_read,
    .write = overlay_write,
    .flush = overlay_flush,
    .zero = overlay_zero,
    .resize = overlay_resize,
    .corruption = overlay_corruption,
    .watch = overlay_watch,
    .content_save = overlay_content_save,
    .content_load = overlay_content_load,
    .destroy = overlay_destroy,
};

struct block_image *block_overlay_create(struct block_image *base, uint64_t size_sectors, struct error *error)
{
    struct overlay_image *overlay = calloc(1, sizeof *overlay);
    struct overlay_chunk **slot = calloc(TABLE_SLOTS_MIN, sizeof(struct overlay_chunk *));
    if (base && !size_sectors)
        size_sectors = base->size_sectors;
    if (!overlay || !slot || !size_sectors) {
        error_set(error, "%s: %s", base ? base->name : "overlay", size_sectors ? "out of memory" : "no sectors");
        free(overlay);
        free(slot);
        block_image_destroy(base);
        return NULL;
    }
    overlay->image = (struct block_image){&overlay_ops, size_sectors, false, base ? base->name : "overlay"};
    overlay->base = base;
    overlay->base_sectors = !base ? 0 : base->size_sectors < size_sectors ? base->size_sectors : size_sectors;
    overlay->slot = slot;
    overlay->slot_count = TABLE_SLOTS_MIN;
    return &overlay->image;
}
