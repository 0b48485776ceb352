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

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, random_guests, 0, 3);
}

T_MAIN("run control", add_tests)
