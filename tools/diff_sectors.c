/* vmrr diff: what the disks hold when both runs have ended. Compared are the sectors that either guest read or wrote: what the
 * others hold is in no journal. Who put a sector there is the last request of its run that wrote to it, in order of
 * submission. */
#include "tools/diff.h"
#include "tools/event_cursor.h"
#include "tools/json_text.h"
#include "tools/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MAX (1u << 22) /* apart from each other, of a drive in a run */
#define CHUNK_SECTORS 128u

struct range {
    uint64_t start, end; /* sectors, end exclusive */
};

struct set {
    struct range *range;
    size_t count, capacity;
    bool too_many;
};

struct found {
    uint64_t start, end; /* sectors that differ, one after the other */
    uint32_t first_byte; /* of start */
    uint8_t byte[2];     /* there */
    bool known[2];       /* its run read or wrote start */
    bool has_write[2];   /* and wrote it: */
    struct diff_request write[2];
};

struct compare {
    struct diff *diff;
    struct session *const *session;
    uint32_t drive;
    struct set set[2];
    uint64_t sectors_compared, sectors_differ, ranges;
    struct found *found; /* diff->max at most */
    size_t found_count;
    uint8_t *data[2];
};

/* ---- which sectors ---- */

static int by_start(const void *a, const void *b)
{
    const struct range *left = a, *right = b;
    return left->start < right->start ? -1 : left->start > right->start;
}

static void merge(struct set *set)
{
    size_t kept = 0;
    if (set->count)
        qsort(set->range, set->count, sizeof *set->range, by_start);
    for (size_t n = 0; n < set->count; n++) {
        struct range *last = kept ? &set->range[kept - 1] : NULL;
        if (last && set->range[n].start <= last->end)
            last->end = set->range[n].end > last->end ? set->range[n].end : last->end;
        else
            set->range[kept++] = set->range[n];
    }
    set->count = kept;
}

static void grow(struct set *set)
{
    merge(set);
    if (set->count < set->capacity / 2)
        return;
    set->too_many = set->capacity >= RANGES_MAX;
    if (set->too_many)
        return;
    set->capacity = set->capacity ? set->capacity * 2 : 1024;
    set->range = realloc(set->range, set->capacity * sizeof *set->range);
    CHECK(set->range);
}

static void add(struct set *set, uint64_t start, uint64_t end)
{
    if (set->count && set->range[set->count - 1].end == start) {
        set->range[set->count - 1].end = end;
        return;
    }
    if (set->count == set->capacity)
        grow(set);
    if (set->count < set->capacity)
        set->range[set->count++] = (struct range){start, end};
}

static bool writes(const struct diff_request *request)
{
    return request->op != TRACE_BLOCK_READ && request->op != TRACE_BLOCK_FLUSH;
}

static void gather(struct compare *compare, unsigned side)
{
    struct diff_request request;
    FILE *file = compare->diff->requests[side];
    rewind(file);
    while (diff_request_next(file, compare->drive, &request)) {
        bool read = request.op == TRACE_BLOCK_READ && request.completed && !request.status;
        if ((read || writes(&request)) && request.sectors && request.sector < UINT64_MAX - request.sectors)
            add(&compare->set[side], request.sector, request.sector + request.sectors);
    }
    merge(&compare->set[side]);
}

/* The first range at or behind sector that is all in or all out of either set; false: neither has one there. */
static bool next_range(const struct compare *compare, size_t at[2], uint64_t sector, struct range *range, bool known[2])
{
    uint64_t start = UINT64_MAX, end = UINT64_MAX;
    for (unsigned side = 0; side < 2; side++) {
        const struct set *set = &compare->set[side];
        while (at[side] < set->count && set->range[at[side]].end <= sector)
            at[side]++;
        if (at[side] < set->count && set->range[at[side]].start < start)
            start = set->range[at[side]].start;
    }
    if (start == UINT64_MAX)
        return false;
    start = start < sector ? sector : start;
    for (unsigned side = 0; side < 2; side++) {
        const struct set *set = &compare->set[side];
        known[side] = at[side] < set->count && set->range[at[side]].start <= start;
        uint64_t edge = at[side] == set->count ? UINT64_MAX
                        : known[side]          ? set->range[at[side]].end
                                               : set->range[at[side]].start;
        end = edge < end ? edge : end;
    }
    *range = (struct range){start, end};
    return true;
}

/* ---- what they hold ---- */

static void note(struct compare *compare, uint64_t sector, const uint8_t *a, const uint8_t *b, const bool known[2])
{
    struct found *last = compare->found_count ? &compare->found[compare->found_count - 1] : NULL;
    bool goes_on = last && last->end == sector && last->known[0] == known[0] && last->known[1] == known[1];
    uint32_t byte = 0;
    compare->sectors_differ++;
    if (goes_on) {
        last->end++;
        return;
    }
    compare->ranges++;
    if (compare->found_count == compare->diff->max)
        return;
    while (byte < BLOCK_SECTOR_BYTES - 1 && a[byte] == b[byte])
        byte++;
    compare->found[compare->found_count++] = (struct found){.start = sector,
                                                            .end = sector + 1,
                                                            .first_byte = byte,
                                                            .byte = {a[byte], b[byte]},
                                                            .known = {known[0], known[1]}};
}

static bool read_both(struct compare *compare, uint64_t sector, uint32_t sectors)
{
    for (unsigned side = 0; side < 2; side++) {
        struct block_image *image = block_drive_image(compare->session[side]->drive[compare->drive]);
        if (!image || sector + sectors > image->size_sectors ||
            image->ops->read(image, sector, sectors, compare->data[side]) != STATUS_OK)
            return false;
    }
    return true;
}

static bool compare_range(struct compare *compare, struct range range, const bool known[2])
{
    while (range.start < range.end) {
        uint64_t left = range.end - range.start;
        uint32_t sectors = left < CHUNK_SECTORS ? (uint32_t)left : CHUNK_SECTORS;
        if (!read_both(compare, range.start, sectors))
            return false;
        for (uint32_t n = 0; n < sectors; n++) {
            const uint8_t *a = compare->data[0] + (size_t)n * BLOCK_SECTOR_BYTES;
            const uint8_t *b = compare->data[1] + (size_t)n * BLOCK_SECTOR_BYTES;
            if (known[0] != known[1] || memcmp(a, b, BLOCK_SECTOR_BYTES))
                note(compare, range.start + n, a, b, known);
        }
        compare->sectors_compared += sectors;
        range.start += sectors;
    }
    return true;
}

static bool compare_sets(struct compare *compare)
{
    struct range range;
    bool known[2], good = true;
    size_t at[2] = {0, 0};
    for (uint64_t sector = 0; good && next_range(compare, at, sector, &range, known); sector = range.end)
        good = compare_range(compare, range, known);
    return good;
}

/* ---- who wrote them ---- */

static void find_writes(struct compare *compare, unsigned side)
{
    struct diff_request request;
    FILE *file = compare->diff->requests[side];
    rewind(file);
    while (compare->found_count && diff_request_next(file, compare->drive, &request)) {
        for (size_t n = 0; n < compare->found_count && writes(&request); n++) {
            struct found *found = &compare->found[n];
            if (request.sector > found->start || found->start - request.sector >= request.sectors)
                continue;
            found->has_write[side] = true;
            found->write[side] = request;
        }
    }
}

/* ---- the report ---- */

static json_t *side_json(const struct compare *compare, const struct found *found, unsigned side)
{
    json_t *object = json_object();
    json_object_set_new(object, "known", json_boolean(found->known[side]));
    if (found->known[side])
        json_set_hex(object, "byte", found->byte[side], 2);
    json_object_set_new(object, "written_by",
                        found->has_write[side] ? diff_request_json(compare->diff, side, &found->write[side])
                                               : json_null());
    return object;
}

static json_t *found_json(const struct compare *compare, const struct found *found)
{
    json_t *object = json_object();
    unsigned bits = found->byte[0] ^ found->byte[1];
    json_set_number(object, "drive", compare->drive);
    json_set_number(object, "sector", found->start);
    json_set_number(object, "sectors", found->end - found->start);
    bool both = found->known[0] && found->known[1];
    json_object_set_new(object, "first_byte", both ? json_integer(found->first_byte) : json_null());
    bool single = both && bits && !(bits & (bits - 1));
    json_object_set_new(object, "single_bit", single ? json_integer(__builtin_ctz(bits)) : json_null());
    json_object_set_new(object, "a", side_json(compare, found, 0));
    json_object_set_new(object, "b", side_json(compare, found, 1));
    return object;
}

static void compare_drive(struct compare *compare, json_t *sectors, json_t *ranges)
{
    struct diff *diff = compare->diff;
    for (unsigned side = 0; side < 2; side++)
        gather(compare, side);
    if (compare->set[0].too_many || compare->set[1].too_many)
        diff_cannot(diff, "drive %u: more than %u separate ranges of sectors: not compared", compare->drive,
                    RANGES_MAX);
    else if (!compare_sets(compare))
        diff_cannot(diff, "drive %u: sectors can't be read in both replays: sizes or media are not the same",
                    compare->drive);
    for (unsigned side = 0; side < 2; side++)
        find_writes(compare, side);
    for (size_t n = 0; n < compare->found_count; n++)
        json_array_append_new(ranges, found_json(compare, &compare->found[n]));
    diff->different |= compare->sectors_differ != 0;
    json_t *drive = json_object();
    json_set_number(drive, "drive", compare->drive);
    json_set_number(drive, "compared", compare->sectors_compared);
    json_set_number(drive, "differ", compare->sectors_differ);
    json_set_number(drive, "ranges", compare->ranges);
    json_array_append_new(json_object_get(sectors, "drives"), drive);
}

/* Drives, a bit each, into which another medium came: what lies in them is not what they began with. */
static uint32_t find_moved(const struct diff *diff)
{
    struct journal_event event;
    struct error error;
    uint32_t moved = 0;
    for (unsigned side = 0; side < 2; side++) {
        struct event_cursor *cursor = event_cursor_create(diff->reader[side], EVENT_CURSOR_INPUTS);
        while (event_cursor_next(cursor, &event, &error) == STATUS_OK) {
            if (event.input.id == INPUT_MEDIA_CHANGE && event.input.target < JOURNAL_DRIVES)
                moved |= 1u << event.input.target;
        }
        event_cursor_destroy(cursor);
    }
    return moved;
}

void diff_sectors(struct diff *diff, struct session *const session[2])
{
    uint32_t moved = find_moved(diff);
    json_t *sectors = json_object(), *ranges = json_array();
    json_object_set_new(diff->report, "sectors", sectors);
    json_object_set_new(sectors, "drives", json_array());
    json_object_set_new(sectors, "ranges", ranges);
    for (uint32_t drive = 0; drive < JOURNAL_DRIVES; drive++) {
        struct compare compare = {.diff = diff, .session = session, .drive = drive};
        if (!session[0]->drive[drive] || !session[1]->drive[drive])
            continue;
        if (moved >> drive & 1) {
            diff_cannot(diff, "drive %u: its medium was changed: sectors not compared", drive);
            continue;
        }
        compare.found = calloc(diff->max, sizeof *compare.found);
        compare.data[0] = malloc(CHUNK_SECTORS * BLOCK_SECTOR_BYTES);
        compare.data[1] = malloc(CHUNK_SECTORS * BLOCK_SECTOR_BYTES);
        CHECK(compare.found && compare.data[0] && compare.data[1]);
        compare_drive(&compare, sectors, ranges);
        free(compare.found);
        for (unsigned side = 0; side < 2; side++) {
            free(compare.data[side]);
            free(compare.set[side].range);
        }
    }
}
