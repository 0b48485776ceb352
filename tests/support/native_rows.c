/* The native instruction check: rows and groups of rows; what is skipped and why. */
#include "tests/insn/native.h"
#include "tools/fuzz/native_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- running --------------------------------------------------------------------------------------------------- */

/* VMRR_INSN_ITERATIONS=COUNT or FROM:COUNT */
static void iterations_of(const struct native_profile *profile, unsigned *from, unsigned *count)
{
    const char *text = getenv("VMRR_INSN_ITERATIONS");
    char *end;

    *from = 0;
    *count = profile->iterations ? profile->iterations : 200;
    if (!text)
        return;
    *count = (unsigned)strtoul(text, &end, 10);
    if (*end == ':') {
        *from = *count;
        *count = (unsigned)strtoul(end + 1, NULL, 10);
    }
}

unsigned native_check_row(struct native_harness *h, const struct opcode_row *row, const struct native_profile *profile,
                          unsigned *executed)
{
    static struct native_case c;
    unsigned failed = 0, from, count;
    struct native_state out;

    *executed = 0;
    iterations_of(profile, &from, &count);
    for (unsigned n = from; n < from + count && failed < 3; n++) {
        if (!native_generate(&c, row, profile, native_seed(row, n)) || native_host_lacks_case(h, &c))
            continue;
        failed += !native_check_case(h, &c, profile, &out);
        *executed += out.vector < 0;
    }
    return failed;
}

/* VMRR_INSN_CASE=row:seed:bits */
static bool chosen_case(unsigned *row, uint64_t *seed, unsigned *bits)
{
    const char *text = getenv("VMRR_INSN_CASE");
    char *end;

    if (!text)
        return false;
    *row = (unsigned)strtoul(text, &end, 10);
    *seed = *end == ':' ? strtoull(end + 1, &end, 10) : 0;
    *bits = *end == ':' ? (unsigned)strtoul(end + 1, NULL, 10) : 64;
    return *row < opcode_rows_count;
}

static unsigned run_chosen(struct native_harness *h, const struct native_profile *profile, unsigned row, uint64_t seed)
{
    static struct native_case c;
    struct native_state out;

    if (!native_generate(&c, &opcode_rows[row], profile, seed))
        return 0;
    fprintf(stderr, "case %u:%llu %s %s\n", row, (unsigned long long)seed, c.row->mnemonic, c.row->operands);
    for (unsigned n = 0; n < 16; n++)
        fprintf(stderr, "    gpr[%2u] %016llx%s", n, (unsigned long long)c.in.gpr[n], n % 4 == 3 ? "\n" : "");
    fprintf(stderr, "    rip %llx rflags %llx target %llx\n", (unsigned long long)c.in.rip,
            (unsigned long long)c.in.rflags, (unsigned long long)c.target);
    bool same = native_check_case(h, &c, profile, &out);
    fprintf(stderr, "    vector %d rip %llx: %s\n", out.vector, (unsigned long long)out.rip,
            same ? "same" : "DIFFERENT");
    return !same;
}

/* ---- rows that are left out ------------------------------------------------------------------------------------- */

/* Features that this host's CPU lacks, and how many rows want them. */
struct skipped {
    const char *feature[16];
    unsigned rows[16], kinds;
};

static void skip(struct skipped *skipped, const char *feature)
{
    unsigned n = 0;

    while (n < skipped->kinds && strcmp(skipped->feature[n], feature))
        n++;
    if (n == 16)
        return;
    skipped->feature[n] = feature;
    skipped->rows[n]++;
    skipped->kinds += n == skipped->kinds;
}

static void print_skipped(const struct skipped *skipped)
{
    for (unsigned n = 0; n < skipped->kinds; n++)
        fprintf(stderr, "%u rows skipped: this CPU has no %s\n", skipped->rows[n], skipped->feature[n]);
}

static bool row_exists(struct native_harness *h, const struct opcode_row *row, const struct native_profile *profile,
                       struct skipped *skipped)
{
    unsigned bits = profile->bits ? profile->bits : 64;

    if ((row->flags & (bits == 64 ? OP_I64 : OP_O64)) || !native_has_feature(h, row->feature))
        return false;
    if (native_host_has(row->feature))
        return true;
    skip(skipped, row->feature);
    return false;
}

static bool check_row(struct native_harness *h, const struct opcode_row *row, const struct native_profile *profile)
{
    unsigned executed, failed = native_check_row(h, row, profile, &executed);

    if (executed || profile->faults)
        return failed != 0;
    fprintf(stderr, "  %s %s %s never ran without a fault\n", native_row_place(row), row->mnemonic, row->operands);
    return true;
}

unsigned native_check_group(struct native_harness *h, enum native_group group, unsigned bits,
                            native_profile_fn *profile_of)
{
    struct skipped skipped = {.kinds = 0};
    unsigned failed = 0, only, only_bits, rows = 0;
    uint64_t seed;

    if (bits == 16 && !native_host_has16()) {
        fprintf(stderr, "16-bit code skipped: this kernel makes no segments for it\n");
        return 0;
    }

    if (chosen_case(&only, &seed, &only_bits)) {
        const struct native_profile *profile = profile_of(&opcode_rows[only], bits);
        bool here = native_group_of(&opcode_rows[only]) == group && profile && bits == only_bits;
        return here ? run_chosen(h, profile, only, seed) : 0;
    }
    for (unsigned n = 0; n < opcode_rows_count; n++) {
        const struct opcode_row *row = &opcode_rows[n];
        const struct native_profile *profile = native_group_of(row) == group ? profile_of(row, bits) : NULL;
        if (!profile || !row_exists(h, row, profile, &skipped))
            continue;
        rows++;
        failed += check_row(h, row, profile);
    }
    print_skipped(&skipped);
    fprintf(stderr, "%u rows in %u-bit code, %u failed\n", rows, bits, failed);
    return failed;
}
