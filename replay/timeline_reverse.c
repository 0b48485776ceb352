/* Backwards: see timeline.h.
 *
 * There is no running backwards: a stretch between a checkpoint and here is run again, forwards, with the points in, and the
 * last hit is kept; if there was none, the stretch before it is next. Where a hit is shown:
 *  - a breakpoint: where the run stops forwards, which may be after the interrupt that was taken at that position;
 *  - a watchpoint: the last arrival at a position before the access. That is the position of the step that made it, or, of what
 *    happens between steps (a timer's DMA, the delivery of an interrupt), the one before or the same. */
#include "replay/timeline_internal.h"

struct last_hit {
    bool found, watch, within_step;
    bool waits;         /* it was noted on the arrival at the stretch's end */
    bool after_arrival; /* it is known to come after the arrival at its position */
    uint64_t icount;
    struct position position;
    unsigned ordinal; /* of stops by breakpoints at this instant */
    struct debug_stop stop;
};

static struct position position_of(const struct timeline *timeline)
{
    return machine_position(timeline->options.machine);
}

static bool is_watch(const struct debug_stop *stop)
{
    for (unsigned n = 0; n < stop->hits; n++) {
        if (stop->hit[n].point.kind != DEBUG_EXECUTE)
            return true;
    }
    return false;
}

void timeline_only(struct timeline *timeline, const struct debug_point *point)
{
    timeline->has_only = point;
    if (point)
        timeline->only = *point;
}

/* The hits that count. */
static struct debug_stop counted(const struct timeline *timeline)
{
    struct debug_stop stop = *debug_stop(timeline->options.machine);
    const struct debug_point *only = &timeline->only;
    unsigned kept = 0;
    for (unsigned n = 0; timeline->has_only && n < stop.hits; n++) {
        const struct debug_point *point = &stop.hit[n].point;
        if (point->kind == only->kind && point->address == only->address && point->size_bytes == only->size_bytes &&
            point->flags == only->flags)
            stop.hit[kept++] = stop.hit[n];
    }
    if (timeline->has_only)
        stop.hits = kept;
    return stop;
}

static bool note_hit(void *opaque, struct timeline *timeline)
{
    struct last_hit *last = opaque;
    struct machine *machine = timeline->options.machine;
    struct position now = position_of(timeline);
    struct debug_stop stop = counted(timeline);
    bool watch = is_watch(&stop);
    if (!stop.hits)
        return false;
    uint64_t icount = timeline_icount(timeline);
    bool again = last->found && !last->watch && !watch && last->icount == icount && position_equal(last->position, now);
    last->ordinal = again ? last->ordinal + 1 : 1;
    last->found = true;
    last->watch = watch;
    last->within_step = debug_in_step(machine);
    last->icount = icount;
    last->position = now;
    last->stop = stop;
    return false;
}

/* From the last checkpoint before the limit to that; start: where it was. */
static enum timeline_result scan(struct timeline *timeline, uint64_t limit, uint64_t *start, struct last_hit *last)
{
    struct machine *machine = timeline->options.machine;
    *last = (struct last_hit){.found = false};
    if (!timeline_restore(timeline, limit ? limit - 1 : 0, start))
        return TIMELINE_BROKEN;
    enum timeline_result result = timeline_go(timeline, limit, note_hit, last);
    if (result != TIMELINE_THERE || !debug_hit_waits(machine))
        return result;
    (void)note_hit(last, timeline);
    last->waits = true;
    return result;
}

/* ---- to the hit ---- */

struct wanted {
    uint64_t icount;
    struct position position;
    unsigned left;
    bool there;
};

static bool count_down(void *opaque, struct timeline *timeline)
{
    struct wanted *wanted = opaque;
    if (is_watch(debug_stop(timeline->options.machine)) || !position_equal(position_of(timeline), wanted->position))
        return false;
    wanted->there = --wanted->left == 0;
    return wanted->there;
}

/* Forwards from the arrival at the position to the stop that was seen there. */
static enum timeline_result go_to_breakpoint(struct timeline *timeline, const struct last_hit *last)
{
    struct wanted wanted = {last->icount, last->position, last->ordinal, false};
    enum timeline_result result = timeline_seek(timeline, last->icount);
    if (result == TIMELINE_THERE)
        result = timeline_go(timeline, last->icount + 1, count_down, &wanted);
    if (result == TIMELINE_THERE && !wanted.there)
        return timeline_broken(timeline, "a breakpoint was hit on one way and not on another");
    return result;
}

static bool note_stop_here(void *opaque, struct timeline *timeline)
{
    struct wanted *wanted = opaque;
    wanted->there |= timeline_icount(timeline) == wanted->icount;
    return false;
}

/* The hit came about on the way from the position before to the arrival at this one. */
static enum timeline_result comes_with_step(struct timeline *timeline, uint64_t icount, bool *comes)
{
    struct wanted wanted = {.icount = icount};
    enum timeline_result result = timeline_seek(timeline, icount - 1);
    if (result != TIMELINE_THERE)
        return result;
    result = timeline_go(timeline, icount, note_stop_here, &wanted);
    *comes = wanted.there || debug_hit_waits(timeline->options.machine);
    return result;
}

static enum timeline_result go_before_access(struct timeline *timeline, const struct last_hit *last)
{
    uint64_t icount = last->icount;
    bool comes = last->waits;
    enum timeline_result result = TIMELINE_THERE;
    if (!comes && !last->within_step && !last->after_arrival && icount)
        result = comes_with_step(timeline, icount, &comes);
    if (result != TIMELINE_THERE && result != TIMELINE_AT_END)
        return result;
    return timeline_seek(timeline, comes && icount ? icount - 1 : icount);
}

/* ---- what lies between the arrival at this position and here ---- */

struct near {
    struct last_hit *last;
    uint64_t icount, digest;
    bool within_step;
};

/* True: here it is, or it was not met. What is done here is past, but for a breakpoint that the machine stands at. */
static bool note_near(void *opaque, struct timeline *timeline)
{
    struct near *near = opaque;
    struct machine *machine = timeline->options.machine;
    if (timeline_icount(timeline) != near->icount)
        return true;
    bool here = debug_in_step(machine) == near->within_step && machine_digest_all(machine) == near->digest;
    if (!here || is_watch(debug_stop(machine)))
        (void)note_hit(near->last, timeline);
    near->last->after_arrival = true;
    return here;
}

/* Leaves the machine at the arrival, if nothing was hit. */
static enum timeline_result search_near(struct timeline *timeline, struct last_hit *last)
{
    struct machine *machine = timeline->options.machine;
    uint64_t icount = timeline_icount(timeline);
    struct near near = {last, icount, machine_digest_all(machine), debug_in_step(machine)};
    *last = (struct last_hit){.found = false};
    enum timeline_result result = timeline_seek(timeline, icount);
    if (result == TIMELINE_THERE)
        result = timeline_go(timeline, icount + 1, note_near, &near);
    if (result == TIMELINE_INTERRUPTED || result == TIMELINE_BROKEN || last->found)
        return result == TIMELINE_AT_END ? TIMELINE_THERE : result;
    result = timeline_seek(timeline, icount);
    return result == TIMELINE_AT_END ? TIMELINE_THERE : result;
}

/* ---- the outside ---- */

/* Back to where it was, where it was arrived at. */
static enum timeline_result give_up(struct timeline *timeline, uint64_t here)
{
    enum timeline_result result = timeline_seek(timeline, here);
    return result == TIMELINE_BROKEN ? result : TIMELINE_INTERRUPTED;
}

/* Before the arrival here. */
static enum timeline_result search(struct timeline *timeline, struct last_hit *last)
{
    uint64_t limit = timeline_icount(timeline);
    do {
        uint64_t start;
        enum timeline_result result = scan(timeline, limit, &start, last);
        if (result == TIMELINE_INTERRUPTED || result == TIMELINE_BROKEN)
            return result;
        if (last->found)
            return TIMELINE_THERE;
        limit = start;
    } while (limit);
    return TIMELINE_AT_START;
}

enum timeline_result timeline_reverse_continue(struct timeline *timeline, struct debug_stop *stop)
{
    if (timeline_rejoin(timeline) == TIMELINE_BROKEN)
        return TIMELINE_BROKEN;
    uint64_t here = timeline_icount(timeline);
    struct last_hit last = {.found = false};
    enum timeline_result result = timeline->arrived ? TIMELINE_THERE : search_near(timeline, &last);
    *stop = (struct debug_stop){.hits = 0};
    if (result == TIMELINE_THERE && !last.found)
        result = search(timeline, &last);
    if (result == TIMELINE_INTERRUPTED)
        return give_up(timeline, here);
    if (result == TIMELINE_AT_START) {
        result = timeline_seek(timeline, 0);
        return result == TIMELINE_THERE ? TIMELINE_AT_START : result;
    }
    if (result == TIMELINE_THERE) {
        result = last.watch ? go_before_access(timeline, &last) : go_to_breakpoint(timeline, &last);
        *stop = last.stop;
    }
    return result;
}

/* At the end of the run there may be no arrival: the machine stops before. */
static enum timeline_result go_to_arrival(struct timeline *timeline, uint64_t icount, bool *moved)
{
    struct machine *machine = timeline->options.machine;
    bool within = debug_in_step(machine);
    uint64_t digest = within ? 0 : machine_digest_all(machine);
    enum timeline_result result = timeline_seek(timeline, icount);
    *moved = within || machine_digest_all(machine) != digest;
    return result == TIMELINE_AT_END && timeline_icount(timeline) == icount ? TIMELINE_THERE : result;
}

enum timeline_result timeline_step_back(struct timeline *timeline)
{
    if (timeline_rejoin(timeline) == TIMELINE_BROKEN)
        return TIMELINE_BROKEN;
    uint64_t icount = timeline_icount(timeline);
    bool moved = false;
    enum timeline_result result = TIMELINE_THERE;
    if (!timeline->arrived)
        result = go_to_arrival(timeline, icount, &moved);
    if (result != TIMELINE_THERE || moved)
        return result;
    return icount ? timeline_seek(timeline, icount - 1) : TIMELINE_AT_START;
}
