/* Commands about the machine as a whole: state, buttons, keys, screen, character devices. */
#include "tools/monitor/keys.h"
#include "tools/qmp/commands.h"
#include "tools/screendump.h"
#include "tools/session.h"

#include <string.h>
#include <unistd.h>

void qmp_stop(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    (void)result;
    control_stop(session);
}

void qmp_cont(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    if (control_over(session))
        qmp_fail(result, "GenericError", "Resetting the Virtual Machine is required");
    else
        control_continue(session);
}

void qmp_quit(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    (void)result;
    control_quit(session);
}

void qmp_system_powerdown(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    (void)result;
    control_post(session, (struct input_message){.id = INPUT_POWER_BUTTON});
    monitors_event(session->monitors, "POWERDOWN", NULL);
}

void qmp_system_reset(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    (void)result;
    control_reset(session);
}

/* A KeyValue: {"type": "qcode", "data": "ctrl"} or {"type": "number", "data": 29}. */
static bool key_of(json_t *value, uint32_t *code, struct qmp_result *result)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    json_t *data = json_object_get(value, "data");
    if (!type || !data || json_object_size(value) != 2) {
        qmp_fail(result, "GenericError", "a key is an object with members 'type' and 'data'");
    } else if (!strcmp(type, "qcode") && json_is_string(data)) {
        if (key_code(json_string_value(data), code))
            return true;
        qmp_fail(result, "GenericError", "Parameter 'data' does not accept value '%.64s'", json_string_value(data));
    } else if (!strcmp(type, "number") && json_is_integer(data)) {
        if (key_number(json_integer_value(data), code))
            return true;
        qmp_fail(result, "GenericError", "Parameter 'data' expects a scan code");
    } else {
        qmp_fail(result, "GenericError", "Parameter 'type' does not accept value '%.64s'", type);
    }
    return false;
}

void qmp_send_key(struct session *session, json_t *arguments, struct qmp_result *result)
{
    uint32_t codes[KEYS_AT_ONCE];
    json_t *keys = json_object_get(arguments, "keys"), *key;
    size_t n;
    if (json_array_size(keys) > KEYS_AT_ONCE) {
        qmp_fail(result, "GenericError", "at most %d keys at once", KEYS_AT_ONCE);
        return;
    }
    json_array_foreach(keys, n, key)
    {
        if (!key_of(key, &codes[n], result))
            return;
    }
    keys_press(session, codes, (unsigned)json_array_size(keys));
}

void qmp_screendump(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    const char *format = json_string_value(json_object_get(arguments, "format"));
    const char *path = json_string_value(json_object_get(arguments, "filename"));
    enum screendump_format as = SCREENDUMP_PPM; /* whatever the name, as in QEMU */
    if (format && !strcmp(format, "png"))
        as = SCREENDUMP_PNG;
    else if (format && strcmp(format, "ppm"))
        qmp_fail(result, "GenericError", "Parameter 'format' does not accept value '%.64s'", format);
    else if (!strcmp(path, "-"))
        qmp_fail(result, "GenericError", "Parameter 'filename' expects the name of a file");
    if (!result->class && screendump_to(session->machine, path, as, &error))
        qmp_fail(result, "GenericError", "%s", error.text);
}

void qmp_query_status(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    result->value = json_pack("{s:s, s:b, s:b}", "status", control_state(session), "singlestep", 0, "running",
                              !session->control.stopped);
}

void qmp_query_name(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)arguments;
    if (session->options.guest_name)
        result->value = json_pack("{s:s}", "name", session->options.guest_name);
}

void qmp_query_cpus_fast(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)session;
    (void)arguments;
    result->value = json_pack("[{s:I, s:{s:i, s:i, s:i}, s:s, s:i, s:s}]", "thread-id", (json_int_t)getpid(), "props",
                              "core-id", 0, "thread-id", 0, "socket-id", 0, "qom-path", "/machine/unattached/cpu[0]",
                              "cpu-index", 0, "target", "x86_64");
}

void qmp_query_chardev(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct chardev *chardev;
    char name[4352];
    (void)arguments;
    result->value = json_array();
    for (unsigned n = 0; (chardev = chardev_hub_at(session->hub, n)); n++)
        json_array_append_new(result->value,
                              json_pack("{s:b, s:s, s:s}", "frontend-open", chardev_used(chardev), "filename",
                                        chardev_describe(chardev, name, sizeof name), "label", chardev_label(chardev)));
}
