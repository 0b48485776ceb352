/* An ATA disk without its wire: task file, modes, what each command code is, addresses, the commands that move no data,
 * IDENTIFY data. IDE channels (ide_commands.c) and AHCI ports (ahci_command.c) carry the data. ATA/ATAPI-6 (T13/1410D) unless
 * said otherwise; NCQ, logs: ATA8-ACS. Thread: machine thread. */
#ifndef VMRR_DEVICES_ATA_DISK_H
#define VMRR_DEVICES_ATA_DISK_H

#include "block/block.h"
#include "core/state.h"

#define ATA_STATUS_BSY 0x80u
#define ATA_STATUS_DRDY 0x40u
#define ATA_STATUS_DF 0x20u
#define ATA_STATUS_DSC 0x10u
#define ATA_STATUS_DRQ 0x08u
#define ATA_STATUS_ERR 0x01u
#define ATA_STATUS_READY (ATA_STATUS_DRDY | ATA_STATUS_DSC)

#define ATA_ERROR_UNC 0x40u
#define ATA_ERROR_IDNF 0x10u
#define ATA_ERROR_ABRT 0x04u
#define ATA_DIAGNOSTIC_PASSED 0x01u

#define ATA_DEVICE_LBA 0x40u
#define ATA_DEVICE_DEV 0x10u

#define ATA_MULTIPLE_MAX 16u
#define ATA_TRIM_BLOCKS_MAX 8u /* of 512 bytes: IDENTIFY word 105 */
#define ATA_TRIM_RANGE_BYTES 8u
#define ATA_TRIM_FEATURE 0x01u
#define ATA_POWER_ACTIVE 0xFFu
#define ATA_POWER_STANDBY 0x00u

/* How a command gives its address. */
enum ata_addressing { ATA_ADDRESS_CHS, ATA_ADDRESS_LBA28, ATA_ADDRESS_LBA48, ATA_ADDRESSINGS };

/* A register that LBA48 commands read twice: [0] written last, [1] before. */
#define ATA_DISK_STATE(S, A, N, T)                                                                                     \
    S(T, uint8_t, status)                                                                                              \
    S(T, uint8_t, error)                                                                                               \
    A(T, uint8_t, feature, 2)                                                                                          \
    A(T, uint8_t, count, 2)                                                                                            \
    A(T, uint8_t, lba_low, 2)                                                                                          \
    A(T, uint8_t, lba_mid, 2)                                                                                          \
    A(T, uint8_t, lba_high, 2)                                                                                         \
    S(T, bool, interrupt)                                                                                              \
    S(T, bool, write_cache)                                                                                            \
    S(T, bool, look_ahead)                                                                                             \
    S(T, bool, asleep)                                                                                                 \
    S(T, uint8_t, power)                                                                                               \
    S(T, uint8_t, multiple)                                                                                            \
    S(T, uint8_t, pio_mode)                                                                                            \
    S(T, uint8_t, dma_mode)                                                                                            \
    S(T, uint8_t, heads)                                                                                               \
    S(T, uint8_t, track_sectors)

struct ata_disk {
    STATE_MEMBERS(ATA_DISK_STATE)
};
extern const struct state_field ata_disk_fields[];

enum ata_operation {
    ATA_READ_PIO,
    ATA_READ_DMA,
    ATA_WRITE_PIO,
    ATA_WRITE_DMA,
    ATA_READ_QUEUED, /* first-party DMA */
    ATA_WRITE_QUEUED,
    ATA_VERIFY,
    ATA_FLUSH,
    ATA_TRIM,
    ATA_IDENTIFY,
    ATA_READ_LOG,
    ATA_PLAIN, /* no data, no image: ata_execute_plain */
};

enum ata_command_flag {
    ATA_EXT = 1,      /* 48-bit address and 16-bit count */
    ATA_MEDIA = 2,    /* takes an address, and wakes the disk */
    ATA_MULTIPLE = 4, /* DRQ blocks of SET MULTIPLE MODE */
    ATA_FUA = 8,
    ATA_SERIAL = 16, /* Serial ATA only */
};

struct ata_command {
    uint8_t first, last; /* codes */
    uint8_t flags;       /* enum ata_command_flag */
    enum ata_operation operation;
};
const struct ata_command *ata_command_find(uint8_t code); /* null: not a disk's */

struct ata_range {
    uint64_t lba;
    uint32_t sectors;
};

/* Modes as after power-on; the write cache as the drive has it (null: none). */
void ata_disk_reset(struct ata_disk *disk, const struct block_drive *drive);
/* After any reset: task file of a disk, or of a packet device; awake. */
void ata_set_signature(struct ata_disk *disk, bool present, bool packet);
/* Loaded state: modes are such as a disk can have. */
bool ata_disk_sound(const struct ata_disk *disk);

enum ata_addressing ata_addressing(const struct ata_command *command, uint8_t device);
/* Address and count of the task file; false: there are no such sectors on a disk of disk_sectors. */
bool ata_take_range(const struct ata_disk *disk, uint8_t device, enum ata_addressing addressing, uint64_t disk_sectors,
                    struct ata_range *range);
/* Puts an address into the task file as a command gave it. */
void ata_store_address(struct ata_disk *disk, uint8_t *device, enum ata_addressing addressing, uint64_t lba);
static inline uint32_t ata_count16(const struct ata_disk *disk)
{
    return (uint32_t)disk->count[1] << 8 | disk->count[0];
}
/* An entry of DATA SET MANAGEMENT: 48 bits of address, 16 of count; 0 sectors: unused. */
struct ata_range ata_trim_range(const uint8_t entry[ATA_TRIM_RANGE_BYTES]);

enum ata_plain { ATA_PLAIN_OK, ATA_PLAIN_FLUSH /* when the cache is flushed */, ATA_PLAIN_ABORT, ATA_PLAIN_NOT_FOUND };
enum ata_plain ata_execute_plain(struct ata_disk *disk, uint8_t code, uint8_t *device, uint64_t disk_sectors);
bool ata_set_transfer_mode(struct ata_disk *disk, uint8_t mode);

/* Status and error register after a request that failed. */
struct ata_failure {
    uint8_t status, error;
};
struct ata_failure ata_failure_of(enum trace_block_op op, enum status status);

/* ata_identify.c */
struct ata_identity {
    const struct block_drive *drive;
    const char *serial; /* empty: made of the drive's index */
    bool serial_ata;
    bool device_1; /* on a parallel channel */
};
void ata_identify(const struct ata_disk *disk, const struct ata_identity *identity, uint8_t data[BLOCK_SECTOR_BYTES]);

#endif
