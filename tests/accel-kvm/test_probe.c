/* The probe on this host's /dev/kvm: twice the same, bounded, and nothing left behind. On hosts without VMX or SVM (kvm_pvm) also
 * what was measured there by other programs before. */
#include "accel-kvm/probe.h"
#include "accel-kvm/probe_promise.h"
#include "accel-kvm/probe_vm.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct kvm_probe probe_once(void)
{
    struct kvm_probe probe;
    struct error error = {{0}};
    ck_assert_msg(kvm_probe(NULL, &probe, &error) == STATUS_OK, "%s", error.text);
    ck_assert(probe.present);
    return probe;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* ---- kvm_probe ---- */

START_TEST(twice_the_same)
{
    struct kvm_probe first = probe_once(), second = probe_once();
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        const struct kvm_fact *fact = kvm_fact_row(n);
        enum kvm_answer a = kvm_fact_get(&first, fact), b = kvm_fact_get(&second, fact);
        ck_assert_msg(a < KVM_ANSWER_COUNT && a == b, "%s: %s, then %s", fact->name, kvm_answer_name(a),
                      kvm_answer_name(b));
    }
    ck_assert_uint_eq(first.forced_count, second.forced_count);
    ck_assert_mem_eq(first.forced, second.forced, sizeof first.forced);
}
END_TEST

/* Without costs, all facts the same. */
START_TEST(without_costs)
{
    struct kvm_probe_options options = {.without_costs = true};
    struct kvm_probe with = probe_once(), without;
    ck_assert_int_eq(kvm_probe(&options, &without, NULL), STATUS_OK);
    for (size_t n = 0; n < kvm_fact_count(); n++)
        ck_assert_int_eq(kvm_fact_get(&with, kvm_fact_row(n)), kvm_fact_get(&without, kvm_fact_row(n)));
    ck_assert_uint_eq(without.costs.kick_ns, 0);
    ck_assert_uint_gt(without.costs.total_ns, 0);
}
END_TEST

/* Of every host that can run anything at all. */
START_TEST(every_host)
{
    struct kvm_probe probe = probe_once();
    ck_assert_int_eq(probe.api_version, 12);
    ck_assert_int_eq(probe.long_cpl0, KVM_YES);
    ck_assert_int_eq(probe.long_cpl3, KVM_YES);
    ck_assert_int_eq(probe.kick, KVM_YES);
    ck_assert_int_eq(probe.kick_cpl3, KVM_YES);
    ck_assert_int_eq(probe.in_rip_past, KVM_NO);
    ck_assert_int_eq(probe.mmio_read_rip_past, KVM_NO);
    ck_assert_int_eq(probe.hlt_exit, KVM_YES);
    ck_assert_int_eq(probe.access_completes, KVM_YES);
    ck_assert_int_eq(probe.interrupt_cpl0, KVM_YES);
    ck_assert_int_eq(probe.interrupt_cpl3, KVM_YES);
    ck_assert_int_eq(probe.interrupt_window, KVM_YES);
    ck_assert_int_eq(probe.nmi, KVM_YES);
    ck_assert_int_eq(probe.dirty_log_cpl0, KVM_YES);
    ck_assert(probe.dirty_log_cpl3 == KVM_YES || probe.dirty_log_cpl3 == KVM_WRONG); /* never without the page */
    ck_assert_int_eq(probe.sse_cpl3, KVM_YES);
    ck_assert_int_eq(probe.cpuid_hides == KVM_YES, probe.forced_count == 0);
    for (size_t n = 0; n < kvm_cost_count(); n++)
        ck_assert_uint_lt(kvm_cost_get_ns(&probe, kvm_cost_row(n)), 2000000000u);
    ck_assert_uint_gt(probe.costs.pio_exit_cpl0_ns, 100);
    ck_assert_uint_gt(probe.costs.kick_ns, 100);
}
END_TEST

START_TEST(as_measured_on_pvm)
{
    struct kvm_probe probe = probe_once();
    if (strcmp(probe.module, "kvm_pvm") != 0)
        return;
    static const struct {
        const char *name;
        enum kvm_answer answer;
    } measured[] = {
        {"cap_sync_regs", KVM_YES},
        {"cap_dirty_ring", KVM_YES},
        {"real_mode", KVM_YES},
        {"unpaged_protected", KVM_YES},
        {"paging_32", KVM_NO},
        {"paging_pae", KVM_NO},
        {"compat_cpl3", KVM_YES},
        {"out_rip_past", KVM_YES},
        {"mmio_write_rip_past", KVM_YES},
        {"int3_cpl0", KVM_FAILS},
        {"int_n_cpl0", KVM_FAILS},
        {"int_n_cpl3", KVM_NO},
        {"syscall", KVM_WRONG},
        {"cpuid_hides", KVM_NO},
        {"selectors_cpl3", KVM_WRONG},
        {"lar_cpl3", KVM_WRONG},
        {"flags_cpl3", KVM_WRONG},
        {"ts_cpl3", KVM_NO},
        {"xgetbv_cpl3", KVM_NO},
        {"tzcnt_cpl0", KVM_WRONG},
        {"movbe_cpl0", KVM_NO},
        {"popcnt_cpl0", KVM_FAILS},
        {"rol_flags_cpl0", KVM_WRONG},
        {"fxsave_tail_cpl0", KVM_WRONG},
        {"x87_cpl0", KVM_FAILS},
        {"sse_cpl0", KVM_FAILS},
        {"xsave_cpl0", KVM_FAILS},
        {"popcnt_compat", KVM_NO},
        {"tsc_write", KVM_NO},
        {"tsc_offset", KVM_NO},
        {"tsc_scaling", KVM_NO},
        {"tsd_cpl3", KVM_NO},
        {"rdrand_cpl0", KVM_NO},
        {"rdrand_cpl3", KVM_NO},
        {"rdseed_cpl0", KVM_NO},
        {"rdseed_cpl3", KVM_NO},
        {"rdtscp_cpl0", KVM_FAILS},
        {"rdtscp_cpl3", KVM_NO},
        {"step_cpl0", KVM_YES},
        {"step_cpl3", KVM_WRONG},
        {"breakpoint_cpl0", KVM_YES},
        {"breakpoint_cpl3", KVM_NO},
        {"insn_emulation_cpl0", KVM_YES},
        {"insn_emulation_cpl3", KVM_NO},
        {"pmu", KVM_NO},
    };
    for (size_t m = 0; m < sizeof measured / sizeof measured[0]; m++) {
        size_t n = 0;
        while (n < kvm_fact_count() && strcmp(kvm_fact_row(n)->name, measured[m].name) != 0)
            n++;
        ck_assert_msg(n < kvm_fact_count(), "no fact %s", measured[m].name);
        enum kvm_answer answer = kvm_fact_get(&probe, kvm_fact_row(n));
        ck_assert_msg(answer == measured[m].answer, "%s: %s, was %s", measured[m].name, kvm_answer_name(answer),
                      kvm_answer_name(measured[m].answer));
    }
    struct kvm_promises promises;
    kvm_promises_derive(&probe, &promises);
    ck_assert_int_eq(promises.tier, KVM_TIER_KERNEL_COUNTED);
    ck_assert_int_eq(promises.promise[KVM_TO_INTERP][KVM_CODE_CPL0].level, KVM_EXACT);
    ck_assert_int_eq(promises.promise[KVM_TO_INTERP][KVM_CODE_PAGING_32].level, KVM_REFUSED);
}
END_TEST

/* Files, signals and their mask as before. */
START_TEST(nothing_left)
{
    sigset_t before, after, pending;
    unsigned files = open_files();
    sigemptyset(&before); /* main has probed already */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    probe_once();
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_uint_eq(open_files(), files);
    sigpending(&pending);
    for (int signal = 1; signal < SIGRTMAX; signal++) {
        ck_assert_int_eq(sigismember(&before, signal), sigismember(&after, signal));
        ck_assert_int_eq(sigismember(&pending, signal), 0);
    }
}
END_TEST

static void limit_files(unsigned count)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = count;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The host runs out of files at each place in turn: a message with the path, or facts that were not learned, and nothing left. */
START_TEST(no_files)
{
    const unsigned files = open_files(), room = 12;
    int highest = dup(0);
    unsigned failures = 0;
    ck_assert_int_ge(highest, 0);
    close(highest);
    for (unsigned more = 0; more < room; more++) {
        struct kvm_probe probe;
        struct error error = {{0}};
        limit_files((unsigned)highest + more);
        enum status status = kvm_probe(NULL, &probe, &error);
        limit_files((unsigned)highest + 64);
        ck_assert_int_eq(probe.present, !status);
        ck_assert(!status || strstr(error.text, "/dev/kvm: "));
        ck_assert_uint_eq(open_files(), files);
        failures += status != STATUS_OK;
        ck_assert(status || probe.long_cpl0 == KVM_YES);
    }
    ck_assert_uint_ge(failures, 3); /* the device, a VM, a vCPU */
    ck_assert_uint_lt(failures, room);
}
END_TEST

static void *probe_in_thread(void *opaque)
{
    *(struct kvm_probe *)opaque = probe_once();
    return NULL;
}

/* The timer signals the thread that asked, whichever it is. */
START_TEST(other_thread)
{
    struct kvm_probe probe = {0};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, probe_in_thread, &probe), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(probe.kick, KVM_YES);
}
END_TEST

/* ---- guests that do not behave ---- */

static struct probe_timer timer;
static struct probe_vm vm;
static int kvm = -1;

static void make_vm(void)
{
    struct error error = {{0}};
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(kvm, 0);
    ck_assert_int_eq(probe_timer_init(&timer, &error), STATUS_OK);
    ck_assert_msg(probe_vm_init(&vm, kvm, &timer, PROBE_TABLE_ALL, &error) == STATUS_OK, "%s", error.text);
}

static void end_vm(void)
{
    probe_vm_fini(&vm);
    probe_timer_fini(&timer);
    close(kvm);
}

static enum probe_end run(enum probe_guest_id guest, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    probe_vm_run(&vm, guest, &start, &outcome);
    return outcome.end;
}

START_TEST(endless_guest)
{
    uint64_t since_ns = probe_now_ns();
    ck_assert_int_eq(run(PROBE_GUEST_spin, PROBE_CPL0), PROBE_KILLED);
    ck_assert_uint_ge(probe_now_ns() - since_ns, PROBE_GUEST_LIMIT_NS);
    ck_assert_int_eq(run(PROBE_GUEST_out, PROBE_CPL0), PROBE_ENDED);
    ck_assert_int_eq(run(PROBE_GUEST_spin, PROBE_CPL3), PROBE_KILLED);
    ck_assert_int_eq(run(PROBE_GUEST_out, PROBE_CPL3), PROBE_ENDED);
}
END_TEST

/* When the probe's time is over no guest is entered any more, so that an endless one costs nothing. */
START_TEST(time_is_over)
{
    timer.end_ns = probe_now_ns();
    uint64_t since_ns = probe_now_ns();
    ck_assert_int_eq(run(PROBE_GUEST_out, PROBE_CPL0), PROBE_KILLED);
    for (unsigned n = 0; n < 8; n++)
        ck_assert_int_eq(run(PROBE_GUEST_spin, PROBE_CPL0), PROBE_KILLED);
    ck_assert_uint_lt(probe_now_ns() - since_ns, 8ull * PROBE_GUEST_LIMIT_NS);
}
END_TEST

/* INT3 without an IDT: a triple fault, or failed emulation; then a new VM where one is needed. */
START_TEST(dying_guest)
{
    enum probe_end end = run(PROBE_GUEST_int3, PROBE_PROTECTED);
    ck_assert_msg(end == PROBE_SHUTDOWN || end == PROBE_FAILS, "%d", end);
    end = run(PROBE_GUEST_mmio_read, PROBE_PROTECTED);
    ck_assert_int_eq(end, PROBE_OTHER);
    ck_assert_int_eq(run(PROBE_GUEST_out, PROBE_CPL0), PROBE_ENDED);
    ck_assert_int_eq(run(PROBE_GUEST_sse, PROBE_CPL3), PROBE_ENDED);
}
END_TEST

int main(void)
{
    struct kvm_probe probe;
    struct error error = {{0}};
    if (kvm_probe(NULL, &probe, &error)) {
        printf("SKIP: %s\n", error.text);
        return 77;
    }
    Suite *suite = suite_create("probe");
    TCase *tests = tcase_create("probe"), *guests = tcase_create("guests");
    tcase_add_test(tests, twice_the_same);
    tcase_add_test(tests, without_costs);
    tcase_add_test(tests, every_host);
    tcase_add_test(tests, as_measured_on_pvm);
    tcase_add_test(tests, nothing_left);
    tcase_add_test(tests, no_files);
    tcase_add_test(tests, other_thread);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(guests, make_vm, end_vm);
    tcase_add_test(guests, endless_guest);
    tcase_add_test(guests, time_is_over);
    tcase_add_test(guests, dying_guest);
    suite_add_tcase(suite, guests);
    return run_suite(suite, CK_FORK_GETENV);
}
