/* See console.h. */
#include "tools/console.h"

#include "tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define BUFFER_BYTES 4096
#define ESCAPE 0x01 /* Ctrl-A */

struct stream {
    struct console *console;
    FILE *file; /* null: discarded */
    bool owned, terminal;
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

struct console {
    struct stream serial[OPTION_SERIALS], debugcon;
    struct input_mailbox *mailbox;
    struct machine *machine;
    bool raw, reading, status_shown, at_line_start;
    struct termios saved;
    pthread_t reader;
    int quit_pipe[2];
};

static void erase_status(struct console *console)
{
    if (!console->status_shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    console->status_shown = false;
}

static void stream_flush(struct stream *stream)
{
    if (!stream->used)
        return;
    if (stream->file) {
        if (stream->terminal) {
            erase_status(stream->console);
            stream->console->at_line_start = stream->buffer[stream->used - 1] == '\n';
        }
        (void)!fwrite(stream->buffer, 1, stream->used, stream->file);
        fflush(stream->file);
    }
    stream->used = 0;
}

static void stream_write(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct stream *stream = opaque;
    for (size_t n = 0; n < size_bytes; n++) {
        if (stream->used == BUFFER_BYTES)
            stream_flush(stream);
        stream->buffer[stream->used++] = bytes[n];
    }
}

static enum status stream_open(struct stream *stream, struct console *console, const struct serial_option *option,
                               bool default_stdio, struct error *error)
{
    stream->console = console;
    if (option->kind == SERIAL_STDIO || (option->kind == SERIAL_DEFAULT && default_stdio)) {
        stream->file = stdout;
        stream->terminal = isatty(STDOUT_FILENO) && isatty(STDERR_FILENO);
    } else if (option->kind == SERIAL_FILE) {
        stream->file = fopen(option->path, "we");
        stream->owned = true;
        if (!stream->file)
            return error_status(error, STATUS_IO, "%s: %s", option->path, strerror(errno));
    }
    return STATUS_OK;
}

/* ---- the person at the terminal ---- */

static void post_byte(struct console *console, uint8_t byte)
{
    input_mailbox_post(console->mailbox, (struct input_message){.id = INPUT_SERIAL_BYTE, .target = 0, .a = byte});
}

static void escaped(struct console *console, uint8_t byte)
{
    switch (byte) {
    case 'x':
        machine_interrupt(console->machine);
        input_mailbox_wake(console->mailbox);
        break;
    case 'c': post_byte(console, 0x03); break;
    case 'p': input_mailbox_post(console->mailbox, (struct input_message){.id = INPUT_POWER_BUTTON}); break;
    case 'r': input_mailbox_post(console->mailbox, (struct input_message){.id = INPUT_RESET_BUTTON}); break;
    case ESCAPE: post_byte(console, ESCAPE); break;
    default: break;
    }
}

static void *read_terminal(void *opaque)
{
    struct console *console = opaque;
    struct pollfd wait[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = console->quit_pipe[0], .events = POLLIN}};
    bool escape = false;
    for (;;) {
        uint8_t bytes[256];
        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (wait[1].revents)
            return NULL;
        if (!wait[0].revents)
            continue;
        ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
        if (got <= 0)
            return NULL;
        for (ssize_t n = 0; n < got; n++) {
            if (escape)
                escaped(console, bytes[n]);
            else if (bytes[n] != ESCAPE || !console->raw)
                post_byte(console, bytes[n]);
            escape = !escape && bytes[n] == ESCAPE && console->raw;
        }
    }
}

static void enter_raw(struct console *console)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &console->saved))
        return;
    raw = console->saved;
    raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN); /* ISIG stays: Ctrl-C ends the run */
    raw.c_cc[VSUSP] = raw.c_cc[VQUIT] = _POSIX_VDISABLE;
    console->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

struct console *console_open(const struct run_options *options, bool interactive, struct input_mailbox *mailbox,
                             struct error *error)
{
    struct console *console = calloc(1, sizeof *console);
    CHECK(console);
    console->mailbox = mailbox;
    console->at_line_start = true;
    enum status status = stream_open(&console->serial[0], console, &options->serial[0], true, error);
    if (!status)
        status = stream_open(&console->serial[1], console, &options->serial[1], false, error);
    if (!status)
        status = stream_open(&console->debugcon, console, &options->debugcon, false, error);
    if (status) {
        console_close(console);
        return NULL;
    }
    if (interactive && !pipe2(console->quit_pipe, O_CLOEXEC)) {
        if (isatty(STDIN_FILENO))
            enter_raw(console);
        console->reading = !pthread_create(&console->reader, NULL, read_terminal, console);
    }
    return console;
}

void console_attach(struct console *console, struct machine *machine)
{
    console->machine = machine;
}

struct char_sink console_serial(struct console *console, unsigned index)
{
    return (struct char_sink){stream_write, &console->serial[index]};
}

struct char_sink console_debugcon(struct console *console)
{
    return (struct char_sink){stream_write, &console->debugcon};
}

void console_flush(struct console *console)
{
    stream_flush(&console->serial[0]);
    stream_flush(&console->serial[1]);
    stream_flush(&console->debugcon);
}

void console_status(struct console *console, const char *line)
{
    if (!line || !*line) {
        erase_status(console);
        return;
    }
    if (!console->at_line_start && console->serial[0].terminal)
        return;
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    console->status_shown = true;
}

static void stream_close(struct stream *stream)
{
    stream_flush(stream);
    if (stream->owned && stream->file)
        fclose(stream->file);
}

void console_close(struct console *console)
{
    if (!console)
        return;
    if (console->reading) {
        (void)!write(console->quit_pipe[1], "q", 1);
        pthread_join(console->reader, NULL);
    }
    if (console->quit_pipe[0]) {
        close(console->quit_pipe[0]);
        close(console->quit_pipe[1]);
    }
    erase_status(console);
    if (console->raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &console->saved);
    stream_close(&console->serial[0]);
    stream_close(&console->serial[1]);
    stream_close(&console->debugcon);
    free(console);
}
