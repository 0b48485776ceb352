/* An IDE channel from saved state: numbers that index or count must be ones that the chip could have saved; a channel that
 * is not such is reset. */
#include "devices/ide_internal.h"

static bool transfer_sound(const struct ide_channel *channel)
{
    const struct block_drive *drive = channel->drive[channel->active];
    if (channel->phase >= IDE_PACKET)
        return channel->phase < IDE_PHASES && channel->is_cdrom[channel->active] && ide_packet_sound(channel);
    if (channel->phase != IDE_IDLE && channel->is_cdrom[channel->active])
        return false;
    uint64_t sectors = drive ? block_drive_sectors(drive) : 0;
    bool pio = channel->phase == IDE_PIO_IN || channel->phase == IDE_PIO_OUT;
    bool inside = channel->next_lba <= sectors && channel->remaining <= sectors - channel->next_lba;
    return channel->phase < IDE_PHASES && (channel->phase == IDE_IDLE || drive) &&
           channel->remaining <= BLOCK_REQUEST_SECTORS_MAX && (!channel->remaining || inside) &&
           channel->block_sectors <= ATA_MULTIPLE_MAX && (!pio || channel->block_sectors) &&
           channel->pio_fill <= IDE_BUFFER_BYTES && channel->pio_fill % BLOCK_SECTOR_BYTES == 0 &&
           channel->pio_end % BLOCK_SECTOR_BYTES == 0 && channel->pio_end <= channel->pio_fill &&
           (channel->phase == IDE_TRIM ? channel->pio_index % 8 == 0 && channel->pio_index <= channel->pio_fill
                                       : channel->pio_index <= channel->pio_end) &&
           (channel->phase == IDE_TRIM || channel->phase == IDE_DMA_IN || channel->phase == IDE_DMA_OUT ||
            !channel->dma_wait);
}

static bool request_sound(const struct ide_channel *channel)
{
    uint32_t sectors = channel->request_sectors;
    switch (channel->phase) {
    case IDE_PIO_IN: return channel->request_op == TRACE_BLOCK_READ && sectors && sectors <= ATA_MULTIPLE_MAX;
    case IDE_PIO_OUT: return channel->request_op == TRACE_BLOCK_WRITE && sectors && sectors <= channel->remaining;
    case IDE_DMA_IN: return channel->request_op == TRACE_BLOCK_READ && sectors == channel->remaining;
    case IDE_DMA_OUT: return channel->request_op == TRACE_BLOCK_WRITE && sectors == channel->remaining;
    case IDE_NO_DATA: return channel->request_op == TRACE_BLOCK_FLUSH || channel->request_op == TRACE_BLOCK_READ;
    case IDE_TRIM: return channel->request_op == TRACE_BLOCK_DISCARD;
    case IDE_PACKET_IN:
    case IDE_PACKET_DMA: return channel->request_op == TRACE_BLOCK_READ; /* the rest: ide_packet_sound */
    default: return false;
    }
}

/* Finds the request in flight again. */
void ide_channel_post_load(struct device *device)
{
    struct ide_channel *channel = device_of(device, struct ide_channel);
    bool sound = channel->active < 2 && ata_disk_sound(&channel->disk[0]) && ata_disk_sound(&channel->disk[1]) &&
                 transfer_sound(channel) && channel->request_sectors <= BLOCK_REQUEST_SECTORS_MAX &&
                 (!channel->in_flight || request_sound(channel));
    state_kept_touch(&channel->buffer->kept);
    atapi_post_load(&channel->cdrom[0]);
    atapi_post_load(&channel->cdrom[1]);
    if (!sound) {
        channel->in_flight = false;
        ide_channel_reset(device);
        return;
    }
    if (!channel->in_flight)
        return;
    void *data = channel->buffer->bytes; /* a write's data are the queue's */
    if (channel->phase == IDE_DMA_IN || channel->phase == IDE_NO_DATA)
        data = ide_scratch(channel, (size_t)channel->request_sectors * BLOCK_SECTOR_BYTES + 1);
    if (channel->phase == IDE_PACKET_DMA)
        data = ide_scratch(channel, IDE_PACKET_SCRATCH_BYTES);
    channel->request = (struct block_request){.op = (enum trace_block_op)channel->request_op,
                                              .data = data,
                                              .sector = channel->request_sector,
                                              .sectors = channel->request_sectors,
                                              .complete = ide_request_complete,
                                              .opaque = channel,
                                              .tag = channel->request_tag};
    channel->in_flight = block_reattach(channel->drive[channel->active], &channel->request);
}
