/* The accelerator of a session's machine. Thread: machine thread. */
#ifndef VMRR_TOOLS_SESSION_ACCEL_H
#define VMRR_TOOLS_SESSION_ACCEL_H

#include "core/accel.h"
#include "replay/replay.h"

#include <stdio.h>

bool accel_is_kvm(const char *name);
/* What follows from config->accel and counts_exits for the rest of a run that begins: timing, positions, the CPUID table that the
 * guest really sees. A run of the interpreter that counts exits is made for this host's KVM, where there is one, so that this can
 * replay it. */
enum status accel_complete_config(struct journal_config *config, struct error *error) MUST_CHECK;
/* For a machine that counts exits, or not, as it was made. maker: the accelerator of a run that there was already; null: a new one.
 * slower: -kvm-slower. */
struct accel *accel_make(struct machine *machine, bool kvm, const char *maker, uint32_t slower, struct error *error);
void accel_report(const struct accel *accel, FILE *out);

#endif
