/* A CD-ROM drive on an AHCI port: packets come in the command table (AHCI 1.3.1, 5.3.8; ATAPI bit of the header), data go by
 * the PRD table, with a PIO setup FIS where the guest asked for PIO. What packets mean: atapi.c. */
#include "devices/ahci_internal.h"

#define COMMAND_DEVICE_RESET 0x08
#define COMMAND_READ_SECTORS 0x20
#define COMMAND_PACKET 0xA0
#define COMMAND_IDENTIFY_PACKET 0xA1
#define COMMAND_IDENTIFY 0xEC
#define COMMAND_SET_FEATURES 0xEF
#define FEATURE_DMA 0x01u
#define FEATURE_TRANSFER_MODE 0x03u
#define TABLE_PACKET_AT 0x40u
#define REASON_STATUS 0x03u

static void end(struct ahci_slot *slot, uint8_t status, uint8_t error)
{
    slot->port->disk->count[0] = REASON_STATUS;
    ahci_finish(slot, status, error);
}

static void check_condition(struct ahci_slot *slot)
{
    end(slot, ATA_STATUS_READY | ATA_STATUS_ERR, atapi_error(slot->port->cdrom));
}

static void give(struct ahci_slot *slot, const uint8_t *data, uint32_t bytes)
{
    if (slot->pio)
        ahci_send_pio_setup(slot, bytes, true, false, ATA_STATUS_BSY);
    (void)ahci_to_memory(slot, data, bytes);
}

/* ---- reading ---- */

uint32_t ahci_packet_chunk(const struct ahci_slot *slot)
{
    return slot->left < AHCI_PACKET_CHUNK_BLOCKS ? slot->left : AHCI_PACKET_CHUNK_BLOCKS;
}

static void fetch(struct ahci_slot *slot)
{
    if (!atapi_still_readable(slot->port->cdrom)) {
        check_condition(slot);
        return;
    }
    ahci_submit(slot, TRACE_BLOCK_READ, slot->next * ATAPI_BLOCK_SECTORS, ahci_packet_chunk(slot) * ATAPI_BLOCK_SECTORS,
                ahci_slot_buffer(slot));
}

void ahci_packet_request_done(struct ahci_slot *slot, enum status status)
{
    uint32_t blocks = ahci_packet_chunk(slot);
    if (status) {
        atapi_medium_error(slot->port->cdrom);
        check_condition(slot);
        return;
    }
    if (slot->block_bytes == ATAPI_RAW_BYTES)
        atapi_make_raw(slot->buffer, (uint32_t)slot->next, blocks);
    give(slot, slot->buffer, blocks * slot->block_bytes);
    ahci_trace_segments(slot);
    if (slot->phase != AHCI_PACKET_READ)
        return;
    slot->next += blocks;
    slot->left -= blocks;
    if (slot->left)
        fetch(slot);
    else
        end(slot, ATA_STATUS_READY, 0);
}

/* ---- commands ---- */

static void packet(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    uint8_t bytes[ATAPI_PACKET_BYTES], reply[ATAPI_REPLY_BYTES_MAX];
    memory_read(ahci_memory(port), slot->table_gpa + TABLE_PACKET_AT, bytes, sizeof bytes);
    struct atapi_outcome outcome = atapi_execute(port->cdrom, bytes, reply);
    slot->pio = !(port->disk->feature[0] & FEATURE_DMA);
    slot->phase = AHCI_PACKET_READ;
    switch (outcome.result) {
    case ATAPI_FAILED: check_condition(slot); return;
    case ATAPI_DONE: break;
    case ATAPI_REPLY:
        if (outcome.reply_bytes)
            give(slot, reply, outcome.reply_bytes);
        break;
    case ATAPI_READ:
        slot->next = outcome.block;
        slot->left = outcome.blocks;
        slot->block_bytes = outcome.block_bytes;
        fetch(slot);
        return;
    }
    if (slot->phase == AHCI_PACKET_READ)
        end(slot, ATA_STATUS_READY, 0);
}

static void identify_packet(struct ahci_slot *slot)
{
    uint8_t data[BLOCK_SECTOR_BYTES];
    atapi_identify(slot->port->cdrom, slot->port->disk->dma_mode, true, data);
    if (ahci_to_memory(slot, data, sizeof data))
        ahci_finish_pio_in(slot, sizeof data);
}

static void set_features(struct ahci_slot *slot)
{
    struct ata_disk *disk = slot->port->disk;
    uint8_t feature = disk->feature[0];
    bool valid = feature == 0x66 || feature == 0xCC;
    if (feature == FEATURE_TRANSFER_MODE)
        valid = ata_set_transfer_mode(disk, disk->count[0]);
    if (valid)
        ahci_finish_ok(slot);
    else
        ahci_abort(slot);
}

void ahci_packet_command(struct ahci_slot *slot, uint8_t code)
{
    struct ahci_port *port = slot->port;
    slot->command = code;
    switch (code) {
    case COMMAND_PACKET: packet(slot); break;
    case COMMAND_IDENTIFY_PACKET: identify_packet(slot); break;
    case COMMAND_SET_FEATURES: set_features(slot); break;
    case COMMAND_DEVICE_RESET:
        atapi_soft_reset(port->cdrom);
        ata_set_signature(port->disk, false, true);
        ahci_finish(slot, 0, ATA_DIAGNOSTIC_PASSED);
        break;
    case COMMAND_READ_SECTORS:
    case COMMAND_IDENTIFY: /* how a host learns that this is no disk */
        ata_set_signature(port->disk, false, true);
        ahci_abort(slot);
        break;
    case 0xE0: /* power */
    case 0xE1:
    case 0xE2:
    case 0xE3:
    case 0xE6: ahci_finish_ok(slot); break;
    case 0xE5:
        port->disk->count[0] = ATA_POWER_ACTIVE;
        ahci_finish_ok(slot);
        break;
    default: ahci_abort(slot); break;
    }
}
