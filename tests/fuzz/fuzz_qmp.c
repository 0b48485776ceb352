/* What a QMP client sends: cut into values, parsed and checked, whatever it is. A value keeps its limits, an error has a class
 * and a text, what is accepted is a command of the table with arguments as its row says. Input: the bytes; bit 0 of the first
 * one says whether capabilities are negotiated. */
#include "core/status.h"
#include "tests/fuzz/fuzz.h"
#include "tools/monitor/readline.h"
#include "tools/qmp/schema.h"
#include "tools/qmp/stream.h"

#include <string.h>

static void check_value(bool negotiated, const char *text, size_t size)
{
    struct qmp_request request = {0};
    struct qmp_result result = {0};
    json_t *value = qmp_parse(text, size, &result);
    CHECK(!value == !!result.class);
    if (value && qmp_request_check(value, negotiated, &request, &result)) {
        CHECK(!result.class && !request.capabilities == !!request.command);
        CHECK(request.capabilities == !negotiated && json_is_object(request.arguments));
        const char *name;
        json_t *argument;
        json_object_foreach(request.arguments, name, argument)
        {
            bool known = request.capabilities;
            for (unsigned n = 0; request.command && request.command->argument[n].name; n++)
                known |= !strcmp(request.command->argument[n].name, name);
            CHECK(known);
        }
    } else {
        CHECK(result.class && result.text[0]);
    }
    qmp_request_fini(&request);
    json_decref(value);
}

static void got_value(void *opaque, const char *text, size_t size, const char *why)
{
    CHECK(!text == !!why && size <= QMP_VALUE_BYTES);
    if (text)
        check_value(*(const bool *)opaque, text, size);
}

static void got_line(void *opaque, const char *text)
{
    (void)opaque;
    CHECK(strlen(text) < READLINE_BYTES);
}

static void shown(void *opaque, const char *bytes, size_t size)
{
    (void)opaque;
    CHECK(bytes && size < READLINE_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qmp_stream stream;
    if (!size)
        return 0;
    bool negotiated = data[0] & 1;
    qmp_stream_init(&stream, got_value, &negotiated);
    qmp_stream_feed(&stream, data + 1, size - 1);
    qmp_stream_reset(&stream);
    qmp_stream_feed(&stream, data + 1, (size - 1) / 2);
    qmp_stream_fini(&stream);
    struct readline readline = {.line = got_line, .write = shown, .prompt = "> ", .echo = data[0] & 2};
    readline_feed(&readline, data + 1, size - 1);
    readline_fini(&readline);
    return 0;
}
