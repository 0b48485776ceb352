/* The accelerator "kvm": guest code by the host's KVM, one vCPU, run by the machine thread. For machines that count exits
 * (core/position.h). No interrupt controller, timer or device of KVM's: ports, MMIO and interrupts are the machine's.
 *
 * Interrupts are injected right after an exit, or at a landmark. A timer of the host stops a guest that makes no exits
 * when the machine has something for it (machine_wanted).
 *
 * What KVM can't execute the helper executes: an accelerator of the same machine with the ops step and msr. Thread: machine
 * thread. */
#ifndef VMRR_ACCEL_KVM_ACCEL_KVM_H
#define VMRR_ACCEL_KVM_ACCEL_KVM_H

#include "core/accel.h"

struct kvm_accel_options {
    struct accel *helper; /* taken over, also when creation fails */
    const char *path;     /* null: /dev/kvm */
    uint32_t slower;      /* virtual time goes so many times slower than the host's; 0: as fast */
    bool plain; /* the guest writes no XCR0, debug register or MSR and gets no interrupt: they are not asked for */
};
struct accel *kvm_accel_create(struct machine *machine, const struct kvm_accel_options *options, struct error *error);

/* Turns the CPUID table that is wanted into the one that the guest will see: KVM takes bits away, and some hosts add some. */
enum status kvm_cpu_model(const char *path, struct cpu_model *model, struct error *error) MUST_CHECK;

#define KVM_HELPED_MAX 64
struct kvm_accel_statistics {
    uint64_t entries;     /* KVM_RUN calls */
    uint64_t exits;       /* port, MMIO, HLT, RDTSC that is one */
    uint64_t tsc_reads;   /* by breakpoints */
    uint64_t completions; /* KVM_RUN calls that only completed an access */
    uint64_t kicks, landmarks, interrupts, windows;
    uint64_t faults, syscalls; /* seen at the page fault handler; those that were a SYSCALL */
    uint64_t rewinds; /* landmarks that were passed, and the vCPU put back */
    uint64_t tsc_ticks; /* stretches in which the frozen TSC moved */
    uint64_t helped; /* instructions that the helper executed */
    struct {
        uint32_t opcode; /* the first bytes that are no prefix, up to three, the first highest */
        uint64_t count;
    } by_opcode[KVM_HELPED_MAX];
    unsigned opcodes;
};
const struct kvm_accel_statistics *kvm_accel_statistics(const struct accel *accel);

#endif
