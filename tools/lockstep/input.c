/* The inputs of two machines in lockstep: see lockstep.h.
 *
 * Virtual time at an exit is LOCKSTEP_NS_PER_EXIT for each exit since a base, and what HLT skipped; a tick moves the base. The
 * leader ticks where a timer of its machine is due, so the script has few entries. A guest that makes no exits at all would wait for
 * ever: when the accelerator has asked IDLE_LOOKS times at one exit what is due, time jumps to the next timer. How often it asks
 * depends on the host (an accelerator that kicks its guest), but where the tick came is in the script. */
#include "tools/lockstep/lockstep.h"

#include <stdlib.h>

#define IDLE_LOOKS 8u

struct entry {
    struct position position;
    struct input_message message;
};

struct lockstep_script {
    struct entry *entry;
    size_t length, capacity;
    bool full;
};

struct lockstep_input {
    struct input input; /* first */
    struct lockstep_script *script;
    const struct lockstep_clock *clock;
    struct machine *machine; /* leads; null: follows */
    bool leads;
    size_t cursor; /* follows: next entry */
    uint64_t base_exits, base_ns, drawn;
    uint64_t asked_at, asked; /* due, at one exit */
    uint64_t jump_ns;         /* leads: what the next tick brings time to at least. Until there time is as for who follows */
};

struct lockstep_script *lockstep_script_create(void)
{
    struct lockstep_script *script = calloc(1, sizeof *script);
    CHECK(script);
    return script;
}

void lockstep_script_destroy(struct lockstep_script *script)
{
    if (!script)
        return;
    free(script->entry);
    free(script);
}

size_t lockstep_script_length(const struct lockstep_script *script)
{
    return script->length;
}

bool lockstep_script_full(const struct lockstep_script *script)
{
    return script->full;
}

static void append(struct lockstep_script *script, struct position position, const struct input_message *message)
{
    if (script->length == LOCKSTEP_ENTRIES_MAX) {
        script->full = true;
        return;
    }
    if (script->length == script->capacity) {
        script->capacity = script->capacity ? 2 * script->capacity : 1024;
        script->entry = realloc(script->entry, script->capacity * sizeof *script->entry);
        CHECK(script->entry);
    }
    script->entry[script->length++] = (struct entry){position, *message};
}

static struct lockstep_input *of(struct input *input)
{
    return (struct lockstep_input *)(void *)input;
}

/* The next entry, if it is of this position. */
static const struct entry *head(struct lockstep_input *self, struct position position)
{
    const struct entry *entry = &self->script->entry[self->cursor];
    return !self->leads && self->cursor < self->script->length && position_equal(entry->position, position) ? entry
                                                                                                            : NULL;
}

/* ---- time ---- */

static uint64_t clock_at(const struct lockstep_input *self, struct position position)
{
    uint64_t now = self->base_ns + (position.icount - self->base_exits) * LOCKSTEP_NS_PER_EXIT;
    return now > position.vtime_ns ? now : position.vtime_ns;
}

static void set_base(struct lockstep_input *self, struct position position, uint64_t now_ns)
{
    self->base_exits = position.icount;
    self->base_ns = now_ns;
}

static bool tick(struct lockstep_input *self, struct position position, struct input_message *message)
{
    uint64_t now = clock_at(self, position);
    if (now < self->jump_ns)
        now = self->jump_ns;
    if (!self->machine || now < *machine_next_timer_ns(self->machine))
        return false;
    self->jump_ns = 0;
    set_base(self, position, now);
    *message = (struct input_message){.id = INPUT_CLOCK_TICK, .a = now};
    append(self->script, position, message);
    return true;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t entropy(struct lockstep_input *self)
{
    uint64_t value = self->clock->entropy_seed + ++self->drawn * 0x9E3779B97F4A7C15ull;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

/* ---- the operations ---- */

static uint64_t pull(struct input *input, enum input_id id, struct position position, uint64_t (*fetch)(void *opaque),
                     void *opaque)
{
    struct lockstep_input *self = of(input);
    if (fetch)
        return fetch(opaque);
    switch (id) {
    case INPUT_WALL_CLOCK: return self->clock->wall_clock_seconds;
    case INPUT_CLOCK: return clock_at(self, position);
    default: return entropy(self);
    }
}

static bool next(struct input *input, struct position position, struct input_message *message)
{
    struct lockstep_input *self = of(input);
    const struct entry *entry;
    if (self->leads)
        return tick(self, position, message);
    entry = head(self, position);
    if (!entry || entry->message.id == INPUT_INTERRUPT)
        return false;
    *message = entry->message;
    self->cursor++;
    if (message->id == INPUT_CLOCK_TICK)
        set_base(self, position, message->a);
    return true;
}

static bool more(struct input *input, struct position position)
{
    const struct entry *entry = head(of(input), position);
    return entry && entry->message.id != INPUT_INTERRUPT;
}

static struct position horizon(struct input *input, struct position position)
{
    (void)position;
    const struct lockstep_input *self = of(input);
    if (self->leads || self->cursor == self->script->length)
        return (struct position){POSITION_NEVER, VTIME_NEVER};
    return self->script->entry[self->cursor].position;
}

static uint64_t wait_until(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct lockstep_input *self = of(input);
    if (deadline_ns != VTIME_NEVER && clock_at(self, position) < deadline_ns)
        set_base(self, position, deadline_ns);
    return deadline_ns;
}

static bool due(struct input *input, struct position position, uint64_t next_timer_ns)
{
    struct lockstep_input *self = of(input);
    if (self->asked_at != position.icount) {
        self->asked_at = position.icount;
        self->asked = 0;
    }
    if (++self->asked > IDLE_LOOKS && next_timer_ns != VTIME_NEVER) {
        self->asked = 0;
        self->jump_ns = next_timer_ns;
    }
    return self->jump_ns >= next_timer_ns || clock_at(self, position) >= next_timer_ns;
}

static bool offer(struct input *input, struct position position, const struct input_message *message)
{
    struct lockstep_input *self = of(input);
    if (self->leads) {
        append(self->script, position, message);
        return true;
    }
    const struct entry *entry = head(self, position);
    if (!entry || entry->message.id != message->id || entry->message.a != message->a)
        return false;
    self->cursor++;
    return true;
}

static void destroy(struct input *input)
{
    free(of(input));
}

struct input *lockstep_input_create(struct lockstep_script *script, const struct lockstep_clock *clock, bool leads)
{
    static const struct input_ops leading = {
        .pull = pull,
        .next = next,
        .more = more,
        .horizon = horizon,
        .wait = wait_until,
        .due = due,
        .offer = offer,
        .destroy = destroy,
    };
    static const struct input_ops following = {
        .pull = pull,
        .next = next,
        .more = more,
        .horizon = horizon,
        .wait = wait_until,
        .offer = offer,
        .destroy = destroy,
    };
    struct lockstep_input *self = calloc(1, sizeof *self);
    CHECK(self);
    self->input.ops = leads ? &leading : &following;
    self->script = script;
    self->clock = clock;
    self->leads = leads;
    return &self->input;
}

void lockstep_input_attach(struct input *input, struct machine *machine)
{
    of(input)->machine = machine;
}
