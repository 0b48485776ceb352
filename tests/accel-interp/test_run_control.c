/* Run control (core/debug.h) in the interpreter.
 *
 * Random guests (random_program.h: faults, timer interrupts, code that rewrites itself, string instructions, 16-, 32- and
 * 64-bit code) under a debugger that sets and takes out points at random have the digests that they have alone. Each
 * breakpoint and watchpoint is hit as often as single-stepping says. Then places one by one: the middle of a repeated
 * string instruction, accesses over a page's end, two mappings of a page, DMA, the guest's own debug registers.
 * VMRR_INSN_SEEDS=FROM:COUNT as in test_random_programs. */
#include "core/debug.h"
#include "devices/board_pc.h"
#include "tests/accel-interp/cpu_test.h"
#include "tests/support/random_program.h"

#include <stdio.h>

#define CHUNK_STEPS 20011u /* between two digests */
#define CHUNKS_MAX 400u
#define RAM_BYTES (2u << 20)
#define SEEN_BITS 14u
#define SEEN_MAX (1u << SEEN_BITS)
#define COUNTED_POINTS 12u
#define IDT_IN_IMAGE 0x2000u
#define ARENA_IN_IMAGE 0x10000u
#define BODY_BASE 0x10000000u /* the body has the image mapped here */

/* ---- a random guest --------------------------------------------------------------------------------------------- */

struct guest {
    struct input_mailbox *mailbox;
    struct input *input;
    struct machine *machine;
    uint8_t image[RANDOM_PROGRAM_BYTES];
    int irq; /* vector of the interrupt that was delivered since it was set to -1 */
};

static uint64_t fixed_clock(void *opaque)
{
    (void)opaque;
    return 1700000000;
}

static void note_irq(void *opaque, const struct trace_event *event)
{
    struct guest *guest = opaque;
    if (event->kind == TRACE_IRQ)
        guest->irq = (int)event->value;
}

static void open_guest(struct guest *guest, const struct random_program *program)
{
    static const struct trace_sink_ops sink = {.emit = note_irq};
    struct error error = {0};
    struct board_pc_options board = {.kernel = {guest->image, sizeof guest->image, NULL}, .no_vga = true};

    guest->irq = -1;
    guest->mailbox = input_mailbox_create();
    guest->input = input_live_create(&(struct input_live_options){
        .mailbox = guest->mailbox, .wall_clock_seconds = fixed_clock, .entropy_seeded = true});
    struct machine_options options = {
        .ram_bytes = RAM_BYTES, .input = guest->input, .no_reboot = true, .trace = {&sink, guest}};
    ck_assert_int_eq(cpu_model_init(&options.cpu, "max", &error), STATUS_OK);
    guest->machine = machine_create(&options, &error);
    ck_assert_msg(guest->machine != NULL, "%s", error.text);
    machine_set_accel(guest->machine, interp_create(guest->machine, NULL, &error));
    random_program_make(program, machine_cpu_model(guest->machine), guest->image);
    ck_assert_msg(board_pc_create(guest->machine, &board, &error) == STATUS_OK, "%s", error.text);
    machine_reset(guest->machine);
}

static void close_guest(struct guest *guest)
{
    machine_destroy(guest->machine);
    input_destroy(guest->input);
    input_mailbox_destroy(guest->mailbox);
}

static uint64_t icount(const struct guest *guest)
{
    return machine_position(guest->machine).icount;
}

static enum machine_stop run_to(struct guest *guest, uint64_t steps)
{
    return machine_run(guest->machine, (struct position){steps, 0});
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * 0x2545F4914F6CDD1Dull >> 16;
}

/* ---- addresses that the guest executes -------------------------------------------------------------------------- */

struct seen {
    uint64_t address[SEEN_MAX];
    uint32_t count[SEEN_MAX];
    uint64_t list[SEEN_MAX];
    unsigned filled;
};

static void see(struct seen *seen, uint64_t address)
{
    unsigned n = (unsigned)(address * 0x9E3779B97F4A7C15ull >> (64 - SEEN_BITS));
    while (seen->count[n] && seen->address[n] != address)
        n = (n + 1) % SEEN_MAX;
    if (!seen->count[n] && seen->filled == SEEN_MAX - 1)
        return;
    if (!seen->count[n]++)
        seen->list[seen->filled++] = seen->address[n] = address;
}

static unsigned times_seen(const struct seen *seen, uint64_t address)
{
    unsigned n = (unsigned)(address * 0x9E3779B97F4A7C15ull >> (64 - SEEN_BITS));
    while (seen->count[n] && seen->address[n] != address)
        n = (n + 1) % SEEN_MAX;
    return seen->count[n];
}

/* Where the timer's interrupt goes: 64-bit gates. */
static uint64_t handler(struct guest *guest, unsigned vector)
{
    struct memory *memory = machine_memory(guest->machine);
    uint64_t gate = RANDOM_PROGRAM_BASE + IDT_IN_IMAGE + 16 * vector;
    return memory_read_u16(memory, gate) | (uint64_t)memory_read_u16(memory, gate + 6) << 16 |
           (uint64_t)memory_read_u32(memory, gate + 8) << 32;
}

/* One step; address: where its first instruction was. */
static enum machine_stop one_step(struct guest *guest, uint64_t *address)
{
    *address = debug_code_address(guest->machine, NULL);
    guest->irq = -1;
    enum machine_stop stop = run_to(guest, icount(guest) + 1);
    if (guest->irq >= 0)
        *address = handler(guest, (unsigned)guest->irq);
    return stop;
}

static enum machine_stop see_all(const struct random_program *program, struct seen *seen)
{
    static struct guest guest;
    enum machine_stop stop;

    memset(seen, 0, sizeof *seen);
    open_guest(&guest, program);
    do {
        uint64_t before = icount(&guest), address;
        stop = one_step(&guest, &address);
        if (icount(&guest) != before)
            see(seen, address);
    } while (stop == MACHINE_STOP_LIMIT);
    close_guest(&guest);
    return stop;
}

/* ---- points ------------------------------------------------------------------------------------------------------- */

/* Somewhere where the guest comes by more than once. */
static struct debug_point random_break(const struct seen *seen, uint64_t *random)
{
    uint64_t address;

    do
        address = seen->list[next_random(random) % seen->filled];
    while (times_seen(seen, address) < 20);
    return (struct debug_point){
        .kind = DEBUG_EXECUTE, .flags = next_random(random) % 4 ? 0 : DEBUG_EACH_ITERATION, .address = address};
}

static struct debug_point random_watch(uint64_t *random)
{
    uint64_t place = next_random(random) % 8;
    uint64_t offset = place == 0 ? RANDOM_PROGRAM_COUNTS + 8 * (next_random(random) % 32)
                                 : ARENA_IN_IMAGE + next_random(random) % 0x10000;
    bool physical = next_random(random) % 2, kernel = physical || next_random(random) % 2;
    return (struct debug_point){.kind = DEBUG_WRITE + (enum debug_point_kind)(next_random(random) % 3),
                                .flags = physical ? DEBUG_PHYSICAL : 0,
                                .address = (kernel ? RANDOM_PROGRAM_BASE : BODY_BASE) + offset,
                                .size_bytes = 1 + next_random(random) % (next_random(random) % 4 ? 16 : 9000)};
}

/* ---- no digest changes -------------------------------------------------------------------------------------------- */

struct trail {
    uint64_t digest[CHUNKS_MAX];
    unsigned chunks;
    enum machine_stop stop;
};

struct debugger {
    uint64_t random;
    const struct seen *seen;
    struct debug_point point[40];
    unsigned points, stops, stops_in_step;
};

static void change_points(struct guest *guest, struct debugger *d)
{
    while (d->points && next_random(&d->random) % 3 == 0) {
        unsigned n = (unsigned)(next_random(&d->random) % d->points);
        ck_assert_int_eq(debug_remove(guest->machine, &d->point[n]), STATUS_OK);
        d->point[n] = d->point[--d->points];
    }
    while (d->points < 40 && next_random(&d->random) % 3) {
        struct debug_point *point = &d->point[d->points++];
        *point = next_random(&d->random) % 3 ? random_break(d->seen, &d->random) : random_watch(&d->random);
        ck_assert_int_eq(debug_insert(guest->machine, point), STATUS_OK);
    }
}

static enum machine_stop debug_chunk(struct guest *guest, struct debugger *d)
{
    const uint64_t end = icount(guest) + CHUNK_STEPS;

    change_points(guest, d);
    for (;;) {
        uint64_t limit = next_random(&d->random) % 4 ? end : icount(guest) + 1 + next_random(&d->random) % 300;
        enum machine_stop stop = run_to(guest, limit < end ? limit : end);
        if (stop == MACHINE_STOP_DEBUG) {
            ck_assert_uint_gt(debug_stop(guest->machine)->hits, 0);
            d->stops++;
            d->stops_in_step += debug_in_step(guest->machine);
        } else if (stop != MACHINE_STOP_LIMIT || icount(guest) == end) {
            return stop;
        }
        if (next_random(&d->random) % 20 == 0)
            change_points(guest, d);
        else if (next_random(&d->random) % 16 == 0)
            debug_go_past(guest->machine);
    }
}

static void run_trail(const struct random_program *program, struct debugger *d, struct trail *trail)
{
    static struct guest guest;
    enum machine_stop stop = MACHINE_STOP_LIMIT;

    open_guest(&guest, program);
    memset(trail, 0, sizeof *trail);
    if (d)
        change_points(&guest, d);
    while (stop == MACHINE_STOP_LIMIT && trail->chunks < CHUNKS_MAX) {
        stop = d ? debug_chunk(&guest, d) : run_to(&guest, icount(&guest) + CHUNK_STEPS);
        trail->digest[trail->chunks++] = machine_digest_all(guest.machine);
    }
    trail->stop = stop;
    close_guest(&guest);
}

static void check_digests(const struct random_program *program, const struct seen *seen)
{
    static struct trail alone, debugged;
    struct debugger d = {.random = program->seed * 77 + program->bits, .seen = seen};

    run_trail(program, NULL, &alone);
    run_trail(program, &d, &debugged);
    ck_assert_int_eq(alone.stop, MACHINE_STOP_DEBUG_EXIT);
    ck_assert_int_eq(debugged.stop, alone.stop);
    ck_assert_uint_eq(debugged.chunks, alone.chunks);
    for (unsigned n = 0; n < alone.chunks; n++)
        ck_assert_msg(alone.digest[n] == debugged.digest[n], "seed %llu, %u bits: differs after %u to %u steps",
                      (unsigned long long)program->seed, program->bits, n * CHUNK_STEPS, (n + 1) * CHUNK_STEPS);
    fprintf(stderr, "seed %llu, %u bits: %u stops, %u of them within a step\n", (unsigned long long)program->seed,
            program->bits, d.stops, d.stops_in_step);
    ck_assert_uint_gt(d.stops, 100);
}

/* ---- hits are counted rightly ------------------------------------------------------------------------------------- */

static unsigned hits_of(struct machine *machine, const struct debug_point *point)
{
    const struct debug_stop *stop = debug_stop(machine);
    unsigned count = 0;

    for (unsigned n = 0; n < stop->hits; n++)
        count += stop->hit[n].point.kind == point->kind && stop->hit[n].point.address == point->address;
    return count;
}

static void check_break_counts(const struct random_program *program, const struct seen *seen)
{
    static struct guest guest;
    uint64_t random = program->seed * 31 + program->bits;
    struct debug_point point[COUNTED_POINTS];
    unsigned hits[COUNTED_POINTS] = {0};
    enum machine_stop stop;

    open_guest(&guest, program);
    for (unsigned n = 0; n < COUNTED_POINTS; n++) {
        do
            point[n] = random_break(seen, &random);
        while (times_seen(seen, point[n].address) > 20000);
        for (unsigned other = 0; other < n; other++)
            while (point[other].address == point[n].address)
                point[n] = random_break(seen, &random);
        point[n].flags = 0;
        ck_assert_int_eq(debug_insert(guest.machine, &point[n]), STATUS_OK);
    }
    while ((stop = run_to(&guest, POSITION_NEVER)) == MACHINE_STOP_DEBUG) {
        uint64_t at = debug_code_address(guest.machine, NULL);
        for (unsigned n = 0; n < COUNTED_POINTS; n++) {
            unsigned count = hits_of(guest.machine, &point[n]);
            ck_assert(!count || at == point[n].address);
            hits[n] += count;
        }
    }
    ck_assert_int_eq(stop, MACHINE_STOP_DEBUG_EXIT);
    for (unsigned n = 0; n < COUNTED_POINTS; n++)
        ck_assert_msg(hits[n] == times_seen(seen, point[n].address), "seed %llu, %u bits, %llx: %u hits, %u steps",
                      (unsigned long long)program->seed, program->bits, (unsigned long long)point[n].address, hits[n],
                      times_seen(seen, point[n].address));
    close_guest(&guest);
}

/* How often each of the points is hit; with_steps: stepping, and held against what changed in memory. */
static void count_watch(const struct random_program *program, struct debug_point *point, bool with_steps,
                        unsigned hits[COUNTED_POINTS])
{
    static struct guest guest;
    uint64_t before[COUNTED_POINTS], after;
    enum machine_stop stop;

    open_guest(&guest, program);
    for (unsigned n = 0; n < COUNTED_POINTS; n++) {
        ck_assert_int_eq(debug_insert(guest.machine, &point[n]), STATUS_OK);
        before[n] = memory_read_u64(machine_memory(guest.machine), point[n].address);
    }
    do {
        stop = run_to(&guest, with_steps ? icount(&guest) + 1 : POSITION_NEVER);
        for (unsigned n = 0; n < COUNTED_POINTS; n++) {
            unsigned count = stop == MACHINE_STOP_DEBUG ? hits_of(guest.machine, &point[n]) : 0;
            hits[n] += count;
            after = memory_read_u64(machine_memory(guest.machine), point[n].address);
            ck_assert_msg(after == before[n] || count || point[n].kind == DEBUG_READ || !with_steps ||
                              !(point[n].flags & DEBUG_PHYSICAL),
                          "seed %llu, %u bits: a change of %llx was not seen", (unsigned long long)program->seed,
                          program->bits, (unsigned long long)point[n].address);
            before[n] = after;
        }
    } while (stop == MACHINE_STOP_LIMIT || stop == MACHINE_STOP_DEBUG);
    ck_assert_int_eq(stop, MACHINE_STOP_DEBUG_EXIT);
    close_guest(&guest);
}

static void check_watch_counts(const struct random_program *program)
{
    uint64_t random = program->seed * 131 + program->bits;
    struct debug_point point[COUNTED_POINTS];
    unsigned hits[COUNTED_POINTS] = {0}, stepped[COUNTED_POINTS] = {0}, all = 0;

    for (unsigned n = 0; n < COUNTED_POINTS; n++) {
        point[n] = random_watch(&random);
        point[n].size_bytes = 8;
        point[n].address &= n % 2 ? UINT64_MAX : ~7ull;
    }
    point[0] = (struct debug_point){DEBUG_WRITE, DEBUG_PHYSICAL,
                                    RANDOM_PROGRAM_BASE + RANDOM_PROGRAM_COUNTS + 8 * 14 /* page faults */, 8};
    count_watch(program, point, false, hits);
    count_watch(program, point, true, stepped);
    for (unsigned n = 0; n < COUNTED_POINTS; n++) {
        all += hits[n];
        ck_assert_msg(hits[n] == stepped[n], "seed %llu, %u bits, %llx, kind %u: %u hits, %u by stepping",
                      (unsigned long long)program->seed, program->bits, (unsigned long long)point[n].address,
                      point[n].kind, hits[n], stepped[n]);
    }
    ck_assert_uint_gt(all, 0);
}

START_TEST(random_guests)
{
    static struct seen seen;
    const char *text = getenv("VMRR_INSN_SEEDS");
    char *end = NULL;
    uint64_t from = text ? strtoull(text, &end, 10) : 1, count = end && *end == ':' ? strtoull(end + 1, NULL, 10) : 2;

    for (uint64_t seed = from; seed < from + count; seed++) {
        struct random_program program = {.seed = seed, .bits = 16u << _i, .slots = 300, .iterations = 40};
        ck_assert_int_eq(see_all(&program, &seen), MACHINE_STOP_DEBUG_EXIT);
        ck_assert_uint_gt(seen.filled, 200);
        check_digests(&program, &seen);
        check_break_counts(&program, &seen);
        check_watch_counts(&program);
    }
}
END_TEST

/* ---- places one by one ---------------------------------------------------------------------------------------------- */

static enum machine_stop go_on(struct cpu_test *t)
{
    enum machine_stop stop = machine_run(t->fake->machine, MACHINE_NO_LIMIT);
    t->accel->ops->get_state(t->accel, &t->s);
    return stop;
}

static void begin(struct cpu_test *t)
{
    t->accel->ops->set_state(t->accel, &t->s);
}

static void point(struct cpu_test *t, enum debug_point_kind kind, uint32_t flags, uint64_t address, uint64_t size)
{
    const struct debug_point point = {kind, flags, address, size};
    ck_assert_int_eq(debug_insert(t->fake->machine, &point), STATUS_OK);
}

static uint64_t steps(struct cpu_test *t)
{
    return machine_position(t->fake->machine).icount;
}

static void expect_hit(struct cpu_test *t, enum debug_point_kind kind, uint64_t address, bool write, enum debug_by by)
{
    const struct debug_stop *stop = debug_stop(t->fake->machine);
    ck_assert_uint_eq(stop->hits, 1);
    ck_assert_int_eq(stop->hit[0].point.kind, kind);
    ck_assert_uint_eq(stop->hit[0].address, address);
    ck_assert_int_eq(stop->hit[0].write, write);
    ck_assert_int_eq(stop->hit[0].by, by);
}

/* 5,000 iterations are steps of 904 and 4,096; with a stop before each they still are. */
START_TEST(each_iteration)
{
    struct cpu_test t = t_create();
    unsigned stops = 0;
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 5000;
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = T_DATA + 0x4000;
    t_code(&t, 0x90, 0xF3, 0xA4, 0xF4); /* nop; rep movsb; hlt */
    point(&t, DEBUG_EXECUTE, _i ? DEBUG_EACH_ITERATION : 0, T_CODE + 1, 0);
    begin(&t);
    while (go_on(&t) == MACHINE_STOP_DEBUG) {
        ck_assert_uint_eq(t.s.rip, T_CODE + 1);
        expect_hit(&t, DEBUG_EXECUTE, T_CODE + 1, false, DEBUG_BY_CPU);
        if (_i)
            ck_assert_uint_eq(t.s.gpr[CPU_RCX], 5000 - stops);
        ck_assert_uint_eq(steps(&t), stops < (_i ? 904 : 1) ? 1 : 2);
        ck_assert_int_eq(debug_in_step(t.fake->machine), _i && stops != 0 && stops != 904);
        stops++;
    }
    ck_assert_uint_eq(stops, _i ? 5000 : 2);
    ck_assert_uint_eq(steps(&t), 4);
    ck_assert_uint_eq(t.s.rflags & 0x10000, 0);
    t_destroy(&t);
}
END_TEST

START_TEST(watch_in_rep)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.gpr[CPU_RCX] = 100;
    t.s.gpr[CPU_RDI] = T_DATA;
    t.s.gpr[CPU_RAX] = 0x77;
    t_code(&t, 0xF3, 0xAA, 0xF4); /* rep stosb; hlt */
    point(&t, DEBUG_WRITE, 0, T_DATA + 5, 2);
    begin(&t);
    for (unsigned n = 5; n < 7; n++) {
        ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
        expect_hit(&t, DEBUG_WRITE, T_DATA + n, true, DEBUG_BY_CPU);
        ck_assert_uint_eq(t.s.gpr[CPU_RDI], T_DATA + n + 1);
        ck_assert_uint_eq(t.s.rip, T_CODE);
        ck_assert(debug_in_step(t.fake->machine));
        ck_assert_uint_eq(steps(&t), 0);
        ck_assert_uint_eq(t_get(&t, T_DATA + n, 2), 0x77);
    }
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    ck_assert_uint_eq(steps(&t), 2);
    ck_assert_uint_eq(t_get(&t, T_DATA + 99, 2), 0x77);
    t_destroy(&t);
}
END_TEST

/* Over a page's end, to the second page; a read-modify-write is both; a physical address by another mapping. */
START_TEST(watched_accesses)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PT + 8 * 0x100, T_DATA | 7, 8);
    t.s.gpr[CPU_RBX] = T_DATA + 0xFFE;
    t.s.gpr[CPU_RSI] = 0x100000;
    t_code(&t, 0x48, 0x89, 0x03,      /* mov [rbx], rax */
           0x48, 0x83, 0x43, 0x02, 1, /* add qword [rbx + 2], 1 */
           0x8A, 0x06,                /* mov al, [rsi] */
           0xC6, 0x06, 0x01, 0xF4);   /* mov byte [rsi], 1; hlt */
    point(&t, DEBUG_WRITE, 0, T_DATA + 0x1000, 1);
    point(&t, DEBUG_ACCESS, DEBUG_PHYSICAL, T_DATA, 1);
    point(&t, DEBUG_READ, 0, T_DATA + 0x1007, 1);
    begin(&t);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    expect_hit(&t, DEBUG_WRITE, T_DATA + 0x1000, true, DEBUG_BY_CPU);
    ck_assert_uint_eq(t.s.rip, T_CODE + 3);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    const struct debug_stop *stop = debug_stop(t.fake->machine);
    ck_assert_uint_eq(stop->hits, 2);
    ck_assert_int_eq(stop->hit[0].point.kind, DEBUG_READ);
    ck_assert_int_eq(stop->hit[1].point.kind, DEBUG_WRITE);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    expect_hit(&t, DEBUG_ACCESS, T_DATA, false, DEBUG_BY_CPU);
    ck_assert_uint_eq(t.s.rip, T_CODE + 10);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    expect_hit(&t, DEBUG_ACCESS, T_DATA, true, DEBUG_BY_CPU);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    t_destroy(&t);
}
END_TEST

/* One page at two linear addresses: its code is decoded once, a breakpoint is of one of them. */
START_TEST(two_mappings)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PT + 8 * 0x100, T_CODE | 7, 8);
    t.s.gpr[CPU_RBX] = 0x100000 + 8;
    t_code(&t, 0x90, 0x90, 0x90, 0x90, 0x90, 0xFF, 0xE3, 0xCC, /* nops; jmp rbx */
           0x90, 0x90, 0xF4);
    point(&t, DEBUG_EXECUTE, 0, _i ? 0x100009 : T_CODE + 9, 0);
    point(&t, DEBUG_EXECUTE, 0, _i ? 0x100002 : T_CODE + 2, 0);
    begin(&t);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    ck_assert_uint_eq(t.s.rip, _i ? 0x100009 : T_CODE + 2);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    ck_assert_uint_eq(t.s.rip, 0x10000B);
    t_destroy(&t);
}
END_TEST

/* Linear is CS base + IP. */
START_TEST(base_of_cs)
{
    struct cpu_test t = t_create();
    t.s.segment[CPU_CS].selector = T_CODE >> 4;
    t.s.segment[CPU_CS].base = T_CODE;
    t.s.rip = 0;
    t_code(&t, 0x90, 0x90, 0xF4);
    point(&t, DEBUG_EXECUTE, 0, 1, 0);
    point(&t, DEBUG_EXECUTE, 0, T_CODE + 1, 0);
    begin(&t);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    ck_assert_uint_eq(t.s.rip, 1);
    expect_hit(&t, DEBUG_EXECUTE, T_CODE + 1, false, DEBUG_BY_CPU);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    t_destroy(&t);
}
END_TEST

/* The guest's own breakpoint at the same place: ours comes first, its #DB is delivered as it would have been. */
START_TEST(guests_own_breakpoint)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t.s.dr[0] = T_CODE + 1;
    t.s.dr[7] = 0x400 | 2;
    t_code(&t, 0x90, 0x90, 0xF4);
    point(&t, DEBUG_EXECUTE, 0, T_CODE + 1, 0);
    begin(&t);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    ck_assert_uint_eq(t.s.rip, T_CODE + 1);
    ck_assert_uint_eq(t.s.dr[6] & 1, 0);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    ck_assert_uint_eq(t.s.rip, T_HANDLERS + 16 + 1);
    ck_assert_uint_eq(t.s.dr[6] & 1, 1);
    ck_assert_uint_eq(t_stack(&t, 0, 8), T_CODE + 1);
    t_destroy(&t);
}
END_TEST

/* What an instruction read before it faulted does not count; what the delivery of the fault writes does. */
START_TEST(faults)
{
    struct cpu_test t = t_create();
    t_long(&t, 3);
    t_put(&t, T_PT + 8 * 0x60, 0, 8);
    t.s.gpr[CPU_RSI] = T_DATA;
    t.s.gpr[CPU_RDI] = 0x60000;
    t_code(&t, 0x90, 0xA4); /* movsb */
    point(&t, DEBUG_READ, 0, T_DATA, 1);
    point(&t, DEBUG_WRITE, 0, T_STACK0 - 8, 8);
    begin(&t);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    expect_hit(&t, DEBUG_WRITE, T_STACK0 - 8, true, DEBUG_BY_CPU);
    ck_assert_uint_eq(t.s.rip, T_HANDLERS + 16 * 14);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    t_destroy(&t);
}
END_TEST

/* DMA, by linear and by physical address; a tool's own write is none. */
START_TEST(dma)
{
    struct cpu_test t = t_create();
    t_long(&t, 0);
    t_put(&t, T_PT + 8 * 0x100, T_DATA | 7, 8);
    t_code(&t, 0x90, 0xF4);
    begin(&t);
    point(&t, DEBUG_WRITE, _i ? DEBUG_PHYSICAL : 0, _i ? T_DATA + 8 : 0x100008, 4);
    ck_assert(debug_write(t.fake->machine, T_DATA + 8, "1234", 4, false));
    memory_write(t.memory, T_DATA + 12, "5678", 4);
    memory_write(t.memory, T_DATA, "12345678", 8);
    ck_assert_uint_eq(machine_run(t.fake->machine, (struct position){1, 0}), MACHINE_STOP_LIMIT);
    memory_write(t.memory, T_DATA + 1, "12345678", 8);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_DEBUG);
    expect_hit(&t, DEBUG_WRITE, _i ? T_DATA + 1 : 0x100001, true, DEBUG_BY_DMA);
    ck_assert_int_eq(go_on(&t), MACHINE_STOP_IDLE);
    t_destroy(&t);
}
END_TEST

/* A step to a breakpoint stops there; going past it, or taking it out, does not stop again. More offsets than stay cut. */
START_TEST(in_and_out)
{
    struct cpu_test t = t_create();
    struct machine *machine = t.fake->machine;
    t_long(&t, 0);
    t_code(&t, 0x90, 0x90, 0xEB, 0xFC); /* nop; nop; jmp */
    begin(&t);
    point(&t, DEBUG_EXECUTE, 0, T_CODE + 1, 0);
    ck_assert_int_eq(machine_run(machine, (struct position){1, 0}), MACHINE_STOP_LIMIT);
    if (_i == 0)
        ck_assert_int_eq(machine_run(machine, (struct position){3, 0}), MACHINE_STOP_DEBUG);
    else if (_i == 1)
        debug_go_past(machine);
    ck_assert_int_eq(machine_run(machine, (struct position){3, 0}), _i == 2 ? MACHINE_STOP_DEBUG : MACHINE_STOP_LIMIT);
    for (unsigned n = 0; n < 1500; n++) {
        const struct debug_point other = {DEBUG_EXECUTE, 0, 0x40000 + n, 0};
        ck_assert_int_eq(debug_insert(machine, &other), STATUS_OK);
        ck_assert_int_eq(debug_remove(machine, &other), STATUS_OK);
        ck_assert_int_eq(debug_remove(machine, &other), STATUS_NOT_FOUND);
    }
    for (unsigned n = 1; n < 50; n++) {
        ck_assert_int_eq(machine_run(machine, MACHINE_NO_LIMIT), MACHINE_STOP_DEBUG);
        ck_assert_uint_eq(machine_position(machine).icount, 3 * n + 1);
    }
    debug_step(machine);
    ck_assert_int_eq(machine_run(machine, MACHINE_NO_LIMIT), MACHINE_STOP_DEBUG);
    ck_assert_uint_eq(debug_stop(machine)->hits, 0);
    ck_assert_uint_eq(machine_position(machine).icount, 149);
    debug_step(machine);
    debug_go_past(machine);
    ck_assert_int_eq(machine_run(machine, MACHINE_NO_LIMIT), MACHINE_STOP_DEBUG);
    ck_assert_uint_eq(debug_stop(machine)->hits, 1);
    const struct debug_point bad = {DEBUG_WRITE, 0, UINT64_MAX, 2};
    ck_assert_int_eq(debug_insert(machine, &bad), STATUS_INVALID);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, each_iteration, 0, 2);
    tcase_add_test(tcase, watch_in_rep);
    tcase_add_test(tcase, watched_accesses);
    tcase_add_loop_test(tcase, two_mappings, 0, 2);
    tcase_add_test(tcase, base_of_cs);
    tcase_add_test(tcase, guests_own_breakpoint);
    tcase_add_test(tcase, faults);
    tcase_add_loop_test(tcase, dma, 0, 2);
    tcase_add_loop_test(tcase, in_and_out, 0, 3);
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, random_guests, 0, 3);
}

T_MAIN("run control", add_tests)
