/* Single instructions: those that the guest is promised, and those that are hidden from it. Intel SDM vol. 2. */
#include "accel-kvm/probe_learn.h"

#define CR4_OSXSAVE 0x40000u

enum cpuid_register { NO_FEATURE, EAX, EBX, ECX, EDX };

/* A fact, the guest that shows it, what that leaves in EAX, and the feature that KVM must offer for it. */
struct promised {
    size_t fact;
    enum probe_mode mode;
    enum probe_guest_id guest;
    uint32_t value;
    uint32_t leaf;
    enum cpuid_register feature;
    unsigned bit;
    uint64_t cr4;
};

#define ROW(fact, mode, guest, value, leaf, feature, bit, cr4)                                                         \
    {                                                                                                                  \
        offsetof(struct kvm_probe, fact), PROBE_##mode, PROBE_GUEST_##guest, value, leaf, feature, bit, cr4            \
    }

static const struct promised promised[] = {
    ROW(tzcnt_cpl0, CPL0, tzcnt, 32, 7, EBX, 3, 0),
    ROW(lzcnt_cpl0, CPL0, lzcnt, 31, 0x80000001, ECX, 5, 0),
    ROW(movbe_cpl0, CPL0, movbe, 0x44332211, 1, ECX, 22, 0),
    ROW(popcnt_cpl0, CPL0, popcnt, 8, 1, ECX, 23, 0),
    ROW(fxsave_tail_cpl0, CPL0, fxsave_tail, 3, 0, NO_FEATURE, 0, 0),
    ROW(x87_cpl0, CPL0, x87, 2, 0, NO_FEATURE, 0, 0),
    ROW(sse_cpl0, CPL0, sse, 10, 0, NO_FEATURE, 0, 0),
    ROW(xsave_cpl0, CPL0, xsave, 0xcafe0001, 1, ECX, 26, CR4_OSXSAVE),
    ROW(tzcnt_cpl3, CPL3, tzcnt, 32, 7, EBX, 3, 0),
    ROW(lzcnt_cpl3, CPL3, lzcnt, 31, 0x80000001, ECX, 5, 0),
    ROW(movbe_cpl3, CPL3, movbe, 0x44332211, 1, ECX, 22, 0),
    ROW(popcnt_cpl3, CPL3, popcnt, 8, 1, ECX, 23, 0),
    ROW(x87_cpl3, CPL3, x87, 2, 0, NO_FEATURE, 0, 0),
    ROW(sse_cpl3, CPL3, sse, 10, 0, NO_FEATURE, 0, 0),
    ROW(xsave_cpl3, CPL3, xsave, 0xcafe0001, 1, ECX, 26, CR4_OSXSAVE),
    ROW(popcnt_compat, COMPAT_CPL3, popcnt, 8, 1, ECX, 23, 0),
    ROW(x87_compat, COMPAT_CPL3, x87, 2, 0, NO_FEATURE, 0, 0),
    ROW(sse_compat, COMPAT_CPL3, sse, 10, 0, NO_FEATURE, 0, 0),
};

static enum kvm_answer *fact_at(struct kvm_probe *probe, size_t offset)
{
    return (enum kvm_answer *)((char *)probe + offset);
}

static void learn_promised(struct probe_rig *rig, const struct promised *row)
{
    struct probe_start start = {.mode = row->mode, .cr4 = row->cr4};
    struct probe_outcome outcome;
    if (row->feature != NO_FEATURE && !probe_vm_has(&rig->all, row->leaf, row->feature - EAX, row->bit))
        return;
    probe_vm_run(&rig->all, row->guest, &start, &outcome);
    *fact_at(rig->result, row->fact) = probe_judge(&outcome, row->value);
}

/* The manual leaves OF undefined, so CPL3, where code runs on the processor itself, says what is right. */
static enum kvm_answer rol_flags(struct probe_vm *vm)
{
    struct probe_start cpl0 = {.mode = PROBE_CPL0}, cpl3 = {.mode = PROBE_CPL3};
    struct probe_outcome outcome, reference;
    probe_vm_run(vm, PROBE_GUEST_rol, &cpl3, &reference);
    if (reference.end != PROBE_ENDED)
        return KVM_UNKNOWN;
    probe_vm_run(vm, PROBE_GUEST_rol, &cpl0, &outcome);
    return probe_judge(&outcome, reference.regs.rax);
}

void probe_learn_instructions(struct probe_rig *rig)
{
    for (size_t n = 0; n < sizeof promised / sizeof promised[0]; n++)
        learn_promised(rig, &promised[n]);
    rig->result->rol_flags_cpl0 = rol_flags(&rig->all);
}

/* ---- hidden ones ---- */

static enum kvm_answer hidden(struct probe_vm *vm, enum probe_guest_id guest, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    probe_vm_run(vm, guest, &start, &outcome);
    return probe_judge_fault(&outcome, PROBE_UD);
}

void probe_learn_hiding(struct probe_rig *rig)
{
    struct probe_vm *vm = &rig->hiding;
    struct kvm_probe *result = rig->result;
    result->rdrand_cpl0 = hidden(vm, PROBE_GUEST_rdrand, PROBE_CPL0);
    result->rdrand_cpl3 = hidden(vm, PROBE_GUEST_rdrand, PROBE_CPL3);
    result->rdrand_compat = hidden(vm, PROBE_GUEST_rdrand, PROBE_COMPAT_CPL3);
    result->rdseed_cpl0 = hidden(vm, PROBE_GUEST_rdseed, PROBE_CPL0);
    result->rdseed_cpl3 = hidden(vm, PROBE_GUEST_rdseed, PROBE_CPL3);
    result->rdseed_compat = hidden(vm, PROBE_GUEST_rdseed, PROBE_COMPAT_CPL3);
    result->rdtscp_cpl0 = hidden(vm, PROBE_GUEST_rdtscp, PROBE_CPL0);
    result->rdtscp_cpl3 = hidden(vm, PROBE_GUEST_rdtscp, PROBE_CPL3);
    result->rdtscp_compat = hidden(vm, PROBE_GUEST_rdtscp, PROBE_COMPAT_CPL3);
}
