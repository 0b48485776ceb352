/* What the programs here share: a replay that is opened like the user's, random numbers, and how they fail. */
#ifndef VMRR_TESTS_TIMETRAVEL_JOURNEY_H
#define VMRR_TESTS_TIMETRAVEL_JOURNEY_H

#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *tool_version(void) /* else main.c's */
{
    return "a test";
}

static inline uint64_t draw(uint64_t *state, uint64_t below)
{
    *state += 0x9E3779B97F4A7C15ull;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (z ^ (z >> 31)) % below;
}

__attribute__((format(printf, 1, 2))) _Noreturn static inline void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    printf("FAIL: ");
    vprintf(format, list);
    printf("\n");
    exit(1);
}

static inline void open_replay(struct session *session, char *journal)
{
    static char program[] = "replay", quiet[] = "-q", serial[] = "-serial", none[] = "none";
    char *arguments[] = {program, quiet, serial, none, journal, NULL};
    if (session_open(session, OPTIONS_REPLAY, 5, arguments) >= 0)
        exit(2);
}

static inline void open_timeline(struct session *session, char *journal, uint64_t memory_bytes)
{
    struct error error = {0};
    open_replay(session, journal);
    session->timeline = timeline_create(&(struct timeline_options){.machine = session->machine,
                                                                   .player = session->player,
                                                                   .memory_bytes = memory_bytes},
                                        &error);
    if (!session->timeline)
        fail("%s", error.text);
}

static inline void expect(struct session *session, enum timeline_result got, enum timeline_result expected)
{
    if (got != expected)
        fail("result %d (%s), expected %d, at %" PRIu64 ", position %" PRIu64 ": %s", got,
             machine_stop_name(timeline_stop(session->timeline)), expected, timeline_icount(session->timeline),
             machine_position(session->machine).icount,
             replay_player_divergence(session->player) ? replay_player_divergence(session->player)->text
                                                       : timeline_error(session->timeline));
}

static inline void expect_digest(struct session *session, const char *what, uint64_t expected)
{
    uint64_t digest = machine_digest_all(session->machine);
    if (digest != expected)
        fail("%s at %" PRIu64 ": digest %016" PRIx64 ", expected %016" PRIx64, what,
             checkpoint_icount(session->machine), digest, expected);
}

/* To where so many steps have been executed, by the machine alone: false: the run ends before. */
static inline bool straight_to(struct session *session, uint64_t icount)
{
    struct machine *machine = session->machine;
    bool exits = machine_counts_exits(machine);
    struct position limit = exits ? replay_player_end(session->player) : (struct position){icount, 0};
    enum machine_stop stop;
    if (exits && checkpoint_icount(machine) == icount)
        return true;
    if (exits)
        debug_run_until(machine, icount);
    do
        stop = machine_run(machine, limit);
    while (stop == MACHINE_STOP_IO_ERROR);
    return exits ? debug_until_met(machine) : stop == MACHINE_STOP_LIMIT && checkpoint_icount(machine) == icount;
}

/* Steps of the whole run. */
static inline uint64_t count_steps(char *journal)
{
    static struct session session;
    open_replay(&session, journal);
    while (machine_run(session.machine, replay_player_end(session.player)) == MACHINE_STOP_IO_ERROR)
        ;
    uint64_t steps = checkpoint_icount(session.machine);
    session_close(&session, 0);
    return steps;
}

/* From here to the end of the journal, which must be bit-exact. */
static inline void finish_replay(struct session *session)
{
    struct error error = {0};
    enum machine_stop stop;
    while ((stop = timeline_run(session->timeline, replay_player_end(session->player))) == MACHINE_STOP_IO_ERROR)
        ;
    if (stop == MACHINE_STOP_LIMIT && replay_player_stop(session->player))
        stop = replay_player_stop(session->player);
    machine_finish(session->machine, stop);
    if (replay_player_result(session->player, &error))
        fail("%s", error.text);
}

#endif
