/* What others are told of a request: trace events, the log of its image work, the statistics, errors. */
#include "block/queue_internal.h"

void queue_trace_slot(struct block_drive *drive, const struct queue_slot *slot, enum trace_kind kind, uint64_t value,
                      enum status status)
{
    struct trace_event event = {.kind = kind,
                                .address = slot->sector,
                                .value = value,
                                .sectors = slot->sectors,
                                .drive = drive->options.drive,
                                .tag = slot->tag,
                                .op = slot->op,
                                .status = (int32_t)status};
    machine_trace(drive->device.machine, &event);
}

void queue_trace_origin(struct block_drive *drive, const struct queue_slot *slot, const struct block_request *request)
{
    struct machine *machine = drive->device.machine;
    if (machine_traces(machine, TRACE_BLOCK_ORIGIN))
        machine_trace_origin(machine, (struct trace_event){.drive = drive->options.drive,
                                                           .tag = slot->tag,
                                                           .op = request->command & 0xFFFFFF,
                                                           .flags = request->fua ? TRACE_ORIGIN_FUA : 0});
    block_trace_segments(drive, slot->tag, request->segment, request->segment_count);
}

void block_trace_segments(struct block_drive *drive, uint32_t tag, const struct block_segment *segment, uint32_t count)
{
    struct machine *machine = drive->device.machine;
    if (!machine_traces(machine, TRACE_BLOCK_SEGMENT))
        return;
    for (uint32_t n = 0; n < count && n < BLOCK_SEGMENTS_TRACED; n++)
        machine_trace(machine, &(struct trace_event){.kind = TRACE_BLOCK_SEGMENT,
                                                     .address = segment[n].gpa,
                                                     .size_bytes = segment[n].size_bytes,
                                                     .drive = drive->options.drive,
                                                     .tag = tag});
}

struct block_activity *queue_activity(const struct block_drive *drive, struct queue_slot *slot)
{
    return drive->options.watcher.done ? &slot->activity : NULL;
}

void queue_report_activity(struct block_drive *drive, struct queue_slot *slot)
{
    if (drive->options.watcher.done && !slot->refused)
        drive->options.watcher.done(drive->options.watcher.opaque, drive->options.drive, slot->tag, &slot->activity);
    block_activity_clear(&slot->activity);
}

void queue_account(struct block_drive *drive, const struct queue_slot *slot, enum status status)
{
    struct block_operations *operation = &drive->stats.operation[slot->op];
    uint64_t now_ns = vtime_now_ns(drive->device.machine);
    if (slot->refused) {
        operation->invalid++;
        return;
    }
    drive->stats.active = true;
    drive->stats.last_ns = now_ns;
    operation->total_time_ns += now_ns - slot->submitted_ns;
    if (status) {
        operation->failed++;
        return;
    }
    operation->operations++;
    operation->bytes += queue_slot_bytes(slot);
    uint64_t end = (slot->sector + slot->sectors) * BLOCK_SECTOR_BYTES;
    if (slot->op == TRACE_BLOCK_WRITE && end > drive->stats.write_highest_bytes)
        drive->stats.write_highest_bytes = end;
}

void queue_tell_error(struct block_drive *drive, const struct queue_slot *slot, enum status status,
                      enum block_on_error action)
{
    struct block_error_event event = {.drive = drive->options.drive,
                                      .tag = slot->tag,
                                      .op = (enum trace_block_op)slot->op,
                                      .sector = slot->sector,
                                      .sectors = slot->sectors,
                                      .status = status,
                                      .action = action};
    if (status == STATUS_CORRUPT)
        event.has_corruption = block_image_corruption(drive->image, &event.corruption);
    if (drive->on_error)
        drive->on_error(drive->on_error_opaque, &event);
}
