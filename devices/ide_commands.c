/* ATA commands (ATA/ATAPI-6, clause 8; data set management: ACS-2).
 * A PIO read fetches up to a buffer (16 sectors) at a time; a PIO write stores each DRQ block; a DMA command is one
 * request. The address reported with an error is that of the failed request's first sector.
 * Not modelled, and aborted: SMART, security, host protected area (SET MAX), power-up in standby, logs, queued and CFA
 * commands, READ/WRITE LONG and BUFFER, FORMAT TRACK. Write-cached data are the block layer's; write cache off makes
 * every write FUA. Idle and standby timers are accepted and never run out. */
#include "devices/ide_internal.h"

#include <string.h>

#define FLAG_EXT 1u      /* 48-bit address and 16-bit count */
#define FLAG_MEDIA 2u    /* takes an address, and wakes the disk */
#define FLAG_MULTIPLE 4u /* DRQ blocks of SET MULTIPLE MODE */
#define FLAG_FUA 8u

#define POWER_IDLE 0x80u
#define CHECK_POWER_OLD 0x98
#define DIAGNOSTIC 0x90
#define TRIM_FEATURE 0x01u
#define TRIM_RANGE_BYTES 8

struct command {
    uint8_t first, last;
    uint8_t flags;
    void (*execute)(struct ide_channel *channel, const struct command *command);
};

static uint64_t disk_sectors(const struct ide_channel *channel)
{
    return block_drive_sectors(channel->drive[channel->active]);
}

static void finish_ok(struct ide_channel *channel)
{
    ide_finish(channel, IDE_STATUS_READY, 0);
}

static uint32_t count16(const struct ide_disk *disk)
{
    return (uint32_t)disk->count[1] << 8 | disk->count[0];
}

/* ---- addresses ---- */

static bool chs_address(const struct ide_channel *channel, const struct ide_disk *disk, uint64_t *lba)
{
    uint32_t head = channel->device & 15, sector = disk->lba_low[0];
    uint32_t cylinder = (uint32_t)disk->lba_high[0] << 8 | disk->lba_mid[0];
    *lba = ((uint64_t)cylinder * disk->heads + head) * disk->track_sectors + sector - 1;
    return head < disk->heads && sector >= 1 && sector <= disk->track_sectors;
}

/* The address and count of the task file into next_lba and remaining; false: there are no such sectors. */
static bool take_address(struct ide_channel *channel, uint8_t flags)
{
    const struct ide_disk *disk = ide_active(channel);
    uint64_t low = (uint64_t)disk->lba_high[0] << 16 | (uint64_t)disk->lba_mid[0] << 8 | disk->lba_low[0];
    uint64_t high = (uint64_t)disk->lba_high[1] << 16 | (uint64_t)disk->lba_mid[1] << 8 | disk->lba_low[1];
    bool valid = true;
    if (flags & FLAG_EXT) {
        channel->next_lba = high << 24 | low;
        channel->remaining = count16(disk) ? count16(disk) : 65536;
    } else {
        channel->remaining = disk->count[0] ? disk->count[0] : 256;
        channel->next_lba = (uint64_t)(channel->device & 15) << 24 | low;
        if (channel->addressing == IDE_ADDRESS_CHS)
            valid = chs_address(channel, disk, &channel->next_lba);
    }
    uint64_t sectors = disk_sectors(channel);
    return valid && channel->next_lba < sectors && channel->remaining <= sectors - channel->next_lba;
}

/* ---- PIO in ---- */

static void fetch(struct ide_channel *channel)
{
    uint32_t sectors = channel->remaining < IDE_MULTIPLE_MAX ? channel->remaining : IDE_MULTIPLE_MAX;
    ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, sectors, channel->buffer->bytes, false);
}

static bool choose_block(struct ide_channel *channel, const struct command *command)
{
    channel->block_sectors = command->flags & FLAG_MULTIPLE ? ide_active(channel)->multiple : 1;
    return channel->block_sectors != 0;
}

static void read_pio(struct ide_channel *channel, const struct command *command)
{
    if (!choose_block(channel, command)) {
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PIO_IN;
    fetch(channel);
}

static void identify(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    ide_identify(channel, channel->active, channel->buffer->bytes);
    state_kept_touch(&channel->buffer->kept);
    channel->phase = IDE_PIO_IN;
    channel->block_sectors = 1;
    channel->pio_fill = BLOCK_SECTOR_BYTES;
    ide_pio_show(channel, false);
}

/* Transfers of sectors end with the last address and a count of 0; no interrupt follows the last block of PIO in. */
static void transfer_done(struct ide_channel *channel)
{
    ide_store_address(channel, channel->next_lba - 1);
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
        ide_active(channel)->status = IDE_STATUS_READY;
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

static void write_pio(struct ide_channel *channel, const struct command *command)
{
    if (!choose_block(channel, command)) {
        ide_abort(channel);
        return;
    }
    channel->phase = IDE_PIO_OUT;
    channel->fua = command->flags & FLAG_FUA;
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
    ide_active(channel)->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
    if (ide_bm_ready(channel, phase == IDE_DMA_IN || phase == IDE_PACKET_DMA))
        ide_dma_start(channel);
}

static void read_dma(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    ide_wait_for_bus_master(channel, IDE_DMA_IN);
}

static void write_dma(struct ide_channel *channel, const struct command *command)
{
    channel->fua = command->flags & FLAG_FUA;
    ide_wait_for_bus_master(channel, IDE_DMA_OUT);
}

static void trim_next(struct ide_channel *channel);

void ide_dma_start(struct ide_channel *channel)
{
    size_t bytes = (size_t)channel->remaining * BLOCK_SECTOR_BYTES;
    channel->dma_wait = false;
    switch (channel->phase) {
    case IDE_DMA_IN:
        ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, channel->remaining, ide_scratch(channel, bytes),
                   false);
        break;
    case IDE_DMA_OUT:
        if (ide_bm_transfer(channel, ide_scratch(channel, bytes), bytes, false))
            ide_submit(channel, TRACE_BLOCK_WRITE, channel->next_lba, channel->remaining, channel->scratch,
                       write_through(channel));
        break;
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
    if (!ide_bm_transfer(channel, channel->scratch, (uint64_t)sectors * BLOCK_SECTOR_BYTES, true)) {
        ide_active(channel)->status = IDE_STATUS_READY | IDE_STATUS_DRQ;
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

static void data_set_management(struct ide_channel *channel, const struct command *command)
{
    const struct ide_disk *disk = ide_active(channel);
    uint32_t blocks = count16(disk);
    (void)command;
    if (!(disk->feature[0] & TRIM_FEATURE) || !blocks || blocks > IDE_TRIM_BLOCKS_MAX) {
        ide_abort(channel);
        return;
    }
    channel->pio_fill = blocks * BLOCK_SECTOR_BYTES;
    ide_wait_for_bus_master(channel, IDE_TRIM);
}

/* A range: 48 bits of address, 16 bits of count; 0 sectors: an unused entry. */
static void trim_next(struct ide_channel *channel)
{
    uint64_t size = disk_sectors(channel);
    while (channel->pio_index < channel->pio_fill) {
        const uint8_t *range = channel->buffer->bytes + channel->pio_index;
        uint64_t lba = 0;
        for (unsigned n = 0; n < 6; n++)
            lba |= (uint64_t)range[n] << (8 * n);
        uint32_t sectors = (uint32_t)range[7] << 8 | range[6];
        channel->pio_index += TRIM_RANGE_BYTES;
        if (!sectors)
            continue;
        if (lba >= size || sectors > size - lba) {
            ide_finish(channel, IDE_STATUS_READY | IDE_STATUS_ERR, IDE_ERROR_ABRT | IDE_ERROR_IDNF);
            return;
        }
        ide_submit(channel, TRACE_BLOCK_DISCARD, lba, sectors, NULL, false);
        return;
    }
    finish_ok(channel);
}

/* ---- outcome of a request ---- */

static void request_failed(struct ide_channel *channel, enum status status)
{
    bool addressed = channel->phase != IDE_TRIM && channel->request.op != TRACE_BLOCK_FLUSH;
    if (addressed)
        ide_store_address(channel, channel->request.sector);
    if (channel->request.op == TRACE_BLOCK_READ)
        ide_finish(channel, IDE_STATUS_READY | IDE_STATUS_ERR, IDE_ERROR_UNC);
    else if (status == STATUS_READ_ONLY)
        ide_abort(channel);
    else
        ide_finish(channel, IDE_STATUS_READY | IDE_STATUS_DF | IDE_STATUS_ERR, IDE_ERROR_ABRT);
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

static void verify(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    channel->phase = IDE_NO_DATA;
    uint8_t *scratch = ide_scratch(channel, (size_t)channel->remaining * BLOCK_SECTOR_BYTES);
    ide_submit(channel, TRACE_BLOCK_READ, channel->next_lba, channel->remaining, scratch, false);
}

static void flush(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    channel->phase = IDE_NO_DATA;
    ide_submit(channel, TRACE_BLOCK_FLUSH, 0, 0, NULL, false);
}

static void succeed(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    finish_ok(channel);
}

/* SEEK takes an address but no count. */
static void seek(struct ide_channel *channel, const struct command *command)
{
    uint8_t count = ide_active(channel)->count[0];
    ide_active(channel)->count[0] = 1;
    bool valid = take_address(channel, command->flags);
    ide_active(channel)->count[0] = count;
    if (valid)
        finish_ok(channel);
    else
        ide_finish(channel, IDE_STATUS_READY | IDE_STATUS_ERR, IDE_ERROR_IDNF);
}

static void set_multiple(struct ide_channel *channel, const struct command *command)
{
    struct ide_disk *disk = ide_active(channel);
    uint8_t count = disk->count[0];
    bool valid = count <= IDE_MULTIPLE_MAX && !(count & (count - 1));
    (void)command;
    disk->multiple = valid ? count : 0;
    if (valid)
        finish_ok(channel);
    else
        ide_abort(channel);
}

static void initialize_parameters(struct ide_channel *channel, const struct command *command)
{
    struct ide_disk *disk = ide_active(channel);
    (void)command;
    if (!disk->count[0]) {
        ide_abort(channel);
        return;
    }
    disk->track_sectors = disk->count[0];
    disk->heads = (uint8_t)((channel->device & 15) + 1);
    finish_ok(channel);
}

static void read_native_max(struct ide_channel *channel, const struct command *command)
{
    uint64_t last = disk_sectors(channel) - 1;
    if (!(command->flags & FLAG_EXT) && last > 0x0FFFFFFE)
        last = 0x0FFFFFFE;
    ide_store_address(channel, last);
    finish_ok(channel);
}

static void standby(struct ide_channel *channel, const struct command *command)
{
    ide_active(channel)->power = IDE_POWER_STANDBY;
    flush(channel, command);
}

static void idle(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    ide_active(channel)->power = POWER_IDLE;
    finish_ok(channel);
}

static void sleep_until_reset(struct ide_channel *channel, const struct command *command)
{
    ide_active(channel)->asleep = true;
    standby(channel, command);
}

static void check_power(struct ide_channel *channel, const struct command *command)
{
    (void)command;
    ide_active(channel)->count[0] = ide_active(channel)->power;
    finish_ok(channel);
}

/* ---- SET FEATURES ---- */

bool ide_set_transfer_mode(struct ide_disk *disk, uint8_t mode)
{
    bool pio = mode <= 0x01 || (mode >= 0x08 && mode <= 0x0C);
    bool multiword = mode >= 0x20 && mode <= 0x22;
    bool ultra = mode >= 0x40 && mode <= 0x45;
    if (pio)
        disk->pio_mode = mode & 7;
    else if (multiword || ultra)
        disk->dma_mode = mode;
    return pio || multiword || ultra;
}

static bool set_feature(struct ide_disk *disk)
{
    switch (disk->feature[0]) {
    case 0x02: disk->write_cache = true; return true;
    case 0x82: disk->write_cache = false; return true;
    case 0x03: return ide_set_transfer_mode(disk, disk->count[0]);
    case 0xAA: disk->look_ahead = true; return true;
    case 0x55: disk->look_ahead = false; return true;
    case 0x66: /* software reset keeps the settings: it does here */
    case 0xCC: return true;
    default: return false;
    }
}

/* Switching the write cache off brings what is in it to the medium. */
static void set_features(struct ide_channel *channel, const struct command *command)
{
    struct ide_disk *disk = ide_active(channel);
    bool was_cached = disk->write_cache;
    if (!set_feature(disk))
        ide_abort(channel);
    else if (was_cached && !disk->write_cache)
        flush(channel, command);
    else
        finish_ok(channel);
}

/* ---- the table ---- */

static const struct command commands[] = {
    {0x06, 0x06, FLAG_EXT, data_set_management},
    {0x10, 0x1F, 0, succeed}, /* RECALIBRATE */
    {0x20, 0x21, FLAG_MEDIA, read_pio},
    {0x24, 0x24, FLAG_MEDIA | FLAG_EXT, read_pio},
    {0x25, 0x25, FLAG_MEDIA | FLAG_EXT, read_dma},
    {0x27, 0x27, FLAG_EXT, read_native_max},
    {0x29, 0x29, FLAG_MEDIA | FLAG_EXT | FLAG_MULTIPLE, read_pio},
    {0x30, 0x31, FLAG_MEDIA, write_pio},
    {0x34, 0x34, FLAG_MEDIA | FLAG_EXT, write_pio},
    {0x35, 0x35, FLAG_MEDIA | FLAG_EXT, write_dma},
    {0x39, 0x39, FLAG_MEDIA | FLAG_EXT | FLAG_MULTIPLE, write_pio},
    {0x3D, 0x3D, FLAG_MEDIA | FLAG_EXT | FLAG_FUA, write_dma},
    {0x40, 0x41, FLAG_MEDIA, verify},
    {0x42, 0x42, FLAG_MEDIA | FLAG_EXT, verify},
    {0x70, 0x7F, 0, seek},
    {0x91, 0x91, 0, initialize_parameters},
    {0x94, 0x94, 0, standby}, /* 94h..99h: the first codes of E0h..E6h */
    {0x95, 0x95, 0, idle},
    {0x96, 0x96, 0, standby},
    {0x97, 0x97, 0, idle},
    {CHECK_POWER_OLD, CHECK_POWER_OLD, 0, check_power},
    {0x99, 0x99, 0, sleep_until_reset},
    {0xC4, 0xC4, FLAG_MEDIA | FLAG_MULTIPLE, read_pio},
    {0xC5, 0xC5, FLAG_MEDIA | FLAG_MULTIPLE, write_pio},
    {0xC6, 0xC6, 0, set_multiple},
    {0xC8, 0xC9, FLAG_MEDIA, read_dma},
    {0xCA, 0xCB, FLAG_MEDIA, write_dma},
    {0xCE, 0xCE, FLAG_MEDIA | FLAG_EXT | FLAG_MULTIPLE | FLAG_FUA, write_pio},
    {0xE0, 0xE0, 0, standby},
    {0xE1, 0xE1, 0, idle},
    {0xE2, 0xE2, 0, standby},
    {0xE3, 0xE3, 0, idle},
    {0xE5, 0xE5, 0, check_power},
    {0xE6, 0xE6, 0, sleep_until_reset},
    {0xE7, 0xE7, 0, flush},
    {0xEA, 0xEA, FLAG_EXT, flush},
    {0xEC, 0xEC, 0, identify},
    {0xEF, 0xEF, 0, set_features},
    {0xF8, 0xF8, 0, read_native_max},
};

static const struct command *find_command(uint8_t code)
{
    for (size_t n = 0; n < sizeof commands / sizeof commands[0]; n++) {
        if (code >= commands[n].first && code <= commands[n].last)
            return &commands[n];
    }
    return NULL;
}

/* Both devices take part, whichever is selected; device 0 answers for both. */
static void diagnostic(struct ide_channel *channel)
{
    ide_set_signature(channel);
    channel->active = ide_present(channel, 0) ? 0 : 1;
    ide_finish(channel, ide_active(channel)->status, IDE_DIAGNOSTIC_PASSED);
}

void ide_execute(struct ide_channel *channel, uint8_t code)
{
    unsigned disk = channel->device & IDE_DEVICE_DEV ? 1 : 0;
    const struct command *command = find_command(code);
    if (code == DIAGNOSTIC) {
        diagnostic(channel);
        return;
    }
    if (!ide_present(channel, disk) || channel->disk[disk].asleep)
        return;
    channel->active = (uint8_t)disk;
    if (channel->is_cdrom[disk]) {
        ide_packet_execute(channel, code);
        return;
    }
    if (!command) {
        ide_abort(channel);
        return;
    }
    channel->addressing = command->flags & FLAG_EXT          ? IDE_ADDRESS_LBA48
                          : channel->device & IDE_DEVICE_LBA ? IDE_ADDRESS_LBA28
                                                             : IDE_ADDRESS_CHS;
    channel->disk[disk].error = 0;
    if (command->flags & FLAG_MEDIA) {
        channel->disk[disk].power = IDE_POWER_ACTIVE;
        if (!take_address(channel, command->flags)) {
            ide_finish(channel, IDE_STATUS_READY | IDE_STATUS_ERR, IDE_ERROR_IDNF);
            return;
        }
    }
    command->execute(channel, command);
}
