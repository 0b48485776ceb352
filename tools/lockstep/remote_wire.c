/* The connection to a remote target: a Unix socket or TCP. A target that is silent for SILENCE_MS is taken for gone. */
#include "tools/lockstep/remote.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SILENCE_MS 30000
#define BUFFER_BYTES 4096u

struct wire {
    int socket;
    size_t at, used;
    uint8_t buffer[BUFFER_BYTES];
};

static bool wire_send(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct wire *wire = opaque;
    while (size_bytes) {
        ssize_t sent = send(wire->socket, bytes, size_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        bytes += sent;
        size_bytes -= (size_t)sent;
    }
    return true;
}

static bool fill(struct wire *wire)
{
    struct pollfd ready = {.fd = wire->socket, .events = POLLIN};
    int got;
    do
        got = poll(&ready, 1, SILENCE_MS);
    while (got < 0 && errno == EINTR);
    ssize_t size = got > 0 ? recv(wire->socket, wire->buffer, sizeof wire->buffer, 0) : 0;
    wire->at = 0;
    wire->used = size > 0 ? (size_t)size : 0;
    return wire->used;
}

static int wire_receive(void *opaque, uint8_t *bytes, size_t size_bytes)
{
    struct wire *wire = opaque;
    if (wire->at == wire->used && !fill(wire))
        return 0;
    size_t size = wire->used - wire->at < size_bytes ? wire->used - wire->at : size_bytes;
    memcpy(bytes, wire->buffer + wire->at, size);
    wire->at += size;
    return (int)size;
}

static bool wire_ready(void *opaque, int timeout_ms)
{
    struct wire *wire = opaque;
    struct pollfd ready = {.fd = wire->socket, .events = POLLIN};
    return wire->at != wire->used || poll(&ready, 1, timeout_ms) != 0;
}

static void wire_close(void *opaque)
{
    struct wire *wire = opaque;
    if (wire->socket >= 0)
        close(wire->socket);
    free(wire);
}

static enum status connect_unix(struct wire *wire, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof address.sun_path)
        return error_status(error, STATUS_INVALID, "gdb:unix:%s: a socket's path has 1 to %zu bytes", path,
                            sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    wire->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->socket < 0 || connect(wire->socket, (const struct sockaddr *)&address, sizeof address))
        return error_status(error, STATUS_IO, "gdb:unix:%s: %s", path, strerror(errno));
    return STATUS_OK;
}

static enum status connect_tcp(struct wire *wire, const char *text, struct error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const char *colon = strrchr(text, ':');
    char host[256];
    if (!colon || !colon[1] || (size_t)(colon - text) >= sizeof host)
        return error_status(error, STATUS_INVALID, "gdb:tcp:%s: expected HOST:PORT", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    int why = getaddrinfo(host[0] ? host : "localhost", colon + 1, &hints, &list);
    if (why)
        return error_status(error, STATUS_IO, "gdb:tcp:%s: %s", text, gai_strerror(why));
    for (const struct addrinfo *at = list; at && wire->socket < 0; at = at->ai_next) {
        wire->socket = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, at->ai_protocol);
        if (wire->socket >= 0 && !connect(wire->socket, at->ai_addr, at->ai_addrlen))
            break;
        why = errno;
        if (wire->socket >= 0)
            close(wire->socket);
        wire->socket = -1;
    }
    freeaddrinfo(list);
    if (wire->socket < 0)
        return error_status(error, STATUS_IO, "gdb:tcp:%s: %s", text, strerror(why));
    (void)setsockopt(wire->socket, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return STATUS_OK;
}

struct remote *remote_open(const char *where, struct error *error)
{
    struct wire *wire = calloc(1, sizeof *wire);
    enum status status;
    CHECK(wire);
    wire->socket = -1;
    if (!strncmp(where, "unix:", 5))
        status = connect_unix(wire, where + 5, error);
    else if (!strncmp(where, "tcp:", 4))
        status = connect_tcp(wire, where + 4, error);
    else
        status = error_status(error, STATUS_INVALID, "gdb:%s: expected unix:PATH or tcp:HOST:PORT", where);
    if (status) {
        wire_close(wire);
        return NULL;
    }
    return remote_create(&(struct remote_wire){wire, wire_send, wire_receive, wire_ready, wire_close}, error);
}
