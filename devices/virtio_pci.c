/* virtio over PCI: Virtual I/O Device 1.2, 4.1 (PCI), 2.1 (status), 3.1 (initialization). What is common to both
 * interfaces: the function, features, status, interrupts. A device that has both is transitional: PCI 1AF4:10xx,
 * revision 0; one without the legacy interface is 1AF4:1040 + its type, revision 1.
 *
 * A function that is no bus master can't reach the rings: its queues stand still. A kick is then lost, as are the ends of
 * requests under way.
 * Not modelled: shared memory capabilities, per-queue reset, notification data, SR-IOV and the like. */
#include "devices/virtio_pci_internal.h"

#include <string.h>

#define VENDOR 0x1AF4u
#define MODERN_DEVICE_FIRST 0x1040u
#define SUBSYSTEM_MODERN 0x1100u
#define MSIX_BAR_BYTES 4096u
#define MSIX_PENDING 0x800u
#define ISR_QUEUE 1u
#define ISR_CONFIG 2u
#define MODERN_REVISION 1u

const struct state_field virtio_pci_fields[] = {
    VIRTIO_PCI_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct virtio_pci){.name = NULL}};

static struct memory *memory_of(const struct virtio_pci *transport)
{
    return machine_memory(pci_function_machine(transport->pci));
}

/* ---- interrupts ---- */

static void update_intx(struct virtio_pci *transport)
{
    pci_function_set_intx(transport->pci, transport->isr && !pci_msix_enabled(transport->msix));
}

static void interrupt(struct virtio_pci *transport, uint8_t isr, uint16_t vector)
{
    transport->isr |= isr;
    if (pci_msix_enabled(transport->msix))
        pci_msix_notify(transport->msix, vector);
    update_intx(transport);
}

uint8_t virtio_pci_read_isr(struct virtio_pci *transport)
{
    uint8_t isr = transport->isr;
    transport->isr = 0;
    update_intx(transport);
    return isr;
}

uint16_t virtio_pci_vector(const struct virtio_pci *transport, uint32_t vector)
{
    return (uint16_t)(vector < transport->msix->vectors ? vector : VIRTIO_NO_VECTOR);
}

/* ---- queues ---- */

static bool bus_master(const struct virtio_pci *transport)
{
    return pci_function_get(transport->pci, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

/* Legacy drivers may use a queue before DRIVER_OK (3.1.2). */
bool virtio_pci_running(const struct virtio_pci *transport, unsigned queue)
{
    bool started = (transport->status & VIRTIO_STATUS_DRIVER_OK) || !virtio_pci_has(transport, VIRTIO_F_VERSION_1);
    return started && !transport->broken && transport->queue[queue].enabled && bus_master(transport);
}

void virtio_pci_kick(struct virtio_pci *transport, uint32_t queue)
{
    if (queue < transport->queue_count && virtio_pci_running(transport, queue))
        transport->ops->kicked(transport->opaque, queue);
}

static bool wants_interrupt(struct virtio_pci *transport, struct virtqueue *queue)
{
    bool event_index = virtio_pci_has(transport, VIRTIO_F_EVENT_IDX);
    bool wants = virtqueue_wants_interrupt(queue, memory_of(transport), event_index);
    return wants || (virtio_pci_has(transport, VIRTIO_F_NOTIFY_ON_EMPTY) && queue->next_used == queue->next_available &&
                     !virtqueue_waiting(queue, memory_of(transport)));
}

void virtio_pci_return(struct virtio_pci *transport, unsigned queue, uint16_t head, uint32_t bytes_written)
{
    struct virtqueue *ring = &transport->queue[queue];
    if (!virtio_pci_running(transport, queue))
        return;
    virtqueue_return(ring, memory_of(transport), head, bytes_written);
    if (wants_interrupt(transport, ring))
        interrupt(transport, ISR_QUEUE, ring->vector);
}

void virtio_pci_config_changed(struct virtio_pci *transport)
{
    transport->generation++;
    if (transport->status & VIRTIO_STATUS_DRIVER_OK)
        interrupt(transport, ISR_QUEUE | ISR_CONFIG, transport->config_vector);
}

/* ---- status ---- */

void virtio_pci_break(struct virtio_pci *transport)
{
    transport->broken = true;
    if (!virtio_pci_has(transport, VIRTIO_F_VERSION_1))
        return; /* a legacy driver has no word for it */
    transport->status |= VIRTIO_STATUS_NEEDS_RESET;
    interrupt(transport, ISR_QUEUE | ISR_CONFIG, transport->config_vector);
}

static void reset_device(struct virtio_pci *transport)
{
    transport->features = 0;
    transport->feature_select = transport->driver_feature_select = 0;
    transport->queue_select = 0;
    transport->config_vector = VIRTIO_NO_VECTOR;
    transport->status = transport->isr = 0;
    transport->broken = false;
    for (unsigned n = 0; n < transport->queue_count; n++)
        virtqueue_reset(&transport->queue[n]);
    transport->ops->reset(transport->opaque);
    update_intx(transport);
}

void virtio_pci_set_status(struct virtio_pci *transport, uint8_t status)
{
    uint8_t before = transport->status;
    if (!status) {
        reset_device(transport);
        return;
    }
    transport->status = status | (before & VIRTIO_STATUS_NEEDS_RESET);
    if (status & ~before & VIRTIO_STATUS_DRIVER_OK)
        transport->ops->started(transport->opaque);
}

/* ---- the device's configuration ---- */

uint64_t virtio_pci_config_read(struct virtio_pci *transport, uint64_t offset, unsigned size_bytes)
{
    uint8_t bytes[VIRTIO_CONFIG_BYTES_MAX] = {0};
    uint64_t value = 0;
    transport->ops->read_config(transport->opaque, bytes);
    for (unsigned n = 0; n < size_bytes && offset + n < transport->identity.config_bytes; n++)
        value |= (uint64_t)bytes[offset + n] << (8 * n);
    return value;
}

void virtio_pci_config_write(struct virtio_pci *transport, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    for (unsigned n = 0; n < size_bytes && offset + n < transport->identity.config_bytes; n++)
        transport->ops->write_config(transport->opaque, (unsigned)offset + n, (uint8_t)(value >> (8 * n)));
}

/* ---- the PCI function ---- */

static void bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct virtio_pci *transport = opaque;
    if (bar == VIRTIO_MSIX_BAR)
        pci_msix_bar_changed(transport->msix, base, enabled);
    else
        bus_mapping_set(bar == VIRTIO_LEGACY_BAR ? transport->legacy : transport->modern, enabled ? base : 0, enabled);
}

static void config_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    struct virtio_pci *transport = opaque;
    pci_msix_config_written(transport->msix, offset, size_bytes);
    virtio_window_written(transport, offset, size_bytes);
    update_intx(transport);
}

static void config_reading(void *opaque, unsigned offset, unsigned size_bytes)
{
    virtio_window_reading(opaque, offset, size_bytes);
}

static void init_function(struct virtio_pci *transport, struct pci_bus *bus, unsigned slot)
{
    static const struct pci_function_ops ops = {bar_changed, config_written, config_reading};
    const struct virtio_pci_identity *is = &transport->identity;
    unsigned modern_device = MODERN_DEVICE_FIRST + is->device_type;
    struct pci_identity identity = {.vendor = VENDOR,
                                    .device = is->no_legacy ? (uint16_t)modern_device : is->transitional_device,
                                    .revision = is->no_legacy ? MODERN_REVISION : 0,
                                    .class_base = is->class_base,
                                    .class_sub = is->class_sub,
                                    .class_prog = is->class_prog,
                                    .subsystem_vendor = VENDOR,
                                    .subsystem = is->no_legacy ? SUBSYSTEM_MODERN : is->device_type,
                                    .interrupt_pin = 1};
    pci_function_init(transport->pci, bus, slot, 0, &identity, &ops, transport);
}

static void map_interfaces(struct virtio_pci *transport)
{
    static const struct bus_ops legacy_ops = {virtio_legacy_read, virtio_legacy_write, 4};
    static const struct bus_ops modern_ops = {virtio_modern_read, virtio_modern_write, 4};
    struct bus *bus = machine_bus(pci_function_machine(transport->pci));
    if (!transport->identity.no_legacy) {
        unsigned bytes = virtio_legacy_bytes(transport);
        pci_function_add_bar(transport->pci, VIRTIO_LEGACY_BAR, PCI_BAR_IO, bytes);
        transport->legacy = bus_map_io(bus, 0, bytes, &legacy_ops, transport, "virtio-legacy");
        bus_mapping_set(transport->legacy, 0, false);
    }
    pci_function_add_bar(transport->pci, VIRTIO_MSIX_BAR, PCI_BAR_MEMORY, MSIX_BAR_BYTES);
    if (transport->identity.no_modern)
        return;
    pci_function_add_bar(transport->pci, VIRTIO_MODERN_BAR, PCI_BAR_MEMORY_64_PREFETCH, VIRTIO_MODERN_BYTES);
    transport->modern = bus_map_mmio(bus, 0, VIRTIO_MODERN_BYTES, &modern_ops, transport, "virtio-modern");
    bus_mapping_set(transport->modern, 0, false);
    virtio_modern_add_capabilities(transport);
}

void virtio_pci_init(struct virtio_pci *transport, struct pci_bus *bus, unsigned slot,
                     const struct virtio_pci_identity *identity, uint64_t features, struct virtqueue *queues,
                     unsigned queue_count, const struct virtio_pci_ops *ops, void *opaque)
{
    CHECK(!(identity->no_legacy && identity->no_modern) && identity->config_bytes <= VIRTIO_CONFIG_BYTES_MAX);
    transport->ops = ops;
    transport->opaque = opaque;
    transport->identity = *identity;
    transport->offered = features | VIRTIO_LEGACY_FEATURES | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX;
    transport->offered |= identity->no_modern ? 0 : VIRTIO_F_VERSION_1;
    transport->queue = queues;
    transport->queue_count = queue_count;
    init_function(transport, bus, slot);
    map_interfaces(transport);
    pci_msix_init(transport->msix, transport->pci, queue_count + 1, VIRTIO_MSIX_BAR, 0, MSIX_PENDING);
    pci_msix_map_bar(transport->msix, "virtio-msix");
}

void virtio_pci_reset(struct virtio_pci *transport)
{
    pci_function_reset(transport->pci);
    pci_msix_reset(transport->msix);
    transport->generation = 0;
    reset_device(transport);
}

static bool sound(const struct virtio_pci *transport)
{
    for (unsigned n = 0; n < transport->queue_count; n++) {
        if (!virtqueue_sound(&transport->queue[n]))
            return false;
    }
    return true;
}

bool virtio_pci_post_load(struct virtio_pci *transport)
{
    pci_function_post_load(transport->pci);
    pci_msix_post_load(transport->msix);
    if (sound(transport))
        return true;
    virtio_pci_reset(transport);
    return false;
}
