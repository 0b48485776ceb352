/* Counting instructions: the vCPU's statistic insn_emulation (KVM_GET_STATS_FD, Documentation/virt/kvm/api.rst 4.133) and
 * the processor's counters (perf_event_open(2)). A counter counts when two runs of a loop that differ by a
 * known number of instructions differ by as much: what a run costs besides then does not matter. */
#include "accel-kvm/probe_learn.h"
#include "accel-kvm/statistic.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHORT 100u
#define LONG 1100u
#define LOOP_INSTRUCTIONS 2u
#define LOOP_BRANCHES 1u

struct counter {
    int fd;
    uint64_t offset; /* of the value; perf: 0 */
    bool perf;
};

static bool counter_read(const struct counter *counter, uint64_t *value)
{
    if (counter->perf)
        return read(counter->fd, value, sizeof *value) == (ssize_t)sizeof *value;
    return pread(counter->fd, value, sizeof *value, (off_t)counter->offset) == (ssize_t)sizeof *value;
}

/* ---- runs ---- */

static bool count_run(struct probe_vm *vm, enum probe_mode mode, uint64_t turns, const struct counter *counter,
                      uint64_t *counted)
{
    struct probe_start start = {.mode = mode, .rcx = turns};
    struct probe_outcome outcome;
    uint64_t before, after;
    if (!probe_vm_start(vm, PROBE_GUEST_loop, &start) || !counter_read(counter, &before))
        return false;
    probe_vm_enter(vm, &outcome);
    if (!counter_read(counter, &after))
        return false;
    if (!vm->spoiled)
        probe_vm_complete(vm);
    *counted = after - before;
    return outcome.end == PROBE_ENDED;
}

static enum kvm_answer counts(struct probe_vm *vm, enum probe_mode mode, const struct counter *counter, uint64_t each)
{
    uint64_t few, many;
    if (!count_run(vm, mode, SHORT, counter, &few) || !count_run(vm, mode, LONG, counter, &many))
        return KVM_UNKNOWN;
    if (many - few == (LONG - SHORT) * each)
        return KVM_YES;
    return many - few < LONG - SHORT ? KVM_NO : KVM_WRONG;
}

static void learn_statistic(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    struct probe_vm *vm = &rig->all;
    struct counter counter = {.fd = -1};
    struct probe_start start = {.mode = PROBE_CPL0};
    if (result->cap_stats != KVM_YES || !probe_vm_start(vm, PROBE_GUEST_nops, &start)) /* no new VM while it counts */
        return;
    counter.fd = ioctl(vm->vcpu, KVM_GET_STATS_FD, NULL);
    if (counter.fd < 0)
        return;
    if (kvm_statistic_find(counter.fd, "insn_emulation", &counter.offset)) {
        result->insn_emulation_cpl0 = counts(vm, PROBE_CPL0, &counter, LOOP_INSTRUCTIONS);
        result->insn_emulation_cpl3 = counts(vm, PROBE_CPL3, &counter, LOOP_INSTRUCTIONS);
        result->insn_emulation_compat = counts(vm, PROBE_COMPAT_CPL3, &counter, LOOP_INSTRUCTIONS);
    } else {
        result->insn_emulation_cpl0 = result->insn_emulation_cpl3 = result->insn_emulation_compat = KVM_NO;
    }
    close(counter.fd);
}

/* ---- the processor's counters ---- */

static int open_event(uint64_t event)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_HARDWARE,
                                   .size = sizeof attr,
                                   .config = event,
                                   .exclude_host = 1,
                                   .exclude_hv = 1,
                                   .pinned = 1};
    return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Where the host lets nobody count (perf_event_paranoid), that is no answer. facts: CPL0, CPL3, compatibility code. */
static enum kvm_answer learn_event(struct probe_rig *rig, uint64_t event, uint64_t each,
                                   enum kvm_answer *const facts[3])
{
    static const enum probe_mode modes[3] = {PROBE_CPL0, PROBE_CPL3, PROBE_COMPAT_CPL3};
    struct counter counter = {.fd = open_event(event), .perf = true};
    enum kvm_answer answer = KVM_YES;
    if (counter.fd < 0)
        answer = errno == EACCES || errno == EPERM ? KVM_UNKNOWN : KVM_NO;
    for (unsigned n = 0; n < 3; n++)
        *facts[n] = answer == KVM_YES ? counts(&rig->all, modes[n], &counter, each) : answer;
    if (counter.fd >= 0)
        close(counter.fd);
    return answer;
}

void probe_learn_counters(struct probe_rig *rig)
{
    struct kvm_probe *result = rig->result;
    enum kvm_answer *const branches[3] = {&result->pmu_branches_cpl0, &result->pmu_branches_cpl3,
                                          &result->pmu_branches_compat};
    enum kvm_answer *const instructions[3] = {&result->pmu_instructions_cpl0, &result->pmu_instructions_cpl3,
                                              &result->pmu_instructions_compat};
    learn_statistic(rig);
    result->pmu = learn_event(rig, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, LOOP_BRANCHES, branches);
    learn_event(rig, PERF_COUNT_HW_INSTRUCTIONS, LOOP_INSTRUCTIONS, instructions);
}
