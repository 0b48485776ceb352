/* Making the accelerator, and its operations. See accel_kvm.h. */
#include "accel-kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Three pages that the guest does not use, wanted by KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR on VMX. */
#define TSS_GPA 0xFEFFD000u
#define IDENTITY_GPA 0xFEFFC000ull
#define RFLAGS_IF 0x200u

static uint64_t kvm_icount(const struct accel *accel)
{
    (void)accel;
    return 0; /* exits are counted by the machine */
}

static void kvm_get_state(struct accel *accel, struct cpu_state *state)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_complete(cpu);
    kvm_state_fetch(cpu);
    cpu->state.halted = cpu->halted;
    *state = cpu->state;
}

static bool kvm_hears_interrupts(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    return (kvm_rflags(cpu) & RFLAGS_IF) || (cpu->state_valid && cpu->state.mwaiting);
}

static void kvm_set_state(struct accel *accel, const struct cpu_state *state)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_complete(cpu);
    cpu->state = *state;
    cpu->halted = state->halted;
    cpu->state_valid = cpu->state_changed = true;
    if (machine_goes(accel->machine, MACHINE_WAY_SYSCALL_FAULTS))
        cpu->repair.lstar = state->lstar;
}

static void kvm_reset(struct accel *accel)
{
    struct cpu_state state;
    cpu_state_reset(&state);
    state.misc_enable = kvm_of(accel)->state.misc_enable | 1;
    kvm_set_state(accel, &state);
}

static void kvm_set_icount(struct accel *accel, uint64_t icount)
{
    (void)accel;
    (void)icount;
}

static void kvm_memory_map_changed(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_slots_rebuild(cpu);
    cpu->helper->ops->memory_map_changed(cpu->helper);
}

/* KVM looks at memory itself, and the helper forgets all code before each step. */
static void kvm_memory_written(struct accel *accel, uint64_t gpa, uint64_t size_bytes)
{
    (void)accel;
    (void)gpa;
    (void)size_bytes;
}

static void kvm_memory_protect_all(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_slots_fetch_dirty(cpu);
    kvm_copies_note(cpu);
    cpu->helper->ops->memory_protect_all(cpu->helper);
}

static void kvm_a20_changed(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    cpu->helper->ops->a20_changed(cpu->helper);
}

static bool kvm_translate(struct accel *accel, uint64_t linear, uint64_t *gpa)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_complete(cpu);
    kvm_state_fetch(cpu);
    cpu->helper->ops->set_state(cpu->helper, &cpu->state);
    return cpu->helper->ops->translate(cpu->helper, linear, gpa);
}

static size_t kvm_unimplemented(struct accel *accel, struct accel_unimplemented *list, size_t max)
{
    struct accel *helper = kvm_of(accel)->helper;
    return helper->ops->unimplemented(helper, list, max);
}

static void kvm_statistics_of(struct accel *accel, struct accel_statistics *statistics)
{
    *statistics = (struct accel_statistics){.interrupts = kvm_of(accel)->statistics.interrupts};
}

static const char *kvm_error(const struct accel *accel)
{
    return ((const struct kvm_accel *)(const void *)accel)->error.text;
}

static void kvm_destroy(struct accel *accel)
{
    struct kvm_accel *cpu = kvm_of(accel);
    kvm_kick_free(cpu);
    if (cpu->run)
        munmap(cpu->run, cpu->run_bytes);
    if (cpu->stats >= 0)
        close(cpu->stats);
    if (cpu->vcpu >= 0)
        close(cpu->vcpu);
    if (cpu->vm >= 0)
        close(cpu->vm);
    if (cpu->kvm >= 0)
        close(cpu->kvm);
    kvm_slots_free(cpu);
    if (cpu->helper)
        cpu->helper->ops->destroy(cpu->helper);
    free(cpu);
}

static const struct accel_ops kvm_ops = {
    .name = "kvm",
    .run = kvm_accel_run,
    .icount = kvm_icount,
    .where = kvm_where,
    .reset = kvm_reset,
    .get_state = kvm_get_state,
    .hears_interrupts = kvm_hears_interrupts,
    .set_state = kvm_set_state,
    .set_icount = kvm_set_icount,
    .memory_map_changed = kvm_memory_map_changed,
    .memory_written = kvm_memory_written,
    .memory_protect_all = kvm_memory_protect_all,
    .a20_changed = kvm_a20_changed,
    .translate = kvm_translate,
    .debug_go_past = kvm_step_forget,
    .debug_step = kvm_step,
    .unimplemented = kvm_unimplemented,
    .statistics = kvm_statistics_of,
    .error = kvm_error,
    .kick = kvm_kick_post,
    .destroy = kvm_destroy,
};

const struct kvm_accel_statistics *kvm_accel_statistics(const struct accel *accel)
{
    return accel->ops == &kvm_ops ? &((const struct kvm_accel *)(const void *)accel)->statistics : NULL;
}

/* ---- making it ---- */

static bool refused(struct error *error, const char *what)
{
    error_set(error, "accel kvm: %s: %s", what, strerror(errno));
    return false;
}

static bool enable(struct kvm_accel *cpu, uint32_t capability, uint64_t argument)
{
    struct kvm_enable_cap enable = {.cap = capability, .args = {argument}};
    return ioctl(cpu->vm, KVM_ENABLE_CAP, &enable) == 0;
}

/* MSRs that KVM holds for the guest; all others come out (help.c). */
static bool filter_msrs(struct kvm_accel *cpu, struct error *error)
{
    uint8_t all[1] = {0xFF}, system_call[1] = {0xFF};
    struct kvm_msr_filter filter = {
        .flags = KVM_MSR_FILTER_DEFAULT_DENY,
        .ranges = {{KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 3, 0x174, all},
                   {KVM_MSR_FILTER_READ, 5, 0xC0000080, all},
                   {KVM_MSR_FILTER_WRITE, 5, 0xC0000080, system_call},
                   {KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, 3, 0xC0000100, all}},
    };
    if (machine_goes(cpu->accel.machine, MACHINE_WAY_SYSCALL_FAULTS))
        system_call[0] &= (uint8_t)~4u; /* LSTAR */
    if (!enable(cpu, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER | KVM_MSR_EXIT_REASON_UNKNOWN))
        return refused(error, "KVM_CAP_X86_USER_SPACE_MSR");
    return ioctl(cpu->vm, KVM_X86_SET_MSR_FILTER, &filter) == 0 || refused(error, "KVM_X86_SET_MSR_FILTER");
}

static bool create_vm(struct kvm_accel *cpu, const char *path, struct error *error)
{
    uint64_t identity = IDENTITY_GPA;
    cpu->kvm = open(path, O_RDWR | O_CLOEXEC);
    if (cpu->kvm < 0) {
        error_set(error, "%s: %s", path, strerror(errno));
        return false;
    }
    if ((cpu->vm = ioctl(cpu->kvm, KVM_CREATE_VM, 0)) < 0)
        return refused(error, "KVM_CREATE_VM");
    (void)ioctl(cpu->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    (void)ioctl(cpu->vm, KVM_SET_TSS_ADDR, TSS_GPA);
    (void)enable(cpu, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
    return filter_msrs(cpu, error);
}

static bool create_vcpu(struct kvm_accel *cpu, struct error *error)
{
    int bytes = ioctl(cpu->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if ((cpu->vcpu = ioctl(cpu->vm, KVM_CREATE_VCPU, 0)) < 0 || bytes <= 0)
        return refused(error, "KVM_CREATE_VCPU");
    void *run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->vcpu, 0);
    if (run == MAP_FAILED)
        return refused(error, "mmap");
    cpu->run = run;
    cpu->run_bytes = (size_t)bytes;
    return kvm_cpuid_set(cpu->kvm, cpu->vcpu, machine_cpu_model(cpu->accel.machine), NULL, error);
}

struct accel *kvm_accel_create(struct machine *machine, const struct kvm_accel_options *options, struct error *error)
{
    struct kvm_accel *cpu = calloc(1, sizeof *cpu);
    CHECK(cpu && options->helper && machine_counts_exits(machine));
    cpu->accel = (struct accel){.ops = &kvm_ops, .machine = machine};
    cpu->helper = options->helper;
    cpu->slower = options->slower ? options->slower : 1;
    cpu->plain = options->plain;
    cpu->kvm = cpu->vm = cpu->vcpu = cpu->stats = -1;
    cpu_state_reset(&cpu->state);
    cpu->state_valid = cpu->state_changed = true;
    if (create_vm(cpu, options->path ? options->path : "/dev/kvm", error) && create_vcpu(cpu, error) &&
        kvm_freeze_setup(cpu, error) && kvm_kick_setup(cpu, error)) {
        kvm_state_setup(cpu);
        kvm_count_setup(cpu);
        return &cpu->accel;
    }
    kvm_destroy(&cpu->accel);
    return NULL;
}
