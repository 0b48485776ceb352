/* A statistic of a vCPU or VM by its name (KVM_GET_STATS_FD, Documentation/virt/kvm/api.rst 4.133). Thread: any. */
#ifndef VMRR_ACCEL_KVM_STATISTIC_H
#define VMRR_ACCEL_KVM_STATISTIC_H

#include <stdbool.h>
#include <stdint.h>

/* Where in fd's file its 64-bit value stands; false: there is none of this name, or no single value. */
bool kvm_statistic_find(int fd, const char *name, uint64_t *offset);

#endif
