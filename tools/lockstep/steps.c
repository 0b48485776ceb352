/* From the last exit at which both were alike to the instruction: both machines are made anew, follow the script to that exit, and
 * go on by single steps (core/debug.h), until registers, events, or the bytes of memory that differ at the end are not the same.
 *
 * A step of both is an instruction: a repeated string instruction is stepped until it is over, since who executes how many of its
 * iterations at once is the accelerator's affair. An interrupt that was taken belongs to the first instruction of its handler. */
#include "tools/lockstep/internal.h"

#include "core/debug.h"
#include "core/landmark.h"

#include <stdio.h>
#include <string.h>

#define REPEAT_STEPS_MAX 2000000u /* of one instruction */
#define MORE_STEPS 2u /* after which they may be together again: who stops behind a shadow, and who before */

static void no_insn(struct lockstep_difference *difference, const char *why)
{
    snprintf(difference->why, sizeof difference->why, "%s", why);
}

/* ---- one instruction of one side ---- */

static bool is_prefix(uint8_t byte, unsigned bits)
{
    static const uint8_t prefixes[] = {0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3};
    return memchr(prefixes, byte, sizeof prefixes) || (bits == 64 && (byte & 0xF0) == 0x40);
}

bool lockstep_is_repeated(const struct lockstep_insn *insn)
{
    bool repeated = false;
    unsigned n = 0;
    for (; n < insn->size && is_prefix(insn->code[n], insn->bits); n++)
        repeated |= insn->code[n] == 0xF2 || insn->code[n] == 0xF3;
    uint8_t opcode = n < insn->size ? insn->code[n] : 0;
    return repeated && ((opcode >= 0x6C && opcode <= 0x6F) || (opcode >= 0xA4 && opcode <= 0xA7) ||
                        (opcode >= 0xAA && opcode <= 0xAF));
}

void lockstep_fetch_insn(struct machine *machine, struct lockstep_insn *insn)
{
    insn->linear = debug_code_address(machine, &insn->bits);
    insn->size = (unsigned)debug_read_linear(machine, insn->linear, insn->code, sizeof insn->code);
}

static uint64_t rip_of(struct machine *machine)
{
    struct cpu_state state;
    machine_accel(machine)->ops->get_state(machine_accel(machine), &state);
    return landmark_rip(&state);
}

void lockstep_step_side(struct lockstep_stepping *stepping, unsigned n)
{
    struct lockstep_side *side = &stepping->lockstep->side[n];
    struct position goal = {stepping->difference->exits, 0};
    bool repeated = lockstep_is_repeated(&stepping->insn);
    for (unsigned tries = 0; !stepping->arrived[n] && tries < REPEAT_STEPS_MAX; tries++) {
        debug_step(side->machine);
        lockstep_watch_run(stepping->lockstep->watch, side->machine);
        side->stop = machine_run(side->machine, goal);
        lockstep_watch_run(stepping->lockstep->watch, NULL);
        stepping->arrived[n] =
            side->stop != MACHINE_STOP_DEBUG || position_reached(machine_position(side->machine), goal);
        if (!repeated || rip_of(side->machine) != stepping->insn.linear)
            break;
    }
    debug_go_past(side->machine);
}

/* ---- both ---- */

static bool bytes_differ(struct lockstep_stepping *stepping)
{
    struct memory *memory[2] = {machine_memory(stepping->lockstep->side[0].machine),
                                machine_memory(stepping->lockstep->side[1].machine)};
    const struct lockstep_ranges *ranges = &stepping->difference->memory;
    for (unsigned n = 0; n < ranges->count && n < LOCKSTEP_RANGES_MAX; n++) {
        uint8_t bytes[2][LOCKSTEP_RANGE_BYTES];
        uint64_t size =
            ranges->range[n].size_bytes < LOCKSTEP_RANGE_BYTES ? ranges->range[n].size_bytes : LOCKSTEP_RANGE_BYTES;
        for (unsigned side = 0; side < 2; side++)
            memory_read(memory[side], ranges->range[n].gpa, bytes[side], size);
        if (memcmp(bytes[0], bytes[1], size))
            return true;
    }
    return false;
}

static bool cpus_differ(struct lockstep_stepping *stepping)
{
    struct lockstep_side *side = stepping->lockstep->side;
    for (unsigned n = 0; n < 2; n++)
        lockstep_look_at_cpu(&side[n]);
    return lockstep_compare_cpu(NULL, &side[0].cpu, &side[1].cpu, &stepping->fields) != 0;
}

static bool events_differ(struct lockstep_stepping *stepping)
{
    struct lockstep_difference seen = {.what = LOCKSTEP_EVENT};
    return lockstep_events_differ(stepping->lockstep, &seen);
}

static void keep(struct lockstep_stepping *stepping)
{
    struct lockstep_difference *difference = stepping->difference;
    struct lockstep_side *side = stepping->lockstep->side;
    difference->has_insn = true;
    difference->insn = stepping->insn;
    difference->before = stepping->before;
    for (unsigned n = 0; n < 2; n++)
        difference->after[n] = side[n].cpu;
    lockstep_compare_cpu(&stepping->before, &side[0].cpu, &side[1].cpu, &difference->step_registers);
    lockstep_compare_memory(side[0].machine, side[1].machine, &difference->step_memory);
}

/* They differ, which is kept. One of them may only be a step behind: then that was nothing. */
static bool together_again(struct lockstep_stepping *stepping)
{
    static const unsigned orders[2] = {0, 1};
    if (bytes_differ(stepping))
        return false;
    for (unsigned n = 0; n < MORE_STEPS; n++) {
        lockstep_fetch_insn(stepping->lockstep->side[orders[n]].machine, &stepping->insn);
        lockstep_step_side(stepping, orders[n]);
        if (!cpus_differ(stepping) && !events_differ(stepping))
            return true;
    }
    return false;
}

static bool can_step(struct lockstep *lockstep, unsigned n)
{
    const struct lockstep_options *options = lockstep->options;
    struct accel *accel = machine_accel(lockstep->side[n].machine);
    return accel->ops->debug_step && (!options->can_step || options->can_step(options->opaque, n));
}

/* One instruction of both. True: go on. */
static bool step_both(struct lockstep_stepping *stepping)
{
    struct lockstep_side *side = stepping->lockstep->side;
    struct lockstep_difference *difference = stepping->difference;
    stepping->before = side[0].cpu;
    lockstep_fetch_insn(side[0].machine, &stepping->insn);
    for (unsigned n = 0; n < 2; n++)
        lockstep_step_side(stepping, n);
    bool differ = cpus_differ(stepping);
    if (differ || events_differ(stepping) || bytes_differ(stepping)) {
        keep(stepping);
        if (!together_again(stepping))
            return false;
        difference->has_insn = false;
    }
    difference->steps++;
    if (stepping->arrived[0] && stepping->arrived[1]) {
        no_insn(difference, "stepped through the interval they did not differ");
        return false;
    }
    return true;
}

/* False: not both can, and which (2: neither). */
static bool step_through(struct lockstep *lockstep, unsigned *stepper)
{
    struct lockstep_difference *difference = &lockstep->result->difference;
    struct lockstep_stepping stepping = {.lockstep = lockstep, .difference = difference};
    for (unsigned n = 0; n < 2; n++)
        lockstep_look_at_cpu(&lockstep->side[n]);
    do {
        if (difference->steps == lockstep->options->steps_max) {
            no_insn(difference, "the interval has more instructions than are stepped through");
            return true;
        }
        bool can[2] = {can_step(lockstep, 0), can_step(lockstep, 1)};
        if (!can[0] || !can[1]) {
            no_insn(difference, "one of the accelerators makes no single steps here");
            *stepper = can[0] ? 0 : can[1] ? 1 : 2;
            return false;
        }
    } while (step_both(&stepping));
    return true;
}

/* ---- the passes ---- */

/* Both follow the script to the exit at which they were alike. */
bool lockstep_follow_to(struct lockstep *lockstep, uint64_t exits)
{
    struct lockstep_difference *seen = &lockstep->result->difference, scratch = *seen;
    struct error error = {{0}};
    lockstep_unmake(lockstep);
    if (!lockstep_make(lockstep, false, &error)) {
        no_insn(seen, error.text);
        return false;
    }
    while (lockstep_exits(lockstep, lockstep->options->leader) < exits) {
        if (lockstep_round(lockstep, false, &scratch) == LOCKSTEP_ALIKE)
            continue;
        no_insn(seen, "made anew they part at another place: one of them does not do the same twice");
        return false;
    }
    return true;
}

/* Devices and memory were looked at some exits apart. Leaves the machines anywhere. */
static bool find_exit(struct lockstep *lockstep)
{
    struct lockstep_difference *difference = &lockstep->result->difference;
    enum lockstep_round round = LOCKSTEP_ALIKE;
    uint64_t end = difference->exits, equal = difference->equal_exits;
    if (!lockstep_follow_to(lockstep, equal))
        return false;
    while (round == LOCKSTEP_ALIKE && equal < end) {
        difference->equal_exits = equal;
        round = lockstep_round(lockstep, true, difference);
        equal = lockstep_exits(lockstep, lockstep->options->leader);
    }
    if (round == LOCKSTEP_PARTED)
        return true;
    no_insn(difference, "made anew they do not differ: one of them does not do the same twice");
    return false;
}

void lockstep_find_insn(struct lockstep *lockstep)
{
    struct lockstep_difference *difference = &lockstep->result->difference;
    uint64_t events = lockstep->result->events, looks = lockstep->result->register_looks,
             digests = lockstep->result->digest_looks;
    bool coarse = difference->what == LOCKSTEP_MEMORY || difference->what == LOCKSTEP_DEVICES;
    if ((!coarse || difference->exits - difference->equal_exits <= 1 || find_exit(lockstep)) &&
        lockstep_follow_to(lockstep, difference->equal_exits)) {
        unsigned stepper = 2;
        difference->reproduced = true;
        if (!step_through(lockstep, &stepper) && stepper < 2)
            lockstep_search(lockstep, stepper);
    }
    lockstep->result->events = events; /* of the first pass */
    lockstep->result->register_looks = looks;
    lockstep->result->digest_looks = digests;
}
