/* The bus master of one channel (PIIX3 datasheet; "Programming Interface for Bus Master IDE Controller", rev. 1.0).
 * Data move at one position: for a write when command and bus master have both started, for a read when the drive has
 * the data. An address that is not memory ends in a master abort: Error is set, Active cleared. A table shorter than
 * the transfer: Active cleared, no interrupt; a longer one: Active stays set beside the interrupt.
 * Not modelled: the 64 KiB wrap-around of a table or a region that crosses such a boundary, which the interface
 * forbids: addresses go on linearly. */
#include "devices/ide_internal.h"

#define REG_COMMAND 0
#define REG_STATUS 2
#define REG_TABLE 4
#define STATUS_CAPABLE_BITS 0x60u
#define DESCRIPTOR_BYTES 8
#define DESCRIPTOR_END 0x80000000u
#define REGION_MAX_BYTES 0x10000u

uint8_t ide_bm_read(struct ide_channel *channel, unsigned offset)
{
    switch (offset) {
    case REG_COMMAND: return channel->bm_command;
    case REG_STATUS: return channel->bm_status;
    case REG_TABLE:
    case REG_TABLE + 1:
    case REG_TABLE + 2:
    case REG_TABLE + 3: return (uint8_t)(channel->bm_table >> (8 * (offset - REG_TABLE)));
    default: return 0xFF;
    }
}

bool ide_bm_ready(const struct ide_channel *channel, bool to_memory)
{
    return (channel->bm_status & IDE_BM_STATUS_ACTIVE) &&
           to_memory == (bool)(channel->bm_command & IDE_BM_COMMAND_TO_MEMORY);
}

/* Stopping in the middle loses what was on its way to memory; the drive goes on asking to transfer. */
static void stop(struct ide_channel *channel)
{
    channel->bm_status &= (uint8_t)~IDE_BM_STATUS_ACTIVE;
    if ((channel->phase != IDE_DMA_IN && channel->phase != IDE_PACKET_DMA) || !channel->in_flight)
        return;
    ide_abandon(channel);
    ide_active(channel)->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
    channel->dma_wait = true;
}

static void command_write(struct ide_channel *channel, uint8_t value)
{
    uint8_t before = channel->bm_command;
    channel->bm_command = value & (IDE_BM_COMMAND_START | IDE_BM_COMMAND_TO_MEMORY);
    if (!(value & IDE_BM_COMMAND_START)) {
        if (before & IDE_BM_COMMAND_START)
            stop(channel);
        return;
    }
    if (before & IDE_BM_COMMAND_START)
        return;
    channel->bm_status |= IDE_BM_STATUS_ACTIVE;
    if (channel->dma_wait && ide_bm_ready(channel, channel->phase == IDE_DMA_IN || channel->phase == IDE_PACKET_DMA))
        ide_dma_start(channel);
}

void ide_bm_write(struct ide_channel *channel, unsigned offset, uint8_t value)
{
    unsigned shift;
    switch (offset) {
    case REG_COMMAND: command_write(channel, value); break;
    case REG_STATUS:
        channel->bm_status &= (uint8_t) ~(value & (IDE_BM_STATUS_ERROR | IDE_BM_STATUS_INTERRUPT));
        channel->bm_status = (uint8_t)((channel->bm_status & ~STATUS_CAPABLE_BITS) | (value & STATUS_CAPABLE_BITS));
        break;
    case REG_TABLE:
    case REG_TABLE + 1:
    case REG_TABLE + 2:
    case REG_TABLE + 3:
        shift = 8 * (offset - REG_TABLE);
        channel->bm_table = ((channel->bm_table & ~(0xFFu << shift)) | (uint32_t)value << shift) & ~3u;
        break;
    default: break;
    }
}

static bool is_memory(struct memory *memory, uint64_t gpa, uint64_t size_bytes)
{
    for (uint64_t page = gpa & ~(uint64_t)(MEMORY_PAGE_BYTES - 1); page < gpa + size_bytes; page += MEMORY_PAGE_BYTES) {
        if (!memory_lookup(memory, page).host)
            return false;
    }
    return true;
}

static bool fail(struct ide_channel *channel, uint8_t error_bit)
{
    channel->bm_status = (uint8_t)((channel->bm_status & ~IDE_BM_STATUS_ACTIVE) | error_bit);
    return false;
}

static void note_segment(struct ide_channel *channel, uint64_t gpa, uint64_t size_bytes)
{
    if (channel->segment_count < BLOCK_SEGMENTS_TRACED)
        channel->segment[channel->segment_count++] = (struct block_segment){gpa, (uint32_t)size_bytes};
}

bool ide_bm_transfer_at(struct ide_channel *channel, struct ide_bm_cursor *cursor, uint8_t *data, uint64_t size_bytes,
                        bool to_memory)
{
    struct memory *memory = machine_memory(channel->device_base.machine);
    channel->segment_count = 0;
    while (size_bytes) {
        if (!is_memory(memory, cursor->prd, DESCRIPTOR_BYTES))
            return fail(channel, IDE_BM_STATUS_ERROR);
        uint32_t base = memory_read_u32(memory, cursor->prd) & ~1u;
        uint32_t control = memory_read_u32(memory, cursor->prd + 4);
        uint32_t count = control & 0xFFFE;
        uint64_t region = count ? count : REGION_MAX_BYTES;
        uint64_t left = cursor->done < region ? region - cursor->done : 0; /* the guest may have changed the table */
        uint64_t part = left < size_bytes ? left : size_bytes;
        uint64_t gpa = (uint64_t)base + cursor->done;
        if (!is_memory(memory, gpa, part))
            return fail(channel, IDE_BM_STATUS_ERROR);
        if (to_memory)
            memory_write(memory, gpa, data, part);
        else
            memory_read(memory, gpa, data, part);
        note_segment(channel, gpa, part);
        data += part;
        size_bytes -= part;
        cursor->done += (uint32_t)part;
        if (part < left)
            return true;
        cursor->prd += DESCRIPTOR_BYTES;
        cursor->done = 0;
        if (control & DESCRIPTOR_END)
            channel->bm_status &= (uint8_t)~IDE_BM_STATUS_ACTIVE;
        if ((control & DESCRIPTOR_END) && size_bytes)
            return fail(channel, 0);
    }
    return true;
}

bool ide_bm_transfer(struct ide_channel *channel, uint8_t *data, uint64_t size_bytes, bool to_memory)
{
    struct ide_bm_cursor cursor = {channel->bm_table, 0};
    return ide_bm_transfer_at(channel, &cursor, data, size_bytes, to_memory);
}
