/* Device: one const descriptor a chip. Thread: machine thread only.
 *
 * A chip's file exports its descriptor and one create function, which board_pc.c calls with the wiring:
 *     extern const struct device_class pit_8254_class;
 *     struct device *pit_8254_create(struct machine *machine, struct irq_line irq);
 * create allocates with device_alloc, fills the wiring, maps ports and MMIO, and registers itself with
 * machine_add_device; the machine owns it from then on and calls destroy. */
#ifndef VMRR_CORE_DEVICE_H
#define VMRR_CORE_DEVICE_H

#include "core/content.h"
#include "core/state.h"

struct machine;
struct device;

struct device_class {
    const char *name;                         /* "pit_8254" */
    uint32_t version;                         /* of the field list; written beside saved state */
    size_t size;                              /* of the chip's struct, whose first member is struct device */
    const struct state_field *fields;         /* offsets within the chip's struct */
    void (*reset)(struct device *device);     /* power-on and reset state */
    void (*post_load)(struct device *device); /* may be null: rebuild what is derived, re-arm timers */
    void (*destroy)(struct device *device);   /* may be null: free what create allocated, not the struct */
    const struct device_content *content;     /* null: the field list is all there is */
};

/* What a device has beside its field list because it is large, or not always as large: content.h. Load comes after the fields
 * and before any device's post_load. */
struct device_content {
    bool (*ready)(struct device *device);      /* can it be saved now, and in this run at all? */
    bool (*restorable)(struct device *device); /* can it be put back in this run? */
    void (*save)(struct device *device, struct content_writer *writer);
    enum status (*load)(struct device *device, struct content_reader *reader);
};

struct device {
    const struct device_class *class;
    const char *id; /* unique in the machine: "ide0"; static or owned by the creator for the machine's life */
    struct machine *machine;
    struct device *next; /* machine's list, in creation order */
};

/* Zeroed memory of class->size bytes with the struct device filled. Never returns null (CHECK). */
void *device_alloc(const struct device_class *class, struct machine *machine, const char *id);

#define device_of(pointer, type) ((type *)(void *)(pointer))

#endif
