/* Single steps and breakpoints in repeated string instructions, alignment checks, NMI and IRET, RIP-relative operands far
 * away, the end of a 16-bit segment: expectations from the Intel SDM vol. 3, 6.7.1, 6.15 (#AC), 17.3.1. */
#include "tests/accel-interp/cpu_test.h"

enum { TF = 0x100, RF = 0x10000, AC = 0x40000 };

/* TF: #DB after each iteration, RIP at the instruction and RF set until the last. */
START_TEST(step_through_rep)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.rflags = 2 | TF;
    t.s.gpr[CPU_RCX] = _i + 1;
    t.s.gpr[CPU_RDI] = T_DATA;
    t.s.gpr[CPU_RAX] = 0x5A;
    t_code(&t, 0xF3, 0xAA); /* rep stosb */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], _i);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], T_DATA + 1);
    ck_assert_uint_eq(t_stack(&t, 0, 8), _i ? T_CODE : T_CODE + 2);
    ck_assert_uint_eq(t_stack(&t, 2, 8) & RF, _i ? RF : 0);
    ck_assert_uint_eq(t_get(&t, T_DATA, 2), 0x5A);
    t_destroy(&t);
}
END_TEST

/* A data breakpoint in the middle traps after its iteration. */
START_TEST(data_breakpoint_in_rep)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.dr[0] = T_DATA + 5;
    t.s.dr[7] = 0x400 | 2 | 1 << 16; /* write, one byte */
    t.s.gpr[CPU_RCX] = 16;
    t.s.gpr[CPU_RSI] = T_DATA + 0x100;
    t.s.gpr[CPU_RDI] = T_DATA;
    t_code(&t, 0x90, 0xF3, 0xA4); /* rep movsb */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 10);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], T_DATA + 6);
    ck_assert_uint_eq(t_stack(&t, 0, 8), T_CODE + 1);
    ck_assert_uint_eq(t_stack(&t, 2, 8) & RF, RF);
    ck_assert_uint_eq(t.s.dr[6] & 0xF, 1);
    t_destroy(&t);
}
END_TEST

/* #AC at CPL 3, also where the page is absent (measured: it comes before #PF); vectors may lie anywhere. */
static const struct {
    uint8_t code[8];
    int vector;
} alignment[] = {
    /* xmm1 is all ones */
    {{0x8B, 0x47, 0x02}, 17},       /* mov eax, [rdi + 2] */
    {{0x8B, 0x47, 0x04}, 14},       /* aligned */
    {{0x0F, 0x10, 0x47, 0x04}, 14}, /* movups xmm0, [rdi + 4] */
    {{0xDB, 0x6F, 0x04}, 17},       /* fld m80: 8 bytes */
    {{0xDB, 0x6F, 0x08}, 14},
    {{0xD9, 0x77, 0x02}, 17}, /* fnstenv: 4 bytes */
    {{0xD9, 0x77, 0x04}, 14},
    {{0xDD, 0x77, 0x02}, 17},                         /* fnsave */
    {{0x48, 0x0F, 0xB4, 0x47, 0x04}, 17},             /* lfs rax, m16:64 */
    {{0xC4, 0xE2, 0x75, 0x90, 0x54, 0x87, 0x02}, 14}, /* vpgatherdd ymm2, [rdi + ymm0 * 4 + 2], ymm1 */
    {{0xC4, 0xE2, 0xF5, 0x91, 0x54, 0x87, 0x02}, 14}, /* vpgatherqq */
    {{0xC4, 0xE2, 0x75, 0x2C, 0x57, 0x02}, 14},       /* vmaskmovps ymm2, ymm1, [rdi + 2] */
    {{0xC4, 0xE2, 0xF5, 0x8E, 0x57, 0x02}, 14},       /* vpmaskmovq [rdi + 2], ymm1, ymm2 */
    {{0xC4, 0xE2, 0x79, 0x18, 0x57, 0x02}, 17},       /* vbroadcastss xmm2, [rdi + 2] */
    {{0x0F, 0x01, 0x47, 0x06}, 14},                   /* sgdt [rdi + 6]: word at 6, quadword at 8 */
    {{0x0F, 0x01, 0x47, 0x02}, 17},
    {{0x0F, 0x01, 0x4F, 0x08}, 17}, /* sidt [rdi + 8] */
    {{0x0F, 0x01, 0x4F, 0x0E}, 14},
};
START_TEST(alignment_check)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr0 |= 0x40000;
    t.s.cr4 |= 0x40200;
    t.s.xcr0 = 7;
    memset(t.s.vector[1].q, 0xFF, 32);
    t.s.rflags |= AC;
    t.s.gpr[CPU_RDI] = 0x60000;
    t_put(&t, T_PT + 8 * 0x60, 0, 8);
    memory_write(t.memory, T_CODE, alignment[_i].code, 8);
    t_run(&t);
    ck_assert_int_eq(t.vector, alignment[_i].vector);
    t_destroy(&t);
}
END_TEST

/* The stack of IRET at CPL 3. */
START_TEST(alignment_of_the_stack)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr0 |= 0x40000;
    t.s.rflags |= _i ? AC : 0;
    t.s.gpr[CPU_RSP] = T_STACK3 - 0x104;
    uint64_t frame[] = {T_CODE + 0x10, SEL_CODE64_3, 2, T_STACK3, SEL_DATA3};
    memory_write(t.memory, T_STACK3 - 0x104, frame, sizeof frame);
    t_code(&t, 0x48, 0xCF);
    t_put(&t, T_CODE + 0x10, 0x0B0F, 2);
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 17 : 6);
    t_destroy(&t);
}
END_TEST

/* An IRET that faults unblocks NMIs all the same. */
START_TEST(faulting_iret_unblocks_nmi)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.nmi_blocked = true;
    t_put(&t, T_STACK + 4, 0, 4); /* CS: null */
    t_code(&t, 0xCF);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert(!t.s.nmi_blocked);
    t_destroy(&t);
}
END_TEST

START_TEST(rip_relative_far)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RBX] = 0x1122334455667788;
    t_code(&t, 0x90, 0x90, 0x90);
    t_code(&t, 0x48, 0x8D, 0x05, 0xFF, 0xFF, 0xFF, 0x7F);       /* lea rax, [rip + 7FFFFFFFh] */
    t_code(&t, 0x48, 0x8B, 0x1D, 0xFE, 0xFF, 0xFF, 0x7F, 0xF4); /* mov rbx, [rip + 7FFFFFFEh]: not mapped */
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], T_CODE + 10 + 0x7FFFFFFFull);
    ck_assert_uint_eq(t.s.cr2, T_CODE + 17 + 0x7FFFFFFEull);
    t_destroy(&t);
}
END_TEST

/* CALL and RET across the end of the canonical half: #SS(0). */
START_TEST(near_call_stack_not_canonical)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RSP] = 0x7FFFFFFFFFFC + (_i ? 0 : 8);
    t_put(&t, T_TSS + 36, T_STACK0, 8);
    t_idt64(&t, 12, SEL_CODE64, 0x8E, 1); /* IST 1 */
    if (_i)
        t_code(&t, 0xC3);
    else
        t_code(&t, 0xE8, 0, 0, 0, 0);
    t_run(&t);
    ck_assert_int_eq(t.vector, 12);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
    t_destroy(&t);
}
END_TEST

/* What follows the last byte of a 64 KiB code segment is beyond its limit. */
START_TEST(no_wrap_of_ip)
{
    struct cpu_test t = t_create();
    t_put(&t, 0xFFFF, 0x90, 1);
    t.s.rip = 0xFFFF;
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 2), 0); /* IP: 10000h, of which 16 bits are pushed */
    t_destroy(&t);
}
END_TEST

/* Code that goes on in an absent page: #PF names that page, the frame the instruction's start. */
START_TEST(fetch_fault_on_second_page)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PT + 8 * 0x61, 0, 8);
    t_put(&t, 0x60FFE, 0xB848, 2); /* mov rax, imm64 */
    t.s.rip = 0x60FFE;
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t.s.cr2, 0x61000);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0x10); /* a fetch: NX is on */
    ck_assert_uint_eq(t_stack(&t, 1, 8), 0x60FFE);
    t_destroy(&t);
}
END_TEST

/* ---- branches only ---- */

/* IA32_DEBUGCTL.BTF: TF traps after a branch, which #DB ends; not after a repeated instruction's iterations. */
START_TEST(step_on_branches)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.rflags = 2 | TF;
    t.s.debug_control = 2;
    t.s.gpr[CPU_RCX] = 3;
    t.s.gpr[CPU_RDI] = T_DATA;
    t_code(&t, 0x90, 0xF3, 0xAA, 0x75, 0x00, 0xEB, 0x01, 0xF4, 0x90); /* nop; rep stosb; jnz; jmp +1; hlt; nop */
    t.s.rflags |= 0x40;                                               /* ZF: JNZ falls through */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 8), T_CODE + 8);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0);
    ck_assert_uint_eq(t.s.dr[6] & 0xE00F, 0x4000);
    ck_assert_uint_eq(t.s.debug_control, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(debug_control_msr)
{
    static const struct {
        uint64_t value;
        bool fault;
    } rows[] = {{0, false}, {2, false}, {1, true}, {0x40, true}, {1ull << 32, true}};
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 0x1D9;
    t.s.gpr[CPU_RAX] = rows[_i].value;
    t.s.gpr[CPU_RDX] = rows[_i].value >> 32;
    t_code(&t, 0x0F, 0x30, 0xB8, 7, 0, 0, 0, 0x0F, 0x32, 0xF4); /* wrmsr; mov eax, 7; rdmsr; hlt */
    t_run(&t);
    ck_assert_int_eq(t.vector, rows[_i].fault ? 13 : -1);
    if (!rows[_i].fault)
        ck_assert_uint_eq(t.s.gpr[CPU_RAX], rows[_i].value);
    t_destroy(&t);
}
END_TEST

/* A breakpoint that an instruction hit before it faulted is not reported: the instruction runs again. */
START_TEST(fault_takes_breakpoint_back)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.dr[0] = T_DATA;
    t.s.dr[7] = 0x400 | 2 | 3 << 16 | 3 << 18; /* read or write, 4 bytes */
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = 0x60000;
    t_put(&t, T_PT + 8 * 0x60, 0, 8);
    t_code(&t, 0x90, 0xA5); /* movsd */
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE + 1);
    ck_assert_uint_eq(t.s.pending_debug, 0);
    ck_assert_uint_eq(t.s.dr[6] & 0xF, 0);
    t_destroy(&t);
}
END_TEST

/* #DB of DR7.GD is a fault, and no instruction breakpoint made it: RF is pushed as 1 (SDM vol. 3, 17.3.1.1). */
START_TEST(general_detect_pushes_rf)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.dr[7] = 0x2400;
    t_code(&t, 0x0F, 0x21, 0xC0); /* mov rax, dr0 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 8), T_CODE);
    ck_assert_uint_eq(t_stack(&t, 2, 8) & RF, RF);
    ck_assert_uint_eq(t.s.rflags & RF, 0);
    ck_assert_uint_eq(t.s.dr[6] & 0x2000, 0x2000);
    ck_assert_uint_eq(t.s.dr[7] & 0x2000, 0);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, step_through_rep, 0, 3);
    tcase_add_test(tcase, data_breakpoint_in_rep);
    tcase_add_loop_test(tcase, alignment_check, 0, sizeof alignment / sizeof alignment[0]);
    tcase_add_loop_test(tcase, alignment_of_the_stack, 0, 2);
    tcase_add_test(tcase, faulting_iret_unblocks_nmi);
    tcase_add_test(tcase, rip_relative_far);
    tcase_add_loop_test(tcase, near_call_stack_not_canonical, 0, 2);
    tcase_add_test(tcase, no_wrap_of_ip);
    tcase_add_test(tcase, fetch_fault_on_second_page);
    tcase_add_test(tcase, step_on_branches);
    tcase_add_loop_test(tcase, debug_control_msr, 0, 5);
    tcase_add_test(tcase, fault_takes_breakpoint_back);
    tcase_add_test(tcase, general_detect_pushes_rf);
}
T_MAIN("stepping", add_tests)
