/* The run loop: KVM_RUN, and the one switch over its exits (Documentation/virt/kvm/api.rst, 5).
 *
 * Invariants
 *  1. At the top of the loop the last instruction's exits are done, but perhaps one that waits for KVM to complete it
 *     (must_complete): RIP and registers are good only after that.
 *  2. The run loop of the machine acts right after an exit's instruction, or at a landmark: run returns nowhere else.
 *  3. An interrupt is queued in KVM only right before the guest goes on. While one is queued and not yet taken
 *     (a kick came first) the state is not the guest's, and nothing stops there. */
#include "accel-kvm/kvm.h"

#include "core/bus.h"
#include "core/landmark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define RFLAGS_RF 0x10000u
#define VECTOR_NMI 2

enum accel_exit kvm_trouble(struct kvm_accel *cpu, const char *what)
{
    if (!cpu->error.text[0])
        error_set(&cpu->error, "accel kvm: %s: %s", what, strerror(errno));
    return ACCEL_EXIT_ERROR;
}

static enum accel_exit broken(struct kvm_accel *cpu, const char *what, uint64_t detail)
{
    if (!cpu->error.text[0])
        error_set(&cpu->error, "accel kvm: %s %#llx at RIP %#llx", what, (unsigned long long)detail,
                  (unsigned long long)cpu->state.rip);
    return ACCEL_EXIT_ERROR;
}

/* ---- accesses ---- */

static void port_access(struct kvm_accel *cpu)
{
    struct kvm_run *run = cpu->run;
    struct bus *bus = machine_bus(cpu->accel.machine);
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    cpu->access.kind = run->io.direction == KVM_EXIT_IO_IN ? KVM_ACCESS_READ : KVM_ACCESS_OUT;
    cpu->access.size_bytes = run->io.size;
    cpu->access.port = run->io.port;
    for (uint32_t n = 0; n < run->io.count; n++, data += run->io.size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_IN) {
            value = (uint32_t)bus_io_read(bus, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
            cpu->tsc_waits = run->io.port == MACHINE_TSC_PORT && run->io.size == 4 &&
                             machine_goes(cpu->accel.machine, MACHINE_WAY_TSC_PORT);
        } else {
            memcpy(&value, data, run->io.size);
            bus_io_write(bus, run->io.port, value, run->io.size);
        }
    }
    cpu->access.kind = KVM_ACCESS_NONE;
    cpu->statistics.exits += run->io.count;
}

/* Whatever part of an access crosses into a page of MMIO comes here, of any size. */
static void mmio_access(struct kvm_accel *cpu)
{
    struct kvm_run *run = cpu->run;
    struct bus *bus = machine_bus(cpu->accel.machine);
    unsigned chunk;
    cpu->access.kind = run->mmio.is_write ? KVM_ACCESS_STORE : KVM_ACCESS_READ;
    for (unsigned at = 0; at < run->mmio.len; at += chunk) {
        uint64_t value = 0;
        chunk = bus_chunk(run->mmio.len - at);
        if (run->mmio.is_write) {
            memcpy(&value, run->mmio.data + at, chunk);
            bus_mmio_write(bus, run->mmio.phys_addr + at, value, chunk);
        } else {
            value = bus_mmio_read(bus, run->mmio.phys_addr + at, chunk);
            memcpy(run->mmio.data + at, &value, chunk);
        }
        cpu->statistics.exits++;
    }
    cpu->access.kind = KVM_ACCESS_NONE;
}

/* ---- KVM_RUN ---- */

/* KVM takes CR8 from the page and leaves it there: it is the APIC's task priority, whichever way that was written. */
static void give_cr8(struct kvm_accel *cpu)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    if (link.ops)
        cpu->run->cr8 = cpu->cr8 = (uint8_t)link.ops->read_cr8(link.opaque);
}

int kvm_enter(struct kvm_accel *cpu)
{
    give_cr8(cpu);
    cpu->state_valid = cpu->held_valid = false;
    cpu->must_complete = false;
    cpu->statistics.entries++;
    return ioctl(cpu->vcpu, KVM_RUN, 0) == 0 ? 0 : errno;
}

/* True: the exit was an access, and has been done. */
static bool access_exit(struct kvm_accel *cpu)
{
    switch (cpu->run->exit_reason) {
    case KVM_EXIT_IO: port_access(cpu); break;
    case KVM_EXIT_MMIO: mmio_access(cpu); break;
    case KVM_EXIT_X86_RDMSR: kvm_msr_exit(cpu, false); break;
    case KVM_EXIT_X86_WRMSR: kvm_msr_exit(cpu, true); break;
    default: return false;
    }
    cpu->must_complete = true;
    return true;
}

void kvm_complete(struct kvm_accel *cpu)
{
    while (cpu->must_complete && !cpu->error.text[0]) {
        cpu->run->immediate_exit = 1;
        int trouble = kvm_enter(cpu);
        cpu->run->immediate_exit = 0;
        cpu->statistics.completions++;
        if (trouble && trouble != EINTR) {
            errno = trouble;
            (void)kvm_trouble(cpu, "KVM_RUN");
        } else if (!trouble && !access_exit(cpu) && cpu->run->exit_reason != KVM_EXIT_DEBUG) {
            (void)broken(cpu, "an access ended in exit", cpu->run->exit_reason);
        }
    }
    if (cpu->tsc_waits) {
        cpu->tsc_waits = false;
        kvm_set_edx(cpu, machine_tsc_port_high(cpu->accel.machine));
    }
}

/* KVM's view of what could be injected is of its last exit: after a change of state it is asked anew. */
void kvm_refresh(struct kvm_accel *cpu)
{
    if (cpu->state_changed) {
        kvm_state_flush(cpu);
        cpu->must_complete = true;
    }
    kvm_complete(cpu);
}

/* What KVM has begun and the guest not seen; all of it where that can't be learned. */
static struct kvm_vcpu_events events_of(struct kvm_accel *cpu)
{
    struct kvm_vcpu_events events = {.exception.pending = 1, .interrupt.injected = 1, .nmi = {.pending = 1, .masked = 1}};
    if (ioctl(cpu->vcpu, KVM_GET_VCPU_EVENTS, &events) < 0)
        (void)kvm_trouble(cpu, "KVM_GET_VCPU_EVENTS");
    return events;
}

/* ---- interrupts ---- */

static void take(struct kvm_accel *cpu, uint32_t vector)
{
    cpu->taken_vector = (uint8_t)vector;
    machine_trace_irq(cpu->accel.machine, vector);
    cpu->statistics.interrupts++;
    cpu->halted = cpu->state.halted = false;
    cpu->state_valid = false;
    cpu->taken = true;
}

static void take_nmi(struct kvm_accel *cpu)
{
    kvm_state_fetch(cpu); /* past a repeated instruction that is over */
    kvm_refresh(cpu);
    (void)machine_nmi_take(cpu->accel.machine);
    take(cpu, VECTOR_NMI);
    if (ioctl(cpu->vcpu, KVM_NMI) < 0)
        (void)kvm_trouble(cpu, "KVM_NMI");
}

static void take_interrupt(struct kvm_accel *cpu)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    int vector = link.ops ? link.ops->acknowledge(link.opaque) : -1;
    if (vector < 0)
        return;
    take(cpu, (uint32_t)vector);
    struct kvm_interrupt interrupt = {.irq = (uint32_t)vector};
    if (ioctl(cpu->vcpu, KVM_INTERRUPT, &interrupt) < 0)
        (void)kvm_trouble(cpu, "KVM_INTERRUPT");
}

static bool may_take(const struct kvm_accel *cpu)
{
    return cpu->run->ready_for_interrupt_injection && cpu->run->if_flag;
}

/* KVM would keep one for later. */
static bool nmi_allowed(struct kvm_accel *cpu)
{
    struct kvm_vcpu_events events = events_of(cpu);
    return !events.nmi.masked && !events.nmi.injected && !events.nmi.pending;
}

/* The frame that an interrupt pushes has RIP: it must be the processor's. */
static bool past_repeat(struct kvm_accel *cpu)
{
    if (!(kvm_rflags(cpu) & RFLAGS_RF))
        return true;
    kvm_state_fetch(cpu);
    kvm_refresh(cpu);
    return may_take(cpu);
}

/* Right after an exit, or at a landmark. */
static void offer_interrupts(struct kvm_accel *cpu)
{
    struct machine *machine = cpu->accel.machine;
    uint32_t attention = *machine_attention(machine);
    if (!(attention & (ATTENTION_INTR | ATTENTION_NMI)))
        return;
    if (!(attention & ATTENTION_NMI) && !cpu->state_changed && !cpu->run->if_flag) {
        cpu->run->request_interrupt_window = 1;
        return; /* no access changes IF */
    }
    kvm_refresh(cpu);
    if ((attention & ATTENTION_NMI) && nmi_allowed(cpu) && machine_offer_interrupt(machine, true)) {
        take_nmi(cpu);
        return;
    }
    cpu->run->request_interrupt_window = 0;
    if (!machine_intr_pending(machine))
        return;
    if (may_take(cpu) && past_repeat(cpu) && machine_offer_interrupt(machine, false))
        take_interrupt(cpu);
    else
        cpu->run->request_interrupt_window = 1;
}

/* ---- stops between exits ---- */

/* Nothing of the kind that KVM has begun and the guest not seen. */
bool kvm_clean(struct kvm_accel *cpu)
{
    struct kvm_vcpu_events events = events_of(cpu);
    return !events.exception.injected && !events.exception.pending && !events.interrupt.injected &&
           !events.nmi.injected && !events.nmi.pending;
}

/* The run has no stop here: the guest goes on to its next exit, and is not stopped again before. But who interrupts the machine, or
 * ends the run, is heard at once, as a debugger is. */
static bool refused(struct kvm_accel *cpu)
{
    cpu->refused = true;
    cpu->debug_left = machine_interrupted(cpu->accel.machine) || machine_request_pending(cpu->accel.machine);
    return cpu->debug_left;
}

/* True: run returns. */
static bool stop_between(struct kvm_accel *cpu)
{
    cpu->mending = kvm_repair_waits(cpu);
    if (cpu->mending || !kvm_clean(cpu)) {
        cpu->unclean++;
        return false;
    }
    cpu->unclean = 0;
    kvm_state_fetch(cpu);
    uint64_t count = kvm_count(cpu);
    if (!machine_stop_between(cpu->accel.machine, &cpu->state, count - cpu->count_at_exit))
        return refused(cpu);
    cpu->statistics.landmarks++;
    cpu->count_at_exit = count;
    return true;
}

/* ---- exits ---- */

static void update_cr8(struct kvm_accel *cpu)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    uint8_t cr8 = (uint8_t)cpu->run->cr8;
    if (cr8 == cpu->cr8 || !link.ops)
        return;
    cpu->cr8 = cr8;
    link.ops->write_cr8(link.opaque, cr8);
}

static bool interrupted(struct kvm_accel *cpu, enum accel_exit *exit)
{
    cpu->statistics.kicks++;
    cpu->armed = false; /* the timer is set again */
    *exit = ACCEL_EXIT_STEPS;
    return (machine_wanted(cpu->accel.machine) || (*machine_attention(cpu->accel.machine) & ATTENTION_NMI)) &&
           stop_between(cpu);
}

/* A triple fault is the guest's, and resets it; but where turning on paging without long mode is what led to it, it would
 * do so for ever on a KVM without that. */
static enum accel_exit shut_down(struct kvm_accel *cpu)
{
    kvm_state_fetch(cpu);
    if (!kvm_at_paging_32(cpu))
        return ACCEL_EXIT_SHUTDOWN;
    if (!cpu->error.text[0])
        error_set(&cpu->error,
                  "accel kvm: the guest turns on 32-bit paging (MOV to CR0 at RIP %#llx), which this host's KVM does not do: "
                  "`vmrr info --host`, paging_32",
                  (unsigned long long)cpu->state.rip);
    return ACCEL_EXIT_ERROR;
}

/* True: run returns *exit. */
static bool handle_exit(struct kvm_accel *cpu, enum accel_exit *exit)
{
    struct kvm_run *run = cpu->run;
    if (kvm_landmark_overshot(cpu) || access_exit(cpu))
        return false;
    *exit = ACCEL_EXIT_STEPS;
    switch (run->exit_reason) {
    case KVM_EXIT_HLT:
        cpu->halted = true; /* an exit of its own, which the machine counts: before any interrupt */
        cpu->statistics.exits++;
        *exit = ACCEL_EXIT_HALT;
        return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        cpu->statistics.windows++;
        return !machine_landmark(cpu->accel.machine) && stop_between(cpu);
    case KVM_EXIT_SHUTDOWN: *exit = shut_down(cpu); return true;
    case KVM_EXIT_INTR: return interrupted(cpu, exit);
    case KVM_EXIT_DEBUG:
        cpu->at_repair = (run->debug.arch.dr6 & 2) && cpu->repair.handler && kvm_rip(cpu) == cpu->repair.handler &&
                         !kvm_repair_at_breakpoint(cpu);
        kvm_site_look(cpu);
        return false;
    case KVM_EXIT_SET_TPR: return false;
    case KVM_EXIT_INTERNAL_ERROR:
        if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
            kvm_help(cpu);
            return false;
        }
        *exit = broken(cpu, "KVM_EXIT_INTERNAL_ERROR", run->internal.suberror);
        return true;
    case KVM_EXIT_FAIL_ENTRY:
        *exit = broken(cpu, "KVM_EXIT_FAIL_ENTRY", run->fail_entry.hardware_entry_failure_reason);
        return true;
    default: *exit = broken(cpu, "unknown exit", run->exit_reason); return true;
    }
}

/* An NMI came while one was handled, and that is over, somewhere between two exits. */
static bool nmi_waits(struct kvm_accel *cpu)
{
    return !cpu->at_stop && (*machine_attention(cpu->accel.machine) & ATTENTION_NMI) && cpu->state_changed &&
           !cpu->state.nmi_blocked;
}

static bool run_to_exit(struct kvm_accel *cpu, enum accel_exit *exit)
{
    if (cpu->site.here) {
        kvm_site_read(cpu);
        return false;
    }
    if (cpu->tsc_waits)
        kvm_complete(cpu);
    kvm_state_flush(cpu);
    kvm_kick_arm(cpu);
    cpu->run->immediate_exit = 0; /* before the look: a signal after it sets this again */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_exchange(&cpu->kicked, false)) {
        cpu->armed = false;
        cpu->run->immediate_exit = 1;
    }
    cpu->at_repair = cpu->site.passing = false;
    cpu->mending = false;
    kvm_freeze_at(cpu, machine_frozen_tsc(cpu->accel.machine) + cpu->state.tsc_offset);
    int trouble = kvm_enter(cpu);
    cpu->run->immediate_exit = 0;
    kvm_freeze_look(cpu);
    if (trouble == EINTR || trouble == EAGAIN) {
        cpu->taken = cpu->taken && !kvm_clean(cpu);
        return interrupted(cpu, exit);
    }
    cpu->taken = false;
    if (trouble) {
        errno = trouble;
        *exit = kvm_trouble(cpu, "KVM_RUN");
        return true;
    }
    update_cr8(cpu);
    bool done = handle_exit(cpu, exit);
    kvm_step_look(cpu);
    return done;
}

static bool run_once(struct kvm_accel *cpu, enum accel_exit *exit)
{
    uint64_t before = machine_position(cpu->accel.machine).icount;
    bool done = run_to_exit(cpu, exit);
    cpu->at_stop = cpu->halted || machine_position(cpu->accel.machine).icount != before;
    cpu->at_breakpoint =
        cpu->landmark_set && cpu->run->exit_reason == KVM_EXIT_DEBUG && (cpu->run->debug.arch.dr6 & 1) && !cpu->at_stop;
    if (cpu->at_stop) {
        cpu->count_at_exit = kvm_count(cpu);
        cpu->refused = false;
    }
    return done;
}

/* The machine wants to act, and the guest is somewhere between two exits: it stops at once, or, where KVM has begun something
 * that the guest must see first, soon after it has. */
static void stop_soon(struct kvm_accel *cpu)
{
    if (cpu->unclean) {
        kvm_kick_soon(cpu);
        return;
    }
    atomic_store_explicit(&cpu->kicked, true, memory_order_relaxed);
    cpu->run->immediate_exit = 1;
}

enum accel_exit kvm_accel_run(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    enum accel_exit exit = ACCEL_EXIT_STEPS;
    if (!cpu->debug_left) { /* a debugger's stop is none of the guest's */
        cpu->at_stop = true;
        cpu->refused = false;
    }
    cpu->debug_left = false;
    kvm_site_forget(cpu);
    while (!cpu->error.text[0]) {
        bool wanted = machine_wanted(accel->machine) || nmi_waits(cpu);
        if (wanted && cpu->at_stop) {
            kvm_complete(cpu);
            return machine_request_pending(accel->machine) ? ACCEL_EXIT_REQUEST : ACCEL_EXIT_STEPS;
        }
        if (wanted && !cpu->refused)
            stop_soon(cpu);
        else if (cpu->at_stop)
            offer_interrupts(cpu);
        else
            cpu->run->request_interrupt_window = machine_intr_pending(accel->machine) && !cpu->refused && !cpu->mending;
        if (cpu->at_stop && machine_request_pending(accel->machine))
            return ACCEL_EXIT_REQUEST;
        if (cpu->halted) {
            kvm_complete(cpu);
            return ACCEL_EXIT_HALT;
        }
        if (kvm_seek_landmark(cpu))
            return ACCEL_EXIT_STEPS;
        if (run_once(cpu, &exit))
            return exit;
        if (kvm_step_over(cpu))
            return ACCEL_EXIT_DEBUG;
    }
    return ACCEL_EXIT_ERROR;
}
