/* What the executor makes of requests that are under way together, by a file in memory that counts what it is asked:
 * transfers one behind the other are one call of the host, also those that were cut and come one by one; writes that must be
 * durable share flushes. */
#include "block/activity.h"
#include "block/block.h"
#include "block/host_file.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTORS 1024u
#define REQUESTS 8u
#define FOR_EVER_NS (3600ull * 1000000000)

struct tally_file {
    struct host_file file;
    uint8_t bytes[SECTORS * 512];
    atomic_uint reads, writes, transfers, pieces, flushes;
    unsigned writes_before_flush; /* the first flush takes until there were so many */
    bool refuses;                 /* transfers of several pieces */
    bool hidden;                  /* no transfers: all by the image's functions */
    uint64_t bad_offset;          /* a write there fails; 0: none does */
};

struct bench {
    struct tally_file *tally;
    struct fake_machine *fake;
    struct block_drive *drive;
    struct block_executor *executor;
    struct block_image_ops ops; /* raw's, not flat */
    struct block_request request[REQUESTS];
    uint8_t data[REQUESTS][512];
    unsigned open, failures;
    enum status expected[REQUESTS];
    unsigned told, told_wrong; /* the logs of the requests, each of its own write and a flush */
};

static struct tally_file *tally_of(struct host_file *file)
{
    return (struct tally_file *)(void *)file;
}

static enum status tally_read(struct host_file *file, uint64_t offset, void *buffer, uint64_t size_bytes)
{
    atomic_fetch_add(&tally_of(file)->reads, 1);
    memcpy(buffer, tally_of(file)->bytes + offset, size_bytes);
    return STATUS_OK;
}

static enum status tally_write(struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    atomic_fetch_add(&tally_of(file)->writes, 1);
    if (offset && offset == tally_of(file)->bad_offset)
        return STATUS_IO;
    memcpy(tally_of(file)->bytes + offset, buffer, size_bytes);
    return STATUS_OK;
}

static enum status tally_flush(struct host_file *file)
{
    struct tally_file *tally = tally_of(file);
    if (atomic_fetch_add(&tally->flushes, 1) == 0) {
        for (unsigned n = 0; n < 10000 && atomic_load(&tally->writes) < tally->writes_before_flush; n++)
            usleep(1000);
        usleep(50000); /* the writes are over, and wait for a flush */
    }
    return STATUS_OK;
}

static enum status tally_transfer(struct host_file *file, bool write, uint64_t offset, const struct iovec *piece,
                                  unsigned count)
{
    struct tally_file *tally = tally_of(file);
    atomic_fetch_add(&tally->transfers, 1);
    atomic_fetch_add(&tally->pieces, count);
    for (unsigned n = 0; n < count && !tally->refuses; n++) {
        if (write && offset && offset == tally->bad_offset)
            return STATUS_IO;
        if (write)
            memcpy(tally->bytes + offset, piece[n].iov_base, piece[n].iov_len);
        else
            memcpy(piece[n].iov_base, tally->bytes + offset, piece[n].iov_len);
        offset += piece[n].iov_len;
    }
    return tally->refuses ? STATUS_IO : STATUS_OK;
}

static int tally_descriptor(const struct host_file *file, uint64_t offset, const void *buffer, uint64_t size_bytes)
{
    (void)offset, (void)buffer, (void)size_bytes;
    return ((const struct tally_file *)(const void *)file)->hidden ? -1 : 1000; /* no engine: nobody uses it */
}

static void tally_close(struct host_file *file)
{
    (void)file; /* the bench's */
}

static const struct host_file_ops tally_ops = {.read = tally_read,
                                               .write = tally_write,
                                               .flush = tally_flush,
                                               .transfer = tally_transfer,
                                               .descriptor = tally_descriptor,
                                               .close = tally_close};

/* What sector n of the file holds at first, and what the writes put there. */
static void fill(uint8_t sector[512], unsigned n, bool written)
{
    memset(sector, (uint8_t)(n * 7 + (written ? 100 : 1)), 512);
}

static void watched(void *opaque, uint32_t drive, uint32_t tag, const struct block_activity *activity)
{
    struct bench *bench = opaque;
    const struct block_step *step = activity->step;
    (void)drive;
    bench->told++;
    bench->told_wrong += activity->count != 2 || step[0].kind != BLOCK_STEP_HOST_WRITE || step[0].status ||
                         step[0].offset != bench->request[tag % REQUESTS].sector * 512 || step[0].size_bytes != 512 ||
                         step[1].kind != BLOCK_STEP_HOST_FLUSH;
}

static struct bench *bench_open(bool flat)
{
    struct error error = {0};
    struct bench *bench = calloc(1, sizeof *bench);
    bench->tally = calloc(1, sizeof *bench->tally);
    bench->tally->file = (struct host_file){.ops = &tally_ops, .path = "tally", .size_bytes = SECTORS * 512};
    for (unsigned n = 0; n < SECTORS; n++)
        fill(bench->tally->bytes + n * 512, n, false);
    bench->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(bench->fake);
    bench->executor = block_executor_threads_create(bench->fake->mailbox, 4);
    struct block_queue_options options = {
        .timing = BLOCK_TIMING_HOST, .executor = bench->executor, .watcher = {.done = watched, .opaque = bench}};
    struct block_image *image = block_raw_open(&bench->tally->file, &error);
    bench->ops = *image->ops;
    bench->ops.flat = flat;
    image->ops = &bench->ops;
    bench->drive = block_drive_create(bench->fake->machine, &options, image, &error);
    ck_assert_ptr_nonnull(bench->drive);
    return bench;
}

static void bench_close(struct bench *bench)
{
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench->tally);
    free(bench);
}

static void completed(void *opaque, struct block_request *request, enum status status)
{
    struct bench *bench = opaque;
    uint8_t expected[512];
    fill(expected, (unsigned)request->sector, request->op == TRACE_BLOCK_WRITE);
    bench->open--;
    bench->failures += status != bench->expected[request - bench->request] || memcmp(request->data, expected, 512) != 0;
}

static void submit_cut(struct bench *bench, unsigned n, enum trace_block_op op, uint64_t sector, bool cut)
{
    bench->request[n] = (struct block_request){.op = op,
                                               .sector = sector,
                                               .sectors = 1,
                                               .fua = true,
                                               .cut = cut,
                                               .data = bench->data[n],
                                               .complete = completed,
                                               .opaque = bench};
    if (op == TRACE_BLOCK_WRITE)
        fill(bench->data[n], (unsigned)sector, true);
    bench->open++;
    block_submit(bench->drive, &bench->request[n]);
}

static void submit(struct bench *bench, unsigned n, enum trace_block_op op, uint64_t sector)
{
    submit_cut(bench, n, op, sector, false);
}

static void finish(struct bench *bench)
{
    for (unsigned n = 0; n < 20000 && bench->open; n++) {
        (void)input_mailbox_wait(bench->fake->mailbox, 1000000);
        fake_machine_advance_ns(bench->fake, 100000);
    }
    ck_assert_uint_eq(bench->open, 0);
    ck_assert_uint_eq(bench->failures, 0);
}

/* Submitted together: four one behind the other, and one elsewhere. Where the joint call fails, each is made by itself. */
START_TEST(test_adjacent)
{
    struct bench *bench = bench_open(_i & 1);
    enum trace_block_op op = _i & 4 ? TRACE_BLOCK_WRITE : TRACE_BLOCK_READ;
    bench->tally->refuses = _i & 2;
    block_hold(bench->drive);
    for (unsigned n = 0; n < 4; n++)
        submit(bench, n, op, 100 + n);
    submit(bench, 4, op, 200);
    usleep(20000);
    ck_assert_uint_eq(bench->tally->reads + bench->tally->writes + bench->tally->transfers, 0); /* held */
    block_release(bench->drive);
    finish(bench);
    ck_assert_uint_eq(bench->tally->transfers, 1);
    ck_assert_uint_eq(bench->tally->pieces, 4);
    ck_assert_uint_eq(bench->tally->reads + bench->tally->writes, bench->tally->refuses ? 5 : 1);
    bench_close(bench);
}
END_TEST

static unsigned calls(const struct bench *bench)
{
    return bench->tally->reads + bench->tally->writes + bench->tally->transfers;
}

/* Two pieces of one write, of which the device hears one by one: the first waits for the second. Each has its own outcome and
 * its own steps. */
START_TEST(test_cut)
{
    struct bench *bench = bench_open(_i != 1);
    bench->tally->refuses = _i == 2;
    bench->tally->bad_offset = _i == 3 ? 101 * 512 : 0;
    bench->expected[1] = _i == 3 ? STATUS_IO : STATUS_OK;
    block_executor_threads_await(bench->executor, FOR_EVER_NS);
    submit_cut(bench, 0, TRACE_BLOCK_WRITE, 100, true);
    usleep(20000);
    ck_assert_uint_eq(calls(bench), 0);
    submit(bench, 1, TRACE_BLOCK_WRITE, 101);
    finish(bench);
    ck_assert_uint_eq(bench->tally->transfers, 1);
    ck_assert_uint_eq(bench->tally->pieces, 2);
    ck_assert_uint_eq(bench->tally->writes, _i >= 2 ? 2 : 0);
    ck_assert_uint_eq(bench->told, 2);
    ck_assert_uint_eq(bench->told_wrong, _i == 3);
    bench_close(bench);
}
END_TEST

/* Others do not wait for it, and it does not wait for what does not come; nor at all, when it has been so for a while. */
START_TEST(test_cut_in_vain)
{
    struct bench *bench = bench_open(_i);
    block_executor_threads_await(bench->executor, FOR_EVER_NS);
    submit_cut(bench, 0, TRACE_BLOCK_WRITE, 100, true);
    submit(bench, 1, TRACE_BLOCK_WRITE, 300);
    for (unsigned n = 0; n < 20000 && bench->open == 2; n++) {
        (void)input_mailbox_wait(bench->fake->mailbox, 1000000);
        fake_machine_advance_ns(bench->fake, 100000);
    }
    ck_assert_uint_eq(bench->open, 1);
    ck_assert_uint_eq(calls(bench), 1);
    submit(bench, 1, TRACE_BLOCK_WRITE, 101);
    finish(bench);
    block_executor_threads_await(bench->executor, 1000000);
    for (unsigned n = 0; n < 8; n++) {
        submit_cut(bench, n, TRACE_BLOCK_WRITE, 110 + 2 * n, true);
        finish(bench);
    }
    block_executor_threads_await(bench->executor, FOR_EVER_NS);
    for (unsigned n = 0; n < 15; n++) {
        submit_cut(bench, 0, TRACE_BLOCK_WRITE, 130 + 2 * n, true);
        finish(bench);
    }
    ck_assert_uint_eq(bench->tally->transfers, 1);
    for (unsigned n = 0; n < 2; n++) { /* one in sixteen; and when it has come, all again */
        submit_cut(bench, 0, TRACE_BLOCK_WRITE, 200 + 2 * n, true);
        usleep(20000);
        submit(bench, 1, TRACE_BLOCK_WRITE, 201 + 2 * n);
        finish(bench);
        ck_assert_uint_eq(bench->tally->transfers, 2 + n);
    }
    bench_close(bench);
}
END_TEST

/* While the first write's flush lasts the others' transfers end: one more flush is enough for them, or a few where the host
 * is slow; one by one it would be eight. The same for an image without places to transfer to. */
START_TEST(test_shared_flush)
{
    struct bench *bench = bench_open(true);
    uint8_t expected[512];
    bench->tally->hidden = _i == 1;
    bench->tally->writes_before_flush = _i == 1 ? 1 : REQUESTS;
    for (unsigned n = 0; n < REQUESTS; n++)
        submit(bench, n, TRACE_BLOCK_WRITE, 100 + 2 * n);
    finish(bench);
    ck_assert_uint_eq(bench->tally->writes, REQUESTS);
    ck_assert_uint_ge(bench->tally->flushes, 1);
    ck_assert_uint_le(bench->tally->flushes, 4);
    for (unsigned n = 0; n < REQUESTS; n++) {
        fill(expected, 100 + 2 * n, true);
        ck_assert_mem_eq(bench->tally->bytes + (100 + 2 * n) * 512, expected, 512);
    }
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("executor, together");
    TCase *tcase = tcase_create("together");
    tcase_add_loop_test(tcase, test_adjacent, 0, 8);
    tcase_add_loop_test(tcase, test_cut, 0, 4);
    tcase_add_loop_test(tcase, test_cut_in_vain, 0, 2);
    tcase_add_loop_test(tcase, test_shared_flush, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
