/* 8259 pair: initialisation, priorities, EOI kinds, masks, polling, triggers, spurious requests. */
#include "devices/pic_8259.h"
#include "tests/devices/device_test.h"

static void build(struct rig *rig)
{
    rig->device = pic_8259_create(rig->fake->machine, fake_line(&rig->line[0]));
}

static void out(struct rig *rig, uint16_t port, uint8_t value)
{
    fake_outb(rig->fake, port, value);
}

static uint8_t in(struct rig *rig, uint16_t port)
{
    return fake_inb(rig->fake, port);
}

static void initialise(struct rig *rig, uint8_t icw4)
{
    out(rig, 0x20, 0x11);
    out(rig, 0x21, 0x30);
    out(rig, 0x21, 0x04);
    out(rig, 0x21, icw4);
    out(rig, 0xA0, 0x11);
    out(rig, 0xA1, 0x70);
    out(rig, 0xA1, 0x02);
    out(rig, 0xA1, icw4);
}

static void drive(struct rig *rig, unsigned irq, bool level)
{
    irq_set(pic_8259_irq_line(rig->device, irq), level);
}

static int acknowledge(struct rig *rig)
{
    return pic_8259_acknowledge(rig->device);
}

static uint8_t isr(struct rig *rig, uint16_t port)
{
    out(rig, port, 0x0B);
    return in(rig, port);
}

static uint8_t irr(struct rig *rig, uint16_t port)
{
    out(rig, port, 0x0A);
    return in(rig, port);
}

START_TEST(masked_before_initialisation)
{
    struct rig *rig = rig_create(build);
    drive(rig, 0, true);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(in(rig, 0x21), 0xFF);
    rig_destroy(rig);
}
END_TEST

START_TEST(vectors_and_nesting)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    ck_assert_uint_eq(in(rig, 0x21), 0x00);
    drive(rig, 4, true);
    ck_assert(rig->line[0].level);
    ck_assert_int_eq(acknowledge(rig), 0x34);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(isr(rig, 0x20), 0x10);
    drive(rig, 6, true); /* lower priority waits */
    ck_assert(!rig->line[0].level);
    drive(rig, 1, true); /* higher nests */
    ck_assert(rig->line[0].level);
    ck_assert_int_eq(acknowledge(rig), 0x31);
    out(rig, 0x20, 0x20);
    ck_assert_uint_eq(isr(rig, 0x20), 0x10);
    out(rig, 0x20, 0x64); /* specific EOI of 4 */
    ck_assert_uint_eq(isr(rig, 0x20), 0x00);
    ck_assert_int_eq(acknowledge(rig), 0x36);
    rig_destroy(rig);
}
END_TEST

START_TEST(slave_comes_through_the_cascade)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    drive(rig, 2, true); /* nothing but the slave is on the cascade */
    ck_assert_uint_eq(irr(rig, 0x20), 0x00);
    drive(rig, 12, true);
    ck_assert_uint_eq(irr(rig, 0x20), 0x04);
    ck_assert_uint_eq(irr(rig, 0xA0), 0x10);
    ck_assert_int_eq(acknowledge(rig), 0x74);
    ck_assert_uint_eq(isr(rig, 0x20), 0x04);
    ck_assert_uint_eq(isr(rig, 0xA0), 0x10);
    drive(rig, 3, true); /* below the cascade */
    ck_assert(!rig->line[0].level);
    drive(rig, 8, true); /* higher on the slave, but the master's IR2 is in service */
    ck_assert(!rig->line[0].level);
    out(rig, 0xA0, 0x20);
    out(rig, 0x20, 0x20);
    ck_assert_int_eq(acknowledge(rig), 0x70);
    rig_destroy(rig);
}
END_TEST

START_TEST(special_fully_nested_lets_the_slave_nest)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x11);
    drive(rig, 12, true);
    ck_assert_int_eq(acknowledge(rig), 0x74);
    drive(rig, 8, true);
    ck_assert(rig->line[0].level);
    ck_assert_int_eq(acknowledge(rig), 0x70);
    rig_destroy(rig);
}
END_TEST

START_TEST(edges_are_latched_once_and_fall_away)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    drive(rig, 5, true);
    ck_assert_int_eq(acknowledge(rig), 0x35);
    out(rig, 0x20, 0x20);
    ck_assert(!rig->line[0].level); /* still high: no new edge */
    drive(rig, 5, false);
    drive(rig, 5, true);
    ck_assert(rig->line[0].level);
    drive(rig, 5, false);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(irr(rig, 0x20), 0x00);
    ck_assert_int_eq(acknowledge(rig), 0x37); /* the default IR7 */
    ck_assert_uint_eq(isr(rig, 0x20), 0x00);
    rig_destroy(rig);
}
END_TEST

START_TEST(level_triggered_asks_until_lowered)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    out(rig, 0x4D0, 0xFF);
    out(rig, 0x4D1, 0xFF);
    ck_assert_uint_eq(in(rig, 0x4D0), 0xF8);
    ck_assert_uint_eq(in(rig, 0x4D1), 0xDE);
    drive(rig, 10, true);
    ck_assert_int_eq(acknowledge(rig), 0x72);
    ck_assert(!rig->line[0].level);
    out(rig, 0xA0, 0x20);
    out(rig, 0x20, 0x20);
    ck_assert(rig->line[0].level);
    drive(rig, 10, false);
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(spurious_from_the_slave)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    drive(rig, 9, true);
    out(rig, 0xA1, 0x02); /* the guest masks it: the cascade falls too */
    ck_assert(!rig->line[0].level);
    ck_assert_int_eq(acknowledge(rig), 0x37);
    rig_destroy(rig);
}
END_TEST

START_TEST(auto_eoi_and_rotation)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x03);
    out(rig, 0x20, 0x80); /* rotate in automatic EOI mode */
    drive(rig, 3, true);
    ck_assert_int_eq(acknowledge(rig), 0x33);
    ck_assert_uint_eq(isr(rig, 0x20), 0x00);
    drive(rig, 3, false);
    drive(rig, 3, true);
    drive(rig, 5, true);
    ck_assert_int_eq(acknowledge(rig), 0x35); /* 3 is lowest now */
    ck_assert_int_eq(acknowledge(rig), 0x33);
    rig_destroy(rig);
}
END_TEST

START_TEST(set_priority_and_rotate_on_eoi)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    out(rig, 0x20, 0xC4); /* 4 lowest: 5 highest */
    drive(rig, 1, true);
    drive(rig, 5, true);
    ck_assert_int_eq(acknowledge(rig), 0x35);
    out(rig, 0x20, 0xA0); /* rotate on non-specific EOI: 5 lowest */
    drive(rig, 6, true);
    ck_assert_int_eq(acknowledge(rig), 0x36);
    out(rig, 0x20, 0xE6); /* rotate on specific EOI */
    ck_assert_int_eq(acknowledge(rig), 0x31);
    rig_destroy(rig);
}
END_TEST

START_TEST(special_mask_mode_lets_lower_through)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    drive(rig, 1, true);
    ck_assert_int_eq(acknowledge(rig), 0x31);
    drive(rig, 6, true);
    ck_assert(!rig->line[0].level);
    out(rig, 0x21, 0x02);
    ck_assert(!rig->line[0].level);
    out(rig, 0x20, 0x68);
    ck_assert(rig->line[0].level);
    ck_assert_int_eq(acknowledge(rig), 0x36);
    out(rig, 0x20, 0x20); /* non-specific EOI passes over the masked one */
    ck_assert_uint_eq(isr(rig, 0x20), 0x02);
    rig_destroy(rig);
}
END_TEST

START_TEST(poll_command_acknowledges)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x01);
    out(rig, 0x20, 0x0C);
    ck_assert_uint_eq(in(rig, 0x20), 0x00);
    drive(rig, 3, true);
    out(rig, 0x20, 0x0C);
    ck_assert_uint_eq(in(rig, 0x20), 0x83);
    ck_assert_uint_eq(isr(rig, 0x20), 0x08);
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(icw1_clears_and_forgets_old_edges)
{
    struct rig *rig = rig_create(build);
    initialise(rig, 0x03);
    drive(rig, 4, true);
    out(rig, 0x20, 0x10); /* no ICW4 wanted */
    out(rig, 0x21, 0x40);
    out(rig, 0x21, 0x04);
    ck_assert(!rig->line[0].level);
    drive(rig, 4, false);
    drive(rig, 4, true);
    ck_assert_int_eq(acknowledge(rig), 0x44);
    ck_assert_uint_eq(isr(rig, 0x20), 0x10); /* automatic EOI is off again */
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    initialise(rig, 0x01);
    out(rig, 0x4D1, 0x0C);
    drive(rig, 10, true);
    drive(rig, 4, true);
    acknowledge(rig);
    out(rig, 0x21, 0x80);
    drive(rig, 6, true);
    out(rig, 0xA0, 0x11); /* in the middle of an initialisation */
    out(rig, 0xA1, 0x78);
}

static void after_load(struct rig *rig)
{
    out(rig, 0xA1, 0x02);
    out(rig, 0xA1, 0x01);
    out(rig, 0x20, 0x20);
    for (unsigned i = 0; i < 4; i++) {
        rig_log(rig, rig->line[0].level);
        rig_log(rig, (uint64_t)acknowledge(rig));
        out(rig, 0xA0, 0x20);
        out(rig, 0x20, 0x20);
    }
    rig_log(rig, in(rig, 0x4D1));
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("pic_8259", masked_before_initialisation, vectors_and_nesting, slave_comes_through_the_cascade,
         special_fully_nested_lets_the_slave_nest, edges_are_latched_once_and_fall_away,
         level_triggered_asks_until_lowered, spurious_from_the_slave, auto_eoi_and_rotation,
         set_priority_and_rotate_on_eoi, special_mask_mode_lets_lower_through, poll_command_acknowledges,
         icw1_clears_and_forgets_old_edges, state_is_whole)
