/* The list of facts as a table: names, meanings, where each lies. */
#include "accel-kvm/probe.h"

static const struct kvm_fact facts[] = {
#define FACT(name, group, means) {#name, means, KVM_GROUP_##group, offsetof(struct kvm_probe, name)},
#include "accel-kvm/probe_facts.def"
#undef FACT
};

size_t kvm_fact_count(void)
{
    return sizeof facts / sizeof facts[0];
}

const struct kvm_fact *kvm_fact_row(size_t index)
{
    return &facts[index];
}

enum kvm_answer kvm_fact_get(const struct kvm_probe *probe, const struct kvm_fact *fact)
{
    return *(const enum kvm_answer *)((const char *)probe + fact->offset);
}

const char *kvm_answer_name(enum kvm_answer answer)
{
    static const char *const names[KVM_ANSWER_COUNT] = {"unknown", "yes", "no", "fails emulation", "wrong"};
    return answer < KVM_ANSWER_COUNT ? names[answer] : "unknown";
}

const char *kvm_fact_group_name(enum kvm_fact_group group)
{
    static const char *const names[KVM_GROUP_COUNT] = {"capabilities",           "what runs",    "exits and entries",
                                                       "what the guest is told", "instructions", "uncontrolled values",
                                                       "stopping and counting"};
    return group < KVM_GROUP_COUNT ? names[group] : "unknown";
}
