/* The interpreter and KVM in lockstep, and one of them made wrong (tests/tools/test_lockstep.c has the same without KVM). */
#include "accel-kvm/probe.h"
#include "tests/tools/lockstep_rig.h"

static const uint8_t guest[] = {
    0xB9, 0x14, 0x00, /* 7C00 mov cx, 20 */
    0x89, 0xC8,       /* 7C03 mov ax, cx */
    0x6B, 0xC0, 0x07, /* 7C05 imul ax, ax, 7 */
    0xA3, 0x00, 0x10, /* 7C08 mov [1000], ax */
    0x01, 0xC3,       /* 7C0B add bx, ax */
    0x51,             /* 7C0D push cx */
    0xB9, 0x00, 0x08, /* 7C0E mov cx, 2048 */
    0xBE, 0x00, 0x10, /* 7C11 mov si, 1000 */
    0xBF, 0x00, 0x20, /* 7C14 mov di, 2000 */
    0xF3, 0xA4,       /* 7C17 rep movsb: more than KVM's emulator does in a turn */
    0x59,             /* 7C19 pop cx */
    0xE6, 0x80,       /* 7C1A out 80, al */
    0xE4, 0x60,       /* 7C1C in al, 60 */
    0x49,             /* 7C1E dec cx */
    0x75, 0xE2,       /* 7C1F jnz 7C03 */
    0xFA, 0xF4,       /* 7C21 cli; hlt */
};

static struct rig rig;

static void setup(void)
{
    rig_setup(&rig, guest, sizeof guest);
}

static void teardown(void)
{
    rig_teardown(&rig);
}

START_TEST(test_equal)
{
    for (unsigned side = 0; side < 2; side++) {
        rig.side[side].kvm = true;
        rig.side[1 - side].kvm = false;
        rig_run(&rig);
        ck_assert_msg(rig.result.verdict == LOCKSTEP_EQUAL, "%s", rig.result.reason);
        ck_assert_uint_eq(rig.result.exits, 41);
        ck_assert_int_eq(rig.result.stop, MACHINE_STOP_IDLE);
    }
}
END_TEST

/* The interpreter is wrong, then KVM is. */
START_TEST(test_register)
{
    for (unsigned side = 0; side < 2; side++) {
        setup();
        rig.side[1].kvm = true;
        rig.side[side].fault = (struct rig_fault){.wrong = RIG_REGISTER, .linear = 0x7C0B, .time = 5, .reg = CPU_RBX};
        rig_run(&rig);
        rig_expect_insn(&rig, 0x7C0B);
        ck_assert_uint_eq(rig.result.difference.equal_exits, 8);
        ck_assert_uint_eq(rig.result.difference.step_registers.count, 1);
        ck_assert_str_eq(rig.result.difference.step_registers.field[0].name, "rbx");
        teardown();
    }
    setup();
}
END_TEST

START_TEST(test_memory)
{
    rig.options.every = 16;
    rig.side[0].kvm = true;
    rig.side[1].fault = (struct rig_fault){.wrong = RIG_MEMORY, .linear = 0x7C19, .time = 10, .gpa = 0x5123};
    rig_run(&rig);
    rig_expect_insn(&rig, 0x7C19);
    ck_assert_int_eq(rig.result.difference.what, LOCKSTEP_MEMORY);
    ck_assert_uint_eq(rig.result.difference.step_memory.range[0].gpa, 0x5123);
}
END_TEST

START_TEST(test_search)
{
    rig_search(&rig, guest, sizeof guest, true);
}
END_TEST

START_TEST(test_endless)
{
    static const uint8_t endless[] = {0xE6, 0x80, 0xEB, 0xFE}; /* out 80, al; jmp $ */
    rig.code = endless;
    rig.size = sizeof endless;
    rig.side[1].kvm = true;
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_NOT_COMPARED);
}
END_TEST

/* Single steps on KVM, by themselves: an instruction each, ports and HLT too. */
START_TEST(test_steps)
{
    static const uint64_t rips[] = {0x7C03, 0x7C05, 0x7C08, 0x7C0B, 0x7C0D, 0x7C0E, 0x7C11, 0x7C14, 0x7C17};
    struct lockstep_script *script = lockstep_script_create();
    struct input *input = lockstep_input_create(script, &(struct lockstep_clock){0}, true);
    struct error error = {{0}};
    rig.side[0].kvm = true;
    struct machine *machine = rig_make(&rig, 0, input, (struct trace_sink){NULL, NULL}, &error);
    ck_assert_msg(machine != NULL, "%s", error.text);
    struct accel *accel = machine_accel(machine);
    struct cpu_state state;
    for (unsigned n = 0; n < sizeof rips / sizeof rips[0]; n++) {
        accel->ops->debug_step(accel);
        ck_assert_int_eq(machine_run(machine, MACHINE_NO_LIMIT), MACHINE_STOP_DEBUG);
        accel->ops->get_state(accel, &state);
        ck_assert_uint_eq(state.rip, rips[n]);
        ck_assert_uint_eq(state.rflags & 0x100, 0);
    }
    rig_unmake(&rig, 0);
    input_destroy(input);
    lockstep_script_destroy(script);
}
END_TEST

int main(void)
{
    struct kvm_probe probe;
    struct error error = {{0}};
    if (rig_no_kvm() || kvm_probe(&(struct kvm_probe_options){.without_costs = true}, &probe, &error)) {
        printf("SKIP: %s\n", rig_no_kvm() ? rig_no_kvm() : error.text);
        return 77;
    }
    if (probe.step_cpl0 != KVM_YES) {
        printf("SKIP: this host's KVM makes no single steps at CPL0\n");
        return 77;
    }
    Suite *suite = suite_create("lockstep_kvm");
    TCase *tests = tcase_create("lockstep_kvm");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_equal);
    tcase_add_test(tests, test_register);
    tcase_add_test(tests, test_memory);
    tcase_add_test(tests, test_search);
    tcase_add_test(tests, test_endless);
    tcase_add_test(tests, test_steps);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
