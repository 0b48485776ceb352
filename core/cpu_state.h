/* struct cpu_state: the architectural state of the one CPU, from core/cpu_state.def. An accelerator keeps it in whatever
 * form it likes and gives and takes it in this one. */
#ifndef VMRR_CORE_CPU_STATE_H
#define VMRR_CORE_CPU_STATE_H

#include "core/cpu_state.def"
#include "core/state.h"

enum cpu_gpr { CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSP, CPU_RBP, CPU_RSI, CPU_RDI };
enum cpu_segment_index { CPU_ES, CPU_CS, CPU_SS, CPU_DS, CPU_FS, CPU_GS, CPU_LDTR, CPU_TR };

#define CPU_SEGMENT_UNUSABLE 0x0100u

struct cpu_segment {
    STATE_MEMBERS(CPU_SEGMENT_STATE)
};
struct cpu_x87_register {
    STATE_MEMBERS(CPU_X87_REGISTER_STATE)
};
struct cpu_vector {
    STATE_MEMBERS(CPU_VECTOR_STATE)
};
struct cpu_state {
    STATE_MEMBERS(CPU_STATE)
};

/* 64-bit code: RIP is a linear address, and most of what segments say is not looked at. */
static inline bool cpu_state_code64(const struct cpu_state *state)
{
    return (state->efer & 0x400) && (state->segment[CPU_CS].attributes & 0x2000); /* EFER.LMA, CS.L */
}

extern const struct state_field *const cpu_state_fields; /* defined in core/cpu_state.c */

/* Power-on state (Intel SDM vol. 3, 9.1.1). */
void cpu_state_reset(struct cpu_state *state);

#endif
