/* The kernel's ways into the machine, run on the interpreter: each kind of kernel straight from the board and through
 * Debian's SeaBIOS with the option ROM. The kernels print what they were given to the debug port and leave by
 * isa-debug-exit. Skipped under firmware where there is no SeaBIOS. */
#include "accel-interp/accel_interp.h"
#include "devices/board_pc.h"
#include "devices/loader.h"
#include "tests/devices/device_test.h"

#include <stdio.h>

#define MIB (1ull << 20)
#define BIOS_PATH "/usr/share/seabios/bios-256k.bin"
#define LIMIT ((struct position){400000000, VTIME_NEVER})

/* cmp eax, 2BADB002; jne exit; prints the string at [ebx+16], '0' + mods_count, the first byte of the first module, '0' +
 * the type of each memory map entry; exit: out 0F4h, 15h. */
static const uint8_t multiboot_code[] = {
    0x3d, 0x02, 0xb0, 0xad, 0x2b, 0x75, 0x36, 0xba, 0xe9, 0x00, 0x00, 0x00, 0x8b, 0x73, 0x10, 0xac, 0x84,
    0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0x8a, 0x43, 0x14, 0x04, 0x30, 0xee, 0x8b, 0x73, 0x18, 0x8b, 0x36,
    0xac, 0xee, 0x8b, 0x73, 0x30, 0x8b, 0x7b, 0x2c, 0x01, 0xf7, 0x39, 0xfe, 0x73, 0x0d, 0x8a, 0x46, 0x14,
    0x04, 0x30, 0xee, 0x03, 0x36, 0x83, 0xc6, 0x04, 0xeb, 0xef, 0xb0, 0x15, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd};
/* Real mode: prints the string at cmd_line_ptr, the low byte of ramdisk_size, DS; out 0F4h, 15h. */
static const uint8_t setup_code[] = {0xba, 0xe9, 0x00, 0x66, 0xa1, 0x28, 0x02, 0x66, 0xc1, 0xe8, 0x04,
                                     0x8e, 0xe0, 0x31, 0xf6, 0x64, 0x8a, 0x04, 0x46, 0x84, 0xc0, 0x74,
                                     0x03, 0xee, 0xeb, 0xf5, 0xa0, 0x1c, 0x02, 0xee, 0x1e, 0x58, 0xee,
                                     0x88, 0xe0, 0xee, 0xb0, 0x15, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd};
/* Prints DL and the string at 7C40h; out 0F4h, 15h. */
static const uint8_t sector_code[] = {0x88, 0xd0, 0xba, 0xe9, 0x00, 0xee, 0xbe, 0x40, 0x7c, 0xac, 0x84, 0xc0,
                                      0x74, 0x03, 0xee, 0xeb, 0xf8, 0xb0, 0x15, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd};

struct boot_rig {
    struct board_pc_options board;
    struct fake_machine fake;
    uint8_t kernel[0x1000];
    uint8_t *bios;
    char printed[4096];
    size_t printed_count;
};

static void keep_print(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct boot_rig *rig = opaque;
    for (size_t i = 0; i < size_bytes && rig->printed_count < sizeof rig->printed - 1; i++)
        rig->printed[rig->printed_count++] = (char)bytes[i];
}

static struct boot_rig *boot_rig(void)
{
    struct boot_rig *rig = calloc(1, sizeof *rig);
    ck_assert_ptr_nonnull(rig);
    rig->board.kernel = (struct board_blob){rig->kernel, sizeof rig->kernel, NULL};
    rig->board.append = "some arguments";
    return rig;
}

static bool use_bios(struct boot_rig *rig)
{
    FILE *file = fopen(BIOS_PATH, "rb");
    if (!file) {
        fprintf(stderr, "skipped: no %s\n", BIOS_PATH);
        return false;
    }
    rig->bios = malloc(1 << 20);
    size_t size = fread(rig->bios, 1, 1 << 20, file);
    fclose(file);
    rig->board.bios = (struct board_blob){rig->bios, size, NULL};
    return true;
}

/* To the kernel's exit. What it printed stands behind SeaBIOS's own messages. */
static const char *run(struct boot_rig *rig)
{
    struct error error = {0};
    struct machine_options machine = {.ram_bytes = 32 * MIB, .no_reboot = true};
    rig->fake.mailbox = input_mailbox_create();
    rig->fake.input = input_live_create(&(struct input_live_options){.mailbox = rig->fake.mailbox});
    machine.input = rig->fake.input;
    ck_assert_int_eq(cpu_model_init(&machine.cpu, "vmrr", &error), STATUS_OK);
    rig->fake.machine = machine_create(&machine, &error);
    ck_assert_ptr_nonnull(rig->fake.machine);
    struct accel *accel = interp_create(rig->fake.machine, &(struct interp_options){0}, &error);
    ck_assert_ptr_nonnull(accel);
    machine_set_accel(rig->fake.machine, accel);
    rig->board.debugcon = (struct char_sink){keep_print, rig};
    ck_assert_msg(board_pc_create(rig->fake.machine, &rig->board, &error) == STATUS_OK, "%s", error.text);
    machine_reset(rig->fake.machine);
    ck_assert_int_eq(machine_run(rig->fake.machine, LIMIT), MACHINE_STOP_DEBUG_EXIT);
    ck_assert_int_eq(machine_exit_code(rig->fake.machine), 0x15 << 1 | 1);
    return rig->printed;
}

static void boot_rig_free(struct boot_rig *rig)
{
    machine_destroy(rig->fake.machine);
    input_destroy(rig->fake.input);
    input_mailbox_destroy(rig->fake.mailbox);
    free(rig->bios);
    free(rig);
}

static void assert_ends(const struct boot_rig *rig, const char *expected, size_t bytes)
{
    ck_assert_uint_ge(rig->printed_count, bytes);
    const char *end = rig->printed + rig->printed_count - bytes;
    ck_assert_msg(!memcmp(end, expected, bytes), "\"%.*s\"", (int)bytes, end);
}

/* ---- kernels ---- */

static void put_multiboot(struct boot_rig *rig)
{
    static const uint8_t module[] = "Module";
    uint8_t *f = rig->kernel;
    loader_put(f, 0x1BADB002, 4);
    loader_put(f + 4, 0x10003, 4);
    loader_put(f + 8, (uint32_t) - (0x1BADB002 + 0x10003), 4);
    loader_put(f + 12, 0x100000, 4);
    loader_put(f + 16, 0x100000, 4);
    loader_put(f + 24, 0x110000, 4); /* zeros behind the file */
    loader_put(f + 28, 0x100040, 4);
    memcpy(f + 0x40, multiboot_code, sizeof multiboot_code);
    rig->board.initrd = (struct board_blob){module, sizeof module, NULL};
}

static void put_linux(struct boot_rig *rig)
{
    static const uint8_t initrd[0x541];
    uint8_t *f = rig->kernel;
    f[0x1F1] = 1;
    loader_put(f + 0x1FE, 0xAA55, 2);
    loader_put(f + 0x200, 0x7EEB, 2); /* jmp 280h */
    memcpy(f + 0x202, "HdrS", 4);
    loader_put(f + 0x206, 0x0208, 2);
    f[0x211] = 1;
    loader_put(f + 0x22C, 0x7FFFFFFF, 4);
    loader_put(f + 0x238, 255, 4);
    memcpy(f + 0x280, setup_code, sizeof setup_code);
    memcpy(f + 0x400, "protected-mode part", 19);
    rig->board.initrd = (struct board_blob){initrd, sizeof initrd, NULL};
}

static void put_sector(struct boot_rig *rig)
{
    rig->board.kernel.size_bytes = 512;
    memcpy(rig->kernel, sector_code, sizeof sector_code);
    strcpy((char *)rig->kernel + 0x40, "sector");
    loader_put(rig->kernel + 510, 0xAA55, 2);
}

START_TEST(multiboot_direct)
{
    struct boot_rig *rig = boot_rig();
    put_multiboot(rig);
    ck_assert_str_eq(run(rig), "kernel some arguments1M12213");
    boot_rig_free(rig);
}
END_TEST

START_TEST(multiboot_under_firmware)
{
    struct boot_rig *rig = boot_rig();
    put_multiboot(rig);
    if (!use_bios(rig)) {
        free(rig);
        return;
    }
    run(rig);
    /* The map is SeaBIOS's: low memory, EBDA, F segment, RAM, its tables, the ROM below 4 GiB. */
    assert_ends(rig, "kernel some arguments1M122122", 29);
    struct memory *memory = machine_memory(rig->fake.machine);
    uint32_t upper = memory_read_u32(memory, BOOT_PARAMS_GPA + 8);
    ck_assert_uint_eq(memory_read_u32(memory, BOOT_PARAMS_GPA + 4), 639);
    ck_assert_uint_gt(upper, 30 << 10);
    ck_assert_uint_le(upper, 31 << 10);
    boot_rig_free(rig);
}
END_TEST

START_TEST(linux_under_firmware)
{
    struct boot_rig *rig = boot_rig();
    char bytes[20];
    put_linux(rig);
    if (!use_bios(rig)) {
        free(rig);
        return;
    }
    run(rig);
    assert_ends(rig, "some arguments\x41\x00\x10", 17);
    memory_read(machine_memory(rig->fake.machine), 0x100000, bytes, 19);
    ck_assert_int_eq(memcmp(bytes, "protected-mode part", 19), 0);
    boot_rig_free(rig);
}
END_TEST

START_TEST(sector_direct)
{
    struct boot_rig *rig = boot_rig();
    put_sector(rig);
    ck_assert_str_eq(run(rig), "\x80sector");
    boot_rig_free(rig);
}
END_TEST

START_TEST(sector_under_firmware)
{
    struct boot_rig *rig = boot_rig();
    put_sector(rig);
    if (!use_bios(rig)) {
        free(rig);
        return;
    }
    run(rig);
    assert_ends(rig, "\x80sector", 7);
    boot_rig_free(rig);
}
END_TEST

RIG_MAIN("boot_paths", multiboot_direct, multiboot_under_firmware, linux_under_firmware, sector_direct,
         sector_under_firmware)
