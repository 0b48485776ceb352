/* Events of the journal: encoding into and decoding from the content of an events frame (FORMAT.md, "Events frame").
 * Thread: the owner's. */
#ifndef VMRR_REPLAY_JOURNAL_EVENT_H
#define VMRR_REPLAY_JOURNAL_EVENT_H

#include "core/input.h"
#include "core/trace.h"
#include "replay/journal_format.h"

#define JOURNAL_CODE_PULL 0x40u    /* + enum input_id */
#define JOURNAL_CODE_DELIVER 0x80u /* + enum input_id */

enum journal_event_type { JOURNAL_EVENT_TRACE, JOURNAL_EVENT_PULL, JOURNAL_EVENT_DELIVER };

struct journal_event {
    enum journal_event_type type;
    uint8_t digest_bits; /* TRACE_DIGEST: how many low bits of the value are in the journal: 8 or 64 */
    /* Of every type the position; of TRACE the rest. Fields that FORMAT.md does not list for a kind are zero. */
    struct trace_event trace;
    /* PULL: id and a; DELIVER: all. */
    struct input_message input;
};

/* Null-terminated text of one line, without position: "pio-read 3fd/1 = 60". Returns out. */
char *journal_event_text(const struct journal_event *event, char *out, size_t size);

/* ---- encoding ---- */

struct journal_encoder;

struct journal_encoder_frame {
    const uint8_t *raw;
    size_t raw_bytes;
    struct position first, last;
    uint32_t events, delivers;
};

/* full is called from within the append functions when a frame must end: content limits, or a gap in the digests. */
struct journal_encoder *journal_encoder_create(uint64_t digest_steps,
                                               void (*full)(void *opaque, const struct journal_encoder_frame *frame),
                                               void *opaque);
void journal_encoder_destroy(struct journal_encoder *encoder);
void journal_encoder_trace(struct journal_encoder *encoder, const struct trace_event *event);
void journal_encoder_pull(struct journal_encoder *encoder, struct position position, enum input_id id, uint64_t value);
void journal_encoder_deliver(struct journal_encoder *encoder, struct position position,
                             const struct input_message *message);
/* Hands what is there to full, if anything is, and starts anew. */
void journal_encoder_flush(struct journal_encoder *encoder);
bool journal_encoder_empty(const struct journal_encoder *encoder);

/* ---- decoding ---- */

struct journal_decoder;

struct journal_decoder *journal_decoder_create(void);
void journal_decoder_destroy(struct journal_decoder *decoder); /* a copy too */
/* Where a decoder is, kept: null when there is no memory. A copy does nothing but to be given back to a decoder, while the content
 * that was given to start is there. */
struct journal_decoder *journal_decoder_copy(const struct journal_decoder *decoder);
void journal_decoder_set(struct journal_decoder *decoder, const struct journal_decoder *copy);
/* raw is borrowed until the next start. frame: from the header. */
enum status journal_decoder_start(struct journal_decoder *decoder, const uint8_t *raw, size_t raw_bytes,
                                  const struct journal_frame *frame, struct error *error) MUST_CHECK;
/* STATUS_OK, STATUS_END, or STATUS_CORRUPT or STATUS_UNSUPPORTED with the text. Events of unknown skippable kinds are
 * passed over. */
enum status journal_decoder_next(struct journal_decoder *decoder, struct journal_event *event,
                                 struct error *error) MUST_CHECK;

#endif
