/* A VM of the probe: Documentation/virt/kvm/api.rst. Every guest starts from a whole new state of the same vCPU; what was
 * spoiled is made again. */
#include "accel-kvm/probe_vm.h"

#include "core/cpu_model.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_FMASK 0xc0000084u
#define CR4_OSXSAVE 0x40000u
/* Of Intel processors without unrestricted guests: three pages for a TSS and one for a page table, away from the rest. */
#define TSS_PAGES 0xfffbd000ul
#define IDENTITY_PAGE 0xfffbc000ull

/* ---- CPUID ---- */

const struct kvm_cpuid_entry2 *probe_cpuid_find(const struct probe_cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t n = 0; n < cpuid->count; n++) {
        const struct kvm_cpuid_entry2 *entry = &cpuid->entry[n];
        bool indexed = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (entry->function == leaf && (!indexed || entry->index == subleaf))
            return entry;
    }
    return NULL;
}

bool probe_vm_has(const struct probe_vm *vm, uint32_t leaf, unsigned reg, unsigned bit)
{
    const struct kvm_cpuid_entry2 *entry = probe_cpuid_find(&vm->effective, leaf, 0);
    if (!entry)
        return false;
    const uint32_t values[4] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
    return values[reg] >> bit & 1;
}

static enum status table_all(struct probe_vm *vm, struct error *error)
{
    vm->asked.count = sizeof vm->asked.entry / sizeof vm->asked.entry[0];
    if (ioctl(vm->kvm, KVM_GET_SUPPORTED_CPUID, &vm->asked))
        return error_status(error, STATUS_IO, "KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
    return STATUS_OK;
}

static enum status table_hiding(struct probe_vm *vm, struct error *error)
{
    struct cpu_model model;
    enum status status = cpu_model_init(&model, "v1", error);
    if (status)
        return status;
    vm->asked.count = model.count;
    for (uint32_t n = 0; n < model.count; n++) {
        const struct cpu_model_leaf *leaf = &model.leaf[n];
        vm->asked.entry[n] = (struct kvm_cpuid_entry2){.function = leaf->leaf,
                                                       .index = leaf->subleaf,
                                                       .flags = leaf->has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
                                                       .eax = leaf->eax,
                                                       .ebx = leaf->ebx,
                                                       .ecx = leaf->ecx,
                                                       .edx = leaf->edx};
    }
    return STATUS_OK;
}

static enum status set_table(struct probe_vm *vm, struct error *error)
{
    enum status status = vm->table == PROBE_TABLE_ALL ? table_all(vm, error) : table_hiding(vm, error);
    if (status)
        return status;
    if (ioctl(vm->vcpu, KVM_SET_CPUID2, &vm->asked))
        return error_status(error, STATUS_IO, "KVM_SET_CPUID2: %s", strerror(errno));
    vm->effective.count = sizeof vm->effective.entry / sizeof vm->effective.entry[0];
    if (ioctl(vm->vcpu, KVM_GET_CPUID2, &vm->effective))
        return error_status(error, STATUS_IO, "KVM_GET_CPUID2: %s", strerror(errno));
    return STATUS_OK;
}

/* ---- making and giving back ---- */

static enum status make_vcpu(struct probe_vm *vm, struct error *error)
{
    unsigned long tss = TSS_PAGES;
    uint64_t identity = IDENTITY_PAGE;
    struct kvm_userspace_memory_region region = {.memory_size = PROBE_RAM_BYTES,
                                                 .userspace_addr = (uintptr_t)vm->memory};
    struct kvm_enable_cap failures = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};
    (void)!ioctl(vm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity); /* SVM and PVM have no use for them */
    (void)!ioctl(vm->vm, KVM_SET_TSS_ADDR, tss);
    if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0)
        (void)!ioctl(vm->vm, KVM_ENABLE_CAP, &failures);
    if (ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &region))
        return error_status(error, STATUS_IO, "KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
    vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
    if (vm->vcpu < 0)
        return error_status(error, STATUS_IO, "KVM_CREATE_VCPU: %s", strerror(errno));
    int bytes = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof *vm->run)
        return error_status(error, STATUS_IO, "KVM_GET_VCPU_MMAP_SIZE: %d", bytes);
    vm->run_bytes = (size_t)bytes;
    void *run = mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0);
    if (run == MAP_FAILED)
        return error_status(error, STATUS_IO, "mmap of the vCPU: %s", strerror(errno));
    vm->run = run;
    return STATUS_OK;
}

/* Inside KVM_RUN every signal waits but the timer's. The kernel's mask is 64 bits. */
static enum status set_signal_mask(struct probe_vm *vm, struct error *error)
{
    union {
        struct kvm_signal_mask head;
        uint8_t room[sizeof(struct kvm_signal_mask) + 8];
    } mask = {.head = {.len = 8}};
    uint64_t blocked = ~(1ull << (vm->timer->signal - 1));
    memcpy(mask.room + sizeof mask.head, &blocked, sizeof blocked);
    if (ioctl(vm->vcpu, KVM_SET_SIGNAL_MASK, &mask))
        return error_status(error, STATUS_IO, "KVM_SET_SIGNAL_MASK: %s", strerror(errno));
    return STATUS_OK;
}

static void set_syscall(struct probe_vm *vm)
{
    (void)probe_vm_set_msr(vm, MSR_STAR, probe_layout_star());
    (void)probe_vm_set_msr(vm, MSR_LSTAR, probe_layout_lstar());
    (void)probe_vm_set_msr(vm, MSR_FMASK, 0);
}

static enum status make(struct probe_vm *vm, struct error *error)
{
    vm->memory = mmap(NULL, PROBE_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm->memory == MAP_FAILED) {
        vm->memory = NULL;
        return STATUS_NO_MEMORY;
    }
    vm->vm = ioctl(vm->kvm, KVM_CREATE_VM, 0);
    if (vm->vm < 0)
        return error_status(error, STATUS_IO, "KVM_CREATE_VM: %s", strerror(errno));
    enum status status = make_vcpu(vm, error);
    if (!status)
        status = set_table(vm, error);
    if (!status)
        status = set_signal_mask(vm, error);
    if (status)
        return status;
    set_syscall(vm);
    probe_layout_memory(vm->memory);
    return STATUS_OK;
}

static void give_back(struct probe_vm *vm)
{
    if (vm->run)
        munmap(vm->run, vm->run_bytes);
    if (vm->vcpu >= 0)
        close(vm->vcpu);
    if (vm->vm >= 0)
        close(vm->vm);
    if (vm->memory)
        munmap(vm->memory, PROBE_RAM_BYTES);
    vm->run = NULL;
    vm->memory = NULL;
    vm->vcpu = vm->vm = -1;
}

enum status probe_vm_init(struct probe_vm *vm, int kvm, struct probe_timer *timer, enum probe_table table,
                          struct error *error)
{
    memset(vm, 0, sizeof *vm);
    vm->kvm = kvm;
    vm->vm = vm->vcpu = -1;
    vm->timer = timer;
    vm->table = table;
    return make(vm, error);
}

void probe_vm_fini(struct probe_vm *vm)
{
    give_back(vm);
}

/* ---- running ---- */

bool probe_vm_set_msr(struct probe_vm *vm, uint32_t index, uint64_t value)
{
    const struct kvm_msr_entry entry = {.index = index, .data = value};
    union {
        struct kvm_msrs head;
        uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    } msrs = {.head = {.nmsrs = 1}};
    memcpy(msrs.room + sizeof msrs.head, &entry, sizeof entry);
    return ioctl(vm->vcpu, KVM_SET_MSRS, &msrs) == 1;
}

static bool renew(struct probe_vm *vm)
{
    give_back(vm);
    vm->spoiled = make(vm, NULL) != STATUS_OK;
    return !vm->spoiled;
}

static bool set_state(struct probe_vm *vm, const struct probe_start *start)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};
    struct kvm_vcpu_events events = {0};
    struct kvm_guest_debug debug = {0};
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = start->cr4 & CR4_OSXSAVE ? 3 : 1}}};
    if (!probe_layout_registers(vm, start, &regs, &sregs))
        return false;
    if (probe_vm_has(vm, 1, 2, 26)) /* XSAVE: there is an XCR0 */
        (void)!ioctl(vm->vcpu, KVM_SET_XCRS, &xcrs);
    (void)!ioctl(vm->vcpu, KVM_SET_GUEST_DEBUG, &debug);
    return !ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) && !ioctl(vm->vcpu, KVM_SET_REGS, &regs) &&
           !ioctl(vm->vcpu, KVM_SET_FPU, &fpu) && !ioctl(vm->vcpu, KVM_SET_VCPU_EVENTS, &events);
}

bool probe_vm_start(struct probe_vm *vm, enum probe_guest_id guest, const struct probe_start *start)
{
    if (vm->spoiled && !renew(vm))
        return false;
    probe_layout_code(vm->memory, probe_guest_get(guest));
    if (!set_state(vm, start))
        vm->spoiled = true;
    return !vm->spoiled;
}

static enum probe_end end_of_exit(const struct probe_vm *vm, uint8_t *vector)
{
    const struct kvm_run *run = vm->run;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1 || run->io.data_offset >= vm->run_bytes)
            return PROBE_OTHER;
        *vector = *((const uint8_t *)run + run->io.data_offset);
        if (run->io.port == PROBE_PORT_EXCEPTION)
            return PROBE_EXCEPTION;
        return run->io.port == PROBE_PORT_END ? PROBE_ENDED : PROBE_OTHER;
    case KVM_EXIT_INTERNAL_ERROR:
        return run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION ? PROBE_FAILS : PROBE_OTHER;
    case KVM_EXIT_DEBUG: return PROBE_STOPPED;
    case KVM_EXIT_SHUTDOWN: return PROBE_SHUTDOWN;
    case KVM_EXIT_FAIL_ENTRY: return PROBE_REFUSED;
    default: return PROBE_OTHER;
    }
}

void probe_vm_enter(struct probe_vm *vm, struct probe_outcome *outcome)
{
    uint64_t until = probe_now_ns() + PROBE_GUEST_LIMIT_NS;
    memset(outcome, 0, sizeof *outcome);
    outcome->end = PROBE_KILLED;
    if (until > vm->timer->end_ns) { /* the probe has had its time: what is left stays unknown */
        vm->spoiled = true;
        return;
    }
    probe_timer_arm(vm->timer, until);
    int result = ioctl(vm->vcpu, KVM_RUN, 0);
    int cause = errno;
    probe_timer_arm(vm->timer, 0);
    if (result >= 0)
        outcome->end = end_of_exit(vm, &outcome->vector);
    else if (cause != EINTR)
        outcome->end = PROBE_REFUSED;
    if (ioctl(vm->vcpu, KVM_GET_REGS, &outcome->regs))
        vm->spoiled = true;
    if (outcome->end == PROBE_SHUTDOWN || outcome->end == PROBE_REFUSED)
        vm->spoiled = true;
}

void probe_vm_complete(struct probe_vm *vm)
{
    vm->run->immediate_exit = 1;
    (void)!ioctl(vm->vcpu, KVM_RUN, 0);
    vm->run->immediate_exit = 0;
}

void probe_vm_run(struct probe_vm *vm, enum probe_guest_id guest, const struct probe_start *start,
                  struct probe_outcome *outcome)
{
    memset(outcome, 0, sizeof *outcome);
    outcome->end = PROBE_REFUSED;
    if (!probe_vm_start(vm, guest, start))
        return;
    probe_vm_enter(vm, outcome);
    if (!vm->spoiled)
        probe_vm_complete(vm);
}
