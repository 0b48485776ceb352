/* The host's side of -drive, as QEMU spells it: cache=, aio=, discard=, detect-zeroes=, rerror=, werror=, locking=,
 * throttling.*; and -blkfault, which QEMU does not have. */
#include "block/fault.h"
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <stdio.h>
#include <string.h>

struct word {
    const char *text;
    unsigned value;
};

/* value: one of the words, which a null text ends. */
static int choose(struct parser *parser, const struct word *words, const char *value, const char *expected,
                  unsigned *chosen)
{
    for (; words->text; words++) {
        if (!strcmp(words->text, value)) {
            *chosen = words->value;
            return -1;
        }
    }
    return options_bad(parser, value, expected);
}

static const struct word on_off[] = {{"on", 1}, {"yes", 1},   {"true", 1}, {"off", 0},
                                     {"no", 0}, {"false", 0}, {NULL, 0}};

static int choose_bool(struct parser *parser, const char *item, const char *value, bool *chosen)
{
    char expected[64];
    unsigned on = 0;
    snprintf(expected, sizeof expected, "%s=on or off", item);
    int code = choose(parser, on_off, value, expected, &on);
    *chosen = on;
    return code;
}

enum { CACHE_THROUGH = 1, CACHE_DIRECT = 2, CACHE_NO_FLUSH = 4 };

static int set_cache(struct parser *parser, struct drive_option *drive, const char *value)
{
    static const struct word modes[] = {{"writeback", 0},
                                        {"none", CACHE_DIRECT},
                                        {"off", CACHE_DIRECT},
                                        {"writethrough", CACHE_THROUGH},
                                        {"directsync", CACHE_THROUGH | CACHE_DIRECT},
                                        {"unsafe", CACHE_NO_FLUSH},
                                        {NULL, 0}};
    unsigned mode = 0;
    int code = choose(parser, modes, value, "cache=writeback, none, writethrough, directsync or unsafe", &mode);
    drive->policy.write_through = mode & CACHE_THROUGH;
    drive->host.direct = mode & CACHE_DIRECT;
    drive->host.no_flush = mode & CACHE_NO_FLUSH;
    return code;
}

static int set_cache_part(struct parser *parser, struct drive_option *drive, const char *item, const char *value)
{
    bool writeback;
    if (!strcmp(item, "cache.direct"))
        return choose_bool(parser, item, value, &drive->host.direct);
    if (!strcmp(item, "cache.no-flush"))
        return choose_bool(parser, item, value, &drive->host.no_flush);
    int code = choose_bool(parser, item, value, &writeback);
    drive->policy.write_through = !writeback;
    return code;
}

static int set_aio(struct parser *parser, struct drive_option *drive, const char *value)
{
    static const struct word ways[] = {
        {"threads", BLOCK_AIO_THREADS}, {"native", BLOCK_AIO_NATIVE}, {"io_uring", BLOCK_AIO_IO_URING}, {NULL, 0}};
    unsigned aio = 0;
    int code = choose(parser, ways, value, "aio=threads, native or io_uring", &aio);
    drive->aio = (enum block_aio)aio;
    return code;
}

static int set_discard(struct parser *parser, struct drive_option *drive, const char *value)
{
    static const struct word ways[] = {{"ignore", 1}, {"off", 1}, {"unmap", 0}, {"on", 0}, {NULL, 0}};
    unsigned keep = 1;
    int code = choose(parser, ways, value, "discard=ignore or unmap", &keep);
    drive->policy.keep_discarded = keep;
    return code;
}

static int set_detect(struct parser *parser, struct drive_option *drive, const char *value)
{
    static const struct word ways[] = {
        {"off", BLOCK_DETECT_OFF}, {"on", BLOCK_DETECT_ON}, {"unmap", BLOCK_DETECT_UNMAP}, {NULL, 0}};
    unsigned detect = 0;
    int code = choose(parser, ways, value, "detect-zeroes=off, on or unmap", &detect);
    drive->detect_zeroes = (enum block_detect_zeroes)detect;
    return code;
}

static int set_on_error(struct parser *parser, struct drive_option *drive, const char *item, const char *value)
{
    static const struct word ways[] = {{"report", BLOCK_ON_ERROR_REPORT},
                                       {"ignore", BLOCK_ON_ERROR_IGNORE},
                                       {"stop", BLOCK_ON_ERROR_STOP},
                                       {"enospc", BLOCK_ON_ERROR_ENOSPC},
                                       {NULL, 0}};
    bool read = *item == 'r';
    unsigned action = 0;
    int code = choose(parser, ways, value,
                      read ? "rerror=report, ignore or stop" : "werror=report, ignore, stop or enospc", &action);
    if (code < 0 && read && action == BLOCK_ON_ERROR_ENOSPC)
        return options_bad(parser, value, "rerror=report, ignore or stop");
    *(read ? &drive->policy.rerror : &drive->policy.werror) = (uint8_t)action;
    return code;
}

static int set_locking(struct parser *parser, struct drive_option *drive, const char *value)
{
    static const struct word ways[] = {
        {"auto", HOST_LOCKING_AUTO}, {"on", HOST_LOCKING_ON}, {"off", HOST_LOCKING_OFF}, {NULL, 0}};
    unsigned locking = 0;
    int code = choose(parser, ways, value, "locking=auto, on or off", &locking);
    drive->host.locking = (enum host_locking)locking;
    return code;
}

/* throttling.bps-total, -max, -max-length; the six limits by the names of QEMU's. */
static int set_throttling(struct parser *parser, struct drive_option *drive, const char *item, const char *value)
{
    static const char *const names[BLOCK_LIMITS] = {"bps-total",  "bps-read",  "bps-write",
                                                    "iops-total", "iops-read", "iops-write"};
    struct block_throttle_config *config = &drive->policy.throttle;
    const char *name = item + strlen("throttling.");
    uint64_t number = 0;
    if (parse_u64(value, &number) || number > BLOCK_LIMIT_MAX)
        return options_bad(parser, value, "a limit up to 10^15");
    if (!strcmp(name, "iops-size")) {
        config->iops_size_bytes = number;
        return -1;
    }
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        size_t length = strlen(names[n]);
        if (strncmp(name, names[n], length))
            continue;
        if (!name[length])
            config->limit[n].average = number;
        else if (!strcmp(name + length, "-max"))
            config->limit[n].maximum = number;
        else if (!strcmp(name + length, "-max-length") && number && number <= BLOCK_BURST_SECONDS_MAX)
            config->limit[n].burst_seconds = number;
        else
            continue;
        return -1;
    }
    return options_bad(
        parser, item,
        "throttling.bps-total, bps-read, bps-write, iops-total, iops-read or iops-write, each with -max and "
        "-max-length (seconds, at least 1), or iops-size");
}

int options_set_host_item(struct parser *parser, struct drive_option *drive, const char *item, const char *value,
                          bool *known)
{
    *known = true;
    if (!strncmp(item, "file.", 5) && strcmp(item, "file.filename"))
        item += 5;
    if (!strcmp(item, "cache"))
        return set_cache(parser, drive, value);
    if (!strcmp(item, "cache.direct") || !strcmp(item, "cache.no-flush") || !strcmp(item, "cache.writeback"))
        return set_cache_part(parser, drive, item, value);
    if (!strcmp(item, "aio"))
        return set_aio(parser, drive, value);
    if (!strcmp(item, "discard"))
        return set_discard(parser, drive, value);
    if (!strcmp(item, "detect-zeroes"))
        return set_detect(parser, drive, value);
    if (!strcmp(item, "rerror") || !strcmp(item, "werror"))
        return set_on_error(parser, drive, item, value);
    if (!strcmp(item, "locking"))
        return set_locking(parser, drive, value);
    if (!strncmp(item, "throttling.", 11))
        return set_throttling(parser, drive, item, value);
    *known = false;
    return -1;
}

void options_host_defaults(struct drive_option *drive)
{
    drive->policy.keep_discarded = true;
    drive->policy.werror = BLOCK_ON_ERROR_ENOSPC;
}

static int wrong(const struct drive_given *given, const char *what)
{
    tool_error("-drive %s: %s", given->text, what);
    return EXIT_CODE_USAGE;
}

int options_check_host(const struct drive_given *given)
{
    const struct drive_option *drive = &given->option;
    if (drive->aio == BLOCK_AIO_NATIVE && !drive->host.direct)
        return wrong(given,
                     "aio=native was given, but it needs cache.direct=on (cache=none or directsync), which was not");
    if (drive->detect_zeroes == BLOCK_DETECT_UNMAP && drive->policy.keep_discarded)
        return wrong(given, "detect-zeroes=unmap needs discard=unmap");
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        uint64_t average = drive->policy.throttle.limit[n].average, maximum = drive->policy.throttle.limit[n].maximum;
        if (maximum && (!average || maximum < average))
            return wrong(given, "a throttling limit with -max needs the limit itself, at most as large");
        if (drive->policy.throttle.limit[n].burst_seconds > 1 && !maximum)
            return wrong(given, "a throttling limit with -max-length needs -max");
    }
    const uint64_t total[2] = {drive->policy.throttle.limit[BLOCK_LIMIT_BPS_TOTAL].average,
                               drive->policy.throttle.limit[BLOCK_LIMIT_IOPS_TOTAL].average};
    for (unsigned n = 0; n < 2; n++) {
        if (total[n] &&
            (drive->policy.throttle.limit[3 * n + 1].average || drive->policy.throttle.limit[3 * n + 2].average))
            return wrong(given, "a total throttling limit and one for reads or writes exclude each other");
    }
    return -1;
}

/* ---- -blkfault ---- */

int options_parse_blkfault(struct parser *parser, const char *value)
{
    struct run_options *options = parser->options;
    char *rest = options_own(parser, strdup(value)), *item;
    struct error error = {0};
    if (options->fault_count == BLOCK_FAULT_RULES_MAX)
        return options_bad(parser, value, "at most 64 rules");
    struct block_fault_rule *rule = &options->fault[options->fault_count++];
    block_fault_begin(rule);
    while ((item = options_next_item(&rest))) {
        char *setting = options_item_value(item);
        if (block_fault_set(rule, item, setting, &error)) {
            tool_error("-blkfault %s: %s", value, error.text);
            return EXIT_CODE_USAGE;
        }
    }
    if (block_fault_check(rule, &error)) {
        tool_error("-blkfault %s: %s", value, error.text);
        return EXIT_CODE_USAGE;
    }
    return -1;
}

/* Rules are about drives that are there. */
int options_place_faults(struct parser *parser)
{
    struct run_options *options = parser->options;
    for (unsigned n = 0; n < options->fault_count; n++) {
        uint32_t drive = options->fault[n].drive;
        if (drive >= JOURNAL_DRIVES || !options->drive[drive].present) {
            tool_error("-blkfault: drive=%u: there is no such drive", (unsigned)drive);
            return EXIT_CODE_USAGE;
        }
        options->drive[drive].policy.asks_faults = true;
    }
    return -1;
}
