/* Capabilities, 64-bit BARs and MSI-X of a PCI function: table, masks, pending bits, messages to the local APIC and to
 * memory, saved state. */
#include "devices/lapic.h"
#include "devices/pci_msix.h"
#include "tests/devices/device_test.h"

#define SLOT 5u
#define VECTORS 40u
#define BAR_GPA 0xFEB00000u
#define WIDE_GPA 0x1200000000ull
#define PENDING 0x800u
#define CAP_MSIX 0x40u
#define CAP_OTHER 0x4Cu
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u
#define MESSAGE_GPA 0x8000u

#define CARD_STATE(S, A, N, T)                                                                                         \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    N(T, struct pci_msix, msix, 1, pci_msix_fields)
struct card {
    struct device device;
    STATE_MEMBERS(CARD_STATE)
    struct pci_bus *bus;
    uint64_t wide_base;
    bool wide_enabled;
};
STATE_TABLE(card_fields, struct card, CARD_STATE);

static void card_bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct card *card = opaque;
    if (bar == 1) {
        pci_msix_bar_changed(card->msix, base, enabled);
        return;
    }
    ck_assert_uint_eq(bar, 4);
    card->wide_base = base;
    card->wide_enabled = enabled;
}

static void card_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    struct card *card = opaque;
    pci_msix_config_written(card->msix, offset, size_bytes);
}

static void card_reset(struct device *device)
{
    pci_function_reset(device_of(device, struct card)->pci);
    pci_msix_reset(device_of(device, struct card)->msix);
}

static void card_post_load(struct device *device)
{
    pci_function_post_load(device_of(device, struct card)->pci);
    pci_msix_post_load(device_of(device, struct card)->msix);
}

static const struct device_class card_class = {.name = "card",
                                               .version = 1,
                                               .size = sizeof(struct card),
                                               .fields = card_fields,
                                               .reset = card_reset,
                                               .post_load = card_post_load};
static const struct pci_function_ops card_ops = {.bar_changed = card_bar_changed, .config_written = card_written};

static void send_msi(void *opaque, uint64_t address, uint32_t data)
{
    (void)lapic_deliver_msi(opaque, address, data);
}

static struct card *card_of(struct rig *rig)
{
    return device_of(rig->device, struct card);
}

static void build(struct rig *rig)
{
    static const struct pci_identity identity = {.vendor = 0x1234, .device = 0x5678, .interrupt_pin = 1};
    struct machine *machine = rig->fake->machine;
    rig->other = lapic_create(machine);
    struct card *card = device_alloc(&card_class, machine, "card");
    rig->device = &card->device;
    card->bus = pci_bus_create(machine);
    pci_bus_set_msi(card->bus, send_msi, rig->other);
    pci_function_init(card->pci, card->bus, SLOT, 0, &identity, &card_ops, card);
    pci_function_add_bar(card->pci, 1, PCI_BAR_MEMORY, 4096);
    pci_function_add_bar(card->pci, 4, PCI_BAR_MEMORY_64_PREFETCH, 16384);
    pci_msix_init(card->msix, card->pci, VECTORS, 1, 0, PENDING);
    pci_msix_map_bar(card->msix, "card-msix");
    ck_assert_uint_eq(pci_function_add_capability(card->pci, 9, 17), CAP_OTHER);
    pci_function_define(card->pci, CAP_OTHER + 2, 1, 17, 0);
    machine_add_device(machine, rig->device);
}

static uint32_t config_read(struct rig *rig, unsigned offset, unsigned size)
{
    return pci_bus_config_read(card_of(rig)->bus, SLOT, 0, offset, size);
}

static void config_write(struct rig *rig, unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_config_write(card_of(rig)->bus, SLOT, 0, offset, value, size);
}

static void set_entry(struct rig *rig, unsigned vector, uint64_t address, uint32_t data, uint32_t control)
{
    uint64_t gpa = BAR_GPA + 16ull * vector;
    rig_mmio_write(rig, gpa, (uint32_t)address);
    rig_mmio_write(rig, gpa + 4, (uint32_t)(address >> 32));
    rig_mmio_write(rig, gpa + 8, data);
    rig_mmio_write(rig, gpa + 12, control);
}

/* Decoding on, the local APIC too; MSI-X as said. */
static void prepare(struct rig *rig, uint32_t msix_control)
{
    config_write(rig, PCI_BAR0 + 4, BAR_GPA, 4);
    config_write(rig, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    config_write(rig, CAP_MSIX + 2, msix_control, 2);
    rig_mmio_write(rig, LAPIC_DEFAULT_BASE + 0xF0, 0x1FF);
}

static int take(struct rig *rig)
{
    int vector = rig_intr(rig) ? rig_acknowledge(rig) : -1;
    rig_mmio_write(rig, LAPIC_DEFAULT_BASE + 0xB0, 0);
    return vector;
}

START_TEST(capability_list)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(config_read(rig, PCI_STATUS, 2) & 0x10, 0x10);
    ck_assert_uint_eq(config_read(rig, PCI_CAPABILITIES, 1), CAP_MSIX);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX, 2), CAP_OTHER << 8 | 0x11);
    ck_assert_uint_eq(config_read(rig, CAP_OTHER, 4), 17u << 16 | 9);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX + 2, 2), VECTORS - 1);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX + 4, 4), 1);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX + 8, 4), PENDING | 1);
    config_write(rig, CAP_MSIX, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX, 4), (0xC000u | (VECTORS - 1)) << 16 | CAP_OTHER << 8 | 0x11);
    config_write(rig, CAP_MSIX + 4, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX + 4, 4), 1);
    machine_reset(rig->fake->machine);
    ck_assert_uint_eq(config_read(rig, CAP_MSIX + 2, 2), VECTORS - 1);
    ck_assert_uint_eq(config_read(rig, PCI_CAPABILITIES, 1), CAP_MSIX);
    rig_destroy(rig);
}
END_TEST

START_TEST(wide_bar)
{
    struct rig *rig = rig_create(build);
    struct card *card = card_of(rig);
    ck_assert_uint_eq(config_read(rig, 0x20, 4), 0xC);
    config_write(rig, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    config_write(rig, 0x20, 0xFFFFFFFF, 4);
    config_write(rig, 0x24, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(config_read(rig, 0x20, 4), 0xFFFFC00C);
    ck_assert_uint_eq(config_read(rig, 0x24, 4), 0xFFFFFFFF);
    ck_assert(!card->wide_enabled); /* sizing maps nothing */
    config_write(rig, 0x24, (uint32_t)(WIDE_GPA >> 32), 4);
    config_write(rig, 0x20, (uint32_t)WIDE_GPA | 0x4000, 4);
    ck_assert(card->wide_enabled);
    ck_assert_uint_eq(card->wide_base, WIDE_GPA + 0x4000);
    config_write(rig, 0x24, 0, 4); /* below 4 GiB the rules of other BARs */
    config_write(rig, 0x20, 0xFE000000, 4);
    ck_assert(card->wide_enabled);
    ck_assert_uint_eq(card->wide_base, 0xFE000000);
    config_write(rig, 0x20, 0xFFFFC000, 4);
    ck_assert(!card->wide_enabled);
    config_write(rig, 0x24, 0x00100000, 4); /* 2^52 */
    ck_assert(!card->wide_enabled);
    machine_reset(rig->fake->machine);
    ck_assert_uint_eq(config_read(rig, 0x24, 4), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(table_registers)
{
    struct rig *rig = rig_create(build);
    prepare(rig, 0);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 12), 1); /* masked after reset */
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 16 * (VECTORS - 1) + 12), 1);
    set_entry(rig, 3, 0x123456789ABCDEFFull, 0x55667788, ~0u);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 48), 0x9ABCDEFC);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 52), 0x12345678);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 56), 0x55667788);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 60), 1);
    struct bus *bus = machine_bus(rig->fake->machine);
    ck_assert_uint_eq(bus_mmio_read(bus, BAR_GPA + 48, 8), 0x123456789ABCDEFCull);
    bus_mmio_write(bus, BAR_GPA + 57, 0xAB, 1);
    bus_mmio_write(bus, BAR_GPA + 58, 0xCDEF, 2);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 56), 0xCDEFAB88);
    /* Behind the table, and the pending bits: not writable. */
    rig_mmio_write(rig, BAR_GPA + 16 * VECTORS, ~0u);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 16 * VECTORS), 0);
    rig_mmio_write(rig, BAR_GPA + PENDING, ~0u);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING), 0);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + 4092), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(messages)
{
    struct rig *rig = rig_create(build);
    struct card *card = card_of(rig);
    struct memory *memory = machine_memory(rig->fake->machine);
    prepare(rig, 0);
    set_entry(rig, 0, 0xFEE00000, 0x51, 0);
    set_entry(rig, VECTORS - 1, 0xFEE00000, 0x52, 0);
    pci_msix_notify(card->msix, 0); /* off: nothing, not even pending */
    ck_assert_int_eq(take(rig), -1);
    config_write(rig, CAP_MSIX + 2, MSIX_ENABLE, 2);
    ck_assert_int_eq(take(rig), -1);
    pci_msix_notify(card->msix, 0);
    ck_assert_int_eq(take(rig), 0x51);
    ck_assert_int_eq(take(rig), -1);
    pci_msix_notify(card->msix, VECTORS - 1);
    ck_assert_int_eq(take(rig), 0x52);
    pci_msix_notify(card->msix, VECTORS);
    pci_msix_notify(card->msix, ~0u);
    ck_assert_int_eq(take(rig), -1);
    set_entry(rig, 1, 0xFEE01000, 0x53, 0); /* another APIC */
    pci_msix_notify(card->msix, 1);
    ck_assert_int_eq(take(rig), -1);
    set_entry(rig, 1, MESSAGE_GPA, 0xCAFE1234, 0);
    pci_msix_notify(card->msix, 1);
    ck_assert_uint_eq(memory_read_u32(memory, MESSAGE_GPA), 0xCAFE1234);
    config_write(rig, PCI_COMMAND, PCI_COMMAND_MEMORY, 2); /* no bus master: no message */
    pci_msix_notify(card->msix, 0);
    ck_assert_int_eq(take(rig), -1);
    rig_destroy(rig);
}
END_TEST

START_TEST(masks_and_pending)
{
    struct rig *rig = rig_create(build);
    struct card *card = card_of(rig);
    prepare(rig, MSIX_ENABLE);
    set_entry(rig, 33, 0xFEE00000, 0x60, 1);
    pci_msix_notify(card->msix, 33);
    pci_msix_notify(card->msix, 33);
    ck_assert_int_eq(take(rig), -1);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING), 0);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING + 4), 2);
    rig_mmio_write(rig, BAR_GPA + 33 * 16 + 12, 0);
    ck_assert_int_eq(take(rig), 0x60);
    ck_assert_int_eq(take(rig), -1);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING + 4), 0);
    config_write(rig, CAP_MSIX + 2, MSIX_ENABLE | MSIX_MASK_ALL, 2);
    pci_msix_notify(card->msix, 33);
    ck_assert_int_eq(take(rig), -1);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING + 4), 2);
    rig_mmio_write(rig, BAR_GPA + 33 * 16 + 12, 0); /* the other mask stands */
    ck_assert_int_eq(take(rig), -1);
    config_write(rig, CAP_MSIX + 3, MSIX_ENABLE >> 8, 1);
    ck_assert_int_eq(take(rig), 0x60);
    config_write(rig, CAP_MSIX + 2, MSIX_ENABLE | MSIX_MASK_ALL, 2);
    pci_msix_notify(card->msix, 33);
    machine_reset(rig->fake->machine);
    prepare(rig, MSIX_ENABLE);
    ck_assert_uint_eq(rig_mmio_read(rig, BAR_GPA + PENDING + 4), 0);
    rig_destroy(rig);
}
END_TEST

/* Delivery modes that MSI shares with the redirection table. */
START_TEST(message_fields)
{
    struct rig *rig = rig_create(build);
    prepare(rig, MSIX_ENABLE);
    ck_assert(lapic_deliver_msi(rig->other, 0xFEEFF00C, 0x71)); /* broadcast, logical, hint */
    ck_assert_int_eq(take(rig), 0x71);
    ck_assert(!lapic_deliver_msi(rig->other, 0xFEE01004, 0x72)); /* logical ID 0: no one */
    rig_mmio_write(rig, LAPIC_DEFAULT_BASE + 0xD0, 1u << 24);
    ck_assert(lapic_deliver_msi(rig->other, 0xFEE01004, 0x72));
    ck_assert_int_eq(take(rig), 0x72);
    ck_assert(lapic_deliver_msi(rig->other, 0xFEE00000, 0xC073)); /* level, asserted */
    ck_assert_uint_eq(rig_mmio_read(rig, LAPIC_DEFAULT_BASE + 0x180 + 0x30) >> 19 & 1, 1);
    ck_assert_int_eq(take(rig), 0x73);
    ck_assert(!lapic_deliver_msi(rig->other, 0xFEE00000, 0x8073));
    ck_assert(lapic_deliver_msi(rig->other, 0xFEE00000, 0x0474)); /* NMI */
    ck_assert(machine_nmi_take(rig->fake->machine));
    rig_destroy(rig);
}
END_TEST

static void leave_pending(struct rig *rig)
{
    prepare(rig, MSIX_ENABLE);
    set_entry(rig, 7, 0xFEE00000, 0x61, 1);
    pci_msix_notify(card_of(rig)->msix, 7);
}

static void unmask(struct rig *rig)
{
    rig_log(rig, rig_mmio_read(rig, BAR_GPA + PENDING));
    rig_mmio_write(rig, BAR_GPA + 7 * 16 + 12, 0);
    rig_log(rig, (uint64_t)take(rig));
}

START_TEST(saved_state)
{
    rig_round_trip(build, leave_pending, unmask);
}
END_TEST

RIG_MAIN("pci msix", capability_list, wide_bar, table_registers, messages, masks_and_pending, message_fields,
         saved_state)
