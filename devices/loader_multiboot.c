/* Multiboot 1 (specification 0.6.96): kernels with the multiboot header in their first 8 KiB, loaded as ELF32 or by the
 * addresses in the header; command line, modules, memory map, boot loader name.
 *
 * With firmware the option ROM replaces the memory map by what firmware reports (mmap_fill_gpa). Not done: video mode
 * requests (flag bit 2 is refused), symbol tables, drives, APM; ELF64; module strings above 2000 characters. */
#include "devices/loader.h"

#include <stdio.h>
#include <string.h>

#define MAGIC 0x1BADB002u
#define BOOT_MAGIC 0x2BADB002u
#define SEARCH_BYTES 8192u
#define HEADER_BYTES 12u
#define HEADER_ADDRESS_BYTES 32u

#define WANTS_PAGE_ALIGN 0x00000001u
#define WANTS_MEMORY 0x00000002u
#define WANTS_VIDEO 0x00000004u
#define HAS_ADDRESSES 0x00010000u
#define MUST_UNDERSTAND 0x0000FFFFu

#define INFO_MEMORY 0x0001u
#define INFO_BOOT_DEVICE 0x0002u
#define INFO_CMDLINE 0x0004u
#define INFO_MODULES 0x0008u
#define INFO_MMAP 0x0040u
#define INFO_LOADER_NAME 0x0200u
#define INFO_BYTES 120u
#define MMAP_ENTRY_BYTES 24u

/* Parts of the area that loader.h keeps for this loader. */
#define MODULE_LIST_GPA BOOT_MODULES_GPA
#define LOADER_NAME_GPA (BOOT_MODULES_GPA + 0x400u)
#define MMAP_GPA (BOOT_MODULES_GPA + 0x800u)
#define MMAP_ROOM 0x800u
#define MODULE_STRINGS_GPA (BOOT_MODULES_GPA + 0x1000u)
#define MODULE_STRING_BYTES 2048u
#define CMDLINE_LIMIT 0xFFFFu

#define OTHER_CHUNKS 48u /* what there may be beside the kernel's: modules with their strings, tables */
#define LOADER_NAME "vmrr"
#define KERNEL_NAME "kernel" /* not the file's: the guest must not see where a file lies on the host */

struct multiboot_image {
    const char *name;
    const uint8_t *bytes;
    uint64_t size_bytes;
    uint32_t header; /* offset in the file */
    uint32_t flags;
    uint64_t end_gpa; /* behind what the kernel takes */
    uint64_t limit_gpa;
};

/* ---- header ---- */

static bool find_header(const struct board_blob *kernel, uint32_t *offset)
{
    uint64_t end = kernel->size_bytes < SEARCH_BYTES ? kernel->size_bytes : SEARCH_BYTES;
    for (uint32_t at = 0; at + HEADER_BYTES <= end; at += 4) {
        const uint8_t *header = kernel->bytes + at;
        if (loader_u32(header) == MAGIC && (uint32_t)(MAGIC + loader_u32(header + 4) + loader_u32(header + 8)) == 0) {
            *offset = at;
            return true;
        }
    }
    return false;
}

bool loader_multiboot_recognize(const struct board_blob *kernel)
{
    uint32_t offset;
    return find_header(kernel, &offset);
}

/* A piece of the file for memory. Pieces stay in RAM above 1 MiB, out of the way of what the loader itself places. */
static enum status add_piece(struct multiboot_image *image, struct boot_plan *plan, const char *field,
                             uint64_t field_offset, uint64_t gpa, uint64_t file_offset, uint64_t file_bytes,
                             uint64_t memory_bytes, struct error *error)
{
    if (file_offset > image->size_bytes || file_bytes > image->size_bytes - file_offset)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%llx (%s): 0x%llx bytes at 0x%llx, but the file has only 0x%llx bytes",
                            image->name, (unsigned long long)field_offset, field, (unsigned long long)file_bytes,
                            (unsigned long long)file_offset, (unsigned long long)image->size_bytes);
    if (memory_bytes < file_bytes)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%llx (%s): 0x%llx bytes in the file, but 0x%llx in memory", image->name,
                            (unsigned long long)field_offset, field, (unsigned long long)file_bytes,
                            (unsigned long long)memory_bytes);
    if (gpa < BOOT_KERNEL_GPA || gpa > image->limit_gpa || memory_bytes > image->limit_gpa - gpa)
        return error_status(
            error, STATUS_INVALID,
            "%s: offset 0x%llx (%s): loads to 0x%llx..0x%llx, expected within 0x%x..0x%llx (memory size: -m)",
            image->name, (unsigned long long)field_offset, field, (unsigned long long)gpa,
            (unsigned long long)(gpa + memory_bytes), BOOT_KERNEL_GPA, (unsigned long long)image->limit_gpa);
    if (plan->chunk_count + OTHER_CHUNKS > BOOT_CHUNKS_MAX)
        return error_status(error, STATUS_UNSUPPORTED, "%s: offset 0x%llx (%s): too many segments, expected at most %u",
                            image->name, (unsigned long long)field_offset, field, (BOOT_CHUNKS_MAX - OTHER_CHUNKS) / 2);
    boot_plan_add(plan, gpa, image->bytes + file_offset, file_bytes);
    boot_plan_add_zeros(plan, gpa + file_bytes, memory_bytes - file_bytes);
    if (gpa + memory_bytes > image->end_gpa)
        image->end_gpa = gpa + memory_bytes;
    return STATUS_OK;
}

/* ---- addresses in the header ---- */

static enum status load_by_header(struct multiboot_image *image, struct boot_plan *plan, struct error *error)
{
    const uint8_t *header = image->bytes + image->header;
    if (image->size_bytes - image->header < HEADER_ADDRESS_BYTES)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%x (multiboot header): cut off, expected %u bytes",
                            image->name, image->header, HEADER_ADDRESS_BYTES);
    uint32_t header_addr = loader_u32(header + 12), load_addr = loader_u32(header + 16);
    uint32_t load_end = loader_u32(header + 20), bss_end = loader_u32(header + 24);
    if (header_addr < load_addr || header_addr - load_addr > image->header)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%x (header_addr): 0x%x, expected from load_addr 0x%x to 0x%x more",
                            image->name, image->header + 12, header_addr, load_addr, image->header);
    uint64_t file_offset = image->header - (header_addr - load_addr);
    if (load_end && load_end < load_addr)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%x (load_end_addr): 0x%x lies below load_addr 0x%x",
                            image->name, image->header + 20, load_end, load_addr);
    uint64_t file_bytes = load_end ? load_end - load_addr : image->size_bytes - file_offset;
    uint64_t memory_bytes = bss_end > load_addr + file_bytes ? bss_end - load_addr : file_bytes;
    plan->entry = loader_u32(header + 28);
    return add_piece(image, plan, "load_addr", image->header + 16u, load_addr, file_offset, file_bytes, memory_bytes,
                     error);
}

/* ---- ELF32 ---- */

#define ELF_HEADER_BYTES 52u
#define ELF_PHENT_BYTES 32u
#define ELF_PT_LOAD 1u
#define ELF_MACHINE_386 3u

static enum status check_elf(const struct multiboot_image *image, struct error *error)
{
    const uint8_t *elf = image->bytes;
    if (image->size_bytes < ELF_HEADER_BYTES || memcmp(elf, "\177ELF", 4))
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: offset 0x%x (flags): 0x%x: no load addresses (bit 16), and the file is not ELF",
                            image->name, image->header + 4, image->flags);
    if (elf[4] != 1 || elf[5] != 1)
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: offset 0x4 (EI_CLASS, EI_DATA): %u, %u, expected 1, 1 (32 bits, little-endian)",
                            image->name, elf[4], elf[5]);
    if (loader_u16(elf + 18) != ELF_MACHINE_386)
        return error_status(error, STATUS_UNSUPPORTED, "%s: offset 0x12 (e_machine): %u, expected 3 (80386)",
                            image->name, loader_u16(elf + 18));
    if (loader_u16(elf + 42) != ELF_PHENT_BYTES)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x2a (e_phentsize): %u, expected %u", image->name,
                            loader_u16(elf + 42), ELF_PHENT_BYTES);
    return STATUS_OK;
}

static enum status load_elf(struct multiboot_image *image, struct boot_plan *plan, struct error *error)
{
    enum status status = check_elf(image, error);
    if (status)
        return status;
    uint64_t table = loader_u32(image->bytes + 28), entry = loader_u32(image->bytes + 24);
    uint32_t count = loader_u16(image->bytes + 44);
    if (!count || table > image->size_bytes || count * (uint64_t)ELF_PHENT_BYTES > image->size_bytes - table)
        return error_status(
            error, STATUS_CORRUPT,
            "%s: offset 0x1c (e_phoff): %u program headers at 0x%llx, but the file has only 0x%llx bytes", image->name,
            count, (unsigned long long)table, (unsigned long long)image->size_bytes);
    plan->entry = entry;
    bool loaded = false;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = table + i * (uint64_t)ELF_PHENT_BYTES;
        const uint8_t *segment = image->bytes + at;
        uint64_t gpa = loader_u32(segment + 12), virtual = loader_u32(segment + 8),
                 memory_bytes = loader_u32(segment + 20);
        if (loader_u32(segment) != ELF_PT_LOAD || !memory_bytes)
            continue;
        status = add_piece(image, plan, "program header", at, gpa, loader_u32(segment + 4), loader_u32(segment + 16),
                           memory_bytes, error);
        if (status)
            return status;
        /* The entry point is a physical address; some kernels give a virtual one. */
        if (virtual != gpa && entry >= virtual && entry - virtual < memory_bytes)
            plan->entry = entry - virtual + gpa;
        loaded = true;
    }
    return loaded ? STATUS_OK
                  : error_status(error, STATUS_CORRUPT, "%s: offset 0x%llx (program headers): none to load",
                                 image->name, (unsigned long long)table);
}

/* ---- modules ---- */

static enum status add_module(struct multiboot_image *image, struct boot_plan *plan, uint8_t *list, unsigned index,
                              const struct board_blob *module, const char *args, struct error *error)
{
    uint64_t gpa = (image->end_gpa + 0xFFF) & ~0xFFFull;
    char role[24], text[MODULE_STRING_BYTES];
    snprintf(role, sizeof role, "module %u", index);
    if (gpa > image->limit_gpa || module->size_bytes > image->limit_gpa - gpa)
        return error_status(error, STATUS_INVALID, "%s: %zu bytes do not fit from 0x%llx to 0x%llx: memory size: -m",
                            loader_blob_name(module, role), module->size_bytes, (unsigned long long)gpa,
                            (unsigned long long)image->limit_gpa);
    int length = snprintf(text, sizeof text, "%s", args ? args : "");
    if (length < 0 || (size_t)length >= sizeof text)
        return error_status(error, STATUS_INVALID, "%s: arguments of %d characters, expected at most %u",
                            loader_blob_name(module, role), length, MODULE_STRING_BYTES - 1);
    uint32_t string_gpa = MODULE_STRINGS_GPA + index * MODULE_STRING_BYTES;
    loader_put(list + 16 * index, gpa, 4);
    loader_put(list + 16 * index + 4, gpa + module->size_bytes, 4);
    loader_put(list + 16 * index + 8, string_gpa, 4);
    memcpy(boot_plan_add_new(plan, string_gpa, (size_t)length + 1), text, (size_t)length);
    boot_plan_add(plan, gpa, module->bytes, module->size_bytes);
    image->end_gpa = gpa + module->size_bytes;
    return STATUS_OK;
}

static enum status add_modules(struct multiboot_image *image, const struct board_pc_options *board,
                               struct boot_plan *plan, uint8_t *info, struct error *error)
{
    unsigned count = 0;
    bool has_initrd = board->initrd.size_bytes != 0;
    if (!has_initrd && !board->module_count)
        return STATUS_OK;
    uint8_t *list = boot_plan_add_new(plan, MODULE_LIST_GPA, 16 * 17);
    enum status status = STATUS_OK;
    if (has_initrd)
        status = add_module(image, plan, list, count++, &board->initrd, NULL, error);
    for (unsigned i = 0; i < board->module_count && !status; i++)
        status = add_module(image, plan, list, count++, &board->modules[i], board->module_args[i], error);
    loader_put(info, loader_u32(info) | INFO_MODULES, 4);
    loader_put(info + 20, count, 4);
    loader_put(info + 24, MODULE_LIST_GPA, 4);
    return status;
}

/* ---- information structure ---- */

static void put_memory(const struct loader_options *options, struct boot_plan *plan, uint8_t *info)
{
    uint8_t *map = boot_plan_add_new(plan, MMAP_GPA, BOOT_E820_MAX * MMAP_ENTRY_BYTES);
    for (unsigned i = 0; i < options->e820_count; i++) {
        uint8_t *entry = map + i * MMAP_ENTRY_BYTES;
        loader_put(entry, MMAP_ENTRY_BYTES - 4, 4);
        loader_put(entry + 4, options->e820[i].gpa, 8);
        loader_put(entry + 12, options->e820[i].size_bytes, 8);
        loader_put(entry + 20, options->e820[i].type, 4);
    }
    loader_put(info + 4, 639, 4);
    loader_put(info + 8, (options->memory.usable_bytes - BOOT_KERNEL_GPA) >> 10, 4);
    loader_put(info + 44, options->e820_count * MMAP_ENTRY_BYTES, 4);
    loader_put(info + 48, MMAP_GPA, 4);
}

/* "name arguments", as boot loaders pass it. */
static enum status put_cmdline(const char *append, struct boot_plan *plan, uint8_t *info, struct error *error)
{
    size_t name_bytes = strlen(KERNEL_NAME), append_bytes = strlen(append);
    if (name_bytes + append_bytes + 1 > CMDLINE_LIMIT)
        return error_status(error, STATUS_INVALID, "kernel command line: %zu characters, expected at most %zu",
                            append_bytes, CMDLINE_LIMIT - 1 - name_bytes);
    uint8_t *text = boot_plan_add_new(plan, BOOT_CMDLINE_GPA, name_bytes + append_bytes + 2);
    memcpy(text, KERNEL_NAME, name_bytes);
    if (append_bytes) {
        text[name_bytes] = ' ';
        memcpy(text + name_bytes + 1, append, append_bytes);
    }
    loader_put(info + 16, BOOT_CMDLINE_GPA, 4);
    return STATUS_OK;
}

enum status loader_multiboot_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error)
{
    const struct board_pc_options *board = options->board;
    struct multiboot_image image = {.name = loader_blob_name(&board->kernel, "kernel"),
                                    .bytes = board->kernel.bytes,
                                    .size_bytes = board->kernel.size_bytes,
                                    .limit_gpa = options->memory.usable_bytes};
    CHECK(find_header(&board->kernel, &image.header));
    image.flags = loader_u32(image.bytes + image.header + 4);
    uint32_t unknown = image.flags & MUST_UNDERSTAND & ~(WANTS_PAGE_ALIGN | WANTS_MEMORY);
    if (unknown)
        return error_status(error, STATUS_UNSUPPORTED, "%s: offset 0x%x (flags): 0x%x asks for %s", image.name,
                            image.header + 4, image.flags,
                            unknown == WANTS_VIDEO ? "a video mode" : "features that the loader does not know");
    enum status status =
        image.flags & HAS_ADDRESSES ? load_by_header(&image, plan, error) : load_elf(&image, plan, error);
    if (status)
        return status;

    uint8_t *info = boot_plan_add_new(plan, BOOT_PARAMS_GPA, INFO_BYTES);
    loader_put(info, INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME, 4);
    loader_put(info + 12, 0x8000FFFF, 4); /* first hard disk, whatever partition */
    loader_put(info + 64, LOADER_NAME_GPA, 4);
    memcpy(boot_plan_add_new(plan, LOADER_NAME_GPA, sizeof LOADER_NAME), LOADER_NAME, sizeof LOADER_NAME);
    put_memory(options, plan, info);
    status = put_cmdline(board->append ? board->append : "", plan, info, error);
    if (!status)
        status = add_modules(&image, board, plan, info, error);
    if (status)
        return status;
    boot_plan_add_gdt(plan, false);
    plan->mode = BOOT_MODE_PROTECTED;
    plan->eax = BOOT_MAGIC;
    plan->ebx = BOOT_PARAMS_GPA;
    plan->mmap_fill_gpa = options->firmware ? MMAP_GPA : 0;
    return STATUS_OK;
}
