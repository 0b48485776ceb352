/* Local APIC of the one CPU, and the CPU's link to all interrupt controllers. Thread: machine thread.
 *
 * The board: lapic = lapic_create(machine); pic = pic_8259_create(machine, lapic_lint_line(lapic, 0));
 * lapic_connect_pic(lapic, pic); ioapic_create(machine, lapic). create installs itself with machine_set_cpu_link.
 *
 * IA32_TSC_DEADLINE crosses the link in ticks of machine_tsc, that is, without the CPU's TSC offset: the accelerator
 * takes its offset off what the guest writes and adds it to what the guest reads, leaving 0 (disarmed) as it is. */
#ifndef VMRR_DEVICES_LAPIC_H
#define VMRR_DEVICES_LAPIC_H

#include "core/device.h"
#include "core/irq.h"

#define LAPIC_DEFAULT_BASE 0xFEE00000ull

/* Delivery modes of LVT, ICR, redirection entries and MSI. */
enum lapic_delivery {
    LAPIC_FIXED = 0,
    LAPIC_LOWEST = 1,
    LAPIC_SMI = 2,
    LAPIC_NMI = 4,
    LAPIC_INIT = 5,
    LAPIC_STARTUP = 6,
    LAPIC_EXTINT = 7,
};

/* An interrupt message on the APIC bus. */
struct lapic_message {
    uint8_t vector;
    uint8_t delivery; /* enum lapic_delivery */
    uint8_t destination;
    bool logical;
    bool level;
};

extern const struct device_class lapic_class;

struct device *lapic_create(struct machine *machine);
void lapic_connect_pic(struct device *device, struct device *pic);
/* Called with the vector at each EOI of a level-triggered interrupt. */
void lapic_connect_eoi(struct device *device, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
/* Pins LINT0 and LINT1. */
struct irq_line lapic_lint_line(struct device *device, unsigned pin);
/* True when this APIC is addressed and takes the message. */
bool lapic_deliver(struct device *device, const struct lapic_message *message);
/* A message-signalled interrupt: a write of data to an address FEExxxxxh (SDM vol. 3, 11.11). As lapic_deliver. */
bool lapic_deliver_msi(struct device *device, uint64_t address, uint32_t data);

#endif
