/* Status codes, error text and the invariant check.
 *
 * Three kinds of trouble, never mixed (shared/DESIGN.md): a misbehaving guest is answered as the hardware answers it;
 * host or file trouble is a negative enum status, with a struct error text on open and create paths; a broken
 * invariant is CHECK(). Only tools/ prints or exits. */
#ifndef VMRR_CORE_STATUS_H
#define VMRR_CORE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

enum status {
    STATUS_OK = 0,
    STATUS_IO = -1,          /* the host refused a read, write or open */
    STATUS_CORRUPT = -2,     /* a file does not follow its format */
    STATUS_UNSUPPORTED = -3, /* valid, but not something this build can do */
    STATUS_INVALID = -4,     /* an option or argument out of range */
    STATUS_NO_MEMORY = -5,
    STATUS_NO_SPACE = -6, /* a host file system is full */
    STATUS_NOT_FOUND = -7,
    STATUS_DIVERGED = -8, /* the run left its journal */
    STATUS_TORN = -9,     /* a journal ends in the middle of a frame */
    STATUS_READ_ONLY = -10,
    STATUS_END = -11, /* nothing more to read */
    STATUS_INTERRUPTED = -12,
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Text of the first failure. The caller owns it; error_set on an already filled error changes nothing, so the
 * innermost cause survives. A null pointer is allowed everywhere. */
struct error {
    char text[512];
};

const char *status_name(enum status status);
void error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void error_clear(struct error *error);
/* error_set, and the status as the result: `return error_status(e, STATUS_CORRUPT, "...", ...)`. */
enum status error_status(struct error *error, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A broken invariant of vmrr itself: on in release too. Prints file, line, the condition and the position and last
 * events of the machine running on this thread (machine.c sets the context while it runs), then aborts. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            check_failed(__FILE__, __LINE__, #condition);                                                              \
    } while (0)

_Noreturn void check_failed(const char *file, int line, const char *condition);

/* What check_failed prints beside the condition. Thread-local; returns the one installed before. */
struct check_context {
    void (*print)(void *opaque);
    void *opaque;
};
struct check_context check_context_install(struct check_context context);

#endif
