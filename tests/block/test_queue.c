/* The request queue: order, timing by the model and by the host, outcome as an input, abandonment, saved state. */
#include "block/latency.h"
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdio.h>
#include <xxhash.h>

#define SECTORS 4096u
#define ENOUGH_NS 3000000000ull
#define REQUESTS_MAX 32

struct job {
    struct block_request request;
    uint8_t *data;
    bool lent; /* a read without data of its own */
    enum status status;
    unsigned completions;
    unsigned order; /* 1: completed first */
};

struct bench {
    struct fake_machine *fake;
    struct probe_image *probe;
    struct block_drive *drive;
    struct block_executor *executor;
    struct job job[REQUESTS_MAX];
    unsigned job_count, completed;
};

static void completed(void *opaque, struct block_request *request, enum status status)
{
    struct bench *bench = opaque;
    for (unsigned n = 0; n < bench->job_count; n++) {
        struct job *job = &bench->job[n];
        if (&job->request == request) {
            job->status = status;
            job->completions++;
            job->order = ++bench->completed;
            if (job->lent && request->data)
                memcpy(job->data, request->data, (size_t)request->sectors * 512);
            return;
        }
    }
    ck_abort_msg("completion of an unknown request");
}

static struct bench *bench_open(enum block_timing timing, uint64_t seed, bool threads, bool read_only)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(bench->fake);
    bench->probe = probe_create(SECTORS, 0);
    bench->probe->image.read_only = read_only;
    if (timing == BLOCK_TIMING_HOST)
        bench->executor =
            threads ? block_executor_threads_create(bench->fake->mailbox, 3) : block_executor_deferred_create();
    struct block_queue_options options = {.drive = 2, .timing = timing, .seed = seed, .executor = bench->executor};
    bench->drive = block_drive_create(bench->fake->machine, &options, &bench->probe->image, &error);
    ck_assert_ptr_nonnull(bench->drive);
    return bench;
}

static void bench_close(struct bench *bench)
{
    pthread_mutex_lock(&bench->probe->lock);
    bool breached = bench->probe->breached;
    pthread_mutex_unlock(&bench->probe->lock);
    ck_assert(!breached);
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    for (unsigned n = 0; n < bench->job_count; n++)
        free(bench->job[n].data);
    free(bench);
}

static struct job *submit(struct bench *bench, enum trace_block_op op, uint64_t sector, uint32_t sectors, uint8_t fill)
{
    struct job *job = &bench->job[bench->job_count++];
    job->data = malloc((size_t)sectors * 512 + 1);
    memset(job->data, fill, (size_t)sectors * 512);
    job->request = (struct block_request){
        .op = op, .sector = sector, .sectors = sectors, .data = job->data, .complete = completed, .opaque = bench};
    block_submit(bench->drive, &job->request);
    ck_assert_uint_eq(job->completions, 0);
    if (op == TRACE_BLOCK_WRITE)
        memset(job->data, 0xAB, (size_t)sectors * 512); /* the queue has its copy */
    return job;
}

/* With the drive's buffers: no copy is made on either way. */
static struct job *submit_lent(struct bench *bench, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                               uint8_t fill)
{
    struct job *job = &bench->job[bench->job_count++];
    job->lent = op == TRACE_BLOCK_READ;
    job->data = calloc(sectors, 512);
    job->request =
        (struct block_request){.op = op, .sector = sector, .sectors = sectors, .complete = completed, .opaque = bench};
    if (op == TRACE_BLOCK_WRITE) {
        job->request.data = block_write_buffer(bench->drive, (size_t)sectors * 512);
        ck_assert_ptr_nonnull(job->request.data);
        memset(job->request.data, fill, (size_t)sectors * 512);
    }
    block_submit(bench->drive, &job->request);
    return job;
}

static void settle(struct bench *bench)
{
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    for (unsigned n = 0; n < bench->job_count; n++)
        ck_assert_uint_eq(bench->job[n].completions, 1);
}

/* ---- the events ---- */

START_TEST(test_write_then_read)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 100, 4, 0x77);
    settle(bench);
    ck_assert_int_eq(write->status, STATUS_OK);
    struct job *read = submit(bench, TRACE_BLOCK_READ, 99, 4, 0);
    settle(bench);
    ck_assert_int_eq(read->status, STATUS_OK);
    for (size_t n = 0; n < 2048; n++)
        ck_assert_uint_eq(read->data[n], n < 512 ? probe_byte(99, n) : 0x77);
    static const enum trace_kind kinds[] = {TRACE_BLOCK_REQUEST, TRACE_HOST_WRITE, TRACE_BLOCK_COMPLETION,
                                            TRACE_BLOCK_REQUEST, TRACE_BLOCK_COMPLETION};
    uint8_t expected[2048];
    memset(expected, 0x77, sizeof expected);
    unsigned at = 0;
    for (size_t n = 0; n < bench->fake->event_count; n++) {
        const struct trace_event *event = &bench->fake->events[n];
        if (event->kind == TRACE_DIGEST || event->kind == TRACE_CHECKPOINT || event->kind == TRACE_BLOCK_ORIGIN)
            continue;
        ck_assert_uint_lt(at, 5);
        ck_assert_int_eq(event->kind, kinds[at]);
        ck_assert_uint_eq(event->drive, 2);
        ck_assert_uint_eq(event->tag, at < 3 ? 0 : 1);
        ck_assert_uint_eq(event->address, at < 3 ? 100 : 99);
        ck_assert_uint_eq(event->sectors, 4);
        if (at == 0)
            ck_assert_uint_eq(event->value, XXH3_64bits(expected, sizeof expected));
        if (at == 4)
            ck_assert_uint_eq(event->value, XXH3_64bits(read->data, 2048));
        if (at == 1)
            ck_assert_uint_gt(event->position.vtime_ns, 0);
        at++;
    }
    ck_assert_uint_eq(at, 5);
    bench_close(bench);
}
END_TEST

/* ---- order ---- */

/* Several at once, so that the buffers are those of several requests. */
START_TEST(test_lent_buffers)
{
    struct bench *bench = bench_open(_i ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL, 0, true, false);
    struct job *read[4], *beyond = submit_lent(bench, TRACE_BLOCK_READ, SECTORS, 1, 0);
    for (unsigned n = 0; n < 4; n++)
        (void)submit_lent(bench, TRACE_BLOCK_WRITE, 100 + 8 * n, 8 >> n, (uint8_t)(0x70 + n));
    for (unsigned n = 0; n < 4; n++)
        read[n] = submit_lent(bench, TRACE_BLOCK_READ, 100 + 8 * n, 8, 0);
    for (unsigned n = 0; _i && bench->completed < bench->job_count && n < 1000; n++) {
        fake_machine_advance_ns(bench->fake, REQUESTS_MAX);
        (void)input_mailbox_wait(bench->fake->mailbox, 10000000);
    }
    settle(bench);
    ck_assert_int_eq(beyond->status, STATUS_INVALID);
    ck_assert_ptr_null(beyond->request.data);
    for (unsigned n = 0; n < 4; n++) {
        ck_assert_int_eq(read[n]->status, STATUS_OK);
        for (size_t at = 0; at < 4096; at++) {
            unsigned expected = at < 4096u >> n ? 0x70 + n : probe_byte(100 + 8 * n + at / 512, at % 512);
            ck_assert_uint_eq(read[n]->data[at], expected);
        }
    }
    bench_close(bench);
}
END_TEST

START_TEST(test_no_room)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    for (unsigned n = 0; n < REQUESTS_MAX; n++)
        (void)submit(bench, TRACE_BLOCK_WRITE, n, 1, 1);
    ck_assert_ptr_null(block_write_buffer(bench->drive, 512));
    settle(bench);
    ck_assert_ptr_nonnull(block_write_buffer(bench->drive, 512));
    bench_close(bench);
}
END_TEST

START_TEST(test_overlap_order)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct bench *bench = bench_open(BLOCK_TIMING_MODEL, seed, false, false);
        struct job *before = submit(bench, TRACE_BLOCK_READ, 8, 8, 0);
        submit(bench, TRACE_BLOCK_WRITE, 0, 12, 0x11);
        struct job *after = submit(bench, TRACE_BLOCK_READ, 10, 4, 0);
        submit(bench, TRACE_BLOCK_WRITE, 11, 1, 0x22);
        struct job *last = submit(bench, TRACE_BLOCK_READ, 10, 4, 0);
        settle(bench);
        ck_assert_uint_eq(before->data[0], probe_byte(8, 0));
        ck_assert_uint_eq(after->data[0], 0x11);
        ck_assert_uint_eq(after->data[512], 0x11);
        ck_assert_uint_eq(after->data[1024], probe_byte(12, 0));
        ck_assert_uint_eq(last->data[0], 0x11);
        ck_assert_uint_eq(last->data[512], 0x22);
        bench_close(bench);
    }
}
END_TEST

START_TEST(test_flush_is_a_barrier)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct bench *bench = bench_open(BLOCK_TIMING_MODEL, seed, false, false);
        for (unsigned n = 0; n < 4; n++)
            submit(bench, TRACE_BLOCK_WRITE, 10 * n, 1, 1);
        struct job *flush = submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
        for (unsigned n = 0; n < 4; n++)
            submit(bench, TRACE_BLOCK_READ, 1000 + 10 * n, 1, 1);
        settle(bench);
        ck_assert_uint_eq(flush->order, 5);
        ck_assert_int_eq(bench->probe->log[4].op, TRACE_BLOCK_FLUSH);
        ck_assert_uint_eq(bench->probe->log_count, 9);
        bench_close(bench);
    }
}
END_TEST

static void order_of_independent(uint64_t seed, unsigned order[8], uint64_t *hash)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, seed, false, false);
    for (unsigned n = 0; n < 8; n++)
        submit(bench, TRACE_BLOCK_READ, 100 * n, 2, 0);
    settle(bench);
    *hash = 0;
    for (size_t n = 0; n < bench->fake->event_count; n++)
        *hash = XXH3_64bits_withSeed(&bench->fake->events[n].position, sizeof(struct position), *hash);
    for (unsigned n = 0; n < 8; n++)
        order[n] = bench->job[n].order;
    bench_close(bench);
}

START_TEST(test_seeds_vary_order_and_repeat)
{
    unsigned first[8], again[8], differing = 0;
    uint64_t hash, hash_again;
    order_of_independent(0, first, &hash);
    for (unsigned n = 0; n < 8; n++)
        ck_assert_uint_eq(first[n], n + 1); /* seed 0: first come, first served */
    order_of_independent(0, again, &hash_again);
    ck_assert_uint_eq(hash, hash_again);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        order_of_independent(seed, first, &hash);
        order_of_independent(seed, again, &hash_again);
        ck_assert_mem_eq(first, again, sizeof first);
        ck_assert_uint_eq(hash, hash_again);
        for (unsigned n = 0; n < 8; n++)
            differing += first[n] != n + 1;
    }
    ck_assert_uint_gt(differing, 20);
}
END_TEST

START_TEST(test_latency_model)
{
    struct block_latency a, b;
    block_latency_init(&a, 0, 0);
    uint64_t sequential = block_latency_serve_ns(&a, TRACE_BLOCK_READ, 0, 8, false);
    ck_assert_uint_eq(block_latency_serve_ns(&a, TRACE_BLOCK_READ, 8, 8, false), sequential);
    ck_assert_uint_gt(block_latency_serve_ns(&a, TRACE_BLOCK_READ, 1u << 20, 8, false), sequential);
    uint64_t near, far;
    block_latency_init(&a, 0, 0);
    near = block_latency_serve_ns(&a, TRACE_BLOCK_READ, 1024, 8, false);
    block_latency_init(&a, 0, 0);
    far = block_latency_serve_ns(&a, TRACE_BLOCK_READ, 1024u << 10, 8, false);
    ck_assert_uint_gt(far, near);
    /* A flush pays for what was written since the last one; a FUA write pays at once. */
    block_latency_init(&a, 0, 0);
    uint64_t empty = block_latency_serve_ns(&a, TRACE_BLOCK_FLUSH, 0, 0, false);
    uint64_t cached = block_latency_serve_ns(&a, TRACE_BLOCK_WRITE, 5000, 64, false);
    ck_assert_uint_gt(block_latency_serve_ns(&a, TRACE_BLOCK_FLUSH, 0, 0, false), empty);
    ck_assert_uint_eq(block_latency_serve_ns(&a, TRACE_BLOCK_FLUSH, 0, 0, false), empty);
    ck_assert_uint_gt(block_latency_serve_ns(&a, TRACE_BLOCK_WRITE, 5000, 64, true), cached);
    /* The largest request at the far end of the largest disk stays sane. */
    ck_assert_uint_lt(block_latency_serve_ns(&a, TRACE_BLOCK_READ, 1ull << 54, 65536, false), 20000000000ull);
    block_latency_init(&a, 42, 0);
    block_latency_init(&b, 42, 1); /* drives of a machine have their own sequences */
    unsigned equal = 0;
    for (unsigned n = 0; n < 32; n++)
        equal += block_latency_serve_ns(&a, TRACE_BLOCK_READ, 8 * n, 8, false) ==
                 block_latency_serve_ns(&b, TRACE_BLOCK_READ, 8 * n, 8, false);
    ck_assert_uint_lt(equal, 8);
}
END_TEST

/* ---- refusals and errors ---- */

START_TEST(test_out_of_range)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    submit(bench, TRACE_BLOCK_READ, SECTORS, 1, 0x55);
    submit(bench, TRACE_BLOCK_WRITE, SECTORS - 1, 2, 0);
    submit(bench, TRACE_BLOCK_READ, UINT64_MAX, 2, 0x55);
    submit(bench, TRACE_BLOCK_DISCARD, 0, 0, 0);
    settle(bench);
    for (unsigned n = 0; n < 4; n++)
        ck_assert_int_eq(bench->job[n].status, STATUS_INVALID);
    ck_assert_uint_eq(bench->job[0].data[0], 0); /* no old bytes after an error */
    ck_assert_uint_eq(bench->probe->log_count, 0);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_BLOCK_COMPLETION), 4);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_HOST_WRITE), 0);
    struct job *last = submit(bench, TRACE_BLOCK_READ, SECTORS - 1, 1, 0);
    settle(bench);
    ck_assert_int_eq(last->status, STATUS_OK);
    bench_close(bench);
}
END_TEST

START_TEST(test_read_only)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, true);
    ck_assert(block_drive_read_only(bench->drive));
    submit(bench, TRACE_BLOCK_WRITE, 0, 1, 0);
    submit(bench, TRACE_BLOCK_DISCARD, 0, 1, 0);
    submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    submit(bench, TRACE_BLOCK_READ, 0, 1, 0);
    settle(bench);
    ck_assert_int_eq(bench->job[0].status, STATUS_READ_ONLY);
    ck_assert_int_eq(bench->job[1].status, STATUS_READ_ONLY);
    ck_assert_int_eq(bench->job[2].status, STATUS_OK);
    ck_assert_int_eq(bench->job[3].status, STATUS_OK);
    ck_assert_uint_eq(bench->probe->log_count, 2);
    bench_close(bench);
}
END_TEST

START_TEST(test_image_errors)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    bench->probe->fail_read = STATUS_IO;
    bench->probe->fail_write = STATUS_NO_SPACE;
    bench->probe->fail_flush = STATUS_IO;
    submit(bench, TRACE_BLOCK_READ, 0, 2, 0x55);
    submit(bench, TRACE_BLOCK_WRITE, 50, 1, 0x66);
    submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    settle(bench);
    ck_assert_int_eq(bench->job[0].status, STATUS_IO);
    for (size_t n = 0; n < 1024; n++)
        ck_assert_uint_eq(bench->job[0].data[n], 0);
    ck_assert_int_eq(bench->job[1].status, STATUS_NO_SPACE);
    ck_assert_int_eq(bench->job[2].status, STATUS_IO);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_HOST_WRITE), 0);
    bench_close(bench);
}
END_TEST

START_TEST(test_statistics)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    const struct block_stats *stats = block_drive_stats(bench->drive);
    ck_assert(!stats->active);
    submit(bench, TRACE_BLOCK_WRITE, 100, 4, 0x11);
    submit(bench, TRACE_BLOCK_WRITE, 7, 1, 0x22);
    submit(bench, TRACE_BLOCK_READ, 100, 2, 0);
    submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    submit(bench, TRACE_BLOCK_READ, SECTORS, 1, 0);
    settle(bench);
    bench->probe->fail_read = STATUS_IO;
    submit(bench, TRACE_BLOCK_READ, 0, 2, 0);
    settle(bench);
    const struct block_operations *read = &stats->operation[TRACE_BLOCK_READ];
    const struct block_operations *write = &stats->operation[TRACE_BLOCK_WRITE];
    ck_assert_uint_eq(write->operations, 2);
    ck_assert_uint_eq(write->bytes, 5 * 512);
    ck_assert_uint_eq(stats->write_highest_bytes, 104 * 512);
    ck_assert_uint_eq(read->operations, 1);
    ck_assert_uint_eq(read->bytes, 1024);
    ck_assert_uint_eq(read->invalid, 1);
    ck_assert_uint_eq(read->failed, 1);
    ck_assert_uint_eq(stats->operation[TRACE_BLOCK_FLUSH].operations, 1);
    ck_assert_uint_eq(stats->operation[TRACE_BLOCK_DISCARD].operations, 0);
    /* Both writes were submitted at time 0 and served one after the other. */
    uint64_t first_ns = 0, second_ns = 0;
    for (size_t n = 0; n < bench->fake->event_count; n++) {
        const struct trace_event *event = &bench->fake->events[n];
        if (event->kind == TRACE_BLOCK_COMPLETION && event->tag < 2)
            *(event->tag ? &second_ns : &first_ns) = event->position.vtime_ns;
        if (event->kind == TRACE_BLOCK_COMPLETION)
            ck_assert_uint_le(event->position.vtime_ns, stats->last_ns);
    }
    ck_assert_uint_gt(first_ns, 0);
    ck_assert_uint_eq(write->total_time_ns, first_ns + second_ns);
    bench_close(bench);
}
END_TEST

/* An input that gives outcomes of its own and never asks for the host's. */
static uint64_t scripted_pull(struct input *input, enum input_id id, struct position position,
                              uint64_t (*fetch)(void *opaque), void *opaque)
{
    (void)input, (void)position, (void)opaque;
    ck_assert_int_eq(id, INPUT_IO_STATUS);
    ck_assert_ptr_nonnull(fetch);
    return (uint64_t)(int64_t)STATUS_IO;
}

START_TEST(test_outcome_is_an_input)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    struct input_ops ops = *bench->fake->input->ops;
    const struct input_ops *live = bench->fake->input->ops;
    ops.pull = scripted_pull;
    bench->fake->input->ops = &ops;
    submit(bench, TRACE_BLOCK_READ, 0, 1, 0x55);
    submit(bench, TRACE_BLOCK_WRITE, 7, 1, 0x66);
    settle(bench);
    ck_assert_int_eq(bench->job[0].status, STATUS_IO);
    ck_assert_int_eq(bench->job[1].status, STATUS_IO);
    ck_assert_uint_eq(bench->job[0].data[1], 0);
    ck_assert_uint_eq(bench->probe->log_count, 2); /* the work was done all the same */
    ck_assert_uint_eq(bench->probe->bytes[7 * 512], 0x66);
    bench->fake->input->ops = live;
    bench_close(bench);
}
END_TEST

/* ---- abandonment ---- */

START_TEST(test_abandon)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 3, false, false);
    submit(bench, TRACE_BLOCK_WRITE, 5, 1, 0x31);
    submit(bench, TRACE_BLOCK_WRITE, 5, 1, 0x32);
    submit(bench, TRACE_BLOCK_READ, 5, 1, 0x44);
    submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    submit(bench, TRACE_BLOCK_READ, SECTORS, 1, 0x44);
    block_drive_abandon(bench->drive);
    ck_assert_uint_eq(bench->probe->log_count, 4); /* at once */
    ck_assert_uint_eq(bench->probe->bytes[5 * 512], 0x32);
    ck_assert_uint_eq(block_drive_room(bench->drive), BLOCK_PENDING_MAX);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_BLOCK_COMPLETION), 5);
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    ck_assert_uint_eq(bench->completed, 0);
    ck_assert_uint_eq(bench->job[2].data[0], 0x44); /* the device's buffer was not touched */
    bench_close(bench);
}
END_TEST

static void post_completion(struct bench *bench, uint32_t tag, enum status status)
{
    input_mailbox_post(bench->fake->mailbox,
                       (struct input_message){INPUT_BLOCK_COMPLETION, 2, tag, (uint64_t)(int64_t)status});
}

START_TEST(test_abandon_under_host_timing)
{
    struct bench *bench = bench_open(BLOCK_TIMING_HOST, 0, false, false);
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 5, 1, 0x31);
    struct job *held_back = submit(bench, TRACE_BLOCK_WRITE, 5, 1, 0x32);
    machine_reset(bench->fake->machine);
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    ck_assert_uint_eq(bench->probe->log_count, 0); /* the host has not said that it is done */
    post_completion(bench, write->request.tag, STATUS_OK);
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    post_completion(bench, held_back->request.tag, STATUS_OK);
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    ck_assert_uint_eq(bench->completed, 0);
    ck_assert_uint_eq(bench->probe->bytes[5 * 512], 0x32);
    ck_assert_uint_eq(block_drive_room(bench->drive), BLOCK_PENDING_MAX);
    bench_close(bench);
}
END_TEST

/* ---- host timing ---- */

START_TEST(test_deferred)
{
    struct bench *bench = bench_open(BLOCK_TIMING_HOST, 0, false, false);
    struct job *slow = submit(bench, TRACE_BLOCK_READ, 10, 1, 0);
    struct job *quick = submit(bench, TRACE_BLOCK_READ, 20, 1, 0);
    struct job *bad = submit(bench, TRACE_BLOCK_READ, 30, 1, 0x99);
    struct job *range = submit(bench, TRACE_BLOCK_READ, SECTORS, 1, 0);
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    ck_assert_uint_eq(bench->completed, 1);
    ck_assert_int_eq(range->status, STATUS_INVALID);
    post_completion(bench, quick->request.tag, STATUS_OK);
    post_completion(bench, slow->request.tag, STATUS_OK);
    post_completion(bench, bad->request.tag, STATUS_IO);
    settle(bench);
    ck_assert_uint_eq(quick->order, 2);
    ck_assert_uint_eq(slow->order, 3);
    ck_assert_uint_eq(slow->data[1], probe_byte(10, 1));
    ck_assert_uint_eq(quick->data[1], probe_byte(20, 1));
    ck_assert_int_eq(bad->status, STATUS_IO);
    ck_assert_uint_eq(bad->data[0], 0);
    bench_close(bench);
}
END_TEST

/* A completion that no request waits for: the run stops, it does not go on with a guess. */
START_TEST(test_unknown_completion)
{
    struct bench *bench = bench_open(BLOCK_TIMING_HOST, 0, false, false);
    submit(bench, TRACE_BLOCK_WRITE, 0, 4, 0);
    struct job *held_back = submit(bench, TRACE_BLOCK_READ, 0, 4, 0);
    post_completion(bench, held_back->request.tag, STATUS_OK); /* not started yet: its write is not done */
    struct position limit = {machine_position(bench->fake->machine).icount + 1000000, VTIME_NEVER};
    ck_assert_int_eq(machine_run(bench->fake->machine, limit), MACHINE_STOP_ERROR);
    ck_assert_uint_eq(bench->completed, 0);
    bench_close(bench);
}
END_TEST

static void wait_for(struct bench *bench, unsigned completions)
{
    for (unsigned n = 0; n < 1000 && bench->completed < completions; n++) {
        (void)input_mailbox_wait(bench->fake->mailbox, 10000000);
        fake_machine_advance_ns(bench->fake, 200000);
    }
    ck_assert_uint_eq(bench->completed, completions);
}

START_TEST(test_threads)
{
    struct bench *bench = bench_open(BLOCK_TIMING_HOST, 0, true, false);
    for (unsigned n = 0; n < 8; n++) {
        submit(bench, TRACE_BLOCK_WRITE, 16 * n, 16, (uint8_t)(0x80 + n));
        submit(bench, TRACE_BLOCK_READ, 16 * n + 8, 16, 0);
    }
    struct job *flush = submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    wait_for(bench, 17);
    ck_assert_uint_eq(flush->order, 17);
    for (unsigned n = 0; n < 8; n++) {
        const struct job *read = &bench->job[2 * n + 1];
        ck_assert_int_eq(read->status, STATUS_OK);
        ck_assert_uint_eq(read->data[0], 0x80 + n);
        /* The second half belongs to the next write, which came later: it must not be seen. */
        ck_assert_uint_eq(read->data[8 * 512], probe_byte(16 * n + 16, 0));
    }
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_HOST_WRITE), 9);
    bench_close(bench);
}
END_TEST

/* The machine ends with work under way: nothing leaks, nothing is lost that was started. */
START_TEST(test_threads_end_early)
{
    bool destroyed = false;
    struct bench *bench = bench_open(BLOCK_TIMING_HOST, 0, true, false);
    bench->probe->destroyed = &destroyed;
    for (unsigned n = 0; n < 16; n++)
        submit(bench, TRACE_BLOCK_WRITE, 32 * n, 32, 1);
    bench_close(bench);
    ck_assert(destroyed);
}
END_TEST

/* ---- saved state ---- */

static struct device *drive_device(struct bench *bench)
{
    struct device *device = machine_device_find(bench->fake->machine, "drive2");
    ck_assert_ptr_nonnull(device);
    return device;
}

START_TEST(test_save_and_load)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 9, false, false);
    submit(bench, TRACE_BLOCK_READ, 900, 1, 0);
    settle(bench);
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 40, 3, 0x5C);
    struct job *read = submit(bench, TRACE_BLOCK_READ, 42, 2, 0);
    struct device *device = drive_device(bench);
    const struct state_field *fields = device->class->fields;
    size_t size = state_size(fields), payload_size = block_drive_payload_bytes(bench->drive);
    ck_assert_uint_eq(payload_size, 3 * 512);
    uint8_t *state = malloc(size), *payload = malloc(payload_size);
    state_save(fields, device, state);
    block_drive_payload_save(bench->drive, payload);
    uint64_t digest = state_digest(fields, device, 0);
    struct position saved_at = machine_position(bench->fake->machine);

    struct bench *other = bench_open(BLOCK_TIMING_MODEL, 9, false, false);
    fake_machine_advance_ns(other->fake, saved_at.vtime_ns);
    struct device *loaded = drive_device(other);
    ck_assert_int_eq(state_load(fields, loaded, state, size), STATUS_OK);
    ck_assert_int_eq(block_drive_payload_load(other->drive, payload, payload_size - 1), STATUS_CORRUPT);
    payload[5] ^= 1;
    ck_assert_int_eq(block_drive_payload_load(other->drive, payload, payload_size), STATUS_CORRUPT);
    payload[5] ^= 1;
    ck_assert_int_eq(block_drive_payload_load(other->drive, payload, payload_size), STATUS_OK);
    loaded->class->post_load(loaded);
    ck_assert_uint_eq(state_digest(fields, loaded, 0), digest);
    for (unsigned n = 1; n < 3; n++) {
        struct job *job = &other->job[other->job_count++];
        job->data = calloc(4, 512);
        job->request = bench->job[n].request;
        job->request.data = job->data;
        job->request.opaque = other;
        ck_assert(block_reattach(other->drive, &job->request));
    }
    struct block_request nobody = {.tag = 77};
    ck_assert(!block_reattach(other->drive, &nobody));
    settle(bench);
    settle(other);
    ck_assert_int_eq(write->status, STATUS_OK);
    ck_assert_uint_eq(other->probe->bytes[40 * 512], 0x5C);
    ck_assert_mem_eq(other->job[1].data, read->data, 1024);
    ck_assert_uint_eq(read->data[0], 0x5C);
    /* The last completions happened at the same position. */
    const struct trace_event *a = &bench->fake->events[bench->fake->event_count - 1];
    const struct trace_event *b = &other->fake->events[other->fake->event_count - 1];
    ck_assert_int_eq(a->kind, TRACE_BLOCK_COMPLETION);
    ck_assert_int_eq(b->kind, TRACE_BLOCK_COMPLETION);
    ck_assert_uint_eq(a->position.vtime_ns, b->position.vtime_ns);
    ck_assert_uint_eq(a->value, b->value);
    ck_assert_uint_eq(state_digest(fields, device, 0), state_digest(fields, loaded, 0));
    free(state);
    free(payload);
    bench_close(bench);
    bench_close(other);
}
END_TEST

/* Bytes that no machine has saved: dropped, not believed. */
START_TEST(test_load_rubbish)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, 0, false, false);
    struct device *device = drive_device(bench);
    const struct state_field *fields = device->class->fields;
    size_t size = state_size(fields);
    uint8_t *state = malloc(size);
    srand(1);
    for (unsigned round = 0; round < 200; round++) {
        for (size_t n = 0; n < size; n++)
            state[n] = (uint8_t)(rand() % (round % 2 ? 3 : 2));
        if (state_load(fields, device, state, size) == STATUS_OK)
            device->class->post_load(device);
        fake_machine_advance_ns(bench->fake, 1000000);
        device->class->reset(device);
        ck_assert_uint_eq(block_drive_room(bench->drive), BLOCK_PENDING_MAX);
    }
    free(state);
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tcase = tcase_create("queue");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_write_then_read);
    tcase_add_loop_test(tcase, test_lent_buffers, 0, 2);
    tcase_add_test(tcase, test_no_room);
    tcase_add_test(tcase, test_overlap_order);
    tcase_add_test(tcase, test_flush_is_a_barrier);
    tcase_add_test(tcase, test_seeds_vary_order_and_repeat);
    tcase_add_test(tcase, test_latency_model);
    tcase_add_test(tcase, test_out_of_range);
    tcase_add_test(tcase, test_read_only);
    tcase_add_test(tcase, test_image_errors);
    tcase_add_test(tcase, test_statistics);
    tcase_add_test(tcase, test_outcome_is_an_input);
    tcase_add_test(tcase, test_abandon);
    tcase_add_test(tcase, test_abandon_under_host_timing);
    tcase_add_test(tcase, test_deferred);
    tcase_add_test(tcase, test_unknown_completion);
    tcase_add_test(tcase, test_threads);
    tcase_add_test(tcase, test_threads_end_early);
    tcase_add_test(tcase, test_save_and_load);
    tcase_add_test(tcase, test_load_rubbish);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
