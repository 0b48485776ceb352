/* A machine that counts exits (position.h): what accelerators that can't count instructions run by, and what others replace
 * them by. See machine.h.
 *
 * Invariants
 *  1. An exit is counted when its access is done, so all that an access does carries its number, from 0.
 *  2. The run loop stops right after the instruction in which the count reached the stop, or at a landmark. Nothing that the
 *     guest can see happens anywhere else; so timers run after messages only.
 *  3. Virtual time changes by messages, by samples that devices ask for in an access (one an access), and by HLT. It never
 *     passes the deadline of a timer that has not fired. */
#include "core/landmark.h"
#include "core/machine_internal.h"

#define UNCONTROLLED_MAX 10000000u /* between two exits */

bool machine_counts_exits(const struct machine *machine)
{
    return machine->options.counts_exits;
}

/* ---- accesses ---- */

void machine_exit_begin(struct machine *machine)
{
    machine->in_exit = machine->options.counts_exits;
    machine->sampled = false;
}

static void count_exit(struct machine *machine)
{
    machine->exits++;
    if (machine->exits >= machine->stop_icount)
        machine_request_attention(machine);
}

bool machine_cuts_step(const struct machine *machine)
{
    return !machine->whole_steps || machine->exits >= machine->horizon_icount || machine->failed ||
           machine->requested_stop || machine->reset_requested || machine->init_requested;
}

void machine_keep_steps_whole(struct machine *machine)
{
    machine->whole_steps = true;
}

void machine_exit_end(struct machine *machine)
{
    if (!machine->in_exit)
        return;
    machine->in_exit = false;
    count_exit(machine);
}

void machine_exit_halt(struct machine *machine)
{
    if (machine->halt_counted)
        return;
    machine->halt_counted = true;
    machine->exits++;
    machine->polled_valid = false;
}

/* ---- time ---- */

static void set_clock(struct machine *machine, uint64_t now_ns)
{
    if (now_ns > machine->skipped_ns)
        machine->skipped_ns = now_ns;
}

void machine_sample_clock(struct machine *machine)
{
    uint64_t now_ns = machine_pull(machine, INPUT_CLOCK, NULL, NULL), deadline_ns = vtime_queue_next_ns(machine->vtime);
    machine->sampled = true;
    set_clock(machine, now_ns < deadline_ns ? now_ns : deadline_ns);
}

/* Time goes on, from deadline to deadline: a device whose timer fires finds it to be as late as it asked for. */
static void advance_clock(struct machine *machine, uint64_t now_ns)
{
    uint64_t deadline_ns;
    while ((deadline_ns = vtime_queue_next_ns(machine->vtime)) <= now_ns) {
        set_clock(machine, deadline_ns);
        vtime_queue_run(machine->vtime, machine->skipped_ns);
    }
    set_clock(machine, now_ns);
}

uint64_t machine_uncontrolled(struct machine *machine, const char *what)
{
    struct machine_uncontrolled *first = &machine->uncontrolled;
    if (!first->count++) {
        first->what = what;
        first->position = machine_position(machine);
        if (machine->accel->ops->where)
            machine->accel->ops->where(machine->accel, &first->where);
    }
    /* A loop that waits for the value to change waits for ever. */
    if (machine->exits != machine->uncontrolled_at) {
        machine->uncontrolled_at = machine->exits;
        machine->uncontrolled_run = 0;
    }
    if (++machine->uncontrolled_run == UNCONTROLLED_MAX)
        machine_fail(machine, MACHINE_STOP_DIVERGED);
    return machine->skipped_ns;
}

const struct machine_uncontrolled *machine_uncontrolled_first(const struct machine *machine)
{
    return &machine->uncontrolled;
}

bool machine_goes(const struct machine *machine, enum machine_way way)
{
    return machine->options.ways & way;
}

uint64_t machine_frozen_tsc(const struct machine *machine)
{
    return machine->skipped_ns; /* VTIME_TSC_HZ is 1 GHz */
}

uint32_t machine_read_tsc_port(struct machine *machine)
{
    machine->port_tsc = machine_tsc(machine);
    return (uint32_t)machine->port_tsc;
}

uint32_t machine_tsc_port_high(const struct machine *machine)
{
    return (uint32_t)(machine->port_tsc >> 32);
}

unsigned machine_tsc_sites(const struct machine *machine, uint64_t lstar)
{
    unsigned count = machine_goes(machine, MACHINE_WAY_TSC_SITES) ? machine->options.tsc_sites : 0;
    return lstar && count > MACHINE_TSC_SITES_SYSCALL ? MACHINE_TSC_SITES_SYSCALL : count;
}

uint64_t machine_tsc_site(const struct machine *machine, unsigned index)
{
    return machine->options.tsc_site[index];
}

bool machine_at_tsc_site(const struct machine *machine, uint64_t linear, uint64_t lstar)
{
    for (unsigned n = 0; n < machine_tsc_sites(machine, lstar); n++) {
        if (machine->options.tsc_site[n] == linear)
            return true;
    }
    return false;
}

uint64_t machine_read_tsc_site(struct machine *machine)
{
    machine_exit_begin(machine);
    uint64_t tsc = machine_tsc(machine);
    machine_trace_access(machine, TRACE_PIO_READ, MACHINE_TSC_PORT, (uint32_t)tsc, 4);
    machine_exit_end(machine);
    return tsc;
}

/* ---- stops ---- */

bool machine_interrupted(const struct machine *machine)
{
    return atomic_load_explicit(&machine->interrupted, memory_order_relaxed);
}

/* Time passes while a machine that counts exits stands still: a timer may have come due. */
bool machine_input_due(struct machine *machine)
{
    struct input *input = machine->options.input;
    return machine->options.counts_exits && input->ops->due &&
           input->ops->due(input, machine_position(machine), vtime_queue_next_ns(machine->vtime));
}

bool machine_may_want(const struct machine *machine)
{
    return machine->options.counts_exits && machine->options.input->ops->due;
}

bool machine_wanted(struct machine *machine)
{
    return (machine->attention & ATTENTION_REQUEST) || machine_interrupted(machine) ||
           machine_input_due(machine);
}

static bool offer(struct machine *machine, struct input_message message)
{
    struct input *input = machine->options.input;
    return input->ops->offer && input->ops->offer(input, machine_position(machine), &message);
}

bool machine_offer_interrupt(struct machine *machine, bool nmi)
{
    return offer(machine, (struct input_message){.id = INPUT_INTERRUPT, .a = nmi});
}

/* What comes next was not to be seen while this one waited: more for this very place, or the stop after it. */
void machine_interrupt_taken(struct machine *machine)
{
    machine->halt_counted = false;
    if (!machine->options.counts_exits)
        return;
    struct input *input = machine->options.input;
    if (input->ops->more && input->ops->more(input, machine_position(machine))) {
        machine->polled_valid = false;
        machine_request_attention(machine);
    }
    machine_compute_stop(machine);
}

bool machine_stop_between(struct machine *machine, const struct cpu_state *state, uint64_t count)
{
    struct landmark landmark = landmark_take(machine, state);
    if (count)
        (void)offer(machine, (struct input_message){.id = INPUT_LANDMARK_COUNT, .a = count});
    struct input_message stop = {.id = INPUT_LANDMARK, .target = landmark.registers, .a = landmark.rip, .b = landmark.all};
    if (!offer(machine, stop))
        return false;
    count_exit(machine);
    return true;
}

struct machine_landmark *machine_landmark(struct machine *machine)
{
    return machine->landmark_ahead ? &machine->landmark : NULL;
}

void machine_landmark_met(struct machine *machine)
{
    machine->landmark_ahead = false;
    machine->landmark.count = 0;
    count_exit(machine);
}

bool machine_exit_message(struct machine *machine, const struct input_message *message)
{
    switch (message->id) {
    case INPUT_CLOCK_TICK:
        advance_clock(machine, message->a);
        if (machine->slice)
            machine->slice(machine->slice_opaque, machine_position(machine));
        return true;
    case INPUT_CHECKPOINT:
        if (machine->options.digests)
            machine_trace_checkpoint(machine);
        return true;
    case INPUT_LANDMARK_COUNT: machine->landmark.count = message->a; return true;
    case INPUT_LANDMARK:
        machine->landmark = (struct machine_landmark){.rip = message->a,
                                                      .all = message->b,
                                                      .registers = message->target,
                                                      .count = machine->landmark.count};
        machine->landmark_ahead = true;
        return true;
    default: return false;
    }
}
