/* Walks about at random in the run of a journal, and holds every place that it comes to against a straight replay.
 *
 *   walk JOURNAL SEED GOTOS MEMORY_MIB
 *
 * First the journal is replayed straight, noting the digest of everything at GOTOS random positions and how it ended. Then, on one
 * timeline: those positions are gone to in random order, with checkpoints at half of them, and with steps back and forth around some of them; each must have the
 * digest noted, or found before. Then the run goes on from a place in its middle to its end, which must be bit-exact. At last the
 * checkpoints go to a file, with which another timeline begins; files that are damaged, or of another journal, are not used. */
#include "tests/timetravel/journey.h"

#define BACK_AND_FORTH 12

static uint64_t state;

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

struct place {
    uint64_t icount, digest;
};

/* The straight replay; the digest at the end. */
static uint64_t note_places(char *journal, struct place *places, unsigned count)
{
    struct session session;
    open_replay(&session, journal);
    uint64_t end = replay_player_end(session.player).icount;
    for (unsigned n = 0; n < count; n++)
        places[n].icount = n ? draw(&state, end) : 0;
    qsort(places, count, sizeof *places, compare);
    for (unsigned n = 0; n < count; n++) {
        struct position limit = {places[n].icount, 0};
        enum machine_stop stop;
        while ((stop = machine_run(session.machine, limit)) == MACHINE_STOP_IO_ERROR)
            ;
        if (stop != MACHINE_STOP_LIMIT)
            fail("the straight replay stops with %s", machine_stop_name(stop));
        places[n].digest = machine_digest_all(session.machine);
    }
    while (machine_run(session.machine, replay_player_end(session.player)) == MACHINE_STOP_IO_ERROR)
        ;
    uint64_t digest = machine_digest_all(session.machine);
    session_close(&session, 0);
    return digest;
}

/* Steps forwards, then as many back, then forwards again. */
static void step_about(struct session *session, uint64_t end)
{
    uint64_t digest[BACK_AND_FORTH], from = machine_position(session->machine).icount;
    unsigned steps = 0;
    for (; steps < BACK_AND_FORTH && from + steps < end; steps++) {
        digest[steps] = machine_digest_all(session->machine);
        if (timeline_run(session->timeline, (struct position){from + steps + 1, 0}) != MACHINE_STOP_LIMIT)
            return;
    }
    for (unsigned n = steps; n--;) {
        expect(session, timeline_step_back(session->timeline), TIMELINE_THERE);
        if (machine_position(session->machine).icount != from + n)
            fail("a step back to %" PRIu64, from + n);
        expect_digest(session, "a step back", digest[n]);
    }
    for (unsigned n = 1; n < steps; n++) {
        if (timeline_run(session->timeline, (struct position){from + n, 0}) != MACHINE_STOP_LIMIT)
            return;
        expect_digest(session, "a step forwards again", digest[n]);
    }
}

static void walk(struct session *session, const struct place *places, unsigned count, uint64_t end_digest)
{
    uint64_t end = replay_player_end(session->player).icount;
    for (unsigned n = 0; n < count; n++) {
        const struct place *place = &places[draw(&state, count)];
        expect(session, timeline_seek(session->timeline, place->icount), TIMELINE_THERE);
        expect_digest(session, "goto", place->digest);
        if (draw(&state, 2))
            (void)timeline_lay(session->timeline);
        if (draw(&state, 4) == 0)
            step_about(session, end);
        if (draw(&state, 16) == 0) {
            expect(session, timeline_seek(session->timeline, UINT64_MAX), TIMELINE_AT_END);
            expect_digest(session, "the end", end_digest);
        }
    }
}

/* ---- the file ---- */

static void expect_load(struct session *session, const char *path, enum status expected)
{
    struct error error = {0};
    size_t before = timeline_statistics(session->timeline).checkpoints;
    enum status status = timeline_load(session->timeline, path, &error);
    if (status != expected)
        fail("loading %s: %s (%s), expected %s", path, status_name(status), error.text, status_name(expected));
    if (status && timeline_statistics(session->timeline).checkpoints != before)
        fail("a part of a bad file was used");
}

static void change_file(const char *path, long at, int how)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file && !fseek(file, at, at < 0 ? SEEK_END : SEEK_SET));
    int byte = fgetc(file);
    CHECK(!fseek(file, at, at < 0 ? SEEK_END : SEEK_SET) && fputc(byte ^ how, file) != EOF && !fclose(file));
}

static void walk_by_file(char *journal, const char *path, const struct place *places, unsigned count,
                         uint64_t end_digest, uint64_t memory_bytes)
{
    static const long damages[] = {0, 9, 13, 17, 33, 41, 57, 73, 81, 89, 100, 3000, -1, -2000};
    struct session session;
    open_timeline(&session, journal, memory_bytes);
    expect_load(&session, "/nonexistent", STATUS_NOT_FOUND);
    expect_load(&session, "/dev/null", STATUS_CORRUPT);
    expect_load(&session, journal, STATUS_CORRUPT);
    for (unsigned n = 0; n < sizeof damages / sizeof damages[0]; n++) {
        change_file(path, damages[n], 4);
        expect_load(&session, path, STATUS_CORRUPT);
        change_file(path, damages[n], 4);
    }
    expect_load(&session, path, STATUS_OK);
    size_t checkpoints = timeline_statistics(session.timeline).checkpoints;
    walk(&session, places, count, end_digest);
    printf("%zu checkpoints from a file\n", checkpoints - 1);
    session_close(&session, 0);
}

int main(int argc, char **argv)
{
    struct session session;
    if (argc != 5) {
        fprintf(stderr, "usage: walk JOURNAL SEED GOTOS MEMORY_MIB\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    struct place *places = calloc(count + 1, sizeof *places);
    CHECK(places);
    uint64_t end_digest = note_places(argv[1], places, count);
    uint64_t memory_bytes = strtoull(argv[4], NULL, 10) << 20;
    open_timeline(&session, argv[1], memory_bytes);
    walk(&session, places, count, end_digest);
    expect(&session, timeline_seek(session.timeline, places[count / 2].icount), TIMELINE_THERE);
    struct timeline_statistics statistics = timeline_statistics(session.timeline);
    finish_replay(&session);
    expect_digest(&session, "the end", end_digest);
    printf("%u gotos, %" PRIu64 " times set back, %zu checkpoints, %" PRIu64 " KiB, %" PRIu64 " pages\n", count,
           statistics.restored, statistics.checkpoints, statistics.bytes >> 10, statistics.pages);
    struct error error = {0};
    char *path = malloc(strlen(argv[1]) + 16);
    CHECK(path);
    sprintf(path, "%s.checkpoints", argv[1]);
    if (timeline_save(session.timeline, path, 20, &error))
        fail("%s", error.text);
    session_close(&session, 0);
    walk_by_file(argv[1], path, places, count < 20 ? count : 20, end_digest, memory_bytes);
    free(places);
    free(path);
    return 0;
}
