/* vmrr run: the machine, unrecorded. */
#include "tools/session.h"
#include "tools/tools.h"

int cmd_run(int argc, char **argv)
{
    struct session session;
    int code = session_open(&session, OPTIONS_RUN, argc, argv);
    if (code < 0) {
        enum machine_stop stop = session_run(&session);
        session_report(&session, stop);
        code = session_exit_code(&session, stop);
    }
    return session_close(&session, code);
}
