/* RDTSC at given addresses (core/machine.h, MACHINE_WAY_TSC_SITES): which are an access, and what they give. */
#include "accel-interp/interp.h"
#include "core/machine_internal.h"
#include "tests/accel-interp/cpu_test.h"

#define OFFSET 0x500000000ull

static struct cpu_test create(const uint64_t *site, unsigned sites)
{
    struct cpu_test t = t_create();
    t.fake->machine->options.ways = MACHINE_WAY_TSC_SITES;
    for (unsigned n = 0; n < sites; n++)
        t.fake->machine->options.tsc_site[n] = site[n];
    t.fake->machine->options.tsc_sites = sites;
    interp_of(t.accel)->traps_tsc = true;
    return t;
}

static unsigned reads(const struct cpu_test *t, uint64_t *value)
{
    unsigned count = 0;
    for (size_t n = 0; n < t->fake->event_count; n++) {
        const struct trace_event *event = &t->fake->events[n];
        if (event->kind != TRACE_PIO_READ)
            continue;
        ck_assert_uint_eq(event->address, MACHINE_TSC_PORT);
        ck_assert_uint_eq(event->size_bytes, 4);
        *value = event->value;
        count++;
    }
    return count;
}

/* nop; rdtsc; mov esi, eax; repne rdtsc; rdtsc; hlt: the first is at the site */
START_TEST(at_a_site)
{
    static const uint64_t site[] = {0x1234, T_CODE + 1, T_CODE + 5};
    struct cpu_test t = create(site, 3);
    uint64_t value = 0;
    if (_i)
        t_long(&t, 0);
    else
        t_protected(&t, 0);
    t.s.tsc_offset = OFFSET;
    t.s.gpr[CPU_RAX] = t.s.gpr[CPU_RDX] = UINT64_MAX;
    t_code(&t, 0x90, 0x0F, 0x31, 0x89, 0xC6, 0xF2, 0x0F, 0x31, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(reads(&t, &value), 1); /* a prefix: as ever */
    ck_assert_uint_eq(t.s.gpr[CPU_RSI], (uint32_t)(value + OFFSET));
    ck_assert_uint_eq(t.s.gpr[CPU_RDX], OFFSET >> 32);
    ck_assert_uint_eq(t.s.rip, T_CODE + 9);
    t_destroy(&t);
}
END_TEST

/* The address is a linear one. */
START_TEST(with_a_base)
{
    static const uint64_t site[] = {T_CODE};
    struct cpu_test t = create(site, 1);
    uint64_t value = 0;
    t_protected(&t, 0);
    t.s.segment[CPU_CS].base = 0x1000;
    t.s.rip = T_CODE - 0x1000;
    t_code(&t, 0x0F, 0x31, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(reads(&t, &value), 1);
    t_destroy(&t);
}
END_TEST

START_TEST(not_in_user_code)
{
    static const uint64_t site[] = {T_CODE};
    struct cpu_test t = create(site, 1);
    uint64_t value = 0;
    t_long(&t, 3);
    t_code(&t, 0x0F, 0x31, 0xF4); /* hlt: #GP */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(reads(&t, &value), 0);
    t_destroy(&t);
}
END_TEST

/* Once LSTAR is set the first two are meant. */
START_TEST(with_lstar)
{
    static const uint64_t site[] = {T_CODE, T_CODE + 2, T_CODE + 4, T_CODE + 6};
    struct cpu_test t = create(site, 4);
    uint64_t value = 0;
    t_long(&t, 0);
    t.s.lstar = _i ? 0xFFFFFFFF81000000ull : 0;
    t_code(&t, 0x0F, 0x31, 0x0F, 0x31, 0x0F, 0x31, 0x0F, 0x31, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(reads(&t, &value), _i ? 2 : 4);
    t_destroy(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tsc sites");
    TCase *tests = tcase_create("tsc sites");
    tcase_add_loop_test(tests, at_a_site, 0, 2);
    tcase_add_test(tests, with_a_base);
    tcase_add_test(tests, not_in_user_code);
    tcase_add_loop_test(tests, with_lstar, 0, 2);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
