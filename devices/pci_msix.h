/* MSI-X of a PCI function (PCI Local Bus 3.0, 6.8.2): capability, vector table, pending bits. Thread: machine thread.
 *
 * A chip embeds it beside its function and names it in its field list
 *     N(T, struct pci_msix, msix, 1, pci_msix_fields)
 * In create: pci_msix_init after pci_function_init. Table and pending bits lie in a memory BAR of the chip: either one of
 * their own (pci_msix_map_bar; the chip's bar_changed passes changes on to pci_msix_bar_changed), or beside other registers,
 * whose handlers pass accesses to pci_msix_read and pci_msix_write on. The chip's config_written calls
 * pci_msix_config_written, reset pci_msix_reset after pci_function_reset, post_load pci_msix_post_load.
 *
 * While pci_msix_enabled the function must not raise INTx: the chip decides by it. */
#ifndef VMRR_DEVICES_PCI_MSIX_H
#define VMRR_DEVICES_PCI_MSIX_H

#include "devices/pci_bus.h"

#define PCI_MSIX_VECTORS_MAX 64u
#define PCI_MSIX_ENTRY_BYTES 16u
#define PCI_MSIX_ENTRY_WORDS 4u

#define PCI_MSIX_STATE(S, A, N, T)                                                                                     \
    A(T, uint32_t, table, PCI_MSIX_VECTORS_MAX *PCI_MSIX_ENTRY_WORDS)                                                  \
    A(T, uint32_t, pending, PCI_MSIX_VECTORS_MAX / 32)

struct pci_msix {
    STATE_MEMBERS(PCI_MSIX_STATE)
    struct pci_function *function;
    unsigned vectors, bar, capability;
    uint32_t table_offset, pending_offset; /* in the BAR */
    struct bus_mapping *mapping;           /* null: the chip's */
};
extern const struct state_field pci_msix_fields[];

/* Adds the capability: vectors 1..PCI_MSIX_VECTORS_MAX; offsets multiples of 8 in memory BAR number bar. */
void pci_msix_init(struct pci_msix *msix, struct pci_function *function, unsigned vectors, unsigned bar,
                   uint32_t table_offset, uint32_t pending_offset);
/* Maps the whole BAR, which has been added and holds nothing else. */
void pci_msix_map_bar(struct pci_msix *msix, const char *name);
void pci_msix_bar_changed(struct pci_msix *msix, uint64_t base, bool enabled);

/* Accesses of 1, 2 or 4 bytes at an offset in the BAR; outside of table and pending bits: zero, no effect. */
uint64_t pci_msix_read(struct pci_msix *msix, uint64_t offset, unsigned size_bytes);
void pci_msix_write(struct pci_msix *msix, uint64_t offset, uint64_t value, unsigned size_bytes);
void pci_msix_config_written(struct pci_msix *msix, unsigned offset, unsigned size_bytes);
void pci_msix_reset(struct pci_msix *msix);
void pci_msix_post_load(struct pci_msix *msix);

bool pci_msix_enabled(const struct pci_msix *msix);
/* Sends the vector's message, or notes it as pending while it is masked. Nothing while MSI-X is off or for a vector that
 * there is not. */
void pci_msix_notify(struct pci_msix *msix, unsigned vector);

#endif
