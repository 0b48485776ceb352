/* The XSAVE family in the system: who may, what faults first, forms of the image, protection keys as a component, XSAVES and
 * XRSTORS, which no process can run. (What a process can run is held against the host by tests/insn/test_avx_native.c.) */
#include "tests/accel-interp/cpu_test.h"

enum { HEADER = 512, AVX_STANDARD = 576, PKRU_STANDARD = 2688 };

#define OP_XSAVE 0x48, 0x0F, 0xAE, 0x23 /* XSAVE64 [rbx] */
#define OP_XRSTOR 0x48, 0x0F, 0xAE, 0x2B
#define OP_XSAVEOPT 0x48, 0x0F, 0xAE, 0x33
#define OP_XSAVEC 0x48, 0x0F, 0xC7, 0x23
#define OP_XSAVES 0x48, 0x0F, 0xC7, 0x2B
#define OP_XRSTORS 0x48, 0x0F, 0xC7, 0x1B

/* 64-bit code; every component enabled and in use; RBX: the image, RDX:RAX: all components. */
static struct cpu_test xsave_create(unsigned cpl)
{
    struct cpu_test t = t_create_vectors(cpl, 0x207);

    for (unsigned n = 0; n < 8; n++)
        t.s.fpr[n] = (struct cpu_x87_register){0x8000000000000000ull | n, (uint16_t)(0x3FFF + n)};
    t.s.fcw = 0x27F;
    t.s.fsw = 3 << 11;
    t.s.ftw = 0xF8;
    t.s.mxcsr = 0x1FA0;
    t.s.pkru = 0x55555554;
    t.s.gpr[CPU_RBX] = T_DATA;
    t.s.gpr[CPU_RAX] = t.s.gpr[CPU_RDX] = UINT32_MAX;
    return t;
}

static void initial(struct cpu_state *s)
{
    for (unsigned n = 0; n < 16; n++)
        memset(s->vector[n].q, 0, 32);
    for (unsigned n = 0; n < 8; n++)
        s->fpr[n] = (struct cpu_x87_register){0, 0};
    s->fcw = 0x37F;
    s->fsw = 0;
    s->ftw = 0;
    s->mxcsr = 0x1F80;
    s->pkru = 0;
}

static bool same_state(const struct cpu_state *a, const struct cpu_state *b)
{
    return !memcmp(a->vector, b->vector, sizeof a->vector) && !memcmp(a->fpr, b->fpr, sizeof a->fpr) &&
           a->fcw == b->fcw && a->fsw == b->fsw && a->ftw == b->ftw && a->mxcsr == b->mxcsr && a->pkru == b->pkru;
}

static void again(struct cpu_test *t)
{
    t->s.halted = false;
    t->s.rip = t->code;
}

/* ---- forms ----------------------------------------------------------------------------------------------------- */

START_TEST(standard_form)
{
    struct cpu_test t = xsave_create(0);
    struct cpu_state before = t.s;

    t_put(&t, T_DATA + HEADER, 0xFF00, 8); /* bits of what is not requested stay */
    t_put(&t, T_DATA + HEADER + 8, 0x1234, 8);
    t_code(&t, OP_XSAVE, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER, 8), 0xFF07);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER + 8, 8), 0x1234); /* the rest of the header too */
    ck_assert_uint_eq(t_get(&t, T_DATA, 2), 0x27F);
    ck_assert_uint_eq(t_get(&t, T_DATA + 24, 4), 0x1FA0);
    ck_assert_uint_eq(t_get(&t, T_DATA + AVX_STANDARD + 16 * 5 + 8, 8), before.vector[5].q[3]);
    ck_assert_uint_eq(t_get(&t, T_DATA + PKRU_STANDARD, 8), before.pkru);
    t_put(&t, T_DATA + HEADER, 0x207, 8);
    t_put(&t, T_DATA + HEADER + 8, 0, 8);
    initial(&t.s);
    again(&t);
    t_code(&t, OP_XRSTOR, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert(same_state(&t.s, &before));
    t_destroy(&t);
}
END_TEST

/* XSAVEC, XSAVES: room for what is requested, data for what is in use. */
static void compacted(bool supervisor)
{
    struct cpu_test t = xsave_create(0);
    struct cpu_state before;

    for (unsigned n = 0; n < 16; n++) /* AVX is in its initial state */
        t.s.vector[n].q[2] = t.s.vector[n].q[3] = 0;
    before = t.s;
    t_put(&t, T_DATA + HEADER + 24, 0x77, 8);
    for (unsigned at = 0; at < 256; at += 8)
        t_put(&t, T_DATA + AVX_STANDARD + at, 0x99, 8);
    if (supervisor)
        t_code(&t, OP_XSAVES, 0xF4);
    else
        t_code(&t, OP_XSAVEC, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER, 8), 0x203);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER + 8, 8), 1ull << 63 | 0x207);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER + 24, 8), 0x77);
    ck_assert_uint_eq(t_get(&t, T_DATA + AVX_STANDARD, 8), 0x99);
    ck_assert_uint_eq(t_get(&t, T_DATA + 832, 8), before.pkru);
    t_put(&t, T_DATA + HEADER + 24, 0, 8);
    for (unsigned n = 0; n < 16; n++) /* to be put back to the initial state */
        t.s.vector[n].q[3] = 7;
    t.s.mxcsr = 0x1F80;
    t.s.fcw = 0x37F;
    t.s.pkru = 0;
    again(&t);
    if (supervisor)
        t_code(&t, OP_XRSTORS, 0xF4);
    else
        t_code(&t, OP_XRSTOR, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert(same_state(&t.s, &before));
    t_destroy(&t);
}
START_TEST(compacted_form)
{
    compacted(_i);
}
END_TEST

START_TEST(initial_components_are_left_out)
{
    struct cpu_test t = xsave_create(0);

    initial(&t.s);
    t.s.pkru = 4;
    for (unsigned at = 0; at < 2700; at += 8)
        t_put(&t, T_DATA + at, 0xEEEEEEEEEEEEEEEEull, 8);
    t_code(&t, OP_XSAVEOPT, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER, 8), 0xEEEEEEEEEEEEEEEEull & ~0x7ull);
    ck_assert_uint_eq(t_get(&t, T_DATA, 8), 0xEEEEEEEEEEEEEEEEull);
    ck_assert_uint_eq(t_get(&t, T_DATA + 24, 4), 0x1F80); /* MXCSR is always written */
    ck_assert_uint_eq(t_get(&t, T_DATA + 160, 8), 0xEEEEEEEEEEEEEEEEull);
    ck_assert_uint_eq(t_get(&t, T_DATA + AVX_STANDARD, 8), 0xEEEEEEEEEEEEEEEEull);
    ck_assert_uint_eq(t_get(&t, T_DATA + PKRU_STANDARD, 8), 4);
    t_destroy(&t);
}
END_TEST

/* Bits beyond XCR0 are not saved; nothing is requested: only the header is touched. */
START_TEST(requested_components)
{
    struct cpu_test t = xsave_create(0);
    struct cpu_state before;

    t.s.xcr0 = 3;
    before = t.s;
    t_code(&t, OP_XSAVE, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, T_DATA + HEADER, 8), 3);
    ck_assert_uint_eq(t_get(&t, T_DATA + AVX_STANDARD, 8), 0);
    ck_assert_uint_eq(t_get(&t, T_DATA + PKRU_STANDARD, 8), 0);
    t.s.gpr[CPU_RAX] = 2; /* XRSTOR of SSE alone */
    initial(&t.s);
    again(&t);
    t_code(&t, OP_XRSTOR, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.vector[3].q[1], before.vector[3].q[1]);
    ck_assert(t.s.vector[3].q[2] == 0 && t.s.fcw == 0x37F && t.s.pkru == 0);
    t_destroy(&t);
}
END_TEST

/* ---- faults ---------------------------------------------------------------------------------------------------- */

enum { OP_RESTORE, OP_RESTORE_SUPERVISOR, OP_SAVE, OP_SAVE_SUPERVISOR };

static int fault(struct cpu_test *t, unsigned operation)
{
    static const uint8_t code[][5] = {{OP_XRSTOR, 0xF4}, {OP_XRSTORS, 0xF4}, {OP_XSAVE, 0xF4}, {OP_XSAVES, 0xF4}};
    int vector;

    memory_write(t->memory, T_CODE, code[operation], 5);
    t_run(t);
    vector = t->vector;
    t_destroy(t);
    return vector;
}

/* At CPL 3 the HLT after it raises #GP; where, tells which of the two it was. */
START_TEST(who_may)
{
    for (unsigned op = 0; op < 4; op++) {
        static const uint8_t code[][5] = {{OP_XRSTOR, 0xF4}, {OP_XRSTORS, 0xF4}, {OP_XSAVE, 0xF4}, {OP_XSAVES, 0xF4}};
        struct cpu_test t = xsave_create(3);
        t_put(&t, T_DATA + HEADER + 8, op & 1 ? 1ull << 63 : 0, 8);
        memory_write(t.memory, T_CODE, code[op], 5);
        t_run(&t);
        ck_assert_int_eq(t.vector, 13);
        ck_assert_uint_eq(t_stack(&t, 1, 8), op & 1 ? T_CODE : T_CODE + 4);
        t_destroy(&t);
    }
}
END_TEST

START_TEST(order)
{
    for (unsigned op = 0; op < 4; op++) {
        struct cpu_test t = xsave_create(0);
        t.s.gpr[CPU_RBX] += 32; /* not at a multiple of 64 */
        ck_assert_int_eq(fault(&t, op), 13);
        t = xsave_create(0);
        t.s.gpr[CPU_RBX] += 32;
        t.s.cr0 |= 8;
        ck_assert_int_eq(fault(&t, op), 7); /* #NM first */
        t = xsave_create(0);
        t.s.cr0 |= 8;
        t.s.cr4 &= ~(1ull << 18);
        ck_assert_int_eq(fault(&t, op), 6); /* #UD before that */
        t = xsave_create(0);
        t.s.cr0 |= 4; /* CR0.EM says nothing here */
        t_put(&t, T_DATA + HEADER + 8, op & 1 ? 1ull << 63 : 0, 8);
        ck_assert_int_eq(fault(&t, op), -1);
    }
}
END_TEST

START_TEST(headers)
{
    static const struct {
        uint64_t present, compacted, reserved;
        unsigned operation;
        int vector;
    } rows[] = {{0x207, 0, 0, OP_RESTORE, -1},
                {0x8, 0, 0, OP_RESTORE, 13},            /* a component that XCR0 has not */
                {1, 1, 0, OP_RESTORE, 13},              /* XCOMP_BV without its bit 63 */
                {1, 0, 1, OP_RESTORE, 13},              /* bytes 16..23 of the header */
                {1, 1ull << 63 | 1, 0, OP_RESTORE, -1}, /* compacted */
                {3, 1ull << 63 | 1, 0, OP_RESTORE, 13}, /* present without room */
                {1, 1ull << 63 | 9, 0, OP_RESTORE, 13}, /* room for what XCR0 has not */
                {1, 1ull << 63 | 1, 1, OP_RESTORE, 13},
                {1ull << 63, 1ull << 63 | 1, 0, OP_RESTORE, 13},
                {1, 0, 0, OP_RESTORE_SUPERVISOR, 13}, /* the standard form */
                {1, 1ull << 63 | 1, 0, OP_RESTORE_SUPERVISOR, -1},
                {1, 1ull << 63 | 0x100, 0, OP_RESTORE_SUPERVISOR, 13}};

    for (unsigned n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        struct cpu_test t = xsave_create(0);
        t_put(&t, T_DATA + HEADER, rows[n].present, 8);
        t_put(&t, T_DATA + HEADER + 8, rows[n].compacted, 8);
        t_put(&t, T_DATA + HEADER + 16, rows[n].reserved, 8);
        ck_assert_msg(fault(&t, rows[n].operation) == rows[n].vector, "row %u", n);
    }
}
END_TEST

/* Reserved bits of MXCSR, and nothing changes. */
START_TEST(reserved_mxcsr)
{
    struct cpu_test t = xsave_create(0);
    struct cpu_state before = t.s;

    t_put(&t, T_DATA + HEADER, 1, 8);
    t_put(&t, T_DATA + 24, 0x10000, 4); /* checked though SSE is not in the image */
    t_code(&t, OP_XRSTOR, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert(same_state(&t.s, &before));
    t_destroy(&t);
    t = xsave_create(0);
    t_put(&t, T_DATA + HEADER, 1, 8);
    t_put(&t, T_DATA + 24, 0x10000, 4);
    t.s.gpr[CPU_RAX] = 0x201;
    ck_assert_int_eq(fault(&t, OP_RESTORE), -1); /* neither SSE nor AVX asked for */
}
END_TEST

/* An image whose last part is in a page that can't be written: nothing is written. */
START_TEST(save_is_whole_or_not_at_all)
{
    struct cpu_test t = xsave_create(0);

    t.s.gpr[CPU_RBX] = T_DATA + 0x1000 - 640;
    t_put(&t, T_PT + 8 * ((T_DATA >> 12) + 1), 0, 8);
    t_code(&t, OP_XSAVE, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    for (unsigned at = 0; at < 640; at += 8)
        ck_assert_uint_eq(t_get(&t, T_DATA + 0x1000 - 640 + at, 8), 0);
    t_destroy(&t);
}
END_TEST

/* ---- XGETBV, IA32_XSS -------------------------------------------------------------------------------------------- */

START_TEST(in_use)
{
    struct cpu_test t = xsave_create(0);

    initial(&t.s);
    t.s.vector[9].q[3] = 1;
    t.s.gpr[CPU_RCX] = 1;
    t_code(&t, 0x0F, 0x01, 0xD0, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 4);
    t_destroy(&t);
}
END_TEST

START_TEST(xss)
{
    for (uint64_t value = 0; value < 2; value++) {
        struct cpu_test t = xsave_create(0);
        t.s.gpr[CPU_RCX] = 0xDA0;
        t.s.gpr[CPU_RAX] = value << 8;
        t.s.gpr[CPU_RDX] = 0;
        t_code(&t, 0x0F, 0x30, 0xF4);
        t_run(&t);
        ck_assert_int_eq(t.vector, value ? 13 : -1);
        t_destroy(&t);
    }
}
END_TEST

/* The last byte of the AVX component is looked at first: before the first page's rights, before the header's contents. */
START_TEST(end_of_image_first)
{
    static const struct {
        bool restores;
        uint32_t components;
        int vector;
        uint32_t error, end; /* of the fault */
    } rows[] = {{false, 7, 14, 2, 831}, {false, 3, 14, 3, 575}, {true, 7, 14, 0, 831}, {true, 3, 13, 0, 0}};
    struct cpu_test t = xsave_create(0);
    const uint64_t image = T_DATA + 0x1000 - 640;

    t_put(&t, image + HEADER + 16, 1, 8);                /* reserved */
    t.s.cr0 |= 1u << 16;                                 /* WP */
    t_put(&t, T_PT + 8 * (T_DATA >> 12), T_DATA | 1, 8); /* read only, and the next one absent */
    t_put(&t, T_PT + 8 * ((T_DATA >> 12) + 1), 0, 8);
    t.s.gpr[CPU_RBX] = image;
    t.s.gpr[CPU_RAX] = rows[_i].components;
    t.s.gpr[CPU_RDX] = 0;
    if (rows[_i].restores)
        t_code(&t, OP_XRSTOR);
    else
        t_code(&t, OP_XSAVE);
    t_run(&t);
    ck_assert_int_eq(t.vector, rows[_i].vector);
    ck_assert_uint_eq(t_stack(&t, 0, 8), rows[_i].error);
    if (t.vector == 14)
        ck_assert_uint_eq(t.s.cr2, image + rows[_i].end);
    t_destroy(&t);
}
END_TEST

/* FXSAVE at an address that is neither canonical nor aligned: the stack's segment makes it #SS. */
START_TEST(canonical_before_alignment)
{
    struct cpu_test t = xsave_create(0);

    t.s.gpr[CPU_RBP] = t.s.gpr[CPU_RBX] = 1ull << 62 | 1;
    if (_i)
        t_code(&t, 0x0F, 0xAE, 0x45, 0x00); /* [rbp+0] */
    else
        t_code(&t, 0x0F, 0xAE, 0x03); /* [rbx] */
    t_run(&t);
    ck_assert_int_eq(t.vector, _i ? 12 : 13);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, standard_form);
    tcase_add_loop_test(tcase, compacted_form, 0, 2);
    tcase_add_test(tcase, initial_components_are_left_out);
    tcase_add_test(tcase, requested_components);
    tcase_add_test(tcase, who_may);
    tcase_add_test(tcase, order);
    tcase_add_test(tcase, headers);
    tcase_add_test(tcase, reserved_mxcsr);
    tcase_add_test(tcase, save_is_whole_or_not_at_all);
    tcase_add_test(tcase, in_use);
    tcase_add_test(tcase, xss);
    tcase_add_loop_test(tcase, end_of_image_first, 0, 4);
    tcase_add_loop_test(tcase, canonical_before_alignment, 0, 2);
}

T_MAIN("xsave", add_tests)
