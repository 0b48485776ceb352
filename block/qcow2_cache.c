/* Memory of a qcow2 image's tables: L2 tables and refcount blocks, found by their offset,
 * the clock as replacement; L1 and refcount table whole. A dirty table that has to go makes a sync of everything, so
 * that no write passes the order of qcow2_sync.c; only a sync itself may write single refcount blocks, at its end. */
#include "block/qcow2_internal.h"

#include <stdlib.h>

#define L2_CACHE_BYTES (32ull << 20)
#define REFCOUNT_CACHE_BYTES (1ull << 20)
#define CACHE_TABLES_MAX (1u << 22)
#define CACHE_TABLES_MIN 4u
#define TOP_SECTOR_ENTRIES 64u

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Not 0, which would be "not said"; there is room for some tables anyway. */
static uint64_t rest_of(uint64_t both, uint64_t other)
{
    return both > other ? both - other : 1;
}

/* Who gets what, as QEMU says: together, all L2 tables come before refcount blocks; what one was given by name, the other
 * has not. Tools have said what contradicts itself. */
static void share_out(const struct qcow2_image *image, uint64_t *l2_bytes, uint64_t *refcount_bytes)
{
    uint64_t both = image->cache_limit.bytes, all_l2 = (uint64_t)image->header.l1_size << image->cluster_bits;
    *l2_bytes = image->cache_limit.l2_bytes;
    *refcount_bytes = image->cache_limit.refcount_bytes;
    if (both && !*l2_bytes && !*refcount_bytes) {
        *refcount_bytes = smaller(both, CACHE_TABLES_MIN << image->cluster_bits);
        *l2_bytes = rest_of(both, *refcount_bytes);
        *l2_bytes = smaller(*l2_bytes, all_l2);
        *refcount_bytes = rest_of(both, *l2_bytes);
    } else if (both && !*l2_bytes) {
        *l2_bytes = rest_of(both, *refcount_bytes);
    } else if (both && !*refcount_bytes) {
        *refcount_bytes = rest_of(both, *l2_bytes);
    }
    *l2_bytes = smaller(*l2_bytes ? *l2_bytes : L2_CACHE_BYTES, all_l2);
    if (!*refcount_bytes)
        *refcount_bytes = REFCOUNT_CACHE_BYTES;
}

static enum status cache_init(struct qcow2_image *image, struct qcow2_cache *cache, unsigned kind, uint64_t bytes)
{
    uint64_t count = smaller(bytes >> image->cluster_bits, CACHE_TABLES_MAX);
    cache->kind = kind;
    cache->count = count < CACHE_TABLES_MIN ? CACHE_TABLES_MIN : (uint32_t)count;
    cache->buckets = 1;
    while (cache->buckets < cache->count)
        cache->buckets *= 2;
    cache->table = calloc(cache->count, sizeof *cache->table);
    cache->bucket = calloc(cache->buckets, sizeof *cache->bucket);
    return cache->table && cache->bucket ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status qcow2_caches_init(struct qcow2_image *image)
{
    uint64_t l2_bytes, refcount_bytes;
    share_out(image, &l2_bytes, &refcount_bytes);
    enum status status = cache_init(image, &image->l2_cache, QCOW2_IS_L2, l2_bytes);
    return status ? status : cache_init(image, &image->refcount_cache, QCOW2_IS_REFBLOCK, refcount_bytes);
}

void qcow2_cache_free(struct qcow2_cache *cache)
{
    for (uint32_t n = 0; cache->table && n < cache->count; n++)
        free(cache->table[n].bytes);
    free(cache->table);
    free(cache->bucket);
    *cache = (struct qcow2_cache){0};
}

void qcow2_cache_drop(struct qcow2_cache *cache)
{
    for (uint32_t n = 0; n < cache->count; n++)
        cache->table[n] = (struct qcow2_table){.bytes = cache->table[n].bytes};
    memset(cache->bucket, 0, cache->buckets * sizeof *cache->bucket);
    cache->dirty_count = 0;
}

static uint32_t *bucket_of(struct qcow2_cache *cache, uint64_t offset)
{
    uint64_t hash = (offset >> QCOW2_CLUSTER_BITS_MIN) * 0x9e3779b97f4a7c15ull;
    return &cache->bucket[(hash >> 32) & (cache->buckets - 1)];
}

static struct qcow2_table *find(struct qcow2_cache *cache, uint64_t offset)
{
    for (uint32_t n = *bucket_of(cache, offset); n; n = cache->table[n - 1].next) {
        if (cache->table[n - 1].offset == offset)
            return &cache->table[n - 1];
    }
    return NULL;
}

static void unlink_table(struct qcow2_cache *cache, struct qcow2_table *table)
{
    uint32_t *link = bucket_of(cache, table->offset), index = (uint32_t)(table - cache->table) + 1;
    if (!table->offset)
        return;
    while (*link != index)
        link = &cache->table[*link - 1].next;
    *link = table->next;
    cache->dirty_count -= table->dirty;
    table->offset = 0;
    table->dirty = false;
}

static enum status write_table(struct qcow2_image *image, struct qcow2_cache *cache, struct qcow2_table *table)
{
    enum status status = qcow2_file_write(image, table->offset, table->bytes, image->cluster_bytes, cache->kind);
    if (!status) {
        table->dirty = false;
        cache->dirty_count--;
    }
    return status;
}

/* A refcount block of a dirty image is never believed, and at the end of a sync all that refcounts now say is true of
 * the file: both times one may go alone. */
static enum status make_clean(struct qcow2_image *image, struct qcow2_cache *cache, struct qcow2_table *table)
{
    bool alone = cache->kind == QCOW2_IS_REFBLOCK &&
                 (image->syncing || (image->header.incompatible & QCOW2_DIRTY && !image->for_check));
    return alone ? write_table(image, cache, table) : qcow2_sync(image);
}

static struct qcow2_table *choose(struct qcow2_cache *cache)
{
    struct qcow2_table *table = &cache->table[cache->hand];
    for (uint32_t tries = 0; tries < 2 * cache->count && table->offset && table->used; tries++) {
        table->used = false;
        cache->hand = (cache->hand + 1) % cache->count;
        table = &cache->table[cache->hand];
    }
    cache->hand = (cache->hand + 1) % cache->count;
    return table;
}

/* A sync may fill the cache of refcount blocks with dirty ones again, at its last stage; the second has nothing left to
 * count down. */
static enum status victim(struct qcow2_image *image, struct qcow2_cache *cache, struct qcow2_table **found)
{
    struct qcow2_table *table = choose(cache);
    for (unsigned tries = 0; table->dirty && tries < 3; tries++) {
        enum status status = make_clean(image, cache, table);
        if (status)
            return status;
        if (table->dirty)
            table = choose(cache);
    }
    CHECK(!table->dirty);
    unlink_table(cache, table);
    if (!table->bytes)
        table->bytes = malloc(image->cluster_bytes);
    *found = table;
    return table->bytes ? STATUS_OK : STATUS_NO_MEMORY;
}

static void link_table(struct qcow2_cache *cache, struct qcow2_table *table, uint64_t offset)
{
    uint32_t *bucket = bucket_of(cache, offset);
    table->offset = offset;
    table->used = true;
    table->dirty = false;
    table->next = *bucket;
    *bucket = (uint32_t)(table - cache->table) + 1;
}

enum status qcow2_cache_get(struct qcow2_image *image, struct qcow2_cache *cache, uint64_t offset, uint8_t **bytes)
{
    struct qcow2_table *table = find(cache, offset);
    if (!table) {
        enum status status = victim(image, cache, &table);
        if (!status)
            status = qcow2_file_read(image, offset, table->bytes, image->cluster_bytes);
        if (status)
            return status;
        link_table(cache, table, offset);
    }
    table->used = true;
    *bytes = table->bytes;
    return STATUS_OK;
}

enum status qcow2_cache_new(struct qcow2_image *image, struct qcow2_cache *cache, uint64_t offset, uint8_t **bytes)
{
    struct qcow2_table *table = find(cache, offset);
    if (!table) {
        enum status status = victim(image, cache, &table);
        if (status)
            return status;
        link_table(cache, table, offset);
    }
    memset(table->bytes, 0, image->cluster_bytes);
    qcow2_cache_touch(cache, offset);
    *bytes = table->bytes;
    return STATUS_OK;
}

void qcow2_cache_touch(struct qcow2_cache *cache, uint64_t offset)
{
    struct qcow2_table *table = find(cache, offset);
    CHECK(table);
    cache->dirty_count += !table->dirty;
    table->dirty = true;
}

void qcow2_cache_forget(struct qcow2_cache *cache, uint64_t offset)
{
    struct qcow2_table *table = find(cache, offset);
    if (table)
        unlink_table(cache, table);
}

enum status qcow2_cache_write(struct qcow2_image *image, struct qcow2_cache *cache)
{
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < cache->count && cache->dirty_count && !status; n++) {
        if (cache->table[n].dirty)
            status = write_table(image, cache, &cache->table[n]);
    }
    return status;
}

/* ---- L1 and refcount table ---- */

enum status qcow2_top_init(struct qcow2_top *top, uint32_t count)
{
    *top = (struct qcow2_top){.count = count};
    top->entry = calloc(count ? count : 1, sizeof *top->entry);
    top->dirty = calloc(count / TOP_SECTOR_ENTRIES + 1, 1);
    if (top->entry && top->dirty)
        return STATUS_OK;
    qcow2_top_free(top);
    return STATUS_NO_MEMORY;
}

void qcow2_top_free(struct qcow2_top *top)
{
    free(top->entry);
    free(top->dirty);
    *top = (struct qcow2_top){0};
}

void qcow2_top_set(struct qcow2_top *top, uint32_t index, uint64_t value)
{
    top->entry[index] = value;
    top->dirty[index / TOP_SECTOR_ENTRIES] = 1;
    top->any_dirty = true;
}

enum status qcow2_top_load(struct qcow2_image *image, struct qcow2_top *top, uint64_t offset, uint32_t count)
{
    enum status status = qcow2_top_init(top, count);
    if (status)
        return status;
    top->offset = offset;
    status = qcow2_file_read(image, offset, top->entry, (uint64_t)count * 8);
    for (uint32_t n = 0; n < count; n++)
        top->entry[n] = __builtin_bswap64(top->entry[n]);
    return status;
}

/* Entries from first to before end, as they are in the file. */
static enum status write_entries(struct qcow2_image *image, struct qcow2_top *top, uint32_t first, uint32_t end,
                                 unsigned kind)
{
    uint64_t *raw = malloc((size_t)(end - first) * 8);
    if (!raw)
        return STATUS_NO_MEMORY;
    for (uint32_t n = first; n < end; n++)
        raw[n - first] = __builtin_bswap64(top->entry[n]);
    enum status status =
        qcow2_file_write(image, top->offset + (uint64_t)first * 8, raw, (uint64_t)(end - first) * 8, kind);
    free(raw);
    return status;
}

enum status qcow2_top_write(struct qcow2_image *image, struct qcow2_top *top, bool all, unsigned kind)
{
    uint32_t sectors = (top->count + TOP_SECTOR_ENTRIES - 1) / TOP_SECTOR_ENTRIES;
    enum status status = STATUS_OK;
    for (uint32_t n = 0; n < sectors && !status; n++) {
        uint32_t run = 0, first = n * TOP_SECTOR_ENTRIES;
        while (n + run < sectors && (all || top->dirty[n + run]))
            run++;
        if (!run)
            continue;
        uint64_t end = ((uint64_t)n + run) * TOP_SECTOR_ENTRIES;
        status = write_entries(image, top, first, end < top->count ? (uint32_t)end : top->count, kind);
        n += run - 1;
    }
    if (!status) {
        memset(top->dirty, 0, top->count / TOP_SECTOR_ENTRIES + 1);
        top->any_dirty = false;
    }
    return status;
}
