/* Every MMX and legacy SSE row against the host: random operands, MXCSR with and without masks, alignment, and the x87 side
 * effects of MMX. */
#include "tests/insn/fp_cases.h"

#include <check.h>

static bool named(const struct native_case *c, const char *name)
{
    return !strcmp(c->row->mnemonic, name);
}

static void put_operand(struct native_case *c)
{
    uint64_t words[64];
    uint32_t mxcsr = (uint32_t)native_random(c) & (fp_pick(c, 4) ? 0xFFFF : UINT32_MAX);
    bool doubles = c->row->prefix == PFX_66 || c->row->prefix == PFX_F2;

    for (unsigned n = 0; n < 64; n++)
        words[n] = doubles ? fp_f64(c) : (uint64_t)fp_f32(c) << 32 | fp_f32(c);
    if (named(c, "FXRSTOR")) {
        for (unsigned n = 0; n < 8; n++)
            fp_f80(c, (uint8_t *)words + 32 + 16 * n);
        memcpy((uint8_t *)words + 24, &mxcsr, 4);
        fp_put_operand(c, words, 512);
    } else if (named(c, "LDMXCSR")) {
        fp_put_operand(c, &mxcsr, 4);
    } else if (fp_pick(c, 4)) {
        fp_put_operand(c, words, 16);
    }
}

static void prepare(struct native_case *c)
{
    const char *name = c->row->mnemonic;

    fp_prepare_sse(c);
    fp_prepare_x87(c);
    for (unsigned n = 0; n < 8; n++) { /* MMX registers with something to shift and shuffle */
        uint64_t value = fp_pick(c, 2) ? native_value(c) : (uint64_t)fp_f32(c) << 32 | fp_f32(c);
        memcpy(c->in.fx + NATIVE_FX_ST + 16 * n, &value, 8);
    }
    if (!strncmp(name, "PS", 2) && strstr(name, "L") && fp_pick(c, 2)) /* shift counts that are not out of range */
        for (unsigned n = 0; n < 16; n++) {
            uint64_t count = fp_pick(c, 70);
            memcpy(c->in.fx + NATIVE_FX_XMM + 16 * n, &count, 8);
        }
    if (!strncmp(name, "MASKMOV", 7) && fp_pick(c, 4))
        c->in.gpr[7] = NATIVE_DATA + fp_pick(c, NATIVE_DATA_BYTES);
    put_operand(c);
}

static const struct native_profile *profile_of(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    if (fp_is_other_table(row))
        return NULL;
    profile = (struct native_profile){
        .bits = bits, .iterations = 200, .prepare = prepare, .normalise = fp_normalise, .aligned = true};
    return &profile;
}

START_TEST(test_sse)
{
    ck_assert_uint_eq(fp_check_group(NATIVE_GROUP_SSE, profile_of), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("MMX and SSE against the host");
    TCase *tc = tcase_create("rows");

    tcase_add_test(tc, test_sse);
    tcase_set_timeout(tc, 240);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
