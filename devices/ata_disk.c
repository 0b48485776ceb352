/* ATA commands, as far as they do not depend on how data move (ATA/ATAPI-6, clause 8; data set management: ACS-2; READ LOG
 * EXT, READ/WRITE FPDMA QUEUED: ATA8-ACS).
 * Not modelled, and aborted: SMART, security, host protected area (SET MAX), power-up in standby, tagged queuing and CFA
 * commands, READ/WRITE LONG and BUFFER, FORMAT TRACK. Write-cached data are the block layer's; write cache off makes
 * every write FUA. Idle and standby timers are accepted and never run out. */
#include "devices/ata_disk.h"

#include <string.h>

#define DEFAULT_HEADS 16
#define DEFAULT_TRACK_SECTORS 63
#define MODE_PIO_4 4
#define MODE_NO_DMA 0
#define POWER_IDLE 0x80u
#define PACKET_SIGNATURE_MID 0x14
#define PACKET_SIGNATURE_HIGH 0xEB

const struct state_field ata_disk_fields[] = {
    ATA_DISK_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct ata_disk){.name = NULL}};

/* ---- the table ---- */

static const struct ata_command commands[] = {
    {0x06, 0x06, ATA_EXT, ATA_TRIM},
    {0x10, 0x1F, 0, ATA_PLAIN}, /* RECALIBRATE */
    {0x20, 0x21, ATA_MEDIA, ATA_READ_PIO},
    {0x24, 0x24, ATA_MEDIA | ATA_EXT, ATA_READ_PIO},
    {0x25, 0x25, ATA_MEDIA | ATA_EXT, ATA_READ_DMA},
    {0x27, 0x27, ATA_EXT, ATA_PLAIN}, /* READ NATIVE MAX ADDRESS EXT */
    {0x29, 0x29, ATA_MEDIA | ATA_EXT | ATA_MULTIPLE, ATA_READ_PIO},
    {0x2F, 0x2F, ATA_EXT | ATA_SERIAL, ATA_READ_LOG},
    {0x30, 0x31, ATA_MEDIA, ATA_WRITE_PIO},
    {0x34, 0x34, ATA_MEDIA | ATA_EXT, ATA_WRITE_PIO},
    {0x35, 0x35, ATA_MEDIA | ATA_EXT, ATA_WRITE_DMA},
    {0x39, 0x39, ATA_MEDIA | ATA_EXT | ATA_MULTIPLE, ATA_WRITE_PIO},
    {0x3D, 0x3D, ATA_MEDIA | ATA_EXT | ATA_FUA, ATA_WRITE_DMA},
    {0x40, 0x41, ATA_MEDIA, ATA_VERIFY},
    {0x42, 0x42, ATA_MEDIA | ATA_EXT, ATA_VERIFY},
    {0x60, 0x60, ATA_EXT | ATA_SERIAL, ATA_READ_QUEUED},
    {0x61, 0x61, ATA_EXT | ATA_SERIAL, ATA_WRITE_QUEUED},
    {0x70, 0x7F, 0, ATA_PLAIN}, /* SEEK */
    {0x91, 0x91, 0, ATA_PLAIN}, /* INITIALIZE DEVICE PARAMETERS */
    {0x94, 0x99, 0, ATA_PLAIN}, /* power, the first codes of E0h..E6h */
    {0xC4, 0xC4, ATA_MEDIA | ATA_MULTIPLE, ATA_READ_PIO},
    {0xC5, 0xC5, ATA_MEDIA | ATA_MULTIPLE, ATA_WRITE_PIO},
    {0xC6, 0xC6, 0, ATA_PLAIN}, /* SET MULTIPLE MODE */
    {0xC8, 0xC9, ATA_MEDIA, ATA_READ_DMA},
    {0xCA, 0xCB, ATA_MEDIA, ATA_WRITE_DMA},
    {0xCE, 0xCE, ATA_MEDIA | ATA_EXT | ATA_MULTIPLE | ATA_FUA, ATA_WRITE_PIO},
    {0xE0, 0xE3, 0, ATA_PLAIN}, /* power */
    {0xE5, 0xE6, 0, ATA_PLAIN},
    {0xE7, 0xE7, 0, ATA_FLUSH},
    {0xEA, 0xEA, ATA_EXT, ATA_FLUSH},
    {0xEC, 0xEC, 0, ATA_IDENTIFY},
    {0xEF, 0xEF, 0, ATA_PLAIN}, /* SET FEATURES */
    {0xF8, 0xF8, 0, ATA_PLAIN}, /* READ NATIVE MAX ADDRESS */
};

const struct ata_command *ata_command_find(uint8_t code)
{
    for (size_t n = 0; n < sizeof commands / sizeof commands[0]; n++) {
        if (code >= commands[n].first && code <= commands[n].last)
            return &commands[n];
    }
    return NULL;
}

/* ---- resets ---- */

void ata_disk_reset(struct ata_disk *disk, const struct block_drive *drive)
{
    disk->look_ahead = true;
    disk->write_cache = drive && block_drive_write_cache(drive);
    disk->multiple = ATA_MULTIPLE_MAX;
    disk->pio_mode = MODE_PIO_4;
    disk->dma_mode = MODE_NO_DMA;
    disk->heads = DEFAULT_HEADS;
    disk->track_sectors = DEFAULT_TRACK_SECTORS;
}

void ata_set_signature(struct ata_disk *disk, bool present, bool packet)
{
    disk->status = present && !packet ? ATA_STATUS_READY : 0;
    disk->error = ATA_DIAGNOSTIC_PASSED;
    disk->feature[0] = disk->feature[1] = 0;
    disk->count[0] = disk->lba_low[0] = 1;
    disk->count[1] = disk->lba_low[1] = 0;
    disk->lba_mid[0] = packet ? PACKET_SIGNATURE_MID : 0;
    disk->lba_high[0] = packet ? PACKET_SIGNATURE_HIGH : 0;
    disk->lba_mid[1] = disk->lba_high[1] = 0;
    disk->interrupt = false;
    disk->asleep = false;
    disk->power = ATA_POWER_ACTIVE;
}

bool ata_disk_sound(const struct ata_disk *disk)
{
    return disk->heads && disk->heads <= 16 && disk->track_sectors && disk->multiple <= ATA_MULTIPLE_MAX &&
           !(disk->multiple & (disk->multiple - 1));
}

/* ---- addresses ---- */

enum ata_addressing ata_addressing(const struct ata_command *command, uint8_t device)
{
    if (command->flags & ATA_EXT)
        return ATA_ADDRESS_LBA48;
    return device & ATA_DEVICE_LBA ? ATA_ADDRESS_LBA28 : ATA_ADDRESS_CHS;
}

static bool chs_address(const struct ata_disk *disk, uint8_t device, uint64_t *lba)
{
    uint32_t head = device & 15, sector = disk->lba_low[0];
    uint32_t cylinder = (uint32_t)disk->lba_high[0] << 8 | disk->lba_mid[0];
    *lba = ((uint64_t)cylinder * disk->heads + head) * disk->track_sectors + sector - 1;
    return head < disk->heads && sector >= 1 && sector <= disk->track_sectors;
}

bool ata_take_range(const struct ata_disk *disk, uint8_t device, enum ata_addressing addressing, uint64_t disk_sectors,
                    struct ata_range *range)
{
    uint64_t low = (uint64_t)disk->lba_high[0] << 16 | (uint64_t)disk->lba_mid[0] << 8 | disk->lba_low[0];
    uint64_t high = (uint64_t)disk->lba_high[1] << 16 | (uint64_t)disk->lba_mid[1] << 8 | disk->lba_low[1];
    bool valid = true;
    if (addressing == ATA_ADDRESS_LBA48) {
        range->lba = high << 24 | low;
        range->sectors = ata_count16(disk) ? ata_count16(disk) : 65536;
    } else {
        range->sectors = disk->count[0] ? disk->count[0] : 256;
        range->lba = (uint64_t)(device & 15) << 24 | low;
        if (addressing == ATA_ADDRESS_CHS)
            valid = chs_address(disk, device, &range->lba);
    }
    return valid && range->lba < disk_sectors && range->sectors <= disk_sectors - range->lba;
}

void ata_store_address(struct ata_disk *disk, uint8_t *device, enum ata_addressing addressing, uint64_t lba)
{
    unsigned head = (unsigned)(lba >> 24) & 15;
    if (addressing == ATA_ADDRESS_CHS) {
        uint64_t track = lba / disk->track_sectors;
        uint64_t cylinder = track / disk->heads;
        head = (unsigned)(track % disk->heads);
        lba = lba % disk->track_sectors + 1 + (cylinder << 8);
    }
    disk->lba_low[0] = (uint8_t)lba;
    disk->lba_mid[0] = (uint8_t)(lba >> 8);
    disk->lba_high[0] = (uint8_t)(lba >> 16);
    if (addressing != ATA_ADDRESS_LBA48) {
        *device = (uint8_t)((*device & 0xF0) | head);
        return;
    }
    disk->lba_low[1] = (uint8_t)(lba >> 24);
    disk->lba_mid[1] = (uint8_t)(lba >> 32);
    disk->lba_high[1] = (uint8_t)(lba >> 40);
}

struct ata_range ata_trim_range(const uint8_t entry[ATA_TRIM_RANGE_BYTES])
{
    struct ata_range range = {.lba = 0, .sectors = (uint32_t)entry[7] << 8 | entry[6]};
    for (unsigned n = 0; n < 6; n++)
        range.lba |= (uint64_t)entry[n] << (8 * n);
    return range;
}

/* ---- SET FEATURES ---- */

bool ata_set_transfer_mode(struct ata_disk *disk, uint8_t mode)
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

static bool set_feature(struct ata_disk *disk)
{
    switch (disk->feature[0]) {
    case 0x02: disk->write_cache = true; return true;
    case 0x82: disk->write_cache = false; return true;
    case 0x03: return ata_set_transfer_mode(disk, disk->count[0]);
    case 0xAA: disk->look_ahead = true; return true;
    case 0x55: disk->look_ahead = false; return true;
    case 0x66: /* software reset keeps the settings: it does here */
    case 0xCC: return true;
    default: return false;
    }
}

/* Switching the write cache off brings what is in it to the medium. */
static enum ata_plain set_features(struct ata_disk *disk)
{
    bool was_cached = disk->write_cache;
    if (!set_feature(disk))
        return ATA_PLAIN_ABORT;
    return was_cached && !disk->write_cache ? ATA_PLAIN_FLUSH : ATA_PLAIN_OK;
}

/* ---- the other commands without data ---- */

/* Takes an address but no count. */
static enum ata_plain seek(struct ata_disk *disk, uint8_t device, uint64_t disk_sectors)
{
    struct ata_range range;
    uint8_t count = disk->count[0];
    enum ata_addressing addressing = device & ATA_DEVICE_LBA ? ATA_ADDRESS_LBA28 : ATA_ADDRESS_CHS;
    disk->count[0] = 1;
    bool valid = ata_take_range(disk, device, addressing, disk_sectors, &range);
    disk->count[0] = count;
    return valid ? ATA_PLAIN_OK : ATA_PLAIN_NOT_FOUND;
}

static enum ata_plain set_multiple(struct ata_disk *disk)
{
    uint8_t count = disk->count[0];
    bool valid = count <= ATA_MULTIPLE_MAX && !(count & (count - 1));
    disk->multiple = valid ? count : 0;
    return valid ? ATA_PLAIN_OK : ATA_PLAIN_ABORT;
}

static enum ata_plain initialize_parameters(struct ata_disk *disk, uint8_t device)
{
    if (!disk->count[0])
        return ATA_PLAIN_ABORT;
    disk->track_sectors = disk->count[0];
    disk->heads = (uint8_t)((device & 15) + 1);
    return ATA_PLAIN_OK;
}

static enum ata_plain read_native_max(struct ata_disk *disk, uint8_t *device, uint64_t disk_sectors, bool ext)
{
    uint64_t last = disk_sectors - 1;
    enum ata_addressing addressing = ext                        ? ATA_ADDRESS_LBA48
                                     : *device & ATA_DEVICE_LBA ? ATA_ADDRESS_LBA28
                                                                : ATA_ADDRESS_CHS;
    if (!ext && last > 0x0FFFFFFE)
        last = 0x0FFFFFFE;
    ata_store_address(disk, device, addressing, last);
    return ATA_PLAIN_OK;
}

static enum ata_plain set_power(struct ata_disk *disk, uint8_t power, bool asleep)
{
    disk->power = power;
    disk->asleep = asleep;
    return power == ATA_POWER_STANDBY ? ATA_PLAIN_FLUSH : ATA_PLAIN_OK;
}

enum ata_plain ata_execute_plain(struct ata_disk *disk, uint8_t code, uint8_t *device, uint64_t disk_sectors)
{
    if (code >= 0x70 && code <= 0x7F)
        return seek(disk, *device, disk_sectors);
    switch (code) {
    case 0x27: return read_native_max(disk, device, disk_sectors, true);
    case 0x91: return initialize_parameters(disk, *device);
    case 0x94:
    case 0x96:
    case 0xE0:
    case 0xE2: return set_power(disk, ATA_POWER_STANDBY, false);
    case 0x95:
    case 0x97:
    case 0xE1:
    case 0xE3: return set_power(disk, POWER_IDLE, false);
    case 0x99:
    case 0xE6: return set_power(disk, ATA_POWER_STANDBY, true);
    case 0x98:
    case 0xE5: disk->count[0] = disk->power; return ATA_PLAIN_OK;
    case 0xC6: return set_multiple(disk);
    case 0xEF: return set_features(disk);
    case 0xF8: return read_native_max(disk, device, disk_sectors, false);
    default: return ATA_PLAIN_OK; /* RECALIBRATE */
    }
}

struct ata_failure ata_failure_of(enum trace_block_op op, enum status status)
{
    if (op == TRACE_BLOCK_READ)
        return (struct ata_failure){ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_UNC};
    if (status == STATUS_READ_ONLY)
        return (struct ata_failure){ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT};
    return (struct ata_failure){ATA_STATUS_READY | ATA_STATUS_DF | ATA_STATUS_ERR, ATA_ERROR_ABRT};
}
