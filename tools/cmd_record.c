/* vmrr record: the machine, with everything that it does at its edge in a journal. */
#include "tools/session.h"
#include "tools/tools.h"

#include <sys/stat.h>

static void report_journal(const struct session *session)
{
    struct stat st;
    char size[32];
    if (session->options.quiet || stat(session->options.output, &st))
        return;
    fprintf(stderr, "journal: %s, %s\n", session->options.output,
            format_bytes((uint64_t)st.st_size, size, sizeof size));
}

int session_judge_recording(struct session *session, enum machine_stop stop)
{
    struct error error = {0};
    enum status status = replay_recorder_close(session->recorder, &error);
    session_report(session, stop);
    report_journal(session);
    if (!status)
        return session_exit_code(session, stop);
    if (error.text[0])
        tool_error("%s", error.text);
    else
        tool_error("%s: %s", session->options.output, status_name(status));
    return EXIT_CODE_FAILED;
}

int cmd_record(int argc, char **argv)
{
    struct session session;
    int code = session_open(&session, OPTIONS_RECORD, argc, argv);
    if (code < 0)
        code = session_judge_recording(&session, session_run(&session));
    return session_close(&session, code);
}
