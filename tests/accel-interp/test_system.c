/* Control registers, MSRs, CPUID, time stamps, privileged instructions, the CPU model's names. */
#include "tests/accel-interp/cpu_test.h"

/* mov crN, rax (or ecx: rdmsr/wrmsr) with a value, in 64-bit mode at CPL 0. */
static const struct {
    uint8_t cr;
    uint64_t value;
    bool fault;
} control[] = {
    {0, 0x80010033, false},     {0, 0x80010032, true}, /* PG without PE */
    {0, 0xA0010033, true},                             /* NW without CD */
    {0, 0x180010033, true},                            /* upper half */
    {0, 0x00010033, true},                             /* PG off in 64-bit code */
    {3, T_PML4, false},         {3, 1ull << 40, true},
    {3, 1ull << 63, true},                                 /* no PCID */
    {4, 0x3006F8, false},       {4, 0x620 & ~0x20u, true}, /* PAE off in long mode */
    {4, 0x620 | 1 << 13, true},                            /* VMXE */
    {4, 0x620 | 1 << 17, false},                           /* PCIDE with CR3 bits 11:0 clear */
    {4, 1ull << 32, true},      {8, 16, true},
};
START_TEST(control_register)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    if (control[_i].cr == 8)
        t_code(&t, 0x44, 0x0F, 0x22, 0xC0, 0xF4);
    else if (control[_i].cr == 0)
        t_code(&t, 0x0F, 0x22, 0xC0, 0xF4);
    else if (control[_i].cr == 3)
        t_code(&t, 0x0F, 0x22, 0xD8, 0xF4);
    else
        t_code(&t, 0x0F, 0x22, 0xE0, 0xF4);
    t.s.gpr[CPU_RAX] = control[_i].value;
    if (control[_i].cr == 4 && !control[_i].fault) { /* SMEP, SMAP: supervisor pages */
        for (unsigned n = 0; n < 512; n++)
            t_put(&t, T_PT + 8 * n, n << 12 | 3, 8);
    }
    t_run(&t);
    ck_assert_int_eq(t.vector, control[_i].fault ? 13 : -1);
    uint64_t now = control[_i].cr == 0 ? t.s.cr0 : control[_i].cr == 3 ? t.s.cr3 : t.s.cr4;
    if (!control[_i].fault)
        ck_assert_uint_eq(now, control[_i].value);
    t_destroy(&t);
}
END_TEST

START_TEST(undefined_registers)
{
    static const uint8_t codes[][3] = {{0x0F, 0x20, 0xC8}, {0x0F, 0x22, 0xE8}, {0x0F, 0x21, 0xE0}}; /* cr1, cr5, dr4 */
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.cr4 |= 8; /* DE */
    memory_write(t.memory, T_CODE, codes[_i], 3);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

START_TEST(dr4_is_dr6_without_de)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_code(&t, 0x0F, 0x21, 0xE0, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0xFFFF0FF0);
    t_destroy(&t);
}
END_TEST

START_TEST(lmsw_sets_but_never_clears_pe)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.gpr[CPU_RAX] = 0xFFF8;                            /* TS, PE off; the rest is ignored */
    t_code(&t, 0x0F, 0x01, 0xF0, 0x0F, 0x01, 0xE1, 0xF4); /* lmsw ax; smsw ecx; hlt */
    t_run(&t);
    ck_assert_uint_eq(t.s.cr0, 0x39);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0x39);
    t_destroy(&t);
}
END_TEST

/* At CPL 3 each is #GP(0). */
static const uint8_t privileged[][4] = {
    {0xF4},
    {0xFA},
    {0xFB},
    {0x0F, 0x06},
    {0x0F, 0x20, 0xC0},
    {0x0F, 0x22, 0xD8},
    {0x0F, 0x21, 0xC0},
    {0x0F, 0x30},
    {0x0F, 0x32},
    {0x0F, 0x09},
    {0x0F, 0x01, 0x13},
    {0x0F, 0x01, 0x1B},
    {0x0F, 0x01, 0x3B},
    {0x0F, 0x01, 0xF0},
    {0x0F, 0x00, 0xD0},
    {0x0F, 0x00, 0xD8},
    {0x0F, 0x01, 0xF8},
    {0x0F, 0x07},
    {0x0F, 0x35},
};
START_TEST(privilege)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.gpr[CPU_RBX] = T_DATA;
    t.s.sysenter_cs = SEL_CODE0;
    memory_write(t.memory, T_CODE, privileged[_i], 4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE);
    t_destroy(&t);
}
END_TEST

/* WRMSR then RDMSR: what is read back, or #GP. */
static const struct {
    uint32_t index;
    uint64_t value, back;
    bool fault;
} msrs[] = {
    {0x174, 0x10, 0x10, false},
    {0x175, 0xFFFF800000000000, 0xFFFF800000000000, false},
    {0x175, 0x0000800000000000, 0, true},
    {0xC0000081, 0x23001000000000, 0x23001000000000, false},
    {0xC0000082, 0x0001000000000000, 0, true},
    {0xC0000084, 0x47700, 0x47700, false},
    {0xC0000080, 0xD01, 0xD01, false},
    {0xC0000080, 0xC01, 0, true},  /* LME with paging on */
    {0xC0000080, 0x1D01, 0, true}, /* SVME */
    {0xC0000101, 0x12345678, 0x12345678, false},
    {0xC0000102, 0xFFFFFFFF80000000, 0xFFFFFFFF80000000, false},
    {0x277, 0x0007040600070406, 0x0007040600070406, false},
    {0x277, 0x02, 0, true},
    {0x2FF, 0xC06, 0xC06, false},
    {0x2FF, 0xC07, 0, true},
    {0x200, 0xC0000000, 0xC0000000, false},
    {0x201, 0xFFC0000800, 0xFFC0000800, false},
    {0x201, 0x1FFC0000800, 0, true},
    {0x20F, 0x800, 0x800, false},
    {0x26F, 0x0606060606060606, 0x0606060606060606, false},
    {0x26F, 0x0606060606060602, 0, true},
    {0x3B, 0x1000, 0x1000, false},
    {0xFE, 0, 0, true},
    {0x10A, 0, 0, true},
    {0xC0000103, 7, 7, false},
    {0xDEAD, 0, 0, true},
};
START_TEST(msr)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = msrs[_i].index;
    t.s.gpr[CPU_RAX] = (uint32_t)msrs[_i].value;
    t.s.gpr[CPU_RDX] = msrs[_i].value >> 32;
    t_code(&t, 0x0F, 0x30, 0x31, 0xC0, 0x31, 0xD2, 0x0F, 0x32, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, msrs[_i].fault ? 13 : -1);
    if (!msrs[_i].fault)
        ck_assert_uint_eq(t.s.gpr[CPU_RDX] << 32 | t.s.gpr[CPU_RAX], msrs[_i].back);
    t_destroy(&t);
}
END_TEST

START_TEST(unknown_msr_is_named)
{
    struct accel_unimplemented list[4];
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 0xDEAD;
    t_code(&t, 0x0F, 0x32);
    t_run(&t);
    ck_assert_uint_eq(t.accel->ops->unimplemented(t.accel, list, 4), 1);
    ck_assert_str_eq(list[0].name, "RDMSR 0xdead");
    ck_assert_str_eq(list[0].fault, "#GP");
    ck_assert_uint_eq(list[0].first_rip, T_CODE);
    t_destroy(&t);
}
END_TEST

START_TEST(time_stamps)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.tsc_offset = 1000;
    t.s.tsc_aux = 5;
    t_code(&t, 0x90, 0x90, 0x0F, 0x31,         /* rdtsc at step 2 */
           0x48, 0x89, 0xC3, 0x0F, 0x01, 0xF9, /* mov rbx, rax; rdtscp at step 4 */
           0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 1002);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 1004);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 5);
    t_destroy(&t);
}
END_TEST

START_TEST(writing_the_tsc_changes_adjust)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 0x10;
    t.s.gpr[CPU_RAX] = 5000;
    t.s.gpr[CPU_RDX] = 0;
    t_code(&t, 0x0F, 0x30, 0x0F, 0x31, 0xF4); /* wrmsr at step 0, rdtsc at step 1 */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 5001);
    ck_assert_uint_eq(t.s.tsc_adjust, 5000);
    t_destroy(&t);
}
END_TEST

START_TEST(tsd)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr4 |= 4;
    t_code(&t, 0x0F, 0x31);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    t_destroy(&t);
}
END_TEST

START_TEST(cpuid_without_apic)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RAX] = 1;
    t_code(&t, 0x0F, 0xA2, 0xF4);
    t_run(&t);
    struct cpu_state reset;
    cpu_state_reset(&reset);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], reset.gpr[CPU_RDX]); /* the signature at reset */
    ck_assert_uint_eq(t.s.gpr[CPU_RDX] >> 9 & 1, 0);         /* no local APIC in this machine */
    ck_assert_uint_eq(t.s.gpr[CPU_RDX] >> 26 & 1, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX] >> 27 & 1, 0); /* OSXSAVE */
    t_destroy(&t);
}
END_TEST

START_TEST(swapgs)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.segment[CPU_GS].base = T_DATA;
    t.s.kernel_gs_base = T_DATA + 0x1000;
    t_put(&t, T_DATA, 1, 8);
    t_put(&t, T_DATA + 0x1000, 2, 8);
    t_code(&t, 0x0F, 0x01, 0xF8, 0x65, 0x48, 0x8B, 0x04, 0x25, 0, 0, 0, 0, 0xF4); /* swapgs; mov rax, gs:[0] */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 2);
    ck_assert_uint_eq(t.s.kernel_gs_base, T_DATA);
    t_destroy(&t);
}
END_TEST

START_TEST(table_registers)
{
    static const uint8_t gdtr[10] = {0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0x00, 0x80, 0xFF, 0xFF};
    struct cpu_test t = t_create();
    t_long(&t, 0);
    memory_write(t.memory, T_DATA, gdtr, sizeof gdtr);
    t.s.gpr[CPU_RBX] = T_DATA;
    t.s.gpr[CPU_RCX] = T_DATA + 0x100;
    t_code(&t, 0x0F, 0x01, 0x13, 0x0F, 0x01, 0x01, 0xF4); /* lgdt [rbx]; sgdt [rcx] */
    t_run(&t);
    ck_assert_uint_eq(t.s.gdtr_base, 0xFFFF800012345678);
    ck_assert_uint_eq(t.s.gdtr_limit, 0x1234);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0x100, 8), t_get(&t, T_DATA, 8));
    ck_assert_uint_eq(t_get(&t, T_DATA + 0x108, 2), 0xFFFF);
    t_destroy(&t);
}
END_TEST

START_TEST(lgdt_16_bit_operand_takes_24_bits)
{
    struct cpu_test t = t_create();
    t_put(&t, 0x500, 0x123456780010, 6);
    t_code(&t, 0x0F, 0x01, 0x16, 0x00, 0x05, 0x66, 0x0F, 0x01, 0x1E, 0x00, 0x05, 0xF4); /* lgdt; o32 lidt */
    t_run(&t);
    ck_assert_uint_eq(t.s.gdtr_base, 0x345678);
    ck_assert_uint_eq(t.s.idtr_base, 0x12345678);
    t_destroy(&t);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))
static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, control_register, 0, COUNT(control));
    tcase_add_loop_test(tcase, undefined_registers, 0, 3);
    tcase_add_test(tcase, dr4_is_dr6_without_de);
    tcase_add_test(tcase, lmsw_sets_but_never_clears_pe);
    tcase_add_loop_test(tcase, privilege, 0, COUNT(privileged));
    tcase_add_loop_test(tcase, msr, 0, COUNT(msrs));
    tcase_add_test(tcase, unknown_msr_is_named);
    tcase_add_test(tcase, time_stamps);
    tcase_add_test(tcase, writing_the_tsc_changes_adjust);
    tcase_add_test(tcase, tsd);
    tcase_add_test(tcase, cpuid_without_apic);
    tcase_add_test(tcase, swapgs);
    tcase_add_test(tcase, table_registers);
    tcase_add_test(tcase, lgdt_16_bit_operand_takes_24_bits);
}
T_MAIN("system", add_tests)
