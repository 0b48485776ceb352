/* CPUID policy: the one table that says what the guest is told; the interpreter answers from it, KVM is given it, the
 * journal keeps it. A bit is set here only if accel-interp implements it. */
#ifndef VMRR_CORE_CPU_MODEL_H
#define VMRR_CORE_CPU_MODEL_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct cpu_model_leaf {
    uint32_t leaf;
    uint32_t subleaf; /* meaningful when has_subleaf */
    bool has_subleaf;
    uint32_t eax, ebx, ecx, edx;
};

#define CPU_MODEL_LEAVES_MAX 64

struct cpu_model {
    char name[32];
    uint32_t count;
    struct cpu_model_leaf leaf[CPU_MODEL_LEAVES_MAX];
};

/* name: "vmrr" (the default, all that is implemented), "v1" (x86-64 baseline), each with ",+feat,-feat". */
enum status cpu_model_init(struct cpu_model *model, const char *name, struct error *error) MUST_CHECK;
/* As the CPUID instruction: out-of-range leaves answer as the highest basic leaf (Intel). The dynamic bits (OSXSAVE, APIC
 * enable, OSPKE) are the accelerator's to merge. */
void cpu_model_query(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* One named feature ("cx16", "rdrand"): is it in the table? */
bool cpu_model_has(const struct cpu_model *model, const char *feature);

#endif
