/* The board's own struct and its parts: board_pc.c (chips and wires), board_memory.c (memory map and its description),
 * board_firmware.c (what firmware is told), board_post.c (what it would have done). */
#ifndef VMRR_DEVICES_BOARD_INTERNAL_H
#define VMRR_DEVICES_BOARD_INTERNAL_H

#include "devices/acpi.h"
#include "devices/board_pc.h"
#include "devices/loader.h"
#include "devices/pci_bus.h"
#include "devices/smbios.h"

#define BOARD_SLOT_VGA 2u

#define BOARD_IRQ_PIT 0u
#define BOARD_IRQ_KEYBOARD 1u
#define BOARD_IRQ_COM2 3u
#define BOARD_IRQ_COM1 4u
#define BOARD_IRQ_RTC 8u
#define BOARD_IRQ_MOUSE 12u
#define BOARD_IRQ_FPU 13u
#define BOARD_IRQ_IDE0 14u
#define BOARD_IRQ_IDE1 15u
#define BOARD_IRQS 16u

/* Without firmware: where the tables go that firmware would have placed. */
#define BOARD_TABLES_BYTES 0x20000u /* at the top of RAM below 4 GiB: ACPI, then SMBIOS */
#define BOARD_SMBIOS_OFFSET 0x10000u
#define BOARD_RSDP_GPA 0xF0000u
#define BOARD_SMBIOS_ANCHOR_GPA 0xF0040u

/* With firmware: what it may take of that RAM. */
#define BOARD_FIRMWARE_BYTES 0x100000u

struct fw_cfg;

struct board;
struct irq_line board_isa_irq(struct board *board, unsigned irq);

struct board {
    struct device device;
    struct pci_bus *pci;
    struct device *lapic, *pic, *ioapic, *vga, *rtc;
    struct fw_cfg *fw_cfg;
    struct irq_line pic_line[BOARD_IRQS], ioapic_line[BOARD_IRQS];
    struct memory_block *ram, *bios;
    struct boot_memory memory;
    struct boot_e820 e820[BOOT_E820_MAX];
    unsigned e820_count;
    struct acpi_files acpi;
    struct smbios_files smbios;
    struct boot_plan plan;
    bool has_plan;
    uint8_t *option_rom;
};

/* board_memory.c */
enum status board_map_memory(struct board *board, const struct board_pc_options *options,
                             struct error *error) MUST_CHECK;
void board_describe_memory(struct board *board, bool firmware);
void board_fill_cmos(struct board *board, const struct board_pc_options *options);

/* board_drives.c: PIIX3's IDE with its drives; the controllers in PCI slots of their own, in order of slots. Two drives at
 * one place, or a kind that this board has not: STATUS_INVALID, STATUS_UNSUPPORTED. */
enum status board_create_ide(struct board *board, const struct board_pc_options *options,
                             struct error *error) MUST_CHECK;
enum status board_create_drives(struct board *board, const struct board_pc_options *options,
                                struct error *error) MUST_CHECK;

/* board_firmware.c */
void board_fill_fw_cfg(struct board *board, const struct board_pc_options *options);

/* board_post.c: the boot hook of a board without firmware; opaque is the board. */
void board_boot_without_firmware(void *opaque, struct machine *machine);

#endif
