/* Looking a journal of many frames through, against going through all of its events. */
#include "replay/recorder.h"
#include "replay/request_find.h"
#include "tests/replay/toy_guest.h"

#include <check.h>
#include <unistd.h>

static char path[64];
static struct journal_event *all;
static size_t all_count;
static struct journal_reader *reader;

static void read_all(void)
{
    struct error error = {{0}};
    struct journal_decoder *decoder = journal_decoder_create();
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    size_t capacity = 1u << 17;
    all = malloc(capacity * sizeof *all);
    all_count = 0;
    for (size_t n = 0; n < journal_reader_count(reader); n++) {
        const struct journal_frame *frame = journal_reader_frame(reader, n);
        if (frame->kind != JOURNAL_FRAME_EVENTS)
            continue;
        ck_assert_int_eq(journal_reader_load(reader, n, raw, &error), STATUS_OK);
        ck_assert_int_eq(journal_decoder_start(decoder, raw, frame->raw_bytes, frame, &error), STATUS_OK);
        while (all_count < capacity && journal_decoder_next(decoder, &all[all_count], &error) == STATUS_OK)
            all_count++;
    }
    ck_assert_uint_lt(all_count, capacity);
    free(raw);
    journal_decoder_destroy(decoder);
}

static void setup(void)
{
    struct toy_recording recording;
    struct error error = {{0}};
    snprintf(path, sizeof path, "/tmp/vmrr-find-%d.vmrr", (int)getpid());
    toy_record_start(&recording, path, 12, true);
    for (unsigned n = 0; n < 60; n++) {
        toy_run(&recording.toy, n % 7 * 100);
        recorder_flush(recording.recorder);
    }
    toy_finish(&recording.toy);
    ck_assert_int_eq(toy_record_end(&recording, &error), STATUS_OK);
    reader = journal_reader_open(path, &error);
    ck_assert_ptr_nonnull(reader);
    ck_assert_uint_gt(journal_reader_count(reader), 60);
    read_all();
}

static void teardown(void)
{
    journal_reader_destroy(reader);
    free(all);
    unlink(path);
}

static bool writes(const struct journal_event *event, uint32_t drive, uint64_t sector)
{
    const struct trace_event *trace = &event->trace;
    return event->type == JOURNAL_EVENT_TRACE && trace->kind == TRACE_BLOCK_REQUEST && trace->op == TRACE_BLOCK_WRITE &&
           (drive == REQUEST_FIND_ANY_DRIVE || drive == trace->drive) && trace->address <= sector &&
           sector < trace->address + trace->sectors;
}

/* Index into all; all_count: none. */
static size_t slow_last(uint32_t drive, uint64_t sector, uint64_t before)
{
    size_t found = all_count;
    for (size_t n = 0; n < all_count && all[n].trace.position.icount < before; n++)
        found = writes(&all[n], drive, sector) ? n : found;
    return found;
}

static size_t slow_next(uint32_t drive, uint64_t sector, uint64_t after)
{
    size_t n = 0;
    while (n < all_count && (all[n].trace.position.icount <= after || !writes(&all[n], drive, sector)))
        n++;
    return n;
}

static void assert_found(enum status status, const struct trace_event *found, size_t expected)
{
    ck_assert_int_eq(status, expected == all_count ? STATUS_NOT_FOUND : STATUS_OK);
    if (expected == all_count)
        return;
    ck_assert_uint_eq(found->tag, all[expected].trace.tag);
    ck_assert(position_equal(found->position, all[expected].trace.position));
}

/* A position: that of an event, or one beside it. */
static uint64_t some_place(uint64_t *seed)
{
    uint64_t r = toy_random(seed);
    return all[r % all_count].trace.position.icount + (r >> 40) % 3 - 1 + (r >> 60 == 0 ? 1u << 30 : 0);
}

START_TEST(test_writes)
{
    uint64_t seed = 77;
    unsigned hits = 0;
    for (unsigned n = 0; n < 1000; n++) {
        struct error error = {{0}};
        struct trace_event found;
        uint64_t sector = toy_random(&seed) % 80, icount = some_place(&seed);
        uint32_t drive = n % 5 == 0 ? 1 : n % 5 == 1 ? 0 : REQUEST_FIND_ANY_DRIVE;
        size_t expected = slow_last(drive, sector, icount);
        assert_found(request_find_last_write(reader, drive, sector, icount, &found, &error), &found, expected);
        hits += expected != all_count;
        expected = slow_next(drive, sector, icount);
        assert_found(request_find_next_write(reader, drive, sector, icount, &found, &error), &found, expected);
        hits += expected != all_count;
    }
    ck_assert_uint_gt(hits, 300);
}
END_TEST

START_TEST(test_completions)
{
    for (size_t n = 0; n < all_count; n++) {
        struct error error = {{0}};
        struct trace_event found, request = all[n].trace;
        if (all[n].type != JOURNAL_EVENT_TRACE || request.kind != TRACE_BLOCK_REQUEST)
            continue;
        ck_assert_int_eq(request_find_completion(reader, &request, &found, &error), STATUS_OK);
        ck_assert(found.kind == TRACE_BLOCK_COMPLETION && found.tag == request.tag && found.address == request.address);
        request.tag += 1u << 30;
        if (n % 97 == 0)
            ck_assert_int_eq(request_find_completion(reader, &request, &found, &error), STATUS_NOT_FOUND);
    }
}
END_TEST

/* ---- around ---- */

struct got {
    const struct journal_event *expected[2 * EVENTS_AROUND_MAX];
    size_t expected_count, count;
};

static void take(void *opaque, const struct journal_event *event)
{
    struct got *got = opaque;
    ck_assert_uint_lt(got->count, got->expected_count);
    const struct journal_event *expected = got->expected[got->count++];
    ck_assert(event->type == expected->type && position_equal(event->trace.position, expected->trace.position));
    ck_assert(event->trace.kind == expected->trace.kind && event->trace.value == expected->trace.value &&
              event->input.a == expected->input.a);
}

static bool is_digest(const struct journal_event *event)
{
    return event->type == JOURNAL_EVENT_TRACE && event->trace.kind == TRACE_DIGEST;
}

static void expect(struct got *got, uint64_t icount, unsigned before, unsigned after)
{
    size_t here = 0, start;
    got->expected_count = got->count = 0;
    while (here < all_count && all[here].trace.position.icount < icount)
        here++;
    unsigned left = before;
    for (start = here; start > 0 && left; start--)
        left -= !is_digest(&all[start - 1]);
    for (; start < here; start++) {
        if (!is_digest(&all[start]))
            got->expected[got->expected_count++] = &all[start];
    }
    for (left = after; here < all_count && left; here++) {
        if (is_digest(&all[here]))
            continue;
        got->expected[got->expected_count++] = &all[here];
        left--;
    }
}

START_TEST(test_around)
{
    uint64_t seed = 78;
    for (unsigned n = 0; n < 1000; n++) {
        struct error error = {{0}};
        struct got got;
        uint64_t icount = some_place(&seed), r = toy_random(&seed);
        unsigned before = n % 10 ? r % 20 : r % EVENTS_AROUND_MAX,
                 after = n % 10 ? r / 20 % 20 : r / 2000 % EVENTS_AROUND_MAX;
        expect(&got, icount, before, after);
        ck_assert_int_eq(events_around(reader, icount, before, after, take, &got, &error), STATUS_OK);
        ck_assert_uint_eq(got.count, got.expected_count);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request_find");
    TCase *tcase = tcase_create("toy");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_writes);
    tcase_add_test(tcase, test_completions);
    tcase_add_test(tcase, test_around);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
