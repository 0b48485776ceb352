/* What a journal is called, and its positions by other names: the number of an event, a virtual time. Looks at the journal alone: the replay stays where
 * it is. */
#include "replay/player.h"

static enum status start_ahead(struct replay_player *player, size_t index, struct error *error)
{
    const struct journal_frame frame = *journal_reader_frame(player->reader, index);
    enum status status = journal_reader_load(player->reader, index, player->ahead_raw, error);
    return status ? status : journal_decoder_start(player->ahead, player->ahead_raw, frame.raw_bytes, &frame, error);
}

static bool is_events(const struct replay_player *player, size_t index)
{
    return journal_reader_frame(player->reader, index)->kind == JOURNAL_FRAME_EVENTS;
}

enum status replay_player_find_event(struct replay_player *player, uint64_t number, struct position *position,
                                     struct error *error)
{
    struct journal_event event;
    uint64_t before = 0;
    for (size_t n = 0; number && n < journal_reader_count(player->reader); n++) {
        uint32_t events = is_events(player, n) ? journal_reader_frame(player->reader, n)->events : 0;
        if (number - before > events) {
            before += events;
            continue;
        }
        enum status status = start_ahead(player, n, error);
        for (uint64_t left = number - before; left && !status; left--)
            status = journal_decoder_next(player->ahead, &event, error);
        if (!status)
            *position = event.trace.position;
        return status;
    }
    return error_status(error, STATUS_NOT_FOUND, "the journal has %llu events", (unsigned long long)before);
}

/* Within a frame; previous: the last event before it. Between two events time goes as the steps do, but for what HLT skips at the
 * first of them. */
static enum status find_time_in(struct replay_player *player, size_t index, uint64_t vtime_ns, struct position previous,
                                uint64_t *icount, struct error *error)
{
    struct journal_event event;
    enum status status = start_ahead(player, index, error);
    while (!status && (status = journal_decoder_next(player->ahead, &event, error)) == STATUS_OK) {
        struct position at = event.trace.position;
        if (at.vtime_ns >= vtime_ns) {
            uint64_t back = at.vtime_ns - vtime_ns;
            *icount = at.icount > back && at.icount - back > previous.icount ? at.icount - back : previous.icount;
            return STATUS_OK;
        }
        previous = at;
    }
    return status == STATUS_END ? STATUS_NOT_FOUND : status;
}

enum status replay_player_find_time(struct replay_player *player, uint64_t vtime_ns, uint64_t *icount,
                                    struct error *error)
{
    struct position previous = {0, 0};
    for (size_t n = 0; n < journal_reader_count(player->reader); n++) {
        const struct journal_frame frame = *journal_reader_frame(player->reader, n);
        if (frame.kind != JOURNAL_FRAME_EVENTS)
            continue;
        if (frame.last.vtime_ns >= vtime_ns) {
            enum status status = find_time_in(player, n, vtime_ns, previous, icount, error);
            if (status != STATUS_NOT_FOUND)
                return status;
        }
        previous = frame.last;
    }
    return error_status(error, STATUS_NOT_FOUND, "the journal ends at %llu.%09llu s",
                        (unsigned long long)(previous.vtime_ns / 1000000000),
                        (unsigned long long)(previous.vtime_ns % 1000000000));
}

enum status replay_player_identity(struct replay_player *player, struct replay_identity *identity, struct error *error)
{
    struct byte_sink sink = {0};
    enum status status = journal_reader_load(player->reader, 0, player->ahead_raw, error);
    if (status)
        return status;
    byte_sink_put(&sink, player->ahead_raw, journal_reader_frame(player->reader, 0)->raw_bytes);
    byte_sink_put_u64(&sink, journal_reader_size(player->reader));
    for (size_t n = 0; n < journal_reader_count(player->reader); n++) {
        const struct journal_frame *frame = journal_reader_frame(player->reader, n);
        byte_sink_put_u8(&sink, frame->kind);
        byte_sink_put_u64(&sink, frame->offset);
        byte_sink_put_u64(&sink, frame->packed_bytes | (uint64_t)frame->raw_bytes << 32);
        byte_sink_put_u64(&sink, frame->last.icount);
        byte_sink_put_u64(&sink, frame->last.vtime_ns);
    }
    if (!sink.failed) {
        struct journal_hash hash = journal_hash128(sink.bytes, sink.used);
        *identity = (struct replay_identity){hash.low, hash.high};
    }
    status = sink.failed ? STATUS_NO_MEMORY : STATUS_OK;
    byte_sink_free(&sink);
    return status;
}
