/* QMP without a machine: the stream of values, checking against the table, the human monitor's lines. */
#include "tools/monitor/readline.h"
#include "tools/qmp/schema.h"
#include "tools/qmp/stream.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the stream ---- */

struct seen {
    unsigned values, refused;
    char text[4096];
};

static void value(void *opaque, const char *text, size_t size_bytes, const char *why)
{
    struct seen *seen = opaque;
    size_t used = strlen(seen->text);
    if (why) {
        seen->refused++;
        snprintf(seen->text + used, sizeof seen->text - used, "!|");
    } else {
        seen->values++;
        snprintf(seen->text + used, sizeof seen->text - used, "%.*s|", (int)size_bytes, text);
    }
}

/* The same bytes at once and one by one. */
static void check_stream(const char *bytes, size_t size_bytes, const char *expected)
{
    for (int whole = 0; whole < 2; whole++) {
        struct seen seen = {0};
        struct qmp_stream stream;
        qmp_stream_init(&stream, value, &seen);
        if (whole)
            qmp_stream_feed(&stream, (const uint8_t *)bytes, size_bytes);
        for (size_t n = 0; !whole && n < size_bytes; n++)
            qmp_stream_feed(&stream, (const uint8_t *)bytes + n, 1);
        ck_assert_str_eq(seen.text, expected);
        qmp_stream_fini(&stream);
    }
}

START_TEST(values_end_where_their_brackets_do)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1}|"},
        {"{\"a\":1}{\"b\":[1,{}]}\r\n [2]", "{\"a\":1}|{\"b\":[1,{}]}|[2]|"},
        {"{\"}\":\"]{\"}", "{\"}\":\"]{\"}|"},
        {"{\"\\\"}\":1}", "{\"\\\"}\":1}|"},
        {"{\"a\\\\\":1}", "{\"a\\\\\":1}|"},
        {"{\n\"a\":\t1\n}", "{\n\"a\":\t1\n}|"},
        {"12 tru\n", "12|tru|"},
        {"\"text\"", "\"text\"|"},
        {"nonsense{\"a\":1}", "nonsense|{\"a\":1}|"},
        {"]}", "]|}|"},
        {"{", ""},
        {"   \r\n\t", ""},
    };
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++)
        check_stream(rows[n].in, strlen(rows[n].in), rows[n].out);
}
END_TEST

START_TEST(a_broken_value_ends_and_the_next_is_read)
{
    static const char string[] = "{\"execute\": \"x\n{\"a\":1}", binary[] = "{\x01 rest\n{\"a\":1}",
                      reset[] = "{\"x\":[\xFF{\"a\":1}", idle[] = "\xFF\xFF{\"a\":1}", zero[] = "\0\n{\"a\":1}";
    check_stream(string, sizeof string - 1, "!|{\"a\":1}|");
    check_stream(binary, sizeof binary - 1, "!|{\"a\":1}|");
    check_stream(reset, sizeof reset - 1, "!|{\"a\":1}|");
    check_stream(idle, sizeof idle - 1, "{\"a\":1}|");
    check_stream(zero, sizeof zero - 1, "!|{\"a\":1}|");
}
END_TEST

static void feed_many(struct qmp_stream *stream, const char *text, size_t count)
{
    for (size_t n = 0; n < count; n++)
        qmp_stream_feed(stream, (const uint8_t *)text, strlen(text));
}

START_TEST(depth_is_limited)
{
    struct seen seen = {0};
    struct qmp_stream stream;
    qmp_stream_init(&stream, value, &seen);
    feed_many(&stream, "[", QMP_DEPTH_MAX);
    feed_many(&stream, "]", QMP_DEPTH_MAX);
    ck_assert_uint_eq(seen.values, 1);
    feed_many(&stream, "[", 100000);
    ck_assert_uint_eq(seen.values, 1);
    ck_assert_uint_eq(seen.refused, 1);
    ck_assert_uint_le(stream.capacity, 512);
    feed_many(&stream, "\n{}", 1);
    ck_assert_uint_eq(seen.values, 2);
    qmp_stream_fini(&stream);
}
END_TEST

START_TEST(size_is_limited)
{
    struct seen seen = {0};
    struct qmp_stream stream;
    qmp_stream_init(&stream, value, &seen);
    feed_many(&stream, "\"", 1);
    feed_many(&stream, "x", QMP_VALUE_BYTES - 2);
    ck_assert_uint_le(stream.capacity, QMP_VALUE_BYTES);
    feed_many(&stream, "\"", 1);
    ck_assert_uint_eq(seen.values, 1);
    feed_many(&stream, "{\"a\": \"", 1);
    feed_many(&stream, "x", 4 * QMP_VALUE_BYTES);
    ck_assert_uint_eq(seen.refused, 1);
    ck_assert_uint_eq(stream.capacity, 0);
    qmp_stream_fini(&stream);
}
END_TEST

/* ---- the table ---- */

static void check_request(const char *text, bool negotiated, const char *class, const char *desc)
{
    struct qmp_request request = {0};
    struct qmp_result result = {0};
    json_t *parsed = qmp_parse(text, strlen(text), &result);
    if (parsed)
        (void)qmp_request_check(parsed, negotiated, &request, &result);
    ck_assert_msg(!class == !result.class, "%s: %s", text, result.class ? result.text : "accepted");
    if (class) {
        ck_assert_str_eq(result.class, class);
        ck_assert_msg(strstr(result.text, desc), "%s: %s", text, result.text);
    }
    qmp_request_fini(&request);
    json_decref(parsed);
}

START_TEST(requests_are_checked)
{
    static const struct {
        const char *text, *class, *desc;
    } rows[] = {
        {"{\"execute\":\"stop\"}", NULL, NULL},
        {"{\"execute\":\"stop\",\"id\":{\"a\":[1]}}", NULL, NULL},
        {"{\"execute\":\"stop\",\"arguments\":{}}", NULL, NULL},
        {"{\"execute\":\"query-blockstats\",\"arguments\":{\"query-nodes\":true}}", NULL, NULL},
        {"{\"execute\":\"stop\",\"arguments\":{\"x\":1}}", "GenericError", "Parameter 'x' is unexpected"},
        {"{\"execute\":\"query-blockstats\",\"arguments\":{\"query-nodes\":1}}", "GenericError",
         "Invalid parameter type for 'query-nodes', expected: boolean"},
        {"{\"execute\":\"send-key\"}", "GenericError", "Parameter 'keys' is missing"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":\"a\"}}", "GenericError", "expected: array"},
        {"{\"execute\":\"nope\"}", "CommandNotFound", "The command nope has not been found"},
        {"{\"execute\":1}", "GenericError", "QMP input member 'execute' must be a string"},
        {"{\"execute\":\"stop\",\"arguments\":[]}", "GenericError", "'arguments' must be an object"},
        {"{\"execute\":\"stop\",\"also\":1}", "GenericError", "QMP input member 'also' is unexpected"},
        {"{\"id\":1}", "GenericError", "QMP input lacks member 'execute'"},
        {"[1]", "GenericError", "QMP input must be a JSON object"},
        {"garbage", "GenericError", "JSON parse error"},
        {"{\"execute\":\"qmp_capabilities\"}", "CommandNotFound", "already complete"},
        {"{\"execute\":\"st\\u0000op\"}", "GenericError", "JSON parse error"},
    };
    for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++)
        check_request(rows[n].text, true, rows[n].class, rows[n].desc);
    check_request("{\"execute\":\"stop\"}", false, "CommandNotFound", "Expecting capabilities negotiation");
    check_request("{\"execute\":\"qmp_capabilities\"}", false, NULL, NULL);
    check_request("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}", false, NULL, NULL);
    check_request("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}", false, "GenericError",
                  "no capability");
}
END_TEST

/* Every command that is named can be found, once, and is in the schema. */
START_TEST(the_table_is_sound)
{
    json_t *schema = qmp_schema(), *entry;
    for (size_t n = 0; n < qmp_command_count; n++) {
        size_t at, described = 0;
        ck_assert_ptr_eq(qmp_command_find(qmp_commands[n].name), &qmp_commands[n]);
        ck_assert_ptr_nonnull(qmp_commands[n].run);
        json_array_foreach(schema, at, entry) described +=
            !strcmp(json_string_value(json_object_get(entry, "name")), qmp_commands[n].name);
        ck_assert_uint_eq(described, 1);
    }
    json_decref(schema);
}
END_TEST

/* ---- lines ---- */

static char lines[4096], shown[8192];

static void line(void *opaque, const char *text)
{
    (void)opaque;
    strcat(strcat(lines, text), "|");
}

static void show(void *opaque, const char *bytes, size_t size_bytes)
{
    (void)opaque;
    strncat(shown, bytes, size_bytes);
}

static void check_lines(bool echo, const char *typed, const char *expected, const char *screen)
{
    struct readline readline = {.line = line, .write = show, .prompt = "> ", .echo = echo};
    lines[0] = shown[0] = 0;
    readline_feed(&readline, (const uint8_t *)typed, strlen(typed));
    ck_assert_str_eq(lines, expected);
    if (screen)
        ck_assert_str_eq(shown, screen);
    readline_fini(&readline);
}

START_TEST(lines_are_edited)
{
    check_lines(false, "one\ntwo\r\nthree\r", "one|two|three|", "");
    check_lines(true, "ab\r", "ab|", "ab\r\n");
    check_lines(true,
                "ax\x7f\x08"
                "b\r",
                "b|", "ax\b \b\b \bb\r\n");
    check_lines(true,
                "\x7f\x7f"
                "c\r",
                "c|", NULL);
    check_lines(true, "wrong\x15right\r", "right|", NULL);
    check_lines(true, "first\rsecond\r\x1b[A\x1b[A\r", "first|second|first|", NULL);
    check_lines(true, "first\rnew\x1b[A\x1b[Bx\r", "first|x|", NULL);
    check_lines(true, "a\x1b[3~b\r", "ab|", NULL);
    check_lines(true, "\x1b[A\x1b[B\r", "|", NULL);
    check_lines(false,
                "bin\x01\x02"
                "ary\n",
                "binary|", NULL);
}
END_TEST

START_TEST(a_line_is_bounded)
{
    static char typed[4 * READLINE_BYTES + 2];
    memset(typed, 'x', sizeof typed - 2);
    typed[sizeof typed - 2] = '\n';
    struct readline readline = {.line = line, .write = show, .prompt = ""};
    lines[0] = 0;
    readline_feed(&readline, (const uint8_t *)typed, sizeof typed - 1);
    ck_assert_uint_eq(strlen(lines), READLINE_BYTES); /* and the bar */
    for (unsigned n = 0; n < 3 * READLINE_HISTORY; n++) {
        readline.echo = true;
        shown[0] = lines[0] = 0;
        readline_feed(&readline, (const uint8_t *)"x\r", 2);
    }
    ck_assert_uint_eq(readline.history_count, READLINE_HISTORY);
    readline_fini(&readline);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("qmp");
    TCase *tests = tcase_create("qmp");
    tcase_add_test(tests, values_end_where_their_brackets_do);
    tcase_add_test(tests, a_broken_value_ends_and_the_next_is_read);
    tcase_add_test(tests, depth_is_limited);
    tcase_add_test(tests, size_is_limited);
    tcase_add_test(tests, requests_are_checked);
    tcase_add_test(tests, the_table_is_sound);
    tcase_add_test(tests, lines_are_edited);
    tcase_add_test(tests, a_line_is_bounded);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
