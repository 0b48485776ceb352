/* SMBIOS 2.8 tables of the board. A pure function of the memory sizes. */
#ifndef VMRR_DEVICES_SMBIOS_H
#define VMRR_DEVICES_SMBIOS_H

#include "core/memory.h"

#include <stddef.h>
#include <stdint.h>

#define SMBIOS_FILE_TABLES "etc/smbios/smbios-tables"
#define SMBIOS_FILE_ANCHOR "etc/smbios/smbios-anchor"

#define SMBIOS_ANCHOR_BYTES 31u

struct smbios_files {
    uint8_t *tables;
    size_t tables_bytes;
    uint8_t anchor[SMBIOS_ANCHOR_BYTES]; /* checksums and table address are set where the tables are placed */
};

/* high_bytes: RAM from 4 GiB on. cpu_signature: CPUID leaf 1 EDX:EAX. */
void smbios_files_build(struct smbios_files *files, uint64_t low_bytes, uint64_t high_bytes, uint64_t cpu_signature);
void smbios_files_free(struct smbios_files *files);
/* As firmware places them; anchor_gpa is a multiple of 16 in F0000h..FFFFFh. */
void smbios_install(const struct smbios_files *files, struct memory *memory, uint64_t tables_gpa, uint64_t anchor_gpa);

#endif
