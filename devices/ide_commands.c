/* A disk's commands on an IDE channel: PIO, bus master, what ends each. What the codes mean: ata_disk.c.
 * A PIO read fetches up to a buffer (16 sectors) at a time; a PIO write stores each DRQ block; a DMA command is one
 * request. The address reported with an error is that of the failed request's first sector. */
#include "devices/ide_internal.h"

#define DIAGNOSTIC 0x90

static uint64_t disk_sectors(const struct ide_channel *channel)
{
    return block_drive_sectors(channel->drive[channel->active]);
}

static void finish_ok(struct ide_channel *channel)
{
    ide_finish(channel, ATA_STATUS_READY, 0);
}

static void store_address(struct ide_channel *channel, uint64_t lba)
{
    ata_store_address(ide_active(channel), &channel->device, (enum ata_addressing)channel->addressing, lba);
}

/* ---- PIO in ---- */

static void fetch(struct ide_channel *channel)
{
    uint32_t sectors = channel->remaining < ATA_MULTIPLE_MAX ? channel->remaining : ATA_MULTIPLE_MAX;
    ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, sectors, channel->buffer->bytes, false);
}

static bool choose_block(struct ide_channel *channel, const struct ata_command *command)
{
    channel->block_sectors = command->flags & ATA_MULTIPLE ? ide_active(channel)->multiple : 1;
    return channel->block_sectors != 0;
}

static void read_pio(struct ide_channel *channel, const struct ata_command *command)
{
    if (!choose_block(channel, command)) {
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PIO_IN;
    fetch(channel);
}

static void identify(struct ide_channel *channel)
{
    struct ata_identity identity = {.drive = channel->drive[channel->active],
                                    .serial = channel->serial[channel->active],
                                    .device_1 = channel->active};
    ata_identify(ide_active(channel), &identity, channel->buffer->bytes);
    state_kept_touch(&channel->buffer->kept);
    channel->phase = IDE_PIO_IN;
    channel->block_sectors = 1;
    channel->pio_fill = BLOCK_SECTOR_BYTES;
    ide_pio_show(channel, false);
}

/* Transfers of sectors end with the last address and a count of 0; no interrupt follows the last block of PIO in. */
static void transfer_done(struct ide_channel *channel)
{
    store_address(channel, channel->next_lba - 1);
    ide_active(channel)->count[0] = ide_active(channel)->count[1] = 0;
}

static void pio_in_block_done(struct ide_channel *channel)
{
    uint32_t block_bytes = channel->block_sectors * BLOCK_SECTOR_BYTES;
    uint32_t start = (channel->pio_end - 1) / block_bytes * block_bytes;
    if (channel->remaining) {
        channel->remaining -= (channel->pio_end - start) / BLOCK_SECTOR_BYTES;
        channel->next_lba += (channel->pio_end - start) / BLOCK_SECTOR_BYTES;
        if (!channel->remaining)
            transfer_done(channel);
    }
    if (channel->pio_index < channel->pio_fill) {
        ide_pio_show(channel, false);
    } else if (channel->remaining) {
        fetch(channel);
    } else {
        channel->phase = IDE_IDLE;
        channel->pio_index = channel->pio_end = channel->pio_fill = 0;
        ide_active(channel)->status = ATA_STATUS_READY;
    }
}

/* ---- PIO out ---- */

static void next_out_block(struct ide_channel *channel, bool quiet)
{
    uint32_t sectors = channel->remaining < channel->block_sectors ? channel->remaining : channel->block_sectors;
    channel->pio_index = 0;
    channel->pio_fill = sectors * BLOCK_SECTOR_BYTES;
    ide_pio_show(channel, quiet);
}

static bool write_through(const struct ide_channel *channel)
{
    return channel->fua || !channel->disk[channel->active].write_cache;
}

static void write_pio(struct ide_channel *channel, const struct ata_command *command)
{
    if (!choose_block(channel, command)) {
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PIO_OUT;
    channel->fua = command->flags & ATA_FUA;
    next_out_block(channel, true);
}

static void pio_out_stored(struct ide_channel *channel)
{
    channel->next_lba += channel->request.sectors;
    channel->remaining -= channel->request.sectors;
    if (channel->remaining) {
        next_out_block(channel, false);
        return;
    }
    transfer_done(channel);
    finish_ok(channel);
}

void ide_pio_block_done(struct ide_channel *channel)
{
    if (channel->phase == IDE_PIO_IN)
        pio_in_block_done(channel);
    else if (channel->phase == IDE_PACKET || channel->phase == IDE_PACKET_IN)
        ide_packet_pio_done(channel);
    else
        ide_submit(channel, TRACE_BLOCK_WRITE, channel->next_lba, channel->pio_end / BLOCK_SECTOR_BYTES,
                   channel->buffer->bytes, write_through(channel));
}

/* ---- DMA ---- */

void ide_wait_for_bus_master(struct ide_channel *channel, enum ide_phase phase)
{
    channel->phase = (uint8_t)phase;
    channel->dma_wait = true;
    ide_active(channel)->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
    if (ide_bm_ready(channel, phase == IDE_DMA_IN || phase == IDE_PACKET_DMA))
        ide_dma_start(channel);
}

static void read_dma(struct ide_channel *channel)
{
    ide_wait_for_bus_master(channel, IDE_DMA_IN);
}

static void write_dma(struct ide_channel *channel, const struct ata_command *command)
{
    channel->fua = command->flags & ATA_FUA;
    ide_wait_for_bus_master(channel, IDE_DMA_OUT);
}

static void trim_next(struct ide_channel *channel);

static void dma_out(struct ide_channel *channel, size_t bytes)
{
    uint8_t *data = block_write_buffer(channel->drive[channel->active], bytes);
    if (!data)
        data = ide_scratch(channel, bytes); /* it moves, and fails then */
    if (ide_bm_transfer(channel, data, bytes, false))
        ide_submit(channel, TRACE_BLOCK_WRITE, channel->next_lba, channel->remaining, data, write_through(channel));
}

void ide_dma_start(struct ide_channel *channel)
{
    size_t bytes = (size_t)channel->remaining * BLOCK_SECTOR_BYTES;
    channel->dma_wait = false;
    switch (channel->phase) {
    case IDE_DMA_IN: ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, channel->remaining, NULL, false); break;
    case IDE_DMA_OUT: dma_out(channel, bytes); break;
    case IDE_PACKET_DMA: ide_packet_dma_start(channel); break;
    case IDE_TRIM:
        state_kept_touch(&channel->buffer->kept);
        if (ide_bm_transfer(channel, channel->buffer->bytes, channel->pio_fill, false))
            trim_next(channel);
        break;
    default: break;
    }
}

/* A bus master that has stopped leaves the disk asking for it, until it is reset or given another command. */
static void dma_in_done(struct ide_channel *channel)
{
    uint32_t sectors = channel->request.sectors;
    bool moved = ide_bm_transfer(channel, channel->request.data, (uint64_t)sectors * BLOCK_SECTOR_BYTES, true);
    block_trace_segments(channel->drive[channel->active], channel->request.tag, channel->segment,
                         channel->segment_count);
    if (!moved) {
        ide_active(channel)->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
        return;
    }
    channel->next_lba += sectors;
    transfer_done(channel);
    finish_ok(channel);
}

static void dma_out_done(struct ide_channel *channel)
{
    channel->next_lba += channel->request.sectors;
    transfer_done(channel);
    finish_ok(channel);
}

/* ---- data set management ---- */

static void data_set_management(struct ide_channel *channel)
{
    const struct ata_disk *disk = ide_active(channel);
    uint32_t blocks = ata_count16(disk);
    if (!(disk->feature[0] & ATA_TRIM_FEATURE) || !blocks || blocks > ATA_TRIM_BLOCKS_MAX) {
        ide_abort(channel);
        return;
    }
    channel->pio_fill = blocks * BLOCK_SECTOR_BYTES;
    ide_wait_for_bus_master(channel, IDE_TRIM);
}

static void trim_next(struct ide_channel *channel)
{
    uint64_t size = disk_sectors(channel);
    while (channel->pio_index < channel->pio_fill) {
        struct ata_range range = ata_trim_range(channel->buffer->bytes + channel->pio_index);
        channel->pio_index += ATA_TRIM_RANGE_BYTES;
        if (!range.sectors)
            continue;
        if (range.lba >= size || range.sectors > size - range.lba) {
            ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT | ATA_ERROR_IDNF);
            return;
        }
        ide_submit(channel, TRACE_BLOCK_DISCARD, range.lba, range.sectors, NULL, false);
        return;
    }
    finish_ok(channel);
}

/* ---- outcome of a request ---- */

static void request_failed(struct ide_channel *channel, enum status status)
{
    bool addressed = channel->phase != IDE_TRIM && channel->request.op != TRACE_BLOCK_FLUSH;
    if (addressed)
        store_address(channel, channel->request.sector);
    struct ata_failure failure = ata_failure_of(channel->request.op, status);
    ide_finish(channel, failure.status, failure.error);
}

void ide_request_done(struct ide_channel *channel, enum status status)
{
    if (channel->phase == IDE_PACKET_IN || channel->phase == IDE_PACKET_DMA) {
        ide_packet_request_done(channel, status);
        return;
    }
    if (status) {
        request_failed(channel, status);
        return;
    }
    switch (channel->phase) {
    case IDE_PIO_IN:
        channel->pio_index = 0;
        channel->pio_fill = channel->request.sectors * BLOCK_SECTOR_BYTES;
        ide_pio_show(channel, false);
        break;
    case IDE_PIO_OUT: pio_out_stored(channel); break;
    case IDE_DMA_IN: dma_in_done(channel); break;
    case IDE_DMA_OUT: dma_out_done(channel); break;
    case IDE_NO_DATA: finish_ok(channel); break;
    case IDE_TRIM: trim_next(channel); break;
    default: break;
    }
}

/* ---- no data ---- */

static void verify(struct ide_channel *channel)
{
    channel->phase = IDE_NO_DATA;
    ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, channel->remaining, NULL, false);
}

static void flush(struct ide_channel *channel)
{
    channel->phase = IDE_NO_DATA;
    ide_submit(channel, TRACE_BLOCK_FLUSH, 0, 0, NULL, false);
}

static void plain(struct ide_channel *channel, uint8_t code)
{
    switch (ata_execute_plain(ide_active(channel), code, &channel->device, disk_sectors(channel))) {
    case ATA_PLAIN_OK: finish_ok(channel); break;
    case ATA_PLAIN_FLUSH: flush(channel); break;
    case ATA_PLAIN_ABORT: ide_abort(channel); break;
    case ATA_PLAIN_NOT_FOUND: ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_IDNF); break;
    }
}

/* ---- the command register ---- */

/* Both devices take part, whichever is selected; device 0 answers for both. */
static void diagnostic(struct ide_channel *channel)
{
    ide_set_signature(channel);
    channel->active = ide_present(channel, 0) ? 0 : 1;
    ide_finish(channel, ide_active(channel)->status, ATA_DIAGNOSTIC_PASSED);
}

static bool take_range(struct ide_channel *channel)
{
    struct ata_range range;
    bool valid = ata_take_range(ide_active(channel), channel->device, (enum ata_addressing)channel->addressing,
                                disk_sectors(channel), &range);
    channel->next_lba = range.lba;
    channel->remaining = range.sectors;
    return valid;
}

static void start(struct ide_channel *channel, const struct ata_command *command, uint8_t code)
{
    switch (command->operation) {
    case ATA_READ_PIO: read_pio(channel, command); break;
    case ATA_READ_DMA: read_dma(channel); break;
    case ATA_WRITE_PIO: write_pio(channel, command); break;
    case ATA_WRITE_DMA: write_dma(channel, command); break;
    case ATA_VERIFY: verify(channel); break;
    case ATA_FLUSH: flush(channel); break;
    case ATA_TRIM: data_set_management(channel); break;
    case ATA_IDENTIFY: identify(channel); break;
    case ATA_PLAIN: plain(channel, code); break;
    case ATA_READ_QUEUED:
    case ATA_WRITE_QUEUED:
    case ATA_READ_LOG: ide_abort(channel); break;
    }
}

static void execute_disk(struct ide_channel *channel, uint8_t code)
{
    const struct ata_command *command = ata_command_find(code);
    struct ata_disk *disk = ide_active(channel);
    if (!command || (command->flags & ATA_SERIAL)) {
        ide_abort(channel);
        return;
    }
    channel->addressing = (uint8_t)ata_addressing(command, channel->device);
    disk->error = 0;
    if (command->flags & ATA_MEDIA) {
        disk->power = ATA_POWER_ACTIVE;
        if (!take_range(channel)) {
            ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_IDNF);
            return;
        }
    }
    start(channel, command, code);
}

void ide_execute(struct ide_channel *channel, uint8_t code)
{
    unsigned unit = channel->device & ATA_DEVICE_DEV ? 1 : 0;
    channel->command = code;
    if (code == DIAGNOSTIC) {
        diagnostic(channel);
        return;
    }
    if (!ide_present(channel, unit) || channel->disk[unit].asleep)
        return;
    channel->active = (uint8_t)unit;
    if (channel->is_cdrom[unit])
        ide_packet_execute(channel, code);
    else
        execute_disk(channel, code);
}
