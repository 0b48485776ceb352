/* The terminal that vmrr was started from: raw mode, and the status line on standard error, which must not get between
 * the characters of standard output. One a process. Any thread. */
#ifndef VMRR_TOOLS_CHARDEV_TERMINAL_H
#define VMRR_TOOLS_CHARDEV_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Characters come as they are typed; without signals Ctrl-C is one of them. False: standard input is no terminal. */
bool terminal_enter_raw(bool signals);
void terminal_leave_raw(void);
/* All of it to standard output, waiting as long as that takes. */
void terminal_write(const void *bytes, size_t size_bytes);
/* Drawn only where it disturbs nothing (start of a line); null or "" erases it. */
void terminal_status(const char *line);

#endif
