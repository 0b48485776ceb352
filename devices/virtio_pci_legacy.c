/* The legacy interface of virtio over PCI: Virtual I/O Device 1.2, 4.1.4.10 (registers), 2.7.2 (layout of a queue, which
 * the device lays down: rings follow each other, the used ring at the next page). I/O BAR 0.
 * The vector registers are there while MSI-X is enabled, and move the device's configuration behind them. */
#include "devices/virtio_pci_internal.h"

#define REG_DEVICE_FEATURES 0u
#define REG_DRIVER_FEATURES 4u
#define REG_QUEUE_PAGE 8u
#define REG_QUEUE_SIZE 12u
#define REG_QUEUE_SELECT 14u
#define REG_QUEUE_NOTIFY 16u
#define REG_STATUS 18u
#define REG_ISR 19u
#define REG_CONFIG_VECTOR 20u
#define REG_QUEUE_VECTOR 22u
#define HEADER_BYTES 20u
#define HEADER_MSIX_BYTES 24u
#define QUEUE_PAGE_SHIFT 12
#define QUEUE_ALIGN 4096u
#define LEGACY_FEATURE_MASK 0xFFFFFFFFull

unsigned virtio_legacy_bytes(const struct virtio_pci *transport)
{
    unsigned bytes = 32;
    while (bytes < HEADER_MSIX_BYTES + transport->identity.config_bytes)
        bytes *= 2;
    return bytes;
}

static unsigned header_bytes(const struct virtio_pci *transport)
{
    return pci_msix_enabled(transport->msix) ? HEADER_MSIX_BYTES : HEADER_BYTES;
}

static uint64_t queue_register(struct virtio_pci *transport, unsigned reg)
{
    const struct virtqueue *queue = virtio_pci_selected(transport);
    if (!queue)
        return reg == REG_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
    switch (reg) {
    case REG_QUEUE_PAGE: return queue->enabled ? queue->descriptors >> QUEUE_PAGE_SHIFT : 0;
    case REG_QUEUE_SIZE: return queue->size;
    default: return queue->vector;
    }
}

uint64_t virtio_legacy_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    struct virtio_pci *transport = opaque;
    unsigned header = header_bytes(transport);
    if (offset >= header)
        return virtio_pci_config_read(transport, offset - header, size_bytes);
    switch (offset) {
    case REG_DEVICE_FEATURES: return transport->offered & LEGACY_FEATURE_MASK;
    case REG_DRIVER_FEATURES: return transport->features & LEGACY_FEATURE_MASK;
    case REG_QUEUE_PAGE:
    case REG_QUEUE_SIZE:
    case REG_QUEUE_VECTOR: return queue_register(transport, (unsigned)offset);
    case REG_QUEUE_SELECT: return transport->queue_select;
    case REG_STATUS: return transport->status;
    case REG_ISR: return virtio_pci_read_isr(transport);
    case REG_CONFIG_VECTOR: return transport->config_vector;
    default: return UINT64_MAX;
    }
}

static void place_queue(struct virtqueue *queue, uint32_t page)
{
    queue->descriptors = (uint64_t)page << QUEUE_PAGE_SHIFT;
    queue->available = queue->descriptors + 16ull * queue->size;
    uint64_t end = queue->available + 6 + 2ull * queue->size;
    queue->used = (end + QUEUE_ALIGN - 1) & ~(uint64_t)(QUEUE_ALIGN - 1);
    queue->enabled = true;
}

/* Page 0 takes the queue away, and all else with it, as QEMU has it. */
static void write_page(struct virtio_pci *transport, uint32_t page)
{
    struct virtqueue *queue = virtio_pci_selected(transport);
    if (!page)
        virtio_pci_set_status(transport, 0);
    else if (queue)
        place_queue(queue, page);
}

/* Linux before 2.6.34 forgets to let the function master the bus. */
static void write_status(struct virtio_pci *transport, uint8_t status)
{
    virtio_pci_set_status(transport, status);
    if (status != (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER))
        return;
    uint32_t command = pci_function_get(transport->pci, PCI_COMMAND, 2);
    pci_function_set(transport->pci, PCI_COMMAND, 2, command | PCI_COMMAND_MASTER);
}

void virtio_legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct virtio_pci *transport = opaque;
    struct virtqueue *queue = virtio_pci_selected(transport);
    unsigned header = header_bytes(transport);
    if (offset >= header) {
        virtio_pci_config_write(transport, offset - header, value, size_bytes);
        return;
    }
    switch (offset) {
    case REG_DRIVER_FEATURES: transport->features = value & transport->offered & LEGACY_FEATURE_MASK; break;
    case REG_QUEUE_PAGE: write_page(transport, (uint32_t)value); break;
    case REG_QUEUE_SELECT: transport->queue_select = (uint16_t)value; break;
    case REG_QUEUE_NOTIFY: virtio_pci_kick(transport, (uint16_t)value); break;
    case REG_STATUS: write_status(transport, (uint8_t)value); break;
    case REG_CONFIG_VECTOR: transport->config_vector = virtio_pci_vector(transport, (uint16_t)value); break;
    case REG_QUEUE_VECTOR:
        if (queue)
            queue->vector = virtio_pci_vector(transport, (uint16_t)value);
        break;
    default: break;
    }
}
