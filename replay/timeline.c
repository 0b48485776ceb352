/* Checkpoints of a run, and going to a position: see timeline.h. */
#include "replay/timeline_internal.h"

#include <stdlib.h>
#include <string.h>

#define SPACING_STEPS (32ull << 20) /* of checkpoints while the run goes on */
#define NEAR_STEPS (64ull << 10)    /* of the nearest before a place that was gone to */
#define CHECKPOINTS_MAX 1024u
#define RETRY_STEPS 997u /* where a checkpoint can't be laid */

/* Distances before a place that is gone to. */
static const uint64_t distances[] = {1ull << 30, 256ull << 20, 64ull << 20,  16ull << 20,
                                     4ull << 20, 1ull << 20,   256ull << 10, NEAR_STEPS};
#define DISTANCES (sizeof distances / sizeof distances[0])

static uint64_t icount_of(const struct timeline *timeline)
{
    return checkpoint_icount(timeline->options.machine);
}

static uint64_t apart(uint64_t a, uint64_t b)
{
    return a < b ? b - a : a - b;
}

/* ---- checkpoints ---- */

/* How many are not after icount. */
static size_t place_of(const struct timeline *timeline, uint64_t icount)
{
    size_t low = 0, high = timeline->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (timeline->checkpoint[middle].icount <= icount)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct checkpoint *last_before(const struct timeline *timeline, uint64_t icount)
{
    return &timeline->checkpoint[place_of(timeline, icount) - 1];
}

static bool any_within(const struct timeline *timeline, uint64_t icount, uint64_t distance)
{
    size_t place = place_of(timeline, icount);
    return apart(timeline->checkpoint[place - 1].icount, icount) <= distance ||
           (place < timeline->count && apart(timeline->checkpoint[place].icount, icount) <= distance);
}

static uint64_t bytes_of(const struct timeline *timeline)
{
    uint64_t bytes = page_store_bytes(timeline->store);
    for (size_t n = 0; n < timeline->count; n++)
        bytes += machine_snapshot_bytes(timeline->checkpoint[n].snapshot);
    return bytes;
}

static void remove_at(struct timeline *timeline, size_t n)
{
    checkpoint_free(&timeline->checkpoint[n]);
    timeline->count--;
    memmove(&timeline->checkpoint[n], &timeline->checkpoint[n + 1],
            (timeline->count - n) * sizeof *timeline->checkpoint);
}

/* How much is lost when this one goes: the gap that it leaves, by how far it is from here. */
static double worth(const struct timeline *timeline, size_t n, uint64_t here)
{
    uint64_t at = timeline->checkpoint[n].icount, from = timeline->checkpoint[n - 1].icount;
    uint64_t to = n + 1 < timeline->count ? timeline->checkpoint[n + 1].icount : at + SPACING_STEPS;
    uint64_t distance = apart(at, here) + NEAR_STEPS;
    return (double)(to - from) / (double)distance;
}

/* All but the first and the one at `newest` may go. */
static bool thin_once(struct timeline *timeline, uint64_t newest)
{
    size_t least = 0;
    for (size_t n = 1; n < timeline->count; n++) {
        if (timeline->checkpoint[n].icount == newest)
            continue;
        if (!least || worth(timeline, n, newest) < worth(timeline, least, newest))
            least = n;
    }
    if (least)
        remove_at(timeline, least);
    return least;
}

static void thin(struct timeline *timeline, uint64_t newest)
{
    while (timeline->count > CHECKPOINTS_MAX || bytes_of(timeline) > timeline->options.memory_bytes) {
        if (!thin_once(timeline, newest))
            return;
    }
}

static void insert(struct timeline *timeline, const struct checkpoint *checkpoint)
{
    size_t place = place_of(timeline, checkpoint->icount);
    if (timeline->count == timeline->capacity) {
        timeline->capacity = timeline->capacity ? 2 * timeline->capacity : 64;
        timeline->checkpoint = realloc(timeline->checkpoint, timeline->capacity * sizeof *timeline->checkpoint);
        CHECK(timeline->checkpoint);
    }
    memmove(&timeline->checkpoint[place + 1], &timeline->checkpoint[place],
            (timeline->count - place) * sizeof *timeline->checkpoint);
    timeline->checkpoint[place] = *checkpoint;
    timeline->count++;
}

void timeline_insert(struct timeline *timeline, struct checkpoint *checkpoint)
{
    if (any_within(timeline, checkpoint->icount, 0)) {
        checkpoint_free(checkpoint);
        return;
    }
    insert(timeline, checkpoint);
    thin(timeline, checkpoint->icount);
}

/* The machine has arrived here. One is enough at a position. */
static bool lay(struct timeline *timeline)
{
    const struct timeline_options *options = &timeline->options;
    struct checkpoint checkpoint;
    if (timeline->count && any_within(timeline, icount_of(timeline), 0))
        return true;
    if (!checkpoint_take(&checkpoint, options->machine, options->player, timeline->store))
        return false;
    if (options->save)
        options->save(options->opaque, checkpoint.word);
    insert(timeline, &checkpoint);
    thin(timeline, checkpoint.icount);
    return true;
}

bool timeline_lay(struct timeline *timeline)
{
    return timeline->arrived && lay(timeline);
}

enum status timeline_restore_checkpoint(struct timeline *timeline, const struct checkpoint *checkpoint)
{
    const struct timeline_options *options = &timeline->options;
    error_clear(&timeline->error);
    timeline->restored++;
    timeline->arrived = true;
    if (options->leaves)
        options->leaves(options->opaque);
    enum status status = checkpoint_restore(checkpoint, options->machine, options->player, &timeline->error);
    if (!status && options->restore)
        options->restore(options->opaque, checkpoint->word);
    return status;
}

bool timeline_restore(struct timeline *timeline, uint64_t icount, uint64_t *from)
{
    if (timeline_journal_restore(timeline, icount, last_before(timeline, icount)->icount, from))
        return true;
    for (;;) {
        size_t place = place_of(timeline, icount) - 1;
        *from = timeline->checkpoint[place].icount;
        if (!timeline_restore_checkpoint(timeline, &timeline->checkpoint[place]))
            return true;
        if (!place)
            return false;
        error_set(&timeline->dropped, "%s", timeline->error.text);
        remove_at(timeline, place);
    }
}

/* ---- life ---- */

struct timeline *timeline_create(const struct timeline_options *options, struct error *error)
{
    const char *obstacle = machine_snapshot_obstacle(options->machine);
    if (obstacle) {
        error_set(error, "the machine can't be set back: %s can't be saved", obstacle);
        return NULL;
    }
    struct timeline *timeline = calloc(1, sizeof *timeline);
    CHECK(timeline);
    timeline->options = *options;
    timeline->store = page_store_create();
    timeline_journal_open(timeline);
    machine_keep_steps_whole(options->machine);
    if (lay(timeline))
        return timeline;
    error_set(error, "the machine can't be saved at its beginning");
    timeline_destroy(timeline);
    return NULL;
}

void timeline_destroy(struct timeline *timeline)
{
    if (!timeline)
        return;
    for (size_t n = 0; n < timeline->count; n++)
        checkpoint_free(&timeline->checkpoint[n]);
    checkpoint_free(&timeline->left);
    free(timeline->checkpoint);
    timeline_journal_close(timeline);
    page_store_destroy(timeline->store);
    free(timeline);
}

/* ---- forwards ---- */

static struct position end_of(const struct timeline *timeline)
{
    return replay_player_end(timeline->options.player);
}

static struct position earlier(struct position a, struct position b)
{
    return position_reached(a, b) ? b : a;
}

/* MACHINE_STOP_LIMIT: at icount; else as machine_run. */
static enum machine_stop run_by_position(struct timeline *timeline, struct position limit, uint64_t icount)
{
    limit = earlier(limit, (struct position){icount, 0});
    bool comes = timeline->arrived || icount_of(timeline) < limit.icount;
    enum machine_stop stop = machine_run(timeline->options.machine, limit);
    timeline->arrived = comes && stop == MACHINE_STOP_LIMIT && limit.vtime_ns == 0;
    return stop;
}

static enum machine_stop run_to(struct timeline *timeline, struct position limit, uint64_t icount)
{
    struct machine *machine = timeline->options.machine;
    if (!machine_counts_exits(machine))
        return run_by_position(timeline, limit, icount);
    if (icount_of(timeline) >= icount)
        return MACHINE_STOP_LIMIT;
    debug_run_until(machine, icount);
    enum machine_stop stop = machine_run(machine, limit);
    timeline->arrived = debug_until_met(machine);
    return timeline->arrived ? MACHINE_STOP_LIMIT : stop;
}

bool timeline_arrive(struct timeline *timeline, uint64_t icount)
{
    struct machine *machine = timeline->options.machine;
    enum machine_stop stop;
    debug_mute(machine, true);
    do {
        timeline->arrived = !machine_counts_exits(machine); /* there it stands, and what is due comes */
        stop = run_to(timeline, end_of(timeline), icount);
    } while (!timeline->arrived &&
             (stop == MACHINE_STOP_HOST || stop == MACHINE_STOP_IO_ERROR || stop == MACHINE_STOP_DEBUG));
    debug_mute(machine, false);
    return timeline->arrived;
}

static uint64_t next_regular(const struct timeline *timeline, uint64_t icount)
{
    uint64_t next = (icount / SPACING_STEPS + 1) * SPACING_STEPS;
    return any_within(timeline, next, SPACING_STEPS / 2) ? next + SPACING_STEPS : next;
}

enum machine_stop timeline_run(struct timeline *timeline, struct position limit)
{
    struct machine *machine = timeline->options.machine;
    if (timeline_diverted(timeline))
        return machine_run(machine, limit);
    uint64_t next = next_regular(timeline, icount_of(timeline));
    for (;;) {
        enum machine_stop stop = run_to(timeline, limit, next);
        if (!timeline->arrived || icount_of(timeline) != next || position_reached(machine_position(machine), limit))
            return stop;
        next = lay(timeline) ? next_regular(timeline, next) : next + RETRY_STEPS;
    }
}

static bool is_interrupted(const struct timeline *timeline)
{
    const struct timeline_options *options = &timeline->options;
    return options->interrupted && options->interrupted(options->opaque);
}

static enum timeline_result result_of(enum machine_stop stop)
{
    switch (stop) {
    case MACHINE_STOP_LIMIT:
    case MACHINE_STOP_DEBUG: return TIMELINE_THERE;
    case MACHINE_STOP_HOST: return TIMELINE_INTERRUPTED;
    default: return TIMELINE_AT_END;
    }
}

/* To icount or the position, whichever comes first. */
static enum timeline_result go(struct timeline *timeline, struct position limit, uint64_t icount,
                               bool (*hit)(void *opaque, struct timeline *timeline), void *opaque)
{
    bool goes_on;
    enum machine_stop stop;
    debug_mute(timeline->options.machine, !hit);
    do {
        stop = run_to(timeline, limit, icount);
        goes_on = stop == MACHINE_STOP_IO_ERROR || (stop == MACHINE_STOP_HOST && !is_interrupted(timeline)) ||
                  (stop == MACHINE_STOP_DEBUG && (!hit || !hit(opaque, timeline)));
    } while (goes_on);
    debug_mute(timeline->options.machine, false);
    timeline->stop = stop;
    return result_of(stop);
}

/* At the end of the journal the machine may stop without an arrival. */
enum timeline_result timeline_go(struct timeline *timeline, uint64_t icount,
                                 bool (*hit)(void *opaque, struct timeline *timeline), void *opaque)
{
    enum timeline_result result = go(timeline, end_of(timeline), icount, hit, opaque);
    bool short_of = result == TIMELINE_THERE && timeline->stop == MACHINE_STOP_LIMIT && icount_of(timeline) < icount;
    return short_of ? TIMELINE_AT_END : result;
}

/* With the checkpoints of any run on the way. */
static enum timeline_result go_on(struct timeline *timeline, uint64_t icount)
{
    for (;;) {
        uint64_t next = next_regular(timeline, icount_of(timeline));
        enum timeline_result result = timeline_go(timeline, next < icount ? next : icount, NULL, NULL);
        if (result != TIMELINE_THERE || next >= icount)
            return result;
        (void)lay(timeline);
    }
}

/* On to what lies ahead, with checkpoints before it. */
static enum timeline_result approach(struct timeline *timeline, uint64_t goal)
{
    for (size_t n = 0; n < DISTANCES; n++) {
        uint64_t at = goal > distances[n] ? goal - distances[n] : 0;
        if (at <= icount_of(timeline) || any_within(timeline, at, distances[n] / 4))
            continue;
        enum timeline_result result = go_on(timeline, at);
        if (result != TIMELINE_THERE)
            return result;
        (void)lay(timeline);
    }
    return go_on(timeline, goal);
}

enum timeline_result timeline_seek(struct timeline *timeline, uint64_t icount)
{
    if (timeline_rejoin(timeline) == TIMELINE_BROKEN)
        return TIMELINE_BROKEN;
    uint64_t here = icount_of(timeline), from;
    if (timeline->arrived && here == icount)
        return TIMELINE_THERE;
    if (!machine_counts_exits(timeline->options.machine) && icount > end_of(timeline).icount)
        return timeline_seek_position(timeline, end_of(timeline));
    uint64_t journal = timeline_journal_before(timeline, icount);
    bool ahead = here < icount && last_before(timeline, icount)->icount <= here && journal <= here;
    if (!ahead && !timeline_restore(timeline, icount, &from))
        return TIMELINE_BROKEN;
    return icount == POSITION_NEVER ? timeline_seek_position(timeline, end_of(timeline)) : approach(timeline, icount);
}

static enum timeline_result go_to_position(struct timeline *timeline, struct position position)
{
    for (;;) {
        uint64_t next = next_regular(timeline, icount_of(timeline));
        enum timeline_result result = go(timeline, position, next, NULL, NULL);
        bool more = timeline->arrived && icount_of(timeline) == next &&
                    !position_reached(machine_position(timeline->options.machine), position);
        if (result != TIMELINE_THERE || !more)
            return result;
        (void)lay(timeline);
    }
}

/* Of those whose positions are not behind it. */
static uint64_t icount_before(const struct timeline *timeline, struct position position)
{
    uint64_t icount = 0;
    for (size_t n = 0; n < timeline->count; n++) {
        if (position_reached(position, timeline->checkpoint[n].position))
            icount = timeline->checkpoint[n].icount;
    }
    uint64_t journal = timeline_journal_before_position(timeline, position);
    return journal > icount ? journal : icount;
}

enum timeline_result timeline_seek_position(struct timeline *timeline, struct position position)
{
    if (timeline_rejoin(timeline) == TIMELINE_BROKEN)
        return TIMELINE_BROKEN;
    struct position end = end_of(timeline);
    bool beyond = position_reached(position, end), exits = machine_counts_exits(timeline->options.machine);
    uint64_t from = icount_before(timeline, position), here = icount_of(timeline);
    if (!exits && !beyond && !position.vtime_ns)
        return timeline_seek(timeline, position.icount);
    bool ahead = from <= here && !position_reached(machine_position(timeline->options.machine), position);
    if (!ahead && !timeline_restore(timeline, from, &from))
        return TIMELINE_BROKEN;
    enum timeline_result result = go_to_position(timeline, beyond ? end : position);
    return result == TIMELINE_THERE && beyond ? TIMELINE_AT_END : result;
}

enum timeline_result timeline_broken(struct timeline *timeline, const char *why)
{
    error_set(&timeline->error, "at %llu: %s", (unsigned long long)icount_of(timeline), why);
    return TIMELINE_BROKEN;
}

/* ---- looking ---- */

uint64_t timeline_icount(const struct timeline *timeline)
{
    return icount_of(timeline);
}

enum machine_stop timeline_stop(const struct timeline *timeline)
{
    return timeline->stop;
}

const char *timeline_error(const struct timeline *timeline)
{
    return timeline->error.text;
}

struct timeline_statistics timeline_statistics(const struct timeline *timeline)
{
    return (struct timeline_statistics){.checkpoints = timeline->count,
                                        .bytes = bytes_of(timeline),
                                        .pages = page_store_pages(timeline->store),
                                        .loaded = timeline->loaded,
                                        .restored = timeline->restored};
}
