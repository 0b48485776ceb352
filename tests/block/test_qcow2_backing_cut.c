/* Power cuts while an image gets another backing file. The image's file logs what is written and flushed; then every
 * state is rebuilt that a cut could have left, where a sector is written whole or not at all: of the sectors written between
 * two flushes every subset where they are few, else every prefix and random ones. Each must be an image that opens, with the
 * old name and format or the new ones, and with the extensions that something depends on. */
#include "block/qcow2.h"
#include "block/qcow2_internal.h"
#include "tests/block/memory_file.h"

#include <check.h>

#define FEW 8u
#define RANDOM 300u
#define EXTRA_TYPE 0x7E57E57Eu
#define PIECES_MAX 8192u

struct backing {
    unsigned length; /* of the name; 0: none */
    const char *format;
};

struct shape {
    struct qcow2_create_options create;
    unsigned extra_bytes; /* of an extension that nobody knows; 0: none */
    unsigned longest;     /* names that have room twice */
};

static const struct shape shapes[] = {
    {{.version = 3, .cluster_bits = 9}, 0, 60},    {{.version = 2, .cluster_bits = 9}, 0, 60},
    {{.version = 2, .cluster_bits = 12}, 0, 1023}, {{.version = 3, .cluster_bits = 12}, 0, 1023},
    {{.version = 3, .cluster_bits = 16}, 0, 1023}, {{.version = 3, .cluster_bits = 12}, 100, 1023},
    {{.version = 3, .cluster_bits = 10}, 0, 200},  {{.version = 3, .cluster_bits = 14, .extended_l2 = true}, 40, 1023},
};

/* One after the other: other lengths of the name and of the format, none, one again. */
static const struct backing sequence[] = {{9, "raw"},     {12, "qcow2"}, {300, "raw"}, {301, "0123456789abcde"},
                                          {1023, "raw"},  {1000, NULL},  {0, NULL},    {0, NULL},
                                          {500, "qcow2"}, {40, "raw"},   {0, NULL},    {1023, "qcow2"},
                                          {1023, "raw"},  {1022, "raw"}};
#define SEQUENCE (sizeof sequence / sizeof sequence[0])

struct piece {
    uint64_t offset, bytes;
    const uint8_t *data;
};

static struct memory_disk disk, before, cut;
static struct piece piece[PIECES_MAX];
static unsigned pieces, states, seen_old, seen_new;
static uint64_t seed;

static uint64_t draw(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* Name n of the sequence: its length and letter are its own. */
static const char *name_of(const struct shape *shape, unsigned n, char text[QCOW2_NAME_MAX + 1])
{
    unsigned length = sequence[n].length < shape->longest ? sequence[n].length : shape->longest;
    memset(text, (int)('a' + n), length);
    text[length] = 0;
    return length ? text : NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Of an image without a backing file the format says nothing. */
static bool is(const struct qcow2_header *header, const struct shape *shape, unsigned n)
{
    char text[QCOW2_NAME_MAX + 1];
    const char *name = name_of(shape, n, text);
    return same(header->backing_name, name) && (!name || same(header->backing_format, sequence[n].format));
}

static bool has_extension(const struct memory_disk *of, uint32_t type, const struct shape *shape)
{
    uint32_t at = of->bytes[7] == 2 ? 72 : qcow2_get32(of->bytes + 100), end = 1u << shape->create.cluster_bits;
    while (end - at >= 8 && qcow2_get32(of->bytes + at) && qcow2_get32(of->bytes + at) != type)
        at += 8 + ((qcow2_get32(of->bytes + at + 4) + 7) & ~7u);
    if (end - at < 8 || qcow2_get32(of->bytes + at) != type)
        return false;
    for (unsigned n = 0; type == EXTRA_TYPE && n < shape->extra_bytes; n++)
        ck_assert_uint_eq(of->bytes[at + 8 + n], n & 255);
    return true;
}

static struct block_image *open_image(struct memory_disk *of, bool read_only)
{
    struct error error = {0};
    struct block_image *image = block_qcow2_open(
        memory_file_open(of, "/tmp/vmrr-cut", read_only),
        &(struct block_open_options){.read_only = read_only, .check = read_only, .no_backing = true}, NULL, &error);
    ck_assert_msg(image, "%s", error.text);
    return image;
}

/* n: the new one; n - 1: the old one. */
static void judge(const struct shape *shape, unsigned n, bool done)
{
    struct qcow2_header header;
    struct qcow2_check check = {0};
    struct error error = {0};
    struct host_file *file = memory_file_open(&cut, "/tmp/vmrr-cut", true);
    ck_assert_msg(!qcow2_header_read(file, &header, &error), "%s", error.text);
    bool new = is(&header, shape, n);
    ck_assert(new || (!done && is(&header, shape, n - 1)));
    ck_assert(!shape->extra_bytes || has_extension(&cut, EXTRA_TYPE, shape));
    qcow2_header_free(&header);
    host_file_close(file);
    states++;
    seen_new += new;
    seen_old += !new;
    if (states % 16)
        return;
    struct block_image *image = open_image(&cut, true);
    ck_assert_int_eq(block_qcow2_check(image, QCOW2_REPAIR_NONE, &check, &error), STATUS_OK);
    ck_assert_uint_eq(check.corruptions, 0);
    block_image_destroy(image);
}

static void list_pieces(size_t from, size_t to)
{
    pieces = 0;
    for (size_t n = from; n < to; n++) {
        const struct memory_event *event = &disk.event[n];
        ck_assert_int_eq(event->kind, MEMORY_WRITE);
        for (uint64_t done = 0, bytes; done < event->bytes; done += bytes) {
            bytes = 512 - (event->offset + done) % 512;
            bytes = bytes < event->bytes - done ? bytes : event->bytes - done;
            ck_assert_uint_lt(pieces, PIECES_MAX);
            piece[pieces++] = (struct piece){event->offset + done, bytes, event->data + done};
        }
    }
}

static void apply_piece(struct memory_disk *to, unsigned n)
{
    memory_disk_apply(
        to, &(struct memory_event){MEMORY_WRITE, piece[n].offset, piece[n].bytes, (uint8_t *)(uintptr_t)piece[n].data});
}

static void try_epoch(const struct shape *shape, unsigned n)
{
    for (unsigned prefix = 0; prefix <= pieces; prefix++) {
        memory_disk_copy(&cut, &before);
        for (unsigned k = 0; k < prefix; k++)
            apply_piece(&cut, k);
        judge(shape, n, false);
    }
    for (unsigned subset = 0; subset < (pieces <= FEW ? 1u << pieces : RANDOM); subset++) {
        memory_disk_copy(&cut, &before);
        for (unsigned k = 0; k < pieces; k++) {
            if (pieces <= FEW ? subset >> k & 1 : draw() & 1)
                apply_piece(&cut, k);
        }
        judge(shape, n, false);
    }
}

static void change_backing(const struct shape *shape, unsigned n)
{
    char text[QCOW2_NAME_MAX + 1];
    struct error error = {0};
    size_t start = 0, end;
    struct block_image *image = open_image(&disk, false);
    memory_disk_copy(&before, &disk);
    disk.logging = true;
    enum status status = block_qcow2_set_backing(image, name_of(shape, n, text), sequence[n].format, &error);
    ck_assert_msg(!status, "%s", error.text);
    block_image_destroy(image);
    disk.logging = false;
    for (; start < disk.events; start = end + 1) {
        for (end = start; end < disk.events && disk.event[end].kind != MEMORY_FLUSH; end++)
            ;
        list_pieces(start, end);
        try_epoch(shape, n);
        for (unsigned k = 0; k < pieces; k++)
            apply_piece(&before, k);
    }
    memory_disk_copy(&cut, &disk);
    judge(shape, n, true);
    ck_assert(shape->create.version < 3 || shape->create.cluster_bits < 10 ||
              has_extension(&cut, QCOW2_EXT_FEATURE_NAMES, shape));
    memory_disk_forget(&disk);
}

/* In front of the last extension, which ends them. */
static void add_extension(const struct shape *shape)
{
    uint32_t at = qcow2_get32(disk.bytes + 100), end = 1u << shape->create.cluster_bits;
    while (qcow2_get32(disk.bytes + at))
        at += 8 + ((qcow2_get32(disk.bytes + at + 4) + 7) & ~7u);
    uint64_t name_at = qcow2_get64(disk.bytes + 8);
    uint32_t shift = 8 + ((shape->extra_bytes + 7) & ~7u);
    memmove(disk.bytes + at + shift, disk.bytes + at, end - at - shift);
    qcow2_put32(disk.bytes + at, EXTRA_TYPE);
    qcow2_put32(disk.bytes + at + 4, shape->extra_bytes);
    for (unsigned n = 0; n < shift - 8; n++)
        disk.bytes[at + 8 + n] = (uint8_t)(n < shape->extra_bytes ? n : 0);
    qcow2_put64(disk.bytes + 8, name_at + shift);
}

START_TEST(test_backing)
{
    const struct shape *shape = &shapes[_i];
    struct qcow2_create_options create = shape->create;
    struct error error = {0};
    char text[QCOW2_NAME_MAX + 1];
    memory_disk_init(&disk);
    memory_disk_init(&before);
    memory_disk_init(&cut);
    seed = 77 + (unsigned)_i;
    create.size_bytes = 1 << 20;
    create.backing_name = name_of(shape, 0, text);
    create.backing_format = sequence[0].format;
    struct host_file *file = memory_file_open(&disk, "/tmp/vmrr-cut", false);
    ck_assert_msg(!block_qcow2_create(file, &create, &error), "%s", error.text);
    host_file_close(file);
    if (shape->extra_bytes)
        add_extension(shape);
    for (unsigned n = 1; n < SEQUENCE; n++)
        change_backing(shape, n);
    ck_assert_uint_gt(seen_old, SEQUENCE);
    ck_assert_uint_gt(seen_new, SEQUENCE);
    memory_disk_fini(&disk);
    memory_disk_fini(&before);
    memory_disk_fini(&cut);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qcow2, another backing file, cut");
    TCase *tcase = tcase_create("backing");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, test_backing, 0, sizeof shapes / sizeof shapes[0]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
