/* Intel 82371AB (PIIX4), function 3: power management and SMBus (82371AB datasheet, 290562), configuration space.
 * Modelled: identification, PMBA (40h) with PMREGMISC (80h), SMBBA (90h) with SMBHSTCFG (D2h); the other registers as
 * storage. Not modelled: device monitors, clock control, SMI; DEVACTB says that SMI is set up, see piix4_pm.h. */
#include "devices/piix4_pm_pci.h"

#include "devices/piix4_pm.h"

#define DEVACTB 0x58
#define DEVACTB_APMC_EN 0x02000000u
#define PMREGMISC_ENABLE 0x01u
#define SMBHSTCFG_ENABLE 0x01u

#define PIIX4_PM_PCI_STATE(S, A, N, T) N(T, struct pci_function, pci, 1, pci_function_fields)

struct piix4_pm_pci {
    struct device device;
    STATE_MEMBERS(PIIX4_PM_PCI_STATE)
    struct device *pm;
};
STATE_TABLE(piix4_pm_pci_fields, struct piix4_pm_pci, PIIX4_PM_PCI_STATE);

static void apply(struct piix4_pm_pci *chip)
{
    const struct pci_function *pci = chip->pci;
    uint16_t pm_base = pci_function_get(pci, PIIX4_PCI_PMBASE, 2) & 0xFFC0;
    uint16_t smbus_base = pci_function_get(pci, PIIX4_PCI_SMBBA, 2) & 0xFFF0;
    piix4_pm_set_base(chip->pm, pm_base, pm_base && (pci->config[PIIX4_PCI_PMREGMISC] & PMREGMISC_ENABLE));
    piix4_pm_set_smbus_base(chip->pm, smbus_base, smbus_base && (pci->config[PIIX4_PCI_SMBHSTCFG] & SMBHSTCFG_ENABLE));
}

static bool touches(unsigned offset, unsigned size_bytes, unsigned reg, unsigned reg_bytes)
{
    return offset < reg + reg_bytes && reg < offset + size_bytes;
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    if (touches(offset, size_bytes, PIIX4_PCI_PMBASE, 4) || touches(offset, size_bytes, PIIX4_PCI_PMREGMISC, 1) ||
        touches(offset, size_bytes, PIIX4_PCI_SMBBA, 4) || touches(offset, size_bytes, PIIX4_PCI_SMBHSTCFG, 1))
        apply(opaque);
}

static void piix4_pm_pci_reset(struct device *device)
{
    struct piix4_pm_pci *chip = device_of(device, struct piix4_pm_pci);
    pci_function_reset(chip->pci);
    apply(chip);
}

static void piix4_pm_pci_post_load(struct device *device)
{
    apply(device_of(device, struct piix4_pm_pci));
}

static const struct device_class piix4_pm_pci_class = {
    .name = "piix4_pm_pci",
    .version = 1,
    .size = sizeof(struct piix4_pm_pci),
    .fields = piix4_pm_pci_fields,
    .reset = piix4_pm_pci_reset,
    .post_load = piix4_pm_pci_post_load,
};

static void define_registers(struct pci_function *pci)
{
    pci_function_define(pci, PCI_COMMAND, 2, 0x0000, PCI_COMMAND_IO);
    pci_function_define(pci, PCI_STATUS, 2, 0x0280, 0);
    pci->clear_mask[PCI_STATUS + 1] = 0x38;
    pci_function_define(pci, PIIX4_PCI_PMBASE, 4, 0x00000001, 0x0000FFC0);
    pci_function_define(pci, 0x44, 4, 0, 0xFFFFFFFF); /* idle timers and the like, up to DEVRESJ */
    for (unsigned offset = 0x48; offset < 0x80; offset += 4)
        pci_function_define(pci, offset, 4, 0, 0xFFFFFFFF);
    pci_function_define(pci, DEVACTB, 4, DEVACTB_APMC_EN, 0xFFFFFFFF);
    pci_function_define(pci, PIIX4_PCI_PMREGMISC, 1, 0, PMREGMISC_ENABLE);
    pci_function_define(pci, PIIX4_PCI_SMBBA, 4, 0x00000001, 0x0000FFF0);
    pci_function_define(pci, PIIX4_PCI_SMBHSTCFG, 1, 0, 0x0F);
    pci_function_define(pci, 0xD3, 3, 0, 0xFFFFFF);
}

struct device *piix4_pm_pci_create(struct machine *machine, struct pci_bus *bus, struct device *pm)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x7113,
                                                 .revision = 0x03,
                                                 .class_base = 0x06,
                                                 .class_sub = 0x80,
                                                 .interrupt_pin = 1,
                                                 .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100};
    static const struct pci_function_ops ops = {.config_written = config_written};
    struct piix4_pm_pci *chip = device_alloc(&piix4_pm_pci_class, machine, "piix4_pm_pci");
    chip->pm = pm;
    pci_function_init(chip->pci, bus, 1, 3, &identity, &ops, chip);
    define_registers(chip->pci);
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
