/* vmrr info --host: what this host's KVM does, and what follows for a run. */
#ifndef VMRR_TOOLS_HOST_INFO_H
#define VMRR_TOOLS_HOST_INFO_H

#include <stdbool.h>

/* Probes and prints; the exit code. path: the device file, NULL for /dev/kvm. Where there is no KVM, or none that can be used, one
 * line to standard error, and EXIT_CODE_FAILED. */
int host_info_print(const char *path, bool json);

#ifdef VMRR_KVM
struct kvm_probe;
struct kvm_promises;
/* The printing alone. */
void host_info_show(const char *path, const struct kvm_probe *probe, const struct kvm_promises *promises, bool json);
#endif

#endif
