/* Queries of the protocol, and `monitor`: what the stub knows itself; all else is the target's. */
#include "tools/gdbstub/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSOLE_BYTES_A_PACKET ((GDB_PACKET_BYTES - 16) / 2)

static const char memory_map[] =
    "<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN gnu.org//DTD GDB Memory Map V1.0//EN\" "
    "\"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>"
    "<memory type=\"ram\" start=\"0x0\" length=\"0x8000000000000000\"/>"
    "<memory type=\"ram\" start=\"0x8000000000000000\" length=\"0x8000000000000000\"/></memory-map>";

void gdb_console(struct gdb_server *server, const char *text)
{
    char packet[2 * CONSOLE_BYTES_A_PACKET + 2];
    size_t left = strlen(text);
    while (left) {
        size_t part = left < CONSOLE_BYTES_A_PACKET ? left : CONSOLE_BYTES_A_PACKET;
        packet[0] = 'O';
        gdb_write_bytes(packet + 1, (const uint8_t *)text, part);
        gdb_send(server, packet, 1 + 2 * part);
        text += part;
        left -= part;
    }
}

/* ---- monitor ---- */

static void set_physical(struct gdb_server *server, const char *word, FILE *out)
{
    if (!strcmp(word, "on") || !strcmp(word, "off"))
        server->physical = word[1] == 'n';
    else if (*word) {
        fprintf(out, "physical: on or off\n");
        return;
    }
    fprintf(out, "addresses of memory and new watchpoints are %s\n", server->physical ? "physical" : "linear");
}

static void print_help(FILE *out)
{
    fputs("physical [on|off] -- are addresses of memory and watchpoints physical?\n"
          "x/FMT ADDRESS -- as the monitor's x: 'x/10i $rip' disassembles in the CPU's mode\n",
          out);
}

/* stop and cont would go past the debugger's back. */
static bool is_gdbs_own(const char *line)
{
    static const char *const words[] = {"stop", "s", "cont", "c"};
    for (size_t n = 0; n < sizeof words / sizeof words[0]; n++) {
        if (!strcmp(line, words[n]))
            return true;
    }
    return false;
}

static void run_by_target(struct gdb_server *server, const char *line, FILE *out)
{
    char examine[512];
    if (!strncmp(line, "x/", 2)) {
        snprintf(examine, sizeof examine, "x %s", line + 1);
        line = examine;
    } else if (!strcmp(line, "info ioapic")) {
        line = "info device ioapic"; /* QEMU's name for it */
    }
    char *text = server->target.monitor(server->target.opaque, line);
    fputs(text, out);
    free(text);
}

static void run_line(struct gdb_server *server, const char *line, FILE *out)
{
    line += strspn(line, " \t");
    if (!strcmp(line, "physical") || !strncmp(line, "physical ", 9))
        set_physical(server, line + 8 + strspn(line + 8, " "), out);
    else if (is_gdbs_own(line))
        fprintf(out, "use the debugger's own command\n");
    else {
        if (!strcmp(line, "help"))
            print_help(out);
        run_by_target(server, line, out);
    }
}

static void monitor(struct gdb_server *server, const char *hex)
{
    uint8_t line[256];
    size_t length = strlen(hex) / 2;
    char *text = NULL;
    size_t size;
    if (length >= sizeof line || !gdb_read_bytes(&hex, line, length) || *hex) {
        gdb_say(server, "E01");
        return;
    }
    line[length] = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK(out);
    run_line(server, (const char *)line, out);
    CHECK(!fclose(out));
    gdb_console(server, text);
    free(text);
    gdb_say(server, "OK");
}

/* ---- objects ---- */

/* OFFSET,LENGTH of an object. */
static void transfer(struct gdb_server *server, const char *text, const char *object, size_t object_bytes)
{
    static const size_t most = GDB_PACKET_BYTES / 2 - 16; /* each byte may have an escape */
    uint64_t offset, size_bytes;
    char part[GDB_PACKET_BYTES];
    if (!gdb_read_hex(&text, &offset) || *text++ != ',' || !gdb_read_hex(&text, &size_bytes) || *text ||
        offset > object_bytes) {
        gdb_say(server, "E01");
        return;
    }
    if (size_bytes > most)
        size_bytes = most;
    bool last = size_bytes >= object_bytes - offset;
    if (last)
        size_bytes = object_bytes - offset;
    part[0] = last ? 'l' : 'm';
    memcpy(part + 1, object + offset, size_bytes);
    gdb_send(server, part, 1 + size_bytes);
}

static const char *behind(const char *text, const char *start)
{
    size_t length = strlen(start);
    return strncmp(text, start, length) ? NULL : text + length;
}

/* Made when its reading begins, and the same until it is read from the start again. */
static void transfer_description(struct gdb_server *server, const char *text)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(server->target.machine);
    if (!server->xml || !strncmp(text, "0,", 2)) {
        free(server->xml);
        accel->ops->get_state(accel, &state);
        server->xml = gdb_registers_xml(state.efer & 0x400, &server->xml_bytes);
    }
    transfer(server, text, server->xml, server->xml_bytes);
}

static void transfer_query(struct gdb_server *server, const char *text)
{
    const char *rest;
    if ((rest = behind(text, "features:read:target.xml:")))
        transfer_description(server, rest);
    else if ((rest = behind(text, "memory-map:read::")))
        transfer(server, rest, memory_map, sizeof memory_map - 1);
    else if (behind(text, "features:read:") || behind(text, "memory-map:read:"))
        gdb_say(server, "E00");
    else
        gdb_unknown(server);
}

/* ---- dispatch ---- */

static void say_supported(struct gdb_server *server)
{
    gdb_say(server,
            "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+;vContSupported+;swbreak+;"
            "hwbreak+;binary-upload+%s",
            GDB_PACKET_BYTES, server->target.reverse ? ";ReverseStep+;ReverseContinue+" : "");
}

/* Name up to a colon, comma or semicolon. */
static bool is_query(const char *text, const char *name)
{
    const char *rest = behind(text, name);
    return rest && (!*rest || *rest == ':' || *rest == ',' || *rest == ';');
}

void gdb_do_query(struct gdb_server *server, const char *text, size_t size_bytes)
{
    const char *rest;
    (void)size_bytes;
    if (is_query(text, "qSupported"))
        say_supported(server);
    else if (!strcmp(text, "QStartNoAckMode"))
        gdb_say(server, "OK"); /* the reader has seen it too */
    else if ((rest = behind(text, "qXfer:")))
        transfer_query(server, rest);
    else if ((rest = behind(text, "qRcmd,")))
        monitor(server, rest);
    else if (!strcmp(text, "qC"))
        gdb_say(server, "QC1");
    else if (!strcmp(text, "qfThreadInfo"))
        gdb_say(server, "m1");
    else if (!strcmp(text, "qsThreadInfo"))
        gdb_say(server, "l");
    else if (is_query(text, "qAttached"))
        gdb_say(server, "1");
    else if (behind(text, "qThreadExtraInfo,"))
        gdb_say(server, "%s", "43505523302020"); /* "CPU#0  " */
    else
        gdb_unknown(server);
}
