/* A CD-ROM drive on an IDE channel: the packet feature set (ATA/ATAPI-6, 9.7 to 9.10: PACKET by PIO and by DMA, interrupt
 * reason and byte count; 8.10 DEVICE RESET, 8.16 IDENTIFY PACKET DEVICE). What packets mean: atapi.c.
 * PIO: blocks are fetched as many as the buffer holds, and shown in DRQ blocks of at most the guest's byte count. DMA: requests
 * of IDE_PACKET_CHUNK_BLOCKS; a bus master stopped in between loses what it has moved, and a new start moves what is left.
 * Not modelled: overlap, packets of 16 bytes, an interrupt for the packet's DRQ. Power commands succeed and do nothing. */
#include "devices/ide_internal.h"

#include <string.h>

#define COMMAND_PACKET 0xA0
#define COMMAND_IDENTIFY_PACKET 0xA1
#define COMMAND_READ_SECTORS 0x20
#define COMMAND_IDENTIFY 0xEC
#define COMMAND_SET_FEATURES 0xEF
#define FEATURE_DMA 0x01u
#define FEATURE_OVERLAP 0x02u
#define FEATURE_TRANSFER_MODE 0x03u

#define REASON_COMMAND 0x01u /* C/D */
#define REASON_TO_HOST 0x02u /* I/O */

static struct atapi *active_cdrom(struct ide_channel *channel)
{
    return &channel->cdrom[channel->active];
}

/* ---- the end ---- */

static void finish_ok(struct ide_channel *channel)
{
    ide_active(channel)->count[0] = REASON_COMMAND | REASON_TO_HOST;
    ide_finish(channel, ATA_STATUS_READY, 0);
}

static void check_condition(struct ide_channel *channel)
{
    ide_active(channel)->count[0] = REASON_COMMAND | REASON_TO_HOST;
    ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_ERR, atapi_error(active_cdrom(channel)));
}

/* ---- blocks from the medium ---- */

static uint32_t chunk_blocks(const struct ide_channel *channel)
{
    const struct ide_packet *packet = channel->packet;
    uint32_t most = packet->dma ? IDE_PACKET_CHUNK_BLOCKS : IDE_BUFFER_BYTES / packet->block_bytes;
    return packet->blocks < most ? packet->blocks : most;
}

static void fetch(struct ide_channel *channel)
{
    const struct ide_packet *packet = channel->packet;
    void *data = packet->dma ? ide_scratch(channel, IDE_PACKET_SCRATCH_BYTES) : channel->buffer->bytes;
    if (!atapi_still_readable(active_cdrom(channel))) {
        check_condition(channel);
        return;
    }
    ide_submit(channel, TRACE_BLOCK_READ, (uint64_t)packet->block * ATAPI_BLOCK_SECTORS,
               chunk_blocks(channel) * ATAPI_BLOCK_SECTORS, data, false);
}

/* ---- PIO ---- */

/* The next DRQ block: no larger than the guest's byte count, and of an odd size only as the last. */
static void show_data(struct ide_channel *channel)
{
    struct ata_disk *disk = ide_active(channel);
    uint32_t bytes = channel->pio_fill - channel->pio_index, limit = channel->packet->limit_bytes;
    if (bytes > limit)
        bytes = limit & ~1u;
    channel->pio_end = channel->pio_index + bytes;
    disk->lba_mid[0] = (uint8_t)bytes;
    disk->lba_high[0] = (uint8_t)(bytes >> 8);
    disk->count[0] = REASON_TO_HOST;
    disk->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
    ide_raise_interrupt(channel);
}

static void data_block_done(struct ide_channel *channel)
{
    if (channel->pio_index < channel->pio_fill)
        show_data(channel);
    else if (channel->packet->blocks)
        fetch(channel);
    else
        finish_ok(channel);
}

/* ---- DMA ---- */

static bool to_memory(struct ide_channel *channel, uint8_t *data, uint32_t bytes)
{
    struct ide_packet *packet = channel->packet;
    struct ide_bm_cursor cursor = {packet->prd, packet->prd_done};
    bool moved = ide_bm_transfer_at(channel, &cursor, data, bytes, true);
    packet->prd = cursor.prd;
    packet->prd_done = cursor.done;
    if (!moved)
        ide_active(channel)->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
    return moved;
}

void ide_packet_dma_start(struct ide_channel *channel)
{
    channel->packet->prd = channel->bm_table;
    channel->packet->prd_done = 0;
    if (channel->packet->blocks)
        fetch(channel);
    else if (to_memory(channel, channel->buffer->bytes, channel->pio_fill))
        finish_ok(channel);
}

/* ---- a request's end ---- */

static bool data_to_memory(struct ide_channel *channel, uint8_t *data, uint32_t bytes)
{
    bool moved = to_memory(channel, data, bytes);
    block_trace_segments(channel->drive[channel->active], channel->request.tag, channel->segment,
                         channel->segment_count);
    return moved;
}

void ide_packet_request_done(struct ide_channel *channel, enum status status)
{
    struct ide_packet *packet = channel->packet;
    uint32_t blocks = channel->request.sectors / ATAPI_BLOCK_SECTORS, bytes = blocks * packet->block_bytes;
    uint8_t *data = channel->request.data;
    if (status) {
        atapi_medium_error(active_cdrom(channel));
        check_condition(channel);
        return;
    }
    if (packet->block_bytes == ATAPI_RAW_BYTES)
        atapi_make_raw(data, packet->block, blocks);
    packet->block += blocks;
    packet->blocks -= blocks;
    if (!packet->dma) {
        state_kept_touch(&channel->buffer->kept);
        channel->pio_index = 0;
        channel->pio_fill = bytes;
        show_data(channel);
    } else if (data_to_memory(channel, data, bytes)) {
        if (packet->blocks)
            fetch(channel);
        else
            finish_ok(channel);
    }
}

/* ---- the packet ---- */

/* A byte count of 0 leaves no way to transfer. */
static void begin_data(struct ide_channel *channel)
{
    if (channel->packet->dma) {
        ide_wait_for_bus_master(channel, IDE_PACKET_DMA);
        return;
    }
    if (channel->packet->limit_bytes < 2) {
        ide_active(channel)->count[0] = REASON_COMMAND | REASON_TO_HOST;
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PACKET_IN;
    if (channel->packet->blocks)
        fetch(channel);
    else
        show_data(channel);
}

static void packet_arrived(struct ide_channel *channel)
{
    uint8_t bytes[ATAPI_PACKET_BYTES];
    memcpy(bytes, channel->buffer->bytes, sizeof bytes);
    struct atapi_outcome outcome = atapi_execute(active_cdrom(channel), bytes, channel->buffer->bytes);
    state_kept_touch(&channel->buffer->kept);
    channel->pio_index = channel->pio_end = 0;
    channel->pio_fill = outcome.result == ATAPI_REPLY ? outcome.reply_bytes : 0;
    channel->packet->block = outcome.block;
    channel->packet->blocks = outcome.blocks;
    channel->packet->block_bytes = outcome.block_bytes;
    if (outcome.result == ATAPI_FAILED)
        check_condition(channel);
    else if (channel->pio_fill || channel->packet->blocks)
        begin_data(channel);
    else
        finish_ok(channel);
}

void ide_packet_pio_done(struct ide_channel *channel)
{
    if (channel->phase == IDE_PACKET)
        packet_arrived(channel);
    else
        data_block_done(channel);
}

static void packet_command(struct ide_channel *channel)
{
    struct ata_disk *disk = ide_active(channel);
    uint32_t limit = (uint32_t)disk->lba_high[0] << 8 | disk->lba_mid[0];
    if (disk->feature[0] & FEATURE_OVERLAP) {
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PACKET;
    channel->packet->dma = disk->feature[0] & FEATURE_DMA;
    channel->packet->limit_bytes = limit == 0xFFFF ? 0xFFFE : limit;
    channel->pio_index = 0;
    channel->pio_end = channel->pio_fill = ATAPI_PACKET_BYTES;
    disk->count[0] = REASON_COMMAND;
    disk->error = 0;
    disk->status = ATA_STATUS_READY | ATA_STATUS_DRQ; /* without an interrupt: IDENTIFY PACKET DEVICE, word 0 */
}

/* ---- the other commands ---- */

static void identify_packet(struct ide_channel *channel)
{
    atapi_identify(active_cdrom(channel), ide_active(channel)->dma_mode, false, channel->buffer->bytes);
    state_kept_touch(&channel->buffer->kept);
    ide_active(channel)->error = 0;
    channel->phase = IDE_PIO_IN;
    channel->block_sectors = 1;
    channel->pio_fill = BLOCK_SECTOR_BYTES;
    ide_pio_show(channel, false);
}

static void set_features(struct ide_channel *channel)
{
    struct ata_disk *disk = ide_active(channel);
    uint8_t feature = disk->feature[0];
    bool valid = feature == 0x66 || feature == 0xCC; /* defaults after a software reset or not */
    if (feature == FEATURE_TRANSFER_MODE)
        valid = ata_set_transfer_mode(disk, disk->count[0]);
    if (valid)
        ide_finish(channel, ATA_STATUS_READY, 0);
    else
        ide_abort(channel);
}

void ide_packet_device_reset(struct ide_channel *channel, unsigned unit)
{
    if (channel->active == unit) {
        ide_abandon(channel);
        ide_to_idle(channel);
    }
    atapi_soft_reset(&channel->cdrom[unit]);
    ide_set_unit_signature(channel, unit);
    channel->device &= ATA_DEVICE_DEV;
    ide_update_line(channel);
}

void ide_packet_execute(struct ide_channel *channel, uint8_t code)
{
    switch (code) {
    case COMMAND_PACKET: packet_command(channel); break;
    case COMMAND_IDENTIFY_PACKET: identify_packet(channel); break;
    case COMMAND_SET_FEATURES: set_features(channel); break;
    case COMMAND_READ_SECTORS:
    case COMMAND_IDENTIFY: /* how a host learns that this is no disk */
        ide_set_unit_signature(channel, channel->active);
        ide_abort(channel);
        break;
    case 0xE0: /* power */
    case 0xE1:
    case 0xE2:
    case 0xE3:
    case 0xE6: ide_finish(channel, ATA_STATUS_READY, 0); break;
    case 0xE5:
        ide_active(channel)->count[0] = ATA_POWER_ACTIVE;
        ide_finish(channel, ATA_STATUS_READY, 0);
        break;
    default: ide_abort(channel); break;
    }
}

/* ---- loaded state ---- */

bool ide_packet_sound(const struct ide_channel *channel)
{
    const struct ide_packet *packet = channel->packet;
    const struct block_drive *drive = channel->drive[channel->active];
    uint64_t blocks = drive ? block_drive_sectors(drive) / ATAPI_BLOCK_SECTORS : 0;
    bool plain = packet->block_bytes == ATAPI_BLOCK_BYTES || packet->block_bytes == ATAPI_RAW_BYTES;
    bool inside = packet->block <= blocks && packet->blocks <= blocks - packet->block;
    bool whole = channel->pio_index <= channel->pio_end && channel->pio_end <= channel->pio_fill &&
                 channel->pio_fill <= IDE_BUFFER_BYTES;
    if (packet->blocks && (!plain || !inside))
        return false;
    if (channel->in_flight && (channel->pio_index < channel->pio_fill || !packet->blocks ||
                               channel->request_sectors != chunk_blocks(channel) * ATAPI_BLOCK_SECTORS))
        return false;
    switch (channel->phase) {
    case IDE_PACKET: return whole && !channel->in_flight && !channel->dma_wait;
    case IDE_PACKET_IN: return whole && !packet->dma && packet->limit_bytes >= 2 && !channel->dma_wait;
    default: return whole && packet->dma;
    }
}
