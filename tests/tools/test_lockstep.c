/* vmrr diff --a, --b: two interpreters in lockstep, one of which does one thing wrong: it must be found, at the exit and at the
 * instruction. The same with KVM is tests/accel-kvm/test_lockstep_kvm.c. */
#include "tests/tools/lockstep_rig.h"

/* 7C00 mov cx, 20        7C0F lodsw              7C13 rep movsb (8 bytes from 1100 to 1200)
 * 7C03 mov ax, cx        7C10 mov si, 1100       7C1D out 80, al
 * 7C05 imul ax, ax, 7    ... see the bytes */
static const uint8_t guest[] = {
    0xB9, 0x14, 0x00, /* 7C00 mov cx, 20 */
    0x89, 0xC8,       /* 7C03 mov ax, cx */
    0x6B, 0xC0, 0x07, /* 7C05 imul ax, ax, 7 */
    0xA3, 0x00, 0x10, /* 7C08 mov [1000], ax */
    0x01, 0xC3,       /* 7C0B add bx, ax */
    0x51,             /* 7C0D push cx */
    0xB9, 0x08, 0x00, /* 7C0E mov cx, 8 */
    0xBE, 0x00, 0x10, /* 7C11 mov si, 1000 */
    0xBF, 0x00, 0x12, /* 7C14 mov di, 1200 */
    0xF3, 0xA4,       /* 7C17 rep movsb */
    0x59,             /* 7C19 pop cx */
    0xE6, 0x80,       /* 7C1A out 80, al */
    0x49,             /* 7C1C dec cx */
    0x75, 0xE4,       /* 7C1D jnz 7C03 */
    0xFA, 0xF4,       /* 7C1F cli; hlt */
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
    rig_run(&rig);
    ck_assert_msg(rig.result.verdict == LOCKSTEP_EQUAL, "%s", rig.result.reason);
    ck_assert_uint_eq(rig.result.exits, 21); /* 20 OUT and HLT */
    ck_assert_uint_eq(rig.result.register_looks, 22);
    ck_assert_uint_ge(rig.result.digest_looks, 6);
    ck_assert_uint_eq(rig.result.events, 20);
    ck_assert_int_eq(rig.result.stop, MACHINE_STOP_IDLE);
    ck_assert_uint_eq(rig.side[0].made, 1);
}
END_TEST

static bool after_seven(void *opaque)
{
    (void)opaque;
    static unsigned asked;
    return asked++ == 7;
}

START_TEST(test_over)
{
    rig.options.over = after_seven;
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_NOT_COMPARED);
    ck_assert_uint_eq(rig.result.exits, 7);
    ck_assert_ptr_nonnull(strstr(rig.result.reason, "interrupted: alike up to exit 7,"));
    ck_assert_uint_gt(rig.result.interp_steps, 7 * 8);
}
END_TEST

START_TEST(test_until)
{
    rig.options.until_exits = 7;
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_EQUAL);
    ck_assert_uint_eq(rig.result.exits, 7);
    ck_assert_int_eq(rig.result.stop, MACHINE_STOP_LIMIT);
}
END_TEST

static void expect(enum lockstep_what what, uint64_t equal_exits, uint64_t linear)
{
    const struct lockstep_difference *difference = &rig.result.difference;
    rig_expect_insn(&rig, linear);
    ck_assert_str_eq(lockstep_what_name(difference->what), lockstep_what_name(what));
    ck_assert_uint_eq(difference->equal_exits, equal_exits);
    ck_assert_uint_eq(difference->exits, equal_exits + 1);
    ck_assert_uint_eq(difference->insn.bits, 16);
}

/* BX is wrong behind the ADD in the 5th round: at the OUT of that round it still is. */
START_TEST(test_register)
{
    for (unsigned side = 0; side < 2; side++) {
        setup();
        rig.side[side].fault = (struct rig_fault){.wrong = RIG_REGISTER, .linear = 0x7C0B, .time = 5, .reg = CPU_RBX};
        rig_run(&rig);
        expect(LOCKSTEP_REGISTERS, 4, 0x7C0B);
        const struct lockstep_fields *fields = &rig.result.difference.step_registers;
        ck_assert_uint_eq(fields->count, 1);
        ck_assert_str_eq(fields->field[0].name, "rbx");
        ck_assert(fields->field[0].has_before);
        ck_assert_uint_eq(fields->field[0].value[side], fields->field[0].value[1 - side] ^ 0x40);
        ck_assert_uint_eq(rig.result.difference.insn.code[0], 0x01);
        ck_assert_uint_eq(rig.result.difference.step_memory.count, 0);
        ck_assert_uint_ge(rig.result.difference.last_count, 4);
        teardown();
    }
    setup();
}
END_TEST

/* AL is wrong, and goes out: the access differs. */
START_TEST(test_event)
{
    rig.side[0].fault = (struct rig_fault){.wrong = RIG_REGISTER, .linear = 0x7C05, .time = 3, .reg = CPU_RAX};
    rig_run(&rig);
    expect(LOCKSTEP_EVENT, 2, 0x7C05);
    ck_assert(rig.result.difference.has_event[0] && rig.result.difference.has_event[1]);
    ck_assert_uint_eq(rig.result.difference.event[0].address, 0x80);
    ck_assert_uint_ne(rig.result.difference.event[0].value, rig.result.difference.event[1].value);
}
END_TEST

/* Memory alone, seen at the next look at all of it; the exit in between is found afterwards. */
START_TEST(test_memory)
{
    rig.options.every = 8;
    rig.side[1].fault = (struct rig_fault){.wrong = RIG_MEMORY, .linear = 0x7C17, .time = 10, .gpa = 0x5123};
    rig_run(&rig);
    expect(LOCKSTEP_MEMORY, 9, 0x7C17);
    ck_assert_uint_eq(rig.result.difference.step_memory.count, 1);
    ck_assert_uint_eq(rig.result.difference.step_memory.range[0].gpa, 0x5123);
    ck_assert_uint_eq(rig.result.difference.step_memory.range[0].size_bytes, 1);
}
END_TEST

/* AF of the IMUL, which the ADD behind it sets anew: nothing that remains. Then of DEC, which does. */
START_TEST(test_flag)
{
    rig.side[0].fault = (struct rig_fault){.wrong = RIG_FLAG, .linear = 0x7C05, .time = 4};
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_EQUAL);
    rig.side[0].fault.linear = 0x7C0B;
    rig_run(&rig);
    expect(LOCKSTEP_REGISTERS, 3, 0x7C0B);
    ck_assert_str_eq(rig.result.difference.step_registers.field[0].name, "rflags");
}
END_TEST

START_TEST(test_search)
{
    rig_search(&rig, guest, sizeof guest, false);
}
END_TEST

/* An endless loop without exits: nobody hangs, and nothing is said to be equal. */
START_TEST(test_endless)
{
    static const uint8_t endless[] = {0xE6, 0x80, 0xEB, 0xFE}; /* out 80, al; jmp $ */
    rig.code = endless;
    rig.size = sizeof endless;
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_NOT_COMPARED);
    ck_assert_msg(strstr(rig.result.reason, "neither came to another exit") != NULL, "%s", rig.result.reason);
    ck_assert_uint_eq(rig.result.exits, 2); /* OUT, and where the leader was told to stop */
}
END_TEST

/* One goes another way and never comes to an exit again. */
START_TEST(test_one_stuck)
{
    static const uint8_t code[] = {0xE6, 0x80, 0x31, 0xC0, 0x85, 0xC0, 0x75, 0xFE, 0xE6, 0x80, 0xFA, 0xF4};
    rig.code = code; /* out; xor ax, ax; test ax, ax; jnz $; out; cli; hlt */
    rig.size = sizeof code;
    rig.side[0].fault = (struct rig_fault){.wrong = RIG_REGISTER, .linear = 0x7C02, .time = 1, .reg = CPU_RAX};
    rig_run(&rig);
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_DIFFERENT);
    ck_assert_uint_eq(rig.result.difference.equal_exits, 1);
    ck_assert_msg(rig.result.difference.has_insn, "%s", rig.result.difference.why);
    ck_assert_uint_eq(rig.result.difference.insn.linear, 0x7C02);
}
END_TEST

/* Time that is going to jump has not before the tick says so to both: an access in between reads it. */
START_TEST(test_time_jumps_by_ticks)
{
    static const struct lockstep_clock clock = {.wall_clock_seconds = 1};
    struct lockstep_script *script = lockstep_script_create();
    struct input *leads = lockstep_input_create(script, &clock, true),
                 *follows = lockstep_input_create(script, &clock, false);
    struct position at = {5, 0}, later = {6, 0};
    unsigned asked = 0;
    while (!leads->ops->due(leads, at, 1000000000u))
        ck_assert_uint_lt(++asked, 100);
    ck_assert_uint_ge(asked, 4);
    ck_assert(leads->ops->due(leads, at, 1000000000u)); /* as long as it has not acted */
    ck_assert_uint_eq(leads->ops->pull(leads, INPUT_CLOCK, later, NULL, NULL),
                      follows->ops->pull(follows, INPUT_CLOCK, later, NULL, NULL));
    input_destroy(leads);
    input_destroy(follows);
    lockstep_script_destroy(script);
}
END_TEST

START_TEST(test_report)
{
    rig.side[0].fault = (struct rig_fault){.wrong = RIG_REGISTER, .linear = 0x7C0B, .time = 5, .reg = CPU_RBX};
    rig_run(&rig);
    json_t *object = lockstep_json(&rig.result),
           *insn = json_object_get(json_object_get(object, "difference"), "instruction");
    ck_assert_str_eq(json_string_value(json_object_get(object, "verdict")), "different");
    ck_assert_str_eq(json_string_value(json_object_get(insn, "address")), "0x7c0b");
    ck_assert(strstr(json_string_value(json_object_get(insn, "text")), "add bx, ax") != NULL);
    json_decref(object);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    lockstep_print(&rig.result, (const char *const[]){"one", "other"}, out);
    fclose(out);
    ck_assert(strstr(text, "add bx, ax") && strstr(text, "a: one, b: other"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lockstep");
    TCase *tests = tcase_create("lockstep");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_equal);
    tcase_add_test(tests, test_over);
    tcase_add_test(tests, test_until);
    tcase_add_test(tests, test_register);
    tcase_add_test(tests, test_event);
    tcase_add_test(tests, test_memory);
    tcase_add_test(tests, test_flag);
    tcase_add_test(tests, test_search);
    tcase_add_test(tests, test_endless);
    tcase_add_test(tests, test_one_stuck);
    tcase_add_test(tests, test_time_jumps_by_ticks);
    tcase_add_test(tests, test_report);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
