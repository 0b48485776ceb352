/* Intel 82371AB (PIIX4), function 3: power management, configuration space (290562, section 7).
 * Modelled: PMBASE, PMREGMISC, SMBBA, SMBHSTCFG, DEVACTB with SMI set up from the start (there is no SMM).
 * Not modelled: device monitors, trap ranges: storage. */
#include "devices/piix4_pm_pci.h"

#include "devices/piix4_pm.h"

#define DEVACTB 0x58
#define DEVACTB_APMC_EN 0x02000000u

#define PIIX4_PM_PCI_STATE(S, A, N, T) N(T, struct pci_function, pci, 1, pci_function_fields)

struct piix4_pm_pci {
    struct device device;
    STATE_MEMBERS(PIIX4_PM_PCI_STATE)
    struct device *pm;
};
STATE_TABLE(piix4_pm_pci_fields, struct piix4_pm_pci, PIIX4_PM_PCI_STATE);

static void apply_bases(struct piix4_pm_pci *chip)
{
    const struct pci_function *pci = chip->pci;
    uint16_t command = (uint16_t)pci_function_get(pci, PCI_COMMAND, 2);
    piix4_pm_set_base(chip->pm, (uint16_t)(pci_function_get(pci, PIIX4_PCI_PMBASE, 2) & 0xFFC0),
                      pci_function_get(pci, PIIX4_PCI_PMREGMISC, 1) & 1);
    piix4_pm_set_smbus_base(chip->pm, (uint16_t)(pci_function_get(pci, PIIX4_PCI_SMBBA, 2) & 0xFFF0),
                            (command & PCI_COMMAND_IO) && (pci_function_get(pci, PIIX4_PCI_SMBHSTCFG, 1) & 1));
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    (void)offset, (void)size_bytes;
    apply_bases(opaque);
}

static const struct pci_function_ops pci_ops = {.config_written = config_written};

static void pm_pci_reset(struct device *device)
{
    struct piix4_pm_pci *chip = device_of(device, struct piix4_pm_pci);
    pci_function_reset(chip->pci);
    apply_bases(chip);
}

static void pm_pci_post_load(struct device *device)
{
    struct piix4_pm_pci *chip = device_of(device, struct piix4_pm_pci);
    pci_function_post_load(chip->pci);
    apply_bases(chip);
}

static const struct device_class piix4_pm_pci_class = {
    .name = "piix4_pm_pci",
    .version = 1,
    .size = sizeof(struct piix4_pm_pci),
    .fields = piix4_pm_pci_fields,
    .reset = pm_pci_reset,
    .post_load = pm_pci_post_load,
};

struct device *piix4_pm_pci_create(struct machine *machine, struct pci_bus *bus, struct device *pm)
{
    static const struct pci_identity identity = {.vendor = 0x8086, .device = 0x7113, .revision = 0x03,
                                                 .class_base = 0x06, .class_sub = 0x80, .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100, .interrupt_pin = 1};
    struct piix4_pm_pci *chip = device_alloc(&piix4_pm_pci_class, machine, "pm-pci");
    struct pci_function *pci = chip->pci;
    chip->pm = pm;
    pci_function_init(pci, bus, 1, 3, &identity, &pci_ops, chip);
    pci_function_define(pci, PCI_COMMAND, 2, 0, PCI_COMMAND_IO);
    pci_function_define(pci, PCI_STATUS, 2, 0x0280, 0);
    pci_function_define(pci, PIIX4_PCI_PMBASE, 4, 1, 0x0000FFC0);
    for (unsigned offset = 0x44; offset < 0x80; offset += 4)
        pci_function_define(pci, offset, 4, offset == DEVACTB ? DEVACTB_APMC_EN : 0, 0xFFFFFFFF);
    pci_function_define(pci, PIIX4_PCI_PMREGMISC, 1, 0, 0x01);
    pci_function_define(pci, PIIX4_PCI_SMBBA, 4, 1, 0x0000FFF0);
    pci_function_define(pci, PIIX4_PCI_SMBHSTCFG, 1, 0, 0x0F);
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
