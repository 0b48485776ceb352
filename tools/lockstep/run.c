/* The run of two machines from exit to exit: see lockstep.h. */
#include "tools/lockstep/internal.h"

#include "core/landmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN_ROUNDS 4096u /* in which both must come to one exit: an instruction may make many */

const char *lockstep_what_name(enum lockstep_what what)
{
    static const char *const names[LOCKSTEP_WHATS] = {"registers", "event", "memory", "devices", "exits", "end"};
    return what < LOCKSTEP_WHATS ? names[what] : "?";
}

/* ---- the machines ---- */

static void grow(struct lockstep_events *events)
{
    size_t capacity = events->capacity ? 2 * events->capacity : 256;
    struct trace_event *event = malloc(capacity * sizeof *event);
    CHECK(event);
    for (size_t n = 0; n < events->count; n++)
        event[n] = events->event[(events->first + n) % events->capacity];
    free(events->event);
    events->event = event;
    events->first = 0;
    events->capacity = capacity;
}

static void emit(void *opaque, const struct trace_event *event)
{
    struct lockstep_events *events = &((struct lockstep_side *)opaque)->events;
    if (event->kind == TRACE_BLOCK_ORIGIN)
        return;
    if (events->count == LOCKSTEP_PENDING_MAX) {
        events->lost = true;
        return;
    }
    if (events->count == events->capacity)
        grow(events);
    events->event[(events->first + events->count++) % events->capacity] = *event;
}

void lockstep_unmake(struct lockstep *lockstep)
{
    for (unsigned n = 0; n < 2; n++) {
        struct lockstep_side *side = &lockstep->side[n];
        if (!side->input)
            continue;
        lockstep->options->unmake(lockstep->options->opaque, n);
        input_destroy(side->input);
        free(side->events.event);
        *side = (struct lockstep_side){.input = NULL};
    }
}

bool lockstep_make(struct lockstep *lockstep, bool leads, struct error *error)
{
    static const struct trace_sink_ops sink = {.emit = emit};
    const struct lockstep_options *options = lockstep->options;
    lockstep->last_count = 0;
    for (unsigned n = 0; n < 2; n++) {
        struct lockstep_side *side = &lockstep->side[n];
        bool leader = leads && n == options->leader;
        side->input = lockstep_input_create(lockstep->script, &options->clock, leader);
        side->machine = options->make(options->opaque, n, side->input, (struct trace_sink){&sink, side}, error);
        if (!side->machine)
            return false;
        CHECK(machine_counts_exits(side->machine));
        if (leader)
            lockstep_input_attach(side->input, side->machine);
    }
    return true;
}

uint64_t lockstep_exits(const struct lockstep *lockstep, unsigned side)
{
    return machine_position(lockstep->side[side].machine).icount;
}

/* ---- one round ---- */

static void run_to(struct lockstep *lockstep, unsigned n, uint64_t exits)
{
    struct lockstep_side *side = &lockstep->side[n];
    lockstep_watch_run(lockstep->watch, side->machine);
    side->stop = machine_run(side->machine, (struct position){exits, 0});
    lockstep_watch_run(lockstep->watch, NULL);
}

/* Who is behind goes on, until both are at the same exit or one ends. */
static bool align(struct lockstep *lockstep, struct lockstep_difference *difference)
{
    for (unsigned n = 0; n < ALIGN_ROUNDS; n++) {
        uint64_t a = lockstep_exits(lockstep, 0), b = lockstep_exits(lockstep, 1);
        if (a == b)
            return true;
        unsigned behind = a < b ? 0 : 1;
        if (lockstep->side[behind].stop != MACHINE_STOP_LIMIT || lockstep_events_differ(lockstep, difference))
            return false;
        run_to(lockstep, behind, a < b ? b : a);
    }
    return false;
}

static enum lockstep_round parted(struct lockstep *lockstep, struct lockstep_difference *difference,
                                  enum lockstep_what what)
{
    uint64_t a = lockstep_exits(lockstep, 0), b = lockstep_exits(lockstep, 1);
    difference->what = what;
    difference->exits = a > b ? a : b;
    for (unsigned n = 0; n < 2; n++) {
        lockstep_look_at_cpu(&lockstep->side[n]);
        difference->stop[n] = lockstep->side[n].stop;
    }
    lockstep_compare_cpu(NULL, &lockstep->side[0].cpu, &lockstep->side[1].cpu, &difference->registers);
    lockstep_compare_devices(lockstep->side[0].machine, lockstep->side[1].machine, &difference->devices);
    lockstep_compare_memory(lockstep->side[0].machine, lockstep->side[1].machine, &difference->memory);
    uint64_t count = lockstep->last_count, first = count > LOCKSTEP_LAST_EVENTS ? count - LOCKSTEP_LAST_EVENTS : 0;
    difference->last_count = (unsigned)(count - first);
    for (uint64_t n = first; n < count; n++)
        difference->last[n - first] = lockstep->last[n % LOCKSTEP_LAST_EVENTS];
    return LOCKSTEP_PARTED;
}

static bool events_left(const struct lockstep *lockstep)
{
    return lockstep->side[0].events.count || lockstep->side[1].events.count;
}

/* Devices and the machine's own fields by one digest, memory by another. */
static enum lockstep_round look_at_all(struct lockstep *lockstep, struct lockstep_difference *difference)
{
    struct machine *a = lockstep->side[0].machine, *b = lockstep->side[1].machine;
    lockstep->result->digest_looks++;
    if (memory_digest(machine_memory(a)) != memory_digest(machine_memory(b)))
        return parted(lockstep, difference, LOCKSTEP_MEMORY);
    if (machine_digest_state(a) != machine_digest_state(b))
        return parted(lockstep, difference, LOCKSTEP_DEVICES);
    return LOCKSTEP_ALIKE;
}

static void no_report(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    (void)opaque;
    (void)path;
    (void)a;
    (void)b;
}

static enum lockstep_round look_after_run(struct lockstep *lockstep, bool all, struct lockstep_difference *difference);

enum lockstep_round lockstep_round(struct lockstep *lockstep, bool all, struct lockstep_difference *difference)
{
    unsigned leader = lockstep->options->leader, other = 1 - leader;
    struct lockstep_side *side = lockstep->side;
    uint64_t goal = lockstep_exits(lockstep, leader) + 1;
    run_to(lockstep, leader, goal);
    uint64_t led = lockstep_exits(lockstep, leader);
    run_to(lockstep, other, side[leader].stop == MACHINE_STOP_LIMIT ? led : led + 1);
    return look_after_run(lockstep, all, difference);
}

enum lockstep_round lockstep_round_to(struct lockstep *lockstep, uint64_t exits, struct lockstep_difference *difference)
{
    for (unsigned n = 0; n < 2; n++)
        run_to(lockstep, n, exits);
    return look_after_run(lockstep, true, difference);
}

static enum lockstep_round look_after_run(struct lockstep *lockstep, bool all, struct lockstep_difference *difference)
{
    struct lockstep_side *side = lockstep->side;
    if (side[0].stop == MACHINE_STOP_ERROR || side[1].stop == MACHINE_STOP_ERROR)
        return LOCKSTEP_STUCK;
    bool aligned = align(lockstep, difference);
    bool event = lockstep_events_differ(lockstep, difference);
    if (side[0].stop == MACHINE_STOP_HOST && side[1].stop == MACHINE_STOP_HOST && !event)
        return LOCKSTEP_STUCK;
    if (event)
        return parted(lockstep, difference, LOCKSTEP_EVENT);
    if (!aligned)
        return parted(lockstep, difference, side[0].stop == side[1].stop ? LOCKSTEP_EXITS : LOCKSTEP_END);
    if (events_left(lockstep))
        return parted(lockstep, difference, LOCKSTEP_EVENT);
    if (side[0].stop != side[1].stop)
        return parted(lockstep, difference, LOCKSTEP_END);
    for (unsigned n = 0; n < 2; n++)
        lockstep_look_at_cpu(&side[n]);
    lockstep->result->register_looks++;
    if (state_diff(cpu_state_fields, &side[0].cpu, &side[1].cpu, no_report, NULL))
        return parted(lockstep, difference, LOCKSTEP_REGISTERS);
    bool over = side[0].stop != MACHINE_STOP_LIMIT;
    enum lockstep_round round = all || over ? look_at_all(lockstep, difference) : LOCKSTEP_ALIKE;
    return round == LOCKSTEP_ALIKE && over ? LOCKSTEP_OVER : round;
}

/* ---- the whole ---- */

static void cannot(struct lockstep *lockstep)
{
    struct lockstep_result *result = lockstep->result;
    uint64_t exits = lockstep_exits(lockstep, lockstep->options->leader);
    result->verdict = LOCKSTEP_NOT_COMPARED;
    for (unsigned n = 0; n < 2; n++) {
        const struct accel *accel = machine_accel(lockstep->side[n].machine);
        if (lockstep->side[n].stop != MACHINE_STOP_ERROR)
            continue;
        snprintf(result->reason, sizeof result->reason, "%s, at exit %llu: %s", n ? "b" : "a",
                 (unsigned long long)exits, accel->ops->error ? accel->ops->error(accel) : "the host failed");
        return;
    }
    snprintf(result->reason, sizeof result->reason,
             "neither came to another exit within %llu ms behind exit %llu; until there they are alike",
             (unsigned long long)lockstep->options->stall_ms, (unsigned long long)exits);
}

/* Who made no exit may be slow: it differs only where the steps say so. */
static void judge_stalled(struct lockstep *lockstep)
{
    struct lockstep_result *result = lockstep->result;
    const struct lockstep_difference *difference = &result->difference;
    unsigned stalled = difference->stop[0] == MACHINE_STOP_HOST ? 0 : 1;
    if (difference->what != LOCKSTEP_END || difference->has_insn || difference->stop[stalled] != MACHINE_STOP_HOST)
        return;
    result->verdict = LOCKSTEP_NOT_COMPARED;
    snprintf(result->reason, sizeof result->reason,
             "%s came to no exit within %llu ms behind exit %llu, where the other did (--stall): %.300s",
             stalled ? "b" : "a", (unsigned long long)lockstep->options->stall_ms,
             (unsigned long long)difference->equal_exits, difference->why);
}

static uint64_t interp_steps(const struct lockstep *lockstep)
{
    uint64_t steps = 0;
    for (unsigned n = 0; n < 2 && !steps; n++) {
        const struct accel *accel = machine_accel(lockstep->side[n].machine);
        steps = accel->ops->icount(accel); /* KVM: 0 */
    }
    return steps;
}

/* To the end, or to the difference. */
static void first_pass(struct lockstep *lockstep)
{
    const struct lockstep_options *options = lockstep->options;
    struct lockstep_result *result = lockstep->result;
    enum lockstep_round round = look_at_all(lockstep, &result->difference);
    uint64_t equal = 0, checked = 0, exits = 0;
    bool over = false;
    while (round == LOCKSTEP_ALIKE && exits < options->until_exits && !lockstep_script_full(lockstep->script)) {
        over = options->over && options->over(options->opaque);
        if (over)
            break;
        bool all = exits + 1 - checked >= options->every || exits + 1 >= options->until_exits;
        equal = exits;
        round = lockstep_round(lockstep, all, &result->difference);
        exits = lockstep_exits(lockstep, options->leader);
        if (round == LOCKSTEP_ALIKE && all)
            checked = exits;
    }
    result->exits = exits;
    result->interp_steps = interp_steps(lockstep);
    result->end = machine_position(lockstep->side[options->leader].machine);
    result->stop = lockstep->side[options->leader].stop;
    if (round == LOCKSTEP_STUCK)
        cannot(lockstep);
    else if (round == LOCKSTEP_PARTED)
        result->verdict = LOCKSTEP_DIFFERENT;
    enum lockstep_what what = result->difference.what;
    result->difference.equal_exits = what == LOCKSTEP_MEMORY || what == LOCKSTEP_DEVICES ? checked : equal;
    if (round == LOCKSTEP_ALIKE && (over || lockstep_script_full(lockstep->script))) {
        result->verdict = LOCKSTEP_NOT_COMPARED;
        snprintf(result->reason, sizeof result->reason,
                 over ? "interrupted: alike up to exit %llu, devices and memory up to exit %llu"
                      : "more inputs than are kept: alike up to exit %llu, devices and memory up to exit %llu",
                 (unsigned long long)exits, (unsigned long long)checked);
    }
}

void lockstep_run(const struct lockstep_options *options, struct lockstep_script *script,
                  struct lockstep_result *result)
{
    struct lockstep lockstep = {.options = options, .script = script, .result = result};
    struct error error = {{0}};
    CHECK(options->every && options->stall_ms && !lockstep_script_length(script));
    memset(result, 0, sizeof *result);
    lockstep.watch = lockstep_watch_create(options->stall_ms);
    if (lockstep_make(&lockstep, true, &error)) {
        first_pass(&lockstep);
        lockstep_unmake(&lockstep);
        if (result->verdict == LOCKSTEP_DIFFERENT)
            lockstep_find_insn(&lockstep);
        if (result->verdict == LOCKSTEP_DIFFERENT)
            judge_stalled(&lockstep);
    } else {
        result->verdict = LOCKSTEP_NOT_COMPARED;
        snprintf(result->reason, sizeof result->reason, "%s",
                 error.text[0] ? error.text : "the machines could not be made");
    }
    lockstep_unmake(&lockstep);
    lockstep_watch_destroy(lockstep.watch);
}
