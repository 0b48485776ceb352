/* Virtual-8086 mode extensions and protected-mode virtual interrupts: expectations from the Intel SDM vol. 3, 20.3, 20.4;
 * vol. 2, CLI, STI, PUSHF, POPF, IRET. */
#include "tests/accel-interp/cpu_test.h"

enum { TF = 0x100, IF = 0x200, IOPL3 = 0x3000, VM = 0x20000, VIF = 0x80000, VIP = 0x100000, T_IOMAP = 0x88 };

/* A virtual-8086 task at T_CODE with an 8086 stack at 0x7000; the redirection bitmap lies below the I/O bitmap. */
static struct cpu_test vm86(uint32_t flags, bool vme)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.cr4 = vme ? 1 : 0;
    for (unsigned n = CPU_ES; n <= CPU_GS; n++)
        t.s.segment[n] = (struct cpu_segment){.attributes = 0xF3, .limit = 0xFFFF};
    t.s.rflags = 2 | VM | flags;
    t.s.gpr[CPU_RSP] = 0x7000;
    t_put(&t, T_TSS + 0x66, T_IOMAP, 2);
    for (unsigned n = 0; n < 32; n++)
        t_put(&t, T_TSS + T_IOMAP - 32 + n, 0xFF, 1);
    return t;
}

/* CLI, STI, PUSHF, POPF of what is on the stack, IRET at IOPL 0 and 3: resulting flags, or the fault. */
static const struct {
    uint8_t code[2];
    uint32_t flags, popped, after; /* of IF VIF VIP IOPL */
    bool vme;
    int vector;
} sensitive[] = {
    {{0xFA}, VIF | IF, 0, IF, true, 6},
    {{0xFB}, 0, 0, VIF, true, 6},
    {{0xFB}, VIP, 0, VIP, true, 13},
    {{0xFA}, IF, 0, IF, false, 13},
    {{0xFA}, IF | VIF | IOPL3, 0, VIF | IOPL3, true, 6}, /* IOPL 3: the flag itself */
    {{0xFB}, VIP | IOPL3, 0, VIP | IOPL3 | IF, true, 6},
    {{0x9D}, IF, IF, IF | VIF, true, 6},
    {{0x9D}, IF | VIF, 0, IF, true, 6},
    {{0x9D}, VIP, IF, VIP, true, 13},
    {{0x9D}, VIP, 0, VIP, true, 6},
    {{0x9D}, 0, TF, 0, true, 13},
    {{0x9D}, 0, IOPL3, 0, true, 6}, /* IOPL stays */
    {{0x9D}, 0, IF, 0, false, 13},
    {{0x66, 0x9D}, 0, IF, 0, true, 13}, /* POPFD */
    {{0x66, 0x9C}, 0, IF, 0, true, 13}, /* PUSHFD */
};
START_TEST(sensitive_instruction)
{
    struct cpu_test t = vm86(sensitive[_i].flags, sensitive[_i].vme);
    memory_write(t.memory, T_CODE, sensitive[_i].code, 2);
    t_put(&t, T_CODE + (sensitive[_i].code[1] ? 2 : 1), 0x0B0F, 2); /* ud2 */
    t_put(&t, 0x7000, sensitive[_i].popped, 4);
    t_run(&t);
    ck_assert_int_eq(t.vector, sensitive[_i].vector);
    unsigned flags = t.vector == 13 ? 3 : 2;
    ck_assert_uint_eq(t_stack(&t, flags, 4) & (IF | VIF | VIP | IOPL3), sensitive[_i].after);
    ck_assert_uint_eq(t_stack(&t, flags + 1, 4), t.vector == 6 && sensitive[_i].code[0] == 0x9D ? 0x7002 : 0x7000);
    t_destroy(&t);
}
END_TEST

START_TEST(pushf_shows_vif)
{
    struct cpu_test t = vm86(_i & 1 ? VIF : IF, true);
    t_code(&t, 0x9C, 0x0F, 0x0B);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    ck_assert_uint_eq(t_get(&t, 0x6FFE, 2), 2 | IOPL3 | (_i & 1 ? IF : 0));
    t_destroy(&t);
}
END_TEST

START_TEST(iret_sets_vif)
{
    struct cpu_test t = vm86(0, true);
    t_put(&t, 0x7000, 0x9000, 2);
    t_put(&t, 0x7002, 0, 2);
    t_put(&t, 0x7004, IF | 1, 2);
    t_code(&t, 0xCF);
    t_put(&t, 0x9000, 0x0B0F, 2);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0x9000);
    ck_assert_uint_eq(t_stack(&t, 2, 4) & (IF | VIF | IOPL3 | 1), VIF | 1);
    ck_assert_uint_eq(t_stack(&t, 3, 4), 0x7006);
    t_destroy(&t);
}
END_TEST

/* INT 42h: to the task's own handler at 0:9000h where the bitmap has a 0 (methods 5 and 6), else through the IDT (3, 4). */
START_TEST(int_redirected)
{
    uint32_t iopl = _i & 1 ? IOPL3 : 0;
    struct cpu_test t = vm86(iopl | IF | (iopl ? 0 : VIF), true);
    t_put(&t, 4 * 0x42, 0x9000, 4);
    t_put(&t, T_TSS + T_IOMAP - 32 + 0x42 / 8, 0xFF & ~(1 << (0x42 & 7)), 1);
    t_code(&t, 0xCD, 0x42);
    t_put(&t, 0x9000, 0x0B0F, 2);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0x9000);
    ck_assert_uint_eq(t_stack(&t, 3, 4), 0x6FFA);
    ck_assert_uint_eq(t_get(&t, 0x6FFA, 2), T_CODE + 2);
    ck_assert_uint_eq(t_get(&t, 0x6FFC, 2), 0);
    ck_assert_uint_eq(t_get(&t, 0x6FFE, 2), 2 | IOPL3 | IF);
    ck_assert_uint_eq(t_stack(&t, 2, 4) & (IF | VIF), iopl ? 0 : IF);
    t_destroy(&t);
}
END_TEST

START_TEST(int_not_redirected)
{
    struct cpu_test t = vm86(_i ? IOPL3 : 0, true);
    t_idt32(&t, 0x42, SEL_CODE0, 0xEE);
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 0x42 : 13);
    if (!_i)
        ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    t_destroy(&t);
}
END_TEST

/* VIF and VIP both set when an instruction is about to run: #GP(0) before it. */
START_TEST(pending_on_entry)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.cr4 = 1;
    uint32_t frame[] = {0x9000, 0, 2 | VM | VIF | VIP, 0x7000, 0, 0, 0, 0, 0};
    t.s.gpr[CPU_RSP] = T_STACK;
    memory_write(t.memory, T_STACK, frame, sizeof frame);
    t_code(&t, 0xCF);
    t_put(&t, 0x9000, 0x0B0F, 2);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    ck_assert_uint_eq(t_stack(&t, 1, 4), 0x9000);
    t_destroy(&t);
}
END_TEST

/* PVI: CLI and STI at CPL 3; POPF knows nothing of it. */
START_TEST(protected_mode_virtual_interrupts)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t.s.cr4 = 2;
    t.s.rflags = 2 | (_i == 2 ? VIP : _i == 1 ? VIF : 0);
    t_put(&t, T_STACK3, IF, 4);
    if (_i == 1)
        t_code(&t, 0xFA);
    else if (_i == 3)
        t_code(&t, 0x9D);
    else
        t_code(&t, 0xFB);
    t_code(&t, 0x0F, 0x0B);
    t_run(&t);
    ck_assert_int_eq(t.vector, _i == 2 ? 13 : 6);
    ck_assert_uint_eq(t_stack(&t, _i == 2 ? 3 : 2, 4) & (IF | VIF | VIP), _i == 0 ? VIF : _i == 2 ? VIP : 0);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, sensitive_instruction, 0, sizeof sensitive / sizeof sensitive[0]);
    tcase_add_loop_test(tcase, pushf_shows_vif, 0, 2);
    tcase_add_test(tcase, iret_sets_vif);
    tcase_add_loop_test(tcase, int_redirected, 0, 2);
    tcase_add_loop_test(tcase, int_not_redirected, 0, 2);
    tcase_add_test(tcase, pending_on_entry);
    tcase_add_loop_test(tcase, protected_mode_virtual_interrupts, 0, 4);
}
T_MAIN("virtual", add_tests)
