/* Journal reader and player: whatever the file, an error with a text or an end; no more memory than the format allows.
 * Input: one byte of choice, then: 0 a journal file as it is; 1 one whose checksums and sequence numbers are made right
 * first, so that what lies under them is reached; 2 the content of an events frame; 3 of a config frame; 4 of a sectors
 * frame; 5 of a steps frame. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "replay/journal_steps.h"
#include "replay/player.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

/* ---- checksums made right ---- */

static void repair_raw_hash(uint8_t *header, const uint8_t *packed, uint32_t packed_bytes)
{
    uint32_t raw_bytes = le32_get(header + 48);
    if (header[5] & JOURNAL_FLAG_STORED) {
        le32_put(header + 48, packed_bytes);
        le64_put(header + 64, journal_hash64(packed, packed_bytes));
        return;
    }
    uint8_t *raw = raw_bytes <= JOURNAL_FRAME_RAW_MAX ? malloc(raw_bytes + 1) : NULL;
    size_t n = raw ? ZSTD_decompress(raw, raw_bytes, packed, packed_bytes) : 0;
    if (raw && n == raw_bytes)
        le64_put(header + 64, journal_hash64(raw, n));
    free(raw);
}

static void repair(uint8_t *file, size_t size)
{
    if (size < JOURNAL_FILE_HEADER_BYTES)
        return;
    memcpy(file, JOURNAL_MAGIC, JOURNAL_MAGIC_BYTES);
    le16_put(file + 8, JOURNAL_MAJOR);
    le32_put(file + 12, JOURNAL_FILE_HEADER_BYTES);
    le64_put(file + 24, journal_hash64(file, 24));
    uint64_t sequence = 0;
    for (size_t at = JOURNAL_FILE_HEADER_BYTES; size - at >= JOURNAL_FRAME_HEADER_BYTES; sequence++) {
        uint8_t *header = file + at, *packed = header + JOURNAL_FRAME_HEADER_BYTES;
        size_t left = size - at - JOURNAL_FRAME_HEADER_BYTES;
        uint32_t packed_bytes = le32_get(header + 52);
        if (packed_bytes > left)
            le32_put(header + 52, packed_bytes = (uint32_t)left);
        le32_put(header, JOURNAL_FRAME_MAGIC);
        le16_put(header + 6, JOURNAL_FRAME_HEADER_BYTES);
        le64_put(header + 8, sequence);
        repair_raw_hash(header, packed, packed_bytes);
        le64_put(header + 72, journal_hash64_pair(header, 72, packed, packed_bytes));
        at += JOURNAL_FRAME_HEADER_BYTES + packed_bytes;
    }
}

/* ---- a whole file ---- */

static void drain(struct replay_player *player)
{
    const struct journal_event *event;
    struct error error = {{0}};
    char text[192];
    uint64_t count = 0;
    while ((event = player_head(player)) != NULL) {
        CHECK(event->trace.position.icount < JOURNAL_POSITION_LIMIT);
        if (count++ < 100)
            CHECK(journal_event_text(event, text, sizeof text)[0]);
        (void)player_next_deliver(player);
        player_accept_head(player);
    }
    enum status status = replay_player_result(player, &error);
    CHECK(!status == !error.text[0]);
}

static void read_drives(struct replay_player *player)
{
    uint8_t data[64 * BLOCK_SECTOR_BYTES];
    for (uint32_t drive = 0; drive < JOURNAL_DRIVES; drive++) {
        const struct journal_drive *config = &replay_player_config(player)->drive[drive];
        struct block_image *image = config->present ? replay_player_image(player, drive, NULL) : NULL;
        if (image)
            (void)image->ops->read(image, 0, config->size_sectors < 64 ? (uint32_t)config->size_sectors : 64, data);
        block_image_destroy(image);
    }
}

static void run_file(const uint8_t *data, size_t size, bool repaired)
{
    char name[64];
    struct error error = {{0}};
    int file = memfd_create("journal", MFD_CLOEXEC);
    uint8_t *copy = malloc(size + 1);
    CHECK(file >= 0 && copy);
    memcpy(copy, data, size);
    if (repaired)
        repair(copy, size);
    CHECK(write(file, copy, size) == (ssize_t)size);
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    struct replay_player_options options = {.path = name};
    struct replay_player *player = replay_player_open(&options, &error);
    if (player) {
        drain(player);
        read_drives(player);
        (void)replay_player_end(player);
        (void)replay_player_stop(player);
        replay_player_destroy(player);
    } else {
        CHECK(error.text[0]);
    }
    free(copy);
    close(file);
}

/* ---- contents ---- */

static void run_events(const uint8_t *data, size_t size)
{
    struct journal_decoder *decoder = journal_decoder_create();
    struct byte_source source = {.at = data, .end = data + size};
    struct journal_event event;
    struct error error = {{0}};
    uint64_t tokens = byte_source_varint(&source), implied = byte_source_varint(&source), count = 0;
    struct journal_frame frame = {.events = (uint32_t)(tokens + implied), .first = {100, 200}};
    enum status status = journal_decoder_start(decoder, data, size, &frame, &error);
    while (!status) {
        status = journal_decoder_next(decoder, &event, &error);
        CHECK(count++ <= frame.events);
        CHECK(status || (event.trace.position.icount < JOURNAL_POSITION_LIMIT));
    }
    CHECK(status == STATUS_END || error.text[0]);
    journal_decoder_destroy(decoder);
}

static void run_config(const uint8_t *data, size_t size)
{
    struct journal_config_reader *reader = calloc(1, sizeof *reader);
    struct error error = {{0}};
    CHECK(reader);
    enum status status = journal_config_parse(reader, data, size, "fuzz", 0, &error);
    CHECK(!status || error.text[0]);
    journal_config_free(&reader->config);
    free(reader);
}

static void run_sectors(const uint8_t *data, size_t size)
{
    struct sector_walk walk;
    struct sector_entry entry;
    unsigned count = 0;
    sector_walk_start(&walk, data, size, 7);
    while (sector_walk_next(&walk, &entry)) {
        CHECK(entry.drive < JOURNAL_MEDIA_MAX && entry.count && ++count <= 4096);
        CHECK(entry.zero || entry.number + entry.count <= walk.next_number_after);
    }
}

static void check_step(const struct journal_steps *steps, const struct journal_step *step, uint32_t drive)
{
    CHECK(step->file < steps->file_count && steps->file[step->file].drive == drive &&
          step->stack <= steps->stack_count);
    if (!step->stack)
        return;
    const struct journal_steps_stack *stack = &steps->stack[step->stack - 1];
    CHECK(stack->first + stack->depth <= steps->frame_count);
    for (size_t n = 0; n < stack->depth; n++)
        CHECK(steps->frame[stack->first + n] < steps->name_count);
}

static void run_steps(const uint8_t *data, size_t size)
{
    struct journal_steps steps;
    const char *fault = journal_steps_parse(&steps, data, size);
    for (size_t n = 0; !fault && n < steps.request_count; n++) {
        const struct journal_steps_request *request = &steps.request[n];
        CHECK(request->first + request->count <= steps.step_count);
        for (size_t at = 0; at < request->count; at++)
            check_step(&steps, &steps.step[request->first + at], request->drive);
    }
    CHECK(fault || steps.step_count * 7 <= size);
    journal_steps_free(&steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    switch (data[0] % 6) {
    case 0:
    case 1: run_file(data + 1, size - 1, data[0] % 6); break;
    case 2: run_events(data + 1, size - 1); break;
    case 3: run_config(data + 1, size - 1); break;
    case 4: run_sectors(data + 1, size - 1); break;
    default: run_steps(data + 1, size - 1);
    }
    return 0;
}
