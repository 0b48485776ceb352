/* MONITOR and MWAIT: what arms, what disarms, what wakes (Intel SDM vol. 2 MONITOR, MWAIT; vol. 3, 8.10.4). */
#include "tests/accel-interp/cpu_test.h"

enum { LINE = T_DATA + 0x40, RF_IF = 0x200, MONITOR_ENABLE = 1 << 18 };

static const uint8_t monitor[] = {0x0F, 0x01, 0xC8}, mwait[] = {0x0F, 0x01, 0xC9};

static void put_code(struct cpu_test *t, const uint8_t *code, unsigned size)
{
    memory_write(t->memory, t->code, code, size);
    t->code += size;
}

/* monitor [rax]; <between>; mov ecx, extensions; mwait; inc rbx; hlt */
static struct cpu_test armed(const uint8_t *between, unsigned size, uint8_t extensions)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t.s.misc_enable |= MONITOR_ENABLE;
    t.s.gpr[CPU_RAX] = LINE + 5;
    t.s.gpr[CPU_RSI] = LINE;
    put_code(&t, monitor, sizeof monitor);
    put_code(&t, between, size);
    t_code(&t, 0xB9);
    t_put(&t, t.code, extensions, 4);
    t.code += 4;
    put_code(&t, mwait, sizeof mwait);
    t_code(&t, 0x48, 0xFF, 0xC3, 0xF4);
    return t;
}

static void go_on(struct cpu_test *t)
{
    t->accel->ops->get_state(t->accel, &t->s);
    t_run(t);
}

static void assert_waits(struct cpu_test *t)
{
    t_run(t);
    ck_assert_int_eq(t->stop, MACHINE_STOP_IDLE);
    ck_assert(t->s.halted && t->s.mwaiting && t->s.monitor_armed);
    ck_assert_uint_eq(t->s.gpr[CPU_RBX], 0);
    ck_assert_uint_eq(t->s.monitor_gpa, LINE);
}

static void assert_gone_on(struct cpu_test *t)
{
    ck_assert_int_eq(t->vector, -1);
    ck_assert_uint_eq(t->s.gpr[CPU_RBX], 1);
    ck_assert(t->s.halted && !t->s.mwaiting && !t->s.monitor_armed);
}

START_TEST(waits_and_a_device_wakes_it)
{
    static const struct {
        unsigned at, size;
        bool wakes;
    } writes[] = {
        {LINE, 1, true},       {LINE + 63, 1, true}, {LINE - 1, 1, false},
        {LINE + 64, 8, false}, {LINE - 4, 8, true},  {LINE - 0x40, 0x200, true},
    };
    struct cpu_test t = armed(NULL, 0, 0);

    assert_waits(&t);
    t_put(&t, LINE + 0x1000, 1, 1);
    memory_write(t.memory, writes[_i].at, (uint8_t[0x200]){0}, writes[_i].size);
    go_on(&t);
    if (writes[_i].wakes)
        assert_gone_on(&t);
    else
        ck_assert(t.s.mwaiting && t.s.monitor_armed);
    t_destroy(&t);
}
END_TEST

static const struct {
    uint8_t code[12];
    unsigned size;
    bool falls;
} between[] = {
    {{0xC6, 0x06, 0x01}, 3, true},                                /* mov byte [rsi], 1 */
    {{0x88, 0x4E, 0x3F}, 3, true},                                /* mov [rsi + 63], cl */
    {{0x88, 0x4E, 0x40}, 3, false},                               /* the next line */
    {{0x88, 0x4E, 0xFF}, 3, false},                               /* the one before */
    {{0x48, 0x89, 0x4E, 0xFC}, 4, true},                          /* mov [rsi - 4], rcx: reaches in */
    {{0xF0, 0x48, 0x0F, 0xB1, 0x0E}, 5, true},                    /* lock cmpxchg: writes whatever it finds */
    {{0x8A, 0x16}, 2, false},                                     /* a load */
    {{0x48, 0x89, 0xF7, 0xB9, 2, 0, 0, 0, 0xF3, 0xAA}, 10, true}, /* rep stosb */
    {{0x0F, 0x29, 0x06}, 3, true},                                /* movaps [rsi], xmm0 */
    {{0xCC}, 1, true},                                            /* int3: a far transfer */
};
START_TEST(own_stores_before_mwait)
{
    static const uint8_t iretq[] = {0x48, 0xCF};
    struct cpu_test t = armed(between[_i].code, between[_i].size, 0);

    memory_write(t.memory, T_HANDLERS + 16 * 3, iretq, sizeof iretq);
    if (between[_i].falls) {
        t_run(&t);
        assert_gone_on(&t);
    } else {
        assert_waits(&t);
    }
    t_destroy(&t);
}
END_TEST

START_TEST(without_monitor_it_goes_on)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t.s.misc_enable |= MONITOR_ENABLE;
    put_code(&t, mwait, sizeof mwait);
    t_code(&t, 0x48, 0xFF, 0xC3, 0xF4);
    t_run(&t);
    assert_gone_on(&t);
    t_destroy(&t);
}
END_TEST

/* The last MONITOR counts. */
START_TEST(monitor_again)
{
    static const uint8_t again[] = {0x48, 0x05, 0x40, 0, 0, 0, 0x0F, 0x01, 0xC8}; /* add rax, 64; monitor */
    struct cpu_test t = armed(again, sizeof again, 0);

    t_run(&t);
    ck_assert(t.s.mwaiting);
    ck_assert_uint_eq(t.s.monitor_gpa, LINE + 64);
    t_put(&t, LINE, 1, 1);
    go_on(&t);
    ck_assert(t.s.mwaiting);
    t_put(&t, LINE + 64, 1, 1);
    go_on(&t);
    assert_gone_on(&t);
    t_destroy(&t);
}
END_TEST

/* ---- interrupts ---- */

static int vector_40(void *opaque)
{
    machine_set_intr(opaque, false);
    return 0x40;
}
static const struct cpu_link_ops link_ops = {.acknowledge = vector_40};

static void interrupt(struct cpu_test *t)
{
    machine_set_cpu_link(t->fake->machine, (struct cpu_link){&link_ops, t->fake->machine});
    machine_set_intr(t->fake->machine, true);
}

START_TEST(interrupt_with_if)
{
    struct cpu_test t = armed(NULL, 0, 0);

    t.s.rflags |= RF_IF;
    assert_waits(&t);
    interrupt(&t);
    go_on(&t);
    ck_assert_int_eq(t.vector, 0x40);
    ck_assert(!t.s.mwaiting && !t.s.monitor_armed);
    ck_assert_uint_eq(t_stack(&t, 0, 8), t.code - 4); /* the instruction after MWAIT */
    t_destroy(&t);
}
END_TEST

/* IF = 0: ECX bit 0 decides; the interrupt is not taken either way. */
START_TEST(interrupt_without_if)
{
    struct cpu_test t = armed(NULL, 0, (uint8_t)_i);

    assert_waits(&t);
    ck_assert_int_eq(t.s.mwait_interrupts, _i);
    interrupt(&t);
    go_on(&t);
    if (_i)
        assert_gone_on(&t);
    else
        ck_assert(t.s.mwaiting && t.s.monitor_armed);
    ck_assert(machine_intr_pending(t.fake->machine));
    t_destroy(&t);
}
END_TEST

START_TEST(nmi_wakes)
{
    struct cpu_test t = armed(NULL, 0, 0);

    assert_waits(&t);
    machine_raise_nmi(t.fake->machine);
    go_on(&t);
    ck_assert_int_eq(t.vector, 2);
    ck_assert(!t.s.mwaiting && !t.s.monitor_armed);
    t_destroy(&t);
}
END_TEST

/* ---- faults ---- */

static struct cpu_test one(const uint8_t *code, unsigned cpl, uint64_t rax, uint64_t rcx)
{
    struct cpu_test t = t_create();

    t_long(&t, cpl);
    t.s.misc_enable |= MONITOR_ENABLE;
    t.s.gpr[CPU_RAX] = rax;
    t.s.gpr[CPU_RCX] = rcx;
    put_code(&t, code, 3);
    t_code(&t, 0xF4);
    return t;
}

static void assert_fault(struct cpu_test t, int vector)
{
    t_run(&t);
    ck_assert_int_eq(t.vector, vector);
    ck_assert(!t.s.monitor_armed && !t.s.mwaiting);
    t_destroy(&t);
}

START_TEST(faults)
{
    assert_fault(one(monitor, 3, T_DATA, 0), 6);
    assert_fault(one(mwait, 3, 0, 0), 6);
    assert_fault(one(monitor, 0, T_DATA, 1), 13);
    assert_fault(one(monitor, 0, T_DATA, 1ull << 32), 13);
    assert_fault(one(mwait, 0, 0, 2), 13);
    assert_fault(one(mwait, 0, 0, 1ull << 63), 13);
    assert_fault(one(monitor, 0, 1ull << 63, 0), 13); /* not canonical */
    assert_fault(one(monitor, 0, 0x200000, 0), 14);   /* not mapped */
    assert_fault(one(monitor, 3, T_DATA, 1), 6);      /* privilege comes first */
}
END_TEST

/* A load: the accessed bit, not the dirty one; the segment and its override. */
START_TEST(accessed_bit)
{
    struct cpu_test t = one(monitor, 0, T_DATA, 0);

    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_PT + 8 * (T_DATA >> 12), 8) & 0x60, 0x20);
    t_destroy(&t);
}
END_TEST

START_TEST(segment_override)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t.s.misc_enable |= MONITOR_ENABLE;
    t.s.segment[CPU_GS].base = T_DATA;
    t.s.gpr[CPU_RAX] = 0x1080;
    t_code(&t, 0x65, 0x0F, 0x01, 0xC8, 0xF4);
    t_run(&t);
    ck_assert(t.s.monitor_armed);
    ck_assert_uint_eq(t.s.monitor_gpa, T_DATA + 0x1080);
    t_destroy(&t);
}
END_TEST

/* Memory-mapped I/O (nothing is there): not touched, not watched. */
START_TEST(not_memory)
{
    struct cpu_test t = armed(NULL, 0, 0);

    t_put(&t, T_PT + 8 * (T_DATA >> 12), 0xFE000000 | 7, 8);
    t_run(&t);
    assert_gone_on(&t);
    ck_assert_uint_eq(fake_machine_count_events(t.fake, TRACE_MMIO_READ), 0);
    t_destroy(&t);
}
END_TEST

/* ---- identification ---- */

START_TEST(in_cpuid)
{
    static const uint8_t cpuid[] = {0x0F, 0xA2, 0x0F, 0x1F};
    struct cpu_test t = one(cpuid, 0, 1, 0);

    struct cpu_state reset;

    t.accel->ops->get_state(t.accel, &reset);
    ck_assert(reset.misc_enable & MONITOR_ENABLE);
    t_run(&t);
    ck_assert(t.s.gpr[CPU_RCX] & 8);
    t_destroy(&t);
    t = one(cpuid, 0, 5, 0);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 64);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 64);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 3);
    ck_assert_uint_eq(t.s.gpr[CPU_RDX], 0x10);
    t_destroy(&t);
}
END_TEST

/* IA32_MISC_ENABLE bit 18 takes them away. */
START_TEST(disabled)
{
    struct cpu_test t = one((const uint8_t[]){0x0F, 0xA2, 0x90}, 0, 1, 0);

    t.s.misc_enable &= ~(uint64_t)MONITOR_ENABLE;
    t_run(&t);
    ck_assert(!(t.s.gpr[CPU_RCX] & 8));
    t_destroy(&t);
    t = one(monitor, 0, T_DATA, 0);
    t.s.misc_enable &= ~(uint64_t)MONITOR_ENABLE;
    assert_fault(t, 6);
    t = one(mwait, 0, 0, 0);
    t.s.misc_enable &= ~(uint64_t)MONITOR_ENABLE;
    assert_fault(t, 6);
}
END_TEST

/* A restored state waits as the saved one did. */
START_TEST(restored)
{
    struct cpu_test t = armed(NULL, 0, 0), other = armed(NULL, 0, 0);

    assert_waits(&t);
    other.s = t.s;
    t_run(&other);
    ck_assert(other.s.mwaiting);
    t_put(&other, LINE + 8, 1, 4);
    go_on(&other);
    assert_gone_on(&other);
    t_destroy(&t);
    t_destroy(&other);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, waits_and_a_device_wakes_it, 0, 6);
    tcase_add_loop_test(tcase, own_stores_before_mwait, 0, sizeof between / sizeof between[0]);
    tcase_add_test(tcase, without_monitor_it_goes_on);
    tcase_add_test(tcase, monitor_again);
    tcase_add_test(tcase, interrupt_with_if);
    tcase_add_loop_test(tcase, interrupt_without_if, 0, 2);
    tcase_add_test(tcase, nmi_wakes);
    tcase_add_test(tcase, faults);
    tcase_add_test(tcase, accessed_bit);
    tcase_add_test(tcase, segment_override);
    tcase_add_test(tcase, not_memory);
    tcase_add_test(tcase, in_cpuid);
    tcase_add_test(tcase, disabled);
    tcase_add_test(tcase, restored);
}

T_MAIN("monitor", add_tests)
