/* The probe's way in: the device file, its API, its capabilities. Documentation/virt/kvm/api.rst. */
#include "accel-kvm/probe.h"

#include "accel-kvm/probe_learn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *device_path(const struct kvm_probe_options *options)
{
    return options && options->path ? options->path : "/dev/kvm";
}

static int open_device(const char *path, enum status *status, struct error *error)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        *status = error_status(error, STATUS_NOT_FOUND,
                               "%s: %s: load kvm_intel or kvm_amd (modprobe), or switch virtualization on in the "
                               "firmware or in the hypervisor above",
                               path, strerror(errno));
        break;
    case EACCES:
    case EPERM:
        *status =
            error_status(error, STATUS_IO, "%s: %s: join the group that owns it (usually kvm)", path, strerror(errno));
        break;
    case EISDIR: *status = error_status(error, STATUS_UNSUPPORTED, "%s: not a KVM device: a directory", path); break;
    default: *status = error_status(error, STATUS_IO, "%s: %s", path, strerror(errno));
    }
    return -1;
}

static enum status check_api(int fd, const char *path, struct kvm_probe *probe, struct error *error)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return error_status(error, STATUS_UNSUPPORTED, "%s: not a KVM device: KVM_GET_API_VERSION: %s", path,
                            strerror(errno));
    probe->api_version = version;
    if (version != KVM_API_VERSION)
        return error_status(error, STATUS_UNSUPPORTED, "%s: KVM API version %d, not %d", path, version,
                            KVM_API_VERSION);
    return STATUS_OK;
}

static enum kvm_answer has(int fd, long capability)
{
    return ioctl(fd, KVM_CHECK_EXTENSION, capability) > 0 ? KVM_YES : KVM_NO;
}

static void learn_capabilities(int fd, struct kvm_probe *probe)
{
    probe->cap_sync_regs = has(fd, KVM_CAP_SYNC_REGS);
    probe->cap_immediate_exit = has(fd, KVM_CAP_IMMEDIATE_EXIT);
    probe->cap_msr_filter = has(fd, KVM_CAP_X86_MSR_FILTER);
    probe->cap_msr_exits = has(fd, KVM_CAP_X86_USER_SPACE_MSR);
    probe->cap_vcpu_events = has(fd, KVM_CAP_VCPU_EVENTS);
    probe->cap_debug_registers = has(fd, KVM_CAP_DEBUGREGS);
    probe->cap_xsave = has(fd, KVM_CAP_XSAVE);
    probe->cap_xcrs = has(fd, KVM_CAP_XCRS);
    probe->cap_read_only_memory = has(fd, KVM_CAP_READONLY_MEM);
    probe->cap_manual_dirty_log = has(fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
    probe->cap_dirty_ring = has(fd, KVM_CAP_DIRTY_LOG_RING);
    probe->cap_guest_debug = has(fd, KVM_CAP_SET_GUEST_DEBUG);
    probe->cap_tsc_control = has(fd, KVM_CAP_TSC_CONTROL);
    probe->cap_tsc_offset = has(fd, KVM_CAP_VCPU_ATTRIBUTES);
    probe->cap_disable_exits = has(fd, KVM_CAP_X86_DISABLE_EXITS);
    probe->cap_emulation_exit = has(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE);
    probe->cap_stats = has(fd, KVM_CAP_BINARY_STATS_FD);
}

/* Whose vCPUs these are, by the modules that use KVM's; built-in ones show no use. */
static void learn_module(struct kvm_probe *probe)
{
    static const char *const names[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        char path[64];
        snprintf(path, sizeof path, "/sys/module/%s", names[n]);
        if (!access(path, F_OK))
            snprintf(probe->module, sizeof probe->module, "%s", names[n]);
    }
}

enum kvm_answer probe_in_own_vm(struct probe_rig *rig, enum kvm_answer (*attempt)(struct probe_vm *vm))
{
    struct probe_vm *vm = &rig->own;
    enum kvm_answer answer = KVM_UNKNOWN;
    if (!probe_vm_init(vm, rig->all.kvm, &rig->timer, PROBE_TABLE_ALL, NULL))
        answer = attempt(vm);
    probe_vm_fini(vm);
    return answer;
}

static enum status learn_with_guests(int fd, struct probe_rig *rig, bool costs, struct error *error)
{
    enum status status = probe_vm_init(&rig->all, fd, &rig->timer, PROBE_TABLE_ALL, error);
    if (!status)
        status = probe_vm_init(&rig->hiding, fd, &rig->timer, PROBE_TABLE_HIDING, error);
    if (!status) {
        probe_learn_modes(rig);
        probe_learn_exits(rig);
        probe_learn_arrivals(rig);
        probe_learn_msrs(rig);
        probe_learn_memory(rig);
        probe_learn_told(rig);
        probe_learn_instructions(rig);
        probe_learn_hiding(rig);
        probe_learn_tsc(rig);
        probe_learn_stops(rig);
        probe_learn_counters(rig);
        if (costs)
            probe_learn_costs(rig);
    }
    probe_vm_fini(&rig->hiding);
    probe_vm_fini(&rig->all);
    return status;
}

static enum status learn(int fd, const struct kvm_probe_options *options, struct kvm_probe *result, struct error *error)
{
    struct error cause = {{0}};
    struct probe_rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return STATUS_NO_MEMORY;
    rig->result = result;
    rig->hiding.vm = rig->hiding.vcpu = -1; /* probe_vm_fini may meet it unmade */
    enum status status = probe_timer_init(&rig->timer, &cause);
    if (!status) {
        status = learn_with_guests(fd, rig, !options || !options->without_costs, &cause);
        probe_timer_fini(&rig->timer);
    }
    free(rig);
    return status ? error_status(error, status, "%s: %s", device_path(options),
                                 cause.text[0] ? cause.text : status_name(status))
                  : STATUS_OK;
}

enum status kvm_probe(const struct kvm_probe_options *options, struct kvm_probe *result, struct error *error)
{
    const char *path = device_path(options);
    enum status status = STATUS_OK;
    uint64_t since_ns = probe_now_ns();
    memset(result, 0, sizeof *result);
    int fd = open_device(path, &status, error);
    if (fd < 0)
        return status;
    status = check_api(fd, path, result, error);
    if (!status) {
        learn_capabilities(fd, result);
        learn_module(result);
        status = learn(fd, options, result, error);
    }
    close(fd);
    if (status)
        memset(result, 0, sizeof *result);
    result->present = !status;
    result->costs.total_ns = status ? 0 : (uint32_t)(probe_now_ns() - since_ns);
    return status;
}
