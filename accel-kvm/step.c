/* Single steps for core/debug.h: KVM_GUESTDBG_SINGLESTEP (Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG). Where KVM steps code
 * well is the probe's to say (step_cpl0, step_cpl3, step_compat); this file takes what it gets.
 *
 * A step is over when KVM says so, when an access was done (KVM reports no trap behind a port access), or when the helper has
 * executed the instruction. A single step into an interrupt that is queued would show in the flags that it pushes: the guest
 * runs to the handler's first instruction instead, by a breakpoint, and steps from there. For an exception it does show: TF is taken
 * out of the frame that was pushed.
 * Not modelled: points; interrupts through task gates and in virtual-8086 mode are stepped as they come. */
#include "accel-kvm/kvm.h"

#include "core/debug.h"
#include "core/landmark.h"

#include <string.h>

#define DR6_BS 0x4000u
#define RFLAGS_TF 0x100u
#define RFLAGS_RF 0x10000u
#define RFLAGS_VM 0x20000u
#define INSN_BYTES 15u
#define FRAME_SLOTS 8u /* from the stack's top on, in which a frame is looked for */

void kvm_step(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    cpu->stepping = true;
    cpu->stepped = false;
}

void kvm_step_forget(struct accel *accel)
{
    kvm_of(accel)->stepping = false;
}

/* ---- where an interrupt's handler begins ---- */

static uint64_t read_linear(struct kvm_accel *cpu, uint64_t linear, unsigned size_bytes)
{
    uint8_t bytes[8] = {0};
    uint64_t value;
    (void)debug_read_linear(cpu->accel.machine, linear, bytes, size_bytes);
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint32_t base_of(struct kvm_accel *cpu, uint16_t selector)
{
    uint64_t table = selector & 4 ? cpu->state.segment[CPU_LDTR].base : cpu->state.gdtr_base;
    uint64_t low = read_linear(cpu, table + (selector & ~7u), 8);
    return (uint32_t)((low >> 16 & 0xFFFFFF) | (low >> 56) << 24);
}

static uint64_t handler_of(struct kvm_accel *cpu, uint8_t vector)
{
    const struct cpu_state *state = &cpu->state;
    if (!(state->cr0 & 1)) {
        uint64_t entry = read_linear(cpu, state->idtr_base + 4u * vector, 4);
        return (entry >> 16 & 0xFFFF) * 16 + (entry & 0xFFFF);
    }
    bool wide = state->efer & 0x400;
    uint64_t at = state->idtr_base + (wide ? 16u : 8u) * vector, gate = read_linear(cpu, at, 8);
    uint64_t offset = (gate & 0xFFFF) | (gate >> 48 & 0xFFFF) << 16;
    if (wide)
        return offset | read_linear(cpu, at + 8, 4) << 32;
    return (uint32_t)(offset + base_of(cpu, (uint16_t)(gate >> 16)));
}

uint64_t kvm_taken_handler(struct kvm_accel *cpu)
{
    kvm_state_fetch(cpu);
    return handler_of(cpu, cpu->taken_vector);
}

/* ---- TF in a frame ---- */

static unsigned slot_bytes(const struct kvm_accel *cpu)
{
    return cpu->state.efer & 0x400 ? 8 : cpu->state.cr0 & 1 ? 4 : 2;
}

/* RIP, CS and flags are as the step's instruction had them: at this address they were pushed. */
static bool is_frame(struct kvm_accel *cpu, uint64_t at, unsigned bytes)
{
    uint64_t mask = bytes == 2 ? 0xFFFF : 0xFFFFFFFF, rip = read_linear(cpu, at, bytes);
    uint64_t flags = read_linear(cpu, at + 2 * bytes, bytes) & mask;
    return rip - (cpu->step_rip & (bytes == 8 ? UINT64_MAX : mask)) <= INSN_BYTES &&
           (uint16_t)read_linear(cpu, at + bytes, bytes) == cpu->step_cs && (flags & RFLAGS_TF) &&
           !((flags ^ cpu->step_rflags) & mask & ~(uint64_t)(RFLAGS_TF | RFLAGS_RF));
}

static void clear_tf(struct kvm_accel *cpu, uint64_t linear)
{
    uint64_t gpa;
    uint8_t byte = 0;
    if (!cpu->accel.ops->translate(&cpu->accel, linear, &gpa))
        return;
    memory_read(machine_memory(cpu->accel.machine), gpa, &byte, 1);
    byte &= (uint8_t) ~(RFLAGS_TF >> 8);
    memory_write(machine_memory(cpu->accel.machine), gpa, &byte, 1);
}

/* Behind a step that went elsewhere: it may have made the handler's first instruction too, a PUSH for example. */
static void mend_frame(struct kvm_accel *cpu)
{
    const struct cpu_state *state = &cpu->state;
    unsigned bytes = slot_bytes(cpu);
    uint64_t base = state->efer & 0x400 ? 0 : state->segment[CPU_SS].base;
    uint64_t sp = base + (bytes == 8   ? state->gpr[CPU_RSP]
                          : bytes == 4 ? (uint32_t)state->gpr[CPU_RSP]
                                       : (uint16_t)state->gpr[CPU_RSP]);
    if ((cpu->step_rflags & RFLAGS_TF) || state->rip - cpu->step_rip <= INSN_BYTES)
        return;
    for (unsigned slot = 0; slot < FRAME_SLOTS; slot++, sp += bytes) {
        if (!is_frame(cpu, sp, bytes))
            continue;
        clear_tf(cpu, sp + 2 * bytes + 1);
        return;
    }
}

/* ---- the step ---- */

bool kvm_step_prepare(struct kvm_accel *cpu, struct machine_landmark *landmark)
{
    if (landmark && !cpu->taken && kvm_at_landmark(cpu, landmark)) {
        kvm_debug_set(cpu, 0, false);
        machine_landmark_met(cpu->accel.machine);
        return true;
    }
    if (cpu->taken && !(cpu->state.rflags & RFLAGS_VM)) {
        kvm_debug_set(cpu, kvm_taken_handler(cpu), false);
    } else {
        kvm_complete(cpu);
        kvm_state_fetch(cpu);
        cpu->step_rip = cpu->state.rip;
        cpu->step_rflags = cpu->state.rflags;
        cpu->step_cs = cpu->state.segment[CPU_CS].selector;
        kvm_debug_set(cpu, 0, true);
    }
    return false;
}

void kvm_step_look(struct kvm_accel *cpu)
{
    switch (cpu->run->exit_reason) {
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_SET_TPR: break;
    case KVM_EXIT_DEBUG: cpu->stepped = (cpu->run->debug.arch.dr6 & DR6_BS) != 0; break;
    default: cpu->stepped = true; break;
    }
}

bool kvm_step_over(struct kvm_accel *cpu)
{
    if (!cpu->stepping || !cpu->stepped)
        return false;
    cpu->stepped = false;
    kvm_complete(cpu);
    kvm_state_fetch(cpu);
    mend_frame(cpu);
    cpu->debug_left = true;
    return true;
}
