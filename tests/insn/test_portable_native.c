/* Two things that random operands do not reach. The string comparisons of SSE4.2, on strings that have something in common.
 * And the portable kernels, which run where the host lacks an instruction: every row that has one, with the interpreter
 * made to believe in a host that has nothing, against the host that has it all. */
#include "accel-interp/interp.h"
#include "tests/insn/fp_cases.h"
#include "tools/fuzz/native_internal.h"

#include <check.h>

static bool is_string(const struct opcode_row *row)
{
    const char *name = row->mnemonic + (row->mnemonic[0] == 'V');

    return !strncmp(name, "PCMPISTR", 8) || !strncmp(name, "PCMPESTR", 8);
}

/* Elements of a small alphabet, some of them ranges, with an end here and there. */
static void fill_string(struct native_case *c, uint8_t bytes[16])
{
    static const uint16_t edges[] = {0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF};
    bool words = fp_pick(c, 2);
    unsigned letters = 1 + fp_pick(c, 4), end = fp_pick(c, 24);

    for (unsigned n = 0; n < (words ? 8u : 16u); n++) {
        uint16_t letter = (uint16_t)(1 + fp_pick(c, letters));
        if (fp_pick(c, 8) == 0)
            letter = edges[fp_pick(c, 6)];
        if (n == end || fp_pick(c, 30) == 0)
            letter = 0;
        memcpy(bytes + n * (words ? 2 : 1), &letter, words ? 2 : 1);
    }
}

static void prepare_string(struct native_case *c)
{
    uint8_t bytes[16];

    for (unsigned n = 0; n < NATIVE_VECTORS; n++) {
        if (n && fp_pick(c, 3) == 0)
            memcpy(c->in.fx + NATIVE_FX_XMM + 16 * n, c->in.fx + NATIVE_FX_XMM + 16 * (n - 1), 16);
        else
            fill_string(c, c->in.fx + NATIVE_FX_XMM + 16 * n);
    }
    fill_string(c, bytes);
    fp_put_operand(c, bytes, sizeof bytes);
    if (!strncmp(c->row->mnemonic, "PCMPI", 5) || !strncmp(c->row->mnemonic, "VPCMPI", 6) || fp_pick(c, 8) == 0)
        return;
    c->in.gpr[CPU_RAX] = (uint64_t)((int64_t)fp_pick(c, 40) - 20) ^ (fp_pick(c, 8) ? 0 : native_random(c) << 32);
    c->in.gpr[CPU_RDX] = (uint64_t)((int64_t)fp_pick(c, 40) - 20) ^ (fp_pick(c, 8) ? 0 : native_random(c) << 32);
}

static bool has_portable_kernel(const struct opcode_row *row)
{
    static const char *const features[] = {"aes", "pclmulqdq", "vaes", "vpclmulqdq", "fma", "f16c"};
    static const char *const shifts[] = {"VPSLLVD", "VPSLLVQ", "VPSRLVD", "VPSRLVQ", "VPSRAVD"};

    for (unsigned n = 0; n < sizeof features / sizeof features[0]; n++) {
        if (row->feature && !strcmp(row->feature, features[n]))
            return true;
    }
    for (unsigned n = 0; n < sizeof shifts / sizeof shifts[0]; n++) {
        if (!strcmp(row->mnemonic, shifts[n]))
            return true;
    }
    return false;
}

static void prepare_portable(struct native_case *c)
{
    uint64_t words[4];

    fp_prepare_sse(c);
    if (!strncmp(c->row->mnemonic, "VPS", 3) && fp_pick(c, 2)) /* counts that are not out of range */
        for (unsigned n = 0; n < 64; n++)
            c->in.fx[NATIVE_FX_XMM + 4 * n] = (uint8_t)fp_pick(c, 70);
    for (unsigned n = 0; n < 4; n++)
        words[n] = fp_pick(c, 2) ? fp_f64(c) : (uint64_t)fp_f32(c) << 32 | fp_f32(c);
    fp_put_operand(c, words, sizeof words);
}

static const struct native_profile *string_profile(unsigned bits)
{
    static struct native_profile profile;

    profile =
        (struct native_profile){.bits = bits, .iterations = 3000, .prepare = prepare_string, .normalise = fp_normalise};
    return &profile;
}

static const struct native_profile *portable_profile(unsigned bits)
{
    static struct native_profile profile;

    profile = (struct native_profile){
        .bits = bits, .iterations = 400, .prepare = prepare_portable, .normalise = fp_normalise, .aligned = true};
    return &profile;
}

/* One at a time in a process: a fixture, so that a test that fails closes it too. */
static struct native_harness *harness;

static void setup(void)
{
    harness = native_create();
}
static void teardown(void)
{
    native_destroy(harness);
}

/* How many rows were checked; each must agree, and run without a fault now and then. */
static unsigned check_rows(bool (*wanted)(const struct opcode_row *row), const struct native_profile *profile)
{
    unsigned rows = 0;

    for (unsigned n = 0; n < opcode_rows_count; n++) {
        const struct opcode_row *row = &opcode_rows[n];
        unsigned executed;

        if (!wanted(row) || !native_host_has(row->feature))
            continue;
        ck_assert_msg(!native_check_row(harness, row, profile, &executed), "%s %s", row->mnemonic, row->operands);
        ck_assert_msg(executed, "%s %s never ran", row->mnemonic, row->operands);
        rows++;
    }
    return rows;
}

START_TEST(strings)
{
    unsigned bits = _i ? 64 : 32;

    if (native_host_has("sse4.2"))
        ck_assert_uint_ge(check_rows(is_string, string_profile(bits)), native_host_has("avx") ? 8 : 4);
}
END_TEST

START_TEST(portable_kernels)
{
    unsigned bits = _i ? 64 : 32;

    ck_assert_ptr_nonnull(native_accel(harness));
    interp_of(native_accel(harness))->host_features = 0;
    if (native_host_has("aes") && native_host_has("fma") && native_host_has("avx2"))
        ck_assert_uint_gt(check_rows(has_portable_kernel, portable_profile(bits)), 20);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("portable kernels, strings");
    TCase *tc = tcase_create("rows");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, strings, 0, 2);
    tcase_add_loop_test(tc, portable_kernels, 0, 2);
    tcase_set_timeout(tc, 240);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
