/* FSGSBASE, RDPID, UMIP, PCID and INVPCID, protection keys, PSE-36: expectations from the Intel SDM vol. 2 and vol. 3,
 * 2.5, 4.3, 4.6.2, 4.10.4. */
#include "tests/accel-interp/cpu_test.h"

enum { CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17, CR4_PKE = 1 << 22, AC = 0x40000 };

/* ---- FSGSBASE, RDPID ---- */

START_TEST(segment_bases)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr4 |= CR4_FSGSBASE;
    t.s.gpr[CPU_RAX] = 0xFFFF800012345678;
    t_code(&t, 0xF3, 0x48, 0x0F, 0xAE, 0xD0); /* wrfsbase rax */
    t_code(&t, 0xF3, 0x0F, 0xAE, 0xD8);       /* wrgsbase eax: 32 bits */
    t_code(&t, 0xF3, 0x48, 0x0F, 0xAE, 0xC3); /* rdfsbase rbx */
    t_code(&t, 0xF3, 0x48, 0x0F, 0xAE, 0xC9); /* rdgsbase rcx */
    t_code(&t, 0xF3, 0x0F, 0xAE, 0xC2);       /* rdfsbase edx */
    t_code(&t, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13); /* HLT at CPL 3 */
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 0xFFFF800012345678);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0x12345678);
    ck_assert_uint_eq(t.s.gpr[CPU_RDX], 0x12345678);
    ck_assert_uint_eq(t.s.segment[CPU_FS].base, 0xFFFF800012345678);
    t_destroy(&t);
}
END_TEST

START_TEST(segment_bases_refused)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.cr4 |= _i ? CR4_FSGSBASE : 0;
    t.s.gpr[CPU_RAX] = 0x800000000000; /* not canonical */
    t_code(&t, 0xF3, 0x48, 0x0F, 0xAE, 0xD8);
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 13 : 6);
    t_destroy(&t);
}
END_TEST

START_TEST(no_segment_bases_in_32_bit_code)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t.s.cr4 |= CR4_FSGSBASE;
    t_code(&t, 0xF3, 0x0F, 0xAE, 0xD8);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

START_TEST(rdpid)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.tsc_aux = 0x12345;
    t.s.gpr[CPU_RBX] = UINT64_MAX;
    t_code(&t, 0xF3, 0x0F, 0xC7, 0xFB, 0xF4); /* rdpid rbx */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 0x12345);
    t_destroy(&t);
}
END_TEST

/* RDRAND with F2 or F3 is no instruction (F3 0F C7 /7 is RDPID). */
START_TEST(rdrand_with_prefix)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_CODE, _i ? 0xF0C70FF2 : 0xF0C70FF3, 4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 6);
    t_destroy(&t);
}
END_TEST

/* ---- UMIP ---- */

static const uint8_t umip_codes[][7] = {{0x0F, 0x01, 0x04, 0x25, 0, 0, 3}, /* sgdt [0x30000] */
                                        {0x0F, 0x01, 0x0C, 0x25, 0, 0, 3}, /* sidt */
                                        {0x0F, 0x00, 0xC0},                /* sldt eax */
                                        {0x0F, 0x00, 0xC8},                /* str eax */
                                        {0x0F, 0x01, 0xE0}};               /* smsw eax */
START_TEST(umip)
{
    for (unsigned n = 0; n < 3; n++) { /* off, CPL 3, CPL 0 */
        struct cpu_test t = t_create();
        t_long(&t, n == 2 ? 0 : 3);
        t.s.cr4 |= n ? CR4_UMIP : 0;
        memory_write(t.memory, T_CODE, umip_codes[_i], 7);
        t_put(&t, T_CODE + (_i < 2 ? 8 : 3), 0x0B0F, 2); /* ud2 */
        t_run(&t);
        ck_assert_int_eq(t.vector, n == 1 ? 13 : 6);
        if (n == 1)
            ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
        t_destroy(&t);
    }
}
END_TEST

/* ---- PCID ---- */

START_TEST(pcid_cr3)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RAX] = t.s.cr4 | CR4_PCIDE;
    t.s.gpr[CPU_RBX] = T_PML4 | 5 | 1ull << 63;
    t_code(&t, 0x0F, 0x22, 0xE0);       /* mov cr4, rax */
    t_code(&t, 0x0F, 0x22, 0xDB);       /* mov cr3, rbx */
    t_code(&t, 0x0F, 0x20, 0xD9, 0xF4); /* mov rcx, cr3 */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], T_PML4 | 5);
    t_destroy(&t);
}
END_TEST

START_TEST(pcide_refused)
{
    struct cpu_test t = t_create();
    if (_i == 0)
        t_protected(&t, 0); /* not in long mode */
    else
        t_long(&t, 0);
    if (_i == 1)
        t.s.cr3 |= 8; /* a PCID in CR3 already */
    t.s.gpr[CPU_RAX] = t.s.cr4 | CR4_PCIDE;
    if (_i == 2) { /* CR0.PG off with it on, from compatibility mode */
        t.s.cr4 |= CR4_PCIDE;
        t.s.segment[CPU_CS] = t_segment(SEL_CODE0, 0xC09B);
        t.s.gpr[CPU_RAX] = t.s.cr0 & 0x7FFFFFFF;
        t_code(&t, 0x0F, 0x22, 0xC0); /* mov cr0, eax */
    } else {
        t_code(&t, 0x0F, 0x22, 0xE0); /* mov cr4, eax */
    }
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    t_destroy(&t);
}
END_TEST

/* invpcid rax, [0x30000]: type, descriptor, PCIDE, fault */
static const struct {
    uint64_t type, pcid, linear;
    bool pcide, fault, flushed;
} invpcids[] = {
    {0, 0, 0x1F0000, false, false, true},  {0, 0, 0x1F1000, false, false, false},
    {0, 7, 0x1F0000, false, true, false}, /* a PCID without CR4.PCIDE */
    {0, 7, 0x1F0000, true, false, false}, /* another PCID's */
    {0, 0, 1ull << 47, true, true, false}, {0, 0x1000, 0, true, true, false},
    {1, 0, 1ull << 47, true, false, true}, {1, 7, 0, true, false, false},
    {2, 0xFFF, 0, true, false, true},      {3, 0, 0, false, false, true},
    {4, 0, 0, true, true, false},
};
START_TEST(invpcid)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.cr4 |= invpcids[_i].pcide ? CR4_PCIDE : 0;
    t_put(&t, T_DATA, invpcids[_i].pcid, 8);
    t_put(&t, T_DATA + 8, invpcids[_i].linear, 8);
    t_put(&t, 0x50000, 0x11, 1);
    t_put(&t, 0x60000, 0x22, 1);
    t_put(&t, T_PT + 8 * 0x1F0, 0x50003, 8);
    t.s.gpr[CPU_RAX] = invpcids[_i].type;
    t.s.gpr[CPU_RDI] = 0x60003;
    t_code(&t, 0x8A, 0x0C, 0x25, 0, 0, 0x1F, 0);             /* mov cl, [0x1F0000]: into the TLB */
    t_code(&t, 0x48, 0x89, 0x3C, 0x25, 0x80, 0x3F, 0x01, 0); /* mov [pte], rdi */
    t_code(&t, 0x66, 0x0F, 0x38, 0x82, 0x04, 0x25, 0, 0, 3, 0);
    t_code(&t, 0x8A, 0x14, 0x25, 0, 0, 0x1F, 0, 0xF4); /* mov dl, [0x1F0000] */
    t_run(&t);
    ck_assert_int_eq(t.vector, invpcids[_i].fault ? 13 : -1);
    if (!invpcids[_i].fault)
        ck_assert_uint_eq(t.s.gpr[CPU_RDX] & 0xFF, invpcids[_i].flushed ? 0x22 : 0x11);
    t_destroy(&t);
}
END_TEST

START_TEST(invpcid_needs_cpl0)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t_code(&t, 0x66, 0x0F, 0x38, 0x82, 0x04, 0x25, 0, 0, 3, 0);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    t_destroy(&t);
}
END_TEST

/* ---- protection keys: access of a page with key 3 ---- */
static const struct {
    unsigned cpl, pte, pkru;
    bool write, wp, pke;
    int error; /* -1: none */
} keys[] = {
    {3, 7, 0x00, false, true, true, -1},  {3, 7, 0x40, false, true, true, 0x25}, /* AD: reads too */
    {3, 7, 0x40, true, true, true, 0x27}, {3, 7, 0x80, false, true, true, -1},
    {3, 7, 0x80, true, true, true, 0x27}, {0, 7, 0x40, false, true, true, 0x21},
    {0, 7, 0x80, true, true, true, 0x23}, {0, 7, 0x80, true, false, true, -1}, /* WD at CPL 0 wants CR0.WP */
    {0, 3, 0xC0, true, true, true, -1},                                        /* a supervisor page has no key */
    {3, 7, 0xC0, true, true, false, -1},  {3, 7, 0xFFFFFF3F, true, true, true, -1},
    {3, 5, 0x80, true, true, true, 0x27}, /* both reasons */
    {3, 5, 0x00, true, true, true, 0x07},
};
START_TEST(protection_key)
{
    struct cpu_test t = t_create();
    t_long(&t, keys[_i].cpl);
    t.s.cr4 |= keys[_i].pke ? CR4_PKE : 0;
    if (!keys[_i].wp)
        t.s.cr0 &= ~0x10000ull;
    t.s.pkru = keys[_i].pkru & ~3u;
    t_put(&t, T_PT + 8 * 0x50, 0x50000 | keys[_i].pte | 3ull << 59, 8);
    if (keys[_i].write)
        t_code(&t, 0x88, 0x04, 0x25, 0, 0, 5, 0);
    else
        t_code(&t, 0x8A, 0x04, 0x25, 0, 0, 5, 0);
    t_code(&t, 0x0F, 0x0B);
    t_run(&t);
    ck_assert_int_eq(t.vector, keys[_i].error < 0 ? 6 : 14);
    if (keys[_i].error >= 0) {
        ck_assert_uint_eq(t_stack(&t, 0, 8), (unsigned)keys[_i].error);
        ck_assert_uint_eq(t.s.cr2, 0x50000);
    }
    t_destroy(&t);
}
END_TEST

START_TEST(wrpkru_takes_effect)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr4 |= CR4_PKE;
    t_put(&t, T_PT + 8 * 0x50, 0x50007 | 3ull << 59, 8);
    t.s.gpr[CPU_RBX] = 0x80;
    t_code(&t, 0x0F, 0x01, 0xEE);                      /* rdpkru */
    t_code(&t, 0x89, 0xC6);                            /* mov esi, eax */
    t_code(&t, 0xC6, 0x04, 0x25, 0, 0, 5, 0, 7);       /* mov byte [0x50000], 7 */
    t_code(&t, 0x89, 0xD8, 0x0F, 0x01, 0xEF);          /* mov eax, ebx; wrpkru */
    t_code(&t, 0x8A, 0x0C, 0x25, 0, 0, 5, 0);          /* mov cl, [0x50000] */
    t_code(&t, 0xC6, 0x04, 0x25, 0, 0, 5, 0, 8, 0x90); /* faults */
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX] & 0xFF, 7);
    ck_assert_uint_eq(t.s.pkru, 0x80);
    ck_assert_uint_eq(t_get(&t, 0x50000, 1), 7);
    t_destroy(&t);
}
END_TEST

START_TEST(pkru_instructions_refused)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t.s.cr4 |= _i ? CR4_PKE : 0;
    t.s.gpr[CPU_RCX] = _i == 1;
    t.s.gpr[CPU_RDX] = _i == 2;
    t_code(&t, 0x0F, 0x01, 0xEF);
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 13 : 6);
    t_destroy(&t);
}
END_TEST

/* ---- PSE-36: address bits 39:32 in bits 20:13 of a 4 MiB entry; bit 21 is reserved ---- */
START_TEST(pse36)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_put(&t, T_PML4, 0x83, 4);
    t_put(&t, T_PML4 + 4, _i ? 0x200083 : 0x83 | 1 << 13, 4); /* 4 MiB: above 4 GiB, no memory there */
    t.s.cr3 = T_PML4;
    t.s.cr4 = 0x10;
    t.s.cr0 |= 0x80000000;
    t_code(&t, 0xA1, 0, 0, 0x40, 0, 0xF4); /* mov eax, [0x400000] */
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 14 : -1);
    if (_i)
        ck_assert_uint_eq(t_stack(&t, 0, 4), 9);
    else
        ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0xFFFFFFFF); /* not what lies at 0 */
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, segment_bases);
    tcase_add_loop_test(tcase, segment_bases_refused, 0, 2);
    tcase_add_test(tcase, no_segment_bases_in_32_bit_code);
    tcase_add_test(tcase, rdpid);
    tcase_add_loop_test(tcase, rdrand_with_prefix, 0, 2);
    tcase_add_loop_test(tcase, umip, 0, sizeof umip_codes / sizeof umip_codes[0]);
    tcase_add_test(tcase, pcid_cr3);
    tcase_add_loop_test(tcase, pcide_refused, 0, 3);
    tcase_add_loop_test(tcase, invpcid, 0, sizeof invpcids / sizeof invpcids[0]);
    tcase_add_test(tcase, invpcid_needs_cpl0);
    tcase_add_loop_test(tcase, protection_key, 0, sizeof keys / sizeof keys[0]);
    tcase_add_test(tcase, wrpkru_takes_effect);
    tcase_add_loop_test(tcase, pkru_instructions_refused, 0, 3);
    tcase_add_loop_test(tcase, pse36, 0, 2);
}
T_MAIN("features", add_tests)
