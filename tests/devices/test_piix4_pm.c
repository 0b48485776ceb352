/* PIIX4 power management: timer and its overflow at exact times, SCI, power button, S5, SMI command, reset, SMBus. */
#include "devices/piix4_pm.h"
#include "devices/ticks.h"
#include "tests/devices/device_test.h"

#define BASE 0xB000
#define PM_HZ 3579545u

static void build(struct rig *rig)
{
    rig->device = piix4_pm_create(rig->fake->machine, fake_line(&rig->line[0]));
    piix4_pm_set_base(rig->device, BASE, true);
    piix4_pm_set_smbus_base(rig->device, 0xB100, true);
}

static void press_power_button(struct rig *rig)
{
    rig_post(rig, INPUT_POWER_BUTTON, 0, 0, 0);
    fake_machine_advance_ns(rig->fake, 1);
}

static enum machine_stop look(struct rig *rig)
{
    return machine_run(rig->fake->machine, machine_position(rig->fake->machine));
}

START_TEST(block_moves)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, BASE + 2, 0x0100);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 2), 0x0100);
    piix4_pm_set_base(rig->device, 0x600, true);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 2), 0xFFFF);
    ck_assert_uint_eq(fake_inw(rig->fake, 0x602), 0x0100);
    piix4_pm_set_base(rig->device, 0x600, false);
    ck_assert_uint_eq(fake_inw(rig->fake, 0x602), 0xFFFF);
    rig_destroy(rig);
}
END_TEST

START_TEST(timer_runs_at_its_rate)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(fake_inl(rig->fake, BASE + 8), 0);
    rig_advance_to(rig, 1000000000);
    ck_assert_uint_eq(fake_inl(rig->fake, BASE + 8), PM_HZ);
    ck_assert_uint_eq(fake_inb(rig->fake, BASE + 9), PM_HZ >> 8 & 0xFF);
    rig_advance_to(rig, 7000000000ull);
    ck_assert_uint_eq(fake_inl(rig->fake, BASE + 8), 7ull * PM_HZ & 0xFFFFFF);
    rig_destroy(rig);
}
END_TEST

START_TEST(timer_overflow)
{
    struct rig *rig = rig_create(build);
    uint64_t half_ns = ticks_to_ns(1 << 23, PM_HZ);
    fake_outb(rig->fake, PIIX4_SMI_COMMAND, PIIX4_ACPI_ENABLE);
    fake_outw(rig->fake, BASE + 2, 0x0001);
    rig_advance_to(rig, half_ns - 1);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE) & 1, 0);
    rig_advance_to(rig, half_ns);
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE) & 1, 1);
    fake_outw(rig->fake, BASE, 0x0001);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, 2 * half_ns - 2);
    ck_assert(!rig->line[0].level);
    rig_advance_to(rig, ticks_to_ns(2 << 23, PM_HZ));
    ck_assert(rig->line[0].level);
    fake_outw(rig->fake, BASE + 2, 0x0000); /* disabled: the status is seen all the same */
    ck_assert(!rig->line[0].level);
    fake_outw(rig->fake, BASE, 0x0001);
    rig_advance_to(rig, ticks_to_ns(3 << 23, PM_HZ));
    ck_assert_uint_eq(fake_inw(rig->fake, BASE) & 1, 1);
    ck_assert(!rig->line[0].level);
    rig_destroy(rig);
}
END_TEST

START_TEST(power_button_raises_sci)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, BASE + 2, 0x0100);
    press_power_button(rig);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE), 0x0100);
    ck_assert(!rig->line[0].level); /* SCI_EN is off */
    fake_outb(rig->fake, PIIX4_SMI_COMMAND, PIIX4_ACPI_ENABLE);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 4), 0x0001);
    ck_assert(rig->line[0].level);
    fake_outb(rig->fake, BASE + 1, 0x01); /* a byte write clears by its bits */
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE), 0);
    fake_outb(rig->fake, PIIX4_SMI_COMMAND, PIIX4_ACPI_DISABLE);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 4), 0x0000);
    rig_destroy(rig);
}
END_TEST

START_TEST(general_purpose_events)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, BASE + 4, 0x0001);
    fake_outl(rig->fake, BASE + 0x0C, 0x00040000); /* enable bit 2 */
    piix4_pm_raise_gpe(rig->device, 1);
    ck_assert(!rig->line[0].level);
    piix4_pm_raise_gpe(rig->device, 2);
    ck_assert(rig->line[0].level);
    ck_assert_uint_eq(fake_inl(rig->fake, BASE + 0x0C), 0x00040006);
    fake_outw(rig->fake, BASE + 0x0C, 0x0004);
    ck_assert(!rig->line[0].level);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 0x0C), 0x0002);
    rig_destroy(rig);
}
END_TEST

START_TEST(soft_off)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, BASE + 4, 5u << 10 | 1);
    ck_assert_int_eq(look(rig), MACHINE_STOP_LIMIT);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 4), 5u << 10 | 1);
    fake_outw(rig->fake, BASE + 4, 0x2000 | 5u << 10); /* another sleep type */
    ck_assert_int_eq(look(rig), MACHINE_STOP_LIMIT);
    fake_outw(rig->fake, BASE + 4, 0x2000 | PIIX4_SLP_TYP_S5 << 10);
    ck_assert_int_eq(look(rig), MACHINE_STOP_POWER_OFF);
    ck_assert_uint_eq(fake_inw(rig->fake, BASE + 4) & 0x2000, 0); /* SLP_EN reads as 0 */
    rig_destroy(rig);
}
END_TEST

START_TEST(ports_b2_b3)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, PIIX4_SMI_COMMAND, 0x5512);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xB2), 0x12);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xB3), 0x55);
    rig_destroy(rig);
}
END_TEST

START_TEST(reset_control)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, PIIX4_RESET_PORT, 0x02);
    ck_assert_int_eq(look(rig), MACHINE_STOP_LIMIT);
    fake_outb(rig->fake, PIIX4_RESET_PORT, PIIX4_RESET_VALUE);
    ck_assert_int_eq(look(rig), MACHINE_STOP_RESET);
    ck_assert_uint_eq(fake_inb(rig->fake, PIIX4_RESET_PORT), 0x06);
    fake_outb(rig->fake, PIIX4_RESET_PORT, 0x06); /* no rising edge */
    ck_assert_int_eq(look(rig), MACHINE_STOP_LIMIT);
    rig_destroy(rig);
}
END_TEST

START_TEST(smbus_has_no_devices)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, 0xB104, 0xA1);
    fake_outb(rig->fake, 0xB102, 0x48);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xB100), 0x04);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xB104), 0xA1);
    fake_outb(rig->fake, 0xB100, 0x1E);
    ck_assert_uint_eq(fake_inb(rig->fake, 0xB100), 0x00);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    piix4_pm_set_base(rig->device, 0x6C0, true);
    fake_outb(rig->fake, PIIX4_SMI_COMMAND, PIIX4_ACPI_ENABLE);
    fake_outw(rig->fake, 0x6C2, 0x0101);
    rig_advance_to(rig, 3000000000ull);
    fake_outw(rig->fake, 0x6C0, 0x0001);
    fake_outl(rig->fake, 0x6D0, 0x12345678);
}

static void after_load(struct rig *rig)
{
    rig_log(rig, fake_inl(rig->fake, 0x6D0));
    for (unsigned i = 0; i < 10; i++) {
        rig_log(rig, rig->line[0].level);
        rig_log(rig, fake_inl(rig->fake, 0x6C8));
        rig_log(rig, fake_inl(rig->fake, 0x6C0));
        rig_log(rig, fake_inw(rig->fake, 0x6C4));
        fake_machine_advance_ns(rig->fake, 500000000);
    }
    ck_assert_uint_eq(rig->line[0].rises, 1);
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("piix4_pm", block_moves, timer_runs_at_its_rate, timer_overflow, power_button_raises_sci,
         general_purpose_events, soft_off, ports_b2_b3, reset_control, smbus_has_no_devices, state_is_whole)
