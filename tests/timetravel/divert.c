/* Leaves the run of a journal at random places, and comes back.
 *
 *   divert JOURNAL SEED DIVERSIONS
 *
 * At each place the guest is changed (registers, memory, or both, at random) and runs on for a while, perhaps to an end of its own:
 * nothing of that is held against the journal. The same once more must give the same. Then the timeline is rejoined, or gone
 * elsewhere on: what lies there must have the digests of a straight replay, and the way to the end must be bit-exact. */
#include "tests/timetravel/journey.h"

#define CHANGES 8u
#define STEPS_MAX 100000u

static bool oldest_request(void *opaque, struct input_message *completion)
{
    struct session *session = opaque;
    uint32_t tag;
    for (uint32_t n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->drive[n] && block_drive_oldest_at_host(session->drive[n], &tag)) {
            *completion = (struct input_message){.id = INPUT_BLOCK_COMPLETION, .target = n, .a = tag};
            return true;
        }
    }
    return false;
}

static void change_register(struct session *session, uint64_t *state)
{
    struct cpu_state cpu;
    struct accel *accel = machine_accel(session->machine);
    accel->ops->get_state(accel, &cpu);
    if (draw(state, 4))
        cpu.gpr[draw(state, 16)] = draw(state, UINT64_MAX);
    else
        cpu.rip = (uint32_t)draw(state, 1u << 21);
    cpu.gpr[1] &= 0xFFFF; /* else a repeated instruction may take for ever */
    accel->ops->set_state(accel, &cpu);
}

static void change_memory(struct session *session, uint64_t *state)
{
    uint8_t bytes[64];
    uint64_t address = draw(state, 4u << 20);
    for (unsigned n = 0; n < sizeof bytes; n++)
        bytes[n] = (uint8_t)draw(state, 256);
    (void)debug_write(session->machine, address, bytes, 1 + draw(state, sizeof bytes), true);
}

/* What it came to: the digest of everything, and how it stopped. */
static uint64_t run_apart(struct session *session, uint64_t seed)
{
    struct error error = {0};
    struct replay_host host = {session->executor ? oldest_request : NULL, session};
    uint64_t state = seed, digest = machine_digest_all(session->machine);
    if (timeline_divert(session->timeline, host, &error))
        fail("%s", error.text);
    for (uint64_t n = draw(&state, CHANGES); n--;) {
        if (draw(&state, 2))
            change_register(session, &state);
        else
            change_memory(session, &state);
    }
    struct position limit = {machine_position(session->machine).icount + draw(&state, STEPS_MAX), 0};
    enum machine_stop stop = timeline_run(session->timeline, limit);
    if (stop == MACHINE_STOP_DIVERGED)
        fail("a diversion was held against the journal");
    uint64_t came_to = machine_digest_all(session->machine) + stop;
    if (timeline_lay(session->timeline))
        fail("a checkpoint of a diversion");
    if (draw(&state, 2)) {
        expect(session, timeline_rejoin(session->timeline), TIMELINE_THERE);
        expect_digest(session, "back", digest);
    }
    return came_to;
}

static void divert(struct session *session, uint64_t icount, uint64_t digest, uint64_t seed)
{
    expect(session, timeline_seek(session->timeline, icount), TIMELINE_THERE);
    expect_digest(session, "goto", digest);
    uint64_t first = run_apart(session, seed);
    expect(session, timeline_seek(session->timeline, icount), TIMELINE_THERE);
    expect_digest(session, "the same place", digest);
    if (run_apart(session, seed) != first)
        fail("the same changes at %" PRIu64 " gave another run", icount);
}

/* The straight replay. */
static void note_digests(char *journal, const uint64_t *icount, uint64_t *digest, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        struct session session;
        open_replay(&session, journal);
        enum machine_stop stop;
        while ((stop = machine_run(session.machine, (struct position){icount[n], 0})) == MACHINE_STOP_IO_ERROR)
            ;
        if (stop != MACHINE_STOP_LIMIT)
            fail("the straight replay stops with %s", machine_stop_name(stop));
        digest[n] = machine_digest_all(session.machine);
        session_close(&session, 0);
    }
}

#define PLACES 4u

int main(int argc, char **argv)
{
    struct session session;
    uint64_t icount[PLACES], digest[PLACES];
    if (argc != 4) {
        fprintf(stderr, "usage: divert JOURNAL SEED DIVERSIONS\n");
        return 2;
    }
    uint64_t state = strtoull(argv[2], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    open_timeline(&session, argv[1], 64u << 20);
    uint64_t end = replay_player_end(session.player).icount;
    for (unsigned n = 0; n < PLACES; n++)
        icount[n] = draw(&state, end);
    note_digests(argv[1], icount, digest, PLACES);
    for (unsigned n = 0; n < count; n++) {
        unsigned place = (unsigned)draw(&state, PLACES);
        divert(&session, icount[place], digest[place], draw(&state, UINT64_MAX));
        if (draw(&state, 4) == 0)
            expect(&session, timeline_step_back(session.timeline), icount[place] ? TIMELINE_THERE : TIMELINE_AT_START);
    }
    expect(&session, timeline_rejoin(session.timeline), TIMELINE_THERE);
    finish_replay(&session);
    printf("%u diversions from %u places\n", 2 * count, PLACES);
    session_close(&session, 0);
    return 0;
}
