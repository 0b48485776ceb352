/* Inside the probe: what each part learns. All run on the thread of kvm_probe, and leave facts that they can't learn as they
 * are (KVM_UNKNOWN). */
#ifndef VMRR_ACCEL_KVM_PROBE_LEARN_H
#define VMRR_ACCEL_KVM_PROBE_LEARN_H

#include "accel-kvm/probe_vm.h"

struct probe_rig {
    struct kvm_probe *result;
    struct probe_timer timer;
    struct probe_vm all, hiding; /* by their CPUID tables */
    struct probe_vm own;         /* of what can't be undone */
};

void probe_learn_modes(struct probe_rig *rig);        /* probe_exits.c */
void probe_learn_exits(struct probe_rig *rig);        /* probe_exits.c */
void probe_learn_arrivals(struct probe_rig *rig);     /* probe_arrivals.c */
void probe_learn_msrs(struct probe_rig *rig);         /* probe_msrs.c */
void probe_learn_memory(struct probe_rig *rig);       /* probe_memory.c */
void probe_learn_told(struct probe_rig *rig);         /* probe_told.c */
void probe_learn_instructions(struct probe_rig *rig); /* probe_insn.c */
void probe_learn_hiding(struct probe_rig *rig);       /* probe_insn.c */
void probe_learn_tsc(struct probe_rig *rig);          /* probe_tsc.c */
void probe_learn_stops(struct probe_rig *rig);        /* probe_debug.c */
void probe_learn_counters(struct probe_rig *rig);     /* probe_count.c */
void probe_learn_costs(struct probe_rig *rig);        /* probe_costs.c */

/* YES where the guest reached its end with `value` in RAX, or with any where it is PROBE_ANY; NO for #UD, a shutdown or a state
 * that KVM refused; WRONG for all else that the guest saw. */
#define PROBE_ANY (~0ull)
enum kvm_answer probe_judge(const struct probe_outcome *outcome, uint64_t value);
/* YES where the guest got this exception, NO where the instruction went through. */
enum kvm_answer probe_judge_fault(const struct probe_outcome *outcome, uint8_t vector);

/* For what can't be undone: a VM of its own, all features promised. */
enum kvm_answer probe_in_own_vm(struct probe_rig *rig, enum kvm_answer (*attempt)(struct probe_vm *vm));

#define PROBE_UD 6
#define PROBE_NM 7
#define PROBE_GP 13

#endif
