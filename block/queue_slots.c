/* The requests of a drive: which of them may go, in what order, and where their data are. */
#include "block/queue_internal.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_ALIGN 4096u

size_t queue_slot_bytes(const struct queue_slot *slot)
{
    return (size_t)slot->sectors * BLOCK_SECTOR_BYTES;
}

bool queue_tag_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

uint8_t *queue_grow_buffer(uint8_t **buffer, size_t *buffer_bytes, size_t size_bytes)
{
    if (*buffer_bytes < size_bytes) {
        size_t rounded = (size_bytes + BUFFER_ALIGN - 1) & ~(size_t)(BUFFER_ALIGN - 1);
        free(*buffer);
        *buffer = aligned_alloc(BUFFER_ALIGN, rounded);
        CHECK(*buffer);
        *buffer_bytes = rounded;
    }
    return *buffer;
}

uint8_t *queue_slot_buffer(struct queue_slot *slot, size_t size_bytes)
{
    return queue_grow_buffer(&slot->buffer, &slot->buffer_bytes, size_bytes);
}

void queue_slot_free(struct queue_slot *slot)
{
    struct queue_slot kept = {.buffer = slot->buffer, .buffer_bytes = slot->buffer_bytes, .activity = slot->activity};
    memset(slot, 0, sizeof *slot); /* all fields: equal states must have equal digests */
    slot->buffer = kept.buffer;
    slot->buffer_bytes = kept.buffer_bytes;
    slot->activity = kept.activity;
}

bool queue_ranges_overlap(uint64_t a, uint32_t a_sectors, uint64_t b, uint32_t b_sectors)
{
    return a < b + b_sectors && b < a + a_sectors;
}

static bool overlap(const struct queue_slot *a, const struct queue_slot *b)
{
    return queue_ranges_overlap(a->sector, a->sectors, b->sector, b->sectors);
}

static bool conflict(const struct queue_slot *earlier, const struct queue_slot *later)
{
    if (earlier->refused || later->refused)
        return false;
    if (earlier->op == TRACE_BLOCK_FLUSH || later->op == TRACE_BLOCK_FLUSH)
        return true;
    return (earlier->op != TRACE_BLOCK_READ || later->op != TRACE_BLOCK_READ) && overlap(earlier, later);
}

bool queue_may_start(const struct block_drive *drive, const struct queue_slot *slot)
{
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        const struct queue_slot *other = &drive->slot[n];
        if (other->state != SLOT_FREE && queue_tag_before(other->tag, slot->tag) && conflict(other, slot))
            return false;
    }
    return true;
}

unsigned queue_list_slots(struct block_drive *drive, enum slot_state state, struct queue_slot *list[BLOCK_PENDING_MAX])
{
    unsigned count = 0;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        struct queue_slot *slot = &drive->slot[n];
        if (slot->state != state)
            continue;
        unsigned at = count++;
        for (; at && queue_tag_before(slot->tag, list[at - 1]->tag); at--)
            list[at] = list[at - 1];
        list[at] = slot;
    }
    return count;
}

bool queue_timing_model(const struct block_drive *drive)
{
    return drive->options.timing == BLOCK_TIMING_MODEL;
}

bool queue_slot_timed(const struct block_drive *drive, const struct queue_slot *slot)
{
    return slot->refused || slot->state == SLOT_PAUSED || queue_timing_model(drive);
}

bool queue_slot_fua(const struct block_drive *drive, const struct queue_slot *slot)
{
    return slot->fua || drive->options.policy.write_through;
}

bool queue_passes_by(const struct block_drive *drive, const struct queue_slot *slot)
{
    enum block_fault_kind kind = block_fault_kind(slot->fault);
    return kind == BLOCK_FAULT_LOST || kind == BLOCK_FAULT_REORDER ||
           (slot->op == TRACE_BLOCK_DISCARD && drive->options.policy.keep_discarded);
}

bool queue_slot_at_host(const struct block_drive *drive, const struct queue_slot *slot)
{
    return slot->state == SLOT_RUNNING && !queue_slot_timed(drive, slot);
}

bool queue_in_range(const struct block_drive *drive, const struct queue_slot *slot)
{
    return slot->sector <= drive->sectors && slot->sectors <= drive->sectors - slot->sector;
}
