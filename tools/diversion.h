/* Diversions, for people: a debugger changes the guest of a replay in a copy that is thrown away (replay/diversion.h). Machine
 * thread, machine not running.
 *
 * A diversion begins with the first register or byte of memory that the debugger makes another one. It is over, and the replay
 * stands where it was left,
 *  - when its user goes back, or to another place, or says so (`diversion off`), or goes away;
 *  - when the user goes on and nothing is left of it: all is as it was; or the guest has run, and all registers have been put
 *    back, as gdb does after a call. But memory that the debugger changed on purpose (anywhere but on the dead part of the stack,
 *    where gdb lays its calls) keeps it, and what it holds: then the guest goes on in the diversion, and its user is told so. */
#ifndef VMRR_TOOLS_DIVERSION_H
#define VMRR_TOOLS_DIVERSION_H

#include "core/machine.h"
#include "core/status.h"

#include <stdio.h>

struct session;

#define DIVERSION_DEAD_STACK_BYTES 16384u /* below the stack pointer: what lies there is nobody's */

struct diversion {
    bool open;
    bool ran, holds; /* the guest has run in it; memory was changed on purpose */
    bool told;       /* its user knows */
    bool kept;       /* it was made a live run */
    struct position at;
    struct cpu_state registers; /* where it begins, as all that follows */
    uint64_t digest, stack;     /* of everything; linear address */
    enum machine_stop ended;
    struct error error;
    char text[256];
};

/* The debugger is about to change something: null, and a diversion is open; or why not. The text lives as long as the session. */
const char *diversion_begin(struct session *session);
/* It has changed these bytes. */
void diversion_note_write(struct session *session, uint64_t address, uint64_t size_bytes, bool physical);
/* The debugger's user goes on forwards. What is to be told; null: nothing. called: gdb calls a function, its user sees no run. */
const char *diversion_resume(struct session *session, bool called);
/* Back in the replay, if it was left. What is to be told. */
const char *diversion_end(struct session *session);
static inline void diversion_drop(struct session *session)
{
    (void)diversion_end(session);
}

/* machine_run has returned, in a diversion. True: the guest can't go on in it; the text says why. */
bool diversion_stopped(struct session *session, enum machine_stop stop, char *text, size_t text_size);

/* The diversion becomes a live run without a journal; there is no going back from it. */
enum status diversion_keep(struct session *session, struct error *error) MUST_CHECK;

void diversion_print(struct session *session, FILE *out);

#endif
