/* From facts to promises. What the rules rest on:
 *
 * 1. A count since the last exit names an instant: instructions by themselves, branches together with RIP and RCX. To get KVM there
 *    again takes single steps besides; the interpreter counts by itself.
 * 2. The interpreter can look for a landmark at every instruction; KVM only where it can step or break.
 * 3. A run of the interpreter has arrivals anywhere, one of KVM only where its guest made no exits in time.
 * 4. The interpreter tells its guest the CPUID table that KVM told; KVM can't take back what it adds.
 * 5. What fails emulation is user space's to do, and so right; what goes on wrongly or is the host's own goes into `unless`.
 *    The same kind of host does the same wrong again, so from KVM to KVM only values that change by themselves count.
 * 6. No KVM lets RDTSC exit. */
#include "accel-kvm/probe_promise.h"

#include <string.h>

#define BIT(name) (1u << KVM_UNCONTROLLED_##name)

/* ---- what the accelerator can't do without ---- */

static bool is_needed(const struct kvm_fact *fact)
{
    static const char *const needed[] = {
        "cap_sync_regs",
        "cap_immediate_exit",
        "cap_msr_filter",
        "cap_msr_exits",
        "cap_vcpu_events",
        "cap_debug_registers",
        "cap_xsave",
        "access_completes",
        "msr_read_exits",
        "msr_write_exits",
        "interrupt_cpl0",
        "interrupt_window",
        "kick",
    };
    for (size_t n = 0; n < sizeof needed / sizeof needed[0]; n++)
        if (!strcmp(needed[n], fact->name))
            return true;
    return false;
}

static const struct kvm_fact *find_lack(const struct kvm_probe *probe)
{
    for (size_t n = 0; n < kvm_fact_count(); n++)
        if (is_needed(kvm_fact_row(n)) && kvm_fact_get(probe, kvm_fact_row(n)) != KVM_YES)
            return kvm_fact_row(n);
    return NULL;
}

static enum kvm_reason refusal(const struct kvm_probe *probe, enum kvm_code code)
{
    bool enters = probe->syscall == KVM_YES || (probe->syscall == KVM_WRONG && probe->breakpoint_cpl0 == KVM_YES);
    if (!probe->present)
        return KVM_REASON_NO_KVM;
    if (find_lack(probe))
        return KVM_REASON_LACKS;
    switch (code) {
    case KVM_CODE_CPL0:
        if (probe->real_mode != KVM_YES || probe->unpaged_protected != KVM_YES)
            return KVM_REASON_NO_REAL_MODE;
        return probe->long_cpl0 != KVM_YES ? KVM_REASON_NO_LONG_MODE : KVM_REASON_NONE;
    case KVM_CODE_CPL3:
        if (probe->long_cpl3 != KVM_YES)
            return KVM_REASON_NO_LONG_MODE;
        return enters ? KVM_REASON_NONE : KVM_REASON_NO_SYSCALL;
    case KVM_CODE_COMPAT: return probe->compat_cpl3 != KVM_YES ? KVM_REASON_NO_COMPAT : KVM_REASON_NONE;
    default:
        if (probe->paging_32 != KVM_YES)
            return KVM_REASON_NO_PAGING_32;
        return probe->paging_pae != KVM_YES ? KVM_REASON_NO_PAGING_PAE : KVM_REASON_NONE;
    }
}

/* ---- where arrivals go ---- */

struct means {
    enum kvm_answer step, breakpoint, statistic, branches;
};

static enum kvm_position place_with(struct means means, enum kvm_direction direction)
{
    bool arrives = means.step == KVM_YES || direction == KVM_TO_INTERP;
    if (arrives && means.statistic == KVM_YES)
        return KVM_POSITION_STATISTIC;
    if (arrives && means.branches == KVM_YES)
        return KVM_POSITION_BRANCHES;
    return arrives || means.breakpoint == KVM_YES ? KVM_POSITION_LANDMARK : KVM_POSITION_NONE;
}

static enum kvm_position place(const struct kvm_probe *probe, enum kvm_direction direction, enum kvm_code code)
{
    const struct means cpl0 = {probe->step_cpl0, probe->breakpoint_cpl0, probe->insn_emulation_cpl0,
                               probe->pmu_branches_cpl0};
    const struct means cpl3 = {probe->step_cpl3, probe->breakpoint_cpl3, probe->insn_emulation_cpl3,
                               probe->pmu_branches_cpl3};
    const struct means compat = {probe->step_compat, probe->breakpoint_compat, probe->insn_emulation_compat,
                                 probe->pmu_branches_compat};
    switch (code) {
    case KVM_CODE_CPL0: return place_with(cpl0, direction);
    case KVM_CODE_CPL3: return place_with(cpl3, direction);
    case KVM_CODE_COMPAT: return place_with(compat, direction);
    default: {
        enum kvm_position kernel = place_with(cpl0, direction), user = place_with(compat, direction);
        return kernel < user ? kernel : user;
    }
    }
}

static bool is_counted(enum kvm_position position)
{
    return position == KVM_POSITION_STATISTIC || position == KVM_POSITION_BRANCHES;
}

/* ---- what a guest must not execute ---- */

static uint32_t unless(enum kvm_answer answer, uint32_t bit)
{
    return answer == KVM_YES || answer == KVM_FAILS ? 0 : bit;
}

static bool has_code(enum kvm_code code, enum kvm_code part)
{
    return code == part || (code == KVM_CODE_PAGING_32 && part != KVM_CODE_CPL3);
}

static uint32_t changing_values(const struct kvm_probe *probe, enum kvm_code code)
{
    uint32_t bits = BIT(RDTSC);
    if (has_code(code, KVM_CODE_CPL0))
        bits |= unless(probe->rdtscp_cpl0, BIT(RDTSCP)) | unless(probe->rdrand_cpl0, BIT(RDRAND)) |
                unless(probe->rdseed_cpl0, BIT(RDSEED));
    if (has_code(code, KVM_CODE_CPL3))
        bits |= unless(probe->rdtscp_cpl3, BIT(RDTSCP)) | unless(probe->rdrand_cpl3, BIT(RDRAND)) |
                unless(probe->rdseed_cpl3, BIT(RDSEED));
    if (has_code(code, KVM_CODE_COMPAT))
        bits |= unless(probe->rdtscp_compat, BIT(RDTSCP)) | unless(probe->rdrand_compat, BIT(RDRAND)) |
                unless(probe->rdseed_compat, BIT(RDSEED));
    return bits;
}

static uint32_t wrong_at_cpl0(const struct kvm_probe *probe)
{
    return unless(probe->cpuid_cpl0, BIT(CPUID)) | unless(probe->int_n_cpl0, BIT(INT_N)) |
           unless(probe->int3_cpl0, BIT(INT_N)) | unless(probe->tzcnt_cpl0, BIT(TZCNT)) |
           unless(probe->lzcnt_cpl0, BIT(LZCNT)) | unless(probe->movbe_cpl0, BIT(MOVBE)) |
           unless(probe->popcnt_cpl0, BIT(POPCNT)) | unless(probe->x87_cpl0, BIT(X87)) |
           unless(probe->sse_cpl0, BIT(SSE)) | unless(probe->xsave_cpl0, BIT(XSAVE)) |
           unless(probe->rol_flags_cpl0, BIT(ROL)) | unless(probe->fxsave_tail_cpl0, BIT(FXSAVE));
}

static uint32_t wrong_at_cpl3(const struct kvm_probe *probe)
{
    return unless(probe->cpuid_cpl3, BIT(CPUID)) | unless(probe->selectors_cpl3, BIT(SELECTORS)) |
           unless(probe->lar_cpl3, BIT(LAR)) | unless(probe->sgdt_cpl3, BIT(SGDT)) |
           unless(probe->flags_cpl3, BIT(PUSHF)) | unless(probe->ts_cpl3, BIT(TS)) |
           unless(probe->xgetbv_cpl3, BIT(XGETBV)) | unless(probe->tsd_cpl3, BIT(TSD)) |
           unless(probe->int_n_cpl3, BIT(INT_N)) | unless(probe->int3_cpl3, BIT(INT_N)) |
           unless(probe->tzcnt_cpl3, BIT(TZCNT)) | unless(probe->lzcnt_cpl3, BIT(LZCNT)) |
           unless(probe->movbe_cpl3, BIT(MOVBE)) | unless(probe->popcnt_cpl3, BIT(POPCNT)) |
           unless(probe->x87_cpl3, BIT(X87)) | unless(probe->sse_cpl3, BIT(SSE)) |
           unless(probe->xsave_cpl3, BIT(XSAVE));
}

static uint32_t wrong_in_compat(const struct kvm_probe *probe)
{
    return unless(probe->cpuid_compat, BIT(CPUID)) | unless(probe->selectors_compat, BIT(SELECTORS)) |
           unless(probe->flags_compat, BIT(PUSHF)) | unless(probe->ts_compat, BIT(TS)) |
           unless(probe->xgetbv_compat, BIT(XGETBV)) | unless(probe->tsd_compat, BIT(TSD)) |
           unless(probe->int_n_compat, BIT(INT_N)) | unless(probe->popcnt_compat, BIT(POPCNT)) |
           unless(probe->x87_compat, BIT(X87)) | unless(probe->sse_compat, BIT(SSE));
}

static uint32_t exceptions(const struct kvm_probe *probe, enum kvm_direction direction, enum kvm_code code)
{
    uint32_t bits = changing_values(probe, code);
    if (direction == KVM_TO_KVM)
        return bits;
    if (has_code(code, KVM_CODE_CPL0))
        bits |= wrong_at_cpl0(probe);
    if (has_code(code, KVM_CODE_CPL3))
        bits |= wrong_at_cpl3(probe);
    if (has_code(code, KVM_CODE_COMPAT))
        bits |= wrong_in_compat(probe);
    return bits;
}

/* ---- the promise ---- */

static struct kvm_promise checked(struct kvm_promise promise, enum kvm_reason reason)
{
    promise.level = KVM_CHECKED;
    promise.reason = reason;
    return promise;
}

static struct kvm_promise refused(enum kvm_reason reason)
{
    return (struct kvm_promise){.level = KVM_REFUSED, .reason = reason};
}

static struct kvm_promise derive(const struct kvm_probe *probe, enum kvm_direction direction, enum kvm_code code)
{
    enum kvm_reason reason = refusal(probe, code);
    struct kvm_promise promise = {
        .level = KVM_EXACT, .position = place(probe, direction, code), .unless = exceptions(probe, direction, code)};
    if (reason)
        return refused(reason);
    if (direction == KVM_FROM_INTERP && promise.position == KVM_POSITION_NONE)
        return refused(KVM_REASON_NO_PLACE);
    if (promise.position == KVM_POSITION_NONE)
        return checked(promise, KVM_REASON_NO_PLACE_AGAIN);
    if (!is_counted(promise.position))
        return checked(promise, KVM_REASON_LANDMARK);
    if (direction == KVM_FROM_INTERP && probe->cpuid_hides != KVM_YES)
        return checked(promise, KVM_REASON_CPUID);
    return promise;
}

static enum kvm_tier derive_tier(const struct kvm_probe *probe)
{
    if (!probe->present || find_lack(probe))
        return KVM_TIER_NONE;
    if (!is_counted(place(probe, KVM_TO_INTERP, KVM_CODE_CPL0)))
        return KVM_TIER_LANDMARKS;
    return is_counted(place(probe, KVM_TO_INTERP, KVM_CODE_CPL3)) ? KVM_TIER_COUNTED : KVM_TIER_KERNEL_COUNTED;
}

void kvm_promises_derive(const struct kvm_probe *probe, struct kvm_promises *promises)
{
    memset(promises, 0, sizeof *promises);
    promises->tier = derive_tier(probe);
    promises->tsc_can_freeze = probe->tsc_scaling == KVM_YES && probe->tsc_offset == KVM_YES;
    promises->lacks = probe->present ? find_lack(probe) : NULL;
    for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++)
        for (unsigned code = 0; code < KVM_CODE_COUNT; code++)
            promises->promise[direction][code] = derive(probe, (enum kvm_direction)direction, (enum kvm_code)code);
}

/* ---- names ---- */

const char *kvm_tier_name(enum kvm_tier tier)
{
    static const char *const names[KVM_TIER_COUNT] = {"none", "landmarks", "kernel-counted", "counted"};
    return tier < KVM_TIER_COUNT ? names[tier] : "unknown";
}

const char *kvm_tier_means(enum kvm_tier tier)
{
    static const char *const texts[KVM_TIER_COUNT] = {"no run on KVM", "nothing counts a guest's instructions",
                                                      "instructions are counted at CPL0, not at 64-bit CPL3",
                                                      "instructions or branches are counted at CPL0 and CPL3"};
    return tier < KVM_TIER_COUNT ? texts[tier] : "unknown";
}

const char *kvm_level_name(enum kvm_level level)
{
    static const char *const names[KVM_LEVEL_COUNT] = {"refused", "checked only", "bit-exact"};
    return level < KVM_LEVEL_COUNT ? names[level] : "unknown";
}

const char *kvm_position_name(enum kvm_position position)
{
    static const char *const names[KVM_POSITION_COUNT] = {"exits only", "landmark", "insn_emulation", "branches"};
    return position < KVM_POSITION_COUNT ? names[position] : "unknown";
}

const char *kvm_code_name(enum kvm_code code)
{
    static const char *const names[KVM_CODE_COUNT] = {"CPL0", "64-bit CPL3", "32-bit CPL3", "32-bit paging"};
    return code < KVM_CODE_COUNT ? names[code] : "unknown";
}

const char *kvm_reason_text(enum kvm_reason reason)
{
    static const char *const texts[] = {
#define REASON(name, text) text,
#include "accel-kvm/probe_promise.def"
#undef REASON
    };
    return reason < KVM_REASON_COUNT ? texts[reason] : "unknown";
}

const char *kvm_uncontrolled_text(enum kvm_uncontrolled uncontrolled)
{
    static const char *const texts[] = {
#define UNCONTROLLED(name, text) text,
#include "accel-kvm/probe_promise.def"
#undef UNCONTROLLED
    };
    return uncontrolled < KVM_UNCONTROLLED_COUNT ? texts[uncontrolled] : "unknown";
}
