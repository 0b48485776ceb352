/* The stream that a QMP client sends, cut into JSON values. QMP has no line ends: a value ends where its brackets do, and
 * whatever stands between values is white space.
 *
 * The client is hostile: a value has at most QMP_VALUE_BYTES and QMP_DEPTH_MAX levels; nothing is kept of one that has more,
 * and what follows is read anew. A control byte that JSON has not (a client's 0xFF before it starts, as QEMU's
 * specification allows) ends a broken value: so both sides come in step again. Pure: no host, no machine. */
#ifndef VMRR_TOOLS_QMP_STREAM_H
#define VMRR_TOOLS_QMP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QMP_VALUE_BYTES (256u << 10)
#define QMP_DEPTH_MAX 64u

struct qmp_stream {
    /* text: a whole value, not terminated by a zero; null: why says what is wrong with it. */
    void (*value)(void *opaque, const char *text, size_t size_bytes, const char *why);
    void *opaque;
    char *text;
    size_t used, capacity;
    unsigned depth;
    bool in_string, backslash, skipping;
};

void qmp_stream_init(struct qmp_stream *stream,
                     void (*value)(void *opaque, const char *text, size_t size_bytes, const char *why), void *opaque);
void qmp_stream_feed(struct qmp_stream *stream, const uint8_t *bytes, size_t size_bytes);
/* Forgets a value that has begun: another client. */
void qmp_stream_reset(struct qmp_stream *stream);
void qmp_stream_fini(struct qmp_stream *stream);

#endif
