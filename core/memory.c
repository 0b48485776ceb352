/* Guest physical memory: blocks, maps, the flat view, whole-range access, digest. See memory.h. */
#include "core/memory.h"
#include "core/memory_image.h"
#include "core/memory_range.h"

#include "core/machine.h"

#define XXH_INLINE_ALL
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define BLOCKS_MAX 16
#define HUGE_PAGE_BYTES (2u << 20)

struct memory_map {
    struct memory_block *block;
    uint64_t gpa, size, offset;
    enum memory_kind kind;
    int priority;
    uint32_t order;
    bool enabled;
    struct memory_map *next;
};

struct range {
    uint64_t start, end; /* gpa, end exclusive */
    const struct memory_map *map;
};

struct memory {
    struct machine *machine;
    struct memory_block *blocks[BLOCKS_MAX];
    uint32_t block_count;
    struct memory_map *first_map;
    uint32_t map_count;
    struct range *flat;
    uint32_t flat_count, last_hit;
    uint64_t gap_start, gap_end; /* where the last miss fell: nothing in it is memory */
    unsigned transaction;
    bool changed;
    struct memory_image *base;
};

struct memory *memory_create(struct machine *machine)
{
    struct memory *memory = calloc(1, sizeof *memory);
    CHECK(memory);
    memory->machine = machine;
    return memory;
}

void memory_destroy(struct memory *memory)
{
    if (!memory)
        return;
    for (uint32_t n = 0; n < memory->block_count; n++) {
        struct memory_block *block = memory->blocks[n];
        munmap(block->host, block->size_bytes);
        free(block->page_flags);
        free(block->page_hash);
        free(block);
    }
    while (memory->first_map) {
        struct memory_map *map = memory->first_map;
        memory->first_map = map->next;
        free(map);
    }
    free(memory->flat);
    memory_image_release(memory->base);
    free(memory);
}

struct memory_block *memory_add_block(struct memory *memory, const char *name, uint64_t size_bytes, bool digested,
                                      struct error *error)
{
    CHECK(memory->block_count < BLOCKS_MAX && size_bytes && size_bytes % MEMORY_PAGE_BYTES == 0);
    struct memory_block *block = calloc(1, sizeof *block);
    CHECK(block);
    uint64_t pages = size_bytes / MEMORY_PAGE_BYTES;
    block->host = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    block->page_flags = calloc(pages, sizeof *block->page_flags);
    block->page_hash = calloc(pages, sizeof *block->page_hash);
    if (block->host == MAP_FAILED || !block->page_flags || !block->page_hash) {
        if (block->host != MAP_FAILED)
            munmap(block->host, size_bytes);
        free(block->page_flags);
        free(block->page_hash);
        free(block);
        error_set(error, "%llu bytes of guest memory (%s): the host has not that much", (unsigned long long)size_bytes,
                  name);
        return NULL;
    }
    if (size_bytes >= HUGE_PAGE_BYTES)
        (void)madvise(block->host, size_bytes, MADV_HUGEPAGE);
    snprintf(block->name, sizeof block->name, "%s", name);
    block->size_bytes = size_bytes;
    block->digested = digested;
    block->index = memory->block_count;
    memory->blocks[memory->block_count++] = block;
    return block;
}

struct machine *memory_machine(struct memory *memory)
{
    return memory->machine;
}

struct memory_image **memory_base(struct memory *memory)
{
    return &memory->base;
}

struct memory_block *memory_block_first(struct memory *memory)
{
    return memory->block_count ? memory->blocks[0] : NULL;
}

struct memory_block *memory_block_next(struct memory *memory, struct memory_block *block)
{
    return block->index + 1 < memory->block_count ? memory->blocks[block->index + 1] : NULL;
}

/* ---- the flat view ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static const struct memory_map *top_map(const struct memory *memory, uint64_t gpa)
{
    const struct memory_map *best = NULL;
    for (const struct memory_map *map = memory->first_map; map; map = map->next) {
        if (!map->enabled || gpa - map->gpa >= map->size)
            continue;
        if (!best || map->priority > best->priority || (map->priority == best->priority && map->order > best->order))
            best = map;
    }
    return best;
}

static void flatten(struct memory *memory)
{
    uint32_t edges = 0;
    uint64_t *edge = calloc(2 * (size_t)memory->map_count + 1, sizeof *edge);
    free(memory->flat);
    memory->flat = calloc(2 * (size_t)memory->map_count + 1, sizeof *memory->flat);
    CHECK(edge && memory->flat);
    for (const struct memory_map *map = memory->first_map; map; map = map->next) {
        edge[edges++] = map->gpa;
        edge[edges++] = map->gpa + map->size;
    }
    qsort(edge, edges, sizeof *edge, compare_u64);
    memory->flat_count = 0;
    memory->last_hit = 0;
    memory->gap_start = memory->gap_end = 0;
    for (uint32_t n = 0; n + 1 < edges; n++) {
        const struct memory_map *map = edge[n] < edge[n + 1] ? top_map(memory, edge[n]) : NULL;
        if (!map)
            continue;
        struct range *previous = memory->flat_count ? &memory->flat[memory->flat_count - 1] : NULL;
        if (previous && previous->map == map && previous->end == edge[n])
            previous->end = edge[n + 1];
        else
            memory->flat[memory->flat_count++] = (struct range){edge[n], edge[n + 1], map};
    }
    free(edge);
}

static void changed(struct memory *memory)
{
    memory->changed = true;
    if (memory->transaction)
        return;
    memory->changed = false;
    flatten(memory);
    struct accel *accel = machine_accel(memory->machine);
    if (accel)
        accel->ops->memory_map_changed(accel);
}

void memory_transaction_begin(struct memory *memory)
{
    memory->transaction++;
}

void memory_transaction_commit(struct memory *memory)
{
    CHECK(memory->transaction);
    if (--memory->transaction == 0 && memory->changed)
        changed(memory);
}

struct memory_map *memory_map_block(struct memory *memory, uint64_t gpa, uint64_t size_bytes,
                                    struct memory_block *block, uint64_t block_offset, enum memory_kind kind,
                                    int priority)
{
    CHECK(gpa % MEMORY_PAGE_BYTES == 0 && size_bytes % MEMORY_PAGE_BYTES == 0 && block_offset % MEMORY_PAGE_BYTES == 0);
    CHECK(size_bytes && block_offset <= block->size_bytes && size_bytes <= block->size_bytes - block_offset);
    struct memory_map *map = calloc(1, sizeof *map);
    CHECK(map);
    *map = (struct memory_map){.block = block,
                               .gpa = gpa,
                               .size = size_bytes,
                               .offset = block_offset,
                               .kind = kind,
                               .priority = priority,
                               .order = memory->map_count++,
                               .enabled = true,
                               .next = memory->first_map};
    memory->first_map = map;
    changed(memory);
    return map;
}

void memory_map_set(struct memory *memory, struct memory_map *map, uint64_t gpa, enum memory_kind kind, bool enabled)
{
    CHECK(gpa % MEMORY_PAGE_BYTES == 0);
    if (map->gpa == gpa && map->kind == kind && map->enabled == enabled)
        return;
    map->gpa = gpa;
    map->kind = kind;
    map->enabled = enabled;
    changed(memory);
}

static const struct range *find_range(struct memory *memory, uint64_t gpa)
{
    uint32_t low = 0, high = memory->flat_count;
    if (memory->last_hit < memory->flat_count) {
        const struct range *range = &memory->flat[memory->last_hit];
        if (gpa >= range->start && gpa < range->end)
            return range;
    }
    if (gpa >= memory->gap_start && gpa < memory->gap_end)
        return NULL;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (memory->flat[middle].end <= gpa)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == memory->flat_count || gpa < memory->flat[low].start) {
        memory->gap_start = low ? memory->flat[low - 1].end : 0;
        memory->gap_end = low < memory->flat_count ? memory->flat[low].start : UINT64_MAX;
        return NULL;
    }
    memory->last_hit = low;
    return &memory->flat[low];
}

struct memory_page memory_lookup(struct memory *memory, uint64_t gpa)
{
    gpa &= ~(uint64_t)(MEMORY_PAGE_BYTES - 1);
    const struct range *range = find_range(memory, gpa);
    if (!range)
        return (struct memory_page){0};
    const struct memory_map *map = range->map;
    uint64_t offset = gpa - map->gpa + map->offset;
    return (struct memory_page){.host = map->block->host + offset,
                                .flags = &map->block->page_flags[offset >> MEMORY_PAGE_SHIFT],
                                .writable = map->kind == MEMORY_RAM};
}

struct memory_range memory_lookup_range(struct memory *memory, uint64_t gpa)
{
    const struct range *range = find_range(memory, gpa);
    if (!range)
        return (struct memory_range){0};
    const struct memory_map *map = range->map;
    uint64_t offset = range->start - map->gpa + map->offset;
    return (struct memory_range){.start = range->start,
                                 .end = range->end,
                                 .host = map->block->host + offset,
                                 .flags = &map->block->page_flags[offset >> MEMORY_PAGE_SHIFT],
                                 .writable = map->kind == MEMORY_RAM};
}

/* ---- whole ranges ---- */

static uint64_t page_rest(uint64_t gpa, uint64_t size_bytes)
{
    uint64_t rest = MEMORY_PAGE_BYTES - (gpa & (MEMORY_PAGE_BYTES - 1));
    return rest < size_bytes ? rest : size_bytes;
}

void memory_read(struct memory *memory, uint64_t gpa, void *buffer, uint64_t size_bytes)
{
    uint8_t *out = buffer;
    while (size_bytes) {
        uint64_t part = page_rest(gpa, size_bytes);
        struct memory_page page = memory_lookup(memory, gpa);
        if (page.host)
            memcpy(out, page.host + (gpa & (MEMORY_PAGE_BYTES - 1)), part);
        else
            memset(out, 0xFF, part);
        out += part;
        gpa += part;
        size_bytes -= part;
    }
}

static void write_page(struct memory *memory, uint64_t gpa, const uint8_t *in, uint64_t size_bytes)
{
    struct memory_page page = memory_lookup(memory, gpa);
    if (!page.host || !page.writable)
        return;
    struct accel *accel = machine_accel(memory->machine);
    if ((*page.flags & MEMORY_PAGE_WATCHED) && accel)
        accel->ops->memory_written(accel, gpa, size_bytes);
    *page.flags |= MEMORY_PAGE_DIRTY;
    memcpy(page.host + (gpa & (MEMORY_PAGE_BYTES - 1)), in, size_bytes);
}

void memory_write(struct memory *memory, uint64_t gpa, const void *buffer, uint64_t size_bytes)
{
    const uint8_t *in = buffer;
    while (size_bytes) {
        uint64_t part = page_rest(gpa, size_bytes);
        write_page(memory, gpa, in, part);
        in += part;
        gpa += part;
        size_bytes -= part;
    }
}

static uint64_t read_le(struct memory *memory, uint64_t gpa, unsigned size_bytes)
{
    uint8_t bytes[8];
    uint64_t value = 0;
    memory_read(memory, gpa, bytes, size_bytes);
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)bytes[n] << (8 * n);
    return value;
}

static void write_le(struct memory *memory, uint64_t gpa, uint64_t value, unsigned size_bytes)
{
    uint8_t bytes[8];
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[n] = (uint8_t)(value >> (8 * n));
    memory_write(memory, gpa, bytes, size_bytes);
}

uint16_t memory_read_u16(struct memory *memory, uint64_t gpa)
{
    return (uint16_t)read_le(memory, gpa, 2);
}
uint32_t memory_read_u32(struct memory *memory, uint64_t gpa)
{
    return (uint32_t)read_le(memory, gpa, 4);
}
uint64_t memory_read_u64(struct memory *memory, uint64_t gpa)
{
    return read_le(memory, gpa, 8);
}
void memory_write_u16(struct memory *memory, uint64_t gpa, uint16_t value)
{
    write_le(memory, gpa, value, 2);
}
void memory_write_u32(struct memory *memory, uint64_t gpa, uint32_t value)
{
    write_le(memory, gpa, value, 4);
}
void memory_write_u64(struct memory *memory, uint64_t gpa, uint64_t value)
{
    write_le(memory, gpa, value, 8);
}

uint64_t memory_ram_bytes(const struct memory *memory)
{
    for (uint32_t n = 0; n < memory->block_count; n++) {
        if (!strcmp(memory->blocks[n]->name, "ram"))
            return memory->blocks[n]->size_bytes;
    }
    return 0;
}

/* ---- digest ---- */

static uint64_t hash_page(const struct memory_block *block, uint64_t page)
{
    const uint8_t *bytes = block->host + (page << MEMORY_PAGE_SHIFT);
    static const uint8_t zero[MEMORY_PAGE_BYTES];
    if (!memcmp(bytes, zero, MEMORY_PAGE_BYTES))
        return 0;
    return XXH3_64bits_withSeed(bytes, MEMORY_PAGE_BYTES, ((uint64_t)(block->index + 1) << 40) | page);
}

/* A flag byte whose dirty flag is noted. */
static uint8_t noted(uint8_t flags)
{
    return (uint8_t)((flags & ~MEMORY_PAGE_DIRTY) | MEMORY_PAGE_UNHASHED | MEMORY_PAGE_UNSAVED);
}

static uint64_t digest_block(struct memory_block *block)
{
    uint64_t sum = 0;
    for (uint64_t page = 0; page < block->size_bytes >> MEMORY_PAGE_SHIFT; page++) {
        uint8_t *flags = &block->page_flags[page];
        if (*flags & MEMORY_PAGE_DIRTY)
            *flags = noted(*flags);
        if (*flags & MEMORY_PAGE_UNHASHED) {
            *flags &= (uint8_t)~MEMORY_PAGE_UNHASHED;
            block->page_hash[page] = hash_page(block, page);
        }
        sum += block->page_hash[page];
    }
    return sum;
}

static void protect(struct memory *memory)
{
    struct accel *accel = machine_accel(memory->machine);
    if (accel)
        accel->ops->memory_protect_all(accel);
}

uint64_t memory_digest(struct memory *memory)
{
    uint64_t sum = 0;
    protect(memory);
    for (uint32_t n = 0; n < memory->block_count; n++) {
        if (memory->blocks[n]->digested)
            sum += digest_block(memory->blocks[n]);
    }
    return sum;
}

/* Eight flag bytes at a time: few of them are dirty. */
static void note_block(struct memory_block *block)
{
    static const uint64_t dirty = MEMORY_PAGE_DIRTY * 0x0101010101010101ull;
    uint64_t pages = block->size_bytes >> MEMORY_PAGE_SHIFT, some;
    for (uint64_t page = 0; page < pages; page += sizeof some) {
        unsigned count = pages - page < sizeof some ? (unsigned)(pages - page) : sizeof some;
        some = dirty;
        if (count == sizeof some)
            memcpy(&some, &block->page_flags[page], sizeof some);
        for (unsigned n = 0; (some & dirty) && n < count; n++) {
            uint8_t *flags = &block->page_flags[page + n];
            *flags = *flags & MEMORY_PAGE_DIRTY ? noted(*flags) : *flags;
        }
    }
}

void memory_note_written(struct memory *memory)
{
    protect(memory);
    for (uint32_t n = 0; n < memory->block_count; n++) {
        if (memory->blocks[n]->digested)
            note_block(memory->blocks[n]);
    }
}

void memory_each_range(struct memory *memory, void (*look)(void *opaque, const struct memory_view *view), void *opaque)
{
    for (uint32_t n = 0; n < memory->flat_count; n++) {
        const struct range *range = &memory->flat[n];
        const struct memory_map *map = range->map;
        struct memory_view view = {range->start, range->end, map->block->name, map->offset + range->start - map->gpa,
                                   map->kind == MEMORY_RAM};
        look(opaque, &view);
    }
}
