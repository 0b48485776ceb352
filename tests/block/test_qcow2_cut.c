/* Power cuts. A workload runs over a disk that logs every write and flush. Then the disk is rebuilt as a cut could have
 * left it: all writes up to the last flush before the cut, and any part of those behind it, a write torn between
 * sectors too. Every state must be an image without corruption (lost clusters are allowed), in which all that the
 * guest had flushed is there: a sector holds what it held at the last guest flush, or what was written later.
 * States: every prefix of the log; between two flushes every subset of the writes where they are few, else random ones.
 * VMRR_QCOW2_SEED; VMRR_QCOW2_CUTS: random states for each workload (default 300); VMRR_QCOW2_CUTS_QEMU: every so manieth state is also
 * given to qemu-img check, whose verdict must be ours (default 50). */
#include "block/qcow2.h"
#include "tests/block/memory_file.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTORS 1024u
#define VERSIONS_MAX 40000u
#define FEW_WRITES 8u

/* What a sector was given, by the position in the log at which the request began. */
struct version {
    uint32_t sector;
    uint32_t value;
    size_t began;
    unsigned request;
};

struct guest_flush {
    size_t done; /* events in the log when it returned */
    unsigned request;
    uint32_t value[SECTORS];
};

struct workload {
    const char *name;
    struct qcow2_create_options create;
    unsigned requests;
    bool snapshot; /* one is there from the start */
    uint32_t cache_bytes;
    bool changes; /* snapshots are made, applied and deleted, the size changes */
};

static const struct workload workloads[] = {
    {"512", {.cluster_bits = 9}, 150, false, 0, false},
    {"512-1bit", {.cluster_bits = 9, .refcount_bits = 1}, 150, false, 0, false},
    {"512-64bit", {.cluster_bits = 9, .refcount_bits = 64}, 150, false, 0, false},
    {"512-snapshot", {.cluster_bits = 9}, 150, true, 0, false},
    {"v2", {.version = 2, .cluster_bits = 10}, 150, false, 0, false},
    {"1k-lazy", {.cluster_bits = 10, .lazy_refcounts = true}, 150, false, 0, false},
    {"4k", {.cluster_bits = 12}, 150, false, 0, false},
    {"4k-snapshot", {.cluster_bits = 12}, 150, true, 0, false},
    {"subclusters", {.cluster_bits = 14, .extended_l2 = true}, 150, false, 0, false},
    {"subclusters-snapshot", {.cluster_bits = 14, .extended_l2 = true}, 150, true, 0, false},
    /* four tables in memory: syncs in the middle of requests, without a flush of the guest behind them */
    {"512-small-cache", {.cluster_bits = 9}, 100, false, 1, false},
    {"512-small-cache-snapshot", {.cluster_bits = 9, .refcount_bits = 64}, 100, true, 1, false},
    {"512-small-cache-lazy", {.cluster_bits = 9, .refcount_bits = 64, .lazy_refcounts = true}, 100, false, 1, false},
    {"4k-changes", {.cluster_bits = 12}, 80, false, 0, true},
    {"512-changes", {.cluster_bits = 9, .refcount_bits = 8}, 70, false, 0, true},
    {"512-small-cache-changes", {.cluster_bits = 9}, 60, true, 1, true},
    {"4k-lazy-changes", {.cluster_bits = 12, .lazy_refcounts = true}, 80, false, 0, true},
    {"subclusters-changes", {.cluster_bits = 14, .extended_l2 = true}, 80, true, 0, true},
};

#define SNAPSHOTS_MAX 3u

/* What a snapshot holds, from the moment when it was begun. */
struct taken {
    char name[16];
    uint32_t value[SECTORS], sectors;
    bool there;
};

static struct {
    const struct workload *workload;
    struct memory_disk disk, first, cut; /* at work; before the workload; rebuilt */
    struct block_image *image;
    uint32_t now[SECTORS]; /* what the guest would read */
    struct version version[VERSIONS_MAX];
    size_t versions;
    struct guest_flush *flush;
    size_t flushes;
    unsigned request;
    struct taken *taken; /* all that ever were */
    unsigned taken_count;
    uint64_t random;
    unsigned states, asked, snapshots_seen;
    char path[64];
} state;

static uint64_t draw(uint64_t below)
{
    state.random ^= state.random << 13;
    state.random ^= state.random >> 7;
    state.random ^= state.random << 17;
    return (state.random * 0x2545f4914f6cdd1dull >> 11) % below;
}

/* ---- the workload ---- */

static void set_sectors(uint64_t sector, uint32_t sectors, uint32_t value)
{
    for (uint32_t n = 0; n < sectors; n++) {
        CHECK(state.versions < VERSIONS_MAX);
        state.version[state.versions++] =
            (struct version){(uint32_t)sector + n, value, state.disk.events, state.request};
    }
}

static void take_sectors(uint64_t sector, uint32_t sectors, uint32_t value)
{
    for (uint32_t n = 0; n < sectors; n++)
        state.now[sector + n] = value;
}

static void fill(uint8_t *buffer, uint32_t sectors, uint32_t value)
{
    for (size_t n = 0; n < (size_t)sectors * 512; n += 4)
        memcpy(buffer + n, &value, 4);
}

static void note_flush(void)
{
    state.flush = realloc(state.flush, (state.flushes + 1) * sizeof *state.flush);
    CHECK(state.flush);
    struct guest_flush *flush = &state.flush[state.flushes++];
    flush->done = state.disk.events;
    flush->request = state.request;
    memcpy(flush->value, state.now, sizeof state.now);
}

/* ---- changes of the whole image ---- */

static enum status take_snapshot(struct error *error)
{
    state.taken = realloc(state.taken, (state.taken_count + 1) * sizeof *state.taken);
    CHECK(state.taken);
    struct taken *taken = &state.taken[state.taken_count++];
    snprintf(taken->name, sizeof taken->name, "s%u", state.taken_count);
    memcpy(taken->value, state.now, sizeof taken->value);
    taken->sectors = (uint32_t)state.image->size_sectors;
    taken->there = true;
    return block_qcow2_snapshot_create(state.image, taken->name, 0, 0, error);
}

static struct taken *some_snapshot(unsigned *count)
{
    struct taken *found = NULL;
    *count = 0;
    for (unsigned n = 0; n < state.taken_count; n++) {
        if (state.taken[n].there && !draw(++*count))
            found = &state.taken[n];
    }
    return found;
}

/* Each sector holds what it held, or what the snapshot says; 0 where the size is behind it. */
static enum status apply_snapshot(const struct taken *taken, struct error *error)
{
    for (uint32_t n = 0; n < SECTORS; n++) {
        uint32_t value = n < taken->sectors ? taken->value[n] : 0;
        if (value != state.now[n])
            set_sectors(n, 1, value);
        state.now[n] = value;
    }
    return block_qcow2_snapshot_apply(state.image, taken->name, error);
}

static enum status change_size(struct error *error)
{
    uint32_t size = (uint32_t)(SECTORS - 64 * draw(10));
    if (size < state.image->size_sectors) {
        set_sectors(size, SECTORS - size, 0);
        take_sectors(size, SECTORS - size, 0);
    }
    return state.image->ops->resize(state.image, size, error);
}

static void change(void)
{
    struct error error = {0};
    unsigned count;
    struct taken *taken = some_snapshot(&count);
    uint64_t kind = draw(4);
    enum status status = STATUS_OK;
    state.request++;
    bool flushes = true;
    if (kind == 0 || !taken) {
        flushes = count < SNAPSHOTS_MAX;
        if (flushes)
            status = take_snapshot(&error);
    } else if (kind == 1) {
        status = apply_snapshot(taken, &error);
    } else if (kind == 2) {
        status = block_qcow2_snapshot_delete(state.image, taken->name, &error);
        taken->there = false;
    } else {
        status = change_size(&error);
        flushes = false;
    }
    if (status)
        fprintf(stderr, "%s\n", error.text);
    ck_assert_int_eq(status, STATUS_OK);
    if (flushes)
        note_flush();
}

/* ---- requests ---- */

static void request(void)
{
    static uint8_t buffer[64 * 512];
    if (state.workload->changes && !draw(6)) {
        change();
        return;
    }
    uint32_t sectors = (uint32_t)(1 + draw(draw(3) ? 6 : 40)), unit = 1u << (state.workload->create.cluster_bits - 9);
    uint64_t sector = draw(state.image->size_sectors - sectors), kind = draw(100);
    uint32_t value = 0x10000 + state.request;
    struct block_image *image = state.image;
    enum status status = STATUS_OK;
    state.request++;
    if (kind < 60) {
        bool fua = !draw(10);
        fill(buffer, sectors, value);
        set_sectors(sector, sectors, value);
        status = image->ops->write(image, sector, sectors, buffer, fua);
        take_sectors(sector, sectors, value);
        if (fua) /* as we do it, all before it is durable too */
            note_flush();
    } else if (kind < 70 && unit <= 64) {
        sector &= ~(uint64_t)(unit - 1);
        fill(buffer, unit, value);
        set_sectors(sector, unit, value);
        status = block_qcow2_write_compressed(image, sector, unit, buffer);
        take_sectors(sector, unit, value);
    } else if (kind < 85) {
        set_sectors(sector, sectors, 0);
        status = block_image_zero(image, sector, sectors, draw(2));
        take_sectors(sector, sectors, 0);
    } else {
        status = image->ops->flush(image);
        note_flush();
    }
    ck_assert_int_eq(status, STATUS_OK);
}

static void open_image(struct memory_disk *disk, bool read_only, bool check)
{
    struct error error = {0};
    state.image = block_qcow2_open(memory_file_open(disk, "/tmp/vmrr-cut", read_only),
                                   &(struct block_open_options){.read_only = read_only,
                                                                .check = check,
                                                                .l2_cache_bytes = state.workload->cache_bytes,
                                                                .refcount_cache_bytes = state.workload->cache_bytes},
                                   NULL, &error);
    if (!state.image)
        fprintf(stderr, "%s\n", error.text);
    ck_assert_ptr_nonnull(state.image);
}

static void run_workload(void)
{
    static uint8_t buffer[SECTORS * 512];
    struct error error = {0};
    struct qcow2_create_options create = state.workload->create;
    struct host_file *file = memory_file_open(&state.disk, "/tmp/vmrr-cut", false);
    create.size_bytes = SECTORS * 512;
    ck_assert_int_eq(block_qcow2_create(file, &create, &error), STATUS_OK);
    host_file_close(file);
    open_image(&state.disk, false, false);
    if (state.workload->snapshot) {
        fill(buffer, SECTORS, 0x777);
        ck_assert_int_eq(state.image->ops->write(state.image, 0, SECTORS, buffer, true), STATUS_OK);
        ck_assert_int_eq(block_qcow2_snapshot_create(state.image, "first", 0, 0, &error), STATUS_OK);
        take_sectors(0, SECTORS, 0x777);
    }
    block_image_destroy(state.image);
    memory_disk_copy(&state.first, &state.disk);
    state.disk.logging = true;
    open_image(&state.disk, false, false);
    note_flush();
    for (unsigned n = 0; n < state.workload->requests; n++)
        request();
    block_image_destroy(state.image); /* its last writes belong to the log */
    state.disk.logging = false;
}

/* ---- a state after a cut ---- */

/* The last guest flush that had returned when the log was `events` long. */
static const struct guest_flush *flush_before(size_t events)
{
    size_t n = state.flushes;
    while (n > 1 && state.flush[n - 1].done > events)
        n--;
    return &state.flush[n - 1];
}

/* values of each sector that may be seen: a list in the order of requests. */
static bool may_be(const struct guest_flush *flush, size_t end, uint32_t sector, uint32_t value)
{
    if (flush->value[sector] == value)
        return true;
    for (size_t n = 0; n < state.versions; n++) {
        const struct version *version = &state.version[n];
        if (version->sector == sector && version->value == value && version->request >= flush->request &&
            version->began <= end)
            return true;
    }
    return false;
}

static void check_data(size_t end, const char *what)
{
    static uint8_t bytes[SECTORS * 512];
    const struct guest_flush *flush = flush_before(end);
    uint32_t size = (uint32_t)state.image->size_sectors;
    memset(bytes, 0, sizeof bytes); /* what lies behind a smaller size is gone, as if zero */
    ck_assert_int_eq(state.image->ops->read(state.image, 0, size, bytes), STATUS_OK);
    for (uint32_t sector = 0; sector < SECTORS; sector++) {
        uint32_t value;
        memcpy(&value, bytes + (size_t)sector * 512, 4);
        if (may_be(flush, end, sector, value))
            continue;
        fprintf(stderr, "workload %s, %s, cut at event %zu: sector %u holds %x, at the last flush it held %x\n",
                state.workload->name, what, end, sector, value, flush->value[sector]);
        ck_abort_msg("data that were flushed are gone");
    }
}

/* Whatever snapshots are in the image hold what they were made with. */
static void check_snapshots(size_t end)
{
    static uint8_t bytes[SECTORS * 512];
    for (unsigned n = 0; n < state.taken_count; n++) {
        const struct taken *taken = &state.taken[n];
        struct error error = {0};
        struct block_image *image = block_qcow2_open(
            memory_file_open(&state.cut, "/tmp/vmrr-cut", true),
            &(struct block_open_options){.read_only = true, .check = true, .snapshot = taken->name}, NULL, &error);
        if (!image) {
            ck_assert_msg(strstr(error.text, "not found"), "%s", error.text);
            continue;
        }
        state.snapshots_seen++;
        ck_assert_uint_eq(image->size_sectors, taken->sectors);
        ck_assert_int_eq(image->ops->read(image, 0, taken->sectors, bytes), STATUS_OK);
        for (uint32_t sector = 0; sector < taken->sectors; sector++)
            ck_assert_msg(!memcmp(bytes + (size_t)sector * 512, &taken->value[sector], 4),
                          "workload %s, cut at event %zu: sector %u of snapshot %s", state.workload->name, end, sector,
                          taken->name);
        block_image_destroy(image);
    }
}

static void ask_qemu(bool corrupt)
{
    char command[160];
    const char *every = getenv("VMRR_QCOW2_CUTS_QEMU");
    if (state.states++ % (every ? (unsigned)strtoul(every, NULL, 0) : 50) || system("command -v qemu-img >/dev/null"))
        return;
    ck_assert(memory_disk_save(&state.cut, state.path));
    snprintf(command, sizeof command, "qemu-img check -q -f qcow2 %s >/dev/null 2>&1", state.path);
    int code = system(command) >> 8; /* 0 fine, 2 corrupt, 3 leaks */
    ck_assert(code == 0 || code == 2 || code == 3);
    ck_assert_int_eq(code == 2, corrupt);
    state.asked++;
}

static void say(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

/* The cut came when the log was end long: a guest flush that had returned by then is kept. */
static void judge(size_t end, const char *what)
{
    struct qcow2_check check = {0};
    struct error error = {0};
    struct qcow2_info info;
    open_image(&state.cut, true, true);
    ck_assert(block_qcow2_info(state.image, &info));
    ck_assert_int_eq(block_qcow2_check(state.image, QCOW2_REPAIR_NONE, &check, &error), STATUS_OK);
    ask_qemu(check.corruptions != 0);
    if (info.dirty) { /* what the next writer does first */
        block_image_destroy(state.image);
        open_image(&state.cut, false, false);
        check = (struct qcow2_check){0};
        ck_assert_int_eq(block_qcow2_check(state.image, QCOW2_REPAIR_NONE, &check, &error), STATUS_OK);
    }
    if (check.corruptions) {
        check = (struct qcow2_check){.say = say};
        fprintf(stderr, "workload %s, %s, cut at event %zu:\n", state.workload->name, what, end);
        ck_assert_int_eq(block_qcow2_check(state.image, QCOW2_REPAIR_NONE, &check, &error), STATUS_OK);
        ck_abort_msg("corrupt");
    }
    check_data(end, what);
    block_image_destroy(state.image);
    check_snapshots(end);
}

/* A write, or the first sectors of it. */
static void apply_torn(const struct memory_event *event, bool torn)
{
    struct memory_event part = *event;
    if (torn && event->kind == MEMORY_WRITE && event->bytes > 512)
        part.bytes = 512 * draw(event->bytes / 512 + 1);
    if (part.kind == MEMORY_RESIZE || part.bytes)
        memory_disk_apply(&state.cut, &part);
}

static size_t next_flush(size_t from)
{
    while (from < state.disk.events && state.disk.event[from].kind != MEMORY_FLUSH)
        from++;
    return from;
}

static void restart(struct memory_disk *base)
{
    memory_disk_copy(&state.cut, base);
}

/* All subsets of the writes between two flushes, or random ones, torn. */
static void try_epoch(struct memory_disk *base, size_t start, size_t end, unsigned random_states)
{
    size_t writes = end - start;
    for (size_t prefix = 0; prefix <= writes; prefix++) {
        restart(base);
        for (size_t n = start; n < start + prefix; n++)
            apply_torn(&state.disk.event[n], false);
        judge(start + prefix, "prefix");
    }
    for (unsigned subset = 0; writes <= FEW_WRITES && subset < 1u << writes; subset++) {
        restart(base);
        for (size_t n = 0; n < writes; n++) {
            if (subset >> n & 1)
                apply_torn(&state.disk.event[start + n], false);
        }
        judge(end, "subset");
    }
    for (unsigned n = 0; n < random_states; n++) {
        restart(base);
        for (size_t at = start; at < end; at++) {
            if (draw(2))
                apply_torn(&state.disk.event[at], draw(2));
        }
        judge(end, "random");
    }
}

START_TEST(test_workload)
{
    const char *cuts = getenv("VMRR_QCOW2_CUTS"), *seed = getenv("VMRR_QCOW2_SEED");
    unsigned wanted = cuts ? (unsigned)strtoul(cuts, NULL, 0) : 300, epochs = 1;
    struct memory_disk base;
    memset(&state, 0, sizeof state);
    state.workload = &workloads[_i];
    state.random = 0x1234567 + (unsigned)_i + (seed ? strtoull(seed, NULL, 0) * 1000003 : 0);
    strcpy(state.path, "/tmp/vmrr-test-cut-XXXXXX");
    close(mkstemp(state.path));
    memory_disk_init(&state.disk);
    memory_disk_init(&state.first);
    memory_disk_init(&state.cut);
    memory_disk_init(&base);
    run_workload();
    for (size_t n = 0; n < state.disk.events; n++)
        epochs += state.disk.event[n].kind == MEMORY_FLUSH;
    memory_disk_copy(&base, &state.first);
    for (size_t start = 0, end; start < state.disk.events; start = end + 1) {
        end = next_flush(start);
        try_epoch(&base, start, end, wanted / epochs + 1);
        for (size_t n = start; n < end; n++)
            memory_disk_apply(&base, &state.disk.event[n]);
    }
    ck_assert_uint_gt(epochs, 10);
    ck_assert(state.snapshots_seen || !state.workload->changes);
    free(state.taken);
    ck_assert(state.asked || system("command -v qemu-img >/dev/null"));
    unlink(state.path);
    memory_disk_fini(&base);
    memory_disk_fini(&state.disk);
    memory_disk_fini(&state.first);
    memory_disk_fini(&state.cut);
    free(state.flush);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qcow2_cut");
    TCase *tcase = tcase_create("workloads");
    tcase_add_loop_test(tcase, test_workload, 0, sizeof workloads / sizeof workloads[0]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
