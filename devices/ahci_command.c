/* A disk's commands on an AHCI port. What the codes mean: ata_disk.c. PIO and DMA differ in the FIS that are sent alone: all
 * data go by the PRD table (AHCI 1.3.1, 5.6). Queued commands: READ/WRITE FPDMA QUEUED (ATA8-ACS 7.27, 7.75), up to 32, which
 * end in the order in which the drive serves them. A command that is not queued while some are, or a tag that is in use, makes
 * the disk give up its queue (SATA 2.6, 13.7.3.3).
 * A command of more than AHCI_CHUNK_SECTORS is so many requests, one after the other. */
#include "devices/ahci_internal.h"

#include <string.h>

#define QUEUED_FUA 0x80u
#define LOG_DIRECTORY 0x00u
#define LOG_QUEUED_ERROR 0x10u
#define LOG_NOT_QUEUED 0x80u

static uint64_t disk_sectors(const struct ahci_port *port)
{
    return block_drive_sectors(port->drive);
}

static void fail(struct ahci_slot *slot, uint8_t status, uint8_t error)
{
    if (slot->queued)
        ahci_fail_queued(slot, status, error);
    else
        ahci_finish(slot, status, error);
}

/* ---- data in pieces ---- */

static uint32_t chunk_sectors(const struct ahci_slot *slot)
{
    return slot->left < AHCI_CHUNK_SECTORS ? slot->left : AHCI_CHUNK_SECTORS;
}

static void next_chunk(struct ahci_slot *slot)
{
    uint32_t sectors = chunk_sectors(slot);
    uint64_t bytes = (uint64_t)sectors * BLOCK_SECTOR_BYTES;
    if (slot->phase != AHCI_WRITE) {
        ahci_submit(slot, TRACE_BLOCK_READ, slot->next, sectors, NULL);
        return;
    }
    uint8_t *data = block_write_buffer(slot->port->drive, bytes);
    if (!data)
        data = slot->port->chip->scratch; /* it moves, and fails then */
    if (ahci_from_memory(slot, data, bytes))
        ahci_submit(slot, TRACE_BLOCK_WRITE, slot->next, sectors, data);
}

static void transfer_done(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    uint32_t bytes = slot->moved;
    if (slot->queued) {
        ahci_finish_queued(slot);
        return;
    }
    ata_store_address(port->disk, &port->device, (enum ata_addressing)port->addressing, slot->next - 1);
    port->disk->count[0] = port->disk->count[1] = 0;
    if (slot->pio && slot->phase == AHCI_READ)
        ahci_finish_pio_in(slot, bytes);
    else
        ahci_finish_ok(slot);
}

static void chunk_done(struct ahci_slot *slot)
{
    uint32_t sectors = chunk_sectors(slot);
    if (slot->phase == AHCI_READ) {
        bool moved = ahci_to_memory(slot, slot->request.data, (uint64_t)sectors * BLOCK_SECTOR_BYTES);
        ahci_trace_segments(slot);
        if (!moved)
            return;
    }
    slot->next += sectors;
    slot->left -= sectors;
    if (slot->left)
        next_chunk(slot);
    else
        transfer_done(slot);
}

/* ---- data set management ---- */

static void trim_next(struct ahci_slot *slot)
{
    uint64_t size = disk_sectors(slot->port);
    while (slot->left) {
        uint8_t entry[ATA_TRIM_RANGE_BYTES];
        if (!ahci_from_memory(slot, entry, sizeof entry))
            return;
        slot->left -= ATA_TRIM_RANGE_BYTES;
        struct ata_range range = ata_trim_range(entry);
        if (!range.sectors)
            continue;
        if (range.lba >= size || range.sectors > size - range.lba) {
            ahci_finish(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT | ATA_ERROR_IDNF);
            return;
        }
        ahci_submit(slot, TRACE_BLOCK_DISCARD, range.lba, range.sectors, NULL);
        return;
    }
    ahci_finish_ok(slot);
}

static void trim(struct ahci_slot *slot)
{
    const struct ata_disk *disk = slot->port->disk;
    uint32_t blocks = ata_count16(disk);
    if (!(disk->feature[0] & ATA_TRIM_FEATURE) || !blocks || blocks > ATA_TRIM_BLOCKS_MAX) {
        ahci_abort(slot);
        return;
    }
    slot->phase = AHCI_TRIM;
    slot->left = blocks * BLOCK_SECTOR_BYTES;
    trim_next(slot);
}

/* ---- a request's end ---- */

static void request_failed(struct ahci_slot *slot, enum status status)
{
    struct ahci_port *port = slot->port;
    struct ata_failure failure = ata_failure_of(slot->request.op, status);
    if (slot->phase != AHCI_TRIM && slot->phase != AHCI_FLUSH && !slot->queued)
        ata_store_address(port->disk, &port->device, (enum ata_addressing)port->addressing, slot->next);
    fail(slot, failure.status, failure.error);
}

void ahci_command_request_done(struct ahci_slot *slot, enum status status)
{
    if (status)
        request_failed(slot, status);
    else if (slot->phase == AHCI_TRIM)
        trim_next(slot);
    else if (slot->phase == AHCI_FLUSH)
        ahci_finish_ok(slot);
    else
        chunk_done(slot);
}

/* ---- what is read from the disk itself ---- */

static void give_block(struct ahci_slot *slot, const uint8_t data[BLOCK_SECTOR_BYTES])
{
    if (ahci_to_memory(slot, data, BLOCK_SECTOR_BYTES))
        ahci_finish_pio_in(slot, BLOCK_SECTOR_BYTES);
}

static void identify(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    struct ata_identity identity = {.drive = port->drive, .serial = port->serial, .serial_ata = true};
    uint8_t data[BLOCK_SECTOR_BYTES];
    ata_identify(port->disk, &identity, data);
    give_block(slot, data);
}

/* Which queued command failed, and how; reading it once is enough. */
static void put_queued_error(struct ahci_port *port, uint8_t data[BLOCK_SECTOR_BYTES])
{
    uint8_t sum = 0;
    data[0] = port->has_failed ? port->failed_slot : LOG_NOT_QUEUED;
    if (port->has_failed) {
        data[2] = port->failed_status;
        data[3] = port->failed_error;
        for (unsigned n = 0; n < 3; n++) {
            data[4 + n] = (uint8_t)(port->failed_lba >> (8 * n));
            data[8 + n] = (uint8_t)(port->failed_lba >> (24 + 8 * n));
        }
        data[7] = ATA_DEVICE_LBA;
    }
    for (unsigned n = 0; n < BLOCK_SECTOR_BYTES - 1; n++)
        sum = (uint8_t)(sum + data[n]);
    data[BLOCK_SECTOR_BYTES - 1] = (uint8_t)-sum;
    port->has_failed = false;
}

/* Log in lba_low, page in lba_mid. */
static void read_log(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    const struct ata_disk *disk = port->disk;
    uint8_t data[BLOCK_SECTOR_BYTES] = {0};
    if (ata_count16(disk) != 1 || disk->lba_mid[0] || disk->lba_mid[1]) {
        ahci_abort(slot);
        return;
    }
    switch (disk->lba_low[0]) {
    case LOG_DIRECTORY:
        data[0] = 1;
        data[2 * LOG_QUEUED_ERROR] = 1;
        break;
    case LOG_QUEUED_ERROR: put_queued_error(port, data); break;
    default: ahci_abort(slot); return;
    }
    give_block(slot, data);
}

/* ---- starting ---- */

static void plain(struct ahci_slot *slot, uint8_t code)
{
    struct ahci_port *port = slot->port;
    switch (ata_execute_plain(port->disk, code, &port->device, disk_sectors(port))) {
    case ATA_PLAIN_OK: ahci_finish_ok(slot); break;
    case ATA_PLAIN_FLUSH:
        slot->phase = AHCI_FLUSH;
        ahci_submit(slot, TRACE_BLOCK_FLUSH, 0, 0, NULL);
        break;
    case ATA_PLAIN_ABORT: ahci_abort(slot); break;
    case ATA_PLAIN_NOT_FOUND: ahci_finish(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_IDNF); break;
    }
}

static void transfer(struct ahci_slot *slot, const struct ata_command *command, enum ahci_phase phase, bool pio)
{
    const struct ata_disk *disk = slot->port->disk;
    if ((command->flags & ATA_MULTIPLE) && !disk->multiple) {
        ahci_abort(slot);
        return;
    }
    slot->phase = (uint8_t)phase;
    slot->pio = pio;
    slot->fua = (command->flags & ATA_FUA) || !disk->write_cache;
    if (pio && phase == AHCI_WRITE)
        ahci_send_pio_setup(slot, slot->left * BLOCK_SECTOR_BYTES, false, false, ATA_STATUS_BSY);
    next_chunk(slot);
}

static bool take_range(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    struct ata_range range;
    bool valid =
        ata_take_range(port->disk, port->device, (enum ata_addressing)port->addressing, disk_sectors(port), &range);
    slot->next = range.lba;
    slot->left = range.sectors;
    return valid;
}

/* The count stands in the features, the tag in the count. */
static void queued(struct ahci_slot *slot, enum ahci_phase phase)
{
    struct ahci_port *port = slot->port;
    struct ata_disk *disk = port->disk;
    unsigned tag = disk->count[0] >> 3;
    uint8_t count[2] = {disk->feature[0], disk->feature[1]};
    memcpy(disk->count, count, sizeof count);
    disk->power = ATA_POWER_ACTIVE;
    bool valid = take_range(slot);
    slot->phase = (uint8_t)phase;
    slot->fua = (port->device & QUEUED_FUA) || !disk->write_cache;
    ahci_accept_queued(slot);
    if (tag != ahci_slot_number(slot) || !(port->sact >> tag & 1))
        ahci_fail_queued(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT);
    else if (!valid)
        ahci_fail_queued(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_IDNF);
    else
        next_chunk(slot);
}

static void start(struct ahci_slot *slot, const struct ata_command *command, uint8_t code)
{
    switch (command->operation) {
    case ATA_READ_PIO: transfer(slot, command, AHCI_READ, true); break;
    case ATA_READ_DMA: transfer(slot, command, AHCI_READ, false); break;
    case ATA_WRITE_PIO: transfer(slot, command, AHCI_WRITE, true); break;
    case ATA_WRITE_DMA: transfer(slot, command, AHCI_WRITE, false); break;
    case ATA_VERIFY: transfer(slot, command, AHCI_VERIFY, false); break;
    case ATA_READ_QUEUED: queued(slot, AHCI_READ); break;
    case ATA_WRITE_QUEUED: queued(slot, AHCI_WRITE); break;
    case ATA_FLUSH:
        slot->phase = AHCI_FLUSH;
        ahci_submit(slot, TRACE_BLOCK_FLUSH, 0, 0, NULL);
        break;
    case ATA_TRIM: trim(slot); break;
    case ATA_IDENTIFY: identify(slot); break;
    case ATA_READ_LOG: read_log(slot); break;
    case ATA_PLAIN: plain(slot, code); break;
    }
}

static bool queue_in_use(const struct ahci_port *port)
{
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        if (port->slot[n].queued)
            return true;
    }
    return false;
}

void ahci_command(struct ahci_slot *slot, uint8_t code)
{
    struct ahci_port *port = slot->port;
    const struct ata_command *command = ata_command_find(code);
    slot->command = code;
    bool is_queued = command && (command->operation == ATA_READ_QUEUED || command->operation == ATA_WRITE_QUEUED);
    if (!is_queued && queue_in_use(port)) {
        uint8_t number = (uint8_t)ahci_slot_number(slot);
        ahci_forget_commands(port);
        port->running = number;
        ahci_abort(&port->slot[number]);
        return;
    }
    if (!command) {
        ahci_abort(slot);
        return;
    }
    port->addressing = (uint8_t)ata_addressing(command, port->device);
    port->disk->error = 0;
    if (command->flags & ATA_MEDIA) {
        port->disk->power = ATA_POWER_ACTIVE;
        if (!take_range(slot)) {
            ahci_finish(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_IDNF);
            return;
        }
    }
    start(slot, command, code);
}
