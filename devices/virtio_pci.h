/* The PCI side of a virtio device (OASIS Virtual I/O Device 1.2, 4.1), shared by all of them. Thread: machine thread.
 *
 * A chip embeds it beside its queues
 *     N(T, struct virtio_pci, transport, 1, virtio_pci_fields)
 *     N(T, struct virtqueue, queue, COUNT, virtqueue_fields)
 * and calls virtio_pci_init in create, virtio_pci_reset in reset, virtio_pci_post_load in post_load.
 *
 * Transitional: the legacy interface in I/O BAR 0 and the modern one in memory BAR 4; either can be left out. MSI-X in
 * BAR 1: one vector for configuration changes and one a queue. */
#ifndef VMRR_DEVICES_VIRTIO_PCI_H
#define VMRR_DEVICES_VIRTIO_PCI_H

#include "devices/pci_msix.h"
#include "devices/virtio_queue.h"

#define VIRTIO_CONFIG_BYTES_MAX 64u

/* Feature bits of every device (6). */
#define VIRTIO_F_NOTIFY_ON_EMPTY (1ull << 24) /* legacy interface only, as the next */
#define VIRTIO_F_ANY_LAYOUT (1ull << 27)
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_STATUS_ACKNOWLEDGE 0x01u
#define VIRTIO_STATUS_DRIVER 0x02u
#define VIRTIO_STATUS_DRIVER_OK 0x04u
#define VIRTIO_STATUS_FEATURES_OK 0x08u
#define VIRTIO_STATUS_NEEDS_RESET 0x40u
#define VIRTIO_STATUS_FAILED 0x80u

#define VIRTIO_PCI_STATE(S, A, N, T)                                                                                   \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    N(T, struct pci_msix, msix, 1, pci_msix_fields)                                                                    \
    S(T, uint64_t, features) /* that the driver has taken */                                                           \
    S(T, uint32_t, feature_select)                                                                                     \
    S(T, uint32_t, driver_feature_select)                                                                              \
    S(T, uint16_t, queue_select)                                                                                       \
    S(T, uint16_t, config_vector)                                                                                      \
    S(T, uint8_t, status)                                                                                              \
    S(T, uint8_t, isr)                                                                                                 \
    S(T, uint8_t, generation) /* of the device's configuration */                                                      \
    S(T, bool, broken)        /* a ring was: nothing happens before the next reset */

struct virtio_pci_ops {
    /* The driver says that a queue has something; only while the device may look (virtio_pci_running). */
    void (*kicked)(void *opaque, unsigned queue);
    /* The device's configuration (its little-endian image), and a byte of it written. */
    void (*read_config)(void *opaque, uint8_t bytes[VIRTIO_CONFIG_BYTES_MAX]);
    void (*write_config)(void *opaque, unsigned offset, uint8_t value);
    /* DRIVER_OK has been set: features are final. */
    void (*started)(void *opaque);
    /* The driver resets the device, or the machine does: forget all requests. Queues are reset by the transport. */
    void (*reset)(void *opaque);
};

struct virtio_pci_identity {
    uint16_t device_type;                      /* 2: block */
    uint16_t transitional_device;              /* PCI device number */
    uint8_t class_base, class_sub, class_prog; /* of the PCI function */
    unsigned config_bytes;
    bool no_legacy, no_modern; /* not both */
};

struct virtio_pci {
    STATE_MEMBERS(VIRTIO_PCI_STATE)
    const struct virtio_pci_ops *ops;
    void *opaque;
    struct virtio_pci_identity identity;
    uint64_t offered; /* features */
    struct virtqueue *queue;
    unsigned queue_count;
    struct bus_mapping *legacy, *modern; /* null: left out */
    unsigned window;                     /* the capability that gives access to BARs by configuration cycles; 0: none */
};
extern const struct state_field virtio_pci_fields[];

/* queues: borrowed, part of the same chip. features: what is offered besides the bits above, which are. */
void virtio_pci_init(struct virtio_pci *transport, struct pci_bus *bus, unsigned slot,
                     const struct virtio_pci_identity *identity, uint64_t features, struct virtqueue *queues,
                     unsigned queue_count, const struct virtio_pci_ops *ops, void *opaque);
void virtio_pci_reset(struct virtio_pci *transport);
/* False: the state could not have been saved by this device, which has been reset. */
bool virtio_pci_post_load(struct virtio_pci *transport);

static inline bool virtio_pci_has(const struct virtio_pci *transport, uint64_t feature)
{
    return transport->features & feature;
}
/* The device may use its queue: the driver has set it up, PCI lets the function master the bus, no ring is broken. */
bool virtio_pci_running(const struct virtio_pci *transport, unsigned queue);
/* A chain has been dealt with: gives it back, with an interrupt if the driver wants one. */
void virtio_pci_return(struct virtio_pci *transport, unsigned queue, uint16_t head, uint32_t bytes_written);
/* The device's configuration is another one now: a driver that runs is interrupted (4.1.5.4). */
void virtio_pci_config_changed(struct virtio_pci *transport);
/* The driver has broken a rule that the device can't go on after: DEVICE_NEEDS_RESET (2.1.2). */
void virtio_pci_break(struct virtio_pci *transport);

#endif
