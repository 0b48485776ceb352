/* Commands about recording and replaying. */
#include "tools/qmp/commands.h"
#include "tools/session.h"

#include <inttypes.h>

void qmp_query_replay(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    const char *mode = session->recorder ? "record" : session->player ? "play" : "none";
    const char *file = session->recorder ? session->options.output : session->options.input;
    result->value =
        json_pack("{s:s, s:I}", "mode", mode, "icount", (json_int_t)machine_position(session->machine).icount);
    if (session->recorder || session->player)
        json_object_set_new(result->value, "filename", json_string(file));
}

static bool set_break(struct session *session, json_t *arguments, struct qmp_result *result)
{
    json_int_t icount = json_integer_value(json_object_get(arguments, "icount"));
    uint64_t now = machine_position(session->machine).icount;
    uint64_t end = replay_player_end(session->player).icount;
    if (icount < 0 || (uint64_t)icount <= now)
        qmp_fail(result, "GenericError",
                 "cannot stop at instruction %" PRId64 ": the replay is at %" PRIu64 ", and cannot go back",
                 (int64_t)icount, now);
    else if ((uint64_t)icount >= end)
        qmp_fail(result, "GenericError", "cannot stop at instruction %" PRId64 ": the journal ends at %" PRIu64,
                 (int64_t)icount, end);
    else
        session->control.break_icount = (uint64_t)icount;
    return !result->class;
}

void qmp_replay_break(struct session *session, json_t *arguments, struct qmp_result *result)
{
    if (!session->player)
        qmp_fail(result, "GenericError", "setting the breakpoint is allowed only in play mode");
    else
        (void)set_break(session, arguments, result);
}

void qmp_replay_delete_break(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    if (!session->player)
        qmp_fail(result, "GenericError", "replay breakpoints are allowed only in play mode");
    else
        session->control.break_icount = POSITION_NEVER;
}

/* At once, where checkpoints are kept. */
static void seek(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    json_int_t icount = json_integer_value(json_object_get(arguments, "icount"));
    uint64_t end = replay_player_end(session->player).icount;
    if (icount < 0 || (uint64_t)icount > end)
        qmp_fail(result, "GenericError", "cannot seek to instruction %" PRId64 ": the journal ends at %" PRIu64,
                 (int64_t)icount, end);
    else {
        control_continue(session); /* as clients expect it: it goes, and stops there */
        if (travel_go(session, (struct position){(uint64_t)icount, 0}, &error))
            qmp_fail(result, "GenericError", "%s", error.text);
    }
}

void qmp_replay_seek(struct session *session, json_t *arguments, struct qmp_result *result)
{
    if (!session->player)
        qmp_fail(result, "GenericError", "replay must be enabled to seek");
    else if (session->timeline)
        seek(session, arguments, result);
    else if (set_break(session, arguments, result))
        control_continue(session);
}
