/* The PC: i440FX, PIIX3, PIIX4, and what stands at fixed places beside them. This file is the one table of chip, address
 * and interrupt; acpi_dsdt.asl repeats it for the guest.
 *
 *   00:00.0 i440FX    00:01.0 PIIX3    00:01.1 IDE    00:01.3 PIIX4 power management    00:02.0 VGA
 *   00:03.0 .. 00:1F.0: controllers of drives (board_drives.c), INTA or MSI-X
 *
 *   port        chip                  interrupt          port        chip                  interrupt
 *   000, 080..  DMA controllers                          1CE         VBE
 *   020, 0A0    8259 pair                                1F0, 3F6    IDE primary           14
 *   040         8254                  0                  2F8         COM2                  3
 *   060, 064    8042                  1, mouse 12        3B0..3DF    VGA
 *   061         port B (8254)                            3F8         COM1                  4
 *   070         RTC                   8                  402, 0E9    debug console
 *   080         POST code                                4D0         ELCR (8259)
 *   092         port A                                   510..51B    fw_cfg
 *   0B2         SMI command (PIIX4)   SCI 9              CF8, CFC    PCI; CF9 reset control
 *   0F4         debug exit                               from PCI    PM 600, SMBus 700, IDE bus master
 *   170, 376    IDE secondary         15                 memory      I/O APIC FEC00000, HPET FED00000, local APIC FEE00000
 *
 * An ISA interrupt n is pin n of the 8259 pair and of the I/O APIC, but for 0, which is pin 2 of the I/O APIC. */
#include "devices/board_pc.h"

#include "devices/board_internal.h"
#include "devices/debugcon.h"
#include "devices/dma_8237.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i440fx.h"
#include "devices/ide.h"
#include "devices/ioapic.h"
#include "devices/isa_debug_exit.h"
#include "devices/kbd_8042.h"
#include "devices/lapic.h"
#include "devices/pic_8259.h"
#include "devices/piix3_isa.h"
#include "devices/piix4_pm.h"
#include "devices/piix4_pm_pci.h"
#include "devices/pit_8254.h"
#include "devices/port_80.h"
#include "devices/port_92.h"
#include "devices/port_f0.h"
#include "devices/rtc_mc146818.h"
#include "devices/tsc_port.h"
#include "devices/uart_16550a.h"
#include "devices/vga.h"

#include <stdlib.h>

#define IO_COM1 0x3F8
#define IO_COM2 0x2F8

static const struct state_field no_fields[] = {{.name = NULL}};

static void board_reset(struct device *device)
{
    (void)device;
}

static void board_destroy(struct device *device)
{
    struct board *board = device_of(device, struct board);
    acpi_files_free(&board->acpi);
    smbios_files_free(&board->smbios);
    boot_plan_free(&board->plan);
    free(board->option_rom);
}

/* The board itself: wires and plans, no state. */
static const struct device_class board_class = {
    .name = "board_pc",
    .version = 1,
    .size = sizeof(struct board),
    .fields = no_fields,
    .reset = board_reset,
    .destroy = board_destroy,
};

/* ---- interrupts ---- */

static void set_isa_irq(void *opaque, unsigned irq, bool level)
{
    struct board *board = opaque;
    irq_set(board->pic_line[irq], level);
    irq_set(board->ioapic_line[irq], level);
}

struct irq_line board_isa_irq(struct board *board, unsigned irq)
{
    return (struct irq_line){set_isa_irq, board, irq};
}

static void create_interrupt_controllers(struct board *board)
{
    struct machine *machine = board->device.machine;
    board->lapic = lapic_create(machine);
    board->pic = pic_8259_create(machine, lapic_lint_line(board->lapic, 0));
    lapic_connect_pic(board->lapic, board->pic);
    board->ioapic = ioapic_create(machine, board->lapic);
    for (unsigned irq = 0; irq < BOARD_IRQS; irq++) {
        if (irq == 2)
            continue; /* the cascade */
        board->pic_line[irq] = pic_8259_irq_line(board->pic, irq);
        board->ioapic_line[irq] = ioapic_irq_line(board->ioapic, irq == BOARD_IRQ_PIT ? 2 : irq);
    }
    machine_set_ferr_line(machine, board_isa_irq(board, BOARD_IRQ_FPU));
}

static void send_msi(void *opaque, uint64_t address, uint32_t data)
{
    struct board *board = opaque;
    (void)lapic_deliver_msi(board->lapic, address, data); /* one that nobody takes is lost, as on the bus */
}

/* ---- chips ---- */

static void create_host_bridge(struct board *board)
{
    struct machine *machine = board->device.machine;
    struct i440fx_options bridge = {.ram = board->ram, .bios = board->bios};
    struct irq_line line[BOARD_IRQS];
    for (unsigned irq = 0; irq < BOARD_IRQS; irq++)
        line[irq] = board_isa_irq(board, irq);
    board->pci = pci_bus_create(machine);
    pci_bus_set_msi(board->pci, send_msi, board);
    i440fx_create(machine, board->pci, &bridge);
    piix3_isa_create(machine, board->pci, line);
}

static void create_legacy_chips(struct board *board, const struct board_pc_options *options)
{
    struct machine *machine = board->device.machine;
    struct device *pm;
    struct device *hpet = hpet_create(machine, board_isa_irq(board, BOARD_IRQ_PIT), board_isa_irq(board, BOARD_IRQ_RTC),
                                      ioapic_irq_line(board->ioapic, 0));
    pit_8254_create(machine, hpet_pit_line(hpet));
    board->rtc = rtc_mc146818_create(machine, hpet_rtc_line(hpet));
    dma_8237_create(machine);
    kbd_8042_create(machine, board_isa_irq(board, BOARD_IRQ_KEYBOARD), board_isa_irq(board, BOARD_IRQ_MOUSE));
    uart_16550a_create(machine, 0, IO_COM1, board_isa_irq(board, BOARD_IRQ_COM1), options->serial[0]);
    uart_16550a_create(machine, 1, IO_COM2, board_isa_irq(board, BOARD_IRQ_COM2), options->serial[1]);
    port_80_create(machine);
    port_92_create(machine);
    port_f0_create(machine);
    debugcon_create(machine, options->debugcon);
    isa_debug_exit_create(machine);
    if (machine_goes(machine, MACHINE_WAY_TSC_PORT))
        tsc_port_create(machine);
    pm = piix4_pm_create(machine, board_isa_irq(board, PIIX4_SCI_IRQ));
    piix4_pm_pci_create(machine, board->pci, pm);
}

static enum status create_pci_chips(struct board *board, const struct board_pc_options *options, struct error *error)
{
    struct machine *machine = board->device.machine;
    enum status status = board_create_ide(board, options, error);
    if (status)
        return status;
    if (!options->no_vga) {
        board->vga = vga_create(machine, board->pci, BOARD_SLOT_VGA, error);
        if (!board->vga)
            return STATUS_NO_MEMORY;
    }
    return board_create_drives(board, options, error);
}

/* ---- tables and kernel ---- */

static void build_tables(struct board *board)
{
    struct acpi_options acpi = {
        .pm_base = PIIX4_PM_DEFAULT_BASE,
        .sci_irq = PIIX4_SCI_IRQ,
        .lapic_gpa = (uint32_t)LAPIC_DEFAULT_BASE,
        .ioapic_gpa = (uint32_t)IOAPIC_BASE,
        .ioapic_id = IOAPIC_ID,
        .hpet_gpa = (uint32_t)HPET_BASE,
        .hpet_id = HPET_ID,
        .smi_command = PIIX4_SMI_COMMAND,
        .reset_value = PIIX4_RESET_VALUE,
    };
    uint32_t cpuid[4];
    acpi_files_build(&board->acpi, &acpi);
    cpu_model_query(machine_cpu_model(board->device.machine), 1, 0, cpuid);
    smbios_files_build(&board->smbios, board->memory.low_bytes, board->memory.high_bytes,
                       (uint64_t)cpuid[3] << 32 | cpuid[0]);
}

static enum status plan_kernel(struct board *board, const struct board_pc_options *options, struct error *error)
{
    struct loader_options loader = {
        .board = options,
        .memory = board->memory,
        .e820 = board->e820,
        .e820_count = board->e820_count,
        .rsdp_gpa = BOARD_RSDP_GPA,
        .firmware = board->bios != NULL,
        .long_mode = cpu_model_has(machine_cpu_model(board->device.machine), "lm"),
    };
    enum status status = loader_plan(&loader, &board->plan, error);
    board->has_plan = status == STATUS_OK;
    return status;
}

enum status board_pc_create(struct machine *machine, const struct board_pc_options *options, struct error *error)
{
    bool firmware = options->bios.size_bytes != 0;
    if (!firmware && !options->kernel.size_bytes)
        return error_status(error, STATUS_INVALID, "nothing to boot: neither a firmware image nor a kernel");

    struct board *board = device_alloc(&board_class, machine, "board");
    machine_add_device(machine, &board->device);
    enum status status = board_map_memory(board, options, error);
    if (status)
        return status;
    board_describe_memory(board, firmware);
    create_interrupt_controllers(board);
    create_host_bridge(board);
    create_legacy_chips(board, options);
    status = create_pci_chips(board, options, error);
    if (status)
        return status;
    board->fw_cfg = fw_cfg_create(machine);
    board_fill_cmos(board, options);
    build_tables(board);
    if (options->kernel.size_bytes)
        status = plan_kernel(board, options, error);
    if (status)
        return status;
    board_fill_fw_cfg(board, options);
    if (!firmware)
        machine_set_boot_hook(machine, board_boot_without_firmware, board);
    return STATUS_OK;
}

enum status board_pc_screen(struct machine *machine, struct board_screen *screen)
{
    struct device *vga = machine_device_find(machine, "vga");
    return vga ? vga_screen(vga, screen) : STATUS_NOT_FOUND;
}
