/* vmrr diff: the sequences of events. Three looks: the first that differs in content or position; the first that differs in
 * content when positions and halts (how time passes) do not count; and the same for each kind of event by itself, which goes on
 * being of use where a completion's other instant has put everything else out of step. Then the digests: from where on the
 * machines' states differ. One frame of each journal is in memory at a time; the looks by kind read the journals anew. */
#include "tools/diff.h"
#include "tools/event_cursor.h"
#include "tools/event_json.h"
#include "tools/json_text.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT 6u
#define AHEAD 512u /* how far after a difference the two are looked at for agreeing again */
#define AGREE 8u   /* events in a row */

#define KIND(name) (1u << TRACE_##name)
#define KINDS_STATE (KIND(DIGEST) | KIND(CHECKPOINT))

struct walk {
    struct diff *diff;
    bool with_positions;
    struct event_cursor *cursor[2];
    struct journal_event event[2];
    bool ended[2];
    struct journal_event before[2][CONTEXT];
    uint64_t index; /* of the events at hand */
};

/* ---- two events ---- */

static bool same_trace(const struct trace_event *a, const struct trace_event *b)
{
    if (a->kind != b->kind || a->address != b->address)
        return false;
    if (a->kind == TRACE_END) /* its digest is the state's business */
        return true;
    return a->value == b->value && a->flags == b->flags && a->size_bytes == b->size_bytes && a->sectors == b->sectors &&
           a->drive == b->drive && a->tag == b->tag && a->op == b->op && a->status == b->status;
}

static bool same_content(const struct journal_event *a, const struct journal_event *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == JOURNAL_EVENT_TRACE)
        return same_trace(&a->trace, &b->trace);
    return a->input.id == b->input.id && a->input.target == b->input.target && a->input.a == b->input.a &&
           a->input.b == b->input.b;
}

/* That nothing goes wrong is asked where there are rules only, and says nothing. How time passes, and where a machine that counts
 * exits stands, is no content. */
static bool says_nothing(const struct journal_event *event, bool with_positions)
{
    if (event->type == JOURNAL_EVENT_TRACE)
        return false;
    switch (event->input.id) {
    case INPUT_BLOCK_FAULT: return !event->input.a;
    case INPUT_CLOCK:
    case INPUT_CLOCK_TICK:
    case INPUT_INTERRUPT:
    case INPUT_LANDMARK:
    case INPUT_CHECKPOINT: return !with_positions;
    default: return false;
    }
}

static bool torn(const struct diff *diff, unsigned side)
{
    return journal_reader_torn(diff->reader[side]) != NULL;
}

/* ---- two sequences ---- */

static uint32_t kinds_of_both(const struct diff *diff)
{
    return (diff->config[0].config.trace_kinds & diff->config[1].config.trace_kinds) | EVENT_CURSOR_INPUTS;
}

static void walk_open(struct walk *walk, struct diff *diff, uint32_t kinds, bool with_positions)
{
    *walk = (struct walk){.diff = diff, .with_positions = with_positions};
    for (unsigned side = 0; side < 2; side++)
        walk->cursor[side] = event_cursor_create(diff->reader[side], kinds & kinds_of_both(diff));
}

static void walk_close(struct walk *walk)
{
    for (unsigned side = 0; side < 2; side++)
        event_cursor_destroy(walk->cursor[side]);
}

static enum status take(struct walk *walk, unsigned side, struct journal_event *event, struct error *error)
{
    enum status status;
    do
        status = event_cursor_next(walk->cursor[side], event, error);
    while (!status && says_nothing(event, walk->with_positions));
    walk->ended[side] = status == STATUS_END;
    return status == STATUS_END ? STATUS_OK : status;
}

/* The next pair; *differ: the two at hand, of which one may be missing, are not the same. Without it and with an end of
 * either, all is done. What a torn journal does not have is no difference. */
static enum status step(struct walk *walk, bool *differ, struct error *error)
{
    enum status status = take(walk, 0, &walk->event[0], error);
    if (!status)
        status = take(walk, 1, &walk->event[1], error);
    *differ = false;
    if (status || (walk->ended[0] && walk->ended[1]))
        return status;
    if (walk->ended[0] || walk->ended[1])
        *differ = !torn(walk->diff, walk->ended[0] ? 0 : 1);
    else
        *differ =
            !same_content(&walk->event[0], &walk->event[1]) ||
            (walk->with_positions && !position_equal(walk->event[0].trace.position, walk->event[1].trace.position));
    return status;
}

static enum status walk_to_difference(struct walk *walk, bool *differ, struct error *error)
{
    for (;;) {
        enum status status = step(walk, differ, error);
        if (status || *differ || walk->ended[0] || walk->ended[1])
            return status;
        for (unsigned side = 0; side < 2; side++)
            walk->before[side][walk->index % CONTEXT] = walk->event[side];
        walk->index++;
    }
}

/* ---- what is around a difference ---- */

struct ahead {
    struct journal_event *event; /* the differing one first */
    size_t count;
};

static enum status look_ahead(struct walk *walk, unsigned side, struct ahead *ahead, struct error *error)
{
    enum status status = STATUS_OK;
    ahead->event = calloc(AHEAD, sizeof *ahead->event);
    CHECK(ahead->event);
    if (!walk->ended[side])
        ahead->event[ahead->count++] = walk->event[side];
    while (!status && !walk->ended[side] && ahead->count < AHEAD) {
        status = take(walk, side, &ahead->event[ahead->count], error);
        ahead->count += !status && !walk->ended[side];
    }
    return status;
}

static bool agree_at(const struct ahead *a, size_t i, const struct ahead *b, size_t j)
{
    for (size_t n = 0; n < AGREE; n++) {
        if (i + n >= a->count || j + n >= b->count)
            return n && i + n >= a->count && j + n >= b->count; /* both to their ends */
        if (!same_content(&a->event[i + n], &b->event[j + n]))
            return false;
    }
    return true;
}

/* The fewest events to leave out of both so that they go on alike. */
static json_t *agree_again(const struct ahead *a, const struct ahead *b)
{
    for (size_t sum = 1; sum < a->count + b->count; sum++) {
        for (size_t i = 0; i <= sum; i++) {
            if (i < a->count && sum - i < b->count && agree_at(a, i, b, sum - i))
                return json_pack("{s:i, s:i}", "a", (int)i, "b", (int)(sum - i));
        }
    }
    return json_null();
}

static json_t *events_before(const struct walk *walk, unsigned side)
{
    json_t *list = json_array();
    uint64_t first = walk->index > CONTEXT ? walk->index - CONTEXT : 0;
    for (uint64_t n = first; n < walk->index; n++)
        json_array_append_new(list, event_json(&walk->before[side][n % CONTEXT]));
    return list;
}

static json_t *events_after(const struct ahead *ahead)
{
    json_t *list = json_array();
    for (size_t n = 1; n < ahead->count && n <= CONTEXT; n++)
        json_array_append_new(list, event_json(&ahead->event[n]));
    return list;
}

/* Names of the fields that are not the same, and of those that one has. */
static json_t *fields_that_differ(json_t *a, json_t *b)
{
    json_t *list = json_array(), *value;
    const char *key;
    json_object_foreach(a, key, value)
    {
        if (!json_equal(value, json_object_get(b, key)))
            json_array_append_new(list, json_string(key));
    }
    json_object_foreach(b, key, value)
    {
        if (!json_object_get(a, key))
            json_array_append_new(list, json_string(key));
    }
    return list;
}

static json_t *pair_json(const struct walk *walk)
{
    json_t *object = json_object(), *event[2];
    for (unsigned side = 0; side < 2; side++)
        event[side] = walk->ended[side] ? json_null() : event_json(&walk->event[side]);
    json_set_number(object, "index", walk->index);
    json_object_set_new(object, "fields", fields_that_differ(event[0], event[1]));
    json_object_set_new(object, "a", event[0]);
    json_object_set_new(object, "b", event[1]);
    return object;
}

static enum status difference_json(struct walk *walk, json_t **out, struct error *error)
{
    static const char *const before[2] = {"a_before", "b_before"}, *const after[2] = {"a_after", "b_after"};
    struct ahead ahead[2] = {{NULL, 0}, {NULL, 0}};
    enum status status = STATUS_OK;
    *out = pair_json(walk);
    for (unsigned side = 0; side < 2 && !status; side++) {
        status = look_ahead(walk, side, &ahead[side], error);
        json_object_set_new(*out, before[side], events_before(walk, side));
        json_object_set_new(*out, after[side], events_after(&ahead[side]));
    }
    if (!status)
        json_object_set_new(*out, "agree_again_after", agree_again(&ahead[0], &ahead[1]));
    free(ahead[0].event);
    free(ahead[1].event);
    return status;
}

/* ---- the looks ---- */

static void note_split(struct walk *walk)
{
    struct diff *diff = walk->diff;
    uint64_t at = POSITION_NEVER;
    for (unsigned side = 0; side < 2; side++) {
        uint64_t icount = walk->event[side].trace.position.icount;
        if (!walk->ended[side] && icount < at)
            at = icount;
    }
    diff->has_split = true;
    diff->split_icount = at;
}

/* Behind the last event that both have, where nothing else has happened yet in either. */
static void note_common(struct walk *walk)
{
    struct diff *diff = walk->diff;
    bool alone = true;
    diff->has_common = walk->index != 0;
    for (unsigned side = 0; side < 2 && diff->has_common; side++) {
        diff->common_icount[side] = walk->before[side][(walk->index - 1) % CONTEXT].trace.position.icount;
        alone &= walk->ended[side] || walk->event[side].trace.position.icount > diff->common_icount[side] + 1;
    }
    for (unsigned side = 0; side < 2; side++)
        diff->common_icount[side] += alone;
}

static enum status look(struct diff *diff, json_t *events, const char *key, bool with_positions, bool *differ,
                        struct error *error)
{
    struct walk walk;
    json_t *difference = NULL;
    uint32_t kinds = ~KINDS_STATE & ~(with_positions ? 0 : KIND(HALT));
    walk_open(&walk, diff, kinds, with_positions);
    enum status status = walk_to_difference(&walk, differ, error);
    if (!status && *differ && with_positions)
        note_split(&walk);
    else if (!status && *differ)
        note_common(&walk);
    if (!status && *differ)
        status = difference_json(&walk, &difference, error);
    if (!status)
        json_object_set_new(events, key, difference ? difference : json_null());
    else
        json_decref(difference);
    walk_close(&walk);
    return status;
}

/* Events by kind, inputs as kind 0. */
static enum status count_kinds(struct diff *diff, unsigned side, uint64_t count[TRACE_KIND_COUNT], struct error *error)
{
    struct walk walk;
    struct journal_event event;
    enum status status = STATUS_OK;
    walk_open(&walk, diff, ~KINDS_STATE, false);
    while (!status && !walk.ended[side]) {
        status = take(&walk, side, &event, error);
        if (!status && !walk.ended[side])
            count[event.type == JOURNAL_EVENT_TRACE ? event.trace.kind : 0]++;
    }
    walk_close(&walk);
    return status;
}

static enum status look_by_kind(struct diff *diff, json_t *list, uint32_t kind, const uint64_t count[2],
                                struct error *error)
{
    struct walk walk;
    bool differ;
    walk_open(&walk, diff, 1u << kind, false);
    enum status status = walk_to_difference(&walk, &differ, error);
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(kind ? trace_kind_name((enum trace_kind)kind) : "input"));
    json_set_number(object, "a_count", count[0]);
    json_set_number(object, "b_count", count[1]);
    json_object_set_new(object, "first", !status && differ ? pair_json(&walk) : json_null());
    json_array_append_new(list, object);
    walk_close(&walk);
    return status;
}

/* A pass for each kind that there is. */
static enum status look_by_kinds(struct diff *diff, json_t *list, struct error *error)
{
    uint64_t count[2][TRACE_KIND_COUNT] = {{0}};
    enum status status = count_kinds(diff, 0, count[0], error);
    if (!status)
        status = count_kinds(diff, 1, count[1], error);
    for (uint32_t kind = 0; kind < TRACE_KIND_COUNT && !status; kind++) {
        const uint64_t both[2] = {count[0][kind], count[1][kind]};
        if (both[0] || both[1])
            status = look_by_kind(diff, list, kind, both, error);
    }
    return status;
}

/* ---- digests ---- */

struct digests {
    json_t *first;      /* null: all equal */
    uint64_t compared;  /* of those that both have */
    uint64_t last_same; /* icount, when compared */
};

static bool same_state(const struct journal_event *a, const struct journal_event *b)
{
    uint64_t mask = a->digest_bits == 8 || b->digest_bits == 8 ? 0xFF : UINT64_MAX;
    if (a->trace.kind == TRACE_DIGEST)
        return !((a->trace.value ^ b->trace.value) & mask);
    return a->trace.value == b->trace.value && (a->trace.kind == TRACE_END || a->trace.address == b->trace.address);
}

/* The two stand at the same position, and are of one kind: else it is the earlier one that the other has not. */
static int order(const struct journal_event *a, const struct journal_event *b)
{
    if (a->trace.position.icount != b->trace.position.icount)
        return a->trace.position.icount < b->trace.position.icount ? -1 : 1;
    if (a->trace.kind == b->trace.kind)
        return 0;
    return a->trace.kind < b->trace.kind ? -1 : 1;
}

static enum status compare_digests(struct walk *walk, struct digests *digests, struct error *error)
{
    enum status status = take(walk, 0, &walk->event[0], error);
    if (!status)
        status = take(walk, 1, &walk->event[1], error);
    while (!status && !walk->ended[0] && !walk->ended[1]) {
        int which = order(&walk->event[0], &walk->event[1]);
        if (!which && !same_state(&walk->event[0], &walk->event[1])) {
            digests->first = pair_json(walk);
            break;
        }
        if (!which) {
            digests->compared++;
            digests->last_same = walk->event[0].trace.position.icount;
        }
        if (which <= 0)
            status = take(walk, 0, &walk->event[0], error);
        if (!status && which >= 0)
            status = take(walk, 1, &walk->event[1], error);
    }
    return status;
}

static bool comparable_positions(const struct diff *diff)
{
    return diff->config[0].config.counts_exits == diff->config[1].config.counts_exits;
}

static enum status look_at_digests(struct diff *diff, json_t *events, struct error *error)
{
    struct walk walk;
    struct digests digests = {NULL, 0, 0};
    json_t *object = json_object();
    json_object_set_new(events, "digests", object);
    json_object_set_new(object, "first", json_null());
    if (!comparable_positions(diff)) {
        json_object_set_new(object, "reason", json_string("one counts instructions, the other exits"));
        return STATUS_OK;
    }
    if (diff->config[0].config.digest_version != diff->config[1].config.digest_version) {
        json_object_set_new(object, "reason", json_string("made by two definitions"));
        diff_cannot(diff, "digests of version %u and %u can't be compared", diff->config[0].config.digest_version,
                    diff->config[1].config.digest_version);
        return STATUS_OK;
    }
    walk_open(&walk, diff, KINDS_STATE | KIND(END), true);
    enum status status = compare_digests(&walk, &digests, error);
    walk_close(&walk);
    json_set_number(object, "same", digests.compared);
    if (digests.compared)
        json_set_number(object, "last_same_icount", digests.last_same);
    diff->different |= digests.first != NULL;
    json_object_set_new(object, "first", digests.first ? digests.first : json_null());
    return status;
}

/* ---- all ---- */

static uint64_t count_events(struct journal_reader *reader)
{
    uint64_t count = 0;
    for (size_t n = 0; n < journal_reader_count(reader); n++) {
        if (journal_reader_frame(reader, n)->kind == JOURNAL_FRAME_EVENTS)
            count += journal_reader_frame(reader, n)->events;
    }
    return count;
}

/* Both looks, the second only where the first found something or can't be. */
static enum status look_both(struct diff *diff, json_t *events, bool *differ, struct error *error)
{
    bool content = false;
    enum status status = STATUS_OK;
    if (!comparable_positions(diff))
        return look(diff, events, "without_positions", false, differ, error);
    status = look(diff, events, "with_positions", true, differ, error);
    return !status && *differ ? look(diff, events, "without_positions", false, &content, error) : status;
}

enum status diff_events(struct diff *diff, struct error *error)
{
    json_t *events = json_object(), *by_kind = json_array();
    bool differ = false;
    json_object_set_new(diff->report, "events", events);
    json_object_set_new(events, "by_kind", by_kind);
    json_object_set_new(events, "with_positions", json_null());
    json_object_set_new(events, "without_positions", json_null());
    json_object_set_new(events, "comparable_positions", json_boolean(comparable_positions(diff)));
    json_set_number(events, "a_count", count_events(diff->reader[0]));
    json_set_number(events, "b_count", count_events(diff->reader[1]));
    enum status status = look_both(diff, events, &differ, error);
    if (!status && differ)
        status = look_by_kinds(diff, by_kind, error);
    diff->different |= differ;
    return status ? status : look_at_digests(diff, events, error);
}
