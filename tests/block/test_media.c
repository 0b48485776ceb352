/* What happens to the medium of a drive: another one, another size, another file, with requests under way. */
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdio.h>

#define SECTORS 1024u
#define DRIVE 3u
#define ENOUGH_NS 3000000000ull
#define JOBS_MAX 8u

struct job {
    struct block_request request;
    uint8_t data[8 * 512];
    enum status status;
    unsigned completions;
};

struct bench {
    struct fake_machine *fake;
    struct block_drive *drive;
    struct block_executor *executor;
    struct probe_image *first, *next; /* next: what the source gives */
    uint64_t asked_sectors;
    uint32_t asked_number;
    unsigned media_calls, resized_calls;
    enum block_media_change last_change;
    struct job job[JOBS_MAX];
    unsigned job_count;
};

static struct block_image *take(void *opaque, uint32_t drive, uint32_t number, uint64_t sectors)
{
    struct bench *bench = opaque;
    ck_assert_uint_eq(drive, DRIVE);
    bench->asked_number = number;
    bench->asked_sectors = sectors;
    return bench->next ? &bench->next->image : NULL;
}

static void media(void *opaque, enum block_media_change change)
{
    struct bench *bench = opaque;
    bench->media_calls++;
    bench->last_change = change;
}

static void resized(void *opaque)
{
    ((struct bench *)opaque)->resized_calls++;
}

static struct bench *bench_open(enum block_timing timing, struct block_image *image, bool removable)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(bench->fake);
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_deferred_create();
    struct block_queue_options options = {
        .drive = DRIVE, .timing = timing, .executor = bench->executor, .media = {take, bench}};
    bench->drive = block_drive_create(bench->fake->machine, &options, image, &error);
    ck_assert_msg(bench->drive, "%s", error.text);
    block_drive_listen(bench->drive, (struct block_listener){removable ? media : NULL, resized, bench});
    return bench;
}

static struct bench *probe_open(enum block_timing timing, bool removable)
{
    struct probe_image *probe = probe_create(SECTORS, 0);
    struct bench *bench = bench_open(timing, &probe->image, removable);
    bench->first = probe;
    return bench;
}

static void bench_close(struct bench *bench)
{
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

static void completed(void *opaque, struct block_request *request, enum status status)
{
    struct job *job = opaque;
    ck_assert_ptr_eq(request, &job->request);
    job->status = status;
    job->completions++;
}

static struct job *submit(struct bench *bench, enum trace_block_op op, uint64_t sector, uint32_t sectors, uint8_t fill)
{
    struct job *job = &bench->job[bench->job_count++];
    memset(job->data, fill, sizeof job->data);
    job->request = (struct block_request){
        .op = op, .sector = sector, .sectors = sectors, .data = job->data, .complete = completed, .opaque = job};
    block_submit(bench->drive, &job->request);
    return job;
}

static void settle(struct bench *bench)
{
    fake_machine_advance_ns(bench->fake, ENOUGH_NS);
    for (unsigned n = 0; n < bench->job_count; n++)
        ck_assert_uint_eq(bench->job[n].completions, 1);
}

static void deliver(struct bench *bench, enum input_id id, uint64_t a, uint64_t b)
{
    input_mailbox_post(bench->fake->mailbox, (struct input_message){.id = id, .target = DRIVE, .a = a, .b = b});
    machine_deliver(bench->fake->machine);
}

static void insert(struct bench *bench, uint32_t number, uint64_t sectors)
{
    deliver(bench, INPUT_MEDIA_CHANGE, BLOCK_MEDIA_LAID_IN | (uint64_t)number << 16, sectors);
}

static bool machine_runs(struct bench *bench)
{
    struct position limit = {machine_position(bench->fake->machine).icount + 1000, VTIME_NEVER};
    return machine_run(bench->fake->machine, limit) == MACHINE_STOP_LIMIT;
}

/* ---- another medium ---- */

START_TEST(what_is_under_way_fails_when_the_medium_goes)
{
    struct bench *bench = probe_open(BLOCK_TIMING_MODEL, true);
    bool destroyed = false;
    bench->first->destroyed = &destroyed;
    struct job *running = submit(bench, TRACE_BLOCK_READ, 10, 1, 0x55);
    struct job *waiting = submit(bench, TRACE_BLOCK_READ, 20, 1, 0x55);
    deliver(bench, INPUT_MEDIA_CHANGE, BLOCK_MEDIA_REMOVED, 0);
    ck_assert(destroyed);
    ck_assert(!block_drive_has_medium(bench->drive));
    ck_assert_uint_eq(block_drive_sectors(bench->drive), 0);
    ck_assert_uint_eq(bench->media_calls, 1);
    ck_assert_uint_eq(bench->last_change, BLOCK_MEDIA_REMOVED);
    struct job *none = submit(bench, TRACE_BLOCK_READ, 0, 1, 0x55), *flush = submit(bench, TRACE_BLOCK_FLUSH, 0, 0, 0);
    settle(bench);
    ck_assert_int_eq(running->status, STATUS_IO);
    ck_assert_int_eq(waiting->status, STATUS_IO);
    ck_assert_uint_eq(running->data[0], 0);
    ck_assert_int_eq(none->status, STATUS_INVALID);
    ck_assert_int_eq(flush->status, STATUS_INVALID);
    bench_close(bench);
}
END_TEST

START_TEST(the_next_medium_is_asked_for_by_its_number)
{
    struct bench *bench = probe_open(BLOCK_TIMING_MODEL, true);
    bench->next = probe_create(2 * SECTORS, 0);
    memset(bench->next->bytes, 0x42, (size_t)2 * SECTORS * 512);
    insert(bench, 77, 2 * SECTORS);
    ck_assert_uint_eq(bench->asked_number, 77);
    ck_assert_uint_eq(bench->asked_sectors, 2 * SECTORS);
    ck_assert_uint_eq(block_drive_sectors(bench->drive), 2 * SECTORS);
    ck_assert(block_drive_read_only(bench->drive));
    struct job *read = submit(bench, TRACE_BLOCK_READ, 2 * SECTORS - 1, 1, 0);
    struct job *write = submit(bench, TRACE_BLOCK_WRITE, 0, 1, 0);
    settle(bench);
    ck_assert_int_eq(read->status, STATUS_OK);
    ck_assert_uint_eq(read->data[511], 0x42);
    ck_assert_int_eq(write->status, STATUS_READ_ONLY);
    bench_close(bench);
}
END_TEST

/* The executor has the old one until its message comes. */
START_TEST(what_the_host_has_ends_on_the_medium_that_it_began_on)
{
    struct bench *bench = probe_open(BLOCK_TIMING_HOST, true);
    bool destroyed = false;
    bench->first->destroyed = &destroyed;
    bench->next = probe_create(SECTORS, 0);
    memset(bench->next->bytes, 0x42, (size_t)SECTORS * 512);
    struct job *old = submit(bench, TRACE_BLOCK_READ, 10, 1, 0);
    insert(bench, 16, SECTORS);
    ck_assert(!destroyed);
    struct job *new = submit(bench, TRACE_BLOCK_READ, 10, 1, 0);
    deliver(bench, INPUT_BLOCK_COMPLETION, new->request.tag, STATUS_OK);
    ck_assert(!destroyed);
    deliver(bench, INPUT_BLOCK_COMPLETION, old->request.tag, STATUS_OK);
    ck_assert(destroyed);
    settle(bench);
    ck_assert_uint_eq(old->data[1], probe_byte(10, 1));
    ck_assert_uint_eq(new->data[1], 0x42);
    bench_close(bench);
}
END_TEST

START_TEST(the_machine_goes_with_media_that_the_host_still_has)
{
    struct bench *bench = probe_open(BLOCK_TIMING_HOST, true);
    bool destroyed = false;
    bench->first->destroyed = &destroyed;
    submit(bench, TRACE_BLOCK_READ, 10, 1, 0);
    deliver(bench, INPUT_MEDIA_CHANGE, BLOCK_MEDIA_EJECTED, 0);
    deliver(bench, INPUT_MEDIA_CHANGE, BLOCK_MEDIA_REMOVED, 0);
    bench_close(bench);
    ck_assert(destroyed);
}
END_TEST

/* Messages come from files too. */
START_TEST(rubbish_is_no_medium)
{
    static const struct {
        uint64_t a, b;
        uint64_t sectors; /* of what the source gives; 0: nothing */
    } row[] = {{BLOCK_MEDIA_LAID_IN | 16 << 16, SECTORS, 0},
               {BLOCK_MEDIA_LAID_IN | 16 << 16, SECTORS, SECTORS / 2},
               {BLOCK_MEDIA_INSERTED | 16 << 16, 0, SECTORS},
               {BLOCK_MEDIA_INSERTED | 16 << 16, UINT64_MAX, SECTORS},
               {BLOCK_MEDIA_INSERTED | UINT64_MAX << 16, SECTORS, SECTORS}};
    for (size_t n = 0; n < sizeof row / sizeof row[0]; n++) {
        struct bench *bench = probe_open(BLOCK_TIMING_MODEL, true);
        bench->next = row[n].sectors ? probe_create(row[n].sectors, 0) : NULL;
        deliver(bench, INPUT_MEDIA_CHANGE, row[n].a, row[n].b);
        ck_assert_msg(!machine_runs(bench), "row %zu", n);
        if (bench->next && !bench->asked_number)
            block_image_destroy(&bench->next->image);
        bench_close(bench);
    }
}
END_TEST

START_TEST(a_fixed_disk_stays)
{
    struct bench *bench = probe_open(BLOCK_TIMING_MODEL, false);
    insert(bench, 16, SECTORS);
    deliver(bench, INPUT_MEDIA_CHANGE, BLOCK_MEDIA_REMOVED, 0);
    ck_assert_uint_eq(bench->asked_number, 0);
    ck_assert(block_drive_has_medium(bench->drive));
    ck_assert(!block_drive_tray(bench->drive).removable);
    ck_assert(machine_runs(bench));
    bench_close(bench);
}
END_TEST

START_TEST(a_removable_drive_may_start_empty)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL, NULL, true);
    ck_assert_uint_eq(block_drive_sectors(bench->drive), 0);
    ck_assert_ptr_null(block_drive_image(bench->drive));
    bench->next = probe_create(SECTORS, 0);
    insert(bench, 16, SECTORS);
    struct job *read = submit(bench, TRACE_BLOCK_READ, 5, 1, 0);
    settle(bench);
    ck_assert_uint_eq(read->data[3], probe_byte(5, 3));
    bench_close(bench);
}
END_TEST

/* ---- another size ---- */

static struct bench *overlay_open(enum block_timing timing)
{
    struct error error = {0};
    struct probe_image *probe = probe_create(SECTORS, 0);
    struct bench *bench = bench_open(timing, block_overlay_create(&probe->image, SECTORS, &error), false);
    bench->first = probe;
    return bench;
}

START_TEST(a_larger_drive_reads_zeros_behind)
{
    struct bench *bench = overlay_open(BLOCK_TIMING_MODEL);
    struct job *before = submit(bench, TRACE_BLOCK_READ, SECTORS, 1, 0);
    deliver(bench, INPUT_BLOCK_RESIZE, 2 * SECTORS, 0);
    ck_assert_uint_eq(bench->resized_calls, 1);
    ck_assert_uint_eq(block_drive_sectors(bench->drive), 2 * SECTORS);
    struct job *after = submit(bench, TRACE_BLOCK_READ, SECTORS - 1, 2, 0x55);
    settle(bench);
    ck_assert_int_eq(before->status, STATUS_INVALID);
    ck_assert_int_eq(after->status, STATUS_OK);
    ck_assert_uint_eq(after->data[1], probe_byte(SECTORS - 1, 1));
    ck_assert_uint_eq(after->data[512], 0);
    bench_close(bench);
}
END_TEST

START_TEST(what_lies_behind_a_nearer_end_is_gone)
{
    struct bench *bench = overlay_open(BLOCK_TIMING_MODEL);
    submit(bench, TRACE_BLOCK_WRITE, SECTORS - 8, 8, 0x77);
    settle(bench);
    struct job *behind = submit(bench, TRACE_BLOCK_READ, SECTORS - 4, 1, 0x55);
    struct job *across = submit(bench, TRACE_BLOCK_WRITE, SECTORS / 2 - 1, 2, 0x66);
    struct job *inside = submit(bench, TRACE_BLOCK_READ, 7, 1, 0x55);
    deliver(bench, INPUT_BLOCK_RESIZE, SECTORS / 2, 0);
    settle(bench);
    ck_assert_int_eq(behind->status, STATUS_INVALID);
    ck_assert_int_eq(across->status, STATUS_INVALID);
    ck_assert_int_eq(inside->status, STATUS_OK);
    deliver(bench, INPUT_BLOCK_RESIZE, SECTORS, 0);
    struct job *written = submit(bench, TRACE_BLOCK_READ, SECTORS - 8, 8, 0x55);
    struct job *old = submit(bench, TRACE_BLOCK_READ, SECTORS / 2 - 1, 2, 0x55);
    settle(bench);
    for (unsigned n = 0; n < 8 * 512; n++)
        ck_assert_uint_eq(written->data[n], 0);
    ck_assert_uint_eq(old->data[1], probe_byte(SECTORS / 2 - 1, 1));
    ck_assert_uint_eq(old->data[513], 0);
    bench_close(bench);
}
END_TEST

/* At the host when the end came nearer: fails whatever the host says, and what it did behind the end does not come back. */
START_TEST(a_request_at_the_host_that_no_longer_fits_fails)
{
    struct bench *bench = overlay_open(BLOCK_TIMING_HOST);
    struct job *across = submit(bench, TRACE_BLOCK_WRITE, SECTORS / 2 - 1, 2, 0x66);
    struct job *read = submit(bench, TRACE_BLOCK_READ, SECTORS - 1, 1, 0x55);
    deliver(bench, INPUT_BLOCK_RESIZE, SECTORS / 2, 0);
    deliver(bench, INPUT_BLOCK_COMPLETION, across->request.tag, STATUS_OK);
    deliver(bench, INPUT_BLOCK_COMPLETION, read->request.tag, STATUS_OK);
    ck_assert_int_eq(across->status, STATUS_INVALID);
    ck_assert_int_eq(read->status, STATUS_INVALID);
    ck_assert_uint_eq(read->data[0], 0);
    deliver(bench, INPUT_BLOCK_RESIZE, SECTORS, 0);
    struct job *again = submit(bench, TRACE_BLOCK_READ, SECTORS / 2 - 1, 2, 0x55);
    deliver(bench, INPUT_BLOCK_COMPLETION, again->request.tag, STATUS_OK);
    ck_assert_uint_eq(again->data[0], 0x66);
    ck_assert_uint_eq(again->data[512], 0);
    bench_close(bench);
}
END_TEST

START_TEST(sizes_that_cannot_be)
{
    struct bench *bench = overlay_open(BLOCK_TIMING_MODEL);
    deliver(bench, INPUT_BLOCK_RESIZE, 0, 0);
    deliver(bench, INPUT_BLOCK_RESIZE, UINT64_MAX, 0);
    ck_assert_uint_eq(block_drive_sectors(bench->drive), SECTORS);
    ck_assert_uint_eq(bench->resized_calls, 0);
    ck_assert(machine_runs(bench));
    bench_close(bench);
    bench = probe_open(BLOCK_TIMING_MODEL, false); /* an image that can't */
    deliver(bench, INPUT_BLOCK_RESIZE, 2 * SECTORS, 0);
    ck_assert(!machine_runs(bench));
    bench_close(bench);
}
END_TEST

/* ---- another file ---- */

START_TEST(an_exchanged_image_serves_what_waits)
{
    struct bench *bench = probe_open(BLOCK_TIMING_MODEL, false);
    struct probe_image *other = probe_create(SECTORS, 0);
    struct job *running = submit(bench, TRACE_BLOCK_WRITE, 10, 1, 0x77);
    ck_assert(!block_drive_quiesce(bench->drive));
    struct block_image *before = block_drive_exchange(bench->drive, &other->image);
    ck_assert_ptr_eq(before, &bench->first->image);
    settle(bench);
    ck_assert_int_eq(running->status, STATUS_OK);
    ck_assert_uint_eq(other->bytes[10 * 512], 0x77);
    ck_assert_uint_eq(bench->first->bytes[10 * 512], probe_byte(10, 0));
    block_image_destroy(before);
    bench_close(bench);
}
END_TEST

START_TEST(quiesce_waits_for_the_workers)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(bench->fake);
    bench->executor = block_executor_threads_create(bench->fake->mailbox, 2);
    bench->first = probe_create(SECTORS, 0);
    struct block_queue_options options = {.drive = DRIVE, .timing = BLOCK_TIMING_HOST, .executor = bench->executor};
    bench->drive = block_drive_create(bench->fake->machine, &options, &bench->first->image, &error);
    for (unsigned n = 0; n < JOBS_MAX; n++)
        submit(bench, TRACE_BLOCK_WRITE, 8 * n, 8, (uint8_t)(n + 1));
    ck_assert(block_drive_quiesce(bench->drive));
    for (unsigned n = 0; n < JOBS_MAX; n++)
        ck_assert_uint_eq(bench->first->bytes[8 * n * 512], n + 1);
    while (block_drive_quiesce(bench->drive))
        machine_deliver(bench->fake->machine);
    for (unsigned n = 0; n < JOBS_MAX; n++)
        ck_assert_uint_eq(bench->job[n].completions, 1);
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("media");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, what_is_under_way_fails_when_the_medium_goes);
    tcase_add_test(tests, the_next_medium_is_asked_for_by_its_number);
    tcase_add_test(tests, what_the_host_has_ends_on_the_medium_that_it_began_on);
    tcase_add_test(tests, the_machine_goes_with_media_that_the_host_still_has);
    tcase_add_test(tests, rubbish_is_no_medium);
    tcase_add_test(tests, a_fixed_disk_stays);
    tcase_add_test(tests, a_removable_drive_may_start_empty);
    tcase_add_test(tests, a_larger_drive_reads_zeros_behind);
    tcase_add_test(tests, what_lies_behind_a_nearer_end_is_gone);
    tcase_add_test(tests, a_request_at_the_host_that_no_longer_fits_fails);
    tcase_add_test(tests, sizes_that_cannot_be);
    tcase_add_test(tests, an_exchanged_image_serves_what_waits);
    tcase_add_test(tests, quiesce_waits_for_the_workers);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
