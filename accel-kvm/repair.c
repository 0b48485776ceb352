/* SYSCALL at 64-bit CPL3 on hosts that take it no farther than the handler's address: the guest stays at CPL3, the handler's page
 * is the kernel's, and a page fault (user, protection, instruction fetch) goes to the guest (shared/KVM-NOTES.md, measured).
 *
 * From the moment that the guest has set LSTAR on, a breakpoint stands at its page fault handler. A fault whose frame says that user
 * code was at LSTAR is a SYSCALL: what the fault did is taken back as far as MACHINE_WAY_SYSCALL_FAULTS says, and the
 * processor's SYSCALL is done instead. Any other fault goes on, by one step past the breakpoint.
 *
 * Not done: a page fault handler with an IST stack; compatibility code's SYSCALL. */
#include "accel-kvm/kvm.h"

#include <string.h>
#include <sys/ioctl.h>

#define MSR_LSTAR 0xC0000082u
#define VECTOR_PF 14
#define GATE_BYTES 16
#define ERROR_USER_FETCH 0x15u /* present, user, instruction fetch */
#define RFLAGS_RF 0x10000u
#define RFLAGS_KEPT 0x3C7FD7u
#define CODE_CPL0 0xA09Bu
#define DATA_CPL0 0xC093u

/* Six words from the handler's RSP on. */
enum frame_word { FRAME_ERROR, FRAME_RIP, FRAME_CS, FRAME_RFLAGS, FRAME_RSP, FRAME_SS, FRAME_WORDS };

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The guest's page fault handler, anew when its table is another one. */
static void find_handler(struct kvm_accel *cpu)
{
    uint64_t idt = kvm_idt_base(cpu);
    uint8_t gate[GATE_BYTES];
    if (idt == cpu->repair.idt && cpu->repair.handler)
        return;
    cpu->repair.idt = idt;
    cpu->repair.handler = 0;
    if (kvm_read_linear(cpu, idt + VECTOR_PF * GATE_BYTES, gate, sizeof gate) && (gate[5] & 0x80) && !(gate[4] & 7))
        cpu->repair.handler = (get64(gate) & 0xFFFF) | (get64(gate) >> 48 & 0xFFFF) << 16 | get64(gate + 8) << 32;
}

void kvm_repair_wrote_lstar(struct kvm_accel *cpu, uint64_t value)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = {.index = MSR_LSTAR, .data = value}};
    if (ioctl(cpu->vcpu, KVM_SET_MSRS, &one.head) < 0)
        (void)kvm_trouble(cpu, "KVM_SET_MSRS");
    cpu->state.lstar = cpu->held.lstar = value;
    cpu->repair.lstar = value;
}

uint64_t kvm_repair_breakpoint(struct kvm_accel *cpu)
{
    if (!cpu->repair.lstar)
        return 0;
    find_handler(cpu);
    return cpu->repair.handler;
}

static void set_segment(struct cpu_segment *segment, uint16_t selector, uint16_t attributes)
{
    *segment = (struct cpu_segment){.selector = selector, .attributes = attributes, .limit = UINT32_MAX};
}

/* cpu->state, valid, is that at the handler's first instruction. */
static void do_syscall(struct kvm_accel *cpu, const uint64_t frame[FRAME_WORDS])
{
    struct cpu_state *state = &cpu->state;
    struct kvm_translation place;
    uint16_t selector = (uint16_t)(state->star >> 32) & 0xFFFC;
    static const uint64_t zero;
    for (unsigned at = 0; at < MACHINE_FRAME_BYTES; at += 8) {
        place = (struct kvm_translation){.linear_address = state->gpr[CPU_RSP] + at};
        if (ioctl(cpu->vcpu, KVM_TRANSLATE, &place) == 0 && place.valid)
            memory_write(machine_memory(cpu->accel.machine), place.physical_address, &zero, 8);
    }
    state->rip = state->lstar;
    state->gpr[CPU_RSP] = frame[FRAME_RSP];
    state->rflags = (state->gpr[11] & ~state->sfmask & RFLAGS_KEPT & ~(uint64_t)RFLAGS_RF) | 2;
    state->cr2 = state->lstar;
    set_segment(&state->segment[CPU_CS], selector, CODE_CPL0);
    set_segment(&state->segment[CPU_SS], (uint16_t)(selector + 8), DATA_CPL0);
    cpu->state_changed = true;
    cpu->statistics.syscalls++;
}

/* At the handler's first instruction: was it a SYSCALL that led there? */
static bool is_syscall(struct kvm_accel *cpu, uint64_t frame[FRAME_WORDS])
{
    return kvm_read_linear(cpu, kvm_rsp(cpu), frame, FRAME_WORDS * sizeof *frame) &&
           frame[FRAME_RIP] == cpu->repair.lstar && (frame[FRAME_CS] & 3) == 3 &&
           (frame[FRAME_ERROR] & ~2ull) == ERROR_USER_FETCH;
}

bool kvm_repair_waits(struct kvm_accel *cpu)
{
    uint64_t frame[FRAME_WORDS], rip;
    if (!cpu->repair.lstar)
        return false;
    rip = kvm_rip(cpu);
    if (rip == cpu->repair.lstar)
        return kvm_cpl(cpu) == 3;
    return rip == kvm_repair_breakpoint(cpu) && is_syscall(cpu, frame);
}

bool kvm_repair_at_breakpoint(struct kvm_accel *cpu)
{
    uint64_t frame[FRAME_WORDS];
    cpu->statistics.faults++;
    if (!is_syscall(cpu, frame))
        return false;
    kvm_state_fetch(cpu);
    do_syscall(cpu, frame);
    return true;
}
