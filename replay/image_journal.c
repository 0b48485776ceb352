/* A drive as the journal knows it: the first content of the sectors that were read. What the journal does not have yet
 * reads as zeros: a guest that asks for it has left the journal, which its trace events say. (In a diversion, which has left it on
 * purpose, the run ends.) */
#include "replay/player.h"

#include <stdio.h>
#include <stdlib.h>

struct journal_image {
    struct block_image image;
    struct replay_player *player;
    uint32_t medium;
    char name[32];
};

static struct journal_image *image_of(struct block_image *image)
{
    return (struct journal_image *)(void *)image;
}

/* The content lies in the file before the event that comes next after the read: when it is not known yet, taking in that
 * event takes in the content too. */
static uint32_t known_run(struct journal_image *self, uint64_t sector, uint32_t sectors, bool *known)
{
    uint32_t run = sector_index_run(self->player->sectors, self->medium, sector, sectors, known);
    if (*known || (self->player->diversion.on && !player_diverted_knows(self->player)))
        return run;
    if (!self->player->diversion.on)
        (void)player_head(self->player);
    return sector_index_run(self->player->sectors, self->medium, sector, sectors, known);
}

static enum status journal_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct journal_image *self = image_of(image);
    uint8_t *out = buffer;
    while (sectors) {
        bool known;
        uint32_t run = known_run(self, sector, sectors, &known);
        size_t bytes = (size_t)run * BLOCK_SECTOR_BYTES;
        if (known) {
            enum status status =
                sector_index_read(self->player->sectors, self->medium, sector, run, out, &self->player->error);
            if (status) {
                player_fail(self->player, status);
                return status;
            }
        } else if (self->player->diversion.on) {
            return player_diverted_missing(self->player, self->medium, sector);
        } else {
            memset(out, 0, bytes);
        }
        out += bytes;
        sector += run;
        sectors -= run;
    }
    return STATUS_OK;
}

enum status player_refuse_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer, bool fua)
{
    (void)image;
    (void)sector;
    (void)sectors;
    (void)buffer;
    (void)fua;
    return STATUS_READ_ONLY;
}

enum status player_flush_nothing(struct block_image *image)
{
    (void)image;
    return STATUS_OK;
}

static void journal_destroy(struct block_image *image)
{
    free(image_of(image));
}

static const struct block_image_ops journal_ops = {
    .format = "journal",
    .read = journal_read,
    .write = player_refuse_write,
    .flush = player_flush_nothing,
    .destroy = journal_destroy,
};

void player_correct_failed(struct replay_player *player, const struct trace_event *completion)
{
    struct block_image *overlay = completion->drive < JOURNAL_DRIVES ? player->overlay[completion->drive] : NULL;
    struct sector_failed failed;
    size_t cursor = 0;
    while (overlay && sector_index_next_failed(player->sectors, completion->drive, completion->tag, player->next_frame,
                                               &cursor, &failed)) {
        uint8_t *data = malloc((size_t)failed.count * BLOCK_SECTOR_BYTES);
        enum status status =
            data ? sector_index_read_failed(player->sectors, &failed, data, &player->error) : STATUS_NO_MEMORY;
        if (!status)
            status = overlay->ops->write(overlay, failed.sector, failed.count, data, false);
        if (!status && player->corrected)
            player->corrected(player->corrected_opaque, completion->drive, failed.sector, failed.count, data);
        free(data);
        if (status) {
            player_fail(player, status);
            return;
        }
    }
}

/* The medium, read-only, under an overlay that keeps the writes. */
static struct block_image *make_overlay(struct replay_player *player, uint32_t medium, uint64_t size_sectors,
                                        struct error *error)
{
    struct journal_image *self = calloc(1, sizeof *self);
    CHECK(self);
    snprintf(self->name, sizeof self->name, "medium %u of the journal", medium);
    self->image = (struct block_image){&journal_ops, size_sectors, true, self->name};
    self->player = player;
    self->medium = medium;
    return block_overlay_create(&self->image, size_sectors, error);
}

static bool removable(const struct journal_drive *drive)
{
    return drive->at.kind == BLOCK_ATTACH_IDE_CD || drive->at.kind == BLOCK_ATTACH_AHCI_CD;
}

/* A removable medium may go before the player does: it is never written, and nothing is corrected on it. */
struct block_image *replay_player_image(struct replay_player *player, uint32_t drive, struct error *error)
{
    const struct journal_config *config = &player->config.config;
    if (drive >= JOURNAL_DRIVES || !config->drive[drive].present || !config->drive[drive].size_sectors) {
        error_set(error, "%s: drive %u: not in the journal", journal_reader_path(player->reader), drive);
        return NULL;
    }
    struct block_image *overlay = make_overlay(player, drive, config->drive[drive].size_sectors, error);
    if (!overlay)
        return NULL;
    overlay->read_only = config->drive[drive].read_only || removable(&config->drive[drive]);
    player->overlay[drive] = removable(&config->drive[drive]) ? NULL : overlay;
    return overlay;
}

struct block_image *replay_player_medium(struct replay_player *player, uint32_t number, uint64_t size_sectors,
                                         struct error *error)
{
    if (number < JOURNAL_DRIVES || number >= JOURNAL_MEDIA_MAX) {
        error_set(error, "%s: medium %u: expected %u to %u", journal_reader_path(player->reader), number,
                  JOURNAL_DRIVES, JOURNAL_MEDIA_MAX - 1);
        return NULL;
    }
    struct block_image *overlay = make_overlay(player, number, size_sectors, error);
    if (overlay)
        overlay->read_only = true;
    return overlay;
}
