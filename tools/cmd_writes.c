/* vmrr writes: each write of the guest, from the instruction that asked for it down to the calls that it caused. */
#include "tools/help.h"
#include "tools/tools.h"
#include "tools/writes.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint64_t first, last;
};

struct id {
    uint32_t drive, tag;
};

struct writes {
    const char *path, *symbols_path;
    struct range lba, file_offset, position;
    bool has_lba, has_file_offset, all, json, tree, has_drive;
    uint64_t drive;
    struct id *id;
    size_t id_count;
    struct symbols *symbols;
    uint64_t shown;
};

/* ---- what is asked for ---- */

static bool parse_end(const char *text, const char **end, uint64_t *value)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    *value = strtoull(text, &stop, 0);
    *end = stop;
    return true;
}

/* "A", "A-B" (both in it) or "A+N". */
static bool parse_range(const char *option, const char *text, struct range *range)
{
    const char *at = text;
    uint64_t second = 0;
    bool good = parse_end(at, &at, &range->first);
    range->last = range->first;
    if (good && (*at == '-' || *at == '+')) {
        bool length = *at == '+';
        good = parse_end(at + 1, &at, &second) && (!length || second) &&
               (!length || second - 1 <= UINT64_MAX - range->first);
        range->last = length ? range->first + second - 1 : second;
    }
    if (good && !*at && range->first <= range->last)
        return true;
    tool_error("writes: %s: %s: expected A, A-B or A+N", option, text);
    return false;
}

static bool parse_number(const char *option, const char *text, uint64_t *value)
{
    if (parse_u64(text, value) == STATUS_OK)
        return true;
    tool_error("writes: %s: %s: expected a number", option, text);
    return false;
}

static bool parse_id(struct writes *writes, const char *text)
{
    const char *at = text;
    uint64_t drive, tag;
    if (!parse_end(at, &at, &drive) || *at != '.' || !parse_end(at + 1, &at, &tag) || *at || drive > UINT32_MAX ||
        tag > UINT32_MAX) {
        tool_error("writes: %s: expected the name of a request, as 0.12", text);
        return false;
    }
    writes->id[writes->id_count++] = (struct id){(uint32_t)drive, (uint32_t)tag};
    return true;
}

static bool parse_option(struct writes *writes, int option, const char *value)
{
    switch (option) {
    case 'l': writes->has_lba = true; return parse_range("--lba", value, &writes->lba);
    case 'o': writes->has_file_offset = true; return parse_range("--file-offset", value, &writes->file_offset);
    case 's': return parse_number("--since", value, &writes->position.first);
    case 'u': return parse_number("--until", value, &writes->position.last);
    case 'd': writes->has_drive = true; return parse_number("--drive", value, &writes->drive);
    case 'y': writes->symbols_path = value; return true;
    case 'a': writes->all = true; return true;
    case 'j': writes->json = true; return true;
    case 'v': writes->tree = true; return true;
    default: return false;
    }
}

/* Returns -1 to go on. */
static int parse_options(struct writes *writes, int argc, char **argv)
{
    static const struct option options[] = {
        {"lba", required_argument, NULL, 'l'},
        {"file-offset", required_argument, NULL, 'o'},
        {"since", required_argument, NULL, 's'},
        {"until", required_argument, NULL, 'u'},
        {"drive", required_argument, NULL, 'd'},
        {"symbols", required_argument, NULL, 'y'},
        {"all", no_argument, NULL, 'a'},
        {"json", no_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
        if (option == 'h') {
            help_print("writes");
            return EXIT_CODE_OK;
        }
        if (!parse_option(writes, option, optarg))
            return EXIT_CODE_USAGE;
    }
    if (optind == argc) {
        tool_error("writes: expected a journal; see vmrr writes --help");
        return EXIT_CODE_USAGE;
    }
    writes->path = argv[optind++];
    writes->id = calloc((size_t)(argc - optind) + 1, sizeof *writes->id);
    for (; optind < argc; optind++) {
        if (!writes->id || !parse_id(writes, argv[optind]))
            return EXIT_CODE_USAGE;
    }
    return -1;
}

/* ---- which of them ---- */

static bool touches_file(const struct writes *writes, const struct guest_request *request)
{
    for (size_t n = 0; n < request->step_count; n++) {
        const struct block_step *step = &request->step[n].step;
        uint64_t last = step->offset + step->size_bytes - 1;
        if (writes_changes_host(&request->step[n]) && step->size_bytes && step->offset <= writes->file_offset.last &&
            last >= writes->file_offset.first)
            return true;
    }
    return false;
}

static bool touches_sectors(const struct writes *writes, const struct guest_request *request)
{
    return request->sectors && request->sector <= writes->lba.last &&
           request->sector + request->sectors - 1 >= writes->lba.first;
}

static bool named(const struct writes *writes, const struct guest_request *request)
{
    for (size_t n = 0; n < writes->id_count; n++) {
        if (writes->id[n].drive == request->drive && writes->id[n].tag == request->tag)
            return true;
    }
    return false;
}

static bool wanted(const struct writes *writes, const struct guest_request *request)
{
    if (writes->id_count)
        return named(writes, request);
    return (writes->all || request->op != TRACE_BLOCK_READ) &&
           (!writes->has_drive || request->drive == writes->drive) &&
           request->submit.icount >= writes->position.first && request->submit.icount <= writes->position.last &&
           (!writes->has_lba || touches_sectors(writes, request)) &&
           (!writes->has_file_offset || touches_file(writes, request));
}

static bool show(void *opaque, const struct request_walk *walk, const struct guest_request *request)
{
    struct writes *writes = opaque;
    if (!wanted(writes, request))
        return true;
    if (writes->json)
        writes_print_json(walk, request, writes->symbols);
    else if (writes->tree)
        writes_print_tree(walk, request, writes->symbols);
    else {
        if (!writes->shown)
            writes_print_header(stdout);
        writes_print_line(walk, request, writes->symbols, stdout);
    }
    writes->shown++;
    return !ferror(stdout);
}

static enum status show_journal(struct writes *writes, struct error *error)
{
    struct journal_reader *reader = journal_reader_open(writes->path, error);
    struct request_walk walk = {.each = show, .opaque = writes};
    if (!reader)
        return STATUS_CORRUPT;
    enum status status = request_walk(&walk, reader, error);
    fflush(stdout);
    if (!status && journal_reader_torn(reader))
        tool_error("%s: torn: %s", writes->path, journal_reader_torn(reader));
    journal_reader_destroy(reader);
    return status;
}

int cmd_writes(int argc, char **argv)
{
    struct writes writes = {.position = {0, UINT64_MAX}};
    struct error error = {{0}};
    int code = parse_options(&writes, argc, argv);
    if (code < 0) {
        enum status status = STATUS_OK;
        if (writes.symbols_path && !(writes.symbols = symbols_read(writes.symbols_path, &error)))
            status = STATUS_INVALID;
        if (!status)
            status = show_journal(&writes, &error);
        if (status)
            tool_error("%s", error.text[0] ? error.text : status_name(status));
        code = status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
        if (!status && writes.id_count && writes.shown < writes.id_count) {
            tool_error("writes: %s: not all of these requests are in it", writes.path);
            code = EXIT_CODE_USAGE;
        }
    }
    symbols_destroy(writes.symbols);
    free(writes.id);
    return code;
}
