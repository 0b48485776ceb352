/* Index over the sectors frames of a journal (FORMAT.md, "Sectors frame"). Runs of sectors in one array, sorted by drive
 * and sector and without overlap; contents stay packed in the file but for the frames used last. */
#include "replay/sector_index.h"

#include <stdlib.h>

#define CACHE_FRAMES 16u
#define NUMBER_ZERO UINT64_MAX
#define SECTORS_MAX ((uint64_t)INT64_MAX / BLOCK_SECTOR_BYTES)

struct run {
    uint64_t sector, number;
    uint32_t drive, count;
};

struct contents {
    uint64_t first, count; /* content numbers */
    size_t frame, offset;  /* within the frame's raw content */
};

struct cached {
    uint8_t *raw;
    size_t frame;
    uint64_t used_at; /* 0: empty */
};

struct sector_index {
    struct journal_reader *reader;
    struct run *run;
    size_t run_count, run_capacity;
    struct contents *contents;
    size_t contents_count, contents_capacity;
    uint64_t next_number;
    struct sector_failed *failed;
    size_t failed_count, failed_capacity;
    bool broken; /* a frame was refused: nothing is known any more */
    struct cached cache[CACHE_FRAMES];
    uint64_t clock;
};

struct sector_index *sector_index_create(struct journal_reader *reader)
{
    struct sector_index *index = calloc(1, sizeof *index);
    if (index)
        index->reader = reader;
    return index;
}

void sector_index_destroy(struct sector_index *index)
{
    if (!index)
        return;
    for (unsigned i = 0; i < CACHE_FRAMES; i++)
        free(index->cache[i].raw);
    free(index->run);
    free(index->failed);
    free(index->contents);
    free(index);
}

/* ---- walking a frame ---- */

void sector_walk_start(struct sector_walk *walk, const uint8_t *raw, size_t raw_bytes, uint64_t next_number)
{
    *walk = (struct sector_walk){.source = {.at = raw, .end = raw + raw_bytes}};
    walk->entries_left = byte_source_varint(&walk->source);
    uint64_t contents = byte_source_varint(&walk->source);
    if (walk->source.failed || walk->entries_left > 4096 ||
        contents > byte_source_left(&walk->source) / BLOCK_SECTOR_BYTES) {
        walk->fault = "counts: expected at most 4096 entries, and contents within the frame";
        walk->entries_left = 0;
        return;
    }
    walk->contents_offset = raw_bytes - contents * BLOCK_SECTOR_BYTES;
    walk->source.end = raw + walk->contents_offset;
    walk->next_new = next_number;
    walk->new_end = walk->next_number_after = next_number + contents;
}

static const char *read_entry(struct sector_walk *walk, struct sector_entry *entry)
{
    uint64_t drive = byte_source_varint(&walk->source);
    entry->sector = byte_source_varint(&walk->source);
    uint64_t count = byte_source_varint(&walk->source);
    uint8_t type = byte_source_u8(&walk->source);
    entry->number = type == 2 ? byte_source_varint(&walk->source) : walk->next_new;
    uint64_t tag = type == 3 ? byte_source_varint(&walk->source) : 0;
    entry->zero = type == 0;
    entry->failed = type == 3;
    entry->tag = (uint32_t)tag;
    if (walk->source.failed || type > 3 || tag > UINT32_MAX)
        return "entry: expected drive, sector, count, and type 0, 1, 2 or 3";
    if (drive >= JOURNAL_MEDIA_MAX || count == 0 || count > UINT32_MAX)
        return "entry: expected a medium 0 .. 65535 and a count of 1 .. 2^32 - 1";
    if (type && (entry->number > walk->new_end || count > walk->new_end - entry->number))
        return "entry: expected contents that are stored here or before";
    if (type == 1 || type == 3)
        walk->next_new += count;
    entry->drive = (uint32_t)drive;
    entry->count = (uint32_t)count;
    return NULL;
}

bool sector_walk_next(struct sector_walk *walk, struct sector_entry *entry)
{
    if (walk->fault)
        return false;
    if (walk->entries_left == 0) {
        if (byte_source_left(&walk->source) || walk->next_new != walk->new_end)
            walk->fault = "entries: expected to use all contents and to end where these begin";
        return false;
    }
    walk->entries_left--;
    walk->fault = read_entry(walk, entry);
    return walk->fault == NULL;
}

/* ---- taking in ---- */

static bool grow(void **array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    while (wanted < needed)
        wanted *= 2;
    void *grown = realloc(*array, wanted * size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static int run_order(const struct run *a, const struct run *b)
{
    if (a->drive != b->drive)
        return a->drive < b->drive ? -1 : 1;
    return a->sector < b->sector ? -1 : a->sector > b->sector;
}

static int run_order_void(const void *a, const void *b)
{
    return run_order(a, b);
}

/* The new runs, at the end of the array, are sorted among themselves: merges them from the back. */
static bool merge(struct sector_index *index, size_t old_count)
{
    size_t fresh_count = index->run_count - old_count;
    struct run *fresh = malloc((fresh_count + 1) * sizeof *fresh);
    if (!fresh)
        return false;
    memcpy(fresh, index->run + old_count, fresh_count * sizeof *fresh);
    size_t to = index->run_count, a = old_count, b = fresh_count;
    while (b)
        index->run[--to] = a && run_order(&index->run[a - 1], &fresh[b - 1]) > 0 ? index->run[--a] : fresh[--b];
    free(fresh);
    return true;
}

static bool overlaps(const struct sector_index *index)
{
    for (size_t i = 1; i < index->run_count; i++) {
        const struct run *a = &index->run[i - 1], *b = &index->run[i];
        if (a->drive == b->drive && a->sector + a->count > b->sector)
            return true;
    }
    return false;
}

/* Of media that came later only the event that brought them says the size; of a drive that has grown the event that made
 * it so: then requests may have failed beyond the first size. */
static uint64_t size_of(const struct journal_config *config, const struct sector_entry *entry)
{
    if (entry->drive < JOURNAL_DRIVES && !config->drive[entry->drive].present)
        return 0;
    return entry->drive >= JOURNAL_DRIVES || entry->failed ? SECTORS_MAX : config->drive[entry->drive].size_sectors;
}

static const char *take_entries(struct sector_index *index, const struct journal_config *config, size_t frame,
                                struct sector_walk *walk)
{
    struct sector_entry entry;
    size_t old_count = index->run_count;
    while (sector_walk_next(walk, &entry)) {
        uint64_t size = size_of(config, &entry);
        if (entry.sector >= size || entry.count > size - entry.sector)
            return "entry: expected within its medium";
        if (entry.failed) {
            if (!grow((void **)&index->failed, &index->failed_capacity, index->failed_count + 1, sizeof *index->failed))
                return "out of memory";
            index->failed[index->failed_count++] = (struct sector_failed){.sector = entry.sector,
                                                                          .number = entry.number,
                                                                          .drive = entry.drive,
                                                                          .tag = entry.tag,
                                                                          .count = entry.count,
                                                                          .frame = frame};
            continue;
        }
        if (!grow((void **)&index->run, &index->run_capacity, index->run_count + 1, sizeof *index->run))
            return "out of memory";
        index->run[index->run_count++] = (struct run){
            .sector = entry.sector,
            .number = entry.zero ? NUMBER_ZERO : entry.number,
            .drive = entry.drive,
            .count = entry.count,
        };
    }
    if (walk->fault)
        return walk->fault;
    qsort(index->run + old_count, index->run_count - old_count, sizeof *index->run, run_order_void);
    if (!merge(index, old_count))
        return "out of memory";
    return overlaps(index) ? "entry: expected each sector once in a journal" : NULL;
}

enum status sector_index_add(struct sector_index *index, const struct journal_config *config, size_t frame,
                             const uint8_t *raw, struct error *error)
{
    const struct journal_frame *header = journal_reader_frame(index->reader, frame);
    struct sector_walk walk;
    sector_walk_start(&walk, raw, header->raw_bytes, index->next_number);
    const char *fault = take_entries(index, config, frame, &walk);
    index->broken |= fault != NULL;
    if (fault)
        return error_status(error, STATUS_CORRUPT, "%s: sectors frame at offset %llu: %s",
                            journal_reader_path(index->reader), (unsigned long long)header->offset, fault);
    if (walk.next_number_after == index->next_number)
        return STATUS_OK;
    if (!grow((void **)&index->contents, &index->contents_capacity, index->contents_count + 1, sizeof *index->contents))
        return error_status(error, STATUS_NO_MEMORY, "out of memory");
    index->contents[index->contents_count++] = (struct contents){
        .first = index->next_number,
        .count = walk.next_number_after - index->next_number,
        .frame = frame,
        .offset = walk.contents_offset,
    };
    index->next_number = walk.next_number_after;
    return STATUS_OK;
}

/* ---- finding ---- */

/* The first run that ends behind the sector. */
static size_t find_run(const struct sector_index *index, uint32_t drive, uint64_t sector)
{
    size_t low = 0, high = index->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct run *run = &index->run[middle];
        if (run->drive < drive || (run->drive == drive && run->sector + run->count <= sector))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t sector_index_run(const struct sector_index *index, uint32_t drive, uint64_t sector, uint32_t max, bool *known)
{
    size_t at = find_run(index, drive, sector);
    uint64_t length = max;
    *known = false;
    if (!index->broken && at < index->run_count && index->run[at].drive == drive) {
        const struct run *run = &index->run[at];
        *known = run->sector <= sector;
        length = *known ? run->sector + run->count - sector : run->sector - sector;
    }
    return length < max ? (uint32_t)length : max;
}

static const uint8_t *cached_frame(struct sector_index *index, size_t frame, struct error *error)
{
    struct cached *oldest = &index->cache[0];
    for (unsigned i = 0; i < CACHE_FRAMES; i++) {
        struct cached *cached = &index->cache[i];
        if (cached->used_at && cached->frame == frame) {
            cached->used_at = ++index->clock;
            return cached->raw;
        }
        if (cached->used_at < oldest->used_at)
            oldest = cached;
    }
    if (!oldest->raw)
        oldest->raw = malloc(JOURNAL_FRAME_RAW_MAX);
    oldest->used_at = 0;
    if (!oldest->raw || journal_reader_load(index->reader, frame, oldest->raw, error) != STATUS_OK)
        return NULL;
    oldest->used_at = ++index->clock;
    oldest->frame = frame;
    return oldest->raw;
}

static const struct contents *find_contents(const struct sector_index *index, uint64_t number)
{
    size_t low = 0, high = index->contents_count;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (index->contents[middle].first <= number)
            low = middle;
        else
            high = middle;
    }
    return &index->contents[low];
}

static enum status read_contents(struct sector_index *index, uint64_t number, uint32_t count, uint8_t *out,
                                 struct error *error)
{
    while (count) {
        const struct contents *contents = find_contents(index, number);
        uint64_t there = contents->first + contents->count - number;
        uint32_t part = there < count ? (uint32_t)there : count;
        const uint8_t *raw = cached_frame(index, contents->frame, error);
        if (!raw)
            return STATUS_CORRUPT;
        size_t bytes = (size_t)part * BLOCK_SECTOR_BYTES;
        memcpy(out, raw + contents->offset + (number - contents->first) * BLOCK_SECTOR_BYTES, bytes);
        out += bytes;
        number += part;
        count -= part;
    }
    return STATUS_OK;
}

enum status sector_index_read(struct sector_index *index, uint32_t drive, uint64_t sector, uint32_t sectors,
                              uint8_t *out, struct error *error)
{
    while (sectors) {
        const struct run *run = &index->run[find_run(index, drive, sector)];
        uint64_t skip = sector - run->sector;
        uint32_t part = run->count - skip < sectors ? (uint32_t)(run->count - skip) : sectors;
        enum status status = STATUS_OK;
        if (run->number == NUMBER_ZERO)
            memset(out, 0, (size_t)part * BLOCK_SECTOR_BYTES);
        else
            status = read_contents(index, run->number + skip, part, out, error);
        if (status)
            return status;
        out += (size_t)part * BLOCK_SECTOR_BYTES;
        sector += part;
        sectors -= part;
    }
    return STATUS_OK;
}

/* ---- after failed requests ---- */

bool sector_index_next_failed(const struct sector_index *index, uint32_t drive, uint32_t tag, size_t frame,
                              size_t *cursor, struct sector_failed *failed)
{
    while (!index->broken && *cursor < index->failed_count) {
        const struct sector_failed *entry = &index->failed[(*cursor)++];
        if (entry->drive != drive || entry->tag != tag || entry->frame >= frame)
            continue;
        *failed = *entry;
        return true;
    }
    return false;
}

enum status sector_index_read_failed(struct sector_index *index, const struct sector_failed *failed, uint8_t *out,
                                     struct error *error)
{
    return read_contents(index, failed->number, failed->count, out, error);
}
