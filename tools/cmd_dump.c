/* vmrr dump: the events of a journal, one a line. */
#include "tools/dump_steps.h"
#include "tools/help.h"
#include "tools/journal_walk.h"
#include "tools/tools.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    const char *path;
    uint64_t from, to;
    uint32_t kinds; /* bit TRACE_*, and bit 0 for inputs */
    bool json, steps;
};

#define KINDS_INPUT 1u

/* ---- JSON ---- */

static json_t *hex(uint64_t value, int digits)
{
    char text[24];
    snprintf(text, sizeof text, "0x%0*" PRIx64, digits, value);
    return json_string(text);
}

static void set_number(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

static void json_block(json_t *object, const struct trace_event *event)
{
    set_number(object, "drive", event->drive);
    set_number(object, "tag", event->tag);
    json_object_set_new(object, "op", json_string(trace_block_op_name((enum trace_block_op)event->op)));
    set_number(object, "sector", (int64_t)event->address);
    set_number(object, "sectors", event->sectors);
    set_number(object, "status", event->status);
    json_object_set_new(object, "hash", hex(event->value, 16));
}

static void json_trace(json_t *object, const struct journal_event *event)
{
    const struct trace_event *t = &event->trace;
    switch (t->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        json_object_set_new(object, "address", hex(t->address, 1));
        set_number(object, "size", t->size_bytes);
        json_object_set_new(object, "value", hex(t->value, 1));
        break;
    case TRACE_IRQ: json_object_set_new(object, "vector", hex(t->value, 1)); break;
    case TRACE_HALT: set_number(object, "skipped_ns", (int64_t)t->value); break;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE: json_block(object, t); break;
    case TRACE_DIGEST:
        set_number(object, "bits", event->digest_bits);
        json_object_set_new(object, "value", hex(t->value, event->digest_bits / 4));
        break;
    case TRACE_CHECKPOINT:
        json_object_set_new(object, "state", hex(t->address, 16));
        json_object_set_new(object, "memory", hex(t->value, 16));
        break;
    case TRACE_END:
        json_object_set_new(object, "stop", hex(t->address, 1));
        json_object_set_new(object, "digest", hex(t->value, 16));
        break;
    case TRACE_BLOCK_ORIGIN:
        set_number(object, "drive", t->drive);
        set_number(object, "tag", t->tag);
        json_object_set_new(object, "command", hex(t->op, 1));
        json_object_set_new(object, "rip", hex(t->address, 1));
        json_object_set_new(object, "cr3", hex(t->value, 1));
        json_object_set_new(object, "flags", hex(t->flags, 1));
        break;
    case TRACE_BLOCK_SEGMENT:
        set_number(object, "drive", t->drive);
        set_number(object, "tag", t->tag);
        json_object_set_new(object, "gpa", hex(t->address, 1));
        set_number(object, "size", t->size_bytes);
        break;
    case TRACE_RESET: json_object_set_new(object, "value", hex(t->value, 1)); break;
    case TRACE_KIND_COUNT:
    default: break;
    }
}

static void json_input(json_t *object, const struct journal_event *event)
{
    const struct input_row *row = input_row(event->input.id);
    json_object_set_new(object, "input", json_string(row ? row->name : "?"));
    if (event->type == JOURNAL_EVENT_PULL) {
        json_object_set_new(object, "value", hex(event->input.a, 1));
        return;
    }
    set_number(object, "target", event->input.target);
    json_object_set_new(object, "a", hex(event->input.a, 1));
    json_object_set_new(object, "b", hex(event->input.b, 1));
}

static const char *event_kind_name(const struct journal_event *event)
{
    switch (event->type) {
    case JOURNAL_EVENT_PULL: return "pull";
    case JOURNAL_EVENT_DELIVER: return "deliver";
    case JOURNAL_EVENT_TRACE: break;
    }
    return trace_kind_name(event->trace.kind);
}

static void print_json(const struct journal_event *event)
{
    json_t *object = json_object();
    set_number(object, "icount", (int64_t)event->trace.position.icount);
    set_number(object, "vtime_ns", (int64_t)event->trace.position.vtime_ns);
    json_object_set_new(object, "kind", json_string(event_kind_name(event)));
    if (event->type == JOURNAL_EVENT_TRACE)
        json_trace(object, event);
    else
        json_input(object, event);
    json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(object);
}

/* ---- what is asked for ---- */

static uint32_t kinds_by_name(const char *name, size_t length)
{
    static const struct {
        const char *name;
        uint32_t kinds;
    } groups[] = {
        {"pio", 1u << TRACE_PIO_READ | 1u << TRACE_PIO_WRITE},
        {"mmio", 1u << TRACE_MMIO_READ | 1u << TRACE_MMIO_WRITE},
        {"block", 1u << TRACE_BLOCK_REQUEST | 1u << TRACE_BLOCK_COMPLETION | 1u << TRACE_HOST_WRITE |
                      1u << TRACE_BLOCK_ORIGIN | 1u << TRACE_BLOCK_SEGMENT},
        {"input", KINDS_INPUT},
    };
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (strlen(groups[i].name) == length && !strncmp(groups[i].name, name, length))
            return groups[i].kinds;
    for (unsigned kind = 1; kind < TRACE_KIND_COUNT; kind++) {
        const char *known = trace_kind_name((enum trace_kind)kind);
        if (strlen(known) == length && !strncmp(known, name, length))
            return 1u << kind;
    }
    return 0;
}

static bool parse_kinds(struct dump *dump, const char *list)
{
    dump->kinds = 0;
    while (*list) {
        size_t length = strcspn(list, ",");
        uint32_t kinds = kinds_by_name(list, length);
        if (!kinds) {
            tool_error("dump: --kind: %.*s: expected pio, mmio, block, input, or the name of a kind of event "
                       "(irq, halt, digest, checkpoint, reset, end, pio-read, ...)",
                       (int)length, list);
            return false;
        }
        dump->kinds |= kinds;
        list += length;
        list += *list == ',';
    }
    return true;
}

static bool parse_position(const char *option, const char *text, uint64_t *value)
{
    if (parse_u64(text, value) == STATUS_OK)
        return true;
    tool_error("dump: %s: %s: expected a position, a number of instructions", option, text);
    return false;
}

/* Returns -1 to go on. */
static int parse_options(struct dump *dump, int argc, char **argv)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"kind", required_argument, NULL, 'k'},
        {"json", no_argument, NULL, 'j'},
        {"steps", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool good = true;
    optind = 0;
    while (good && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'f': good = parse_position("--from", optarg, &dump->from); break;
        case 't': good = parse_position("--to", optarg, &dump->to); break;
        case 'k': good = parse_kinds(dump, optarg); break;
        case 'j': dump->json = true; break;
        case 's': dump->steps = true; break;
        case 'h': help_print("dump"); return EXIT_CODE_OK;
        default: good = false;
        }
    }
    if (!good)
        return EXIT_CODE_USAGE;
    if (optind + 1 != argc) {
        tool_error("dump: expected one journal; see vmrr dump --help");
        return EXIT_CODE_USAGE;
    }
    dump->path = argv[optind];
    return -1;
}

static bool print_event(void *opaque, const struct journal_event *event)
{
    const struct dump *dump = opaque;
    char text[192];
    uint32_t kind = event->type == JOURNAL_EVENT_TRACE ? 1u << event->trace.kind : KINDS_INPUT;
    if (!(dump->kinds & kind))
        return true;
    if (dump->json)
        print_json(event);
    else
        printf("%12" PRIu64 " %14" PRIu64 " %s\n", event->trace.position.icount, event->trace.position.vtime_ns,
               journal_event_text(event, text, sizeof text));
    return !ferror(stdout);
}

/* Events of a machine of which nothing is known are no journal. */
static enum status check_config(struct journal_reader *reader, const char *path, struct error *error)
{
    if (!journal_reader_count(reader))
        return error_status(error, STATUS_TORN, "%s: no whole frame: %s", path, journal_reader_torn(reader));
    if (journal_reader_frame(reader, 0)->kind != JOURNAL_FRAME_CONFIG)
        return error_status(error, STATUS_CORRUPT, "%s: frame 0: expected the configuration", path);
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status = raw ? journal_reader_load(reader, 0, raw, error) : STATUS_NO_MEMORY;
    free(raw);
    return status;
}

int cmd_dump(int argc, char **argv)
{
    struct dump dump = {.to = UINT64_MAX, .kinds = UINT32_MAX};
    struct error error = {{0}};
    int code = parse_options(&dump, argc, argv);
    if (code >= 0)
        return code;
    struct journal_reader *reader = journal_reader_open(dump.path, &error);
    if (!reader) {
        tool_error("%s", error.text);
        return EXIT_CODE_USAGE;
    }
    enum status status = check_config(reader, dump.path, &error);
    if (!status)
        status = dump.steps ? dump_steps(reader, dump.json, &error)
                            : journal_walk(reader, dump.from, dump.to, print_event, &dump, &error);
    fflush(stdout);
    if (status)
        tool_error("%s", error.text[0] ? error.text : status_name(status));
    else if (journal_reader_torn(reader))
        tool_error("%s: torn: %s", dump.path, journal_reader_torn(reader));
    journal_reader_destroy(reader);
    return status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
}
