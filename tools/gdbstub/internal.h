/* Inside of the stub: server.c (stops, going on), query.c (q packets, monitor), access.c (registers, memory, points),
 * dispatch.c. */
#ifndef VMRR_TOOLS_GDBSTUB_INTERNAL_H
#define VMRR_TOOLS_GDBSTUB_INTERNAL_H

#include "tools/gdbstub/packet.h"
#include "tools/gdbstub/registers.h"
#include "tools/gdbstub/server.h"

enum gdb_step { GDB_NO_STEP, GDB_STEP_ONE, GDB_STEP_RANGE };

/* One of the client's points: Z packets are idempotent. */
struct gdb_point {
    struct debug_point point;
    bool software; /* Z0 */
};
#define GDB_POINTS_MAX 65536u

struct gdb_server {
    struct gdb_target target;
    bool client, waiting; /* there is one; it waits for a stop reply */
    bool physical;
    bool moved; /* RIP was written since the machine stopped, and is another one than it was then: */
    bool has_stopped_at;
    uint64_t stopped_at;
    enum gdb_step step;
    uint64_t step_icount, range_start, range_end;
    struct gdb_point *points;
    size_t point_count, point_capacity;
    char *xml;
    size_t xml_bytes;
    uint8_t *last; /* the packet sent last, for a client that did not get it */
    size_t last_bytes;
    char last_stop[96];
};

void gdb_send(struct gdb_server *server, const void *data, size_t size_bytes);
void gdb_say(struct gdb_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
void gdb_unknown(struct gdb_server *server); /* "not supported" */
/* Text for the person at gdb, in O packets. */
void gdb_console(struct gdb_server *server, const char *text);

void gdb_do_go(struct gdb_server *server, const char *text);
void gdb_do_vcont(struct gdb_server *server, const char *text);
void gdb_do_reverse(struct gdb_server *server, const char *text);
void gdb_do_detach(struct gdb_server *server);
void gdb_do_stop_reason(struct gdb_server *server);

/* access.c */
void gdb_do_registers(struct gdb_server *server, const char *text, size_t size_bytes); /* g G p P */
void gdb_do_memory(struct gdb_server *server, const char *text, size_t size_bytes);    /* m M x X */
void gdb_do_point(struct gdb_server *server, const char *text);                        /* Z z */
/* False: answered with an error. */
bool gdb_set_rip(struct gdb_server *server, uint64_t rip);
bool gdb_point_is_software(const struct gdb_server *server, uint64_t address);
void gdb_points_clear(struct gdb_server *server);

/* query.c */
void gdb_do_query(struct gdb_server *server, const char *text, size_t size_bytes);

#endif
