/* Checkpoints of a journal that are damaged with their checksums made right again: whatever they say, they are not used, or they
 * are the ones that they were.
 *
 *   frames JOURNAL SEED ROUNDS
 *
 * A round writes the journal anew, without index and end mark, cut somewhere or not, with some of its pages, state or checkpoint frames
 * changed; then places of the run are gone to, each from a cold start, and must have the digests of a straight replay. */
#include "tests/timetravel/journey.h"

#include "replay/journal_reader.h"

#include <unistd.h>

#define PLACES 6

static uint64_t state;

struct place {
    uint64_t icount, digest;
};

static bool is_part(unsigned kind)
{
    return kind == JOURNAL_FRAME_CHECKPOINT || kind == JOURNAL_FRAME_PAGES || kind == JOURNAL_FRAME_STATE;
}

/* Returns the new size. */
static uint32_t damage(uint8_t *raw, uint32_t size)
{
    unsigned count = 1 + (unsigned)draw(&state, 3);
    for (unsigned n = 0; n < count; n++) {
        uint64_t at = draw(&state, 2) ? draw(&state, size) : draw(&state, size < 200 ? size : 200);
        switch (draw(&state, 6)) {
        case 0: raw[at] ^= (uint8_t)(1u << draw(&state, 8)); break;
        case 1: raw[at] = (uint8_t)draw(&state, 256); break;
        case 2: memset(raw + at, draw(&state, 2) ? 0xFF : 0, size - at < 8 ? 1 : 8); break;
        case 3: raw[at]++; break;
        case 4: raw[at]--; break;
        default: size -= size > 4096 && !draw(&state, 4) ? 4096 : size > 1 && !draw(&state, 4) ? 1 : 0;
        }
        if (at >= size)
            break;
    }
    return size;
}

static void put_frame(FILE *out, const struct journal_frame *from, uint64_t sequence, const uint8_t *raw, uint32_t size)
{
    uint8_t header[JOURNAL_FRAME_HEADER_BYTES];
    struct journal_frame frame = *from;
    frame.sequence = sequence;
    frame.flags |= JOURNAL_FLAG_STORED;
    frame.raw_bytes = frame.packed_bytes = size;
    frame.raw_hash = journal_hash64(raw, size);
    journal_frame_header_write(header, &frame);
    le64_put(header + JOURNAL_FRAME_HEADER_BYTES - 8,
             journal_hash64_pair(header, JOURNAL_FRAME_HEADER_BYTES - 8, raw, size));
    CHECK(fwrite(header, 1, sizeof header, out) == sizeof header && fwrite(raw, 1, size, out) == size);
}

static void put_file_header(FILE *out, const char *journal)
{
    uint8_t header[JOURNAL_FILE_HEADER_BYTES];
    FILE *in = fopen(journal, "rb");
    CHECK(in && fread(header, 1, sizeof header, in) == sizeof header && !fclose(in));
    CHECK(fwrite(header, 1, sizeof header, out) == sizeof header);
}

/* Where it is cut off, checkpoints stay in what is left: behind the first one. */
static size_t choose_end(struct journal_reader *reader)
{
    size_t count = journal_reader_count(reader), first = 0;
    while (first < count && journal_reader_frame(reader, first)->kind != JOURNAL_FRAME_CHECKPOINT)
        first++;
    if (first == count)
        fail("the journal has no checkpoint");
    return draw(&state, 2) ? count : first + 1 + draw(&state, count - first - 1);
}

static unsigned count_parts(struct journal_reader *reader)
{
    unsigned count = 0;
    for (size_t n = 0; n < journal_reader_count(reader); n++)
        count += is_part(journal_reader_frame(reader, n)->kind);
    return count;
}

/* Returns how many frames were changed. */
static unsigned write_damaged(const char *journal, const char *path)
{
    struct error error = {0};
    struct journal_reader *reader = journal_reader_open(journal, &error);
    static uint8_t raw[JOURNAL_FRAME_RAW_MAX];
    FILE *out = fopen(path, "wb");
    CHECK(reader && out);
    put_file_header(out, journal);
    unsigned changed = 0, chance = count_parts(reader) / (draw(&state, 2) ? 1 : 8) + 1;
    size_t end = choose_end(reader);
    for (size_t n = 0; n < end; n++) {
        const struct journal_frame *frame = journal_reader_frame(reader, n);
        if (frame->kind == JOURNAL_FRAME_INDEX || frame->kind == JOURNAL_FRAME_END)
            break;
        CHECK(!journal_reader_load(reader, n, raw, &error));
        uint32_t size = frame->raw_bytes;
        if (is_part(frame->kind) && size && !draw(&state, chance)) {
            size = damage(raw, size);
            changed++;
        }
        put_frame(out, frame, n, raw, size);
    }
    CHECK(!fclose(out));
    journal_reader_destroy(reader);
    return changed;
}

static void note_places(char *journal, struct place *places, uint64_t end)
{
    static struct session session;
    open_replay(&session, journal);
    for (unsigned n = 0; n < PLACES; n++) {
        places[n].icount = end * (n + 1) / (PLACES + 1);
        if (!straight_to(&session, places[n].icount))
            fail("the straight replay does not get to %" PRIu64, places[n].icount);
        places[n].digest = machine_digest_all(session.machine);
    }
    session_close(&session, 0);
}

/* True: a checkpoint of the journal was refused. */
static bool look_at(char *path, const struct place *place, uint64_t *loaded)
{
    static struct session session;
    memset(&session, 0, sizeof session);
    open_timeline(&session, path, 64u << 20);
    enum timeline_result result = timeline_seek(session.timeline, place->icount);
    if (result == TIMELINE_THERE)
        expect_digest(&session, "goto", place->digest);
    else if (result != TIMELINE_AT_END)
        expect(&session, result, TIMELINE_THERE);
    bool dropped = timeline_dropped(session.timeline);
    *loaded += timeline_statistics(session.timeline).loaded;
    session_close(&session, 0);
    return dropped;
}

int main(int argc, char **argv)
{
    struct place places[PLACES];
    if (argc != 4) {
        fprintf(stderr, "usage: frames JOURNAL SEED ROUNDS\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10);
    unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10), changed = 0, refused = 0;
    uint64_t loaded = 0;
    note_places(argv[1], places, count_steps(argv[1]));
    char *path = malloc(strlen(argv[1]) + 16);
    CHECK(path);
    sprintf(path, "%s.damaged", argv[1]);
    for (unsigned n = 0; n < rounds; n++) {
        changed += write_damaged(argv[1], path);
        refused += look_at(path, &places[draw(&state, PLACES)], &loaded);
        refused += look_at(path, &places[draw(&state, PLACES)], &loaded);
    }
    printf("%u rounds, %u frames changed, checkpoints refused in %u of %u, %" PRIu64 " tried\n", rounds, changed,
           refused, 2 * rounds, loaded);
    if (!refused || refused == 2 * rounds)
        fail("nothing was refused, or all");
    return 0;
}
