/* SMBIOS 2.8 (DMTF DSP0134): types 0, 1, 3, 4, 16, 17, 19, 32, 127. One processor, one memory device, an anchor of
 * the 32-bit kind ("_SM_").
 *
 * Serial numbers and UUID are fixed: every machine is the same. Not modelled: baseboard, caches, slots, 64-bit anchor. */
#include "devices/smbios.h"

#include <stdlib.h>
#include <string.h>

#define TABLES_MAX 2048u

enum smbios_handle {
    HANDLE_BIOS = 0x0000,
    HANDLE_SYSTEM = 0x0100,
    HANDLE_CHASSIS = 0x0300,
    HANDLE_PROCESSOR = 0x0400,
    HANDLE_MEMORY_ARRAY = 0x1000,
    HANDLE_MEMORY_DEVICE = 0x1100,
    HANDLE_MEMORY_MAP = 0x1300,
    HANDLE_BOOT = 0x2000,
    HANDLE_END = 0x7F00,
};

struct builder {
    uint8_t bytes[TABLES_MAX];
    size_t size, start;
    unsigned count, strings;
    size_t largest;
};

static uint8_t *begin(struct builder *b, unsigned type, unsigned length, enum smbios_handle handle)
{
    CHECK(b->size + length + 2 <= TABLES_MAX);
    uint8_t *out = b->bytes + b->size;
    b->start = b->size;
    b->size += length;
    b->strings = 0;
    out[0] = (uint8_t)type;
    out[1] = (uint8_t)length;
    out[2] = (uint8_t)handle;
    out[3] = (uint8_t)(handle >> 8);
    return out;
}

/* Appends to the string set behind the structure just begun; gives the number that refers to it. */
static uint8_t string(struct builder *b, const char *text)
{
    size_t bytes = strlen(text) + 1;
    CHECK(b->size + bytes + 2 <= TABLES_MAX);
    memcpy(b->bytes + b->size, text, bytes);
    b->size += bytes;
    return (uint8_t)++b->strings;
}

static void end(struct builder *b)
{
    b->size += b->strings ? 1 : 2; /* the set ends with an empty string, an empty set with two zeros */
    b->count++;
    if (b->size - b->start > b->largest)
        b->largest = b->size - b->start;
}

static void store(uint8_t *out, uint64_t value, unsigned size_bytes)
{
    for (unsigned i = 0; i < size_bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static void put_bios(struct builder *b)
{
    uint8_t *t = begin(b, 0, 24, HANDLE_BIOS);
    t[4] = string(b, "vmrr");
    t[5] = string(b, "1");
    store(t + 6, 0xE800, 2);
    t[8] = string(b, "01/01/2024");
    store(t + 10, 1u << 3, 8); /* characteristics: not given */
    t[18] = 0x01;              /* ACPI */
    t[19] = 0x14;              /* targeted content distribution, a virtual machine */
    t[20] = 1;
    t[22] = t[23] = 0xFF;
    end(b);
}

static void put_system(struct builder *b)
{
    uint8_t *t = begin(b, 1, 27, HANDLE_SYSTEM);
    t[4] = string(b, "vmrr");
    t[5] = string(b, "PC (i440FX + PIIX)");
    t[6] = string(b, "1");
    t[7] = string(b, "0");
    memset(t + 8, 0, 16); /* UUID: not set */
    t[24] = 0x06;         /* wake-up: power switch */
    end(b);
}

static void put_chassis(struct builder *b)
{
    uint8_t *t = begin(b, 3, 22, HANDLE_CHASSIS);
    t[4] = string(b, "vmrr");
    t[5] = 0x01;                 /* other */
    t[9] = t[10] = t[11] = 0x03; /* safe */
    t[12] = 0x02;
    end(b);
}

static void put_processor(struct builder *b, uint64_t signature)
{
    uint8_t *t = begin(b, 4, 42, HANDLE_PROCESSOR);
    t[4] = string(b, "CPU 0");
    t[5] = 0x03; /* central processor */
    t[6] = 0x01; /* family: other */
    t[7] = string(b, "vmrr");
    store(t + 8, signature, 8);
    t[16] = string(b, "1");
    store(t + 20, 1000, 2); /* MHz */
    store(t + 22, 1000, 2);
    t[24] = 0x41; /* populated, enabled */
    t[25] = 0x01;
    store(t + 26, 0xFFFF, 2); /* no cache handles */
    store(t + 28, 0xFFFF, 2);
    store(t + 30, 0xFFFF, 2);
    t[35] = t[36] = t[37] = 1; /* cores, enabled, threads */
    store(t + 38, 0x0004, 2);  /* 64 bits */
    store(t + 40, 0x0001, 2);
    end(b);
}

static void put_memory(struct builder *b, uint64_t low_bytes, uint64_t high_bytes)
{
    uint64_t mib = (low_bytes + high_bytes) >> 20;
    uint8_t *t = begin(b, 16, 23, HANDLE_MEMORY_ARRAY);
    t[4] = 0x01;
    t[5] = 0x03; /* system memory */
    t[6] = 0x06; /* multi-bit error correction */
    store(t + 7, mib << 10, 4);
    store(t + 11, 0xFFFE, 2);
    store(t + 13, 1, 2);
    end(b);

    t = begin(b, 17, 40, HANDLE_MEMORY_DEVICE);
    store(t + 4, HANDLE_MEMORY_ARRAY, 2);
    store(t + 6, 0xFFFE, 2);
    store(t + 8, 64, 2);
    store(t + 10, 64, 2);
    store(t + 12, mib, 2);
    t[14] = 0x09; /* DIMM */
    t[16] = string(b, "DIMM 0");
    t[18] = 0x07; /* RAM */
    store(t + 19, 0x0002, 2);
    t[23] = string(b, "vmrr");
    end(b);
}

static void put_memory_map(struct builder *b, unsigned index, uint64_t start, uint64_t size_bytes)
{
    uint8_t *t = begin(b, 19, 31, HANDLE_MEMORY_MAP + index);
    bool above = start + size_bytes > 0xFFFFFFFFull;
    store(t + 4, above ? 0xFFFFFFFFull : start >> 10, 4);
    store(t + 8, above ? 0xFFFFFFFFull : (start + size_bytes - 1) >> 10, 4);
    store(t + 12, HANDLE_MEMORY_ARRAY, 2);
    t[14] = 1;
    if (above) {
        store(t + 15, start, 8);
        store(t + 23, start + size_bytes - 1, 8);
    }
    end(b);
}

static void put_boot(struct builder *b)
{
    begin(b, 32, 11, HANDLE_BOOT); /* boot status: no errors */
    end(b);
    begin(b, 127, 4, HANDLE_END);
    end(b);
}

static void build_anchor(uint8_t *anchor, const struct builder *b)
{
    memset(anchor, 0, SMBIOS_ANCHOR_BYTES);
    memcpy(anchor, "_SM_", 4);
    anchor[5] = SMBIOS_ANCHOR_BYTES;
    anchor[6] = 2;
    anchor[7] = 8;
    store(anchor + 8, b->largest, 2);
    memcpy(anchor + 16, "_DMI_", 5);
    store(anchor + 22, b->size, 2);
    store(anchor + 28, b->count, 2);
    anchor[30] = 0x28;
}

void smbios_files_build(struct smbios_files *files, uint64_t low_bytes, uint64_t high_bytes, uint64_t cpu_signature)
{
    struct builder *b = calloc(1, sizeof *b);
    CHECK(b);
    put_bios(b);
    put_system(b);
    put_chassis(b);
    put_processor(b, cpu_signature);
    put_memory(b, low_bytes, high_bytes);
    put_memory_map(b, 0, 0, low_bytes);
    if (high_bytes)
        put_memory_map(b, 1, MEMORY_HOLE_END, high_bytes);
    put_boot(b);
    build_anchor(files->anchor, b);
    files->tables_bytes = b->size;
    files->tables = malloc(b->size);
    CHECK(files->tables);
    memcpy(files->tables, b->bytes, b->size);
    free(b);
}

void smbios_files_free(struct smbios_files *files)
{
    free(files->tables);
    memset(files, 0, sizeof *files);
}

static void set_checksum(uint8_t *bytes, size_t size_bytes, size_t at)
{
    uint8_t sum = 0;
    bytes[at] = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[at] = (uint8_t)-sum;
}

void smbios_install(const struct smbios_files *files, struct memory *memory, uint64_t tables_gpa, uint64_t anchor_gpa)
{
    uint8_t anchor[SMBIOS_ANCHOR_BYTES];
    memcpy(anchor, files->anchor, sizeof anchor);
    store(anchor + 24, tables_gpa, 4);
    set_checksum(anchor + 16, 15, 5);
    set_checksum(anchor, sizeof anchor, 4);
    memory_write(memory, tables_gpa, files->tables, files->tables_bytes);
    memory_write(memory, anchor_gpa, anchor, sizeof anchor);
}
