/* String instructions where no native test reaches: 16-bit wrap, segment limits, slices, memory-mapped I/O, code pages. */
#include "tests/accel-interp/cpu_test.h"

/* Real mode: DI goes from FFFF to 0 within one instruction's iterations. */
START_TEST(stosb_wraps_at_64k)
{
    struct cpu_test t = t_create();

    t.s.segment[CPU_ES].selector = T_DATA >> 4;
    t.s.segment[CPU_ES].base = T_DATA;
    t.s.gpr[CPU_RAX] = 0x5A;
    t.s.gpr[CPU_RCX] = 0xABCD0004;
    t.s.gpr[CPU_RDI] = 0x1234FFFE;
    t_code(&t, 0xF3, 0xAA, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFFE, 2), 0x5A5A);
    ck_assert_uint_eq(t_get(&t, T_DATA, 2), 0x5A5A);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], 0x12340002);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0xABCD0000);
    t_destroy(&t);
}
END_TEST

/* A word at FFFF does not wrap: it is outside the segment. */
START_TEST(stosw_over_the_limit)
{
    struct cpu_test t = t_create();

    t.s.segment[CPU_ES].base = T_DATA;
    t.s.gpr[CPU_RCX] = 4;
    t.s.gpr[CPU_RDI] = 0xFFFB;
    t_code(&t, 0xF3, 0xAB, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 2);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], 0xFFFF);
    t_destroy(&t);
}
END_TEST

/* Protected mode: a limit in the middle of a page stops a run that host memory would not. */
START_TEST(movsb_to_the_limit)
{
    struct cpu_test t = t_create();

    t_protected(&t, 0);
    t.s.segment[CPU_ES].limit = T_DATA + 99;
    t.s.gpr[CPU_RCX] = 200;
    t.s.gpr[CPU_RSI] = T_DATA + 0x1000;
    t.s.gpr[CPU_RDI] = T_DATA;
    t_put(&t, T_DATA + 0x1000 + 96, 0x44332211, 4);
    t_code(&t, 0xF3, 0xA4, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 100);
    ck_assert_uint_eq(t.s.gpr[CPU_RSI], T_DATA + 0x1000 + 100);
    ck_assert_uint_eq(t_get(&t, T_DATA + 96, 8), 0x44332211);
    t_destroy(&t);
}
END_TEST

/* Slices end where the count is a multiple of REP_SLICE_ITERATIONS; each is a step, and RIP stays. */
START_TEST(slices)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 2 * REP_SLICE_ITERATIONS + 5;
    t.s.gpr[CPU_RDI] = T_DATA;
    t_code(&t, 0xF3, 0xAA, 0xF4);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 2 * REP_SLICE_ITERATIONS);
    ck_assert_uint_eq(t.s.rip, T_CODE);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], REP_SLICE_ITERATIONS);
    t_steps(&t, 1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0);
    ck_assert_uint_eq(t.s.rip, T_CODE + 2);
    t_destroy(&t);
}
END_TEST

struct registers {
    uint8_t byte[64];
    unsigned reads, writes;
};
static uint64_t mmio_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct registers *r = opaque;
    uint64_t value = 0;
    r->reads++;
    memcpy(&value, r->byte + address, size_bytes);
    return value;
}
static void mmio_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct registers *r = opaque;
    r->writes++;
    memcpy(r->byte + address, &value, size_bytes);
}
static const struct bus_ops mmio_ops = {mmio_read, mmio_write, 8};

/* Each element reaches the device once, although the first attempt, in the middle of a block, is abandoned. */
START_TEST(movsw_to_mmio)
{
    struct cpu_test t = t_create();
    struct registers device = {.reads = 0};

    t_long(&t, 0);
    bus_map_mmio(machine_bus(t.fake->machine), 8 << 20, 64, &mmio_ops, &device, "test");
    t_put(&t, T_PT + 8 * 0x40, 8 << 20 | 7, 8);
    t_put(&t, T_DATA, 0x8877665544332211ull, 8);
    t.s.gpr[CPU_RCX] = 4;
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = 0x40000 + 8;
    t_code(&t, 0x90, 0x90, 0xF3, 0x66, 0xA5, 0x90, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(device.writes, 4);
    ck_assert_int_eq(memcmp(device.byte + 8, "\x11\x22\x33\x44\x55\x66\x77\x88", 8), 0);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0);
    t_destroy(&t);
}
END_TEST

/* CMPSB between RAM and a device stops at the first difference and reads no further. */
START_TEST(cmpsb_with_mmio)
{
    struct cpu_test t = t_create();
    struct registers device = {.byte = "abcX"};

    t_long(&t, 0);
    bus_map_mmio(machine_bus(t.fake->machine), 8 << 20, 64, &mmio_ops, &device, "test");
    t_put(&t, T_PT + 8 * 0x40, 8 << 20 | 7, 8);
    t_put(&t, T_DATA, 0x6564636261ull, 8);
    t.s.gpr[CPU_RCX] = 10;
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = 0x40000;
    t_code(&t, 0x90, 0xF3, 0xA6, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(device.reads, 4);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 6);
    ck_assert_uint_eq(t.s.rflags & 0x40, 0);
    t_destroy(&t);
}
END_TEST

/* A copy over the code that follows it: the new code runs. */
START_TEST(movsb_over_own_code)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t_put(&t, T_DATA, 0xF4C3FF, 3); /* INC EBX; HLT */
    t.s.gpr[CPU_RBX] = 1;
    t.s.gpr[CPU_RCX] = 3;
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = T_CODE + 3;
    t_code(&t, 0x90, 0xF3, 0xA4, 0xFF, 0xCB, 0xF4); /* DEC EBX; HLT before it */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 2);
    t_destroy(&t);
}
END_TEST

/* Overlapping forward copy repeats the pattern, and backwards keeps the text; over a page boundary. */
START_TEST(overlap)
{
    struct cpu_test t = t_create();

    t_long(&t, 0);
    t_put(&t, T_DATA + 0xFFC, 0xBBAA, 2);
    t.s.gpr[CPU_RCX] = 10;
    t.s.gpr[CPU_RSI] = T_DATA + 0xFFC;
    t.s.gpr[CPU_RDI] = T_DATA + 0xFFE;
    t_code(&t, 0xF3, 0xA4, 0xFD, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFC, 8), 0xBBAABBAABBAABBAAull);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0x1004, 8), 0xBBAABBAAull);
    t.s.halted = false;
    t.s.rip = T_CODE;
    t.s.gpr[CPU_RCX] = 8;
    t.s.gpr[CPU_RSI] = T_DATA + 0x1003;
    t.s.gpr[CPU_RDI] = T_DATA + 0x1005;
    t_put(&t, T_DATA + 0xFFC, 0x0807060504030201ull, 8);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFE, 8), 0x0807060504030201ull);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, stosb_wraps_at_64k);
    tcase_add_test(tcase, stosw_over_the_limit);
    tcase_add_test(tcase, movsb_to_the_limit);
    tcase_add_test(tcase, slices);
    tcase_add_test(tcase, movsw_to_mmio);
    tcase_add_test(tcase, cmpsb_with_mmio);
    tcase_add_test(tcase, movsb_over_own_code);
    tcase_add_test(tcase, overlap);
}

T_MAIN("strings", add_tests)
