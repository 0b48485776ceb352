/* Data of AHCI commands: PRD tables (AHCI 1.3.1, 4.2.3.3) and block requests.
 * Data move when the image has given them (reads) or when the request is made (writes). A table that is shorter than the
 * transfer: what a read brings beyond is dropped and OFS set (6.1.4); a write waits for data that will not come. */
#include "devices/ahci_internal.h"

#include <stdlib.h>

#define TABLE_PRDS_AT 0x80u
#define PRD_COUNT_MASK 0x003FFFFFu
#define PRD_INTERRUPT 0x80000000u

static bool is_memory(struct memory *memory, uint64_t gpa, uint64_t size_bytes)
{
    if (gpa + size_bytes < gpa)
        return false;
    for (uint64_t page = gpa & ~(uint64_t)(MEMORY_PAGE_BYTES - 1); page < gpa + size_bytes; page += MEMORY_PAGE_BYTES) {
        if (!memory_lookup(memory, page).host)
            return false;
    }
    return true;
}

/* The part of the entry under way that serves the next size_bytes; 0 bytes: the table is at its end. False: no memory. */
static bool next_part(struct ahci_slot *slot, uint64_t size_bytes, uint64_t *gpa, uint64_t *part)
{
    struct memory *memory = ahci_memory(slot->port);
    *part = 0;
    while (slot->prd < slot->prd_count) {
        uint64_t entry = slot->table_gpa + TABLE_PRDS_AT + (uint64_t)slot->prd * AHCI_PRD_BYTES;
        if (!is_memory(memory, entry, AHCI_PRD_BYTES))
            return false;
        uint64_t base = memory_read_u64(memory, entry) & ~(uint64_t)1;
        uint32_t flags = memory_read_u32(memory, entry + 12);
        uint64_t bytes = (uint64_t)((flags & PRD_COUNT_MASK) | 1) + 1;
        if (slot->prd_done < bytes) {
            *gpa = base + slot->prd_done;
            *part = bytes - slot->prd_done < size_bytes ? bytes - slot->prd_done : size_bytes;
            slot->prd_done += (uint32_t)*part;
        }
        if (slot->prd_done >= bytes) {
            slot->prd++;
            slot->prd_done = 0;
            slot->port->is |= flags & PRD_INTERRUPT ? AHCI_IS_DPS : 0;
        }
        if (*part)
            return is_memory(memory, *gpa, *part);
    }
    return true;
}

static void note_segment(struct ahci *chip, uint64_t gpa, uint64_t size_bytes)
{
    if (chip->segment_count < BLOCK_SEGMENTS_TRACED)
        chip->segment[chip->segment_count++] = (struct block_segment){gpa, (uint32_t)size_bytes};
}

/* One of to and from. */
static bool move(struct ahci_slot *slot, uint8_t *from_memory, const uint8_t *to_memory, uint64_t size_bytes)
{
    struct memory *memory = ahci_memory(slot->port);
    uint64_t gpa = 0, part;
    slot->port->chip->segment_count = 0;
    for (uint64_t done = 0; done < size_bytes; done += part) {
        if (!next_part(slot, size_bytes - done, &gpa, &part)) {
            ahci_bus_error(slot);
            return false;
        }
        if (!part && to_memory) {
            slot->port->is |= AHCI_IS_OFS;
            return true;
        }
        if (!part) {
            slot->phase = AHCI_STUCK;
            return false;
        }
        if (to_memory)
            memory_write(memory, gpa, to_memory + done, part);
        else
            memory_read(memory, gpa, from_memory + done, part);
        note_segment(slot->port->chip, gpa, part);
        slot->moved += (uint32_t)part;
    }
    return true;
}

void ahci_trace_segments(const struct ahci_slot *slot)
{
    block_trace_segments(slot->port->drive, slot->request.tag, slot->port->chip->segment,
                         slot->port->chip->segment_count);
}

bool ahci_to_memory(struct ahci_slot *slot, const uint8_t *data, uint64_t size_bytes)
{
    return move(slot, NULL, data, size_bytes);
}

bool ahci_from_memory(struct ahci_slot *slot, uint8_t *data, uint64_t size_bytes)
{
    return move(slot, data, NULL, size_bytes);
}

uint8_t *ahci_slot_buffer(struct ahci_slot *slot)
{
    if (!slot->buffer) {
        slot->buffer = malloc(AHCI_CHUNK_BYTES);
        CHECK(slot->buffer);
    }
    return slot->buffer;
}

/* ---- requests ---- */

static void clear_request(struct ahci_slot *slot)
{
    slot->in_flight = false;
    slot->request_op = 0;
    slot->request_tag = slot->request_sectors = 0;
    slot->request_sector = 0;
}

void ahci_request_complete(void *opaque, struct block_request *request, enum status status)
{
    struct ahci_slot *slot = opaque;
    struct ahci_port *port = slot->port;
    (void)request;
    clear_request(slot);
    if (port->is_cdrom)
        ahci_packet_request_done(slot, status);
    else
        ahci_command_request_done(slot, status);
    ahci_port_run(port);
    ahci_update_interrupt(port->chip);
}

bool ahci_submit(struct ahci_slot *slot, enum trace_block_op op, uint64_t sector, uint32_t sectors, void *data)
{
    struct ahci_port *port = slot->port;
    if (!block_drive_room(port->drive)) { /* requests abandoned by resets, which the host has not finished */
        uint8_t status = ATA_STATUS_READY | ATA_STATUS_DF | ATA_STATUS_ERR;
        if (slot->queued)
            ahci_fail_queued(slot, status, ATA_ERROR_ABRT);
        else
            ahci_finish(slot, status, ATA_ERROR_ABRT);
        return false;
    }
    slot->request = (struct block_request){.op = op,
                                           .sector = sector,
                                           .sectors = sectors,
                                           .fua = op == TRACE_BLOCK_WRITE && slot->fua,
                                           .data = data,
                                           .complete = ahci_request_complete,
                                           .opaque = slot,
                                           .command = slot->command};
    if (op == TRACE_BLOCK_WRITE) {
        slot->request.segment = port->chip->segment;
        slot->request.segment_count = port->chip->segment_count;
    }
    block_submit(port->drive, &slot->request);
    slot->in_flight = true;
    slot->request_op = (uint8_t)op;
    slot->request_tag = slot->request.tag;
    slot->request_sectors = sectors;
    slot->request_sector = sector;
    return true;
}
