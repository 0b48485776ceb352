/* Walks about at random in the run of a journal, and holds every place that it comes to against a straight replay.
 *
 *   walk JOURNAL SEED GOTOS MEMORY_MIB
 *
 * First the journal is replayed straight, noting the digest of everything at GOTOS random places, which are counted in steps
 * whatever the run's positions are, and how it ended. Then, on one
 * timeline: those places are gone to in random order, with checkpoints at half of them, and with steps back and forth around some of them; each must have the
 * digest noted, or found before. Then the run goes on from a place in its middle to its end, which must be bit-exact. At last the
 * checkpoints go to a file, with which another timeline begins; files that are damaged, or of another journal, are not used. */
#include "tests/timetravel/journey.h"

#include <sys/stat.h>

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
static uint64_t note_places(char *journal, uint64_t end, struct place *places, unsigned count)
{
    static struct session session;
    open_replay(&session, journal);
    for (unsigned n = 0; n < count; n++)
        places[n].icount = n ? draw(&state, end) : 0;
    qsort(places, count, sizeof *places, compare);
    for (unsigned n = 0; n < count; n++) {
        if (!straight_to(&session, places[n].icount))
            fail("the straight replay does not get to %" PRIu64, places[n].icount);
        places[n].digest = machine_digest_all(session.machine);
    }
    while (machine_run(session.machine, replay_player_end(session.player)) == MACHINE_STOP_IO_ERROR)
        ;
    uint64_t digest = machine_digest_all(session.machine);
    session_close(&session, 0);
    return digest;
}

/* One step, as a debugger makes it; false: the run ends. */
static bool step_forwards(struct session *session, uint64_t to)
{
    if (machine_counts_exits(session->machine))
        return timeline_seek(session->timeline, to) == TIMELINE_THERE;
    return timeline_run(session->timeline, (struct position){to, 0}) == MACHINE_STOP_LIMIT;
}

/* Steps forwards, then as many back, then forwards again. */
static void step_about(struct session *session, uint64_t end)
{
    uint64_t digest[BACK_AND_FORTH], from = timeline_icount(session->timeline);
    unsigned steps = 0;
    for (; steps < BACK_AND_FORTH && from + steps + 1 < end; steps++) {
        digest[steps] = machine_digest_all(session->machine);
        if (!step_forwards(session, from + steps + 1))
            return;
    }
    for (unsigned n = steps; n--;) {
        expect(session, timeline_step_back(session->timeline), TIMELINE_THERE);
        if (timeline_icount(session->timeline) != from + n)
            fail("a step back to %" PRIu64, from + n);
        expect_digest(session, "a step back", digest[n]);
    }
    for (unsigned n = 1; n < steps; n++) {
        if (!step_forwards(session, from + n))
            return;
        expect_digest(session, "a step forwards again", digest[n]);
    }
}

/* The places' positions, as a person names them. */
static void go_by_position(struct session *session, const struct place *place)
{
    struct position here = machine_position(session->machine);
    here.vtime_ns = 0;
    expect(session, timeline_seek_position(session->timeline, here), TIMELINE_THERE);
    uint64_t digest = machine_digest_all(session->machine), icount = timeline_icount(session->timeline);
    expect(session, timeline_seek(session->timeline, place->icount), TIMELINE_THERE);
    expect(session, timeline_seek_position(session->timeline, here), TIMELINE_THERE);
    expect_digest(session, "goto a position", digest);
    if (timeline_icount(session->timeline) != icount)
        fail("position %" PRIu64 " is at %" PRIu64 " and at %" PRIu64, here.icount, icount,
             timeline_icount(session->timeline));
}

/* Wherever a position is that somebody names, steps are counted as ever from there. */
static void go_to_any_position(struct session *session, const struct place *places, unsigned count)
{
    const struct place *place = &places[draw(&state, count)];
    uint64_t end = replay_player_end(session->player).icount;
    expect(session, timeline_seek_position(session->timeline, (struct position){draw(&state, end), 0}), TIMELINE_THERE);
    (void)timeline_lay(session->timeline);
    expect(session, timeline_seek(session->timeline, place->icount), TIMELINE_THERE);
    expect_digest(session, "goto from any position", place->digest);
}

static void walk(struct session *session, const struct place *places, unsigned count, uint64_t end, uint64_t end_digest)
{
    for (unsigned n = 0; n < count; n++) {
        const struct place *place = &places[draw(&state, count)];
        expect(session, timeline_seek(session->timeline, place->icount), TIMELINE_THERE);
        expect_digest(session, "goto", place->digest);
        if (draw(&state, 2))
            (void)timeline_lay(session->timeline);
        if (draw(&state, 4) == 0)
            step_about(session, end);
        if (draw(&state, 8) == 0)
            go_by_position(session, &places[draw(&state, count)]);
        if (draw(&state, 8) == 0)
            go_to_any_position(session, places, count);
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

static void walk_by_file(char *journal, const char *path, const struct place *places, unsigned count, uint64_t end,
                         uint64_t end_digest, uint64_t memory_bytes)
{
    static const long damages[] = {0, 9, 13, 17, 33, 41, 57, 73, 81, 89, 100, 3000, -1, -2000};
    struct session session;
    open_timeline(&session, journal, memory_bytes);
    expect_load(&session, "/nonexistent", STATUS_NOT_FOUND);
    expect_load(&session, "/dev/null", STATUS_CORRUPT);
    expect_load(&session, journal, STATUS_CORRUPT);
    struct stat file;
    CHECK(!stat(path, &file));
    for (unsigned n = 0; n < sizeof damages / sizeof damages[0]; n++) {
        if (labs(damages[n]) >= file.st_size)
            continue; /* a small guest's */
        change_file(path, damages[n], 4);
        expect_load(&session, path, STATUS_CORRUPT);
        change_file(path, damages[n], 4);
    }
    expect_load(&session, path, STATUS_OK);
    size_t checkpoints = timeline_statistics(session.timeline).checkpoints;
    walk(&session, places, count, end, end_digest);
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
    uint64_t end = count_steps(argv[1]), end_digest = note_places(argv[1], end, places, count);
    uint64_t memory_bytes = strtoull(argv[4], NULL, 10) << 20;
    open_timeline(&session, argv[1], memory_bytes);
    walk(&session, places, count, end, end_digest);
    expect(&session, timeline_seek(session.timeline, places[count / 2].icount), TIMELINE_THERE);
    struct timeline_statistics statistics = timeline_statistics(session.timeline);
    if (timeline_dropped(session.timeline))
        fail("%s", timeline_dropped(session.timeline));
    finish_replay(&session);
    expect_digest(&session, "the end", end_digest);
    printf("%u gotos in %" PRIu64 " steps, %" PRIu64 " times set back, %" PRIu64 " of them by the journal, %zu checkpoints, %" PRIu64
           " KiB, %" PRIu64 " pages\n",
           count, end, statistics.restored, statistics.loaded, statistics.checkpoints, statistics.bytes >> 10,
           statistics.pages);
    struct error error = {0};
    char *path = malloc(strlen(argv[1]) + 16);
    CHECK(path);
    sprintf(path, "%s.checkpoints", argv[1]);
    if (timeline_save(session.timeline, path, 20, &error))
        fail("%s", error.text);
    session_close(&session, 0);
    walk_by_file(argv[1], path, places, count < 20 ? count : 20, end, end_digest, memory_bytes);
    free(places);
    free(path);
    return 0;
}
