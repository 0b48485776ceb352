/* Sector contents for the journal (FORMAT.md, "Sectors frame"): each sector of a medium once, each content once. */
#include "replay/sector_store.h"
#include "replay/replay.h"

#include <pthread.h>
#include <stdlib.h>

#define KNOWN_CHUNK_SECTORS 32768u
#define CONTENTS_MAX ((JOURNAL_FRAME_RAW_MAX - (64u << 10)) / BLOCK_SECTOR_BYTES)
#define ENTRIES_MAX 2000u /* of at most 26 bytes, so that all fits one frame */

enum entry_type { ENTRY_ZERO, ENTRY_NEW, ENTRY_AGAIN, ENTRY_FAILED };

struct known {
    uint64_t size_sectors, chunk_count; /* size: the smallest so far, what lies behind it has no first content */
    uint64_t **chunk;                   /* bit maps of KNOWN_CHUNK_SECTORS, made when needed */
};

struct content {
    struct journal_hash hash;
    uint64_t number_plus_one; /* 0: free */
};

struct sector_store {
    pthread_mutex_t lock;
    struct journal_writer *writer;
    struct known *medium; /* by number; those that are not there have no size */
    uint32_t medium_count;
    struct content *table; /* open addressing, at most half full */
    size_t table_size, table_used;
    uint64_t next_number;
    struct byte_sink entries, contents, frame;
    uint32_t entry_count, content_count;
    /* the entry that grows */
    bool open;
    uint32_t open_drive, open_count;
    uint64_t open_sector, open_number;
    enum entry_type open_type;
};

struct sector_store *sector_store_create(struct journal_writer *writer)
{
    struct sector_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    pthread_mutex_init(&store->lock, NULL);
    store->writer = writer;
    store->table_size = 4096;
    store->table = calloc(store->table_size, sizeof *store->table);
    if (!store->table) {
        sector_store_destroy(store);
        return NULL;
    }
    return store;
}

void sector_store_destroy(struct sector_store *store)
{
    if (!store)
        return;
    for (uint32_t m = 0; m < store->medium_count; m++) {
        struct known *known = &store->medium[m];
        for (uint64_t i = 0; i < known->chunk_count; i++)
            free(known->chunk[i]);
        free(known->chunk);
    }
    free(store->medium);
    free(store->table);
    byte_sink_free(&store->entries);
    byte_sink_free(&store->contents);
    byte_sink_free(&store->frame);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static bool grow_media(struct sector_store *store, uint32_t count)
{
    struct known *media = realloc(store->medium, count * sizeof *media);
    if (!media)
        return false;
    memset(media + store->medium_count, 0, (count - store->medium_count) * sizeof *media);
    store->medium = media;
    store->medium_count = count;
    return true;
}

static bool add_medium(struct sector_store *store, uint32_t medium, uint64_t size_sectors)
{
    if (medium >= store->medium_count && !grow_media(store, medium + 1))
        return false;
    struct known *known = &store->medium[medium];
    CHECK(!known->chunk);
    known->size_sectors = size_sectors;
    known->chunk_count = (size_sectors + KNOWN_CHUNK_SECTORS - 1) / KNOWN_CHUNK_SECTORS;
    known->chunk = calloc(known->chunk_count + 1, sizeof *known->chunk);
    return known->chunk != NULL;
}

bool sector_store_add_medium(struct sector_store *store, uint32_t medium, uint64_t size_sectors)
{
    CHECK(medium < JOURNAL_MEDIA_MAX);
    pthread_mutex_lock(&store->lock);
    bool added = add_medium(store, medium, size_sectors);
    pthread_mutex_unlock(&store->lock);
    return added;
}

void sector_store_limit(struct sector_store *store, uint32_t medium, uint64_t size_sectors)
{
    pthread_mutex_lock(&store->lock);
    if (store->medium[medium].size_sectors > size_sectors)
        store->medium[medium].size_sectors = size_sectors;
    pthread_mutex_unlock(&store->lock);
}

/* Sets the bit; returns what it was. */
static bool known_set(struct known *known, uint64_t sector)
{
    if (sector >= known->size_sectors)
        return true;
    uint64_t **chunk = &known->chunk[sector / KNOWN_CHUNK_SECTORS];
    if (!*chunk)
        *chunk = calloc(KNOWN_CHUNK_SECTORS / 64, sizeof **chunk);
    CHECK(*chunk);
    uint64_t bit = UINT64_C(1) << sector % 64;
    uint64_t *word = &(*chunk)[sector % KNOWN_CHUNK_SECTORS / 64];
    bool was = *word & bit;
    *word |= bit;
    return was;
}

/* ---- contents by hash ---- */

static struct content *content_slot(struct content *table, size_t size, struct journal_hash hash)
{
    size_t at = hash.low & (size - 1);
    while (table[at].number_plus_one && (table[at].hash.low != hash.low || table[at].hash.high != hash.high))
        at = (at + 1) & (size - 1);
    return &table[at];
}

static bool contents_grow(struct sector_store *store)
{
    size_t size = store->table_size * 2;
    struct content *table = calloc(size, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < store->table_size; i++)
        if (store->table[i].number_plus_one)
            *content_slot(table, size, store->table[i].hash) = store->table[i];
    free(store->table);
    store->table = table;
    store->table_size = size;
    return true;
}

static bool all_zero(const uint8_t *data)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < BLOCK_SECTOR_BYTES; i += 8)
        any |= le64_get(data + i);
    return any == 0;
}

/* ---- entries ---- */

static void close_entry(struct sector_store *store)
{
    if (!store->open)
        return;
    store->open = false;
    byte_sink_put_varint(&store->entries, store->open_drive);
    byte_sink_put_varint(&store->entries, store->open_sector);
    byte_sink_put_varint(&store->entries, store->open_count);
    byte_sink_put_u8(&store->entries, (uint8_t)store->open_type);
    if (store->open_type == ENTRY_AGAIN)
        byte_sink_put_varint(&store->entries, store->open_number);
    store->entry_count++;
}

static void add_sector(struct sector_store *store, uint32_t drive, uint64_t sector, enum entry_type type,
                       uint64_t number)
{
    bool joins = store->open && store->open_drive == drive && store->open_type == type &&
                 store->open_sector + store->open_count == sector &&
                 (type != ENTRY_AGAIN || store->open_number + store->open_count == number);
    if (joins) {
        store->open_count++;
        return;
    }
    close_entry(store);
    store->open = true;
    store->open_drive = drive;
    store->open_sector = sector;
    store->open_count = 1;
    store->open_type = type;
    store->open_number = number;
}

static enum status flush_locked(struct sector_store *store)
{
    close_entry(store);
    if (!store->entry_count)
        return STATUS_OK;
    struct byte_sink *frame = &store->frame;
    frame->used = 0;
    byte_sink_put_varint(frame, store->entry_count);
    byte_sink_put_varint(frame, store->content_count);
    byte_sink_put(frame, store->entries.bytes, store->entries.used);
    byte_sink_put(frame, store->contents.bytes, store->contents.used);
    store->entry_count = store->content_count = 0;
    store->entries.used = store->contents.used = 0;
    if (frame->failed || store->entries.failed || store->contents.failed)
        return STATUS_NO_MEMORY;
    struct position last = journal_writer_last(store->writer);
    struct journal_frame_info info = {.kind = JOURNAL_FRAME_SECTORS, .first = last, .last = last};
    return journal_writer_frame(store->writer, &info, frame->bytes, frame->used);
}

static enum status note_sector(struct sector_store *store, uint32_t medium, uint64_t sector, const uint8_t *data)
{
    if (all_zero(data)) {
        add_sector(store, medium, sector, ENTRY_ZERO, 0);
        return STATUS_OK;
    }
    if (store->table_used * 2 >= store->table_size && !contents_grow(store))
        return STATUS_NO_MEMORY;
    struct journal_hash hash = journal_hash128(data, BLOCK_SECTOR_BYTES);
    struct content *content = content_slot(store->table, store->table_size, hash);
    if (content->number_plus_one) {
        add_sector(store, medium, sector, ENTRY_AGAIN, content->number_plus_one - 1);
        return STATUS_OK;
    }
    *content = (struct content){hash, ++store->next_number};
    store->table_used++;
    byte_sink_put(&store->contents, data, BLOCK_SECTOR_BYTES);
    store->content_count++;
    add_sector(store, medium, sector, ENTRY_NEW, 0);
    return STATUS_OK;
}

enum status sector_store_note_read(struct sector_store *store, uint32_t medium, uint64_t sector, uint32_t sectors,
                                   const uint8_t *data)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < sectors && !status; i++) {
        if (known_set(&store->medium[medium], sector + i))
            continue;
        status = note_sector(store, medium, sector + i, data + (size_t)i * BLOCK_SECTOR_BYTES);
        if (!status && (store->content_count == CONTENTS_MAX || store->entry_count == ENTRIES_MAX))
            status = flush_locked(store);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

void sector_store_note_write(struct sector_store *store, uint32_t medium, uint64_t sector, uint32_t sectors)
{
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < sectors; i++)
        known_set(&store->medium[medium], sector + i);
    pthread_mutex_unlock(&store->lock);
}

static void add_failed(struct sector_store *store, uint32_t drive, uint32_t tag, uint64_t sector, uint32_t sectors,
                       const uint8_t *data)
{
    close_entry(store);
    byte_sink_put_varint(&store->entries, drive);
    byte_sink_put_varint(&store->entries, sector);
    byte_sink_put_varint(&store->entries, sectors);
    byte_sink_put_u8(&store->entries, ENTRY_FAILED);
    byte_sink_put_varint(&store->entries, tag);
    store->entry_count++;
    byte_sink_put(&store->contents, data, (size_t)sectors * BLOCK_SECTOR_BYTES);
    store->content_count += sectors;
    store->next_number += sectors;
}

enum status sector_store_note_failed(struct sector_store *store, uint32_t drive, uint32_t tag, uint64_t sector,
                                     uint32_t sectors, const uint8_t *data)
{
    enum status status = STATUS_OK;
    pthread_mutex_lock(&store->lock);
    while (sectors && !status) {
        uint32_t room = (uint32_t)(CONTENTS_MAX - store->content_count);
        uint32_t part = sectors < room ? sectors : room;
        add_failed(store, drive, tag, sector, part, data);
        sector += part;
        sectors -= part;
        data += (size_t)part * BLOCK_SECTOR_BYTES;
        if (store->content_count == CONTENTS_MAX || store->entry_count >= ENTRIES_MAX)
            status = flush_locked(store);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

enum status sector_store_flush(struct sector_store *store)
{
    pthread_mutex_lock(&store->lock);
    enum status status = flush_locked(store);
    pthread_mutex_unlock(&store->lock);
    return status;
}
