/* What x87, MMX and SSE owe to control registers, by hand-written expectation: #NM, #UD, #MF, #XM, FERR# and IRQ13, image
 * layouts of real mode, alignment, and state kept from one run to the next. 32-bit flat code without paging, or real mode. */
#include "accel-interp/accel_interp.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <string.h>

#define CODE 0x1000u
#define DATA 0x8000u
#define IDT 0x4000u
#define GDT 0x5000u
#define STACK 0xF000u
#define HANDLERS 0x6000u /* 16 bytes a vector */

#define CR0_BASE 0x31u /* PE ET NE */
#define CR0_MP 0x02u
#define CR0_EM 0x04u
#define CR0_TS 0x08u
#define CR0_NE 0x20u
#define CR4_BASE 0x600u /* OSFXSR OSXMMEXCPT */

enum {
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_GP = 13,
    VECTOR_MF = 16,
    VECTOR_XM = 19,
    VECTOR_IRQ13 = 0x2D,
    VECTOR_NONE = -1
};

static struct fake_machine *fake;
static struct accel *accel;
static struct fake_line ferr;
static struct cpu_state s;

static int acknowledge(void *opaque)
{
    (void)opaque;
    machine_set_intr(fake->machine, false);
    return VECTOR_IRQ13;
}
/* As the board does it: FERR# is IRQ13. */
static void ferr_changed(void *opaque, unsigned pin, bool level)
{
    (void)opaque;
    (void)pin;
    ferr.rises += level && !ferr.level;
    machine_set_intr(fake->machine, level);
    ferr.level = level;
}

static void setup(void)
{
    static const struct cpu_link_ops link = {.acknowledge = acknowledge};
    struct error error = {0};
    uint8_t *ram;

    fake = fake_machine_create(1u << 20);
    accel = interp_create(fake->machine, NULL, &error);
    ck_assert_ptr_nonnull(accel);
    machine_set_accel(fake->machine, accel);
    machine_set_cpu_link(fake->machine, (struct cpu_link){.ops = &link});
    machine_set_ferr_line(fake->machine, (struct irq_line){.set = ferr_changed});
    memset(&ferr, 0, sizeof ferr);
    accel->ops->reset(accel);
    ram = fake->ram->host;
    for (unsigned vector = 0; vector < 64; vector++) {
        uint64_t gate = (HANDLERS + vector * 16) | 0x00080000u | 0x8E00ull << 32;
        memcpy(ram + IDT + vector * 8, &gate, 8);
        memcpy(ram + HANDLERS + vector * 16, "\xEB\xFE", 2); /* jmp . */
    }
    memcpy(ram + GDT + 8, &(uint64_t){0x00CF9B000000FFFFull}, 8);
    memcpy(ram + GDT + 16, &(uint64_t){0x00CF93000000FFFFull}, 8);
    accel->ops->get_state(accel, &s);
    for (unsigned n = 0; n < 6; n++)
        s.segment[n] = (struct cpu_segment){.selector = 16, .attributes = 0xC093, .limit = UINT32_MAX};
    s.segment[CPU_CS] = (struct cpu_segment){.selector = 8, .attributes = 0xC09B, .limit = UINT32_MAX};
    s.idtr_base = IDT;
    s.idtr_limit = 0x1FF;
    s.gdtr_base = GDT;
    s.gdtr_limit = 0x17;
    s.cr0 = CR0_BASE;
    s.cr4 = CR4_BASE;
    s.rflags = 2;
    s.rip = CODE;
    s.gpr[CPU_RSP] = STACK;
    s.gpr[CPU_RBX] = DATA;
    s.fcw = 0x37F;
    s.fsw = 0;
    s.ftw = 0;
    s.mxcsr = 0x1F80;
}

static void teardown(void)
{
    fake_machine_destroy(fake);
}

static void run(unsigned steps)
{
    struct position limit;

    accel->ops->set_state(accel, &s);
    limit = machine_position(fake->machine);
    limit.icount += steps;
    machine_run(fake->machine, limit);
    accel->ops->get_state(accel, &s);
}

/* Runs one instruction; the vector it raised, or VECTOR_NONE. */
static int execute_bytes(const char *code, unsigned length)
{
    s.rip = CODE;
    memory_write(machine_memory(fake->machine), CODE, code, length);
    memory_write(machine_memory(fake->machine), CODE + length, "\xEB\xFE", 2);
    run(1);
    if (s.rip == CODE || s.rip == CODE + length)
        return VECTOR_NONE;
    ck_assert_uint_eq(s.rip & 15, 0);
    s.gpr[CPU_RSP] = STACK;
    return (int)(s.rip - HANDLERS) / 16;
}
#define execute(code) execute_bytes((code), sizeof(code) - 1)

#define FLD1 "\xD9\xE8"
#define FNINIT "\xDB\xE3"
#define FNCLEX "\xDB\xE2"
#define FWAIT "\x9B"
#define FNSTSW_AX "\xDF\xE0"
#define FNSTENV "\xD9\x33"
#define FNSAVE "\xDD\x33"
#define ADDPS_REG "\x0F\x58\xC1"
#define ADDPS_MEM "\x0F\x58\x03"
#define MOVAPS_MEM "\x0F\x28\x03"
#define MOVUPS_MEM "\x0F\x10\x03"
#define DIVSS_REG "\xF3\x0F\x5E\xC1"
#define PADDB_MMX "\x0F\xFC\xC1"
#define EMMS "\x0F\x77"
#define FXSAVE "\x0F\xAE\x03"
#define LDMXCSR "\x0F\xAE\x13"
#define MOVNTI "\x0F\xC3\x03"

START_TEST(test_not_available)
{
    static const struct {
        unsigned cr0;
        int x87, fwait, mmx, sse, fxsave;
    } rows[] = {
        {0, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE},
        {CR0_MP, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE, VECTOR_NONE},
        {CR0_TS, VECTOR_NM, VECTOR_NONE, VECTOR_NM, VECTOR_NM, VECTOR_NM},
        {CR0_TS | CR0_MP, VECTOR_NM, VECTOR_NM, VECTOR_NM, VECTOR_NM, VECTOR_NM},
        {CR0_EM, VECTOR_NM, VECTOR_NONE, VECTOR_UD, VECTOR_UD, VECTOR_NM},
        {CR0_EM | CR0_MP | CR0_TS, VECTOR_NM, VECTOR_NM, VECTOR_UD, VECTOR_UD, VECTOR_NM},
    };

    s.cr0 = CR0_BASE | rows[_i].cr0;
    ck_assert_int_eq(execute(FLD1), rows[_i].x87);
    ck_assert_int_eq(execute(FNINIT), rows[_i].x87);
    ck_assert_int_eq(execute(FNSTSW_AX), rows[_i].x87);
    ck_assert_int_eq(execute(FNSTENV), rows[_i].x87);
    ck_assert_int_eq(execute(FNCLEX), rows[_i].x87);
    ck_assert_int_eq(execute(FWAIT), rows[_i].fwait);
    ck_assert_int_eq(execute(PADDB_MMX), rows[_i].mmx);
    ck_assert_int_eq(execute(EMMS), rows[_i].mmx);
    ck_assert_int_eq(execute(ADDPS_REG), rows[_i].sse);
    ck_assert_int_eq(execute(ADDPS_MEM), rows[_i].sse);
    ck_assert_int_eq(execute(MOVAPS_MEM), rows[_i].sse);
    memset(fake->ram->host + DATA, 0, 16);
    ck_assert_int_eq(execute(LDMXCSR), rows[_i].sse);
    ck_assert_int_eq(execute(FXSAVE), rows[_i].fxsave);
    ck_assert_int_eq(execute(MOVNTI), VECTOR_NONE);
}
END_TEST

START_TEST(test_sse_needs_osfxsr)
{
    s.cr4 = 0;
    ck_assert_int_eq(execute(ADDPS_REG), VECTOR_UD);
    ck_assert_int_eq(execute(MOVUPS_MEM), VECTOR_UD);
    ck_assert_int_eq(execute(LDMXCSR), VECTOR_UD);
    ck_assert_int_eq(execute(FXSAVE), VECTOR_NONE);
    ck_assert_int_eq(execute(PADDB_MMX), VECTOR_NONE);
}
END_TEST

START_TEST(test_simd_exception)
{
    s.mxcsr = 0x1F80 & ~0x200u; /* divide by zero unmasked */
    s.vector[0].q[0] = 0x3F800000;
    s.vector[1].q[0] = 0;
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_XM);
    ck_assert_uint_eq(s.mxcsr, 0x1D84);
    ck_assert_uint_eq(s.vector[0].q[0], 0x3F800000);
    s.cr4 &= ~0x400ull;
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_UD);
    s.mxcsr = 0x1F80;
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_NONE);
    ck_assert_uint_eq(s.mxcsr, 0x1F84);
    ck_assert_uint_eq(s.vector[0].q[0], 0x7F800000);
}
END_TEST

/* Underflow with an exact result: only an unmasked exception is told of it. */
START_TEST(test_simd_tiny_exact)
{
    s.vector[0].q[0] = 0x00800000; /* the smallest normal */
    s.vector[1].q[0] = 0x40000000; /* 2 */
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_NONE);
    ck_assert_uint_eq(s.mxcsr, 0x1F80);
    ck_assert_uint_eq(s.vector[0].q[0], 0x00400000);
    s.vector[0].q[0] = 0x00800000;
    s.mxcsr = 0x1F80 & ~0x800u;
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_XM);
    ck_assert_uint_eq(s.mxcsr, (0x1F80 & ~0x800u) | 0x10);
}
END_TEST

START_TEST(test_alignment)
{
    s.gpr[CPU_RBX] = DATA + 8;
    ck_assert_int_eq(execute(MOVUPS_MEM), VECTOR_NONE);
    ck_assert_int_eq(execute(MOVAPS_MEM), VECTOR_GP);
    ck_assert_int_eq(execute(ADDPS_MEM), VECTOR_GP);
    ck_assert_int_eq(execute(FXSAVE), VECTOR_GP);
}
END_TEST

/* The exception shows at the next waiting instruction, not at the one that had it, nor at those that do not wait. */
START_TEST(test_pending_exception)
{
    s.fcw = 0x37B; /* divide by zero unmasked */
    s.ftw = 0x80;
    s.fsw = 7 << 11;
    s.fpr[7] = (struct cpu_x87_register){.significand = 1ull << 63, .sign_exponent = 0x3FFF};
    memset(fake->ram->host + DATA, 0, 16);
    ck_assert_int_eq(execute("\xD8\x33"), VECTOR_NONE); /* fdiv dword [ebx] */
    ck_assert_uint_eq(s.fsw, 0x8084 | 7 << 11);
    ck_assert_uint_eq(s.fip, CODE);
    ck_assert_uint_eq(s.fdp, DATA);
    ck_assert_uint_eq(s.fop, 0x033);
    ck_assert_int_eq(execute(FNSTSW_AX), VECTOR_NONE);
    ck_assert_uint_eq(s.gpr[CPU_RAX] & 0xFFFF, 0x8084 | 7 << 11);
    ck_assert_int_eq(execute(FLD1), VECTOR_MF);
    ck_assert_int_eq(execute(FWAIT), VECTOR_MF);
    ck_assert_int_eq(execute(PADDB_MMX), VECTOR_MF);
    ck_assert_int_eq(execute(ADDPS_REG), VECTOR_NONE);
    ck_assert_int_eq(execute(FNCLEX), VECTOR_NONE);
    ck_assert_uint_eq(s.fsw, 7 << 11);
    ck_assert_int_eq(execute(FLD1), VECTOR_NONE);
    ck_assert_uint_eq(ferr.rises, 0);
}
END_TEST

START_TEST(test_ferr)
{
    s.cr0 &= ~(uint64_t)CR0_NE;
    s.fcw = 0x37B;
    s.fsw = 4;
    s.rflags |= 0x200;
    ck_assert_int_eq(execute(FNSTSW_AX), VECTOR_NONE);
    ck_assert(!ferr.level);
    s.rip = CODE;
    memory_write(machine_memory(fake->machine), CODE, FLD1 "\xEB\xFE", 4);
    run(2);
    ck_assert_uint_eq(ferr.rises, 1);
    ck_assert_uint_eq(s.rip, HANDLERS + VECTOR_IRQ13 * 16); /* before the instruction */
    ck_assert_uint_eq(s.ftw, 0);
    uint32_t return_address;
    memcpy(&return_address, fake->ram->host + s.gpr[CPU_RSP], 4);
    ck_assert_uint_eq(return_address, CODE);
    ck_assert(ferr.level);
    s.rflags = 2;
    ck_assert_int_eq(execute(FNCLEX), VECTOR_NONE);
    ck_assert(!ferr.level);
    ck_assert_int_eq(execute(FLD1), VECTOR_NONE);
    ck_assert_uint_eq(s.ftw, 0x80);
}
END_TEST

/* With interrupts off the CPU stops before the instruction; under IGNNE# the instruction goes on, until FERR# falls. */
START_TEST(test_ferr_without_interrupts)
{
    s.cr0 &= ~(uint64_t)CR0_NE;
    s.fcw = 0x37B;
    s.fsw = 4;
    s.rip = CODE;
    memory_write(machine_memory(fake->machine), CODE, FLD1 "\xEB\xFE", 4);
    run(2);
    ck_assert(s.halted);
    ck_assert_uint_eq(s.rip, CODE);
    ck_assert_uint_eq(s.ftw, 0);
    ck_assert(ferr.level);
    machine_set_ignne(fake->machine);
    ck_assert(!ferr.level);
    s.halted = false;
    ck_assert_int_eq(execute(FLD1), VECTOR_NONE);
    ck_assert_uint_eq(s.ftw, 0x80);
    ck_assert_uint_eq(s.fsw, 0x8084 | 7 << 11);
    ck_assert(!ferr.level);
    ck_assert_int_eq(execute(FNCLEX), VECTOR_NONE);
    ck_assert(!machine_ignne(fake->machine));
}
END_TEST

static uint16_t data16(unsigned offset)
{
    uint16_t v;
    memcpy(&v, fake->ram->host + DATA + offset, 2);
    return v;
}
static uint32_t data32(unsigned offset)
{
    return (uint32_t)data16(offset + 2) << 16 | data16(offset);
}

static void make_environment(void)
{
    s.fip = 0x0005432;
    s.fdp = 0x0006543;
    s.fop = 0x345;
    s.ftw = 0x0C;
    s.fsw = 2 << 11;
    s.fpr[2] = (struct cpu_x87_register){.significand = 1ull << 63, .sign_exponent = 0x3FFF};
    s.fpr[3] = (struct cpu_x87_register){0};
}

START_TEST(test_environment_protected)
{
    make_environment();
    ck_assert_int_eq(execute(FNSTENV), VECTOR_NONE);
    ck_assert_uint_eq(data32(0), 0xFFFF037F);
    ck_assert_uint_eq(data32(4), 0xFFFF1000);
    ck_assert_uint_eq(data32(8), 0xFFFFFF4F);
    ck_assert_uint_eq(data32(12), 0x5432);
    ck_assert_uint_eq(data32(16), 0x03450000);
    ck_assert_uint_eq(data32(20), 0x6543);
    ck_assert_int_eq(execute("\x66" FNSTENV), VECTOR_NONE);
    ck_assert_uint_eq(data16(0), 0x037F);
    ck_assert_uint_eq(data16(2), 0x1000);
    ck_assert_uint_eq(data16(4), 0xFF4F);
    ck_assert_uint_eq(data16(6), 0x5432);
    ck_assert_uint_eq(data16(10), 0x6543);
}
END_TEST

START_TEST(test_environment_real)
{
    for (unsigned n = 0; n < 6; n++)
        s.segment[n] = (struct cpu_segment){.attributes = n == CPU_CS ? 0x009B : 0x0093, .limit = 0xFFFF};
    s.cr0 &= ~1ull;
    s.idtr_base = 0;
    s.gpr[CPU_RDI] = DATA;
    make_environment();
    s.fip = 0x15432;
    s.fdp = 0x26543;
    ck_assert_int_eq(execute("\xD9\x35"), VECTOR_NONE); /* fnstenv [di] */
    ck_assert_uint_eq(data16(0), 0x037F);
    ck_assert_uint_eq(data16(4), 0xFF4F);
    ck_assert_uint_eq(data16(6), 0x5432);
    ck_assert_uint_eq(data16(8), 0x1345);
    ck_assert_uint_eq(data16(10), 0x6543);
    ck_assert_uint_eq(data16(12), 0x2000);
    ck_assert_int_eq(execute("\x66\xD9\x35"), VECTOR_NONE);
    ck_assert_uint_eq(data32(12) & 0xFFFF, 0x5432);
    ck_assert_uint_eq(data32(16), 0x1345);
    ck_assert_uint_eq(data32(24), 0x2000);
    ck_assert_int_eq(execute("\xD9\x35"), VECTOR_NONE);
    s.fip = s.fdp = s.fop = s.ftw = s.fsw = 0;
    ck_assert_int_eq(execute("\xD9\x25"), VECTOR_NONE); /* fldenv [di] */
    ck_assert_uint_eq(s.fip, 0x15432);
    ck_assert_uint_eq(s.fdp, 0x26543);
    ck_assert_uint_eq(s.fop, 0x345);
    ck_assert_uint_eq(s.ftw, 0x0C);
    ck_assert_uint_eq(s.fsw, 2 << 11);
}
END_TEST

/* Sticky flags and control survive leaving and entering the run loop. */
START_TEST(test_state_across_runs)
{
    s.mxcsr = 0x7F80; /* toward zero */
    s.fcw = 0xF7F;    /* chop, 64 bits */
    s.vector[0].q[0] = 0x3F800000;
    s.vector[1].q[0] = 0x40400000;
    ck_assert_int_eq(execute(DIVSS_REG), VECTOR_NONE);
    ck_assert_uint_eq(s.mxcsr, 0x7FA0);
    ck_assert_uint_eq(s.vector[0].q[0], 0x3EAAAAAA);
    ck_assert_int_eq(execute(FLD1), VECTOR_NONE);
    ck_assert_uint_eq(s.fcw, 0xF7F);
    ck_assert_uint_eq(s.mxcsr, 0x7FA0);
    uint32_t host_mxcsr;
    uint16_t host_fcw;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(host_mxcsr), "=m"(host_fcw));
    ck_assert_uint_eq(host_mxcsr & 0xFFC0, 0x1F80);
    ck_assert_uint_eq(host_fcw, 0x37F);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("x87 and SSE: system side");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_not_available, 0, 6);
    tcase_add_test(tc, test_sse_needs_osfxsr);
    tcase_add_test(tc, test_simd_exception);
    tcase_add_test(tc, test_simd_tiny_exact);
    tcase_add_test(tc, test_alignment);
    tcase_add_test(tc, test_pending_exception);
    tcase_add_test(tc, test_ferr);
    tcase_add_test(tc, test_ferr_without_interrupts);
    tcase_add_test(tc, test_environment_protected);
    tcase_add_test(tc, test_environment_real);
    tcase_add_test(tc, test_state_across_runs);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
