/* Lines for the human monitor: at a terminal with echo, editing at the end of the line and a history, else plain. Pure: what
 * is to be shown goes through write. The client is hostile: a line has at most READLINE_BYTES, the rest is dropped. */
#ifndef VMRR_TOOLS_MONITOR_READLINE_H
#define VMRR_TOOLS_MONITOR_READLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READLINE_BYTES 1024
#define READLINE_HISTORY 32

struct readline {
    void (*line)(void *opaque, const char *line); /* without its end */
    void (*write)(void *opaque, const char *bytes, size_t size_bytes);
    void *opaque;
    const char *prompt;
    bool echo;
    char text[READLINE_BYTES];
    size_t used;
    bool after_return; /* a newline that follows belongs to it */
    unsigned escape;   /* how much of ESC [ has come */
    char *history[READLINE_HISTORY];
    unsigned history_count, history_at; /* at: which one is shown; count: the new line */
};

void readline_feed(struct readline *readline, const uint8_t *bytes, size_t size_bytes);
/* Another client: forgets the line, keeps the history. */
void readline_reset(struct readline *readline);
void readline_fini(struct readline *readline);

#endif
