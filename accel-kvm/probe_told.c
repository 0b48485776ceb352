/* What the guest is told: CPUID, and the state that user code can read. Intel SDM vol. 2 (CPUID, PUSHF, XGETBV), vol. 3A 2.5. */
#include "accel-kvm/probe_learn.h"

#include <string.h>

#define FLAGS_IOPL 0x3000u
#define FLAGS_IF 0x200u
#define CR0_TS 8u
/* Set by KVM from the vCPU's state, not from the table: OSXSAVE; the sizes of leaf 0DH. */
#define DYNAMIC_1_ECX (1u << 27)

/* ---- the effective table ---- */

static void entry_words(const struct kvm_cpuid_entry2 *entry, uint32_t words[4])
{
    const uint32_t all[4] = {entry ? entry->eax : 0, entry ? entry->ebx : 0, entry ? entry->ecx : 0,
                             entry ? entry->edx : 0};
    memcpy(words, all, sizeof all);
}

/* Leaves whose words are feature bits, each of which can be on or off by itself. */
static bool has_feature_bits(uint32_t leaf)
{
    return leaf == 1 || leaf == 6 || leaf == 7 || leaf == 0xd || leaf == 0x80000001 || leaf == 0x80000007 ||
           leaf == 0x80000008;
}

static void compare_entry(struct kvm_probe *result, const struct probe_vm *vm, const struct kvm_cpuid_entry2 *entry)
{
    uint32_t asked[4], effective[4];
    struct kvm_cpuid_forced forced = {.leaf = entry->function, .subleaf = entry->index};
    bool any = false;
    entry_words(probe_cpuid_find(&vm->asked, entry->function, entry->index), asked);
    entry_words(entry, effective);
    for (unsigned n = 0; n < 4; n++) {
        forced.bits[n] = effective[n] & ~asked[n];
        if (entry->function == 1 && n == 2)
            forced.bits[n] &= ~DYNAMIC_1_ECX;
        if ((entry->function == 1 && n < 2) || (entry->function == 0xd && n == 1))
            forced.bits[n] = 0; /* signature, APIC ID; sizes */
        any |= forced.bits[n] != 0;
    }
    if (any && result->forced_count < KVM_PROBE_FORCED_MAX)
        result->forced[result->forced_count++] = forced;
}

static void learn_table(struct probe_rig *rig)
{
    const struct probe_vm *vm = &rig->hiding;
    for (uint32_t n = 0; n < vm->effective.count; n++)
        if (has_feature_bits(vm->effective.entry[n].function))
            compare_entry(rig->result, vm, &vm->effective.entry[n]);
    rig->result->cpuid_hides = rig->result->forced_count ? KVM_NO : KVM_YES;
}

/* The instruction gives what KVM_GET_CPUID2 says, but for what the vCPU's state sets. */
static enum kvm_answer cpuid_as_table(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    uint32_t words[4];
    probe_vm_run(vm, PROBE_GUEST_cpuid, &start, &outcome);
    enum kvm_answer answer = probe_judge(&outcome, PROBE_ANY);
    if (answer != KVM_YES)
        return answer;
    entry_words(probe_cpuid_find(&vm->effective, 1, 0), words);
    bool same = (uint32_t)outcome.regs.rax == words[0] && (((uint32_t)outcome.regs.rbx ^ words[1]) & 0x00ffffff) == 0 &&
                (((uint32_t)outcome.regs.rcx ^ words[2]) & ~DYNAMIC_1_ECX) == 0 &&
                (uint32_t)outcome.regs.rdx == words[3];
    return same ? KVM_YES : KVM_WRONG;
}

/* ---- what user code reads ---- */

static enum kvm_answer selectors(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_selectors, &start, &outcome);
    enum kvm_answer answer = probe_judge(&outcome, probe_layout_user_cs(mode));
    return answer == KVM_YES && (uint16_t)outcome.regs.rbx != probe_layout_user_ss() ? KVM_WRONG : answer;
}

static enum kvm_answer flags(struct probe_vm *vm, enum probe_mode mode)
{
    struct probe_start start = {.mode = mode, .rflags = FLAGS_IOPL};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_pushf, &start, &outcome);
    outcome.regs.rax &= FLAGS_IOPL | FLAGS_IF;
    return probe_judge(&outcome, FLAGS_IOPL);
}

/* LAR leaves 0 where it finds no such descriptor. Bits 16-19 are undefined. */
static enum kvm_answer rights(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL3, .rcx = probe_layout_user_cs(PROBE_CPL3)};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_lar, &start, &outcome);
    outcome.regs.rax &= 0xf0ff00;
    return probe_judge(&outcome, probe_layout_user_rights() & 0xf0ff00);
}

static enum kvm_answer descriptor_table(struct probe_vm *vm)
{
    struct probe_start start = {.mode = PROBE_CPL3};
    struct probe_outcome outcome;
    probe_vm_run(vm, PROBE_GUEST_sgdt, &start, &outcome);
    return probe_judge(&outcome, probe_layout_gdt());
}

static enum kvm_answer faults(struct probe_vm *vm, enum probe_mode mode, enum probe_guest_id guest, uint64_t cr0,
                              uint8_t vector)
{
    struct probe_start start = {.mode = mode, .cr0 = cr0};
    struct probe_outcome outcome;
    probe_vm_run(vm, guest, &start, &outcome);
    return probe_judge_fault(&outcome, vector);
}

void probe_learn_told(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    learn_table(rig);
    result->cpuid_cpl0 = cpuid_as_table(&rig->hiding, PROBE_CPL0);
    result->cpuid_cpl3 = cpuid_as_table(&rig->hiding, PROBE_CPL3);
    result->cpuid_compat = cpuid_as_table(&rig->hiding, PROBE_COMPAT_CPL3);
    result->selectors_cpl3 = selectors(&rig->all, PROBE_CPL3);
    result->selectors_compat = selectors(&rig->all, PROBE_COMPAT_CPL3);
    result->flags_cpl3 = flags(&rig->all, PROBE_CPL3);
    result->flags_compat = flags(&rig->all, PROBE_COMPAT_CPL3);
    result->lar_cpl3 = rights(&rig->all);
    result->sgdt_cpl3 = descriptor_table(&rig->all);
    result->ts_cpl3 = faults(&rig->all, PROBE_CPL3, PROBE_GUEST_fld1, CR0_TS, PROBE_NM);
    result->ts_compat = faults(&rig->all, PROBE_COMPAT_CPL3, PROBE_GUEST_fld1, CR0_TS, PROBE_NM);
    result->xgetbv_cpl3 = faults(&rig->hiding, PROBE_CPL3, PROBE_GUEST_xgetbv, 0, PROBE_UD);
    result->xgetbv_compat = faults(&rig->hiding, PROBE_COMPAT_CPL3, PROBE_GUEST_xgetbv, 0, PROBE_UD);
}
