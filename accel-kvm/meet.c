/* Meeting a landmark: the guest is made to stop where the journal says that it did.
 *
 * Far from it, as KVM's count of emulated instructions tells, the guest runs freely and a kick ends that (a hop), the last
 * stretch goes by single steps, and each stop is held against the landmark. The count says how far it is and nothing else, so it need
 * not be exact. Who hops too far is put back to where he began (rewind.c) and leaves a wider margin. Without a count, and
 * where an interrupt is about to be taken, the guest stops by a breakpoint at the landmark's RIP, each time that it passes. */
#include "accel-kvm/kvm.h"

#include "core/landmark.h"

#define MARGIN_LEAST 160u
#define MARGIN_MOST 8000u /* a kick comes up to 0.6 ms late, at 4 to 6 instructions a microsecond */
#define BLIND_MARGIN 8000u /* of hops without a mark */
#define SPEED_MOST 6000u
#define HOP_LEAST_NS 10000u

/* ---- there? ---- */

bool kvm_at_landmark(struct kvm_accel *cpu, struct machine_landmark *landmark)
{
    kvm_refresh(cpu);
    if (!cpu->state_valid && kvm_elsewhere(cpu, landmark->rip, landmark->registers)) {
        landmark->hits += cpu->at_breakpoint;
        return false;
    }
    kvm_state_fetch(cpu);
    if (landmark_rip(&cpu->state) != landmark->rip)
        return false;
    landmark->hits++;
    if (landmark_registers(cpu->state.gpr) != landmark->registers)
        return false;
    landmark->matches++;
    return landmark_take(cpu->accel.machine, &cpu->state).all == landmark->all;
}

/* ---- hops ---- */

static void forget(struct kvm_accel *cpu)
{
    cpu->mark.set = cpu->hopping = cpu->careful = false;
}

static void widen(struct kvm_accel *cpu)
{
    cpu->careful = cpu->margin >= MARGIN_MOST;
    cpu->margin = cpu->margin < MARGIN_MOST / 4 ? cpu->margin * 4 : MARGIN_MOST;
}

static void take_back(struct kvm_accel *cpu)
{
    kvm_rewind(cpu);
    cpu->hopping = false;
    widen(cpu);
}

bool kvm_landmark_overshot(struct kvm_accel *cpu)
{
    unsigned reason = cpu->run->exit_reason;
    bool exit = reason == KVM_EXIT_IO || reason == KVM_EXIT_MMIO || reason == KVM_EXIT_HLT || reason == KVM_EXIT_SHUTDOWN;
    if (!cpu->hopping || !cpu->mark.set || !machine_landmark(cpu->accel.machine))
        return false;
    if (!exit) {
        cpu->mark.set &= reason != KVM_EXIT_INTERNAL_ERROR && reason != KVM_EXIT_X86_RDMSR && reason != KVM_EXIT_X86_WRMSR;
        return false;
    }
    take_back(cpu);
    return true;
}

bool kvm_landmark_overshot_at_site(struct kvm_accel *cpu)
{
    struct machine_landmark *landmark = machine_landmark(cpu->accel.machine);
    if (!cpu->hopping || !cpu->mark.set || !landmark || kvm_at_landmark(cpu, landmark))
        return false;
    take_back(cpu);
    return true;
}

/* A hop is over: how fast was the guest? A little more is assumed for the next. By the time that this thread ran: the kick comes by
 * the host's clock, so where others have the processor meanwhile the hop is a short one. */
static void end_hop(struct kvm_accel *cpu, uint64_t count)
{
    uint64_t took_ns = kvm_thread_ns() - cpu->hop_ns, instructions = count - cpu->hop_count;
    cpu->hopping = false;
    if (took_ns < HOP_LEAST_NS || !instructions)
        return;
    uint64_t speed = instructions * 1000000 / took_ns * 9 / 8, before = cpu->speed - cpu->speed / 32;
    cpu->speed = speed < before ? before : speed > SPEED_MOST ? SPEED_MOST : speed;
}

static void begin_hop(struct kvm_accel *cpu, uint64_t count, uint64_t instructions)
{
    uint64_t in_ns = instructions * 1000000 / (cpu->speed ? cpu->speed : SPEED_MOST);
    cpu->hopping = true;
    cpu->hop_count = count;
    kvm_debug_set(cpu, 0, false);
    cpu->hop_ns = kvm_thread_ns();
    kvm_kick_in(cpu, in_ns < HOP_LEAST_NS ? HOP_LEAST_NS : in_ns);
}

/* True: the guest shall run freely. */
static bool hop(struct kvm_accel *cpu, const struct machine_landmark *landmark)
{
    if (cpu->stats < 0 || !landmark->count || cpu->careful)
        return false;
    uint64_t count = kvm_count(cpu), done = count - cpu->count_at_exit;
    if (!cpu->margin)
        cpu->margin = MARGIN_LEAST;
    bool landed = cpu->hopping;
    if (landed)
        end_hop(cpu, count);
    if (landed && done > landmark->count && cpu->mark.set) {
        kvm_rewind(cpu);
        widen(cpu);
        done = cpu->mark.done;
        count = cpu->count_at_exit + done;
    }
    uint64_t margin = cpu->mark.set ? cpu->margin : BLIND_MARGIN;
    if (!cpu->mark.set && done + 2 * MARGIN_LEAST < landmark->count && !cpu->taken) {
        kvm_refresh(cpu);
        if (kvm_clean(cpu)) {
            kvm_mark(cpu, done);
            margin = cpu->mark.set ? cpu->margin : margin;
        }
    }
    if (cpu->careful || done + 2 * margin >= landmark->count)
        return false;
    begin_hop(cpu, count, landmark->count - done - margin);
    return true;
}

/* ---- the way there ---- */

bool kvm_seek_landmark(struct kvm_accel *cpu)
{
    struct machine_landmark *landmark = machine_landmark(cpu->accel.machine);
    if (cpu->stepping)
        return kvm_step_prepare(cpu, landmark);
    if (!landmark) {
        kvm_debug_set(cpu, 0, false);
        forget(cpu);
        return false;
    }
    if (hop(cpu, landmark))
        return false;
    if (!cpu->taken && kvm_at_landmark(cpu, landmark)) {
        kvm_debug_set(cpu, 0, false);
        machine_landmark_met(cpu->accel.machine);
        cpu->count_at_exit = kvm_count(cpu);
        forget(cpu);
        if (cpu->margin > MARGIN_LEAST)
            cpu->margin -= cpu->margin / 16;
        return true;
    }
    /* A single step into an interrupt that is queued would show in the flags that it pushes. */
    bool near = cpu->stats >= 0 && landmark->count;
    if (!cpu->taken && (near || cpu->at_breakpoint || (cpu->state_valid && landmark_rip(&cpu->state) == landmark->rip)))
        kvm_debug_set(cpu, 0, true);
    else
        kvm_debug_set(cpu, landmark->rip, false);
    return false;
}
