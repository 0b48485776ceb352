/* Every row of opcodes.def has a test: the integer, branch, x87 and SSE rows by the file they stand in (native tests), the
 * system rows by this list, which names for each mnemonic where it is tested or why it is not. */
#include "accel-interp/opcodes.h"
#include "tests/insn/native.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct covered {
    const char *mnemonics; /* separated by blanks */
    const char *where;
};

static const struct covered system_rows[] = {
    {"JMPF CALLF RETF IRET", "accel-interp/test_segments, test_exceptions, test_system"},
    {"INT INT3 INTO INT1", "accel-interp/test_exceptions"},
    {"MOV", "accel-interp/test_segments (Sreg), test_system (CR, DR)"},
    {"PUSH POP", "accel-interp/test_segments: segment registers"},
    {"LES LDS LSS LFS LGS LAR LSL VERR VERW ARPL SLDT STR LLDT LTR", "accel-interp/test_segments"},
    {"SGDT SIDT LGDT LIDT SMSW LMSW CLTS INVLPG SWAPGS", "accel-interp/test_system"},
    {"RDTSC RDTSCP RDMSR WRMSR CPUID RDRAND RDSEED RDPMC", "accel-interp/test_system"},
    {"CLAC STAC CLI STI HLT SYSCALL SYSRET SYSENTER SYSEXIT", "accel-interp/test_system, test_exceptions"},
    {"RDFSBASE RDGSBASE WRFSBASE WRGSBASE RDPID RDPKRU WRPKRU INVPCID", "accel-interp/test_features"},
    {"MONITOR MWAIT", "accel-interp/test_monitor"},
    {"INVD WBINVD", "no effect: there is no cache"},
    {"UD0 UD1 UD2 RSM", "accel-interp/test_decode: #UD"},
};

static bool listed(const char *mnemonic)
{
    size_t size = strlen(mnemonic);

    for (size_t n = 0; n < sizeof system_rows / sizeof system_rows[0]; n++) {
        const char *list = system_rows[n].mnemonics, *at = list;
        while ((at = strstr(at, mnemonic))) {
            if ((at == list || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
                return true;
            at += size;
        }
    }
    return false;
}

START_TEST(every_row_has_a_test)
{
    unsigned missing = 0, counts[NATIVE_GROUP_COUNT] = {0};

    for (unsigned n = 0; n < opcode_rows_count; n++) {
        const struct opcode_row *row = &opcode_rows[n];
        counts[native_group_of(row)]++;
        if (native_group_of(row) == NATIVE_GROUP_SYSTEM && !listed(row->mnemonic)) {
            fprintf(stderr, "no test for row %u: %02X %s %s\n", n, row->opcode, row->mnemonic, row->operands);
            missing++;
        }
    }
    ck_assert_uint_eq(missing, 0);
    for (unsigned group = 0; group < NATIVE_GROUP_COUNT; group++)
        ck_assert_msg(counts[group] > 0 || group >= NATIVE_GROUP_AVX, "no rows in group %u", group);
}
END_TEST

/* Can an encoding of one row's VEX bits be the other's? */
static bool same_vex(const struct opcode_row *x, const struct opcode_row *y)
{
    unsigned both = x->flags | y->flags;

    return (x->flags & OP_VEX) == (y->flags & OP_VEX) && (both & (OP_L0 | OP_L1)) != (OP_L0 | OP_L1) &&
           (both & (OP_W0 | OP_W1)) != (OP_W0 | OP_W1);
}

/* Two rows for one encoding would leave one of them dead. */
START_TEST(no_row_twice)
{
    for (unsigned a = 0; a < opcode_rows_count; a++) {
        for (unsigned b = a + 1; b < opcode_rows_count; b++) {
            const struct opcode_row *x = &opcode_rows[a], *y = &opcode_rows[b];
            bool modes = ((x->flags | y->flags) & (OP_I64 | OP_O64)) == (OP_I64 | OP_O64);
            bool same = x->map == y->map && x->opcode == y->opcode && x->prefix == y->prefix && x->modrm == y->modrm &&
                        same_vex(x, y);
            ck_assert_msg(!same || modes, "rows %u %s and %u %s", a, x->mnemonic, b, y->mnemonic);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("insn_coverage");
    TCase *tcase = tcase_create("rows");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, every_row_has_a_test);
    tcase_add_test(tcase, no_row_twice);
    return run_suite(suite, CK_NOFORK);
}
