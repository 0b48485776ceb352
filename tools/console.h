/* Where COM1, COM2 and the debug port go: standard output, a file, or nowhere; and the person at the terminal.
 *
 * On a terminal (standard input) a reader thread posts what is typed as INPUT_SERIAL_BYTE. Ctrl-A is the escape, as in
 * QEMU: Ctrl-A x ends the run, Ctrl-A c sends a Ctrl-C to the guest, Ctrl-A p presses the power button, Ctrl-A Ctrl-A sends
 * Ctrl-A. Ctrl-C itself ends the run. */
#ifndef VMRR_TOOLS_CONSOLE_H
#define VMRR_TOOLS_CONSOLE_H

#include "devices/board_pc.h"
#include "tools/options.h"

struct console;

/* interactive: read standard input. Returns null with the error set when a file can't be made. */
struct console *console_open(const struct run_options *options, bool interactive, struct input_mailbox *mailbox,
                             struct error *error);
/* A session with a machine to stop at Ctrl-A x. */
void console_attach(struct console *console, struct machine *machine);
struct char_sink console_serial(struct console *console, unsigned index);
struct char_sink console_debugcon(struct console *console);
void console_flush(struct console *console);
/* A status line on the terminal, drawn only where it disturbs nothing (start of a line); null or "" erases it. */
void console_status(struct console *console, const char *line);
void console_close(struct console *console);

#endif
