/* Canonical CPU state and landmarks: what accelerators need not agree in does not show, all else does. */
#include "core/landmark.h"

#include <check.h>
#include <string.h>

static struct cpu_state long_mode(void)
{
    struct cpu_state state;
    cpu_state_reset(&state);
    state.efer = 0xD00;
    state.segment[CPU_CS] = (struct cpu_segment){.selector = 8, .attributes = 0xA09A, .limit = 0xFFFFFFFF};
    state.rip = 0xFFFFFFFF81000000ull;
    return state;
}

static void same(const struct cpu_state *a, const struct cpu_state *b)
{
    ck_assert_uint_eq(cpu_state_canonical_hash(a), cpu_state_canonical_hash(b));
}
static void different(const struct cpu_state *a, const struct cpu_state *b)
{
    ck_assert_uint_ne(cpu_state_canonical_hash(a), cpu_state_canonical_hash(b));
}

START_TEST(what_need_not_agree)
{
    struct cpu_state a = long_mode(), b = a;
    b.rflags |= 0x10000;
    b.segment[CPU_CS].attributes |= 1; /* accessed */
    b.segment[CPU_DS].attributes = 0xC093;
    b.segment[CPU_DS].limit = 0xFFFFFFFF;
    b.interrupt_shadow = true;
    b.fip = 0x1234;
    b.tsc_offset = 99;
    same(&a, &b);
    b.ftw = a.ftw = 0xFE;
    b.fpr[0].significand = 7;
    same(&a, &b);
    a.segment[CPU_SS] = (struct cpu_segment){.attributes = CPU_SEGMENT_UNUSABLE}; /* MOV SS of a null selector */
    b = a;
    b.segment[CPU_SS] = (struct cpu_segment){.attributes = 0xC093, .limit = 0xFFFFFFFF}; /* what KVM has then */
    same(&a, &b);
    a.segment[CPU_SS].selector = b.segment[CPU_SS].selector = 0x18;
    different(&a, &b);
}
END_TEST

START_TEST(what_must_agree)
{
    struct cpu_state a = long_mode();
    for (unsigned n = 0; n < 16; n++) {
        struct cpu_state b = a;
        b.gpr[n] ^= 1ull << (4 * n);
        different(&a, &b);
        ck_assert_uint_ne(landmark_registers(a.gpr), landmark_registers(b.gpr));
    }
    struct cpu_state b = a;
    b.rflags ^= 0x200;
    different(&a, &b);
    b = a;
    b.segment[CPU_FS].base = 8;
    different(&a, &b);
    b = a;
    b.segment[CPU_DS].selector = 0x10;
    different(&a, &b);
    b = a;
    b.vector[3].q[1] = 1;
    different(&a, &b);
    b = a;
    b.fpr[2].significand = 1; /* its tag says valid */
    different(&a, &b);
    b = a;
    b.lstar = 1;
    different(&a, &b);
    b = a;
    b.halted = true;
    different(&a, &b);
}
END_TEST

START_TEST(segments_count_outside_of_64_bit_code)
{
    struct cpu_state a;
    cpu_state_reset(&a);
    struct cpu_state b = a;
    b.segment[CPU_DS].limit = 0x7FFF;
    different(&a, &b);
    b = a;
    b.segment[CPU_DS].base = 0x10;
    different(&a, &b);
    b = a;
    b.segment[CPU_ES].attributes = CPU_SEGMENT_UNUSABLE;
    different(&a, &b);
    a.segment[CPU_ES].attributes = CPU_SEGMENT_UNUSABLE | 0x13;
    a.segment[CPU_ES].limit = 5;
    same(&a, &b);
}
END_TEST

START_TEST(rip_is_linear)
{
    struct cpu_state state = long_mode();
    ck_assert_uint_eq(landmark_rip(&state), 0xFFFFFFFF81000000ull);
    cpu_state_reset(&state);
    ck_assert_uint_eq(landmark_rip(&state), 0xFFFFFFF0u);
    state.segment[CPU_CS].base = 0xFFFFFFF8;
    state.rip = 0x10;
    ck_assert_uint_eq(landmark_rip(&state), 8); /* 32 bits wide */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("landmark");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, what_need_not_agree);
    tcase_add_test(tests, what_must_agree);
    tcase_add_test(tests, segments_count_outside_of_64_bit_code);
    tcase_add_test(tests, rip_is_linear);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
