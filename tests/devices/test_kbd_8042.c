/* 8042: controller commands, keyboard sets and translation, mouse with wheel, interrupts, A20 and reset; port 92h. */
#include "devices/kbd_8042.h"
#include "devices/port_92.h"
#include "devices/ps2.h"
#include "tests/devices/device_test.h"

static void build(struct rig *rig)
{
    rig->device = kbd_8042_create(rig->fake->machine, fake_line(&rig->line[0]), fake_line(&rig->line[1]));
    rig->other = port_92_create(rig->fake->machine);
}

static void command(struct rig *rig, uint8_t value)
{
    fake_outb(rig->fake, 0x64, value);
}

static void data(struct rig *rig, uint8_t value)
{
    fake_outb(rig->fake, 0x60, value);
}

static uint8_t status(struct rig *rig)
{
    return fake_inb(rig->fake, 0x64);
}

static uint8_t take(struct rig *rig)
{
    ck_assert_uint_eq(status(rig) & 1, 1);
    return fake_inb(rig->fake, 0x60);
}

static void expect(struct rig *rig, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(take(rig), bytes[i]);
    ck_assert_uint_eq(status(rig) & 1, 0);
}
#define EXPECT(rig, ...) expect(rig, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void set_mode(struct rig *rig, uint8_t mode)
{
    command(rig, 0x60);
    data(rig, mode);
}

static void key(struct rig *rig, uint32_t code, bool pressed)
{
    rig_post(rig, INPUT_KEY, 0, code, pressed);
    fake_machine_advance_ns(rig->fake, 1);
}

static void mouse(struct rig *rig, int32_t dx, int32_t dy, uint32_t target)
{
    rig_post(rig, INPUT_MOUSE, target, (uint64_t)(int64_t)dx, (uint64_t)(int64_t)dy);
    fake_machine_advance_ns(rig->fake, 1);
}

static void to_mouse(struct rig *rig, uint8_t byte)
{
    command(rig, 0xD4);
    data(rig, byte);
}

START_TEST(controller_commands)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(status(rig), 0x14);
    command(rig, 0xAA);
    ck_assert_uint_eq(status(rig), 0x1D);
    EXPECT(rig, 0x55);
    command(rig, 0xAB);
    EXPECT(rig, 0x00);
    command(rig, 0xA9);
    EXPECT(rig, 0x00);
    set_mode(rig, 0x74);
    ck_assert_uint_eq(status(rig) & 0x08, 0);
    command(rig, 0x20);
    EXPECT(rig, 0x74);
    command(rig, 0xAE);
    command(rig, 0xA8);
    command(rig, 0x20);
    EXPECT(rig, 0x44);
    command(rig, 0xAD);
    command(rig, 0xA7);
    command(rig, 0x20);
    EXPECT(rig, 0x74);
    command(rig, 0x75);
    data(rig, 0x99);
    command(rig, 0x35);
    EXPECT(rig, 0x99);
    command(rig, 0xD2);
    data(rig, 0x12);
    ck_assert_uint_eq(status(rig) & 0x21, 0x01);
    EXPECT(rig, 0x12);
    command(rig, 0xD3);
    data(rig, 0x34);
    ck_assert_uint_eq(status(rig) & 0x21, 0x21);
    EXPECT(rig, 0x34);
    rig_destroy(rig);
}
END_TEST

START_TEST(translated_keys_and_interrupts)
{
    struct rig *rig = rig_create(build); /* starts with translation and IRQ1 */
    key(rig, 0x1E, true);
    ck_assert(rig->line[0].level);
    EXPECT(rig, 0x1E);
    ck_assert(!rig->line[0].level);
    key(rig, 0x1E, false);
    EXPECT(rig, 0x9E);
    key(rig, 0xE048, true);
    key(rig, 0xE048, false);
    rig->line[0].rises = 0;
    ck_assert_uint_eq(take(rig), 0xE0);
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(rig->line[0].rises, 1); /* an edge a byte */
    EXPECT(rig, 0x48, 0xE0, 0xC8);
    key(rig, 0xE11D, true);
    EXPECT(rig, 0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5);
    rig_destroy(rig);
}
END_TEST

START_TEST(every_key_survives_translation)
{
    struct rig *rig = rig_create(build);
    for (uint8_t code = 1; code < 0x80; code++) {
        key(rig, code, true);
        key(rig, code, false);
        ck_assert_uint_eq(take(rig), code);
        ck_assert_uint_eq(take(rig), code | 0x80);
    }
    rig_destroy(rig);
}
END_TEST

START_TEST(untranslated_set_2_and_set_1)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x24);
    key(rig, 0x1E, true);
    ck_assert(!rig->line[0].level); /* its interrupt is off */
    key(rig, 0x1E, false);
    key(rig, 0x41, true); /* F7: the code above 7Fh */
    key(rig, 0xE01D, false);
    EXPECT(rig, 0x1C, 0xF0, 0x1C, 0x83, 0xE0, 0xF0, 0x14);
    data(rig, 0xF0);
    data(rig, 0x00);
    EXPECT(rig, 0xFA, 0xFA, 0x02);
    data(rig, 0xF0);
    data(rig, 0x01);
    EXPECT(rig, 0xFA, 0xFA);
    key(rig, 0x1E, true);
    key(rig, 0x1E, false);
    EXPECT(rig, 0x1E, 0x9E);
    data(rig, 0xF0);
    data(rig, 0x03);
    EXPECT(rig, 0xFA, 0xFE); /* no set 3 */
    rig_destroy(rig);
}
END_TEST

START_TEST(keyboard_commands)
{
    struct rig *rig = rig_create(build);
    data(rig, 0xFF);
    EXPECT(rig, 0xFA, 0xAA);
    data(rig, 0xF2);
    EXPECT(rig, 0xFA, 0xAB, 0x41); /* the ID, translated */
    data(rig, 0xED);
    EXPECT(rig, 0xFA);
    data(rig, 0x05);
    EXPECT(rig, 0xFA);
    data(rig, 0xEE);
    EXPECT(rig, 0xEE);
    data(rig, 0xFE);
    EXPECT(rig, 0xEE);
    data(rig, 0xF3);
    data(rig, 0x20);
    EXPECT(rig, 0xFA, 0xFA);
    data(rig, 0x01);
    EXPECT(rig, 0xFE);
    key(rig, 0x10, true);
    data(rig, 0xF5); /* stops scanning and forgets keys; the one in the output buffer stays */
    EXPECT(rig, 0x10, 0xFA);
    key(rig, 0x11, true);
    ck_assert_uint_eq(status(rig) & 1, 0);
    data(rig, 0xF4);
    EXPECT(rig, 0xFA);
    key(rig, 0x11, true);
    EXPECT(rig, 0x11);
    rig_destroy(rig);
}
END_TEST

START_TEST(disabled_keyboard_waits)
{
    struct rig *rig = rig_create(build);
    command(rig, 0xAD);
    key(rig, 0x1E, true);
    ck_assert_uint_eq(status(rig) & 1, 0);
    command(rig, 0xAE);
    EXPECT(rig, 0x1E);
    rig_destroy(rig);
}
END_TEST

/* One key's code in set 2; false when there is none. */
static bool take_code(struct rig *rig)
{
    if (!(status(rig) & 1))
        return false;
    uint8_t byte = take(rig);
    if (byte == 0xE0)
        byte = take(rig);
    if (byte == 0xF0)
        byte = take(rig);
    ck_assert(byte == 0x75 || byte == 0x1C);
    return true;
}

START_TEST(a_full_queue_drops_whole_keys)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x04);
    rig_post(rig, INPUT_KEY, 0, 0x1E, 1);
    for (unsigned i = 0; i < 400; i++) {
        rig_post(rig, INPUT_KEY, 0, 0xE048, 1);
        rig_post(rig, INPUT_KEY, 0, 0xE048, 0);
    }
    fake_machine_advance_ns(rig->fake, 1);
    unsigned count = 0;
    while (take_code(rig))
        count++;
    ck_assert_uint_gt(count, 90);
    ck_assert_uint_lt(count, 110);
    rig_destroy(rig);
}
END_TEST

START_TEST(movement_is_not_lost_when_the_queue_is_full)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x46);
    to_mouse(rig, 0xF4);
    EXPECT(rig, 0xFA);
    for (unsigned i = 0; i < 200; i++)
        mouse(rig, 100, 0, 0);
    unsigned sum = 0;
    while (status(rig) & 1) {
        ck_assert_uint_eq(take(rig), 0x08);
        sum += take(rig);
        ck_assert_uint_eq(take(rig), 0);
    }
    ck_assert_uint_eq(sum, 200 * 100);
    rig_destroy(rig);
}
END_TEST

START_TEST(mouse_packets)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x47);
    mouse(rig, 5, 5, 0);
    ck_assert_uint_eq(status(rig) & 1, 0); /* not reporting yet */
    to_mouse(rig, 0xF2);
    ck_assert_uint_eq(status(rig) & 0x21, 0x21);
    ck_assert(rig->line[1].level);
    ck_assert(!rig->line[0].level);
    EXPECT(rig, 0xFA, 0x00);
    to_mouse(rig, 0xF4);
    EXPECT(rig, 0xFA);
    mouse(rig, 10, -3, 1);
    EXPECT(rig, 0x09, 10, 3); /* up is positive */
    mouse(rig, -1, 1, 6);
    EXPECT(rig, 0x3E, 0xFF, 0xFF);
    mouse(rig, 300, 0, 6); /* more than a packet holds */
    EXPECT(rig, 0x0E, 0xFF, 0x00, 0x0E, 45, 0x00);
    mouse(rig, 0, 0, 6); /* no news */
    ck_assert_uint_eq(status(rig) & 1, 0);
    to_mouse(rig, 0xE9);
    EXPECT(rig, 0xFA, 0x23, 0x02, 100);
    to_mouse(rig, 0xF5);
    EXPECT(rig, 0xFA);
    mouse(rig, 7, 0, 0);
    to_mouse(rig, 0xEB);
    EXPECT(rig, 0xFA, 0x08, 7, 0);
    to_mouse(rig, 0xFF);
    EXPECT(rig, 0xFA, 0xAA, 0x00);
    rig_destroy(rig);
}
END_TEST

static void set_rates(struct rig *rig, uint8_t a, uint8_t b, uint8_t c)
{
    const uint8_t rates[3] = {a, b, c};
    for (unsigned i = 0; i < 3; i++) {
        to_mouse(rig, 0xF3);
        to_mouse(rig, rates[i]);
        EXPECT(rig, 0xFA, 0xFA);
    }
}

START_TEST(wheel_and_side_buttons)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x47);
    set_rates(rig, 200, 100, 80);
    to_mouse(rig, 0xF2);
    EXPECT(rig, 0xFA, 0x03);
    to_mouse(rig, 0xF4);
    EXPECT(rig, 0xFA);
    mouse(rig, 0, 0, 0xFF00); /* one step away */
    EXPECT(rig, 0x08, 0, 0, 0xFF);
    set_rates(rig, 200, 200, 80);
    to_mouse(rig, 0xF2);
    EXPECT(rig, 0xFA, 0x04);
    mouse(rig, 1, 0, 0x0110);
    EXPECT(rig, 0x08, 1, 0, 0x21);
    rig_destroy(rig);
}
END_TEST

START_TEST(mouse_modes)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 0x47);
    to_mouse(rig, 0xEE);
    to_mouse(rig, 0x77);
    to_mouse(rig, 0xEC);
    EXPECT(rig, 0xFA, 0x77, 0xFA);
    to_mouse(rig, 0xF4);
    to_mouse(rig, 0xF0);
    EXPECT(rig, 0xFA, 0xFA);
    mouse(rig, 4, 0, 0);
    ck_assert_uint_eq(status(rig) & 1, 0);
    to_mouse(rig, 0xEB);
    EXPECT(rig, 0xFA, 0x08, 4, 0);
    to_mouse(rig, 0xEA);
    to_mouse(rig, 0xE7);
    EXPECT(rig, 0xFA, 0xFA);
    mouse(rig, 4, 0, 0);
    EXPECT(rig, 0x08, 6, 0); /* 2:1 scaling */
    mouse(rig, 20, 0, 0);
    EXPECT(rig, 0x08, 40, 0);
    to_mouse(rig, 0xF6);
    EXPECT(rig, 0xFA);
    to_mouse(rig, 0x00);
    EXPECT(rig, 0xFE);
    rig_destroy(rig);
}
END_TEST

START_TEST(a20_gate)
{
    struct rig *rig = rig_create(build);
    struct machine *machine = rig->fake->machine;
    ck_assert(machine_a20(machine));
    command(rig, 0xD0);
    EXPECT(rig, 0xC3);
    command(rig, 0xD1);
    data(rig, 0xDD);
    ck_assert(!machine_a20(machine));
    command(rig, 0xD0);
    EXPECT(rig, 0xC1);
    ck_assert_uint_eq(fake_inb(rig->fake, 0x92), 0x00);
    fake_outb(rig->fake, 0x92, 0x02);
    ck_assert(machine_a20(machine));
    ck_assert_uint_eq(fake_inb(rig->fake, 0x92), 0x02);
    fake_outb(rig->fake, 0x92, 0x00);
    ck_assert(!machine_a20(machine));
    command(rig, 0xDF);
    ck_assert(machine_a20(machine));
    command(rig, 0xDD);
    ck_assert(!machine_a20(machine));
    ck_assert(!machine_request_pending(machine));
    rig_destroy(rig);
}
END_TEST

static void expect_reset(struct rig *rig, bool expected)
{
    struct position limit = machine_position(rig->fake->machine);
    enum machine_stop stop = machine_run(rig->fake->machine, limit);
    ck_assert_int_eq(stop, expected ? MACHINE_STOP_RESET : MACHINE_STOP_LIMIT);
}

START_TEST(resets)
{
    struct rig *rig = rig_create(build);
    expect_reset(rig, false);
    command(rig, 0xFE);
    expect_reset(rig, true);
    command(rig, 0xFF); /* pulses nothing */
    expect_reset(rig, false);
    command(rig, 0xD1);
    data(rig, 0xDE);
    expect_reset(rig, true);
    fake_outb(rig->fake, 0x92, 0x03);
    expect_reset(rig, true);
    fake_outb(rig->fake, 0x92, 0x03); /* no rising edge */
    expect_reset(rig, false);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    set_mode(rig, 0x47);
    set_rates(rig, 200, 100, 80);
    to_mouse(rig, 0xF4);
    key(rig, 0xE048, true);
    key(rig, 0xE048, false);
    for (unsigned i = 0; i < 100; i++)
        mouse(rig, 100, 50, i & 7); /* more than the queue holds */
    data(rig, 0xED);
    take(rig);
    take(rig);
    command(rig, 0xD4);
}

static void after_load(struct rig *rig)
{
    data(rig, 0xF2);
    data(rig, 0x07);
    while (status(rig) & 1) {
        rig_log(rig, status(rig));
        rig_log(rig, take(rig));
    }
    key(rig, 0x20, false);
    rig_log(rig, take(rig));
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("kbd_8042", controller_commands, translated_keys_and_interrupts, every_key_survives_translation,
         untranslated_set_2_and_set_1, keyboard_commands, disabled_keyboard_waits, a_full_queue_drops_whole_keys,
         movement_is_not_lost_when_the_queue_is_full, mouse_packets, wheel_and_side_buttons, mouse_modes, a20_gate,
         resets, state_is_whole)
