/* Serial ATA AHCI 1.3.1: the HBA's registers (3.1), its interrupt (10.7), as PCI function 8086:2922 of an ICH9 (Intel 316972).
 * Modelled: 32 slots, NCQ, 64-bit addresses, command list override, INTx and MSI with one message.
 * Not modelled: port multipliers and FIS-based switching, staggered spin-up, link power states, hot plug, command completion
 * coalescing, enclosure management, asynchronous notification, BIOS hand-off, the legacy and index/data register sets. The link
 * comes up at once. Registers are taken in accesses of 4 bytes; smaller writes have no effect. */
#include "devices/ahci_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ABAR 5
#define ABAR_BYTES 0x1000u
#define REG_CAP 0x00
#define REG_GHC 0x04
#define REG_IS 0x08
#define REG_PI 0x0C
#define REG_VS 0x10
#define REG_CAP2 0x24
#define PORTS_START 0x100u
#define PORT_BYTES 0x80u

#define CAP_64BIT 0x80000000u
#define CAP_NCQ 0x40000000u
#define CAP_LIST_OVERRIDE 0x01000000u
#define CAP_GENERATION_2 0x00200000u
#define CAP_AHCI_ONLY 0x00040000u
#define CAP_VALUE                                                                                                      \
    (CAP_64BIT | CAP_NCQ | CAP_LIST_OVERRIDE | CAP_GENERATION_2 | CAP_AHCI_ONLY | (AHCI_SLOTS - 1) << 8 |              \
     (AHCI_PORTS - 1))
#define GHC_RESET 0x00000001u
#define GHC_INTERRUPTS 0x00000002u
#define GHC_AHCI 0x80000000u
#define VERSION 0x00010300u
#define PORTS_MASK ((1u << AHCI_PORTS) - 1)

#define CAPABILITY_MSI 0x05
#define CAPABILITY_SATA 0x12
#define MSI_BYTES 14u
#define MSI_CONTROL 2u
#define MSI_ADDRESS 4u
#define MSI_ADDRESS_HIGH 8u
#define MSI_DATA 12u
#define MSI_ENABLE 0x0001u
#define MSI_64BIT 0x0080u

const struct state_field ahci_slot_fields[] = {
    AHCI_SLOT_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct ahci_slot){.name = NULL}};
const struct state_field ahci_port_fields[] = {
    AHCI_PORT_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct ahci_port){.name = NULL}};
STATE_TABLE(ahci_fields, struct ahci, AHCI_STATE);

/* ---- interrupt ---- */

static bool msi_enabled(const struct ahci *chip)
{
    return pci_function_get(chip->pci, chip->msi + MSI_CONTROL, 2) & MSI_ENABLE;
}

static void send_message(struct ahci *chip)
{
    uint64_t high = pci_function_get(chip->pci, chip->msi + MSI_ADDRESS_HIGH, 4);
    pci_function_send_msi(chip->pci, high << 32 | pci_function_get(chip->pci, chip->msi + MSI_ADDRESS, 4),
                          pci_function_get(chip->pci, chip->msi + MSI_DATA, 2));
}

/* A port's bit stands as long as the port has something enabled. A message goes out for each bit that rises. */
void ahci_update_interrupt(struct ahci *chip)
{
    uint32_t before = chip->is;
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        if (ahci_port_interrupts(&chip->port[n]) & chip->port[n].ie)
            chip->is |= 1u << n;
    }
    bool enabled = chip->ghc & GHC_INTERRUPTS;
    if (msi_enabled(chip) && enabled && (chip->is & ~before))
        send_message(chip);
    pci_function_set_intx(chip->pci, chip->is && enabled && !msi_enabled(chip));
}

/* ---- registers ---- */

static uint32_t hba_read(const struct ahci *chip, unsigned offset)
{
    switch (offset) {
    case REG_CAP: return CAP_VALUE;
    case REG_GHC: return chip->ghc;
    case REG_IS: return chip->is;
    case REG_PI: return PORTS_MASK;
    case REG_VS: return VERSION;
    case REG_CAP2:
    default: return 0;
    }
}

static void hba_reset(struct ahci *chip)
{
    chip->ghc = GHC_AHCI;
    chip->is = 0;
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        ahci_port_reset(&chip->port[n]);
}

static void hba_write(struct ahci *chip, unsigned offset, uint32_t value)
{
    bool enabled = chip->ghc & GHC_INTERRUPTS;
    switch (offset) {
    case REG_GHC:
        if (value & GHC_RESET)
            hba_reset(chip);
        else
            chip->ghc = GHC_AHCI | (value & GHC_INTERRUPTS);
        if (!enabled && (chip->ghc & GHC_INTERRUPTS) && chip->is && msi_enabled(chip))
            send_message(chip);
        break;
    case REG_IS: chip->is &= ~value; break;
    default: break;
    }
}

static uint64_t register_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    const struct ahci *chip = opaque;
    unsigned aligned = (unsigned)offset & ~3u, shift = 8 * ((unsigned)offset & 3);
    uint32_t value = 0;
    if (aligned < PORTS_START)
        value = hba_read(chip, aligned);
    else if (aligned < PORTS_START + AHCI_PORTS * PORT_BYTES)
        value = ahci_port_read(&chip->port[(aligned - PORTS_START) / PORT_BYTES], aligned % PORT_BYTES);
    return value >> shift & (size_bytes < 4 ? (1u << 8 * size_bytes) - 1 : UINT32_MAX);
}

static void register_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct ahci *chip = opaque;
    if (size_bytes != 4 || (offset & 3))
        return;
    if (offset < PORTS_START)
        hba_write(chip, (unsigned)offset, (uint32_t)value);
    else if (offset < PORTS_START + AHCI_PORTS * PORT_BYTES)
        ahci_port_write(&chip->port[(offset - PORTS_START) / PORT_BYTES], offset % PORT_BYTES, (uint32_t)value);
    ahci_update_interrupt(chip);
}

/* ---- PCI ---- */

static void bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct ahci *chip = opaque;
    (void)bar;
    bus_mapping_set(chip->registers, enabled ? base : 0, enabled);
}

/* Commands may have waited for the bus master, interrupts change their way with MSI. */
static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    struct ahci *chip = opaque;
    (void)offset, (void)size_bytes;
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        ahci_port_run(&chip->port[n]);
    ahci_update_interrupt(chip);
}

static void ahci_reset(struct device *device)
{
    struct ahci *chip = device_of(device, struct ahci);
    pci_function_reset(chip->pci);
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        struct ahci_port *port = &chip->port[n];
        port->list_gpa = port->fis_gpa = 0;
        atapi_reset(port->cdrom);
    }
    hba_reset(chip);
    ahci_update_interrupt(chip);
}

static void ahci_destroy(struct device *device)
{
    struct ahci *chip = device_of(device, struct ahci);
    for (unsigned n = 0; n < AHCI_PORTS; n++) {
        for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
            free(chip->port[n].slot[slot].buffer);
    }
    free(chip->scratch);
    free(chip->segment);
}

static const struct device_class ahci_class = {
    .name = "ahci",
    .version = 1,
    .size = sizeof(struct ahci),
    .fields = ahci_fields,
    .reset = ahci_reset,
    .post_load = ahci_post_load,
    .destroy = ahci_destroy,
};

static void define_registers(struct ahci *chip)
{
    struct pci_function *pci = chip->pci;
    pci_function_add_bar(pci, ABAR, PCI_BAR_MEMORY, ABAR_BYTES);
    chip->msi = pci_function_add_capability(pci, CAPABILITY_MSI, MSI_BYTES);
    pci_function_define(pci, chip->msi + MSI_CONTROL, 2, MSI_64BIT, MSI_ENABLE);
    pci_function_define(pci, chip->msi + MSI_ADDRESS, 4, 0, ~3u);
    pci_function_define(pci, chip->msi + MSI_ADDRESS_HIGH, 4, 0, UINT32_MAX);
    pci_function_define(pci, chip->msi + MSI_DATA, 2, 0, 0xFFFF);
    unsigned sata = pci_function_add_capability(pci, CAPABILITY_SATA, 8);
    pci_function_define(pci, sata + 2, 2, 0x0010, 0); /* revision 1.0; no index and data registers */
}

static void connect_port(struct ahci *chip, unsigned number, const struct ahci_unit *unit)
{
    struct ahci_port *port = &chip->port[number];
    port->chip = chip;
    port->drive = unit->drive;
    port->is_cdrom = unit->cdrom;
    snprintf(port->serial, sizeof port->serial, "%s", unit->serial ? unit->serial : "");
    if (unit->cdrom)
        atapi_init(port->cdrom, unit->drive, unit->serial);
    for (unsigned n = 0; n < AHCI_SLOTS; n++)
        port->slot[n].port = port;
}

struct device *ahci_create(struct machine *machine, struct pci_bus *bus, unsigned slot,
                           const struct ahci_unit units[AHCI_PORTS])
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x2922,
                                                 .revision = 0x02,
                                                 .class_base = 0x01,
                                                 .class_sub = 0x06,
                                                 .class_prog = 0x01,
                                                 .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100,
                                                 .interrupt_pin = 1};
    static const struct pci_function_ops ops = {.bar_changed = bar_changed, .config_written = config_written};
    static const struct bus_ops register_ops = {register_read, register_write, 4};
    struct ahci *chip = device_alloc(&ahci_class, machine, NULL);
    snprintf(chip->id, sizeof chip->id, "ahci%u", slot);
    chip->device.id = chip->id;
    chip->scratch = malloc(AHCI_CHUNK_BYTES);
    chip->segment = calloc(BLOCK_SEGMENTS_TRACED, sizeof *chip->segment);
    CHECK(chip->scratch && chip->segment);
    chip->registers = bus_map_mmio(machine_bus(machine), 0, ABAR_BYTES, &register_ops, chip, "ahci");
    bus_mapping_set(chip->registers, 0, false);
    pci_function_init(chip->pci, bus, slot, 0, &identity, &ops, chip);
    define_registers(chip);
    for (unsigned n = 0; n < AHCI_PORTS; n++)
        connect_port(chip, n, &units[n]);
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
