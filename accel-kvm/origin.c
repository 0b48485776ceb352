/* Where the guest is (accel.h, where), also in the middle of an access, when the state can't be fetched: it comes with the exit.
 *
 * RIP of a read is the instruction's: it is not over before it has the value. That of a write is the next one's where KVM's emulator
 * has done it (Linux arch/x86/kvm/x86.c completes an instruction before a write goes to user space), and may be the instruction's
 * where the processor left a port write to KVM. An x86 instruction can't be read backwards for certain; but what did the access is an
 * OUT or OUTS of the exit's size and port, at RIP or ending there. All such are looked for, a run of prefix bytes in front of one
 * giving as many more. The right one is among them: where there is one only it is that, and else nothing is said (all zero).
 * Intel SDM vol. 2: 2.1.1 (prefixes), OUT, OUTS.
 * Not done: the instruction of a write to MMIO, which nothing says. */
#include "accel-kvm/kvm.h"

#include "core/landmark.h"

#include <string.h>
#include <sys/ioctl.h>

#define RFLAGS_VM 0x20000u
#define ATTRIBUTES_DB 0x4000u
#define INSN_MAX 15u

bool kvm_read_linear(struct kvm_accel *cpu, uint64_t linear, void *buffer, size_t size_bytes)
{
    struct kvm_translation place = {.linear_address = linear};
    size_t here = MEMORY_PAGE_BYTES - (linear & (MEMORY_PAGE_BYTES - 1));
    if (size_bytes > here)
        return kvm_read_linear(cpu, linear, buffer, here) &&
               kvm_read_linear(cpu, linear + here, (uint8_t *)buffer + here, size_bytes - here);
    if (ioctl(cpu->vcpu, KVM_TRANSLATE, &place) < 0 || !place.valid)
        return false;
    memory_read(machine_memory(cpu->accel.machine), place.physical_address, buffer, size_bytes);
    return true;
}

/* ---- the instruction of a port write ---- */

struct port_write {
    unsigned size_bytes;
    uint16_t port, dx;
    bool code64, code32;
};

/* The length of an instruction that may have done this write and begins at bytes; 0: none does. */
static unsigned port_write_length(const struct port_write *write, const uint8_t *bytes, unsigned max)
{
    bool other_size = false;
    unsigned at = 0, size_bytes;
    for (; at < max && kvm_is_prefix(bytes[at]); at++)
        other_size |= bytes[at] == 0x66;
    if (write->code64 && at < max && (bytes[at] & 0xF0) == 0x40)
        at++; /* REX; its W changes nothing here */
    if (at >= max)
        return 0;
    uint8_t opcode = bytes[at++];
    size_bytes = !(opcode & 1) ? 1 : (write->code64 || write->code32) != other_size ? 4 : 2;
    if (size_bytes != write->size_bytes)
        return 0;
    switch (opcode & 0xFE) {
    case 0xEE:
    case 0x6E: return write->dx == write->port ? at : 0;
    case 0xE6: return at < max && bytes[at] == write->port ? at + 1 : 0;
    default: return 0;
    }
}

/* How far before `linear` (0: at it) the instruction begins. False: not known. */
static bool find_port_write(struct kvm_accel *cpu, const struct port_write *write, uint64_t linear, unsigned *back)
{
    uint8_t bytes[2 * INSN_MAX] = {0};
    unsigned found = 0, after = INSN_MAX;
    if (!kvm_read_linear(cpu, linear - INSN_MAX, bytes, INSN_MAX))
        return false;
    while (after && !kvm_read_linear(cpu, linear, bytes + INSN_MAX, after))
        after--;
    if (port_write_length(write, bytes + INSN_MAX, after)) {
        *back = 0;
        found++;
    }
    for (unsigned length = 1; length <= INSN_MAX; length++) {
        if (port_write_length(write, bytes + INSN_MAX - length, length) != length)
            continue;
        *back = length;
        found++;
    }
    return found == 1;
}

static bool before_port_write(struct kvm_accel *cpu, struct cpu_state *state)
{
    struct port_write write = {.size_bytes = cpu->access.size_bytes,
                               .port = cpu->access.port,
                               .dx = (uint16_t)state->gpr[CPU_RDX],
                               .code64 = cpu_state_code64(state),
                               .code32 = state->segment[CPU_CS].attributes & ATTRIBUTES_DB};
    unsigned back;
    if (!find_port_write(cpu, &write, landmark_rip(state), &back))
        return false;
    state->rip -= back;
    return true;
}

/* ---- where ---- */

static uint32_t mode_of(const struct cpu_state *state)
{
    bool protected_mode = state->cr0 & 1, v86 = protected_mode && (state->rflags & RFLAGS_VM);
    bool code64 = cpu_state_code64(state);
    uint32_t cpl = !protected_mode ? 0 : v86 ? 3 : state->segment[CPU_SS].attributes >> 5 & 3;
    return cpl | (code64 ? TRACE_ORIGIN_CODE64 : 0) |
           (!code64 && (state->segment[CPU_CS].attributes & ATTRIBUTES_DB) ? TRACE_ORIGIN_CODE32 : 0) |
           (protected_mode ? TRACE_ORIGIN_PROTECTED : 0) | (v86 ? TRACE_ORIGIN_V86 : 0) |
           (state->cr0 & 1u << 31 ? TRACE_ORIGIN_PAGING : 0);
}

void kvm_where(const struct accel *accel, struct accel_where *where)
{
    struct kvm_accel *cpu = (struct kvm_accel *)(uintptr_t)accel;
    struct cpu_state state;
    *where = (struct accel_where){0};
    if (cpu->helping) {
        cpu->helper->ops->where(cpu->helper, where);
        return;
    }
    if (cpu->access.kind == KVM_ACCESS_NONE) { /* between two instructions: the run loop of the machine acts */
        kvm_complete(cpu);
        kvm_state_fetch(cpu);
    }
    kvm_peek(cpu, &state);
    if (cpu->access.kind == KVM_ACCESS_STORE || (cpu->access.kind == KVM_ACCESS_OUT && !before_port_write(cpu, &state)))
        return;
    where->linear = landmark_rip(&state);
    where->cr3 = state.cr3;
    where->flags = mode_of(&state);
}
