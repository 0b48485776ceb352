/* ACPI and SMBIOS tables as they lie in memory after a boot without firmware: the pointers lead from table to table, every
 * checksum holds, the addresses are those of the board, and iasl disassembles every table. */
#include "tests/devices/board_test.h"

#include <stdio.h>
#include <unistd.h>

#define RAM_BYTES (64ull << 20)

static uint8_t boot_sector[512] = {[510] = 0x55, [511] = 0xAA};

struct table {
    char signature[5];
    uint8_t bytes[16384];
    uint32_t size_bytes;
};

static struct fake_machine *boot(uint64_t ram_bytes)
{
    struct board_pc_options options = {.kernel = {boot_sector, sizeof boot_sector, NULL}};
    enum status status;
    struct error error = {0};
    struct fake_machine *fake = board_test_create(ram_bytes, &options, &status, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.text);
    machine_reset(fake->machine);
    return fake;
}

static void read_table(struct fake_machine *fake, uint64_t gpa, struct table *table)
{
    struct memory *memory = machine_memory(fake->machine);
    memset(table, 0, sizeof *table);
    table->size_bytes = memory_read_u32(memory, gpa + 4);
    ck_assert_uint_ge(table->size_bytes, 36);
    ck_assert_uint_lt(table->size_bytes, sizeof table->bytes);
    memory_read(memory, gpa, table->bytes, table->size_bytes);
    memcpy(table->signature, table->bytes, 4);
    if (strcmp(table->signature, "FACS"))
        ck_assert_msg(board_test_sum(table->bytes, table->size_bytes) == 0, "checksum of %s", table->signature);
}

static uint64_t find_rsdp(struct fake_machine *fake, uint8_t rsdp[36])
{
    for (uint64_t gpa = 0xE0000; gpa < 0x100000; gpa += 16) {
        memory_read(machine_memory(fake->machine), gpa, rsdp, 36);
        if (!memcmp(rsdp, "RSD PTR ", 8))
            return gpa;
    }
    return 0;
}

/* Calls visit with each table that XSDT and FADT lead to. */
static unsigned each_table(struct fake_machine *fake, void (*visit)(const struct table *table, void *opaque),
                           void *opaque)
{
    uint8_t rsdp[36];
    struct table *xsdt = malloc(sizeof *xsdt), *rsdt = malloc(sizeof *rsdt), *table = malloc(sizeof *table);
    ck_assert(find_rsdp(fake, rsdp) != 0);
    ck_assert_uint_eq(board_test_sum(rsdp, 20), 0);
    ck_assert_uint_eq(board_test_sum(rsdp, 36), 0);
    read_table(fake, board_test_le(rsdp + 16, 4), rsdt);
    read_table(fake, board_test_le(rsdp + 24, 8), xsdt);
    ck_assert_str_eq(rsdt->signature, "RSDT");
    ck_assert_str_eq(xsdt->signature, "XSDT");
    unsigned count = (xsdt->size_bytes - 36) / 8;
    ck_assert_uint_eq((rsdt->size_bytes - 36) / 4, count);
    visit(rsdt, opaque);
    visit(xsdt, opaque);
    for (unsigned i = 0; i < count; i++) {
        uint64_t gpa = board_test_le(xsdt->bytes + 36 + 8 * i, 8);
        ck_assert_uint_eq(board_test_le(rsdt->bytes + 36 + 4 * i, 4), gpa);
        read_table(fake, gpa, table);
        visit(table, opaque);
        if (!strcmp(table->signature, "FACP")) {
            struct table *inner = malloc(sizeof *inner);
            read_table(fake, board_test_le(table->bytes + 40, 4), inner);
            ck_assert_uint_eq(board_test_le(table->bytes + 140, 8), board_test_le(table->bytes + 40, 4));
            visit(inner, opaque);
            read_table(fake, board_test_le(table->bytes + 36, 4), inner);
            visit(inner, opaque);
            free(inner);
        }
    }
    free(xsdt);
    free(rsdt);
    free(table);
    return count;
}

static void note(const struct table *table, void *opaque)
{
    strcat(opaque, table->signature);
    strcat(opaque, " ");
}

START_TEST(tables_are_linked_and_sum_to_zero)
{
    char seen[128] = "";
    struct fake_machine *fake = boot(RAM_BYTES);
    each_table(fake, note, seen);
    ck_assert_str_eq(seen, "RSDT XSDT FACP DSDT FACS APIC HPET WAET ");
    fake_machine_destroy(fake);
}
END_TEST

static void check_values(const struct table *table, void *opaque)
{
    unsigned *checked = opaque;
    const uint8_t *t = table->bytes;
    if (!strcmp(table->signature, "FACP")) {
        ck_assert_uint_eq(board_test_le(t + 46, 2), 9);
        ck_assert_uint_eq(board_test_le(t + 48, 4), 0xB2);
        ck_assert_uint_eq(board_test_le(t + 56, 4), 0x600);
        ck_assert_uint_eq(board_test_le(t + 64, 4), 0x604);
        ck_assert_uint_eq(board_test_le(t + 76, 4), 0x608);
        ck_assert_uint_eq(board_test_le(t + 120, 8), 0xCF9);
        ++*checked;
    } else if (!strcmp(table->signature, "APIC")) {
        ck_assert_uint_eq(board_test_le(t + 36, 4), 0xFEE00000);
        unsigned overrides = 0, at = 44;
        for (; at < table->size_bytes; at += t[at + 1]) {
            ck_assert_uint_gt(t[at + 1], 1);
            if (t[at] == 1)
                ck_assert_uint_eq(board_test_le(t + at + 4, 4), 0xFEC00000);
            if (t[at] == 2 && t[at + 3] == 0)
                ck_assert_uint_eq(board_test_le(t + at + 4, 4), 2);
            if (t[at] == 2 && t[at + 3] == 9)
                ck_assert_uint_eq(board_test_le(t + at + 8, 2), 0x0D);
            overrides += t[at] == 2;
        }
        ck_assert_uint_eq(at, table->size_bytes);
        ck_assert_uint_eq(overrides, 5);
        ++*checked;
    } else if (!strcmp(table->signature, "HPET")) {
        ck_assert_uint_eq(board_test_le(t + 44, 8), 0xFED00000);
        ++*checked;
    }
}

START_TEST(values_are_those_of_the_board)
{
    unsigned checked = 0;
    struct fake_machine *fake = boot(RAM_BYTES);
    each_table(fake, check_values, &checked);
    ck_assert_uint_eq(checked, 3);
    /* The ports that the FADT names answer. */
    ck_assert_uint_eq(fake_inw(fake, 0x604) & 0xC000, 0);
    fake_outb(fake, 0xB2, 0xF1);
    ck_assert_uint_eq(fake_inw(fake, 0x604) & 1, 1);
    ck_assert_uint_eq(bus_mmio_read(machine_bus(fake->machine), 0xFED00000, 4), 0x8086A201);
    fake_machine_destroy(fake);
}
END_TEST

static void disassemble(const struct table *table, void *opaque)
{
    const char *directory = opaque;
    char path[256], command[768];
    if (!strcmp(table->signature, "FACS"))
        return; /* iasl wants the hardware signature's table with it */
    snprintf(path, sizeof path, "%s/%s.aml", directory, table->signature);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(table->bytes, 1, table->size_bytes, file), table->size_bytes);
    ck_assert_int_eq(fclose(file), 0);
    snprintf(
        command, sizeof command,
        "cd %s && iasl -d %s.aml > %s.log 2>&1 && test -s %s.dsl && ! grep -qiE 'error|invalid|warning' %s.log %s.dsl",
        directory, table->signature, table->signature, table->signature, table->signature, table->signature);
    ck_assert_msg(system(command) == 0, "iasl -d refuses %s", path);
}

START_TEST(iasl_disassembles_them)
{
    char directory[] = "/tmp/vmrr-acpi-XXXXXX", command[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    struct fake_machine *fake = boot(RAM_BYTES);
    each_table(fake, disassemble, directory);
    fake_machine_destroy(fake);
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(smbios_anchor_and_structures)
{
    struct fake_machine *fake = boot(RAM_BYTES);
    struct memory *memory = machine_memory(fake->machine);
    uint8_t anchor[31], tables[2048];
    uint64_t gpa = 0xF0000;
    do {
        memory_read(memory, gpa, anchor, sizeof anchor);
        gpa += 16;
    } while (memcmp(anchor, "_SM_", 4) && gpa < 0x100000);
    ck_assert_int_eq(memcmp(anchor, "_SM_", 4), 0);
    ck_assert_uint_eq(board_test_sum(anchor, 31), 0);
    ck_assert_uint_eq(board_test_sum(anchor + 16, 15), 0);
    uint64_t length = board_test_le(anchor + 22, 2);
    ck_assert_uint_lt(length, sizeof tables);
    memory_read(memory, board_test_le(anchor + 24, 4), tables, length);
    unsigned count = 0;
    uint64_t at = 0;
    int last = -1;
    while (at < length) {
        last = tables[at];
        at += tables[at + 1];
        while (tables[at] || tables[at + 1])
            at++;
        at += 2;
        count++;
    }
    ck_assert_uint_eq(at, length);
    ck_assert_uint_eq(count, board_test_le(anchor + 28, 2));
    ck_assert_int_eq(last, 127);
    fake_machine_destroy(fake);
}
END_TEST

START_TEST(same_options_same_memory)
{
    struct fake_machine *a = boot(RAM_BYTES), *b = boot(RAM_BYTES);
    ck_assert_uint_eq(machine_digest_all(a->machine), machine_digest_all(b->machine));
    fake_machine_destroy(a);
    fake_machine_destroy(b);
}
END_TEST

RIG_MAIN("acpi", tables_are_linked_and_sum_to_zero, values_are_those_of_the_board, iasl_disassembles_them,
         smbios_anchor_and_structures, same_options_same_memory)
