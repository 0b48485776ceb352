/* Checking of requests against the table. Errors are worded as QEMU's (docs/interop/qmp-spec; observed in 7.2). */
#include "tools/qmp/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"string", "integer", "boolean", "array", "any"};

void qmp_fail(struct qmp_result *result, const char *class, const char *format, ...)
{
    va_list arguments;
    if (result->class)
        return;
    result->class = class;
    va_start(arguments, format);
    vsnprintf(result->text, sizeof result->text, format, arguments);
    va_end(arguments);
}

const struct qmp_command *qmp_command_find(const char *name)
{
    for (size_t n = 0; n < qmp_command_count; n++) {
        if (!strcmp(qmp_commands[n].name, name))
            return &qmp_commands[n];
    }
    return NULL;
}

static bool has_type(const json_t *value, enum qmp_type type)
{
    switch (type) {
    case QMP_STRING: return json_is_string(value);
    case QMP_INTEGER: return json_is_integer(value);
    case QMP_BOOLEAN: return json_is_boolean(value);
    case QMP_ARRAY: return json_is_array(value);
    case QMP_ANY: return true;
    }
    return false;
}

static const struct qmp_argument *find_argument(const struct qmp_argument *list, const char *name)
{
    for (; list->name; list++) {
        if (!strcmp(list->name, name))
            return list;
    }
    return NULL;
}

static void check_arguments(const struct qmp_argument *list, json_t *arguments, struct qmp_result *result)
{
    const char *name;
    json_t *value;
    for (const struct qmp_argument *at = list; at->name; at++) {
        value = json_object_get(arguments, at->name);
        if (!value && !at->optional)
            qmp_fail(result, "GenericError", "Parameter '%s' is missing", at->name);
        else if (value && !has_type(value, at->type))
            qmp_fail(result, "GenericError", "Invalid parameter type for '%s', expected: %s", at->name,
                     type_names[at->type]);
    }
    json_object_foreach(arguments, name, value)
    {
        if (!find_argument(list, name))
            qmp_fail(result, "GenericError", "Parameter '%.100s' is unexpected", name);
    }
}

static void check_members(json_t *value, struct qmp_result *result)
{
    const char *name;
    json_t *member;
    json_object_foreach(value, name, member)
    {
        if (!strcmp(name, "execute")) {
            if (!json_is_string(member))
                qmp_fail(result, "GenericError", "QMP input member 'execute' must be a string");
        } else if (!strcmp(name, "arguments")) {
            if (!json_is_object(member))
                qmp_fail(result, "GenericError", "QMP input member 'arguments' must be an object");
        } else if (strcmp(name, "id")) {
            qmp_fail(result, "GenericError", "QMP input member '%.100s' is unexpected", name);
        }
    }
    if (!json_object_get(value, "execute"))
        qmp_fail(result, "GenericError", "QMP input lacks member 'execute'");
}

static void find_command(struct qmp_request *request, const char *name, bool negotiated, struct qmp_result *result)
{
    static const struct qmp_argument capabilities[] = {{"enable", QMP_ARRAY, true}, {0}};
    request->capabilities = !strcmp(name, "qmp_capabilities");
    if (request->capabilities && negotiated) {
        qmp_fail(result, "CommandNotFound", "Capabilities negotiation is already complete, command ignored");
    } else if (request->capabilities) {
        check_arguments(capabilities, request->arguments, result);
        if (json_array_size(json_object_get(request->arguments, "enable")))
            qmp_fail(result, "GenericError", "This monitor offers no capability to enable");
    } else if (!negotiated) {
        qmp_fail(result, "CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'");
    } else {
        request->command = qmp_command_find(name);
        if (!request->command)
            qmp_fail(result, "CommandNotFound", "The command %.100s has not been found", name);
        else
            check_arguments(request->command->argument, request->arguments, result);
    }
}

bool qmp_request_check(json_t *value, bool negotiated, struct qmp_request *request, struct qmp_result *result)
{
    memset(request, 0, sizeof *request);
    if (!json_is_object(value)) {
        qmp_fail(result, "GenericError", "QMP input must be a JSON object");
        return false;
    }
    request->id = json_object_get(value, "id");
    check_members(value, result);
    if (result->class)
        return false;
    request->arguments = json_object_get(value, "arguments");
    if (!request->arguments)
        request->arguments = request->none = json_object();
    find_command(request, json_string_value(json_object_get(value, "execute")), negotiated, result);
    return !result->class;
}

void qmp_request_fini(struct qmp_request *request)
{
    json_decref(request->none);
    request->none = NULL;
}

json_t *qmp_parse(const char *text, size_t size_bytes, struct qmp_result *result)
{
    json_error_t error;
    json_t *value = json_loadb(text, size_bytes, JSON_DECODE_ANY, &error);
    if (!value)
        qmp_fail(result, "GenericError", "JSON parse error, %s", error.text);
    return value;
}

/* ---- query-qmp-schema ---- */

static json_t *builtin(const char *name, const char *json_type)
{
    return json_pack("{s:s, s:s, s:s}", "name", name, "meta-type", "builtin", "json-type", json_type);
}

static json_t *argument_members(const struct qmp_argument *list)
{
    static const char *const types[] = {"str", "int", "bool", "[any]", "any"};
    json_t *members = json_array();
    for (; list->name; list++) {
        json_t *member = json_pack("{s:s, s:s}", "name", list->name, "type", types[list->type]);
        if (list->optional)
            json_object_set_new(member, "default", json_null());
        json_array_append_new(members, member);
    }
    return members;
}

static void describe_command(json_t *schema, const struct qmp_command *command)
{
    char type[96];
    snprintf(type, sizeof type, "%s-arg", command->name);
    json_array_append_new(schema, json_pack("{s:s, s:s, s:s, s:s}", "name", command->name, "meta-type", "command",
                                            "arg-type", type, "ret-type", command->returns ? command->returns : "any"));
    json_array_append_new(schema, json_pack("{s:s, s:s, s:o}", "name", type, "meta-type", "object", "members",
                                            argument_members(command->argument)));
}

json_t *qmp_schema(void)
{
    json_t *schema = json_array();
    json_array_append_new(schema, builtin("str", "string"));
    json_array_append_new(schema, builtin("int", "int"));
    json_array_append_new(schema, builtin("bool", "boolean"));
    json_array_append_new(schema, builtin("any", "value"));
    json_array_append_new(schema,
                          json_pack("{s:s, s:s, s:s}", "name", "[any]", "meta-type", "array", "element-type", "any"));
    for (size_t n = 0; n < qmp_command_count; n++)
        describe_command(schema, &qmp_commands[n]);
    return schema;
}
