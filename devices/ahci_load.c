/* An AHCI controller from saved state: numbers that index or count must be ones that the chip could have saved; a port that is
 * not such is reset. Requests in flight are found again. */
#include "devices/ahci_internal.h"

static bool request_sound(const struct ahci_slot *slot)
{
    switch (slot->phase) {
    case AHCI_READ:
    case AHCI_VERIFY:
        return slot->request_op == TRACE_BLOCK_READ && slot->request_sectors &&
               slot->request_sectors <= AHCI_CHUNK_SECTORS && slot->request_sectors <= slot->left;
    case AHCI_WRITE: return slot->request_op == TRACE_BLOCK_WRITE && slot->request_sectors <= slot->left;
    case AHCI_FLUSH: return slot->request_op == TRACE_BLOCK_FLUSH;
    case AHCI_TRIM: return slot->request_op == TRACE_BLOCK_DISCARD;
    case AHCI_PACKET_READ:
        return slot->request_op == TRACE_BLOCK_READ &&
               slot->request_sectors == ahci_packet_chunk(slot) * ATAPI_BLOCK_SECTORS;
    default: return false;
    }
}

static bool slot_sound(const struct ahci_port *port, const struct ahci_slot *slot)
{
    uint64_t units = port->drive ? block_drive_sectors(port->drive) : 0;
    bool packet = slot->phase == AHCI_PACKET_READ;
    if (packet)
        units /= ATAPI_BLOCK_SECTORS;
    if (slot->phase == AHCI_FREE || slot->phase == AHCI_STUCK)
        return slot->phase == AHCI_STUCK || (!slot->in_flight && !slot->queued);
    if (slot->phase >= AHCI_PHASES || !port->drive || packet != port->is_cdrom || !slot->in_flight ||
        !request_sound(slot))
        return false;
    if (packet && slot->block_bytes != ATAPI_BLOCK_BYTES && slot->block_bytes != ATAPI_RAW_BYTES)
        return false;
    if (slot->phase == AHCI_TRIM)
        return slot->left <= ATA_TRIM_BLOCKS_MAX * BLOCK_SECTOR_BYTES && slot->left % ATA_TRIM_RANGE_BYTES == 0;
    return slot->phase == AHCI_FLUSH || (slot->next <= units && slot->left <= units - slot->next);
}

static bool port_sound(const struct ahci_port *port)
{
    bool running = port->running < AHCI_SLOTS;
    if (!ata_disk_sound(port->disk) || port->current >= AHCI_SLOTS || port->addressing >= ATA_ADDRESSINGS ||
        (!running && port->running != AHCI_NO_SLOT))
        return false;
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        const struct ahci_slot *slot = &port->slot[n];
        bool due = slot->queued || slot->phase == AHCI_STUCK || slot->phase == AHCI_FREE || port->running == n;
        if (!slot_sound(port, slot) || !due)
            return false;
    }
    return !running || port->slot[port->running].phase != AHCI_FREE;
}

static void reattach(struct ahci_slot *slot)
{
    if (!slot->in_flight)
        return;
    slot->request = (struct block_request){.op = (enum trace_block_op)slot->request_op,
                                           .data = slot->request_op == TRACE_BLOCK_READ ? ahci_slot_buffer(slot) : NULL,
                                           .sector = slot->request_sector,
                                           .sectors = slot->request_sectors,
                                           .complete = ahci_request_complete,
                                           .opaque = slot,
                                           .tag = slot->request_tag};
    if (!block_reattach(slot->port->drive, &slot->request)) {
        slot->in_flight = false;
        slot->phase = AHCI_STUCK;
    }
}

void ahci_post_load(struct device *device)
{
    struct ahci *chip = device_of(device, struct ahci);
    pci_function_post_load(chip->pci);
    chip->is &= (1u << AHCI_PORTS) - 1;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        struct ahci_port *port = &chip->port[n];
        atapi_post_load(port->cdrom);
        if (!port_sound(port)) {
            for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
                port->slot[slot].in_flight = false;
            ahci_port_reset(port);
            continue;
        }
        for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
            reattach(&port->slot[slot]);
    }
}
