/* The instruction where two sides part, when only one of them makes single steps: by matching states.
 *
 * From the last exit at which both were alike the one that steps makes k instructions; the other is given its registers and memory, and
 * both run to the next exit. Where they are alike there, the other does all that comes behind k as the first does; where not, it
 * does something of it otherwise. So the smallest k with which they are alike is behind the instruction, and k is found by halves,
 * each with both machines made anew. What the other has right behind the instruction stays unknown.
 *
 * Not for intervals that begin with an interrupt: its device would have to be brought along. */
#include "tools/lockstep/internal.h"

#include "core/debug.h"

#include <stdio.h>
#include <string.h>

struct search {
    struct lockstep *lockstep;
    struct lockstep_difference *difference;
    unsigned stepper;
    struct lockstep_stepping stepping;
};

static bool failed(struct search *search, const char *why)
{
    snprintf(search->difference->why, sizeof search->difference->why, "%s", why);
    return false;
}

/* Who steps makes so many instructions from the exit at which both were alike, or all: *made. */
static bool step_to(struct search *search, uint64_t steps, uint64_t *made)
{
    struct lockstep_side *side = &search->lockstep->side[search->stepper];
    if (!lockstep_follow_to(search->lockstep, search->difference->equal_exits))
        return false;
    search->stepping = (struct lockstep_stepping){.lockstep = search->lockstep, .difference = search->difference};
    for (*made = 0; *made < steps && !search->stepping.arrived[search->stepper]; ++*made) {
        lockstep_look_at_cpu(side);
        search->stepping.before = side->cpu;
        lockstep_fetch_insn(side->machine, &search->stepping.insn);
        lockstep_step_side(&search->stepping, search->stepper);
    }
    for (size_t n = 0; n < side->events.count; n++) {
        if (side->events.event[(side->events.first + n) % side->events.capacity].kind == TRACE_IRQ)
            return failed(
                search,
                "one of the accelerators makes no single steps here, and the interval begins with an interrupt");
    }
    return true;
}

static void copy_memory(struct machine *from, struct machine *to)
{
    struct memory_block *block = memory_block_first(machine_memory(from)),
                        *other = memory_block_first(machine_memory(to));
    for (; block && other;
         block = memory_block_next(machine_memory(from), block), other = memory_block_next(machine_memory(to), other)) {
        for (uint64_t at = 0; at < block->size_bytes && block->size_bytes == other->size_bytes;
             at += MEMORY_PAGE_BYTES) {
            if (memcmp(block->host + at, other->host + at, MEMORY_PAGE_BYTES))
                memory_write(machine_memory(to), lockstep_gpa_of(block, at), block->host + at, MEMORY_PAGE_BYTES);
        }
    }
}

static void copy_state(struct machine *from, struct machine *to)
{
    struct cpu_state state;
    machine_accel(from)->ops->get_state(machine_accel(from), &state);
    machine_accel(to)->ops->set_state(machine_accel(to), &state);
    copy_memory(from, to);
}

/* Are they alike at the next exit, when the other begins k instructions behind the one before? *last: k was all that there are. */
static bool alike_from(struct search *search, uint64_t steps, bool *alike, bool *last)
{
    struct lockstep *lockstep = search->lockstep;
    struct lockstep_difference scratch = *search->difference;
    struct lockstep_side *side = lockstep->side;
    uint64_t made;
    search->difference->searches++;
    if (!step_to(search, steps, &made))
        return false;
    *last = search->stepping.arrived[search->stepper];
    if (made < steps || *last) {
        *alike = true; /* nothing is left that the other could do otherwise */
        return true;
    }
    if (steps)
        copy_state(side[search->stepper].machine, side[1 - search->stepper].machine);
    enum lockstep_round round = lockstep_round_to(lockstep, search->difference->exits, &scratch);
    *alike = round == LOCKSTEP_ALIKE || round == LOCKSTEP_OVER;
    return true;
}

static bool find(struct search *search, uint64_t *found)
{
    uint64_t low = 0, high = 1; /* not alike from low, alike from high */
    bool alike = false, last = false;
    while (!alike) {
        if (high > search->lockstep->options->steps_max)
            return failed(search, "the interval has more instructions than are stepped through");
        if (!alike_from(search, high, &alike, &last))
            return false;
        low = alike ? low : high;
        high = alike ? high : 2 * high;
    }
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (!alike_from(search, middle, &alike, &last))
            return false;
        *(alike ? &high : &low) = middle;
    }
    *found = high;
    return true;
}

void lockstep_search(struct lockstep *lockstep, unsigned stepper)
{
    struct lockstep_difference *difference = &lockstep->result->difference;
    struct search search = {.lockstep = lockstep, .difference = difference, .stepper = stepper};
    uint64_t found, made;
    if (!find(&search, &found) || !step_to(&search, found, &made))
        return;
    lockstep_look_at_cpu(&lockstep->side[stepper]);
    difference->has_insn = difference->matched = true;
    difference->steps = found - 1;
    difference->insn = search.stepping.insn;
    difference->before = search.stepping.before;
    difference->after[0] = difference->after[1] = lockstep->side[stepper].cpu;
    difference->step_registers.count = difference->step_memory.count = 0;
}
