/* Intel 82371SB (PIIX3), function 0: ISA bridge (82371FB/SB datasheet, 290550).
 * Modelled: identification, PIRQ route control (60h..63h), the other registers as storage.
 * Elsewhere: ELCR with the 8259 pair, the reset control register with power management. Not modelled: DMA, X-bus chip
 * selects (all devices always decode), motherboard DMA and IRQ steering, SMI. */
#include "devices/piix3_isa.h"

#define PIRQ_ROUTE 0x60
#define ROUTE_DISABLED 0x80u
#define ISA_IRQS 16
#define ROUTABLE 0xDEF8u /* IRQ 3..7, 9..12, 14, 15; the others are reserved */

#define PIIX3_STATE(S, A, N, T)                                                                                        \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    A(T, bool, pirq_level, PCI_PIRQS)                                                                                  \
    S(T, uint16_t, driven)

struct piix3 {
    struct device device;
    STATE_MEMBERS(PIIX3_STATE)
    struct irq_line line[ISA_IRQS];
};
STATE_TABLE(piix3_fields, struct piix3, PIIX3_STATE);

/* A wire is high while any PIRQ that is routed to it is. */
static void update_lines(struct piix3 *chip)
{
    uint16_t levels = 0;
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        uint8_t route = chip->pci->config[PIRQ_ROUTE + n];
        if (chip->pirq_level[n] && !(route & ROUTE_DISABLED))
            levels |= (uint16_t)(1u << (route & 15) & ROUTABLE);
    }
    uint16_t changed = levels ^ chip->driven;
    chip->driven = levels;
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        if (changed >> n & 1)
            irq_set(chip->line[n], levels >> n & 1);
    }
}

static void set_pirq(void *opaque, unsigned pirq, bool level)
{
    struct piix3 *chip = opaque;
    chip->pirq_level[pirq] = level;
    update_lines(chip);
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    if (offset < PIRQ_ROUTE + PCI_PIRQS && PIRQ_ROUTE < offset + size_bytes)
        update_lines(opaque);
}

static void piix3_reset(struct device *device)
{
    struct piix3 *chip = device_of(device, struct piix3);
    pci_function_reset(chip->pci);
    update_lines(chip);
}

static const struct device_class piix3_class = {
    .name = "piix3_isa",
    .version = 1,
    .size = sizeof(struct piix3),
    .fields = piix3_fields,
    .reset = piix3_reset,
};

static void define_registers(struct pci_function *pci)
{
    pci_function_define(pci, PCI_COMMAND, 2, 0x0007, 0x0008);
    pci_function_define(pci, PCI_STATUS, 2, 0x0200, 0);
    pci->clear_mask[PCI_STATUS + 1] = 0x78;
    pci_function_define(pci, 0x4C, 1, 0x4D, 0xFF);     /* ISA controller recovery timer */
    pci_function_define(pci, 0x4E, 2, 0x0003, 0x09FF); /* X-bus chip selects */
    for (unsigned n = 0; n < PCI_PIRQS; n++)
        pci_function_define(pci, PIRQ_ROUTE + n, 1, ROUTE_DISABLED, 0x8F);
    pci_function_define(pci, 0x69, 1, 0x02, 0xFE); /* top of memory */
    pci_function_define(pci, 0x6A, 2, 0x0000, 0x80F7);
    pci_function_define(pci, 0x70, 2, 0x8080, 0xEFEF); /* motherboard IRQ routing */
    pci_function_define(pci, 0x76, 2, 0x0C0C, 0x8F8F);
    pci_function_define(pci, 0x78, 2, 0x0002, 0xFFFF);
    pci_function_define(pci, 0xA0, 1, 0x08, 0x1F); /* SMI control: storage */
    pci_function_define(pci, 0xA2, 2, 0x0000, 0x0FFF);
}

struct device *piix3_isa_create(struct machine *machine, struct pci_bus *bus, const struct irq_line lines[16])
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7000,
                                                 .class_base = 0x06,
                                                 .class_sub = 0x01,
                                                 .multifunction = true,
                                                 .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100};
    static const struct pci_function_ops ops = {.config_written = config_written};
    struct piix3 *chip = device_alloc(&piix3_class, machine, "piix3_isa");
    for (unsigned n = 0; n < ISA_IRQS; n++)
        chip->line[n] = lines[n];
    pci_function_init(chip->pci, bus, 1, 0, &identity, &ops, chip);
    define_registers(chip->pci);
    pci_bus_set_router(bus, set_pirq, chip);
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
