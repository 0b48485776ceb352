/* Character back ends: where the bytes of serial ports, monitors and QMP go, and come from.
 *
 * A hub owns the back ends and one host thread, which does all input and all that may have to wait. Output is put in from
 * any thread. Standard output and files are written at once and lose nothing (they may block, as any program's output);
 * sockets, pipes and pseudo terminals have a bounded buffer, which the thread empties: a reader that is too slow loses
 * what does not fit, or, where half an answer would be worse than none, its connection.
 *
 * What comes in goes to a user (a serial port, a monitor), on the hub's thread, which only posts it on. A back end with
 * mux=on has several users, of which the one in focus gets the input; Ctrl-A c hands the focus on. */
#ifndef VMRR_TOOLS_CHARDEV_CHARDEV_H
#define VMRR_TOOLS_CHARDEV_CHARDEV_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHARDEV_LABEL_BYTES 64
#define CHARDEVS_MAX 16
#define CHARDEV_USERS 4
#define CHARDEV_BUFFER_BYTES (1u << 20)
#define CHARDEV_READ_BYTES 512 /* at most so much comes in one call of receive */

enum chardev_kind {
    CHARDEV_NULL,
    CHARDEV_STDIO,
    CHARDEV_FILE,
    CHARDEV_PIPE,
    CHARDEV_PTY,
    CHARDEV_SOCKET,
};

/* Strings are borrowed. */
struct chardev_options {
    char label[CHARDEV_LABEL_BYTES];
    enum chardev_kind kind;
    const char *path;        /* file, pipe, Unix socket */
    const char *host, *port; /* TCP socket */
    unsigned reconnect_s;    /* client: try again after so many seconds; 0: never */
    bool server, wait;       /* socket */
    bool append;             /* file */
    bool no_signal;          /* stdio: Ctrl-C is a character like any other */
    bool no_input;           /* stdio: output alone */
    bool mux;
    bool turn_away; /* server: a second client's connection is closed at once, instead of waiting for the first to go */
};

/* All on the hub's thread. */
struct chardev_user {
    /* At most room() bytes. */
    void (*receive)(void *opaque, const uint8_t *bytes, size_t size_bytes);
    /* How many bytes it takes now: the back end is not read beyond that, and if that is less than CHARDEV_READ_BYTES it is
     * asked again soon. Null: any. */
    size_t (*room)(void *opaque);
    void (*opened)(void *opaque);  /* someone is at the other end now; may be null */
    void (*closed)(void *opaque);  /* may be null */
    void (*ended)(void *opaque);   /* standard input is at its end; output still goes; may be null */
    void (*focused)(void *opaque); /* mux: the input is this user's now; may be null */
    void *opaque;
    bool whole; /* output that does not fit ends the connection, instead of being dropped */
};

struct chardev;
struct chardev_hub;

/* Ctrl-A and a letter at a terminal, or at any back end with mux=on: x, p, r, b come here (hub's thread). */
typedef void chardev_escape_fn(void *opaque, char letter);

struct chardev_hub *chardev_hub_create(chardev_escape_fn *escape, void *opaque);
/* Opens the back end; listens, but does not wait. Null with the error set if that cannot be done. The hub's. */
struct chardev *chardev_hub_add(struct chardev_hub *hub, const struct chardev_options *options, struct error *error);
struct chardev *chardev_hub_find(struct chardev_hub *hub, const char *label); /* null: none */
struct chardev *chardev_hub_at(struct chardev_hub *hub, unsigned index);      /* null: behind the last */
/* Waits for the clients of servers with wait=on, then starts the thread. A signal ends the wait: STATUS_INTERRUPTED. */
enum status chardev_hub_start(struct chardev_hub *hub, struct error *error) MUST_CHECK;
/* The hub looks again at what the users take. Any thread. */
void chardev_hub_wake(struct chardev_hub *hub);
void chardev_wake(struct chardev *chardev);
/* Gives clients a moment to take what is in the buffers, closes, removes the sockets. Null allowed. */
void chardev_hub_destroy(struct chardev_hub *hub);

/* Before start. False: it has a user already, and no mux. */
bool chardev_attach(struct chardev *chardev, const struct chardev_user *user);
/* Any thread. */
void chardev_write(struct chardev *chardev, const void *bytes, size_t size_bytes);
/* The same, if the connection is still the one with this number. */
void chardev_write_to(struct chardev *chardev, uint32_t connection, const void *bytes, size_t size_bytes);
uint32_t chardev_connection(struct chardev *chardev);

const char *chardev_label(const struct chardev *chardev);
bool chardev_is_terminal(const struct chardev *chardev); /* a person's: echo what is typed */
bool chardev_has_input(const struct chardev *chardev);
bool chardev_is_mux(const struct chardev *chardev);
bool chardev_used(const struct chardev *chardev);
/* QEMU's words for it: "disconnected:unix:PATH,server=on". Returns buffer. */
const char *chardev_describe(struct chardev *chardev, char *buffer, size_t size_bytes);

#endif
