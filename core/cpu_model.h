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
#define CPU_MODEL_NAME_MAX 512 /* with the 0 */

struct cpu_model {
    char name[CPU_MODEL_NAME_MAX]; /* as it was asked for, with all changes */
    uint32_t count;
    struct cpu_model_leaf leaf[CPU_MODEL_LEAVES_MAX];
};

/* name: "max" (the default; also called "vmrr": all that is implemented but vaes and vpclmulqdq, which only +feat gives), "v1",
 * "v2", "v3" (x86-64 psABI levels), "qemu64", each with ",+feat,-feat", applied in order. A feature that is not implemented, or that needs one that is missing, is
 * refused; -feat also takes away what needs it. So is a text of CPU_MODEL_NAME_MAX bytes or more. */
enum status cpu_model_init(struct cpu_model *model, const char *name, struct error *error) MUST_CHECK;
/* Takes away what a machine that counts exits (position.h) would answer without anybody's knowing, or can't do: the TSC and what
 * needs it, RDRAND, RDSEED, MONITOR, x2APIC, machine checks. */
void cpu_model_hide_uncontrolled(struct cpu_model *model);
/* As the CPUID instruction: out-of-range leaves answer as the highest basic leaf (Intel). The dynamic bits (OSXSAVE, APIC
 * enable, OSPKE, the sizes in leaf 0DH's EBX) are the accelerator's to merge. */
void cpu_model_query(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* One named feature ("cx16", "rdrand"): is it in the table? */
bool cpu_model_has(const struct cpu_model *model, const char *feature);

/* Extended state (Intel SDM vol. 1, 13): the components that XCR0 may have; where component `number` >= 2 lies in an image of
 * components `bits`; the size of such an image. */
uint64_t cpu_model_xsave_components(const struct cpu_model *model);
uint32_t cpu_model_xsave_offset(uint64_t bits, unsigned number, bool compacted);
uint32_t cpu_model_xsave_bytes(uint64_t bits, bool compacted);

#endif
