/* HPET: counter, one-shot and periodic comparators at exact times, edge and level, legacy replacement. */
#include "devices/hpet.h"
#include "tests/devices/device_test.h"

#define CONFIG 0x10
#define STATUS 0x20
#define COUNTER 0xF0
#define TIMER(n) (0x100 + 0x20 * (n))
#define COMPARATOR(n) (0x108 + 0x20 * (n))
#define NS_PER_TICK 10

/* Lines: 0 IRQ0, 1 IRQ8, 2 and 3 I/O APIC pins 20 and 21. */
static void set_gsi(void *opaque, unsigned pin, bool level)
{
    struct rig *rig = opaque;
    ck_assert_msg(pin == 20 || pin == 21, "pin %u", pin);
    irq_set(fake_line(&rig->line[pin - 18]), level);
}

static void build(struct rig *rig)
{
    struct irq_line gsi = {.set = set_gsi, .opaque = rig, .pin = 0};
    rig->device = hpet_create(rig->fake->machine, fake_line(&rig->line[0]), fake_line(&rig->line[1]), gsi);
}

static uint64_t get(struct rig *rig, unsigned reg)
{
    return bus_mmio_read(machine_bus(rig->fake->machine), HPET_BASE + reg, 8);
}

static void put(struct rig *rig, unsigned reg, uint64_t value)
{
    bus_mmio_write(machine_bus(rig->fake->machine), HPET_BASE + reg, value, 8);
}

START_TEST(capabilities)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(get(rig, 0), 10000000ull << 32 | 0x8086A201);
    ck_assert_uint_eq(rig_mmio_read(rig, HPET_BASE + 4), 10000000);
    put(rig, 0, 0);
    ck_assert_uint_eq(get(rig, 0), 10000000ull << 32 | 0x8086A201);
    ck_assert_uint_eq(get(rig, TIMER(0)), 0x00F0000000000030);
    ck_assert_uint_eq(get(rig, COMPARATOR(2)), UINT64_MAX);
    ck_assert_uint_eq(get(rig, TIMER(3)), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(counter)
{
    struct rig *rig = rig_create(build);
    rig_advance_to(rig, 1000);
    ck_assert_uint_eq(get(rig, COUNTER), 0);
    put(rig, COUNTER, 0x123456789);
    rig_advance_to(rig, 1005);
    put(rig, CONFIG, 1);
    rig_advance_to(rig, 1005 + 999);
    ck_assert_uint_eq(get(rig, COUNTER), 0x123456789 + 99);
    rig_advance_to(rig, 1005 + 1000);
    ck_assert_uint_eq(get(rig, COUNTER), 0x123456789 + 100);
    ck_assert_uint_eq(rig_mmio_read(rig, HPET_BASE + COUNTER + 4), 1);
    put(rig, CONFIG, 0);
    rig_advance_to(rig, 5000);
    ck_assert_uint_eq(get(rig, COUNTER), 0x123456789 + 100);
    rig_mmio_write(rig, HPET_BASE + COUNTER, 7); /* half of it */
    ck_assert_uint_eq(get(rig, COUNTER), 0x100000007);
    rig_destroy(rig);
}
END_TEST

START_TEST(one_shot_edge)
{
    struct rig *rig = rig_create(build);
    put(rig, CONFIG, 1);
    put(rig, TIMER(1), 20u << 9 | 0x4);
    put(rig, COMPARATOR(1), 500);
    rig_advance_to(rig, 500 * NS_PER_TICK - 1);
    ck_assert_uint_eq(rig->line[2].rises, 0);
    rig_advance_to(rig, 500 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[2].rises, 1);
    ck_assert_uint_eq(get(rig, STATUS), 0);
    put(rig, COMPARATOR(1), 800);
    rig_advance_to(rig, 800 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[2].rises, 2); /* a new edge, though the line stays high */
    rig_advance_to(rig, 100000 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[2].rises, 2);
    put(rig, COMPARATOR(1), 50); /* long past: 5,800 years ahead */
    rig_advance_to(rig, 200000 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[2].rises, 2);
    put(rig, TIMER(1), 20u << 9);
    ck_assert(!rig->line[2].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(disabled_interrupt_and_halted_counter)
{
    struct rig *rig = rig_create(build);
    put(rig, TIMER(0), 20u << 9 | 0x4);
    put(rig, COMPARATOR(0), 100);
    rig_advance_to(rig, 5000);
    ck_assert(!rig->line[2].level); /* nothing counts */
    put(rig, CONFIG, 1);
    rig_advance_to(rig, 5000 + 50 * NS_PER_TICK);
    put(rig, CONFIG, 0);
    rig_advance_to(rig, 10000);
    ck_assert(!rig->line[2].level);
    put(rig, CONFIG, 1);
    rig_advance_to(rig, 10000 + 50 * NS_PER_TICK - 1);
    ck_assert(!rig->line[2].level);
    rig_advance_to(rig, 10000 + 50 * NS_PER_TICK);
    ck_assert(rig->line[2].level);
    put(rig, CONFIG, 0); /* the counter set back: the comparator matches again */
    put(rig, COUNTER, 0);
    put(rig, CONFIG, 1);
    rig_advance_to(rig, fake_machine_now_ns(rig->fake) + 100 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[2].rises, 2);
    rig_destroy(rig);
}
END_TEST

START_TEST(periodic_as_linux_sets_it)
{
    struct rig *rig = rig_create(build);
    put(rig, CONFIG, 1);
    rig_advance_to(rig, 3000); /* counter 300 */
    rig_mmio_write(rig, HPET_BASE + TIMER(0), 20u << 9 | 0x4 | 0x8 | 0x40 | 0x100);
    rig_mmio_write(rig, HPET_BASE + COMPARATOR(0), 1300);
    rig_mmio_write(rig, HPET_BASE + COMPARATOR(0), 1000);
    for (unsigned n = 0; n < 50; n++) {
        rig_advance_to(rig, (1300 + 1000 * n) * NS_PER_TICK - 1);
        ck_assert_uint_eq(rig->line[2].rises, n);
        rig_advance_to(rig, (1300 + 1000 * n) * NS_PER_TICK);
        ck_assert_uint_eq(rig->line[2].rises, n + 1);
        ck_assert_uint_eq(get(rig, COMPARATOR(0)), 1300 + 1000 * (n + 1));
    }
    ck_assert_uint_eq(rig_mmio_read(rig, HPET_BASE + TIMER(0)) & 0x40, 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(comparator_of_32_bits_wraps)
{
    struct rig *rig = rig_create(build);
    put(rig, COUNTER, 0xFFFFFFF0);
    put(rig, TIMER(2), 21u << 9 | 0x4 | 0x100);
    put(rig, COMPARATOR(2), 0x10);
    put(rig, CONFIG, 1);
    rig_advance_to(rig, 0x20 * NS_PER_TICK - 1);
    ck_assert_uint_eq(rig->line[3].rises, 0);
    rig_advance_to(rig, 0x20 * NS_PER_TICK);
    ck_assert_uint_eq(rig->line[3].rises, 1);
    ck_assert_uint_eq(get(rig, COUNTER), 0x100000010);
    rig_destroy(rig);
}
END_TEST

START_TEST(level_until_cleared)
{
    struct rig *rig = rig_create(build);
    put(rig, CONFIG, 1);
    put(rig, TIMER(2), 21u << 9 | 0x4 | 0x2);
    put(rig, COMPARATOR(2), 10);
    rig_advance_to(rig, 10 * NS_PER_TICK);
    ck_assert(rig->line[3].level);
    ck_assert_uint_eq(get(rig, STATUS), 0x4);
    put(rig, STATUS, 0x3); /* others' bits */
    ck_assert(rig->line[3].level);
    put(rig, STATUS, 0x4);
    ck_assert(!rig->line[3].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(legacy_replacement)
{
    struct rig *rig = rig_create(build);
    struct irq_line pit = hpet_pit_line(rig->device), rtc = hpet_rtc_line(rig->device);
    irq_set(pit, true);
    irq_set(rtc, true);
    ck_assert(rig->line[0].level && rig->line[1].level);
    put(rig, TIMER(0), 0x4);
    put(rig, TIMER(1), 0x4);
    put(rig, COMPARATOR(0), 100);
    put(rig, COMPARATOR(1), 200);
    put(rig, CONFIG, 3);
    ck_assert(!rig->line[0].level && !rig->line[1].level);
    irq_set(pit, false);
    irq_set(pit, true); /* cut off */
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, 100 * NS_PER_TICK);
    ck_assert(rig->line[0].level && !rig->line[1].level);
    rig_advance_to(rig, 200 * NS_PER_TICK);
    ck_assert(rig->line[1].level);
    irq_set(rtc, false);
    put(rig, TIMER(0), 0);
    put(rig, TIMER(1), 0);
    put(rig, CONFIG, 1);
    ck_assert(rig->line[0].level); /* the PIT's again */
    ck_assert(!rig->line[1].level);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    put(rig, CONFIG, 3);
    put(rig, TIMER(0), 0x4 | 0x8 | 0x40);
    put(rig, COMPARATOR(0), 1000);
    put(rig, COMPARATOR(0), 700);
    put(rig, TIMER(1), 0x4);
    put(rig, COMPARATOR(1), 1500);
    put(rig, TIMER(2), 21u << 9 | 0x4 | 0x2);
    put(rig, COMPARATOR(2), 1100);
    irq_set(hpet_pit_line(rig->device), true);
    rig_advance_to(rig, 12345);
}

static void after_load(struct rig *rig)
{
    for (unsigned i = 0; i < 20; i++) {
        fake_machine_advance_ns(rig->fake, 1234);
        rig_log(rig, get(rig, COUNTER));
        rig_log(rig, get(rig, COMPARATOR(0)));
        rig_log(rig, get(rig, STATUS));
        rig_log(rig, rig->line[0].rises);
        rig_log(rig, rig->line[1].rises);
        rig_log(rig, rig->line[3].level);
        if (i == 10)
            put(rig, STATUS, 0x4);
    }
    put(rig, CONFIG, 0);
    rig_log(rig, rig->line[0].level);
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("hpet", capabilities, counter, one_shot_edge, disabled_interrupt_and_halted_counter, periodic_as_linux_sets_it,
         comparator_of_32_bits_wraps, level_until_cleared, legacy_replacement, state_is_whole)
