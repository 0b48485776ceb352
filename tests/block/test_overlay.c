/* overlay.c against a plain array, over a base that counts and refuses reads. */
#include "block/block.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define BASE_SECTORS 1000u
#define SECTORS 1500u

struct test_base {
    struct block_image image;
    unsigned reads;
    bool refuse;
    bool *destroyed;
};

static uint8_t base_byte(uint64_t sector, size_t at)
{
    return (uint8_t)(sector * 31 + at + 1);
}

static enum status base_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct test_base *base = (struct test_base *)(void *)image;
    base->reads++;
    ck_assert_uint_le(sector + sectors, image->size_sectors);
    if (base->refuse)
        return STATUS_IO;
    for (size_t n = 0; n < (size_t)sectors * 512; n++)
        ((uint8_t *)buffer)[n] = base_byte(sector + n / 512, n % 512);
    return STATUS_OK;
}

static enum status base_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                              bool fua)
{
    (void)image, (void)sector, (void)sectors, (void)buffer, (void)fua;
    ck_abort_msg("an overlay never writes its base");
    return STATUS_IO;
}

static enum status base_flush(struct block_image *image)
{
    (void)image;
    ck_abort_msg("nor flushes it");
    return STATUS_IO;
}

static void base_destroy(struct block_image *image)
{
    *((struct test_base *)(void *)image)->destroyed = true;
    free(image);
}

static struct block_image *make_base(bool *destroyed)
{
    static const struct block_image_ops ops = {
        .format = "test", .read = base_read, .write = base_write, .flush = base_flush, .destroy = base_destroy};
    struct test_base *base = calloc(1, sizeof *base);
    base->image = (struct block_image){&ops, BASE_SECTORS, true, "base"};
    base->destroyed = destroyed;
    return &base->image;
}

START_TEST(test_against_array)
{
    static uint8_t model[SECTORS * 512], buffer[SECTORS * 512];
    bool destroyed = false;
    struct error error = {0};
    struct block_image *image = block_overlay_create(make_base(&destroyed), SECTORS, &error);
    ck_assert_ptr_nonnull(image);
    ck_assert_uint_eq(image->size_sectors, SECTORS);
    ck_assert(!image->read_only);
    for (size_t n = 0; n < BASE_SECTORS * 512; n++)
        model[n] = base_byte(n / 512, n % 512);
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t sector = (uint64_t)rand() % SECTORS;
        uint32_t sectors = 1 + (uint32_t)rand() % (round % 10 ? 9 : 300);
        if (sectors > SECTORS - sector)
            sectors = (uint32_t)(SECTORS - sector);
        size_t at = sector * 512, bytes = (size_t)sectors * 512;
        switch (rand() % 4) {
        case 0:
            for (size_t n = 0; n < bytes; n++)
                buffer[n] = (uint8_t)rand();
            memcpy(model + at, buffer, bytes);
            ck_assert_int_eq(image->ops->write(image, sector, sectors, buffer, round & 1), STATUS_OK);
            break;
        case 1:
            if (rand() % 4)
                break;
            memset(model + at, 0, bytes);
            ck_assert_int_eq(image->ops->zero(image, sector, sectors, true), STATUS_OK);
            break;
        default:
            ck_assert_int_eq(image->ops->read(image, sector, sectors, buffer), STATUS_OK);
            ck_assert_mem_eq(buffer, model + at, bytes);
        }
    }
    ck_assert_int_eq(image->ops->flush(image), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 0, SECTORS, buffer), STATUS_OK);
    ck_assert_mem_eq(buffer, model, sizeof model);
    block_image_destroy(image);
    ck_assert(destroyed);
}
END_TEST

/* Written sectors are never asked of the base, which may not have them. */
START_TEST(test_base_not_needed)
{
    bool destroyed = false;
    struct error error = {0};
    uint8_t buffer[4 * 512] = {0};
    struct block_image *image_of_base = make_base(&destroyed);
    struct test_base *base = (struct test_base *)(void *)image_of_base;
    struct block_image *image = block_overlay_create(image_of_base, 0, &error);
    ck_assert_uint_eq(image->size_sectors, BASE_SECTORS);
    base->refuse = true;
    ck_assert_int_eq(image->ops->write(image, 126, 4, buffer, false), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 126, 4, buffer), STATUS_OK);
    ck_assert_uint_eq(base->reads, 0);
    ck_assert_int_eq(image->ops->read(image, 125, 2, buffer), STATUS_IO);
    ck_assert_int_eq(image->ops->read(image, 129, 2, buffer), STATUS_IO);
    ck_assert_uint_eq(base->reads, 2);
    block_image_destroy(image);
}
END_TEST

/* A run of sectors that the base has is one read of the base, over chunk borders. */
START_TEST(test_base_runs)
{
    static uint8_t buffer[600 * 512];
    bool destroyed = false;
    struct error error = {0};
    struct block_image *image_of_base = make_base(&destroyed);
    struct test_base *base = (struct test_base *)(void *)image_of_base;
    struct block_image *image = block_overlay_create(image_of_base, 0, &error);
    ck_assert_int_eq(image->ops->read(image, 10, 600, buffer), STATUS_OK);
    ck_assert_uint_eq(base->reads, 1);
    ck_assert_int_eq(image->ops->write(image, 300, 1, buffer, false), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, 10, 600, buffer), STATUS_OK);
    ck_assert_uint_eq(base->reads, 3);
    block_image_destroy(image);
}
END_TEST

START_TEST(test_no_base)
{
    struct error error = {0};
    uint8_t buffer[1024], zeros[1024] = {0};
    const uint64_t huge = 1ull << 50;
    ck_assert_ptr_null(block_overlay_create(NULL, 0, &error));
    ck_assert_str_ne(error.text, "");
    struct block_image *image = block_overlay_create(NULL, huge, &error);
    ck_assert_ptr_nonnull(image);
    memset(buffer, 1, sizeof buffer);
    ck_assert_int_eq(image->ops->read(image, huge - 2, 2, buffer), STATUS_OK);
    ck_assert_mem_eq(buffer, zeros, sizeof buffer);
    memset(buffer, 9, sizeof buffer);
    ck_assert_int_eq(image->ops->write(image, huge - 1, 1, buffer, false), STATUS_OK);
    ck_assert_int_eq(image->ops->read(image, huge - 2, 2, buffer), STATUS_OK);
    ck_assert_mem_eq(buffer, zeros, 512);
    ck_assert_uint_eq(buffer[512], 9);
    block_image_destroy(image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("overlay");
    TCase *tcase = tcase_create("overlay");
    tcase_add_test(tcase, test_against_array);
    tcase_add_test(tcase, test_base_not_needed);
    tcase_add_test(tcase, test_base_runs);
    tcase_add_test(tcase, test_no_base);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
