/* Paging: formats, rights and error codes, accessed and dirty bits, TLB flushes, accesses over page ends and to devices.
 * Expectations from the Intel SDM vol. 3, chapter 4. */
#include "tests/accel-interp/cpu_test.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ull << 63)
#define DATA_PTE (T_PT + 8 * (T_DATA >> 12))

enum how { READ, WRITE, FETCH };

/* One instruction that makes the access at T_DATA (64-bit code). A fetch finds HLT there. */
static void access_code(struct cpu_test *t, enum how how)
{
    t->s.gpr[CPU_RBX] = T_DATA;
    t_put(t, T_DATA, 0xF4, 1);
    if (how == READ)
        t_code(t, 0x8A, 0x03, 0xF4); /* mov al, [rbx]; hlt */
    else if (how == WRITE)
        t_code(t, 0x88, 0x03, 0xF4); /* mov [rbx], al; hlt */
    else
        t_code(t, 0xFF, 0xE3); /* jmp rbx */
}

/* rights of the data page, who accesses how, control bits; the error code, or -1 for no fault. */
static const struct {
    uint64_t pte;
    unsigned cpl;
    enum how how;
    uint32_t cr4, flags;
    bool wp;
    int error;
} rights[] = {
    {P | W | U, 3, READ, 0, 0, true, -1},
    {P | W | U, 3, WRITE, 0, 0, true, -1},
    {P | W | U, 3, FETCH, 0, 0, true, -1},
    {0, 3, READ, 0, 0, true, 0x4},
    {0, 3, WRITE, 0, 0, true, 0x6},
    {0, 0, READ, 0, 0, true, 0x0},
    {0, 0, FETCH, 0, 0, true, 0x10},
    {P | U, 3, READ, 0, 0, true, -1},
    {P | U, 3, WRITE, 0, 0, true, 0x7},
    {P | U, 0, WRITE, 0, 0, true, 0x3},
    {P | U, 0, WRITE, 0, 0, false, -1},
    {P | U, 3, WRITE, 0, 0, false, 0x7},
    {P | W, 3, READ, 0, 0, true, 0x5},
    {P | W, 3, WRITE, 0, 0, true, 0x7},
    {P | W, 3, FETCH, 0, 0, true, 0x15},
    {P | W, 0, WRITE, 0, 0, true, -1},
    {P | W | U | NX, 3, READ, 0, 0, true, -1},
    {P | W | U | NX, 3, FETCH, 0, 0, true, 0x15},
    {P | W | NX, 0, FETCH, 0, 0, true, 0x11},
    {P | W | U, 0, FETCH, 1u << 20, 0, true, 0x11}, /* SMEP */
    {P | W, 0, FETCH, 1u << 20, 0, true, -1},
    {P | W | U, 0, READ, 1u << 21, 0, true, 0x1}, /* SMAP */
    {P | W | U, 0, WRITE, 1u << 21, 0, true, 0x3},
    {P | W | U, 0, READ, 1u << 21, 0x40000, true, -1}, /* and AC */
    {P | W | U, 3, READ, 1u << 21, 0, true, -1},
    {P | W | U | 1ull << 40, 3, READ, 0, 0, true, 0xD}, /* beyond 40 bits */
    {P | W | U | 1ull << 51, 0, WRITE, 0, 0, true, 0xB},
    {P | W | U | 1ull << 52, 3, READ, 0, 0, true, -1}, /* ignored bits */
};

START_TEST(rights_and_error_codes)
{
    struct cpu_test t = t_create();
    t_long(&t, rights[_i].cpl);
    t.s.cr4 |= rights[_i].cr4;
    t.s.rflags = 2 | rights[_i].flags;
    if (!rights[_i].wp)
        t.s.cr0 &= ~0x10000ull;
    if (rights[_i].cr4) { /* the supervisor's own pages */
        for (unsigned n = 0; n < 0x30; n++)
            t_put(&t, T_PT + 8 * n, n << 12 | (rights[_i].cpl == 3 && (n == 8 || n == 0x2B) ? 7 : 3), 8);
    }
    access_code(&t, rights[_i].how);
    t_put(&t, DATA_PTE, rights[_i].pte | T_DATA, 8);
    t_run(&t);
    if (rights[_i].error < 0) {
        ck_assert_int_ne(t.vector, 14);
    } else {
        ck_assert_int_eq(t.vector, 14);
        ck_assert_uint_eq(t_stack(&t, 0, 8), (unsigned)rights[_i].error);
        ck_assert_uint_eq(t.s.cr2, T_DATA);
        ck_assert_uint_eq(t_get(&t, DATA_PTE, 8), rights[_i].pte | T_DATA); /* no A, no D */
    }
    t_destroy(&t);
}
END_TEST

START_TEST(rights_of_upper_levels)
{
    static const uint64_t entries[] = {T_PML4, T_PDPT, T_PD};
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.cr4 = 0x620;
    access_code(&t, WRITE);
    uint64_t value = t_get(&t, entries[_i], 8);
    t_put(&t, entries[_i], value & ~(uint64_t)W, 8);
    t.s.cr0 &= ~0x10000ull; /* stacks are not writable now either: WP off */
    t.s.segment[CPU_CS] = t_segment(SEL_CODE64, 0xA09B);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1); /* supervisor without WP writes */
    t_destroy(&t);
}
END_TEST

START_TEST(reserved_bits_of_upper_levels)
{
    static const struct {
        uint64_t entry, bit;
    } rows[] = {{T_PML4, PS}, {T_PML4, 1ull << 45}, {T_PDPT, 1ull << 41}, {T_PD, 1ull << 44}};
    struct cpu_test t = t_create();
    t_long(&t, 0);
    access_code(&t, READ);
    /* a second way to the data: entry 1 of each level's table, at 512 GiB, 1 GiB or 2 MiB */
    uint64_t linear = rows[_i].entry == T_PML4 ? 1ull << 39 : rows[_i].entry == T_PDPT ? 1ull << 30 : 1ull << 21;
    t_put(&t, rows[_i].entry + 8, t_get(&t, rows[_i].entry, 8) | rows[_i].bit, 8);
    t.s.gpr[CPU_RBX] = linear + T_DATA;
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0x9);
    ck_assert_uint_eq(t.s.cr2, linear + T_DATA);
    t_destroy(&t);
}
END_TEST

START_TEST(accessed_and_dirty)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    access_code(&t, READ);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, DATA_PTE, 8), T_DATA | 7 | A);
    ck_assert_uint_eq(t_get(&t, T_PD, 8), T_PT | 7 | A);
    ck_assert_uint_eq(t_get(&t, T_PDPT, 8), T_PD | 7 | A);
    ck_assert_uint_eq(t_get(&t, T_PML4, 8), T_PDPT | 7 | A);
    t.s.halted = false;
    t.s.rip = t.code = T_CODE + 0x40;
    access_code(&t, WRITE);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, DATA_PTE, 8), T_DATA | 7 | A | D);
    ck_assert_uint_eq(t_get(&t, T_PD, 8), T_PT | 7 | A);
    t_destroy(&t);
}
END_TEST

/* A read, then a write without a flush: the dirty bit must come with the first write. */
START_TEST(dirty_after_read_hit)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RBX] = T_DATA;
    t_code(&t, 0x8A, 0x03, 0x8A, 0x03, 0x88, 0x03, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, DATA_PTE, 8), T_DATA | 7 | A | D);
    t_destroy(&t);
}
END_TEST

START_TEST(large_pages)
{
    static const struct {
        uint64_t entry, value, linear, gpa;
    } rows[] = {
        {T_PD + 8, 0x200000 | P | W | PS, 0x230123, 0x230123},
        {T_PD + 16, 0x000000 | P | W | PS | 0x1000, 0x430123, 0x030123}, /* bit 12 is PAT */
        {T_PDPT + 8, 0x00000000 | P | W | PS, 0x40030123, 0x030123},
    };
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, rows[_i].entry, rows[_i].value, 8);
    t.s.gpr[CPU_RBX] = rows[_i].linear;
    t.s.gpr[CPU_RAX] = 0x5A;
    t_code(&t, 0x88, 0x03, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t_get(&t, rows[_i].gpa, 1), 0x5A);
    ck_assert_uint_eq(t_get(&t, rows[_i].entry, 8), rows[_i].value | A | D);
    t_destroy(&t);
}
END_TEST

START_TEST(large_page_reserved_bits)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PD + 8, 0x202000 | P | W | PS, 8); /* bit 13 */
    t.s.gpr[CPU_RBX] = 0x200000;
    t_code(&t, 0x8A, 0x03, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0x9);
    t_destroy(&t);
}
END_TEST

/* 32-bit formats: the directory maps one to one; one page of another format beside it. */
static void two_level(struct cpu_test *t)
{
    t_protected(t, 0);
    t_put(t, T_PD, T_PT | 7, 4);
    for (unsigned n = 0; n < 1024; n++)
        t_put(t, T_PT + 4 * n, n << 12 | 7, 4);
    t->s.cr0 |= 0x80010000;
    t->s.cr3 = T_PD;
}

START_TEST(two_level_4k_and_4m)
{
    struct cpu_test t = t_create();
    two_level(&t);
    t.s.cr4 = 0x10; /* PSE */
    t_put(&t, T_PD + 4, 0 | P | W | PS, 4);
    t_code(&t, 0xC6, 0x05, 0x23, 0x01, 0x43, 0x00, 0x5A, 0xF4); /* mov byte [0x430123], 0x5A; hlt */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t_get(&t, 0x030123, 1), 0x5A);
    ck_assert_uint_eq(t_get(&t, T_PD + 4, 4), P | W | PS | A | D);
    ck_assert_uint_eq(t_get(&t, T_PT + 4 * 8, 4), T_CODE | 7 | A);
    t_destroy(&t);
}
END_TEST

START_TEST(two_level_fault_has_no_fetch_bit)
{
    struct cpu_test t = t_create();
    two_level(&t);
    t_put(&t, T_PT + 4 * 0x30, 0, 4);
    t_code(&t, 0xB8, 0, 0, 3, 0, 0xFF, 0xE0); /* mov eax, T_DATA; jmp eax */
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    ck_assert_uint_eq(t_stack(&t, 1, 4), T_DATA);
    t_destroy(&t);
}
END_TEST

START_TEST(pae)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_page_tables(&t);
    t_put(&t, T_PDPT, T_PD | P, 8);
    t_put(&t, T_PD + 8, 0 | P | W | PS, 8);                         /* 2 MiB */
    t_code(&t, 0xB8, 0x20, 0, 0, 0, 0x0F, 0x22, 0xE0,               /* cr4 = PAE */
           0xB8, 0x00, 0x10, 0x01, 0, 0x0F, 0x22, 0xD8,             /* cr3 = T_PDPT */
           0x0F, 0x20, 0xC0, 0x0D, 0, 0, 0, 0x80, 0x0F, 0x22, 0xC0, /* cr0 |= PG */
           0xC6, 0x05, 0x23, 0x01, 0x23, 0x00, 0x5A, 0xF4);         /* mov byte [0x230123], 0x5A */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(t.s.pdpte[0], T_PD | P);
    ck_assert_uint_eq(t_get(&t, 0x030123, 1), 0x5A);
    ck_assert_uint_eq(t_get(&t, T_PDPT, 8), T_PD | P); /* no accessed bit there */
    t_destroy(&t);
}
END_TEST

START_TEST(pae_reserved_pdpte)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_page_tables(&t);
    t_put(&t, T_PDPT, T_PD | P, 8);
    t_put(&t, T_PDPT + 24, T_PD | P | W, 8); /* bit 1 is reserved */
    t.s.cr4 = 0x20;
    t_code(&t, 0xB8, 0x00, 0x10, 0x01, 0, 0x0F, 0x22, 0xD8, 0x0F, 0x20, 0xC0, 0x0D, 0, 0, 0, 0x80, 0x0F, 0x22, 0xC0);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 4), 0);
    ck_assert_uint_eq(t.s.cr0 & 0x80000000, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(non_canonical)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RBX] = 0x800000000000;
    t_code(&t, 0x8A, 0x03);
    t_run(&t);
    ck_assert_int_eq(t.vector, 13);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
    t_destroy(&t);
}
END_TEST

START_TEST(non_canonical_stack_segment)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RBP] = 0x800000000000;
    t_code(&t, 0x8A, 0x45, 0x00); /* mov al, [rbp] */
    t_run(&t);
    ck_assert_int_eq(t.vector, 12);
    t_destroy(&t);
}
END_TEST

/* A store over two pages, the second not writable: nothing is written. */
START_TEST(crossing_store_is_all_or_nothing)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, DATA_PTE + 8, (T_DATA + 0x1000) | P, 8);
    t.s.gpr[CPU_RBX] = T_DATA + 0xFFC;
    t.s.gpr[CPU_RAX] = UINT64_MAX;
    t_code(&t, 0x48, 0x89, 0x03);
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(t.s.cr2, T_DATA + 0x1000);
    ck_assert_uint_eq(t_stack(&t, 0, 8), 3);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFC, 8), 0);
    t_destroy(&t);
}
END_TEST

START_TEST(crossing_read_and_write)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, DATA_PTE + 8, T_DATA + 0x3000 + 7, 8); /* not contiguous in physical memory */
    t_put(&t, T_DATA + 0xFFD, 0x112233, 3);
    t_put(&t, T_DATA + 0x3000, 0x4455667788, 5);
    t.s.gpr[CPU_RBX] = T_DATA + 0xFFD;
    t_code(&t, 0x48, 0x8B, 0x03, 0x48, 0xFF, 0x03, 0xF4); /* mov rax, [rbx]; inc qword [rbx]; hlt */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0x4455667788112233);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFD, 3), 0x112234);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0x3000, 5), 0x4455667788);
    t_destroy(&t);
}
END_TEST

/* ---- flushes ------------------------------------------------------------------------------------------------------ */

/* Reads T_DATA (now in the TLB), moves its page to T_DATA + 0x2000 behind the TLB's back, does `flush`, reads again. */
static uint64_t moved_page(struct cpu_test *t, uint64_t pte_bits, const uint8_t *flush, size_t flush_bytes)
{
    static const uint8_t head[] = {0x8A, 0x03,        /* mov al, [rbx] */
                                   0x48, 0x89, 0x0A}; /* mov [rdx], rcx: the new entry */
    static const uint8_t tail[] = {0x8A, 0x03, 0xF4};
    t_put(t, T_DATA, 0x11, 1);
    t_put(t, T_DATA + 0x2000, 0x22, 1);
    t_put(t, DATA_PTE, T_DATA | pte_bits, 8);
    t->s.gpr[CPU_RBX] = T_DATA;
    t->s.gpr[CPU_RCX] = (T_DATA + 0x2000) | pte_bits;
    t->s.gpr[CPU_RDX] = DATA_PTE;
    memory_write(t->memory, T_CODE, head, sizeof head);
    memory_write(t->memory, T_CODE + sizeof head, flush, flush_bytes);
    memory_write(t->memory, T_CODE + sizeof head + flush_bytes, tail, sizeof tail);
    t_run(t);
    ck_assert_int_eq(t->vector, -1);
    return t->s.gpr[CPU_RAX] & 0xFF;
}

static const uint8_t no_flush[] = {0x90};
static const uint8_t invlpg[] = {0x0F, 0x01, 0x3B};
static const uint8_t load_cr3[] = {0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8};
static const uint8_t toggle_pge[] = {0x0F, 0x20, 0xE0, 0x34, 0x80, 0x0F, 0x22, 0xE0};
static const struct {
    const uint8_t *code;
    size_t bytes;
    uint64_t pte_bits;
    bool pge;
    unsigned expected;
} flushes[] = {
    {no_flush, sizeof no_flush, 7, true, 0x11}, /* a TLB is allowed to hold it, and ours does: determinism */
    {invlpg, sizeof invlpg, 7, true, 0x22},         {load_cr3, sizeof load_cr3, 7, true, 0x22},
    {load_cr3, sizeof load_cr3, 7 | G, true, 0x11}, {load_cr3, sizeof load_cr3, 7 | G, false, 0x22},
    {invlpg, sizeof invlpg, 7 | G, true, 0x22},     {toggle_pge, sizeof toggle_pge, 7 | G, true, 0x22},
};
START_TEST(flush)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.cr4 |= flushes[_i].pge ? 0x80 : 0;
    ck_assert_uint_eq(moved_page(&t, flushes[_i].pte_bits, flushes[_i].code, flushes[_i].bytes), flushes[_i].expected);
    t_destroy(&t);
}
END_TEST

/* INVLPG on any address of a large page drops all that is cached of it. */
START_TEST(invlpg_of_large_page)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PD + 8, 0x000000 | 7 | PS, 8);
    t_put(&t, T_DATA, 0x11, 1);
    t_put(&t, T_DATA + 0x200000, 0x22, 1);
    t.s.gpr[CPU_RBX] = 0x200000 + T_DATA;
    t.s.gpr[CPU_RSI] = 0x3FF000; /* another 4 KiB of it */
    t.s.gpr[CPU_RDX] = T_PD + 8;
    t.s.gpr[CPU_RCX] = 0x200000 | 7 | PS;
    t_code(&t, 0x8A, 0x03, 0x48, 0x89, 0x0A, 0x0F, 0x01, 0x3E, 0x8A, 0x03, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX] & 0xFF, 0x22);
    t_destroy(&t);
}
END_TEST

/* What the guest sees of accessed and dirty bits does not depend on vmrr's own dirty tracking: dropping writable host
 * translations must not walk the tables again. */
START_TEST(protect_all_is_invisible)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RBX] = T_DATA;
    t.s.gpr[CPU_RDX] = DATA_PTE;
    t_code(&t, 0x88, 0x03,   /* mov [rbx], al */
           0x80, 0x22, 0x9F, /* and byte [rdx], ~(A|D) */
           0x88, 0x03, 0xF4);
    t.accel->ops->set_state(t.accel, &t.s);
    struct position at = machine_position(t.fake->machine);
    at.icount += 2;
    at.vtime_ns += 2;
    (void)machine_run(t.fake->machine, at);
    t.accel->ops->memory_protect_all(t.accel);
    at.icount += 10;
    at.vtime_ns += 10;
    (void)machine_run(t.fake->machine, at);
    ck_assert_uint_eq(t_get(&t, DATA_PTE, 8), T_DATA | 7);
    t_destroy(&t);
}
END_TEST

START_TEST(dirty_flag_of_memory)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    t_code(&t, 0xA2, 0, 0, 3, 0, 0xA2, 0, 0, 3, 0, 0xF4); /* mov [T_DATA], al, twice */
    uint8_t *flags = memory_lookup(t.memory, T_DATA).flags;
    t.accel->ops->set_state(t.accel, &t.s);
    struct position at = machine_position(t.fake->machine);
    at.icount += 1;
    at.vtime_ns += 1;
    (void)machine_run(t.fake->machine, at);
    ck_assert(*flags & MEMORY_PAGE_DIRTY);
    *flags &= (uint8_t)~MEMORY_PAGE_DIRTY;
    t.accel->ops->memory_protect_all(t.accel);
    at.icount += 2;
    at.vtime_ns += 2;
    (void)machine_run(t.fake->machine, at);
    ck_assert(*flags & MEMORY_PAGE_DIRTY);
    t_destroy(&t);
}
END_TEST

/* ---- devices ------------------------------------------------------------------------------------------------------ */

struct probe {
    uint64_t address[16], value[16];
    unsigned size[16], count;
};
static uint64_t probe_read(void *opaque, uint64_t address, unsigned size)
{
    struct probe *p = opaque;
    p->address[p->count] = address;
    p->size[p->count++] = size;
    return 0x0807060504030201;
}
static void probe_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    struct probe *p = opaque;
    p->address[p->count] = address;
    p->value[p->count] = value;
    p->size[p->count++] = size;
}
static const struct bus_ops probe_ops = {probe_read, probe_write, 8};

START_TEST(mmio_once_in_the_middle_of_a_block)
{
    struct cpu_test t = t_create();
    struct probe probe = {0};
    bus_map_mmio(machine_bus(t.fake->machine), 0xFE000000, 0x1000, &probe_ops, &probe, "probe");
    t_protected(&t, 0);
    t.s.gpr[CPU_RBX] = 0xFE000000;
    t_code(&t, 0x40, 0x40,         /* inc eax; inc eax */
           0x01, 0x03,             /* add [ebx], eax: read and write */
           0x40, 0x8B, 0x4B, 0x10, /* inc eax; mov ecx, [ebx + 16] */
           0x40, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 4);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0x04030201);
    ck_assert_uint_eq(probe.count, 3);
    ck_assert_uint_eq(probe.address[1], 0);
    ck_assert_uint_eq(probe.value[1], 0x04030203);
    ck_assert_uint_eq(probe.address[2], 16);
    ck_assert_uint_eq(fake_machine_count_events(t.fake, TRACE_MMIO_READ), 2);
    ck_assert_uint_eq(t.fake->events[0].position.icount, 2);
    ck_assert_uint_eq(t.fake->events[2].position.icount, 4);
    t_destroy(&t);
}
END_TEST

START_TEST(mmio_split_at_the_page_end)
{
    struct cpu_test t = t_create();
    struct probe probe = {0};
    bus_map_mmio(machine_bus(t.fake->machine), 0xFE000000, 0x2000, &probe_ops, &probe, "probe");
    t_protected(&t, 0);
    t.s.gpr[CPU_RBX] = 0xFE000FFD;
    t.s.gpr[CPU_RAX] = 0xAABBCCDD;
    t_code(&t, 0x89, 0x03, 0xF4); /* mov [ebx], eax */
    t_run(&t);
    ck_assert_uint_eq(probe.count, 3); /* 2 + 1, 1 */
    ck_assert_uint_eq(probe.value[0], 0xCCDD);
    ck_assert_uint_eq(probe.value[1], 0xBB);
    ck_assert_uint_eq(probe.address[2], 0x1000);
    ck_assert_uint_eq(probe.value[2], 0xAA);
    t_destroy(&t);
}
END_TEST

START_TEST(rom_reads_memory_and_writes_the_bus)
{
    struct cpu_test t = t_create();
    struct probe probe = {0};
    struct memory_block *rom = memory_add_block(t.memory, "rom", 0x1000, false, NULL);
    memory_map_block(t.memory, 0xFD000000, 0x1000, rom, 0, MEMORY_ROM, 1);
    bus_map_mmio(machine_bus(t.fake->machine), 0xFD000000, 0x1000, &probe_ops, &probe, "probe");
    rom->host[4] = 0x77;
    t_protected(&t, 0);
    t.s.gpr[CPU_RBX] = 0xFD000004;
    t_code(&t, 0x8A, 0x03, 0x88, 0x03, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX] & 0xFF, 0x77);
    ck_assert_uint_eq(probe.count, 1);
    ck_assert_uint_eq(probe.value[0], 0x77);
    ck_assert_uint_eq(rom->host[4], 0x77);
    t_destroy(&t);
}
END_TEST

START_TEST(a20_gate)
{
    struct cpu_test t = t_create();
    t_protected(&t, 0);
    machine_set_a20(t.fake->machine, false);
    t_code(&t, 0xC6, 0x05, 0, 0, 0x13, 0, 0x5A, 0xF4); /* mov byte [0x130000], 0x5A */
    t_run(&t);
    ck_assert_uint_eq(t_get(&t, 0x130000, 1), 0);
    ck_assert_uint_eq(t_get(&t, 0x030000, 1), 0x5A);
    t_destroy(&t);
}
END_TEST

START_TEST(alignment_check)
{
    static const struct {
        unsigned cpl, offset;
        uint32_t flags, am;
        bool fault;
    } rows[] = {{3, 1, 0x40000, 0x40000, true},
                {3, 0, 0x40000, 0x40000, false},
                {3, 1, 0, 0x40000, false},
                {3, 1, 0x40000, 0, false},
                {0, 1, 0x40000, 0x40000, false}};
    struct cpu_test t = t_create();
    t_long(&t, rows[_i].cpl);
    t.s.cr0 |= rows[_i].am;
    t.s.rflags = 2 | rows[_i].flags;
    t.s.gpr[CPU_RBX] = T_DATA;
    t.s.gpr[CPU_RCX] = T_DATA + rows[_i].offset;
    t_code(&t, 0x8B, 0x03, 0x8B, 0x01, 0xCD, 0x80); /* mov eax, [rbx]; mov eax, [rcx]; int 0x80 */
    if (rows[_i].cpl == 0)
        t_idt64(&t, 0x80, SEL_CODE64, 0x8E, 0);
    t_run(&t);
    ck_assert_int_eq(t.vector, rows[_i].fault ? 17 : 0x80);
    if (rows[_i].fault) {
        ck_assert_uint_eq(t_stack(&t, 0, 8), 0);
        ck_assert_uint_eq(t_stack(&t, 1, 8), T_CODE + 2);
    }
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, rights_and_error_codes, 0, sizeof rights / sizeof rights[0]);
    tcase_add_loop_test(tcase, rights_of_upper_levels, 0, 3);
    tcase_add_loop_test(tcase, reserved_bits_of_upper_levels, 0, 4);
    tcase_add_test(tcase, accessed_and_dirty);
    tcase_add_test(tcase, dirty_after_read_hit);
    tcase_add_loop_test(tcase, large_pages, 0, 3);
    tcase_add_test(tcase, large_page_reserved_bits);
    tcase_add_test(tcase, two_level_4k_and_4m);
    tcase_add_test(tcase, two_level_fault_has_no_fetch_bit);
    tcase_add_test(tcase, pae);
    tcase_add_test(tcase, pae_reserved_pdpte);
    tcase_add_test(tcase, non_canonical);
    tcase_add_test(tcase, non_canonical_stack_segment);
    tcase_add_test(tcase, crossing_store_is_all_or_nothing);
    tcase_add_test(tcase, crossing_read_and_write);
    tcase_add_loop_test(tcase, flush, 0, sizeof flushes / sizeof flushes[0]);
    tcase_add_test(tcase, invlpg_of_large_page);
    tcase_add_test(tcase, protect_all_is_invisible);
    tcase_add_test(tcase, dirty_flag_of_memory);
    tcase_add_test(tcase, mmio_once_in_the_middle_of_a_block);
    tcase_add_test(tcase, mmio_split_at_the_page_end);
    tcase_add_test(tcase, rom_reads_memory_and_writes_the_bus);
    tcase_add_test(tcase, a20_gate);
    tcase_add_loop_test(tcase, alignment_check, 0, 5);
}
T_MAIN("mmu", add_tests)
