/* IDENTIFY DEVICE data (ATA/ATAPI-6, 8.15; data set management: ACS-2). */
#include "devices/ata_disk.h"
#include "devices/ata_words.h"

#include <stdio.h>

#define CHS_CYLINDERS_MIN 2u /* with one, SeaBIOS takes the disk for empty and does not boot it */
#define CHS_CYLINDERS_MAX 16383u
#define CHS_HEADS 16u
#define CHS_TRACK_SECTORS 63u
#define LBA28_SECTORS_MAX 0x0FFFFFFFu

#define FEATURES_82 0x0068u /* power management, write cache, look-ahead */
#define FEATURES_83 0x7400u /* FLUSH CACHE (EXT), 48-bit addresses; bit 14: valid */
#define FEATURE_LOG 0x0020u /* general purpose logging, in words 84 and 87 */
#define FEATURES_84 0x4040u /* WRITE DMA FUA EXT and its like */

static void put_geometry(uint16_t *words, const struct ata_disk *disk, uint64_t sectors)
{
    uint64_t cylinders = sectors / (CHS_HEADS * CHS_TRACK_SECTORS);
    if (cylinders < CHS_CYLINDERS_MIN)
        cylinders = CHS_CYLINDERS_MIN;
    words[1] = (uint16_t)(cylinders < CHS_CYLINDERS_MAX ? cylinders : CHS_CYLINDERS_MAX);
    words[3] = CHS_HEADS;
    words[6] = CHS_TRACK_SECTORS;
    uint32_t track_count = (uint32_t)disk->heads * disk->track_sectors;
    uint64_t current = sectors / track_count;
    words[54] = (uint16_t)(current < 65535 ? current : 65535);
    words[55] = disk->heads;
    words[56] = disk->track_sectors;
    uint32_t capacity = words[54] * track_count;
    words[57] = (uint16_t)capacity;
    words[58] = (uint16_t)(capacity >> 16);
    uint32_t lba28 = sectors < LBA28_SECTORS_MAX ? (uint32_t)sectors : LBA28_SECTORS_MAX;
    words[60] = (uint16_t)lba28;
    words[61] = (uint16_t)(lba28 >> 16);
    for (unsigned n = 0; n < 4; n++)
        words[100 + n] = (uint16_t)(sectors >> (16 * n));
}

static void put_modes(uint16_t *words, const struct ata_disk *disk)
{
    unsigned dma = disk->dma_mode; /* as SET FEATURES gave it: 20h + multiword mode, 40h + Ultra mode */
    words[59] = (uint16_t)(disk->multiple ? 0x0100 | disk->multiple : 0);
    words[63] = (uint16_t)(0x0007 | ((dma & 0xF8) == 0x20 ? 0x0100u << (dma & 7) : 0));
    words[64] = 0x0003;                                  /* PIO 3 and 4 */
    words[65] = words[66] = words[67] = words[68] = 120; /* cycle times in ns */
    words[88] = (uint16_t)(0x003F | ((dma & 0xF8) == 0x40 ? 0x0100u << (dma & 7) : 0));
}

static void put_features(uint16_t *words, const struct ata_disk *disk)
{
    words[80] = 0x00F0; /* ATA-4 .. ATA-7 */
    words[82] = FEATURES_82;
    words[83] = FEATURES_83;
    words[84] = FEATURES_84;
    words[85] = (uint16_t)(0x0008 | (disk->write_cache ? 0x0020 : 0) | (disk->look_ahead ? 0x0040 : 0));
    words[86] = FEATURES_83 & 0x3FFF;
    words[87] = FEATURES_84;
}

/* Native command queuing, speeds, the log that tells of its errors (Serial ATA 2.6, 13.2.1). */
static void put_serial_ata(uint16_t *words)
{
    words[75] = 31;     /* depth - 1 */
    words[76] = 0x0106; /* queuing, generations 1 and 2 */
    words[77] = 0x0004; /* now generation 2 */
    words[84] |= FEATURE_LOG;
    words[87] |= FEATURE_LOG;
    words[93] = 0;
}

void ata_identify(const struct ata_disk *disk, const struct ata_identity *identity, uint8_t data[BLOCK_SECTOR_BYTES])
{
    uint16_t words[ATA_WORDS] = {0};
    char serial[BLOCK_SERIAL_BYTES];
    if (*identity->serial)
        snprintf(serial, sizeof serial, "%s", identity->serial);
    else
        snprintf(serial, sizeof serial, "VMRR%06u", (unsigned)block_drive_index(identity->drive) + 1);
    words[0] = 0x0040; /* fixed disk */
    put_geometry(words, disk, block_drive_sectors(identity->drive));
    ata_words_text(words + 10, serial, 10);
    ata_words_text(words + 23, "1.0", 4);
    ata_words_text(words + 27, "VMRR HARDDISK", 20);
    words[47] = 0x8000 | ATA_MULTIPLE_MAX;
    words[48] = 0x0001; /* 32-bit data port accesses */
    words[49] = 0x0F00; /* LBA, DMA, IORDY */
    words[50] = 0x4000;
    words[51] = words[52] = 0x0200;
    words[53] = 0x0007;
    put_modes(words, disk);
    if (block_drive_discards(identity->drive))
        words[69] = 0x4020; /* trimmed sectors read as zeros, always */
    put_features(words, disk);
    words[93] = (uint16_t)(identity->device_1 ? 0x6F00 : 0x600F); /* jumpered, an 80-conductor cable */
    words[105] = ATA_TRIM_BLOCKS_MAX;
    words[106] = 0x4000;
    words[169] = 0x0001; /* TRIM */
    if (identity->serial_ata)
        put_serial_ata(words);
    ata_words_store(words, data);
}
