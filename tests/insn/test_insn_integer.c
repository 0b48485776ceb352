/* The integer and branch rows against the host's CPU, in 64-, 32- and 16-bit code. */
#include "accel-interp/opcodes.h"
#include "tests/insn/native.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Port I/O needs IOPL: at CPL 3 it faults on both sides. test_port_io has what it does otherwise. */
static bool always_faults(const struct opcode_row *row)
{
    return !strcmp(row->mnemonic, "IN") || !strcmp(row->mnemonic, "OUT") || !strcmp(row->mnemonic, "INS") ||
           !strcmp(row->mnemonic, "OUTS");
}

/* A 64-bit MOVBE store with a 66 prefix, which REX.W makes void, goes byte by byte on this CPU: those before a page that faults
 * are stored. Such a case becomes a NOP. */
static void avoid_half_store(struct native_case *c)
{
    const uint64_t end = NATIVE_DATA + NATIVE_DATA_BYTES;

    if (strcmp(c->row->mnemonic, "MOVBE") || !memchr(c->code, 0x66, c->length) || c->target > end ||
        c->target + 8 <= end)
        return;
    memset(c->code, 0x66, c->length);
    c->code[c->length - 1] = 0x90;
    c->memory = false;
}

static const struct native_profile *integer_profile(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    profile = (struct native_profile){.bits = bits, .faults = always_faults(row), .prepare = avoid_half_store};
    return &profile;
}

static struct native_harness *harness;

START_TEST(integer_64)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_INTEGER, 64, integer_profile), 0);
}
END_TEST

START_TEST(integer_32)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_INTEGER, 32, integer_profile), 0);
}
END_TEST

/* Segments' ends are another matter: 16-bit branches are tests/accel-interp's. */
START_TEST(integer_16)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_INTEGER, 16, integer_profile), 0);
}
END_TEST

/* A branch out of the code faults at its target on the host; the interpreter has stopped before that step. */
static void branch_normalise(const struct native_case *c, struct native_state *host, struct native_state *interp)
{
    (void)c;
    (void)interp;
    if (host->vector == EXC_PF && (host->error & 0x10)) {
        host->vector = -1;
        host->error = 0;
        host->cr2 = 0;
    }
}

static const struct native_profile *branch_profile(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    (void)row;
    profile = (struct native_profile){.bits = bits, .normalise = branch_normalise};
    return &profile;
}

START_TEST(branch_64)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_BRANCH, 64, branch_profile), 0);
}
END_TEST

START_TEST(branch_32)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_BRANCH, 32, branch_profile), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("insn_integer");
    TCase *tcase = tcase_create("native");

    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, integer_64);
    tcase_add_test(tcase, integer_32);
    tcase_add_test(tcase, integer_16);
    tcase_add_test(tcase, branch_64);
    tcase_add_test(tcase, branch_32);
    harness = native_create();
    int status = run_suite(suite, CK_NOFORK);
    native_destroy(harness);
    return status;
}
