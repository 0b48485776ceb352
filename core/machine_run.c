/* The run loop: see machine.h.
 *
 * At a position, in this order (settle): the slice's digest and checkpoint; timers due; messages (asked for once a
 * position); requests. The same again for messages that came while the machine stood still there (machine_deliver). Then
 * the host's interrupt and the caller's limit; then the accelerator, or, if it is halted, the skip to the next deadline.
 * All of it but the accelerator may be done twice at a position without any difference. */
#include "core/machine_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RFLAGS_IF 0x200u

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t machine_stop_icount(const struct machine *machine)
{
    if (machine->options.counts_exits)
        return POSITION_NEVER;
    uint64_t next_ns = vtime_queue_next_ns(machine->vtime);
    uint64_t timer = next_ns <= machine->skipped_ns ? 0 : (next_ns - machine->skipped_ns) / VTIME_NS_PER_STEP;
    return smaller(machine->stop_icount, next_ns == VTIME_NEVER ? POSITION_NEVER : timer);
}

/* ---- requests ---- */

void machine_request_stop(struct machine *machine, enum machine_stop stop, int exit_code)
{
    if (machine->requested_stop == MACHINE_STOP_NONE) {
        machine->requested_stop = stop;
        machine->exit_code = exit_code;
    }
    machine_request_attention(machine);
}

void machine_request_reset(struct machine *machine)
{
    machine->reset_requested = true;
    machine_request_attention(machine);
}

void machine_fail(struct machine *machine, enum machine_stop stop)
{
    if (machine->failed == MACHINE_STOP_NONE)
        machine->failed = stop;
    machine_request_attention(machine);
}

void machine_interrupt(struct machine *machine)
{
    atomic_store(&machine->interrupted, true);
}

void machine_reset(struct machine *machine)
{
    machine->attention = 0;
    machine->ferr = machine->ignne = false;
    machine_set_a20(machine, true);
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (device->class->reset)
            device->class->reset(device);
    }
    machine->accel->ops->reset(machine->accel);
    if (machine->boot)
        machine->boot(machine->boot_opaque, machine);
}

static enum machine_stop reset_requested(struct machine *machine, enum machine_stop stop)
{
    machine->reset_requested = false;
    if (machine->options.no_reboot)
        return stop;
    machine_trace(machine, &(struct trace_event){.kind = TRACE_RESET});
    machine_reset(machine);
    if (machine->was_reset)
        machine->was_reset(machine->reset_opaque);
    return MACHINE_STOP_NONE;
}

/* Requests that devices, sinks and inputs left since the last look. */
static enum machine_stop take_requests(struct machine *machine)
{
    machine->attention &= ~(uint32_t)ATTENTION_REQUEST;
    if (machine->failed)
        return machine->failed;
    if (machine->requested_stop) {
        enum machine_stop stop = machine->requested_stop;
        machine->requested_stop = MACHINE_STOP_NONE;
        return stop;
    }
    if (machine->reset_requested)
        return reset_requested(machine, MACHINE_STOP_RESET);
    if (machine->init_requested) {
        machine->init_requested = false;
        machine_trace(machine, &(struct trace_event){.kind = TRACE_RESET, .value = 1});
        machine->accel->ops->reset(machine->accel);
    }
    return MACHINE_STOP_NONE;
}

/* ---- one boundary ---- */

void machine_trace_checkpoint(struct machine *machine)
{
    struct trace_event event = {.kind = TRACE_CHECKPOINT, .value = memory_digest(machine->memory)};
    event.address = machine_digest_state(machine);
    machine_trace(machine, &event);
}

static void slice_work(struct machine *machine, struct position now)
{
    if (machine->options.counts_exits)
        return;
    if (now.icount >= machine->next_digest) {
        CHECK(now.icount == machine->next_digest);
        machine->next_digest += MACHINE_SLICE_STEPS;
        if (machine->options.digests) {
            uint64_t state = machine_digest_state(machine);
            machine->digest_chain = XXH3_64bits_withSeed(&state, sizeof state, machine->digest_chain);
            machine_trace(machine, &(struct trace_event){.kind = TRACE_DIGEST, .value = machine->digest_chain});
        }
        if (machine->slice)
            machine->slice(machine->slice_opaque, now);
    }
    if (now.icount >= machine->next_checkpoint) {
        machine->next_checkpoint += machine->options.checkpoint_steps;
        if (machine->options.digests)
            machine_trace_checkpoint(machine);
    }
}

static void deliver(struct machine *machine, const struct input_message *message)
{
    if (machine->options.counts_exits && machine_exit_message(machine, message))
        return;
    for (unsigned n = 0; n < machine->receiver_count; n++) {
        const struct machine_receiver *receiver = &machine->receivers[n];
        if (receiver->id == message->id && (receiver->target == message->target || receiver->target == UINT32_MAX))
            receiver->receive(receiver->opaque, message);
    }
    if (message->id == INPUT_RESET_BUTTON)
        machine_request_reset(machine);
}

static void poll_input(struct machine *machine, struct position now)
{
    struct input *input = machine->options.input;
    struct input_message message;
    if (machine->polled_valid && position_equal(machine->polled, now) && !machine_input_due(machine))
        return;
    machine->polled = now;
    machine->polled_valid = true;
    while (input->ops->next(input, now, &message)) {
        deliver(machine, &message);
        now = machine->polled = machine_position(machine);
        if (message.id != INPUT_LANDMARK && message.id != INPUT_LANDMARK_COUNT) /* it is ahead: this is no place where the run loop acts */
            vtime_queue_run(machine->vtime, now.vtime_ns); /* whether the next one came with it or later does not show */
    }
}

static enum machine_stop settle(struct machine *machine)
{
    enum machine_stop stop = MACHINE_STOP_NONE;
    if (machine->attention & ATTENTION_REQUEST)
        stop = take_requests(machine);
    if (stop)
        return stop;
    struct position now = machine_position(machine);
    slice_work(machine, now);
    if (!machine->options.counts_exits) /* else where a message says: CLOCK_TICK */
        vtime_queue_run(machine->vtime, now.vtime_ns);
    poll_input(machine, now);
    return machine->attention & ATTENTION_REQUEST ? take_requests(machine) : MACHINE_STOP_NONE;
}

static bool more_input(struct machine *machine)
{
    struct input *input = machine->options.input;
    return input->ops->more && input->ops->more(input, machine_position(machine));
}

/* A debugger's stop between two iterations of a step: what is due at its end is not yet. */
static bool in_step(struct machine *machine)
{
    return machine->accel->ops->debug_in_step && machine->accel->ops->debug_in_step(machine->accel);
}

void machine_deliver(struct machine *machine)
{
    if (machine->kept_stop || in_step(machine))
        return;
    machine->polled_valid = false;
    machine->kept_stop = settle(machine);
}

static enum machine_stop boundary(struct machine *machine, struct position limit)
{
    enum machine_stop stop = machine->kept_stop;
    machine->kept_stop = MACHINE_STOP_NONE;
    if (!stop)
        stop = settle(machine);
    while (!stop && more_input(machine)) {
        machine->polled_valid = false;
        stop = settle(machine);
    }
    if (stop)
        return stop;
    if (atomic_load_explicit(&machine->interrupted, memory_order_relaxed)) {
        atomic_store(&machine->interrupted, false);
        return MACHINE_STOP_HOST;
    }
    return position_reached(machine_position(machine), limit) ? MACHINE_STOP_LIMIT : MACHINE_STOP_NONE;
}

/* ---- running and halting ---- */

void machine_compute_stop(struct machine *machine)
{
    struct position limit = machine->limit;
    struct input *input = machine->options.input;
    struct position now = machine_position(machine);
    struct position horizon = input->ops->horizon(input, now);
    uint64_t stop =
        machine->options.counts_exits ? POSITION_NEVER : smaller(machine->next_digest, machine->next_checkpoint);
    if (limit.icount > now.icount)
        stop = smaller(stop, limit.icount);
    if (horizon.icount > now.icount)
        stop = smaller(stop, horizon.icount);
    machine->stop_icount = stop;
    machine->horizon_icount = horizon.icount > now.icount ? horizon.icount : POSITION_NEVER;
}

/* Halted for ever: but MWAIT may also end by a device's write. */
static bool interrupts_off(struct machine *machine)
{
    struct accel *accel = machine->accel;
    struct cpu_state state;
    if (machine->attention & ATTENTION_NMI)
        return false;
    if (accel->ops->hears_interrupts)
        return !accel->ops->hears_interrupts(accel);
    accel->ops->get_state(accel, &state);
    return !(state.rflags & RFLAGS_IF) && !state.mwaiting;
}

static enum machine_stop halted(struct machine *machine, struct position limit)
{
    struct input *input = machine->options.input;
    struct position now = machine_position(machine);
    uint64_t deadline = vtime_queue_next_ns(machine->vtime);
    if (machine->attention & ATTENTION_REQUEST)
        return MACHINE_STOP_NONE;
    if (machine->options.counts_exits && position_reached(now, limit)) /* HLT itself was the exit that led there */
        return MACHINE_STOP_NONE;
    if (interrupts_off(machine))
        return MACHINE_STOP_IDLE;
    if (machine->options.counts_exits && (machine->attention & ATTENTION_INTR)) /* it is offered first (machine_offer_interrupt) */
        return MACHINE_STOP_NONE;
    uint64_t until = input->ops->wait(input, now, deadline);
    if (until == VTIME_NEVER && limit.icount != now.icount)
        return MACHINE_STOP_IDLE;
    if (limit.icount == now.icount)
        until = smaller(until, limit.vtime_ns);
    if (until == VTIME_NEVER)
        return MACHINE_STOP_IDLE;
    CHECK(until >= now.vtime_ns);
    if (until > now.vtime_ns) {
        machine_trace(machine, &(struct trace_event){.kind = TRACE_HALT, .value = until - now.vtime_ns});
        machine->skipped_ns += until - now.vtime_ns;
    }
    return MACHINE_STOP_NONE;
}

static enum machine_stop run_accel(struct machine *machine, struct position limit)
{
    machine_compute_stop(machine);
    enum accel_exit exit = machine->accel->ops->run(machine->accel);
    switch (exit) {
    case ACCEL_EXIT_STEPS:
    case ACCEL_EXIT_REQUEST: return MACHINE_STOP_NONE;
    case ACCEL_EXIT_HALT:
        if (machine->options.counts_exits)
            machine_exit_halt(machine);
        return halted(machine, limit);
    case ACCEL_EXIT_SHUTDOWN: return reset_requested(machine, MACHINE_STOP_SHUTDOWN);
    case ACCEL_EXIT_DEBUG: return MACHINE_STOP_DEBUG;
    case ACCEL_EXIT_ERROR: return MACHINE_STOP_ERROR;
    }
    return MACHINE_STOP_ERROR;
}

static void print_context(void *opaque)
{
    struct machine *machine = opaque;
    struct position now = machine_position(machine);
    fprintf(stderr, "at icount %" PRIu64 ", virtual time %" PRIu64 " ns; last events:\n", now.icount, now.vtime_ns);
    uint64_t first = machine->last_count > MACHINE_LAST_EVENTS ? machine->last_count - MACHINE_LAST_EVENTS : 0;
    for (uint64_t n = first; n < machine->last_count; n++) {
        const struct trace_event *event = &machine->last[n % MACHINE_LAST_EVENTS];
        fprintf(stderr, "  %" PRIu64 " %s %" PRIx64 " = %" PRIx64 "\n", event->position.icount,
                trace_kind_name(event->kind), event->address, event->value);
    }
}

enum machine_stop machine_run(struct machine *machine, struct position limit)
{
    struct check_context before = check_context_install((struct check_context){print_context, machine});
    enum machine_stop stop = MACHINE_STOP_NONE;
    machine->limit = limit;
    while (!stop) {
        bool within = in_step(machine);
        if (!within)
            stop = boundary(machine, limit);
        if (!stop && (within || !(machine->attention & ATTENTION_REQUEST)))
            stop = run_accel(machine, limit);
    }
    check_context_install(before);
    return stop;
}

void machine_finish(struct machine *machine, enum machine_stop stop)
{
    CHECK(!machine->finished);
    machine->finished = true;
    if (machine->options.digests)
        machine_trace_checkpoint(machine);
    machine_trace(machine,
                  &(struct trace_event){.kind = TRACE_END, .address = stop, .value = machine_digest_all(machine)});
}
