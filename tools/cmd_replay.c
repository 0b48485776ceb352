/* vmrr replay: the run of a journal, once more, checked event by event. Exit 0: bit-exact; 3: divergence. */
#include "core/debug.h"
#include "tools/disassemble.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>

/* Of runs whose positions are exits: what may have led to it. */
static void report_exits(struct session *session)
{
    const struct machine_uncontrolled *first = machine_uncontrolled_first(session->machine);
    const struct machine_landmark *landmark = machine_landmark(session->machine);
    if (landmark)
        fprintf(stderr,
                "  before it a stop between two exits was not met: RIP %016" PRIx64 " was passed %" PRIu64
                " times, %" PRIu64 " times with the recorded registers\n",
                landmark->rip, landmark->hits, landmark->matches);
    if (first->count)
        fprintf(stderr,
                "  uncontrolled: %s at RIP %016" PRIx64 " between exits %" PRIu64 " and %" PRIu64
                " (the first of %" PRIu64 "): its value on KVM is not in the journal\n",
                first->what, first->where.linear, first->position.icount, first->position.icount + 1, first->count);
}

static void report_divergence(struct session *session)
{
    const struct replay_divergence *divergence = replay_player_divergence(session->player);
    if (!divergence)
        fprintf(stderr, "replay: DIVERGED at exit %" PRIu64 ": the guest does not come to the next\n",
                machine_position(session->machine).icount);
    if (machine_counts_exits(session->machine))
        report_exits(session);
    if (!divergence)
        return;
    fprintf(stderr, "replay: DIVERGED at icount %" PRIu64 " (virtual time %" PRIu64 " ns): %s\n",
            divergence->position.icount, divergence->position.vtime_ns, divergence->text);
    if (divergence->have_expected)
        fprintf(stderr, "  expected %s\n", divergence->expected_text);
    if (divergence->have_actual)
        fprintf(stderr, "  actual   %s\n", divergence->actual_text);
    fprintf(stderr, "events before:\n");
    for (unsigned n = 0; n < divergence->before_count; n++)
        fprintf(stderr, "           %s\n", divergence->before_text[n]);
    debug_print_registers(session->machine, stderr);
    disassemble_around(session->machine, stderr);
}

int session_judge_replay(struct session *session, enum machine_stop stop)
{
    struct error error = {0};
    char why[256];
    enum status status = STATUS_OK;
    /* What is left of the journal after an early stop is no divergence. */
    if (!session->partial)
        status = replay_player_result(session->player, &error);
    if (status == STATUS_DIVERGED || stop == MACHINE_STOP_DIVERGED) {
        report_divergence(session);
        return EXIT_CODE_DIVERGED;
    }
    if (status) {
        tool_error("%s: %s", session->options.input, error.text[0] ? error.text : status_name(status));
        return EXIT_CODE_USAGE;
    }
    if (session->partial && stop == MACHINE_STOP_HOST) {
        fprintf(stderr, "replay: interrupted; bit-exact so far\n");
        return EXIT_CODE_FAILED;
    }
    if (session->partial) {
        fprintf(stderr, "replay: bit-exact up to the position asked for\n");
        return EXIT_CODE_OK;
    }
    if (replay_player_torn(session->player, why, sizeof why))
        fprintf(stderr, "replay: the journal is torn (%s): replayed as far as it goes\n", why);
    fprintf(stderr, "replay: bit-exact\n");
    return EXIT_CODE_OK;
}

int cmd_replay(int argc, char **argv)
{
    struct session session;
    int code = session_open(&session, OPTIONS_REPLAY, argc, argv);
    if (code < 0 && session.branch) {
        code = session_judge_branch(&session, session_run(&session));
    } else if (code < 0) {
        enum machine_stop stop = session_run(&session);
        session_report(&session, stop);
        code = session.diversion.kept ? session_exit_code(&session, stop) : session_judge_replay(&session, stop);
        if (session.rerun && !rerun_report(session.rerun) && code == EXIT_CODE_OK)
            code = EXIT_CODE_FAILED;
    }
    return session_close(&session, code);
}
