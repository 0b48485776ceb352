/* The system rows that a process can execute against the host: what is privileged faults (with the right exception even if
 * its operand would fault too), what is not does its work. The host's descriptor tables are Linux', so selectors are only
 * those that both sides have: null, the process's own three, and such as lie behind the table. */
#include "accel-interp/opcodes.h"
#include "tests/insn/native.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static bool in_list(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; (at = strstr(at, name)); at += size)
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
            return true;
    return false;
}

/* #GP or #UD at CPL 3. SGDT and the like are not here: Linux emulates them where the CPU has UMIP. */
static bool privileged(const struct opcode_row *row)
{
    bool control = strchr(row->operands, 'y') && !strcmp(row->mnemonic, "MOV");

    return control ||
           in_list("LLDT LTR LGDT LIDT LMSW INVLPG SWAPGS CLAC STAC CLTS INVD WBINVD HLT CLI STI SYSRET SYSEXIT "
                   "WRMSR RDMSR UD0 UD1 UD2 RSM INVPCID",
                   row->mnemonic);
}

static bool reads_selector(const struct opcode_row *row)
{
    return in_list("VERR VERW LAR LSL ARPL", row->mnemonic);
}

/* What does not change a segment register: FS holds the process's thread pointer. */
static bool reads_segment(const struct opcode_row *row)
{
    return !strcmp(row->mnemonic, "PUSH") || (!strcmp(row->mnemonic, "MOV") && !strcmp(row->operands, "Ev,Sw"));
}

static void put_selector(struct native_case *c)
{
    static const uint16_t selectors[] = {0, 1, 2, 3, 0x23, 0x2B, 0x33, 0x20, 0x28, 0x30, 0xFF8, 0xFFFB, 0x1000};
    uint16_t selector = selectors[native_random(c) % (sizeof selectors / sizeof selectors[0])];

    if (c->memory && c->target >= NATIVE_DATA && c->target + 2 <= NATIVE_DATA + NATIVE_DATA_BYTES)
        memcpy(c->data + (c->target - NATIVE_DATA), &selector, 2);
    if (!c->memory)
        for (unsigned n = 0; n < 16; n++)
            if (n != 4 && (c->bits == 64 || n < 8))
                c->in.gpr[n] = (c->in.gpr[n] & ~0xFFFFull) | selector;
}

static const struct native_profile *profile_of(const struct opcode_row *row, unsigned bits)
{
    static struct native_profile profile;

    if (!privileged(row) && !reads_selector(row) && !reads_segment(row))
        return NULL;
    profile = (struct native_profile){
        .bits = bits, .faults = privileged(row), .prepare = reads_selector(row) ? put_selector : NULL};
    return &profile;
}

static struct native_harness *harness;

START_TEST(test_system)
{
    ck_assert_uint_eq(native_check_group(harness, NATIVE_GROUP_SYSTEM, 16u << _i, profile_of), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("system rows against the host");
    TCase *tcase = tcase_create("rows");

    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_system, 0, 3);
    suite_add_tcase(suite, tcase);
    harness = native_create();
    int status = run_suite(suite, CK_NOFORK);
    native_destroy(harness);
    return status;
}
