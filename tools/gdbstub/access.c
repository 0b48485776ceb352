/* Registers, memory and points of the protocol. Every length and number comes from the client. */
#include "tools/gdbstub/internal.h"

#include <stdlib.h>
#include <string.h>

/* What fits into an answer as hex digits. */
#define READ_BYTES_MAX ((GDB_PACKET_BYTES - 16) / 2)
#define REGISTER_TEXT_MAX 4096u

static struct accel *accel_of(struct gdb_server *server)
{
    return machine_accel(server->target.machine);
}

static uint8_t cr8_of(struct gdb_server *server)
{
    struct cpu_link link = machine_cpu_link(server->target.machine);
    return link.ops && link.ops->read_cr8 ? link.ops->read_cr8(link.opaque) : 0;
}

/* False: answered with the reason. */
static bool may_change(struct gdb_server *server)
{
    const char *why = server->target.frozen(server->target.opaque);
    if (why)
        gdb_say(server, "E.%s", why);
    return !why;
}

/* ---- registers ---- */

static void get_all(struct gdb_server *server)
{
    struct cpu_state state;
    char text[REGISTER_TEXT_MAX];
    uint8_t bytes[GDB_REGISTER_BYTES_MAX], cr8 = cr8_of(server);
    size_t used = 0;
    accel_of(server)->ops->get_state(accel_of(server), &state);
    for (unsigned n = 0; n < gdb_register_count(); n++) {
        gdb_register_get(&state, cr8, n, bytes);
        CHECK(used + 2 * gdb_register_bytes(n) < sizeof text);
        gdb_write_bytes(text + used, bytes, gdb_register_bytes(n));
        used += 2 * gdb_register_bytes(n);
    }
    gdb_send(server, text, used);
}

static void get_one(struct gdb_server *server, const char *text)
{
    struct cpu_state state;
    uint8_t bytes[GDB_REGISTER_BYTES_MAX];
    char out[2 * GDB_REGISTER_BYTES_MAX + 1];
    uint64_t number;
    if (!gdb_read_hex(&text, &number) || *text || number >= gdb_register_count()) {
        gdb_say(server, "E01");
        return;
    }
    accel_of(server)->ops->get_state(accel_of(server), &state);
    gdb_register_get(&state, cr8_of(server), (unsigned)number, bytes);
    gdb_write_bytes(out, bytes, gdb_register_bytes((unsigned)number));
    gdb_say(server, "%s", out);
}

static bool set_register(struct cpu_state *state, uint8_t cr8, unsigned number, const char **text)
{
    uint8_t bytes[GDB_REGISTER_BYTES_MAX];
    return gdb_read_bytes(text, bytes, gdb_register_bytes(number)) && gdb_register_set(state, cr8, number, bytes);
}

/* Whoever says where a halted CPU is to go on wants it to run. */
static void set_state(struct gdb_server *server, const struct cpu_state *before, struct cpu_state *state)
{
    if (state->rip != before->rip) {
        state->halted = state->mwaiting = false;
        if (!server->has_stopped_at)
            server->stopped_at = before->rip;
        server->has_stopped_at = true;
        server->moved = state->rip != server->stopped_at;
    }
    accel_of(server)->ops->set_state(accel_of(server), state);
}

/* first, last + 1: the registers whose bytes are in text. All of them or none. */
static void set_some(struct gdb_server *server, const char *text, unsigned first, unsigned end)
{
    struct cpu_state state;
    uint8_t cr8 = cr8_of(server);
    accel_of(server)->ops->get_state(accel_of(server), &state);
    struct cpu_state before = state;
    for (unsigned n = first; n < end; n++) {
        if (!set_register(&state, cr8, n, &text)) {
            gdb_say(server, "E.this value, or this register, cannot be set from outside");
            return;
        }
    }
    if (*text) {
        gdb_say(server, "E01");
        return;
    }
    bool same = gdb_registers_same(&before, &state); /* no change then: nothing that begins a diversion */
    if (!same && !may_change(server))
        return;
    if (!same)
        set_state(server, &before, &state);
    gdb_say(server, "OK");
}

static void set_one(struct gdb_server *server, const char *text)
{
    uint64_t number;
    if (!gdb_read_hex(&text, &number) || *text++ != '=' || number >= gdb_register_count())
        gdb_say(server, "E01");
    else
        set_some(server, text, (unsigned)number, (unsigned)number + 1);
}

bool gdb_set_rip(struct gdb_server *server, uint64_t rip)
{
    struct cpu_state state;
    accel_of(server)->ops->get_state(accel_of(server), &state);
    struct cpu_state before = state;
    state.rip = rip;
    if (state.rip == before.rip)
        return true;
    if (!may_change(server))
        return false;
    set_state(server, &before, &state);
    return true;
}

void gdb_do_registers(struct gdb_server *server, const char *text, size_t size_bytes)
{
    (void)size_bytes;
    switch (*text) {
    case 'g': get_all(server); break;
    case 'p': get_one(server, text + 1); break;
    case 'G': set_some(server, text + 1, 0, gdb_register_count()); break;
    default: set_one(server, text + 1); break;
    }
}

/* ---- memory ---- */

static size_t read_memory(struct gdb_server *server, uint64_t address, uint8_t *bytes, size_t size_bytes)
{
    return server->physical ? debug_read_physical(server->target.machine, address, bytes, size_bytes)
                            : debug_read_linear(server->target.machine, address, bytes, size_bytes);
}

/* ADDRESS,LENGTH. */
static bool read_range(const char **text, uint64_t *address, uint64_t *size_bytes)
{
    return gdb_read_hex(text, address) && *(*text)++ == ',' && gdb_read_hex(text, size_bytes);
}

static void get_memory(struct gdb_server *server, const char *text, bool binary)
{
    uint64_t address, size_bytes;
    uint8_t bytes[READ_BYTES_MAX + 1];
    char out[2 * READ_BYTES_MAX + 1];
    if (!read_range(&text, &address, &size_bytes) || *text) {
        gdb_say(server, "E01");
        return;
    }
    if (size_bytes > READ_BYTES_MAX)
        size_bytes = READ_BYTES_MAX;
    size_t got = read_memory(server, address, bytes + 1, size_bytes);
    if (!got && size_bytes) {
        gdb_say(server, "E14");
    } else if (binary) {
        bytes[0] = 'b';
        gdb_send(server, bytes, got + 1);
    } else {
        gdb_write_bytes(out, bytes + 1, got);
        gdb_send(server, out, 2 * got);
    }
}

static void write_memory(struct gdb_server *server, uint64_t address, const uint8_t *bytes, size_t size_bytes)
{
    const struct gdb_target *target = &server->target;
    if (!debug_write(target->machine, address, bytes, size_bytes, server->physical)) {
        gdb_say(server, "E14");
        return;
    }
    if (target->wrote)
        target->wrote(target->opaque, address, size_bytes, server->physical);
    gdb_say(server, "OK");
}

static void set_memory(struct gdb_server *server, const char *text, size_t left, bool binary)
{
    const char *start = text;
    uint64_t address, size_bytes;
    uint8_t bytes[GDB_PACKET_BYTES];
    bool good = read_range(&text, &address, &size_bytes) && *text++ == ':' && size_bytes <= sizeof bytes;
    left -= good ? (size_t)(text - start) : 0;
    if (good && binary) {
        good = left == size_bytes;
        if (good)
            memcpy(bytes, text, size_bytes);
    } else if (good) {
        good = gdb_read_bytes(&text, bytes, size_bytes) && !*text;
    }
    if (!good) {
        gdb_say(server, "E01");
        return;
    }
    uint8_t present[GDB_PACKET_BYTES];
    if (read_memory(server, address, present, size_bytes) != size_bytes)
        gdb_say(server, "E14");
    else if (!memcmp(present, bytes,
                     size_bytes)) /* no change: a write of nothing asks whether there are binary writes */
        gdb_say(server, "OK");
    else if (may_change(server))
        write_memory(server, address, bytes, size_bytes);
}

void gdb_do_memory(struct gdb_server *server, const char *text, size_t size_bytes)
{
    switch (*text) {
    case 'm':
    case 'x': get_memory(server, text + 1, *text == 'x'); break;
    default: set_memory(server, text + 1, size_bytes - 1, *text == 'X'); break;
    }
}

/* ---- points ---- */

/* TYPE,ADDRESS,KIND: KIND is a watchpoint's length. */
static bool read_point(struct gdb_server *server, const char *text, struct gdb_point *point)
{
    static const enum debug_point_kind kinds[] = {DEBUG_EXECUTE, DEBUG_EXECUTE, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS};
    uint64_t size_bytes;
    memset(point, 0, sizeof *point);
    unsigned type = (unsigned)(*text - '0');
    if (type > 4 || text[1] != ',')
        return false;
    text += 2;
    if (!read_range(&text, &point->point.address, &size_bytes) || *text)
        return false;
    point->software = type == 0;
    point->point.kind = kinds[type];
    point->point.size_bytes = type < 2 ? 0 : size_bytes;
    point->point.flags = server->physical && type >= 2 ? DEBUG_PHYSICAL : 0;
    return true;
}

static struct gdb_point *find_point(struct gdb_server *server, const struct gdb_point *point)
{
    for (size_t n = 0; n < server->point_count; n++) {
        const struct gdb_point *other = &server->points[n];
        if (other->software == point->software && !memcmp(&other->point, &point->point, sizeof point->point))
            return &server->points[n];
    }
    return NULL;
}

bool gdb_point_is_software(const struct gdb_server *server, uint64_t address)
{
    for (size_t n = 0; n < server->point_count; n++) {
        const struct gdb_point *point = &server->points[n];
        if (point->point.kind == DEBUG_EXECUTE && point->point.address == address)
            return point->software;
    }
    return false;
}

bool gdb_server_breaks_within(const struct gdb_server *server, uint64_t from, uint64_t end)
{
    for (size_t n = 0; n < server->point_count; n++) {
        const struct debug_point *point = &server->points[n].point;
        if (point->kind == DEBUG_EXECUTE && point->address - from < end - from)
            return true;
    }
    return false;
}

static bool add_point(struct gdb_server *server, const struct gdb_point *point)
{
    if (find_point(server, point))
        return true;
    if (server->point_count == GDB_POINTS_MAX)
        return false;
    if (server->point_count == server->point_capacity) {
        size_t more = server->point_capacity ? 2 * server->point_capacity : 16;
        struct gdb_point *larger = realloc(server->points, more * sizeof *larger);
        if (!larger)
            return false;
        server->points = larger;
        server->point_capacity = more;
    }
    if (debug_insert(server->target.machine, &point->point))
        return false;
    server->points[server->point_count++] = *point;
    return true;
}

static bool drop_point(struct gdb_server *server, const struct gdb_point *point)
{
    struct gdb_point *found = find_point(server, point);
    if (!found)
        return true;
    enum status status = debug_remove(server->target.machine, &found->point);
    *found = server->points[--server->point_count];
    return !status;
}

void gdb_points_clear(struct gdb_server *server)
{
    while (server->point_count)
        (void)!debug_remove(server->target.machine, &server->points[--server->point_count].point);
}

void gdb_do_point(struct gdb_server *server, const char *text)
{
    struct gdb_point point;
    if (!read_point(server, text + 1, &point))
        gdb_say(server, "%s", text[1] > '4' ? "" : "E01");
    else if (*text == 'Z' ? add_point(server, &point) : drop_point(server, &point))
        gdb_say(server, "OK");
    else
        gdb_say(server, "E0c");
}
