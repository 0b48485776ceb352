/* What the files that parse options share. */
#ifndef VMRR_TOOLS_OPTIONS_INTERNAL_H
#define VMRR_TOOLS_OPTIONS_INTERNAL_H

#include "tools/options.h"

struct device_given;

enum drive_interface { INTERFACE_IDE, INTERFACE_VIRTIO, INTERFACE_NONE };

/* -drive and its short forms, before they have a place. Strings as in struct run_options. */
struct drive_given {
    struct drive_option option;
    enum drive_interface interface;
    const char *id;   /* for -device drive= */
    const char *text; /* as given, for messages */
    bool cdrom, has_index, placed;
    uint64_t index;
    unsigned placed_at;                /* when placed: index in run_options */
    const struct device_given *device; /* that has it; null: if= said which */
};

/* -device that is, or may be, a drive's. */
struct device_given {
    const char *name, *id, *drive, *bus, *serial, *text;
    bool has_unit, has_slot;
    uint64_t unit, slot;
    uint8_t flags; /* enum block_attach_flag */
};

struct parser {
    struct run_options *options;
    enum options_use use;
    const char *name; /* of the option being parsed */
    unsigned next_serial, next_monitor;
    struct drive_given drive[JOURNAL_DRIVES];
    unsigned drive_count;
    struct device_given device[JOURNAL_DRIVES + 6];
    unsigned device_count;
};

/* Returns -1 to go on, else the exit code. */
typedef int option_fn(struct parser *parser, const char *value);

int options_bad(const struct parser *parser, const char *value, const char *expected); /* says so; the exit code */
char *options_own(struct parser *parser, char *text);                                  /* freed by options_free */
/* key=value lists, as in -drive: commas separate, two commas stand for one. The next item, or null. */
char *options_next_item(char **rest);
char *options_item_value(char *item); /* cuts the item at its '='; null: there is none */
bool options_is_on(const char *value);

/* options_drive.c */
option_fn options_parse_drive, options_parse_hd, options_parse_cdrom, options_parse_device;
int options_add_disk(struct parser *parser, unsigned ide_unit, const char *path);
/* When all is parsed: gives each drive its index, controller and place. */
int options_place_drives(struct parser *parser);

/* options_names.c: after options_place_drives: ids and devices as QEMU names them. */
int options_name_drives(struct parser *parser);

/* options_branch.c */
option_fn options_parse_then, options_parse_at, options_parse_set, options_parse_branch_fault, options_parse_original;
int options_check_branch(struct run_options *options); /* of a replay: what goes together */

/* options_chardev.c */
option_fn options_parse_chardev, options_parse_serial, options_parse_debugcon, options_parse_monitor, options_parse_qmp,
    options_parse_mon, options_parse_gdb;
/* After the last option: defaults, and whether each name that is used was given. */
int options_chardev_complete(struct parser *parser);

/* options_drive_format.c: as the two below */
int options_set_format_item(struct parser *parser, struct drive_option *drive, const char *item, const char *value,
                            bool *known);
int options_check_format(const struct drive_given *given);

/* options_drive_host.c */
void options_host_defaults(struct drive_option *drive);
/* known: whether the item is one of its. */
int options_set_host_item(struct parser *parser, struct drive_option *drive, const char *item, const char *value,
                          bool *known);
int options_check_host(const struct drive_given *given);
option_fn options_parse_blkfault;
int options_place_faults(struct parser *parser); /* after options_place_drives */

#endif
