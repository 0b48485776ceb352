/* See activity.h. */
#include "block/activity.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool wants_stack(uint8_t kind)
{
    return kind == BLOCK_STEP_HOST_WRITE || kind == BLOCK_STEP_HOST_FLUSH || kind == BLOCK_STEP_HOST_ZERO ||
           kind == BLOCK_STEP_HOST_RESIZE || kind == BLOCK_STEP_SUBMIT;
}

void block_activity_add(struct block_activity *activity, struct block_step step)
{
    if (!activity)
        return;
    if (activity->stacks.capture && wants_stack(step.kind))
        step.stack = activity->stacks.capture(activity->stacks.opaque);
    if (activity->count == activity->capacity) {
        size_t capacity = activity->capacity ? activity->capacity * 2 : 16;
        struct block_step *grown =
            capacity > BLOCK_ACTIVITY_MAX ? NULL : realloc(activity->step, capacity * sizeof *grown);
        if (!grown) {
            activity->lost++;
            return;
        }
        activity->step = grown;
        activity->capacity = capacity;
    }
    activity->step[activity->count++] = step;
}

void block_activity_add_in(struct block_activity *activity, const char *path, struct block_step step)
{
    if (activity && step.file < BLOCK_ACTIVITY_FILES)
        activity->path[step.file] = path;
    block_activity_add(activity, step);
}

void block_activity_clear(struct block_activity *activity)
{
    activity->count = 0;
    activity->lost = 0;
    memset(activity->path, 0, sizeof activity->path);
}

void block_activity_free(struct block_activity *activity)
{
    free(activity->step);
    *activity = (struct block_activity){0};
}

const char *block_step_name(enum block_step_kind kind)
{
    static const char *const names[BLOCK_STEP_KINDS] = {
        "host-read", "host-write", "host-flush", "host-zero", "host-resize",   "allocate",   "free",   "map",
        "table",     "refcount",   "reftable",   "header",    "copy-on-write", "decompress", "submit", "corrupt",
    };
    return (unsigned)kind < BLOCK_STEP_KINDS ? names[kind] : "?";
}
