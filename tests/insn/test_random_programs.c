/* Random guests (random_program.h) on the whole board, each run by the interpreter in several ways that must not be seen
 * from inside: whole blocks; one instruction a block; a block cache that is always full; stopping after odd numbers of
 * steps. All digests of the machine on the way must be equal. VMRR_INSN_SEEDS=FROM:COUNT: other seeds than the first
 * few. */
#include "accel-interp/accel_interp.h"
#include "core/machine.h"
#include "devices/board_pc.h"
#include "tests/support/random_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_STEPS 20011u /* between two digests */
#define CHUNKS_MAX 2000u
#define RAM_BYTES (2u << 20)
#define SLOTS 300u
#define ITERATIONS 40u

struct way {
    const char *name;
    struct interp_options options;
    unsigned slice_steps; /* 0: a chunk at once */
};
static const struct way ways[] = {
    {"blocks", {0}, 0},
    {"one instruction a block", {.block_steps = 1}, 0},
    {"three instructions a block, a small cache", {.block_steps = 3, .cache_bytes = 1}, 0},
    {"stops", {0}, 613},
};
#define WAYS (sizeof ways / sizeof ways[0])

struct trail {
    uint64_t digest[CHUNKS_MAX];
    unsigned chunks;
    enum machine_stop stop;
    uint64_t counts[32]; /* exceptions; 2: ticks of the timer */
};

struct guest {
    struct input_mailbox *mailbox;
    struct input *input;
    struct machine *machine;
    uint8_t image[RANDOM_PROGRAM_BYTES];
};

static uint64_t fixed_clock(void *opaque)
{
    (void)opaque;
    return 1700000000;
}

static void open_guest(struct guest *guest, const struct random_program *program, const struct interp_options *interp)
{
    struct error error = {0};
    struct board_pc_options board = {.kernel = {guest->image, sizeof guest->image, NULL}, .no_vga = true};

    guest->mailbox = input_mailbox_create();
    guest->input = input_live_create(&(struct input_live_options){
        .mailbox = guest->mailbox, .wall_clock_seconds = fixed_clock, .entropy_seeded = true});
    struct machine_options options = {.ram_bytes = RAM_BYTES, .input = guest->input, .no_reboot = true};
    ck_assert_int_eq(cpu_model_init(&options.cpu, "max", &error), STATUS_OK);
    guest->machine = machine_create(&options, &error);
    ck_assert_msg(guest->machine != NULL, "%s", error.text);
    struct accel *accel = interp_create(guest->machine, interp, &error);
    ck_assert_ptr_nonnull(accel);
    machine_set_accel(guest->machine, accel);
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

static enum machine_stop run_chunk(struct guest *guest, const struct way *way)
{
    const uint64_t end = machine_position(guest->machine).icount + CHUNK_STEPS;

    for (;;) {
        struct position limit = {machine_position(guest->machine).icount, VTIME_NEVER};
        uint64_t step = way->slice_steps ? way->slice_steps : CHUNK_STEPS;
        limit.icount = limit.icount + step < end ? limit.icount + step : end;
        enum machine_stop stop = machine_run(guest->machine, limit);
        if (stop != MACHINE_STOP_LIMIT || limit.icount == end)
            return stop;
    }
}

static void run_way(const struct random_program *program, const struct way *way, struct trail *trail)
{
    static struct guest guest;
    enum machine_stop stop = MACHINE_STOP_LIMIT;

    open_guest(&guest, program, &way->options);
    memset(trail, 0, sizeof *trail);
    while (stop == MACHINE_STOP_LIMIT && trail->chunks < CHUNKS_MAX) {
        stop = run_chunk(&guest, way);
        trail->digest[trail->chunks++] = machine_digest_all(guest.machine);
    }
    trail->stop = stop;
    memory_read(machine_memory(guest.machine), RANDOM_PROGRAM_BASE + RANDOM_PROGRAM_COUNTS, trail->counts,
                sizeof trail->counts);
    close_guest(&guest);
}

/* Says where two ways part. */
static bool same_trail(const struct random_program *p, const struct way *way, const struct trail *a,
                       const struct trail *b)
{
    unsigned n = 0;

    while (n < a->chunks && n < b->chunks && a->digest[n] == b->digest[n])
        n++;
    if (n == a->chunks && n == b->chunks)
        return true;
    fprintf(stderr, "seed %llu, %u bits: \"%s\" and \"%s\" differ after %u to %u steps\n", (unsigned long long)p->seed,
            p->bits, ways[0].name, way->name, n * CHUNK_STEPS, (n + 1) * CHUNK_STEPS);
    return false;
}

static unsigned check_program(const struct random_program *program, uint64_t counts[32])
{
    static struct trail first, other;
    unsigned failed = 0;

    run_way(program, &ways[0], &first);
    if (first.stop != MACHINE_STOP_DEBUG_EXIT) {
        fprintf(stderr, "seed %llu, %u bits: ends with: %s\n", (unsigned long long)program->seed, program->bits,
                machine_stop_name(first.stop));
        failed++;
    }
    for (unsigned n = 1; n < WAYS; n++) {
        run_way(program, &ways[n], &other);
        failed += !same_trail(program, &ways[n], &first, &other);
    }
    for (unsigned n = 0; n < 32; n++)
        counts[n] += first.counts[n];
    return failed;
}

START_TEST(test_programs)
{
    const char *text = getenv("VMRR_INSN_SEEDS");
    char *end = NULL;
    uint64_t from = text ? strtoull(text, &end, 10) : 1, count = end && *end == ':' ? strtoull(end + 1, NULL, 10) : 3;
    uint64_t counts[32] = {0};
    unsigned failed = 0, bits = 16u << _i;

    for (uint64_t seed = from; seed < from + count; seed++) {
        struct random_program program = {.seed = seed, .bits = bits, .slots = SLOTS, .iterations = ITERATIONS};
        failed += check_program(&program, counts);
    }
    fprintf(stderr, "%u bits, exceptions by vector (2: timer):", bits);
    for (unsigned n = 0; n < 32; n++)
        if (counts[n])
            fprintf(stderr, " %u:%llu", n, (unsigned long long)counts[n]);
    fprintf(stderr, "\n");
    ck_assert_uint_eq(failed, 0);
    ck_assert_uint_gt(counts[14], 0);
    ck_assert_uint_gt(counts[2], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random programs");
    TCase *tcase = tcase_create("seeds");

    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, test_programs, 0, 3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_NOFORK);
}
