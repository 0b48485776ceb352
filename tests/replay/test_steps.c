/* Steps frames: what was noted comes back, whatever its size; names and stacks are stored once a frame; frames that lie are
 * refused with the name of the field. */
#include "replay/journal_reader.h"
#include "replay/journal_steps.h"
#include "replay/steps_store.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/vmrr-steps-%d.vmrr", (int)getpid());
}

static void teardown(void)
{
    unlink(path);
}

static size_t frames(void *opaque, uint32_t stack, const char **text, size_t max)
{
    static const char *const names[] = {"host_file_write host_file.c:40", "raw_write raw.c:30", "perform", "main"};
    (void)opaque;
    ck_assert_uint_ge(max, 4);
    for (size_t n = 0; n < 4; n++)
        text[n] = names[(n + stack) % 4];
    return stack % 2 ? 4 : 3;
}

struct source {
    struct journal_writer *writer;
    struct steps_store *store;
};

static struct source open_store(void)
{
    struct error error = {{0}};
    struct source source;
    struct journal_writer_options options = {.path = path};
    source.writer = journal_writer_create(&options, &error);
    ck_assert_msg(source.writer != NULL, "%s", error.text);
    source.store = steps_store_create(source.writer, (struct steps_stacks){frames, NULL});
    return source;
}

/* Closes the journal and opens it for reading. */
static struct journal_reader *close_store(struct source *source)
{
    struct error error = {{0}};
    ck_assert_int_eq(steps_store_flush(source->store), STATUS_OK);
    ck_assert_int_eq(journal_writer_finish(source->writer, 0, &error), STATUS_OK);
    steps_store_destroy(source->store);
    journal_writer_destroy(source->writer);
    struct journal_reader *reader = journal_reader_open(path, &error);
    ck_assert_msg(reader != NULL, "%s", error.text);
    return reader;
}

static const char *path_of(uint32_t drive, uint8_t file)
{
    static const char *const paths[] = {"/images/a.qcow2", "/images/base.qcow2", NULL, ""};
    return paths[(drive + file) % 4];
}

static struct block_step step_of(uint64_t n)
{
    uint64_t mixed = n * 0x9E3779B97F4A7C15u;
    return (struct block_step){.kind = (uint8_t)(n % BLOCK_STEP_KINDS),
                               .file = (uint8_t)(n % 7 == 0 ? 200 : n % 5),
                               .status = (int16_t)(n % 11 == 0 ? STATUS_IO : 0),
                               .offset = mixed >> (n % 60),
                               .size_bytes = mixed >> (63 - n % 50),
                               .value = n % 3 ? 0 : mixed,
                               .stack = n % 4 ? 0 : 1 + (uint32_t)(n % 9)};
}

static void note(struct source *source, uint32_t drive, uint32_t tag, size_t count, uint64_t seed, size_t lost)
{
    struct block_activity activity = {.lost = lost};
    for (size_t n = 0; n < count; n++) {
        struct block_step step = step_of(seed + n);
        block_activity_add_in(&activity, path_of(drive, step.file), step);
    }
    ck_assert_uint_eq(activity.count, count);
    ck_assert_int_eq(steps_store_note(source->store, drive, tag, &activity), STATUS_OK);
    block_activity_free(&activity);
}

static void assert_text(const struct journal_text *text, const char *expected)
{
    ck_assert_uint_eq(text->size, expected ? strlen(expected) : 0);
    ck_assert(!text->size || !memcmp(text->at, expected, text->size));
}

static void assert_stack(const struct journal_steps *steps, uint32_t number, uint32_t stack)
{
    const char *text[4];
    ck_assert_uint_eq(number != 0, stack != 0);
    if (!stack)
        return;
    const struct journal_steps_stack *got = &steps->stack[number - 1];
    ck_assert_uint_eq(got->depth, frames(NULL, stack, text, 4));
    for (size_t n = 0; n < got->depth; n++)
        assert_text(&steps->name[steps->frame[got->first + n]], text[n]);
}

static void assert_step(const struct journal_steps *steps, const struct journal_step *got, uint32_t drive,
                        uint64_t number)
{
    struct block_step step = step_of(number);
    const struct journal_steps_file *file = &steps->file[got->file];
    ck_assert_uint_eq(got->kind, step.kind);
    ck_assert_int_eq(got->status, step.status);
    ck_assert_uint_eq(got->offset, step.offset);
    ck_assert_uint_eq(got->size_bytes, step.size_bytes);
    ck_assert_uint_eq(got->value, step.value);
    ck_assert_uint_eq(file->drive, drive);
    ck_assert_uint_eq(file->index, step.file);
    assert_text(&file->path, step.file < BLOCK_ACTIVITY_FILES ? path_of(drive, step.file) : NULL);
    assert_stack(steps, got->stack, step.stack);
}

/* Requests of 0 to 3000 steps in turn, on three drives: in parts, over several frames. */
#define REQUESTS 60u
static size_t count_of(unsigned request)
{
    return request * 997u % 3001u;
}

START_TEST(test_round_trip)
{
    struct source source = open_store();
    struct error error = {{0}};
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    for (unsigned n = 0; n < REQUESTS; n++)
        note(&source, n % 3, n, count_of(n), n * 5000ull, n == 7 ? 12 : 0);
    struct journal_reader *reader = close_store(&source);
    unsigned request = 0;
    size_t done = 0, frame_count = 0;
    uint64_t lost = 0;
    for (size_t i = 0; i < journal_reader_count(reader); i++) {
        const struct journal_frame *frame = journal_reader_frame(reader, i);
        struct journal_steps steps;
        if (frame->kind != JOURNAL_FRAME_STEPS)
            continue;
        frame_count++;
        ck_assert(frame->flags & JOURNAL_FLAG_SKIPPABLE);
        ck_assert_int_eq(journal_reader_load(reader, i, raw, &error), STATUS_OK);
        const char *fault = journal_steps_parse(&steps, raw, frame->raw_bytes);
        ck_assert_msg(!fault, "%s", fault);
        ck_assert_uint_le(steps.name_count, 4);
        ck_assert_uint_le(steps.stack_count, 9);
        for (size_t n = 0; n < steps.request_count; n++) {
            const struct journal_steps_request *part = &steps.request[n];
            ck_assert_uint_eq(part->tag, request);
            ck_assert_uint_eq(part->drive, request % 3);
            for (size_t at = 0; at < part->count; at++)
                assert_step(&steps, &steps.step[part->first + at], part->drive, request * 5000ull + done++);
            lost += part->lost;
            if (done == count_of(request)) {
                ck_assert_uint_eq(part->lost, request == 7 ? 12 : 0);
                request++;
                done = 0;
            }
        }
        journal_steps_free(&steps);
    }
    ck_assert_uint_eq(request, REQUESTS);
    ck_assert_uint_eq(lost, 12);
    ck_assert_uint_gt(frame_count, 2);
    journal_reader_destroy(reader);
    free(raw);
}
END_TEST

/* files: one of drive 2; no names, no stacks; a request of one step: a write of 512 bytes at 1024. */
static const uint8_t sound[] = {1, 2, 0, 1, 'x', 0, 0, 1, 2, 5, 0, 1, 1, 0, 0, 0x80, 0x10, 0x80, 0x04, 0, 0};

static const char *parse(const uint8_t *raw, size_t size, struct journal_steps *steps)
{
    uint8_t *exact = malloc(size ? size : 1); /* so that a sanitizer sees a look beyond */
    memcpy(exact, raw, size);
    const char *fault = journal_steps_parse(steps, exact, size);
    journal_steps_free(steps);
    free(exact);
    return fault;
}

START_TEST(test_what_lies_is_refused)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *field;
    } lies[] = {
        {0, 0x7F, "counts"}, {1, 1, "a step"},  {3, 60, "names"},   {4, 0, "names"}, {5, 1, "names"},
        {6, 1, "stacks"},    {7, 90, "counts"}, {11, 3, "request"}, {12, 9, "end"},  {13, 1, "a step"},
        {14, 2, "a step"},   {20, 1, "a step"}, {7, 0, "end"},      {11, 0, "end"},
    };
    struct journal_steps steps;
    ck_assert_ptr_null(parse(sound, sizeof sound, &steps));
    for (size_t size = 0; size < sizeof sound; size++)
        ck_assert_msg(parse(sound, size, &steps) != NULL, "the first %zu bytes are taken", size);
    for (size_t n = 0; n < sizeof lies / sizeof lies[0]; n++) {
        uint8_t raw[sizeof sound];
        memcpy(raw, sound, sizeof sound);
        raw[lies[n].at] = lies[n].value;
        const char *fault = parse(raw, sizeof raw, &steps);
        if (lies[n].at == 12)
            ck_assert_ptr_null(fault); /* a kind that this version does not know is no lie */
        else
            ck_assert_msg(fault && strstr(fault, lies[n].field), "byte %zu = %u: %s", lies[n].at, lies[n].value,
                          fault ? fault : "taken");
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("steps");
    TCase *tests = tcase_create("steps");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_round_trip);
    tcase_add_test(tests, test_what_lies_is_refused);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
