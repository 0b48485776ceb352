/* How long it takes to go about in the run of a journal; figures, no verdict.
 *
 *   reach JOURNAL SEED PLACES [MEMORY_MIB]
 *
 * First, at random places, from a cold start each: opening the journal and making the machine, and the seek there (by checkpoints that the
 * journal has, where it has any). Then, in one session: a straight replay with checkpoints (what a first run to the end costs); at random places: the seek there, the first step back
 * from it, further steps back; at last reverse-continue over stretches with a watchpoint that is never hit, against the straight
 * replay of as many steps. Run it on a machine that does nothing else. */
#include "tests/timetravel/journey.h"

#include "core/debug.h"

#include <time.h>

#define STEPS_BACK 5
#define STRETCH_STEPS 1000000000ull

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void print(const char *what, double *seconds, unsigned count)
{
    qsort(seconds, count, sizeof *seconds, compare);
    printf("%-22s p50 %8.2f ms  p99 %8.2f ms  worst %8.2f ms  of %u\n", what, seconds[count / 2] * 1e3,
           seconds[count * 99 / 100] * 1e3, seconds[count - 1] * 1e3, count);
}

static double straight(struct session *session, struct position limit)
{
    double start = now_seconds();
    while (timeline_run(session->timeline, limit) == MACHINE_STOP_IO_ERROR)
        ;
    return now_seconds() - start;
}

static void reverse_over(struct session *session, uint64_t end, double speed)
{
    struct debug_stop stop;
    struct debug_point never = {
        .kind = DEBUG_WRITE, .flags = DEBUG_PHYSICAL, .address = 0xFFFFFFFF0000ull, .size_bytes = 8};
    uint64_t steps = end < STRETCH_STEPS ? end : STRETCH_STEPS;
    if (debug_insert(session->machine, &never))
        fail("no watchpoint");
    expect(session, timeline_seek(session->timeline, steps), TIMELINE_THERE);
    double start = now_seconds();
    expect(session, timeline_reverse_continue(session->timeline, &stop), TIMELINE_AT_START);
    double seconds = now_seconds() - start;
    printf("reverse-continue over %" PRIu64 " steps without a hit: %.2f s, %.2f of a straight replay of them\n", steps,
           seconds, seconds * speed / (double)steps);
    if (debug_remove(session->machine, &never))
        fail("no watchpoint");
}

static void cold(char *journal, uint64_t *state, unsigned count, uint64_t memory_bytes)
{
    double *open = calloc(count, sizeof *open), *seek = calloc(count, sizeof *seek);
    uint64_t loaded = 0;
    CHECK(open && seek);
    for (unsigned n = 0; n < count; n++) {
        static struct session session;
        double start = now_seconds();
        memset(&session, 0, sizeof session);
        open_timeline(&session, journal, memory_bytes);
        open[n] = now_seconds() - start;
        uint64_t end = replay_player_end(session.player).icount;
        expect(&session, timeline_seek(session.timeline, 1000 + draw(state, end - 1000)), TIMELINE_THERE);
        seek[n] = now_seconds() - start - open[n];
        loaded += timeline_statistics(session.timeline).loaded;
        session_close(&session, 0);
    }
    print("cold: opened", open, count);
    print("cold: seek", seek, count);
    printf("%" PRIu64 " checkpoints of the journal loaded for them\n", loaded);
    free(open);
    free(seek);
}

int main(int argc, char **argv)
{
    static struct session session;
    if (argc < 4) {
        fprintf(stderr, "usage: reach JOURNAL SEED PLACES [MEMORY_MIB]\n");
        return 2;
    }
    uint64_t state = strtoull(argv[2], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    double *seek = calloc(count, sizeof *seek), *first = calloc(count, sizeof *first);
    double *back = calloc((size_t)count * STEPS_BACK, sizeof *back);
    CHECK(count && seek && first && back);
    uint64_t memory_bytes = argc > 4 ? strtoull(argv[4], NULL, 10) << 20 : 512 << 20;
    cold(argv[1], &state, count < 20 ? count : 20, memory_bytes);
    open_timeline(&session, argv[1], memory_bytes);
    struct position end = replay_player_end(session.player);
    double whole = straight(&session, end), speed = (double)end.icount / whole;
    printf("straight, with checkpoints: %.1f s, %.0f million steps a second\n", whole, speed / 1e6);
    for (unsigned n = 0; n < count; n++) {
        double start = now_seconds();
        expect(&session, timeline_seek(session.timeline, 1000 + draw(&state, end.icount - 1000)), TIMELINE_THERE);
        seek[n] = now_seconds() - start;
        for (unsigned m = 0; m <= STEPS_BACK; m++) {
            start = now_seconds();
            expect(&session, timeline_step_back(session.timeline), TIMELINE_THERE);
            *(m ? &back[n * STEPS_BACK + m - 1] : &first[n]) = now_seconds() - start;
        }
    }
    print("seek", seek, count);
    print("first step back", first, count);
    print("further steps back", back, count * STEPS_BACK);
    reverse_over(&session, end.icount, speed);
    struct timeline_statistics statistics = timeline_statistics(session.timeline);
    printf("%zu checkpoints, %" PRIu64 " MiB, %" PRIu64 " pages\n", statistics.checkpoints, statistics.bytes >> 20,
           statistics.pages);
    return session_close(&session, 0);
}
