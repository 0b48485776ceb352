/* The input of a diversion: see diversion.h. */
#include "replay/diversion.h"

#include "core/vtime.h"
#include "replay/player.h"

#define ENTROPY_SEED 0x6469766572736521ull
#define COMPLETION_NS 100000u

static struct replay_player *player_of(struct input *input)
{
    return (struct replay_player *)(void *)input;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(struct player_diversion *diversion)
{
    uint64_t value = diversion->entropy += 0x9E3779B97F4A7C15ull;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

/* What the executor's work gave is fetched: it is done here. All other sources are the host's. */
static uint64_t diverted_pull(struct input *input, enum input_id id, struct position position,
                              uint64_t (*fetch)(void *opaque), void *opaque)
{
    struct player_diversion *diversion = &player_of(input)->diversion;
    if (id == INPUT_IO_STATUS && fetch)
        return fetch(opaque);
    if (id == INPUT_BLOCK_FAULT)
        return 0;
    if (diversion->live)
        return diversion->live->ops->pull(diversion->live, id, position, fetch, opaque);
    return id == INPUT_ENTROPY ? draw(diversion) : 0;
}

/* ---- completions ---- */

static bool at_host(const struct player_diversion *diversion, struct input_message *completion)
{
    return diversion->host.oldest && diversion->host.oldest(diversion->host.opaque, completion);
}

/* Whoever stops the machine, and where, does not move these places. */
static bool is_due(const struct player_diversion *diversion, struct position position)
{
    return position.icount % MACHINE_SLICE_STEPS == 0 ||
           (position.icount == diversion->due.icount && position.vtime_ns >= diversion->due.vtime_ns);
}

static bool diverted_next(struct input *input, struct position position, struct input_message *message)
{
    struct player_diversion *diversion = &player_of(input)->diversion;
    struct input *live = diversion->live;
    if (is_due(diversion, position) && at_host(diversion, message))
        return true;
    return live && live->ops->next(live, position, message);
}

static bool diverted_more(struct input *input, struct position position)
{
    struct input *live = player_of(input)->diversion.live;
    return live && live->ops->more && live->ops->more(live, position);
}

static struct position diverted_horizon(struct input *input, struct position position)
{
    (void)input;
    (void)position;
    return (struct position){POSITION_NEVER, VTIME_NEVER};
}

static uint64_t diverted_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct player_diversion *diversion = &player_of(input)->diversion;
    struct input *live = diversion->live;
    struct input_message message;
    if (at_host(diversion, &message)) {
        diversion->due = (struct position){position.icount, position.vtime_ns + COMPLETION_NS};
        return diversion->due.vtime_ns < deadline_ns ? diversion->due.vtime_ns : deadline_ns;
    }
    return live ? live->ops->wait(live, position, deadline_ns) : deadline_ns;
}

static void diverted_destroy(struct input *input)
{
    (void)input; /* part of the player, which its maker destroys */
}

static const struct input_ops diverted_ops = {
    .pull = diverted_pull,
    .next = diverted_next,
    .more = diverted_more,
    .horizon = diverted_horizon,
    .wait = diverted_wait,
    .destroy = diverted_destroy,
};

/* ---- sectors ---- */

/* Of all the journal: first contents are of the image that the run began with, wherever they were read. The decoder's place is
 * given up, which is no loss. */
bool player_diverted_knows(struct replay_player *player)
{
    bool news = player->known_frame < journal_reader_count(player->reader);
    enum status status = news ? player_know_sectors(player, journal_reader_count(player->reader)) : STATUS_OK;
    if (status)
        player_fail(player, status);
    return news && !status;
}

enum status player_diverted_missing(struct replay_player *player, uint32_t medium, uint64_t sector)
{
    struct player_diversion *diversion = &player->diversion;
    if (!diversion->missing) {
        diversion->missing = true;
        diversion->missing_medium = medium;
        diversion->missing_sector = sector;
    }
    if (player->machine)
        machine_fail(player->machine, MACHINE_STOP_ERROR);
    return STATUS_NOT_FOUND;
}

bool replay_player_missing(const struct replay_player *player, uint32_t *medium, uint64_t *sector)
{
    const struct player_diversion *diversion = &player->diversion;
    *medium = diversion->missing_medium;
    *sector = diversion->missing_sector;
    return diversion->missing;
}

/* ---- out and back ---- */

void replay_player_divert(struct replay_player *player, struct replay_host host)
{
    CHECK(!player->follow && !player->diversion.on);
    player->diversion = (struct player_diversion){
        .on = true, .host = host, .entropy = ENTROPY_SEED, .due = {POSITION_NEVER, VTIME_NEVER}};
    player->input.ops = &diverted_ops;
}

bool replay_player_diverted(const struct replay_player *player)
{
    return player->diversion.on;
}

void replay_player_rejoin(struct replay_player *player)
{
    CHECK(player->diversion.on && !player->diversion.live);
    player->diversion = (struct player_diversion){.on = false};
    player->input.ops = &player_input_ops;
}

void replay_player_stay_diverted(struct replay_player *player, struct input *live)
{
    CHECK(player->diversion.on);
    player->diversion.live = live;
}
