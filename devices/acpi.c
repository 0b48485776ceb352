/* ACPI tables: FACS, DSDT (acpi_dsdt.asl, compiled by iasl), FADT, MADT, HPET, WAET, RSDT, XSDT, RSDP. ACPI specification
 * 6.x, chapter 5 for the layouts; FADT revision 3, MADT revision 3.
 *
 * The tables lie in one file, aligned within it; every pointer holds an offset in that file until a script command
 * ADD_POINTER has added the file's address, and every checksum is set by ADD_CHECKSUM after that.
 *
 * Not modelled: sleep states but S5, CPU and memory hotplug, SSDTs, MCFG (an i440FX has no ECAM). */
#include "devices/acpi.h"

#include "devices/acpi_dsdt.h"

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES 36u
#define FACS_BYTES 64u
#define FADT_BYTES 244u

#define LOADER_ENTRY_BYTES 128u
#define LOADER_FILE_NAME_BYTES 56u
enum loader_command { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };
enum loader_zone { LOADER_ZONE_HIGH = 1, LOADER_ZONE_FSEG = 2 };

/* ---- a buffer that grows ---- */

struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

static uint8_t *bytes_extend(struct bytes *bytes, size_t count)
{
    if (bytes->size + count > bytes->capacity) {
        bytes->capacity = (bytes->size + count) * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
        CHECK(bytes->data);
    }
    uint8_t *out = bytes->data + bytes->size;
    memset(out, 0, count);
    bytes->size += count;
    return out;
}

static void bytes_align(struct bytes *bytes, size_t alignment)
{
    if (bytes->size % alignment)
        bytes_extend(bytes, alignment - bytes->size % alignment);
}

static void store(uint8_t *out, uint64_t value, unsigned size_bytes)
{
    for (unsigned i = 0; i < size_bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load(const uint8_t *in, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static void append(struct bytes *bytes, uint64_t value, unsigned size_bytes)
{
    store(bytes_extend(bytes, size_bytes), value, size_bytes);
}

/* ---- the script ---- */

static void loader_allocate(struct bytes *loader, const char *file, uint32_t alignment, enum loader_zone zone)
{
    uint8_t *entry = bytes_extend(loader, LOADER_ENTRY_BYTES);
    store(entry, LOADER_ALLOCATE, 4);
    memcpy(entry + 4, file, strlen(file));
    store(entry + 60, alignment, 4);
    entry[64] = zone;
}

static void loader_add_pointer(struct bytes *loader, const char *in_file, size_t offset, unsigned size_bytes)
{
    uint8_t *entry = bytes_extend(loader, LOADER_ENTRY_BYTES);
    store(entry, LOADER_ADD_POINTER, 4);
    memcpy(entry + 4, in_file, strlen(in_file));
    memcpy(entry + 60, ACPI_FILE_TABLES, strlen(ACPI_FILE_TABLES));
    store(entry + 116, offset, 4);
    entry[120] = (uint8_t)size_bytes;
}

static void loader_add_checksum(struct bytes *loader, const char *file, size_t offset, size_t start, size_t length)
{
    uint8_t *entry = bytes_extend(loader, LOADER_ENTRY_BYTES);
    store(entry, LOADER_ADD_CHECKSUM, 4);
    memcpy(entry + 4, file, strlen(file));
    store(entry + 60, offset, 4);
    store(entry + 64, start, 4);
    store(entry + 68, length, 4);
}

/* ---- tables ---- */

struct builder {
    struct bytes tables, loader;
    const struct acpi_options *options;
};

static size_t table_begin(struct builder *b, const char *signature, uint8_t revision)
{
    bytes_align(&b->tables, 16);
    size_t start = b->tables.size;
    uint8_t *header = bytes_extend(&b->tables, HEADER_BYTES);
    memcpy(header, signature, 4);
    header[8] = revision;
    memcpy(header + 10, "VMRR  VMRRPC  ", 14);
    store(header + 24, 1, 4);
    memcpy(header + 28, "VMRR", 4);
    store(header + 32, 1, 4);
    return start;
}

static void table_end(struct builder *b, size_t start)
{
    size_t length = b->tables.size - start;
    store(b->tables.data + start + 4, length, 4);
    loader_add_checksum(&b->loader, ACPI_FILE_TABLES, start + 9, start, length);
}

static void put_pointer(struct builder *b, size_t offset, size_t target, unsigned size_bytes)
{
    store(b->tables.data + offset, target, size_bytes);
    loader_add_pointer(&b->loader, ACPI_FILE_TABLES, offset, size_bytes);
}

static size_t build_facs(struct builder *b)
{
    bytes_align(&b->tables, 64);
    size_t start = b->tables.size;
    uint8_t *facs = bytes_extend(&b->tables, FACS_BYTES);
    memcpy(facs, "FACS", 4);
    store(facs + 4, FACS_BYTES, 4);
    facs[32] = 1; /* version */
    return start;
}

static size_t build_dsdt(struct builder *b)
{
    bytes_align(&b->tables, 16);
    size_t start = b->tables.size;
    memcpy(bytes_extend(&b->tables, acpi_dsdt_size), acpi_dsdt, acpi_dsdt_size);
    b->tables.data[start + 9] = 0;
    table_end(b, start);
    return start;
}

static void put_generic_address(uint8_t *out, uint64_t port, unsigned width_bits)
{
    out[0] = 1; /* system I/O */
    out[1] = (uint8_t)width_bits;
    out[3] = width_bits == 8 ? 1 : width_bits == 16 ? 2 : 3;
    store(out + 4, port, 8);
}

#define FADT_WBINVD (1u << 0)
#define FADT_PROC_C1 (1u << 2)
#define FADT_SLEEP_BUTTON (1u << 5) /* no fixed sleep button; a fixed power button (bit 4 clear) */
#define FADT_RTC_NOT_FIXED (1u << 6)
#define FADT_RESET_REGISTER (1u << 10)
#define FADT_USE_PLATFORM_CLOCK (1u << 15)

static size_t build_fadt(struct builder *b, size_t facs, size_t dsdt)
{
    const struct acpi_options *o = b->options;
    size_t start = table_begin(b, "FACP", 3);
    bytes_extend(&b->tables, FADT_BYTES - HEADER_BYTES);
    uint8_t *fadt = b->tables.data + start;

    fadt[44] = 1; /* INT_MODEL of ACPI 1.0: multiple APIC */
    store(fadt + 46, o->sci_irq, 2);
    store(fadt + 48, o->smi_command, 4);
    if (o->smi_command) {
        fadt[52] = 0xF1; /* ACPI_ENABLE */
        fadt[53] = 0xF0; /* ACPI_DISABLE */
    }
    store(fadt + 56, o->pm_base, 4);        /* PM1a_EVT_BLK */
    store(fadt + 64, o->pm_base + 0x04, 4); /* PM1a_CNT_BLK */
    store(fadt + 76, o->pm_base + 0x08, 4); /* PM_TMR_BLK */
    store(fadt + 80, o->pm_base + 0x0C, 4); /* GPE0_BLK */
    fadt[88] = 4;
    fadt[89] = 2;
    fadt[91] = 4;
    fadt[92] = 4;
    store(fadt + 96, 0x0FFF, 2);  /* P_LVL2_LAT: no C2 */
    store(fadt + 98, 0x0FFF, 2);  /* P_LVL3_LAT: no C3 */
    fadt[108] = 0x32;             /* CENTURY, in the RTC's CMOS */
    store(fadt + 109, 0x0003, 2); /* IAPC_BOOT_ARCH: legacy devices, 8042 */
    store(fadt + 112, FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON | FADT_RESET_REGISTER | FADT_USE_PLATFORM_CLOCK,
          4);
    put_generic_address(fadt + 116, 0xCF9, 8);
    fadt[128] = o->reset_value;
    put_generic_address(fadt + 148, o->pm_base, 32);
    put_generic_address(fadt + 172, o->pm_base + 0x04u, 16);
    put_generic_address(fadt + 208, o->pm_base + 0x08u, 32);
    put_generic_address(fadt + 220, o->pm_base + 0x0Cu, 32);

    put_pointer(b, start + 36, facs, 4);
    put_pointer(b, start + 40, dsdt, 4);
    put_pointer(b, start + 140, dsdt, 8);
    table_end(b, start);
    return start;
}

/* ISA interrupt to global system interrupt, where they differ or where the trigger does. */
static void put_interrupt_override(struct bytes *tables, uint8_t source, uint32_t gsi, uint16_t flags)
{
    append(tables, 2, 1);
    append(tables, 10, 1);
    append(tables, 0, 1); /* ISA */
    append(tables, source, 1);
    append(tables, gsi, 4);
    append(tables, flags, 2);
}

#define MPS_ACTIVE_HIGH_LEVEL 0x000Du

static size_t build_madt(struct builder *b)
{
    const struct acpi_options *o = b->options;
    size_t start = table_begin(b, "APIC", 3);
    struct bytes *t = &b->tables;
    append(t, o->lapic_gpa, 4);
    append(t, 1, 4); /* PCAT_COMPAT: there is a 8259 pair */

    append(t, 0x0800, 2); /* processor local APIC: uid 0, id 0, enabled */
    append(t, 0x0000, 2);
    append(t, 1, 4);

    append(t, 0x0C01, 2); /* I/O APIC */
    append(t, o->ioapic_id, 2);
    append(t, o->ioapic_gpa, 4);
    append(t, 0, 4);

    put_interrupt_override(t, 0, 2, 0);
    /* The PCI interrupt router drives these as levels, active high at the pins. */
    for (uint8_t irq = 5; irq <= 11; irq++) {
        if (irq == o->sci_irq || irq == 5 || irq >= 10)
            put_interrupt_override(t, irq, irq, MPS_ACTIVE_HIGH_LEVEL);
    }

    append(t, 0x0604, 2); /* local APIC NMI: all processors, LINT1 */
    append(t, 0xFF, 1);
    append(t, 0, 2);
    append(t, 1, 1);
    table_end(b, start);
    return start;
}

static size_t build_hpet(struct builder *b)
{
    size_t start = table_begin(b, "HPET", 1);
    struct bytes *t = &b->tables;
    append(t, b->options->hpet_id, 4);
    append(t, 0, 4); /* generic address: memory */
    append(t, b->options->hpet_gpa, 8);
    append(t, 0, 1);
    append(t, 0x0080, 2); /* minimum tick */
    append(t, 0, 1);
    table_end(b, start);
    return start;
}

/* Windows Emulated devices table: a guest may read the PM timer once, without a retry loop. */
static size_t build_waet(struct builder *b)
{
    size_t start = table_begin(b, "WAET", 1);
    append(&b->tables, 1u << 1, 4);
    table_end(b, start);
    return start;
}

static size_t build_root(struct builder *b, const char *signature, unsigned pointer_bytes, const size_t *table,
                         unsigned count)
{
    size_t start = table_begin(b, signature, 1);
    for (unsigned i = 0; i < count; i++) {
        bytes_extend(&b->tables, pointer_bytes);
        put_pointer(b, b->tables.size - pointer_bytes, table[i], pointer_bytes);
    }
    table_end(b, start);
    return start;
}

static void build_rsdp(struct builder *b, uint8_t rsdp[ACPI_RSDP_BYTES], size_t rsdt, size_t xsdt)
{
    memset(rsdp, 0, ACPI_RSDP_BYTES);
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "VMRR  ", 6);
    rsdp[15] = 2;
    store(rsdp + 16, rsdt, 4);
    store(rsdp + 20, ACPI_RSDP_BYTES, 4);
    store(rsdp + 24, xsdt, 8);
    loader_add_pointer(&b->loader, ACPI_FILE_RSDP, 16, 4);
    loader_add_pointer(&b->loader, ACPI_FILE_RSDP, 24, 8);
    loader_add_checksum(&b->loader, ACPI_FILE_RSDP, 8, 0, 20);
    loader_add_checksum(&b->loader, ACPI_FILE_RSDP, 32, 0, ACPI_RSDP_BYTES);
}

void acpi_files_build(struct acpi_files *files, const struct acpi_options *options)
{
    struct builder b = {.options = options};
    size_t table[4];
    unsigned count = 0;

    loader_allocate(&b.loader, ACPI_FILE_TABLES, 64, LOADER_ZONE_HIGH);
    loader_allocate(&b.loader, ACPI_FILE_RSDP, 16, LOADER_ZONE_FSEG);
    size_t facs = build_facs(&b);
    size_t dsdt = build_dsdt(&b);
    table[count++] = build_fadt(&b, facs, dsdt);
    table[count++] = build_madt(&b);
    if (options->hpet_gpa)
        table[count++] = build_hpet(&b);
    table[count++] = build_waet(&b);
    size_t rsdt = build_root(&b, "RSDT", 4, table, count);
    size_t xsdt = build_root(&b, "XSDT", 8, table, count);
    build_rsdp(&b, files->rsdp, rsdt, xsdt);

    files->tables = b.tables.data;
    files->tables_bytes = b.tables.size;
    files->loader = b.loader.data;
    files->loader_bytes = b.loader.size;
}

void acpi_files_free(struct acpi_files *files)
{
    free(files->tables);
    free(files->loader);
    memset(files, 0, sizeof *files);
}

/* ---- running the script ---- */

struct placed_file {
    const char *name;
    uint8_t *bytes;
    size_t size_bytes;
    uint64_t gpa;
};

static struct placed_file *placed_find(struct placed_file file[2], const uint8_t *name)
{
    for (int i = 0; i < 2; i++) {
        if (!strncmp((const char *)name, file[i].name, LOADER_FILE_NAME_BYTES))
            return &file[i];
    }
    return NULL;
}

static void run_add_pointer(const uint8_t *entry, struct placed_file file[2])
{
    struct placed_file *in = placed_find(file, entry + 4), *to = placed_find(file, entry + 60);
    size_t offset = (size_t)load(entry + 116, 4);
    unsigned size_bytes = entry[120];
    CHECK(in && to && size_bytes <= 8 && offset + size_bytes <= in->size_bytes);
    store(in->bytes + offset, load(in->bytes + offset, size_bytes) + to->gpa, size_bytes);
}

static void run_add_checksum(const uint8_t *entry, struct placed_file file[2])
{
    struct placed_file *in = placed_find(file, entry + 4);
    size_t offset = (size_t)load(entry + 60, 4), start = (size_t)load(entry + 64, 4),
           length = (size_t)load(entry + 68, 4);
    CHECK(in && offset < in->size_bytes && start + length <= in->size_bytes);
    uint8_t sum = 0;
    for (size_t i = start; i < start + length; i++)
        sum = (uint8_t)(sum + in->bytes[i]);
    in->bytes[offset] = (uint8_t)(in->bytes[offset] - sum);
}

void acpi_install(const struct acpi_files *files, struct memory *memory, uint64_t tables_gpa, uint64_t rsdp_gpa)
{
    uint8_t *tables = malloc(files->tables_bytes);
    uint8_t rsdp[ACPI_RSDP_BYTES];
    CHECK(tables);
    memcpy(tables, files->tables, files->tables_bytes);
    memcpy(rsdp, files->rsdp, sizeof rsdp);
    struct placed_file file[2] = {{ACPI_FILE_TABLES, tables, files->tables_bytes, tables_gpa},
                                  {ACPI_FILE_RSDP, rsdp, sizeof rsdp, rsdp_gpa}};

    for (size_t at = 0; at + LOADER_ENTRY_BYTES <= files->loader_bytes; at += LOADER_ENTRY_BYTES) {
        const uint8_t *entry = files->loader + at;
        if (load(entry, 4) == LOADER_ADD_POINTER)
            run_add_pointer(entry, file);
        else if (load(entry, 4) == LOADER_ADD_CHECKSUM)
            run_add_checksum(entry, file);
    }
    memory_write(memory, tables_gpa, tables, files->tables_bytes);
    memory_write(memory, rsdp_gpa, rsdp, sizeof rsdp);
    free(tables);
}
