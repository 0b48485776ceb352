/* The accelerator of a session's machine: the interpreter, or KVM with an interpreter for what KVM leaves. */
#include "tools/session_accel.h"

#include "accel-interp/accel_interp.h"
#include "tools/tools.h"

#ifdef VMRR_KVM
#include "accel-kvm/accel_kvm.h"
#include "accel-kvm/probe_promise.h"
#endif

#include <inttypes.h>
#include <string.h>

/* Of a run whose positions are exits, exits; some hundred a second at the rate at which a host does them. */
#define CHECKPOINT_EXITS_DEFAULT 16384u
#define PROBES_MORE 3u

bool accel_is_kvm(const char *name)
{
    return !strcmp(name, "kvm");
}

#ifdef VMRR_KVM
/* On what a run depends, or whether there is one: not to be taken for "no" because a guest of the probe was too slow. */
static bool is_settled(const struct kvm_probe *probe)
{
    struct kvm_promises promises;
    kvm_promises_derive(probe, &promises);
    return probe->syscall && probe->rol_flags_cpl0 && probe->fxsave_tail_cpl0 && probe->breakpoint_cpl0 &&
           !(promises.lacks && kvm_fact_get(probe, promises.lacks) == KVM_UNKNOWN);
}

static void add_answers(struct kvm_probe *probe, const struct kvm_probe *more)
{
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        const struct kvm_fact *fact = kvm_fact_row(n);
        enum kvm_answer *answer = (enum kvm_answer *)(void *)((char *)probe + fact->offset);
        if (*answer == KVM_UNKNOWN)
            *answer = kvm_fact_get(more, fact);
    }
}

/* A probe on a host that is busy may not come to all: it is made again. */
static enum status probe_host(struct kvm_probe *probe, struct error *error)
{
    const struct kvm_probe_options options = {.without_costs = true};
    struct kvm_probe more;
    enum status status = kvm_probe(&options, probe, error);
    for (unsigned n = 0; !status && n < PROBES_MORE && !is_settled(probe); n++) {
        if (kvm_probe(&options, &more, error) == STATUS_OK)
            add_answers(probe, &more);
    }
    return status;
}

/* What the host can't do at all is not attempted. What only some guests meet (32-bit paging) is said when one does. */
static enum status learn_host(struct kvm_probe *probe, enum kvm_direction direction, struct error *error)
{
    struct kvm_promises promises;
    enum status status = probe_host(probe, error);
    if (status)
        return status;
    kvm_promises_derive(probe, &promises);
    const struct kvm_promise *promise = &promises.promise[direction][KVM_CODE_CPL0];
    if (promise->level != KVM_REFUSED)
        return STATUS_OK;
    return error_status(error, STATUS_UNSUPPORTED, "-accel kvm: not on this host: %s%s%s (vmrr info --host)",
                        kvm_reason_text(promise->reason), promise->reason == KVM_REASON_LACKS ? ": " : "",
                        promise->reason == KVM_REASON_LACKS ? promises.lacks->name : "");
}

static uint32_t ways_of(const struct kvm_probe *probe)
{
    struct kvm_promises promises;
    kvm_promises_derive(probe, &promises);
    return (promises.tsc_can_freeze ? MACHINE_WAY_TSC_FROZEN : 0) |
           (probe->syscall == KVM_WRONG ? MACHINE_WAY_SYSCALL_FAULTS : 0) |
           (probe->rol_flags_cpl0 == KVM_WRONG ? MACHINE_WAY_ROTATES_BY_CL : 0) |
           (probe->fxsave_tail_cpl0 == KVM_WRONG ? MACHINE_WAY_FXSAVE_FILLS : 0);
}
#endif

#ifdef VMRR_KVM
static enum status can_trap(const struct kvm_probe *probe, struct error *error)
{
    if (probe->breakpoint_cpl0 == KVM_YES)
        return STATUS_OK;
    return error_status(error, STATUS_UNSUPPORTED,
                        "-kvm-trap-tsc=ADDRESS: not on this host: does its KVM stop at a hardware breakpoint at CPL0? %s "
                        "(vmrr info --host: breakpoint_cpl0)",
                        kvm_answer_name(probe->breakpoint_cpl0));
}

/* A host without KVM, or with one that could not run it, is no reason not to make it. */
static enum status make_for_kvm(struct journal_config *config, struct error *error)
{
    struct kvm_probe probe;
    struct error ignored = {0};
    if (learn_host(&probe, KVM_FROM_INTERP, &ignored))
        return STATUS_OK;
    config->ways |= ways_of(&probe);
    return kvm_cpu_model(NULL, &config->cpu, error);
}

static enum status make_by_kvm(struct journal_config *config, struct error *error)
{
    struct kvm_probe probe;
    enum status status = learn_host(&probe, KVM_TO_INTERP, error);
    if (!status && (config->ways & MACHINE_WAY_TSC_SITES))
        status = can_trap(&probe, error);
    if (status)
        return status;
    config->ways |= ways_of(&probe);
    return kvm_cpu_model(NULL, &config->cpu, error);
}
#else
static enum status make_for_kvm(struct journal_config *config, struct error *error)
{
    (void)config;
    (void)error;
    return STATUS_OK;
}

static enum status make_by_kvm(struct journal_config *config, struct error *error)
{
    (void)config;
    return error_status(error, STATUS_UNSUPPORTED, "-accel kvm: not on this kind of host (Linux on x86-64 has it)");
}
#endif

enum status accel_complete_config(struct journal_config *config, struct error *error)
{
    if (!config->counts_exits)
        return STATUS_OK;
    config->timing = BLOCK_TIMING_HOST;
    if (!config->checkpoint_steps)
        config->checkpoint_steps = CHECKPOINT_EXITS_DEFAULT;
    cpu_model_hide_uncontrolled(&config->cpu);
    return accel_is_kvm(config->accel) ? make_by_kvm(config, error) : make_for_kvm(config, error);
}

#ifdef VMRR_KVM
/* A run that there was already is to be run on this host's KVM. */
static bool host_again(struct machine *machine, bool by_kvm, struct error *error)
{
    struct kvm_probe probe;
    if (learn_host(&probe, by_kvm ? KVM_TO_KVM : KVM_FROM_INTERP, error))
        return false;
    uint32_t ways = ways_of(&probe);
    if (machine_goes(machine, MACHINE_WAY_TSC_SITES) && can_trap(&probe, error))
        return false;
    if (machine_goes(machine, MACHINE_WAY_TSC_FROZEN) && !(ways & MACHINE_WAY_TSC_FROZEN)) {
        error_set(error, "-accel kvm: the run has a TSC that stands still, which this host's KVM can't do (vmrr info --host: "
                         "tsc_scaling, tsc_offset): replay it with -accel interp");
        return false;
    }
    static const enum machine_way alike[] = {MACHINE_WAY_SYSCALL_FAULTS, MACHINE_WAY_ROTATES_BY_CL, MACHINE_WAY_FXSAVE_FILLS};
    bool same = true;
    for (size_t n = 0; n < sizeof alike / sizeof *alike; n++)
        same &= machine_goes(machine, alike[n]) == !!(ways & alike[n]);
    if (same)
        return true;
    error_set(error, "-accel kvm: SYSCALL at CPL3, ROL by more than 1, or FXSAVE at CPL0 leaves something else on this host's KVM "
                     "than on the one that made the run, or that it was made for: replay it with -accel interp");
    return false;
}
#endif

struct accel *accel_make(struct machine *machine, bool kvm, const char *maker, uint32_t slower, struct error *error)
{
    struct interp_options options = {0};
    struct accel *interp = interp_create(machine, &options, error);
    if (!interp || !kvm)
        return interp;
    if (!machine_counts_exits(machine)) {
        error_set(error, "-accel kvm: the journal's positions are instructions, which this accelerator can't count: replay it with "
                         "-accel interp, or record such a run with --positions exits");
        interp->ops->destroy(interp);
        return NULL;
    }
#ifdef VMRR_KVM
    if (maker && !host_again(machine, accel_is_kvm(maker), error)) {
        interp->ops->destroy(interp);
        return NULL;
    }
    return kvm_accel_create(machine, &(struct kvm_accel_options){.helper = interp, .slower = slower}, error);
#else
    (void)maker;
    (void)slower;
    error_set(error, "-accel kvm: not on this kind of host (Linux on x86-64 has it)");
    interp->ops->destroy(interp);
    return NULL;
#endif
}

void accel_report(const struct accel *accel, FILE *out)
{
#ifdef VMRR_KVM
    const struct kvm_accel_statistics *kvm = kvm_accel_statistics(accel);
    if (!kvm)
        return;
    fprintf(out,
            "kvm: %" PRIu64 " exits, %" PRIu64 " interrupts, %" PRIu64 " landmarks, %" PRIu64 " kicks, %" PRIu64
            " entries (%" PRIu64 " to complete an access)\n",
            kvm->exits, kvm->interrupts, kvm->landmarks, kvm->kicks, kvm->entries, kvm->completions);
    if (kvm->syscalls)
        fprintf(out, "kvm: %" PRIu64 " SYSCALLs mended, in %" PRIu64 " page faults\n", kvm->syscalls, kvm->faults);
    if (kvm->tsc_reads)
        fprintf(out, "kvm: %" PRIu64 " RDTSCs by breakpoints\n", kvm->tsc_reads);
    if (kvm->tsc_ticks)
        fprintf(out, "kvm: the TSC moved between two exits %" PRIu64 " times\n", kvm->tsc_ticks);
    if (kvm->rewinds)
        fprintf(out, "kvm: %" PRIu64 " landmarks were passed first\n", kvm->rewinds);
    if (kvm->helped)
        fprintf(out, "kvm: %" PRIu64 " instructions executed by the interpreter:", kvm->helped);
    for (unsigned n = 0; n < kvm->opcodes; n++)
        fprintf(out, " %06x %" PRIu64, kvm->by_opcode[n].opcode, kvm->by_opcode[n].count);
    if (kvm->helped)
        fprintf(out, "\n");
#else
    (void)accel;
    (void)out;
#endif
}
