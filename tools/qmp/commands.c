/* The table of commands: what is not in it does not exist, and query-commands says no more than it. Names, arguments and
 * answers are QEMU's (docs: qemu-qmp-ref(7)). */
#include "tools/qmp/commands.h"

#include "tools/monitor/hmp.h"
#include "tools/session.h"
#include "tools/version.h"

#include <stdlib.h>

static void query_commands(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)session;
    (void)arguments;
    result->value = json_pack("[{s:s}]", "name", "qmp_capabilities");
    for (size_t n = 0; n < qmp_command_count; n++)
        json_array_append_new(result->value, json_pack("{s:s}", "name", qmp_commands[n].name));
}

static void query_version(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)session;
    (void)arguments;
    result->value = qmp_version();
}

static void query_schema(struct session *session, json_t *arguments, struct qmp_result *result)
{
    (void)session;
    (void)arguments;
    result->value = qmp_schema();
}

static void human_monitor_command(struct session *session, json_t *arguments, struct qmp_result *result)
{
    char *text = hmp_run_line(session, json_string_value(json_object_get(arguments, "command-line")));
    result->value = json_string(text);
    if (!result->value)
        qmp_fail(result, "GenericError", "the answer is not UTF-8");
    free(text);
}

#define NO_ARGUMENTS                                                                                                   \
    {                                                                                                                  \
        {                                                                                                              \
            NULL, QMP_ANY, false                                                                                       \
        }                                                                                                              \
    }

#define TRAY_ARGUMENTS                                                                                                 \
    {"device", QMP_STRING, true},                                                                                      \
    {                                                                                                                  \
        "id", QMP_STRING, true                                                                                         \
    }

const struct qmp_command qmp_commands[] = {
    {"query-version", NO_ARGUMENTS, query_version, "VersionInfo", false},
    {"query-commands", NO_ARGUMENTS, query_commands, "[CommandInfo]", false},
    {"query-qmp-schema", NO_ARGUMENTS, query_schema, "[SchemaInfo]", false},
    {"query-name", NO_ARGUMENTS, qmp_query_name, "NameInfo", false},
    {"query-status", NO_ARGUMENTS, qmp_query_status, "StatusInfo", false},
    {"query-cpus-fast", NO_ARGUMENTS, qmp_query_cpus_fast, "[CpuInfoFast]", false},
    {"query-chardev", NO_ARGUMENTS, qmp_query_chardev, "[ChardevInfo]", false},
    {"query-block", NO_ARGUMENTS, qmp_query_block, "[BlockInfo]", false},
    {"query-blockstats", {{"query-nodes", QMP_BOOLEAN, true}}, qmp_query_blockstats, "[BlockStats]", false},
    {"query-named-block-nodes", {{"flat", QMP_BOOLEAN, true}}, qmp_query_named_block_nodes, "[BlockDeviceInfo]", false},
    {"eject", {TRAY_ARGUMENTS, {"force", QMP_BOOLEAN, true}}, qmp_eject, NULL, true},
    {"blockdev-open-tray", {TRAY_ARGUMENTS, {"force", QMP_BOOLEAN, true}}, qmp_blockdev_open_tray, NULL, true},
    {"blockdev-close-tray", {TRAY_ARGUMENTS}, qmp_blockdev_close_tray, NULL, true},
    {"blockdev-remove-medium", {{"id", QMP_STRING, false}}, qmp_blockdev_remove_medium, NULL, true},
    {"blockdev-change-medium",
     {TRAY_ARGUMENTS,
      {"filename", QMP_STRING, false},
      {"format", QMP_STRING, true},
      {"force", QMP_BOOLEAN, true},
      {"read-only-mode", QMP_STRING, true}},
     qmp_blockdev_change_medium,
     NULL,
     true},
    {"block_resize",
     {{"device", QMP_STRING, true}, {"node-name", QMP_STRING, true}, {"size", QMP_INTEGER, false}},
     qmp_block_resize,
     NULL,
     true},
    {"blockdev-snapshot-sync",
     {{"device", QMP_STRING, true},
      {"node-name", QMP_STRING, true},
      {"snapshot-file", QMP_STRING, false},
      {"snapshot-node-name", QMP_STRING, true},
      {"format", QMP_STRING, true},
      {"mode", QMP_STRING, true}},
     qmp_blockdev_snapshot_sync,
     NULL,
     true},
    {"query-replay", NO_ARGUMENTS, qmp_query_replay, "ReplayInfo", false},
    {"replay-break", {{"icount", QMP_INTEGER, false}}, qmp_replay_break, NULL, false},
    {"replay-delete-break", NO_ARGUMENTS, qmp_replay_delete_break, NULL, false},
    {"replay-seek", {{"icount", QMP_INTEGER, false}}, qmp_replay_seek, NULL, false},
    {"stop", NO_ARGUMENTS, qmp_stop, NULL, false},
    {"cont", NO_ARGUMENTS, qmp_cont, NULL, false},
    {"quit", NO_ARGUMENTS, qmp_quit, NULL, false},
    {"system_powerdown", NO_ARGUMENTS, qmp_system_powerdown, NULL, true},
    {"system_reset", NO_ARGUMENTS, qmp_system_reset, NULL, true},
    {"send-key", {{"keys", QMP_ARRAY, false}}, qmp_send_key, NULL, true},
    {"screendump", {{"filename", QMP_STRING, false}, {"format", QMP_STRING, true}}, qmp_screendump, NULL, false},
    {"human-monitor-command", {{"command-line", QMP_STRING, false}}, human_monitor_command, "str", false},
};
const size_t qmp_command_count = sizeof qmp_commands / sizeof qmp_commands[0];

json_t *qmp_version(void)
{
    return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "micro", VMRR_VERSION_PATCH, "minor", VMRR_VERSION_MINOR,
                     "major", VMRR_VERSION_MAJOR, "package", "vmrr " VMRR_VERSION);
}

void qmp_run(struct session *session, const struct qmp_command *command, json_t *arguments, struct qmp_result *result)
{
    if (command->changes && session->player)
        qmp_fail(result, "GenericError", "'%s' changes the guest: a replay gives it what the journal has, and no more",
                 command->name);
    else if (command->changes && control_over(session))
        qmp_fail(result, "GenericError", "the guest's run is over");
    else
        command->run(session, arguments, result);
}
