/* The vCPU's state, from KVM's structures and back (Documentation/virt/kvm/api.rst; Intel SDM vol. 1, 10.5.1 and 13.4 for the
 * XSAVE image).
 *
 * General and segment registers come with each exit and go with each entry (KVM_CAP_SYNC_REGS) where KVM has that. Of the rest
 * only what has changed since it was fetched is given back: a call of the vCPU's costs as much as an exit. What KVM has no
 * place for, or is served by the helper (MTRRs, PAT, IA32_MISC_ENABLE, ...), lives in cpu->state alone.
 * Not modelled: the upper halves of ZMM, MPX, AMX. */
#include "accel-kvm/kvm.h"

#include "core/landmark.h"

#include <string.h>
#include <sys/ioctl.h>

#define XSAVE_STATE_BV 512
#define XSAVE_YMM 576
#define FX_MXCSR 24
#define FX_ST 32
#define FX_XMM 160
#define MXCSR_RESET 0x1F80u
#define FCW_RESET 0x37Fu
#define RFLAGS_RF 0x10000u

static const uint32_t msr_index[] = {0xC0000081, 0xC0000082, 0xC0000083, 0xC0000084, 0xC0000102, 0x174, 0x175, 0x176};
#define MSR_COUNT (sizeof msr_index / sizeof *msr_index)

struct msr_list {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[MSR_COUNT];
};

static uint64_t *msr_field(struct cpu_state *state, unsigned n)
{
    uint64_t *const fields[MSR_COUNT] = {&state->star,           &state->lstar,       &state->cstar,       &state->sfmask,
                                         &state->kernel_gs_base, &state->sysenter_cs, &state->sysenter_esp, &state->sysenter_eip};
    return fields[n];
}

static void must(struct kvm_accel *cpu, int result, const char *what)
{
    if (result < 0)
        (void)kvm_trouble(cpu, what);
}

/* ---- general registers and segments ---- */

static const struct {
    size_t offset;
} gpr_place[16] = {
    {offsetof(struct kvm_regs, rax)}, {offsetof(struct kvm_regs, rcx)}, {offsetof(struct kvm_regs, rdx)},
    {offsetof(struct kvm_regs, rbx)}, {offsetof(struct kvm_regs, rsp)}, {offsetof(struct kvm_regs, rbp)},
    {offsetof(struct kvm_regs, rsi)}, {offsetof(struct kvm_regs, rdi)}, {offsetof(struct kvm_regs, r8)},
    {offsetof(struct kvm_regs, r9)},  {offsetof(struct kvm_regs, r10)}, {offsetof(struct kvm_regs, r11)},
    {offsetof(struct kvm_regs, r12)}, {offsetof(struct kvm_regs, r13)}, {offsetof(struct kvm_regs, r14)},
    {offsetof(struct kvm_regs, r15)},
};

static __u64 *gpr_of(struct kvm_regs *regs, unsigned n)
{
    return (__u64 *)(void *)((char *)regs + gpr_place[n].offset);
}

static struct cpu_segment segment_from(const struct kvm_segment *kvm)
{
    unsigned attributes = kvm->type | kvm->s << 4 | kvm->dpl << 5 | kvm->present << 7 | kvm->avl << 12 | kvm->l << 13 |
                          kvm->db << 14 | kvm->g << 15;
    return (struct cpu_segment){.selector = kvm->selector,
                                .attributes = (uint16_t)(attributes | (kvm->unusable ? CPU_SEGMENT_UNUSABLE : 0)),
                                .limit = kvm->limit,
                                .base = kvm->base};
}

static struct kvm_segment segment_to(const struct cpu_segment *segment)
{
    unsigned a = segment->attributes;
    return (struct kvm_segment){.selector = segment->selector,
                                .limit = segment->limit,
                                .base = segment->base,
                                .type = a & 15,
                                .s = a >> 4 & 1,
                                .dpl = a >> 5 & 3,
                                .present = a >> 7 & 1,
                                .avl = a >> 12 & 1,
                                .l = a >> 13 & 1,
                                .db = a >> 14 & 1,
                                .g = a >> 15 & 1,
                                .unusable = (a & CPU_SEGMENT_UNUSABLE) || !(a & 0x80)};
}

static void take_regs(struct cpu_state *state, struct kvm_regs *regs)
{
    for (unsigned n = 0; n < 16; n++)
        state->gpr[n] = *gpr_of(regs, n);
    state->rip = regs->rip;
    state->rflags = regs->rflags;
}

static void give_regs(const struct cpu_state *state, struct kvm_regs *regs)
{
    for (unsigned n = 0; n < 16; n++)
        *gpr_of(regs, n) = state->gpr[n];
    regs->rip = state->rip;
    regs->rflags = state->rflags;
}

static struct kvm_segment *kvm_segment_of(struct kvm_sregs *sregs, unsigned n)
{
    struct kvm_segment *const place[8] = {&sregs->es, &sregs->cs, &sregs->ss, &sregs->ds,
                                          &sregs->fs, &sregs->gs, &sregs->ldt, &sregs->tr};
    return place[n];
}

static void take_sregs(struct cpu_state *state, struct kvm_sregs *sregs)
{
    for (unsigned n = 0; n < 8; n++)
        state->segment[n] = segment_from(kvm_segment_of(sregs, n));
    state->gdtr_base = sregs->gdt.base;
    state->gdtr_limit = sregs->gdt.limit;
    state->idtr_base = sregs->idt.base;
    state->idtr_limit = sregs->idt.limit;
    state->cr0 = sregs->cr0;
    state->cr2 = sregs->cr2;
    state->cr3 = sregs->cr3;
    state->cr4 = sregs->cr4;
    state->efer = sregs->efer;
}

static void give_sregs(struct kvm_accel *cpu, struct kvm_sregs *sregs)
{
    const struct cpu_state *state = &cpu->state;
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    uint64_t apic_base = 0;
    memset(sregs, 0, sizeof *sregs);
    for (unsigned n = 0; n < 8; n++)
        *kvm_segment_of(sregs, n) = segment_to(&state->segment[n]);
    sregs->gdt = (struct kvm_dtable){.base = state->gdtr_base, .limit = state->gdtr_limit};
    sregs->idt = (struct kvm_dtable){.base = state->idtr_base, .limit = state->idtr_limit};
    sregs->cr0 = state->cr0;
    sregs->cr2 = state->cr2;
    sregs->cr3 = state->cr3;
    sregs->cr4 = state->cr4;
    sregs->efer = state->efer;
    sregs->cr8 = link.ops ? link.ops->read_cr8(link.opaque) : 0;
    if (link.ops && link.ops->read_msr(link.opaque, 0x1B, &apic_base))
        sregs->apic_base = apic_base & ~0xC00ull; /* neither xAPIC nor x2APIC of KVM's */
    sregs->apic_base |= apic_base & 0x800;
}

/* ---- x87, SSE, AVX ---- */

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}
static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static void put16(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, sizeof value);
}
static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static void x87_reset(struct cpu_state *state)
{
    state->fcw = FCW_RESET;
    state->fsw = state->fop = state->fcs = state->fds = 0;
    state->ftw = 0;
    state->fip = state->fdp = 0;
    memset(state->fpr, 0, sizeof state->fpr);
}

static void take_x87(struct cpu_state *state, const uint8_t *image)
{
    unsigned top;
    state->fcw = get16(image);
    state->fsw = get16(image + 2);
    state->ftw = image[4];
    state->fop = get16(image + 6);
    state->fip = get64(image + 8);
    state->fdp = get64(image + 16);
    state->fcs = state->fds = 0;
    top = state->fsw >> 11 & 7;
    for (unsigned n = 0; n < 8; n++)
        state->fpr[(top + n) & 7] = (struct cpu_x87_register){.significand = get64(image + FX_ST + 16 * n),
                                                              .sign_exponent = get16(image + FX_ST + 16 * n + 8)};
}

static void give_x87(const struct cpu_state *state, uint8_t *image)
{
    unsigned top = state->fsw >> 11 & 7;
    put16(image, state->fcw);
    put16(image + 2, state->fsw);
    image[4] = state->ftw;
    put16(image + 6, state->fop);
    put64(image + 8, state->fip);
    put64(image + 16, state->fdp);
    for (unsigned n = 0; n < 8; n++) {
        put64(image + FX_ST + 16 * n, state->fpr[(top + n) & 7].significand);
        put16(image + FX_ST + 16 * n + 8, state->fpr[(top + n) & 7].sign_exponent);
    }
}

static void take_xsave(struct cpu_state *state, const uint8_t *image)
{
    uint64_t present = get64(image + XSAVE_STATE_BV);
    if (present & 1)
        take_x87(state, image);
    else
        x87_reset(state);
    memcpy(&state->mxcsr, image + FX_MXCSR, sizeof state->mxcsr);
    for (unsigned n = 0; n < 16; n++) {
        memset(state->vector[n].q, 0, sizeof state->vector[n].q);
        if (present & 2)
            memcpy(state->vector[n].q, image + FX_XMM + 16 * n, 16);
        if (present & 4)
            memcpy(state->vector[n].q + 2, image + XSAVE_YMM + 16 * n, 16);
    }
    if (!(present & 6) && !state->mxcsr)
        state->mxcsr = MXCSR_RESET;
}

static void give_xsave(const struct cpu_state *state, uint8_t *image)
{
    give_x87(state, image);
    memcpy(image + FX_MXCSR, &state->mxcsr, sizeof state->mxcsr);
    put64(image + XSAVE_STATE_BV, state->xcr0 & 4 ? 7 : 3);
    for (unsigned n = 0; n < 16; n++) {
        memcpy(image + FX_XMM + 16 * n, state->vector[n].q, 16);
        if (state->xcr0 & 4)
            memcpy(image + XSAVE_YMM + 16 * n, state->vector[n].q + 2, 16);
    }
}

/* ---- general and segment registers, in the page or by calls ---- */

#define SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)

void kvm_state_setup(struct kvm_accel *cpu)
{
    int fields = ioctl(cpu->vm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    cpu->synced = fields > 0 && (fields & SYNCED) == SYNCED;
    if (cpu->synced)
        cpu->run->kvm_valid_regs = SYNCED;
}

static struct kvm_regs *regs_now(struct kvm_accel *cpu, struct kvm_regs *own)
{
    if (cpu->synced)
        return &cpu->run->s.regs.regs;
    must(cpu, ioctl(cpu->vcpu, KVM_GET_REGS, own), "KVM_GET_REGS");
    return own;
}

static struct kvm_sregs *sregs_now(struct kvm_accel *cpu, struct kvm_sregs *own)
{
    if (cpu->synced)
        return &cpu->run->s.regs.sregs;
    must(cpu, ioctl(cpu->vcpu, KVM_GET_SREGS, own), "KVM_GET_SREGS");
    return own;
}

uint64_t kvm_rflags(struct kvm_accel *cpu)
{
    struct kvm_regs own = {0};
    return cpu->state_valid ? cpu->state.rflags : regs_now(cpu, &own)->rflags;
}

uint64_t kvm_rip(struct kvm_accel *cpu)
{
    struct kvm_regs own = {0};
    return cpu->state_valid ? cpu->state.rip : regs_now(cpu, &own)->rip;
}

void kvm_peek(struct kvm_accel *cpu, struct cpu_state *state)
{
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    *state = cpu->state;
    if (cpu->state_valid)
        return;
    take_regs(state, regs_now(cpu, &regs));
    take_sregs(state, sregs_now(cpu, &sregs));
}

uint64_t kvm_rsp(struct kvm_accel *cpu)
{
    struct kvm_regs own = {0};
    return cpu->state_valid ? cpu->state.gpr[CPU_RSP] : regs_now(cpu, &own)->rsp;
}

uint64_t kvm_idt_base(struct kvm_accel *cpu)
{
    struct kvm_sregs own = {0};
    return cpu->state_valid ? cpu->state.idtr_base : sregs_now(cpu, &own)->idt.base;
}

unsigned kvm_cpl(struct kvm_accel *cpu)
{
    struct kvm_sregs own = {0};
    return (cpu->state_valid ? cpu->state.segment[CPU_SS].attributes >> 5 : sregs_now(cpu, &own)->ss.dpl) & 3u;
}

void kvm_set_edx(struct kvm_accel *cpu, uint32_t value)
{
    struct kvm_regs own = {0}, *regs = &own;
    if (cpu->state_valid) {
        cpu->state.gpr[CPU_RDX] = value;
        cpu->state_changed = true;
        return;
    }
    regs = regs_now(cpu, &own);
    regs->rdx = value;
    if (cpu->synced)
        cpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
    else
        must(cpu, ioctl(cpu->vcpu, KVM_SET_REGS, regs), "KVM_SET_REGS");
}

bool kvm_elsewhere(struct kvm_accel *cpu, uint64_t linear, uint32_t registers)
{
    struct kvm_regs own = {0}, *regs = regs_now(cpu, &own);
    if (regs->rflags & RFLAGS_RF)
        return false;
    if (regs->rip != linear) {
        struct kvm_sregs segments = {0};
        return (uint32_t)(sregs_now(cpu, &segments)->cs.base + regs->rip) != linear;
    }
    uint64_t gpr[16];
    for (unsigned n = 0; n < 16; n++)
        gpr[n] = *gpr_of(regs, n);
    return landmark_registers(gpr) != registers;
}

static void give_registers(struct kvm_accel *cpu)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    give_regs(&cpu->state, &regs);
    give_sregs(cpu, &sregs);
    if (cpu->synced) {
        cpu->run->s.regs.regs = regs;
        cpu->run->s.regs.sregs = sregs;
        cpu->run->kvm_dirty_regs = SYNCED;
        return;
    }
    must(cpu, ioctl(cpu->vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
    must(cpu, ioctl(cpu->vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

/* ---- all of it ---- */

static void take_vectors(struct kvm_accel *cpu)
{
    struct kvm_xsave xsave;
    must(cpu, ioctl(cpu->vcpu, KVM_GET_XSAVE, &xsave), "KVM_GET_XSAVE");
    take_xsave(&cpu->state, (const uint8_t *)xsave.region);
}

static void take_system(struct kvm_accel *cpu)
{
    struct cpu_state *state = &cpu->state;
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debug;
    struct kvm_vcpu_events events;
    struct msr_list msrs = {.head = {.nmsrs = MSR_COUNT}};
    for (unsigned n = 0; n < MSR_COUNT; n++)
        msrs.entry[n].index = msr_index[n];
    must(cpu, ioctl(cpu->vcpu, KVM_GET_XCRS, &xcrs), "KVM_GET_XCRS");
    must(cpu, ioctl(cpu->vcpu, KVM_GET_DEBUGREGS, &debug), "KVM_GET_DEBUGREGS");
    must(cpu, ioctl(cpu->vcpu, KVM_GET_VCPU_EVENTS, &events), "KVM_GET_VCPU_EVENTS");
    must(cpu, ioctl(cpu->vcpu, KVM_GET_MSRS, &msrs.head), "KVM_GET_MSRS");
    for (unsigned n = 0; n < xcrs.nr_xcrs && n < 16; n++) {
        if (xcrs.xcrs[n].xcr == 0)
            state->xcr0 = xcrs.xcrs[n].value;
    }
    for (unsigned n = 0; n < 4; n++)
        state->dr[n] = debug.db[n];
    state->dr[6] = debug.dr6;
    state->dr[7] = debug.dr7;
    state->interrupt_shadow = events.interrupt.shadow != 0;
    state->nmi_blocked = events.nmi.masked != 0;
    for (unsigned n = 0; n < MSR_COUNT; n++)
        *msr_field(state, n) = msrs.entry[n].data;
}

static void take_rest(struct kvm_accel *cpu)
{
    take_vectors(cpu);
    if (!cpu->plain)
        take_system(cpu);
    cpu->state.halted = cpu->halted;
    cpu->held = cpu->state;
    cpu->held_valid = true;
}

void kvm_state_fetch(struct kvm_accel *cpu)
{
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};
    if (cpu->state_valid)
        return;
    CHECK(!cpu->must_complete);
    take_regs(&cpu->state, regs_now(cpu, &regs));
    take_sregs(&cpu->state, sregs_now(cpu, &sregs));
    take_rest(cpu);
    cpu->state_valid = true;
    kvm_finish_repeat(cpu);
}

static void give_xsave_state(struct kvm_accel *cpu)
{
    const struct cpu_state *state = &cpu->state, *held = &cpu->held;
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = state->xcr0}}};
    if (!cpu->held_valid || state->xcr0 != held->xcr0)
        must(cpu, ioctl(cpu->vcpu, KVM_SET_XCRS, &xcrs), "KVM_SET_XCRS");
    if (cpu->held_valid && state->xcr0 == held->xcr0 && state->fcw == held->fcw && state->fsw == held->fsw &&
        state->ftw == held->ftw && state->fop == held->fop && state->fip == held->fip && state->fdp == held->fdp &&
        state->mxcsr == held->mxcsr && !memcmp(state->fpr, held->fpr, sizeof state->fpr) &&
        !memcmp(state->vector, held->vector, sizeof state->vector))
        return;
    memset(&xsave, 0, sizeof xsave);
    give_xsave(state, (uint8_t *)xsave.region);
    must(cpu, ioctl(cpu->vcpu, KVM_SET_XSAVE, &xsave), "KVM_SET_XSAVE");
}

static void give_debug(struct kvm_accel *cpu)
{
    const struct cpu_state *state = &cpu->state;
    struct kvm_debugregs debug = {.dr6 = state->dr[6], .dr7 = state->dr[7]};
    if (cpu->held_valid && !memcmp(state->dr, cpu->held.dr, sizeof state->dr))
        return;
    for (unsigned n = 0; n < 4; n++)
        debug.db[n] = state->dr[n];
    must(cpu, ioctl(cpu->vcpu, KVM_SET_DEBUGREGS, &debug), "KVM_SET_DEBUGREGS");
}

/* Always: what KVM has begun and the guest not seen goes with the state that it belonged to. */
static void give_events(struct kvm_accel *cpu)
{
    const struct cpu_state *state = &cpu->state;
    struct kvm_vcpu_events events = {.flags = KVM_VCPUEVENT_VALID_SHADOW};
    events.nmi.masked = state->nmi_blocked;
    events.interrupt.shadow = state->interrupt_shadow || state->mov_ss_shadow ? KVM_X86_SHADOW_INT_STI : 0;
    must(cpu, ioctl(cpu->vcpu, KVM_SET_VCPU_EVENTS, &events), "KVM_SET_VCPU_EVENTS");
}

static void give_msrs(struct kvm_accel *cpu)
{
    struct msr_list msrs = {.head = {.nmsrs = MSR_COUNT}};
    bool changed = !cpu->held_valid;
    for (unsigned n = 0; n < MSR_COUNT; n++) {
        msrs.entry[n].index = msr_index[n];
        msrs.entry[n].data = *msr_field(&cpu->state, n);
        changed |= msrs.entry[n].data != *msr_field(&cpu->held, n);
    }
    if (changed)
        must(cpu, ioctl(cpu->vcpu, KVM_SET_MSRS, &msrs.head), "KVM_SET_MSRS");
}

void kvm_state_flush(struct kvm_accel *cpu)
{
    if (!cpu->state_changed)
        return;
    give_registers(cpu);
    give_xsave_state(cpu);
    give_debug(cpu);
    give_events(cpu);
    give_msrs(cpu);
    cpu->held = cpu->state;
    cpu->held_valid = true;
    cpu->state_changed = false;
}
