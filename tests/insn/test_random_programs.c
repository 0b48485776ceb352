/* Random guests (random_program.h), each run by the interpreter in several ways that must not be seen from inside: whole
 * blocks; one instruction a block; a block cache that is always full; stopping after odd numbers of steps. All digests of
 * CPU and memory on the way must be equal. VMRR_INSN_SEEDS=FROM:COUNT: other seeds than the first few. */
#include "accel-interp/accel_interp.h"
#include "tests/support/fake_machine.h"
#include "tests/support/random_program.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_STEPS 20011u /* between two digests */
#define CHUNKS_MAX 400u
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
    bool ended;
    uint64_t counts[32]; /* exceptions */
};

static void set_start(struct accel *accel)
{
    struct cpu_state s;

    accel->ops->get_state(accel, &s);
    for (unsigned n = 0; n < 6; n++)
        s.segment[n] = (struct cpu_segment){.selector = 16, .attributes = 0xC093, .limit = UINT32_MAX};
    s.segment[CPU_CS] = (struct cpu_segment){.selector = 8, .attributes = 0xC09B, .limit = UINT32_MAX};
    s.cr0 = 0x11;
    s.rflags = 2;
    s.rip = random_program_entry();
    accel->ops->set_state(accel, &s);
}

static bool run_chunk(struct fake_machine *fake, struct accel *accel, const struct way *way)
{
    const uint64_t end = machine_position(fake->machine).icount + CHUNK_STEPS;
    struct cpu_state s;

    for (;;) {
        struct position limit = machine_position(fake->machine);
        uint64_t step = way->slice_steps ? way->slice_steps : CHUNK_STEPS;
        limit.icount = limit.icount + step < end ? limit.icount + step : end;
        machine_run(fake->machine, limit);
        accel->ops->get_state(accel, &s);
        if (s.halted || s.shutdown || limit.icount == end)
            return !s.halted && !s.shutdown;
    }
}

static void run_way(const struct random_program *program, const struct way *way, struct trail *trail)
{
    static uint8_t image[RANDOM_PROGRAM_BYTES];
    struct fake_machine *fake = fake_machine_create(2u << 20);
    struct error error = {0};
    struct accel *accel = interp_create(fake->machine, &way->options, &error);
    struct cpu_state s;

    ck_assert_ptr_nonnull(accel);
    machine_set_accel(fake->machine, accel);
    accel->ops->reset(accel);
    random_program_make(program, machine_cpu_model(fake->machine), image);
    memcpy(fake->ram->host + RANDOM_PROGRAM_BASE, image, sizeof image);
    set_start(accel);
    memset(trail, 0, sizeof *trail);
    bool more = true;
    while (more && trail->chunks < CHUNKS_MAX) {
        more = run_chunk(fake, accel, way);
        trail->digest[trail->chunks++] = machine_digest_all(fake->machine);
    }
    accel->ops->get_state(accel, &s);
    trail->ended = s.halted && !s.shutdown;
    memcpy(trail->counts, fake->ram->host + RANDOM_PROGRAM_BASE + RANDOM_PROGRAM_COUNTS, sizeof trail->counts);
    fake_machine_destroy(fake);
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
    if (!first.ended) {
        fprintf(stderr, "seed %llu, %u bits: does not end\n", (unsigned long long)program->seed, program->bits);
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
    fprintf(stderr, "%u bits, exceptions by vector:", bits);
    for (unsigned n = 0; n < 32; n++)
        if (counts[n])
            fprintf(stderr, " %u:%llu", n, (unsigned long long)counts[n]);
    fprintf(stderr, "\n");
    ck_assert_uint_eq(failed, 0);
    ck_assert_uint_gt(counts[14], 0);
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
