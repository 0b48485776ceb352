/* Landmarks: an instant between two exits, named by what the CPU and memory hold there (shared/DESIGN.md, Words). Two instants
 * of a run with the same registers and memory go on alike, so the first that matches serves.
 * Also what CPU state accelerators can be compared by: canonical, without what one of them can't know or may choose.
 * Thread: machine thread. */
#ifndef VMRR_CORE_LANDMARK_H
#define VMRR_CORE_LANDMARK_H

#include "core/cpu_state.h"

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* Brings state into the form in which accelerators must agree:
 *   - RF, and what belongs to single instructions (shadows, held back debug traps), cleared;
 *   - segments: accessed bit set, limit and attributes of what is unusable cleared, those that 64-bit code ignores too (a null
 *     stack segment is unusable for some, and a segment like others for others);
 *   - x87: FOP, FIP, FDP, their selectors, and the registers' content where a tag says empty, cleared;
 *   - monitor, microcode revision, machine check and speculation registers, the TSC's offset: cleared. */
void cpu_state_canonical(struct cpu_state *state);
uint64_t cpu_state_canonical_hash(const struct cpu_state *state);

struct landmark {
    uint64_t rip;       /* linear */
    uint32_t registers; /* of the general registers alone: who meets RIP often looks at these first */
    uint64_t all;       /* of cpu_state_canonical_hash and the memory digest */
};
/* Of this instant. The accelerator has given its state up to date. */
uint64_t landmark_rip(const struct cpu_state *state);
uint32_t landmark_registers(const uint64_t gpr[16]);
struct landmark landmark_take(struct machine *machine, const struct cpu_state *state);

#endif
