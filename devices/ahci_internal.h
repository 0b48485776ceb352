/* The parts of an AHCI controller among themselves: ahci.c (PCI function, registers of the HBA, interrupt), ahci_port.c
 * (registers of a port, FIS, issuing), ahci_data.c (PRD tables, block requests), ahci_command.c (a disk's commands),
 * ahci_packet.c (a CD-ROM drive's), ahci_load.c (loaded state). Sections of AHCI 1.3.1 unless said otherwise; SATA: Serial ATA
 * 2.6.
 *
 * A slot is a command under way. Queued commands (NCQ) have one each, their bit in SACT; of the others one runs at a time
 * (port->running), its bit in CI. A slot has at most one block request in flight, of at most AHCI_CHUNK_SECTORS. */
#ifndef VMRR_DEVICES_AHCI_INTERNAL_H
#define VMRR_DEVICES_AHCI_INTERNAL_H

#include "devices/ahci.h"
#include "devices/ata_disk.h"
#include "devices/atapi.h"

#define AHCI_SLOTS 32u
#define AHCI_NO_SLOT 0xFFu
#define AHCI_CHUNK_SECTORS 2048u
#define AHCI_CHUNK_BYTES (AHCI_CHUNK_SECTORS * BLOCK_SECTOR_BYTES)
#define AHCI_PACKET_CHUNK_BLOCKS 256u /* raw or not they fit a slot's buffer */
#define AHCI_PRD_BYTES 16u

#define AHCI_CMD_ST 0x00000001u
#define AHCI_CMD_SUD 0x00000002u
#define AHCI_CMD_POD 0x00000004u
#define AHCI_CMD_CLO 0x00000008u
#define AHCI_CMD_FRE 0x00000010u
#define AHCI_CMD_ATAPI 0x01000000u

#define AHCI_IS_DHRS 0x00000001u /* register FIS with I */
#define AHCI_IS_PSS 0x00000002u
#define AHCI_IS_SDBS 0x00000008u
#define AHCI_IS_DPS 0x00000020u
#define AHCI_IS_PCS 0x00000040u
#define AHCI_IS_OFS 0x01000000u
#define AHCI_IS_HBFS 0x20000000u
#define AHCI_IS_TFES 0x40000000u

#define AHCI_SERR_EXCHANGED 0x04000000u /* DIAG.X */
#define AHCI_SSTS_UP 0x00000123u        /* present, generation 2, active */
#define AHCI_SIGNATURE_DISK 0x00000101u
#define AHCI_SIGNATURE_PACKET 0xEB140101u
#define AHCI_TFD_NOTHING 0x7Fu

/* What a slot does. */
enum ahci_phase {
    AHCI_FREE,
    AHCI_READ,
    AHCI_WRITE,
    AHCI_VERIFY,
    AHCI_FLUSH,
    AHCI_TRIM, /* left: bytes of ranges */
    AHCI_PACKET_READ,
    AHCI_STUCK, /* its data can't move: until the port is stopped */
    AHCI_PHASES
};

/* next and left: sectors, of a packet command blocks. prd and prd_done: the entry of the table that is next, and how much of
 * it is used up. moved: bytes, for PRDBC. */
#define AHCI_SLOT_STATE(S, A, N, T)                                                                                    \
    S(T, uint8_t, phase)                                                                                               \
    S(T, uint8_t, command)                                                                                             \
    S(T, bool, queued)                                                                                                 \
    S(T, bool, pio)                                                                                                    \
    S(T, bool, fua)                                                                                                    \
    S(T, uint64_t, next)                                                                                               \
    S(T, uint32_t, left)                                                                                               \
    S(T, uint32_t, block_bytes)                                                                                        \
    S(T, uint64_t, table_gpa)                                                                                          \
    S(T, uint32_t, prd_count)                                                                                          \
    S(T, uint32_t, prd)                                                                                                \
    S(T, uint32_t, prd_done)                                                                                           \
    S(T, uint32_t, moved)                                                                                              \
    S(T, bool, in_flight)                                                                                              \
    S(T, uint8_t, request_op)                                                                                          \
    S(T, uint32_t, request_tag)                                                                                        \
    S(T, uint32_t, request_sectors)                                                                                    \
    S(T, uint64_t, request_sector)

struct ahci_port;
struct ahci_slot {
    STATE_MEMBERS(AHCI_SLOT_STATE)
    struct ahci_port *port;
    struct block_request request;
    uint8_t *buffer; /* what a read brings; null until it is needed */
};

/* failed_*: what log 10h says of the queued command that failed. */
#define AHCI_PORT_STATE(S, A, N, T)                                                                                    \
    S(T, uint64_t, list_gpa)                                                                                           \
    S(T, uint64_t, fis_gpa)                                                                                            \
    S(T, uint32_t, is)                                                                                                 \
    S(T, uint32_t, ie)                                                                                                 \
    S(T, uint32_t, cmd)                                                                                                \
    S(T, uint32_t, tfd)                                                                                                \
    S(T, uint32_t, sig)                                                                                                \
    S(T, uint32_t, ssts)                                                                                               \
    S(T, uint32_t, sctl)                                                                                               \
    S(T, uint32_t, serr)                                                                                               \
    S(T, uint32_t, sact)                                                                                               \
    S(T, uint32_t, ci)                                                                                                 \
    S(T, uint8_t, current)                                                                                             \
    S(T, uint8_t, running)                                                                                             \
    S(T, bool, halted)                                                                                                 \
    S(T, bool, signature_due)                                                                                          \
    S(T, bool, soft_reset)                                                                                             \
    S(T, uint8_t, device)                                                                                              \
    S(T, uint8_t, addressing)                                                                                          \
    S(T, bool, has_failed)                                                                                             \
    S(T, uint8_t, failed_slot)                                                                                         \
    S(T, uint8_t, failed_status)                                                                                       \
    S(T, uint8_t, failed_error)                                                                                        \
    S(T, uint64_t, failed_lba)                                                                                         \
    N(T, struct ata_disk, disk, 1, ata_disk_fields)                                                                    \
    N(T, struct atapi, cdrom, 1, atapi_fields)                                                                         \
    N(T, struct ahci_slot, slot, AHCI_SLOTS, ahci_slot_fields)

struct ahci;
struct ahci_port {
    STATE_MEMBERS(AHCI_PORT_STATE)
    struct ahci *chip;
    struct block_drive *drive; /* null: none */
    bool is_cdrom;
    char serial[BLOCK_SERIAL_BYTES];
};

#define AHCI_STATE(S, A, N, T)                                                                                         \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    S(T, uint32_t, ghc)                                                                                                \
    S(T, uint32_t, is)                                                                                                 \
    N(T, struct ahci_port, port, AHCI_PORTS, ahci_port_fields)

struct ahci {
    struct device device;
    STATE_MEMBERS(AHCI_STATE)
    struct bus_mapping *registers;
    unsigned msi; /* offset of the capability */
    char id[16];
    uint8_t *scratch;              /* AHCI_CHUNK_BYTES; no state: filled and used at one position */
    struct block_segment *segment; /* BLOCK_SEGMENTS_TRACED: where the last data moved; no state either */
    uint32_t segment_count;
};

static inline bool ahci_present(const struct ahci_port *port)
{
    return port->drive || port->is_cdrom;
}
static inline struct memory *ahci_memory(const struct ahci_port *port)
{
    return machine_memory(port->chip->device.machine);
}
static inline unsigned ahci_slot_number(const struct ahci_slot *slot)
{
    return (unsigned)(slot - slot->port->slot);
}

/* ahci.c */
extern const struct state_field ahci_port_fields[];
extern const struct state_field ahci_slot_fields[];
/* After anything that may raise or end an interrupt. */
void ahci_update_interrupt(struct ahci *chip);

/* ahci_port.c */
void ahci_port_reset(struct ahci_port *port); /* as the HBA's reset leaves it; a device comes up */
uint32_t ahci_port_read(const struct ahci_port *port, unsigned offset);
void ahci_port_write(struct ahci_port *port, unsigned offset, uint32_t value);
uint32_t ahci_port_interrupts(const struct ahci_port *port); /* PxIS with what is derived */
/* Issues what may go. */
void ahci_port_run(struct ahci_port *port);
/* The header of a slot's command, in the command list. */
uint64_t ahci_header_gpa(const struct ahci_slot *slot);
/* All commands are forgotten, also those whose outcome the image still owes. */
void ahci_forget_commands(struct ahci_port *port);
/* Ends of a command that is not queued: task file, FIS, CI; with ERR in status the port halts. */
void ahci_finish(struct ahci_slot *slot, uint8_t status, uint8_t error);
void ahci_finish_ok(struct ahci_slot *slot);
void ahci_abort(struct ahci_slot *slot);
/* A PIO command to the host ends with its data, without a register FIS. */
void ahci_finish_pio_in(struct ahci_slot *slot, uint32_t bytes);
void ahci_send_pio_setup(struct ahci_slot *slot, uint32_t bytes, bool to_host, bool interrupt, uint8_t status);
/* A queued command: taken by the disk; done; failed, and with it all others. */
void ahci_accept_queued(struct ahci_slot *slot);
void ahci_finish_queued(struct ahci_slot *slot);
void ahci_fail_queued(struct ahci_slot *slot, uint8_t status, uint8_t error);
/* A host bus error: the port halts. */
void ahci_bus_error(struct ahci_slot *slot);

/* ahci_data.c */
/* Moves bytes between data and what the PRD table says, from where the slot stands. False: the table is too short, or leads to
 * no memory (the slot is dealt with). */
bool ahci_to_memory(struct ahci_slot *slot, const uint8_t *data, uint64_t size_bytes);
/* After ahci_to_memory with the data of a request: where they went. */
void ahci_trace_segments(const struct ahci_slot *slot);
bool ahci_from_memory(struct ahci_slot *slot, uint8_t *data, uint64_t size_bytes);
uint8_t *ahci_slot_buffer(struct ahci_slot *slot);
/* Hands a request to the drive: ahci_request_done comes. False: no room (the slot is dealt with). */
bool ahci_submit(struct ahci_slot *slot, enum trace_block_op op, uint64_t sector, uint32_t sectors, void *data);
void ahci_request_complete(void *opaque, struct block_request *request, enum status status);

/* ahci_command.c */
void ahci_command(struct ahci_slot *slot, uint8_t code); /* the task file is loaded */
void ahci_command_request_done(struct ahci_slot *slot, enum status status);

/* ahci_packet.c */
void ahci_packet_command(struct ahci_slot *slot, uint8_t code);
void ahci_packet_request_done(struct ahci_slot *slot, enum status status);
uint32_t ahci_packet_chunk(const struct ahci_slot *slot); /* blocks */

/* ahci_load.c */
void ahci_post_load(struct device *device);

#endif
