/* Status names, error text, invariant check. */
#include "core/status.h"

#include <stdio.h>
#include <stdlib.h>

const char *status_name(enum status status)
{
    switch (status) {
    case STATUS_OK: return "ok";
    case STATUS_IO: return "I/O error";
    case STATUS_CORRUPT: return "corrupt";
    case STATUS_UNSUPPORTED: return "unsupported";
    case STATUS_INVALID: return "invalid";
    case STATUS_NO_MEMORY: return "out of memory";
    case STATUS_NO_SPACE: return "no space left";
    case STATUS_NOT_FOUND: return "not found";
    case STATUS_DIVERGED: return "diverged";
    case STATUS_TORN: return "torn";
    case STATUS_READ_ONLY: return "read-only";
    case STATUS_END: return "end";
    case STATUS_INTERRUPTED: return "interrupted";
    }
    return "unknown status";
}

static void error_set_list(struct error *error, const char *format, va_list arguments)
{
    if (error && !error->text[0])
        vsnprintf(error->text, sizeof error->text, format, arguments);
}

void error_set(struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(error, format, arguments);
    va_end(arguments);
}

enum status error_status(struct error *error, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(error, format, arguments);
    va_end(arguments);
    return status;
}

void error_clear(struct error *error)
{
    if (error)
        error->text[0] = 0;
}

/* Thread-local, so two machines on two threads (or one after the other) each name their own position: not machine
 * state, and nothing a guest can see. */
static _Thread_local struct check_context context_of_thread;

struct check_context check_context_install(struct check_context context)
{
    struct check_context before = context_of_thread;
    context_of_thread = context;
    return before;
}

_Noreturn void check_failed(const char *file, int line, const char *condition)
{
    struct check_context context = check_context_install((struct check_context){0});
    fprintf(stderr, "vmrr: broken invariant at %s:%d: %s\n", file, line, condition);
    if (context.print)
        context.print(context.opaque);
    abort();
}
