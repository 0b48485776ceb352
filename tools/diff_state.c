/* vmrr diff: both runs replayed in this process, step by step to corresponding points, and there their registers, device
 * fields and memory compared: at the start, at the last instruction boundary before the first event that differs, behind the last
 * event that both have when positions do not count (where they have shifted, each at its own), and at the ends. */
#include "core/cpu_state.h"
#include "tools/diff.h"
#include "tools/json_text.h"
#include "tools/register_names.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SHOW_BYTES 16u

struct fields {
    uint64_t max, count;
    json_t *list;
    const char *prefix; /* null: CPU */
};

/* ---- fields ---- */

static void note_texts(struct fields *fields, const char *name, json_t *a, json_t *b)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "a", a);
    json_object_set_new(object, "b", b);
    if (fields->count++ < fields->max)
        json_array_append(fields->list, object);
    json_decref(object);
}

static void note_field(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    struct fields *fields = opaque;
    char name[160], text[2][24];
    if (fields->prefix)
        snprintf(name, sizeof name, "%s.%s", fields->prefix, path);
    else
        register_name(path, name, sizeof name);
    snprintf(text[0], sizeof text[0], "0x%" PRIx64, a);
    snprintf(text[1], sizeof text[1], "0x%" PRIx64, b);
    note_texts(fields, name, json_string(text[0]), json_string(text[1]));
}

static void compare_cpu(struct fields *fields, struct machine *a, struct machine *b)
{
    struct cpu_state *state = calloc(2, sizeof *state);
    CHECK(state);
    machine_accel(a)->ops->get_state(machine_accel(a), &state[0]);
    machine_accel(b)->ops->get_state(machine_accel(b), &state[1]);
    state_diff(cpu_state_fields, &state[0], &state[1], note_field, fields);
    free(state);
}

/* The machine's own few fields, as machine_dump_state has them. */
static char *machine_lines(struct machine *machine)
{
    char *text = NULL, *all;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK(out);
    machine_dump_state(machine, out);
    CHECK(!fclose(out) && text);
    char *first = strstr(text, "\nmachine."), *end = first;
    while (end && !strncmp(end, "\nmachine.", 9))
        end = strchr(end + 1, '\n');
    all = first ? strndup(first + 1, end ? (size_t)(end - first) : strlen(first)) : strdup("");
    CHECK(all);
    free(text);
    return all;
}

static void compare_machine(struct fields *fields, struct machine *a, struct machine *b)
{
    char *text[2] = {machine_lines(a), machine_lines(b)}, *rest[2] = {NULL, NULL};
    char *left = strtok_r(text[0], "\n", &rest[0]), *right = strtok_r(text[1], "\n", &rest[1]);
    for (; left && right; left = strtok_r(NULL, "\n", &rest[0]), right = strtok_r(NULL, "\n", &rest[1])) {
        char *value[2] = {strstr(left, " = "), strstr(right, " = ")};
        if (!strcmp(left, right) || !value[0] || !value[1])
            continue;
        *value[0] = 0;
        note_texts(fields, left, json_string(value[0] + 3), json_string(value[1] + 3));
    }
    free(text[0]);
    free(text[1]);
}

static void compare_devices(struct fields *fields, struct machine *a, struct machine *b)
{
    compare_machine(fields, a, b);
    for (struct device *device = machine_device_first(a); device; device = device->next) {
        struct device *other = machine_device_find(b, device->id);
        fields->prefix = device->id;
        if (!other || other->class != device->class)
            note_texts(fields, device->id, json_string(device->class->name),
                       other ? json_string(other->class->name) : json_null());
        else if (device->class->fields)
            state_diff(device->class->fields, device, other, note_field, fields);
    }
    for (struct device *device = machine_device_first(b); device; device = device->next) {
        if (!machine_device_find(a, device->id))
            note_texts(fields, device->id, json_null(), json_string(device->class->name));
    }
}

/* ---- memory ---- */

struct pages {
    uint64_t max, pages, ranges;
    json_t *list, *last; /* last: of a range that may go on */
    uint64_t last_end;   /* page */
};

static json_t *hex_bytes(const uint8_t *bytes, size_t size)
{
    char text[2 * SHOW_BYTES + 1];
    for (size_t n = 0; n < size; n++)
        snprintf(text + 2 * n, 3, "%02x", bytes[n]);
    return json_string(text);
}

static uint64_t gpa_of(const struct memory_block *block, uint64_t offset)
{
    return !strcmp(block->name, "ram") && offset >= MEMORY_HOLE_START ? offset + (MEMORY_HOLE_END - MEMORY_HOLE_START)
                                                                      : offset;
}

static void note_page(struct pages *pages, const struct memory_block *a, const struct memory_block *b, uint64_t page)
{
    uint64_t offset = page << MEMORY_PAGE_SHIFT;
    pages->pages++;
    if (pages->ranges && pages->last_end == page) {
        pages->last_end++;
        if (pages->last)
            json_set_number(pages->last, "pages",
                            (uint64_t)json_integer_value(json_object_get(pages->last, "pages")) + 1);
        return;
    }
    pages->last_end = page + 1;
    pages->last = NULL;
    if (pages->ranges++ >= pages->max)
        return;
    while (a->host[offset] == b->host[offset])
        offset++;
    uint64_t left = MEMORY_PAGE_BYTES - offset % MEMORY_PAGE_BYTES;
    size_t size = left < SHOW_BYTES ? (size_t)left : SHOW_BYTES;
    pages->last = json_object();
    json_object_set_new(pages->last, "block", json_string(a->name));
    json_set_hex(pages->last, "address", gpa_of(a, page << MEMORY_PAGE_SHIFT), 1);
    json_set_number(pages->last, "pages", 1);
    json_set_hex(pages->last, "first_byte", gpa_of(a, offset), 1);
    json_object_set_new(pages->last, "a", hex_bytes(a->host + offset, size));
    json_object_set_new(pages->last, "b", hex_bytes(b->host + offset, size));
    json_array_append_new(pages->list, pages->last);
}

static struct memory_block *find_block(struct memory *memory, const char *name)
{
    struct memory_block *block = memory_block_first(memory);
    while (block && strcmp(block->name, name))
        block = memory_block_next(memory, block);
    return block;
}

/* Ranges do not go on from one block to another. */
static void compare_memory(struct pages *pages, struct machine *a, struct machine *b)
{
    struct memory *memory = machine_memory(a);
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        struct memory_block *other = find_block(machine_memory(b), block->name);
        if (!other)
            continue;
        uint64_t size = block->size_bytes < other->size_bytes ? block->size_bytes : other->size_bytes;
        pages->last_end = UINT64_MAX;
        for (uint64_t at = 0; at + MEMORY_PAGE_BYTES <= size; at += MEMORY_PAGE_BYTES) {
            if (memcmp(block->host + at, other->host + at, MEMORY_PAGE_BYTES))
                note_page(pages, block, other, at >> MEMORY_PAGE_SHIFT);
        }
    }
}

/* ---- points ---- */

static json_t *position_json(struct machine *machine)
{
    struct position position = machine_position(machine);
    json_t *object = json_object();
    json_set_number(object, "icount", position.icount);
    json_set_number(object, "vtime_ns", position.vtime_ns);
    return object;
}

static void compare_point(struct diff *diff, json_t *points, const char *name, struct session *const session[2])
{
    struct machine *a = session[0]->machine, *b = session[1]->machine;
    struct fields cpu = {.max = diff->max, .list = json_array()}, devices = {.max = diff->max, .list = json_array()};
    struct pages pages = {.max = diff->max, .list = json_array()};
    json_t *point = json_object();
    compare_cpu(&cpu, a, b);
    compare_devices(&devices, a, b);
    compare_memory(&pages, a, b);
    json_object_set_new(point, "name", json_string(name));
    json_object_set_new(point, "a", position_json(a));
    json_object_set_new(point, "b", position_json(b));
    json_object_set_new(point, "registers", cpu.list);
    json_set_number(point, "register_count", cpu.count);
    json_object_set_new(point, "devices", devices.list);
    json_set_number(point, "device_field_count", devices.count);
    json_object_set_new(point, "memory", pages.list);
    json_set_number(point, "memory_pages", pages.pages);
    json_set_number(point, "memory_ranges", pages.ranges);
    json_array_append_new(points, point);
    diff->different |= cpu.count || devices.count || pages.pages;
}

/* Stops where the instruction with this number would come next. */
static bool run_to(struct diff *diff, unsigned side, struct session *session, uint64_t icount)
{
    struct position goal = {icount, 0};
    if (position_reached(machine_position(session->machine), goal))
        return true;
    enum machine_stop stop = control_run(session, goal);
    if (stop == MACHINE_STOP_LIMIT)
        return true;
    diff_cannot(diff, "%s: the replay ended at position %" PRIu64 " (%s), before %" PRIu64, diff->path[side],
                machine_position(session->machine).icount, machine_stop_name(stop), icount);
    return false;
}

static bool run_to_end(struct diff *diff, unsigned side, struct session *session)
{
    struct error error = {{0}};
    session_run(session);
    if (session->interrupted) {
        diff_cannot(diff, "%s: the replay was interrupted", diff->path[side]);
        return false;
    }
    enum status status = replay_player_result(session->player, &error);
    const struct replay_divergence *divergence = replay_player_divergence(session->player);
    if (status)
        diff_cannot(diff, "%s: the replay went wrong at position %" PRIu64 ": %s", diff->path[side],
                    machine_position(session->machine).icount,
                    divergence      ? divergence->text
                    : error.text[0] ? error.text
                                    : status_name(status));
    return !status;
}

static bool compare_at(struct diff *diff, json_t *points, const char *name, struct session *const session[2],
                       const uint64_t icount[2])
{
    for (unsigned side = 0; side < 2; side++) {
        if (!run_to(diff, side, session[side], icount[side]))
            return false;
    }
    compare_point(diff, points, name, session);
    return true;
}

static bool go_through(struct diff *diff, json_t *points, struct session *const session[2])
{
    const uint64_t split[2] = {diff->split_icount - 1, diff->split_icount - 1};
    bool has_split = diff->has_split && diff->split_icount > 1;
    bool shifted = diff->has_common &&
                   (diff->common_icount[0] != diff->common_icount[1] || diff->common_icount[0] > diff->split_icount);
    compare_point(diff, points, "start", session);
    if (has_split && !compare_at(diff, points, "before-first-difference", session, split))
        return false;
    if (shifted && !compare_at(diff, points, "after-last-common-content", session, diff->common_icount))
        return false;
    for (unsigned side = 0; side < 2; side++) {
        if (!run_to_end(diff, side, session[side]))
            return false;
    }
    compare_point(diff, points, "end", session);
    return true;
}

/* ---- the replays ---- */

static int open_replay(struct session *session, const char *path)
{
    size_t size = strlen(path) + 3;
    char *name = malloc(size);
    CHECK(name);
    snprintf(name, size, "%s%s", path[0] == '-' ? "./" : "", path);
    char *argv[] = {(char[]){"replay"}, (char[]){"-q"}, (char[]){"-serial"}, (char[]){"none"}, name, NULL};
    int code = session_open(session, OPTIONS_REPLAY, 5, argv);
    session->options.input = path;
    free(name);
    return code;
}

static void replay_both(struct diff *diff, json_t *state)
{
    struct session *session[2];
    json_t *points = json_array();
    json_object_set_new(state, "points", points);
    bool opened[2] = {false, false};
    for (unsigned side = 0; side < 2; side++) {
        session[side] = calloc(1, sizeof *session[side]);
        CHECK(session[side]);
        opened[side] = open_replay(session[side], diff->path[side]) < 0;
        if (!opened[side])
            diff_cannot(diff, "%s: can't be replayed, as standard error says", diff->path[side]);
    }
    if (opened[0] && opened[1] && go_through(diff, points, session))
        diff_sectors(diff, session);
    for (unsigned side = 0; side < 2; side++) {
        (void)session_close(session[side], EXIT_CODE_OK);
        free(session[side]);
    }
}

void diff_state(struct diff *diff)
{
    json_t *state = json_object();
    json_object_set_new(diff->report, "state", state);
    const char *why = diff->no_replay ? "--no-replay" : !diff->different ? "events and digests are the same" : NULL;
    json_object_set_new(state, "not_replayed", why ? json_string(why) : json_null());
    if (!why)
        replay_both(diff, state);
}
