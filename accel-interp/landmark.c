/* Meeting landmarks: see landmark.h. */
#include "accel-interp/landmark.h"

#include "accel-interp/block.h"
#include "accel-interp/run_control.h"
#include "core/landmark.h"

static void set_point(struct interp *cpu, bool set, uint64_t linear)
{
    struct debug_point point = {.kind = DEBUG_EXECUTE, .flags = CONTROL_OWN, .address = linear};
    enum status status = (set ? run_control_insert : run_control_remove)(&cpu->accel, &point);
    CHECK(!status);
    cpu->landmark_set = set;
    cpu->landmark_linear = linear;
}

/* A look at RIP, then at the registers, then at memory. */
static bool is_here(struct interp *cpu, struct machine_landmark *landmark)
{
    struct cpu_state state;
    uint64_t gpr[16], linear = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? cpu->rip : block_linear(cpu, cpu->rip);

    cpu->each_iteration = linear == landmark->rip;
    if (linear != landmark->rip)
        return false;
    if (landmark->hits++ >= LANDMARK_HITS_MAX)
        machine_fail(cpu->accel.machine, MACHINE_STOP_DIVERGED);
    for (unsigned n = 0; n < 16; n++)
        gpr[n] = cpu->r[n].q;
    if (landmark_registers(gpr) != landmark->registers)
        return false;
    landmark->matches++;
    interp_state(cpu, &state);
    return landmark_take(cpu->accel.machine, &state).all == landmark->all;
}

bool landmark_met(struct interp *cpu)
{
    struct machine_landmark *landmark = machine_landmark(cpu->accel.machine);
    bool met = landmark && is_here(cpu, landmark);

    if (cpu->landmark_set && (met || !landmark || cpu->landmark_linear != landmark->rip))
        set_point(cpu, false, cpu->landmark_linear);
    if (met) {
        cpu->each_iteration = false;
        machine_landmark_met(cpu->accel.machine);
    } else if (landmark && !cpu->landmark_set) {
        set_point(cpu, true, landmark->rip);
    }
    return met;
}
