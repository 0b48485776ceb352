/* The PC: i440FX + PIIX3/4, one table of chip, address, interrupt (board_pc.c). */
#ifndef VMRR_DEVICES_BOARD_PC_H
#define VMRR_DEVICES_BOARD_PC_H

#include "block/block.h"
#include "core/machine.h"

struct char_backend;

/* Where a UART's or debug port's bytes go: tools/ gives it. write runs on the machine thread and must not fail into the
 * guest. Input does not come this way: it arrives as INPUT_SERIAL_BYTE. */
struct char_sink {
    void (*write)(void *opaque, const uint8_t *bytes, size_t size_bytes); /* null: discarded */
    void *opaque;
};

#define BOARD_SERIALS 2
#define BOARD_IDE_DRIVES 4
#define BOARD_AHCI_PORTS 6
#define BOARD_DRIVES 16
#define BOARD_SLOT_FIRST_FREE 3u /* of PCI bus 0: for controllers of drives, up to BOARD_SLOT_LAST */
#define BOARD_SLOT_LAST 31u
#define BOARD_BLOB_NAME_BYTES 56

/* A file for fw_cfg or a loader; bytes borrowed for the machine's life. */
struct board_blob {
    const uint8_t *bytes; /* null: none */
    size_t size_bytes;
    const char *name; /* for messages: the path it came from; null: its role ("kernel", ...) */
};

struct board_drive {
    struct block_drive *drive; /* null: no such drive */
    struct block_attachment at;
};

struct board_pc_options {
    struct board_blob bios; /* firmware image, mapped so that it ends at 4 GiB and 1 MiB; none: boot without firmware */
    struct board_blob kernel; /* bzImage or multiboot ELF or flat boot sector, see devices/loader_*.c */
    struct board_blob initrd; /* or multiboot modules: see modules */
    struct board_blob modules[16];
    const char *module_args[16];
    unsigned module_count;
    const char *append;     /* kernel command line; null: empty */
    const char *boot_order; /* QEMU's letters "cdn"; null: "c" */
    bool boot_menu;
    struct board_drive drive[BOARD_DRIVES]; /* no two at one place */
    struct char_sink serial[BOARD_SERIALS];
    struct char_sink debugcon; /* ports 0x402 and 0xe9 */
    bool no_vga;
    struct board_blob vgabios; /* video BIOS for the VGA (SeaBIOS's vgabios-stdvga.bin); used with bios only */
};

/* Builds all devices into the machine. */
enum status board_pc_create(struct machine *machine, const struct board_pc_options *options,
                            struct error *error) MUST_CHECK;

/* The screen, for tools: the pixels, and of a text mode the text as UTF-8 lines (trailing blanks dropped). Looking does not
 * change the machine. A text mode without a font (boot without firmware) has blank pixels: the text is still there. */
struct board_screen {
    unsigned width, height; /* pixels, or columns and rows when text */
    unsigned pixel_width, pixel_height;
    bool text;
    uint32_t *pixels; /* pixel_width * pixel_height of 0x00RRGGBB, owned by the caller: free() */
    char *utf8;       /* null unless text; owned by the caller: free() */
};
enum status board_pc_screen(struct machine *machine, struct board_screen *screen) MUST_CHECK;

#endif
