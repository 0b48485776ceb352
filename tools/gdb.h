/* -gdb: the debugger's connection (tools/chardev), its packets (gdbstub/packet.h) and what they do to this run
 * (gdbstub/server.h). The hub's thread cuts packets and queues them; the machine thread carries them out between two calls of
 * machine_run, as it does for monitors. Null pointers are allowed: no debugger was asked for. */
#ifndef VMRR_TOOLS_GDB_H
#define VMRR_TOOLS_GDB_H

#include "core/machine.h"
#include "tools/chardev/chardev.h"

struct session;
struct gdb;

/* Before the hub starts; the machine is there. chardev: the debugger's alone. */
struct gdb *gdb_create(struct session *session, struct chardev *chardev);
/* Takes points out of the machine, which must still be there; the hub's thread must have ended. */
void gdb_destroy(struct gdb *gdb);

bool gdb_waiting(struct gdb *gdb); /* something to carry out; any thread */
void gdb_run(struct gdb *gdb);     /* machine thread, machine not running */
/* Where machine_run is to stop for a step: limit, or earlier. */
struct position gdb_limit(const struct gdb *gdb, struct position limit);
/* The run can be set back: the client is offered it. Before control_run. */
void gdb_allow_reverse(struct gdb *gdb);
void gdb_forbid_reverse(struct gdb *gdb);
/* The machine runs for an answer that the client waits for. */
void gdb_slice(struct gdb *gdb);
/* Its user, or its going away, ends what the machine thread is at. Any thread. */
bool gdb_wants_stop(struct gdb *gdb);
/* machine_run returned. True: that was for the debugger, and the run goes on, or is stopped now. */
bool gdb_took(struct gdb *gdb, enum machine_stop stop, struct position limit);
/* The run would be over. True: the debugger's user may look at it; it is stopped now. */
bool gdb_keeps(struct gdb *gdb, enum machine_stop stop);
/* The machine stands still and somebody else did it. */
void gdb_note_halted(struct gdb *gdb);
/* The machine can't go on: the text says why. */
void gdb_note_failed(struct gdb *gdb, const char *text);
/* The end of the run. */
void gdb_exited(struct gdb *gdb, int code);

#endif
