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

int cmd_record(int argc, char **argv)
{
    struct session session;
    struct error error = {0};
    int code = session_open(&session, OPTIONS_RECORD, argc, argv);
    if (code < 0) {
        enum machine_stop stop = session_run(&session);
        enum status status = replay_recorder_close(session.recorder, &error);
        session_report(&session, stop);
        report_journal(&session);
        code = session_exit_code(&session, stop);
        if (status) {
            if (error.text[0])
                tool_error("%s", error.text);
            else
                tool_error("%s: %s", session.options.output, status_name(status));
            code = EXIT_CODE_FAILED;
        }
    }
    return session_close(&session, code);
}
