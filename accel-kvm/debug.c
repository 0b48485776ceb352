/* Breakpoints and single steps of the accelerator's own (KVM_SET_GUEST_DEBUG): DR0 for a landmark, DR1 for the page fault handler
 * (repair.c). A call costs as much as an exit: KVM is told only what is new.
 *
 * RF does not pass KVM's breakpoints: who stands at one takes a single step without it. */
#include "accel-kvm/kvm.h"

#include <string.h>
#include <sys/ioctl.h>

#define DR7_FIXED 0x400u
#define DR7_L0 1u
#define DR7_L1 4u

void kvm_debug_set(struct kvm_accel *cpu, uint64_t landmark, bool step)
{
    uint64_t handler = kvm_repair_breakpoint(cpu);
    struct kvm_guest_debug debug = {0};
    if (cpu->at_repair && kvm_rip(cpu) == handler) {
        step = true;
        handler = 0;
    }
    if (landmark && !step) {
        debug.arch.debugreg[0] = landmark;
        debug.arch.debugreg[7] |= DR7_FIXED | DR7_L0;
    }
    if (handler) {
        debug.arch.debugreg[1] = handler;
        debug.arch.debugreg[7] |= DR7_FIXED | DR7_L1;
    }
    debug.control = (debug.arch.debugreg[7] ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0) |
                    (step ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0);
    if (!memcmp(&debug, &cpu->debug, sizeof debug))
        return;
    cpu->debug = debug;
    if (ioctl(cpu->vcpu, KVM_SET_GUEST_DEBUG, &debug) < 0)
        (void)kvm_trouble(cpu, "KVM_SET_GUEST_DEBUG");
}
