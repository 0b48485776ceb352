/* Which packet is whose. */
#include "tools/gdbstub/internal.h"

#include <string.h>

static void do_v(struct gdb_server *server, const char *text)
{
    if (!strncmp(text, "vCont", 5) && (text[5] == ';' || text[5] == '?'))
        gdb_do_vcont(server, text);
    else if (!strncmp(text, "vKill", 5)) {
        gdb_say(server, "OK");
        server->target.kill(server->target.opaque);
    } else {
        gdb_unknown(server); /* vMustReplyEmpty among them */
    }
}

/* A client that asks while its machine runs has lost count: the machine is halted first, which it is told. */
static void settle(struct gdb_server *server, char what)
{
    if (server->waiting && what != 'k' && what != 'D')
        gdb_server_interrupt(server);
}

void gdb_server_packet(struct gdb_server *server, const uint8_t *data, size_t size_bytes)
{
    const char *text = (const char *)data;
    if (!server->client)
        return;
    settle(server, *text);
    switch (*text) {
    case '?': gdb_do_stop_reason(server); break;
    case 'g':
    case 'G':
    case 'p':
    case 'P': gdb_do_registers(server, text, size_bytes); break;
    case 'm':
    case 'M':
    case 'x':
    case 'X': gdb_do_memory(server, text, size_bytes); break;
    case 'Z':
    case 'z': gdb_do_point(server, text); break;
    case 'c':
    case 'C':
    case 's':
    case 'S': gdb_do_go(server, text); break;
    case 'b': gdb_do_reverse(server, text); break;
    case 'v': do_v(server, text); break;
    case 'q':
    case 'Q': gdb_do_query(server, text, size_bytes); break;
    case 'H':
    case 'T': gdb_say(server, "OK"); break;
    case 'D': gdb_do_detach(server); break;
    case 'k': server->target.kill(server->target.opaque); break;
    default: gdb_unknown(server); break;
    }
}
