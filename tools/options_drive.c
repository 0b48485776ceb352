/* Drives and their controllers, as QEMU spells them: -drive, -hda .. -hdd, -cdrom, and -device for those with if=none.
 *
 * Index: IDE drives have that of their unit, 0 to 3; the others are numbered from 4 on in the order given. PCI slots from 3
 * on, in the order given, where addr= does not say. */
#include "tools/options_internal.h"
#include "tools/tools.h"

#include <stdlib.h>
#include <string.h>

#define IDE_UNITS 4u
#define AHCI_PORTS 6u
#define SLOT_FIRST 3u
#define SLOT_LAST 31u
#define NODE_NAME_MAX 31u

/* ---- what was given ---- */

static int add_given(struct parser *parser, const struct drive_given *given)
{
    if (parser->drive_count == JOURNAL_DRIVES) {
        tool_error("-%s: at most %d drives", parser->name, JOURNAL_DRIVES);
        return EXIT_CODE_USAGE;
    }
    parser->drive[parser->drive_count++] = *given;
    int code = options_check_host(given);
    return code < 0 ? options_check_format(given) : code;
}

static int set_interface(struct parser *parser, struct drive_given *given, const char *value)
{
    if (!strcmp(value, "ide"))
        given->interface = INTERFACE_IDE;
    else if (!strcmp(value, "virtio"))
        given->interface = INTERFACE_VIRTIO;
    else if (!strcmp(value, "none"))
        given->interface = INTERFACE_NONE;
    else
        return options_bad(parser, value, "if=ide, virtio or none");
    return -1;
}

static int set_serial(struct parser *parser, char *to, const char *value)
{
    if (strlen(value) >= BLOCK_SERIAL_BYTES)
        return options_bad(parser, value, "serial=, at most 20 characters");
    strcpy(to, value);
    return -1;
}

static int set_host_item(struct parser *parser, struct drive_given *given, const char *item, const char *value)
{
    bool known;
    int code = options_set_host_item(parser, &given->option, item, value, &known);
    if (!known)
        code = options_set_format_item(parser, &given->option, item, value, &known);
    return known
               ? code
               : options_bad(
                     parser, item,
                     "file, format, if, index, media, readonly, snapshot, serial, id, node-name, cache, aio, discard, "
                     "detect-zeroes, rerror, werror, locking, throttling.*, l2-cache-size, refcount-cache-size, "
                     "cache-size, overlap-check, internal-snapshot");
}

/* What QEMU calls an identifier. */
static int set_name(struct parser *parser, const char **to, const char *value, size_t max)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", others[] = "0123456789-._";
    size_t length = strspn(value, letters);
    while (length && (strchr(letters, value[length]) || strchr(others, value[length])) && value[length])
        length++;
    *to = value;
    return !length || value[length] || length > max ? options_bad(parser, value, "a name: letters, digits, - . _") : -1;
}

static int set_drive_item(struct parser *parser, struct drive_given *given, const char *item, const char *value)
{
    if (!strcmp(item, "file"))
        given->option.path = value;
    else if (!strcmp(item, "id"))
        return set_name(parser, &given->id, value, OPTION_ID_BYTES - 1);
    else if (!strcmp(item, "node-name"))
        return set_name(parser, &given->option.node_name, value, NODE_NAME_MAX);
    else if (!strcmp(item, "if"))
        return set_interface(parser, given, value);
    else if (!strcmp(item, "serial"))
        return set_serial(parser, given->option.at.serial, value);
    else if (!strcmp(item, "readonly") || !strcmp(item, "read-only"))
        given->option.read_only = options_is_on(value);
    else if (!strcmp(item, "snapshot"))
        given->option.snapshot = options_is_on(value);
    else if (!strcmp(item, "format") && strcmp(value, "raw") && strcmp(value, "qcow2"))
        return options_bad(parser, value, "format=raw or qcow2");
    else if (!strcmp(item, "format"))
        given->option.format = value;
    else if (!strcmp(item, "index") && (parse_u64(value, &given->index) || given->index >= JOURNAL_DRIVES))
        return options_bad(parser, value, "index=0 to 15");
    else if (!strcmp(item, "media") && strcmp(value, "disk") && strcmp(value, "cdrom"))
        return options_bad(parser, value, "media=disk or cdrom");
    else if (strcmp(item, "index") && strcmp(item, "media"))
        return set_host_item(parser, given, item, value);
    given->has_index |= !strcmp(item, "index");
    given->cdrom |= !strcmp(item, "media") && !strcmp(value, "cdrom");
    return -1;
}

int options_parse_drive(struct parser *parser, const char *value)
{
    char *rest = options_own(parser, strdup(value)), *item;
    struct drive_given given = {.text = value};
    options_host_defaults(&given.option);
    while ((item = options_next_item(&rest))) {
        char *setting = options_item_value(item);
        if (!setting)
            return options_bad(parser, item, "key=value");
        int code = set_drive_item(parser, &given, item, setting);
        if (code >= 0)
            return code;
    }
    if (given.option.path && !*given.option.path)
        return options_bad(parser, value, "file=PATH");
    return add_given(parser, &given);
}

int options_add_disk(struct parser *parser, unsigned ide_unit, const char *path)
{
    struct drive_given given = {.option.path = path, .text = path, .has_index = true, .index = ide_unit};
    options_host_defaults(&given.option);
    return add_given(parser, &given);
}

int options_parse_hd(struct parser *parser, const char *value)
{
    return options_add_disk(parser, (unsigned)(parser->name[2] - 'a'), value);
}

/* As QEMU: the secondary master. */
int options_parse_cdrom(struct parser *parser, const char *value)
{
    struct drive_given given = {.option.path = value, .text = value, .cdrom = true, .has_index = true, .index = 2};
    options_host_defaults(&given.option);
    return add_given(parser, &given);
}

static bool is_known_device(const char *name)
{
    static const char *const names[] = {"virtio-blk-pci", "virtio-blk", "nvme",     "ide-hd",
                                        "ide-cd",         "ahci",       "ich9-ahci"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (!strcmp(names[n], name))
            return true;
    }
    return false;
}

/* addr=SLOT in hexadecimal, as QEMU has it; a function other than 0 is not to be had. */
static int set_slot(struct parser *parser, struct device_given *device, const char *value)
{
    char *end;
    device->slot = strtoul(value, &end, 16);
    device->has_slot = true;
    if (end == value || (*end && strcmp(end, ".0")) || device->slot < SLOT_FIRST || device->slot > SLOT_LAST)
        return options_bad(parser, value, "addr=3 to 1f");
    return -1;
}

static void set_flag(struct device_given *device, enum block_attach_flag flag, bool on)
{
    device->flags = (uint8_t)(on ? device->flags | flag : device->flags & ~(unsigned)flag);
}

static int set_device_item(struct parser *parser, struct device_given *device, const char *item, const char *value)
{
    if (!strcmp(item, "id"))
        return set_name(parser, &device->id, value, OPTION_ID_BYTES - 1);
    else if (!strcmp(item, "drive"))
        device->drive = value;
    else if (!strcmp(item, "bus"))
        device->bus = value;
    else if (!strcmp(item, "serial"))
        device->serial = value;
    else if (!strcmp(item, "addr"))
        return set_slot(parser, device, value);
    else if (!strcmp(item, "unit")) {
        device->has_unit = true;
        return parse_u64(value, &device->unit) || device->unit >= AHCI_PORTS ? options_bad(parser, value, "unit=0 to 5")
                                                                             : -1;
    } else if (!strcmp(item, "disable-legacy"))
        set_flag(device, BLOCK_ATTACH_NO_LEGACY, options_is_on(value));
    else if (!strcmp(item, "disable-modern"))
        set_flag(device, BLOCK_ATTACH_NO_MODERN, options_is_on(value));
    else if (!strcmp(item, "discard"))
        set_flag(device, BLOCK_ATTACH_NO_DISCARD, !options_is_on(value));
    else if (!strcmp(item, "write-cache"))
        set_flag(device, BLOCK_ATTACH_NO_WRITE_CACHE, !options_is_on(value) && strcmp(value, "auto"));
    else if (strcmp(item, "bootindex"))
        return options_bad(parser, item,
                           "id, drive, bus, unit, addr, serial, disable-legacy, disable-modern, discard, write-cache");
    return -1;
}

int options_parse_device(struct parser *parser, const char *value)
{
    if (!strncmp(value, "isa-debug-exit", 14) || !strncmp(value, "isa-debugcon", 12)) {
        static const char *const built_in[] = {"isa-debug-exit", "isa-debug-exit,iobase=0xf4",
                                               "isa-debug-exit,iobase=0xf4,iosize=0x04", "isa-debugcon,iobase=0xe9"};
        for (size_t n = 0; n < sizeof built_in / sizeof built_in[0]; n++) {
            if (!strcmp(value, built_in[n]))
                return -1;
        }
        return options_bad(parser, value, "isa-debug-exit at 0xf4, isa-debugcon at 0xe9 (built in)");
    }
    char *rest = options_own(parser, strdup(value)), *item = options_next_item(&rest);
    struct device_given device = {.name = item ? item : "", .text = value};
    if (!is_known_device(device.name))
        return options_bad(parser, value,
                           "virtio-blk-pci, nvme, ahci, ide-hd or ide-cd; others are not in this version");
    while ((item = options_next_item(&rest))) {
        char *setting = options_item_value(item);
        if (!setting)
            return options_bad(parser, item, "key=value");
        int code = set_device_item(parser, &device, item, setting);
        if (code >= 0)
            return code;
    }
    if (parser->device_count == sizeof parser->device / sizeof parser->device[0])
        return options_bad(parser, value, "fewer devices");
    parser->device[parser->device_count++] = device;
    return -1;
}

/* ---- places ---- */

static int wrong(const char *option, const char *text, const char *what)
{
    tool_error("-%s %s: %s", option, text, what);
    return EXIT_CODE_USAGE;
}

static int place_at(struct parser *parser, unsigned index, struct drive_given *given, enum block_attach kind,
                    unsigned unit, unsigned slot)
{
    struct drive_option *drive = &parser->options->drive[index];
    bool removable = kind == BLOCK_ATTACH_IDE_CD || kind == BLOCK_ATTACH_AHCI_CD;
    if (!given->option.path && !removable) {
        tool_error("-drive %s: expected file=PATH: only a CD-ROM drive may be empty", given->text);
        return EXIT_CODE_USAGE;
    }
    *drive = given->option;
    drive->present = true;
    drive->at.kind = kind;
    drive->at.unit = (uint8_t)unit;
    drive->at.slot = (uint8_t)slot;
    if (drive->policy.write_through)
        drive->at.flags |= BLOCK_ATTACH_NO_WRITE_CACHE;
    if (removable)
        drive->read_only = true;
    given->placed = true;
    given->placed_at = index;
    return -1;
}

static int place_ide(struct parser *parser, struct drive_given *given, uint64_t unit, bool cdrom)
{
    if (unit >= IDE_UNITS) {
        tool_error("-drive %s: at most %u IDE drives, index=0 to 3", given->text, IDE_UNITS);
        return EXIT_CODE_USAGE;
    }
    if (parser->options->drive[unit].present) {
        tool_error("-drive %s: IDE drive %u is given twice", given->text, (unsigned)unit);
        return EXIT_CODE_USAGE;
    }
    return place_at(parser, (unsigned)unit, given, cdrom ? BLOCK_ATTACH_IDE_CD : BLOCK_ATTACH_IDE_DISK, (unsigned)unit,
                    0);
}

static unsigned free_index(const struct parser *parser)
{
    unsigned index = IDE_UNITS;
    while (index < JOURNAL_DRIVES && parser->options->drive[index].present)
        index++;
    return index;
}

static bool slot_taken(const struct parser *parser, unsigned slot)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (parser->options->drive[n].present && parser->options->drive[n].at.slot == slot)
            return true;
    }
    for (unsigned n = 0; n < parser->device_count; n++) {
        if (parser->device[n].has_slot && parser->device[n].slot == slot)
            return true;
    }
    return false;
}

static unsigned free_slot(const struct parser *parser)
{
    unsigned slot = SLOT_FIRST;
    while (slot_taken(parser, slot))
        slot++;
    return slot;
}

static int place_on_pci(struct parser *parser, struct drive_given *given, enum block_attach kind, unsigned unit,
                        unsigned slot)
{
    unsigned index = free_index(parser);
    if (index == JOURNAL_DRIVES || slot > SLOT_LAST)
        return wrong("drive", given->text, "no room for so many drives");
    return place_at(parser, index, given, kind, unit, slot);
}

static struct drive_given *drive_of(struct parser *parser, const struct device_given *device)
{
    for (unsigned n = 0; device->drive && n < parser->drive_count; n++) {
        if (parser->drive[n].id && !strcmp(parser->drive[n].id, device->drive))
            return &parser->drive[n];
    }
    return NULL;
}

static struct device_given *controller_of(struct parser *parser, const char *bus, size_t id_length)
{
    for (unsigned n = 0; n < parser->device_count; n++) {
        struct device_given *device = &parser->device[n];
        bool ahci = !strcmp(device->name, "ahci") || !strcmp(device->name, "ich9-ahci");
        if (ahci && device->id && strlen(device->id) == id_length && !strncmp(device->id, bus, id_length))
            return device;
    }
    return NULL;
}

static int place_on_ahci(struct parser *parser, struct drive_given *given, struct device_given *controller,
                         uint64_t port, bool cdrom)
{
    if (!controller->has_slot) {
        controller->slot = free_slot(parser);
        controller->has_slot = true;
    }
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        const struct drive_option *other = &parser->options->drive[n];
        if (other->present && other->at.slot == controller->slot && other->at.unit == port)
            return wrong("drive", given->text, "its AHCI port is taken");
    }
    return place_on_pci(parser, given, cdrom ? BLOCK_ATTACH_AHCI_CD : BLOCK_ATTACH_AHCI_DISK, (unsigned)port,
                        (unsigned)controller->slot);
}

/* bus=ide.0 or ide.1 and unit=0 or 1; bus=ID.PORT of an AHCI controller. */
static int place_ide_device(struct parser *parser, const struct device_given *device, struct drive_given *given)
{
    static const char expected[] = "bus=: expected ide.0, ide.1, or PORT of an AHCI controller as ID.0 to ID.5";
    bool cdrom = !strcmp(device->name, "ide-cd");
    const char *dot = device->bus ? strrchr(device->bus, '.') : NULL;
    uint64_t number = 0;
    if (!device->bus) {
        uint64_t unit = 0;
        while (unit < IDE_UNITS && parser->options->drive[unit].present)
            unit++;
        return place_ide(parser, given, unit, cdrom);
    }
    if (!dot || parse_u64(dot + 1, &number) || number >= AHCI_PORTS)
        return wrong("device", device->text, expected);
    struct device_given *controller = controller_of(parser, device->bus, (size_t)(dot - device->bus));
    if (controller)
        return place_on_ahci(parser, given, controller, number, cdrom);
    if (strncmp(device->bus, "ide.", 4) || number > 1 || device->unit > 1)
        return wrong("device", device->text, expected);
    return place_ide(parser, given, number * 2 + device->unit, cdrom);
}

static int place_device(struct parser *parser, const struct device_given *device)
{
    bool ide = !strncmp(device->name, "ide-", 4), nvme = !strcmp(device->name, "nvme");
    if (!strcmp(device->name, "ahci") || !strcmp(device->name, "ich9-ahci"))
        return -1;
    struct drive_given *given = drive_of(parser, device);
    if (!given)
        return wrong("device", device->text, "drive=: expected the id of a -drive");
    if (given->placed || given->interface != INTERFACE_NONE)
        return wrong("device", device->text, "drive=: expected a -drive with if=none that no other device has");
    parser->name = "device";
    if (device->serial && set_serial(parser, given->option.at.serial, device->serial) >= 0)
        return EXIT_CODE_USAGE;
    given->option.at.flags |= device->flags;
    given->device = device;
    if (ide)
        return place_ide_device(parser, device, given);
    return place_on_pci(parser, given, nvme ? BLOCK_ATTACH_NVME : BLOCK_ATTACH_VIRTIO_BLK, 0,
                        device->has_slot ? (unsigned)device->slot : free_slot(parser));
}

/* Those with a place of their own first, then those that take what is free, in the order given. */
static int place_plain(struct parser *parser, bool with_index)
{
    for (unsigned n = 0; n < parser->drive_count; n++) {
        struct drive_given *given = &parser->drive[n];
        int code = -1;
        if (given->placed || given->interface == INTERFACE_NONE)
            continue;
        if (given->interface == INTERFACE_VIRTIO && !with_index)
            code = place_on_pci(parser, given, BLOCK_ATTACH_VIRTIO_BLK, 0, free_slot(parser));
        else if (given->interface == INTERFACE_IDE && given->has_index == with_index) {
            uint64_t unit = given->has_index ? given->index : 0;
            while (!given->has_index && unit < IDE_UNITS && parser->options->drive[unit].present)
                unit++;
            code = place_ide(parser, given, unit, given->cdrom);
        }
        if (code >= 0)
            return code;
    }
    return -1;
}

int options_place_drives(struct parser *parser)
{
    int code = place_plain(parser, true);
    if (code < 0)
        code = place_plain(parser, false);
    for (unsigned n = 0; code < 0 && n < parser->device_count; n++)
        code = place_device(parser, &parser->device[n]);
    for (unsigned n = 0; code < 0 && n < parser->drive_count; n++) {
        if (!parser->drive[n].placed)
            code = wrong("drive", parser->drive[n].text, "if=none: expected a -device with its id as drive=");
    }
    return code < 0 ? options_name_drives(parser) : code;
}
