/* The interpreter: making it, its accel operations, and the run loop.
 *
 * The run loop looks at what may happen between two steps (stop, requests, NMI, INTR, debug), finds the block at RIP and
 * runs a chain of blocks from there. A chain ends at an instruction that says so, where the next block is not known, when
 * the budget of steps is used up, or by longjmp: an exception, or an instruction that must run alone.
 * Not modelled: SMM; INIT and SIPI (the machine resets the CPU). */
#include "accel-interp/accel_interp.h"

#include "accel-interp/block.h"
#include "accel-interp/debug.h"
#include "accel-interp/decode.h"
#include "accel-interp/exceptions.h"
#include "accel-interp/flags.h"
#include "accel-interp/fp.h"
#include "accel-interp/host_features.h"
#include "accel-interp/landmark.h"
#include "accel-interp/mmu.h"
#include "accel-interp/monitor.h"
#include "accel-interp/msr.h"
#include "accel-interp/run_control.h"
#include "accel-interp/segment.h"
#include "accel-interp/unimplemented.h"

#include <stdlib.h>
#include <string.h>

/* Where exits are counted no position bounds a run: how often the host's wish to stop is looked at, and an interrupt that waits for
 * the guest to allow it. */
#define EXIT_BUDGET_STEPS 16384u
#define EXIT_WINDOW_STEPS 1024u

/* ---- position ------------------------------------------------------------------------------------------------- */

static uint64_t interp_icount(const struct accel *accel)
{
    const struct interp *cpu = (const struct interp *)accel;
    const struct insn *i = cpu->current;

    return cpu->icount_end - (uint64_t)cpu->budget - (i ? (uint64_t)(block_steps_after(i) + 1) : 0);
}

static void interp_where(const struct accel *accel, struct accel_where *where)
{
    const struct interp *cpu = (const struct interp *)accel;
    uint64_t rip = cpu->current ? interp_rip(cpu, cpu->current) : cpu->rip;
    unsigned code = cpu->mode & MODE_CODE_MASK;

    where->linear = code == MODE_CODE64 ? rip : (uint32_t)(cpu->seg[CPU_CS].base + (uint32_t)rip);
    where->cr3 = cpu->cr3;
    where->flags = (cpu->cpl & TRACE_ORIGIN_CPL) | (code == MODE_CODE64 ? TRACE_ORIGIN_CODE64 : 0) |
                   (code == MODE_CODE32 ? TRACE_ORIGIN_CODE32 : 0) |
                   (cpu->mode & MODE_REAL ? 0 : TRACE_ORIGIN_PROTECTED) |
                   (cpu->mode & MODE_VM86 ? TRACE_ORIGIN_V86 : 0) | (cpu->cr0 & CR0_PG ? TRACE_ORIGIN_PAGING : 0);
}

static void set_budget(struct interp *cpu, uint64_t icount, uint64_t stop)
{
    uint64_t budget = stop > icount ? stop - icount : 0;

    cpu->budget = budget < BLOCK_BUDGET_MAX ? (int64_t)budget : BLOCK_BUDGET_MAX;
    cpu->icount_end = icount + (uint64_t)cpu->budget;
}

void interp_sync_position(struct interp *cpu, const struct insn *i)
{
    cpu->current = i;
}

/* ---- ends of chains ------------------------------------------------------------------------------------------- */

static void set_rip(struct interp *cpu, uint64_t rip)
{
    cpu->rip = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? rip : (uint32_t)rip;
}

const struct insn *interp_end_fall(struct interp *cpu, const struct insn *i)
{
    cpu->budget += block_steps_after(i);
    /* the mode may be another one by now, the next instruction is where the old one says */
    cpu->rip = interp_rip_next(cpu, i);
    if ((block_of(i)->mode & MODE_CODE_MASK) != MODE_CODE64)
        cpu->rip = (uint32_t)cpu->rip;
    return NULL;
}

const struct insn *interp_end_jump(struct interp *cpu, const struct insn *i, uint64_t rip)
{
    struct block *target;

    cpu->budget += block_steps_after(i);
    target = block_is_flat(cpu) ? block_cached_flat(cpu, rip) : block_cached_segmented(cpu, rip);
    if (target)
        return block_enter(cpu, target, rip);
    set_rip(cpu, rip);
    return NULL;
}

const struct insn *interp_end_leave(struct interp *cpu, const struct insn *i)
{
    cpu->budget += block_steps_after(i);
    return NULL;
}

void interp_redo_single(struct interp *cpu, const struct insn *i)
{
    cpu->current = i;
    longjmp(cpu->unwind, UNWIND_REDO);
}

/* ---- devices in the middle of a block ------------------------------------------------------------------------- */

static void forget_touch(struct interp *cpu)
{
    if (cpu->touched_next)
        cpu->touched_next->fn = cpu->touched_fn;
    cpu->touched_next = NULL;
    cpu->goes_on = NULL;
}

/* Stands in for instruction i, before which another one has touched a device or written over the running block. */
static const struct insn *after_touch(struct interp *cpu, const struct insn *i)
{
    bool go_on = interp_undisturbed(cpu, i, cpu->touched_key);

    forget_touch(cpu);
    cpu->current = NULL;
    cpu->stop_chain = false;
    if (go_on)
        return i->fn(cpu, i);
    cpu->budget += block_steps_after(i) + 1;
    set_rip(cpu, interp_rip(cpu, i));
    return NULL;
}

void interp_touch(struct interp *cpu, const struct insn *i)
{
    struct insn *next = (struct insn *)(uintptr_t)(i + 1);

    if (!cpu->single && !cpu->touched_next) {
        if (cpu->goes_on != i || (i->index == block_of(i)->steps - 1 && !(block_of(i)->flags & BLOCK_FALLS)))
            interp_redo_single(cpu, i);
        cpu->touched_next = next;
        cpu->touched_fn = next->fn;
        cpu->touched_key = cpu->jump_key;
        next->fn = after_touch;
    }
    cpu->current = i;
}

void interp_unimplemented(struct interp *cpu, const struct insn *i)
{
    uint8_t bytes[DECODE_BYTES_MAX];
    size_t count = 0;
    unsigned code = cpu->mode & MODE_CODE_MASK;
    uint64_t rip = interp_rip(cpu, i);
    uint64_t linear = code == MODE_CODE64 ? rip : block_linear(cpu, rip), gpa;

    interp_sync_position(cpu, i);
    while (count < sizeof bytes && mmu_translate_debug(cpu, linear + count, &gpa))
        memory_read(machine_memory(cpu->accel.machine), gpa, &bytes[count++], 1);
    unimplemented_log_add(cpu->unimplemented_log, bytes, count,
                          code == MODE_CODE64   ? 64
                          : code == MODE_CODE32 ? 32
                                                : 16,
                          interp_icount(&cpu->accel), rip);
    RAISE(EXC_UD);
}

/* ---- running chains ------------------------------------------------------------------------------------------- */

static void run_chain(struct interp *cpu, struct block *block)
{
    /* cpu->rip is the first instruction's; one that was copied out of a block counts from that block's start */
    const struct insn *i = block_enter(cpu, block, cpu->rip - block->insn[0].off);

    while (i) /* trampoline builds; else the chain has ended already */
        i = i->fn(cpu, i);
}

/* One step alone: what it chains to finds the budget empty. */
static void run_alone(struct interp *cpu, struct block *block)
{
    set_budget(cpu, cpu->icount_end - (uint64_t)cpu->budget, cpu->icount_end - (uint64_t)cpu->budget + 1);
    cpu->single = true;
    run_chain(cpu, block);
}

static void step(struct interp *cpu)
{
    struct block *block;
    uint64_t start, next;

    if (debug_active(cpu))
        debug_before_step(cpu);
    block = block_lookup(cpu);
    start = cpu->rip;
    next = start + block->insn[0].len;
    cpu->s.interrupt_shadow = cpu->s.mov_ss_shadow = false;
    run_alone(cpu, block->steps > 1 ? block_truncate(cpu, block, 1) : block);
    cpu->current = NULL;
    if (debug_active(cpu) || cpu->step_trap) {
        cpu->in_delivery = true; /* a trap is no step of its own */
        debug_after_step(cpu, start, next);
        cpu->in_delivery = false;
    }
}

static void run_blocks(struct interp *cpu)
{
    struct block *block = block_lookup(cpu);

    cpu->s.interrupt_shadow = cpu->s.mov_ss_shadow = false;
    if (block->steps > cpu->budget)
        block = block_truncate(cpu, block, (unsigned)cpu->budget);
    run_chain(cpu, block);
}

/* ---- between steps -------------------------------------------------------------------------------------------- */

static void deliver(struct interp *cpu, uint8_t vector, enum exception_source source, bool has_error, uint32_t error)
{
    cpu->in_delivery = true;
    exception_deliver(cpu, vector, source, has_error, error);
    cpu->in_delivery = false;
}

static bool accept_interrupt(struct interp *cpu)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    int vector = link.ops ? link.ops->acknowledge(link.opaque) : -1;

    if (vector < 0)
        return false;
    machine_trace_irq(cpu->accel.machine, (uint32_t)vector);
    cpu->statistics.interrupts++;
    deliver(cpu, (uint8_t)vector, EXCEPTION_EXTERNAL, false, 0);
    return true;
}

static bool accept_nmi(struct interp *cpu)
{
    struct machine *machine = cpu->accel.machine;

    cpu->s.nmi_pending = false;
    machine_trace_irq(machine, EXC_NMI);
    cpu->statistics.interrupts++;
    deliver(cpu, EXC_NMI, EXCEPTION_EXTERNAL, false, 0);
    return true;
}

/* True: one was delivered. */
static bool accept_events(struct interp *cpu)
{
    struct machine *machine = cpu->accel.machine;
    bool asked = cpu->counts_exits;

    if (machine_nmi_take(machine))
        cpu->s.nmi_pending = true;
    if (cpu->s.mov_ss_shadow)
        return false;
    if (cpu->s.nmi_pending && !cpu->s.nmi_blocked && (!asked || machine_offer_interrupt(machine, true)))
        return accept_nmi(cpu);
    if (!(cpu->sysflags & FLAG_IF) || cpu->s.interrupt_shadow || !machine_intr_pending(machine))
        return false;
    return (!asked || machine_offer_interrupt(machine, false)) && accept_interrupt(cpu);
}

/* An interrupt could be taken, were this a place for it. */
static bool interrupt_waits(const struct interp *cpu)
{
    return ((*cpu->attention & ATTENTION_INTR) && (cpu->sysflags & FLAG_IF)) ||
           ((cpu->s.nmi_pending || (*cpu->attention & ATTENTION_NMI)) && !cpu->s.nmi_blocked);
}

/* An instruction that made an exit is over: interrupts are taken here, and the machine acts if it wants to. Within a repeated
 * instruction, or where something is held back, other accelerators can't stop: no place for either. True: it wants to. */
static bool stops_at_exit(struct interp *cpu)
{
    uint64_t exits = machine_position(cpu->accel.machine).icount;

    if (!cpu->may_want || exits == cpu->exits_seen || (cpu->sysflags & FLAG_RF) || cpu->s.mov_ss_shadow || cpu->s.pending_debug)
        return false;
    cpu->exits_seen = exits;
    cpu->at_stop = true;
    return machine_wanted(cpu->accel.machine);
}

/* Exits are counted, none has come for long, and the machine wants to act: it does here, which makes an exit of this place. True:
 * it is one. */
static bool stops_between(struct interp *cpu, uint64_t icount)
{
    struct machine *machine = cpu->accel.machine;
    bool waits = cpu->may_want && interrupt_waits(cpu), interrupted = machine_interrupted(machine);
    uint64_t patience = interrupted ? 0 : waits ? EXIT_WINDOW_STEPS : EXIT_BUDGET_STEPS;
    struct cpu_state state;

    if (cpu->at_stop) {
        cpu->looked_icount = cpu->stop_at_icount = icount;
        cpu->stop_at_turns = cpu->repeat_turns;
    }
    if (cpu->at_stop || icount - cpu->looked_icount < patience || machine_landmark(machine))
        return false;
    if ((cpu->sysflags & FLAG_RF) || cpu->s.interrupt_shadow || cpu->s.mov_ss_shadow || cpu->s.pending_debug)
        return false;
    cpu->looked_icount = icount;
    if (!waits && !machine_wanted(machine))
        return false;
    interp_state(cpu, &state);
    uint64_t count = icount - cpu->stop_at_icount + cpu->repeat_turns - cpu->stop_at_turns;
    return machine_stop_between(machine, &state, count);
}

static uint64_t exit_budget_end(const struct interp *cpu, uint64_t icount)
{
    bool waits = cpu->may_want && (*cpu->attention & (ATTENTION_INTR | ATTENTION_NMI));
    uint64_t end = icount + (waits ? EXIT_WINDOW_STEPS : EXIT_BUDGET_STEPS), until = run_control_until(cpu);

    return until > icount && until < end ? until : end;
}

/* Where exits are counted: does run return to the run loop here? Who only follows a journal leaves at once when he is interrupted;
 * whoever makes one does so at an exit. */
static bool leaves_between(struct interp *cpu, uint64_t icount)
{
    return (machine_interrupted(cpu->accel.machine) && !cpu->may_want) || stops_at_exit(cpu) || stops_between(cpu, icount);
}

/* What stands between the last step and the next. False: leave run for the reason in *exit. */
static bool may_go_on(struct interp *cpu, enum accel_exit *exit)
{
    struct machine *machine = cpu->accel.machine;
    uint64_t icount = cpu->icount_end - (uint64_t)cpu->budget;

    cpu->current = NULL;
    forget_touch(cpu);
    cpu->single = cpu->stop_chain = false;
    cpu->stop_icount = machine_stop_icount(machine);
    cpu->planned_timer_ns = *cpu->next_timer_ns;
    set_budget(cpu, icount, cpu->counts_exits ? exit_budget_end(cpu, icount) : cpu->stop_icount);
    block_update_mode(cpu);
    cpu->control &= (uint8_t)~CONTROL_ITERATE;
    if ((cpu->control & CONTROL_HIT) || ((cpu->control & CONTROL_STEP) && run_control_stepped(cpu, icount)))
        *exit = ACCEL_EXIT_DEBUG;
    else if (cpu->control & CONTROL_IN_STEP)
        return true;
    else if (cpu->counts_exits && run_control_meets_until(cpu, icount))
        *exit = ACCEL_EXIT_DEBUG;
    else if (cpu->s.shutdown)
        *exit = ACCEL_EXIT_SHUTDOWN;
    else if (*cpu->attention && machine_request_pending(machine))
        *exit = ACCEL_EXIT_REQUEST;
    else if (cpu->budget == 0 || (cpu->counts_exits && leaves_between(cpu, icount)))
        *exit = ACCEL_EXIT_STEPS;
    else
        return true;
    return false;
}

/* An exception or an instruction that must run alone has ended the chain. */
static void recover(struct interp *cpu, int why)
{
    const struct insn *i = cpu->current;

    forget_touch(cpu);
    if (i) {
        set_rip(cpu, interp_rip(cpu, i));
        cpu->budget += block_steps_after(i) + (why == UNWIND_REDO);
    } else if (!cpu->in_delivery) {
        cpu->budget -= 1; /* a fetch or debug fault before the instruction's block */
    }
    cpu->current = NULL;
    if (why == UNWIND_RAISE && !cpu->in_delivery)
        run_control_faulted(cpu);
    cpu->in_delivery = false;
    if (why == UNWIND_REDO) {
        run_alone(cpu, block_single(cpu, i));
        return;
    }
    cpu->single = false;
    cpu->statistics.exceptions++;
    deliver(cpu, cpu->raise_vector, EXCEPTION_FAULT, cpu->raise_has_error, cpu->raise_error);
}

/* ---- the run loop --------------------------------------------------------------------------------------------- */

/* Interrupts are taken before each step, or, where exits are counted, only where the run loop has just been. */
static bool events_ahead(struct interp *cpu)
{
    return (cpu->s.nmi_pending || *cpu->attention) && (cpu->at_stop || !cpu->counts_exits);
}

static bool runs_alone(const struct interp *cpu)
{
    return debug_active(cpu) || ((cpu->s.interrupt_shadow || cpu->s.mov_ss_shadow) && *cpu->attention) ||
           (cpu->control & (CONTROL_ITERATE | CONTROL_STEP));
}

static enum accel_exit run_guest(struct interp *cpu)
{
    enum accel_exit exit;
    int why = setjmp(cpu->unwind);

    if (why)
        recover(cpu, why);
    while (may_go_on(cpu, &exit)) {
        bool take = events_ahead(cpu);

        if (cpu->control & CONTROL_IN_STEP) {
            run_control_resume_step(cpu);
            step(cpu);
            continue;
        }
        cpu->at_stop = false;
        if (take && accept_events(cpu))
            continue;
        if (cpu->counts_exits && landmark_met(cpu))
            return ACCEL_EXIT_STEPS;
        if (cpu->s.halted && !(cpu->s.mwaiting && monitor_wait_ended(cpu)))
            return ACCEL_EXIT_HALT;
        if ((cpu->control & CONTROL_BREAK) && run_control_stops(cpu))
            return ACCEL_EXIT_DEBUG;
        if (runs_alone(cpu))
            step(cpu);
        else
            run_blocks(cpu);
    }
    return exit;
}

/* Unwinding stays within run_guest, so that the host's floating-point control is always put back. */
static enum accel_exit interp_run(struct accel *accel)
{
    struct interp *cpu = interp_of(accel);
    enum accel_exit exit;

    fp_enter(cpu);
    if (!cpu->debug_left) { /* a debugger's stop is none of the guest's */
        cpu->at_stop = true;
        cpu->exits_seen = machine_position(accel->machine).icount;
    }
    exit = run_guest(cpu);
    fp_leave(cpu);
    cpu->debug_left = exit == ACCEL_EXIT_DEBUG;
    if (cpu->debug_left)
        run_control_reported(cpu);
    return exit;
}

/* ---- state ---------------------------------------------------------------------------------------------------- */

void interp_state(const struct interp *cpu, struct cpu_state *state)
{
    *state = cpu->s;
    fp_get_state(cpu, state);
    for (unsigned n = 0; n < 16; n++)
        state->gpr[n] = cpu->r[n].q;
    for (unsigned n = 0; n < 8; n++) {
        const struct seg *seg = &cpu->seg[n];
        state->segment[n] = (struct cpu_segment){
            .selector = seg->selector, .attributes = seg->attributes, .limit = seg->limit, .base = seg->base};
    }
    state->rip = cpu->rip;
    state->rflags = cpu_read_rflags(cpu);
    state->gdtr_base = cpu->gdtr_base;
    state->gdtr_limit = cpu->gdtr_limit;
    state->idtr_base = cpu->idtr_base;
    state->idtr_limit = cpu->idtr_limit;
    state->cr0 = cpu->cr0;
    state->cr2 = cpu->cr2;
    state->cr3 = cpu->cr3;
    state->cr4 = cpu->cr4;
    state->xcr0 = cpu->xcr0;
    state->efer = cpu->efer;
    memcpy(state->dr, cpu->dr, sizeof state->dr);
    memcpy(state->pdpte, cpu->pdpte, sizeof state->pdpte);
}

static void interp_get_state(struct accel *accel, struct cpu_state *state)
{
    interp_state(interp_of(accel), state);
}

static void set_registers(struct interp *cpu, const struct cpu_state *state)
{
    for (unsigned n = 0; n < 16; n++)
        cpu->r[n].q = state->gpr[n];
    for (unsigned n = 0; n < 8; n++) {
        const struct cpu_segment *seg = &state->segment[n];
        cpu->seg[n] = (struct seg){
            .selector = seg->selector, .attributes = seg->attributes, .limit = seg->limit, .base = seg->base};
    }
    cpu->gdtr_base = state->gdtr_base;
    cpu->gdtr_limit = state->gdtr_limit;
    cpu->idtr_base = state->idtr_base;
    cpu->idtr_limit = state->idtr_limit;
    cpu->cr0 = state->cr0;
    cpu->cr2 = state->cr2;
    cpu->cr3 = state->cr3;
    cpu->cr4 = state->cr4;
    cpu->xcr0 = state->xcr0;
    cpu->efer = state->efer;
    memcpy(cpu->dr, state->dr, sizeof cpu->dr);
    memcpy(cpu->pdpte, state->pdpte, sizeof cpu->pdpte);
    cpu->rip = state->rip;
}

static void interp_set_state(struct accel *accel, const struct cpu_state *state)
{
    struct interp *cpu = interp_of(accel);

    monitor_unwatch(cpu);
    run_control_forget(cpu);
    cpu->s = *state;
    set_registers(cpu, state);
    cpu->step_trap = false;
    cpu->delivering = cpu->event_external = 0;
    cpu->debug_left = cpu->each_iteration = false;
    seg_update_all(cpu);
    cpu_write_rflags(cpu, state->rflags);
    mmu_flush_all(cpu);
    monitor_watch(cpu);
    cpu_update_mode(cpu);
    block_update_mode(cpu);
    run_control_look_again(cpu);
}

static void interp_set_icount(struct accel *accel, uint64_t icount)
{
    struct interp *cpu = interp_of(accel);

    cpu->current = NULL;
    run_control_forget(cpu);
    set_budget(cpu, icount, icount);
}

static void interp_reset(struct accel *accel)
{
    struct cpu_state state;

    cpu_state_reset(&state);
    if (interp_of(accel)->features.monitor)
        state.misc_enable |= MISC_ENABLE_MONITOR;
    interp_set_state(accel, &state);
}

/* ---- what memory and the machine tell ------------------------------------------------------------------------- */

static void interp_memory_map_changed(struct accel *accel)
{
    struct interp *cpu = interp_of(accel);

    cpu->mmu.tables = cpu->mmu.pages = (struct memory_range){0};
    mmu_drop_views(cpu);
    block_drop_all(cpu);
    block_jump_cache_flush(cpu);
    monitor_unwatch(cpu);
    monitor_watch(cpu);
}

static void interp_memory_written(struct accel *accel, uint64_t gpa, uint64_t size_bytes)
{
    if (interp_of(accel)->control & CONTROL_WATCH)
        run_control_dma(interp_of(accel), gpa, size_bytes);
    while (size_bytes) {
        unsigned part = size_bytes < 1u << 30 ? (unsigned)size_bytes : 1u << 30;
        block_code_written(interp_of(accel), NULL, gpa, part);
        gpa += part;
        size_bytes -= part;
    }
}

static void interp_memory_protect_all(struct accel *accel)
{
    mmu_protect_all(interp_of(accel));
}

static void interp_page_replaced(struct accel *accel, const uint8_t *flags)
{
    block_page_replaced(interp_of(accel), flags);
}

static void interp_a20_changed(struct accel *accel)
{
    mmu_drop_views(interp_of(accel));
    block_jump_cache_flush(interp_of(accel));
}

static bool interp_translate(struct accel *accel, uint64_t linear, uint64_t *gpa)
{
    return mmu_translate_debug(interp_of(accel), linear, gpa);
}

/* ---- for another accelerator ------------------------------------------------------------------------------------ */

static void start_alone(struct interp *cpu)
{
    uint64_t icount = cpu->icount_end - (uint64_t)cpu->budget;

    cpu->current = NULL;
    forget_touch(cpu);
    cpu->single = cpu->stop_chain = false;
    cpu->stop_icount = POSITION_NEVER;
    cpu->planned_timer_ns = *cpu->next_timer_ns;
    set_budget(cpu, icount, POSITION_NEVER);
    block_update_mode(cpu);
}

static void step_alone(struct interp *cpu)
{
    int why = setjmp(cpu->unwind);

    if (why)
        recover(cpu, why);
    else
        step(cpu);
}

static void interp_step(struct accel *accel)
{
    struct interp *cpu = interp_of(accel);

    block_drop_all(cpu);
    start_alone(cpu);
    fp_enter(cpu);
    step_alone(cpu);
    fp_leave(cpu);
    cpu->current = NULL;
    forget_touch(cpu);
}

static bool access_msr(struct interp *cpu, const struct insn *i, bool write, uint32_t index, uint64_t *value)
{
    if (setjmp(cpu->unwind))
        return false;
    if (write)
        msr_write(cpu, i, index, *value);
    else
        *value = msr_read(cpu, i, index);
    return true;
}

static bool interp_msr(struct accel *accel, bool write, uint32_t index, uint64_t *value)
{
    struct interp *cpu = interp_of(accel);
    struct block *block = block_lone(cpu); /* something that an instruction may be in */

    start_alone(cpu);
    cpu->single = true;
    bool done = access_msr(cpu, block->insn, write, index, value);
    cpu->current = NULL;
    cpu->single = false;
    return done;
}

static size_t interp_list_unimplemented(struct accel *accel, struct accel_unimplemented *list, size_t max)
{
    return unimplemented_log_list(interp_of(accel)->unimplemented_log, list, max);
}

static void interp_statistics(struct accel *accel, struct accel_statistics *statistics)
{
    *statistics = interp_of(accel)->statistics;
}

/* ---- making it ------------------------------------------------------------------------------------------------ */

static void interp_destroy(struct accel *accel)
{
    struct interp *cpu = interp_of(accel);

    block_cache_destroy(cpu);
    run_control_destroy(cpu);
    decode_tables_destroy(cpu->tables);
    unimplemented_log_destroy(cpu->unimplemented_log);
    free(cpu->views);
    free(cpu);
}

static const struct accel_ops interp_ops = {
    .name = "interp",
    .run = interp_run,
    .icount = interp_icount,
    .where = interp_where,
    .reset = interp_reset,
    .get_state = interp_get_state,
    .set_state = interp_set_state,
    .set_icount = interp_set_icount,
    .memory_map_changed = interp_memory_map_changed,
    .memory_written = interp_memory_written,
    .memory_protect_all = interp_memory_protect_all,
    .a20_changed = interp_a20_changed,
    .hidden_bytes = mmu_hidden_bytes,
    .hidden_save = mmu_hidden_save,
    .hidden_load = mmu_hidden_load,
    .page_replaced = interp_page_replaced,
    .translate = interp_translate,
    .debug_insert = run_control_insert,
    .debug_remove = run_control_remove,
    .debug_stop = run_control_stop,
    .debug_hit_waits = run_control_hit_waits,
    .debug_go_past = run_control_go_past,
    .debug_step = run_control_step,
    .debug_mute = run_control_mute,
    .debug_run_until = run_control_run_until,
    .debug_until_met = run_control_until_met,
    .debug_forget = run_control_forget_hits,
    .debug_in_step = run_control_in_step,
    .unimplemented = interp_list_unimplemented,
    .statistics = interp_statistics,
    .step = interp_step,
    .msr = interp_msr,
    .destroy = interp_destroy,
};

struct accel *interp_create(struct machine *machine, const struct interp_options *options, struct error *error)
{
    static const struct interp_options defaults;
    struct interp *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);
    struct tlb_set *views = cpu ? aligned_alloc(64, TLB_VIEWS * sizeof *views) : NULL;

    if (!views) {
        free(cpu);
        error_set(error, "no memory for the CPU");
        return NULL;
    }
    if (!options)
        options = &defaults;
    memset(cpu, 0, sizeof *cpu);
    cpu->accel = (struct accel){.ops = &interp_ops, .machine = machine};
    memset(views, 0, TLB_VIEWS * sizeof *views);
    cpu->views = cpu->tlb = views;
    cpu->attention = machine_attention(machine);
    cpu->host_features = host_features();
    cpu->next_timer_ns = machine_next_timer_ns(machine);
    cpu->tables = decode_tables_create(machine_cpu_model(machine));
    cpu->r[REG_FAR].q = REG_FAR_VALUE;
    cpu->counts_exits = machine_counts_exits(machine);
    cpu->may_want = machine_may_want(machine);
    cpu->rotates_by_cl = machine_goes(machine, MACHINE_WAY_ROTATES_BY_CL);
    cpu->freezes_tsc = cpu->counts_exits && machine_goes(machine, MACHINE_WAY_TSC_FROZEN);
    cpu->traps_tsc = machine_goes(machine, MACHINE_WAY_TSC_SITES);
    cpu->features = interp_features_of(machine_cpu_model(machine));
    cpu->unimplemented_log = unimplemented_log_create();
    run_control_create(cpu);
    block_cache_create(cpu, options->cache_bytes, options->block_steps);
    mmu_drop_views(cpu);
    interp_reset(&cpu->accel);
    return &cpu->accel;
}
