/* AVX in the system: who may use it, what faults first, what 128-bit results do to upper halves; XCR0, CR4.OSXSAVE and CPUID.
 * The instructions' arithmetic is tests/insn's. */
#include "tests/accel-interp/cpu_test.h"

/* 64-bit code with AVX enabled. */
static struct cpu_test avx_create(unsigned cpl)
{
    return t_create_vectors(cpl, 7);
}

START_TEST(moves_of_32_bytes)
{
    struct cpu_test t = avx_create(0);

    for (unsigned n = 0; n < 32; n++)
        t_put(&t, T_DATA + 1 + n, 0xA0 + n, 1);
    t.s.gpr[CPU_RAX] = T_DATA + 1;
    t_code(&t, 0xC5, 0xFE, 0x6F, 0x08);             /* VMOVDQU ymm1,[rax] */
    t_code(&t, 0xC4, 0x41, 0x7E, 0x7F, 0x40, 0x40); /* VMOVDQU [r8+0x40],ymm8 */
    t_code(&t, 0xC5, 0xFA, 0x6F, 0x10);             /* VMOVDQU xmm2,[rax] */
    t_code(&t, 0xF4);
    t.s.gpr[8] = T_DATA + 0xFE0; /* 40h on: just before a page's end */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    for (unsigned n = 0; n < 32; n++)
        ck_assert_uint_eq(((uint8_t *)t.s.vector[1].q)[n], 0xA0 + n);
    for (unsigned word = 0; word < 4; word++)
        ck_assert_uint_eq(t_get(&t, T_DATA + 0x1020 + 8 * word, 8), t.s.vector[8].q[word]);
    ck_assert_uint_eq(t.s.vector[2].q[1], t.s.vector[1].q[1]);
    ck_assert(t.s.vector[2].q[2] == 0 && t.s.vector[2].q[3] == 0);
    t_destroy(&t);
}
END_TEST

/* A store over two pages of which the second is missing writes nothing. */
START_TEST(store_is_whole_or_not_at_all)
{
    struct cpu_test t = avx_create(0);

    t_put(&t, T_PT + 8 * ((T_DATA >> 12) + 1), 0, 8);
    t.s.gpr[CPU_RAX] = T_DATA + 0xFF0;
    t_code(&t, 0xC5, 0xFE, 0x7F, 0x08); /* VMOVDQU [rax],ymm1 */
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t.s.cr2, T_DATA + 0x1000);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFF0, 8), 0);
    t_destroy(&t);
}
END_TEST

START_TEST(alignment)
{
    struct cpu_test t = avx_create(0);

    t.s.gpr[CPU_RAX] = T_DATA + 16;
    t_code(&t, 0xC5, 0xF8, 0x28, 0x08); /* VMOVAPS xmm1,[rax]: may be */
    t_code(&t, 0xC5, 0xFC, 0x28, 0x08); /* VMOVAPS ymm1,[rax] */
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE + 4);
    t_destroy(&t);
}
END_TEST

START_TEST(upper_halves)
{
    struct cpu_test t = avx_create(0);

    t_code(&t, 0xC5, 0xF8, 0x77, 0xF4); /* VZEROUPPER */
    t_run(&t);
    for (unsigned n = 0; n < 16; n++) {
        ck_assert(t.s.vector[n].q[0] && t.s.vector[n].q[1]);
        ck_assert(!t.s.vector[n].q[2] && !t.s.vector[n].q[3]);
    }
    t_destroy(&t);
    t = avx_create(0);
    t_code(&t, 0x0F, 0x28, 0xCA);       /* MOVAPS xmm1,xmm2 keeps the upper half */
    t_code(&t, 0xC5, 0xF8, 0x28, 0xDC); /* VMOVAPS xmm3,xmm4 does not */
    t_code(&t, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.vector[1].q[0], t.s.vector[2].q[0]);
    ck_assert(t.s.vector[1].q[2] && t.s.vector[1].q[3]);
    ck_assert_uint_eq(t.s.vector[3].q[1], t.s.vector[4].q[1]);
    ck_assert(!t.s.vector[3].q[2] && !t.s.vector[3].q[3]);
    t_destroy(&t);
}
END_TEST

/* VZEROALL in 32-bit code knows eight registers. */
START_TEST(eight_registers_in_32_bit_code)
{
    struct cpu_test t = avx_create(0);

    t_protected(&t, 0);
    t.s.cr4 |= 1u << 18;
    t_code(&t, 0xC5, 0xFC, 0x77, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.vector[7].q[0] | t.s.vector[7].q[3], 0);
    ck_assert(t.s.vector[8].q[0] && t.s.vector[8].q[3]);
    t_destroy(&t);
}
END_TEST

/* What VMOVDQU ymm1,[rax] raises, with RAX not canonical. */
START_TEST(who_may)
{
    static const struct {
        uint32_t cr0, cr4, xcr0;
        int vector;
    } rows[] = {{0, 1u << 18, 7, 13}, {0, 0, 7, 6}, {0, 1u << 18, 3, 6},  {0, 1u << 18, 1, 6}, {8, 1u << 18, 7, 7},
                {8, 1u << 18, 3, 6},  {8, 0, 7, 6}, {4, 1u << 18, 7, 13}, {2, 1u << 18, 7, 13}};

    struct cpu_test t = avx_create(0);
    t_code(&t, 0xC5, 0xFE, 0x6F, 0x08);
    t.s.gpr[CPU_RAX] = 1ull << 63;
    t.s.cr0 |= rows[_i].cr0;
    t.s.cr4 = (t.s.cr4 & ~(1ull << 18)) | rows[_i].cr4;
    t.s.xcr0 = rows[_i].xcr0;
    t_run(&t);
    ck_assert_int_eq(t.vector, rows[_i].vector);
    t_destroy(&t);
}
END_TEST

/* In real mode C4 and C5 are LES and LDS. */
START_TEST(real_mode)
{
    struct cpu_test t = t_create();

    t.s.cr4 |= 1u << 18;
    t.s.xcr0 = 7;
    t_code(&t, 0xC5, 0xF8, 0x77, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

/* ---- XCR0 ------------------------------------------------------------------------------------------------------ */

static int xsetbv(uint32_t ecx, uint32_t edx, uint32_t eax, unsigned cpl, uint64_t *xcr0)
{
    struct cpu_test t = avx_create(cpl);

    t.s.xcr0 = 1;
    t.s.gpr[CPU_RAX] = 0xFFFFFFFF00000000ull | eax;
    t.s.gpr[CPU_RDX] = 0xFFFFFFFF00000000ull | edx;
    t.s.gpr[CPU_RCX] = 0xFFFFFFFF00000000ull | ecx;
    t_code(&t, 0x0F, 0x01, 0xD1, 0xF4);
    t_run(&t);
    *xcr0 = t.s.xcr0;
    t_destroy(&t);
    return t.vector;
}

START_TEST(xsetbv_checks)
{
    static const struct {
        uint32_t ecx, edx, eax, cpl;
        int vector;
    } rows[] = {{0, 0, 7, 0, -1}, {0, 0, 3, 0, -1}, {0, 0, 1, 0, -1}, {0, 0, 6, 0, 13},          {0, 0, 5, 0, 13},
                {1, 0, 7, 0, 13}, {0, 1, 7, 0, 13}, {0, 0, 7, 3, 13}, {0, 0, 0x80000007, 0, 13}, {0, 0, 0x1F, 0, 13}};
    uint64_t xcr0;

    ck_assert_int_eq(xsetbv(rows[_i].ecx, rows[_i].edx, rows[_i].eax, rows[_i].cpl, &xcr0), rows[_i].vector);
    ck_assert_uint_eq(xcr0, rows[_i].vector < 0 ? rows[_i].eax : 1);
}
END_TEST

/* As an operating system does it: CR4.OSXSAVE, CPUID shows it, XSETBV, XGETBV, leaf 0DH follows, then AVX works. */
START_TEST(enabling)
{
    struct cpu_test t = avx_create(0);

    t.s.cr4 &= ~(1ull << 18);
    t.s.xcr0 = 1;
    t_code(&t, 0x0F, 0x20, 0xE0, 0x0D, 0x00, 0x00, 0x04, 0x00, 0x0F, 0x22, 0xE0); /* CR4 |= OSXSAVE */
    t_code(&t, 0xB8, 1, 0, 0, 0, 0x31, 0xC9, 0x0F, 0xA2, 0x89, 0xCE);             /* CPUID.1; ESI = ECX */
    t_code(&t, 0xB8, 7, 0, 0, 0, 0x31, 0xC9, 0x31, 0xD2, 0x0F, 0x01, 0xD1);       /* XCR0 = 7 */
    t_code(&t, 0xB8, 13, 0, 0, 0, 0x31, 0xC9, 0x0F, 0xA2, 0x89, 0xDF);            /* CPUID.0D; EDI = EBX */
    t_code(&t, 0x31, 0xC9, 0x0F, 0x01, 0xD0, 0xC5, 0xF8, 0x77, 0xF4);             /* XGETBV; VZEROUPPER */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.gpr[CPU_RSI] >> 26 & 3, 3);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], 832);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 7);
    ck_assert_uint_eq(t.s.gpr[CPU_RDX], 0);
    ck_assert_uint_eq(t.s.vector[5].q[2], 0);
    t_destroy(&t);
}
END_TEST

START_TEST(xgetbv_checks)
{
    struct cpu_test t = avx_create(3);

    t.s.gpr[CPU_RCX] = 2;
    t_code(&t, 0x0F, 0x01, 0xD0, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    t_destroy(&t);
    t = avx_create(3);
    t.s.cr4 &= ~(1ull << 18);
    t.s.gpr[CPU_RCX] = 2;
    t_code(&t, 0x0F, 0x01, 0xD0, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, moves_of_32_bytes);
    tcase_add_test(tcase, store_is_whole_or_not_at_all);
    tcase_add_test(tcase, alignment);
    tcase_add_test(tcase, upper_halves);
    tcase_add_test(tcase, eight_registers_in_32_bit_code);
    tcase_add_loop_test(tcase, who_may, 0, 9);
    tcase_add_test(tcase, real_mode);
    tcase_add_loop_test(tcase, xsetbv_checks, 0, 10);
    tcase_add_test(tcase, enabling);
    tcase_add_test(tcase, xgetbv_checks);
}

T_MAIN("avx", add_tests)
