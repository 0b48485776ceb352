/* RDTSC as an input at given addresses (MACHINE_WAY_TSC_SITES): a breakpoint stands at each (debug.c), and what is there is
 * executed by the helper, which does with it what an interpreter that runs the machine does: so it is an exit. Where the breakpoint stops
 * something else (other bytes, another privilege level, an address that is not meant any more) the guest goes past it by one step.
 * Intel SDM vol. 2, RDTSC; vol. 3B 17.2 (DR7).
 *
 * A landmark may stand before the instruction: the run loop looks for it first (kvm_seek_landmark).
 * Not modelled: breakpoints that the guest sets for itself: while ours are set, KVM leaves the guest's out. */
#include "accel-kvm/kvm.h"

#include "core/landmark.h"

static bool is_rdtsc(struct kvm_accel *cpu, uint64_t linear)
{
    uint8_t bytes[2];
    return kvm_cpl(cpu) == 0 && kvm_read_linear(cpu, linear, bytes, sizeof bytes) && bytes[0] == 0x0F &&
           bytes[1] == 0x31;
}

void kvm_site_forget(struct kvm_accel *cpu)
{
    cpu->site.here = cpu->site.passing = false;
}

void kvm_site_look(struct kvm_accel *cpu)
{
    struct machine *machine = cpu->accel.machine;
    struct cpu_state state;
    if (!machine_tsc_sites(machine, 0))
        return;
    kvm_peek(cpu, &state);
    uint64_t linear = landmark_rip(&state);
    if (!machine_at_tsc_site(machine, linear, 0))
        return;
    cpu->site.linear = linear;
    if (is_rdtsc(cpu, linear)) {
        kvm_state_fetch(cpu); /* LSTAR */
        cpu->site.here = machine_at_tsc_site(machine, linear, cpu->state.lstar);
    }
    cpu->site.passing = !cpu->site.here;
    if (cpu->site.here && kvm_landmark_overshot_at_site(cpu))
        kvm_site_forget(cpu);
}

void kvm_site_read(struct kvm_accel *cpu)
{
    uint64_t before = machine_position(cpu->accel.machine).icount;
    kvm_site_forget(cpu);
    kvm_help_one(cpu);
    cpu->stepped = true;
    if (machine_position(cpu->accel.machine).icount == before)
        return; /* it faulted */
    cpu->statistics.exits++;
    cpu->statistics.tsc_reads++;
}
