/* vmrr diff: what is different in two recordings (cmd_lockstep.c: on two accelerators). Exit 0: nothing; 3: something; 4: that could not be found out. */
#include "tools/diff.h"
#include "tools/help.h"
#include "tools/journal_walk.h"
#include "tools/json_text.h"
#include "tools/lockstep.h"
#include "tools/tools.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEFAULT 16u
#define MAX_MOST 100000u

void diff_cannot(struct diff *diff, const char *format, ...)
{
    char text[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_t *reason = json_string(text);
    json_array_append_new(diff->reasons, reason ? reason : json_string("(not text)"));
}

/* Returns -1 to go on. */
static int parse_options(struct diff *diff, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"no-replay", no_argument, NULL, 'n'},
        {"max", required_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'j': diff->json = true; break;
        case 'n': diff->no_replay = true; break;
        case 'h': help_print("diff"); return EXIT_CODE_OK;
        case 'm':
            if (parse_u64(optarg, &diff->max) == STATUS_OK && diff->max && diff->max <= MAX_MOST)
                break;
            tool_error("diff: --max: %s: expected 1 .. %u", optarg, MAX_MOST);
            return EXIT_CODE_USAGE;
        default: return EXIT_CODE_USAGE;
        }
    }
    if (optind + 2 != argc) {
        tool_error("diff: expected two journals; see vmrr diff --help");
        return EXIT_CODE_USAGE;
    }
    diff->path[0] = argv[optind];
    diff->path[1] = argv[optind + 1];
    return -1;
}

/* What is there of a torn journal is compared; but that nothing differs in it does not make the runs equal. */
static enum status open_journal(struct diff *diff, unsigned side, struct error *error)
{
    diff->reader[side] = journal_reader_open(diff->path[side], error);
    if (!diff->reader[side])
        return STATUS_CORRUPT;
    const char *torn = journal_reader_torn(diff->reader[side]);
    if (torn)
        diff_cannot(diff, "%s: %s: %s: only what is there was compared", diff->path[side],
                    journal_reader_writer_lives(diff->reader[side]) ? "still being recorded" : "torn", torn);
    return journal_walk_config_reader(diff->reader[side], &diff->config[side], error);
}

static enum status compare(struct diff *diff, struct error *error)
{
    enum status status = open_journal(diff, 0, error);
    if (!status)
        status = open_journal(diff, 1, error);
    if (!status)
        diff_config(diff);
    if (!status)
        status = diff_events(diff, error);
    if (!status)
        status = diff_requests(diff, error);
    if (!status)
        diff_state(diff);
    return status;
}

static int finish(struct diff *diff)
{
    bool unknown = json_array_size(diff->reasons) != 0;
    const char *verdict = diff->different ? "different" : unknown ? "not-compared" : "equal";
    json_object_set_new(diff->report, "verdict", json_string(verdict));
    if (diff->json) {
        json_dumpf(diff->report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
        putchar('\n');
    } else {
        diff_print(diff->report);
    }
    fflush(stdout);
    return diff->different ? EXIT_CODE_DIVERGED : unknown ? EXIT_CODE_NOT_COMPARED : EXIT_CODE_OK;
}

/* What was found until then may be half of it. */
static int give_up(struct diff *diff, const char *why)
{
    diff->different = false;
    diff_cannot(diff, "%s", why);
    if (diff->json)
        return finish(diff);
    return EXIT_CODE_NOT_COMPARED;
}

static void close_all(struct diff *diff)
{
    for (unsigned side = 0; side < 2; side++) {
        journal_reader_destroy(diff->reader[side]);
        journal_config_free(&diff->config[side].config);
        if (diff->requests[side])
            fclose(diff->requests[side]);
    }
    json_decref(diff->report);
    free(diff);
}

int cmd_diff(int argc, char **argv)
{
    if (lockstep_asked_for(argc, argv))
        return cmd_lockstep(argc, argv);
    struct diff *diff = calloc(1, sizeof *diff);
    struct error error = {{0}};
    CHECK(diff);
    diff->max = MAX_DEFAULT;
    diff->report = json_object();
    diff->reasons = json_array();
    json_object_set_new(diff->report, "reasons", diff->reasons);
    int code = parse_options(diff, argc, argv);
    if (code < 0) {
        json_object_set_new(diff->report, "a", json_text(diff->path[0], strlen(diff->path[0])));
        json_object_set_new(diff->report, "b", json_text(diff->path[1], strlen(diff->path[1])));
        enum status status = compare(diff, &error);
        if (status) {
            tool_error("diff: %s", error.text[0] ? error.text : status_name(status));
            code = give_up(diff, error.text[0] ? error.text : status_name(status));
        } else {
            code = finish(diff);
        }
    }
    close_all(diff);
    return code;
}
