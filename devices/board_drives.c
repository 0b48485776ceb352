/* The board's drives and their controllers. One case a kind in create_controller. */
#include "devices/ahci.h"
#include "devices/board_internal.h"
#include "devices/ide.h"
#include "devices/nvme.h"
#include "devices/virtio_blk.h"

static bool is_ide(const struct board_drive *drive)
{
    return drive->drive && (drive->at.kind == BLOCK_ATTACH_IDE_DISK || drive->at.kind == BLOCK_ATTACH_IDE_CD);
}

static enum status unsupported(const struct board_drive *drive, struct error *error)
{
    return error_status(error, STATUS_UNSUPPORTED, "drive %u: %s is not in this version",
                        (unsigned)block_drive_index(drive->drive), block_attach_name(drive->at.kind));
}

enum status board_create_ide(struct board *board, const struct board_pc_options *options, struct error *error)
{
    struct irq_line irq[2] = {board_isa_irq(board, BOARD_IRQ_IDE0), board_isa_irq(board, BOARD_IRQ_IDE1)};
    struct ide_unit units[BOARD_IDE_DRIVES] = {0};
    for (unsigned n = 0; n < BOARD_DRIVES; n++) {
        const struct board_drive *drive = &options->drive[n];
        if (!is_ide(drive))
            continue;
        if (drive->at.unit >= BOARD_IDE_DRIVES || units[drive->at.unit].drive)
            return error_status(error, STATUS_INVALID, "drive %u: IDE unit %u: expected 0 to 3, each once",
                                (unsigned)block_drive_index(drive->drive), drive->at.unit);
        units[drive->at.unit] = (struct ide_unit){
            .drive = drive->drive, .cdrom = drive->at.kind == BLOCK_ATTACH_IDE_CD, .serial = drive->at.serial};
    }
    ide_piix3_create(board->device.machine, board->pci, units, irq);
    return STATUS_OK;
}

static enum status create_virtio(struct board *board, const struct board_drive *drive, struct error *error)
{
    struct virtio_blk_options options = {.drive = drive->drive,
                                         .serial = drive->at.serial,
                                         .no_legacy = drive->at.flags & BLOCK_ATTACH_NO_LEGACY,
                                         .no_modern = drive->at.flags & BLOCK_ATTACH_NO_MODERN,
                                         .no_write_cache = drive->at.flags & BLOCK_ATTACH_NO_WRITE_CACHE,
                                         .no_discard = drive->at.flags & BLOCK_ATTACH_NO_DISCARD};
    if (options.no_legacy && options.no_modern)
        return error_status(error, STATUS_INVALID, "drive %u: virtio-blk with neither a legacy nor a modern interface",
                            (unsigned)block_drive_index(drive->drive));
    virtio_blk_create(board->device.machine, board->pci, drive->at.slot, &options);
    return STATUS_OK;
}

static enum status create_nvme(struct board *board, const struct board_drive *drive)
{
    struct nvme_options options = {.drive = drive->drive, .serial = drive->at.serial, .flags = drive->at.flags};
    nvme_create(board->device.machine, board->pci, drive->at.slot, &options);
    return STATUS_OK;
}

static enum status create_ahci(struct board *board, const struct board_pc_options *options,
                               const struct board_drive *first, struct error *error)
{
    struct ahci_unit units[AHCI_PORTS] = {0};
    for (unsigned n = 0; n < BOARD_DRIVES; n++) {
        const struct board_drive *drive = &options->drive[n];
        if (!drive->drive || is_ide(drive) || drive->at.slot != first->at.slot)
            continue;
        if (drive->at.unit >= AHCI_PORTS)
            return error_status(error, STATUS_INVALID, "drive %u: AHCI port %u: expected 0 to 5",
                                (unsigned)block_drive_index(drive->drive), drive->at.unit);
        units[drive->at.unit] = (struct ahci_unit){
            .drive = drive->drive, .cdrom = drive->at.kind == BLOCK_ATTACH_AHCI_CD, .serial = drive->at.serial};
    }
    ahci_create(board->device.machine, board->pci, first->at.slot, units);
    return STATUS_OK;
}

/* The first drive of a slot; the others of an AHCI controller come with it. */
static enum status create_controller(struct board *board, const struct board_pc_options *options,
                                     const struct board_drive *drive, struct error *error)
{
    switch (drive->at.kind) {
    case BLOCK_ATTACH_VIRTIO_BLK: return create_virtio(board, drive, error);
    case BLOCK_ATTACH_NVME: return create_nvme(board, drive);
    case BLOCK_ATTACH_AHCI_DISK:
    case BLOCK_ATTACH_AHCI_CD: return create_ahci(board, options, drive, error);
    case BLOCK_ATTACH_IDE_DISK:
    case BLOCK_ATTACH_IDE_CD:
    case BLOCK_ATTACH_KINDS: break;
    }
    return unsupported(drive, error);
}

static bool shares_slot(enum block_attach kind)
{
    return kind == BLOCK_ATTACH_AHCI_DISK || kind == BLOCK_ATTACH_AHCI_CD;
}

/* The drives of a slot: one, or ports of one AHCI controller. */
static enum status check_slot(const struct board_pc_options *options, const struct board_drive *first,
                              const struct board_drive *other, struct error *error)
{
    bool ports = shares_slot(first->at.kind) && shares_slot(other->at.kind) && first->at.unit != other->at.unit &&
                 other->at.unit < BOARD_AHCI_PORTS;
    (void)options;
    return ports ? STATUS_OK
                 : error_status(error, STATUS_INVALID, "drive %u: PCI slot %u, unit %u is taken",
                                (unsigned)block_drive_index(other->drive), other->at.slot, other->at.unit);
}

static enum status create_slot(struct board *board, const struct board_pc_options *options, unsigned slot,
                               struct error *error)
{
    const struct board_drive *first = NULL;
    for (unsigned n = 0; n < BOARD_DRIVES; n++) {
        const struct board_drive *drive = &options->drive[n];
        if (!drive->drive || is_ide(drive) || drive->at.slot != slot)
            continue;
        enum status status = first ? check_slot(options, first, drive, error) : STATUS_OK;
        if (status)
            return status;
        if (!first)
            first = drive;
    }
    return first ? create_controller(board, options, first, error) : STATUS_OK;
}

enum status board_create_drives(struct board *board, const struct board_pc_options *options, struct error *error)
{
    for (unsigned n = 0; n < BOARD_DRIVES; n++) {
        const struct board_drive *drive = &options->drive[n];
        if (drive->drive && !is_ide(drive) &&
            (drive->at.slot < BOARD_SLOT_FIRST_FREE || drive->at.slot > BOARD_SLOT_LAST))
            return error_status(error, STATUS_INVALID, "drive %u: PCI slot %u: expected 3 to 31",
                                (unsigned)block_drive_index(drive->drive), drive->at.slot);
    }
    for (unsigned slot = BOARD_SLOT_FIRST_FREE; slot <= BOARD_SLOT_LAST; slot++) {
        enum status status = create_slot(board, options, slot, error);
        if (status)
            return status;
    }
    return STATUS_OK;
}
