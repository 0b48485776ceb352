/* Encoder against decoder: what goes in comes out, whatever the order; and what a console costs. */
#include "core/machine.h"
#include "replay/journal_event.h"

#include <check.h>
#include <stdlib.h>
#include <zstd.h>

#define STEPS 65536u
#define EVENTS_MAX 400000u

/* A stream: what was appended, and the frames that came of it. */
struct stream {
    struct journal_event *event;
    size_t count;
    struct journal_encoder *encoder;
    uint8_t **frame;
    struct journal_frame *header;
    size_t frames;
    size_t raw_bytes, packed_bytes;
    bool pack; /* measure */
};

static void take_frame(void *opaque, const struct journal_encoder_frame *frame)
{
    struct stream *stream = opaque;
    static uint8_t packed[JOURNAL_FRAME_PACKED_MAX];
    ck_assert_uint_le(frame->raw_bytes, JOURNAL_FRAME_RAW_MAX);
    stream->frame = realloc(stream->frame, (stream->frames + 1) * sizeof *stream->frame);
    stream->header = realloc(stream->header, (stream->frames + 1) * sizeof *stream->header);
    uint8_t *copy = malloc(frame->raw_bytes);
    memcpy(copy, frame->raw, frame->raw_bytes);
    stream->frame[stream->frames] = copy;
    stream->header[stream->frames] = (struct journal_frame){.kind = JOURNAL_FRAME_EVENTS,
                                                            .sequence = stream->frames,
                                                            .first = frame->first,
                                                            .last = frame->last,
                                                            .raw_bytes = (uint32_t)frame->raw_bytes,
                                                            .events = frame->events,
                                                            .delivers = frame->delivers};
    stream->frames++;
    stream->raw_bytes += frame->raw_bytes;
    if (stream->pack)
        stream->packed_bytes += ZSTD_compress(packed, sizeof packed, frame->raw, frame->raw_bytes, 3);
}

static struct stream *stream_create(void)
{
    struct stream *stream = calloc(1, sizeof *stream);
    stream->event = calloc(EVENTS_MAX, sizeof *stream->event);
    stream->encoder = journal_encoder_create(STEPS, take_frame, stream);
    ck_assert_ptr_nonnull(stream->encoder);
    return stream;
}

static void stream_destroy(struct stream *stream)
{
    for (size_t i = 0; i < stream->frames; i++)
        free(stream->frame[i]);
    free(stream->frame);
    free(stream->header);
    free(stream->event);
    journal_encoder_destroy(stream->encoder);
    free(stream);
}

static void add(struct stream *stream, const struct journal_event *event)
{
    ck_assert_uint_lt(stream->count, EVENTS_MAX);
    stream->event[stream->count++] = *event;
    switch (event->type) {
    case JOURNAL_EVENT_TRACE: journal_encoder_trace(stream->encoder, &event->trace); break;
    case JOURNAL_EVENT_PULL:
        journal_encoder_pull(stream->encoder, event->trace.position, event->input.id, event->input.a);
        break;
    case JOURNAL_EVENT_DELIVER: journal_encoder_deliver(stream->encoder, event->trace.position, &event->input); break;
    }
}

static void assert_same(const struct journal_event *in, const struct journal_event *out, size_t n)
{
    const struct trace_event *a = &in->trace, *b = &out->trace;
    ck_assert_msg(in->type == out->type && position_equal(a->position, b->position), "event %zu: %d at %lu, %d at %lu",
                  n, (int)a->kind, a->position.icount, (int)b->kind, b->position.icount);
    ck_assert_int_eq(a->kind, b->kind);
    if (in->type != JOURNAL_EVENT_TRACE) {
        ck_assert_int_eq(in->input.id, out->input.id);
        ck_assert_uint_eq(in->input.a, out->input.a);
        if (in->type == JOURNAL_EVENT_DELIVER) {
            ck_assert_uint_eq(in->input.target, out->input.target);
            ck_assert_uint_eq(in->input.b, out->input.b);
        }
        return;
    }
    if (a->kind == TRACE_DIGEST) {
        ck_assert(out->digest_bits == 8 || out->digest_bits == 64);
        uint64_t mask = out->digest_bits == 8 ? 0xff : UINT64_MAX;
        ck_assert_uint_eq(a->value & mask, b->value);
        return;
    }
    ck_assert_msg(a->value == b->value, "event %zu: value %lx, %lx", n, a->value, b->value);
    ck_assert_uint_eq(a->address, b->address);
    ck_assert_uint_eq(a->size_bytes, b->size_bytes);
    ck_assert_uint_eq(a->sectors, b->sectors);
    ck_assert_uint_eq(a->drive, b->drive);
    ck_assert_uint_eq(a->tag, b->tag);
    ck_assert_uint_eq(a->op, b->op);
    ck_assert_uint_eq(a->flags, b->flags);
    ck_assert_int_eq(a->status, b->status);
}

static void assert_round_trip(struct stream *stream)
{
    struct journal_decoder *decoder = journal_decoder_create();
    struct journal_event event;
    struct error error = {{0}};
    size_t n = 0;
    journal_encoder_flush(stream->encoder);
    ck_assert(journal_encoder_empty(stream->encoder));
    for (size_t i = 0; i < stream->frames; i++) {
        enum status status =
            journal_decoder_start(decoder, stream->frame[i], stream->header[i].raw_bytes, &stream->header[i], &error);
        size_t first = n;
        uint32_t delivers = 0;
        ck_assert_msg(status == STATUS_OK, "%s", error.text);
        while ((status = journal_decoder_next(decoder, &event, &error)) == STATUS_OK) {
            ck_assert_uint_lt(n, stream->count);
            assert_same(&stream->event[n], &event, n);
            delivers += event.type == JOURNAL_EVENT_DELIVER;
            n++;
        }
        ck_assert_msg(status == STATUS_END, "%s", error.text);
        ck_assert_uint_eq(n - first, stream->header[i].events);
        ck_assert_uint_eq(delivers, stream->header[i].delivers);
        ck_assert(position_equal(stream->header[i].first, stream->event[first].trace.position));
        ck_assert(position_equal(stream->header[i].last, stream->event[n - 1].trace.position));
    }
    ck_assert_uint_eq(n, stream->count);
    journal_decoder_destroy(decoder);
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct journal_event trace(enum trace_kind kind, struct position position)
{
    return (struct journal_event){.type = JOURNAL_EVENT_TRACE, .trace = {.kind = kind, .position = position}};
}

/* ---- every kind, every order ---- */

static struct journal_event random_event(uint64_t *seed, struct position position)
{
    struct journal_event event = trace((enum trace_kind)(1 + random_next(seed) % (TRACE_KIND_COUNT - 1)), position);
    struct trace_event *t = &event.trace;
    uint64_t r = random_next(seed);
    switch (t->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        t->size_bytes = 1u << (r & (t->kind <= TRACE_PIO_WRITE ? 1 : 3));
        t->address = r >> 8 & (r & 0x10 ? 7 : 0xffffff);
        t->value = random_next(seed) >> (r >> 40 & 63);
        if (t->size_bytes < 8)
            t->value &= (UINT64_C(1) << t->size_bytes * 8) - 1;
        break;
    case TRACE_IRQ: t->value = r & 0xff; break;
    case TRACE_HALT: t->value = r & 0xfffff; break;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE:
        t->drive = r & 3;
        t->op = r >> 2 & 3;
        t->tag = (uint32_t)(r >> 8);
        t->address = random_next(seed) >> 1;
        t->sectors = r >> 16 & 0xffff;
        t->status = -(int32_t)(r >> 60);
        t->value = random_next(seed);
        break;
    case TRACE_CHECKPOINT:
    case TRACE_END:
        t->address = random_next(seed);
        t->value = random_next(seed);
        break;
    case TRACE_BLOCK_ORIGIN:
        t->drive = r & 3;
        t->op = r >> 2 & (r & 0x100 ? 0xFFFFFF : 3);
        t->tag = (uint32_t)(r >> 8);
        t->address = random_next(seed);
        t->value = random_next(seed) >> (r >> 40 & 63);
        t->flags = r >> 32 & TRACE_ORIGIN_FLAGS;
        break;
    case TRACE_BLOCK_SEGMENT:
        t->drive = r & 3;
        t->tag = (uint32_t)(r >> 8);
        t->address = random_next(seed) >> (r >> 40 & 63);
        t->size_bytes = (uint32_t)(r >> 16);
        break;
    case TRACE_DIGEST: t->value = r; break;
    default: break;
    }
    return event;
}

static struct journal_event random_input(uint64_t *seed, struct position position)
{
    uint64_t r = random_next(seed);
    struct journal_event event = {.type = r & 1 ? JOURNAL_EVENT_PULL : JOURNAL_EVENT_DELIVER,
                                  .trace = {.position = position}};
    event.input.id = (enum input_id)(r % INPUT_COUNT);
    event.input.a = random_next(seed);
    if (event.type == JOURNAL_EVENT_DELIVER) {
        event.input.target = (uint32_t)(r >> 32);
        event.input.b = random_next(seed);
    }
    return event;
}

/* Positions that stand still, jump, sit on multiples of the digest's steps, with digests that come or don't. */
START_TEST(test_random)
{
    uint64_t seed = 0x1234567 + (uint64_t)_i * 0x9E3779B9;
    struct stream *stream = stream_create();
    struct position now = {0, 0};
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t r = random_next(&seed);
        uint64_t step = r & 1 ? 0 : r & 2 ? r >> 8 & 0xf : r >> 8 & (_i & 1 ? 0xffff : 0xffffff);
        if ((r & 0x70) == 0x70)
            step = STEPS - now.icount % STEPS;
        if (_i >= 4 && now.icount / STEPS != (now.icount + step) / STEPS) {
            /* a well-behaved machine: a digest at every multiple */
            uint64_t next = (now.icount / STEPS + 1) * STEPS;
            for (; next <= now.icount + step; next += STEPS) {
                struct position at = {next, next + (now.vtime_ns - now.icount)};
                struct journal_event digest = trace(TRACE_DIGEST, at);
                digest.trace.value = random_next(&seed);
                add(stream, &digest);
                if (stream->count > EVENTS_MAX - 4096)
                    break;
            }
        }
        now.icount += step;
        now.vtime_ns += step;
        if ((r & 0xf000) == 0)
            now.vtime_ns += r >> 20 & 0xff;
        struct journal_event event = r & 0x80 ? random_event(&seed, now) : random_input(&seed, now);
        if (_i >= 4 && event.trace.kind == TRACE_DIGEST)
            continue;
        add(stream, &event);
        if (event.trace.kind == TRACE_HALT)
            now.vtime_ns += event.trace.value;
        if ((r >> 50) == 0)
            journal_encoder_flush(stream->encoder);
        if (stream->count > EVENTS_MAX - 8192)
            break;
    }
    assert_round_trip(stream);
    stream_destroy(stream);
}
END_TEST

/* ---- what a boot costs ---- */

static void add_access(struct stream *stream, struct position *now, uint64_t *next_digest, uint64_t *seed,
                       uint64_t steps, enum trace_kind kind, uint64_t address, uint32_t size, uint64_t value)
{
    now->icount += steps;
    now->vtime_ns += steps;
    for (; *next_digest <= now->icount; *next_digest += STEPS) {
        struct journal_event digest =
            trace(TRACE_DIGEST, (struct position){*next_digest, *next_digest + (now->vtime_ns - now->icount)});
        digest.trace.value = random_next(seed);
        add(stream, &digest);
    }
    struct journal_event event = trace(kind, *now);
    event.trace.address = address;
    event.trace.size_bytes = size;
    event.trace.value = value;
    add(stream, &event);
}

static const char *const words[] = {"pci",
                                    "0000:00:01.1",
                                    "BAR",
                                    "[io 0x01f0-0x01f7]",
                                    "ACPI:",
                                    "PCI",
                                    "device",
                                    "registered",
                                    "driver",
                                    "memory",
                                    "kernel",
                                    "usbcore:",
                                    "EXT4-fs",
                                    "mounted",
                                    "filesystem",
                                    "with ordered data mode",
                                    "random: crng",
                                    "clocksource:",
                                    "tsc",
                                    "hpet",
                                    "mask 0xffffffff max_cycles",
                                    "serial8250",
                                    "Freeing",
                                    "unused",
                                    "[mem 0x00000000-0x0009fbff]",
                                    "usable",
                                    "reserved",
                                    "CPU0"};

/* A console line as Linux writes it, two accesses a character; between lines the guest computes, with timer ticks. */
static void console_boot(struct stream *stream, unsigned lines)
{
    uint64_t seed = 42, next_digest = STEPS;
    struct position now = {0, 0};
    for (unsigned line = 0; line < lines; line++) {
        char text[256];
        int n = snprintf(text, sizeof text, "[%5u.%06u] ", line / 100, (unsigned)(random_next(&seed) % 1000000));
        for (unsigned i = 0; i < 3 + random_next(&seed) % 8; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "%s ",
                          words[random_next(&seed) % (sizeof words / sizeof words[0])]);
        n += snprintf(text + n, sizeof text - (size_t)n, "%x\r\n", (unsigned)(random_next(&seed) & 0xfff));
        uint64_t pause = 200000 + random_next(&seed) % 2600000;
        for (int i = 0; i < n; i++) {
            add_access(stream, &now, &next_digest, &seed, i ? 41 : pause, TRACE_PIO_READ, 0x3fd, 1, 0x60);
            add_access(stream, &now, &next_digest, &seed, 19, TRACE_PIO_WRITE, 0x3f8, 1, (uint8_t)text[i]);
        }
        for (unsigned tick = 0; tick < 2; tick++) {
            now.icount += 1000 + random_next(&seed) % 9000;
            struct journal_event irq = trace(TRACE_IRQ, now);
            now.vtime_ns = now.icount;
            irq.trace.position = now;
            irq.trace.value = 0xec;
            if (now.icount < next_digest)
                add(stream, &irq);
            add_access(stream, &now, &next_digest, &seed, 700 + random_next(&seed) % 64, TRACE_MMIO_WRITE, 0xfee000b0,
                       4, 0);
            add_access(stream, &now, &next_digest, &seed, 300 + random_next(&seed) % 64, TRACE_MMIO_WRITE, 0xfee00380,
                       4, 250000 - random_next(&seed) % 4000);
        }
    }
    ck_assert_uint_gt(now.icount, 0);
}

START_TEST(test_size_of_a_boot)
{
    struct stream *stream = stream_create();
    stream->pack = true;
    console_boot(stream, 1000);
    assert_round_trip(stream);
    double thousands = (double)stream->event[stream->count - 1].trace.position.icount / 1000;
    double raw = (double)stream->raw_bytes / thousands, packed = (double)stream->packed_bytes / thousands;
    printf("boot: %zu events, %.0f M instructions, %zu frames: %.4f raw, %.4f packed bytes per 1000 instructions\n",
           stream->count, thousands / 1000, stream->frames, raw, packed);
    ck_assert(raw <= 0.5);
    ck_assert(packed <= 0.05);
    stream_destroy(stream);
}
END_TEST

/* A poll of the PIT as in quick_pit_calibrate: two reads a turn, whose low byte counts. */
START_TEST(test_size_of_a_poll)
{
    struct stream *stream = stream_create();
    struct position now = {0, 0};
    uint64_t seed = 7, next_digest = STEPS;
    stream->pack = true;
    for (unsigned i = 0; i < 150000; i++) {
        uint64_t count = 0xffff - (now.vtime_ns * 1193182 / 1000000000) % 0xffff;
        add_access(stream, &now, &next_digest, &seed, 6, TRACE_PIO_READ, 0x42, 1, count & 0xff);
        add_access(stream, &now, &next_digest, &seed, 3, TRACE_PIO_READ, 0x42, 1, count >> 8 & 0xff);
    }
    assert_round_trip(stream);
    printf("poll: %zu events in %zu bytes, %zu packed\n", stream->count, stream->raw_bytes, stream->packed_bytes);
    ck_assert_uint_lt(stream->raw_bytes, stream->count / 10);
    ck_assert_uint_lt(stream->packed_bytes, stream->count / 50);
    stream_destroy(stream);
}
END_TEST

/* A frame buffer: more shapes than a frame may have. */
START_TEST(test_many_shapes)
{
    struct stream *stream = stream_create();
    struct position now = {0, 0};
    uint64_t seed = 7, next_digest = STEPS;
    for (unsigned i = 0; i < 20000; i++)
        add_access(stream, &now, &next_digest, &seed, 5, TRACE_MMIO_WRITE, 0xa0000 + i * 4, 4, i);
    assert_round_trip(stream);
    ck_assert_uint_ge(stream->frames, 5);
    stream_destroy(stream);
}
END_TEST

/* Incompressible accesses fill frames up to their limit and not beyond. */
START_TEST(test_full_frames)
{
    struct stream *stream = stream_create();
    struct position now = {0, 0};
    uint64_t seed = 99, next_digest = STEPS;
    for (unsigned i = 0; i < 300000; i++)
        add_access(stream, &now, &next_digest, &seed, random_next(&seed) & 0xff, TRACE_PIO_READ, 0x1f0, 2,
                   random_next(&seed) & 0xffff);
    assert_round_trip(stream);
    ck_assert_uint_ge(stream->frames, 2);
    stream_destroy(stream);
}
END_TEST

/* A frame with an event of a later minor version. */
static size_t foreign_frame(uint8_t *out, uint8_t flags)
{
    static const uint8_t definition[] = {0x3f,        0, 1, 2, 20, /* code, flags, format, extras, address 10 */
                                         TRACE_RESET, 0, 0, 0, 19};
    uint8_t *at = out;
    static const uint8_t columns[12][5] = {{0, 0, 0}, {1 | 4, 1 | 4}, {0, 1}, {0}, {5, 6}, {0}, {0x11}, {0}, {0},
                                           {0},       {3, 4},         {0}};
    static const uint8_t sizes[12] = {3, 2, 2, sizeof definition, 2, 0, 0, 0, 0, 0, 2, 0};
    const uint8_t head[] = {2, 0, 1, 0, 12};
    memcpy(at, head, sizeof head);
    at += sizeof head;
    memcpy(at, sizes, sizeof sizes);
    at += sizeof sizes;
    for (unsigned i = 0; i < 12; i++) {
        const uint8_t *column = i == 3 ? definition : columns[i];
        memcpy(at, column, sizes[i]);
        if (i == 3)
            at[1] = flags;
        at += sizes[i];
    }
    return (size_t)(at - out);
}

static enum status decode_foreign(uint8_t flags, struct journal_event *event, struct error *error)
{
    uint8_t raw[64];
    struct journal_frame frame = {.kind = JOURNAL_FRAME_EVENTS, .events = 2, .first = {100, 100}, .last = {111, 111}};
    size_t size = foreign_frame(raw, flags);
    struct journal_decoder *decoder = journal_decoder_create();
    enum status status = journal_decoder_start(decoder, raw, size, &frame, error);
    if (!status)
        status = journal_decoder_next(decoder, event, error);
    if (!status) {
        struct journal_event end;
        ck_assert_int_eq(journal_decoder_next(decoder, &end, error), STATUS_END);
    }
    journal_decoder_destroy(decoder);
    return status;
}

START_TEST(test_unknown_kind)
{
    struct journal_event event;
    struct error error = {{0}};
    enum status status = decode_foreign(1, &event, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.text);
    ck_assert_int_eq(event.trace.kind, TRACE_RESET);
    ck_assert_uint_eq(event.trace.position.icount, 111);
    ck_assert_int_eq(decode_foreign(0, &event, &error), STATUS_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.text, "63"));
}
END_TEST

/* No byte of a frame can make the decoder crash, run on, or give more events than the header says. */
START_TEST(test_hostile_content)
{
    struct stream *stream = stream_create();
    uint64_t seed = 5;
    struct position now = {65000, 65000};
    for (unsigned i = 0; i < 120; i++) {
        now.icount += i % 7;
        now.vtime_ns += i % 7;
        struct journal_event event = i % 5 ? random_event(&seed, now) : random_input(&seed, now);
        add(stream, &event);
        if (event.trace.kind == TRACE_HALT)
            now.vtime_ns += event.trace.value;
    }
    journal_encoder_flush(stream->encoder);
    struct journal_decoder *decoder = journal_decoder_create();
    const struct journal_frame *header = &stream->header[0];
    uint8_t *raw = malloc(header->raw_bytes);
    for (size_t at = 0; at < header->raw_bytes; at++) {
        for (unsigned bit = 0; bit < 9; bit++) {
            struct journal_event event;
            struct error error = {{0}};
            size_t count = 0;
            size_t size = bit == 8 ? at : header->raw_bytes;
            memcpy(raw, stream->frame[0], header->raw_bytes);
            raw[at] ^= (uint8_t)(1u << bit);
            enum status status = journal_decoder_start(decoder, raw, size, header, &error);
            while (!status) {
                status = journal_decoder_next(decoder, &event, &error);
                count++;
            }
            ck_assert_uint_le(count, header->events + 1u);
            ck_assert(status == STATUS_END || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
            if (bit == 8)
                ck_assert_int_ne(status, STATUS_END);
        }
    }
    free(raw);
    journal_decoder_destroy(decoder);
    stream_destroy(stream);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_event");
    TCase *tcase = tcase_create("events");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, test_random, 0, 8);
    tcase_add_test(tcase, test_size_of_a_boot);
    tcase_add_test(tcase, test_size_of_a_poll);
    tcase_add_test(tcase, test_many_shapes);
    tcase_add_test(tcase, test_full_frames);
    tcase_add_test(tcase, test_unknown_kind);
    tcase_add_test(tcase, test_hostile_content);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_NOFORK);
}
