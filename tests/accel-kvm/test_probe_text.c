/* tools/host_info.c: what info --host prints of hosts that this one is not. */
#include "accel-kvm/probe_promise.h"
#include "tests/accel-kvm/fake_hosts.h"
#include "tools/host_info.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What is printed of such a host; the caller frees it. Standard output is a file meanwhile. */
static char *printed(const struct kvm_probe *probe, bool json)
{
    struct kvm_promises promises;
    FILE *file = tmpfile();
    int before = dup(STDOUT_FILENO);
    kvm_promises_derive(probe, &promises);
    ck_assert(file && before >= 0);
    fflush(stdout);
    ck_assert_int_ge(dup2(fileno(file), STDOUT_FILENO), 0);
    host_info_show("/dev/other", probe, &promises, json);
    fflush(stdout);
    ck_assert_int_ge(dup2(before, STDOUT_FILENO), 0);
    close(before);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, (size_t)size + 1);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    return text;
}

static unsigned times(const char *text, const char *words)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, words)); at += strlen(words))
        count++;
    return count;
}

static void says(const struct kvm_probe *probe, unsigned count, const char *words)
{
    char *text = printed(probe, false);
    ck_assert_msg(times(text, words) == count, "'%s' %u times instead of %u in:\n%s", words, times(text, words), count,
                  text);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        ck_assert_msg(strcspn(line, "\n") <= 120, "too wide: %.*s", (int)strcspn(line, "\n"), line);
    free(text);
}

START_TEST(vmx)
{
    struct kvm_probe probe = vmx_host();
    says(&probe, 1, "/dev/other: KVM API 12, module kvm_intel\n");
    says(&probe, 1, "what follows: tier counted (");
    says(&probe, 12, "bit-exact (1)");
    says(&probe, 0, "(2)");
    says(&probe, 1, "   1  arrivals between exits: branches; unless the guest executes: RDTSC\n");
    says(&probe, 1, "can be set here");
    says(&probe, 0, "features that KVM adds");
    says(&probe, 6, " not measured ");
}
END_TEST

START_TEST(pvm)
{
    struct kvm_probe probe = pvm_host();
    probe.forced_count = 1;
    probe.forced[0] = (struct kvm_cpuid_forced){.leaf = 0x80000001, .bits = {[2] = 0x21}};
    probe.costs.kick_ns = 25400;
    says(&probe, 1, "what follows: tier kernel-counted (");
    says(&probe, 3, "refused (4)");
    says(&probe, 1, "   4  32-bit paging does not run on this KVM\n");
    says(&probe, 1, "  leaf 80000001.0   ecx 00000021\n");
    says(&probe, 1, " 25.4 us ");
    says(&probe, 1, "can't be set here");
}
END_TEST

START_TEST(lacking)
{
    struct kvm_probe probe = svm_host();
    probe.cap_msr_filter = KVM_NO;
    says(&probe, 1, "what follows: tier none (no run on KVM)");
    says(&probe, 12, "refused (1)");
    says(&probe, 1, "this KVM lacks what the accelerator can't do without: cap_msr_filter\n");
}
END_TEST

START_TEST(as_json)
{
    struct kvm_probe probe = svm_host();
    probe.cap_msr_exits = KVM_FAILS;
    char *text = printed(&probe, true);
    json_t *told = json_loads(text, 0, NULL);
    ck_assert_msg(told, "no JSON: %s", text);
    ck_assert_str_eq(json_string_value(json_object_get(told, "module")), "kvm_amd");
    ck_assert_str_eq(json_string_value(json_object_get(told, "lacks")), "cap_msr_exits");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(told, "facts"), "cap_msr_exits")),
                     "fails emulation");
    ck_assert_uint_eq(json_object_size(json_object_get(told, "facts")), kvm_fact_count());
    ck_assert(json_is_null(json_object_get(json_object_get(told, "costs_ns"), "kick")));
    ck_assert_uint_eq(json_array_size(json_object_get(told, "promises")), KVM_DIRECTION_COUNT * KVM_CODE_COUNT);
    json_decref(told);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe_text");
    TCase *tests = tcase_create("text");
    tcase_add_test(tests, vmx);
    tcase_add_test(tests, pvm);
    tcase_add_test(tests, lacking);
    tcase_add_test(tests, as_json);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
