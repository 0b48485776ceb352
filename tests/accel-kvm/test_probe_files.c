/* probe.c: device files that are missing, forbidden or not KVM's. These run on every host. */
#include "accel-kvm/probe.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void refused(const char *path, enum status status, const char *words)
{
    struct kvm_probe_options options = {.path = path};
    struct kvm_probe probe;
    struct error error = {{0}};
    memset(&probe, 0xff, sizeof probe);
    ck_assert_int_eq(kvm_probe(&options, &probe, &error), status);
    ck_assert_msg(strstr(error.text, words), "expected '%s' in: %s", words, error.text);
    ck_assert_msg(strstr(error.text, path), "the path is not in: %s", error.text);
    ck_assert_ptr_null(strchr(error.text, '\n'));
    ck_assert(!probe.present);
    for (size_t n = 0; n < kvm_fact_count(); n++)
        ck_assert_msg(kvm_fact_get(&probe, kvm_fact_row(n)) == KVM_UNKNOWN, "%s", kvm_fact_row(n)->name);
}

START_TEST(missing)
{
    refused("/nonexistent/kvm", STATUS_NOT_FOUND, "modprobe");
}
END_TEST

/* As root the mode means nothing, so a child of nobody's asks. */
START_TEST(forbidden)
{
    char path[] = "/tmp/vmrr-test-probe-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(chmod(path, 0), 0);
    bool root = geteuid() == 0;
    if (root)
        ck_assert_int_eq(seteuid(65534), 0);
    refused(path, STATUS_IO, "group");
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    unlink(path);
}
END_TEST

START_TEST(not_kvm)
{
    refused("/dev/null", STATUS_UNSUPPORTED, "not a KVM device");
    refused("/tmp", STATUS_UNSUPPORTED, "not a KVM device");
}
END_TEST

/* The list itself: every fact has a name and a meaning, and no two lie in one place. */
START_TEST(facts)
{
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        const struct kvm_fact *fact = kvm_fact_row(n);
        ck_assert_uint_gt(strlen(fact->means), 5);
        ck_assert(fact->group < KVM_GROUP_COUNT);
        for (size_t other = 0; other < n; other++) {
            ck_assert_uint_ne(fact->offset, kvm_fact_row(other)->offset);
            ck_assert_str_ne(fact->name, kvm_fact_row(other)->name);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe_files");
    TCase *tests = tcase_create("files");
    tcase_add_test(tests, missing);
    tcase_add_test(tests, forbidden);
    tcase_add_test(tests, not_kvm);
    tcase_add_test(tests, facts);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
