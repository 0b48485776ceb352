/* QMP's commands as a table: one row says name, arguments with their types, and who carries it out. The row drives the check
 * of what a client sends, query-commands and query-qmp-schema. */
#ifndef VMRR_TOOLS_QMP_SCHEMA_H
#define VMRR_TOOLS_QMP_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct session;

#define QMP_ARGUMENTS 6

enum qmp_type { QMP_STRING, QMP_INTEGER, QMP_BOOLEAN, QMP_ARRAY, QMP_ANY };

struct qmp_argument {
    const char *name; /* null behind the last */
    enum qmp_type type;
    bool optional;
};

/* What a command gives back: value (owned; null: {}), or an error. */
struct qmp_result {
    json_t *value;
    const char *class; /* null: no error */
    char text[512];
};

struct qmp_command {
    const char *name;
    struct qmp_argument argument[QMP_ARGUMENTS + 1];
    /* arguments: never null, as the row says. Machine thread, at a position. */
    void (*run)(struct session *session, json_t *arguments, struct qmp_result *result);
    const char *returns; /* QEMU's name of the type of the answer, for the schema */
    bool changes;        /* the guest, or how the run goes on: not in a replay */
};

extern const struct qmp_command qmp_commands[];
extern const size_t qmp_command_count;

const struct qmp_command *qmp_command_find(const char *name);

void qmp_fail(struct qmp_result *result, const char *class, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A request as it came, checked: a known command, or qmp_capabilities, with arguments of the right types and no other. */
struct qmp_request {
    const struct qmp_command *command; /* null: qmp_capabilities, or an error */
    bool capabilities;
    json_t *arguments; /* borrowed from the request's value, or `none` */
    json_t *none;      /* owned */
    json_t *id;        /* borrowed; null: none */
};

/* value: borrowed, any JSON value. negotiated: all commands, else qmp_capabilities alone. False: result has the error; the
 * id is good all the same. */
bool qmp_request_check(json_t *value, bool negotiated, struct qmp_request *request, struct qmp_result *result);
void qmp_request_fini(struct qmp_request *request);

/* Text to a value. Null: result has the error. */
json_t *qmp_parse(const char *text, size_t size_bytes, struct qmp_result *result);

/* query-qmp-schema: what the table says, in QEMU's form. */
json_t *qmp_schema(void);

#endif
