/* query-block, query-blockstats, query-named-block-nodes. A drive is two nodes, as in QEMU: its format's, and below it the
 * file ("parent" is QEMU's name for the latter in BlockStats). */
#include "tools/qmp/commands.h"
#include "tools/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_BYTES 32

struct drive {
    unsigned index;
    const struct journal_drive *config;
    const struct block_stats *stats;
    uint64_t bytes;
    bool read_only;
    const char *path;
};

static bool get_drive(struct session *session, unsigned index, struct drive *drive)
{
    if (index >= JOURNAL_DRIVES || !session->drive[index])
        return false;
    *drive = (struct drive){.index = index,
                            .config = &session->machine_config->drive[index],
                            .stats = block_drive_stats(session->drive[index]),
                            .bytes = block_drive_sectors(session->drive[index]) * BLOCK_SECTOR_BYTES,
                            .read_only = block_drive_read_only(session->drive[index])};
    drive->path = drive->config->path ? drive->config->path : "";
    return true;
}

static const char *device_name(const struct drive *drive, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "drive%u", drive->index);
    return name;
}

static const char *node_name(const struct drive *drive, bool file, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "#block%u%s", drive->index, file ? "-file" : "");
    return name;
}

static const char *qdev_name(const struct drive *drive, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "/machine/drive[%u]", drive->index);
    return name;
}

/* The file as it lies on the host now; a replay's is no file. */
static json_int_t actual_bytes(struct session *session, const struct drive *drive)
{
    struct stat st;
    if (session->player || stat(drive->path, &st))
        return 0;
    return (json_int_t)st.st_blocks * 512;
}

static json_t *node_info(struct session *session, const struct drive *drive, bool file)
{
    char name[NAME_BYTES];
    const char *format = file ? "file" : drive->config->format ? drive->config->format : "raw";
    json_t *image =
        json_pack("{s:I, s:s, s:s, s:I, s:b}", "virtual-size", (json_int_t)drive->bytes, "filename", drive->path,
                  "format", format, "actual-size", actual_bytes(session, drive), "dirty-flag", 0);
    json_t *info = json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:i, s:s, s:o, s:{s:b, s:b, s:b}}", "node-name",
                             node_name(drive, file, name), "drv", format, "file", drive->path, "ro", drive->read_only,
                             "encrypted", 0, "backing_file_depth", 0, "write_threshold", 0, "detect_zeroes", "off",
                             "image", image, "cache", "writeback", 1, "direct", 0, "no-flush", 0);
    static const char *const limits[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    for (size_t n = 0; n < sizeof limits / sizeof limits[0]; n++)
        json_object_set_new(info, limits[n], json_integer(0));
    return info;
}

void qmp_query_block(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    char device[NAME_BYTES], qdev[NAME_BYTES];
    (void)arguments;
    result->value = json_array();
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (!get_drive(session, n, &drive))
            continue;
        json_t *info = json_pack("{s:s, s:s, s:b, s:b, s:s, s:s, s:o}", "device", device_name(&drive, device), "qdev",
                                 qdev_name(&drive, qdev), "locked", 0, "removable", 0, "type", "unknown", "io-status",
                                 "ok", "inserted", node_info(session, &drive, false));
        json_array_append_new(result->value, info);
    }
}

void qmp_query_named_block_nodes(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    (void)arguments;
    result->value = json_array();
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (!get_drive(session, n, &drive))
            continue;
        json_array_append_new(result->value, node_info(session, &drive, false));
        json_array_append_new(result->value, node_info(session, &drive, true));
    }
}

/* ---- statistics ---- */

static void set(json_t *stats, const char *prefix, const char *name, uint64_t value)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    json_object_set_new(stats, key, json_integer((json_int_t)value));
}

static void set_operations(json_t *stats, const char *kind, const struct block_operations *done, bool bytes)
{
    char prefix[16], failed[32], invalid[32];
    snprintf(prefix, sizeof prefix, "%s_", kind);
    snprintf(failed, sizeof failed, "failed_%s_", kind);
    snprintf(invalid, sizeof invalid, "invalid_%s_", kind);
    if (bytes) {
        set(stats, prefix, "bytes", done->bytes);
        set(stats, prefix, "merged", 0);
    }
    set(stats, prefix, "operations", done->operations);
    set(stats, prefix, "total_time_ns", done->total_time_ns);
    set(stats, failed, "operations", done->failed);
    set(stats, invalid, "operations", done->invalid);
}

static json_t *stats_value(const struct block_stats *stats, bool account)
{
    json_t *value = json_object();
    set_operations(value, "rd", &stats->operation[TRACE_BLOCK_READ], true);
    set_operations(value, "wr", &stats->operation[TRACE_BLOCK_WRITE], true);
    set_operations(value, "unmap", &stats->operation[TRACE_BLOCK_DISCARD], true);
    set_operations(value, "flush", &stats->operation[TRACE_BLOCK_FLUSH], false);
    set(value, "", "wr_highest_offset", stats->write_highest_bytes);
    json_object_set_new(value, "account_invalid", json_boolean(account));
    json_object_set_new(value, "account_failed", json_boolean(account));
    json_object_set_new(value, "timed_stats", json_array());
    return value;
}

/* The file's node keeps no account of its own but how far it was written, as in QEMU. */
static json_t *file_stats(const struct drive *drive)
{
    char name[NAME_BYTES];
    struct block_stats stats = {.write_highest_bytes = drive->stats->write_highest_bytes};
    return json_pack("{s:s, s:o}", "node-name", node_name(drive, true, name), "stats", stats_value(&stats, false));
}

static json_t *drive_stats(struct session *session, const struct drive *drive)
{
    char name[NAME_BYTES];
    json_t *stats = stats_value(drive->stats, true);
    if (drive->stats->active)
        set(stats, "", "idle_time_ns", machine_position(session->machine).vtime_ns - drive->stats->last_ns);
    return json_pack("{s:s, s:o, s:o}", "node-name", node_name(drive, false, name), "stats", stats, "parent",
                     file_stats(drive));
}

void qmp_query_blockstats(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    char device[NAME_BYTES], qdev[NAME_BYTES];
    bool nodes = json_is_true(json_object_get(arguments, "query-nodes"));
    result->value = json_array();
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (!get_drive(session, n, &drive))
            continue;
        json_t *stats = drive_stats(session, &drive);
        if (!nodes) {
            json_object_set_new(stats, "device", json_string(device_name(&drive, device)));
            json_object_set_new(stats, "qdev", json_string(qdev_name(&drive, qdev)));
        }
        json_array_append_new(result->value, stats);
        if (nodes)
            json_array_append_new(result->value, file_stats(&drive));
    }
}
