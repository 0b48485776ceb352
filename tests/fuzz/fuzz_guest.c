/* The interpreter's engine: random code in 16, 32 and 64 bits. Nothing crashes, and what the guest sees does not depend on
 * how code is cut into blocks: one machine runs one instruction a block, another whole blocks in pieces of odd sizes;
 * registers, memory, counts must agree wherever both are looked at.
 * Input: mode (real, 16-bit protected, 32, 64, each at both levels), two bytes of seed for the registers, then code. When
 * the CPU has halted (every exception ends in a HLT) or a piece of its steps is used up, it goes on at the next 32 bytes
 * of the code. */
#include "tests/accel-interp/cpu_test.h"
#include "tests/fuzz/fuzz.h"

#define CODE_MAX 256u
#define PIECE_BYTES 32u
#define PIECE_STEPS 300u

/* ---- the start ---- */

static uint64_t mix(uint64_t *seed)
{
    uint64_t z = *seed += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

/* Addresses of data, of code, of nothing mapped, small and large numbers. */
static uint64_t pick(uint64_t *seed)
{
    uint64_t r = mix(seed);
    switch (r & 7) {
    case 0: return T_CODE + (r >> 8) % CODE_MAX;
    case 1: return r >> 8 & 15;
    case 2: return 0x1FF000 + (r >> 8) % 0x2000;
    case 3: return r;
    default: return T_DATA + (r >> 8) % 0x10000;
    }
}

static void start(struct cpu_test *t, unsigned mode, uint64_t seed)
{
    unsigned cpl = mode & 8 ? 3 : 0;
    switch (mode & 3) {
    case 0: break; /* as after reset */
    case 1:
        t_protected(t, 0);
        t->s.segment[CPU_CS] = t_segment(SEL_CODE16, 0x009B);
        t->s.segment[CPU_CS].limit = 0xFFFF;
        break;
    case 2: t_protected(t, cpl); break;
    default: t_long(t, cpl); break;
    }
    if (mode & 4 && (mode & 3) >= 2)
        t->s.cr4 |= 0x600; /* SSE */
    for (unsigned n = 0; n < 16; n++)
        if (n != CPU_RSP && (n < 8 || (mode & 3) == 3))
            t->s.gpr[n] = (mode & 3) == 3 ? pick(&seed) : (uint32_t)pick(&seed);
    for (unsigned n = 0; n < 0x4000; n += 8)
        t_put(t, T_DATA + n, mix(&seed), 8);
    for (unsigned n = 0; n < 16; n++)
        t->s.vector[n].q[0] = mix(&seed);
}

static struct cpu_test make(unsigned mode, uint64_t seed, const uint8_t *code, size_t size, unsigned block_steps)
{
    struct interp_options options = {.cache_bytes = 1 << 20, .block_steps = block_steps};
    struct cpu_test t = t_create_with(&options);
    start(&t, mode, seed);
    memory_write(t.memory, T_CODE, code, size);
    t.accel->ops->set_state(t.accel, &t.s);
    return t;
}

/* ---- a piece ---- */

static void go_on(struct cpu_test *t, const struct cpu_state *first, uint64_t rip)
{
    t->accel->ops->get_state(t->accel, &t->s);
    uint64_t seen[16];
    memcpy(seen, t->s.gpr, sizeof seen);
    uint64_t sp = first->gpr[CPU_RSP];
    t->s = *first;
    memcpy(t->s.gpr, seen, sizeof seen);
    t->s.gpr[CPU_RSP] = sp;
    t->s.rip = rip;
    t->accel->ops->set_state(t->accel, &t->s);
}

/* To the limit, in pieces of `cut` steps (0: at once). */
static void run_to(struct cpu_test *t, uint64_t end, uint64_t cut)
{
    for (;;) {
        struct position at = machine_position(t->fake->machine);
        uint64_t left = end - at.icount, steps = cut && cut < left ? cut : left;
        at.icount += steps;
        at.vtime_ns += steps;
        t->stop = machine_run(t->fake->machine, at);
        if (t->stop != MACHINE_STOP_LIMIT || at.icount >= end)
            break;
    }
    t->accel->ops->get_state(t->accel, &t->s);
}

static void report(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    (void)opaque;
    fprintf(stderr, "  %s: one at a time %#llx, whole blocks %#llx\n", path, (unsigned long long)a,
            (unsigned long long)b);
}

static void compare(struct cpu_test *a, struct cpu_test *b)
{
    struct position pa = machine_position(a->fake->machine), pb = machine_position(b->fake->machine);
    if (!position_equal(pa, pb) || a->stop != b->stop)
        fprintf(stderr, "one at a time: icount %llu, stop %s; whole blocks: %llu, %s\n", (unsigned long long)pa.icount,
                machine_stop_name(a->stop), (unsigned long long)pb.icount, machine_stop_name(b->stop));
    size_t differences = state_diff(cpu_state_fields, &a->s, &b->s, report, NULL);
    CHECK(!differences);
    CHECK(position_equal(pa, pb) && a->stop == b->stop);
    CHECK(memory_digest(a->memory) == memory_digest(b->memory));
    CHECK(a->fake->event_count == b->fake->event_count);
    for (size_t n = 0; n < a->fake->event_count; n++) {
        const struct trace_event *ea = &a->fake->events[n], *eb = &b->fake->events[n];
        CHECK(ea->kind == eb->kind && position_equal(ea->position, eb->position) && ea->address == eb->address);
        CHECK(ea->value == eb->value && ea->size_bytes == eb->size_bytes);
    }
    a->fake->event_count = b->fake->event_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint64_t seed = data[1] | (uint64_t)data[2] << 8;
    size_t bytes = size - 3 < CODE_MAX ? size - 3 : CODE_MAX;
    struct cpu_test a = make(data[0], seed, data + 3, bytes, 1), b = make(data[0], seed, data + 3, bytes, 0);
    struct cpu_state first = a.s;
    for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
        uint64_t end = machine_position(a.fake->machine).icount + PIECE_STEPS;
        go_on(&a, &first, T_CODE + at);
        go_on(&b, &first, T_CODE + at);
        run_to(&a, end, 0);
        run_to(&b, end, at / PIECE_BYTES & 1 ? 1 + mix(&seed) % 40 : 0);
        compare(&a, &b);
        if (a.stop != MACHINE_STOP_LIMIT && a.stop != MACHINE_STOP_IDLE)
            break;
    }
    t_destroy(&a);
    t_destroy(&b);
    return 0;
}
