/* The vmlinux inside a bzImage in each packing, RDTSC replaced in it; what hostile files get is fuzz_kernel's. The packed files
 * are those of tests/fuzz/seeds_kernel.py. */
#include "tools/kernel_unpack.h"

#include "core/machine.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 65536

static char directory[] = "/tmp/vmrr-kernel-XXXXXX";

static void make_files(void)
{
    char command[256];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(command, sizeof command, "python3 %s/tests/fuzz/seeds_kernel.py %s", VMRR_SOURCE, directory);
    ck_assert_int_eq(system(command), 0);
}

static void remove_files(void)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static struct journal_blob file(const char *name)
{
    char path[128];
    struct journal_blob blob = {malloc(FILE_MAX), 0};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *in = fopen(path, "rb");
    ck_assert_ptr_nonnull(in);
    blob.size_bytes = fread(blob.bytes, 1, FILE_MAX, in);
    fclose(in);
    return blob;
}

START_TEST(every_packing)
{
    static const char *const names[] = {"gzip", "xz", "zstd", "lz4"};
    struct journal_blob plain = file("elf");
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct error error = {{0}};
        struct journal_blob kernel = file(names[n]);
        ck_assert_msg(kernel_unpack(&kernel, names[n], &error) == STATUS_OK, "%s", error.text);
        ck_assert_uint_eq(kernel.size_bytes, plain.size_bytes);
        ck_assert_mem_eq(kernel.bytes, plain.bytes, plain.size_bytes);
        free(kernel.bytes);
    }
    free(plain.bytes);
}
END_TEST

START_TEST(damaged_payload)
{
    static const char *const names[] = {"gzip", "xz", "zstd", "lz4"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct error error = {{0}};
        struct journal_blob kernel = file(names[n]);
        kernel.bytes[kernel.size_bytes - 4] ^= 1; /* the unpacked size */
        ck_assert_int_eq(kernel_unpack(&kernel, names[n], &error), STATUS_CORRUPT);
        ck_assert_ptr_nonnull(strstr(error.text, "offset 0x400 (payload)"));
        free(kernel.bytes);
    }
}
END_TEST

/* Code: NOP; RDTSC; RDRAND RAX; RDSEED RCX; MOV EAX, 310Fh; RET. The constant is no instruction. */
START_TEST(replaced)
{
    static const uint8_t expected[] = {0x90, 0xE5, 0xE0, 0xF8, 0x90, 0x90, 0x90, 0xF8, 0x90,
                                       0x90, 0x90, 0xB8, 0x0F, 0x31, 0x00, 0x00, 0xC3};
    struct error error = {{0}};
    struct journal_blob kernel = file("elf");
    uint64_t *sites;
    uint32_t count;
    ck_assert_msg(kernel_trap_tsc(&kernel, "elf", &sites, &count, &error) == STATUS_OK, "%s", error.text);
    ck_assert_mem_eq(kernel.bytes + 0x100, expected, sizeof expected);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(sites[0], 0xFFFFFFFF81000001);
    ck_assert_uint_eq(sites[1], 0xFFFFFFFF81000003);
    ck_assert_uint_eq(sites[2], 0xFFFFFFFF81000007);
    free(sites);
    sites = NULL;
    ck_assert_int_eq(kernel_trap_tsc(&kernel, "elf", &sites, &count, &error), STATUS_NOT_FOUND);
    ck_assert_ptr_null(sites);
    free(kernel.bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel_unpack");
    TCase *tcase = tcase_create("all");
    tcase_add_unchecked_fixture(tcase, make_files, remove_files);
    tcase_add_test(tcase, every_packing);
    tcase_add_test(tcase, damaged_payload);
    tcase_add_test(tcase, replaced);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
