/* Checkpoints that were written with the journal: see timeline.h.
 *
 * One is loaded when it is the nearest, held against the journal's digests, and let go again: what stays is a checkpoint that is
 * laid where the machine then arrives. That is the checkpoint's own instant, whose timers and messages come first; of a
 * machine that counts exits, whose arrival there lies before them, the instant one step on. */
#include "replay/timeline_internal.h"

#include "replay/checkpoint_writer.h"
#include "replay/player.h"

#include <stdlib.h>

void timeline_journal_open(struct timeline *timeline)
{
    struct replay_player *player = timeline->options.player;
    if (player->follow)
        return;
    timeline->frames = checkpoint_frames_create(player->reader);
    timeline->bad = calloc(checkpoint_frames_count(timeline->frames) + 1, sizeof *timeline->bad);
    CHECK(timeline->bad);
    if (checkpoint_frames_fault(timeline->frames))
        error_set(&timeline->dropped, "%s", checkpoint_frames_fault(timeline->frames));
}

void timeline_journal_close(struct timeline *timeline)
{
    checkpoint_frames_destroy(timeline->frames);
    free(timeline->bad);
}

const char *timeline_dropped(const struct timeline *timeline)
{
    return timeline->dropped.text[0] ? timeline->dropped.text : NULL;
}

/* ---- which ---- */

static uint64_t serves_from(const struct timeline *timeline, size_t n)
{
    uint64_t steps = checkpoint_frames_entry(timeline->frames, n)->head.steps;
    return steps + machine_counts_exits(timeline->options.machine);
}

/* How many do not serve from after icount. */
static size_t place_of(const struct timeline *timeline, uint64_t icount)
{
    size_t low = 0, high = timeline->frames ? checkpoint_frames_count(timeline->frames) : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (serves_from(timeline, middle) <= icount)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The last good one of the first so many, plus 1; 0: none. */
static size_t last_good(const struct timeline *timeline, size_t count)
{
    while (count && timeline->bad[count - 1])
        count--;
    return count;
}

uint64_t timeline_journal_before(const struct timeline *timeline, uint64_t icount)
{
    size_t n = last_good(timeline, place_of(timeline, icount));
    return n ? serves_from(timeline, n - 1) : 0;
}

uint64_t timeline_journal_before_position(const struct timeline *timeline, struct position position)
{
    size_t n = timeline->frames ? checkpoint_frames_count(timeline->frames) : 0;
    while (n && position_reached(checkpoint_frames_entry(timeline->frames, n - 1)->head.position, position))
        n--;
    n = last_good(timeline, n);
    return n ? serves_from(timeline, n - 1) : 0;
}

/* ---- to it ---- */

static enum status use(struct timeline *timeline, size_t n)
{
    struct checkpoint checkpoint;
    struct machine *machine = timeline->options.machine;
    uint64_t bytes = checkpoint_memory_default(machine) + timeline->options.memory_bytes;
    error_clear(&timeline->error);
    enum status status = checkpoint_frames_load(timeline->frames, n, machine, timeline->store, bytes / PAGE_STORE_BYTES,
                                                &checkpoint, &timeline->error);
    if (status)
        return status;
    status = timeline_restore_checkpoint(timeline, &checkpoint);
    if (!status && !timeline_arrive(timeline, serves_from(timeline, n)))
        status = error_status(&timeline->error, STATUS_CORRUPT, "checkpoint at %llu: the run does not go on from there",
                              (unsigned long long)checkpoint.icount);
    if (!status)
        (void)timeline_lay(timeline);
    checkpoint_free(&checkpoint);
    return status;
}

bool timeline_journal_restore(struct timeline *timeline, uint64_t icount, uint64_t than, uint64_t *from)
{
    size_t n = place_of(timeline, icount);
    while ((n = last_good(timeline, n)) && serves_from(timeline, n - 1) > than) {
        timeline->loaded++;
        if (!use(timeline, --n)) {
            *from = checkpoint_icount(timeline->options.machine);
            return true;
        }
        timeline->bad[n] = true;
        error_set(&timeline->dropped, "%s", timeline->error.text);
    }
    return false;
}
