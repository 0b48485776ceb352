/* Opening and closing of back ends but sockets: standard input and output, files, pipes (path.in and path.out, or one
 * path for both, as in QEMU), pseudo terminals. */
#include "tools/chardev/chardev_internal.h"

#include "tools/chardev/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

bool chardev_is_direct(const struct chardev *chardev)
{
    return chardev->options.kind == CHARDEV_STDIO || chardev->options.kind == CHARDEV_FILE;
}

static enum status open_file(struct chardev *chardev, struct error *error)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (chardev->options.append ? O_APPEND : O_TRUNC);
    chardev->out = open(chardev->options.path, flags, 0666);
    if (chardev->out < 0)
        return error_status(error, STATUS_IO, "%s: %s", chardev->options.path, strerror(errno));
    return STATUS_OK;
}

/* Both ends of a FIFO are opened for reading and writing: so neither open nor write waits for the other side. */
static int open_end(const char *path, const char *suffix)
{
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s%s", path, suffix) >= sizeof name)
        return -1;
    return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static enum status open_pipe(struct chardev *chardev, struct error *error)
{
    const char *path = chardev->options.path;
    chardev->in = open_end(path, ".in");
    chardev->out = open_end(path, ".out");
    if (chardev->in < 0 || chardev->out < 0) {
        if (chardev->in >= 0)
            close(chardev->in);
        if (chardev->out >= 0)
            close(chardev->out);
        chardev->in = chardev->out = open_end(path, "");
    }
    if (chardev->in < 0)
        return error_status(error, STATUS_IO, "%s.in, %s.out: %s", path, path, strerror(errno));
    return STATUS_OK;
}

static enum status open_pty(struct chardev *chardev, struct error *error)
{
    char name[128];
    struct termios raw;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, name, sizeof name)) {
        if (master >= 0)
            close(master);
        return error_status(error, STATUS_IO, "no pseudo terminal: %s", strerror(errno));
    }
    if (!tcgetattr(master, &raw)) {
        cfmakeraw(&raw);
        (void)tcsetattr(master, TCSANOW, &raw);
    }
    chardev->name = strdup(name);
    CHECK(chardev->name);
    chardev->in = chardev->out = master;
    printf("char device redirected to %s (label %s)\n", name, chardev->options.label);
    fflush(stdout);
    return STATUS_OK;
}

enum status chardev_open(struct chardev *chardev, struct error *error)
{
    chardev->in = chardev->out = chardev->listener = -1;
    chardev->escape = chardev->options.mux;
    switch (chardev->options.kind) {
    case CHARDEV_NULL: return STATUS_OK;
    case CHARDEV_STDIO: chardev->in = chardev->options.no_input ? -1 : STDIN_FILENO; return STATUS_OK;
    case CHARDEV_FILE: return open_file(chardev, error);
    case CHARDEV_PIPE: return open_pipe(chardev, error);
    case CHARDEV_PTY: return open_pty(chardev, error);
    case CHARDEV_SOCKET: return chardev_socket_open(chardev, error);
    }
    return STATUS_INVALID;
}

void chardev_close(struct chardev *chardev)
{
    if (chardev->options.kind == CHARDEV_STDIO)
        terminal_leave_raw();
    else if (chardev->in >= 0)
        close(chardev->in);
    if (chardev->out >= 0 && chardev->out != chardev->in)
        close(chardev->out);
    if (chardev->options.kind == CHARDEV_SOCKET)
        chardev_socket_close(chardev);
    chardev->in = chardev->out = -1;
    free(chardev->name);
    chardev->name = NULL;
}

const char *chardev_describe(struct chardev *chardev, char *buffer, size_t size_bytes)
{
    const struct chardev_options *options = &chardev->options;
    static const char *const names[] = {"null", "stdio", "file", "pipe", "pty", "socket"};
    pthread_mutex_lock(&chardev->lock);
    bool connected = chardev->connected;
    pthread_mutex_unlock(&chardev->lock);
    const char *prefix = connected ? "" : "disconnected:";
    if (options->kind == CHARDEV_PTY)
        snprintf(buffer, size_bytes, "%spty:%s", prefix, chardev->name);
    else if (options->kind == CHARDEV_SOCKET && options->path)
        snprintf(buffer, size_bytes, "%sunix:%s%s", prefix, options->path, options->server ? ",server=on" : "");
    else if (options->kind == CHARDEV_SOCKET)
        snprintf(buffer, size_bytes, "%stcp:%s:%s%s", prefix, options->host, options->port,
                 options->server ? ",server=on" : "");
    else
        snprintf(buffer, size_bytes, "%s", names[options->kind]);
    return buffer;
}
