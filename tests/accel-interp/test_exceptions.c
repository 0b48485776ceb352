/* Delivery of exceptions and interrupts, returns from them, shadows, debug traps: expectations from the Intel SDM vol. 3,
 * chapters 6, 17, 20. */
#include "tests/accel-interp/cpu_test.h"

enum { CF = 1, TF = 0x100, IF = 0x200, IOPL3 = 0x3000, NT = 0x4000, RF = 0x10000, VM = 0x20000, AC = 0x40000 };

START_TEST(real_mode_int)
{
    struct cpu_test t = t_create();
    t.s.rflags = 0x2 | IF | TF * 0 | CF;
    t_code(&t, 0xCD, 0x42); /* int 0x42 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x42);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], 0x7000 - 6);
    ck_assert_uint_eq(t_stack(&t, 0, 2), T_CODE + 2);
    ck_assert_uint_eq(t_stack(&t, 1, 2), 0);
    ck_assert_uint_eq(t_stack(&t, 2, 2), 0x2 | IF | CF);
    ck_assert_uint_eq(t.s.rflags & IF, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(real_mode_fault_has_no_error_code)
{
    struct cpu_test t = t_create();
    t_code(&t, 0x67, 0xA1, 0x00, 0x00, 0x01, 0x00); /* mov ax, [0x10000]: beyond the limit */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], 0x7000 - 6);
    ck_assert_uint_eq(t_stack(&t, 0, 2), T_CODE);
    t_destroy(&t);
}
END_TEST

START_TEST(real_mode_ivt_limit_is_triple_fault)
{
    struct cpu_test t = t_create();
    t.s.idtr_limit = 0x0F; /* vectors 0..3 */
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.stop, MACHINE_STOP_SHUTDOWN);
    ck_assert(t.s.shutdown);
    ck_assert_uint_eq(t.s.rip, T_CODE);
    t_destroy(&t);
}
END_TEST

START_TEST(same_level_fault_frame)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.rflags = 0x2 | IF | NT;
    t_code(&t, 0xB8, 0x4B, 0, 0, 0, 0x8E, 0xD8); /* mov eax, 0x4B (absent, RPL 3); mov ds, ax: #GP, RPL > DPL */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 16);
    ck_assert_uint_eq(t_stack(&t, 0, 4), SEL_ABSENT);
    ck_assert_uint_eq(t_stack(&t, 1, 4), T_CODE + 5);
    ck_assert_uint_eq(t_stack(&t, 2, 4), SEL_CODE0);
    ck_assert_uint_eq(t_stack(&t, 3, 4), 0x2 | IF | NT | RF); /* a fault sets RF in the image */
    ck_assert_uint_eq(t.s.rflags & (IF | NT | RF), 0);
    t_destroy(&t);
}
END_TEST

START_TEST(trap_gate_keeps_if)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_idt32(&t, 0x42, SEL_CODE0, 0x8F);
    t.s.rflags = 0x2 | IF;
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x42);
    ck_assert_uint_eq(t.s.rflags & IF, IF);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2 | IF); /* no RF: a trap */
    t_destroy(&t);
}
END_TEST

START_TEST(gate_16_bit)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_idt32(&t, 0x42, SEL_CODE0, 0x86);
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x42);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 6);
    ck_assert_uint_eq(t_stack(&t, 0, 2), (T_CODE + 2) & 0xFFFF);
    t_destroy(&t);
}
END_TEST

START_TEST(inner_level_stack_switch)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t.s.rflags = 0x2 | IF;
    t_code(&t, 0xCD, 0x80);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x80);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0 - 20);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_DATA0);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE0);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 2);
    ck_assert_uint_eq(t_stack(&t, 1, 4), SEL_CODE3);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2 | IF);
    ck_assert_uint_eq(t_stack(&t, 3, 4), T_STACK3);
    ck_assert_uint_eq(t_stack(&t, 4, 4), SEL_DATA3);
    t_destroy(&t);
}
END_TEST

/* INT n against gates that refuse: vector and error code. */
static const struct {
    uint8_t gate_type;
    uint16_t selector, limit;
    int vector;
    uint32_t error;
} refused_gates[] = {
    {0x8E, SEL_CODE0, 0x7FF, 13, 0x42 * 8 + 2},        /* DPL 0 from CPL 3 */
    {0x6E, SEL_CODE0, 0x7FF, 11, 0x42 * 8 + 2},        /* not present */
    {0xE4, SEL_CODE0, 0x7FF, 13, 0x42 * 8 + 2},        /* a call gate */
    {0xEE, SEL_CODE0, 0x42 * 8 + 6, 13, 0x42 * 8 + 2}, /* beyond the limit */
    {0xEE, 0, 0x7FF, 13, 0},
    {0xEE, SEL_DATA0, 0x7FF, 13, SEL_DATA0},
    {0xEE, SEL_ABSENT_CODE, 0x7FF, 11, SEL_ABSENT_CODE},
    {0xEE, 0x1000, 0x7FF, 13, 0x1000},
};
START_TEST(gate_refused)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t_idt32(&t, 0x42, refused_gates[_i].selector, refused_gates[_i].gate_type);
    t.s.idtr_limit = refused_gates[_i].limit;
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, refused_gates[_i].vector);
    ck_assert_uint_eq(t_stack(&t, 0, 4), refused_gates[_i].error);
    ck_assert_uint_eq(t_stack(&t, 1, 4), T_CODE);
    t_destroy(&t);
}
END_TEST

START_TEST(fault_while_delivering_sets_ext)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_idt32(&t, 6, SEL_ABSENT_CODE, 0x8E);
    t_code(&t, 0x0F, 0x0B); /* ud2 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 11);
    ck_assert_uint_eq(t_stack(&t, 0, 4), SEL_ABSENT_CODE | 1);
    t_destroy(&t);
}
END_TEST

START_TEST(double_fault)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_idt32(&t, 13, SEL_ABSENT_CODE, 0x8E);
    t_code(&t, 0xB8, 0x00, 0x10, 0, 0, 0x8E, 0xD8); /* mov ds, 0x1000: #GP, then #NP */
    t_run(&t);
    ck_assert_int_eq(t.vector, 8);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    ck_assert_uint_eq(t_stack(&t, 1, 4), T_CODE + 5);
    t_destroy(&t);
}
END_TEST

START_TEST(triple_fault)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_idt32(&t, 13, SEL_ABSENT_CODE, 0x8E);
    t_idt32(&t, 8, SEL_ABSENT_CODE, 0x8E);
    t_code(&t, 0xB8, 0x00, 0x10, 0, 0, 0x8E, 0xD8);
    t_run(&t);
    ck_assert_int_eq(t.stop, MACHINE_STOP_SHUTDOWN);
    t_destroy(&t);
}
END_TEST

START_TEST(page_fault_then_page_fault_is_double)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t_put(&t, T_PT + 8 * 0x30, 0, 8); /* the data page */
    t_put(&t, T_PT + 8 * 0x1F, 0, 8); /* and the stack of #PF */
    t_idt64(&t, 8, SEL_CODE64, 0x8E, 2);
    t_put(&t, T_TSS + 36 + 8, T_STACK, 8);    /* IST2 */
    t_code(&t, 0xA0, 0, 0, 3, 0, 0, 0, 0, 0); /* mov al, [T_DATA] */
    t_run(&t);
    ck_assert_int_eq(t.vector, 8);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 48);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE);
    ck_assert_uint_eq(t.s.cr2, T_STACK0 - 8); /* of the second */
    t_destroy(&t);
}
END_TEST

START_TEST(long_mode_frame)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RSP] = T_STACK + 5; /* is aligned to 16 */
    t.s.rflags = 0x2 | IF;
    t_code(&t, 0xB8, 0x00, 0x10, 0, 0, 0x8E, 0xD8);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 48);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0x1000);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE + 5);
    ck_assert_uint_eq(t_stack(&t, 2, 8), SEL_CODE64);
    ck_assert_uint_eq(t_stack(&t, 3, 8), 0x2 | IF | RF);
    ck_assert_uint_eq(t_stack(&t, 4, 8), T_STACK + 5);
    ck_assert_uint_eq(t_stack(&t, 5, 8), SEL_DATA0);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_DATA0); /* same level: SS stays */
    t_destroy(&t);
}
END_TEST

START_TEST(long_mode_from_user)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t_code(&t, 0xCD, 0x80);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x80);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0 - 40);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, 0); /* null, RPL 0 */
    ck_assert(t.s.segment[CPU_SS].attributes & CPU_SEGMENT_UNUSABLE);
    ck_assert_uint_eq(t_stack(&t, 3, 8), T_STACK3);
    ck_assert_uint_eq(t_stack(&t, 4, 8), SEL_DATA3);
    t_destroy(&t);
}
END_TEST

START_TEST(long_mode_needs_64_bit_handler)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_idt64(&t, 0x42, SEL_CODE0, 0x8E, 0);
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 8), SEL_CODE0);
    t_destroy(&t);
}
END_TEST

START_TEST(iret_long_to_user_and_syscall_back)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.star = (uint64_t)SEL_CODE64 << 32;
    t.s.lstar = T_HANDLERS + 16 * 200;
    t.s.sfmask = IF;
    t_put(&t, T_STACK, T_CODE + 0x100, 8);
    t_put(&t, T_STACK + 8, SEL_CODE64_3, 8);
    t_put(&t, T_STACK + 16, 0x2 | IF | CF, 8);
    t_put(&t, T_STACK + 24, T_STACK3, 8);
    t_put(&t, T_STACK + 32, SEL_DATA3, 8);
    t_code(&t, 0x48, 0xCF); /* iretq */
    t.code = T_CODE + 0x100;
    t_code(&t, 0x0F, 0x05); /* syscall */
    t_run(&t);
    ck_assert_int_eq(t.vector, 200);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], T_CODE + 0x102);
    ck_assert_uint_eq(t.s.gpr[11], 0x2 | IF | CF);
    ck_assert_uint_eq(t.s.rflags, 0x2 | CF);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK3);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE64);
    ck_assert_uint_eq(t.s.segment[CPU_SS].selector, SEL_CODE64 + 8);
    t_destroy(&t);
}
END_TEST

/* IRETQ frames that must be refused. */
static const struct {
    uint64_t rip, cs, flags, rsp, ss;
    int vector;
    uint64_t error;
} refused_irets[] = {
    {0x800000000000, SEL_CODE64_3, 2, T_STACK3, SEL_DATA3, 13, 0}, /* not canonical */
    {T_CODE, 0, 2, T_STACK3, SEL_DATA3, 13, 0},
    {T_CODE, SEL_DATA3, 2, T_STACK3, SEL_DATA3, 13, SEL_DATA3 & ~3},
    {T_CODE, SEL_CODE64_3 & ~3, 2, T_STACK3, SEL_DATA3, 13, SEL_CODE64_3 & ~3}, /* RPL is not DPL */
    {T_CODE, SEL_CODE64_3, 2, T_STACK3, 0, 13, 0},                              /* null SS at CPL 3 */
    {T_CODE, SEL_CODE64_3, 2, T_STACK3, SEL_DATA0, 13, SEL_DATA0},
    {T_CODE, SEL_CODE64, 2, T_STACK, SEL_ABSENT, 12, SEL_ABSENT},
    {T_CODE, SEL_ABSENT_CODE, 2, T_STACK, SEL_DATA0, 11, SEL_ABSENT_CODE},
};
START_TEST(iret_refused)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_STACK, refused_irets[_i].rip, 8);
    t_put(&t, T_STACK + 8, refused_irets[_i].cs, 8);
    t_put(&t, T_STACK + 16, refused_irets[_i].flags, 8);
    t_put(&t, T_STACK + 24, refused_irets[_i].rsp, 8);
    t_put(&t, T_STACK + 32, refused_irets[_i].ss, 8);
    t_code(&t, 0x48, 0xCF);
    t_run(&t);
    ck_assert_int_eq(t.vector, refused_irets[_i].vector);
    ck_assert_uint_eq(t_stack(&t, 0, 8), refused_irets[_i].error);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE);
    ck_assert_uint_eq(t_stack(&t, 4, 8), T_STACK);
    t_destroy(&t);
}
END_TEST

START_TEST(iret_null_stack_at_cpl0)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_STACK, T_HANDLERS + 16 * 99, 8);
    t_put(&t, T_STACK + 8, SEL_CODE64, 8);
    t_put(&t, T_STACK + 16, 2, 8);
    t_put(&t, T_STACK + 24, T_STACK - 0x100, 8);
    t_put(&t, T_STACK + 32, 0, 8);
    t_code(&t, 0x48, 0xCF);
    t_run(&t);
    ck_assert_int_eq(t.vector, 99);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK - 0x100);
    t_destroy(&t);
}
END_TEST

START_TEST(iret_protected_flags_by_privilege)
{
    struct cpu_test t = t_create();
    t_protected(&t, 3);
    t.s.rflags = 0x2 | IF; /* IOPL 0: a CPL 3 IRET changes neither IF nor IOPL */
    t_put(&t, T_STACK3, T_CODE + 0x100, 4);
    t_put(&t, T_STACK3 + 4, SEL_CODE3, 4);
    t_put(&t, T_STACK3 + 8, 0x2 | CF | IOPL3 | AC, 4);
    t_code(&t, 0xCF);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.rip, T_CODE + 0x100);
    ck_assert_uint_eq(t.s.rflags, 0x2 | CF | IF | AC);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK3 + 12);
    t_destroy(&t);
}
END_TEST

START_TEST(iret_outer_clears_inner_segments)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.segment[CPU_FS] = t_segment(SEL_DATA3, 0xC0F3);
    t_put(&t, T_STACK, T_CODE + 0x100, 4);
    t_put(&t, T_STACK + 4, SEL_CODE3, 4);
    t_put(&t, T_STACK + 8, 0x2, 4);
    t_put(&t, T_STACK + 12, T_STACK3, 4);
    t_put(&t, T_STACK + 16, SEL_DATA3, 4);
    t_code(&t, 0xCF);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.segment[CPU_CS].selector, SEL_CODE3);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK3);
    ck_assert_uint_eq(t.s.segment[CPU_DS].selector, 0);
    ck_assert_uint_eq(t.s.segment[CPU_FS].selector, SEL_DATA3);
    t_destroy(&t);
}
END_TEST

/* Into virtual-8086 mode and out of it by a fault. */
START_TEST(vm86_round_trip)
{
    static const uint32_t frame[] = {0x10, 0x900, 0x2 | VM | IF, 0x1000, 0x3000, 0x3001, 0x3002, 0x3003, 0x3004};
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    memory_write(t.memory, T_STACK, frame, sizeof frame);
    t_code(&t, 0xCF);
    t.code = 0x9010;
    t_code(&t, 0x8C, 0xD8, 0xFA); /* mov ax, ds; cli: IOPL 0 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX] & 0xFFFF, 0x3002);
    ck_assert_uint_eq(t.s.rflags & VM, 0);
    ck_assert_uint_eq(t.s.gpr[CPU_RSP], T_STACK0 - 40);
    uint32_t expected[] = {0, 0x12, 0x900, 0x2 | VM | IF | RF, 0x1000, 0x3000, 0x3001, 0x3002, 0x3003, 0x3004};
    for (unsigned n = 0; n < 10; n++)
        ck_assert_uint_eq(t_stack(&t, n, 4), expected[n]);
    ck_assert_uint_eq(t.s.segment[CPU_DS].selector, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(vm86_int_needs_iopl3)
{
    static const uint32_t frame[] = {0x10, 0x900, 0x2 | VM | IOPL3, 0x1000, 0x3000, 0, 0, 0, 0};
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    memory_write(t.memory, T_STACK, frame, sizeof frame);
    t_code(&t, 0xCF);
    t.code = 0x9010;
    t_code(&t, 0xCD, 0x80);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x80);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0x12);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2 | VM | IOPL3);
    t_destroy(&t);
}
END_TEST

/* ---- interrupts ------------------------------------------------------------------------------------------------- */

static int give_vector(void *opaque)
{
    machine_set_intr(opaque, false);
    return 0x55;
}
static uint8_t no_cr8(void *opaque)
{
    (void)opaque;
    return 0;
}
static void set_cr8(void *opaque, uint8_t value)
{
    (void)opaque;
    (void)value;
}
static bool no_msr_read(void *opaque, uint32_t index, uint64_t *value)
{
    (void)opaque;
    (void)index;
    (void)value;
    return false;
}
static bool no_msr_write(void *opaque, uint32_t index, uint64_t value)
{
    (void)opaque;
    (void)index;
    (void)value;
    return false;
}
static const struct cpu_link_ops link_ops = {give_vector, no_cr8, set_cr8, no_msr_read, no_msr_write};

static void raise_intr(struct cpu_test *t)
{
    machine_set_cpu_link(t->fake->machine, (struct cpu_link){&link_ops, t->fake->machine});
    machine_set_intr(t->fake->machine, true);
}

START_TEST(sti_shadow)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    raise_intr(&t);
    t_code(&t, 0x40, 0xFB, 0x40, 0x40, 0xF4); /* inc eax; sti; inc eax; inc eax; hlt */
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x55);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 2);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 3);
    t_destroy(&t);
}
END_TEST

START_TEST(mov_ss_shadow)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.gpr[CPU_RCX] = SEL_DATA0;
    t.s.rflags = 0x2 | IF;
    t.s.interrupt_shadow = true;
    raise_intr(&t);
    t_code(&t, 0x8E, 0xD1, 0x40, 0x40, 0xF4); /* mov ss, cx; inc eax; ... */
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x55);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 1);
    t_destroy(&t);
}
END_TEST

START_TEST(interrupt_wakes_halt)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.rflags = 0x2 | IF;
    t.s.interrupt_shadow = true;
    raise_intr(&t);
    t_code(&t, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x55);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 1);
    t_destroy(&t);
}
END_TEST

START_TEST(nmi_blocked_until_iret)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.nmi_blocked = true;
    machine_raise_nmi(t.fake->machine);
    t_put(&t, T_STACK, T_CODE + 0x100, 4);
    t_put(&t, T_STACK + 4, SEL_CODE0, 4);
    t_put(&t, T_STACK + 8, 0x2, 4);
    t_code(&t, 0x40, 0xCF);
    t_run(&t);
    ck_assert_int_eq(t.vector, 2);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 0x100);
    ck_assert(t.s.nmi_blocked);
    t_destroy(&t);
}
END_TEST

/* ---- debug -------------------------------------------------------------------------------------------------------- */

START_TEST(single_step)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.rflags = 0x2 | TF;
    t_code(&t, 0x40, 0x40);
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 1);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2 | TF);
    ck_assert_uint_eq(t.s.dr[6], 0xFFFF4FF0);
    t_destroy(&t);
}
END_TEST

START_TEST(popf_sets_tf_for_the_next)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_put(&t, T_STACK, 0x2 | TF, 4);
    t_code(&t, 0x9D, 0x40, 0x40);
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 2);
    t_destroy(&t);
}
END_TEST

START_TEST(int_clears_tf_without_trap)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.rflags = 0x2 | TF;
    t_code(&t, 0xCD, 0x42);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x42);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2 | TF);
    t_destroy(&t);
}
END_TEST

START_TEST(execution_breakpoint_and_rf)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.dr[0] = T_CODE + 1;
    t.s.dr[7] = 0x401;
    t_code(&t, 0x40, 0x40, 0x40);
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 1);
    ck_assert_uint_eq(t_stack(&t, 2, 4), 0x2);
    ck_assert_uint_eq(t.s.dr[6], 0xFFFF0FF1);
    t.s.halted = false; /* back by IRET with RF: it goes on */
    t_put(&t, t.s.gpr[CPU_RSP] + 8, 0x2 | RF, 4);
    t_put(&t, T_HANDLERS + 17, 0xCF, 1);
    t_put(&t, T_CODE + 3, 0xF4, 1);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.rip, T_CODE + 4);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 3);
    ck_assert_uint_eq(t.s.rflags & RF, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(data_breakpoint)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.dr[1] = T_DATA + 4;
    t.s.dr[7] = 0x400 | 0x8 | 0x00D00000; /* DR1: write, 4 bytes */
    t_code(&t, 0x8B, 0x05, 4, 0, 3, 0,    /* mov eax, [T_DATA + 4]: a read does not count */
           0xA2, 3, 0, 3, 0,              /* mov [T_DATA + 3], al: beside it */
           0xA3, 3, 0, 3, 0,              /* mov [T_DATA + 3], eax: overlaps */
           0x40);
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 16); /* a trap: after the store */
    ck_assert_uint_eq(t.s.dr[6], 0xFFFF0FF2);
    t_destroy(&t);
}
END_TEST

START_TEST(io_breakpoint)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.cr4 = 8; /* DE */
    t.s.dr[3] = 0x81;
    t.s.dr[7] = 0x400 | 0x80 | 0x20000000;
    t_code(&t, 0xE6, 0x80, 0x66, 0xE7, 0x80, 0x40); /* out 0x80, al; out 0x80, ax: reaches 0x81 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 5);
    ck_assert_uint_eq(t.s.dr[6], 0xFFFF0FF8);
    ck_assert_uint_eq(fake_machine_count_events(t.fake, TRACE_PIO_WRITE), 2);
    t_destroy(&t);
}
END_TEST

START_TEST(mov_dr_general_detect)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.dr[7] = 0x2400;
    t_code(&t, 0x0F, 0x21, 0xC0); /* mov eax, dr0 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE);
    ck_assert_uint_eq(t.s.dr[6], 0xFFFF2FF0);
    ck_assert_uint_eq(t.s.dr[7], 0x400);
    t_destroy(&t);
}
END_TEST

START_TEST(mov_ss_holds_back_step_trap)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.rflags = 0x2 | TF;
    t.s.gpr[CPU_RCX] = SEL_DATA0;
    t_code(&t, 0x8E, 0xD1, 0x40, 0x40);
    t_run(&t);
    ck_assert_int_eq(t.vector, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 4), T_CODE + 3);
    t_destroy(&t);
}
END_TEST

/* ---- with and without what the TLB's views hold ----------------------------------------------------------------------- */

/* A delivery and the IRET from it, three times over, in one run; and the same step by step, where each step finds the views
 * empty (t_steps sets the state), so that nothing goes the fast way of event_fast.c. State and stacks are to be the same. */
static const struct {
    enum { REAL, PROTECTED, LONG } mode;
    unsigned cpl;
    uint8_t vector;
    uint64_t rflags;
    uint16_t cs, ss; /* of a descriptor changed to attributes; 0: none */
    uint16_t attributes;
    unsigned rsp; /* offset from the usual one */
    uint8_t code[16];
} round_trips[] = {
    {REAL, 0, 0x42, 0x2 | IF | CF, 0, 0, 0, 0, {0xCD, 0x42}},
    {REAL, 0, 3, 0x2 | IOPL3 | 0x8D4, 0, 0, 0, 1, {0xCC}},
    {REAL, 0, 0x42, 0x2 | IF | AC, 0, 0, 0, 0, {0xCD, 0x42}},
    {REAL, 0, 0x42, 0x2 | IF, 0, 0, 0, 2 - 0x1000, {0xCD, 0x42}},
    {REAL, 0, 0x42, 0x2 | IF, 0, 0, 0, 4 - 0x7000, {0xCD, 0x42}}, /* SP wraps: to FFFE */
    {PROTECTED, 0, 0x42, 0x2 | IF | CF, 0, 0, 0, 0, {0xCD, 0x42}},
    {PROTECTED, 0, 0x42, 0x2 | IF | 0x8D5, 0, 0, 0, 2, {0xCD, 0x42}},
    {PROTECTED, 0, 0x42, 0x2 | AC | IOPL3 | 0x200000, 0, 0, 0, 0, {0xCD, 0x42}},
    {PROTECTED, 0, 3, 0x2 | IF, 0, 0, 0, 0, {0xCC}},
    {PROTECTED, 0, 0x42, 0x2 | IF, 0, 0, 0, 4 - 0x1000, {0xCD, 0x42}}, /* over the end of a page */
    {PROTECTED, 3, 0x80, 0x2 | IF, 0, 0, 0, 0, {0xCD, 0x80}},
    {PROTECTED, 0, 0x42, 0x2 | IF, SEL_CODE0, 0, 0xC09A, 0, {0xCD, 0x42}}, /* not accessed */
    {PROTECTED, 0, 0x42, 0x2 | IF, SEL_CODE0, 0, 0xC09F, 0, {0xCD, 0x42}}, /* conforming */
    {LONG, 0, 0x42, 0x2 | IF | CF, 0, 0, 0, 0, {0xCD, 0x42}},
    {LONG, 0, 0x42, 0x2 | AC | 0x8D5, 0, 0, 0, 5, {0xCD, 0x42}},
    {LONG, 0, 3, 0x2 | IF, 0, 0, 0, 0, {0xCC}},
    {LONG, 0, 0x42, 0x2 | IF, 0, 0, 0, 16 - 0x1000, {0xCD, 0x42}},
    {LONG, 3, 0x80, 0x2 | IF | CF, 0, 0, 0, 0, {0xCD, 0x80}},
    {LONG, 3, 0x80, 0x2 | AC | 0x8D5, 0, 0, 0, 3, {0xCD, 0x80}},
    {LONG, 3, 0x80, 0x2 | IF, SEL_CODE64_3, 0, 0xA0FA, 0, {0xCD, 0x80}},
    {LONG, 3, 0x80, 0x2 | IF, 0, SEL_DATA3, 0xC0F2, 0, {0xCD, 0x80}},
    {LONG, 0, 0x42, 0x2 | IF, SEL_CODE64, 0, 0xA09F, 0, {0xCD, 0x42}},
};

static struct cpu_test round_trip(int n, unsigned rounds)
{
    struct cpu_test t = t_create();
    unsigned length = round_trips[n].code[0] == 0xCC ? 1 : 2;

    if (round_trips[n].mode == LONG)
        t_long(&t, round_trips[n].cpl);
    else if (round_trips[n].mode == PROTECTED)
        t_protected(&t, round_trips[n].cpl);
    if (round_trips[n].cs | round_trips[n].ss)
        t_gdt(&t, round_trips[n].cs | round_trips[n].ss, 0, 0xFFFFF, round_trips[n].attributes);
    t.s.rflags = round_trips[n].rflags;
    t.s.gpr[CPU_RSP] += round_trips[n].rsp;
    for (unsigned round = 0; round < rounds; round++)
        memory_write(t.memory, T_CODE + round * length, round_trips[n].code, length);
    t_put(&t, T_CODE + rounds * length, 0xFEEB, 2); /* jmp . */
    t_put(&t, T_HANDLERS + 16 * round_trips[n].vector, round_trips[n].mode == LONG ? 0xCF48FD : 0xCFFD,
          3); /* std; iret */
    return t;
}

START_TEST(fast_as_slow)
{
    enum { ROUNDS = 3, STEPS = 3 * ROUNDS };
    for (unsigned steps = 1; steps <= STEPS; steps++) {
        struct cpu_test fast = round_trip(_i, ROUNDS), slow = round_trip(_i, ROUNDS);

        t_steps(&fast, steps);
        for (unsigned step = 0; step < steps; step++)
            t_steps(&slow, 1);
        ck_assert_uint_eq(fast.s.rip, slow.s.rip);
        ck_assert_uint_eq(fast.s.rflags, slow.s.rflags);
        ck_assert_mem_eq(fast.s.gpr, slow.s.gpr, sizeof fast.s.gpr);
        for (unsigned n = 0; n < 8; n++) {
            ck_assert_uint_eq(fast.s.segment[n].selector, slow.s.segment[n].selector);
            ck_assert_uint_eq(fast.s.segment[n].attributes, slow.s.segment[n].attributes);
            ck_assert_uint_eq(fast.s.segment[n].limit, slow.s.segment[n].limit);
            ck_assert_uint_eq(fast.s.segment[n].base, slow.s.segment[n].base);
        }
        for (uint64_t at = 0; at < T_DATA; at += 8)
            ck_assert_uint_eq(t_get(&fast, at, 8), t_get(&slow, at, 8));
        t_destroy(&fast);
        t_destroy(&slow);
    }
}
END_TEST

/* The guest changes what INT reads: the next one sees it, however warm the TLB is. */
START_TEST(gate_and_descriptor_are_read_each_time)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_put(&t, T_HANDLERS + 16 * 0x42, 0xCF, 1);
    t.s.gpr[CPU_RAX] = SEL_CODE0 << 16 | ((T_HANDLERS + 16 * 0x43) & 0xFFFF);
    t_code(&t, 0xCD, 0x42, 0xCD, 0x42);             /* int 0x42, twice */
    t_code(&t, 0xA3, 0x10, 0x12, 0, 0, 0xCD, 0x42); /* mov [T_IDT + 8 * 0x42], eax; int 0x42 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x43);
    t_destroy(&t);

    t = t_create();
    t_protected(&t, 0);
    t_put(&t, T_HANDLERS + 16 * 0x42, 0xCF, 1);
    t_code(&t, 0xCD, 0x42, 0xCD, 0x42);
    t_code(&t, 0xC6, 0x05, 0x0D, 0x20, 0, 0, 0x1B, 0xCD, 0x42); /* mov byte [T_GDT + SEL_CODE0 + 5], 0x1B: absent */
    t_run(&t);
    ck_assert_int_ne(t.vector, 0x42);
    ck_assert_int_eq(t.stop, MACHINE_STOP_SHUTDOWN); /* no handler can be entered any more */
    t_destroy(&t);
}
END_TEST

START_TEST(iret_refused_when_warm)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_HANDLERS + 16 * 0x42, 0xCF48, 2);
    t_code(&t, 0xCD, 0x42, 0xCD, 0x42);                                                 /* int 0x42, twice */
    t_code(&t, 0x6A, SEL_DATA3, 0x54, 0x9C, 0x6A, SEL_CODE64 | 3, 0x6A, 0, 0x48, 0xCF); /* iretq to DPL 0 with RPL 3 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 8), SEL_CODE64);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, iret_refused_when_warm);
    tcase_add_loop_test(tcase, fast_as_slow, 0, sizeof round_trips / sizeof round_trips[0]);
    tcase_add_test(tcase, gate_and_descriptor_are_read_each_time);
    tcase_add_test(tcase, real_mode_int);
    tcase_add_test(tcase, real_mode_fault_has_no_error_code);
    tcase_add_test(tcase, real_mode_ivt_limit_is_triple_fault);
    tcase_add_test(tcase, same_level_fault_frame);
    tcase_add_test(tcase, trap_gate_keeps_if);
    tcase_add_test(tcase, gate_16_bit);
    tcase_add_test(tcase, inner_level_stack_switch);
    tcase_add_loop_test(tcase, gate_refused, 0, sizeof refused_gates / sizeof refused_gates[0]);
    tcase_add_test(tcase, fault_while_delivering_sets_ext);
    tcase_add_test(tcase, double_fault);
    tcase_add_test(tcase, triple_fault);
    tcase_add_test(tcase, page_fault_then_page_fault_is_double);
    tcase_add_test(tcase, long_mode_frame);
    tcase_add_test(tcase, long_mode_from_user);
    tcase_add_test(tcase, long_mode_needs_64_bit_handler);
    tcase_add_test(tcase, iret_long_to_user_and_syscall_back);
    tcase_add_loop_test(tcase, iret_refused, 0, sizeof refused_irets / sizeof refused_irets[0]);
    tcase_add_test(tcase, iret_null_stack_at_cpl0);
    tcase_add_test(tcase, iret_protected_flags_by_privilege);
    tcase_add_test(tcase, iret_outer_clears_inner_segments);
    tcase_add_test(tcase, vm86_round_trip);
    tcase_add_test(tcase, vm86_int_needs_iopl3);
    tcase_add_test(tcase, sti_shadow);
    tcase_add_test(tcase, mov_ss_shadow);
    tcase_add_test(tcase, interrupt_wakes_halt);
    tcase_add_test(tcase, nmi_blocked_until_iret);
    tcase_add_test(tcase, single_step);
    tcase_add_test(tcase, popf_sets_tf_for_the_next);
    tcase_add_test(tcase, int_clears_tf_without_trap);
    tcase_add_test(tcase, execution_breakpoint_and_rf);
    tcase_add_test(tcase, data_breakpoint);
    tcase_add_test(tcase, io_breakpoint);
    tcase_add_test(tcase, mov_dr_general_detect);
    tcase_add_test(tcase, mov_ss_holds_back_step_trap);
}
T_MAIN("exceptions", add_tests)
