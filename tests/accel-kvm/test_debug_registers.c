/* accel-kvm/debug.c: who has which debug register, over a KVM that is made up: ioctl of this program notes what it is told. */
#include "accel-kvm/kvm.h"
#include "core/machine.h"

#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define VCPU 1000 /* no descriptor of a process that opens so few */
#define LANDMARK 0x7000u
#define HANDLER 0xFFFFFFFF81001000ull
#define IDT 0x2000u
#define STEP (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP)
#define BREAK (KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP)

static const uint64_t sites[] = {0x9a9d, 0x9afd, 0x9b3e, 0x9b85};
static struct {
    struct kvm_guest_debug debug;
    unsigned calls;
} told;

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    ck_assert_int_eq(fd, VCPU);
    ck_assert_uint_eq(request, KVM_SET_GUEST_DEBUG);
    told.debug = *va_arg(list, struct kvm_guest_debug *);
    told.calls++;
    va_end(list);
    return 0;
}

static struct {
    struct input *input;
    struct machine *machine;
    struct kvm_accel cpu;
    struct error error;
} rig;

static void make(unsigned count)
{
    struct machine_options options = {
        .ram_bytes = 1u << 20, .counts_exits = true, .ways = MACHINE_WAY_TSC_SITES, .tsc_sites = count};
    memcpy(options.tsc_site, sites, count * sizeof *sites);
    memset(&rig, 0, sizeof rig);
    memset(&told, 0, sizeof told);
    rig.input = input_live_create(&(struct input_live_options){0});
    options.input = rig.input;
    ck_assert_int_eq(cpu_model_init(&options.cpu, "v1", &rig.error), STATUS_OK);
    rig.machine = machine_create(&options, &rig.error);
    ck_assert_ptr_nonnull(rig.machine);
    rig.cpu.accel.machine = rig.machine;
    rig.cpu.vcpu = VCPU;
    rig.cpu.state_valid = true;
}

static void teardown(void)
{
    machine_destroy(rig.machine);
    input_destroy(rig.input);
}

/* The guest has set LSTAR, on a host whose SYSCALL is to be mended. */
static void mend(void)
{
    rig.cpu.repair.lstar = HANDLER + 0x1000;
    rig.cpu.repair.idt = rig.cpu.state.idtr_base = IDT;
    rig.cpu.repair.handler = HANDLER;
}

static void expect(uint64_t dr0, uint64_t dr1, uint64_t dr2, uint64_t dr3, uint32_t control)
{
    const uint64_t want[] = {dr0, dr1, dr2, dr3};
    for (unsigned n = 0; n < 4; n++) {
        ck_assert_uint_eq(told.debug.arch.debugreg[n], want[n]);
        ck_assert_uint_eq(told.debug.arch.debugreg[7] >> 2 * n & 3, want[n] ? 1 : 0); /* L, for execution */
    }
    ck_assert_uint_eq(told.debug.arch.debugreg[7] >> 16, 0);
    ck_assert_uint_eq(told.debug.control, control);
}

START_TEST(test_nothing)
{
    make(0);
    kvm_debug_set(&rig.cpu, 0, false);
    ck_assert_uint_eq(told.calls, 0);
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    expect(LANDMARK, 0, 0, 0, BREAK);
    kvm_debug_set(&rig.cpu, LANDMARK, true);
    expect(0, 0, 0, 0, STEP);
}
END_TEST

START_TEST(test_beside_a_landmark)
{
    make(3);
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    expect(LANDMARK, sites[2], sites[0], sites[1], BREAK);
    ck_assert(rig.cpu.landmark_set);
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    ck_assert_uint_eq(told.calls, 1);
}
END_TEST

/* All four are taken: to the landmark by steps. */
START_TEST(test_none_left)
{
    make(4);
    kvm_debug_set(&rig.cpu, 0, false);
    expect(sites[3], sites[2], sites[0], sites[1], BREAK);
    ck_assert(!rig.cpu.landmark_set);
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    expect(sites[3], sites[2], sites[0], sites[1], BREAK | STEP);
    ck_assert(!rig.cpu.landmark_set);
}
END_TEST

/* The mended SYSCALL's register is not to be had from anybody. */
START_TEST(test_with_syscall)
{
    make(4);
    mend();
    kvm_debug_set(&rig.cpu, 0, false);
    expect(0, HANDLER, sites[0], sites[1], BREAK);
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    expect(LANDMARK, HANDLER, sites[0], sites[1], BREAK);
}
END_TEST

START_TEST(test_passing)
{
    make(2);
    rig.cpu.site.passing = true;
    rig.cpu.site.linear = sites[0];
    kvm_debug_set(&rig.cpu, LANDMARK, false);
    expect(0, 0, sites[1], 0, BREAK | STEP);
    kvm_site_forget(&rig.cpu);
    kvm_debug_set(&rig.cpu, 0, false);
    expect(0, 0, sites[0], sites[1], BREAK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("debug registers");
    TCase *tests = tcase_create("debug registers");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, test_nothing);
    tcase_add_test(tests, test_beside_a_landmark);
    tcase_add_test(tests, test_none_left);
    tcase_add_test(tests, test_with_syscall);
    tcase_add_test(tests, test_passing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
