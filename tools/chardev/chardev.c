/* Users, output and the multiplexer of a back end. See chardev.h. */
#include "tools/chardev/chardev_internal.h"

#include "tools/chardev/terminal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ESCAPE 0x01 /* Ctrl-A */

bool chardev_attach(struct chardev *chardev, const struct chardev_user *user)
{
    if (chardev->user_count == (chardev->options.mux ? CHARDEV_USERS : 1u))
        return false;
    chardev->user[chardev->user_count++] = *user;
    return true;
}

const char *chardev_label(const struct chardev *chardev)
{
    return chardev->options.label;
}

bool chardev_is_terminal(const struct chardev *chardev)
{
    return chardev->options.kind == CHARDEV_PTY || (chardev->options.kind == CHARDEV_STDIO && isatty(STDIN_FILENO));
}

bool chardev_has_input(const struct chardev *chardev)
{
    switch (chardev->options.kind) {
    case CHARDEV_NULL:
    case CHARDEV_FILE: return false;
    case CHARDEV_STDIO: return !chardev->options.no_input;
    default: return true;
    }
}

bool chardev_is_mux(const struct chardev *chardev)
{
    return chardev->options.mux;
}

void chardev_wake(struct chardev *chardev)
{
    chardev_hub_wake(chardev->hub);
}

bool chardev_used(const struct chardev *chardev)
{
    return chardev->user_count > 0;
}

/* ---- output ---- */

static void write_direct(struct chardev *chardev, const uint8_t *bytes, size_t size_bytes)
{
    if (chardev->options.kind == CHARDEV_STDIO) {
        terminal_write(bytes, size_bytes);
        return;
    }
    while (size_bytes && chardev->out >= 0) {
        ssize_t written = write(chardev->out, bytes, size_bytes);
        if (written < 0 && errno != EINTR)
            return; /* a full disk: the file ends here, the guest goes on */
        if (written > 0) {
            bytes += written;
            size_bytes -= (size_t)written;
        }
    }
}

static bool wants_whole(const struct chardev *chardev)
{
    for (unsigned n = 0; n < chardev->user_count; n++) {
        if (chardev->user[n].whole)
            return true;
    }
    return false;
}

static void put_in_buffer(struct chardev *chardev, const uint8_t *bytes, size_t size_bytes)
{
    if (!chardev->connected || chardev->doomed)
        return;
    if (!chardev->buffer) {
        chardev->buffer = malloc(CHARDEV_BUFFER_BYTES);
        CHECK(chardev->buffer);
    }
    size_t fit = CHARDEV_BUFFER_BYTES - chardev->used;
    if (fit > size_bytes)
        fit = size_bytes;
    if (fit < size_bytes && wants_whole(chardev)) {
        chardev->doomed = true;
        return;
    }
    for (size_t n = 0; n < fit; n++)
        chardev->buffer[(chardev->first + chardev->used++) % CHARDEV_BUFFER_BYTES] = bytes[n];
    chardev->dropped_bytes += size_bytes - fit;
}

static void write_from(struct chardev *chardev, const uint32_t *connection, const void *bytes, size_t size_bytes)
{
    if (!size_bytes || chardev->options.kind == CHARDEV_NULL)
        return;
    pthread_mutex_lock(&chardev->lock);
    bool wake = false;
    if (!connection || *connection == chardev->connection) {
        if (chardev_is_direct(chardev)) {
            write_direct(chardev, bytes, size_bytes);
        } else {
            put_in_buffer(chardev, bytes, size_bytes);
            wake = chardev->used || chardev->doomed;
        }
    }
    pthread_mutex_unlock(&chardev->lock);
    if (wake)
        chardev_hub_wake(chardev->hub);
}

void chardev_write(struct chardev *chardev, const void *bytes, size_t size_bytes)
{
    write_from(chardev, NULL, bytes, size_bytes);
}

void chardev_write_to(struct chardev *chardev, uint32_t connection, const void *bytes, size_t size_bytes)
{
    write_from(chardev, &connection, bytes, size_bytes);
}

uint32_t chardev_connection(struct chardev *chardev)
{
    pthread_mutex_lock(&chardev->lock);
    uint32_t connection = chardev->connection;
    pthread_mutex_unlock(&chardev->lock);
    return connection;
}

bool chardev_has_output(struct chardev *chardev)
{
    pthread_mutex_lock(&chardev->lock);
    bool has = chardev->used > 0;
    pthread_mutex_unlock(&chardev->lock);
    return has;
}

bool chardev_flush(struct chardev *chardev)
{
    bool sound = true;
    pthread_mutex_lock(&chardev->lock);
    while (chardev->used) {
        size_t part = CHARDEV_BUFFER_BYTES - chardev->first;
        if (part > chardev->used)
            part = chardev->used;
        ssize_t written = write(chardev->out, chardev->buffer + chardev->first, part);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            sound = written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
            break;
        }
        chardev->first = (chardev->first + (size_t)written) % CHARDEV_BUFFER_BYTES;
        chardev->used -= (size_t)written;
    }
    sound = sound && !chardev->doomed;
    pthread_mutex_unlock(&chardev->lock);
    return sound;
}

/* ---- coming and going; hub's thread ---- */

void chardev_opened(struct chardev *chardev)
{
    pthread_mutex_lock(&chardev->lock);
    chardev->connected = true;
    chardev->doomed = false;
    chardev->connection++;
    chardev->first = chardev->used = 0;
    pthread_mutex_unlock(&chardev->lock);
    chardev->escaped = false;
    for (unsigned n = 0; n < chardev->user_count; n++) {
        if (chardev->user[n].opened)
            chardev->user[n].opened(chardev->user[n].opaque);
    }
}

void chardev_disconnect(struct chardev *chardev)
{
    pthread_mutex_lock(&chardev->lock);
    bool was = chardev->connected;
    chardev->connected = chardev->doomed = false;
    chardev->connection++;
    chardev->first = chardev->used = 0;
    pthread_mutex_unlock(&chardev->lock);
    for (unsigned n = 0; was && n < chardev->user_count; n++) {
        if (chardev->user[n].closed)
            chardev->user[n].closed(chardev->user[n].opaque);
    }
}

/* ---- input; hub's thread ---- */

size_t chardev_room(struct chardev *chardev)
{
    if (chardev->hub->ending)
        return 0;
    if (!chardev->user_count)
        return CHARDEV_READ_BYTES; /* nobody wants it: read and forgotten */
    const struct chardev_user *user = &chardev->user[chardev->focus];
    size_t room = user->room ? user->room(user->opaque) : CHARDEV_READ_BYTES;
    return room < CHARDEV_READ_BYTES ? room : CHARDEV_READ_BYTES;
}

static void pass_on(struct chardev *chardev, const uint8_t *bytes, size_t size_bytes)
{
    const struct chardev_user *user = &chardev->user[chardev->focus];
    if (size_bytes && chardev->user_count && user->receive)
        user->receive(user->opaque, bytes, size_bytes);
}

static void say_keys(struct chardev *chardev)
{
    static const char text[] = "\r\nCtrl-A x  end the run\r\nCtrl-A p  press the power button\r\n"
                               "Ctrl-A r  press the reset button\r\nCtrl-A c  ";
    static const char plain[] = "send Ctrl-C to the guest\r\n", mux[] = "between console and monitor\r\n";
    chardev_write(chardev, text, sizeof text - 1);
    if (chardev->options.mux)
        chardev_write(chardev, mux, sizeof mux - 1);
    else
        chardev_write(chardev, plain, sizeof plain - 1);
}

static void next_focus(struct chardev *chardev)
{
    chardev->focus = (chardev->focus + 1) % chardev->user_count;
    const struct chardev_user *user = &chardev->user[chardev->focus];
    if (user->focused)
        user->focused(user->opaque);
}

static void escape_letter(struct chardev *chardev, uint8_t letter)
{
    static const uint8_t interrupt = 0x03, escape = ESCAPE;
    switch (letter) {
    case ESCAPE: pass_on(chardev, &escape, 1); break;
    case 'c':
        if (chardev->options.mux && chardev->user_count)
            next_focus(chardev);
        else
            pass_on(chardev, &interrupt, 1);
        break;
    case 'h':
    case '?': say_keys(chardev); break;
    default:
        if (chardev->hub->escape)
            chardev->hub->escape(chardev->hub->opaque, (char)letter);
        break;
    }
}

void chardev_receive(struct chardev *chardev, const uint8_t *bytes, size_t size_bytes)
{
    size_t start = 0;
    for (size_t n = 0; chardev->escape && n < size_bytes; n++) {
        if (!chardev->escaped && bytes[n] != ESCAPE)
            continue;
        pass_on(chardev, bytes + start, n - start);
        if (chardev->escaped)
            escape_letter(chardev, bytes[n]);
        chardev->escaped = !chardev->escaped;
        start = n + 1;
    }
    pass_on(chardev, bytes + start, size_bytes - start);
}
