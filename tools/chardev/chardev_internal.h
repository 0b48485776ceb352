/* Inside of the hub: chardev.c (users, output), hub.c (the thread), backend.c and socket.c (opening). */
#ifndef VMRR_TOOLS_CHARDEV_CHARDEV_INTERNAL_H
#define VMRR_TOOLS_CHARDEV_CHARDEV_INTERNAL_H

#include "tools/chardev/chardev.h"

#include <pthread.h>
#include <sys/types.h>

struct chardev {
    struct chardev_hub *hub;
    struct chardev_options options;
    struct chardev_user user[CHARDEV_USERS];
    unsigned user_count, focus;
    char *name; /* pty: the slave's; owned */
    /* the hub's thread */
    int listener;         /* server; else -1 */
    int in, out;          /* -1: none; the same for a socket */
    bool escape, escaped; /* Ctrl-A is looked for; the last byte was one */
    bool connecting;      /* a client's connect is under way */
    bool bound;           /* the Unix socket's name is ours to remove */
    dev_t bound_device;   /* which file that was */
    ino_t bound_inode;
    uint64_t retry_ns; /* when to connect, or to look at a pty, again */
    /* under lock: the output */
    pthread_mutex_t lock;
    bool connected; /* someone may be at the other end */
    bool doomed;    /* to be disconnected */
    uint32_t connection;
    uint8_t *buffer; /* a ring, made when first needed */
    size_t first, used;
    uint64_t dropped_bytes;
};

struct chardev_hub {
    struct chardev *chardev[CHARDEVS_MAX];
    unsigned count;
    chardev_escape_fn *escape;
    void *opaque;
    int wake; /* eventfd */
    pthread_t thread;
    bool started;
    _Atomic bool ending;
};

/* backend.c: opens what the options say. */
enum status chardev_open(struct chardev *chardev, struct error *error) MUST_CHECK;
void chardev_close(struct chardev *chardev);
/* Written at once, by whoever has something to say, instead of through the buffer. */
bool chardev_is_direct(const struct chardev *chardev);

/* socket.c */
enum status chardev_socket_open(struct chardev *chardev, struct error *error) MUST_CHECK;
void chardev_socket_accept(struct chardev *chardev);
void chardev_socket_turn_away(struct chardev *chardev); /* takes the next client's connection and closes it */
/* A client: begins to connect; connected or not is known when the socket is writable. */
void chardev_socket_connect(struct chardev *chardev);
void chardev_socket_connected(struct chardev *chardev);
void chardev_socket_close(struct chardev *chardev);

/* chardev.c */
void chardev_opened(struct chardev *chardev);
void chardev_disconnect(struct chardev *chardev);
size_t chardev_room(struct chardev *chardev);
void chardev_receive(struct chardev *chardev, const uint8_t *bytes, size_t size_bytes);
/* Writes of the buffer what the descriptor takes. False: the connection is broken. */
bool chardev_flush(struct chardev *chardev);
bool chardev_has_output(struct chardev *chardev);

#endif
