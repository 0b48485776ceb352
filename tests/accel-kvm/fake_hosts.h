/* Made-up hosts: what kvm_probe gives on a VMX, an SVM and a PVM host. That of PVM is as measured on one (shared/KVM-NOTES.md and
 * test_probe.c), the others are by the kernel's sources. */
#ifndef VMRR_TESTS_ACCEL_KVM_FAKE_HOSTS_H
#define VMRR_TESTS_ACCEL_KVM_FAKE_HOSTS_H

#include "accel-kvm/probe.h"

#include <string.h>

static inline void set_fact(struct kvm_probe *probe, size_t index, enum kvm_answer answer)
{
    *(enum kvm_answer *)((char *)probe + kvm_fact_row(index)->offset) = answer;
}

static inline struct kvm_probe vmx_host(void)
{
    struct kvm_probe probe = {.present = true, .api_version = 12, .module = "kvm_intel"};
    for (size_t n = 0; n < kvm_fact_count(); n++)
        set_fact(&probe, n, KVM_YES);
    probe.out_rip_past = probe.in_rip_past = probe.mmio_read_rip_past = KVM_NO;
    probe.insn_emulation_cpl0 = probe.insn_emulation_cpl3 = probe.insn_emulation_compat = KVM_NO;
    return probe;
}

/* No intercept of RDRAND and RDSEED. */
static inline struct kvm_probe svm_host(void)
{
    struct kvm_probe probe = vmx_host();
    strcpy(probe.module, "kvm_amd");
    probe.rdrand_cpl0 = probe.rdrand_cpl3 = probe.rdrand_compat = KVM_NO;
    probe.rdseed_cpl0 = probe.rdseed_cpl3 = probe.rdseed_compat = KVM_NO;
    return probe;
}

/* Virtual machines of clouds: all of VMX, no counters. */
static inline struct kvm_probe vmx_host_without_pmu(void)
{
    struct kvm_probe probe = vmx_host();
    probe.pmu = KVM_NO;
    probe.pmu_branches_cpl0 = probe.pmu_branches_cpl3 = probe.pmu_branches_compat = KVM_NO;
    probe.pmu_instructions_cpl0 = probe.pmu_instructions_cpl3 = probe.pmu_instructions_compat = KVM_NO;
    return probe;
}

static inline struct kvm_probe pvm_host(void)
{
    struct kvm_probe probe = vmx_host_without_pmu();
    strcpy(probe.module, "kvm_pvm");
    probe.out_rip_past = KVM_YES;
    probe.paging_32 = probe.paging_pae = KVM_NO;
    probe.int3_cpl0 = probe.int_n_cpl0 = KVM_FAILS;
    probe.int_n_cpl3 = probe.int_n_compat = KVM_NO;
    probe.syscall = KVM_WRONG;
    probe.cpuid_hides = KVM_NO;
    probe.selectors_cpl3 = probe.flags_cpl3 = probe.lar_cpl3 = KVM_WRONG;
    probe.ts_cpl3 = probe.xgetbv_cpl3 = KVM_NO;
    probe.tzcnt_cpl0 = probe.rol_flags_cpl0 = probe.fxsave_tail_cpl0 = KVM_WRONG;
    probe.movbe_cpl0 = KVM_NO;
    probe.popcnt_cpl0 = probe.x87_cpl0 = probe.sse_cpl0 = probe.xsave_cpl0 = KVM_FAILS;
    probe.tsc_write = probe.tsc_offset = probe.tsc_scaling = probe.tsd_cpl3 = KVM_NO;
    probe.rdrand_cpl0 = probe.rdrand_cpl3 = probe.rdseed_cpl0 = probe.rdseed_cpl3 = probe.rdtscp_cpl3 = KVM_NO;
    probe.rdtscp_cpl0 = KVM_FAILS;
    probe.step_cpl3 = KVM_WRONG;
    probe.breakpoint_cpl3 = KVM_NO;
    probe.insn_emulation_cpl0 = probe.insn_emulation_compat = KVM_YES;
    return probe;
}

#endif
