/* host_direct.c and host_lock.c: any range of a file with O_DIRECT, whatever the host wants aligned; who may open an image
 * that another has open. */
#include "block/host_file.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_BYTES (3u * 1048576 + 1124) /* the end is in no block of any alignment */

static char path[64];

static bool host_has_direct(void)
{
    int fd = open(path, O_RDWR | O_DIRECT);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void make_file(size_t size_bytes)
{
    strcpy(path, "./vmrr-test-host-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size_bytes), 0);
    close(fd);
}

static struct host_file *open_file(struct host_file_options options)
{
    struct error error = {0};
    struct host_file *file = host_file_open(path, &options, &error);
    ck_assert_msg(file, "%s", error.text);
    return file;
}

static uint64_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

/* ---- O_DIRECT ---- */

static void random_range(uint64_t *seed, uint64_t limit, uint64_t *offset, uint64_t *size_bytes)
{
    static const uint64_t sizes[] = {1, 511, 512, 4096, 5000, 65536, 1100000, 2200000};
    *size_bytes = sizes[draw(seed) % 8];
    *offset = draw(seed) % (limit - *size_bytes);
    if (draw(seed) & 1)
        *offset &= ~511ull;
}

static void check_content(const uint8_t *model, size_t size_bytes)
{
    uint8_t *found = malloc(size_bytes);
    int fd = open(path, O_RDONLY);
    ck_assert_int_eq(pread(fd, found, size_bytes, 0), (ssize_t)size_bytes);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(st.st_size, (off_t)size_bytes);
    close(fd);
    ck_assert_int_eq(memcmp(found, model, size_bytes), 0);
    free(found);
}

START_TEST(test_direct_any_range)
{
    static const uint32_t aligns[] = {0, 512, 4096, 65536};
    make_file(SIZE_BYTES);
    if (!host_has_direct()) {
        unlink(path);
        return;
    }
    struct host_file *file = open_file((struct host_file_options){.direct = true, .align_bytes = aligns[_i]});
    uint8_t *model = calloc(1, SIZE_BYTES), *data = aligned_alloc(4096, 4u << 20);
    uint64_t seed = 7 + (uint64_t)_i;
    for (unsigned n = 0; n < 150; n++) {
        uint64_t offset, size_bytes, skew = draw(&seed) & 1 ? 0 : draw(&seed) % 512;
        random_range(&seed, SIZE_BYTES, &offset, &size_bytes);
        if (n % 3 == 0) {
            memset(data + skew, (int)(n + 1), size_bytes);
            ck_assert_int_eq(host_file_write(file, offset, data + skew, size_bytes), STATUS_OK);
            memset(model + offset, (int)(n + 1), size_bytes);
        } else if (n % 3 == 1) {
            ck_assert_int_eq(host_file_read(file, offset, data + skew, size_bytes), STATUS_OK);
            ck_assert_int_eq(memcmp(data + skew, model + offset, size_bytes), 0);
        } else {
            ck_assert_int_eq(host_file_zero(file, offset, size_bytes, n & 1), STATUS_OK);
            memset(model + offset, 0, size_bytes);
        }
    }
    host_file_close(file);
    check_content(model, SIZE_BYTES);
    free(model);
    free(data);
    unlink(path);
}
END_TEST

START_TEST(test_direct_at_the_end)
{
    uint8_t data[700], back[700];
    make_file(1000);
    if (!host_has_direct()) {
        unlink(path);
        return;
    }
    struct host_file *file = open_file((struct host_file_options){.direct = true, .align_bytes = 4096});
    memset(data, 0x5A, sizeof data);
    ck_assert_int_eq(host_file_read(file, 900, back, 101), STATUS_IO);
    ck_assert_int_eq(host_file_write(file, 900, data, sizeof data), STATUS_OK);
    ck_assert_uint_eq(file->size_bytes, 1600);
    ck_assert_int_eq(host_file_read(file, 900, back, sizeof back), STATUS_OK);
    ck_assert_int_eq(memcmp(back, data, sizeof back), 0);
    ck_assert_int_eq(host_file_resize(file, 9000, HOST_PREALLOC_FULL), STATUS_OK);
    ck_assert_int_eq(host_file_write(file, 8999, data, 1), STATUS_OK);
    host_file_close(file);
    uint8_t model[9000] = {0};
    memcpy(model + 900, data, sizeof data);
    model[8999] = 0x5A;
    check_content(model, sizeof model);
    unlink(path);
}
END_TEST

START_TEST(test_descriptor)
{
    static _Alignas(4096) uint8_t data[8192];
    make_file(16384);
    struct host_file *file = open_file((struct host_file_options){0});
    ck_assert_int_ge(host_file_descriptor(file, 5, data + 1, 100), 0);
    ck_assert_int_eq(host_file_descriptor(file, 16000, data, 385), -1);
    ck_assert_int_eq(host_file_descriptor(file, UINT64_MAX, data, 2), -1);
    memset(data, 3, sizeof data);
    ck_assert_int_eq(host_file_transfer(file, true, 5, data, 100), STATUS_OK);
    ck_assert_int_eq(host_file_transfer(file, false, 4, data, 102), STATUS_OK);
    ck_assert(data[0] == 0 && data[1] == 3 && data[100] == 3 && data[101] == 0);
    host_file_close(file);
    if (host_has_direct()) {
        file = open_file((struct host_file_options){.direct = true, .align_bytes = 4096});
        ck_assert_int_ge(host_file_descriptor(file, 4096, data, 8192), 0);
        ck_assert_int_eq(host_file_descriptor(file, 512, data, 4096), -1);
        ck_assert_int_eq(host_file_descriptor(file, 4096, data, 512), -1);
        ck_assert_int_eq(host_file_descriptor(file, 4096, data + 512, 4096), -1);
        host_file_close(file);
    }
    unlink(path);
}
END_TEST

START_TEST(test_bad_alignment)
{
    struct error error = {0};
    make_file(4096);
    if (host_has_direct()) {
        struct host_file_options options = {.direct = true, .align_bytes = 3000};
        ck_assert_ptr_null(host_file_open(path, &options, &error));
        ck_assert_ptr_nonnull(strstr(error.text, "O_DIRECT"));
    }
    unlink(path);
}
END_TEST

/* ---- locks ---- */

struct pair {
    struct host_file_options first, second;
    const char *refusal; /* null: both may */
};

static const struct pair pairs[] = {
    {{.read_only = false}, {.read_only = false}, "cannot get the \"write\" lock"},
    {{.read_only = false}, {.read_only = true}, "cannot get the shared \"write\" lock"},
    {{.read_only = true}, {.read_only = false}, "cannot get the \"write\" lock"},
    {{.read_only = true}, {.read_only = true}, NULL},
    {{.read_only = false}, {.read_only = true, .share = true}, NULL},
    {{.read_only = true, .share = true}, {.read_only = false}, NULL},
    {{.read_only = false}, {.locking = HOST_LOCKING_OFF}, NULL},
    {{.locking = HOST_LOCKING_OFF}, {.locking = HOST_LOCKING_ON}, NULL},
    {{.locking = HOST_LOCKING_ON}, {.create = true}, "cannot get the \"write\" lock"},
};

START_TEST(test_locks)
{
    const struct pair *pair = &pairs[_i];
    struct error error = {0};
    make_file(4096);
    struct host_file *first = open_file(pair->first);
    struct host_file *second = host_file_open(path, &pair->second, &error);
    if (pair->refusal) {
        ck_assert_ptr_null(second);
        ck_assert_msg(strstr(error.text, pair->refusal) && strstr(error.text, path), "%s", error.text);
        struct stat st;
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(st.st_size, 4096); /* the refused one changed nothing */
    } else {
        ck_assert_msg(second, "%s", error.text);
    }
    host_file_close(first);
    if (pair->refusal) {
        error = (struct error){0};
        second = host_file_open(path, &pair->second, &error); /* the lock went with the first */
        ck_assert_msg(second, "%s", error.text);
    }
    host_file_close(second);
    unlink(path);
}
END_TEST

/* The bytes themselves, as another program's fcntl would see them. */
START_TEST(test_lock_bytes)
{
    make_file(4096);
    struct host_file *file = open_file((struct host_file_options){.read_only = false});
    int fd = open(path, O_RDWR);
    for (int byte = 90; byte < 220; byte++) {
        bool expected = byte == 100 || byte == 101 || byte == 103 || byte == 201 || byte == 203;
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
        ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &lock), 0);
        ck_assert_msg((lock.l_type != F_UNLCK) == expected, "byte %d", byte);
    }
    close(fd);
    host_file_close(file);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host_file");
    TCase *tcase = tcase_create("direct");
    tcase_add_loop_test(tcase, test_direct_any_range, 0, 4);
    tcase_add_test(tcase, test_direct_at_the_end);
    tcase_add_test(tcase, test_descriptor);
    tcase_add_test(tcase, test_bad_alignment);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("locks");
    tcase_add_loop_test(tcase, test_locks, 0, (int)(sizeof pairs / sizeof pairs[0]));
    tcase_add_test(tcase, test_lock_bytes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
