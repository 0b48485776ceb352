/* Random operations on qcow2 images of many shapes, beside a model in memory: every read is compared, the image is
 * checked by our own check and by qemu-img check, and qemu-img compare holds its disk against the model.
 * VMRR_QCOW2_OPERATIONS: for each shape (default 1500); VMRR_QCOW2_SEED. */
#include "block/qcow2.h"
#include "tests/block/memory_file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IMAGE_SECTORS_MAX 8192u
#define PIECE_SECTORS_MAX 300u
#define SNAPSHOTS_MAX 3u

struct shape {
    const char *name;
    struct qcow2_create_options create;
    uint32_t sectors;
    int backing; /* 0: none, 1: raw, 2: qcow2 over raw */
    bool no_packed, no_snapshots;
};

static const struct shape shapes[] = {
    {"64k", {.cluster_bits = 16}, 8192, 0, false, false},
    {"v2", {.version = 2, .cluster_bits = 12}, 4096, 0, false, false},
    {"v2-backed", {.version = 2, .cluster_bits = 12}, 4096, 1, false, false},
    {"512", {.cluster_bits = 9, .refcount_bits = 64}, 2048, 0, false, false},
    {"512-1bit", {.cluster_bits = 9, .refcount_bits = 1}, 2048, 1, false, true},
    {"1k-2bit", {.cluster_bits = 10, .refcount_bits = 2}, 2048, 2, false, false},
    {"4k-4bit", {.cluster_bits = 12, .refcount_bits = 4}, 4096, 2, false, false},
    {"4k-8bit-lazy", {.cluster_bits = 12, .refcount_bits = 8, .lazy_refcounts = true}, 4096, 1, false, false},
    {"64k-32bit", {.cluster_bits = 16, .refcount_bits = 32, .compression = QCOW2_ZSTD}, 8192, 2, false, false},
    {"2m", {.cluster_bits = 21}, 8192, 1, false, false},
    {"subclusters", {.cluster_bits = 16, .extended_l2 = true}, 8192, 0, false, false},
    {"subclusters-backed", {.cluster_bits = 14, .extended_l2 = true}, 8192, 2, false, false},
    {"metadata", {.cluster_bits = 12, .preallocation = QCOW2_PREALLOC_METADATA}, 4096, 0, false, false},
    {"metadata-sub",
     {.cluster_bits = 15, .extended_l2 = true, .preallocation = QCOW2_PREALLOC_METADATA},
     8192,
     1,
     false,
     false},
    {"data-file", {.cluster_bits = 12, .data_file = "data"}, 4096, 0, true, true},
    {"data-file-raw", {.cluster_bits = 12, .data_file = "data", .data_file_raw = true}, 4096, 0, true, true},
    {"data-file-sub", {.cluster_bits = 14, .data_file = "data", .extended_l2 = true}, 8192, 1, true, true},
};

struct state {
    const struct shape *shape;
    struct memory_disk disk;
    struct block_image *image;
    uint8_t *model, *buffer, *behind;
    uint32_t behind_sectors;
    uint8_t *snapshot[SNAPSHOTS_MAX];
    char snapshot_name[SNAPSHOTS_MAX][16];
    uint32_t snapshot_sectors[SNAPSHOTS_MAX];
    unsigned serial;
    char folder[64], path[128];
    uint64_t random;
};

static uint64_t draw(struct state *state, uint64_t below)
{
    state->random ^= state->random << 13;
    state->random ^= state->random >> 7;
    state->random ^= state->random << 17;
    return (state->random * 0x2545f4914f6cdd1dull >> 11) % below;
}

static void say_error(const struct error *error)
{
    if (error->text[0])
        fprintf(stderr, "%s\n", error->text);
}

static void open_image(struct state *state)
{
    struct error error = {0};
    state->image = block_qcow2_open(memory_file_open(&state->disk, state->path, false), &(struct block_open_options){0},
                                    NULL, &error);
    say_error(&error);
    ck_assert_ptr_nonnull(state->image);
}

static bool have_qemu(void)
{
    return !system("command -v qemu-img >/dev/null 2>&1");
}

static void shell(const char *format, const struct state *state)
{
    char command[512];
    snprintf(command, sizeof command, format, state->folder, state->folder, state->folder);
    if (system(command)) {
        fprintf(stderr, "shape %s: failed: %s\n", state->shape->name, command);
        ck_abort_msg("qemu-img says no");
    }
}

/* The memory disk as a file, judged by qemu-img. */
static void ask_qemu(struct state *state)
{
    char path[128];
    if (!have_qemu())
        return;
    snprintf(path, sizeof path, "%s/model", state->folder);
    FILE *out = fopen(path, "wb");
    ck_assert(out && fwrite(state->model, 512, state->image->size_sectors, out) == state->image->size_sectors);
    fclose(out);
    block_image_destroy(state->image);
    ck_assert(memory_disk_save(&state->disk, state->path));
    shell("qemu-img check -q -f qcow2 %s/image || qemu-img check -f qcow2 %s/image", state);
    shell("cd %s && qemu-img compare -q -f qcow2 -F raw image model || { qemu-img compare -f qcow2 -F raw image model; "
          "exit 1; }",
          state);
    open_image(state);
}

/* ---- making ---- */

static void make_behind(struct state *state)
{
    char path[128], command[512];
    state->behind_sectors = state->shape->sectors - 100; /* shorter than the image */
    snprintf(path, sizeof path, "%s/base", state->folder);
    for (uint32_t n = 0; n < state->behind_sectors; n++) {
        if (n / 7 % 3)
            memset(state->behind + (size_t)n * 512, (int)(n & 0xff) | 1, 512);
    }
    FILE *out = fopen(path, "wb");
    ck_assert(out && fwrite(state->behind, 512, state->behind_sectors, out) == state->behind_sectors);
    fclose(out);
    if (state->shape->backing == 2) { /* a qcow2 image of nothing over it */
        struct error error = {0};
        snprintf(command, sizeof command, "%s/middle", state->folder);
        struct host_file *file = host_file_open(command, &(struct host_file_options){.create = true}, &error);
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(block_qcow2_create(file,
                                            &(struct qcow2_create_options){.size_bytes = state->behind_sectors * 512,
                                                                           .backing_name = "base",
                                                                           .backing_format = "raw"},
                                            &error),
                         STATUS_OK);
        host_file_close(file);
    }
}

static void start(struct state *state, const struct shape *shape)
{
    const char *seed = getenv("VMRR_QCOW2_SEED");
    *state = (struct state){.shape = shape, .folder = "/tmp/vmrr-test-qcow2-XXXXXX"};
    state->random = seed ? strtoull(seed, NULL, 0) * 2 + 1 : 0x9e3779b97f4a7c15ull;
    state->model = calloc(IMAGE_SECTORS_MAX, 512);
    state->behind = calloc(IMAGE_SECTORS_MAX, 512);
    state->buffer = calloc(IMAGE_SECTORS_MAX, 512);
    for (unsigned n = 0; n < SNAPSHOTS_MAX; n++)
        state->snapshot[n] = calloc(IMAGE_SECTORS_MAX, 512);
    memory_disk_init(&state->disk);
    ck_assert_ptr_nonnull(mkdtemp(state->folder));
    snprintf(state->path, sizeof state->path, "%s/image", state->folder);
    if (shape->backing)
        make_behind(state);
    struct qcow2_create_options create = shape->create;
    struct error error = {0};
    create.size_bytes = (uint64_t)shape->sectors * 512;
    if (shape->backing) {
        create.backing_name = shape->backing == 1 ? "base" : "middle";
        create.backing_format = shape->backing == 1 ? "raw" : "qcow2";
    }
    ck_assert_int_eq(chdir(state->folder), 0); /* a data file's name is not beside the image, but where we are */
    if (create.data_file)
        fclose(fopen("data", "wb"));
    struct host_file *file = memory_file_open(&state->disk, state->path, false);
    enum status status = block_qcow2_create(file, &create, &error);
    say_error(&error);
    ck_assert_int_eq(status, STATUS_OK);
    host_file_close(file);
    memcpy(state->model, state->behind, (size_t)state->behind_sectors * 512);
    open_image(state);
    ck_assert_uint_eq(state->image->size_sectors, shape->sectors);
}

static void stop(struct state *state)
{
    char command[128];
    block_image_destroy(state->image);
    memory_disk_fini(&state->disk);
    ck_assert_int_eq(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", state->folder);
    ck_assert_int_eq(system(command), 0);
    free(state->model);
    free(state->behind);
    free(state->buffer);
    for (unsigned n = 0; n < SNAPSHOTS_MAX; n++)
        free(state->snapshot[n]);
}

/* ---- operations ---- */

static void pick_range(struct state *state, uint64_t *sector, uint32_t *sectors)
{
    uint64_t size = state->image->size_sectors, most = draw(state, 4) ? 20 : PIECE_SECTORS_MAX;
    *sectors = (uint32_t)(1 + draw(state, most));
    if (*sectors > size)
        *sectors = (uint32_t)size;
    *sector = draw(state, size - *sectors + 1);
    if (!draw(state, 3)) /* on a cluster, as a file system does */
        *sector &= ~(uint64_t)((1u << (state->shape->create.cluster_bits - 9)) - 1);
}

static void fine(struct state *state, enum status status, const char *what)
{
    if (status) {
        const char *fault = block_image_fault(state->image);
        fprintf(stderr, "shape %s: %s: %s %s\n", state->shape->name, what, status_name(status), fault ? fault : "");
    }
    ck_assert_int_eq(status, STATUS_OK);
}

static void do_write(struct state *state)
{
    uint64_t sector;
    uint32_t sectors;
    pick_range(state, &sector, &sectors);
    for (size_t n = 0; n < (size_t)sectors * 512; n++)
        state->buffer[n] = (uint8_t)(n % 512 ? state->serial : draw(state, 256));
    state->serial++;
    fine(state, state->image->ops->write(state->image, sector, sectors, state->buffer, !draw(state, 20)), "write");
    memcpy(state->model + sector * 512, state->buffer, (size_t)sectors * 512);
}

static void do_zero(struct state *state)
{
    uint64_t sector;
    uint32_t sectors;
    pick_range(state, &sector, &sectors);
    fine(state, block_image_zero(state->image, sector, sectors, draw(state, 2)), "zero");
    memset(state->model + sector * 512, 0, (size_t)sectors * 512);
}

static void do_packed(struct state *state)
{
    uint64_t unit = 1ull << (state->shape->create.cluster_bits - 9), size = state->image->size_sectors;
    uint64_t sector = draw(state, (size + unit - 1) / unit) * unit;
    uint32_t sectors = (uint32_t)(size - sector < unit ? size - sector : unit);
    if (state->shape->no_packed)
        return;
    for (size_t n = 0; n < (size_t)sectors * 512; n++)
        state->buffer[n] = (uint8_t)(draw(state, 8) ? state->serial : draw(state, 256));
    state->serial++;
    fine(state, block_qcow2_write_compressed(state->image, sector, sectors, state->buffer), "write compressed");
    memcpy(state->model + sector * 512, state->buffer, (size_t)sectors * 512);
}

static void compare(struct state *state, uint64_t sector, uint32_t sectors)
{
    fine(state, state->image->ops->read(state->image, sector, sectors, state->buffer), "read");
    for (uint32_t n = 0; n < sectors; n++) {
        if (memcmp(state->buffer + (size_t)n * 512, state->model + (sector + n) * 512, 512)) {
            fprintf(stderr, "shape %s: sector %llu differs: %02x, expected %02x\n", state->shape->name,
                    (unsigned long long)(sector + n), state->buffer[(size_t)n * 512], state->model[(sector + n) * 512]);
            ck_abort_msg("read");
        }
    }
}

/* Extents that are said to be zero are, and they cover the image. */
static void check_map(struct state *state)
{
    struct block_extent extent;
    for (uint64_t at = 0; at < state->image->size_sectors; at += extent.sectors) {
        fine(state, block_image_map(state->image, at, state->image->size_sectors - at, &extent), "map");
        ck_assert_uint_gt(extent.sectors, 0);
        ck_assert_uint_le(extent.sectors, state->image->size_sectors - at);
        if (!(extent.flags & BLOCK_EXTENT_ZERO))
            continue;
        for (uint64_t n = at * 512; n < (at + extent.sectors) * 512; n++)
            ck_assert_uint_eq(state->model[n], 0);
    }
}

static void do_read(struct state *state)
{
    uint64_t sector;
    uint32_t sectors;
    pick_range(state, &sector, &sectors);
    compare(state, sector, sectors);
}

static void do_snapshot(struct state *state)
{
    unsigned n = (unsigned)draw(state, SNAPSHOTS_MAX);
    struct error error = {0};
    char *name = state->snapshot_name[n];
    enum status status = STATUS_OK;
    if (state->shape->no_snapshots)
        return;
    if (!*name) {
        snprintf(name, sizeof state->snapshot_name[n], "s%u", state->serial++);
        status = block_qcow2_snapshot_create(state->image, name, 1, 2, &error);
        if (status == STATUS_NO_SPACE) { /* a count of two bits is full */
            struct qcow2_check check = {0};
            *name = 0;
            status = block_qcow2_check(state->image, QCOW2_REPAIR_LEAKS, &check, &error);
            error = (struct error){0};
        } else {
            memcpy(state->snapshot[n], state->model, state->image->size_sectors * 512);
            state->snapshot_sectors[n] = (uint32_t)state->image->size_sectors;
        }
    } else if (draw(state, 2)) {
        status = block_qcow2_snapshot_delete(state->image, name, &error);
        *name = 0;
    } else if (state->shape->create.version != 2 || state->snapshot_sectors[n] == state->image->size_sectors) {
        status = block_qcow2_snapshot_apply(state->image, name, &error);
        if (status == STATUS_NO_SPACE) {
            struct qcow2_check check = {0};
            status = block_qcow2_check(state->image, QCOW2_REPAIR_LEAKS, &check, &error);
            error = (struct error){0};
        } else {
            memset(state->model, 0, (size_t)IMAGE_SECTORS_MAX * 512);
            memcpy(state->model, state->snapshot[n], (size_t)state->snapshot_sectors[n] * 512);
        }
    }
    say_error(&error);
    fine(state, status, "snapshot");
}

static void do_resize(struct state *state)
{
    struct error error = {0};
    uint64_t most = state->shape->sectors, size = most - draw(state, most / 2);
    if (state->shape->create.version == 2)
        return;
    uint64_t old = state->image->size_sectors;
    enum status status = state->image->ops->resize(state->image, size, &error);
    say_error(&error);
    fine(state, status, "resize");
    if (size < old)
        memset(state->model + size * 512, 0, (old - size) * 512);
}

static void check_own(struct state *state, bool leaks_allowed)
{
    struct qcow2_check check = {0};
    struct error error = {0};
    fine(state, state->image->ops->flush(state->image), "flush");
    fine(state, state->image->ops->flush(state->image), "flush");
    enum status status = block_qcow2_check(state->image, QCOW2_REPAIR_NONE, &check, &error);
    say_error(&error);
    ck_assert_int_eq(status, STATUS_OK);
    if (check.corruptions || (check.leaks && !leaks_allowed))
        fprintf(stderr, "shape %s: %llu corruptions, %llu leaks\n", state->shape->name,
                (unsigned long long)check.corruptions, (unsigned long long)check.leaks);
    ck_assert_uint_eq(check.corruptions, 0);
    ck_assert(leaks_allowed || !check.leaks);
}

static void reopen(struct state *state)
{
    block_image_destroy(state->image);
    open_image(state);
}

static void check_snapshots(struct state *state)
{
    struct error error = {0};
    for (unsigned n = 0; n < SNAPSHOTS_MAX; n++) {
        if (!*state->snapshot_name[n])
            continue;
        fine(state, state->image->ops->flush(state->image), "flush");
        struct block_image *old = block_qcow2_open(
            memory_file_open(&state->disk, state->path, true),
            &(struct block_open_options){.read_only = true, .snapshot = state->snapshot_name[n]}, NULL, &error);
        say_error(&error);
        ck_assert_ptr_nonnull(old);
        ck_assert_uint_eq(old->size_sectors, state->snapshot_sectors[n]);
        ck_assert_int_eq(old->ops->read(old, 0, state->snapshot_sectors[n], state->buffer), STATUS_OK);
        ck_assert(!memcmp(state->buffer, state->snapshot[n], (size_t)state->snapshot_sectors[n] * 512));
        block_image_destroy(old);
    }
}

static void do_one(struct state *state)
{
    uint64_t kind = draw(state, 1000);
    if (kind < 450)
        do_write(state);
    else if (kind < 600)
        do_zero(state);
    else if (kind < 640)
        do_packed(state);
    else if (kind < 960)
        do_read(state);
    else if (kind < 975)
        fine(state, state->image->ops->flush(state->image), "flush");
    else if (kind < 985)
        reopen(state);
    else if (kind < 995)
        do_snapshot(state);
    else
        do_resize(state);
}

START_TEST(test_shape)
{
    static struct state state;
    const char *operations = getenv("VMRR_QCOW2_OPERATIONS");
    unsigned count = operations ? (unsigned)strtoul(operations, NULL, 0) : 1500;
    start(&state, &shapes[_i]);
    for (unsigned n = 0; n < count; n++) {
        do_one(&state);
        if (n % 500 == 499) {
            compare(&state, 0, (uint32_t)state.image->size_sectors);
            check_own(&state, false);
            check_map(&state);
            check_snapshots(&state);
        }
        if (n % 5000 == 4999)
            ask_qemu(&state);
    }
    reopen(&state);
    compare(&state, 0, (uint32_t)state.image->size_sectors);
    check_own(&state, false);
    ask_qemu(&state);
    stop(&state);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qcow2_random");
    TCase *tcase = tcase_create("shapes");
    tcase_add_loop_test(tcase, test_shape, 0, sizeof shapes / sizeof shapes[0]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
