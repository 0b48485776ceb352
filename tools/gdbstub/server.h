/* gdb's remote protocol over core/debug.h: what one client asks, and what it is told. Knows nothing of sockets (chunks of
 * packets come in, packets go out by `send`) nor of what kind of run it is: that is behind struct gdb_target.
 * Thread: machine thread, machine not running. */
#ifndef VMRR_TOOLS_GDBSTUB_SERVER_H
#define VMRR_TOOLS_GDBSTUB_SERVER_H

#include "core/debug.h"

struct gdb_target {
    struct machine *machine;
    void (*send)(void *opaque, const uint8_t *packet, size_t size_bytes);
    /* The machine runs from the next machine_run on, or stands still. */
    void (*go)(void *opaque);
    void (*halt)(void *opaque);
    void (*kill)(void *opaque);
    /* The guest is about to be changed. Why it may not be; null: it may. */
    const char *(*frozen)(void *opaque);
    /* Null allowed, all three: these bytes were changed; the machine is about to go on forwards: what the person at gdb is told,
     * or null; the client detaches. */
    void (*wrote)(void *opaque, uint64_t address, uint64_t size_bytes, bool physical);
    const char *(*resumes)(void *opaque);
    void (*leave)(void *opaque);
    /* A line of `monitor` that the stub does not know itself. Owned by the caller, lines end in LF. */
    char *(*monitor)(void *opaque, const char *line);
    /* Backwards: starts, and answers with gdb_server_stopped when it is there. Null: this run cannot. */
    void (*reverse)(void *opaque, bool step);
    void *opaque;
};

struct gdb_server;

struct gdb_server *gdb_server_create(const struct gdb_target *target);
void gdb_server_destroy(struct gdb_server *server); /* null allowed; takes its points out */

/* A client is there: the machine is halted, as gdb expects. Gone without detaching: its points are taken out. */
void gdb_server_connected(struct gdb_server *server);
void gdb_server_gone(struct gdb_server *server);
bool gdb_server_has_client(const struct gdb_server *server);

/* data: a packet's, with a zero byte behind it. */
void gdb_server_packet(struct gdb_server *server, const uint8_t *data, size_t size_bytes);
void gdb_server_interrupt(struct gdb_server *server);
void gdb_server_resend(struct gdb_server *server);

/* Where machine_run is to stop for a step: limit, or earlier. */
struct position gdb_server_limit(const struct gdb_server *server, struct position limit);
/* machine_run returned MACHINE_STOP_DEBUG, or MACHINE_STOP_LIMIT at that place. True: the client was told, the machine is to
 * stand still. False: it goes on (a step of a range). */
bool gdb_server_stopped(struct gdb_server *server, enum machine_stop stop);
/* It was brought to where these points hit, or, with none, where it was asked to be. */
void gdb_server_stopped_at(struct gdb_server *server, const struct debug_stop *stop);
/* To the person at gdb, while the client waits for a stop. */
void gdb_server_say(struct gdb_server *server, const char *text);
/* It has an execution breakpoint in from .. end - 1. */
bool gdb_server_breaks_within(const struct gdb_server *server, uint64_t from, uint64_t end);
/* The answer to its last packet, a `monitor`, takes time: it is not to give up. */
void gdb_server_keep_alive(struct gdb_server *server);
/* What `reverse` of the target is from now on: null: this run cannot. */
void gdb_server_set_reverse(struct gdb_server *server, void (*reverse)(void *opaque, bool step));
/* The machine stands still for another reason while the client waits. at_end: of the run, in a direction that goes no
 * further. */
enum gdb_reason { GDB_HALTED, GDB_FAILED, GDB_AT_END, GDB_AT_START };
void gdb_server_tell(struct gdb_server *server, enum gdb_reason reason);
/* The run is over. */
void gdb_server_exited(struct gdb_server *server, int code);

#endif
