/* Random scripts of accesses, inputs and time on all the legacy chips together, wired as on the board: no access does
 * harm (run under the sanitizers), state restored in the middle goes on the same, and damaged state does no harm. */
#include "devices/debugcon.h"
#include "devices/dma_8237.h"
#include "devices/hpet.h"
#include "devices/ioapic.h"
#include "devices/kbd_8042.h"
#include "devices/lapic.h"
#include "devices/pic_8259.h"
#include "devices/piix4_pm.h"
#include "devices/pit_8254.h"
#include "devices/port_80.h"
#include "devices/port_92.h"
#include "devices/rtc_mc146818.h"
#include "devices/uart_16550a.h"
#include "tests/devices/device_test.h"

#define SCRIPT_STEPS 3000

static struct device *pic_of(struct rig *rig)
{
    return machine_device_find(rig->fake->machine, "pic");
}

static void set_isa(void *opaque, unsigned irq, bool level)
{
    struct rig *rig = opaque;
    irq_set(pic_8259_irq_line(pic_of(rig), irq), level);
    irq_set(ioapic_irq_line(rig->device, irq ? irq : 2), level);
}

static struct irq_line isa(struct rig *rig, unsigned irq)
{
    return (struct irq_line){.set = set_isa, .opaque = rig, .pin = irq};
}

static void build(struct rig *rig)
{
    struct machine *machine = rig->fake->machine;
    struct char_sink nowhere = {0};
    struct device *lapic = lapic_create(machine);
    struct device *pic = pic_8259_create(machine, lapic_lint_line(lapic, 0));
    lapic_connect_pic(lapic, pic);
    rig->device = ioapic_create(machine, lapic);
    struct device *hpet = hpet_create(machine, isa(rig, 0), isa(rig, 8), ioapic_irq_line(rig->device, 0));
    pit_8254_create(machine, hpet_pit_line(hpet));
    rtc_mc146818_create(machine, hpet_rtc_line(hpet));
    kbd_8042_create(machine, isa(rig, 1), isa(rig, 12));
    port_92_create(machine);
    uart_16550a_create(machine, 0, 0x3F8, isa(rig, 4), nowhere);
    uart_16550a_create(machine, 1, 0x2F8, isa(rig, 3), nowhere);
    struct device *pm = piix4_pm_create(machine, isa(rig, PIIX4_SCI_IRQ));
    piix4_pm_set_base(pm, 0x600, true);
    piix4_pm_set_smbus_base(pm, 0x700, true);
    dma_8237_create(machine);
    port_80_create(machine);
    debugcon_create(machine, nowhere);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint16_t random_port(uint64_t random)
{
    static const struct {
        uint16_t base, count;
    } ranges[] = {
        {0x00, 16}, {0x20, 2}, {0x40, 4},  {0x60, 1},  {0x61, 1},  {0x64, 1},  {0x70, 2},  {0x80, 16},  {0x92, 1},
        {0xA0, 2},  {0xB2, 2}, {0xC0, 32}, {0x2F8, 8}, {0x3F8, 8}, {0x402, 1}, {0x4D0, 2}, {0x600, 64}, {0x700, 16},
    };
    unsigned which = (unsigned)(random % (sizeof ranges / sizeof ranges[0]));
    return (uint16_t)(ranges[which].base + (random >> 8) % ranges[which].count);
}

static uint64_t random_gpa(uint64_t random)
{
    uint64_t reg = (random >> 8 & 0x3F) << 4;
    switch (random % 3) {
    case 0: return LAPIC_DEFAULT_BASE + reg;
    case 1: return IOAPIC_BASE + (random & 0x80 ? 0 : random & 0x40 ? 0x10 : 0x40);
    default: return HPET_BASE + (random >> 8 & 0x7F) * 4;
    }
}

static uint64_t random_value(uint64_t *seed)
{
    uint64_t random = next_random(seed);
    switch (random & 3) {
    case 0: /* short times */ return next_random(seed) & 0xFFF;
    case 1: return 1ull << (random >> 8 & 63);
    default: return next_random(seed);
    }
}

static void step_access(struct rig *rig, uint64_t random, uint64_t *seed)
{
    static const unsigned sizes[4] = {1, 1, 2, 4};
    struct bus *bus = machine_bus(rig->fake->machine);
    unsigned size = sizes[random >> 4 & 3];
    uint64_t value = random_value(seed);
    uint64_t where = next_random(seed);
    switch (random & 3) {
    case 0: rig_log(rig, bus_io_read(bus, random_port(where), size)); break;
    case 1: bus_io_write(bus, random_port(where), value, size); break;
    case 2: rig_log(rig, bus_mmio_read(bus, random_gpa(where), random & 0x80 ? 8 : 4)); break;
    default: bus_mmio_write(bus, random_gpa(where), value, random & 0x80 ? 8 : 4); break;
    }
}

static void step_cpu(struct rig *rig, uint64_t random, uint64_t *seed)
{
    struct cpu_link link = machine_cpu_link(rig->fake->machine);
    uint64_t now_ns = fake_machine_now_ns(rig->fake);
    switch (random & 3) {
    case 0: link.ops->write_cr8(link.opaque, random >> 4 & 15); break;
    case 1: rig_log(rig, link.ops->write_msr(link.opaque, 0x6E0, now_ns + next_random(seed) % 20000)); break;
    case 2: rig_mmio_write(rig, LAPIC_DEFAULT_BASE + 0xB0, 0); break;
    default: rig_log(rig, rig_intr(rig) ? (uint64_t)rig_acknowledge(rig) : 0x1000); break;
    }
}

static void step_input(struct rig *rig, uint64_t random)
{
    switch (random & 3) {
    case 0:
        rig_post(rig, INPUT_KEY, 0, random & 0x80 ? 0xE000 | (random >> 8 & 0x7F) : random >> 8 & 0x7F,
                 random >> 20 & 1);
        break;
    case 1: rig_post(rig, INPUT_MOUSE, random >> 8 & 0xFFFF, random >> 24, random >> 32); break;
    case 2: rig_post(rig, INPUT_POWER_BUTTON, 0, 0, 0); break;
    default:
        for (unsigned i = 0; i < (random >> 8 & 0xFF); i++)
            rig_post(rig, INPUT_SERIAL_BYTE, random >> 16 & 1, i, 0);
        break;
    }
}

/* Resets and power-off end a stretch of time early, with no_reboot set: equally on both machines. */
static void run_script(struct rig *rig, uint64_t seed, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        uint64_t random = next_random(&seed);
        unsigned what = (unsigned)(random >> 56);
        if (what < 190)
            step_access(rig, random >> 8, &seed);
        else if (what < 225)
            step_cpu(rig, random >> 8, &seed);
        else if (what < 235)
            step_input(rig, random >> 8);
        else
            fake_machine_advance_ns(rig->fake, random >> 8 & (what < 254 ? 0xFFF : 0xFFFFF));
    }
}

static uint64_t script_seed; /* of the round trip under way */

static void before_save(struct rig *rig)
{
    run_script(rig, script_seed, SCRIPT_STEPS);
    rig_advance_to(rig, fake_machine_now_ns(rig->fake) + 2); /* what was posted has arrived */
    rig_advance_to(rig, fake_machine_now_ns(rig->fake) + 1);
}

static void after_load(struct rig *rig)
{
    rig_log(rig, rig_intr(rig));
    run_script(rig, script_seed * 3 + 1, SCRIPT_STEPS);
}

START_TEST(restored_in_the_middle)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        script_seed = seed * 0x9E3779B97F4A7C15ull;
        rig_round_trip(build, before_save, after_load);
    }
}
END_TEST

static void damage_fields(const struct state_field *fields, uint8_t *object, uint64_t *seed)
{
    for (const struct state_field *field = fields; field->name; field++) {
        uint8_t *element = object + field->offset;
        for (uint32_t n = 0; n < field->count; n++, element += field->elem_size) {
            uint64_t random = next_random(seed);
            if (field->nested)
                damage_fields(field->nested, element, seed);
            else if (field->elem_size == 1 && element[0] <= 1) /* may be a bool */
                element[0] = random >> 8 & 1;
            else if (random & 1)
                memset(element, (int)(random >> 8 & 0xFF), field->elem_size);
            else if (random & 2)
                element[0] = (uint8_t)(random >> 8);
        }
    }
}

/* Noise in all that a chip keeps. */
static void damage(struct device *device, uint64_t *seed)
{
    damage_fields(device->class->fields, (uint8_t *)device, seed);
    if (device->class->post_load)
        device->class->post_load(device);
}

START_TEST(damaged_state_does_no_harm)
{
    for (uint64_t n = 1; n <= 200; n++) {
        uint64_t seed = n * 0xD1342543DE82EF95ull;
        struct rig *rig = rig_create(build);
        run_script(rig, seed, 200);
        for (struct device *device = machine_device_first(rig->fake->machine); device; device = device->next)
            damage(device, &seed);
        rig->log_count = 0;
        run_script(rig, seed, 500);
        machine_reset(rig->fake->machine); /* a reset brings it back to order */
        ck_assert_uint_eq(rig_mmio_read(rig, LAPIC_DEFAULT_BASE + 0xF0), 0xFF);
        ck_assert_uint_eq(fake_inb(rig->fake, 0x64), 0x14);
        rig_destroy(rig);
    }
}
END_TEST

RIG_MAIN("legacy_random", restored_in_the_middle, damaged_state_does_no_harm)
