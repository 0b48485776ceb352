/* See remote.h. Framing is the stub's (tools/gdbstub/packet.h), used from the other end. Not modelled: the vCont packet, threads beyond
 * the one that the target has chosen, notifications, run-length encoding of what is not registers or memory. */
#include "tools/lockstep/remote.h"

#include "tools/gdbstub/packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_BYTES 0x8000u
#define PACKETS_MAX 64u /* that a reply may be waited for */
#define PIECES_MAX 256u /* of a document */
#define INCLUDES_MAX 16u
#define RLE_BIAS 29
#define WINDOW 16u /* requests */
#define PENDING_MAX 48u

struct remote {
    struct remote_wire wire;
    struct gdb_reader reader;
    bool has_packet, bad_packet;
    size_t packet_bytes;
    uint8_t packet[GDB_PACKET_BYTES + 1];
    char reply[REPLY_BYTES + 1]; /* without run-length encoding */
    size_t reply_bytes;
    bool no_ack, physical_now, has_physical;
    bool deferred;
    unsigned pending; /* writes whose replies nobody has waited for */
    bool pipelined;   /* a request may be sent before the one before it is answered */
    struct remote_registers registers;
    uint8_t raw[REMOTE_REGISTERS_MAX * 64];
    /* while the description is read */
    unsigned next, includes;
    struct error *error;
};

/* ---- packets ---- */

static void got_item(void *opaque, enum gdb_item item, const uint8_t *data, size_t size)
{
    struct remote *remote = opaque;
    if (item == GDB_BAD_PACKET)
        remote->bad_packet = true;
    if (item != GDB_PACKET || remote->has_packet)
        return;
    remote->has_packet = true;
    remote->packet_bytes = size;
    memcpy(remote->packet, data, size);
}

static bool send_text(struct remote *remote, const char *text)
{
    size_t size;
    uint8_t *packet = gdb_packet_make(text, strlen(text), &size);
    bool sent = remote->wire.send(remote->wire.opaque, packet, size);
    free(packet);
    return sent;
}

/* 'X*c': X so many times more. False: it makes no sense, or is too long. */
static bool expand(struct remote *remote, bool encoded)
{
    size_t used = 0;
    for (size_t n = 0; n < remote->packet_bytes; n++) {
        bool run = encoded && remote->packet[n] == '*' && n + 1 < remote->packet_bytes && used;
        int more = run ? remote->packet[n + 1] - RLE_BIAS : 1;
        char byte = run ? remote->reply[used - 1] : (char)remote->packet[n];
        if (more < 1 || used + (size_t)more > REPLY_BYTES)
            return false;
        memset(remote->reply + used, byte, (size_t)more);
        used += (size_t)more;
        n += run;
    }
    remote->reply[used] = 0;
    remote->reply_bytes = used;
    return true;
}

static enum status lost(struct error *error)
{
    return error_status(error, STATUS_IO, "the remote target is gone, or does not answer");
}

static enum status get_packet(struct remote *remote, bool encoded, struct error *error)
{
    uint8_t byte;
    remote->has_packet = remote->bad_packet = false;
    for (size_t n = 0; !remote->has_packet && n < PACKETS_MAX * GDB_PACKET_BYTES; n++) {
        if (remote->wire.receive(remote->wire.opaque, &byte, 1) != 1)
            return lost(error);
        gdb_reader_feed(&remote->reader, &byte, 1);
        if (remote->bad_packet)
            return error_status(error, STATUS_CORRUPT, "the remote target sent what is no packet");
    }
    if (!remote->has_packet)
        return error_status(error, STATUS_CORRUPT, "the remote target sends no packets");
    if (!remote->no_ack)
        (void)remote->wire.send(remote->wire.opaque, (const uint8_t *)"+", 1);
    return expand(remote, encoded) ? STATUS_OK
                                   : error_status(error, STATUS_CORRUPT, "the remote target's reply makes no sense");
}

static bool is_ok(const struct remote *remote)
{
    return !strcmp(remote->reply, "OK");
}

/* All but `leave` of them. */
static enum status settle(struct remote *remote, unsigned leave, struct error *error)
{
    enum status status = STATUS_OK;
    while (remote->pending > leave && !status) {
        remote->pending--;
        status = get_packet(remote, true, error);
        if (!status && !is_ok(remote))
            status = error_status(error, STATUS_UNSUPPORTED, "the remote target does not take what is written");
    }
    return status;
}

static enum status ask(struct remote *remote, const char *text, struct error *error)
{
    enum status settled = settle(remote, 0, error);
    if (settled)
        return settled;
    bool document = !strncmp(text, "qXfer", 5);
    return send_text(remote, text) ? get_packet(remote, !document, error) : lost(error);
}

/* ---- what it is ---- */

/* A document of the description; owned by the caller. */
static enum status fetch_document(struct remote *remote, const char *name, char **document, struct error *error)
{
    char request[128];
    size_t used = 0;
    char *text = malloc(1);
    CHECK(text);
    text[0] = 0;
    for (unsigned piece = 0; piece < PIECES_MAX; piece++) {
        snprintf(request, sizeof request, "qXfer:features:read:%s:%zx,ffb", name, used);
        enum status status = ask(remote, request, error);
        bool more = remote->reply[0] == 'm', last = remote->reply[0] == 'l';
        if (status || (!more && !last) || (more && remote->reply_bytes == 1)) {
            free(text);
            return status ? status
                          : error_status(error, STATUS_UNSUPPORTED, "the remote target describes no registers");
        }
        text = realloc(text, used + remote->reply_bytes);
        CHECK(text);
        memcpy(text + used, remote->reply + 1, remote->reply_bytes); /* and the zero byte */
        used += remote->reply_bytes - 1;
        if (last) {
            *document = text;
            return STATUS_OK;
        }
    }
    free(text);
    return error_status(error, STATUS_CORRUPT, "the remote target's description has no end");
}

static enum status add_document(void *opaque, const char *name)
{
    struct remote *remote = opaque;
    char *document = NULL;
    if (remote->includes++ == INCLUDES_MAX || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") != strlen(name))
        return error_status(remote->error, STATUS_CORRUPT, "the remote target's description includes too much");
    enum status status = fetch_document(remote, name, &document, remote->error);
    if (!status)
        status = remote_registers_add(&remote->registers, document, &remote->next, add_document, remote, remote->error);
    free(document);
    return status;
}

static bool has_register(const struct remote *remote, const char *name)
{
    for (unsigned n = 0; n < remote->registers.count; n++) {
        if (!strcmp(remote->registers.list[n].name, name))
            return true;
    }
    return false;
}

static enum status negotiate(struct remote *remote, struct error *error)
{
    enum status status = ask(remote, "qSupported:xmlRegisters=i386", error);
    if (!status)
        status = ask(remote, "QStartNoAckMode", error);
    remote->no_ack = !status && is_ok(remote);
    if (!status)
        status = ask(remote, "?", error);
    remote->error = error;
    if (!status)
        status = add_document(remote, "target.xml");
    if (!status &&
        (!remote_registers_place(&remote->registers) || (!has_register(remote, "rip") && !has_register(remote, "eip"))))
        status = error_status(error, STATUS_UNSUPPORTED, "the remote target is no x86 CPU");
    if (!status)
        status = ask(remote, "qqemu.PhyMemMode", error);
    remote->has_physical = !status && (!strcmp(remote->reply, "0") || !strcmp(remote->reply, "1"));
    remote->physical_now = !strcmp(remote->reply, "1");
    remote->pipelined = remote->no_ack || remote->has_physical; /* QEMU takes the next request for an acknowledgement */
    return status;
}

struct remote *remote_create(const struct remote_wire *wire, struct error *error)
{
    struct remote *remote = calloc(1, sizeof *remote);
    CHECK(remote);
    remote->wire = *wire;
    remote->reader.item = got_item;
    remote->reader.opaque = remote;
    if (!negotiate(remote, error))
        return remote;
    remote_close(remote);
    return NULL;
}

void remote_close(struct remote *remote)
{
    if (!remote)
        return;
    if (remote->wire.close)
        remote->wire.close(remote->wire.opaque);
    free(remote);
}

/* ---- registers ---- */

enum status remote_read_cpu(struct remote *remote, struct cpu_state *state, struct error *error)
{
    enum status status = ask(remote, "g", error);
    size_t known = 0;
    if (status)
        return status;
    const char *text = remote->reply;
    while (known < remote->registers.bytes && known < sizeof remote->raw &&
           gdb_read_bytes(&text, &remote->raw[known], 1))
        known++;
    if (!known)
        return error_status(error, STATUS_CORRUPT, "the remote target gives no registers");
    remote_registers_take(&remote->registers, remote->raw, known, state);
    return STATUS_OK;
}

enum status remote_write_cpu(struct remote *remote, const struct cpu_state *from, const struct cpu_state *to,
                             struct error *error)
{
    enum status status = STATUS_OK;
    for (unsigned n = 0; n < remote->registers.count && !status; n++) {
        const struct remote_register *reg = &remote->registers.list[n];
        uint8_t before[64], after[64];
        char request[160];
        if (!remote_register_value(reg, from, before) || !remote_register_value(reg, to, after) ||
            !memcmp(before, after, sizeof after))
            continue;
        int length = snprintf(request, sizeof request, "P%x=", (unsigned)reg->number);
        gdb_write_bytes(request + length, after, reg->bits / 8u);
        status = ask(remote, request, error);
        if (!status && !is_ok(remote))
            status =
                error_status(error, STATUS_UNSUPPORTED, "the remote target does not let its %s be written", reg->name);
    }
    return status;
}

enum status remote_write_register(struct remote *remote, const char *name, uint64_t value, struct error *error)
{
    for (unsigned n = 0; n < remote->registers.count; n++) {
        const struct remote_register *reg = &remote->registers.list[n];
        uint8_t bytes[64] = {0};
        char request[160];
        if (strcmp(reg->name, name) != 0)
            continue;
        memcpy(bytes, &value, sizeof value);
        int length = snprintf(request, sizeof request, "P%x=", (unsigned)reg->number);
        gdb_write_bytes(request + length, bytes, reg->bits / 8u);
        if (remote->deferred && send_text(remote, request)) {
            remote->pending++;
            return settle(remote, PENDING_MAX, error);
        }
        enum status status = ask(remote, request, error);
        return status || is_ok(remote)
                   ? status
                   : error_status(error, STATUS_UNSUPPORTED, "the remote target does not let its %s be written", name);
    }
    return error_status(error, STATUS_NOT_FOUND, "the remote target has no register %s", name);
}

enum status remote_insert_breakpoint(struct remote *remote, uint64_t linear, struct error *error)
{
    char request[64];
    snprintf(request, sizeof request, "Z0,%llx,1", (unsigned long long)linear);
    enum status status = ask(remote, request, error);
    return status || is_ok(remote)
               ? status
               : error_status(error, STATUS_UNSUPPORTED, "the remote target takes no breakpoint at %#llx",
                              (unsigned long long)linear);
}

/* Stop replies; what the target writes to its console meanwhile is passed over. *ended: it has exited. */
static enum status await_stop(struct remote *remote, bool *ended, struct error *error)
{
    *ended = false;
    for (unsigned n = 0; n < PACKETS_MAX; n++) {
        enum status status = get_packet(remote, true, error);
        char kind = remote->reply[0];
        if (status || kind == 'T' || kind == 'S')
            return status;
        *ended = kind == 'W' || kind == 'X';
        if (*ended)
            return STATUS_OK;
        if (kind != 'O')
            break;
    }
    return error_status(error, STATUS_CORRUPT, "the remote target does not stop: %.32s", remote->reply);
}

enum status remote_continue(struct remote *remote, int timeout_ms, bool *late, struct error *error)
{
    bool ended;
    uint8_t ack;
    enum status status = settle(remote, 0, error); /* an acknowledgement that comes later would stop QEMU */
    if (status)
        return status;
    if (!send_text(remote, "c"))
        return lost(error);
    if (!remote->no_ack &&
        remote->wire.receive(remote->wire.opaque, &ack, 1) == 1) /* of the request, before anything runs */
        gdb_reader_feed(&remote->reader, &ack, 1);
    *late = remote->wire.ready && !remote->wire.ready(remote->wire.opaque, timeout_ms);
    if (*late && !remote->wire.send(remote->wire.opaque, (const uint8_t *)"\3", 1))
        return lost(error);
    status = await_stop(remote, &ended, error);
    return status || !ended ? status : lost(error);
}

enum status remote_step(struct remote *remote, bool *ended, struct error *error)
{
    *ended = false;
    enum status status = settle(remote, 0, error);
    if (status)
        return status;
    return send_text(remote, "s") ? await_stop(remote, ended, error) : lost(error);
}

/* ---- memory ---- */

bool remote_has_physical(const struct remote *remote)
{
    return remote->has_physical;
}

static enum status set_physical(struct remote *remote, bool physical, struct error *error)
{
    if (remote->physical_now == physical)
        return STATUS_OK;
    if (!remote->has_physical)
        return error_status(error, STATUS_UNSUPPORTED, "the remote target has no physical addresses");
    enum status status = ask(remote, physical ? "Qqemu.PhyMemMode:1" : "Qqemu.PhyMemMode:0", error);
    remote->physical_now = physical;
    return status;
}

static bool send_read(struct remote *remote, uint64_t address, size_t size_bytes)
{
    char request[64];
    CHECK(size_bytes && size_bytes <= REMOTE_MEMORY_BYTES);
    snprintf(request, sizeof request, "m%llx,%zx", (unsigned long long)address, size_bytes);
    return send_text(remote, request);
}

static enum status take_read(struct remote *remote, uint64_t address, uint8_t *bytes, size_t size_bytes,
                             struct error *error)
{
    enum status status = get_packet(remote, true, error);
    const char *text = remote->reply;
    if (status)
        return status;
    if (remote->reply[0] == 'E' && remote->reply_bytes == 3)
        return error_status(error, STATUS_NOT_FOUND, "the remote target has no memory at %#llx",
                            (unsigned long long)address);
    return gdb_read_bytes(&text, bytes, size_bytes) && !*text
               ? STATUS_OK
               : error_status(error, STATUS_CORRUPT, "the remote target gives no memory");
}

static bool send_write(struct remote *remote, uint64_t address, const uint8_t *bytes, size_t size_bytes)
{
    char request[64 + 2 * REMOTE_MEMORY_BYTES];
    CHECK(size_bytes && size_bytes <= REMOTE_MEMORY_BYTES);
    int length = snprintf(request, 64, "M%llx,%zx:", (unsigned long long)address, size_bytes);
    gdb_write_bytes(request + length, bytes, size_bytes);
    return send_text(remote, request);
}

static enum status take_written(struct remote *remote, uint64_t address, struct error *error)
{
    enum status status = get_packet(remote, true, error);
    return status || is_ok(remote)
               ? status
               : error_status(error, STATUS_UNSUPPORTED, "the remote target takes no memory at %#llx",
                              (unsigned long long)address);
}

enum status remote_read_memory(struct remote *remote, uint64_t address, bool physical, uint8_t *bytes,
                               size_t size_bytes, struct error *error)
{
    enum status status = settle(remote, 0, error);
    if (!status)
        status = set_physical(remote, physical, error);
    if (status)
        return status;
    return send_read(remote, address, size_bytes) ? take_read(remote, address, bytes, size_bytes, error) : lost(error);
}

enum status remote_write_memory(struct remote *remote, uint64_t address, bool physical, const uint8_t *bytes,
                                size_t size_bytes, struct error *error)
{
    enum status status = settle(remote, 0, error);
    if (!status)
        status = set_physical(remote, physical, error);
    if (status)
        return status;
    return send_write(remote, address, bytes, size_bytes) ? take_written(remote, address, error) : lost(error);
}

static size_t piece_at(size_t at, size_t size_bytes)
{
    return size_bytes - at < REMOTE_MEMORY_BYTES ? size_bytes - at : REMOTE_MEMORY_BYTES;
}

/* So many requests are under way at most: replies that nobody takes fill the connection, and then both wait. */
static size_t window(const struct remote *remote)
{
    return remote->pipelined ? WINDOW : 1;
}

static enum status take_pieces(struct remote *remote, uint64_t address, uint8_t *bytes, size_t from, size_t to,
                               struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t at = from; at < to && !status; at += REMOTE_MEMORY_BYTES)
        status = bytes ? take_read(remote, address + at, bytes + at, piece_at(at, to), error)
                       : take_written(remote, address + at, error);
    return status;
}

enum status remote_read_block(struct remote *remote, uint64_t address, bool physical, uint8_t *bytes, size_t size_bytes,
                              struct error *error)
{
    enum status status = settle(remote, 0, error);
    if (!status)
        status = set_physical(remote, physical, error);
    CHECK(size_bytes <= REMOTE_BLOCK_BYTES);
    for (size_t from = 0, to; from < size_bytes && !status; from = to) {
        to = from + window(remote) * REMOTE_MEMORY_BYTES < size_bytes ? from + window(remote) * REMOTE_MEMORY_BYTES
                                                                      : size_bytes;
        for (size_t at = from; at < to; at += REMOTE_MEMORY_BYTES) {
            if (!send_read(remote, address + at, piece_at(at, to)))
                return lost(error);
        }
        status = take_pieces(remote, address, bytes, from, to, error);
    }
    return status;
}

enum status remote_write_block(struct remote *remote, uint64_t address, bool physical, const uint8_t *bytes,
                               size_t size_bytes, struct error *error)
{
    enum status status = set_physical(remote, physical, error);
    CHECK(size_bytes <= REMOTE_BLOCK_BYTES);
    for (size_t from = 0, to; from < size_bytes && !status; from = to) {
        to = from + window(remote) * REMOTE_MEMORY_BYTES < size_bytes ? from + window(remote) * REMOTE_MEMORY_BYTES
                                                                      : size_bytes;
        for (size_t at = from; at < to; at += REMOTE_MEMORY_BYTES, remote->pending += remote->deferred) {
            if (!send_write(remote, address + at, bytes + at, piece_at(at, to)))
                return lost(error);
        }
        status =
            remote->deferred ? settle(remote, PENDING_MAX, error) : take_pieces(remote, address, NULL, from, to, error);
    }
    return status;
}

void remote_defer_writes(struct remote *remote)
{
    remote->deferred = remote->pipelined;
}
