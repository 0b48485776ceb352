/* What the host's KVM does with guest code: found by throw-away VMs with tiny guests, not by name of the processor or of the
 * module. What follows from it for a run is probe_promise.h's.
 *
 * Thread: any, one at a time in a process: while it runs it has a signal of its own (SIGRTMAX - 2) and a timer of the calling
 * thread, and leaves both as they were. Bounded: a guest that does not exit is ended by the timer, and the fact that
 * it was to give stays KVM_UNKNOWN. Nothing of the guests outlives the call. */
#ifndef VMRR_ACCEL_KVM_PROBE_H
#define VMRR_ACCEL_KVM_PROBE_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kvm_answer {
    KVM_UNKNOWN = 0, /* not learned: what it needs is missing, or the guest had to be ended */
    KVM_YES,
    KVM_NO,
    KVM_FAILS, /* fails emulation: the instruction is user space's to do */
    KVM_WRONG, /* another result than a processor's, and no exit */
    KVM_ANSWER_COUNT,
};

enum kvm_fact_group {
    KVM_GROUP_CAP,
    KVM_GROUP_MODE,
    KVM_GROUP_EXIT,
    KVM_GROUP_MEMORY,
    KVM_GROUP_CPUID,
    KVM_GROUP_INSN,
    KVM_GROUP_CONTROL,
    KVM_GROUP_DEBUG,
    KVM_GROUP_COUNT,
};

/* Bits that KVM_GET_CPUID2 gives though the table given to KVM_SET_CPUID2 had them clear. */
struct kvm_cpuid_forced {
    uint32_t leaf, subleaf;
    uint32_t bits[4]; /* EAX, EBX, ECX, EDX */
};
#define KVM_PROBE_FORCED_MAX 32

/* Of the host, and so never the same twice. */
struct kvm_probe_costs {
#define COST(name, means) uint32_t name##_ns;
#include "accel-kvm/probe_costs.def"
#undef COST
};

struct kvm_probe {
    bool present; /* false: no KVM was probed, and every fact is KVM_UNKNOWN */
    int32_t api_version;
    char module[16]; /* kvm_intel, kvm_amd, kvm_pvm or "": for the reader only, nothing follows from it */
#define FACT(name, group, means) enum kvm_answer name;
#include "accel-kvm/probe_facts.def"
#undef FACT
    uint32_t forced_count;
    struct kvm_cpuid_forced forced[KVM_PROBE_FORCED_MAX];
    struct kvm_probe_costs costs;
};

struct kvm_probe_options {
    const char *path;   /* NULL: /dev/kvm */
    bool without_costs; /* all costs but the total stay 0: a fifth of the time */
};

/* Fills *result, also where it fails (present is false then). STATUS_NOT_FOUND: no such file, or no driver behind it;
 * STATUS_IO: no permission, or KVM refused to make a VM; STATUS_UNSUPPORTED: the file is not KVM's, or its API is not
 * version 12. The error says which path and what can be done. */
enum status kvm_probe(const struct kvm_probe_options *options, struct kvm_probe *result,
                      struct error *error) MUST_CHECK;

/* The list of facts, in its order. */
struct kvm_fact {
    const char *name, *means;
    enum kvm_fact_group group;
    size_t offset; /* of the enum kvm_answer in struct kvm_probe */
};
size_t kvm_fact_count(void);
const struct kvm_fact *kvm_fact_row(size_t index);
enum kvm_answer kvm_fact_get(const struct kvm_probe *probe, const struct kvm_fact *fact);
struct kvm_cost {
    const char *name, *means;
    size_t offset; /* of the uint32_t in struct kvm_probe_costs */
};
size_t kvm_cost_count(void);
const struct kvm_cost *kvm_cost_row(size_t index);
uint32_t kvm_cost_get_ns(const struct kvm_probe *probe, const struct kvm_cost *cost);
const char *kvm_answer_name(enum kvm_answer answer); /* "yes", "no", "fails emulation", "wrong", "unknown" */
const char *kvm_fact_group_name(enum kvm_fact_group group);

#endif
