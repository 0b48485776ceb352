/* Memory-mapped I/O in every instruction form: each row of the table, with its memory operand (or stack, or strings) in a page
 * that is a device, in one that begins in RAM and ends in a device, and the other way round, gives what it gives in RAM, faults
 * included; what the device sees is the same each time, in sizes that a bus has, and no byte of an operand is read or written
 * twice. In 16-, 32- and 64-bit code; the instruction stands in a block with the one that follows it. */
#include "accel-interp/opcodes.h"
#include "tools/fuzz/native_internal.h"
#include "tests/support/quiet_check.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITERATIONS = 24, FAILURES_MAX = 3 };

static struct native_harness *harness;

static void setup(void)
{
    harness = native_create();
}
static void teardown(void)
{
    native_destroy(harness);
}

static bool in_list(const char *name, const char *list)
{
    size_t length = strlen(name);

    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ' ' || !at[length]))
            return true;
    return false;
}

/* Results that depend on when; what leaves the program. */
static bool excluded(const struct opcode_row *row)
{
    return in_list(row->mnemonic, "RDTSC RDTSCP RDRAND RDSEED SYSCALL SYSENTER");
}

/* Operands that may overlap: strings of overlapping memory, gathers of equal indices; ENTER reads what it has pushed; images are
 * read for their header and written. */
static bool may_repeat(const struct opcode_row *row)
{
    return native_is_vsib(row) || strpbrk(row->operands, "XY") != NULL ||
           in_list(row->mnemonic, "ENTER MASKMOVDQU VMASKMOVDQU MASKMOVQ XRSTOR XRSTORS");
}

static bool sane_sizes(const struct native_accesses *log)
{
    for (unsigned n = 0; n < log->count && n < NATIVE_ACCESSES_MAX; n++) {
        const struct native_access *a = &log->access[n];
        bool size = a->size_bytes == 1 || a->size_bytes == 2 || a->size_bytes == 4 || a->size_bytes == 8;
        if (!size || (a->address & 0xFFF) + a->size_bytes > 0x1000)
            return false;
    }
    return true;
}

static bool each_byte_once(const struct native_accesses *log)
{
    static uint8_t seen[2][NATIVE_DATA_BYTES];

    memset(seen, 0, sizeof seen);
    for (unsigned n = 0; n < log->count && n < NATIVE_ACCESSES_MAX; n++) {
        const struct native_access *a = &log->access[n];
        for (unsigned byte = 0; byte < a->size_bytes; byte++)
            if (seen[a->write][a->address - NATIVE_DATA + byte]++)
                return false;
    }
    return true;
}

static bool same_state(const struct native_state *a, const struct native_state *b)
{
    return !memcmp(a->gpr, b->gpr, sizeof a->gpr) && a->rip == b->rip && a->rflags == b->rflags &&
           a->vector == b->vector && a->error == b->error && a->cr2 == b->cr2 && !memcmp(a->fx, b->fx, sizeof a->fx) &&
           !memcmp(a->high, b->high, sizeof a->high);
}

static bool same_accesses(const struct native_accesses *a, const struct native_accesses *b)
{
    unsigned count = a->count < NATIVE_ACCESSES_MAX ? a->count : NATIVE_ACCESSES_MAX;

    if (a->count != b->count)
        return false;
    for (unsigned n = 0; n < count; n++) {
        const struct native_access *x = &a->access[n], *y = &b->access[n];
        if (x->address != y->address || x->value != y->value || x->size_bytes != y->size_bytes || x->write != y->write)
            return false;
    }
    return true;
}

static void print_accesses(const struct native_accesses *log)
{
    for (unsigned n = 0; n < log->count && n < 12; n++)
        fprintf(stderr, "      %s %u at %llx: %llx\n", log->access[n].write ? "write" : "read",
                log->access[n].size_bytes, (unsigned long long)log->access[n].address,
                (unsigned long long)log->access[n].value);
}

static bool complain(const struct native_case *c, unsigned devices, const char *what, const struct native_state *memory,
                     const struct native_state *device, const struct native_accesses *log)
{
    fprintf(stderr, "  %u-bit", c->bits);
    for (unsigned n = 0; n < c->length; n++)
        fprintf(stderr, " %02x", c->code[n]);
    fprintf(stderr, "  %s %s (%s), devices %x: %s; vector %d, in RAM %d\n", c->row->mnemonic, c->row->operands,
            native_row_place(c->row), devices, what, device->vector, memory->vector);
    print_accesses(log);
    return false;
}

static bool in_data(const struct native_state *state)
{
    return state->rip - NATIVE_DATA < NATIVE_DATA_BYTES;
}

static bool check_case(const struct native_case *c, unsigned devices, unsigned *touched)
{
    static uint8_t memory_data[NATIVE_DATA_BYTES], device_data[NATIVE_DATA_BYTES];
    static struct native_accesses none, log, again;
    struct native_state memory, device;

    native_run_devices(harness, c, 0, &memory, memory_data, &none);
    native_run_devices(harness, c, devices, &device, device_data, &log);
    *touched += log.count != 0;
    if (in_data(&memory) || in_data(&device)) /* code in a device reads as ones */
        return true;
    if (!same_state(&memory, &device))
        return complain(c, devices, "another state", &memory, &device, &log);
    if (memcmp(memory_data, device_data, NATIVE_DATA_BYTES))
        return complain(c, devices, "other memory", &memory, &device, &log);
    if (!sane_sizes(&log))
        return complain(c, devices, "not a bus access", &memory, &device, &log);
    if (!may_repeat(c->row) && !each_byte_once(&log))
        return complain(c, devices, "a byte twice", &memory, &device, &log);
    native_run_devices(harness, c, devices, &device, device_data, &again);
    return same_accesses(&log, &again) || complain(c, devices, "other accesses again", &memory, &device, &again);
}

static unsigned check_row(const struct opcode_row *row, unsigned bits, unsigned *touched)
{
    static struct native_case c;
    struct native_profile profile = {.bits = bits};
    unsigned failed = 0;

    for (unsigned n = 0; n < ITERATIONS && failed < FAILURES_MAX; n++) {
        static const unsigned devices[] = {0xF, 0x5, 0xA};
        if (!native_generate(&c, row, &profile, native_seed(row, n)))
            continue;
        failed += !check_case(&c, devices[n % 3], touched);
    }
    return failed;
}

START_TEST(every_row)
{
    static const unsigned modes[] = {64, 32, 16};
    unsigned failed = 0, rows = 0, untouched = 0;

    for (unsigned n = 0; n < opcode_rows_count; n++) {
        const struct opcode_row *row = &opcode_rows[n];
        unsigned touched = 0;

        if (excluded(row) || !native_has_feature(harness, row->feature))
            continue;
        failed += check_row(row, modes[_i], &touched);
        rows += touched != 0;
        untouched += !touched;
    }
    fprintf(stderr, "%u-bit code: %u rows touched a device, %u did not\n", modes[_i], rows, untouched);
    ck_assert_uint_eq(failed, 0);
    ck_assert_uint_ge(rows, 600);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory-mapped I/O in every form");
    TCase *tcase = tcase_create("rows");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, every_row, 0, 3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
