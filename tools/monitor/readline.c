/* See readline.h. */
#include "tools/monitor/readline.h"

#include "core/status.h"

#include <stdlib.h>
#include <string.h>

static void say(struct readline *readline, const char *text)
{
    if (readline->echo)
        readline->write(readline->opaque, text, strlen(text));
}

static void erase_back(struct readline *readline, size_t count)
{
    for (; count && readline->used; count--) {
        readline->used--;
        say(readline, "\b \b");
    }
}

static void remember(struct readline *readline)
{
    if (!readline->used)
        return;
    if (readline->history_count == READLINE_HISTORY) {
        free(readline->history[0]);
        memmove(readline->history, readline->history + 1, (READLINE_HISTORY - 1) * sizeof readline->history[0]);
        readline->history_count--;
    }
    char *copy = strdup(readline->text);
    CHECK(copy);
    readline->history[readline->history_count++] = copy;
}

static void end_line(struct readline *readline)
{
    readline->text[readline->used] = 0;
    say(readline, "\r\n");
    if (readline->echo)
        remember(readline);
    readline->history_at = readline->history_count;
    readline->used = 0;
    readline->line(readline->opaque, readline->text);
}

static void insert(struct readline *readline, char c)
{
    if (readline->used == READLINE_BYTES - 1)
        return;
    readline->text[readline->used++] = c;
    if (readline->echo)
        readline->write(readline->opaque, &c, 1);
}

static void show_history(struct readline *readline, int step)
{
    if (step < 0 && !readline->history_at)
        return;
    if (step > 0 && readline->history_at >= readline->history_count)
        return;
    readline->history_at += (unsigned)step;
    erase_back(readline, readline->used);
    const char *text = readline->history_at < readline->history_count ? readline->history[readline->history_at] : "";
    for (; *text; text++)
        insert(readline, *text);
}

/* ESC [ A and ESC [ B; any other sequence is swallowed to its end. */
static bool in_escape(struct readline *readline, uint8_t c)
{
    if (!readline->escape)
        return false;
    if (readline->escape == 1) {
        readline->escape = c == '[' || c == 'O' ? 2 : 0;
        return true;
    }
    if (c == 'A')
        show_history(readline, -1);
    else if (c == 'B')
        show_history(readline, 1);
    if (c >= 0x40 || c < 0x20)
        readline->escape = 0;
    return true;
}

static void take_control(struct readline *readline, uint8_t c)
{
    switch (c) {
    case 0x03:                                              /* Ctrl-C */
    case 0x15: erase_back(readline, readline->used); break; /* Ctrl-U */
    case 0x08:
    case 0x7F: erase_back(readline, 1); break;
    case 0x10: show_history(readline, -1); break; /* Ctrl-P */
    case 0x0E: show_history(readline, 1); break;  /* Ctrl-N */
    case 0x0C: say(readline, "\033[H\033[2J"), say(readline, readline->prompt); break;
    case 0x1B: readline->escape = 1; break;
    case '\t': insert(readline, ' '); break;
    default: break;
    }
}

void readline_feed(struct readline *readline, const uint8_t *bytes, size_t size_bytes)
{
    for (size_t n = 0; n < size_bytes; n++) {
        uint8_t c = bytes[n];
        bool follows = readline->after_return && c == '\n';
        readline->after_return = c == '\r';
        if (follows || in_escape(readline, c))
            continue;
        if (c == '\r' || c == '\n')
            end_line(readline);
        else if (c < 0x20 || c == 0x7F)
            take_control(readline, c);
        else
            insert(readline, (char)c);
    }
}

void readline_reset(struct readline *readline)
{
    readline->used = 0;
    readline->escape = 0;
    readline->after_return = false;
}

void readline_fini(struct readline *readline)
{
    while (readline->history_count)
        free(readline->history[--readline->history_count]);
}
