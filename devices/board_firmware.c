/* What the board tells firmware through fw_cfg, and the option ROM by which firmware starts a kernel.
 *
 * The ROM (roms/kernel_boot.S) reads the boot plan from item FW_CFG_PLAN, little-endian but for the descriptors:
 *    0 u32 mode: 0 real, 1 protected     40 u32 multiboot memory map to fill, 0: none
 *    4 u32 count of descriptors          44 u32 multiboot information
 *    8 u16 IP, u16 CS; or u32 EIP        48 u16 GDT limit, u32 GDT base
 *   12 u16 SP, u16 SS                    56 room for the ROM
 *   16 u16 DS, ES, FS, GS                64 fw_cfg DMA descriptors, 16 bytes each
 *   20 u32 EAX, EBX, ECX, EDX, ESI
 * Each chunk of the plan is an item of its own; a chunk of zeros is a read behind the end of an empty one. */
#include "devices/board_internal.h"
#include "devices/fw_cfg.h"

#include "devices/kernel_boot.h"

#include <stdlib.h>
#include <string.h>

#define FW_CFG_PLAN 0x8010u
#define FW_CFG_ZEROS 0x8011u
#define FW_CFG_CHUNK_FIRST 0x8020u
#define FW_CFG_SELECT_READ 0x0Au

#define PLAN_BYTES 4096u
#define PLAN_DESCRIPTORS 64u
#define GDT_BYTES 0x20u

#define ROM_BLOCK_BYTES 512u
#define ROM_NAME "genroms/kernel_boot.bin"
#define ROM_BOOT_ORDER "/rom@genroms/kernel_boot.bin"

/* ---- the boot plan ---- */

static void put_be(uint8_t *out, uint64_t value, unsigned size_bytes)
{
    for (unsigned i = 0; i < size_bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (size_bytes - 1 - i)));
}

static void put_registers(uint8_t *out, const struct boot_plan *plan)
{
    bool real = plan->mode == BOOT_MODE_REAL;
    CHECK(plan->mode != BOOT_MODE_LONG);
    loader_put(out, real ? 0 : 1, 4);
    if (real) {
        loader_put(out + 8, plan->entry - ((uint32_t)plan->real_cs << 4), 2);
        loader_put(out + 10, plan->real_cs, 2);
    } else {
        loader_put(out + 8, plan->entry, 4);
    }
    loader_put(out + 12, plan->real_sp, 2);
    loader_put(out + 14, plan->real_ss, 2);
    loader_put(out + 16, plan->real_ds, 2);
    loader_put(out + 20, plan->eax, 4);
    loader_put(out + 24, plan->ebx, 4);
    loader_put(out + 28, plan->ecx, 4);
    loader_put(out + 32, plan->edx, 4);
    loader_put(out + 36, plan->rsi, 4);
    loader_put(out + 40, plan->mmap_fill_gpa, 4);
    loader_put(out + 44, BOOT_PARAMS_GPA, 4);
    loader_put(out + 48, GDT_BYTES - 1, 2);
    loader_put(out + 50, plan->gdt_gpa, 4);
}

static void add_plan(struct fw_cfg *fw_cfg, const struct boot_plan *plan)
{
    uint8_t bytes[PLAN_BYTES] = {0};
    CHECK(PLAN_DESCRIPTORS + plan->chunk_count * 16u <= PLAN_BYTES);
    put_registers(bytes, plan);
    loader_put(bytes + 4, plan->chunk_count, 4);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_ZEROS, NULL, 0);
    for (unsigned i = 0; i < plan->chunk_count; i++) {
        const struct boot_chunk *chunk = &plan->chunk[i];
        uint8_t *descriptor = bytes + PLAN_DESCRIPTORS + 16 * i;
        uint32_t key = chunk->bytes ? FW_CFG_CHUNK_FIRST + i : FW_CFG_ZEROS;
        if (chunk->bytes)
            fw_cfg_add_borrowed(fw_cfg, (uint16_t)key, chunk->bytes, chunk->size_bytes);
        put_be(descriptor, key << 16 | FW_CFG_SELECT_READ, 4);
        put_be(descriptor + 4, chunk->size_bytes, 4);
        put_be(descriptor + 8, chunk->gpa, 8);
    }
    fw_cfg_add_bytes(fw_cfg, FW_CFG_PLAN, bytes, sizeof bytes);
}

/* ---- the option ROM ---- */

static void set_checksum(uint8_t *bytes, size_t size_bytes, size_t at)
{
    uint8_t sum = 0;
    bytes[at] = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

static void add_option_rom(struct board *board)
{
    size_t blocks = (kernel_boot_size + ROM_BLOCK_BYTES) / ROM_BLOCK_BYTES; /* at least one byte for the checksum */
    size_t size_bytes = blocks * ROM_BLOCK_BYTES;
    uint8_t *rom = calloc(1, size_bytes);
    CHECK(rom);
    memcpy(rom, kernel_boot, kernel_boot_size);
    rom[2] = (uint8_t)blocks;
    uint8_t *pnp = rom + loader_u16(rom + 0x1A);
    set_checksum(pnp, pnp[5] * 16u, 9);
    set_checksum(rom, size_bytes, size_bytes - 1);
    board->option_rom = rom;
    fw_cfg_add_file_borrowed(board->fw_cfg, ROM_NAME, rom, size_bytes);
    fw_cfg_add_file(board->fw_cfg, "bootorder", ROM_BOOT_ORDER "\n", sizeof ROM_BOOT_ORDER "\n");
}

/* ---- items ---- */

static void add_memory_map(struct board *board)
{
    uint8_t e820[BOOT_E820_MAX * 20];
    for (unsigned i = 0; i < board->e820_count; i++) {
        loader_put(e820 + 20 * i, board->e820[i].gpa, 8);
        loader_put(e820 + 20 * i + 8, board->e820[i].size_bytes, 8);
        loader_put(e820 + 20 * i + 16, board->e820[i].type, 4);
    }
    fw_cfg_add_u64(board->fw_cfg, FW_CFG_RAM_SIZE, board->memory.low_bytes);
    fw_cfg_add_file(board->fw_cfg, "etc/e820", e820, board->e820_count * 20u);
}

static void add_tables(struct board *board)
{
    struct fw_cfg *fw_cfg = board->fw_cfg;
    fw_cfg_add_file_borrowed(fw_cfg, ACPI_FILE_TABLES, board->acpi.tables, board->acpi.tables_bytes);
    fw_cfg_add_file_borrowed(fw_cfg, ACPI_FILE_RSDP, board->acpi.rsdp, sizeof board->acpi.rsdp);
    fw_cfg_add_file_borrowed(fw_cfg, ACPI_FILE_LOADER, board->acpi.loader, board->acpi.loader_bytes);
    fw_cfg_add_file_borrowed(fw_cfg, SMBIOS_FILE_TABLES, board->smbios.tables, board->smbios.tables_bytes);
    fw_cfg_add_file_borrowed(fw_cfg, SMBIOS_FILE_ANCHOR, board->smbios.anchor, sizeof board->smbios.anchor);
}

void board_fill_fw_cfg(struct board *board, const struct board_pc_options *options)
{
    static const uint8_t zeros[16], yes[4] = {1};
    struct fw_cfg *fw_cfg = board->fw_cfg;
    fw_cfg_add_u16(fw_cfg, FW_CFG_NB_CPUS, 1);
    fw_cfg_add_u16(fw_cfg, FW_CFG_MAX_CPUS, 1);
    fw_cfg_add_u16(fw_cfg, FW_CFG_NOGRAPHIC, options->no_vga);
    fw_cfg_add_u16(fw_cfg, FW_CFG_BOOT_MENU, options->boot_menu);
    fw_cfg_add_u16(fw_cfg, FW_CFG_BOOT_DEVICE, (uint8_t)(options->boot_order ? options->boot_order[0] : 'c'));
    fw_cfg_add_bytes(fw_cfg, FW_CFG_UUID, zeros, sizeof zeros);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_NUMA, zeros, sizeof zeros);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_IRQ0_OVERRIDE, yes, sizeof yes);
    add_memory_map(board);
    add_tables(board);
    if (board->vga && options->vgabios.size_bytes)
        fw_cfg_add_file_borrowed(fw_cfg, "pci1234,1111.rom", options->vgabios.bytes, options->vgabios.size_bytes);
    if (board->has_plan && board->bios) {
        add_plan(fw_cfg, &board->plan);
        add_option_rom(board);
    }
}
