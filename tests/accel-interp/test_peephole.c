/* Quiet instructions and pairs (accel-interp/peephole.h) against the same code in blocks of one instruction, where there are
 * none, and against runs that stop after every few steps: registers, flags and memory must be the same at every stop.
 *
 * The guest is a straight run of 64-bit code: every instruction of a list followed by every other one, once with their flags
 * left visible and once with an instruction behind them that overwrites all flags. */
#include "accel-interp/accel_interp.h"
#include "accel-interp/peephole.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <string.h>

enum { CODE = 0x100000, DATA = 0x600000, STACK = 0x680000, TABLES = 0x10000, RAM_BYTES = 8 << 20 };

struct bytes {
    uint8_t count, byte[8];
};
#define B(...)                                                                                                         \
    {                                                                                                                  \
        sizeof((uint8_t[]){__VA_ARGS__}),                                                                              \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* RSI points to data, RBP is a small index; neither is written. */
static const struct bytes instructions[] = {
    /* MOV r,r in both encodings; MOV r,imm; LEA; MOVZX, MOVSX, MOVSXD */
    B(0x89, 0xC3),
    B(0x48, 0x89, 0xC3),
    B(0x8B, 0xD1),
    B(0x48, 0x8B, 0xD1),
    B(0xBA, 0x78, 0x56, 0x34, 0x92),
    B(0x8D, 0x43, 0x7F),
    B(0x48, 0x8D, 0x43, 0x80),
    B(0x8D, 0x04, 0x5B),
    B(0x48, 0x8D, 0x0C, 0x98),
    B(0x0F, 0xB6, 0xC3),
    B(0x0F, 0xB6, 0xC7),
    B(0x0F, 0xB7, 0xD0),
    B(0x0F, 0xBE, 0xC8),
    B(0x48, 0x0F, 0xBF, 0xC8),
    B(0x48, 0x63, 0xC2),
    /* loads and stores with and without an index; widths */
    B(0x8B, 0x46, 0x08),
    B(0x48, 0x8B, 0x5E, 0x10),
    B(0x48, 0x8B, 0x14, 0xEE),
    B(0x8B, 0x0C, 0x2E),
    B(0x89, 0x46, 0x18),
    B(0x48, 0x89, 0x5E, 0x20),
    B(0x48, 0x89, 0x14, 0xEE),
    B(0x88, 0x46, 0x05),
    B(0x88, 0x3C, 0x2E),
    B(0x66, 0x89, 0x4E, 0x2A),
    B(0x8A, 0x46, 0x09),
    B(0x0F, 0xB6, 0x46, 0x11),
    B(0x0F, 0xB6, 0x0C, 0x2E),
    B(0x0F, 0xB7, 0x56, 0x0C),
    B(0x0F, 0xB7, 0x14, 0x6E),
    B(0x48, 0x63, 0x46, 0x30),
    B(0xC7, 0x46, 0x38, 1, 2, 3, 4),
    B(0xC6, 0x46, 0x3C, 9),
    B(0x48, 0xC7, 0x46, 0x40, 1, 2, 3, 0x84),
    /* PUSH and POP, of RSP too */
    B(0x50),
    B(0x53),
    B(0x58),
    B(0x5A),
    B(0x54),
    B(0x41, 0x50),
    B(0x41, 0x58),
    /* arithmetic: r/m,r  r,r/m  r/m,imm */
    B(0x01, 0xD8),
    B(0x48, 0x01, 0xD8),
    B(0x03, 0xC3),
    B(0x48, 0x83, 0xC0, 0x7F),
    B(0x83, 0xC1, 0xFF),
    B(0x29, 0xD8),
    B(0x48, 0x29, 0xCB),
    B(0x48, 0x83, 0xEA, 0x01),
    B(0x83, 0xEA, 0x01),
    B(0x21, 0xC8),
    B(0x83, 0xE1, 0x1F),
    B(0x48, 0x21, 0xC8),
    B(0x09, 0xD1),
    B(0x48, 0x09, 0xD1),
    B(0x31, 0xD8),
    B(0x48, 0x31, 0xD8),
    B(0x31, 0xC0),
    B(0x66, 0x01, 0xD8),
    B(0x66, 0x83, 0xE9, 3),
    B(0x66, 0x33, 0xCB),
    B(0x33, 0x46, 0x08),
    B(0x33, 0x0C, 0x2E),
    B(0x48, 0x03, 0x46, 0x08),
    B(0x48, 0x2B, 0x4E, 0x10),
    B(0x48, 0x3B, 0x46, 0x08),
    B(0x39, 0xC8),
    B(0x48, 0x39, 0xD8),
    B(0x83, 0xF9, 5),
    B(0x48, 0x85, 0xC0),
    B(0x85, 0xDB),
    B(0x38, 0xC8),
    /* shifts by an immediate, of 0 and beyond the width too; IMUL, INC, DEC, NEG, NOT */
    B(0xC1, 0xE8, 3),
    B(0x48, 0xC1, 0xE8, 35),
    B(0xC1, 0xE0, 5),
    B(0x48, 0xC1, 0xE3, 40),
    B(0xC1, 0xF9, 31),
    B(0x48, 0xC1, 0xF9, 63),
    B(0xC1, 0xE9, 0),
    B(0x48, 0xC1, 0xE1, 32),
    B(0xC1, 0xE2, 33),
    B(0x66, 0xC1, 0xE8, 5),
    B(0x66, 0xC1, 0xE0, 17),
    B(0x66, 0xC1, 0xF8, 30),
    B(0x0F, 0xAF, 0xC3),
    B(0x48, 0x0F, 0xAF, 0xD1),
    B(0xFF, 0xC0),
    B(0x48, 0xFF, 0xCB),
    B(0xFF, 0xC9),
    B(0xF7, 0xD8),
    B(0x48, 0xF7, 0xDB),
    B(0xF7, 0xD1),
    /* what looks at flags: CMOVcc, SETcc, ADC, RCL */
    B(0x0F, 0x44, 0xC3),
    B(0x48, 0x0F, 0x43, 0xCB),
    B(0x48, 0x0F, 0x4C, 0xD0),
    B(0x0F, 0x9A, 0xC1),
    B(0x11, 0xD8),
    B(0xD1, 0xD2),
    B(0x9C),
};
enum { COUNT = sizeof instructions / sizeof instructions[0] };

/* ROL EDX,5 keeps what stands before and behind it apart: it is in no list of peephole.c. */
static const struct bytes barrier = B(0xC1, 0xC2, 5), overwrite = B(0x48, 0x01, 0xC8), stack = B(0xBC, 0, 0, 0x68, 0);

static size_t emit(uint8_t *code, const struct bytes *bytes)
{
    memcpy(code, bytes->byte, bytes->count);
    return bytes->count;
}

/* The program ends in a jump to itself. steps: instructions before that. */
static size_t emit_program(uint8_t *code, unsigned first, uint64_t *steps)
{
    size_t at = 0;

    *steps = 0;
    for (unsigned second = 0; second < COUNT; second++) {
        for (unsigned overwritten = 0; overwritten < 2; overwritten++) {
            at += emit(code + at, &instructions[first]);
            at += emit(code + at, &instructions[second]);
            if (overwritten)
                at += emit(code + at, &overwrite);
            at += emit(code + at, &barrier);
            at += emit(code + at, &stack);
            *steps += 4 + overwritten;
        }
    }
    memcpy(code + at, (uint8_t[]){0xEB, 0xFE}, 2);
    return at + 2;
}

struct guest {
    struct fake_machine *fake;
    struct accel *accel;
    struct memory *memory;
};

static void set_long_mode(struct guest *g)
{
    struct cpu_state state;

    memory_write_u64(g->memory, TABLES, (TABLES + 0x1000) | 3);
    memory_write_u64(g->memory, TABLES + 0x1000, (TABLES + 0x2000) | 3);
    for (uint64_t n = 0; n < RAM_BYTES >> 21; n++)
        memory_write_u64(g->memory, TABLES + 0x2000 + n * 8, n << 21 | 0x83);
    g->accel->ops->get_state(g->accel, &state);
    state.rip = CODE;
    state.rflags = 2;
    for (unsigned n = 0; n < 16; n++)
        state.gpr[n] = 0x9E3779B97F4A7C15ull * (n + 1);
    state.gpr[CPU_RSP] = STACK;
    state.gpr[CPU_RSI] = DATA;
    state.gpr[CPU_RBP] = 3;
    for (unsigned n = 0; n < 6; n++)
        state.segment[n] = (struct cpu_segment){
            .limit = UINT32_MAX, .attributes = n == CPU_CS ? 0xA09B : 0xC093, .selector = n == CPU_CS ? 8 : 16};
    state.cr0 = 0x80010011;
    state.cr4 = 0x620;
    state.efer = 0x500;
    state.cr3 = TABLES;
    g->accel->ops->set_state(g->accel, &state);
}

static struct guest guest_create(const uint8_t *code, size_t size, unsigned block_steps)
{
    struct guest g = {.fake = fake_machine_create(RAM_BYTES)};
    struct error error = {""};

    g.accel = interp_create(g.fake->machine, &(struct interp_options){.block_steps = block_steps}, &error);
    ck_assert_msg(g.accel != NULL, "%s", error.text);
    machine_set_accel(g.fake->machine, g.accel);
    g.memory = machine_memory(g.fake->machine);
    machine_reset(g.fake->machine);
    memory_write(g.memory, CODE, code, size);
    for (unsigned n = 0; n < 64; n++)
        memory_write_u64(g.memory, DATA + n * 8, 0xD1B54A32D192ED03ull * (n + 3));
    set_long_mode(&g);
    return g;
}

static void run_to(struct guest *g, uint64_t icount)
{
    ck_assert_int_eq(machine_run(g->fake->machine, (struct position){icount, 0}), MACHINE_STOP_LIMIT);
}

static void ck_same(struct guest *a, struct guest *b, unsigned first, uint64_t icount)
{
    struct cpu_state x, y;

    a->accel->ops->get_state(a->accel, &x);
    b->accel->ops->get_state(b->accel, &y);
    ck_assert_msg(x.rip == y.rip && x.rflags == y.rflags && !memcmp(x.gpr, y.gpr, sizeof x.gpr),
                  "instruction %u of the list, step %llu: rip %llx and %llx, rflags %llx and %llx", first,
                  (unsigned long long)icount, (unsigned long long)x.rip, (unsigned long long)y.rip,
                  (unsigned long long)x.rflags, (unsigned long long)y.rflags);
}

START_TEST(test_every_two)
{
    static uint8_t code[COUNT * 2 * 40];
    unsigned first = (unsigned)_i;
    uint64_t steps;
    size_t size = emit_program(code, first, &steps);
    struct guest whole = guest_create(code, size, 0), single = guest_create(code, size, 1);
    struct guest chopped = guest_create(code, size, 0);

    ck_assert_uint_le(size, sizeof code);
    for (uint64_t icount = 1; icount <= steps; icount += icount % 7 + 1) {
        run_to(&chopped, icount);
        run_to(&single, icount);
        ck_same(&chopped, &single, first, icount);
    }
    run_to(&single, steps);
    run_to(&whole, steps);
    ck_same(&whole, &single, first, steps);
    ck_assert_uint_eq(memory_digest(whole.memory), memory_digest(single.memory));
    ck_assert_uint_eq(memory_digest(chopped.memory), memory_digest(single.memory));
    fake_machine_destroy(whole.fake);
    fake_machine_destroy(single.fake);
    fake_machine_destroy(chopped.fake);
}
END_TEST

/* The table: a pair stands for its two instructions, a quiet one for the one it is like. */
START_TEST(test_table)
{
    struct peephole *peephole = peephole_create();

    for (unsigned n = 0; n < peephole_pairs_count; n++) {
        const struct peephole_pair *pair = &peephole_pairs[n];
        struct insn insns[3] = {{.fn = pair->first->quiet ? pair->first->quiet : peephole_own(pair->first)},
                                {.fn = pair->second->quiet ? pair->second->quiet : peephole_own(pair->second)}};
        peephole_run(peephole, insns, 2, NULL);
        ck_assert_msg(insns[0].fn == pair->fn, "pair %u", n);
        ck_assert(peephole_plain(peephole, insns[0].fn) == peephole_own(pair->first));
        ck_assert(peephole_plain(peephole, insns[1].fn) == peephole_own(pair->second));
    }
    for (unsigned n = 0; n < peephole_quiet_count; n++)
        ck_assert(peephole_plain(peephole, peephole_quiet[n].quiet) == peephole_own(&peephole_quiet[n]));
    peephole_destroy(peephole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peephole");
    TCase *tcase = tcase_create("blocks");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, test_every_two, 0, COUNT);
    tcase_add_test(tcase, test_table);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
