/* I/O APIC: registers, edge and level delivery through the local APIC, remote IRR and EOI. */
#include "devices/ioapic.h"
#include "devices/lapic.h"
#include "devices/pic_8259.h"
#include "tests/devices/device_test.h"

#define LAPIC_EOI (LAPIC_DEFAULT_BASE + 0xB0)
#define LAPIC_SVR (LAPIC_DEFAULT_BASE + 0xF0)
#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u

static void build(struct rig *rig)
{
    rig->other = lapic_create(rig->fake->machine);
    struct device *pic = pic_8259_create(rig->fake->machine, lapic_lint_line(rig->other, 0));
    lapic_connect_pic(rig->other, pic);
    rig->device = ioapic_create(rig->fake->machine, rig->other);
}

static uint32_t get(struct rig *rig, uint8_t reg)
{
    rig_mmio_write(rig, IOAPIC_BASE, reg);
    return rig_mmio_read(rig, IOAPIC_BASE + 0x10);
}

static void put(struct rig *rig, uint8_t reg, uint32_t value)
{
    rig_mmio_write(rig, IOAPIC_BASE, reg);
    rig_mmio_write(rig, IOAPIC_BASE + 0x10, value);
}

static void route(struct rig *rig, unsigned pin, uint32_t low)
{
    put(rig, (uint8_t)(0x11 + 2 * pin), 0);
    put(rig, (uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t entry(struct rig *rig, unsigned pin)
{
    return get(rig, (uint8_t)(0x10 + 2 * pin));
}

static void drive(struct rig *rig, unsigned pin, bool level)
{
    irq_set(ioapic_irq_line(rig->device, pin), level);
}

static struct rig *enabled_rig(void)
{
    struct rig *rig = rig_create(build);
    rig_mmio_write(rig, LAPIC_SVR, 0x1FF);
    return rig;
}

START_TEST(registers)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(get(rig, 0), IOAPIC_ID << 24);
    put(rig, 0, 0x0F000000);
    ck_assert_uint_eq(get(rig, 0), 0x0F000000);
    ck_assert_uint_eq(get(rig, 1), 0x00170020);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ck_assert_uint_eq(entry(rig, pin), MASKED);
    put(rig, 0x10, 0xFFFFFFFF);
    ck_assert_uint_eq(get(rig, 0x10), 0x1AFFF); /* no delivery status, no remote IRR */
    put(rig, 0x11, 0xFFFFFFFF);
    ck_assert_uint_eq(get(rig, 0x11), 0xFF000000);
    ck_assert_uint_eq(get(rig, 0x40), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(edge_delivers_once)
{
    struct rig *rig = enabled_rig();
    drive(rig, 4, true); /* masked: lost */
    route(rig, 4, 0x51);
    ck_assert(!rig_intr(rig));
    drive(rig, 4, false);
    drive(rig, 4, true);
    ck_assert_int_eq(rig_acknowledge(rig), 0x51);
    rig_mmio_write(rig, LAPIC_EOI, 0);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(entry(rig, 4), 0x51);
    drive(rig, 4, false);
    ck_assert(!rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

START_TEST(level_delivers_until_lowered)
{
    struct rig *rig = enabled_rig();
    route(rig, 11, LEVEL | 0x61);
    drive(rig, 11, true);
    ck_assert_uint_eq(entry(rig, 11), LEVEL | REMOTE_IRR | 0x61);
    ck_assert_int_eq(rig_acknowledge(rig), 0x61);
    drive(rig, 11, false);
    drive(rig, 11, true); /* nothing new before EOI */
    ck_assert(!rig_intr(rig));
    rig_mmio_write(rig, LAPIC_EOI, 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x61);
    drive(rig, 11, false);
    rig_mmio_write(rig, LAPIC_EOI, 0);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(entry(rig, 11), LEVEL | 0x61);
    rig_destroy(rig);
}
END_TEST

START_TEST(level_waits_behind_the_mask)
{
    struct rig *rig = enabled_rig();
    route(rig, 11, MASKED | LEVEL | 0x61);
    drive(rig, 11, true);
    ck_assert(!rig_intr(rig));
    put(rig, 0x10 + 22, LEVEL | 0x61);
    ck_assert(rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

START_TEST(remote_irr_by_hand)
{
    struct rig *rig = enabled_rig();
    route(rig, 10, LEVEL | 0x62);
    drive(rig, 10, true);
    rig_acknowledge(rig);
    drive(rig, 10, false);
    put(rig, 0x10 + 20, MASKED | LEVEL | 0x62);
    ck_assert_uint_eq(entry(rig, 10), MASKED | LEVEL | REMOTE_IRR | 0x62);
    put(rig, 0x10 + 20, MASKED | 0x62); /* edge and back: what Linux does on old parts */
    put(rig, 0x10 + 20, LEVEL | 0x62);
    ck_assert_uint_eq(entry(rig, 10), LEVEL | 0x62);
    drive(rig, 10, true);
    rig_mmio_write(rig, IOAPIC_BASE + 0x40, 0x62);                /* the EOI register */
    ck_assert_uint_eq(entry(rig, 10), LEVEL | REMOTE_IRR | 0x62); /* still asserted: sent again */
    drive(rig, 10, false);
    rig_mmio_write(rig, IOAPIC_BASE + 0x40, 0x62);
    ck_assert_uint_eq(entry(rig, 10), LEVEL | 0x62);
    rig_destroy(rig);
}
END_TEST

START_TEST(two_pins_one_vector)
{
    struct rig *rig = enabled_rig();
    route(rig, 10, LEVEL | 0x62);
    route(rig, 11, LEVEL | 0x62);
    drive(rig, 10, true);
    drive(rig, 11, true);
    ck_assert_int_eq(rig_acknowledge(rig), 0x62);
    drive(rig, 10, false);
    rig_mmio_write(rig, LAPIC_EOI, 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x62); /* for pin 11 */
    drive(rig, 11, false);
    rig_mmio_write(rig, LAPIC_EOI, 0);
    ck_assert(!rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

START_TEST(other_delivery_modes)
{
    struct rig *rig = enabled_rig();
    route(rig, 5, 4 << 8); /* NMI */
    drive(rig, 5, true);
    ck_assert(machine_nmi_take(rig->fake->machine));
    route(rig, 6, 1 << 8 | 0x70); /* lowest priority */
    drive(rig, 6, true);
    ck_assert_int_eq(rig_acknowledge(rig), 0x70);
    put(rig, 0x11 + 14, 0x01000000); /* another CPU */
    put(rig, 0x10 + 14, 0x71);
    drive(rig, 7, true);
    ck_assert(!rig_intr(rig));
    fake_outb(rig->fake, 0x20, 0x11); /* ExtINT: the vector comes from the 8259 */
    fake_outb(rig->fake, 0x21, 0x20);
    fake_outb(rig->fake, 0x21, 0x04);
    fake_outb(rig->fake, 0x21, 0x01);
    route(rig, 0, 7 << 8);
    drive(rig, 0, true);
    ck_assert(rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), 0x27); /* it has none: the default IR7 */
    ck_assert(!rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    rig_mmio_write(rig, LAPIC_SVR, 0x1FF);
    route(rig, 9, LEVEL | 0x49);
    route(rig, 4, 0x51);
    drive(rig, 9, true);
    drive(rig, 4, true);
    rig_acknowledge(rig);
    rig_mmio_write(rig, IOAPIC_BASE, 0x22);
}

static void after_load(struct rig *rig)
{
    rig_log(rig, rig_mmio_read(rig, IOAPIC_BASE + 0x10));
    for (unsigned i = 0; i < 6; i++) {
        rig_mmio_write(rig, LAPIC_EOI, 0);
        rig_log(rig, (uint64_t)rig_acknowledge(rig));
        rig_log(rig, entry(rig, 9));
        drive(rig, 4, i & 1);
        drive(rig, 9, i < 3);
    }
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("ioapic", registers, edge_delivers_once, level_delivers_until_lowered, level_waits_behind_the_mask,
         remote_irr_by_hand, two_pins_one_vector, other_delivery_modes, state_is_whole)
