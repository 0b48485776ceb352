/* The lists of facts and costs as tables: names, meanings, where each lies. */
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

static const struct kvm_cost costs[] = {
#define COST(name, means) {#name, means, offsetof(struct kvm_probe_costs, name##_ns)},
#include "accel-kvm/probe_costs.def"
#undef COST
};

size_t kvm_cost_count(void)
{
    return sizeof costs / sizeof costs[0];
}

const struct kvm_cost *kvm_cost_row(size_t index)
{
    return &costs[index];
}

uint32_t kvm_cost_get_ns(const struct kvm_probe *probe, const struct kvm_cost *cost)
{
    return *(const uint32_t *)((const char *)&probe->costs + cost->offset);
}

const char *kvm_answer_name(enum kvm_answer answer)
{
    static const char *const names[KVM_ANSWER_COUNT] = {"unknown", "yes", "no", "fails emulation", "wrong"};
    return answer < KVM_ANSWER_COUNT ? names[answer] : "unknown";
}

const char *kvm_fact_group_name(enum kvm_fact_group group)
{
    static const char *const names[KVM_GROUP_COUNT] = {
        "capabilities",           "what runs",    "exits and entries",   "dirty pages",
        "what the guest is told", "instructions", "uncontrolled values", "stopping and counting"};
    return group < KVM_GROUP_COUNT ? names[group] : "unknown";
}
