/* What the device tests share: a chip on a machine whose time passes without a CPU, and the check that saved state is
 * whole: a second machine that is given it goes on exactly as the first. */
#ifndef VMRR_TESTS_DEVICES_DEVICE_TEST_H
#define VMRR_TESTS_DEVICES_DEVICE_TEST_H

#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define RIG_LINES 4
#define RIG_LOG_MAX 4096

struct rig {
    struct fake_machine *fake;
    struct device *device;
    struct device *other; /* a second chip, where the test needs one */
    struct fake_line line[RIG_LINES];
    uint64_t log[RIG_LOG_MAX]; /* what the guest saw */
    size_t log_count;
    uint8_t sent[RIG_LOG_MAX]; /* what went to the chip's char_sink */
    size_t sent_count;
};

static inline struct rig *rig_create(void (*build)(struct rig *rig))
{
    struct rig *rig = calloc(1, sizeof *rig);
    ck_assert_ptr_nonnull(rig);
    rig->fake = fake_machine_create(1 << 20);
    fake_machine_use_idle_accel(rig->fake);
    build(rig);
    machine_reset(rig->fake->machine);
    return rig;
}

static inline void rig_destroy(struct rig *rig)
{
    fake_machine_destroy(rig->fake);
    free(rig);
}

static inline void rig_log(struct rig *rig, uint64_t value)
{
    ck_assert_uint_lt(rig->log_count, RIG_LOG_MAX);
    rig->log[rig->log_count++] = value;
}

static inline uint32_t rig_mmio_read(struct rig *rig, uint64_t gpa)
{
    return (uint32_t)bus_mmio_read(machine_bus(rig->fake->machine), gpa, 4);
}

static inline void rig_mmio_write(struct rig *rig, uint64_t gpa, uint32_t value)
{
    bus_mmio_write(machine_bus(rig->fake->machine), gpa, value, 4);
}

static inline bool rig_intr(struct rig *rig)
{
    return machine_intr_pending(rig->fake->machine);
}

static inline int rig_acknowledge(struct rig *rig)
{
    struct cpu_link link = machine_cpu_link(rig->fake->machine);
    return link.ops->acknowledge(link.opaque);
}

static inline void rig_post(struct rig *rig, enum input_id id, uint32_t target, uint64_t a, uint64_t b)
{
    input_mailbox_post(rig->fake->mailbox, (struct input_message){.id = id, .target = target, .a = a, .b = b});
}

/* Advances to just before and then to an instant. */
static inline void rig_advance_to(struct rig *rig, uint64_t time_ns)
{
    uint64_t now_ns = fake_machine_now_ns(rig->fake);
    ck_assert_uint_ge(time_ns, now_ns);
    if (time_ns > now_ns)
        fake_machine_advance_ns(rig->fake, time_ns - now_ns);
    ck_assert_uint_eq(fake_machine_now_ns(rig->fake), time_ns);
}

/* All devices of one machine into another of the same build. */
static inline void rig_copy_state(struct rig *from, struct rig *to)
{
    struct device *a = machine_device_first(from->fake->machine);
    struct device *b = machine_device_first(to->fake->machine);
    for (; a && b; a = a->next, b = b->next) {
        ck_assert_str_eq(a->id, b->id);
        size_t size = state_size(a->class->fields);
        uint8_t *bytes = malloc(size ? size : 1);
        state_save(a->class->fields, a, bytes);
        ck_assert_int_eq(state_load(b->class->fields, b, bytes, size), STATUS_OK);
        free(bytes);
    }
    ck_assert(!a && !b);
    machine_set_a20(to->fake->machine, machine_a20(from->fake->machine)); /* the machine's own state */
    for (b = machine_device_first(to->fake->machine); b; b = b->next)
        if (b->class->post_load)
            b->class->post_load(b);
}

static inline void rig_print_difference(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    fprintf(stderr, "%s.%s: %#llx, restored %#llx\n", (const char *)opaque, path, (unsigned long long)a,
            (unsigned long long)b);
}

static inline void rig_assert_same_state(struct rig *a, struct rig *b)
{
    struct device *device = machine_device_first(a->fake->machine);
    struct device *twin = machine_device_first(b->fake->machine);
    for (; device; device = device->next, twin = twin->next)
        ck_assert_uint_eq(state_diff(device->class->fields, device, twin, rig_print_difference, (void *)device->id), 0);
}

/* before runs on one machine; its state goes to another that has only let the same time pass; after runs on both and
 * must see the same and leave the same. */
static inline void rig_round_trip(void (*build)(struct rig *rig), void (*before)(struct rig *rig),
                                  void (*after)(struct rig *rig))
{
    struct rig *first = rig_create(build);
    struct rig *second = rig_create(build);
    before(first);
    rig_advance_to(second, fake_machine_now_ns(first->fake));
    rig_copy_state(first, second);
    ck_assert_int_eq(rig_intr(first), rig_intr(second));
    rig_assert_same_state(first, second);
    for (unsigned i = 0; i < RIG_LINES; i++) {
        second->line[i].level = first->line[i].level;
        first->line[i].rises = second->line[i].rises = 0;
    }
    first->log_count = second->log_count = first->sent_count = second->sent_count = 0;
    after(first);
    after(second);
    ck_assert_uint_gt(first->log_count, 0);
    ck_assert_uint_eq(first->log_count, second->log_count);
    for (size_t i = 0; i < first->log_count; i++)
        ck_assert_msg(first->log[i] == second->log[i], "entry %zu: %#llx, restored %#llx", i,
                      (unsigned long long)first->log[i], (unsigned long long)second->log[i]);
    for (unsigned i = 0; i < RIG_LINES; i++) {
        ck_assert_int_eq(first->line[i].level, second->line[i].level);
        ck_assert_uint_eq(first->line[i].rises, second->line[i].rises);
    }
    ck_assert_uint_eq(first->sent_count, second->sent_count);
    ck_assert_int_eq(memcmp(first->sent, second->sent, first->sent_count), 0);
    rig_assert_same_state(first, second);
    rig_destroy(first);
    rig_destroy(second);
}

static inline int rig_run_suite(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create("all");
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}

#define RIG_MAIN(name, ...)                                                                                            \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        const TTest *const tests[] = {__VA_ARGS__};                                                                    \
        return rig_run_suite(name, tests, sizeof tests / sizeof tests[0]);                                             \
    }

#endif
