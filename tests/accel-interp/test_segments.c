/* Segment loads and limits, descriptor queries, gates, far returns, tasks, fast system calls: expectations from the Intel
 * SDM vol. 2 and vol. 3, chapters 3, 5, 7. */
#include "tests/accel-interp/cpu_test.h"

enum { IF = 0x200, NT = 0x4000, VM = 0x20000 };

static void mov_sreg(struct cpu_test *t, unsigned sreg, uint16_t selector)
{
    uint8_t code[] = {0xB8, (uint8_t)selector, (uint8_t)(selector >> 8), 0, 0, 0x8E, (uint8_t)(0xC0 | sreg << 3), 0xF4};
    memory_write(t->memory, T_CODE, code, sizeof code);
}

static const struct {
    unsigned cpl, sreg;
    uint16_t selector;
    int vector; /* -1: loads */
    uint32_t error;
} loads[] = {
    {0, CPU_DS, SEL_DATA0, -1, 0},
    {0, CPU_DS, SEL_DATA0 | 3, 13, SEL_DATA0},
    {3, CPU_DS, SEL_DATA0, 13, SEL_DATA0},
    {3, CPU_DS, SEL_DATA3, -1, 0},
    {0, CPU_DS, 0, -1, 0},
    {0, CPU_DS, 3, -1, 0},
    {0, CPU_DS, SEL_CODE0, -1, 0}, /* readable code */
    {0, CPU_DS, SEL_EXECUTE_ONLY, 13, SEL_EXECUTE_ONLY},
    {3, CPU_DS, SEL_CONFORMING | 3, -1, 0},
    {0, CPU_DS, SEL_TSS, 13, SEL_TSS},
    {0, CPU_DS, SEL_ABSENT, 11, SEL_ABSENT},
    {0, CPU_DS, T_GDT_BYTES, 13, T_GDT_BYTES}, /* just outside */
    {0, CPU_DS, 0x0C, 13, 0x0C},               /* no LDT */
    {0, CPU_SS, SEL_DATA0, -1, 0},
    {0, CPU_SS, 0, 13, 0},
    {0, CPU_SS, SEL_DATA3, 13, SEL_DATA3 & ~3u},
    {3, CPU_SS, SEL_DATA3 & ~3u, 13, SEL_DATA3 & ~3u},
    {0, CPU_SS, SEL_READ_ONLY, 13, SEL_READ_ONLY},
    {0, CPU_SS, SEL_CODE0, 13, SEL_CODE0},
    {0, CPU_SS, SEL_ABSENT, 12, SEL_ABSENT},
    {0, CPU_FS, SEL_EXPAND_DOWN, -1, 0},
};
START_TEST(load)
{
    struct cpu_test t = t_create();
    t_protected(&t, loads[_i].cpl);
    mov_sreg(&t, loads[_i].sreg, loads[_i].selector);
    t_steps(&t, 2);
    if (loads[_i].vector < 0) {
        ck_assert_uint_eq(t.s.rip, T_CODE + 7);
        ck_assert_uint_eq(t.s.segment[loads[_i].sreg].selector, loads[_i].selector);
    } else {
        t_run(&t);
        ck_assert_int_eq(t.vector, loads[_i].vector);
        ck_assert_uint_eq(t_stack(&t, 0, 4), loads[_i].error);
        ck_assert_uint_eq(t_stack(&t, 1, 4), T_CODE + 5);
    }
    t_destroy(&t);
}
END_TEST

START_TEST(load_sets_accessed)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_DATA16, 0x12345678, 0x2345, 0x0092);
    mov_sreg(&t, CPU_ES, SEL_DATA16);
    t_steps(&t, 2);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_DATA16 + 5, 1), 0x93);
    ck_assert_uint_eq(t.s.segment[CPU_ES].base, 0x12345678);
    ck_assert_uint_eq(t.s.segment[CPU_ES].limit, 0x2345);
    ck_assert_uint_eq(t.s.segment[CPU_ES].attributes, 0x0093);
    t_destroy(&t);
}
END_TEST

/* mov al, [ebx] or mov [ebx], al with DS as given: does it fault? */
static const struct {
    uint32_t limit;
    uint16_t attributes;
    uint32_t offset;
    bool write, fault;
} limits[] = {
    {0x0FFF, 0x4093, 0xFFF, false, false},    {0x0FFF, 0x4093, 0x1000, false, true},
    {0x0FFF, 0x4093, UINT32_MAX, true, true}, {0x0FFF, 0x4091, 0, false, false},
    {0x0FFF, 0x4091, 0, true, true},                                                  /* read-only */
    {UINT32_MAX, 0xC09B, 0, false, false},                                            /* code */
    {UINT32_MAX, 0xC09B, 0, true, true},      {0x0FFF, 0x4097, 0xFFF, false, true},   /* expand-down */
    {0x0FFF, 0x4097, 0x1000, true, false},    {0x0FFF, 0x4097, 0x20000, true, false}, /* up to 4 GiB with D/B */
    {0x0FFF, 0x0097, 0xFFFF, true, false},    {0x0FFF, 0x0097, 0x10000, true, true},  /* up to 64 KiB without */
    {UINT32_MAX, 0x0110, 0, false, true},                                             /* null */
};
START_TEST(limit)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.segment[CPU_DS] = (struct cpu_segment){
        .selector = 0x10, .limit = limits[_i].limit, .attributes = limits[_i].attributes, .base = T_DATA};
    t.s.gpr[CPU_RBX] = limits[_i].offset;
    if (limits[_i].write)
        t_code(&t, 0x88, 0x03, 0xF4);
    else
        t_code(&t, 0x8A, 0x03, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, limits[_i].fault ? 13 : -1);
    if (limits[_i].fault)
        ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    t_destroy(&t);
}
END_TEST

START_TEST(stack_segment_limit_is_ss)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.segment[CPU_SS].limit = T_STACK + 0xFF;
    t.s.segment[CPU_SS].attributes = 0x4093;
    t.s.gpr[CPU_RBP] = T_STACK + 0xFE;
    t_code(&t, 0x8B, 0x45, 0x00); /* mov eax, [ebp]: two bytes too far */
    t_run(&t);
    ck_assert_int_eq(t.vector, 12);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    t_destroy(&t);
}
END_TEST

/* Real mode with a 4 GiB limit left over from protected mode. */
START_TEST(unreal_mode)
{
    struct cpu_test t = t_create();
    t.s.gdtr_base = T_GDT;
    t.s.gdtr_limit = T_GDT_BYTES - 1;
    t.s.gpr[CPU_RBX] = 0x140000;
    t_code(&t, 0x0F, 0x20, 0xC0, 0x40, 0x0F, 0x22, 0xC0, /* cr0 |= PE */
           0xB9, SEL_DATA0, 0, 0x8E, 0xD9,               /* mov ds, SEL_DATA0 */
           0x48, 0x0F, 0x22, 0xC0,                       /* PE off */
           0x31, 0xC9, 0x8E, 0xD9,                       /* mov ds, 0 */
           0x67, 0xC6, 0x03, 0x5A, 0xF4);                /* mov byte [ebx], 0x5A */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t_get(&t, 0x140000, 1), 0x5A);
    t_destroy(&t);
}
END_TEST

/* LAR, LSL, VERR, VERW at CPL 3: ZF and the value. */
static const struct {
    uint16_t selector;
    bool lar, lsl, verr, verw;
    uint32_t rights, limit;
} queries[] = {
    {SEL_DATA3, true, true, true, true, 0xCFF300, UINT32_MAX},
    {SEL_DATA0, false, false, false, false, 0, 0},
    {SEL_CONFORMING | 3, true, true, true, false, 0xCF9F00, UINT32_MAX},
    {SEL_TSS | 3, false, false, false, false, 0, 0},          /* DPL 0 */
    {SEL_TSS2 | 3, true, true, false, false, 0x00E900, 0x67}, /* DPL 3 in this test */
    {SEL_CALL_GATE | 3, true, false, false, false, 0xEC00, 0},
    {0, false, false, false, false, 0, 0},
    {0x1003, false, false, false, false, 0, 0},
};
START_TEST(query)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t_gdt(&t, SEL_TSS2, T_TSS2, 0x67, 0x00E9);
    t_gate(&t, T_GDT + SEL_CALL_GATE, SEL_CODE0, T_CODE, 0xEC, 0);
    t.s.gpr[CPU_RSI] = queries[_i].selector;
    t.s.gpr[CPU_RAX] = t.s.gpr[CPU_RBX] = 0x55AA;
    t_code(&t, 0x0F, 0x02, 0xC6, 0x9C, /* lar eax, esi; pushf */
           0x0F, 0x03, 0xDE, 0x9C,     /* lsl ebx, esi */
           0x0F, 0x00, 0xE6, 0x9C,     /* verr si */
           0x0F, 0x00, 0xEE, 0x9C);    /* verw si */
    t_steps(&t, 8);
    ck_assert_uint_eq(t.s.rip, T_CODE + 16);
    ck_assert_uint_eq(t_stack(&t, 3, 4) >> 6 & 1, queries[_i].lar);
    ck_assert_uint_eq(t_stack(&t, 2, 4) >> 6 & 1, queries[_i].lsl);
    ck_assert_uint_eq(t_stack(&t, 1, 4) >> 6 & 1, queries[_i].verr);
    ck_assert_uint_eq(t_stack(&t, 0, 4) >> 6 & 1, queries[_i].verw);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], queries[_i].lar ? queries[_i].rights : 0x55AA);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], queries[_i].lsl ? queries[_i].limit : 0x55AA);
    t_destroy(&t);
}
END_TEST

START_TEST(arpl)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.gpr[CPU_RAX] = 0x1231;
    t.s.gpr[CPU_RCX] = 0x0003;
    t_code(&t, 0x63, 0xC8, 0xF4); /* arpl ax, cx */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0x1233);
    ck_assert_uint_eq(t.s.rflags & 0x40, 0x40);
    t_destroy(&t);
}
END_TEST

START_TEST(ldt_and_task_register)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_descriptor(&t, T_LDT + 8, 0x5000, 0xFF, 0x4093);
    t_code(&t, 0xB8, SEL_LDT, 0, 0, 0, 0x0F, 0x00, 0xD0, /* lldt ax */
           0xB8, 0x0C, 0, 0, 0, 0x8E, 0xC0,              /* mov es, 0xC: LDT entry 1 */
           0xB8, SEL_TSS2, 0, 0, 0, 0x0F, 0x00, 0xD8,    /* ltr ax */
           0x0F, 0x00, 0xC9,                             /* str ecx */
           0x0F, 0x00, 0xC2, 0xF4);                      /* sldt edx */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.segment[CPU_ES].base, 0x5000);
    ck_assert_uint_eq(t.s.segment[CPU_TR].base, T_TSS2);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS2 + 5, 1), 0x8B); /* busy */
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], SEL_TSS2);
    ck_assert_uint_eq(t.s.gpr[CPU_RDX], SEL_LDT);
    t_destroy(&t);
}
END_TEST

START_TEST(ltr_of_busy_tss)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS2, T_TSS2, 0x67, 0x008B);
    t_code(&t, 0xB8, SEL_TSS2, 0, 0, 0, 0x0F, 0x00, 0xD8);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 4), SEL_TSS2);
    t_destroy(&t);
}
END_TEST

/* ---- far transfers -------------------------------------------------------------------------------------------------- */

static const struct {
    uint16_t selector;
    int vector;
    uint32_t error;
} jumps[] = {
    {SEL_CODE0, -1, 0},
    {SEL_CONFORMING, -1, 0},
    {0, 13, 0},
    {SEL_DATA0, 13, SEL_DATA0},
    {SEL_CODE3 & ~3, 13, SEL_CODE3 & ~3},
    {SEL_ABSENT_CODE, 11, SEL_ABSENT_CODE},
    {SEL_LDT, 13, SEL_LDT},
    {0x1000, 13, 0x1000},
};
START_TEST(jump_far)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    uint8_t code[] = {0xEA, 0, 0x90, 0, 0, (uint8_t)jumps[_i].selector, (uint8_t)(jumps[_i].selector >> 8)};
    memory_write(t.memory, T_CODE, code, sizeof code);
    t_put(&t, 0x9000, 0xF4, 1);
    t_run(&t);
    ck_assert_int_eq(t.vector, jumps[_i].vector);
    if (jumps[_i].vector < 0)
        ck_assert_uint_eq(t.s.rip, 0x9001);
    else
        ck_assert_uint_eq(t_stack(&t, 0, 4), jumps[_i].error);
    t_destroy(&t);
}
END_TEST

START_TEST(call_and_return_far)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_code(&t, 0x9A, 0, 0x90, 0, 0, SEL_CODE0, 0, 0xF4); /* call SEL_CODE0:0x9000; hlt */
    t.code = 0x9000;
    t_code(&t, 0x89, 0xE0, 0xCA, 0x08, 0x00); /* mov eax, esp; retf 8 */
    t_run(&t);
    ck_assert_uint_eq(t.s.rip, T_CODE + 8);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], T_STACK - 8);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK + 8);
    t_destroy(&t);
}
END_TEST

START_TEST(call_gate_with_parameters_and_back)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t_gate(&t, T_GDT + SEL_CALL_GATE, SEL_CODE0, 0x9000, 0xEC, 2);
    t_put(&t, T_STACK3, 0x1111, 4);
    t_put(&t, T_STACK3 + 4, 0x2222, 4);
    t_code(&t, 0x9A, 0, 0, 0, 0, SEL_CALL_GATE | 3, 0, 0xCD, 0x80); /* offset is ignored */
    t.code = 0x9000;
    t_code(&t, 0xCA, 0x08, 0x00); /* retf 8 */
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, 0x9000);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE0);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0 - 24);
    uint32_t expected[] = {T_CODE + 7, SEL_CODE3, 0x1111, 0x2222, T_STACK3, SEL_DATA3};
    for (unsigned n = 0; n < 6; n++)
        ck_assert_uint_eq(t_stack(&t, n, 4), expected[n]);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, T_CODE + 7);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE3);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK3 + 8);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_DATA3);
    t_destroy(&t);
}
END_TEST

START_TEST(call_gate_long_mode)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t_gate(&t, T_GDT + SEL_CALL_GATE, SEL_CODE64, 0x9000, 0xEC, 0);
    t_put(&t, T_GDT + SEL_CALL_GATE + 8, 0, 8);
    t_put(&t, T_DATA, 0, 4);
    t_put(&t, T_DATA + 4, SEL_CALL_GATE | 3, 2);
    t.s.gpr[CPU_RBX] = T_DATA;
    t_code(&t, 0xFF, 0x1B); /* call far [rbx] */
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, 0x9000);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0 - 32);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, 0);
    uint64_t expected[] = {T_CODE + 2, SEL_CODE64_3, T_STACK3, SEL_DATA3};
    for (unsigned n = 0; n < 4; n++)
        ck_assert_uint_eq(t_stack(&t, n, 8), expected[n]);
    t_destroy(&t);
}
END_TEST

/* Real mode to 64-bit mode and down to compatibility mode, as a boot loader does. */
START_TEST(mode_switches)
{
    struct cpu_test t = t_create();
    t_page_tables(&t);
    t.s.gdtr_base = T_GDT;
    t.s.gdtr_limit = T_GDT_BYTES - 1;
    t.s.cr3 = T_PML4;
    t.s.cr4 = 0x20;
    t.s.efer = 0x100;                                          /* LME */
    t_code(&t, 0x66, 0xB8, 0x11, 0, 0, 0x80, 0x0F, 0x22, 0xC0, /* mov eax, PG|ET|PE; mov cr0, eax */
           0xEA, 0x00, 0x90, SEL_CODE64, 0);                   /* jmp SEL_CODE64:0x9000 */
    t.code = 0x9000;
    t_code(&t, 0x49, 0xFF, 0xC7,                    /* inc r15 */
           0x6A, SEL_CODE0, 0x68, 0x00, 0x91, 0, 0, /* push SEL_CODE0; push 0x9100 */
           0x48, 0xCB);                             /* retfq */
    t.code = 0x9100;
    t_code(&t, 0x40, 0xF4); /* inc eax, not a REX prefix */
    t_run(&t);
    ck_assert_uint_eq(t.s.rip, 0x9102);
    ck_assert_uint_eq(t.s.gpr[15], 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0x80000012);
    ck_assert_uint_eq(t.s.efer, 0x500);
    t_destroy(&t);
}
END_TEST

/* ---- tasks ---------------------------------------------------------------------------------------------------------- */

static void make_task(struct cpu_test *t, uint32_t eip, uint32_t eflags)
{
    static const uint16_t selectors[] = {SEL_DATA0, SEL_CODE0, SEL_DATA0, SEL_DATA0, 0, SEL_DATA3};
    t_put(t, T_TSS2 + 32, eip, 4);
    t_put(t, T_TSS2 + 36, eflags, 4);
    for (unsigned n = 0; n < 8; n++)
        t_put(t, T_TSS2 + 40 + 4 * n, 0x100 + n, 4);
    t_put(t, T_TSS2 + 40 + 16, T_STACK - 0x800, 4);
    for (unsigned n = 0; n < 6; n++)
        t_put(t, T_TSS2 + 72 + 4 * n, selectors[n], 4);
    t_put(t, T_TSS2 + 96, 0, 8);
}

START_TEST(task_call_and_iret)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS, T_TSS, 0x67, 0x008B); /* the present task: busy */
    make_task(&t, 0x9000, 2);
    t.s.gpr[CPU_RAX] = 0x777;
    t.s.rflags = 2 | 1;
    t_code(&t, 0x9A, 0, 0, 0, 0, SEL_TSS2, 0, 0xF4);
    t.code = 0x9000;
    t_code(&t, 0xCF); /* iret with NT */
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, 0x9000);
    ck_assert_uint_eq(t.s.rflags, 2 | NT);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0x101);
    ck_assert_uint_eq(t.s.segment[CPU_TR].selector, SEL_TSS2);
    ck_assert_uint_eq(t.s.segment[CPU_GS].selector, SEL_DATA3);
    ck_assert(t.s.cr0 & 8); /* TS */
    ck_assert_uint_eq(t_get(&t, T_TSS2, 2), SEL_TSS);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS2 + 5, 1), 0x8B);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS + 5, 1), 0x8B);
    ck_assert_uint_eq(t_get(&t, T_TSS + 32, 4), T_CODE + 7);
    ck_assert_uint_eq(t_get(&t, T_TSS + 40, 4), 0x777);
    t_run(&t);
    ck_assert_uint_eq(t.s.rip, T_CODE + 8);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0x777);
    ck_assert_uint_eq(t.s.rflags, 2 | 1);
    ck_assert_uint_eq(t.s.segment[CPU_TR].selector, SEL_TSS);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS2 + 5, 1), 0x89);
    ck_assert_uint_eq(t_get(&t, T_TSS2 + 36, 4) & NT, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(task_jump_frees_the_old)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS, T_TSS, 0x67, 0x008B);
    make_task(&t, 0x9000, 2);
    t_put(&t, T_GDT + SEL_TASK_GATE, (uint64_t)SEL_TSS2 << 16 | 0x850000000000, 8);
    t_code(&t, 0xEA, 0, 0, 0, 0, SEL_TASK_GATE, 0);
    t_put(&t, 0x9000, 0xF4, 1);
    t_run(&t);
    ck_assert_uint_eq(t.s.rip, 0x9001);
    ck_assert_uint_eq(t.s.rflags, 2);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS + 5, 1), 0x89);
    ck_assert_uint_eq(t_get(&t, T_GDT + SEL_TSS2 + 5, 1), 0x8B);
    t_destroy(&t);
}
END_TEST

START_TEST(task_gate_in_the_idt)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS, T_TSS, 0x67, 0x008B);
    make_task(&t, T_HANDLERS + 16 * 13, 2);
    t_gate(&t, T_IDT + 8 * 13, SEL_TSS2, 0, 0x85, 0);
    mov_sreg(&t, CPU_DS, 0x1000);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 0x804);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0x1000);
    ck_assert_uint_eq(t_get(&t, T_TSS + 32, 4), T_CODE + 5);
    ck_assert_uint_eq(t.s.rflags & NT, NT);
    t_destroy(&t);
}
END_TEST

/* A fault of the new task's segments is raised in the new task; the step is counted once. */
START_TEST(task_with_bad_segment)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS, T_TSS, 0x67, 0x008B);
    make_task(&t, 0x9000, 2);
    t_put(&t, T_TSS2 + 72, 0x1000, 4); /* ES */
    t_code(&t, 0xEA, 0, 0, 0, 0, SEL_TSS2, 0);
    uint64_t before = machine_position(t.fake->machine).icount;
    t_steps(&t, 1);
    ck_assert_uint_eq(machine_position(t.fake->machine).icount, before + 1);
    ck_assert_uint_eq(t.s.rip, T_HANDLERS + 16 * 10);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0x1000);
    ck_assert_uint_eq(t_stack(&t, 1, 4), 0x9000);
    ck_assert_uint_eq(t.s.segment[CPU_TR].selector, SEL_TSS2);
    t_destroy(&t);
}
END_TEST

START_TEST(task_switch_short_tss)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_gdt(&t, SEL_TSS2, T_TSS2, 0x66, 0x0089);
    t_code(&t, 0xEA, 0, 0, 0, 0, SEL_TSS2, 0);
    t_run(&t);
    ck_assert_int_eq(t.vector, 10);
    ck_assert_uint_eq(t_stack(&t, 0, 4), SEL_TSS2);
    ck_assert_uint_eq(t_stack(&t, 1, 4), T_CODE);
    t_destroy(&t);
}
END_TEST

/* ---- fast system calls ---------------------------------------------------------------------------------------------- */

START_TEST(sysret)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.star = (uint64_t)0x1B << 48;
    t.s.gpr[CPU_RCX] = T_CODE + 0x100;
    t.s.gpr[11] = 0x2 | IF | VM | 0x10000; /* VM and RF are dropped */
    if (_i)
        t_code(&t, 0x48, 0x0F, 0x07);
    else
        t_code(&t, 0x0F, 0x07);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, T_CODE + 0x100);
    ck_assert_uint_eq(t.s.rflags, 0x2 | IF);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, _i ? 0x2B : 0x1B);
    ck_assert_uint_eq(t.s.segment[CPU_CS].attributes, _i ? 0xA0FB : 0xC0FB);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, 0x23);
    ck_assert_uint_eq(t.s.segment[CPU_SS].attributes, 0xC0F3);
    t_destroy(&t);
}
END_TEST

START_TEST(syscall_needs_sce_and_64_bit_code)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.efer &= ~1ull;
    t_code(&t, 0x0F, 0x05);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

START_TEST(sysenter_and_sysexit)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t.s.sysenter_cs = SEL_CODE0;
    t.s.sysenter_esp = T_STACK0;
    t.s.sysenter_eip = 0x9000;
    t.s.rflags = 2 | IF;
    t_code(&t, 0x0F, 0x34);
    t.code = 0x9000;
    t_code(&t, 0xBA, 0, 0x91, 0, 0, 0xB9, 0, 0xC0, 2, 0, 0x0F, 0x35); /* edx = 0x9100, ecx = T_STACK3; sysexit */
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, 0x9000);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE0);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_CODE0 + 8);
    ck_assert_uint_eq(t.s.rflags, 2);
    t_steps(&t, 3);
    ck_assert_uint_eq(t.s.rip, 0x9100);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK3);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE0 + 16 + 3);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_CODE0 + 24 + 3);
    t_destroy(&t);
}
END_TEST

/* CS is no segment for writing, though it is flat as DS is and the page has just been written to. */
START_TEST(write_through_flat_cs)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.gpr[CPU_RSI] = T_DATA;
    t_code(&t, 0xC6, 0x06, 0x11,    /* mov byte [esi], 0x11 */
           0x2E, 0x8A, 0x06,        /* mov al, cs:[esi] */
           0x2E, 0xC6, 0x06, 0x22); /* mov byte cs:[esi], 0x22 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX] & 0xFF, 0x11);
    ck_assert_uint_eq(t_get(&t, T_DATA, 1), 0x11);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, write_through_flat_cs);
    tcase_add_loop_test(tcase, load, 0, sizeof loads / sizeof loads[0]);
    tcase_add_test(tcase, load_sets_accessed);
    tcase_add_loop_test(tcase, limit, 0, sizeof limits / sizeof limits[0]);
    tcase_add_test(tcase, stack_segment_limit_is_ss);
    tcase_add_test(tcase, unreal_mode);
    tcase_add_loop_test(tcase, query, 0, sizeof queries / sizeof queries[0]);
    tcase_add_test(tcase, arpl);
    tcase_add_test(tcase, ldt_and_task_register);
    tcase_add_test(tcase, ltr_of_busy_tss);
    tcase_add_loop_test(tcase, jump_far, 0, sizeof jumps / sizeof jumps[0]);
    tcase_add_test(tcase, call_and_return_far);
    tcase_add_test(tcase, call_gate_with_parameters_and_back);
    tcase_add_test(tcase, call_gate_long_mode);
    tcase_add_test(tcase, mode_switches);
    tcase_add_test(tcase, task_call_and_iret);
    tcase_add_test(tcase, task_jump_frees_the_old);
    tcase_add_test(tcase, task_gate_in_the_idt);
    tcase_add_test(tcase, task_with_bad_segment);
    tcase_add_test(tcase, task_switch_short_tss);
    tcase_add_loop_test(tcase, sysret, 0, 2);
    tcase_add_test(tcase, syscall_needs_sce_and_64_bit_code);
    tcase_add_test(tcase, sysenter_and_sysexit);
}
T_MAIN("segments", add_tests)
