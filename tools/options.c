/* Parsing of the machine's options: QEMU's spelling where QEMU has the option, one or two dashes alike, "--name value" and
 * "--name=value" alike. One table; what QEMU has and we do not need is accepted when it changes nothing, refused with its
 * reason when it would. */
#include "tools/options.h"

#include "tools/help.h"
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RAM_DEFAULT_BYTES (128ull << 20)
#define CHECKPOINT_STEPS_MIN 1000000
#define CHECKPOINT_FRAMES_MIN 65536

enum { FOR_RUN = 1, FOR_RECORD = 2, FOR_REPLAY = 4, FOR_MACHINE = FOR_RUN | FOR_RECORD, FOR_ALL = 7 };

#define VALUE_OPTIONAL (1u << 31)

struct option_row {
    const char *name;
    bool has_value;
    unsigned uses; /* and VALUE_OPTIONAL: none, or behind "=" */
    option_fn *parse;
};

int options_bad(const struct parser *parser, const char *value, const char *expected)
{
    tool_error("-%s %s: expected %s", parser->name, value, expected);
    return EXIT_CODE_USAGE;
}

char *options_own(struct parser *parser, char *text)
{
    struct run_options *options = parser->options;
    CHECK(text && options->owned_count < sizeof options->owned / sizeof options->owned[0]);
    options->owned[options->owned_count++] = text;
    return text;
}

/* ---- key=value lists, as in -drive: commas separate, two commas stand for one ---- */

char *options_next_item(char **rest)
{
    char *start = *rest, *out = start, *in = start;
    if (!start || !*start)
        return NULL;
    while (*in) {
        if (*in == ',' && in[1] == ',') {
            in++;
        } else if (*in == ',') {
            in++;
            goto done;
        }
        *out++ = *in++;
    }
done:
    *rest = in;
    if (out != in)
        *out = 0;
    return start;
}

char *options_item_value(char *item)
{
    char *equals = strchr(item, '=');
    if (equals)
        *equals++ = 0;
    return equals;
}

bool options_is_on(const char *value)
{
    return value && (!strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true"));
}

/* ---- the machine ---- */

static int parse_memory(struct parser *parser, const char *value)
{
    if (!strncmp(value, "size=", 5))
        value += 5;
    if (parse_size(value, 1 << 20, &parser->options->ram_bytes) || parser->options->ram_bytes % (1 << 20) ||
        parser->options->ram_bytes < 1 << 20 || parser->options->ram_bytes > MEMORY_RAM_MAX_BYTES)
        return options_bad(parser, value, "a size in whole MiB from 1M to 8G");
    return -1;
}

#define STRING_OPTION(function, field)                                                                                 \
    static int function(struct parser *parser, const char *value)                                                      \
    {                                                                                                                  \
        parser->options->field = value;                                                                                \
        return -1;                                                                                                     \
    }
STRING_OPTION(parse_kernel, kernel)
STRING_OPTION(parse_name, guest_name)
STRING_OPTION(parse_initrd, initrd)
STRING_OPTION(parse_append, append)
STRING_OPTION(parse_bios, bios)
STRING_OPTION(parse_vgabios, vgabios)
STRING_OPTION(parse_cpu, cpu)
STRING_OPTION(parse_output, output)
STRING_OPTION(parse_screendump, screendump)

#define FLAG_OPTION(function, field)                                                                                   \
    static int function(struct parser *parser, const char *value)                                                      \
    {                                                                                                                  \
        (void)value;                                                                                                   \
        parser->options->field = true;                                                                                 \
        return -1;                                                                                                     \
    }
FLAG_OPTION(parse_no_reboot, no_reboot)
FLAG_OPTION(parse_no_shutdown, no_shutdown)
FLAG_OPTION(parse_start_stopped, start_stopped)
FLAG_OPTION(parse_snapshot, snapshot)
FLAG_OPTION(parse_quiet, quiet)
FLAG_OPTION(parse_follow, follow)
FLAG_OPTION(parse_dump_state, dump_state)
FLAG_OPTION(parse_host_stacks, host_stacks)
STRING_OPTION(parse_scratch, scratch)
STRING_OPTION(parse_checkpoint_file, checkpoint_file)

static int parse_block(struct parser *parser, const char *value)
{
    if (strcmp(value, "journal") != 0 && strcmp(value, "rerun") != 0)
        return options_bad(parser, value, "journal or rerun");
    parser->options->rerun = !strcmp(value, "rerun");
    return -1;
}

static int parse_accel(struct parser *parser, const char *value)
{
    if (strcmp(value, "interp") && strcmp(value, "tcg") && strcmp(value, "kvm"))
        return options_bad(parser, value, "interp or kvm");
    parser->options->accel = strcmp(value, "kvm") ? "interp" : "kvm";
    return -1;
}

static int parse_enable_kvm(struct parser *parser, const char *value)
{
    (void)value;
    return parse_accel(parser, "kvm");
}

static int parse_smp(struct parser *parser, const char *value)
{
    return strcmp(value, "1") && strcmp(value, "cpus=1") ? options_bad(parser, value, "1: the machine has one CPU")
                                                         : -1;
}

static int parse_machine(struct parser *parser, const char *value)
{
    if (!strncmp(value, "type=", 5))
        value += 5;
    return strncmp(value, "pc", 2) ? options_bad(parser, value, "pc: i440FX and PIIX are the only board") : -1;
}

static int parse_vga(struct parser *parser, const char *value)
{
    if (!strcmp(value, "none"))
        parser->options->no_vga = true;
    else if (strcmp(value, "std"))
        return options_bad(parser, value, "std or none");
    return -1;
}

static int parse_none_only(struct parser *parser, const char *value)
{
    return strcmp(value, "none") ? options_bad(parser, value, "none: this machine has no such device") : -1;
}

static int parse_display(struct parser *parser, const char *value)
{
    return strcmp(value, "none") ? options_bad(parser, value, "none: the screen is read with -screendump") : -1;
}

static int parse_ignored(struct parser *parser, const char *value)
{
    (void)parser;
    (void)value;
    return -1;
}

static int parse_boot(struct parser *parser, const char *value)
{
    char *text = options_own(parser, strdup(value)), *rest = text, *item;
    while ((item = options_next_item(&rest))) {
        char *setting = options_item_value(item);
        const char *order = setting ? NULL : item;
        if (setting && !strcmp(item, "order"))
            order = setting;
        else if (setting && !strcmp(item, "menu"))
            parser->options->boot_menu = options_is_on(setting);
        else if (setting && strcmp(item, "once") && strcmp(item, "strict"))
            return options_bad(parser, item, "order=, menu=");
        if (order && order[strspn(order, "acdn")])
            return options_bad(parser, order, "letters of a, c, d, n");
        if (order) {
            free(parser->options->boot_order);
            parser->options->boot_order = strdup(order);
        }
    }
    return -1;
}

static int parse_rtc(struct parser *parser, const char *value)
{
    struct tm tm = {0};
    const char *base = strncmp(value, "base=", 5) ? value : value + 5;
    if (!strcmp(base, "utc"))
        return -1;
    char *end = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end) {
        memset(&tm, 0, sizeof tm);
        end = strptime(base, "%Y-%m-%d", &tm);
    }
    if (!end || *end)
        return options_bad(parser, value, "base=utc, base=2026-01-31 or base=2026-01-31T12:00:00");
    parser->options->has_rtc_base = true;
    parser->options->rtc_base_seconds = (uint64_t)timegm(&tm);
    return -1;
}

static int parse_gdb_short(struct parser *parser, const char *value)
{
    (void)value;
    return options_parse_gdb(parser, "tcp:127.0.0.1:1234");
}

/* ---- timing and the run ---- */

static int parse_timing(struct parser *parser, const char *value)
{
    if (!strcmp(value, "model"))
        parser->options->timing = BLOCK_TIMING_MODEL;
    else if (!strcmp(value, "host"))
        parser->options->timing = BLOCK_TIMING_HOST;
    else
        return options_bad(parser, value, "model or host");
    return -1;
}

static int parse_seed(struct parser *parser, const char *value)
{
    return parse_u64(value, &parser->options->seed) ? options_bad(parser, value, "a number") : -1;
}

static int parse_until(struct parser *parser, const char *value)
{
    return parse_size(value, 1, &parser->options->limit_icount) ? options_bad(parser, value, "a position (icount)")
                                                                : -1;
}

static int parse_checkpoint(struct parser *parser, const char *value)
{
    if (parse_u64(value, &parser->options->checkpoint_steps) || !parser->options->checkpoint_steps)
        return options_bad(parser, value, "instructions between checkpoints (-accel kvm, --positions exits: exits)");
    return -1;
}

static int parse_positions(struct parser *parser, const char *value)
{
    if (strcmp(value, "exits") != 0 && strcmp(value, "instructions") != 0)
        return options_bad(parser, value, "exits or instructions");
    parser->options->count_exits = !strcmp(value, "exits");
    parser->options->count_steps = !parser->options->count_exits;
    return -1;
}

static int parse_checkpoint_frames(struct parser *parser, const char *value)
{
    uint64_t *steps = &parser->options->checkpoint_frames;
    if (parse_u64(value, steps) || *steps < CHECKPOINT_FRAMES_MIN)
        return options_bad(parser, value, "instructions between checkpoints in the journal, at least 65536");
    return -1;
}

/* By itself: in the kernel of -kernel. With addresses: RDTSC there. */
static int parse_trap_tsc(struct parser *parser, const char *value)
{
    static const char *const expected = "up to 4 different linear addresses, as 0x9a9d,0x9afd";
    struct run_options *options = parser->options;
    if (!value) {
        options->trap_tsc = true;
        return -1;
    }
    for (const char *at = value, *comma;; at = comma + 1) {
        char text[24];
        uint64_t site;
        comma = strchr(at, ',');
        size_t length = comma ? (size_t)(comma - at) : strlen(at);
        if (length >= sizeof text || options->tsc_sites == MACHINE_TSC_SITES_MAX)
            return options_bad(parser, value, expected);
        memcpy(text, at, length);
        text[length] = 0;
        if (parse_u64(text, &site))
            return options_bad(parser, value, expected);
        for (unsigned n = 0; n < options->tsc_sites; n++) {
            if (options->tsc_site[n] == site)
                return options_bad(parser, value, expected);
        }
        options->tsc_site[options->tsc_sites++] = site;
        if (!comma)
            return -1;
    }
}

static int parse_slower(struct parser *parser, const char *value)
{
    uint64_t times;
    if (parse_u64(value, &times) || times < 1 || times > 1000)
        return options_bad(parser, value, "how many times slower, 1 to 1000");
    parser->options->kvm_slower = (uint32_t)times;
    return -1;
}

static int parse_checkpoint_memory(struct parser *parser, const char *value)
{
    uint64_t *bytes = &parser->options->checkpoint_bytes;
    return parse_size(value, 1 << 20, bytes) || !*bytes ? options_bad(parser, value, "a size (default unit: MiB)") : -1;
}

static int parse_zstd_level(struct parser *parser, const char *value)
{
    uint64_t level;
    if (parse_u64(value, &level) || level < 1 || level > 19)
        return options_bad(parser, value, "1 to 19");
    parser->options->zstd_level = (int)level;
    return -1;
}

static const struct option_row rows[] = {
    {"m", true, FOR_MACHINE, parse_memory},
    {"kernel", true, FOR_MACHINE, parse_kernel},
    {"initrd", true, FOR_MACHINE, parse_initrd},
    {"append", true, FOR_MACHINE, parse_append},
    {"bios", true, FOR_MACHINE, parse_bios},
    {"vgabios", true, FOR_MACHINE, parse_vgabios},
    {"cpu", true, FOR_MACHINE, parse_cpu},
    {"accel", true, FOR_ALL, parse_accel},
    {"enable-kvm", false, FOR_MACHINE, parse_enable_kvm},
    {"kvm-trap-tsc", false, FOR_MACHINE | VALUE_OPTIONAL, parse_trap_tsc},
    {"kvm-slower", true, FOR_MACHINE, parse_slower},
    {"smp", true, FOR_MACHINE, parse_smp},
    {"machine", true, FOR_MACHINE, parse_machine},
    {"M", true, FOR_MACHINE, parse_machine},
    {"vga", true, FOR_MACHINE, parse_vga},
    {"net", true, FOR_MACHINE, parse_none_only},
    {"nic", true, FOR_MACHINE, parse_none_only},
    {"parallel", true, FOR_MACHINE, parse_none_only},
    {"display", true, FOR_MACHINE, parse_display},
    {"name", true, FOR_ALL, parse_name},
    {"nodefaults", false, FOR_MACHINE, parse_ignored},
    {"no-user-config", false, FOR_MACHINE, parse_ignored},
    {"nographic", false, FOR_ALL, parse_ignored},
    {"device", true, FOR_MACHINE, options_parse_device},
    {"boot", true, FOR_MACHINE, parse_boot},
    {"rtc", true, FOR_MACHINE, parse_rtc},
    {"drive", true, FOR_MACHINE, options_parse_drive},
    {"drive", true, FOR_REPLAY, options_parse_original},
    {"blkfault", true, FOR_MACHINE, options_parse_blkfault},
    {"blkfault", true, FOR_REPLAY, options_parse_branch_fault},
    {"hda", true, FOR_MACHINE, options_parse_hd},
    {"hdb", true, FOR_MACHINE, options_parse_hd},
    {"hdc", true, FOR_MACHINE, options_parse_hd},
    {"hdd", true, FOR_MACHINE, options_parse_hd},
    {"cdrom", true, FOR_MACHINE, options_parse_cdrom},
    {"snapshot", false, FOR_MACHINE, parse_snapshot},
    {"chardev", true, FOR_ALL, options_parse_chardev},
    {"serial", true, FOR_ALL, options_parse_serial},
    {"monitor", true, FOR_ALL, options_parse_monitor},
    {"qmp", true, FOR_ALL, options_parse_qmp},
    {"mon", true, FOR_ALL, options_parse_mon},
    {"gdb", true, FOR_ALL, options_parse_gdb},
    {"s", false, FOR_ALL, parse_gdb_short},
    {"debugcon", true, FOR_ALL, options_parse_debugcon},
    {"no-reboot", false, FOR_MACHINE, parse_no_reboot},
    {"no-shutdown", false, FOR_MACHINE, parse_no_shutdown},
    {"S", false, FOR_ALL, parse_start_stopped},
    {"timing", true, FOR_MACHINE, parse_timing},
    {"seed", true, FOR_MACHINE, parse_seed},
    {"until", true, FOR_ALL, parse_until},
    {"positions", true, FOR_MACHINE, parse_positions},
    {"checkpoint-every", true, FOR_MACHINE, parse_checkpoint},
    {"checkpoint-frames", true, FOR_RECORD, parse_checkpoint_frames},
    {"then", true, FOR_REPLAY, options_parse_then},
    {"at", true, FOR_REPLAY, options_parse_at},
    {"set", true, FOR_REPLAY, options_parse_set},
    {"o", true, FOR_RECORD | FOR_REPLAY, parse_output},
    {"zstd-level", true, FOR_RECORD | FOR_REPLAY, parse_zstd_level},
    {"screendump", true, FOR_ALL, parse_screendump},
    {"dump-state", false, FOR_ALL, parse_dump_state},
    {"follow", false, FOR_REPLAY, parse_follow},
    {"checkpoint-memory", true, FOR_RECORD | FOR_REPLAY, parse_checkpoint_memory},
    {"checkpoint-file", true, FOR_REPLAY, parse_checkpoint_file},
    {"block", true, FOR_REPLAY, parse_block},
    {"scratch", true, FOR_REPLAY, parse_scratch},
    {"host-stacks", false, FOR_RECORD | FOR_REPLAY, parse_host_stacks},
    {"quiet", false, FOR_ALL, parse_quiet},
    {"q", false, FOR_ALL, parse_quiet},
};

static const struct option_row *find_row(const char *name, size_t length, unsigned use)
{
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        if (rows[n].uses & use && strlen(rows[n].name) == length && !strncmp(rows[n].name, name, length))
            return &rows[n];
    }
    return NULL;
}

static const char *const use_names[] = {"run", "record", "replay"};

static int parse_one(struct parser *parser, int *index, int argc, char **argv)
{
    const char *text = argv[*index];
    const char *name = text + 1 + (text[1] == '-');
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_row *row = find_row(name, length, 1u << parser->use);
    const char *value = equals ? equals + 1 : NULL;
    bool may_have_value = row && (row->uses & VALUE_OPTIONAL);
    if (!row || (equals && text[1] != '-' && !may_have_value)) {
        tool_error("unknown option %s (see vmrr %s --help)", text, use_names[parser->use]);
        return EXIT_CODE_USAGE;
    }
    if (row->has_value && !value) {
        if (++*index == argc) {
            tool_error("option %s needs a value", text);
            return EXIT_CODE_USAGE;
        }
        value = argv[*index];
    } else if (!row->has_value && value && !may_have_value) {
        tool_error("option %s takes no value", text);
        return EXIT_CODE_USAGE;
    }
    parser->name = row->name;
    return row->parse(parser, value);
}

static int parse_positional(struct parser *parser, const char *text)
{
    struct run_options *options = parser->options;
    if (parser->use == OPTIONS_REPLAY && !options->input) {
        options->input = text;
        return -1;
    }
    if (parser->use != OPTIONS_REPLAY)
        return options_add_disk(parser, 0, text); /* as QEMU: a disk image */
    tool_error("unexpected argument %s", text);
    return EXIT_CODE_USAGE;
}

static int check_complete(struct run_options *options, enum options_use use)
{
    if (use == OPTIONS_REPLAY && !options->input) {
        tool_error("replay what? Usage: vmrr replay FILE");
        return EXIT_CODE_USAGE;
    }
    if (use == OPTIONS_REPLAY && options_check_branch(options) >= 0)
        return EXIT_CODE_USAGE;
    if (options->rerun != (options->scratch != NULL)) {
        tool_error("--block=rerun and --scratch=DIR go together: the images are made in DIR");
        return EXIT_CODE_USAGE;
    }
    if (use == OPTIONS_REPLAY && options->host_stacks && !options->rerun) {
        tool_error("--host-stacks: a replay calls the host with --block=rerun only");
        return EXIT_CODE_USAGE;
    }
    if (use == OPTIONS_RECORD && !options->output) {
        tool_error("record where to? Give -o FILE.vmrr");
        return EXIT_CODE_USAGE;
    }
    if (!strcmp(options->accel, "kvm") && options->count_steps) {
        tool_error("--positions instructions: -accel kvm can't count them");
        return EXIT_CODE_USAGE;
    }
    options->count_exits |= !strcmp(options->accel, "kvm");
    if (!options->count_exits && options->checkpoint_steps &&
        options->checkpoint_steps < CHECKPOINT_STEPS_MIN) {
        tool_error("--checkpoint-every: %" PRIu64 ": expected instructions between checkpoints, at least %d",
                   options->checkpoint_steps, CHECKPOINT_STEPS_MIN);
        return EXIT_CODE_USAGE;
    }
    if (use == OPTIONS_RECORD && options->checkpoint_bytes && !options->checkpoint_frames) {
        tool_error("--checkpoint-memory needs --checkpoint-frames");
        return EXIT_CODE_USAGE;
    }
    if (options->checkpoint_frames && !strcmp(options->accel, "kvm")) {
        tool_error("--checkpoint-frames: not with -accel kvm, whose CPU can't be saved; replay with --checkpoint-file keeps "
                   "checkpoints of such a run beside it");
        return EXIT_CODE_USAGE;
    }
    if (options->initrd && !options->kernel) {
        tool_error("-initrd needs -kernel");
        return EXIT_CODE_USAGE;
    }
    if (options->kvm_slower && strcmp(options->accel, "kvm") != 0) {
        tool_error("-kvm-slower needs -accel kvm");
        return EXIT_CODE_USAGE;
    }
    if (options->trap_tsc && (!options->kernel || options->bios || !options->count_exits)) {
        tool_error("-kvm-trap-tsc needs -accel kvm (or --positions exits) and a Linux kernel by -kernel, without "
                   "-bios; other guests: "
                   "-kvm-trap-tsc=ADDRESS");
        return EXIT_CODE_USAGE;
    }
    if (options->tsc_sites && (options->trap_tsc || !options->count_exits)) {
        tool_error("-kvm-trap-tsc=ADDRESS needs -accel kvm (or --positions exits), and no -kvm-trap-tsc beside it");
        return EXIT_CODE_USAGE;
    }
    if (options->append && !options->kernel) {
        tool_error("-append needs -kernel");
        return EXIT_CODE_USAGE;
    }
    return -1;
}

int options_parse(struct run_options *options, enum options_use use, int argc, char **argv)
{
    struct parser parser = {.options = options, .use = use};
    memset(options, 0, sizeof *options);
    options->ram_bytes = RAM_DEFAULT_BYTES;
    options->cpu = "vmrr";
    options->accel = "interp";
    options->limit_icount = POSITION_NEVER;
    options->boot_order = strdup("c");
    for (int n = 1; n < argc; n++) {
        int code;
        if (!strcmp(argv[n], "--help") || !strcmp(argv[n], "-help") || !strcmp(argv[n], "-h")) {
            help_print(use_names[use]);
            return EXIT_CODE_OK;
        }
        code =
            argv[n][0] == '-' && argv[n][1] ? parse_one(&parser, &n, argc, argv) : parse_positional(&parser, argv[n]);
        if (code >= 0)
            return code;
    }
    int code = options_place_drives(&parser);
    if (code < 0 && use != OPTIONS_REPLAY) /* whose drives are in the journal */
        code = options_place_faults(&parser);
    if (code < 0)
        code = check_complete(options, use);
    return code >= 0 ? code : options_chardev_complete(&parser);
}

void options_free(struct run_options *options)
{
    free(options->boot_order);
    free(options->branch.message);
    free(options->branch.changes);
    while (options->owned_count)
        free(options->owned[--options->owned_count]);
}
