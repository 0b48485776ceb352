/* Where COM1, COM2 and the debug port go, and what is typed to them: their side of the character devices.
 *
 * Output is gathered and passed on at each slice. Input is posted as INPUT_SERIAL_BYTE by the hub's thread, CONSOLE_AHEAD
 * bytes at most before the guest has been given them. Where a back end is a terminal, or has mux=on, Ctrl-A is the escape,
 * as in QEMU: x ends the run, c sends a Ctrl-C to the guest (mux=on: goes on to the monitor), p presses the power button,
 * r the reset button, h helps, Ctrl-A sends Ctrl-A. Ctrl-C itself ends the run (signal=off: goes to the guest). */
#ifndef VMRR_TOOLS_CONSOLE_H
#define VMRR_TOOLS_CONSOLE_H

#include "devices/board_pc.h"
#include "tools/chardev/chardev.h"
#include "tools/options.h"

#define CONSOLE_AHEAD 256u

struct console;

/* mailbox: where input goes; null: nothing is typed (a replay). Returns null with the error set when a back end that the
 * options name can't be used. */
struct console *console_open(const struct run_options *options, struct chardev_hub *hub, struct input_mailbox *mailbox,
                             struct error *error);
struct char_sink console_serial(struct console *console, unsigned index);
struct char_sink console_debugcon(struct console *console);
void console_flush(struct console *console); /* null allowed */
/* Of a run that is set back: how much was said up to here. What has been passed on is not passed on again. */
#define CONSOLE_WORDS (OPTION_SERIALS + 1)
void console_save(const struct console *console, uint64_t word[CONSOLE_WORDS]);
void console_restore(struct console *console, const uint64_t word[CONSOLE_WORDS]);
/* From now on what the guest says is no part of that run: it is passed on, and not counted. */
void console_set_apart(struct console *console, bool apart);
/* The hub's thread must have ended. Null allowed. */
void console_close(struct console *console);

#endif
