/* Local APIC: priorities and EOI, TPR and CR8, IPIs, errors, the timer's three modes at exact times, the virtual wire. */
#include "devices/lapic.h"
#include "devices/pic_8259.h"
#include "tests/devices/device_test.h"

#define BASE LAPIC_DEFAULT_BASE
#define ID 0x020
#define TPR 0x080
#define PPR 0x0A0
#define EOI 0x0B0
#define LDR 0x0D0
#define DFR 0x0E0
#define SVR 0x0F0
#define ISR 0x100
#define TMR 0x180
#define IRR 0x200
#define ESR 0x280
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVT_TIMER 0x320
#define LVT_LINT0 0x350
#define LVT_LINT1 0x360
#define LVT_ERROR 0x370
#define INITIAL 0x380
#define CURRENT 0x390
#define DIVIDE 0x3E0
#define MSR_BASE 0x1B
#define MSR_DEADLINE 0x6E0

static void build(struct rig *rig)
{
    rig->device = lapic_create(rig->fake->machine);
    rig->other = pic_8259_create(rig->fake->machine, lapic_lint_line(rig->device, 0));
    lapic_connect_pic(rig->device, rig->other);
}

static void put(struct rig *rig, unsigned reg, uint32_t value)
{
    rig_mmio_write(rig, BASE + reg, value);
}

static uint32_t get(struct rig *rig, unsigned reg)
{
    return rig_mmio_read(rig, BASE + reg);
}

static void send(struct rig *rig, uint8_t vector, bool level)
{
    struct lapic_message message = {.vector = vector, .destination = 0, .level = level};
    ck_assert(lapic_deliver(rig->device, &message));
}

static bool write_msr(struct rig *rig, uint32_t index, uint64_t value)
{
    struct cpu_link link = machine_cpu_link(rig->fake->machine);
    return link.ops->write_msr(link.opaque, index, value);
}

static uint64_t read_msr(struct rig *rig, uint32_t index)
{
    struct cpu_link link = machine_cpu_link(rig->fake->machine);
    uint64_t value = 0;
    ck_assert(link.ops->read_msr(link.opaque, index, &value));
    return value;
}

static struct rig *enabled_rig(void)
{
    struct rig *rig = rig_create(build);
    put(rig, SVR, 0x1FF);
    return rig;
}

START_TEST(registers_after_reset)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(get(rig, ID), 0);
    ck_assert_uint_eq(get(rig, 0x030), 0x00050014);
    ck_assert_uint_eq(get(rig, DFR), 0xFFFFFFFF);
    ck_assert_uint_eq(get(rig, SVR), 0xFF);
    ck_assert_uint_eq(get(rig, LVT_TIMER), 0x10000);
    ck_assert_uint_eq(get(rig, LVT_LINT0), 0x700); /* virtual wire */
    ck_assert_uint_eq(read_msr(rig, MSR_BASE), 0xFEE00900);
    ck_assert_uint_eq(get(rig, PPR), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(priorities_and_eoi)
{
    struct rig *rig = enabled_rig();
    send(rig, 0x41, false);
    send(rig, 0x63, false);
    send(rig, 0x6A, true);
    ck_assert_uint_eq(get(rig, IRR + 0x20), 1u << 1);
    ck_assert_uint_eq(get(rig, IRR + 0x30), 1u << 3 | 1u << 10);
    ck_assert_uint_eq(get(rig, TMR + 0x30), 1u << 10);
    ck_assert(rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), 0x6A);
    ck_assert_uint_eq(get(rig, PPR), 0x60);
    put(rig, TPR, 0x65); /* of the same class: TPR shows in full */
    ck_assert_uint_eq(get(rig, PPR), 0x65);
    put(rig, TPR, 0);
    ck_assert(!rig_intr(rig)); /* 63h is of the same class */
    ck_assert_uint_eq(get(rig, ISR + 0x30), 1u << 10);
    send(rig, 0x70, false);
    ck_assert(rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), 0x70);
    put(rig, EOI, 0);
    ck_assert(!rig_intr(rig));
    put(rig, EOI, 0);
    ck_assert(rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), 0x63);
    put(rig, EOI, 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x41);
    put(rig, EOI, 0);
    put(rig, EOI, 0); /* with nothing in service */
    ck_assert(!rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), -1);
    send(rig, 0x6A, false); /* edge-triggered this time */
    ck_assert_uint_eq(get(rig, TMR + 0x30), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(task_priority_and_cr8)
{
    struct rig *rig = enabled_rig();
    struct cpu_link link = machine_cpu_link(rig->fake->machine);
    put(rig, TPR, 0x55);
    ck_assert_uint_eq(link.ops->read_cr8(link.opaque), 5);
    ck_assert_uint_eq(get(rig, PPR), 0x55);
    send(rig, 0x5F, false);
    ck_assert(!rig_intr(rig));
    link.ops->write_cr8(link.opaque, 4);
    ck_assert(rig_intr(rig));
    ck_assert_uint_eq(get(rig, TPR), 0x40);
    link.ops->write_cr8(link.opaque, 15);
    ck_assert(!rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), -1);
    link.ops->write_cr8(link.opaque, 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x5F);
    rig_destroy(rig);
}
END_TEST

START_TEST(software_disable_keeps_but_does_not_deliver)
{
    struct rig *rig = enabled_rig();
    put(rig, LVT_TIMER, 0x50);
    send(rig, 0x50, false);
    put(rig, SVR, 0xFF);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(get(rig, LVT_TIMER), 0x10050); /* all LVT entries are masked */
    put(rig, LVT_TIMER, 0x50);
    ck_assert_uint_eq(get(rig, LVT_TIMER), 0x10050);
    struct lapic_message message = {.vector = 0x60};
    ck_assert(!lapic_deliver(rig->device, &message));
    put(rig, SVR, 0x1FF);
    ck_assert(rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

START_TEST(addressing)
{
    struct rig *rig = enabled_rig();
    struct lapic_message message = {.vector = 0x60, .destination = 1};
    ck_assert(!lapic_deliver(rig->device, &message));
    message.destination = 0xFF;
    ck_assert(lapic_deliver(rig->device, &message));
    put(rig, LDR, 0x02000000);
    message.logical = true;
    message.destination = 0x01;
    ck_assert(!lapic_deliver(rig->device, &message));
    message.destination = 0x06;
    ck_assert(lapic_deliver(rig->device, &message));
    put(rig, DFR, 0x0FFFFFFF); /* cluster */
    put(rig, LDR, 0x21000000);
    message.destination = 0x23;
    ck_assert(lapic_deliver(rig->device, &message));
    message.destination = 0x13;
    ck_assert(!lapic_deliver(rig->device, &message));
    put(rig, ID, 0x07000000);
    message.logical = false;
    message.destination = 7;
    ck_assert(lapic_deliver(rig->device, &message));
    rig_destroy(rig);
}
END_TEST

START_TEST(ipis_to_self)
{
    struct rig *rig = enabled_rig();
    put(rig, ICR, 0x40071); /* self */
    ck_assert_int_eq(rig_acknowledge(rig), 0x71);
    put(rig, EOI, 0);
    put(rig, ICR_HIGH, 0x00000000);
    put(rig, ICR, 0x00072);
    ck_assert_int_eq(rig_acknowledge(rig), 0x72);
    put(rig, EOI, 0);
    put(rig, ICR, 0x80073); /* all including self */
    ck_assert_int_eq(rig_acknowledge(rig), 0x73);
    put(rig, EOI, 0);
    put(rig, ICR, 0xC0074); /* all but self: nobody */
    put(rig, ICR_HIGH, 0x05000000);
    put(rig, ICR, 0x00075); /* nobody there */
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(get(rig, ICR), 0x75); /* never pending */
    put(rig, ICR_HIGH, 0);
    put(rig, ICR, 0x00400); /* NMI */
    ck_assert(machine_nmi_take(rig->fake->machine));
    put(rig, ICR, 0xC4500); /* INIT and start-up to others */
    put(rig, ICR, 0xC4608);
    ck_assert(!machine_request_pending(rig->fake->machine));
    rig_destroy(rig);
}
END_TEST

START_TEST(errors_are_latched)
{
    struct rig *rig = enabled_rig();
    put(rig, LVT_ERROR, 0x34);
    put(rig, ICR, 0x40005); /* illegal vector */
    ck_assert_int_eq(rig_acknowledge(rig), 0x34);
    put(rig, EOI, 0);
    ck_assert_uint_eq(get(rig, ESR), 0);
    put(rig, ESR, 0);
    ck_assert_uint_eq(get(rig, ESR), 0x20);
    get(rig, 0x3F0); /* no such register */
    put(rig, ESR, 0);
    ck_assert_uint_eq(get(rig, ESR), 0x80);
    put(rig, ESR, 0);
    ck_assert_uint_eq(get(rig, ESR), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(one_shot_timer)
{
    struct rig *rig = enabled_rig();
    rig_advance_to(rig, 1000);
    put(rig, LVT_TIMER, 0x80);
    put(rig, DIVIDE, 0x3); /* by 16 */
    put(rig, INITIAL, 1000);
    rig_advance_to(rig, 1000 + 15);
    ck_assert_uint_eq(get(rig, CURRENT), 1000);
    rig_advance_to(rig, 1000 + 16);
    ck_assert_uint_eq(get(rig, CURRENT), 999);
    rig_advance_to(rig, 1000 + 15999);
    ck_assert_uint_eq(get(rig, CURRENT), 1);
    ck_assert(!rig_intr(rig));
    rig_advance_to(rig, 1000 + 16000);
    ck_assert(rig_intr(rig));
    ck_assert_uint_eq(get(rig, CURRENT), 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x80);
    put(rig, EOI, 0);
    rig_advance_to(rig, 1000000);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(get(rig, INITIAL), 1000);
    rig_destroy(rig);
}
END_TEST

START_TEST(timer_dividers)
{
    static const struct {
        uint32_t code, divide;
    } row[] = {{0x0, 2}, {0x1, 4}, {0x2, 8}, {0x3, 16}, {0x8, 32}, {0x9, 64}, {0xA, 128}, {0xB, 1}};
    for (unsigned i = 0; i < 8; i++) {
        struct rig *rig = enabled_rig();
        put(rig, LVT_TIMER, 0x80);
        put(rig, DIVIDE, row[i].code);
        put(rig, INITIAL, 100);
        rig_advance_to(rig, 100 * row[i].divide - 1);
        ck_assert(!rig_intr(rig));
        rig_advance_to(rig, 100 * row[i].divide);
        ck_assert(rig_intr(rig));
        rig_destroy(rig);
    }
}
END_TEST

START_TEST(periodic_timer)
{
    struct rig *rig = enabled_rig();
    put(rig, LVT_TIMER, 0x20080);
    put(rig, DIVIDE, 0xB);
    put(rig, INITIAL, 12345);
    for (uint64_t n = 1; n <= 20; n++) {
        rig_advance_to(rig, n * 12345 - 1);
        ck_assert(!rig_intr(rig));
        ck_assert_uint_eq(get(rig, CURRENT), 1);
        rig_advance_to(rig, n * 12345);
        ck_assert_uint_eq(get(rig, CURRENT), 12345);
        ck_assert_int_eq(rig_acknowledge(rig), 0x80);
        put(rig, EOI, 0);
    }
    put(rig, LVT_TIMER, 0x30080); /* masked: it goes on counting */
    rig_advance_to(rig, 22 * 12345 + 45);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(get(rig, CURRENT), 12300);
    put(rig, LVT_TIMER, 0x20080);
    rig_advance_to(rig, 23 * 12345);
    ck_assert(rig_intr(rig));
    put(rig, INITIAL, 0); /* stops it */
    rig_acknowledge(rig);
    put(rig, EOI, 0);
    rig_advance_to(rig, 30 * 12345);
    ck_assert(!rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

START_TEST(tsc_deadline_timer)
{
    struct rig *rig = enabled_rig();
    ck_assert(write_msr(rig, MSR_DEADLINE, 5000)); /* not in this mode: ignored */
    ck_assert_uint_eq(read_msr(rig, MSR_DEADLINE), 0);
    put(rig, LVT_TIMER, 0x40090);
    ck_assert(write_msr(rig, MSR_DEADLINE, 5000));
    ck_assert_uint_eq(read_msr(rig, MSR_DEADLINE), 5000);
    ck_assert_uint_eq(get(rig, CURRENT), 0);
    put(rig, INITIAL, 77); /* ignored in this mode */
    rig_advance_to(rig, 4999);
    ck_assert(!rig_intr(rig));
    rig_advance_to(rig, 5000);
    ck_assert(rig_intr(rig));
    ck_assert_uint_eq(read_msr(rig, MSR_DEADLINE), 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x90);
    put(rig, EOI, 0);
    ck_assert(write_msr(rig, MSR_DEADLINE, 4000)); /* in the past: now */
    fake_machine_advance_ns(rig->fake, 0);
    ck_assert(rig_intr(rig));
    rig_acknowledge(rig);
    put(rig, EOI, 0);
    ck_assert(write_msr(rig, MSR_DEADLINE, 9000));
    ck_assert(write_msr(rig, MSR_DEADLINE, 0)); /* disarms */
    rig_advance_to(rig, 10000);
    ck_assert(!rig_intr(rig));
    ck_assert(write_msr(rig, MSR_DEADLINE, 20000));
    put(rig, LVT_TIMER, 0x00090); /* so does leaving the mode */
    put(rig, LVT_TIMER, 0x40090);
    rig_advance_to(rig, 21000);
    ck_assert(!rig_intr(rig));
    rig_destroy(rig);
}
END_TEST

static void start_pic(struct rig *rig)
{
    fake_outb(rig->fake, 0x20, 0x11);
    fake_outb(rig->fake, 0x21, 0x08);
    fake_outb(rig->fake, 0x21, 0x04);
    fake_outb(rig->fake, 0x21, 0x01);
}

START_TEST(virtual_wire_to_the_8259)
{
    struct rig *rig = rig_create(build);
    start_pic(rig);
    irq_set(pic_8259_irq_line(rig->other, 4), true);
    ck_assert(rig_intr(rig)); /* though the APIC is software-disabled */
    put(rig, SVR, 0x1FF);
    put(rig, LVT_LINT0, 0x10700);
    ck_assert(!rig_intr(rig));
    put(rig, LVT_LINT0, 0x00700);
    put(rig, TPR, 0xFF); /* ExtINT passes any priority */
    ck_assert(rig_intr(rig));
    ck_assert_int_eq(rig_acknowledge(rig), 0x0C);
    ck_assert(!rig_intr(rig));
    fake_outb(rig->fake, 0x20, 0x20);
    rig_destroy(rig);
}
END_TEST

START_TEST(globally_disabled)
{
    struct rig *rig = rig_create(build);
    start_pic(rig);
    put(rig, SVR, 0x1FF);
    put(rig, LVT_LINT0, 0x10700);
    put(rig, LVT_TIMER, 0x80);
    ck_assert(write_msr(rig, MSR_BASE, 0xFEE00100));
    ck_assert_uint_eq(get(rig, SVR), 0xFFFFFFFF); /* nobody there */
    irq_set(pic_8259_irq_line(rig->other, 1), true);
    ck_assert_int_eq(rig_acknowledge(rig), 0x09);
    ck_assert(write_msr(rig, MSR_BASE, 0xFEC10900)); /* elsewhere */
    ck_assert_uint_eq(get(rig, SVR), 0xFFFFFFFF);
    ck_assert_uint_eq(rig_mmio_read(rig, 0xFEC10000 + SVR), 0xFF); /* as after reset */
    ck_assert(!write_msr(rig, MSR_BASE, 0xFEE00D00));              /* x2APIC */
    ck_assert(!write_msr(rig, MSR_BASE, 0xFEE00901));
    ck_assert(!write_msr(rig, 0x802, 0));
    rig_destroy(rig);
}
END_TEST

START_TEST(local_pins)
{
    struct rig *rig = enabled_rig();
    put(rig, LVT_LINT1, 0x400);
    irq_set(lapic_lint_line(rig->device, 1), true);
    ck_assert(machine_nmi_take(rig->fake->machine));
    start_pic(rig);
    put(rig, LVT_LINT0, 0x00045); /* fixed, edge */
    irq_set(pic_8259_irq_line(rig->other, 4), true);
    ck_assert_int_eq(rig_acknowledge(rig), 0x45);
    put(rig, EOI, 0);
    ck_assert(!rig_intr(rig));
    put(rig, LVT_LINT0, 0x08046);                    /* fixed, level: the pin is still high */
    ck_assert_uint_eq(get(rig, LVT_LINT0), 0x0C046); /* remote IRR */
    ck_assert_int_eq(rig_acknowledge(rig), 0x46);
    put(rig, EOI, 0);
    ck_assert_int_eq(rig_acknowledge(rig), 0x46);
    irq_set(pic_8259_irq_line(rig->other, 4), false);
    put(rig, EOI, 0);
    ck_assert(!rig_intr(rig));
    ck_assert_uint_eq(get(rig, LVT_LINT0), 0x08046);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    start_pic(rig);
    put(rig, SVR, 0x1FF);
    put(rig, LVT_TIMER, 0x20080);
    put(rig, DIVIDE, 0x1);
    put(rig, INITIAL, 3000);
    send(rig, 0x45, true);
    send(rig, 0x99, false);
    rig_acknowledge(rig);
    rig_advance_to(rig, 12345);
    irq_set(pic_8259_irq_line(rig->other, 3), true);
    put(rig, TPR, 0x20);
}

static void after_load(struct rig *rig)
{
    for (unsigned i = 0; i < 40; i++) {
        rig_log(rig, get(rig, CURRENT));
        rig_log(rig, rig_intr(rig));
        rig_log(rig, (uint64_t)rig_acknowledge(rig));
        rig_log(rig, get(rig, PPR));
        put(rig, EOI, 0);
        fake_machine_advance_ns(rig->fake, 1777);
    }
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

static void before_save_deadline(struct rig *rig)
{
    put(rig, SVR, 0x1FF);
    put(rig, LVT_TIMER, 0x40081);
    ck_assert(write_msr(rig, MSR_DEADLINE, 10000));
    ck_assert(write_msr(rig, MSR_BASE, 0xFEE01900));
    rig_advance_to(rig, 5000);
}

static void after_load_deadline(struct rig *rig)
{
    rig_advance_to(rig, 9999);
    rig_log(rig, rig_intr(rig));
    rig_advance_to(rig, 10000);
    rig_log(rig, rig_intr(rig));
    rig_log(rig, rig_mmio_read(rig, 0xFEE01000 + IRR + 0x40));
}

START_TEST(state_with_a_deadline_is_whole)
{
    rig_round_trip(build, before_save_deadline, after_load_deadline);
}
END_TEST

RIG_MAIN("lapic", registers_after_reset, priorities_and_eoi, task_priority_and_cr8,
         software_disable_keeps_but_does_not_deliver, addressing, ipis_to_self, errors_are_latched, one_shot_timer,
         timer_dividers, periodic_timer, tsc_deadline_timer, virtual_wire_to_the_8259, globally_disabled, local_pins,
         state_is_whole, state_with_a_deadline_is_whole)
