/* See terminal.h. */
#include "tools/chardev/terminal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    struct termios saved;
    bool raw, status_shown, in_line;
} terminal = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool terminal_enter_raw(bool signals)
{
    struct termios raw;
    if (terminal.raw || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal.saved))
        return terminal.raw;
    raw = terminal.saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!signals)
        raw.c_lflag &= ~(tcflag_t)ISIG;
    raw.c_cc[VSUSP] = raw.c_cc[VQUIT] = _POSIX_VDISABLE;
    terminal.raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
    return terminal.raw;
}

void terminal_leave_raw(void)
{
    if (terminal.raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.saved);
    terminal.raw = false;
}

static void erase_status(void)
{
    if (!terminal.status_shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    terminal.status_shown = false;
}

static void write_all(const char *bytes, size_t size_bytes)
{
    while (size_bytes) {
        ssize_t written = write(STDOUT_FILENO, bytes, size_bytes);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return; /* the reader is gone: so is what it would have read */
        if (written > 0) {
            bytes += written;
            size_bytes -= (size_t)written;
        }
    }
}

void terminal_write(const void *bytes, size_t size_bytes)
{
    if (!size_bytes)
        return;
    pthread_mutex_lock(&terminal.lock);
    erase_status();
    terminal.in_line = ((const char *)bytes)[size_bytes - 1] != '\n';
    write_all(bytes, size_bytes);
    pthread_mutex_unlock(&terminal.lock);
}

void terminal_status(const char *line)
{
    pthread_mutex_lock(&terminal.lock);
    if (!line || !*line) {
        erase_status();
    } else if (!terminal.in_line || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "\r\033[K%s", line);
        fflush(stderr);
        terminal.status_shown = true;
    }
    pthread_mutex_unlock(&terminal.lock);
}
