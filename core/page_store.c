/* Pages by content: see page_store.h. An entry is found by the XXH3-128 of its content, and compared with it: a guest could
 * make two pages with one hash. */
#include "core/page_store.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BUCKETS_FIRST 4096u

struct entry {
    uint8_t *bytes; /* null: free */
    XXH128_hash_t hash;
    uint32_t holders;
    uint32_t next; /* in its bucket, or of the free ones; 0: none */
};

struct page_store {
    struct entry *entry; /* the first is that of zeros */
    uint32_t count, capacity;
    uint32_t free;
    uint64_t pages;
    uint32_t *bucket;
    uint32_t bucket_count; /* a power of two */
};

static const uint8_t zeros[PAGE_STORE_BYTES];

struct page_store *page_store_create(void)
{
    struct page_store *store = calloc(1, sizeof *store);
    CHECK(store);
    store->bucket_count = BUCKETS_FIRST;
    store->bucket = calloc(store->bucket_count, sizeof *store->bucket);
    store->capacity = BUCKETS_FIRST;
    store->entry = calloc(store->capacity, sizeof *store->entry);
    CHECK(store->bucket && store->entry);
    store->count = 1;
    return store;
}

void page_store_destroy(struct page_store *store)
{
    if (!store)
        return;
    for (uint32_t n = 1; n < store->count; n++)
        free(store->entry[n].bytes);
    free(store->entry);
    free(store->bucket);
    free(store);
}

/* ---- the table ---- */

static uint32_t *bucket_of(struct page_store *store, XXH128_hash_t hash)
{
    return &store->bucket[hash.low64 & (store->bucket_count - 1)];
}

static void grow_buckets(struct page_store *store)
{
    free(store->bucket);
    store->bucket_count *= 2;
    store->bucket = calloc(store->bucket_count, sizeof *store->bucket);
    CHECK(store->bucket);
    for (uint32_t n = 1; n < store->count; n++) {
        struct entry *entry = &store->entry[n];
        if (!entry->bytes)
            continue;
        uint32_t *bucket = bucket_of(store, entry->hash);
        entry->next = *bucket;
        *bucket = n;
    }
}

static uint32_t new_entry(struct page_store *store)
{
    uint32_t ref = store->free;
    if (ref) {
        store->free = store->entry[ref].next;
        return ref;
    }
    if (store->count == store->capacity) {
        CHECK(store->capacity < UINT32_MAX / 2);
        store->capacity *= 2;
        store->entry = realloc(store->entry, store->capacity * sizeof *store->entry);
        CHECK(store->entry);
    }
    return store->count++;
}

static uint32_t find(const struct page_store *store, uint32_t from, XXH128_hash_t hash, const uint8_t *page)
{
    for (uint32_t ref = from; ref; ref = store->entry[ref].next) {
        const struct entry *entry = &store->entry[ref];
        if (XXH128_isEqual(entry->hash, hash) && !memcmp(entry->bytes, page, PAGE_STORE_BYTES))
            return ref;
    }
    return PAGE_REF_ZERO;
}

/* ---- pages ---- */

uint32_t page_store_put(struct page_store *store, const uint8_t page[PAGE_STORE_BYTES])
{
    if (!memcmp(page, zeros, PAGE_STORE_BYTES))
        return PAGE_REF_ZERO;
    XXH128_hash_t hash = XXH3_128bits(page, PAGE_STORE_BYTES);
    uint32_t ref = find(store, *bucket_of(store, hash), hash, page);
    if (ref) {
        store->entry[ref].holders++;
        return ref;
    }
    if (store->pages >= store->bucket_count)
        grow_buckets(store);
    ref = new_entry(store);
    struct entry *entry = &store->entry[ref];
    uint32_t *bucket = bucket_of(store, hash);
    *entry = (struct entry){.bytes = malloc(PAGE_STORE_BYTES), .hash = hash, .holders = 1, .next = *bucket};
    CHECK(entry->bytes);
    memcpy(entry->bytes, page, PAGE_STORE_BYTES);
    *bucket = ref;
    store->pages++;
    return ref;
}

void page_store_hold(struct page_store *store, uint32_t ref)
{
    if (ref)
        store->entry[ref].holders++;
}

void page_store_drop(struct page_store *store, uint32_t ref)
{
    struct entry *entry = &store->entry[ref];
    if (!ref || --entry->holders)
        return;
    uint32_t *at = bucket_of(store, entry->hash);
    while (*at != ref)
        at = &store->entry[*at].next;
    *at = entry->next;
    free(entry->bytes);
    *entry = (struct entry){.next = store->free};
    store->free = ref;
    store->pages--;
}

void page_store_read(const struct page_store *store, uint32_t ref, uint8_t page[PAGE_STORE_BYTES])
{
    memcpy(page, ref ? store->entry[ref].bytes : zeros, PAGE_STORE_BYTES);
}

uint64_t page_store_bytes(const struct page_store *store)
{
    return store->pages * PAGE_STORE_BYTES + store->capacity * sizeof *store->entry +
           store->bucket_count * sizeof *store->bucket;
}

uint64_t page_store_pages(const struct page_store *store)
{
    return store->pages;
}
