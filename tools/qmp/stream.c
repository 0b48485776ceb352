/* See stream.h. */
#include "tools/qmp/stream.h"

#include "core/status.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 512

void qmp_stream_init(struct qmp_stream *stream,
                     void (*value)(void *opaque, const char *text, size_t size_bytes, const char *why), void *opaque)
{
    memset(stream, 0, sizeof *stream);
    stream->value = value;
    stream->opaque = opaque;
}

void qmp_stream_fini(struct qmp_stream *stream)
{
    free(stream->text);
    stream->text = NULL;
}

static void begin_anew(struct qmp_stream *stream)
{
    stream->used = 0;
    stream->depth = 0;
    stream->in_string = stream->backslash = false;
    if (stream->capacity > FIRST_BYTES) { /* one large value must not hold the memory for ever */
        free(stream->text);
        stream->text = NULL;
        stream->capacity = 0;
    }
}

void qmp_stream_reset(struct qmp_stream *stream)
{
    begin_anew(stream);
    stream->skipping = false;
}

static void refuse(struct qmp_stream *stream, const char *why)
{
    begin_anew(stream);
    stream->skipping = true; /* to the end of the line: the rest of a broken value is no value */
    stream->value(stream->opaque, NULL, 0, why);
}

static void give(struct qmp_stream *stream)
{
    stream->value(stream->opaque, stream->text, stream->used, NULL);
    begin_anew(stream);
}

static bool keep(struct qmp_stream *stream, char c)
{
    if (stream->used == QMP_VALUE_BYTES)
        return false;
    if (stream->used == stream->capacity) {
        stream->capacity = stream->capacity ? 2 * stream->capacity : FIRST_BYTES;
        stream->text = realloc(stream->text, stream->capacity);
        CHECK(stream->text);
    }
    stream->text[stream->used++] = c;
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* JSON has no raw control character anywhere but white space, and no 0xFF. A newline ends no value. */
static bool is_control(const struct qmp_stream *stream, uint8_t c)
{
    return c == 0xFF || (c < 0x20 && (stream->in_string || !is_space(c)));
}

static void step_in_string(struct qmp_stream *stream, uint8_t c)
{
    if (stream->backslash)
        stream->backslash = false;
    else if (c == '\\')
        stream->backslash = true;
    else if (c == '"')
        stream->in_string = false;
}

static bool is_scalar_end(uint8_t c)
{
    return is_space(c) || strchr(",:{}[]\"", c);
}

/* A scalar at the top has no end of its own: the next character that is not part of it is looked at again. */
static bool ends_scalar(struct qmp_stream *stream, uint8_t c)
{
    return stream->used && !stream->depth && !stream->in_string && stream->text[0] != '"' && is_scalar_end(c);
}

static void step(struct qmp_stream *stream, uint8_t c)
{
    if (stream->in_string)
        step_in_string(stream, c);
    else if (c == '"')
        stream->in_string = true;
    else if (c == '{' || c == '[')
        stream->depth++;
    else if ((c == '}' || c == ']') && stream->depth)
        stream->depth--;
}

static void take(struct qmp_stream *stream, uint8_t c)
{
    if (ends_scalar(stream, c))
        give(stream);
    if (!stream->used && is_space(c))
        return;
    step(stream, c);
    if (stream->depth > QMP_DEPTH_MAX)
        refuse(stream, "JSON nesting depth limit exceeded");
    else if (!keep(stream, (char)c))
        refuse(stream, "JSON token size limit exceeded");
    else if (!stream->depth && !stream->in_string && strchr("}]\",:", c))
        give(stream);
}

void qmp_stream_feed(struct qmp_stream *stream, const uint8_t *bytes, size_t size_bytes)
{
    for (size_t n = 0; n < size_bytes; n++) {
        uint8_t c = bytes[n];
        if (stream->skipping) {
            stream->skipping = c != '\n' && c != 0xFF;
        } else if (is_control(stream, c)) {
            bool begun = stream->used > 0;
            begin_anew(stream);
            if (begun || c != 0xFF)
                refuse(stream, "JSON parse error, invalid character");
            stream->skipping = stream->skipping && c != '\n' && c != 0xFF;
        } else {
            take(stream, c);
        }
    }
}
