/* A throw-away VM of the probe: one vCPU, 2 MiB of memory, a timer that ends a guest which does not exit.
 *
 * Thread: the one that made it (the timer signals that thread). A probe_vm is big only by its memory map; probe_vm_fini
 * gives everything back and may be called on one that probe_vm_init refused. */
#ifndef VMRR_ACCEL_KVM_PROBE_VM_H
#define VMRR_ACCEL_KVM_PROBE_VM_H

#include "accel-kvm/probe.h"
#include "accel-kvm/probe_guests.h"

#include <linux/kvm.h>
#include <signal.h>
#include <time.h>

#define PROBE_RAM_BYTES 0x200000u
#define PROBE_CODE 0x10000u    /* where a guest starts */
#define PROBE_DATA 0x11000u    /* probe_layout.c fills it */
#define PROBE_DEVICE 0x400000u /* mapped, and in no memory slot */
#define PROBE_PORT_END 0xedu
#define PROBE_PORT_EXCEPTION 0xeeu /* AL: the vector */
#define PROBE_GUEST_LIMIT_NS 200000000u
#define PROBE_TOTAL_LIMIT_NS 1500000000u

/* The signal that ends KVM_RUN. It is blocked in the thread and let through only inside KVM_RUN, so it is never
 * delivered: no handler, no change of its disposition. */
struct probe_timer {
    timer_t id;
    int signal;
    uint64_t end_ns; /* of the whole probe, on CLOCK_MONOTONIC */
    sigset_t before;
};

uint64_t probe_now_ns(void);
enum status probe_timer_init(struct probe_timer *timer, struct error *error) MUST_CHECK;
void probe_timer_fini(struct probe_timer *timer);
void probe_timer_arm(struct probe_timer *timer, uint64_t when_ns); /* on CLOCK_MONOTONIC; 0: off, and nothing pending */
bool probe_timer_take(struct probe_timer *timer);                  /* was it what ended KVM_RUN? */

enum probe_mode {
    PROBE_REAL,
    PROBE_PROTECTED, /* 32-bit, no paging, CPL0 */
    PROBE_PAGING_32,
    PROBE_PAGING_PAE,
    PROBE_CPL0, /* 64-bit from here on, but the last */
    PROBE_CPL3,
    PROBE_COMPAT_CPL3,
};

/* What differs from a mode's usual start. */
struct probe_start {
    enum probe_mode mode;
    uint64_t rcx, rflags, cr0, cr4; /* flags and bits beside the usual ones */
};

enum probe_end {
    PROBE_ENDED,     /* OUT to PROBE_PORT_END; RIP as it is at the exit */
    PROBE_EXCEPTION, /* the guest's handler was reached */
    PROBE_FAILS,     /* emulation failed */
    PROBE_STOPPED,   /* KVM_EXIT_DEBUG */
    PROBE_SHUTDOWN,
    PROBE_KILLED,  /* by the timer */
    PROBE_REFUSED, /* KVM refused the state, or to run it */
    PROBE_OTHER,   /* another exit: vm->run has it */
};

struct probe_outcome {
    enum probe_end end;
    uint8_t vector; /* of PROBE_EXCEPTION */
    struct kvm_regs regs;
};

/* What the vCPU is told by CPUID: all that KVM offers, or the smallest model of core/cpu_model.h (x86-64-v1). */
enum probe_table { PROBE_TABLE_ALL, PROBE_TABLE_HIDING };

struct probe_cpuid {
    uint32_t count, padding;
    struct kvm_cpuid_entry2 entry[256];
};

struct probe_vm {
    int kvm, vm, vcpu; /* kvm is borrowed */
    enum probe_table table;
    bool spoiled; /* shut down or refused: the next guest wants a new VM */
    struct kvm_run *run;
    size_t run_bytes;
    uint8_t *memory;
    struct probe_timer *timer; /* borrowed */
    struct probe_cpuid asked, effective;
};

enum status probe_vm_init(struct probe_vm *vm, int kvm, struct probe_timer *timer, enum probe_table table,
                          struct error *error) MUST_CHECK;
void probe_vm_fini(struct probe_vm *vm);

/* Is this bit (register 0-3: EAX-EDX) in the table that the vCPU has? */
bool probe_vm_has(const struct probe_vm *vm, uint32_t leaf, unsigned reg, unsigned bit);
const struct kvm_cpuid_entry2 *probe_cpuid_find(const struct probe_cpuid *cpuid, uint32_t leaf, uint32_t subleaf);

/* A guest from its start to its end. probe_vm_start makes the state, of a new VM if the last one was spoiled; probe_vm_enter is
 * one KVM_RUN under the timer; probe_vm_end reads how it ended. probe_vm_run is all three, and completes an access under
 * way, so that the next start is clean. */
bool probe_vm_start(struct probe_vm *vm, enum probe_guest_id guest, const struct probe_start *start);
void probe_vm_enter(struct probe_vm *vm, struct probe_outcome *outcome);
void probe_vm_complete(struct probe_vm *vm);
void probe_vm_run(struct probe_vm *vm, enum probe_guest_id guest, const struct probe_start *start,
                  struct probe_outcome *outcome);
bool probe_vm_set_msr(struct probe_vm *vm, uint32_t index, uint64_t value);

/* probe_layout.c: descriptor tables, page tables, handlers and data in memory; the registers of a start. */
void probe_layout_memory(uint8_t *memory);
void probe_layout_code(uint8_t *memory, const struct probe_guest *guest);
bool probe_layout_registers(const struct probe_vm *vm, const struct probe_start *start, struct kvm_regs *regs,
                            struct kvm_sregs *sregs);
uint64_t probe_layout_lstar(void);
uint64_t probe_layout_star(void);
uint16_t probe_layout_user_cs(enum probe_mode mode);
uint16_t probe_layout_user_ss(void);
uint32_t probe_layout_user_rights(void); /* what LAR gives for the 64-bit CS of CPL3 */
uint32_t probe_layout_gdt(void);

#endif
