/* The medium of a drive: others come and go, it becomes larger or smaller, or lies in another file. */
#include "block/queue_internal.h"

static struct block_image *sized(struct block_drive *drive, struct block_image *image)
{
    drive->sectors = image ? image->size_sectors : 0;
    return image;
}

/* ---- requests whose medium goes, or no longer reaches so far ---- */

/* At the host they end by themselves. */
static void refuse_slots(struct block_drive *drive, bool all, enum status status)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        bool concerned = all || !queue_in_range(drive, slot);
        if (slot->state != SLOT_FREE && !slot->refused && !queue_slot_at_host(drive, slot) && concerned)
            slot->refused = (int32_t)status;
    }
}

static void forget_kept(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        struct queue_kept *kept = &drive->kept[n];
        if (kept->sector + kept->sectors <= drive->sectors)
            continue;
        kept->sector = kept->data_hash = 0;
        kept->sectors = 0;
    }
}

/* ---- media that have gone ---- */

static bool at_host(const struct block_drive *drive, const struct block_image *image)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (queue_slot_at_host(drive, &drive->slot[n]) && drive->slot[n].job.image == image)
            return true;
    }
    return false;
}

void queue_media_release(struct block_drive *drive)
{
    for (unsigned n = 0; n < drive->retired_count;) {
        if (at_host(drive, drive->retired[n])) {
            n++;
            continue;
        }
        block_image_destroy(drive->retired[n]);
        drive->retired[n] = drive->retired[--drive->retired_count];
    }
}

/* As many as have a request at the host, so there is room. */
static void take_out(struct block_drive *drive)
{
    struct block_image *image = drive->image;
    if (!image)
        return;
    drive->image = sized(drive, NULL);
    drive->medium = drive->image_medium = BLOCK_MEDIUM_NONE;
    refuse_slots(drive, true, STATUS_IO);
    forget_kept(drive);
    if (!at_host(drive, image)) {
        block_image_destroy(image);
        return;
    }
    CHECK(drive->retired_count < BLOCK_PENDING_MAX);
    drive->retired[drive->retired_count++] = image;
}

/* Null: there is no such medium. */
static struct block_image *find_medium(const struct block_drive *drive, uint64_t number, uint64_t sectors)
{
    const struct block_media_source *source = &drive->options.media;
    bool sane = source->take && number < BLOCK_MEDIUM_NONE && sectors && sectors <= (uint64_t)INT64_MAX / 512;
    struct block_image *image =
        sane ? source->take(source->opaque, drive->options.drive, (uint32_t)number, sectors) : NULL;
    if (image && image->size_sectors != sectors) {
        block_image_destroy(image);
        return NULL;
    }
    if (image)
        image->read_only = true; /* removable media are */
    return image;
}

static bool put_in(struct block_drive *drive, const struct input_message *message)
{
    uint64_t number = message->a >> 16;
    struct block_image *image = find_medium(drive, number, message->b);
    if (!image)
        return false;
    drive->image = sized(drive, image);
    drive->medium = drive->image_medium = (uint32_t)number;
    return true;
}

static void media_changed(void *opaque, const struct input_message *message)
{
    struct block_drive *drive = opaque;
    enum block_media_change change = (enum block_media_change)(message->a & 0xFF);
    bool new_one = (change == BLOCK_MEDIA_INSERTED || change == BLOCK_MEDIA_LAID_IN) && message->a >> 16;
    if (!drive->listener.media || change >= BLOCK_MEDIA_CHANGES)
        return;
    if (change == BLOCK_MEDIA_REMOVED || new_one)
        take_out(drive);
    if (new_one && !put_in(drive, message)) {
        machine_fail(drive->device.machine, MACHINE_STOP_ERROR);
        return;
    }
    drive->listener.media(drive->listener.opaque, change);
    queue_start_ready(drive);
}

/* ---- another size ---- */

/* Whoever makes it larger has done so with the image before; smaller it becomes here, when nobody may reach behind the
 * new end any more. */
static bool resize_image(struct block_drive *drive, uint64_t sectors)
{
    struct error error = {0};
    struct block_image *image = drive->image;
    if (image->size_sectors == sectors)
        return true;
    (void)block_drive_quiesce(drive);
    return image->ops->resize && !image->ops->resize(image, sectors, &error);
}

static void resized(void *opaque, const struct input_message *message)
{
    struct block_drive *drive = opaque;
    uint64_t sectors = message->a;
    if (!drive->image || drive->image->read_only || !sectors || sectors > (uint64_t)INT64_MAX / BLOCK_SECTOR_BYTES)
        return;
    drive->sectors = sectors;
    refuse_slots(drive, false, STATUS_INVALID);
    forget_kept(drive);
    if (!resize_image(drive, sectors)) {
        machine_fail(drive->device.machine, MACHINE_STOP_ERROR);
        return;
    }
    if (drive->listener.resized)
        drive->listener.resized(drive->listener.opaque);
    queue_start_ready(drive);
}

/* ---- other files ---- */

bool block_drive_quiesce(struct block_drive *drive)
{
    struct block_executor *executor = drive->options.executor;
    bool some = false;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        if (!queue_slot_at_host(drive, &drive->slot[n]))
            continue;
        some = true;
        executor->ops->wait(executor, &drive->slot[n].job);
    }
    return some;
}

struct block_image *block_drive_exchange(struct block_drive *drive, struct block_image *image)
{
    struct block_image *before = drive->image;
    CHECK(before && image->size_sectors == before->size_sectors && !at_host(drive, before));
    image->read_only = before->read_only;
    drive->image = image;
    return before;
}

void block_drive_hand_over(struct block_drive *drive, struct block_executor *executor)
{
    struct queue_slot *list[BLOCK_PENDING_MAX];
    unsigned count = queue_list_slots(drive, SLOT_RUNNING, list);
    drive->options.executor = executor;
    for (unsigned n = 0; n < count; n++) {
        if (queue_slot_at_host(drive, list[n]))
            executor->ops->start(executor, &list[n]->job);
    }
}

bool block_drive_oldest_at_host(struct block_drive *drive, uint32_t *tag)
{
    struct queue_slot *list[BLOCK_PENDING_MAX];
    unsigned count = queue_list_slots(drive, SLOT_RUNNING, list);
    for (unsigned n = 0; n < count; n++) {
        if (!queue_slot_at_host(drive, list[n]))
            continue;
        *tag = list[n]->tag;
        return true;
    }
    return false;
}

/* ---- the device, and people ---- */

void block_drive_listen(struct block_drive *drive, struct block_listener listener)
{
    drive->listener = listener;
}

bool block_drive_has_medium(const struct block_drive *drive)
{
    return drive->image;
}

void block_drive_set_tray(struct block_drive *drive, bool open, bool locked)
{
    bool moved = drive->tray_open != open;
    drive->tray_open = open;
    drive->tray_locked = locked;
    if (moved && drive->on_tray)
        drive->on_tray(drive->on_tray_opaque, drive->options.drive, open);
}

struct block_tray block_drive_tray(const struct block_drive *drive)
{
    return (struct block_tray){drive->listener.media, drive->tray_open, drive->tray_locked};
}

void block_drive_on_tray(struct block_drive *drive, void (*hook)(void *opaque, uint32_t drive, bool open), void *opaque)
{
    drive->on_tray = hook;
    drive->on_tray_opaque = opaque;
}

/* ---- life ---- */

void queue_media_init(struct block_drive *drive)
{
    struct machine *machine = drive->device.machine;
    (void)sized(drive, drive->image);
    drive->medium = drive->image_medium = drive->image ? drive->options.drive : BLOCK_MEDIUM_NONE;
    machine_set_receiver(machine, INPUT_MEDIA_CHANGE, drive->options.drive, media_changed, drive);
    machine_set_receiver(machine, INPUT_BLOCK_RESIZE, drive->options.drive, resized, drive);
}

void queue_media_fini(struct block_drive *drive)
{
    for (unsigned n = 0; n < drive->retired_count; n++)
        block_image_destroy(drive->retired[n]);
    block_image_destroy(drive->image);
}

bool queue_media_ready(const struct block_drive *drive)
{
    return !drive->retired_count && (!drive->image || drive->image->ops->content_save);
}

enum status queue_media_restore(struct block_drive *drive)
{
    struct block_image *image = NULL;
    if (drive->medium == drive->image_medium)
        return STATUS_OK;
    if (!drive->listener.media)
        return STATUS_CORRUPT;
    if (drive->medium != BLOCK_MEDIUM_NONE && !(image = find_medium(drive, drive->medium, drive->sectors)))
        return STATUS_CORRUPT;
    block_image_destroy(drive->image);
    drive->image = image;
    drive->image_medium = drive->medium;
    return STATUS_OK;
}

void queue_media_post_load(struct block_drive *drive)
{
    uint64_t there = drive->image ? drive->image->size_sectors : 0;
    if (drive->sectors > there || !drive->sectors)
        drive->sectors = there;
    if (!drive->image)
        drive->medium = BLOCK_MEDIUM_NONE;
}
