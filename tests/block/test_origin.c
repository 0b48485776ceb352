/* Where a request comes from and what the block layer did for it: origin and segments in the trace, the log of steps at the
 * request's end, with host stacks; a machine of older kinds has none of the events. */
#include "block/block.h"
#include "block/host_file.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTORS 64u
#define ENOUGH_NS 100000000u
#define LOGS_MAX 8u

struct log {
    uint32_t drive, tag;
    struct block_step step[8];
    size_t count;
    char path[128];
};

struct bench {
    struct fake_machine *fake;
    struct block_executor *executor;
    struct block_drive *drive;
    struct log log[LOGS_MAX];
    unsigned log_count, completions, captures;
    char path[64];
};

static void logged(void *opaque, uint32_t drive, uint32_t tag, const struct block_activity *activity)
{
    struct bench *bench = opaque;
    struct log *log = &bench->log[bench->log_count++];
    ck_assert_uint_le(bench->log_count, LOGS_MAX);
    ck_assert_uint_le(activity->count, 8);
    ck_assert_uint_eq(activity->lost, 0);
    *log = (struct log){.drive = drive, .tag = tag, .count = activity->count};
    memcpy(log->step, activity->step, activity->count * sizeof *activity->step);
    if (activity->path[0])
        snprintf(log->path, sizeof log->path, "%s", activity->path[0]);
}

static uint32_t captured(void *opaque)
{
    struct bench *bench = opaque;
    return __atomic_add_fetch(&bench->captures, 1, __ATOMIC_RELAXED);
}

static void completed(void *opaque, struct block_request *request, enum status status)
{
    struct bench *bench = opaque;
    (void)request;
    ck_assert_int_eq(status, STATUS_OK);
    bench->completions++;
}

static struct bench *bench_open(enum block_timing timing, bool stacks)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    snprintf(bench->path, sizeof bench->path, "/tmp/vmrr-origin-%d.img", (int)getpid());
    ck_assert_ptr_nonnull(bench);
    bench->fake = fake_machine_create(1 << 20);
    fake_machine_use_idle_accel(bench->fake);
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_threads_create(bench->fake->mailbox, 2);
    struct host_file_options create = {.create = true};
    struct host_file *file = host_file_open(bench->path, &create, &error);
    ck_assert_msg(file && host_file_resize(file, SECTORS * 512, HOST_PREALLOC_OFF) == STATUS_OK, "%s", error.text);
    struct block_queue_options options = {
        .drive = 3, .timing = timing, .executor = bench->executor, .watcher = {.done = logged, .opaque = bench}};
    if (stacks)
        options.watcher.stacks = (struct block_stacks){captured, bench};
    struct block_image *image = block_raw_open(file, &error);
    ck_assert_msg(image != NULL, "%s", error.text);
    bench->drive = block_drive_create(bench->fake->machine, &options, image, &error);
    ck_assert_msg(bench->drive != NULL, "%s", error.text);
    return bench;
}

static void bench_close(struct bench *bench)
{
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    unlink(bench->path);
    free(bench);
}

static void settle(struct bench *bench, unsigned completions)
{
    for (unsigned n = 0; n < 10000 && bench->completions < completions; n++) {
        fake_machine_advance_ns(bench->fake, ENOUGH_NS);
        if (bench->executor)
            usleep(1000); /* the host has its own time */
    }
    ck_assert_uint_eq(bench->completions, completions);
}

static const struct trace_event *event_of(struct bench *bench, enum trace_kind kind, unsigned number)
{
    for (size_t n = 0; n < bench->fake->event_count; n++) {
        if (bench->fake->events[n].kind == kind && !number--)
            return &bench->fake->events[n];
    }
    return NULL;
}

START_TEST(test_origin_and_segments)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, false);
    uint8_t data[3 * 512] = {1};
    struct block_segment segments[2] = {{0x1000, 1024}, {0x80000, 512}};
    struct block_request request = {.op = TRACE_BLOCK_WRITE,
                                    .sector = 5,
                                    .sectors = 3,
                                    .fua = true,
                                    .data = data,
                                    .complete = completed,
                                    .opaque = bench,
                                    .command = 0xFF0000CA,
                                    .segment = segments,
                                    .segment_count = 2};
    block_submit(bench->drive, &request);
    const struct trace_event *asked = event_of(bench, TRACE_BLOCK_REQUEST, 0);
    const struct trace_event *origin = event_of(bench, TRACE_BLOCK_ORIGIN, 0);
    ck_assert_ptr_nonnull(origin);
    ck_assert(origin == asked + 1 && position_equal(origin->position, asked->position));
    ck_assert_uint_eq(origin->drive, 3);
    ck_assert_uint_eq(origin->tag, request.tag);
    ck_assert_uint_eq(origin->op, 0xCA); /* 24 bits */
    ck_assert_uint_eq(origin->flags, TRACE_ORIGIN_FUA);
    for (unsigned n = 0; n < 2; n++) {
        const struct trace_event *segment = event_of(bench, TRACE_BLOCK_SEGMENT, n);
        ck_assert(segment == origin + 1 + n);
        ck_assert_uint_eq(segment->address, segments[n].gpa);
        ck_assert_uint_eq(segment->size_bytes, segments[n].size_bytes);
        ck_assert_uint_eq(segment->drive, 3);
    }
    settle(bench, 1);
    bench_close(bench);
}
END_TEST

START_TEST(test_segments_are_bounded)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, false);
    struct block_segment *segments = calloc(BLOCK_SEGMENTS_TRACED + 7, sizeof *segments);
    block_trace_segments(bench->drive, 9, segments, BLOCK_SEGMENTS_TRACED + 7);
    ck_assert_uint_eq(fake_machine_count_events(bench->fake, TRACE_BLOCK_SEGMENT), BLOCK_SEGMENTS_TRACED);
    free(segments);
    bench_close(bench);
}
END_TEST

static void submit(struct bench *bench, struct block_request *request, enum trace_block_op op, void *data)
{
    *request = (struct block_request){.op = op,
                                      .sector = 8,
                                      .sectors = op == TRACE_BLOCK_FLUSH ? 0 : 2,
                                      .data = data,
                                      .complete = completed,
                                      .opaque = bench};
    block_submit(bench->drive, request);
}

/* Both ways of doing the work give the same logs, in the order of completion, before the events of the end. */
START_TEST(test_steps)
{
    struct bench *bench = bench_open(_i ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL, false);
    static const enum trace_block_op ops[] = {TRACE_BLOCK_WRITE, TRACE_BLOCK_FLUSH, TRACE_BLOCK_READ,
                                              TRACE_BLOCK_DISCARD};
    static const enum block_step_kind kinds[] = {BLOCK_STEP_HOST_WRITE, BLOCK_STEP_HOST_FLUSH, BLOCK_STEP_HOST_READ,
                                                 BLOCK_STEP_HOST_ZERO};
    struct block_request request[4];
    uint8_t data[1024] = {7};
    for (unsigned n = 0; n < 4; n++) {
        submit(bench, &request[n], ops[n], data);
        settle(bench, n + 1);
        const struct log *log = &bench->log[n];
        ck_assert_uint_eq(bench->log_count, n + 1);
        ck_assert_uint_eq(log->drive, 3);
        ck_assert_uint_eq(log->tag, request[n].tag);
        ck_assert_uint_eq(log->count, 1);
        ck_assert_uint_eq(log->step[0].kind, kinds[n]);
        ck_assert_uint_eq(log->step[0].stack, 0);
        ck_assert_str_eq(log->path, bench->path);
        ck_assert_uint_eq(log->step[0].offset, ops[n] == TRACE_BLOCK_FLUSH ? 0 : 8 * 512);
        ck_assert_uint_eq(log->step[0].size_bytes, ops[n] == TRACE_BLOCK_FLUSH ? 0 : 1024);
    }
    bench_close(bench);
}
END_TEST

/* With stacks: one of the submission, and one of each call that changes the host; reading has none. */
START_TEST(test_stacks)
{
    struct bench *bench = bench_open(_i ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL, true);
    struct block_request request;
    uint8_t data[1024] = {7};
    submit(bench, &request, TRACE_BLOCK_WRITE, data);
    if (!_i) /* a worker may be ahead of us */
        ck_assert_uint_eq(bench->captures, 1);
    settle(bench, 1);
    ck_assert_uint_eq(bench->captures, 2);
    ck_assert_uint_eq(bench->log[0].count, 2);
    ck_assert_uint_eq(bench->log[0].step[0].kind, BLOCK_STEP_SUBMIT);
    ck_assert_uint_eq(bench->log[0].step[0].stack, 1);
    ck_assert_uint_eq(bench->log[0].step[1].kind, BLOCK_STEP_HOST_WRITE);
    ck_assert_uint_eq(bench->log[0].step[1].stack, 2);
    submit(bench, &request, TRACE_BLOCK_READ, data);
    settle(bench, 2);
    ck_assert_uint_eq(bench->log[1].step[1].kind, BLOCK_STEP_HOST_READ);
    ck_assert_uint_eq(bench->log[1].step[1].stack, 0);
    bench_close(bench);
}
END_TEST

static size_t emitted[TRACE_KIND_COUNT];

static void count(void *opaque, const struct trace_event *event)
{
    (void)opaque;
    emitted[event->kind]++;
}

/* A machine that is to make the kinds of an older run has no others. */
START_TEST(test_older_kinds)
{
    static const struct trace_sink_ops ops = {.emit = count};
    struct error error = {0};
    struct input_mailbox *mailbox = input_mailbox_create();
    struct input *input = input_live_create(&(struct input_live_options){.mailbox = mailbox});
    struct machine_options options = {
        .ram_bytes = 1 << 20, .input = input, .trace = {&ops, NULL}, .trace_kinds = _i ? 0 : TRACE_KINDS_FIRST};
    ck_assert_int_eq(cpu_model_init(&options.cpu, "max", &error), STATUS_OK);
    struct machine *machine = machine_create(&options, &error);
    struct block_queue_options queue = {.drive = 0};
    struct block_drive *drive =
        block_drive_create(machine, &queue, block_overlay_create(NULL, SECTORS, &error), &error);
    struct block_segment segment = {0x1000, 512};
    uint8_t data[512] = {1};
    struct block_request request = {.op = TRACE_BLOCK_WRITE,
                                    .sectors = 1,
                                    .data = data,
                                    .complete = completed,
                                    .segment = &segment,
                                    .segment_count = 1};
    memset(emitted, 0, sizeof emitted);
    block_submit(drive, &request);
    ck_assert_uint_eq(emitted[TRACE_BLOCK_REQUEST], 1);
    ck_assert_uint_eq(emitted[TRACE_BLOCK_ORIGIN], _i);
    ck_assert_uint_eq(emitted[TRACE_BLOCK_SEGMENT], _i);
    machine_destroy(machine);
    input_destroy(input);
    input_mailbox_destroy(mailbox);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("origin");
    TCase *tests = tcase_create("origin");
    tcase_add_test(tests, test_origin_and_segments);
    tcase_add_test(tests, test_segments_are_bounded);
    tcase_add_loop_test(tests, test_steps, 0, 2);
    tcase_add_loop_test(tests, test_older_kinds, 0, 2);
    tcase_add_loop_test(tests, test_stacks, 0, 2);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
