/* Checkpoints in a file of their own, beside a journal: timeline_load and timeline_save.
 *
 * The file, all integers little-endian: a header of HEADER_BYTES (offsets below); the checkpoints' bytes, one behind the other, as a
 * zstd frame; for each page that they name, in their order, its number in this file (u32; 0: zeros), as a zstd frame; the pages from
 * number 1 on, by groups of GROUP_PAGES: u32 packed size, zstd frame. All behind the header is hashed. A file is of one
 * journal and of one definition of the digests; nothing in it is believed. */
#include "replay/journal_format.h"
#include "replay/timeline_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAGIC "\x89VMRRCP\n"
#define VERSION 1u
#define HEADER_BYTES 96u
#define AT_VERSION 8u
#define AT_DIGEST_VERSION 12u
#define AT_IDENTITY 16u
#define AT_CHECKPOINTS 32u
#define AT_RAW 40u
#define AT_RAW_PACKED 48u
#define AT_NUMBERS 56u
#define AT_NUMBERS_PACKED 64u
#define AT_PAGES 72u
#define AT_HASH 80u
#define AT_HEADER_HASH 88u
#define GROUP_PAGES 256u
#define RAW_MAX (1ull << 30)
#define LEVEL 3
#define CHECKPOINTS_MAX 1024u

/* ---- one checkpoint ---- */

static void put_checkpoint(struct content_writer *writer, const struct checkpoint *checkpoint)
{
    content_put_u64(writer, checkpoint->icount);
    content_put_u64(writer, checkpoint->digest);
    content_put_u64(writer, checkpoint->place.frame);
    content_put_u32(writer, checkpoint->place.taken);
    content_put_u32(writer, checkpoint->place.within_frame);
    for (unsigned n = 0; n < CHECKPOINT_WORDS; n++)
        content_put_u64(writer, checkpoint->word[n]);
    machine_snapshot_write(checkpoint->snapshot, writer);
}

static bool get_checkpoint(struct timeline *timeline, struct content_reader *reader, struct checkpoint *checkpoint)
{
    *checkpoint = (struct checkpoint){.icount = content_get_u64(reader)};
    checkpoint->digest = content_get_u64(reader);
    checkpoint->place.frame = content_get_u64(reader);
    checkpoint->place.taken = content_get_u32(reader);
    checkpoint->place.within_frame = content_get_u32(reader) != 0;
    for (unsigned n = 0; n < CHECKPOINT_WORDS; n++)
        checkpoint->word[n] = content_get_u64(reader);
    checkpoint->snapshot = machine_snapshot_read(timeline->options.machine, reader);
    if (!checkpoint->snapshot)
        return false;
    checkpoint->position = machine_snapshot_position(checkpoint->snapshot);
    return true;
}

/* ---- saving ---- */

struct output {
    FILE *file;
    XXH3_state_t *hash;
    bool failed;
};

static void put(struct output *output, const void *bytes, size_t size_bytes)
{
    XXH3_64bits_update(output->hash, bytes, size_bytes);
    output->failed |= fwrite(bytes, 1, size_bytes, output->file) != size_bytes;
}

/* Its packed size. */
static uint64_t put_packed(struct output *output, const void *bytes, size_t size_bytes, bool with_size)
{
    size_t room = ZSTD_compressBound(size_bytes);
    uint8_t *packed = malloc(room + 1), size[4];
    CHECK(packed);
    size_t used = ZSTD_compress(packed, room, bytes, size_bytes, LEVEL);
    CHECK(!ZSTD_isError(used));
    le32_put(size, (uint32_t)used);
    if (with_size)
        put(output, size, sizeof size);
    put(output, packed, used);
    free(packed);
    return used;
}

/* Numbers the pages in the order in which they come first; list gets them by number - 1. */
static uint32_t number_pages(const struct content_writer *writer, uint8_t *numbers, uint32_t *list)
{
    uint32_t most = 0, count = 0;
    for (size_t n = 0; n < writer->page_count; n++)
        most = writer->page[n] > most ? writer->page[n] : most;
    uint32_t *number = calloc((size_t)most + 1, sizeof *number);
    CHECK(number);
    for (size_t n = 0; n < writer->page_count; n++) {
        uint32_t page = writer->page[n];
        if (page && !number[page]) {
            list[count] = page;
            number[page] = ++count;
        }
        le32_put(numbers + 4 * n, number[page]);
    }
    free(number);
    return count;
}

static void put_pages(struct output *output, const struct page_store *store, const uint32_t *list, uint32_t count)
{
    uint8_t *group = malloc(GROUP_PAGES * PAGE_STORE_BYTES);
    CHECK(group);
    for (uint32_t from = 0; from < count; from += GROUP_PAGES) {
        uint32_t pages = count - from < GROUP_PAGES ? count - from : GROUP_PAGES;
        for (uint32_t n = 0; n < pages; n++)
            page_store_read(store, list[from + n], group + (size_t)n * PAGE_STORE_BYTES);
        put_packed(output, group, (size_t)pages * PAGE_STORE_BYTES, true);
    }
    free(group);
}

static void put_file(struct output *output, const struct content_writer *writer, uint8_t header[HEADER_BYTES])
{
    static const uint8_t nothing[HEADER_BYTES];
    uint8_t *numbers = malloc(4 * writer->page_count + 1);
    uint32_t *list = malloc(sizeof *list * (writer->page_count + 1));
    CHECK(numbers && list);
    output->failed |= fwrite(nothing, 1, HEADER_BYTES, output->file) != HEADER_BYTES;
    le64_put(header + AT_RAW, writer->size_bytes);
    le64_put(header + AT_RAW_PACKED, put_packed(output, writer->bytes, writer->size_bytes, false));
    uint32_t count = number_pages(writer, numbers, list);
    le64_put(header + AT_NUMBERS, writer->page_count);
    le64_put(header + AT_NUMBERS_PACKED, put_packed(output, numbers, 4 * writer->page_count, false));
    le64_put(header + AT_PAGES, count);
    put_pages(output, writer->store, list, count);
    le64_put(header + AT_HASH, XXH3_64bits_digest(output->hash));
    le64_put(header + AT_HEADER_HASH, XXH3_64bits(header, AT_HEADER_HASH));
    output->failed |= fseek(output->file, 0, SEEK_SET) != 0;
    output->failed |= fwrite(header, 1, HEADER_BYTES, output->file) != HEADER_BYTES;
    free(numbers);
    free(list);
}

static enum status make_header(struct timeline *timeline, uint8_t header[HEADER_BYTES], struct error *error)
{
    struct replay_identity identity;
    enum status status = replay_player_identity(timeline->options.player, &identity, error);
    if (status)
        return status;
    memset(header, 0, HEADER_BYTES);
    memcpy(header, MAGIC, 8);
    le32_put(header + AT_VERSION, VERSION);
    le32_put(header + AT_DIGEST_VERSION, MACHINE_DIGEST_VERSION);
    le64_put(header + AT_IDENTITY, identity.low);
    le64_put(header + AT_IDENTITY + 8, identity.high);
    return STATUS_OK;
}

/* Those that are at least so far from the one chosen before. */
static uint64_t choose(struct timeline *timeline, unsigned most, struct content_writer *writer)
{
    uint64_t count = 0, end = timeline->checkpoint[timeline->count - 1].icount, next = 0;
    for (size_t n = 1; n < timeline->count; n++) {
        uint64_t at = timeline->checkpoint[n].icount;
        if (at < next || writer->size_bytes > RAW_MAX / 2)
            continue;
        put_checkpoint(writer, &timeline->checkpoint[n]);
        next = at + end / (most ? most : 1);
        count++;
    }
    return count;
}

enum status timeline_save(struct timeline *timeline, const char *path, unsigned most, struct error *error)
{
    uint8_t header[HEADER_BYTES];
    struct content_writer writer = {.store = timeline->store};
    char *making = malloc(strlen(path) + 16);
    CHECK(making);
    sprintf(making, "%s.XXXXXX", path);
    enum status status = make_header(timeline, header, error);
    int file = status ? -1 : mkstemp(making);
    if (!status && file < 0)
        status = error_status(error, STATUS_IO, "%s: can't be made: %s", making, strerror(errno));
    if (!status) {
        struct output output = {.file = fdopen(file, "w+b"), .hash = XXH3_createState()};
        CHECK(output.file && output.hash);
        XXH3_64bits_reset(output.hash);
        le64_put(header + AT_CHECKPOINTS, choose(timeline, most, &writer));
        put_file(&output, &writer, header);
        output.failed |= fclose(output.file) != 0;
        XXH3_freeState(output.hash);
        if (output.failed || rename(making, path) != 0) {
            status = error_status(error, STATUS_IO, "%s: can't be written: %s", path, strerror(errno));
            unlink(making);
        }
    }
    content_writer_free(&writer);
    free(making);
    return status;
}

/* ---- loading ---- */

struct input_file {
    const char *path;
    uint8_t *bytes; /* all of it */
    size_t size_bytes;
    uint64_t checkpoints, raw, raw_packed, numbers, numbers_packed, pages;
};

static enum status damaged(const struct input_file *in, struct error *error, const char *what)
{
    return error_status(error, STATUS_CORRUPT, "%s: %s", in->path, what);
}

static enum status read_all(struct input_file *in, struct error *error)
{
    struct stat stat;
    int file = open(in->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return error_status(error, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s", in->path, strerror(errno));
    bool regular = fstat(file, &stat) == 0 && S_ISREG(stat.st_mode) && (uint64_t)stat.st_size < 16 * RAW_MAX;
    in->size_bytes = regular ? (size_t)stat.st_size : 0;
    in->bytes = malloc(in->size_bytes + 1);
    size_t done = 0;
    for (ssize_t n = 1; in->bytes && done < in->size_bytes && n > 0; done += n > 0 ? (size_t)n : 0)
        n = pread(file, in->bytes + done, in->size_bytes - done, (off_t)done);
    close(file);
    return in->bytes && done == in->size_bytes && done >= HEADER_BYTES
               ? STATUS_OK
               : damaged(in, error, "not a file of checkpoints");
}

static enum status check_header(struct timeline *timeline, struct input_file *in, struct error *error)
{
    uint8_t expected[HEADER_BYTES];
    const uint8_t *header = in->bytes;
    enum status status = make_header(timeline, expected, error);
    if (status)
        return status;
    if (memcmp(header, expected, 8) || le64_get(header + AT_HEADER_HASH) != XXH3_64bits(header, AT_HEADER_HASH))
        return damaged(in, error, "not a file of checkpoints");
    if (memcmp(header, expected, AT_CHECKPOINTS))
        return error_status(error, STATUS_INVALID, "%s: checkpoints of another journal, or of another vmrr", in->path);
    if (le64_get(header + AT_HASH) != XXH3_64bits(header + HEADER_BYTES, in->size_bytes - HEADER_BYTES))
        return damaged(in, error, "checksum: wrong");
    in->checkpoints = le64_get(header + AT_CHECKPOINTS);
    in->raw = le64_get(header + AT_RAW);
    in->raw_packed = le64_get(header + AT_RAW_PACKED);
    in->numbers = le64_get(header + AT_NUMBERS);
    in->numbers_packed = le64_get(header + AT_NUMBERS_PACKED);
    in->pages = le64_get(header + AT_PAGES);
    uint64_t left = in->size_bytes - HEADER_BYTES;
    bool fits = in->raw <= RAW_MAX && in->numbers <= RAW_MAX / 4 && in->raw_packed <= left &&
                in->numbers_packed <= left - in->raw_packed;
    return fits ? STATUS_OK : damaged(in, error, "header: sizes");
}

static uint8_t *unpack(const uint8_t *packed, uint64_t packed_bytes, uint64_t size_bytes)
{
    uint8_t *bytes = malloc(size_bytes + 1);
    if (bytes && ZSTD_decompress(bytes, size_bytes, packed, packed_bytes) != size_bytes) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

/* The pages by number, each held; entry 0 is that of zeros. False: damaged, or more than may be. */
static bool load_pages(struct timeline *timeline, const struct input_file *in, uint32_t *page)
{
    const uint8_t *at = in->bytes + HEADER_BYTES + in->raw_packed + in->numbers_packed;
    const uint8_t *end = in->bytes + in->size_bytes;
    for (uint64_t from = 0; from < in->pages; from += GROUP_PAGES) {
        uint64_t pages = in->pages - from < GROUP_PAGES ? in->pages - from : GROUP_PAGES;
        uint32_t packed = end - at < 4 ? UINT32_MAX : le32_get(at);
        if (packed > (uint64_t)(end - at) - 4)
            return false;
        uint8_t *group = unpack(at + 4, packed, pages * PAGE_STORE_BYTES);
        for (uint64_t n = 0; group && n < pages; n++)
            page[1 + from + n] = page_store_put(timeline->store, group + n * PAGE_STORE_BYTES);
        if (!group)
            return false;
        free(group);
        at += 4 + (size_t)packed;
    }
    return at == end;
}

/* All of them, or none. */
static bool load_checkpoints(struct timeline *timeline, const struct input_file *in, struct content_reader *reader)
{
    uint64_t count = 0, room = in->checkpoints < CHECKPOINTS_MAX ? in->checkpoints : CHECKPOINTS_MAX;
    struct checkpoint *list = calloc(room + 1, sizeof *list);
    struct position end = replay_player_end(timeline->options.player);
    CHECK(list);
    bool sound = in->checkpoints <= CHECKPOINTS_MAX;
    while (sound && count < room && (sound = get_checkpoint(timeline, reader, &list[count])))
        sound = position_reached(end, list[count++].position);
    sound = sound && reader->at == reader->end && reader->page == reader->page_end;
    for (uint64_t n = 0; n < count; n++) {
        if (sound)
            timeline_insert(timeline, &list[n]);
        else
            checkpoint_free(&list[n]);
    }
    free(list);
    return sound;
}

/* numbers become pages, in place. False: one is out of range. */
static bool find_pages(const struct input_file *in, const uint8_t *numbers, const uint32_t *page, uint32_t *list)
{
    for (uint64_t n = 0; n < in->numbers; n++) {
        uint32_t number = le32_get(numbers + 4 * n);
        if (number > in->pages)
            return false;
        list[n] = page[number];
    }
    return true;
}

static bool load_all(struct timeline *timeline, const struct input_file *in)
{
    const uint8_t *packed = in->bytes + HEADER_BYTES;
    uint8_t *raw = unpack(packed, in->raw_packed, in->raw);
    uint8_t *numbers = unpack(packed + in->raw_packed, in->numbers_packed, 4 * in->numbers);
    uint32_t *page = calloc(in->pages + 1, sizeof *page), *list = malloc(4 * in->numbers + 4);
    bool loaded =
        raw && numbers && page && list && load_pages(timeline, in, page) && find_pages(in, numbers, page, list);
    struct content_reader reader = {.store = timeline->store,
                                    .at = raw,
                                    .end = raw + (loaded ? in->raw : 0),
                                    .page = list,
                                    .page_end = list + (loaded ? in->numbers : 0)};
    loaded = loaded && load_checkpoints(timeline, in, &reader);
    for (uint64_t n = 1; page && n <= in->pages; n++)
        page_store_drop(timeline->store, page[n]);
    free(raw);
    free(numbers);
    free(page);
    free(list);
    return loaded;
}

enum status timeline_load(struct timeline *timeline, const char *path, struct error *error)
{
    struct input_file in = {.path = path};
    enum status status = read_all(&in, error);
    if (!status)
        status = check_header(timeline, &in, error);
    if (!status && in.pages > timeline->options.memory_bytes / PAGE_STORE_BYTES)
        status = error_status(error, STATUS_NO_MEMORY, "%s: its checkpoints take more memory than they may", path);
    if (!status && !load_all(timeline, &in))
        status = damaged(&in, error, "content: not checkpoints of this machine");
    free(in.bytes);
    return status;
}
