/* eject, blockdev-open-tray, blockdev-close-tray, blockdev-remove-medium, blockdev-change-medium, block_resize,
 * blockdev-snapshot-sync. What they do: tools/media.h. */
#include "tools/qmp/commands.h"
#include "tools/session.h"

#include <string.h>

static const char *argument(json_t *arguments, const char *name)
{
    return json_string_value(json_object_get(arguments, name));
}

static bool flag(json_t *arguments, const char *name)
{
    return json_is_true(json_object_get(arguments, name));
}

static void give(struct qmp_result *result, enum status status, const struct error *error)
{
    if (status)
        qmp_fail(result, "GenericError", "%s", error->text);
}

/* ---- which drive ---- */

static bool by_device(struct session *session, const char *name, unsigned *drive)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->drive[n] && !strcmp(media_device_name(session, n), name)) {
            *drive = n;
            return true;
        }
    }
    return false;
}

/* A device's path in the object tree, or the id that -device gave it. */
static bool is_qdev(const char *qdev, const char *name)
{
    static const char named[] = "/machine/peripheral/";
    const size_t folder = sizeof named - 1;
    if (!strncmp(qdev, named, folder))
        qdev += folder;
    if (!strncmp(name, named, folder))
        name += folder;
    size_t length = strlen(name);
    return length && !strncmp(qdev, name, length) && (!qdev[length] || qdev[length] == '/');
}

static bool by_id(struct session *session, const char *name, unsigned *drive)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->drive[n] && is_qdev(media_qdev_name(session, n), name)) {
            *drive = n;
            return true;
        }
    }
    return false;
}

static bool by_node(struct session *session, const char *name, unsigned *drive)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        const struct media_node *node = session->drive[n] ? session->media.drive[n].node : NULL;
        if (node && !strcmp(node->name, name)) {
            *drive = n;
            return true;
        }
    }
    return false;
}

static bool find_device(struct session *session, json_t *arguments, struct qmp_result *result, unsigned *drive)
{
    const char *device = argument(arguments, "device"), *id = argument(arguments, "id");
    if (!device == !id) {
        qmp_fail(result, "GenericError", "Need exactly one of 'device' and 'id'");
        return false;
    }
    bool found = device ? by_device(session, device, drive) : by_id(session, id, drive);
    if (!found)
        qmp_fail(result, "DeviceNotFound", "Device '%.100s' not found", device ? device : id);
    return found;
}

static bool find_node(struct session *session, json_t *arguments, struct qmp_result *result, unsigned *drive)
{
    const char *device = argument(arguments, "device"), *node = argument(arguments, "node-name");
    bool found = (device && by_device(session, device, drive)) || (node && by_node(session, node, drive));
    if (!found)
        qmp_fail(result, "GenericError", "Cannot find device='%.100s' nor node-name='%.100s'", device ? device : "",
                 node ? node : "");
    return found;
}

/* ---- media ---- */

void qmp_blockdev_open_tray(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    unsigned drive;
    if (find_device(session, arguments, result, &drive))
        give(result, media_open_tray(session, drive, flag(arguments, "force"), &error), &error);
}

void qmp_blockdev_close_tray(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    unsigned drive;
    if (find_device(session, arguments, result, &drive))
        give(result, media_close_tray(session, drive, &error), &error);
}

void qmp_blockdev_remove_medium(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    unsigned drive;
    if (find_device(session, arguments, result, &drive))
        give(result, media_remove(session, drive, &error), &error);
}

void qmp_eject(struct session *session, json_t *arguments, struct qmp_result *result)
{
    struct error error = {0};
    unsigned drive;
    if (!find_device(session, arguments, result, &drive))
        return;
    enum status status = media_open_tray(session, drive, flag(arguments, "force"), &error);
    give(result, status ? status : media_remove(session, drive, &error), &error);
}

void qmp_blockdev_change_medium(struct session *session, json_t *arguments, struct qmp_result *result)
{
    const char *mode = argument(arguments, "read-only-mode"), *format = argument(arguments, "format");
    struct error error = {0};
    unsigned drive;
    if (mode && strcmp(mode, "retain") && strcmp(mode, "read-only") && strcmp(mode, "read-write")) {
        qmp_fail(result, "GenericError", "Parameter 'read-only-mode' does not accept value '%.64s'", mode);
        return;
    }
    if (!find_device(session, arguments, result, &drive))
        return;
    if (mode && !strcmp(mode, "read-write"))
        qmp_fail(result, "GenericError", "Device '%.100s' is a CD-ROM drive: its media are read-only",
                 media_device_name(session, drive));
    else
        give(result,
             media_change(session, drive, argument(arguments, "filename"), format, flag(arguments, "force"), &error),
             &error);
}

/* ---- images ---- */

void qmp_block_resize(struct session *session, json_t *arguments, struct qmp_result *result)
{
    json_int_t size = json_integer_value(json_object_get(arguments, "size"));
    struct error error = {0};
    unsigned drive;
    if (!find_node(session, arguments, result, &drive))
        return;
    if (size < 0)
        qmp_fail(result, "GenericError", "Parameter 'size' expects a >0 size");
    else
        give(result, media_resize(session, drive, (uint64_t)size, &error), &error);
}

static bool node_name_free(struct session *session, const char *name)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        for (const struct media_node *node = session->media.drive[n].node; node; node = node->backing) {
            if (!strcmp(node->name, name) || !strcmp(node->file_name, name))
                return false;
        }
    }
    return true;
}

void qmp_blockdev_snapshot_sync(struct session *session, json_t *arguments, struct qmp_result *result)
{
    const char *format = argument(arguments, "format"), *mode = argument(arguments, "mode");
    struct media_snapshot snapshot = {.path = argument(arguments, "snapshot-file"),
                                      .format = format ? format : "qcow2",
                                      .node_name = argument(arguments, "snapshot-node-name"),
                                      .existing = mode && !strcmp(mode, "existing")};
    struct error error = {0};
    unsigned drive;
    if (mode && !snapshot.existing && strcmp(mode, "absolute-paths"))
        qmp_fail(result, "GenericError", "Parameter 'mode' does not accept value '%.64s'", mode);
    else if (!find_node(session, arguments, result, &drive))
        return;
    else if (argument(arguments, "node-name") && !argument(arguments, "device") && !snapshot.node_name)
        qmp_fail(result, "GenericError", "New overlay node-name missing");
    else if (snapshot.node_name && (!*snapshot.node_name || strlen(snapshot.node_name) >= MEDIA_NODE_BYTES))
        qmp_fail(result, "GenericError", "Invalid node-name: '%.64s'", snapshot.node_name);
    else if (snapshot.node_name && !node_name_free(session, snapshot.node_name))
        qmp_fail(result, "GenericError", "New overlay node-name already in use");
    else
        give(result, media_take_snapshot(session, drive, &snapshot, &error), &error);
}
