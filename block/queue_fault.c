/* What goes wrong on purpose (fault.h), and the writes that the drive keeps because of it: invariant 7. */
#include "block/queue_internal.h"

#include <string.h>
#include <xxhash.h>

struct question {
    struct block_drive *drive;
    const struct queue_slot *slot;
};

static uint64_t ask_rules(void *opaque)
{
    const struct question *question = opaque;
    const struct block_queue_options *options = &question->drive->options;
    const struct queue_slot *slot = question->slot;
    return block_fault_ask(options->fault_rules, options->fault_rule_count, options->drive,
                           (enum trace_block_op)slot->op, slot->sector, slot->sectors);
}

static struct queue_kept *free_kept(struct block_drive *drive)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        if (!drive->kept[n].sectors)
            return &drive->kept[n];
    }
    return NULL;
}

/* For all that are to be kept and are not yet. */
static bool room_to_keep(const struct block_drive *drive)
{
    int room = 0;
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++)
        room += !drive->kept[n].sectors;
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++)
        room -= drive->slot[n].state != SLOT_FREE && block_fault_kind(drive->slot[n].fault) == BLOCK_FAULT_REORDER;
    return room >= 0;
}

bool queue_flip_bit(uint8_t *data, size_t size_bytes, uint64_t fault)
{
    uint64_t bit = block_fault_argument(fault);
    if (block_fault_kind(fault) != BLOCK_FAULT_FLIP || bit / 8 >= size_bytes)
        return false;
    data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    return true;
}

void queue_flip_write(struct queue_slot *slot)
{
    if (slot->op == TRACE_BLOCK_WRITE && queue_flip_bit(slot->buffer, queue_slot_bytes(slot), slot->fault))
        slot->data_hash = XXH3_64bits(slot->buffer, queue_slot_bytes(slot));
}

/* A number from outside: only what can happen to this request does. */
static uint64_t sound_fault(const struct queue_slot *slot, uint64_t fault)
{
    enum block_fault_kind kind = block_fault_kind(fault);
    bool write = slot->op == TRACE_BLOCK_WRITE, read = slot->op == TRACE_BLOCK_READ;
    bool possible = kind == BLOCK_FAULT_TORN || kind == BLOCK_FAULT_REORDER ? write
                    : kind == BLOCK_FAULT_LOST                              ? !read
                    : kind == BLOCK_FAULT_FLIP                              ? read || write
                                                                            : true;
    return possible && kind != BLOCK_FAULT_NONE ? fault : 0;
}

void queue_ask_fault(struct block_drive *drive, struct queue_slot *slot)
{
    struct question question = {drive, slot};
    slot->asked = true;
    if (!drive->options.policy.asks_faults)
        return;
    slot->fault = sound_fault(slot, machine_pull(drive->device.machine, INPUT_BLOCK_FAULT, ask_rules, &question));
    if (block_fault_kind(slot->fault) == BLOCK_FAULT_REORDER && !room_to_keep(drive))
        slot->fault = 0;
    queue_flip_write(slot);
}

/* ---- writes that the drive keeps ---- */

static bool kept_concerns(const struct queue_kept *kept, const struct queue_slot *slot)
{
    return kept->sectors && (slot->op == TRACE_BLOCK_FLUSH ||
                             queue_ranges_overlap(kept->sector, kept->sectors, slot->sector, slot->sectors));
}

/* What the job does first. A request that does nothing itself leaves them where they are, but for a write that is to be
 * kept: it replaces what it overlaps. */
void queue_list_kept(struct block_drive *drive, const struct queue_slot *slot, struct block_job *job)
{
    bool passes = queue_passes_by(drive, slot) && block_fault_kind(slot->fault) != BLOCK_FAULT_REORDER;
    if (slot->op == TRACE_BLOCK_READ || passes)
        return;
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        const struct queue_kept *kept = &drive->kept[n];
        if (kept_concerns(kept, slot))
            job->kept[job->kept_count++] = (struct block_kept_write){kept->sector, kept->sectors, kept->buffer};
    }
}

void queue_free_kept(struct block_drive *drive, const struct queue_slot *slot, const struct block_job *job)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX && job->kept_count; n++) {
        if (kept_concerns(&drive->kept[n], slot)) {
            drive->kept[n].sector = drive->kept[n].data_hash = 0;
            drive->kept[n].sectors = 0;
        }
    }
}

void queue_keep_write(struct block_drive *drive, struct queue_slot *slot)
{
    struct queue_kept *kept = free_kept(drive);
    if (!kept)
        return;
    uint8_t *buffer = kept->buffer;
    size_t buffer_bytes = kept->buffer_bytes;
    *kept = (struct queue_kept){.sector = slot->sector,
                                .sectors = slot->sectors,
                                .data_hash = slot->data_hash,
                                .buffer = slot->buffer,
                                .buffer_bytes = slot->buffer_bytes};
    slot->buffer = buffer;
    slot->buffer_bytes = buffer_bytes;
}

/* A read gives what the drive keeps. */
void queue_read_kept(const struct block_drive *drive, const struct queue_slot *slot, uint8_t *data)
{
    for (unsigned n = 0; n < BLOCK_KEPT_MAX; n++) {
        const struct queue_kept *kept = &drive->kept[n];
        if (!kept_concerns(kept, slot))
            continue;
        uint64_t first = kept->sector > slot->sector ? kept->sector : slot->sector;
        uint64_t kept_end = kept->sector + kept->sectors, end = slot->sector + slot->sectors;
        end = kept_end < end ? kept_end : end;
        memcpy(data + (first - slot->sector) * BLOCK_SECTOR_BYTES,
               kept->buffer + (first - kept->sector) * BLOCK_SECTOR_BYTES, (end - first) * BLOCK_SECTOR_BYTES);
    }
}
