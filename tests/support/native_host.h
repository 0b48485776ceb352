/* Runs a case on this CPU, in this process. One at a time. */
#ifndef VMRR_TESTS_SUPPORT_NATIVE_HOST_H
#define VMRR_TESTS_SUPPORT_NATIVE_HOST_H

#include "tests/insn/native.h"

void native_host_open(void);
void native_host_close(void);
void native_host_run(const struct native_case *c, struct native_state *out, uint8_t *data_out);

#endif
