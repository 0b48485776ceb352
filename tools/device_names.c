/* Names of commands: ATA/ATAPI-6 (T13/1410D) and ACS-2, virtio 1.1 (5.2.6), NVM Express 1.4 (figure 390), MMC-3 for packets. */
#include "tools/device_names.h"

#include <stdio.h>

struct command_name {
    uint32_t command;
    const char *name;
};

static const struct command_name ata_names[] = {
    {0x06, "DATA SET MANAGEMENT"},
    {0x20, "READ SECTORS"},
    {0x21, "READ SECTORS"},
    {0x24, "READ SECTORS EXT"},
    {0x25, "READ DMA EXT"},
    {0x29, "READ MULTIPLE EXT"},
    {0x30, "WRITE SECTORS"},
    {0x31, "WRITE SECTORS"},
    {0x34, "WRITE SECTORS EXT"},
    {0x35, "WRITE DMA EXT"},
    {0x39, "WRITE MULTIPLE EXT"},
    {0x3D, "WRITE DMA FUA EXT"},
    {0x40, "READ VERIFY SECTORS"},
    {0x42, "READ VERIFY SECTORS EXT"},
    {0x60, "READ FPDMA QUEUED"},
    {0x61, "WRITE FPDMA QUEUED"},
    {0x64, "SEND FPDMA QUEUED"},
    {0xC4, "READ MULTIPLE"},
    {0xC5, "WRITE MULTIPLE"},
    {0xC8, "READ DMA"},
    {0xC9, "READ DMA"},
    {0xCA, "WRITE DMA"},
    {0xCB, "WRITE DMA"},
    {0xCE, "WRITE MULTIPLE FUA EXT"},
    {0xE0, "STANDBY IMMEDIATE"},
    {0xE2, "STANDBY"},
    {0xE6, "SLEEP"},
    {0xE7, "FLUSH CACHE"},
    {0xEA, "FLUSH CACHE EXT"},
    {0xEF, "SET FEATURES"},
    {0, NULL},
};

static const struct command_name packet_names[] = {
    {0x28, "READ(10)"}, {0xA0, "PACKET"}, {0xA8, "READ(12)"}, {0xBE, "READ CD"}, {0, NULL},
};

static const struct command_name virtio_names[] = {
    {0, "IN"}, {1, "OUT"}, {4, "FLUSH"}, {11, "DISCARD"}, {13, "WRITE_ZEROES"}, {0, NULL},
};

static const struct command_name nvme_names[] = {
    {0x00, "FLUSH"},   {0x01, "WRITE"},        {0x02, "READ"},
    {0x05, "COMPARE"}, {0x08, "WRITE ZEROES"}, {0x09, "DATASET MANAGEMENT"},
    {0, NULL},
};

static const struct command_name *names_of(enum block_attach kind)
{
    switch (kind) {
    case BLOCK_ATTACH_IDE_DISK:
    case BLOCK_ATTACH_AHCI_DISK: return ata_names;
    case BLOCK_ATTACH_IDE_CD:
    case BLOCK_ATTACH_AHCI_CD: return packet_names;
    case BLOCK_ATTACH_VIRTIO_BLK: return virtio_names;
    case BLOCK_ATTACH_NVME: return nvme_names;
    case BLOCK_ATTACH_KINDS: break;
    }
    return NULL;
}

char *device_command_name(const struct block_attachment *at, uint32_t command, char *out, size_t size)
{
    for (const struct command_name *name = names_of(at->kind); name && name->name; name++) {
        if (name->command == command) {
            snprintf(out, size, "%s", name->name);
            return out;
        }
    }
    snprintf(out, size, "command %02xh", command);
    return out;
}

char *device_name(const struct block_attachment *at, char *out, size_t size)
{
    switch (at->kind) {
    case BLOCK_ATTACH_IDE_DISK:
    case BLOCK_ATTACH_IDE_CD: snprintf(out, size, "ide%u.%u", at->unit / 2u, at->unit % 2u); break;
    case BLOCK_ATTACH_AHCI_DISK:
    case BLOCK_ATTACH_AHCI_CD: snprintf(out, size, "ahci@%u.%u", at->slot, at->unit); break;
    case BLOCK_ATTACH_VIRTIO_BLK:
    case BLOCK_ATTACH_NVME: snprintf(out, size, "%s@%u", block_attach_name(at->kind), at->slot); break;
    case BLOCK_ATTACH_KINDS: snprintf(out, size, "?"); break;
    }
    return out;
}
