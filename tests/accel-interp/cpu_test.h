/* A CPU in a made-up world, for tests of the system architecture: descriptor tables, page tables and handlers at known
 * addresses, in any mode. Each exception handler is one HLT, so the vector can be told from where the CPU stopped.
 *
 * Memory: 0x1000 IDT, 0x2000 GDT, 0x3000 TSS, 0x3800 LDT, 0x4000 second TSS, 0x8000 code under test, 0xA000 handlers (16
 * bytes each), 0x10000 page tables, stacks below 0x20000 (ring 0 from the TSS), 0x28000 (present), 0x2C000 (ring 3),
 * 0x30000.. data. All of the first 2 MiB is mapped one to one by 4 KiB pages, user, writable, executable. */
#ifndef VMRR_TESTS_CPU_TEST_H
#define VMRR_TESTS_CPU_TEST_H

#include "accel-interp/accel_interp.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define T_UNUSED __attribute__((unused))

enum {
    T_IDT = 0x1000,
    T_GDT = 0x2000,
    T_TSS = 0x3000,
    T_LDT = 0x3800,
    T_TSS2 = 0x4000,
    T_CODE = 0x8000,
    T_HANDLERS = 0xA000,
    T_PML4 = 0x10000,
    T_PDPT = 0x11000,
    T_PD = 0x12000,
    T_PT = 0x13000,
    T_STACK0 = 0x20000,
    T_STACK = 0x28000,
    T_STACK3 = 0x2C000,
    T_DATA = 0x30000,
    T_RAM = 4 << 20
};
enum {
    SEL_CODE0 = 0x08,
    SEL_DATA0 = 0x10,
    SEL_CODE3 = 0x1B,
    SEL_DATA3 = 0x23,
    SEL_TSS = 0x28,
    SEL_CODE64 = 0x38,
    SEL_CODE64_3 = 0x43,
    SEL_ABSENT = 0x48,
    SEL_CONFORMING = 0x50,
    SEL_EXPAND_DOWN = 0x58,
    SEL_LDT = 0x60,
    SEL_TSS2 = 0x70,
    SEL_TASK_GATE = 0x80,
    SEL_CALL_GATE = 0x88,
    SEL_CODE16 = 0x98,
    SEL_DATA16 = 0xA0,
    SEL_READ_ONLY = 0xA8,
    SEL_EXECUTE_ONLY = 0xB0,
    SEL_ABSENT_CODE = 0xB8,
    T_GDT_BYTES = 0xC0
};

struct cpu_test {
    struct fake_machine *fake;
    struct accel *accel;
    struct memory *memory;
    struct cpu_state s;
    uint64_t code; /* where the next t_code goes */
    int vector;    /* after t_run: of the handler that was reached, -1: none */
    enum machine_stop stop;
};

T_UNUSED static void t_put(struct cpu_test *t, uint64_t gpa, uint64_t value, unsigned size)
{
    memory_write(t->memory, gpa, &value, size);
}
T_UNUSED static uint64_t t_get(struct cpu_test *t, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    memory_read(t->memory, gpa, &value, size);
    return value;
}

/* A segment descriptor: attributes as struct cpu_segment, limit in the unit that G says. */
T_UNUSED static void t_descriptor(struct cpu_test *t, uint64_t at, uint32_t base, uint32_t limit, uint16_t attributes)
{
    uint64_t low = (limit & 0xFFFF) | (uint64_t)(base & 0xFFFFFF) << 16 | (uint64_t)(attributes & 0xFF) << 40 |
                   (uint64_t)(limit >> 16 & 0xF) << 48 | (uint64_t)(attributes >> 12) << 52 |
                   (uint64_t)(base >> 24) << 56;
    t_put(t, at, low, 8);
}
T_UNUSED static void t_gdt(struct cpu_test *t, unsigned selector, uint32_t base, uint32_t limit, uint16_t attributes)
{
    t_descriptor(t, T_GDT + (selector & ~7u), base, limit, attributes);
}
/* An 8-byte gate. type: with DPL and P, as descriptor byte 5. */
T_UNUSED static void t_gate(struct cpu_test *t, uint64_t at, uint16_t selector, uint32_t offset, uint8_t type,
                            uint8_t parameters)
{
    t_put(t, at,
          (offset & 0xFFFF) | (uint64_t)selector << 16 | (uint64_t)parameters << 32 | (uint64_t)type << 40 |
              (uint64_t)(offset >> 16) << 48,
          8);
}
T_UNUSED static void t_idt32(struct cpu_test *t, unsigned vector, uint16_t selector, uint8_t type)
{
    t_gate(t, T_IDT + 8 * vector, selector, T_HANDLERS + 16 * vector, type, 0);
}
T_UNUSED static void t_idt64(struct cpu_test *t, unsigned vector, uint16_t selector, uint8_t type, uint8_t ist)
{
    t_gate(t, T_IDT + 16 * vector, selector, T_HANDLERS + 16 * vector, type, ist);
    t_put(t, T_IDT + 16 * vector + 8, 0, 8);
}

T_UNUSED static void t_fill_gdt(struct cpu_test *t)
{
    t_gdt(t, SEL_CODE0, 0, 0xFFFFF, 0xC09B);
    t_gdt(t, SEL_DATA0, 0, 0xFFFFF, 0xC093);
    t_gdt(t, SEL_CODE3, 0, 0xFFFFF, 0xC0FB);
    t_gdt(t, SEL_DATA3, 0, 0xFFFFF, 0xC0F3);
    t_gdt(t, SEL_TSS, T_TSS, 0x6FF, 0x0089);
    t_gdt(t, SEL_CODE64, 0, 0xFFFFF, 0xA09B);
    t_gdt(t, SEL_CODE64_3, 0, 0xFFFFF, 0xA0FB);
    t_gdt(t, SEL_ABSENT, 0, 0xFFFFF, 0xC013);
    t_gdt(t, SEL_CONFORMING, 0, 0xFFFFF, 0xC09F);
    t_gdt(t, SEL_EXPAND_DOWN, 0, 0x0FFF, 0x4097);
    t_gdt(t, SEL_LDT, T_LDT, 0x1F, 0x0082);
    t_gdt(t, SEL_TSS2, T_TSS2, 0x67, 0x0089);
    t_gdt(t, SEL_CODE16, 0, 0xFFFF, 0x009B);
    t_gdt(t, SEL_DATA16, 0, 0xFFFF, 0x0093);
    t_gdt(t, SEL_READ_ONLY, 0, 0xFFFFF, 0xC091);
    t_gdt(t, SEL_EXECUTE_ONLY, 0, 0xFFFFF, 0xC099);
    t_gdt(t, SEL_ABSENT_CODE, 0, 0xFFFFF, 0xC01B);
}

T_UNUSED static struct cpu_segment t_segment(uint16_t selector, uint16_t attributes)
{
    return (struct cpu_segment){.selector = selector, .attributes = attributes, .limit = UINT32_MAX};
}

T_UNUSED static void t_handlers(struct cpu_test *t)
{
    for (unsigned vector = 0; vector < 256; vector++)
        t_put(t, T_HANDLERS + 16 * vector, 0xF4, 1); /* HLT */
}

/* Reset state; the world is in memory; CS:IP at T_CODE in real mode. */
T_UNUSED static struct cpu_test t_create_with(const struct interp_options *options)
{
    struct error error = {0};
    struct cpu_test t = {.fake = fake_machine_create(T_RAM), .code = T_CODE};
    t.accel = interp_create(t.fake->machine, options, &error);
    CHECK(t.accel);
    machine_set_accel(t.fake->machine, t.accel);
    t.memory = machine_memory(t.fake->machine);
    t_fill_gdt(&t);
    t_handlers(&t);
    for (unsigned vector = 0; vector < 256; vector++)
        t_put(&t, 4 * vector, T_HANDLERS + 16 * vector, 4); /* IVT: segment 0 */
    cpu_state_reset(&t.s);
    t.s.segment[CPU_CS].selector = 0;
    t.s.segment[CPU_CS].base = 0;
    t.s.idtr_limit = 0x3FF;
    t.s.rip = T_CODE;
    t.s.gpr[CPU_RSP] = 0x7000;
    return t;
}
T_UNUSED static struct cpu_test t_create(void)
{
    return t_create_with(NULL);
}
T_UNUSED static void t_destroy(struct cpu_test *t)
{
    fake_machine_destroy(t->fake);
}

T_UNUSED static void t_set_cpl(struct cpu_test *t, unsigned cpl)
{
    static const uint8_t data[] = {CPU_ES, CPU_SS, CPU_DS, CPU_FS, CPU_GS};
    bool in_long = t->s.efer & 0x400;
    for (unsigned n = 0; n < sizeof data; n++)
        t->s.segment[data[n]] = t_segment(cpl ? SEL_DATA3 : SEL_DATA0, cpl ? 0xC0F3 : 0xC093);
    if (in_long)
        t->s.segment[CPU_CS] = t_segment(cpl ? SEL_CODE64_3 : SEL_CODE64, cpl ? 0xA0FB : 0xA09B);
    else
        t->s.segment[CPU_CS] = t_segment(cpl ? SEL_CODE3 : SEL_CODE0, cpl ? 0xC0FB : 0xC09B);
    t->s.gpr[CPU_RSP] = cpl ? T_STACK3 : T_STACK;
}

/* 32-bit protected mode, no paging; interrupt gates for all vectors, DPL 0 but for 0x80 (DPL 3). */
T_UNUSED static void t_protected(struct cpu_test *t, unsigned cpl)
{
    for (unsigned vector = 0; vector < 256; vector++)
        t_idt32(t, vector, SEL_CODE0, vector == 0x80 ? 0xEE : 0x8E);
    t->s.cr0 = 0x31;
    t->s.efer = 0;
    t->s.idtr_base = T_IDT;
    t->s.idtr_limit = 0x7FF;
    t->s.gdtr_base = T_GDT;
    t->s.gdtr_limit = T_GDT_BYTES - 1;
    t->s.segment[CPU_TR] = (struct cpu_segment){.selector = SEL_TSS, .attributes = 0x8B, .limit = 0x6FF, .base = T_TSS};
    t->s.segment[CPU_LDTR] = (struct cpu_segment){.attributes = CPU_SEGMENT_UNUSABLE};
    t_put(t, T_TSS + 4, T_STACK0, 4);
    t_put(t, T_TSS + 8, SEL_DATA0, 4);
    t_set_cpl(t, cpl);
}

T_UNUSED static void t_page_tables(struct cpu_test *t)
{
    t_put(t, T_PML4, T_PDPT | 7, 8);
    t_put(t, T_PDPT, T_PD | 7, 8);
    t_put(t, T_PD, T_PT | 7, 8);
    for (unsigned n = 0; n < 512; n++)
        t_put(t, T_PT + 8 * n, n << 12 | 7, 8);
}

/* 64-bit mode with NX, WP; the one-to-one mapping. */
T_UNUSED static void t_long(struct cpu_test *t, unsigned cpl)
{
    t_protected(t, 0);
    for (unsigned vector = 0; vector < 256; vector++)
        t_idt64(t, vector, SEL_CODE64, vector == 0x80 ? 0xEE : 0x8E, 0);
    t_page_tables(t);
    t_put(t, T_TSS + 4, T_STACK0, 8);
    t->s.idtr_limit = 0xFFF;
    t->s.cr0 = 0x80010031;
    t->s.cr3 = T_PML4;
    t->s.cr4 = 0x620;
    t->s.efer = 0xD01;
    t_set_cpl(t, cpl);
}

/* 64-bit code with the components of xcr0 enabled, every vector register another value. */
T_UNUSED static struct cpu_test t_create_vectors(unsigned cpl, uint64_t xcr0)
{
    struct cpu_test t = t_create();

    t_long(&t, cpl);
    t.s.cr4 |= 1u << 18;
    t.s.xcr0 = xcr0;
    for (unsigned n = 0; n < 16; n++)
        for (unsigned word = 0; word < 4; word++)
            t.s.vector[n].q[word] = 0x0101010101010101ull * (n * 4 + word + 1);
    return t;
}

#define t_code(t, ...)                                                                                                 \
    do {                                                                                                               \
        static const uint8_t code_[] = {__VA_ARGS__};                                                                  \
        memory_write((t)->memory, (t)->code, code_, sizeof code_);                                                     \
        (t)->code += sizeof code_;                                                                                     \
    } while (0)

/* Runs at most `steps` from t->s on, until HLT; the state afterwards is in t->s. */
T_UNUSED static void t_steps(struct cpu_test *t, uint64_t steps)
{
    struct position at = machine_position(t->fake->machine);
    at.icount += steps;
    at.vtime_ns += steps;
    t->accel->ops->set_state(t->accel, &t->s);
    t->stop = machine_run(t->fake->machine, at);
    t->accel->ops->get_state(t->accel, &t->s);
    uint64_t rip = t->s.segment[CPU_CS].base + t->s.rip - 1;
    bool handler = t->s.halted && rip >= T_HANDLERS && rip < T_HANDLERS + 16 * 256 && rip % 16 == 0;
    t->vector = handler ? (int)((rip - T_HANDLERS) / 16) : -1;
}
T_UNUSED static void t_run(struct cpu_test *t)
{
    t_steps(t, 200);
}

/* Value n of the stack that RSP points to. */
T_UNUSED static uint64_t t_stack(struct cpu_test *t, unsigned n, unsigned size)
{
    return t_get(t, t->s.segment[CPU_SS].base + t->s.gpr[CPU_RSP] + n * size, size);
}

#define T_MAIN(suite_name, add_tests)                                                                                  \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        Suite *suite = suite_create(suite_name);                                                                       \
        TCase *tcase = tcase_create("all");                                                                            \
        add_tests(tcase);                                                                                              \
        suite_add_tcase(suite, tcase);                                                                                 \
        return run_suite(suite, CK_FORK_GETENV);                                                                       \
    }

#endif
