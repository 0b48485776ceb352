/* Every VEX row (AVX, AVX2, FMA, F16C, BMI) and the XSAVE family against the host, with all 256 bits of the vector
 * registers: what a VEX.128 instruction clears, gathers and masked moves that fault half way, #UD for encodings that the
 * manual forbids. */
#include "tests/insn/fp_cases.h"

#include <check.h>

static bool named(const struct native_case *c, const char *name)
{
    return !strcmp(c->row->mnemonic, name);
}

static bool is_masked(const struct opcode_row *row)
{
    return strstr(row->mnemonic, "MASKMOV") && row->modrm != MODRM_REG;
}

static void put_operand(struct native_case *c)
{
    uint64_t words[32];
    uint32_t mxcsr = (uint32_t)native_random(c) & (fp_pick(c, 4) ? 0xFFFF : UINT32_MAX);
    bool doubles = fp_pick(c, 2);

    for (unsigned n = 0; n < 32; n++)
        words[n] = doubles ? fp_f64(c) : (uint64_t)fp_f32(c) << 32 | fp_f32(c);
    if (named(c, "VLDMXCSR"))
        fp_put_operand(c, &mxcsr, 4);
    else if (fp_pick(c, 4))
        fp_put_operand(c, words, 32);
}

static void prepare_avx(struct native_case *c)
{
    struct native_case before = *c; /* the indices of gathers stay */

    fp_prepare_sse(c);
    if (strstr(c->row->operands, "vM")) {
        memcpy(c->in.fx + NATIVE_FX_XMM, before.in.fx + NATIVE_FX_XMM, NATIVE_VECTORS * 16);
        memcpy(c->in.high, before.in.high, sizeof c->in.high);
        return;
    }
    if (fp_pick(c, 3) == 0) /* integers, shift counts */
        for (unsigned n = 0; n < 32; n++) {
            uint64_t value = fp_pick(c, 3) ? native_value(c) : fp_pick(c, 70);
            memcpy(c->in.fx + NATIVE_FX_XMM + 8 * n, &value, 8);
            value = native_value(c);
            memcpy((uint8_t *)c->in.high + 8 * n, &value, 8);
        }
    if (named(c, "VMASKMOVDQU") && fp_pick(c, 4))
        c->in.gpr[7] = NATIVE_DATA + fp_pick(c, NATIVE_DATA_BYTES);
    put_operand(c);
}

static const struct native_profile *avx_profile(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    if (fp_is_other_table(row))
        return NULL;
    profile = (struct native_profile){
        .bits = bits, .iterations = 200, .prepare = prepare_avx, .normalise = fp_normalise, .aligned = !is_masked(row)};
    return &profile;
}

START_TEST(test_avx)
{
    ck_assert_uint_eq(fp_check_group(NATIVE_GROUP_AVX, avx_profile), 0);
}
END_TEST

static const struct native_profile *bmi_profile(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    (void)row;
    profile = (struct native_profile){.bits = bits, .iterations = 400};
    return &profile;
}

START_TEST(test_bmi)
{
    ck_assert_uint_eq(fp_check_group(NATIVE_GROUP_BMI, bmi_profile), 0);
}
END_TEST

/* ---- XSAVE -------------------------------------------------------------------------------------------------------- */

/* Only the components that both sides have are asked for: the host's XCR0 has more. */
static void prepare_xsave(struct native_case *c)
{
    uint64_t header[8] = {native_random(c) & 7};
    uint32_t mxcsr = (uint32_t)native_random(c) & 0xFFFF;
    uint8_t area[1024];

    fp_prepare_sse(c);
    fp_prepare_x87(c);
    c->in.gpr[CPU_RAX] = (c->in.gpr[CPU_RAX] & ~0xFFFFFFFFull) | (native_random(c) & 7);
    c->in.gpr[CPU_RDX] = 0;
    if (named(c, "XGETBV"))
        c->in.gpr[CPU_RCX] = fp_pick(c, 4) ? 0 : native_value(c);
    if (!strncmp(c->row->mnemonic, "XSAVE", 5)) {
        fp_avoid_half_store(c, 1024);
        header[0] = fp_pick(c, 2) ? native_random(c) : header[0];
        header[1] = 0;
    } else if (fp_pick(c, 8) == 0) {
        header[fp_pick(c, 8)] = native_random(c);
    }
    for (unsigned n = 0; n + 10 <= sizeof area; n += 10)
        fp_f80(c, area + n);
    memcpy(area + NATIVE_FX_MXCSR, &mxcsr, 4);
    memcpy(area + 512, header, 64);
    fp_put_operand(c, area, sizeof area);
}

static void normalise_xsave(const struct native_case *c, struct native_state *host, struct native_state *interp)
{
    fp_normalise(c, host, interp);
    if (named(c, "XGETBV") && host->vector < 0 && interp->vector < 0)
        host->gpr[CPU_RAX] &= interp->gpr[CPU_RAX] | ~0xFFFFFFFFull;
}

static const struct native_profile *xsave_profile(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;
    bool privileged = !strcmp(row->mnemonic, "XSETBV") || !strcmp(row->mnemonic, "XSAVES") ||
                      !strcmp(row->mnemonic, "XRSTORS") || !strcmp(row->mnemonic, "XSAVES64") ||
                      !strcmp(row->mnemonic, "XRSTORS64");

    profile = (struct native_profile){.bits = bits,
                                      .iterations = 200,
                                      .prepare = prepare_xsave,
                                      .normalise = normalise_xsave,
                                      .faults = privileged,
                                      .aligned64 = true};
    return &profile;
}

START_TEST(test_xsave)
{
    ck_assert_uint_eq(fp_check_group(NATIVE_GROUP_XSAVE, xsave_profile), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("VEX and XSAVE against the host");
    const struct {
        const char *name;
        const TTest *test;
    } cases[] = {{"vex", test_avx}, {"bmi", test_bmi}, {"xsave", test_xsave}};

    for (unsigned n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        TCase *tc = tcase_create(cases[n].name); /* CK_RUN_CASE=xsave runs one */
        tcase_add_test(tc, cases[n].test);
        tcase_set_timeout(tc, 240);
        suite_add_tcase(suite, tc);
    }
    return run_suite(suite, CK_NOFORK);
}
