/* Options of a replay that leaves its journal: --then, --at, --set, and -drive, which there says where the image is that the
 * run began with. */
#include "block/fault.h"
#include "tools/monitor/keys.h"
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int options_parse_then(struct parser *parser, const char *value)
{
    bool record = !strcmp(value, "record");
    if (!record && strcmp(value, "live"))
        return options_bad(parser, value, "live or record");
    parser->options->branch.then = record ? BRANCH_RECORD : BRANCH_LIVE;
    return -1;
}

int options_parse_at(struct parser *parser, const char *value)
{
    struct branch_option *branch = &parser->options->branch;
    branch->has_at = true;
    return parse_size(value, 1, &branch->at) ? options_bad(parser, value, "a position (icount)") : -1;
}

int options_parse_original(struct parser *parser, const char *value)
{
    struct branch_option *branch = &parser->options->branch;
    char *rest = options_own(parser, strdup(value)), *item;
    uint64_t index = JOURNAL_DRIVES;
    if (branch->original_count == JOURNAL_DRIVES)
        return options_bad(parser, value, "at most 16 drives");
    struct branch_original *original = &branch->original[branch->original_count++];
    while ((item = options_next_item(&rest))) {
        const char *setting = options_item_value(item);
        if (setting && !strcmp(item, "file"))
            original->path = setting;
        else if (setting && !strcmp(item, "format"))
            original->format = setting;
        else if (!setting || strcmp(item, "index") || parse_u64(setting, &index) || index >= JOURNAL_DRIVES)
            return options_bad(
                parser, value,
                "file=, format= and index= (the drive's number in the journal): the image that the recorded run "
                "began with, which is only read");
    }
    original->index = (unsigned)index;
    return original->path ? -1 : options_bad(parser, value, "file=");
}

/* ---- --set: messages ---- */

static void add_message(struct branch_option *branch, struct input_message message)
{
    branch->message = realloc(branch->message, (branch->message_count + 1) * sizeof *branch->message);
    CHECK(branch->message);
    branch->message[branch->message_count++] = message;
}

static int hex_digit(char letter)
{
    const char *digits = "0123456789abcdef", *at = letter ? strchr(digits, letter | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* One byte of a text with C's escapes; -1: not one. */
static int text_byte(const char **at)
{
    static const char names[] = "nrtebf\\", values[] = "\n\r\t\x1b\b\f\\";
    char letter = *(*at)++;
    if (letter != '\\')
        return (uint8_t)letter;
    letter = *(*at)++;
    if (letter == 'x') {
        int high = hex_digit((*at)[0]), low = high < 0 ? -1 : hex_digit((*at)[1]);
        *at += 2;
        return low < 0 ? -1 : high * 16 + low;
    }
    const char *name = letter ? strchr(names, letter) : NULL;
    return name ? (uint8_t)values[name - names] : -1;
}

static int set_serial(struct parser *parser, const char *text)
{
    const char *at = text;
    while (*at) {
        int byte = text_byte(&at);
        if (byte < 0)
            return options_bad(parser, text, "serial=TEXT with \\n, \\r, \\t, \\e, \\b, \\f, \\\\ or \\xHH");
        add_message(&parser->options->branch, (struct input_message){.id = INPUT_SERIAL_BYTE, .a = (uint64_t)byte});
    }
    return -1;
}

static int set_key(struct parser *parser, const char *text)
{
    uint32_t codes[KEYS_AT_ONCE];
    unsigned count = 0;
    char *names = options_own(parser, strdup(text)), *state = NULL;
    for (char *name = strtok_r(names, "-", &state); name; name = strtok_r(NULL, "-", &state)) {
        if (count == KEYS_AT_ONCE || !key_code(name, &codes[count]))
            return options_bad(parser, text, "key=NAME or NAME-NAME, as the monitor's sendkey takes them");
        count++;
    }
    for (unsigned n = 0; n < count; n++)
        add_message(&parser->options->branch, (struct input_message){.id = INPUT_KEY, .a = codes[n], .b = 1});
    for (unsigned n = count; n-- > 0;)
        add_message(&parser->options->branch, (struct input_message){.id = INPUT_KEY, .a = codes[n]});
    return count ? -1 : options_bad(parser, text, "key=NAME");
}

/* ---- --set: what goes wrong with the next request that it can happen to ---- */

#define OP_BIT(op) (1u << TRACE_BLOCK_##op)

struct what_row {
    const char *name;
    const char *kind,
        *value; /* of -blkfault; value: null: no argument, "": it is appended, else the only one, and its kind */
    uint32_t ops;
};
static const struct what_row whats[] = {
    {"drop-flush", "lost", NULL, OP_BIT(FLUSH)},
    {"drop-write", "lost", NULL, OP_BIT(WRITE)},
    {"reorder-write", "reorder", NULL, OP_BIT(WRITE)},
    {"torn-write", "torn:", "", OP_BIT(WRITE)},
    {"fail-write", "eio", "EIO", OP_BIT(WRITE)},
    {"fail-write", "enospc", "ENOSPC", OP_BIT(WRITE)},
    {"fail-flush", "eio", "EIO", OP_BIT(FLUSH)},
    {"fail-flush", "enospc", "ENOSPC", OP_BIT(FLUSH)},
    {"fail-read", "eio", "EIO", OP_BIT(READ)},
    {"delay", "delay:", "", OP_BIT(READ) | OP_BIT(WRITE) | OP_BIT(FLUSH) | OP_BIT(DISCARD) | OP_BIT(WRITE_ZEROES)},
};

static const char set_expected[] = "drop-flush, drop-write, reorder-write, torn-write=SECTORS, fail-read=EIO, "
                                   "fail-write=EIO or ENOSPC, fail-flush=EIO or "
                                   "ENOSPC, flip=LBA:BYTE:BIT or delay=NS, each with ,drive=N ,lba=A-B or ,nth=N; or "
                                   "key=NAME, serial=TEXT, power-button, "
                                   "reset-button";

static bool set_row(struct block_fault_rule *rule, const char *name, const char *value)
{
    char kind[64];
    struct error error = {0};
    for (size_t n = 0; n < sizeof whats / sizeof whats[0]; n++) {
        const struct what_row *row = &whats[n];
        bool appended = row->value && !*row->value,
             fits = appended || !row->value ? !value == !appended : value && !strcmp(row->value, value);
        if (strcmp(row->name, name) || !fits)
            continue;
        rule->ops = row->ops;
        snprintf(kind, sizeof kind, "%s%s", row->kind, appended ? value : "");
        return !block_fault_set(rule, "kind", kind, &error);
    }
    return false;
}

/* flip=LBA:BYTE:BIT: within that sector, wherever the request begins. */
static bool set_flip(struct block_fault_rule *rule, const char *value)
{
    char kind[64], *colon = value ? strchr(value, ':') : NULL;
    uint64_t byte;
    struct error error = {0};
    if (!colon)
        return false;
    char *lba = strndup(value, (size_t)(colon - value));
    CHECK(lba);
    snprintf(kind, sizeof kind, "flip%s", colon);
    bool good =
        !strchr(lba, '-') && !block_fault_set(rule, "lba", lba, &error) && !block_fault_set(rule, "kind", kind, &error);
    free(lba);
    byte = good ? block_fault_argument(rule->fault) / 8 : 0;
    rule->ops = OP_BIT(READ) | OP_BIT(WRITE);
    rule->in_sector = true;
    return good && byte < BLOCK_SECTOR_BYTES;
}

static int set_fault(struct parser *parser, const char *value)
{
    struct run_options *options = parser->options;
    char *rest = options_own(parser, strdup(value)), *item;
    struct error error = {0};
    if (options->fault_count == BLOCK_FAULT_RULES_MAX)
        return options_bad(parser, value, "at most 64 rules");
    struct block_fault_rule *rule = &options->fault[options->fault_count++];
    block_fault_begin(rule);
    rule->drive = BLOCK_FAULT_ANY_DRIVE;
    rule->nth = 1;
    char *name = options_next_item(&rest), *setting = name ? options_item_value(name) : NULL;
    bool flip = name && !strcmp(name, "flip"),
         good = name && (flip ? set_flip(rule, setting) : set_row(rule, name, setting));
    while (good && (item = options_next_item(&rest))) {
        setting = options_item_value(item);
        good = (!strcmp(item, "drive") || (!strcmp(item, "lba") && !flip) || !strcmp(item, "nth")) &&
               !block_fault_set(rule, item, setting, &error);
    }
    return good ? -1 : options_bad(parser, value, set_expected);
}

static void note_change(struct parser *parser, const char *value)
{
    struct branch_option *branch = &parser->options->branch;
    const char *before = branch->changes ? branch->changes : "";
    size_t size = strlen(before) + strlen(value) + 3;
    char *text = malloc(size);
    CHECK(text);
    snprintf(text, size, "%s%s%s", before, *before ? "; " : "", value);
    free(branch->changes);
    branch->changes = text;
}

int options_parse_branch_fault(struct parser *parser, const char *value)
{
    note_change(parser, value);
    return options_parse_blkfault(parser, value);
}

int options_parse_set(struct parser *parser, const char *value)
{
    note_change(parser, value);
    parser->options->branch.has_set = true;
    if (!strncmp(value, "serial=", 7))
        return set_serial(parser, value + 7);
    if (!strncmp(value, "key=", 4))
        return set_key(parser, value + 4);
    bool power = !strcmp(value, "power-button");
    if (!power && strcmp(value, "reset-button"))
        return set_fault(parser, value);
    add_message(&parser->options->branch,
                (struct input_message){.id = power ? INPUT_POWER_BUTTON : INPUT_RESET_BUTTON});
    return -1;
}

/* ---- what goes together ---- */

static int wrong(const char *text)
{
    tool_error("%s", text);
    return EXIT_CODE_USAGE;
}

int options_check_branch(struct run_options *options)
{
    struct branch_option *branch = &options->branch;
    if (!branch->then && (branch->has_at || branch->has_set))
        branch->then = options->output ? BRANCH_RECORD : BRANCH_LIVE;
    if (!branch->then && options->output)
        return wrong("-o: a replay writes no journal; --then=record makes one of where it goes on by itself");
    if (!branch->then && (branch->original_count || options->fault_count || options->zstd_level))
        return wrong("-drive, -blkfault, --zstd-level: of a replay only with --then=live or --then=record");
    if (!branch->then)
        return -1;
    if (branch->then == BRANCH_RECORD && !options->output)
        return wrong("--then=record: where to? Give -o FILE.vmrr");
    if (branch->then == BRANCH_LIVE && (options->output || options->zstd_level))
        return wrong("--then=live records nothing: -o and --zstd-level go with --then=record");
    if (options->rerun || options->follow || options->checkpoint_file)
        return wrong("--then: not with --follow, --block=rerun or --checkpoint-file");
    if (!strcmp(options->accel, "kvm"))
        return wrong("--then: a branch goes on with -accel interp, by which it came to where it begins");
    if (!branch->has_at && options->limit_icount != POSITION_NEVER) { /* --until says where it begins */
        branch->has_at = true;
        branch->at = options->limit_icount;
        options->limit_icount = POSITION_NEVER;
    }
    if (branch->has_at && options->limit_icount <= branch->at)
        return wrong("--until: expected a position behind --at, where the branch begins");
    return -1;
}
