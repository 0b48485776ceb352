/* PIIX4 power management: ACPI registers, SMI command port (B2h, B3h), SMBus host without devices, reset control
 * (CF9h). Thread: machine thread.
 *
 * The PCI function that holds the base addresses in its configuration space calls the two set_base functions; without
 * firmware board_pc.c does. Create it after the PCI host bridge, since CF9h lies within the bridge's CF8h. There is no
 * SMM: the SMI handler's part of switching ACPI on and off (SCI_EN) is done here, so the configuration space should say
 * that SMI has been set up (DEVACTB.APMC_EN, bit 25 of offset 58h), else SeaBIOS waits for a handler of its own.
 * Receives INPUT_POWER_BUTTON. */
#ifndef VMRR_DEVICES_PIIX4_PM_H
#define VMRR_DEVICES_PIIX4_PM_H

#include "core/device.h"
#include "core/irq.h"

#define PIIX4_PM_IO_BYTES 64u
#define PIIX4_PM_DEFAULT_BASE 0x600u
#define PIIX4_SMBUS_IO_BYTES 16u
#define PIIX4_SMBUS_DEFAULT_BASE 0x700u

/* For the FADT: offsets from the base. */
#define PIIX4_PM1A_EVENT 0x00u
#define PIIX4_PM1A_CONTROL 0x04u
#define PIIX4_PM_TIMER 0x08u
#define PIIX4_GPE0 0x0Cu /* two bytes of status, two of enables */
#define PIIX4_GPE0_BYTES 4u
#define PIIX4_SMI_COMMAND 0xB2u
#define PIIX4_ACPI_ENABLE 0xF1u
#define PIIX4_ACPI_DISABLE 0xF0u
#define PIIX4_SLP_TYP_S5 0u /* _S5 */
#define PIIX4_SCI_IRQ 9u
#define PIIX4_RESET_PORT 0xCF9u
#define PIIX4_RESET_VALUE 0x06u /* FADT RESET_VALUE */

extern const struct device_class piix4_pm_class;

struct device *piix4_pm_create(struct machine *machine, struct irq_line sci);
void piix4_pm_set_base(struct device *device, uint16_t base, bool enabled);
void piix4_pm_set_smbus_base(struct device *device, uint16_t base, bool enabled);
/* A general-purpose event happens (bit 0 .. 15): sets its status. */
void piix4_pm_raise_gpe(struct device *device, unsigned bit);

#endif
