/* ACPI tables of the board, and the script that places them (QEMU's "etc/table-loader" format, which SeaBIOS runs; a boot
 * without firmware runs the same script with acpi_install). A pure function of the options. */
#ifndef VMRR_DEVICES_ACPI_H
#define VMRR_DEVICES_ACPI_H

#include "core/memory.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

#define ACPI_RSDP_BYTES 36u

/* Where the board has what the tables name. */
struct acpi_options {
    uint16_t pm_base; /* PIIX4 PM block */
    uint8_t sci_irq;  /* ISA interrupt of SCI */
    uint32_t lapic_gpa;
    uint32_t ioapic_gpa;
    uint32_t hpet_gpa; /* 0: no HPET */
    uint32_t hpet_id;  /* low half of its capability register */
    uint8_t ioapic_id;
    uint16_t smi_command; /* APM port; 0: always in ACPI mode */
    uint8_t reset_value;  /* written to CF9h */
};

struct acpi_files {
    uint8_t *tables; /* all but the RSDP; pointers hold offsets in here until the script has run */
    size_t tables_bytes;
    uint8_t rsdp[ACPI_RSDP_BYTES];
    uint8_t *loader;
    size_t loader_bytes;
};

void acpi_files_build(struct acpi_files *files, const struct acpi_options *options);
void acpi_files_free(struct acpi_files *files);

/* Runs the script as firmware would, with the tables at tables_gpa (64-byte aligned) and the RSDP at rsdp_gpa. */
void acpi_install(const struct acpi_files *files, struct memory *memory, uint64_t tables_gpa, uint64_t rsdp_gpa);

#endif
