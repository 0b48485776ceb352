/* accel-kvm/freeze.c over a KVM that is made up: ioctl of this program is a vCPU with a TSC that is scaled and has an offset, and
 * a host's counter that moves when the test says. */
#include "accel-kvm/kvm.h"
#include "core/machine.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define VCPU 1000 /* no descriptor of a process that opens so few */
#define HOST_KHZ 2000000ull

static struct {
    uint64_t host, offset, khz;
    unsigned long fails; /* this request does */
    unsigned calls, offsets_set;
} fake;

static uint64_t guest_tsc(void)
{
    return (uint64_t)((unsigned __int128)fake.host * fake.khz / HOST_KHZ) + fake.offset;
}

static int get_msrs(struct kvm_msrs *msrs)
{
    ck_assert_uint_eq(msrs->nmsrs, 1);
    ck_assert_uint_eq(msrs->entries[0].index, 0x10);
    msrs->entries[0].data = guest_tsc();
    return 1;
}

static int reach(const struct kvm_device_attr *attribute, bool write)
{
    uint64_t *value = (uint64_t *)(uintptr_t)attribute->addr;
    ck_assert_uint_eq(attribute->group, 0);
    ck_assert_uint_eq(attribute->attr, 0);
    fake.offsets_set += write;
    if (write)
        fake.offset = *value;
    else
        *value = fake.offset;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    ck_assert_int_eq(fd, VCPU);
    fake.calls++;
    if (request == fake.fails) {
        errno = EIO;
        return -1;
    }
    switch (request) {
    case KVM_SET_TSC_KHZ: fake.khz = (uintptr_t)argument; return 0;
    case KVM_GET_MSRS: return get_msrs(argument);
    case KVM_GET_DEVICE_ATTR: return reach(argument, false);
    case KVM_SET_DEVICE_ATTR: return reach(argument, true);
    default: ck_abort_msg("ioctl %#lx", request);
    }
}

static struct {
    struct input *input;
    struct machine *machine;
    struct kvm_accel cpu;
    struct error error;
} rig;

static void make(uint32_t ways)
{
    struct machine_options options = {.ram_bytes = 1u << 20, .counts_exits = true, .ways = ways};
    memset(&rig, 0, sizeof rig);
    memset(&fake, 0, sizeof fake);
    fake.khz = HOST_KHZ;
    fake.host = 123456789012345;
    fake.offset = 0x1234567890;
    rig.input = input_live_create(&(struct input_live_options){0});
    options.input = rig.input;
    ck_assert_int_eq(cpu_model_init(&options.cpu, "v1", &rig.error), STATUS_OK);
    rig.machine = machine_create(&options, &rig.error);
    ck_assert_ptr_nonnull(rig.machine);
    rig.cpu.accel.machine = rig.machine;
    rig.cpu.vcpu = VCPU;
}

static void teardown(void)
{
    machine_destroy(rig.machine);
    input_destroy(rig.input);
}

START_TEST(test_off)
{
    make(0);
    ck_assert(kvm_freeze_setup(&rig.cpu, &rig.error));
    kvm_freeze_at(&rig.cpu, 5);
    kvm_freeze_look(&rig.cpu);
    ck_assert_uint_eq(fake.calls, 0);
    ck_assert_uint_eq(rig.cpu.statistics.tsc_ticks, 0);
}
END_TEST

/* Wherever it stood, it stands where it shall; less than a tick later still. */
START_TEST(test_stands)
{
    static const uint64_t places[] = {0, 1, 1000000000, 1000000007, 3, UINT64_MAX, 0};
    make(MACHINE_WAY_TSC_FROZEN);
    ck_assert(kvm_freeze_setup(&rig.cpu, &rig.error));
    ck_assert_uint_eq(fake.khz, 1);
    fake.host = HOST_KHZ * 50; /* at the beginning of a tick */
    for (size_t n = 0; n < sizeof places / sizeof places[0]; n++) {
        kvm_freeze_at(&rig.cpu, places[n]);
        ck_assert_uint_eq(guest_tsc(), places[n]);
        fake.host += HOST_KHZ / 8;
        ck_assert_uint_eq(guest_tsc(), places[n]);
        kvm_freeze_look(&rig.cpu);
    }
    ck_assert_uint_eq(rig.cpu.statistics.tsc_ticks, 0);
    ck_assert_str_eq(rig.cpu.error.text, "");
}
END_TEST

/* The same place again costs no setting, unless a tick came. */
START_TEST(test_tick)
{
    make(MACHINE_WAY_TSC_FROZEN);
    ck_assert(kvm_freeze_setup(&rig.cpu, &rig.error));
    fake.host = HOST_KHZ * 50;
    kvm_freeze_at(&rig.cpu, 77);
    kvm_freeze_look(&rig.cpu);
    kvm_freeze_at(&rig.cpu, 77);
    ck_assert_uint_eq(fake.offsets_set, 1);
    fake.host += HOST_KHZ;
    kvm_freeze_look(&rig.cpu);
    ck_assert_uint_eq(rig.cpu.statistics.tsc_ticks, 1);
    kvm_freeze_at(&rig.cpu, 77);
    ck_assert_uint_eq(fake.offsets_set, 2);
    ck_assert_uint_eq(guest_tsc(), 77);
}
END_TEST

START_TEST(test_refused)
{
    static const unsigned long requests[] = {KVM_SET_TSC_KHZ, KVM_GET_DEVICE_ATTR, KVM_GET_MSRS};
    for (size_t n = 0; n < sizeof requests / sizeof requests[0]; n++) {
        make(MACHINE_WAY_TSC_FROZEN);
        fake.fails = requests[n];
        ck_assert(!kvm_freeze_setup(&rig.cpu, &rig.error));
        ck_assert_ptr_nonnull(strstr(rig.error.text, "can't be made to stand still: Input/output error"));
        teardown();
    }
    make(0);
}
END_TEST

START_TEST(test_trouble)
{
    static const unsigned long requests[] = {KVM_GET_MSRS, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR};
    for (size_t n = 0; n < sizeof requests / sizeof requests[0]; n++) {
        make(MACHINE_WAY_TSC_FROZEN);
        ck_assert(kvm_freeze_setup(&rig.cpu, &rig.error));
        fake.fails = requests[n];
        kvm_freeze_at(&rig.cpu, 1);
        ck_assert_ptr_nonnull(strstr(rig.cpu.error.text, "Input/output error"));
        teardown();
    }
    make(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("freeze");
    TCase *tests = tcase_create("freeze");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, test_off);
    tcase_add_test(tests, test_stands);
    tcase_add_test(tests, test_tick);
    tcase_add_test(tests, test_refused);
    tcase_add_test(tests, test_trouble);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
