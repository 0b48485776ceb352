/* 82093AA I/O APIC, version 20h (with the EOI register of later parts). Intel 82093AA data sheet (290566); ICH data
 * sheets for the EOI register.
 *
 * An edge that comes while the pin is masked is lost; a level-triggered pin delivers once and again after each EOI that
 * finds it asserted. Not modelled: the APIC serial bus (delivery is immediate: delivery status is always idle;
 * a message that the local APIC does not take is not sent again before the pin, the entry or an EOI gives cause),
 * arbitration ID. */
#include "devices/ioapic.h"

#include "core/bus.h"
#include "core/machine.h"
#include "devices/lapic.h"

#define IOAPIC_VERSION 0x20u
#define ENTRY_LOGICAL 0x800u
#define ENTRY_REMOTE_IRR 0x4000u
#define ENTRY_LEVEL 0x8000u
#define ENTRY_MASKED 0x10000u
#define ENTRY_WRITABLE_LOW 0x1AFFFu
#define ENTRY_WRITABLE_HIGH 0xFF000000u
#define REGISTER_SELECT 0x00u
#define REGISTER_WINDOW 0x10u
#define REGISTER_EOI 0x40u

#define IOAPIC_STATE(S, A, N, T)                                                                                       \
    S(T, uint8_t, select)                                                                                              \
    S(T, uint8_t, id)                                                                                                  \
    S(T, uint32_t, lines)                                                                                              \
    A(T, uint64_t, entry, IOAPIC_PINS)
struct ioapic {
    struct device device;
    STATE_MEMBERS(IOAPIC_STATE)
    struct device *lapic;
};
STATE_TABLE(ioapic_fields, struct ioapic, IOAPIC_STATE);

static bool entry_is_level(uint64_t entry)
{
    return (entry & ENTRY_LEVEL) && (entry >> 8 & 7) <= LAPIC_LOWEST;
}

static bool ioapic_send(struct ioapic *ioapic, unsigned pin)
{
    uint64_t entry = ioapic->entry[pin];
    struct lapic_message message = {
        .vector = (uint8_t)entry,
        .delivery = entry >> 8 & 7,
        .destination = (uint8_t)(entry >> 56),
        .logical = entry & ENTRY_LOGICAL,
        .level = entry_is_level(entry),
    };
    return lapic_deliver(ioapic->lapic, &message);
}

/* Sends for an asserted level-triggered pin, unless an EOI is due first. */
static void ioapic_service_level(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *entry = &ioapic->entry[pin];
    if (!entry_is_level(*entry) || (*entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) || !(ioapic->lines >> pin & 1))
        return;
    if (ioapic_send(ioapic, pin))
        *entry |= ENTRY_REMOTE_IRR;
}

static void ioapic_set_line(void *opaque, unsigned pin, bool level)
{
    struct ioapic *ioapic = opaque;
    uint32_t bit = 1u << pin;
    if (((ioapic->lines & bit) != 0) == level)
        return;
    ioapic->lines ^= bit;
    if (!level || (ioapic->entry[pin] & ENTRY_MASKED))
        return;
    if (entry_is_level(ioapic->entry[pin]))
        ioapic_service_level(ioapic, pin);
    else
        (void)ioapic_send(ioapic, pin);
}

static void ioapic_eoi(void *opaque, uint8_t vector)
{
    struct ioapic *ioapic = opaque;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->entry[pin];
        if (!(*entry & ENTRY_REMOTE_IRR) || (uint8_t)*entry != vector)
            continue;
        *entry &= ~(uint64_t)ENTRY_REMOTE_IRR;
        ioapic_service_level(ioapic, pin);
    }
}

static uint32_t ioapic_read_window(const struct ioapic *ioapic)
{
    unsigned select = ioapic->select;
    if (select >= 0x10 && select < 0x10 + 2 * IOAPIC_PINS) {
        uint64_t entry = ioapic->entry[(select - 0x10) / 2];
        return (uint32_t)(select & 1 ? entry >> 32 : entry);
    }
    switch (select) {
    case 0x00: return (uint32_t)ioapic->id << 24;
    case 0x01: return (IOAPIC_PINS - 1) << 16 | IOAPIC_VERSION;
    case 0x02: /* arbitration ID follows the ID */ return (uint32_t)ioapic->id << 24;
    default: return 0;
    }
}

static void ioapic_write_entry(struct ioapic *ioapic, unsigned pin, bool high, uint32_t value)
{
    uint64_t old = ioapic->entry[pin];
    if (high) {
        ioapic->entry[pin] = (uint32_t)old | (uint64_t)(value & ENTRY_WRITABLE_HIGH) << 32;
    } else {
        uint64_t entry = (old & 0xFFFFFFFF00000000ull) | (value & ENTRY_WRITABLE_LOW);
        if (value & ENTRY_LEVEL)
            entry |= old & ENTRY_REMOTE_IRR; /* an edge-triggered entry has none: the way to clear it by hand */
        ioapic->entry[pin] = entry;
    }
    ioapic_service_level(ioapic, pin);
}

static void ioapic_write_window(struct ioapic *ioapic, uint32_t value)
{
    unsigned select = ioapic->select;
    if (select == 0)
        ioapic->id = value >> 24 & 0x0F;
    else if (select >= 0x10 && select < 0x10 + 2 * IOAPIC_PINS)
        ioapic_write_entry(ioapic, (select - 0x10) / 2, select & 1, value);
}

static uint64_t ioapic_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct ioapic *ioapic = opaque;
    (void)size_bytes;
    switch (address & ~3ull) {
    case REGISTER_SELECT: return ioapic->select;
    case REGISTER_WINDOW: return ioapic_read_window(ioapic) >> (address & 3) * 8;
    default: return 0;
    }
}

static void ioapic_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct ioapic *ioapic = opaque;
    (void)size_bytes;
    if (address == REGISTER_SELECT)
        ioapic->select = (uint8_t)value;
    else if (address == REGISTER_WINDOW)
        ioapic_write_window(ioapic, (uint32_t)value);
    else if (address == REGISTER_EOI)
        ioapic_eoi(ioapic, (uint8_t)value);
}

static const struct bus_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write, .max_size_bytes = 4};

static void ioapic_reset(struct device *device)
{
    struct ioapic *ioapic = device_of(device, struct ioapic);
    ioapic->select = 0;
    ioapic->id = IOAPIC_ID;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->entry[pin] = ENTRY_MASKED;
}

const struct device_class ioapic_class = {
    .name = "ioapic", .version = 1, .size = sizeof(struct ioapic), .fields = ioapic_fields, .reset = ioapic_reset};

struct irq_line ioapic_irq_line(struct device *device, unsigned pin)
{
    CHECK(pin < IOAPIC_PINS);
    return (struct irq_line){.set = ioapic_set_line, .opaque = device_of(device, struct ioapic), .pin = pin};
}

struct device *ioapic_create(struct machine *machine, struct device *lapic)
{
    struct ioapic *ioapic = device_alloc(&ioapic_class, machine, "ioapic");
    ioapic->lapic = lapic;
    ioapic_reset(&ioapic->device);
    bus_map_mmio(machine_bus(machine), IOAPIC_BASE, 0x100, &ioapic_ops, ioapic, "ioapic");
    lapic_connect_eoi(lapic, ioapic_eoi, ioapic);
    machine_add_device(machine, &ioapic->device);
    return &ioapic->device;
}
