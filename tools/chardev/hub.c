/* The hub's thread: waits for descriptors, reads what users take, writes what is in the buffers. See chardev.h.
 *
 * Nothing here waits for a single client: all descriptors but standard input (read only when it has something) are
 * non-blocking. A user that takes nothing now is asked again when it wakes the hub, or after RECHECK_MS. */
#include "tools/chardev/chardev_internal.h"

#include "tools/chardev/terminal.h"
#include "tools/tools.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RECHECK_MS 50
#define DRAIN_MS 1000
#define PER_CHARDEV 3

struct chardev_hub *chardev_hub_create(chardev_escape_fn *escape, void *opaque)
{
    struct chardev_hub *hub = calloc(1, sizeof *hub);
    CHECK(hub);
    hub->escape = escape;
    hub->opaque = opaque;
    hub->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(hub->wake >= 0);
    return hub;
}

struct chardev *chardev_hub_add(struct chardev_hub *hub, const struct chardev_options *options, struct error *error)
{
    if (hub->count == CHARDEVS_MAX) {
        error_set(error, "at most %d character devices", CHARDEVS_MAX);
        return NULL;
    }
    struct chardev *chardev = calloc(1, sizeof *chardev);
    CHECK(chardev && !pthread_mutex_init(&chardev->lock, NULL));
    chardev->hub = hub;
    chardev->options = *options;
    if (chardev_open(chardev, error)) {
        pthread_mutex_destroy(&chardev->lock);
        free(chardev);
        return NULL;
    }
    hub->chardev[hub->count++] = chardev;
    return chardev;
}

struct chardev *chardev_hub_find(struct chardev_hub *hub, const char *label)
{
    for (unsigned n = 0; n < hub->count; n++) {
        if (!strcmp(hub->chardev[n]->options.label, label))
            return hub->chardev[n];
    }
    return NULL;
}

struct chardev *chardev_hub_at(struct chardev_hub *hub, unsigned index)
{
    return index < hub->count ? hub->chardev[index] : NULL;
}

void chardev_hub_wake(struct chardev_hub *hub)
{
    static const uint64_t one = 1;
    (void)!write(hub->wake, &one, sizeof one);
}

/* ---- one back end ---- */

static bool pty_is_open(const struct chardev *chardev)
{
    struct pollfd look = {.fd = chardev->in, .events = POLLIN};
    return poll(&look, 1, 0) >= 0 && !(look.revents & POLLHUP);
}

/* A pseudo terminal that nobody has open, a client that is to try again: looked at by time. */
static bool by_time(struct chardev *chardev, uint64_t now_ns)
{
    if (chardev->options.kind == CHARDEV_PTY && !chardev->connected) {
        if (pty_is_open(chardev))
            chardev_opened(chardev);
        return !chardev->connected;
    }
    if (chardev->options.kind == CHARDEV_SOCKET && !chardev->options.server && chardev->in < 0 &&
        chardev->options.reconnect_s) {
        if (now_ns >= chardev->retry_ns)
            chardev_socket_connect(chardev);
        return chardev->in < 0;
    }
    return false;
}

static void lost(struct chardev *chardev)
{
    if (chardev->options.kind == CHARDEV_STDIO) {
        chardev->in = -1; /* end of input: what was asked is still answered */
        for (unsigned n = 0; n < chardev->user_count; n++) {
            if (chardev->user[n].ended)
                chardev->user[n].ended(chardev->user[n].opaque);
        }
        return;
    }
    chardev_disconnect(chardev);
    if (chardev->options.kind == CHARDEV_PTY)
        return; /* the descriptor stays: the next one may open the name */
    close(chardev->in);
    if (chardev->out != chardev->in && chardev->out >= 0)
        close(chardev->out);
    chardev->in = chardev->out = -1;
    chardev->retry_ns = host_clock_ns() + chardev->options.reconnect_s * 1000000000ull;
}

static void read_some(struct chardev *chardev, size_t room)
{
    uint8_t bytes[CHARDEV_READ_BYTES];
    ssize_t got = read(chardev->in, bytes, room < sizeof bytes ? room : sizeof bytes);
    if (got > 0)
        chardev_receive(chardev, bytes, (size_t)got);
    else if (!got || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK))
        lost(chardev);
}

/* What to wait for. Returns whether to look again soon whatever happens. */
static bool prepare(struct chardev *chardev, struct pollfd wait[PER_CHARDEV], uint64_t now_ns)
{
    wait[0] = wait[1] = wait[2] = (struct pollfd){.fd = -1};
    bool soon = by_time(chardev, now_ns);
    if (chardev->connecting) {
        wait[1] = (struct pollfd){.fd = chardev->out, .events = POLLOUT};
        return soon;
    }
    if (chardev->listener >= 0 && chardev->in < 0) {
        wait[0] = (struct pollfd){.fd = chardev->listener, .events = POLLIN};
        return soon;
    }
    if (chardev->in < 0 || (chardev->options.kind == CHARDEV_PTY && !chardev->connected))
        return soon;
    if (chardev->listener >= 0 && chardev->options.turn_away)
        wait[2] = (struct pollfd){.fd = chardev->listener, .events = POLLIN};
    size_t room = chardev_room(chardev);
    wait[0] = (struct pollfd){.fd = chardev->in, .events = room ? POLLIN : 0};
    if (!chardev_is_direct(chardev) && chardev_has_output(chardev))
        wait[1] = (struct pollfd){.fd = chardev->out, .events = POLLOUT};
    return soon || room < CHARDEV_READ_BYTES;
}

/* The client has closed: whoever comes now is the next one, once the last of its bytes are read. */
static bool is_leaving(const struct chardev *chardev)
{
    struct pollfd look = {.fd = chardev->in, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLRDHUP | POLLERR));
}

static void serve(struct chardev *chardev, const struct pollfd wait[PER_CHARDEV])
{
    if (chardev->connecting) {
        if (wait[1].revents)
            chardev_socket_connected(chardev);
        return;
    }
    if (chardev->listener >= 0 && chardev->in < 0) {
        if (wait[0].revents)
            chardev_socket_accept(chardev);
        return;
    }
    if (wait[0].fd < 0)
        return;
    if (wait[2].revents && !is_leaving(chardev))
        chardev_socket_turn_away(chardev);
    if (!chardev_is_direct(chardev) && !chardev_flush(chardev)) {
        lost(chardev);
        return;
    }
    size_t room = chardev_room(chardev);
    if ((wait[0].revents & POLLIN) && room)
        read_some(chardev, room);
    else if (wait[0].revents & (POLLERR | POLLHUP | POLLNVAL))
        lost(chardev);
}

static void drain_wake(struct chardev_hub *hub)
{
    uint64_t count;
    (void)!read(hub->wake, &count, sizeof count);
}

static void turn(struct chardev_hub *hub, int timeout_ms)
{
    struct pollfd wait[1 + PER_CHARDEV * CHARDEVS_MAX];
    bool soon = false;
    uint64_t now_ns = host_clock_ns();
    wait[0] = (struct pollfd){.fd = hub->wake, .events = POLLIN};
    for (unsigned n = 0; n < hub->count; n++)
        soon |= prepare(hub->chardev[n], &wait[1 + PER_CHARDEV * n], now_ns);
    if (soon && (timeout_ms < 0 || timeout_ms > RECHECK_MS))
        timeout_ms = RECHECK_MS;
    if (poll(wait, 1 + PER_CHARDEV * hub->count, timeout_ms) < 0)
        return;
    if (wait[0].revents)
        drain_wake(hub);
    for (unsigned n = 0; n < hub->count; n++)
        serve(hub->chardev[n], &wait[1 + PER_CHARDEV * n]);
}

static void *hub_thread(void *opaque)
{
    struct chardev_hub *hub = opaque;
    while (!hub->ending)
        turn(hub, -1);
    return NULL;
}

/* ---- start and end ---- */

static enum status wait_for_client(struct chardev *chardev, struct error *error)
{
    char name[4352];
    struct pollfd wait = {.fd = chardev->listener, .events = POLLIN};
    tool_error("waiting for connection on: %s", chardev_describe(chardev, name, sizeof name));
    while (chardev->in < 0) {
        if (poll(&wait, 1, -1) < 0)
            return error_status(error, STATUS_INTERRUPTED, "%s: nobody connected", name);
        chardev_socket_accept(chardev);
    }
    return STATUS_OK;
}

/* Not before the waiting for clients is over, which a signal may end at once: the terminal would stay as it is here. */
static void take_terminal(struct chardev *chardev)
{
    if (chardev->options.kind == CHARDEV_STDIO && !chardev->options.no_input &&
        terminal_enter_raw(!chardev->options.no_signal))
        chardev->escape = true;
}

enum status chardev_hub_start(struct chardev_hub *hub, struct error *error)
{
    sigset_t all, before;
    for (unsigned n = 0; n < hub->count; n++) {
        struct chardev *chardev = hub->chardev[n];
        enum status status = STATUS_OK;
        if (chardev->options.kind == CHARDEV_STDIO || chardev->options.kind == CHARDEV_PIPE ||
            chardev->options.kind == CHARDEV_FILE || chardev->options.kind == CHARDEV_NULL)
            chardev_opened(chardev);
        else if (chardev->listener >= 0 && chardev->options.wait)
            status = wait_for_client(chardev, error);
        if (status)
            return status;
    }
    for (unsigned n = 0; n < hub->count; n++)
        take_terminal(hub->chardev[n]);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the machine thread's */
    hub->started = !pthread_create(&hub->thread, NULL, hub_thread, hub);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return hub->started ? STATUS_OK : error_status(error, STATUS_NO_MEMORY, "no thread for character devices");
}

static bool anything_left(struct chardev_hub *hub)
{
    for (unsigned n = 0; n < hub->count; n++) {
        if (hub->chardev[n]->in >= 0 && chardev_has_output(hub->chardev[n]))
            return true;
    }
    return false;
}

void chardev_hub_destroy(struct chardev_hub *hub)
{
    if (!hub)
        return;
    if (hub->started) {
        hub->ending = true;
        chardev_hub_wake(hub);
        pthread_join(hub->thread, NULL);
        uint64_t until_ns = host_clock_ns() + DRAIN_MS * 1000000ull;
        while (anything_left(hub) && host_clock_ns() < until_ns)
            turn(hub, 10);
    }
    for (unsigned n = 0; n < hub->count; n++) {
        chardev_close(hub->chardev[n]);
        pthread_mutex_destroy(&hub->chardev[n]->lock);
        free(hub->chardev[n]->buffer);
        free(hub->chardev[n]);
    }
    close(hub->wake);
    free(hub);
}
