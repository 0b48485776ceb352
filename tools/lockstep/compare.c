/* Holding two machines against each other.
 *
 * What may differ, and is not looked at: what cpu_state_canonical clears (core/landmark.h), and of a block request where it comes
 * from (TRACE_BLOCK_ORIGIN: not every accelerator knows). Everything else counts. */
#include "tools/lockstep/internal.h"
#include "tools/register_names.h"

#include "core/landmark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- events ---- */

static bool event_equal(const struct trace_event *a, const struct trace_event *b)
{
    return a->kind == b->kind && position_equal(a->position, b->position) && a->address == b->address &&
           a->value == b->value && a->size_bytes == b->size_bytes && a->sectors == b->sectors && a->drive == b->drive &&
           a->tag == b->tag && a->op == b->op && a->status == b->status;
}

static const struct trace_event *front(const struct lockstep_events *events)
{
    return events->count ? &events->event[events->first] : NULL;
}

static void drop_front(struct lockstep_events *events)
{
    events->first = ++events->first == events->capacity ? 0 : events->first;
    events->count--;
}

bool lockstep_events_differ(struct lockstep *lockstep, struct lockstep_difference *difference)
{
    struct lockstep_events *events[2] = {&lockstep->side[0].events, &lockstep->side[1].events};
    const struct trace_event *a, *b;
    while ((a = front(events[0])) && (b = front(events[1]))) {
        if (!event_equal(a, b)) {
            difference->has_event[0] = difference->has_event[1] = true;
            difference->event[0] = *a;
            difference->event[1] = *b;
            return true;
        }
        lockstep->last[lockstep->last_count++ % LOCKSTEP_LAST_EVENTS] = *a;
        lockstep->result->events++;
        drop_front(events[0]);
        drop_front(events[1]);
    }
    for (unsigned side = 0; side < 2; side++) {
        difference->has_event[side] = front(events[side]) != NULL;
        if (difference->has_event[side])
            difference->event[side] = *front(events[side]);
    }
    return events[0]->lost || events[1]->lost;
}

/* ---- fields ---- */

struct look {
    struct lockstep_fields *fields;
    const char *prefix; /* null: CPU */
};

static void note(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    struct look *look = opaque;
    struct lockstep_fields *fields = look->fields;
    if (fields->count++ >= LOCKSTEP_FIELDS_MAX)
        return;
    struct lockstep_field *field = &fields->field[fields->count - 1];
    *field = (struct lockstep_field){.value = {a, b}};
    if (look->prefix)
        snprintf(field->name, sizeof field->name, "%s.%s", look->prefix, path);
    else
        register_name(path, field->name, sizeof field->name);
}

/* The values before, of the fields that are listed. */
static void note_before(void *opaque, const char *path, uint64_t before, uint64_t after)
{
    struct lockstep_fields *fields = ((struct look *)opaque)->fields;
    char name[96];
    (void)after;
    register_name(path, name, sizeof name);
    for (unsigned n = 0; n < fields->count && n < LOCKSTEP_FIELDS_MAX; n++) {
        if (strcmp(fields->field[n].name, name))
            continue;
        fields->field[n].has_before = true;
        fields->field[n].before = before;
    }
}

void lockstep_look_at_cpu(struct lockstep_side *side)
{
    struct accel *accel = machine_accel(side->machine);
    accel->ops->get_state(accel, &side->cpu);
    cpu_state_canonical(&side->cpu);
}

/* A field that a has left as it was has its value before from a itself. */
uint64_t lockstep_compare_cpu(const struct cpu_state *before, const struct cpu_state *a, const struct cpu_state *b,
                              struct lockstep_fields *fields)
{
    struct look look = {fields, NULL};
    fields->count = 0;
    state_diff(cpu_state_fields, a, b, note, &look);
    if (!before)
        return fields->count;
    state_diff(cpu_state_fields, before, a, note_before, &look);
    for (unsigned n = 0; n < fields->count && n < LOCKSTEP_FIELDS_MAX; n++) {
        struct lockstep_field *field = &fields->field[n];
        if (!field->has_before)
            field->before = field->value[0];
        field->has_before = true;
    }
    return fields->count;
}

uint64_t lockstep_compare_devices(struct machine *a, struct machine *b, struct lockstep_fields *fields)
{
    struct look look = {fields, NULL};
    fields->count = 0;
    for (struct device *device = machine_device_first(a); device; device = device->next) {
        struct device *other = machine_device_find(b, device->id);
        look.prefix = device->id;
        if (other && other->class == device->class && device->class->fields)
            state_diff(device->class->fields, device, other, note, &look);
    }
    return fields->count;
}

/* ---- memory ---- */

static struct memory_block *find_block(struct memory *memory, const char *name)
{
    struct memory_block *block = memory_block_first(memory);
    while (block && strcmp(block->name, name))
        block = memory_block_next(memory, block);
    return block;
}

uint64_t lockstep_gpa_of(const struct memory_block *block, uint64_t offset)
{
    return !strcmp(block->name, "ram") && offset >= MEMORY_HOLE_START ? offset + (MEMORY_HOLE_END - MEMORY_HOLE_START)
                                                                      : offset;
}

static void note_range(struct lockstep_ranges *ranges, const struct memory_block *a, const struct memory_block *b,
                       uint64_t start, uint64_t end)
{
    if (ranges->count++ >= LOCKSTEP_RANGES_MAX)
        return;
    struct lockstep_range *range = &ranges->range[ranges->count - 1];
    size_t size = end - start < LOCKSTEP_RANGE_BYTES ? (size_t)(end - start) : LOCKSTEP_RANGE_BYTES;
    *range = (struct lockstep_range){.gpa = lockstep_gpa_of(a, start), .size_bytes = end - start};
    snprintf(range->block, sizeof range->block, "%s", a->name);
    memcpy(range->bytes[0], a->host + start, size);
    memcpy(range->bytes[1], b->host + start, size);
}

static void compare_page(struct lockstep_ranges *ranges, const struct memory_block *a, const struct memory_block *b,
                         uint64_t at)
{
    uint64_t page_end = at + MEMORY_PAGE_BYTES;
    while (at < page_end) {
        uint64_t start = at;
        while (at < page_end && a->host[at] != b->host[at])
            at++;
        if (at > start)
            note_range(ranges, a, b, start, at);
        while (at < page_end && a->host[at] == b->host[at])
            at++;
    }
}

uint64_t lockstep_compare_memory(struct machine *a, struct machine *b, struct lockstep_ranges *ranges)
{
    struct memory *memory = machine_memory(a);
    ranges->count = 0;
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        struct memory_block *other = find_block(machine_memory(b), block->name);
        if (!other || other->size_bytes != block->size_bytes)
            continue;
        for (uint64_t at = 0; at + MEMORY_PAGE_BYTES <= block->size_bytes; at += MEMORY_PAGE_BYTES) {
            if (memcmp(block->host + at, other->host + at, MEMORY_PAGE_BYTES))
                compare_page(ranges, block, other, at);
        }
    }
    return ranges->count;
}
