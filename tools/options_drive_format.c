/* What a format is told by -drive, as QEMU spells it for qcow2: l2-cache-size=, refcount-cache-size=, cache-size=,
 * overlap-check=; and internal-snapshot=, which QEMU does not have (there it is -loadvm, or qemu-img's -l).
 * Not here: cache-clean-interval, l2-cache-entry-size, lazy-refcounts, pass-discard-*. */
#include "block/qcow2.h"
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <stdio.h>
#include <string.h>

static int set_bytes(struct parser *parser, const char *item, const char *value, uint64_t *bytes)
{
    char expected[64];
    if (!parse_size(value, 1, bytes) && *bytes)
        return -1;
    snprintf(expected, sizeof expected, "%s=SIZE in bytes, or as 8M", item);
    return options_bad(parser, value, expected);
}

/* A template leaves what was said of single structures as it is, before it or after it. */
static int set_template(struct parser *parser, struct drive_option *drive, const char *value)
{
    uint32_t looks_at = 0;
    if (!strcmp(value, "all"))
        looks_at = QCOW2_GUARD_ALL;
    else if (!strcmp(value, "cached"))
        looks_at = QCOW2_GUARD_CACHED;
    else if (!strcmp(value, "constant"))
        looks_at = QCOW2_GUARD_CONSTANT;
    else if (strcmp(value, "none"))
        return options_bad(parser, value, "overlap-check=all, cached, constant or none");
    drive->unguarded = (drive->unguarded & drive->guard_given) | (QCOW2_GUARD_ALL & ~looks_at & ~drive->guard_given);
    return -1;
}

static int set_structure(struct parser *parser, struct drive_option *drive, const char *name, const char *value)
{
    static const char *const names[] = {"main-header",    "active-l1",      "active-l2",
                                        "refcount-table", "refcount-block", "snapshot-table",
                                        "inactive-l1",    "inactive-l2",    "bitmap-directory"};
    for (unsigned n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (strcmp(names[n], name))
            continue;
        bool on = options_is_on(value);
        if (!on && strcmp(value, "off"))
            return options_bad(parser, value, "overlap-check.*=on or off");
        drive->guard_given |= 1u << n;
        drive->unguarded = on ? drive->unguarded & ~(1u << n) : drive->unguarded | 1u << n;
        return -1;
    }
    return options_bad(parser, name,
                       "overlap-check.template, main-header, active-l1, active-l2, refcount-table, refcount-block, "
                       "snapshot-table, inactive-l1, inactive-l2 or bitmap-directory");
}

int options_set_format_item(struct parser *parser, struct drive_option *drive, const char *item, const char *value,
                            bool *known)
{
    *known = true;
    if (!strcmp(item, "l2-cache-size"))
        return set_bytes(parser, item, value, &drive->l2_cache_bytes);
    if (!strcmp(item, "refcount-cache-size"))
        return set_bytes(parser, item, value, &drive->refcount_cache_bytes);
    if (!strcmp(item, "cache-size"))
        return set_bytes(parser, item, value, &drive->cache_bytes);
    if (!strcmp(item, "overlap-check") || !strcmp(item, "overlap-check.template"))
        return set_template(parser, drive, value);
    if (!strncmp(item, "overlap-check.", 14))
        return set_structure(parser, drive, item + 14, value);
    if (!strcmp(item, "internal-snapshot")) {
        drive->internal_snapshot = value;
        return -1;
    }
    *known = false;
    return -1;
}

static int wrong(const struct drive_given *given, const char *what)
{
    tool_error("-drive %s: %s", given->text, what);
    return EXIT_CODE_USAGE;
}

int options_check_format(const struct drive_given *given)
{
    const struct drive_option *drive = &given->option;
    uint64_t both = drive->cache_bytes, l2 = drive->l2_cache_bytes, refcount = drive->refcount_cache_bytes;
    if (both && l2 && refcount)
        return wrong(given, "cache-size, l2-cache-size and refcount-cache-size may not be set at the same time");
    if (both && l2 > both)
        return wrong(given, "l2-cache-size may not exceed cache-size");
    if (both && refcount > both)
        return wrong(given, "refcount-cache-size may not exceed cache-size");
    return -1;
}
