/* Every x87 row against the host's x87: random registers, tags, precision and rounding control, unmasked and pending
 * exceptions, memory operands of every kind. */
#include "tests/insn/fp_cases.h"

#include <check.h>

static bool named(const struct native_case *c, const char *name)
{
    return !strcmp(c->row->mnemonic, name);
}

static void put_operand(struct native_case *c)
{
    uint8_t f80[10], image[108];
    uint64_t f64 = fp_f64(c);
    uint32_t f32 = fp_f32(c);

    fp_f80(c, f80);
    if (named(c, "FBLD")) {
        for (unsigned n = 0; n < 9; n++)
            f80[n] = (uint8_t)(fp_pick(c, 10) << 4 | fp_pick(c, 10));
        f80[9] = (uint8_t)(fp_pick(c, 2) << 7);
        fp_put_operand(c, f80, 10);
    } else if (named(c, "FLDENV") || named(c, "FRSTOR")) {
        for (unsigned n = 0; n + 10 <= sizeof image; n += 10) {
            fp_f80(c, f80);
            memcpy(image + n, f80, 10);
        }
        fp_put16(image, fp_pick(c, 2) ? 0x37F : (uint16_t)native_random(c));
        fp_put_operand(c, image, sizeof image);
    } else if (c->row->opcode & 2) { /* DA DB DE DF: integers, DB /5 */
        fp_put_operand(c, f80, strchr(c->row->operands, 't') ? 10 : 0);
    } else if (c->row->opcode & 4) {
        fp_put_operand(c, &f64, 8);
    } else {
        fp_put_operand(c, &f32, 4);
    }
}

/* What an instruction before has left: the environment's images show it in 16, 32 and 64 bits. */
static void put_pointers(struct native_case *c)
{
    const uint64_t fip = native_random(c) & 0x7FFFFFFFFFFF >> fp_pick(c, 3) * 16;
    const uint64_t fdp = native_random(c) & 0x7FFFFFFFFFFF >> fp_pick(c, 3) * 16;

    fp_put16(c->in.fx + NATIVE_FX_FOP, native_random(c) & 0x7FF);
    memcpy(c->in.fx + NATIVE_FX_FIP, &fip, 8);
    memcpy(c->in.fx + NATIVE_FX_FDP, &fdp, 8);
}

static void prepare(struct native_case *c)
{
    fp_prepare_x87(c);
    if (fp_pick(c, 2))
        put_pointers(c);
    put_operand(c);
    if (strchr(c->row->operands, 't') || !strcmp(c->row->operands, "M"))
        fp_avoid_half_store(c, 108);
}

/* The upper half of FDP, which 16- and 32-bit code can't see: hosts clear it at every memory operand there. */
static void normalise(const struct native_case *c, struct native_state *host, struct native_state *interp)
{
    fp_normalise(c, host, interp);
    if (c->bits == 64)
        return;
    memset(host->fx + NATIVE_FX_FDP + 4, 0, 4);
    memset(interp->fx + NATIVE_FX_FDP + 4, 0, 4);
}

static const struct native_profile *profile_of(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    (void)row;
    profile = (struct native_profile){.bits = bits, .iterations = 250, .prepare = prepare, .normalise = normalise};
    return &profile;
}

START_TEST(test_x87)
{
    ck_assert_uint_eq(fp_check_group(NATIVE_GROUP_X87, profile_of), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("x87 against the host");
    TCase *tc = tcase_create("rows");

    tcase_add_test(tc, test_x87);
    tcase_set_timeout(tc, 240);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
