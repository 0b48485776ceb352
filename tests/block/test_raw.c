/* raw.c and host_file.c: sizes, whole transfers, refusal of what is no image, zeroing. */
#include "block/block.h"
#include "block/host_file.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/vmrr-test-raw-XXXXXX";

static void make_file(size_t size_bytes)
{
    strcpy(path, "/tmp/vmrr-test-raw-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    for (size_t n = 0; n < size_bytes; n++) {
        uint8_t byte = (uint8_t)(n * 7 + n / 512);
        ck_assert_int_eq(write(fd, &byte, 1), 1);
    }
    close(fd);
}

static struct block_image *open_raw(const char *name, bool read_only, struct error *error)
{
    return block_image_open(name, &(struct block_open_options){.format = "raw", .read_only = read_only}, error);
}

START_TEST(test_size_rounds_down)
{
    struct error error = {0};
    make_file(512 * 3 + 100);
    struct block_image *image = open_raw(path, true, &error);
    ck_assert_ptr_nonnull(image);
    ck_assert_uint_eq(image->size_sectors, 3);
    ck_assert(image->read_only);
    ck_assert_str_eq(image->ops->format, "raw");
    ck_assert_str_eq(image->name, path);
    uint8_t sector[512];
    ck_assert_int_eq(image->ops->read(image, 2, 1, sector), STATUS_OK);
    for (size_t n = 0; n < 512; n++)
        ck_assert_uint_eq(sector[n], (uint8_t)((1024 + n) * 7 + 2));
    ck_assert_int_eq(image->ops->write(image, 0, 1, sector, false), STATUS_READ_ONLY);
    ck_assert_int_eq(image->ops->zero(image, 0, 1, true), STATUS_READ_ONLY);
    ck_assert_int_eq(image->ops->flush(image), STATUS_OK);
    block_image_destroy(image);
    unlink(path);
}
END_TEST

START_TEST(test_refused)
{
    struct error error = {0};
    ck_assert_ptr_null(open_raw("/nonexistent/image", false, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "/nonexistent/image"));
    error = (struct error){0};
    ck_assert_ptr_null(open_raw("/tmp", true, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "neither a regular file"));
    make_file(511);
    error = (struct error){0};
    ck_assert_ptr_null(open_raw(path, true, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "smaller than a sector"));
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    error = (struct error){0};
    ck_assert_ptr_null(open_raw(path, false, &error)); /* and does not wait for a writer */
    ck_assert_ptr_nonnull(strstr(error.text, "neither a regular file"));
    unlink(path);
}
END_TEST

START_TEST(test_write_and_discard)
{
    struct error error = {0};
    uint8_t out[2048], in[2048];
    make_file(512 * 8);
    struct block_image *image = open_raw(path, false, &error);
    ck_assert_ptr_nonnull(image);
    for (size_t n = 0; n < sizeof out; n++)
        out[n] = (uint8_t)(n ^ 0x5A);
    ck_assert_int_eq(image->ops->write(image, 2, 4, out, true), STATUS_OK);
    ck_assert_int_eq(image->ops->flush(image), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 2, 4, in), STATUS_OK);
    ck_assert_mem_eq(in, out, sizeof in);
    ck_assert_int_eq(image->ops->zero(image, 3, 2, true), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 2, 4, in), STATUS_OK);
    memset(out + 512, 0, 1024);
    ck_assert_mem_eq(in, out, sizeof in);
    block_image_destroy(image);
    struct stat st; /* the file neither grew nor shrank, and the bytes are in it */
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 512 * 8);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(pread(fd, in, 512, 1024), 512);
    close(fd);
    ck_assert_mem_eq(in, out, 512);
    unlink(path);
}
END_TEST

/* The file shrinks under the image: an error, not old bytes and not a crash. */
START_TEST(test_shrunk_file)
{
    struct error error = {0};
    uint8_t in[1024];
    make_file(512 * 4);
    struct block_image *image = open_raw(path, false, &error);
    ck_assert_int_eq(truncate(path, 512 * 3 + 10), 0);
    ck_assert_int_eq(image->ops->read(image, 2, 1, in), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 2, 2, in), STATUS_IO);
    block_image_destroy(image);
    unlink(path);
}
END_TEST

/* Where the format was guessed, a guest can't make it another: its first sector goes through write, which looks at it. */
START_TEST(test_guessed)
{
    static uint8_t sector[512] = {'Q', 'F', 'I', 0xfb};
    struct error error = {0};
    struct block_place place;
    make_file(512 * 4);
    struct block_image *image = open_raw(path, false, &error);
    ck_assert(image->ops->locate(image, 0, 1, true, &place));
    block_raw_guessed(image);
    ck_assert(!image->ops->locate(image, 0, 1, true, &place));
    ck_assert(image->ops->locate(image, 0, 1, false, &place));
    ck_assert(image->ops->locate(image, 1, 1, true, &place));
    ck_assert_int_eq(image->ops->write(image, 0, 1, sector, false), STATUS_READ_ONLY);
    sector[3] = 0;
    ck_assert_int_eq(image->ops->write(image, 0, 1, sector, false), STATUS_OK);
    block_image_destroy(image);
    unlink(path);
}
END_TEST

START_TEST(test_no_space)
{
    struct error error = {0};
    struct host_file *file = host_file_open("/dev/full", &(struct host_file_options){0}, &error);
    ck_assert_ptr_null(file); /* a character device is no image */
    make_file(512);
    file = host_file_open(path, &(struct host_file_options){0}, &error);
    ck_assert_int_eq(host_file_write(file, UINT64_MAX - 5, "x", 1), STATUS_IO);
    ck_assert_int_eq(host_file_read(file, 1ull << 63, (char[1]){0}, 1), STATUS_IO);
    ck_assert_int_eq(host_file_zero(file, UINT64_MAX, 10, true), STATUS_IO);
    host_file_close(file);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raw");
    TCase *tcase = tcase_create("raw");
    tcase_add_test(tcase, test_size_rounds_down);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_write_and_discard);
    tcase_add_test(tcase, test_shrunk_file);
    tcase_add_test(tcase, test_guessed);
    tcase_add_test(tcase, test_no_space);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
