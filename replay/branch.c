/* Making a branch and taking it live. See branch.h. */
#include "replay/branch_internal.h"

#include <stdlib.h>

/* ---- contents ---- */

static enum status load_contents(struct replay_branch *branch, struct error *error)
{
    const struct journal_config *config = &branch->player->config.config;
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status = raw ? STATUS_OK : error_status(error, STATUS_NO_MEMORY, "out of memory");
    for (size_t n = 0; !status && n < journal_reader_count(branch->reader); n++) {
        if (journal_reader_frame(branch->reader, n)->kind != JOURNAL_FRAME_SECTORS)
            continue;
        status = journal_reader_load(branch->reader, n, raw, error);
        if (!status)
            status = sector_index_add(branch->contents, config, n, raw, error);
    }
    free(raw);
    return status;
}

static bool any_asks_faults(const struct journal_config *config)
{
    bool any = false;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        any |= config->drive[n].present && config->drive[n].policy.asks_faults;
    return any;
}

/* ---- making it ---- */

struct replay_branch *replay_branch_create(const struct replay_branch_options *options, struct error *error)
{
    const struct journal_config *config = replay_player_config(options->player);
    if (config->counts_exits) {
        error_set(
            error,
            "%s: its positions are exits of a processor (-accel %s), and there is no going on from one without it: "
            "a branch needs a run of the interpreter",
            options->path, config->accel);
        return NULL;
    }
    if (!player_head(options->player) && !options->player->status) {
        error_set(error, "%s: ends before the run begins: there is nothing to go on from", options->path);
        return NULL;
    }
    struct replay_branch *branch = calloc(1, sizeof *branch);
    CHECK(branch && !pthread_mutex_init(&branch->lock, NULL));
    branch->input.ops = &branch_input_ops;
    branch->player = options->player;
    branch->live = options->live;
    branch->entropy_follows = options->entropy_follows;
    branch->asks_faults = any_asks_faults(config);
    branch->reader = journal_reader_open(options->path, error);
    branch->contents = branch->reader ? sector_index_create(branch->reader) : NULL;
    if (branch->contents && load_contents(branch, error) == STATUS_OK)
        return branch;
    replay_branch_destroy(branch);
    return NULL;
}

void replay_branch_destroy(struct replay_branch *branch)
{
    if (!branch)
        return;
    sector_index_destroy(branch->contents);
    journal_reader_destroy(branch->reader);
    pthread_mutex_destroy(&branch->lock);
    free(branch);
}

struct input *replay_branch_input(struct replay_branch *branch)
{
    return &branch->input;
}

struct trace_sink replay_branch_trace(struct replay_branch *branch)
{
    return (struct trace_sink){&branch_trace_ops, branch};
}

void replay_branch_attach(struct replay_branch *branch, struct machine *machine)
{
    branch->machine = machine;
    replay_player_attach(branch->player, machine);
}

/* A write or discard failed in the parent, and the player has put over the drive what its sectors held afterwards. Below the
 * recorder nothing failed, so it has to be told; before it gets the event of the completion. */
static void note_failed(void *opaque, uint32_t drive, uint64_t sector, uint32_t sectors, const uint8_t *data)
{
    size_t bytes = (size_t)sectors * BLOCK_SECTOR_BYTES;
    struct recorder_failed *failed = calloc(1, sizeof *failed + bytes);
    CHECK(failed);
    failed->drive = drive;
    failed->sector = sector;
    failed->sectors = sectors;
    memcpy(failed->data, data, bytes);
    recorder_add_failed(opaque, failed);
}

void replay_branch_record(struct replay_branch *branch, struct replay_recorder *recorder)
{
    branch->recorder = recorder;
    branch->player->corrected = note_failed;
    branch->player->corrected_opaque = recorder;
}

/* ---- live ---- */

enum status replay_branch_go_live(struct replay_branch *branch, struct error *error)
{
    struct replay_player *player = branch->player;
    CHECK(!branch->is_live);
    if (player->status)
        return error_status(error, player->status, "%s",
                            player->diverged        ? player->divergence.text
                            : player->error.text[0] ? player->error.text
                                                    : status_name(player->status));
    branch->is_live = true;
    return STATUS_OK;
}

bool replay_branch_live(const struct replay_branch *branch)
{
    return branch->is_live;
}

bool replay_branch_missing(const struct replay_branch *branch, uint32_t *medium, uint64_t *sector)
{
    if (!atomic_load(&branch->missing.set))
        return false;
    *medium = branch->missing.medium;
    *sector = branch->missing.sector;
    return true;
}

/* ---- identity ---- */

/* Frames up to the last events frame that begins at the position or before; what lies between two events frames (sectors,
 * steps) counts with the later one. */
enum status replay_branch_identity(const struct replay_player *player, struct position position, uint64_t hash[2],
                                   struct error *error)
{
    struct journal_reader *reader = player->reader;
    enum status status = STATUS_OK;
    size_t count = journal_reader_count(reader), last = 0;
    for (size_t n = 0; n < count; n++) {
        const struct journal_frame *frame = journal_reader_frame(reader, n);
        if (frame->kind == JOURNAL_FRAME_EVENTS && position_reached(position, frame->first))
            last = n;
    }
    struct byte_sink sums = {0};
    for (size_t n = 0; n <= last && n < count && !status; n++) {
        uint64_t sum = 0;
        status = journal_reader_checksum(reader, n, &sum);
        byte_sink_put_u64(&sums, sum);
    }
    CHECK(!sums.failed);
    struct journal_hash whole = journal_hash128(sums.bytes, sums.used);
    byte_sink_free(&sums);
    hash[0] = whole.low;
    hash[1] = whole.high;
    return status ? error_status(error, status, "%s: can't be read", journal_reader_path(reader)) : STATUS_OK;
}
