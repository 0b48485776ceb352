/* Intel 82441FX PCI and Memory Controller (440FX PCIset datasheet, 290549), host bridge.
 * Modelled: identification, PAM (59h..5Fh), DRAM row boundaries and SMRAM as storage.
 * Not modelled: SMM space, DRAM timing, ECC and error reporting, the memory gap (FDHC); PCI-side masters see the same
 * shadowing as the CPU does. A segment that is write-only shows the ROM, and its writes come through an MMIO mapping
 * to the RAM below. Such writes are slow; no firmware here uses them, since SeaBIOS copies with reads and writes on. */
#include "devices/i440fx.h"

#include <string.h>

#define SEGMENTS 13
#define SEGMENTS_START 0xC0000u
#define SEGMENTS_END 0x100000u
#define SEGMENT_BYTES 0x4000u
#define BIOS_SEGMENT_BYTES 0x10000u /* the first: F0000h..FFFFFh */
#define PAM0 0x59
#define PAM_COUNT 7
#define DRB0 0x60
#define DRB_COUNT 8
#define SMRAM 0x72
#define READ_ENABLE 1u
#define WRITE_ENABLE 2u

#define I440FX_STATE(S, A, N, T) N(T, struct pci_function, pci, 1, pci_function_fields)

struct segment {
    uint32_t gpa, size_bytes;
    struct memory_map *rom; /* ROM, or nothing: all ones */
    struct memory_map *ram;
};

struct i440fx {
    struct device device;
    STATE_MEMBERS(I440FX_STATE)
    struct memory_block *ram;
    struct segment segment[SEGMENTS];
};
STATE_TABLE(i440fx_fields, struct i440fx, I440FX_STATE);

/* PAM0 has the BIOS segment in its high half; PAM1..6 have two segments of 16 KiB each, the lower one in the low
 * half. */
static unsigned segment_attributes(const struct i440fx *chip, unsigned segment)
{
    unsigned nibble = segment + 1;
    return chip->pci->config[PAM0 + nibble / 2] >> (4 * (nibble & 1)) & (READ_ENABLE | WRITE_ENABLE);
}

static void apply_pam(struct i440fx *chip)
{
    struct memory *memory = machine_memory(chip->device.machine);
    memory_transaction_begin(memory);
    for (unsigned n = 0; n < SEGMENTS; n++) {
        const struct segment *segment = &chip->segment[n];
        unsigned attributes = segment_attributes(chip, n);
        memory_map_set(memory, segment->ram, segment->gpa, attributes & WRITE_ENABLE ? MEMORY_RAM : MEMORY_ROM,
                       attributes & READ_ENABLE);
    }
    memory_transaction_commit(memory);
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    if (offset < PAM0 + PAM_COUNT && PAM0 < offset + size_bytes)
        apply_pam(opaque);
}

/* ---- write-only segments ---- */

static const struct segment *segment_at(const struct i440fx *chip, uint32_t gpa, unsigned *index)
{
    *index = gpa >= SEGMENTS_END - BIOS_SEGMENT_BYTES ? 0 : 1 + (gpa - SEGMENTS_START) / SEGMENT_BYTES;
    return &chip->segment[*index];
}

static uint64_t hidden_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    (void)opaque, (void)offset, (void)size_bytes;
    return UINT64_MAX; /* reads find the ROM or the void map: none gets here */
}

/* Through the map, so that whoever keeps decoded code of that RAM hears of it. */
static void hidden_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct i440fx *chip = opaque;
    struct memory *memory = machine_memory(chip->device.machine);
    uint32_t gpa = SEGMENTS_START + (uint32_t)offset;
    uint8_t bytes[8];
    unsigned index;
    const struct segment *segment = segment_at(chip, gpa, &index);
    if (segment_attributes(chip, index) != WRITE_ENABLE)
        return;
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[n] = (uint8_t)(value >> (8 * n));
    memory_map_set(memory, segment->ram, segment->gpa, MEMORY_RAM, true);
    memory_write(memory, gpa, bytes, size_bytes);
    memory_map_set(memory, segment->ram, segment->gpa, MEMORY_RAM, false);
}

/* ---- the device ---- */

static void i440fx_reset(struct device *device)
{
    struct i440fx *chip = device_of(device, struct i440fx);
    pci_function_reset(chip->pci);
    apply_pam(chip);
}

static void i440fx_post_load(struct device *device)
{
    apply_pam(device_of(device, struct i440fx));
}

static const struct device_class i440fx_class = {
    .name = "i440fx",
    .version = 1,
    .size = sizeof(struct i440fx),
    .fields = i440fx_fields,
    .reset = i440fx_reset,
    .post_load = i440fx_post_load,
};

static void define_registers(struct i440fx *chip, bool bios)
{
    struct pci_function *pci = chip->pci;
    uint64_t rows = memory_ram_bytes(machine_memory(chip->device.machine)) >> 23; /* units of 8 MiB */
    pci_function_define(pci, PCI_COMMAND, 2, 0x0006, 0x0100);
    pci_function_define(pci, PCI_STATUS, 2, 0x0280, 0);
    pci->clear_mask[PCI_STATUS + 1] = 0xF9;
    for (unsigned n = 0; n < PAM_COUNT; n++)
        pci_function_define(pci, PAM0 + n, 1, bios ? 0x00 : n ? 0x33 : 0x30, n ? 0x33 : 0x30);
    for (unsigned n = 0; n < DRB_COUNT; n++)
        pci_function_define(pci, DRB0 + n, 1, rows < 0xFF ? (uint32_t)rows : 0xFF, 0xFF);
    pci_function_define(pci, SMRAM, 1, 0x02, 0x7F);
}

/* Maps a segment: below its RAM lies the ROM's image of it, or ones. */
static void map_segment(struct i440fx *chip, struct segment *segment, struct memory_block *bios,
                        struct memory_block *nothing)
{
    struct memory *memory = machine_memory(chip->device.machine);
    uint32_t below_end = SEGMENTS_END - segment->gpa;
    bool in_bios = bios && below_end <= bios->size_bytes && below_end <= 0x20000;
    segment->rom = memory_map_block(memory, segment->gpa, segment->size_bytes, in_bios ? bios : nothing,
                                    in_bios ? bios->size_bytes - below_end : 0, MEMORY_ROM, I440FX_MAP_PRIORITY);
    segment->ram = memory_map_block(memory, segment->gpa, segment->size_bytes, chip->ram, segment->gpa, MEMORY_RAM,
                                    I440FX_MAP_PRIORITY + 1);
}

static void map_segments(struct i440fx *chip, struct memory_block *bios)
{
    struct memory *memory = machine_memory(chip->device.machine);
    struct memory_block *nothing = memory_add_block(memory, "void", BIOS_SEGMENT_BYTES, false, NULL);
    CHECK(nothing);
    memset(nothing->host, 0xFF, nothing->size_bytes);
    memory_transaction_begin(memory);
    for (unsigned n = 0; n < SEGMENTS; n++) {
        struct segment *segment = &chip->segment[n];
        segment->gpa = n ? SEGMENTS_START + (n - 1) * SEGMENT_BYTES : SEGMENTS_END - BIOS_SEGMENT_BYTES;
        segment->size_bytes = n ? SEGMENT_BYTES : BIOS_SEGMENT_BYTES;
        map_segment(chip, segment, bios, nothing);
    }
    memory_transaction_commit(memory);
}

struct device *i440fx_create(struct machine *machine, struct pci_bus *bus, const struct i440fx_options *options)
{
    static const struct pci_identity identity = {.vendor = 0x8086,
                                                 .device = 0x1237,
                                                 .revision = 0x02,
                                                 .class_base = 0x06,
                                                 .subsystem_vendor = 0x1AF4,
                                                 .subsystem = 0x1100};
    static const struct pci_function_ops ops = {.config_written = config_written};
    static const struct bus_ops hidden_ops = {hidden_read, hidden_write, 8};
    struct i440fx *chip = device_alloc(&i440fx_class, machine, "i440fx");
    chip->ram = options->ram;
    pci_function_init(chip->pci, bus, 0, 0, &identity, &ops, chip);
    define_registers(chip, options->bios);
    map_segments(chip, options->bios);
    bus_map_mmio(machine_bus(machine), SEGMENTS_START, SEGMENTS_END - SEGMENTS_START, &hidden_ops, chip, "pam");
    machine_add_device(machine, &chip->device);
    return &chip->device;
}
