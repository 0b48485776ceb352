/* The player: takes a journal in, frame by frame, in step with the machine. */
#include "replay/player.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FOLLOW_PERIOD_NS 20000000l

/* ---- trouble ---- */

void player_fail(struct replay_player *player, enum status status)
{
    if (!player->status)
        player->status = status;
    if (player->machine)
        machine_fail(player->machine, status == STATUS_DIVERGED ? MACHINE_STOP_DIVERGED : MACHINE_STOP_ERROR);
}

/* ---- following ---- */

/* True when there are more frames than before. */
static bool wait_for_more(struct replay_player *player)
{
    struct journal_end end;
    while (player->follow && !player->ended) {
        bool alive = journal_reader_writer_lives(player->reader);
        if (journal_reader_refresh(player->reader))
            return true;
        player->ended = journal_reader_end(player->reader, &end) || !alive || atomic_load(&player->cancelled);
        if (player->ended)
            break;
        struct timespec moment = {0, FOLLOW_PERIOD_NS};
        if (nanosleep(&moment, NULL) != 0)
            atomic_store(&player->cancelled, true); /* a signal that someone handles: Ctrl-C */
    }
    return false;
}

struct position player_listed_end(const struct replay_player *player)
{
    for (size_t i = journal_reader_count(player->reader); i > 0; i--) {
        const struct journal_frame *frame = journal_reader_frame(player->reader, i - 1);
        if (frame->kind == JOURNAL_FRAME_EVENTS)
            return frame->last;
    }
    return (struct position){0, 0};
}

void player_follow_beyond(struct replay_player *player, struct position position)
{
    while (!player->ended && position_reached(position, player_listed_end(player)))
        wait_for_more(player);
    if (!player->ended || !player->machine || !position_reached(position, player_listed_end(player)))
        return;
    if (atomic_load(&player->cancelled))
        machine_interrupt(player->machine);
    else
        machine_fail(player->machine, MACHINE_STOP_LIMIT);
}

void replay_player_cancel(struct replay_player *player)
{
    atomic_store(&player->cancelled, true);
}

/* ---- frames ---- */

static bool note_deliver(struct replay_player *player, struct position position)
{
    if (player->deliver_count == player->deliver_capacity) {
        size_t capacity = player->deliver_capacity ? player->deliver_capacity * 2 : 64;
        struct position *grown = realloc(player->deliver, capacity * sizeof *grown);
        if (!grown)
            return false;
        player->deliver = grown;
        player->deliver_capacity = capacity;
    }
    player->deliver[player->deliver_count++] = position;
    return true;
}

/* Goes through the frame once to learn where its messages are. */
static enum status list_delivers(struct replay_player *player, size_t index, const struct journal_frame *frame)
{
    struct journal_event event;
    enum status status;
    player->deliver_at = 0;
    if (player->deliver_frame == index)
        return STATUS_OK;
    player->deliver_count = 0;
    player->deliver_frame = SIZE_MAX;
    if (frame->delivers == 0)
        return STATUS_OK;
    status = journal_decoder_start(player->decoder, player->raw, frame->raw_bytes, frame, &player->error);
    while (!status && (status = journal_decoder_next(player->decoder, &event, &player->error)) == STATUS_OK)
        if (event.type == JOURNAL_EVENT_DELIVER && !note_deliver(player, event.trace.position))
            return STATUS_NO_MEMORY;
    if (status != STATUS_END)
        return status;
    player->deliver_frame = index;
    return STATUS_OK;
}

enum status player_load_events(struct replay_player *player, size_t index)
{
    const struct journal_frame frame = *journal_reader_frame(player->reader, index);
    enum status status = STATUS_OK;
    if (player->raw_frame != index) {
        player->raw_frame = SIZE_MAX;
        status = journal_reader_load(player->reader, index, player->raw, &player->error);
    }
    if (status)
        return status;
    player->raw_frame = index;
    status = list_delivers(player, index, &frame);
    if (status)
        return status;
    player->in_frame = true;
    player->taken = 0;
    if (player->ahead_from < player->next_frame) {
        player->ahead_from = player->next_frame;
        player->ahead_valid = false;
    }
    return journal_decoder_start(player->decoder, player->raw, frame.raw_bytes, &frame, &player->error);
}

enum status player_load_sectors(struct replay_player *player, size_t index)
{
    player->raw_frame = SIZE_MAX;
    enum status status = journal_reader_load(player->reader, index, player->raw, &player->error);
    return status ? status
                  : sector_index_add(player->sectors, &player->config.config, index, player->raw, &player->error);
}

/* Takes in the frame next_frame. */
static enum status enter_frame(struct replay_player *player)
{
    size_t index = player->next_frame++;
    const struct journal_frame frame = *journal_reader_frame(player->reader, index);
    bool known = index < player->known_frame;
    if (!known)
        player->known_frame = index + 1;
    switch (frame.kind) {
    case JOURNAL_FRAME_EVENTS: return player_load_events(player, index);
    case JOURNAL_FRAME_SECTORS: return known ? STATUS_OK : player_load_sectors(player, index);
    case JOURNAL_FRAME_CONFIG:
        return error_status(&player->error, STATUS_CORRUPT, "%s: frame %zu at offset %llu: a second configuration",
                            journal_reader_path(player->reader), index, (unsigned long long)frame.offset);
    case JOURNAL_FRAME_BLOB:
    case JOURNAL_FRAME_CHECKPOINT:
    case JOURNAL_FRAME_INDEX:
    case JOURNAL_FRAME_STEPS:
    case JOURNAL_FRAME_PAGES:
    case JOURNAL_FRAME_STATE:
    case JOURNAL_FRAME_END: return STATUS_OK;
    default:
        if (frame.flags & JOURNAL_FLAG_SKIPPABLE)
            return STATUS_OK;
        return error_status(&player->error, STATUS_UNSUPPORTED,
                            "%s: frame %zu at offset %llu: kind %u is unknown to this version and not skippable",
                            journal_reader_path(player->reader), index, (unsigned long long)frame.offset, frame.kind);
    }
}

static bool next_events_frame(struct replay_player *player)
{
    while (!player->in_frame) {
        if (player->next_frame == journal_reader_count(player->reader)) {
            if (!wait_for_more(player))
                return false;
            continue;
        }
        enum status status = enter_frame(player);
        if (status) {
            player_fail(player, status);
            return false;
        }
    }
    return true;
}

/* ---- events ---- */

const struct journal_event *player_head(struct replay_player *player)
{
    while (!player->have_head) {
        if (player->status || (!player->in_frame && !next_events_frame(player)))
            return NULL;
        enum status status = journal_decoder_next(player->decoder, &player->head, &player->error);
        if (status == STATUS_OK && player->head.type == JOURNAL_EVENT_DELIVER &&
            player->deliver_at == player->deliver_count)
            status =
                error_status(&player->error, STATUS_CORRUPT, "%s: frame %zu: has more messages than its header says",
                             journal_reader_path(player->reader), player->next_frame - 1);
        if (status == STATUS_END)
            player->in_frame = false;
        else if (status)
            player_fail(player, status);
        else
            player->have_head = true;
    }
    return player->status ? NULL : &player->head;
}

void player_accept_head(struct replay_player *player)
{
    player->before[player->before_count++ % PLAYER_BEFORE] = player->head;
    player->taken++;
    if (player->head.type == JOURNAL_EVENT_DELIVER)
        player->deliver_at++;
    player->have_head = false;
    if (player->keeps && player->taken % PLAYER_KEEP_EVENTS == 0)
        player_keep_decoder(player);
}

/* ---- looking ahead for messages ---- */

/* Looks for the first message of a frame. */
static bool find_first(struct replay_player *player, size_t index, struct position *position)
{
    struct journal_event event;
    const struct journal_frame frame = *journal_reader_frame(player->reader, index);
    enum status status = journal_reader_load(player->reader, index, player->ahead_raw, &player->error);
    if (!status)
        status = journal_decoder_start(player->ahead, player->ahead_raw, frame.raw_bytes, &frame, &player->error);
    while (!status && (status = journal_decoder_next(player->ahead, &event, &player->error)) == STATUS_OK) {
        if (event.type != JOURNAL_EVENT_DELIVER)
            continue;
        *position = event.trace.position;
        return true;
    }
    if (status != STATUS_END)
        player_fail(player, status);
    return false;
}

/* Room to keep what was found in frames up to this one; null: none. */
static struct position *first_of(struct replay_player *player, size_t index)
{
    if (index < player->first_count)
        return &player->first[index];
    size_t count = index + 256;
    struct position *grown = realloc(player->first, count * sizeof *grown);
    if (!grown)
        return NULL;
    for (size_t n = player->first_count; n < count; n++)
        grown[n] = (struct position){POSITION_NEVER, 0};
    player->first = grown;
    player->first_count = count;
    return &grown[index];
}

/* First message of a frame that is not taken in yet. */
static bool first_deliver(struct replay_player *player, size_t index)
{
    struct position *kept = first_of(player, index), found = {POSITION_NEVER, 0};
    if (kept)
        found = *kept;
    if (found.icount == POSITION_NEVER && !find_first(player, index, &found))
        return false;
    if (kept)
        *kept = found;
    player->ahead_position = found;
    player->ahead_valid = true;
    return true;
}

struct position player_next_deliver(struct replay_player *player)
{
    static const struct position never = {POSITION_NEVER, VTIME_NEVER};
    if (player->status)
        return never;
    if (player->in_frame && player->deliver_at < player->deliver_count)
        return player->deliver[player->deliver_at];
    if (player->ahead_from < player->next_frame) {
        player->ahead_from = player->next_frame;
        player->ahead_valid = false;
    }
    for (; !player->ahead_valid && player->ahead_from < journal_reader_count(player->reader); player->ahead_from++) {
        const struct journal_frame *frame = journal_reader_frame(player->reader, player->ahead_from);
        if (frame->kind == JOURNAL_FRAME_EVENTS && frame->delivers && first_deliver(player, player->ahead_from))
            break;
        if (player->status)
            return never;
    }
    return player->ahead_valid ? player->ahead_position : never;
}

/* ---- opening ---- */

static enum status load_config(struct replay_player *player, size_t index, struct error *error)
{
    const struct journal_frame frame = *journal_reader_frame(player->reader, index);
    const char *path = journal_reader_path(player->reader);
    unsigned expected = index == 0 ? JOURNAL_FRAME_CONFIG : JOURNAL_FRAME_BLOB;
    if (frame.kind != expected)
        return index && frame.flags & JOURNAL_FLAG_SKIPPABLE
                   ? STATUS_OK
                   : error_status(error, STATUS_CORRUPT, "%s: frame %zu at offset %llu: kind: expected %s", path, index,
                                  (unsigned long long)frame.offset, journal_frame_kind_name(expected));
    enum status status = journal_reader_load(player->reader, index, player->raw, error);
    if (status)
        return status;
    return index == 0
               ? journal_config_parse(&player->config, player->raw, frame.raw_bytes, path, frame.offset, error)
               : journal_config_add_blob(&player->config, player->raw, frame.raw_bytes, path, frame.offset, error);
}

/* A recorder that has just begun has not written the file header yet. */
static struct journal_reader *open_reader(struct replay_player *player, const char *path, struct error *error)
{
    while (player->follow && journal_being_made(path)) {
        struct timespec moment = {0, FOLLOW_PERIOD_NS};
        if (nanosleep(&moment, NULL) != 0)
            break;
    }
    return journal_reader_open(path, error);
}

static enum status open_config(struct replay_player *player, struct error *error)
{
    while (player->next_frame == 0 || !journal_config_complete(&player->config)) {
        if (player->next_frame == journal_reader_count(player->reader)) {
            if (wait_for_more(player))
                continue;
            const char *torn = journal_reader_torn(player->reader);
            return error_status(error, STATUS_TORN, "%s: ends before the machine's configuration is complete: %s",
                                journal_reader_path(player->reader), torn ? torn : "content missing");
        }
        enum status status = load_config(player, player->next_frame, error);
        if (status)
            return status;
        player->known_frame = ++player->next_frame;
    }
    if (player->config.config.digest_version != MACHINE_DIGEST_VERSION)
        return error_status(
            error, STATUS_UNSUPPORTED,
            "%s: config frame: digest version: expected %u, the journal has %u: only the vmrr that made it "
            "(%s) can replay it",
            journal_reader_path(player->reader), MACHINE_DIGEST_VERSION, player->config.config.digest_version,
            player->config.config.creator ? player->config.config.creator : "unknown");
    if (player->config.config.trace_kinds & ~TRACE_KINDS_ALL)
        return error_status(error, STATUS_UNSUPPORTED,
                            "%s: config frame: kinds of trace events: this vmrr makes %08x, the journal has %08x",
                            journal_reader_path(player->reader), TRACE_KINDS_ALL, player->config.config.trace_kinds);
    return journal_config_check_blobs(&player->config, journal_reader_path(player->reader), error);
}

struct replay_player *replay_player_open(const struct replay_player_options *options, struct error *error)
{
    struct replay_player *player = calloc(1, sizeof *player);
    if (!player) {
        error_set(error, "%s: out of memory", options->path);
        return NULL;
    }
    player->input.ops = &player_input_ops;
    player->follow = options->follow;
    player->raw_frame = player->deliver_frame = SIZE_MAX;
    player->reader = open_reader(player, options->path, error);
    if (player->reader) {
        player->sectors = sector_index_create(player->reader);
        player->decoder = journal_decoder_create();
        player->ahead = journal_decoder_create();
        player->raw = malloc(JOURNAL_FRAME_RAW_MAX);
        player->ahead_raw = malloc(JOURNAL_FRAME_RAW_MAX);
        if (!player->sectors || !player->decoder || !player->ahead || !player->raw || !player->ahead_raw)
            error_set(error, "%s: out of memory", options->path);
        else if (open_config(player, error) == STATUS_OK)
            return player;
    }
    replay_player_destroy(player);
    return NULL;
}

void replay_player_destroy(struct replay_player *player)
{
    if (!player)
        return;
    sector_index_destroy(player->sectors);
    journal_decoder_destroy(player->decoder);
    journal_decoder_destroy(player->ahead);
    journal_reader_destroy(player->reader);
    journal_config_free(&player->config.config);
    player_free_kept(player);
    free(player->deliver);
    free(player->first);
    free(player->raw);
    free(player->ahead_raw);
    free(player);
}

/* ---- the outside ---- */

const struct journal_config *replay_player_config(const struct replay_player *player)
{
    return &player->config.config;
}

struct input *replay_player_input(struct replay_player *player)
{
    return &player->input;
}

struct trace_sink replay_player_trace(struct replay_player *player)
{
    return (struct trace_sink){&player_trace_ops, player};
}

void replay_player_attach(struct replay_player *player, struct machine *machine)
{
    player->machine = machine;
    if (player->status)
        player_fail(player, player->status);
}

struct position replay_player_end(const struct replay_player *player)
{
    struct journal_end end;
    if (player->follow && !player->ended && !journal_reader_end(player->reader, &end))
        return MACHINE_NO_LIMIT;
    return player_listed_end(player);
}

bool replay_player_torn(const struct replay_player *player, char *why, size_t why_size)
{
    const char *torn = journal_reader_torn(player->reader);
    if (torn && why_size)
        snprintf(why, why_size, "%s", torn);
    return torn != NULL;
}

enum machine_stop replay_player_stop(const struct replay_player *player)
{
    struct journal_end end;
    if (!journal_reader_end(player->reader, &end) || end.stop >= MACHINE_STOP_COUNT)
        return MACHINE_STOP_NONE;
    return (enum machine_stop)end.stop;
}

const struct replay_divergence *replay_player_divergence(const struct replay_player *player)
{
    return player->diverged ? &player->divergence : NULL;
}

/* Events of a torn journal at its very last position may be work of a step that was not run again. */
static void check_leftover(struct replay_player *player)
{
    struct journal_end end;
    const struct journal_event *head = player_head(player);
    struct position last = player_listed_end(player);
    if (!head || (!journal_reader_end(player->reader, &end) && position_reached(head->trace.position, last)))
        return;
    struct position now = player->machine ? machine_position(player->machine) : head->trace.position;
    player_diverge(player, now, NULL, "the run ended before its journal did");
}

enum status replay_player_result(struct replay_player *player, struct error *error)
{
    if (!player->status)
        check_leftover(player);
    if (player->diverged)
        error_set(error, "%s", player->divergence.text);
    else if (player->status)
        error_set(error, "%s", player->error.text[0] ? player->error.text : status_name(player->status));
    return player->status;
}
