/* The commands of QMP: the table (commands.c) and the functions that it names. All on the machine thread, at a position,
 * and none waits. */
#ifndef VMRR_TOOLS_QMP_COMMANDS_H
#define VMRR_TOOLS_QMP_COMMANDS_H

#include "tools/qmp/schema.h"

json_t *qmp_version(void);
/* Runs a checked command: in a replay those that change the guest are refused. */
void qmp_run(struct session *session, const struct qmp_command *command, json_t *arguments, struct qmp_result *result);

typedef void qmp_command_fn(struct session *session, json_t *arguments, struct qmp_result *result);

/* machine.c */
qmp_command_fn qmp_stop, qmp_cont, qmp_quit, qmp_system_powerdown, qmp_system_reset, qmp_send_key, qmp_screendump;
qmp_command_fn qmp_query_status, qmp_query_name, qmp_query_cpus_fast, qmp_query_chardev;
/* replay.c */
qmp_command_fn qmp_query_replay, qmp_replay_break, qmp_replay_delete_break, qmp_replay_seek;
/* block.c */
qmp_command_fn qmp_query_block, qmp_query_blockstats, qmp_query_named_block_nodes;
/* media.c */
qmp_command_fn qmp_eject, qmp_blockdev_open_tray, qmp_blockdev_close_tray, qmp_blockdev_remove_medium;
qmp_command_fn qmp_blockdev_change_medium, qmp_block_resize, qmp_blockdev_snapshot_sync;

#endif
