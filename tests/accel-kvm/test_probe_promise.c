/* probe_promise.c: what follows from made-up hosts. These run everywhere; the facts of the PVM host are those that were
 * measured on one, of the VMX and SVM hosts those of the kernel's sources. */
#include "accel-kvm/probe_promise.h"
#include "tests/accel-kvm/fake_hosts.h"

#include <check.h>
#include <string.h>

#define BIT(name) (1u << KVM_UNCONTROLLED_##name)

/* ---- what is expected ---- */

static struct kvm_promises derive(const struct kvm_probe *probe)
{
    struct kvm_promises promises;
    memset(&promises, 0xff, sizeof promises);
    kvm_promises_derive(probe, &promises);
    return promises;
}

static void expect(const struct kvm_promises *promises, enum kvm_direction direction, enum kvm_code code,
                   struct kvm_promise expected)
{
    const struct kvm_promise *promise = &promises->promise[direction][code];
    ck_assert_msg(promise->level == expected.level && promise->position == expected.position &&
                      promise->reason == expected.reason && promise->unless == expected.unless,
                  "direction %d, %s: %s, %s, '%s', unless %#x; expected %s, %s, '%s', unless %#x", direction,
                  kvm_code_name(code), kvm_level_name(promise->level), kvm_position_name(promise->position),
                  kvm_reason_text(promise->reason), promise->unless, kvm_level_name(expected.level),
                  kvm_position_name(expected.position), kvm_reason_text(expected.reason), expected.unless);
}

static void expect_everywhere(const struct kvm_promises *promises, struct kvm_promise expected)
{
    for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++)
        for (unsigned code = 0; code < KVM_CODE_COUNT; code++)
            expect(promises, (enum kvm_direction)direction, (enum kvm_code)code, expected);
}

static struct kvm_promise exact(enum kvm_position position, uint32_t unless)
{
    return (struct kvm_promise){KVM_EXACT, position, KVM_REASON_NONE, unless};
}

static struct kvm_promise checked(enum kvm_position position, enum kvm_reason reason, uint32_t unless)
{
    return (struct kvm_promise){KVM_CHECKED, position, reason, unless};
}

static struct kvm_promise refused(enum kvm_reason reason)
{
    return (struct kvm_promise){KVM_REFUSED, KVM_POSITION_NONE, reason, 0};
}

START_TEST(vmx)
{
    struct kvm_probe probe = vmx_host();
    struct kvm_promises promises = derive(&probe);
    ck_assert_int_eq(promises.tier, KVM_TIER_COUNTED);
    ck_assert(promises.tsc_can_freeze);
    ck_assert_ptr_null(promises.lacks);
    expect_everywhere(&promises, exact(KVM_POSITION_BRANCHES, BIT(RDTSC)));
}
END_TEST

START_TEST(svm)
{
    struct kvm_probe probe = svm_host();
    struct kvm_promises promises = derive(&probe);
    ck_assert_int_eq(promises.tier, KVM_TIER_COUNTED);
    expect_everywhere(&promises, exact(KVM_POSITION_BRANCHES, BIT(RDTSC) | BIT(RDRAND) | BIT(RDSEED)));
}
END_TEST

START_TEST(vmx_without_pmu)
{
    struct kvm_probe probe = vmx_host_without_pmu();
    struct kvm_promises promises = derive(&probe);
    ck_assert_int_eq(promises.tier, KVM_TIER_LANDMARKS);
    expect_everywhere(&promises, checked(KVM_POSITION_LANDMARK, KVM_REASON_LANDMARK, BIT(RDTSC)));
}
END_TEST

START_TEST(pvm)
{
    struct kvm_probe probe = pvm_host();
    struct kvm_promises promises = derive(&probe);
    uint32_t cpl0 = BIT(RDTSC) | BIT(RDRAND) | BIT(RDSEED), cpl3 = cpl0 | BIT(RDTSCP), compat = BIT(RDTSC);
    uint32_t wrong_cpl0 = BIT(TZCNT) | BIT(MOVBE) | BIT(ROL) | BIT(FXSAVE);
    uint32_t wrong_cpl3 = BIT(SELECTORS) | BIT(LAR) | BIT(PUSHF) | BIT(TS) | BIT(XGETBV) | BIT(TSD) | BIT(INT_N);
    ck_assert_int_eq(promises.tier, KVM_TIER_KERNEL_COUNTED);
    ck_assert(!promises.tsc_can_freeze);
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL0, exact(KVM_POSITION_STATISTIC, cpl0 | wrong_cpl0));
    expect(&promises, KVM_TO_KVM, KVM_CODE_CPL0, exact(KVM_POSITION_STATISTIC, cpl0));
    expect(&promises, KVM_FROM_INTERP, KVM_CODE_CPL0,
           checked(KVM_POSITION_STATISTIC, KVM_REASON_CPUID, cpl0 | wrong_cpl0));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL3,
           checked(KVM_POSITION_LANDMARK, KVM_REASON_LANDMARK, cpl3 | wrong_cpl3));
    expect(&promises, KVM_TO_KVM, KVM_CODE_CPL3, checked(KVM_POSITION_NONE, KVM_REASON_NO_PLACE_AGAIN, cpl3));
    expect(&promises, KVM_FROM_INTERP, KVM_CODE_CPL3, refused(KVM_REASON_NO_PLACE));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_COMPAT, exact(KVM_POSITION_STATISTIC, compat | BIT(INT_N)));
    for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++)
        expect(&promises, (enum kvm_direction)direction, KVM_CODE_PAGING_32, refused(KVM_REASON_NO_PAGING_32));
}
END_TEST

START_TEST(no_kvm)
{
    struct kvm_probe probe = {0};
    struct kvm_promises promises = derive(&probe);
    ck_assert_int_eq(promises.tier, KVM_TIER_NONE);
    ck_assert_ptr_null(promises.lacks);
    expect_everywhere(&promises, refused(KVM_REASON_NO_KVM));
}
END_TEST

static const char *const needed[] = {
    "cap_sync_regs",
    "cap_immediate_exit",
    "cap_msr_filter",
    "cap_msr_exits",
    "cap_vcpu_events",
    "cap_debug_registers",
    "cap_xsave",
    "access_completes",
    "msr_read_exits",
    "msr_write_exits",
    "interrupt_cpl0",
    "interrupt_window",
    "kick",
};

START_TEST(lacking)
{
    struct kvm_probe probe = vmx_host();
    for (size_t n = 0; n < kvm_fact_count(); n++)
        if (!strcmp(kvm_fact_row(n)->name, needed[_i]))
            set_fact(&probe, n, KVM_NO);
    struct kvm_promises promises = derive(&probe);
    ck_assert_int_eq(promises.tier, KVM_TIER_NONE);
    ck_assert_str_eq(promises.lacks->name, needed[_i]);
    expect_everywhere(&promises, refused(KVM_REASON_LACKS));
}
END_TEST

START_TEST(modes)
{
    struct kvm_probe probe = vmx_host();
    probe.paging_pae = KVM_NO;
    probe.real_mode = KVM_NO;
    probe.compat_cpl3 = KVM_NO;
    probe.syscall = KVM_WRONG;
    struct kvm_promises promises = derive(&probe);
    expect(&promises, KVM_TO_INTERP, KVM_CODE_PAGING_32, refused(KVM_REASON_NO_PAGING_PAE));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL0, refused(KVM_REASON_NO_REAL_MODE));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_COMPAT, refused(KVM_REASON_NO_COMPAT));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL3, exact(KVM_POSITION_BRANCHES, BIT(RDTSC))); /* mended */
    probe.breakpoint_cpl0 = KVM_NO;
    promises = derive(&probe);
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL3, refused(KVM_REASON_NO_SYSCALL));
}
END_TEST

/* A counter without single steps takes KVM to no instruction, but the interpreter; what was not learned is not promised. */
START_TEST(unknown)
{
    struct kvm_probe probe = vmx_host();
    probe.step_cpl0 = KVM_UNKNOWN;
    probe.rdrand_cpl3 = KVM_UNKNOWN;
    probe.x87_cpl0 = KVM_UNKNOWN;
    probe.sse_cpl0 = KVM_FAILS;
    struct kvm_promises promises = derive(&probe);
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL0, exact(KVM_POSITION_BRANCHES, BIT(RDTSC) | BIT(X87)));
    expect(&promises, KVM_TO_KVM, KVM_CODE_CPL0, checked(KVM_POSITION_LANDMARK, KVM_REASON_LANDMARK, BIT(RDTSC)));
    expect(&promises, KVM_FROM_INTERP, KVM_CODE_PAGING_32,
           checked(KVM_POSITION_LANDMARK, KVM_REASON_LANDMARK, BIT(RDTSC) | BIT(X87)));
    expect(&promises, KVM_TO_INTERP, KVM_CODE_CPL3, exact(KVM_POSITION_BRANCHES, BIT(RDTSC) | BIT(RDRAND)));
}
END_TEST

/* ---- whatever the host ---- */

static bool no_better(const struct kvm_promise *worse, const struct kvm_promise *promise)
{
    if (worse->level == KVM_REFUSED)
        return true;
    return worse->level <= promise->level && (promise->unless & ~worse->unless) == 0;
}

static bool same(const struct kvm_promises *a, const struct kvm_promises *b)
{
    return a->tier == b->tier && a->tsc_can_freeze == b->tsc_can_freeze &&
           !memcmp(a->promise, b->promise, sizeof a->promise);
}

/* From YES to anything else no promise gets better. `_i`: which host. */
START_TEST(monotonic)
{
    const struct kvm_probe hosts[] = {vmx_host(), svm_host(), vmx_host_without_pmu(), pvm_host()};
    struct kvm_promises promises = derive(&hosts[_i]);
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        if (kvm_fact_get(&hosts[_i], kvm_fact_row(n)) != KVM_YES)
            continue;
        for (unsigned answer = 0; answer < KVM_ANSWER_COUNT; answer++) {
            struct kvm_probe probe = hosts[_i];
            set_fact(&probe, n, (enum kvm_answer)answer);
            struct kvm_promises worse = derive(&probe);
            ck_assert_msg(worse.tier <= promises.tier, "%s", kvm_fact_row(n)->name);
            for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++)
                for (unsigned code = 0; code < KVM_CODE_COUNT; code++)
                    ck_assert_msg(no_better(&worse.promise[direction][code], &promises.promise[direction][code]),
                                  "%s: %s is better than yes", kvm_fact_row(n)->name,
                                  kvm_answer_name((enum kvm_answer)answer));
        }
    }
}
END_TEST

/* No fact of what the guest is told or executes goes unheard, nor one of what is uncontrolled but IA32_TSC's. */
START_TEST(every_fact_counts)
{
    struct kvm_probe host = vmx_host();
    struct kvm_promises promises = derive(&host);
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        const struct kvm_fact *fact = kvm_fact_row(n);
        struct kvm_probe probe = host;
        if ((fact->group != KVM_GROUP_CPUID && fact->group != KVM_GROUP_INSN && fact->group != KVM_GROUP_CONTROL &&
             fact->group != KVM_GROUP_MODE) ||
            !strcmp(fact->name, "tsc_write"))
            continue;
        set_fact(&probe, n, KVM_NO);
        struct kvm_promises changed = derive(&probe);
        ck_assert_msg(!same(&changed, &promises), "%s: no promise depends on it", fact->name);
    }
}
END_TEST

START_TEST(names)
{
    for (unsigned n = 1; n < KVM_REASON_COUNT; n++)
        ck_assert_uint_gt(strlen(kvm_reason_text((enum kvm_reason)n)), 10);
    for (unsigned n = 0; n < KVM_UNCONTROLLED_COUNT; n++)
        ck_assert_uint_gt(strlen(kvm_uncontrolled_text((enum kvm_uncontrolled)n)), 1);
    ck_assert_uint_le(KVM_UNCONTROLLED_COUNT, 32);
    ck_assert_str_eq(kvm_level_name(KVM_CHECKED), "checked only");
    ck_assert_str_eq(kvm_tier_name(KVM_TIER_KERNEL_COUNTED), "kernel-counted");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe_promise");
    TCase *tests = tcase_create("promise");
    tcase_add_test(tests, vmx);
    tcase_add_test(tests, svm);
    tcase_add_test(tests, vmx_without_pmu);
    tcase_add_test(tests, pvm);
    tcase_add_test(tests, no_kvm);
    tcase_add_loop_test(tests, lacking, 0, (int)(sizeof needed / sizeof needed[0]));
    tcase_add_test(tests, modes);
    tcase_add_test(tests, unknown);
    tcase_add_loop_test(tests, monotonic, 0, 4);
    tcase_add_test(tests, every_fact_counts);
    tcase_add_test(tests, names);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
