/* How a run goes on and stops: monitors, signals, breakpoints of a replay. Machine thread, unless said otherwise.
 *
 * The machine is left (machine_run returns) whenever somebody rings; where that cuts the run the guest cannot see. What a
 * monitor does to the guest it does through the mailbox: as an input, at a position, recorded. */
#ifndef VMRR_TOOLS_CONTROL_H
#define VMRR_TOOLS_CONTROL_H

#include "block/block.h"
#include "core/machine.h"
#include "replay/replay.h"
#include "tools/monitor/monitor.h"

#include <semaphore.h>

struct session;

struct control {
    bool stopped;          /* the machine stands still until someone says cont */
    bool launched;         /* it has run before */
    bool io_error;         /* that is why it stands still */
    bool quit;             /* the run is to end */
    bool failed;           /* the host: the run can't go on (machine_fail) */
    bool shut_down;        /* the guest's run is over; -no-shutdown keeps it */
    bool reset_by_host;    /* the next reset is a monitor's */
    uint64_t break_icount; /* replay: stop there; POSITION_NEVER: nowhere */
    struct position visited;
    bool visited_once, deferred;  /* requests wait for the guest to make some way */
    bool corrupt[JOURNAL_DRIVES]; /* that the drive's image is corrupt was said */
    /* Events of what the guest does: up to here, and of those told. A run that was set back does it again. */
    uint64_t events_made, events_shown;
    bool set_back;           /* is being: what changes by that is no event */
    enum machine_stop ended; /* kept for a debugger: how the run has ended; NONE: not */
    bool unsaved;            /* something that the guest wrote did not reach an image at the end */
    bool ready;              /* control_init was called */
    enum block_io_status {
        BLOCK_IO_STATUS_OK,
        BLOCK_IO_STATUS_FAILED,
        BLOCK_IO_STATUS_NO_SPACE
    } io_status[JOURNAL_DRIVES]; /* of requests that have stopped the machine, until it goes on */
    sem_t bell;
    _Atomic bool signalled;
};

void control_init(struct session *session);
void control_fini(struct session *session);
/* Somebody wants the machine thread. Any thread, async-signal-safe. */
void control_ring(struct session *session);
/* The same for the end of the run: a signal, Ctrl-A x. */
void control_end(struct session *session);

/* Runs the machine until the run is over. */
enum machine_stop control_run(struct session *session, struct position limit);
/* The SHUTDOWN event: why the run ended. Not said of a run that was left at a position asked for. */
void control_say_end(struct session *session, enum machine_stop stop);
/* A drive met an error: the BLOCK_IO_ERROR event, and before it BLOCK_IMAGE_CORRUPTED where the image contradicts itself. */
void control_io_error(struct session *session, const struct block_error_event *event);
/* The DEVICE_TRAY_MOVED event. */
void control_tray_moved(struct session *session, uint32_t drive, bool open);
/* At each slice. */
void control_slice(struct session *session);

/* Somebody who can say that a stopped machine goes on: a monitor, a debugger. */
bool control_has_company(const struct session *session);

/* The guest's run is over, and kept only to be looked at: nothing goes on. */
bool control_over(const struct session *session);

/* What monitors do. */
void control_stop(struct session *session);
void control_continue(struct session *session);
void control_quit(struct session *session);
void control_post(struct session *session, struct input_message message);
void control_deliver(struct session *session, struct input_message message); /* the same, where the machine stands */
void control_reset(struct session *session);                                 /* presses the reset button */
const char *control_state(const struct session *session);                    /* QEMU's RunState */

#endif
