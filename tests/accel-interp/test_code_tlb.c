/* Translations of code that leave the TLB: what ran in that page is found anew, by the translation of then, and all other code
 * is entered as before. The TLB's size (interp.h) is part of what a guest can see: pages 4 MiB apart take each other's place. */
#include "tests/accel-interp/cpu_test.h"

enum {
    RIGHTS = 7,
    FAR_TABLE = 0x14000, /* of the 2 MiB at FAR_BASE */
    FAR_BASE = 0x400000,
    CODE_A = 0x30000,
    CODE_FAR = FAR_BASE + CODE_A, /* in CODE_A's place */
    CODE_C = 0x34000,
    FRAME_FAR = 0x32000,
    FRAME_MOVED = 0x33000,
    A_ENTRY = T_PT + 8 * (CODE_A >> 12)
};
enum { SET_AL = 0xB0, SET_AH = 0xB4 };

static void put_function(struct cpu_test *t, uint64_t gpa, uint8_t opcode, uint8_t result)
{
    t_put(t, gpa, opcode | (uint32_t)result << 8 | 0xC30000, 3); /* mov al or ah, result; ret */
}

static struct cpu_test create(void)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PD + 8 * (FAR_BASE >> 21), FAR_TABLE | RIGHTS, 8);
    t_put(&t, FAR_TABLE + 8 * (CODE_A >> 12), FRAME_FAR | RIGHTS, 8);
    put_function(&t, CODE_A, SET_AL, 0x11);
    put_function(&t, FRAME_MOVED, SET_AL, 0x22);
    put_function(&t, FRAME_FAR, SET_AH, 0x99);
    put_function(&t, CODE_C, SET_AH, 0x33);
    t.s.gpr[CPU_RSI] = CODE_A;
    t.s.gpr[CPU_RDI] = CODE_FAR;
    t.s.gpr[CPU_RBX] = CODE_C;
    return t;
}

static const struct {
    uint8_t code[3];
    uint8_t expected;
} between[] = {
    {{0x90, 0x90, 0x90}, 0x11}, /* nop: a TLB is allowed to hold it, and ours does */
    {{0xFF, 0xD3, 0x90}, 0x11}, /* call rbx: another page */
    {{0xFF, 0xD7, 0x90}, 0x22}, /* call rdi: the page that takes its place */
    {{0x0F, 0x01, 0x3E}, 0x22}, /* invlpg [rsi] */
    {{0x0F, 0x01, 0x3F}, 0x11}, /* invlpg [rdi] */
};

/* Calls CODE_A, moves it behind the TLB's back, does something, and the same again: by a link when direct. */
START_TEST(page_moved_between)
{
    int32_t delta = CODE_A - (T_CODE + 5);
    struct cpu_test t = create();
    t.s.gpr[CPU_RDX] = A_ENTRY;
    t.s.gpr[CPU_RCX] = FRAME_MOVED | RIGHTS;
    t.s.gpr[CPU_RBP] = 1;
    if (_i % 2)
        t_put(&t, T_CODE, 0xE8 | (uint64_t)(uint32_t)delta << 8, 5); /* call CODE_A */
    else
        t_put(&t, T_CODE, 0x909090D6FF, 5); /* call rsi */
    t.code = T_CODE + 5;
    t_code(&t, 0x48, 0x89, 0x0A); /* mov [rdx], rcx */
    memory_write(t.memory, T_CODE + 8, between[_i / 2].code, 3);
    t.code = T_CODE + 11;
    t_code(&t, 0xFF, 0xCD, 0x79, 0xF1, 0xF4); /* dec ebp; jns T_CODE; hlt */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX] & 0xFF, between[_i / 2].expected);
    t_destroy(&t);
}
END_TEST

/* Two pages that put each other out cost a search each time around, and the other code none. */
START_TEST(other_code_stays_entered)
{
    enum { ROUNDS = 100 }; /* of 14 steps */
    struct accel_statistics statistics;
    struct cpu_test t = create();
    t.s.gpr[CPU_RCX] = ROUNDS;
    t_code(&t, 0xFF, 0xD6, 0xFF, 0xD3, 0xFF, 0xD7, 0xFF, 0xD3); /* call rsi, rbx, rdi, rbx */
    t_code(&t, 0xFF, 0xC9, 0x75, 0xF4, 0xF4);                   /* dec ecx; jnz; hlt */
    t_steps(&t, 14 * ROUNDS + 1);
    ck_assert_int_eq(t.vector, -1);
    t.accel->ops->statistics(t.accel, &statistics);
    ck_assert_uint_ge(statistics.block_searches, 2 * ROUNDS);
    ck_assert_uint_le(statistics.block_searches, 2 * ROUNDS + 20);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, page_moved_between, 0, 2 * sizeof between / sizeof between[0]);
    tcase_add_test(tcase, other_code_stays_entered);
}
T_MAIN("code_tlb", add_tests)
