/* A whole board on a machine with the idle accelerator: what the board's tests share. */
#ifndef VMRR_TESTS_DEVICES_BOARD_TEST_H
#define VMRR_TESTS_DEVICES_BOARD_TEST_H

#include "devices/board_pc.h"
#include "tests/devices/device_test.h"

/* Not the host's: two boards made around the turn of a second are alike. */
static inline uint64_t board_test_clock(void *opaque)
{
    (void)opaque;
    return 1767225600; /* 2026-01-01 */
}

/* ram_bytes of RAM, the idle accelerator, nothing else yet: for drives, which come before their board. */
static inline struct fake_machine *board_test_machine(uint64_t ram_bytes, struct error *error)
{
    struct fake_machine *fake = calloc(1, sizeof *fake);
    ck_assert_ptr_nonnull(fake);
    fake->mailbox = input_mailbox_create();
    fake->input = input_live_create(
        &(struct input_live_options){.mailbox = fake->mailbox, .wall_clock_seconds = board_test_clock});
    struct machine_options machine = {.ram_bytes = ram_bytes, .input = fake->input, .no_reboot = true};
    ck_assert_int_eq(cpu_model_init(&machine.cpu, "vmrr", error), STATUS_OK);
    fake->machine = machine_create(&machine, error);
    ck_assert_msg(fake->machine != NULL, "%s", error->text);
    fake_machine_use_idle_accel(fake);
    return fake;
}

/* Not yet reset. status gets what board_pc_create said. */
static inline struct fake_machine *board_test_create(uint64_t ram_bytes, const struct board_pc_options *options,
                                                     enum status *status, struct error *error)
{
    struct fake_machine *fake = board_test_machine(ram_bytes, error);
    *status = board_pc_create(fake->machine, options, error);
    return fake;
}

static inline void board_test_cpu(struct fake_machine *fake, struct cpu_state *cpu)
{
    struct accel *accel = machine_accel(fake->machine);
    accel->ops->get_state(accel, cpu);
}

static inline uint8_t board_test_sum(const uint8_t *bytes, size_t size_bytes)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < size_bytes; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum;
}

static inline uint64_t board_test_le(const uint8_t *bytes, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size_bytes; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

#endif
