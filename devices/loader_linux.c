/* Linux: the x86 boot protocol (Linux Documentation/arch/x86/boot.rst), versions 2.02 and up: bzImage, loaded high, and
 * vmlinux, the ELF64 file inside it (x86-64 only; loader_vmlinux.c reads it).
 *
 * Without firmware: zero page, command line, kernel and initrd in place, entry at the 64-bit entry point (protocol 2.12
 * with XLF_KERNEL_64 and a CPU with long mode) or the 32-bit one. With firmware: the real-mode setup code runs, as under
 * any boot loader, and asks the firmware itself.
 *
 * Not done: zImage (loaded low), protocol 2.01 and older, setup_data, EFI handover, initrd above 4 GiB. */
#include "devices/loader_vmlinux.h"

#include <string.h>

#define SETUP_SECTS 0x1F1
#define BOOT_FLAG 0x1FE
#define HEADER_MAGIC 0x202
#define VERSION 0x206
#define TYPE_OF_LOADER 0x210
#define LOADFLAGS 0x211
#define CODE32_START 0x214
#define RAMDISK_IMAGE 0x218
#define RAMDISK_SIZE 0x21C
#define HEAP_END_PTR 0x224
#define CMD_LINE_PTR 0x228
#define INITRD_ADDR_MAX 0x22C
#define KERNEL_ALIGNMENT 0x230
#define RELOCATABLE_KERNEL 0x234
#define XLOADFLAGS 0x236
#define CMDLINE_SIZE 0x238
#define PREF_ADDRESS 0x258
#define INIT_SIZE 0x260
#define HEADER_LIMIT 0x290 /* what may lie behind it in the zero page is not the header's */

#define LOADED_HIGH 0x01u
#define CAN_USE_HEAP 0x80u
#define XLF_KERNEL_64 0x0001u

/* Zero page. */
#define ZP_ACPI_RSDP_ADDR 0x070
#define ZP_ALT_MEM_K 0x1E0
#define ZP_E820_ENTRIES 0x1E8
#define ZP_E820_TABLE 0x2D0
#define ZP_BYTES 4096u

#define SECTOR 512u
#define CMDLINE_LIMIT 0xFFFFu /* between BOOT_CMDLINE_GPA and BOOT_PAGES_GPA */

struct linux_image {
    const char *name;
    const uint8_t *bytes;
    uint64_t size_bytes;
    uint16_t version;
    uint64_t setup_bytes;          /* real-mode part: boot sector and setup sectors */
    uint64_t init_start, init_end; /* what the kernel uses of memory before it reads its map */
    bool entry_64;
    uint64_t entry;
    uint64_t initrd_gpa;
};

bool loader_linux_recognize(const struct board_blob *kernel)
{
    return kernel->size_bytes >= HEADER_MAGIC + 4 && !memcmp(kernel->bytes + HEADER_MAGIC, "HdrS", 4);
}

/* A field of the header, 0 if the protocol version is older than the field. */
static uint64_t header_field(const struct linux_image *image, unsigned offset, unsigned size_bytes, uint16_t since,
                             uint64_t otherwise)
{
    if (image->version < since)
        return otherwise;
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)image->bytes[offset + i] << (8 * i);
    return value;
}

static enum status check_header(struct linux_image *image, struct error *error)
{
    if (image->size_bytes < HEADER_LIMIT)
        return error_status(error, STATUS_CORRUPT,
                            "%s: %llu bytes: too short for a bzImage header, expected at least %u", image->name,
                            (unsigned long long)image->size_bytes, HEADER_LIMIT);
    if (loader_u16(image->bytes + BOOT_FLAG) != 0xAA55)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%x (boot_flag): 0x%x, expected 0xaa55", image->name,
                            BOOT_FLAG, loader_u16(image->bytes + BOOT_FLAG));
    image->version = loader_u16(image->bytes + VERSION);
    if (image->version < 0x0202 || !(image->bytes[LOADFLAGS] & LOADED_HIGH))
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: offset 0x%x (version): boot protocol %u.%02u%s, expected a bzImage of 2.02 or newer",
                            image->name, VERSION, image->version >> 8, image->version & 0xFF,
                            image->bytes[LOADFLAGS] & LOADED_HIGH ? "" : ", zImage");
    image->setup_bytes = SECTOR * (1u + (image->bytes[SETUP_SECTS] ? image->bytes[SETUP_SECTS] : 4u));
    if (image->setup_bytes >= image->size_bytes)
        return error_status(
            error, STATUS_CORRUPT,
            "%s: offset 0x%x (setup_sects): %u sectors of setup code end at 0x%llx, but the file has only "
            "0x%llx bytes",
            image->name, SETUP_SECTS, image->bytes[SETUP_SECTS], (unsigned long long)image->setup_bytes,
            (unsigned long long)image->size_bytes);
    if (image->setup_bytes > BOOT_CMDLINE_GPA - BOOT_PARAMS_GPA - 0x2000)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%x (setup_sects): %u, expected at most 111",
                            image->name, SETUP_SECTS, image->bytes[SETUP_SECTS]);
    return STATUS_OK;
}

/* Where the kernel unpacks itself; the loader must keep the initrd out of there. */
static enum status check_memory(struct linux_image *image, const struct loader_options *options, struct error *error)
{
    uint64_t kernel_bytes = image->size_bytes - image->setup_bytes;
    uint64_t pref_address = header_field(image, PREF_ADDRESS, 8, 0x020A, BOOT_KERNEL_GPA);
    uint64_t init_size = header_field(image, INIT_SIZE, 4, 0x020A, 0);
    uint64_t alignment = header_field(image, KERNEL_ALIGNMENT, 4, 0x0205, 0);
    bool relocatable = header_field(image, RELOCATABLE_KERNEL, 1, 0x0205, 0) != 0;

    if (relocatable && (alignment == 0 || (alignment & (alignment - 1))))
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%x (kernel_alignment): 0x%llx, expected a power of two", image->name,
                            KERNEL_ALIGNMENT, (unsigned long long)alignment);
    if (pref_address > UINT32_MAX)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%x (pref_address): 0x%llx, expected below 4 GiB",
                            image->name, PREF_ADDRESS, (unsigned long long)pref_address);
    image->init_start = pref_address > BOOT_KERNEL_GPA ? pref_address : BOOT_KERNEL_GPA;
    image->init_end = image->init_start + (init_size > kernel_bytes ? init_size : kernel_bytes);
    if (image->init_end < BOOT_KERNEL_GPA + kernel_bytes)
        image->init_end = BOOT_KERNEL_GPA + kernel_bytes;
    if (image->init_end > options->memory.usable_bytes)
        return error_status(
            error, STATUS_INVALID,
            "%s: offset 0x%x (init_size): the kernel needs memory up to 0x%llx, but the machine has only "
            "0x%llx for it: give it more with -m",
            image->name, INIT_SIZE, (unsigned long long)image->init_end,
            (unsigned long long)options->memory.usable_bytes);
    return STATUS_OK;
}

static enum status check_cmdline(const struct linux_image *image, const char *append, struct error *error)
{
    uint64_t limit = header_field(image, CMDLINE_SIZE, 4, 0x0206, 255);
    if (limit > CMDLINE_LIMIT)
        limit = CMDLINE_LIMIT;
    if (strlen(append) > limit)
        return error_status(error, STATUS_INVALID, "kernel command line: %zu characters, but %s takes at most %llu",
                            strlen(append), image->name, (unsigned long long)limit);
    return STATUS_OK;
}

static enum status place_initrd(struct linux_image *image, const struct loader_options *options, struct error *error)
{
    const struct board_blob *initrd = &options->board->initrd;
    uint64_t top = header_field(image, INITRD_ADDR_MAX, 4, 0x0203, 0x37FFFFFF) + 1;
    if (!initrd->size_bytes)
        return STATUS_OK;
    if (top > options->memory.usable_bytes)
        top = options->memory.usable_bytes;
    if (initrd->size_bytes > top || ((top - initrd->size_bytes) & ~0xFFFull) < image->init_end)
        return error_status(
            error, STATUS_INVALID,
            "%s: %zu bytes do not fit between the end of the kernel (0x%llx) and 0x%llx: give the machine more "
            "memory with -m",
            loader_blob_name(initrd, "initrd"), initrd->size_bytes, (unsigned long long)image->init_end,
            (unsigned long long)top);
    image->initrd_gpa = (top - initrd->size_bytes) & ~0xFFFull;
    return STATUS_OK;
}

/* The fields of the setup header that a boot loader fills; header is that of the zero page or of the setup code. */
static void fill_header(uint8_t *header, const struct linux_image *image, const struct loader_options *options)
{
    header[TYPE_OF_LOADER] = 0xFF; /* no assigned id */
    loader_put(header + CMD_LINE_PTR, BOOT_CMDLINE_GPA, 4);
    loader_put(header + CODE32_START, BOOT_KERNEL_GPA, 4);
    loader_put(header + RAMDISK_IMAGE, image->initrd_gpa, 4);
    loader_put(header + RAMDISK_SIZE, image->initrd_gpa ? options->board->initrd.size_bytes : 0, 4);
}

static void put_screen_info(uint8_t *zero_page, const struct loader_options *options)
{
    if (options->board->no_vga)
        return;
    zero_page[0x06] = 3; /* orig_video_mode: 80x25 text */
    zero_page[0x07] = 80;
    loader_put(zero_page + 0x0A, 3, 2); /* orig_video_ega_bx: 256 KiB, colour */
    zero_page[0x0E] = 25;
    zero_page[0x0F] = 1; /* orig_video_isVGA */
    loader_put(zero_page + 0x10, 16, 2);
}

static void put_e820(uint8_t *zero_page, const struct loader_options *options)
{
    zero_page[ZP_E820_ENTRIES] = (uint8_t)options->e820_count;
    for (unsigned i = 0; i < options->e820_count; i++) {
        uint8_t *entry = zero_page + ZP_E820_TABLE + 20 * i;
        loader_put(entry, options->e820[i].gpa, 8);
        loader_put(entry + 8, options->e820[i].size_bytes, 8);
        loader_put(entry + 16, options->e820[i].type, 4);
    }
    loader_put(zero_page + ZP_ALT_MEM_K, (options->memory.low_bytes - 0x100000) >> 10, 4);
}

/* Identity map of the first 4 GiB in 2 MiB pages, which the 64-bit entry point asks for. */
static void add_page_tables(struct boot_plan *plan)
{
    uint8_t *pages = boot_plan_add_new(plan, BOOT_PAGES_GPA, 6 * 4096);
    loader_put(pages, (BOOT_PAGES_GPA + 0x1000) | 3, 8);
    for (unsigned i = 0; i < 4; i++)
        loader_put(pages + 0x1000 + 8 * i, (BOOT_PAGES_GPA + 0x2000 + 0x1000 * i) | 3, 8);
    for (uint64_t i = 0; i < 2048; i++)
        loader_put(pages + 0x2000 + 8 * i, i << 21 | 0x83, 8);
    plan->cr3 = BOOT_PAGES_GPA;
}

static void plan_direct(const struct loader_options *options, const struct linux_image *image, struct boot_plan *plan)
{
    uint8_t *zero_page = boot_plan_add_new(plan, BOOT_PARAMS_GPA, ZP_BYTES);
    unsigned header_end = HEADER_MAGIC + image->bytes[HEADER_MAGIC - 1];
    if (header_end > HEADER_LIMIT)
        header_end = HEADER_LIMIT;
    memcpy(zero_page + SETUP_SECTS, image->bytes + SETUP_SECTS, header_end - SETUP_SECTS);
    fill_header(zero_page, image, options);
    put_screen_info(zero_page, options);
    put_e820(zero_page, options);
    loader_put(zero_page + ZP_ACPI_RSDP_ADDR, options->rsdp_gpa, 8);

    boot_plan_add_gdt(plan, image->entry_64);
    plan->mode = image->entry_64 ? BOOT_MODE_LONG : BOOT_MODE_PROTECTED;
    plan->entry = image->entry;
    plan->rsi = BOOT_PARAMS_GPA;
    if (image->entry_64)
        add_page_tables(plan);
}

static void plan_firmware(const struct loader_options *options, const struct linux_image *image, struct boot_plan *plan)
{
    uint8_t *setup = boot_plan_add_new(plan, BOOT_PARAMS_GPA, image->setup_bytes);
    memcpy(setup, image->bytes, image->setup_bytes);
    fill_header(setup, image, options);
    setup[LOADFLAGS] |= CAN_USE_HEAP;
    loader_put(setup + HEAP_END_PTR, 0xE000 - 0x200, 2);
    plan->mode = BOOT_MODE_REAL;
    plan->entry = BOOT_PARAMS_GPA + 0x200;
    plan->real_cs = (BOOT_PARAMS_GPA >> 4) + 0x20;
    plan->real_ds = plan->real_ss = BOOT_PARAMS_GPA >> 4;
    plan->real_sp = 0xFFF0;
}

static enum status check(struct linux_image *image, const struct loader_options *options, const char *append,
                         struct error *error)
{
    enum status status = check_header(image, error);
    if (!status)
        status = check_memory(image, options, error);
    if (!status)
        status = check_cmdline(image, append, error);
    return status ? status : place_initrd(image, options, error);
}

static void add_files(const struct loader_options *options, const struct linux_image *image, const char *append,
                      struct boot_plan *plan)
{
    memcpy(boot_plan_add_new(plan, BOOT_CMDLINE_GPA, strlen(append) + 1), append, strlen(append));
    if (image->initrd_gpa)
        boot_plan_add(plan, image->initrd_gpa, options->board->initrd.bytes, options->board->initrd.size_bytes);
}

enum status loader_linux_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error)
{
    const struct board_blob *kernel = &options->board->kernel;
    const char *append = options->board->append ? options->board->append : "";
    struct linux_image image = {
        .name = loader_blob_name(kernel, "kernel"), .bytes = kernel->bytes, .size_bytes = kernel->size_bytes};
    enum status status = check(&image, options, append, error);
    if (status)
        return status;

    image.entry_64 = options->long_mode && (header_field(&image, XLOADFLAGS, 2, 0x020C, 0) & XLF_KERNEL_64);
    image.entry = BOOT_KERNEL_GPA + (image.entry_64 ? 0x200 : 0);
    if (options->firmware)
        plan_firmware(options, &image, plan);
    else
        plan_direct(options, &image, plan);
    boot_plan_add(plan, BOOT_KERNEL_GPA, image.bytes + image.setup_bytes, image.size_bytes - image.setup_bytes);
    add_files(options, &image, append, plan);
    return STATUS_OK;
}

/* A vmlinux has no setup header: this is what a bzImage of it would say. */
static void make_header(uint8_t header[HEADER_LIMIT], const struct vmlinux *kernel)
{
    loader_put(header + BOOT_FLAG, 0xAA55, 2);
    loader_put(header + HEADER_MAGIC - 2, 0x66EB, 2); /* jump: the header ends at 268h */
    memcpy(header + HEADER_MAGIC, "HdrS", 4);
    loader_put(header + VERSION, 0x020F, 2);
    header[LOADFLAGS] = LOADED_HIGH;
    loader_put(header + INITRD_ADDR_MAX, 0x7FFFFFFF, 4);
    loader_put(header + XLOADFLAGS, XLF_KERNEL_64, 2);
    loader_put(header + CMDLINE_SIZE, 2047, 4);
    loader_put(header + PREF_ADDRESS, kernel->start, 8);
    loader_put(header + INIT_SIZE, kernel->end - kernel->start, 4);
}

enum status loader_vmlinux_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error)
{
    const struct board_blob *kernel = &options->board->kernel;
    const char *append = options->board->append ? options->board->append : "";
    uint8_t header[HEADER_LIMIT + SECTOR * 5] = {0};
    struct vmlinux elf = {.name = loader_blob_name(kernel, "kernel")};
    struct linux_image image = {.name = elf.name, .bytes = header, .size_bytes = sizeof header, .entry_64 = true};
    if (options->firmware || !options->long_mode)
        return error_status(error, STATUS_UNSUPPORTED, "%s: a 64-bit ELF kernel is started without firmware (-bios) and on a CPU with long mode",
                            elf.name);
    enum status status = loader_vmlinux_read(options, &elf, plan, error);
    if (status)
        return status;
    make_header(header, &elf);
    status = check(&image, options, append, error);
    if (status)
        return status;
    image.entry = elf.entry;
    plan_direct(options, &image, plan);
    add_files(options, &image, append, plan);
    return STATUS_OK;
}
