/* fw_cfg firmware configuration device: the interface of QEMU's docs/specs/fw_cfg, as SeaBIOS and Linux know it.
 *
 * 510h  16-bit selector, write only: picks an item and rewinds it
 * 511h  8-bit data: the item's bytes in order, zeros behind its end
 * 514h  64-bit DMA address register, big-endian, as two 32-bit halves: writing the low half (518h) starts the transfer
 *       described there {u32 control, u32 length, u64 address}, all big-endian. Reads give "QEMU CFG".
 *
 * Transfers take no virtual time. Not modelled: writable items (a write gives the error bit), the file names that
 * platform firmware other than SeaBIOS asks for. */
#include "devices/fw_cfg.h"

#include "core/machine.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define PORT_SELECTOR 0x510
#define PORT_DMA 0x514

#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u
#define DMA_SIGNATURE 0x51454D5520434647ull /* "QEMU CFG" */

#define ITEMS_MAX 192u
#define DIRECTORY_ENTRY_BYTES 64u

struct fw_cfg_item {
    uint16_t key;
    const uint8_t *bytes;
    uint32_t size_bytes;
    uint8_t *owned; /* what destroy frees */
};

#define FW_CFG_STATE(S, A, N, T)                                                                                       \
    S(T, uint16_t, selector)                                                                                           \
    S(T, uint32_t, offset)                                                                                             \
    S(T, uint32_t, dma_address_high)                                                                                   \
    S(T, uint64_t, items_hash) /* of all there is to read: the digest tells what was offered */

struct fw_cfg {
    struct device device;
    STATE_MEMBERS(FW_CFG_STATE)
    struct fw_cfg_item item[ITEMS_MAX];
    unsigned item_count;
    unsigned file_count;
    uint8_t directory[4 + FW_CFG_FILES_MAX * DIRECTORY_ENTRY_BYTES];
};
STATE_TABLE(fw_cfg_fields, struct fw_cfg, FW_CFG_STATE);

static void store_be32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t load_be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* ---- items ---- */

static struct fw_cfg_item *find_item(struct fw_cfg *fw_cfg, uint16_t key)
{
    for (unsigned i = 0; i < fw_cfg->item_count; i++) {
        if (fw_cfg->item[i].key == key)
            return &fw_cfg->item[i];
    }
    return NULL;
}

static void add_item(struct fw_cfg *fw_cfg, uint16_t key, const uint8_t *bytes, size_t size_bytes, uint8_t *owned)
{
    CHECK(fw_cfg->item_count < ITEMS_MAX);
    CHECK(!find_item(fw_cfg, key));
    CHECK(size_bytes <= UINT32_MAX);
    fw_cfg->item[fw_cfg->item_count++] = (struct fw_cfg_item){key, bytes, (uint32_t)size_bytes, owned};
    fw_cfg->items_hash = XXH3_64bits_withSeed(bytes, size_bytes, fw_cfg->items_hash + key);
}

static uint8_t *copy_bytes(const void *bytes, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes ? size_bytes : 1);
    CHECK(copy);
    if (size_bytes)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

void fw_cfg_add_bytes(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size_bytes)
{
    uint8_t *copy = copy_bytes(bytes, size_bytes);
    add_item(fw_cfg, key, copy, size_bytes, copy);
}

void fw_cfg_add_borrowed(struct fw_cfg *fw_cfg, uint16_t key, const void *bytes, size_t size_bytes)
{
    add_item(fw_cfg, key, bytes, size_bytes, NULL);
}

void fw_cfg_add_u16(struct fw_cfg *fw_cfg, uint16_t key, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    fw_cfg_add_bytes(fw_cfg, key, bytes, sizeof bytes);
}

void fw_cfg_add_u64(struct fw_cfg *fw_cfg, uint16_t key, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    fw_cfg_add_bytes(fw_cfg, key, bytes, sizeof bytes);
}

static void add_file(struct fw_cfg *fw_cfg, const char *name, const uint8_t *bytes, size_t size_bytes, uint8_t *owned)
{
    CHECK(fw_cfg->file_count < FW_CFG_FILES_MAX);
    CHECK(strlen(name) < FW_CFG_FILE_NAME_BYTES);
    uint16_t key = (uint16_t)(FW_CFG_FILE_FIRST + fw_cfg->file_count);
    uint8_t *entry = fw_cfg->directory + 4 + fw_cfg->file_count * DIRECTORY_ENTRY_BYTES;
    add_item(fw_cfg, key, bytes, size_bytes, owned);
    store_be32(entry, (uint32_t)size_bytes);
    entry[4] = (uint8_t)(key >> 8);
    entry[5] = (uint8_t)key;
    memcpy(entry + 8, name, strlen(name));
    fw_cfg->items_hash = XXH3_64bits_withSeed(name, strlen(name), fw_cfg->items_hash);
    store_be32(fw_cfg->directory, ++fw_cfg->file_count);
}

void fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size_bytes)
{
    uint8_t *copy = copy_bytes(bytes, size_bytes);
    add_file(fw_cfg, name, copy, size_bytes, copy);
}

void fw_cfg_add_file_borrowed(struct fw_cfg *fw_cfg, const char *name, const void *bytes, size_t size_bytes)
{
    add_file(fw_cfg, name, bytes, size_bytes, NULL);
}

/* ---- registers ---- */

static void select_item(struct fw_cfg *fw_cfg, uint16_t key)
{
    fw_cfg->selector = key;
    fw_cfg->offset = 0;
}

static uint8_t read_byte(struct fw_cfg *fw_cfg)
{
    const struct fw_cfg_item *item = find_item(fw_cfg, fw_cfg->selector);
    if (!item || fw_cfg->offset >= item->size_bytes)
        return 0;
    return item->bytes[fw_cfg->offset++];
}

static void write_zeros(struct memory *memory, uint64_t gpa, uint64_t size_bytes)
{
    static const uint8_t zeros[MEMORY_PAGE_BYTES];
    while (size_bytes) {
        uint64_t chunk = size_bytes < sizeof zeros ? size_bytes : sizeof zeros;
        memory_write(memory, gpa, zeros, chunk);
        gpa += chunk;
        size_bytes -= chunk;
    }
}

static void dma_advance(struct fw_cfg *fw_cfg, uint64_t gpa, uint32_t length, bool transfer)
{
    struct memory *memory = machine_memory(fw_cfg->device.machine);
    const struct fw_cfg_item *item = find_item(fw_cfg, fw_cfg->selector);
    uint32_t left = item && fw_cfg->offset < item->size_bytes ? item->size_bytes - fw_cfg->offset : 0;
    uint32_t chunk = length < left ? length : left;
    if (transfer) {
        if (chunk)
            memory_write(memory, gpa, item->bytes + fw_cfg->offset, chunk);
        write_zeros(memory, gpa + chunk, length - chunk);
    }
    fw_cfg->offset += chunk;
}

static void dma_run(struct fw_cfg *fw_cfg, uint64_t descriptor_gpa)
{
    struct memory *memory = machine_memory(fw_cfg->device.machine);
    uint8_t descriptor[16];
    memory_read(memory, descriptor_gpa, descriptor, sizeof descriptor);
    uint32_t control = load_be32(descriptor);
    uint32_t length = load_be32(descriptor + 4);
    uint64_t gpa = (uint64_t)load_be32(descriptor + 8) << 32 | load_be32(descriptor + 12);
    uint32_t result = 0;

    if (control & DMA_SELECT)
        select_item(fw_cfg, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        dma_advance(fw_cfg, gpa, length, true);
    else if (control & DMA_WRITE)
        result = DMA_ERROR;
    else if (control & DMA_SKIP)
        dma_advance(fw_cfg, gpa, length, false);
    store_be32(descriptor, result);
    memory_write(memory, descriptor_gpa, descriptor, 4);
}

static uint64_t selector_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct fw_cfg *fw_cfg = opaque;
    if (address == 1 && size_bytes == 1)
        return read_byte(fw_cfg);
    return size_bytes == 1 ? 0xFF : 0xFFFF;
}

static void selector_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct fw_cfg *fw_cfg = opaque;
    if (address == 0 && size_bytes == 2)
        select_item(fw_cfg, (uint16_t)value);
}

static const struct bus_ops selector_ops = {selector_read, selector_write, 2};

static uint64_t dma_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)opaque;
    /* Big-endian register: the byte at the lowest address is the highest. */
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (DMA_SIGNATURE >> (56 - 8 * ((address + i) & 7)) & 0xFF) << (8 * i);
    return value;
}

static void dma_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct fw_cfg *fw_cfg = opaque;
    if (size_bytes != 4)
        return;
    uint32_t half = __builtin_bswap32((uint32_t)value);
    if (address == 0) {
        fw_cfg->dma_address_high = half;
    } else if (address == 4) {
        uint64_t gpa = (uint64_t)fw_cfg->dma_address_high << 32 | half;
        fw_cfg->dma_address_high = 0;
        dma_run(fw_cfg, gpa);
    }
}

static const struct bus_ops dma_ops = {dma_read, dma_write, 4};

/* ---- device ---- */

static void fw_cfg_reset(struct device *device)
{
    struct fw_cfg *fw_cfg = device_of(device, struct fw_cfg);
    select_item(fw_cfg, FW_CFG_SIGNATURE);
    fw_cfg->dma_address_high = 0;
}

static void fw_cfg_destroy(struct device *device)
{
    struct fw_cfg *fw_cfg = device_of(device, struct fw_cfg);
    for (unsigned i = 0; i < fw_cfg->item_count; i++)
        free(fw_cfg->item[i].owned);
}

const struct device_class fw_cfg_class = {
    .name = "fw_cfg",
    .version = 2,
    .size = sizeof(struct fw_cfg),
    .fields = fw_cfg_fields,
    .reset = fw_cfg_reset,
    .destroy = fw_cfg_destroy,
};

struct fw_cfg *fw_cfg_create(struct machine *machine)
{
    static const uint8_t id[4] = {3, 0, 0, 0}; /* traditional interface and DMA */
    struct fw_cfg *fw_cfg = device_alloc(&fw_cfg_class, machine, "fw_cfg");
    struct bus *bus = machine_bus(machine);

    fw_cfg_add_bytes(fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_ID, id, sizeof id);
    add_item(fw_cfg, FW_CFG_FILE_DIR, fw_cfg->directory, sizeof fw_cfg->directory, NULL);
    bus_map_io(bus, PORT_SELECTOR, 2, &selector_ops, fw_cfg, "fw_cfg");
    bus_map_io(bus, PORT_DMA, 8, &dma_ops, fw_cfg, "fw_cfg-dma");
    machine_add_device(machine, &fw_cfg->device);
    return fw_cfg;
}
