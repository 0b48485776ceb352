/* The parts of an IDE channel among themselves: ide_channel.c (task file, PIO, interrupt, reset), ide_load.c (loaded state),
 * ide_commands.c (the commands of a disk), ide_packet.c (those of a CD-ROM drive), ide_bmdma.c (bus master).
 * Sections of ATA/ATAPI-6 (T13/1410D) unless said
 * otherwise. */
#ifndef VMRR_DEVICES_IDE_INTERNAL_H
#define VMRR_DEVICES_IDE_INTERNAL_H

#include "devices/ata_disk.h"
#include "devices/atapi.h"
#include "devices/ide.h"

#define IDE_CONTROL_HOB 0x80u
#define IDE_CONTROL_SRST 0x04u
#define IDE_CONTROL_NIEN 0x02u

#define IDE_BM_COMMAND_START 0x01u
#define IDE_BM_COMMAND_TO_MEMORY 0x08u
#define IDE_BM_STATUS_ACTIVE 0x01u
#define IDE_BM_STATUS_ERROR 0x02u
#define IDE_BM_STATUS_INTERRUPT 0x04u

#define IDE_BUFFER_BYTES (ATA_MULTIPLE_MAX * BLOCK_SECTOR_BYTES)

/* What the command under way does; the status of the disk says how far it is. */
enum ide_phase {
    IDE_IDLE,
    IDE_PIO_IN,
    IDE_PIO_OUT,
    IDE_DMA_IN,
    IDE_DMA_OUT,
    IDE_NO_DATA, /* flush, verify */
    IDE_TRIM,    /* ranges in by DMA, then one discard after the other */
    IDE_PACKET,  /* the packet, by PIO out */
    IDE_PACKET_IN,
    IDE_PACKET_DMA,
    IDE_PHASES
};

/* Data between the guest and the queue. Who writes to it touches kept. */
struct ide_buffer {
    uint8_t bytes[IDE_BUFFER_BYTES];
    struct state_kept kept;
};

/* The packet command under way: what is still to be read from the medium, and how it goes to the guest. */
#define IDE_PACKET_STATE(S, A, N, T)                                                                                   \
    S(T, bool, dma)                                                                                                    \
    S(T, uint32_t, limit_bytes)                                                                                        \
    S(T, uint32_t, block)                                                                                              \
    S(T, uint32_t, blocks)                                                                                             \
    S(T, uint32_t, block_bytes)                                                                                        \
    S(T, uint32_t, prd)                                                                                                \
    S(T, uint32_t, prd_done)

struct ide_packet {
    STATE_MEMBERS(IDE_PACKET_STATE)
};

#define IDE_CHANNEL_STATE(S, A, N, T)                                                                                  \
    N(T, struct ata_disk, disk, 2, ata_disk_fields)                                                                    \
    S(T, uint8_t, device)                                                                                              \
    S(T, uint8_t, control)                                                                                             \
    S(T, bool, line)                                                                                                   \
    S(T, uint8_t, active)                                                                                              \
    S(T, uint8_t, phase)                                                                                               \
    S(T, uint8_t, command)                                                                                             \
    S(T, uint8_t, addressing)                                                                                          \
    S(T, bool, fua)                                                                                                    \
    S(T, bool, dma_wait)                                                                                               \
    S(T, uint64_t, next_lba)                                                                                           \
    S(T, uint32_t, remaining)                                                                                          \
    S(T, uint32_t, block_sectors)                                                                                      \
    S(T, uint32_t, pio_index)                                                                                          \
    S(T, uint32_t, pio_end)                                                                                            \
    S(T, uint32_t, pio_fill)                                                                                           \
    S(T, bool, in_flight)                                                                                              \
    S(T, uint8_t, request_op)                                                                                          \
    S(T, uint32_t, request_tag)                                                                                        \
    S(T, uint32_t, request_sectors)                                                                                    \
    S(T, uint64_t, request_sector)                                                                                     \
    S(T, uint8_t, bm_command)                                                                                          \
    S(T, uint8_t, bm_status)                                                                                           \
    S(T, uint32_t, bm_table)                                                                                           \
    N(T, struct ide_packet, packet, 1, ide_packet_fields)                                                              \
    N(T, struct atapi, cdrom, 2, atapi_fields)                                                                         \
    N(T, struct ide_buffer, buffer, 1, ide_buffer_fields)

struct ide_channel {
    struct device device_base; /* named so that `device` is the register */
    STATE_MEMBERS(IDE_CHANNEL_STATE)
    struct block_drive *drive[2]; /* null: none */
    bool is_cdrom[2];
    char serial[2][BLOCK_SERIAL_BYTES]; /* empty: a default */
    struct irq_line irq;
    struct block_request request;
    uint8_t *scratch; /* DMA data between memory and the queue; no state: filled and used at one position */
    size_t scratch_bytes;
    struct block_segment *segment; /* where the bus master's last transfer went; no state either */
    uint32_t segment_count;
};

/* ide_channel.c */
struct ide_channel *ide_channel_create(struct machine *machine, const char *id, const struct ide_unit units[2],
                                       uint16_t command_port, uint16_t control_port, struct irq_line irq);
static inline bool ide_present(const struct ide_channel *channel, unsigned unit)
{
    return channel->drive[unit] || channel->is_cdrom[unit];
}
static inline struct ata_disk *ide_active(struct ide_channel *channel)
{
    return &channel->disk[channel->active];
}
void ide_update_line(struct ide_channel *channel);
void ide_raise_interrupt(struct ide_channel *channel); /* by the active device */
/* The command is over: sets status and error, raises INTRQ. */
void ide_finish(struct ide_channel *channel, uint8_t status, uint8_t error);
void ide_abort(struct ide_channel *channel);
void ide_set_signature(struct ide_channel *channel); /* of both devices; selects device 0 */
void ide_set_unit_signature(struct ide_channel *channel, unsigned unit);
/* Shows the guest a DRQ block of the buffer: from pio_index, at most block_sectors; interrupt unless quiet. */
void ide_pio_show(struct ide_channel *channel, bool quiet);
/* Grows the scratch buffer. */
uint8_t *ide_scratch(struct ide_channel *channel, size_t size_bytes);
/* Hands a request for the active disk to its queue: BSY until ide_request_done. */
void ide_submit(struct ide_channel *channel, enum trace_block_op op, uint64_t lba, uint32_t sectors, void *data,
                bool fua);
/* Drops the request in flight: its outcome will not be seen. */
void ide_abandon(struct ide_channel *channel);
void ide_to_idle(struct ide_channel *channel); /* no command is under way */
void ide_request_complete(void *opaque, struct block_request *request, enum status status);
void ide_channel_reset(struct device *device);

/* ide_load.c */
void ide_channel_post_load(struct device *device);

/* ide_commands.c */
void ide_execute(struct ide_channel *channel, uint8_t command);
void ide_request_done(struct ide_channel *channel, enum status status);
void ide_pio_block_done(struct ide_channel *channel); /* the guest has moved all of a DRQ block */
void ide_dma_start(struct ide_channel *channel);      /* the bus master is ready and the command waits for it */

/* A DMA command waits for the bus master, which may be ready. */
void ide_wait_for_bus_master(struct ide_channel *channel, enum ide_phase phase);

/* ide_packet.c */
#define IDE_DEVICE_RESET 0x08u
#define IDE_PACKET_CHUNK_BLOCKS 64u /* of one request with DMA */
#define IDE_PACKET_SCRATCH_BYTES (IDE_PACKET_CHUNK_BLOCKS * ATAPI_RAW_BYTES)
void ide_packet_execute(struct ide_channel *channel, uint8_t code); /* a command to a CD-ROM drive */
void ide_packet_device_reset(struct ide_channel *channel, unsigned unit);
void ide_packet_pio_done(struct ide_channel *channel);
void ide_packet_dma_start(struct ide_channel *channel);
void ide_packet_request_done(struct ide_channel *channel, enum status status);
bool ide_packet_sound(const struct ide_channel *channel); /* loaded state: phase is one of a packet command's */

/* ide_bmdma.c */
uint8_t ide_bm_read(struct ide_channel *channel, unsigned offset);
void ide_bm_write(struct ide_channel *channel, unsigned offset, uint8_t value);
bool ide_bm_ready(const struct ide_channel *channel, bool to_memory);
/* Of the table that the bus master reads: the descriptor that is next, and how much of it is used up. */
struct ide_bm_cursor {
    uint32_t prd;
    uint32_t done;
};
/* Moves size bytes from or to where the cursor stands, and moves it on. */
bool ide_bm_transfer_at(struct ide_channel *channel, struct ide_bm_cursor *cursor, uint8_t *data, uint64_t size_bytes,
                        bool to_memory);
/* Moves size bytes between the scratch and guest memory as the descriptors say. False: it can't be completed; the bus
 * master has stopped and shows why. */
bool ide_bm_transfer(struct ide_channel *channel, uint8_t *data, uint64_t size_bytes, bool to_memory);

#endif
