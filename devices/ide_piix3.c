/* Intel 82371SB (PIIX3), function 1: IDE controller with bus master (82371FB/SB datasheet, 290550).
 * Modelled: identification, the bus master's registers at BAR 4, timing registers as storage. Both channels always
 * decode their compatibility ports; the decode enable bits (IDETIM bit 15) are storage and set after reset, so that
 * an operating system without firmware before it finds the channels. */
#include "devices/ide_internal.h"

#define BM_BAR 4
#define BM_PORTS 16
#define BM_CHANNEL_PORTS 8
#define IDETIM_PRIMARY 0x40
#define IDETIM_SECONDARY 0x42
#define SIDETIM 0x44
#define IDETIM_DECODE 0x8000u

#define IDE_PIIX3_STATE(S, A, N, T) N(T, struct pci_function, pci, 1, pci_function_fields)

struct ide_piix3 {
    struct device device;
    STATE_MEMBERS(IDE_PIIX3_STATE)
    struct ide_channel *channel[2];
    struct bus_mapping *bm;
};
STATE_TABLE(ide_piix3_fields, struct ide_piix3, IDE_PIIX3_STATE);

static uint64_t bm_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    struct ide_piix3 *chip = opaque;
    uint64_t value = 0;
    for (unsigned n = 0; n < size_bytes && offset + n < BM_PORTS; n++) {
        unsigned at = (unsigned)offset + n;
        value |= (uint64_t)ide_bm_read(chip->channel[at / BM_CHANNEL_PORTS], at % BM_CHANNEL_PORTS) << (8 * n);
    }
    return value;
}

static void bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct ide_piix3 *chip = opaque;
    for (unsigned n = 0; n < size_bytes && offset + n < BM_PORTS; n++) {
        unsigned at = (unsigned)offset + n;
        ide_bm_write(chip->channel[at / BM_CHANNEL_PORTS], at % BM_CHANNEL_PORTS, (uint8_t)(value >> (8 * n)));
    }
}

static void bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct ide_piix3 *chip = opaque;
    (void)bar;
    bus_mapping_set(chip->bm, enabled ? base : 0, enabled);
}

static void ide_piix3_reset(struct device *device)
{
    pci_function_reset(device_of(device, struct ide_piix3)->pci);
}

static void ide_piix3_post_load(struct device *device)
{
    pci_function_post_load(device_of(device, struct ide_piix3)->pci);
}

static const struct device_class ide_piix3_class = {
    .name = "ide_piix3",
    .version = 1,
    .size = sizeof(struct ide_piix3),
    .fields = ide_piix3_fields,
    .reset = ide_piix3_reset,
    .post_load = ide_piix3_post_load,
};

static void define_registers(struct pci_function *pci)
{
    pci_function_define(pci, PCI_COMMAND, 2, 0x0000, PCI_COMMAND_MASTER);
    pci_function_define(pci, PCI_STATUS, 2, 0x0280, 0);
    pci->clear_mask[PCI_STATUS + 1] = 0x38;
    pci_function_add_bar(pci, BM_BAR, PCI_BAR_IO, BM_PORTS);
    pci_function_define(pci, IDETIM_PRIMARY, 2, IDETIM_DECODE, 0xFFFF);
    pci_function_define(pci, IDETIM_SECONDARY, 2, IDETIM_DECODE, 0xFFFF);
    pci_function_define(pci, SIDETIM, 1, 0, 0xFF);
}

struct device *ide_piix3_create(struct machine *machine, struct pci_bus *bus, const struct ide_unit units[4],
                                const struct irq_line irq[2])
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7010,
                                                 .class_base = 0x01,
                                                 .class_sub = 0x01,
                                                 .class_prog = 0x80,
                                                 .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100};
    static const struct pci_function_ops ops = {.bar_changed = bar_changed};
    static const struct bus_ops bm_ops = {bm_read, bm_write, 4};
    struct ide_channel *primary = ide_channel_create(machine, "ide0", units, 0x1F0, 0x3F6, irq[0]);
    struct ide_channel *secondary = ide_channel_create(machine, "ide1", units + 2, 0x170, 0x376, irq[1]);
    struct ide_piix3 *chip = device_alloc(&ide_piix3_class, machine, "ide");
    chip->channel[0] = primary;
    chip->channel[1] = secondary;
    chip->bm = bus_map_io(machine_bus(machine), 0, BM_PORTS, &bm_ops, chip, "ide-bus-master");
    bus_mapping_set(chip->bm, 0, false);
    pci_function_init(chip->pci, bus, 1, 1, &identity, &ops, chip);
    define_registers(chip->pci);
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
