/* What monitors call drives: QEMU's names where -drive gives no id=, and the paths of its object tree where the device
 * stands. Numbers in paths of devices without an id count those of this machine, which are not QEMU's. */
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <stdio.h>
#include <string.h>

struct counts {
    unsigned virtio, anonymous, built_in;
};

static void name_drive(struct drive_option *drive, const struct drive_given *given, struct counts *counts)
{
    if (given->id)
        snprintf(drive->id, sizeof drive->id, "%s", given->id);
    else if (given->interface == INTERFACE_VIRTIO)
        snprintf(drive->id, sizeof drive->id, "virtio%u", counts->virtio);
    else
        snprintf(drive->id, sizeof drive->id, "ide%u-%s%u", drive->at.unit / 2u, given->cdrom ? "cd" : "hd",
                 drive->at.unit % 2u);
    counts->virtio += given->interface == INTERFACE_VIRTIO;
}

static void name_device(struct drive_option *drive, const struct drive_given *given, struct counts *counts)
{
    const char *behind = drive->at.kind == BLOCK_ATTACH_VIRTIO_BLK ? "/virtio-backend" : "";
    bool built_in = !given->device && given->interface == INTERFACE_IDE;
    if (given->device && given->device->id && !*behind) /* QEMU has the id alone then */
        snprintf(drive->qdev, sizeof drive->qdev, "%s", given->device->id);
    else if (given->device && given->device->id)
        snprintf(drive->qdev, sizeof drive->qdev, "/machine/peripheral/%s%s", given->device->id, behind);
    else if (built_in)
        snprintf(drive->qdev, sizeof drive->qdev, "/machine/unattached/device[%u]", counts->built_in++);
    else
        snprintf(drive->qdev, sizeof drive->qdev, "/machine/peripheral-anon/device[%u]%s", counts->anonymous++, behind);
}

static int check_names(const struct parser *parser, unsigned count)
{
    const struct drive_option *drive = parser->options->drive;
    unsigned at = parser->drive[count].placed_at;
    for (unsigned n = 0; n < count; n++) {
        unsigned other = parser->drive[n].placed_at;
        bool same_node =
            drive[at].node_name && drive[other].node_name && !strcmp(drive[at].node_name, drive[other].node_name);
        if (strcmp(drive[at].id, drive[other].id) && !same_node)
            continue;
        tool_error("-drive %s: another drive has this id or node-name", parser->drive[count].text);
        return EXIT_CODE_USAGE;
    }
    return -1;
}

int options_name_drives(struct parser *parser)
{
    struct counts counts = {0};
    int code = -1;
    for (unsigned n = 0; code < 0 && n < parser->drive_count; n++) {
        const struct drive_given *given = &parser->drive[n];
        struct drive_option *drive = &parser->options->drive[given->placed_at];
        name_drive(drive, given, &counts);
        name_device(drive, given, &counts);
        drive->given = n;
        code = check_names(parser, n);
    }
    return code;
}
