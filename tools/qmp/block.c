/* query-block, query-blockstats, query-named-block-nodes. What stands in an image: image_info_json. */
#include "block/qcow2.h"
#include "tools/image.h"
#include "tools/qmp/commands.h"
#include "tools/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct drive {
    unsigned index;
    struct block_drive *drive;
    const struct journal_drive *config;
    const struct block_stats *stats;
    const struct medium *medium; /* null: none is in */
};

/* The nth. */
static bool get_drive(struct session *session, unsigned n, struct drive *drive)
{
    unsigned index;
    if (!media_nth(session, n, &index))
        return false;
    *drive = (struct drive){.index = index,
                            .drive = session->drive[index],
                            .config = &session->machine_config->drive[index],
                            .stats = block_drive_stats(session->drive[index])};
    if (block_drive_has_medium(drive->drive) && session->media.drive[index].node)
        drive->medium = &session->media.drive[index];
    return true;
}

static json_t *text(const char *string)
{
    json_t *value = json_string(string); /* null: not UTF-8 */
    return value ? value : json_string("?");
}

/* ---- ImageInfo ---- */

/* With all behind it. */
static json_t *chain_info(struct block_image *image)
{
    struct block_image *backing = block_qcow2_backing(image);
    json_t *info = image_info_json(image, backing ? backing->name : NULL);
    if (backing)
        json_object_set_new(info, "backing-image", chain_info(backing));
    return info;
}

/* A replay's medium is in no file. */
static json_t *replayed_info(const struct drive *drive)
{
    return json_pack("{s:I, s:o, s:o, s:b}", "virtual-size",
                     (json_int_t)(block_drive_sectors(drive->drive) * BLOCK_SECTOR_BYTES), "filename",
                     text(drive->medium->path), "format", text(drive->medium->format), "dirty-flag", 0);
}

/* In whole sectors. */
static json_t *file_info(const char *path)
{
    struct stat st = {0};
    (void)stat(path, &st);
    json_int_t bytes = ((json_int_t)st.st_size + BLOCK_SECTOR_BYTES - 1) & ~(json_int_t)(BLOCK_SECTOR_BYTES - 1);
    return json_pack("{s:I, s:I, s:o, s:s, s:b}", "virtual-size", bytes, "actual-size", (json_int_t)st.st_blocks * 512,
                     "filename", text(path), "format", "file", "dirty-flag", 0);
}

/* ---- BlockDeviceInfo ---- */

static const char *const limit_names[BLOCK_LIMITS] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};

struct node {
    const char *name, *driver, *path;
    bool read_only;
    json_t *image; /* taken over */
    unsigned depth;
    const char *backing; /* as the image says it; null: none */
};

static json_t *node_info(const struct host_file_options *host, const struct node *node)
{
    json_t *info =
        json_pack("{s:s, s:o, s:o, s:b, s:b, s:i, s:i, s:s, s:o, s:{s:b, s:b, s:b}}", "node-name", node->name, "drv",
                  text(node->driver), "file", text(node->path), "ro", node->read_only, "encrypted", 0,
                  "backing_file_depth", (int)node->depth, "write_threshold", 0, "detect_zeroes", "off", "image",
                  node->image, "cache", "writeback", 1, "direct", host->direct, "no-flush", host->no_flush);
    for (unsigned n = 0; n < BLOCK_LIMITS; n++)
        json_object_set_new(info, limit_names[n], json_integer(0));
    if (node->backing)
        json_object_set_new(info, "backing_file", text(node->backing));
    return info;
}

static unsigned depth_behind(struct block_image *image)
{
    unsigned depth = 0;
    while ((image = block_qcow2_backing(image)))
        depth++;
    return depth;
}

static json_t *image_node_info(struct session *session, const struct drive *drive, struct block_image *image,
                               const struct media_node *names, bool read_only)
{
    struct qcow2_info said = {0};
    struct node node = {.name = names->name,
                        .driver = image ? image->ops->format : drive->medium->format,
                        .path = image ? image->name : drive->medium->path,
                        .read_only = read_only,
                        .image = image ? chain_info(image) : replayed_info(drive),
                        .depth = image ? depth_behind(image) : 0};
    if (image && block_qcow2_info(image, &said))
        node.backing = said.backing_name;
    return node_info(&session->options.drive[drive->index].host, &node);
}

static json_t *file_node_info(struct session *session, const struct drive *drive, struct block_image *image,
                              const struct media_node *names, bool read_only)
{
    const char *path = image ? image->name : drive->medium->path;
    struct node node = {
        .name = names->file_name, .driver = "file", .path = path, .read_only = read_only, .image = file_info(path)};
    return node_info(&session->options.drive[drive->index].host, &node);
}

/* Limits are the drive's, not the image's. */
static void add_limits(struct session *session, const struct drive *drive, json_t *info)
{
    const struct block_throttle_config *throttle = &drive->config->policy.throttle;
    bool any = false;
    char key[32];
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        json_object_set_new(info, limit_names[n], json_integer((json_int_t)throttle->limit[n].average));
        any = any || throttle->limit[n].average;
        if (!throttle->limit[n].maximum)
            continue;
        uint64_t seconds = throttle->limit[n].burst_seconds;
        snprintf(key, sizeof key, "%s_max", limit_names[n]);
        json_object_set_new(info, key, json_integer((json_int_t)throttle->limit[n].maximum));
        snprintf(key, sizeof key, "%s_max_length", limit_names[n]);
        json_object_set_new(info, key, json_integer(seconds ? (json_int_t)seconds : 1));
    }
    if (throttle->iops_size_bytes)
        json_object_set_new(info, "iops_size", json_integer((json_int_t)throttle->iops_size_bytes));
    if (any)
        json_object_set_new(info, "group", text(media_device_name(session, drive->index)));
}

static json_t *top_info(struct session *session, const struct drive *drive)
{
    static const char *const detect[] = {"off", "on", "unmap"};
    json_t *info = image_node_info(session, drive, drive->medium->top, drive->medium->node, drive->medium->read_only);
    json_object_set_new(info, "detect_zeroes", json_string(detect[session->options.drive[drive->index].detect_zeroes]));
    return info;
}

static json_t *inserted_info(struct session *session, const struct drive *drive)
{
    json_t *info = top_info(session, drive);
    json_object_set_new(json_object_get(info, "cache"), "writeback",
                        json_boolean(block_drive_write_cache(drive->drive)));
    add_limits(session, drive, info);
    return info;
}

/* ---- the commands ---- */

static json_t *drive_info(struct session *session, const struct drive *drive)
{
    static const char *const io_status[] = {"ok", "failed", "nospace"};
    struct block_tray tray = block_drive_tray(drive->drive);
    json_t *info = json_pack("{s:o, s:o, s:b, s:b, s:s}", "device", text(media_device_name(session, drive->index)),
                             "qdev", text(media_qdev_name(session, drive->index)), "locked", tray.locked, "removable",
                             tray.removable, "type", "unknown");
    if (tray.removable)
        json_object_set_new(info, "tray_open", json_boolean(tray.open));
    if (drive->config->at.kind != BLOCK_ATTACH_NVME) /* which does not keep one, as in QEMU */
        json_object_set_new(info, "io-status", json_string(io_status[session->control.io_status[drive->index]]));
    if (drive->medium)
        json_object_set_new(info, "inserted", inserted_info(session, drive));
    return info;
}

/* What an image says of itself is looked at while no worker is at it. */
static void quiesce(struct session *session)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->drive[n])
            (void)block_drive_quiesce(session->drive[n]);
    }
}

void qmp_query_block(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    (void)arguments;
    quiesce(session);
    result->value = json_array();
    for (unsigned n = 0; get_drive(session, n, &drive); n++)
        json_array_append_new(result->value, drive_info(session, &drive));
}

static void append_chain(json_t *list, struct session *session, const struct drive *drive)
{
    struct block_image *image = drive->medium->top;
    bool read_only = drive->medium->read_only;
    json_array_append_new(list, top_info(session, drive));
    json_array_append_new(list, file_node_info(session, drive, image, drive->medium->node, read_only));
    image = image ? block_qcow2_backing(image) : NULL;
    for (const struct media_node *node = drive->medium->node->backing; node && image; node = node->backing) {
        json_array_append_new(list, image_node_info(session, drive, image, node, true));
        json_array_append_new(list, file_node_info(session, drive, image, node, true));
        image = block_qcow2_backing(image);
    }
}

void qmp_query_named_block_nodes(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    bool flat = json_is_true(json_object_get(arguments, "flat"));
    size_t n;
    json_t *node;
    quiesce(session);
    result->value = json_array();
    for (unsigned d = 0; get_drive(session, d, &drive); d++) {
        if (drive.medium)
            append_chain(result->value, session, &drive);
    }
    json_array_foreach(result->value, n, node)
    {
        if (!flat)
            continue;
        json_object_del(json_object_get(node, "image"), "backing-image");
        json_object_set_new(node, "backing_file_depth", json_integer(0)); /* as QEMU */
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
    struct block_stats stats = {.write_highest_bytes = drive->stats->write_highest_bytes};
    return json_pack("{s:s, s:o}", "node-name", drive->medium->node->file_name, "stats", stats_value(&stats, false));
}

/* They are only read, and nobody counts that. */
static json_t *backing_stats(const struct media_node *node)
{
    struct block_stats none = {0};
    json_t *value = json_pack("{s:s, s:o, s:{s:s, s:o}}", "node-name", node->name, "stats", stats_value(&none, false),
                              "parent", "node-name", node->file_name, "stats", stats_value(&none, false));
    if (node->backing)
        json_object_set_new(value, "backing", backing_stats(node->backing));
    return value;
}

static json_t *drive_stats(struct session *session, const struct drive *drive)
{
    json_t *stats = stats_value(drive->stats, true), *value = json_pack("{s:o}", "stats", stats);
    if (drive->stats->active)
        set(stats, "", "idle_time_ns", machine_position(session->machine).vtime_ns - drive->stats->last_ns);
    if (!drive->medium)
        return value;
    json_object_set_new(value, "node-name", json_string(drive->medium->node->name));
    json_object_set_new(value, "parent", file_stats(drive));
    if (drive->medium->node->backing)
        json_object_set_new(value, "backing", backing_stats(drive->medium->node->backing));
    return value;
}

static void append_node(json_t *list, const char *name)
{
    struct block_stats none = {0};
    json_array_append_new(list, json_pack("{s:s, s:o}", "node-name", name, "stats", stats_value(&none, false)));
}

/* query-nodes: each node alone. */
static void append_nodes(json_t *list, struct session *session, const struct drive *drive)
{
    json_t *top = drive_stats(session, drive);
    json_object_del(top, "parent");
    json_object_del(top, "backing");
    json_array_append_new(list, top);
    json_array_append_new(list, file_stats(drive));
    for (const struct media_node *node = drive->medium->node->backing; node; node = node->backing) {
        append_node(list, node->name);
        append_node(list, node->file_name);
    }
}

void qmp_query_blockstats(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct drive drive;
    bool nodes = json_is_true(json_object_get(arguments, "query-nodes"));
    result->value = json_array();
    for (unsigned n = 0; get_drive(session, n, &drive); n++) {
        if (nodes && drive.medium) {
            append_nodes(result->value, session, &drive);
        } else if (!nodes) {
            json_t *stats = drive_stats(session, &drive);
            json_object_set_new(stats, "device", json_string(media_device_name(session, drive.index)));
            json_object_set_new(stats, "qdev", json_string(media_qdev_name(session, drive.index)));
            json_array_append_new(result->value, stats);
        }
    }
}
