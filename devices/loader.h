/* Kernel loaders: turn a kernel file into a boot plan, which says what goes where in guest memory and how the CPU starts.
 *
 * A plan is carried out in one of two ways: by the board itself at each reset (no firmware), or by the option ROM
 * roms/kernel_boot.S, to which fw_cfg gives the same plan. A plan is a pure function of the options.
 *
 * Kernel files are hostile. Every loader checks each field it uses and answers with STATUS_CORRUPT, STATUS_UNSUPPORTED or
 * STATUS_INVALID and a text naming file, offset, field and what was expected; it allocates nothing in proportion to a
 * number found in the file. */
#ifndef VMRR_DEVICES_LOADER_H
#define VMRR_DEVICES_LOADER_H

#include "devices/board_pc.h"

#define BOOT_CHUNKS_MAX 128u

struct boot_chunk {
    uint64_t gpa;
    const uint8_t *bytes; /* null: zeros */
    uint64_t size_bytes;
    uint8_t *owned; /* freed with the plan; null: bytes are borrowed from the options */
};

enum boot_mode { BOOT_MODE_REAL, BOOT_MODE_PROTECTED, BOOT_MODE_LONG };

struct boot_plan {
    struct boot_chunk chunk[BOOT_CHUNKS_MAX];
    unsigned chunk_count;
    enum boot_mode mode;
    uint64_t entry; /* linear; in real mode cs << 4 is subtracted for IP */
    uint16_t real_cs, real_ds, real_ss, real_sp;
    uint32_t eax, ebx, ecx, edx;
    uint64_t rsi;
    uint64_t gdt_gpa, cr3;  /* protected and long mode; cr3 in long mode */
    uint64_t mmap_fill_gpa; /* multiboot memory map to be filled from firmware's, with option ROM; 0: none */
};

/* What is free for a loader. */
struct boot_memory {
    uint64_t low_bytes;    /* RAM below 4 GiB in all */
    uint64_t high_bytes;   /* RAM from 4 GiB on */
    uint64_t usable_bytes; /* RAM below 4 GiB without what tables or firmware take at its top */
};

struct boot_e820 {
    uint64_t gpa, size_bytes;
    uint32_t type;
};
enum { BOOT_E820_RAM = 1, BOOT_E820_RESERVED = 2, BOOT_E820_ACPI = 3 };
#define BOOT_E820_MAX 8

struct loader_options {
    const struct board_pc_options *board;
    struct boot_memory memory;
    const struct boot_e820 *e820;
    unsigned e820_count;
    uint64_t rsdp_gpa; /* no firmware */
    bool firmware;     /* the plan is for the option ROM */
    bool long_mode;    /* the CPU has it */
};

/* Fixed places below 640 KiB for what loaders put beside the kernel. */
#define BOOT_PARAMS_GPA 0x10000u  /* Linux zero page or real-mode setup; multiboot information */
#define BOOT_CMDLINE_GPA 0x20000u /* up to 64 KiB */
#define BOOT_PAGES_GPA 0x30000u   /* six page-table pages */
#define BOOT_GDT_GPA 0x36000u
#define BOOT_MODULES_GPA 0x37000u /* multiboot module list, module strings, memory map */
#define BOOT_KERNEL_GPA 0x100000u

/* Chooses by content: multiboot header, bzImage, vmlinux, boot sector. On failure the plan is empty. */
enum status loader_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error) MUST_CHECK;
void boot_plan_free(struct boot_plan *plan);
/* Writes the chunks and sets the registers: at reset, without firmware. */
void boot_plan_execute(const struct boot_plan *plan, struct machine *machine);

/* The single loaders, for loader_plan and tests. */
bool loader_linux_recognize(const struct board_blob *kernel);
enum status loader_linux_plan(const struct loader_options *options, struct boot_plan *plan,
                              struct error *error) MUST_CHECK;
bool loader_vmlinux_recognize(const struct board_blob *kernel);
enum status loader_vmlinux_plan(const struct loader_options *options, struct boot_plan *plan,
                                struct error *error) MUST_CHECK;
bool loader_multiboot_recognize(const struct board_blob *kernel);
enum status loader_multiboot_plan(const struct loader_options *options, struct boot_plan *plan,
                                  struct error *error) MUST_CHECK;
bool loader_flat_recognize(const struct board_blob *kernel);
enum status loader_flat_plan(const struct loader_options *options, struct boot_plan *plan,
                             struct error *error) MUST_CHECK;

/* For loaders: a chunk borrowed from a file, or one made here (zeroed, returned for filling). */
void boot_plan_add(struct boot_plan *plan, uint64_t gpa, const uint8_t *bytes, uint64_t size_bytes);
uint8_t *boot_plan_add_new(struct boot_plan *plan, uint64_t gpa, uint64_t size_bytes);
void boot_plan_add_zeros(struct boot_plan *plan, uint64_t gpa, uint64_t size_bytes);
/* The GDT of the Linux 32-bit boot protocol (code 10h, data 18h), which multiboot takes too. */
void boot_plan_add_gdt(struct boot_plan *plan, bool long_mode);
const char *loader_blob_name(const struct board_blob *blob, const char *role);

static inline uint16_t loader_u16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}
static inline uint32_t loader_u32(const uint8_t *in)
{
    return loader_u16(in) | (uint32_t)loader_u16(in + 2) << 16;
}
static inline uint64_t loader_u64(const uint8_t *in)
{
    return loader_u32(in) | (uint64_t)loader_u32(in + 4) << 32;
}
static inline void loader_put(uint8_t *out, uint64_t value, unsigned size_bytes)
{
    for (unsigned i = 0; i < size_bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

#endif
