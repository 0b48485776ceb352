/* Position: an instant of a guest run (the words of shared/DESIGN.md).
 *
 * Interpreter: icount, the number of instruction steps executed since the machine was made. A step is
 *   - an instruction that retires,
 *   - an instruction that ends in a fault or trap delivered to the guest (it counts once, before the handler's first
 *     instruction, so that a guest that does nothing but fault still makes progress), or
 *   - one slice of a repeated string instruction: at most REP_SLICE_ITERATIONS iterations. RIP stays at the
 *     instruction until its last slice. Where a slice ends depends on the count register alone, never on the host; with
 *     RFLAGS.TF set a slice is one iteration, and one that hits a data breakpoint ends there.
 * Delivery of an external interrupt is not a step.
 *
 * A machine may count exits instead (struct machine_options): icount then is the number of exits since the machine was made.
 * An exit is
 *   - one port or MMIO access of the CPU, complete or not (an instruction may make several),
 *   - HLT (or MWAIT), when the CPU halts, or
 *   - a landmark: a stop between two of the others, named by what the CPU and memory hold there (core/landmark.h).
 * The run loop acts only right after the instruction that made an exit, and virtual time is the clock sample taken last.
 * So runs of accelerators that can't count instructions have positions too, and those of all accelerators are the same.
 *
 * A position is the instant *before* the step with that number: at position 0 nothing has run. What a step does at the
 * machine's edge carries the position of the step. The virtual time orders what happens while the CPU is halted, when
 * icount stands still: virtual time = icount * 1 ns + all time skipped in HLT (core/vtime.h). */
#ifndef VMRR_CORE_POSITION_H
#define VMRR_CORE_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#define REP_SLICE_ITERATIONS 4096u
#define POSITION_NEVER UINT64_MAX

struct position {
    uint64_t icount;
    uint64_t vtime_ns;
};

static inline bool position_equal(struct position a, struct position b)
{
    return a.icount == b.icount && a.vtime_ns == b.vtime_ns;
}

static inline bool position_reached(struct position now, struct position goal)
{
    return now.icount > goal.icount || (now.icount == goal.icount && now.vtime_ns >= goal.vtime_ns);
}

#endif
