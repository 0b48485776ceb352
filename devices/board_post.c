/* A boot without firmware: what the power-on self-test of a BIOS leaves behind, as far as operating systems rely on it.
 * PCI base addresses and interrupt routing, ACPI ports, memory types, text mode, tables in memory; then the boot plan. */
#include "devices/board_internal.h"
#include "devices/ide.h"
#include "devices/piix3_isa.h"
#include "devices/piix4_pm.h"
#include "devices/piix4_pm_pci.h"
#include "devices/vga.h"

#define SLOT_PIIX 1u
#define FUNCTION_ISA 0u
#define FUNCTION_IDE 1u
#define FUNCTION_PM 3u

#define VGA_LFB_GPA 0xFD000000u
#define IDE_BUS_MASTER_IO 0xC040u
#define IDE_TIMING 0x40
#define IDE_DECODE_ENABLE 0x8000u
#define PIRQ_ROUTE 0x60
#define PORT_ELCR1 0x4D0
#define PORT_ELCR2 0x4D1

#define MTRR_WB 0x06u
#define MTRR_ENABLE 0xC00u /* variable and fixed */
#define MTRR_FIXED_WB 0x0606060606060606ull

static void setup_pci(struct board *board)
{
    static const uint8_t pirq[PCI_PIRQS] = {10, 10, 11, 11};
    struct pci_bus *pci = board->pci;
    for (unsigned i = 0; i < PCI_PIRQS; i++)
        pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_ISA, PIRQ_ROUTE + i, pirq[i], 1);

    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_IDE, PCI_BAR0 + 16, IDE_BUS_MASTER_IO, 4);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_IDE, IDE_TIMING, IDE_DECODE_ENABLE, 2);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_IDE, IDE_TIMING + 2, IDE_DECODE_ENABLE, 2);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_IDE, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);

    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PIIX4_PCI_PMBASE, PIIX4_PM_DEFAULT_BASE | 1, 4);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PIIX4_PCI_PMREGMISC, 1, 1);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PIIX4_PCI_SMBBA, PIIX4_SMBUS_DEFAULT_BASE | 1, 4);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PIIX4_PCI_SMBHSTCFG, 9, 1);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PCI_INTERRUPT_LINE, PIIX4_SCI_IRQ, 1);
    pci_bus_config_write(pci, SLOT_PIIX, FUNCTION_PM, PCI_COMMAND, PCI_COMMAND_IO, 2);

    if (board->vga) {
        pci_bus_config_write(pci, BOARD_SLOT_VGA, 0, PCI_BAR0, VGA_LFB_GPA, 4);
        pci_bus_config_write(pci, BOARD_SLOT_VGA, 0, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    }
}

/* PCI interrupts and SCI are levels at the 8259 pair. */
static void setup_elcr(struct machine *machine)
{
    bus_io_write(machine_bus(machine), PORT_ELCR1, 0x00, 1);
    bus_io_write(machine_bus(machine), PORT_ELCR2, 1u << (10 - 8) | 1u << (11 - 8) | 1u << (PIIX4_SCI_IRQ - 8), 1);
}

static void setup_memory_types(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    struct cpu_state cpu;
    accel->ops->get_state(accel, &cpu);
    cpu.mtrr_def_type = MTRR_ENABLE | MTRR_WB;
    for (unsigned i = 0; i < 11; i++)
        cpu.mtrr_fixed[i] = i == 2 ? 0 : MTRR_FIXED_WB; /* A0000h..BFFFFh uncached */
    cpu.mtrr_variable[0] = MEMORY_HOLE_START;
    cpu.mtrr_variable[1] = 0xFFC0000000ull | 0x800; /* 1 GiB, valid, of 40 address bits */
    accel->ops->set_state(accel, &cpu);
}

static void place_tables(struct board *board)
{
    struct memory *memory = machine_memory(board->device.machine);
    uint64_t gpa = board->memory.usable_bytes;
    if (board->memory.low_bytes - gpa < BOARD_TABLES_BYTES)
        return; /* a machine of 1 MiB */
    CHECK(board->acpi.tables_bytes <= BOARD_SMBIOS_OFFSET);
    acpi_install(&board->acpi, memory, gpa, BOARD_RSDP_GPA);
    smbios_install(&board->smbios, memory, gpa + BOARD_SMBIOS_OFFSET, BOARD_SMBIOS_ANCHOR_GPA);
}

void board_boot_without_firmware(void *opaque, struct machine *machine)
{
    struct board *board = opaque;
    setup_pci(board);
    setup_elcr(machine);
    setup_memory_types(machine);
    if (board->vga)
        vga_enter_text_mode(board->vga);
    place_tables(board);
    boot_plan_execute(&board->plan, machine);
}
