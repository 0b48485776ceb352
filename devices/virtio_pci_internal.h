/* What the transport's files share: virtio_pci.c (PCI, interrupts, status), virtio_pci_legacy.c and virtio_pci_modern.c
 * (registers of the two interfaces). */
#ifndef VMRR_DEVICES_VIRTIO_PCI_INTERNAL_H
#define VMRR_DEVICES_VIRTIO_PCI_INTERNAL_H

#include "devices/virtio_pci.h"

#define VIRTIO_LEGACY_BAR 0u
#define VIRTIO_MSIX_BAR 1u
#define VIRTIO_MODERN_BAR 4u
#define VIRTIO_MODERN_BYTES 0x4000u

/* Features that only one of the interfaces knows. */
#define VIRTIO_LEGACY_FEATURES (VIRTIO_F_NOTIFY_ON_EMPTY | VIRTIO_F_ANY_LAYOUT)

static inline struct virtqueue *virtio_pci_selected(struct virtio_pci *transport)
{
    return transport->queue_select < transport->queue_count ? &transport->queue[transport->queue_select] : NULL;
}
void virtio_pci_set_status(struct virtio_pci *transport, uint8_t status);
uint8_t virtio_pci_read_isr(struct virtio_pci *transport); /* and clears it */
/* What a vector register reads after this was written to it. */
uint16_t virtio_pci_vector(const struct virtio_pci *transport, uint32_t vector);
void virtio_pci_kick(struct virtio_pci *transport, uint32_t queue);
uint64_t virtio_pci_config_read(struct virtio_pci *transport, uint64_t offset, unsigned size_bytes);
void virtio_pci_config_write(struct virtio_pci *transport, uint64_t offset, uint64_t value, unsigned size_bytes);

/* virtio_pci_legacy.c; the size of its BAR is a power of two. */
unsigned virtio_legacy_bytes(const struct virtio_pci *transport);
uint64_t virtio_legacy_read(void *opaque, uint64_t offset, unsigned size_bytes);
void virtio_legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes);

/* virtio_pci_modern.c */
void virtio_modern_add_capabilities(struct virtio_pci *transport);
uint64_t virtio_modern_read(void *opaque, uint64_t offset, unsigned size_bytes);
void virtio_modern_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes);
/* The window of 4.1.4.9: configuration cycles that read or write a BAR. */
void virtio_window_reading(struct virtio_pci *transport, unsigned offset, unsigned size_bytes);
void virtio_window_written(struct virtio_pci *transport, unsigned offset, unsigned size_bytes);

#endif
