/* One ATA channel: command block and control block registers (ATA/ATAPI-6, clause 7), INTRQ, PIO data port, software
 * and hardware reset (9.1, 9.2).
 * Not modelled: overlapped and queued commands, CFA, the time a reset takes. A register write while
 * BSY is set is taken (the command under way has its own copy); a command written then is ignored.
 * Absent devices: with none on the channel DD7 is pulled down and the rest float (7Fh); a missing device 1 is
 * answered for by device 0 (status 00h); a missing device 0 by nobody. */
#include "devices/ide_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOATING 0x7Fu
#define REG_DATA 0
#define REG_ERROR 1 /* write: features */
#define REG_COUNT 2
#define REG_LBA_LOW 3
#define REG_LBA_MID 4
#define REG_LBA_HIGH 5
#define REG_DEVICE 6
#define REG_STATUS 7 /* write: command */
#define DEVICE_FIXED_BITS 0xA0u

STATE_TABLE(ide_packet_fields, struct ide_packet, IDE_PACKET_STATE);
STATE_TABLE_KEPT(ide_buffer_fields, struct ide_buffer, uint8_t, bytes, IDE_BUFFER_BYTES);
STATE_TABLE(ide_channel_fields, struct ide_channel, IDE_CHANNEL_STATE);

static unsigned selected(const struct ide_channel *channel)
{
    return channel->device & ATA_DEVICE_DEV ? 1 : 0;
}

/* ---- INTRQ ---- */

/* Driven by the selected device, and only when nIEN is clear. The bus master notes each rise. */
void ide_update_line(struct ide_channel *channel)
{
    bool level = channel->disk[selected(channel)].interrupt && !(channel->control & IDE_CONTROL_NIEN);
    if (level == channel->line)
        return;
    channel->line = level;
    if (level)
        channel->bm_status |= IDE_BM_STATUS_INTERRUPT;
    irq_set(channel->irq, level);
}

void ide_raise_interrupt(struct ide_channel *channel)
{
    ide_active(channel)->interrupt = true;
    ide_update_line(channel);
}

static void drop_interrupt(struct ide_channel *channel, unsigned disk)
{
    channel->disk[disk].interrupt = false;
    ide_update_line(channel);
}

/* ---- the course of a command ---- */

void ide_to_idle(struct ide_channel *channel)
{
    channel->phase = IDE_IDLE;
    channel->dma_wait = false;
    channel->fua = false;
    channel->remaining = 0;
    memset(channel->packet, 0, sizeof channel->packet);
    channel->pio_index = channel->pio_end = channel->pio_fill = 0;
}

void ide_finish(struct ide_channel *channel, uint8_t status, uint8_t error)
{
    ide_to_idle(channel);
    ide_active(channel)->status = status;
    ide_active(channel)->error = error;
    ide_raise_interrupt(channel);
}

void ide_abort(struct ide_channel *channel)
{
    ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT);
}

uint8_t *ide_scratch(struct ide_channel *channel, size_t size_bytes)
{
    if (channel->scratch_bytes < size_bytes) {
        free(channel->scratch);
        channel->scratch = malloc(size_bytes);
        CHECK(channel->scratch);
        channel->scratch_bytes = size_bytes;
    }
    return channel->scratch;
}

void ide_request_complete(void *opaque, struct block_request *request, enum status status)
{
    struct ide_channel *channel = opaque;
    if (request->data == channel->buffer->bytes)
        state_kept_touch(&channel->buffer->kept);
    channel->in_flight = false;
    channel->request_op = 0;
    channel->request_tag = channel->request_sectors = 0;
    channel->request_sector = 0;
    ide_request_done(channel, status);
}

void ide_submit(struct ide_channel *channel, enum trace_block_op op, uint64_t lba, uint32_t sectors, void *data,
                bool fua)
{
    struct block_drive *drive = channel->drive[channel->active];
    if (!block_drive_room(drive)) { /* requests abandoned by resets, which the host has not finished */
        ide_finish(channel, ATA_STATUS_READY | ATA_STATUS_DF | ATA_STATUS_ERR, ATA_ERROR_ABRT);
        return;
    }
    ide_active(channel)->status = ATA_STATUS_BSY | ATA_STATUS_READY;
    channel->request = (struct block_request){.op = op,
                                              .sector = lba,
                                              .sectors = sectors,
                                              .fua = fua,
                                              .data = data,
                                              .complete = ide_request_complete,
                                              .opaque = channel,
                                              .command = channel->command};
    if (op == TRACE_BLOCK_WRITE && channel->phase == IDE_DMA_OUT) {
        channel->request.segment = channel->segment;
        channel->request.segment_count = channel->segment_count;
    }
    block_submit(drive, &channel->request);
    channel->in_flight = true;
    channel->request_op = (uint8_t)op;
    channel->request_tag = channel->request.tag;
    channel->request_sectors = sectors;
    channel->request_sector = lba;
}

void ide_abandon(struct ide_channel *channel)
{
    if (!channel->in_flight)
        return;
    block_drive_abandon(channel->drive[channel->active]);
    channel->in_flight = false;
    channel->request_op = 0;
    channel->request_tag = channel->request_sectors = 0;
    channel->request_sector = 0;
}

/* ---- PIO data ---- */

void ide_pio_show(struct ide_channel *channel, bool quiet)
{
    uint32_t end = channel->pio_index + channel->block_sectors * BLOCK_SECTOR_BYTES;
    channel->pio_end = end < channel->pio_fill ? end : channel->pio_fill;
    ide_active(channel)->status = ATA_STATUS_READY | ATA_STATUS_DRQ;
    if (!quiet)
        ide_raise_interrupt(channel);
}

static uint64_t data_read(struct ide_channel *channel, unsigned size_bytes)
{
    uint32_t value = 0, index = channel->pio_index;
    if (channel->phase == IDE_PACKET_IN && size_bytes > channel->pio_end - index)
        size_bytes = channel->pio_end - index; /* an odd count of bytes: the rest of the word is padding */
    else if (channel->phase != IDE_PACKET_IN && channel->phase != IDE_PIO_IN)
        return UINT32_MAX;
    if (!size_bytes || index + size_bytes > channel->pio_end)
        return UINT32_MAX;
    memcpy(&value, channel->buffer->bytes + index, size_bytes);
    channel->pio_index = index + size_bytes;
    if (channel->pio_index == channel->pio_end)
        ide_pio_block_done(channel);
    return value;
}

static void data_write(struct ide_channel *channel, uint32_t value, unsigned size_bytes)
{
    uint32_t index = channel->pio_index;
    if ((channel->phase != IDE_PIO_OUT && channel->phase != IDE_PACKET) || index + size_bytes > channel->pio_end)
        return;
    memcpy(channel->buffer->bytes + index, &value, size_bytes);
    state_kept_touch(&channel->buffer->kept);
    channel->pio_index = index + size_bytes;
    if (channel->pio_index == channel->pio_end)
        ide_pio_block_done(channel);
}

/* ---- reset ---- */

void ide_set_unit_signature(struct ide_channel *channel, unsigned unit)
{
    ata_set_signature(&channel->disk[unit], channel->drive[unit], channel->is_cdrom[unit]);
}

void ide_set_signature(struct ide_channel *channel)
{
    ide_set_unit_signature(channel, 0);
    ide_set_unit_signature(channel, 1);
    channel->device = 0;
}

/* Software reset keeps the modes that SET FEATURES and the like have set. */
static void software_reset(struct ide_channel *channel)
{
    ide_abandon(channel);
    ide_to_idle(channel);
    ide_set_signature(channel);
    for (unsigned n = 0; n < 2; n++)
        atapi_soft_reset(&channel->cdrom[n]);
    channel->active = 0;
    ide_update_line(channel);
}

static void control_write(struct ide_channel *channel, uint8_t value)
{
    uint8_t before = channel->control;
    channel->control = value & (IDE_CONTROL_HOB | IDE_CONTROL_SRST | IDE_CONTROL_NIEN);
    if ((value & IDE_CONTROL_SRST) && !(before & IDE_CONTROL_SRST)) {
        software_reset(channel);
        for (unsigned n = 0; n < 2; n++)
            channel->disk[n].status = ide_present(channel, n) ? ATA_STATUS_BSY : 0;
    } else if (!(value & IDE_CONTROL_SRST) && (before & IDE_CONTROL_SRST)) {
        ide_set_signature(channel);
    }
    ide_update_line(channel);
}

/* ---- registers ---- */

/* Who answers a read; null: nobody. */
static const struct ata_disk *responder(const struct ide_channel *channel)
{
    unsigned disk = selected(channel);
    if (ide_present(channel, disk))
        return &channel->disk[disk];
    return disk == 1 && ide_present(channel, 0) ? &channel->disk[0] : NULL;
}

static uint8_t status_read(const struct ide_channel *channel)
{
    if (ide_present(channel, selected(channel)))
        return channel->disk[selected(channel)].status;
    return responder(channel) ? 0 : FLOATING;
}

static uint8_t register_read(struct ide_channel *channel, unsigned reg)
{
    const struct ata_disk *disk = responder(channel);
    unsigned depth = channel->control & IDE_CONTROL_HOB ? 1 : 0;
    uint8_t status;
    if (!disk)
        return FLOATING;
    switch (reg) {
    case REG_ERROR: return disk->error;
    case REG_COUNT: return disk->count[depth];
    case REG_LBA_LOW: return disk->lba_low[depth];
    case REG_LBA_MID: return disk->lba_mid[depth];
    case REG_LBA_HIGH: return disk->lba_high[depth];
    case REG_DEVICE: return channel->device | DEVICE_FIXED_BITS;
    case REG_STATUS:
        status = status_read(channel);
        drop_interrupt(channel, selected(channel));
        return status;
    default: return FLOATING;
    }
}

static void push(uint8_t reg[2], uint8_t value)
{
    reg[1] = reg[0];
    reg[0] = value;
}

/* A command written while one is under way is lost, but DEVICE RESET, which is there to end it. */
static void command_write(struct ide_channel *channel, uint8_t command)
{
    unsigned unit = selected(channel);
    if (command == IDE_DEVICE_RESET && channel->is_cdrom[unit] && !(channel->control & IDE_CONTROL_SRST)) {
        ide_packet_device_reset(channel, unit);
        return;
    }
    if ((channel->disk[0].status | channel->disk[1].status) & ATA_STATUS_BSY)
        return;
    drop_interrupt(channel, selected(channel));
    ide_to_idle(channel);
    ide_execute(channel, command);
}

static void register_write(struct ide_channel *channel, unsigned reg, uint8_t value)
{
    if (!ide_present(channel, 0) && !ide_present(channel, 1))
        return;
    channel->control &= (uint8_t)~IDE_CONTROL_HOB;
    for (unsigned n = 0; n < 2; n++) { /* both devices hear every write */
        struct ata_disk *disk = &channel->disk[n];
        switch (reg) {
        case REG_ERROR: push(disk->feature, value); break;
        case REG_COUNT: push(disk->count, value); break;
        case REG_LBA_LOW: push(disk->lba_low, value); break;
        case REG_LBA_MID: push(disk->lba_mid, value); break;
        case REG_LBA_HIGH: push(disk->lba_high, value); break;
        default: break;
        }
    }
    if (reg == REG_DEVICE) {
        channel->device = value;
        ide_update_line(channel);
    } else if (reg == REG_STATUS) {
        command_write(channel, value);
    }
}

static uint64_t command_block_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    uint64_t value = 0;
    if (offset == REG_DATA)
        return data_read(opaque, size_bytes);
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)register_read(opaque, (unsigned)offset + n) << (8 * n);
    return value;
}

static void command_block_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    if (offset == REG_DATA) {
        data_write(opaque, (uint32_t)value, size_bytes);
        return;
    }
    for (unsigned n = 0; n < size_bytes; n++)
        register_write(opaque, (unsigned)offset + n, (uint8_t)(value >> (8 * n)));
}

static uint64_t control_block_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    (void)offset, (void)size_bytes;
    return status_read(opaque); /* alternate status: no effect on INTRQ */
}

static void control_block_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct ide_channel *channel = opaque;
    (void)offset, (void)size_bytes;
    if (ide_present(channel, 0) || ide_present(channel, 1))
        control_write(channel, (uint8_t)value);
}

/* ---- the device ---- */

static struct ide_channel *channel_of(struct device *device)
{
    return device_of(device, struct ide_channel);
}

void ide_channel_reset(struct device *device)
{
    struct ide_channel *channel = channel_of(device);
    channel->control = 0;
    channel->bm_command = channel->bm_status = 0;
    channel->bm_table = 0;
    channel->addressing = ATA_ADDRESS_CHS;
    channel->next_lba = 0;
    channel->block_sectors = 0;
    memset(channel->buffer, 0, sizeof channel->buffer);
    for (unsigned n = 0; n < 2; n++) {
        ata_disk_reset(&channel->disk[n], channel->drive[n]);
        atapi_reset(&channel->cdrom[n]);
    }
    software_reset(channel);
}

static void channel_destroy(struct device *device)
{
    free(channel_of(device)->scratch);
    free(channel_of(device)->segment);
}

static const struct device_class ide_channel_class = {
    .name = "ide_channel",
    .version = 2,
    .size = sizeof(struct ide_channel),
    .fields = ide_channel_fields,
    .reset = ide_channel_reset,
    .post_load = ide_channel_post_load,
    .destroy = channel_destroy,
};

struct ide_channel *ide_channel_create(struct machine *machine, const char *id, const struct ide_unit units[2],
                                       uint16_t command_port, uint16_t control_port, struct irq_line irq)
{
    static const struct bus_ops command_ops = {command_block_read, command_block_write, 4};
    static const struct bus_ops control_ops = {control_block_read, control_block_write, 1};
    struct ide_channel *channel = device_alloc(&ide_channel_class, machine, id);
    for (unsigned n = 0; n < 2; n++) {
        channel->drive[n] = units[n].drive;
        channel->is_cdrom[n] = units[n].cdrom;
        if (units[n].serial)
            snprintf(channel->serial[n], sizeof channel->serial[n], "%s", units[n].serial);
        if (units[n].cdrom)
            atapi_init(&channel->cdrom[n], units[n].drive, units[n].serial);
    }
    channel->irq = irq;
    channel->segment = calloc(BLOCK_SEGMENTS_TRACED, sizeof *channel->segment);
    CHECK(channel->segment);
    bus_map_io(machine_bus(machine), command_port, 8, &command_ops, channel, "ide-command");
    bus_map_io(machine_bus(machine), control_port, 1, &control_ops, channel, "ide-control");
    machine_add_device(machine, &channel->device_base);
    return channel;
}
