/* vmrr dump: the events of a journal, one a line. */
#include "tools/dump_checkpoints.h"
#include "tools/dump_steps.h"
#include "tools/event_json.h"
#include "tools/help.h"
#include "tools/journal_walk.h"
#include "tools/json_text.h"
#include "tools/tools.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    const char *path;
    uint64_t from, to;
    uint32_t kinds; /* bit TRACE_*, and bit 0 for inputs */
    bool json, steps, checkpoints;
};

#define KINDS_INPUT 1u

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
        {"checkpoints", no_argument, NULL, 'c'},
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
        case 'c': dump->checkpoints = true; break;
        case 'h': help_print("dump"); return EXIT_CODE_OK;
        default: good = false;
        }
    }
    if (!good)
        return EXIT_CODE_USAGE;
    if (dump->steps && dump->checkpoints) {
        tool_error("dump: --steps or --checkpoints: one of them");
        return EXIT_CODE_USAGE;
    }
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
        json_print_line(event_json(event));
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
        status = dump.steps         ? dump_steps(reader, dump.json, &error)
                 : dump.checkpoints ? dump_checkpoints(reader, dump.json, &error)
                                    : journal_walk(reader, dump.from, dump.to, print_event, &dump, &error);
    fflush(stdout);
    if (status)
        tool_error("%s", error.text[0] ? error.text : status_name(status));
    else if (journal_reader_torn(reader))
        tool_error("%s: torn: %s", dump.path, journal_reader_torn(reader));
    journal_reader_destroy(reader);
    return status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
}
