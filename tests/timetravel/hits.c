/* Random points in the run of a journal: backwards they hit where they hit forwards.
 *
 *   hits JOURNAL SEED ROUNDS
 *
 * A round puts in breakpoints at instructions that the run has, or watchpoints on stacks and on physical memory, goes to a random place
 * and runs forwards from there, noting each stop. Then backwards. Breakpoints: the same stops in the other order, with
 * equal digests. Watchpoints: from each place that is come to, the run forwards must stop where it did before, with nothing left
 * out. At last the run goes to its end, which must be bit-exact. */
#include "tests/timetravel/journey.h"

#include "core/debug.h"

#define POINTS_MAX 12
#define STOPS_MAX 30
#define STRETCH_STEPS 3000000u
#define WATCHED_PAGES 512u /* of physical memory, from 0 on */

static uint64_t state;

struct stop {
    struct position position;
    uint64_t digest;
};

struct round {
    struct session *session;
    struct debug_point point[POINTS_MAX];
    unsigned points;
    struct stop stop[STOPS_MAX];
    unsigned stops;
};

/* ---- points ---- */

static struct debug_point random_point(struct session *session, bool watch)
{
    struct cpu_state cpu;
    struct accel *accel = machine_accel(session->machine);
    uint64_t end = replay_player_end(session->player).icount;
    expect(session, timeline_seek(session->timeline, draw(&state, end)), TIMELINE_THERE);
    accel->ops->get_state(accel, &cpu);
    if (!watch)
        return (struct debug_point){.kind = DEBUG_EXECUTE, .address = debug_code_address(session->machine, NULL)};
    if (draw(&state, 2))
        return (struct debug_point){.kind = draw(&state, 4) ? DEBUG_WRITE : DEBUG_ACCESS,
                                    .address = cpu.segment[CPU_SS].base + cpu.gpr[CPU_RSP] - 8,
                                    .size_bytes = 1 + draw(&state, 8)};
    return (struct debug_point){.kind = DEBUG_WRITE,
                                .flags = DEBUG_PHYSICAL,
                                .address = draw(&state, WATCHED_PAGES) * 4096 + draw(&state, 4096),
                                .size_bytes = 1 + draw(&state, 600)};
}

static void change_points(struct round *round, enum status (*change)(struct machine *, const struct debug_point *))
{
    for (unsigned n = 0; n < round->points; n++) {
        if (change(round->session->machine, &round->point[n]))
            fail("a point can't be put in or taken out");
    }
}

/* ---- forwards ---- */

/* The next stop; false: there is none up to the limit. */
static bool next_stop(struct session *session, struct position limit, struct stop *stop)
{
    enum machine_stop why;
    do
        why = timeline_run(session->timeline, limit);
    while (why == MACHINE_STOP_IO_ERROR);
    if (why != MACHINE_STOP_DEBUG)
        return false;
    stop->position = machine_position(session->machine);
    stop->digest = machine_digest_all(session->machine);
    return true;
}

/* How many of them lie behind where the machine stands then. */
static unsigned note_stops(struct round *round, bool watch)
{
    struct session *session = round->session;
    struct position end = replay_player_end(session->player);
    uint64_t start = draw(&state, 4) ? draw(&state, end.icount) : 0;
    if (start + STRETCH_STEPS < end.icount)
        end = (struct position){start + STRETCH_STEPS, 0};
    expect(session, timeline_seek(session->timeline, start), TIMELINE_THERE);
    for (round->stops = 0; round->stops < STOPS_MAX; round->stops++) {
        if (!next_stop(session, end, &round->stop[round->stops]))
            return round->stops;
    }
    return watch ? STOPS_MAX : STOPS_MAX - 1; /* it stands at the last breakpoint */
}

static void expect_stop(const char *what, const struct stop *got, const struct stop *expected)
{
    if (position_equal(got->position, expected->position) && got->digest == expected->digest)
        return;
    fail("%s: %" PRIu64 ", digest %016" PRIx64 "; expected %" PRIu64 ", digest %016" PRIx64, what, got->position.icount,
         got->digest, expected->position.icount, expected->digest);
}

/* ---- backwards ---- */

static void back_to_breakpoint(struct round *round, unsigned n)
{
    struct machine *machine = round->session->machine;
    struct stop got = {machine_position(machine), machine_digest_all(machine)};
    expect_stop("back to a breakpoint", &got, &round->stop[n]);
}

/* How many of the stops before n come after this place: they are passed over with it. */
static unsigned back_to_access(struct round *round, unsigned n)
{
    struct session *session = round->session;
    uint64_t icount = machine_position(session->machine).icount;
    struct stop got;
    unsigned first = n;
    if (icount + 1 < round->stop[n].position.icount)
        fail("the access before %" PRIu64 " is shown at %" PRIu64, round->stop[n].position.icount, icount);
    debug_go_past(session->machine);
    if (!next_stop(session, MACHINE_NO_LIMIT, &got))
        fail("the access at %" PRIu64 " does not come again", round->stop[n].position.icount);
    while (first && !position_equal(got.position, round->stop[first].position))
        first--;
    while (first && got.digest != round->stop[first].digest &&
           position_equal(round->stop[first - 1].position, got.position))
        first--;
    expect_stop("forwards again", &got, &round->stop[first]);
    for (unsigned m = first + 1; m <= n; m++) {
        if (!next_stop(session, MACHINE_NO_LIMIT, &got))
            fail("the accesses before %" PRIu64 " do not all come again", round->stop[n].position.icount);
        expect_stop("forwards again", &got, &round->stop[m]);
    }
    expect(session, timeline_seek(session->timeline, icount), TIMELINE_THERE);
    return first;
}

static void go_back(struct round *round, bool watch, unsigned left)
{
    struct session *session = round->session;
    struct debug_stop stop;
    while (left) {
        expect(session, timeline_reverse_continue(session->timeline, &stop), TIMELINE_THERE);
        if (!stop.hits)
            fail("a stop without a hit");
        if (watch)
            left = back_to_access(round, left - 1);
        else
            back_to_breakpoint(round, --left);
    }
}

int main(int argc, char **argv)
{
    static struct session session;
    static struct round round;
    unsigned stops = 0;
    if (argc != 4) {
        fprintf(stderr, "usage: hits JOURNAL SEED ROUNDS\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10);
    unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10);
    open_timeline(&session, argv[1], 64 << 20);
    round.session = &session;
    for (unsigned n = 0; n < rounds; n++) {
        bool watch = n % 2;
        round.points = 1 + (unsigned)draw(&state, POINTS_MAX);
        for (unsigned m = 0; m < round.points; m++)
            round.point[m] = random_point(&session, watch);
        change_points(&round, debug_insert);
        go_back(&round, watch, note_stops(&round, watch));
        change_points(&round, debug_remove);
        stops += round.stops;
    }
    finish_replay(&session);
    printf("%u rounds, %u stops\n", rounds, stops);
    return session_close(&session, stops ? 0 : 1);
}
