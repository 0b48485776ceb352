/* See media.h. */
#include "tools/media.h"

#include "block/qcow2.h"
#include "tools/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS_MAX (1ull << 48) /* what a journal can say */

/* ---- names ---- */

const char *media_device_name(const struct session *session, unsigned drive)
{
    const char *id = session->machine_config->drive[drive].id;
    return id ? id : "";
}

const char *media_qdev_name(const struct session *session, unsigned drive)
{
    const char *qdev = session->machine_config->drive[drive].qdev;
    return qdev ? qdev : "";
}

void media_make_node_name(struct session *session, char name[MEDIA_NODE_BYTES])
{
    snprintf(name, MEDIA_NODE_BYTES, "#block%03u", session->media.next_node++);
}

static unsigned rank(const struct session *session, unsigned drive)
{
    return session->player || session->branch ? drive : session->options.drive[drive].given;
}

bool media_nth(const struct session *session, unsigned n, unsigned *drive)
{
    for (*drive = 0; *drive < JOURNAL_DRIVES; (*drive)++) {
        unsigned before = 0;
        for (unsigned other = 0; other < JOURNAL_DRIVES; other++)
            before += session->drive[other] && rank(session, other) < rank(session, *drive);
        if (session->drive[*drive] && before == n)
            return true;
    }
    return false;
}

static struct media_node *make_node(struct session *session, const char *name)
{
    struct media_node *node = calloc(1, sizeof *node);
    CHECK(node);
    if (name)
        snprintf(node->name, sizeof node->name, "%s", name);
    else
        media_make_node_name(session, node->name);
    media_make_node_name(session, node->file_name);
    return node;
}

void media_name_nodes(struct session *session, struct medium *medium, const char *name)
{
    struct media_node **link = &medium->node;
    struct block_image *image = medium->top;
    do {
        if (!*link)
            *link = make_node(session, name);
        link = &(*link)->backing;
        name = NULL;
        image = image ? block_qcow2_backing(image) : NULL;
    } while (image);
}

static void forget(struct medium *medium)
{
    while (medium->node) {
        struct media_node *node = medium->node;
        medium->node = node->backing;
        free(node);
    }
    free(medium->path);
    free(medium->format);
    *medium = (struct medium){0};
}

/* ---- opening ---- */

/* medium: filled. */
void media_set_format_options(struct block_open_options *open, const struct drive_option *option)
{
    open->l2_cache_bytes = option->l2_cache_bytes;
    open->refcount_cache_bytes = option->refcount_cache_bytes;
    open->cache_bytes = option->cache_bytes;
    open->unguarded = option->unguarded;
}

static struct block_image *open_medium(struct session *session, struct medium *medium, const char *path,
                                       const struct drive_option *option, const char *format, struct error *error)
{
    bool throw_away = option->snapshot || session->options.snapshot;
    struct block_open_options open = {
        .format = format, .read_only = option->read_only || throw_away, .host = &option->host};
    if (path == option->path) { /* said of the first image, not of what is put in later */
        open.snapshot = option->internal_snapshot;
        media_set_format_options(&open, option);
    }
    struct block_image *image = block_image_open(path, &open, error);
    if (!image)
        return NULL;
    *medium = (struct medium){.path = strdup(path),
                              .format = strdup(image->ops->format),
                              .top = image,
                              .thrown_away = throw_away,
                              .read_only = option->read_only,
                              .internal = open.snapshot};
    CHECK(medium->path && medium->format);
    return throw_away ? block_overlay_create(image, image->size_sectors, error) : image;
}

struct block_image *media_open_first(struct session *session, unsigned drive, struct error *error)
{
    const struct drive_option *option = &session->options.drive[drive];
    struct medium *medium = &session->media.drive[drive];
    if (!option->path)
        return NULL;
    struct block_image *image = open_medium(session, medium, option->path, option, option->format, error);
    if (image)
        media_name_nodes(session, medium, option->node_name);
    return image;
}

void media_tell_replayed(struct session *session, unsigned drive)
{
    const struct journal_drive *config = &session->machine_config->drive[drive];
    struct medium *medium = &session->media.drive[drive];
    if (!config->size_sectors)
        return;
    *medium = (struct medium){.path = strdup(config->path ? config->path : ""),
                              .format = strdup(config->format ? config->format : "raw"),
                              .read_only = config->read_only};
    media_name_nodes(session, medium, NULL);
}

/* ---- into the drive ---- */

static struct block_image *take_branched(struct session *session, uint32_t drive, uint32_t number, uint64_t sectors,
                                         struct error *error)
{
    struct block_image *image = replay_branch_medium(session->branch, number, sectors, error);
    if (number >= session->media.next_number)
        session->media.next_number = number + 1;
    return image && session->recorder ? replay_recorder_medium(session->recorder, drive, number, image, error) : image;
}

static struct block_image *take_replayed(struct session *session, uint32_t drive, uint32_t number, uint64_t sectors)
{
    struct medium *medium = &session->media.drive[drive];
    struct error error = {0};
    char path[32];
    if (number < JOURNAL_DRIVES) { /* set back to where it is the first one again */
        media_tell_replayed(session, number);
        return replay_player_image(session->player, number, &error);
    }
    snprintf(path, sizeof path, "medium %u", number);
    *medium = (struct medium){.path = strdup(path), .format = strdup("raw"), .read_only = true};
    media_name_nodes(session, medium, NULL);
    return session->branch ? take_branched(session, drive, number, sectors, &error)
                           : replay_player_medium(session->player, number, sectors, &error);
}

struct block_image *media_take(void *opaque, uint32_t drive, uint32_t number, uint64_t sectors)
{
    struct session *session = opaque;
    struct media *media = &session->media;
    struct block_image *image = media->coming_image;
    CHECK(drive < JOURNAL_DRIVES);
    forget(&media->drive[drive]);
    if (session->player)
        return take_replayed(session, drive, number, sectors);
    media->drive[drive] = media->coming;
    media->coming = (struct medium){0};
    media->coming_image = NULL;
    return image;
}

/* An input, at once. */
static void tell(struct session *session, unsigned drive, enum block_media_change change, uint32_t number,
                 uint64_t sectors)
{
    control_deliver(session, (struct input_message){.id = INPUT_MEDIA_CHANGE,
                                                    .target = drive,
                                                    .a = (uint64_t)change | (uint64_t)number << 16,
                                                    .b = sectors});
}

/* ---- tray ---- */

static enum status check_removable(struct session *session, unsigned drive, struct error *error)
{
    if (block_drive_tray(session->drive[drive]).removable)
        return STATUS_OK;
    return error_status(error, STATUS_INVALID, "Device '%s' is not removable", media_device_name(session, drive));
}

enum status media_open_tray(struct session *session, unsigned drive, bool force, struct error *error)
{
    enum status status = check_removable(session, drive, error);
    if (status)
        return status;
    struct block_tray tray = block_drive_tray(session->drive[drive]);
    if (tray.open)
        return STATUS_OK;
    if (tray.locked)
        tell(session, drive, BLOCK_MEDIA_BUTTON, 0, 0); /* the guest is asked */
    if (tray.locked && !force)
        return error_status(error, STATUS_INVALID,
                            "Device '%s' is locked and force was not specified, wait for tray to open and try again",
                            media_device_name(session, drive));
    tell(session, drive, BLOCK_MEDIA_TRAY_OPENED, 0, 0);
    return STATUS_OK;
}

enum status media_close_tray(struct session *session, unsigned drive, struct error *error)
{
    enum status status = check_removable(session, drive, error);
    if (!status && block_drive_tray(session->drive[drive]).open)
        tell(session, drive, BLOCK_MEDIA_TRAY_CLOSED, 0, 0);
    return status;
}

enum status media_remove(struct session *session, unsigned drive, struct error *error)
{
    enum status status = check_removable(session, drive, error);
    if (status)
        return status;
    if (!block_drive_tray(session->drive[drive]).open)
        return error_status(error, STATUS_INVALID, "Tray of device '%s' is not open",
                            media_device_name(session, drive));
    if (!block_drive_has_medium(session->drive[drive]))
        return STATUS_OK;
    tell(session, drive, BLOCK_MEDIA_REMOVED, 0, 0);
    forget(&session->media.drive[drive]);
    return STATUS_OK;
}

/* ---- another medium ---- */

static enum status open_coming(struct session *session, unsigned drive, const char *path, const char *format,
                               struct error *error)
{
    struct media *media = &session->media;
    if (media->next_number == JOURNAL_MEDIA_MAX)
        return error_status(error, STATUS_INVALID, "too many media in one run");
    media->coming_image = open_medium(session, &media->coming, path, &session->options.drive[drive], format, error);
    if (!media->coming_image)
        return STATUS_IO;
    media->coming_image->read_only = true;
    media_name_nodes(session, &media->coming, NULL);
    return STATUS_OK;
}

static void drop_coming(struct session *session)
{
    block_image_destroy(session->media.coming_image);
    session->media.coming_image = NULL;
    forget(&session->media.coming);
}

static enum status record_coming(struct session *session, unsigned drive, uint32_t number, struct error *error)
{
    struct media *media = &session->media;
    if (!session->recorder)
        return STATUS_OK;
    media->coming_image = replay_recorder_medium(session->recorder, drive, number, media->coming_image, error);
    return media->coming_image ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status media_change(struct session *session, unsigned drive, const char *path, const char *format, bool force,
                         struct error *error)
{
    uint32_t number = session->media.next_number;
    enum status status = check_removable(session, drive, error);
    if (!status)
        status = open_coming(session, drive, path, format, error);
    if (!status)
        status = media_open_tray(session, drive, force, error);
    if (!status)
        status = media_remove(session, drive, error);
    if (!status)
        status = record_coming(session, drive, number, error);
    if (!status) {
        session->media.next_number++;
        tell(session, drive, BLOCK_MEDIA_LAID_IN, number, session->media.coming_image->size_sectors);
        tell(session, drive, BLOCK_MEDIA_TRAY_CLOSED, 0, 0);
    }
    drop_coming(session);
    return status;
}

/* ---- another size ---- */

static enum status check_resize(struct session *session, unsigned drive, uint64_t size_bytes, struct error *error)
{
    struct block_image *image = block_drive_image(session->drive[drive]);
    if (!image)
        return error_status(error, STATUS_INVALID, "Device '%s' has no medium", media_device_name(session, drive));
    if (image->read_only)
        return error_status(error, STATUS_READ_ONLY, "Block node is read-only");
    if (size_bytes % BLOCK_SECTOR_BYTES)
        return error_status(error, STATUS_INVALID, "The new size must be a multiple of 512");
    if (!size_bytes || size_bytes / BLOCK_SECTOR_BYTES > SECTORS_MAX)
        return error_status(error, STATUS_INVALID, "The new size must be from 512 bytes to 2^57");
    if (!image->ops->resize)
        return error_status(error, STATUS_UNSUPPORTED, "Image format driver does not support resize");
    return STATUS_OK;
}

/* Larger before the guest hears of it, smaller when it has. */
enum status media_resize(struct session *session, unsigned drive, uint64_t size_bytes, struct error *error)
{
    struct block_drive *block = session->drive[drive];
    uint64_t sectors = size_bytes / BLOCK_SECTOR_BYTES;
    enum status status = check_resize(session, drive, size_bytes, error);
    if (status)
        return status;
    struct block_image *image = block_drive_image(block);
    if (sectors > image->size_sectors) {
        (void)block_drive_quiesce(block);
        status = image->ops->resize(image, sectors, error);
    }
    if (status)
        return status;
    control_deliver(session, (struct input_message){.id = INPUT_BLOCK_RESIZE, .target = drive, .a = sectors});
    if (image->size_sectors != sectors)
        return error_status(error, STATUS_IO, "the image could not be made smaller: the run ends");
    return STATUS_OK;
}

/* ---- life ---- */

void media_init(struct session *session)
{
    session->media.next_number = JOURNAL_DRIVES;
    session->media.next_node = 100;
}

void media_fini(struct session *session)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        forget(&session->media.drive[n]);
    drop_coming(session);
}
