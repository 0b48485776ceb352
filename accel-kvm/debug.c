/* Breakpoints and single steps of the accelerator's own (KVM_SET_GUEST_DEBUG): DR0 for a landmark, DR1 for the page fault handler
 * (repair.c), what is left for addresses of RDTSC (site.c). A call costs as much as an exit: KVM is told only what is new.
 *
 * Where no register is left for the landmark the guest goes by single steps, and each is looked at. But a step into an interrupt
 * that is queued would show in the flags that it pushes: there the guest runs to the handler's first instruction, and the last address
 * can do without, since nothing is executed before.
 * RF does not pass KVM's breakpoints: who stands at one takes a single step without it. */
#include "accel-kvm/kvm.h"

#include <string.h>
#include <sys/ioctl.h>

#define DR7_FIXED 0x400u
#define DR7_L0 1u
#define REGISTERS 4u
#define OF_LANDMARK 0u
#define OF_HANDLER 1u

static bool is_free(const struct kvm_guest_debug *debug, unsigned slot)
{
    return !(debug->arch.debugreg[7] & (DR7_L0 << 2 * slot));
}

static void set_register(struct kvm_guest_debug *debug, unsigned slot, uint64_t linear)
{
    debug->arch.debugreg[slot] = linear;
    debug->arch.debugreg[7] |= DR7_FIXED | DR7_L0 << 2 * slot;
}

/* The addresses of RDTSC get the registers that are left, in order; not the one that the guest is to go past. */
static void set_sites(struct kvm_accel *cpu, struct kvm_guest_debug *debug)
{
    static const uint8_t order[REGISTERS] = {2, 3, OF_HANDLER, OF_LANDMARK};
    struct machine *machine = cpu->accel.machine;
    unsigned sites = machine_tsc_sites(machine, cpu->repair.lstar);
    for (unsigned n = 0, at = 0; n < sites && at < REGISTERS; n++) {
        uint64_t linear = machine_tsc_site(machine, n);
        while (at < REGISTERS && !is_free(debug, order[at]))
            at++;
        if (at < REGISTERS && !(cpu->site.passing && linear == cpu->site.linear))
            set_register(debug, order[at++], linear);
    }
}

/* All four registers are others'. */
static bool no_register_left(const struct kvm_accel *cpu)
{
    return machine_tsc_sites(cpu->accel.machine, cpu->repair.lstar) == REGISTERS;
}

void kvm_debug_set(struct kvm_accel *cpu, uint64_t landmark, bool step)
{
    uint64_t handler = kvm_repair_breakpoint(cpu);
    struct kvm_guest_debug debug = {0};
    if (cpu->at_repair && kvm_rip(cpu) == handler) {
        step = true;
        handler = 0;
    }
    step |= cpu->site.passing;
    if (landmark && !step && no_register_left(cpu)) {
        if (cpu->taken)
            landmark = kvm_taken_handler(cpu);
        else
            step = true;
    }
    cpu->landmark_set = landmark && !step;
    if (cpu->landmark_set)
        set_register(&debug, OF_LANDMARK, landmark);
    if (handler)
        set_register(&debug, OF_HANDLER, handler);
    set_sites(cpu, &debug);
    debug.control = (debug.arch.debugreg[7] ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0) |
                    (step ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0);
    if (!memcmp(&debug, &cpu->debug, sizeof debug))
        return;
    cpu->debug = debug;
    if (ioctl(cpu->vcpu, KVM_SET_GUEST_DEBUG, &debug) < 0)
        (void)kvm_trouble(cpu, "KVM_SET_GUEST_DEBUG");
}
