/* Which ranges of a qcow2 image may be transferred beside its functions, what becomes of that when clusters are shared, packed,
 * given up or claimed by two, and that a transfer's write is flushed. */
#include "block/qcow2.h"
#include "tests/block/memory_file.h"

#include <check.h>

#define CLUSTER_SECTORS 8u

struct bench {
    struct memory_disk disk;
    struct block_image *image;
};

static struct bench bench_open(bool extended)
{
    struct bench bench;
    struct error error = {0};
    memory_disk_init(&bench.disk);
    struct qcow2_create_options create = {
        .size_bytes = 1 << 20, .cluster_bits = extended ? 14 : 12, .extended_l2 = extended};
    struct host_file *file = memory_file_open(&bench.disk, "image", false);
    ck_assert_int_eq(block_qcow2_create(file, &create, &error), STATUS_OK);
    host_file_close(file);
    return bench;
}

static void start(struct bench *bench)
{
    struct error error = {0};
    bench->image =
        block_qcow2_open(memory_file_open(&bench->disk, "image", false), &(struct block_open_options){0}, NULL, &error);
    ck_assert_ptr_nonnull(bench->image);
}

static void bench_close(struct bench *bench)
{
    block_image_destroy(bench->image);
    memory_disk_fini(&bench->disk);
}

static enum status put(struct bench *bench, uint64_t sector, uint32_t sectors, int byte)
{
    static uint8_t data[64 * 512];
    memset(data, byte, sizeof data);
    return bench->image->ops->write(bench->image, sector, sectors, data, false);
}

static bool found(struct bench *bench, uint64_t sector, uint32_t sectors, bool write, struct block_place *place)
{
    return bench->image->ops->locate(bench->image, sector, sectors, write, place);
}

static void expect(struct bench *bench, uint64_t sector, uint32_t sectors, bool reads, bool writes)
{
    struct block_place place;
    ck_assert_int_eq(found(bench, sector, sectors, false, &place), reads);
    ck_assert_int_eq(found(bench, sector, sectors, true, &place), writes);
}

START_TEST(test_places)
{
    struct bench bench = bench_open(false);
    struct block_place place;
    start(&bench);
    expect(&bench, 0, 8, false, false); /* a hole */
    ck_assert_int_eq(put(&bench, 0, 20, 1), STATUS_OK);
    expect(&bench, 0, 20, true, true);
    expect(&bench, 0, 24, true, true);
    expect(&bench, 0, 25, false, false); /* into the hole behind */
    ck_assert(found(&bench, 3, 2, false, &place));
    ck_assert_uint_eq(bench.disk.bytes[place.offset], 1);
    ck_assert_uint_eq(place.offset % 4096, 3 * 512);
    bench_close(&bench);
}
END_TEST

/* Opened anew: what the first change does must be done by a write of the image's own. */
START_TEST(test_first_change)
{
    struct bench bench = bench_open(false);
    start(&bench);
    ck_assert_int_eq(put(&bench, 0, 8, 1), STATUS_OK);
    block_image_destroy(bench.image);
    start(&bench);
    expect(&bench, 0, 8, true, false);
    ck_assert_int_eq(put(&bench, 0, 8, 2), STATUS_OK);
    expect(&bench, 0, 8, true, true);
    bench_close(&bench);
}
END_TEST

START_TEST(test_zero_discarded_packed)
{
    static const uint8_t data[4096];
    struct bench bench = bench_open(false);
    start(&bench);
    ck_assert_int_eq(put(&bench, 0, 32, 1), STATUS_OK);
    ck_assert_int_eq(block_image_zero(bench.image, 0, 8, false), STATUS_OK);
    ck_assert_int_eq(block_image_zero(bench.image, 8, 8, true), STATUS_OK);
    ck_assert_int_eq(block_qcow2_write_compressed(bench.image, 16, 8, data), STATUS_OK);
    expect(&bench, 0, 8, false, false);
    expect(&bench, 8, 8, false, false);
    expect(&bench, 16, 8, false, false);
    expect(&bench, 24, 8, true, true);
    bench_close(&bench);
}
END_TEST

START_TEST(test_shared)
{
    struct bench bench = bench_open(false);
    struct error error = {0};
    struct block_place old, new;
    start(&bench);
    ck_assert_int_eq(put(&bench, 0, 16, 1), STATUS_OK);
    ck_assert(found(&bench, 0, 8, true, &old));
    ck_assert_int_eq(block_qcow2_snapshot_create(bench.image, "s", 0, 0, &error), STATUS_OK);
    expect(&bench, 0, 8, false, false);
    ck_assert_int_eq(put(&bench, 2, 1, 2), STATUS_OK); /* copied */
    ck_assert(found(&bench, 0, 8, true, &new));
    ck_assert_uint_ne(old.offset, new.offset);
    expect(&bench, 8, 8, false, false);
    ck_assert_int_eq(block_qcow2_snapshot_delete(bench.image, "s", &error), STATUS_OK);
    expect(&bench, 8, 8, true, true);
    bench_close(&bench);
}
END_TEST

START_TEST(test_subclusters)
{
    struct bench bench = bench_open(true); /* of 512 bytes */
    struct block_place place, other;
    start(&bench);
    ck_assert_int_eq(put(&bench, 3, 2, 1), STATUS_OK);
    expect(&bench, 3, 2, true, true);
    expect(&bench, 3, 3, false, false);
    ck_assert(found(&bench, 3, 2, false, &place));
    ck_assert_int_eq(put(&bench, 6, 1, 1), STATUS_OK);
    ck_assert(found(&bench, 3, 2, false, &other));
    ck_assert_uint_eq(place.offset, other.offset);
    bench_close(&bench);
}
END_TEST

/* The flush after a transfer is one of the host, and only the first. */
START_TEST(test_transfer_is_flushed)
{
    struct bench bench = bench_open(false);
    start(&bench);
    ck_assert_int_eq(put(&bench, 0, 8, 1), STATUS_OK);
    ck_assert_int_eq(bench.image->ops->flush(bench.image), STATUS_OK);
    bench.disk.logging = true;
    ck_assert_int_eq(bench.image->ops->flush(bench.image), STATUS_OK);
    ck_assert_uint_eq(bench.disk.events, 0);
    bench.image->ops->transferred(bench.image, 0, 8, false, NULL);
    ck_assert_int_eq(bench.image->ops->flush(bench.image), STATUS_OK);
    ck_assert_uint_eq(bench.disk.events, 0);
    bench.image->ops->transferred(bench.image, 0, 8, true, NULL);
    ck_assert_int_eq(bench.image->ops->flush(bench.image), STATUS_OK);
    ck_assert_uint_eq(bench.disk.events, 1);
    ck_assert_int_eq(bench.disk.event[0].kind, MEMORY_FLUSH);
    ck_assert_int_eq(bench.image->ops->flush(bench.image), STATUS_OK);
    ck_assert_uint_eq(bench.disk.events, 1);
    bench_close(&bench);
}
END_TEST

static uint64_t get64(const struct bench *bench, uint64_t at)
{
    uint64_t value;
    memcpy(&value, bench->disk.bytes + at, 8);
    return __builtin_bswap64(value);
}

/* An entry that leads to the refcount table: no write is located there, the image is corrupt from then on. */
START_TEST(test_guard)
{
    struct bench bench = bench_open(false);
    struct block_place place;
    struct block_corruption corruption;
    start(&bench);
    ck_assert_int_eq(put(&bench, 0, 16, 1), STATUS_OK);
    block_image_destroy(bench.image);
    uint64_t l2 = get64(&bench, get64(&bench, 40)) & 0x00fffffffffffe00, reftable = get64(&bench, 48);
    uint64_t entry = __builtin_bswap64(reftable | 1ull << 63);
    memcpy(bench.disk.bytes + l2, &entry, 8);
    start(&bench);
    ck_assert_int_eq(put(&bench, 8, 8, 2), STATUS_OK);
    ck_assert(found(&bench, 8, 8, true, &place));
    ck_assert(!block_image_corruption(bench.image, &corruption));
    ck_assert(!found(&bench, 1, 2, true, &place));
    ck_assert(block_image_corruption(bench.image, &corruption));
    ck_assert_uint_eq(corruption.offset, reftable + 512);
    ck_assert_uint_eq(corruption.size_bytes, 1024);
    ck_assert(!found(&bench, 8, 8, true, &place));
    ck_assert_int_eq(put(&bench, 8, 8, 2), STATUS_CORRUPT);
    bench_close(&bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qcow2_locate");
    TCase *tcase = tcase_create("qcow2_locate");
    tcase_add_test(tcase, test_places);
    tcase_add_test(tcase, test_first_change);
    tcase_add_test(tcase, test_zero_discarded_packed);
    tcase_add_test(tcase, test_shared);
    tcase_add_test(tcase, test_subclusters);
    tcase_add_test(tcase, test_transfer_is_flushed);
    tcase_add_test(tcase, test_guard);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
