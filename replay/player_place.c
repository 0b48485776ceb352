/* Going about in a journal: see replay.h. The decoder of an events frame starts at the frame's beginning, or where it was
 * kept. */
#include "replay/player.h"

static struct player_kept *find_kept(struct replay_player *player, size_t frame, uint32_t taken)
{
    struct player_kept *best = NULL;
    for (unsigned n = 0; n < PLAYER_KEPT; n++) {
        struct player_kept *kept = &player->kept[n];
        if (kept->decoder && kept->frame == frame && kept->taken <= taken && (!best || kept->taken > best->taken))
            best = kept;
    }
    return best;
}

void player_keep_decoder(struct replay_player *player)
{
    size_t frame = player->next_frame - 1;
    const struct player_kept *there = find_kept(player, frame, player->taken);
    struct player_kept *kept = &player->kept[player->kept_next];
    if (there && there->taken == player->taken)
        return;
    player->kept_next = (player->kept_next + 1) % PLAYER_KEPT;
    journal_decoder_destroy(kept->decoder);
    *kept = (struct player_kept){frame, player->taken, player->deliver_at, journal_decoder_copy(player->decoder)};
}

void player_free_kept(struct replay_player *player)
{
    for (unsigned n = 0; n < PLAYER_KEPT; n++)
        journal_decoder_destroy(player->kept[n].decoder);
}

struct replay_place replay_player_place(struct replay_player *player)
{
    player->keeps = true;
    return (struct replay_place){player->next_frame, player->in_frame ? player->taken : 0, player->in_frame};
}

static void forget_trouble(struct replay_player *player)
{
    player->status = STATUS_OK;
    player->diverged = false;
    error_clear(&player->error);
}

/* A place ahead: what would have been taken in on the way there. */
enum status player_know_sectors(struct replay_player *player, uint64_t frame)
{
    enum status status = STATUS_OK;
    for (; player->known_frame < frame && !status; player->known_frame++) {
        if (journal_reader_frame(player->reader, player->known_frame)->kind == JOURNAL_FRAME_SECTORS)
            status = player_load_sectors(player, player->known_frame);
    }
    return status;
}

static enum status go_into_frame(struct replay_player *player, const struct replay_place *place)
{
    size_t index = place->frame - 1;
    if (journal_reader_frame(player->reader, index)->kind != JOURNAL_FRAME_EVENTS)
        return STATUS_CORRUPT;
    enum status status = player_load_events(player, index);
    const struct player_kept *kept = status ? NULL : find_kept(player, index, place->taken);
    if (kept) {
        journal_decoder_set(player->decoder, kept->decoder);
        player->taken = kept->taken;
        player->deliver_at = kept->deliver_at;
    }
    while (!status && player->taken < place->taken) {
        status = journal_decoder_next(player->decoder, &player->head, &player->error);
        if (!status)
            player_accept_head(player);
    }
    return status == STATUS_END ? STATUS_CORRUPT : status;
}

enum status replay_player_return(struct replay_player *player, const struct replay_place *place)
{
    CHECK(!player->follow);
    if (place->frame > journal_reader_count(player->reader) || (place->within_frame && !place->frame))
        return STATUS_CORRUPT;
    forget_trouble(player);
    player->have_head = player->in_frame = false;
    player->before_count = 0;
    player->next_frame = place->frame;
    player->deliver_at = player->deliver_count;
    player->ahead_from = place->frame;
    player->ahead_valid = false;
    enum status status = player_know_sectors(player, place->frame);
    if (!status && place->within_frame)
        status = go_into_frame(player, place);
    if (status)
        player_fail(player, status);
    return status;
}
