/* What follows from a probe: how well a run on this host's KVM can be run again, and one of the interpreter on it. Pure
 * functions of struct kvm_probe; any thread.
 *
 * "Bit-exact" holds for guests that execute none of what `unless` names. What the probe did not learn is not promised. It is a promise about instructions and arrivals only: devices are the same on both sides. */
#ifndef VMRR_ACCEL_KVM_PROBE_PROMISE_H
#define VMRR_ACCEL_KVM_PROBE_PROMISE_H

#include "accel-kvm/probe.h"

/* What names an instant between two exits, from worst to best. */
enum kvm_tier {
    KVM_TIER_NONE,           /* no run on KVM */
    KVM_TIER_LANDMARKS,      /* nothing counts: landmarks */
    KVM_TIER_KERNEL_COUNTED, /* CPL0 is counted, 64-bit CPL3 is not */
    KVM_TIER_COUNTED,        /* both are */
    KVM_TIER_COUNT,
};

/* From where a run comes, and where it runs again. */
enum kvm_direction { KVM_TO_INTERP, KVM_TO_KVM, KVM_FROM_INTERP, KVM_DIRECTION_COUNT };

enum kvm_code {
    KVM_CODE_CPL0,      /* real mode, unpaged protected mode, long mode at CPL0 */
    KVM_CODE_CPL3,      /* 64-bit code at CPL3 */
    KVM_CODE_COMPAT,    /* 32-bit code at CPL3 under a 64-bit kernel */
    KVM_CODE_PAGING_32, /* 32-bit code under 32-bit or PAE paging, at CPL0 and CPL3 */
    KVM_CODE_COUNT,
};

enum kvm_level { KVM_REFUSED, KVM_CHECKED, KVM_EXACT, KVM_LEVEL_COUNT };

/* How an arrival between two exits is put at its instruction again. */
enum kvm_position {
    KVM_POSITION_NONE,      /* not at all: arrivals are at exits */
    KVM_POSITION_LANDMARK,  /* by comparing registers and memory on the way */
    KVM_POSITION_STATISTIC, /* by insn_emulation; on KVM with single steps */
    KVM_POSITION_BRANCHES,  /* by a counter of the processor's; on KVM with single steps */
    KVM_POSITION_COUNT,
};

enum kvm_reason {
#define REASON(name, text) KVM_REASON_##name,
#include "accel-kvm/probe_promise.def"
#undef REASON
    KVM_REASON_COUNT,
};

enum kvm_uncontrolled {
#define UNCONTROLLED(name, text) KVM_UNCONTROLLED_##name,
#include "accel-kvm/probe_promise.def"
#undef UNCONTROLLED
    KVM_UNCONTROLLED_COUNT,
};

struct kvm_promise {
    enum kvm_level level;
    enum kvm_position position;
    enum kvm_reason reason; /* NONE where the level is KVM_EXACT */
    uint32_t unless;        /* bits 1 << enum kvm_uncontrolled; 0 where refused */
};

struct kvm_promises {
    enum kvm_tier tier;
    bool tsc_can_freeze;          /* rate and offset are ours: RDTSC could be held between exits */
    const struct kvm_fact *lacks; /* the first that KVM_REASON_LACKS is about, or NULL */
    struct kvm_promise promise[KVM_DIRECTION_COUNT][KVM_CODE_COUNT];
};

void kvm_promises_derive(const struct kvm_probe *probe, struct kvm_promises *promises);

const char *kvm_tier_name(enum kvm_tier tier); /* "none", "landmarks", "kernel-counted", "counted" */
const char *kvm_tier_means(enum kvm_tier tier);
const char *kvm_level_name(enum kvm_level level); /* "refused", "checked only", "bit-exact" */
const char *kvm_position_name(enum kvm_position position);
const char *kvm_code_name(enum kvm_code code);
const char *kvm_reason_text(enum kvm_reason reason);
const char *kvm_uncontrolled_text(enum kvm_uncontrolled uncontrolled);

#endif
