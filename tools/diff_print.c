/* vmrr diff: the report as text, side by side where it fits. */
#include "tools/diff.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool is_there(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value && !json_is_null(value);
}

/* What a guest's bytes say to a terminal is its own affair: printable ASCII only. */
static void put_text(const char *text)
{
    for (; *text; text++)
        putchar((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7F ? '?' : *text);
}

/* ---- configuration ---- */

static void print_config(const json_t *rows)
{
    size_t n;
    json_t *row;
    if (!json_array_size(rows)) {
        printf("configuration: the same\n");
        return;
    }
    printf("configuration (* the guest can tell)\n");
    json_array_foreach(rows, n, row)
    {
        printf("  %c %-20s a: ", json_is_true(json_object_get(row, "guest")) ? '*' : ' ', text_of(row, "name"));
        put_text(text_of(row, "a"));
        printf("\n    %-20s b: ", "");
        put_text(text_of(row, "b"));
        printf("\n");
    }
}

/* ---- events ---- */

/* All but position and kind, which are printed in columns. */
static void print_fields(json_t *event)
{
    const char *key;
    json_t *value;
    json_object_foreach(event, key, value)
    {
        if (!strcmp(key, "icount") || !strcmp(key, "vtime_ns") || !strcmp(key, "kind"))
            continue;
        if (json_is_integer(value))
            printf(" %s %" JSON_INTEGER_FORMAT, key, json_integer_value(value));
        else
            printf(" %s %s", key, json_is_string(value) ? json_string_value(value) : "-");
    }
}

static void print_event(const char *mark, json_t *event)
{
    if (!event || json_is_null(event)) {
        printf("  %s %14s %16s  (the journal ends here)\n", mark, "", "");
        return;
    }
    printf("  %s %14" PRIu64 " %16" PRIu64 "  %s", mark, number_of(event, "icount"), number_of(event, "vtime_ns"),
           text_of(event, "kind"));
    print_fields(event);
    printf("\n");
}

static void print_event_list(const char *mark, const json_t *list)
{
    size_t n;
    json_t *event;
    json_array_foreach(list, n, event) print_event(mark, event);
}

static void print_names(const char *what, const json_t *names)
{
    size_t n;
    json_t *name;
    printf("%s", what);
    json_array_foreach(names, n, name) printf("%s %s", n ? "," : "", json_string_value(name));
    printf("\n");
}

static void print_difference(const json_t *difference)
{
    printf("  %-3s%14s %16s  event\n", "", "position", "virtual ns");
    print_event_list("a ", json_object_get(difference, "a_before"));
    print_event("a>", json_object_get(difference, "a"));
    print_event_list("a ", json_object_get(difference, "a_after"));
    printf("\n");
    print_event_list("b ", json_object_get(difference, "b_before"));
    print_event("b>", json_object_get(difference, "b"));
    print_event_list("b ", json_object_get(difference, "b_after"));
    print_names("  differ in:", json_object_get(difference, "fields"));
    const json_t *again = json_object_get(difference, "agree_again_after");
    if (json_is_object(again))
        printf("  alike again after %" PRIu64 " events of a and %" PRIu64 " of b\n", number_of(again, "a"),
               number_of(again, "b"));
    else
        printf("  not alike again within %u events\n", 512u);
}

static void print_by_kind(const json_t *list)
{
    size_t n;
    json_t *kind;
    if (json_array_size(list))
        printf("by kind             %14s %14s  first that differs, positions not counted\n", "a", "b");
    json_array_foreach(list, n, kind)
    {
        const json_t *first = json_object_get(kind, "first");
        printf("  %-17s %14" PRIu64 " %14" PRIu64, text_of(kind, "kind"), number_of(kind, "a_count"),
               number_of(kind, "b_count"));
        if (!json_is_object(first)) {
            printf("  none\n");
            continue;
        }
        printf("  number %" PRIu64 ":\n", number_of(first, "index"));
        print_event("   a", json_object_get(first, "a"));
        print_event("   b", json_object_get(first, "b"));
    }
}

static void print_digests(const json_t *digests)
{
    const json_t *first = json_object_get(digests, "first");
    if (json_is_object(first)) {
        printf("digests: %" PRIu64 " the same", number_of(digests, "same"));
        if (is_there(digests, "last_same_icount"))
            printf(" up to position %" PRIu64, number_of(digests, "last_same_icount"));
        printf("; the first that is not:\n");
        print_event("a ", json_object_get(first, "a"));
        print_event("b ", json_object_get(first, "b"));
    } else if (is_there(digests, "reason")) {
        printf("digests: not compared: %s\n", text_of(digests, "reason"));
    } else {
        printf("digests: all %" PRIu64 " the same\n", number_of(digests, "same"));
    }
}

static void print_difference_or_none(const json_t *difference)
{
    if (json_is_object(difference))
        print_difference(difference);
    else
        printf("  in content all are the same, halts not counted\n");
}

static bool same_difference(const json_t *with, const json_t *without)
{
    return json_equal(json_object_get(with, "a"), json_object_get(without, "a")) &&
           json_equal(json_object_get(with, "b"), json_object_get(without, "b"));
}

static void print_events(const json_t *events)
{
    const json_t *with = json_object_get(events, "with_positions"),
                 *without = json_object_get(events, "without_positions");
    printf("events: %" PRIu64 " in a, %" PRIu64 " in b\n", number_of(events, "a_count"), number_of(events, "b_count"));
    if (!json_is_true(json_object_get(events, "comparable_positions"))) {
        printf("  positions can't be compared: one counts instructions, the other exits\n");
        if (json_is_object(without))
            printf("first difference in content, halts not counted, after %" PRIu64 " events\n",
                   number_of(without, "index"));
        print_difference_or_none(without);
        print_by_kind(json_object_get(events, "by_kind"));
    } else if (!json_is_object(with)) {
        printf("  the same, positions too\n");
    } else {
        printf("first difference in content or position, after %" PRIu64 " events that are the same\n",
               number_of(with, "index"));
        print_difference(with);
        if (json_is_object(without) && same_difference(with, without)) {
            printf("the same is the first difference when positions and halts are not counted\n");
        } else if (json_is_object(without)) {
            printf("first difference in content, positions and halts not counted, after %" PRIu64 " events\n",
                   number_of(without, "index"));
            print_difference(without);
        } else {
            printf("in content all events are the same, positions and halts not counted\n");
        }
        print_by_kind(json_object_get(events, "by_kind"));
    }
    print_digests(json_object_get(events, "digests"));
}

/* ---- requests and sectors ---- */

static void fault_text(const json_t *request, char *out, size_t size)
{
    static const char *const names[BLOCK_FAULT_KINDS] = {"none", "eio",  "enospc", "torn",
                                                         "lost", "flip", "delay",  "reorder"};
    uint64_t fault = strtoull(text_of(request, "fault"), NULL, 0), argument = block_fault_argument(fault);
    enum block_fault_kind kind = block_fault_kind(fault);
    if (kind == BLOCK_FAULT_FLIP)
        snprintf(out, size, ", fault flip:%" PRIu64 ":%" PRIu64, argument / 8, argument % 8);
    else if (argument)
        snprintf(out, size, ", fault %s:%" PRIu64, names[kind], argument);
    else
        snprintf(out, size, ", fault %s", names[kind]);
}

static void print_request(const char *mark, const json_t *request)
{
    char fault[64] = "";
    if (!json_is_object(request)) {
        printf("    %s none\n", mark);
        return;
    }
    if (is_there(request, "fault"))
        fault_text(request, fault, sizeof fault);
    printf("    %s %s at %" PRIu64 ": %s %" PRIu64 "+%" PRIu64 " hash %s%s", mark, text_of(request, "id"),
           number_of(request, "icount"), text_of(request, "op"), number_of(request, "sector"),
           number_of(request, "sectors"), text_of(request, "hash"),
           json_is_true(json_object_get(request, "fua")) ? " fua" : "");
    if (is_there(request, "rip"))
        printf(", %s, rip %s cr3 %s", text_of(request, "command"), text_of(request, "rip"), text_of(request, "cr3"));
    if (is_there(request, "status"))
        printf(", status %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(request, "status")));
    else
        printf(", in flight");
    printf("%s\n", fault);
}

static void print_later(const json_t *first, const char *key, const char *what)
{
    if (is_there(first, key))
        printf("    %s, %" PRIu64 " requests later\n", what, number_of(first, key));
}

static void print_drive(const json_t *drive)
{
    const json_t *first = json_object_get(drive, "first");
    printf("  drive %" PRIu64 ": %" PRIu64 " in a, %" PRIu64 " in b%s", number_of(drive, "drive"),
           number_of(drive, "a_count"), number_of(drive, "b_count"),
           json_is_true(json_object_get(drive, "same_set")) ? ", the same ones" : "");
    if (!json_is_object(first)) {
        printf(", in the same order\n");
    } else {
        printf("; number %" PRIu64 " is the first that differs (%s)\n", number_of(first, "index"),
               text_of(first, "what"));
        print_request("a", json_object_get(first, "a"));
        print_request("b", json_object_get(first, "b"));
        print_names("    differ in:", json_object_get(first, "fields"));
        print_later(first, "a_found_later_in_b", "b does what a does here");
        print_later(first, "b_found_later_in_a", "a does what b does here");
    }
    if (number_of(drive, "a_faults") || number_of(drive, "b_faults"))
        printf("    faults on purpose: %" PRIu64 " in a, %" PRIu64 " in b\n", number_of(drive, "a_faults"),
               number_of(drive, "b_faults"));
}

static void print_requests(const json_t *drives)
{
    size_t n;
    json_t *drive;
    printf("requests%s\n", json_array_size(drives) ? "" : ": none");
    json_array_foreach(drives, n, drive) print_drive(drive);
}

static void print_range_side(const char *mark, const json_t *range)
{
    const json_t *side = json_object_get(range, mark);
    if (!json_is_true(json_object_get(side, "known"))) {
        printf("    %s not known: neither read nor written\n", mark);
        return;
    }
    printf("    %s %s, last written by\n", mark, text_of(side, "byte"));
    print_request(mark, json_object_get(side, "written_by"));
}

static void print_range(const json_t *range)
{
    printf("  drive %" PRIu64 " sectors %" PRIu64 "+%" PRIu64, number_of(range, "drive"), number_of(range, "sector"),
           number_of(range, "sectors"));
    if (is_there(range, "first_byte"))
        printf(": first at byte %" PRIu64, number_of(range, "first_byte"));
    if (is_there(range, "single_bit"))
        printf(", bit %" PRIu64, number_of(range, "single_bit"));
    printf("\n");
    print_range_side("a", range);
    print_range_side("b", range);
}

static void print_sectors(const json_t *sectors)
{
    size_t n;
    json_t *item;
    if (!sectors)
        return;
    printf("sectors that the disks hold at the end\n");
    json_array_foreach(json_object_get(sectors, "drives"), n, item) printf(
        "  drive %" PRIu64 ": %" PRIu64 " compared, %" PRIu64 " differ, in %" PRIu64 " ranges\n",
        number_of(item, "drive"), number_of(item, "compared"), number_of(item, "differ"), number_of(item, "ranges"));
    json_array_foreach(json_object_get(sectors, "ranges"), n, item) print_range(item);
}

/* ---- state ---- */

static void print_rows(const char *what, const json_t *point, const char *key, const char *count_key)
{
    size_t n;
    json_t *row;
    const json_t *list = json_object_get(point, key);
    uint64_t count = number_of(point, count_key);
    if (!count) {
        printf("  %s: the same\n", what);
        return;
    }
    printf("  %s: %" PRIu64 " differ\n", what, count);
    json_array_foreach(list, n, row)
        printf("    %-36s %-20s %s\n", text_of(row, "name"), text_of(row, "a"), text_of(row, "b"));
    if (count > json_array_size(list))
        printf("    ... %" PRIu64 " more\n", count - json_array_size(list));
}

static void print_memory(const json_t *point)
{
    size_t n;
    json_t *range;
    const json_t *list = json_object_get(point, "memory");
    if (!number_of(point, "memory_pages")) {
        printf("  memory: the same\n");
        return;
    }
    printf("  memory: %" PRIu64 " pages differ, in %" PRIu64 " ranges\n", number_of(point, "memory_pages"),
           number_of(point, "memory_ranges"));
    json_array_foreach(list, n, range)
        printf("    %s %s, %" PRIu64 " pages; first at %s:\n      a %s\n      b %s\n", text_of(range, "block"),
               text_of(range, "address"), number_of(range, "pages"), text_of(range, "first_byte"), text_of(range, "a"),
               text_of(range, "b"));
    if (number_of(point, "memory_ranges") > json_array_size(list))
        printf("    ... %" PRIu64 " more ranges\n", number_of(point, "memory_ranges") - json_array_size(list));
}

static void print_state(const json_t *state)
{
    size_t n;
    json_t *point;
    if (is_there(state, "not_replayed"))
        printf("not replayed: %s\n", text_of(state, "not_replayed"));
    json_array_foreach(json_object_get(state, "points"), n, point)
    {
        printf("state %s: position %" PRIu64 " in a, %" PRIu64 " in b\n", text_of(point, "name"),
               number_of(json_object_get(point, "a"), "icount"), number_of(json_object_get(point, "b"), "icount"));
        print_rows("registers", point, "registers", "register_count");
        print_rows("devices", point, "devices", "device_field_count");
        print_memory(point);
    }
}

void diff_print(const json_t *report)
{
    size_t n;
    json_t *reason;
    printf("a: ");
    put_text(text_of(report, "a"));
    printf("\nb: ");
    put_text(text_of(report, "b"));
    printf("\n\n");
    print_config(json_object_get(report, "config"));
    printf("\n");
    print_events(json_object_get(report, "events"));
    printf("\n");
    print_requests(json_object_get(report, "requests"));
    print_sectors(json_object_get(report, "sectors"));
    printf("\n");
    print_state(json_object_get(report, "state"));
    json_array_foreach(json_object_get(report, "reasons"), n, reason)
        printf("not compared: %s\n", json_string_value(reason));
    printf("\n%s\n", text_of(report, "verdict"));
}
