/* The modern interface of virtio over PCI: Virtual I/O Device 1.2, 4.1.4 (capabilities), 4.1.4.3 (common configuration),
 * 4.1.4.9 (the window for configuration cycles). Memory BAR 4, laid out as QEMU does: a page each for the common
 * configuration, ISR, the device's configuration and notifications. Fields take accesses of their own width, and 64-bit
 * ones halves; others read as zero and change nothing. */
#include "devices/virtio_pci_internal.h"

#define CAPABILITY_VENDOR 0x09u
#define CAPABILITY_BYTES 16u
#define CAPABILITY_NOTIFY_BYTES 20u
#define CAP_LENGTH 2u
#define CAP_TYPE 3u
#define CAP_BAR 4u
#define CAP_OFFSET 8u
#define CAP_SIZE 12u
#define CAP_EXTRA 16u /* notification: multiplier; window: data */
#define TYPE_COMMON 1u
#define TYPE_NOTIFY 2u
#define TYPE_ISR 3u
#define TYPE_DEVICE 4u
#define TYPE_WINDOW 5u

#define REGION_BYTES 0x1000u
#define REGION_COMMON 0u
#define REGION_ISR 1u
#define REGION_DEVICE 2u
#define REGION_NOTIFY 3u
#define NOTIFY_MULTIPLIER 4u

/* Common configuration. */
#define REG_DEVICE_FEATURE_SELECT 0x00u
#define REG_DEVICE_FEATURE 0x04u
#define REG_DRIVER_FEATURE_SELECT 0x08u
#define REG_DRIVER_FEATURE 0x0Cu
#define REG_CONFIG_VECTOR 0x10u
#define REG_NUM_QUEUES 0x12u
#define REG_STATUS 0x14u
#define REG_GENERATION 0x15u
#define REG_QUEUE_SELECT 0x16u
#define REG_QUEUE_SIZE 0x18u
#define REG_QUEUE_VECTOR 0x1Au
#define REG_QUEUE_ENABLE 0x1Cu
#define REG_QUEUE_NOTIFY_OFF 0x1Eu
#define REG_QUEUE_DESCRIPTORS 0x20u
#define REG_QUEUE_AVAILABLE 0x28u
#define REG_QUEUE_USED 0x30u

static uint64_t offered(const struct virtio_pci *transport)
{
    return transport->offered & ~VIRTIO_LEGACY_FEATURES;
}

static uint32_t half(uint64_t value, uint32_t select)
{
    return select < 2 ? (uint32_t)(value >> (32 * select)) : 0;
}

static uint64_t with_half(uint64_t value, uint32_t select, uint32_t bits)
{
    unsigned shift = 32 * select;
    return (value & ~(0xFFFFFFFFull << shift)) | (uint64_t)bits << shift;
}

/* ---- a queue's registers ---- */

static uint64_t *address_register(struct virtqueue *queue, unsigned reg)
{
    switch (reg & ~7u) {
    case REG_QUEUE_DESCRIPTORS: return &queue->descriptors;
    case REG_QUEUE_AVAILABLE: return &queue->available;
    case REG_QUEUE_USED: return &queue->used;
    default: return NULL;
    }
}

static uint64_t queue_read(struct virtio_pci *transport, unsigned reg)
{
    struct virtqueue *queue = virtio_pci_selected(transport);
    uint64_t *address;
    if (!queue)
        return reg == REG_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
    switch (reg) {
    case REG_QUEUE_SIZE: return queue->size;
    case REG_QUEUE_VECTOR: return queue->vector;
    case REG_QUEUE_ENABLE: return queue->enabled;
    case REG_QUEUE_NOTIFY_OFF: return transport->queue_select;
    default: address = address_register(queue, reg); return address ? half(*address, reg >> 2 & 1) : 0;
    }
}

/* Size and addresses of a queue in use stay (4.1.4.3.2). */
static void queue_write(struct virtio_pci *transport, unsigned reg, uint32_t value)
{
    struct virtqueue *queue = virtio_pci_selected(transport);
    uint64_t *address;
    if (!queue)
        return;
    if (reg == REG_QUEUE_VECTOR) {
        queue->vector = virtio_pci_vector(transport, (uint16_t)value);
        return;
    }
    if (queue->enabled)
        return;
    switch (reg) {
    case REG_QUEUE_SIZE:
        value &= 0xFFFF;
        if (value && value <= VIRTQUEUE_SIZE_MAX && !(value & (value - 1)))
            queue->size = (uint16_t)value;
        break;
    case REG_QUEUE_ENABLE: queue->enabled = (uint16_t)value == 1; break;
    default:
        address = address_register(queue, reg);
        if (address)
            *address = with_half(*address, reg >> 2 & 1, value);
        break;
    }
}

/* ---- common configuration ---- */

static unsigned register_bytes(unsigned reg)
{
    switch (reg) {
    case REG_STATUS:
    case REG_GENERATION: return 1;
    case REG_CONFIG_VECTOR:
    case REG_NUM_QUEUES:
    case REG_QUEUE_SELECT:
    case REG_QUEUE_SIZE:
    case REG_QUEUE_VECTOR:
    case REG_QUEUE_ENABLE:
    case REG_QUEUE_NOTIFY_OFF: return 2;
    default: return reg % 4 ? 0 : 4;
    }
}

static uint64_t common_read(struct virtio_pci *transport, unsigned reg)
{
    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT: return transport->feature_select;
    case REG_DEVICE_FEATURE: return half(offered(transport), transport->feature_select);
    case REG_DRIVER_FEATURE_SELECT: return transport->driver_feature_select;
    case REG_DRIVER_FEATURE: return half(transport->features, transport->driver_feature_select);
    case REG_CONFIG_VECTOR: return transport->config_vector;
    case REG_NUM_QUEUES: return transport->queue_count;
    case REG_STATUS: return transport->status;
    case REG_GENERATION: return transport->generation;
    case REG_QUEUE_SELECT: return transport->queue_select;
    default: return queue_read(transport, reg);
    }
}

/* Kept as written until FEATURES_OK asks whether the device can do with them. */
static void write_features(struct virtio_pci *transport, uint32_t value)
{
    if (transport->driver_feature_select < 2 && !(transport->status & VIRTIO_STATUS_FEATURES_OK))
        transport->features = with_half(transport->features, transport->driver_feature_select, value);
}

static bool features_good(const struct virtio_pci *transport)
{
    return !(transport->features & ~offered(transport)) && virtio_pci_has(transport, VIRTIO_F_VERSION_1);
}

/* Features that were not offered leave FEATURES_OK clear, and with it DRIVER_OK has no meaning. */
static void write_status(struct virtio_pci *transport, uint8_t value)
{
    if ((value & VIRTIO_STATUS_FEATURES_OK) && !features_good(transport)) {
        value &= (uint8_t) ~(VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
        transport->features &= offered(transport);
    }
    virtio_pci_set_status(transport, value);
}

static void common_write(struct virtio_pci *transport, unsigned reg, uint32_t value)
{
    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT: transport->feature_select = value; break;
    case REG_DRIVER_FEATURE_SELECT: transport->driver_feature_select = value; break;
    case REG_DRIVER_FEATURE: write_features(transport, value); break;
    case REG_CONFIG_VECTOR: transport->config_vector = virtio_pci_vector(transport, (uint16_t)value); break;
    case REG_STATUS: write_status(transport, (uint8_t)value); break;
    case REG_QUEUE_SELECT: transport->queue_select = (uint16_t)value; break;
    default: queue_write(transport, reg, value); break;
    }
}

/* ---- the BAR ---- */

uint64_t virtio_modern_read(void *opaque, uint64_t offset, unsigned size_bytes)
{
    struct virtio_pci *transport = opaque;
    unsigned reg = offset % REGION_BYTES;
    switch (offset / REGION_BYTES) {
    case REGION_COMMON: return register_bytes(reg) == size_bytes ? common_read(transport, reg) : 0;
    case REGION_ISR: return reg ? 0 : virtio_pci_read_isr(transport);
    case REGION_DEVICE: return virtio_pci_config_read(transport, reg, size_bytes);
    default: return 0;
    }
}

void virtio_modern_write(void *opaque, uint64_t offset, uint64_t value, unsigned size_bytes)
{
    struct virtio_pci *transport = opaque;
    unsigned reg = offset % REGION_BYTES;
    switch (offset / REGION_BYTES) {
    case REGION_COMMON:
        if (register_bytes(reg) == size_bytes)
            common_write(transport, reg, (uint32_t)value);
        break;
    case REGION_DEVICE: virtio_pci_config_write(transport, reg, value, size_bytes); break;
    case REGION_NOTIFY: virtio_pci_kick(transport, reg / NOTIFY_MULTIPLIER); break;
    default: break;
    }
}

/* ---- capabilities ---- */

static unsigned add_capability(struct pci_function *pci, unsigned type, unsigned region, unsigned size_bytes,
                               unsigned capability_bytes)
{
    unsigned at = pci_function_add_capability(pci, CAPABILITY_VENDOR, capability_bytes);
    pci_function_define(pci, at + CAP_LENGTH, 1, capability_bytes, 0);
    pci_function_define(pci, at + CAP_TYPE, 1, type, 0);
    pci_function_define(pci, at + CAP_BAR, 1, VIRTIO_MODERN_BAR, 0);
    pci_function_define(pci, at + CAP_OFFSET, 4, region * REGION_BYTES, 0);
    pci_function_define(pci, at + CAP_SIZE, 4, size_bytes, 0);
    return at;
}

void virtio_modern_add_capabilities(struct virtio_pci *transport)
{
    struct pci_function *pci = transport->pci;
    add_capability(pci, TYPE_COMMON, REGION_COMMON, REGION_BYTES, CAPABILITY_BYTES);
    add_capability(pci, TYPE_ISR, REGION_ISR, REGION_BYTES, CAPABILITY_BYTES);
    add_capability(pci, TYPE_DEVICE, REGION_DEVICE, REGION_BYTES, CAPABILITY_BYTES);
    unsigned notify = add_capability(pci, TYPE_NOTIFY, REGION_NOTIFY, REGION_BYTES, CAPABILITY_NOTIFY_BYTES);
    pci_function_define(pci, notify + CAP_EXTRA, 4, NOTIFY_MULTIPLIER, 0);
    unsigned window = add_capability(pci, TYPE_WINDOW, 0, 0, CAPABILITY_NOTIFY_BYTES);
    pci_function_define(pci, window + CAP_BAR, 1, 0, 0xFF);
    pci_function_define(pci, window + CAP_OFFSET, 4, 0, UINT32_MAX);
    pci_function_define(pci, window + CAP_SIZE, 4, 0, UINT32_MAX);
    pci_function_define(pci, window + CAP_EXTRA, 4, 0, UINT32_MAX);
    transport->window = window;
}

/* ---- the window ---- */

struct window {
    unsigned bar, size_bytes;
    uint32_t offset;
};

/* What the window shows; false: nothing that there is. */
static bool window_open(const struct virtio_pci *transport, struct window *window)
{
    unsigned at = transport->window;
    window->bar = pci_function_get(transport->pci, at + CAP_BAR, 1);
    window->offset = pci_function_get(transport->pci, at + CAP_OFFSET, 4);
    window->size_bytes = pci_function_get(transport->pci, at + CAP_SIZE, 4);
    uint64_t limit = window->bar == VIRTIO_MODERN_BAR                        ? VIRTIO_MODERN_BYTES
                     : window->bar == VIRTIO_LEGACY_BAR && transport->legacy ? virtio_legacy_bytes(transport)
                                                                             : 0;
    bool sized = window->size_bytes == 1 || window->size_bytes == 2 || window->size_bytes == 4;
    return sized && !(window->offset & (window->size_bytes - 1)) &&
           window->offset + (uint64_t)window->size_bytes <= limit;
}

static bool hits_data(const struct virtio_pci *transport, unsigned offset, unsigned size_bytes)
{
    unsigned data = transport->window + CAP_EXTRA;
    return transport->window && offset < data + 4 && data < offset + size_bytes;
}

void virtio_window_reading(struct virtio_pci *transport, unsigned offset, unsigned size_bytes)
{
    struct window window;
    if (!hits_data(transport, offset, size_bytes) || !window_open(transport, &window))
        return;
    uint64_t value = window.bar == VIRTIO_MODERN_BAR ? virtio_modern_read(transport, window.offset, window.size_bytes)
                                                     : virtio_legacy_read(transport, window.offset, window.size_bytes);
    pci_function_set(transport->pci, transport->window + CAP_EXTRA, window.size_bytes, (uint32_t)value);
}

void virtio_window_written(struct virtio_pci *transport, unsigned offset, unsigned size_bytes)
{
    struct window window;
    if (!hits_data(transport, offset, size_bytes) || !window_open(transport, &window))
        return;
    uint32_t value = pci_function_get(transport->pci, transport->window + CAP_EXTRA, window.size_bytes);
    if (window.bar == VIRTIO_MODERN_BAR)
        virtio_modern_write(transport, window.offset, value, window.size_bytes);
    else
        virtio_legacy_write(transport, window.offset, value, window.size_bytes);
}
