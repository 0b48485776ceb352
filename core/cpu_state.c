/* The field table of the architectural CPU state, and its power-on values (Intel SDM vol. 3, table 9-1). */
#include "core/cpu_state.h"

#include <string.h>

STATE_TABLE(cpu_segment_fields, struct cpu_segment, CPU_SEGMENT_STATE);
STATE_TABLE(cpu_x87_register_fields, struct cpu_x87_register, CPU_X87_REGISTER_STATE);
STATE_TABLE(cpu_vector_fields, struct cpu_vector, CPU_VECTOR_STATE);
STATE_TABLE(cpu_fields, struct cpu_state, CPU_STATE);

const struct state_field *const cpu_state_fields = cpu_fields;

void cpu_state_reset(struct cpu_state *state)
{
    memset(state, 0, sizeof *state);
    state->gpr[CPU_RDX] = 0x000106CA; /* as CPUID leaf 1 says */
    state->rip = 0xFFF0;
    state->rflags = 0x2;
    for (int index = 0; index < 8; index++)
        state->segment[index] = (struct cpu_segment){.attributes = 0x93, .limit = 0xFFFF};
    state->segment[CPU_CS] =
        (struct cpu_segment){.selector = 0xF000, .attributes = 0x9B, .limit = 0xFFFF, .base = 0xFFFF0000};
    state->segment[CPU_LDTR].attributes = 0x82;
    state->segment[CPU_TR].attributes = 0x8B;
    state->gdtr_limit = 0xFFFF;
    state->idtr_limit = 0xFFFF;
    state->cr0 = 0x60000010;
    state->xcr0 = 1;
    state->dr[6] = 0xFFFF0FF0;
    state->dr[7] = 0x400;
    state->pat = 0x0007040600070406ull;
    state->misc_enable = 0x1;
    state->fcw = 0x0040;
    state->mxcsr = 0x1F80;
    for (int index = 0; index < 8; index++)
        state->fpr[index] = (struct cpu_x87_register){0, 0};
    state->ftw = 0xFF; /* tags say zero, not empty, until FNINIT */
}
