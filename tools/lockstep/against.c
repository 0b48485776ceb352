/* A machine and a remote target in lockstep: see lockstep_run_remote.
 *
 * The target has devices of its own, so what the machine's devices gave is given to it too: the registers after IN, or after any
 * instruction that read MMIO, the bytes of INS, and memory that a port write made a device write. All else must come out the same. Not compared: what a remote target does not
 * tell (descriptor caches, MSRs, x87 registers), and memory where it can't be read by physical address. */
#include "tools/lockstep/internal.h"
#include "tools/lockstep/remote.h"

#include "core/debug.h"
#include "core/landmark.h"

#include <stdio.h>
#include <string.h>

#define REPEAT_STEPS_MAX 1000000u

struct against {
    const struct lockstep_options *options;
    struct lockstep_result *result;
    struct remote *remote;
    unsigned remote_side;
    struct lockstep_side machine;
    struct lockstep_watch *watch;
    struct lockstep_insn insn;
    struct lockstep_kind kind;
    struct cpu_state before, target; /* canonical */
    bool over, read_device;          /* in this step */
    struct error error;
};

static void emit(void *opaque, const struct trace_event *event)
{
    struct against *against = opaque;
    if (event->kind == TRACE_MMIO_READ || event->kind == TRACE_PIO_READ)
        against->read_device = true;
    against->result->events++;
}

static bool cannot(struct against *against)
{
    struct lockstep_result *result = against->result;
    result->verdict = LOCKSTEP_NOT_COMPARED;
    snprintf(result->reason, sizeof result->reason, "after %llu steps: %s", (unsigned long long)result->steps,
             against->error.text);
    return false;
}

/* ---- looking ---- */

static const struct cpu_state *cpu_of(const struct against *against, unsigned side)
{
    return side == against->remote_side ? &against->target : &against->machine.cpu;
}

static uint64_t compare(struct against *against, struct lockstep_fields *fields, bool before)
{
    return lockstep_compare_cpu(before ? &against->before : NULL, cpu_of(against, 0), cpu_of(against, 1), fields);
}

/* What the target does not say is taken to be as the machine has it. */
static bool look(struct against *against)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(against->machine.machine);
    accel->ops->get_state(accel, &state);
    against->machine.cpu = against->target = state;
    cpu_state_canonical(&against->machine.cpu);
    if (remote_read_cpu(against->remote, &against->target, &against->error))
        return cannot(against);
    cpu_state_canonical(&against->target);
    against->result->register_looks++;
    return true;
}

/* The target's registers become the machine's. False: they still differ, or the target is lost. */
static bool take_over(struct against *against, uint64_t *count)
{
    struct lockstep_fields fields;
    ++*count;
    if (remote_write_cpu(against->remote, &against->target, &against->machine.cpu, &against->error))
        return cannot(against);
    return look(against) && !compare(against, &fields, false);
}

static bool parted(struct against *against, enum lockstep_what what)
{
    struct lockstep_difference *difference = &against->result->difference;
    if (against->result->verdict == LOCKSTEP_NOT_COMPARED)
        return false;
    against->result->verdict = LOCKSTEP_DIFFERENT;
    difference->what = what;
    difference->equal_exits = against->result->steps;
    difference->exits = against->result->steps + 1;
    compare(against, &difference->registers, false);
    if (what != LOCKSTEP_REGISTERS) {
        snprintf(difference->why, sizeof difference->why, "a remote target can't be run again");
        return false;
    }
    difference->reproduced = difference->has_insn = true;
    difference->insn = against->insn;
    difference->before = against->before;
    for (unsigned side = 0; side < 2; side++)
        difference->after[side] = *cpu_of(against, side);
    compare(against, &difference->step_registers, true);
    return false;
}

/* ---- memory ---- */

static void note_range(struct against *against, const struct memory_block *block, uint64_t start, uint64_t size_bytes,
                       const uint8_t *target)
{
    struct lockstep_ranges *ranges = &against->result->difference.memory;
    if (ranges->count++ >= LOCKSTEP_RANGES_MAX)
        return;
    struct lockstep_range *range = &ranges->range[ranges->count - 1];
    size_t size = size_bytes < LOCKSTEP_RANGE_BYTES ? (size_t)size_bytes : LOCKSTEP_RANGE_BYTES;
    *range = (struct lockstep_range){.gpa = lockstep_gpa_of(block, start), .size_bytes = size_bytes};
    snprintf(range->block, sizeof range->block, "%s", block->name);
    memcpy(range->bytes[against->remote_side], target, size);
    memcpy(range->bytes[1 - against->remote_side], block->host + start, size);
}

/* RF in the flags that a fault has pushed, which processors set and QEMU before 9.1 does not: bit 16, so the third byte's lowest. */
static bool is_pushed_rf(uint64_t gpa, unsigned size, uint8_t own, uint8_t target)
{
    return size == 1 && gpa % 4 == 2 && own == (target | 1);
}

static bool mend_rf(struct against *against, uint64_t gpa, uint8_t own)
{
    against->result->taken_rf++;
    return !remote_write_memory(against->remote, gpa, true, &own, 1, &against->error) || cannot(against);
}

static bool compare_piece(struct against *against, const struct memory_block *block, uint64_t at)
{
    uint8_t bytes[REMOTE_MEMORY_BYTES];
    const uint8_t *own = block->host + at;
    if (remote_read_memory(against->remote, lockstep_gpa_of(block, at), true, bytes, sizeof bytes, &against->error))
        return cannot(against);
    against->result->memory_bytes += sizeof bytes;
    for (unsigned n = 0; n < sizeof bytes;) {
        unsigned start = n;
        while (n < sizeof bytes && own[n] != bytes[n])
            n++;
        uint64_t gpa = lockstep_gpa_of(block, at + start);
        if (n > start && is_pushed_rf(gpa, n - start, own[start], bytes[start])) {
            if (!mend_rf(against, gpa, own[start]))
                return false;
        } else if (n > start) {
            note_range(against, block, at + start, n - start, bytes + start);
        }
        while (n < sizeof bytes && own[n] == bytes[n])
            n++;
    }
    return true;
}

/* RAM that the machine wrote since the last look. */
static bool compare_memory(struct against *against)
{
    struct memory *memory = machine_memory(against->machine.machine);
    if (!remote_has_physical(against->remote))
        return true;
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        for (uint64_t at = 0; !strcmp(block->name, "ram") && at < block->size_bytes; at += REMOTE_MEMORY_BYTES) {
            if ((block->page_flags[at >> MEMORY_PAGE_SHIFT] & MEMORY_PAGE_DIRTY) && !compare_piece(against, block, at))
                return false;
        }
    }
    (void)memory_digest(memory); /* clears the flags */
    against->result->digest_looks++;
    return !against->result->difference.memory.count || parted(against, LOCKSTEP_MEMORY);
}

/* ---- stepping ---- */

static bool step_machine(struct against *against)
{
    struct machine *machine = against->machine.machine;
    struct cpu_state state;
    bool repeated = lockstep_is_repeated(&against->insn);
    for (unsigned n = 0; n < REPEAT_STEPS_MAX; n++) {
        debug_step(machine);
        lockstep_watch_run(against->watch, machine);
        against->machine.stop = machine_run(machine, (struct position){machine_position(machine).icount + 1, 0});
        lockstep_watch_run(against->watch, NULL);
        if (against->machine.stop != MACHINE_STOP_DEBUG && against->machine.stop != MACHINE_STOP_LIMIT) {
            against->over = true;
            return true;
        }
        machine_accel(machine)->ops->get_state(machine_accel(machine), &state);
        if (!repeated || landmark_rip(&state) != against->insn.linear)
            return true;
    }
    error_set(&against->error, "a's repeated instruction at %#llx has no end",
              (unsigned long long)against->insn.linear);
    return cannot(against);
}

static bool step_target(struct against *against, bool *ended)
{
    bool repeated = lockstep_is_repeated(&against->insn);
    for (unsigned n = 0; n < REPEAT_STEPS_MAX; n++) {
        if (remote_step(against->remote, ended, &against->error))
            return cannot(against);
        if (*ended || !repeated)
            return true;
        if (remote_read_cpu(against->remote, &against->target, &against->error))
            return cannot(against);
        if (landmark_rip(&against->target) != against->insn.linear)
            return true;
    }
    error_set(&against->error, "the target's repeated instruction at %#llx has no end",
              (unsigned long long)against->insn.linear);
    return cannot(against);
}

/* What INS stored, ascending or descending, in at most so many bytes as RDI has moved. */
static bool copy_input(struct against *against)
{
    uint64_t from = against->before.gpr[CPU_RDI], to = against->machine.cpu.gpr[CPU_RDI];
    uint64_t size = to > from ? to - from : from - to, start = (to > from ? from : to + 1);
    uint64_t base = cpu_state_code64(&against->before) ? 0 : against->before.segment[CPU_ES].base;
    uint8_t bytes[REMOTE_MEMORY_BYTES];
    for (uint64_t done = 0; done < size && size <= 1u << 20; done += sizeof bytes) {
        size_t part = size - done < sizeof bytes ? (size_t)(size - done) : sizeof bytes;
        if (debug_read_linear(against->machine.machine, base + start + done, bytes, part) != part)
            return true;
        if (remote_write_memory(against->remote, base + start + done, false, bytes, part, &against->error))
            return cannot(against);
    }
    return true;
}

/* They differ. True: that may be, and is mended. */
static bool excused(struct against *against)
{
    struct lockstep_result *result = against->result;
    struct lockstep_fields fields;
    compare(against, &fields, false);
    uint64_t flags = against->machine.cpu.rflags ^ against->target.rflags;
    if (fields.count == 1 && !strcmp(fields.field[0].name, "rflags") && !(flags & ~against->kind.undefined_flags))
        return take_over(against, &result->taken_flags);
    if (against->read_device)
        return take_over(against, &result->taken_device);
    return against->kind.own && take_over(against, &result->taken_own);
}

/* A port write may have made a device write to memory at once (fw_cfg's DMA), the machine's its data and the target's its own. Memory was
 * alike before it: what the machine has now is given. */
static bool copy_written(struct against *against)
{
    struct memory *memory = machine_memory(against->machine.machine);
    uint8_t bytes[REMOTE_MEMORY_BYTES];
    for (struct memory_block *block = memory_block_first(memory); block; block = memory_block_next(memory, block)) {
        for (uint64_t at = 0; !strcmp(block->name, "ram") && at < block->size_bytes; at += sizeof bytes) {
            uint64_t gpa = lockstep_gpa_of(block, at);
            if (!(block->page_flags[at >> MEMORY_PAGE_SHIFT] & MEMORY_PAGE_DIRTY))
                continue;
            if (remote_read_memory(against->remote, gpa, true, bytes, sizeof bytes, &against->error))
                return cannot(against);
            if (!memcmp(bytes, block->host + at, sizeof bytes))
                continue;
            against->result->taken_memory++;
            if (remote_write_memory(against->remote, gpa, true, block->host + at, sizeof bytes, &against->error))
                return cannot(against);
        }
    }
    (void)memory_digest(memory);
    return true;
}

/* Both make one instruction. False: it is over. */
static bool step_both(struct against *against)
{
    struct lockstep_fields fields;
    bool ended = false;
    against->before = against->machine.cpu;
    lockstep_fetch_insn(against->machine.machine, &against->insn);
    against->kind = lockstep_kind_of(&against->insn);
    against->read_device = false;
    if (against->kind.halts) {
        against->machine.stop = MACHINE_STOP_IDLE;
        against->over = true;
        return false;
    }
    bool output = against->kind.output && remote_has_physical(against->remote);
    if (output && !compare_memory(against))
        return false;
    if (!step_machine(against) || !step_target(against, &ended))
        return false;
    against->over |= ended;
    if (against->over)
        return false;
    if ((output && !copy_written(against)) || !look(against) || (against->kind.input_string && !copy_input(against)))
        return false;
    if (compare(against, &fields, false) && !excused(against))
        return parted(against, LOCKSTEP_REGISTERS);
    against->result->steps++;
    return true;
}

/* Both at their beginning: registers that can be given to the target are. */
static bool start(struct against *against)
{
    struct lockstep_fields fields;
    if (!look(against))
        return false;
    if (landmark_rip(&against->target) != landmark_rip(&against->machine.cpu)) {
        error_set(&against->error,
                  "they do not stand at the same instruction: a machine just made, and a target at %#llx",
                  (unsigned long long)landmark_rip(&against->target));
        return cannot(against);
    }
    if (!compare(against, &fields, false))
        return true;
    if (take_over(against, &against->result->taken_start))
        return true;
    lockstep_fetch_insn(against->machine.machine, &against->insn);
    against->before = against->machine.cpu;
    return parted(against, LOCKSTEP_REGISTERS);
}

static void run(struct against *against)
{
    const struct lockstep_options *options = against->options;
    struct lockstep_result *result = against->result;
    bool go = start(against);
    while (go && result->steps < options->until_exits) {
        if (options->over && options->over(options->opaque)) {
            error_set(&against->error, "interrupted; alike until there");
            go = cannot(against);
            break;
        }
        go = step_both(against);
        if (go && result->steps % options->every == 0)
            go = compare_memory(against);
    }
    if (result->verdict == LOCKSTEP_EQUAL && (go || against->machine.stop == MACHINE_STOP_IDLE))
        (void)compare_memory(against);
    result->stop = go ? MACHINE_STOP_LIMIT : against->machine.stop;
    result->exits = result->steps;
    result->end = machine_position(against->machine.machine);
}

void lockstep_run_remote(const struct lockstep_options *options, struct remote *remote, unsigned remote_side,
                         struct lockstep_result *result)
{
    static const struct trace_sink_ops sink = {.emit = emit};
    struct against against = {.options = options, .result = result, .remote = remote, .remote_side = remote_side};
    struct lockstep_script *script = lockstep_script_create();
    unsigned side = 1 - remote_side;
    memset(result, 0, sizeof *result);
    result->remote = true;
    against.machine.input = lockstep_input_create(script, &options->clock, false);
    against.machine.machine = options->make(options->opaque, side, against.machine.input,
                                            (struct trace_sink){&sink, &against}, &against.error);
    against.watch = lockstep_watch_create(options->stall_ms);
    if (against.machine.machine)
        run(&against);
    else
        (void)cannot(&against);
    lockstep_watch_destroy(against.watch);
    options->unmake(options->opaque, side);
    input_destroy(against.machine.input);
    lockstep_script_destroy(script);
}
