/* Landmarks and canonical CPU state: see landmark.h. */
#include "core/landmark.h"

#include "core/machine.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RFLAGS_RF 0x10000u
#define ATTRIBUTES_S 0x10u
#define ATTRIBUTES_PRESENT 0x80u
#define TYPE_ACCESSED 0x1u
#define TYPE_TSS_BUSY 0x2u

static void canonical_segment(const struct cpu_state *state, unsigned index, struct cpu_segment *segment)
{
    bool null_stack = index == CPU_SS && cpu_state_code64(state) && !(segment->selector & 0xFFFC); /* as good as any */
    bool unusable =
        null_stack || (segment->attributes & CPU_SEGMENT_UNUSABLE) || !(segment->attributes & ATTRIBUTES_PRESENT);
    bool base_counts = index >= CPU_FS || !cpu_state_code64(state);
    if (unusable) {
        segment->attributes = CPU_SEGMENT_UNUSABLE;
        segment->limit = 0;
        if (index == CPU_LDTR || index < CPU_FS)
            segment->base = 0;
        return;
    }
    if (segment->attributes & ATTRIBUTES_S)
        segment->attributes |= TYPE_ACCESSED;
    if (index == CPU_TR)
        segment->attributes |= TYPE_TSS_BUSY;
    if (index < CPU_LDTR && cpu_state_code64(state)) {
        segment->limit = 0;
        if (index != CPU_CS)
            segment->attributes &= ATTRIBUTES_S | ATTRIBUTES_PRESENT; /* the rest is not looked at */
        if (!base_counts)
            segment->base = 0;
    }
}

static void canonical_x87(struct cpu_state *state)
{
    state->fop = state->fcs = state->fds = 0;
    state->fip = state->fdp = 0;
    for (unsigned n = 0; n < 8; n++) {
        if (!(state->ftw & 1u << n))
            state->fpr[n] = (struct cpu_x87_register){0};
    }
}

void cpu_state_canonical(struct cpu_state *state)
{
    struct cpu_segment segment[8];
    memcpy(segment, state->segment, sizeof segment);
    for (unsigned n = 0; n < 8; n++)
        canonical_segment(state, n, &segment[n]);
    memcpy(state->segment, segment, sizeof segment);
    canonical_x87(state);
    state->rflags &= ~(uint64_t)RFLAGS_RF;
    state->interrupt_shadow = state->mov_ss_shadow = false;
    state->nmi_blocked = state->nmi_pending = false;
    state->pending_debug = 0;
    state->tsc_offset = state->tsc_adjust = 0;
    state->misc_enable = state->spec_ctrl = state->mcg_status = state->bios_sign_id = 0;
    state->monitor_armed = state->mwaiting = state->mwait_interrupts = false;
    state->monitor_gpa = 0;
    memset(state->pdpte, 0, sizeof state->pdpte);
}

uint64_t cpu_state_canonical_hash(const struct cpu_state *state)
{
    struct cpu_state copy = *state;
    struct state_gather *gather = state_gather_create();
    cpu_state_canonical(&copy);
    state_gather_add(gather, cpu_state_fields, &copy);
    uint64_t hash = state_gather_digest(gather, 0);
    state_gather_destroy(gather);
    return hash;
}

uint64_t landmark_rip(const struct cpu_state *state)
{
    return cpu_state_code64(state) ? state->rip : (uint32_t)(state->segment[CPU_CS].base + (uint32_t)state->rip);
}

uint32_t landmark_registers(const uint64_t gpr[16])
{
    uint8_t bytes[16 * 8];
    for (unsigned n = 0; n < sizeof bytes; n++)
        bytes[n] = (uint8_t)(gpr[n / 8] >> 8 * (n % 8));
    return (uint32_t)XXH3_64bits(bytes, sizeof bytes);
}

struct landmark landmark_take(struct machine *machine, const struct cpu_state *state)
{
    struct landmark landmark = {.rip = landmark_rip(state), .registers = landmark_registers(state->gpr)};
    uint64_t memory = memory_digest(machine_memory(machine));
    landmark.all = XXH3_64bits_withSeed(&memory, sizeof memory, cpu_state_canonical_hash(state));
    return landmark;
}
