/* The seam: every nondeterministic value or arrival that the guest can see crosses here (shared/DESIGN.md, The seam).
 * Three implementations of one vtable, chosen once when the machine is made: input_live.c here, and replay/'s record
 * (wraps live, writes what crosses) and replay (gives back what crossed). Nobody else knows which is installed.
 * Thread: machine thread, but for input_mailbox_post. */
#ifndef VMRR_CORE_INPUT_H
#define VMRR_CORE_INPUT_H

#include "core/position.h"
#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

enum input_id {
#define PULL(NAME, name, what) INPUT_##NAME,
#define DELIVER(NAME, name, what) INPUT_##NAME,
#include "core/input.def"
#undef PULL
#undef DELIVER
    INPUT_COUNT
};

struct input_row {
    const char *name;
    const char *what;
    bool deliver;
};
const struct input_row *input_row(enum input_id id); /* null when out of range */

struct input_message {
    enum input_id id; /* a DELIVER row */
    uint32_t target;
    uint64_t a;
    uint64_t b;
};

struct input;

struct input_ops {
    /* The value of a PULL row. fetch(opaque) makes the live value; a replay never calls it. A null fetch: the live
     * implementation has the source itself (WALL_CLOCK, ENTROPY). */
    uint64_t (*pull)(struct input *input, enum input_id id, struct position position, uint64_t (*fetch)(void *opaque),
                     void *opaque);
    /* The next message to deliver at this position, in order; false for none. The run loop asks once a position (until
     * false), after the timers due have fired. */
    bool (*next)(struct input *input, struct position position, struct input_message *message);
    /* There is another message for this very position: one that came while the machine stood still there. Null: never,
     * whoever puts one in then calls machine_deliver. */
    bool (*more)(struct input *input, struct position position);
    /* The first position at which next may have something: the run loop stops there. Live: never (it polls at slices). */
    struct position (*horizon)(struct input *input, struct position position);
    /* The CPU is halted and no timer is due before deadline_ns (VTIME_NEVER: none at all). Returns the virtual time to
     * go on at, position.vtime_ns .. deadline_ns; the run loop skips to it (tracing TRACE_HALT when that is later) and asks
     * next there. Live: at once deadline_ns; paced: as much as passed in host time until a message or a wake came or the
     * deadline was reached. Journal-driven: the vtime of the next message if that is before deadline_ns, else deadline_ns.
     * position.vtime_ns: interrupted, look around and ask again. VTIME_NEVER: nothing will ever come. */
    uint64_t (*wait)(struct input *input, struct position position, uint64_t deadline_ns);
    /* Of machines that count exits; null: neither. due: is there something to act upon at the next exit, or before: a message,
     * or a timer with the deadline next_timer_ns? Cheap; asked at every exit. */
    bool (*due)(struct input *input, struct position position, uint64_t next_timer_ns);
    /* The accelerator could have this message, of its own, delivered here: INTERRUPT, LANDMARK. Is it? */
    bool (*offer)(struct input *input, struct position position, const struct input_message *message);
    void (*destroy)(struct input *input);
};

struct input {
    const struct input_ops *ops;
};

/* Messages from host threads. Any thread may post; the live input takes. Unbounded but for memory. */
struct input_mailbox;
struct input_mailbox *input_mailbox_create(void);
void input_mailbox_destroy(struct input_mailbox *mailbox);
void input_mailbox_post(struct input_mailbox *mailbox, struct input_message message);
bool input_mailbox_take(struct input_mailbox *mailbox, struct input_message *message);
bool input_mailbox_empty(struct input_mailbox *mailbox);     /* cheap: one atomic load */
unsigned input_mailbox_count(struct input_mailbox *mailbox); /* as cheap; any thread */
/* Waits until a message is there or timeout_ns of host time are over (UINT64_MAX: for ever, or until a wake). */
bool input_mailbox_wait(struct input_mailbox *mailbox, uint64_t timeout_ns);
/* Ends a wait without a message. Async-signal-safe. */
void input_mailbox_wake(struct input_mailbox *mailbox);
/* Called at each post, in the thread of whoever posts, until it is set anew; null: nobody. */
void input_mailbox_set_ring(struct input_mailbox *mailbox, void (*ring)(void *opaque), void *opaque);

struct input_live_options {
    struct input_mailbox *mailbox; /* borrowed */
    bool pace; /* a halted guest waits in host time for its next timer (a person types), instead of skipping at once */
    uint64_t (*wall_clock_seconds)(void *opaque); /* null: the host's; set by -rtc base=... */
    void (*idle)(void *opaque);                   /* before such a wait: what is buffered may go out. May be null */
    void *opaque;
    bool entropy_seeded; /* ENTROPY from a generator started with entropy_seed, so that the same start gives the same */
    uint64_t entropy_seed; /* run; else from the host */
    /* Of a machine that counts exits: virtual time is the host's, by samples. */
    bool clocked;
    uint32_t slower;           /* so many times slower while the guest runs; 0: as fast */
    uint64_t checkpoint_exits; /* a CHECKPOINT every so many exits; 0: none */
};
struct input *input_live_create(const struct input_live_options *options);
void input_destroy(struct input *input);

#endif
