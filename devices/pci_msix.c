/* MSI-X: PCI Local Bus Specification 3.0, 6.8.2 (capability 11h, table, pending bit array).
 * Not modelled: steering tags. Accesses that the specification leaves undefined (smaller than a dword) do what they say. */
#include "devices/pci_msix.h"

#include <string.h>

#define CAPABILITY_MSIX 0x11u
#define CAPABILITY_BYTES 12u
#define REG_CONTROL 2u
#define REG_TABLE 4u
#define REG_PENDING 8u
#define CONTROL_MASK_ALL 0x4000u
#define CONTROL_ENABLE 0x8000u

enum entry_word { ENTRY_ADDRESS_LOW, ENTRY_ADDRESS_HIGH, ENTRY_DATA, ENTRY_CONTROL };
#define ENTRY_MASKED 1u
static const uint32_t writable[PCI_MSIX_ENTRY_WORDS] = {~3u, ~0u, ~0u, ENTRY_MASKED};

const struct state_field pci_msix_fields[] = {
    PCI_MSIX_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct pci_msix){.name = NULL}};

static uint32_t *entry_of(struct pci_msix *msix, unsigned vector)
{
    return &msix->table[(size_t)vector * PCI_MSIX_ENTRY_WORDS];
}

static uint32_t control(const struct pci_msix *msix)
{
    return pci_function_get(msix->function, msix->capability + REG_CONTROL, 2);
}

bool pci_msix_enabled(const struct pci_msix *msix)
{
    return control(msix) & CONTROL_ENABLE;
}

static void send(struct pci_msix *msix, unsigned vector)
{
    const uint32_t *entry = entry_of(msix, vector);
    uint64_t address = (uint64_t)entry[ENTRY_ADDRESS_HIGH] << 32 | entry[ENTRY_ADDRESS_LOW];
    pci_function_send_msi(msix->function, address, entry[ENTRY_DATA]);
}

static bool masked(struct pci_msix *msix, unsigned vector)
{
    return (control(msix) & CONTROL_MASK_ALL) || (entry_of(msix, vector)[ENTRY_CONTROL] & ENTRY_MASKED);
}

void pci_msix_notify(struct pci_msix *msix, unsigned vector)
{
    if (vector >= msix->vectors || !pci_msix_enabled(msix))
        return;
    if (masked(msix, vector))
        msix->pending[vector / 32] |= 1u << vector % 32;
    else
        send(msix, vector);
}

/* A vector's masks may have gone: what waited is sent. */
static void release(struct pci_msix *msix, unsigned vector)
{
    uint32_t bit = 1u << vector % 32;
    if (!(msix->pending[vector / 32] & bit) || !pci_msix_enabled(msix) || masked(msix, vector))
        return;
    msix->pending[vector / 32] &= ~bit;
    send(msix, vector);
}

void pci_msix_config_written(struct pci_msix *msix, unsigned offset, unsigned size_bytes)
{
    unsigned first = msix->capability + REG_CONTROL;
    if (offset >= first + 2 || first >= offset + size_bytes)
        return;
    for (unsigned vector = 0; vector < msix->vectors; vector++)
        release(msix, vector);
}

/* ---- table and pending bits ---- */

static uint32_t merge(uint32_t old, unsigned byte, unsigned size_bytes, uint32_t value)
{
    uint32_t mask = (size_bytes == 4 ? ~0u : (1u << 8 * size_bytes) - 1) << 8 * byte;
    return (old & ~mask) | (value << 8 * byte & mask);
}

static bool in_table(const struct pci_msix *msix, uint64_t offset)
{
    return offset >= msix->table_offset && offset - msix->table_offset < (uint64_t)msix->vectors * PCI_MSIX_ENTRY_BYTES;
}

static uint32_t read_word(const struct pci_msix *msix, uint64_t offset)
{
    if (in_table(msix, offset))
        return msix->table[(offset - msix->table_offset) / 4];
    uint64_t word = (offset - msix->pending_offset) / 4;
    return offset >= msix->pending_offset && word < PCI_MSIX_VECTORS_MAX / 32 ? msix->pending[word] : 0;
}

/* Within one dword: an access across two of them reaches the first. */
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t offset, unsigned size_bytes)
{
    (void)size_bytes;
    return read_word(msix, offset & ~3ull) >> 8 * (offset & 3);
}

void pci_msix_write(struct pci_msix *msix, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    uint64_t at = offset & ~3ull;
    if (!in_table(msix, at))
        return;
    unsigned word = (unsigned)(at - msix->table_offset) / 4;
    msix->table[word] = merge(msix->table[word], offset & 3, size_bytes, (uint32_t)value);
    msix->table[word] &= writable[word % PCI_MSIX_ENTRY_WORDS];
    if (word % PCI_MSIX_ENTRY_WORDS == ENTRY_CONTROL)
        release(msix, word / PCI_MSIX_ENTRY_WORDS);
}

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    return pci_msix_read(opaque, offset, size_bytes);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    pci_msix_write(opaque, offset, value, size_bytes);
}

void pci_msix_map_bar(struct pci_msix *msix, const char *name)
{
    static const struct bus_ops ops = {bar_read, bar_write, 4};
    struct bus *bus = machine_bus(pci_function_machine(msix->function));
    msix->mapping = bus_map_mmio(bus, 0, msix->function->bar[msix->bar].size_bytes, &ops, msix, name);
    bus_mapping_set(msix->mapping, 0, false);
}

void pci_msix_bar_changed(struct pci_msix *msix, uint64_t base, bool enabled)
{
    bus_mapping_set(msix->mapping, enabled ? base : 0, enabled);
}

/* ---- life ---- */

void pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned vectors, unsigned bar,
                   uint32_t table_offset, uint32_t pending_offset)
{
    CHECK(vectors && vectors <= PCI_MSIX_VECTORS_MAX && bar < PCI_BAR_ROM);
    CHECK(!(table_offset & 7) && !(pending_offset & 7));
    msix->function = function;
    msix->vectors = vectors;
    msix->bar = bar;
    msix->table_offset = table_offset;
    msix->pending_offset = pending_offset;
    msix->capability = pci_function_add_capability(function, CAPABILITY_MSIX, CAPABILITY_BYTES);
    pci_function_define(function, msix->capability + REG_CONTROL, 2, vectors - 1, CONTROL_MASK_ALL | CONTROL_ENABLE);
    pci_function_define(function, msix->capability + REG_TABLE, 4, table_offset | bar, 0);
    pci_function_define(function, msix->capability + REG_PENDING, 4, pending_offset | bar, 0);
}

void pci_msix_reset(struct pci_msix *msix)
{
    memset(msix->table, 0, sizeof msix->table);
    memset(msix->pending, 0, sizeof msix->pending);
    for (unsigned vector = 0; vector < msix->vectors; vector++)
        entry_of(msix, vector)[ENTRY_CONTROL] = ENTRY_MASKED;
}

/* Bits of vectors that there are not would wait for ever. */
void pci_msix_post_load(struct pci_msix *msix)
{
    for (unsigned vector = msix->vectors; vector < PCI_MSIX_VECTORS_MAX; vector++)
        msix->pending[vector / 32] &= ~(1u << vector % 32);
}
