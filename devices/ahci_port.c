/* A port of the AHCI controller: its registers (AHCI 1.3.1, 3.3), resets (10.4), received FIS (4.2.1), issuing commands (5.3),
 * ends and errors (6.2). FIS layouts: Serial ATA 2.6, 10.3.
 * An error or a queued command's error halts the port until software clears ST, as in the state machine of 5.3. */
#include "devices/ahci_internal.h"

#include <string.h>

#define REG_CLB 0x00
#define REG_CLBU 0x04
#define REG_FB 0x08
#define REG_FBU 0x0C
#define REG_IS 0x10
#define REG_IE 0x14
#define REG_CMD 0x18
#define REG_TFD 0x20
#define REG_SIG 0x24
#define REG_SSTS 0x28
#define REG_SCTL 0x2C
#define REG_SERR 0x30
#define REG_SACT 0x34
#define REG_CI 0x38

#define CMD_WRITABLE (AHCI_CMD_ST | AHCI_CMD_FRE | AHCI_CMD_ATAPI | 0x0E000000u)
#define CMD_RECEIVING 0x00004000u
#define CMD_RUNNING 0x00008000u
#define IE_WRITABLE 0xFDC000FFu
#define SCTL_WRITABLE 0x00000FFFu
#define SCTL_DETECTION 0x0000000Fu
#define DETECTION_RESET 1u
#define DETECTION_OFF 4u

#define FIS_DMA_SETUP_AT 0x00u
#define FIS_PIO_SETUP_AT 0x20u
#define FIS_REGISTER_AT 0x40u
#define FIS_BITS_AT 0x58u
#define FIS_HOST_TO_DEVICE 0x27u
#define FIS_REGISTER 0x34u
#define FIS_DMA_SETUP 0x41u
#define FIS_PIO_SETUP 0x5Fu
#define FIS_BITS 0xA1u
#define FIS_INTERRUPT 0x40u
#define FIS_TO_HOST 0x20u
#define FIS_COMMAND 0x80u
#define FIS_BYTES 20u
#define CONTROL_SRST 0x04u

#define HEADER_BYTES 32u
#define HEADER_PACKET 0x20u
#define TABLE_PRDS_AT 0x80u
#define STATUS_BITS_OF_FIS 0x77u

/* ---- FIS from the device ---- */

static void post_fis(struct ahci_port *port, unsigned at, const uint8_t *fis, unsigned size_bytes)
{
    if (port->cmd & AHCI_CMD_FRE)
        memory_write(ahci_memory(port), port->fis_gpa + at, fis, size_bytes);
}

static void put_task_file(const struct ahci_port *port, uint8_t fis[FIS_BYTES])
{
    const struct ata_disk *disk = port->disk;
    fis[2] = disk->status;
    fis[3] = disk->error;
    fis[4] = disk->lba_low[0];
    fis[5] = disk->lba_mid[0];
    fis[6] = disk->lba_high[0];
    fis[7] = port->device;
    fis[8] = disk->lba_low[1];
    fis[9] = disk->lba_mid[1];
    fis[10] = disk->lba_high[1];
    fis[12] = disk->count[0];
    fis[13] = disk->count[1];
}

static void show_task_file(struct ahci_port *port)
{
    port->tfd = (uint32_t)port->disk->error << 8 | port->disk->status;
}

static void send_registers(struct ahci_port *port, bool interrupt)
{
    uint8_t fis[FIS_BYTES] = {FIS_REGISTER, interrupt ? FIS_INTERRUPT : 0};
    put_task_file(port, fis);
    post_fis(port, FIS_REGISTER_AT, fis, sizeof fis);
    show_task_file(port);
    if (interrupt)
        port->is |= AHCI_IS_DHRS;
}

void ahci_send_pio_setup(struct ahci_slot *slot, uint32_t bytes, bool to_host, bool interrupt, uint8_t status)
{
    struct ahci_port *port = slot->port;
    uint8_t fis[FIS_BYTES] = {FIS_PIO_SETUP, (uint8_t)((to_host ? FIS_TO_HOST : 0) | (interrupt ? FIS_INTERRUPT : 0))};
    put_task_file(port, fis);
    fis[2] = ATA_STATUS_READY | ATA_STATUS_DRQ;
    fis[15] = status; /* after the data */
    fis[16] = (uint8_t)bytes;
    fis[17] = (uint8_t)(bytes >> 8);
    post_fis(port, FIS_PIO_SETUP_AT, fis, sizeof fis);
    if (interrupt)
        port->is |= AHCI_IS_PSS;
}

static void send_dma_setup(struct ahci_slot *slot)
{
    uint8_t fis[28] = {FIS_DMA_SETUP, slot->phase == AHCI_WRITE ? 0 : FIS_TO_HOST};
    uint32_t bytes = slot->left * BLOCK_SECTOR_BYTES;
    fis[4] = (uint8_t)ahci_slot_number(slot); /* buffer identifier: the tag */
    for (unsigned n = 0; n < 4; n++)
        fis[20 + n] = (uint8_t)(bytes >> (8 * n));
    post_fis(slot->port, FIS_DMA_SETUP_AT, fis, sizeof fis);
}

static void send_bits(struct ahci_port *port, uint32_t done, uint8_t status, uint8_t error)
{
    uint8_t fis[8] = {FIS_BITS, FIS_INTERRUPT, status & STATUS_BITS_OF_FIS, error};
    for (unsigned n = 0; n < 4; n++)
        fis[4 + n] = (uint8_t)(done >> (8 * n));
    post_fis(port, FIS_BITS_AT, fis, sizeof fis);
    port->tfd = (port->tfd & ~0xFF77u) | (uint32_t)error << 8 | (status & STATUS_BITS_OF_FIS);
    port->sact &= ~done;
    port->is |= AHCI_IS_SDBS;
}

/* ---- the end of commands ---- */

static void free_slot(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    uint8_t *buffer = slot->buffer;
    if (port->running == ahci_slot_number(slot))
        port->running = AHCI_NO_SLOT;
    memset(slot, 0, sizeof *slot);
    slot->port = port;
    slot->buffer = buffer;
}

static void halt(struct ahci_port *port, uint32_t why)
{
    port->is |= why;
    port->halted = true;
}

static void write_count(struct ahci_slot *slot)
{
    memory_write_u32(ahci_memory(slot->port), ahci_header_gpa(slot) + 4, slot->moved);
}

void ahci_finish(struct ahci_slot *slot, uint8_t status, uint8_t error)
{
    struct ahci_port *port = slot->port;
    uint32_t bit = 1u << ahci_slot_number(slot);
    port->disk->status = status;
    port->disk->error = error;
    write_count(slot);
    free_slot(slot);
    send_registers(port, true);
    if (status & ATA_STATUS_ERR)
        halt(port, AHCI_IS_TFES);
    else
        port->ci &= ~bit;
}

void ahci_finish_ok(struct ahci_slot *slot)
{
    ahci_finish(slot, ATA_STATUS_READY, 0);
}

void ahci_abort(struct ahci_slot *slot)
{
    ahci_finish(slot, ATA_STATUS_READY | ATA_STATUS_ERR, ATA_ERROR_ABRT);
}

void ahci_finish_pio_in(struct ahci_slot *slot, uint32_t bytes)
{
    struct ahci_port *port = slot->port;
    port->disk->status = ATA_STATUS_READY;
    port->disk->error = 0;
    ahci_send_pio_setup(slot, bytes, true, true, ATA_STATUS_READY);
    show_task_file(port);
    write_count(slot);
    port->ci &= ~(1u << ahci_slot_number(slot));
    free_slot(slot);
}

void ahci_accept_queued(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    slot->queued = true;
    port->running = AHCI_NO_SLOT;
    port->disk->status = ATA_STATUS_READY;
    port->disk->error = 0;
    send_registers(port, false);
    port->ci &= ~(1u << ahci_slot_number(slot));
    send_dma_setup(slot);
}

void ahci_finish_queued(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    uint32_t bit = 1u << ahci_slot_number(slot);
    free_slot(slot);
    send_bits(port, bit, ATA_STATUS_READY, 0);
}

/* The disk drops all its queue; which command it was is in log 10h (SATA, 13.7.4). */
void ahci_fail_queued(struct ahci_slot *slot, uint8_t status, uint8_t error)
{
    struct ahci_port *port = slot->port;
    port->has_failed = true;
    port->failed_slot = (uint8_t)ahci_slot_number(slot);
    port->failed_status = status;
    port->failed_error = error;
    port->failed_lba = slot->next;
    ahci_forget_commands(port);
    port->disk->status = status;
    port->disk->error = error;
    send_bits(port, 0, status, error);
    halt(port, AHCI_IS_TFES);
}

void ahci_bus_error(struct ahci_slot *slot)
{
    slot->phase = AHCI_STUCK;
    halt(slot->port, AHCI_IS_HBFS);
}

void ahci_forget_commands(struct ahci_port *port)
{
    bool in_flight = false;
    for (unsigned n = 0; n < AHCI_SLOTS; n++) {
        in_flight |= port->slot[n].in_flight;
        free_slot(&port->slot[n]);
    }
    port->running = AHCI_NO_SLOT;
    if (in_flight)
        block_drive_abandon(port->drive);
}

/* ---- resets ---- */

static void send_signature(struct ahci_port *port)
{
    if (!port->signature_due || !(port->cmd & AHCI_CMD_FRE))
        return;
    port->signature_due = false;
    send_registers(port, false);
    port->sig = port->is_cdrom ? AHCI_SIGNATURE_PACKET : AHCI_SIGNATURE_DISK;
}

static void device_reset(struct ahci_port *port)
{
    ahci_forget_commands(port);
    ata_set_signature(port->disk, port->drive, port->is_cdrom);
    atapi_soft_reset(port->cdrom);
    port->device = 0;
    port->soft_reset = false;
    port->has_failed = false;
    port->signature_due = true;
}

/* The link was down and is up again: the device sends its signature. */
static void link_up(struct ahci_port *port)
{
    if (!ahci_present(port))
        return;
    ata_disk_reset(port->disk, port->drive);
    device_reset(port);
    port->ssts = AHCI_SSTS_UP;
    port->serr |= AHCI_SERR_EXCHANGED;
    port->tfd = AHCI_TFD_NOTHING | ATA_STATUS_BSY;
    send_signature(port);
}

static void link_down(struct ahci_port *port)
{
    ahci_forget_commands(port);
    port->ssts = 0;
    port->tfd = AHCI_TFD_NOTHING;
    port->sig = UINT32_MAX;
    port->signature_due = false;
}

void ahci_port_reset(struct ahci_port *port)
{
    link_down(port);
    port->is = port->ie = port->serr = port->sact = port->ci = port->sctl = 0;
    port->cmd = AHCI_CMD_SUD | AHCI_CMD_POD;
    port->current = 0;
    port->halted = false;
    port->addressing = ATA_ADDRESS_LBA28;
    ata_disk_reset(port->disk, port->drive);
    ata_set_signature(port->disk, port->drive, port->is_cdrom);
    link_up(port);
}

static void write_sctl(struct ahci_port *port, uint32_t value)
{
    unsigned before = port->sctl & SCTL_DETECTION, after = value & SCTL_DETECTION;
    port->sctl = value & SCTL_WRITABLE;
    if (after == before)
        return;
    if (after == DETECTION_RESET || after == DETECTION_OFF) {
        link_down(port);
        port->ssts = after == DETECTION_OFF ? DETECTION_OFF : 0;
    } else if (before == DETECTION_RESET || before == DETECTION_OFF) {
        link_up(port);
    }
}

/* ---- issuing ---- */

uint64_t ahci_header_gpa(const struct ahci_slot *slot)
{
    return slot->port->list_gpa + HEADER_BYTES * ahci_slot_number(slot);
}

static void load_task_file(struct ahci_port *port, const uint8_t fis[FIS_BYTES])
{
    struct ata_disk *disk = port->disk;
    disk->feature[0] = fis[3];
    disk->feature[1] = fis[11];
    disk->lba_low[0] = fis[4];
    disk->lba_mid[0] = fis[5];
    disk->lba_high[0] = fis[6];
    disk->lba_low[1] = fis[8];
    disk->lba_mid[1] = fis[9];
    disk->lba_high[1] = fis[10];
    disk->count[0] = fis[12];
    disk->count[1] = fis[13];
    port->device = fis[7];
}

/* A FIS that changes the device control register: software reset is on while SRST is set. No register FIS answers the first. */
static void device_control(struct ahci_slot *slot, uint8_t control)
{
    struct ahci_port *port = slot->port;
    uint32_t bit = 1u << ahci_slot_number(slot);
    bool was_reset = port->soft_reset;
    free_slot(slot);
    port->ci &= ~bit;
    if (control & CONTROL_SRST) {
        device_reset(port);
        port->signature_due = false;
        port->soft_reset = true;
    } else if (was_reset) {
        port->soft_reset = false;
        port->signature_due = true;
        send_signature(port);
    }
}

/* A FIS that no device understands is not answered: the command stays until the port is stopped. */
static void issue(struct ahci_slot *slot)
{
    struct ahci_port *port = slot->port;
    struct memory *memory = ahci_memory(port);
    uint8_t fis[FIS_BYTES];
    uint32_t header = memory_read_u32(memory, ahci_header_gpa(slot));
    port->running = (uint8_t)ahci_slot_number(slot);
    slot->table_gpa = memory_read_u64(memory, ahci_header_gpa(slot) + 8) & ~(uint64_t)0x7F;
    slot->prd_count = header >> 16;
    slot->phase = AHCI_STUCK;
    memory_read(memory, slot->table_gpa, fis, sizeof fis);
    if ((header & 0x1F) * 4 < FIS_BYTES || fis[0] != FIS_HOST_TO_DEVICE)
        return;
    if (!(fis[1] & FIS_COMMAND)) {
        device_control(slot, fis[15]);
        return;
    }
    if (port->soft_reset || port->disk->asleep)
        return;
    load_task_file(port, fis);
    port->tfd |= ATA_STATUS_BSY;
    if (port->is_cdrom)
        ahci_packet_command(slot, fis[2]);
    else
        ahci_command(slot, fis[2]);
}

static bool may_issue(const struct ahci_port *port)
{
    return (port->cmd & AHCI_CMD_ST) && !port->halted && port->ssts == AHCI_SSTS_UP && port->running == AHCI_NO_SLOT &&
           !(port->tfd & (ATA_STATUS_BSY | ATA_STATUS_DRQ)) && ahci_present(port) &&
           (pci_function_get(port->chip->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER);
}

/* Round robin over the slots that are set and not under way. */
static struct ahci_slot *next_slot(struct ahci_port *port)
{
    for (unsigned n = 1; n <= AHCI_SLOTS; n++) {
        unsigned number = (port->current + n) % AHCI_SLOTS;
        if ((port->ci >> number & 1) && port->slot[number].phase == AHCI_FREE)
            return &port->slot[number];
    }
    return NULL;
}

/* Each turn ends a command or leaves one under way. */
void ahci_port_run(struct ahci_port *port)
{
    struct ahci_slot *slot;
    while (may_issue(port) && (slot = next_slot(port))) {
        port->current = (uint8_t)ahci_slot_number(slot);
        issue(slot);
    }
}

/* ---- registers ---- */

uint32_t ahci_port_interrupts(const struct ahci_port *port)
{
    return port->is | (port->serr & AHCI_SERR_EXCHANGED ? AHCI_IS_PCS : 0);
}

static uint32_t cmd_read(const struct ahci_port *port)
{
    uint32_t value = port->cmd | (uint32_t)port->current << 8;
    if (!(port->cmd & AHCI_CMD_ST))
        value &= ~0x1F00u;
    return value | (port->cmd & AHCI_CMD_FRE ? CMD_RECEIVING : 0) | (port->cmd & AHCI_CMD_ST ? CMD_RUNNING : 0);
}

uint32_t ahci_port_read(const struct ahci_port *port, unsigned offset)
{
    switch (offset) {
    case REG_CLB: return (uint32_t)port->list_gpa;
    case REG_CLBU: return (uint32_t)(port->list_gpa >> 32);
    case REG_FB: return (uint32_t)port->fis_gpa;
    case REG_FBU: return (uint32_t)(port->fis_gpa >> 32);
    case REG_IS: return ahci_port_interrupts(port);
    case REG_IE: return port->ie;
    case REG_CMD: return cmd_read(port);
    case REG_TFD: return port->tfd;
    case REG_SIG: return port->sig;
    case REG_SSTS: return port->ssts;
    case REG_SCTL: return port->sctl;
    case REG_SERR: return port->serr;
    case REG_SACT: return port->sact;
    case REG_CI: return port->ci;
    default: return 0;
    }
}

/* Stopping forgets the commands; a device that is in the middle of one stays busy until it is reset. */
static void stop(struct ahci_port *port)
{
    ahci_forget_commands(port);
    port->ci = port->sact = 0;
    port->halted = false;
    port->current = 0;
}

static void write_cmd(struct ahci_port *port, uint32_t value)
{
    uint32_t before = port->cmd;
    port->cmd = (value & CMD_WRITABLE) | AHCI_CMD_SUD | AHCI_CMD_POD;
    if ((before & AHCI_CMD_ST) && !(value & AHCI_CMD_ST))
        stop(port);
    if ((value & AHCI_CMD_CLO) && !(before & AHCI_CMD_ST))
        port->tfd &= ~(ATA_STATUS_BSY | ATA_STATUS_DRQ);
    if (!(before & AHCI_CMD_ST) && (value & AHCI_CMD_ST))
        port->current = AHCI_SLOTS - 1; /* slot 0 is first */
    send_signature(port);
}

static uint64_t low_half(uint64_t old, uint32_t value, uint32_t alignment)
{
    return (old & ~(uint64_t)UINT32_MAX) | (value & ~(alignment - 1));
}

static uint64_t high_half(uint64_t old, uint32_t value)
{
    return (uint64_t)value << 32 | (uint32_t)old;
}

void ahci_port_write(struct ahci_port *port, unsigned offset, uint32_t value)
{
    uint32_t started = port->cmd & AHCI_CMD_ST ? UINT32_MAX : 0;
    switch (offset) {
    case REG_CLB: port->list_gpa = low_half(port->list_gpa, value, 1024); break;
    case REG_CLBU: port->list_gpa = high_half(port->list_gpa, value); break;
    case REG_FB: port->fis_gpa = low_half(port->fis_gpa, value, 256); break;
    case REG_FBU: port->fis_gpa = high_half(port->fis_gpa, value); break;
    case REG_IS: port->is &= ~value; break;
    case REG_IE: port->ie = value & IE_WRITABLE; break;
    case REG_CMD: write_cmd(port, value); break;
    case REG_SCTL: write_sctl(port, value); break;
    case REG_SERR: port->serr &= ~value; break;
    case REG_SACT: port->sact |= value & started; break;
    case REG_CI: port->ci |= value & started; break;
    default: break;
    }
    ahci_port_run(port);
}
