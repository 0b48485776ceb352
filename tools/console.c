/* See console.h. */
#include "tools/console.h"

#include "tools/chardev/terminal.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES 4096

struct stream {
    struct chardev *chardev; /* null: nowhere, or standard output */
    bool to_stdout;
    struct input_mailbox *mailbox;
    uint32_t index;
    uint64_t made, shown; /* bytes: up to here, and of those passed on. A run that was set back makes them again */
    bool apart;           /* neither is counted */
    size_t used;
    uint8_t buffer[BUFFER_BYTES];
};

struct console {
    struct stream serial[OPTION_SERIALS], debugcon;
};

static void stream_flush(struct stream *stream)
{
    if (stream->chardev)
        chardev_write(stream->chardev, stream->buffer, stream->used);
    else if (stream->to_stdout)
        terminal_write(stream->buffer, stream->used);
    stream->used = 0;
}

static void stream_write(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct stream *stream = opaque;
    for (size_t n = 0; n < size_bytes; n++) {
        if (!stream->apart) {
            if (stream->made++ < stream->shown)
                continue;
            stream->shown = stream->made;
        }
        if (stream->used == BUFFER_BYTES)
            stream_flush(stream);
        stream->buffer[stream->used++] = bytes[n];
    }
}

/* ---- input; the hub's thread ---- */

static void typed(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct stream *stream = opaque;
    for (size_t n = 0; n < size_bytes; n++)
        input_mailbox_post(stream->mailbox,
                           (struct input_message){.id = INPUT_SERIAL_BYTE, .target = stream->index, .a = bytes[n]});
}

static size_t typed_room(void *opaque)
{
    unsigned waiting = input_mailbox_count(((struct stream *)opaque)->mailbox);
    return waiting < CONSOLE_AHEAD ? CONSOLE_AHEAD - waiting : 0;
}

/* ---- */

static enum status stream_open(struct stream *stream, const struct serial_option *option, struct chardev_hub *hub,
                               struct input_mailbox *mailbox, struct error *error)
{
    stream->to_stdout = option->kind == SERIAL_STDOUT;
    if (option->kind != SERIAL_CHARDEV)
        return STATUS_OK;
    stream->chardev = chardev_hub_find(hub, option->chardev);
    stream->mailbox = mailbox;
    if (!stream->chardev)
        return error_status(error, STATUS_NOT_FOUND, "there is no character device %s", option->chardev);
    struct chardev_user user = {.opaque = stream};
    if (mailbox) {
        user.receive = typed;
        user.room = typed_room;
    }
    if (!chardev_attach(stream->chardev, &user))
        return error_status(error, STATUS_INVALID, "character device %s is in use, and is not made with mux=on",
                            option->chardev);
    return STATUS_OK;
}

struct console *console_open(const struct run_options *options, struct chardev_hub *hub, struct input_mailbox *mailbox,
                             struct error *error)
{
    struct console *console = calloc(1, sizeof *console);
    CHECK(console);
    enum status status = STATUS_OK;
    for (unsigned n = 0; n < OPTION_SERIALS && !status; n++) {
        console->serial[n].index = n;
        status = stream_open(&console->serial[n], &options->serial[n], hub, mailbox, error);
    }
    if (!status)
        status = stream_open(&console->debugcon, &options->debugcon, hub, NULL, error);
    if (status) {
        free(console);
        return NULL;
    }
    return console;
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
    for (unsigned n = 0; console && n < OPTION_SERIALS; n++)
        stream_flush(&console->serial[n]);
    if (console)
        stream_flush(&console->debugcon);
}

void console_save(const struct console *console, uint64_t word[CONSOLE_WORDS])
{
    for (unsigned n = 0; n < OPTION_SERIALS; n++)
        word[n] = console->serial[n].made;
    word[OPTION_SERIALS] = console->debugcon.made;
}

void console_restore(struct console *console, const uint64_t word[CONSOLE_WORDS])
{
    for (unsigned n = 0; n < OPTION_SERIALS; n++)
        console->serial[n].made = word[n];
    console->debugcon.made = word[OPTION_SERIALS];
}

void console_set_apart(struct console *console, bool apart)
{
    for (unsigned n = 0; n < OPTION_SERIALS; n++)
        console->serial[n].apart = apart;
    console->debugcon.apart = apart;
}

void console_close(struct console *console)
{
    free(console);
}
