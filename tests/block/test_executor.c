/* Executors and engines on real files: many requests under way at once, as fio --verify would: each sector says what it was
 * last written with, and every read is held against that. By every aio=, with and without O_DIRECT, aligned and not; on raw
 * files, and on qcow2 images, whose own functions and transfers then run at the same time. */
#include "block/engine.h"
#include "block/host_file.h"
#include "block/qcow2.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTORS 4096u
#define DEPTH 24u
#define ROUNDS 1200u

struct request {
    struct block_request block;
    uint8_t *data;
    bool busy;
    uint32_t stamp;
};

struct stress {
    struct fake_machine *fake;
    struct block_drive *drive;
    struct block_executor *executor;
    struct request request[DEPTH];
    uint32_t stamp[SECTORS]; /* what each sector holds when all is done */
    unsigned open, failures;
    bool model;
    uint64_t seed;
};

static char path[64], base_path[64];
static atomic_uint located[2]; /* reads, writes */

static uint32_t draw(struct stress *stress, uint32_t limit)
{
    stress->seed = stress->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(stress->seed >> 33) % limit;
}

static void put_stamp(uint8_t *sector, uint32_t stamp)
{
    for (unsigned n = 0; n < 512; n += 4)
        memcpy(sector + n, &stamp, 4);
}

static bool has_stamp(const uint8_t *sector, uint32_t stamp)
{
    uint8_t expected[512];
    put_stamp(expected, stamp);
    return !memcmp(sector, expected, 512);
}

static void completed(void *opaque, struct block_request *block, enum status status)
{
    struct stress *stress = opaque;
    struct request *request = (struct request *)(void *)block;
    request->busy = false;
    stress->open--;
    stress->failures += status != STATUS_OK;
    for (uint32_t n = 0; block->op == TRACE_BLOCK_READ && n < block->sectors; n++)
        stress->failures += !has_stamp(request->data + n * 512, request->stamp ? request->stamp : 0);
}

/* A request of one stamp: a run of equal sectors is read, any is written. What is under way does not overlap it unless the
 * queue keeps the order, which is that of submission: so the table is right at submit. */
static void submit(struct stress *stress, struct request *request, bool aligned)
{
    uint32_t unit = aligned ? 8 : 1, kind = draw(stress, 20);
    uint64_t sector = draw(stress, SECTORS / unit) * unit;
    uint32_t sectors = (1 + draw(stress, aligned ? 4 : 30)) * unit;
    if (sector + sectors > SECTORS)
        sectors = (uint32_t)(SECTORS - sector);
    request->block = (struct block_request){.op = kind == 0   ? TRACE_BLOCK_FLUSH
                                                  : kind == 1 ? TRACE_BLOCK_WRITE_ZEROES
                                                  : kind == 2 ? TRACE_BLOCK_DISCARD
                                                  : kind < 10 ? TRACE_BLOCK_READ
                                                              : TRACE_BLOCK_WRITE,
                                            .sector = sector,
                                            .sectors = sectors,
                                            .fua = kind == 19,
                                            .data = request->data,
                                            .complete = completed,
                                            .opaque = stress};
    uint32_t stamp = kind < 10 ? 0 : draw(stress, UINT32_MAX);
    if (request->block.op == TRACE_BLOCK_READ) {
        stamp = stress->stamp[sector];
        for (uint32_t n = 0; n < sectors; n++) {
            if (stress->stamp[sector + n] != stamp)
                request->block.sectors = sectors = n;
        }
    } else if (request->block.op != TRACE_BLOCK_FLUSH) {
        for (uint32_t n = 0; n < sectors; n++)
            stress->stamp[sector + n] = stamp;
    }
    for (uint32_t n = 0; n < sectors; n++)
        put_stamp(request->data + n * 512, stamp);
    request->stamp = stamp;
    request->busy = true;
    stress->open++;
    block_submit(stress->drive, &request->block);
}

static void pass_time(struct stress *stress)
{
    if (!stress->model)
        (void)input_mailbox_wait(stress->fake->mailbox, 1000000);
    fake_machine_advance_ns(stress->fake, stress->model ? 20000000 : 100000);
}

static void run(struct stress *stress, bool aligned)
{
    for (unsigned done = 0; done < ROUNDS;) {
        for (unsigned n = 0; n < DEPTH && done < ROUNDS; n++) {
            if (stress->request[n].busy)
                continue;
            submit(stress, &stress->request[n], aligned);
            done++;
        }
        pass_time(stress);
    }
    for (unsigned n = 0; n < 100000 && stress->open; n++)
        pass_time(stress);
    ck_assert_uint_eq(stress->open, 0);
    ck_assert_uint_eq(stress->failures, 0);
}

static void check_file(const struct stress *stress)
{
    static uint8_t found[SECTORS * 512];
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(read(fd, found, sizeof found), (ssize_t)sizeof found);
    close(fd);
    for (uint32_t n = 0; n < SECTORS; n++)
        ck_assert_msg(has_stamp(found + n * 512, stress->stamp[n]), "sector %u", n);
}

struct mode {
    enum block_aio aio;
    bool direct, aligned, model;
    uint32_t align_bytes;
    const struct qcow2_create_options *qcow2; /* null: raw */
    bool backed;
};

static const struct mode modes[] = {
    {BLOCK_AIO_THREADS, false, false, false, 0, NULL, false},
    {BLOCK_AIO_THREADS, true, false, false, 4096, NULL, false},
    {BLOCK_AIO_THREADS, true, true, false, 0, NULL, false},
    {BLOCK_AIO_NATIVE, true, false, false, 0, NULL, false},
    {BLOCK_AIO_NATIVE, true, true, false, 4096, NULL, false},
    {BLOCK_AIO_NATIVE, true, false, false, 4096, NULL, false},
    {BLOCK_AIO_IO_URING, false, false, false, 0, NULL, false},
    {BLOCK_AIO_IO_URING, true, true, false, 0, NULL, false},
    {BLOCK_AIO_IO_URING, true, false, false, 4096, NULL, false},
    {BLOCK_AIO_IO_URING, false, false, true, 0, NULL, false},
    {BLOCK_AIO_NATIVE, true, false, true, 0, NULL, false},
};

static const struct qcow2_create_options plain = {.cluster_bits = 16},
                                         small = {.cluster_bits = 12, .lazy_refcounts = true},
                                         tiny = {.cluster_bits = 9},
                                         subclusters = {.cluster_bits = 14, .extended_l2 = true},
                                         placed = {.cluster_bits = 12, .preallocation = QCOW2_PREALLOC_METADATA};
static const struct mode qcow2_modes[] = {
    {BLOCK_AIO_THREADS, false, false, false, 0, &plain, false},
    {BLOCK_AIO_THREADS, false, false, false, 0, &small, true},
    {BLOCK_AIO_THREADS, false, false, false, 0, &tiny, true},
    {BLOCK_AIO_THREADS, true, false, false, 4096, &subclusters, true},
    {BLOCK_AIO_NATIVE, true, true, false, 0, &small, true},
    {BLOCK_AIO_NATIVE, true, false, false, 4096, &tiny, false},
    {BLOCK_AIO_NATIVE, true, false, false, 0, &subclusters, false},
    {BLOCK_AIO_IO_URING, false, false, false, 0, &small, false},
    {BLOCK_AIO_IO_URING, false, false, false, 0, &subclusters, true},
    {BLOCK_AIO_IO_URING, true, true, false, 0, &placed, false},
    {BLOCK_AIO_IO_URING, false, false, true, 0, &plain, true},
};

static void make_file(char name[64], const uint32_t *stamp)
{
    uint8_t sector[512];
    strcpy(name, "./vmrr-test-executor-XXXXXX");
    int fd = mkstemp(name);
    ck_assert_int_eq(ftruncate(fd, SECTORS * 512), 0);
    for (uint32_t n = 0; stamp && n < SECTORS; n++) {
        put_stamp(sector, stamp[n]);
        ck_assert_int_eq(pwrite(fd, sector, 512, (off_t)n * 512), 512);
    }
    close(fd);
}

static void make_qcow2(struct stress *stress, const struct mode *mode)
{
    struct qcow2_create_options create = *mode->qcow2;
    struct error error = {0};
    create.size_bytes = SECTORS * 512;
    if (mode->backed) {
        for (uint32_t n = 0; n < SECTORS; n++)
            stress->stamp[n] = n / 70 % 3 * (n / 70 + 1);
        make_file(base_path, stress->stamp);
        create.backing_name = base_path;
        create.backing_format = "raw";
    }
    struct host_file *file = host_file_open(path, &(struct host_file_options){.create = true}, &error);
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(block_qcow2_create(file, &create, &error), STATUS_OK);
    host_file_close(file);
}

/* ---- counting ---- */

static struct block_image_ops located_ops;
static bool (*real_locate)(struct block_image *image, uint64_t sector, uint32_t sectors, bool write,
                           struct block_place *place);

static bool noting_locate(struct block_image *image, uint64_t sector, uint32_t sectors, bool write,
                          struct block_place *place)
{
    bool found = real_locate(image, sector, sectors, write, place);
    located[write] += found;
    return found;
}

static struct block_image *count_located(struct block_image *image)
{
    located[0] = located[1] = 0;
    if (!image)
        return NULL;
    located_ops = *image->ops;
    real_locate = located_ops.locate;
    located_ops.locate = noting_locate;
    image->ops = &located_ops;
    return image;
}

static struct block_image *open_image(struct stress *stress, const struct mode *mode)
{
    struct error error = {0};
    make_file(path, NULL);
    if (mode->qcow2)
        make_qcow2(stress, mode);
    struct host_file_options host = {.direct = mode->direct, .align_bytes = mode->align_bytes};
    struct block_open_options options = {.format = mode->qcow2 ? "qcow2" : "raw", .host = &host};
    return count_located(block_image_open(path, &options, &error));
}

/* False: not on this host. */
static bool stress_open(struct stress *stress, const struct mode *mode)
{
    struct error error = {0};
    struct block_image *image = open_image(stress, mode);
    stress->fake = fake_machine_create(1u << 20);
    fake_machine_use_idle_accel(stress->fake);
    stress->executor = block_executor_threads_create(stress->fake->mailbox, 4);
    if (!image || block_executor_threads_enable(stress->executor, mode->aio, &error)) {
        fprintf(stderr, "not tested here: %s\n", image ? error.text : "O_DIRECT");
        block_image_destroy(image);
        return false;
    }
    struct block_queue_options options = {.drive = 0,
                                          .timing = mode->model ? BLOCK_TIMING_MODEL : BLOCK_TIMING_HOST,
                                          .executor = stress->executor,
                                          .aio = mode->aio};
    stress->model = mode->model;
    stress->drive = block_drive_create(stress->fake->machine, &options, image, &error);
    ck_assert_ptr_nonnull(stress->drive);
    for (unsigned n = 0; n < DEPTH; n++)
        stress->request[n].data = malloc(64 * 512);
    return true;
}

static void close_machine(struct stress *stress)
{
    fake_machine_end(stress->fake);
    block_executor_destroy(stress->executor);
    fake_machine_destroy(stress->fake);
    for (unsigned n = 0; n < DEPTH; n++)
        free(stress->request[n].data);
}

static void stress_close(struct stress *stress)
{
    if (stress->fake)
        close_machine(stress);
    free(stress);
    unlink(path);
    unlink(base_path);
}

/* Through an image opened anew: nothing was in memory only, the tables are whole. */
static void check_qcow2(const struct stress *stress)
{
    static uint8_t found[SECTORS * 512];
    struct error error = {0};
    struct qcow2_check check = {0};
    struct block_image *image = block_image_open(path, &(struct block_open_options){.format = "qcow2"}, &error);
    ck_assert_ptr_nonnull(image);
    ck_assert_int_eq(block_qcow2_check(image, QCOW2_REPAIR_NONE, &check, &error), STATUS_OK);
    ck_assert_uint_eq(check.corruptions + check.leaks + check.errors, 0);
    ck_assert_int_eq(image->ops->read(image, 0, SECTORS, found), STATUS_OK);
    block_image_destroy(image);
    for (uint32_t n = 0; n < SECTORS; n++)
        ck_assert_msg(has_stamp(found + n * 512, stress->stamp[n]), "sector %u", n);
}

START_TEST(test_stress_qcow2)
{
    struct stress *stress = calloc(1, sizeof *stress);
    const struct mode *mode = &qcow2_modes[_i];
    stress->seed = 7 + (uint64_t)_i;
    if (stress_open(stress, mode)) {
        run(stress, mode->aligned);
        close_machine(stress);
        stress->fake = NULL;
        check_qcow2(stress);
        if (!mode->model || mode->aio != BLOCK_AIO_THREADS)
            ck_assert_msg(located[0] > 20 && located[1] > 20, "%u reads and %u writes were located", located[0],
                          located[1]);
    }
    stress_close(stress);
}
END_TEST

START_TEST(test_stress)
{
    struct stress *stress = calloc(1, sizeof *stress);
    stress->seed = 99 + (uint64_t)_i;
    if (stress_open(stress, &modes[_i])) {
        run(stress, modes[_i].aligned);
        check_file(stress);
    }
    stress_close(stress);
}
END_TEST

/* The file is cut short behind the image's back: the transfer comes back short, and the image's own read fails. */
START_TEST(test_short_transfer)
{
    struct mode mode = {.aio = (enum block_aio)_i, .direct = _i == BLOCK_AIO_NATIVE};
    struct stress *stress = calloc(1, sizeof *stress);
    if (stress_open(stress, &mode)) {
        ck_assert_int_eq(truncate(path, 100 * 512), 0);
        stress->request[0].block = (struct block_request){.op = TRACE_BLOCK_READ,
                                                          .sector = 96,
                                                          .sectors = 8,
                                                          .data = stress->request[0].data,
                                                          .complete = completed,
                                                          .opaque = stress};
        stress->open = 1;
        block_submit(stress->drive, &stress->request[0].block);
        for (unsigned n = 0; n < 10000 && stress->open; n++)
            pass_time(stress);
        ck_assert_uint_eq(stress->open, 0);
        ck_assert_uint_eq(stress->failures, 1); /* the status; the data are zeros, which the stamp 0 is */
    }
    stress_close(stress);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("executor");
    TCase *tcase = tcase_create("executor");
    tcase_add_loop_test(tcase, test_stress, 0, (int)(sizeof modes / sizeof modes[0]));
    tcase_add_loop_test(tcase, test_stress_qcow2, 0, (int)(sizeof qcow2_modes / sizeof qcow2_modes[0]));
    tcase_add_loop_test(tcase, test_short_transfer, 0, BLOCK_AIO_KINDS);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
