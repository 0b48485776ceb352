/* The board's memory map, and how it is told to firmware (CMOS, e820).
 *
 *   0 .. 9FFFF                RAM
 *   A0000 .. BFFFF            VGA window (vga_memory.c)
 *   C0000 .. FFFFF            RAM or BIOS ROM, as the host bridge's PAM registers say (i440fx.c)
 *   100000 .. min(RAM, 3 GiB) RAM
 *   3 GiB .. 4 GiB            PCI; I/O APIC FEC00000, HPET FED00000, local APIC FEE00000; BIOS ROM ends at 4 GiB
 *   4 GiB ..                  the rest of RAM */
#include "block/block.h"
#include "devices/board_internal.h"
#include "devices/rtc_mc146818.h"

#include <string.h>

#define CHS_SECTORS_MAX (1024u * 16 * 63) /* what INT 13h reaches without translation */
#define VGA_START 0xA0000u
#define ONE_MIB 0x100000u
#define BIOS_MAX_BYTES (16u << 20)

static enum status map_bios(struct board *board, const struct board_blob *bios, struct error *error)
{
    struct memory *memory = machine_memory(board->device.machine);
    if (bios->size_bytes % 0x10000 || bios->size_bytes > BIOS_MAX_BYTES)
        return error_status(error, STATUS_INVALID,
                            "%s: a firmware image of %zu bytes, expected a multiple of 64 KiB up to 16 MiB",
                            bios->name ? bios->name : "bios", bios->size_bytes);
    board->bios = memory_add_block(memory, "bios", bios->size_bytes, false, error);
    if (!board->bios)
        return STATUS_NO_MEMORY;
    memcpy(board->bios->host, bios->bytes, bios->size_bytes);
    memory_map_block(memory, MEMORY_HOLE_END - bios->size_bytes, bios->size_bytes, board->bios, 0, MEMORY_ROM, 2);
    return STATUS_OK;
}

enum status board_map_memory(struct board *board, const struct board_pc_options *options, struct error *error)
{
    struct memory *memory = machine_memory(board->device.machine);
    uint64_t ram_bytes = machine_ram_bytes(board->device.machine);
    uint64_t low_bytes = ram_bytes < MEMORY_HOLE_START ? ram_bytes : MEMORY_HOLE_START;

    board->memory = (struct boot_memory){.low_bytes = low_bytes, .high_bytes = ram_bytes - low_bytes};
    board->ram = memory_add_block(memory, "ram", ram_bytes, true, error);
    if (!board->ram)
        return STATUS_NO_MEMORY;
    memory_transaction_begin(memory);
    memory_map_block(memory, 0, VGA_START, board->ram, 0, MEMORY_RAM, 0);
    if (low_bytes > ONE_MIB)
        memory_map_block(memory, ONE_MIB, low_bytes - ONE_MIB, board->ram, ONE_MIB, MEMORY_RAM, 0);
    if (board->memory.high_bytes)
        memory_map_block(memory, MEMORY_HOLE_END, board->memory.high_bytes, board->ram, low_bytes, MEMORY_RAM, 0);
    memory_transaction_commit(memory);
    return options->bios.size_bytes ? map_bios(board, &options->bios, error) : STATUS_OK;
}

static void add_e820(struct board *board, uint64_t gpa, uint64_t end, uint32_t type)
{
    CHECK(board->e820_count < BOOT_E820_MAX);
    if (end > gpa)
        board->e820[board->e820_count++] = (struct boot_e820){gpa, end - gpa, type};
}

void board_describe_memory(struct board *board, bool firmware)
{
    struct boot_memory *m = &board->memory;
    board->e820_count = 0;
    uint64_t taken = firmware ? BOARD_FIRMWARE_BYTES : BOARD_TABLES_BYTES;
    m->usable_bytes = m->low_bytes > ONE_MIB + taken ? m->low_bytes - taken : ONE_MIB;
    if (firmware) {
        /* Firmware cuts out what it keeps for itself. */
        add_e820(board, 0, m->low_bytes, BOOT_E820_RAM);
    } else {
        add_e820(board, 0, 0x9FC00, BOOT_E820_RAM);
        add_e820(board, 0x9FC00, VGA_START, BOOT_E820_RESERVED);
        add_e820(board, 0xF0000, ONE_MIB, BOOT_E820_RESERVED);
        add_e820(board, ONE_MIB, m->usable_bytes, BOOT_E820_RAM);
        add_e820(board, m->usable_bytes, m->low_bytes, BOOT_E820_ACPI);
    }
    add_e820(board, MEMORY_HOLE_END, MEMORY_HOLE_END + m->high_bytes, BOOT_E820_RAM);
}

/* ---- CMOS, as SeaBIOS and old systems read it ---- */

static void set_cmos(struct board *board, unsigned index, uint64_t value, unsigned size_bytes)
{
    for (unsigned i = 0; i < size_bytes; i++)
        rtc_cmos_set(board->rtc, index + i, (uint8_t)(value >> (8 * i)));
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

static unsigned boot_device(char letter)
{
    switch (letter) {
    case 'a': return 1;
    case 'c': return 2;
    case 'd': return 3;
    case 'n': return 4;
    default: return 0;
    }
}

/* Two bits a drive: 0 none, 1 LBA. A small disk needs none, and LBA's 63 sectors and 16 heads or more leave it no cylinder. */
static uint8_t disk_translation(const struct board_pc_options *options)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < BOARD_DRIVES; i++) {
        const struct board_drive *drive = &options->drive[i];
        if (drive->drive && drive->at.kind == BLOCK_ATTACH_IDE_DISK && drive->at.unit < BOARD_IDE_DRIVES)
            bits |= (unsigned)(block_drive_sectors(drive->drive) > CHS_SECTORS_MAX) << (2 * drive->at.unit);
    }
    return (uint8_t)bits;
}

void board_fill_cmos(struct board *board, const struct board_pc_options *options)
{
    const struct boot_memory *m = &board->memory;
    uint64_t above_1m = m->low_bytes - ONE_MIB, above_16m = m->low_bytes > (16u << 20) ? m->low_bytes - (16u << 20) : 0;
    unsigned order[3] = {0};
    const char *letters = options->boot_order ? options->boot_order : "c";

    for (unsigned i = 0; i < 3 && letters[i]; i++)
        order[i] = boot_device(letters[i]);
    set_cmos(board, 0x14, 0x06, 1); /* equipment: FPU, PS/2 mouse */
    set_cmos(board, 0x15, 640, 2);
    set_cmos(board, 0x17, at_most(above_1m >> 10, 65535), 2);
    set_cmos(board, 0x30, at_most(above_1m >> 10, 65535), 2);
    set_cmos(board, 0x34, at_most(above_16m >> 16, 65535), 2);
    set_cmos(board, 0x39, disk_translation(options), 1);
    set_cmos(board, 0x3D, order[0] | order[1] << 4, 1);
    set_cmos(board, 0x38, order[2] << 4 | 1, 1); /* bit 0: no check of the floppy's signature */
    set_cmos(board, 0x5B, m->high_bytes >> 16, 3);
    set_cmos(board, 0x5F, 0, 1); /* further CPUs */
}
