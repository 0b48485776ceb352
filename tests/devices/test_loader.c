/* Kernel loaders: what lands where, and what hostile files get for an answer. */
#include "devices/loader.h"
#include "tests/devices/board_test.h"

#define MIB (1ull << 20)
#define KERNEL_BYTES 0x3000u

static const struct boot_e820 e820[2] = {{0, 0x9FC00, BOOT_E820_RAM}, {0x100000, 63 * MIB, BOOT_E820_RAM}};

struct plan_rig {
    struct board_pc_options board;
    struct loader_options options;
    struct boot_plan plan;
    struct error error;
    uint8_t file[KERNEL_BYTES];
};

static void put(uint8_t *out, uint64_t value, unsigned size_bytes)
{
    loader_put(out, value, size_bytes);
}

static struct plan_rig *plan_rig(void)
{
    struct plan_rig *rig = calloc(1, sizeof *rig);
    ck_assert_ptr_nonnull(rig);
    rig->board.kernel = (struct board_blob){rig->file, sizeof rig->file, "k"};
    rig->options = (struct loader_options){.board = &rig->board,
                                           .memory = {64 * MIB, 0, 63 * MIB},
                                           .e820 = e820,
                                           .e820_count = 2,
                                           .rsdp_gpa = 0xF0000,
                                           .long_mode = true};
    return rig;
}

/* A bzImage of protocol 2.15 with 3 setup sectors. */
static struct plan_rig *linux_rig(void)
{
    struct plan_rig *rig = plan_rig();
    uint8_t *f = rig->file;
    f[0x1F1] = 3;
    put(f + 0x1FE, 0xAA55, 2);
    f[0x200] = 0xEB;
    f[0x201] = 0x6A;
    memcpy(f + 0x202, "HdrS", 4);
    put(f + 0x206, 0x020F, 2);
    f[0x211] = 1;
    put(f + 0x214, 0x100000, 4);
    put(f + 0x22C, 0x7FFFFFFF, 4);
    put(f + 0x230, 0x200000, 4);
    f[0x234] = 1;
    put(f + 0x236, 1, 2);
    put(f + 0x238, 2047, 4);
    put(f + 0x258, 0x1000000, 8);
    put(f + 0x260, 0x800000, 4);
    for (unsigned i = 0x800; i < KERNEL_BYTES; i++)
        f[i] = (uint8_t)i;
    return rig;
}

/* A multiboot ELF32 with one segment of 0x100 bytes in the file and 0x2000 in memory at 2 MiB. */
static struct plan_rig *elf_rig(void)
{
    struct plan_rig *rig = plan_rig();
    uint8_t *f = rig->file;
    memcpy(f, "\177ELF\1\1\1", 7);
    put(f + 16, 2, 2);
    put(f + 18, 3, 2);
    put(f + 24, 0x200010, 4);
    put(f + 28, 52, 4);
    put(f + 42, 32, 2);
    put(f + 44, 1, 2);
    put(f + 52, 1, 4);
    put(f + 56, 0x1000, 4);
    put(f + 60, 0x200000, 4);
    put(f + 64, 0x200000, 4);
    put(f + 68, 0x100, 4);
    put(f + 72, 0x2000, 4);
    put(f + 0x1000, 0x1BADB002, 4);
    put(f + 0x1004, 3, 4);
    put(f + 0x1008, (uint32_t) - (0x1BADB002 + 3), 4);
    return rig;
}

/* A vmlinux with a segment of 0x100 bytes in the file and 0x2000 in memory at 16 MiB, and one of 0x40 at 17 MiB. */
static struct plan_rig *vmlinux_rig(void)
{
    struct plan_rig *rig = plan_rig();
    uint8_t *f = rig->file;
    memcpy(f, "\177ELF\2\1\1", 7);
    put(f + 16, 2, 2);
    put(f + 18, 62, 2);
    put(f + 24, 0x1000070, 8);
    put(f + 32, 64, 8);
    put(f + 54, 56, 2);
    put(f + 56, 2, 2);
    for (unsigned n = 0; n < 2; n++) {
        uint8_t *segment = f + 64 + 56 * n;
        put(segment, 1, 4);
        put(segment + 8, n ? 0x1200 : 0x1000, 8);
        put(segment + 16, 0xFFFFFFFF81000000 + (n << 20), 8);
        put(segment + 24, 0x1000000 + (n << 20), 8);
        put(segment + 32, n ? 0x40 : 0x100, 8);
        put(segment + 40, n ? 0x40 : 0x2000, 8);
    }
    return rig;
}

static void set_multiboot_flags(struct plan_rig *rig, uint32_t flags)
{
    put(rig->file + 0x1004, flags, 4);
    put(rig->file + 0x1008, (uint32_t) - (0x1BADB002 + flags), 4);
}

static void plan_rig_free(struct plan_rig *rig)
{
    boot_plan_free(&rig->plan);
    free(rig);
}

static enum status plan(struct plan_rig *rig)
{
    boot_plan_free(&rig->plan);
    error_clear(&rig->error);
    enum status status = loader_plan(&rig->options, &rig->plan, &rig->error);
    if (status) {
        ck_assert_uint_eq(rig->plan.chunk_count, 0);
        ck_assert_str_ne(rig->error.text, "");
    }
    return status;
}

static void assert_refused(struct plan_rig *rig, enum status status, const char *part)
{
    ck_assert_int_eq(plan(rig), status);
    ck_assert_msg(strstr(rig->error.text, part) != NULL, "\"%s\" is not in \"%s\"", part, rig->error.text);
}

static const struct boot_chunk *chunk_at(const struct plan_rig *rig, uint64_t gpa)
{
    for (unsigned i = 0; i < rig->plan.chunk_count; i++) {
        if (rig->plan.chunk[i].gpa == gpa)
            return &rig->plan.chunk[i];
    }
    ck_abort_msg("no chunk at %#llx", (unsigned long long)gpa);
    return NULL;
}

/* ---- Linux ---- */

START_TEST(linux_direct)
{
    static const uint8_t initrd[5000] = {7};
    struct plan_rig *rig = linux_rig();
    rig->board.append = "console=ttyS0";
    rig->board.initrd = (struct board_blob){initrd, sizeof initrd, "i"};
    ck_assert_int_eq(plan(rig), STATUS_OK);
    const uint8_t *zero_page = chunk_at(rig, BOOT_PARAMS_GPA)->bytes;
    uint64_t initrd_gpa = loader_u32(zero_page + 0x218);
    ck_assert_uint_eq(initrd_gpa, 63 * MIB - 0x2000);
    ck_assert_uint_eq(loader_u32(zero_page + 0x21C), 5000);
    ck_assert_ptr_eq(chunk_at(rig, initrd_gpa)->bytes, initrd);
    ck_assert_uint_eq(loader_u32(zero_page + 0x228), BOOT_CMDLINE_GPA);
    ck_assert_str_eq((const char *)chunk_at(rig, BOOT_CMDLINE_GPA)->bytes, "console=ttyS0");
    ck_assert_uint_eq(loader_u64(zero_page + 0x70), 0xF0000);
    ck_assert_uint_eq(zero_page[0x1E8], 2);
    ck_assert_uint_eq(loader_u64(zero_page + 0x2D0 + 20 + 8), 63 * MIB);
    ck_assert_int_eq(memcmp(zero_page + 0x202, "HdrS", 4), 0);
    ck_assert_uint_eq(zero_page[0x202 + 0x6A], 0); /* not behind the header's own end */
    const struct boot_chunk *kernel = chunk_at(rig, BOOT_KERNEL_GPA);
    ck_assert_ptr_eq(kernel->bytes, rig->file + 0x800);
    ck_assert_uint_eq(kernel->size_bytes, KERNEL_BYTES - 0x800);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_LONG);
    ck_assert_uint_eq(rig->plan.entry, 0x100200);
    const uint8_t *pages = chunk_at(rig, BOOT_PAGES_GPA)->bytes;
    ck_assert_uint_eq(loader_u64(pages), BOOT_PAGES_GPA + 0x1003);
    ck_assert_uint_eq(loader_u64(pages + 0x1018), BOOT_PAGES_GPA + 0x5003);
    ck_assert_uint_eq(loader_u64(pages + 0x2000 + 8 * 2047), 0xFFE00083);
    rig->options.long_mode = false;
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_PROTECTED);
    ck_assert_uint_eq(rig->plan.entry, 0x100000);
    plan_rig_free(rig);
}
END_TEST

START_TEST(linux_under_firmware)
{
    struct plan_rig *rig = linux_rig();
    rig->options.firmware = true;
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_REAL);
    ck_assert_uint_eq(rig->plan.real_cs, 0x1020);
    ck_assert_uint_eq(rig->plan.entry, 0x10200);
    const struct boot_chunk *setup = chunk_at(rig, BOOT_PARAMS_GPA);
    ck_assert_uint_eq(setup->size_bytes, 0x800);
    ck_assert_uint_eq(setup->bytes[0x211], 0x81);
    plan_rig_free(rig);
}
END_TEST

START_TEST(linux_cut_off_anywhere)
{
    struct plan_rig *rig = linux_rig();
    for (size_t size = 0; size <= 0x800; size++) {
        if (size >= 0x200 && size < 0x206)
            continue;                             /* without its "HdrS" it is a fine boot sector */
        uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees any read behind the end */
        memcpy(exact, rig->file, size);
        rig->board.kernel = (struct board_blob){exact, size, "k"};
        ck_assert_int_ne(plan(rig), STATUS_OK);
        free(exact);
    }
    plan_rig_free(rig);
}
END_TEST

START_TEST(linux_bad_fields)
{
    static const struct {
        unsigned offset, size_bytes;
        uint64_t value;
        enum status status;
        const char *part;
    } bad[] = {
        {0x1F1, 1, 200, STATUS_CORRUPT, "offset 0x1f1 (setup_sects)"},
        {0x1FE, 2, 0x1234, STATUS_CORRUPT, "offset 0x1fe (boot_flag)"},
        {0x206, 2, 0x0201, STATUS_UNSUPPORTED, "offset 0x206 (version)"},
        {0x211, 1, 0, STATUS_UNSUPPORTED, "zImage"},
        {0x230, 4, 0x300000, STATUS_CORRUPT, "offset 0x230 (kernel_alignment)"},
        {0x230, 4, 0, STATUS_CORRUPT, "power of two"},
        {0x258, 8, 1ull << 40, STATUS_CORRUPT, "offset 0x258 (pref_address)"},
        {0x258, 8, 0xFFFFF000, STATUS_INVALID, "-m"},
        {0x260, 4, 0xFFFFFFFF, STATUS_INVALID, "offset 0x260 (init_size)"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct plan_rig *rig = linux_rig();
        put(rig->file + bad[i].offset, bad[i].value, bad[i].size_bytes);
        assert_refused(rig, bad[i].status, bad[i].part);
        ck_assert_ptr_nonnull(strstr(rig->error.text, "k: "));
        plan_rig_free(rig);
    }
}
END_TEST

START_TEST(linux_command_line_and_initrd_limits)
{
    struct plan_rig *rig = linux_rig();
    char *text = calloc(1, 70000);
    rig->board.append = memset(text, 'a', 2047);
    ck_assert_int_eq(plan(rig), STATUS_OK);
    text[2047] = 'a';
    assert_refused(rig, STATUS_INVALID, "2048 characters");
    put(rig->file + 0x238, 0xFFFFFFFF, 4); /* a kernel that claims to take any length */
    memset(text, 'a', 69999);
    assert_refused(rig, STATUS_INVALID, "65535");
    rig->board.append = NULL;
    /* Sizes alone decide: the bytes are not looked at. */
    rig->board.initrd = (struct board_blob){rig->file, 60 * MIB, "i"};
    assert_refused(rig, STATUS_INVALID, "i: 62914560 bytes");
    rig->board.initrd.size_bytes = 39 * MIB;
    ck_assert_int_eq(plan(rig), STATUS_OK);
    put(rig->file + 0x22C, 48 * MIB - 1, 4);
    assert_refused(rig, STATUS_INVALID, "i: ");
    rig->board.initrd.size_bytes = SIZE_MAX;
    assert_refused(rig, STATUS_INVALID, "i: ");
    free(text);
    plan_rig_free(rig);
}
END_TEST

/* ---- multiboot ---- */

START_TEST(multiboot_elf)
{
    static const uint8_t one[10] = {1}, two[20] = {2};
    struct plan_rig *rig = elf_rig();
    rig->board.append = "a b";
    rig->board.initrd = (struct board_blob){one, sizeof one, NULL};
    rig->board.modules[0] = (struct board_blob){two, sizeof two, NULL};
    rig->board.module_args[0] = "second x";
    rig->board.module_count = 1;
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_PROTECTED);
    ck_assert_uint_eq(rig->plan.entry, 0x200010);
    ck_assert_uint_eq(rig->plan.eax, 0x2BADB002);
    ck_assert_uint_eq(rig->plan.ebx, BOOT_PARAMS_GPA);
    ck_assert_ptr_eq(chunk_at(rig, 0x200000)->bytes, rig->file + 0x1000);
    ck_assert_ptr_null(chunk_at(rig, 0x200100)->bytes);
    ck_assert_uint_eq(chunk_at(rig, 0x200100)->size_bytes, 0x1F00);
    const uint8_t *info = chunk_at(rig, BOOT_PARAMS_GPA)->bytes;
    ck_assert_str_eq((const char *)chunk_at(rig, loader_u32(info + 16))->bytes, "kernel a b");
    ck_assert_uint_eq(loader_u32(info + 20), 2);
    const uint8_t *modules = chunk_at(rig, loader_u32(info + 24))->bytes;
    ck_assert_uint_eq(loader_u32(modules), 0x202000);
    ck_assert_uint_eq(loader_u32(modules + 4), 0x20200A);
    ck_assert_uint_eq(loader_u32(modules + 16), 0x203000);
    ck_assert_str_eq((const char *)chunk_at(rig, loader_u32(modules + 24))->bytes, "second x");
    ck_assert_uint_eq(loader_u32(info + 44), 48);
    const uint8_t *map = chunk_at(rig, loader_u32(info + 48))->bytes;
    ck_assert_uint_eq(loader_u32(map), 20);
    ck_assert_uint_eq(loader_u64(map + 24 + 4), 0x100000);
    plan_rig_free(rig);
}
END_TEST

START_TEST(multiboot_by_addresses)
{
    struct plan_rig *rig = elf_rig();
    set_multiboot_flags(rig, 0x10003);
    put(rig->file + 0x100C, 0x401000, 4); /* header_addr */
    put(rig->file + 0x1010, 0x400800, 4); /* load_addr: 0x800 before the header */
    put(rig->file + 0x1014, 0x401800, 4);
    put(rig->file + 0x1018, 0x402000, 4);
    put(rig->file + 0x101C, 0x401020, 4);
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_ptr_eq(chunk_at(rig, 0x400800)->bytes, rig->file + 0x800);
    ck_assert_uint_eq(chunk_at(rig, 0x400800)->size_bytes, 0x1000);
    ck_assert_uint_eq(chunk_at(rig, 0x401800)->size_bytes, 0x800);
    ck_assert_uint_eq(rig->plan.entry, 0x401020);
    put(rig->file + 0x1014, 0, 4); /* to the end of the file */
    put(rig->file + 0x1018, 0, 4);
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_uint_eq(chunk_at(rig, 0x400800)->size_bytes, KERNEL_BYTES - 0x800);
    put(rig->file + 0x1010, 0x10, 4);
    assert_refused(rig, STATUS_CORRUPT, "offset 0x100c (header_addr)");
    put(rig->file + 0x1010, 0x400800, 4);
    put(rig->file + 0x1014, 0x400000, 4);
    assert_refused(rig, STATUS_CORRUPT, "offset 0x1014 (load_end_addr)");
    put(rig->file + 0x1014, 0x500000, 4);
    assert_refused(rig, STATUS_CORRUPT, "(load_addr)");
    put(rig->file + 0x1014, 0, 4);
    put(rig->file + 0x1018, 0xFFFFFFFF, 4);
    assert_refused(rig, STATUS_INVALID, "(load_addr)");
    plan_rig_free(rig);
}
END_TEST

START_TEST(multiboot_bad_fields)
{
    static const struct {
        unsigned offset, size_bytes;
        uint64_t value;
        enum status status;
        const char *part;
    } bad[] = {
        {0, 4, 0x1234, STATUS_UNSUPPORTED, "not ELF"},
        {4, 1, 2, STATUS_UNSUPPORTED, "EI_CLASS"},
        {18, 2, 62, STATUS_UNSUPPORTED, "offset 0x12 (e_machine)"},
        {42, 2, 56, STATUS_CORRUPT, "offset 0x2a (e_phentsize)"},
        {44, 2, 0, STATUS_CORRUPT, "e_phoff"},
        {44, 2, 0xFFFF, STATUS_CORRUPT, "e_phoff"},
        {28, 4, 0xFFFFFFF0, STATUS_CORRUPT, "e_phoff"},
        {52, 4, 2, STATUS_CORRUPT, "none to load"},
        {56, 4, 0xFFFFFFFF, STATUS_CORRUPT, "offset 0x34 (program header)"},
        {68, 4, 0xFFFFFFFF, STATUS_CORRUPT, "offset 0x34 (program header)"},
        {72, 4, 0x10, STATUS_CORRUPT, "in memory"},
        {72, 4, 0xFFFFFFFF, STATUS_INVALID, "offset 0x34 (program header)"},
        {64, 4, 0x1000, STATUS_INVALID, "expected within"},
        {64, 4, 0xFFFFF000, STATUS_INVALID, "expected within"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct plan_rig *rig = elf_rig();
        put(rig->file + bad[i].offset, bad[i].value, bad[i].size_bytes);
        assert_refused(rig, bad[i].status, bad[i].part);
        plan_rig_free(rig);
    }
    struct plan_rig *rig = elf_rig();
    set_multiboot_flags(rig, 4);
    assert_refused(rig, STATUS_UNSUPPORTED, "video mode");
    set_multiboot_flags(rig, 0x100);
    assert_refused(rig, STATUS_UNSUPPORTED, "offset 0x1004 (flags)");
    plan_rig_free(rig);
}
END_TEST

START_TEST(multiboot_segments_without_end)
{
    struct plan_rig *rig = elf_rig();
    uint8_t *file = calloc(1, 0x40000);
    memcpy(file, rig->file, KERNEL_BYTES);
    put(file + 28, 0x2000, 4);
    put(file + 44, 4000, 2);
    for (unsigned i = 0; i < 4000; i++)
        memcpy(file + 0x2000 + 32 * i, rig->file + 52, 32);
    rig->board.kernel = (struct board_blob){file, 0x40000, "k"};
    assert_refused(rig, STATUS_UNSUPPORTED, "too many segments");
    free(file);
    plan_rig_free(rig);
}
END_TEST

START_TEST(multiboot_cut_off_anywhere)
{
    struct plan_rig *rig = elf_rig();
    for (size_t size = 0; size < 0x1100; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        memcpy(exact, rig->file, size);
        rig->board.kernel = (struct board_blob){exact, size, "k"};
        ck_assert_int_ne(plan(rig), STATUS_OK);
        free(exact);
    }
    plan_rig_free(rig);
}
END_TEST

/* As many modules as there may be fit into the plan. */
START_TEST(multiboot_all_modules)
{
    static const uint8_t bytes[1] = {1};
    struct plan_rig *rig = elf_rig();
    rig->board.initrd = (struct board_blob){bytes, 1, NULL};
    for (unsigned i = 0; i < 16; i++) {
        rig->board.modules[i] = (struct board_blob){bytes, 1, NULL};
        rig->board.module_args[i] = "m";
    }
    rig->board.module_count = 16;
    ck_assert_int_eq(plan(rig), STATUS_OK);
    plan_rig_free(rig);
}
END_TEST

/* ---- vmlinux ---- */

START_TEST(vmlinux_direct)
{
    static const uint8_t initrd[5000] = {7};
    struct plan_rig *rig = vmlinux_rig();
    rig->board.append = "console=ttyS0";
    rig->board.initrd = (struct board_blob){initrd, sizeof initrd, "i"};
    ck_assert_int_eq(plan(rig), STATUS_OK);
    const uint8_t *zero_page = chunk_at(rig, BOOT_PARAMS_GPA)->bytes;
    ck_assert_int_eq(memcmp(zero_page + 0x202, "HdrS", 4), 0);
    ck_assert_uint_eq(loader_u32(zero_page + 0x21C), sizeof initrd);
    uint64_t initrd_gpa = loader_u32(zero_page + 0x218);
    ck_assert_uint_ge(initrd_gpa, 0x1100040);
    ck_assert_uint_eq(chunk_at(rig, initrd_gpa)->size_bytes, sizeof initrd);
    ck_assert_uint_eq(chunk_at(rig, 0x1000000)->size_bytes, 0x100);
    ck_assert_ptr_eq(chunk_at(rig, 0x1000000)->bytes, rig->file + 0x1000);
    ck_assert_ptr_null(chunk_at(rig, 0x1000100)->bytes);
    ck_assert_uint_eq(chunk_at(rig, 0x1000100)->size_bytes, 0x1F00);
    ck_assert_uint_eq(chunk_at(rig, 0x1100000)->size_bytes, 0x40);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_LONG);
    ck_assert_uint_eq(rig->plan.entry, 0x1000070);
    ck_assert_uint_eq(rig->plan.rsi, BOOT_PARAMS_GPA);
    plan_rig_free(rig);
}
END_TEST

START_TEST(vmlinux_hostile)
{
    static const struct {
        unsigned offset, size_bytes;
        uint64_t value;
        enum status status;
        const char *part;
    } cases[] = {
        {54, 2, 32, STATUS_CORRUPT, "e_phentsize"},
        {56, 2, 0, STATUS_CORRUPT, "e_phnum"},
        {56, 2, 0xFFFF, STATUS_CORRUPT, "e_phnum"},
        {32, 8, KERNEL_BYTES - 8, STATUS_CORRUPT, "e_phoff"},
        {32, 8, UINT64_MAX - 8, STATUS_CORRUPT, "e_phoff"},
        {24, 8, 0x3000000, STATUS_CORRUPT, "e_entry"},
        {64 + 8, 8, UINT64_MAX - 4, STATUS_CORRUPT, "p_filesz"},
        {64 + 32, 8, KERNEL_BYTES, STATUS_CORRUPT, "p_filesz"},
        {64 + 40, 8, 0x80, STATUS_CORRUPT, "p_memsz"},
        {64 + 40, 8, UINT64_MAX, STATUS_INVALID, "p_paddr"},
        {64 + 24, 8, 0x1000, STATUS_INVALID, "p_paddr"},
        {64 + 24, 8, 0x100000000, STATUS_INVALID, "p_paddr"},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct plan_rig *rig = vmlinux_rig();
        put(rig->file + cases[n].offset, cases[n].value, cases[n].size_bytes);
        assert_refused(rig, cases[n].status, cases[n].part);
        plan_rig_free(rig);
    }
    struct plan_rig *rig = vmlinux_rig();
    rig->options.firmware = true;
    assert_refused(rig, STATUS_UNSUPPORTED, "without firmware");
    rig->options.firmware = rig->options.long_mode = false;
    assert_refused(rig, STATUS_UNSUPPORTED, "long mode");
    plan_rig_free(rig);
}
END_TEST

/* ---- boot sector, and what is nothing ---- */

START_TEST(boot_sector)
{
    struct plan_rig *rig = plan_rig();
    assert_refused(rig, STATUS_UNSUPPORTED, "not a kernel");
    put(rig->file + 510, 0xAA55, 2);
    ck_assert_int_eq(plan(rig), STATUS_OK);
    ck_assert_uint_eq(chunk_at(rig, 0x7C00)->size_bytes, KERNEL_BYTES);
    ck_assert_int_eq(rig->plan.mode, BOOT_MODE_REAL);
    rig->board.kernel.size_bytes = 0x90000;
    assert_refused(rig, STATUS_UNSUPPORTED, "at most");
    plan_rig_free(rig);
}
END_TEST

/* ---- on the board ---- */

static struct fake_machine *boot_rig(struct plan_rig *rig)
{
    enum status status;
    struct fake_machine *fake = board_test_create(64 * MIB, &rig->board, &status, &rig->error);
    ck_assert_msg(status == STATUS_OK, "%s", rig->error.text);
    machine_reset(fake->machine);
    return fake;
}

START_TEST(board_enters_long_mode)
{
    struct plan_rig *rig = linux_rig();
    struct fake_machine *fake = boot_rig(rig);
    struct cpu_state cpu;
    board_test_cpu(fake, &cpu);
    ck_assert_uint_eq(cpu.rip, 0x100200);
    ck_assert_uint_eq(cpu.gpr[CPU_RSI], BOOT_PARAMS_GPA);
    ck_assert_uint_eq(cpu.cr0 & 0x80000001, 0x80000001);
    ck_assert_uint_eq(cpu.efer, 0x500);
    ck_assert_uint_eq(cpu.segment[CPU_CS].attributes, 0xA09B);
    ck_assert_uint_eq(memory_read_u32(machine_memory(fake->machine), 0x100000), loader_u32(rig->file + 0x800));
    /* The PCI devices are where firmware would have put them. */
    ck_assert_uint_eq(fake_inl(fake, 0x608) >> 24, 0); /* the PM timer has 24 bits */
    ck_assert_uint_eq(fake_inb(fake, 0x4D1), 0x0E);
    struct board_screen screen;
    ck_assert_int_eq(board_pc_screen(fake->machine, &screen), STATUS_OK);
    ck_assert(screen.text);
    free(screen.pixels);
    free(screen.utf8);
    fake_machine_destroy(fake);
    plan_rig_free(rig);
}
END_TEST

START_TEST(board_starts_anew_at_each_reset)
{
    struct plan_rig *rig = elf_rig();
    struct fake_machine *fake = boot_rig(rig);
    uint64_t before = machine_digest_all(fake->machine);
    memory_write_u32(machine_memory(fake->machine), 0x200000, 0);
    memory_write_u32(machine_memory(fake->machine), 0x200200, 0xFFFF);
    ck_assert_uint_ne(machine_digest_all(fake->machine), before);
    machine_reset(fake->machine);
    ck_assert_uint_eq(machine_digest_all(fake->machine), before);
    fake_machine_destroy(fake);
    plan_rig_free(rig);
}
END_TEST

START_TEST(board_without_anything_to_boot)
{
    struct board_pc_options options = {0};
    enum status status;
    struct error error = {0};
    struct fake_machine *fake = board_test_create(MIB, &options, &status, &error);
    ck_assert_int_eq(status, STATUS_INVALID);
    fake_machine_destroy(fake);
}
END_TEST

RIG_MAIN("loader", linux_direct, linux_under_firmware, linux_cut_off_anywhere, linux_bad_fields,
         linux_command_line_and_initrd_limits, multiboot_elf, multiboot_by_addresses, multiboot_bad_fields,
         multiboot_segments_without_end, multiboot_cut_off_anywhere, multiboot_all_modules, vmlinux_direct, vmlinux_hostile, boot_sector,
         board_enters_long_mode, board_starts_anew_at_each_reset, board_without_anything_to_boot)
