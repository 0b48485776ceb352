/* PCI bus 0: PCI Local Bus Specification 2.1, 3.7.4.1 (configuration mechanism #1) and 6 (configuration space).
 * Capabilities (6.7), 64-bit BARs (6.2.5.1) and the messages of MSI (6.8) are those of revision 2.2 and later.
 * Not modelled: other buses and bridges, mechanism #2, special cycles, parity and error reporting, latency timers.
 * CONFIG_ADDRESS answers to dwords only, as on the 440FX; other accesses there pass it by. */
#include "devices/pci_bus.h"

#include <string.h>

#define PCI_SLOTS 32
#define PCI_FUNCTIONS 8
#define CONFIG_ADDRESS_PORT 0xCF8
#define CONFIG_DATA_PORT 0xCFC
#define CONFIG_ENABLE 0x80000000u
#define CONFIG_ADDRESS_BITS 0x80FFFFFCu
#define HEADER_MULTIFUNCTION 0x80
#define STATUS_INTERRUPT 0x0008u
#define STATUS_CAPABILITIES 0x0010u
#define CAPABILITIES_START 0x40u
#define ROM_ENABLE 0x00000001u
#define BAR_IO 0x1u
#define BAR_64 0x4u
#define BAR_PREFETCH 0x8u
#define ADDRESS_END (1ull << 52) /* of what an x86 can address at all */
#define MSI_FIRST_GPA 0xFEE00000ull
#define MSI_LAST_GPA 0xFEEFFFFFull

const struct state_field pci_function_fields[] = {
    PCI_FUNCTION_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct pci_function){.name = NULL}};

#define PCI_BUS_STATE(S, A, N, T)                                                                                      \
    S(T, uint32_t, address)                                                                                            \
    A(T, bool, pirq_level, PCI_PIRQS)

struct pci_bus {
    struct device device;
    STATE_MEMBERS(PCI_BUS_STATE)
    struct pci_function *function[PCI_SLOTS][PCI_FUNCTIONS];
    void (*set_pirq)(void *opaque, unsigned pirq, bool level);
    void *router;
    void (*send_msi)(void *opaque, uint64_t address, uint32_t data);
    void *msi_opaque;
};
STATE_TABLE(pci_bus_fields, struct pci_bus, PCI_BUS_STATE);

/* ---- a function's registers ---- */

uint32_t pci_function_get(const struct pci_function *function, unsigned offset, unsigned size_bytes)
{
    uint32_t value = 0;
    for (unsigned n = 0; n < size_bytes && offset + n < PCI_CONFIG_BYTES; n++)
        value |= (uint32_t)function->config[offset + n] << (8 * n);
    return value;
}

void pci_function_set(struct pci_function *function, unsigned offset, unsigned size_bytes, uint32_t value)
{
    for (unsigned n = 0; n < size_bytes && offset + n < PCI_CONFIG_BYTES; n++)
        function->config[offset + n] = (uint8_t)(value >> (8 * n));
}

static void put(uint8_t *bytes, unsigned offset, unsigned size_bytes, uint32_t value)
{
    CHECK(offset + size_bytes <= PCI_CONFIG_BYTES);
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[offset + n] = (uint8_t)(value >> (8 * n));
}

void pci_function_define(struct pci_function *function, unsigned offset, unsigned size_bytes, uint32_t reset_value,
                         uint32_t write_mask)
{
    put(function->reset_config, offset, size_bytes, reset_value);
    put(function->write_mask, offset, size_bytes, write_mask);
}

/* ---- base address registers ---- */

static unsigned bar_offset(unsigned bar)
{
    return bar == PCI_BAR_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * bar;
}

static bool bar_is_64(const struct pci_bar *bar)
{
    return bar->kind == PCI_BAR_MEMORY_64 || bar->kind == PCI_BAR_MEMORY_64_PREFETCH;
}

static bool bar_decodes(const struct pci_function *function, unsigned bar, uint64_t *base)
{
    const struct pci_bar *info = &function->bar[bar];
    uint32_t command = pci_function_get(function, PCI_COMMAND, 2);
    uint64_t value = pci_function_get(function, bar_offset(bar), 4);
    bool io = info->kind == PCI_BAR_IO, wide = bar_is_64(info);
    if (wide)
        value |= (uint64_t)pci_function_get(function, bar_offset(bar + 1), 4) << 32;
    *base = value & ~(info->size_bytes - 1);
    if (!(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return false;
    if (info->kind == PCI_BAR_EXPANSION_ROM && !(value & ROM_ENABLE))
        return false;
    /* Zero: not placed yet. The end of the space: all ones, written to learn the size. */
    uint64_t end = io ? 0x10000u : wide && *base >> 32 ? ADDRESS_END : 0x100000000ull;
    return *base && *base < end && info->size_bytes < end - *base;
}

void pci_function_update_bars(struct pci_function *function)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *info = &function->bar[n];
        uint64_t base;
        if (info->kind == PCI_BAR_NONE)
            continue;
        bool mapped = bar_decodes(function, n, &base);
        if (mapped == info->mapped && (!mapped || base == info->mapped_base))
            continue;
        info->mapped = mapped;
        info->mapped_base = base;
        if (function->ops && function->ops->bar_changed)
            function->ops->bar_changed(function->opaque, n, base, mapped);
    }
}

static uint32_t bar_flags(enum pci_bar_kind kind)
{
    switch (kind) {
    case PCI_BAR_IO: return BAR_IO;
    case PCI_BAR_MEMORY_PREFETCH: return BAR_PREFETCH;
    case PCI_BAR_MEMORY_64: return BAR_64;
    case PCI_BAR_MEMORY_64_PREFETCH: return BAR_64 | BAR_PREFETCH;
    default: return 0;
    }
}

void pci_function_add_bar(struct pci_function *function, unsigned bar, enum pci_bar_kind kind, uint64_t size_bytes)
{
    uint32_t mask = ~(uint32_t)(size_bytes - 1) | (kind == PCI_BAR_EXPANSION_ROM ? ROM_ENABLE : 0);
    CHECK(bar < PCI_BARS && (bar == PCI_BAR_ROM) == (kind == PCI_BAR_EXPANSION_ROM));
    CHECK(size_bytes >= 4 && size_bytes <= 1u << 31 && !(size_bytes & (size_bytes - 1)));
    function->bar[bar] = (struct pci_bar){.kind = kind, .size_bytes = size_bytes};
    pci_function_define(function, bar_offset(bar), 4, bar_flags(kind), mask);
    if (bar_is_64(&function->bar[bar])) {
        CHECK(bar + 1 < PCI_BAR_ROM && function->bar[bar + 1].kind == PCI_BAR_NONE);
        pci_function_define(function, bar_offset(bar + 1), 4, 0, UINT32_MAX);
    }
    function->write_mask[PCI_COMMAND] |= kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    pci_function_set(function, bar_offset(bar), 4, bar_flags(kind));
}

/* ---- capabilities ---- */

/* The pointer that ends the list: that of the header, or in the last capability. */
static unsigned last_pointer(const struct pci_function *function)
{
    unsigned at = PCI_CAPABILITIES;
    while (function->reset_config[at])
        at = function->reset_config[at] + 1u;
    return at;
}

unsigned pci_function_add_capability(struct pci_function *function, uint8_t id, unsigned size_bytes)
{
    unsigned offset = function->capabilities_end ? function->capabilities_end : CAPABILITIES_START;
    CHECK(size_bytes >= 2 && offset + size_bytes <= PCI_CONFIG_BYTES);
    function->reset_config[last_pointer(function)] = (uint8_t)offset;
    function->reset_config[PCI_STATUS] |= STATUS_CAPABILITIES;
    pci_function_define(function, offset, 2, id, 0);
    function->capabilities_end = (offset + size_bytes + 3) & ~3u;
    memcpy(function->config, function->reset_config, sizeof function->config);
    return offset;
}

/* ---- plugging in ---- */

void pci_function_init(struct pci_function *function, struct pci_bus *bus, unsigned slot, unsigned number,
                       const struct pci_identity *identity, const struct pci_function_ops *ops, void *opaque)
{
    CHECK(slot < PCI_SLOTS && number < PCI_FUNCTIONS && !bus->function[slot][number]);
    bus->function[slot][number] = function;
    function->bus = bus;
    function->slot = slot;
    function->function = number;
    function->ops = ops;
    function->opaque = opaque;
    pci_function_define(function, PCI_VENDOR_ID, 2, identity->vendor, 0);
    pci_function_define(function, PCI_DEVICE_ID, 2, identity->device, 0);
    pci_function_define(function, PCI_COMMAND, 2, 0, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    pci_function_define(function, PCI_REVISION, 1, identity->revision, 0);
    pci_function_define(function, PCI_CLASS_PROG, 1, identity->class_prog, 0);
    pci_function_define(function, PCI_CLASS_SUB, 1, identity->class_sub, 0);
    pci_function_define(function, PCI_CLASS_BASE, 1, identity->class_base, 0);
    pci_function_define(function, PCI_HEADER_TYPE, 1, identity->multifunction ? HEADER_MULTIFUNCTION : 0, 0);
    pci_function_define(function, PCI_SUBSYSTEM_VENDOR, 2, identity->subsystem_vendor, 0);
    pci_function_define(function, PCI_SUBSYSTEM, 2, identity->subsystem, 0);
    pci_function_define(function, PCI_INTERRUPT_PIN, 1, identity->interrupt_pin, 0);
    pci_function_define(function, PCI_INTERRUPT_LINE, 1, 0, identity->interrupt_pin ? 0xFF : 0);
    memcpy(function->config, function->reset_config, sizeof function->config);
}

struct machine *pci_function_machine(const struct pci_function *function)
{
    return function->bus->device.machine;
}

/* ---- interrupts ---- */

static unsigned pirq_of(const struct pci_function *function)
{
    return (function->slot - 1 + function->config[PCI_INTERRUPT_PIN] - 1u) & (PCI_PIRQS - 1);
}

static bool drives(const struct pci_function *function)
{
    return function->config[PCI_INTERRUPT_PIN] && function->intx_level &&
           !(pci_function_get(function, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
}

static void update_pirq(struct pci_bus *bus, unsigned pirq)
{
    bool level = false;
    for (unsigned slot = 0; slot < PCI_SLOTS && !level; slot++) {
        for (unsigned number = 0; number < PCI_FUNCTIONS && !level; number++) {
            const struct pci_function *function = bus->function[slot][number];
            level = function && drives(function) && pirq_of(function) == pirq;
        }
    }
    if (level == bus->pirq_level[pirq])
        return;
    bus->pirq_level[pirq] = level;
    if (bus->set_pirq)
        bus->set_pirq(bus->router, pirq, level);
}

void pci_function_set_intx(struct pci_function *function, bool level)
{
    if (function->intx_level == level || !function->config[PCI_INTERRUPT_PIN])
        return;
    function->intx_level = level;
    function->config[PCI_STATUS] =
        (uint8_t)((function->config[PCI_STATUS] & ~STATUS_INTERRUPT) | (level ? STATUS_INTERRUPT : 0));
    update_pirq(function->bus, pirq_of(function));
}

void pci_bus_set_router(struct pci_bus *bus, void (*set_pirq)(void *opaque, unsigned pirq, bool level), void *opaque)
{
    bus->set_pirq = set_pirq;
    bus->router = opaque;
}

void pci_bus_set_msi(struct pci_bus *bus, void (*send)(void *opaque, uint64_t address, uint32_t data), void *opaque)
{
    bus->send_msi = send;
    bus->msi_opaque = opaque;
}

void pci_function_send_msi(struct pci_function *function, uint64_t address, uint32_t data)
{
    struct pci_bus *bus = function->bus;
    if (!(pci_function_get(function, PCI_COMMAND, 2) & PCI_COMMAND_MASTER))
        return;
    if (address < MSI_FIRST_GPA || address > MSI_LAST_GPA)
        memory_write_u32(machine_memory(bus->device.machine), address, data);
    else if (bus->send_msi)
        bus->send_msi(bus->msi_opaque, address, data);
}

void pci_function_reset(struct pci_function *function)
{
    pci_function_set_intx(function, false);
    memcpy(function->config, function->reset_config, sizeof function->config);
    pci_function_update_bars(function);
}

void pci_function_post_load(struct pci_function *function)
{
    pci_function_update_bars(function);
}

/* ---- configuration cycles ---- */

static struct pci_function *function_at(const struct pci_bus *bus, unsigned slot, unsigned number)
{
    return slot < PCI_SLOTS && number < PCI_FUNCTIONS ? bus->function[slot][number] : NULL;
}

uint32_t pci_bus_config_read(struct pci_bus *bus, unsigned slot, unsigned number, unsigned offset, unsigned size_bytes)
{
    struct pci_function *function = function_at(bus, slot, number);
    if (function && function->ops && function->ops->config_reading)
        function->ops->config_reading(function->opaque, offset, size_bytes);
    return function ? pci_function_get(function, offset, size_bytes) : UINT32_MAX >> (32 - 8 * size_bytes);
}

static bool touches(unsigned offset, unsigned size_bytes, unsigned start, unsigned end)
{
    return offset < end && start < offset + size_bytes;
}

void pci_bus_config_write(struct pci_bus *bus, unsigned slot, unsigned number, unsigned offset, uint32_t value,
                          unsigned size_bytes)
{
    struct pci_function *function = function_at(bus, slot, number);
    if (!function)
        return;
    for (unsigned n = 0; n < size_bytes && offset + n < PCI_CONFIG_BYTES; n++) {
        uint8_t *byte = &function->config[offset + n], new_bits = (uint8_t)(value >> (8 * n));
        uint8_t mask = function->write_mask[offset + n];
        *byte = (uint8_t)((*byte & ~mask) | (new_bits & mask));
        *byte &= (uint8_t) ~(new_bits & function->clear_mask[offset + n]);
    }
    if (touches(offset, size_bytes, PCI_COMMAND, PCI_COMMAND + 2) ||
        touches(offset, size_bytes, PCI_BAR0, PCI_BAR0 + 24) ||
        touches(offset, size_bytes, PCI_ROM_BAR, PCI_ROM_BAR + 4))
        pci_function_update_bars(function);
    if (touches(offset, size_bytes, PCI_COMMAND, PCI_COMMAND + 2) && function->config[PCI_INTERRUPT_PIN])
        update_pirq(bus, pirq_of(function));
    if (function->ops && function->ops->config_written)
        function->ops->config_written(function->opaque, offset, size_bytes);
}

/* ---- ports ---- */

static uint64_t address_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    const struct pci_bus *bus = opaque;
    return offset == 0 && size_bytes == 4 ? bus->address : UINT64_MAX;
}

static void address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct pci_bus *bus = opaque;
    if (offset == 0 && size_bytes == 4)
        bus->address = (uint32_t)value & CONFIG_ADDRESS_BITS;
}

static bool selects_bus_0(const struct pci_bus *bus)
{
    return (bus->address & CONFIG_ENABLE) && !(bus->address >> 16 & 0xFF);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    struct pci_bus *bus = opaque;
    if (!selects_bus_0(bus))
        return UINT64_MAX;
    return pci_bus_config_read(bus, bus->address >> 11 & 31, bus->address >> 8 & 7,
                               (bus->address & 0xFC) + (unsigned)offset, size_bytes);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct pci_bus *bus = opaque;
    if (selects_bus_0(bus))
        pci_bus_config_write(bus, bus->address >> 11 & 31, bus->address >> 8 & 7,
                             (bus->address & 0xFC) + (unsigned)offset, (uint32_t)value, size_bytes);
}

static void pci_bus_reset(struct device *device)
{
    device_of(device, struct pci_bus)->address = 0;
}

static const struct device_class pci_bus_class = {
    .name = "pci_bus",
    .version = 1,
    .size = sizeof(struct pci_bus),
    .fields = pci_bus_fields,
    .reset = pci_bus_reset,
};

struct pci_bus *pci_bus_create(struct machine *machine)
{
    static const struct bus_ops address_ops = {address_read, address_write, 4};
    static const struct bus_ops data_ops = {data_read, data_write, 4};
    struct pci_bus *bus = device_alloc(&pci_bus_class, machine, "pci");
    bus_map_io(machine_bus(machine), CONFIG_ADDRESS_PORT, 4, &address_ops, bus, "pci-address");
    bus_map_io(machine_bus(machine), CONFIG_DATA_PORT, 4, &data_ops, bus, "pci-data");
    machine_add_device(machine, &bus->device);
    return bus;
}
