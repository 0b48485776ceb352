/* What a drive does with a request beside carrying it out: limits, faults on purpose, errors that stop the machine, discards
 * that are ignored; by the model and by the host, and across saved states. */
#include "block/fault.h"
#include "block/throttle.h"
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdio.h>

#define SECTORS 4096u
#define JOBS_MAX 64
#define SECOND_NS 1000000000ull

struct job {
    struct block_request request;
    uint8_t data[16 * 512];
    enum status status;
    unsigned completions;
    uint64_t ended_ns;
};

struct bench {
    struct fake_machine *fake;
    struct probe_image *probe;
    struct block_drive *drive;
    struct block_executor *executor;
    struct block_fault_rule rule[4];
    struct block_error_event error;
    unsigned errors;
    struct job job[JOBS_MAX];
    unsigned job_count;
};

static void completed(void *opaque, struct block_request *request, enum status status)
{
    struct job *job = (struct job *)(void *)((char *)request - offsetof(struct job, request));
    job->status = status;
    job->completions++;
    job->ended_ns = fake_machine_now_ns(((struct bench *)opaque)->fake);
}

static void failed(void *opaque, const struct block_error_event *event)
{
    struct bench *bench = opaque;
    bench->error = *event;
    bench->errors++;
}

static void keep_event(void *opaque, const struct block_error_event *event)
{
    *(struct block_error_event *)opaque = *event;
}

static void add_rule(struct bench *bench, unsigned n, const char *op, const char *lba, const char *when,
                     const char *kind)
{
    struct error error = {0};
    struct block_fault_rule *rule = &bench->rule[n];
    char when_key[8] = "nth";
    if (*when == '*')
        strcpy(when_key, "every");
    block_fault_begin(rule);
    ck_assert_int_eq(block_fault_set(rule, "drive", "2", &error), STATUS_OK);
    ck_assert_int_eq(block_fault_set(rule, "op", op, &error), STATUS_OK);
    if (lba)
        ck_assert_int_eq(block_fault_set(rule, "lba", lba, &error), STATUS_OK);
    ck_assert_int_eq(block_fault_set(rule, when_key, *when == '*' ? when + 1 : when, &error), STATUS_OK);
    ck_assert_msg(!block_fault_set(rule, "kind", kind, &error), "%s", error.text);
    ck_assert_msg(!block_fault_check(rule, &error), "%s", error.text);
}

/* _i of the tests: 0 model, 1 host with workers, 2 host, deferred. */
static struct bench *bench_open(int kind, struct block_policy policy)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    for (unsigned n = 0; n < 4; n++)
        block_fault_begin(&bench->rule[n]); /* ops 0: about nothing */
    bench->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(bench->fake);
    bench->probe = probe_create(SECTORS, 0);
    if (kind)
        bench->executor =
            kind == 1 ? block_executor_threads_create(bench->fake->mailbox, 3) : block_executor_deferred_create();
    struct block_queue_options options = {.drive = 2,
                                          .timing = kind ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL,
                                          .executor = bench->executor,
                                          .policy = policy,
                                          .fault_rules = bench->rule,
                                          .fault_rule_count = 4};
    bench->drive = block_drive_create(bench->fake->machine, &options, &bench->probe->image, &error);
    ck_assert_ptr_nonnull(bench->drive);
    block_drive_on_error(bench->drive, failed, bench);
    return bench;
}

static void bench_close(struct bench *bench)
{
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

static struct job *submit(struct bench *bench, enum trace_block_op op, uint64_t sector, uint32_t sectors, uint8_t fill)
{
    struct job *job = &bench->job[bench->job_count++];
    memset(job->data, fill, sizeof job->data);
    job->request = (struct block_request){
        .op = op, .sector = sector, .sectors = sectors, .data = job->data, .complete = completed, .opaque = bench};
    block_submit(bench->drive, &job->request);
    return job;
}

/* Deferred: nobody posts the completions but the test. */
static void advance(struct bench *bench, int kind, uint64_t ns)
{
    uint64_t until_ns = fake_machine_now_ns(bench->fake) + ns;
    while (fake_machine_now_ns(bench->fake) < until_ns) {
        uint64_t left_ns = until_ns - fake_machine_now_ns(bench->fake);
        if (kind == 1)
            (void)input_mailbox_wait(bench->fake->mailbox, 1000000);
        (void)machine_run(bench->fake->machine, (struct position){machine_position(bench->fake->machine).icount +
                                                                      (left_ns < 2000000 ? left_ns : 2000000),
                                                                  0});
    }
}

static void settle(struct bench *bench, int kind)
{
    for (unsigned n = 0; n < 200; n++) {
        unsigned open = 0;
        for (unsigned k = 0; k < bench->job_count; k++)
            open += !bench->job[k].completions;
        if (!open)
            return;
        advance(bench, kind, 10000000);
    }
    ck_abort_msg("a request did not end");
}

static struct job *done(struct bench *bench, int kind, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                        uint8_t fill)
{
    struct job *job = submit(bench, op, sector, sectors, fill);
    settle(bench, kind);
    return job;
}

static uint8_t on_image(struct bench *bench, uint64_t sector)
{
    return bench->probe->bytes[sector * 512 + 3];
}

static uint8_t original(uint64_t sector)
{
    return probe_byte(sector, 3);
}

static const struct block_policy faulty = {.asks_faults = true};

/* ---- faults ---- */

START_TEST(test_fault_errors)
{
    struct bench *bench = bench_open(_i, faulty);
    add_rule(bench, 0, "write", "10-19", "2", "eio");
    add_rule(bench, 1, "read", NULL, "*2", "eio");
    add_rule(bench, 2, "flush", NULL, "1", "enospc");
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 5, 1, 0x11)->status, STATUS_OK); /* outside */
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 8, 3, 0x22)->status, STATUS_OK); /* first, by its last sector */
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 19, 2, 0x33)->status, STATUS_IO);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 20, 2, 0x33)->status, STATUS_OK);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 19, 1, 0x44)->status, STATUS_OK); /* once only */
    ck_assert_uint_eq(on_image(bench, 10), 0x22);
    ck_assert_uint_eq(on_image(bench, 19), 0x44);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_FLUSH, 0, 0, 0)->status, STATUS_NO_SPACE);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_READ, 10, 1, 0)->status, STATUS_OK);
    struct job *read = done(bench, _i, TRACE_BLOCK_READ, 10, 1, 0x99);
    ck_assert_int_eq(read->status, STATUS_IO);
    ck_assert_uint_eq(read->data[3], 0);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_READ, 10, 1, 0)->status, STATUS_OK);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_READ, 10, 1, 0)->status, STATUS_IO);
    ck_assert_uint_eq(bench->errors, 4);
    ck_assert_int_eq(bench->error.action, BLOCK_ON_ERROR_REPORT);
    bench_close(bench);
}
END_TEST

START_TEST(test_fault_content)
{
    struct bench *bench = bench_open(_i, faulty);
    add_rule(bench, 0, "write", "100-199", "1", "torn:2");
    add_rule(bench, 1, "write", "200-299", "1", "lost");
    add_rule(bench, 2, "write", "300-399", "1", "flip:515:7");
    add_rule(bench, 3, "read", "300-399", "2", "flip:3:0");
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 100, 4, 0x55)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 101), 0x55);
    ck_assert_uint_eq(on_image(bench, 102), original(102));
    size_t host_writes = fake_machine_count_events(bench->fake, TRACE_HOST_WRITE);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 200, 1, 0x55)->status, STATUS_OK);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_HOST_WRITE), host_writes);
    ck_assert_uint_eq(on_image(bench, 200), original(200));
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 300, 1, 0x55)->status, STATUS_OK); /* too short to be meant */
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 300, 2, 0x55)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 300), 0x55);
    ck_assert_uint_eq(on_image(bench, 301), 0xD5);
    ck_assert_uint_eq(bench->probe->bytes[301 * 512 + 4], 0x55);
    ck_assert_uint_eq(done(bench, _i, TRACE_BLOCK_READ, 300, 1, 0)->data[3], 0x55);
    ck_assert_uint_eq(done(bench, _i, TRACE_BLOCK_READ, 300, 1, 0)->data[3], 0x54);
    ck_assert_uint_eq(on_image(bench, 300), 0x55);
    bench_close(bench);
}
END_TEST

START_TEST(test_fault_delay)
{
    struct bench *bench = bench_open(_i, faulty);
    add_rule(bench, 0, "write", NULL, "1", "delay:50000000");
    struct job *late = submit(bench, TRACE_BLOCK_WRITE, 7, 1, 0x11), *same = submit(bench, TRACE_BLOCK_READ, 7, 1, 0);
    struct job *other = submit(bench, TRACE_BLOCK_READ, 90, 1, 0);
    settle(bench, _i);
    ck_assert_uint_ge(late->ended_ns, 50000000);
    ck_assert_uint_ge(same->ended_ns, late->ended_ns); /* they overlap */
    ck_assert_uint_lt(other->ended_ns, 50000000);
    ck_assert_uint_eq(same->data[3], 0x11);
    bench_close(bench);
}
END_TEST

START_TEST(test_fault_reorder)
{
    struct bench *bench = bench_open(_i, faulty);
    add_rule(bench, 0, "write", "40-49", "*1", "reorder");
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 40, 2, 0x11)->status, STATUS_OK);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 60, 1, 0x22)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 40), original(40)); /* a later write is there, this one not: a power cut shows */
    ck_assert_uint_eq(on_image(bench, 60), 0x22);
    struct job *read = done(bench, _i, TRACE_BLOCK_READ, 39, 4, 0);
    ck_assert_uint_eq(read->data[3], original(39));
    ck_assert_uint_eq(read->data[512 + 3], 0x11);
    ck_assert_uint_eq(read->data[1024 + 3], 0x11);
    ck_assert_uint_eq(read->data[1536 + 3], original(42));
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 41, 1, 0x33)->status, STATUS_OK); /* on top of it */
    ck_assert_uint_eq(on_image(bench, 40), 0x11);
    ck_assert_uint_eq(on_image(bench, 41), 0x11);
    ck_assert_uint_eq(done(bench, _i, TRACE_BLOCK_READ, 41, 1, 0)->data[3], 0x33);
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_FLUSH, 0, 0, 0)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 41), 0x33);
    for (unsigned n = 0; n < 10; n++) /* more than the drive keeps: the rest are plain writes */
        ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 40 + n, 1, (uint8_t)(0x80 + n))->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 47), original(47));
    ck_assert_uint_eq(on_image(bench, 48), 0x88);
    bench->probe->fail_write = STATUS_IO;
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_FLUSH, 0, 0, 0)->status, STATUS_IO);
    bench->probe->fail_write = STATUS_OK;
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_FLUSH, 0, 0, 0)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 47), 0x87);
    bench_close(bench);
}
END_TEST

START_TEST(test_rule_text)
{
    static const char *const bad[][2] = {{"op", "write-back"}, {"lba", "9-3"},
                                         {"lba", "x"},         {"nth", "0"},
                                         {"every", "-1"},      {"kind", "torn"},
                                         {"kind", "torn:"},    {"kind", "flip:1:8"},
                                         {"kind", "eio:3"},    {"kind", "delay:99999999999999999999"},
                                         {"drive", "256"},     {"color", "red"}};
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        struct block_fault_rule rule;
        struct error error = {0};
        block_fault_begin(&rule);
        ck_assert_msg(block_fault_set(&rule, bad[n][0], bad[n][1], &error) == STATUS_INVALID, "%s=%s", bad[n][0],
                      bad[n][1]);
        ck_assert_ptr_nonnull(strstr(error.text, "expected"));
    }
    static const char *const pairs[][2] = {
        {"read", "torn:1"}, {"read", "lost"}, {"flush", "flip:0:0"}, {"read", "enospc"}};
    for (size_t n = 0; n < sizeof pairs / sizeof pairs[0]; n++) {
        struct block_fault_rule rule;
        struct error error = {0};
        block_fault_begin(&rule);
        ck_assert_int_eq(block_fault_check(&rule, NULL), STATUS_INVALID);
        ck_assert_int_eq(block_fault_set(&rule, "op", pairs[n][0], &error), STATUS_OK);
        ck_assert_int_eq(block_fault_set(&rule, "kind", pairs[n][1], &error), STATUS_OK);
        ck_assert_int_eq(block_fault_check(&rule, &error), STATUS_INVALID);
    }
}
END_TEST

/* ---- errors ---- */

START_TEST(test_stop_and_retry)
{
    struct bench *bench =
        bench_open(_i, (struct block_policy){.werror = BLOCK_ON_ERROR_ENOSPC, .rerror = BLOCK_ON_ERROR_STOP});
    bench->probe->fail_write = STATUS_NO_SPACE;
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 7, 1, 0x11);
    unsigned stops = 0;
    for (unsigned n = 0; n < 200 && stops < 3; n++) {
        if (_i == 1)
            (void)input_mailbox_wait(bench->fake->mailbox, 1000000);
        stops += machine_run(bench->fake->machine,
                             (struct position){machine_position(bench->fake->machine).icount + 2000000, 0}) ==
                 MACHINE_STOP_IO_ERROR;
    }
    ck_assert_uint_eq(stops, 3);
    ck_assert_uint_eq(bench->errors, 3);
    ck_assert_int_eq(bench->error.action, BLOCK_ON_ERROR_STOP);
    ck_assert_uint_eq(write->completions, 0);
    bench->probe->fail_write = STATUS_OK;
    settle(bench, _i);
    ck_assert_int_eq(write->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 7), 0x11);
    bench->probe->fail_write = STATUS_IO; /* enospc: others are reported */
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 7, 1, 0x22)->status, STATUS_IO);
    ck_assert_int_eq(bench->error.action, BLOCK_ON_ERROR_REPORT);
    bench_close(bench);
}
END_TEST

/* Whatever rerror= and werror= say: it stops once for each request, which is not tried again and ends with the error. */
START_TEST(test_corrupt_stops)
{
    struct bench *bench =
        bench_open(_i, (struct block_policy){.werror = BLOCK_ON_ERROR_IGNORE, .rerror = BLOCK_ON_ERROR_REPORT});
    static const enum trace_block_op ops[] = {TRACE_BLOCK_WRITE, TRACE_BLOCK_READ};
    bench->probe->fail_write = bench->probe->fail_read = STATUS_CORRUPT;
    bench->probe->corrupt = "image: contradicts itself";
    for (unsigned n = 0; n < 2; n++) {
        struct job *job = submit(bench, ops[n], 7, 1, 0x11);
        unsigned stops = 0;
        for (unsigned tries = 0; tries < 200 && !stops; tries++) {
            if (_i == 1)
                (void)input_mailbox_wait(bench->fake->mailbox, 1000000);
            stops += machine_run(bench->fake->machine,
                                 (struct position){machine_position(bench->fake->machine).icount + 2000000, 0}) ==
                     MACHINE_STOP_IO_ERROR;
        }
        ck_assert_uint_eq(stops, 1);
        ck_assert_uint_eq(bench->errors, n + 1);
        ck_assert_int_eq(bench->error.action, BLOCK_ON_ERROR_STOP);
        ck_assert(bench->error.has_corruption && bench->error.corruption.offset == 4096);
        settle(bench, _i);
        ck_assert_uint_eq(job->completions, 1);
        ck_assert_int_eq(job->status, STATUS_CORRUPT);
        ck_assert_uint_eq(bench->errors, n + 1);
    }
    bench_close(bench);
}
END_TEST

/* What an image could not write at the end is said. */
START_TEST(test_lost_at_the_end)
{
    struct bench *bench = bench_open(_i, (struct block_policy){0});
    struct block_error_event last = {0};
    (void)done(bench, _i, TRACE_BLOCK_WRITE, 7, 1, 0x11);
    ck_assert_uint_eq(bench->errors, 0);
    bench->probe->fail_settle = STATUS_NO_SPACE;
    block_drive_on_error(bench->drive, keep_event, &last);
    bench_close(bench);
    ck_assert(last.closing && !last.has_corruption);
    ck_assert_int_eq(last.status, STATUS_NO_SPACE);
}
END_TEST

START_TEST(test_ignore)
{
    struct bench *bench =
        bench_open(_i, (struct block_policy){.werror = BLOCK_ON_ERROR_IGNORE, .rerror = BLOCK_ON_ERROR_IGNORE});
    bench->probe->fail_write = bench->probe->fail_read = STATUS_IO;
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 7, 1, 0x11)->status, STATUS_OK);
    struct job *read = done(bench, _i, TRACE_BLOCK_READ, 7, 1, 0x99);
    ck_assert_int_eq(read->status, STATUS_OK);
    ck_assert_uint_eq(read->data[3], 0);
    const struct trace_event *last = &bench->fake->events[bench->fake->event_count - 1];
    ck_assert(last->kind != TRACE_BLOCK_COMPLETION || last->status == STATUS_IO); /* what happened is traced */
    ck_assert_uint_eq(bench->errors, 2);
    bench_close(bench);
}
END_TEST

/* A bit that was flipped for the first attempt is not flipped for good. */
START_TEST(test_retry_asks_again)
{
    struct bench *bench = bench_open(_i, (struct block_policy){.asks_faults = true, .werror = BLOCK_ON_ERROR_STOP});
    add_rule(bench, 0, "write", NULL, "1", "flip:3:1");
    bench->probe->fail_write = STATUS_IO;
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 7, 1, 0x10);
    while (!bench->errors)
        advance(bench, _i, 1000000);
    bench->probe->fail_write = STATUS_OK;
    settle(bench, _i);
    ck_assert_int_eq(write->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 7), 0x10);
    bench_close(bench);
}
END_TEST

/* ---- discard, write cache ---- */

START_TEST(test_discard_ignored)
{
    struct bench *bench = bench_open(_i, (struct block_policy){.keep_discarded = true});
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_DISCARD, 7, 4, 0)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 7), original(7));
    ck_assert_uint_eq(bench->probe->log_count, 0);
    ck_assert(!block_drive_discards(bench->drive));
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE_ZEROES, 7, 4, 0)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(bench, 7), 0);
    bench_close(bench);
}
END_TEST

START_TEST(test_write_through)
{
    struct bench *bench = bench_open(_i, (struct block_policy){.write_through = true});
    ck_assert(!block_drive_write_cache(bench->drive));
    ck_assert_int_eq(done(bench, _i, TRACE_BLOCK_WRITE, 7, 1, 1)->status, STATUS_OK);
    const struct probe_operation *log = bench->probe->log; /* a flush may be shared: then it is a step of its own */
    ck_assert(log[0].fua || (bench->probe->log_count == 2 && log[1].op == TRACE_BLOCK_FLUSH));
    bench_close(bench);
}
END_TEST

/* ---- limits ---- */

/* Requests admitted as early as the bucket lets them, for a second and a half. */
static uint64_t admitted_in(const struct block_throttle_config *config, enum trace_block_op op, uint64_t size_bytes,
                            uint64_t ns)
{
    struct block_throttle throttle = {0};
    uint64_t now_ns = 5, count = 0;
    while (now_ns < ns) {
        uint64_t ready_ns = block_throttle_admit_ns(&throttle, config, op, size_bytes, now_ns);
        ck_assert_uint_ge(ready_ns, now_ns);
        count += ready_ns == now_ns;
        now_ns = ready_ns;
    }
    return count;
}

START_TEST(test_throttle_rates)
{
    struct block_throttle_config config = {0};
    config.limit[BLOCK_LIMIT_BPS_WRITE].average = 1u << 20;
    /* 10 s at 1 MiB/s in 64 KiB, and a tenth of a second's worth at once. */
    uint64_t count = admitted_in(&config, TRACE_BLOCK_WRITE, 65536, 10 * SECOND_NS);
    ck_assert_uint_ge(count, 160);
    ck_assert_uint_le(count, 163);
    struct block_throttle idle = {0};
    ck_assert_uint_eq(block_throttle_admit_ns(&idle, &config, TRACE_BLOCK_READ, 1u << 30, 5), 5);
    ck_assert_uint_eq(block_throttle_admit_ns(&idle, &config, TRACE_BLOCK_READ, 1u << 30, 5), 5);
    ck_assert_uint_eq(block_throttle_admit_ns(&idle, &config, TRACE_BLOCK_FLUSH, 0, 5), 5);

    config = (struct block_throttle_config){0};
    config.limit[BLOCK_LIMIT_IOPS_TOTAL].average = 100;
    count = admitted_in(&config, TRACE_BLOCK_READ, 512, 10 * SECOND_NS);
    ck_assert_uint_ge(count, 1010);
    ck_assert_uint_le(count, 1012);
    config.iops_size_bytes = 4096;
    count = admitted_in(&config, TRACE_BLOCK_READ, 16384, 10 * SECOND_NS);
    ck_assert_uint_ge(count, 250);
    ck_assert_uint_le(count, 255);

    /* A burst of 3 s at 1000, then 100. */
    config = (struct block_throttle_config){0};
    config.limit[BLOCK_LIMIT_IOPS_READ].average = 100;
    config.limit[BLOCK_LIMIT_IOPS_READ].maximum = 1000;
    config.limit[BLOCK_LIMIT_IOPS_READ].burst_seconds = 3;
    count = admitted_in(&config, TRACE_BLOCK_READ, 512, 2 * SECOND_NS);
    ck_assert_uint_ge(count, 2000);
    ck_assert_uint_le(count, 2102);
    count = admitted_in(&config, TRACE_BLOCK_READ, 512, 20 * SECOND_NS);
    ck_assert_uint_ge(count, 3000 + 1600);
    ck_assert_uint_le(count, 3000 + 2101);
}
END_TEST

START_TEST(test_throttled_drive)
{
    struct block_policy policy = {0};
    policy.throttle.limit[BLOCK_LIMIT_IOPS_WRITE].average = 20;
    struct bench *bench = bench_open(_i, policy);
    for (unsigned n = 0; n < 12; n++)
        (void)submit(bench, TRACE_BLOCK_WRITE, n, 1, (uint8_t)n);
    struct job *read = submit(bench, TRACE_BLOCK_READ, 500, 1, 0);
    settle(bench, _i);
    ck_assert_uint_lt(read->ended_ns, 300000000); /* it is not limited */
    ck_assert_uint_ge(bench->job[11].ended_ns, 400000000);
    ck_assert_uint_le(bench->job[11].ended_ns, 700000000);
    for (unsigned n = 0; n < 12; n++)
        ck_assert_uint_eq(on_image(bench, n), n);
    bench_close(bench);
}
END_TEST

/* ---- saved state: kept writes, paused requests and buckets go along ---- */

START_TEST(test_saved_state)
{
    struct block_policy policy = {.asks_faults = true};
    policy.throttle.limit[BLOCK_LIMIT_IOPS_READ].average = 10;
    struct bench *a = bench_open(0, policy), *b = bench_open(0, policy);
    add_rule(a, 0, "write", "40-49", "*1", "reorder");
    add_rule(a, 1, "write", "50-59", "1", "delay:20000000");
    (void)done(a, 0, TRACE_BLOCK_WRITE, 40, 2, 0x11);
    (void)submit(a, TRACE_BLOCK_WRITE, 50, 1, 0x22);
    struct device *from = machine_device_find(a->fake->machine, "drive2"),
                  *to = machine_device_find(b->fake->machine, "drive2");
    size_t size = state_size(from->class->fields), payload = block_drive_payload_bytes(a->drive);
    uint8_t *state = malloc(size), *data = malloc(payload);
    ck_assert_uint_eq(payload, 3 * 512);
    state_save(from->class->fields, from, state);
    block_drive_payload_save(a->drive, data);
    ck_assert_int_eq(state_load(to->class->fields, to, state, size), STATUS_OK);
    data[700] ^= 1;
    ck_assert_int_eq(block_drive_payload_load(b->drive, data, payload), STATUS_CORRUPT);
    data[700] ^= 1;
    ck_assert_int_eq(block_drive_payload_load(b->drive, data, payload), STATUS_OK);
    to->class->post_load(to);
    ck_assert_uint_eq(state_digest(from->class->fields, from, 0), state_digest(to->class->fields, to, 0));
    advance(b, 0, 100000000);
    ck_assert_uint_eq(on_image(b, 50), 0x22);
    ck_assert_uint_eq(on_image(b, 40), original(40));
    ck_assert_uint_eq(done(b, 0, TRACE_BLOCK_READ, 41, 1, 0)->data[3], 0x11);
    ck_assert_int_eq(done(b, 0, TRACE_BLOCK_FLUSH, 0, 0, 0)->status, STATUS_OK);
    ck_assert_uint_eq(on_image(b, 40), 0x11);
    free(state);
    free(data);
    bench_close(a);
    bench_close(b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_add_loop_test(tcase, test_fault_errors, 0, 2);
    tcase_add_loop_test(tcase, test_fault_content, 0, 2);
    tcase_add_loop_test(tcase, test_fault_delay, 0, 2);
    tcase_add_loop_test(tcase, test_fault_reorder, 0, 2);
    tcase_add_test(tcase, test_rule_text);
    tcase_add_loop_test(tcase, test_stop_and_retry, 0, 2);
    tcase_add_loop_test(tcase, test_corrupt_stops, 0, 2);
    tcase_add_loop_test(tcase, test_lost_at_the_end, 0, 2);
    tcase_add_loop_test(tcase, test_ignore, 0, 2);
    tcase_add_loop_test(tcase, test_retry_asks_again, 0, 2);
    tcase_add_loop_test(tcase, test_discard_ignored, 0, 2);
    tcase_add_loop_test(tcase, test_write_through, 0, 2);
    tcase_add_test(tcase, test_throttle_rates);
    tcase_add_loop_test(tcase, test_throttled_drive, 0, 2);
    tcase_add_test(tcase, test_saved_state);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
