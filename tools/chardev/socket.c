/* Sockets: servers that serve one client at a time (others wait in the backlog), and clients that may try again.
 *
 * A Unix socket is its owner's alone (mode 0600 from the start, by umask). A name that is taken by a socket nobody listens
 * at any more is taken over; any other file there is refused. An empty host means this host, not all interfaces. */
#include "tools/chardev/chardev_internal.h"

#include "tools/tools.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4
#define SOCKET_FLAGS (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

static enum status unix_address(const char *path, struct sockaddr_un *address, struct error *error)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (!*path || strlen(path) >= sizeof address->sun_path)
        return error_status(error, STATUS_INVALID, "%s: a socket's path has 1 to %zu bytes", path,
                            sizeof address->sun_path - 1);
    strcpy(address->sun_path, path);
    return STATUS_OK;
}

/* Somebody else's running server must not lose its name. */
static bool is_served(const struct sockaddr_un *address)
{
    int probe = socket(AF_UNIX, SOCKET_FLAGS, 0);
    bool served = probe >= 0 && (!connect(probe, (const struct sockaddr *)address, sizeof *address) || errno == EAGAIN);
    if (probe >= 0)
        close(probe);
    return served;
}

static enum status make_room(const struct sockaddr_un *address, struct error *error)
{
    struct stat st;
    if (lstat(address->sun_path, &st))
        return STATUS_OK; /* bind says what is wrong, if anything is */
    if (!S_ISSOCK(st.st_mode))
        return error_status(error, STATUS_INVALID, "%s: exists and is not a socket", address->sun_path);
    if (is_served(address))
        return error_status(error, STATUS_INVALID, "%s: another program listens there", address->sun_path);
    if (unlink(address->sun_path))
        return error_status(error, STATUS_IO, "%s: %s", address->sun_path, strerror(errno));
    return STATUS_OK;
}

static enum status listen_unix(struct chardev *chardev, struct error *error)
{
    struct sockaddr_un address;
    struct stat st;
    enum status status = unix_address(chardev->options.path, &address, error);
    if (!status)
        status = make_room(&address, error);
    if (status)
        return status;
    int listener = socket(AF_UNIX, SOCKET_FLAGS, 0);
    mode_t mask = umask(0177);
    bool bound = listener >= 0 && !bind(listener, (const struct sockaddr *)&address, sizeof address);
    int why = errno;
    umask(mask);
    if (!bound || listen(listener, BACKLOG)) {
        if (listener >= 0)
            close(listener);
        return error_status(error, STATUS_IO, "%s: %s", address.sun_path, strerror(bound ? errno : why));
    }
    chardev->listener = listener;
    if (!lstat(address.sun_path, &st)) {
        chardev->bound = true;
        chardev->bound_device = st.st_dev;
        chardev->bound_inode = st.st_ino;
    }
    return STATUS_OK;
}

static struct addrinfo *resolve(const struct chardev_options *options, struct error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    const char *host = options->host && *options->host ? options->host : "localhost";
    int result = getaddrinfo(host, options->port, &hints, &list);
    if (result)
        error_set(error, "%s:%s: %s", host, options->port, gai_strerror(result));
    return result ? NULL : list;
}

static enum status listen_tcp(struct chardev *chardev, struct error *error)
{
    static const int on = 1;
    struct addrinfo *list = resolve(&chardev->options, error);
    int why = 0;
    for (struct addrinfo *at = list; at && chardev->listener < 0; at = at->ai_next) {
        int listener = socket(at->ai_family, SOCKET_FLAGS, 0);
        if (listener >= 0)
            (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (listener >= 0 && !bind(listener, at->ai_addr, at->ai_addrlen) && !listen(listener, BACKLOG)) {
            chardev->listener = listener;
        } else {
            why = errno;
            if (listener >= 0)
                close(listener);
        }
    }
    if (list)
        freeaddrinfo(list);
    if (chardev->listener < 0)
        return error_status(error, STATUS_IO, "%s:%s: %s", chardev->options.host, chardev->options.port, strerror(why));
    return STATUS_OK;
}

/* ---- clients ---- */

static void note_connected(struct chardev *chardev)
{
    static const int on = 1;
    if (!chardev->options.path)
        (void)setsockopt(chardev->in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    chardev->connecting = false;
    chardev_opened(chardev);
}

static void retry_later(struct chardev *chardev)
{
    if (chardev->in >= 0)
        close(chardev->in);
    chardev->in = chardev->out = -1;
    chardev->connecting = false;
    chardev->retry_ns = host_clock_ns() + chardev->options.reconnect_s * 1000000000ull;
}

static int begin_connect(const struct chardev_options *options, struct error *error)
{
    struct sockaddr_un local;
    if (options->path) {
        if (unix_address(options->path, &local, error))
            return -1;
        int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&local, sizeof local) && errno != EINPROGRESS) {
            error_set(error, "%s: %s", options->path, strerror(errno));
            close(fd);
            return -1;
        }
        return fd;
    }
    struct addrinfo *list = resolve(options, error);
    int fd = list ? socket(list->ai_family, SOCKET_FLAGS, 0) : -1;
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) && errno != EINPROGRESS) {
        error_set(error, "%s:%s: %s", options->host, options->port, strerror(errno));
        close(fd);
        fd = -1;
    }
    if (list)
        freeaddrinfo(list);
    return fd;
}

void chardev_socket_connect(struct chardev *chardev)
{
    struct error error = {0};
    chardev->in = chardev->out = begin_connect(&chardev->options, &error);
    chardev->connecting = chardev->in >= 0;
    if (!chardev->connecting)
        retry_later(chardev);
}

void chardev_socket_connected(struct chardev *chardev)
{
    int why = 0;
    socklen_t size = sizeof why;
    if (getsockopt(chardev->in, SOL_SOCKET, SO_ERROR, &why, &size) || why)
        retry_later(chardev);
    else
        note_connected(chardev);
}

/* The first try is waited for (a local connect is at once), so that a wrong name is an error at the start. */
static enum status connect_first(struct chardev *chardev, struct error *error)
{
    chardev->in = chardev->out = begin_connect(&chardev->options, error);
    chardev->connecting = chardev->in >= 0;
    if (chardev->in < 0 && !chardev->options.reconnect_s)
        return STATUS_IO;
    if (chardev->in < 0)
        retry_later(chardev);
    return STATUS_OK;
}

void chardev_socket_accept(struct chardev *chardev)
{
    int fd = accept4(chardev->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    chardev->in = chardev->out = fd;
    note_connected(chardev);
}

void chardev_socket_turn_away(struct chardev *chardev)
{
    int fd = accept4(chardev->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

enum status chardev_socket_open(struct chardev *chardev, struct error *error)
{
    if (!chardev->options.server)
        return connect_first(chardev, error);
    return chardev->options.path ? listen_unix(chardev, error) : listen_tcp(chardev, error);
}

void chardev_socket_close(struct chardev *chardev)
{
    struct stat st;
    if (chardev->listener >= 0)
        close(chardev->listener);
    chardev->listener = -1;
    if (chardev->bound && !lstat(chardev->options.path, &st) && st.st_dev == chardev->bound_device &&
        st.st_ino == chardev->bound_inode)
        unlink(chardev->options.path);
    chardev->bound = false;
}
