/* See server.h. gdb's manual, appendix E: "Packets", "Stop Reply Packets", "General Query Packets", "Target Descriptions".
 *
 * One CPU, thread 1. Addresses are linear, whatever the CPU's mode (in real mode RIP is only the offset in CS); after
 * `monitor physical on` those of memory and watchpoints are physical. The memory map is therefore one of the whole linear
 * address space.
 * Not taken: multiprocess, non-stop, file I/O, tracepoints, conditions and commands of breakpoints, agents. */
#include "tools/gdbstub/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIGNAL_INTERRUPT 2
#define SIGNAL_TRAP 5
#define SIGNAL_ABORT 6

struct gdb_server *gdb_server_create(const struct gdb_target *target)
{
    struct gdb_server *server = calloc(1, sizeof *server);
    CHECK(server);
    server->target = *target;
    snprintf(server->last_stop, sizeof server->last_stop, "T%02xthread:1;", SIGNAL_TRAP);
    return server;
}

void gdb_server_destroy(struct gdb_server *server)
{
    if (!server)
        return;
    gdb_points_clear(server);
    free(server->points);
    free(server->xml);
    free(server->last);
    free(server);
}

/* ---- answers ---- */

void gdb_send(struct gdb_server *server, const void *data, size_t size_bytes)
{
    free(server->last);
    server->last = gdb_packet_make(data, size_bytes, &server->last_bytes);
    server->target.send(server->target.opaque, server->last, server->last_bytes);
}

void gdb_say(struct gdb_server *server, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    gdb_send(server, text, strlen(text));
}

void gdb_unknown(struct gdb_server *server)
{
    gdb_send(server, NULL, 0);
}

void gdb_server_resend(struct gdb_server *server)
{
    if (server->last)
        server->target.send(server->target.opaque, server->last, server->last_bytes);
}

/* ---- stop replies ---- */

static void say_stop(struct gdb_server *server)
{
    server->waiting = false;
    gdb_say(server, "%s", server->last_stop);
}

static void note_stop(struct gdb_server *server, int signal, const char *more)
{
    server->step = GDB_NO_STEP;
    snprintf(server->last_stop, sizeof server->last_stop, "T%02xthread:1;%s", (unsigned)signal, more);
}

/* In the watched range, as gdb looks for it. */
static uint64_t shown_address(const struct debug_hit *hit)
{
    return hit->point.address - hit->address < hit->size_bytes ? hit->point.address : hit->address;
}

static const struct debug_hit *first_watch(const struct debug_stop *stop)
{
    for (unsigned n = 0; n < stop->hits; n++) {
        if (stop->hit[n].point.kind != DEBUG_EXECUTE)
            return &stop->hit[n];
    }
    return NULL;
}

static void note_hits(struct gdb_server *server, const struct debug_stop *stop)
{
    static const char *const names[] = {"", "watch", "rwatch", "awatch"};
    const struct debug_hit *watch = first_watch(stop);
    char more[64] = "";
    if (watch)
        snprintf(more, sizeof more, "%s:%llx;", names[watch->point.kind], (unsigned long long)shown_address(watch));
    else if (stop->hits)
        strcpy(more, gdb_point_is_software(server, stop->hit[0].point.address) ? "swbreak:;" : "hwbreak:;");
    if (watch && watch->by == DEBUG_BY_DMA)
        gdb_console(server, "stored by DMA\n");
    note_stop(server, SIGNAL_TRAP, more);
}

static bool still_in_range(struct gdb_server *server)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(server->target.machine);
    if (server->step != GDB_STEP_RANGE)
        return false;
    accel->ops->get_state(accel, &state);
    return state.rip - server->range_start < server->range_end - server->range_start;
}

static void begin_step(struct gdb_server *server)
{
    struct position now = machine_position(server->target.machine);
    server->step_icount = now.icount + 1;
    debug_go_past(server->target.machine);
    if (machine_counts_exits(server->target.machine)) { /* no position is the next step's */
        server->step_icount = POSITION_NEVER;
        debug_step(server->target.machine);
    }
}

bool gdb_server_stopped(struct gdb_server *server, enum machine_stop stop)
{
    if (stop == MACHINE_STOP_DEBUG && debug_stop(server->target.machine)->hits) {
        note_hits(server, debug_stop(server->target.machine));
    } else if (still_in_range(server)) {
        begin_step(server);
        return false;
    } else {
        note_stop(server, SIGNAL_TRAP, "");
    }
    say_stop(server);
    return true;
}

void gdb_server_stopped_at(struct gdb_server *server, const struct debug_stop *stop)
{
    note_hits(server, stop);
    say_stop(server);
}

void gdb_server_say(struct gdb_server *server, const char *text)
{
    if (server->client && server->waiting)
        gdb_console(server, text);
}

void gdb_server_keep_alive(struct gdb_server *server)
{
    if (server->client)
        gdb_say(server, "O");
}

void gdb_server_set_reverse(struct gdb_server *server, void (*reverse)(void *opaque, bool step))
{
    server->target.reverse = reverse;
}

void gdb_server_tell(struct gdb_server *server, enum gdb_reason reason)
{
    static const struct {
        int signal;
        const char *more;
    } reasons[] = {[GDB_HALTED] = {SIGNAL_INTERRUPT, ""},
                   [GDB_FAILED] = {SIGNAL_ABORT, ""},
                   [GDB_AT_END] = {SIGNAL_TRAP, "replaylog:end;"},
                   [GDB_AT_START] = {SIGNAL_TRAP, "replaylog:begin;"}};
    if (!server->waiting)
        return;
    note_stop(server, reasons[reason].signal, reasons[reason].more);
    say_stop(server);
}

void gdb_server_exited(struct gdb_server *server, int code)
{
    if (!server->client)
        return;
    if (server->waiting)
        gdb_say(server, "W%02x", (unsigned)code & 0xFF);
    server->waiting = false;
}

struct position gdb_server_limit(const struct gdb_server *server, struct position limit)
{
    struct position step = {server->step_icount, 0};
    return server->step != GDB_NO_STEP && position_reached(limit, step) ? step : limit;
}

/* ---- the client ---- */

void gdb_server_connected(struct gdb_server *server)
{
    gdb_server_gone(server);
    server->client = true;
    server->target.halt(server->target.opaque);
}

void gdb_server_gone(struct gdb_server *server)
{
    gdb_points_clear(server);
    server->client = server->waiting = server->physical = false;
    server->step = GDB_NO_STEP;
    free(server->last);
    server->last = NULL;
}

bool gdb_server_has_client(const struct gdb_server *server)
{
    return server->client;
}

void gdb_server_interrupt(struct gdb_server *server)
{
    if (!server->waiting)
        return;
    server->target.halt(server->target.opaque);
    gdb_server_tell(server, GDB_HALTED);
}

/* ---- going on ---- */

static void resume(struct gdb_server *server, enum gdb_step step)
{
    const char *text = server->target.resumes ? server->target.resumes(server->target.opaque) : NULL;
    server->step = step;
    server->waiting = true;
    if (text)
        gdb_console(server, text);
    if (step != GDB_NO_STEP)
        begin_step(server);
    else if (!server->moved) /* else a breakpoint there is a new one to the client: it calls a function */
        debug_go_past(server->target.machine);
    server->moved = server->has_stopped_at = false;
    server->target.go(server->target.opaque);
}

/* c, s: an address may follow; C, S: a signal, which means nothing here, and then an address. */
void gdb_do_go(struct gdb_server *server, const char *text)
{
    char what = *text++;
    uint64_t number;
    if (what == 'C' || what == 'S') {
        if (!gdb_read_hex(&text, &number)) {
            gdb_say(server, "E01");
            return;
        }
        if (*text == ';')
            text++;
    }
    if (gdb_read_hex(&text, &number) && !gdb_set_rip(server, number))
        return;
    resume(server, what == 's' || what == 'S' ? GDB_STEP_ONE : GDB_NO_STEP);
}

/* One action; false: not one that we have. */
static bool vcont_action(struct gdb_server *server, const char *text)
{
    uint64_t number;
    char what = *text;
    if (!what)
        return false;
    text++;
    if ((what == 'C' || what == 'S') && !gdb_read_hex(&text, &number))
        return false;
    if (what == 'r') {
        if (!gdb_read_hex(&text, &server->range_start) || *text++ != ',' || !gdb_read_hex(&text, &server->range_end))
            return false;
    }
    if (*text && *text != ':' && *text != ';')
        return false;
    switch (what) {
    case 'c':
    case 'C': resume(server, GDB_NO_STEP); return true;
    case 's':
    case 'S': resume(server, GDB_STEP_ONE); return true;
    case 'r': resume(server, GDB_STEP_RANGE); return true;
    case 't':
        server->waiting = true;
        server->target.halt(server->target.opaque);
        gdb_server_tell(server, GDB_HALTED);
        return true;
    default: return false;
    }
}

/* There is one thread: the first action is its. */
void gdb_do_vcont(struct gdb_server *server, const char *text)
{
    if (!strcmp(text, "vCont?"))
        gdb_say(server, "vCont;c;C;s;S;t;r");
    else if (text[5] != ';' || !vcont_action(server, text + 6))
        gdb_say(server, "E01");
}

void gdb_do_reverse(struct gdb_server *server, const char *text)
{
    if (!server->target.reverse) {
        gdb_unknown(server);
        return;
    }
    server->waiting = true;
    server->target.reverse(server->target.opaque, text[1] == 's');
}

void gdb_do_detach(struct gdb_server *server)
{
    gdb_points_clear(server);
    if (server->target.leave)
        server->target.leave(server->target.opaque);
    gdb_say(server, "OK");
    server->client = server->waiting = server->physical = false;
    server->step = GDB_NO_STEP;
    debug_go_past(server->target.machine);
    server->target.go(server->target.opaque);
}

void gdb_do_stop_reason(struct gdb_server *server)
{
    server->target.halt(server->target.opaque);
    say_stop(server);
}
