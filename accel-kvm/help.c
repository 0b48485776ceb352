/* What KVM does not do: one instruction executed by the helper, and MSRs (Documentation/virt/kvm/api.rst,
 * KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_X86_RDMSR).
 *
 * Both work on the whole state, which goes to the helper and comes back; accesses of such an instruction go to the same bus. */
#include "accel-kvm/kvm.h"

#include "core/landmark.h"

#include <string.h>

#define RFLAGS_RF 0x10000u
#define MSR_LSTAR 0xC0000082u
#define CROWD_MAX 2048u /* instructions */
#define CROWD_GAP 8u

bool kvm_is_prefix(uint8_t byte)
{
    switch (byte) {
    case 0x26:
    case 0x2E:
    case 0x36:
    case 0x3E:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xF2:
    case 0xF3: return true;
    default: return false;
    }
}

/* LOCK and REX too. */
static bool is_prefix(uint8_t byte, bool code64)
{
    return kvm_is_prefix(byte) || byte == 0xF0 || (code64 && (byte & 0xF0) == 0x40);
}

/* The helper has the state. */
static void fetch_code(struct kvm_accel *cpu, uint8_t *bytes, unsigned count)
{
    uint64_t linear = landmark_rip(&cpu->state), gpa;
    memset(bytes, 0, count);
    for (unsigned n = 0; n < count && cpu->helper->ops->translate(cpu->helper, linear + n, &gpa); n++)
        memory_read(machine_memory(cpu->accel.machine), gpa, &bytes[n], 1);
}

static bool is_string(uint8_t opcode)
{
    return (opcode >= 0x6C && opcode <= 0x6F) || (opcode >= 0xA4 && opcode <= 0xA7) || (opcode >= 0xAA && opcode <= 0xAF);
}

/* The count register at this address size: bytes 2, 4, 8. */
static uint64_t count_of(const struct cpu_state *state, bool other_size)
{
    bool code32 = state->segment[CPU_CS].attributes & 0x4000;
    uint64_t count = state->gpr[CPU_RCX];
    if (cpu_state_code64(state))
        return other_size ? (uint32_t)count : count;
    return code32 != other_size ? (uint32_t)count : (uint16_t)count;
}

void kvm_finish_repeat(struct kvm_accel *cpu)
{
    struct cpu_state *state = &cpu->state;
    uint8_t bytes[16];
    bool repeated = false, other_size = false, code64 = cpu_state_code64(state);
    unsigned at = 0;
    if (!(state->rflags & RFLAGS_RF))
        return;
    cpu->helper->ops->set_state(cpu->helper, state);
    fetch_code(cpu, bytes, sizeof bytes);
    for (; at < 14 && is_prefix(bytes[at], code64); at++) {
        repeated |= bytes[at] == 0xF2 || bytes[at] == 0xF3;
        other_size |= bytes[at] == 0x67;
    }
    if (!repeated || !is_string(bytes[at]) || count_of(state, other_size))
        return;
    state->rip += at + 1;
    if (!code64)
        state->rip = (uint32_t)state->rip;
    state->rflags &= ~(uint64_t)RFLAGS_RF;
    cpu->state_changed = true;
}

bool kvm_at_paging_32(struct kvm_accel *cpu)
{
    const struct cpu_state *state = &cpu->state;
    uint8_t bytes[3];
    if (!(state->cr0 & 1) || (state->cr0 & 1u << 31) || (state->efer & 0x100))
        return false;
    cpu->helper->ops->set_state(cpu->helper, state);
    fetch_code(cpu, bytes, sizeof bytes);
    return bytes[0] == 0x0F && bytes[1] == 0x22 && (bytes[2] & 0xF8) == 0xC0 && /* MOV CR0, r32 */
           (state->gpr[bytes[2] & 7] & 1u << 31);
}

/* Up to three bytes of opcode: 0F maps have two or three. */
static uint32_t opcode_at(struct kvm_accel *cpu)
{
    uint8_t bytes[16];
    bool code64 = cpu_state_code64(&cpu->state);
    unsigned at = 0;
    fetch_code(cpu, bytes, sizeof bytes);
    while (at < 12 && is_prefix(bytes[at], code64))
        at++;
    if (bytes[at] != 0x0F)
        return (uint32_t)bytes[at] << 16;
    if (bytes[at + 1] == 0x38 || bytes[at + 1] == 0x3A)
        return (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8 | bytes[at + 2];
    return (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8;
}

static void count_opcode(struct kvm_accel *cpu, uint32_t opcode)
{
    struct kvm_accel_statistics *statistics = &cpu->statistics;
    statistics->helped++;
    for (unsigned n = 0; n < statistics->opcodes; n++) {
        if (statistics->by_opcode[n].opcode == opcode) {
            statistics->by_opcode[n].count++;
            return;
        }
    }
    if (statistics->opcodes < KVM_HELPED_MAX) {
        statistics->by_opcode[statistics->opcodes].opcode = opcode;
        statistics->by_opcode[statistics->opcodes++].count = 1;
    }
}

/* x87, MMX, SSE, AVX: what comes in crowds. */
static bool is_vector(uint32_t opcode)
{
    unsigned first = opcode >> 16, second = opcode >> 8 & 0xFF;
    if (first != 0x0F)
        return (first >= 0xD8 && first <= 0xDF) || first == 0x9B || first == 0xC4 || first == 0xC5;
    return (second >= 0x10 && second <= 0x17) || (second >= 0x28 && second <= 0x2F) || second == 0x38 || second == 0x3A ||
           (second >= 0x50 && second <= 0x7F) || (second >= 0xC2 && second <= 0xC6) || second >= 0xD0;
}

/* What any program may do that leaves no more behind than registers, flags and memory: moves, arithmetic, near jumps. */
static bool is_plain(uint32_t opcode)
{
    unsigned first = opcode >> 16, second = opcode >> 8 & 0xFF;
    if (first == 0x0F)
        return (second >= 0x40 && second <= 0x4F) || (second >= 0x80 && second <= 0x9F) || (second >= 0xA3 && second <= 0xA5) ||
               second == 0xAF || (second >= 0xB6 && second <= 0xBF) || second == 0x1F;
    return (first < 0x40 && (first & 7) < 6) || (first >= 0x50 && first <= 0x5F) || (first >= 0x70 && first <= 0x8B) ||
           first == 0x8D || first == 0x90 || first == 0xA8 || first == 0xA9 || (first >= 0xB0 && first <= 0xC1) ||
           first == 0xC6 || first == 0xC7 || (first >= 0xD0 && first <= 0xD3) || first == 0xE9 || first == 0xEB ||
           first == 0xF6 || first == 0xF7;
}

static bool has_failed(const struct kvm_accel *cpu, uint32_t opcode)
{
    for (unsigned n = 0; n < cpu->statistics.opcodes; n++) {
        if (cpu->statistics.by_opcode[n].opcode == opcode)
            return is_vector(opcode);
    }
    return false;
}

static void step(struct kvm_accel *cpu)
{
    cpu->helping = true;
    cpu->helper->ops->step(cpu->helper);
    cpu->helping = false;
    cpu->helper->ops->get_state(cpu->helper, &cpu->state);
}

void kvm_help_one(struct kvm_accel *cpu)
{
    kvm_state_fetch(cpu);
    cpu->helper->ops->set_state(cpu->helper, &cpu->state);
    step(cpu);
    cpu->halted = cpu->state.halted;
    cpu->state_changed = cpu->state_valid = true;
}

/* What fails comes in crowds in 64-bit code (a hash by SSE), and to fetch the state and give it back costs more than fifty instructions of the
 * helper: it goes on while there is one that is known to fail not far behind the last. How far depends on the code alone, so the
 * same run does it again. An exit ends it: the run loop may have something to do there; so does a landmark's RIP, which another
 * accelerator may have set in its midst. */
void kvm_help(struct kvm_accel *cpu)
{
    struct machine *machine = cpu->accel.machine;
    uint64_t exits = machine_position(machine).icount;
    unsigned since = 0;
    kvm_state_fetch(cpu);
    cpu->helper->ops->set_state(cpu->helper, &cpu->state);
    uint32_t opcode = opcode_at(cpu);
    count_opcode(cpu, opcode);
    bool crowd = is_vector(opcode) && cpu_state_code64(&cpu->state) && !cpu->stepping;
    step(cpu);
    for (unsigned n = 0; crowd && n < CROWD_MAX && since < CROWD_GAP; n++) {
        if (machine_position(machine).icount != exits || machine_request_pending(machine))
            break;
        if (machine_landmark(machine) && machine_landmark(machine)->rip == landmark_rip(&cpu->state))
            break;
        opcode = opcode_at(cpu);
        bool fails = has_failed(cpu, opcode);
        if (!fails && !is_plain(opcode))
            break;
        if (fails)
            count_opcode(cpu, opcode);
        since = fails ? 0 : since + 1;
        step(cpu);
    }
    cpu->halted = cpu->state.halted;
    cpu->state_changed = cpu->state_valid = true;
}

/* Of the helper's state what no structure of KVM's holds. */
static void keep_own(struct cpu_state *state, const struct cpu_state *from)
{
    state->pat = from->pat;
    state->misc_enable = from->misc_enable;
    state->spec_ctrl = from->spec_ctrl;
    state->mtrr_def_type = from->mtrr_def_type;
    memcpy(state->mtrr_fixed, from->mtrr_fixed, sizeof state->mtrr_fixed);
    memcpy(state->mtrr_variable, from->mtrr_variable, sizeof state->mtrr_variable);
    state->mcg_status = from->mcg_status;
    state->bios_sign_id = from->bios_sign_id;
    state->tsc_offset = from->tsc_offset;
    state->tsc_adjust = from->tsc_adjust;
    state->tsc_aux = from->tsc_aux;
    state->debug_control = from->debug_control;
    state->xss = from->xss;
}

/* The access is completed by the next KVM_RUN; but for what no structure holds cpu->state may be an old one. */
void kvm_msr_exit(struct kvm_accel *cpu, bool write)
{
    struct accel *helper = cpu->helper;
    struct cpu_state after;
    uint64_t value = cpu->run->msr.data;
    if (write && cpu->run->msr.index == MSR_LSTAR) { /* comes out where SYSCALL is mended */
        kvm_repair_wrote_lstar(cpu, value);
        cpu->run->msr.error = 0;
        return;
    }
    helper->ops->set_state(helper, &cpu->state);
    bool done = helper->ops->msr(helper, write, cpu->run->msr.index, &value);
    helper->ops->get_state(helper, &after);
    keep_own(&cpu->state, &after);
    cpu->run->msr.error = !done;
    cpu->run->msr.data = value;
}
