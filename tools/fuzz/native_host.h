/* Runs a case on this CPU, in this process. One at a time. */
#ifndef VMRR_TOOLS_FUZZ_NATIVE_HOST_H
#define VMRR_TOOLS_FUZZ_NATIVE_HOST_H

#include "tools/fuzz/native.h"

/* Of the code segment of 16-bit cases: in the local descriptor table, its base at NATIVE_CODE. */
#define NATIVE_SELECTOR16 0x07u

void native_host_open(void);
void native_host_close(void);
/* Has this CPU a feature, by core/cpu_model's name for it? Null: always. */
bool native_host_has(const char *feature);
/* What CPUID itself says of a feature that no model has; native_host.c lists them. */
enum native_feature {
    NATIVE_HIDDEN, /* nothing: it is not there, or somebody hides it and the silicon executes it all the same */
    NATIVE_SHOWN,  /* it is there; whether it runs is the operating system's affair */
    NATIVE_RUNS,   /* it is there and turned on */
};
enum native_feature native_host_says(const char *feature);
/* Its maker as CPUID has it: "GenuineIntel", "AuthenticAMD". */
bool native_host_is(const char *maker);
void native_host_run(const struct native_case *c, struct native_state *out, uint8_t *data_out);

#endif
